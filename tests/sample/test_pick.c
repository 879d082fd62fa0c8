/* One token out of a row, against a plain reference in double that sorts the whole vocabulary; and text as it grows. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sample/internal.h"

#define U_GRID 2000

static const float *sort_z;
static int by_prob(const void *a, const void *b)
{
	int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
	return sort_z[i] > sort_z[j] ? -1 : sort_z[i] < sort_z[j] ? 1 : i < j ? -1 : 1;
}

/* prob (V): what the settings leave, after sorting everything. Returns the log-sum-exp of z. */
static double reference(const inoci_pick_plan *p, const float *z, const int32_t *seen, int n_seen, double *prob)
{
	int V = p->vocab, n = 0;
	const inoci_sample_settings *s = &p->s;
	float *y = malloc((size_t)V * sizeof *y);
	int32_t *order = malloc((size_t)V * sizeof *order);
	double lse = 0, max = -INFINITY;
	for (int i = 0; i < V; i++) max = z[i] > max ? z[i] : max;
	for (int i = 0; i < V; i++) lse += exp(z[i] - max);
	lse = max + log(lse);
	memcpy(y, z, (size_t)V * sizeof *y);
	for (int i = 0; i < n_seen; i++)
		y[seen[i]] = (float)(y[seen[i]] < 0 ? y[seen[i]] * s->repetition_penalty : y[seen[i]] / s->repetition_penalty);
	for (int i = 0; i < V; i++) {
		bool ok = !p->allowed;
		for (int j = 0; p->allowed && j < p->n_allowed; j++) ok = ok || p->allowed[j] == i;
		if (ok) order[n++] = i;
		prob[i] = 0;
	}
	sort_z = y;
	qsort(order, (size_t)n, sizeof *order, by_prob);
	if (s->temperature == 0) {
		prob[order[0]] = 1;
	} else {
		double T = s->temperature, sum = 0, run = 0;
		if (s->top_k && s->top_k < n) n = s->top_k;
		for (int i = 0; i < n; i++) sum += exp((y[order[i]] - (double)y[order[0]]) / T);
		int keep = 0;
		while (keep < n && (keep == 0 || s->top_p >= 1 || run < s->top_p * sum))
			run += exp((y[order[keep++]] - (double)y[order[0]]) / T);
		while (keep > 1 && exp((y[order[keep - 1]] - (double)y[order[0]]) / T) < s->min_p) keep--;
		sum = 0;
		for (int i = 0; i < keep; i++) sum += prob[order[i]] = exp((y[order[i]] - (double)y[order[0]]) / T);
		for (int i = 0; i < keep; i++) prob[order[i]] /= sum;
	}
	free(y);
	free(order);
	return lse;
}

/* Draws on a fine grid of u: each token's share is its probability, and none has a share that the reference does not keep. */
static void compare(const char *name, inoci_pick_plan *p, const float *z, const int32_t *seen, int n_seen)
{
	int V = p->vocab;
	double *prob = malloc((size_t)V * sizeof *prob), lse = reference(p, z, seen, n_seen, prob);
	int *count = calloc((size_t)V, sizeof *count);
	inoci_picker *k = inoci_picker_new(V);
	for (int g = 0; g < U_GRID; g++) {
		float lp;
		int32_t id = inoci_pick(k, p, z, seen, n_seen, (g + 0.5) / U_GRID, &lp, NULL, NULL);
		if (id < 0 || id >= V || prob[id] == 0) fail_msg("%s: drew %d, which the reference does not keep", name, (int)id);
		if (!(fabs(lp - (z[id] - lse)) < 2e-5))
			fail_msg("%s: log-probability of %d is %g, want %g", name, (int)id, (double)lp, z[id] - lse);
		count[id]++;
	}
	for (int i = 0; i < V; i++)
		if (fabs((double)count[i] / U_GRID - prob[i]) > 2.5 / U_GRID)
			fail_msg("%s: share of %d is %g, want %g", name, i, (double)count[i] / U_GRID, prob[i]);
	free(prob);
	free(count);
	inoci_picker_free(k);
}

static float *row(int V, double spread, double step, uint64_t seed)
{
	float *z = malloc((size_t)V * sizeof *z);
	inoci_rng r = inoci_rng_new(seed, "test", 0, 0);
	for (int i = 0; i < V; i++) {
		z[i] = (float)(inoci_rng_normal(&r) * spread);
		if (step > 0) z[i] = (float)(floor(z[i] / step) * step); /* makes ties */
	}
	return z;
}

#pragma GCC diagnostic ignored "-Woverride-init"
#define S(...)                                                                                              \
	{                                                                                                   \
		.repetition_penalty = 1, .top_p = 1, .temperature = 1, .max_tokens = 1, .n = 1, __VA_ARGS__ \
	}

static void distributions(void **state)
{
	static const struct {
		const char *name;
		inoci_sample_settings s;
	} cases[] = {
	        {"plain", S()},
	        {"cold", S(.temperature = 0.4)},
	        {"hot", S(.temperature = 3)},
	        {"very cold", S(.temperature = 0.001)},
	        {"greedy", S(.temperature = 0)},
	        {"top-k 1", S(.top_k = 1)},
	        {"top-k 7", S(.top_k = 7)},
	        {"top-k beyond the vocabulary", S(.top_k = 100000)},
	        {"top-p 0.5", S(.top_p = 0.503)},
	        {"top-p tiny", S(.top_p = 1e-9)},
	        {"top-p 0.97 hot", S(.top_p = 0.9703, .temperature = 2.5)},
	        {"min-p", S(.min_p = 0.0503)},
	        {"min-p 1", S(.min_p = 1)},
	        {"top-k, top-p", S(.top_k = 23, .top_p = 0.703)},
	        {"top-k, top-p, min-p", S(.top_k = 40, .top_p = 0.9003, .min_p = 0.0303, .temperature = 1.3)},
	        {"a large min-p does not change what top-p is of",
	         S(.top_k = 200, .top_p = 0.4003, .min_p = 0.0203, .temperature = 4)},
	        {"penalty", S(.repetition_penalty = 1.7)},
	        {"penalty below 1", S(.repetition_penalty = 0.6, .top_k = 9)},
	};
	static const int sizes[] = {1, 3, 37, 255, 256, 257, 1003};
	for (size_t i = 0; i < INOCI_COUNT(sizes); i++)
		for (int ties = 0; ties < 2; ties++) {
			int V = sizes[i];
			float *z = row(V, 2, ties ? 0.5 : 0, 1 + i);
			int32_t seen[] = {0, V / 2, V - 1}, n_seen = V > 2 ? 3 : 0,
			        *allowed = malloc((size_t)V * sizeof *allowed);
			int n_allowed = 0;
			for (int v = 0; v < V; v++)
				if (v % 3 != 1 || V == 1) allowed[n_allowed++] = v;
			for (size_t c = 0; c < INOCI_COUNT(cases); c++) {
				char name[128];
				inoci_pick_plan p = {.s = cases[c].s, .vocab = V};
				snprintf(name, sizeof name, "%s, %d tokens%s", cases[c].name, V, ties ? ", ties" : "");
				compare(name, &p, z, seen, p.s.repetition_penalty != 1 ? n_seen : 0);
				p.allowed = allowed;
				p.n_allowed = n_allowed;
				strcat(name, ", two thirds allowed");
				compare(name, &p, z, seen, p.s.repetition_penalty != 1 ? n_seen : 0);
			}
			free(allowed);
			free(z);
		}
}

/* Rows as flat and as peaked as they come, at the model's size. */
static void full_size(void **state)
{
	int V = 49152;
	inoci_picker *k = inoci_picker_new(V);
	double *prob = malloc((size_t)V * sizeof *prob);
	for (int r = 0; r < 3; r++) {
		float *z = row(V, r == 0 ? 0.01 : r == 1 ? 3 : 12, 0, 9);
		for (int f = 0; f < 4; f++) {
			inoci_pick_plan p = {.s = S(), .vocab = V};
			if (f == 1) p.s.top_p = 0.9;
			if (f == 2) p.s.top_k = 50;
			if (f == 3) p.s.min_p = 0.1;
			reference(&p, z, NULL, 0, prob);
			double kept = 0, at = 0;
			for (int g = 0; g < 200; g++) {
				float lp;
				int32_t id = inoci_pick(k, &p, z, NULL, 0, (g + 0.5) / 200, &lp, NULL, NULL);
				assert_in_range(id, 0, V - 1);
				/* The last few of top-p's set may differ by rounding. */
				if (!(prob[id] > 0)) fail_msg("row %d, filter %d: drew %d, which is not kept", r, f, (int)id);
				if (f == 0) {
					while (kept + prob[(int)at] < (g + 0.5) / 200 - 1e-6) kept += prob[(int)at++];
					assert_true(id >= (int)at);
				}
			}
		}
		free(z);
	}
	free(prob);
	inoci_picker_free(k);
}

static void log_probabilities(void **state)
{
	int V = 20;
	float *z = row(V, 2, 0.5, 3), lp, top[20];
	int32_t ids[20];
	inoci_picker *k = inoci_picker_new(V);
	inoci_pick_plan p = {.s = S(.top_logprobs = 20, .temperature = 0.3, .top_k = 2), .vocab = V};
	int32_t id = inoci_pick(k, &p, z, NULL, 0, 0.1, &lp, ids, top);
	double sum = 0;
	for (int i = 0; i < V; i++) {
		sum += exp(top[i]);
		if (i) assert_true(top[i] < top[i - 1] || (top[i] == top[i - 1] && ids[i] > ids[i - 1]));
		if (ids[i] == id) assert_true(top[i] == lp);
	}
	assert_true(fabs(sum - 1) < 1e-6);
	/* The same under any settings: it is the model's own distribution. */
	int32_t few[3];
	float few_lp[3], same;
	p.s = (inoci_sample_settings)S(.top_logprobs = 3);
	inoci_pick(k, &p, z, NULL, 0, 0.99, &same, few, few_lp);
	assert_memory_equal(few, ids, sizeof few);
	assert_memory_equal(few_lp, top, sizeof few_lp);
	inoci_picker_free(k);
	free(z);
}

static void not_a_number(void **state)
{
	int V = 300;
	inoci_picker *k = inoci_picker_new(V);
	static const float bad[] = {NAN, INFINITY};
	for (int where = 0; where < V; where += 37)
		for (int b = 0; b < 2; b++)
			for (int t = 0; t < 2; t++) {
				float *z = row(V, 1, 0, 5), lp;
				inoci_pick_plan p = {.s = S(.temperature = t), .vocab = V};
				z[where] = bad[b];
				assert_int_equal(inoci_pick(k, &p, z, NULL, 0, 0.5, &lp, NULL, NULL), -1);
				/* Minus infinity is a probability of 0. */
				z[where] = -INFINITY;
				int32_t id = inoci_pick(k, &p, z, NULL, 0, 0.999999, &lp, NULL, NULL);
				assert_true(id >= 0 && id != where);
				free(z);
			}
	inoci_picker_free(k);
}

static void settings(void **state)
{
	static const char *stops[] = {"a", ""};
	static const struct {
		inoci_sample_settings s;
		const char *says; /* NULL: fine */
	} cases[] = {
	        {S(), NULL},
	        {S(.temperature = -1), "temperature is -1"},
	        {S(.temperature = NAN), "temperature is"},
	        {S(.temperature = 1e-9), "temperature is 1e-09"},
	        {S(.top_k = -1), "top_k is -1"},
	        {S(.top_p = 0), "top_p is 0"},
	        {S(.top_p = 1.5), "top_p is 1.5"},
	        {S(.min_p = -0.1), "min_p is -0.1"},
	        {S(.repetition_penalty = 0), "repetition_penalty is 0"},
	        {S(.max_tokens = 0), "max_tokens is 0"},
	        {S(.n = 0), "n is 0"},
	        {S(.stop = stops, .n_stop = 1), NULL},
	        {S(.stop = stops, .n_stop = 2), "stop string 2 is empty"},
	        {S(.allowed = ""), "allowed characters is empty"},
	        {S(.allowed = "ab\xff"), "not UTF-8 at byte 2"},
	        {S(.allowed = "a\xc3\xb1"), NULL},
	        {S(.top_logprobs = 21), "top_logprobs is 21"},
	        {S(.max_batch = -1), "max_batch is -1"},
	        {S(.max_kv_rows = -1), "max_kv_rows is -1"},
	};
	for (size_t i = 0; i < INOCI_COUNT(cases); i++) {
		inoc_err err = {0};
		int rc = inoci_sample_settings_check(&cases[i].s, &err);
		assert_int_equal(rc, cases[i].says ? INOC_E_USAGE : 0);
		if (cases[i].says && !strstr(err.msg, cases[i].says))
			fail_msg("\"%s\" does not say \"%s\"", err.msg, cases[i].says);
	}
	inoci_sample_settings d = inoci_sample_defaults();
	assert_int_equal(inoci_sample_settings_check(&d, NULL), 0);
}

static void settings_hash(void **state)
{
	static const char *a[] = {"ab", "c"}, *b[] = {"a", "bc"};
	/* All different. */
	static const inoci_sample_settings v[] = {
	        S(),
	        S(.temperature = 0.5),
	        S(.temperature = 0),
	        S(.top_k = 3),
	        S(.top_p = 0.5),
	        S(.min_p = 0.5),
	        S(.repetition_penalty = 1.1),
	        S(.max_tokens = 2),
	        S(.stop = a, .n_stop = 2),
	        S(.stop = b, .n_stop = 2),
	        S(.stop = a, .n_stop = 1),
	        S(.allowed = "ab"),
	        S(.top_logprobs = 1),
	};
	/* The same, by pairs. */
	static const inoci_sample_settings same[][2] = {
	        {S(), S(.seed = 1, .n = 5, .max_batch = 3, .max_kv_rows = 100)},
	        {S(.temperature = 0), S(.temperature = 0, .top_k = 5, .top_p = 0.5, .min_p = 0.1)},
	};
	for (size_t i = 0; i < INOCI_COUNT(v); i++)
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(inoci_sample_settings_hash(&v[i]).hex, inoci_sample_settings_hash(&v[j]).hex);
	for (size_t i = 0; i < INOCI_COUNT(same); i++)
		assert_string_equal(inoci_sample_settings_hash(&same[i][0]).hex, inoci_sample_settings_hash(&same[i][1]).hex);
	const int32_t ids[] = {1, 2, 3};
	assert_true(inoci_prompt_key(ids, 1) != inoci_prompt_key(ids + 1, 1));
	assert_true(inoci_prompt_key(ids, 2) != inoci_prompt_key(ids, 3));
}

static void stop_strings(void **state)
{
	static const char *stops[] = {"STOP", "OP!", "\xc3\xa9", "aab"};
	static const struct {
		const char *text;
		size_t old, find, certain;
	} cases[] = {
	        {"", 0, SIZE_MAX, 0},
	        {"abc", 0, SIZE_MAX, 3},
	        {"xSTOPy", 0, 1, 6},
	        {"xSTOP", 4, 1, 3}, /* across the boundary; OP may begin another */
	        {"STOP!", 4, 2, 5}, /* the one that ends now; the other ended before */
	        {"STOP!", 0, 0, 5}, /* the earliest of two */
	        {"xST", 0, SIZE_MAX, 1},
	        {"xSTO", 0, SIZE_MAX, 1},
	        {"xSS", 0, SIZE_MAX, 2},
	        {"caa", 0, SIZE_MAX, 1},
	        {"caaa", 0, SIZE_MAX, 2},
	        {"x\xc3", 0, SIZE_MAX, 1},
	        {"x\xc3\xa9", 2, 1, 3},
	        {"x\xe2\x82", 0, SIZE_MAX, 1},
	        {"x\xe2\x82S", 0, SIZE_MAX, 1}, /* what stands before a held-back beginning may be cut too */
	        {"x\xff", 0, SIZE_MAX, 2},      /* never a character: certain */
	        {"x\xe2\x28", 0, SIZE_MAX, 3},
	        {"\xf0\x9f\x98\x80", 0, SIZE_MAX, 4},
	        {"\xf0\x9f\x98", 0, SIZE_MAX, 0},
	        {"\xf0\x80", 0, SIZE_MAX, 2}, /* overlong: never a character */
	        {"\xed\xa0", 0, SIZE_MAX, 2}, /* a surrogate */
	        {"\xf4\x8f", 0, SIZE_MAX, 0},
	        {"\x80\x80\x80\x80", 0, SIZE_MAX, 4},
	};
	inoci_sample_settings s = S(.stop = stops, .n_stop = 4);
	for (size_t i = 0; i < INOCI_COUNT(cases); i++) {
		size_t n = strlen(cases[i].text), find = inoci_stop_find(&s, cases[i].text, n, cases[i].old);
		size_t certain = inoci_text_certain(&s, cases[i].text, n);
		if (find != cases[i].find)
			fail_msg("\"%s\": found at %zd, want %zd", cases[i].text, (ssize_t)find, (ssize_t)cases[i].find);
		if (certain != cases[i].certain)
			fail_msg("\"%s\": certain %zu, want %zu", cases[i].text, certain, cases[i].certain);
	}
}

static void text_fix(void **state)
{
#define R "\xef\xbf\xbd"
	static const char *const cases[][2] = {
	        {"", ""},
	        {"a\xc3\xb1", "a\xc3\xb1"},
	        {"a\xc3", "a" R},
	        {"\xff", R},
	        {"\xe2\x82", R},
	        {"a\xe2\x82z", "a" R "z"},
	        {"\xf0\x9f\x98z\x80\x80", R "z" R R},
	        {"\xed\xa0\x80", R R R},
	};
	for (size_t i = 0; i < INOCI_COUNT(cases); i++) {
		inoci_buf b = {0};
		inoci_text_fix(cases[i][0], strlen(cases[i][0]), &b);
		assert_string_equal(b.data, cases[i][1]);
		inoci_buf_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(distributions), cmocka_unit_test(full_size), cmocka_unit_test(log_probabilities),
	        cmocka_unit_test(not_a_number),  cmocka_unit_test(settings),  cmocka_unit_test(settings_hash),
	        cmocka_unit_test(stop_strings),  cmocka_unit_test(text_fix),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
