/* How well probabilities agree with labels: Cohen's kappa (Cohen 1960), accuracy, and the area under the ROC curve, which is the
 * share of (1, 0) pairs in the right order, ties counting half (Mann and Whitney 1947).
 *
 * Rows of a topic are alike, so a resample draws topics, not rows. Where no resample differs (all right, in every topic) there
 * is no spread to see, and the lower end is Wilson's for as many of as many topics.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/internal.h"

typedef struct {
	double p;
	int topic;
	bool label, said;
} judged;

static int by_p(const void *a, const void *b)
{
	double x = ((const judged *)a)->p, y = ((const judged *)b)->p;
	return (x > y) - (x < y);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

enum { KAPPA, ACCURACY, AUC, N_FIGURES };

/* v (n) sorted by p; weight: of each topic. chance: the agreement that chance alone gives. */
static void figures(const judged *v, size_t n, const double *weight, double *out, double *chance)
{
	double cell[2][2] = {{0}}, below = 0, order = 0; /* below: zeros passed */
	for (size_t i = 0, end; i < n; i = end) {
		double ones = 0, zeros = 0;
		for (end = i; end < n && v[end].p == v[i].p; end++) {
			double w = weight[v[end].topic];
			cell[v[end].label][v[end].said] += w;
			*(v[end].label ? &ones : &zeros) += w;
		}
		order += ones * (below + zeros / 2);
		below += zeros;
	}
	double one = cell[1][0] + cell[1][1], zero = cell[0][0] + cell[0][1], all = one + zero;
	double said = cell[0][1] + cell[1][1], right = (cell[0][0] + cell[1][1]) / all;
	*chance = (one * said + zero * (all - said)) / (all * all);
	out[ACCURACY] = right;
	out[KAPPA] = *chance < 1 ? (right - *chance) / (1 - *chance) : NAN;
	out[AUC] = one > 0 && zero > 0 ? order / (one * zero) : NAN;
}

static double quantile(const double *v, size_t n, double q)
{
	double at = q * (double)(n - 1), low = floor(at);
	size_t i = (size_t)low;
	return i + 1 < n ? v[i] + (at - low) * (v[i + 1] - v[i]) : v[n - 1];
}

static inoci_figure interval(double value, double *draws, size_t n)
{
	size_t m = 0;
	for (size_t i = 0; i < n; i++)
		if (!isnan(draws[i])) draws[m++] = draws[i];
	if (isnan(value) || !m) return (inoci_figure){value, NAN, NAN};
	qsort(draws, m, sizeof *draws, by_value);
	return (inoci_figure){value, quantile(draws, m, 0.025), quantile(draws, m, 0.975)};
}

inoci_agreement inoci_agree(const double *p, const int *label, const int *topic, size_t n, int n_topics, double threshold,
                            uint64_t seed, int n_boot)
{
	if (!n_boot) n_boot = 10000;
	inoci_agreement a = {.n = n, .n_topics = n_topics};
	judged *v = inoci_alloc((n + 1) * sizeof *v);
	double *weight = inoci_alloc(((size_t)n_topics + 1) * sizeof *weight), got[N_FIGURES], chance, ignored;
	double *draws = inoci_alloc(N_FIGURES * (size_t)n_boot * sizeof *draws);
	inoci_figure *to[N_FIGURES] = {&a.kappa, &a.accuracy, &a.auc};
	for (size_t i = 0; i < n; i++) {
		v[i] = (judged){p[i], topic[i], label[i] != 0, p[i] >= threshold};
		a.n_ones += label[i] != 0;
		a.n_said += v[i].said;
	}
	qsort(v, n, sizeof *v, by_p);
	for (int t = 0; t < n_topics; t++) weight[t] = 1;
	figures(v, n, weight, got, &chance);
	for (int b = 0; b < n_boot; b++) {
		inoci_rng r = inoci_rng_new(seed, "topics", (uint64_t)b, 0);
		double one[N_FIGURES];
		memset(weight, 0, (size_t)n_topics * sizeof *weight);
		for (int t = 0; t < n_topics; t++) weight[inoci_rng_below(&r, (uint32_t)n_topics)]++;
		figures(v, n, weight, one, &ignored);
		for (int k = 0; k < N_FIGURES; k++) draws[(size_t)k * (size_t)n_boot + (size_t)b] = one[k];
	}
	for (int k = 0; k < N_FIGURES; k++) {
		*to[k] = interval(got[k], draws + (size_t)k * (size_t)n_boot, (size_t)n_boot);
		if (to[k]->low < to[k]->high || !(got[k] >= 1)) continue;
		double low, high;
		inoci_wilson(n_topics, n_topics, &low, &high);
		to[k]->low = k == KAPPA ? (low - chance) / (1 - chance) : low;
	}
	free(v), free(weight), free(draws);
	return a;
}
