/* GGUF versions 2 and 3 (ggml, docs/gguf.md), little-endian:
 *
 *   "GGUF"  u32 version  u64 n_tensors  u64 n_kv
 *   n_kv    x { string key, u32 type, value }            string: u64 length, bytes
 *   n_tensors x { string name, u32 n_dims, u64 ne[n_dims], u32 ggml_type, u64 offset }
 *   padding to general.alignment, then the data; offsets count from there
 *
 * Invariants:
 *  1. Every length and count is compared with the bytes that are left before it is used or anything is allocated for it.
 *  2. After a successful parse each tensor of a known type lies inside the file, aligned, overlapping no other, and each
 *     value of the metadata (every string of an array too) lies inside the file.
 *  3. Keys and names are unique, printable, valid UTF-8.
 */
#include <stdlib.h>
#include <string.h>

#include "tensor/internal.h"

const struct inoci_gguf_type inoci_gguf_types[GV_N] = {
        [GV_U8] = {"uint8", 1},      [GV_I8] = {"int8", 1},     [GV_U16] = {"uint16", 2},  [GV_I16] = {"int16", 2},
        [GV_U32] = {"uint32", 4},    [GV_I32] = {"int32", 4},   [GV_F32] = {"float32", 4}, [GV_BOOL] = {"bool", 1},
        [GV_STRING] = {"string", 0}, [GV_ARRAY] = {"array", 0}, [GV_U64] = {"uint64", 8},  [GV_I64] = {"int64", 8},
        [GV_F64] = {"float64", 8},
};

/* Where the parser is; `what` (with `index` of `count`, or `name`) is for messages. */
struct cursor {
	const inoci_gguf *g;
	size_t pos;
	const char *what, *name;
	size_t index, count;
	inoc_err *err;
};

static void place(const struct cursor *c, char *s, size_t n)
{
	if (c->name)
		snprintf(s, n, "%s '%.100s'", c->what, c->name);
	else if (c->count)
		snprintf(s, n, "%s %zu of %zu", c->what, c->index + 1, c->count);
	else
		snprintf(s, n, "%s", c->what);
}

static int truncated(const struct cursor *c, uint64_t want)
{
	char at[200];
	place(c, at, sizeof at);
	return inoci_err_set(c->err, INOC_E_FORMAT,
	                     "%s: truncated at byte %zu while reading %s (%llu bytes wanted at byte %zu); the download may be "
	                     "incomplete: fetch it again",
	                     c->g->path, c->g->n, at, (unsigned long long)want, c->pos);
}

static int broken(const struct cursor *c, int code, const char *fmt, ...) INOCI_PRINTF(3, 4);
static int broken(const struct cursor *c, int code, const char *fmt, ...)
{
	char at[200], why[400];
	va_list ap;
	place(c, at, sizeof at);
	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	return inoci_err_set(c->err, code, "%s: %s, at byte %zu: %s", c->g->path, at, c->pos, why);
}

static int take(struct cursor *c, uint64_t bytes, const uint8_t **p)
{
	*p = c->g->data + c->pos;
	if (bytes > c->g->n - c->pos) return truncated(c, bytes);
	c->pos += (size_t)bytes;
	return 0;
}

static int take_u32(struct cursor *c, uint32_t *v)
{
	const uint8_t *p;
	int rc = take(c, sizeof *v, &p);
	*v = 0;
	if (rc == 0) memcpy(v, p, sizeof *v);
	return rc;
}

static int take_u64(struct cursor *c, uint64_t *v)
{
	const uint8_t *p;
	int rc = take(c, sizeof *v, &p);
	*v = 0;
	if (rc == 0) memcpy(v, p, sizeof *v);
	return rc;
}

static int take_string(struct cursor *c, const uint8_t **s, uint64_t *n)
{
	int rc = take_u64(c, n);
	*s = NULL;
	return rc < 0 ? rc : take(c, *n, s);
}

/* A key or a tensor's name: copied, with a NUL behind. */
static int take_name(struct cursor *c, inoci_arena *arena, const char **name)
{
	const uint8_t *s;
	uint64_t n;
	size_t start = c->pos;
	int rc = take_string(c, &s, &n);
	if (rc < 0) return rc;
	bool ok = n > 0 && n <= 65535 && inoci_utf8_valid_prefix((const char *)s, n) == n;
	for (size_t i = 0; ok && i < n; i++) ok = s[i] >= 32 && s[i] != 127;
	if (!ok) {
		c->pos = start;
		return broken(c, INOC_E_FORMAT,
		              "its name is not 1 to 65535 bytes of printable UTF-8; the file is damaged: fetch it again");
	}
	*name = inoci_arena_strndup(arena, (const char *)s, n);
	return 0;
}

static int take_value(struct cursor *c, struct inoci_kv *kv)
{
	int rc = take_u32(c, &kv->type);
	if (rc < 0) return rc;
	kv->n = 1;
	if (kv->type >= GV_N) return broken(c, INOC_E_FORMAT, "value type %u does not exist in GGUF", kv->type);
	if (kv->type == GV_STRING) return take_string(c, &kv->value, &kv->n);
	if (kv->type != GV_ARRAY) {
		rc = take(c, inoci_gguf_types[kv->type].bytes, &kv->value);
		if (rc == 0 && kv->type == GV_BOOL && *kv->value > 1)
			rc = broken(c, INOC_E_FORMAT, "a bool is 0 or 1, this one is %u", *kv->value);
		return rc;
	}
	rc = take_u32(c, &kv->elem);
	if (rc == 0) rc = take_u64(c, &kv->n);
	if (rc < 0) return rc;
	if (kv->elem >= GV_N) return broken(c, INOC_E_FORMAT, "array element type %u does not exist in GGUF", kv->elem);
	if (kv->elem == GV_ARRAY) return broken(c, INOC_E_UNSUPPORTED, "arrays of arrays are not supported");
	size_t least = kv->elem == GV_STRING ? sizeof(uint64_t) : inoci_gguf_types[kv->elem].bytes;
	if (kv->n > (c->g->n - c->pos) / least) {
		uint64_t want;
		return truncated(c, __builtin_mul_overflow(kv->n, (uint64_t)least, &want) ? UINT64_MAX : want);
	}
	if (kv->elem != GV_STRING) return take(c, kv->n * least, &kv->value);
	kv->value = c->g->data + c->pos;
	for (uint64_t i = 0; i < kv->n; i++) {
		const uint8_t *s;
		uint64_t len;
		if ((rc = take_string(c, &s, &len)) < 0) return rc;
	}
	return 0;
}

static int take_tensor(struct cursor *c, inoci_tensor *t, uint64_t *offset)
{
	uint32_t n_dims, type;
	uint64_t values = 1, bytes;
	size_t block, block_bytes;
	int rc = take_u32(c, &n_dims);
	if (rc < 0) return rc;
	if (n_dims > 4) return broken(c, INOC_E_FORMAT, "%u dimensions; GGUF has at most 4", n_dims);
	t->n_dims = (int)n_dims;
	for (int i = 0; i < 4; i++) {
		t->ne[i] = 1;
		if (i < t->n_dims && (rc = take_u64(c, &t->ne[i])) < 0) return rc;
		if (t->ne[i] == 0) return broken(c, INOC_E_FORMAT, "dimension %d is 0", i);
		if (__builtin_mul_overflow(values, t->ne[i], &values) || values > INT64_MAX)
			return broken(c, INOC_E_FORMAT, "its dimensions multiply to more than 2^63 values");
	}
	if ((rc = take_u32(c, &type)) < 0 || (rc = take_u64(c, offset)) < 0) return rc;
	if (type > INT32_MAX) return broken(c, INOC_E_FORMAT, "tensor type %u does not exist in GGUF", type);
	t->type = (int)type;
	if (!inoci_ggml_layout(t->type, &block, &block_bytes)) return 0; /* bytes stays 0: its size is not known */
	if (t->ne[0] % block)
		return broken(c, INOC_E_FORMAT, "rows of %llu values are no multiple of the %zu of a %s block",
		              (unsigned long long)t->ne[0], block, inoci_qtype_label(t->type));
	if (__builtin_mul_overflow(values / block, (uint64_t)block_bytes, &bytes) || bytes > SIZE_MAX)
		return broken(c, INOC_E_FORMAT, "its size in bytes does not fit 64 bits");
	t->bytes = (size_t)bytes;
	return 0;
}

int inoci_named_cmp(const void *a, const void *b)
{
	return strcmp(((const struct inoci_named *)a)->name, ((const struct inoci_named *)b)->name);
}

const struct inoci_named *inoci_named_find(const struct inoci_named *index, size_t n, const char *name)
{
	struct inoci_named key = {.name = name};
	return n ? bsearch(&key, index, n, sizeof *index, inoci_named_cmp) : NULL;
}

static int by_data(const void *a, const void *b)
{
	const inoci_tensor *x = *(const inoci_tensor *const *)a, *y = *(const inoci_tensor *const *)b;
	return x->data < y->data ? -1 : x->data > y->data;
}

static int sort_unique(const inoci_gguf *g, struct inoci_named *index, size_t n, const char *what, inoc_err *err)
{
	if (n) qsort(index, n, sizeof *index, inoci_named_cmp);
	for (size_t i = 1; i < n; i++)
		if (!strcmp(index[i - 1].name, index[i].name))
			return inoci_err_set(err, INOC_E_FORMAT,
			                     "%s: %s '%.100s' is there twice; the file is damaged: fetch it again", g->path, what,
			                     index[i].name);
	return 0;
}

/* Room for n things of `size` bytes in memory that take at least `least` bytes each in the file. */
static int reserve(struct cursor *c, uint64_t n, size_t least, size_t size, const char *what, void *out)
{
	uint64_t want;
	if (n > (c->g->n - c->pos) / least) {
		c->what = what;
		return truncated(c, __builtin_mul_overflow(n, (uint64_t)least, &want) ? UINT64_MAX : want);
	}
	void *p = n ? inoci_big_alloc((size_t)n * size, what, c->err) : NULL;
	memcpy(out, &p, sizeof p);
	return n && !p ? INOC_E_MEMORY : 0;
}

static int parse_header(struct cursor *c, inoci_gguf *g, uint64_t *n_tensors, uint64_t *n_kv)
{
	const uint8_t *d = g->data;
	size_t have = g->n < 4 ? g->n : 4;
	int rc;
	if (have && memcmp(d, "GGUF", have)) {
		if (g->n >= 24 && !memcmp(d, "version https://git-lfs", 23))
			return inoci_err_set(c->err, INOC_E_FORMAT,
			                     "%s: not a GGUF file but a Git LFS pointer to one; run `git lfs pull`", g->path);
		char seen[16] = "";
		for (size_t i = 0; i < have; i++) snprintf(seen + 3 * i, 4, " %02x", d[i]);
		return inoci_err_set(c->err, INOC_E_FORMAT,
		                     "%s: not a GGUF file: it starts with the bytes%s, a GGUF file with 47 47 55 46 (\"GGUF\")",
		                     g->path, seen);
	}
	c->what = "the header";
	if ((rc = take(c, 4, &d)) < 0 || (rc = take_u32(c, &g->version)) < 0) return rc;
	if (g->version && !(g->version & 0xffff))
		return inoci_err_set(c->err, INOC_E_UNSUPPORTED, "%s: a big-endian GGUF file; convert it to little-endian",
		                     g->path);
	if (g->version < 2 || g->version > 3)
		return inoci_err_set(
		        c->err, INOC_E_UNSUPPORTED, "%s: GGUF version %u; versions 2 and 3 are read: %s", g->path, g->version,
		        g->version < 2 ? "convert the model again with a current converter" : "this file needs a newer inoc");
	if ((rc = take_u64(c, n_tensors)) < 0) return rc;
	return take_u64(c, n_kv);
}

static int place_tensors(struct cursor *c, inoci_gguf *g, const uint64_t *offsets)
{
	uint32_t align = 32;
	int rc = 0;
	if (inoci_gguf_has(g, "general.alignment")) rc = inoci_gguf_u32(g, "general.alignment", &align, c->err);
	if (rc < 0) return rc;
	if (!align || (align & (align - 1)))
		return inoci_err_set(c->err, INOC_E_FORMAT, "%s: general.alignment is %u, no power of two", g->path, align);
	if (!g->n_tensors) return 0;
	size_t pad = (align - c->pos % align) % align;
	c->what = "the padding before the tensors";
	c->count = 0;
	c->name = NULL;
	if (pad > g->n - c->pos) return truncated(c, pad);
	size_t start = c->pos + pad;
	c->what = "tensor";
	for (size_t i = 0; i < g->n_tensors; i++) {
		inoci_tensor *t = &g->tensors[i];
		c->name = t->name;
		c->pos = start;
		if (offsets[i] % align)
			return broken(c, INOC_E_FORMAT, "its offset %llu is no multiple of the alignment %u",
			              (unsigned long long)offsets[i], align);
		if (offsets[i] > g->n - start || t->bytes > g->n - start - offsets[i]) {
			uint64_t at;
			if (__builtin_add_overflow((uint64_t)start, offsets[i], &at))
				return broken(c, INOC_E_FORMAT, "its offset %llu does not fit 64 bits",
				              (unsigned long long)offsets[i]);
			c->pos = (size_t)at;
			return truncated(c, t->bytes);
		}
		t->data = g->data + start + offsets[i];
	}
	inoci_tensor **order = inoci_big_alloc(g->n_tensors * sizeof(*order), "the tensor table", c->err);
	if (!order) return INOC_E_MEMORY;
	for (size_t i = 0; i < g->n_tensors; i++) order[i] = &g->tensors[i];
	qsort(order, g->n_tensors, sizeof(*order), by_data);
	for (size_t i = 1; i < g->n_tensors && rc == 0; i++)
		if (order[i - 1]->bytes > (size_t)(order[i]->data - order[i - 1]->data))
			rc = inoci_err_set(c->err, INOC_E_FORMAT,
			                   "%s: tensors '%.100s' and '%.100s' overlap; the file is damaged: fetch it again",
			                   g->path, order[i - 1]->name, order[i]->name);
	free(order);
	return rc;
}

static int parse(inoci_gguf *g, inoc_err *err)
{
	struct cursor c = {.g = g, .err = err};
	uint64_t n_tensors, n_kv, *offsets = NULL;
	int rc;
	INOC_TRY(parse_header(&c, g, &n_tensors, &n_kv));
	/* least: key length + 1 byte + type + value; name length + 1 byte + n_dims + type + offset */
	INOC_TRY(reserve(&c, n_kv, 8 + 1 + 4 + 1, sizeof *g->kvs, "the metadata", &g->kvs));
	INOC_TRY(reserve(&c, n_kv, 8 + 1 + 4 + 1, sizeof *g->kv_index, "the metadata", &g->kv_index));
	for (g->n_kv = 0; g->n_kv < n_kv; g->n_kv++) {
		struct inoci_kv *kv = &g->kvs[g->n_kv];
		c.what = "metadata entry", c.name = NULL, c.index = g->n_kv, c.count = n_kv;
		INOC_TRY(take_name(&c, g->arena, &kv->key));
		c.what = "the value of", c.name = kv->key;
		INOC_TRY(take_value(&c, kv));
		g->kv_index[g->n_kv] = (struct inoci_named){kv->key, g->n_kv};
	}
	g->kv_end = c.pos;
	INOC_TRY(sort_unique(g, g->kv_index, g->n_kv, "metadata key", err));
	c.name = NULL, c.count = 0;
	INOC_TRY(reserve(&c, n_tensors, 8 + 1 + 4 + 4 + 8, sizeof *g->tensors, "the tensor table", &g->tensors));
	INOC_TRY(reserve(&c, n_tensors, 8 + 1 + 4 + 4 + 8, sizeof *g->tensor_index, "the tensor table", &g->tensor_index));
	INOC_TRY(reserve(&c, n_tensors, 8 + 1 + 4 + 4 + 8, sizeof *offsets, "the tensor table", &offsets));
	for (g->n_tensors = 0; g->n_tensors < n_tensors; g->n_tensors++) {
		inoci_tensor *t = &g->tensors[g->n_tensors];
		c.what = "tensor", c.name = NULL, c.index = g->n_tensors, c.count = n_tensors;
		INOC_TRY(take_name(&c, g->arena, &t->name));
		c.name = t->name;
		INOC_TRY(take_tensor(&c, t, &offsets[g->n_tensors]));
		g->tensor_index[g->n_tensors] = (struct inoci_named){t->name, g->n_tensors};
	}
	INOC_TRY(sort_unique(g, g->tensor_index, g->n_tensors, "tensor", err));
	INOC_TRY(place_tensors(&c, g, offsets));
out:
	free(offsets);
	return rc < 0 ? rc : 0;
}

int inoci_gguf_parse(const uint8_t *data, size_t n, const char *name, inoci_gguf **out, inoc_err *err)
{
	inoci_gguf *g = inoci_alloc(sizeof *g);
	*out = NULL;
	g->path = inoci_strdup(name);
	g->arena = inoci_arena_new();
	g->data = data;
	g->n = n;
	int rc = parse(g, err);
	if (rc < 0)
		inoci_gguf_free(g);
	else
		*out = g;
	return rc;
}

int inoci_gguf_open(const char *path, inoci_gguf **out, inoc_err *err)
{
	inoci_map m;
	*out = NULL;
	int rc = inoci_map_open(path, &m, err);
	if (rc < 0) return rc;
	rc = inoci_gguf_parse(m.data, m.n, path, out, err);
	if (rc < 0)
		inoci_map_close(&m);
	else
		(*out)->map = m;
	return rc;
}

void inoci_gguf_forget(inoci_gguf *g)
{
	inoci_map_forget(&g->map);
}

void inoci_gguf_free(inoci_gguf *g)
{
	if (!g) return;
	for (size_t i = 0; i < g->n_kv; i++) free(atomic_load(&g->kvs[i].copy));
	free(g->kvs);
	free(g->tensors);
	free(g->kv_index);
	free(g->tensor_index);
	inoci_arena_free(g->arena);
	inoci_map_close(&g->map);
	free(g->path);
	free(g);
}

const char *inoci_gguf_path(const inoci_gguf *g)
{
	return g->path;
}

size_t inoci_gguf_bytes(const inoci_gguf *g)
{
	return g->n;
}

uint32_t inoci_gguf_version(const inoci_gguf *g)
{
	return g->version;
}

size_t inoci_gguf_n_tensors(const inoci_gguf *g)
{
	return g->n_tensors;
}

const inoci_tensor *inoci_gguf_tensor_at(const inoci_gguf *g, size_t i)
{
	INOC_BUG_IF(i >= g->n_tensors);
	return &g->tensors[i];
}

const inoci_tensor *inoci_gguf_tensor(const inoci_gguf *g, const char *name)
{
	const struct inoci_named *f = inoci_named_find(g->tensor_index, g->n_tensors, name);
	return f ? &g->tensors[f->i] : NULL;
}
