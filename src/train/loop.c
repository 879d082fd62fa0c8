/* The training loop. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "train/internal.h"

enum { EVAL_TOKENS = 2048 }; /* computed at once without gradients */

typedef struct {
	inoci_model *m;
	inoci_adapter *a;
	const inoci_examples *train, *val;
	const inoci_train_config *c;
	const inoci_train_hooks *h;
	inoci_workspace *w;
	inoci_micro micro;
	float *mv, *best;
	inoci_packed *packed; /* the examples of a pass */
	inoci_forest forest;
	size_t packed_cap;
	int32_t *order;
	long order_epoch;
	inoci_train_state st;
	inoci_hash key;
	int steps;
	double last_val; /* NaN: none measured since this call began */
} loop;

/* Record of position `i` in the endless sequence of epochs. */
static int record_at(loop *t, long i)
{
	long epoch = i / (long)t->train->n;
	if (epoch != t->order_epoch) {
		inoci_order(t->c->seed, epoch, t->order, t->train->n);
		t->order_epoch = epoch;
	}
	return t->order[i % (long)t->train->n];
}

/* Runs what t->micro holds; its loss goes to *sum. */
static int run_micro(loop *t, bool grad, uint64_t drop, double *sum, inoc_err *err)
{
	int rc = inoci_micro_run(&t->micro, t->m, t->a, t->w, grad, drop, err);
	for (int i = 0; rc >= 0 && i < t->micro.n_targets; i++) *sum -= t->micro.logprob[i];
	return rc;
}

/* t->packed (n) with their stem once, where that pays. *done: whether it was so. Puts t->packed in order. */
static int pass_with_stem(loop *t, int longest, size_t n, float weight, double *sum, bool *done, inoc_err *err)
{
	inoci_forest *f = &t->forest;
	int most = 0, micro = t->c->micro_tokens, tokens, rc;
	inoci_forest_make(f, t->packed, n);
	*done = inoci_forest_pays(f, micro, longest);
	if (!*done) return 0;
	for (size_t i = 0; i<f->n; most = tokens> most ? tokens : most) i += inoci_forest_cut(f, i, micro, &tokens);
	INOC_TRY(inoci_model_stem(t->m, t->a, &f->stem, most, t->w, err));
	for (size_t i = 0, m; i < f->n; i += m) {
		m = inoci_forest_cut(f, i, micro, &tokens);
		inoci_forest_batch(f, i, m, &t->micro.batch, weight);
		t->micro.n_targets = inoci_batch_n_targets(&t->micro.batch);
		INOC_TRY(run_micro(t, true, 0, sum, err));
	}
	INOC_TRY(inoci_model_stem_bwd(t->m, t->a, &f->stem, t->w, err));
out:
	return rc;
}

/* Mean loss per loss token over the examples `which` (n of them), cut into micro-batches; with grad into the gradients. */
static int pass(loop *t, const inoci_examples *e, const int32_t *which, size_t n, bool grad, int step, double *loss, long *tokens,
                long *loss_tokens, inoc_err *err)
{
	double sum = 0;
	long targets = 0, all = 0;
	int rc = 0, micro = 0;
	if (n > t->packed_cap) {
		t->packed_cap = n;
		t->packed = inoci_realloc(t->packed, n * sizeof *t->packed);
	}
	for (size_t i = 0; i < n; i++) {
		const inoci_example *x = &e->v[which ? (size_t)which[i] : i];
		t->packed[i] = (inoci_packed){x, i};
		all += x->n;
		for (int k = 1; k < x->n; k++) targets += x->loss[k] != 0;
	}
	/* Sharing leaves forward bits and, up to rounding, gradients as they are; with dropout it would be another computation.
	 */
	bool share = t->c->share && !(grad && t->a->cfg.dropout > 0), done = false;
	float weight = targets ? 1.0f / (float)targets : 0;
	if (share && grad) INOC_TRY(pass_with_stem(t, e->max_len, n, weight, &sum, &done, err));
	/* Without gradients little is kept, so more can be computed at once and what is common less often. */
	int most = grad || t->c->micro_tokens > EVAL_TOKENS ? t->c->micro_tokens : EVAL_TOKENS;
	for (size_t i = 0; i < n && !done;) {
		i += inoci_micro_fill(&t->micro, t->packed + i, n - i, most, share, weight);
		INOC_TRY(run_micro(t, grad, inoci_mix64(inoci_mix64(t->c->seed, (uint64_t)step), (uint64_t)micro++), &sum, err));
	}
	*loss = targets ? sum / (double)targets : NAN;
	*tokens = all;
	*loss_tokens = targets;
out:
	return rc;
}

/* One optimizer step; fills met. */
static int step_once(loop *t, inoci_metric *met, inoc_err *err)
{
	inoci_adapter *a = t->a;
	const inoci_train_config *c = t->c;
	int step = t->st.step + 1, rc;
	int32_t *which = inoci_alloc((size_t)c->batch * sizeof *which);
	/* the last step of a run counted in epochs may be short */
	long first = (long)t->st.step * c->batch, end = first + c->batch;
	if (c->steps == 0) {
		long total = lround(c->epochs * (double)t->train->n);
		if (end > total) end = total;
	}
	for (long i = first; i < end; i++) which[i - first] = record_at(t, i);
	INOC_TRY(pass(t, t->train, which, (size_t)(end - first), true, step, &met->loss, &met->tokens, &met->loss_tokens, err));
	double ss = a->ops->sum_squares(a->ops, a->grads, a->n_params);
	met->grad_norm = sqrt(ss);
	if (!isfinite(met->loss) || !isfinite(ss)) {
		rc = inoci_err_set(
		        err, INOC_E_LIMIT,
		        "at step %d the loss is %g and the gradient's norm %g, no way to go on: lower the learning rate (now %g)",
		        step, met->loss, met->grad_norm, c->lr);
		goto out;
	}
	double scale =
	        c->clip > 0 && met->grad_norm > c->clip ? c->clip / (met->grad_norm + 1e-6) : 1; /* torch's clip_grad_norm_ */
	met->step = step;
	met->steps = t->steps;
	met->lr = inoci_train_lr(c, step, t->steps);
	met->val_loss = NAN;
	a->ops->adamw(a->ops, a->params, a->grads, t->mv, t->mv + a->n_params, a->n_params, (float)scale, (float)met->lr,
	              (float)c->beta1, (float)c->beta2, (float)c->eps, (float)c->weight_decay, step);
	INOC_TRY(inoci_adapter_pack(a, err));
	t->st.step = step;
	t->st.last_loss = met->loss;
	t->st.tokens += met->tokens;
	rc = 0;
out:
	free(which);
	return rc;
}

static int validate(loop *t, inoci_metric *met, inoc_err *err)
{
	long tok, loss_tok;
	int rc = pass(t, t->val, NULL, t->val->n, false, 0, &met->val_loss, &tok, &loss_tok, err);
	t->last_val = met->val_loss;
	if (rc < 0 || !t->c->patience) return rc;
	if (met->val_loss < t->st.best_val) {
		t->st.best_val = met->val_loss;
		t->st.best_step = t->st.step;
		t->st.bad = 0;
		memcpy(t->best, t->a->params, t->a->n_params * sizeof(float));
	} else if (++t->st.bad >= t->c->patience)
		t->st.stopped = 1;
	return 0;
}

static int eval_at(const loop *t, inoc_err *err)
{
	for (size_t i = 0; t->h->on_eval && i < t->h->n_eval_at; i++)
		if (t->h->eval_at[i] == t->st.step) return t->h->on_eval(t->h->ctx, t->a, t->st.step, err);
	return 0;
}

static void show_step(const loop *t, const inoci_metric *met, double tokens_per_s)
{
	char val[40] = "", detail[120];
	if (!isnan(t->last_val)) snprintf(val, sizeof val, ", validation %.3f", t->last_val);
	snprintf(detail, sizeof detail, "loss %.3f%s, %.0f tokens/s", met->loss, val, tokens_per_s);
	inoci_tick(t->h->progress, t->h->label ? t->h->label : "train", t->st.step, t->steps, "steps", detail);
}

static void make_key(loop *t)
{
	inoci_hasher *h = inoci_hasher_new();
	inoci_hash start = inoci_adapter_hash(t->a), conf = inoci_train_config_hash(t->c);
	int32_t more[] = {t->steps, INOCI_NUMERICS_VERSION, (int32_t)t->m->ops->dtype};
	inoci_hasher_str(h, t->m->hash.hex);
	inoci_hasher_str(h, t->m->ops->name);
	inoci_hasher_str(h, t->train->hash.hex);
	inoci_hasher_str(h, t->val ? t->val->hash.hex : "");
	inoci_hasher_str(h, start.hex);
	inoci_hasher_str(h, conf.hex);
	inoci_hasher_add(h, more, sizeof more);
	t->key = inoci_hasher_end(h);
}

static int check_inputs(const loop *t, inoc_err *err)
{
	const inoci_examples *sets[] = {t->train, t->val};
	if (t->train->n == 0 || t->train->n_loss_tokens == 0)
		return inoci_err_set(err, INOC_E_FORMAT, "no training examples with loss tokens (%zu examples)", t->train->n);
	for (size_t s = 0; s < 2; s++)
		for (size_t i = 0; sets[s] && i < sets[s]->n; i++)
			if (sets[s]->v[i].n > t->m->hp.context)
				return inoci_err_set(
				        err, INOC_E_LIMIT,
				        "%s example %zu has %d tokens; the model's context is %d: shorten or drop it",
				        s ? "validation" : "training", i + 1, sets[s]->v[i].n, t->m->hp.context);
	if (t->c->patience && (!t->val || !t->val->n || !t->c->eval_every))
		return inoci_err_set(err, INOC_E_USAGE, "early stopping (patience %d) needs validation data and eval_every",
		                     t->c->patience);
	return 0;
}

static void note_warmup(const loop *t)
{
	const inoci_train_config *c = t->c;
	if (c->warmup < t->steps) return;
	inoci_note(
	        t->h->progress,
	        "%s: warning: the warm-up of %d step%s is not over after %d step%s, so the learning rate reaches %g, not %g%s; "
	        "lower the warm-up, or train for longer",
	        t->h->label ? t->h->label : "training", c->warmup, c->warmup == 1 ? "" : "s", t->steps, t->steps == 1 ? "" : "s",
	        inoci_train_lr(c, t->steps, t->steps), c->lr, t->steps == 1 ? ": nothing is learnt" : "");
}

int inoci_train_from(inoci_model *m, inoci_adapter *a, const inoci_examples *train, const inoci_examples *val,
                     const inoci_train_config *c, const inoci_train_hooks *h, inoci_train_result *res, inoc_err *err)
{
	static const inoci_train_hooks none = {0};
	loop t = {.m = m,
	          .a = a,
	          .train = train,
	          .val = val && val->n ? val : NULL,
	          .c = c,
	          .h = h ? h : &none,
	          .order_epoch = -1,
	          .last_val = NAN};
	const char *ckp = t.h->checkpoint;
	const inoci_progress *p = t.h->progress;
	double start = inoci_now_s(), before = 0;
	inoci_memory_plan plan;
	int rc;
	*res = (inoci_train_result){0};
	INOC_TRY(inoci_train_config_check(c, err));
	INOC_TRY(check_inputs(&t, err));
	t.steps = c->steps ? c->steps : (int)ceil(lround(c->epochs * (double)train->n) / (double)c->batch);
	if (t.steps < 1) t.steps = 1;
	note_warmup(&t);
	INOC_TRY(inoci_memory_plan_make(m, a, train, c, t.steps, &plan, err));
	char *text = inoci_memory_plan_text(&plan);
	inoci_note(p, "%s: %s", t.h->label ? t.h->label : "training", text);
	free(text);
	INOC_TRY(inoci_adapter_grads(a, err));
	memset(a->grads, 0, a->n_params * sizeof(float)); /* each step's AdamW leaves them so */
	t.w = inoci_workspace_new();
	inoci_workspace_keep(t.w, plan.keep);
	t.order = inoci_alloc(train->n * sizeof *t.order);
	t.mv = inoci_big_alloc(2 * a->n_params * sizeof(float), "AdamW's moments", err);
	if (c->patience) t.best = inoci_big_alloc(a->n_params * sizeof(float), "the best adapter so far", err);
	if (!t.mv || (c->patience && !t.best)) {
		rc = INOC_E_MEMORY;
		goto out;
	}
	make_key(&t);
	memcpy(t.st.key, t.key.hex, sizeof t.st.key);
	t.st.best_val = INFINITY;
	if (ckp && inoci_path_exists(ckp)) {
		INOC_TRY(inoci_checkpoint_load(ckp, &t.key, &t.st, a, t.mv, t.best, err));
		INOC_TRY(inoci_adapter_pack(a, err));
		inoci_note(p, "%s: going on from step %d of %d", t.h->label ? t.h->label : "training", t.st.step, t.steps);
		before = t.st.seconds;
	}
	if (t.h->on_resume) INOC_TRY(t.h->on_resume(t.h->ctx, t.st.step, err));
	if (!t.st.step) INOC_TRY(eval_at(&t, err));
	long here = 0;
	while (t.st.step < t.steps && !t.st.stopped) {
		inoci_metric met;
		INOC_TRY(step_once(&t, &met, err));
		here += met.tokens;
		bool last = t.st.step == t.steps;
		if (t.val && (last || (c->eval_every && t.st.step % c->eval_every == 0))) INOC_TRY(validate(&t, &met, err));
		t.st.seconds = before + inoci_now_s() - start;
		if (t.h->on_step) INOC_TRY(t.h->on_step(t.h->ctx, &met, err));
		INOC_TRY(eval_at(&t, err));
		show_step(&t, &met, (double)here / (inoci_now_s() - start));
		bool stop = inoci_stopped(p) && !last;
		if (ckp && !last && (stop || (c->checkpoint_every && t.st.step % c->checkpoint_every == 0)))
			INOC_TRY(inoci_checkpoint_save(ckp, &t.st, a, t.mv, t.best, err));
		if (stop) {
			rc = inoci_err_set(err, INOC_E_STOPPED, "stopped at step %d of %d%s", t.st.step, t.steps,
			                   ckp ? "; run the same command again to go on from here"
			                       : "; without --checkpoint nothing of it was kept");
			goto out;
		}
	}
	bool best = c->patience && t.st.best_val < INFINITY;
	if (best) {
		memcpy(a->params, t.best, a->n_params * sizeof(float));
		INOC_TRY(inoci_adapter_pack(a, err));
	}
	*res = (inoci_train_result){.steps_done = t.st.step,
	                            .early_stopped = t.st.stopped != 0,
	                            .saved_step = best ? t.st.best_step : t.st.step,
	                            .val_loss = best ? t.st.best_val : t.last_val,
	                            .final_loss = t.st.last_loss,
	                            .seconds = before + inoci_now_s() - start,
	                            .tokens = (long)t.st.tokens,
	                            .memory_bytes = plan.peak,
	                            .keep = plan.keep};
	rc = 0;
out:
	inoci_workspace_free(t.w);
	inoci_micro_free(&t.micro);
	inoci_forest_free(&t.forest);
	free(t.order);
	free(t.mv);
	free(t.best);
	free(t.packed);
	return rc;
}

int inoci_train(inoci_model *m, const inoci_examples *train, const inoci_examples *val, const inoci_train_config *c,
                const inoci_train_hooks *h, inoci_adapter **out, inoci_train_result *res, inoc_err *err)
{
	inoci_adapter *a = NULL;
	*out = NULL;
	int rc = inoci_adapter_new(m, &c->lora, inoci_train_init_seed(c, c->seed), &a, err);
	if (rc >= 0) rc = inoci_train_from(m, a, train, val, c, h, res, err);
	if (rc >= 0)
		*out = a;
	else
		inoci_adapter_free(a);
	return rc;
}
