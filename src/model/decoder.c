/* The one decoder: forward and backward over a packed forest, and the forward over a KV store.
 *
 * Kept for the backward, per token and layer: the two residuals (real), q/k/v after RoPE, attention output and gate/up
 * (act), log-sum-exps and the adapters' inner activations (f32). Norms and SwiGLU are recomputed, and what the workspace is told
 * not to keep (keep.c): by the same kernels from the same values, so that no bit changes.
 */
#include <stdlib.h>
#include <string.h>

#include "model/internal.h"

struct inoci_workspace {
	char *saved, *scratch; /* grown, never shrunk */
	size_t saved_bytes, scratch_bytes;
	inoci_keep keep;
	float *stem_kv; /* (layers, stem, 2 G D) real: gradients of a stem's keys and values */
	size_t stem_bytes;
	int stem_rows, most; /* the stem's, and the most of a micro-batch that sees it */
	int32_t *rows_of, *targets;
	float *weights, *embd;
	size_t rows_cap, embd_cap;
};

inoci_workspace *inoci_workspace_new(void)
{
	return inoci_alloc(sizeof(inoci_workspace));
}

void inoci_workspace_free(inoci_workspace *w)
{
	if (!w) return;
	free(w->saved);
	free(w->scratch);
	free(w->stem_kv);
	free(w->rows_of);
	free(w->targets);
	free(w->weights);
	free(w->embd);
	free(w);
}

void inoci_workspace_keep(inoci_workspace *w, inoci_keep keep)
{
	w->keep = keep;
}

static int room(char **p, size_t *have, size_t want, const char *what, inoc_err *err)
{
	if (*have >= want) return 0;
	free(*p);
	*have = 0;
	size_t more = want + want / 8; /* batches differ a little in size */
	if ((*p = inoci_big_room(more, what, NULL)))
		want = more;
	else
		*p = inoci_big_room(want, what, err);
	if (!*p) return INOC_E_MEMORY;
	*have = want;
	return 0;
}

/* Cuts the next n bytes off a buffer. */
static void *cut(char **at, size_t n)
{
	char *p = *at;
	*at += inoci_pad(n);
	return p;
}

static int embed(inoci_model *m, const inoci_batch *b, inoci_workspace *w, void *x, inoc_err *err)
{
	size_t C = (size_t)m->hp.width, row = C / inoci_qtype_block(m->embd->type) * inoci_qtype_block_bytes(m->embd->type);
	if (w->embd_cap < (size_t)b->T) {
		w->embd_cap = (size_t)b->T * 5 / 4;
		w->embd = inoci_realloc(w->embd, w->embd_cap * C * sizeof *w->embd);
	}
	for (int t = 0; t < b->T; t++) {
		if (b->ids[t] < 0 || b->ids[t] >= m->hp.vocab)
			return inoci_err_set(err, INOC_E_FORMAT, "token id %d at row %d is outside the vocabulary of %d",
			                     b->ids[t], t, m->hp.vocab);
		if (b->pos[t] >= m->hp.context)
			return inoci_err_set(err, INOC_E_LIMIT, "position %d exceeds the model's context of %d tokens", b->pos[t],
			                     m->hp.context);
		inoci_dequant(m->embd->type, m->embd->data + (size_t)b->ids[t] * row, w->embd + (size_t)t * C, C);
	}
	m->ops->real_from_f32(m->ops, x, w->embd, (size_t)b->T * C);
	return 0;
}

static void set_dropout(inoci_adapter *a, bool on, uint64_t drop)
{
	for (int l = 0; a && l < a->n_layers; l++) {
		inoci_lora *all[] = {&a->layers[l].qkv, &a->layers[l].o, &a->layers[l].gu, &a->layers[l].down};
		for (size_t i = 0; i < INOCI_COUNT(all); i++) {
			all[i]->dropout = on ? a->cfg.dropout : 0;
			for (int s = 0; s < all[i]->n_slices; s++)
				all[i]->s[s].drop_key = inoci_mix64(drop, (uint64_t)l * 16 + i * 4 + (uint64_t)s);
		}
	}
}

static inoci_lora *lora(inoci_lora *l)
{
	return l && l->n_slices ? l : NULL;
}

/* One layer forward. x0 (T, C) real in; x1 gets the residual behind attention, x2 that behind the MLP; any of the three may
 * be the same array; x2 NULL: not wanted, nor what leads to it from gate and up. kv NULL: keys and values are the batch's own
 * (training); else rows of k and v. */
struct layer_bufs {
	void *h, *qkv, *att, *gu, *s; /* act */
	float *lse, *uqkv, *uo, *ugu, *udown;
	void *k, *v; /* store of this layer, or NULL */
	char *seen;  /* else: where key rows are counted from in qkv */
	const int32_t *kv_rows;
};

/* gate and up from the residual behind attention; s: their SwiGLU, or NULL. */
static int gate_up(inoci_model *m, inoci_layer_lora *al, int l, const inoci_batch *b, void *x1, const struct layer_bufs *f,
                   void *s, inoc_err *err)
{
	inoci_ops *o = m->ops;
	inoci_around a = {.norm_of = x1, .norm_w = m->layers[l].ffn_norm, .eps = m->hp.norm_eps, .s = s};
	return o->linear_around(o, &a, m->layers[l].gu, lora(al ? &al->gu : NULL), f->h, b->T, f->gu, NULL, f->ugu, err);
}

/* The norm of the residual and RoPE. */
static inoci_around around_qkv(const inoci_model *m, const inoci_layer *L, const inoci_batch *b, const void *x0)
{
	return (inoci_around){.norm_of = x0,
	                      .norm_w = L->attn_norm,
	                      .eps = m->hp.norm_eps,
	                      .pos = b->pos,
	                      .cs = m->rope_cs,
	                      .n_heads = m->hp.n_heads + m->hp.n_kv_heads,
	                      .head_dim = m->hp.head_dim};
}

static int layer_forward(inoci_model *m, inoci_layer_lora *al, int l, const inoci_batch *b, void *x0, void *x1, void *x2,
                         const struct layer_bufs *f, inoc_err *err)
{
	const inoci_hparams *h = &m->hp;
	inoci_ops *o = m->ops;
	inoci_layer *L = &m->layers[l];
	int T = b->T, D = h->head_dim, Q = h->n_heads * D, KV = h->n_kv_heads * D, ld = Q + 2 * KV, rc;
	size_t A = o->act_bytes;
	inoci_attn at = {h->n_heads, h->n_kv_heads, D, 0, 0};
	inoci_around a = around_qkv(m, L, b, x0);

	INOC_TRY(o->linear_around(o, &a, L->qkv, lora(al ? &al->qkv : NULL), f->h, T, f->qkv, NULL, f->uqkv, err));
	if (f->k) {
		o->store_rows(o, f->k, KV, f->kv_rows, f->qkv, ld, Q, KV, T);
		o->store_rows(o, f->v, KV, f->kv_rows, f->qkv, ld, Q + KV, KV, T);
		INOC_TRY(o->attn(o, &at, b->segs, b->n_segs, f->qkv, ld, f->k, f->v, KV, f->att, f->lse, err));
	} else {
		char *seen = f->seen ? f->seen : f->qkv;
		INOC_TRY(o->attn(o, &at, b->segs, b->n_segs, f->qkv, ld, seen + (size_t)Q * A, seen + (size_t)(Q + KV) * A, ld,
		                 f->att, f->lse, err));
	}
	INOC_TRY(o->linear(o, L->o, lora(al ? &al->o : NULL), f->att, T, x1, x0, f->uo, err));
	INOC_TRY(gate_up(m, al, l, b, x1, f, x2 ? f->s : NULL, err));
	if (x2) INOC_TRY(o->linear(o, L->down, lora(al ? &al->down : NULL), f->s, T, x2, x1, f->udown, err));
	rc = 0;
out:
	return rc;
}

/* Scratch of a forward without a backward: one layer's buffers, reused. Fills f and x. */
static int infer_scratch(inoci_model *m, inoci_workspace *w, int T, int n_rows, struct layer_bufs *f, void **x, void **hrows,
                         inoc_err *err)
{
	const inoci_hparams *h = &m->hp;
	size_t t = (size_t)T, R = m->ops->real_bytes, A = m->ops->act_bytes, C = (size_t)h->width, F = (size_t)h->ff;
	size_t Q = (size_t)(h->n_heads * h->head_dim), ld = Q + 2 * (size_t)(h->n_kv_heads * h->head_dim);
	size_t need = inoci_pad(t * C * R) + inoci_pad(t * C * A) + inoci_pad(t * ld * A) + inoci_pad(t * Q * A) +
	              inoci_pad(2 * t * F * A) + inoci_pad(t * F * A) + inoci_pad((size_t)n_rows * C * A);
	int rc = room(&w->scratch, &w->scratch_bytes, need, "activations", err);
	if (rc < 0) return rc;
	char *at = w->scratch;
	*x = cut(&at, t * C * R);
	*f = (struct layer_bufs){.h = cut(&at, t * C * A)};
	f->qkv = cut(&at, t * ld * A);
	f->att = cut(&at, t * Q * A);
	f->gu = cut(&at, 2 * t * F * A);
	f->s = cut(&at, t * F * A);
	*hrows = cut(&at, (size_t)n_rows * C * A);
	return 0;
}

struct inoci_kv {
	int n_rows, n_layers;
	size_t layer_bytes;
	char *data;
};

size_t inoci_kv_bytes(const inoci_model *m, int n_rows)
{
	return 2 * (size_t)m->hp.n_layers *
	       inoci_pad((size_t)n_rows * (size_t)(m->hp.n_kv_heads * m->hp.head_dim) * m->ops->act_bytes);
}

int inoci_kv_new(const inoci_model *m, int n_rows, inoci_kv **out, inoc_err *err)
{
	inoci_kv *kv = inoci_alloc(sizeof *kv);
	kv->n_rows = n_rows;
	kv->n_layers = m->hp.n_layers;
	kv->layer_bytes = inoci_kv_bytes(m, n_rows) / 2 / (size_t)m->hp.n_layers;
	kv->data = inoci_big_room(inoci_kv_bytes(m, n_rows), "the KV store", err);
	*out = kv->data ? kv : NULL;
	if (kv->data) return 0;
	free(kv);
	return INOC_E_MEMORY;
}

void inoci_kv_free(inoci_kv *kv)
{
	if (!kv) return;
	free(kv->data);
	free(kv);
}

int inoci_model_infer(inoci_model *m, inoci_adapter *a, const inoci_batch *b, inoci_kv *kv, const int32_t *kv_rows,
                      inoci_workspace *w, const int32_t *rows, int n_rows, float *logits, inoc_err *err)
{
	struct layer_bufs f;
	void *x, *hrows;
	int rc;
	INOC_TRY(infer_scratch(m, w, b->T, n_rows, &f, &x, &hrows, err));
	INOC_TRY(embed(m, b, w, x, err));
	set_dropout(a, false, 0);
	f.kv_rows = kv_rows;
	for (int l = 0; l < m->hp.n_layers; l++) {
		if (kv) {
			f.k = kv->data + 2 * (size_t)l * kv->layer_bytes;
			f.v = (char *)f.k + kv->layer_bytes;
		}
		INOC_TRY(layer_forward(m, a ? &a->layers[l] : NULL, l, b, x, x, x, &f, err));
	}
	if (n_rows) {
		m->ops->rmsnorm(m->ops, hrows, x, rows, m->final_norm, n_rows, m->hp.width, m->hp.norm_eps);
		INOC_TRY(m->ops->head_logits(m->ops, m->head, hrows, n_rows, logits, err));
	}
	rc = 0;
out:
	return rc;
}

int inoci_model_logits(inoci_model *m, inoci_adapter *a, const inoci_batch *b, inoci_workspace *w, const int32_t *rows,
                       int n_rows, float *logits, inoc_err *err)
{
	return inoci_model_infer(m, a, b, NULL, NULL, w, rows, n_rows, logits, err);
}

/* Rows with a target, their targets and weights, into the workspace. */
static int gather_targets(const inoci_batch *b, inoci_workspace *w)
{
	if (w->rows_cap < (size_t)b->T) {
		w->rows_cap = (size_t)b->T * 5 / 4;
		w->rows_of = inoci_realloc(w->rows_of, w->rows_cap * sizeof *w->rows_of);
		w->targets = inoci_realloc(w->targets, w->rows_cap * sizeof *w->targets);
		w->weights = inoci_realloc(w->weights, w->rows_cap * sizeof *w->weights);
	}
	int n = 0;
	for (int t = 0; t < b->T; t++)
		if (b->target[t] >= 0) {
			w->rows_of[n] = t;
			w->targets[n] = b->target[t];
			w->weights[n++] = b->weight[t];
		}
	return n;
}

/* The batch's first row of array i of layer l. */
static void *kept(const inoci_workspace *w, const inoci_kept *k, int l, int i)
{
	return w->saved + (k->once[i] ? 0 : (size_t)l * k->layer) + k->at[i] + (size_t)k->stem * k->row[i];
}

static int kept_room(inoci_workspace *w, const inoci_kept *k, inoc_err *err)
{
	int rc = room(&w->saved, &w->saved_bytes, k->saved, "activations kept for the backward", err);
	return rc < 0 ? rc : room(&w->scratch, &w->scratch_bytes, k->scratch, "activations", err);
}

/* h, s: act (T, C), (T, F) */
static struct layer_bufs bufs_of(const inoci_workspace *w, const inoci_kept *k, int l, void *h, void *s)
{
	struct layer_bufs f = {.h = h,
	                       .qkv = kept(w, k, l, S_QKV),
	                       .att = kept(w, k, l, S_ATT),
	                       .gu = kept(w, k, l, S_GU),
	                       .s = s,
	                       .lse = kept(w, k, l, S_LSE),
	                       .uqkv = kept(w, k, l, S_UQKV),
	                       .uo = kept(w, k, l, S_UO),
	                       .ugu = kept(w, k, l, S_UGU),
	                       .udown = kept(w, k, l, S_UDOWN)};
	f.seen = (char *)f.qkv - (size_t)k->stem * k->row[S_QKV];
	return f;
}

/* All layers forward, kept; there is room. */
static int forward(inoci_model *m, inoci_adapter *a, const inoci_batch *b, inoci_workspace *w, const inoci_kept *k, inoc_err *err)
{
	size_t t = (size_t)b->T, A = m->ops->act_bytes;
	char *at = w->scratch;
	void *h = cut(&at, t * (size_t)m->hp.width * A), *s = cut(&at, t * (size_t)m->hp.ff * A);
	int rc;
	INOC_TRY(embed(m, b, w, kept(w, k, 0, S_X0), err));
	for (int l = 0; l < m->hp.n_layers; l++) {
		struct layer_bufs f = bufs_of(w, k, l, h, s);
		void *x2 = l + 1 < m->hp.n_layers ? kept(w, k, l + 1, S_X0) : w->saved + k->last;
		INOC_TRY(layer_forward(m, &a->layers[l], l, b, kept(w, k, l, S_X0), kept(w, k, l, S_X1), x2, &f, err));
	}
	rc = 0;
out:
	return rc;
}

/* What was not kept of layer l. The last layer's is still there. */
static int again(inoci_model *m, inoci_adapter *a, const inoci_batch *b, const inoci_workspace *w, const inoci_kept *k, int l,
                 void *h, void *s, inoc_err *err)
{
	struct layer_bufs f = bufs_of(w, k, l, h, s);
	void *x1 = kept(w, k, l, S_X1);
	if (w->keep == INOCI_KEEP_ALL || l == m->hp.n_layers - 1) return 0;
	if (w->keep == INOCI_KEEP_LEAST) return layer_forward(m, &a->layers[l], l, b, kept(w, k, l, S_X0), x1, NULL, &f, err);
	return gate_up(m, &a->layers[l], l, b, x1, &f, NULL, err);
}

/* Copies the keys' and values' columns of n rows of dqkv, from or to a stem's gradients. */
static void stem_columns(const inoci_model *m, char *dqkv, char *kv, int n, bool to_kv)
{
	size_t R = m->ops->real_bytes, Q = (size_t)(m->hp.n_heads * m->hp.head_dim),
	       KV = 2 * (size_t)(m->hp.n_kv_heads * m->hp.head_dim);
	for (int i = 0; i < n; i++) {
		char *row = dqkv + ((size_t)i * (Q + KV) + Q) * R, *at = kv + (size_t)i * KV * R;
		memcpy(to_kv ? at : row, to_kv ? row : at, KV * R);
	}
}

/* is_stem: what micro-batches gave to its keys and values is in stem_kv. */
static int backward(inoci_model *m, inoci_adapter *a, const inoci_batch *b, inoci_workspace *w, const inoci_kept *k, bool is_stem,
                    inoc_err *err)
{
	const inoci_hparams *h = &m->hp;
	inoci_ops *o = m->ops;
	int T = b->T, C = h->width, F = h->ff, D = h->head_dim, Q = h->n_heads * D, ld = Q + 2 * h->n_kv_heads * D, rc;
	size_t t = (size_t)T, R = o->real_bytes, A = o->act_bytes;
	size_t stem_bytes = (size_t)(is_stem ? T : k->stem) * (size_t)(ld - Q) * R, above = (size_t)k->stem * (size_t)ld * R;
	inoci_attn at = {h->n_heads, h->n_kv_heads, D, 0, k->stem};
	char *scratch = w->scratch;
	void *dx = w->saved + k->dx;
	void *hn = cut(&scratch, t * (size_t)C * A), *s = cut(&scratch, t * (size_t)F * A),
	     *dh = cut(&scratch, t * (size_t)C * R);
	char *behind = scratch; /* what the feed-forward's backward needs is over when attention's begins */
	void *ds = cut(&scratch, t * (size_t)F * R), *dgu = cut(&scratch, 2 * t * (size_t)F * A);
	scratch = behind;
	void *datt = cut(&scratch, t * (size_t)Q * R);
	char *dqkv_all = cut(&scratch, above + t * (size_t)ld * R), *dqkv = dqkv_all + above;
	for (int l = h->n_layers - 1; l >= 0; l--) {
		inoci_layer *L = &m->layers[l];
		inoci_layer_lora *al = &a->layers[l];
		void *x0 = kept(w, k, l, S_X0), *x1 = kept(w, k, l, S_X1), *gu = kept(w, k, l, S_GU);
		char *seen = (char *)kept(w, k, l, S_QKV) - (size_t)k->stem * k->row[S_QKV],
		     *stem_kv = (char *)w->stem_kv + (size_t)l * stem_bytes;
		INOC_TRY(again(m, a, b, w, k, l, hn, s, err));
		inoci_around glu = {.gu = gu, .dgu = dgu}, qkv = around_qkv(m, L, b, x0),
		             ffn = {.norm_of = x1, .norm_w = L->ffn_norm, .eps = h->norm_eps, .dres = dx};
		INOC_TRY(
		        o->linear_bwd_around(o, &glu, L->down, lora(&al->down), dx, true, s, kept(w, k, l, S_UDOWN), T, ds, err));
		INOC_TRY(o->linear_bwd_around(o, &ffn, L->gu, lora(&al->gu), dgu, false, hn, kept(w, k, l, S_UGU), T, dh, err));
		INOC_TRY(o->linear_bwd(o, L->o, lora(&al->o), dx, true, kept(w, k, l, S_ATT), kept(w, k, l, S_UO), T, datt, err));
		if (l == 0 && !lora(&al->qkv)) break; /* nothing trained lies below */
		if (k->stem) stem_columns(m, dqkv_all, stem_kv, k->stem, false);
		INOC_TRY(o->attn_bwd(o, &at, b->segs, b->n_segs, T, seen, kept(w, k, l, S_ATT), kept(w, k, l, S_LSE), datt,
		                     dqkv_all, err));
		if (k->stem) stem_columns(m, dqkv_all, stem_kv, k->stem, true);
		if (is_stem) o->add_rows(o, dqkv + (size_t)Q * R, ld, stem_kv, ld - Q, ld - Q, T);
		qkv.dres = l ? dx : NULL;
		INOC_TRY(o->linear_bwd_around(o, &qkv, L->qkv, lora(&al->qkv), dqkv, true, hn, kept(w, k, l, S_UQKV), T,
		                              l ? dh : NULL, err));
	}
	rc = 0;
out:
	return rc;
}

static inoci_kept kept_of(const inoci_model *m, const inoci_adapter *a, const inoci_workspace *w, int T, int stem, int n)
{
	return inoci_kept_plan(&m->hp, m->ops->real_bytes, m->ops->act_bytes, &a->cfg, T, stem, n, w->keep);
}

/* Where a stem lies: in front of the rows of the micro-batches. */
static inoci_kept stem_kept(const inoci_model *m, const inoci_adapter *a, const inoci_workspace *w)
{
	inoci_kept k = kept_of(m, a, w, w->most, w->stem_rows, w->most);
	k.stem = 0;
	return k;
}

int inoci_model_stem(inoci_model *m, inoci_adapter *a, const inoci_batch *stem, int most, inoci_workspace *w, inoc_err *err)
{
	size_t kv = (size_t)m->hp.n_layers * inoci_stem_layer_bytes(&m->hp, m->ops->real_bytes, stem->T);
	int rc;
	INOC_BUG_IF(!a || !a->grads || !m->can_train || a->cfg.dropout > 0 || stem->stem);
	w->stem_rows = stem->T;
	w->most = most;
	inoci_kept k = stem_kept(m, a, w);
	INOC_TRY(kept_room(w, &k, err));
	INOC_TRY(room((char **)&w->stem_kv, &w->stem_bytes, kv, "a stem's gradients", err));
	memset(w->stem_kv, 0, kv);
	set_dropout(a, false, 0);
	INOC_TRY(forward(m, a, stem, w, &k, err));
out:
	return rc;
}

int inoci_model_stem_bwd(inoci_model *m, inoci_adapter *a, const inoci_batch *stem, inoci_workspace *w, inoc_err *err)
{
	inoci_kept k = stem_kept(m, a, w);
	memset(w->saved + k.dx, 0, (size_t)stem->T * (size_t)m->hp.width * m->ops->real_bytes);
	return backward(m, a, stem, w, &k, true, err);
}

int inoci_model_loss(inoci_model *m, inoci_adapter *a, const inoci_batch *b, inoci_workspace *w, bool grad, uint64_t drop,
                     float *logprob, inoc_err *err)
{
	const inoci_hparams *h = &m->hp;
	inoci_ops *o = m->ops;
	struct layer_bufs f;
	void *x, *hrows;
	int rc, n = gather_targets(b, w);
	INOC_BUG_IF(grad && (!a || !a->grads || !m->can_train));
	INOC_BUG_IF(b->stem && (!grad || a->cfg.dropout > 0 || b->stem != w->stem_rows || b->T > w->most));
	if (!grad) {
		INOC_TRY(infer_scratch(m, w, b->T, n, &f, &x, &hrows, err));
		INOC_TRY(embed(m, b, w, x, err));
		set_dropout(a, false, 0);
		for (int l = 0; l < h->n_layers; l++)
			INOC_TRY(layer_forward(m, a ? &a->layers[l] : NULL, l, b, x, x, x, &f, err));
		o->rmsnorm(o, hrows, x, w->rows_of, m->final_norm, n, h->width, h->norm_eps);
		return o->head_loss(o, m->head, hrows, w->targets, w->weights, n, logprob, NULL, err);
	}
	inoci_kept k = b->stem ? kept_of(m, a, w, w->most, b->stem, w->most) : kept_of(m, a, w, b->T, 0, n);
	size_t R = o->real_bytes, C = (size_t)h->width, N = (size_t)n;
	INOC_TRY(kept_room(w, &k, err));
	set_dropout(a, a->cfg.dropout > 0, drop);
	INOC_TRY(forward(m, a, b, w, &k, err));
	char *at = w->scratch, *last = w->saved + k.last, *dx = w->saved + k.dx; /* the head comes behind the layers */
	hrows = cut(&at, N * C * o->act_bytes);
	void *dh = cut(&at, N * C * R);
	o->rmsnorm(o, hrows, last, w->rows_of, m->final_norm, n, h->width, h->norm_eps);
	INOC_TRY(o->head_loss(o, m->head, hrows, w->targets, w->weights, n, logprob, dh, err));
	memset(dx, 0, (size_t)b->T * C * R);
	o->rmsnorm_bwd(o, dx, dh, last, w->rows_of, m->final_norm, n, h->width, h->norm_eps);
	INOC_TRY(backward(m, a, b, w, &k, false, err));
	rc = 0;
out:
	return rc;
}

int inoci_model_hidden(inoci_model *m, inoci_adapter *a, const inoci_batch *b, inoci_workspace *w, const int *layers,
                       int n_layers, const int32_t *of, int n, float *out, inoc_err *err)
{
	size_t C = (size_t)m->hp.width, stride = (size_t)n_layers * C;
	double *sum = inoci_alloc(((size_t)n * C + 1) * sizeof *sum), *count = inoci_alloc(((size_t)n + 1) * sizeof *count);
	float *row = inoci_alloc(C * sizeof *row);
	struct layer_bufs f;
	void *x, *hrows;
	int rc;
	INOC_TRY(infer_scratch(m, w, b->T, 0, &f, &x, &hrows, err));
	INOC_TRY(embed(m, b, w, x, err));
	set_dropout(a, false, 0);
	for (int t = 0; t < b->T; t++)
		if (of[t] >= 0) count[of[t]]++;
	for (int i = 0, l = 0; i < n_layers; i++) {
		INOC_BUG_IF(layers[i] < l || layers[i] > m->hp.n_layers);
		for (; l < layers[i]; l++) INOC_TRY(layer_forward(m, a ? &a->layers[l] : NULL, l, b, x, x, x, &f, err));
		memset(sum, 0, (size_t)n * C * sizeof *sum);
		for (int t = 0; t < b->T; t++) {
			if (of[t] < 0) continue;
			double *to = sum + (size_t)of[t] * C;
			m->ops->f32_from_real(m->ops, row, (char *)x + (size_t)t * C * m->ops->real_bytes, C);
			for (size_t c = 0; c < C; c++) to[c] += row[c];
		}
		for (int k = 0; k < n; k++)
			for (size_t c = 0; c < C; c++)
				out[(size_t)k * stride + (size_t)i * C + c] = (float)(sum[(size_t)k * C + c] / count[k]);
	}
	rc = 0;
out:
	free(sum), free(count), free(row);
	return rc;
}
