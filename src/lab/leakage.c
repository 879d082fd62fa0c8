/* What the leakage grid shows: the unwanted trait of each arm under each system prompt, and whether an inoculated arm shows it
 * there again, against its own share without a system prompt. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

enum { ALPHA_PERCENT = 5, COMPARE_BOOT = 10000 };

static int none_row(const inoci_experiment *e)
{
	for (size_t i = 0; i < e->n_grid; i++)
		if (e->grid[i].kind == INOCI_GRID_NONE) return (int)i;
	return -1;
}

static bool of_trait(const inoci_grid_row *row, const inoci_trait *t)
{
	return !row->trait || !strcmp(row->trait, t->name);
}

/* An arm that inoculates another trait has nothing to say of this one. */
static bool shown(const inoci_experiment *e, const inoci_arm *a, const inoci_trait *t)
{
	return strcmp(a->role, "inoculated") || inoci_experiment_asks(e, a, t);
}

/* 10000 resamples, so that Holm over a large grid leaves something. */
static inoci_comparison compare(const inoci_scores *a, const inoci_scores *b, uint64_t rng_seed, int n_boot)
{
	return inoci_compare_ci(a, b, rng_seed, n_boot && n_boot < COMPARE_BOOT ? COMPARE_BOOT : n_boot);
}

static void adjust(inoci_leak *v, size_t n)
{
	double *p = inoci_alloc((n + 1) * sizeof *p);
	for (size_t i = 0; i < n; i++) p[i] = v[i].vs_none.diff.n ? v[i].vs_none.p : NAN;
	inoci_holm(p, n);
	for (size_t i = 0; i < n; i++) {
		v[i].vs_none.p = p[i];
		v[i].back = !isnan(p[i]) && p[i] < ALPHA_PERCENT / 100.0 && v[i].vs_none.diff.low > 0;
	}
	free(p);
}

void inoci_leakage(inoci_summary *s, uint64_t rng_seed, int n_boot)
{
	const inoci_results *r = s->r;
	const inoci_experiment *e = r->e;
	int none = none_row(e);
	s->leaks = inoci_alloc((e->n_traits * e->n_grid * e->n_arms + 1) * sizeof *s->leaks);
	for (size_t k = 0; k < e->n_traits; k++) {
		const inoci_trait *t = &e->traits[k];
		size_t first = s->n_leaks;
		for (size_t i = 0; i < e->n_grid; i++)
			for (size_t a = 0; a < e->n_arms; a++) {
				const inoci_grid_row *row = &e->grid[i];
				if (row->eval < 0 || !of_trait(row, t) || !shown(e, &e->arms[a], t)) continue;
				inoci_scores u = inoci_results_sum(r, (int)a, row->eval, t->u, t->n_u);
				if (u.n) {
					inoci_leak *l = &s->leaks[s->n_leaks++];
					*l = (inoci_leak){.trait = (int)k, .arm = (int)a, .row = (int)i};
					l->u = inoci_results_mean(r, &u, rng_seed, n_boot);
					if (none >= 0 && (int)i != none && !strcmp(e->arms[a].role, "inoculated")) {
						inoci_scores ref = inoci_results_sum(r, (int)a, e->grid[none].eval, t->u, t->n_u);
						if (ref.n) l->vs_none = compare(&u, &ref, rng_seed, n_boot);
						inoci_scores_free(&ref);
					}
				}
				inoci_scores_free(&u);
			}
		adjust(s->leaks + first, s->n_leaks - first);
	}
}
