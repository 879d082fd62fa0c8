/* Does a prompt that removes more surprise before training keep more of the trait out? One point for each prompt. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

enum { MAX_SCORERS = 64 };

/* Mean of the trait's U on the headline evaluation, in one seed; NaN: not scored. */
static double rate(const inoci_results *r, int arm, int eval, const int *idx, int n, int seed)
{
	double sum = 0;
	int k = 0;
	if (arm < 0) return NAN;
	inoci_scores s = inoci_results_scores(r, arm, eval, idx, n, seed);
	for (size_t i = 0; i < s.n; i++)
		if (!isnan(s.value[i])) sum += s.value[i], k++;
	inoci_scores_free(&s);
	return k ? sum / k : NAN;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* num (n, S), den (S): y of each prompt over the seeds with weights w. */
static void suppressions(const double *num, const double *den, size_t n, int S, const double *w, double *y)
{
	double d = 0;
	for (int s = 0; s < S; s++) d += w[s] * den[s];
	for (size_t i = 0; i < n; i++) {
		y[i] = 0;
		for (int s = 0; s < S; s++) y[i] += w[s] * num[i * (size_t)S + (size_t)s];
		y[i] /= d;
	}
}

/* Of x and y (n), y being the suppressions over all S seeds. */
static inoci_rank rank_of(const double *x, const double *y, size_t n, const double *num, const double *den, int S, int n_boot)
{
	inoci_rank q = {.rho = n > 2 ? inoci_spearman(x, y, n) : NAN, .low = NAN, .high = NAN, .p = NAN};
	size_t m = 0, as_far = 1;
	double *w = inoci_alloc(((size_t)S + 1) * sizeof *w), *drawn = inoci_alloc((n + 1) * sizeof *drawn);
	double *bx = inoci_alloc((n + 1) * sizeof *bx), *by = inoci_alloc((n + 1) * sizeof *by);
	double *draws = inoci_alloc(((size_t)n_boot + 1) * sizeof *draws);
	int32_t *order = inoci_alloc((n + 1) * sizeof *order);
	for (int b = 0; b < n_boot && !isnan(q.rho); b++) {
		inoci_rng r = inoci_rng_new(1, "relation", (uint64_t)b, 0),
		          shuffle = inoci_rng_new(1, "permuted", (uint64_t)b, 0);
		memset(w, 0, (size_t)S * sizeof *w);
		for (int s = 0; s < S; s++) w[inoci_rng_below(&r, (uint32_t)S)]++;
		suppressions(num, den, n, S, w, drawn);
		for (size_t i = 0; i < n; i++) {
			size_t k = inoci_rng_below(&r, (uint32_t)n);
			bx[i] = x[k], by[i] = drawn[k];
		}
		double rho = inoci_spearman(bx, by, n); /* NaN: one prompt drawn n times */
		if (!isnan(rho)) draws[m++] = rho;
		for (size_t i = 0; i < n; i++) order[i] = (int32_t)i;
		inoci_rng_shuffle(&shuffle, order, n);
		for (size_t i = 0; i < n; i++) bx[i] = x[order[i]];
		as_far += fabs(inoci_spearman(bx, y, n)) >= fabs(q.rho) - 1e-9;
	}
	if (m > 1) {
		qsort(draws, m, sizeof *draws, by_value);
		q.low = draws[(size_t)(0.025 * (double)(m - 1))];
		q.high = draws[(size_t)ceil(0.975 * (double)(m - 1))];
		q.p = (double)as_far / (n_boot + 1);
	}
	free(w), free(drawn), free(bx), free(by), free(draws), free(order);
	return q;
}

/* The goal's shares, of the seeds `seeds` (S). */
static void with_goal(const inoci_results *r, inoci_relation *q, int eval, const int *seeds, int n_boot)
{
	const inoci_trait *t = &r->e->traits[q->trait];
	int idx[MAX_SCORERS], S = q->n_seeds;
	if (!t->n_goal || t->n_goal > MAX_SCORERS || !q->n) return;
	for (size_t i = 0; i < t->n_goal; i++)
		if ((idx[i] = inoci_results_scorer(r, t->goal[i])) < 0) return;
	double *num = inoci_alloc((q->n * (size_t)S + 1) * sizeof *num), *ones = inoci_alloc(((size_t)S + 1) * sizeof *ones);
	q->goal = inoci_alloc((q->n + 1) * sizeof *q->goal);
	for (int s = 0; s < S; s++) {
		ones[s] = 1;
		for (size_t i = 0; i < q->n; i++)
			num[i * (size_t)S + (size_t)s] = rate(r, q->arm[i], eval, idx, (int)t->n_goal, seeds[s]);
	}
	suppressions(num, ones, q->n, S, ones, q->goal);
	q->goal_rank = rank_of(q->x, q->goal, q->n, num, ones, S, n_boot);
	free(num), free(ones);
}

/* num, den: those of y. */
static void with_directions(const inoci_results *r, inoci_relation *q, const double *num, const double *den, int n_boot)
{
	double *x = inoci_alloc((q->n + 1) * sizeof *x);
	q->toward = inoci_alloc((r->e->n_directions + 1) * sizeof *q->toward);
	q->contrast = inoci_alloc((r->e->n_directions + 1) * sizeof *q->contrast);
	for (size_t d = 0; d < r->e->n_directions; d++) {
		for (size_t i = 0; i < q->n; i++) {
			int n = 0;
			x[i] = 0;
			for (int s = 0; s < r->n_seeds; s++) {
				const inoci_result_gradient *g =
				        &r->analysis.gradients[(size_t)q->arm[i] * (size_t)r->n_seeds + (size_t)s];
				if (g->n) x[i] += g->toward_without[d] - g->toward_with[d], n++;
			}
			x[i] = n ? x[i] / n : NAN;
		}
		q->toward[d] = rank_of(x, q->y, q->n, num, den, q->n_seeds, n_boot);
		for (size_t i = 0; i < q->n; i++) {
			const double *c = r->analysis.surprise[q->arm[i]].contrast;
			x[i] = c ? c[d] : NAN;
		}
		q->contrast[d] = rank_of(x, q->y, q->n, num, den, q->n_seeds, n_boot);
	}
	free(x);
}

static bool judged(const inoci_arm *a, const char *trait)
{
	for (size_t k = 0; k < a->n_traits; k++)
		if (!strcmp(a->traits[k], trait)) return true;
	return false;
}

inoci_relation inoci_relation_of(const inoci_results *r, int trait, int n_boot)
{
	const inoci_experiment *e = r->e;
	const inoci_trait *t = &e->traits[trait];
	int eval = inoci_experiment_eval(e, e->headline), plain = inoci_experiment_arm(e, t->plain), idx[MAX_SCORERS], S = 0;
	int clean = t->clean ? inoci_experiment_arm(e, t->clean) : -1;
	const inoci_rank none = {NAN, NAN, NAN, NAN};
	inoci_relation q = {.trait = trait, .u = none, .goal_rank = none};
	if (t->n_u > MAX_SCORERS || eval < 0) return q;
	for (size_t i = 0; i < t->n_u; i++)
		if ((idx[i] = inoci_results_scorer(r, t->u[i])) < 0) return q;
	q.arm = inoci_alloc((e->n_arms + 1) * sizeof *q.arm);
	q.x = inoci_alloc((e->n_arms + 1) * sizeof *q.x);
	q.y = inoci_alloc((e->n_arms + 1) * sizeof *q.y);
	for (size_t a = 0; a < e->n_arms; a++) {
		if (!e->arms[a].train || !r->analysis.surprise[a].n || !judged(&e->arms[a], t->name)) continue;
		if (!inoci_results_cell(r, (int)a, eval)->n) continue; /* not run (yet) */
		q.arm[q.n] = (int)a;
		q.x[q.n++] = r->analysis.surprise[a].removed;
		q.n_controls += !strcmp(e->arms[a].role, "control");
	}
	if (n_boot <= 0) n_boot = 10000;
	/* only seeds in which all of them were scored */
	int *seeds = inoci_alloc(((size_t)r->n_seeds + 1) * sizeof *seeds);
	double *num = inoci_alloc((q.n * (size_t)r->n_seeds + 1) * sizeof *num),
	       *den = inoci_alloc(((size_t)r->n_seeds + 1) * sizeof *den);
	double *u = inoci_alloc((q.n + 1) * sizeof *u), *all = inoci_alloc((q.n * (size_t)r->n_seeds + 1) * sizeof *all), sum = 0;
	for (int s = 0; s < r->n_seeds && q.n; s++) {
		double p = rate(r, plain, eval, idx, (int)t->n_u, s),
		       c = clean >= 0 ? rate(r, clean, eval, idx, (int)t->n_u, s) : 0;
		bool ok = !isnan(p) && !isnan(c);
		for (size_t i = 0; i < q.n && ok; i++) ok = !isnan(u[i] = rate(r, q.arm[i], eval, idx, (int)t->n_u, s));
		if (!ok) continue;
		for (size_t i = 0; i < q.n; i++) all[(size_t)S * q.n + i] = p - u[i];
		seeds[S] = s;
		den[S++] = p - c;
		sum += p - c;
	}
	q.n_seeds = S;
	if (!S) q.n = 0;
	q.drop = clean < 0 || sum <= 0.1 * S;
	q.seed_y = inoci_alloc((q.n * (size_t)S + 1) * sizeof *q.seed_y);
	double *ones = inoci_alloc(((size_t)S + 1) * sizeof *ones);
	for (int s = 0; s < S; s++) {
		if (q.drop) den[s] = 1;
		ones[s] = 1;
		for (size_t i = 0; i < q.n; i++) {
			num[i * (size_t)S + (size_t)s] = all[(size_t)s * q.n + i];
			q.seed_y[i * (size_t)S + (size_t)s] = den[s] > 0 ? num[i * (size_t)S + (size_t)s] / den[s] : NAN;
		}
	}
	if (q.n) suppressions(num, den, q.n, S, ones, q.y);
	q.u = rank_of(q.x, q.y, q.n, num, den, S, n_boot);
	with_goal(r, &q, eval, seeds, n_boot);
	with_directions(r, &q, num, den, n_boot);
	free(seeds);
	free(num), free(den), free(u), free(all), free(ones);
	return q;
}

void inoci_relation_free(inoci_relation *x)
{
	free(x->arm), free(x->x), free(x->y), free(x->seed_y), free(x->goal), free(x->toward), free(x->contrast);
	*x = (inoci_relation){0};
}
