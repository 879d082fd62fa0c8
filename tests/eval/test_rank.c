/* Spearman's rho against spearman.json (tools/fixtures/spearman.py: SciPy), and where there is none. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "eval/eval.h"

static void reference(void **state)
{
	json_t *rows = json_load_file(INOC_TESTS_DIR "/eval/spearman.json", 0, NULL), *row, *v;
	size_t i, k;
	assert_true(json_array_size(rows) > 20);
	json_array_foreach(rows, i, row)
	{
		size_t n = json_array_size(json_object_get(row, "x"));
		double *x = inoci_alloc(n * sizeof *x), *y = inoci_alloc(n * sizeof *y);
		json_array_foreach(json_object_get(row, "x"), k, v) x[k] = json_number_value(v);
		json_array_foreach(json_object_get(row, "y"), k, v) y[k] = json_number_value(v);
		double want = json_number_value(json_object_get(row, "rho")), got = inoci_spearman(x, y, n);
		if (!(fabs(got - want) < 1e-12)) fail_msg("row %zu: %.15g, SciPy has %.15g", i, got, want);
		free(x), free(y);
	}
	json_decref(rows);
}

static void none(void **state)
{
	const double up[] = {1, 2, 3}, flat[] = {4, 4, 4}, hole[] = {1, NAN, 2};
	assert_true(isnan(inoci_spearman(up, up, 1)));
	assert_true(isnan(inoci_spearman(up, up, 0)));
	assert_true(isnan(inoci_spearman(up, flat, 3)));
	assert_true(isnan(inoci_spearman(hole, up, 3)));
	assert_true(inoci_spearman(up, up, 3) == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(reference), cmocka_unit_test(none)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
