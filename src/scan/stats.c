/* The statistics of a scan, on tables of log-probabilities: gains over controls, and over neutral records; intervals.
 *
 * A gain on a record is the mean over what is in front (exchanges that show a trait, or prompts that ask for it) less the mean
 * over the controls; the gain is the mean over the data's records, less that over the neutral ones where it is above 0, so that
 * what helps any text gains nothing. Resampling draws data, neutral records, and, unless these are fixed, prompts and controls
 * with replacement, independently; what the few prompts and controls change is widened by Student's t, as the few seeds are in
 * eval's statistics.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "scan/internal.h"

static double mean(const double *v, size_t n)
{
	double s = 0;
	for (size_t i = 0; i < n; i++) s += v[i];
	return n ? s / (double)n : 0;
}

static double spread(const double *v, size_t n)
{
	double m = mean(v, n), s = 0;
	for (size_t i = 0; i < n; i++) s += (v[i] - m) * (v[i] - m);
	return n > 1 ? sqrt(s / (double)(n - 1)) : 0;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double quantile(const double *sorted, size_t n, double q)
{
	double at = q * (double)(n - 1);
	size_t i = (size_t)at;
	return i + 1 < n ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

/* d (to - from): the gains of records over the controls. */
static void gains_of_records(const inoci_gain_in *in, size_t from, size_t to, double *d)
{
	for (size_t r = from; r < to; r++) {
		double a = 0, b = 0;
		for (size_t k = 0; k < in->n_prompts; k++) a += in->value[in->prompts[k]][r];
		for (size_t k = 0; k < in->n_controls; k++) b += in->value[in->controls[k]][r];
		d[r - from] = a / (double)in->n_prompts - b / (double)in->n_controls;
	}
}

/* ---- resampling ---- */

/* t(0.975, n - 1) / 1.96 */
static double widening(size_t n)
{
	static const double t[] = {1, 1, 6.483, 2.195, 1.624, 1.416, 1.312, 1.248, 1.206, 1.177, 1.154};
	return n < INOCI_COUNT(t) ? t[n] : 1 + 1.52 / (double)n;
}

static void draw(inoci_rng *r, size_t n, double *w)
{
	memset(w, 0, n * sizeof *w);
	for (size_t i = 0; i < n; i++) w[inoci_rng_below(r, (uint32_t)n)] += 1.0 / (double)n;
}

/* Mean over records [from, to) with weights w, and over rows with weights wp whose part is widened by f. */
static double weighted(const inoci_gain_in *in, const int *rows, size_t n, const double *wp, double f, size_t from, size_t to,
                       const double *w)
{
	double all = 0, drawn = 0;
	for (size_t k = 0; k < n; k++) {
		const double *v = in->value[rows[k]] + from;
		double x = 0;
		for (size_t r = 0; r < to - from; r++) x += w[r] * v[r];
		all += x / (double)n;
		drawn += wp[k] * x;
	}
	return all + f * (drawn - all);
}

typedef struct {
	double *record[2], *prompts, *controls; /* weights: [0] neutral records, [1] the data's */
} weights;

static double resampled(const inoci_gain_in *in, const weights *w, int part)
{
	size_t from = part ? in->from : 0, to = part ? in->to : in->neutral;
	double fp = in->fixed ? 0 : widening(in->n_prompts), fc = in->fixed ? 0 : widening(in->n_controls);
	double v = weighted(in, in->prompts, in->n_prompts, w->prompts, fp, from, to, w->record[part]) -
	           weighted(in, in->controls, in->n_controls, w->controls, fc, from, to, w->record[part]);
	return v;
}

static void interval(double *v, size_t n, inoci_estimate *e)
{
	qsort(v, n, sizeof *v, by_value);
	e->low = fmin(e->value, quantile(v, n, 0.025));
	e->high = fmax(e->value, quantile(v, n, 0.975));
}

/* Draws the resamples of both estimates and puts their intervals in; the standard error of the gain. */
static double resample(const inoci_gain_in *in, inoci_gain_out *out)
{
	size_t n = in->to - in->from, m = in->neutral, B = (size_t)in->n_boot;
	weights w = {{inoci_alloc((m + 1) * sizeof(double)), inoci_alloc((n + 1) * sizeof(double))},
	             inoci_alloc((in->n_prompts + 1) * sizeof(double)),
	             inoci_alloc((in->n_controls + 1) * sizeof(double))};
	double *gain = inoci_alloc((B + 1) * sizeof *gain), *raw = inoci_alloc((B + 1) * sizeof *raw);
	for (size_t b = 0; b < B; b++) {
		inoci_rng r = inoci_rng_new(in->seed, "scan", b, 0); /* the same records for every trait */
		draw(&r, m, w.record[0]), draw(&r, n, w.record[1]);
		draw(&r, in->n_prompts, w.prompts), draw(&r, in->n_controls, w.controls);
		raw[b] = resampled(in, &w, 1);
		gain[b] = raw[b] - (m ? fmax(0, resampled(in, &w, 0)) : 0);
	}
	double se = spread(gain, B);
	interval(gain, B, &out->gain);
	interval(raw, B, &out->raw);
	free(w.record[0]), free(w.record[1]), free(w.prompts), free(w.controls), free(gain), free(raw);
	return se;
}

/* One-sided p-value of Student's t (Wallace 1959, with more than 4 digits in z). */
static double student(double t, double df)
{
	double z = sqrt(df * log1p(t * t / df)) * (8 * df + 1) / (8 * df + 3);
	return 0.5 * erfc((t < 0 ? -z : z) / M_SQRT2);
}

/* ---- a trait ---- */

/* The share of records over a threshold that one neutral record in twenty exceeds, were these normally distributed. */
static void share_of(const double *d, size_t n, const double *e, size_t m, inoci_gain_out *out)
{
	double over = m > 1 ? mean(e, m) + 1.645 * spread(e, m) * sqrt(1 + 1.0 / (double)m) : 0, k = 0;
	for (size_t i = 0; i < n; i++) k += d[i] > fmax(over, 0);
	out->share = k / (double)n;
	inoci_wilson(k, (double)n, &out->share_low, &out->share_high);
}

void inoci_gain_of(const inoci_gain_in *in, inoci_gain_out *out)
{
	const size_t n = in->to - in->from, m = in->neutral;
	double *d = out->record, *e = inoci_alloc((m + 1) * sizeof *e);
	gains_of_records(in, in->from, in->to, d);
	gains_of_records(in, 0, m, e);
	const double neutral = fmax(0, mean(e, m));
	share_of(d, n, e, m, out);
	out->raw = (inoci_estimate){.value = mean(d, n), .n = (int)n, .n_prompts = (int)n};
	out->gain = (inoci_estimate){.value = out->raw.value - neutral, .n = (int)n, .n_prompts = (int)n};
	double se = resample(in, out);
	const size_t least = m && m < n && neutral > 0 ? m : n;
	const double df = (double)least - 1;
	se *= df > 0 ? sqrt((df + 1) / df) : 1; /* the mean of n draws from n varies that much too little */
	out->p = se > 0 && df > 0 ? student(out->gain.value / se, df) : 1;
	double prompts = 0;
	for (size_t k = 0; k < in->n_prompts; k++)
		prompts += mean(in->value[in->prompts[k]] + in->from, n) / (double)in->n_prompts;
	for (size_t k = 0; k < in->n_prompts; k++) /* what it differs from the mean of all is its own */
		out->prompt[k] = out->gain.value + mean(in->value[in->prompts[k]] + in->from, n) - prompts;
	for (size_t i = 0; i < n; i++) d[i] -= neutral;
	free(e);
}
