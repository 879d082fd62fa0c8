/* Attention of one query row over gathered keys on CPUs with AVX-512 BF16: the heads that share a key/value head together, so
 * that a key's row is loaded once for all of them.
 *
 * Invariant: a score is one dot product, and the weighted sum runs over the keys in order: nothing depends on how keys are
 * gathered into vectors.
 */
#include <immintrin.h>
#include <math.h>

#include "ops/internal.h"

#define VL 16
#define INLINE static inline __attribute__((always_inline))

/* Lane i of the result is the sum of v[i]: four rounds of adding halves that are shuffled together. v is overwritten. */
INLINE __m512 sums16(__m512 v[16])
{
	__m512 a[8], b[4], c[2];
#pragma GCC unroll 8
	for (int i = 0; i < 8; i++) /* 64-bit pairs: v[2i], v[2i + 1] interleaved */
		a[i] = _mm512_add_ps(_mm512_unpacklo_ps(v[2 * i], v[2 * i + 1]), _mm512_unpackhi_ps(v[2 * i], v[2 * i + 1]));
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		__m512d lo = _mm512_castps_pd(a[2 * i]), hi = _mm512_castps_pd(a[2 * i + 1]);
		b[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(lo, hi)), _mm512_castpd_ps(_mm512_unpackhi_pd(lo, hi)));
	}
#pragma GCC unroll 2
	for (int i = 0; i < 2; i++) /* each 128-bit lane of b[i] holds sums of rows 4i .. 4i + 3 */
		c[i] = _mm512_add_ps(_mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0x88),
		                     _mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0xdd));
	return _mm512_add_ps(_mm512_shuffle_f32x4(c[0], c[1], 0x88), _mm512_shuffle_f32x4(c[0], c[1], 0xdd));
}

/* s[j] = scale * q . k[rows[j]] for j < n, and -infinity up to a multiple of 16. With v, rows of it are fetched meanwhile, and
 * those of k ahead: a store's rows are far apart. */
INLINE void scores(const uint16_t *q, const uint16_t *k, const uint16_t *v, int ldkv, const int32_t *rows, int n, const int D,
                   float scale, float *s)
{
	__m512bh qv[256 / 32];
#pragma GCC unroll 8
	for (int d = 0; d < D / 32; d++) qv[d] = (__m512bh)_mm512_loadu_si512(q + 32 * d);
	for (int j = 0; j < n; j += VL) {
		__m512 acc[VL];
		int m = n - j < VL ? n - j : VL;
#pragma GCC unroll 16
		for (int i = 0; i < VL; i++) {
			const uint16_t *row = k + (size_t)rows[j + (i < m ? i : 0)] * (size_t)ldkv;
			acc[i] = _mm512_setzero_ps();
			if (v) {
				size_t here = (size_t)rows[j + (i < m ? i : 0)] * (size_t)ldkv;
				size_t next = (size_t)rows[j + VL + i < n ? j + VL + i : n - 1] * (size_t)ldkv;
#pragma GCC unroll 8
				for (int d = 0; d < D / 32; d++) {
					_mm_prefetch((const char *)(v + here + 32 * d), _MM_HINT_T0);
					_mm_prefetch((const char *)(k + next + 32 * d), _MM_HINT_T0);
				}
			}
#pragma GCC unroll 8
			for (int d = 0; d < D / 32; d++)
				acc[i] = _mm512_dpbf16_ps(acc[i], qv[d], (__m512bh)_mm512_loadu_si512(row + 32 * d));
		}
		__m512 sum = _mm512_mul_ps(sums16(acc), _mm512_set1_ps(scale));
		_mm512_storeu_ps(s + j, _mm512_mask_mov_ps(_mm512_set1_ps(-INFINITY), (__mmask16)((1u << m) - 1), sum));
	}
}

/* out (heads, D) columns [d0, d0 + 64) = sum over j of s[h][j] v[rows[j]]; heads <= 4 */
INLINE void weighted(const uint16_t *v, int ldkv, const int32_t *rows, int n, const int heads, int D, int d0, const float *s,
                     int lds, uint16_t *out)
{
	__m512 acc[4][4];
#pragma GCC unroll 4
	for (int h = 0; h < heads; h++)
#pragma GCC unroll 4
		for (int e = 0; e < 4; e++) acc[h][e] = _mm512_setzero_ps();
	for (int j = 0; j < n; j++) {
		const uint16_t *row = v + (size_t)rows[j] * (size_t)ldkv + d0;
		__m512 x[4];
#pragma GCC unroll 4
		for (int e = 0; e < 4; e++)
			x[e] = _mm512_castsi512_ps(_mm512_slli_epi32(
			        _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(row + VL * e))), 16));
#pragma GCC unroll 4
		for (int h = 0; h < heads; h++)
#pragma GCC unroll 4
			for (int e = 0; e < 4; e++) acc[h][e] = _mm512_fmadd_ps(_mm512_set1_ps(s[h * lds + j]), x[e], acc[h][e]);
	}
#pragma GCC unroll 4
	for (int h = 0; h < heads; h++)
#pragma GCC unroll 4
		for (int e = 0; e < 4; e++)
			_mm256_storeu_si256((__m256i *)(out + h * D + d0 + VL * e), (__m256i)_mm512_cvtneps_pbh(acc[h][e]));
}

void inoci_bf16_attn(const inoci_simd *simd, const void *q, const void *k, const void *v, int ldkv, const int32_t *rows, int from,
                     int to, int heads, int D, float scale, void *out, float *lse, float *s)
{
	int n = to - from, lds = (n + VL - 1) / VL * VL;
	rows += from;
	for (int h0 = 0; h0 < heads; h0 += INOCI_ATTN_HEADS) {
		int m = heads - h0 < INOCI_ATTN_HEADS ? heads - h0 : INOCI_ATTN_HEADS;
		for (int h = 0; h < m; h++) {
			const uint16_t *qh = (const uint16_t *)q + (size_t)(h0 + h) * (size_t)D;
			if (D == 64)
				scores(qh, k, h0 + h ? NULL : v, ldkv, rows, n, 64, scale, s + h * lds);
			else
				scores(qh, k, h0 + h ? NULL : v, ldkv, rows, n, D, scale, s + h * lds);
			float l = simd->soften(s + h * lds, n);
			if (lse) lse[h0 + h] = l;
		}
		for (int d = 0; d < D; d += 64) {
			uint16_t *o = (uint16_t *)out + (size_t)h0 * (size_t)D;
			switch (m) {
			case 1:
				weighted(v, ldkv, rows, n, 1, D, d, s, lds, o);
				break;
			case 2:
				weighted(v, ldkv, rows, n, 2, D, d, s, lds, o);
				break;
			case 3:
				weighted(v, ldkv, rows, n, 3, D, d, s, lds, o);
				break;
			default:
				weighted(v, ldkv, rows, n, 4, D, d, s, lds, o);
			}
		}
	}
}
