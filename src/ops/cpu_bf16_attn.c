/* Attention on CPUs with AVX-512 BF16, by blocks of queries and keys: the heads that share a key/value head are rows of one small
 * product. Scores never leave a block; the softmax is kept online; the backward recomputes them.
 *
 * A thread packs the keys and values that its segment sees, and keeps what the next segment sees too (a common prompt).
 *
 * Invariant (forward): blocks of keys are cut at absolute positions and a row's sums run over its keys in order, so that a row's
 * bits do not depend on how many queries stand beside it: decoding gives what one pass over the whole sequence gives.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/internal.h"

enum { BLOCK = 192, ROWS = 32, HEADS = 8, GROUP = 16, MAX_D = INOCI_ATTN_MAX_D, COLS = INOCI_ATTN_COLS };

/* What a thread holds of the keys of one key/value head. */
typedef struct {
	const int32_t *rows; /* of the segment seen last */
	int head, n;         /* head -1: nothing is held */
} held;

/* From which of n positions on, down to a whole group, they are not held yet; n: all are. Afterwards they are. */
static int holds(held *h, const int32_t *rows, int n, int head, int group)
{
	int same = 0, most = h->head == head ? (h->n < n ? h->n : n) : 0;
	if (most && h->rows == rows)
		same = most;
	else
		while (same < most && h->rows[same] == rows[same]) same++;
	if (same == n && h->rows == rows) return n; /* more may be held */
	*h = (held){rows, head, n};
	return same == n ? n : same / group * group;
}

/* As inoci_bf16_mm. On tiles, where k allows: which way a product goes depends on its shape alone. */
static void mm(bool amx, const uint16_t *x, size_t ldx, int m, const uint16_t *w, size_t ldw, int n, int k, float *y, size_t ldy,
               bool add)
{
	(amx && k % 32 == 0 ? inoci_bf16_mm_amx : inoci_bf16_mm)(x, ldx, m, w, ldw, n, k, y, ldy, add);
}

/* ---- forward ---- */

/* Rows (of a query and head) at once: a multiple of what the products take. */
static int rows_of(const inoci_attn_job *a)
{
	return a->amx ? ROWS : 24;
}

/* n keys, and the zeros behind them that are computed with: tiles take 32 keys. */
static int padded(const inoci_attn_job *a, int n)
{
	return inoci_up(n, a->amx ? 2 * GROUP : GROUP);
}

typedef struct {
	held h;
	uint16_t *k, *v; /* k: blocks of keys, each [D / 2][BLOCK][2]; v: [keys / 2][D][2] */
	_Alignas(64) uint16_t q[ROWS * MAX_D], p[ROWS * BLOCK];
	_Alignas(64) float s[ROWS * BLOCK], acc[ROWS * MAX_D];
	float max[ROWS], sum[ROWS];
} forward;

size_t inoci_bf16_attn_bytes(int keys, int D)
{
	return inoci_pad(sizeof(forward)) + 2 * (size_t)inoci_up(keys, BLOCK) * (size_t)D * 2;
}

void inoci_bf16_attn_start(void *scratch, int keys, int D)
{
	forward *f = scratch;
	f->h.head = -1;
	f->k = (uint16_t *)((char *)scratch + inoci_pad(sizeof *f));
	f->v = f->k + (size_t)inoci_up(keys, BLOCK) * (size_t)D;
}

static void pack_keys(forward *f, const inoci_attn_job *a, const inoci_seg *g, int head, int n)
{
	size_t D = (size_t)a->D;
	int first = holds(&f->h, g->key_rows, n, head, GROUP);
	for (int j = first, end = first < n ? padded(a, n) : n; j < end; j += GROUP) {
		const uint16_t *kr[GROUP], *vr[GROUP];
		for (int i = 0; i < GROUP; i++) {
			size_t row = j + i < n ? (size_t)g->key_rows[j + i] * (size_t)a->ldkv : 0;
			kr[i] = j + i < n ? a->k + row : NULL;
			vr[i] = j + i < n ? a->v + row : NULL;
		}
		uint16_t *block = f->k + (size_t)(j / BLOCK) * BLOCK * D;
		inoci_bf16_pack(kr, a->D, block + 2 * (j % BLOCK), BLOCK, NULL, 0);
		inoci_bf16_pack(vr, a->D, NULL, 0, f->v + (size_t)j * D, D);
	}
}

/* Queries [i0, i0 + nq) of the segment and m heads from h0. */
static void forward_rows(forward *f, const inoci_attn_job *a, const inoci_seg *g, int i0, int nq, int h0, int m)
{
	size_t D = (size_t)a->D;
	int n = nq * m, first = g->pos0 + i0, last = first + nq, from[ROWS];
	float c = a->scale * INOCI_LOG2E;
	for (int r = 0; r < n; r++) {
		int pos = first + r / m;
		from[r] = a->window && pos + 1 > a->window ? pos + 1 - a->window : 0;
		f->max[r] = -INFINITY;
		f->sum[r] = 0;
	}
	for (int i = 0; i < nq; i++)
		memcpy(f->q + (size_t)(i * m) * D, a->q + (size_t)(g->start + i0 + i) * (size_t)a->ldq + (size_t)h0 * D,
		       (size_t)m * D * 2);
	bool begun = false;
	for (int k0 = from[0] / BLOCK * BLOCK; k0 < last; k0 += BLOCK, begun = true) {
		int keys = last - k0 < BLOCK ? last - k0 : BLOCK, wide = padded(a, keys);
		mm(a->amx, f->q, D, n, f->k + (size_t)k0 * D, BLOCK, wide, a->D, f->s, BLOCK, false);
		for (int r = 0; r < n; r++) {
			float shrink = inoci_bf16_soften(f->s + r * BLOCK, f->p + r * BLOCK, wide, from[r] - k0,
			                                 first + r / m + 1 - k0, c, &f->max[r], &f->sum[r]);
			if (begun && shrink != 1) inoci_bf16_scale(f->acc + (size_t)r * D, a->D, shrink);
		}
		mm(a->amx, f->p, BLOCK, n, f->v + (size_t)k0 * D, D, a->D, a->amx ? wide : inoci_up(keys, 2), f->acc, D, begun);
	}
	for (int r = 0; r < n; r++) {
		size_t t = (size_t)(g->start + i0 + r / m), h = (size_t)(h0 + r % m);
		inoci_bf16_scaled(a->out + t * (size_t)a->ldo + h * D, f->acc + (size_t)r * D, a->D, 1 / f->sum[r]);
		if (a->lse) a->lse[t * (size_t)a->ld_lse + h] = (f->max[r] + log2f(f->sum[r])) / INOCI_LOG2E;
	}
}

void inoci_bf16_attn(const inoci_attn_job *a, const inoci_seg *g, int head, int i0, int i1, void *scratch)
{
	forward *f = scratch;
	pack_keys(f, a, g, head, g->pos0 + i1);
	for (int h0 = 0; h0 < a->heads; h0 += HEADS) {
		int m = a->heads - h0 < HEADS ? a->heads - h0 : HEADS, nq = rows_of(a) / m;
		for (int i = i0; i < i1; i += nq) forward_rows(f, a, g, i, i1 - i < nq ? i1 - i : nq, h0, m);
	}
	if (a->amx) inoci_amx_end();
}

/* ---- backward: the products are transposed, keys are rows and (query, head) columns ---- */

enum { KEYS = 64 }; /* of a block */

typedef struct {
	held h;
	uint16_t *k, *v, *kt; /* k, v (keys, D); kt (D, keys) */
	int cap;
	_Alignas(64) uint16_t qc[COLS * MAX_D], dc[COLS * MAX_D], qp[COLS * MAX_D],
	        dp[COLS * MAX_D]; /* [D/2][COLS][2], [COLS/2][D][2] */
	_Alignas(64) uint16_t dout[COLS * MAX_D], p[KEYS * COLS], ds[KEYS * COLS], pairs[KEYS * COLS], kv[KEYS * MAX_D];
	_Alignas(64) float s[KEYS * COLS], dpf[KEYS * COLS], dqt[MAX_D * COLS];
	inoci_attn_cols cols;
} backward;

size_t inoci_bf16_attn_bwd_bytes(int keys, int D)
{
	return inoci_pad(sizeof(backward)) + (3 * (size_t)inoci_up(keys, KEYS) + 2) * (size_t)D * 2;
}

void inoci_bf16_attn_bwd_start(void *scratch, int keys, int D)
{
	backward *b = scratch;
	size_t n = (size_t)inoci_up(keys, KEYS) * (size_t)D;
	b->h.head = -1;
	b->cap = inoci_up(keys, KEYS) + 2;
	b->k = (uint16_t *)((char *)scratch + inoci_pad(sizeof *b));
	b->v = b->k + n;
	b->kt = b->v + n;
	/* an odd number of keys is multiplied with one behind them: by zero, but what lay there could be NaN */
	memset(b->kt, 0, (size_t)b->cap * (size_t)D * sizeof *b->kt);
}

static void gather_keys(backward *b, const inoci_attn_bwd *a, const inoci_seg *g, int head, int n)
{
	size_t D = (size_t)a->D;
	/* a column of kt takes 32 keys at a time */
	for (int j = holds(&b->h, g->key_rows, n, head, 2 * GROUP); j < n; j += 2 * GROUP) {
		const uint16_t *kr[2 * GROUP], *pr[GROUP];
		for (int i = 0; i < 2 * GROUP; i++) {
			uint16_t *k = b->k + (size_t)(j + i) * D, *v = b->v + (size_t)(j + i) * D;
			size_t row = j + i < n ? (size_t)g->key_rows[j + i] * (size_t)a->ld : 0;
			kr[i] = j + i < n ? k : NULL;
			if (j + i >= n) continue;
			memcpy(k, a->k + row, D * 2);
			memcpy(v, a->v + row, D * 2);
		}
		inoci_bf16_pack(kr, a->D, NULL, 0, b->kv, D);
		inoci_bf16_pack(kr + GROUP, a->D, NULL, 0, b->kv + GROUP * D, D);
		for (int i = 0; i < GROUP; i++) pr[i] = b->kv + (size_t)i * 2 * D;
		inoci_bf16_pack(pr, 2 * a->D, b->kt + j, (size_t)b->cap / 2, NULL, 0);
	}
}

/* Columns: queries [i0, i0 + nq), m heads from h0. */
static void load_queries(backward *b, const inoci_attn_bwd *a, const inoci_seg *g, int i0, int nq, int h0, int m)
{
	size_t D = (size_t)a->D;
	b->cols.scale = a->scale;
	const uint16_t *q[COLS] = {0}, *d[COLS] = {0};
	for (int c = 0; c < COLS; c++) {
		b->cols.from[c] = b->cols.to[c] = 0; /* sees nothing */
		b->cols.lse[c] = b->cols.delta[c] = 0;
		if (c >= nq * m) continue;
		int pos = g->pos0 + i0 + c / m;
		size_t t = (size_t)(g->start + i0 + c / m), h = (size_t)(h0 + c % m), o = t * (size_t)a->ldo + h * D;
		b->cols.to[c] = pos + 1;
		b->cols.from[c] = a->window && pos + 1 > a->window ? pos + 1 - a->window : 0;
		b->cols.lse[c] = a->lse[t * (size_t)a->ld_lse + h] * INOCI_LOG2E;
		b->cols.delta[c] = inoci_bf16_delta(b->dout + (size_t)c * D, a->dout + o, a->out + o, a->D);
		q[c] = a->q + t * (size_t)a->ld + h * D;
		d[c] = b->dout + (size_t)c * D;
	}
	for (int c = 0; c < COLS; c += GROUP) {
		inoci_bf16_pack(q + c, a->D, b->qc + 2 * c, COLS, b->qp + (size_t)c * D, D);
		inoci_bf16_pack(d + c, a->D, b->dc + 2 * c, COLS, b->dp + (size_t)c * D, D);
	}
}

/* Keys [k0, k0 + n), whose gradients are rows of ld values from dk, dv on. */
static void key_block(backward *b, const inoci_attn_bwd *a, int k0, int n, float *dk, float *dv, size_t ld, bool begun)
{
	size_t D = (size_t)a->D;
	mm(a->amx, b->k + (size_t)k0 * D, D, n, b->qc, COLS, COLS, a->D, b->s, COLS, false);
	mm(a->amx, b->v + (size_t)k0 * D, D, n, b->dc, COLS, COLS, a->D, b->dpf, COLS, false);
	inoci_bf16_probability_grad(&b->cols, k0, b->s, b->dpf, n, COLS, b->p, b->ds, b->pairs);
	mm(a->amx, b->p, COLS, n, b->dp, D, a->D, COLS, dv, ld, true);
	mm(a->amx, b->ds, COLS, n, b->qp, D, a->D, COLS, dk, ld, true);
	mm(a->amx, b->kt + k0, (size_t)b->cap, a->D, b->pairs, COLS, COLS, inoci_up(n, 2), b->dqt, COLS, begun);
}

static void store_queries(const backward *b, const inoci_attn_bwd *a, const inoci_seg *g, int i0, int nq, int h0, int m)
{
	for (int c = 0; c < nq * m; c += GROUP) {
		float *dq[GROUP] = {0};
		for (int i = 0; i < GROUP && c + i < nq * m; i++)
			dq[i] = a->dq + (size_t)(g->start + i0 + (c + i) / m) * (size_t)a->ld +
			        (size_t)(h0 + (c + i) % m) * (size_t)a->D;
		inoci_bf16_columns(dq, b->dqt + c, COLS, a->D, false);
	}
}

void inoci_bf16_attn_bwd(const inoci_attn_bwd *a, const inoci_seg *g, int head, int i0, int i1, void *scratch)
{
	backward *b = scratch;
	int own = g->pos0 + i0; /* positions before it are what the gradients `above` are of */
	gather_keys(b, a, g, head, g->pos0 + i1);
	for (int h0 = 0; h0 < a->heads; h0 += HEADS) {
		int m = a->heads - h0 < HEADS ? a->heads - h0 : HEADS, step = COLS / m;
		for (int i = i0; i < i1; i += step) {
			int nq = i1 - i < step ? i1 - i : step, last = g->pos0 + i + nq;
			bool begun = false;
			load_queries(b, a, g, i, nq, h0, m);
			for (int k0 = b->cols.from[0], end; k0 < last; k0 = end, begun = true) {
				end = k0 + KEYS < last ? k0 + KEYS : last;
				if (k0 < own && end > own) end = own;
				size_t row =
				        k0 < own ? (size_t)k0 * (size_t)a->ld_above : (size_t)g->key_rows[k0] * (size_t)a->ld;
				float *dk = k0 < own ? a->above : a->dk, *dv = k0 < own ? a->above + a->D : a->dv;
				key_block(b, a, k0, end - k0, dk + row, dv + row, (size_t)(k0 < own ? a->ld_above : a->ld),
				          begun);
			}
			store_queries(b, a, g, i, nq, h0, m);
		}
	}
	if (a->amx) inoci_amx_end();
}
