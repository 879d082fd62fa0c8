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
/* Tokens at the head of both that may be held once. */
int inoci_pack_common(const inoci_example *a, const inoci_example *b);
/* Makes a batch of examples v (n), which are put in order of their tokens; without `share` in the order given, each apart. */
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
/* How many leaves from `at` on make a micro-batch of at most micro_tokens (but at least one); *tokens: what they have. */
size_t inoci_forest_cut(const inoci_forest *f, size_t at, int micro_tokens, int *tokens);
void inoci_forest_batch(const inoci_forest *f, size_t at, size_t n, inoci_batch *b, float weight);

#endif
