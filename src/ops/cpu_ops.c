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

static bool many(int T, int n, int most)
{
	return (long)T * n > most;
}

void *inoci_cpu_scratch(inoci_cpu *c, int which, size_t bytes, inoc_err *err)
{
	if (c->buf[which].bytes < bytes) {
		free(c->buf[which].p);
		c->buf[which].bytes = 0;
		c->buf[which].p = inoci_big_room(bytes + bytes / 4, "scratch", err);
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
#pragma omp parallel for schedule(static) if (many(T, C, INOCI_SMALL))
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

static void rope(inoci_ops *o, void *x, bool real, int T, int ld, int n_heads, int D, const int32_t *pos, const float *cs,
                 int sign)
{
	inoci_cpu *c = (inoci_cpu *)o;
	bool bf = c->bf && !real;
#pragma omp parallel for schedule(static) if (many(T, ld, INOCI_SMALL))
	for (int t = 0; t < T; t++)
		c->k->rope((char *)x + (size_t)t * (size_t)ld * (bf ? 2 : 4), bf, n_heads, D, cs + (size_t)pos[t] * (size_t)D,
		           sign);
}

static void store_rows(inoci_ops *o, void *dst, int dst_ld, const int32_t *dst_rows, const void *src, int src_ld, int col, int n,
                       int T)
{
	size_t e = o->act_bytes;
	for (int t = 0; t < T; t++)
		memcpy((char *)dst + (size_t)dst_rows[t] * (size_t)dst_ld * e,
		       (const char *)src + ((size_t)t * (size_t)src_ld + (size_t)col) * e, (size_t)n * e);
}

static void add_rows(inoci_ops *o, void *dst, int ld_dst, const void *src, int ld_src, int n, int T)
{
	(void)o;
	for (int t = 0; t < T; t++)
		for (int i = 0; i < n; i++)
			((float *)dst)[(size_t)t * (size_t)ld_dst + (size_t)i] +=
			        ((const float *)src)[(size_t)t * (size_t)ld_src + (size_t)i];
}

void inoci_cpu_swiglu(const inoci_cpu *c, const inoci_glu *g, int row, int rows, int col, int n, const float *ds, int ldds)
{
	size_t e = c->o.act_bytes, up = (size_t)g->F * e;
	for (int t = row; t < row + rows; t++, ds += ds ? ldds : 0) {
		size_t at = ((size_t)t * (size_t)g->F + (size_t)col) * e, at2 = at + (size_t)t * up;
		const char *gate = (const char *)g->gu + at2;
		char *dgate = g->dgu ? (char *)g->dgu + at2 : NULL, *s = g->s ? (char *)g->s + at : NULL;
		if (c->tiles && dgate)
			inoci_bf16_swiglu_bwd((void *)dgate, (void *)(dgate + up), (void *)s, ds, (const void *)gate,
			                      (const void *)(gate + up), n);
		else if (c->tiles)
			inoci_bf16_swiglu((void *)s, (const void *)gate, (const void *)(gate + up), n);
		else {
			if (dgate) c->k->swiglu_bwd(dgate, dgate + up, ds, gate, gate + up, c->bf, n);
			if (s) c->k->swiglu(s, gate, gate + up, c->bf, n);
		}
	}
}

static void swiglu(inoci_ops *o, void *s, const void *gu, int T, int F)
{
	inoci_cpu *c = (inoci_cpu *)o;
	inoci_glu g = {F, gu, s, NULL};
#pragma omp parallel for schedule(static) if (many(T, F, INOCI_SMALL / 4))
	for (int t = 0; t < T; t++) inoci_cpu_swiglu(c, &g, t, 1, 0, F, NULL, 0);
}

static void swiglu_bwd(inoci_ops *o, void *dgu, const void *ds, const void *gu, int T, int F)
{
	inoci_cpu *c = (inoci_cpu *)o;
	inoci_glu g = {F, gu, NULL, dgu};
#pragma omp parallel for schedule(static)
	for (int t = 0; t < T; t++) inoci_cpu_swiglu(c, &g, t, 1, 0, F, (const float *)ds + (size_t)t * (size_t)F, F);
}

#define PIECE 16384

static double sum_squares(inoci_ops *o, const float *g, size_t n)
{
	inoci_cpu *c = (inoci_cpu *)o;
	size_t pieces = (n + PIECE - 1) / PIECE;
	double sum = 0, *part = inoci_alloc((pieces + 1) * sizeof *part);
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < pieces; i++)
		part[i] = c->k->sum_squares(g + i * PIECE, n - i * PIECE < PIECE ? n - i * PIECE : PIECE);
	for (size_t i = 0; i < pieces; i++) sum += part[i]; /* in one order, whatever the threads */
	free(part);
	return sum;
}

static void adamw(inoci_ops *o, float *p, float *g, float *m, float *v, size_t n, float g_scale, float lr, float beta1,
                  float beta2, float eps, float weight_decay, int step)
{
	inoci_cpu *c = (inoci_cpu *)o;
	double c1 = 1 - pow(beta1, step), c2 = sqrt(1 - pow(beta2, step));
	long piece = PIECE, pieces = (long)((n + (size_t)piece - 1) / (size_t)piece);
#pragma omp parallel for schedule(static)
	for (long i = 0; i < pieces; i++) {
		size_t at = (size_t)(i * piece), len = n - at < (size_t)piece ? n - at : (size_t)piece;
		c->k->adamw(p + at, g + at, m + at, v + at, len, g_scale, (float)(1 - (double)lr * weight_decay),
		            (float)(lr / c1), (float)c2, beta1, beta2, eps);
		memset(g + at, 0, len * sizeof *g); /* while it is in the cache */
	}
}

static size_t scratch_bytes(inoci_ops *o, const inoci_scratch_need *n)
{
	const inoci_cpu *c = (inoci_cpu *)o;
	size_t t = (size_t)n->tokens, rows = n->targets < INOCI_HEAD_ROWS ? (size_t)n->targets : INOCI_HEAD_ROWS, sum = 0;
	size_t logits = rows * (size_t)n->vocab, product = t * (size_t)n->widest, operand = t * (size_t)n->converted,
	       want[INOCI_N_BUFS] = {0};
	want[INOCI_BUF_OUT] = (!c->native && product > logits ? product : logits) * 4;
	want[INOCI_BUF_OPERAND] = (c->bf && operand > logits ? operand : logits) * o->act_bytes;
	want[INOCI_BUF_INNER] = t * (size_t)n->ranks * 4;
	want[INOCI_BUF_DROPPED] = n->dropout ? t * (size_t)n->inputs * 4 : 0;
	want[INOCI_BUF_ANCESTORS] = n->ancestors * 2 * 4;
	want[INOCI_BUF_ATTN] = inoci_cpu_attn_scratch(c, n->keys, n->head_dim);
	want[INOCI_BUF_TURNED] = c->native && c->bf ? 2 * (t + INOCI_TURNED) * (size_t)n->ranks * 2 : 0;
	for (int i = 0; i < INOCI_N_BUFS; i++) sum += want[i] > c->buf[i].bytes ? want[i] - c->buf[i].bytes : 0;
	return sum;
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
	const inoci_cpu *c = (const inoci_cpu *)o;
	return inoci_asprintf("%s%s, %s, %d threads, oneDNN %d.%d.%d", c->k->isa,
	                      c->amx                  ? " AMX"
	                      : inoci_gemm_has_bf16() ? " BF16"
	                                              : "",
	                      inoci_dtype_name(o->dtype), o->n_threads, v->major, v->minor, v->patch);
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
	c->bf = dtype != INOCI_DTYPE_F32;
	c->blocks = dtype == INOCI_DTYPE_Q;
	c->emulated = c->blocks && !(inoci_gemm_has_bf16() && inoci_bf16_native());
	/* oneDNN's f32 products give a row the same bits whatever stands beside it from AVX-512 on, not before. */
	if (dtype == INOCI_DTYPE_F32)
		c->native = dnnl_get_effective_cpu_isa() < dnnl_cpu_isa_avx512_core;
	else
		c->native = c->blocks || inoci_bf16_native();
	c->amx = dtype == INOCI_DTYPE_BF16 && dnnl_get_effective_cpu_isa() >= dnnl_cpu_isa_avx512_core_amx && inoci_bf16_amx();
	c->tiles = c->bf && inoci_bf16_native() && !c->emulated;
	c->gemm = inoci_gemm_new(dtype);
	c->o = (inoci_ops){
	        .name = "cpu",
	        .dtype = dtype,
	        .real_bytes = 4,
	        .act_bytes = c->bf ? 2 : 4,
	        .n_threads = omp_get_max_threads(),
	        .free = free_ops,
	        .real_from_f32 = real_from_f32,
	        .f32_from_real = f32_from_real,
	        .rmsnorm = rmsnorm,
	        .rmsnorm_bwd = rmsnorm_bwd,
	        .rope = rope,
	        .store_rows = store_rows,
	        .add_rows = add_rows,
	        .swiglu = swiglu,
	        .swiglu_bwd = swiglu_bwd,
	        .sum_squares = sum_squares,
	        .adamw = adamw,
	        .scratch_bytes = scratch_bytes,
	};
	inoci_cpu_linear_table(&c->o);
	inoci_cpu_lora_table(&c->o);
	inoci_cpu_attn_table(&c->o);
	*out = &c->o;
	return 0;
}
