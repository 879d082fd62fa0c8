/* Why answers have no score of a judge: its replies are in the store, and are read again as they were when the answer was scored.
 *
 * Invariant: nothing is asked; a reply that is not in the store leaves its reason unknown.
 */
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

static bool has_judge(const json_t *j)
{
	const char *type = json_string_value(json_object_get(j, "type")), *key;
	size_t i;
	json_t *v;
	if (type && !strcmp(type, "judge")) return true;
	json_array_foreach(j, i, v) if (has_judge(v)) return true;
	json_object_foreach((json_t *)(uintptr_t)j, key, v) if (has_judge(v)) return true;
	return false;
}

static int recall(void *ctx, const char *key, char **reply, inoc_err *err)
{
	const inoci_judge_memory *kept = ctx;
	int rc = kept->recall(kept->ctx, key, reply, err);
	return rc ? rc : inoci_err_set(err, INOC_E_STORE, "the judge's reply is not in the store");
}

static int remember(void *ctx, const char *key, const char *reply, inoc_err *err)
{
	(void)ctx, (void)key, (void)reply, (void)err;
	INOC_BUG_IF(true); /* nothing is asked */
	return 0;
}

/* The first judge that gave no number; INOCI_JUDGE_SCORED: none did, or it is not known. */
static inoci_judge_miss reason_of(inoci_scorer *s, const inoci_answer *a)
{
	inoci_judge_miss found = INOCI_JUDGE_SCORED;
	inoc_err ignored = {0};
	double value;
	json_t *counts = json_array(), *c;
	size_t i;
	if (inoci_scorer_apply(s, a, &value, &ignored) == 0) inoci_scorer_report(s, NULL, counts);
	json_array_foreach(counts, i, c) for (inoci_judge_miss m = INOCI_JUDGE_SCORED + 1; m < INOCI_JUDGE_N_MISS && !found;
	                                      m++) if (json_integer_value(json_object_get(json_object_get(c, "missing"),
	                                                                                  inoci_judge_miss_name(m)))) found = m;
	json_decref(counts);
	return found;
}

static inoci_miss *row_of(inoci_results *r, int arm, int eval, int scorer)
{
	inoci_miss *last = r->n_misses ? &r->misses[r->n_misses - 1] : NULL;
	if (last && last->arm == arm && last->eval == eval && last->scorer == scorer) return last;
	r->misses = inoci_realloc(r->misses, (r->n_misses + 1) * sizeof *r->misses);
	last = &r->misses[r->n_misses++];
	*last = (inoci_miss){.arm = arm, .eval = eval, .scorer = scorer};
	return last;
}

static int of_scorer(inoci_store *s, inoci_results *r, int scorer, int64_t id, inoci_scorer *judge, inoc_err *err)
{
	sqlite3_stmt *st;
	int rc = inoci_store_query(
	        s, &st, err,
	        "SELECT l.arm, l.evaluation, a.text, a.finish, b.question, b.item FROM score c JOIN sample a ON a.id = c.sample"
	        " JOIN prompt b ON b.id = a.prompt JOIN link_sample l ON l.sample = a.id"
	        " WHERE c.scorer = ? AND c.value IS NULL AND l.experiment = ? GROUP BY l.arm, l.evaluation, a.id",
	        "is", id, r->e->name);
	if (rc < 0) return rc;
	while ((rc = inoci_store_step(s, st, err)) > 0) {
		int arm = inoci_experiment_arm(r->e, (const char *)sqlite3_column_text(st, 0)),
		    eval = inoci_experiment_eval(r->e, (const char *)sqlite3_column_text(st, 1));
		if (arm < 0 || eval < 0 || !inoci_results_fits(r, scorer, eval)) continue;
		const char *item = (const char *)sqlite3_column_text(st, 5), *text = sqlite3_column_blob(st, 2);
		json_t *fields = item ? json_loads(item, 0, NULL) : NULL;
		const inoci_answer a = {.question = (const char *)sqlite3_column_text(st, 4),
		                        .text = text ? text : "",
		                        .n = (size_t)sqlite3_column_bytes(st, 2),
		                        .finish = (inoci_finish)sqlite3_column_int(st, 3),
		                        .item = fields};
		inoci_miss *m = row_of(r, arm, eval, scorer);
		m->n++;
		m->reason[reason_of(judge, &a)]++;
		json_decref(fields);
	}
	sqlite3_finalize(st);
	return rc;
}

int inoci_misses_load(inoci_store *s, inoci_results *r, const int64_t *ids, inoc_err *err)
{
	inoci_judge_memory kept = inoci_store_memory(s);
	const inoci_scorer_env env = {.dir = r->e->dir, .memory = {.recall = recall, .remember = remember, .ctx = &kept}};
	if (s->schema < 3 || !kept.recall) return 0;
	for (int k = 0; k < r->n_scorers; k++) {
		sqlite3_stmt *st;
		json_t *settings = NULL;
		inoci_scorer *judge = NULL;
		inoc_err gone = {0};
		if (ids[k] < 0) continue;
		int rc = inoci_store_query(s, &st, err, "SELECT settings FROM scorer WHERE id = ?", "i", ids[k]);
		if (rc < 0) return rc;
		if ((rc = inoci_store_step(s, st, err)) > 0)
			settings = json_loads((const char *)sqlite3_column_text(st, 0), JSON_DECODE_ANY, NULL);
		sqlite3_finalize(st);
		if (rc >= 0 && has_judge(settings) && inoci_scorer_new_in(r->scorers[k], settings, &env, &judge, &gone) == 0)
			rc = of_scorer(s, r, k, ids[k], judge, err);
		inoci_scorer_free(judge);
		json_decref(settings);
		if (rc < 0) return rc;
	}
	return 0;
}
