/* Kernels on CPUs with AVX-512 BF16. What attention is made of: small products of bf16 operands with f32 sums, the packing of
 * rows for them, and the softmax of blocks of scores. Then the gradients of adapters' weights, and SwiGLU.
 *
 * Invariant: a product's sum runs over k in order in one register or, between calls, in memory; an element of zero adds nothing.
 * So a row's numbers depend neither on the rows beside it nor on columns that it does not see.
 */
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "ops/internal.h"

enum { VL = 16, NV = 4, MR = 6 };
#define INLINE static inline __attribute__((always_inline))

INLINE void tile(const int rows, const int nv, const uint16_t *x, size_t ldx, const uint16_t *w, size_t ldw, int k, float *y,
                 size_t ldy, bool add)
{
	__m512 acc[MR][NV];
#pragma GCC unroll 8
	for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
		for (int e = 0; e < nv; e++)
			acc[i][e] = add ? _mm512_loadu_ps(y + (size_t)i * ldy + e * VL) : _mm512_setzero_ps();
	for (int j = 0; j < k; j += 2, w += 2 * ldw) {
		__m512bh b[NV];
#pragma GCC unroll 4
		for (int e = 0; e < nv; e++) b[e] = (__m512bh)_mm512_loadu_si512(w + 2 * e * VL);
#pragma GCC unroll 8
		for (int i = 0; i < rows; i++) {
			int32_t pair;
			memcpy(&pair, x + (size_t)i * ldx + j, 4);
			__m512bh a = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 4
			for (int e = 0; e < nv; e++) acc[i][e] = _mm512_dpbf16_ps(acc[i][e], a, b[e]);
		}
	}
#pragma GCC unroll 8
	for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
		for (int e = 0; e < nv; e++) _mm512_storeu_ps(y + (size_t)i * ldy + e * VL, acc[i][e]);
}

#define TILES(nv)                                                                                                          \
	static void mm_tiles_##nv(int rows, const uint16_t *x, size_t ldx, const uint16_t *w, size_t ldw, int k, float *y, \
	                          size_t ldy, bool add)                                                                    \
	{                                                                                                                  \
		switch (rows) {                                                                                            \
		case 1:                                                                                                    \
			tile(1, nv, x, ldx, w, ldw, k, y, ldy, add);                                                       \
			break;                                                                                             \
		case 2:                                                                                                    \
			tile(2, nv, x, ldx, w, ldw, k, y, ldy, add);                                                       \
			break;                                                                                             \
		case 3:                                                                                                    \
			tile(3, nv, x, ldx, w, ldw, k, y, ldy, add);                                                       \
			break;                                                                                             \
		case 4:                                                                                                    \
			tile(4, nv, x, ldx, w, ldw, k, y, ldy, add);                                                       \
			break;                                                                                             \
		case 5:                                                                                                    \
			tile(5, nv, x, ldx, w, ldw, k, y, ldy, add);                                                       \
			break;                                                                                             \
		default:                                                                                                   \
			tile(MR, nv, x, ldx, w, ldw, k, y, ldy, add);                                                      \
		}                                                                                                          \
	}
TILES(1)
TILES(2)
TILES(3)
TILES(4)

void inoci_bf16_mm(const uint16_t *x, size_t ldx, int m, const uint16_t *w, size_t ldw, int n, int k, float *y, size_t ldy,
                   bool add)
{
	static void (*const by_width[])(int, const uint16_t *, size_t, const uint16_t *, size_t, int, float *, size_t,
	                                bool) = {NULL, mm_tiles_1, mm_tiles_2, mm_tiles_3, mm_tiles_4};
	for (int c = 0; c < n; c += NV * VL) {
		int nv = n - c < NV * VL ? (n - c) / VL : NV;
		for (int i = 0; i < m; i += MR)
			by_width[nv](m - i < MR ? m - i : MR, x + (size_t)i * ldx, ldx, w + 2 * c, ldw, k,
			             y + (size_t)i * ldy + c, ldy, add);
	}
}

/* r, 16 rows of 16 values of 32 bits, becomes its transpose. */
INLINE void transpose16(__m512i r[16])
{
	__m512i t[16];
#pragma GCC unroll 8
	for (int i = 0; i < 16; i += 2) {
		t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
		t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
	}
#pragma GCC unroll 4
	for (int i = 0; i < 16; i += 4) {
		r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
		r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
		r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
		r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
	}
	/* lane l of r[4 a + c] holds column 4 l + c of rows 4 a .. 4 a + 3 */
#pragma GCC unroll 4
	for (int c = 0; c < 4; c++) {
		t[c] = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88);
		t[4 + c] = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xdd);
		t[8 + c] = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88);
		t[12 + c] = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xdd);
	}
#pragma GCC unroll 4
	for (int c = 0; c < 4; c++) {
		r[c] = _mm512_shuffle_i32x4(t[c], t[8 + c], 0x88);
		r[8 + c] = _mm512_shuffle_i32x4(t[c], t[8 + c], 0xdd);
		r[4 + c] = _mm512_shuffle_i32x4(t[4 + c], t[12 + c], 0x88);
		r[12 + c] = _mm512_shuffle_i32x4(t[4 + c], t[12 + c], 0xdd);
	}
}

/* For permutex2var: values `first` .. `first` + 15 of two rows, by turns. */
INLINE __m512i pair_indices(short first)
{
	const __m512i lo = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37, 5, 36,
	                                    4, 35, 3, 34, 2, 33, 1, 32, 0);
	return _mm512_add_epi16(lo, _mm512_set1_epi16(first));
}

static const uint16_t zeros[2 * INOCI_ATTN_MAX_D];

void inoci_bf16_pack(const uint16_t *const rows[16], int n, uint16_t *cols, size_t ldc, uint16_t *pairs, size_t ldp)
{
	const uint16_t *from[16];
	for (int i = 0; i < 16; i++) from[i] = rows[i] ? rows[i] : zeros;
	const __m512i lo = pair_indices(0), hi = pair_indices(16);
	for (int d = 0; d < n; d += 32) {
		__m512i r[16];
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_si512(from[i] + d);
		if (pairs)
#pragma GCC unroll 8
			for (int i = 0; i < 8; i++) {
				uint16_t *to = pairs + ((size_t)i * ldp + (size_t)d) * 2;
				_mm512_storeu_si512(to, _mm512_permutex2var_epi16(r[2 * i], lo, r[2 * i + 1]));
				_mm512_storeu_si512(to + 32, _mm512_permutex2var_epi16(r[2 * i], hi, r[2 * i + 1]));
			}
		if (!cols) continue;
		transpose16(r);
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++) _mm512_storeu_si512(cols + (size_t)(d / 2 + i) * ldc * 2, r[i]);
	}
}

/* 2^t within 2 ulp where it is a normal number: minimax polynomial on [-1/2, 1/2]. */
INLINE __m512 exp2_normal(__m512 t)
{
	__m512 n = _mm512_roundscale_ps(t, 0), f = _mm512_sub_ps(t, n), p = _mm512_set1_ps(1.326472684e-03f);
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(9.671512665e-03f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.550733744e-02f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.402224208e-01f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.931469776e-01f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1));
	return _mm512_scalef_ps(p, n);
}

/* 2^t for t <= 0, 0 from -200 down and for NaN */
INLINE __m512 exp2_512(__m512 t)
{
	return exp2_normal(_mm512_max_ps(t, _mm512_set1_ps(-200))); /* the second operand where the first is NaN */
}

/* Lanes i of 16 with from <= i < to. */
INLINE __mmask16 lanes(int from, int to)
{
	uint32_t below = to >= VL ? 0xffff
	                 : to > 0 ? (1u << to) - 1
	                          : 0,
	         not = from <= 0    ? 0
	               : from >= VL ? 0xffff
	                            : (1u << from) - 1;
	return (__mmask16)(below & ~not );
}

float inoci_bf16_soften(const float *s, uint16_t *p, int n, int from, int to, float c, float *max, float *sum)
{
	__m512 m = _mm512_set1_ps(-INFINITY), acc = _mm512_setzero_ps();
	for (int i = 0; i < n; i += VL) m = _mm512_mask_max_ps(m, lanes(from - i, to - i), m, _mm512_loadu_ps(s + i));
	float most = c * _mm512_reduce_max_ps(m), old = *max;
	*max = most > old ? most : old;
	__m512 mv = _mm512_set1_ps(*max), cv = _mm512_set1_ps(c);
	for (int i = 0; i < n; i += VL) {
		__m512 t = _mm512_fmsub_ps(_mm512_loadu_ps(s + i), cv, mv);
		__m512 e = _mm512_maskz_mov_ps(lanes(from - i, to - i), exp2_512(t));
		acc = _mm512_add_ps(acc, e);
		_mm256_storeu_si256((__m256i *)(p + i), (__m256i)_mm512_cvtneps_pbh(e));
	}
	float shrink = _mm512_cvtss_f32(exp2_512(_mm512_set1_ps(old - *max)));
	*sum = *sum * shrink + _mm512_reduce_add_ps(acc);
	return shrink;
}

void inoci_bf16_scale(float *x, int n, float s)
{
	for (int i = 0; i < n; i += VL) _mm512_storeu_ps(x + i, _mm512_mul_ps(_mm512_loadu_ps(x + i), _mm512_set1_ps(s)));
}

void inoci_bf16_scaled(uint16_t *y, const float *x, int n, float s)
{
	for (int i = 0; i < n; i += VL)
		_mm256_storeu_si256((__m256i *)(y + i),
		                    (__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(_mm512_loadu_ps(x + i), _mm512_set1_ps(s))));
}

float inoci_bf16_delta(uint16_t *y, const float *dout, const uint16_t *out, int n)
{
	__m512 acc = _mm512_setzero_ps();
	for (int i = 0; i < n; i += VL) {
		__m512 d = _mm512_loadu_ps(dout + i);
		__m512i o = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(out + i))), 16);
		acc = _mm512_fmadd_ps(d, _mm512_castsi512_ps(o), acc);
		_mm256_storeu_si256((__m256i *)(y + i), (__m256i)_mm512_cvtneps_pbh(d));
	}
	return _mm512_reduce_add_ps(acc);
}

void inoci_bf16_probability_grad(const inoci_attn_cols *a, int pos, const float *s, const float *dp, int n, size_t ld,
                                 uint16_t *p, uint16_t *ds, uint16_t *pairs)
{
	const __m512 c = _mm512_set1_ps(a->scale * INOCI_LOG2E), scale = _mm512_set1_ps(a->scale);
	for (int i = 0; i < INOCI_ATTN_COLS; i += VL) {
		__m512 lse = _mm512_loadu_ps(a->lse + i), delta = _mm512_loadu_ps(a->delta + i);
		__m512i from = _mm512_loadu_si512(a->from + i), to = _mm512_loadu_si512(a->to + i), even = _mm512_setzero_si512();
		for (int j = 0; j < n + (n & 1); j++) {
			__m256i pb = _mm256_setzero_si256(), db = pb;
			if (j < n) {
				__m512i at = _mm512_set1_epi32(pos + j);
				__mmask16 seen = _mm512_cmple_epi32_mask(from, at) & _mm512_cmplt_epi32_mask(at, to);
				size_t o = (size_t)j * ld + (size_t)i;
				__m512 e = _mm512_maskz_mov_ps(seen, exp2_512(_mm512_fmsub_ps(_mm512_loadu_ps(s + o), c, lse)));
				__m512 d = _mm512_mul_ps(_mm512_mul_ps(e, _mm512_sub_ps(_mm512_loadu_ps(dp + o), delta)), scale);
				pb = (__m256i)_mm512_cvtneps_pbh(e);
				db = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_mov_ps(seen, d));
				_mm256_storeu_si256((__m256i *)(p + o), pb);
				_mm256_storeu_si256((__m256i *)(ds + o), db);
			}
			if (j & 1)
				_mm512_storeu_si512(pairs + ((size_t)(j / 2) * ld + (size_t)i) * 2,
				                    _mm512_or_si512(even, _mm512_slli_epi32(_mm512_cvtepu16_epi32(db), 16)));
			else
				even = _mm512_cvtepu16_epi32(db);
		}
	}
}

void inoci_bf16_columns(float *const dst[16], const float *src, size_t ld, int n, bool add)
{
	for (int d = 0; d < n; d += VL) {
		__m512i r[16];
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_si512(src + (size_t)(d + i) * ld);
		transpose16(r);
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++)
			if (dst[i]) {
				__m512 v = (__m512)r[i];
				_mm512_storeu_ps(dst[i] + d, add ? _mm512_add_ps(_mm512_loadu_ps(dst[i] + d), v) : v);
			}
	}
}

int inoci_bf16_fill_columns(uint16_t *to, size_t ldw, const float *src, size_t ld, int columns, int k)
{
	int done = k % 32 ? 0 : columns / VL * VL;
	for (int c = 0; c < done; c += VL)
		for (int k0 = 0; k0 < k; k0 += 32) {
			__m512i r[16];
			const float *from = src + (size_t)c * ld + (size_t)k0;
#pragma GCC unroll 16
			for (int i = 0; i < 16; i++)
				r[i] = (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + (size_t)i * ld + VL),
				                                    _mm512_loadu_ps(from + (size_t)i * ld));
			transpose16(r);
#pragma GCC unroll 16
			for (int i = 0; i < 16; i++) _mm512_storeu_si512(to + ((size_t)(k0 / 2 + i) * ldw + (size_t)c) * 2, r[i]);
		}
	return done;
}

int inoci_bf16_fill_pairs(uint16_t *to, size_t ldw, const float *src, size_t ld, int columns, int k)
{
	int done = k % 2 ? 0 : columns / VL * VL;
	for (int j = 0; j < k; j += 2)
		for (int c = 0; c < done; c += VL) {
			const float *a = src + (size_t)j * ld + (size_t)c;
			__m512i even = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(a))),
			        odd = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(a + ld)));
			_mm512_storeu_si512(to + ((size_t)(j / 2) * ldw + (size_t)c) * 2,
			                    _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
		}
	return done;
}

/* ---- adapters' gradients: an element's sum runs over the tokens in order ---- */

enum { OUTER = 8 };

void inoci_bf16_turn(uint16_t *dst, size_t ldd, const float *src, size_t lds, int T, int n)
{
	const __m512i step = _mm512_mullo_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
	                                        _mm512_set1_epi32((int)lds));
	for (int t = 0; t < inoci_up(T, INOCI_TURNED); t += VL) {
		__mmask16 m = T - t >= VL ? 0xffff : t < T ? (__mmask16)((1u << (T - t)) - 1) : 0;
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
	const __m512i lo = pair_indices(0), hi = pair_indices(16);
	__m512 acc[OUTER][2];
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
		for (; i + OUTER <= r; i += OUTER)
			outer_tile(OUTER, g + (size_t)i * ldg + c, ldg, u + (size_t)i * ldu, ldu, x + c, ldx, scale, T, m);
		for (; i < r; i++) outer_tile(1, g + (size_t)i * ldg + c, ldg, u + (size_t)i * ldu, ldu, x + c, ldx, scale, T, m);
	}
}

void inoci_bf16_outer_amx(float *g, size_t ldg, const uint16_t *u, size_t ldu, const uint16_t *x, size_t ldx, float scale, int T,
                          int r, int n)
{
	enum { STEP = 32, RANKS = 48 }; /* their sums are six tiles; one more for u, one for x */
	_Alignas(64) uint16_t pairs[2][VL][2 * VL];
	_Alignas(64) float sums[VL][2 * VL];
	const __m512i lo = pair_indices(0), hi = pair_indices(16), zero = _mm512_setzero_si512();
	inoci_amx_start(VL);
	for (int c = 0; c < n; c += 2 * VL)
		for (int r0 = 0; r0 < r; r0 += RANKS) {
			const int groups = (r - r0 < RANKS ? r - r0 : RANKS) / VL;
			inoci_amx_zero();
			for (int t0 = 0; t0 < T; t0 += STEP) {
				const uint16_t *ut = u + (size_t)r0 * ldu + t0;
				for (int i = 0, t = t0; i < VL; i++, t += 2) {
					const uint16_t *xt = x + (size_t)t * ldx + (size_t)c;
					__m512i a = t < T ? _mm512_loadu_si512(xt) : zero,
					        b = t + 1 < T ? _mm512_loadu_si512(xt + ldx) : zero;
					_mm512_store_si512(pairs[0][i], _mm512_permutex2var_epi16(a, lo, b));
					_mm512_store_si512(pairs[1][i], _mm512_permutex2var_epi16(a, hi, b));
				}
				INOCI_AMX_SEES_MEMORY;
				_tile_loadd(7, pairs[0], 64);
				_tile_loadd(6, ut, ldu * 2);
				_tile_dpbf16ps(0, 6, 7);
				if (groups > 1) {
					_tile_loadd(6, ut + VL * ldu, ldu * 2);
					_tile_dpbf16ps(2, 6, 7);
				}
				if (groups > 2) {
					_tile_loadd(6, ut + 2 * VL * ldu, ldu * 2);
					_tile_dpbf16ps(4, 6, 7);
				}
				_tile_loadd(7, pairs[1], 64);
				if (groups > 2) {
					_tile_dpbf16ps(5, 6, 7);
					_tile_loadd(6, ut + VL * ldu, ldu * 2);
				}
				if (groups > 1) {
					_tile_dpbf16ps(3, 6, 7);
					_tile_loadd(6, ut, ldu * 2);
				}
				_tile_dpbf16ps(1, 6, 7);
			}
			for (int e = 0; e < groups; e++) {
				if (e == 0) {
					_tile_stored(0, sums[0], sizeof sums[0]);
					_tile_stored(1, sums[0] + VL, sizeof sums[0]);
				} else if (e == 1) {
					_tile_stored(2, sums[0], sizeof sums[0]);
					_tile_stored(3, sums[0] + VL, sizeof sums[0]);
				} else {
					_tile_stored(4, sums[0], sizeof sums[0]);
					_tile_stored(5, sums[0] + VL, sizeof sums[0]);
				}
				INOCI_AMX_SEES_MEMORY;
				for (int i = 0; i < VL; i++)
					for (int h = 0; h < 2; h++) {
						float *to = g + (size_t)(r0 + e * VL + i) * ldg + c + h * VL;
						__m512 v = _mm512_fmadd_ps(_mm512_load_ps(sums[i] + h * VL),
						                           _mm512_set1_ps(scale), _mm512_loadu_ps(to));
						_mm512_storeu_ps(to, v);
					}
			}
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
	__m512 d = _mm512_add_ps(exp2_normal(t), _mm512_set1_ps(1)), r = _mm512_rcp14_ps(d);
	return _mm512_mul_ps(r, _mm512_fnmadd_ps(d, r, _mm512_set1_ps(2))); /* one step of Newton's */
}

void inoci_bf16_swiglu(uint16_t *s, const uint16_t *gate, const uint16_t *up, int n)
{
	for (int i = 0; i < n; i += VL) {
		__mmask16 m = n - i < VL ? (__mmask16)((1u << (n - i)) - 1) : 0xffff;
		__m512 g = load_bf16(gate + i, m), u = load_bf16(up + i, m);
		_mm256_mask_storeu_epi16(s + i, m, (__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(_mm512_mul_ps(g, sigmoid(g)), u)));
	}
}

void inoci_bf16_swiglu_bwd(uint16_t *dgate, uint16_t *dup, uint16_t *s, const float *ds, const uint16_t *gate, const uint16_t *up,
                           int n)
{
	const __m512 one = _mm512_set1_ps(1);
	for (int i = 0; i < n; i += VL) {
		__mmask16 m = n - i < VL ? (__mmask16)((1u << (n - i)) - 1) : 0xffff;
		__m512 g = load_bf16(gate + i, m), u = load_bf16(up + i, m), d = _mm512_maskz_loadu_ps(m, ds + i),
		       sg = sigmoid(g);
		__m512 dsg = _mm512_mul_ps(d, sg);
		__m512 dg = _mm512_mul_ps(_mm512_mul_ps(dsg, u), _mm512_fmadd_ps(g, _mm512_sub_ps(one, sg), one));
		_mm256_mask_storeu_epi16(dup + i, m, (__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(dsg, g)));
		_mm256_mask_storeu_epi16(dgate + i, m, (__m256i)_mm512_cvtneps_pbh(dg));
		if (s) _mm256_mask_storeu_epi16(s + i, m, (__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(_mm512_mul_ps(g, sg), u)));
	}
}
