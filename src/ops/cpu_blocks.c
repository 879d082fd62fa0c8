/* Panels that keep a file's blocks of 32 inputs (Q4_0 Q4_1 Q5_0 Q5_1 Q8_0): the same numbers, scales and minima, laid out so that
 * one vector lane is one output.
 *
 * A panel of S strips of 16 outputs and B blocks along its inputs holds, each at a multiple of 64 bytes:
 *   scales  [B][16 S] f16
 *   minima  [B][16 S] f16, where it has any
 *   fifths  [B][4][S][4] words of 32 bits, of 5-bit numbers: the fifth bits of what a plane of `numbers` holds
 *   numbers [B][C][S] vectors of 64 bytes, 16 outputs each: C = 4 of 8 inputs, or, of 8-bit numbers, 8 of 4
 * Of 4 bits, lane j of 32 bits is output j; bits 4 p to 4 p + 3 of its halves are the inputs 8 c + 2 p and 8 c + 2 p + 1 of the
 * block: one vpermw makes a plane p the bf16 pairs that vdpbf16ps multiplies. Of 8 bits, byte 32 p + 2 j + h is input
 * 4 c + 2 p + h of output j.
 *
 * Where the rows of one panel come from parts of different formats it holds 8-bit numbers with minima, which represent all of
 * them.
 */
#include <stdlib.h>
#include <string.h>

#include "ops/internal.h"
#include "tensor/tensor.h"

enum { B = INOCI_BLOCK };

/* Part of row n, which becomes the row within the part. */
static const inoci_block_rows *part_of(const inoci_block_rows *parts, int *n)
{
	while (*n >= parts->n) *n -= parts++->n;
	return parts;
}

static inoci_block_panel form_of(int type)
{
	inoci_block_panel f = {.bits = 8, .low = -128};
	if (type == INOCI_Q4_0 || type == INOCI_Q4_1) f.bits = 4, f.low = type == INOCI_Q4_0 ? -8 : 0;
	if (type == INOCI_Q5_0 || type == INOCI_Q5_1) f.bits = 5, f.low = type == INOCI_Q5_0 ? -16 : 0;
	f.has_min = type == INOCI_Q4_1 || type == INOCI_Q5_1;
	return f;
}

static void plan(inoci_panels *w, const inoci_block_rows *parts)
{
	size_t at = 0, blocks = (size_t)w->k / B;
	for (int i = 0; i < w->count; i++) {
		inoci_block_panel *f = &w->blocks[i];
		int row = i * INOCI_PANEL, last = row + INOCI_PANEL < w->n ? row + INOCI_PANEL - 1 : w->n - 1;
		const inoci_block_rows *from = part_of(parts, &row), *to = part_of(parts, &last);
		*f = form_of(from->type);
		for (; from <= to; from++)
			if (from->n && from->type != to->type) *f = (inoci_block_panel){.bits = 8, .low = -128, .has_min = true};
		size_t scales = inoci_pad(blocks * (size_t)inoci_panel_width(w, i) * 2),
		       strips = (size_t)inoci_panel_width(w, i) / 16;
		f->at = at;
		f->mins = scales;
		f->fifths = f->mins + (f->has_min ? scales : 0);
		f->numbers = f->fifths + (f->bits == 5 ? blocks * strips * 64 : 0);
		f->bytes = f->numbers + blocks * strips * (f->bits == 8 ? 512 : 256);
		at += f->bytes;
		w->minima = w->minima || f->has_min;
	}
}

/* Vector c of a strip's block: numbers q (16 outputs, 32), counted from f->low. */
static inline void pack(uint8_t *to, uint32_t *fifths, const uint8_t q[16][B], int bits, int c)
{
	for (int j = 0; j < 16; j++) {
		const uint8_t *v = q[j] + c * (bits == 8 ? 4 : 8);
		uint32_t lane = 0;
		for (int i = 0; i < 4 && bits == 8; i++) to[i / 2 * 32 + 2 * j + i % 2] = v[i];
		if (bits == 8) continue;
		for (int p = 0; p < 4; p++)
			lane |= (uint32_t)(v[2 * p] & 15) << (4 * p) | (uint32_t)(v[2 * p + 1] & 15) << (4 * p + 16);
		for (int p = 0; p < 4 && bits == 5; p++)
			fifths[p] |= ((uint32_t)v[2 * p] >> 4 | (uint32_t)v[2 * p + 1] >> 4 << 1) << (2 * j);
		memcpy(to + 4 * j, &lane, 4);
	}
}

static void fill(const inoci_panels *w, const inoci_block_rows *parts, int panel)
{
	const inoci_block_panel *f = &w->blocks[panel];
	char *to = inoci_panel_at(w, panel);
	size_t width = (size_t)inoci_panel_width(w, panel), strips = width / 16, blocks = (size_t)w->k / B;
	memset(to, 0, f->numbers);
	for (size_t e = 0; e < strips; e++) {
		const char *src[16];
		int type[16], n = 0;
		for (int row; n < 16 && (row = panel * INOCI_PANEL + (int)e * 16 + n) < w->n; n++) {
			const inoci_block_rows *p = part_of(parts, &row);
			type[n] = p->type;
			src[n] = (const char *)p->data + (size_t)row * blocks * inoci_qtype_block_bytes(p->type);
		}
		uint8_t q[16][B] = {0};
		for (size_t b = 0; b < blocks; b++) {
			uint16_t *d = (uint16_t *)to + b * width + e * 16, *m = (uint16_t *)(to + f->mins) + b * width + e * 16;
			for (int j = 0; j < n; j++) {
				int8_t v[B];
				uint16_t min;
				inoci_block_open(type[j], src[j] + b * inoci_qtype_block_bytes(type[j]), v, &d[j], &min);
				if (f->has_min) m[j] = min;
				for (int k = 0; k < B; k++) q[j][k] = (uint8_t)(f->bits == 8 ? v[k] : v[k] - f->low);
			}
			size_t C = f->bits == 8 ? 8 : 4;
			for (size_t c = 0; c < C; c++)
				pack((uint8_t *)(to + f->numbers + ((b * C + c) * strips + e) * 64),
				     f->bits == 5 ? (uint32_t *)(to + f->fifths) + ((b * 4 + c) * strips + e) * 4 : NULL, q,
				     f->bits, (int)c);
		}
	}
}

void inoci_blocks_expand(const inoci_panels *w, int panel, float *dst)
{
	const inoci_block_panel *f = &w->blocks[panel];
	const char *from = inoci_panel_at(w, panel);
	const uint16_t *scales = (const uint16_t *)from, *mins = (const uint16_t *)(from + f->mins);
	const uint32_t *fifths = (const uint32_t *)(from + f->fifths);
	size_t width = (size_t)inoci_panel_width(w, panel), strips = width / 16, C = f->bits == 8 ? 8 : 4;
	for (size_t b = 0; b < (size_t)w->k / B; b++)
		for (size_t j = 0; j < width; j++) {
			float d = inoci_f16_to_f32(scales[b * width + j]),
			      m = f->has_min ? inoci_f16_to_f32(mins[b * width + j]) : 0;
			for (size_t k = 0; k < B; k++) {
				size_t c = k * C / B, at = (b * C + c) * strips + j / 16, plane = k % 8 / 2;
				const char *v = from + f->numbers + at * 64;
				uint16_t half = ((const uint16_t *)v)[j % 16 * 2 + k % 2];
				int q = f->bits == 8 ? ((const int8_t *)v)[k % 4 / 2 * 32 + j % 16 * 2 + k % 2]
				                     : (half >> (4 * plane) & 15) + f->low;
				if (f->bits == 5) q += (int)(fifths[at * 4 + plane] >> (j % 16 * 2 + k % 2) & 1) * 16;
				dst[(b * B + k) * width + j] = (float)q * d + m;
			}
		}
}

int inoci_panels_of_blocks(const inoci_block_rows *parts, int n_parts, int k, inoci_panels **out, inoc_err *err)
{
	inoci_panels *w = inoci_alloc(sizeof *w);
	INOC_BUG_IF(k % B);
	*w = (inoci_panels){.k = k, .bf = true};
	for (int i = 0; i < n_parts; i++) w->n += parts[i].n;
	w->count = (w->n + INOCI_PANEL - 1) / INOCI_PANEL;
	w->blocks = inoci_alloc((size_t)w->count * sizeof *w->blocks);
	plan(w, parts);
	const inoci_block_panel *last = &w->blocks[w->count - 1];
	w->data = inoci_big_alloc(last->at + last->bytes, "packed weights", err);
	*out = w->data ? w : NULL;
	if (!w->data) {
		inoci_panels_free(w);
		return INOC_E_MEMORY;
	}
#pragma omp parallel for schedule(dynamic)
	for (int i = 0; i < w->count; i++) fill(w, parts, i);
	return 0;
}
