/* Planes: two scores of every arm against each other, as the papers plot alignment against coherence. `planes` of the file, and
 * where each arm lies. A panel is one evaluation; where the two scores read different ones (an answer sampled, a choice
 * measured), an axis names its own, panel by panel.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

/* An axis is read when the evaluations of its plane are known. */
static int read_after(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	return (void)n, (void)dst, (void)ctx, (void)err, 0;
}

#define STRS(type, f) Y_STRS, .offset = offsetof(type, f), .offset2 = offsetof(type, n_##f)
static const inoci_ykey plane_keys[] = {
        {"label", Y_STR, .offset = offsetof(inoci_plane, label)},
        {"evaluations", Y_STRS, .offset = offsetof(inoci_plane, evaluations), .offset2 = offsetof(inoci_plane, n_panels)},
        {"x", Y_CALL, .required = true, .call = read_after},
        {"y", Y_CALL, .required = true, .call = read_after},
        {"arms", STRS(inoci_plane, arms)},
};
static const inoci_ykey axis_keys[] = {
        {"scorer", STRS(inoci_plane_axis, scorers), .required = true},
        {"invert", Y_BOOL, .offset = offsetof(inoci_plane_axis, invert)},
        {"label", Y_STR, .offset = offsetof(inoci_plane_axis, label)},
        {"evaluations", STRS(inoci_plane_axis, evaluations)},
};

/* Where the i-th text of a list stands, which may be one text alone. */
static const inoci_ynode *item(const inoci_ynode *list, size_t i)
{
	return list->kind == YN_SEQ ? list->items[i] : list;
}

static int check_scorers(const inoci_experiment *e, const inoci_plane_axis *a, const inoci_ynode *at, const char *what,
                         inoc_err *err)
{
	const inoci_ynode *names = inoci_yaml_get(at, "scorer");
	for (size_t i = 0; i < a->n_scorers; i++) {
		int k = inoci_experiment_scorer(e, a->scorers[i]);
		if (k < 0)
			return inoci_yaml_err(item(names, i), err, "%s: '%.60s' is not one of this experiment's scorers", what,
			                      a->scorers[i]);
		for (size_t j = 0; j < i; j++)
			if (!strcmp(a->scorers[i], a->scorers[j]))
				return inoci_yaml_err(item(names, i), err, "%s: scorer '%s' is given twice", what, a->scorers[i]);
		if (e->scorers[k].real && a->n_scorers > 1)
			return inoci_yaml_err(item(names, i), err,
			                      "%s: '%s' gives any number, not a share of answers, so it stands alone", what,
			                      a->scorers[i]);
		if (e->scorers[k].real && a->invert)
			return inoci_yaml_err(inoci_yaml_get(at, "invert"), err,
			                      "%s: invert is 1 less a share, and '%s' gives any number", what, a->scorers[i]);
	}
	return 0;
}

static int check_evaluations(const inoci_experiment *e, const inoci_plane *p, inoci_plane_axis *a, const inoci_ynode *at,
                             const inoci_ynode *planes, const char *what, inoc_err *err)
{
	const inoci_ynode *own = inoci_yaml_get(at, "evaluations"), *list = own ? own : planes;
	if (own && a->n_evaluations != p->n_panels)
		return inoci_yaml_err(own, err, "%s.evaluations must be as many as the plane's, %zu", what, p->n_panels);
	a->eval = inoci_alloc((p->n_panels + 1) * sizeof *a->eval);
	for (size_t i = 0; i < p->n_panels; i++) {
		const char *name = own ? a->evaluations[i] : p->evaluations[i];
		const inoci_ynode *here = list ? item(list, i) : at;
		a->eval[i] = inoci_experiment_eval(e, name);
		if (a->eval[i] < 0) return inoci_yaml_err(here, err, "%s: there is no evaluation '%.60s'", what, name);
		for (size_t k = 0; k < a->n_scorers; k++)
			if (!inoci_experiment_applies(e, e->scorers[inoci_experiment_scorer(e, a->scorers[k])].on, a->eval[i]))
				return inoci_yaml_err(here, err,
				                      "%s: scorer '%s' says nothing of evaluation '%s'; this axis may name "
				                      "evaluations of its own",
				                      what, a->scorers[k], name);
	}
	return 0;
}

/* x: SCORER, x: [SCORER, ...], or x: {scorer: ..., invert: ..., label: ..., evaluations: ...} */
static int read_axis(inoci_plane *p, int axis, const inoci_ynode *plane, const char *of, inoci_yreader *rd, inoc_err *err)
{
	static const char *const names[] = {"x", "y"};
	inoci_plane_axis *a = &p->axis[axis];
	inoci_ynode *n = inoci_yaml_get(plane, names[axis]);
	char *what = inoci_asprintf("%s.%s", of, names[axis]);
	int rc;
	if (n->kind != YN_MAP) {
		inoci_ynode *map = inoci_yaml_map(rd->arena, n, NULL);
		inoci_yaml_put(rd->arena, map, "scorer", n);
		n = map;
	}
	INOC_TRY(inoci_yaml_fill(n, what, axis_keys, INOCI_COUNT(axis_keys), a, rd, err));
	if (!a->n_scorers) INOC_TRY(inoci_yaml_err(n, err, "%s names no scorer", what));
	INOC_TRY(check_scorers(rd->e, a, n, what, err));
	INOC_TRY(check_evaluations(rd->e, p, a, n, inoci_yaml_get(plane, "evaluations"), what, err));
out:
	free(what);
	return rc;
}

static int read_plane(inoci_plane *p, inoci_ynode *n, const char *what, inoci_yreader *rd, inoc_err *err)
{
	const inoci_experiment *e = rd->e;
	int rc = inoci_yaml_fill(n, what, plane_keys, INOCI_COUNT(plane_keys), p, rd, err);
	if (rc < 0) return rc;
	if (!p->label) p->label = inoci_strdup(p->name);
	if (!p->n_panels && inoci_yaml_get(n, "evaluations"))
		return inoci_yaml_err(n, err, "%s.evaluations names no evaluation", what);
	if (!p->n_panels) {
		p->evaluations = inoci_alloc(sizeof *p->evaluations);
		p->evaluations[p->n_panels++] = inoci_strdup(e->headline);
	}
	for (size_t i = 0; i < p->n_panels; i++)
		if (inoci_experiment_eval(e, p->evaluations[i]) < 0)
			return inoci_yaml_err(item(inoci_yaml_get(n, "evaluations"), i), err,
			                      "%s: there is no evaluation '%.60s'", what, p->evaluations[i]);
	for (size_t i = 0; i < p->n_arms; i++)
		if (inoci_experiment_arm(e, p->arms[i]) < 0)
			return inoci_yaml_err(item(inoci_yaml_get(n, "arms"), i), err, "%s: there is no arm '%.60s'", what,
			                      p->arms[i]);
	for (int k = 0; k < 2; k++)
		if ((rc = read_axis(p, k, n, what, rd, err)) < 0) return rc;
	return 0;
}

int inoci_planes_read(inoci_ynode *n, inoci_yreader *rd, inoc_err *err)
{
	inoci_experiment *e = rd->e;
	if (!n) return 0;
	int rc = inoci_yaml_each_named(n, "planes", 50, err);
	if (rc < 0) return rc;
	e->planes = inoci_alloc(n->n * sizeof *e->planes);
	for (size_t i = 0; i < n->n && rc == 0; i++) {
		inoci_plane *p = &e->planes[e->n_planes++];
		p->name = inoci_strdup(n->keys[i]->s);
		char *what = inoci_asprintf("planes.%s", p->name);
		rc = read_plane(p, n->items[i], what, rd, err);
		free(what);
	}
	return rc;
}

void inoci_planes_free(inoci_experiment *e)
{
	for (size_t i = 0; i < e->n_planes; i++) {
		inoci_plane *p = &e->planes[i];
		free(p->name), free(p->label);
		inoci_strings_free(p->evaluations, p->n_panels), inoci_strings_free(p->arms, p->n_arms);
		for (int k = 0; k < 2; k++) {
			inoci_plane_axis *a = &p->axis[k];
			inoci_strings_free(a->scorers, a->n_scorers);
			inoci_strings_free(a->evaluations, a->n_evaluations);
			free(a->label), free(a->eval);
		}
	}
	free(e->planes);
}

/* ---- units ---- */

const char *inoci_plane_axis_unit(const inoci_experiment *e, const inoci_plane_axis *a)
{
	static const char *const nats[][3] = {
	        {"nats", "nats, less base's", "nats, less another arm's"},
	        {"nats per byte", "nats per byte, less base's", "nats per byte, less another arm's"},
	        {"nats per token", "nats per token, less base's", "nats per token, less another arm's"},
	};
	int k = inoci_experiment_scorer(e, a->scorers[0]);
	if (k < 0 || !e->scorers[k].real) return NULL;
	const json_t *s = e->scorers[k].settings;
	const char *type = json_string_value(json_object_get(s, "type")), *per = json_string_value(json_object_get(s, "per"));
	const char *unit = json_string_value(json_object_get(s, "unit"));
	if (type && !strcmp(type, "length"))
		return unit && !strcmp(unit, "words") ? "words" : unit && !strcmp(unit, "bytes") ? "bytes" : "characters";
	if (type && !strcmp(type, "candidates")) per = "sum";
	if (type && !per && !strcmp(type, "logprob")) per = "token";
	if (type && !per && !strcmp(type, "contrast")) per = "byte";
	if (!per) return "mean score";
	int change = e->scorers[k].change ? inoci_experiment_arm(e, e->scorers[k].change) : -1;
	int of = change < 0 ? 0 : !strcmp(e->arms[change].role, "base") ? 1 : 2;
	return nats[!strcmp(per, "byte") ? 1 : !strcmp(per, "token") ? 2 : 0][of];
}

/* ---- where the arms lie ---- */

static inoci_estimate score(const inoci_results *r, int arm, const inoci_plane_axis *a, size_t panel, int seed, uint64_t rng_seed,
                            int n_boot)
{
	int *idx = inoci_alloc((a->n_scorers + 1) * sizeof *idx);
	inoci_estimate est = {0};
	bool known = true;
	for (size_t i = 0; i < a->n_scorers; i++) known = (idx[i] = inoci_results_scorer(r, a->scorers[i])) >= 0 && known;
	if (known) {
		inoci_scores s = inoci_results_scores(r, arm, a->eval[panel], idx, (int)a->n_scorers, seed);
		est = inoci_results_mean(r, &s, rng_seed, n_boot);
		inoci_scores_free(&s);
	}
	if (a->invert && est.n) {
		double low = est.low;
		est.value = 1 - est.value, est.low = 1 - est.high, est.high = 1 - low;
	}
	free(idx);
	return est;
}

static bool drawn(const inoci_plane *p, const inoci_arm *a)
{
	for (size_t i = 0; i < p->n_arms; i++)
		if (!strcmp(p->arms[i], a->name)) return true;
	return !p->n_arms && !a->swept_of;
}

void inoci_planes_fill(inoci_summary *s, uint64_t rng_seed, int n_boot)
{
	const inoci_results *r = s->r;
	const inoci_experiment *e = r->e;
	size_t most = 0;
	for (size_t i = 0; i < e->n_planes; i++) most += e->planes[i].n_panels * e->n_arms;
	s->points = inoci_alloc((most + 1) * sizeof *s->points);
	for (size_t i = 0; i < e->n_planes; i++)
		for (size_t panel = 0; panel < e->planes[i].n_panels; panel++)
			for (size_t arm = 0; arm < e->n_arms; arm++) {
				const inoci_plane *p = &e->planes[i];
				inoci_plane_point q = {.plane = (int)i, .panel = (int)panel, .arm = (int)arm};
				if (!drawn(p, &e->arms[arm])) continue;
				for (int k = 0; k < 2; k++)
					q.at[k] = score(r, (int)arm, &p->axis[k], panel, -1, rng_seed, n_boot);
				if (!q.at[0].n || !q.at[1].n) continue;
				for (int k = 0; k < 2 && e->arms[arm].train; k++) {
					q.seed[k] = inoci_alloc(((size_t)r->n_seeds + 1) * sizeof *q.seed[k]);
					for (int d = 0; d < r->n_seeds; d++)
						q.seed[k][d] = score(r, (int)arm, &p->axis[k], panel, d, rng_seed, n_boot);
				}
				s->points[s->n_points++] = q;
			}
}
