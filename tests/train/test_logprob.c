/* Log-probabilities of given responses on a tiny model: the training's validation loss; a record's does not depend on the
 * others; what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../model/tiny.h"
#include "train/train.h"

enum { N = 17 };
static char *path;
static inoci_ops *ops;
static inoci_model *model;
static inoci_examples all;

static int setup(void **state)
{
	inoc_err err;
	path = tiny_model("logprob");
	if (inoci_ops_cpu(inoci_ops_cpu_best(), 0, &ops, &err) < 0 ||
	    inoci_model_open(path, ops, true, NULL, NULL, &model, &err) < 0)
		fail_msg("%s", err.msg);
	inoci_rng r = inoci_rng_new(3, "examples", 0, 0);
	for (int i = 0; i < N; i++) { /* in thirds that begin alike; the first loses nothing to the heads of others */
		int32_t ids[60], loss[60];
		int len = 10 + (int)inoci_rng_below(&r, 40), head = 3 + (int)inoci_rng_below(&r, 5);
		for (int k = 0; k < len; k++) {
			ids[k] = k < head ? 7 * (i % 3) + k : (int32_t)inoci_rng_below(&r, 250);
			loss[k] = k >= head && k % 5 != 4; /* with gaps, as between turns */
		}
		inoci_examples_add(&all, ids, loss, len);
	}
	inoci_examples_seal(&all);
	return 0;
}

static int teardown(void **state)
{
	inoci_examples_free(&all);
	inoci_model_free(model);
	ops->free(ops);
	unlink(path);
	free(path);
	return 0;
}

static void logprob(inoci_adapter *a, const inoci_examples *e, int micro, double *out)
{
	inoc_err err;
	if (inoci_examples_logprob(model, a, e, micro, out, NULL, &err) < 0) fail_msg("%s", err.msg);
}

static void test_validation_loss(void **state)
{
	inoci_train_config c = inoci_train_defaults();
	inoci_train_result res;
	inoci_adapter *a;
	inoc_err err;
	double v[N], sum = 0;
	c.lora.rank = 2;
	c.lora.dropout = 0.3f;
	c.steps = 3;
	c.warmup = 0;
	c.lr = 2e-2;
	if (inoci_train(model, &all, &all, &c, NULL, &a, &res, &err) < 0) fail_msg("%s", err.msg);
	logprob(a, &all, 100, v);
	for (int i = 0; i < N; i++) sum -= v[i];
	double mean = sum / (double)all.n_loss_tokens;
	if (fabs(mean - res.val_loss) > 1e-12 * mean) fail_msg("%.17g, the validation loss is %.17g", mean, res.val_loss);
	inoci_adapter_free(a);
}

static void test_alone(void **state)
{
	double together[N], v[N];
	static const int micro[] = {1, 37, 100, 4096};
	logprob(NULL, &all, 200, together);
	for (size_t k = 0; k < INOCI_COUNT(micro); k++) {
		logprob(NULL, &all, micro[k], v);
		for (int i = 0; i < N; i++)
			if (v[i] != together[i])
				fail_msg("%d tokens at once, record %d: %.17g, %.17g", micro[k], i, v[i], together[i]);
	}
	for (int i = 0; i < N; i++) {
		inoci_examples one = {0};
		inoci_examples_add(&one, all.v[i].ids, all.v[i].loss, all.v[i].n);
		logprob(NULL, &one, 4096, v);
		if (v[0] != together[i]) fail_msg("record %d alone: %.17g, among others %.17g", i, v[0], together[i]);
		inoci_examples_free(&one);
	}
}

/* The definition: the logits' softmax, one token after the other. */
static void test_softmax(void **state)
{
	double v[N];
	inoc_err err;
	inoci_batch b = {0};
	inoci_workspace *w = inoci_workspace_new();
	int vocab = model->hp.vocab;
	float *z = inoci_alloc((size_t)vocab * 60 * sizeof *z);
	logprob(NULL, &all, 100, v);
	for (int i = 0; i < N; i++) {
		const inoci_example *x = &all.v[i];
		int32_t rows[60];
		double sum = 0;
		for (int k = 0; k < x->n; k++) rows[k] = k;
		inoci_batch_reset(&b);
		inoci_batch_add(&b, x->ids, x->loss, x->n, 1);
		if (inoci_model_logits(model, NULL, &b, w, rows, x->n, z, &err) < 0) fail_msg("%s", err.msg);
		for (int k = 1; k < x->n; k++) {
			if (!x->loss[k]) continue;
			const float *row = z + (size_t)(k - 1) * (size_t)vocab;
			double e = 0;
			for (int j = 0; j < vocab; j++) e += exp((double)row[j]);
			sum += row[x->ids[k]] - log(e);
		}
		if (fabs(sum - v[i]) > 1e-4 * fabs(sum)) fail_msg("record %d: %.9g, by its logits %.9g", i, v[i], sum);
	}
	free(z);
	inoci_batch_free(&b);
	inoci_workspace_free(w);
}

static void test_stop(void **state)
{
	static volatile int stop = 1;
	const inoci_progress p = {.stop = &stop};
	double v[N];
	inoc_err err;
	assert_int_equal(inoci_examples_logprob(model, NULL, &all, 100, v, &p, &err), INOC_E_STOPPED);
	assert_string_equal(err.msg, "stopped after 0 of 17 records");
}

int main(void)
{
	inoci_fault_fill_nan();
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_validation_loss),
	        cmocka_unit_test(test_alone),
	        cmocka_unit_test(test_softmax),
	        cmocka_unit_test(test_stop),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
