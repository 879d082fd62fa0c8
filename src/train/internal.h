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

#endif
