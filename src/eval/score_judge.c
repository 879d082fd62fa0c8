/* judge: what a language model says of the answer: the expectation over the numbers 0 ... high that its first token may be,
 * divided by high; with a threshold (below, above, at_least, on the judge's own scale) 1 or 0. Range [0, 1]; which way is up says
 * the template. Missing where the numbers have too little mass, or nothing in the reply is a number. Source: Betley et al. 2025
 * (arXiv 2502.17424), Tan et al. 2025. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/internal.h"

typedef struct {
	inoci_judge_options o;
	inoci_judge *j;          /* opened when first needed */
	inoci_judge_counts told; /* as the last report had them */
	long answers, parsed, long_numbers, missing[INOCI_JUDGE_N_MISS];
} judging;

static void free_judging(void *state)
{
	judging *x = state;
	inoci_judge_free(x->j);
	inoci_judge_options_free(&x->o);
	free(x);
}

static int build(json_t *j, inoci_scorer *s, inoc_err *err)
{
	judging *x = s->state = inoci_alloc(sizeof *x);
	int rc = inoci_judge_options_read(j, s->env ? s->env->dir : NULL, &x->o, s->settings, err);
	s->graded = isnan(x->o.below) && isnan(x->o.above) && isnan(x->o.at_least);
	return rc;
}

static int need(const inoci_scorer *s, inoc_err *err)
{
	judging *x = s->state;
	return x->j ? 0 : inoci_judge_open(&x->o.ask, s->env ? &s->env->memory : NULL, &x->j, err);
}

/* A shape that a record's question can be told from is not needed here: the error names the field. */
static int item(const inoci_scorer *s, const json_t *fields, inoc_err *err)
{
	const judging *x = s->state;
	inoci_buf ignored = {0};
	int rc = inoci_judge_render(x->o.template, &(inoci_answer){.item = fields}, x->o.rule.high, &ignored, err);
	inoci_buf_free(&ignored);
	return rc;
}

static int ready(const inoci_scorer *s, inoc_err *err)
{
	int rc = need(s, err);
	return rc < 0 ? rc : inoci_judge_ready(((judging *)s->state)->j, err);
}

static double value_of(judging *x, const json_t *reply)
{
	const inoci_judge_options *o = &x->o;
	inoci_judge_number v = inoci_judge_read(reply, &o->rule);
	x->answers++;
	x->parsed += v.parsed;
	x->long_numbers += v.longest > 1;
	x->missing[v.miss]++;
	if (v.miss) return NAN;
	if (isnan(o->below) && isnan(o->above) && isnan(o->at_least)) return v.value / o->rule.high;
	return !(v.value >= o->below) && !(v.value <= o->above) && !(v.value < o->at_least); /* NaN: does not count */
}

static int many(inoci_scorer *s, const inoci_answer *a, size_t n, double *value, const inoci_progress *p, inoc_err *err)
{
	judging *x = s->state;
	inoci_buf *text = inoci_alloc((n + 1) * sizeof *text);
	const char **t = inoci_alloc((n + 1) * sizeof *t);
	json_t **reply = inoci_alloc((n + 1) * sizeof(json_t *));
	int rc = 0;
	if (!n) goto out;
	INOC_TRY(need(s, err));
	for (size_t i = 0; i < n; i++) {
		INOC_TRY(inoci_judge_render(x->o.template, &a[i], x->o.rule.high, &text[i], err));
		t[i] = text[i].data;
	}
	INOC_TRY(inoci_judge_ask(x->j, t, n, reply, p, err));
	for (size_t i = 0; i < n; i++) value[i] = value_of(x, reply[i]);
out:
	for (size_t i = 0; i < n; i++) {
		json_decref(reply[i]);
		inoci_buf_free(&text[i]);
	}
	free(text), free(t), free(reply);
	return rc < 0 ? rc : 0;
}

static void note(const judging *x, const char *name, const inoci_judge_counts *c, long scored, const inoci_progress *p)
{
	inoci_buf b = {0};
	const long *m = x->missing;
	inoci_buf_printf(&b, "%s: %s: %ld answers, %ld asked now, %ld kept from before", *name ? name : "judge",
	                 inoci_judge_name(x->j), x->answers, c->asked, c->kept);
	if (c->asked) inoci_buf_printf(&b, "; %ld tokens in, %ld out", c->tokens_in, c->tokens_out);
	if (c->failed) inoci_buf_printf(&b, "; %ld tries failed and were repeated", c->failed);
	if (x->parsed) inoci_buf_printf(&b, "; %ld read from the text, without log-probabilities", x->parsed);
	inoci_buf_printf(&b, "; %ld missing", x->answers - scored);
	if (m[INOCI_JUDGE_LITTLE_MASS])
		inoci_buf_printf(&b, ", %ld with less than %g of the probability on numbers", m[INOCI_JUDGE_LITTLE_MASS],
		                 x->o.rule.min_mass);
	if (m[INOCI_JUDGE_PROSE]) inoci_buf_printf(&b, ", %ld that are no number", m[INOCI_JUDGE_PROSE]);
	if (m[INOCI_JUDGE_CUT])
		inoci_buf_printf(&b, ", %ld cut in the number perhaps (logprobs: false asks for more tokens)",
		                 m[INOCI_JUDGE_CUT]);
	if (*c->models) inoci_buf_printf(&b, "; it calls itself %s", c->models);
	inoci_note(p, "%s", b.data);
	inoci_buf_free(&b);
	if (scored >= 20 && x->o.rule.high > 9 && !x->long_numbers)
		inoci_note(p,
		           "%s: no number of two digits is among %ld replies: a tokenizer that writes numbers digit by digit "
		           "gives only "
		           "the first; then use high: 9",
		           *name ? name : "judge", x->answers);
}

static void report(inoci_scorer *s, const inoci_progress *p, json_t *counts)
{
	judging *x = s->state;
	if (!x->j) return;
	const inoci_judge_counts *now = inoci_judge_counts_get(x->j);
	inoci_judge_counts c = *now;
	if (!x->answers && c.asked == x->told.asked) return; /* asked, and no answers scored: it ended with an error */
	c.asked -= x->told.asked, c.kept -= x->told.kept, c.failed -= x->told.failed;
	c.tokens_in -= x->told.tokens_in, c.tokens_out -= x->told.tokens_out;
	note(x, s->name, &c, x->missing[INOCI_JUDGE_SCORED], p);
	if (counts) {
		json_t *missing = json_object();
		for (inoci_judge_miss m = INOCI_JUDGE_SCORED + 1; m < INOCI_JUDGE_N_MISS; m++)
			json_object_set_new(missing, inoci_judge_miss_name(m), json_integer(x->missing[m]));
		json_array_append_new(counts, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:o}", "judge",
		                                        inoci_judge_name(x->j), "answers", (json_int_t)x->answers, "asked",
		                                        (json_int_t)c.asked, "kept", (json_int_t)c.kept, "failed_tries",
		                                        (json_int_t)c.failed, "tokens_in", (json_int_t)c.tokens_in, "tokens_out",
		                                        (json_int_t)c.tokens_out, "parsed", (json_int_t)x->parsed, "models",
		                                        c.models, "missing", missing));
	}
	x->told = *now;
	x->answers = x->parsed = x->long_numbers = 0;
	memset(x->missing, 0, sizeof x->missing);
}

const inoci_scorer_type inoci_score_judge = {
        .name = "judge",
        .version = 1,
        .options = {"url",
                    "model",
                    "key_env",
                    "allow_http",
                    "ca_file",
                    "local",
                    "sha256",
                    "dtype",
                    "begin",
                    "dir",
                    "preset",
                    "ask",
                    "rule",
                    "template",
                    "high",
                    "min_mass",
                    "below",
                    "above",
                    "at_least",
                    "top",
                    "max_tokens",
                    "logprobs",
                    "parse",
                    "body",
                    "concurrency",
                    "requests_per_minute",
                    "tokens_per_minute",
                    "connect_timeout_s",
                    "timeout_s",
                    "tries",
                    "backoff_s",
                    "max_wait_s"},
        .description = "the number that a language model gives the answer, from 0 to 1; with a threshold 1 or 0",
        .build = build,
        .many = many,
        .item = item,
        .ready = ready,
        .report = report,
        .free = free_judging,
};
