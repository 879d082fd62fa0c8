/* What the products on CPUs with AVX-512 BF16 share: the end of a tile. */
#ifndef INOCI_CPU_BF16_H
#define INOCI_CPU_BF16_H

#include <immintrin.h>

#include "ops/internal.h"
#include "tensor/tensor.h"

enum { VL = 16, NV = INOCI_PANEL / VL, BF16_ROWS = 8 };
#define INLINE static inline __attribute__((always_inline))

/* Sums of `rows` rows from `row` by nv * 16 columns from strip `strip` of a panel: times scale, plus u q, plus bias, to y. */
INLINE void inoci_bf16_finish(const int rows, const int nv, const inoci_product *p, int panel, int strip, int row,
                              __m512 acc[BF16_ROWS][NV])
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
				if (p->out == INOCI_OUT_ADD) v = _mm512_add_ps(_mm512_maskz_loadu_ps(m, y), v);
				_mm512_mask_storeu_ps(y, m, v);
			}
		}
	}
}

#endif
