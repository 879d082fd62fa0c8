/* Scorers of measured answers: cases from measured_cases.txt; the answers' form; which evaluations a scorer says something of. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/eval.h"

static int make(const char *settings, inoci_scorer **s, inoc_err *err)
{
	json_t *j = json_loads(settings, 0, NULL);
	if (!j) j = json_string(settings);
	int rc = inoci_scorer_new("t", j, s, err);
	json_decref(j);
	return rc;
}

static int apply(const char *settings, const char *text, double *v, inoc_err *err)
{
	inoci_scorer *s;
	const inoci_answer a = {.text = text, .n = strlen(text), .finish = INOCI_FINISH_MEASURED};
	int rc = make(settings, &s, err);
	if (rc == 0) {
		assert_true(inoci_scorer_measured(s));
		rc = inoci_scorer_apply(s, &a, v, err);
		inoci_scorer_free(s);
	}
	return rc;
}

static void cases(void **state)
{
	FILE *f = fopen(INOC_TESTS_DIR "/eval/measured_cases.txt", "r");
	char *line = NULL, *scorer = NULL, *answer = NULL;
	size_t cap = 0;
	int no = 0, ran = 0, bad = 0;
	assert_non_null(f);
	while (getline(&line, &cap, f) > 0) {
		inoc_err err = {0};
		double got = -1;
		no++;
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "scorer: ", 8)) {
			free(scorer);
			scorer = strdup(line + 8);
		} else if (!strncmp(line, "answer: ", 8)) {
			free(answer);
			answer = strdup(line + 8);
		} else if (!strncmp(line, "value: ", 7)) {
			double want = strtod(line + 7, NULL);
			ran++;
			if (apply(scorer, answer, &got, &err) < 0) fail_msg("measured_cases.txt:%d: %s", no, err.msg);
			if (!(fabs(got - want) <= 1e-9) && !(isnan(got) && isnan(want))) {
				print_error("measured_cases.txt:%d: %s gives %.12g, not %.12g\n", no, scorer, got, want);
				bad++;
			}
		} else if (!strncmp(line, "refused: ", 9)) {
			inoci_scorer *s = NULL;
			ran++;
			if (make(scorer, &s, &err) != INOC_E_USAGE || !strstr(err.msg, line + 9)) {
				print_error("measured_cases.txt:%d: %s gives \"%s\"\n", no, scorer, err.msg);
				bad++;
			}
		} else if (line[0] && line[0] != '#') {
			fail_msg("measured_cases.txt:%d: \"%s\"?", no, line);
		}
	}
	free(line), free(scorer), free(answer);
	fclose(f);
	assert_int_equal(bad, 0);
	assert_true(ran > 50);
}

/* Written and read back; the numbers to 12 digits. */
static void form(void **state)
{
	inoci_measured_text v[] = {{"trait", "¡Hola, \"tú\"!", -7.125, -0.25, 6, 14},
	                           {"normal", "Hi.", -1e-7 / 3, -1234567.875, 2, 3}};
	inoci_measured m = {"contrast", v, 2, -1, NULL}, got;
	inoc_err err = {0};
	char *s = inoci_measured_json(&m);
	if (inoci_measured_read(s, strlen(s), &got, &err) < 0) fail_msg("%s", err.msg);
	assert_string_equal(got.measure, "contrast");
	assert_int_equal(got.n, 2);
	assert_int_equal(got.answer, -1);
	for (int i = 0; i < 2; i++) {
		assert_string_equal(got.v[i].name, v[i].name);
		assert_string_equal(got.v[i].text, v[i].text);
		assert_true(fabs(got.v[i].sum - v[i].sum) <= 1e-11 * fabs(v[i].sum) && got.v[i].end == v[i].end);
		assert_int_equal(got.v[i].tokens, v[i].tokens);
		assert_int_equal(got.v[i].bytes, v[i].bytes);
	}
	inoci_measured_free(&got);
	free(s);
	m.answer = 1;
	s = inoci_measured_json(&m);
	if (inoci_measured_read(s, strlen(s), &got, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(got.answer, 1);
	inoci_measured_free(&got);
	free(s);
}

static void no_form(void **state)
{
#define ONE(x) "{\"measure\":\"logprob\",\"texts\":[{\"name\":\"reference\"," x "}]}"
	static const char *const t[] = {
	        "",
	        "Hola.",
	        "[]",
	        "{\"measure\":\"logprob\",\"texts\":[]}",
	        "{\"texts\":[{\"name\":\"a\",\"sum\":-1,\"end\":0,\"tokens\":1,\"bytes\":1}]}",
	        ONE("\"sum\":-1,\"end\":0,\"tokens\":1"),
	        ONE("\"sum\":-1,\"end\":0,\"tokens\":0,\"bytes\":1"),
	        ONE("\"sum\":-1,\"end\":null,\"tokens\":1,\"bytes\":1"),
	        ONE("\"end\":0,\"tokens\":1,\"bytes\":1"),
	        "{\"measure\":\"choice\",\"answer\":1,\"texts\":[{\"name\":\"A\",\"sum\":-1,\"end\":0,\"tokens\":1,\"bytes\":1}]"
	        "}",
	        "{\"measure\":\"choice\",\"answer\":\"A\",\"texts\":[{\"name\":\"A\",\"sum\":-1,\"end\":0,\"tokens\":1,\"bytes\":"
	        "1}]}",
	};
	for (size_t i = 0; i < INOCI_COUNT(t); i++) {
		inoc_err err = {0};
		double v;
		if (apply("logprob", t[i], &v, &err) != INOC_E_STORE || !strstr(err.msg, "not JSON of log-probabilities"))
			fail_msg("%s: \"%s\"", t[i], err.msg);
	}
}

static void fits(void **state)
{
	static const struct {
		const char *scorer, *measure, *names; /* measure NULL: sampled */
		bool fits;
	} t[] = {
	        {"english", NULL, "", true},
	        {"english", "logprob", "reference", false},
	        {"logprob", "logprob", "reference", true},
	        {"logprob", NULL, "", false},
	        {"logprob", "contrast", "trait normal", false},
	        {"{\"type\":\"logprob\",\"of\":\"trait\"}", "contrast", "trait normal", true},
	        {"{\"type\":\"logprob\",\"of\":\"A\"}", "choice", "A B", false},
	        {"contrast", "contrast", "trait normal", true},
	        {"contrast", "contrast", "other normal trait", true},
	        {"contrast", "contrast", "trait", false},
	        {"contrast", "logprob", "trait normal", true},
	        {"contrast", "candidates", "trait normal", false},
	        {"choice", "choice", "", true},
	        {"choice", "candidates", "owl", false},
	        {"{\"type\":\"candidates\",\"is\":\"owl\"}", "candidates", "dog owl", true},
	        {"{\"type\":\"candidates\",\"is\":[\"owl\",\"fox\"]}", "candidates", "dog owl", false},
	        {"{\"not\":\"choice\"}", "choice", "", true},
	        {"{\"not\":\"choice\"}", NULL, "", false},
	        {"{\"not\":\"english\"}", NULL, "", true},
	        {"{\"all\":[\"choice\",\"english\"]}", "choice", "", false},
	        {"{\"all\":[\"choice\",\"english\"]}", NULL, "", false},
	};
	for (size_t i = 0; i < INOCI_COUNT(t); i++) {
		inoci_scorer *s;
		inoc_err err = {0};
		const char *names[8];
		size_t n = 0;
		char *copy = strdup(t[i].names), *save = NULL;
		for (char *p = strtok_r(copy, " ", &save); p; p = strtok_r(NULL, " ", &save)) names[n++] = p;
		if (make(t[i].scorer, &s, &err) < 0) fail_msg("%s", err.msg);
		if (inoci_scorer_fits(s, t[i].measure, names, n) != t[i].fits)
			fail_msg("%s on %s (%s)", t[i].scorer, t[i].measure ? t[i].measure : "samples", t[i].names);
		inoci_scorer_free(s);
		free(copy);
	}
}

/* Whether it is a share is a matter of settings, and so is the change. */
static void ranges(void **state)
{
	static const struct {
		const char *scorer;
		bool real;
		const char *change;
	} t[] = {
	        {"choice", false, NULL},
	        {"{\"type\":\"choice\",\"value\":\"prob\"}", false, NULL},
	        {"{\"type\":\"choice\",\"change\":\"base\"}", true, "base"},
	        {"{\"type\":\"choice\",\"change\":\"none\"}", false, NULL},
	        {"contrast", true, NULL},
	        {"{\"type\":\"contrast\",\"change\":\"base\"}", true, "base"},
	        {"logprob", true, NULL},
	        {"{\"type\":\"candidates\",\"is\":\"a\",\"change\":\"clean\"}", true, "clean"},
	        {"{\"type\":\"candidates\",\"is\":\"a\"}", false, NULL},
	        {"{\"type\":\"candidates\",\"is\":\"a\",\"value\":\"logodds\"}", true, NULL},
	};
	for (size_t i = 0; i < INOCI_COUNT(t); i++) {
		inoci_scorer *s;
		inoc_err err = {0};
		if (make(t[i].scorer, &s, &err) < 0) fail_msg("%s", err.msg);
		const char *change = inoci_scorer_change(s);
		if (inoci_scorer_real(s) != t[i].real || !change != !t[i].change || (change && strcmp(change, t[i].change) != 0))
			fail_msg("%s", t[i].scorer);
		inoci_scorer_free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(cases), cmocka_unit_test(form),   cmocka_unit_test(no_form),
	        cmocka_unit_test(fits),  cmocka_unit_test(ranges),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
