/* What a run says of itself through its hooks, counted. */
#ifndef INOC_TESTS_SEEN
#define INOC_TESTS_SEEN

#include "lab/internal.h"

typedef struct {
	long steps, want, have; /* of the plan */
	int trained;
	int seeds, ends; /* tables that were shown: after a seed, at the end */
} seen;

static inline int seen_plan(void *ctx, const inoci_experiment *e, const inoci_plan *p, inoc_err *err)
{
	seen *s = ctx;
	(void)e, (void)err;
	for (size_t i = 0; i < p->n; i++) {
		s->steps += p->v[i].steps;
		s->want += p->v[i].n_samples;
		s->have += p->v[i].n_have;
		s->trained += p->v[i].trained;
	}
	return 0;
}

static inline int seen_seed(void *ctx, const inoci_experiment *e, inoci_store *st, uint64_t seed, inoc_err *err)
{
	seen *s = ctx;
	(void)e, (void)st, (void)err;
	if (seed == UINT64_MAX)
		s->ends++;
	else
		s->seeds++;
	return 0;
}

/* Runs e, which it frees, and counts in *s (NULL: not). rc: of reading e. */
static inline int seen_run(int rc, inoci_experiment *e, const char *model, inoci_ops *ops, inoci_run_options o, seen *s,
                           inoc_err *err)
{
	seen none = {0};
	o.ops = ops;
	o.on_plan = seen_plan;
	o.on_seed = seen_seed;
	o.ctx = s ? s : &none;
	if (s) *s = none;
	if (rc == 0) rc = inoci_run(e, model, &o, err);
	inoci_experiment_free(e);
	return rc;
}

#endif
