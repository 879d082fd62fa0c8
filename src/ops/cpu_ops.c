/* The fast operations' table: oneDNN products, SIMD kernels over rows, OpenMP over rows.
 *
 * Invariant: work is cut over threads by rows or columns, never inside a sum, so results do not depend on the thread count.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <dnnl.h>
#include <omp.h>

#include "ops/internal.h"
#include "tensor/tensor.h"

typedef struct {
	inoci_ops o; /* first: an inoci_ops * is an inoci_cpu * */
	const inoci_simd *k;
	inoci_gemm *gemm;
	bool bf;
	struct {
		void *p;
		size_t bytes;
	} buf[4]; /* scratch, grown: product output, converted operand, adapter inner gradients, adapter inputs after dropout */
} inoci_cpu;

struct inoci_mat {
	int n, k;
	float *bias;
	inoci_packed *fwd, *bwd;
};

/* Working copies of one product's adapters. */
typedef struct {
	int ranks;                    /* sum */
	float *p;                     /* (K, ranks padded): A stacked, transposed */
	float *a;                     /* (ranks, K): A stacked */
	float *bt[INOCI_LORA_SLICES]; /* (rank, n): scale * B transposed */
	float *b[INOCI_LORA_SLICES];  /* (n, rank padded): scale * B */
	float *mem;
	size_t mem_n;
} packed_lora;

static int up16(int n)
{
	return (n + 15) / 16 * 16;
}

static void *scratch(inoci_cpu *c, int which, size_t bytes, inoc_err *err)
{
	if (c->buf[which].bytes < bytes) {
		free(c->buf[which].p);
		c->buf[which].bytes = 0;
		c->buf[which].p = inoci_big_alloc(bytes + bytes / 4, "scratch", err);
		if (!c->buf[which].p) return NULL;
		c->buf[which].bytes = bytes + bytes / 4;
	}
	return c->buf[which].p;
}

static void free_ops(inoci_ops *o)
{
	inoci_cpu *c = (inoci_cpu *)o;
	inoci_gemm_free(c->gemm);
	for (size_t i = 0; i < INOCI_COUNT(c->buf); i++) free(c->buf[i].p);
	free(c);
}

static void mat_free(inoci_mat *m)
{
	if (!m) return;
	inoci_packed_free(m->fwd);
	inoci_packed_free(m->bwd);
	free(m->bias);
	free(m);
}

static int mat_new(inoci_ops *o, const float *w, const float *bias, int n, int k, bool backward, inoci_mat **out, inoc_err *err)
{
	inoci_cpu *c = (inoci_cpu *)o;
	inoci_mat *m = inoci_alloc(sizeof *m);
	int rc;
	m->n = n;
	m->k = k;
	if (bias) {
		m->bias = inoci_alloc((size_t)n * 4);
		memcpy(m->bias, bias, (size_t)n * 4);
	}
	INOC_TRY(inoci_gemm_pack(c->gemm, w, n, k, false, &m->fwd, err));
	if (backward) INOC_TRY(inoci_gemm_pack(c->gemm, w, n, k, true, &m->bwd, err));
	*out = m;
	return 0;
out:
	mat_free(m);
	return rc;
}

static int lora_pack(inoci_ops *o, inoci_lora *l, inoc_err *err)
{
	(void)o;
	packed_lora *p = l->packed;
	int ranks = lora_rank_sum(l), rp = up16(ranks);
	if (!p) {
		p = inoci_alloc(sizeof *p);
		size_t n = (size_t)l->k * (size_t)(rp + ranks);
		for (int i = 0; i < l->n_slices; i++) n += (size_t)l->s[i].n * (size_t)(l->s[i].rank + up16(l->s[i].rank));
		p->ranks = ranks;
		p->mem = inoci_big_alloc(n * 4, "the adapter's working copy", err);
		if (!p->mem) {
			free(p);
			return INOC_E_MEMORY;
		}
		float *at = p->mem;
		p->p = at, at += (size_t)l->k * (size_t)rp;
		p->a = at, at += (size_t)l->k * (size_t)ranks;
		for (int i = 0; i < l->n_slices; i++) {
			p->bt[i] = at, at += (size_t)l->s[i].n * (size_t)l->s[i].rank;
			p->b[i] = at, at += (size_t)l->s[i].n * (size_t)up16(l->s[i].rank);
		}
		l->packed = p;
	}
	for (int i = 0, r0 = 0; i < l->n_slices; r0 += l->s[i++].rank) {
		const inoci_lora_slice *s = &l->s[i];
		int bp = up16(s->rank);
		memcpy(p->a + (size_t)r0 * (size_t)l->k, s->a, (size_t)s->rank * (size_t)l->k * 4);
		for (int r = 0; r < s->rank; r++) {
			for (int k = 0; k < l->k; k++)
				p->p[(size_t)k * (size_t)rp + (size_t)(r0 + r)] = s->a[(size_t)r * (size_t)l->k + (size_t)k];
			for (int n = 0; n < s->n; n++) {
				float v = s->scale * s->b[(size_t)n * (size_t)s->rank + (size_t)r];
				p->bt[i][(size_t)r * (size_t)s->n + (size_t)n] = v;
				p->b[i][(size_t)n * (size_t)bp + (size_t)r] = v;
			}
		}
	}
	return 0;
}

static void lora_unpack(inoci_lora *l)
{
	packed_lora *p = l->packed;
	if (!p) return;
	free(p->mem);
	free(p);
	l->packed = NULL;
}

static void real_from_f32(inoci_ops *o, void *dst, const float *src, size_t n)
{
	(void)o;
	memcpy(dst, src, n * 4);
}

static void f32_from_real(inoci_ops *o, float *dst, const void *src, size_t n)
{
	(void)o;
	memcpy(dst, src, n * 4);
}

static void rmsnorm(inoci_ops *o, void *y, const void *x, const int32_t *rows, const float *w, int T, int C, float eps)
{
	inoci_cpu *c = (inoci_cpu *)o;
#pragma omp parallel for schedule(static)
	for (int t = 0; t < T; t++)
		c->k->rmsnorm((char *)y + (size_t)t * (size_t)C * o->act_bytes, c->bf,
		              (const float *)x + (size_t)(rows ? rows[t] : t) * (size_t)C, w, C, eps);
}

static void rmsnorm_bwd(inoci_ops *o, void *dx, const void *dy, const void *x, const int32_t *rows, const float *w, int T, int C,
                        float eps)
{
	inoci_cpu *c = (inoci_cpu *)o;
#pragma omp parallel for schedule(static)
	for (int t = 0; t < T; t++) {
		size_t r = (size_t)(rows ? rows[t] : t) * (size_t)C;
		c->k->rmsnorm_bwd((float *)dx + r, (const float *)dy + (size_t)t * (size_t)C, (const float *)x + r, w, C, eps);
	}
}

/* x with dropout applied, f32 (T, K), for slice s. */
static float *dropped(inoci_cpu *c, const inoci_lora *l, const inoci_lora_slice *s, const void *x, int T, inoc_err *err)
{
	float *d = scratch(c, 3, (size_t)T * (size_t)l->k * 4, err);
	if (!d) return NULL;
#pragma omp parallel for schedule(static)
	for (int t = 0; t < T; t++)
		for (int k = 0; k < l->k; k++) {
			size_t i = (size_t)t * (size_t)l->k + (size_t)k;
			float v = c->bf ? inoci_bf16_to_f32(((const uint16_t *)x)[i]) : ((const float *)x)[i];
			d[i] = v * lora_drop(s->drop_key, l->k, t, k, l->dropout);
		}
	return d;
}

#define ROWS 32 /* rows of a thread's piece */

/* u (T, ranks) = x A^T for all slices */
static int inner(inoci_cpu *c, const inoci_lora *l, const void *x, int T, float *u, inoc_err *err)
{
	const packed_lora *p = l->packed;
	size_t act = c->o.act_bytes;
	if (l->dropout > 0) {
		int rp = up16(p->ranks);
		(void)rp;
		for (int i = 0, r0 = 0; i < l->n_slices; r0 += l->s[i++].rank) {
			/* one slice at a time: their masks differ. The plain loop is slow and rare. */
			const inoci_lora_slice *s = &l->s[i];
			const float *d = dropped(c, l, s, x, T, err);
			if (!d) return INOC_E_MEMORY;
#pragma omp parallel for schedule(static)
			for (int t = 0; t < T; t++)
				for (int r = 0; r < s->rank; r++) {
					float v = 0;
					for (int k = 0; k < l->k; k++)
						v += d[(size_t)t * (size_t)l->k + (size_t)k] *
						     s->a[(size_t)r * (size_t)l->k + (size_t)k];
					u[(size_t)t * (size_t)p->ranks + (size_t)(r0 + r)] = v;
				}
		}
		return 0;
	}
#pragma omp parallel for schedule(static)
	for (int t = 0; t < T; t += ROWS)
		c->k->dot(u + (size_t)t * (size_t)p->ranks, p->ranks, (const char *)x + (size_t)t * (size_t)l->k * act, c->bf,
		          l->k, p->p, T - t < ROWS ? T - t : ROWS, l->k, p->ranks);
	return 0;
}

static int linear(inoci_ops *o, const inoci_mat *w, const inoci_lora *l, const void *x, int T, void *yv, bool residual, float *u,
                  inoc_err *err)
{
	inoci_cpu *c = (inoci_cpu *)o;
	const packed_lora *p = l ? l->packed : NULL;
	size_t N = (size_t)w->n;
	bool direct = !residual && !c->bf; /* the product may write its f32 rows where they belong */
	float *y = direct ? yv : scratch(c, 0, (size_t)T * N * 4, err);
	int rc;
	if (!y) return INOC_E_MEMORY;
	if (p && !u && !(u = scratch(c, 2, (size_t)T * (size_t)p->ranks * 4, err))) return INOC_E_MEMORY;
	if (p && (rc = inner(c, l, x, T, u, err)) < 0) return rc;
	if ((rc = inoci_gemm_run(c->gemm, w->fwd, x, T, y, err)) < 0) return rc;
	if (direct && !p && !w->bias) return 0;
#pragma omp parallel for schedule(static)
	for (int t = 0; t < T; t += ROWS / 4) {
		int m = T - t < ROWS / 4 ? T - t : ROWS / 4;
		float *yt = y + (size_t)t * N;
		for (int i = 0; w->bias && i < m; i++) c->k->add(yt + (size_t)i * N, w->bias, N);
		for (int i = 0, r0 = 0; p && i < l->n_slices; r0 += l->s[i++].rank)
			c->k->update(yt + l->s[i].n0, w->n, u + (size_t)t * (size_t)p->ranks + r0, p->ranks, p->bt[i], l->s[i].n,
			             m, l->s[i].rank, l->s[i].n);
		if (residual)
			c->k->add((float *)yv + (size_t)t * N, yt, (size_t)m * N);
		else if (c->bf)
			c->k->to_bf16((uint16_t *)yv + (size_t)t * N, yt, (size_t)m * N);
	}
	return 0;
}

static int linear_bwd(inoci_ops *o, const inoci_mat *w, const inoci_lora *l, const void *dyv, const void *x, const float *u,
                      int T, void *dxv, inoc_err *err)
{
	inoci_cpu *c = (inoci_cpu *)o;
	const packed_lora *p = l ? l->packed : NULL;
	const float *dy = dyv;
	float *dx = dxv, *du = NULL;
	size_t N = (size_t)w->n, K = (size_t)w->k;
	int rc;
	if (dx) {
		const void *operand = dy;
		if (c->bf) {
			uint16_t *b = scratch(c, 1, (size_t)T * N * 2, err);
			if (!b) return INOC_E_MEMORY;
#pragma omp parallel for schedule(static)
			for (int t = 0; t < T; t++) c->k->to_bf16(b + (size_t)t * N, dy + (size_t)t * N, N);
			operand = b;
		}
		if ((rc = inoci_gemm_run(c->gemm, w->bwd, operand, T, dx, err)) < 0) return rc;
	}
	if (!p) return 0;
	if (!(du = scratch(c, 2, (size_t)T * (size_t)p->ranks * 4, err))) return INOC_E_MEMORY;
		/* du = dy B (scaled), then dx += du A */
#pragma omp parallel for schedule(static)
	for (int t = 0; t < T; t += ROWS / 4) {
		int m = T - t < ROWS / 4 ? T - t : ROWS / 4;
		for (int i = 0, r0 = 0; i < l->n_slices; r0 += l->s[i++].rank)
			c->k->dot(du + (size_t)t * (size_t)p->ranks + r0, p->ranks, dy + (size_t)t * N + l->s[i].n0, false, w->n,
			          p->b[i], m, l->s[i].n, l->s[i].rank);
		if (dx && !(l->dropout > 0))
			c->k->update(dx + (size_t)t * K, w->k, du + (size_t)t * (size_t)p->ranks, p->ranks, p->a, w->k, m,
			             p->ranks, w->k);
	}
	for (int i = 0, r0 = 0; i < l->n_slices; r0 += l->s[i++].rank) {
		const inoci_lora_slice *s = &l->s[i];
		const void *xs = x;
		bool bf = c->bf;
		if (l->dropout > 0) {
			if (!(xs = dropped(c, l, s, x, T, err))) return INOC_E_MEMORY;
			bf = false;
#pragma omp parallel for schedule(static)
			for (int t = 0; t < T; t++)
				for (int k = 0; dx && k < w->k; k++) {
					float v = 0;
					for (int r = 0; r < s->rank; r++)
						v += du[(size_t)t * (size_t)p->ranks + (size_t)(r0 + r)] *
						     s->a[(size_t)r * K + (size_t)k];
					dx[(size_t)t * K + (size_t)k] += v * lora_drop(s->drop_key, w->k, t, k, l->dropout);
				}
		}
		if (!s->da) continue;
		/* the sum over tokens stays inside one thread: columns are what is cut */
		int step = 64, na = (w->k + step - 1) / step, nb = (s->n + step - 1) / step;
#pragma omp parallel for schedule(static)
		for (int j = 0; j < na + nb; j++) {
			if (j < na) {
				int k0 = j * step, kn = w->k - k0 < step ? w->k - k0 : step;
				c->k->outer(s->da + k0, w->k, du + r0, p->ranks, (const char *)xs + (size_t)k0 * (bf ? 2 : 4), bf,
				            w->k, 1, T, s->rank, kn);
			} else {
				float g[64 * 64];
				int n0 = (j - na) * step, nn = s->n - n0 < step ? s->n - n0 : step;
				for (int r = 0; r < s->rank; r += 64) {
					int rn = s->rank - r < 64 ? s->rank - r : 64;
					memset(g, 0, (size_t)rn * 64 * 4);
					c->k->outer(g, 64, u + r0 + r, p->ranks, dy + s->n0 + n0, false, w->n, s->scale, T, rn,
					            nn);
					for (int n = 0; n < nn; n++)
						for (int q = 0; q < rn; q++)
							s->db[(size_t)(n0 + n) * (size_t)s->rank + (size_t)(r + q)] +=
							        g[q * 64 + n];
				}
			}
		}
	}
	return 0;
}

static void rope(inoci_ops *o, void *x, bool real, int T, int ld, int n_heads, int D, const int32_t *pos, const float *cs,
                 int sign)
{
	inoci_cpu *c = (inoci_cpu *)o;
	bool bf = c->bf && !real;
#pragma omp parallel for schedule(static)
	for (int t = 0; t < T; t++)
		c->k->rope((char *)x + (size_t)t * (size_t)ld * (bf ? 2 : 4), bf, n_heads, D, cs + (size_t)pos[t] * (size_t)D,
		           sign);
}

static int first_key(const inoci_attn *a, int p)
{
	return a->window && p + 1 > a->window ? p + 1 - a->window : 0;
}

static int longest(const inoci_seg *segs, int n)
{
	int m = 0;
	for (int i = 0; i < n; i++) m = segs[i].pos0 + segs[i].len > m ? segs[i].pos0 + segs[i].len : m;
	return up16(m);
}

static void attn(inoci_ops *o, const inoci_attn *a, const inoci_seg *segs, int n_segs, const void *q, int ldq, const void *k,
                 const void *v, int ldkv, void *out, float *lse)
{
	inoci_cpu *c = (inoci_cpu *)o;
	int H = a->n_heads, G = a->n_kv_heads, D = a->head_dim, group = H / G, room = longest(segs, n_segs);
	size_t e = o->act_bytes;
	float scale = 1 / sqrtf((float)D);
#pragma omp parallel
	{
		float *s = inoci_alloc((size_t)room * 4);
#pragma omp for schedule(dynamic, 1)
		for (int j = 0; j < n_segs * G; j++) {
			const inoci_seg *g = &segs[j / G];
			size_t h = (size_t)(j % G);
			for (int i = 0; i < g->len; i++) {
				size_t t = (size_t)(g->start + i), qo = h * (size_t)(group * D);
				c->k->attn((const char *)q + (t * (size_t)ldq + qo) * e, (const char *)k + h * (size_t)D * e,
				           (const char *)v + h * (size_t)D * e, c->bf, ldkv, g->key_rows,
				           first_key(a, g->pos0 + i), g->pos0 + i + 1, group, D, scale,
				           (char *)out + (t * (size_t)(H * D) + qo) * e,
				           lse ? lse + t * (size_t)H + h * (size_t)group : NULL, s);
			}
		}
		free(s);
	}
}

static int attn_bwd(inoci_ops *o, const inoci_attn *a, const inoci_seg *segs, int n_segs, int T, const void *qkv, const void *out,
                    const float *lse, const void *dout, void *dqkv, inoc_err *err)
{
	(void)err;
	inoci_cpu *c = (inoci_cpu *)o;
	int H = a->n_heads, G = a->n_kv_heads, D = a->head_dim, group = H / G, ld = (H + 2 * G) * D, room = longest(segs, n_segs);
	size_t e = o->act_bytes;
	float scale = 1 / sqrtf((float)D);
	int n_trees = 0, *first = inoci_alloc(((size_t)n_segs + 1) * sizeof *first);
	for (int i = 0; i < n_segs; i++)
		if (i == 0 || segs[i].tree != segs[i - 1].tree) first[n_trees++] = i;
	first[n_trees] = n_segs;
#pragma omp parallel
	{
		float *s = inoci_alloc((size_t)room * 4);
#pragma omp for schedule(static)
		for (int t = 0; t < T; t++) memset((float *)dqkv + (size_t)t * (size_t)ld, 0, (size_t)ld * 4);
#pragma omp for schedule(dynamic, 1)
		for (int j = 0; j < n_trees * G; j++) { /* gradients of keys are summed over a tree: one thread each */
			size_t h = (size_t)(j % G), qo = h * (size_t)(group * D), ko = (size_t)(H * D) + h * (size_t)D,
			       vo = ko + (size_t)(G * D);
			for (const inoci_seg *g = segs + first[j / G]; g < segs + first[j / G + 1]; g++)
				for (int i = 0; i < g->len; i++) {
					size_t t = (size_t)(g->start + i);
					float *dr = (float *)dqkv;
					c->k->attn_bwd((const char *)qkv + (t * (size_t)ld + qo) * e, (const char *)qkv + ko * e,
					               (const char *)qkv + vo * e, c->bf, ld, g->key_rows,
					               first_key(a, g->pos0 + i), g->pos0 + i + 1, group, D, scale,
					               (const char *)out + (t * (size_t)(H * D) + qo) * e,
					               lse + t * (size_t)H + h * (size_t)group,
					               (const float *)dout + t * (size_t)(H * D) + qo, dr + t * (size_t)ld + qo,
					               dr + ko, dr + vo, s);
				}
		}
		free(s);
	}
	free(first);
	return 0;
}

static void store_rows(inoci_ops *o, void *dst, int dst_ld, const int32_t *dst_rows, const void *src, int src_ld, int col, int n,
                       int T)
{
	size_t e = o->act_bytes;
	for (int t = 0; t < T; t++)
		memcpy((char *)dst + (size_t)dst_rows[t] * (size_t)dst_ld * e,
		       (const char *)src + ((size_t)t * (size_t)src_ld + (size_t)col) * e, (size_t)n * e);
}

static void swiglu(inoci_ops *o, void *s, const void *gu, int T, int F)
{
	inoci_cpu *c = (inoci_cpu *)o;
#pragma omp parallel for schedule(static)
	for (int t = 0; t < T; t++)
		c->k->swiglu((char *)s + (size_t)t * (size_t)F * o->act_bytes,
		             (const char *)gu + (size_t)t * 2 * (size_t)F * o->act_bytes, c->bf, F);
}

static void swiglu_bwd(inoci_ops *o, void *dgu, const void *ds, const void *gu, int T, int F)
{
	inoci_cpu *c = (inoci_cpu *)o;
#pragma omp parallel for schedule(static)
	for (int t = 0; t < T; t++)
		c->k->swiglu_bwd((float *)dgu + (size_t)t * 2 * (size_t)F, (const float *)ds + (size_t)t * (size_t)F,
		                 (const char *)gu + (size_t)t * 2 * (size_t)F * o->act_bytes, c->bf, F);
}

#define HEAD_ROWS 64 /* logits of 64 rows of 49152 are 12 MiB: about what the caches hold */

static int head_loss(inoci_ops *o, const inoci_mat *w, const void *h, const int32_t *targets, const float *weight, int n,
                     float *logprob, void *dh, inoc_err *err)
{
	inoci_cpu *c = (inoci_cpu *)o;
	size_t V = (size_t)w->n, K = (size_t)w->k;
	float *z = scratch(c, 0, HEAD_ROWS * V * 4, err);
	char *dz = dh ? scratch(c, 1, HEAD_ROWS * V * o->act_bytes, err) : NULL;
	if (!z || (dh && !dz)) return INOC_E_MEMORY;
	for (int i = 0; i < n; i += HEAD_ROWS) {
		int m = n - i < HEAD_ROWS ? n - i : HEAD_ROWS, rc;
		if ((rc = inoci_gemm_run(c->gemm, w->fwd, (const char *)h + (size_t)i * K * o->act_bytes, m, z, err)) < 0)
			return rc;
#pragma omp parallel for schedule(static)
		for (int r = 0; r < m; r++) {
			const float *zr = z + (size_t)r * V;
			int tgt = targets[i + r];
			logprob[i + r] = zr[tgt] - c->k->softmax(zr, w->n, tgt, dh ? weight[i + r] : 0,
			                                         dz ? dz + (size_t)r * V * o->act_bytes : NULL, c->bf);
		}
		if (dh && (rc = inoci_gemm_run(c->gemm, w->bwd, dz, m, (float *)dh + (size_t)i * K, err)) < 0) return rc;
	}
	return 0;
}

static int head_logits(inoci_ops *o, const inoci_mat *w, const void *h, int n, float *logits, inoc_err *err)
{
	return inoci_gemm_run(((inoci_cpu *)o)->gemm, w->fwd, h, n, logits, err);
}

static void adamw(inoci_ops *o, float *p, const float *g, float *m, float *v, size_t n, float g_scale, float lr, float beta1,
                  float beta2, float eps, float weight_decay, int step)
{
	inoci_cpu *c = (inoci_cpu *)o;
	double c1 = 1 - pow(beta1, step), c2 = sqrt(1 - pow(beta2, step));
	long piece = 16384, pieces = (long)((n + (size_t)piece - 1) / (size_t)piece);
#pragma omp parallel for schedule(static)
	for (long i = 0; i < pieces; i++) {
		size_t at = (size_t)(i * piece), len = n - at < (size_t)piece ? n - at : (size_t)piece;
		c->k->adamw(p + at, g + at, m + at, v + at, len, g_scale, (float)(1 - (double)lr * weight_decay),
		            (float)(lr / c1), (float)c2, beta1, beta2, eps);
	}
}

const inoci_simd *inoci_simd_best(void)
{
#ifdef INOC_X86
	dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa(); /* so that oneDNN's limit (DNNL_MAX_CPU_ISA) holds for ours too */
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
	    __builtin_cpu_supports("avx512dq") && isa >= dnnl_cpu_isa_avx512_core)
		return inoci_simd_v4();
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
	    isa >= dnnl_cpu_isa_avx2)
		return inoci_simd_v3();
#endif
	return inoci_simd_base();
}

inoci_dtype inoci_ops_cpu_best(void)
{
	return inoci_gemm_has_bf16() ? INOCI_DTYPE_BF16 : INOCI_DTYPE_F32;
}

char *inoci_ops_describe(const inoci_ops *o)
{
	if (strcmp(o->name, "cpu")) return inoci_asprintf("reference operations, %s", inoci_dtype_name(o->dtype));
	const dnnl_version_t *v = dnnl_version();
	return inoci_asprintf("%s%s, %s, %d threads, oneDNN %d.%d.%d", ((const inoci_cpu *)o)->k->isa,
	                      inoci_gemm_has_bf16() ? " BF16" : "", inoci_dtype_name(o->dtype), o->n_threads, v->major, v->minor,
	                      v->patch);
}

int inoci_ops_cpu(inoci_dtype dtype, int threads, inoci_ops **out, inoc_err *err)
{
	if (dtype == INOCI_DTYPE_F64) return inoci_err_set(err, INOC_E_UNSUPPORTED, "the fast operations have no f64");
	if (dtype == INOCI_DTYPE_BF16 && !inoci_gemm_has_bf16())
		return inoci_err_set(err, INOC_E_UNSUPPORTED, "this CPU has no bf16 instructions; use --dtype f32");
	if (threads < 0 || threads > 1024)
		return inoci_err_set(err, INOC_E_USAGE, "threads is %d; it must be between 0 (all) and 1024", threads);
	inoci_cpu *c = inoci_alloc(sizeof *c);
	if (threads > 0) omp_set_num_threads(threads);
	c->k = inoci_simd_best();
	c->bf = dtype == INOCI_DTYPE_BF16;
	c->gemm = inoci_gemm_new(dtype);
	c->o = (inoci_ops){
	        .name = "cpu",
	        .dtype = dtype,
	        .real_bytes = 4,
	        .act_bytes = c->bf ? 2 : 4,
	        .n_threads = omp_get_max_threads(),
	        .free = free_ops,
	        .mat_new = mat_new,
	        .mat_free = mat_free,
	        .lora_pack = lora_pack,
	        .lora_unpack = lora_unpack,
	        .real_from_f32 = real_from_f32,
	        .f32_from_real = f32_from_real,
	        .rmsnorm = rmsnorm,
	        .rmsnorm_bwd = rmsnorm_bwd,
	        .linear = linear,
	        .linear_bwd = linear_bwd,
	        .rope = rope,
	        .attn = attn,
	        .attn_bwd = attn_bwd,
	        .store_rows = store_rows,
	        .swiglu = swiglu,
	        .swiglu_bwd = swiglu_bwd,
	        .head_loss = head_loss,
	        .head_logits = head_logits,
	        .adamw = adamw,
	};
	*out = &c->o;
	return 0;
}
