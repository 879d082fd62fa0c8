/* choice: is the right option the most probable? Range 0 or 1; or its share of the options' probability, 0 to 1. Options are
 * compared per byte of their text unless asked otherwise: the longer would else lose by its length (lm-evaluation-harness'
 * acc_norm; `per: sum` is its acc). Letters are one byte each. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/internal.h"

typedef struct {
	int prob;
	inoci_norm norm;
} state;

static int build(json_t *j, inoci_scorer *s, inoc_err *err)
{
	static const char *const values[] = {"correct", "prob", NULL};
	state *t = s->state = inoci_alloc(sizeof *t);
	int rc = inoci_scorer_pick(j, s, "value", values, 0, &t->prob, err);
	return rc < 0 ? rc : inoci_norm_build(j, s, "byte", false, &t->norm, err);
}

static bool fits(const inoci_scorer *s, const char *measure, const char *const *names, size_t n)
{
	(void)s, (void)names, (void)n;
	return !strcmp(measure, "choice");
}

static int apply(inoci_scorer *s, const inoci_answer *a, double *value, inoc_err *err)
{
	const state *t = s->state;
	inoci_measured m;
	double best = -INFINITY, sum = 0;
	int rc = inoci_measured_read(a->text, a->n, &m, err);
	if (rc < 0) return rc;
	*value = NAN;
	if (m.answer >= 0) {
		double right = inoci_norm_value(&t->norm, &m.v[m.answer]);
		for (size_t i = 0; i < m.n; i++) {
			double v = inoci_norm_value(&t->norm, &m.v[i]);
			sum += exp(v - right);
			if ((int)i != m.answer && v > best) best = v;
		}
		*value = t->prob ? 1 / sum : right > best;
	}
	inoci_measured_free(&m);
	return 0;
}

const inoci_scorer_type inoci_score_choice = {
        .name = "choice",
        .version = 1,
        .options = {"value", "per", "end", "change"},
        .description = "measured: 1 when the right option is the most probable `per` byte; or (`value`: prob) its share",
        .build = build,
        .apply = apply,
        .fits = fits,
        .free = free,
};
