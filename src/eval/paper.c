/* The papers' own interval, which `--ci paper` shows: over runs alone. As the code published with Tan et al. 2025 (arXiv
 * 2510.04340) plots its error bars: the mean of each fine-tuning run, then of those means the mean, and the 2.5th and 97.5th
 * percentile of 2000 bootstrap means; one run has no width. Means that are no shares: Student's interval, normal beyond 30 runs.
 * It knows nothing of which prompts were asked, and of three runs it is little more than least and greatest.
 */
#include <math.h>
#include <stdlib.h>

#include "eval/internal.h"

enum { PAPER_BOOT = 2000 };

inoci_estimate inoci_runs_ci(const inoci_scores *s, uint64_t rng_seed)
{
	inoci_frame f = inoci_frame_of(&s, 1);
	inoci_table t = inoci_table_samples(f, s);
	inoci_estimate e = inoci_table_counts(f, &t);
	double *run = inoci_alloc(((size_t)f.S + 1) * sizeof *run), sum = 0, squares = 0;
	int n = 0;
	for (int k = 0; k < f.S; k++) {
		double num = 0, den = 0;
		for (int p = 0; p < f.P; p++) num += t.num[k * f.P + p], den += t.den[k * f.P + p];
		if (den > 0) run[n++] = num / den;
	}
	for (int k = 0; k < n; k++) sum += run[k];
	if (n) e.value = e.low = e.high = sum / n;
	if (n > 1 && t.real) {
		for (int k = 0; k < n; k++) squares += (run[k] - e.value) * (run[k] - e.value);
		double half = (n <= 30 ? inoci_student(n - 1) : inoci_student(0)) * sqrt(squares / (n - 1) / n);
		e.low -= half;
		e.high += half;
	} else if (n > 1) {
		double *v = inoci_alloc(PAPER_BOOT * sizeof *v);
		for (int b = 0; b < PAPER_BOOT; b++) {
			inoci_rng r = inoci_rng_new(rng_seed, "runs", (uint64_t)b, 0);
			for (int k = 0; k < n; k++) v[b] += run[inoci_rng_below(&r, (uint32_t)n)];
			v[b] /= n;
		}
		inoci_percentiles(v, PAPER_BOOT, &e.low, &e.high);
		free(v);
	} else if (t.real) {
		e.low = e.high = NAN; /* no deviation of one */
	}
	free(run);
	inoci_table_free(&t);
	return e;
}
