/* Attention over gathered keys on CPUs with AVX-512 BF16. Forward: one query row, the heads that share a key/value head together,
 * so that a key's row is loaded once for all of them. Backward: a block of queries of one segment and key/value head at a time,
 * over blocks of keys, recomputing the probabilities from the log-sum-exps.
 *
 * Invariant: a score is one dot product, and the weighted sum runs over the keys in order: nothing depends on how keys are
 * gathered into vectors.
 */
#include <immintrin.h>
#include <math.h>
#include <string.h>

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

/* The same for any D of 64, 128, 192, 256. */
static void scores_of(const uint16_t *q, const uint16_t *k, const uint16_t *v, int ldkv, const int32_t *rows, int n, int D,
                      float scale, float *s)
{
	if (D == 64)
		scores(q, k, v, ldkv, rows, n, 64, scale, s);
	else if (D == 128)
		scores(q, k, v, ldkv, rows, n, 128, scale, s);
	else if (D == 192)
		scores(q, k, v, ldkv, rows, n, 192, scale, s);
	else
		scores(q, k, v, ldkv, rows, n, 256, scale, s);
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
			scores_of(qh, k, h0 + h ? NULL : v, ldkv, rows, n, D, scale, s + h * lds);
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

/* ---- backward ---- */

enum { Q_BLOCK = INOCI_ATTN_QUERIES, K_BLOCK = 256, ROWS = Q_BLOCK * INOCI_ATTN_HEADS };

/* A block of query rows (query, head), and what is kept of it for a block of keys. */
typedef struct {
	int n;                   /* rows */
	const uint16_t *q[ROWS]; /* (D) each */
	float delta[ROWS], lse[ROWS], *dq[ROWS];
	int from[ROWS], to[ROWS];               /* keys it sees */
	_Alignas(64) uint16_t dout[ROWS * 256]; /* (rows, D) */
	_Alignas(64) float qf[ROWS * 256], df[ROWS * 256];
	_Alignas(64) float p[ROWS * K_BLOCK], ds[ROWS * K_BLOCK]; /* probabilities, gradients of scaled scores */
	float *dk[K_BLOCK], *dv[K_BLOCK];
} block;

size_t inoci_bf16_attn_bwd_bytes(void)
{
	return sizeof(block);
}

INLINE __m512 load_bf16(const uint16_t *p)
{
	return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}

/* P and dS of rows for keys [k0, k0 + n), zero where a key is not seen. */
static void probabilities(block *b, const inoci_simd *simd, const uint16_t *k, const uint16_t *v, int ld, const int32_t *rows,
                          int k0, int n, int D, float scale)
{
	for (int r = 0; r < b->n; r++) {
		float *p = b->p + r * K_BLOCK, *ds = b->ds + r * K_BLOCK;
		int from = b->from[r] > k0 ? b->from[r] - k0 : 0, to = b->to[r] - k0 < n ? b->to[r] - k0 : n;
		_Alignas(64) float s[K_BLOCK], dp[K_BLOCK];
		memset(p, 0, (size_t)n * sizeof *p);
		memset(ds, 0, (size_t)n * sizeof *ds);
		if (from >= to) continue;
		const int32_t *seen = rows + k0 + from;
		scores_of(b->q[r], k, NULL, ld, seen, to - from, D, scale, s);
		scores_of(b->dout + r * D, v, NULL, ld, seen, to - from, D, 1, dp);
		simd->probability_grad(p + from, ds + from, s, dp, to - from, b->lse[r], b->delta[r], scale);
	}
}

/* dq += dS K, four rows at a time. */
INLINE void query_grads(block *b, const uint16_t *k, int ld, const int32_t *rows, int n, int r0, const int m, int d0)
{
	__m512 acc[4][4];
#pragma GCC unroll 4
	for (int r = 0; r < m; r++)
#pragma GCC unroll 4
		for (int e = 0; e < 4; e++) acc[r][e] = _mm512_loadu_ps(b->dq[r0 + r] + d0 + e * VL);
	for (int j = 0; j < n; j++) {
		const uint16_t *row = k + (size_t)rows[j] * (size_t)ld + d0;
		__m512 x[4];
#pragma GCC unroll 4
		for (int e = 0; e < 4; e++) x[e] = load_bf16(row + e * VL);
#pragma GCC unroll 4
		for (int r = 0; r < m; r++) {
			__m512 w = _mm512_set1_ps(b->ds[(r0 + r) * K_BLOCK + j]);
#pragma GCC unroll 4
			for (int e = 0; e < 4; e++) acc[r][e] = _mm512_fmadd_ps(w, x[e], acc[r][e]);
		}
	}
#pragma GCC unroll 4
	for (int r = 0; r < m; r++)
#pragma GCC unroll 4
		for (int e = 0; e < 4; e++) _mm512_storeu_ps(b->dq[r0 + r] + d0 + e * VL, acc[r][e]);
}

/* dst[j] += sum over rows of w[row][j] * x[row], for m <= 4 keys at a time. */
INLINE void key_grads(const block *b, const float *w, const float *x, float *const *dst, int D, const int m, int d0)
{
	__m512 acc[4][4];
#pragma GCC unroll 4
	for (int j = 0; j < m; j++)
#pragma GCC unroll 4
		for (int e = 0; e < 4; e++) acc[j][e] = _mm512_loadu_ps(dst[j] + d0 + e * VL);
	for (int r = 0; r < b->n; r++) {
		__m512 v[4];
#pragma GCC unroll 4
		for (int e = 0; e < 4; e++) v[e] = _mm512_load_ps(x + r * D + d0 + e * VL);
#pragma GCC unroll 4
		for (int j = 0; j < m; j++) {
			__m512 a = _mm512_set1_ps(w[r * K_BLOCK + j]);
#pragma GCC unroll 4
			for (int e = 0; e < 4; e++) acc[j][e] = _mm512_fmadd_ps(a, v[e], acc[j][e]);
		}
	}
#pragma GCC unroll 4
	for (int j = 0; j < m; j++)
#pragma GCC unroll 4
		for (int e = 0; e < 4; e++) _mm512_storeu_ps(dst[j] + d0 + e * VL, acc[j][e]);
}

static void keys_of(const block *b, const float *w, const float *x, float *const *dst, int n, int D)
{
	for (int d = 0; d < D; d += 64)
		for (int j = 0; j < n; j += 4) switch (n - j) {
			case 1:
				key_grads(b, w + j, x, dst + j, D, 1, d);
				break;
			case 2:
				key_grads(b, w + j, x, dst + j, D, 2, d);
				break;
			case 3:
				key_grads(b, w + j, x, dst + j, D, 3, d);
				break;
			default:
				key_grads(b, w + j, x, dst + j, D, 4, d);
			}
}

void inoci_bf16_attn_bwd(const inoci_simd *simd, const inoci_attn_bwd *a, const inoci_seg *g, int i0, void *scratch)
{
	block *b = scratch;
	int D = a->D, heads = a->heads, n = g->len - i0 < Q_BLOCK ? g->len - i0 : Q_BLOCK;
	for (int h0 = 0; h0 < heads; h0 += INOCI_ATTN_HEADS) {
		int m = heads - h0 < INOCI_ATTN_HEADS ? heads - h0 : INOCI_ATTN_HEADS, first = g->pos0 + i0, last = first + n;
		b->n = n * m;
		for (int i = 0, r = 0; i < n; i++) {
			size_t t = (size_t)(g->start + i0 + i);
			for (int h = h0; h < h0 + m; h++, r++) {
				size_t at = t * (size_t)a->ldo + (size_t)(h * D);
				__m512 delta = _mm512_setzero_ps();
				b->q[r] = a->q + t * (size_t)a->ld + h * D;
				b->dq[r] = a->dq + t * (size_t)a->ld + h * D;
				b->lse[r] = a->lse[t * (size_t)a->ld_lse + (size_t)h];
				for (int d = 0; d < D; d += VL) {
					__m512 v = _mm512_loadu_ps(a->dout + at + d);
					delta = _mm512_fmadd_ps(v, load_bf16(a->out + at + d), delta);
					_mm512_store_ps(b->df + r * D + d, v);
					_mm256_storeu_si256((__m256i *)(b->dout + r * D + d), (__m256i)_mm512_cvtneps_pbh(v));
					_mm512_store_ps(b->qf + r * D + d, load_bf16(b->q[r] + d));
				}
				b->delta[r] = _mm512_reduce_add_ps(delta);
				b->to[r] = first + i + 1;
				b->from[r] = a->window && b->to[r] > a->window ? b->to[r] - a->window : 0;
			}
		}
		for (int k0 = b->from[0]; k0 < last; k0 += K_BLOCK) {
			int nk = last - k0 < K_BLOCK ? last - k0 : K_BLOCK;
			probabilities(b, simd, a->k, a->v, a->ld, g->key_rows, k0, nk, D, a->scale);
			for (int j = 0; j < nk; j++) {
				int pos = k0 + j;
				bool own = pos >= g->pos0;
				size_t row = own ? (size_t)g->key_rows[pos] * (size_t)a->ld : (size_t)pos * (size_t)a->ld_above;
				b->dk[j] = (own ? a->dk : a->above) + row;
				b->dv[j] = (own ? a->dv : a->above + D) + row;
			}
			for (int d = 0; d < D; d += 64)
				for (int r = 0; r < b->n; r += 4) switch (b->n - r) {
					case 1:
						query_grads(b, a->k, a->ld, g->key_rows + k0, nk, r, 1, d);
						break;
					case 2:
						query_grads(b, a->k, a->ld, g->key_rows + k0, nk, r, 2, d);
						break;
					case 3:
						query_grads(b, a->k, a->ld, g->key_rows + k0, nk, r, 3, d);
						break;
					default:
						query_grads(b, a->k, a->ld, g->key_rows + k0, nk, r, 4, d);
					}
			keys_of(b, b->ds, b->qf, b->dk, nk, D);
			keys_of(b, b->p, b->df, b->dv, nk, D);
		}
	}
}
