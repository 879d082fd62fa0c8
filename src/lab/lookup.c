/* What is where in an experiment: arms, evaluations, traits and scorers by name, who is evaluated and scored on what, what was
 * noted. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

int inoci_experiment_arm(const inoci_experiment *e, const char *name)
{
	for (size_t i = 0; i < e->n_arms; i++)
		if (!strcmp(e->arms[i].name, name)) return (int)i;
	return -1;
}

int inoci_experiment_eval(const inoci_experiment *e, const char *name)
{
	for (size_t i = 0; i < e->n_evals; i++)
		if (!strcmp(e->evals[i].name, name)) return (int)i;
	return -1;
}

int inoci_experiment_trait(const inoci_experiment *e, const char *name)
{
	for (size_t i = 0; i < e->n_traits; i++)
		if (!strcmp(e->traits[i].name, name)) return (int)i;
	return -1;
}

int inoci_experiment_scorer(const inoci_experiment *e, const char *name)
{
	for (size_t i = 0; i < e->n_scorers; i++)
		if (!strcmp(e->scorers[i].name, name)) return (int)i;
	return -1;
}

bool inoci_experiment_applies(const inoci_experiment *e, const char *on, int eval)
{
	const char *names[] = {e->evals[eval].name,
	                       inoci_experiment_like(e, e->evals[eval].name)}; /* a cell of the grid: as that */
	bool found = !on;
	for (int i = 0; i < 2 && !found; i++) {
		char *name = inoci_asprintf(",%s,", names[i]);
		found = strstr(on, name) != NULL;
		free(name);
	}
	return found;
}

int inoci_scorer_take_on(json_t *settings, char **on, inoc_err *err)
{
	json_t *given = json_object_get(settings, "on");
	size_t n = json_is_array(given) ? json_array_size(given) : 1;
	inoci_buf b = {0};
	*on = NULL;
	if (!given) return 0;
	inoci_buf_puts(&b, ",");
	for (size_t i = 0; i < n; i++) {
		json_t *v = json_is_array(given) ? json_array_get(given, i) : given;
		if (json_is_string(v)) inoci_buf_printf(&b, "%s,", json_string_value(v));
		if (json_is_string(v) && json_string_length(v) && !strchr(json_string_value(v), ',')) continue;
		inoci_buf_free(&b);
		return inoci_err_set(err, INOC_E_USAGE, "\"on\" wants the name of an evaluation, or a list of names");
	}
	*on = inoci_buf_take(&b);
	if (!n) return inoci_err_set(err, INOC_E_USAGE, "\"on\" names no evaluation");
	json_object_del(settings, "on");
	return 0;
}

/* Shares add up, other numbers do not. */
static int check_sum(const inoci_experiment *e, const inoci_ynode *at, const char *what, char *const *v, size_t n, inoc_err *err)
{
	for (size_t i = 0; i < n && n > 1; i++)
		if (e->scorers[inoci_experiment_scorer(e, v[i])].real)
			return inoci_yaml_err(at, err, "%s: '%.60s' gives any number, not a share of answers, so it stands alone",
			                      what, v[i]);
	/* verdicts are read on the headline evaluation */
	for (size_t i = 0; i < n; i++)
		if (!inoci_experiment_applies(e, e->scorers[inoci_experiment_scorer(e, v[i])].on,
		                              inoci_experiment_eval(e, e->headline)))
			return inoci_yaml_err(at, err, "%s: '%.60s' does not score the headline evaluation %s", what, v[i],
			                      e->headline);
	return 0;
}

int inoci_experiment_check_scorers(const inoci_experiment *e, const inoci_ynode *root, inoc_err *err)
{
	const inoci_ynode *traits = inoci_yaml_get(root, "traits");
	int rc;
	for (size_t i = 0; i < e->n_bars; i++)
		if (e->scorers[inoci_experiment_scorer(e, e->bars[i])].real)
			return inoci_yaml_err(inoci_yaml_get(root, "bars"), err,
			                      "bars: '%.60s' gives any number, not a share of answers", e->bars[i]);
	for (size_t i = 0; i < e->n_traits; i++) {
		const inoci_trait *t = &e->traits[i];
		const inoci_ynode *at = inoci_yaml_get(traits, t->name);
		if ((rc = check_sum(e, inoci_yaml_get(at, "u"), "u", t->u, t->n_u, err)) < 0 ||
		    (rc = check_sum(e, inoci_yaml_get(at, "w"), "w", t->w, t->n_w, err)) < 0 ||
		    (rc = check_sum(e, inoci_yaml_get(at, "goal"), "goal", t->goal, t->n_goal, err)) < 0)
			return rc;
	}
	return 0;
}

const inoci_grid_row *inoci_experiment_grid(const inoci_experiment *e, int eval)
{
	for (size_t i = 0; i < e->n_grid; i++)
		if (e->grid[i].eval == eval) return &e->grid[i];
	return NULL;
}

const char *inoci_experiment_like(const inoci_experiment *e, const char *eval)
{
	for (size_t i = 0; i < e->n_grid; i++)
		if (!strcmp(e->grid[i].name, eval)) return e->grid_like;
	return eval;
}

bool inoci_experiment_wants(const inoci_experiment *e, int arm, int eval)
{
	const inoci_grid_row *row = inoci_experiment_grid(e, eval);
	for (size_t i = 0; row && i < row->n_arms; i++)
		if (!strcmp(row->arms[i], e->arms[arm].name)) return true;
	return !row;
}

bool inoci_experiment_asks(const inoci_experiment *e, const inoci_arm *a, const inoci_trait *t)
{
	if (strcmp(a->role, "inoculated")) return false;
	for (size_t i = 0; i < a->n_traits; i++)
		if (!strcmp(a->traits[i], t->name)) return true;
	return !a->n_traits && e->n_traits == 1;
}

double inoci_arm_value(const inoci_arm *a, const char *key)
{
	if (strcmp(key, "fraction")) return inoci_recipe_value(&a->recipe, key);
	return a->has_inoculation ? a->inoculation.fraction : NAN;
}

void inoci_experiment_note(inoci_experiment *e, const char *fmt, ...)
{
	inoci_buf b = {0};
	va_list ap;
	va_start(ap, fmt);
	inoci_buf_vprintf(&b, fmt, ap);
	va_end(ap);
	e->notes = inoci_realloc(e->notes, (e->n_notes + 1) * sizeof *e->notes);
	e->notes[e->n_notes++] = inoci_buf_take(&b);
}

void inoci_expansions_free(inoci_experiment *e)
{
	for (size_t i = 0; i < e->n_grid; i++) {
		inoci_grid_row *r = &e->grid[i];
		free(r->name), free(r->text), free(r->trait), free(r->of);
		inoci_strings_free(r->arms, r->n_arms);
	}
	for (size_t i = 0; i < e->n_sweeps; i++) {
		free(e->sweeps[i].key);
		inoci_strings_free(e->sweeps[i].arms, e->sweeps[i].n_arms);
	}
	free(e->grid), free(e->grid_like), free(e->sweeps);
	inoci_strings_free(e->imported, e->n_imported);
	inoci_strings_free(e->notes, e->n_notes);
}
