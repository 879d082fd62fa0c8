/* What a run writes down about itself: the experiment, the run, and which results its file no longer stands for. */
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

int inoci_record_may(inoci_run_state *r, inoc_err *err)
{
	sqlite3_stmt *st;
	if (!r->o->n_command) return 0;
	int rc = inoci_store_query(r->store, &st, err, "SELECT path FROM experiment WHERE name = ? AND path IS NOT NULL", "s",
	                           r->e->name);
	if (rc < 0) return rc;
	if ((rc = inoci_store_step(r->store, st, err)) > 0)
		rc = inoci_err_set(err, INOC_E_USAGE,
		                   "%s: '%s' is the name of an experiment that was run from %s; give another name", r->store_path,
		                   r->e->name, (const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	return rc;
}

int inoci_record_ran(inoci_run_state *r, bool *out, inoc_err *err)
{
	int64_t any = 0;
	inoci_hash text = inoci_hash_bytes(r->e->text, r->e->text_n);
	int rc = inoci_store_int(r->store, &any, err,
	                         "SELECT 1 FROM run WHERE experiment = ? AND (? = 0 OR instr(request, ?)) LIMIT 1", "sis",
	                         r->e->name, (int64_t)r->o->n_command, text.hex);
	*out = any;
	return rc < 0 ? rc : 0;
}

int inoci_record_experiment(inoci_run_state *r, inoc_err *err)
{
	const inoci_experiment *e = r->e;
	json_t *sets = json_array();
	for (size_t i = 0; i < e->n_sets; i++) json_array_append_new(sets, json_string(e->sets[i]));
	char *text = json_dumps(sets, 0), *now = inoci_time_iso();
	int rc = inoci_store_exec(r->store, err,
	                          "INSERT OR REPLACE INTO experiment(name, path, text, sets, updated) VALUES(?,?,?,?,?)", "ssbss",
	                          e->name, r->o->n_command ? NULL : e->path, e->text, e->text_n, text, now);
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

int inoci_record_run(inoci_run_state *r, int64_t *id, inoc_err *err)
{
	char *now = inoci_time_iso(), *ops = inoci_ops_describe(r->ops), *request = NULL, *made = NULL;
	json_t *asked = inoci_run_request(r), *provenance = NULL;
	int rc;
	INOC_TRY(inoci_run_provenance(r, &provenance, err));
	request = json_dumps(asked, JSON_COMPACT);
	made = json_dumps(provenance, JSON_COMPACT);
	INOC_TRY(note_environment(r, ops, err));
	INOC_TRY(inoci_store_exec(r->store, err, "UPDATE run SET status = 'killed' WHERE status = 'running'", ""));
	INOC_TRY(inoci_store_exec(
	        r->store, err,
	        "INSERT INTO run(experiment, started, status, model_path, model_hash, template, dtype, ops, version, numerics,"
	        " request, provenance) VALUES(?,?,'running',?,?,?,?,?,?,?,?,?)",
	        "ssssssssiss", r->e->name, now, r->model_path, r->model_hash.hex, inoci_template_name(r->tmpl),
	        inoci_dtype_name(r->ops->dtype), ops, inoc_version(), (int64_t)INOCI_NUMERICS_VERSION, request, made));
	*id = sqlite3_last_insert_rowid(r->store->db);
out:
	free(now), free(ops), free(request), free(made);
	json_decref(asked);
	json_decref(provenance);
	return rc < 0 ? rc : 0;
}

int inoci_record_end(inoci_run_state *r, int64_t id, int code, inoc_err *err)
{
	char *now = inoci_time_iso();
	const char *status = code == 0 ? "done" : code == INOC_E_STOPPED ? "stopped" : "failed";
	int rc = inoci_store_exec(r->store, err, "UPDATE run SET ended = ?, status = ? WHERE id = ?", "ssi", now, status, id);
	free(now);
	return rc;
}

static int unlink_arm(inoci_run_state *r, const char *arm, int64_t seed, const char *key, inoc_err *err)
{
	static const char *const tables[] = {"link_adapter", "link_eval", "link_sample", "link_curve", "link_analysis"};
	for (size_t i = 0; i < INOCI_COUNT(tables); i++) {
		char *sql = inoci_asprintf("DELETE FROM %s WHERE experiment = ? AND arm = ? AND seed = ?", tables[i]);
		int rc = inoci_store_exec(r->store, err, sql, "ssi", r->e->name, arm, seed);
		free(sql);
		if (rc < 0) return rc;
	}
	inoci_run_unlink(r, arm, (uint64_t)seed, key);
	return 0;
}

int inoci_record_unlink_eval(inoci_run_state *r, const char *arm, int64_t seed, const char *eval, inoc_err *err)
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
int inoci_record_prune(inoci_run_state *r, inoc_err *err)
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
			INOC_TRY(unlink_arm(r, v[i].arm, v[i].seed, v[i].key, err));
			dropped++;
			continue;
		}
		if (!v[i].eval) continue;
		int eval = inoci_experiment_eval(r->e, v[i].eval);
		if (eval >= 0 && !inoci_experiment_wants(r->e, arm, eval)) eval = -1;
		inoci_wanted w = {0};
		if (eval >= 0) INOC_TRY(inoci_run_wanted(r, arm, eval, (uint64_t)v[i].seed, item.key, &w, err));
		if (eval < 0 || strcmp(w.all.hex, v[i].eval_key)) {
			rc = inoci_record_unlink_eval(r, v[i].arm, v[i].seed, v[i].eval, err);
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
