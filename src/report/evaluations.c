/* What a trait's scorers say on every evaluation, and the interaction: does an arm fall more where it was not trained?
 *
 * Evaluations are a pair by their names: "id" and "ood", each with the same ending ("id_greedy" and "ood_greedy").
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

#define RNG_SEED 20251009

static bool fits(const inoci_results *r, int eval, char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int k = inoci_results_scorer(r, names[i]);
		if (k < 0 || !inoci_results_fits(r, k, eval)) return false;
	}
	return n > 0;
}

static inoci_scores sum(const inoci_results *r, int arm, int eval, char *const *names, size_t n)
{
	int *idx = inoci_alloc((n + 1) * sizeof *idx);
	for (size_t i = 0; i < n; i++) idx[i] = inoci_results_scorer(r, names[i]);
	inoci_scores s = inoci_results_scores(r, arm, eval, idx, (int)n, -1);
	free(idx);
	return s;
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

/* The evaluation "ood..." beside "id..."; -1: none. */
static int outside(const inoci_experiment *e, int id)
{
	const char *name = e->evals[id].name;
	if (strncmp(name, "id", 2) || (name[2] && name[2] != '_')) return -1;
	char *other = inoci_asprintf("ood%s", name + 2);
	int v = inoci_experiment_eval(e, other);
	free(other);
	return v;
}

static bool compared(const inoci_experiment *e, const inoci_trait *t, int arm)
{
	if (!strcmp(e->arms[arm].role, "other")) return e->n_traits == 1 && !e->arms[arm].adapter;
	for (size_t i = 0; i < e->arms[arm].n_traits; i++)
		if (!strcmp(e->arms[arm].traits[i], t->name)) return true;
	return false;
}

json_t *inoci_interactions_json(const inoci_summary *s)
{
	const inoci_results *r = s->r;
	const inoci_experiment *e = r->e;
	json_t *all = json_array();
	double *p = inoci_alloc((e->n_traits * e->n_arms * e->n_evals + 1) * sizeof *p);
	size_t n = 0, i;
	json_t *o;
	for (size_t k = 0; k < e->n_traits; k++) {
		const inoci_trait *t = &e->traits[k];
		int plain = inoci_experiment_arm(e, t->plain);
		for (int id = 0; id < (int)e->n_evals; id++) {
			int ood = outside(e, id);
			if (ood < 0 || plain < 0 || !fits(r, id, t->u, t->n_u) || !fits(r, ood, t->u, t->n_u)) continue;
			for (int a = 0; a < (int)e->n_arms; a++) {
				if (a == plain || !compared(e, t, a)) continue;
				inoci_scores x[4] = {sum(r, a, ood, t->u, t->n_u), sum(r, plain, ood, t->u, t->n_u),
				                     sum(r, a, id, t->u, t->n_u), sum(r, plain, id, t->u, t->n_u)};
				if (x[0].n && x[1].n && x[2].n && x[3].n) {
					inoci_comparison c =
					        inoci_interaction_ci(&x[0], &x[1], &x[2], &x[3], RNG_SEED, INOCI_REPORT_BOOT);
					o = inoci_estimate_json(&c.diff);
					json_object_set_new(o, "trait", json_string(t->name));
					json_object_set_new(o, "arm", json_string(e->arms[a].name));
					json_object_set_new(o, "id", json_string(e->evals[id].name));
					json_object_set_new(o, "ood", json_string(e->evals[ood].name));
					json_array_append_new(all, o);
					p[n++] = c.p;
				}
				for (int q = 0; q < 4; q++) inoci_scores_free(&x[q]);
			}
		}
	}
	inoci_holm(p, n);
	json_array_foreach(all, i, o) json_object_set_new(o, "p", isfinite(p[i]) ? json_real(p[i]) : json_null());
	free(p);
	return all;
}
