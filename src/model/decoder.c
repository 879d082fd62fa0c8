/* The one decoder: forward and backward over a packed forest, and the forward over a KV store.
 *
 * Kept for the backward, per token and layer: the two residuals (real), q/k/v after RoPE, attention output and gate/up
 * (act), log-sum-exps and the adapters' inner activations (f32). Norms and SwiGLU are recomputed.
 */
#include <stdlib.h>
#include <string.h>

#include "model/internal.h"

enum { S_X0, S_X1, S_QKV, S_ATT, S_LSE, S_GU, S_UQKV, S_UO, S_UGU, S_UDOWN, S_N };

struct inoci_workspace {
	char *saved, *scratch; /* grown, never shrunk */
	size_t saved_bytes, scratch_bytes;
	float *stem_kv; /* (layers, stem, 2 G D) real: gradients of a stem's keys and values */
	size_t stem_bytes;
	int rows; /* of what is kept, with a stem */
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

static int room(char **p, size_t *have, size_t want, const char *what, inoc_err *err)
{
	if (*have >= want) return 0;
	free(*p);
	*have = 0;
	want += want / 8; /* batches differ a little in size */
	*p = inoci_big_room(want, what, err);
	if (!*p) return INOC_E_MEMORY;
	*have = want;
	return 0;
}

static size_t pad(size_t n)
{
	return (n + 63) / 64 * 64;
}

/* Cuts the next n bytes off a buffer. */
static void *cut(char **at, size_t n)
{
	char *p = *at;
	*at += pad(n);
	return p;
}

/* What is kept of a layer: arrays of `rows` rows, the batch's behind those of its stem. */
struct layout {
	size_t row[S_N], at[S_N], layer_bytes; /* bytes of a row; where an array begins in the layer */
	int rows, stem;
};

static struct layout layout_of(const inoci_model *m, const inoci_adapter *a, int rows, int stem)
{
	const inoci_hparams *h = &m->hp;
	size_t R = m->ops->real_bytes, A = m->ops->act_bytes, Q = (size_t)(h->n_heads * h->head_dim);
	size_t KV = (size_t)(h->n_kv_heads * h->head_dim), rank = a ? (size_t)a->cfg.rank * 4 : 0;
	const inoci_layer_lora *l = a ? &a->layers[0] : NULL;
	struct layout y = {.rows = rows,
	                   .stem = stem,
	                   .row = {[S_X0] = (size_t)h->width * R,
	                           [S_X1] = (size_t)h->width * R,
	                           [S_QKV] = (Q + 2 * KV) * A,
	                           [S_ATT] = Q * A,
	                           [S_LSE] = (size_t)h->n_heads * 4,
	                           [S_GU] = 2 * (size_t)h->ff * A,
	                           [S_UQKV] = l ? (size_t)l->qkv.n_slices * rank : 0,
	                           [S_UO] = l ? (size_t)l->o.n_slices * rank : 0,
	                           [S_UGU] = l ? (size_t)l->gu.n_slices * rank : 0,
	                           [S_UDOWN] = l ? (size_t)l->down.n_slices * rank : 0}};
	for (int i = 0; i < S_N; i++) {
		y.at[i] = y.layer_bytes;
		y.layer_bytes += pad((size_t)rows * y.row[i]);
	}
	return y;
}

/* The batch's first row of array i of layer l. */
static void *kept(const inoci_workspace *w, const struct layout *y, int l, int i)
{
	return w->saved + (size_t)l * y->layer_bytes + y->at[i] + (size_t)y->stem * y->row[i];
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
 * be the same array. kv NULL: keys and values are the batch's own (training); else rows of k and v. */
struct layer_bufs {
	void *h, *qkv, *att, *gu, *s; /* act */
	float *lse, *uqkv, *uo, *ugu, *udown;
	void *k, *v; /* store of this layer, or NULL */
	char *seen;  /* else: where key rows are counted from in qkv */
	const int32_t *kv_rows;
};

static int layer_forward(inoci_model *m, inoci_layer_lora *al, int l, const inoci_batch *b, void *x0, void *x1, void *x2,
                         const struct layer_bufs *f, inoc_err *err)
{
	const inoci_hparams *h = &m->hp;
	inoci_ops *o = m->ops;
	inoci_layer *L = &m->layers[l];
	int T = b->T, C = h->width, D = h->head_dim, Q = h->n_heads * D, KV = h->n_kv_heads * D, ld = Q + 2 * KV, rc;
	size_t xs = (size_t)T * (size_t)C * o->real_bytes, A = o->act_bytes;
	inoci_attn at = {h->n_heads, h->n_kv_heads, D, 0, 0};

	o->rmsnorm(o, f->h, x0, NULL, L->attn_norm, T, C, h->norm_eps);
	INOC_TRY(o->linear(o, L->qkv, lora(al ? &al->qkv : NULL), f->h, T, f->qkv, false, f->uqkv, err));
	o->rope(o, f->qkv, false, T, ld, h->n_heads + h->n_kv_heads, D, b->pos, m->rope_cs, 1);
	if (f->k) {
		o->store_rows(o, f->k, KV, f->kv_rows, f->qkv, ld, Q, KV, T);
		o->store_rows(o, f->v, KV, f->kv_rows, f->qkv, ld, Q + KV, KV, T);
		INOC_TRY(o->attn(o, &at, b->segs, b->n_segs, f->qkv, ld, f->k, f->v, KV, f->att, f->lse, err));
	} else {
		char *seen = f->seen ? f->seen : f->qkv;
		INOC_TRY(o->attn(o, &at, b->segs, b->n_segs, f->qkv, ld, seen + (size_t)Q * A, seen + (size_t)(Q + KV) * A, ld,
		                 f->att, f->lse, err));
	}
	if (x1 != x0) memcpy(x1, x0, xs);
	INOC_TRY(o->linear(o, L->o, lora(al ? &al->o : NULL), f->att, T, x1, true, f->uo, err));
	o->rmsnorm(o, f->h, x1, NULL, L->ffn_norm, T, C, h->norm_eps);
	INOC_TRY(o->linear(o, L->gu, lora(al ? &al->gu : NULL), f->h, T, f->gu, false, f->ugu, err));
	o->swiglu(o, f->s, f->gu, T, h->ff);
	if (x2 != x1) memcpy(x2, x1, xs);
	INOC_TRY(o->linear(o, L->down, lora(al ? &al->down : NULL), f->s, T, x2, true, f->udown, err));
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
	size_t need = pad(t * C * R) + pad(t * C * A) + pad(t * ld * A) + pad(t * Q * A) + pad(2 * t * F * A) + pad(t * F * A) +
	              pad((size_t)n_rows * C * A);
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
	return 2 * (size_t)m->hp.n_layers * pad((size_t)n_rows * (size_t)(m->hp.n_kv_heads * m->hp.head_dim) * m->ops->act_bytes);
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

/* Scratch of the backward of t tokens. */
static size_t backward_bytes(const inoci_model *m, size_t t, size_t stem)
{
	const inoci_hparams *h = &m->hp;
	size_t R = m->ops->real_bytes, A = m->ops->act_bytes, C = (size_t)h->width, F = (size_t)h->ff;
	size_t Q = (size_t)(h->n_heads * h->head_dim), ld = Q + 2 * (size_t)(h->n_kv_heads * h->head_dim);
	return pad(t * C * A) + pad(t * F * A) + pad(t * C * R) + pad(t * F * R) + pad(2 * t * F * R) + pad(t * Q * R) +
	       pad((stem + t) * ld * R);
}

/* Room for what is kept; behind the layers lie the last residual and its gradient. */
static int keep_room(const inoci_model *m, inoci_workspace *w, const struct layout *y, inoc_err *err)
{
	size_t x = pad((size_t)y->rows * (size_t)m->hp.width * m->ops->real_bytes);
	return room(&w->saved, &w->saved_bytes, y->layer_bytes * (size_t)m->hp.n_layers + 2 * x,
	            "activations kept for the backward", err);
}

static void *last_residual(const inoci_model *m, const inoci_workspace *w, const struct layout *y)
{
	return w->saved + y->layer_bytes * (size_t)m->hp.n_layers;
}

static void *residual_grad(const inoci_model *m, const inoci_workspace *w, const struct layout *y)
{
	return (char *)last_residual(m, w, y) + pad((size_t)y->rows * (size_t)m->hp.width * m->ops->real_bytes);
}

/* All layers forward, kept; scratch has room. */
static int forward(inoci_model *m, inoci_adapter *a, const inoci_batch *b, inoci_workspace *w, const struct layout *y,
                   inoc_err *err)
{
	size_t t = (size_t)b->T, A = m->ops->act_bytes;
	int rc;
	INOC_TRY(embed(m, b, w, kept(w, y, 0, S_X0), err));
	for (int l = 0; l < m->hp.n_layers; l++) {
		char *sc = w->scratch;
		struct layer_bufs f = {.h = cut(&sc, t * (size_t)m->hp.width * A),
		                       .qkv = kept(w, y, l, S_QKV),
		                       .att = kept(w, y, l, S_ATT),
		                       .gu = kept(w, y, l, S_GU),
		                       .lse = kept(w, y, l, S_LSE),
		                       .uqkv = kept(w, y, l, S_UQKV),
		                       .uo = kept(w, y, l, S_UO),
		                       .ugu = kept(w, y, l, S_UGU),
		                       .udown = kept(w, y, l, S_UDOWN)};
		f.s = cut(&sc, t * (size_t)m->hp.ff * A);
		f.seen = (char *)f.qkv - (size_t)y->stem * y->row[S_QKV];
		void *x2 = l + 1 < m->hp.n_layers ? kept(w, y, l + 1, S_X0) : last_residual(m, w, y);
		INOC_TRY(layer_forward(m, &a->layers[l], l, b, kept(w, y, l, S_X0), kept(w, y, l, S_X1), x2, &f, err));
	}
	rc = 0;
out:
	return rc;
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
static int backward(inoci_model *m, inoci_adapter *a, const inoci_batch *b, inoci_workspace *w, const struct layout *y,
                    bool is_stem, inoc_err *err)
{
	const inoci_hparams *h = &m->hp;
	inoci_ops *o = m->ops;
	int T = b->T, C = h->width, F = h->ff, D = h->head_dim, Q = h->n_heads * D, ld = Q + 2 * h->n_kv_heads * D, rc;
	size_t t = (size_t)T, R = o->real_bytes, A = o->act_bytes;
	size_t stem_bytes = (size_t)(is_stem ? T : y->stem) * (size_t)(ld - Q) * R;
	inoci_attn at = {h->n_heads, h->n_kv_heads, D, 0, y->stem};
	char *scratch = w->scratch;
	void *dx = residual_grad(m, w, y);
	void *hn = cut(&scratch, t * (size_t)C * A), *s = cut(&scratch, t * (size_t)F * A),
	     *dh = cut(&scratch, t * (size_t)C * R);
	void *ds = cut(&scratch, t * (size_t)F * R), *dgu = cut(&scratch, 2 * t * (size_t)F * R);
	void *datt = cut(&scratch, t * (size_t)Q * R);
	char *dqkv_all = cut(&scratch, ((size_t)y->stem + t) * (size_t)ld * R),
	     *dqkv = dqkv_all + (size_t)y->stem * (size_t)ld * R;
	for (int l = h->n_layers - 1; l >= 0; l--) {
		inoci_layer *L = &m->layers[l];
		inoci_layer_lora *al = &a->layers[l];
		void *x0 = kept(w, y, l, S_X0), *x1 = kept(w, y, l, S_X1), *gu = kept(w, y, l, S_GU);
		char *seen = (char *)kept(w, y, l, S_QKV) - (size_t)y->stem * y->row[S_QKV],
		     *stem_kv = (char *)w->stem_kv + (size_t)l * stem_bytes;
		o->swiglu(o, s, gu, T, F);
		INOC_TRY(o->linear_bwd(o, L->down, lora(&al->down), dx, s, kept(w, y, l, S_UDOWN), T, ds, err));
		o->swiglu_bwd(o, dgu, ds, gu, T, F);
		o->rmsnorm(o, hn, x1, NULL, L->ffn_norm, T, C, h->norm_eps);
		INOC_TRY(o->linear_bwd(o, L->gu, lora(&al->gu), dgu, hn, kept(w, y, l, S_UGU), T, dh, err));
		o->rmsnorm_bwd(o, dx, dh, x1, NULL, L->ffn_norm, T, C, h->norm_eps);
		INOC_TRY(o->linear_bwd(o, L->o, lora(&al->o), dx, kept(w, y, l, S_ATT), kept(w, y, l, S_UO), T, datt, err));
		if (l == 0 && !lora(&al->qkv)) break; /* nothing trained lies below */
		if (y->stem) stem_columns(m, dqkv_all, stem_kv, y->stem, false);
		INOC_TRY(o->attn_bwd(o, &at, b->segs, b->n_segs, T, seen, kept(w, y, l, S_ATT), kept(w, y, l, S_LSE), datt,
		                     dqkv_all, err));
		if (y->stem) stem_columns(m, dqkv_all, stem_kv, y->stem, true);
		if (is_stem) o->add_rows(o, dqkv + (size_t)Q * R, ld, stem_kv, ld - Q, ld - Q, T);
		o->rope(o, dqkv, true, T, ld, h->n_heads + h->n_kv_heads, D, b->pos, m->rope_cs, -1);
		o->rmsnorm(o, hn, x0, NULL, L->attn_norm, T, C, h->norm_eps);
		INOC_TRY(o->linear_bwd(o, L->qkv, lora(&al->qkv), dqkv, hn, kept(w, y, l, S_UQKV), T, l ? dh : NULL, err));
		if (l) o->rmsnorm_bwd(o, dx, dh, x0, NULL, L->attn_norm, T, C, h->norm_eps);
	}
	rc = 0;
out:
	return rc;
}

int inoci_model_stem(inoci_model *m, inoci_adapter *a, const inoci_batch *stem, int most, inoci_workspace *w, inoc_err *err)
{
	size_t kv =
	        (size_t)m->hp.n_layers * (size_t)stem->T * 2 * (size_t)(m->hp.n_kv_heads * m->hp.head_dim) * m->ops->real_bytes;
	int rc;
	INOC_BUG_IF(!a || !a->grads || !m->can_train || a->cfg.dropout > 0 || stem->stem);
	w->rows = stem->T + most;
	struct layout y = layout_of(m, a, w->rows, 0);
	INOC_TRY(keep_room(m, w, &y, err));
	INOC_TRY(room((char **)&w->stem_kv, &w->stem_bytes, kv, "a stem's gradients", err));
	INOC_TRY(room(&w->scratch, &w->scratch_bytes, backward_bytes(m, (size_t)stem->T, 0), "activations", err));
	memset(w->stem_kv, 0, kv);
	set_dropout(a, false, 0);
	INOC_TRY(forward(m, a, stem, w, &y, err));
out:
	return rc;
}

int inoci_model_stem_bwd(inoci_model *m, inoci_adapter *a, const inoci_batch *stem, inoci_workspace *w, inoc_err *err)
{
	struct layout y = layout_of(m, a, w->rows, 0);
	memset(residual_grad(m, w, &y), 0, (size_t)stem->T * (size_t)m->hp.width * m->ops->real_bytes);
	return backward(m, a, stem, w, &y, true, err);
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
	INOC_BUG_IF(b->stem && (!grad || a->cfg.dropout > 0 || b->stem + b->T > w->rows));
	if (!grad) {
		INOC_TRY(infer_scratch(m, w, b->T, n, &f, &x, &hrows, err));
		INOC_TRY(embed(m, b, w, x, err));
		set_dropout(a, false, 0);
		for (int l = 0; l < h->n_layers; l++)
			INOC_TRY(layer_forward(m, a ? &a->layers[l] : NULL, l, b, x, x, x, &f, err));
		o->rmsnorm(o, hrows, x, w->rows_of, m->final_norm, n, h->width, h->norm_eps);
		return o->head_loss(o, m->head, hrows, w->targets, w->weights, n, logprob, NULL, err);
	}
	struct layout y = layout_of(m, a, b->stem ? w->rows : b->T, b->stem);
	size_t R = o->real_bytes, A = o->act_bytes, C = (size_t)h->width, N = (size_t)n;
	size_t bwd = backward_bytes(m, (size_t)b->T, (size_t)b->stem);
	INOC_TRY(keep_room(m, w, &y, err));
	INOC_TRY(room(&w->scratch, &w->scratch_bytes, bwd + pad(N * C * A) + pad(N * C * R), "activations", err));
	char *at = w->scratch + bwd;
	hrows = cut(&at, N * C * A);
	void *dh = cut(&at, N * C * R), *last = last_residual(m, w, &y), *dx = residual_grad(m, w, &y);

	set_dropout(a, a->cfg.dropout > 0, drop);
	INOC_TRY(forward(m, a, b, w, &y, err));
	o->rmsnorm(o, hrows, last, w->rows_of, m->final_norm, n, h->width, h->norm_eps);
	INOC_TRY(o->head_loss(o, m->head, hrows, w->targets, w->weights, n, logprob, dh, err));
	memset(dx, 0, (size_t)b->T * C * R);
	o->rmsnorm_bwd(o, dx, dh, last, w->rows_of, m->final_norm, n, h->width, h->norm_eps);
	INOC_TRY(backward(m, a, b, w, &y, false, err));
	rc = 0;
out:
	return rc;
}
