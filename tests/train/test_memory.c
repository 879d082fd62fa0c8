/* A run's memory: the greatest micro-batch is the one that the loop makes; what is kept follows from what there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "../model/tiny.h"
#include "train/internal.h"

static char *path;
static inoci_ops *ops;
static inoci_model *model;
static inoci_examples train;

static int setup(void **state)
{
	inoc_err err;
	path = tiny_model("memory");
	if (inoci_ops_cpu(INOCI_DTYPE_F32, 1, &ops, &err) < 0 || inoci_model_open(path, ops, true, NULL, NULL, &model, &err) < 0)
		fail_msg("%s", err.msg);
	inoci_rng r = inoci_rng_new(1, "examples", 0, 0);
	for (int i = 0; i < 50; i++) {
		int32_t ids[90], loss[90];
		int n = 12 + (int)inoci_rng_below(&r, 70), same = (int)inoci_rng_below(&r, 12);
		for (int k = 0; k < n; k++) ids[k] = k < same ? 5 : (int32_t)inoci_rng_below(&r, 250), loss[k] = k > 10;
		inoci_examples_add(&train, ids, loss, n);
	}
	inoci_examples_seal(&train);
	return 0;
}

static int teardown(void **state)
{
	inoci_examples_free(&train);
	inoci_model_free(model);
	ops->free(ops);
	unlink(path);
	free(path);
	return 0;
}

static inoci_memory_plan plan_of(const inoci_train_config *c, int steps)
{
	inoci_adapter *a;
	inoci_memory_plan p;
	inoc_err err;
	if (inoci_adapter_new(model, &c->lora, 1, &a, &err) < 0 ||
	    inoci_memory_plan_make(model, a, &train, c, steps, &p, &err) < 0)
		fail_msg("%s", err.msg);
	inoci_adapter_free(a);
	return p;
}

static void test_greatest(void **state)
{
	static const int sizes[][3] = {{1, 1, 1}, {4, 1000, 1}, {4, 100, 1}, {7, 150, 0}, {16, 300, 1}};
	long stems = 0;
	for (size_t i = 0; i < INOCI_COUNT(sizes); i++) {
		inoci_train_config c = inoci_train_defaults();
		inoci_batch b = {0};
		inoci_packed v[16];
		c.batch = sizes[i][0], c.micro_tokens = sizes[i][1], c.share = sizes[i][2];
		c.epochs = 2.5;
		c.lora.rank = 2;
		int steps = (125 + c.batch - 1) / c.batch, T = 0, stem = 0, targets = 0;
		int32_t order[3][50];
		for (int e = 0; e < 3; e++) inoci_order(c.seed, e, order[e], 50);
		for (int s = 0; s < steps; s++) {
			size_t n = 0, m;
			for (int k = s * c.batch; k < (s + 1) * c.batch && k < 125; k++, n++)
				v[n] = (inoci_packed){&train.v[order[k / 50][k % 50]], n};
			inoci_forest f = {0};
			if (c.share) inoci_forest_make(&f, v, n);
			bool pays = c.share && inoci_forest_pays(&f, c.micro_tokens, train.max_len);
			stems += pays;
			for (size_t k = 0; pays && k < n; k += m) {
				int tokens;
				m = inoci_forest_cut(&f, k, c.micro_tokens, &tokens);
				inoci_forest_batch(&f, k, m, &b, 1);
				if (b.T > T) T = b.T;
				if (f.stem.T > stem) stem = f.stem.T;
				if (inoci_batch_n_targets(&b) > targets) targets = inoci_batch_n_targets(&b);
			}
			inoci_forest_free(&f);
			for (size_t k = 0; !pays && k < n; k += m) {
				m = inoci_pack_cut(v + k, n - k, c.share, c.micro_tokens).n;
				inoci_pack(&b, v + k, m, c.share, 1);
				if (b.T > T) T = b.T;
				if (inoci_batch_n_targets(&b) > targets) targets = inoci_batch_n_targets(&b);
			}
		}
		inoci_memory_plan p = plan_of(&c, steps);
		assert_int_equal(p.most.targets, targets);
		assert_int_equal(p.most.stem, stem);
		/* a common head of one token is not held in common */
		if (p.most.tokens > T || p.most.tokens + 16 < T) fail_msg("%d tokens planned, %d packed", p.most.tokens, T);
		inoci_batch_free(&b);
	}
	assert_true(stems > 0);
}

/* With less and less address space: all, some, least, then refused with the numbers. */
static void test_levels(void **state)
{
	inoci_train_config c = inoci_train_defaults();
	inoci_adapter *a;
	inoci_memory_plan p;
	inoc_err err;
	struct rlimit old, r;
	c.lora.rank = 2;
	c.batch = 16;
	assert_int_equal(inoci_adapter_new(model, &c.lora, 1, &a, &err), 0);
	assert_int_equal(inoci_memory_plan_make(model, a, &train, &c, 4, &p, &err), 0);
	assert_int_equal(p.keep, INOCI_KEEP_ALL);
	double before = p.more;
	char *text = inoci_memory_plan_text(&p);
	assert_non_null(strstr(text, "all activations are kept"));
	free(text);
	for (c.keep = INOCI_KEEP_ALL; c.keep < INOCI_N_KEEP; c.keep++) { /* as asked for */
		assert_int_equal(inoci_memory_plan_make(model, a, &train, &c, 4, &p, &err), 0);
		assert_int_equal(p.keep, c.keep);
		assert_true(c.keep == INOCI_KEEP_ALL || p.more < before);
		before = p.more;
	}
	c.keep = INOCI_KEEP_FITS;
#ifdef __SANITIZE_ADDRESS__
	inoci_adapter_free(a); /* its own mappings are beyond any limit */
	return;
#endif
	assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
	int last = INOCI_KEEP_ALL, rc = 0;
	r = old;
	for (r.rlim_cur = (rlim_t)1 << 44; r.rlim_cur > (rlim_t)1 << 20 && rc == 0; r.rlim_cur -= r.rlim_cur / 8) {
		assert_int_equal(setrlimit(RLIMIT_AS, &r), 0);
		rc = inoci_memory_plan_make(model, a, &train, &c, 4, &p, &err);
		assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
		if (rc == 0) assert_true((int)p.keep >= last);
		last = (int)p.keep;
	}
	assert_int_equal(rc, INOC_E_MEMORY);
	assert_non_null(strstr(err.msg, "lower micro_tokens (now 1024)"));
	assert_non_null(strstr(err.msg, " MiB are available"));
	inoci_adapter_free(a);
}

int main(void)
{
	inoci_fault_fill_nan();
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_greatest), cmocka_unit_test(test_levels)};
	return cmocka_run_group_tests(tests, setup, teardown);
}
