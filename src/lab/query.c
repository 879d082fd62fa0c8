/* Reading results: one consistent view of an experiment's samples, scores and adapters, also while a run writes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

static char *keep(inoci_results *r, const void *s, size_t n)
{
	return inoci_arena_strndup(r->arena, s ? s : "", s ? n : 0);
}

static char *keep_text(inoci_results *r, sqlite3_stmt *st, int col)
{
	const char *t = (const char *)sqlite3_column_text(st, col);
	return t ? keep(r, t, strlen(t)) : NULL;
}

static int seed_index(const inoci_results *r, uint64_t seed)
{
	for (int i = 0; i < r->n_seeds; i++)
		if (r->seeds[i] == seed) return i;
	return -1;
}

static double column_dbl(sqlite3_stmt *st, int col)
{
	return sqlite3_column_type(st, col) == SQLITE_NULL ? NAN : sqlite3_column_double(st, col);
}

static int load_seeds(inoci_store *s, inoci_results *r, inoc_err *err)
{
	sqlite3_stmt *st;
	int rc = inoci_store_query(
	        s, &st, err,
	        "SELECT seed FROM link_adapter WHERE experiment = ?1 UNION SELECT seed FROM link_sample WHERE experiment = ?1"
	        " ORDER BY seed",
	        "s", r->e->name);
	if (rc < 0) return rc;
	while ((rc = inoci_store_step(s, st, err)) > 0) {
		r->seeds = inoci_realloc(r->seeds, ((size_t)r->n_seeds + 1) * sizeof *r->seeds);
		r->seeds[r->n_seeds++] = (uint64_t)sqlite3_column_int64(st, 0);
	}
	sqlite3_finalize(st);
	return rc;
}

static int load_metrics(inoci_store *s, int64_t adapter, inoci_result_adapter *a, inoc_err *err)
{
	sqlite3_stmt *st;
	size_t cap = 0;
	int rc = inoci_store_query(s, &st, err,
	                           "SELECT step, steps, lr, loss, grad_norm, val_loss, tokens, loss_tokens FROM metric WHERE "
	                           "adapter = ? ORDER BY step",
	                           "i", adapter);
	if (rc < 0) return rc;
	while ((rc = inoci_store_step(s, st, err)) > 0) {
		if (a->n_metrics == cap) a->metrics = inoci_realloc(a->metrics, (cap = cap ? 2 * cap : 64) * sizeof *a->metrics);
		a->metrics[a->n_metrics++] = (inoci_metric){.step = sqlite3_column_int(st, 0),
		                                            .steps = sqlite3_column_int(st, 1),
		                                            .lr = column_dbl(st, 2),
		                                            .loss = column_dbl(st, 3),
		                                            .grad_norm = column_dbl(st, 4),
		                                            .val_loss = column_dbl(st, 5),
		                                            .tokens = (long)sqlite3_column_int64(st, 6),
		                                            .loss_tokens = (long)sqlite3_column_int64(st, 7)};
	}
	sqlite3_finalize(st);
	return rc;
}

/* As the training loop chooses: with patience the first step of the least validation loss, else the last step. */
static void find_saved(inoci_result_adapter *a)
{
	json_t *config = a->config ? json_loads(a->config, 0, NULL) : NULL;
	bool best = json_integer_value(json_object_get(config, "patience")) > 0;
	a->saved_step = a->steps;
	a->val_loss = NAN;
	for (size_t i = 0; i < a->n_metrics; i++) {
		const inoci_metric *m = &a->metrics[i];
		if (isnan(m->val_loss) || (best && m->val_loss >= a->val_loss) || (!best && m->step != a->steps)) continue;
		a->saved_step = m->step;
		a->val_loss = m->val_loss;
	}
	json_decref(config);
}

static int load_adapters(inoci_store *s, inoci_results *r, inoc_err *err)
{
	sqlite3_stmt *st;
	r->adapters = inoci_alloc((r->e->n_arms * (size_t)r->n_seeds + 1) * sizeof *r->adapters);
	int rc = inoci_store_query(
	        s, &st, err,
	        "SELECT l.arm, l.seed, a.id, a.key, a.hash, a.dir, a.steps, a.early_stopped, a.seconds, a.final_loss, a.tokens,"
	        " a.n_train, a.n_val, a.n_dropped, a.n_inoculated, a.first_text, a.config"
	        " FROM link_adapter l JOIN adapter a ON a.id = l.adapter WHERE l.experiment = ? AND a.done = 1",
	        "s", r->e->name);
	if (rc < 0) return rc;
	while ((rc = inoci_store_step(s, st, err)) > 0) {
		int arm = inoci_experiment_arm(r->e, (const char *)sqlite3_column_text(st, 0));
		int seed = seed_index(r, (uint64_t)sqlite3_column_int64(st, 1));
		if (arm < 0 || seed < 0) continue;
		char *dir = keep_text(r, st, 5);
		if (dir) { /* stored relative to the store, so that the folder can be moved */
			char *home = inoci_path_dir(s->path), *full = inoci_path_join(home, dir);
			dir = keep(r, full, strlen(full));
			free(home);
			free(full);
		}
		inoci_result_adapter *a = &r->adapters[(size_t)arm * (size_t)r->n_seeds + (size_t)seed];
		*a = (inoci_result_adapter){.present = true,
		                            .key = keep_text(r, st, 3),
		                            .hash = keep_text(r, st, 4),
		                            .dir = dir,
		                            .steps = sqlite3_column_int(st, 6),
		                            .early_stopped = sqlite3_column_int(st, 7) != 0,
		                            .seconds = column_dbl(st, 8),
		                            .final_loss = column_dbl(st, 9),
		                            .tokens = (long)sqlite3_column_int64(st, 10),
		                            .n_train = (size_t)sqlite3_column_int64(st, 11),
		                            .n_val = (size_t)sqlite3_column_int64(st, 12),
		                            .n_dropped = (size_t)sqlite3_column_int64(st, 13),
		                            .n_inoculated = (size_t)sqlite3_column_int64(st, 14),
		                            .first_text = keep_text(r, st, 15),
		                            .config = keep_text(r, st, 16)};
		if ((rc = load_metrics(s, sqlite3_column_int64(st, 2), a, err)) < 0) break;
		find_saved(a);
	}
	sqlite3_finalize(st);
	return rc;
}

static int load_samples(inoci_store *s, inoci_results *r, unsigned flags, size_t *n_all, inoc_err *err)
{
	sqlite3_stmt *st;
	size_t *cap = inoci_alloc((r->e->n_arms * r->e->n_evals + 1) * sizeof *cap);
	int rc = inoci_store_query(
	        s, &st, err,
	        "SELECT l.arm, l.evaluation, l.seed, l.prompt_no, l.idx, a.id, p.question, p.text, a.text, a.finish, a.n_tokens,"
	        " a.logprob, a.logprobs FROM link_sample l JOIN sample a ON a.id = l.sample JOIN prompt p ON p.id = a.prompt"
	        " WHERE l.experiment = ? ORDER BY l.arm, l.seed, l.evaluation, l.prompt_no, l.idx",
	        "s", r->e->name);
	if (rc < 0) goto out;
	r->cells = inoci_alloc((r->e->n_arms * r->e->n_evals + 1) * sizeof *r->cells);
	while ((rc = inoci_store_step(s, st, err)) > 0) {
		int arm = inoci_experiment_arm(r->e, (const char *)sqlite3_column_text(st, 0));
		int eval = inoci_experiment_eval(r->e, (const char *)sqlite3_column_text(st, 1));
		if (arm < 0 || eval < 0) continue;
		size_t k = (size_t)arm * r->e->n_evals + (size_t)eval;
		inoci_result_cell *c = &r->cells[k];
		if (c->n == cap[k]) c->v = inoci_realloc(c->v, (cap[k] = cap[k] ? 2 * cap[k] : 64) * sizeof *c->v);
		inoci_result_sample *x = &c->v[c->n++];
		*x = (inoci_result_sample){.id = sqlite3_column_int64(st, 5),
		                           .seed = seed_index(r, (uint64_t)sqlite3_column_int64(st, 2)),
		                           .prompt = sqlite3_column_int(st, 3),
		                           .index = sqlite3_column_int(st, 4),
		                           .question = keep_text(r, st, 6),
		                           .rendered = keep_text(r, st, 7),
		                           .finish = (inoci_finish)sqlite3_column_int(st, 9),
		                           .n_tokens = sqlite3_column_int(st, 10),
		                           .logprob = column_dbl(st, 11)};
		const void *text = sqlite3_column_blob(st, 8);
		x->text_n = (size_t)sqlite3_column_bytes(st, 8);
		x->text = keep(r, text, x->text_n);
		if (!x->question) x->question = "";
		if (!x->rendered) x->rendered = "";
		const void *lp = sqlite3_column_blob(st, 12);
		size_t bytes = (size_t)sqlite3_column_bytes(st, 12);
		if ((flags & INOCI_LOAD_LOGPROBS) && lp && bytes == (size_t)x->n_tokens * sizeof(float)) {
			float *copy = inoci_arena_alloc(r->arena, bytes);
			memcpy(copy, lp, bytes);
			x->logprobs = copy;
		}
		x->score = inoci_arena_alloc(r->arena, ((size_t)r->n_scorers + 1) * sizeof *x->score);
		for (int i = 0; i < r->n_scorers; i++) x->score[i] = NAN;
		if (x->prompt >= c->n_prompts) c->n_prompts = x->prompt + 1;
		(*n_all)++;
	}
	sqlite3_finalize(st);
out:
	free(cap);
	return rc;
}

static int by_id(const void *a, const void *b)
{
	int64_t x = (*(inoci_result_sample *const *)a)->id, y = (*(inoci_result_sample *const *)b)->id;
	return (x > y) - (x < y);
}

static int load_scores(inoci_store *s, inoci_results *r, const int64_t *scorer_id, size_t n_all, inoc_err *err)
{
	int rc = 0;
	inoci_result_sample **all = inoci_alloc((n_all + 1) * sizeof *all);
	size_t n = 0;
	for (size_t c = 0; c < r->e->n_arms * r->e->n_evals; c++)
		for (size_t i = 0; i < r->cells[c].n; i++) all[n++] = &r->cells[c].v[i];
	qsort(all, n, sizeof *all, by_id);
	for (int k = 0; k < r->n_scorers && rc >= 0; k++) {
		sqlite3_stmt *st;
		size_t at = 0;
		if (scorer_id[k] < 0) continue;
		if ((rc = inoci_store_query(s, &st, err, "SELECT sample, value FROM score WHERE scorer = ? ORDER BY sample", "i",
		                            scorer_id[k])) < 0)
			break;
		while ((rc = inoci_store_step(s, st, err)) > 0) {
			int64_t id = sqlite3_column_int64(st, 0);
			while (at < n && all[at]->id < id) at++;
			for (; at < n && all[at]->id == id; at++) all[at]->score[k] = column_dbl(st, 1);
		}
		sqlite3_finalize(st);
	}
	free(all);
	return rc;
}

/* The scorer that was recorded under this name with these very settings; *id stays where there is none. */
static int recorded_scorer(inoci_store *s, const inoci_experiment *e, size_t k, int64_t *id, inoc_err *err)
{
	char *text = json_dumps(e->scorers[k].settings, JSON_SORT_KEYS | JSON_ENCODE_ANY);
	int rc = inoci_store_int(s, id, err,
	                         "SELECT s.id FROM scorer_name n JOIN scorer s ON s.id = n.scorer"
	                         " WHERE n.experiment = ? AND n.name = ? AND n.position < 1000 AND s.settings = ?",
	                         "sss", e->name, e->scorers[k].name, text);
	free(text);
	return rc < 0 ? rc : 0;
}

#define ADDED                                                                         \
	" FROM scorer_name n JOIN scorer s ON s.id = n.scorer WHERE n.experiment = ?" \
	" AND n.position >= 1000 ORDER BY n.name"

static int load_scorers(inoci_store *s, inoci_results *r, int64_t **ids, inoc_err *err)
{
	sqlite3_stmt *st = NULL;
	int rc = 0;
	size_t n = r->e->n_scorers;
	const inoci_scorer_env env = {.dir = r->e->dir};
	*ids = inoci_alloc((n + 1) * sizeof **ids);
	r->scorers = inoci_alloc((n + 1) * sizeof *r->scorers);
	r->real = inoci_alloc((n + 1) * sizeof *r->real);
	r->on = inoci_alloc((n + 1) * sizeof *r->on);
	for (size_t i = 0; i < n; i++) {
		inoci_scorer *probe = NULL;
		r->scorers[r->n_scorers] = keep(r, r->e->scorers[i].name, strlen(r->e->scorers[i].name));
		const char *on = r->e->scorers[i].on;
		r->real[i] = r->e->scorers[i].real;
		r->on[i] = on ? keep(r, on, strlen(on)) : NULL;
		int64_t *id = &(*ids)[r->n_scorers++];
		*id = -1;
		if (inoci_scorer_new_in(r->e->scorers[i].name, r->e->scorers[i].settings, &env, &probe, NULL) == 0) {
			inoci_hash key = inoci_scorer_key(probe);
			inoci_scorer_free(probe);
			INOC_TRY(inoci_store_int(s, id, err, "SELECT id FROM scorer WHERE key = ?", "s", key.hex));
		}
		/* a program or a file that has changed since, or is not here: what the run scored with it */
		if (*id < 0) INOC_TRY(recorded_scorer(s, r->e, i, id, err));
		if (!r->e->scorers[i].added) continue;
		/* of a store from before it was added: nothing is missing there */
		int64_t scored = 0;
		INOC_TRY(inoci_store_int(s, &scored, err,
		                         "SELECT 1 FROM scorer_name WHERE experiment = ? AND name = ? AND scorer = ?", "ssi",
		                         r->e->name, r->e->scorers[i].name, *id));
		if (!scored) r->on[i] = keep(r, ",", 1);
	}
	INOC_TRY(inoci_store_query(s, &st, err,
	                           s->schema < 3 ? "SELECT n.name, n.scorer, s.settings, NULL" ADDED
	                                         : "SELECT n.name, n.scorer, s.settings, n.evaluations" ADDED,
	                           "s", r->e->name));
	while ((rc = inoci_store_step(s, st, err)) > 0) {
		char *name = keep_text(r, st, 0);
		if (inoci_results_scorer(r, name) >= 0) continue;
		r->scorers = inoci_realloc(r->scorers, ((size_t)r->n_scorers + 1) * sizeof *r->scorers);
		r->on = inoci_realloc(r->on, ((size_t)r->n_scorers + 1) * sizeof *r->on);
		r->on[r->n_scorers] = keep_text(r, st, 3);
		r->real = inoci_realloc(r->real, ((size_t)r->n_scorers + 1) * sizeof *r->real);
		*ids = inoci_realloc(*ids, ((size_t)r->n_scorers + 1) * sizeof **ids);
		json_t *settings = json_loads((const char *)sqlite3_column_text(st, 2), JSON_DECODE_ANY, NULL);
		r->real[r->n_scorers] = inoci_scorer_settings_real(settings);
		json_decref(settings);
		(*ids)[r->n_scorers] = sqlite3_column_int64(st, 1);
		r->scorers[r->n_scorers++] = name;
	}
out:
	sqlite3_finalize(st);
	return rc;
}

/* ---- what scorers say of which evaluation ---- */

/* The values of a scorer with `change: ARM` become differences to that arm's on the same item and seed (the mean of its values
 * there); NaN where it has none. arm < 0: it is not there. */
static void take_change(inoci_results *r, int scorer, int arm)
{
	r->by_seed[scorer] = arm >= 0 && r->e->arms[arm].train;
	for (size_t v = 0; v < r->e->n_evals; v++) {
		const inoci_result_cell *b = arm >= 0 ? inoci_results_cell(r, arm, (int)v) : &(inoci_result_cell){0};
		size_t of_seed = (size_t)b->n_prompts;
		double *sum = inoci_alloc(((size_t)r->n_seeds * of_seed + 1) * sizeof *sum),
		       *n = inoci_alloc(((size_t)r->n_seeds * of_seed + 1) * sizeof *n);
		for (size_t i = 0; i < b->n; i++) {
			size_t at = (size_t)b->v[i].seed * of_seed + (size_t)b->v[i].prompt;
			sum[at] += b->v[i].score[scorer], n[at]++;
		}
		for (size_t a = 0; a < r->e->n_arms; a++) {
			const inoci_result_cell *c = inoci_results_cell(r, (int)a, (int)v);
			for (size_t i = 0; i < c->n; i++) {
				size_t p = (size_t)c->v[i].prompt, at = (size_t)c->v[i].seed * of_seed + p;
				c->v[i].score[scorer] -= p < of_seed && n[at] > 0 ? sum[at] / n[at] : NAN;
			}
		}
		free(sum), free(n);
	}
}

static int load_fits(inoci_store *s, inoci_results *r, const int64_t *ids, inoc_err *err)
{
	r->by_seed = inoci_alloc(((size_t)r->n_scorers + 1) * sizeof *r->by_seed);
	for (size_t k = 0; k < r->e->n_scorers; k++)
		if (r->e->scorers[k].change) take_change(r, (int)k, inoci_experiment_arm(r->e, r->e->scorers[k].change));
	for (int k = (int)r->e->n_scorers; k < r->n_scorers; k++) { /* of `inoc score` */
		sqlite3_stmt *st;
		json_t *settings = NULL;
		inoci_scorer *scorer;
		inoc_err gone = {0};
		int rc = inoci_store_query(s, &st, err, "SELECT settings FROM scorer WHERE id = ?", "i", ids[k]);
		if (rc < 0) return rc;
		if ((rc = inoci_store_step(s, st, err)) > 0)
			settings = json_loads((const char *)sqlite3_column_text(st, 0), JSON_DECODE_ANY, NULL);
		sqlite3_finalize(st);
		if (rc < 0) return rc;
		rc = inoci_scorer_new(r->scorers[k], settings, &scorer, &gone);
		json_decref(settings);
		if (rc < 0) continue; /* cannot be made here any more */
		char *on = inoci_experiment_fitting(r->e, scorer, r->on[k]);
		r->on[k] = on ? keep(r, on, strlen(on)) : NULL;
		free(on);
		if (inoci_scorer_change(scorer)) take_change(r, k, inoci_experiment_change(r->e, scorer));
		inoci_scorer_free(scorer);
	}
	return 0;
}

static int load_runs(inoci_store *s, inoci_results *r, inoc_err *err)
{
	static const char
	        all[] = "SELECT started, ended, status, model_path, model_hash, template, dtype, ops, version, numerics,"
	                " request, provenance FROM run WHERE experiment = ? ORDER BY id",
	        old[] = "SELECT started, ended, status, model_path, model_hash, template, dtype, ops, version, numerics,"
	                " NULL, NULL FROM run WHERE experiment = ? ORDER BY id";
	sqlite3_stmt *st;
	int rc = inoci_store_query(s, &st, err, s->schema < 2 ? old : all, "s", r->e->name);
	if (rc < 0) return rc;
	while ((rc = inoci_store_step(s, st, err)) > 0) {
		r->runs = inoci_realloc(r->runs, (r->n_runs + 1) * sizeof *r->runs);
		r->runs[r->n_runs++] = (inoci_result_run){.started = keep_text(r, st, 0),
		                                          .ended = keep_text(r, st, 1),
		                                          .status = keep_text(r, st, 2),
		                                          .model_path = keep_text(r, st, 3),
		                                          .model_hash = keep_text(r, st, 4),
		                                          .template_name = keep_text(r, st, 5),
		                                          .dtype = keep_text(r, st, 6),
		                                          .ops = keep_text(r, st, 7),
		                                          .version = keep_text(r, st, 8),
		                                          .numerics = sqlite3_column_int(st, 9),
		                                          .request = keep_text(r, st, 10),
		                                          .provenance = keep_text(r, st, 11)};
	}
	sqlite3_finalize(st);
	return rc;
}

int inoci_results_load(inoci_store *s, const inoci_experiment *e, unsigned flags, inoci_results **out, inoc_err *err)
{
	int rc;
	size_t n_all = 0;
	int64_t *ids = NULL;
	bool tx = false;
	inoci_results *r = inoci_alloc(sizeof *r);
	*out = NULL;
	r->e = e;
	r->arena = inoci_arena_new();
	r->store_path = inoci_strdup(s->path);
	if (sqlite3_get_autocommit(s->db)) {
		INOC_TRY(inoci_store_exec(s, err, "BEGIN", ""));
		tx = true;
	}
	INOC_TRY(load_seeds(s, r, err));
	INOC_TRY(load_scorers(s, r, &ids, err));
	INOC_TRY(load_adapters(s, r, err));
	INOC_TRY(load_samples(s, r, flags, &n_all, err));
	INOC_TRY(load_scores(s, r, ids, n_all, err));
	INOC_TRY(load_fits(s, r, ids, err));
	INOC_TRY(load_runs(s, r, err));
	INOC_TRY(inoci_misses_load(s, r, ids, err));
	INOC_TRY(inoci_checks_load(s, r, err));
	INOC_TRY(inoci_analysis_load(s, r, err));
	*out = r;
	r = NULL;
out:
	if (tx) sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
	free(ids);
	inoci_results_free(r);
	return rc < 0 ? rc : 0;
}

void inoci_results_free(inoci_results *r)
{
	if (!r) return;
	for (size_t i = 0; r->cells && i < r->e->n_arms * r->e->n_evals; i++) free(r->cells[i].v);
	for (size_t i = 0; r->adapters && i < r->e->n_arms * (size_t)r->n_seeds; i++) free(r->adapters[i].metrics);
	free(r->analysis.curves), free(r->cells), free(r->adapters), free(r->seeds), free(r->scorers), free(r->real),
	        free(r->by_seed), free(r->on), free(r->runs), free(r->misses), free(r->store_path);
	inoci_arena_free(r->arena);
	free(r);
}

const inoci_result_cell *inoci_results_cell(const inoci_results *r, int arm, int eval)
{
	return &r->cells[(size_t)arm * r->e->n_evals + (size_t)eval];
}

const inoci_result_adapter *inoci_results_adapter(const inoci_results *r, int arm, int seed)
{
	return &r->adapters[(size_t)arm * (size_t)r->n_seeds + (size_t)seed];
}

int inoci_results_scorer(const inoci_results *r, const char *name)
{
	for (int i = 0; i < r->n_scorers; i++)
		if (!strcmp(r->scorers[i], name)) return i;
	return -1;
}

bool inoci_results_real(const inoci_results *r, int scorer)
{
	bool any = false;
	if (scorer >= 0) return r->real && r->real[scorer];
	for (int k = 0; k < r->n_scorers && r->real; k++) any |= r->real[k];
	return any;
}

bool inoci_results_fits(const inoci_results *r, int scorer, int eval)
{
	return !r->on || inoci_experiment_applies(r->e, r->on[scorer], eval);
}

/* ---- scores for statistics ---- */

static int by_content(const void *a, const void *b)
{
	const inoci_result_sample *x = *(inoci_result_sample *const *)a, *y = *(inoci_result_sample *const *)b;
	if (x->prompt != y->prompt) return x->prompt < y->prompt ? -1 : 1;
	if (x->index != y->index) return x->index < y->index ? -1 : 1;
	if (x->id != y->id) return x->id < y->id ? -1 : 1;
	return (x->seed > y->seed) - (x->seed < y->seed);
}

inoci_scores inoci_results_scores(const inoci_results *r, int arm, int eval, const int *scorers, int n, int seed)
{
	inoci_scores out = {.n_seeds = seed < 0 ? r->n_seeds : 1, .seedless = !r->e->arms[arm].train};
	const inoci_result_cell *c = inoci_results_cell(r, arm, eval);
	/* what is for other evaluations is not missing here */
	for (int j = 0; j < n; j++)
		if (!inoci_results_fits(r, scorers[j], eval)) return out;
	const inoci_result_sample **v = inoci_alloc((c->n + 1) * sizeof *v);
	double *value = inoci_alloc((c->n + 1) * sizeof *value);
	for (int j = 0; j < n; j++) {
		out.real |= inoci_results_real(r, scorers[j]);
		if (r->by_seed && r->by_seed[scorers[j]]) out.seedless = false;
	}
	int *s = inoci_alloc((c->n + 1) * sizeof *s), *p = inoci_alloc((c->n + 1) * sizeof *p);
	size_t k = 0;
	for (size_t i = 0; i < c->n; i++)
		if (seed < 0 || c->v[i].seed == seed) v[k++] = &c->v[i];
	if (out.seedless) qsort(v, k, sizeof *v, by_content);
	for (size_t i = 0; i < k; i++) {
		const inoci_result_sample *x = v[i];
		if (out.seedless && i && v[i - 1]->id == x->id && v[i - 1]->prompt == x->prompt && v[i - 1]->index == x->index)
			continue;
		double sum = 0;
		for (int j = 0; j < n; j++) sum += x->score[scorers[j]];
		value[out.n] = sum;
		s[out.n] = seed < 0 ? x->seed : 0;
		p[out.n++] = x->prompt;
	}
	/* The same prompts stand in every arm of an evaluation, so the largest count serves all. */
	for (size_t a = 0; a < r->e->n_arms; a++) {
		int m = inoci_results_cell(r, (int)a, eval)->n_prompts;
		if (m > out.n_prompts) out.n_prompts = m;
	}
	out.value = value;
	out.seed = s;
	out.prompt = p;
	free(v);
	return out;
}

inoci_estimate inoci_results_mean(const inoci_results *r, const inoci_scores *s, uint64_t rng_seed, int n_boot)
{
	return r->ci == INOCI_CI_PAPER ? inoci_runs_ci(s, rng_seed) : inoci_mean_ci(s, rng_seed, n_boot);
}

void inoci_scores_free(inoci_scores *s)
{
	free((void *)s->value);
	free((void *)s->seed);
	free((void *)s->prompt);
	*s = (inoci_scores){0};
}
