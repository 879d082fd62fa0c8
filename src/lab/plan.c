/* The plan of a run: what each arm and seed needs, by content key, and what of it the store already has. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

/* ---- data ---- */

static int read_once(inoci_datasets *d, const char *path, unsigned need, inoc_err *err)
{
	if (inoci_run_dataset(d, path)) return 0;
	d->v = inoci_realloc(d->v, (d->n + 1) * sizeof *d->v);
	int rc = inoci_dataset_read(path, need, &d->v[d->n], err);
	if (rc < 0) return rc;
	d->n++;
	return 0;
}

const inoci_dataset *inoci_run_dataset(const inoci_datasets *d, const char *path)
{
	for (size_t i = 0; i < d->n; i++)
		if (!strcmp(d->v[i].path, path)) return &d->v[i];
	return NULL;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

typedef struct {
	char **v;
	size_t n;
} keys;

/* The questions of a file: each record's, and with `turns` each turn of it, sorted. */
static keys question_keys(const inoci_dataset *d, bool turns)
{
	keys k = {0};
	size_t cap = 0;
	for (size_t i = 0; i < d->n; i++) {
		char *all = inoci_question_key(&d->v[i]);
		char *line = all;
		bool whole = true;
		while (line) {
			char *nl = whole ? NULL : strchr(line, '\n');
			size_t n = nl ? (size_t)(nl - line) : strlen(line);
			if (n) {
				if (k.n == cap) k.v = inoci_realloc(k.v, (cap = cap ? 2 * cap : 64) * sizeof *k.v);
				k.v[k.n++] = inoci_strndup(line, n);
			}
			if (whole && turns && strchr(all, '\n')) {
				whole = false; /* once more, turn by turn */
				continue;
			}
			line = nl ? nl + 1 : NULL;
		}
		free(all);
	}
	if (k.n) qsort(k.v, k.n, sizeof *k.v, by_text);
	return k;
}

static void free_keys(keys *k)
{
	for (size_t i = 0; i < k->n; i++) free(k->v[i]);
	free(k->v);
}

static int check_overlap(const inoci_dataset *train, const inoci_dataset *eval, inoc_err *err)
{
	keys k = question_keys(train, true);
	long n = 0;
	int line = 0;
	const char *first = "";
	for (size_t i = 0; i < eval->n; i++) {
		char *q = inoci_question_key(&eval->v[i]);
		if (*q && k.n && bsearch(&q, k.v, k.n, sizeof *k.v, by_text)) {
			if (!n++) {
				line = eval->v[i].line;
				for (size_t m = 0; m < eval->v[i].n_msgs; m++)
					if (!strcmp(eval->v[i].msgs[m].role, "user")) first = eval->v[i].msgs[m].content;
			}
		}
		free(q);
	}
	free_keys(&k);
	if (!n) return 0;
	return inoci_err_set(err, INOC_E_FORMAT,
	                     "%s:%d: the question \"%.80s\" is also in the training data %s (%ld such); take them out, see `inoc "
	                     "data check`, or set "
	                     "allow_overlap: true",
	                     eval->path, line, first, train->path, n);
}

/* ---- preparing ---- */

static int check_filter(const inoci_run_state *r, inoc_err *err)
{
	const char *names[256];
	size_t n = 0;
	for (size_t i = 0; i < r->e->n_arms && n < INOCI_COUNT(names); i++) names[n++] = r->e->arms[i].name;
	for (size_t i = 0; i < r->o->n_arms; i++) {
		if (inoci_experiment_arm(r->e, r->o->arms[i]) >= 0) continue;
		const char *near = inoci_nearest(r->o->arms[i], names, n);
		return inoci_err_set(err, INOC_E_USAGE, "there is no arm '%.60s'%s%s%s", r->o->arms[i],
		                     near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
	}
	return 0;
}

int inoci_run_prepare(inoci_run_state *r, inoc_err *err)
{
	const inoci_experiment *e = r->e;
	int rc;
	r->env = (inoci_scorer_env){.dir = e->dir, .model = inoci_run_base_model, .ctx = r};
	if (r->store && !r->o->dry_run) r->env.memory = inoci_store_memory(r->store);
	INOC_TRY(check_filter(r, err));
	for (size_t i = 0; i < e->n_arms; i++)
		if (e->arms[i].train && (rc = read_once(&r->train, e->arms[i].data, INOCI_NEED_ASSISTANT, err)) < 0) {
			inoc_err why = *err;
			if (rc == INOC_E_IO && e->data_source) inoci_err_set(err, rc, "%s; %s", why.msg, e->data_source);
			goto out;
		}
	for (size_t i = 0; i < e->n_evals; i++) INOC_TRY(read_once(&r->prompts, e->evals[i].prompts, INOCI_NEED_USER_LAST, err));
	for (size_t t = 0; t < r->train.n && !e->allow_overlap; t++)
		for (size_t p = 0; p < r->prompts.n; p++) INOC_TRY(check_overlap(&r->train.v[t], &r->prompts.v[p], err));
	INOC_TRY(inoci_run_check_scorers(r, err));
	INOC_TRY(inoci_run_curves_open(r, err));
	for (size_t t = 0; t < r->train.n && !e->allow_overlap; t++)
		for (size_t c = 0; c < e->n_curves; c++) INOC_TRY(check_overlap(&r->train.v[t], &r->curves[c], err));
	INOC_TRY(inoci_gguf_open(r->model_path, &r->gguf, err));
	INOC_TRY(inoci_hparams_read(r->gguf, &r->hp, err));
	INOC_TRY(inoci_tok_open(r->gguf, &r->tok, err));
	INOC_TRY(inoci_template_open(r->gguf, r->tok, e->template_name, &r->tmpl, err));
	INOC_TRY(inoci_run_read_given(r, err));
	if (!r->o->scratch) INOC_TRY(inoci_hash_file(r->model_path, &r->model_hash, err));
	r->ops = r->o->ops;
	if (!r->ops) {
		INOC_TRY(inoci_lab_ops(e->dtype, e->threads, &r->ops, err));
		r->own_ops = true;
	}
	r->fixed = inoci_alloc((e->n_arms + 1) * sizeof *r->fixed);
	r->plan.choices = r->choices = inoci_alloc((e->n_arms + 1) * sizeof *r->choices);
out:
	return rc < 0 ? rc : 0;
}

void inoci_run_state_free(inoci_run_state *r)
{
	for (size_t i = 0; i < r->train.n; i++) inoci_dataset_free(&r->train.v[i]);
	for (size_t i = 0; i < r->prompts.n; i++) inoci_dataset_free(&r->prompts.v[i]);
	free(r->train.v);
	free(r->prompts.v);
	inoci_run_curves_close(r);
	inoci_model_free(r->model);
	inoci_template_free(r->tmpl);
	inoci_tok_free(r->tok);
	inoci_gguf_free(r->gguf);
	if (r->own_ops && r->ops) r->ops->free(r->ops);
	inoci_store_free(r->store);
	for (size_t i = 0; r->choices && i < r->e->n_arms; i++) free(r->choices[i].chosen);
	free(r->fixed), free(r->choices);
	free(r->given);
	free(r->plan.v);
	free(r->store_path);
}

/* ---- keys ---- */

int inoci_run_examples(const inoci_run_state *r, int arm, uint64_t seed, inoci_prepared *out, inoc_err *err)
{
	const inoci_arm *a = &r->e->arms[arm];
	const inoci_choice *c = &r->choices[arm];
	inoci_inoculation t = a->inoculation;
	t.chosen = c->chosen;
	t.n_chosen = c->n_all;
	inoci_prepare p = {.inoculation = a->has_inoculation && (c->decided || !a->when) ? &t : NULL,
	                   .system = r->e->system,
	                   .recipe = &a->recipe,
	                   .seed = seed,
	                   .context = r->hp.context};
	int rc = inoci_prepare_examples(r->tmpl, inoci_run_dataset(&r->train, a->data), &p, out, err);
	if (rc < 0) inoci_err_prefix(err, "arm %s", a->name);
	return rc;
}

void inoci_run_hash_env(const inoci_run_state *r, inoci_hasher *h)
{
	int numerics = INOCI_NUMERICS_VERSION;
	inoci_hasher_str(h, r->model_hash.hex);
	inoci_hasher_str(h, r->ops->name);
	inoci_hasher_str(h, inoci_dtype_name(r->ops->dtype));
	inoci_hasher_add(h, &numerics, sizeof numerics);
}

int inoci_run_key(inoci_run_state *r, int arm, uint64_t seed, inoci_plan_item *item, inoc_err *err)
{
	const inoci_arm *a = &r->e->arms[arm];
	inoci_hasher *h;
	inoci_hash key;
	*item = (inoci_plan_item){.arm = arm, .seed = seed};
	if (!a->train) {
		h = inoci_hasher_new();
		inoci_hasher_str(h, a->adapter ? "given" : "base");
		inoci_run_hash_env(r, h);
		if (a->adapter) inoci_hasher_str(h, r->given[arm].content.hex);
		key = inoci_hasher_end(h);
		memcpy(item->key, key.hex, sizeof item->key);
		return 0;
	}
	int rc = inoci_run_choose(r, arm, err);
	if (rc < 0) return rc;
	if (!r->fixed[arm].known) {
		inoci_prepared p;
		if ((rc = inoci_run_examples(r, arm, seed, &p, err)) < 0) return rc;
		const inoci_inoculation *t = &a->inoculation;
		r->fixed[arm].known = a->recipe.validation == 0 && (!a->has_inoculation || (t->n_pool == 1 && t->fraction == 1));
		r->fixed[arm].train = p.train.hash;
		r->fixed[arm].val = p.val.n ? p.val.hash : (inoci_hash){{0}};
		r->fixed[arm].item =
		        (inoci_plan_item){.n_train = p.train.n, .n_dropped = p.n_dropped, .n_inoculated = p.n_inoculated};
		inoci_prepared_free(&p);
	}
	inoci_train_config c = a->recipe.config;
	c.seed = seed;
	inoci_hash conf = inoci_train_config_hash(&c);
	h = inoci_hasher_new();
	inoci_hasher_str(h, "adapter");
	inoci_run_hash_env(r, h);
	inoci_hasher_str(h, r->fixed[arm].train.hex);
	inoci_hasher_str(h, r->fixed[arm].val.hex);
	inoci_hasher_str(h, conf.hex);
	if (a->when && !r->choices[arm].decided) inoci_hasher_str(h, a->name); /* of nothing that is there */
	key = inoci_hasher_end(h);
	memcpy(item->key, key.hex, sizeof item->key);
	item->n_train = r->fixed[arm].item.n_train;
	item->n_dropped = r->fixed[arm].item.n_dropped;
	item->n_inoculated = r->fixed[arm].item.n_inoculated;
	item->steps = c.steps ? c.steps : (int)ceil((double)lround(c.epochs * (double)item->n_train) / c.batch);
	if (item->steps < 1) item->steps = 1;
	return 0;
}

int inoci_run_wanted(inoci_run_state *r, int arm, int eval, uint64_t seed, const char *adapter_key, inoci_wanted *out,
                     inoc_err *err)
{
	const inoci_experiment *e = r->e;
	const inoci_evaluation *ev = &e->evals[eval];
	*out = (inoci_wanted){.n = ev->sampling.n};
	int rc = inoci_prepare_prompts(r->tmpl, inoci_run_dataset(&r->prompts, ev->prompts), e, &e->arms[arm], ev, seed,
	                               r->hp.context, &out->prompts, err);
	if (rc < 0) return inoci_err_prefix(err, "evaluation %s", ev->name);
	inoci_hash settings = inoci_sample_settings_hash(&ev->sampling);
	uint64_t used = ev->sampling.temperature == 0 ? 0 : seed; /* greedy text has no chance in it */
	size_t n = (size_t)out->n;
	out->key = inoci_alloc((out->prompts.n * n + 1) * sizeof *out->key);
	inoci_hasher *all = inoci_hasher_new();
	for (size_t i = 0; i < out->prompts.n; i++)
		for (size_t k = 0; k < n; k++) {
			inoci_hasher *h = inoci_hasher_new();
			const inoci_lab_prompt *p = &out->prompts.v[i];
			uint64_t more[2] = {used, k};
			inoci_hasher_str(h, p->texts ? "measured" : "sample");
			inoci_hasher_str(h, adapter_key);
			inoci_hasher_str(h, p->hash.hex);
			inoci_hasher_str(h, p->texts ? p->texts->hash.hex : settings.hex);
			if (!p->texts) inoci_hasher_add(h, more, sizeof more);
			out->key[i * n + k] = inoci_hasher_end(h);
			inoci_hasher_str(all, out->key[i * n + k].hex);
		}
	out->all = inoci_hasher_end(all);
	return 0;
}

void inoci_wanted_free(inoci_wanted *w)
{
	inoci_lab_prompts_free(&w->prompts);
	free(w->key);
	*w = (inoci_wanted){0};
}

int inoci_run_adapter_ok(const inoci_run_state *r, const char *key, bool *ok, inoc_err *err)
{
	sqlite3_stmt *st;
	*ok = false;
	if (!r->store) return 0;
	int rc = inoci_store_query(r->store, &st, err, "SELECT dir, hash FROM adapter WHERE key = ? AND done = 1", "s", key);
	if (rc < 0) return rc;
	if ((rc = inoci_store_step(r->store, st, err)) > 0) {
		const char *dir = (const char *)sqlite3_column_text(st, 0), *hash = (const char *)sqlite3_column_text(st, 1);
		char *home = inoci_path_dir(r->store_path), *full = inoci_path_join(home, dir ? dir : "");
		char *file = inoci_path_join(full, "adapter_model.safetensors");
		inoci_hash h;
		inoc_err ignored = {0};
		*ok = !dir ||
		      (inoci_path_exists(file) && inoci_hash_file(file, &h, &ignored) == 0 && hash && !strcmp(h.hex, hash));
		free(home), free(full), free(file);
	}
	sqlite3_finalize(st);
	return rc < 0 ? rc : 0;
}

/* ---- the plan ---- */

bool inoci_key_set_add(inoci_key_set *s, const inoci_hash *h)
{
	char head[17];
	memcpy(head, h->hex, 16);
	head[16] = 0;
	uint64_t k = strtoull(head, NULL, 16) | 1;
	if (2 * s->n >= s->cap) {
		inoci_key_set big = {.cap = s->cap ? 2 * s->cap : 1024};
		big.v = inoci_alloc(big.cap * sizeof *big.v);
		for (size_t i = 0; i < s->cap; i++) {
			if (!s->v[i]) continue;
			size_t at = s->v[i] % big.cap;
			while (big.v[at]) at = (at + 1) % big.cap;
			big.v[at] = s->v[i];
		}
		free(s->v);
		s->v = big.v;
		s->cap = big.cap;
	}
	size_t at = k % s->cap;
	for (; s->v[at]; at = (at + 1) % s->cap)
		if (s->v[at] == k) return false;
	s->v[at] = k;
	s->n++;
	return true;
}

static int count_samples(inoci_run_state *r, inoci_plan_item *item, inoci_key_set *seen, inoc_err *err)
{
	sqlite3_stmt *st = NULL;
	int rc = 0;
	for (size_t v = 0; v < r->e->n_evals; v++) {
		inoci_wanted w;
		int64_t linked = 0;
		if (!inoci_experiment_wants(r->e, item->arm, (int)v)) continue;
		INOC_TRY(inoci_run_wanted(r, item->arm, (int)v, item->seed, item->key, &w, err));
		size_t n = w.prompts.n * (size_t)w.n;
		item->n_samples += (long)n;
		if (r->store)
			rc = inoci_store_int(r->store, &linked, err,
			                     "SELECT 1 FROM link_eval WHERE experiment = ? AND arm = ? AND seed = ? AND "
			                     "evaluation = ? AND key = ?",
			                     "ssiss", r->e->name, r->e->arms[item->arm].name, (int64_t)item->seed,
			                     r->e->evals[v].name, w.all.hex);
		if (linked) item->n_have += (long)n;
		if (!linked && rc >= 0) {
			if (r->store) rc = inoci_store_query(r->store, &st, err, "SELECT 1 FROM sample WHERE key = ?", "");
			for (size_t i = 0; i < n && rc >= 0; i++) {
				int have = 0;
				if (st) {
					sqlite3_bind_text(st, 1, w.key[i].hex, -1, SQLITE_STATIC);
					have = rc = inoci_store_step(r->store, st, err);
					sqlite3_reset(st);
				}
				if (have > 0 || !inoci_key_set_add(seen, &w.key[i])) item->n_have++;
			}
			sqlite3_finalize(st);
			st = NULL;
		}
		inoci_wanted_free(&w);
		if (rc < 0) goto out;
	}
out:
	return rc < 0 ? rc : 0;
}

static bool wanted_arm(const inoci_run_options *o, const char *name)
{
	for (size_t i = 0; i < o->n_arms; i++)
		if (!strcmp(o->arms[i], name)) return true;
	return !o->n_arms;
}

int inoci_run_plan(inoci_run_state *r, inoc_err *err)
{
	const uint64_t *seeds = r->o->n_seeds ? r->o->seeds : r->e->seeds;
	size_t n_seeds = r->o->n_seeds ? r->o->n_seeds : r->e->n_seeds;
	int rc = 0;
	inoci_key_set seen = {0};
	r->plan.store_path = r->store_path;
	r->plan.v = inoci_alloc((n_seeds * r->e->n_arms + 1) * sizeof *r->plan.v);
	for (size_t s = 0; s < n_seeds; s++)
		for (size_t a = 0; a < r->e->n_arms; a++) {
			if (!wanted_arm(r->o, r->e->arms[a].name)) continue;
			inoci_plan_item *item = &r->plan.v[r->plan.n];
			INOC_TRY(inoci_run_key(r, (int)a, seeds[s], item, err));
			item->trained = !r->e->arms[a].train;
			if (!item->trained) INOC_TRY(inoci_run_adapter_ok(r, item->key, &item->trained, err));
			if (item->trained) INOC_TRY(inoci_run_curves_ok(r, (int)a, seeds[s], item->key, &item->trained, err));
			for (size_t i = 0; i < r->plan.n && !item->trained; i++)
				item->trained = !strcmp(r->plan.v[i].key, item->key);
			if (item->trained) item->steps = 0;
			INOC_TRY(count_samples(r, item, &seen, err));
			r->plan.n++;
		}
out:
	free(seen.v);
	return rc < 0 ? rc : 0;
}
