#ifndef INOCI_TRAIN_INTERNAL_H
#define INOCI_TRAIN_INTERNAL_H

#include "train/train.h"

typedef struct {
	char key[64]; /* hash of model, data, configuration and numerics */
	int32_t step; /* optimizer steps done */
	int32_t bad;  /* validations in a row without improvement */
	int32_t stopped, best_step;
	double best_val, last_loss, seconds;
	int64_t tokens;
} inoci_train_state;

/* best: the best parameters so far, kept with early stopping; else NULL. mv: AdamW's two moments, one behind the other. */
INOCI_MUST int inoci_checkpoint_save(const char *path, const inoci_train_state *st, const inoci_adapter *a, const float *mv,
                                     const float *best, inoc_err *err);
INOCI_MUST int inoci_checkpoint_load(const char *path, const inoci_hash *key, inoci_train_state *st, inoci_adapter *a, float *mv,
                                     float *best, inoc_err *err);

/* ---- packing ---- */

typedef struct {
	const inoci_example *x;
	size_t at; /* its place in the step, which breaks ties */
} inoci_packed;
/* How many of x's tokens are computed: those up to the one that predicts its last token with loss; at least one. */
int inoci_pack_needed(const inoci_example *x);
/* Tokens at the head of both that may be held once. */
int inoci_pack_common(const inoci_example *a, const inoci_example *b);
/* Puts v in order of its examples' tokens, so that those that begin alike are neighbours. */
void inoci_pack_sort(inoci_packed *v, size_t n);
/* Makes a batch of examples v (n), which are put in order of their tokens; without `share` in the order given, each apart. An
 * example's targets stand together, examples in the order of v. */
void inoci_pack(inoci_batch *b, inoci_packed *v, size_t n, bool share, float weight);

/* The examples of a step that is more than one micro-batch: all that several begin with is the stem, once; the rest are leaves.
 */
typedef struct {
	const inoci_example *x;
	int parent, from; /* the stem's segment that holds the tokens before `from`; from 0: none */
} inoci_leaf;
typedef struct {
	inoci_batch stem;
	inoci_leaf *leaves;
	size_t n, cap;
	long tokens; /* of the stem and the leaves */
} inoci_forest;
/* Puts v (n) in order. */
void inoci_forest_make(inoci_forest *f, inoci_packed *v, size_t n);
void inoci_forest_free(inoci_forest *f);
/* Is it to be computed so? When it is more than a micro-batch and its stem no longer than one or than the longest example, which
 * is computed at once anyway. */
bool inoci_forest_pays(const inoci_forest *f, int micro_tokens, int longest);
/* How many leaves from `at` on make a micro-batch of at most micro_tokens (but at least one); *tokens: what they have. */
size_t inoci_forest_cut(const inoci_forest *f, size_t at, int micro_tokens, int *tokens);
void inoci_forest_batch(const inoci_forest *f, size_t at, size_t n, inoci_batch *b, float weight);

/* ---- micro-batches ---- */

typedef struct {
	inoci_batch batch;
	inoci_packed *v; /* (n) its examples, in the batch's order */
	size_t n;
	float *logprob; /* of the batch's targets, once it has run */
	int n_targets;
	size_t cap, logprob_cap;
} inoci_micro;
void inoci_micro_free(inoci_micro *b);
/* Takes from the front of v (n, 1 or more) what is computed at once: `tokens` tokens at most, but at least one example.
 * Returns how many. */
size_t inoci_micro_fill(inoci_micro *b, const inoci_packed *v, size_t n, int tokens, bool share, float weight);
INOCI_MUST int inoci_micro_run(inoci_micro *b, inoci_model *m, inoci_adapter *a, inoci_workspace *w, bool grad, uint64_t drop,
                               inoc_err *err);

/* How many of the examples v (n), from the first on, one micro-batch takes. */
typedef struct {
	size_t n;
	int tokens, targets;
	int stem;     /* tokens of the stem, when the step has one */
	size_t above; /* of keys whose gradients attention's backward holds apart */
} inoci_cut;
inoci_cut inoci_pack_cut(const inoci_packed *v, size_t n, bool share, int micro_tokens);
/* The order of n records in an epoch. */
void inoci_order(uint64_t seed, long epoch, int32_t *order, size_t n);

/* ---- memory (memory.c) ---- */

typedef struct {
	inoci_cut most;   /* of the micro-batches that the run will make, the greatest in each number */
	double peak;      /* predicted of the process, bytes */
	double now, more; /* held, and to come */
	double have;      /* what can be had beside what is held */
	inoci_keep keep;
} inoci_memory_plan;
/* Decides what is kept from the memory there is. INOC_E_MEMORY: not even the least fits; tells the numbers and what to do. */
INOCI_MUST int inoci_memory_plan_make(const inoci_model *m, const inoci_adapter *a, const inoci_examples *train,
                                      const inoci_train_config *c, int steps, inoci_memory_plan *out, inoc_err *err);
/* "up to 1012 tokens at once; ...": free() it. */
char *inoci_memory_plan_text(const inoci_memory_plan *p);

#endif
