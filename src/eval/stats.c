/* Means, paired differences and ratios with intervals by a two-way bootstrap over seeds and prompts.
 *
 * A resample draws S seeds and P prompts with replacement, independently; with wp the prompts' multiplicities and ws the
 * seeds', its value is   T = t(1, wp) + f * (t(ws, wp) - t(1, wp)).
 * With f = 1 that is the plain two-way bootstrap. Three seeds drawn from three seeds vary too little, and the quantiles of so
 * few are Student's, not the normal's: f = t(0.975, S - 1) / 1.96. Without it, three seeds whose standard
 * deviation is 0.15 are under-covered (0.84 to 0.86 in a simulation of 400); tests/eval/test_coverage.c prints what this f gives,
 * 0.95 or more there, which is on the safe side where seeds differ little.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/internal.h"

enum { BOOT = 10000 };
#define Z_975 1.959963984540054
static const double Z = Z_975;

void inoci_wilson(double k, double n, double *low, double *high)
{
	*low = 0;
	*high = 1;
	if (!(n > 0)) return;
	double p = k / n, z2 = Z * Z, mid = (p + z2 / (2 * n)) / (1 + z2 / n);
	double half = Z / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n));
	*low = k <= 0 ? 0 : fmax(0, mid - half);
	*high = k >= n ? 1 : fmin(1, mid + half);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

void inoci_holm(double *p, size_t n)
{
	size_t m = 0;
	double *sorted = inoci_alloc((n + 1) * sizeof *sorted);
	for (size_t i = 0; i < n; i++)
		if (!isnan(p[i])) sorted[m++] = p[i];
	qsort(sorted, m, sizeof *sorted, by_value);
	for (size_t i = 0; i < n; i++) {
		if (isnan(p[i])) continue;
		double most = 0; /* over all not larger: ties get the same */
		for (size_t k = 0; k < m && sorted[k] <= p[i]; k++) most = fmax(most, (double)(m - k) * sorted[k]);
		p[i] = fmin(1, most);
	}
	free(sorted);
}

double inoci_student(int df)
{
	static const double t[] = {Z_975,  12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
	                           2.2010, 2.1788,  2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860};
	if (df < (int)INOCI_COUNT(t)) return t[df];
	return Z + 2.37227 / df + 2.8225 / ((double)df * df); /* Cornish-Fisher */
}

/* ---- tables ---- */

inoci_frame inoci_frame_of(const inoci_scores *const *s, size_t n)
{
	inoci_frame f = {.seedless = true};
	for (size_t i = 0; i < n; i++) {
		if (s[i]->n_prompts > f.P) f.P = s[i]->n_prompts;
		if (s[i]->seedless) continue;
		f.seedless = false;
		if (s[i]->n_seeds > f.S) f.S = s[i]->n_seeds;
	}
	if (f.seedless) f.S = 1;
	return f;
}

static inoci_table table_new(inoci_frame f)
{
	size_t cells = (size_t)f.S * (size_t)f.P;
	return (inoci_table){.num = inoci_alloc((cells + 1) * sizeof(double)), .den = inoci_alloc((cells + 1) * sizeof(double))};
}

void inoci_table_free(inoci_table *t)
{
	free(t->num);
	free(t->den);
	*t = (inoci_table){0};
}

inoci_table inoci_table_samples(inoci_frame f, const inoci_scores *s)
{
	inoci_table t = table_new(f);
	double first = NAN;
	t.all_equal = true;
	t.real = s->real;
	for (size_t i = 0; i < s->n; i++) {
		INOC_BUG_IF(s->prompt[i] < 0 || s->prompt[i] >= s->n_prompts);
		INOC_BUG_IF(!s->seedless && (s->seed[i] < 0 || s->seed[i] >= s->n_seeds));
		double v = s->value[i];
		if (isnan(v)) {
			t.missing++;
			continue;
		}
		t.n++;
		if (isnan(first)) first = v;
		t.all_equal &= v == first;
		for (int k = s->seedless ? 0 : s->seed[i]; k < (s->seedless ? f.S : s->seed[i] + 1); k++) {
			t.num[k * f.P + s->prompt[i]] += v;
			t.den[k * f.P + s->prompt[i]] += 1;
		}
	}
	return t;
}

static int count_prompts(inoci_frame f, const inoci_table *t)
{
	int n = 0;
	for (int p = 0; p < f.P; p++) {
		bool any = false;
		for (int s = 0; s < f.S; s++) any |= t->den[s * f.P + p] > 0;
		n += any;
	}
	return n;
}

static int count_seeds(inoci_frame f, const inoci_table *t)
{
	int n = 0;
	if (f.seedless) return 0;
	for (int s = 0; s < f.S; s++) {
		bool any = false;
		for (int p = 0; p < f.P; p++) any |= t->den[s * f.P + p] > 0;
		n += any;
	}
	return n;
}

/* Squares of Wilson's half-widths of a side whose values are all equal; else 0, as the resamples show its spread. */
static void constant_side(inoci_frame f, const inoci_table *t, double *below, double *above)
{
	double low, high, v = inoci_table_value(f, t);
	int n = count_prompts(f, t);
	if (!t->all_equal || !n || t->real) return;
	inoci_wilson(v * n, n, &low, &high);
	*below += (v - low) * (v - low);
	*above += (high - v) * (high - v);
}

inoci_table inoci_table_diff(inoci_frame f, const inoci_scores *a, const inoci_scores *b)
{
	inoci_table t = table_new(f), x = inoci_table_samples(f, a), y = inoci_table_samples(f, b);
	bool *seen = inoci_alloc((size_t)f.S * (size_t)f.P + 1);
	const inoci_scores *const both[] = {a, b};
	for (int k = 0; k < 2; k++)
		for (size_t i = 0; i < both[k]->n; i++)
			for (int s = 0; s < f.S; s++)
				if (both[k]->seedless || both[k]->seed[i] == s) seen[s * f.P + both[k]->prompt[i]] = true;
	double first = NAN, below = 0, above = 0;
	t.all_equal = true;
	t.real = a->real || b->real;
	for (int i = 0; i < f.S * f.P; i++) {
		if (!(x.den[i] > 0 && y.den[i] > 0)) {
			t.missing += seen[i];
			continue;
		}
		t.num[i] = x.num[i] / x.den[i] - y.num[i] / y.den[i];
		t.den[i] = 1;
		t.n++;
		if (isnan(first)) first = t.num[i];
		t.all_equal &= t.num[i] == first;
	}
	constant_side(f, &x, &below, &above);
	constant_side(f, &y, &above, &below);
	t.below = sqrt(below);
	t.above = sqrt(above);
	free(seen);
	inoci_table_free(&x);
	inoci_table_free(&y);
	return t;
}

double inoci_table_value(inoci_frame f, const inoci_table *t)
{
	double num = 0, den = 0;
	for (int i = 0; i < f.S * f.P; i++) {
		num += t->num[i];
		den += t->den[i];
	}
	return den > 0 ? num / den : NAN;
}

/* ---- resampling ---- */

/* Seeds that every table has, and prompts that any has on them; the other seeds are cleared. */
static void align(inoci_frame f, inoci_table *t, size_t n_tables, int *seeds, int *n_seeds, int *prompts, int *n_prompts)
{
	*n_seeds = *n_prompts = 0;
	for (int s = 0; s < f.S; s++) {
		size_t have = 0;
		for (size_t k = 0; k < n_tables; k++) {
			bool any = false;
			for (int p = 0; p < f.P; p++) any |= t[k].den[s * f.P + p] > 0;
			have += any;
		}
		if (have == n_tables) {
			seeds[(*n_seeds)++] = s;
			continue;
		}
		for (size_t k = 0; k < n_tables; k++)
			for (int p = 0; p < f.P; p++) t[k].num[s * f.P + p] = t[k].den[s * f.P + p] = 0;
	}
	for (int p = 0; p < f.P; p++) {
		bool any = false;
		for (size_t k = 0; k < n_tables; k++)
			for (int s = 0; s < f.S; s++) any |= t[k].den[s * f.P + p] > 0;
		if (any) prompts[(*n_prompts)++] = p;
	}
}

static double resampled(inoci_frame f, const inoci_table *t, const int *seeds, int n_seeds, const double *ws, const double *wp,
                        double wide)
{
	double num = 0, den = 0, wnum = 0, wden = 0;
	for (int i = 0; i < n_seeds; i++) {
		const double *a = t->num + seeds[i] * f.P, *b = t->den + seeds[i] * f.P;
		double x = 0, y = 0;
		for (int p = 0; p < f.P; p++) {
			x += wp[p] * a[p];
			y += wp[p] * b[p];
		}
		num += x;
		den += y;
		wnum += ws[i] * x;
		wden += ws[i] * y;
	}
	if (!(den > 0 && wden > 0)) return NAN;
	return num / den + wide * (wnum / wden - num / den);
}

int inoci_bootstrap(inoci_frame f, inoci_table *t, size_t n_tables, uint64_t rng_seed, int n_boot, double *draws)
{
	int n_seeds, n_prompts, *seeds = inoci_alloc(((size_t)f.S + 1) * sizeof *seeds);
	int *prompts = inoci_alloc(((size_t)f.P + 1) * sizeof *prompts);
	double *ws = inoci_alloc(((size_t)f.S + 1) * sizeof *ws), *wp = inoci_alloc(((size_t)f.P + 1) * sizeof *wp);
	align(f, t, n_tables, seeds, &n_seeds, prompts, &n_prompts);
	double wide = n_seeds > 1 ? inoci_student(n_seeds - 1) / Z : 1;
	for (int b = 0; b < n_boot; b++) {
		inoci_rng r = inoci_rng_new(rng_seed, "bootstrap", (uint64_t)b, 0);
		memset(ws, 0, (size_t)f.S * sizeof *ws);
		memset(wp, 0, (size_t)f.P * sizeof *wp);
		for (int i = 0; i < n_seeds; i++) ws[inoci_rng_below(&r, (uint32_t)n_seeds)]++;
		for (int i = 0; i < n_prompts; i++) wp[prompts[inoci_rng_below(&r, (uint32_t)n_prompts)]]++;
		for (size_t k = 0; k < n_tables; k++)
			draws[k * (size_t)n_boot + (size_t)b] = resampled(f, &t[k], seeds, n_seeds, ws, wp, wide);
	}
	free(seeds);
	free(prompts);
	free(ws);
	free(wp);
	return n_seeds;
}

static double quantile(const double *v, int n, double q)
{
	double at = q * (n - 1);
	int i = (int)floor(at);
	double x = v[i], y = i + 1 < n ? v[i + 1] : v[i];
	if (x == y || isinf(x) || at == i) return x;
	return isinf(y) ? y : x + (at - i) * (y - x);
}

void inoci_percentiles(double *v, int n, double *low, double *high)
{
	qsort(v, (size_t)n, sizeof *v, by_value);
	*low = quantile(v, n, 0.025);
	*high = quantile(v, n, 0.975);
}

void inoci_interval(const inoci_table *t, double *v, int n, inoci_estimate *e)
{
	int m = 0;
	for (int i = 0; i < n; i++)
		if (!isnan(v[i])) v[m++] = v[i];
	e->low = e->high = NAN;
	if (!m || (t->real && t->all_equal)) return; /* real values all alike: nothing tells how they would spread */
	inoci_percentiles(v, m, &e->low, &e->high);
	e->low = fmin(e->value, e->low);
	e->high = fmax(e->value, e->high);
	if (t->below > 0) e->low = e->value - hypot(e->value - e->low, t->below);
	if (t->above > 0) e->high = e->value + hypot(e->high - e->value, t->above);
}

void inoci_ratio_draws(double *num, const double *den, int n, double den_value)
{
	double sign = den_value < 0 ? -1 : 1;
	for (int b = 0; b < n; b++) {
		if (den[b] * sign > 0)
			num[b] /= den[b];
		else if (!isnan(den[b]) && num[b] != 0)
			num[b] = copysign(INFINITY, num[b] * sign);
	}
}

inoci_table inoci_ratio_floor(const inoci_table *num, const inoci_table *den, double ratio, double den_value)
{
	double a = fabs(den_value), r = fabs(ratio);
	bool flip = den_value < 0;
	return (inoci_table){.below = hypot((flip ? num->above : num->below) / a, r * den->above / a),
	                     .above = hypot((flip ? num->below : num->above) / a, r * den->below / a)};
}

inoci_estimate inoci_table_counts(inoci_frame f, const inoci_table *t)
{
	return (inoci_estimate){.value = inoci_table_value(f, t),
	                        .low = NAN,
	                        .high = NAN,
	                        .n = t->n,
	                        .missing = t->missing,
	                        .n_seeds = count_seeds(f, t),
	                        .n_prompts = count_prompts(f, t),
	                        .real = t->real};
}

inoci_estimate inoci_mean_ci(const inoci_scores *s, uint64_t rng_seed, int n_boot)
{
	inoci_frame f = inoci_frame_of(&s, 1);
	inoci_table t = inoci_table_samples(f, s);
	inoci_estimate e = inoci_table_counts(f, &t);
	if (n_boot <= 0) n_boot = BOOT;
	if (t.all_equal && t.n && !t.real) {
		inoci_wilson(e.value * e.n_prompts, e.n_prompts, &e.low, &e.high);
	} else if (t.n) {
		double *v = inoci_alloc((size_t)n_boot * sizeof *v);
		inoci_bootstrap(f, &t, 1, rng_seed, n_boot, v);
		inoci_interval(&t, v, n_boot, &e);
		if (!t.real) e.low = fmax(0, e.low), e.high = fmin(1, e.high);
		free(v);
	}
	inoci_table_free(&t);
	return e;
}

int inoci_table_differ(inoci_frame f, const inoci_table *t)
{
	int m = 0;
	for (int p = 0; p < f.P; p++) {
		double sum = 0;
		for (int s = 0; s < f.S; s++) sum += t->num[s * f.P + p];
		m += fabs(sum) > 1e-12;
	}
	return m;
}

double inoci_least_p(int m)
{
	return fmin(1, exp2(1 - m));
}

inoci_comparison inoci_compare_ci(const inoci_scores *a, const inoci_scores *b, uint64_t rng_seed, int n_boot)
{
	inoci_frame f = inoci_frame_of((const inoci_scores *const[]){a, b}, 2);
	inoci_table t = inoci_table_diff(f, a, b);
	inoci_comparison c = {.diff = inoci_table_counts(f, &t), .p = NAN};
	if (n_boot <= 0) n_boot = BOOT;
	if (t.n) {
		double *v = inoci_alloc((size_t)n_boot * sizeof *v);
		int below = 0, above = 0, m = 0;
		inoci_bootstrap(f, &t, 1, rng_seed, n_boot, v);
		for (int i = 0; i < n_boot; i++) {
			m += !isnan(v[i]);
			below += v[i] <= 0;
			above += v[i] >= 0;
		}
		if (m) c.p = fmin(1, fmax(1.0 / n_boot, 2.0 * (below < above ? below : above) / m));
		if (m) c.p = fmax(c.p, inoci_least_p(inoci_table_differ(f, &t)));
		inoci_interval(&t, v, n_boot, &c.diff);
		if (!t.real) c.diff.low = fmax(-1, c.diff.low), c.diff.high = fmin(1, c.diff.high);
		free(v);
	}
	inoci_table_free(&t);
	return c;
}

inoci_estimate inoci_ratio_ci(const inoci_scores *a, const inoci_scores *b, const inoci_scores *c, const inoci_scores *d,
                              uint64_t rng_seed, int n_boot)
{
	inoci_frame f = inoci_frame_of((const inoci_scores *const[]){a, b, c, d}, 4);
	inoci_table t[2] = {inoci_table_diff(f, a, b), inoci_table_diff(f, c, d)};
	if (n_boot <= 0) n_boot = BOOT;
	double *v = inoci_alloc((size_t)n_boot * 3 * sizeof *v);
	inoci_bootstrap(f, t, 2, rng_seed, n_boot, v);
	inoci_estimate e = inoci_table_counts(f, &t[0]), den = inoci_table_counts(f, &t[1]);
	memcpy(v + 2 * n_boot, v + n_boot, (size_t)n_boot * sizeof *v);
	e.real = false;
	inoci_interval(&t[1], v + 2 * n_boot, n_boot, &den);
	if (isnan(e.value) || isnan(den.low) || (den.low <= 0 && den.high >= 0)) {
		e.value = NAN;
	} else {
		e.value /= den.value;
		inoci_ratio_draws(v, v + n_boot, n_boot, den.value);
		inoci_table floor = inoci_ratio_floor(&t[0], &t[1], e.value, den.value);
		inoci_interval(&floor, v, n_boot, &e);
	}
	free(v);
	for (int k = 0; k < 2; k++) inoci_table_free(&t[k]);
	return e;
}
