/* Spearman's rank correlation. */
#include <math.h>
#include <stdlib.h>

#include "eval/eval.h"

typedef struct {
	double v;
	size_t at;
} ranked;

static int by_value(const void *a, const void *b)
{
	double x = ((const ranked *)a)->v, y = ((const ranked *)b)->v;
	return (x > y) - (x < y);
}

/* Ranks from 1; equal values share the mean of theirs. */
static void ranks(const double *v, size_t n, double *out)
{
	ranked *r = inoci_alloc((n + 1) * sizeof *r);
	for (size_t i = 0; i < n; i++) r[i] = (ranked){v[i], i};
	qsort(r, n, sizeof *r, by_value);
	for (size_t i = 0, j; i < n; i = j) {
		for (j = i + 1; j < n && r[j].v == r[i].v;) j++;
		for (size_t k = i; k < j; k++) out[r[k].at] = ((double)(i + j) + 1) / 2;
	}
	free(r);
}

double inoci_spearman(const double *x, const double *y, size_t n)
{
	double *a = inoci_alloc((n + 1) * sizeof *a), *b = inoci_alloc((n + 1) * sizeof *b), mid = ((double)n + 1) / 2;
	double xy = 0, xx = 0, yy = 0;
	bool ok = n > 1;
	for (size_t i = 0; i < n; i++) ok = ok && !isnan(x[i]) && !isnan(y[i]);
	if (ok) {
		ranks(x, n, a);
		ranks(y, n, b);
	}
	for (size_t i = 0; ok && i < n; i++) {
		xy += (a[i] - mid) * (b[i] - mid);
		xx += (a[i] - mid) * (a[i] - mid);
		yy += (b[i] - mid) * (b[i] - mid);
	}
	free(a);
	free(b);
	return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : NAN;
}
