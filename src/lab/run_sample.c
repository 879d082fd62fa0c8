/* The answers of one (arm, seed, evaluation), sampled or measured. Invariant: samples are linked to an evaluation when all of
 * them are there. */
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

#define COMMIT_S 1.0 /* samples are committed this often: what kill -9 may cost */

typedef struct {
	inoci_run_state *r;
	const inoci_wanted *w;
	const size_t *which; /* prompt numbers of those given to the sampler */
	const int64_t *prompt_id;
	int64_t adapter;
	sqlite3_stmt *insert;
} sample_ctx;

int inoci_sample_insert(inoci_store *s, sqlite3_stmt **out, inoc_err *err)
{
	return inoci_store_query(
	        s, out, err,
	        "INSERT OR IGNORE INTO sample(key, adapter, prompt, idx, text, finish, n_tokens, logprob, logprobs, ids)"
	        " VALUES(?,?,?,?,?,?,?,?,?,?)",
	        "");
}

int inoci_sample_add(inoci_store *store, sqlite3_stmt *st, const inoci_new_sample *x, inoc_err *err)
{
	double sum = 0;
	for (int i = 0; i < x->n; i++) sum += (double)x->logprob[i];
	int rc = inoci_store_begin(store, err);
	if (rc < 0) return rc;
	sqlite3_reset(st);
	sqlite3_bind_text(st, 1, x->key, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, x->adapter);
	sqlite3_bind_int64(st, 3, x->prompt);
	sqlite3_bind_int(st, 4, x->index);
	sqlite3_bind_blob64(st, 5, x->text && x->text_n ? x->text : "", x->text_n, SQLITE_STATIC);
	sqlite3_bind_int(st, 6, (int)x->finish);
	sqlite3_bind_int(st, 7, x->n);
	sqlite3_bind_double(st, 8, sum);
	sqlite3_bind_blob64(st, 9, x->logprob && x->n ? (const void *)x->logprob : "", (size_t)x->n * sizeof *x->logprob,
	                    SQLITE_STATIC);
	sqlite3_bind_blob64(st, 10, x->ids && x->n ? (const void *)x->ids : "", (size_t)x->n * sizeof *x->ids, SQLITE_STATIC);
	rc = inoci_store_step(store, st, err);
	sqlite3_reset(st);
	if (rc >= 0 && inoci_now_s() - store->tx_began > COMMIT_S) rc = inoci_store_commit(store, err);
	return rc < 0 ? rc : 0;
}

static int on_sample(void *ctx, const inoci_sampled *s, inoc_err *err)
{
	sample_ctx *c = ctx;
	size_t prompt = c->which[s->prompt];
	const inoci_new_sample x = {.key = c->w->key[prompt * (size_t)c->w->n + (size_t)s->index].hex,
	                            .adapter = c->adapter,
	                            .prompt = c->prompt_id[prompt],
	                            .index = s->index,
	                            .text = s->text,
	                            .text_n = s->text_n,
	                            .finish = (inoci_finish)s->end,
	                            .ids = s->ids,
	                            .logprob = s->logprob,
	                            .n = s->n_ids};
	return inoci_sample_add(c->r->store, c->insert, &x, err);
}

static int prompt_rows(inoci_run_state *r, const inoci_wanted *w, int64_t *id, inoc_err *err)
{
	for (size_t i = 0; i < w->prompts.n; i++) {
		const inoci_lab_prompt *p = &w->prompts.v[i];
		int rc = inoci_store_exec(r->store, err,
		                          "INSERT OR IGNORE INTO prompt(hash, question, text, item) VALUES(?,?,?,?)", "ssss",
		                          p->hash.hex, p->question, p->text, p->item);
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
	INOC_TRY(inoci_record_unlink_eval(r, arm, seed, name, err));
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

static int sample(inoci_run_state *r, const inoci_plan_item *item, int eval, inoci_adapter *a, sample_ctx *c, size_t n,
                  inoc_err *err)
{
	inoci_sample_settings s = r->e->evals[eval].sampling;
	inoci_prompt *prompts = inoci_alloc(n * sizeof *prompts);
	s.seed = item->seed;
	for (size_t i = 0; i < n; i++) {
		const inoci_lab_prompt *p = &c->w->prompts.v[c->which[i]];
		prompts[i] = (inoci_prompt){.ids = p->ids, .n = p->n, .key = p->key};
	}
	int rc = inoci_sample_insert(r->store, &c->insert, err);
	if (rc == 0) rc = inoci_sample(r->model, a, prompts, n, &s, on_sample, NULL, c, &r->overall.own, err);
	sqlite3_finalize(c->insert);
	free(prompts);
	return rc;
}

/* Samples, or measures, the n prompts c->which into the store. */
static int draw(inoci_run_state *r, const inoci_plan_item *item, int eval, inoci_adapter **a, sample_ctx *c, size_t n,
                inoc_err *err)
{
	const inoci_arm *arm = &r->e->arms[item->arm];
	const inoci_evaluation *ev = &r->e->evals[eval];
	inoc_err later = {0};
	char far[96];
	int rc;
	INOC_TRY(inoci_run_need_model(r, err));
	if (arm->train && !*a) INOC_TRY(inoci_run_load_adapter(r, c->adapter, a, err));
	if (arm->adapter && !*a) INOC_TRY(inoci_run_load_given(r, item->arm, a, err));
	inoci_overall_text(&r->overall, far, sizeof far);
	inoci_note(r->o->progress, "seed %llu, %s: %s %s%s%s", (unsigned long long)item->seed, arm->name,
	           ev->measure ? "measuring" : "sampling", ev->name, *far ? "; " : "", far);
	inoci_overall_begin(&r->overall, INOCI_WORK_SAMPLES, inoci_now_s());
	if (ev->measure)
		rc = inoci_run_measure(r, c->w, c->which, n, c->prompt_id, c->adapter, *a, err);
	else
		rc = sample(r, item, eval, *a, c, n, err);
	inoci_overall_end(&r->overall, (double)n * c->w->n);
	int kept = inoci_store_commit(r->store, rc < 0 ? &later : err); /* what is finished is kept, also when stopped */
	if (rc >= 0) rc = kept;
out:
	return rc < 0 ? rc : 0;
}

int inoci_run_evaluate(inoci_run_state *r, const inoci_plan_item *item, int eval, int64_t adapter, inoci_adapter **a,
                       inoc_err *err)
{
	const inoci_arm *arm = &r->e->arms[item->arm];
	inoci_wanted w;
	int64_t linked = 0, *ids = NULL;
	size_t *which = NULL, n = 0;
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
	c.which = which;
	c.prompt_id = ids;
	if (n) INOC_TRY(draw(r, item, eval, a, &c, n, err));
	INOC_TRY(link_samples(r, item, eval, &w, err));
out:
	if (rc < 0) inoci_store_rollback(r->store);
	free(ids), free(which);
	inoci_wanted_free(&w);
	return rc < 0 ? rc : 0;
}
