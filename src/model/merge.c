/* An adapter merged into its model: W + scale B A, as a GGUF file that everything else takes for a model. */
#include <stdlib.h>
#include <string.h>

#include "model/internal.h"

static const char *const tensors[INOCI_N_PROJ] = {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"};

typedef struct {
	const inoci_gguf *g;
	const inoci_adapter *a;
	inoci_hparams hp;
	int type;
} merge;

/* The target that a tensor is the weight of; NULL: none. */
static const inoci_lora_slice *target(const merge *m, const char *name, int *proj, int *k)
{
	int layer, used = 0;
	if (sscanf(name, "blk.%d.%n", &layer, &used) != 1 || !used || layer < 0 || layer >= m->hp.n_layers) return NULL;
	for (*proj = 0; *proj < INOCI_N_PROJ; ++*proj) {
		size_t n = strlen(tensors[*proj]);
		if (!strncmp(name + used, tensors[*proj], n) && !strcmp(name + used + n, ".weight"))
			return inoci_adapter_slice(m->a, layer, *proj, k);
	}
	return NULL;
}

static int type_of(void *ctx, const inoci_tensor *t)
{
	const merge *m = ctx;
	int proj, k;
	return target(m, t->name, &proj, &k) ? m->type : -1;
}

/* Where row r of ours stands in the file: q's and k's rows are interleaved there (model.c). */
static int file_row(const merge *m, int proj, int r)
{
	int D = m->hp.head_dim, h = r / D, in = r % D;
	if (proj != INOCI_PROJ_Q && proj != INOCI_PROJ_K) return r;
	return h * D + 2 * (in % (D / 2)) + in / (D / 2);
}

static int merged(void *ctx, const inoci_tensor *t, float *dst, inoc_err *err)
{
	const merge *m = ctx;
	int proj, K;
	const inoci_lora_slice *s = target(m, t->name, &proj, &K);
	if (t->ne[0] != (uint64_t)K || t->ne[1] != (uint64_t)s->n || t->ne[2] != 1 || t->ne[3] != 1)
		return inoci_err_set(err, INOC_E_FORMAT, "%s: tensor %s has shape %llu x %llu; expected %d x %d",
		                     inoci_gguf_path(m->g), t->name, (unsigned long long)t->ne[0], (unsigned long long)t->ne[1],
		                     K, s->n);
	if (!inoci_qtype_name(t->type))
		return inoci_err_set(err, INOC_E_UNSUPPORTED, "%s: tensor %s has type %s, which this version does not decode",
		                     inoci_gguf_path(m->g), t->name, inoci_qtype_label(t->type));
	inoci_dequant(t->type, t->data, dst, (size_t)s->n * (size_t)K);
	double *row = inoci_alloc((size_t)K * sizeof *row);
	for (int r = 0; r < s->n; r++) {
		float *w = dst + (size_t)file_row(m, proj, r) * (size_t)K;
		memset(row, 0, (size_t)K * sizeof *row);
		for (int i = 0; i < s->rank; i++) {
			double b = (double)s->scale * (double)s->b[(size_t)r * (size_t)s->rank + (size_t)i];
			const float *a = s->a + (size_t)i * (size_t)K;
			for (int k = 0; k < K; k++) row[k] += b * (double)a[k];
		}
		for (int k = 0; k < K; k++) w[k] = (float)((double)w[k] + row[k]);
	}
	free(row);
	return 0;
}

int inoci_model_merge(const char *model, const char *dir, int type, const char *out, const inoci_progress *p, inoc_err *err)
{
	inoci_gguf *g = NULL;
	inoci_adapter *a = NULL;
	merge m = {.type = type};
	int rc;
	INOC_TRY(inoci_gguf_open(model, &g, err));
	INOC_TRY(inoci_hparams_read(g, &m.hp, err));
	INOC_TRY(inoci_adapter_read(&m.hp, dir, &a, err));
	m.g = g;
	m.a = a;
	inoci_gguf_change c = {type_of, merged, &m};
	INOC_TRY(inoci_gguf_write(g, &c, out, p, err));
out:
	inoci_adapter_free(a);
	inoci_gguf_free(g);
	return rc < 0 ? rc : 0;
}
