/* Gradients of given examples, for looking at them. */
#include <stdlib.h>

#include "train/internal.h"

int inoci_examples_grad(inoci_model *m, inoci_adapter *a, const inoci_examples *e, int micro_tokens, float weight,
                        double *logprob, const inoci_progress *p, inoc_err *err)
{
	inoci_packed *v = inoci_alloc((e->n + 1) * sizeof *v);
	inoci_workspace *w = inoci_workspace_new();
	inoci_micro b = {0};
	int rc = 0;
	*logprob = 0;
	for (size_t i = 0; i < e->n; i++) v[i] = (inoci_packed){&e->v[i], i};
	inoci_pack_sort(v, e->n);
	for (size_t i = 0; i < e->n;) {
		if (inoci_stopped(p)) {
			rc = inoci_err_set(err, INOC_E_STOPPED, "stopped after %zu of %zu records", i, e->n);
			goto out;
		}
		i += inoci_micro_fill(&b, v + i, e->n - i, micro_tokens, true, weight);
		INOC_TRY(inoci_micro_run(&b, m, a, w, true, 0, err));
		for (int k = 0; k < b.n_targets; k++) *logprob += b.logprob[k];
		inoci_tick(p, "gradients", (double)i, (double)e->n, "records", "");
	}
out:
	inoci_micro_free(&b);
	inoci_workspace_free(w);
	free(v);
	return rc < 0 ? rc : 0;
}
