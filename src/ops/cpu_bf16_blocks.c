/* The product of cpu_bf16.c for weights that stay in a file's blocks (layout: cpu_blocks.c). A block's numbers, 4, 5 or 8 bits,
 * are integers that bf16 holds exactly: they are looked up in registers and multiplied by x in bf16, summed in f32; then come
 * scale and minimum: y = sum over blocks of d * (sum of number * x) + m * (sum of x). The weights are the file's own, with
 * nothing rounded: only x is bf16.
 *
 * Invariant: a block's sum runs over its inputs in order, the total over the blocks in order, whatever rows and columns are
 * computed beside it.
 */
#include <string.h>

#include "ops/cpu_bf16.h"

enum { B = INOCI_BLOCK };

/* 16 numbers of f16 */
INLINE __m512 half_floats(const uint16_t *p)
{
	return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

/* What 4 bits stand for, without and with a fifth; vpermw takes 5 bits of an index, so both halves of a table are equal. */
typedef struct {
	__m512i low, high;
} tables;

static tables tables_of(const inoci_block_panel *f)
{
	uint16_t low[32], high[32];
	for (int i = 0; i < 32; i++) {
		low[i] = inoci_f32_to_bf16((float)((i & 15) + f->low));
		high[i] = inoci_f32_to_bf16((float)((i & 15) + 16 + f->low));
	}
	return (tables){_mm512_loadu_si512(low), _mm512_loadu_si512(high)};
}

/* Pairs s of vector v as bf16. */
INLINE __m512bh numbers_of(const int bits, const char *v, const int s, const tables *t, const uint32_t *fifths)
{
	if (bits == 8) {
		const __m128i *b = (const __m128i *)(v + s * 32);
		return _mm512_cvtne2ps_pbh(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_load_si128(b + 1))),
		                           _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_load_si128(b))));
	}
	__m512i i = _mm512_load_si512(v);
	if (s) i = _mm512_srli_epi16(i, 4 * (unsigned)s);
	__m512i q = _mm512_permutexvar_epi16(i, t->low);
	if (bits == 5) q = _mm512_mask_permutexvar_epi16(q, fifths[s], i, t->high);
	return (__m512bh)q;
}

/* One tile: `rows` rows by nv strips, from strip `strip` of the panel's `strips`. */
INLINE void tile(const int bits, const int rows, const int nv, const inoci_product *p, int panel, int strips, int strip, int row,
                 const char *ahead, size_t ahead_bytes)
{
	const inoci_block_panel *f = &p->w->blocks[panel];
	const char *from = inoci_panel_at(p->w, panel), *numbers = from + f->numbers + strip * 64;
	const uint16_t *d = (const uint16_t *)from + strip * VL, *m = (const uint16_t *)(from + f->mins) + strip * VL;
	const uint32_t *fifths = (const uint32_t *)(from + f->fifths) + strip * 4;
	const size_t ldx = (size_t)p->ldx;
	const uint16_t *x = (const uint16_t *)p->x + (size_t)row * ldx;
	const int blocks = p->w->k / B, C = bits == 8 ? 8 : 4, width = strips * VL;
	const float *sums = f->has_min ? p->sums + (size_t)row * (size_t)blocks : NULL;
	const size_t step = (ahead_bytes / (size_t)blocks + 63) / 64 * 64;
	tables t = tables_of(f);
	__m512 total[BF16_ROWS][NV];
#pragma GCC unroll 8
	for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
		for (int e = 0; e < nv; e++) total[i][e] = _mm512_setzero_ps();
	for (int b = 0; b < blocks; b++, d += width, m += width, x += B) {
		__m512 acc[BF16_ROWS][NV];
#pragma GCC unroll 8
		for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
			for (int e = 0; e < nv; e++) acc[i][e] = _mm512_setzero_ps();
		for (size_t a = 0; a < step; a += 64) _mm_prefetch(ahead + a, _MM_HINT_T1);
		ahead += step;
#pragma GCC unroll 1
		for (int c = 0; c < C; c++, numbers += strips * 64, fifths += strips * 4) {
			const uint16_t *xc = x + c * (B / C);
#pragma GCC unroll 4
			for (int s = 0; s < B / 2 / C; s++) {
				__m512bh w[NV];
#pragma GCC unroll 4
				for (int e = 0; e < nv; e++) w[e] = numbers_of(bits, numbers + e * 64, s, &t, fifths + e * 4);
#pragma GCC unroll 8
				for (int i = 0; i < rows; i++) {
					int32_t pair;
					memcpy(&pair, xc + (size_t)i * ldx + s * 2, 4);
					__m512bh a = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 4
					for (int e = 0; e < nv; e++) acc[i][e] = _mm512_dpbf16_ps(acc[i][e], w[e], a);
				}
			}
		}
		if (f->has_min)
#pragma GCC unroll 4
			for (int e = 0; e < nv; e++) {
				__m512 scale = half_floats(d + e * VL), min = half_floats(m + e * VL);
#pragma GCC unroll 8
				for (int i = 0; i < rows; i++) {
					total[i][e] = _mm512_fmadd_ps(acc[i][e], scale, total[i][e]);
					total[i][e] = _mm512_fmadd_ps(_mm512_set1_ps(sums[i * blocks + b]), min, total[i][e]);
				}
			}
		else
#pragma GCC unroll 4
			for (int e = 0; e < nv; e++) {
				__m512 scale = half_floats(d + e * VL);
#pragma GCC unroll 8
				for (int i = 0; i < rows; i++) total[i][e] = _mm512_fmadd_ps(acc[i][e], scale, total[i][e]);
			}
	}
	inoci_bf16_finish(rows, nv, p, panel, strip, row, total);
}

#define TILES(bits, nv)                                                                                              \
	static void tiles_##bits##_##nv(int rows, const inoci_product *p, int panel, int strips, int strip, int row, \
	                                const char *ahead, size_t n)                                                 \
	{                                                                                                            \
		if (rows >= 8)                                                                                       \
			tile(bits, 8, nv, p, panel, strips, strip, row, ahead, n);                                   \
		else if (rows >= 4)                                                                                  \
			tile(bits, 4, nv, p, panel, strips, strip, row, ahead, n);                                   \
		else if (rows >= 2)                                                                                  \
			tile(bits, 2, nv, p, panel, strips, strip, row, ahead, n);                                   \
		else                                                                                                 \
			tile(bits, 1, nv, p, panel, strips, strip, row, ahead, n);                                   \
	}
TILES(4, 3)
TILES(4, 1)
TILES(5, 3)
TILES(5, 1)
TILES(8, 3)
TILES(8, 1)

void inoci_bf16_blocks(const inoci_product *p, int panel, int row0, int row1, int ahead_panel)
{
	static void (*const whole[])(int, const inoci_product *, int, int, int, int, const char *,
	                             size_t) = {[4] = tiles_4_3, [5] = tiles_5_3, [8] = tiles_8_3};
	static void (*const strip[])(int, const inoci_product *, int, int, int, int, const char *,
	                             size_t) = {[4] = tiles_4_1, [5] = tiles_5_1, [8] = tiles_8_1};
	int bits = p->w->blocks[panel].bits, strips = inoci_panel_width(p->w, panel) / VL;
	const inoci_panels *next = ahead_panel < p->w->count ? p->w : p->w->next;
	int to = next && next != p->w ? 0 : ahead_panel;
	const char *ahead = next ? inoci_panel_at(next, to) : NULL;
	size_t ahead_bytes = next ? inoci_panel_bytes(next, to) : 0;
	for (int row = row0, rows; row < row1; row += rows, ahead_bytes = 0) {
		rows = row1 - row >= 8 ? 8 : row1 - row >= 4 ? 4 : row1 - row >= 2 ? 2 : 1;
		if (strips == NV)
			whole[bits](rows, p, panel, strips, 0, row, ahead, ahead_bytes);
		else
			for (int e = 0; e < strips; e++, ahead_bytes = 0)
				strip[bits](rows, p, panel, strips, e, row, ahead, ahead_bytes);
	}
}

void inoci_bf16_block_sums(float *sums, const uint16_t *x, int k)
{
	const __m512bh ones = (__m512bh)_mm512_set1_epi16(0x3f80);
	for (int b = 0; b < k / B; b++) {
		__m512bh v = (__m512bh)_mm512_loadu_si512(x + b * B);
		sums[b] = _mm512_reduce_add_ps(_mm512_dpbf16_ps(_mm512_setzero_ps(), v, ones));
	}
}
