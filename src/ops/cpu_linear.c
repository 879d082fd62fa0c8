/* The fast products: frozen matrices with their adapters, and the head. One of two ways, fixed when the operations are made:
 * our own products (cpu_bf16.c; f32 in simd_impl.c), with the adapter in the same pass, or oneDNN's, with the adapter's f32
 * kernels around.
 */
#include <stdlib.h>
#include <string.h>

#include <omp.h>

#include "ops/internal.h"
#include "tensor/tensor.h"

struct inoci_mat {
	inoci_cpu *owner;
	int n, k;
	float *bias;
	inoci_packed *fwd, *bwd;               /* oneDNN's */
	inoci_panels *fwd_panels, *bwd_panels; /* ours */
};

static void mat_free(inoci_mat *m)
{
	if (!m) return;
	if (m->owner && m->owner->last_mat == m) m->owner->last_mat = NULL;
	inoci_packed_free(m->fwd);
	inoci_packed_free(m->bwd);
	inoci_panels_free(m->fwd_panels);
	inoci_panels_free(m->bwd_panels);
	free(m->bias);
	free(m);
}

static inoci_mat *shape(inoci_cpu *c, const float *bias, int n, int k)
{
	inoci_mat *m = inoci_alloc(sizeof *m);
	*m = (inoci_mat){.owner = c, .n = n, .k = k};
	if (bias) {
		m->bias = inoci_alloc((size_t)n * 4);
		memcpy(m->bias, bias, (size_t)n * 4);
	}
	return m;
}

/* Matrices are multiplied in the order they are made, backwards in the other. */
static void link_last(inoci_cpu *c, inoci_mat *m)
{
	inoci_mat *last = c->last_mat;
	if (last) {
		inoci_panels_link(last->fwd_panels, m->fwd_panels);
		if (m->bwd_panels && last->bwd_panels) inoci_panels_link(m->bwd_panels, last->bwd_panels);
	}
	c->last_mat = m;
}

static int mat_new_blocks(inoci_ops *o, const inoci_block_rows *parts, int n_parts, const float *bias, int k, inoci_mat **out,
                          inoc_err *err)
{
	inoci_cpu *c = (inoci_cpu *)o;
	inoci_panels *w;
	int rc = inoci_panels_of_blocks(parts, n_parts, k, &w, err);
	if (rc < 0) return rc;
	inoci_mat *m = shape(c, bias, w->n, k);
	m->fwd_panels = w;
	link_last(c, m);
	*out = m;
	return 0;
}

static int mat_new(inoci_ops *o, const float *w, const float *bias, int n, int k, bool backward, inoci_mat **out, inoc_err *err)
{
	inoci_cpu *c = (inoci_cpu *)o;
	inoci_mat *m = shape(c, bias, n, k);
	int rc;
	if (c->native) {
		INOC_TRY(inoci_panels_new(n, k, c->bf, &m->fwd_panels, err));
		if (backward) INOC_TRY(inoci_panels_new(k, n, c->bf, &m->bwd_panels, err));
		inoci_panels_fill_all(m->fwd_panels, w, false);
		if (backward) inoci_panels_fill_all(m->bwd_panels, w, true);
		link_last(c, m);
	} else {
		INOC_TRY(inoci_gemm_pack(c->gemm, w, n, k, false, &m->fwd, err));
		if (backward) INOC_TRY(inoci_gemm_pack(c->gemm, w, n, k, true, &m->bwd, err));
	}
	*out = m;
	return 0;
out:
	mat_free(m);
	return rc;
}

static size_t mat_bytes(inoci_ops *o, int n, int k, bool backward)
{
	const inoci_cpu *c = (inoci_cpu *)o;
	if (!c->native) return (size_t)n * (size_t)k * o->act_bytes; /* oneDNN's, but for its padding */
	return backward ? inoci_panels_bytes(k, n, c->bf) : inoci_panels_bytes(n, k, c->bf);
}

static void mat_fill(inoci_ops *o, void *to, const float *w, int n, int k, bool backward)
{
	inoci_cpu *c = (inoci_cpu *)o;
	inoci_panels *p = inoci_panels_at(backward ? k : n, backward ? n : k, c->bf, to);
	memset(to, 0, mat_bytes(o, n, k, backward)); /* what lies beside the values */
	inoci_panels_fill_all(p, w, backward);
	inoci_panels_free(p);
}

static int mat_at(inoci_ops *o, const void *fwd, const void *bwd, const float *bias, int n, int k, inoci_mat **out, inoc_err *err)
{
	(void)err;
	inoci_cpu *c = (inoci_cpu *)o;
	inoci_mat *m = shape(c, bias, n, k);
	m->fwd_panels = inoci_panels_at(n, k, c->bf, fwd);
	if (bwd) m->bwd_panels = inoci_panels_at(k, n, c->bf, bwd);
	link_last(c, m);
	*out = m;
	return 0;
}

/* x with dropout applied, f32 (T, K), for slice s. */
static float *dropped(inoci_cpu *c, const inoci_lora *l, const inoci_lora_slice *s, const void *x, int T, inoc_err *err)
{
	float *d = inoci_cpu_scratch(c, INOCI_BUF_DROPPED, (size_t)T * (size_t)l->k * 4, err);
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

/* u (T, ranks) = dropout(x) A^T, one slice at a time: their masks differ. Plain loops. */
static int inner_dropped(inoci_cpu *c, const inoci_lora *l, const void *x, int T, float *u, inoc_err *err)
{
	int ranks = lora_rank_sum(l);
	for (int i = 0, r0 = 0; i < l->n_slices; r0 += l->s[i++].rank) {
		const inoci_lora_slice *s = &l->s[i];
		const float *d = dropped(c, l, s, x, T, err);
		if (!d) return INOC_E_MEMORY;
#pragma omp parallel for schedule(static)
		for (int t = 0; t < T; t++)
			for (int r = 0; r < s->rank; r++) {
				float v = 0;
				for (int k = 0; k < l->k; k++)
					v += d[(size_t)t * (size_t)l->k + (size_t)k] * s->a[(size_t)r * (size_t)l->k + (size_t)k];
				u[(size_t)t * (size_t)ranks + (size_t)(r0 + r)] = v;
			}
	}
	return 0;
}

#define ROWS 32 /* rows of a thread's piece */
/* Rows that a product's kernels take at once. */
static int tile_rows(const inoci_cpu *c)
{
	return c->amx ? 16 : 8;
}
static const inoci_around nothing;

/* ---- products ---- */

/* y (T, n) f32 = x W^T, or with `back` x W. */
static int plain(inoci_cpu *c, const inoci_mat *w, bool back, const void *x, int T, float *y, inoc_err *err)
{
	if (!c->native) return inoci_gemm_run(c->gemm, back ? w->bwd : w->fwd, x, T, y, err);
	const inoci_panels *p = back ? w->bwd_panels : w->fwd_panels;
	inoci_product q = {.w = p, .x = x, .ldx = p->k, .scale = 1, .y = y, .ldy = p->n, .out = INOCI_OUT_F32};
	int rc = inoci_product_room(c, T, p->k, err);
	if (rc < 0) return rc;
#pragma omp parallel
	inoci_product_run(c, &q, T, true);
	return 0;
}

/* Rows [t, end) of what lies in front of a product: the norm, and RoPE of dy. */
static void norm_rows(const inoci_cpu *c, const inoci_around *a, void *x, int K, int t, int end)
{
	for (; t < end; t++)
		c->k->rmsnorm((char *)x + (size_t)t * (size_t)K * c->o.act_bytes, c->bf,
		              (const float *)a->norm_of + (size_t)t * (size_t)K, a->norm_w, K, a->eps);
}

static void rope_rows(const inoci_cpu *c, const inoci_around *a, void *y, bool bf, int ld, int t, int end, int sign)
{
	for (; t < end; t++)
		c->k->rope((char *)y + (size_t)t * (size_t)ld * (bf ? 2 : 4), bf, a->n_heads, a->head_dim,
		           a->cs + (size_t)a->pos[t] * (size_t)a->head_dim, sign);
}

static int linear_native(inoci_cpu *c, const inoci_around *a, const inoci_mat *w, const inoci_lora *l, void *x, int T, void *y,
                         const void *residual, float *u)
{
	const inoci_packed_lora *p = l ? l->packed : NULL;
	inoci_glu glu = {w->n / 2, y, a->s, NULL};
	inoci_product in = {.x = x, .ldx = w->k, .scale = 1, .y = u, .out = INOCI_OUT_F32};
	inoci_product out = {.w = w->fwd_panels,
	                     .x = x,
	                     .ldx = w->k,
	                     .scale = 1,
	                     .u = u,
	                     .bias = w->bias,
	                     .y = y,
	                     .add = residual,
	                     .ldy = w->n,
	                     .out = residual ? INOCI_OUT_ADD
	                            : c->bf  ? INOCI_OUT_BF16
	                                     : INOCI_OUT_F32,
	                     .glu = a->s ? &glu : NULL};
	const int tile = tile_rows(c);
	bool inner = p && !(l->dropout > 0), norm = a->norm_of && (long)T * w->k > INOCI_SMALL,
	     rope = a->pos && (long)T * w->n > INOCI_SMALL;
	if (p) in.w = p->a_panels, in.ldy = p->ranks, out.side = &p->fwd;
	if (a->norm_of && !norm) norm_rows(c, a, x, w->k, 0, T);
#pragma omp parallel
	{
		if (norm) {
#pragma omp for schedule(static)
			for (int t = 0; t < T; t += tile) {
				int end = T - t < tile ? T : t + tile;
				norm_rows(c, a, x, w->k, t, end);
				if (inner) inoci_products_rows(c, &in, 1, t, end);
			}
		} else if (inner)
			inoci_product_run(c, &in, T, false);
		inoci_product_run(c, &out, T, !rope);
		if (rope) {
#pragma omp for schedule(static) nowait
			for (int t = 0; t < T; t++) rope_rows(c, a, y, c->bf, w->n, t, t + 1, 1);
		}
	}
	if (a->pos && !rope) rope_rows(c, a, y, c->bf, w->n, 0, T, 1);
	return 0;
}

static int linear_around(inoci_ops *o, const inoci_around *a, const inoci_mat *w, const inoci_lora *l, void *x, int T, void *y,
                         const void *residual, float *u, inoc_err *err)
{
	inoci_cpu *c = (inoci_cpu *)o;
	const inoci_packed_lora *p = l ? l->packed : NULL;
	int rc;
	if (!c->native || c->emulated || (l && l->dropout > 0) || (a->s && w->n % (2 * INOCI_PANEL)))
		return inoci_linear_apart(o, a, w, w->n, w->k, l, x, T, y, residual, u, err);
	if (p && !u && !(u = inoci_cpu_scratch(c, INOCI_BUF_INNER, (size_t)T * (size_t)p->ranks * 4, err))) return INOC_E_MEMORY;
	if ((rc = inoci_product_room(c, T, w->k, err)) < 0) return rc;
	return linear_native(c, a, w, l, x, T, y, residual, u);
}

static int linear(inoci_ops *o, const inoci_mat *w, const inoci_lora *l, const void *x, int T, void *yv, const void *residual,
                  float *u, inoc_err *err)
{
	inoci_cpu *c = (inoci_cpu *)o;
	const inoci_packed_lora *p = l ? l->packed : NULL;
	size_t N = (size_t)w->n;
	int rc;
	if (p && !u && !(u = inoci_cpu_scratch(c, INOCI_BUF_INNER, (size_t)T * (size_t)p->ranks * 4, err))) return INOC_E_MEMORY;
	if (p && l->dropout > 0 && (rc = inner_dropped(c, l, x, T, u, err)) < 0) return rc;
	if (c->native) {
		if ((rc = inoci_product_room(c, T, w->k, err)) < 0) return rc;
		return linear_native(c, &nothing, w, l, (void *)(uintptr_t)x, T, yv, residual, u);
	}
	bool direct = !residual && !c->bf; /* the product may write its f32 rows where they belong */
	float *y = direct ? yv : inoci_cpu_scratch(c, INOCI_BUF_OUT, (size_t)T * N * 4, err);
	if (!y) return INOC_E_MEMORY;
	if ((rc = plain(c, w, false, x, T, y, err)) < 0) return rc;
	if (direct && !p && !w->bias) return 0;
#pragma omp parallel for schedule(static)
	for (int t = 0; t < T; t += ROWS / 4) {
		int m = T - t < ROWS / 4 ? T - t : ROWS / 4;
		float *yt = y + (size_t)t * N, *ut = p ? u + (size_t)t * (size_t)p->ranks : NULL;
		for (int i = 0; w->bias && i < m; i++) c->k->add(yt + (size_t)i * N, w->bias, N);
		if (p && !(l->dropout > 0))
			c->k->dot(ut, p->ranks, (const char *)x + (size_t)t * (size_t)l->k * o->act_bytes, c->bf, l->k, p->p, m,
			          l->k, p->ranks);
		for (int i = 0, r0 = 0; p && i < l->n_slices; r0 += l->s[i++].rank)
			c->k->update(yt + l->s[i].n0, w->n, ut + r0, p->ranks, p->bt[i], l->s[i].n, m, l->s[i].rank, l->s[i].n);
		if (residual) {
			if (residual != yv)
				memcpy((float *)yv + (size_t)t * N, (const float *)residual + (size_t)t * N, (size_t)m * N * 4);
			c->k->add((float *)yv + (size_t)t * N, yt, (size_t)m * N);
		} else if (c->bf)
			c->k->to_bf16((uint16_t *)yv + (size_t)t * N, yt, (size_t)m * N);
	}
	return 0;
}

/* ---- backward ---- */

/* db (n, rank) += g (rank, n), rows of 64 */
static void add_turned(const inoci_cpu *c, float *db, int rank, const float *g, int ranks, int n)
{
	for (int i = 0; c->tiles && ranks % 16 == 0 && i < n; i += 16) {
		float *rows[16] = {0};
		for (int e = 0; e < 16 && i + e < n; e++) rows[e] = db + (size_t)(i + e) * (size_t)rank;
		inoci_bf16_columns(rows, g + i, 64, ranks, true);
	}
	if (c->tiles && ranks % 16 == 0) return;
	for (int i = 0; i < n; i++)
		for (int r = 0; r < ranks; r++) db[(size_t)i * (size_t)rank + (size_t)r] += g[r * 64 + i];
}

/* What the gradients of a product's adapters are sums of: u (T, ranks) and x for db and da, turned for bf16. */
typedef struct {
	void *dy; /* rows of N: bf16 with dy_bf, else f32 */
	const float *u, *du;
	const uint16_t *dyb, *ut, *dut;
	size_t ldt;
	void *x;
	int N, ranks, T;
	bool bf, dy_bf; /* bf: x */
} outers;

/* g (r, n) += scale * u x, u as turned */
static void outer(const inoci_cpu *c, float *g, size_t ldg, const uint16_t *u, const uint16_t *x, size_t ldx, float scale, int r,
                  int n, const outers *o)
{
	bool amx = c->amx && r % 16 == 0 && n % 32 == 0;
	(amx ? inoci_bf16_outer_amx : inoci_bf16_outer)(g, ldg, u, o->ldt, x, ldx, scale, o->T, r, n);
}

/* Called by all threads at the end of a region: da, db of slices [i, end). The sum over tokens stays inside one thread: columns
 * are cut. */
static void grads(inoci_cpu *c, const inoci_lora *l, int i, int end, int r0, const outers *o)
{
	enum { STEP = 64 };
	int total = 0;
	for (int j = i; j < end; j++) total += (l->k + STEP - 1) / STEP + (l->s[j].n + STEP - 1) / STEP;
#pragma omp for schedule(dynamic, 1) nowait
	for (int task = 0; task < total; task++) {
		int j = task, r = r0, na = (l->k + STEP - 1) / STEP;
		const inoci_lora_slice *s = &l->s[i];
		for (int nb; j >= na + (nb = (s->n + STEP - 1) / STEP); s++) j -= na + nb, r += s->rank;
		if (!s->da) continue;
		if (j < na) {
			int k0 = j * STEP, kn = l->k - k0 < STEP ? l->k - k0 : STEP;
			if (o->dut)
				outer(c, s->da + k0, (size_t)l->k, o->dut + (size_t)r * o->ldt, (const uint16_t *)o->x + k0,
				      (size_t)l->k, 1, s->rank, kn, o);
			else
				c->k->outer(s->da + k0, l->k, o->du + r, o->ranks,
				            (const char *)o->x + (size_t)k0 * (o->bf ? 2 : 4), o->bf, l->k, 1, o->T, s->rank, kn);
			continue;
		}
		float g[64 * STEP];
		int n0 = (j - na) * STEP, nn = s->n - n0 < STEP ? s->n - n0 : STEP;
		for (int q = 0; q < s->rank; q += 64) {
			int rn = s->rank - q < 64 ? s->rank - q : 64;
			memset(g, 0, (size_t)rn * STEP * 4);
			if (o->ut)
				outer(c, g, STEP, o->ut + (size_t)(r + q) * o->ldt, o->dyb + s->n0 + n0, (size_t)o->N, s->scale,
				      rn, nn, o);
			else
				c->k->outer(g, STEP, o->u + r + q, o->ranks,
				            (const char *)o->dy + (size_t)(s->n0 + n0) * (o->dy_bf ? 2 : 4), o->dy_bf, o->N,
				            s->scale, o->T, rn, nn);
			add_turned(c, s->db + (size_t)n0 * (size_t)s->rank + q, s->rank, g, rn, nn);
		}
	}
	if (c->amx) inoci_amx_end();
}

/* dx += dropout'(du A) of slice s, plain loops. */
static void dropped_bwd(const inoci_lora *l, const inoci_lora_slice *s, int r0, int ranks, const float *du, int T, float *dx)
{
#pragma omp parallel for schedule(static)
	for (int t = 0; t < T; t++)
		for (int k = 0; k < l->k; k++) {
			float v = 0;
			for (int r = 0; r < s->rank; r++)
				v += du[(size_t)t * (size_t)ranks + (size_t)(r0 + r)] *
				     s->a[(size_t)r * (size_t)l->k + (size_t)k];
			dx[(size_t)t * (size_t)l->k + (size_t)k] += v * lora_drop(s->drop_key, l->k, t, k, l->dropout);
		}
}

/* Called by all threads of a region: rows of src (T, n) turned; no barrier. */
static void turn(uint16_t *dst, size_t ldt, const float *src, int T, int n)
{
#pragma omp for schedule(static) nowait
	for (int r = 0; r < n; r++) inoci_bf16_turn(dst + (size_t)r * ldt, ldt, src + r, (size_t)n, T, 1);
}

/* du = dy B (scaled), dx = dy W + du A, then da, db. to: where dy is converted to bf16; NULL: it need not be. */
static void bwd_native(inoci_cpu *c, const inoci_around *a, const inoci_mat *w, const inoci_lora *l, uint16_t *to, float *dx,
                       float *du, uint16_t *turned, outers *o)
{
	const inoci_packed_lora *p = l ? l->packed : NULL;
	const void *operand = o->dyb ? (const void *)o->dyb : o->dy;
	bool drop = l && l->dropout > 0;
	const int tile = tile_rows(c);
	int T = o->T, N = o->N, n = p ? l->n_slices : 0;
	uint16_t *ut = turned, *dut = turned ? turned + o->ldt * (size_t)o->ranks : NULL;
	inoci_glu glu = {w->k, a->gu, o->x, a->dgu};
	inoci_product in[INOCI_LORA_SLICES], out = {.w = w->bwd_panels,
	                                            .x = operand,
	                                            .ldx = N,
	                                            .scale = 1,
	                                            .u = du,
	                                            .side = p && !drop ? &p->bwd : NULL,
	                                            .y = dx,
	                                            .ldy = w->k,
	                                            .out = INOCI_OUT_F32,
	                                            .glu = a->dgu ? &glu : NULL};
	for (int i = 0, r0 = 0; i < n; r0 += l->s[i++].rank)
		in[i] = (inoci_product){.w = p->bt_panels[i],
		                        .x = (const char *)operand + (size_t)l->s[i].n0 * c->o.act_bytes,
		                        .ldx = N,
		                        .scale = l->s[i].scale,
		                        .y = du + r0,
		                        .ldy = o->ranks,
		                        .out = INOCI_OUT_F32};
	if (turned) o->ut = ut, o->dut = dut;
#pragma omp parallel
	{
		if (turned) turn(ut, o->ldt, o->u, T, o->ranks);
#pragma omp for schedule(static)
		for (int t = 0; t < T; t += tile) {
			int end = T - t < tile ? T : t + tile;
			if (a->norm_of) norm_rows(c, a, o->x, w->k, t, end);
			if (a->pos) rope_rows(c, a, o->dy, false, N, t, end, -1);
			if (to)
				c->k->to_bf16(to + (size_t)t * (size_t)N, (const float *)o->dy + (size_t)t * (size_t)N,
				              (size_t)(end - t) * (size_t)N);
			inoci_products_rows(c, in, n, t, end);
		}
		if (turned) turn(dut, o->ldt, du, T, o->ranks);
		if (dx)
			inoci_product_run(c, &out, T, false);
		else {
#pragma omp barrier
		}
		if (a->dres) {
#pragma omp for schedule(static) nowait
			for (int t = 0; t < T; t++) {
				size_t r = (size_t)t * (size_t)w->k;
				c->k->rmsnorm_bwd((float *)a->dres + r, dx + r, (const float *)a->norm_of + r, a->norm_w, w->k,
				                  a->eps);
			}
		}
		if (p && !drop) grads(c, l, 0, n, 0, o);
	}
}

/* a NULL: nothing lies around. */
static int linear_bwd_around(inoci_ops *o, const inoci_around *a, const inoci_mat *w, const inoci_lora *l, void *dy, bool real,
                             void *x, const float *u, int T, void *dxv, inoc_err *err)
{
	inoci_cpu *c = (inoci_cpu *)o;
	const inoci_packed_lora *p = l ? l->packed : NULL;
	float *dx = dxv, *du = NULL;
	size_t N = (size_t)w->n, K = (size_t)w->k;
	uint16_t *to = NULL, *turned = NULL;
	bool drop = l && l->dropout > 0, dy_bf = c->bf && !real;
	outers out = {.dy = dy,
	              .u = u,
	              .x = x,
	              .N = w->n,
	              .ranks = p ? p->ranks : 0,
	              .T = T,
	              .bf = c->bf,
	              .dy_bf = dy_bf,
	              .ldt = (size_t)inoci_up(T, INOCI_TURNED)};
	int rc;
	if (a && (!c->native || drop)) return inoci_linear_bwd_apart(o, a, w, w->n, w->k, l, dy, real, x, u, T, dxv, err);
	if (p && !(du = inoci_cpu_scratch(c, INOCI_BUF_INNER, (size_t)T * (size_t)p->ranks * 4, err))) return INOC_E_MEMORY;
	if (c->bf && real && !(to = inoci_cpu_scratch(c, INOCI_BUF_OPERAND, (size_t)T * N * 2, err))) return INOC_E_MEMORY;
	if (p && c->native && c->bf && !drop &&
	    !(turned = inoci_cpu_scratch(c, INOCI_BUF_TURNED, 2 * out.ldt * (size_t)p->ranks * sizeof *turned, err)))
		return INOC_E_MEMORY;
	out.du = du;
	out.dyb = c->bf ? to ? to : dy : NULL;
	if (c->native)
		bwd_native(c, a ? a : &nothing, w, l, to, dx, du, turned, &out);
	else {
		if (to) {
#pragma omp parallel for schedule(static)
			for (int t = 0; t < T; t++) c->k->to_bf16(to + (size_t)t * N, (const float *)dy + (size_t)t * N, N);
		}
		if (dx && (rc = plain(c, w, true, to ? to : dy, T, dx, err)) < 0) return rc;
#pragma omp parallel
		if (p) {
#pragma omp for schedule(static)
			for (int t = 0; t < T; t += ROWS / 4) {
				int m = T - t < ROWS / 4 ? T - t : ROWS / 4;
				for (int i = 0, r0 = 0; i < l->n_slices; r0 += l->s[i++].rank)
					c->k->dot(du + (size_t)t * (size_t)p->ranks + r0, p->ranks,
					          (const char *)dy + ((size_t)t * N + (size_t)l->s[i].n0) * (dy_bf ? 2 : 4),
					          dy_bf, w->n, p->b[i], m, l->s[i].n, l->s[i].rank);
				if (dx && !drop)
					c->k->update(dx + (size_t)t * K, w->k, du + (size_t)t * (size_t)p->ranks, p->ranks, p->a,
					             w->k, m, p->ranks, w->k);
			}
			if (!drop) grads(c, l, 0, l->n_slices, 0, &out);
		}
	}
	for (int i = 0, r0 = 0; drop && i < l->n_slices; r0 += l->s[i++].rank) {
		out.x = dropped(c, l, &l->s[i], x, T, err);
		out.bf = false;
		if (!out.x) return INOC_E_MEMORY;
		if (dx) dropped_bwd(l, &l->s[i], r0, p->ranks, du, T, dx);
#pragma omp parallel
		grads(c, l, i, i + 1, r0, &out);
	}
	return 0;
}

static int linear_bwd(inoci_ops *o, const inoci_mat *w, const inoci_lora *l, const void *dy, bool real, const void *x,
                      const float *u, int T, void *dx, inoc_err *err)
{
	return linear_bwd_around(o, NULL, w, l, (void *)(uintptr_t)dy, real, (void *)(uintptr_t)x, u, T, dx, err);
}

/* ---- the head ---- */

static int head_loss(inoci_ops *o, const inoci_mat *w, const void *h, const int32_t *targets, const float *weight, int n,
                     float *logprob, void *dh, inoc_err *err)
{
	inoci_cpu *c = (inoci_cpu *)o;
	size_t V = (size_t)w->n, K = (size_t)w->k;
	float *z = inoci_cpu_scratch(c, INOCI_BUF_OUT, INOCI_HEAD_ROWS * V * 4, err);
	char *dz = dh ? inoci_cpu_scratch(c, INOCI_BUF_OPERAND, INOCI_HEAD_ROWS * V * o->act_bytes, err) : NULL;
	if (!z || (dh && !dz)) return INOC_E_MEMORY;
	for (int i = 0; i < n; i += INOCI_HEAD_ROWS) {
		int m = n - i < INOCI_HEAD_ROWS ? n - i : INOCI_HEAD_ROWS, rc;
		if ((rc = plain(c, w, false, (const char *)h + (size_t)i * K * o->act_bytes, m, z, err)) < 0) return rc;
#pragma omp parallel for schedule(static)
		for (int r = 0; r < m; r++) {
			const float *zr = z + (size_t)r * V;
			int tgt = targets[i + r];
			logprob[i + r] = zr[tgt] - c->k->softmax(zr, w->n, tgt, dh ? weight[i + r] : 0,
			                                         dz ? dz + (size_t)r * V * o->act_bytes : NULL, c->bf);
		}
		if (dh && (rc = plain(c, w, true, dz, m, (float *)dh + (size_t)i * K, err)) < 0) return rc;
	}
	return 0;
}

static int head_logits(inoci_ops *o, const inoci_mat *w, const void *h, int n, float *logits, inoc_err *err)
{
	return plain((inoci_cpu *)o, w, false, h, n, logits, err);
}

void inoci_cpu_linear_table(inoci_ops *o)
{
	o->mat_new = mat_new;
	o->mat_new_blocks = ((inoci_cpu *)o)->blocks ? mat_new_blocks : NULL;
	o->mat_free = mat_free;
	o->mat_bytes = mat_bytes;
	if (((inoci_cpu *)o)->native && !((inoci_cpu *)o)->blocks) {
		o->layout = o->act_bytes == 2 ? INOCI_LAYOUT("bf16") : INOCI_LAYOUT("f32");
		o->mat_fill = mat_fill;
		o->mat_at = mat_at;
	}
	o->linear = linear;
	o->linear_bwd = linear_bwd;
	o->linear_around = linear_around;
	o->linear_bwd_around = linear_bwd_around;
	o->head_loss = head_loss;
	o->head_logits = head_logits;
}
