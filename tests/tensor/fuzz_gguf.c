/* Any bytes as a GGUF file: refused, or every tensor and every value can be read. */
#include <stdlib.h>
#include <string.h>

#include "tensor/tensor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Keys that the seeds of the corpus have, so that the getters are reached. */
static const char *const keys[] = {"general.alignment",
                                   "k.u8",
                                   "k.i16",
                                   "k.i64",
                                   "k.f32",
                                   "k.f64",
                                   "k.bool",
                                   "k.str",
                                   "k.strs",
                                   "k.i32s",
                                   "k.i8s",
                                   "k.u64s",
                                   "k.f32s",
                                   "k.f64s",
                                   "k.bools"};

static volatile unsigned sink;

static void touch(const void *p, size_t n)
{
	const unsigned char *c = p;
	unsigned s = 0;
	for (size_t i = 0; i < n; i++) s += c[i];
	sink += s;
}

static void read_values(const inoci_gguf *g)
{
	inoc_err err;
	for (size_t k = 0; k < INOCI_COUNT(keys); k++) {
		uint32_t u;
		float f;
		bool b;
		const char *s;
		const int32_t *i32;
		const float *f32;
		size_t n;
		if (inoci_gguf_u32(g, keys[k], &u, &err) == 0) sink += u;
		if (inoci_gguf_f32(g, keys[k], &f, &err) == 0) touch(&f, sizeof f);
		if (inoci_gguf_bool(g, keys[k], &b, &err) == 0) sink += b;
		if (inoci_gguf_str(g, keys[k], &s, &n, &err) == 0) touch(s, n);
		if (inoci_gguf_i32s(g, keys[k], &i32, &n, &err) == 0) touch(i32, n * sizeof *i32);
		if (inoci_gguf_f32s(g, keys[k], &f32, &n, &err) == 0) touch(f32, n * sizeof *f32);
		if (inoci_gguf_strs_n(g, keys[k], &n, &err) == 0) {
			const char **strs = calloc(n + 1, sizeof *strs);
			size_t *len = calloc(n + 1, sizeof *len);
			if (strs && len && inoci_gguf_strs(g, keys[k], strs, len, n, &err) == 0)
				for (size_t i = 0; i < n; i++) touch(strs[i], len[i]);
			free(strs);
			free(len);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	inoci_gguf *g;
	inoc_err err = {0};
	if (inoci_gguf_parse(data, n, "input", &g, &err) < 0) {
		if (g || !err.code || !err.msg[0]) abort();
		return 0;
	}
	read_values(g);
	for (size_t i = 0; i < inoci_gguf_n_tensors(g); i++) {
		const inoci_tensor *t = inoci_gguf_tensor_at(g, i);
		if (inoci_gguf_tensor(g, t->name) != t) abort();
		touch(t->data, t->bytes);
		size_t block = inoci_qtype_block(t->type);
		if (!block) continue;
		size_t values = t->bytes / inoci_qtype_block_bytes(t->type) * block;
		float *f = malloc(values * sizeof *f + 1);
		if (f) inoci_dequant(t->type, t->data, f, values);
		free(f);
	}
	inoci_gguf_free(g);
	return 0;
}
