/* What a trait's scorers say on every evaluation, and the interaction: does an arm fall more where it was not trained? */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

static bool fits(const inoci_results *r, int eval, char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int k = inoci_results_scorer(r, names[i]);
		if (k < 0 || !inoci_results_fits(r, k, eval)) return false;
	}
	return n > 0;
}

static void put(json_t *o, const char *key, const inoci_summary *s, int arm, int eval, char *const *names, size_t n)
{
	inoci_estimate e = {0};
	if (fits(s->r, eval, names, n)) e = inoci_sum_share(s, arm, eval, names, n);
	json_object_set_new(o, key, e.n ? inoci_estimate_json(&e) : json_null());
}

static bool in_grid(const inoci_experiment *e, int eval)
{
	for (size_t i = 0; i < e->n_grid; i++)
		if (e->grid[i].eval == eval && !strncmp(e->evals[eval].name, "grid_", 5)) return true;
	return false;
}

json_t *inoci_by_evaluation_json(const inoci_summary *s)
{
	const inoci_experiment *e = s->r->e;
	json_t *all = json_array();
	for (size_t k = 0; k < e->n_traits; k++) {
		const inoci_trait *t = &e->traits[k];
		for (int a = 0; a < (int)e->n_arms; a++)
			for (int v = 0; v < (int)e->n_evals; v++) {
				if (in_grid(e, v) || !inoci_results_cell(s->r, a, v)->n || !fits(s->r, v, t->u, t->n_u)) continue;
				json_t *o = json_pack("{s:s, s:s, s:s}", "trait", t->name, "arm", e->arms[a].name, "evaluation",
				                      e->evals[v].name);
				put(o, "u", s, a, v, t->u, t->n_u);
				put(o, "w", s, a, v, t->w, t->n_w);
				put(o, "goal", s, a, v, t->goal, t->n_goal);
				json_array_append_new(all, o);
			}
	}
	return all;
}

json_t *inoci_arms_json(const inoci_summary *s)
{
	const inoci_experiment *e = s->r->e;
	json_t *all = json_array();
	for (size_t a = 0; a < e->n_arms; a++) {
		char *prompt = e->arms[a].has_inoculation ? inoci_arm_prompt(&e->arms[a]) : NULL;
		json_array_append_new(all, json_pack("{s:s, s:s*, s:s*, s:s?}", "name", e->arms[a].name, "role", e->arms[a].role,
		                                     "label", e->arms[a].label, "prompt", prompt));
		free(prompt);
	}
	return all;
}

json_t *inoci_evals_json(const inoci_summary *s)
{
	const inoci_experiment *e = s->r->e;
	json_t *all = json_array();
	for (int v = 0; v < (int)e->n_evals; v++)
		json_array_append_new(all, json_pack("{s:s, s:s*, s:s*, s:b}", "name", e->evals[v].name, "label",
		                                     e->evals[v].label, "system", e->evals[v].system, "grid", in_grid(e, v)));
	return all;
}

json_t *inoci_interactions_json(const inoci_summary *s)
{
	const inoci_experiment *e = s->r->e;
	json_t *all = json_array();
	for (size_t i = 0; i < s->n_judgements; i++) {
		const inoci_judgement *j = &s->judgements[i];
		const inoci_generalisation *g = &j->general;
		if (!g->more.diff.n) continue;
		json_t *o = inoci_estimate_json(&g->more.diff);
		json_object_set_new(o, "p", isfinite(g->more.p) ? json_real(g->more.p) : json_null());
		json_object_set_new(o, "trait", json_string(e->traits[j->trait].name));
		json_object_set_new(o, "arm", json_string(e->arms[j->arm].name));
		json_object_set_new(o, "id", json_string(e->evals[e->inside].name));
		json_object_set_new(o, "ood", json_string(e->evals[e->outside].name));
		json_object_set_new(o, "id_minus_plain", inoci_estimate_json(&g->less_inside.diff));
		json_object_set_new(o, "ood_minus_plain", inoci_estimate_json(&g->less_outside.diff));
		json_array_append_new(all, o);
	}
	return all;
}
