/* The experiment file's messages: tests/lab/yaml_cases.txt is a list of bad files, each with what its error must say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

/* Cases are separated by a line "====": the YAML, a line "----", the pieces that the message must hold, one a line. "BASE" as
 * the first line stands for a valid start of a file. */
static const char base[] =
        "name: x\nmodel: m\ndata: d.jsonl\narms: {plain: {role: plain}}\nevaluations: {e: {prompts: p.jsonl}}\n"
        "scorers: [looping]\n";

static int run_case(const char *yaml, size_t n, const char *want, int number)
{
	inoci_experiment *e = NULL;
	inoc_err err = {0};
	inoci_buf text = {0};
	int bad = 0;
	if (n >= 5 && !memcmp(yaml, "BASE\n", 5)) {
		inoci_buf_puts(&text, base);
		yaml += 5, n -= 5;
	}
	inoci_buf_append(&text, yaml, n);
	int rc = inoci_experiment_parse("f.yaml", text.data ? text.data : "", text.len, NULL, 0, &e, &err);
	char *lines = inoci_strdup(want), *save = NULL;
	for (char *l = strtok_r(lines, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		bool ok = !strcmp(l, "OK") ? rc == 0 : rc < 0 && strstr(err.msg, l);
		if (!ok) {
			print_error("case %d:\n%s\nwanted: %s\ngot (%d): %s\n", number, text.data, l, rc, err.msg);
			bad = 1;
		}
	}
	free(lines);
	inoci_experiment_free(e);
	inoci_buf_free(&text);
	return bad;
}

static void cases(void **state)
{
	char *text;
	size_t n;
	inoc_err err = {0};
	int number = 0, bad = 0;
	assert_int_equal(inoci_file_read(INOC_TESTS_DIR "/lab/yaml_cases.txt", &text, &n, &err), 0);
	for (char *p = text; p && *p;) {
		char *end = strstr(p, "\n====\n"), *mid = strstr(p, "----\n");
		if (end) *end = 0;
		assert_non_null(mid);
		bad += run_case(p, (size_t)(mid - p), mid + 5, ++number);
		p = end ? end + 6 : NULL;
	}
	free(text);
	assert_true(number > 30);
	assert_int_equal(bad, 0);
}

static void bombs(void **state)
{
	inoci_arena *a = inoci_arena_new();
	inoci_ynode *root;
	inoc_err err = {0};
	inoci_buf b = {0};
	/* ten levels of ten aliases each: 10^10 values when written out */
	inoci_buf_puts(&b, "a0: &a0 [x]\n");
	for (int i = 1; i <= 10; i++) {
		inoci_buf_printf(&b, "a%d: &a%d [", i, i);
		for (int k = 0; k < 10; k++) inoci_buf_printf(&b, "%s*a%d", k ? "," : "", i - 1);
		inoci_buf_puts(&b, "]\n");
	}
	assert_true(inoci_yaml_parse("f", b.data, b.len, a, &root, &err) < 0);
	assert_non_null(strstr(err.msg, "more than 20000 values"));
	inoci_buf_clear(&b);
	inoci_buf_puts(&b, "a: &a [*a]\n");
	assert_true(inoci_yaml_parse("f", b.data, b.len, a, &root, &err) < 0);
	inoci_buf_clear(&b);
	for (int i = 0; i < 200; i++) inoci_buf_puts(&b, "[");
	assert_true(inoci_yaml_parse("f", b.data, b.len, a, &root, &err) < 0);
	for (int i = 0; i < 200; i++) inoci_buf_puts(&b, "]");
	assert_true(inoci_yaml_parse("f", b.data, b.len, a, &root, &err) < 0);
	assert_non_null(strstr(err.msg, "levels deep"));
	inoci_buf_clear(&b);
	for (int i = 0; i < 200000; i++) inoci_buf_puts(&b, "aaaaaaaa ");
	assert_int_equal(inoci_yaml_parse("f", b.data, b.len, a, &root, &err), INOC_E_LIMIT);
	inoci_buf_free(&b);
	inoci_arena_free(a);
}

static void json_types(void **state)
{
	static const char y[] = "{a: 1, b: 1.5, c: true, d: text, e: '1', f: null, g: [x, 2], h: -3e2, i: 1_000, j: 0x10}";
	inoci_arena *a = inoci_arena_new();
	inoci_ynode *root;
	inoc_err err = {0};
	assert_int_equal(inoci_yaml_parse("f", y, strlen(y), a, &root, &err), 0);
	json_t *j = inoci_yaml_json(root);
	char *s = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(s, "{\"a\":1,\"b\":1.5,\"c\":true,\"d\":\"text\",\"e\":\"1\",\"f\":null,\"g\":[\"x\",2],\"h\":-300.0,"
	                       "\"i\":\"1_000\",\"j\":\"0x10\"}");
	free(s);
	json_decref(j);
	inoci_arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(cases), cmocka_unit_test(bombs), cmocka_unit_test(json_types)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
