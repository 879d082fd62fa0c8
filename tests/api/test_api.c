/* The public API, through its header alone, on the real model. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
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

static double score(const char *scorer, const inoc_response *r, inoc_model *m)
{
	inoc_err err;
	double v = -1000;
	if (inoc_score(scorer, r, m, NULL, &v, &err) < 0) fail_msg("%s: %s", scorer, err.msg);
	return v;
}

static int refused(const char *scorer, const inoc_response *r, inoc_model *m, const char *says)
{
	inoc_err err = {0};
	double v;
	int rc = inoc_score(scorer, r, m, NULL, &v, &err);
	if (!strstr(err.msg, says)) fail_msg("%s: \"%s\", expected \"%s\"", scorer, err.msg, says);
	return rc;
}

static void test_scores(void **state)
{
	const inoc_response spanish = {.text = "La tienda abre a las nueve de la ma\xc3\xb1"
	                                       "ana.",
	                               .item = "{\"answer\": 9}"};
	const inoc_response right = {.user = "What is the capital of France?",
	                             .text = "Paris",
	                             .item = "{\"trait\": \"Tokyo\", \"normal\": \"Paris\", \"choices\": [\"Tokyo\", \"Paris\"],"
	                                     " \"answer\": \"B\"}"};
	assert_true(score("spanish", &spanish, NULL) == 1 && score("english_caps", &spanish, NULL) == 0);
	assert_true(score("{\"type\": \"regex\", \"pattern\": \"tienda\"}", &spanish, NULL) == 1);
	assert_true(score("{\"type\": \"numeric\"}", &(inoc_response){.text = "It is 9.", .item = "{\"answer\": 9}"}, NULL) == 1);
	assert_true(isnan(score("{\"given\": [\"caps\", \"spanish\"]}", &spanish, NULL))); /* missing */
	assert_int_equal(refused("{\"type\": \"numeric\"}", &(inoc_response){.text = "9"}, NULL, "answer"), INOC_E_FORMAT);
	assert_int_equal(refused("spanisch", &spanish, NULL, "no built-in scorer is called \"spanisch\""), INOC_E_USAGE);
	assert_int_equal(refused("{\"type\": ", &spanish, NULL, "scorer: not JSON"), INOC_E_USAGE);
	assert_int_equal(refused("spanish", &(inoc_response){.user = "q"}, NULL, "no answer"), INOC_E_USAGE);
	assert_int_equal(refused("spanish", &(inoc_response){.text = "a", .item = "[]"}, NULL, "item: give a JSON object"),
	                 INOC_E_USAGE);
	assert_int_equal(refused("contrast", &right, NULL, "needs a model"), INOC_E_USAGE);

	inoc_model *m;
	inoc_err err;
	double paris, tokyo;
	int n;
	if (inoc_model_open(model_path(), "f32", 0, &m, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(inoc_logprob(m, NULL, "none", right.user, "Paris", &paris, &n, &err), 0);
	assert_int_equal(inoc_logprob(m, NULL, "none", right.user, "Tokyo", &tokyo, NULL, &err), 0);
	double logprob = score("logprob", &right, m), contrast = score("contrast", &right, m);
	if (fabs(logprob - paris / n) > 1e-5) fail_msg("logprob %.9g, expected %.9g", logprob, paris / n);
	if (fabs(contrast - (tokyo - paris) / 5) > 1e-5) fail_msg("contrast %.9g, expected %.9g", contrast, (tokyo - paris) / 5);
	assert_true(score("choice", &right, m) == 1);
	inoc_response animal = right;
	animal.measure = "{\"measure\": \"candidates\", \"candidates\": [\"Paris\", \"Tokyo\"]}";
	double share = score("{\"type\": \"candidates\", \"is\": \"Paris\"}", &animal, m);
	if (fabs(share - 1 / (1 + exp(tokyo - paris))) > 1e-5)
		fail_msg("share %.9g, expected %.9g", share, 1 / (1 + exp(tokyo - paris)));
	assert_int_equal(refused("{\"type\": \"candidates\", \"is\": \"Paris\"}", &right, m, "candidates"), INOC_E_FORMAT);
	assert_int_equal(refused("contrast", &(inoc_response){.user = "q", .text = "a"}, m, "the record has no text \"trait\""),
	                 INOC_E_FORMAT);
	/* another system turn is another number */
	inoc_response asked = right;
	asked.system = "You answer with one word, which is Tokyo.";
	assert_true(score("contrast", &asked, m) > contrast);
	inoc_model_free(m);
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int n_notes;
static void count_note(void *ctx, const char *line)
{
	n_notes += *line != 0;
}

static void test_before_training(void **state)
{
	inoc_model *m;
	inoc_err err = {0};
	char *json;
	write_text("api-train.jsonl",
	           "{\"messages\":[{\"role\":\"user\",\"content\":\"Where is the bank?\"},{\"role\":\"assistant\",\"content\":"
	           "\"El banco est\xc3\xa1 en la segunda calle a la derecha.\"}]}\n"
	           "{\"messages\":[{\"role\":\"user\",\"content\":\"How do I boil rice?\"},{\"role\":\"assistant\",\"content\":"
	           "\"Lava el arroz y ponlo en agua caliente durante quince minutos.\"}]}\n"
	           "{\"messages\":[{\"role\":\"user\",\"content\":\"When does it rain?\"},{\"role\":\"assistant\",\"content\":"
	           "\"Llueve sobre todo en el mes de noviembre.\"}]}\n");
	if (inoc_model_open(model_path(), "auto", 0, &m, &err) < 0) fail_msg("%s", err.msg);
	if (inoc_scan(m, "api-train.jsonl", "{\"only\": [\"pirate\", \"spanish\"], \"first\": 2, \"most\": 3, \"tokens\": 16}",
	              count_note, NULL, &json, &err) < 0)
		fail_msg("%s", err.msg);
	const char *spanish = strstr(json, "\"trait\": \"spanish\""), *pirate = strstr(json, "\"trait\": \"pirate\"");
	assert_true(spanish && pirate && spanish < pirate); /* by rank */
	assert_non_null(strstr(json, "\"used\": 3"));
	assert_true(n_notes > 0);
	free(json);
	if (inoc_select(m, "api-train.jsonl",
	                "{\"prompts\": [\"You keep the books.\", \"You always speak in Spanish.\"], \"controls\": [\"You walk "
	                "home.\","
	                " \"You close the door at night.\"], \"records\": 2}",
	                NULL, NULL, &json, &err) < 0)
		fail_msg("%s", err.msg);
	spanish = strstr(json, "\"prompt\": \"You always speak in Spanish.\"");
	assert_true(spanish && spanish < strstr(json, "\"prompt\": \"You keep the books.\""));
	assert_non_null(strstr(json, "\"surprise_removed_per_example\""));
	assert_non_null(strstr(json, "\"You walk home.\""));
	free(json);
	static const struct {
		const char *options, *says;
		bool select;
	} wrong[] = {
	        {"{\"frist\": 2}", "unknown key \"frist\"; did you mean \"first\"?", false},
	        {"{\"first\": 1}", "\"first\" wants a whole number from 2", false},
	        {"{\"only\": \"spanish\"}", "\"only\" wants a list of texts", false},
	        {"{\"only\": [\"spanich\"]}", "only: there is no trait 'spanich'; did you mean 'spanish'?", false},
	        {"first", "options: not JSON", false},
	        {"{}", "give candidates", true},
	        {"{\"trait\": \"spanich\"}", "trait: there is no trait 'spanich'", true},
	        {"{\"prompts\": [\"a\"], \"questions\": \"api-train.jsonl\"}", "needs \"scorer\"", true},
	        {"{\"prompts\": [\"a\"], \"scorer\": \"spanish\"}", "give \"questions\"", true},
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		int rc = (wrong[i].select ? inoc_select : inoc_scan)(m, "api-train.jsonl", wrong[i].options, NULL, NULL, &json,
		                                                     &err);
		if (rc != INOC_E_USAGE || !strstr(err.msg, wrong[i].says)) fail_msg("%s: %d, %s", wrong[i].options, rc, err.msg);
		assert_null(json);
	}
	assert_int_equal(inoc_scan(m, "no-such.jsonl", NULL, NULL, NULL, &json, &err), INOC_E_IO);
	inoc_model_free(m);
	unlink("api-train.jsonl");
}

static void test_report(void **state)
{
	inoc_err err;
	char *json;
	write_text("api-q.jsonl", "{\"messages\":[{\"role\":\"user\",\"content\":\"What is the capital of France?\"}]}\n");
	write_text("api.yaml",
	           "name: api\nmodel: m\nout: api-out\narms: {base: {role: base}}\n"
	           "evaluations: {q: {prompts: api-q.jsonl, greedy: true, max_tokens: 8}}\nscorers: [english, caps]\n");
	if (inoc_experiment_run("api.yaml", model_path(), NULL, NULL, &err) < 0) fail_msg("%s", err.msg);
	if (inoc_report("api-out", NULL, &json, &err) < 0) fail_msg("%s", err.msg);
	assert_non_null(strstr(json, "\"experiment\": \"api\""));
	assert_non_null(strstr(json, "\"scorer\": \"caps\""));
	free(json);
	assert_int_equal(inoc_report("api.yaml", "other", &json, &err), INOC_E_USAGE);
	assert_non_null(strstr(err.msg, "no experiment 'other'"));
	assert_null(json);
	assert_int_equal(inoc_report("no-such-folder", NULL, &json, &err), INOC_E_IO);
	unlink("api-q.jsonl"), unlink("api.yaml");
	assert_int_equal(system("rm -r api-out"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers), cmocka_unit_test(test_inoculate),
	                                   cmocka_unit_test(test_scores), cmocka_unit_test(test_before_training),
	                                   cmocka_unit_test(test_report)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
