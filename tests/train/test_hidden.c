/* Mean hidden states on a tiny model: what they are, that an example's do not depend on the others, fast against reference. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../model/tiny.h"
#include "train/train.h"

enum { N = 19, LAYERS = 4 };
static const int layers[LAYERS] = {0, 1, 2, 3};
static char *path;
static inoci_ops *fast, *ref;
static inoci_model *model, *oracle; /* on fast, on ref */
static inoci_examples all;

static void must(int rc, const inoc_err *err)
{
	if (rc < 0) fail_msg("%s", err->msg);
}

static int setup(void **state)
{
	inoc_err err;
	path = tiny_model("hidden");
	must(inoci_ops_cpu(inoci_ops_cpu_best(), 0, &fast, &err), &err);
	must(inoci_ops_ref(INOCI_DTYPE_F32, &ref, &err), &err);
	must(inoci_model_open(path, fast, false, NULL, NULL, &model, &err), &err);
	must(inoci_model_open(path, ref, false, NULL, NULL, &oracle, &err), &err);
	inoci_rng r = inoci_rng_new(4, "examples", 0, 0);
	for (int i = 0; i < N; i++) { /* in thirds that begin alike, also in their responses; the last two are the same */
		int32_t ids[60], loss[60];
		int len = i == N - 1 ? all.v[N - 2].n : 10 + (int)inoci_rng_below(&r, 40), head = 3 + i % 3;
		for (int k = 0; k < len; k++) {
			ids[k] = k < head + 2 ? 7 * (i % 3) + k : (int32_t)inoci_rng_below(&r, 250);
			if (i == N - 1) ids[k] = all.v[N - 2].ids[k];
			loss[k] = i == N - 1 ? all.v[N - 2].loss[k] : k >= head;
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
	inoci_model_free(oracle);
	fast->free(fast);
	ref->free(ref);
	unlink(path);
	free(path);
	return 0;
}

static float *hidden(inoci_model *m, const inoci_examples *e, int micro)
{
	inoc_err err;
	float *out = inoci_alloc(e->n * LAYERS * TINY_C * sizeof *out);
	must(inoci_examples_hidden(m, NULL, e, micro, layers, LAYERS, out, NULL, &err), &err);
	return out;
}

static void test_alone(void **state)
{
	static const int micro[] = {1, 37, 100, 4096};
	size_t row = LAYERS * TINY_C;
	float *together = hidden(model, &all, 200);
	for (size_t k = 0; k < INOCI_COUNT(micro); k++) {
		float *v = hidden(model, &all, micro[k]);
		for (size_t i = 0; i < N * row; i++)
			if (memcmp(&v[i], &together[i], sizeof *v))
				fail_msg("%d tokens at once, record %zu, value %zu: %.9g, %.9g", micro[k], i / row, i % row,
				         (double)v[i], (double)together[i]);
		free(v);
	}
	for (size_t i = 0; i < N; i++) {
		inoci_examples one = {0};
		inoci_examples_add(&one, all.v[i].ids, all.v[i].loss, all.v[i].n);
		float *v = hidden(model, &one, 4096);
		if (memcmp(v, together + i * row, row * sizeof *v)) fail_msg("record %zu alone has other states", i);
		free(v);
		inoci_examples_free(&one);
	}
	free(together);
}

static void test_fast(void **state)
{
	float *a = hidden(model, &all, 200), *b = hidden(oracle, &all, 200);
	double tol = model->ops->dtype == INOCI_DTYPE_F32 ? 1e-5 : 2e-2, worst = 0;
	for (size_t l = 0; l < LAYERS; l++) {
		double diff = 0, size = 0;
		for (size_t i = 0; i < N; i++)
			for (size_t c = 0; c < TINY_C; c++) {
				size_t at = (i * LAYERS + l) * TINY_C + c;
				diff += pow((double)a[at] - (double)b[at], 2);
				size += pow((double)b[at], 2);
			}
		worst = fmax(worst, sqrt(diff / size));
		if (l == 0 && diff > 0) fail_msg("the embeddings differ");
	}
	print_message("%s against ref: relative difference %.2g\n", inoci_dtype_name(model->ops->dtype), worst);
	if (!(worst < tol)) fail_msg("%g, allowed %g", worst, tol);
	free(a), free(b);
}

/* The definition: of one row, the last layer's gives the logits; of several, the mean of each one's. */
static void test_definition(void **state)
{
	const inoci_example *x = &all.v[4];
	inoc_err err;
	inoci_batch b = {0};
	inoci_workspace *w = inoci_workspace_new();
	size_t V = (size_t)oracle->hp.vocab, row = LAYERS * TINY_C;
	int32_t of[60], row_no[1], last = x->n - 1;
	float one[LAYERS * TINY_C], group[2 * LAYERS * TINY_C], act[TINY_C];
	double sum[LAYERS * TINY_C] = {0};
	float *want = inoci_alloc(V * sizeof *want), *got = inoci_alloc(V * sizeof *got), *example = hidden(oracle, &all, 200);
	int n = 0;
	inoci_batch_add(&b, x->ids, x->loss, x->n, 1);
	for (int t = 0; t < x->n; t++) {
		for (int k = 0; k < x->n; k++) of[k] = k == t ? 0 : -1;
		must(inoci_model_hidden(oracle, NULL, &b, w, layers, LAYERS, of, 1, one, &err), &err);
		ref->rmsnorm(ref, act, one + 3 * TINY_C, NULL, oracle->final_norm, 1, TINY_C, oracle->hp.norm_eps);
		must(ref->head_logits(ref, oracle->head, act, 1, got, &err), &err);
		row_no[0] = t;
		must(inoci_model_logits(oracle, NULL, &b, w, row_no, 1, want, &err), &err);
		for (size_t v = 0; v < V; v++)
			if (got[v] != want[v]) fail_msg("row %d, logit %zu: %g, %g", t, v, (double)got[v], (double)want[v]);
		if (!x->loss[t] || t == last) continue; /* the last token with loss is not in an example's mean */
		n++;
		for (size_t i = 0; i < row; i++) sum[i] += one[i];
	}
	for (int k = 0; k < x->n; k++) of[k] = x->loss[k] && k < last ? 1 : -1;
	must(inoci_model_hidden(oracle, NULL, &b, w, layers, LAYERS, of, 2, group, &err), &err);
	for (size_t i = 0; i < row; i++) {
		assert_true(isnan(group[i])); /* a group without rows */
		if (group[row + i] != (float)(sum[i] / n) || example[4 * row + i] != group[row + i])
			fail_msg("value %zu: %.9g, as an example %.9g, wanted %.9g", i, (double)group[row + i],
			         (double)example[4 * row + i], sum[i] / n);
	}
	free(want), free(got), free(example);
	inoci_batch_free(&b);
	inoci_workspace_free(w);
}

static void test_stop(void **state)
{
	static volatile int stop = 1;
	const inoci_progress p = {.stop = &stop};
	float *out = inoci_alloc(N * LAYERS * TINY_C * sizeof *out);
	inoc_err err;
	assert_int_equal(inoci_examples_hidden(model, NULL, &all, 100, layers, LAYERS, out, &p, &err), INOC_E_STOPPED);
	free(out);
}

int main(void)
{
	inoci_fault_fill_nan();
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_alone),
	        cmocka_unit_test(test_fast),
	        cmocka_unit_test(test_definition),
	        cmocka_unit_test(test_stop),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
