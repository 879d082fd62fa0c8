/* `inoc analyse`: what explains an experiment's results, measured on its model, data and adapters (docs/analyse.md):
 *
 *   surprise   of each arm's prompt, on the untrained model: log-probability of the training responses with it and without, and
 *              with matched neutral texts in its place
 *   gradients  of each (arm, seed) at step 0
 *   updates    the size of each trained adapter by layer and projection
 *
 * Each is kept in analysis(key), the key being the hash of what it is made from; link_analysis says which stands for an arm now.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

enum { SURPRISE_RECORDS = 100, GRADIENT_RECORDS = 48, CONTROLS = 3, MICRO = 1024 };

typedef struct {
	inoci_run_state r;
	const inoci_analyse_options *o;
	/* gradients of a seed that several arms have in common */
	struct {
		inoci_hash of;
		uint64_t seed;
		float *g;
	} kept[1 + INOCI_MAX_CURVES];
} work;

/* ---- the store ---- */

static int link_to(work *w, const char *part, int arm, uint64_t seed, const char *key, inoc_err *err)
{
	return inoci_store_exec(w->r.store, err,
	                        "INSERT OR REPLACE INTO link_analysis(experiment, part, arm, seed, key) VALUES(?,?,?,?,?)",
	                        "sssis", w->r.e->name, part, w->r.e->arms[arm].name, (int64_t)seed, key);
}

static int have(work *w, const char *key, bool *out, inoc_err *err)
{
	int64_t n = 0;
	int rc = inoci_store_int(w->r.store, &n, err, "SELECT 1 FROM analysis WHERE key = ?", "s", key);
	*out = n;
	return rc < 0 ? rc : 0;
}

/* Takes j. */
static int put(work *w, const char *key, json_t *j, inoc_err *err)
{
	char *text = j ? json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17)) : NULL;
	json_decref(j);
	INOC_BUG_IF(!text);
	int rc = inoci_store_exec(w->r.store, err, "INSERT OR REPLACE INTO analysis(key, value) VALUES(?,?)", "ss", key, text);
	free(text);
	return rc;
}

static inoci_hasher *key_of(const work *w, const char *part)
{
	inoci_hasher *h = inoci_hasher_new();
	int version[] = {1, INOCI_NUMERICS_VERSION};
	inoci_hasher_str(h, part);
	inoci_hasher_str(h, w->r.model_hash.hex);
	inoci_hasher_str(h, w->r.ops->name);
	inoci_hasher_str(h, inoci_dtype_name(w->r.ops->dtype));
	inoci_hasher_add(h, version, sizeof version);
	return h;
}

static void hash_directions(const work *w, inoci_hasher *h)
{
	for (size_t i = 0; i < w->r.e->n_directions; i++) {
		const inoci_direction *d = &w->r.e->directions[i];
		inoci_hasher_str(h, d->name);
		inoci_hasher_str(h, w->r.curves[d->toward].hash.hex);
		inoci_hasher_str(h, w->r.curves[d->from].hash.hex);
		inoci_hasher_str(h, w->r.e->curves[d->toward].reference ? w->r.e->curves[d->toward].reference : "");
		inoci_hasher_str(h, w->r.e->curves[d->from].reference ? w->r.e->curves[d->from].reference : "");
		int limits[] = {w->r.e->curves[d->toward].limit, w->r.e->curves[d->from].limit};
		inoci_hasher_add(h, limits, sizeof limits);
	}
}

/* ---- updates ---- */

static int update(work *w, int arm, uint64_t seed, inoc_err *err)
{
	sqlite3_stmt *st = NULL;
	inoci_adapter *a = NULL;
	char *home = inoci_path_dir(w->r.store_path), *dir = NULL;
	double *norm = NULL;
	inoci_hash key;
	bool there;
	int rc;
	INOC_TRY(inoci_store_query(w->r.store, &st, err,
	                           "SELECT a.dir, a.hash FROM link_adapter l JOIN adapter a ON a.id = l.adapter"
	                           " WHERE l.experiment = ? AND l.arm = ? AND l.seed = ? AND a.done = 1 AND a.dir IS NOT NULL",
	                           "ssi", w->r.e->name, w->r.e->arms[arm].name, (int64_t)seed));
	if ((rc = inoci_store_step(w->r.store, st, err)) <= 0) goto out;
	dir = inoci_path_join(home, (const char *)sqlite3_column_text(st, 0));
	inoci_hasher *h = inoci_hasher_new();
	inoci_hasher_str(h, "update 1");
	inoci_hasher_str(h, (const char *)sqlite3_column_text(st, 1));
	key = inoci_hasher_end(h);
	sqlite3_finalize(st);
	st = NULL;
	INOC_TRY(link_to(w, "updates", arm, seed, key.hex, err));
	INOC_TRY(have(w, key.hex, &there, err));
	if (there) goto out;
	INOC_TRY(inoci_adapter_read(&w->r.hp, dir, &a, err));
	norm = inoci_alloc((size_t)(a->n_layers * INOCI_N_PROJ) * sizeof *norm);
	inoci_adapter_norms(a, norm);
	json_t *rows = json_array();
	for (int l = 0; l < a->n_layers; l++) {
		json_t *row = json_array();
		for (int p = 0; p < INOCI_N_PROJ; p++) {
			double v = norm[l * INOCI_N_PROJ + p];
			json_array_append_new(row, isnan(v) ? json_null() : json_real(v));
		}
		json_array_append_new(rows, row);
	}
	rc = put(w, key.hex, json_pack("{s:o}", "norm", rows), err);
out:
	sqlite3_finalize(st);
	inoci_adapter_free(a);
	free(home), free(dir), free(norm);
	return rc < 0 ? rc : 0;
}

/* ---- examples ---- */

static const inoci_dataset *data_of(const work *w, int arm)
{
	return inoci_run_dataset(&w->r.train, w->r.e->arms[arm].data);
}

/* The same records in every arm of as many: a sample of all. free() it. */
static int32_t *some(const work *w, int arm, int most, size_t *n)
{
	const inoci_dataset *d = data_of(w, arm);
	int32_t *order = inoci_alloc((d->n + 1) * sizeof *order);
	inoci_rng r = inoci_rng_new(1, "analyse", 0, 0);
	for (size_t i = 0; i < d->n; i++) order[i] = (int32_t)i;
	inoci_rng_shuffle(&r, order, d->n);
	*n = d->n < (size_t)most ? d->n : (size_t)most;
	return order;
}

static int examples(const work *w, int arm, const inoci_inoculation *t, int most, uint64_t seed, inoci_probes *out, inoc_err *err)
{
	const inoci_arm *a = &w->r.e->arms[arm];
	size_t n;
	int32_t *which = some(w, arm, most, &n);
	int rc = inoci_probes_make(&w->r, data_of(w, arm), which, n, t, w->r.e->system, &a->recipe, seed, out, err);
	free(which);
	if (rc < 0) inoci_err_prefix(err, "arm %s", a->name);
	return rc;
}

/* ---- surprise ---- */

static int logprobs(work *w, const inoci_probes *m, json_t **out, inoc_err *err)
{
	double *v = inoci_alloc((m->e.n + 1) * sizeof *v);
	int rc = inoci_examples_logprob(w->r.model, NULL, &m->e, MICRO, v, w->o->progress, err);
	*out = json_array();
	for (size_t i = 0; rc >= 0 && i < m->e.n; i++) {
		if (!isfinite(v[i])) rc = inoci_err_set(err, INOC_E_LIMIT, "a log-probability is %g: check the model", v[i]);
		json_array_append_new(*out, json_real(isfinite(v[i]) ? v[i] : 0));
	}
	free(v);
	return rc < 0 ? rc : 0;
}

/* Log-probability per byte of a direction's `toward` minus that of its `from`, inoculated by t (NULL: not). */
static int contrast(work *w, int arm, int dir, const inoci_inoculation *t, uint64_t seed, double *out, inoc_err *err)
{
	const inoci_direction *d = &w->r.e->directions[dir];
	int rc = 0;
	*out = 0;
	for (int k = 0; k < 2 && rc >= 0; k++) {
		const inoci_dataset *set = &w->r.curves[k ? d->from : d->toward];
		inoci_probes m;
		rc = inoci_probes_make(&w->r, set, NULL, set->n, t, w->r.e->system, &w->r.e->arms[arm].recipe, seed, &m, err);
		if (rc < 0) break;
		double *v = inoci_alloc((m.e.n + 1) * sizeof *v), sum = 0;
		rc = inoci_examples_logprob(w->r.model, NULL, &m.e, MICRO, v, w->o->progress, err);
		for (size_t i = 0; rc >= 0 && i < m.e.n; i++) sum += v[i];
		*out += (k ? -sum : sum) / (double)m.n_bytes;
		free(v);
		inoci_probes_free(&m);
	}
	return rc < 0 ? rc : 0;
}

/* {NAME: {"with": ..., "controls": [...]}} */
static int contrasts(work *w, int arm, const inoci_inoculation *t, char **texts, size_t n, uint64_t seed, json_t **out,
                     inoc_err *err)
{
	int rc = 0;
	*out = json_object();
	for (size_t d = 0; d < w->r.e->n_directions; d++) {
		json_t *controls = json_array();
		double v;
		rc = contrast(w, arm, (int)d, t, seed, &v, err);
		json_object_set_new(*out, w->r.e->directions[d].name, json_pack("{s:f, s:o}", "with", v, "controls", controls));
		for (size_t i = 0; i < n && rc >= 0; i++) {
			inoci_inoculation c = *t;
			c.pool = &texts[i], c.n_pool = 1;
			rc = contrast(w, arm, (int)d, &c, seed, &v, err);
			json_array_append_new(controls, json_real(v));
		}
		if (rc < 0) return rc;
	}
	return 0;
}

static int surprise(work *w, int arm, inoc_err *err)
{
	const inoci_arm *a = &w->r.e->arms[arm];
	uint64_t seed = w->r.e->seeds[0];
	inoci_inoculation t = inoci_arm_prompt_always(a);
	int n_records = w->o->n_records ? w->o->n_records : SURPRISE_RECORDS, rc;
	size_t n_controls = (size_t)(w->o->n_controls ? w->o->n_controls : CONTROLS), n = 0;
	char **texts = inoci_alloc((n_controls + 1) * sizeof *texts);
	inoci_probes *m = inoci_alloc((n_controls + 2) * sizeof *m);
	json_t *v = NULL, *bytes = json_array(), *controls = json_array(), *with = NULL, *without = NULL, *apart = NULL;
	inoci_hasher *h = key_of(w, "surprise 2");
	inoci_hash key;
	bool there;
	n_controls = inoci_neutral_texts(w->r.tok, t.pool, t.n_pool, n_controls, texts);
	for (n = 0; n < n_controls + 2; n++) { /* without, with, controls */
		inoci_inoculation c = t;
		if (n > 1) c.pool = &texts[n - 2], c.n_pool = 1;
		INOC_TRY(examples(w, arm, n ? &c : NULL, n_records, seed, &m[n], err));
		inoci_hasher_str(h, m[n].e.hash.hex);
	}
	hash_directions(w, h);
	key = inoci_hasher_end(h);
	h = NULL;
	INOC_TRY(link_to(w, "surprise", arm, seed, key.hex, err));
	INOC_TRY(have(w, key.hex, &there, err));
	if (there) goto out;
	INOC_TRY(logprobs(w, &m[0], &without, err));
	INOC_TRY(logprobs(w, &m[1], &with, err));
	for (size_t i = 0; i < n_controls; i++) {
		INOC_TRY(logprobs(w, &m[i + 2], &v, err));
		json_array_append_new(controls, json_pack("{s:s, s:o}", "text", texts[i], "logprob", v));
		v = NULL;
	}
	INOC_TRY(contrasts(w, arm, &t, texts, n_controls, seed, &apart, err));
	for (size_t i = 0; i < m[0].e.n; i++) json_array_append_new(bytes, json_integer(m[0].bytes[i]));
	rc = put(w, key.hex,
	         json_pack("{s:O, s:O, s:O, s:O, s:O}", "bytes", bytes, "without", without, "with", with, "controls", controls,
	                   "contrast", apart),
	         err);
out:
	if (h) (void)inoci_hasher_end(h);
	for (size_t i = 0; i < n && i < n_controls + 2; i++) inoci_probes_free(&m[i]);
	for (size_t i = 0; i < n_controls; i++) free(texts[i]);
	json_decref(v), json_decref(bytes), json_decref(controls), json_decref(with), json_decref(without), json_decref(apart);
	free(texts), free(m);
	return rc < 0 ? rc : 0;
}

/* ---- gradients ---- */

static int fresh(work *w, int arm, uint64_t seed, inoci_adapter **a, inoc_err *err)
{
	const inoci_train_config *t = &w->r.e->arms[arm].recipe.config;
	inoci_lora_config c = t->lora;
	c.dropout = 0;
	int rc = inoci_adapter_new(w->r.model, &c, inoci_train_init_seed(t, seed), a, err);
	if (rc == 0) rc = inoci_adapter_grads(*a, err);
	return rc;
}

/* Of the mean loss per token of the examples, into a->grads. */
static int loss_grad(work *w, inoci_adapter *a, const inoci_probes *m, inoc_err *err)
{
	double unused;
	memset(a->grads, 0, a->n_params * sizeof(float));
	return inoci_examples_grad(w->r.model, a, &m->e, MICRO, 1.0f / (float)m->e.n_loss_tokens, &unused, w->o->progress, err);
}

/* A copy of a->grads that stays for the other arms of this seed and configuration, at place k. */
static const float *keep(work *w, int k, const inoci_adapter *a, const inoci_hash *of, uint64_t seed)
{
	size_t n = a->n_params * sizeof(float);
	w->kept[k].g = inoci_realloc(w->kept[k].g, n);
	memcpy(w->kept[k].g, a->grads, n);
	w->kept[k].of = *of;
	w->kept[k].seed = seed;
	return w->kept[k].g;
}

static const float *kept(const work *w, int k, const inoci_hash *of, uint64_t seed)
{
	return w->kept[k].g && w->kept[k].seed == seed && !strcmp(w->kept[k].of.hex, of->hex) ? w->kept[k].g : NULL;
}

/* Of a direction: (log-probability of `from`) - (that of `toward`), each per byte, without a prompt. */
static int direction_grad(work *w, int arm, int dir, const inoci_hash *start, inoci_adapter *a, uint64_t seed, const float **out,
                          inoc_err *err)
{
	const inoci_direction *d = &w->r.e->directions[dir];
	inoci_probes m[2] = {{{0}, NULL, 0}};
	inoci_hasher *h = inoci_hasher_new();
	int rc;
	inoci_hasher_str(h, start->hex);
	for (int k = 0; k < 2; k++) {
		rc = inoci_run_curve_examples(&w->r, arm, k ? d->from : d->toward, false, seed, &m[k], err);
		if (rc < 0) break;
		inoci_hasher_str(h, m[k].e.hash.hex);
	}
	inoci_hash of = inoci_hasher_end(h);
	if (rc < 0) goto out;
	if ((*out = kept(w, 1 + dir, &of, seed))) goto out;
	memset(a->grads, 0, a->n_params * sizeof(float));
	for (int k = 0; k < 2; k++) {
		double unused;
		INOC_TRY(inoci_examples_grad(w->r.model, a, &m[k].e, MICRO, (k ? -1.0f : 1.0f) / (float)m[k].n_bytes, &unused,
		                             w->o->progress, err));
	}
	*out = keep(w, 1 + dir, a, &of, seed);
out:
	for (int k = 0; k < 2; k++) inoci_probes_free(&m[k]);
	return rc < 0 ? rc : 0;
}

static json_t *toward_json(const work *w, const inoci_adapter *a, const float *const *dir, const float *g)
{
	json_t *j = json_object();
	double own = sqrt(inoci_adapter_grad_dot(a, g, g));
	for (size_t i = 0; i < w->r.e->n_directions; i++) {
		double size = sqrt(inoci_adapter_grad_dot(a, dir[i], dir[i]));
		json_object_set_new(j, w->r.e->directions[i].name,
		                    json_real(own > 0 && size > 0 ? inoci_adapter_grad_dot(a, g, dir[i]) / own / size : 0));
	}
	return j;
}

static int gradients(work *w, int arm, uint64_t seed, inoc_err *err)
{
	const inoci_arm *arm_of = &w->r.e->arms[arm];
	inoci_inoculation t = inoci_arm_prompt_always(arm_of);
	inoci_probes with = {{0}, NULL, 0}, without = {{0}, NULL, 0};
	inoci_adapter *a = NULL;
	const float *dir[INOCI_MAX_CURVES], *g;
	inoci_hasher *h = key_of(w, "gradients");
	inoci_hash key, start, of;
	json_t *j = NULL;
	bool there;
	int rc, most = w->o->n_gradient_records ? w->o->n_gradient_records : GRADIENT_RECORDS;
	INOC_TRY(examples(w, arm, NULL, most, seed, &without, err));
	if (arm_of->has_inoculation) INOC_TRY(examples(w, arm, &t, most, seed, &with, err));
	INOC_TRY(fresh(w, arm, seed, &a, err));
	start = inoci_adapter_hash(a);
	inoci_hasher_str(h, start.hex);
	inoci_hasher_str(h, without.e.hash.hex);
	inoci_hasher_str(h, arm_of->has_inoculation ? with.e.hash.hex : "");
	hash_directions(w, h);
	key = inoci_hasher_end(h);
	h = NULL;
	INOC_TRY(link_to(w, "gradients", arm, seed, key.hex, err));
	INOC_TRY(have(w, key.hex, &there, err));
	if (there) goto out;
	for (size_t i = 0; i < w->r.e->n_directions; i++) INOC_TRY(direction_grad(w, arm, (int)i, &start, a, seed, &dir[i], err));
	h = inoci_hasher_new();
	inoci_hasher_str(h, start.hex);
	inoci_hasher_str(h, without.e.hash.hex);
	of = inoci_hasher_end(h);
	h = NULL;
	if (!(g = kept(w, 0, &of, seed))) {
		INOC_TRY(loss_grad(w, a, &without, err));
		g = keep(w, 0, a, &of, seed);
	}
	j = json_pack("{s:i, s:i, s:f, s:o}", "records", (int)without.e.n, "rank", a->cfg.rank, "without",
	              sqrt(inoci_adapter_grad_dot(a, g, g)), "toward_without", toward_json(w, a, dir, g));
	if (arm_of->has_inoculation) {
		INOC_TRY(loss_grad(w, a, &with, err));
		double size = sqrt(inoci_adapter_grad_dot(a, a->grads, a->grads)), other = sqrt(inoci_adapter_grad_dot(a, g, g));
		json_object_set_new(j, "with", json_real(size));
		json_object_set_new(j, "toward_with", toward_json(w, a, dir, a->grads));
		json_object_set_new(j, "same",
		                    json_real(size > 0 && other > 0 ? inoci_adapter_grad_dot(a, a->grads, g) / size / other : 0));
	}
	rc = put(w, key.hex, j, err);
	j = NULL;
out:
	if (h) (void)inoci_hasher_end(h);
	json_decref(j);
	inoci_probes_free(&with);
	inoci_probes_free(&without);
	inoci_adapter_free(a);
	return rc < 0 ? rc : 0;
}

/* ---- the whole ---- */

static int of_arm(work *w, int arm, inoc_err *err)
{
	const inoci_experiment *e = w->r.e;
	const inoci_arm *a = &e->arms[arm];
	unsigned parts = w->o->parts ? w->o->parts : INOCI_PART_ALL;
	int rc = 0;
	if (!a->train) return 0;
	if ((parts & INOCI_PART_SURPRISE) && a->has_inoculation) INOC_TRY(surprise(w, arm, err));
	for (size_t s = 0; s < e->n_seeds && (parts & INOCI_PART_UPDATES); s++) INOC_TRY(update(w, arm, e->seeds[s], err));
out:
	return rc;
}

static int of_seed(work *w, uint64_t seed, inoc_err *err)
{
	int64_t ran = 0;
	if (inoci_store_int(w->r.store, &ran, err, "SELECT 1 FROM link_adapter WHERE experiment = ? AND seed = ?", "si",
	                    w->r.e->name, (int64_t)seed) < 0)
		return INOC_E_STORE;
	if (!ran) return 0;
	for (size_t a = 0; a < w->r.e->n_arms; a++) {
		if (!w->r.e->arms[a].train) continue;
		int rc = gradients(w, (int)a, seed, err);
		if (rc < 0) return inoci_err_prefix(err, "arm %s, seed %llu", w->r.e->arms[a].name, (unsigned long long)seed), rc;
	}
	return 0;
}

int inoci_analyse(const inoci_experiment *e, const char *store_path, const char *model_path, const inoci_analyse_options *o,
                  inoc_err *err)
{
	const inoci_run_options ro = {.ops = o->ops, .progress = o->progress};
	work w = {.r = {.e = e, .o = &ro, .model_path = model_path}, .o = o};
	unsigned parts = o->parts ? o->parts : INOCI_PART_ALL;
	int rc;
	w.r.store_path = inoci_strdup(store_path);
	INOC_TRY(inoci_store_open(store_path, true, o->wait_s, o->progress, &w.r.store, err));
	INOC_TRY(inoci_run_prepare(&w.r, err));
	if (parts & (INOCI_PART_SURPRISE | INOCI_PART_GRADIENTS))
		INOC_TRY(inoci_model_open(model_path, w.r.ops, (parts & INOCI_PART_GRADIENTS) != 0, e->template_name, o->progress,
		                          &w.r.model, err));
	for (size_t a = 0; a < e->n_arms; a++) INOC_TRY(of_arm(&w, (int)a, err));
	size_t n_seeds =
	        o->n_gradient_seeds && (size_t)o->n_gradient_seeds < e->n_seeds ? (size_t)o->n_gradient_seeds : e->n_seeds;
	for (size_t s = 0; s < n_seeds && (parts & INOCI_PART_GRADIENTS); s++) INOC_TRY(of_seed(&w, e->seeds[s], err));
out:
	for (size_t k = 0; k < INOCI_COUNT(w.kept); k++) free(w.kept[k].g);
	inoci_run_state_free(&w.r);
	return rc < 0 ? rc : 0;
}
