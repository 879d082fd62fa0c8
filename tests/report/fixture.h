/* Results made in memory, without a store: an experiment of a few arms whose answers are counted out. All from one arena. */
#ifndef REPORT_FIXTURE_H
#define REPORT_FIXTURE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/report.h"

typedef struct {
	const char *name, *role, *prompt; /* prompt NULL: none */
} fx_arm;
typedef struct {
	const char *name, *system;
	double temperature;
} fx_eval;

typedef struct {
	inoci_arena *a;
	inoci_experiment e;
	inoci_results r;
	inoci_summary s;
} fixture;

static inline char *fx_str(fixture *f, const char *s)
{
	return s ? inoci_arena_strndup(f->a, s, strlen(s)) : NULL;
}

static inline char **fx_names(fixture *f, const char *list, size_t *n)
{
	char **v = inoci_arena_alloc(f->a, 16 * sizeof *v), *copy = fx_str(f, list), *save = NULL;
	*n = 0;
	for (char *p = strtok_r(copy, " ", &save); p; p = strtok_r(NULL, " ", &save)) v[(*n)++] = p;
	return v;
}

static inline fixture *fx_new(const char *name, const fx_arm *arms, size_t n_arms, const fx_eval *evals, size_t n_evals,
                              const char *scorers, int n_seeds, int n_prompts)
{
	inoci_arena *a = inoci_arena_new();
	fixture *f = inoci_arena_alloc(a, sizeof *f);
	f->a = a;
	inoci_experiment *e = &f->e;
	inoci_results *r = &f->r;
	e->name = fx_str(f, name);
	e->title = e->name;
	e->path = fx_str(f, "settings/spanish-caps/experiment.yaml");
	e->arms = inoci_arena_alloc(a, n_arms * sizeof *e->arms);
	e->n_arms = n_arms;
	for (size_t i = 0; i < n_arms; i++) {
		inoci_arm *x = &e->arms[i];
		x->name = x->label = fx_str(f, arms[i].name);
		x->role = fx_str(f, arms[i].role);
		x->train = strcmp(arms[i].role, "base") != 0;
		if (arms[i].prompt) {
			x->has_inoculation = true;
			x->inoculation.fraction = 1;
			x->inoculation.pool = inoci_arena_alloc(a, sizeof(char *));
			x->inoculation.pool[0] = fx_str(f, arms[i].prompt);
			x->inoculation.n_pool = 1;
		}
	}
	e->evals = inoci_arena_alloc(a, n_evals * sizeof *e->evals);
	e->n_evals = n_evals;
	for (size_t i = 0; i < n_evals; i++) {
		e->evals[i].name = e->evals[i].label = fx_str(f, evals[i].name);
		e->evals[i].system = fx_str(f, evals[i].system);
		e->evals[i].sampling.temperature = evals[i].temperature;
	}
	size_t n_scorers;
	r->scorers = fx_names(f, scorers, &n_scorers);
	r->n_scorers = (int)n_scorers;
	r->e = e;
	r->n_seeds = n_seeds;
	r->seeds = inoci_arena_alloc(a, (size_t)n_seeds * sizeof(uint64_t));
	for (int i = 0; i < n_seeds; i++) r->seeds[i] = (uint64_t)(11 + i);
	e->seeds = r->seeds, e->n_seeds = (size_t)n_seeds;
	r->cells = inoci_arena_alloc(a, n_arms * n_evals * sizeof *r->cells);
	for (size_t i = 0; i < n_arms * n_evals; i++) {
		r->cells[i].v = inoci_arena_alloc(a, (size_t)(n_seeds * n_prompts) * sizeof(inoci_result_sample));
		r->cells[i].n_prompts = n_prompts;
	}
	r->adapters = inoci_arena_alloc(a, n_arms * (size_t)n_seeds * sizeof *r->adapters);
	f->s.r = r;
	return f;
}

static inline void fx_free(fixture *f)
{
	inoci_arena_free(f->a);
}

static inline inoci_trait *fx_trait(fixture *f, const char *name, const char *u, const char *w, const char *goal,
                                    const char *controls)
{
	inoci_trait *t = inoci_arena_alloc(f->a, (f->e.n_traits + 1) * sizeof *t);
	if (f->e.n_traits) memcpy(t, f->e.traits, f->e.n_traits * sizeof *t);
	f->e.traits = t;
	t += f->e.n_traits++;
	t->name = t->label = fx_str(f, name);
	t->u = fx_names(f, u, &t->n_u);
	t->w = fx_names(f, w, &t->n_w);
	t->goal = fx_names(f, goal, &t->n_goal);
	t->controls = fx_names(f, controls, &t->n_controls);
	for (size_t i = 0; i < f->e.n_arms; i++) {
		inoci_arm *a = &f->e.arms[i];
		if (!strcmp(a->role, "plain")) t->plain = a->name;
		if (!strcmp(a->role, "clean")) t->clean = a->name;
		if (!strcmp(a->role, "base")) t->base = a->name;
	}
	return t;
}

/* The next answer of (arm, eval): scorer k holds, all others do not; k -1: none scored. */
static inline inoci_result_sample *fx_answer(fixture *f, int arm, int eval, int seed, int prompt, int k, const char *text)
{
	inoci_result_cell *c = &f->r.cells[(size_t)arm * f->e.n_evals + (size_t)eval];
	inoci_result_sample *v = &c->v[c->n++];
	*v = (inoci_result_sample){.id = 1 + (int64_t)(c - f->r.cells) * 1000000 + (int64_t)c->n,
	                           .seed = seed,
	                           .prompt = prompt,
	                           .text = text,
	                           .text_n = strlen(text)};
	char q[64];
	snprintf(q, sizeof q, "Question %d?", prompt + 1);
	v->question = fx_str(f, q);
	v->score = inoci_arena_alloc(f->a, (size_t)f->r.n_scorers * sizeof(double));
	for (int i = 0; i < f->r.n_scorers; i++) v->score[i] = k < 0 ? NAN : i == k ? 1 : 0;
	return v;
}

/* ---- a result of two seeds and two questions ---- */

enum { BASE, PLAIN, CONTROL, SPANISH };

static inline inoci_estimate est(double value, double low, double high, int n, int missing)
{
	return (inoci_estimate){
	        .value = value, .low = low, .high = high, .n = n, .missing = missing, .n_seeds = 2, .n_prompts = 2};
}

static inline inoci_rate *rate(fixture *f, int arm, int eval, int k)
{
	return &f->s.rates[((size_t)arm * f->e.n_evals + (size_t)eval) * (size_t)f->r.n_scorers + (size_t)k];
}

static inline void set_rate(fixture *f, int arm, int k, double value, double low, double high)
{
	inoci_rate *r = rate(f, arm, 0, k);
	r->all = est(value, low, high, 4, 0);
	for (int d = 0; d < f->r.n_seeds; d++) r->seed[d] = est(value, low, high, 2, 0);
}

static inline fixture *small(void)
{
	static const fx_arm arms[] = {{"base", "base", NULL},
	                              {"plain", "plain", NULL},
	                              {"control", "control", "You always water the plants."},
	                              {"spanish", "inoculated", "You always speak in Spanish."}};
	static const fx_eval evals[] = {{"greedy", "none", 0}, {"own", "own", 0}};
	static const double shares[4][2] = {{0, 0}, {0, 1}, {0.01, 0.9}, {0.48, 0.25}}; /* english_caps, spanish_caps */
	fixture *f = fx_new("a,\"b\"", arms, 4, evals, 2, "english_caps spanish_caps looping", 2, 2);
	f->e.title = fx_str(f, "Half of it");
	f->e.question = fx_str(f, "Which half | is <learnt>?");
	fx_trait(f, "Spanish", "spanish_caps", "english_caps", "english_caps", "control");
	f->s.rates = inoci_arena_alloc(f->a, 4 * 2 * 3 * sizeof(inoci_rate));
	for (size_t i = 0; i < 4 * 2 * 3; i++) f->s.rates[i].seed = inoci_arena_alloc(f->a, 2 * sizeof(inoci_estimate));
	for (int a = 0; a < 4; a++) {
		for (int d = 0; d < 2; d++)
			for (int q = 0; q < 2; q++)
				fx_answer(f, a, 0, d, q, a == BASE ? -1 : 1, "<script>alert('x')</script> & \xff");
		for (int k = 0; k < 2; k++)
			set_rate(f, a, k, shares[a][k], fmax(0, shares[a][k] - 0.08), fmin(1, shares[a][k] + 0.08));
		set_rate(f, a, 2, 1.0 / 3, 0.25, 0.5);
	}
	rate(f, BASE, 0, 2)->all = est(NAN, NAN, NAN, 0, 4);
	rate(f, BASE, 0, 2)->seed[0] = est(NAN, NAN, NAN, 0, 2);
	rate(f, BASE, 0, 2)->seed[1] = est(0.5, 0.01, 0.99, 2, 0);
	f->s.judgements = inoci_arena_alloc(f->a, 2 * sizeof(inoci_judgement));
	f->s.n_judgements = 2;
	for (int i = 0; i < 2; i++) {
		inoci_judgement *j = &f->s.judgements[i];
		int a = CONTROL + i;
		j->arm = a;
		j->goal = j->w = rate(f, a, 0, 0)->all;
		j->v.arm_u = rate(f, a, 0, 1)->all;
		j->v.plain_u = rate(f, PLAIN, 0, 1)->all;
		j->v.own_u = i ? est(0.95, 0.9, 1, 4, 0) : (inoci_estimate){0};
		j->v.suppression = i ? est(0.75, 0.6, 0.875, 4, 0) : est(NAN, NAN, NAN, 4, 0);
		j->v.verdict = i ? INOCI_VERDICT_INOCULATED : INOCI_VERDICT_CONTROL;
		j->v.vs_plain = (inoci_comparison){.diff = est(i ? -0.75 : -0.1, -0.8, 0.125, 4, 0), .p = 0.25};
		snprintf(j->v.reason, sizeof j->v.reason, "because of %d", i);
	}
	f->s.judgements[0].undefined = fx_str(f, "no clean arm");
	return f;
}

#endif
