/* Selective inoculation: which records get an arm's prompt, by a tag, by a scorer of their answer, or by how much more probable a
 * trait or a prompt makes that answer.
 *
 * Invariants: a record's value depends on that record alone; what a model, a program or an endpoint gave is kept as it comes.
 */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

enum { AT_ONCE = 64, FIRST_TOKENS = 48 /* of a response, as in `inoc scan` */ };
#define HALF 0.5

void inoci_when_free(inoci_when *w)
{
	if (!w) return;
	free(w->name), free(w->gain);
	json_decref(w->settings);
	free(w);
}

inoci_when *inoci_when_copy(const inoci_when *w)
{
	if (!w) return NULL;
	inoci_when *c = inoci_alloc(sizeof *c);
	*c = (inoci_when){.name = w->name ? inoci_strdup(w->name) : NULL,
	                  .settings = json_incref(w->settings),
	                  .gain = w->gain ? inoci_strdup(w->gain) : NULL,
	                  .above = w->above};
	return c;
}

char *inoci_when_name(const json_t *settings)
{
	enum { MOST = 60 };
	char *s = json_dumps(settings, JSON_COMPACT | JSON_ENCODE_ANY);
	size_t n = s ? strlen(s) : 0, fit = n > MOST ? inoci_utf8_valid_prefix(s, MOST) : n;
	char *name = inoci_asprintf("%.*s%s", (int)fit, s ? s : "", fit < n ? "..." : "");
	free(s);
	return name;
}

/* A gain is a trait's, where it could be the id of one; a prompt has a space, a capital or a full stop. */
static bool is_trait(const char *gain)
{
	return gain[strspn(gain, "abcdefghijklmnopqrstuvwxyz0123456789_-")] == 0;
}

/* ---- the key `when` ---- */

typedef struct {
	inoci_when w;
	char *tag;
} reading;

static int read_scorer(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_when *w = &((reading *)dst)->w;
	(void)ctx;
	if (n->kind == YN_MAP)
		w->settings = inoci_yaml_json(n);
	else if (n->kind != YN_SCALAR)
		return inoci_yaml_err(n, err, "when.scorer must be the name of a scorer, or a scorer's settings");
	w->name = w->settings ? inoci_when_name(w->settings) : inoci_strdup(n->s);
	return 0;
}

static const inoci_ykey keys[] = {
        {"tag", Y_STR, .offset = offsetof(reading, tag)},
        {"scorer", Y_CALL, .call = read_scorer},
        {"gain", Y_STR, .offset = offsetof(reading, w.gain)},
        {"above", Y_DBL, .offset = offsetof(reading, w.above), .min = -1e9, .max = 1e9},
};

int inoci_when_read(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_arm *a = dst;
	inoci_yreader *rd = ctx;
	reading x = {.w = {.above = NAN}};
	char *what = inoci_asprintf("%s.inoculate.when", rd->what);
	int rc;
	INOC_TRY(inoci_yaml_fill(n, what, keys, INOCI_COUNT(keys), &x, ctx, err));
	int given = (x.tag != NULL) + (x.w.name != NULL) + (x.w.gain != NULL);
	if (given != 1)
		rc = inoci_yaml_err(n, err, "%s %s; give one of tag, scorer and gain", what,
		                    given ? "has more than one condition" : "has no condition");
	else if (x.tag && !isnan(x.w.above))
		rc = inoci_yaml_err(inoci_yaml_get(n, "above"), err, "%s: above is of a scorer or a gain", what);
	else if (x.tag && a->inoculation.tag)
		rc = inoci_yaml_err(n, err, "%s names a tag, and so does inoculate.tag; give one", what);
	else if (x.w.gain && !x.w.gain[strspn(x.w.gain, " \t\r\n")])
		rc = inoci_yaml_err(inoci_yaml_get(n, "gain"), err, "%s.gain is empty; give a trait's name or a prompt", what);
	if (rc < 0) goto out;
	if (x.tag) {
		a->inoculation.tag = x.tag;
		x.tag = NULL;
	} else {
		a->when = inoci_alloc(sizeof *a->when);
		*a->when = x.w;
		x.w = (inoci_when){0};
	}
out:
	free(what), free(x.tag), free(x.w.name), free(x.w.gain);
	json_decref(x.w.settings);
	return rc;
}

int inoci_when_check(inoci_when *w, const inoci_scorer_env *env, inoc_err *err)
{
	inoci_scorer *s = NULL;
	if (w->gain) {
		if (!isnan(w->above)) return 0;
		return inoci_err_set(err, INOC_E_USAGE,
		                     "a gain needs `above`, in bits in 100 bytes of answer: from where on a record counts; `inoc "
		                     "scan --json` shows gains");
	}
	int rc = inoci_scorer_new_in(w->name, w->settings, env, &s, err);
	if (rc < 0) return rc;
	if (inoci_scorer_measured(s))
		rc = inoci_err_set(err, INOC_E_USAGE,
		                   "scorer '%s' scores what an evaluation measures, and a record has but its answer", w->name);
	else if (inoci_scorer_real(s) && isnan(w->above))
		rc = inoci_err_set(err, INOC_E_USAGE,
		                   "scorer '%s' gives any number: say from where on a record counts, with `above`", w->name);
	else if (isnan(w->above))
		w->above = HALF;
	inoci_scorer_free(s);
	return rc;
}

static int find_scorer(const inoci_experiment *e, inoci_when *w, inoc_err *err)
{
	const char **names = inoci_alloc((e->n_scorers + 1) * sizeof *names);
	int at = inoci_experiment_scorer(e, w->name), rc = 0;
	for (size_t i = 0; i < e->n_scorers; i++) names[i] = e->scorers[i].name;
	w->settings = at >= 0 ? json_incref(e->scorers[at].settings) : inoci_scorer_builtin(w->name);
	const char *near = w->settings ? NULL : inoci_nearest(w->name, names, e->n_scorers);
	if (!w->settings)
		rc = inoci_err_set(err, INOC_E_FORMAT, "there is no scorer '%.60s'%s%s%s", w->name,
		                   near ? "; did you mean '" : "",
		                   near ? near : "; name one of this experiment's or a built-in one, or write it in place",
		                   near ? "'?" : "");
	free(names);
	return rc;
}

int inoci_whens_resolve(inoci_experiment *e, const inoci_ynode *root, inoc_err *err)
{
	const inoci_scorer_env env = {.dir = e->dir, .settings_only = true};
	for (size_t i = 0; i < e->n_arms; i++) {
		inoci_when *w = e->arms[i].when;
		const inoci_ynode *at = inoci_yaml_get(inoci_yaml_get(root, "arms"), e->arms[i].name);
		if (!w) continue;
		at = at ? inoci_yaml_get(inoci_yaml_get(at, "inoculate"), "when") : root;
		int rc = w->name && !w->settings ? find_scorer(e, w, err) : 0;
		if (rc == 0 && w->settings) inoci_experiment_judge_under(e, w->settings);
		if (rc == 0) rc = inoci_when_check(w, &env, err);
		if (rc < 0) return inoci_err_prefix(err, "%s: arms.%s.inoculate.when", at->where, e->arms[i].name), INOC_E_FORMAT;
	}
	return 0;
}

/* ---- values that are kept ---- */

static void hash_record(inoci_hasher *h, const inoci_record *r)
{
	for (size_t i = 0; i < r->n_msgs; i++) {
		inoci_hasher_str(h, r->msgs[i].role);
		inoci_hasher_str(h, r->msgs[i].content);
		inoci_hasher_str(h, inoci_record_weightless(r, i) ? "0" : "1");
	}
}

static bool kept(const inoci_chooser *c, const inoci_hash *key, double *value)
{
	sqlite3_stmt *st;
	inoc_err ignored = {0};
	bool found = false;
	if (!c->store || c->store->schema < 3 ||
	    inoci_store_query(c->store, &st, &ignored, "SELECT value FROM analysis WHERE key = ?", "s", key->hex) < 0)
		return false;
	if (inoci_store_step(c->store, st, &ignored) > 0) {
		const char *text = (const char *)sqlite3_column_text(st, 0);
		*value = strcmp(text, "null") ? strtod(text, NULL) : NAN;
		found = true;
	}
	sqlite3_finalize(st);
	return found;
}

static int keep(const inoci_chooser *c, const inoci_hash *key, const double *value, size_t n, inoc_err *err)
{
	int rc = 0;
	if (!c->store) return 0;
	INOC_TRY(inoci_store_begin(c->store, err));
	for (size_t i = 0; i < n; i++) {
		char text[40] = "null";
		if (!isnan(value[i])) snprintf(text, sizeof text, "%.17g", value[i]);
		INOC_TRY(inoci_store_exec(c->store, err, "INSERT OR REPLACE INTO analysis(key, value) VALUES(?,?)", "ss",
		                          key[i].hex, text));
	}
	rc = inoci_store_commit(c->store, err);
out:
	if (rc < 0) inoci_store_rollback(c->store);
	return rc < 0 ? rc : 0;
}

/* What is to be found of n records: the keys (n) of their values, the values (n) that are there, and which ones (n_open) are not.
 */
typedef struct {
	const inoci_record *const *r;
	const char *const *paths;
	size_t n, n_open;
	inoci_hash *key;
	double *value;
	size_t *open;
} values;

static void look_up(values *v, const inoci_chooser *c, bool look)
{
	v->n_open = 0;
	for (size_t i = 0; i < v->n; i++)
		if (!look || !kept(c, &v->key[i], &v->value[i])) v->open[v->n_open++] = i;
}

/* Puts `found`, of the open ones [from, from + n), in place. */
static int put(values *v, const inoci_chooser *c, size_t from, const double *found, size_t n, inoc_err *err)
{
	inoci_hash key[AT_ONCE];
	for (size_t k = 0; k < n; k++) {
		v->value[v->open[from + k]] = found[k];
		key[k] = v->key[v->open[from + k]];
	}
	return keep(c, key, found, n, err);
}

/* ---- by a scorer ---- */

static inoci_answer answer_of(const inoci_record *r)
{
	inoci_answer a = {.question = "", .text = "", .finish = INOCI_FINISH_STOP, .item = r->extra};
	for (size_t i = 0; i < r->n_msgs; i++) {
		if (strcmp(r->msgs[i].role, "assistant")) continue;
		a.text = r->msgs[i].content;
		a.n = strlen(a.text);
		a.question = i && !strcmp(r->msgs[i - 1].role, "user") ? r->msgs[i - 1].content : "";
	}
	return a;
}

static int by_scorer(const inoci_when *w, const inoci_chooser *c, values *v, bool *decided, inoc_err *err)
{
	inoci_scorer *s = NULL;
	inoci_answer a[AT_ONCE];
	double found[AT_ONCE];
	int rc;
	INOC_TRY(inoci_scorer_new_in(w->name, w->settings, c->env, &s, err));
	const bool costs = inoci_scorer_costs(s);
	const inoci_hash by = inoci_scorer_key(s);
	for (size_t i = 0; i < v->n; i++) {
		const inoci_answer one = answer_of(v->r[i]);
		if ((rc = inoci_scorer_item(s, one.item, err)) < 0) {
			inoci_err_prefix(err, "%s:%d: scorer '%s'", v->paths[i], v->r[i]->line, w->name);
			goto out;
		}
		inoci_hasher *h = inoci_hasher_new();
		char *item = one.item ? json_dumps(one.item, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17)) : NULL;
		inoci_hasher_str(h, "score of a record");
		inoci_hasher_str(h, by.hex);
		hash_record(h, v->r[i]);
		inoci_hasher_str(h, item ? item : "");
		v->key[i] = inoci_hasher_end(h);
		free(item);
	}
	look_up(v, c, costs);
	*decided = !v->n_open || !costs || !c->only_kept;
	if (!*decided) goto out;
	if (v->n_open) INOC_TRY(inoci_scorer_ready(s, err));
	for (size_t from = 0, n; from < v->n_open; from += n) {
		n = v->n_open - from < AT_ONCE ? v->n_open - from : AT_ONCE;
		if (inoci_stopped(c->progress)) {
			rc = inoci_err_set(err, INOC_E_STOPPED, "stopped while records were scored");
			goto out;
		}
		for (size_t k = 0; k < n; k++) a[k] = answer_of(v->r[v->open[from + k]]);
		INOC_TRY(inoci_scorer_apply_many(s, a, n, found, c->progress, err));
		if (costs)
			INOC_TRY(put(v, c, from, found, n, err));
		else
			for (size_t k = 0; k < n; k++) v->value[v->open[from + k]] = found[k];
	}
	inoci_scorer_report(s, c->progress, NULL);
out:
	inoci_scorer_free(s);
	return rc < 0 ? rc : 0;
}

/* ---- by a gain ---- */

static void hash_texts(inoci_hasher *h, char *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++) inoci_hasher_str(h, v[i]);
}

static void gain_keys(const inoci_when *w, const inoci_chooser *c, const inoci_trait_library *l, int trait, values *v)
{
	inoci_hasher *h = inoci_hasher_new();
	inoci_hasher_str(h, w->gain);
	if (trait >= 0) { /* all that stands in front of a record */
		const inoci_scan_trait *t = &l->v[trait];
		hash_texts(h, l->questions, l->n_plain);
		hash_texts(h, l->plain, l->n_plain * l->n_variants);
		hash_texts(h, t->answers, t->n_answers);
		hash_texts(h, t->prompts, t->n_prompts);
		hash_texts(h, t->controls, t->n_controls);
	}
	const inoci_hash by = inoci_hasher_end(h);
	for (size_t i = 0; i < v->n; i++) {
		const int version[] = {1, FIRST_TOKENS};
		h = inoci_hasher_new();
		inoci_hasher_str(h, "gain of a record");
		inoci_hasher_add(h, version, sizeof version);
		inoci_hasher_str(h, c->key ? c->key : "");
		inoci_hasher_str(h, c->system);
		inoci_hasher_str(h, by.hex);
		hash_record(h, v->r[i]);
		v->key[i] = inoci_hasher_end(h);
	}
}

/* Rows of g that a gain is taken from. */
typedef struct {
	inoci_gains *g;
	inoci_trait_gains *t;
	int trait, with, without;
} gain;

static double gain_of(const gain *x, size_t record)
{
	double with = x->t ? 0 : x->g->value[x->with][record], without = x->t ? 0 : x->g->value[x->without][record];
	if (x->t) inoci_trait_gains_of(x->t, x->trait, INOCI_GAIN_ORDERS, record, &with, &without);
	return 100 * (with - without) / M_LN2;
}

static int measure(const inoci_when *w, const inoci_chooser *c, const inoci_trait_library *l, int trait, values *v, inoc_err *err)
{
	gain x = {.trait = trait};
	inoci_model *m;
	const inoci_template *tmpl;
	const inoci_gains_options o = {.system = c->system, .tokens = FIRST_TOKENS};
	char *what = inoci_asprintf("gains of %.40s", w->gain);
	int rc;
	if (!c->env->model) {
		rc = inoci_err_set(err, INOC_E_USAGE, "a gain is measured with a model, and none is given");
		goto out;
	}
	INOC_TRY(c->env->model(c->env->ctx, "", &m, err));
	INOC_TRY(inoci_model_template(m, &tmpl, err));
	x.g = inoci_gains_new(m, tmpl, &o);
	if (trait >= 0) {
		INOC_TRY(inoci_trait_gains_new(l, x.g, &x.t, err));
		INOC_TRY(inoci_trait_gains_shown(x.t, trait, err));
		inoci_trait_gains_asked(x.t, trait);
	} else {
		x.with = inoci_gains_prompt(x.g, w->gain);
		x.without = inoci_gains_prompt(x.g, NULL);
	}
	for (size_t from = 0, n; from < v->n_open; from += n) {
		double found[AT_ONCE];
		bool fits[AT_ONCE];
		const size_t first = x.g->n_records;
		n = v->n_open - from < AT_ONCE ? v->n_open - from : AT_ONCE;
		for (size_t k = 0; k < n; k++) {
			const size_t i = v->open[from + k];
			inoci_gains_record(x.g, v->r[i], v->paths[i]);
			fits[k] = inoci_gains_fits(x.g, x.g->n_records - 1);
			if (!fits[k]) x.g->n_records--;
		}
		INOC_TRY(inoci_gains_measure(x.g, NULL, first, x.g->n_records, what, c->progress, err));
		for (size_t k = 0, at = first; k < n; k++) found[k] = fits[k] ? gain_of(&x, at++) : NAN;
		INOC_TRY(put(v, c, from, found, n, err));
	}
out:
	inoci_trait_gains_free(x.t);
	inoci_gains_free(x.g);
	free(what);
	return rc < 0 ? rc : 0;
}

static int find_trait(const char *id, inoci_trait_library *l, int *trait, inoc_err *err)
{
	char *folder = NULL;
	const char **names = NULL;
	int rc;
	INOC_TRY(inoci_traits_folder(&folder, err));
	INOC_TRY(inoci_traits_add(l, folder, err));
	*trait = inoci_trait_library_find(l, id);
	if (*trait >= 0) goto out;
	names = inoci_alloc((l->n + 1) * sizeof *names);
	for (size_t i = 0; i < l->n; i++) names[i] = l->v[i].id;
	const char *near = inoci_nearest(id, names, l->n);
	rc = inoci_err_set(
	        err, INOC_E_USAGE,
	        "gain: there is no trait '%.60s'%s%s%s `inoc scan --list` shows them; a prompt is written as a sentence", id,
	        near ? "; did you mean '" : "", near ? near : "", near ? "'?" : ";");
out:
	free(folder), free(names);
	return rc < 0 ? rc : 0;
}

static int by_gain(const inoci_when *w, const inoci_chooser *c, values *v, bool *decided, inoc_err *err)
{
	inoci_trait_library l = {0};
	int trait = -1, rc = 0;
	if (is_trait(w->gain)) INOC_TRY(find_trait(w->gain, &l, &trait, err));
	gain_keys(w, c, &l, trait, v);
	look_up(v, c, true);
	*decided = !v->n_open || !c->only_kept;
	if (*decided && v->n_open) rc = measure(w, c, &l, trait, v, err);
out:
	inoci_trait_library_free(&l);
	return rc < 0 ? rc : 0;
}

/* ---- the choice ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static void spread(const double *value, size_t n, inoci_choice *out)
{
	double *v = inoci_alloc((n + 1) * sizeof *v);
	size_t m = 0;
	out->low = out->median = out->high = NAN;
	for (size_t i = 0; i < n; i++) {
		if (isnan(value[i])) continue;
		v[m++] = value[i];
		out->numbers |= value[i] != 0 && value[i] != 1;
	}
	if (m) {
		qsort(v, m, sizeof *v, by_value);
		out->low = v[0], out->median = (v[(m - 1) / 2] + v[m / 2]) / 2, out->high = v[m - 1];
	}
	free(v);
}

int inoci_choose(const inoci_when *w, const inoci_record *const *r, const char *const *paths, size_t n, size_t n_train,
                 const inoci_chooser *with, inoci_choice *out, inoc_err *err)
{
	values v = {.r = r,
	            .paths = paths,
	            .n = n,
	            .key = inoci_alloc((n + 1) * sizeof *v.key),
	            .value = inoci_alloc((n + 1) * sizeof *v.value),
	            .open = inoci_alloc((n + 1) * sizeof *v.open)};
	*out = (inoci_choice){.n_all = n, .n = n_train};
	int rc = w->gain ? by_gain(w, with, &v, &out->decided, err) : by_scorer(w, with, &v, &out->decided, err);
	if (rc == 0 && out->decided) {
		out->chosen = inoci_alloc(n + 1);
		for (size_t i = 0; i < n; i++) {
			out->chosen[i] = v.value[i] > w->above; /* NaN is not */
			out->n_chosen += i < n_train && out->chosen[i];
			out->n_missing += i < n_train && isnan(v.value[i]);
		}
		spread(v.value, n_train, out);
	}
	free(v.key), free(v.value), free(v.open);
	return rc;
}

/* ---- in words ---- */

char *inoci_when_text(const char *tag, const inoci_when *w)
{
	if (tag && !w) return inoci_asprintf("tagged %s", tag);
	if (!w) return NULL;
	if (!w->gain) return inoci_asprintf("where scorer %s gives more than %g", w->name, w->above);
	return is_trait(w->gain) ? inoci_asprintf("where the trait %s gains more than %g bits in 100 bytes", w->gain, w->above)
	                         : inoci_asprintf("where \"%s\" gains more than %g bits in 100 bytes", w->gain, w->above);
}

char *inoci_choice_text(const char *tag, const inoci_when *w, const inoci_choice *c)
{
	char *which = inoci_when_text(tag, w);
	inoci_buf b = {0};
	inoci_buf_printf(&b, "the prompt on records %s: ", which ? which : "");
	free(which);
	if (!c->decided) {
		inoci_buf_puts(&b, "decided when run");
		return inoci_buf_take(&b);
	}
	inoci_buf_printf(&b, "%zu of %zu (%.0f %%)", c->n_chosen, c->n, c->n ? 100.0 * (double)c->n_chosen / (double)c->n : 0);
	if (c->n_missing) inoci_buf_printf(&b, "; %zu have no value and do not get it", c->n_missing);
	if (c->numbers) inoci_buf_printf(&b, "; values from %.3g to %.3g, median %.3g", c->low, c->high, c->median);
	if (!c->n_chosen) inoci_buf_puts(&b, "; warning: none, so it trains as without a prompt");
	if (c->n && c->n_chosen == c->n) inoci_buf_puts(&b, "; warning: all of them, so the condition tells nothing apart");
	return inoci_buf_take(&b);
}
