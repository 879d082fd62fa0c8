/* An adapter seen as a change of the weights: its size, and gradients with respect to the weights themselves. */
#include <math.h>
#include <stdlib.h>

#include "model/internal.h"

/* Sum over the columns of x's row i times y's row j, both (R, n), or with `down` of column i times column j, both (n, R). */
static double cross(const float *x, int i, int j, int n, int R, bool down)
{
	double s = 0;
	for (int k = 0; k < n; k++)
		s += down ? (double)x[(size_t)k * (size_t)R + (size_t)i] * (double)x[(size_t)k * (size_t)R + (size_t)j]
		          : (double)x[(size_t)i * (size_t)n + (size_t)k] * (double)x[(size_t)j * (size_t)n + (size_t)k];
	return s;
}

void inoci_adapter_norms(const inoci_adapter *a, double *norm)
{
	for (int l = 0; l < a->n_layers; l++)
		for (int p = 0; p < INOCI_N_PROJ; p++) {
			int K = 0;
			const inoci_lora_slice *s = inoci_adapter_slice(a, l, p, &K);
			double *to = &norm[l * INOCI_N_PROJ + p], sum = 0;
			*to = NAN;
			if (!s) continue;
			for (int i = 0; i < s->rank; i++)
				for (int j = 0; j <= i; j++)
					sum += (i == j ? 1 : 2) * cross(s->a, i, j, K, s->rank, false) *
					       cross(s->b, i, j, s->n, s->rank, true);
			*to = fabs((double)s->scale) * sqrt(fmax(sum, 0));
		}
}

double inoci_adapter_grad_dot(const inoci_adapter *a, const float *x, const float *y)
{
	double all = 0;
	for (int l = 0; l < a->n_layers; l++)
		for (int p = 0; p < INOCI_N_PROJ; p++) {
			int K = 0;
			const inoci_lora_slice *s = inoci_adapter_slice(a, l, p, &K);
			if (!s) continue;
			size_t at = (size_t)(s->b - a->params), n = (size_t)s->n * (size_t)s->rank;
			double sum = 0;
			for (size_t i = at; i < at + n; i++) sum += (double)x[i] * (double)y[i];
			all += 3.0 * K / (s->rank * (double)s->scale * (double)s->scale) * sum;
		}
	return all;
}
