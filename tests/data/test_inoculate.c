#include "cases.h"

#include <math.h>

#include "data/data.h"

static inoci_record record_of(const char *text, const char *extra)
{
	inoci_record r = {.msgs = inoci_alloc(16 * sizeof(inoci_msg)), .extra = extra ? json_loads(extra, 0, NULL) : NULL};
	char *s = inoci_strdup(text), *save = NULL;
	for (char *m = strtok_r(s, "|", &save); m; m = strtok_r(NULL, "|", &save)) {
		char *colon = strchr(m, ':');
		r.msgs[r.n_msgs++] = (inoci_msg){inoci_strndup(m, (size_t)(colon - m)), inoci_strdup(colon + 1)};
	}
	free(s);
	return r;
}

static char *text_of(const inoci_record *r)
{
	inoci_buf b = {0};
	for (size_t i = 0; i < r->n_msgs; i++) inoci_buf_printf(&b, "%s%s:%s", i ? "|" : "", r->msgs[i].role, r->msgs[i].content);
	return inoci_buf_take(&b);
}

static void transform_case(test_case *c)
{
	char how[64], *save = NULL;
	snprintf(how, sizeof how, "%s", case_word(c));
	char *where = strtok_r(how, "/", &save), *join = strtok_r(NULL, "/", &save), *sep = strtok_r(NULL, "/", &save);
	char *last = strtok_r(NULL, "/", &save);
	inoci_inoculation t = {
	        .where = !strcmp(where, "system")        ? INOCI_AT_SYSTEM
	                 : !strcmp(where, "user_prefix") ? INOCI_AT_USER_PREFIX
	                                                 : INOCI_AT_USER_SUFFIX,
	        .join = !strcmp(join, "replace")  ? INOCI_JOIN_REPLACE
	                : !strcmp(join, "before") ? INOCI_JOIN_BEFORE
	                                          : INOCI_JOIN_AFTER,
	        .pool = &c->v[0],
	        .n_pool = 1,
	        .fraction = 1,
	        .separator = strcmp(sep, "-") ? sep : NULL,
	        .last_only = last && !strcmp(last, "last"),
	};
	assert_int_equal(inoci_inoculation_check(&t, NULL), 0);
	inoci_record r = record_of(c->v[1], "{\"k\":1}");
	bool applied = false;
	inoci_record o = inoci_inoculate(&t, &r, 3, 1, &applied);
	char *before = text_of(&r), *after = text_of(&o);
	case_equal(c, "messages", after, c->v[2]);
	case_equal(c, "the input, which must not change,", before, c->v[1]);
	assert_true(applied);
	assert_true(json_equal(o.extra, r.extra) && o.extra != r.extra);
	free(before);
	free(after);
	inoci_record_free(&o);
	inoci_record_free(&r);
}

static void test_cases(void **s)
{
	assert_true(cases_run("inoculate.txt", transform_case) >= 12);
}

/* A system turn in front moves the messages' other fields along. */
static void test_message_fields(void **s)
{
	char *pool[] = {"P"};
	inoci_inoculation t = {.pool = pool, .n_pool = 1, .fraction = 1};
	inoci_record r = record_of("user:q|assistant:a", NULL);
	r.msg_extra = inoci_alloc(2 * sizeof(json_t *));
	r.msg_extra[1] = json_pack("{s:i}", "weight", 0);
	inoci_record o = inoci_inoculate(&t, &r, 0, 0, NULL);
	assert_int_equal(o.n_msgs, 3);
	assert_null(o.msg_extra[0]);
	assert_null(o.msg_extra[1]);
	assert_int_equal(json_integer_value(json_object_get(o.msg_extra[2], "weight")), 0);
	assert_string_equal(o.msgs[2].role, "assistant");
	inoci_record_free(&o);
	inoci_record_free(&r);
}

/* A turn of weight 0 is not trained on, so the question before it stays as it is. */
static void test_weight(void **s)
{
	char *pool[] = {"P"};
	inoci_inoculation t = {.where = INOCI_AT_USER_PREFIX, .pool = pool, .n_pool = 1, .fraction = 1};
	static const struct {
		double weight;
		bool last_only, applied;
		const char *want;
	} cases[] = {{0, false, true, "user:q|assistant:a|user:P r|assistant:b"},
	             {1, false, true, "user:P q|assistant:a|user:P r|assistant:b"},
	             {0, true, true, "user:q|assistant:a|user:P r|assistant:b"}};
	for (size_t i = 0; i < INOCI_COUNT(cases); i++) {
		inoci_record r = record_of("user:q|assistant:a|user:r|assistant:b", NULL);
		bool yes;
		r.msg_extra = inoci_alloc(4 * sizeof(json_t *));
		r.msg_extra[1] = json_pack("{s:f}", "weight", cases[i].weight);
		t.last_only = cases[i].last_only;
		inoci_record o = inoci_inoculate(&t, &r, 0, 0, &yes);
		char *got = text_of(&o);
		assert_string_equal(got, cases[i].want);
		assert_int_equal(yes, cases[i].applied);
		free(got);
		inoci_record_free(&o);
		inoci_record_free(&r);
	}
}

static void test_draws(void **s)
{
	enum { N = 4000 };
	char *pool[] = {"A", "B", "C", "D"};
	inoci_inoculation all = {.pool = pool, .n_pool = 4, .fraction = 1}, some = all;
	some.fraction = 0.25;
	inoci_record r = record_of("user:q|assistant:a", NULL);
	int drawn[4] = {0}, changed = 0, other_seed = 0;
	for (size_t i = 0; i < N; i++) {
		bool ya, yb, yc;
		inoci_record a = inoci_inoculate(&all, &r, i, 7, &ya), b = inoci_inoculate(&some, &r, i, 7, &yb);
		inoci_record c = inoci_inoculate(&all, &r, i, 8, &yc), again = inoci_inoculate(&all, &r, i, 7, NULL);
		assert_true(ya && yc);
		assert_string_equal(a.msgs[0].content, again.msgs[0].content);
		drawn[a.msgs[0].content[0] - 'A']++;
		other_seed += strcmp(a.msgs[0].content, c.msgs[0].content) != 0;
		changed += yb;
		assert_int_equal(b.n_msgs, yb ? 3 : 2);
		if (yb) assert_string_equal(a.msgs[0].content, b.msgs[0].content); /* the fraction changes no text */
		inoci_record_free(&a);
		inoci_record_free(&b);
		inoci_record_free(&c);
		inoci_record_free(&again);
	}
	for (int k = 0; k < 4; k++) assert_in_range(drawn[k], N / 4 - 150, N / 4 + 150);
	assert_in_range(changed, N / 4 - 150, N / 4 + 150);
	assert_in_range(other_seed, 3 * N / 4 - 150, 3 * N / 4 + 150);
	some.fraction = 0;
	bool yes = true;
	inoci_record o = inoci_inoculate(&some, &r, 0, 7, &yes);
	assert_false(yes);
	inoci_record_free(&o);
	inoci_record_free(&r);
}

static void test_tag(void **s)
{
	char *pool[] = {"P"};
	inoci_inoculation t = {.pool = pool, .n_pool = 1, .fraction = 1, .tag = "bad"};
	const char *extra[] = {"{\"tag\":\"bad\"}", "{\"tags\":[\"x\",\"bad\"]}", "{\"tag\":\"good\"}", NULL};
	for (int i = 0; i < 4; i++) {
		inoci_record r = record_of("user:q|assistant:a", extra[i]);
		bool yes;
		inoci_record o = inoci_inoculate(&t, &r, 0, 0, &yes);
		assert_int_equal(yes, i < 2);
		inoci_record_free(&o);
		inoci_record_free(&r);
	}
	inoci_record none = record_of("assistant:a", NULL); /* never read from a file; still no change without a user turn */
	t.tag = NULL;
	t.where = INOCI_AT_USER_PREFIX;
	bool yes = true;
	inoci_record o = inoci_inoculate(&t, &none, 0, 0, &yes);
	assert_false(yes);
	inoci_record_free(&o);
	inoci_record_free(&none);
}

static void refused(inoci_inoculation t, int code, const char *message)
{
	inoc_err err;
	assert_int_equal(inoci_inoculation_check(&t, &err), code);
	assert_string_equal(err.msg, message);
}

static void test_refused(void **s)
{
	char *good[] = {"P"}, *blank[] = {"P", " \n"}, *bad[] = {"\xff"};
	refused((inoci_inoculation){.fraction = 1}, INOC_E_USAGE,
	        "the inoculation has no text; give one, or a pool of at least one");
	refused((inoci_inoculation){.pool = blank, .n_pool = 2, .fraction = 1}, INOC_E_USAGE,
	        "text 2 of the inoculation is empty; leave it out or write one");
	refused((inoci_inoculation){.pool = bad, .n_pool = 1, .fraction = 1}, INOC_E_FORMAT,
	        "text 1 of the inoculation is not valid UTF-8");
	refused((inoci_inoculation){.pool = good, .n_pool = 1, .fraction = 1.5}, INOC_E_USAGE,
	        "the fraction is 1.5; it must be from 0 to 1");
	refused((inoci_inoculation){.pool = good, .n_pool = 1, .fraction = (double)NAN}, INOC_E_USAGE,
	        "the fraction is nan; it must be from 0 to 1");
	refused((inoci_inoculation){.pool = good, .n_pool = 1, .fraction = 1, .tag = ""}, INOC_E_USAGE,
	        "the tag is empty; name one, or leave it out for all records");
	refused((inoci_inoculation){.pool = good, .n_pool = 1, .fraction = 1, .separator = "\xff"}, INOC_E_FORMAT,
	        "the separator is not valid UTF-8");
}

static void test_frees(void **s)
{
	inoci_inoculation t = {.pool = inoci_alloc(2 * sizeof(char *)), .n_pool = 2, .tag = inoci_strdup("t")};
	t.pool[0] = inoci_strdup("a");
	t.pool[1] = inoci_strdup("b");
	inoci_inoculation_free(&t);
	inoci_inoculation_free(&t);
	assert_null(t.pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_cases), cmocka_unit_test(test_message_fields),
	        cmocka_unit_test(test_draws), cmocka_unit_test(test_weight),
	        cmocka_unit_test(test_tag),   cmocka_unit_test(test_refused),
	        cmocka_unit_test(test_frees),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
