/* The gradients of adapters' weights on CPUs with AVX-512 BF16: sums over tokens of products of bf16 operands, in f32; and
 * SwiGLU.
 *
 * Invariant: an element's sum runs over the tokens in order.
 */
#include <immintrin.h>
#include <string.h>

#include "ops/internal.h"

enum { VL = 16, MR = 8 };
#define INLINE static inline __attribute__((always_inline))

void inoci_bf16_turn(uint16_t *dst, size_t ldd, const float *src, size_t lds, int T, int n)
{
	const __m512i step = _mm512_mullo_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
	                                        _mm512_set1_epi32((int)lds));
	for (int t = 0; t < T; t += VL) {
		__mmask16 m = T - t < VL ? (__mmask16)((1u << (T - t)) - 1) : 0xffff;
		for (int i = 0; i < n; i++) {
			__m512 v = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), m, step, src + (size_t)t * lds + (size_t)i, 4);
			_mm256_storeu_si256((__m256i *)(dst + (size_t)i * ldd + (size_t)t), (__m256i)_mm512_cvtneps_pbh(v));
		}
	}
}

/* g (rows, 32 columns of mask) += scale * u^T x */
INLINE void outer_tile(const int rows, float *g, size_t ldg, const uint16_t *u, size_t ldu, const uint16_t *x, size_t ldx,
                       float scale, int T, __mmask32 mask)
{
	const __m512i lo = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37, 5, 36,
	                                    4, 35, 3, 34, 2, 33, 1, 32, 0),
	              hi = _mm512_add_epi16(lo, _mm512_set1_epi16(16));
	__m512 acc[MR][2];
#pragma GCC unroll 8
	for (int i = 0; i < rows; i++) acc[i][0] = acc[i][1] = _mm512_setzero_ps();
	for (int t = 0; t < T; t += 2, x += 2 * ldx) {
		__m512i a = _mm512_maskz_loadu_epi16(mask, x),
		        b = t + 1 < T ? _mm512_maskz_loadu_epi16(mask, x + ldx) : _mm512_setzero_si512();
		__m512bh p0 = (__m512bh)_mm512_permutex2var_epi16(a, lo, b), p1 = (__m512bh)_mm512_permutex2var_epi16(a, hi, b);
#pragma GCC unroll 8
		for (int i = 0; i < rows; i++) {
			int32_t pair;
			memcpy(&pair, u + (size_t)i * ldu + t, 4);
			__m512bh w = (__m512bh)_mm512_set1_epi32(pair);
			acc[i][0] = _mm512_dpbf16_ps(acc[i][0], w, p0);
			acc[i][1] = _mm512_dpbf16_ps(acc[i][1], w, p1);
		}
	}
#pragma GCC unroll 8
	for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
		for (int e = 0; e < 2; e++) {
			__mmask16 m = (__mmask16)(mask >> (VL * e));
			float *to = g + (size_t)i * ldg + VL * e;
			_mm512_mask_storeu_ps(to, m,
			                      _mm512_fmadd_ps(acc[i][e], _mm512_set1_ps(scale), _mm512_maskz_loadu_ps(m, to)));
		}
}

void inoci_bf16_outer(float *g, size_t ldg, const uint16_t *u, size_t ldu, const uint16_t *x, size_t ldx, float scale, int T,
                      int r, int n)
{
	for (int c = 0; c < n; c += 2 * VL) {
		__mmask32 m = n - c < 2 * VL ? (1u << (n - c)) - 1 : 0xffffffff;
		int i = 0;
		for (; i + MR <= r; i += MR)
			outer_tile(MR, g + (size_t)i * ldg + c, ldg, u + (size_t)i * ldu, ldu, x + c, ldx, scale, T, m);
		for (; i < r; i++) outer_tile(1, g + (size_t)i * ldg + c, ldg, u + (size_t)i * ldu, ldu, x + c, ldx, scale, T, m);
	}
}

/* ---- SwiGLU ---- */

INLINE __m512 load_bf16(const uint16_t *p, __mmask16 m)
{
	return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, p)), 16));
}

/* 1 / (1 + e^-g) within some ulp */
INLINE __m512 sigmoid(__m512 g)
{
	__m512 t = _mm512_mul_ps(g, _mm512_set1_ps(-INOCI_LOG2E));
	t = _mm512_min_ps(_mm512_set1_ps(126), _mm512_max_ps(_mm512_set1_ps(-126), t)); /* NaN stays: the second operand */
	__m512 n = _mm512_roundscale_ps(t, 0), f = _mm512_sub_ps(t, n), p = _mm512_set1_ps(1.326472684e-03f);
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(9.671512665e-03f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.550733744e-02f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.402224208e-01f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.931469776e-01f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1));
	__m512 d = _mm512_add_ps(_mm512_scalef_ps(p, n), _mm512_set1_ps(1)), r = _mm512_rcp14_ps(d);
	return _mm512_mul_ps(r, _mm512_fnmadd_ps(d, r, _mm512_set1_ps(2))); /* one step of Newton's */
}

void inoci_bf16_swiglu(uint16_t *s, const uint16_t *gu, int F)
{
	for (int i = 0; i < F; i += VL) {
		__mmask16 m = F - i < VL ? (__mmask16)((1u << (F - i)) - 1) : 0xffff;
		__m512 g = load_bf16(gu + i, m), u = load_bf16(gu + F + i, m);
		_mm256_mask_storeu_epi16(s + i, m, (__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(_mm512_mul_ps(g, sigmoid(g)), u)));
	}
}

void inoci_bf16_swiglu_bwd(float *dgu, const float *ds, const uint16_t *gu, int F)
{
	const __m512 one = _mm512_set1_ps(1);
	for (int i = 0; i < F; i += VL) {
		__mmask16 m = F - i < VL ? (__mmask16)((1u << (F - i)) - 1) : 0xffff;
		__m512 g = load_bf16(gu + i, m), u = load_bf16(gu + F + i, m), d = _mm512_maskz_loadu_ps(m, ds + i),
		       sg = sigmoid(g);
		__m512 dsg = _mm512_mul_ps(d, sg);
		_mm512_mask_storeu_ps(dgu + F + i, m, _mm512_mul_ps(dsg, g));
		_mm512_mask_storeu_ps(dgu + i, m,
		                      _mm512_mul_ps(_mm512_mul_ps(dsg, u), _mm512_fmadd_ps(g, _mm512_sub_ps(one, sg), one)));
	}
}
