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

#endif
