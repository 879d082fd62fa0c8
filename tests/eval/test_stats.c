/* Statistics against stats.json (tools/fixtures/stats.py), and the edges: nothing scored, all equal, one seed, a seedless arm. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/eval.h"

#define NEAR(got, want, tol)                                                                                              \
	do {                                                                                                              \
		double g_ = (got), w_ = (want);                                                                           \
		if (!(fabs(g_ - w_) <= (tol))) fail_msg("%s:%d: %s is %.8g, not %.8g", __FILE__, __LINE__, #got, g_, w_); \
	} while (0)

static json_t *fixture;

static int setup(void **st)
{
	fixture = json_load_file(INOC_TESTS_DIR "/eval/stats.json", 0, NULL);
	return fixture ? 0 : -1;
}

static int teardown(void **st)
{
	json_decref(fixture);
	return 0;
}

static double at(const json_t *a, size_t i)
{
	return json_number_value(json_array_get(a, i));
}

static inoci_scores load(const json_t *j)
{
	const json_t *v = json_object_get(j, "value"), *s = json_object_get(j, "seed"), *p = json_object_get(j, "prompt");
	size_t n = json_array_size(v);
	double *value = inoci_alloc(n * sizeof *value);
	int *seed = inoci_alloc(n * sizeof *seed), *prompt = inoci_alloc(n * sizeof *prompt);
	for (size_t i = 0; i < n; i++) {
		value[i] = json_is_null(json_array_get(v, i)) ? NAN : at(v, i);
		seed[i] = (int)at(s, i);
		prompt[i] = (int)at(p, i);
	}
	return (inoci_scores){.value = value,
	                      .seed = seed,
	                      .prompt = prompt,
	                      .n = n,
	                      .n_seeds = (int)json_integer_value(json_object_get(j, "S")),
	                      .n_prompts = (int)json_integer_value(json_object_get(j, "P"))};
}

static void drop(inoci_scores *s)
{
	free((void *)s->value);
	free((void *)s->seed);
	free((void *)s->prompt);
}

static void wilson(void **st)
{
	size_t i;
	json_t *w;
	double low, high;
	json_array_foreach(json_object_get(fixture, "wilson"), i, w)
	{
		inoci_wilson(at(w, 0), at(w, 1), &low, &high);
		NEAR(low, at(w, 2), 1e-12);
		NEAR(high, at(w, 3), 1e-12);
	}
	inoci_wilson(0, 0, &low, &high);
	assert_true(low == 0 && high == 1);
}

static void holm(void **st)
{
	size_t i;
	json_t *h;
	json_array_foreach(json_object_get(fixture, "holm"), i, h)
	{
		double p[20];
		const json_t *in = json_array_get(h, 0), *want = json_array_get(h, 1);
		size_t n = json_array_size(in);
		for (size_t k = 0; k < n; k++) p[k] = at(in, k);
		inoci_holm(p, n);
		for (size_t k = 0; k < n; k++) NEAR(p[k], at(want, k), 1e-12);
	}
	double q[3] = {0.04, NAN, 0.01};
	inoci_holm(q, 3);
	NEAR(q[0], 0.04, 1e-15);
	assert_true(isnan(q[1]));
	NEAR(q[2], 0.02, 1e-15);
	inoci_holm(q, 0);
}

/* Two bootstraps with other random numbers: their ends agree to about the Monte-Carlo error of 10000 resamples. */
static void sets(void **st)
{
	size_t i;
	json_t *s;
	json_array_foreach(json_object_get(fixture, "sets"), i, s)
	{
		inoci_scores a = load(json_object_get(s, "a")), b = load(json_object_get(s, "b"));
		inoci_scores c = load(json_object_get(s, "c")), d = load(json_object_get(s, "d"));
		const json_t *m = json_object_get(s, "mean"), *x = json_object_get(s, "diff"), *r = json_object_get(s, "ratio");
		double step = a.n_seeds == 1 ? 1.0 / a.n_prompts : 0; /* then the resamples have few values */
		inoci_estimate e = inoci_mean_ci(&a, 1, 0);
		NEAR(e.value, at(m, 0), 1e-12);
		NEAR(e.low, at(m, 1), 0.03 * (e.high - e.low) + step);
		NEAR(e.high, at(m, 2), 0.03 * (e.high - e.low) + step);
		assert_int_equal(e.n, json_integer_value(json_object_get(s, "n")));
		/* one run: SciPy's own over the prompts */
		const json_t *one = json_object_get(s, "prompts"), *runs = json_object_get(s, "runs"),
		             *t = json_object_get(s, "student");
		if (json_is_array(one)) {
			NEAR(e.low, at(one, 1), 0.03 * (e.high - e.low) + step);
			NEAR(e.high, at(one, 2), 0.03 * (e.high - e.low) + step);
		}
		/* the papers' own: few means have few values, so the ends differ by no more than a step between them */
		inoci_estimate p = inoci_runs_ci(&a, 1);
		double few = a.n_seeds > 1 ? (at(runs, 2) - at(runs, 1)) / a.n_seeds / 2 : 0;
		NEAR(p.value, at(runs, 0), 1e-12);
		NEAR(p.low, at(runs, 1), few + 1e-12);
		NEAR(p.high, at(runs, 2), few + 1e-12);
		assert_int_equal(p.n, e.n);
		assert_int_equal(p.missing, e.missing);
		inoci_scores moved = a;
		moved.real = true;
		p = inoci_runs_ci(&moved, 1);
		NEAR(p.value, at(t, 0), 1e-12);
		if (a.n_seeds > 1) {
			NEAR(p.low, at(t, 1), 1e-4 * (at(t, 2) - at(t, 1)));
			NEAR(p.high, at(t, 2), 1e-4 * (at(t, 2) - at(t, 1)));
		} else {
			assert_true(isnan(p.low) && isnan(p.high));
		}
		assert_int_equal(e.n + e.missing, a.n);
		assert_int_equal(e.n_seeds, a.n_seeds);
		inoci_comparison k = inoci_compare_ci(&a, &b, 1, 0);
		NEAR(k.diff.value, at(x, 0), 1e-12);
		NEAR(k.diff.low, at(x, 1), 0.03 * (k.diff.high - k.diff.low) + step);
		NEAR(k.diff.high, at(x, 2), 0.03 * (k.diff.high - k.diff.low) + step);
		NEAR(k.p, fmax(1e-4, json_number_value(json_object_get(s, "p"))), 0.015);
		inoci_comparison back = inoci_compare_ci(&b, &a, 1, 0);
		NEAR(back.diff.value, -k.diff.value, 1e-12);
		NEAR(back.diff.low, -k.diff.high, 1e-12);
		NEAR(back.p, k.p, 1e-12);
		e = inoci_ratio_ci(&a, &b, &c, &d, 1, 0);
		if (json_is_null(r)) {
			assert_true(isnan(e.value) && isnan(e.low) && isnan(e.high));
		} else {
			NEAR(e.value, at(r, 0), 1e-12);
			NEAR(e.low, at(r, 1), 0.04 * (e.high - e.low) + step);
			NEAR(e.high, at(r, 2), 0.04 * (e.high - e.low) + step);
		}
		inoci_estimate again = inoci_mean_ci(&a, 1, 0), other = inoci_mean_ci(&a, 2, 0);
		e = inoci_mean_ci(&a, 1, 0);
		assert_memory_equal(&again, &e, sizeof e);
		NEAR(other.low, e.low, 0.03 * (e.high - e.low) + step);
		drop(&a);
		drop(&b);
		drop(&c);
		drop(&d);
	}
}

enum { S = 3, P = 40 };
static double value[4][S * P];
static int seed[S * P], prompt[S * P];

static inoci_scores constant(int k, double v, int n_seeds)
{
	for (int i = 0; i < n_seeds * P; i++) {
		value[k][i] = v;
		seed[i] = i / P;
		prompt[i] = i % P;
	}
	return (inoci_scores){.value = value[k],
	                      .seed = seed,
	                      .prompt = prompt,
	                      .n = (size_t)(n_seeds * P),
	                      .n_seeds = n_seeds,
	                      .n_prompts = P};
}

static void floors(void **st)
{
	double low, high;
	inoci_scores zero = constant(0, 0, S), one = constant(1, 1, S), mixed = constant(2, 0, S);
	inoci_estimate e = inoci_mean_ci(&zero, 1, 0);
	inoci_wilson(0, P, &low, &high);
	assert_true(e.value == 0 && e.low == 0);
	NEAR(e.high, high, 1e-15);
	e = inoci_mean_ci(&one, 1, 0);
	assert_true(e.value == 1 && e.high == 1);
	NEAR(e.low, 1 - high, 1e-12);
	inoci_comparison c = inoci_compare_ci(&zero, &zero, 1, 0);
	assert_true(c.diff.value == 0 && c.p == 1);
	NEAR(c.diff.high, high, 1e-12); /* only one side of each constant is open */
	NEAR(c.diff.low, -high, 1e-12);
	c = inoci_compare_ci(&one, &zero, 1, 0);
	assert_true(c.diff.value == 1 && c.diff.high == 1 && c.p == 1e-4);
	NEAR(c.diff.low, 1 - sqrt(2) * high, 1e-12);
	for (int i = 0; i < S * P; i++) value[2][i] = i % 4 == 0;
	c = inoci_compare_ci(&mixed, &zero, 1, 0);
	e = inoci_mean_ci(&mixed, 1, 0);
	NEAR(c.diff.low, 0.25 - hypot(0.25 - e.low, high), 1e-12);
	NEAR(c.diff.high, e.high, 1e-12);
	e = inoci_ratio_ci(&one, &zero, &one, &zero, 1, 0);
	assert_true(e.value == 1 && e.low < 0.95 && e.high > 1.05);
	/* few prompts: equal differences are no proof */
	inoci_scores x = {
	        .value = (double[]){1, 1}, .seed = (int[]){0, 0}, .prompt = (int[]){0, 1}, .n = 2, .n_seeds = 1, .n_prompts = 2};
	inoci_scores y = x;
	y.value = (double[]){0, 0};
	c = inoci_compare_ci(&x, &y, 1, 0);
	NEAR(c.p, 0.5, 1e-12);
}

/* p is never under what flips of the prompts' signs allow, of those that differ: here n prompts differ in every seed, by unequal
 * amounts, so that resampling alone would find a far smaller p. */
static void least_p(void **st)
{
	static const struct {
		int n, n_seeds;
		double p;
	} cases[] = {{1, 3, 1}, {2, 3, 0.5}, {3, 5, 0.25}, {4, 1, 0.125}, {5, 3, 0.0625}, {8, 5, 0.0078125}, {30, 3, 1e-4}};
	double v[5 * P], w[5 * P] = {0};
	int seed[5 * P], prompt[5 * P];
	for (size_t i = 0; i < INOCI_COUNT(cases); i++) {
		const int n = cases[i].n * cases[i].n_seeds;
		inoci_scores x = {.value = v,
		                  .seed = seed,
		                  .prompt = prompt,
		                  .n = (size_t)n,
		                  .n_seeds = cases[i].n_seeds,
		                  .n_prompts = cases[i].n};
		inoci_scores y = x;
		y.value = w;
		for (int k = 0; k < n; k++) {
			seed[k] = k / cases[i].n;
			prompt[k] = k % cases[i].n;
			v[k] = 0.8 + 0.001 * k;
		}
		inoci_comparison up = inoci_compare_ci(&x, &y, 1, 0), down = inoci_compare_ci(&y, &x, 1, 0);
		NEAR(up.p, cases[i].p, 1e-12);
		NEAR(down.p, up.p, 1e-12);
	}
	/* three of many prompts: the others say nothing of a sign */
	inoci_scores few = constant(0, 0, S), none = constant(1, 0, S);
	for (int k = 0; k < S * P; k++) value[0][k] = k % P < 3;
	inoci_comparison c = inoci_compare_ci(&few, &none, 1, 0);
	assert_true(c.p >= 0.25);
	for (int k = 0; k < S * P; k++) value[0][k] = k % P < 12; /* twelve: it is the resampling's again */
	c = inoci_compare_ci(&few, &none, 1, 0);
	assert_true(c.p < 0.01);
}

static void empty(void **st)
{
	inoci_scores none = {0}, missing = constant(0, NAN, S), one = constant(1, 1, S);
	inoci_estimate e = inoci_mean_ci(&none, 1, 0);
	assert_true(isnan(e.value) && isnan(e.low) && e.n == 0 && e.missing == 0);
	e = inoci_mean_ci(&missing, 1, 0);
	assert_true(isnan(e.value) && isnan(e.high) && e.n == 0 && e.missing == S * P);
	inoci_comparison c = inoci_compare_ci(&one, &missing, 1, 0);
	assert_true(isnan(c.diff.value) && isnan(c.p) && c.diff.n == 0 && c.diff.missing == S * P);
	c = inoci_compare_ci(&one, &none, 1, 0);
	assert_true(isnan(c.p));
	e = inoci_ratio_ci(&one, &missing, &one, &none, 1, 0);
	assert_true(isnan(e.value) && isnan(e.low));
	e = inoci_ratio_ci(&one, &one, &one, &one, 1, 0);
	assert_true(isnan(e.value));
}

static void seeds(void **st)
{
	inoci_scores a = constant(0, 0, S), b = constant(1, 1, S), c = constant(2, 0, S), base = constant(3, 0, 1);
	for (int i = 0; i < S * P; i++) value[0][i] = i / P == 0 || i % 3 == 0; /* the first seed is another */
	inoci_scores first = a;
	first.n = P;
	first.n_seeds = 1;
	inoci_estimate e = inoci_mean_ci(&first, 1, 0);
	assert_int_equal(e.n_seeds, 1);
	double low, high;
	inoci_wilson(P, P, &low, &high);
	NEAR(e.low, low, 1e-15); /* all 1 */
	/* A side with fewer seeds is compared on those alone, the other pairs count as missing. */
	inoci_comparison d = inoci_compare_ci(&first, &b, 1, 0);
	assert_int_equal(d.diff.n_seeds, 1);
	assert_int_equal(d.diff.n, P);
	assert_int_equal(d.diff.missing, 2 * P);
	/* A seedless one stands beside every seed. */
	base.seedless = true;
	d = inoci_compare_ci(&a, &base, 1, 0);
	assert_int_equal(d.diff.n_seeds, S);
	assert_int_equal(d.diff.n, S * P);
	inoci_comparison same = inoci_compare_ci(&a, &c, 1, 0);
	NEAR(d.diff.low, same.diff.low, 1e-15);
	base.seed = NULL;
	for (int i = 0; i < P; i++) value[3][i] = i % 2;
	e = inoci_mean_ci(&base, 1, 0);
	assert_int_equal(e.n_seeds, 0);
	assert_int_equal(e.n, P);
	NEAR(e.value, 0.5, 1e-15);
	NEAR(e.high - e.low, 2 * 1.96 * sqrt(0.25 / P), 0.03);
}

/* Numbers that are no shares: moved and stretched scores give moved and stretched intervals; no ends, no floors. */
static void real(void **st)
{
	inoci_scores a = constant(0, 0, S), b = constant(1, 0, S), x, y;
	for (int i = 0; i < S * P; i++) {
		value[0][i] = (i * 7 % 11) / 11.0;
		value[1][i] = (i * 5 % 13) / 13.0;
		value[2][i] = 300 * value[0][i] - 1000;
		value[3][i] = 300 * value[1][i] - 1000;
	}
	x = a, y = b;
	x.value = value[2], y.value = value[3];
	x.real = y.real = true;
	inoci_estimate e = inoci_mean_ci(&a, 1, 0), f = inoci_mean_ci(&x, 1, 0);
	assert_true(f.real && !e.real);
	NEAR(f.value, 300 * e.value - 1000, 1e-9);
	NEAR(f.low, 300 * e.low - 1000, 1e-9);
	NEAR(f.high, 300 * e.high - 1000, 1e-9);
	inoci_comparison c = inoci_compare_ci(&a, &b, 1, 0), d = inoci_compare_ci(&x, &y, 1, 0);
	assert_true(d.diff.real);
	NEAR(d.diff.low, 300 * c.diff.low, 1e-9);
	NEAR(d.diff.high, 300 * c.diff.high, 1e-9);
	NEAR(d.p, c.p, 1e-3); /* resamples at 0 fall to either side by rounding */
	inoci_scores zero = constant(3, 0, S);
	zero.real = true;
	inoci_estimate r = inoci_ratio_ci(&x, &zero, &x, &zero, 1, 0);
	assert_true(!r.real && r.value == 1);
	/* all equal: a value, and nothing said of its spread */
	e = inoci_mean_ci(&zero, 1, 0);
	assert_true(e.value == 0 && isnan(e.low) && isnan(e.high) && e.n == S * P);
	c = inoci_compare_ci(&zero, &zero, 1, 0);
	assert_true(c.diff.value == 0 && isnan(c.diff.low) && c.p == 1);
	/* a constant side adds no half-width: the difference is the other side, moved */
	c = inoci_compare_ci(&x, &zero, 1, 0);
	e = inoci_mean_ci(&x, 1, 0);
	NEAR(c.diff.low, e.low, 1e-9);
	NEAR(c.diff.high, e.high, 1e-9);
	r = inoci_ratio_ci(&x, &zero, &zero, &zero, 1, 0);
	assert_true(isnan(r.value));
}

/* (a - b) - (c - d). A seed that moves both sides alike leaves no trace in it; one that moves one side does. */
static void interaction(void **st)
{
	inoci_scores a = constant(0, 0, S), b = constant(1, 1, S), c = constant(2, 0, S), d = constant(3, 1, S);
	static const int less[S] = {2, 4, 8};
	for (int i = 0; i < S * P; i++) {
		value[0][i] = i % P % less[i / P] == 0; /* falls much, by seed */
		value[2][i] = value[0][i];
	}
	inoci_comparison x = inoci_interaction_ci(&a, &b, &c, &d, 1, 0), one = inoci_compare_ci(&a, &b, 1, 0);
	assert_true(x.diff.value == 0 && x.p > 0.5);
	assert_int_equal(x.diff.n, 2 * S * P);
	assert_int_equal(x.diff.n_prompts, 2 * P);
	assert_int_equal(x.diff.n_seeds, S);
	double wide = x.diff.high - x.diff.low;
	assert_true(wide < one.diff.high - one.diff.low);
	for (int i = 0; i < S * P; i++) value[2][i] = i % P % less[S - 1 - i / P] == 0; /* the same, other seeds */
	x = inoci_interaction_ci(&a, &b, &c, &d, 1, 0);
	NEAR(x.diff.value, 0, 1e-12);
	assert_true(x.diff.high - x.diff.low > 1.5 * wide);
	/* an effect: the sign, and back */
	for (int i = 0; i < S * P; i++) value[2][i] = i % 2 == 0 || i % 3 == 0;
	x = inoci_interaction_ci(&a, &b, &c, &d, 1, 0);
	inoci_comparison y = inoci_interaction_ci(&c, &d, &a, &b, 1, 0), two = inoci_compare_ci(&c, &d, 1, 0);
	NEAR(x.diff.value, one.diff.value - two.diff.value, 1e-12);
	NEAR(y.diff.value, -x.diff.value, 1e-12);
	assert_true(x.diff.low < x.diff.value && x.diff.value < x.diff.high && x.diff.value < 0);
	/* everything alike on both sides: the floors of the four, and no proof */
	for (int i = 0; i < S * P; i++) value[0][i] = value[2][i] = 0;
	x = inoci_interaction_ci(&a, &b, &c, &d, 1, 0);
	double low, high;
	inoci_wilson(0, P, &low, &high);
	assert_true(x.diff.value == 0 && x.p == 1);
	NEAR(x.diff.high, sqrt(2) * high, 1e-12); /* only one side of each constant is open */
	/* a seed that one side lacks is left out; a side without scores: nothing */
	for (int i = 0; i < P; i++) value[2][i] = NAN;
	x = inoci_interaction_ci(&a, &b, &c, &d, 1, 0);
	assert_int_equal(x.diff.n_seeds, S - 1);
	inoci_scores none = {0};
	x = inoci_interaction_ci(&a, &b, &none, &d, 1, 0);
	assert_true(isnan(x.diff.value) && isnan(x.p) && x.diff.n == 0);
}

/* The same floor in it: over the prompts of both sides that differ, and over those of the side that has fewer. */
static void interaction_least_p(void **st)
{
	static const struct {
		int n, m, n_differ, m_differ; /* prompts of the sides, and those with a difference */
		double p;
	} cases[] = {{5, 5, 5, 5, 0.0625},  {3, 40, 3, 40, 0.25}, {40, 4, 40, 0, 0.125}, {40, 40, 3, 0, 0.25},
	             {40, 40, 2, 2, 0.125}, {1, 40, 1, 40, 1},    {40, 40, 40, 0, 1e-4}};
	double v[2][S * 40], w[2][S * 40] = {{0}};
	int seed[2][S * 40], prompt[2][S * 40];
	for (size_t i = 0; i < INOCI_COUNT(cases); i++) {
		inoci_scores x[2], y[2];
		for (int k = 0; k < 2; k++) {
			const int n = k ? cases[i].m : cases[i].n, differ = k ? cases[i].m_differ : cases[i].n_differ;
			for (int j = 0; j < S * n; j++) {
				seed[k][j] = j / n;
				prompt[k][j] = j % n;
				v[k][j] = j % n < differ ? (k ? -1 : 1) * (0.6 + 0.001 * j)
				                         : 0; /* unequal: the resampling varies */
			}
			x[k] = (inoci_scores){.value = v[k],
			                      .seed = seed[k],
			                      .prompt = prompt[k],
			                      .n = (size_t)(S * n),
			                      .n_seeds = S,
			                      .n_prompts = n,
			                      .real = true};
			y[k] = x[k];
			y[k].value = w[k];
		}
		inoci_comparison up = inoci_interaction_ci(&x[0], &y[0], &x[1], &y[1], 1, 0),
		                 down = inoci_interaction_ci(&y[1], &x[1], &y[0], &x[0], 1, 0);
		print_message("interaction %d and %d prompts: p %g, least %g\n", cases[i].n, cases[i].m, up.p, cases[i].p);
		assert_true(up.p >= cases[i].p && down.p >= cases[i].p);
		if (cases[i].n_differ + cases[i].m_differ > 4) NEAR(up.p, cases[i].p, 1e-12);
	}
}

int main(void)
{
	const struct CMUnitTest t[] = {cmocka_unit_test(wilson),      cmocka_unit_test(holm),
	                               cmocka_unit_test(sets),        cmocka_unit_test(floors),
	                               cmocka_unit_test(least_p),     cmocka_unit_test(empty),
	                               cmocka_unit_test(seeds),       cmocka_unit_test(real),
	                               cmocka_unit_test(interaction), cmocka_unit_test(interaction_least_p)};
	return cmocka_run_group_tests(t, setup, teardown);
}
