/* The SIMD kernels in GCC's vector extension: 16 floats at a time whatever the machine's width. Compiled once per instruction
 * set (SIMD_TABLE, SIMD_ISA).
 *
 * Invariant: in each kernel a row's sums run in one order that depends on nothing but the row's own length.
 */
#include <math.h>
#include <string.h>

#include "ops/internal.h"
#include "tensor/tensor.h"

typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));
typedef uint32_t vu __attribute__((vector_size(64)));
typedef uint16_t vh __attribute__((vector_size(32)));
typedef float vf8 __attribute__((vector_size(32)));
typedef float vf4 __attribute__((vector_size(16)));
#define L 16
#define INLINE static inline __attribute__((always_inline))

INLINE vf load(const float *p)
{
	vf v;
	memcpy(&v, p, sizeof v);
	return v;
}

INLINE void store(float *p, vf v)
{
	memcpy(p, &v, sizeof v);
}

INLINE vf splat(float x)
{
	return (vf){0} + x;
}

INLINE vf load_bf(const uint16_t *p)
{
	vh h;
	memcpy(&h, p, sizeof h);
	return (vf)(__builtin_convertvector(h, vu) << 16);
}

INLINE void store_bf(uint16_t *p, vf v)
{
	vu u = (vu)v;
	vh h = __builtin_convertvector((u + 0x7fff + ((u >> 16) & 1)) >> 16, vh);
	memcpy(p, &h, sizeof h);
}

/* element i of an act array */
INLINE vf load_act(const void *p, bool bf, size_t i)
{
	return bf ? load_bf((const uint16_t *)p + i) : load((const float *)p + i);
}

INLINE void store_act(void *p, bool bf, size_t i, vf v)
{
	if (bf)
		store_bf((uint16_t *)p + i, v);
	else
		store((float *)p + i, v);
}

INLINE float get(const void *p, bool bf, size_t i)
{
	return bf ? inoci_bf16_to_f32(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}

INLINE void put(void *p, bool bf, size_t i, float v)
{
	if (bf)
		((uint16_t *)p)[i] = inoci_f32_to_bf16(v);
	else
		((float *)p)[i] = v;
}

INLINE const void *at(const void *p, bool bf, size_t i)
{
	return (const char *)p + i * (bf ? 2 : 4);
}

INLINE float hsum(vf v)
{
	vf8 a = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
	        __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
	vf4 b = __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
	return (b[0] + b[2]) + (b[1] + b[3]);
}

INLINE vf pick(vi mask, vf a, vf b)
{
	return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

INLINE vf vmax(vf a, vf b)
{
	return pick(a > b, a, b);
}

/* e^x within 2 ulp for x in [-87, 88]; 0 below. Cephes' expf polynomial. */
INLINE vf vexp(vf x)
{
	vf low = splat(-87.3f), high = splat(88.3f), clamped = vmax(x, low);
	clamped = pick(clamped > high, high, clamped);
	vf n = clamped * 1.44269504088896341f + 12582912.0f; /* rounds to nearest by the addition */
	vi e = (vi)n - 0x4b400000;
	n -= 12582912.0f;
	vf r = clamped - n * 0.693359375f;
	r -= n * -2.12194440e-4f;
	vf p = splat(1.9875691500e-4f);
	p = p * r + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	p = p * r * r + r + 1.0f;
	vf y = (vf)((vi)p + (e << 23));
	return pick(x < low, (vf){0}, y);
}

/* x's rows go through a small f32 buffer, so that the inner loop broadcasts from memory. */
#define DOT_ROWS 8
#define DOT_K 128
INLINE void dot_block(float *u, int ldu, const void *x, bool bf, int ldx, const float *p, int np, int rows, int k, int n)
{
	vf acc[DOT_ROWS];
	float xs[DOT_ROWS][DOT_K];
	for (int i = 0; i < rows; i++) acc[i] = (vf){0};
	for (int k0 = 0; k0 < k; k0 += DOT_K) {
		int kn = k - k0 < DOT_K ? k - k0 : DOT_K;
		for (int i = 0; i < rows; i++) {
			size_t o = (size_t)i * (size_t)ldx + (size_t)k0;
			int j = 0;
			for (; j + L <= kn; j += L) store(&xs[i][j], load_act(x, bf, o + (size_t)j));
			for (; j < kn; j++) xs[i][j] = get(x, bf, o + (size_t)j);
		}
		for (int j = 0; j < kn; j++) {
			vf w = load(p + (size_t)(k0 + j) * (size_t)np);
			for (int i = 0; i < rows; i++) acc[i] += w * xs[i][j];
		}
	}
	for (int i = 0; i < rows; i++)
		for (int j = 0; j < n; j++) u[(size_t)i * (size_t)ldu + (size_t)j] = acc[i][j];
}

INLINE void dot_bf(float *u, int ldu, const void *x, bool bf, int ldx, const float *p, int m, int k, int n)
{
	int np = (n + L - 1) / L * L;
	for (int c = 0; c < n; c += L) {
		int w = n - c < L ? n - c : L, i = 0;
		for (; i + DOT_ROWS <= m; i += DOT_ROWS)
			dot_block(u + (size_t)i * (size_t)ldu + c, ldu, at(x, bf, (size_t)i * (size_t)ldx), bf, ldx, p + c, np,
			          DOT_ROWS, k, w);
		for (; i < m; i++)
			dot_block(u + (size_t)i * (size_t)ldu + c, ldu, at(x, bf, (size_t)i * (size_t)ldx), bf, ldx, p + c, np, 1,
			          k, w);
	}
}

static void dot(float *u, int ldu, const void *x, bool bf, int ldx, const float *p, int m, int k, int n)
{
	if (bf)
		dot_bf(u, ldu, x, true, ldx, p, m, k, n);
	else
		dot_bf(u, ldu, x, false, ldx, p, m, k, n);
}

/* `rows` rows at a time share the loads of q. */
#define UPDATE_ROWS 4
INLINE void update_block(float *y, int ldy, const float *u, int ldu, const float *q, int ldq, int rows, int r, int n)
{
	int c = 0;
	for (; c + 4 * L <= n; c += 4 * L) {
		vf a[UPDATE_ROWS][4];
		for (int i = 0; i < rows; i++)
			for (int e = 0; e < 4; e++) a[i][e] = load(y + (size_t)i * (size_t)ldy + c + e * L);
		for (int j = 0; j < r; j++) {
			const float *qj = q + (size_t)j * (size_t)ldq + c;
			vf q0 = load(qj), q1 = load(qj + L), q2 = load(qj + 2 * L), q3 = load(qj + 3 * L);
			for (int i = 0; i < rows; i++) {
				float s = u[(size_t)i * (size_t)ldu + (size_t)j];
				a[i][0] += q0 * s, a[i][1] += q1 * s, a[i][2] += q2 * s, a[i][3] += q3 * s;
			}
		}
		for (int i = 0; i < rows; i++)
			for (int e = 0; e < 4; e++) store(y + (size_t)i * (size_t)ldy + c + e * L, a[i][e]);
	}
	for (; c + L <= n; c += L)
		for (int i = 0; i < rows; i++) {
			vf a = load(y + (size_t)i * (size_t)ldy + c);
			for (int j = 0; j < r; j++)
				a += load(q + (size_t)j * (size_t)ldq + c) * u[(size_t)i * (size_t)ldu + (size_t)j];
			store(y + (size_t)i * (size_t)ldy + c, a);
		}
	for (; c < n; c++)
		for (int i = 0; i < rows; i++)
			for (int j = 0; j < r; j++)
				y[(size_t)i * (size_t)ldy + (size_t)c] +=
				        u[(size_t)i * (size_t)ldu + (size_t)j] * q[(size_t)j * (size_t)ldq + (size_t)c];
}

static void update(float *y, int ldy, const float *u, int ldu, const float *q, int ldq, int m, int r, int n)
{
	int i = 0;
	for (; i + UPDATE_ROWS <= m; i += UPDATE_ROWS)
		update_block(y + (size_t)i * (size_t)ldy, ldy, u + (size_t)i * (size_t)ldu, ldu, q, ldq, UPDATE_ROWS, r, n);
	for (; i < m; i++) update_block(y + (size_t)i * (size_t)ldy, ldy, u + (size_t)i * (size_t)ldu, ldu, q, ldq, 1, r, n);
}

#define OUTER_R 16
INLINE void outer_block(float *g, int ldg, const float *u, int ldu, const void *x, bool bf, int ldx, float scale, int m, int rows,
                        int n)
{
	for (int c = 0; c < n; c += L) {
		vf acc[OUTER_R];
		int w = n - c < L ? n - c : L;
		for (int j = 0; j < rows; j++) acc[j] = (vf){0};
		for (int i = 0; i < m; i++) {
			vf v = {0};
			size_t o = (size_t)i * (size_t)ldx + (size_t)c;
			if (w == L)
				v = load_act(x, bf, o);
			else
				for (int e = 0; e < w; e++) v[e] = get(x, bf, o + (size_t)e);
			for (int j = 0; j < rows; j++) acc[j] += v * u[(size_t)i * (size_t)ldu + (size_t)j];
		}
		for (int j = 0; j < rows; j++)
			for (int e = 0; e < w; e++) g[(size_t)j * (size_t)ldg + (size_t)(c + e)] += scale * acc[j][e];
	}
}

INLINE void outer_bf(float *g, int ldg, const float *u, int ldu, const void *x, bool bf, int ldx, float scale, int m, int r,
                     int n)
{
	int j = 0;
	for (; j + OUTER_R <= r; j += OUTER_R)
		outer_block(g + (size_t)j * (size_t)ldg, ldg, u + j, ldu, x, bf, ldx, scale, m, OUTER_R, n);
	for (; j < r; j++) outer_block(g + (size_t)j * (size_t)ldg, ldg, u + j, ldu, x, bf, ldx, scale, m, 1, n);
}

static void outer(float *g, int ldg, const float *u, int ldu, const void *x, bool bf, int ldx, float scale, int m, int r, int n)
{
	if (bf)
		outer_bf(g, ldg, u, ldu, x, true, ldx, scale, m, r, n);
	else
		outer_bf(g, ldg, u, ldu, x, false, ldx, scale, m, r, n);
}

/* SIMD_ROWS rows by 16 outputs: f32 sums in registers, as vectors of the machine's own width (wider ones would live in memory).
 */
typedef float vn __attribute__((vector_size(SIMD_BYTES)));
enum { NL = SIMD_BYTES / 4, NW = L / NL };
INLINE vn load_n(const float *p)
{
	vn v;
	memcpy(&v, p, sizeof v);
	return v;
}

INLINE void block_tile(const inoci_product *p, const float *w, int width, int panel, int col, int row, const int rows)
{
	const float *x = (const float *)p->x + (size_t)row * (size_t)p->ldx, *wk = w + (col - panel * INOCI_PANEL);
	const size_t ldx = (size_t)p->ldx;
	const inoci_side *s = p->side;
	vn acc[SIMD_ROWS][NW];
#pragma GCC unroll 8
	for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
		for (int e = 0; e < NW; e++) acc[i][e] = (vn){0};
	for (int k = 0; k < p->w->k; k++, wk += width)
#pragma GCC unroll 8
		for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
			for (int e = 0; e < NW; e++) acc[i][e] += load_n(wk + e * NL) * x[(size_t)i * ldx + (size_t)k];
	float scale = p->scale;
#pragma GCC unroll 8
	for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
		for (int e = 0; e < NW; e++) acc[i][e] *= scale;
	for (int r = s ? s->from[panel] : 0; s && r < s->to[panel]; r++) {
		const float *q =
		        s->q + s->at[panel] + (size_t)(r - s->from[panel]) * (size_t)width + (size_t)(col - panel * INOCI_PANEL);
#pragma GCC unroll 8
		for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
			for (int e = 0; e < NW; e++)
				acc[i][e] += load_n(q + e * NL) * p->u[(size_t)(row + i) * (size_t)s->ranks + (size_t)r];
	}
	float sums[SIMD_ROWS][L];
#pragma GCC unroll 8
	for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
		for (int e = 0; e < NW; e++) memcpy(&sums[i][e * NL], &acc[i][e], sizeof(vn));
	int n = p->w->n - col < L ? p->w->n - col : L;
	for (int i = 0; i < rows; i++) {
		size_t at = (size_t)(row + i) * (size_t)p->ldy + (size_t)col;
		for (int e = 0; e < n; e++, at++) {
			float v = sums[i][e] + (p->bias ? p->bias[col + e] : 0);
			put(p->y, p->out == INOCI_OUT_BF16, at, p->out == INOCI_OUT_ADD ? p->add[at] + v : v);
		}
	}
}

static void block(const inoci_product *p, int panel, int row0, int row1)
{
	const float *w = (const float *)inoci_panel_at(p->w, panel);
	int width = inoci_panel_width(p->w, panel), first = panel * INOCI_PANEL;
	for (int col = first; col < first + width; col += L) {
		int row = row0;
		for (; row + SIMD_ROWS <= row1; row += SIMD_ROWS) block_tile(p, w, width, panel, col, row, SIMD_ROWS);
		for (; row < row1; row++) block_tile(p, w, width, panel, col, row, 1);
	}
}

static void to_bf16(uint16_t *dst, const float *src, size_t n)
{
	size_t i = 0;
	for (; i + L <= n; i += L) store_bf(dst + i, load(src + i));
	for (; i < n; i++) dst[i] = inoci_f32_to_bf16(src[i]);
}

static void add(float *dst, const float *src, size_t n)
{
	size_t i = 0;
	for (; i + L <= n; i += L) store(dst + i, load(dst + i) + load(src + i));
	for (; i < n; i++) dst[i] += src[i];
}

static void rmsnorm(void *y, bool bf, const float *x, const float *w, int C, float eps)
{
	vf acc = {0};
	int i = 0;
	float ss;
	for (; i + L <= C; i += L) {
		vf v = load(x + i);
		acc += v * v;
	}
	ss = hsum(acc);
	for (; i < C; i++) ss += x[i] * x[i];
	float r = 1 / sqrtf(ss / (float)C + eps);
	for (i = 0; i + L <= C; i += L) store_act(y, bf, (size_t)i, load(x + i) * r * load(w + i));
	for (; i < C; i++) put(y, bf, (size_t)i, x[i] * r * w[i]);
}

static void rmsnorm_bwd(float *dx, const float *dy, const float *x, const float *w, int C, float eps)
{
	vf acc = {0}, dacc = {0};
	int i = 0;
	for (; i + L <= C; i += L) {
		vf v = load(x + i);
		acc += v * v;
		dacc += load(dy + i) * load(w + i) * v;
	}
	float ss = hsum(acc), d = hsum(dacc);
	for (; i < C; i++) ss += x[i] * x[i], d += dy[i] * w[i] * x[i];
	float r = 1 / sqrtf(ss / (float)C + eps), c = d * r * r * r / (float)C;
	for (i = 0; i + L <= C; i += L) store(dx + i, load(dx + i) + (load(dy + i) * load(w + i) * r - load(x + i) * c));
	for (; i < C; i++) dx[i] += dy[i] * w[i] * r - x[i] * c;
}

static void rope(void *x, bool bf, int n_heads, int D, const float *cs, int sign)
{
	int half = D / 2;
	for (int h = 0; h < n_heads; h++) {
		size_t o = (size_t)h * (size_t)D;
		int i = 0;
		for (; i + L <= half; i += L) {
			size_t lo = o + (size_t)i, hi = lo + (size_t)half;
			vf a = load_act(x, bf, lo), b = load_act(x, bf, hi), c = load(cs + i),
			   s = load(cs + half + i) * (float)sign;
			store_act(x, bf, lo, a * c - b * s);
			store_act(x, bf, hi, b * c + a * s);
		}
		for (; i < half; i++) {
			size_t lo = o + (size_t)i, hi = lo + (size_t)half;
			float a = get(x, bf, lo), b = get(x, bf, hi), c = cs[i], s = cs[half + i] * (float)sign;
			put(x, bf, lo, a * c - b * s);
			put(x, bf, hi, b * c + a * s);
		}
	}
}

static void swiglu(void *s, const void *gate, const void *up, bool bf, int n)
{
	int i = 0;
	for (; i + L <= n; i += L) {
		vf g = load_act(gate, bf, (size_t)i), u = load_act(up, bf, (size_t)i);
		store_act(s, bf, (size_t)i, g / (vexp(-g) + 1.0f) * u);
	}
	for (; i < n; i++) {
		float g = get(gate, bf, (size_t)i), u = get(up, bf, (size_t)i);
		put(s, bf, (size_t)i, g / (expf(-g) + 1) * u);
	}
}

static void swiglu_bwd(void *dgate, void *dup, const float *ds, const void *gate, const void *up, bool bf, int n)
{
	int i = 0;
	for (; i + L <= n; i += L) {
		vf g = load_act(gate, bf, (size_t)i), u = load_act(up, bf, (size_t)i), d = load(ds + i),
		   sig = 1.0f / (vexp(-g) + 1.0f);
		store_act(dup, bf, (size_t)i, d * g * sig);
		store_act(dgate, bf, (size_t)i, d * u * sig * (g * (1.0f - sig) + 1.0f));
	}
	for (; i < n; i++) {
		float g = get(gate, bf, (size_t)i), u = get(up, bf, (size_t)i), sig = 1 / (expf(-g) + 1);
		put(dup, bf, (size_t)i, ds[i] * g * sig);
		put(dgate, bf, (size_t)i, ds[i] * u * sig * (g * (1 - sig) + 1));
	}
}

/* D must be a multiple of 16; ops/cpu_ops.c checks. */
INLINE float dot_heads(const float *q, const void *k, bool bf, int D)
{
	vf s = {0};
	for (int d = 0; d < D; d += L) s += load(q + d) * load_act(k, bf, (size_t)d);
	return hsum(s);
}

static float soften(float *s, int n)
{
	vf m = splat(-INFINITY), acc = {0};
	int i = 0;
	float max, sum;
	for (; i + L <= n; i += L) m = vmax(m, load(s + i));
	max = m[0];
	for (int e = 1; e < L; e++) max = m[e] > max ? m[e] : max;
	for (; i < n; i++) max = s[i] > max ? s[i] : max;
	for (int e = n; e < (n + L - 1) / L * L; e++) s[e] = -INFINITY; /* the buffer has room */
	for (i = 0; i < n; i += L) {
		vf p = vexp(load(s + i) - max);
		store(s + i, p);
		acc += p;
	}
	sum = hsum(acc);
	for (i = 0; i < n; i += L) store(s + i, load(s + i) / sum);
	return max + logf(sum);
}

#define MAX_D 256
INLINE void attn_bf(const void *q, const void *k, const void *v, bool bf, int ldkv, const int32_t *rows, int from, int to,
                    int heads, int D, float scale, void *out, float *lse, float *s)
{
	int n = to - from;
	for (int h = 0; h < heads; h++) {
		float qf[MAX_D], acc[MAX_D];
		for (int d = 0; d < D; d += L) {
			store(qf + d, load_act(q, bf, (size_t)(h * D + d)) * scale);
			store(acc + d, (vf){0});
		}
		for (int j = 0; j < n; j++) s[j] = dot_heads(qf, at(k, bf, (size_t)rows[from + j] * (size_t)ldkv), bf, D);
		float l = soften(s, n);
		if (lse) lse[h] = l;
		for (int j = 0; j < n; j++) {
			const void *vj = at(v, bf, (size_t)rows[from + j] * (size_t)ldkv);
			for (int d = 0; d < D; d += L) store(acc + d, load(acc + d) + load_act(vj, bf, (size_t)d) * s[j]);
		}
		for (int d = 0; d < D; d += L) store_act(out, bf, (size_t)(h * D + d), load(acc + d));
	}
}

static void attn(const void *q, const void *k, const void *v, bool bf, int ldkv, const int32_t *rows, int from, int to, int heads,
                 int D, float scale, void *out, float *lse, float *s)
{
	if (D == 64 && bf)
		attn_bf(q, k, v, true, ldkv, rows, from, to, heads, 64, scale, out, lse, s);
	else if (D == 64)
		attn_bf(q, k, v, false, ldkv, rows, from, to, heads, 64, scale, out, lse, s);
	else
		attn_bf(q, k, v, bf, ldkv, rows, from, to, heads, D, scale, out, lse, s);
}

INLINE void attn_bwd_bf(const void *q, const void *k, const void *v, bool bf, int ld, const int32_t *rows, int from, int to,
                        int heads, int D, float scale, const void *out, const float *lse, const float *dout, float *dq, float *dk,
                        float *dv, const int32_t *grad_rows, int ldd, float *s)
{
	int n = to - from;
	for (int h = 0; h < heads; h++) {
		float qf[MAX_D], dqf[MAX_D];
		const float *doh = dout + h * D;
		vf dl = {0};
		for (int d = 0; d < D; d += L) {
			store(qf + d, load_act(q, bf, (size_t)(h * D + d)) * scale);
			store(dqf + d, (vf){0});
			dl += load(doh + d) * load_act(out, bf, (size_t)(h * D + d));
		}
		float delta = hsum(dl);
		for (int j = 0; j < n; j++) s[j] = dot_heads(qf, at(k, bf, (size_t)rows[from + j] * (size_t)ld), bf, D) - lse[h];
		for (int j = n; j < (n + L - 1) / L * L; j++) s[j] = -INFINITY;
		for (int j = 0; j < n; j += L) store(s + j, vexp(load(s + j)));
		for (int j = 0; j < n; j++) {
			size_t row = (size_t)rows[from + j] * (size_t)ld,
			       grad = (size_t)(grad_rows ? grad_rows[from + j] : from + j) * (size_t)ldd;
			const void *kj = at(k, bf, row), *vj = at(v, bf, row);
			float *dkj = dk + grad, *dvj = dv + grad, p = s[j], ds = p * (dot_heads(doh, vj, bf, D) - delta);
			for (int d = 0; d < D; d += L) {
				store(dvj + d, load(dvj + d) + load(doh + d) * p);
				store(dkj + d, load(dkj + d) + load(qf + d) * ds); /* qf holds the scale */
				store(dqf + d, load(dqf + d) + load_act(kj, bf, (size_t)d) * ds);
			}
		}
		for (int d = 0; d < D; d += L) store(dq + h * D + d, load(dq + h * D + d) + load(dqf + d) * scale);
	}
}

static void attn_bwd(const void *q, const void *k, const void *v, bool bf, int ld, const int32_t *rows, int from, int to,
                     int heads, int D, float scale, const void *out, const float *lse, const float *dout, float *dq, float *dk,
                     float *dv, const int32_t *grad_rows, int ldd, float *s)
{
	if (D == 64 && bf)
		attn_bwd_bf(q, k, v, true, ld, rows, from, to, heads, 64, scale, out, lse, dout, dq, dk, dv, grad_rows, ldd, s);
	else if (D == 64)
		attn_bwd_bf(q, k, v, false, ld, rows, from, to, heads, 64, scale, out, lse, dout, dq, dk, dv, grad_rows, ldd, s);
	else
		attn_bwd_bf(q, k, v, bf, ld, rows, from, to, heads, D, scale, out, lse, dout, dq, dk, dv, grad_rows, ldd, s);
}

static float softmax(const float *z, int n, int target, float weight, void *dz, bool bf)
{
	vf m = splat(-INFINITY), acc = {0};
	int i = 0;
	float max, sum;
	for (; i + L <= n; i += L) m = vmax(m, load(z + i));
	max = m[0];
	for (int e = 1; e < L; e++) max = m[e] > max ? m[e] : max;
	for (; i < n; i++) max = z[i] > max ? z[i] : max;
	for (i = 0; i + L <= n; i += L) acc += vexp(load(z + i) - max);
	sum = hsum(acc);
	for (; i < n; i++) sum += expf(z[i] - max);
	float lse = max + logf(sum);
	if (!dz) return lse;
	for (i = 0; i + L <= n; i += L) store_act(dz, bf, (size_t)i, vexp(load(z + i) - lse) * weight);
	for (; i < n; i++) put(dz, bf, (size_t)i, expf(z[i] - lse) * weight);
	put(dz, bf, (size_t)target, (expf(z[target] - lse) - 1) * weight);
	return lse;
}

static double sum_squares(const float *g, size_t n)
{
	double acc[L] = {0}, sum = 0;
	size_t i = 0;
	for (; i + L <= n; i += L)
		for (int e = 0; e < L; e++) acc[e] += (double)g[i + (size_t)e] * g[i + (size_t)e];
	for (int e = 0; e < L; e++) sum += acc[e];
	for (; i < n; i++) sum += (double)g[i] * g[i];
	return sum;
}

static void adamw(float *p, const float *g, float *m, float *v, size_t n, float g_scale, float decay, float step_size, float c2,
                  float beta1, float beta2, float eps)
{
	for (size_t i = 0; i < n; i++) {
		float gi = g[i] * g_scale;
		m[i] = beta1 * m[i] + (1 - beta1) * gi;
		v[i] = beta2 * v[i] + (1 - beta2) * gi * gi;
		p[i] = p[i] * decay - step_size * m[i] / (sqrtf(v[i]) / c2 + eps);
	}
}

const inoci_simd *SIMD_TABLE(void)
{
	static const inoci_simd t = {
	        .block = block,
	        .dot = dot,
	        .update = update,
	        .outer = outer,
	        .to_bf16 = to_bf16,
	        .add = add,
	        .rmsnorm = rmsnorm,
	        .rmsnorm_bwd = rmsnorm_bwd,
	        .rope = rope,
	        .swiglu = swiglu,
	        .swiglu_bwd = swiglu_bwd,
	        .attn = attn,
	        .attn_bwd = attn_bwd,
	        .softmax = softmax,
	        .sum_squares = sum_squares,
	        .adamw = adamw,
	        .isa = SIMD_ISA,
	};
	return &t;
}
