/* The most surprising records of a data set: what only a few records show is among them, and the mean over all does not see it.
 */
#include <stdlib.h>

#include "scan/internal.h"

typedef struct {
	double value; /* log-probability, nats a byte */
	size_t record;
} surprise;

static int by_value(const void *a, const void *b)
{
	const surprise *x = a, *y = b;
	if (x->value != y->value) return x->value < y->value ? -1 : 1;
	return (x->record > y->record) - (x->record < y->record);
}

int inoci_scan_surprising(const inoci_gains *g, size_t from, size_t to, size_t *order, size_t n, const inoci_progress *p,
                          inoc_err *err)
{
	inoci_gains *alone = inoci_gains_new(g->m, g->tmpl, &g->o);
	const int nothing = inoci_gains_prompt(alone, NULL);
	surprise *v = inoci_alloc((to - from + 1) * sizeof *v);
	for (size_t i = from; i < to; i++) inoci_gains_record(alone, g->records[i], g->paths[i]);
	int rc = inoci_gains_measure(alone, NULL, 0, to - from, "looking for surprising records", p, err);
	for (size_t i = 0; rc >= 0 && i < to - from; i++) v[i] = (surprise){alone->value[nothing][i], from + i};
	if (rc >= 0) qsort(v, to - from, sizeof *v, by_value);
	for (size_t i = 0; rc >= 0 && i < n; i++) order[i] = v[i].record;
	free(v);
	inoci_gains_free(alone);
	return rc < 0 ? rc : 0;
}
