/* Block formats of ggml (ggml-common.h, ggml-quants.c) to f32. A block holds 32 values behind its scale d, f16, and
 * in the _1 formats its minimum m, f16. 4-bit values: byte j holds value j in its low half and value j + 16 in its high
 * half; 5-bit formats keep the fifth bits of all 32 values in a little-endian word.
 *
 * Inner loops have a constant trip count of 32 or 16: compilers vectorise those at -O2.
 */
#include <string.h>

#include "tensor/internal.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the files are little-endian and are read in place"
#endif

#define QK 32

static const struct layout {
	const char *name;
	uint16_t block, bytes;
	bool decoded;
} layouts[] = {
        [0] = {"F32", 1, 4, true},          [1] = {"F16", 1, 2, true},          [2] = {"Q4_0", QK, 18, true},
        [3] = {"Q4_1", QK, 20, true},       [6] = {"Q5_0", QK, 22, true},       [7] = {"Q5_1", QK, 24, true},
        [8] = {"Q8_0", QK, 34, true},       [10] = {"Q2_K", 256, 84, false},    [11] = {"Q3_K", 256, 110, false},
        [12] = {"Q4_K", 256, 144, false},   [13] = {"Q5_K", 256, 176, false},   [14] = {"Q6_K", 256, 210, false},
        [15] = {"Q8_K", 256, 292, false},   [16] = {"IQ2_XXS", 256, 66, false}, [17] = {"IQ2_XS", 256, 74, false},
        [18] = {"IQ3_XXS", 256, 98, false}, [19] = {"IQ1_S", 256, 50, false},   [20] = {"IQ4_NL", QK, 18, false},
        [21] = {"IQ3_S", 256, 110, false},  [22] = {"IQ2_S", 256, 82, false},   [23] = {"IQ4_XS", 256, 136, false},
        [24] = {"I8", 1, 1, false},         [25] = {"I16", 1, 2, false},        [26] = {"I32", 1, 4, false},
        [27] = {"I64", 1, 8, false},        [28] = {"F64", 1, 8, false},        [29] = {"IQ1_M", 256, 56, false},
        [30] = {"BF16", 1, 2, true},        [34] = {"TQ1_0", 256, 54, false},   [35] = {"TQ2_0", 256, 66, false},
        [39] = {"MXFP4", QK, 17, false},    [40] = {"NVFP4", 64, 36, false},    [41] = {"Q1_0", 128, 18, false},
};

static const struct layout *layout_of(int type)
{
	if (type < 0 || (size_t)type >= INOCI_COUNT(layouts) || !layouts[type].name) return NULL;
	return &layouts[type];
}

bool inoci_ggml_layout(int type, size_t *block, size_t *block_bytes)
{
	const struct layout *l = layout_of(type);
	*block = l ? l->block : 0;
	*block_bytes = l ? l->bytes : 0;
	return l != NULL;
}

const char *inoci_qtype_label(int type)
{
	const struct layout *l = layout_of(type);
	return l ? l->name : "unknown";
}

const char *inoci_qtype_name(int type)
{
	const struct layout *l = layout_of(type);
	return l && l->decoded ? l->name : NULL;
}

size_t inoci_qtype_block(int type)
{
	const struct layout *l = layout_of(type);
	return l && l->decoded ? l->block : 0;
}

size_t inoci_qtype_block_bytes(int type)
{
	const struct layout *l = layout_of(type);
	return l && l->decoded ? l->bytes : 0;
}

/* Branch-free, exact for all 65536 patterns, and independent of a flush-to-zero mode. */
static inline float f16(uint16_t h)
{
	union {
		uint32_t u;
		float f;
	} small, x;
	uint32_t em = (uint32_t)(h & 0x7fff) << 13;
	x.u = em + (112u << 23);                           /* exponent bias 15 -> 127 */
	x.u += em >= (31u << 23) ? 112u << 23 : 0;         /* infinity and NaN keep an exponent of all ones */
	small.f = (float)(int32_t)(h & 0x7fff) * 0x1p-24f; /* subnormal: no implicit one */
	x.u = em < (1u << 23) ? small.u : x.u;
	x.u |= (uint32_t)(h & 0x8000) << 16;
	return x.f;
}

float inoci_f16_to_f32(uint16_t h)
{
	return f16(h);
}

static inline float f16_at(const uint8_t *p)
{
	uint16_t h;
	memcpy(&h, p, sizeof h);
	return f16(h);
}

static inline void f16_values(const uint8_t *p, float *restrict y, size_t n)
{
	uint16_t h[QK];
	for (; n >= QK; n -= QK, p += 2 * QK, y += QK) {
		memcpy(h, p, sizeof h);
		for (int j = 0; j < QK; j++) y[j] = f16(h[j]);
	}
	memcpy(h, p, 2 * n);
	for (size_t j = 0; j < n; j++) y[j] = f16(h[j]);
}

static inline void bf16_values(const uint8_t *p, float *restrict y, size_t n)
{
	uint16_t h[QK];
	for (; n >= QK; n -= QK, p += 2 * QK, y += QK) {
		memcpy(h, p, sizeof h);
		for (int j = 0; j < QK; j++) y[j] = inoci_bf16_to_f32(h[j]);
	}
	memcpy(h, p, 2 * n);
	for (size_t j = 0; j < n; j++) y[j] = inoci_bf16_to_f32(h[j]);
}

static void q8_0(const uint8_t *p, float *restrict y, size_t blocks)
{
	for (; blocks; blocks--, p += 34, y += QK) {
		float d = f16_at(p);
		const int8_t *q = (const int8_t *)(p + 2);
		for (int j = 0; j < QK; j++) y[j] = (float)q[j] * d;
	}
}

static void q4_0(const uint8_t *p, float *restrict y, size_t blocks)
{
	for (; blocks; blocks--, p += 18, y += QK) {
		float d = f16_at(p);
		const uint8_t *q = p + 2;
		for (int j = 0; j < QK / 2; j++) y[j] = (float)((int)(q[j] & 15) - 8) * d;
		for (int j = 0; j < QK / 2; j++) y[j + QK / 2] = (float)((int)(q[j] >> 4) - 8) * d;
	}
}

static void q4_1(const uint8_t *p, float *restrict y, size_t blocks)
{
	for (; blocks; blocks--, p += 20, y += QK) {
		float d = f16_at(p), m = f16_at(p + 2);
		const uint8_t *q = p + 4;
		for (int j = 0; j < QK / 2; j++) y[j] = (float)(int)(q[j] & 15) * d + m;
		for (int j = 0; j < QK / 2; j++) y[j + QK / 2] = (float)(int)(q[j] >> 4) * d + m;
	}
}

/* The 32 five-bit numbers of a block. */
static inline void five(const uint8_t *qh, const uint8_t *q, int32_t *restrict x)
{
	uint32_t h;
	memcpy(&h, qh, sizeof h);
	for (int j = 0; j < QK / 2; j++) x[j] = (int32_t)((q[j] & 15u) | ((h >> j & 1) << 4));
	for (int j = 0; j < QK / 2; j++) x[j + QK / 2] = (int32_t)(((unsigned)q[j] >> 4) | ((h >> (j + QK / 2) & 1) << 4));
}

static void q5_0(const uint8_t *p, float *restrict y, size_t blocks)
{
	int32_t x[QK];
	for (; blocks; blocks--, p += 22, y += QK) {
		float d = f16_at(p);
		five(p + 2, p + 6, x);
		for (int j = 0; j < QK; j++) y[j] = (float)(x[j] - 16) * d;
	}
}

static void q5_1(const uint8_t *p, float *restrict y, size_t blocks)
{
	int32_t x[QK];
	for (; blocks; blocks--, p += 24, y += QK) {
		float d = f16_at(p), m = f16_at(p + 2);
		five(p + 4, p + 8, x);
		for (int j = 0; j < QK; j++) y[j] = (float)x[j] * d + m;
	}
}

void inoci_dequant(int type, const void *src, float *dst, size_t n)
{
	size_t block = inoci_qtype_block(type);
	INOC_BUG_IF(!block || n % block);
	if (!n) return;
	switch (type) {
	case INOCI_F32:
		memcpy(dst, src, n * sizeof *dst);
		break;
	case INOCI_F16:
		f16_values(src, dst, n);
		break;
	case INOCI_BF16:
		bf16_values(src, dst, n);
		break;
	case INOCI_Q8_0:
		q8_0(src, dst, n / QK);
		break;
	case INOCI_Q4_0:
		q4_0(src, dst, n / QK);
		break;
	case INOCI_Q4_1:
		q4_1(src, dst, n / QK);
		break;
	case INOCI_Q5_0:
		q5_0(src, dst, n / QK);
		break;
	case INOCI_Q5_1:
		q5_1(src, dst, n / QK);
		break;
	}
}

void inoci_block_open(int type, const void *block, int8_t q[QK], uint16_t *d, uint16_t *m)
{
	const uint8_t *p = block;
	int32_t x[QK];
	bool min = type == INOCI_Q4_1 || type == INOCI_Q5_1;
	INOC_BUG_IF(inoci_qtype_block(type) != QK);
	*m = 0;
	memcpy(d, p, 2);
	if (min) memcpy(m, p + 2, 2);
	p += min ? 4 : 2;
	if (type == INOCI_Q8_0) {
		memcpy(q, p, QK);
		return;
	}
	if (type == INOCI_Q5_0 || type == INOCI_Q5_1)
		five(p, p + 4, x);
	else
		for (int j = 0; j < QK; j++) x[j] = j < QK / 2 ? p[j] & 15 : p[j - QK / 2] >> 4;
	for (int j = 0; j < QK; j++) q[j] = (int8_t)(x[j] - (min ? 0 : type == INOCI_Q4_0 ? 8 : 16));
}
