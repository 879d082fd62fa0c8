/* analysis: what `inoc analyse` found, as JSON; and what the page and the program show of it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

static json_t *num(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

inoci_spread inoci_update_spread(const inoci_results *r, int arm, int layer, int proj)
{
	inoci_spread v = {.low = INFINITY, .high = -INFINITY};
	for (int s = 0; s < r->n_seeds; s++) {
		const inoci_result_update *u = &r->analysis.updates[(size_t)arm * (size_t)r->n_seeds + (size_t)s];
		if (!u->n_layers) continue;
		double x = inoci_update_norm(u, layer, proj);
		v.mean += x, v.low = fmin(v.low, x), v.high = fmax(v.high, x);
		v.n++;
	}
	v.mean = v.n ? v.mean / v.n : NAN;
	return v;
}

inoci_spread inoci_gradient_spread(const inoci_results *r, int arm, inoci_gradient_value what, int dir)
{
	inoci_spread v = {.low = INFINITY, .high = -INFINITY};
	for (int s = 0; s < r->n_seeds; s++) {
		const inoci_result_gradient *g = &r->analysis.gradients[(size_t)arm * (size_t)r->n_seeds + (size_t)s];
		if (!g->n) continue;
		double x = what == INOCI_GRAD_WITH      ? g->with
		           : what == INOCI_GRAD_WITHOUT ? g->without
		           : what == INOCI_GRAD_SAME    ? g->same
		           : what == INOCI_GRAD_TOWARD  ? g->toward_with[dir]
		                                        : g->toward_without[dir];
		if (isnan(x)) continue;
		v.mean += x, v.low = fmin(v.low, x), v.high = fmax(v.high, x);
		v.n++;
	}
	v.mean = v.n ? v.mean / v.n : NAN;
	return v;
}

/* ---- JSON ---- */

static json_t *ranks_json(const inoci_results *r, const inoci_rank *k)
{
	json_t *j = json_object();
	for (size_t d = 0; d < r->e->n_directions && k; d++)
		json_object_set_new(j, r->e->directions[d].name,
		                    json_pack("{s:o, s:[o,o], s:o}", "spearman", num(k[d].rho), "interval", num(k[d].low),
		                              num(k[d].high), "p", num(k[d].p)));
	return j;
}

static json_t *relation_json(const inoci_results *r, int trait)
{
	inoci_relation q = inoci_relation_of(r, trait, 0);
	json_t *points = json_array(), *j;
	for (size_t i = 0; i < q.n; i++) {
		const inoci_result_surprise *s = &r->analysis.surprise[q.arm[i]];
		json_t *seeds = json_array();
		for (int k = 0; k < q.n_seeds; k++)
			json_array_append_new(seeds, num(q.seed_y[i * (size_t)q.n_seeds + (size_t)k]));
		json_array_append_new(points, json_pack("{s:s, s:o, s:[o,o], s:o, s:o, s:o}", "arm", r->e->arms[q.arm[i]].name,
		                                        "surprise_removed", num(s->removed), "interval", num(s->low),
		                                        num(s->high), q.drop ? "drop" : "suppression", num(q.y[i]), "seeds",
		                                        seeds, "goal", num(q.goal ? q.goal[i] : NAN)));
	}
	j = json_pack("{s:s, s:i, s:i, s:i, s:o, s:[o,o], s:o, s:o}", "trait", r->e->traits[trait].name, "prompts", (int)q.n,
	              "controls", (int)q.n_controls, "seeds", q.n_seeds, "spearman", num(q.u.rho), "interval", num(q.u.low),
	              num(q.u.high), "p", num(q.u.p), "points", points);
	if (q.goal)
		json_object_set_new(j, "goal",
		                    json_pack("{s:o, s:[o,o], s:o}", "spearman", num(q.goal_rank.rho), "interval",
		                              num(q.goal_rank.low), num(q.goal_rank.high), "p", num(q.goal_rank.p)));
	json_object_set_new(j, "toward", ranks_json(r, q.toward));
	json_object_set_new(j, "contrast", ranks_json(r, q.contrast));
	inoci_relation_free(&q);
	return j;
}

static json_t *surprise_json(const inoci_results *r, int arm)
{
	const inoci_result_surprise *s = &r->analysis.surprise[arm];
	json_t *controls = json_array(), *contrast = json_object();
	for (size_t d = 0; d < r->e->n_directions; d++)
		json_object_set_new(contrast, r->e->directions[d].name, num(s->contrast ? s->contrast[d] : NAN));
	for (size_t i = 0; i < s->n_controls; i++) json_array_append_new(controls, json_string(s->controls[i]));
	return json_pack("{s:s, s:i, s:o, s:o, s:o, s:[o,o], s:o, s:o}", "arm", r->e->arms[arm].name, "records", (int)s->n,
	                 "gain", num(s->gain), "controls_gain", num(s->control), "removed", num(s->removed), "interval",
	                 num(s->low), num(s->high), "controls", controls, "contrast", contrast);
}

static json_t *toward_json(const inoci_results *r, const double *v)
{
	json_t *j = json_object();
	for (size_t i = 0; i < r->e->n_directions; i++) json_object_set_new(j, r->e->directions[i].name, num(v[i]));
	return j;
}

static void seed_rows(const inoci_results *r, int arm, json_t *gradients, json_t *updates)
{
	for (int s = 0; s < r->n_seeds; s++) {
		size_t at = (size_t)arm * (size_t)r->n_seeds + (size_t)s;
		const inoci_result_gradient *g = &r->analysis.gradients[at];
		const inoci_result_update *u = &r->analysis.updates[at];
		const char *name = r->e->arms[arm].name;
		json_int_t seed = (json_int_t)r->seeds[s];
		if (g->n)
			json_array_append_new(gradients, json_pack("{s:s, s:I, s:i, s:o, s:o, s:o, s:o, s:o}", "arm", name,
			                                           "seed", seed, "records", (int)g->n, "norm_with", num(g->with),
			                                           "norm_without", num(g->without), "cosine_of_both",
			                                           num(g->same), "toward_with", toward_json(r, g->toward_with),
			                                           "toward_without", toward_json(r, g->toward_without)));
		if (!u->n_layers) continue;
		json_t *rows = json_array();
		for (int l = 0; l < u->n_layers; l++) {
			json_t *row = json_array();
			for (int p = 0; p < INOCI_N_PROJ; p++) json_array_append_new(row, num(u->norm[l * INOCI_N_PROJ + p]));
			json_array_append_new(rows, row);
		}
		json_array_append_new(updates, json_pack("{s:s, s:I, s:o, s:o}", "arm", name, "seed", seed, "norm",
		                                         num(inoci_update_norm(u, -1, -1)), "by_layer_and_projection", rows));
	}
}

json_t *inoci_report_analysis(const inoci_results *r)
{
	json_t *surprise = json_array(), *relations = json_array(), *gradients = json_array(), *updates = json_array();
	json_t *curves = json_array(), *projections = json_array();
	for (int p = 0; p < INOCI_N_PROJ; p++) json_array_append_new(projections, json_string(inoci_proj_name(p)));
	for (size_t a = 0; a < r->e->n_arms; a++) {
		if (r->analysis.surprise[a].n) json_array_append_new(surprise, surprise_json(r, (int)a));
		seed_rows(r, (int)a, gradients, updates);
	}
	for (size_t t = 0; t < r->e->n_traits; t++) json_array_append_new(relations, relation_json(r, (int)t));
	for (size_t i = 0; i < r->analysis.n_curves; i++) {
		const inoci_result_curve *c = &r->analysis.curves[i];
		json_t *points = json_array();
		for (size_t k = 0; k < c->n; k++)
			json_array_append_new(points, json_pack("[i,o]", c->step[k], num(c->logprob[k])));
		json_array_append_new(curves, json_pack("{s:s, s:I, s:s, s:b, s:o}", "arm", r->e->arms[c->arm].name, "seed",
		                                        (json_int_t)r->seeds[c->seed], "responses", r->e->curves[c->set].name,
		                                        "with_prompt", (int)c->prompt, "points", points));
	}
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "experiment", r->e->name, "relations", relations, "surprise",
	                 surprise, "gradients", gradients, "projections", projections, "updates", updates, "curves", curves);
}
