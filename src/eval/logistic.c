/* L2-regularised logistic regression: minimises
 *     mean over rows of log(1 + exp(-y (w . z + b)))  +  l2 / 2 |w|^2,    y = +1 or -1,
 * over w and b (b is not penalised), z being the features with mean 0 and standard deviation 1 in the rows of the fit (one that
 * does not vary is left out by a scale of 1). It is scikit-learn's LogisticRegression(C = 1 / (n l2)) behind a StandardScaler
 * (tools/fixtures/logistic.py).
 *
 * Newton's method, its steps by conjugate gradients, halved until the objective falls: the minimum is unique, so the result
 * depends on the data alone, and the arithmetic has one order.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/internal.h"

enum { MOST_STEPS = 200, LANE = 4 };

/* z (n, kp): the features, a 1 for b, and 0 up to a multiple of LANE. */
typedef struct {
	size_t n, k, kp;
	double *z, *y; /* y (n): 0 or 1 */
} design;

static double dot(const double *a, const double *b, size_t n)
{
	double s[LANE] = {0};
	for (size_t j = 0; j < n; j += LANE)
		for (int u = 0; u < LANE; u++) s[u] += a[j + (size_t)u] * b[j + (size_t)u];
	return (s[0] + s[1]) + (s[2] + s[3]);
}

static void add(double *restrict to, const double *restrict v, double by, size_t n)
{
	for (size_t j = 0; j < n; j += LANE)
		for (int u = 0; u < LANE; u++) to[j + (size_t)u] += by * v[j + (size_t)u];
}

static double most(const double *v, size_t n)
{
	double m = 0;
	for (size_t j = 0; j < n; j++) m = fmax(m, fabs(v[j]));
	return m;
}

static double softplus(double x)
{
	return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

double inoci_logistic(double x)
{
	return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

double inoci_logistic_loss(double x, int label)
{
	return softplus(label ? -x : x);
}

static double objective(const design *d, double l2, const double *w, const double *s)
{
	double sum = 0, square = 0;
	for (size_t i = 0; i < d->n; i++) sum += softplus(d->y[i] > 0 ? -s[i] : s[i]);
	for (size_t j = 0; j < d->k; j++) square += w[j] * w[j];
	return sum / (double)d->n + l2 / 2 * square;
}

/* to = Z' r + l2 w, without the penalty on b. */
static void pull(const design *d, double l2, const double *w, const double *r, double *to)
{
	memset(to, 0, d->kp * sizeof *to);
	for (size_t i = 0; i < d->n; i++) add(to, d->z + i * d->kp, r[i], d->kp);
	for (size_t j = 0; j < d->k; j++) to[j] += l2 * w[j];
}

/* Room of a fit. */
typedef struct {
	double *s, *r, *curve, *zd;   /* (n): log-odds; work; p (1 - p) / n; Z d */
	double *g, *d, *res, *q, *hq; /* (kp) */
} room;

/* Solves H d = -g to `tol` of |g|. */
static void step(const design *x, double l2, const room *m, double tol)
{
	size_t kp = x->kp;
	memset(m->d, 0, kp * sizeof *m->d);
	for (size_t j = 0; j < kp; j++) m->q[j] = m->res[j] = -m->g[j];
	double rho = dot(m->res, m->res, kp), end = tol * tol * rho;
	for (size_t it = 0; it < 4 * kp && rho > end; it++) {
		for (size_t i = 0; i < x->n; i++) m->r[i] = m->curve[i] * dot(x->z + i * kp, m->q, kp);
		pull(x, l2, m->q, m->r, m->hq);
		double bend = dot(m->q, m->hq, kp);
		if (!(bend > 0)) break;
		add(m->d, m->q, rho / bend, kp);
		add(m->res, m->hq, -rho / bend, kp);
		double next = dot(m->res, m->res, kp), beta = next / rho;
		for (size_t j = 0; j < kp; j++) m->q[j] = m->res[j] + beta * m->q[j];
		rho = next;
	}
}

/* From w (kp) to the minimum, where no component of the gradient exceeds tol. */
static int newton(const design *x, double l2, double tol, double *w, const room *m, inoc_err *err)
{
	double n = (double)x->n, largest = INFINITY;
	for (size_t i = 0; i < x->n; i++) m->s[i] = dot(x->z + i * x->kp, w, x->kp);
	double f = objective(x, l2, w, m->s);
	for (int it = 0; it < MOST_STEPS; it++) {
		for (size_t i = 0; i < x->n; i++) {
			double p = inoci_logistic(m->s[i]);
			m->r[i] = (p - x->y[i]) / n;
			m->curve[i] = p * (1 - p) / n;
		}
		pull(x, l2, w, m->r, m->g);
		largest = most(m->g, x->kp);
		if (largest <= tol) return 0;
		step(x, l2, m, fmin(0.1, sqrt(largest)));
		for (size_t i = 0; i < x->n; i++) m->zd[i] = dot(x->z + i * x->kp, m->d, x->kp);
		double slope = dot(m->g, m->d, x->kp), by = 1;
		for (int half = 0;; half++, by /= 2) {
			add(w, m->d, half ? -by : by, x->kp); /* halving takes back half of what was added */
			for (size_t i = 0; i < x->n; i++) m->s[i] += (half ? -by : by) * m->zd[i];
			double now = objective(x, l2, w, m->s);
			/* the slack: near the minimum the objective no longer tells */
			if (now <= f + 1e-4 * by * slope + 1e-14 * (1 + fabs(f))) {
				f = now;
				break;
			}
			if (half == 60) return inoci_err_set(err, INOC_E_CHECK, "the regression finds no way down at l2 %g", l2);
		}
	}
	return inoci_err_set(err, INOC_E_CHECK,
	                     "the regression did not converge at l2 %g in %d steps (gradient %.3g); take a larger one", l2,
	                     MOST_STEPS, largest);
}

void inoci_logistic_free(inoci_logistic_model *f)
{
	free(f->mean), free(f->scale), free(f->weight);
	*f = (inoci_logistic_model){0};
}

double inoci_logistic_at(const inoci_logistic_model *f, const float *x)
{
	double sum = f->bias;
	for (size_t j = 0; j < f->k; j++) sum += f->weight[j] * ((x[j] - f->mean[j]) / f->scale[j]);
	return sum;
}

static void standardise(const float *x, size_t ld, size_t k, const bool *use, size_t n_rows, double n, double *mean,
                        double *scale)
{
	for (size_t i = 0; i < n_rows; i++)
		for (size_t j = 0; use[i] && j < k; j++) mean[j] += x[i * ld + j];
	for (size_t j = 0; j < k; j++) mean[j] /= n;
	for (size_t i = 0; i < n_rows; i++)
		for (size_t j = 0; use[i] && j < k; j++) scale[j] += (x[i * ld + j] - mean[j]) * (x[i * ld + j] - mean[j]);
	for (size_t j = 0; j < k; j++) {
		scale[j] = sqrt(scale[j] / n);
		/* what rounding alone makes vary does not */
		if (!(scale[j] > 1e-7 * fabs(mean[j]))) scale[j] = 1;
	}
}

int inoci_logistic_fit(const float *x, size_t ld, size_t k, const int *label, const bool *use, size_t n_rows, const double *l2,
                       size_t n_l2, double tol, inoci_logistic_model *out, inoc_err *err)
{
	design d = {.k = k, .kp = (k + 1 + LANE - 1) / LANE * LANE};
	size_t ones = 0, at = 0;
	int rc = 0;
	double *mean = inoci_alloc((k + 1) * sizeof *mean), *scale = inoci_alloc((k + 1) * sizeof *scale);
	for (size_t i = 0; i < n_rows; i++) d.n += use[i], ones += use[i] && label[i];
	memset(out, 0, n_l2 * sizeof *out);
	double *w = inoci_alloc(d.kp * sizeof *w), *rows = inoci_alloc((4 * d.n + 1) * sizeof *rows),
	       *cols = inoci_alloc(5 * d.kp * sizeof *cols);
	const room m = {.s = rows,
	                .r = rows + d.n,
	                .curve = rows + 2 * d.n,
	                .zd = rows + 3 * d.n,
	                .g = cols,
	                .d = cols + d.kp,
	                .res = cols + 2 * d.kp,
	                .q = cols + 3 * d.kp,
	                .hq = cols + 4 * d.kp};
	d.y = inoci_alloc((d.n + 1) * sizeof *d.y);
	if (!ones || ones == d.n) {
		rc = inoci_err_set(err, INOC_E_FORMAT, "all of the %zu rows have the label %d: two are needed", d.n, ones > 0);
		goto out;
	}
	if (!(d.z = inoci_big_alloc(d.n * d.kp * sizeof *d.z, "features", err))) {
		rc = INOC_E_MEMORY;
		goto out;
	}
	standardise(x, ld, k, use, n_rows, (double)d.n, mean, scale);
	for (size_t i = 0; i < n_rows; i++) {
		if (!use[i]) continue;
		double *z = d.z + at * d.kp;
		for (size_t j = 0; j < k; j++) z[j] = (x[i * ld + j] - mean[j]) / scale[j];
		z[k] = 1;
		d.y[at++] = label[i] != 0;
	}
	for (size_t c = 0; c < n_l2; c++) {
		INOC_TRY(newton(&d, l2[c], tol, w, &m, err));
		inoci_logistic_model *f = &out[c];
		*f = (inoci_logistic_model){.k = k, .l2 = l2[c], .bias = w[k]};
		f->mean = inoci_alloc((k + 1) * sizeof *mean);
		f->scale = inoci_alloc((k + 1) * sizeof *scale);
		f->weight = inoci_alloc((k + 1) * sizeof *w);
		memcpy(f->mean, mean, k * sizeof *mean);
		memcpy(f->scale, scale, k * sizeof *scale);
		memcpy(f->weight, w, k * sizeof *w);
	}
out:
	for (size_t c = 0; rc < 0 && c < n_l2; c++) inoci_logistic_free(&out[c]);
	free(mean), free(scale), free(w), free(rows), free(cols), free(d.y), free(d.z);
	return rc < 0 ? rc : 0;
}
