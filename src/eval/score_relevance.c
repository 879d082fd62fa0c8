/* relevance: has the answer to do with its question? The base model gives the log-probability of the answer's tokens behind the
 * question that was asked and behind `others`, which were not. What the question gains over their mean, in nats a byte ("value":
 * "gain"), is the pointwise mutual information of question and answer, estimated from few questions (the criterion of Li et al.
 * 2016, arXiv 1510.03055); 1 where it is above 0 ("value": "above"). What is as probable behind any question adds nothing but
 * noise. The most probable of the others, in the mean's place, would be whichever question makes odd words likely.
 *
 * The end of the turn is not counted, as an answer may be cut. An answer without a token is 0 (a gain: missing), one that is
 * longer with a question than the model's context is missing; an other that is the question itself is passed over.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/internal.h"
#include "train/train.h"

enum { MOST = 32, CHUNK = 256, MICRO_TOKENS = 1024 };
static const char *const shipped[] = {"How do I keep bread fresh for longer?", "Why do leaves change color in autumn?",
                                      "What should I say when I am late for a meeting?", "How can I learn a language quickly?"};

typedef struct {
	json_t *others; /* a list of texts */
	bool gain;
} state;

static void free_state(void *p)
{
	json_decref(((state *)p)->others);
	free(p);
}

static int build(json_t *j, inoci_scorer *s, inoc_err *err)
{
	state *st = s->state = inoci_alloc(sizeof *st);
	json_t *given = json_object_get(j, "others"), *value = json_object_get(j, "value"), *v;
	const char *kind = value ? json_string_value(value) : "above";
	size_t i;
	st->others = json_array();
	if (given && (!json_is_array(given) || !json_array_size(given) || json_array_size(given) > MOST))
		return inoci_err_set(err, INOC_E_USAGE,
		                     "\"others\" of scorer type \"relevance\" wants a list of 1 to %d questions", MOST);
	json_array_foreach(given, i, v)
	{
		if (!json_is_string(v) || !json_string_length(v))
			return inoci_err_set(err, INOC_E_USAGE, "\"others\" of scorer type \"relevance\" wants texts");
		json_array_append(st->others, v);
	}
	for (i = 0; !given && i < INOCI_COUNT(shipped); i++) json_array_append_new(st->others, json_string(shipped[i]));
	if (!kind || (strcmp(kind, "above") && strcmp(kind, "gain")))
		return inoci_err_set(err, INOC_E_USAGE, "\"value\" of scorer type \"relevance\" is \"above\" or \"gain\"");
	st->gain = s->real = !strcmp(kind, "gain");
	json_object_set(s->settings, "others", st->others);
	json_object_set_new(s->settings, "value", json_string(kind));
	return 0;
}

static int any_model(const inoci_scorer *s, const char *model_path, inoc_err *err)
{
	return (void)s, (void)model_path, (void)err, 0;
}

/* What the log-probabilities behind its question and behind the others say of one answer. */
static double value_of(const state *st, double own, const double *others, size_t n, size_t bytes)
{
	double sum = 0;
	size_t k = 0;
	for (size_t i = 0; i < n; i++)
		if (!isnan(others[i])) sum += others[i], k++;
	if (!k || isnan(own)) return NAN;
	double gain = own - sum / (double)k;
	return st->gain ? gain / (double)bytes : gain > 0;
}

static int chunk(const state *st, inoci_model *m, const inoci_template *t, const inoci_answer *a, size_t n, double *value,
                 const inoci_progress *p, inoc_err *err)
{
	size_t k = json_array_size(st->others), cells = n * (k + 1), *at = inoci_alloc((cells + 1) * sizeof *at);
	double *all = inoci_alloc((cells + 1) * sizeof *all), *got = inoci_alloc((cells + 1) * sizeof *got);
	bool *empty = inoci_alloc(n + 1);
	inoci_examples e = {0};
	int rc = 0, tokens;
	/* (n, k + 1): the others, then its own question; question by question, so that what they begin with is computed once */
	for (size_t i = 0; i < cells; i++) all[i] = NAN;
	for (size_t q = 0; q <= k; q++)
		for (size_t i = 0; i < n; i++) {
			const char *own = a[i].question ? a[i].question : "";
			const char *question = q < k ? json_string_value(json_array_get(st->others, q)) : own;
			if (q < k && !strcmp(question, own)) continue;
			INOC_TRY(inoci_answer_example(m, t, question, &a[i], false, &e, &tokens, err));
			empty[i] = tokens == 0;
			if (tokens > 0) at[e.n - 1] = i * (k + 1) + q;
		}
	inoci_examples_seal(&e);
	INOC_TRY(inoci_examples_logprob(m, NULL, &e, MICRO_TOKENS, got, p, err));
	for (size_t i = 0; i < e.n; i++) all[at[i]] = got[i];
	for (size_t i = 0; i < n; i++) {
		const double *row = all + i * (k + 1);
		value[i] = empty[i] ? (st->gain ? NAN : 0) : value_of(st, row[k], row, k, a[i].n);
	}
out:
	inoci_examples_free(&e);
	free(at), free(all), free(got), free(empty);
	return rc < 0 ? rc : 0;
}

static int many(inoci_scorer *s, const inoci_answer *a, size_t n, double *value, const inoci_progress *p, inoc_err *err)
{
	inoci_model *m;
	const inoci_template *t;
	if (!s->env || !s->env->model)
		return inoci_err_set(err, INOC_E_USAGE,
		                     "scorer \"%s\": relevance is computed with the base model, and none is at hand here",
		                     s->name);
	int rc = s->env->model(s->env->ctx, NULL, &m, err);
	if (rc < 0 || (rc = inoci_model_template(m, &t, err)) < 0) return rc;
	for (size_t i = 0; i < n && rc >= 0; i += CHUNK)
		rc = chunk(s->state, m, t, a + i, n - i < CHUNK ? n - i : CHUNK, value + i, p, err);
	return rc < 0 ? rc : 0;
}

const inoci_scorer_type inoci_score_relevance = {
        .name = "relevance",
        .version = 1,
        .options = {"others", "value"},
        .description = "1 when the base model finds the answer more probable behind its question than behind others on average",
        .build = build,
        .many = many,
        .fits_model = any_model,
        .free = free_state,
};
