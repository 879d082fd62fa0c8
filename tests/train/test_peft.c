/* 20 optimizer steps in f32 against PEFT's (tests/fixtures/lora.json and lora.bin; tools/fixtures/lora.py describes them and
 * the closed form of the initial adapter). INOC_SAVE_ADAPTER=DIR keeps our final adapter, for tools/lora_full_check.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "train/train.h"

#define SAMPLES 64

static json_t *fixture;
static char *bin;
static bool fast; /* else a build with ref only, which needs minutes for one step of this */
static inoci_ops *ops;
static inoci_model *model;

static double num(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	if (!json_is_number(v)) fail_msg("the fixture has no number '%s'", key);
	return json_number_value(v);
}

static int setup(void **state)
{
	json_error_t je;
	inoc_err err;
	size_t n;
	const char *path = getenv("INOC_MODEL");
	if (!path) fail_msg("set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct");
	fixture = json_load_file(INOC_TESTS_DIR "/fixtures/lora.json", 0, &je);
	if (!fixture) fail_msg("lora.json: %s", je.text);
	if (inoci_file_read(INOC_TESTS_DIR "/fixtures/lora.bin", &bin, &n, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(n, json_array_size(json_object_get(fixture, "tensors")) * 2 * SAMPLES * 4);
	assert_int_equal((int)num(fixture, "samples"), SAMPLES);
	if (inoci_ops_cpu(INOCI_DTYPE_F32, 0, &ops, &err) < 0) fail_msg("%s", err.msg);
	fast = strcmp(ops->name, "ref") != 0; /* ref is what a build without the fast operations gives */
	if (inoci_model_open(path, ops, true, NULL, NULL, &model, &err) < 0) fail_msg("%s", err.msg);
	assert_string_equal(model->hash.hex, json_string_value(json_object_get(fixture, "model_sha256")));
	return 0;
}

static int teardown(void **state)
{
	inoci_model_free(model);
	if (ops) ops->free(ops);
	json_decref(fixture);
	free(bin);
	return 0;
}

/* Rows and columns of tensor t; its place in the adapter's parameters is the sum of those before it. */
static size_t shape(size_t t, int *rows, int *cols)
{
	const json_t *s = json_array_get(json_object_get(fixture, "tensors"), t);
	*rows = (int)json_integer_value(json_array_get(s, 0));
	*cols = (int)json_integer_value(json_array_get(s, 1));
	return (size_t)*rows * (size_t)*cols;
}

static float initial(size_t t, int i, int j)
{
	double layer = (double)(t / (2 * INOCI_N_PROJ)), proj = (double)(t / 2 % INOCI_N_PROJ);
	if (t % 2 == 0) return (float)(0.03 * sin(1.0 + 0.37 * i + 1.3 * j + 0.11 * i * j + 0.7 * layer + 0.9 * proj));
	return (float)(0.002 * cos(0.5 + 0.23 * i + 0.61 * j + 0.05 * i * j + 0.7 * layer + 0.9 * proj));
}

static inoci_adapter *initial_adapter(const inoci_train_config *c)
{
	inoc_err err;
	inoci_adapter *a;
	size_t n_tensors = json_array_size(json_object_get(fixture, "tensors")), at = 0;
	int rows, cols;
	if (inoci_adapter_new(model, &c->lora, 1, &a, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(n_tensors, model->hp.n_layers * INOCI_N_PROJ * 2);
	for (size_t t = 0; t < n_tensors; t++) {
		size_t n = shape(t, &rows, &cols);
		assert_true(at + n <= a->n_params);
		for (int i = 0; i < rows; i++)
			for (int j = 0; j < cols; j++) a->params[at++] = initial(t, i, j);
	}
	assert_int_equal(at, a->n_params);
	if (inoci_adapter_pack(a, &err) < 0) fail_msg("%s", err.msg);
	return a;
}

static inoci_train_config config(void)
{
	inoci_train_config c = inoci_train_defaults();
	c.lora = (inoci_lora_config){
	        .rank = (int)num(fixture, "rank"), .alpha = (float)num(fixture, "alpha"), .targets = INOCI_ALL_PROJ};
	c.batch = (int)num(fixture, "batch");
	c.micro_tokens = 160; /* a step in several parts: PEFT's loss is over the step all the same */
	c.epochs = 1;
	c.steps = 0;
	c.lr = num(fixture, "lr");
	c.schedule = INOCI_LR_LINEAR;
	c.warmup = (int)num(fixture, "warmup");
	c.beta1 = num(fixture, "beta1");
	c.beta2 = num(fixture, "beta2");
	c.eps = num(fixture, "eps");
	c.weight_decay = num(fixture, "weight_decay");
	c.clip = num(fixture, "clip");
	return c;
}

static int example(size_t e, int32_t **ids, int32_t **loss)
{
	const json_t *x = json_array_get(json_object_get(fixture, "examples"), e);
	const json_t *xi = json_object_get(x, "ids"), *xl = json_object_get(x, "loss");
	size_t n = json_array_size(xi);
	assert_true(n > 0 && n == json_array_size(xl));
	*ids = inoci_alloc(n * sizeof **ids);
	*loss = inoci_alloc(n * sizeof **loss);
	for (size_t i = 0; i < n; i++) {
		(*ids)[i] = (int32_t)json_integer_value(json_array_get(xi, i));
		(*loss)[i] = (int32_t)json_integer_value(json_array_get(xl, i));
	}
	return (int)n;
}

/* Compares the sampled entries of every tensor with block `which` (0: first gradient, 1: final - initial) of lora.bin, and
 * the tensor's norm; both relative to PEFT's. */
static void compare(const float *v, int which, double limit, const char *what)
{
	size_t n_tensors = json_array_size(json_object_get(fixture, "tensors")), at = 0;
	double worst = 0, worst_norm = 0;
	int rows, cols;
	for (size_t t = 0; t < n_tensors; t++) {
		size_t n = shape(t, &rows, &cols);
		float want[SAMPLES];
		double diff = 0, ref = 0, norm = 0;
		double want_norm = json_number_value(
		        json_array_get(json_array_get(json_object_get(fixture, "tensors"), t), 2 + (size_t)which));
		memcpy(want, bin + (t * 2 + (size_t)which) * SAMPLES * 4, sizeof want);
		for (size_t s = 0; s < SAMPLES; s++) {
			double d = (double)v[at + (s * 7919 + t * 104729) % n] - want[s];
			diff += d * d;
			ref += (double)want[s] * want[s];
		}
		for (size_t i = 0; i < n; i++) norm += (double)v[at + i] * v[at + i];
		double rel = sqrt(diff / ref), rel_norm = fabs(sqrt(norm) - want_norm) / want_norm;
		if (!(rel <= limit && rel_norm <= limit))
			fail_msg("%s, layer %zu %s %s: |ours - PEFT| / |PEFT| = %.3e over %d entries (limit %.0e); norm ours "
			         "%.6e, PEFT %.6e",
			         what, t / (2 * INOCI_N_PROJ), inoci_proj_name((int)(t / 2 % INOCI_N_PROJ)), t % 2 ? "B" : "A",
			         rel, SAMPLES, limit, sqrt(norm), want_norm);
		worst = fmax(worst, rel);
		worst_norm = fmax(worst_norm, rel_norm);
		at += n;
	}
	print_message("%s on %s: largest relative difference over %zu tensors %.2e, of a norm %.2e\n", what, ops->name, n_tensors,
	              worst, worst_norm);
}

static void need_fast(void)
{
	if (fast) return;
	print_message("the fast operations are not built; the reference ones would take too long\n");
	skip();
}

static void test_first_gradient(void **state)
{
	need_fast();
	inoc_err err;
	inoci_train_config c = config();
	inoci_adapter *a = initial_adapter(&c);
	inoci_workspace *w = inoci_workspace_new();
	inoci_batch b = {0};
	const json_t *step = json_array_get(json_object_get(fixture, "steps"), 0);
	float weight = (float)(1 / num(step, "loss_tokens"));
	double loss = 0, ss = 0;
	if (inoci_adapter_grads(a, &err) < 0) fail_msg("%s", err.msg);
	for (size_t e = 0; e < (size_t)c.batch; e++) {
		int32_t *ids, *mask;
		int n = example(e, &ids, &mask);
		inoci_batch_add(&b, ids, mask, n, weight);
		free(ids);
		free(mask);
	}
	int n = inoci_batch_n_targets(&b);
	assert_int_equal(n, (int)num(step, "loss_tokens"));
	float *logprob = inoci_alloc((size_t)n * sizeof *logprob);
	if (inoci_model_loss(model, a, &b, w, true, 0, logprob, &err) < 0) fail_msg("%s", err.msg);
	for (int i = 0; i < n; i++) loss -= logprob[i] / (double)n;
	for (size_t i = 0; i < a->n_params; i++) ss += (double)a->grads[i] * a->grads[i];
	print_message("loss %.6f (PEFT %.6f), gradient norm %.6f (PEFT %.6f)\n", loss, num(step, "loss"), sqrt(ss),
	              num(step, "grad_norm"));
	compare(a->grads, 0, 1e-3, "first gradient");
	free(logprob);
	inoci_batch_free(&b);
	inoci_workspace_free(w);
	inoci_adapter_free(a);
}

struct seen {
	int n;
	inoci_metric m[64];
};

static int on_step(void *ctx, const inoci_metric *m, inoc_err *err)
{
	struct seen *s = ctx;
	assert_in_range(s->n, 0, 63);
	s->m[s->n++] = *m;
	return 0;
}

static void near_to(double ours, double theirs, double limit, const char *what, int step)
{
	if (!(fabs(ours - theirs) <= limit * fabs(theirs)))
		fail_msg("step %d, %s: ours %.8g, PEFT %.8g (limit %.0e relative)", step, what, ours, theirs, limit);
}

static void test_twenty_steps(void **state)
{
	need_fast();
	inoc_err err;
	inoci_train_config c = config();
	inoci_adapter *a = initial_adapter(&c);
	inoci_examples ex = {0};
	const json_t *steps = json_object_get(fixture, "steps");
	size_t n = json_array_size(json_object_get(fixture, "examples"));
	/* The loop shuffles the records; laid out so that it meets them in PEFT's order (its tokens per step are compared). */
	int32_t *order = inoci_alloc(n * sizeof *order), *place = inoci_alloc(n * sizeof *place);
	for (size_t i = 0; i < n; i++) order[i] = (int32_t)i;
	inoci_rng r = inoci_rng_new(c.seed, "order", 0, 0);
	inoci_rng_shuffle(&r, order, n);
	for (size_t i = 0; i < n; i++) place[order[i]] = (int32_t)i;
	for (size_t i = 0; i < n; i++) {
		int32_t *ids, *loss;
		int len = example((size_t)place[i], &ids, &loss);
		inoci_examples_add(&ex, ids, loss, len);
		free(ids);
		free(loss);
	}
	inoci_examples_seal(&ex);
	struct seen seen = {0};
	inoci_train_hooks h = {.on_step = on_step, .ctx = &seen};
	inoci_train_result res;
	if (inoci_train_from(model, a, &ex, NULL, &c, &h, &res, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(seen.n, json_array_size(steps));
	double worst = 0;
	for (int s = 0; s < seen.n; s++) {
		const json_t *want = json_array_get(steps, (size_t)s);
		const inoci_metric *m = &seen.m[s];
		assert_int_equal(m->tokens, (long)num(want, "tokens"));
		assert_int_equal(m->loss_tokens, (long)num(want, "loss_tokens"));
		near_to(m->lr, num(want, "lr"), 1e-9, "learning rate", s + 1);
		near_to(m->loss, num(want, "loss"), 1e-3, "loss", s + 1);
		near_to(m->grad_norm, num(want, "grad_norm"), 5e-3, "gradient norm", s + 1);
		worst = fmax(worst, fabs(m->loss - num(want, "loss")) / num(want, "loss"));
	}
	print_message("losses of %d steps: largest relative difference %.2e\n", seen.n, worst);
	const char *keep = getenv("INOC_SAVE_ADAPTER");
	if (keep && inoci_adapter_save(a, keep, "SmolLM2-135M-Instruct", &err) < 0) fail_msg("%s", err.msg);
	size_t n_tensors = json_array_size(json_object_get(fixture, "tensors")), at = 0;
	int rows, cols;
	for (size_t t = 0; t < n_tensors; t++) {
		shape(t, &rows, &cols);
		for (int i = 0; i < rows; i++)
			for (int j = 0; j < cols; j++) a->params[at++] -= initial(t, i, j);
	}
	compare(a->params, 1, 1e-2, "final - initial");
	free(order);
	free(place);
	inoci_examples_free(&ex);
	inoci_adapter_free(a);
}

int main(void)
{
	inoci_fault_fill_nan();
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_first_gradient),
	        cmocka_unit_test(test_twenty_steps),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
