/* The GGUF reader: a file built here with every kind of value, and files that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tensor/tensor.h"

enum { U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 };

/* ---- writing one ---- */

static void put(inoci_buf *b, uint64_t v, size_t bytes)
{
	inoci_buf_append(b, &v, bytes);
}

static void put_str(inoci_buf *b, const char *s)
{
	put(b, strlen(s), 8);
	inoci_buf_puts(b, s);
}

static void head(inoci_buf *b, uint32_t version, uint64_t n_tensors, uint64_t n_kv)
{
	inoci_buf_puts(b, "GGUF");
	put(b, version, 4);
	put(b, n_tensors, 8);
	put(b, n_kv, 8);
}

static void kv(inoci_buf *b, const char *key, uint32_t type, uint64_t v, size_t bytes)
{
	put_str(b, key);
	put(b, type, 4);
	put(b, v, bytes);
}

static void kv_array(inoci_buf *b, const char *key, uint32_t elem, uint64_t n)
{
	put_str(b, key);
	put(b, ARRAY, 4);
	put(b, elem, 4);
	put(b, n, 8);
}

static void kv_f64(inoci_buf *b, const char *key, double v)
{
	put_str(b, key);
	put(b, F64, 4);
	inoci_buf_append(b, &v, sizeof v);
}

static void tensor(inoci_buf *b, const char *name, int type, uint64_t ne0, uint64_t ne1, uint64_t offset)
{
	put_str(b, name);
	put(b, 2, 4);
	put(b, ne0, 8);
	put(b, ne1, 8);
	put(b, (uint32_t)type, 4);
	put(b, offset, 8);
}

static void pad(inoci_buf *b, size_t align)
{
	while (b->len % align) put(b, 0, 1);
}

/* Every kind of value, three tensors, alignment 64. */
static void full(inoci_buf *b)
{
	float f = 1.25f;
	head(b, 3, 3, 15);
	kv(b, "general.alignment", U32, 64, 4);
	kv(b, "k.u8", U8, 200, 1);
	kv(b, "k.i16", I16, (uint64_t)-5, 2);
	kv(b, "k.i64", I64, 1ull << 40, 8);
	put_str(b, "k.f32");
	put(b, F32, 4);
	inoci_buf_append(b, &f, sizeof f);
	kv_f64(b, "k.f64", 0.5);
	kv(b, "k.bool", BOOL, 1, 1);
	put_str(b, "k.str");
	put(b, STRING, 4);
	put(b, 3, 8);
	inoci_buf_append(b, "a\0b", 3);
	kv_array(b, "k.strs", STRING, 3);
	put_str(b, "one");
	put_str(b, "");
	put_str(b, "drei");
	kv_array(b, "k.i32s", I32, 3);
	for (int i = 0; i < 3; i++) put(b, (uint32_t)(i - 1), 4);
	kv_array(b, "k.i8s", I8, 2);
	put(b, 0x7f80, 2);
	kv_array(b, "k.u64s", U64, 2);
	put(b, 7, 8);
	put(b, 1ull << 31, 8);
	kv_array(b, "k.f32s", F32, 2);
	inoci_buf_append(b, &f, sizeof f);
	inoci_buf_append(b, &f, sizeof f);
	kv_f64(b, "k.last", -1);
	kv_array(b, "k.bools", BOOL, 0);
	tensor(b, "w.f32", INOCI_F32, 3, 2, 0);
	tensor(b, "w.q4_1", INOCI_Q4_1, 32, 1, 64);
	tensor(b, "w.q4_k", 12, 256, 1, 128);
	pad(b, 64);
	for (int i = 0; i < 6; i++) {
		f = (float)i / 2;
		inoci_buf_append(b, &f, sizeof f);
	}
	pad(b, 64);
	put(b, 0x3c00, 2); /* d = 1 */
	put(b, 0xc000, 2); /* m = -2 */
	for (int i = 0; i < 16; i++) put(b, (uint64_t)(i | (15 - i) << 4), 1);
	pad(b, 64);
	for (int i = 0; i < 144; i++) put(b, 0xaa, 1);
}

/* From memory of exactly that size, so that the sanitizer sees any byte too far. */
static int parse(const inoci_buf *b, size_t n, inoci_gguf **g, uint8_t **copy, inoc_err *err)
{
	*copy = malloc(n ? n : 1);
	if (n) memcpy(*copy, b->data, n);
	return inoci_gguf_parse(*copy, n, "m.gguf", g, err);
}

static void refused(inoci_buf *b, int code, const char *what)
{
	inoci_gguf *g;
	inoc_err err = {0};
	uint8_t *copy;
	int rc = parse(b, b->len, &g, &copy, &err);
	if (rc != code || err.code != code || g || !strstr(err.msg, what) || !strstr(err.msg, "m.gguf"))
		fail_msg("got %d \"%s\", expected %d with \"%s\"", rc, err.msg, code, what);
	free(copy);
	inoci_buf_free(b);
}

/* ---- the file built here ---- */

static void wrong_kind(const inoci_gguf *g, const char *key, int rc, const inoc_err *err, const char *what)
{
	if (rc != INOC_E_FORMAT || !strstr(err->msg, key) || !strstr(err->msg, "m.gguf") || !strstr(err->msg, what))
		fail_msg("%s: got %d \"%s\", expected \"%s\"", key, rc, err->msg, what);
}

static void reads_every_kind(void **state)
{
	for (size_t shift = 0; shift < 8; shift++) { /* of the file in memory: getters give aligned arrays all the same */
		inoci_buf b = {0};
		inoci_gguf *g;
		inoc_err err;
		uint32_t u;
		float f;
		bool yes;
		const char *s, *strs[3];
		size_t n, len[3];
		const int32_t *i32;
		const float *f32;
		full(&b);
		uint8_t *mem = malloc(b.len + shift);
		memcpy(mem + shift, b.data, b.len);
		if (inoci_gguf_parse(mem + shift, b.len, "m.gguf", &g, &err) < 0) fail_msg("%s", err.msg);
		assert_int_equal(inoci_gguf_version(g), 3);
		assert_int_equal(inoci_gguf_bytes(g), b.len);
		assert_string_equal(inoci_gguf_path(g), "m.gguf");
		assert_int_equal(inoci_gguf_u32(g, "k.u8", &u, &err), 0);
		assert_int_equal(u, 200);
		assert_int_equal(inoci_gguf_f32(g, "k.f32", &f, &err), 0);
		assert_true(f == 1.25f);
		assert_int_equal(inoci_gguf_f32(g, "k.f64", &f, &err), 0);
		assert_true(f == 0.5f);
		assert_int_equal(inoci_gguf_bool(g, "k.bool", &yes, &err), 0);
		assert_true(yes);
		assert_int_equal(inoci_gguf_str(g, "k.str", &s, &n, &err), 0);
		assert_int_equal(n, 3);
		assert_memory_equal(s, "a\0b", 3);
		assert_int_equal(inoci_gguf_strs_n(g, "k.strs", &n, &err), 0);
		assert_int_equal(n, 3);
		assert_int_equal(inoci_gguf_strs(g, "k.strs", strs, len, 3, &err), 0);
		assert_int_equal(len[1], 0);
		assert_int_equal(len[2], 4);
		assert_memory_equal(strs[2], "drei", 4);
		for (int twice = 0; twice < 2; twice++) {
			assert_int_equal(inoci_gguf_i32s(g, "k.i32s", &i32, &n, &err), 0);
			assert_int_equal(n, 3);
			assert_int_equal((uintptr_t)i32 % 4, 0);
			for (int i = 0; i < 3; i++) assert_int_equal(i32[i], i - 1);
			assert_int_equal(inoci_gguf_f32s(g, "k.f32s", &f32, &n, &err), 0);
			assert_int_equal(n, 2);
			assert_int_equal((uintptr_t)f32 % 4, 0);
			assert_true(f32[0] == 1.25f && f32[1] == 1.25f);
		}
		assert_int_equal(inoci_gguf_i32s(g, "k.i8s", &i32, &n, &err), 0);
		assert_int_equal(n, 2);
		assert_true(i32[0] == -128 && i32[1] == 127);

		wrong_kind(g, "k.i16", inoci_gguf_u32(g, "k.i16", &u, &err), &err, "is -5; 0 to 4294967295 expected");
		wrong_kind(g, "k.i64", inoci_gguf_u32(g, "k.i64", &u, &err), &err, "is 1099511627776");
		wrong_kind(g, "k.u64s", inoci_gguf_i32s(g, "k.u64s", &i32, &n, &err), &err, "element 1 does not fit");
		wrong_kind(g, "k.none", inoci_gguf_u32(g, "k.none", &u, &err), &err, "is missing");
		wrong_kind(g, "k.str", inoci_gguf_u32(g, "k.str", &u, &err), &err, "is string; an integer expected");
		wrong_kind(g, "k.u8", inoci_gguf_f32(g, "k.u8", &f, &err), &err, "is uint8");
		wrong_kind(g, "k.u8", inoci_gguf_bool(g, "k.u8", &yes, &err), &err, "is uint8; a bool expected");
		wrong_kind(g, "k.strs", inoci_gguf_str(g, "k.strs", &s, &n, &err), &err, "is an array of string; a string");
		wrong_kind(g, "k.strs", inoci_gguf_i32s(g, "k.strs", &i32, &n, &err), &err, "an array of integers expected");
		wrong_kind(g, "k.i32s", inoci_gguf_f32s(g, "k.i32s", &f32, &n, &err), &err, "is an array of int32");
		wrong_kind(g, "k.i32s", inoci_gguf_strs_n(g, "k.i32s", &n, &err), &err, "an array of strings expected");
		wrong_kind(g, "k.strs", inoci_gguf_strs(g, "k.strs", strs, len, 2, &err), &err, "has 3 strings; 2 expected");
		assert_true(inoci_gguf_has(g, "k.bools"));
		assert_false(inoci_gguf_has(g, "k.boolsx"));

		assert_int_equal(inoci_gguf_n_tensors(g), 3);
		const inoci_tensor *t = inoci_gguf_tensor(g, "w.f32");
		assert_ptr_equal(t, inoci_gguf_tensor_at(g, 0));
		assert_int_equal(t->n_dims, 2);
		assert_true(t->ne[0] == 3 && t->ne[1] == 2 && t->ne[2] == 1 && t->ne[3] == 1);
		assert_int_equal(t->bytes, 24);
		float x[32];
		inoci_dequant(t->type, t->data, x, 6);
		for (int i = 0; i < 6; i++) assert_true(x[i] == (float)i / 2);
		t = inoci_gguf_tensor(g, "w.q4_1");
		inoci_dequant(t->type, t->data, x, 32);
		for (int i = 0; i < 32; i++) assert_true(x[i] == (float)(i < 16 ? i : 31 - i) - 2);
		t = inoci_gguf_tensor(g, "w.q4_k");
		assert_null(inoci_qtype_name(t->type));
		assert_int_equal(t->bytes, 144);
		assert_null(inoci_gguf_tensor(g, "w"));
		inoci_gguf_free(g);
		free(mem);
		inoci_buf_free(&b);
	}
}

static void nothing_in_it(void **state)
{
	inoci_buf b = {0};
	inoci_gguf *g;
	inoc_err err;
	uint8_t *copy;
	head(&b, 2, 0, 0);
	assert_int_equal(parse(&b, b.len, &g, &copy, &err), 0);
	assert_int_equal(inoci_gguf_n_tensors(g), 0);
	assert_null(inoci_gguf_tensor(g, "x"));
	assert_false(inoci_gguf_has(g, "x"));
	inoci_gguf_free(g);
	inoci_gguf_free(NULL);
	free(copy);
	inoci_buf_free(&b);
}

static void every_truncation_is_told(void **state)
{
	inoci_buf b = {0};
	full(&b);
	for (size_t n = 0; n < b.len; n++) {
		inoci_gguf *g;
		inoc_err err = {0};
		uint8_t *copy;
		char want[64];
		snprintf(want, sizeof want, "m.gguf: truncated at byte %zu while reading ", n);
		int rc = parse(&b, n, &g, &copy, &err);
		if (rc != INOC_E_FORMAT || g || strncmp(err.msg, want, strlen(want)) || !strstr(err.msg, "fetch it again"))
			fail_msg("%zu bytes: %d \"%s\"", n, rc, err.msg);
		free(copy);
	}
	inoci_buf_free(&b);
}

/* Each byte replaced by each of some values: refused with a message, or readable. The sanitizer build is the judge. */
static void any_byte_damaged(void **state)
{
	static const uint8_t values[] = {0, 1, 9, 0x7f, 0x80, 0xff};
	inoci_buf b = {0};
	full(&b);
	for (size_t at = 0; at < b.len; at++)
		for (size_t k = 0; k < INOCI_COUNT(values); k++) {
			char keep = b.data[at];
			inoci_gguf *g;
			inoc_err err = {0};
			uint8_t *copy;
			b.data[at] = (char)values[k];
			if (parse(&b, b.len, &g, &copy, &err) < 0) {
				assert_true(err.code < 0 && err.msg[0]);
			} else {
				unsigned sum = 0;
				for (size_t i = 0; i < inoci_gguf_n_tensors(g); i++)
					for (size_t j = 0; j < inoci_gguf_tensor_at(g, i)->bytes; j++)
						sum += inoci_gguf_tensor_at(g, i)->data[j];
				assert_true(sum < UINT32_MAX);
				inoci_gguf_free(g);
			}
			free(copy);
			b.data[at] = keep;
		}
	inoci_buf_free(&b);
}

/* ---- files that lie ---- */

static void hostile_headers(void **state)
{
	inoci_buf b = {0};
	inoci_buf_puts(&b, "PK\x03\x04 and so on");
	refused(&b, INOC_E_FORMAT, "not a GGUF file: it starts with the bytes 50 4b 03 04");
	inoci_buf_puts(&b, "version https://git-lfs.github.com/spec/v1\noid sha256:00\n");
	refused(&b, INOC_E_FORMAT, "Git LFS pointer");
	head(&b, 1, 0, 0);
	refused(&b, INOC_E_UNSUPPORTED, "GGUF version 1; versions 2 and 3 are read");
	head(&b, 4, 0, 0);
	refused(&b, INOC_E_UNSUPPORTED, "GGUF version 4");
	head(&b, 0, 0, 0);
	refused(&b, INOC_E_UNSUPPORTED, "GGUF version 0");
	head(&b, 3u << 24, 0, 0);
	refused(&b, INOC_E_UNSUPPORTED, "big-endian");
	head(&b, 3, 0, UINT64_MAX);
	refused(&b, INOC_E_FORMAT, "truncated at byte 24 while reading the metadata");
	head(&b, 3, UINT64_MAX / 2, 0);
	refused(&b, INOC_E_FORMAT, "truncated at byte 24 while reading the tensor table");
}

static void hostile_metadata(void **state)
{
	static const uint64_t huge[] = {100, 1ull << 32, 1ull << 61, (1ull << 62) + 1, 1ull << 63, UINT64_MAX - 7, UINT64_MAX};
	inoci_buf b = {0};
	for (size_t i = 0; i < INOCI_COUNT(huge); i++) {
		head(&b, 3, 0, 1);
		put(&b, huge[i], 8);
		inoci_buf_puts(&b, "some key");
		refused(&b, INOC_E_FORMAT, "while reading metadata entry 1 of 1");
		head(&b, 3, 0, 1);
		kv(&b, "s", STRING, huge[i], 8);
		inoci_buf_puts(&b, "some text");
		refused(&b, INOC_E_FORMAT, "while reading the value of 's'");
		static const uint32_t elems[] = {U8, I32, F64, STRING};
		for (size_t k = 0; k < INOCI_COUNT(elems); k++) {
			head(&b, 3, 0, 1);
			kv_array(&b, "arr", elems[k], huge[i]);
			put(&b, 0, 8);
			refused(&b, INOC_E_FORMAT, "while reading the value of 'arr'");
		}
		head(&b, 3, 0, 1);
		kv_array(&b, "arr", STRING, 2);
		put_str(&b, "fine");
		put(&b, huge[i], 8);
		refused(&b, INOC_E_FORMAT, "while reading the value of 'arr'");
	}
	head(&b, 3, 0, 1);
	kv(&b, "k", 13, 0, 8);
	refused(&b, INOC_E_FORMAT, "the value of 'k', at byte 37: value type 13 does not exist");
	head(&b, 3, 0, 1);
	kv_array(&b, "k", 77, 0);
	refused(&b, INOC_E_FORMAT, "element type 77 does not exist");
	head(&b, 3, 0, 1);
	kv_array(&b, "k", ARRAY, 1);
	refused(&b, INOC_E_UNSUPPORTED, "arrays of arrays");
	head(&b, 3, 0, 1);
	kv(&b, "k", BOOL, 2, 1);
	refused(&b, INOC_E_FORMAT, "a bool is 0 or 1");
	head(&b, 3, 0, 2);
	kv(&b, "same", U8, 0, 1);
	kv(&b, "same", U32, 0, 4);
	refused(&b, INOC_E_FORMAT, "metadata key 'same' is there twice");
	static const char *const bad[] = {"", "new\nline", "\x1b[2J", "\xff\xfe", "cut \xc3"};
	for (size_t i = 0; i < INOCI_COUNT(bad); i++) {
		head(&b, 3, 0, 1);
		kv(&b, bad[i], U32, 0, 4);
		refused(&b, INOC_E_FORMAT, "metadata entry 1 of 1, at byte 24: its name is not");
	}
}

static void hostile_tensors(void **state)
{
	inoci_buf b = {0};
	static const uint32_t aligns[] = {0, 3, 48};
	for (size_t i = 0; i < INOCI_COUNT(aligns); i++) {
		head(&b, 3, 0, 1);
		kv(&b, "general.alignment", U32, aligns[i], 4);
		refused(&b, INOC_E_FORMAT, "no power of two");
	}
	head(&b, 3, 0, 1);
	kv(&b, "general.alignment", F32, 0, 4);
	refused(&b, INOC_E_FORMAT, "'general.alignment' is float32; an integer expected");
	head(&b, 3, 1, 1);
	kv(&b, "general.alignment", U32, 1u << 31, 4);
	tensor(&b, "t", INOCI_F32, 1, 1, 0);
	pad(&b, 64);
	refused(&b, INOC_E_FORMAT, "the padding before the tensors");

	static const struct {
		int type;
		uint64_t ne0, ne1, offset;
		const char *want;
	} cases[] = {
	        {INOCI_F32, 0, 1, 0, "dimension 0 is 0"},
	        {INOCI_F32, 1ull << 32, 1ull << 31, 0, "more than 2^63 values"},
	        {INOCI_F32, UINT64_MAX, UINT64_MAX, 0, "more than 2^63 values"},
	        {INOCI_F32, 1ull << 62, 1, 0, "does not fit 64 bits"},
	        {INOCI_F32, 1ull << 61, 1, 0, "truncated at byte"},
	        {INOCI_F32, 17, 1, 0, "while reading tensor 't' (68 bytes wanted"},
	        {INOCI_F32, 16, 1, 32, "while reading tensor 't' (64 bytes wanted"},
	        {INOCI_F32, 1, 1, 64, "while reading tensor 't'"},
	        {INOCI_F32, 1, 1, 4, "its offset 4 is no multiple of the alignment 32"},
	        {INOCI_F32, 1, 1, UINT64_MAX - 31, "does not fit 64 bits"},
	        {INOCI_F32, 1, 1, 1ull << 40, "truncated at byte"},
	        {INOCI_Q4_1, 33, 1, 0, "no multiple of the 32 of a Q4_1 block"},
	        {INOCI_Q4_1, 16, 2, 0, "no multiple of the 32 of a Q4_1 block"},
	        {12, 32, 1, 0, "no multiple of the 256 of a Q4_K block"},
	        {-1, 1, 1, 0, "tensor type 4294967295 does not exist"},
	        {77, 1, 1, 1024, "while reading tensor 't'"},
	};
	for (size_t i = 0; i < INOCI_COUNT(cases); i++) {
		head(&b, 3, 1, 0);
		tensor(&b, "t", cases[i].type, cases[i].ne0, cases[i].ne1, cases[i].offset);
		pad(&b, 32);
		for (int k = 0; k < 64; k++) put(&b, 0, 1);
		refused(&b, INOC_E_FORMAT, cases[i].want);
	}
	head(&b, 3, 1, 0);
	put_str(&b, "t");
	put(&b, 5, 4);
	pad(&b, 128);
	refused(&b, INOC_E_FORMAT, "5 dimensions; GGUF has at most 4");
	head(&b, 3, 2, 0);
	tensor(&b, "t", INOCI_F32, 1, 1, 0);
	tensor(&b, "t", INOCI_F32, 1, 1, 32);
	pad(&b, 256);
	refused(&b, INOC_E_FORMAT, "tensor 't' is there twice");
	head(&b, 3, 2, 0);
	tensor(&b, "b", INOCI_F32, 1, 1, 32);
	tensor(&b, "a", INOCI_F32, 9, 1, 0);
	pad(&b, 512);
	refused(&b, INOC_E_FORMAT, "tensors 'a' and 'b' overlap");
}

/* A type that not even its block is known of: listed, so that the loader can name it. */
static void unknown_type_is_listed(void **state)
{
	inoci_buf b = {0};
	inoci_gguf *g;
	inoc_err err;
	uint8_t *copy;
	head(&b, 3, 1, 0);
	tensor(&b, "t", 77, 5, 1, 0);
	pad(&b, 64);
	if (parse(&b, b.len, &g, &copy, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(inoci_gguf_tensor_at(g, 0)->bytes, 0);
	assert_null(inoci_qtype_name(inoci_gguf_tensor_at(g, 0)->type));
	inoci_gguf_free(g);
	free(copy);
	inoci_buf_free(&b);
}

static void allocations_fail(void **state)
{
	inoci_buf b = {0};
	inoci_gguf *g = NULL;
	inoc_err err;
	int failed = 0, rc;
	uint8_t *copy;
	full(&b);
	for (long n = 1;; n++) {
		inoci_fault_alloc_at(n);
		rc = parse(&b, b.len, &g, &copy, &err);
		inoci_fault_alloc_at(0);
		if (rc == 0) break;
		assert_int_equal(rc, INOC_E_MEMORY);
		assert_null(g);
		free(copy);
		failed++;
	}
	assert_int_equal(failed, 6);
	const int32_t *v;
	size_t n;
	inoci_fault_alloc_at(1);
	assert_int_equal(inoci_gguf_i32s(g, "k.i8s", &v, &n, &err), INOC_E_MEMORY);
	inoci_fault_alloc_at(0);
	assert_int_equal(inoci_gguf_i32s(g, "k.i8s", &v, &n, &err), 0);
	inoci_gguf_free(g);
	free(copy);
	inoci_buf_free(&b);
}

static void file_errors(void **state)
{
	inoci_gguf *g;
	inoc_err err;
	assert_int_equal(inoci_gguf_open("no-such-folder/m.gguf", &g, &err), INOC_E_IO);
	assert_null(g);
	assert_non_null(strstr(err.msg, "no-such-folder/m.gguf"));
	assert_int_equal(inoci_gguf_open(".", &g, &err), INOC_E_IO);
	assert_int_equal(inoci_gguf_open(INOC_TESTS_DIR "/tensor/test_gguf.c", &g, &err), INOC_E_FORMAT);
	assert_non_null(strstr(err.msg, "not a GGUF file"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(reads_every_kind),         cmocka_unit_test(nothing_in_it),
	        cmocka_unit_test(every_truncation_is_told), cmocka_unit_test(any_byte_damaged),
	        cmocka_unit_test(hostile_headers),          cmocka_unit_test(hostile_metadata),
	        cmocka_unit_test(hostile_tensors),          cmocka_unit_test(unknown_type_is_listed),
	        cmocka_unit_test(allocations_fail),         cmocka_unit_test(file_errors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
