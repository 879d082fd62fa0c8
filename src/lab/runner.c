/* The runner: seed by seed, arm by arm, trains, samples and scores what the plan says is missing. */
#include <stdlib.h>

#include "lab/internal.h"

/* ---- scoring ---- */

int inoci_score_all(inoci_store *store, const inoci_experiment *e, const inoci_scorer_env *env, const inoci_progress *p,
                    inoc_err *err)
{
	sqlite3_stmt *st = NULL;
	int rc = 0;
	INOC_TRY(inoci_store_exec(store, err, "DELETE FROM scorer_name WHERE experiment = ? AND position < 1000", "s", e->name));
	for (size_t i = 0; i < e->n_scorers; i++) {
		inoci_scorer *s;
		int64_t id;
		const inoci_scorer_spec *spec = &e->scorers[i];
		INOC_TRY(inoci_store_scorer(store, e->name, spec->name, spec->settings, (int)i, env, &s, &id, err));
		rc = inoci_store_score_missing(store, e->name, s, id, spec->on, p, NULL, err);
		inoci_scorer_free(s);
		if (rc < 0) goto out;
	}
	/* those that `inoc score` has added see the new samples too */
	INOC_TRY(inoci_store_query(store, &st, err,
	                           "SELECT n.name, s.settings, s.id, n.evaluations FROM scorer_name n JOIN scorer s ON s.id = "
	                           "n.scorer WHERE n.experiment = ?"
	                           " AND n.position >= 1000",
	                           "s", e->name));
	while ((rc = inoci_store_step(store, st, err)) > 0) {
		inoci_scorer *s = NULL;
		json_t *settings = json_loads((const char *)sqlite3_column_text(st, 1), JSON_DECODE_ANY, NULL);
		rc = inoci_scorer_new_in((const char *)sqlite3_column_text(st, 0), settings, env, &s, err);
		if (rc == 0)
			rc = inoci_store_score_missing(store, e->name, s, sqlite3_column_int64(st, 2),
			                               (const char *)sqlite3_column_text(st, 3), p, NULL, err);
		if (rc < 0 && rc != INOC_E_STOPPED)
			inoci_err_prefix(err, "added by `inoc score`, which can give that name another definition");
		inoci_scorer_free(s);
		json_decref(settings);
		if (rc < 0) goto out;
	}
out:
	sqlite3_finalize(st);
	return rc < 0 ? rc : 0;
}

static int check_fields(const inoci_run_state *r, const inoci_scorer *s, size_t scorer, inoc_err *err)
{
	const inoci_experiment *e = r->e;
	for (size_t v = 0; v < e->n_evals; v++) {
		const inoci_dataset *d = inoci_run_dataset(&r->prompts, e->evals[v].prompts);
		if (!inoci_experiment_applies(e, e->scorers[scorer].on, (int)v)) continue;
		for (size_t i = 0; i < d->n && (!e->evals[v].limit || i < (size_t)e->evals[v].limit); i++)
			if (inoci_scorer_item(s, d->v[i].extra, err) < 0)
				return inoci_err_prefix(err, "%s:%d: scorer '%s'", d->path, d->v[i].line,
				                        e->scorers[scorer].name);
	}
	return 0;
}

/* Those of `inoc score`, whose files may be gone or for another model. */
static int check_added(const inoci_run_state *r, inoc_err *err)
{
	sqlite3_stmt *st;
	int rc = inoci_store_query(r->store, &st, err,
	                           "SELECT n.name, s.settings FROM scorer_name n JOIN scorer s ON s.id = n.scorer"
	                           " WHERE n.experiment = ? AND n.position >= 1000",
	                           "s", r->e->name);
	if (rc < 0) return rc;
	while ((rc = inoci_store_step(r->store, st, err)) > 0) {
		json_t *settings = json_loads((const char *)sqlite3_column_text(st, 1), JSON_DECODE_ANY, NULL);
		inoci_scorer *s = NULL;
		rc = inoci_scorer_new_in((const char *)sqlite3_column_text(st, 0), settings, &r->env, &s, err);
		if (rc == 0) rc = inoci_scorer_check_model(s, r->model_path, err);
		inoci_scorer_free(s);
		json_decref(settings);
		if (rc < 0) {
			inoci_err_prefix(err, "added by `inoc score`, which can give that name another definition");
			break;
		}
	}
	sqlite3_finalize(st);
	return rc < 0 ? rc : 0;
}

int inoci_run_check_scorers(const inoci_run_state *r, inoc_err *err)
{
	int rc = 0;
	for (size_t i = 0; i < r->e->n_scorers && rc == 0; i++) {
		inoci_scorer *s;
		inoci_checked ignored;
		if ((rc = inoci_scorer_new_in(r->e->scorers[i].name, r->e->scorers[i].settings, &r->env, &s, err)) < 0) return rc;
		if ((rc = inoci_scorer_ready(s, err)) == 0) rc = inoci_scorer_check_model(s, r->model_path, err);
		if (rc == 0) rc = inoci_scorer_checked(s, r->e->scorers[i].checked, r->e->scorers[i].n_checked, &ignored, err);
		if (rc < 0) inoci_err_prefix(err, "scorer '%s'", r->e->scorers[i].name);
		if (rc == 0) rc = check_fields(r, s, i, err);
		inoci_scorer_free(s);
	}
	return rc == 0 && r->store ? check_added(r, err) : rc;
}

/* ---- the whole ---- */

static int do_item(inoci_run_state *r, inoci_plan_item *item, inoc_err *err)
{
	const inoci_arm *arm = &r->e->arms[item->arm];
	inoci_adapter *a = NULL;
	int64_t id = 0;
	bool have;
	int rc;
	INOC_TRY(inoci_run_adapter_row(r, item, &id, err));
	/* asked again: an arm before this one may have had the same content */
	have = !arm->train;
	if (!have) INOC_TRY(inoci_run_adapter_ok(r, item->key, &have, err));
	if (have && arm->train) INOC_TRY(inoci_run_curves_ok(r, item->arm, item->seed, item->key, &have, err));
	if (!have) INOC_TRY(inoci_run_train(r, item, id, &a, err));
	item->trained = true;
	if (arm->train) INOC_TRY(inoci_run_link(r, item, err));
	if (arm->train) INOC_TRY(inoci_run_curves_link(r, item, id, err));
	INOC_TRY(inoci_store_exec(r->store, err,
	                          "INSERT OR REPLACE INTO link_adapter(experiment, arm, seed, adapter) VALUES(?,?,?,?)", "ssii",
	                          r->e->name, arm->name, (int64_t)item->seed, id));
	INOC_TRY(inoci_run_evaluate(r, item, id, &a, err));
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
		if (rc >= 0 && last && worked) rc = inoci_score_all(r->store, r->e, &r->env, r->o->progress, err);
		if (rc >= 0 && last && worked && i + 1 < r->plan.n && r->o->on_seed)
			rc = r->o->on_seed(r->o->ctx, r->e, r->store, item->seed, err);
		if (rc < 0) {
			inoci_err_prefix(err, "seed %llu, arm %s", (unsigned long long)item->seed, r->e->arms[item->arm].name);
			return rc;
		}
		if (last) worked = false;
	}
	return inoci_score_all(r->store, r->e, &r->env, r->o->progress,
	                       err); /* an experiment file with a new scorer, and nothing else to do */
}

int inoci_run(const inoci_experiment *e, const char *model_path, const inoci_run_options *o, inoc_err *err)
{
	inoci_run_state r = {.e = e, .o = o, .model_path = model_path};
	int64_t run = 0;
	bool work = false, ran = false;
	int rc;
	r.store_path = o->scratch ? inoci_strdup(":memory:")
	               : o->store ? inoci_strdup(o->store)
	                          : inoci_path_join(e->out, "store.db");
	if (o->scratch) {
		INOC_TRY(inoci_store_scratch(&r.store, err));
	} else if (o->dry_run) {
		if (!o->fresh && inoci_path_exists(r.store_path))
			INOC_TRY(inoci_store_open(r.store_path, false, 0, o->progress, &r.store, err));
	} else {
		if (o->fresh) INOC_TRY(inoci_store_set_aside(r.store_path, o->wait_s, o->progress, err));
		INOC_TRY(inoci_store_open(r.store_path, true, o->wait_s, o->progress, &r.store, err));
	}
	if (e->n_imported) {
		rc = inoci_err_set(err, INOC_E_USAGE, "experiment %s was imported: there is nothing to train or to sample",
		                   e->name);
		goto out;
	}
	if (r.store) INOC_TRY(inoci_record_may(&r, err));
	INOC_TRY(inoci_run_prepare(&r, err));
	inoci_run_notes(&r);
	INOC_TRY(inoci_run_plan(&r, err));
	inoci_overall_init(&r.overall, &r.plan, o->progress);
	if (o->on_plan) INOC_TRY(o->on_plan(o->ctx, e, &r.plan, err));
	if (o->dry_run) goto out;
	INOC_TRY(inoci_record_experiment(&r, err));
	INOC_TRY(inoci_run_choose_linked(&r, err));
	INOC_TRY(inoci_store_begin(r.store, err));
	INOC_TRY(inoci_record_prune(&r, err));
	INOC_TRY(inoci_run_choices_record(&r, err));
	INOC_TRY(inoci_checks_record(r.store, e, &r.env, err));
	INOC_TRY(inoci_store_commit(r.store, err));
	for (size_t i = 0; i < r.plan.n; i++) work |= has_work(&r.plan.v[i]);
	INOC_TRY(inoci_record_ran(&r, &ran, err));
	work |= !ran; /* all of it came from other experiments: what was asked for is written down still */
	if (work) INOC_TRY(inoci_record_run(&r, &run, err));
	rc = do_plan(&r, err);
	if (work) {
		inoc_err later = {0};
		int ended = inoci_record_end(&r, run, rc, rc < 0 ? &later : err);
		if (rc >= 0) rc = ended;
	}
	if (rc >= 0 && o->on_seed) rc = o->on_seed(o->ctx, e, r.store, UINT64_MAX, err);
out:
	inoci_run_state_free(&r);
	return rc < 0 ? rc : 0;
}
