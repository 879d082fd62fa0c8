/* The runner: seed by seed, arm by arm, trains, samples and scores what the plan says is missing.
 *
 * Invariants: a metric row is in the store before the checkpoint that covers it; an adapter is on disk before it is marked
 * done; samples are linked to an evaluation when all of them are there.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab/internal.h"

#define COMMIT_S 1.0 /* samples are committed this often: what kill -9 may cost */

/* ---- records of the run ---- */

static int record_experiment(inoci_run_state *r, inoc_err *err)
{
	const inoci_experiment *e = r->e;
	json_t *sets = json_array();
	for (size_t i = 0; i < e->n_sets; i++) json_array_append_new(sets, json_string(e->sets[i]));
	char *text = json_dumps(sets, 0), *now = inoci_time_iso();
	int rc = inoci_store_exec(r->store, err,
	                          "INSERT OR REPLACE INTO experiment(name, path, text, sets, updated) VALUES(?,?,?,?,?)", "ssbss",
	                          e->name, e->path, e->text, e->text_n, text, now);
	json_decref(sets);
	free(text);
	free(now);
	return rc;
}

/* A difference in what computed earlier results is worth a note: bytes are promised equal for the same environment. */
static int note_environment(inoci_run_state *r, const char *ops, inoc_err *err)
{
	sqlite3_stmt *st;
	int rc = inoci_store_query(r->store, &st, err, "SELECT ops FROM run WHERE experiment = ? ORDER BY id DESC LIMIT 1", "s",
	                           r->e->name);
	if (rc < 0) return rc;
	if ((rc = inoci_store_step(r->store, st, err)) > 0) {
		const char *then = (const char *)sqlite3_column_text(st, 0);
		if (then && strcmp(then, ops))
			inoci_note(r->o->progress,
			           "earlier results were computed with %s, now it is %s: small differences are possible", then,
			           ops);
	}
	sqlite3_finalize(st);
	return rc;
}

static int record_run(inoci_run_state *r, int64_t *id, inoc_err *err)
{
	char *now = inoci_time_iso(), *ops = inoci_ops_describe(r->ops);
	int rc;
	INOC_TRY(note_environment(r, ops, err));
	INOC_TRY(inoci_store_exec(r->store, err, "UPDATE run SET status = 'killed' WHERE status = 'running'", ""));
	INOC_TRY(inoci_store_exec(
	        r->store, err,
	        "INSERT INTO run(experiment, started, status, model_path, model_hash, template, dtype, ops, version, numerics)"
	        " VALUES(?,?,'running',?,?,?,?,?,?,?)",
	        "ssssssssi", r->e->name, now, r->model_path, r->model_hash.hex, inoci_template_name(r->tmpl),
	        inoci_dtype_name(r->ops->dtype), ops, inoc_version(), (int64_t)INOCI_NUMERICS_VERSION));
	*id = sqlite3_last_insert_rowid(r->store->db);
out:
	free(now);
	free(ops);
	return rc < 0 ? rc : 0;
}

static int end_run(inoci_run_state *r, int64_t id, int code, inoc_err *err)
{
	char *now = inoci_time_iso();
	const char *status = code == 0 ? "done" : code == INOC_E_STOPPED ? "stopped" : "failed";
	int rc = inoci_store_exec(r->store, err, "UPDATE run SET ended = ?, status = ? WHERE id = ?", "ssi", now, status, id);
	free(now);
	return rc;
}

static int unlink_arm(inoci_run_state *r, const char *arm, int64_t seed, inoc_err *err)
{
	static const char *const tables[] = {"link_adapter", "link_eval", "link_sample"};
	for (size_t i = 0; i < INOCI_COUNT(tables); i++) {
		char *sql = inoci_asprintf("DELETE FROM %s WHERE experiment = ? AND arm = ? AND seed = ?", tables[i]);
		int rc = inoci_store_exec(r->store, err, sql, "ssi", r->e->name, arm, seed);
		free(sql);
		if (rc < 0) return rc;
	}
	return 0;
}

static int unlink_eval(inoci_run_state *r, const char *arm, int64_t seed, const char *eval, inoc_err *err)
{
	int rc = inoci_store_exec(r->store, err,
	                          "DELETE FROM link_eval WHERE experiment = ? AND arm = ? AND seed = ? AND evaluation = ?",
	                          "ssis", r->e->name, arm, seed, eval);
	if (rc < 0) return rc;
	return inoci_store_exec(r->store, err,
	                        "DELETE FROM link_sample WHERE experiment = ? AND arm = ? AND seed = ? AND evaluation = ?",
	                        "ssis", r->e->name, arm, seed, eval);
}

/* Results under this experiment's name that its file no longer stands for lose their labels; their content stays. */
static int prune(inoci_run_state *r, inoc_err *err)
{
	sqlite3_stmt *st = NULL;
	struct {
		char *arm, *key, *eval, *eval_key;
		int64_t seed;
	} *v = NULL;
	size_t n = 0, dropped = 0;
	int rc;
	INOC_TRY(inoci_store_query(
	        r->store, &st, err,
	        "SELECT l.arm, l.seed, a.key, v.evaluation, v.key FROM link_adapter l JOIN adapter a ON a.id = l.adapter"
	        " LEFT JOIN link_eval v USING(experiment, arm, seed) WHERE l.experiment = ?",
	        "s", r->e->name));
	while ((rc = inoci_store_step(r->store, st, err)) > 0) {
		v = inoci_realloc(v, (n + 1) * sizeof *v);
		v[n].arm = inoci_store_col(st, 0);
		v[n].seed = sqlite3_column_int64(st, 1);
		v[n].key = inoci_store_col(st, 2);
		v[n].eval = inoci_store_col(st, 3);
		v[n++].eval_key = inoci_store_col(st, 4);
	}
	sqlite3_finalize(st);
	st = NULL;
	if (rc < 0) goto out;
	for (size_t i = 0; i < n; i++) {
		inoci_plan_item item;
		int arm = inoci_experiment_arm(r->e, v[i].arm);
		if (arm >= 0) INOC_TRY(inoci_run_key(r, arm, (uint64_t)v[i].seed, &item, err));
		if (arm < 0 || strcmp(item.key, v[i].key)) {
			INOC_TRY(unlink_arm(r, v[i].arm, v[i].seed, err));
			dropped++;
			continue;
		}
		if (!v[i].eval) continue;
		int eval = inoci_experiment_eval(r->e, v[i].eval);
		inoci_wanted w = {0};
		if (eval >= 0) INOC_TRY(inoci_run_wanted(r, arm, eval, (uint64_t)v[i].seed, item.key, &w, err));
		if (eval < 0 || strcmp(w.all.hex, v[i].eval_key)) {
			rc = unlink_eval(r, v[i].arm, v[i].seed, v[i].eval, err);
			dropped++;
		}
		inoci_wanted_free(&w);
		if (rc < 0) goto out;
	}
	if (dropped)
		inoci_note(r->o->progress,
		           "%zu earlier results no longer fit the experiment file; they stay in the store without a name",
		           dropped);
	rc = 0;
out:
	sqlite3_finalize(st);
	for (size_t i = 0; i < n; i++) free(v[i].arm), free(v[i].key), free(v[i].eval), free(v[i].eval_key);
	free(v);
	return rc < 0 ? rc : 0;
}

/* ---- training ---- */

typedef struct {
	inoci_run_state *r;
	int64_t adapter;
	inoci_metrics_file *file;
} train_ctx;

static int on_resume(void *ctx, int step, inoc_err *err)
{
	train_ctx *t = ctx;
	int rc = inoci_store_exec(t->r->store, err, "DELETE FROM metric WHERE adapter = ? AND step > ?", "ii", t->adapter,
	                          (int64_t)step);
	return rc < 0 ? rc : inoci_metrics_resume(t->file, step, err);
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

static int adapter_row(inoci_run_state *r, const inoci_plan_item *item, int64_t *id, inoc_err *err)
{
	int rc = inoci_store_exec(r->store, err, "INSERT OR IGNORE INTO adapter(key, seed, done) VALUES(?,?,?)", "sii", item->key,
	                          (int64_t)item->seed, (int64_t)!r->e->arms[item->arm].train);
	if (rc < 0) return rc;
	return inoci_store_int(r->store, id, err, "SELECT id FROM adapter WHERE key = ?", "s", item->key) < 0 ? INOC_E_STORE : 0;
}

static int need_model(inoci_run_state *r, inoc_err *err)
{
	bool train = false;
	if (r->model) return 0;
	for (size_t i = 0; i < r->plan.n; i++) train |= !r->plan.v[i].trained;
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

static int train_arm(inoci_run_state *r, const inoci_plan_item *item, int64_t id, inoci_adapter **out, inoc_err *err)
{
	const inoci_arm *arm = &r->e->arms[item->arm];
	char *dir = inoci_asprintf("adapters/%s-seed%llu", arm->name, (unsigned long long)item->seed);
	char *home = inoci_path_dir(r->store_path), *full = inoci_path_join(home, dir);
	char *checkpoint =
	        inoci_asprintf("%s/checkpoint-%.12s", full, item->key); /* of this content: another's is not in the way */
	char *metrics = inoci_path_join(full, "metrics.jsonl"), *file = inoci_path_join(full, "adapter_model.safetensors");
	char *label = inoci_asprintf("seed %llu, %s: training", (unsigned long long)item->seed, arm->name);
	inoci_prepared p = {0};
	train_ctx t = {.r = r, .adapter = id};
	inoci_train_result res;
	inoci_train_config c = arm->recipe.config;
	int rc;
	c.seed = item->seed;
	INOC_TRY(need_model(r, err));
	INOC_TRY(inoci_mkdirs(full, err));
	INOC_TRY(inoci_run_examples(r, item->arm, item->seed, &p, err));
	if (p.n_dropped)
		inoci_note(r->o->progress, "%s: %zu examples are too long and were left out, as asked", arm->name, p.n_dropped);
	INOC_TRY(inoci_metrics_open(metrics, &t.file, err));
	inoci_train_hooks h = {.checkpoint = checkpoint,
	                       .on_step = on_step,
	                       .on_resume = on_resume,
	                       .ctx = &t,
	                       .progress = r->o->progress,
	                       .label = label};
	INOC_TRY(inoci_train(r->model, &p.train, p.val.n ? &p.val : NULL, &c, &h, out, &res, err));
	const char *slash = strrchr(r->model_path, '/');
	INOC_TRY(inoci_adapter_save(*out, full, slash ? slash + 1 : r->model_path, err));
	INOC_TRY(mark_trained(r, item, id, dir, file, &p, &res, err));
	unlink(checkpoint);
out:
	inoci_metrics_close(t.file);
	inoci_prepared_free(&p);
	free(dir), free(home), free(full), free(checkpoint), free(metrics), free(file), free(label);
	return rc < 0 ? rc : 0;
}

static int load_adapter(inoci_run_state *r, int64_t id, inoci_adapter **out, inoc_err *err)
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

/* ---- sampling ---- */

typedef struct {
	inoci_run_state *r;
	const inoci_wanted *w;
	const size_t *which; /* prompt numbers of those given to the sampler */
	const int64_t *prompt_id;
	int64_t adapter;
	sqlite3_stmt *insert;
} sample_ctx;

static int on_sample(void *ctx, const inoci_sampled *s, inoc_err *err)
{
	sample_ctx *c = ctx;
	inoci_store *store = c->r->store;
	size_t prompt = c->which[s->prompt];
	double sum = 0;
	for (int i = 0; i < s->n_ids; i++) sum += s->logprob[i];
	int rc = inoci_store_begin(store, err);
	if (rc < 0) return rc;
	sqlite3_stmt *st = c->insert;
	sqlite3_reset(st);
	sqlite3_bind_text(st, 1, c->w->key[prompt * (size_t)c->w->n + (size_t)s->index].hex, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, c->adapter);
	sqlite3_bind_int64(st, 3, c->prompt_id[prompt]);
	sqlite3_bind_int(st, 4, s->index);
	sqlite3_bind_blob64(st, 5, s->text && s->text_n ? s->text : "", s->text_n, SQLITE_STATIC);
	sqlite3_bind_int(st, 6, (int)s->end);
	sqlite3_bind_int(st, 7, s->n_ids);
	sqlite3_bind_double(st, 8, sum);
	sqlite3_bind_blob64(st, 9, s->logprob && s->n_ids ? (const void *)s->logprob : "", (size_t)s->n_ids * sizeof *s->logprob,
	                    SQLITE_STATIC);
	sqlite3_bind_blob64(st, 10, s->ids && s->n_ids ? (const void *)s->ids : "", (size_t)s->n_ids * sizeof *s->ids,
	                    SQLITE_STATIC);
	rc = inoci_store_step(store, st, err);
	sqlite3_reset(st);
	if (rc >= 0 && inoci_now_s() - store->tx_began > COMMIT_S) rc = inoci_store_commit(store, err);
	return rc < 0 ? rc : 0;
}

static int prompt_rows(inoci_run_state *r, const inoci_wanted *w, int64_t *id, inoc_err *err)
{
	for (size_t i = 0; i < w->prompts.n; i++) {
		const inoci_lab_prompt *p = &w->prompts.v[i];
		int rc = inoci_store_exec(r->store, err, "INSERT OR IGNORE INTO prompt(hash, question, text) VALUES(?,?,?)",
		                          "sss", p->hash.hex, p->question, p->text);
		if (rc >= 0)
			rc = inoci_store_int(r->store, &id[i], err, "SELECT id FROM prompt WHERE hash = ?", "s", p->hash.hex);
		if (rc < 0) return rc;
	}
	return 0;
}

/* Prompts of which some sample is missing; one of each content. */
static int missing_prompts(inoci_run_state *r, const inoci_wanted *w, size_t *which, size_t *n, inoc_err *err)
{
	sqlite3_stmt *st;
	int rc = inoci_store_query(r->store, &st, err, "SELECT 1 FROM sample WHERE key = ?", "");
	*n = 0;
	for (size_t i = 0; i < w->prompts.n && rc >= 0; i++) {
		bool all = true, twin = false;
		for (size_t k = 0; k < *n && !twin; k++)
			twin = !strcmp(w->prompts.v[which[k]].hash.hex, w->prompts.v[i].hash.hex);
		for (int k = 0; k < w->n && all && !twin && rc >= 0; k++) {
			sqlite3_bind_text(st, 1, w->key[i * (size_t)w->n + (size_t)k].hex, -1, SQLITE_STATIC);
			rc = inoci_store_step(r->store, st, err);
			all = rc > 0;
			sqlite3_reset(st);
		}
		if (!all && !twin) which[(*n)++] = i;
	}
	sqlite3_finalize(st);
	return rc < 0 ? rc : 0;
}

static int link_samples(inoci_run_state *r, const inoci_plan_item *item, int eval, const inoci_wanted *w, inoc_err *err)
{
	const char *arm = r->e->arms[item->arm].name, *name = r->e->evals[eval].name;
	int64_t seed = (int64_t)item->seed;
	int rc;
	INOC_TRY(inoci_store_begin(r->store, err));
	INOC_TRY(unlink_eval(r, arm, seed, name, err));
	for (size_t i = 0; i < w->prompts.n; i++)
		for (int k = 0; k < w->n; k++)
			INOC_TRY(inoci_store_exec(
			        r->store, err,
			        "INSERT INTO link_sample(experiment, arm, seed, evaluation, prompt_no, idx, sample)"
			        " VALUES(?,?,?,?,?,?,(SELECT id FROM sample WHERE key = ?))",
			        "ssisiis", r->e->name, arm, seed, name, (int64_t)i, (int64_t)k,
			        w->key[i * (size_t)w->n + (size_t)k].hex));
	INOC_TRY(inoci_store_exec(r->store, err,
	                          "INSERT INTO link_eval(experiment, arm, seed, evaluation, key) VALUES(?,?,?,?,?)", "ssiss",
	                          r->e->name, arm, seed, name, w->all.hex));
	INOC_TRY(inoci_store_commit(r->store, err));
out:
	if (rc < 0) inoci_store_rollback(r->store);
	return rc < 0 ? rc : 0;
}

static int evaluate(inoci_run_state *r, const inoci_plan_item *item, int eval, int64_t adapter, inoci_adapter **a, inoc_err *err)
{
	const inoci_arm *arm = &r->e->arms[item->arm];
	inoci_wanted w;
	int64_t linked = 0, *ids = NULL;
	size_t *which = NULL, n = 0;
	inoci_prompt *prompts = NULL;
	sample_ctx c = {.r = r, .w = &w, .adapter = adapter};
	int rc = inoci_run_wanted(r, item->arm, eval, item->seed, item->key, &w, err);
	if (rc < 0) return rc;
	INOC_TRY(inoci_store_int(
	        r->store, &linked, err,
	        "SELECT 1 FROM link_eval WHERE experiment = ? AND arm = ? AND seed = ? AND evaluation = ? AND key = ?", "ssiss",
	        r->e->name, arm->name, (int64_t)item->seed, r->e->evals[eval].name, w.all.hex));
	if (linked) goto out;
	ids = inoci_alloc((w.prompts.n + 1) * sizeof *ids);
	which = inoci_alloc((w.prompts.n + 1) * sizeof *which);
	INOC_TRY(inoci_store_begin(r->store, err));
	INOC_TRY(prompt_rows(r, &w, ids, err));
	INOC_TRY(inoci_store_commit(r->store, err));
	INOC_TRY(missing_prompts(r, &w, which, &n, err));
	if (n) {
		INOC_TRY(need_model(r, err));
		if (arm->train && !*a) INOC_TRY(load_adapter(r, adapter, a, err));
		inoci_sample_settings s = r->e->evals[eval].sampling;
		s.seed = item->seed;
		prompts = inoci_alloc(n * sizeof *prompts);
		for (size_t i = 0; i < n; i++) {
			const inoci_lab_prompt *p = &w.prompts.v[which[i]];
			prompts[i] = (inoci_prompt){.ids = p->ids, .n = p->n, .key = p->key};
		}
		c.which = which;
		c.prompt_id = ids;
		INOC_TRY(inoci_store_query(
		        r->store, &c.insert, err,
		        "INSERT OR IGNORE INTO sample(key, adapter, prompt, idx, text, finish, n_tokens, logprob, logprobs, ids)"
		        " VALUES(?,?,?,?,?,?,?,?,?,?)",
		        ""));
		inoci_note(r->o->progress, "seed %llu, %s: sampling %s", (unsigned long long)item->seed, arm->name,
		           r->e->evals[eval].name);
		rc = inoci_sample(r->model, *a, prompts, n, &s, on_sample, NULL, &c, r->o->progress, err);
		sqlite3_finalize(c.insert);
		c.insert = NULL;
		inoc_err later = {0};
		int kept = inoci_store_commit(r->store, rc < 0 ? &later : err); /* what is finished is kept, also when stopped */
		if (rc >= 0) rc = kept;
		if (rc < 0) goto out;
	}
	INOC_TRY(link_samples(r, item, eval, &w, err));
out:
	sqlite3_finalize(c.insert);
	if (rc < 0) inoci_store_rollback(r->store);
	free(ids), free(which), free(prompts);
	inoci_wanted_free(&w);
	return rc < 0 ? rc : 0;
}

/* ---- scoring ---- */

static int score_all(inoci_run_state *r, inoc_err *err)
{
	const inoci_experiment *e = r->e;
	sqlite3_stmt *st = NULL;
	int rc = 0;
	INOC_TRY(inoci_store_exec(r->store, err, "DELETE FROM scorer_name WHERE experiment = ? AND position < 1000", "s",
	                          e->name));
	for (size_t i = 0; i < e->n_scorers; i++) {
		inoci_scorer *s;
		int64_t id;
		INOC_TRY(inoci_store_scorer(r->store, e->name, e->scorers[i].name, e->scorers[i].settings, (int)i, &s, &id, err));
		rc = inoci_store_score_missing(r->store, e->name, s, id, r->o->progress, NULL, err);
		inoci_scorer_free(s);
		if (rc < 0) goto out;
	}
	/* those that `inoc score` has added see the new samples too */
	INOC_TRY(inoci_store_query(
	        r->store, &st, err,
	        "SELECT n.name, s.settings, s.id FROM scorer_name n JOIN scorer s ON s.id = n.scorer WHERE n.experiment = ?"
	        " AND n.position >= 1000",
	        "s", e->name));
	while ((rc = inoci_store_step(r->store, st, err)) > 0) {
		inoci_scorer *s = NULL;
		json_t *settings = json_loads((const char *)sqlite3_column_text(st, 1), JSON_DECODE_ANY, NULL);
		rc = inoci_scorer_new((const char *)sqlite3_column_text(st, 0), settings, &s, err);
		if (rc == 0)
			rc = inoci_store_score_missing(r->store, e->name, s, sqlite3_column_int64(st, 2), r->o->progress, NULL,
			                               err);
		inoci_scorer_free(s);
		json_decref(settings);
		if (rc < 0) goto out;
	}
out:
	sqlite3_finalize(st);
	return rc < 0 ? rc : 0;
}

/* ---- the whole ---- */

static int do_item(inoci_run_state *r, inoci_plan_item *item, inoc_err *err)
{
	const inoci_arm *arm = &r->e->arms[item->arm];
	inoci_adapter *a = NULL;
	int64_t id = 0;
	bool have;
	int rc;
	INOC_TRY(adapter_row(r, item, &id, err));
	/* asked again: an arm before this one may have had the same content */
	have = !arm->train;
	if (!have) INOC_TRY(inoci_run_adapter_ok(r, item->key, &have, err));
	if (!have) INOC_TRY(train_arm(r, item, id, &a, err));
	item->trained = true;
	INOC_TRY(inoci_store_exec(r->store, err,
	                          "INSERT OR REPLACE INTO link_adapter(experiment, arm, seed, adapter) VALUES(?,?,?,?)", "ssii",
	                          r->e->name, arm->name, (int64_t)item->seed, id));
	for (size_t v = 0; v < r->e->n_evals; v++) {
		if (inoci_stopped(r->o->progress)) {
			rc = inoci_err_set(err, INOC_E_STOPPED, "stopped before %s of arm %s", r->e->evals[v].name, arm->name);
			goto out;
		}
		INOC_TRY(evaluate(r, item, (int)v, id, &a, err));
	}
out:
	inoci_adapter_free(a);
	return rc < 0 ? rc : 0;
}

static bool has_work(const inoci_plan_item *i)
{
	return !i->trained || i->n_have < i->n_samples;
}

static int do_plan(inoci_run_state *r, inoc_err *err)
{
	int rc = 0;
	bool worked = false;
	for (size_t i = 0; i < r->plan.n; i++) {
		inoci_plan_item *item = &r->plan.v[i];
		worked |= has_work(item);
		rc = do_item(r, item, err);
		bool last = i + 1 == r->plan.n || r->plan.v[i + 1].seed != item->seed;
		if (rc >= 0 && last && worked) rc = score_all(r, err);
		if (rc >= 0 && last && worked && i + 1 < r->plan.n && r->o->on_seed)
			rc = r->o->on_seed(r->o->ctx, r->e, r->store, item->seed, err);
		if (rc < 0) {
			inoci_err_prefix(err, "seed %llu, arm %s", (unsigned long long)item->seed, r->e->arms[item->arm].name);
			return rc;
		}
		if (last) worked = false;
	}
	return score_all(r, err); /* an experiment file with a new scorer, and nothing else to do */
}

int inoci_run(const inoci_experiment *e, const char *model_path, const inoci_run_options *o, inoc_err *err)
{
	inoci_run_state r = {.e = e, .o = o, .model_path = model_path, .store_path = inoci_path_join(e->out, "store.db")};
	int64_t run = 0;
	bool work = false;
	int rc;
	if (o->dry_run) {
		if (!o->fresh && inoci_path_exists(r.store_path))
			INOC_TRY(inoci_store_open(r.store_path, false, 0, o->progress, &r.store, err));
	} else {
		if (o->fresh) INOC_TRY(inoci_store_set_aside(r.store_path, o->wait_s, o->progress, err));
		INOC_TRY(inoci_store_open(r.store_path, true, o->wait_s, o->progress, &r.store, err));
	}
	INOC_TRY(inoci_run_prepare(&r, err));
	INOC_TRY(inoci_run_plan(&r, err));
	if (o->on_plan) INOC_TRY(o->on_plan(o->ctx, e, &r.plan, err));
	if (o->dry_run) goto out;
	INOC_TRY(record_experiment(&r, err));
	INOC_TRY(inoci_store_begin(r.store, err));
	INOC_TRY(prune(&r, err));
	INOC_TRY(inoci_store_commit(r.store, err));
	for (size_t i = 0; i < r.plan.n; i++) work |= has_work(&r.plan.v[i]);
	if (work) INOC_TRY(record_run(&r, &run, err));
	rc = do_plan(&r, err);
	if (work) {
		inoc_err later = {0};
		int ended = end_run(&r, run, rc, rc < 0 ? &later : err);
		if (rc >= 0) rc = ended;
	}
	if (rc >= 0 && o->on_seed) rc = o->on_seed(o->ctx, e, r.store, UINT64_MAX, err);
out:
	inoci_run_state_free(&r);
	return rc < 0 ? rc : 0;
}
