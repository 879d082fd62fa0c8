/* Metadata of a parsed GGUF file by key. parse() in gguf.c has walked every value: all of it lies inside the file, though
 * at any alignment.
 */
#include <stdlib.h>
#include <string.h>

#include "tensor/internal.h"

static struct inoci_kv *kv_of(const inoci_gguf *g, const char *key)
{
	const struct inoci_named *f = inoci_named_find(g->kv_index, g->n_kv, key);
	return f ? &g->kvs[f->i] : NULL;
}

bool inoci_gguf_has(const inoci_gguf *g, const char *key)
{
	return kv_of(g, key) != NULL;
}

/* "absent" or "there, but as something else" */
static int wrong(const inoci_gguf *g, const char *key, const struct inoci_kv *kv, const char *want, inoc_err *err)
{
	if (!kv) return inoci_err_set(err, INOC_E_FORMAT, "%s: metadata key '%s' is missing (%s)", g->path, key, want);
	bool array = kv->type == GV_ARRAY;
	return inoci_err_set(err, INOC_E_FORMAT, "%s: metadata key '%s' is %s%s; %s expected", g->path, key,
	                     array ? "an array of " : "", inoci_gguf_types[array ? kv->elem : kv->type].name, want);
}

/* Element i of an integer type as a sign and a magnitude that any of them fits; false when it is no integer. */
static bool int_at(uint32_t type, const uint8_t *p, uint64_t i, bool *negative, uint64_t *v)
{
	int64_t s = 0;
	*v = 0;
	p += i * inoci_gguf_types[type].bytes;
	switch (type) {
	case GV_U8:
	case GV_U16:
	case GV_U32:
	case GV_U64:
		memcpy(v, p, inoci_gguf_types[type].bytes);
		break;
	case GV_I8:
		s = (int8_t)*p;
		break;
	case GV_I16: {
		int16_t x;
		memcpy(&x, p, sizeof x);
		s = x;
		break;
	}
	case GV_I32: {
		int32_t x;
		memcpy(&x, p, sizeof x);
		s = x;
		break;
	}
	case GV_I64:
		memcpy(&s, p, sizeof s);
		break;
	default:
		return false;
	}
	*negative = s < 0;
	if (s) *v = s < 0 ? -(uint64_t)s : (uint64_t)s;
	return true;
}

int inoci_gguf_u32(const inoci_gguf *g, const char *key, uint32_t *out, inoc_err *err)
{
	const struct inoci_kv *kv = kv_of(g, key);
	bool negative;
	uint64_t v;
	*out = 0;
	if (!kv || !int_at(kv->type, kv->value, 0, &negative, &v)) return wrong(g, key, kv, "an integer", err);
	if (negative || v > UINT32_MAX)
		return inoci_err_set(err, INOC_E_FORMAT, "%s: metadata key '%s' is %s%llu; 0 to 4294967295 expected", g->path,
		                     key, negative ? "-" : "", (unsigned long long)v);
	*out = (uint32_t)v;
	return 0;
}

int inoci_gguf_f32(const inoci_gguf *g, const char *key, float *out, inoc_err *err)
{
	const struct inoci_kv *kv = kv_of(g, key);
	*out = 0;
	if (!kv || (kv->type != GV_F32 && kv->type != GV_F64)) return wrong(g, key, kv, "a floating-point number", err);
	if (kv->type == GV_F32) {
		memcpy(out, kv->value, sizeof *out);
	} else {
		double d;
		memcpy(&d, kv->value, sizeof d);
		*out = (float)d;
	}
	return 0;
}

int inoci_gguf_bool(const inoci_gguf *g, const char *key, bool *out, inoc_err *err)
{
	const struct inoci_kv *kv = kv_of(g, key);
	*out = false;
	if (!kv || kv->type != GV_BOOL) return wrong(g, key, kv, "a bool", err);
	*out = *kv->value == 1;
	return 0;
}

int inoci_gguf_str(const inoci_gguf *g, const char *key, const char **s, size_t *n, inoc_err *err)
{
	const struct inoci_kv *kv = kv_of(g, key);
	*s = NULL;
	*n = 0;
	if (!kv || kv->type != GV_STRING) return wrong(g, key, kv, "a string", err);
	*s = (const char *)kv->value;
	*n = (size_t)kv->n;
	return 0;
}

int inoci_gguf_strs_n(const inoci_gguf *g, const char *key, size_t *n, inoc_err *err)
{
	const struct inoci_kv *kv = kv_of(g, key);
	*n = 0;
	if (!kv || kv->type != GV_ARRAY || kv->elem != GV_STRING) return wrong(g, key, kv, "an array of strings", err);
	*n = (size_t)kv->n;
	return 0;
}

int inoci_gguf_strs(const inoci_gguf *g, const char *key, const char **s, size_t *len, size_t n, inoc_err *err)
{
	size_t have;
	int rc = inoci_gguf_strs_n(g, key, &have, err);
	if (rc < 0) return rc;
	if (have != n)
		return inoci_err_set(err, INOC_E_FORMAT, "%s: metadata key '%s' has %zu strings; %zu expected", g->path, key,
		                     have, n);
	const uint8_t *p = kv_of(g, key)->value; /* walked by take_value: all inside */
	for (size_t i = 0; i < n; i++) {
		uint64_t l;
		memcpy(&l, p, sizeof l);
		s[i] = (const char *)p + sizeof l;
		len[i] = (size_t)l;
		p += sizeof l + l;
	}
	return 0;
}

/* Keeps `made` as the array's copy, or takes the one another thread was faster with. */
static void *keep(struct inoci_kv *kv, void *made)
{
	void *seen = NULL;
	if (atomic_compare_exchange_strong(&kv->copy, &seen, made)) return made;
	free(made);
	return seen;
}

int inoci_gguf_i32s(const inoci_gguf *g, const char *key, const int32_t **v, size_t *n, inoc_err *err)
{
	struct inoci_kv *kv = kv_of(g, key);
	bool negative;
	uint64_t x;
	*v = NULL;
	*n = 0;
	if (!kv || kv->type != GV_ARRAY || kv->elem == GV_STRING || kv->elem == GV_BOOL || kv->elem == GV_F32 ||
	    kv->elem == GV_F64)
		return wrong(g, key, kv, "an array of integers", err);
	const int32_t *have = atomic_load(&kv->copy);
	if (!have && kv->elem == GV_I32 && (uintptr_t)kv->value % _Alignof(int32_t) == 0) have = (const void *)kv->value;
	if (!have) {
		int32_t *made = inoci_big_alloc((size_t)kv->n * sizeof *made, key, err);
		if (!made) return INOC_E_MEMORY;
		for (uint64_t i = 0; i < kv->n; i++) {
			int_at(kv->elem, kv->value, i, &negative, &x);
			if (x > (uint64_t)INT32_MAX + negative) {
				free(made);
				return inoci_err_set(err, INOC_E_FORMAT,
				                     "%s: metadata key '%s': element %llu does not fit 32 bits", g->path, key,
				                     (unsigned long long)i);
			}
			made[i] = (int32_t)(negative ? -(int64_t)x : (int64_t)x);
		}
		have = keep(kv, made);
	}
	*v = have;
	*n = (size_t)kv->n;
	return 0;
}

int inoci_gguf_f32s(const inoci_gguf *g, const char *key, const float **v, size_t *n, inoc_err *err)
{
	struct inoci_kv *kv = kv_of(g, key);
	*v = NULL;
	*n = 0;
	if (!kv || kv->type != GV_ARRAY || (kv->elem != GV_F32 && kv->elem != GV_F64))
		return wrong(g, key, kv, "an array of floating-point numbers", err);
	const float *have = atomic_load(&kv->copy);
	if (!have && kv->elem == GV_F32 && (uintptr_t)kv->value % _Alignof(float) == 0) have = (const void *)kv->value;
	if (!have) {
		float *made = inoci_big_alloc((size_t)kv->n * sizeof *made, key, err);
		if (!made) return INOC_E_MEMORY;
		for (uint64_t i = 0; i < kv->n; i++) {
			double d;
			if (kv->elem == GV_F32) {
				memcpy(&made[i], kv->value + 4 * i, sizeof *made);
			} else {
				memcpy(&d, kv->value + 8 * i, sizeof d);
				made[i] = (float)d;
			}
		}
		have = keep(kv, made);
	}
	*v = have;
	*n = (size_t)kv->n;
	return 0;
}
