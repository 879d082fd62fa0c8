/* safetensors (huggingface.co/docs/safetensors): u64 length N, little-endian; N bytes of JSON, padded with spaces; data.
 *
 *   {"__metadata__": {"key": "text"}, "NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...}
 *
 * Offsets count from the end of the header. As the format demands, the tensors cover the data without a hole or an
 * overlap, and each takes exactly the bytes of its shape and dtype: after a successful parse all of them lie inside.
 */
#include <stdlib.h>
#include <string.h>

#include "tensor/internal.h"

#define MAX_HEADER 100000000u /* the reference implementation's */

static const struct {
	const char *name;
	size_t bytes;
	int qtype; /* -1: not decoded to f32 */
} dtypes[] = {
        {"F32", 4, INOCI_F32}, {"F16", 2, INOCI_F16}, {"BF16", 2, INOCI_BF16}, {"I64", 8, -1},     {"F64", 8, -1}, {"I32", 4, -1},
        {"I16", 2, -1},        {"I8", 1, -1},         {"U64", 8, -1},          {"U32", 4, -1},     {"U16", 2, -1}, {"U8", 1, -1},
        {"BOOL", 1, -1},       {"F8_E4M3", 1, -1},    {"F8_E5M2", 1, -1},      {"F8_E8M0", 1, -1}, {"C64", 8, -1},
};

struct inoci_safetensors {
	char *path;
	inoci_map map;
	inoci_arena *arena;
	inoci_st_tensor *tensors; /* by offset */
	struct inoci_named *index;
	size_t n;
};

static int dtype_find(const char *name)
{
	for (size_t i = 0; i < INOCI_COUNT(dtypes); i++)
		if (!strcmp(dtypes[i].name, name)) return (int)i;
	return -1;
}

/* Values of a shape; false when they are too many to count. */
static bool shape_values(const inoci_st_tensor *t, uint64_t *values)
{
	*values = 1;
	for (int i = 0; i < t->n_dims; i++)
		if (__builtin_mul_overflow(*values, t->shape[i], values)) return false;
	return true;
}

static int truncated(const inoci_safetensors *s, size_t n, const char *what, const char *name, uint64_t want, size_t at,
                     inoc_err *err)
{
	return inoci_err_set(
	        err, INOC_E_FORMAT,
	        "%s: truncated at byte %zu while reading %s%.100s (%llu bytes wanted at byte %zu); the download may be "
	        "incomplete: fetch it again",
	        s->path, n, what, name, (unsigned long long)want, at);
}

static int bad(const inoci_safetensors *s, const char *name, const char *why, inoc_err *err)
{
	return inoci_err_set(err, INOC_E_FORMAT, "%s: tensor '%.100s': %s", s->path, name, why);
}

/* All of *t but its data, which is placed once every entry is known. */
static int parse_entry(inoci_safetensors *s, const char *name, json_t *o, inoci_st_tensor *t, uint64_t *begin, inoc_err *err)
{
	for (const char *c = name; *c; c++)
		if ((unsigned char)*c < 32 || *c == 127) return bad(s, name, "its name holds a control character", err);
	t->name = inoci_arena_strndup(s->arena, name, strlen(name));
	json_t *dtype = json_object_get(o, "dtype"), *shape = json_object_get(o, "shape");
	json_t *range = json_object_get(o, "data_offsets"), *x;
	size_t i;
	if (!json_is_string(dtype)) return bad(s, name, "\"dtype\" is missing or no string", err);
	int d = dtype_find(json_string_value(dtype));
	if (d < 0)
		return inoci_err_set(err, INOC_E_UNSUPPORTED, "%s: tensor '%.100s': dtype \"%.20s\" is not known", s->path, name,
		                     json_string_value(dtype));
	snprintf(t->dtype, sizeof t->dtype, "%s", dtypes[d].name);
	if (!json_is_array(shape)) return bad(s, name, "\"shape\" is missing or no list", err);
	if (json_array_size(shape) > 4)
		return inoci_err_set(err, INOC_E_UNSUPPORTED, "%s: tensor '%.100s' has %zu dimensions; 4 at most are supported",
		                     s->path, name, json_array_size(shape));
	t->n_dims = (int)json_array_size(shape);
	for (i = 0; i < 4; i++) t->shape[i] = 1;
	json_array_foreach(shape, i, x)
	{
		if (!json_is_integer(x) || json_integer_value(x) < 0) return bad(s, name, "\"shape\" holds what is no size", err);
		t->shape[i] = (uint64_t)json_integer_value(x);
	}
	if (!json_is_array(range) || json_array_size(range) != 2)
		return bad(s, name, "\"data_offsets\" is not [begin, end]", err);
	json_array_foreach(range, i, x) if (!json_is_integer(x) || json_integer_value(x) < 0) return bad(
	        s, name, "\"data_offsets\" holds what is no offset", err);
	uint64_t end = (uint64_t)json_integer_value(json_array_get(range, 1)), values, bytes;
	*begin = (uint64_t)json_integer_value(json_array_get(range, 0));
	if (end < *begin) return bad(s, name, "\"data_offsets\" ends before it begins", err);
	if (!shape_values(t, &values) || __builtin_mul_overflow(values, (uint64_t)dtypes[d].bytes, &bytes))
		return bad(s, name, "its shape is too large for 64 bits", err);
	if (bytes != end - *begin)
		return inoci_err_set(err, INOC_E_FORMAT,
		                     "%s: tensor '%.100s': shape and dtype make %llu bytes, data_offsets %llu", s->path, name,
		                     (unsigned long long)bytes, (unsigned long long)(end - *begin));
	t->bytes = (size_t)bytes;
	return 0;
}

struct placed {
	inoci_st_tensor t;
	uint64_t begin;
};

static int by_begin(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;
	if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
	if (x->t.bytes != y->t.bytes) return x->t.bytes < y->t.bytes ? -1 : 1; /* empty ones first */
	return strcmp(x->t.name, y->t.name);
}

static int check_metadata(const inoci_safetensors *s, json_t *m, inoc_err *err)
{
	const char *key;
	json_t *v;
	bool ok = json_is_object(m);
	if (ok) json_object_foreach(m, key, v) ok = ok && json_is_string(v);
	return ok ? 0 : inoci_err_set(err, INOC_E_FORMAT, "%s: \"__metadata__\" is not an object of strings", s->path);
}

/* data: the whole file of n bytes; the tensors' data starts at `start`. */
static int parse_header(inoci_safetensors *s, json_t *root, const uint8_t *data, size_t n, size_t start, inoc_err *err)
{
	struct placed *all = NULL;
	size_t count = json_object_size(root);
	const char *name;
	json_t *o;
	int rc = 0;
	if (count) {
		all = inoci_big_alloc(count * sizeof *all, "the tensor table", err);
		s->tensors = inoci_big_alloc(count * sizeof *s->tensors, "the tensor table", err);
		s->index = inoci_big_alloc(count * sizeof *s->index, "the tensor table", err);
		rc = all && s->tensors && s->index ? 0 : INOC_E_MEMORY;
		if (rc < 0) goto out;
	}
	json_object_foreach(root, name, o)
	{
		if (!strcmp(name, "__metadata__"))
			INOC_TRY(check_metadata(s, o, err));
		else {
			INOC_TRY(parse_entry(s, name, o, &all[s->n].t, &all[s->n].begin, err));
			s->n++;
		}
	}
	if (s->n) qsort(all, s->n, sizeof *all, by_begin);
	size_t pos = start;
	for (size_t i = 0; i < s->n; i++) {
		inoci_st_tensor *t = &s->tensors[i];
		*t = all[i].t;
		if (all[i].begin != pos - start) {
			rc = inoci_err_set(err, INOC_E_FORMAT,
			                   "%s: tensor '%.100s' begins at %llu, where the one before ends at %zu; the file is "
			                   "damaged",
			                   s->path, t->name, (unsigned long long)all[i].begin, pos - start);
			goto out;
		}
		if (t->bytes > n - pos) {
			rc = truncated(s, n, "tensor ", t->name, t->bytes, pos, err);
			goto out;
		}
		t->data = data + pos;
		pos += t->bytes;
		s->index[i] = (struct inoci_named){t->name, i};
	}
	if (pos != n)
		rc = inoci_err_set(err, INOC_E_FORMAT, "%s: %zu bytes behind the last tensor belong to none; the file is damaged",
		                   s->path, n - pos);
	if (s->n) qsort(s->index, s->n, sizeof *s->index, inoci_named_cmp);
out:
	free(all);
	return rc < 0 ? rc : 0;
}

static int parse(inoci_safetensors *s, const uint8_t *data, size_t n, inoc_err *err)
{
	uint64_t len = 0;
	json_error_t je;
	if (n < sizeof len) return truncated(s, n, "the header's length", "", sizeof len, 0, err);
	memcpy(&len, data, sizeof len);
	if (len > MAX_HEADER)
		return inoci_err_set(err, INOC_E_FORMAT, "%s: not a safetensors file: its header would have %llu bytes", s->path,
		                     (unsigned long long)len);
	if (len > n - sizeof len) return truncated(s, n, "the header", "", len, sizeof len, err);
	const char *text = (const char *)data + sizeof len;
	if (!len || *text != '{')
		return inoci_err_set(err, INOC_E_FORMAT, "%s: not a safetensors file: its header does not start with '{'",
		                     s->path);
	json_t *root = json_loadb(text, (size_t)len, JSON_REJECT_DUPLICATES, &je);
	if (!root)
		return inoci_err_set(err, INOC_E_FORMAT, "%s: the header is not JSON: %s (byte %zu of the file)", s->path,
		                     je.text, sizeof len + (size_t)(je.position > 0 ? je.position : 0));
	int rc = parse_header(s, root, data, n, sizeof len + (size_t)len, err);
	json_decref(root);
	return rc;
}

int inoci_st_parse(const uint8_t *data, size_t n, const char *name, inoci_safetensors **out, inoc_err *err)
{
	inoci_safetensors *s = inoci_alloc(sizeof *s);
	*out = NULL;
	s->path = inoci_strdup(name);
	s->arena = inoci_arena_new();
	int rc = parse(s, data, n, err);
	if (rc < 0)
		inoci_st_free(s);
	else
		*out = s;
	return rc;
}

int inoci_st_open(const char *path, inoci_safetensors **out, inoc_err *err)
{
	inoci_map m;
	*out = NULL;
	int rc = inoci_map_open(path, &m, err);
	if (rc < 0) return rc;
	rc = inoci_st_parse(m.data, m.n, path, out, err);
	if (rc < 0)
		inoci_map_close(&m);
	else
		(*out)->map = m;
	return rc;
}

void inoci_st_free(inoci_safetensors *s)
{
	if (!s) return;
	free(s->tensors);
	free(s->index);
	inoci_arena_free(s->arena);
	inoci_map_close(&s->map);
	free(s->path);
	free(s);
}

size_t inoci_st_n(const inoci_safetensors *s)
{
	return s->n;
}

const inoci_st_tensor *inoci_st_at(const inoci_safetensors *s, size_t i)
{
	INOC_BUG_IF(i >= s->n);
	return &s->tensors[i];
}

const inoci_st_tensor *inoci_st_get(const inoci_safetensors *s, const char *name)
{
	const struct inoci_named *f = inoci_named_find(s->index, s->n, name);
	return f ? &s->tensors[f->i] : NULL;
}

int inoci_st_f32(const inoci_st_tensor *t, float *dst, inoc_err *err)
{
	int d = dtype_find(t->dtype);
	INOC_BUG_IF(d < 0);
	size_t n = t->bytes / dtypes[d].bytes;
	if (dtypes[d].qtype >= 0) {
		inoci_dequant(dtypes[d].qtype, t->data, dst, n);
	} else if (!strcmp(t->dtype, "I64")) {
		for (size_t i = 0; i < n; i++) {
			int64_t v;
			memcpy(&v, t->data + i * sizeof v, sizeof v);
			dst[i] = (float)v;
		}
	} else {
		return inoci_err_set(err, INOC_E_UNSUPPORTED, "tensor '%.100s' is %s; F32, F16, BF16 and I64 are read", t->name,
		                     t->dtype);
	}
	return 0;
}

/* One entry of the header; *pos is moved behind its data. */
static int put_entry(inoci_buf *b, const inoci_st_tensor *t, uint64_t *pos, const char *path, inoc_err *err)
{
	uint64_t values, bytes, begin = *pos;
	INOC_BUG_IF(t->n_dims < 0 || t->n_dims > 4 || !shape_values(t, &values));
	INOC_BUG_IF(__builtin_mul_overflow(values, (uint64_t)sizeof(float), &bytes) || __builtin_add_overflow(begin, bytes, pos));
	json_t *name = json_string(t->name);
	char *quoted = name ? json_dumps(name, JSON_ENCODE_ANY) : NULL;
	json_decref(name);
	if (!quoted || !strcmp(t->name, "__metadata__")) {
		free(quoted);
		return inoci_err_set(err, INOC_E_FORMAT,
		                     "%s: a tensor cannot be written under this name (not UTF-8, or reserved)", path);
	}
	inoci_buf_printf(b, ",%s:{\"dtype\":\"F32\",\"shape\":[", quoted);
	free(quoted);
	for (int i = 0; i < t->n_dims; i++) inoci_buf_printf(b, "%s%llu", i ? "," : "", (unsigned long long)t->shape[i]);
	inoci_buf_printf(b, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)begin, (unsigned long long)*pos);
	return 0;
}

static int check_unique(const inoci_st_tensor *tensors, size_t n, const char *path, inoc_err *err)
{
	struct inoci_named *index = inoci_alloc((n + 1) * sizeof *index);
	int rc = 0;
	for (size_t i = 0; i < n; i++) index[i] = (struct inoci_named){tensors[i].name, i};
	qsort(index, n, sizeof *index, inoci_named_cmp);
	for (size_t i = 1; i < n && rc == 0; i++)
		if (!strcmp(index[i - 1].name, index[i].name))
			rc = inoci_err_set(err, INOC_E_FORMAT, "%s: two tensors are named '%.100s'", path, index[i].name);
	free(index);
	return rc;
}

int inoci_st_write(const char *path, const inoci_st_tensor *tensors, size_t n, inoc_err *err)
{
	inoci_buf b = {0};
	inoci_out *o = NULL;
	uint64_t len, pos = 0, values;
	int rc;
	INOC_TRY(check_unique(tensors, n, path, err));
	inoci_buf_puts(&b, "{\"__metadata__\":{\"format\":\"pt\"}");
	for (size_t i = 0; i < n; i++) INOC_TRY(put_entry(&b, &tensors[i], &pos, path, err));
	inoci_buf_puts(&b, "}");
	while (b.len % 8) inoci_buf_puts(&b, " ");
	len = b.len;
	INOC_TRY(inoci_out_open(path, &o, err));
	INOC_TRY(inoci_out_write(o, &len, sizeof len, err));
	INOC_TRY(inoci_out_write(o, b.data, b.len, err));
	for (size_t i = 0; i < n; i++) {
		INOC_BUG_IF(!shape_values(&tensors[i], &values));
		INOC_TRY(inoci_out_write(o, tensors[i].data, (size_t)values * sizeof(float), err));
	}
	rc = inoci_out_commit(o, err);
	o = NULL;
out:
	inoci_out_abandon(o);
	inoci_buf_free(&b);
	return rc < 0 ? rc : 0;
}
