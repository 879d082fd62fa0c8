/* Products over weights in a file's blocks against the oracle on the values these stand for, and the invariance of a row's bits.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ops/ops.h"
#include "tensor/tensor.h"

static inoci_rng rng;

/* The fast operations, or NULL in a build without them. */
static inoci_ops *open_ops(int threads)
{
	inoci_ops *o;
	inoc_err err;
	return inoci_ops_cpu(INOCI_DTYPE_Q, threads, &o, &err) < 0 ? NULL : o;
}

static float *normals(size_t n, float scale)
{
	float *v = inoci_alloc(n * 4);
	for (size_t i = 0; i < n; i++) v[i] = (float)inoci_rng_normal(&rng) * scale;
	return v;
}

/* v rounded to bf16, and that as an act array */
static uint16_t *rounded(float *v, size_t n)
{
	uint16_t *b = inoci_alloc(n * 2 + 64);
	for (size_t i = 0; i < n; i++) v[i] = inoci_bf16_to_f32(b[i] = inoci_f32_to_bf16(v[i]));
	return b;
}

/* n rows of random blocks, and their values. Scales are some 2^-6, now and then 0, subnormal or negative. */
static inoci_block_rows random_rows(int type, int n, int k, float *values)
{
	static const uint16_t scales[] = {0x2400, 0x2555, 0x23ff, 0x1c01, 0xa400, 0x0000, 0x0001, 0x83ff};
	size_t bytes = inoci_qtype_block_bytes(type), blocks = (size_t)n * (size_t)k / 32;
	uint8_t *p = inoci_alloc(blocks * bytes);
	for (size_t i = 0; i < blocks * bytes; i++) p[i] = (uint8_t)(inoci_rng_uniform(&rng) * 256);
	for (size_t b = 0; b < blocks; b++) {
		memcpy(p + b * bytes, &scales[(size_t)(inoci_rng_uniform(&rng) * 8)], 2);
		if (type == INOCI_Q4_1 || type == INOCI_Q5_1)
			memcpy(p + b * bytes + 2, &scales[(size_t)(inoci_rng_uniform(&rng) * 8)], 2);
	}
	inoci_dequant(type, p, values, (size_t)n * (size_t)k);
	return (inoci_block_rows){type, n, p};
}

static void rows_free(inoci_block_rows *r, int n)
{
	for (int i = 0; i < n; i++) free((void *)(uintptr_t)r[i].data);
}

/* T rows times parts of `types` with `each` rows, in all three forms of output, with bias and an adapter of `ranks` a slice. */
static void product_case(int T, int K, const int *types, const int *each, int n_parts, int slices, int ranks)
{
	inoci_ops *o = open_ops(0), *r;
	inoc_err err;
	int N = 0, at = 0;
	assert_int_equal(inoci_ops_ref(INOCI_DTYPE_F32, &r, &err), 0);
	for (int i = 0; i < n_parts; i++) N += each[i];
	float *w = inoci_alloc((size_t)N * (size_t)K * 4), *bias = normals((size_t)N, 1), *xf = normals((size_t)T * (size_t)K, 1);
	uint16_t *x = rounded(xf, (size_t)T * (size_t)K);
	inoci_block_rows parts[3];
	for (int i = 0; i < n_parts; at += each[i++]) parts[i] = random_rows(types[i], each[i], K, w + (size_t)at * (size_t)K);
	inoci_lora l = {.n_slices = slices, .n = N, .k = K};
	for (int i = 0; i < slices; i++) {
		size_t na = (size_t)(ranks * K), nb = (size_t)(N / slices * ranks);
		l.s[i] = (inoci_lora_slice){N / slices * i,    N / slices, ranks, 1.5f, normals(na, 0.1f),
		                            normals(nb, 0.1f), NULL,       NULL,  0};
		free(rounded(l.s[i].a, na));
	}
	inoci_mat *mo, *mr;
	assert_int_equal(o->mat_new_blocks(o, parts, n_parts, bias, K, &mo, &err), 0);
	assert_int_equal(r->mat_new(r, w, bias, N, K, false, &mr, &err), 0);
	if (slices) assert_int_equal(o->lora_pack(o, &(inoci_lora *){&l}, 1, &err), 0);
	size_t n = (size_t)T * (size_t)N;
	float *want = inoci_alloc(n * 4), *sum = normals(n, 1), *start = inoci_alloc(n * 4);
	uint16_t *y = inoci_alloc(n * 2 + 64);
	memcpy(start, sum, n * 4);
	assert_int_equal(r->linear(r, mr, slices ? &l : NULL, xf, T, want, false, NULL, &err), 0);
	assert_int_equal(o->linear(o, mo, slices ? &l : NULL, x, T, y, NULL, NULL, &err), 0);
	assert_int_equal(o->linear(o, mo, slices ? &l : NULL, x, T, sum, sum, NULL, &err), 0);
	for (size_t i = 0; i < n; i++) {
		double got = (double)sum[i] - (double)start[i], as_bf16 = inoci_bf16_to_f32(y[i]);
		if (!(fabs(got - want[i]) <= 1e-4 * (1 + fabs(want[i]))))
			fail_msg("T %d, N %d, K %d, type %d: value %zu is %.9g, the oracle says %.9g", T, N, K, types[0], i, got,
			         (double)want[i]);
		if (!(fabs(as_bf16 - want[i]) <= 5e-3 * (1 + fabs(want[i]))))
			fail_msg("T %d, N %d, K %d, type %d: bf16 value %zu is %.9g, the oracle says %.9g", T, N, K, types[0], i,
			         as_bf16, (double)want[i]);
	}
	/* as gate and up, with SwiGLU: the bits of one operation after the other */
	uint16_t *y2 = inoci_alloc(n * 2 + 64), *s = inoci_alloc(n * 2), *s2 = inoci_alloc(n * 2);
	inoci_around with = {.s = s}, apart = {.s = s2};
	assert_int_equal(o->linear_around(o, &with, mo, slices ? &l : NULL, x, T, y, NULL, NULL, &err), 0);
	assert_int_equal(inoci_linear_apart(o, &apart, mo, N, K, slices ? &l : NULL, x, T, y2, NULL, NULL, &err), 0);
	assert_memory_equal(y, y2, n * 2);
	assert_memory_equal(s, s2, n / 2 * 2);
	free(y2), free(s), free(s2);
	if (slices) o->lora_unpack(&l);
	for (int i = 0; i < slices; i++) free(l.s[i].a), free(l.s[i].b);
	rows_free(parts, n_parts);
	o->mat_free(mo), r->mat_free(mr);
	free(w), free(bias), free(xf), free(x), free(want), free(sum), free(start), free(y);
	o->free(o), r->free(r);
}

static const int all_types[] = {INOCI_Q4_0, INOCI_Q4_1, INOCI_Q5_0, INOCI_Q5_1, INOCI_Q8_0};

static void test_product(void **state)
{
	inoci_ops *o = open_ops(0);
	if (!o) skip();
	o->free(o);
	for (size_t t = 0; t < INOCI_COUNT(all_types); t++) {
		product_case(1, 64, &all_types[t], (int[]){96}, 1, 0, 0);
		product_case(7, 96, &all_types[t], (int[]){70}, 1, 2, 5);
		product_case(15, 32, &all_types[t], (int[]){33}, 1, 1, 3);
		product_case(70, 576, &all_types[t], (int[]){192}, 1, 3, 16);
	}
	/* one matrix of several tensors: of one format and of several, that meet inside a panel and at its edge */
	product_case(9, 64, (int[]){INOCI_Q4_1, INOCI_Q4_1, INOCI_Q4_1}, (int[]){64, 20, 20}, 3, 0, 0);
	product_case(9, 64, (int[]){INOCI_Q4_0, INOCI_Q5_1, INOCI_Q8_0}, (int[]){40, 20, 36}, 3, 3, 4);
	product_case(2, 64, (int[]){INOCI_Q4_1, INOCI_Q8_0}, (int[]){48, 48}, 2, 2, 4);
	product_case(11, 64, (int[]){INOCI_Q4_1, INOCI_Q4_0}, (int[]){10, 100}, 2, 0, 0);
}

/* bits of every row, computed alone and with 1 to 299 others, by one thread and by several */
static void test_rows(void **state)
{
	static const int shapes[][3] = {{INOCI_Q4_1, 960, 576}, {INOCI_Q4_1, 576, 1536}, {INOCI_Q8_0, 1000, 576},
	                                {INOCI_Q4_0, 3072, 96}, {INOCI_Q5_1, 100, 320},  {INOCI_Q5_0, 96, 64}};
	inoci_ops *o = open_ops(0), *single;
	inoc_err err;
	if (!o) skip();
	char *how = inoci_ops_describe(o);
	const size_t M = strstr(how, "BF16") ? 300 : 40; /* emulated: slow */
	free(how);
	for (size_t s = 0; s < INOCI_COUNT(shapes); s++) {
		size_t N = (size_t)shapes[s][1], K = (size_t)shapes[s][2];
		float *w = inoci_alloc(N * K * 4), *xf = normals(M * K, 1);
		uint16_t *x = rounded(xf, M * K);
		inoci_block_rows rows = random_rows(shapes[s][0], (int)N, (int)K, w);
		inoci_mat *m;
		assert_int_equal(o->mat_new_blocks(o, &rows, 1, NULL, (int)K, &m, &err), 0);
		float *alone = inoci_alloc(M * N * 4), *many = inoci_alloc(M * N * 4);
		for (size_t i = 0; i < M; i++) assert_int_equal(o->head_logits(o, m, x + i * K, 1, alone + i * N, &err), 0);
		for (int n = 2; n <= (int)M; n += n < 70 ? 1 : 23) {
			assert_int_equal(o->head_logits(o, m, x, n, many, &err), 0);
			for (size_t i = 0; i < (size_t)n; i++)
				if (memcmp(alone + i * N, many + i * N, N * 4))
					fail_msg("type %d, N %zu, K %zu: row %zu differs between M = 1 and M = %d", shapes[s][0],
					         N, K, i, n);
		}
		o->mat_free(m);
		single = open_ops(1);
		assert_int_equal(single->mat_new_blocks(single, &rows, 1, NULL, (int)K, &m, &err), 0);
		assert_int_equal(single->head_logits(single, m, x, (int)M, many, &err), 0);
		assert_memory_equal(many, alone, M * N * 4);
		single->mat_free(m);
		single->free(single);
		rows_free(&rows, 1);
		free(w), free(xf), free(x), free(alone), free(many);
		inoci_ops *again = open_ops(2); /* sets the number of threads back */
		again->free(again);
	}
	o->free(o);
}

/* A matrix that is in no blocks is bf16 here. */
static void test_values(void **state)
{
	inoci_ops *o = open_ops(0);
	inoc_err err;
	enum { N = 70, K = 33, T = 5 };
	if (!o) skip();
	float *w = normals(N * K, 0.1f), *xf = normals(T * K, 1), y[T * N];
	free(rounded(w, N * K));
	uint16_t *x = rounded(xf, T * K);
	inoci_mat *m;
	assert_int_equal(o->mat_new(o, w, NULL, N, K, false, &m, &err), 0);
	assert_int_equal(o->head_logits(o, m, x, T, y, &err), 0);
	for (int t = 0; t < T; t++)
		for (int n = 0; n < N; n++) {
			double want = 0;
			for (int k = 0; k < K; k++) want += (double)xf[t * K + k] * (double)w[n * K + k];
			if (!(fabs(want - y[t * N + n]) <= 1e-5 * (1 + fabs(want))))
				fail_msg("row %d, output %d: %.9g, want %.9g", t, n, (double)y[t * N + n], want);
		}
	o->mat_free(m);
	free(w), free(xf), free(x);
	o->free(o);
}

int main(void)
{
	inoci_fault_fill_nan();
	rng = inoci_rng_new(1, "test_blocks", 0, 0);
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_product),
	        cmocka_unit_test(test_rows),
	        cmocka_unit_test(test_values),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
