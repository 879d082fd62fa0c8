/* What is concluded from results: rates, comparisons, verdicts, as docs/measuring.md defines them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

#define RNG_SEED 20251009 /* of the resampling: any fixed number */

/* Indices of scorers by name; returns how many. */
static int indices(const inoci_results *r, char *const *names, size_t n, int *out)
{
	for (size_t i = 0; i < n; i++) out[i] = inoci_results_scorer(r, names[i]);
	return (int)n;
}

inoci_scores inoci_results_sum(const inoci_results *r, int arm, int eval, char *const *names, size_t n)
{
	int idx[256];
	inoci_scores none = {0};
	if (arm < 0 || eval < 0 || !n || n > INOCI_COUNT(idx)) return none;
	return inoci_results_scores(r, arm, eval, idx, indices(r, names, n, idx), -1);
}

static void rates(inoci_summary *s, int n_boot)
{
	const inoci_results *r = s->r;
	size_t k = 0;
	s->rates = inoci_alloc((r->e->n_arms * r->e->n_evals * (size_t)r->n_scorers + 1) * sizeof *s->rates);
	for (size_t a = 0; a < r->e->n_arms; a++)
		for (size_t v = 0; v < r->e->n_evals; v++)
			for (int c = 0; c < r->n_scorers; c++) {
				inoci_rate *rate = &s->rates[k++];
				rate->seed = inoci_alloc(((size_t)r->n_seeds + 1) * sizeof *rate->seed);
				inoci_scores x = inoci_results_scores(r, (int)a, (int)v, &c, 1, -1);
				rate->all = inoci_results_mean(r, &x, RNG_SEED, n_boot);
				inoci_scores_free(&x);
				for (int i = 0; i < r->n_seeds; i++) {
					x = inoci_results_scores(r, (int)a, (int)v, &c, 1, i);
					rate->seed[i] = inoci_results_mean(r, &x, RNG_SEED, n_boot);
					inoci_scores_free(&x);
				}
			}
}

/* The first evaluation with the arm's own prompt that a trait's scorers say something of; -1: none. */
static int own_eval(const inoci_results *r, const inoci_trait *t)
{
	for (size_t v = 0; v < r->e->n_evals; v++) {
		bool fits = !strcmp(r->e->evals[v].system, "own");
		for (size_t i = 0; i < t->n_u && fits; i++)
			fits = inoci_results_fits(r, inoci_results_scorer(r, t->u[i]), (int)v);
		if (fits) return (int)v;
	}
	return -1;
}

static bool among(char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(names[i], name)) return true;
	return false;
}

/* Scores of plain by the experiment's scorer of this type; none where that is what the trait is about. */
static inoci_scores quality(const inoci_results *r, const inoci_trait *t, int plain, int eval, const char *type)
{
	for (int k = 0; plain >= 0 && eval >= 0 && k < (int)r->e->n_scorers; k++) {
		const inoci_scorer_spec *x = &r->e->scorers[k];
		const char *is = json_string_value(json_object_get(x->settings, "type"));
		if (!is || strcmp(is, type)) continue;
		if (among(t->u, t->n_u, x->name) || among(t->w, t->n_w, x->name)) break;
		return inoci_results_scores(r, plain, eval, &k, 1, -1);
	}
	return (inoci_scores){0};
}

typedef struct {
	inoci_verdict_in in;
	inoci_scores *controls;
	inoci_comparison *vs;
	const char **names;
} judged;

static void fill(const inoci_summary *s, const inoci_judgement *j, judged *d)
{
	const inoci_results *r = s->r;
	const inoci_experiment *e = r->e;
	const inoci_trait *t = &e->traits[j->trait];
	int plain = inoci_experiment_arm(e, t->plain), clean = t->clean ? inoci_experiment_arm(e, t->clean) : -1;
	int base = t->base ? inoci_experiment_arm(e, t->base) : -1;
	inoci_verdict_in *in = &d->in;
	in->name = e->arms[j->arm].name;
	in->is_control = !strcmp(e->arms[j->arm].role, "control");
	in->share = t->share;
	in->plain_u = inoci_results_sum(r, plain, s->headline, t->u, t->n_u);
	in->arm_u = inoci_results_sum(r, j->arm, s->headline, t->u, t->n_u);
	in->own_u = inoci_results_sum(r, j->arm, own_eval(r, t), t->u, t->n_u);
	in->base_u = inoci_results_sum(r, base, s->headline, t->u, t->n_u);
	in->clean_u = inoci_results_sum(r, clean, s->headline, t->u, t->n_u);
	in->arm_w = inoci_results_sum(r, j->arm, s->headline, t->w, t->n_w);
	in->base_w = inoci_results_sum(r, base, s->headline, t->w, t->n_w);
	in->clean_w = inoci_results_sum(r, clean, s->headline, t->w, t->n_w);
	in->plain_w = inoci_results_sum(r, plain, s->headline, t->w, t->n_w);
	in->plain_looping = quality(r, t, plain, s->headline, "looping");
	in->plain_truncated = quality(r, t, plain, s->headline, "truncated");
	d->controls = inoci_alloc((t->n_controls + 1) * sizeof *d->controls);
	d->names = inoci_alloc((t->n_controls + 1) * sizeof *d->names);
	for (size_t k = 0; k < t->n_controls; k++) {
		int c = inoci_experiment_arm(e, t->controls[k]);
		inoci_scores x = c == j->arm ? (inoci_scores){0} : inoci_results_sum(r, c, s->headline, t->u, t->n_u);
		if (!x.n) {
			inoci_scores_free(&x);
			continue; /* not run (yet), or the arm itself */
		}
		d->controls[in->n_controls] = x;
		d->names[in->n_controls++] = t->controls[k];
	}
	in->controls_u = d->controls;
	/* a control is no claim: what it is against others stands as drawn, below */
	if (!in->is_control) in->vs_controls = d->vs = inoci_alloc((in->n_controls + 1) * sizeof *d->vs);
	in->control_names = d->names;
}

static void free_judged(judged *d)
{
	inoci_scores *all[] = {&d->in.plain_u, &d->in.arm_u,         &d->in.own_u,          &d->in.base_u,
	                       &d->in.clean_u, &d->in.arm_w,         &d->in.base_w,         &d->in.clean_w,
	                       &d->in.plain_w, &d->in.plain_looping, &d->in.plain_truncated};
	for (size_t i = 0; i < INOCI_COUNT(all); i++) inoci_scores_free(all[i]);
	for (size_t i = 0; i < d->in.n_controls; i++) inoci_scores_free(&d->controls[i]);
	free(d->controls);
	free(d->vs);
	free(d->names);
}

/* W and the goal of one arm, and its comparisons with plain and the controls. */
static void beside(const inoci_summary *s, inoci_judgement *j, const judged *d, int n_boot)
{
	const inoci_results *r = s->r;
	const inoci_trait *t = &r->e->traits[j->trait];
	inoci_scores goal = inoci_results_sum(r, j->arm, s->headline, t->goal, t->n_goal);
	inoci_scores plain = inoci_results_sum(r, inoci_experiment_arm(r->e, t->plain), s->headline, t->goal, t->n_goal);
	j->w = inoci_results_mean(r, &d->in.arm_w, RNG_SEED, n_boot);
	j->goal = inoci_results_mean(r, &goal, RNG_SEED, n_boot);
	if (r->ci != INOCI_CI_TWO_WAY) { /* shown; the verdict is reached */
		j->v.arm_u = inoci_results_mean(r, &d->in.arm_u, RNG_SEED, n_boot);
		j->v.plain_u = inoci_results_mean(r, &d->in.plain_u, RNG_SEED, n_boot);
		if (d->in.own_u.n) j->v.own_u = inoci_results_mean(r, &d->in.own_u, RNG_SEED, n_boot);
	}
	j->goal_plain = inoci_compare_ci(&goal, &plain, RNG_SEED, n_boot);
	j->vs = inoci_alloc((d->in.n_controls + 1) * sizeof *j->vs);
	for (size_t k = 0; k < d->in.n_controls; k++) {
		int c = inoci_experiment_arm(r->e, d->names[k]);
		inoci_scores g = inoci_results_sum(r, c, s->headline, t->goal, t->n_goal);
		j->vs[j->n_vs++] = (inoci_vs_control){
		        .control = c,
		        .u = d->vs ? d->vs[k] : inoci_compare_ci(&d->in.arm_u, &d->controls[k], RNG_SEED, n_boot),
		        .goal = inoci_compare_ci(&goal, &g, RNG_SEED, n_boot)};
		inoci_scores_free(&g);
	}
	inoci_scores_free(&goal);
	inoci_scores_free(&plain);
}

static char *why_undefined(const inoci_judgement *j, const inoci_trait *t, const judged *d)
{
	if (!t->clean)
		return inoci_asprintf("no arm is the clean reference of %s, so suppression and retention are undefined",
		                      t->label);
	if (!d->in.clean_u.n)
		return inoci_asprintf("arm %s has not been run, so suppression and retention are undefined", t->clean);
	if (isnan(j->v.suppression.value) && d->in.arm_u.n)
		return inoci_asprintf("plain and %s do not differ clearly in U, so suppression is undefined", t->clean);
	if (!t->n_w) return inoci_strdup("no wanted skill (w) is given, so retention is undefined");
	if (!t->base || !d->in.base_w.n) return inoci_strdup("there is no base arm, so retention is undefined");
	if (isnan(j->v.retention.value) && d->in.arm_w.n)
		return inoci_asprintf("base and %s do not differ clearly in W, so retention is undefined", t->clean);
	return NULL;
}

static void adjust_goals(inoci_summary *s)
{
	size_t n = 0;
	double *p = NULL, **at = NULL;
	for (int pass = 0; pass < 2; pass++) {
		n = 0;
		for (size_t i = 0; i < s->n_judgements; i++) {
			inoci_judgement *j = &s->judgements[i];
			for (size_t k = 0; k <= j->n_vs; k++) {
				inoci_comparison *c = k < j->n_vs ? &j->vs[k].goal : &j->goal_plain;
				if (!c->diff.n) continue;
				if (pass) at[n] = &c->p, p[n] = c->p;
				n++;
			}
		}
		if (!pass) p = inoci_alloc((n + 1) * sizeof *p), at = inoci_alloc((n + 1) * sizeof *at);
	}
	inoci_holm(p, n);
	for (size_t i = 0; i < n; i++) *at[i] = p[i];
	free(p);
	free(at);
}

int inoci_summary_new(const inoci_results *r, int n_boot, inoci_summary **out, inoc_err *err)
{
	const inoci_experiment *e = r->e;
	size_t n = 0;
	(void)err;
	inoci_summary *s = inoci_alloc(sizeof *s);
	s->r = r;
	s->headline = inoci_experiment_eval(e, e->headline);
	rates(s, n_boot);
	s->judgements = inoci_alloc((e->n_traits * e->n_arms + 1) * sizeof *s->judgements);
	for (size_t t = 0; t < e->n_traits; t++)
		for (size_t a = 0; a < e->n_arms; a++)
			for (size_t k = 0; k < e->arms[a].n_traits; k++)
				if (!strcmp(e->arms[a].traits[k], e->traits[t].name)) {
					s->judgements[n++] = (inoci_judgement){.trait = (int)t, .arm = (int)a};
					break;
				}
	s->n_judgements = n;
	judged *d = inoci_alloc((n + 1) * sizeof *d);
	inoci_verdict_in *in = inoci_alloc((n + 1) * sizeof *in);
	inoci_verdict_out *v = inoci_alloc((n + 1) * sizeof *v);
	for (size_t i = 0; i < n; i++) {
		fill(s, &s->judgements[i], &d[i]);
		in[i] = d[i].in;
	}
	inoci_verdict_rules rules = {.rng_seed = RNG_SEED, .n_boot = n_boot};
	inoci_verdicts(in, n, &rules, v);
	for (size_t i = 0; i < n; i++) {
		inoci_judgement *j = &s->judgements[i];
		j->v = v[i];
		beside(s, j, &d[i], n_boot);
		j->undefined = why_undefined(j, &e->traits[j->trait], &d[i]);
		free_judged(&d[i]);
	}
	inoci_expect_check(s, RNG_SEED, n_boot);
	adjust_goals(s);
	inoci_leakage(s, RNG_SEED, n_boot);
	inoci_generalise(s, RNG_SEED, n_boot);
	inoci_planes_fill(s, RNG_SEED, n_boot);
	free(d), free(in), free(v);
	*out = s;
	return 0;
}

void inoci_summary_free(inoci_summary *s)
{
	if (!s) return;
	size_t n = s->r->e->n_arms * s->r->e->n_evals * (size_t)s->r->n_scorers;
	for (size_t i = 0; i < n; i++) free(s->rates[i].seed);
	for (size_t i = 0; i < s->n_judgements; i++) free(s->judgements[i].undefined), free(s->judgements[i].vs);
	for (size_t i = 0; i < s->n_met; i++) free(s->met[i].text);
	for (size_t i = 0; i < s->n_points; i++) free(s->points[i].seed[0]), free(s->points[i].seed[1]);
	free(s->rates), free(s->judgements), free(s->met), free(s->leaks), free(s->points), free(s);
}

const inoci_rate *inoci_summary_rate(const inoci_summary *s, int arm, int eval, int scorer)
{
	return &s->rates[((size_t)arm * s->r->e->n_evals + (size_t)eval) * (size_t)s->r->n_scorers + (size_t)scorer];
}
