/* Shared between the files of src/tensor only. */
#ifndef INOCI_TENSOR_INTERNAL_H
#define INOCI_TENSOR_INTERNAL_H

#include <stdatomic.h>

#include "tensor/tensor.h"

/* Block of any ggml_type whose layout is known, also of those that are not decoded, so that ranges can be checked.
 * false: unknown, both 0. */
bool inoci_ggml_layout(int type, size_t *block, size_t *block_bytes);

/* ---- an index by name ---- */

struct inoci_named {
	const char *name;
	size_t i;
};

int inoci_named_cmp(const void *a, const void *b);
/* In an index sorted with inoci_named_cmp; NULL when absent. */
const struct inoci_named *inoci_named_find(const struct inoci_named *index, size_t n, const char *name);

/* ---- GGUF ---- */

/* numbers are the file's value types */
enum inoci_gguf_value {
	GV_U8,
	GV_I8,
	GV_U16,
	GV_I16,
	GV_U32,
	GV_I32,
	GV_F32,
	GV_BOOL,
	GV_STRING,
	GV_ARRAY,
	GV_U64,
	GV_I64,
	GV_F64,
	GV_N
};

extern const struct inoci_gguf_type {
	const char *name;
	size_t bytes; /* 0: not of fixed size */
} inoci_gguf_types[GV_N];

struct inoci_kv {
	const char *key;
	uint32_t type, elem;  /* elem: type of an array's elements */
	const uint8_t *value; /* behind a string's length, behind an array's type and count */
	uint64_t n;           /* bytes of a string, elements of an array, else 1 */
	_Atomic(void *) copy; /* aligned or converted elements, made when first asked for */
};

struct inoci_gguf {
	char *path;
	inoci_map map;
	const uint8_t *data;
	size_t n;
	uint32_t version;
	inoci_arena *arena; /* keys and names */
	struct inoci_kv *kvs;
	inoci_tensor *tensors;
	struct inoci_named *kv_index, *tensor_index; /* by name */
	size_t n_kv, n_tensors;
	size_t kv_end; /* the byte behind the metadata, which begins behind the 24 bytes of the header */
};

#endif
