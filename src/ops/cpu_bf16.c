/* The product y (m, n) = scale * x (m, k) W^T + bias + u (m, r) q on CPUs with AVX-512 BF16: x and W in bf16, sums in f32.
 *
 * W is packed once in panels of 48 columns, a panel being [k / 2][columns][2], so that one vdpbf16ps multiplies a pair of x by 16
 * columns; 8 rows by 48 columns of sums stay in registers. A panel stays in L2 while all rows go by.
 *
 * Invariant: a sum runs over k in order, then over r, in one register (long sums pause in memory, which rounds nothing): it
 * depends on nothing but its row and column. oneDNN's products at few rows reach 0.55 to 0.75 of what this reaches.
 */
#include <cpuid.h>
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ops/internal.h"
#include "tensor/tensor.h"

enum { VL = 16, NV = INOCI_PANEL / VL, MR = 8 };
#define K_BLOCK 2048 /* of sums that may pause: a panel's piece and 64 rows' pieces of x fit L2 */
#define INLINE static inline __attribute__((always_inline))

/* Sums of `rows` rows from `row` by nv * 16 columns from strip `strip` of a panel: times scale, plus u q, plus bias, to y. */
INLINE void finish(const int rows, const int nv, const inoci_product *p, int panel, int strip, int row, __m512 acc[MR][NV])
{
	const size_t ldy = (size_t)p->ldy;
	if (p->scale != 1)
#pragma GCC unroll 8
		for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
			for (int e = 0; e < nv; e++) acc[i][e] = _mm512_mul_ps(acc[i][e], _mm512_set1_ps(p->scale));
	if (p->side) {
		const inoci_side *s = p->side;
		const size_t width = (size_t)inoci_panel_width(p->w, panel);
		const float *q = s->q + s->at[panel] + strip * VL, *u = p->u + (size_t)row * (size_t)s->ranks + s->from[panel];
		for (int r = s->from[panel]; r < s->to[panel]; r++, q += width, u++) {
			__m512 b[NV];
#pragma GCC unroll 4
			for (int e = 0; e < nv; e++) b[e] = _mm512_load_ps(q + e * VL);
#pragma GCC unroll 8
			for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
				for (int e = 0; e < nv; e++)
					acc[i][e] =
					        _mm512_fmadd_ps(_mm512_set1_ps(u[(size_t)i * (size_t)s->ranks]), b[e], acc[i][e]);
		}
	}
#pragma GCC unroll 4
	for (int e = 0; e < nv; e++) {
		int col = panel * INOCI_PANEL + (strip + e) * VL, left = p->w->n - col;
		__mmask16 m = left >= VL ? 0xffff : left > 0 ? (__mmask16)((1u << left) - 1) : 0;
		__m512 bias = p->bias ? _mm512_maskz_loadu_ps(m, p->bias + col) : _mm512_setzero_ps();
#pragma GCC unroll 8
		for (int i = 0; i < rows; i++) {
			__m512 v = p->bias ? _mm512_add_ps(acc[i][e], bias) : acc[i][e];
			size_t at = (size_t)(row + i) * ldy + (size_t)col;
			if (p->out == INOCI_OUT_BF16)
				_mm256_mask_storeu_epi16((uint16_t *)p->y + at, m, (__m256i)_mm512_cvtneps_pbh(v));
			else {
				float *y = (float *)p->y + at;
				if (p->out == INOCI_OUT_ADD) v = _mm512_add_ps(_mm512_maskz_loadu_ps(m, p->add + at), v);
				_mm512_mask_storeu_ps(y, m, v);
			}
		}
	}
}

/* One tile: `rows` rows by nv * 16 columns, over k [k0, k1). */
INLINE void tile(const int rows, const int nv, const inoci_product *p, const uint16_t *w, int panel, int row, int k0, int k1,
                 const char *ahead)
{
	const uint16_t *x = (const uint16_t *)p->x + (size_t)row * (size_t)p->ldx;
	const size_t ldx = (size_t)p->ldx, ldy = (size_t)p->ldy;
	float *yf = (float *)p->y + (size_t)row * ldy + (size_t)panel * INOCI_PANEL;
	__m512 acc[MR][NV];
#pragma GCC unroll 8
	for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
		for (int e = 0; e < nv; e++)
			acc[i][e] = k0 ? _mm512_loadu_ps(yf + (size_t)i * ldy + e * VL) : _mm512_setzero_ps();
	w += (size_t)(k0 / 2) * (size_t)nv * VL * 2;
	for (int k = k0; k + 1 < k1; k += 2, w += nv * VL * 2, ahead += 64) {
		__m512bh b[NV];
		_mm_prefetch(ahead, _MM_HINT_T1);
#pragma GCC unroll 4
		for (int e = 0; e < nv; e++) b[e] = (__m512bh)_mm512_load_si512(w + e * VL * 2);
#pragma GCC unroll 8
		for (int i = 0; i < rows; i++) {
			int32_t pair;
			memcpy(&pair, x + (size_t)i * ldx + k, 4);
			__m512bh a = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 4
			for (int e = 0; e < nv; e++) acc[i][e] = _mm512_dpbf16_ps(acc[i][e], a, b[e]);
		}
	}
	if (k1 % 2)
#pragma GCC unroll 8
		for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
			for (int e = 0; e < nv; e++)
				acc[i][e] = _mm512_dpbf16_ps(acc[i][e],
				                             (__m512bh)_mm512_set1_epi32(x[(size_t)i * ldx + (size_t)k1 - 1]),
				                             (__m512bh)_mm512_load_si512(w + e * VL * 2));
	if (k1 < p->w->k) {
#pragma GCC unroll 8
		for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
			for (int e = 0; e < nv; e++) _mm512_storeu_ps(yf + (size_t)i * ldy + e * VL, acc[i][e]);
		return;
	}
	finish(rows, nv, p, panel, 0, row, acc);
}

#define TILES(nv)                                                                                                       \
	static void tiles_##nv(int rows, const inoci_product *p, const uint16_t *w, int panel, int row, int k0, int k1, \
	                       const char *ahead)                                                                       \
	{                                                                                                               \
		switch (rows) {                                                                                         \
		case 1:                                                                                                 \
			tile(1, nv, p, w, panel, row, k0, k1, ahead);                                                   \
			break;                                                                                          \
		case 2:                                                                                                 \
			tile(2, nv, p, w, panel, row, k0, k1, ahead);                                                   \
			break;                                                                                          \
		case 3:                                                                                                 \
			tile(3, nv, p, w, panel, row, k0, k1, ahead);                                                   \
			break;                                                                                          \
		case 4:                                                                                                 \
			tile(4, nv, p, w, panel, row, k0, k1, ahead);                                                   \
			break;                                                                                          \
		case 5:                                                                                                 \
			tile(5, nv, p, w, panel, row, k0, k1, ahead);                                                   \
			break;                                                                                          \
		case 6:                                                                                                 \
			tile(6, nv, p, w, panel, row, k0, k1, ahead);                                                   \
			break;                                                                                          \
		case 7:                                                                                                 \
			tile(7, nv, p, w, panel, row, k0, k1, ahead);                                                   \
			break;                                                                                          \
		default:                                                                                                \
			tile(MR, nv, p, w, panel, row, k0, k1, ahead);                                                  \
		}                                                                                                       \
	}
TILES(1)
TILES(2)
TILES(3)

void inoci_bf16_block(const inoci_product *p, int panel, int row0, int row1, int ahead_panel)
{
	const uint16_t *w = (const uint16_t *)inoci_panel_at(p->w, panel);
	int nv = inoci_panel_width(p->w, panel) / VL, K = p->w->k;
	/* only f32 sums of whole panels may pause in y */
	int step = p->out == INOCI_OUT_F32 && p->w->n % VL == 0 && K > K_BLOCK ? K_BLOCK : K;
	const inoci_panels *next = ahead_panel < p->w->count ? p->w : p->w->next;
	const char *ahead0 = !next ? NULL : inoci_panel_at(next, ahead_panel < p->w->count ? ahead_panel : 0);
	for (int k0 = 0; k0 < K; k0 += step) {
		int k1 = K - k0 < step ? K : k0 + step, piece = 0;
		for (int row = row0; row < row1; row += MR, piece++) {
			int rows = row1 - row < MR ? row1 - row : MR;
			/* the first nv tiles fetch a third of the panel each; later ones what they read themselves */
			const char *ahead = ahead0 && piece < nv
			                            ? ahead0 + ((size_t)piece * (size_t)(K / 2) + (size_t)(k0 / 2)) * 64
			                            : (const char *)w + (size_t)(k0 / 2) * 64;
			if (nv == 3)
				tiles_3(rows, p, w, panel, row, k0, k1, ahead);
			else if (nv == 2)
				tiles_2(rows, p, w, panel, row, k0, k1, ahead);
			else
				tiles_1(rows, p, w, panel, row, k0, k1, ahead);
		}
	}
}

bool inoci_bf16_native(void)
{
	return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
}

/* ---- the same on AMX tiles ----
 *
 * A panel's rows of pairs are a tile's rows as they stand. 32 rows by 48 columns of sums are six tiles; one more for x, one for
 * the weights. Sums are stored, then finished as above.
 *
 * Invariant: a step adds to a sum 16 even and 16 odd products, each in order, then both; steps run over k in order. So again it
 * depends on nothing but its row and column.
 */
enum { STEP = 32, GROUP = 16 }; /* inputs and rows of a tile */

typedef struct {
	uint8_t palette, start_row, zero[14];
	uint16_t row_bytes[16];
	uint8_t rows[16];
} tile_config;

#define CONFIG(r)                                                                                                   \
	{                                                                                                           \
		.palette = 1, .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = { r, r, r, r, r, r, r, GROUP } \
	}

static _Thread_local int tile_rows; /* 0: no tiles */

void inoci_amx_start(int rows)
{
	_Alignas(64) static const tile_config by_rows[GROUP + 1] = {
	        CONFIG(0), CONFIG(1),  CONFIG(2),  CONFIG(3),  CONFIG(4),  CONFIG(5),  CONFIG(6),  CONFIG(7), CONFIG(8),
	        CONFIG(9), CONFIG(10), CONFIG(11), CONFIG(12), CONFIG(13), CONFIG(14), CONFIG(15), CONFIG(16)};
	if (rows == tile_rows) return;
	_tile_loadconfig(&by_rows[tile_rows = rows]);
}

void inoci_amx_end(void)
{
	if (tile_rows) _tile_release();
	tile_rows = 0;
}

/* Tiles 0-2 and (two) 3-5: sums of the rows from x0, from x1; `lines` cache lines are fetched ahead with each step. */
INLINE void amx_steps(const int nv, const bool two, const uint16_t *x0, const uint16_t *x1, size_t x_bytes, const uint16_t *w,
                      size_t ldw, int steps, const char *ahead, int lines)
{
	const size_t w_bytes = ldw * 4;
	for (int s = 0; s < steps; s++, x0 += STEP, x1 += STEP, w += GROUP * ldw * 2) {
		for (int i = 0; i < lines; i++, ahead += 64) _mm_prefetch(ahead, _MM_HINT_T1);
		_tile_loadd(6, x0, x_bytes);
		_tile_loadd(7, w, w_bytes);
		_tile_dpbf16ps(0, 6, 7);
		if (nv > 1) {
			_tile_loadd(7, w + 2 * VL, w_bytes);
			_tile_dpbf16ps(1, 6, 7);
		}
		if (nv > 2) {
			_tile_loadd(7, w + 4 * VL, w_bytes);
			_tile_dpbf16ps(2, 6, 7);
		}
		if (!two) continue;
		_tile_loadd(6, x1, x_bytes);
		if (nv > 2) {
			_tile_dpbf16ps(5, 6, 7);
			_tile_loadd(7, w + 2 * VL, w_bytes);
		}
		if (nv > 1) {
			_tile_dpbf16ps(4, 6, 7);
			_tile_loadd(7, w, w_bytes);
		}
		_tile_dpbf16ps(3, 6, 7);
	}
}

void inoci_amx_zero(void)
{
	_tile_zero(0);
	_tile_zero(1);
	_tile_zero(2);
	_tile_zero(3);
	_tile_zero(4);
	_tile_zero(5);
}

INLINE void amx_sums(const int nv, const bool two, bool load, float *y0, float *y1, size_t bytes)
{
	if (load) {
		_tile_loadd(0, y0, bytes);
		if (nv > 1) _tile_loadd(1, y0 + VL, bytes);
		if (nv > 2) _tile_loadd(2, y0 + 2 * VL, bytes);
		if (two) _tile_loadd(3, y1, bytes);
		if (two && nv > 1) _tile_loadd(4, y1 + VL, bytes);
		if (two && nv > 2) _tile_loadd(5, y1 + 2 * VL, bytes);
		return;
	}
	_tile_stored(0, y0, bytes);
	if (nv > 1) _tile_stored(1, y0 + VL, bytes);
	if (nv > 2) _tile_stored(2, y0 + 2 * VL, bytes);
	if (two) _tile_stored(3, y1, bytes);
	if (two && nv > 1) _tile_stored(4, y1 + VL, bytes);
	if (two && nv > 2) _tile_stored(5, y1 + 2 * VL, bytes);
}

INLINE void finish_from(const int rows, const int nv, const inoci_product *p, int panel, int row, const float *sums)
{
	__m512 acc[MR][NV];
#pragma GCC unroll 8
	for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
		for (int e = 0; e < nv; e++) acc[i][e] = _mm512_load_ps(sums + i * INOCI_PANEL + e * VL);
	finish(rows, nv, p, panel, 0, row, acc);
}

/* Rows [row, row + rows), at most 32: the second tile's begin so late that both have the same number, an odd one's middle row
 * is computed twice. */
INLINE void amx_tile(const int nv, const bool two, int rows, const inoci_product *p, const uint16_t *w, int panel, int row,
                     int k0, int k1, const char *ahead, int lines)
{
	_Alignas(64) float sums[2 * GROUP * INOCI_PANEL];
	const size_t ldx = (size_t)p->ldx, ldy = (size_t)p->ldy;
	const int late = two ? rows / 2 : 0;
	const bool plain = p->out == INOCI_OUT_F32 && p->w->n % VL == 0 && p->scale == 1 && !p->side && !p->bias;
	const uint16_t *x = (const uint16_t *)p->x + (size_t)row * ldx + (size_t)k0;
	float *y = (float *)p->y + (size_t)row * ldy + (size_t)panel * INOCI_PANEL;
	INOCI_AMX_SEES_MEMORY;
	if (k0)
		amx_sums(nv, two, true, y, y + (size_t)late * ldy, ldy * 4);
	else
		inoci_amx_zero();
	amx_steps(nv, two, x, x + (size_t)late * ldx, ldx * 2, w + (size_t)(k0 / 2) * (size_t)nv * VL * 2, (size_t)nv * VL,
	          (k1 - k0) / STEP, ahead, lines);
	if (k1 < p->w->k || plain) {
		amx_sums(nv, two, false, y, y + (size_t)late * ldy, ldy * 4);
		return;
	}
	amx_sums(nv, two, false, sums, sums + late * INOCI_PANEL, INOCI_PANEL * 4);
	INOCI_AMX_SEES_MEMORY;
	for (int i = 0, n; i < rows; i += n) {
		const float *s = sums + i * INOCI_PANEL;
		n = rows - i >= 8 ? 8 : rows - i >= 4 ? 4 : rows - i >= 2 ? 2 : 1;
		if (n == 8)
			finish_from(8, nv, p, panel, row + i, s);
		else if (n == 4)
			finish_from(4, nv, p, panel, row + i, s);
		else if (n == 2)
			finish_from(2, nv, p, panel, row + i, s);
		else
			finish_from(1, nv, p, panel, row + i, s);
	}
}

#define AMX_TILES(nv)                                                                                                       \
	static void amx_tiles_##nv(int rows, const inoci_product *p, const uint16_t *w, int panel, int row, int k0, int k1, \
	                           const char *ahead, int lines)                                                            \
	{                                                                                                                   \
		if (rows > GROUP)                                                                                           \
			amx_tile(nv, true, rows, p, w, panel, row, k0, k1, ahead, lines);                                   \
		else                                                                                                        \
			amx_tile(nv, false, rows, p, w, panel, row, k0, k1, ahead, lines);                                  \
	}
AMX_TILES(1)
AMX_TILES(2)
AMX_TILES(3)

void inoci_bf16_block_amx(const inoci_product *p, int panel, int row0, int row1, int ahead_panel, inoci_part part)
{
	static void (*const by_width[])(int, const inoci_product *, const uint16_t *, int, int, int, int, const char *,
	                                int) = {NULL, amx_tiles_1, amx_tiles_2, amx_tiles_3};
	const uint16_t *w = (const uint16_t *)inoci_panel_at(p->w, panel);
	int nv = inoci_panel_width(p->w, panel) / VL, K = p->w->k, pieces = (row1 - row0 + 2 * GROUP - 1) / (2 * GROUP);
	int step = p->out == INOCI_OUT_F32 && p->w->n % VL == 0 && K > K_BLOCK ? K_BLOCK : K;
	const inoci_panels *next = ahead_panel < p->w->count ? p->w : p->w->next;
	int to = ahead_panel - (next == p->w ? 0 : p->w->count);
	const char *ahead = next && to < next->count ? inoci_panel_at(next, to) : NULL;
	/* rows that are gone through once are bound by memory as it is: fetching ahead would only be in the way */
	size_t bytes = ahead && pieces * part.of > 1 ? inoci_pad(inoci_panel_bytes(next, to) / (size_t)part.of) : 0;
	int steps = pieces * (K / STEP), lines = (int)((bytes / 64 + (size_t)steps - 1) / (size_t)steps); /* with each step */
	ahead += bytes * (size_t)part.i;
	for (int k0 = 0; k0 < K; k0 += step) {
		int k1 = K - k0 < step ? K : k0 + step;
		for (int row = row0; row < row1; row += 2 * GROUP) {
			int rows = row1 - row < 2 * GROUP ? row1 - row : 2 * GROUP, each = rows > GROUP ? (rows + 1) / 2 : rows;
			inoci_amx_start(each);
			by_width[nv](rows, p, w, panel, row, k0, k1, ahead, lines);
			ahead += (size_t)lines * 64 * (size_t)((k1 - k0) / STEP);
		}
	}
}

INLINE void amx_mm(const int nv, const bool two, int rows, const uint16_t *x, size_t ldx, const uint16_t *w, size_t ldw, int k,
                   float *y, size_t ldy, bool add)
{
	const size_t late = two ? (size_t)rows / 2 : 0;
	if (add)
		amx_sums(nv, two, true, y, y + late * ldy, ldy * 4);
	else
		inoci_amx_zero();
	amx_steps(nv, two, x, x + late * ldx, ldx * 2, w, ldw, k / STEP, NULL, 0);
	amx_sums(nv, two, false, y, y + late * ldy, ldy * 4);
}

void inoci_bf16_mm_amx(const uint16_t *x, size_t ldx, int m, const uint16_t *w, size_t ldw, int n, int k, float *y, size_t ldy,
                       bool add)
{
	INOCI_AMX_SEES_MEMORY;
	for (int row = 0; row < m; row += 2 * GROUP, x += 2 * GROUP * ldx, y += 2 * GROUP * ldy) {
		int rows = m - row < 2 * GROUP ? m - row : 2 * GROUP, each = rows > GROUP ? (rows + 1) / 2 : rows;
		inoci_amx_start(each);
		for (int c = 0, nv; c < n; c += nv * VL) {
			int left = (n - c) / VL;
			nv = left == 4 || left == 2 ? 2 : left >= 3 ? 3 : 1;
			if (rows > GROUP && nv == 3)
				amx_mm(3, true, rows, x, ldx, w + 2 * c, ldw, k, y + c, ldy, add);
			else if (rows > GROUP && nv == 2)
				amx_mm(2, true, rows, x, ldx, w + 2 * c, ldw, k, y + c, ldy, add);
			else if (rows > GROUP)
				amx_mm(1, true, rows, x, ldx, w + 2 * c, ldw, k, y + c, ldy, add);
			else if (nv == 3)
				amx_mm(3, false, rows, x, ldx, w + 2 * c, ldw, k, y + c, ldy, add);
			else if (nv == 2)
				amx_mm(2, false, rows, x, ldx, w + 2 * c, ldw, k, y + c, ldy, add);
			else
				amx_mm(1, false, rows, x, ldx, w + 2 * c, ldw, k, y + c, ldy, add);
		}
	}
	INOCI_AMX_SEES_MEMORY;
}

bool inoci_bf16_amx(void)
{
	enum { TILE = 24, BF16 = 22, PERMIT = 0x1023, TILE_DATA = 18 }; /* the kernel gives tiles to those who ask */
	unsigned a, b, c, d;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> TILE & 1) && (d >> BF16 & 1) &&
	       !syscall(SYS_arch_prctl, PERMIT, TILE_DATA);
}

/* ---- weights in blocks ----
 *
 * The same for weights that stay in a file's blocks (layout: cpu_blocks.c). A block's numbers, 4, 5 or 8 bits, are integers that
 * bf16 holds exactly: they are looked up in registers and multiplied by x in bf16, summed in f32; then come scale and minimum: y
 * = sum over blocks of d * (sum of number * x) + m * (sum of x). The weights are the file's own, with nothing rounded: only x is
 * bf16.
 *
 * Invariant: a block's sum runs over its inputs in order, the total over the blocks in order, whatever rows and columns are
 * computed beside it.
 */
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
INLINE void block_tile(const int bits, const int rows, const int nv, const inoci_product *p, int panel, int strips, int strip,
                       int row, const char *ahead, size_t ahead_bytes)
{
	const inoci_block_panel *f = &p->w->blocks[panel];
	const char *from = inoci_panel_at(p->w, panel), *numbers = from + f->numbers + strip * 64;
	const uint16_t *d = (const uint16_t *)from + strip * VL, *m = (const uint16_t *)(from + f->mins) + strip * VL;
	const uint32_t *fifths = (const uint32_t *)(from + f->fifths) + strip * 4;
	const size_t ldx = (size_t)p->ldx;
	const uint16_t *x = (const uint16_t *)p->x + (size_t)row * ldx;
	const int blocks = p->w->k / B, C = bits == 8 ? 8 : 4, width = strips * VL;
	const float *sums = f->has_min ? p->sums + (size_t)row * (size_t)blocks : NULL;
	const size_t step = inoci_pad(ahead_bytes / (size_t)blocks);
	tables t = tables_of(f);
	__m512 total[MR][NV];
#pragma GCC unroll 8
	for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
		for (int e = 0; e < nv; e++) total[i][e] = _mm512_setzero_ps();
	for (int b = 0; b < blocks; b++, d += width, m += width, x += B) {
		__m512 acc[MR][NV];
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
	finish(rows, nv, p, panel, strip, row, total);
}

#define BLOCK_TILES(bits, nv)                                                                                        \
	static void tiles_##bits##_##nv(int rows, const inoci_product *p, int panel, int strips, int strip, int row, \
	                                const char *ahead, size_t n)                                                 \
	{                                                                                                            \
		if (rows >= 8)                                                                                       \
			block_tile(bits, 8, nv, p, panel, strips, strip, row, ahead, n);                             \
		else if (rows >= 4)                                                                                  \
			block_tile(bits, 4, nv, p, panel, strips, strip, row, ahead, n);                             \
		else if (rows >= 2)                                                                                  \
			block_tile(bits, 2, nv, p, panel, strips, strip, row, ahead, n);                             \
		else                                                                                                 \
			block_tile(bits, 1, nv, p, panel, strips, strip, row, ahead, n);                             \
	}
BLOCK_TILES(4, 3)
BLOCK_TILES(4, 1)
BLOCK_TILES(5, 3)
BLOCK_TILES(5, 1)
BLOCK_TILES(8, 3)
BLOCK_TILES(8, 1)

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
