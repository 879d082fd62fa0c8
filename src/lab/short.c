/* `short: N`: the whole way in a minute, to see that it can be gone: N questions of every evaluation and N optimizer steps of N
 * examples. It has a name of its own and, unless one is given, an output folder of its own, so its results never stand among the
 * experiment's.
 */
#include <stdlib.h>

#include "lab/internal.h"

enum { MAX_TOKENS = 4 };

static void at_most(int *v, int n)
{
	if (*v == 0 || *v > n) *v = n; /* 0: all */
}

void inoci_short_apply(inoci_experiment *e)
{
	int n = e->shortened;
	if (!n) return;
	char *name = inoci_asprintf("%s-short", e->name);
	free(e->name);
	e->name = name;
	e->n_seeds = 1;
	for (size_t i = 0; i < e->n_evals; i++) {
		inoci_evaluation *v = &e->evals[i];
		at_most(&v->limit, n);
		if (v->measure != INOCI_MEASURE_NONE) continue;
		at_most(&v->sampling.max_tokens, MAX_TOKENS);
		at_most(&v->sampling.n, 2);
	}
	for (size_t i = 0; i < e->n_curves; i++) at_most(&e->curves[i].limit, n);
	for (size_t i = 0; i < e->n_arms; i++) {
		inoci_recipe *r = &e->arms[i].recipe;
		at_most(&r->config.steps, n);
		at_most(&r->config.batch, n);
		while (r->n_eval_at && r->eval_at[r->n_eval_at - 1] > n) r->n_eval_at--;
	}
	inoci_experiment_note(e,
	                      "short: %d training steps, as many examples in each, %d questions of each evaluation, answers of "
	                      "%d tokens, one seed; this tries "
	                      "the way and shows nothing of the experiment's effects",
	                      n, n, MAX_TOKENS);
}
