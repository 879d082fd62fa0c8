#include "cases.h"

#include <unistd.h>

#include "data/internal.h"

static unsigned need_of(const char *word)
{
	return !strcmp(word, "train") ? INOCI_NEED_ASSISTANT : !strcmp(word, "eval") ? INOCI_NEED_USER_LAST : 0;
}

static void fault_case(test_case *c)
{
	unsigned need = need_of(case_word(c));
	inoci_dataset d;
	inoc_err err = {0};
	int rc = inoci_dataset_parse("F", c->v[0], c->len[0], need, &d, &err);
	case_equal(c, "message", rc < 0 ? err.msg : "(no error)", c->v[1]);
	assert_true(rc == err.code && (rc == INOC_E_FORMAT || rc == INOC_E_UNSUPPORTED));
	assert_null(d.v);
	assert_null(d.path);
}

static void test_faults(void **s)
{
	assert_true(cases_run("record_faults.txt", fault_case) > 40);
}

static void ok_case(test_case *c)
{
	unsigned need = need_of(case_word(c));
	inoci_dataset d, again;
	inoc_err err = {0};
	if (inoci_dataset_parse("F", c->v[0], c->len[0], need, &d, &err) < 0) fail_msg("case at line %d: %s", c->at, err.msg);
	if (inoci_dataset_write("data_ok.jsonl", d.v, d.n, &err) < 0) fail_msg("%s", err.msg);
	char *got;
	size_t n;
	inoci_buf want = {0};
	for (size_t i = 1; i < c->n; i++) inoci_buf_printf(&want, "%s\n", c->v[i]);
	assert_int_equal(inoci_file_read("data_ok.jsonl", &got, &n, &err), 0);
	case_equal(c, "output", got, want.data);
	/* what was written reads back the same */
	assert_int_equal(inoci_dataset_read("data_ok.jsonl", 0, &again, &err), 0);
	assert_int_equal(again.n, d.n);
	inoci_hash h = inoci_hash_bytes(got, n);
	assert_string_equal(again.hash.hex, h.hex);
	for (size_t i = 0; i < d.n; i++) {
		inoci_record copy = inoci_record_copy(&d.v[i]);
		char *a = inoci_record_text(&copy, NULL, 0), *b = inoci_record_text(&again.v[i], NULL, 0);
		assert_string_equal(a, b);
		free(a);
		free(b);
		inoci_record_free(&copy);
	}
	inoci_dataset_free(&again);
	inoci_dataset_free(&d);
	inoci_buf_free(&want);
	free(got);
	unlink("data_ok.jsonl");
}

static void test_ok(void **s)
{
	assert_true(cases_run("record_ok.txt", ok_case) >= 8);
}

static void key_case(test_case *c)
{
	bool same = !strcmp(case_word(c), "=");
	char *a = inoci_text_key(c->v[0]), *b = inoci_text_key(c->v[1]);
	if (!strcmp(a, b) != same) fail_msg("case at line %d: '%s' and '%s'", c->at, a, b);
	free(a);
	free(b);
}

static void test_keys(void **s)
{
	assert_true(cases_run("keys.txt", key_case) >= 10);
	inoci_msg m[] = {{"system", "S"}, {"user", "A?"}, {"assistant", "b"}, {"user", "C!"}};
	inoci_record r = {.msgs = m, .n_msgs = 4};
	char *k = inoci_question_key(&r);
	assert_string_equal(k, "a\nc");
	free(k);
	k = inoci_text_key("\xff A");
	assert_string_equal(k, "\xff A"); /* not UTF-8: as it is */
	free(k);
}

static void test_tags(void **s)
{
	const char *text = "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"tag\":\"x\",\"tags\":[1,\"y\"]}\n"
	                   "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"tags\":\"y\"}\n"
	                   "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}";
	inoci_dataset d;
	assert_int_equal(inoci_dataset_parse("F", text, strlen(text), 0, &d, NULL), 0);
	assert_int_equal(d.n, 3);
	assert_int_equal(d.v[2].line, 3);
	assert_true(inoci_record_has_tag(&d.v[0], "x") && inoci_record_has_tag(&d.v[0], "y"));
	assert_false(inoci_record_has_tag(&d.v[0], "z") || inoci_record_has_tag(&d.v[1], "y") ||
	             inoci_record_has_tag(&d.v[2], "x"));
	inoci_dataset_free(&d);
}

static void test_files(void **s)
{
	inoci_dataset d;
	inoc_err err;
	assert_int_equal(inoci_dataset_read("no_such_file.jsonl", 0, &d, &err), INOC_E_IO);
	assert_non_null(strstr(err.msg, "no_such_file.jsonl: cannot be opened"));
	assert_int_equal(inoci_file_write("data_empty.jsonl", "", 0, &err), 0);
	assert_int_equal(inoci_dataset_read("data_empty.jsonl", 0, &d, &err), INOC_E_FORMAT);
	assert_string_equal(err.msg, "data_empty.jsonl: no records: the file is empty");
	unlink("data_empty.jsonl");
	assert_int_equal(inoci_dataset_write("no/such/folder.jsonl", NULL, 0, &err), INOC_E_IO);
}

static void test_long_line(void **s)
{
	size_t n = 8 << 20;
	inoci_buf b = {0};
	char *text = inoci_alloc(n + 1);
	memset(text, 'x', n);
	inoci_buf_printf(&b, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"%s\"}]}",
	                 text);
	inoci_dataset d;
	inoc_err err;
	assert_int_equal(inoci_dataset_parse("F", b.data, b.len, INOCI_NEED_ASSISTANT, &d, &err), 0);
	assert_int_equal(strlen(d.v[0].msgs[1].content), n);
	inoci_dataset_free(&d);
	b.data[b.len - 1] = 0; /* the fault is at the end of a very long line */
	assert_int_equal(inoci_dataset_parse("F", b.data, b.len - 1, 0, &d, &err), INOC_E_FORMAT);
	assert_true(strlen(err.msg) < 400);
	inoci_buf_clear(&b);
	for (int i = 0; i < 100000; i++) inoci_buf_puts(&b, "[");
	assert_int_equal(inoci_dataset_parse("F", b.data, b.len, 0, &d, &err), INOC_E_FORMAT);
	inoci_buf_free(&b);
	free(text);
}

static void test_failed_writes(void **s)
{
	inoci_msg m[] = {{"user", "a"}, {"assistant", "b"}}, bad[] = {{"user", "a\xff"}};
	inoci_record r[] = {{.msgs = m, .n_msgs = 2}, {.msgs = m, .n_msgs = 2}}, not_utf8 = {.msgs = bad, .n_msgs = 1};
	inoc_err err;
	char *got;
	size_t n;
	assert_int_equal(inoci_file_write("data_old.jsonl", "old", 3, &err), 0);
	assert_int_equal(inoci_dataset_write("data_old.jsonl", &not_utf8, 1, &err), INOC_E_FORMAT);
	assert_string_equal(err.msg, "data_old.jsonl: record 1 is not valid UTF-8 and cannot be written as JSON");
	int failures = 0, rc = -1;
	for (long k = 1; rc < 0 && k < 100; k++) {
		inoci_fault_write_at(k);
		rc = inoci_dataset_write("data_old.jsonl", r, 2, &err);
		inoci_fault_write_at(0);
		if (rc == 0) break;
		failures++;
		assert_int_equal(rc, INOC_E_IO);
		assert_int_equal(inoci_file_read("data_old.jsonl", &got, &n, &err), 0);
		assert_string_equal(got, "old");
		free(got);
	}
	assert_int_equal(failures, 5); /* two writes a record, and the commit */
	unlink("data_old.jsonl");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_faults),        cmocka_unit_test(test_ok),    cmocka_unit_test(test_keys),
	        cmocka_unit_test(test_tags),          cmocka_unit_test(test_files), cmocka_unit_test(test_long_line),
	        cmocka_unit_test(test_failed_writes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
