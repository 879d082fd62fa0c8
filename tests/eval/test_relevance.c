/* relevance: log-probabilities behind questions against those of the model's logits; answers that are empty, cut, too long; what
 * is refused; on a tiny model. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../model/tiny.h"
#include "eval/internal.h"

static char *path;
static inoci_ops *ops;
static inoci_model *model;

static void must(int rc, const inoc_err *err)
{
	if (rc < 0) fail_msg("%s", err->msg);
}

static int setup(void **state)
{
	inoc_err err;
	path = tiny_model("relevance");
	must(inoci_ops_ref(INOCI_DTYPE_F32, &ops, &err), &err);
	must(inoci_model_open(path, ops, false, "chatml", NULL, &model, &err), &err);
	return 0;
}

static int teardown(void **state)
{
	inoci_model_free(model);
	ops->free(ops);
	unlink(path);
	free(path);
	return 0;
}

static int give_model(void *ctx, const char *sha256, inoci_model **out, inoc_err *err)
{
	assert_null(sha256); /* whichever the answers come from */
	++*(int *)ctx;
	*out = model;
	return 0;
}

/* The answer's log-probability behind the question, token by token from the logits. */
static double logprob(const char *question, const char *answer)
{
	const inoci_template *t;
	inoci_rendered v = {0};
	inoci_batch b = {0};
	inoc_err err;
	char *q = inoci_strdup(question), role[] = "user";
	const inoci_msg msg = {role, q};
	must(inoci_model_template(model, &t, &err), &err);
	must(inoci_render(t, &msg, 1, (inoci_sys){INOCI_SYS_NONE, NULL}, true, &v, &err), &err);
	size_t head = v.ids.n;
	inoci_tok_encode(model->tok, answer, strlen(answer), &v.ids);
	int n = (int)v.ids.n, V = model->hp.vocab;
	int32_t *rows = inoci_alloc((size_t)n * sizeof *rows), *none = inoci_alloc((size_t)n * sizeof *none);
	float *logits = inoci_alloc((size_t)n * (size_t)V * sizeof *logits);
	inoci_workspace *w = inoci_workspace_new();
	for (int i = 0; i < n; i++) rows[i] = i;
	inoci_batch_add(&b, v.ids.v, none, n, 1);
	must(inoci_model_logits(model, NULL, &b, w, rows, n, logits, &err), &err);
	double sum = 0;
	for (size_t i = head; i < v.ids.n; i++) {
		const float *z = logits + (i - 1) * (size_t)V;
		double all = 0;
		for (int k = 0; k < V; k++) all += exp((double)z[k]);
		sum += (double)z[v.ids.v[i]] - log(all);
	}
	inoci_workspace_free(w);
	inoci_batch_free(&b);
	inoci_rendered_free(&v);
	free(q), free(rows), free(none), free(logits);
	return sum;
}

static const char *const others[] = {"why?", "what about tea?", "and then"};

static inoci_scorer *make(const char *value, const inoci_scorer_env *env)
{
	inoci_scorer *s;
	inoc_err err;
	json_t *j = json_pack("{s:s, s:[s, s, s], s:s}", "type", "relevance", "others", others[0], others[1], others[2], "value",
	                      value);
	must(inoci_scorer_new_in("sense", j, env, &s, &err), &err);
	json_decref(j);
	return s;
}

static void values(void **state)
{
	int calls = 0, ones = 0, zeros = 0;
	const inoci_scorer_env env = {.model = give_model, .ctx = &calls};
	inoci_scorer *above = make("above", &env), *gain = make("gain", &env);
	static const char *const texts[] = {"tea is fine", "NO",     "yes, in spring", "12 7 9", "caf\xc3\xa9 caf\xc3\xa9",
	                                    "x",           "of the", "-- --"};
	static const char *const questions[] = {"what about tea?", "which one?", "when", "how many apples"};
	inoc_err err;
	assert_false(inoci_scorer_real(above));
	assert_true(inoci_scorer_real(gain) && inoci_scorer_costs(above));
	for (size_t q = 0; q < INOCI_COUNT(questions); q++)
		for (size_t i = 0; i < INOCI_COUNT(texts); i++) {
			const inoci_answer a = {.question = questions[q], .text = texts[i], .n = strlen(texts[i])};
			double own = logprob(questions[q], texts[i]), sum = 0, got;
			int k = 0;
			for (size_t o = 0; o < INOCI_COUNT(others); o++) {
				if (!strcmp(others[o], questions[q])) continue; /* the question itself is no other */
				sum += logprob(others[o], texts[i]), k++;
			}
			must(inoci_scorer_apply(gain, &a, &got, &err), &err);
			double want = (own - sum / k) / (double)a.n;
			if (!(fabs(got - want) < 1e-4)) fail_msg("%s / %s: %.9g, not %.9g", questions[q], texts[i], got, want);
			must(inoci_scorer_apply(above, &a, &got, &err), &err);
			if (fabs(want) > 1e-4 && got != (want > 0))
				fail_msg("%s / %s: %g, with a gain of %.9g", questions[q], texts[i], got, want);
			ones += got == 1, zeros += got == 0;
		}
	assert_true(ones > 0 && zeros > 0);
	assert_int_equal(calls, 2 * INOCI_COUNT(questions) * INOCI_COUNT(texts));
	inoci_scorer_free(above), inoci_scorer_free(gain);
}

/* More than one chunk of answers, alone and together the same; without a token, without a question, too long. */
static void edges(void **state)
{
	enum { N = 600 };
	int calls = 0;
	const inoci_scorer_env env = {.model = give_model, .ctx = &calls}, bare = {.dir = NULL};
	inoci_scorer *above = make("above", &env), *gain = make("gain", &env), *s;
	static char longer[2 * TINY_CTX], text[N][16];
	static inoci_answer a[N];
	static double together[N], rule[N];
	double one;
	inoc_err err;
	memset(longer, 'x', sizeof longer);
	for (int i = 0; i < N; i++) {
		snprintf(text[i], sizeof text[i], "%d of %d", i, i % 7);
		a[i] = (inoci_answer){.question = "which?", .text = text[i], .n = strlen(text[i])};
	}
	a[1].text = "", a[1].n = 0;
	a[2].question = NULL;
	a[3].text = longer, a[3].n = sizeof longer;
	must(inoci_scorer_apply_many(gain, a, N, together, NULL, &err), &err);
	must(inoci_scorer_apply_many(above, a, N, rule, NULL, &err), &err);
	for (int i = 0; i < N; i += i < 4 ? 1 : 85) {
		must(inoci_scorer_apply(gain, &a[i], &one, &err), &err);
		if (i == 1 || i == 3 ? !isnan(one) || !isnan(together[i]) : one != together[i])
			fail_msg("answer %d: %g, alone %g", i, together[i], one);
	}
	assert_true(rule[1] == 0 && isnan(rule[3]) && !isnan(rule[2]));
	inoci_scorer_free(above), inoci_scorer_free(gain);
	s = make("above", &bare);
	assert_int_equal(inoci_scorer_apply(s, a, &one, &err), INOC_E_USAGE);
	assert_non_null(strstr(err.msg, "scorer \"sense\": relevance is computed with the base model, and none is at hand"));
	inoci_scorer_free(s);
}

static void settings(void **state)
{
	static const struct {
		const char *json, *says;
	} bad[] = {{"{\"type\":\"relevance\",\"others\":[]}", "wants a list of 1 to 32 questions"},
	           {"{\"type\":\"relevance\",\"others\":\"why?\"}", "wants a list of 1 to 32 questions"},
	           {"{\"type\":\"relevance\",\"others\":[\"why?\",3]}", "wants texts"},
	           {"{\"type\":\"relevance\",\"value\":\"best\"}", "is \"above\" or \"gain\""},
	           {"{\"type\":\"relevance\",\"other\":[]}", "has no option \"other\""},
	           {"{\"all\":[{\"type\":\"relevance\",\"value\":\"gain\"}]}", "gives any number here"}};
	inoci_scorer *s, *t;
	inoc_err err;
	for (size_t i = 0; i < INOCI_COUNT(bad); i++) {
		json_t *j = json_loads(bad[i].json, 0, NULL);
		assert_int_equal(inoci_scorer_new("x", j, &s, &err), INOC_E_USAGE);
		if (!strstr(err.msg, bad[i].says)) fail_msg("%s: %s", bad[i].json, err.msg);
		json_decref(j);
	}
	/* the default is written out; it is a rule, and may be combined */
	json_t *j = json_loads("{\"type\":\"relevance\"}", 0, NULL),
	       *k = json_loads("{\"all\":[{\"type\":\"relevance\"},\"english\"]}", 0, NULL);
	must(inoci_scorer_new("x", j, &s, &err), &err);
	must(inoci_scorer_new("x", k, &t, &err), &err);
	assert_int_equal(json_array_size(json_object_get(inoci_scorer_settings_get(s), "others")), 4);
	assert_string_equal(json_string_value(json_object_get(inoci_scorer_settings_get(s), "value")), "above");
	inoci_scorer_free(s), inoci_scorer_free(t);
	json_decref(j), json_decref(k);
}

int main(void)
{
	const struct CMUnitTest t[] = {cmocka_unit_test(values), cmocka_unit_test(edges), cmocka_unit_test(settings)};
	return cmocka_run_group_tests(t, setup, teardown);
}
