/* The training loop on a tiny model: determinism, resume after a kill at any step, micro-batches, schedules, early stop, bad
 * input, a full disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "../model/tiny.h"
#include "train/train.h"

static char *path;
static inoci_ops *ops;
static inoci_model *model;
static inoci_examples train, val;
#define CKP "loop-checkpoint"
#define LOG "loop-metrics"

static void fill(inoci_examples *e, int n, uint64_t seed)
{
	inoci_rng r = inoci_rng_new(seed, "examples", 0, 0);
	for (int i = 0; i < n; i++) {
		int32_t ids[40], loss[40];
		int len = 8 + (int)inoci_rng_below(&r, 30);
		for (int k = 0; k < len; k++) {
			ids[k] = k % 2 ? 40 : (int32_t)inoci_rng_below(&r, 250); /* half of it can be learnt */
			loss[k] = k > 2;
		}
		inoci_examples_add(e, ids, loss, len);
	}
	inoci_examples_seal(e);
}

static int setup(void **state)
{
	inoc_err err;
	path = tiny_model("loop");
	if (inoci_ops_cpu(inoci_ops_cpu_best(), 0, &ops, &err) < 0 ||
	    inoci_model_open(path, ops, true, NULL, NULL, &model, &err) < 0)
		fail_msg("%s", err.msg);
	fill(&train, 21, 1);
	fill(&val, 6, 2);
	return 0;
}

static int teardown(void **state)
{
	inoci_examples_free(&train), inoci_examples_free(&val);
	inoci_model_free(model);
	ops->free(ops);
	unlink(path);
	unlink(CKP);
	unlink(LOG);
	free(path);
	return 0;
}

static inoci_train_config config(void)
{
	inoci_train_config c = inoci_train_defaults();
	c.lora.rank = 2;
	c.batch = 4;
	c.epochs = 2;
	c.lr = 2e-2;
	c.warmup = 2;
	return c;
}

typedef struct {
	int kill_at, stop_at, seen;
	inoci_metric first, last;
	volatile int stop;
	inoci_progress progress;
} watch;

/* Metric rows in a file, as the store keeps them: cut behind the step resumed from. */
static int on_resume(void *ctx, int step, inoc_err *err)
{
	char *data = NULL;
	size_t n;
	(void)ctx;
	if (!inoci_path_exists(LOG)) return 0;
	int rc = inoci_file_read(LOG, &data, &n, err);
	if (rc < 0) return rc;
	char *p = data;
	for (int i = 0; i < step && p; i++) {
		p = strchr(p, '\n');
		if (p) p++;
	}
	rc = inoci_file_write(LOG, data, p ? (size_t)(p - data) : n, err);
	free(data);
	return rc;
}

static int on_step(void *ctx, const inoci_metric *m, inoc_err *err)
{
	watch *w = ctx;
	(void)err;
	FILE *f = fopen(LOG, "a");
	fprintf(f, "%d %.17g %.17g %.17g %ld\n", m->step, m->lr, m->loss, m->grad_norm, m->loss_tokens);
	fclose(f);
	w->last = *m;
	if (m->step == 1) w->first = *m;
	w->seen++;
	if (m->step == w->kill_at) _exit(9);
	if (m->step == w->stop_at) w->stop = 1;
	return 0;
}

static int run(const inoci_train_config *c, const inoci_examples *v, watch *w, bool ckp, inoci_hash *hash,
               inoci_train_result *res, inoc_err *err)
{
	inoci_adapter *a;
	w->progress.stop = &w->stop;
	inoci_train_hooks h = {
	        .checkpoint = ckp ? CKP : NULL, .on_step = on_step, .on_resume = on_resume, .ctx = w, .progress = &w->progress};
	int rc = inoci_train(model, &train, v, c, &h, &a, res, err);
	if (rc >= 0 && hash) *hash = inoci_adapter_hash(a);
	if (rc >= 0) inoci_adapter_free(a);
	return rc;
}

static char *log_text(void)
{
	char *s;
	size_t n;
	inoc_err err;
	if (inoci_file_read(LOG, &s, &n, &err) < 0) fail_msg("%s", err.msg);
	return s;
}

static void test_same_seed_same_bytes(void **state)
{
	inoci_train_config c = config();
	inoci_hash a, b;
	inoci_train_result r;
	inoc_err err;
	watch w = {0};
	unlink(LOG);
	if (run(&c, NULL, &w, false, &a, &r, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(r.steps_done, 11); /* 42 records in batches of 4 */
	assert_int_equal(w.seen, 11);
	double first = w.last.loss;
	assert_int_equal(run(&c, NULL, &w, false, &b, &r, &err), 0);
	assert_string_equal(a.hex, b.hex);
	assert_true(w.last.loss == first);
	c.seed = 2;
	assert_int_equal(run(&c, NULL, &w, false, &b, &r, &err), 0);
	assert_string_not_equal(a.hex, b.hex);
	/* it learns what can be learnt */
	c.epochs = 12;
	assert_int_equal(run(&c, NULL, &w, false, &b, &r, &err), 0);
	if (!(r.final_loss < 0.75 * w.first.loss))
		fail_msg("loss %.4f after 12 epochs, %.4f at first", r.final_loss, w.first.loss);
}

static void test_init_seed(void **state)
{
	inoci_train_config c = config();
	inoci_hash trained[2], start, other;
	inoci_train_result r;
	inoci_adapter *fresh;
	inoc_err err;
	watch w = {0};
	/* nothing learnt: what is left is the start */
	c.lr = 0;
	c.weight_decay = 0;
	for (int k = 0; k < 3; k++) {
		c.seed = k ? 5 : 7;
		c.init_seed = k == 1 ? 7 : 0;
		if (run(&c, NULL, &w, false, k == 2 ? &other : &trained[k], &r, &err) < 0) fail_msg("%s", err.msg);
	}
	if (inoci_adapter_new(model, &c.lora, 7, &fresh, &err) < 0) fail_msg("%s", err.msg);
	start = inoci_adapter_hash(fresh);
	inoci_adapter_free(fresh);
	assert_string_equal(trained[0].hex, start.hex);
	assert_string_equal(trained[1].hex, start.hex);
	assert_string_not_equal(other.hex, start.hex);
	/* the order is the seed's all the same */
	c = config();
	c.init_seed = 7;
	for (int k = 0; k < 2; k++) {
		c.seed = k ? 5 : 7;
		if (run(&c, NULL, &w, false, &trained[k], &r, &err) < 0) fail_msg("%s", err.msg);
	}
	assert_string_not_equal(trained[0].hex, trained[1].hex);
	start = inoci_train_config_hash(&c);
	c.init_seed = 8;
	other = inoci_train_config_hash(&c);
	assert_string_not_equal(start.hex, other.hex);
}

/* killed at every step in turn, resumed: the bytes and the metric rows of a run left alone */
static void test_kill_and_resume(void **state)
{
	for (int dropout = 0; dropout < 2; dropout++) {
		inoci_train_config c = config();
		inoci_hash want, got;
		inoci_train_result r;
		inoc_err err;
		watch w = {0};
		c.lora.dropout = dropout ? 0.1f : 0;
		c.checkpoint_every = 3;
		c.eval_every = 2;
		unlink(LOG), unlink(CKP);
		assert_int_equal(run(&c, &val, &w, true, &want, &r, &err), 0);
		char *rows = log_text();
		for (int k = 1; k < 11; k += dropout ? 5 : 2) {
			unlink(LOG), unlink(CKP);
			/* a process of its own to kill; it opens its own operations: OpenMP's threads do not survive fork */
			char cmd[64];
			snprintf(cmd, sizeof cmd, "%d", k);
			pid_t pid = fork();
			if (pid == 0) {
				setenv("LOOP_KILL_AT", cmd, 1);
				setenv("LOOP_DROPOUT", dropout ? "1" : "0", 1);
				execl("/proc/self/exe", "test_loop", path, (char *)NULL);
				_exit(1);
			}
			int st;
			assert_int_equal(waitpid(pid, &st, 0), pid);
			if (!WIFEXITED(st) || WEXITSTATUS(st) != 9) fail_msg("the run to be killed ended with status %d", st);
			watch w2 = {0};
			if (run(&c, &val, &w2, true, &got, &r, &err) < 0) fail_msg("%s", err.msg);
			assert_int_equal(w2.seen, 11 - (k - 1) / 3 * 3); /* the rows of step k come before its checkpoint */
			assert_string_equal(want.hex, got.hex);
			char *rows2 = log_text();
			assert_string_equal(rows, rows2);
			free(rows2);
		}
		free(rows);
		unlink(CKP);
	}
}

/* Ctrl-C: stops with a checkpoint at that very step */
static void test_stop(void **state)
{
	inoci_train_config c = config();
	inoci_hash want, got;
	inoci_train_result r;
	inoc_err err;
	watch w = {0}, w1 = {.stop_at = 5}, w2 = {0};
	unlink(LOG), unlink(CKP);
	assert_int_equal(run(&c, NULL, &w, false, &want, &r, &err), 0);
	assert_int_equal(run(&c, NULL, &w1, true, NULL, &r, &err), INOC_E_STOPPED);
	assert_non_null(strstr(err.msg, "step 5 of 11"));
	assert_int_equal(run(&c, NULL, &w2, true, &got, &r, &err), 0);
	assert_int_equal(w2.seen, 6);
	assert_string_equal(want.hex, got.hex);
	/* a checkpoint of another run is refused, a damaged one too */
	c.lr = 1e-3;
	assert_true(inoci_path_exists(CKP));
	watch w4 = {.stop_at = 5};
	assert_int_equal(run(&c, NULL, &w4, true, NULL, &r, &err), INOC_E_FORMAT);
	assert_non_null(strstr(err.msg, "another run"));
	assert_int_equal(truncate(CKP, 500), 0);
	assert_int_equal(run(&c, NULL, &w2, true, NULL, &r, &err), INOC_E_FORMAT);
	assert_non_null(strstr(err.msg, CKP));
	unlink(CKP);
}

static void test_micro_batches(void **state)
{
	inoci_train_config c = config();
	inoci_train_result r;
	inoc_err err;
	double loss[3];
	int micro[] = {1, 60, 4096};
	for (int i = 0; i < 3; i++) {
		watch w = {0};
		c.micro_tokens = micro[i];
		assert_int_equal(run(&c, NULL, &w, false, NULL, &r, &err), 0);
		loss[i] = w.last.loss;
	}
	for (int i = 1; i < 3; i++)
		if (fabs(loss[i] - loss[0]) > 2e-3 * loss[0])
			fail_msg("micro_tokens %d: loss %.8g, one by one %.8g", micro[i], loss[i], loss[0]);
}

static void test_early_stop(void **state)
{
	inoci_train_config c = config();
	inoci_train_result r;
	inoc_err err;
	watch w = {0};
	c.epochs = 40;
	c.lr = 0.1; /* soon over-fits or diverges on validation */
	c.schedule = INOCI_LR_CONSTANT;
	c.eval_every = 2;
	c.patience = 3;
	assert_int_equal(run(&c, &val, &w, false, NULL, &r, &err), 0);
	assert_true(r.early_stopped);
	assert_true(r.steps_done < 210 && r.steps_done >= 6);
	assert_int_equal(run(&c, NULL, &w, false, NULL, &r, &err), INOC_E_USAGE);
}

static void test_schedule(void **state)
{
	inoci_train_config c = config();
	static const struct {
		inoci_lr_kind k;
		int step, steps, warmup;
		double want; /* transformers 4's get_*_schedule with lr 1 */
	} t[] = {{INOCI_LR_LINEAR, 1, 10, 0, 1.0},   {INOCI_LR_LINEAR, 10, 10, 0, 0.1}, {INOCI_LR_LINEAR, 1, 20, 5, 0},
	         {INOCI_LR_LINEAR, 3, 20, 5, 0.4},   {INOCI_LR_LINEAR, 6, 20, 5, 1.0},  {INOCI_LR_LINEAR, 20, 20, 5, 1.0 / 15},
	         {INOCI_LR_COSINE, 11, 20, 0, 0.5},  {INOCI_LR_COSINE, 1, 20, 0, 1.0},  {INOCI_LR_CONSTANT, 19, 20, 5, 1.0},
	         {INOCI_LR_CONSTANT, 2, 20, 5, 0.2}, {INOCI_LR_LINEAR, 2, 2, 5, 0.2}};
	c.lr = 1;
	for (size_t i = 0; i < INOCI_COUNT(t); i++) {
		c.schedule = t[i].k;
		c.warmup = t[i].warmup;
		double got = inoci_train_lr(&c, t[i].step, t[i].steps);
		if (fabs(got - t[i].want) > 1e-12) fail_msg("row %zu: %.9g, expected %.9g", i, got, t[i].want);
	}
}

static void test_bad_input(void **state)
{
	inoci_train_config c = config();
	inoci_train_result r;
	inoc_err err;
	inoci_adapter *a;
	inoci_examples none = {0}, longest = {0};
	int32_t ids[300] = {0}, loss[300] = {0};
	assert_int_equal(inoci_train(model, &none, NULL, &c, NULL, &a, &r, &err), INOC_E_FORMAT);
	loss[5] = 1;
	inoci_examples_add(&longest, ids, loss, 300);
	inoci_examples_seal(&longest);
	assert_int_equal(inoci_train(model, &longest, NULL, &c, NULL, &a, &r, &err), INOC_E_LIMIT);
	assert_non_null(strstr(err.msg, "300 tokens; the model's context is 256"));
	inoci_examples_free(&longest);
	c.lora.rank = 0;
	assert_int_equal(inoci_train(model, &train, NULL, &c, NULL, &a, &r, &err), INOC_E_USAGE);
	assert_non_null(strstr(err.msg, "rank"));
	c = config();
	c.lr = 9;
	c.weight_decay = 10;
	c.clip = 0;
	c.epochs = 60;
	int rc = inoci_train(model, &train, NULL, &c, NULL, &a, &r, &err); /* blows up, or not: never silently */
	if (rc == INOC_E_LIMIT)
		assert_non_null(strstr(err.msg, "lower the learning rate"));
	else {
		assert_int_equal(rc, 0);
		assert_true(isfinite(r.final_loss));
		inoci_adapter_free(a);
	}
}

/* the n-th write of a checkpoint fails: the error names the file, an older checkpoint stays whole */
static void test_full_disk(void **state)
{
	inoci_train_config c = config();
	inoci_train_result r;
	inoc_err err;
	watch w1 = {.stop_at = 4}, w = {0};
	inoci_hash want, got;
	unlink(LOG), unlink(CKP);
	assert_int_equal(run(&c, NULL, &w, false, &want, &r, &err), 0);
	assert_int_equal(run(&c, NULL, &w1, true, NULL, &r, &err), INOC_E_STOPPED);
	c.checkpoint_every = 1;
	int failed = 0;
	for (long n = 1; n < 9; n++) {
		/* on_resume also writes when the log is there */
		unlink(LOG);
		watch w2 = {0};
		inoci_fault_write_at(n);
		int rc = run(&c, NULL, &w2, true, &got, &r, &err);
		inoci_fault_write_at(0);
		if (rc < 0) {
			assert_int_equal(rc, INOC_E_IO);
			assert_non_null(strstr(err.msg, CKP));
			failed++;
		}
	}
	assert_true(failed >= 5);
	watch w3 = {0};
	unlink(LOG);
	assert_int_equal(run(&c, NULL, &w3, true, &got, &r, &err), 0);
	assert_string_equal(want.hex, got.hex);
	unlink(CKP);
}

/* Whatever is kept for the backward, the bytes are the same. */
static void test_keep(void **state)
{
	for (int dropout = 0; dropout < 2; dropout++) {
		inoci_hash first, got;
		for (int keep = INOCI_KEEP_FITS; keep < INOCI_N_KEEP; keep++) {
			inoci_train_config c = config();
			inoci_train_result r;
			inoc_err err;
			watch w = {0};
			c.keep = keep;
			c.epochs = 1;
			c.micro_tokens = 60;
			if (dropout) c.lora.dropout = 0.2f;
			unlink(LOG);
			assert_int_equal(run(&c, &val, &w, false, &got, &r, &err), 0);
			assert_int_equal(r.keep, keep < 0 ? INOCI_KEEP_ALL : keep);
			assert_true(r.memory_bytes > 0);
			if (keep < 0) first = got;
			assert_string_equal(first.hex, got.hex);
		}
	}
}

typedef struct {
	inoci_examples *e;
	int steps[20], n;
	double sum[20];
	volatile int stop;
} evals;

static int on_eval(void *ctx, inoci_adapter *a, int step, inoc_err *err)
{
	evals *v = ctx;
	double lp[32];
	int rc = inoci_examples_logprob(model, a, v->e, 64, lp, NULL, err);
	v->steps[v->n] = step;
	for (size_t i = 0; i < v->e->n; i++) v->sum[v->n] += lp[i];
	v->n++;
	return rc;
}

static int stop_at_5(void *ctx, const inoci_metric *m, inoc_err *err)
{
	(void)err;
	if (m->step == 5) ((evals *)ctx)->stop = 1;
	return 0;
}

/* Looking at the adapter between steps changes no bit of the training, also over a stop; the looks are the same too. */
static void test_eval_at(void **state)
{
	static const int at[] = {0, 1, 2, 4, 5, 8, 11, 99};
	for (int dropout = 0; dropout < 2; dropout++) {
		inoci_train_config c = config();
		inoci_hash want, got;
		inoci_train_result r;
		inoc_err err;
		inoci_adapter *a;
		watch w = {0};
		evals whole = {.e = &val}, parts = {.e = &val};
		inoci_progress p = {.stop = &parts.stop};
		if (dropout) c.lora.dropout = 0.2f;
		unlink(LOG), unlink(CKP);
		assert_int_equal(run(&c, NULL, &w, false, &want, &r, &err), 0);
		inoci_train_hooks h = {.eval_at = at, .n_eval_at = INOCI_COUNT(at), .on_eval = on_eval, .ctx = &whole};
		if (inoci_train(model, &train, NULL, &c, &h, &a, &r, &err) < 0) fail_msg("%s", err.msg);
		got = inoci_adapter_hash(a);
		inoci_adapter_free(a);
		assert_string_equal(want.hex, got.hex);
		assert_int_equal(whole.n, 7); /* 99 is behind the end */
		for (int i = 0; i < whole.n; i++) assert_int_equal(whole.steps[i], at[i]);
		assert_true(whole.sum[6] > whole.sum[0]); /* half of it can be learnt */
		h.checkpoint = CKP;
		h.on_step = stop_at_5;
		h.progress = &p;
		h.ctx = &parts;
		assert_int_equal(inoci_train(model, &train, NULL, &c, &h, &a, &r, &err), INOC_E_STOPPED);
		assert_int_equal(parts.n, 5);
		parts.stop = 0;
		h.on_step = NULL;
		if (inoci_train(model, &train, NULL, &c, &h, &a, &r, &err) < 0) fail_msg("%s", err.msg);
		got = inoci_adapter_hash(a);
		inoci_adapter_free(a);
		assert_string_equal(want.hex, got.hex);
		assert_int_equal(parts.n, whole.n);
		for (int i = 0; i < parts.n; i++) {
			assert_int_equal(parts.steps[i], whole.steps[i]);
			assert_true(parts.sum[i] == whole.sum[i]);
		}
		unlink(CKP);
	}
}

int main(int argc, char **argv)
{
	inoci_fault_fill_nan();
	if (argc > 1) { /* the run that is killed in test_kill_and_resume */
		inoc_err err;
		inoci_train_result r;
		watch w = {.kill_at = atoi(getenv("LOOP_KILL_AT"))};
		inoci_train_config c = config();
		if (atoi(getenv("LOOP_DROPOUT"))) c.lora.dropout = 0.1f;
		c.checkpoint_every = 3;
		c.eval_every = 2;
		if (inoci_ops_cpu(inoci_ops_cpu_best(), 0, &ops, &err) < 0 ||
		    inoci_model_open(argv[1], ops, true, NULL, NULL, &model, &err) < 0)
			return 1;
		fill(&train, 21, 1);
		fill(&val, 6, 2);
		return run(&c, &val, &w, true, NULL, &r, &err) < 0;
	}
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_same_seed_same_bytes),
	        cmocka_unit_test(test_init_seed),
	        cmocka_unit_test(test_kill_and_resume),
	        cmocka_unit_test(test_stop),
	        cmocka_unit_test(test_micro_batches),
	        cmocka_unit_test(test_early_stop),
	        cmocka_unit_test(test_schedule),
	        cmocka_unit_test(test_bad_input),
	        cmocka_unit_test(test_full_disk),
	        cmocka_unit_test(test_keep),
	        cmocka_unit_test(test_eval_at),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
