/* Names of an experiment as indices; and what its scorers' range allows. */
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
	char name[80];
	snprintf(name, sizeof name, ",%.60s,", e->evals[eval].name);
	return !on || strstr(on, name);
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
