/* Gradients of given examples: the fast operations' against the double oracle's, in micro-batches and at once, and the cosine of
 * two of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "../model/tiny.h"
#include "train/train.h"

static char *path;

typedef struct {
	double size, cosine, logprob;
} seen;

static void fill(inoci_examples *e, uint64_t seed)
{
	inoci_rng r = inoci_rng_new(seed, "examples", 0, 0);
	for (int i = 0; i < 12; i++) {
		int32_t ids[40], loss[40];
		int len = 12 + (int)inoci_rng_below(&r, 20);
		for (int k = 0; k < len; k++) {
			ids[k] = k < 6 ? 60 + k : (int32_t)inoci_rng_below(&r, k % 2 ? 250 : 20);
			loss[k] = k > 7;
		}
		inoci_examples_add(e, ids, loss, len);
	}
	inoci_examples_seal(e);
}

static seen measure(bool fast, inoci_dtype d, int micro)
{
	inoc_err err;
	inoci_ops *o;
	inoci_model *m;
	inoci_adapter *a;
	inoci_examples e[2] = {{0}, {0}};
	float *first = NULL;
	seen s = {0};
	inoci_lora_config c = {.rank = 4, .alpha = 8, .targets = INOCI_ALL_PROJ};
	if ((fast ? inoci_ops_cpu(d, 0, &o, &err) : inoci_ops_ref(d, &o, &err)) < 0 ||
	    inoci_model_open(path, o, true, NULL, NULL, &m, &err) < 0 || inoci_adapter_new(m, &c, 3, &a, &err) < 0 ||
	    inoci_adapter_grads(a, &err) < 0)
		fail_msg("%s", err.msg);
	for (int k = 0; k < 2; k++) {
		double sum;
		fill(&e[k], 5 + (uint64_t)k);
		memset(a->grads, 0, a->n_params * sizeof(float));
		if (inoci_examples_grad(m, a, &e[k], micro, 1.0f / (float)e[k].n_loss_tokens, &sum, NULL, &err) < 0)
			fail_msg("%s", err.msg);
		if (!k) {
			first = inoci_alloc(a->n_params * sizeof *first);
			memcpy(first, a->grads, a->n_params * sizeof *first);
			s.logprob = sum;
		}
	}
	double xx = inoci_adapter_grad_dot(a, first, first), yy = inoci_adapter_grad_dot(a, a->grads, a->grads);
	s.size = sqrt(xx);
	s.cosine = inoci_adapter_grad_dot(a, first, a->grads) / sqrt(xx * yy);
	free(first);
	inoci_examples_free(&e[0]), inoci_examples_free(&e[1]);
	inoci_adapter_free(a);
	inoci_model_free(m);
	o->free(o);
	return s;
}

static void against_the_oracle(void **state)
{
	seen want = measure(false, INOCI_DTYPE_F64, 4096), cut = measure(false, INOCI_DTYPE_F64, 40);
	seen f32 = measure(true, INOCI_DTYPE_F32, 64), best = measure(true, inoci_ops_cpu_best(), 64);
	print_message("cosine %.6f, norm %.6f; f32 %.2g and %.2g off; %s %.2g and %.2g\n", want.cosine, want.size,
	              f32.cosine - want.cosine, f32.size / want.size - 1, inoci_dtype_name(inoci_ops_cpu_best()),
	              best.cosine - want.cosine, best.size / want.size - 1);
	assert_true(fabs(want.cosine) > 0.05 && fabs(want.cosine) < 0.999 && want.size > 0 && want.logprob < 0);
	assert_true(fabs(cut.cosine - want.cosine) < 1e-6 && fabs(cut.size / want.size - 1) < 1e-6);
	assert_true(fabs(cut.logprob - want.logprob) < 1e-5 * fabs(want.logprob));
	assert_true(fabs(f32.cosine - want.cosine) < 1e-4 && fabs(f32.size / want.size - 1) < 1e-4);
	assert_true(fabs(best.cosine - want.cosine) < 2e-2 && fabs(best.size / want.size - 1) < 2e-2);
}

int main(void)
{
	inoci_fault_fill_nan();
	path = tiny_model("examples-grad");
	const struct CMUnitTest tests[] = {cmocka_unit_test(against_the_oracle)};
	int rc = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	free(path);
	return rc;
}
