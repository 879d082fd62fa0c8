/* The experiment file: its schema, and the checks that one table cannot say. */
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

#define MAX_SEEDS 1000

static char **strings_copy(char *const *v, size_t n)
{
	char **c = inoci_alloc((n + 1) * sizeof *c);
	for (size_t i = 0; i < n; i++) c[i] = inoci_strdup(v[i]);
	return c;
}

static int read_train(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	return inoci_recipe_read(n, "train", &((inoci_experiment *)dst)->recipe, ctx, err);
}

/* ---- arms ---- */

static int read_text_or_pool(const inoci_ynode *n, const char *what, inoci_inoculation *t, inoc_err *err)
{
	const inoci_ynode *one = n, *const *items = &one;
	size_t k = 1;
	if (n->kind == YN_MAP) {
		const inoci_ynode *pool = inoci_yaml_get(n, "pool");
		if (n->n != 1 || !pool || pool->kind != YN_SEQ || !pool->n)
			return inoci_yaml_err(n, err, "%s must be a text, or {pool: [text, text, ...]}", what);
		items = (const inoci_ynode *const *)pool->items;
		k = pool->n;
	}
	t->pool = inoci_alloc(k * sizeof *t->pool);
	for (size_t i = 0; i < k; i++) {
		if (items[i]->kind != YN_SCALAR)
			return inoci_yaml_err(items[i], err, "%s must be a text, or {pool: [text, text, ...]}", what);
		t->pool[t->n_pool++] = inoci_strdup(items[i]->s);
	}
	return 0;
}

static const char *const wheres[] = {"system", "user_prefix", "user_suffix"};
static int read_where(const inoci_ynode *n, inoci_arm *a, int where, inoc_err *err)
{
	inoci_inoculation *t = &a->inoculation;
	if (t->pool)
		return inoci_yaml_err(n, err, "inoculate has more than one of system, user_prefix and user_suffix; give one");
	t->where = (inoci_where)where;
	return read_text_or_pool(n, wheres[where], t, err);
}
static int read_system(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	return (void)ctx, read_where(n, dst, INOCI_AT_SYSTEM, err);
}
static int read_prefix(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	return (void)ctx, read_where(n, dst, INOCI_AT_USER_PREFIX, err);
}
static int read_suffix(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	return (void)ctx, read_where(n, dst, INOCI_AT_USER_SUFFIX, err);
}

static const char *const joins[] = {"replace", "before", "after", NULL};
static const inoci_ykey inoculate_keys[] = {
        {"system", Y_CALL, .call = read_system},
        {"user_prefix", Y_CALL, .call = read_prefix},
        {"user_suffix", Y_CALL, .call = read_suffix},
        {"join", Y_ENUM, .offset = offsetof(inoci_arm, inoculation.join), .names = joins},
        {"fraction", Y_DBL, .offset = offsetof(inoci_arm, inoculation.fraction), .min = 0, .max = 1},
        {"tag", Y_STR, .offset = offsetof(inoci_arm, inoculation.tag)},
        {"when", Y_CALL, .call = inoci_when_read},
        {"separator", Y_STR, .offset = offsetof(inoci_arm, inoculation.separator)},
};

static int read_inoculate(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_arm *a = dst;
	inoci_yreader *rd = ctx;
	char *what = inoci_asprintf("%s.inoculate", rd->what);
	a->has_inoculation = true;
	a->inoculation.fraction = 1;
	int rc = inoci_yaml_fill(n, what, inoculate_keys, INOCI_COUNT(inoculate_keys), a, ctx, err);
	if (rc == 0 && !a->inoculation.pool)
		rc = inoci_yaml_err(n, err, "%s needs one of system, user_prefix and user_suffix", what);
	if (rc == 0 && (rc = inoci_inoculation_check(&a->inoculation, err)) < 0)
		inoci_err_prefix(err, "%s: %s", n->where, what), rc = INOC_E_FORMAT;
	free(what);
	return rc;
}

static int read_arm_train(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_yreader *rd = ctx;
	char *what = inoci_asprintf("%s.train", rd->what);
	int rc = inoci_recipe_read(n, what, &((inoci_arm *)dst)->recipe, rd, err);
	free(what);
	return rc;
}

static const char *const roles[] = {"base", "clean", "plain", "control", "inoculated", "other", NULL};
static const inoci_ykey arm_keys[] = {
        {"role", Y_CHOICE, .offset = offsetof(inoci_arm, role), .names = roles},
        {"label", Y_STR, .offset = offsetof(inoci_arm, label)},
        {"data", Y_STR, .offset = offsetof(inoci_arm, data)},
        {"adapter", Y_STR, .offset = offsetof(inoci_arm, adapter)},
        {"inoculate", Y_CALL, .call = read_inoculate},
        {"own", Y_STR, .offset = offsetof(inoci_arm, own_system)},
        {"trait", Y_STRS, .offset = offsetof(inoci_arm, traits), .offset2 = offsetof(inoci_arm, n_traits)},
        {"train", Y_CALL, .call = read_arm_train},
};

/* What an adapter was trained on is not known here, nor from which seed: nothing is concluded from it. */
static int check_given(const inoci_arm *a, const inoci_ynode *at, inoc_err *err)
{
	static const char *const training[] = {"data", "inoculate", "train"};
	if (!*a->adapter)
		return inoci_yaml_err(inoci_yaml_get(at, "adapter"), err,
		                      "arms.%s.adapter is empty; give a folder that `inoc train` or PEFT wrote", a->name);
	for (size_t i = 0; i < INOCI_COUNT(training); i++) {
		const inoci_ynode *n = inoci_yaml_get(at, training[i]);
		if (n)
			return inoci_yaml_err(n, err, "arm '%s' has a given adapter, which is not trained: %s does not apply",
			                      a->name, training[i]);
	}
	if (strcmp(a->role, "other"))
		return inoci_yaml_err(inoci_yaml_get(at, "role"), err,
		                      "arm '%s' has a given adapter; what that was trained on is not known here, so its role can "
		                      "only be other",
		                      a->name);
	if (a->traits)
		return inoci_yaml_err(inoci_yaml_get(at, "trait"), err,
		                      "arm '%s' has a given adapter; what that was trained on is not known here, so it is not "
		                      "judged: trait does not apply",
		                      a->name);
	return 0;
}

static int finish_arm(inoci_experiment *e, inoci_arm *a, const inoci_ynode *at, inoc_err *err)
{
	int rc;
	if (!a->role && !a->adapter) return inoci_yaml_err(at, err, "arms.%s.role is missing", a->name);
	if (!a->role) a->role = inoci_strdup("other");
	bool base = !strcmp(a->role, "base");
	if (a->adapter && (rc = check_given(a, at, err)) < 0) return rc;
	if (base && (a->has_inoculation || a->data || inoci_yaml_get(at, "train")))
		return inoci_yaml_err(
		        at, err, "arm '%s' has role base, which is not trained: data, inoculate and train do not apply", a->name);
	a->train = !base && !a->adapter;
	if (!a->label) a->label = inoci_strdup(a->name);
	inoci_experiment_resolve(e, inoci_yaml_get(at, "data"), &a->data);
	inoci_experiment_resolve(e, inoci_yaml_get(at, "adapter"), &a->adapter);
	if (!a->data && a->train && e->data) a->data = inoci_strdup(e->data);
	if (!a->data && a->train && !e->n_imported)
		return inoci_yaml_err(at, err, "arm '%s' has no data, and the experiment names none%s%s", a->name,
		                      e->data_source ? ": give --set data=FILE; " : "", e->data_source ? e->data_source : "");
	return 0;
}

static int read_arms(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_experiment *e = dst;
	inoci_yreader *rd = ctx;
	int rc = inoci_yaml_each_named(n, "arms", YAML_MAX_NAMED, err);
	if (rc < 0) return rc;
	e->arms = inoci_alloc(n->n * sizeof *e->arms);
	for (size_t i = 0; i < n->n; i++) {
		inoci_arm *a = &e->arms[e->n_arms++];
		a->name = inoci_strdup(n->keys[i]->s);
		inoci_sweep_mark(e, a);
		a->line = n->keys[i]->line;
		a->recipe = inoci_recipe_copy(&e->recipe);
		char *what = inoci_asprintf("arms.%s", a->name);
		rd->what = what;
		rc = inoci_yaml_fill(n->items[i], what, arm_keys, INOCI_COUNT(arm_keys), a, rd, err);
		free(what);
		if (rc < 0 || (rc = finish_arm(e, a, n->items[i], err)) < 0) return rc;
	}
	return inoci_controls_add(e, rd->root, err);
}

/* ---- scorers, traits ---- */

static int add_scorer(inoci_experiment *e, const inoci_ynode *name, json_t *settings, inoc_err *err)
{
	inoci_scorer *probe = NULL;
	for (size_t i = 0; i < e->n_scorers; i++)
		if (!strcmp(e->scorers[i].name, name->s)) {
			json_decref(settings);
			return inoci_yaml_err(name, err, "scorer '%s' is given twice", name->s);
		}
	inoci_scorer_spec *x = &e->scorers[e->n_scorers++];
	*x = (inoci_scorer_spec){.name = inoci_strdup(name->s), .settings = settings};
	const inoci_scorer_env env = {.dir = e->dir, .settings_only = true};
	if (inoci_scorer_take_on(settings, &x->on, err) < 0 || inoci_scorer_take_checked(settings, x, err) < 0 ||
	    inoci_scorer_new_in(NULL, settings, &env, &probe, err) < 0)
		return inoci_err_prefix(err, "%s: scorer '%s'", name->where, name->s), INOC_E_FORMAT;
	for (size_t i = 0; i < x->n_checked; i++) inoci_experiment_resolve(e, NULL, &x->checked[i]);
	x->real = inoci_scorer_real(probe);
	inoci_scorer_free(probe);
	return 0;
}

/* Is the language of answers told? other: a language that `unknown` does not know. */
static bool tells_language(const json_t *settings, bool *other)
{
	const char *type = json_string_value(json_object_get(settings, "type")), *key;
	const char *is = json_string_value(json_object_get(settings, "is"));
	bool any = type && !strcmp(type, "language");
	size_t i;
	json_t *v;
	*other |= any && is && strcmp(is, "en") && strcmp(is, "es");
	json_array_foreach(settings, i, v) any |= tells_language(v, other);
	json_object_foreach((json_t *)(uintptr_t)settings, key, v) any |= tells_language(v, other);
	return any;
}

/* What stands beside every rate of sampled answers, listed or not: behind those listed, under names that are free. */
static int add_quality(inoci_experiment *e, const inoci_ynode *at, inoc_err *err)
{
	static const char *const names[] = {"truncated", "looping", "unknown"};
	bool samples = false, language = false, other = false;
	for (size_t i = 0; i < e->n_evals; i++) samples |= e->evals[i].measure == INOCI_MEASURE_NONE;
	for (size_t i = 0; i < e->n_scorers; i++) language |= tells_language(e->scorers[i].settings, &other);
	for (size_t i = 0; samples && i < (language ? 3 : 2); i++) {
		if (inoci_experiment_scorer(e, names[i]) >= 0) continue;
		inoci_ynode name = *at;
		name.s = names[i];
		int rc = add_scorer(e, &name,
		                    i == 2 && other ? json_pack("{s:s, s:s}", "type", "language", "is", "unknown")
		                                    : inoci_scorer_builtin(names[i]),
		                    err);
		if (rc < 0) return rc;
		e->scorers[e->n_scorers - 1].added = true;
	}
	return 0;
}

static int read_scorers(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_experiment *e = dst;
	inoci_yreader *rd = ctx;
	int rc;
	if (n->kind != YN_SEQ || !n->n)
		return inoci_yaml_err(n, err, "scorers must be a list: names of built-in scorers, or {name: settings}");
	if ((rc = inoci_judges_expand(inoci_yaml_get(rd->root, "scorers"), rd->arena, err)) < 0) return rc;
	e->scorers = inoci_alloc((n->n + 3) * sizeof *e->scorers);
	for (size_t i = 0; i < n->n; i++) {
		const inoci_ynode *s = n->items[i], *name = s;
		json_t *settings = NULL;
		if (s->kind == YN_MAP && s->n == 1) {
			name = s->keys[0];
			settings = inoci_yaml_json(s->items[0]);
		} else if (s->kind != YN_SCALAR) {
			return inoci_yaml_err(s, err, "a scorer must be a name, or a mapping with one entry {name: settings}");
		}
		rc = inoci_yaml_name(name, "a scorer", err);
		if (rc == 0 && !settings && !(settings = inoci_scorer_builtin(name->s))) {
			json_t *known = inoci_scorer_builtin_names();
			const char *names[200];
			size_t k = 0, j;
			json_t *v;
			json_array_foreach(known, j, v) if (k < INOCI_COUNT(names) && json_is_string(json_object_get(v, "name")))
			        names[k++] = json_string_value(json_object_get(v, "name"));
			const char *near = inoci_nearest(name->s, names, k);
			rc = inoci_yaml_err(name, err, "no built-in scorer is named '%s'%s%s%s", name->s,
			                    near ? "; did you mean '" : "",
			                    near ? near : "; give its settings as {name: settings}", near ? "'?" : "");
			json_decref(known);
		}
		if (rc < 0) {
			json_decref(settings);
			return rc;
		}
		inoci_experiment_judge_under(e, settings);
		if ((rc = add_scorer(e, name, settings, err)) < 0) return rc;
	}
	return add_quality(e, n, err);
}

#define TSTRS(f) Y_STRS, .offset = offsetof(inoci_trait, f), .offset2 = offsetof(inoci_trait, n_##f)
static const inoci_ykey trait_keys[] = {
        {"label", Y_STR, .offset = offsetof(inoci_trait, label)},
        {"u", TSTRS(u), .required = true},
        {"w", TSTRS(w)},
        {"goal", TSTRS(goal)},
        {"plain", Y_STR, .offset = offsetof(inoci_trait, plain)},
        {"clean", Y_STR, .offset = offsetof(inoci_trait, clean)},
        {"controls", TSTRS(controls)},
        {"share", Y_DBL, .offset = offsetof(inoci_trait, share), .min = 0.01, .max = 1},
};

static int check_scorers(const inoci_experiment *e, const inoci_ynode *at, const char *what, char *const *v, size_t n,
                         inoc_err *err)
{
	for (size_t i = 0; i < n; i++) {
		size_t k = 0;
		while (k < e->n_scorers && strcmp(e->scorers[k].name, v[i])) k++;
		if (k == e->n_scorers)
			return inoci_yaml_err(at, err, "%s: '%.60s' is not one of this experiment's scorers", what, v[i]);
	}
	return 0;
}

static int check_arm(const inoci_experiment *e, const inoci_ynode *at, const char *what, const char *name, inoc_err *err)
{
	int arm = name ? inoci_experiment_arm(e, name) : 0;
	if (arm < 0) return inoci_yaml_err(at, err, "%s: there is no arm '%.60s'", what, name);
	if (name && e->arms[arm].adapter)
		return inoci_yaml_err(at, err, "%s: arm '%s' has a given adapter, which nothing can be measured against", what,
		                      name);
	return 0;
}

int inoci_experiment_only(const inoci_experiment *e, const char *role)
{
	int found = -1;
	for (size_t i = 0; i < e->n_arms; i++)
		if (!strcmp(e->arms[i].role, role) && !e->arms[i].swept_of) {
			if (found >= 0) return -1;
			found = (int)i;
		}
	return found;
}

static char *only_of_role(const inoci_experiment *e, const char *role)
{
	int arm = inoci_experiment_only(e, role);
	return arm < 0 ? NULL : inoci_strdup(e->arms[arm].name);
}

static int read_traits(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_experiment *e = dst;
	int rc = inoci_yaml_each_named(n, "traits", 50, err);
	if (rc < 0) return rc;
	e->traits = inoci_alloc(n->n * sizeof *e->traits);
	for (size_t i = 0; i < n->n; i++) {
		inoci_trait *t = &e->traits[e->n_traits++];
		const inoci_ynode *at = n->items[i];
		t->name = inoci_strdup(n->keys[i]->s);
		t->share = 1;
		char what[100];
		snprintf(what, sizeof what, "traits.%s", t->name);
		if ((rc = inoci_yaml_fill(at, what, trait_keys, INOCI_COUNT(trait_keys), t, ctx, err)) < 0) return rc;
		if (!t->label) t->label = inoci_strdup(t->name);
		if ((rc = check_scorers(e, at, what, t->u, t->n_u, err)) < 0 ||
		    (rc = check_scorers(e, at, what, t->w, t->n_w, err)) < 0 ||
		    (rc = check_scorers(e, at, what, t->goal, t->n_goal, err)) < 0 ||
		    (rc = check_arm(e, at, what, t->plain, err)) < 0 || (rc = check_arm(e, at, what, t->clean, err)) < 0)
			return rc;
		for (size_t k = 0; k < t->n_controls; k++)
			if ((rc = check_arm(e, at, what, t->controls[k], err)) < 0) return rc;
		if (!t->plain && !(t->plain = only_of_role(e, "plain")))
			return inoci_yaml_err(
			        at, err,
			        "%s: give `plain`, the arm it is measured against; there is not exactly one of role plain", what);
		t->base = only_of_role(e, "base");
		if (t->controls) continue;
		t->controls = inoci_alloc(e->n_arms * sizeof *t->controls);
		for (size_t k = 0; k < e->n_arms; k++)
			if (!strcmp(e->arms[k].role, "control") && !e->arms[k].swept_of)
				t->controls[t->n_controls++] = inoci_strdup(e->arms[k].name);
	}
	return 0;
}

/* ---- the whole ---- */

static int read_data(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_experiment *e = dst;
	(void)ctx;
	if (n->kind != YN_SCALAR) return inoci_yaml_err(n, err, "data must be a file");
	e->data = inoci_strdup(n->s);
	inoci_experiment_resolve(e, n, &e->data);
	return 0;
}

static int read_seeds(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_experiment *e = dst;
	(void)ctx;
	const inoci_ynode *one = n, *const *items = n->kind == YN_SEQ ? (const inoci_ynode *const *)n->items : &one;
	size_t k = n->kind == YN_SEQ ? n->n : 1;
	if (!k || k > MAX_SEEDS) return inoci_yaml_err(n, err, "seeds must be a list of 1 to %d whole numbers", MAX_SEEDS);
	free(e->seeds);
	e->seeds = inoci_alloc(k * sizeof *e->seeds);
	e->n_seeds = k;
	for (size_t i = 0; i < k; i++) {
		int64_t v;
		int rc = inoci_yaml_int(items[i], "a seed", 0, 9007199254740991.0, &v, err);
		if (rc < 0) return rc;
		e->seeds[i] = (uint64_t)v;
		for (size_t j = 0; j < i; j++)
			if (e->seeds[j] == e->seeds[i])
				return inoci_yaml_err(items[i], err, "seed %lld is given twice", (long long)v);
	}
	return 0;
}

/* Read when all that it names is. */
static int read_later(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	return (void)n, (void)dst, (void)ctx, (void)err, 0;
}

static const char *const dtypes[] = {"auto", "bf16", "f32", "q", NULL};
#define TOP(f) offsetof(inoci_experiment, f)
/* In this order: train before the arms that start from it, arms before the grid, which adds evaluations, arms and scorers before
 * the traits that name them. */
static const inoci_ykey top_keys[] = {
        {"name", Y_NAME, .required = true, .offset = TOP(name)},
        {"title", Y_STR, .offset = TOP(title)},
        {"question", Y_STR, .offset = TOP(question)},
        {"model", Y_STR, .required = true, .offset = TOP(model)},
        {"template", Y_STR, .offset = TOP(template_name)},
        {"data", Y_CALL, .call = read_data},
        {"data_source", Y_STR, .offset = TOP(data_source)},
        {"system", Y_STR, .offset = TOP(system)},
        {"dtype", Y_CHOICE, .offset = TOP(dtype), .names = dtypes},
        {"threads", Y_INT, .offset = TOP(threads), .min = 0, .max = 4096},
        {"out", Y_STR, .offset = TOP(out)},
        {"short", Y_INT, .offset = TOP(shortened), .min = 1, .max = 1000},
        {"seeds", Y_CALL, .call = read_seeds},
        {"allow_overlap", Y_BOOL, .offset = TOP(allow_overlap)},
        {"imported", Y_STRS, .offset = TOP(imported), .offset2 = TOP(n_imported)},
        {"train", Y_CALL, .call = read_train},
        {"sweep", Y_CALL, .call = inoci_sweep_read},
        {"controls", Y_CALL, .call = inoci_controls_read},
        {"curves", Y_CALL, .call = inoci_curves_read},
        {"directions", Y_CALL, .call = inoci_directions_read},
        {"arms", Y_CALL, .required = true, .call = read_arms},
        {"grid", Y_CALL, .call = inoci_grid_read},
        {"evaluations", Y_CALL, .required = true, .call = inoci_evaluations_read},
        {"judge", Y_CALL, .call = inoci_experiment_read_judge},
        {"scorers", Y_CALL, .required = true, .call = read_scorers},
        {"traits", Y_CALL, .call = read_traits},
        {"headline", Y_STR, .offset = TOP(headline)},
        {"generalisation", Y_CALL, .call = inoci_generalisation_read},
        {"bars", Y_STRS, .offset = TOP(bars), .offset2 = TOP(n_bars)},
        {"planes", Y_CALL, .call = read_later},
        {"expect", Y_CALL, .call = read_later},
};

static int finish(inoci_experiment *e, const inoci_ynode *root, inoc_err *err)
{
	int rc;
	inoci_grid_resolve(e);
	inoci_note_pools(e);
	inoci_short_apply(e);
	for (size_t i = 0; i < e->n_evals; i++) e->evals[i].imported = e->n_imported > 0;
	if (!e->title) e->title = inoci_strdup(e->name);
	if (!e->question) e->question = inoci_strdup("");
	if (!e->system) e->system = inoci_strdup("none");
	if (!e->dtype) e->dtype = inoci_strdup("auto");
	if (!e->out) e->out = inoci_asprintf("out/%s", e->name);
	if ((rc = inoci_curves_check(e, root, err)) < 0 || (rc = inoci_whens_resolve(e, root, err)) < 0) return rc;
	if (!strcmp(e->system, "own"))
		return inoci_yaml_err(inoci_yaml_get(root, "system"), err,
		                      "'own' is for evaluations; training takes none, empty, default or a text");
	if (!e->headline) e->headline = inoci_strdup(e->evals[0].name);
	if (inoci_experiment_eval(e, e->headline) < 0)
		return inoci_yaml_err(inoci_yaml_get(root, "headline"), err, "headline: there is no evaluation '%.60s'",
		                      e->headline);
	if (e->n_bars && (rc = check_scorers(e, inoci_yaml_get(root, "bars"), "bars", e->bars, e->n_bars, err)) < 0) return rc;
	if ((rc = inoci_experiment_fit_scorers(e, root, err)) < 0) return rc;
	if ((rc = inoci_experiment_check_scorers(e, root, err)) < 0) return rc;
	if (!e->n_bars) {
		free(e->bars);
		e->bars = inoci_alloc(e->n_scorers * sizeof *e->bars);
		for (size_t i = 0; i < e->n_scorers; i++)
			if (!e->scorers[i].real && !e->scorers[i].added) e->bars[e->n_bars++] = inoci_strdup(e->scorers[i].name);
	}
	for (size_t i = 0; i < e->n_arms; i++) {
		inoci_arm *a = &e->arms[i];
		const inoci_ynode *at = inoci_yaml_get(inoci_yaml_get(root, "arms"), a->name);
		a->inoculation.last_only = a->recipe.loss_last;
		if (a->swept_of) continue; /* shown beside its arm, not judged */
		if (a->train && !strcmp(e->dtype, "q"))
			return inoci_yaml_err(inoci_yaml_get(root, "dtype"), err,
			                      "dtype q is for sampling and scoring, and arm %s trains: use auto, bf16 or f32",
			                      a->name);
		for (size_t k = 0; k < a->n_traits; k++)
			if (inoci_experiment_trait(e, a->traits[k]) < 0)
				return inoci_yaml_err(at, err, "arms.%s.trait: there is no trait '%.60s'", a->name, a->traits[k]);
		if (!strcmp(a->role, "inoculated") && !a->n_traits && e->n_traits == 1) {
			a->traits = strings_copy(&e->traits[0].name, 1);
			a->n_traits = 1;
		} else if (!strcmp(a->role, "inoculated") && !a->n_traits && e->n_traits > 1) {
			return inoci_yaml_err(at, err,
			                      "arms.%s has role inoculated: say which trait its prompt asks for (trait: NAME)",
			                      a->name);
		} else if (!strcmp(a->role, "control") && !a->n_traits && e->n_traits) {
			a->traits = inoci_alloc(e->n_traits * sizeof *a->traits);
			for (; a->n_traits < e->n_traits; a->n_traits++)
				a->traits[a->n_traits] = inoci_strdup(e->traits[a->n_traits].name);
		}
	}
	return 0;
}

int inoci_experiment_parse(const char *path, const char *text, size_t n, const char *const *sets, size_t n_sets,
                           inoci_experiment **out, inoc_err *err)
{
	int rc = 0;
	inoci_arena *arena = inoci_arena_new();
	inoci_ynode *root = NULL;
	inoci_experiment *e = inoci_alloc(sizeof *e);
	*out = NULL;
	e->path = inoci_strdup(path);
	e->dir = inoci_path_dir(path);
	e->text = inoci_strndup(text, n);
	e->text_n = n;
	e->sets = strings_copy((char *const *)(const void *)sets, n_sets);
	e->n_sets = n_sets;
	e->recipe.config = inoci_train_defaults();
	e->seeds = inoci_alloc(sizeof *e->seeds);
	e->seeds[0] = 1;
	e->n_seeds = 1;
	INOC_TRY(inoci_yaml_parse(path, text, n, arena, &root, err));
	for (size_t i = 0; i < n_sets; i++) INOC_TRY(inoci_yaml_set(root, sets[i], arena, err));
	inoci_yreader rd = {.e = e, .what = "", .root = root, .arena = arena};
	INOC_TRY(inoci_yaml_fill(root, "", top_keys, INOCI_COUNT(top_keys), e, &rd, err));
	INOC_TRY(finish(e, root, err));
	INOC_TRY(inoci_planes_read(inoci_yaml_get(root, "planes"), &rd, err));
	INOC_TRY(inoci_expect_read(e, inoci_yaml_get(root, "expect"), err));
	if (e->shortened) e->n_expect = 0; /* they are of the whole experiment */
	*out = e;
	e = NULL;
out:
	inoci_experiment_free(e);
	inoci_arena_free(arena);
	return rc;
}

int inoci_experiment_read(const char *path, const char *const *sets, size_t n_sets, inoci_experiment **out, inoc_err *err)
{
	char *text = NULL;
	size_t n;
	*out = NULL;
	int rc = inoci_file_read(path, &text, &n, err);
	if (rc == 0) rc = inoci_experiment_parse(path, text, n, sets, n_sets, out, err);
	free(text);
	return rc;
}

void inoci_experiment_free(inoci_experiment *e)
{
	if (!e) return;
	for (size_t i = 0; i < e->n_arms; i++) {
		inoci_arm *a = &e->arms[i];
		free(a->name), free(a->role), free(a->label), free(a->data), free(a->adapter), free(a->own_system);
		inoci_strings_free(a->traits, a->n_traits);
		inoci_inoculation_free(&a->inoculation);
		inoci_when_free(a->when);
		free(a->recipe.validation_file), free(a->matched), free(a->swept_of);
	}
	for (size_t i = 0; i < e->n_evals; i++) inoci_evaluation_free(&e->evals[i]);
	for (size_t i = 0; i < e->n_scorers; i++) {
		free(e->scorers[i].name), free(e->scorers[i].on), json_decref(e->scorers[i].settings);
		inoci_strings_free(e->scorers[i].checked, e->scorers[i].n_checked);
	}
	for (size_t i = 0; i < e->n_traits; i++) {
		inoci_trait *t = &e->traits[i];
		free(t->name), free(t->label), free(t->plain), free(t->clean), free(t->base);
		inoci_strings_free(t->u, t->n_u), inoci_strings_free(t->w, t->n_w), inoci_strings_free(t->goal, t->n_goal);
		inoci_strings_free(t->controls, t->n_controls);
	}
	free(e->path), free(e->dir), free(e->name), free(e->title), free(e->question), free(e->model), free(e->template_name);
	free(e->data), free(e->data_source), free(e->dtype), free(e->system), free(e->out), free(e->seeds),
	        free(e->recipe.validation_file);
	json_decref(e->judge);
	free(e->arms), free(e->evals), free(e->scorers), free(e->traits), free(e->headline), free(e->text), free(e->expect);
	inoci_strings_free(e->bars, e->n_bars);
	inoci_strings_free(e->sets, e->n_sets);
	inoci_expansions_free(e);
	inoci_curves_free(e);
	inoci_planes_free(e);
	free(e);
}
