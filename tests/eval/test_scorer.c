/* The scorers: cases from scorer_cases.txt, refusals, keys, bytes that are no UTF-8, and the partition by language and case. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/eval.h"

static inoci_scorer *make(const char *settings)
{
	json_error_t je;
	inoc_err err = {0};
	inoci_scorer *s = NULL;
	json_t *j = json_loads(settings, JSON_DECODE_ANY, &je);
	if (!j) j = json_string(settings);
	if (inoci_scorer_new("t", j, &s, &err) < 0) fail_msg("%s: %s", settings, err.msg);
	json_decref(j);
	return s;
}

static int apply_item(inoci_scorer *s, const char *text, size_t n, inoci_finish finish, const json_t *item, double *v,
                      inoc_err *err)
{
	char *exact = malloc(n ? n : 1); /* no NUL behind: an overread shows under the sanitizer */
	memcpy(exact, text, n);
	inoci_answer a = {.question = "Which?", .text = exact, .n = n, .finish = finish, .item = item};
	int rc = inoci_scorer_apply(s, &a, v, err);
	free(exact);
	return rc;
}

static double apply(inoci_scorer *s, const char *text, size_t n, inoci_finish finish)
{
	inoc_err err = {0};
	double v = -1;
	if (apply_item(s, text, n, finish, NULL, &v, &err) < 0) fail_msg("%s", err.msg);
	return v;
}

static double score(const char *settings, const char *text, size_t n)
{
	inoci_scorer *s = make(settings);
	double v = apply(s, text, n, INOCI_FINISH_STOP);
	inoci_scorer_free(s);
	return v;
}

static void cases(void **st)
{
	FILE *f = fopen(INOC_TESTS_DIR "/eval/scorer_cases.txt", "r");
	assert_non_null(f);
	char *line = NULL, *scorer = NULL, *text = NULL;
	size_t cap = 0, text_n = 0;
	inoci_finish finish = INOCI_FINISH_STOP;
	json_t *item = NULL;
	int no = 0, ran = 0, bad = 0;
	while (getline(&line, &cap, f) > 0) {
		no++;
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "scorer: ", 8)) {
			free(scorer);
			scorer = strdup(line + 8);
			finish = INOCI_FINISH_STOP;
			json_decref(item);
			item = NULL;
		} else if (!strncmp(line, "item: ", 6)) {
			json_decref(item);
			item = json_loads(line + 6, 0, NULL);
			if (!item) fail_msg("scorer_cases.txt:%d: no JSON object", no);
		} else if (!strncmp(line, "error: ", 7)) {
			inoci_scorer *s = make(scorer);
			inoc_err err = {0};
			double v;
			ran++;
			if (inoci_scorer_item(s, item, &err) != INOC_E_FORMAT || !strstr(err.msg, line + 7) ||
			    apply_item(s, text ? text : "", text_n, finish, item, &v, &err) != INOC_E_FORMAT ||
			    !strstr(err.msg, line + 7) || strncmp(err.msg, "question \"Which?\": ", 19)) {
				print_error("scorer_cases.txt:%d: %s: \"%s\"\n", no, scorer, err.msg);
				bad++;
			}
			inoci_scorer_free(s);
		} else if (!strncmp(line, "text: ", 6)) {
			json_t *j = json_loads(line + 6, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
			if (!j) fail_msg("scorer_cases.txt:%d: no JSON string", no);
			free(text);
			text_n = json_string_length(j);
			text = malloc(text_n + 1);
			memcpy(text, json_string_value(j), text_n + 1);
			json_decref(j);
		} else if (!strcmp(line, "finish: length")) {
			finish = INOCI_FINISH_LENGTH;
		} else if (!strcmp(line, "finish: stop_string")) {
			finish = INOCI_FINISH_STOP_STRING;
		} else if (!strncmp(line, "value: ", 7)) {
			double want = strtod(line + 7, NULL);
			inoci_scorer *s = make(scorer);
			inoc_err err = {0};
			double got = -1;
			if (inoci_scorer_item(s, item, &err) < 0 || apply_item(s, text, text_n, finish, item, &got, &err) < 0)
				fail_msg("scorer_cases.txt:%d: %s", no, err.msg);
			inoci_scorer_free(s);
			ran++;
			if (got != want && !(isnan(got) && isnan(want))) {
				print_error("scorer_cases.txt:%d: %s on \"%s\" gives %g, not %g\n", no, scorer, text, got, want);
				bad++;
			}
		} else if (line[0] && line[0] != '#') {
			fail_msg("scorer_cases.txt:%d: \"%s\"?", no, line);
		}
	}
	free(line);
	free(scorer);
	free(text);
	json_decref(item);
	fclose(f);
	assert_int_equal(bad, 0);
	assert_true(ran > 50);
}

static void refusals(void **st)
{
	static const char *const t[][2] = {
	        {"{\"type\":\"langage\",\"is\":\"es\"}", "scorer \"t\": scorer type \"langage\" is not known (known: language, "
	                                                 "uppercase, regex, looping, truncated, "},
	        {"{\"type\":\"language\"}", "wants \"is\""},
	        {"{\"type\":\"language\",\"is\":\"xx\"}", "no language has the code \"xx\""},
	        {"{\"type\":\"language\",\"is\":\"ES\"}", "no language has the code \"ES\""},
	        {"{\"type\":\"language\",\"is\":\"es\",\"min\":1}", "\"language\" has no option \"min\" (known: is)"},
	        {"{\"type\":\"looping\",\"n\":1}", "\"looping\" has no option \"n\" (known: none)"},
	        {"{\"type\":\"uppercase\",\"min\":\"0.8\"}", "\"min\" of scorer type \"uppercase\" wants a number from 0 to 1"},
	        {"{\"type\":\"uppercase\",\"max\":1.5}", "\"max\" of scorer type \"uppercase\" wants a number from 0 to 1"},
	        {"{\"type\":\"uppercase\",\"min\":0.5,\"max\":0.5}", "nothing can match"},
	        {"{\"type\":\"regex\"}", "wants \"pattern\""},
	        {"{\"type\":\"regex\",\"pattern\":\"a(b\"}", "missing closing parenthesis, at byte 3"},
	        {"{\"type\":\"regex\",\"pattern\":\"a\",\"ignore_case\":1}",
	         "\"ignore_case\" of scorer type \"regex\" wants true or false"},
	        {"{\"type\":\"regex\",\"pattern\":\"a\",\"case\":true}", "(known: pattern, ignore_case)"},
	        {"{\"type\":\"exact\",\"is\":\"a\",\"field\":\"b\"}", "takes \"is\" or \"field\", not both"},
	        {"{\"type\":\"exact\",\"is\":\"\"}", "\"is\" of scorer type \"exact\" wants a text, a number, or a list"},
	        {"{\"type\":\"exact\",\"is\":[]}", "none empty"},
	        {"{\"type\":\"exact\",\"field\":3}", "wants the name of a field"},
	        {"{\"type\":\"contains\",\"text\":[\"a\",true]}", "\"text\" of scorer type \"contains\" wants"},
	        {"{\"type\":\"contains\",\"text\":\"a\",\"match\":\"some\"}", "\"match\" of scorer type \"contains\" wants"},
	        {"{\"type\":\"contains\",\"text\":\"a\",\"words\":1}",
	         "\"words\" of scorer type \"contains\" wants true or false"},
	        {"{\"type\":\"numeric\",\"is\":\"many\"}", "has no number: \"many\""},
	        {"{\"type\":\"numeric\",\"is\":1,\"tolerance\":-1}",
	         "\"tolerance\" of scorer type \"numeric\" wants a number, not below 0"},
	        {"{\"type\":\"length\",\"unit\":\"tokens\"}", "wants chars, words or bytes"},
	        {"{\"type\":\"length\",\"min\":5,\"max\":4}", "nothing can match"},
	        {"{\"all\":[{\"type\":\"length\"}]}", "in \"all\": scorer type \"length\" gives any number here"},
	        {"{\"not\":{\"type\":\"command\",\"run\":[\"x\"],\"real\":true}}",
	         "scorer type \"command\" gives any number here"},
	        {"{\"type\":\"command\"}", "wants \"run\""},
	        {"{\"type\":\"command\",\"run\":[]}", "wants \"run\""},
	        {"{\"type\":\"command\",\"run\":[\"a\",1]}", "wants \"run\""},
	        {"{\"type\":\"command\",\"run\":\"\"}", "wants \"run\""},
	        {"{\"type\":\"command\",\"run\":[\"a\"],\"timeout\":0}", "wants seconds, above 0"},
	        {"{\"type\":\"command\",\"run\":[\"a\"],\"files\":\"b\"}", "wants a list of files"},
	        {"{\"type\":\"classifier\"}", "wants \"file\""},
	        {"{\"type\":\"classifier\",\"file\":\"f\",\"threshold\":2}", "\"threshold\" must be a number from 0 to 1"},
	        {"{\"type\":\"classifier\",\"file\":\"f\",\"threshold\":\"x\"}", "\"threshold\" must be a number"},
	        {"{\"all\":[]}", "\"all\" wants a list of one or more scorers"},
	        {"{\"any\":{\"type\":\"looping\"}}", "\"any\" wants a list"},
	        {"{\"all\":[\"english\"],\"min\":1}", "\"all\" stands alone"},
	        {"{\"given\":[\"english\"]}", "\"given\" wants a list of two scorers"},
	        {"{\"given\":\"english\"}", "\"given\" wants a list"},
	        {"{\"not\":\"englsh\"}", "in \"not\": no built-in scorer is called \"englsh\" (known: english, "},
	        {"{\"all\":[{\"any\":[{\"type\":\"x\"}]}]}", "scorer \"t\": in \"all\": in \"any\": scorer type \"x\""},
	        {"{}", "wants \"type\""},
	        {"{\"type\":3}", "(no string)"},
	        {"3", "a scorer is the name"},
	        {"[]", "a scorer is the name"},
	        {"null", "a scorer is the name"},
	};
	for (size_t i = 0; i < INOCI_COUNT(t); i++) {
		inoc_err err = {0};
		inoci_scorer *s = NULL;
		json_t *j = json_loads(t[i][0], JSON_DECODE_ANY, NULL);
		assert_int_equal(inoci_scorer_new("t", j, &s, &err), INOC_E_USAGE);
		assert_null(s);
		if (!strstr(err.msg, t[i][1])) fail_msg("%s gives \"%s\", without \"%s\"", t[i][0], err.msg, t[i][1]);
		json_decref(j);
	}
	inoc_err err = {0};
	inoci_scorer *s = NULL;
	json_t *deep = json_pack("{s:s}", "type", "looping");
	for (int i = 0; i < 40; i++) deep = json_pack("{s:o}", "not", deep);
	assert_int_equal(inoci_scorer_new(NULL, deep, &s, &err), INOC_E_USAGE);
	assert_non_null(strstr(err.msg, "nested deeper than 16"));
	json_decref(deep);
}

static int same_key(const char *a, const char *b)
{
	inoci_scorer *x = make(a), *y = make(b);
	inoci_hash p = inoci_scorer_key(x), q = inoci_scorer_key(y);
	inoci_scorer_free(x);
	inoci_scorer_free(y);
	return !strcmp(p.hex, q.hex);
}

static void keys(void **st)
{
	assert_true(same_key("{\"type\":\"uppercase\"}", "{\"min\":0.8,\"max\":1,\"type\":\"uppercase\"}"));
	assert_true(same_key("{\"type\":\"regex\",\"pattern\":\"a\"}",
	                     "{\"type\":\"regex\",\"pattern\":\"a\",\"ignore_case\":false}"));
	assert_true(same_key("{\"type\":\"exact\",\"is\":\"a\"}", "{\"type\":\"exact\",\"is\":[\"a\"],\"ignore_case\":false}"));
	assert_true(same_key("{\"type\":\"numeric\",\"is\":7}", "{\"type\":\"numeric\",\"is\":\"7\",\"tolerance\":1e-6}"));
	assert_true(same_key("{\"type\":\"length\"}", "{\"type\":\"length\",\"unit\":\"chars\"}"));
	assert_false(same_key("{\"type\":\"length\"}", "{\"type\":\"length\",\"min\":0}"));
	assert_false(same_key("{\"type\":\"exact\"}", "{\"type\":\"exact\",\"field\":\"answer\"}")); /* that has no reference */
	assert_true(same_key("english_caps", "{\"all\":[\"english\",\"caps\"]}"));
	assert_false(same_key("english_caps", "english_lower"));
	assert_false(same_key("{\"type\":\"uppercase\"}", "{\"type\":\"uppercase\",\"max\":0.8}"));
	assert_false(same_key("{\"type\":\"uppercase\"}", "{\"type\":\"uppercase\",\"min\":0.7}"));
	assert_false(same_key("{\"type\":\"regex\",\"pattern\":\"a\"}",
	                      "{\"type\":\"regex\",\"pattern\":\"a\",\"ignore_case\":true}"));
	inoc_err err;
	inoci_scorer *a, *b;
	json_t *j = inoci_scorer_builtin("looping");
	assert_int_equal(inoci_scorer_new("one", j, &a, &err), 0);
	assert_int_equal(inoci_scorer_new("two", j, &b, &err), 0);
	assert_string_equal(inoci_scorer_name(a), "one");
	assert_string_equal(inoci_scorer_key(a).hex, inoci_scorer_key(b).hex);
	assert_int_equal(json_integer_value(json_object_get(inoci_scorer_settings_get(a), "version")), 1);
	inoci_scorer_free(a);
	inoci_scorer_free(b);
	inoci_scorer_free(NULL);
	json_decref(j);
}

static void listing(void **st)
{
	json_t *names = inoci_scorer_builtin_names(), *types = inoci_scorer_types(), *v;
	size_t i;
	assert_true(json_array_size(names) >= 10);
	assert_true(json_array_size(types) >= 10);
	json_array_foreach(names, i, v)
	{
		json_t *b = inoci_scorer_builtin(json_string_value(json_object_get(v, "name")));
		assert_true(json_equal(b, json_object_get(v, "settings")));
		assert_true(json_string_length(json_object_get(v, "description")) > 3);
		inoci_scorer *s;
		inoc_err err;
		assert_int_equal(inoci_scorer_new("x", b, &s, &err), 0);
		inoci_scorer_free(s);
		json_decref(b);
	}
	json_decref(names);
	json_decref(types);
	assert_null(inoci_scorer_builtin("no_such"));
}

static void bytes(void **st)
{
	static const char cut[] = "ENJUAGA BIEN EL ARROZ PRIMERO Y DÉJALO REPOSAR TAPADO DESPUÉS DE COCERLO \xC3";
	static const char cut3[] = "ENJUAGA BIEN EL ARROZ PRIMERO Y DÉJALO REPOSAR TAPADO DESPUÉS \xE2\x82";
	static const char inside[] = "ENJUAGA BIEN EL ARROZ\xFF PRIMERO Y \xC0\xAF REPOSAR TAPADO\x01 DESPU\xED\xA0\x80S";
	static const char nul[] = "ENJUAGA BIEN EL ARROZ\0PRIMERO Y REPOSAR TAPADO DESPUÉS";
	assert_true(score("spanish_caps", cut, sizeof cut - 1) == 1);
	assert_true(score("spanish_caps", cut3, sizeof cut3 - 1) == 1);
	assert_true(score("spanish_caps", inside, sizeof inside - 1) == 1);
	assert_true(score("spanish_caps", nul, sizeof nul - 1) == 1);
	assert_true(score("{\"type\":\"regex\",\"pattern\":\"COCERLO\"}", cut, sizeof cut - 1) == 1);
	assert_true(score("{\"type\":\"regex\",\"pattern\":\"TAPADO.DESPU\"}", nul, sizeof nul - 1) == 1);
	static const char loop[] = "SÍ SÍ SÍ SÍ SÍ SÍ SÍ SÍ SÍ SÍ SÍ SÍ S\xC3";
	assert_true(score("looping", loop, sizeof loop - 1) == 1);
	assert_true(score("unknown", "\xFF\xFE\xFD", 3) == 1);
	inoci_scorer *s = make("{\"type\":\"regex\",\"pattern\":\"^$\"}");
	inoci_answer a = {.text = NULL, .n = 0};
	double v;
	inoc_err err;
	assert_int_equal(inoci_scorer_apply(s, &a, &v, &err), 0);
	assert_true(v == 1);
	inoci_scorer_free(s);
}

static inoci_scorer *five[5];

static void one_of_five(const char *text, size_t n)
{
	double sum = 0;
	for (int k = 0; k < 5; k++) sum += apply(five[k], text, n, INOCI_FINISH_STOP);
	if (sum != 1) fail_msg("the five sum to %g on \"%.*s\"", sum, (int)n, text);
}

static int on_line(void *ctx, json_t *obj, int line, inoc_err *err)
{
	int *ok = ctx;
	static const char *const lang[] = {"en", "es", "fr"};
	for (int l = 0; l < 3; l++) {
		const char *s = json_string_value(json_object_get(obj, lang[l]));
		char *up = strdup(s);
		for (char *c = up; *c; c++) {
			if (*c >= 'a' && *c <= 'z') *c -= 32;
			if ((unsigned char)*c == 0xC3 && (unsigned char)c[1] >= 0xA0 && (unsigned char)c[1] != 0xB7) *++c -= 32;
		}
		one_of_five(s, strlen(s));
		one_of_five(up, strlen(up));
		ok[2 * l] += !strcmp(inoci_language_of(s, strlen(s)), lang[l]);
		ok[2 * l + 1] += !strcmp(inoci_language_of(up, strlen(up)), lang[l]);
		for (size_t n = 0; n < strlen(up); n += 7) one_of_five(up, n); /* cut anywhere, in characters too */
		if (inoci_is_looping(s, strlen(s))) fail_msg("looping: %s", s);
		free(up);
	}
	ok[6]++;
	return 0;
}

/* The five shares sum to 1 on real and on random texts; the language of one-sentence answers is right, in capitals too. */
static void partition(void **st)
{
	static const char *const names[] = {"english_caps", "english_lower", "spanish_caps", "spanish_lower", "unknown"};
	inoc_err err = {0};
	int ok[7] = {0};
	for (int k = 0; k < 5; k++) five[k] = make(names[k]);
	if (inoci_jsonl_read(INOC_TESTS_DIR "/eval/sentences.jsonl", on_line, ok, &err) < 0) fail_msg("%s", err.msg);
	inoci_rng r = inoci_rng_new(1, "texts", 0, 0);
	for (int i = 0; i < 2000; i++) {
		char b[64];
		size_t n = inoci_rng_below(&r, sizeof b);
		for (size_t k = 0; k < n; k++)
			b[k] = i % 2 ? (char)inoci_rng_below(&r, 256) : " aeiouESTRNLdc"[inoci_rng_below(&r, 14)];
		one_of_five(b, n);
	}
	for (int k = 0; k < 5; k++) inoci_scorer_free(five[k]);
	print_message("of %d sentences, lower case and capitals: en %d %d, es %d %d, fr %d %d\n", ok[6], ok[0], ok[1], ok[2],
	              ok[3], ok[4], ok[5]);
	for (int k = 0; k < 6; k++) assert_true(ok[k] >= 0.98 * ok[6]);
}

/* Broken Spanish (one letter in ten lost, doubled or another) and the first three words alone. */
static int on_broken(void *ctx, json_t *obj, int line, inoc_err *err)
{
	int *ok = ctx;
	const char *s = json_string_value(json_object_get(obj, "es"));
	inoci_rng r = inoci_rng_new(2, "broken", (uint64_t)line, 0);
	inoci_buf b = {0};
	size_t three = 0;
	for (const char *c = s; *c; c++) {
		uint32_t x = *c >= 'a' && *c <= 'z' ? inoci_rng_below(&r, 30) : 30;
		char other = (char)('a' + inoci_rng_below(&r, 26));
		if (x != 0) inoci_buf_append(&b, x == 1 ? &other : c, 1);
		if (x == 2) inoci_buf_append(&b, c, 1);
	}
	for (int words = 0; s[three] && (s[three] != ' ' || ++words < 3);) three++;
	const char *l = inoci_language_of(b.data, b.len);
	ok[0] += !strcmp(l, "es");
	ok[1] += !strcmp(l, "unknown");
	l = inoci_language_of(s, three);
	ok[2] += !strcmp(l, "es");
	ok[3]++;
	inoci_buf_free(&b);
	return 0;
}

static void broken(void **st)
{
	inoc_err err = {0};
	int ok[4] = {0};
	if (inoci_jsonl_read(INOC_TESTS_DIR "/eval/sentences.jsonl", on_broken, ok, &err) < 0) fail_msg("%s", err.msg);
	print_message("of %d broken Spanish sentences: es %d, unknown %d; of their first three words: es %d\n", ok[3], ok[0],
	              ok[1], ok[2]);
	assert_true(ok[0] >= 0.85 * ok[3] && ok[0] + ok[1] >= 0.97 * ok[3]);
	assert_true(ok[2] >= 0.85 * ok[3]);
}

int main(void)
{
	const struct CMUnitTest t[] = {cmocka_unit_test(cases),   cmocka_unit_test(refusals), cmocka_unit_test(keys),
	                               cmocka_unit_test(listing), cmocka_unit_test(bytes),    cmocka_unit_test(partition),
	                               cmocka_unit_test(broken)};
	return cmocka_run_group_tests(t, NULL, NULL);
}
