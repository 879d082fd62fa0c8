/* A GGUF file written again with some tensors changed. Format: the head of gguf.c. */
#include <stdlib.h>
#include <string.h>

#include "tensor/internal.h"

enum { HEADER = 24 };

static size_t values_of(const inoci_tensor *t)
{
	size_t n = 1;
	for (int i = 0; i < 4; i++) n *= (size_t)t->ne[i];
	return n;
}

static void put(inoci_buf *b, const void *p, size_t n)
{
	inoci_buf_append(b, p, n);
}

static void pad_to(inoci_buf *b, size_t at, uint32_t align)
{
	static const char zero[64] = {0};
	for (size_t n = (align - at % align) % align; n;) {
		size_t m = n < sizeof zero ? n : sizeof zero;
		put(b, zero, m);
		n -= m;
	}
}

static void put_info(inoci_buf *b, const inoci_tensor *t, int type, uint64_t offset)
{
	uint64_t n = strlen(t->name);
	uint32_t dims = (uint32_t)t->n_dims, ty = (uint32_t)type;
	put(b, &n, sizeof n);
	put(b, t->name, n);
	put(b, &dims, sizeof dims);
	for (int i = 0; i < t->n_dims; i++) put(b, &t->ne[i], sizeof t->ne[i]);
	put(b, &ty, sizeof ty);
	put(b, &offset, sizeof offset);
}

/* Encodes n values where they stand. */
static void to_bf16(float *v, size_t n)
{
	for (size_t i = 0; i < n; i++) { /* the place written to is never behind the one read */
		uint16_t h = inoci_f32_to_bf16(v[i]);
		memcpy((char *)v + i * sizeof h, &h, sizeof h);
	}
}

static int write_tensor(const inoci_tensor *t, int type, const inoci_gguf_change *c, inoci_out *o, inoc_err *err)
{
	size_t n = values_of(t);
	if (type < 0) return inoci_out_write(o, t->data, t->bytes, err);
	float *v = inoci_big_room(n * sizeof *v, t->name, err);
	if (!v) return INOC_E_MEMORY;
	int rc = c->data(c->ctx, t, v, err);
	if (rc == 0 && type == INOCI_BF16) to_bf16(v, n);
	if (rc == 0) rc = inoci_out_write(o, v, n * inoci_qtype_block_bytes(type), err);
	free(v);
	return rc;
}

int inoci_gguf_write(const inoci_gguf *g, const inoci_gguf_change *c, const char *path, const inoci_progress *p, inoc_err *err)
{
	inoci_buf b = {0};
	inoci_out *o = NULL;
	uint32_t align = 32;
	uint64_t offset = 0;
	int rc = 0, *type = inoci_alloc((g->n_tensors + 1) * sizeof *type);
	if (inoci_gguf_has(g, "general.alignment")) INOC_TRY(inoci_gguf_u32(g, "general.alignment", &align, err));
	put(&b, g->data, g->kv_end); /* header and metadata */
	for (size_t i = 0; i < g->n_tensors; i++) {
		const inoci_tensor *t = &g->tensors[i];
		type[i] = c->type(c->ctx, t);
		INOC_BUG_IF(type[i] >= 0 && type[i] != INOCI_F32 && type[i] != INOCI_BF16);
		if (type[i] < 0 && !t->bytes) {
			rc = inoci_err_set(err, INOC_E_UNSUPPORTED, "%s: tensor %s has type %d, whose size is not known here",
			                   g->path, t->name, t->type);
			goto out;
		}
		size_t bytes = type[i] < 0 ? t->bytes : values_of(t) * inoci_qtype_block_bytes(type[i]);
		put_info(&b, t, type[i] < 0 ? t->type : type[i], offset);
		offset += (bytes + align - 1) / align * align;
	}
	pad_to(&b, b.len, align);
	INOC_TRY(inoci_out_open(path, &o, err));
	INOC_TRY(inoci_out_write(o, b.data, b.len, err));
	for (size_t i = 0; i < g->n_tensors; i++) {
		const inoci_tensor *t = &g->tensors[i];
		size_t bytes = type[i] < 0 ? t->bytes : values_of(t) * inoci_qtype_block_bytes(type[i]);
		if (inoci_stopped(p)) {
			rc = inoci_err_set(err, INOC_E_STOPPED, "stopped; %s is not written", path);
			goto out;
		}
		INOC_TRY(write_tensor(t, type[i], c, o, err));
		inoci_buf_clear(&b);
		pad_to(&b, bytes, align);
		if (b.len) INOC_TRY(inoci_out_write(o, b.data, b.len, err));
		inoci_tick(p, "write", (double)(i + 1), (double)g->n_tensors, "tensors", path);
	}
	rc = inoci_out_commit(o, err);
	o = NULL;
out:
	inoci_out_abandon(o);
	inoci_buf_free(&b);
	free(type);
	return rc < 0 ? rc : 0;
}
