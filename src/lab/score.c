/* Scores of stored samples: a scorer goes over those that it has not seen. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

enum { SCORE_AT_ONCE = 256 };

int inoci_store_scorer(inoci_store *s, const char *experiment, const char *name, json_t *settings, int position,
                       const inoci_scorer_env *env, inoci_scorer **scorer, int64_t *id, inoc_err *err)
{
	*scorer = NULL;
	int rc = inoci_scorer_new_in(name, settings, env, scorer, err);
	if (rc < 0) return rc;
	inoci_hash key = inoci_scorer_key(*scorer);
	char *text = json_dumps(settings, JSON_SORT_KEYS | JSON_ENCODE_ANY);
	INOC_TRY(inoci_store_exec(s, err, "INSERT OR IGNORE INTO scorer(key, settings) VALUES(?,?)", "ss", key.hex, text));
	if (!experiment) /* read again by runs: its files may have moved */
		INOC_TRY(inoci_store_exec(s, err, "UPDATE scorer SET settings = ? WHERE key = ?", "ss", text, key.hex));
	INOC_TRY(inoci_store_int(s, id, err, "SELECT id FROM scorer WHERE key = ?", "s", key.hex));
	if (experiment)
		INOC_TRY(inoci_store_exec(
		        s, err, "INSERT OR REPLACE INTO scorer_name(experiment, name, position, scorer) VALUES(?,?,?,?)", "ssii",
		        experiment, name, (int64_t)position, *id));
	rc = 0;
out:
	free(text);
	if (rc < 0) {
		inoci_scorer_free(*scorer);
		*scorer = NULL;
	}
	return rc;
}

/* Answers that are scored at once. */
typedef struct {
	inoci_answer a[SCORE_AT_ONCE];
	int64_t id[SCORE_AT_ONCE];
	double value[SCORE_AT_ONCE];
	size_t n;
} lot;

static void lot_clear(lot *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free((char *)l->a[i].text), free((char *)l->a[i].question);
		json_decref((json_t *)l->a[i].item);
	}
	l->n = 0;
}

/* Does the scorer say anything of what was measured? That of another kind it passes over. */
static int says_of(const inoci_scorer *s, const char *text, size_t n, bool *out, inoc_err *err)
{
	inoci_measured m;
	int rc = inoci_measured_read(text, n, &m, err);
	if (rc < 0) return rc;
	const char **names = inoci_alloc((m.n + 1) * sizeof *names);
	for (size_t i = 0; i < m.n; i++) names[i] = m.v[i].name;
	*out = inoci_scorer_fits(s, m.measure, names, m.n);
	free(names);
	inoci_measured_free(&m);
	return 0;
}

static int lot_take(lot *l, const inoci_scorer *scorer, sqlite3_stmt *st, inoc_err *err)
{
	bool says = true;
	if (inoci_scorer_measured(scorer)) {
		const void *text = sqlite3_column_blob(st, 1);
		int rc = says_of(scorer, text ? text : "", (size_t)sqlite3_column_bytes(st, 1), &says, err);
		if (rc < 0 || !says) return rc;
	}
	const char *item = (const char *)sqlite3_column_text(st, 4);
	json_t *fields = item ? json_loads(item, 0, NULL) : NULL;
	int64_t id = sqlite3_column_int64(st, 0);
	if (item && !fields)
		return inoci_err_set(err, INOC_E_STORE, "sample %lld: its record's fields are not JSON", (long long)id);
	const char *text = sqlite3_column_blob(st, 1);
	size_t n = (size_t)sqlite3_column_bytes(st, 1);
	char *question = inoci_store_col(st, 3);
	l->id[l->n] = id;
	l->a[l->n++] = (inoci_answer){.question = question ? question : inoci_strdup(""),
	                              .text = inoci_strndup(text ? text : "", n),
	                              .n = n,
	                              .finish = (inoci_finish)sqlite3_column_int(st, 2),
	                              .item = fields};
	return 0;
}

/* Whatever fails behind this, what a judge has answered stays. */
static int lot_store(inoci_store *s, lot *l, inoci_scorer *scorer, int64_t scorer_id, const inoci_progress *p, inoc_err *err)
{
	sqlite3_stmt *ins = NULL;
	int rc;
	rc = inoci_scorer_apply_many(scorer, l->a, l->n, l->value, p, err);
	if (rc < 0 && rc != INOC_E_STOPPED) inoci_err_prefix(err, "scorer '%s'", inoci_scorer_name(scorer));
	if (rc < 0) goto out;
	INOC_TRY(inoci_store_begin(s, err));
	INOC_TRY(inoci_store_query(s, &ins, err, "INSERT OR REPLACE INTO score(sample, scorer, value) VALUES(?,?,?)", ""));
	for (size_t i = 0; i < l->n; i++) {
		sqlite3_bind_int64(ins, 1, l->id[i]);
		sqlite3_bind_int64(ins, 2, scorer_id);
		if (isnan(l->value[i]))
			sqlite3_bind_null(ins, 3);
		else
			sqlite3_bind_double(ins, 3, l->value[i]);
		INOC_TRY(inoci_store_step(s, ins, err));
		sqlite3_reset(ins);
	}
	sqlite3_finalize(ins);
	ins = NULL;
	rc = inoci_store_commit(s, err);
out:
	sqlite3_finalize(ins);
	return rc < 0 ? rc : 0;
}

int inoci_store_score_missing(inoci_store *s, const char *experiment, inoci_scorer *scorer, int64_t scorer_id, const char *on,
                              const inoci_progress *p, long *n_new, inoc_err *err)
{
	static const char from[] =
	        "FROM sample a JOIN prompt b ON b.id = a.prompt"
	        " WHERE a.id > ?4 AND (a.finish = 3) = ?3"
	        " AND NOT EXISTS (SELECT 1 FROM score c WHERE c.sample = a.id AND c.scorer = ?1)"
	        " AND (coalesce(?2, ?5) IS NULL OR EXISTS (SELECT 1 FROM link_sample l WHERE l.sample = a.id"
	        " AND (?2 IS NULL OR l.experiment = ?2) AND (?5 IS NULL OR instr(?5, ',' || l.evaluation || ','))))";
	sqlite3_stmt *st = NULL;
	lot *l = inoci_alloc(sizeof *l);
	long done = 0, n_scored = 0;
	int rc;
	int64_t total = 0, last = 0, measured = inoci_scorer_measured(scorer);
	char *sql = inoci_asprintf("SELECT a.id, a.text, a.finish, b.question, b.item %s ORDER BY a.id LIMIT %d", from,
	                           SCORE_AT_ONCE);
	char *count = inoci_asprintf("SELECT count(*) %s", from);
	INOC_TRY(inoci_store_int(s, &total, err, count, "isiis", scorer_id, experiment, measured, last, on));
	while (done < total) {
		INOC_TRY(inoci_store_query(s, &st, err, sql, "isiis", scorer_id, experiment, measured, last, on));
		long before = done;
		while ((rc = inoci_store_step(s, st, err)) > 0) {
			last = sqlite3_column_int64(st, 0);
			done++;
			if ((rc = lot_take(l, scorer, st, err)) < 0) break;
		}
		if (rc < 0) goto out;
		sqlite3_finalize(st);
		st = NULL;
		if (done == before) break;
		if (l->n) INOC_TRY(lot_store(s, l, scorer, scorer_id, p, err));
		n_scored += (long)l->n;
		lot_clear(l);
		inoci_tick(p, "scoring", (double)done, (double)total, "samples", inoci_scorer_name(scorer));
		if (done < total && inoci_stopped(p)) {
			rc = inoci_err_set(err, INOC_E_STOPPED, "stopped; run the same command again to go on");
			goto out;
		}
	}
	rc = 0;
out:
	sqlite3_finalize(st);
	if (rc < 0) inoci_store_rollback(s);
	inoci_scorer_report(scorer, p, NULL);
	lot_clear(l);
	free(l), free(sql), free(count);
	if (n_new) *n_new = n_scored;
	return rc < 0 ? rc : 0;
}

/* Says so when an earlier `inoc score` gave this name to another definition. */
static int note_replaced(inoci_store *s, const char *experiment, const char *name, int64_t id, const inoci_progress *p,
                         inoc_err *err)
{
	sqlite3_stmt *st;
	int rc = inoci_store_query(s, &st, err,
	                           "SELECT b.settings FROM scorer_name n JOIN scorer b ON b.id = n.scorer"
	                           " WHERE n.experiment = ? AND n.name = ? AND n.position >= 1000 AND n.scorer <> ?",
	                           "ssi", experiment, name, id);
	if (rc < 0) return rc;
	if ((rc = inoci_store_step(s, st, err)) > 0)
		inoci_note(p, "scorer '%s' of experiment %s had another definition, which is replaced: %s", name, experiment,
		           (const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	return rc < 0 ? rc : 0;
}

/* Each name is that of an evaluation with results. */
static int check_on(inoci_store *s, const char *experiment, const char *on, inoc_err *err)
{
	for (const char *p = on; p && p[1];) {
		size_t n = strcspn(p + 1, ",");
		char *name = inoci_strndup(p + 1, n);
		int64_t one = 0;
		int rc = inoci_store_int(s, &one, err,
		                         "SELECT 1 FROM link_eval WHERE evaluation = ?1 AND (?2 IS NULL OR experiment = ?2)",
		                         "ss", name, experiment);
		if (rc == 0) rc = inoci_err_set(err, INOC_E_USAGE, "on: '%.60s' is not an evaluation of this store", name);
		free(name);
		if (rc < 0) return rc;
		p += n + 1;
	}
	return 0;
}

int inoci_store_score(inoci_store *s, const char *experiment, const char *name, json_t *settings, const char *model,
                      const inoci_progress *p, long *n_new, inoc_err *err)
{
	inoci_base_model base = {.store = s, .given = model, .experiment = experiment, .progress = p};
	const inoci_scorer_env env = {.model = inoci_base_model_get, .ctx = &base, .memory = inoci_store_memory(s)};
	inoci_scorer *scorer = NULL;
	sqlite3_stmt *st = NULL;
	int64_t id = 0;
	int rc;
	bool known = false;
	char *on = NULL;
	INOC_TRY(inoci_scorer_take_on(settings, &on, err));
	INOC_TRY(check_on(s, experiment, on, err));
	INOC_TRY(inoci_store_begin(s, err));
	INOC_TRY(inoci_store_scorer(s, NULL, name, settings, 0, &env, &scorer, &id, err));
	INOC_TRY(inoci_scorer_ready(scorer, err));
	if (model) INOC_TRY(inoci_scorer_check_model(scorer, model, err));
	INOC_TRY(inoci_store_query(s, &st, err, "SELECT name FROM experiment WHERE ?1 IS NULL OR name = ?1", "s", experiment));
	while ((rc = inoci_store_step(s, st, err)) > 0) {
		known = true;
		/* 1000: behind those of the experiment file. A name of the file itself must keep its meaning. */
		const char *e = (const char *)sqlite3_column_text(st, 0);
		int64_t other = id;
		if ((rc = inoci_store_int(s, &other, err,
		                          "SELECT scorer FROM scorer_name WHERE experiment = ? AND name = ? AND position < 1000",
		                          "ss", e, name)) < 0)
			goto out;
		if (other != id) {
			rc = inoci_err_set(err, INOC_E_USAGE,
			                   "scorer '%s' has other settings in experiment '%s'; give it another name", name, e);
			goto out;
		}
		if (rc == 0 && (rc = note_replaced(s, e, name, id, p, err)) < 0) goto out;
		if (rc == 0 && (rc = inoci_store_exec(s, err,
		                                      "INSERT OR REPLACE INTO scorer_name(experiment, name, position, scorer, "
		                                      "evaluations) VALUES(?,?,1000,?,?)",
		                                      "ssis", e, name, id, on)) < 0)
			goto out;
	}
	if (rc < 0) goto out;
	sqlite3_finalize(st);
	st = NULL;
	if (!known && experiment) {
		rc = inoci_store_no_experiment(s, experiment, err);
		goto out;
	}
	INOC_TRY(inoci_store_commit(s, err));
	rc = inoci_store_score_missing(s, experiment, scorer, id, on, p, n_new, err);
	if (rc < 0 && rc != INOC_E_STOPPED) { /* one that cannot score anything is not left for later runs to fail on */
		inoc_err later = {0};
		(void)!inoci_store_exec(s, &later,
		                        "DELETE FROM scorer_name WHERE scorer = ?1 AND position >= 1000"
		                        " AND NOT EXISTS (SELECT 1 FROM score WHERE scorer = ?1)",
		                        "i", id);
	}
out:
	sqlite3_finalize(st);
	if (rc < 0) inoci_store_rollback(s);
	inoci_scorer_free(scorer);
	inoci_base_model_close(&base);
	free(on);
	return rc < 0 ? rc : 0;
}
