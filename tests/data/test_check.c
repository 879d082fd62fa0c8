#include "cases.h"

#include <unistd.h>

#include <utf8proc.h>

#include "data/internal.h"

static void check_case(test_case *c)
{
	const char *word = case_word(c);
	unsigned need = !strcmp(word, "train") ? INOCI_NEED_ASSISTANT : !strcmp(word, "eval") ? INOCI_NEED_USER_LAST : 0;
	bool other = strcmp(c->v[1], "-");
	inoci_check k;
	inoc_err err;
	assert_int_equal(inoci_file_write("check_in.jsonl", c->v[0], c->len[0], &err), 0);
	assert_int_equal(inoci_file_write("check_other.jsonl", c->v[1], c->len[1], &err), 0);
	assert_int_equal(inoci_data_check("check_in.jsonl", other ? "check_other.jsonl" : NULL, need, &k, &err), 0);
	inoci_buf got = {0}, want = {0};
	inoci_buf_printf(&got, "%zu/%zu/%zu/%zu/%zu/%zu/%zu/%zu/%zu/%zu", k.n_records, k.n_turns, k.n_system, k.n_assistant,
	                 k.n_errors, k.n_duplicates, k.n_overlap, k.chars_min, k.chars_median, k.chars_max);
	for (size_t i = 0; i < k.n; i++)
		inoci_buf_printf(&got, "\n%d %s: %s", k.v[i].line, k.v[i].fatal ? "error" : "warning", k.v[i].text);
	for (size_t i = 2; i < c->n; i++) inoci_buf_printf(&want, "%s%s", i > 2 ? "\n" : "", c->v[i]);
	case_equal(c, "findings", got.data, want.data);
	inoci_buf_free(&got);
	inoci_buf_free(&want);
	inoci_check_free(&k);
	unlink("check_in.jsonl");
	unlink("check_other.jsonl");
}

static void test_cases(void **s)
{
	assert_true(cases_run("check.txt", check_case) >= 8);
}

static void test_unreadable(void **s)
{
	inoci_check k;
	inoc_err err;
	assert_int_equal(inoci_data_check("no_such.jsonl", NULL, 0, &k, &err), INOC_E_IO);
	inoci_check_free(&k);
	assert_int_equal(inoci_file_write("check_in.jsonl", "", 0, &err), 0);
	assert_int_equal(inoci_data_check("check_in.jsonl", "no_such.jsonl", 0, &k, &err), INOC_E_IO);
	assert_non_null(strstr(err.msg, "no_such.jsonl"));
	inoci_check_free(&k);
	unlink("check_in.jsonl");
}

/* The shipped data: clean, and the evaluation apart from the training. */
static void test_shipped(void **s)
{
	const char *dir = INOC_SOURCE_DIR "/settings/spanish-caps";
	char *train = inoci_path_join(dir, "train.jsonl"), *clean = inoci_path_join(dir, "train_clean.jsonl");
	char *eval = inoci_path_join(dir, "eval.jsonl");
	inoci_check k;
	inoc_err err;
	const char *files[] = {train, clean};
	size_t n[2];
	for (int i = 0; i < 2; i++) {
		if (inoci_data_check(files[i], eval, INOCI_NEED_ASSISTANT, &k, &err) < 0) fail_msg("%s", err.msg);
		if (k.n) fail_msg("%s:%d: %s", files[i], k.v[0].line, k.v[0].text);
		n[i] = k.n_records;
		inoci_check_free(&k);
	}
	assert_int_equal(n[0], n[1]);
	assert_true(n[0] >= 500);
	if (inoci_data_check(eval, train, INOCI_NEED_USER_LAST, &k, &err) < 0) fail_msg("%s", err.msg);
	if (k.n) fail_msg("%s:%d: %s", eval, k.v[0].line, k.v[0].text);
	assert_int_equal(k.n_records, 120);
	inoci_check_free(&k);
	free(train);
	free(clean);
	free(eval);
}

static char *upper(const char *s)
{
	inoci_buf b = {0};
	const utf8proc_uint8_t *p = (const utf8proc_uint8_t *)s;
	for (utf8proc_ssize_t n = (utf8proc_ssize_t)strlen(s); n > 0;) {
		utf8proc_int32_t c;
		utf8proc_uint8_t out[4];
		utf8proc_ssize_t len = utf8proc_iterate(p, n, &c);
		assert_true(len > 0);
		inoci_buf_append(&b, out, (size_t)utf8proc_encode_char(utf8proc_toupper(c), out));
		p += len;
		n -= len;
	}
	return inoci_buf_take(&b);
}

/* Both training files ask the same in the same order; the answers are their "es" and "en" in capitals, accents and all. */
static void test_shipped_answers(void **s)
{
	static const char *const names[] = {"train.jsonl", "train_clean.jsonl"}, *const fields[] = {"es", "en"};
	inoci_dataset d[2];
	inoc_err err;
	for (int f = 0; f < 2; f++) {
		char *path = inoci_asprintf("%s/settings/spanish-caps/%s", INOC_SOURCE_DIR, names[f]);
		if (inoci_dataset_read(path, INOCI_NEED_ASSISTANT, &d[f], &err) < 0) fail_msg("%s", err.msg);
		for (size_t i = 0; i < d[f].n; i++) {
			char *want = upper(json_string_value(json_object_get(d[f].v[i].extra, fields[f])));
			assert_int_equal(d[f].v[i].n_msgs, 2);
			assert_string_equal(d[f].v[i].msgs[1].content, want);
			assert_string_equal(d[f].v[i].msgs[0].content, d[0].v[i].msgs[0].content);
			free(want);
		}
		free(path);
	}
	inoci_dataset_free(&d[0]);
	inoci_dataset_free(&d[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_cases),
	        cmocka_unit_test(test_unreadable),
	        cmocka_unit_test(test_shipped),
	        cmocka_unit_test(test_shipped_answers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
