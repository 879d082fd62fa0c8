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
/* How many of the examples v (n), from the first on, one micro-batch takes. */
typedef struct {
	size_t n;
	int tokens, targets;
	size_t above; /* rows that examples have above them */
} inoci_cut;
inoci_cut inoci_pack_cut(const inoci_packed *v, size_t n, bool share, int micro_tokens);
/* The order of n records in an epoch. */
void inoci_order(uint64_t seed, long epoch, int32_t *order, size_t n);
/* Makes a batch of examples v (n), which are put in order of their tokens; without `share` in the order given, each apart. */
void inoci_pack(inoci_batch *b, inoci_packed *v, size_t n, bool share, float weight);

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
