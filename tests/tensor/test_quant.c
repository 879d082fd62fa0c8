/* Block formats against gguf.quants (tests/fixtures/quant.json, made by tools/fixtures/quant.py). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tensor/tensor.h"

static json_t *fixture;

static int setup(void **state)
{
	json_error_t je;
	fixture = json_load_file(INOC_TESTS_DIR "/fixtures/quant.json", 0, &je);
	if (!fixture) print_error("quant.json: %s\n", je.text);
	return fixture ? 0 : -1;
}

static int teardown(void **state)
{
	json_decref(fixture);
	return 0;
}

static uint8_t *unhex(const char *entry, const char *key, size_t *n)
{
	const char *s = json_string_value(json_object_get(json_object_get(fixture, entry), key));
	assert_non_null(s);
	*n = strlen(s) / 2;
	uint8_t *p = malloc(*n);
	for (size_t i = 0; i < *n; i++) {
		unsigned v;
		assert_int_equal(sscanf(s + 2 * i, "%2x", &v), 1);
		p[i] = (uint8_t)v;
	}
	return p;
}

static void decodes_as_ggml(void **state)
{
	static const int types[] = {INOCI_F16, INOCI_BF16, INOCI_Q8_0, INOCI_Q4_0, INOCI_Q4_1, INOCI_Q5_0, INOCI_Q5_1};
	for (size_t k = 0; k < INOCI_COUNT(types); k++) {
		const char *name = inoci_qtype_name(types[k]);
		size_t n_raw, n_want;
		uint8_t *raw = unhex(name, "bytes", &n_raw);
		float *want = (float *)unhex(name, "f32", &n_want);
		size_t n = n_want / sizeof *want;
		assert_int_equal(n_raw, n / inoci_qtype_block(types[k]) * inoci_qtype_block_bytes(types[k]));
		/* at every alignment; a value's bits do not depend on where its block lies */
		uint8_t *moved = malloc(n_raw + 8);
		float *got = malloc(n * sizeof *got);
		for (size_t shift = 0; shift < 4; shift++) {
			memcpy(moved + shift, raw, n_raw);
			memset(got, 0xee, n * sizeof *got);
			inoci_dequant(types[k], moved + shift, got, n);
			for (size_t i = 0; i < n; i++)
				if (memcmp(&got[i], &want[i], sizeof *got) &&
				    !(fabsf(got[i] - want[i]) <= 1e-6f * fabsf(want[i])))
					fail_msg("%s value %zu: %a, expected %a", name, i, got[i], want[i]);
		}
		free(moved);
		free(got);
		free(raw);
		free(want);
	}
}

static void f32_is_copied(void **state)
{
	float x[3] = {1.5f, -0.0f, INFINITY}, y[3];
	inoci_dequant(INOCI_F32, x, y, 3);
	assert_memory_equal(x, y, sizeof x);
}

/* Against ldexp, for all 65536 patterns, one by one and in runs. */
static void every_f16(void **state)
{
	uint16_t *all = malloc(65536 * sizeof *all);
	float *got = malloc(65536 * sizeof *got);
	for (unsigned h = 0; h < 65536; h++) all[h] = (uint16_t)h;
	inoci_dequant(INOCI_F16, all, got, 65536);
	for (unsigned h = 0; h < 65536; h++) {
		int e = (int)(h >> 10 & 31), m = (int)(h & 1023);
		float want = e == 31 ? (m ? NAN : INFINITY) : e ? ldexpf((float)(1024 + m), e - 25) : ldexpf((float)m, -24);
		float one = inoci_f16_to_f32((uint16_t)h);
		if (h & 0x8000) want = -want;
		if (isnan(want)
		            ? !isnan(one) || !isnan(got[h])
		            : one != want || got[h] != want || signbit(one) != signbit(want) || signbit(got[h]) != signbit(want))
			fail_msg("f16 %04x: %a and %a, expected %a", h, one, got[h], want);
	}
	free(all);
	free(got);
}

static void bf16_rounds_as_torch(void **state)
{
	size_t n_raw, n_f32;
	uint8_t *raw = unhex("to_bf16", "bytes", &n_raw);
	float *x = (float *)unhex("to_bf16", "f32", &n_f32);
	for (size_t i = 0; i < n_f32 / sizeof *x; i++) {
		uint16_t want;
		memcpy(&want, raw + 2 * i, sizeof want);
		if (inoci_f32_to_bf16(x[i]) != want) fail_msg("%a: %04x, expected %04x", x[i], inoci_f32_to_bf16(x[i]), want);
	}
	free(raw);
	free(x);
	assert_true(isnan(inoci_bf16_to_f32(inoci_f32_to_bf16(NAN))));
	union {
		uint32_t u;
		float f;
	} low_nan = {.u = 0x7f800001u}; /* its payload lies below what bf16 keeps */
	assert_true(isnan(inoci_bf16_to_f32(inoci_f32_to_bf16(low_nan.f))));
	for (unsigned b = 0; b < 65536; b++)
		if (!isnan(inoci_bf16_to_f32((uint16_t)b)))
			assert_int_equal(inoci_f32_to_bf16(inoci_bf16_to_f32((uint16_t)b)), b);
}

static void names_and_sizes(void **state)
{
	assert_string_equal(inoci_qtype_name(INOCI_Q4_1), "Q4_1");
	assert_int_equal(inoci_qtype_block(INOCI_Q4_1), 32);
	assert_int_equal(inoci_qtype_block_bytes(INOCI_Q4_1), 20);
	assert_string_equal(inoci_qtype_label(12), "Q4_K");
	static const int not_decoded[] = {-1, 4, 5, 9, 12, 14, 26, 31, 99, INT32_MAX, INT32_MIN};
	for (size_t i = 0; i < INOCI_COUNT(not_decoded); i++) {
		assert_null(inoci_qtype_name(not_decoded[i]));
		assert_int_equal(inoci_qtype_block(not_decoded[i]), 0);
		assert_int_equal(inoci_qtype_block_bytes(not_decoded[i]), 0);
		assert_non_null(inoci_qtype_label(not_decoded[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(decodes_as_ggml),      cmocka_unit_test(f32_is_copied),   cmocka_unit_test(every_f16),
	        cmocka_unit_test(bf16_rounds_as_torch), cmocka_unit_test(names_and_sizes),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
