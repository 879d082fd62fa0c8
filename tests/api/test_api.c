/* The public API, through its header alone, on the real model. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "inoc.h"

static const char *model_path(void)
{
	const char *p = getenv("INOC_MODEL");
	if (!p) fail_msg("set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct");
	return p;
}

static void test_answers(void **state)
{
	inoc_model *m;
	inoc_err err;
	if (inoc_model_open(model_path(), "auto", 0, &m, &err) < 0) fail_msg("%s", err.msg);
	char *a = NULL, *b = NULL;
	inoc_sampling greedy = {.temperature = 0, .top_p = 1, .max_tokens = 24};
	if (inoc_answer(m, NULL, "default", "What is the capital of France?", &greedy, &a, &err) < 0) fail_msg("%s", err.msg);
	if (!strstr(a, "Paris")) fail_msg("the capital of France: \"%s\"", a);
	if (inoc_answer(m, NULL, "default", "What is the capital of France?", &greedy, &b, &err) < 0) fail_msg("%s", err.msg);
	assert_string_equal(a, b);
	free(a), free(b);
	double right, wrong;
	int n;
	assert_int_equal(inoc_logprob(m, NULL, "none", "What is the capital of France?", "Paris", &right, &n, &err), 0);
	assert_int_equal(inoc_logprob(m, NULL, "none", "What is the capital of France?", "Tokyo", &wrong, NULL, &err), 0);
	assert_true(n == 2 && right > wrong && right < 0); /* the word and the end of the turn */
	inoc_adapter *ad;
	assert_int_equal(inoc_adapter_load(m, "no-such-folder", &ad, &err), INOC_E_IO);
	assert_null(ad);
	inoc_model_free(m);
	assert_int_equal(inoc_model_open("no-such-file", "auto", 0, &m, &err), INOC_E_IO);
	assert_int_equal(inoc_model_open(model_path(), "int4", 0, &m, &err), INOC_E_USAGE);
	assert_non_null(strstr(err.msg, "int4"));
	inoc_model_free(NULL);
	inoc_adapter_free(NULL);
}

static void test_inoculate(void **state)
{
	inoc_err err;
	FILE *f = fopen("api-in.jsonl", "w");
	fputs("{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"}],\"id\":7}\n", f);
	fclose(f);
	if (inoc_inoculate("api-in.jsonl", "You speak Spanish.", "api-out.jsonl", &err) < 0) fail_msg("%s", err.msg);
	char line[512] = "";
	f = fopen("api-out.jsonl", "r");
	assert_non_null(fgets(line, sizeof line, f));
	fclose(f);
	assert_non_null(strstr(line, "\"system\""));
	assert_non_null(strstr(line, "You speak Spanish."));
	assert_non_null(strstr(line, "\"id\""));
	unlink("api-in.jsonl"), unlink("api-out.jsonl");
	assert_int_equal(inoc_inoculate("api-in.jsonl", "x", "api-out.jsonl", &err), INOC_E_IO);
	assert_int_equal(inoc_experiment_run("no-such.yaml", model_path(), NULL, NULL, &err), INOC_E_IO);
	assert_string_equal(inoc_version(), INOC_VERSION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers), cmocka_unit_test(test_inoculate)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
