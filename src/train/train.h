/* train: packing, AdamW, schedules, checkpoints, the loop.
 *
 * Invariants:
 *  1. The loss is the mean over the loss tokens of the whole optimizer step, however it was cut into micro-batches.
 *  2. The same (model, examples, configuration, seed, threads) gives the same adapter bytes; a run killed anywhere and
 *     resumed gives them too, and the same metric rows.
 */
#ifndef INOCI_TRAIN_H
#define INOCI_TRAIN_H

#include "base/base.h"
#include "model/model.h"

/* One tokenized training example. */
typedef struct {
	int32_t *ids, *loss; /* (n) */
	int n;
} inoci_example;
typedef struct {
	inoci_example *v;
	size_t n;
	int max_len;
	size_t n_tokens, n_loss_tokens;
	inoci_hash hash; /* of all ids and loss masks, in order */
} inoci_examples;
void inoci_examples_free(inoci_examples *e);
/* Copies; updates the sums. Call inoci_examples_seal when all are in. */
void inoci_examples_add(inoci_examples *e, const int32_t *ids, const int32_t *loss, int n);
void inoci_examples_seal(inoci_examples *e);

#define INOCI_KEEP_FITS (-1)
typedef enum { INOCI_LR_LINEAR, INOCI_LR_COSINE, INOCI_LR_CONSTANT } inoci_lr_kind;
typedef struct {
	inoci_lora_config lora;
	uint64_t seed;
	int batch;        /* examples per optimizer step */
	int micro_tokens; /* at most this many tokens computed at once; does not change results beyond rounding */
	int keep;         /* an inoci_keep, or INOCI_KEEP_FITS (the default): as memory allows; does not change results */
	bool share; /* tokens without loss with which examples of a step begin are computed once (not with dropout); to rounding
	             */
	int init_seed; /* of the adapter's start; 0: seed, which also orders the examples */
	double epochs; /* used when steps == 0 */
	int steps;     /* optimizer steps; 0: from epochs */
	double lr;
	inoci_lr_kind schedule; /* after warm-up, to 0 at the last step */
	int warmup; /* steps; step i of them runs at lr * i / warmup, from 1 (transformers' get_*_schedule: (i-1)/warmup) */
	double beta1, beta2, eps, weight_decay, clip; /* clip 0: none */
	int checkpoint_every;                         /* steps; 0: never */
	int eval_every;                               /* steps between validation losses; 0: at the end only */
	int patience;                                 /* early stop: validations without improvement; 0: off */
} inoci_train_config;
inoci_train_config inoci_train_defaults(void);
/* Of the adapter's start, in a run of this seed. */
uint64_t inoci_train_init_seed(const inoci_train_config *c, uint64_t seed);
INOCI_MUST int inoci_train_config_check(const inoci_train_config *c, inoc_err *err);
/* Hash of everything that changes the result (not micro_tokens, not keep, not checkpoint_every). */
inoci_hash inoci_train_config_hash(const inoci_train_config *c);
/* Learning rate of optimizer step `step` (from 1) of `steps`. */
double inoci_train_lr(const inoci_train_config *c, int step, int steps);

typedef struct {
	int step, steps;
	double lr, loss, grad_norm, val_loss; /* loss: nats per loss token; val_loss NaN when not measured at this step */
	long tokens, loss_tokens;             /* of this step */
} inoci_metric;
typedef int inoci_metric_fn(void *ctx, const inoci_metric *m, inoc_err *err);

typedef struct {
	const char *checkpoint;   /* file; resumed from when it is there and fits; NULL: none */
	inoci_metric_fn *on_step; /* metrics in order of step; after a resume they go on behind the checkpoint's step */
	int (*on_resume)(void *ctx, int step, inoc_err *err); /* told the step resumed from (0: fresh): drop later rows */
	/* Called after these optimizer steps (ascending; 0: before the first), once the step's parameters are packed and before a
	 * checkpoint covers it; may compute with the model and the adapter, which it must leave as they are. */
	const int *eval_at;
	size_t n_eval_at;
	int (*on_eval)(void *ctx, inoci_adapter *a, int step, inoc_err *err);
	void *ctx;
	const inoci_progress *progress;
	const char *label; /* for progress */
} inoci_train_hooks;

typedef struct {
	int steps_done;
	bool early_stopped;
	int saved_step;  /* whose adapter this is: the best one with patience, else the last; 0: of a checkpoint that does not say
	                  */
	double val_loss; /* of the saved adapter; NaN: not measured */
	double final_loss, seconds;
	long tokens;
	double memory_bytes; /* the process's peak, as predicted */
	inoci_keep keep;
} inoci_train_result;

/* Trains a new adapter. INOC_E_STOPPED after writing a checkpoint when stopped. val may be NULL. The order of records is
 * drawn anew each epoch from (seed, epoch). */
INOCI_MUST int inoci_train(inoci_model *m, const inoci_examples *train, const inoci_examples *val, const inoci_train_config *c,
                           const inoci_train_hooks *h, inoci_adapter **out, inoci_train_result *res, inoc_err *err);
/* The same from an adapter that is given (parity tests): trained in place. */
INOCI_MUST int inoci_train_from(inoci_model *m, inoci_adapter *a, const inoci_examples *train, const inoci_examples *val,
                                const inoci_train_config *c, const inoci_train_hooks *h, inoci_train_result *res, inoc_err *err);

/* logprob (e->n): the sum over each example's tokens with loss of their log-probabilities, in nats; each depends on its example
 * alone, bit for bit. The adapter may be NULL; its dropout is not applied. At most micro_tokens tokens are computed at once, but
 * at least one example; what examples begin with in common is computed once. INOC_E_STOPPED: some are not written. */
INOCI_MUST int inoci_examples_logprob(inoci_model *m, inoci_adapter *a, const inoci_examples *e, int micro_tokens,
                                      double *logprob, const inoci_progress *p, inoc_err *err);
/* The same token by token: logprob[i] has room for example i's tokens with loss, in order. */
INOCI_MUST int inoci_examples_token_logprobs(inoci_model *m, inoci_adapter *a, const inoci_examples *e, int micro_tokens,
                                             float *const *logprob, const inoci_progress *p, inoc_err *err);
/* Mean hidden states over each example's tokens with loss, but for the last of them (behind a response's text its end-of-turn
 * token): out (e->n, n_layers, C) f32, `layers` and the rest as of inoci_model_hidden; NaN where no token is left. Each depends
 * on its example alone, bit for bit. At most micro_tokens tokens are computed at once, but at least one example; what examples
 * begin with in common is computed once. INOC_E_STOPPED: some are not written. */
INOCI_MUST int inoci_examples_hidden(inoci_model *m, inoci_adapter *a, const inoci_examples *e, int micro_tokens,
                                     const int *layers, int n_layers, float *out, const inoci_progress *p, inoc_err *err);
/* Adds to the adapter's gradients, which inoci_adapter_grads has made room for, that of -weight * (the sum of the
 * log-probabilities of all tokens with loss), which goes to *logprob. For an adapter without dropout. */
INOCI_MUST int inoci_examples_grad(inoci_model *m, inoci_adapter *a, const inoci_examples *e, int micro_tokens, float weight,
                                   double *logprob, const inoci_progress *p, inoc_err *err);

#endif
