/* Training of one (arm, seed), and where its adapter lies.
 *
 * Invariants: a metric row is in the store before the checkpoint that covers it; an adapter is on disk before it is marked done.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab/internal.h"

typedef struct {
	inoci_run_state *r;
	int64_t adapter;
	inoci_metrics_file *file;
	inoci_curve_jobs curves;
} train_ctx;

static int on_resume(void *ctx, int step, inoc_err *err)
{
	train_ctx *t = ctx;
	int rc = inoci_store_exec(t->r->store, err, "DELETE FROM metric WHERE adapter = ? AND step > ?", "ii", t->adapter,
	                          (int64_t)step);
	if (rc >= 0)
		rc = inoci_store_exec(t->r->store, err, "DELETE FROM curve WHERE adapter = ? AND step > ?", "ii", t->adapter,
		                      (int64_t)step);
	return rc < 0 ? rc : inoci_metrics_resume(t->file, step, err);
}

static int on_eval(void *ctx, inoci_adapter *a, int step, inoc_err *err)
{
	train_ctx *t = ctx;
	return inoci_curve_jobs_run(t->r, &t->curves, t->adapter, a, step, err);
}

static int on_step(void *ctx, const inoci_metric *m, inoc_err *err)
{
	train_ctx *t = ctx;
	int rc = inoci_store_exec(
	        t->r->store, err,
	        "INSERT OR REPLACE INTO metric(adapter, step, steps, lr, loss, grad_norm, val_loss, tokens, loss_tokens)"
	        " VALUES(?,?,?,?,?,?,?,?,?)",
	        "iiiddddii", t->adapter, (int64_t)m->step, (int64_t)m->steps, m->lr, m->loss, m->grad_norm, m->val_loss,
	        (int64_t)m->tokens, (int64_t)m->loss_tokens);
	return rc < 0 ? rc : inoci_metrics_add(t->file, m, err);
}

int inoci_run_adapter_row(inoci_run_state *r, const inoci_plan_item *item, int64_t *id, inoc_err *err)
{
	const inoci_arm *arm = &r->e->arms[item->arm];
	int rc = inoci_store_exec(r->store, err, "INSERT OR IGNORE INTO adapter(key, seed, done, hash) VALUES(?,?,?,?)", "siis",
	                          item->key, (int64_t)item->seed, (int64_t)!arm->train,
	                          arm->adapter ? r->given[item->arm].file.hex : NULL);
	if (rc < 0) return rc;
	return inoci_store_int(r->store, id, err, "SELECT id FROM adapter WHERE key = ?", "s", item->key) < 0 ? INOC_E_STORE : 0;
}

int inoci_run_need_model(inoci_run_state *r, inoc_err *err)
{
	bool train = false;
	if (r->model) return 0;
	for (size_t i = 0; i < r->plan.n; i++) train |= !r->plan.v[i].trained;
	for (size_t i = 0; i < r->e->n_arms && !r->plan.n; i++) train |= r->e->arms[i].train; /* not planned yet */
	return inoci_model_open(r->model_path, r->ops, train, r->e->template_name, r->o->progress, &r->model, err);
}

/* The trained adapter is on disk: makes the store say so. Samples of other bytes under the same key go. */
static int mark_trained(inoci_run_state *r, const inoci_plan_item *item, int64_t id, const char *dir, const char *file,
                        const inoci_prepared *p, const inoci_train_result *res, inoc_err *err)
{
	inoci_hash hash;
	int64_t stale = 0;
	json_t *config = inoci_recipe_json(&r->e->arms[item->arm].recipe);
	char *text = json_dumps(config, JSON_SORT_KEYS | JSON_REAL_PRECISION(9));
	int rc;
	INOC_TRY(inoci_hash_file(file, &hash, err));
	INOC_TRY(inoci_store_begin(r->store, err));
	INOC_TRY(inoci_store_int(
	        r->store, &stale, err,
	        "SELECT count(*) FROM sample WHERE adapter = ?1 AND (SELECT hash FROM adapter WHERE id = ?1) <> ?2", "is", id,
	        hash.hex));
	if (stale) {
		inoci_note(r->o->progress,
		           "%s, seed %llu: the new adapter differs from the one %lld stored samples came from; they are sampled "
		           "again",
		           r->e->arms[item->arm].name, (unsigned long long)item->seed, (long long)stale);
		INOC_TRY(inoci_store_exec(
		        r->store, err,
		        "DELETE FROM link_eval WHERE (experiment, arm, seed) IN (SELECT experiment, arm, seed FROM link_adapter"
		        " WHERE adapter = ?)",
		        "i", id));
		INOC_TRY(inoci_store_exec(r->store, err, "DELETE FROM sample WHERE adapter = ?", "i", id));
	}
	INOC_TRY(inoci_store_exec(
	        r->store, err,
	        "UPDATE adapter SET done = 1, hash = ?, dir = ?, steps = ?, early_stopped = ?, seconds = ?, final_loss = ?, "
	        "tokens = ?,"
	        " n_train = ?, n_val = ?, n_dropped = ?, n_inoculated = ?, first_text = ?, config = ? WHERE id = ?",
	        "ssiiddiiiiissi", hash.hex, dir, (int64_t)res->steps_done, (int64_t)res->early_stopped, res->seconds,
	        res->final_loss, (int64_t)res->tokens, (int64_t)p->train.n, (int64_t)p->val.n, (int64_t)p->n_dropped,
	        (int64_t)p->n_inoculated, p->first_text, text, id));
	INOC_TRY(inoci_store_commit(r->store, err));
out:
	if (rc < 0) inoci_store_rollback(r->store);
	json_decref(config);
	free(text);
	return rc < 0 ? rc : 0;
}

/* What the last step's line does not tell: which of the validated adapters was kept. */
static void note_saved(const inoci_run_state *r, const inoci_plan_item *item, const inoci_train_result *res)
{
	char *saved = inoci_train_saved(res);
	if (saved)
		inoci_note(r->o->progress, "seed %llu, %s: %s%s", (unsigned long long)item->seed, r->e->arms[item->arm].name,
		           saved, res->early_stopped ? " (stopped early)" : "");
	free(saved);
}

int inoci_run_train(inoci_run_state *r, const inoci_plan_item *item, int64_t id, inoci_adapter **out, inoc_err *err)
{
	const inoci_arm *arm = &r->e->arms[item->arm];
	char *dir = inoci_run_adapter_dir(item->key);
	char *home = inoci_path_dir(r->store_path), *full = inoci_path_join(home, dir);
	char *checkpoint = inoci_path_join(full, "checkpoint");
	char *metrics = inoci_path_join(full, "metrics.jsonl"), *file = inoci_path_join(full, "adapter_model.safetensors");
	char *label = inoci_asprintf("seed %llu, %s: training", (unsigned long long)item->seed, arm->name);
	inoci_prepared p = {0};
	train_ctx t = {.r = r, .adapter = id};
	inoci_train_result res;
	inoci_train_config c = arm->recipe.config;
	int rc;
	c.seed = item->seed;
	INOC_TRY(inoci_run_need_model(r, err));
	INOC_TRY(inoci_mkdirs(full, err));
	INOC_TRY(inoci_run_examples(r, item->arm, item->seed, &p, err));
	if (p.n_dropped)
		inoci_note(r->o->progress, "%s: %zu examples are too long and were left out, as asked", arm->name, p.n_dropped);
	INOC_TRY(inoci_curve_jobs_make(r, item->arm, item->seed, &t.curves, err));
	INOC_TRY(inoci_metrics_open(metrics, &t.file, err));
	inoci_train_hooks h = {.checkpoint = checkpoint,
	                       .on_step = on_step,
	                       .on_resume = on_resume,
	                       .eval_at = arm->recipe.eval_at,
	                       .n_eval_at = arm->recipe.n_eval_at,
	                       .on_eval = on_eval,
	                       .ctx = &t,
	                       .progress = &r->overall.own,
	                       .label = label};
	inoci_overall_begin(&r->overall, INOCI_WORK_STEPS, inoci_now_s());
	INOC_TRY(inoci_train(r->model, &p.train, p.val.n ? &p.val : NULL, &c, &h, out, &res, err));
	inoci_overall_end(&r->overall, item->steps);
	const char *slash = strrchr(r->model_path, '/');
	INOC_TRY(inoci_adapter_save(*out, full, slash ? slash + 1 : r->model_path, err));
	INOC_TRY(mark_trained(r, item, id, dir, file, &p, &res, err));
	unlink(checkpoint);
	note_saved(r, item, &res);
out:
	inoci_metrics_close(t.file);
	inoci_curve_jobs_free(&t.curves);
	inoci_prepared_free(&p);
	free(dir), free(home), free(full), free(checkpoint), free(metrics), free(file), free(label);
	return rc < 0 ? rc : 0;
}

int inoci_run_load_adapter(inoci_run_state *r, int64_t id, inoci_adapter **out, inoc_err *err)
{
	sqlite3_stmt *st;
	int rc = inoci_store_query(r->store, &st, err, "SELECT dir FROM adapter WHERE id = ?", "i", id);
	if (rc < 0) return rc;
	if ((rc = inoci_store_step(r->store, st, err)) > 0) {
		const char *dir = (const char *)sqlite3_column_text(st, 0);
		char *home = inoci_path_dir(r->store_path), *full = inoci_path_join(home, dir ? dir : "");
		rc = inoci_adapter_load(r->model, full, out, err);
		free(home);
		free(full);
	}
	sqlite3_finalize(st);
	return rc;
}
