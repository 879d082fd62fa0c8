/* The answers of one (arm, seed): those of all evaluations are sampled in one call, so that few sequences are left over; then
 * log-probabilities are measured. Invariant: samples are linked to an evaluation when all of them are there. */
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

enum { NAMED = 3 };  /* evaluations in a message */
#define COMMIT_S 1.0 /* samples are committed this often: what kill -9 may cost */

/* One evaluation. */
typedef struct {
	int eval;
	inoci_wanted w;
	int64_t *prompt_id; /* (w.prompts.n) rows */
	size_t *which, n;   /* prompts of which some sample is missing */
	inoci_sample_settings settings;
} part;

typedef struct {
	inoci_run_state *r;
	const inoci_plan_item *item;
	int64_t adapter;
	part *parts;
	size_t n_parts;
	const part **part_of; /* of each prompt given to the sampler, and its number there */
	size_t *number;
	sqlite3_stmt *insert;
} evaluating;

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
	evaluating *c = ctx;
	const part *p = c->part_of[s->prompt];
	size_t number = c->number[s->prompt];
	const inoci_new_sample x = {.key = p->w.key[number * (size_t)p->w.n + (size_t)s->index].hex,
	                            .adapter = c->adapter,
	                            .prompt = p->prompt_id[number],
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

/* Prompts of which some sample is missing, one of each content: not those whose last sample is among `asked`. */
static int missing_prompts(inoci_run_state *r, part *p, inoci_key_set *asked, inoc_err *err)
{
	sqlite3_stmt *st;
	const inoci_wanted *w = &p->w;
	int rc = inoci_store_query(r->store, &st, err, "SELECT 1 FROM sample WHERE key = ?", "");
	for (size_t i = 0; i < w->prompts.n && rc >= 0; i++) {
		const inoci_hash *key = &w->key[i * (size_t)w->n];
		bool all = true;
		for (int k = 0; k < w->n && all && rc >= 0; k++) {
			sqlite3_bind_text(st, 1, key[k].hex, -1, SQLITE_STATIC);
			rc = inoci_store_step(r->store, st, err);
			all = rc > 0;
			sqlite3_reset(st);
		}
		if (rc >= 0 && !all && inoci_key_set_add(asked, &key[w->n - 1])) p->which[p->n++] = i;
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

/* ---- the whole ---- */

/* Nothing is opened where all samples are linked. */
static int open_part(evaluating *c, int eval, inoci_key_set *asked, inoc_err *err)
{
	inoci_run_state *r = c->r;
	int64_t linked = 0;
	part *p = &c->parts[c->n_parts];
	*p = (part){.eval = eval, .settings = r->e->evals[eval].sampling};
	p->settings.seed = c->item->seed;
	int rc = inoci_run_wanted(r, c->item->arm, eval, c->item->seed, c->item->key, &p->w, err);
	if (rc < 0) return rc;
	INOC_TRY(inoci_store_int(
	        r->store, &linked, err,
	        "SELECT 1 FROM link_eval WHERE experiment = ? AND arm = ? AND seed = ? AND evaluation = ? AND key = ?", "ssiss",
	        r->e->name, r->e->arms[c->item->arm].name, (int64_t)c->item->seed, r->e->evals[eval].name, p->w.all.hex));
	if (linked) goto out;
	p->prompt_id = inoci_alloc((p->w.prompts.n + 1) * sizeof *p->prompt_id);
	p->which = inoci_alloc((p->w.prompts.n + 1) * sizeof *p->which);
	c->n_parts++;
	INOC_TRY(inoci_store_begin(r->store, err));
	INOC_TRY(prompt_rows(r, &p->w, p->prompt_id, err));
	INOC_TRY(inoci_store_commit(r->store, err));
	INOC_TRY(missing_prompts(r, p, asked, err));
out:
	if (!p->which) inoci_wanted_free(&p->w);
	if (rc < 0) inoci_store_rollback(r->store);
	return rc < 0 ? rc : 0;
}

static int sample(evaluating *c, const part *const *parts, size_t n_parts, inoci_adapter *a, inoc_err *err)
{
	size_t n = 0, cap = 0;
	for (size_t i = 0; i < n_parts; i++) cap += parts[i]->n;
	inoci_prompt *prompts = inoci_alloc((cap + 1) * sizeof *prompts);
	c->part_of = inoci_alloc((cap + 1) * sizeof(part *));
	c->number = inoci_alloc((cap + 1) * sizeof *c->number);
	for (size_t i = 0; i < n_parts; i++)
		for (size_t k = 0; k < parts[i]->n; k++, n++) {
			const inoci_lab_prompt *p = &parts[i]->w.prompts.v[parts[i]->which[k]];
			prompts[n] = (inoci_prompt){.ids = p->ids, .n = p->n, .key = p->key, .settings = &parts[i]->settings};
			c->part_of[n] = parts[i];
			c->number[n] = parts[i]->which[k];
		}
	int rc = inoci_sample_insert(c->r->store, &c->insert, err);
	if (rc == 0)
		rc = inoci_sample(c->r->model, a, prompts, n, &parts[0]->settings, on_sample, NULL, c, &c->r->overall.own, err);
	sqlite3_finalize(c->insert);
	free(prompts), free(c->part_of), free(c->number);
	return rc;
}

/* What is missing of these parts, all sampled or one that is measured, into the store. */
static int draw(evaluating *c, const part *const *parts, size_t n_parts, inoci_adapter **a, inoc_err *err)
{
	inoci_run_state *r = c->r;
	const inoci_arm *arm = &r->e->arms[c->item->arm];
	const bool measure = n_parts && r->e->evals[parts[0]->eval].measure;
	inoc_err later = {0};
	inoci_buf names = {0};
	char far[96];
	double n = 0;
	int rc;
	for (size_t i = 0; i < n_parts; i++) n += (double)parts[i]->n * parts[i]->w.n;
	if (n == 0) return 0;
	INOC_TRY(inoci_run_need_model(r, err));
	if (arm->train && !*a) INOC_TRY(inoci_run_load_adapter(r, c->adapter, a, err));
	if (arm->adapter && !*a) INOC_TRY(inoci_run_load_given(r, c->item->arm, a, err));
	inoci_overall_text(&r->overall, far, sizeof far);
	for (size_t i = 0; i < n_parts && i < NAMED; i++)
		inoci_buf_printf(&names, "%s%s", i ? ", " : "", r->e->evals[parts[i]->eval].name);
	if (n_parts > NAMED) inoci_buf_printf(&names, " and %zu more", n_parts - NAMED);
	inoci_note(r->o->progress, "seed %llu, %s: %s %s%s%s", (unsigned long long)c->item->seed, arm->name,
	           measure ? "measuring" : "sampling", names.data, *far ? "; " : "", far);
	inoci_overall_begin(&r->overall, INOCI_WORK_SAMPLES, inoci_now_s());
	if (measure)
		rc = inoci_run_measure(r, &parts[0]->w, parts[0]->which, parts[0]->n, parts[0]->prompt_id, c->adapter, *a, err);
	else
		rc = sample(c, parts, n_parts, *a, err);
	inoci_overall_end(&r->overall, n);
	int kept = inoci_store_commit(r->store, rc < 0 ? &later : err); /* what is finished is kept, also when stopped */
	if (rc >= 0) rc = kept;
out:
	inoci_buf_free(&names);
	return rc < 0 ? rc : 0;
}

int inoci_run_evaluate(inoci_run_state *r, const inoci_plan_item *item, int64_t adapter, inoci_adapter **a, inoc_err *err)
{
	const inoci_experiment *e = r->e;
	evaluating c = {.r = r, .item = item, .adapter = adapter, .parts = inoci_alloc((e->n_evals + 1) * sizeof(part))};
	const part **sampled = inoci_alloc((e->n_evals + 1) * sizeof *sampled);
	size_t n = 0;
	inoci_key_set asked = {0};
	int rc = 0;
	for (size_t v = 0; v < e->n_evals; v++)
		if (inoci_experiment_wants(e, item->arm, (int)v)) INOC_TRY(open_part(&c, (int)v, &asked, err));
	for (size_t i = 0; i < c.n_parts; i++)
		if (!e->evals[c.parts[i].eval].measure && c.parts[i].n) sampled[n++] = &c.parts[i];
	INOC_TRY(draw(&c, sampled, n, a, err));
	for (size_t i = 0; i < c.n_parts; i++) {
		const part *p = &c.parts[i];
		if (inoci_stopped(r->o->progress)) {
			rc = inoci_err_set(err, INOC_E_STOPPED, "stopped before %s of arm %s", e->evals[p->eval].name,
			                   e->arms[item->arm].name);
			goto out;
		}
		if (e->evals[p->eval].measure) INOC_TRY(draw(&c, &p, 1, a, err));
		INOC_TRY(link_samples(r, item, p->eval, &p->w, err));
	}
out:
	free(asked.v);
	for (size_t i = 0; i < c.n_parts; i++) {
		inoci_wanted_free(&c.parts[i].w);
		free(c.parts[i].which), free(c.parts[i].prompt_id);
	}
	free(c.parts), free(sampled);
	return rc < 0 ? rc : 0;
}
