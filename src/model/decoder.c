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
	int32_t *rows, *targets;
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
	free(w->rows);
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
	const int32_t *kv_rows;
};

/* gate and up from the residual behind attention. */
static int gate_up(inoci_model *m, inoci_layer_lora *al, int l, const inoci_batch *b, void *x1, const struct layer_bufs *f,
                   inoc_err *err)
{
	inoci_ops *o = m->ops;
	o->rmsnorm(o, f->h, x1, NULL, m->layers[l].ffn_norm, b->T, m->hp.width, m->hp.norm_eps);
	return o->linear(o, m->layers[l].gu, lora(al ? &al->gu : NULL), f->h, b->T, f->gu, false, f->ugu, err);
}

static int layer_forward(inoci_model *m, inoci_layer_lora *al, int l, const inoci_batch *b, void *x0, void *x1, void *x2,
                         const struct layer_bufs *f, inoc_err *err)
{
	const inoci_hparams *h = &m->hp;
	inoci_ops *o = m->ops;
	inoci_layer *L = &m->layers[l];
	int T = b->T, C = h->width, D = h->head_dim, Q = h->n_heads * D, KV = h->n_kv_heads * D, ld = Q + 2 * KV, rc;
	size_t xs = (size_t)T * (size_t)C * o->real_bytes, A = o->act_bytes;
	inoci_attn at = {h->n_heads, h->n_kv_heads, D, 0};

	o->rmsnorm(o, f->h, x0, NULL, L->attn_norm, T, C, h->norm_eps);
	INOC_TRY(o->linear(o, L->qkv, lora(al ? &al->qkv : NULL), f->h, T, f->qkv, false, f->uqkv, err));
	o->rope(o, f->qkv, false, T, ld, h->n_heads + h->n_kv_heads, D, b->pos, m->rope_cs, 1);
	if (f->k) {
		o->store_rows(o, f->k, KV, f->kv_rows, f->qkv, ld, Q, KV, T);
		o->store_rows(o, f->v, KV, f->kv_rows, f->qkv, ld, Q + KV, KV, T);
		o->attn(o, &at, b->segs, b->n_segs, f->qkv, ld, f->k, f->v, KV, f->att, f->lse);
	} else {
		char *qkv = f->qkv;
		o->attn(o, &at, b->segs, b->n_segs, qkv, ld, qkv + (size_t)Q * A, qkv + (size_t)(Q + KV) * A, ld, f->att, f->lse);
	}
	if (x1 != x0) memcpy(x1, x0, xs);
	INOC_TRY(o->linear(o, L->o, lora(al ? &al->o : NULL), f->att, T, x1, true, f->uo, err));
	INOC_TRY(gate_up(m, al, l, b, x1, f, err));
	if (!x2) return 0;
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
		w->rows = inoci_realloc(w->rows, w->rows_cap * sizeof *w->rows);
		w->targets = inoci_realloc(w->targets, w->rows_cap * sizeof *w->targets);
		w->weights = inoci_realloc(w->weights, w->rows_cap * sizeof *w->weights);
	}
	int n = 0;
	for (int t = 0; t < b->T; t++)
		if (b->target[t] >= 0) {
			w->rows[n] = t;
			w->targets[n] = b->target[t];
			w->weights[n++] = b->weight[t];
		}
	return n;
}

struct saved {
	char *p[S_N];
};

static struct saved saved_of(inoci_workspace *w, const inoci_kept *k, int l)
{
	struct saved v;
	for (int i = 0; i < S_N; i++) v.p[i] = w->saved + (k->once[i] ? 0 : (size_t)l * k->layer) + k->at[i];
	return v;
}

static struct layer_bufs bufs_of(const struct saved *v, void *h, void *s)
{
	return (struct layer_bufs){.h = h,
	                           .qkv = v->p[S_QKV],
	                           .att = v->p[S_ATT],
	                           .gu = v->p[S_GU],
	                           .s = s,
	                           .lse = (float *)v->p[S_LSE],
	                           .uqkv = (float *)v->p[S_UQKV],
	                           .uo = (float *)v->p[S_UO],
	                           .ugu = (float *)v->p[S_UGU],
	                           .udown = (float *)v->p[S_UDOWN]};
}

/* What was not kept of layer l. The last layer's is still there. */
static int again(inoci_model *m, inoci_adapter *a, const inoci_batch *b, const inoci_workspace *w, int l, const struct saved *v,
                 void *h, void *s, inoc_err *err)
{
	struct layer_bufs f = bufs_of(v, h, s);
	if (w->keep == INOCI_KEEP_ALL || l == m->hp.n_layers - 1) return 0;
	if (w->keep == INOCI_KEEP_LEAST) return layer_forward(m, &a->layers[l], l, b, v->p[S_X0], v->p[S_X1], NULL, &f, err);
	return gate_up(m, &a->layers[l], l, b, v->p[S_X1], &f, err);
}

static int backward(inoci_model *m, inoci_adapter *a, const inoci_batch *b, inoci_workspace *w, const inoci_kept *kept, void *dx,
                    char *scratch, inoc_err *err)
{
	const inoci_hparams *h = &m->hp;
	inoci_ops *o = m->ops;
	int T = b->T, C = h->width, F = h->ff, D = h->head_dim, Q = h->n_heads * D, ld = Q + 2 * h->n_kv_heads * D, rc;
	size_t t = (size_t)T, R = o->real_bytes, A = o->act_bytes;
	inoci_attn at = {h->n_heads, h->n_kv_heads, D, 0};
	void *hn = cut(&scratch, t * (size_t)C * A), *s = cut(&scratch, t * (size_t)F * A),
	     *dh = cut(&scratch, t * (size_t)C * R);
	char *behind = scratch; /* what the feed-forward's backward needs is over when attention's begins */
	void *ds = cut(&scratch, t * (size_t)F * R), *dgu = cut(&scratch, 2 * t * (size_t)F * R);
	scratch = behind;
	void *datt = cut(&scratch, t * (size_t)Q * R), *dqkv = cut(&scratch, t * (size_t)ld * R);
	for (int l = h->n_layers - 1; l >= 0; l--) {
		struct saved v = saved_of(w, kept, l);
		inoci_layer *L = &m->layers[l];
		inoci_layer_lora *al = &a->layers[l];
		INOC_TRY(again(m, a, b, w, l, &v, hn, s, err));
		o->swiglu(o, s, v.p[S_GU], T, F);
		INOC_TRY(o->linear_bwd(o, L->down, lora(&al->down), dx, s, (float *)v.p[S_UDOWN], T, ds, err));
		o->swiglu_bwd(o, dgu, ds, v.p[S_GU], T, F);
		o->rmsnorm(o, hn, v.p[S_X1], NULL, L->ffn_norm, T, C, h->norm_eps);
		INOC_TRY(o->linear_bwd(o, L->gu, lora(&al->gu), dgu, hn, (float *)v.p[S_UGU], T, dh, err));
		o->rmsnorm_bwd(o, dx, dh, v.p[S_X1], NULL, L->ffn_norm, T, C, h->norm_eps);
		INOC_TRY(o->linear_bwd(o, L->o, lora(&al->o), dx, v.p[S_ATT], (float *)v.p[S_UO], T, datt, err));
		if (l == 0 && !lora(&al->qkv)) break; /* nothing trained lies below */
		INOC_TRY(
		        o->attn_bwd(o, &at, b->segs, b->n_segs, T, v.p[S_QKV], v.p[S_ATT], (float *)v.p[S_LSE], datt, dqkv, err));
		o->rope(o, dqkv, true, T, ld, h->n_heads + h->n_kv_heads, D, b->pos, m->rope_cs, -1);
		o->rmsnorm(o, hn, v.p[S_X0], NULL, L->attn_norm, T, C, h->norm_eps);
		INOC_TRY(o->linear_bwd(o, L->qkv, lora(&al->qkv), dqkv, hn, (float *)v.p[S_UQKV], T, l ? dh : NULL, err));
		if (l) o->rmsnorm_bwd(o, dx, dh, v.p[S_X0], NULL, L->attn_norm, T, C, h->norm_eps);
	}
	rc = 0;
out:
	return rc;
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
	if (!grad) {
		INOC_TRY(infer_scratch(m, w, b->T, n, &f, &x, &hrows, err));
		INOC_TRY(embed(m, b, w, x, err));
		set_dropout(a, false, 0);
		for (int l = 0; l < h->n_layers; l++)
			INOC_TRY(layer_forward(m, a ? &a->layers[l] : NULL, l, b, x, x, x, &f, err));
		o->rmsnorm(o, hrows, x, w->rows, m->final_norm, n, h->width, h->norm_eps);
		return o->head_loss(o, m->head, hrows, w->targets, w->weights, n, logprob, NULL, err);
	}
	inoci_kept k = inoci_kept_plan(h, o->real_bytes, o->act_bytes, &a->cfg, b->T, n, w->keep);
	size_t t = (size_t)b->T, R = o->real_bytes, A = o->act_bytes, C = (size_t)h->width, N = (size_t)n;
	INOC_TRY(room(&w->saved, &w->saved_bytes, k.saved, "activations kept for the backward", err));
	INOC_TRY(room(&w->scratch, &w->scratch_bytes, k.scratch, "activations", err));
	char *last = w->saved + k.last, *dx = w->saved + k.dx, *at = w->scratch;
	void *h1 = cut(&at, t * C * A), *s1 = cut(&at, t * (size_t)h->ff * A);
	at = w->scratch; /* the head comes behind the layers */
	hrows = cut(&at, N * C * A);
	void *dh = cut(&at, N * C * R);

	set_dropout(a, a->cfg.dropout > 0, drop);
	INOC_TRY(embed(m, b, w, saved_of(w, &k, 0).p[S_X0], err));
	for (int l = 0; l < h->n_layers; l++) {
		struct saved v = saved_of(w, &k, l);
		f = bufs_of(&v, h1, s1);
		void *x2 = l + 1 < h->n_layers ? saved_of(w, &k, l + 1).p[S_X0] : last;
		INOC_TRY(layer_forward(m, &a->layers[l], l, b, v.p[S_X0], v.p[S_X1], x2, &f, err));
	}
	o->rmsnorm(o, hrows, last, w->rows, m->final_norm, n, h->width, h->norm_eps);
	INOC_TRY(o->head_loss(o, m->head, hrows, w->targets, w->weights, n, logprob, dh, err));
	memset(dx, 0, t * C * R);
	o->rmsnorm_bwd(o, dx, dh, last, w->rows, m->final_norm, n, h->width, h->norm_eps);
	INOC_TRY(backward(m, a, b, w, &k, dx, w->scratch, err));
	rc = 0;
out:
	return rc;
}
