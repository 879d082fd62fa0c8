/* Examples, configuration, schedules. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/train.h"

void inoci_examples_free(inoci_examples *e)
{
	for (size_t i = 0; i < e->n; i++) {
		free(e->v[i].ids);
		free(e->v[i].loss);
	}
	free(e->v);
	*e = (inoci_examples){0};
}

void inoci_examples_add(inoci_examples *e, const int32_t *ids, const int32_t *loss, int n)
{
	if ((e->n & (e->n - 1)) == 0) e->v = inoci_realloc(e->v, (e->n ? 2 * e->n : 1) * sizeof *e->v);
	inoci_example *x = &e->v[e->n++];
	*x = (inoci_example){.ids = inoci_alloc((size_t)n * 4), .loss = inoci_alloc((size_t)n * 4), .n = n};
	memcpy(x->ids, ids, (size_t)n * 4);
	memcpy(x->loss, loss, (size_t)n * 4);
	e->n_tokens += (size_t)n;
	if (n > e->max_len) e->max_len = n;
	for (int i = 1; i < n; i++) e->n_loss_tokens += loss[i] != 0; /* nothing predicts the first token */
}

void inoci_examples_seal(inoci_examples *e)
{
	inoci_hasher *h = inoci_hasher_new();
	for (size_t i = 0; i < e->n; i++) {
		inoci_hasher_add(h, &e->v[i].n, sizeof e->v[i].n);
		inoci_hasher_add(h, e->v[i].ids, (size_t)e->v[i].n * 4);
		inoci_hasher_add(h, e->v[i].loss, (size_t)e->v[i].n * 4);
	}
	e->hash = inoci_hasher_end(h);
}

inoci_train_config inoci_train_defaults(void)
{
	return (inoci_train_config){
	        .lora = {.rank = 16, .alpha = 32, .targets = INOCI_ALL_PROJ},
	        .seed = 1,
	        .batch = 8,
	        .micro_tokens = 1024,
	        .keep = INOCI_KEEP_FITS,
	        .share = true,
	        .epochs = 1,
	        .lr = 1e-3,
	        .schedule = INOCI_LR_LINEAR,
	        .warmup = 5,
	        .beta1 = 0.9,
	        .beta2 = 0.999,
	        .eps = 1e-8,
	        .weight_decay = 0.01,
	        .clip = 1,
	};
}

#define BETWEEN(v, lo, hi, name)                                                                                           \
	if (!((v) >= (lo) && (v) <= (hi)))                                                                                 \
	return inoci_err_set(err, INOC_E_USAGE, "%s is %g; it must be between %g and %g", name, (double)(v), (double)(lo), \
	                     (double)(hi))

int inoci_train_config_check(const inoci_train_config *c, inoc_err *err)
{
	BETWEEN(c->lora.rank, 1, 1024, "rank");
	BETWEEN(c->lora.alpha, 1e-6, 1e6, "alpha");
	BETWEEN(c->lora.dropout, 0, 0.99, "dropout");
	BETWEEN(c->batch, 1, 65536, "batch");
	BETWEEN(c->micro_tokens, 1, 1 << 24, "micro_tokens");
	BETWEEN(c->steps, 0, 100000000, "steps");
	if (c->steps == 0) BETWEEN(c->epochs, 1e-6, 1e6, "epochs");
	BETWEEN(c->lr, 0, 10, "lr");
	BETWEEN(c->warmup, 0, 100000000, "warmup");
	BETWEEN(c->beta1, 0, 0.999999, "beta1");
	BETWEEN(c->beta2, 0, 0.9999999, "beta2");
	BETWEEN(c->eps, 1e-20, 1, "eps");
	BETWEEN(c->weight_decay, 0, 10, "weight_decay");
	BETWEEN(c->clip, 0, 1e9, "clip");
	BETWEEN(c->checkpoint_every, 0, 100000000, "checkpoint_every");
	BETWEEN(c->eval_every, 0, 100000000, "eval_every");
	BETWEEN(c->init_seed, 0, INT_MAX, "init_seed");
	BETWEEN(c->patience, 0, 1000000, "patience");
	if (!(c->lora.targets & INOCI_ALL_PROJ)) return inoci_err_set(err, INOC_E_USAGE, "no target projections");
	return 0;
}

uint64_t inoci_train_init_seed(const inoci_train_config *c, uint64_t seed)
{
	return c->init_seed ? (uint64_t)c->init_seed : seed;
}

inoci_hash inoci_train_config_hash(const inoci_train_config *c)
{
	char *s = inoci_asprintf(
	        "r%d a%.9g rs%d do%.9g t%u s%llu b%d e%.17g n%d lr%.17g k%d w%d b1%.17g b2%.17g eps%.17g wd%.17g c%.17g ev%d p%d",
	        c->lora.rank, (double)c->lora.alpha, c->lora.rslora, (double)c->lora.dropout, c->lora.targets,
	        (unsigned long long)c->seed, c->batch, c->steps ? 0 : c->epochs, c->steps, c->lr, (int)c->schedule, c->warmup,
	        c->beta1, c->beta2, c->eps, c->weight_decay, c->clip, c->patience ? c->eval_every : 0, c->patience);
	inoci_hasher *h = inoci_hasher_new();
	inoci_hasher_add(h, s, strlen(s));
	if (c->init_seed) inoci_hasher_add(h, &c->init_seed, sizeof c->init_seed);
	free(s);
	return inoci_hasher_end(h);
}

double inoci_train_lr(const inoci_train_config *c, int step, int steps)
{
	int s = step - 1; /* updates done before this one, as transformers' schedules count */
	if (s < c->warmup) return c->lr * s / c->warmup;
	if (c->schedule == INOCI_LR_CONSTANT) return c->lr;
	double left = steps > c->warmup ? (double)(steps - s) / (steps - c->warmup) : 0;
	if (c->schedule == INOCI_LR_LINEAR) return c->lr * (left > 0 ? left : 0);
	return c->lr * 0.5 * (1 + cos(M_PI * (1 - left)));
}
