/* safetensors: a file of the reference implementation, round trips, and files that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tensor/tensor.h"

#define OUT "test_safetensors.out"

static void values_are(const inoci_safetensors *s, const char *name, const char *dtype, int n_dims, uint64_t d0, uint64_t d1,
                       const float *want, size_t n)
{
	const inoci_st_tensor *t = inoci_st_get(s, name);
	float got[16];
	inoc_err err;
	if (!t) fail_msg("no tensor '%s'", name);
	assert_string_equal(t->name, name);
	assert_string_equal(t->dtype, dtype);
	assert_int_equal(t->n_dims, n_dims);
	assert_int_equal(t->shape[0], d0);
	assert_int_equal(t->shape[1], d1);
	if (inoci_st_f32(t, got, &err) < 0) fail_msg("%s", err.msg);
	for (size_t i = 0; i < n; i++)
		if (got[i] != want[i]) fail_msg("%s[%zu]: %a, expected %a", name, i, got[i], want[i]);
}

static void reads_the_reference_file(void **state)
{
	inoci_safetensors *s;
	inoc_err err;
	float x[4];
	if (inoci_st_open(INOC_TESTS_DIR "/fixtures/small.safetensors", &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(inoci_st_n(s), 8);
	values_are(s, "w", "F32", 2, 2, 3, (float[]){-0.5f, -0.25f, 0, 0.25f, 0.5f, 0.75f}, 6);
	values_are(s, "half", "F16", 1, 4, 1, (float[]){1.5f, -2, 65504, 0x1p-24f}, 4);
	values_are(s, "brain", "BF16", 2, 2, 1, (float[]){1, -0.0078125f}, 2);
	values_are(s, "ids", "I64", 1, 3, 1, (float[]){-3, 0, 1 << 24}, 3);
	values_are(s, "scalar", "F32", 0, 1, 1, (float[]){7.25f}, 1);
	values_are(s, "nothing", "F32", 2, 0, 4, NULL, 0);
	values_are(s, "name with \xc3\xa9 and \"quotes\"", "F32", 1, 2, 1, (float[]){1, 1}, 2);
	assert_null(inoci_st_get(s, "__metadata__"));
	assert_null(inoci_st_get(s, "W"));
	assert_int_equal(inoci_st_f32(inoci_st_get(s, "flags"), x, &err), INOC_E_UNSUPPORTED);
	assert_non_null(strstr(err.msg, "tensor 'flags' is BOOL"));
	inoci_st_free(s);
	inoci_st_free(NULL);
}

static inoci_st_tensor f32_tensor(const char *name, const float *data, int n_dims, uint64_t d0, uint64_t d1)
{
	return (inoci_st_tensor){
	        .name = (char *)(uintptr_t)name, .n_dims = n_dims, .shape = {d0, d1, 1, 1}, .data = (const uint8_t *)data};
}

static const float data_a[] = {1, 2, 3, 4, 5, 6}, data_b[] = {-0.5f, 0.25f};

/* The exact bytes: they enter hashes, and must not change between versions. */
static void writes_these_bytes(void **state)
{
	static const char want[] =
	        "{\"__metadata__\":{\"format\":\"pt\"},\"z\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
	        "\"a \\\"q\\\" \xc3\xa9\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[24,32]},"
	        "\"e\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[32,32]},"
	        "\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[32,36]}}";
	inoci_st_tensor t[] = {f32_tensor("z", data_a, 2, 2, 3), f32_tensor("a \"q\" \xc3\xa9", data_b, 1, 2, 1),
	                       f32_tensor("e", NULL, 2, 0, 5), f32_tensor("s", data_b + 1, 0, 1, 1)};
	inoci_safetensors *s;
	inoc_err err;
	char *bytes;
	size_t n;
	uint64_t len;
	if (inoci_st_write(OUT, t, 4, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(inoci_file_read(OUT, &bytes, &n, &err), 0);
	memcpy(&len, bytes, sizeof len);
	assert_int_equal(len, (sizeof want - 1 + 7) / 8 * 8);
	assert_int_equal(n, 8 + len + 36);
	assert_memory_equal(bytes + 8, want, sizeof want - 1);
	for (size_t i = 8 + sizeof want - 1; i < 8 + len; i++) assert_int_equal(bytes[i], ' ');
	assert_memory_equal(bytes + 8 + len, data_a, 24);
	assert_memory_equal(bytes + 8 + len + 24, data_b, 8);
	assert_memory_equal(bytes + 8 + len + 32, data_b + 1, 4);
	free(bytes);

	if (inoci_st_open(OUT, &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(inoci_st_n(s), 4);
	assert_string_equal(inoci_st_at(s, 0)->name, "z");
	values_are(s, "z", "F32", 2, 2, 3, data_a, 6);
	values_are(s, "a \"q\" \xc3\xa9", "F32", 1, 2, 1, data_b, 2);
	values_are(s, "e", "F32", 2, 0, 5, NULL, 0);
	values_are(s, "s", "F32", 0, 1, 1, data_b + 1, 1);
	inoci_st_free(s);

	if (inoci_st_write(OUT, NULL, 0, &err) < 0) fail_msg("%s", err.msg);
	if (inoci_st_open(OUT, &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(inoci_st_n(s), 0);
	assert_null(inoci_st_get(s, "z"));
	inoci_st_free(s);
	unlink(OUT);
}

static void write_refuses(void **state)
{
	inoci_st_tensor twice[] = {f32_tensor("n", data_a, 1, 1, 1), f32_tensor("m", data_a, 1, 1, 1),
	                           f32_tensor("n", data_a, 1, 1, 1)};
	inoci_st_tensor reserved = f32_tensor("__metadata__", data_a, 1, 1, 1), latin = f32_tensor("caf\xe9", data_a, 1, 1, 1);
	inoc_err err;
	assert_int_equal(inoci_st_write(OUT, twice, 3, &err), INOC_E_FORMAT);
	assert_non_null(strstr(err.msg, "two tensors are named 'n'"));
	assert_int_equal(inoci_st_write(OUT, &reserved, 1, &err), INOC_E_FORMAT);
	assert_int_equal(inoci_st_write(OUT, &latin, 1, &err), INOC_E_FORMAT);
	assert_int_equal(inoci_st_write("no-such-folder/x", twice, 1, &err), INOC_E_IO);
	assert_false(inoci_path_exists(OUT));
}

/* The n-th write fails: an error, and the file of before is still there. */
static void full_disk(void **state)
{
	inoci_st_tensor before = f32_tensor("before", data_b, 1, 2, 1);
	inoci_st_tensor t[] = {f32_tensor("x", data_a, 1, 6, 1), f32_tensor("y", data_b, 1, 2, 1)};
	inoci_safetensors *s;
	inoc_err err;
	int failed = 0, rc;
	if (inoci_st_write(OUT, &before, 1, &err) < 0) fail_msg("%s", err.msg);
	for (long n = 1;; n++) {
		inoci_fault_write_at(n);
		rc = inoci_st_write(OUT, t, 2, &err);
		inoci_fault_write_at(0);
		if (rc == 0) break;
		assert_int_equal(rc, INOC_E_IO);
		failed++;
		if (inoci_st_open(OUT, &s, &err) < 0) fail_msg("%s", err.msg);
		assert_non_null(inoci_st_get(s, "before"));
		inoci_st_free(s);
	}
	assert_int_equal(failed, 5); /* length, header, x, y, commit */
	unlink(OUT);
}

static int parse(const char *bytes, size_t n, inoci_safetensors **s, uint8_t **copy, inoc_err *err)
{
	*copy = malloc(n ? n : 1);
	if (n) memcpy(*copy, bytes, n);
	return inoci_st_parse(*copy, n, "a.safetensors", s, err);
}

static void refused(const char *bytes, size_t n, int code, const char *what)
{
	inoci_safetensors *s;
	inoc_err err = {0};
	uint8_t *copy;
	int rc = parse(bytes, n, &s, &copy, &err);
	if (rc != code || err.code != code || s || !strstr(err.msg, what) || !strstr(err.msg, "a.safetensors"))
		fail_msg("got %d \"%s\", expected %d with \"%s\"", rc, err.msg, code, what);
	free(copy);
}

static void hostile_headers(void **state)
{
	static const struct {
		const char *header;
		size_t data;
		int code;
		const char *want;
	} cases[] = {
#define T(body) "{\"t\":{" body "}}"
#define F INOC_E_FORMAT
	        {"", 0, F, "does not start with '{'"},
	        {" {}", 0, F, "does not start with '{'"},
	        {"[]", 0, F, "does not start with '{'"},
	        {"{\"t\":", 0, F, "the header is not JSON"},
	        {"{} {}", 0, F, "the header is not JSON"},
	        {"{\"t\":{},\"t\":{}}", 0, F, "the header is not JSON: duplicate object key"},
	        {"{\"\\u0000\":{}}", 0, F, "the header is not JSON"},
	        {"{\"a\\nb\":{}}", 0, F, "control character"},
	        {"{\"__metadata__\":[]}", 0, F, "\"__metadata__\" is not an object of strings"},
	        {"{\"__metadata__\":{\"a\":1}}", 0, F, "\"__metadata__\" is not an object of strings"},
	        {"{}", 1, F, "1 bytes behind the last tensor belong to none"},
	        {"{\"t\":7}", 0, F, "tensor 't': \"dtype\" is missing"},
	        {T("\"dtype\":1"), 0, F, "\"dtype\" is missing"},
	        {T("\"dtype\":\"F99\""), 0, INOC_E_UNSUPPORTED, "dtype \"F99\" is not known"},
	        {T("\"dtype\":\"F32\""), 0, F, "\"shape\" is missing"},
	        {T("\"dtype\":\"F32\",\"shape\":[1,1,1,1,1]"), 0, INOC_E_UNSUPPORTED, "5 dimensions"},
	        {T("\"dtype\":\"F32\",\"shape\":[-1]"), 0, F, "what is no size"},
	        {T("\"dtype\":\"F32\",\"shape\":[1.0]"), 0, F, "what is no size"},
	        {T("\"dtype\":\"F32\",\"shape\":[1]"), 4, F, "is not [begin, end]"},
	        {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]"), 4, F, "is not [begin, end]"},
	        {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]"), 4, F, "what is no offset"},
	        {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]"), 4, F, "ends before it begins"},
	        {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,99999999999999999999]"), 4, F,
	         "not JSON: too big integer"},
	        {T("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]"), 4, F,
	         "shape and dtype make 8 bytes, data_offsets 4"},
	        {T("\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]"), 0, F, "too large for 64 bits"},
	        {T("\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]"), 0, F, "too large for 64 bits"},
	        {T("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]"), 7, F,
	         "while reading tensor t (8 bytes wanted at byte"},
	        {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]"), 8, F,
	         "begins at 4, where the one before ends at 0"},
	        {T("\"dtype\":\"U8\",\"shape\":[9223372036854775807],\"data_offsets\":[0,9223372036854775807]"), 8, F,
	         "truncated"},
	        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[4],"
	         "\"data_offsets\":[2,6]}}",
	         6, F, "tensor 'b' begins at 2, where the one before ends at 4"},
#undef T
#undef F
	};
	for (size_t i = 0; i < INOCI_COUNT(cases); i++) {
		inoci_buf b = {0};
		uint64_t len = strlen(cases[i].header);
		inoci_buf_append(&b, &len, sizeof len);
		inoci_buf_puts(&b, cases[i].header);
		for (size_t k = 0; k < cases[i].data; k++) inoci_buf_append(&b, "\0", 1);
		refused(b.data, b.len, cases[i].code, cases[i].want);
		inoci_buf_free(&b);
	}
	refused("GGUF\3\0\0\0\1\0\0\0", 12, INOC_E_FORMAT, "not a safetensors file: its header would have");
	refused("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, INOC_E_FORMAT,
	        "not a safetensors file: its header would have 1844674407");
	refused("\x03\0\0\0\0\0\0\0{}", 10, INOC_E_FORMAT,
	        "truncated at byte 10 while reading the header (3 bytes wanted at byte 8)");
}

static void every_truncation_is_told(void **state)
{
	char *bytes;
	size_t n;
	inoc_err err;
	assert_int_equal(inoci_file_read(INOC_TESTS_DIR "/fixtures/small.safetensors", &bytes, &n, &err), 0);
	for (size_t k = 0; k < n; k++) {
		char want[64];
		snprintf(want, sizeof want, "truncated at byte %zu while reading ", k);
		refused(bytes, k, INOC_E_FORMAT, want);
	}
	free(bytes);
}

static void any_byte_damaged(void **state)
{
	static const char values[] = {0, ' ', '"', '0', '9', '{', ']', '\x7f', '\xff'};
	char *bytes;
	size_t n;
	inoc_err err;
	assert_int_equal(inoci_file_read(INOC_TESTS_DIR "/fixtures/small.safetensors", &bytes, &n, &err), 0);
	for (size_t at = 0; at < n; at++)
		for (size_t k = 0; k < sizeof values; k++) {
			char keep = bytes[at];
			inoci_safetensors *s;
			uint8_t *copy;
			bytes[at] = values[k];
			if (parse(bytes, n, &s, &copy, &err) < 0) {
				assert_true(err.code < 0 && err.msg[0]);
			} else {
				float x[64];
				for (size_t i = 0; i < inoci_st_n(s); i++)
					if (inoci_st_f32(inoci_st_at(s, i), x, &err) < 0)
						assert_int_equal(err.code, INOC_E_UNSUPPORTED);
				inoci_st_free(s);
			}
			free(copy);
			bytes[at] = keep;
		}
	free(bytes);
}

static void allocations_fail(void **state)
{
	inoci_safetensors *s;
	inoc_err err;
	int failed = 0, rc;
	for (long n = 1;; n++) {
		inoci_fault_alloc_at(n);
		rc = inoci_st_open(INOC_TESTS_DIR "/fixtures/small.safetensors", &s, &err);
		inoci_fault_alloc_at(0);
		if (rc == 0) break;
		assert_int_equal(rc, INOC_E_MEMORY);
		assert_null(s);
		failed++;
	}
	assert_int_equal(failed, 3);
	inoci_st_free(s);
	assert_int_equal(inoci_st_open("no-such-file", &s, &err), INOC_E_IO);
	assert_null(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(reads_the_reference_file),
	        cmocka_unit_test(writes_these_bytes),
	        cmocka_unit_test(write_refuses),
	        cmocka_unit_test(full_disk),
	        cmocka_unit_test(hostile_headers),
	        cmocka_unit_test(every_truncation_is_told),
	        cmocka_unit_test(any_byte_damaged),
	        cmocka_unit_test(allocations_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
