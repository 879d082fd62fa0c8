/* tensor: the containers of weights. GGUF v2/v3 (the format document of ggml, docs/gguf.md), safetensors, and the block
 * formats F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1. Every count, length and offset from a file is checked before it is used.
 * GGUF dimensions are kept in the file's order: ne[0] is the contiguous one (a row's length).
 */
#ifndef INOCI_TENSOR_H
#define INOCI_TENSOR_H

#include "base/base.h"

/* numbers are GGUF's ggml_type */
typedef enum {
	INOCI_F32 = 0,
	INOCI_F16 = 1,
	INOCI_Q4_0 = 2,
	INOCI_Q4_1 = 3,
	INOCI_Q5_0 = 6,
	INOCI_Q5_1 = 7,
	INOCI_Q8_0 = 8,
	INOCI_BF16 = 30,
} inoci_qtype;

/* "Q4_1", or NULL when this version does not decode it. */
const char *inoci_qtype_name(int type);
/* ggml's name of the type, decoded here or not ("Q4_K"); "unknown" for a number ggml had not given away. For messages. */
const char *inoci_qtype_label(int type);
/* Values in a block and bytes of a block; 0 for an unknown type. */
size_t inoci_qtype_block(int type);
size_t inoci_qtype_block_bytes(int type);
/* Decodes n values (a multiple of the block) to f32. Every bit pattern gives a defined result. */
void inoci_dequant(int type, const void *src, float *dst, size_t n);
/* A block of 32 (Q4_0 Q4_1 Q5_0 Q5_1 Q8_0) taken apart: value j is q[j] * d + m, d and m f16 (m 0 in the _0 formats). */
void inoci_block_open(int type, const void *block, int8_t q[32], uint16_t *d, uint16_t *m);
float inoci_f16_to_f32(uint16_t h);
static inline float inoci_bf16_to_f32(uint16_t b)
{
	union {
		uint32_t u;
		float f;
	} x = {.u = (uint32_t)b << 16};
	return x.f;
}
/* Round to nearest even; NaN stays NaN. */
static inline uint16_t inoci_f32_to_bf16(float f)
{
	union {
		float f;
		uint32_t u;
	} x = {.f = f};
	if ((x.u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((x.u >> 16) | 0x40);
	return (uint16_t)((x.u + 0x7fffu + ((x.u >> 16) & 1)) >> 16);
}

typedef struct {
	const char *name; /* NUL-terminated, owned by the file */
	int type;         /* an inoci_qtype this version may not decode: check inoci_qtype_name */
	int n_dims;
	uint64_t ne[4]; /* unused dimensions are 1 */
	const uint8_t *data;
	size_t bytes; /* 0 when the type is so unknown that its size is too */
} inoci_tensor;

typedef struct inoci_gguf inoci_gguf;
INOCI_MUST int inoci_gguf_open(const char *path, inoci_gguf **out, inoc_err *err);
/* The same over bytes that the caller keeps alive (tests, fuzzing). `name` is used in messages. */
INOCI_MUST int inoci_gguf_parse(const uint8_t *data, size_t n, const char *name, inoci_gguf **out, inoc_err *err);
void inoci_gguf_free(inoci_gguf *g);
/* Gives back the memory of the file's pages that were read; they are read again when they are touched. */
void inoci_gguf_forget(inoci_gguf *g);
const char *inoci_gguf_path(const inoci_gguf *g);
size_t inoci_gguf_bytes(const inoci_gguf *g); /* size of the file */
uint32_t inoci_gguf_version(const inoci_gguf *g);
/* Tensors in the file's order. */
size_t inoci_gguf_n_tensors(const inoci_gguf *g);
const inoci_tensor *inoci_gguf_tensor_at(const inoci_gguf *g, size_t i);
const inoci_tensor *inoci_gguf_tensor(const inoci_gguf *g, const char *name); /* NULL when absent */
/* Metadata. The getters take any integer (or float) width; absent or of another kind: INOC_E_FORMAT naming key and file. */
bool inoci_gguf_has(const inoci_gguf *g, const char *key);
INOCI_MUST int inoci_gguf_u32(const inoci_gguf *g, const char *key, uint32_t *out, inoc_err *err);
INOCI_MUST int inoci_gguf_f32(const inoci_gguf *g, const char *key, float *out, inoc_err *err);
INOCI_MUST int inoci_gguf_bool(const inoci_gguf *g, const char *key, bool *out, inoc_err *err);
/* Strings in GGUF are not NUL-terminated and may hold NUL: (*s, *n) borrows the file's bytes. */
INOCI_MUST int inoci_gguf_str(const inoci_gguf *g, const char *key, const char **s, size_t *n, inoc_err *err);
/* Arrays of strings / of 32-bit integers / of f32. */
INOCI_MUST int inoci_gguf_strs_n(const inoci_gguf *g, const char *key, size_t *n, inoc_err *err);
INOCI_MUST int inoci_gguf_strs(const inoci_gguf *g, const char *key, const char **s, size_t *len, size_t n, inoc_err *err);
INOCI_MUST int inoci_gguf_i32s(const inoci_gguf *g, const char *key, const int32_t **v, size_t *n, inoc_err *err);
INOCI_MUST int inoci_gguf_f32s(const inoci_gguf *g, const char *key, const float **v, size_t *n, inoc_err *err);

/* Writes g as the file `path`, its metadata byte for byte and its tensors in the same order, but those of `changed` in a type of
 * their own; atomic. type: the tensor's new type (INOCI_F32 or INOCI_BF16), or -1 for as it is. data: its values, dst (all of
 * them) f32, which are then encoded. */
typedef struct {
	int (*type)(void *ctx, const inoci_tensor *t);
	int (*data)(void *ctx, const inoci_tensor *t, float *dst, inoc_err *err);
	void *ctx;
} inoci_gguf_change;
INOCI_MUST int inoci_gguf_write(const inoci_gguf *g, const inoci_gguf_change *c, const char *path, const inoci_progress *p,
                                inoc_err *err);

/* safetensors (huggingface.co/docs/safetensors): 8-byte length, JSON header, data. F32, F16, BF16 and I64 are read. */
typedef struct {
	char *name;
	char dtype[8]; /* "F32", "F16", "BF16", ... */
	int n_dims;
	uint64_t shape[4]; /* row-major, shape[n_dims-1] contiguous */
	const uint8_t *data;
	size_t bytes;
} inoci_st_tensor;
typedef struct inoci_safetensors inoci_safetensors;
INOCI_MUST int inoci_st_open(const char *path, inoci_safetensors **out, inoc_err *err);
INOCI_MUST int inoci_st_parse(const uint8_t *data, size_t n, const char *name, inoci_safetensors **out, inoc_err *err);
void inoci_st_free(inoci_safetensors *s);
size_t inoci_st_n(const inoci_safetensors *s);
const inoci_st_tensor *inoci_st_at(const inoci_safetensors *s, size_t i);
const inoci_st_tensor *inoci_st_get(const inoci_safetensors *s, const char *name);
/* Decodes to f32; INOC_E_UNSUPPORTED for a dtype it cannot. dst has room for all values. */
INOCI_MUST int inoci_st_f32(const inoci_st_tensor *t, float *dst, inoc_err *err);
/* Writes F32 tensors in the order given (tensors[i].data points to f32, shape set), with string metadata {"format":"pt"};
 * atomic; the bytes depend on the input alone. */
INOCI_MUST int inoci_st_write(const char *path, const inoci_st_tensor *tensors, size_t n, inoc_err *err);

#endif
