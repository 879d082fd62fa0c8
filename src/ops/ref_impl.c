/* The oracle: every operation in its plainest form. Compiled twice, by ref_f32.c and ref_f64.c (REAL, REF_TABLE).
 * act = real = REAL. Loops are written for reading, not for speed.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/internal.h"

typedef REAL real;

struct inoci_mat {
	int n, k;
	real *w, *bias; /* (N, K), (N) or NULL */
};

static void free_ops(inoci_ops *o)
{
	free(o);
}

static void mat_free(inoci_mat *m)
{
	if (!m) return;
	free(m->w);
	free(m->bias);
	free(m);
}

static int mat_new(inoci_ops *o, const float *w, const float *bias, int n, int k, bool backward, inoci_mat **out, inoc_err *err)
{
	(void)o, (void)backward;
	inoci_mat *m = inoci_alloc(sizeof *m);
	m->n = n;
	m->k = k;
	m->w = inoci_big_alloc((size_t)n * (size_t)k * sizeof(real), "a weight matrix", err);
	if (!m->w) {
		mat_free(m);
		return INOC_E_MEMORY;
	}
	for (size_t i = 0; i < (size_t)n * (size_t)k; i++) m->w[i] = w[i];
	if (bias) {
		m->bias = inoci_alloc((size_t)n * sizeof(real));
		for (int i = 0; i < n; i++) m->bias[i] = bias[i];
	}
	*out = m;
	return 0;
}

static size_t mat_bytes(inoci_ops *o, int n, int k, bool backward)
{
	(void)o;
	return backward ? 0 : (size_t)n * (size_t)k * sizeof(real); /* one form serves both */
}

static int lora_pack(inoci_ops *o, inoci_lora *const *l, int n, inoc_err *err)
{
	(void)o, (void)l, (void)n, (void)err; /* the masters are used directly */
	return 0;
}

static void lora_unpack(inoci_lora *l)
{
	(void)l;
}

static void real_from_f32(inoci_ops *o, void *dst, const float *src, size_t n)
{
	(void)o;
	for (size_t i = 0; i < n; i++) ((real *)dst)[i] = src[i];
}

static void f32_from_real(inoci_ops *o, float *dst, const void *src, size_t n)
{
	(void)o;
	for (size_t i = 0; i < n; i++) dst[i] = (float)((const real *)src)[i];
}

static void rmsnorm(inoci_ops *o, void *yv, const void *xv, const int32_t *rows, const float *w, int T, int C, float eps)
{
	(void)o;
	for (int t = 0; t < T; t++) {
		const real *x = (const real *)xv + (size_t)(rows ? rows[t] : t) * (size_t)C;
		real *y = (real *)yv + (size_t)t * (size_t)C, ss = 0;
		for (int i = 0; i < C; i++) ss += x[i] * x[i];
		real r = 1 / (real)sqrt(ss / C + eps);
		for (int i = 0; i < C; i++) y[i] = x[i] * r * w[i];
	}
}

static void rmsnorm_bwd(inoci_ops *o, void *dxv, const void *dyv, const void *xv, const int32_t *rows, const float *w, int T,
                        int C, float eps)
{
	(void)o;
	for (int t = 0; t < T; t++) {
		size_t row = (size_t)(rows ? rows[t] : t) * (size_t)C;
		const real *x = (const real *)xv + row, *dy = (const real *)dyv + (size_t)t * (size_t)C;
		real *dx = (real *)dxv + row, ss = 0, dot = 0;
		for (int i = 0; i < C; i++) ss += x[i] * x[i], dot += dy[i] * w[i] * x[i];
		real r = 1 / (real)sqrt(ss / C + eps), c = dot * r * r * r / C;
		for (int i = 0; i < C; i++) dx[i] += dy[i] * w[i] * r - x[i] * c;
	}
}

static int linear(inoci_ops *o, const inoci_mat *w, const inoci_lora *l, const void *xv, int T, void *yv, const void *residual,
                  float *u, inoc_err *err)
{
	(void)o, (void)err;
	int ranks = lora_rank_sum(l);
	for (int t = 0; t < T; t++) {
		const real *x = (const real *)xv + (size_t)t * (size_t)w->k;
		real *y = (real *)yv + (size_t)t * (size_t)w->n;
		for (int n = 0; n < w->n; n++) {
			real s = w->bias ? w->bias[n] : 0;
			for (int k = 0; k < w->k; k++) s += x[k] * w->w[(size_t)n * (size_t)w->k + (size_t)k];
			y[n] = residual ? ((const real *)residual)[(size_t)t * (size_t)w->n + (size_t)n] + s : s;
		}
		for (int i = 0, r0 = 0; l && i < l->n_slices; r0 += l->s[i++].rank) {
			const inoci_lora_slice *s = &l->s[i];
			for (int r = 0; r < s->rank; r++) {
				real v = 0;
				for (int k = 0; k < w->k; k++) {
					real d = l->dropout > 0 ? lora_drop(s->drop_key, w->k, t, k, l->dropout) : 1;
					v += x[k] * d * s->a[(size_t)r * (size_t)w->k + (size_t)k];
				}
				if (u) u[(size_t)t * (size_t)ranks + (size_t)(r0 + r)] = (float)v;
				for (int n = 0; n < s->n; n++)
					y[s->n0 + n] += s->scale * v * s->b[(size_t)n * (size_t)s->rank + (size_t)r];
			}
		}
	}
	return 0;
}

static int linear_bwd(inoci_ops *o, const inoci_mat *w, const inoci_lora *l, const void *dyv, bool dy_real, const void *xv,
                      const float *u, int T, void *dxv, inoc_err *err)
{
	(void)o, (void)err, (void)dy_real, (void)u; /* u is recomputed in real precision: it was kept in f32 */
	for (int t = 0; t < T && dxv; t++) {
		const real *dy = (const real *)dyv + (size_t)t * (size_t)w->n;
		real *dx = (real *)dxv + (size_t)t * (size_t)w->k;
		memset(dx, 0, (size_t)w->k * sizeof(real));
		for (int n = 0; n < w->n; n++)
			for (int k = 0; k < w->k; k++) dx[k] += dy[n] * w->w[(size_t)n * (size_t)w->k + (size_t)k];
	}
	for (int i = 0; l && i < l->n_slices; i++) {
		const inoci_lora_slice *s = &l->s[i];
		for (int r = 0; r < s->rank; r++) {
			real *db = inoci_alloc((size_t)s->n * sizeof(real)), *da = inoci_alloc((size_t)w->k * sizeof(real));
			for (int t = 0; t < T; t++) {
				const real *dy = (const real *)dyv + (size_t)t * (size_t)w->n + s->n0;
				const real *x = (const real *)xv + (size_t)t * (size_t)w->k;
				real v = 0, du = 0;
				for (int k = 0; k < w->k; k++) {
					real d = l->dropout > 0 ? lora_drop(s->drop_key, w->k, t, k, l->dropout) : 1;
					v += x[k] * d * s->a[(size_t)r * (size_t)w->k + (size_t)k];
				}
				for (int n = 0; n < s->n; n++) {
					du += s->scale * dy[n] * s->b[(size_t)n * (size_t)s->rank + (size_t)r];
					db[n] += s->scale * dy[n] * v;
				}
				for (int k = 0; k < w->k; k++) {
					real d = l->dropout > 0 ? lora_drop(s->drop_key, w->k, t, k, l->dropout) : 1;
					da[k] += du * x[k] * d;
					if (dxv)
						((real *)dxv)[(size_t)t * (size_t)w->k + (size_t)k] +=
						        du * d * s->a[(size_t)r * (size_t)w->k + (size_t)k];
				}
			}
			for (int n = 0; s->db && n < s->n; n++) s->db[(size_t)n * (size_t)s->rank + (size_t)r] += (float)db[n];
			for (int k = 0; s->da && k < w->k; k++) s->da[(size_t)r * (size_t)w->k + (size_t)k] += (float)da[k];
			free(db);
			free(da);
		}
	}
	return 0;
}

static int linear_around(inoci_ops *o, const inoci_around *a, const inoci_mat *w, const inoci_lora *l, void *x, int T, void *y,
                         const void *residual, float *u, inoc_err *err)
{
	return inoci_linear_apart(o, a, w, w->n, w->k, l, x, T, y, residual, u, err);
}

static int linear_bwd_around(inoci_ops *o, const inoci_around *a, const inoci_mat *w, const inoci_lora *l, void *dy, bool is_real,
                             void *x, const float *u, int T, void *dx, inoc_err *err)
{
	return inoci_linear_bwd_apart(o, a, w, w->n, w->k, l, dy, is_real, x, u, T, dx, err);
}

static void rope(inoci_ops *o, void *xv, bool is_real, int T, int ld, int n_heads, int D, const int32_t *pos, const float *cs,
                 int sign)
{
	(void)o, (void)is_real;
	for (int t = 0; t < T; t++)
		for (int h = 0; h < n_heads; h++) {
			real *x = (real *)xv + (size_t)t * (size_t)ld + (size_t)h * (size_t)D;
			const float *c = cs + (size_t)pos[t] * (size_t)D, *s = c + D / 2;
			for (int i = 0; i < D / 2; i++) {
				real a = x[i], b = x[i + D / 2], sn = (real)sign * s[i];
				x[i] = a * c[i] - b * sn;
				x[i + D / 2] = b * c[i] + a * sn;
			}
		}
}

static int first_key(const inoci_attn *a, int p)
{
	return a->window && p + 1 > a->window ? p + 1 - a->window : 0;
}

static int attn(inoci_ops *o, const inoci_attn *a, const inoci_seg *segs, int n_segs, const void *qv, int ldq, const void *kv,
                const void *vv, int ldkv, void *outv, float *lse, inoc_err *err)
{
	(void)err;
	(void)o;
	int H = a->n_heads, D = a->head_dim, group = H / a->n_kv_heads;
	real scale = 1 / (real)sqrt(D);
	for (int g = 0; g < n_segs; g++)
		for (int i = 0; i < segs[g].len; i++)
			for (int h = 0; h < H; h++) {
				int t = segs[g].start + i, p = segs[g].pos0 + i, from = first_key(a, p);
				const real *q = (const real *)qv + (size_t)t * (size_t)ldq + (size_t)(h * D);
				real *out = (real *)outv + (size_t)t * (size_t)(H * D) + (size_t)(h * D), max = -INFINITY,
				     sum = 0;
				real *s = inoci_alloc((size_t)(p + 1) * sizeof(real));
				for (int j = from; j <= p; j++) {
					const real *k = (const real *)kv + (size_t)segs[g].key_rows[j] * (size_t)ldkv +
					                (size_t)(h / group * D);
					for (int d = 0; d < D; d++) s[j] += q[d] * k[d];
					s[j] *= scale;
					if (s[j] > max) max = s[j];
				}
				for (int j = from; j <= p; j++) sum += s[j] = (real)exp(s[j] - max);
				for (int d = 0; d < D; d++) out[d] = 0;
				for (int j = from; j <= p; j++) {
					const real *v = (const real *)vv + (size_t)segs[g].key_rows[j] * (size_t)ldkv +
					                (size_t)(h / group * D);
					for (int d = 0; d < D; d++) out[d] += s[j] / sum * v[d];
				}
				if (lse) lse[(size_t)t * (size_t)H + (size_t)h] = (float)(max + log(sum));
				free(s);
			}
	return 0;
}

static int attn_bwd(inoci_ops *o, const inoci_attn *a, const inoci_seg *segs, int n_segs, int T, const void *qkvv,
                    const void *outv, const float *lse, const void *doutv, void *dqkvv, inoc_err *err)
{
	(void)o, (void)err, (void)lse; /* recomputed in real precision */
	int H = a->n_heads, G = a->n_kv_heads, D = a->head_dim, group = H / G, ld = (H + 2 * G) * D;
	real scale = 1 / (real)sqrt(D);
	memset((real *)dqkvv + (size_t)a->stem * (size_t)ld, 0, (size_t)T * (size_t)ld * sizeof(real));
	for (int g = 0; g < n_segs; g++)
		for (int i = 0; i < segs[g].len; i++)
			for (int h = 0; h < H; h++) {
				int t = segs[g].start + i, p = segs[g].pos0 + i, from = first_key(a, p);
				size_t hq = (size_t)(h * D), hk = (size_t)((H + h / group) * D), hv = hk + (size_t)(G * D);
				const real *qkv = qkvv, *q = qkv + (size_t)(a->stem + t) * (size_t)ld + hq;
				const real *out = (const real *)outv + (size_t)t * (size_t)(H * D) + hq;
				const real *dout = (const real *)doutv + (size_t)t * (size_t)(H * D) + hq;
				real *dqkv = dqkvv, *dq = dqkv + (size_t)(a->stem + t) * (size_t)ld + hq, max = -INFINITY,
				     sum = 0, delta = 0;
				real *s = inoci_alloc((size_t)(p + 1) * sizeof(real));
				for (int j = from; j <= p; j++) {
					const real *k = qkv + (size_t)segs[g].key_rows[j] * (size_t)ld + hk;
					for (int d = 0; d < D; d++) s[j] += q[d] * k[d];
					s[j] *= scale;
					if (s[j] > max) max = s[j];
				}
				for (int j = from; j <= p; j++) sum += s[j] = (real)exp(s[j] - max);
				for (int d = 0; d < D; d++) delta += dout[d] * out[d];
				for (int j = from; j <= p; j++) {
					size_t row = (size_t)segs[g].key_rows[j] * (size_t)ld;
					real prob = s[j] / sum, dp = 0;
					for (int d = 0; d < D; d++) {
						dqkv[row + hv + (size_t)d] += prob * dout[d];
						dp += dout[d] * qkv[row + hv + (size_t)d];
					}
					real ds = prob * (dp - delta) * scale;
					for (int d = 0; d < D; d++) {
						dq[d] += ds * qkv[row + hk + (size_t)d];
						dqkv[row + hk + (size_t)d] += ds * q[d];
					}
				}
				free(s);
			}
	return 0;
}

static void store_rows(inoci_ops *o, void *dst, int dst_ld, const int32_t *dst_rows, const void *src, int src_ld, int col, int n,
                       int T)
{
	(void)o;
	for (int t = 0; t < T; t++)
		memcpy((real *)dst + (size_t)dst_rows[t] * (size_t)dst_ld,
		       (const real *)src + (size_t)t * (size_t)src_ld + (size_t)col, (size_t)n * sizeof(real));
}

static void add_rows(inoci_ops *o, void *dst, int ld_dst, const void *src, int ld_src, int n, int T)
{
	(void)o;
	for (int t = 0; t < T; t++)
		for (int i = 0; i < n; i++)
			((real *)dst)[(size_t)t * (size_t)ld_dst + (size_t)i] +=
			        ((const real *)src)[(size_t)t * (size_t)ld_src + (size_t)i];
}

static void swiglu(inoci_ops *o, void *sv, const void *guv, int T, int F)
{
	(void)o;
	for (int t = 0; t < T; t++) {
		const real *g = (const real *)guv + (size_t)t * 2 * (size_t)F, *u = g + F;
		for (int i = 0; i < F; i++)
			((real *)sv)[(size_t)t * (size_t)F + (size_t)i] = g[i] / (1 + (real)exp(-g[i])) * u[i];
	}
}

static void swiglu_bwd(inoci_ops *o, void *dguv, const void *dsv, const void *guv, int T, int F)
{
	(void)o;
	for (int t = 0; t < T; t++) {
		const real *g = (const real *)guv + (size_t)t * 2 * (size_t)F, *u = g + F,
		           *ds = (const real *)dsv + (size_t)t * (size_t)F;
		real *dg = (real *)dguv + (size_t)t * 2 * (size_t)F, *du = dg + F;
		for (int i = 0; i < F; i++) {
			real sig = 1 / (1 + (real)exp(-g[i]));
			du[i] = ds[i] * g[i] * sig;
			dg[i] = ds[i] * u[i] * sig * (1 + g[i] * (1 - sig));
		}
	}
}

static int head_loss(inoci_ops *o, const inoci_mat *w, const void *hv, const int32_t *targets, const float *weight, int n,
                     float *logprob, void *dhv, inoc_err *err)
{
	(void)o;
	real *z = inoci_big_alloc((size_t)w->n * sizeof(real), "logits", err);
	if (!z) return INOC_E_MEMORY;
	for (int i = 0; i < n; i++) {
		const real *h = (const real *)hv + (size_t)i * (size_t)w->k;
		real max = -INFINITY;
		double sum = 0; /* a float sum of 49152 exponentials is off by 1e-5 */
		for (int v = 0; v < w->n; v++) {
			z[v] = 0;
			for (int k = 0; k < w->k; k++) z[v] += h[k] * w->w[(size_t)v * (size_t)w->k + (size_t)k];
			if (z[v] > max) max = z[v];
		}
		for (int v = 0; v < w->n; v++) sum += exp((double)(z[v] - max));
		double lse = max + log(sum);
		logprob[i] = (float)((double)z[targets[i]] - lse);
		if (!dhv) continue;
		real *dh = (real *)dhv + (size_t)i * (size_t)w->k;
		memset(dh, 0, (size_t)w->k * sizeof(real));
		for (int v = 0; v < w->n; v++) {
			real dz = (real)(weight[i] * (exp((double)z[v] - lse) - (v == targets[i])));
			for (int k = 0; k < w->k; k++) dh[k] += dz * w->w[(size_t)v * (size_t)w->k + (size_t)k];
		}
	}
	free(z);
	return 0;
}

static int head_logits(inoci_ops *o, const inoci_mat *w, const void *hv, int n, float *logits, inoc_err *err)
{
	(void)o, (void)err;
	for (int i = 0; i < n; i++)
		for (int v = 0; v < w->n; v++) {
			real s = 0;
			for (int k = 0; k < w->k; k++)
				s += ((const real *)hv)[(size_t)i * (size_t)w->k + (size_t)k] *
				     w->w[(size_t)v * (size_t)w->k + (size_t)k];
			logits[(size_t)i * (size_t)w->n + (size_t)v] = (float)s;
		}
	return 0;
}

static double sum_squares(inoci_ops *o, const float *g, size_t n)
{
	(void)o;
	double s = 0;
	for (size_t i = 0; i < n; i++) s += (double)g[i] * g[i];
	return s;
}

static void adamw(inoci_ops *o, float *p, float *g, float *m, float *v, size_t n, float g_scale, float lr, float beta1,
                  float beta2, float eps, float weight_decay, int step)
{
	(void)o;
	double c1 = 1 - pow(beta1, step), c2 = sqrt(1 - pow(beta2, step));
	for (size_t i = 0; i < n; i++) {
		double gi = (double)g[i] * g_scale;
		m[i] = (float)(beta1 * m[i] + (1 - beta1) * gi);
		v[i] = (float)(beta2 * v[i] + (1 - beta2) * gi * gi);
		double w = p[i] * (1.0 - (double)lr * weight_decay);
		p[i] = (float)(w - lr / c1 * m[i] / (sqrt(v[i]) / c2 + eps));
		g[i] = 0;
	}
}

static size_t scratch_bytes(inoci_ops *o, const inoci_scratch_need *n)
{
	(void)o;
	return (size_t)n->vocab * sizeof(real);
}

void REF_TABLE(inoci_ops *o)
{
	*o = (inoci_ops){
	        .name = "ref",
	        .dtype = sizeof(real) == 8 ? INOCI_DTYPE_F64 : INOCI_DTYPE_F32,
	        .real_bytes = sizeof(real),
	        .act_bytes = sizeof(real),
	        .n_threads = 1,
	        .free = free_ops,
	        .mat_new = mat_new,
	        .mat_free = mat_free,
	        .mat_bytes = mat_bytes,
	        .lora_pack = lora_pack,
	        .lora_unpack = lora_unpack,
	        .real_from_f32 = real_from_f32,
	        .f32_from_real = f32_from_real,
	        .rmsnorm = rmsnorm,
	        .rmsnorm_bwd = rmsnorm_bwd,
	        .linear = linear,
	        .linear_bwd = linear_bwd,
	        .linear_around = linear_around,
	        .linear_bwd_around = linear_bwd_around,
	        .rope = rope,
	        .attn = attn,
	        .attn_bwd = attn_bwd,
	        .store_rows = store_rows,
	        .add_rows = add_rows,
	        .swiglu = swiglu,
	        .swiglu_bwd = swiglu_bwd,
	        .head_loss = head_loss,
	        .head_logits = head_logits,
	        .sum_squares = sum_squares,
	        .adamw = adamw,
	        .scratch_bytes = scratch_bytes,
	};
}
