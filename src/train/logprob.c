/* Log-probabilities of given responses. */
#include <math.h>
#include <stdlib.h>

#include "train/internal.h"

/* sum (e->n), each (e->n): where an example's tokens go; either may be NULL */
static int run(inoci_model *m, inoci_adapter *a, const inoci_examples *e, int micro_tokens, double *sum, float *const *each,
               const inoci_progress *p, inoc_err *err)
{
	inoci_packed *v = inoci_alloc((e->n + 1) * sizeof *v);
	inoci_workspace *w = inoci_workspace_new();
	inoci_micro b = {0};
	double start = inoci_now_s(), tokens = 0;
	int rc = 0;
	for (size_t i = 0; i < e->n; i++) v[i] = (inoci_packed){&e->v[i], i};
	inoci_pack_sort(v, e->n); /* those that begin alike are computed together, wherever they stand */
	for (size_t i = 0, n; i < e->n; i += n) {
		if (inoci_stopped(p)) {
			rc = inoci_err_set(err, INOC_E_STOPPED, "stopped after %zu of %zu records", i, e->n);
			goto out;
		}
		n = inoci_micro_fill(&b, v + i, e->n - i, micro_tokens, true, 1);
		INOC_TRY(inoci_micro_run(&b, m, a, w, false, 0, err));
		const float *next = b.logprob;
		for (size_t k = 0; k < n; k++) {
			const inoci_example *x = b.v[k].x;
			double all = 0;
			float *to = each ? each[b.v[k].at] : NULL;
			for (int t = 1; t < x->n; t++) {
				if (!x->loss[t]) continue;
				if (to) *to++ = *next;
				all += *next++;
			}
			if (sum) sum[b.v[k].at] = all;
			tokens += x->n;
		}
		char detail[48];
		double s = inoci_now_s() - start;
		snprintf(detail, sizeof detail, "%.0f tokens/s", s > 0 ? tokens / s : 0);
		inoci_tick(p, "log-probabilities", (double)(i + n), (double)e->n, "records", detail);
	}
out:
	inoci_micro_free(&b);
	inoci_workspace_free(w);
	free(v);
	return rc < 0 ? rc : 0;
}

int inoci_examples_logprob(inoci_model *m, inoci_adapter *a, const inoci_examples *e, int micro_tokens, double *logprob,
                           const inoci_progress *p, inoc_err *err)
{
	return run(m, a, e, micro_tokens, logprob, NULL, p, err);
}

int inoci_examples_token_logprobs(inoci_model *m, inoci_adapter *a, const inoci_examples *e, int micro_tokens,
                                  float *const *logprob, const inoci_progress *p, inoc_err *err)
{
	return run(m, a, e, micro_tokens, NULL, logprob, p, err);
}
