/* Mean hidden states over given responses. */
#include <stdlib.h>
#include <string.h>

#include "train/internal.h"

/* Which example each row counts in: the leaf that ends an example's way is the only segment of it with a target, and holds all of
 * its tokens with loss; the examples stand in order of their leaves. */
static void rows_of(const inoci_micro *b, int32_t *of)
{
	size_t k = 0;
	for (int s = 0; s < b->batch.n_segs; s++) {
		const inoci_seg *g = &b->batch.segs[s];
		bool leaf = false;
		for (int t = g->start; t < g->start + g->len; t++) leaf |= b->batch.target[t] >= 0;
		for (int t = g->start; t < g->start + g->len; t++)
			of[t] = leaf && b->v[k].x->loss[b->batch.pos[t]] ? (int32_t)k : -1;
		k += leaf;
	}
	INOC_BUG_IF(k != b->n);
}

int inoci_examples_hidden(inoci_model *m, inoci_adapter *a, const inoci_examples *e, int micro_tokens, const int *layers,
                          int n_layers, float *out, const inoci_progress *p, inoc_err *err)
{
	size_t row = (size_t)n_layers * (size_t)m->hp.width;
	inoci_packed *v = inoci_alloc((e->n + 1) * sizeof *v);
	inoci_workspace *w = inoci_workspace_new();
	inoci_micro b = {0};
	int32_t *of = NULL;
	float *mean = NULL;
	int rc = 0;
	for (size_t i = 0; i < e->n; i++) v[i] = (inoci_packed){&e->v[i], i};
	inoci_pack_sort(v, e->n);
	for (size_t i = 0, n; i < e->n; i += n) {
		if (inoci_stopped(p)) {
			rc = inoci_err_set(err, INOC_E_STOPPED, "stopped after %zu of %zu texts", i, e->n);
			goto out;
		}
		n = inoci_micro_fill(&b, v + i, e->n - i, micro_tokens, true, 1);
		of = inoci_realloc(of, (size_t)b.batch.T * sizeof *of);
		mean = inoci_realloc(mean, n * row * sizeof *mean);
		rows_of(&b, of);
		INOC_TRY(inoci_model_hidden(m, a, &b.batch, w, layers, n_layers, of, (int)n, mean, err));
		for (size_t k = 0; k < n; k++) memcpy(out + b.v[k].at * row, mean + k * row, row * sizeof *out);
		inoci_tick(p, "hidden states", (double)(i + n), (double)e->n, "texts", "");
	}
out:
	inoci_micro_free(&b);
	inoci_workspace_free(w);
	free(of), free(mean), free(v);
	return rc < 0 ? rc : 0;
}
