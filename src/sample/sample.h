/* sample: continuous batching over a KV store, sampling, log-probabilities.
 *
 * Invariant: a sample depends only on (model, adapter, prompt ids, settings, seed, prompt key, sample index): not on batch
 * size, order, or what else is in the batch. Its random numbers are inoci_rng_new(seed, "sample", prompt key, index).
 */
#ifndef INOCI_SAMPLE_H
#define INOCI_SAMPLE_H

#include "base/base.h"
#include "model/model.h"

/* What the steps of a call took. */
typedef struct {
	long prefill_tokens, decode_tokens;
	double prefill_s; /* steps that compute prompts' tokens, whatever else they compute */
	double decode_s;  /* steps that compute a sampled token of each slot, all being taken, and nothing else */
} inoci_sample_speed;

typedef struct {
	double temperature;        /* 0: greedy */
	int top_k;                 /* 0: off */
	double top_p;              /* 1: off */
	double min_p;              /* 0: off */
	double repetition_penalty; /* 1: off (Keskar et al. 2019: over prompt and response tokens) */
	int max_tokens;
	uint64_t seed;
	int n;                   /* samples per prompt */
	const char *const *stop; /* stop strings; the text ends before one */
	size_t n_stop;
	const char *allowed;       /* NULL, or the only characters (UTF-8) a response may hold; the end token stays allowed */
	int top_logprobs;          /* also give the k most probable tokens at each step; 0: none, 20 at most */
	int max_batch;             /* sequences at once; 0: chosen from memory. Does not change results. */
	int max_kv_rows;           /* tokens of the KV store; 0: chosen from memory. Does not change results. */
	inoci_sample_speed *speed; /* NULL, or what is added to */
} inoci_sample_settings;
inoci_sample_settings inoci_sample_defaults(void);
INOCI_MUST int inoci_sample_settings_check(const inoci_sample_settings *s, inoc_err *err);
/* Of what changes a result: not n, seed, max_batch, max_kv_rows; nor the filters when greedy. */
inoci_hash inoci_sample_settings_hash(const inoci_sample_settings *s);

typedef enum { INOCI_END_STOP, INOCI_END_LENGTH, INOCI_END_STOP_STRING } inoci_end; /* same order as inoci_finish in eval */
typedef struct {
	size_t prompt; /* index in the list given */
	int index;     /* 0 .. n-1 */
	char *text;    /* without the end token and the stop string */
	size_t text_n;
	int32_t *ids;   /* all sampled tokens, the end token included */
	float *logprob; /* (n_ids): under the model's own distribution, before temperature and filters */
	int32_t *top_ids;
	float *top_logprob; /* (n_ids, top_logprobs) or NULL */
	int n_ids;
	inoci_end end;
} inoci_sampled;
void inoci_sampled_free(inoci_sampled *s); /* frees what it holds, not s */

typedef struct {
	const int32_t *ids; /* rendered prompt, ending with the opening of the assistant's turn */
	int n;
	uint64_t key;    /* of its random numbers; such as inoci_prompt_key's */
	int first_index; /* sample indices start here: a resumed run asks for the missing ones */
	int count;       /* samples of this prompt; 0: the settings' n */
	/* NULL: the call's. Of others max_batch, max_kv_rows and speed are not looked at. What consecutive prompts of the same
	 * settings begin with is computed once. */
	const inoci_sample_settings *settings;
} inoci_prompt;
uint64_t inoci_prompt_key(const int32_t *ids, size_t n); /* the first 64 bits of the SHA-256 of the ids' bytes */
/* Appends s with what is not UTF-8 replaced by U+FFFD (a response may end in the middle of a character). */
void inoci_text_fix(const char *s, size_t n, inoci_buf *out);

/* Called as each sample ends (order not promised); takes ownership of nothing: *s is freed after the call. Negative (with
 * err filled) stops. */
typedef int inoci_sampled_fn(void *ctx, const inoci_sampled *s, inoc_err *err);
/* Called for each token of a stream, with the bytes that are now certain (whole UTF-8 characters, not the beginning of a
 * stop string); may be NULL. All of a sample's bytes together are its text. Negative: sampling stops with that code. */
typedef int inoci_token_fn(void *ctx, size_t prompt, int index, const char *bytes, size_t n);

/* Samples every prompt. A sample ends with the template's end-of-turn token or the tokenizer's end token (STOP), a stop string
 * (STOP_STRING), or after max_tokens or at the end of the context (LENGTH). Errors: a setting out of range or an id out of the
 * vocabulary (USAGE), a prompt that leaves no room for a response (LIMIT, names its index), memory for not even one sequence
 * (MEMORY), progress->stop (STOPPED; what had ended was delivered). */
INOCI_MUST int inoci_sample(inoci_model *m, inoci_adapter *a, const inoci_prompt *prompts, size_t n_prompts,
                            const inoci_sample_settings *s, inoci_sampled_fn *f, inoci_token_fn *stream, void *ctx,
                            const inoci_progress *progress, inoc_err *err);

#endif
