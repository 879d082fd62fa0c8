/* The whole backward against finite differences of the double oracle; the fast backward against the oracle's; packed against
 * one by one; a shared prefix against repeated ones; adapter files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tiny.h"

static char *path;

static int32_t ids[3][40], loss[3][40];
static const int len[3] = {23, 7, 31};

static int setup(void **state)
{
	path = tiny_model("grad");
	inoci_rng r = inoci_rng_new(9, "ids", 0, 0);
	for (int s = 0; s < 3; s++)
		for (int i = 0; i < len[s]; i++)
			ids[s][i] = (int32_t)inoci_rng_below(&r, 270), loss[s][i] = i > 3 && inoci_rng_below(&r, 3) > 0;
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	free(path);
	return 0;
}

typedef struct {
	inoci_ops *o;
	inoci_model *m;
	inoci_adapter *a;
	inoci_workspace *w;
} rig;

/* An adapter whose B is not zero, so that every gradient is exercised. */
static rig open_rig(bool fast, inoci_dtype d, unsigned targets, float dropout)
{
	rig r;
	inoc_err err;
	inoci_lora_config c = {.rank = 3, .alpha = 5, .targets = targets, .dropout = dropout};
	if ((fast ? inoci_ops_cpu(d, 0, &r.o, &err) : inoci_ops_ref(d, &r.o, &err)) < 0 ||
	    inoci_model_open(path, r.o, true, NULL, NULL, &r.m, &err) < 0 || inoci_adapter_new(r.m, &c, 3, &r.a, &err) < 0 ||
	    inoci_adapter_grads(r.a, &err) < 0)
		fail_msg("%s", err.msg);
	inoci_rng g = inoci_rng_new(4, "b", 0, 0);
	for (size_t i = 0; i < r.a->n_params; i++) r.a->params[i] += 0.05f * (float)inoci_rng_normal(&g);
	assert_int_equal(inoci_adapter_pack(r.a, &err), 0);
	r.w = inoci_workspace_new();
	return r;
}

static void close_rig(rig *r)
{
	inoci_workspace_free(r->w);
	inoci_adapter_free(r->a);
	inoci_model_free(r->m);
	r->o->free(r->o);
}

/* -sum weight * logprob over all three examples */
static double loss_of(rig *r, bool grad)
{
	inoci_batch b = {0};
	inoc_err err;
	float lp[128];
	double sum = 0;
	for (int s = 0; s < 3; s++) inoci_batch_add(&b, ids[s], loss[s], len[s], 0.1f * (float)(s + 1));
	if (inoci_model_loss(r->m, r->a, &b, r->w, grad, 99, lp, &err) < 0) fail_msg("%s", err.msg);
	for (int t = 0, i = 0; t < b.T; t++)
		if (b.target[t] >= 0) sum -= (double)b.weight[t] * lp[i++];
	inoci_batch_free(&b);
	return sum;
}

static void check_finite_differences(unsigned targets, float dropout)
{
	rig r = open_rig(false, INOCI_DTYPE_F64, targets, dropout);
	inoc_err err;
	loss_of(&r, true);
	inoci_rng g = inoci_rng_new(8, "pick", targets, 0);
	for (int k = 0; k < 120; k++) {
		size_t i = (size_t)inoci_rng_below(&g, (uint32_t)r.a->n_params);
		float keep = r.a->params[i], up = keep + 2e-2f, down = keep - 2e-2f;
		double f[4], want = r.a->grads[i];
		float at[4] = {up, down, keep + 4e-2f, keep - 4e-2f};
		for (int j = 0; j < 4; j++) {
			r.a->params[i] = at[j];
			float *saved = inoci_alloc(r.a->n_params * 4);
			memcpy(saved, r.a->grads, r.a->n_params * 4);
			assert_int_equal(inoci_adapter_pack(r.a, &err), 0);
			f[j] = loss_of(&r, dropout > 0); /* dropout is on only with gradients */
			memcpy(r.a->grads, saved, r.a->n_params * 4);
			free(saved);
		}
		r.a->params[i] = keep;
		/* Richardson: the error is of fourth order; log-probabilities come back as f32, hence the tolerance */
		double d1 = (f[0] - f[1]) / ((double)up - down), d2 = (f[2] - f[3]) / ((double)at[2] - at[3]),
		       got = (4 * d1 - d2) / 3;
		if (fabs(got - want) > 3e-4 + 2e-3 * fabs(want))
			fail_msg("parameter %zu: gradient %.8g, finite differences %.8g", i, want, got);
	}
	close_rig(&r);
}

static void test_finite_differences(void **state)
{
	check_finite_differences(INOCI_ALL_PROJ, 0);
	check_finite_differences(1u << INOCI_PROJ_V | 1u << INOCI_PROJ_UP, 0);
	check_finite_differences(1u << INOCI_PROJ_DOWN, 0);
	check_finite_differences(INOCI_ALL_PROJ, 0.2f);
}

static void compare_grads(const char *what, const float *a, const float *b, size_t n, double tol)
{
	double d = 0, s = 0;
	for (size_t i = 0; i < n; i++) d += ((double)a[i] - b[i]) * ((double)a[i] - b[i]), s += (double)b[i] * b[i];
	if (!(sqrt(d) <= tol * sqrt(s)) || s == 0)
		fail_msg("%s: gradients differ by %.3g of their norm %.3g (tolerance %g)", what, sqrt(d / s), sqrt(s), tol);
}

static void test_fast_against_oracle(void **state)
{
	for (int drop = 0; drop < 2; drop++) {
		rig r = open_rig(false, INOCI_DTYPE_F32, INOCI_ALL_PROJ, drop ? 0.2f : 0);
		double want = loss_of(&r, true);
		for (int bf = 0; bf < 2; bf++) {
			if (bf && inoci_ops_cpu_best() != INOCI_DTYPE_BF16) break;
			rig c = open_rig(true, bf ? INOCI_DTYPE_BF16 : INOCI_DTYPE_F32, INOCI_ALL_PROJ, drop ? 0.2f : 0);
			double got = loss_of(&c, true);
			if (fabs(got - want) > (bf ? 1e-2 : 1e-5) * want) fail_msg("loss %.8g, the oracle says %.8g", got, want);
			compare_grads(bf ? "bf16" : "f32", c.a->grads, r.a->grads, r.a->n_params, bf ? 3e-2 : 1e-5);
			close_rig(&c);
		}
		close_rig(&r);
	}
}

/* one packed batch gives the bits of the examples one by one, forward; and the sum of their gradients */
static void test_packing(void **state)
{
	for (int bf = 0; bf < 2; bf++) {
		if (bf && inoci_ops_cpu_best() != INOCI_DTYPE_BF16) break;
		rig r = open_rig(true, bf ? INOCI_DTYPE_BF16 : INOCI_DTYPE_F32, INOCI_ALL_PROJ, 0);
		inoc_err err;
		inoci_batch all = {0}, one = {0};
		float lp[128], lp1[128];
		for (int s = 0; s < 3; s++) inoci_batch_add(&all, ids[s], loss[s], len[s], 0.1f);
		assert_int_equal(inoci_model_loss(r.m, r.a, &all, r.w, true, 0, lp, &err), 0);
		float *packed = inoci_alloc(r.a->n_params * 4);
		memcpy(packed, r.a->grads, r.a->n_params * 4);
		memset(r.a->grads, 0, r.a->n_params * 4);
		for (int s = 0, at = 0; s < 3; s++) {
			inoci_batch_reset(&one);
			inoci_batch_add(&one, ids[s], loss[s], len[s], 0.1f);
			int n = inoci_batch_n_targets(&one);
			assert_int_equal(inoci_model_loss(r.m, r.a, &one, r.w, true, 0, lp1, &err), 0);
			assert_memory_equal(lp + at, lp1, (size_t)n * 4);
			at += n;
		}
		compare_grads("packed", packed, r.a->grads, r.a->n_params, bf ? 1e-2 : 1e-5);
		free(packed);
		inoci_batch_free(&all), inoci_batch_free(&one);
		close_rig(&r);
	}
}

/* a forest with a shared root: the bits of the unshared rows, and the gradients of the two whole examples */
static void test_shared_root(void **state)
{
	enum { ROOT = 9 };
	for (int bf = 0; bf < 2; bf++) {
		if (bf && inoci_ops_cpu_best() != INOCI_DTYPE_BF16) break;
		rig r = open_rig(true, bf ? INOCI_DTYPE_BF16 : INOCI_DTYPE_F32, INOCI_ALL_PROJ, 0);
		inoc_err err;
		int32_t a[2][40], l[2][40];
		inoci_batch whole = {0}, forest = {0};
		for (int s = 0; s < 2; s++) {
			memcpy(a[s], ids[s ? 2 : 0], sizeof a[s]);
			memcpy(a[s], ids[0], ROOT * 4); /* the common head, without loss */
			for (int i = 0; i < 20; i++) l[s][i] = i > ROOT;
			inoci_batch_add(&whole, a[s], l[s], 20, 0.1f);
		}
		inoci_batch_add(&forest, a[0], l[0], 20, 0.1f);
		inoci_batch_add(&forest, a[1] + ROOT, l[1] + ROOT, 20 - ROOT, 0.1f);
		int32_t keys[3][20];
		for (int i = 0; i < 20; i++) keys[0][i] = i, keys[1][i] = i, keys[2][i] = i < ROOT ? i : 20 + i - ROOT;
		inoci_seg segs[] = {
		        {0, ROOT, 0, keys[0], 0}, {ROOT, 20 - ROOT, ROOT, keys[1], 0}, {20, 20 - ROOT, ROOT, keys[2], 0}};
		forest.segs = inoci_realloc(forest.segs, sizeof segs);
		forest.cap_segs = forest.n_segs = 3;
		memcpy(forest.segs, segs, sizeof segs);
		for (int i = 0; i < 20 - ROOT; i++) forest.pos[20 + i] = ROOT + i;
		float lw[64], lf[64];
		assert_int_equal(inoci_batch_n_targets(&forest), inoci_batch_n_targets(&whole));
		assert_int_equal(inoci_model_loss(r.m, r.a, &whole, r.w, true, 0, lw, &err), 0);
		float *want = inoci_alloc(r.a->n_params * 4);
		memcpy(want, r.a->grads, r.a->n_params * 4);
		memset(r.a->grads, 0, r.a->n_params * 4);
		assert_int_equal(inoci_model_loss(r.m, r.a, &forest, r.w, true, 0, lf, &err), 0);
		assert_memory_equal(lw, lf, (size_t)inoci_batch_n_targets(&whole) * 4);
		compare_grads("shared root", r.a->grads, want, r.a->n_params, bf ? 1e-2 : 1e-5);
		free(want);
		inoci_batch_free(&whole), inoci_batch_free(&forest);
		close_rig(&r);
	}
}

/* teacher-forced logits equal those over a KV store, token by token and in pieces, bit for bit */
static void test_kv_store(void **state)
{
	for (int bf = 0; bf < 2; bf++) {
		if (bf && inoci_ops_cpu_best() != INOCI_DTYPE_BF16) break;
		rig r = open_rig(true, bf ? INOCI_DTYPE_BF16 : INOCI_DTYPE_F32, INOCI_ALL_PROJ, 0);
		inoc_err err;
		int n = len[2], V = r.m->hp.vocab, pieces[] = {1, 5, 31};
		int32_t rows[40], keys[40], kv_rows[40];
		for (int i = 0; i < n; i++) rows[i] = i, keys[i] = 50 - i; /* store rows in any order */
		inoci_batch b = {0};
		inoci_batch_add(&b, ids[2], NULL, n, 0);
		float *want = inoci_alloc((size_t)(n * V) * 4), *got = inoci_alloc((size_t)(n * V) * 4);
		assert_int_equal(inoci_model_logits(r.m, r.a, &b, r.w, rows, n, want, &err), 0);
		for (size_t k = 0; k < INOCI_COUNT(pieces); k++) {
			inoci_kv *kv;
			assert_int_equal(inoci_kv_new(r.m, 51, &kv, &err), 0);
			for (int at = 0; at < n; at += pieces[k]) {
				int m = n - at < pieces[k] ? n - at : pieces[k];
				inoci_batch_reset(&b);
				inoci_batch_add(&b, ids[2] + at, NULL, m, 0);
				for (int i = 0; i < m; i++) b.pos[i] = at + i, kv_rows[i] = keys[at + i];
				b.segs[0].pos0 = at;
				b.segs[0].key_rows = keys;
				assert_int_equal(
				        inoci_model_infer(r.m, r.a, &b, kv, kv_rows, r.w, rows, m, got + (size_t)(at * V), &err),
				        0);
			}
			assert_memory_equal(got, want, (size_t)(n * V) * 4);
			inoci_kv_free(kv);
		}
		free(want), free(got);
		inoci_batch_free(&b);
		close_rig(&r);
	}
}

static void test_adapter_file(void **state)
{
	rig r = open_rig(true, INOCI_DTYPE_F32, 1u << INOCI_PROJ_K | 1u << INOCI_PROJ_GATE, 0);
	inoc_err err;
	inoci_adapter *b;
	char dir[64];
	snprintf(dir, sizeof dir, "adapter-%ld", (long)getpid());
	r.a->cfg.dropout = 0.1f;
	if (inoci_adapter_save(r.a, dir, "tiny", &err) < 0 || inoci_adapter_load(r.m, dir, &b, &err) < 0) fail_msg("%s", err.msg);
	assert_string_equal(inoci_adapter_hash(r.a).hex, inoci_adapter_hash(b).hex);
	assert_int_equal(b->cfg.targets, r.a->cfg.targets);
	assert_true(b->cfg.dropout == r.a->cfg.dropout && b->cfg.alpha == r.a->cfg.alpha);
	inoci_adapter_free(b);
	/* the second file missing, then cut short */
	char *p = inoci_path_join(dir, "adapter_model.safetensors");
	assert_int_equal(truncate(p, 1000), 0);
	assert_true(inoci_adapter_load(r.m, dir, &b, &err) < 0);
	assert_non_null(strstr(err.msg, "adapter_model.safetensors"));
	unlink(p);
	assert_int_equal(inoci_adapter_load(r.m, dir, &b, &err), INOC_E_IO);
	free(p);
	p = inoci_path_join(dir, "adapter_config.json");
	char *text;
	size_t n;
	if (inoci_file_read(p, &text, &n, &err) < 0) fail_msg("%s", err.msg);
	assert_non_null(strstr(text, "\"lora_dropout\": 0.1,"));
	free(text);
	const char *bad = "{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 8, \"target_modules\": [\"lm_head\"]}";
	assert_int_equal(inoci_file_write(p, bad, strlen(bad), &err), 0);
	assert_int_equal(inoci_adapter_load(r.m, dir, &b, &err), INOC_E_UNSUPPORTED);
	assert_non_null(strstr(err.msg, "lm_head"));
	/* the n-th big allocation fails: an error, nothing leaked */
	for (long k = 1; k < 40; k++) {
		inoci_model *m = NULL;
		inoci_fault_alloc_at(k);
		int rc = inoci_model_open(path, r.o, true, NULL, NULL, &m, &err);
		inoci_fault_alloc_at(0);
		if (rc >= 0) {
			inoci_model_free(m);
			assert_true(k > 5);
			break;
		}
		assert_int_equal(rc, INOC_E_MEMORY);
	}
	unlink(p);
	rmdir(dir);
	free(p);
	close_rig(&r);
}

int main(void)
{
	inoci_fault_fill_nan();
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_finite_differences),
	        cmocka_unit_test(test_fast_against_oracle),
	        cmocka_unit_test(test_packing),
	        cmocka_unit_test(test_shared_root),
	        cmocka_unit_test(test_kv_store),
	        cmocka_unit_test(test_adapter_file),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
