/* Sweeps: one numeric setting over several values. Each arm named is varied: NAME@KEY=VALUE is the arm with that value, an arm
 * like any other but that no verdict is reached on it. The variants are put into the tree of the file before its arms are read.
 */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

enum { MAX_VALUES = 50 };

typedef struct {
	char **values, **arms;
	size_t n_values, n_arms;
} settings;

static const inoci_ykey sweep_keys[] = {
        {"values", Y_STRS, .required = true, .offset = offsetof(settings, values), .offset2 = offsetof(settings, n_values)},
        {"arms", Y_STRS, .offset = offsetof(settings, arms), .offset2 = offsetof(settings, n_arms)},
};

static bool is_scalar(const inoci_ynode *map, const char *key, const char *text)
{
	const inoci_ynode *n = inoci_yaml_get(map, key);
	return n && n->kind == YN_SCALAR && !strcmp(n->s, text);
}

/* Whether the arm can be varied: it is trained, and inoculates where its fraction is. */
static bool varies(const inoci_ynode *arm, bool fraction)
{
	return arm->kind == YN_MAP && !is_scalar(arm, "role", "base") && !inoci_yaml_get(arm, "adapter") &&
	       (!fraction || inoci_yaml_get(arm, "inoculate"));
}

static inoci_ynode *variant(inoci_yreader *rd, const inoci_ynode *arm, const char *key, inoci_ynode *value)
{
	bool fraction = !strcmp(key, "fraction");
	const char *part = fraction ? "inoculate" : "train";
	inoci_ynode *v = inoci_yaml_map(rd->arena, arm, arm), *in = inoci_yaml_map(rd->arena, value, inoci_yaml_get(arm, part));
	inoci_ynode *none = inoci_yaml_map(rd->arena, value, NULL);
	none->kind = YN_NULL;
	/* of two keys that exclude each other the swept one holds */
	if (!strcmp(key, "steps") && inoci_yaml_get(in, "epochs")) inoci_yaml_put(rd->arena, in, "epochs", none);
	if (!strcmp(key, "epochs") && inoci_yaml_get(in, "steps")) inoci_yaml_put(rd->arena, in, "steps", none);
	inoci_yaml_put(rd->arena, in, key, value);
	inoci_yaml_put(rd->arena, v, part, in);
	inoci_yaml_put(rd->arena, v, "label", none); /* its name says what it is */
	inoci_yaml_put(rd->arena, v, "trait", none); /* not judged */
	return v;
}

static int check_arm(const inoci_ynode *arms, const inoci_ynode *at, const char *key, const char *name, inoc_err *err)
{
	const inoci_ynode *arm = inoci_yaml_get(arms, name);
	if (!arm) return inoci_yaml_err(at, err, "sweep.%s: there is no arm '%.60s'", key, name);
	if (!varies(arm, !strcmp(key, "fraction")))
		return inoci_yaml_err(at, err, "sweep.%s: arm '%s' %s", key, name,
		                      strcmp(key, "fraction") ? "is not trained here, so it has nothing to vary"
		                                              : "does not inoculate, so it has no fraction");
	return 0;
}

/* The arms of `file`, as many as there were, get their variants behind them in `arms`. */
static int expand(inoci_yreader *rd, inoci_ynode *arms, const inoci_ynode *file, const char *key, const inoci_ynode *at,
                  settings *s, inoc_err *err)
{
	const inoci_ynode *list = at->kind == YN_MAP ? inoci_yaml_get(at, "values") : at, *one[] = {list};
	const inoci_ynode *const *values = list->kind == YN_SEQ ? (const inoci_ynode *const *)list->items : one;
	for (size_t k = 0; k < s->n_arms; k++) {
		int rc = check_arm(file, at, key, s->arms[k], err);
		for (size_t i = 0; i < s->n_values && rc == 0; i++) {
			double number;
			char *what = inoci_asprintf("sweep.%s", key),
			     *name = inoci_asprintf("%s@%s=%s", s->arms[k], key, s->values[i]);
			rc = inoci_yaml_dbl(values[i], what, -1e300, 1e300, &number, err);
			if (rc == 0 && inoci_yaml_get(arms, name))
				rc = inoci_yaml_err(values[i], err, "%s: %s is given twice", what, s->values[i]);
			inoci_ynode *value = inoci_arena_alloc(rd->arena, sizeof *value);
			*value = *values[i];
			if (rc == 0)
				inoci_yaml_put(rd->arena, arms, name, variant(rd, inoci_yaml_get(file, s->arms[k]), key, value));
			free(what), free(name);
		}
		if (rc < 0) return rc;
	}
	return 0;
}

static int read_one(inoci_experiment *e, inoci_yreader *rd, inoci_ynode *arms, const inoci_ynode *file, const inoci_ynode *key,
                    const inoci_ynode *at, inoc_err *err)
{
	static const inoci_ykey short_keys[] = {
	        {"values", Y_STRS, .offset = offsetof(settings, values), .offset2 = offsetof(settings, n_values)}};
	settings s = {0};
	inoci_ynode *map = (inoci_ynode *)(uintptr_t)at;
	char *what = inoci_asprintf("sweep.%s", key->s);
	int rc;
	if (strcmp(key->s, "fraction") && !inoci_recipe_numeric(key->s)) {
		char *known = inoci_recipe_numerics();
		rc = inoci_yaml_err(key, err, "sweep: '%.60s' is no numeric setting; known: fraction, %s", key->s, known);
		free(known);
		goto out;
	}
	if (at->kind != YN_MAP) {
		map = inoci_yaml_map(rd->arena, at, NULL);
		inoci_yaml_put(rd->arena, map, "values", (inoci_ynode *)(uintptr_t)at);
		INOC_TRY(inoci_yaml_fill(map, what, short_keys, INOCI_COUNT(short_keys), &s, rd, err));
	} else
		INOC_TRY(inoci_yaml_fill(at, what, sweep_keys, INOCI_COUNT(sweep_keys), &s, rd, err));
	if (!s.n_values || s.n_values > MAX_VALUES) {
		rc = inoci_yaml_err(at, err, "%s must be a list of 1 to %d values", what, MAX_VALUES);
		goto out;
	}
	if (!s.arms) {
		s.arms = inoci_alloc((file->n + 1) * sizeof *s.arms);
		for (size_t i = 0; i < file->n; i++)
			if (varies(file->items[i], !strcmp(key->s, "fraction")))
				s.arms[s.n_arms++] = inoci_strdup(file->keys[i]->s);
	}
	INOC_TRY(expand(rd, arms, file, key->s, at, &s, err));
	e->sweeps = inoci_realloc(e->sweeps, (e->n_sweeps + 1) * sizeof *e->sweeps);
	e->sweeps[e->n_sweeps++] = (inoci_sweep){.key = inoci_strdup(key->s), .arms = s.arms, .n_arms = s.n_arms};
	s.arms = NULL;
	s.n_arms = 0;
out:
	free(what);
	for (size_t i = 0; i < s.n_values; i++) free(s.values[i]);
	for (size_t i = 0; i < s.n_arms; i++) free(s.arms[i]);
	free(s.values), free(s.arms);
	return rc < 0 ? rc : 0;
}

int inoci_sweep_read(const inoci_ynode *n, void *experiment, void *reader, inoc_err *err)
{
	inoci_yreader *rd = reader;
	const inoci_ynode *file = inoci_yaml_get(rd->root, "arms");
	if (n->kind != YN_MAP || !n->n)
		return inoci_yaml_err(n, err, "sweep must be a mapping from settings to values: {lr: [3e-4, 1e-3]}");
	if (!file || file->kind != YN_MAP) return 0; /* said where these are read */
	for (size_t i = 0; i < file->n; i++) {
		int rc = inoci_yaml_name(file->keys[i], "arms", err);
		if (rc < 0) return rc;
	}
	inoci_ynode *arms = inoci_arena_alloc(rd->arena, sizeof *arms);
	*arms = *file;
	for (size_t i = 0; i < n->n; i++) {
		int rc = read_one(experiment, rd, arms, file, n->keys[i], n->items[i], err);
		if (rc < 0) return rc;
	}
	inoci_yaml_put(rd->arena, rd->root, "arms", arms);
	return 0;
}

void inoci_sweep_mark(const inoci_experiment *e, inoci_arm *a)
{
	const char *at = strchr(a->name, '@'), *eq = at ? strchr(at, '=') : NULL; /* in no name of a file */
	if (!eq) return;
	a->swept_of = inoci_strndup(a->name, (size_t)(at - a->name));
	a->swept = strtod(eq + 1, NULL);
	for (size_t i = 0; i < e->n_sweeps; i++)
		if (strlen(e->sweeps[i].key) == (size_t)(eq - at - 1) && !memcmp(e->sweeps[i].key, at + 1, (size_t)(eq - at - 1)))
			a->sweep = (int)i;
}
