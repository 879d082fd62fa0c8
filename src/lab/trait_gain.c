/* How much more probable a trait makes a record's response (docs/scan.md): after exchanges that show it than after plain ones,
 * and under prompts that ask for it than under matched controls.
 */
#include <math.h>
#include <stdlib.h>

#include "lab/internal.h"
#include "lab/traits.h"

enum { ORDERS = INOCI_GAIN_ORDERS };

int inoci_trait_gains_new(const inoci_trait_library *l, inoci_gains *g, inoci_trait_gains **out, inoc_err *err)
{
	*out = NULL;
	if (!l->n_plain) return inoci_err_set(err, INOC_E_USAGE, "the trait library has no plain exchanges (plain.yaml)");
	inoci_trait_gains *x = inoci_alloc(sizeof *x);
	char **answers = inoci_alloc((l->n_plain + 1) * sizeof *answers);
	*x = (inoci_trait_gains){.l = l,
	                         .g = g,
	                         .shows = inoci_alloc((l->n + 1) * sizeof *x->shows),
	                         .plain = inoci_alloc((l->n_variants + 1) * sizeof *x->plain),
	                         .asks = inoci_alloc((l->n + 1) * sizeof *x->asks)};
	for (size_t v = 0; v < l->n_variants; v++) {
		for (size_t i = 0; i < l->n_plain; i++) answers[i] = l->plain[i * l->n_variants + v];
		for (int k = 0; k < ORDERS; k++)
			x->plain[v][k] = inoci_gains_exchanges(g, l->questions, answers, l->n_plain, k == 1);
	}
	free(answers);
	*out = x;
	return 0;
}

void inoci_trait_gains_free(inoci_trait_gains *x)
{
	if (!x) return;
	for (size_t i = 0; i < x->l->n; i++) free(x->asks[i]);
	free(x->shows), free(x->plain), free(x->asks);
	free(x);
}

int inoci_trait_gains_shown(inoci_trait_gains *x, int trait, inoc_err *err)
{
	const inoci_scan_trait *t = &x->l->v[trait];
	if (t->n_answers != x->l->n_plain)
		return inoci_err_set(err, INOC_E_FORMAT, "%s:%d: trait '%s' has %zu answers, and there are %zu plain exchanges",
		                     t->file, t->line, t->id, t->n_answers, x->l->n_plain);
	for (int k = 0; k < ORDERS; k++)
		x->shows[trait][k] = inoci_gains_exchanges(x->g, x->l->questions, t->answers, x->l->n_plain, k == 1);
	return 0;
}

void inoci_trait_gains_asked(inoci_trait_gains *x, int trait)
{
	const inoci_scan_trait *t = &x->l->v[trait];
	if (x->asks[trait]) return;
	x->asks[trait] = inoci_alloc((t->n_prompts + t->n_controls) * sizeof **x->asks);
	for (size_t k = 0; k < t->n_prompts; k++) x->asks[trait][k] = inoci_gains_prompt(x->g, t->prompts[k]);
	for (size_t k = 0; k < t->n_controls; k++) x->asks[trait][t->n_prompts + k] = inoci_gains_prompt(x->g, t->controls[k]);
}

static double mean_of(const inoci_trait_gains *x, const int *rows, size_t n, size_t record)
{
	double v = 0;
	for (size_t k = 0; k < n; k++) v += x->g->value[rows[k]][record] / (double)n;
	return v;
}

void inoci_trait_gains_of(const inoci_trait_gains *x, int trait, int orders, size_t record, double *with, double *without)
{
	const inoci_scan_trait *t = &x->l->v[trait];
	*with = mean_of(x, x->shows[trait], (size_t)orders, record);
	*without = -INFINITY; /* the plain way of answering that fits the record best */
	for (size_t v = 0; v < x->l->n_variants; v++) *without = fmax(*without, mean_of(x, x->plain[v], (size_t)orders, record));
	if (!x->asks[trait]) return;
	*with += mean_of(x, x->asks[trait], t->n_prompts, record);
	*without += mean_of(x, x->asks[trait] + t->n_prompts, t->n_controls, record);
}
