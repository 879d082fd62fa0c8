/* Calibration: do those that a judge gives 0.8 have the label in 8 of 10? By bins of equal width, and in one number. */
#include <math.h>

#include "eval/eval.h"

inoci_calibration inoci_calibrate(const double *p, const double *y, size_t n)
{
	inoci_calibration c = {.brier = n ? 0 : NAN};
	for (size_t i = 0; i < n; i++) {
		int k = (int)(p[i] * INOCI_BINS);
		if (k >= INOCI_BINS) k = INOCI_BINS - 1;
		c.brier += (p[i] - y[i]) * (p[i] - y[i]) / (double)n;
		c.bin[k].n++;
		c.bin[k].p += p[i];
		c.bin[k].y += y[i];
	}
	for (int k = 0; k < INOCI_BINS; k++) {
		double m = (double)c.bin[k].n;
		inoci_wilson(c.bin[k].y, m, &c.bin[k].low, &c.bin[k].high);
		c.bin[k].p = m > 0 ? c.bin[k].p / m : NAN;
		c.bin[k].y = m > 0 ? c.bin[k].y / m : NAN;
	}
	return c;
}
