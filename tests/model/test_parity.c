/* Logits and losses against transformers' on the same weights (tests/fixtures/logits.json; tools/fixtures/logits.py). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "model/model.h"

#define TOLERANCE 2e-3

static json_t *fixture, *lora;
static char *rows; /* logits.bin */
static size_t rows_n;

static json_t *load(const char *path)
{
	json_error_t e;
	json_t *j = json_load_file(path, 0, &e);
	if (!j) fail_msg("%s: %s", path, e.text);
	return j;
}

static int setup(void **state)
{
	inoc_err err;
	fixture = load(INOC_TESTS_DIR "/fixtures/logits.json");
	lora = load(INOC_TESTS_DIR "/fixtures/lora.json");
	if (inoci_file_read(INOC_TESTS_DIR "/fixtures/logits.bin", &rows, &rows_n, &err) < 0) fail_msg("%s", err.msg);
	return 0;
}

static int teardown(void **state)
{
	json_decref(fixture);
	json_decref(lora);
	free(rows);
	return 0;
}

static inoci_model *open_model(inoci_ops *ops)
{
	const char *path = getenv("INOC_MODEL");
	inoc_err err;
	inoci_model *m;
	if (!path) fail_msg("set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct");
	if (inoci_model_open(path, ops, false, NULL, NULL, &m, &err) < 0) fail_msg("%s", err.msg);
	assert_string_equal(m->hash.hex, json_string_value(json_object_get(fixture, "model_sha256")));
	return m;
}

static int32_t *ints(const json_t *a, int *n)
{
	*n = (int)json_array_size(a);
	int32_t *v = inoci_alloc((size_t)*n * sizeof *v);
	for (int i = 0; i < *n; i++) v[i] = (int32_t)json_integer_value(json_array_get(a, (size_t)i));
	return v;
}

/* Fails with both values when a differs from b by more than the tolerance. */
static void near_to(double a, double b, const char *what, size_t prompt, int pos, int id)
{
	if (!(fabs(a - b) <= TOLERANCE))
		fail_msg("prompt %zu, position %d, %s %d: ours %.6f, transformers %.6f", prompt, pos, what, id, a, b);
}

static double check_row(const float *logits, int V, const char *row, size_t prompt, int pos)
{
	const json_t *ids = json_object_get(fixture, "vocab_ids");
	size_t n_ids = json_array_size(ids), top = (size_t)json_integer_value(json_object_get(fixture, "top"));
	float want[1 + 64 + 8];
	int32_t top_ids[8];
	double max = logits[0], sum = 0, worst;
	assert_true(n_ids == 64 && top == 8);
	memcpy(want, row, (1 + n_ids) * 4);
	memcpy(top_ids, row + (1 + n_ids) * 4, top * 4);
	memcpy(want + 1 + n_ids, row + (1 + n_ids + top) * 4, top * 4);
	for (int i = 1; i < V; i++) max = logits[i] > max ? logits[i] : max;
	for (int i = 0; i < V; i++) sum += exp((double)logits[i] - max);
	near_to(max + log(sum), want[0], "log-sum-exp", prompt, pos, -1);
	worst = fabs(max + log(sum) - want[0]);
	for (size_t i = 0; i < n_ids + top; i++) {
		int id = i < n_ids ? (int)json_integer_value(json_array_get(ids, i)) : top_ids[i - n_ids];
		assert_in_range(id, 0, V - 1);
		near_to(logits[id], want[1 + i], "logit of id", prompt, pos, id);
		worst = fmax(worst, fabs((double)logits[id] - want[1 + i]));
	}
	return worst;
}

static void compare(inoci_ops *ops, size_t n_prompts)
{
	inoc_err err;
	inoci_model *m = open_model(ops);
	inoci_workspace *w = inoci_workspace_new();
	const json_t *prompts = json_object_get(fixture, "prompts");
	double worst = 0;
	assert_true(json_array_size(prompts) >= n_prompts);
	for (size_t p = 0; p < n_prompts; p++) {
		const json_t *prompt = json_array_get(prompts, p);
		size_t offset = (size_t)json_integer_value(json_object_get(prompt, "offset")) * 4;
		int n, V = m->hp.vocab;
		int32_t *ids = ints(json_object_get(prompt, "ids"), &n);
		int32_t *all = inoci_alloc((size_t)n * sizeof *all), *loss = inoci_alloc((size_t)n * sizeof *loss);
		float *logits = inoci_big_alloc((size_t)n * (size_t)V * sizeof *logits, "logits", &err);
		float *logprob = inoci_alloc((size_t)n * sizeof *logprob);
		inoci_batch b = {0};
		assert_non_null(logits);
		assert_true(offset + (size_t)n * 81 * 4 <= rows_n);
		for (int i = 0; i < n; i++) all[i] = i, loss[i] = 1;
		inoci_batch_add(&b, ids, loss, n, 1);
		if (inoci_model_logits(m, NULL, &b, w, all, n, logits, &err) < 0) fail_msg("%s", err.msg);
		for (int i = 0; i < n; i++)
			worst = fmax(worst,
			             check_row(logits + (size_t)i * (size_t)V, V, rows + offset + (size_t)i * 81 * 4, p, i));
		/* the fused head gives the same log-probabilities */
		if (inoci_model_loss(m, NULL, &b, w, false, 0, logprob, &err) < 0) fail_msg("%s", err.msg);
		double nll = 0;
		for (int i = 0; i + 1 < n; i++) nll -= logprob[i] / (n - 1);
		near_to(nll, json_real_value(json_object_get(prompt, "mean_nll")), "mean loss of all", p, n, n - 1);
		inoci_batch_free(&b);
		free(logprob);
		free(logits);
		free(loss);
		free(all);
		free(ids);
	}
	print_message("%s f32: largest difference %.2e over %zu prompts\n", ops->name, worst, n_prompts);
	inoci_workspace_free(w);
	inoci_model_free(m);
	ops->free(ops);
}

static void test_logits_ref(void **state)
{
	inoc_err err;
	inoci_ops *ops;
	if (inoci_ops_ref(INOCI_DTYPE_F32, &ops, &err) < 0) fail_msg("%s", err.msg);
	compare(ops, 1); /* plain loops: the short one is enough */
}

static void test_logits_fast(void **state)
{
	inoc_err err;
	inoci_ops *ops;
	if (inoci_ops_cpu(INOCI_DTYPE_F32, 0, &ops, &err) < 0) fail_msg("%s", err.msg);
	if (strcmp(ops->name, "ref") == 0) { /* a build without the fast ones */
		ops->free(ops);
		print_message("the fast operations are not built\n");
		skip();
	}
	compare(ops, 3);
}

/* Mean loss of the loss tokens of the first examples of lora.json. */
static double mean_loss(inoci_dtype dtype)
{
	enum { EXAMPLES = 24 };
	inoc_err err;
	inoci_ops *ops;
	if (inoci_ops_cpu(dtype, 0, &ops, &err) < 0) fail_msg("%s", err.msg);
	inoci_model *m = open_model(ops);
	inoci_workspace *w = inoci_workspace_new();
	inoci_batch b = {0};
	double sum = 0;
	for (size_t e = 0; e < EXAMPLES; e++) {
		const json_t *x = json_array_get(json_object_get(lora, "examples"), e);
		int n, n_loss;
		int32_t *ids = ints(json_object_get(x, "ids"), &n), *loss = ints(json_object_get(x, "loss"), &n_loss);
		assert_int_equal(n, n_loss);
		inoci_batch_add(&b, ids, loss, n, 1);
		free(ids);
		free(loss);
	}
	int n = inoci_batch_n_targets(&b);
	float *logprob = inoci_alloc((size_t)n * sizeof *logprob);
	if (inoci_model_loss(m, NULL, &b, w, false, 0, logprob, &err) < 0) fail_msg("%s", err.msg);
	for (int i = 0; i < n; i++) sum -= logprob[i];
	free(logprob);
	inoci_batch_free(&b);
	inoci_workspace_free(w);
	inoci_model_free(m);
	ops->free(ops);
	return sum / n;
}

static void loss_close(inoci_dtype dtype, double tolerance)
{
	const char *name = inoci_dtype_name(dtype);
	inoci_ops *o;
	inoc_err err;
	if (inoci_ops_cpu(dtype, 0, &o, &err) < 0) {
		print_message("%s\n", err.msg);
		skip();
	}
	o->free(o);
	double f32 = mean_loss(INOCI_DTYPE_F32), got = mean_loss(dtype);
	print_message("mean loss: f32 %.5f, %s %.5f\n", f32, name, got);
	if (!(fabs(got - f32) <= tolerance * f32))
		fail_msg("mean loss: f32 %.5f, %s %.5f: more than %g of it apart", f32, name, got, tolerance);
}

static void test_bf16_loss(void **state)
{
	loss_close(INOCI_DTYPE_BF16, 0.01);
}

/* The weights are the file's own: less is lost than in bf16. */
static void test_q_loss(void **state)
{
	loss_close(INOCI_DTYPE_Q, 0.005);
}

static void test_q_trains_not(void **state)
{
	const char *path = getenv("INOC_MODEL");
	inoci_ops *o;
	inoci_model *m;
	inoc_err err;
	if (!path || inoci_ops_cpu(INOCI_DTYPE_Q, 0, &o, &err) < 0) skip();
	assert_int_equal(inoci_model_open(path, o, true, NULL, NULL, &m, &err), INOC_E_USAGE);
	assert_string_equal(err.msg, "dtype q is for sampling and scoring; train with auto, bf16 or f32");
	o->free(o);
}

int main(void)
{
	inoci_fault_fill_nan();
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_logits_ref), cmocka_unit_test(test_logits_fast),  cmocka_unit_test(test_bf16_loss),
	        cmocka_unit_test(test_q_loss),     cmocka_unit_test(test_q_trains_not),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
