/* Names of an experiment as indices; and what its scorers' range allows. */
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

bool inoci_experiment_applies(const inoci_experiment *e, size_t scorer, int eval)
{
	const inoci_scorer_spec *s = &e->scorers[scorer];
	for (size_t i = 0; i < s->n_on; i++)
		if (!strcmp(s->on[i], e->evals[eval].name)) return true;
	return !s->n_on;
}

int inoci_scorer_read_on(const inoci_experiment *e, inoci_scorer_spec *s, const inoci_ynode *at, json_t *settings, inoc_err *err)
{
	json_t *on = json_object_get(settings, "on"), *v;
	size_t i;
	if (!on) return 0;
	bool list = json_is_array(on);
	s->on = inoci_alloc((json_array_size(on) + 1) * sizeof *s->on);
	for (i = 0; i < (list ? json_array_size(on) : 1); i++) {
		v = list ? json_array_get(on, i) : on;
		if (!json_is_string(v) || inoci_experiment_eval(e, json_string_value(v)) < 0)
			return inoci_yaml_err(at, err, "on: '%.60s' is not one of this experiment's evaluations",
			                      json_is_string(v) ? json_string_value(v) : "(no name)");
		s->on[s->n_on++] = inoci_strdup(json_string_value(v));
	}
	if (!s->n_on) return inoci_yaml_err(at, err, "on: names no evaluation");
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
		if (!inoci_experiment_applies(e, (size_t)inoci_experiment_scorer(e, v[i]), inoci_experiment_eval(e, e->headline)))
			return inoci_yaml_err(at, err, "%s: '%.60s' does not score the headline evaluation %s (its `on`)", what,
			                      v[i], e->headline);
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
