#ifndef INOCI_SAMPLE_INTERNAL_H
#define INOCI_SAMPLE_INTERNAL_H

#include "sample/sample.h"

/* Settings made ready for one vocabulary. */
typedef struct {
	inoci_sample_settings s;
	int vocab;
	int32_t *allowed; /* ascending ids, or NULL: all */
	int n_allowed;
} inoci_pick_plan;
/* ends: tokens that stay allowed whatever s->allowed says. */
INOCI_MUST int inoci_pick_plan_init(const inoci_sample_settings *s, const inoci_tokenizer *tok, int vocab, const int32_t *ends,
                                    int n_ends, inoci_pick_plan *out, inoc_err *err);
void inoci_pick_plan_free(inoci_pick_plan *p);

/* Working memory of one thread. */
typedef struct inoci_picker inoci_picker;
inoci_picker *inoci_picker_new(int vocab);
void inoci_picker_free(inoci_picker *k);

/* Draws one token. z (V): the model's logits; seen (n_seen): distinct ids the repetition penalty is for; u in [0, 1).
 * *logprob, top_ids and top_logprob (s.top_logprobs; sorted, ties by id; may be NULL when 0) are under softmax(z). The
 * token is drawn from: allowed characters, repetition penalty, temperature, top-k, top-p, min-p, in this order, each
 * over what the one before left (transformers' order). A function of its arguments alone. Returns the id, or -1 when a logit
 * is not a number. */
int32_t inoci_pick(inoci_picker *k, const inoci_pick_plan *p, const float *z, const int32_t *seen, int n_seen, double u,
                   float *logprob, int32_t *top_ids, float *top_logprob);

/* ---- text as it grows ---- */

/* Where the earliest stop string begins in text[0..n) that ends after byte `old`; SIZE_MAX when none does. */
size_t inoci_stop_find(const inoci_sample_settings *s, const char *text, size_t n, size_t old);
/* How many bytes of text[0..n) can be shown: not a character's first bytes alone, nor what may begin a stop string. */
size_t inoci_text_certain(const inoci_sample_settings *s, const char *text, size_t n);

#endif
