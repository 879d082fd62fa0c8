/* Difference of differences, (a - b) - (c - d): does an arm fall more on some questions than on others? The questions of the two
 * sides are different ones, the seeds are the same, so a resample draws the seeds once for both and the prompts for each. */
#include <math.h>
#include <stdlib.h>

#include "eval/internal.h"

/* Behind the other side's prompts. */
static inoci_scores moved(const inoci_scores *s, int by, int *prompt)
{
	inoci_scores m = *s;
	for (size_t i = 0; i < s->n; i++) prompt[i] = s->prompt[i] + by;
	m.prompt = prompt;
	m.n_prompts = s->n_prompts + by;
	return m;
}

inoci_comparison inoci_interaction_ci(const inoci_scores *a, const inoci_scores *b, const inoci_scores *c, const inoci_scores *d,
                                      uint64_t rng_seed, int n_boot)
{
	int by = c->n_prompts > d->n_prompts ? c->n_prompts : d->n_prompts;
	int *pa = inoci_alloc((a->n + 1) * sizeof *pa), *pb = inoci_alloc((b->n + 1) * sizeof *pb);
	inoci_scores x = moved(a, by, pa), y = moved(b, by, pb);
	inoci_frame f = inoci_frame_of((const inoci_scores *const[]){&x, &y, c, d}, 4);
	inoci_table t[2] = {inoci_table_diff(f, &x, &y), inoci_table_diff(f, c, d)};
	inoci_estimate e[2] = {inoci_table_counts(f, &t[0]), inoci_table_counts(f, &t[1])};
	inoci_comparison out = {.diff = {.value = NAN, .low = NAN, .high = NAN}, .p = NAN};
	out.diff.real = e[0].real || e[1].real;
	out.diff.missing = e[0].missing + e[1].missing;
	if (n_boot <= 0) n_boot = 10000;
	if (e[0].n && e[1].n) {
		double *v = inoci_alloc((size_t)n_boot * 2 * sizeof *v);
		int below = 0, above = 0, m = 0;
		out.diff.n_seeds = inoci_bootstrap(f, t, 2, rng_seed, n_boot, v);
		out.diff.n = e[0].n + e[1].n;
		out.diff.n_prompts = e[0].n_prompts + e[1].n_prompts;
		/* after the resampling, which clears the seeds that one side lacks */
		out.diff.value = inoci_table_value(f, &t[0]) - inoci_table_value(f, &t[1]);
		for (int i = 0; i < n_boot; i++) {
			v[i] -= v[n_boot + i];
			m += !isnan(v[i]);
			below += v[i] <= 0;
			above += v[i] >= 0;
		}
		if (m) out.p = fmin(1, fmax(1.0 / n_boot, 2.0 * (below < above ? below : above) / m));
		inoci_table floor = {.all_equal = t[0].all_equal && t[1].all_equal,
		                     .real = out.diff.real,
		                     .below = hypot(t[0].below, t[1].above),
		                     .above = hypot(t[0].above, t[1].below)};
		/* over the prompts of both sides that differ; and over those of either, were the other known exactly */
		int differ = inoci_table_differ(f, &t[0]) + inoci_table_differ(f, &t[1]);
		int few = e[0].n_prompts < e[1].n_prompts ? e[0].n_prompts : e[1].n_prompts;
		if (m) out.p = fmax(out.p, inoci_least_p(differ < few ? differ : few));
		if (floor.all_equal && out.diff.value == 0) out.p = 1;
		inoci_interval(&floor, v, n_boot, &out.diff);
		free(v);
	}
	inoci_table_free(&t[0]);
	inoci_table_free(&t[1]);
	free(pa);
	free(pb);
	return out;
}
