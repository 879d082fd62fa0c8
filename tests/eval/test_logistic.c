/* Logistic regression, kappa, accuracy and AUC against scikit-learn (logistic.json, made by tools/fixtures/logistic.py), and
 * their edges. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "eval/internal.h"

#define NEAR(got, want, tol)                                                                                                \
	do {                                                                                                                \
		double g_ = (got), w_ = (want);                                                                             \
		if (!(fabs(g_ - w_) <= (tol))) fail_msg("%s:%d: %s is %.12g, not %.12g", __FILE__, __LINE__, #got, g_, w_); \
	} while (0)

static json_t *fixture;

static int setup(void **state)
{
	fixture = json_load_file(INOC_TESTS_DIR "/eval/logistic.json", 0, NULL);
	return fixture ? 0 : -1;
}

static int teardown(void **state)
{
	json_decref(fixture);
	return 0;
}

static void must(int rc, const inoc_err *err)
{
	if (rc < 0) fail_msg("%s", err->msg);
}

static double at(const json_t *a, size_t i)
{
	return json_number_value(json_array_get(a, i));
}

static void regression(void **state)
{
	const json_t *f, *m, *row;
	size_t s, i, j;
	inoc_err err;
	json_array_foreach(json_object_get(fixture, "fits"), s, f)
	{
		const json_t *x = json_object_get(f, "x"), *label = json_object_get(f, "label"),
		             *models = json_object_get(f, "models");
		size_t n = json_array_size(x), k = json_array_size(json_array_get(x, 0)), n_l2 = json_array_size(models),
		       ld = k + 3;
		float *v = inoci_alloc((n + 2) * ld * sizeof *v);
		int *y = inoci_alloc((n + 2) * sizeof *y);
		bool *use = inoci_alloc(n + 2);
		double l2[16];
		inoci_logistic_model got[16];
		/* behind a row that has no part, with columns between the rows that have none */
		for (size_t c = 0; c < (n + 2) * ld; c++) v[c] = 1e6f;
		y[0] = 1;
		json_array_foreach(x, i, row)
		{
			for (j = 0; j < k; j++) v[(i + 1) * ld + j] = (float)at(row, j);
			y[i + 1] = (int)at(label, i);
			use[i + 1] = true;
		}
		for (i = 0; i < n_l2; i++) l2[i] = json_number_value(json_object_get(json_array_get(models, i), "l2"));
		must(inoci_logistic_fit(v, ld, k, y, use, n + 2, l2, n_l2, 1e-12, got, &err), &err);
		json_array_foreach(models, i, m)
		{
			const json_t *w = json_object_get(m, "weight");
			double odds = json_number_value(json_object_get(m, "bias"));
			NEAR(got[i].bias, odds, 1e-7 * (1 + fabs(odds)));
			for (j = 0; j < k; j++) {
				NEAR(got[i].weight[j], at(w, j), 1e-7 * (1 + fabs(at(w, j))));
				odds += at(w, j) * ((double)v[ld + j] - got[i].mean[j]) / got[i].scale[j];
			}
			NEAR(inoci_logistic_at(&got[i], v + ld), odds, 1e-6 * (1 + fabs(odds)));
			/* alone, from nothing: the same minimum */
			inoci_logistic_model alone;
			must(inoci_logistic_fit(v, ld, k, y, use, n + 2, &l2[i], 1, 1e-12, &alone, &err), &err);
			for (j = 0; j < k; j++) NEAR(alone.weight[j], got[i].weight[j], 1e-7 * (1 + fabs(got[i].weight[j])));
			inoci_logistic_free(&alone);
		}
		for (i = 0; i < n_l2; i++) inoci_logistic_free(&got[i]);
		free(v), free(y), free(use);
	}
	NEAR(inoci_logistic(0), 0.5, 0);
	assert_true(inoci_logistic(-800) == 0 && inoci_logistic(800) == 1);
	NEAR(inoci_logistic_loss(-800, 1), 800, 1e-9);
	NEAR(inoci_logistic_loss(2, 1) + 2, inoci_logistic_loss(2, 0), 1e-12);
}

static void agreement(void **state)
{
	const json_t *c;
	size_t s;
	json_array_foreach(json_object_get(fixture, "agree"), s, c)
	{
		const json_t *p = json_object_get(c, "p"), *label = json_object_get(c, "label");
		size_t n = json_array_size(p);
		double *v = inoci_alloc((n + 1) * sizeof *v);
		int *y = inoci_alloc((n + 1) * sizeof *y), *topic = inoci_alloc((n + 1) * sizeof *topic);
		for (size_t i = 0; i < n; i++) v[i] = at(p, i), y[i] = (int)at(label, i), topic[i] = (int)(i % 7);
		inoci_agreement a = inoci_agree(v, y, topic, n, n < 7 ? (int)n : 7, 0.5, 1, 2000);
		NEAR(a.kappa.value, json_number_value(json_object_get(c, "kappa")), 1e-12);
		NEAR(a.accuracy.value, json_number_value(json_object_get(c, "accuracy")), 1e-12);
		NEAR(a.auc.value, json_number_value(json_object_get(c, "auc")), 1e-12);
		assert_true(a.kappa.low <= a.kappa.value && a.kappa.value <= a.kappa.high && a.kappa.low < 1);
		inoci_agreement again = inoci_agree(v, y, topic, n, n < 7 ? (int)n : 7, 0.5, 1, 2000);
		NEAR(again.auc.low, a.auc.low, 0);
		free(v), free(y), free(topic);
	}
}

static void agreement_edges(void **state)
{
	/* all right in 4 topics: the floor; topics decide, not rows */
	enum { M = 40 };
	double p[M], low, high;
	int y[M], topic[M];
	for (int i = 0; i < M; i++) p[i] = y[i] = i % 2, topic[i] = i / 10;
	inoci_agreement a = inoci_agree(p, y, topic, M, 4, 0.5, 1, 0);
	inoci_wilson(4, 4, &low, &high);
	NEAR(a.kappa.value, 1, 0);
	NEAR(a.accuracy.low, low, 1e-12);
	NEAR(a.auc.low, low, 1e-12);
	NEAR(a.kappa.low, 2 * low - 1, 1e-12);
	NEAR(a.kappa.high, 1, 0);
	/* one topic of four all wrong: an interval as wide as four topics make it */
	for (int i = 0; i < 10; i++) p[i] = 1 - p[i];
	a = inoci_agree(p, y, topic, M, 4, 0.5, 1, 0);
	NEAR(a.accuracy.value, 0.75, 1e-12);
	NEAR(a.accuracy.low, 0.25, 1e-12);
	NEAR(a.accuracy.high, 1, 1e-12);
	/* undefined: one label only */
	for (int i = 0; i < M; i++) y[i] = 1, p[i] = 1;
	a = inoci_agree(p, y, topic, M, 4, 0.5, 1, 100);
	assert_true(isnan(a.kappa.value) && isnan(a.kappa.low) && isnan(a.auc.value));
	NEAR(a.accuracy.value, 1, 0);
	assert_true(a.n_ones == M && a.n_said == M);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(regression),
	        cmocka_unit_test(agreement),
	        cmocka_unit_test(agreement_edges),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
