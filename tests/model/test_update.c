/* An adapter as a change of the weights: norms against explicit products, inner products of gradients against the weights' own
 * gradients, a merged model against the adapter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "model/internal.h"
#include "tiny.h"

static char *path;
static inoci_ops *ops;
static inoci_model *model;

static int setup(void **state)
{
	inoc_err err;
	path = tiny_model("update");
	if (inoci_ops_ref(INOCI_DTYPE_F64, &ops, &err) < 0 || inoci_model_open(path, ops, true, NULL, NULL, &model, &err) < 0)
		fail_msg("%s", err.msg);
	return 0;
}

static int teardown(void **state)
{
	inoci_model_free(model);
	ops->free(ops);
	unlink(path);
	free(path);
	return 0;
}

static inoci_adapter *adapter(int rank, unsigned targets, bool rslora, bool b)
{
	inoc_err err;
	inoci_adapter *a;
	inoci_lora_config c = {.rank = rank, .alpha = 7, .targets = targets, .rslora = rslora};
	if (inoci_adapter_new(model, &c, 3, &a, &err) < 0 || inoci_adapter_grads(a, &err) < 0) fail_msg("%s", err.msg);
	inoci_rng g = inoci_rng_new(4, "b", 0, 0);
	for (size_t i = 0; b && i < a->n_params; i++) a->params[i] += 0.05f * (float)inoci_rng_normal(&g);
	assert_int_equal(inoci_adapter_pack(a, &err), 0);
	return a;
}

static void norms(void **state)
{
	static const unsigned targets[] = {INOCI_ALL_PROJ, 1u << INOCI_PROJ_Q | 1u << INOCI_PROJ_DOWN};
	for (int t = 0; t < 4; t++) {
		inoci_adapter *a = adapter(t % 2 ? 5 : 1, targets[t / 2], t == 3, true);
		double norm[TINY_LAYERS * INOCI_N_PROJ];
		inoci_adapter_norms(a, norm);
		for (int l = 0; l < TINY_LAYERS; l++)
			for (int p = 0; p < INOCI_N_PROJ; p++) {
				int K;
				const inoci_lora_slice *s = inoci_adapter_slice(a, l, p, &K);
				double got = norm[l * INOCI_N_PROJ + p], sum = 0;
				if (!s) {
					assert_true(isnan(got));
					continue;
				}
				for (int n = 0; n < s->n; n++)
					for (int k = 0; k < K; k++) {
						double w = 0;
						for (int r = 0; r < s->rank; r++)
							w += (double)s->b[n * s->rank + r] * (double)s->a[r * K + k];
						w *= (double)s->scale;
						sum += w * w;
					}
				if (!(fabs(got - sqrt(sum)) <= 1e-9 * sqrt(sum)))
					fail_msg("layer %d, %s: %.12g, not %.12g", l, inoci_proj_name(p), got, sqrt(sum));
			}
		inoci_adapter_free(a);
	}
}

/* Gradients of two losses (their targets differ) with respect to a's parameters. */
static void two_gradients(inoci_adapter *a, float *g[2])
{
	inoc_err err;
	inoci_workspace *w = inoci_workspace_new();
	float lp[64];
	for (int k = 0; k < 2; k++) {
		inoci_batch b = {0};
		int32_t ids[24], loss[24];
		inoci_rng r = inoci_rng_new(7, "ids", 0, 0), other = inoci_rng_new(8, "ids", (uint64_t)k, 0);
		for (int i = 0; i < 24; i++) {
			ids[i] = (int32_t)inoci_rng_below(&r, 250);
			if (i > 11 && k) ids[i] = (int32_t)inoci_rng_below(&other, 250);
			loss[i] = i > 11;
		}
		inoci_batch_add(&b, ids, loss, 24, 1.0f / 12);
		memset(a->grads, 0, a->n_params * sizeof(float));
		if (inoci_model_loss(model, a, &b, w, true, 0, lp, &err) < 0) fail_msg("%s", err.msg);
		g[k] = inoci_alloc(a->n_params * sizeof(float));
		memcpy(g[k], a->grads, a->n_params * sizeof(float));
		inoci_batch_free(&b);
	}
	inoci_workspace_free(w);
}

/* With A the identity, B's gradient is scale times that of the weight itself. */
static void exact(double dot[3])
{
	inoc_err err;
	inoci_adapter *a = adapter(TINY_F, INOCI_ALL_PROJ, false, false);
	float *g[2];
	for (int l = 0; l < TINY_LAYERS; l++)
		for (int p = 0; p < INOCI_N_PROJ; p++) {
			int K;
			inoci_lora_slice *s = inoci_adapter_slice(a, l, p, &K);
			memset(s->a, 0, (size_t)(s->rank * K) * sizeof(float));
			for (int i = 0; i < K; i++) s->a[i * K + i] = 1;
		}
	assert_int_equal(inoci_adapter_pack(a, &err), 0);
	two_gradients(a, g);
	dot[0] = dot[1] = dot[2] = 0;
	for (int l = 0; l < TINY_LAYERS; l++)
		for (int p = 0; p < INOCI_N_PROJ; p++) {
			const inoci_lora_slice *s = inoci_adapter_slice(a, l, p, NULL);
			double s2 = (double)s->scale * (double)s->scale;
			for (size_t i = (size_t)(s->b - a->params), n = i + (size_t)(s->n * s->rank); i < n; i++) {
				dot[0] += (double)g[0][i] * (double)g[0][i] / s2;
				dot[1] += (double)g[1][i] * (double)g[1][i] / s2;
				dot[2] += (double)g[0][i] * (double)g[1][i] / s2;
			}
		}
	free(g[0]), free(g[1]);
	inoci_adapter_free(a);
}

static void gradient_products(void **state)
{
	enum { DRAWS = 40 };
	double want[3], mean[3] = {0}, worst = 0;
	exact(want);
	for (int d = 0; d < DRAWS; d++) {
		inoc_err err;
		inoci_adapter *a;
		inoci_lora_config c = {.rank = 16, .alpha = 5, .targets = INOCI_ALL_PROJ};
		float *g[2];
		if (inoci_adapter_new(model, &c, (uint64_t)d, &a, &err) < 0 || inoci_adapter_grads(a, &err) < 0)
			fail_msg("%s", err.msg);
		two_gradients(a, g);
		double xx = inoci_adapter_grad_dot(a, g[0], g[0]), yy = inoci_adapter_grad_dot(a, g[1], g[1]),
		       xy = inoci_adapter_grad_dot(a, g[0], g[1]);
		mean[0] += xx / DRAWS, mean[1] += yy / DRAWS, mean[2] += xy / DRAWS;
		worst = fmax(worst, fabs(xy / sqrt(xx * yy) - want[2] / sqrt(want[0] * want[1])));
		/* B is 0, so A has no gradient */
		for (int l = 0; l < TINY_LAYERS; l++) {
			int K;
			const inoci_lora_slice *s = inoci_adapter_slice(a, l, INOCI_PROJ_V, &K);
			for (int i = 0; i < s->rank * K; i++) assert_true(g[0][(s->a - a->params) + i] == 0);
		}
		free(g[0]), free(g[1]);
		inoci_adapter_free(a);
	}
	double cos = want[2] / sqrt(want[0] * want[1]);
	print_message("norm %.5f (exact %.5f), cosine %.4f (exact %.4f, the worst draw %.4f away)\n", sqrt(mean[0]),
	              sqrt(want[0]), mean[2] / sqrt(mean[0] * mean[1]), cos, worst);
	assert_true(fabs(cos) > 0.05 && cos < 0.95); /* else there is little to tell */
	assert_true(fabs(sqrt(mean[0] / want[0]) - 1) < 0.03);
	assert_true(fabs(mean[2] / sqrt(mean[0] * mean[1]) - cos) < 0.02);
	assert_true(worst < 0.1);
}

static void merged(void **state)
{
	static const int types[] = {INOCI_F32, INOCI_BF16};
	static const double tol[] = {1e-5, 0.05};
	inoci_adapter *a = adapter(4, INOCI_ALL_PROJ & ~(1u << INOCI_PROJ_UP), false, true);
	inoc_err err;
	inoci_batch b = {0};
	int32_t ids[20], loss[20] = {0}, rows[20];
	float want[20 * 300], got[20 * 300];
	for (int i = 0; i < 20; i++) ids[i] = (i * 37) % 250, rows[i] = i;
	inoci_batch_add(&b, ids, loss, 20, 0);
	inoci_workspace *w = inoci_workspace_new();
	assert_true(model->hp.vocab <= 300);
	if (inoci_adapter_save(a, "update-adapter", "tiny", &err) < 0 ||
	    inoci_model_logits(model, a, &b, w, rows, 20, want, &err) < 0)
		fail_msg("%s", err.msg);
	for (int t = 0; t < 2; t++) {
		inoci_model *m;
		double worst = 0, size = 0;
		if (inoci_model_merge(path, "update-adapter", types[t], "update-merged.gguf", NULL, &err) < 0 ||
		    inoci_model_open("update-merged.gguf", ops, false, NULL, NULL, &m, &err) < 0 ||
		    inoci_model_logits(m, NULL, &b, w, rows, 20, got, &err) < 0)
			fail_msg("%s", err.msg);
		/* what the adapter does not change is as it was */
		const inoci_tensor *x = inoci_gguf_tensor(model->gguf, "blk.1.ffn_up.weight"),
		                   *y = inoci_gguf_tensor(m->gguf, x->name);
		assert_int_equal(y->type, x->type);
		assert_memory_equal(x->data, y->data, x->bytes);
		assert_int_equal(inoci_gguf_tensor(m->gguf, "blk.1.attn_k.weight")->type, types[t]);
		for (int i = 0; i < 20 * model->hp.vocab; i++) {
			worst = fmax(worst, fabs((double)got[i] - (double)want[i]));
			size = fmax(size, fabs((double)want[i]));
		}
		if (!(worst < tol[t] * size)) fail_msg("%s: logits %.3g away, of %.3g", inoci_qtype_name(types[t]), worst, size);
		inoci_model_free(m);
	}
	/* not what the model gives alone */
	assert_int_equal(inoci_model_logits(model, NULL, &b, w, rows, 20, got, &err), 0);
	double apart = 0;
	for (int i = 0; i < 20 * model->hp.vocab; i++) apart = fmax(apart, fabs((double)got[i] - (double)want[i]));
	assert_true(apart > 0.1);
	assert_true(inoci_model_merge(path, "no-such-adapter", INOCI_F32, "update-none.gguf", NULL, &err) < 0);
	assert_false(inoci_path_exists("update-none.gguf"));
	unlink("update-merged.gguf"), unlink("update-adapter/adapter_model.safetensors"),
	        unlink("update-adapter/adapter_config.json");
	rmdir("update-adapter");
	inoci_workspace_free(w);
	inoci_batch_free(&b);
	inoci_adapter_free(a);
}

int main(void)
{
	inoci_fault_fill_nan();
	const struct CMUnitTest tests[] = {cmocka_unit_test(norms), cmocka_unit_test(gradient_products),
	                                   cmocka_unit_test(merged)};
	return cmocka_run_group_tests(tests, setup, teardown);
}
