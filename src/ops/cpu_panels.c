/* A frozen matrix (N outputs, K inputs) in panels of 48 outputs: bf16 as [K / 2][outputs][2], f32 as [K][outputs]. The last panel
 * is as wide as its outputs rounded up to 16, the rest zero; so is the second of an odd last pair. (Panels of blocks:
 * cpu_blocks.c.)
 */
#include <stdlib.h>

#include "ops/internal.h"
#include "tensor/tensor.h"

int inoci_panel_width(const inoci_panels *w, int panel)
{
	int left = w->n - panel * INOCI_PANEL;
	return left >= INOCI_PANEL ? INOCI_PANEL : inoci_up(left, 16);
}

static size_t column_bytes(const inoci_panels *w)
{
	return (size_t)(w->bf ? (w->k + 1) / 2 : w->k) * 4;
}

char *inoci_panel_at(const inoci_panels *w, int panel)
{
	return w->data + (w->blocks ? w->blocks[panel].at : (size_t)panel * INOCI_PANEL * column_bytes(w));
}

size_t inoci_panel_bytes(const inoci_panels *w, int panel)
{
	return w->blocks ? w->blocks[panel].bytes : (size_t)inoci_panel_width(w, panel) * column_bytes(w);
}

size_t inoci_panels_bytes(int n, int k, bool bf)
{
	return (size_t)inoci_up(n, 16) * column_bytes(&(inoci_panels){.k = k, .bf = bf});
}

inoci_panels *inoci_panels_at(int n, int k, bool bf, const void *data)
{
	inoci_panels *w = inoci_alloc(sizeof *w);
	*w = (inoci_panels){.n = n, .k = k, .count = (n + INOCI_PANEL - 1) / INOCI_PANEL, .bf = bf, .lent = data != NULL};
	w->data = (char *)(uintptr_t)data;
	return w;
}

int inoci_panels_new(int n, int k, bool bf, inoci_panels **out, inoc_err *err)
{
	inoci_panels *w = inoci_panels_at(n, k, bf, NULL);
	w->data = inoci_big_alloc(inoci_panels_bytes(n, k, bf), "packed weights", err);
	*out = w->data ? w : NULL;
	if (w->data) return 0;
	free(w);
	return INOC_E_MEMORY;
}

void inoci_panels_link(inoci_panels *a, inoci_panels *b)
{
	if (a) a->next = b;
	if (b) b->prev = a;
}

void inoci_panels_free(inoci_panels *w)
{
	if (!w) return;
	inoci_panels_link(w->prev, w->next);
	free(w->blocks);
	if (!w->lent) free(w->data);
	free(w);
}

/* `columns` consecutive outputs of one panel, from output `first` of it, one input after the other: the panel is written in
 * order. */
static inline void fill_bf16(uint16_t *to, int width, const float *src, int columns, int k_end, size_t by_column, size_t by_k)
{
	for (int k = 0; k < k_end; k++, src += by_k) {
		uint16_t *t = to + (size_t)(k / 2) * (size_t)width * 2 + k % 2;
		for (int j = 0; j < columns; j++) t[2 * j] = inoci_f32_to_bf16(src[(size_t)j * by_column]);
	}
}

static inline void fill_f32(float *to, int width, const float *src, int columns, int k_end, size_t by_column, size_t by_k)
{
	for (int k = 0; k < k_end; k++, src += by_k, to += width)
		for (int j = 0; j < columns; j++) to[j] = src[(size_t)j * by_column];
}

void inoci_panels_fill(inoci_panels *w, const float *src, int n0, int n, int ld, bool transposed)
{
	size_t by_column = transposed ? 1 : (size_t)ld, by_k = transposed ? (size_t)ld : 1;
	for (int j = n0, end; j < n0 + n; j = end) {
		int panel = j / INOCI_PANEL, width = inoci_panel_width(w, panel), first = j % INOCI_PANEL;
		const float *from = src + (size_t)(j - n0) * by_column;
		end = (panel + 1) * INOCI_PANEL < n0 + n ? (panel + 1) * INOCI_PANEL : n0 + n;
		if (!w->bf) {
			fill_f32((float *)inoci_panel_at(w, panel) + first, width, from, end - j, w->k, by_column, by_k);
			continue;
		}
		uint16_t *to = (uint16_t *)inoci_panel_at(w, panel) + 2 * first;
		int done = 0;
		if (inoci_bf16_native())
			done = (transposed ? inoci_bf16_fill_pairs : inoci_bf16_fill_columns)(to, (size_t)width, from, (size_t)ld,
			                                                                      end - j, w->k);
		from += (size_t)done * by_column;
		if (transposed)
			fill_bf16(to + 2 * done, width, from, end - j - done, w->k, 1, by_k);
		else
			fill_bf16(to + 2 * done, width, from, end - j - done, w->k, by_column, 1);
	}
}

void inoci_panel_expand(const inoci_panels *w, int panel, float *dst)
{
	size_t width = (size_t)inoci_panel_width(w, panel);
	const uint16_t *from = (const uint16_t *)inoci_panel_at(w, panel);
	if (w->blocks) {
		inoci_blocks_expand(w, panel, dst);
		return;
	}
	for (int k = 0; k < w->k; k++)
		for (size_t j = 0; j < width; j++)
			dst[(size_t)k * width + j] = inoci_bf16_to_f32(from[((size_t)(k / 2) * width + j) * 2 + (size_t)(k % 2)]);
}

void inoci_panels_fill_all(inoci_panels *w, const float *src, bool transposed)
{
#pragma omp parallel for schedule(dynamic)
	for (int i = 0; i < w->count; i++) {
		int n0 = i * INOCI_PANEL, n = w->n - n0 < INOCI_PANEL ? w->n - n0 : INOCI_PANEL;
		inoci_panels_fill(w, src + (size_t)n0 * (transposed ? 1 : (size_t)w->k), n0, n, transposed ? w->n : w->k,
		                  transposed);
	}
}
