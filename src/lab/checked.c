/* checked: how far an experiment's judges and classifiers agree with people's labels, by the files that its scorers name. Kept in
 * the store with the experiment, so that a report needs none of these files. */
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

#define PART "checked"

int inoci_scorer_take_checked(json_t *settings, inoci_scorer_spec *x, inoc_err *err)
{
	json_t *given = json_object_get(settings, "checked"), *v;
	size_t n = json_is_array(given) ? json_array_size(given) : given ? 1 : 0;
	if (!given) return 0;
	x->checked = inoci_alloc((n + 1) * sizeof *x->checked);
	for (size_t i = 0; i < n; i++) {
		v = json_is_array(given) ? json_array_get(given, i) : given;
		if (json_is_string(v) && json_string_length(v)) x->checked[x->n_checked++] = inoci_strdup(json_string_value(v));
	}
	if (!n || x->n_checked < n)
		return inoci_err_set(err, INOC_E_USAGE,
		                     "\"checked\" wants a file that `inoc judge check --json` or `inoc classifier check --json` "
		                     "printed, or a list of such files");
	json_object_del(settings, "checked");
	if (!inoci_settings_judged(settings))
		return inoci_err_set(err, INOC_E_USAGE,
		                     "\"checked\" is for judges and classifiers, and there is none in this scorer");
	return 0;
}

static int keep(inoci_store *s, const inoci_experiment *e, const inoci_scorer_spec *x, const inoci_scorer_env *env, inoc_err *err)
{
	inoci_scorer *scorer = NULL;
	inoci_checked c;
	int rc = inoci_scorer_new_in(x->name, x->settings, env, &scorer, err);
	if (rc == 0) rc = inoci_scorer_checked(scorer, x->checked, x->n_checked, &c, err);
	inoci_scorer_free(scorer);
	if (rc < 0) return inoci_err_prefix(err, "scorer '%s'", x->name), rc;
	json_t *j = inoci_checked_json(&c);
	char *text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
	inoci_hash key = inoci_hash_bytes(text, strlen(text));
	rc = inoci_store_exec(s, err, "INSERT OR REPLACE INTO analysis(key, value) VALUES(?,?)", "ss", key.hex, text);
	if (rc >= 0) /* of no seed: an arm of the scorer's name may lose its own rows */
		rc = inoci_store_exec(s, err,
		                      "INSERT OR REPLACE INTO link_analysis(experiment, part, arm, seed, key)"
		                      " VALUES(?,'" PART "',?,-1,?)",
		                      "sss", e->name, x->name, key.hex);
	json_decref(j);
	free(text);
	return rc;
}

int inoci_checks_record(inoci_store *s, const inoci_experiment *e, const inoci_scorer_env *env, inoc_err *err)
{
	int rc = inoci_store_exec(s, err, "DELETE FROM link_analysis WHERE experiment = ? AND part = '" PART "'", "s", e->name);
	for (size_t i = 0; i < e->n_scorers && rc >= 0; i++)
		if (inoci_settings_judged(e->scorers[i].settings)) rc = keep(s, e, &e->scorers[i], env, err);
	return rc < 0 ? rc : 0;
}

int inoci_checks_load(inoci_store *s, inoci_results *r, inoc_err *err)
{
	sqlite3_stmt *st;
	r->checked = inoci_arena_alloc(r->arena, ((size_t)r->n_scorers + 1) * sizeof *r->checked);
	for (size_t i = 0; i < (size_t)r->n_scorers; i++) {
		bool judged = i < r->e->n_scorers && inoci_settings_judged(r->e->scorers[i].settings);
		r->checked[i] = (inoci_checked){.n_judges = judged, .n_unchecked = judged};
	}
	if (s->schema < 3) return 0;
	int rc = inoci_store_query(s, &st, err,
	                           "SELECT l.arm, a.value FROM link_analysis l JOIN analysis a ON a.key = l.key"
	                           " WHERE l.experiment = ? AND l.part = '" PART "'",
	                           "s", r->e->name);
	if (rc < 0) return rc;
	while ((rc = inoci_store_step(s, st, err)) > 0) {
		int k = inoci_experiment_scorer(r->e, (const char *)sqlite3_column_text(st, 0));
		json_t *j = json_loads((const char *)sqlite3_column_text(st, 1), 0, NULL);
		if (k >= 0 && j && r->checked[k].n_judges) r->checked[k] = inoci_checked_read(j);
		json_decref(j);
	}
	sqlite3_finalize(st);
	return rc;
}
