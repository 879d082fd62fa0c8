/* Does inoculation take more of the trait away outside the domain of the training data than inside it? (`generalisation`) An
 * interaction: (arm - plain) outside less (arm - plain) inside. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

typedef struct {
	char *name[2];
} written;

static int evaluation(const inoci_experiment *e, const inoci_ynode *n, const char *name, inoc_err *err)
{
	int v = inoci_experiment_eval(e, name);
	if (v < 0) return inoci_yaml_err(n, err, "generalisation: there is no evaluation '%.60s'", name);
	return v;
}

int inoci_generalisation_read(const inoci_ynode *n, void *experiment, void *reader, inoc_err *err)
{
	static const inoci_ykey keys[] = {
	        {"inside", Y_STR, .required = true, .offset = offsetof(written, name[0])},
	        {"outside", Y_STR, .required = true, .offset = offsetof(written, name[1])},
	};
	inoci_experiment *e = experiment;
	written w = {{NULL, NULL}};
	int rc, inside, outside;
	INOC_TRY(inoci_yaml_fill(n, "generalisation", keys, INOCI_COUNT(keys), &w, reader, err));
	INOC_TRY(inside = evaluation(e, inoci_yaml_get(n, "inside"), w.name[0], err));
	INOC_TRY(outside = evaluation(e, inoci_yaml_get(n, "outside"), w.name[1], err));
	rc = 0;
	if (inside == outside) {
		rc = inoci_yaml_err(n, err, "generalisation compares two evaluations: inside and outside are the same");
		goto out;
	}
	e->inside = inside;
	e->outside = outside;
out:
	free(w.name[0]), free(w.name[1]);
	return rc;
}

static void of_arm(const inoci_results *r, inoci_judgement *j, uint64_t rng_seed, int n_boot)
{
	const inoci_experiment *e = r->e;
	const inoci_trait *t = &e->traits[j->trait];
	const int place[2] = {e->outside, e->inside};
	inoci_scores arm[2], plain[2];
	for (int k = 0; k < 2; k++) {
		arm[k] = inoci_results_sum(r, j->arm, place[k], t->u, t->n_u);
		plain[k] = inoci_results_sum(r, inoci_experiment_arm(e, t->plain), place[k], t->u, t->n_u);
	}
	inoci_generalisation *g = &j->general;
	g->outside = inoci_results_mean(r, &arm[0], rng_seed, n_boot);
	g->inside = inoci_results_mean(r, &arm[1], rng_seed, n_boot);
	g->less_outside = inoci_compare_ci(&arm[0], &plain[0], rng_seed, n_boot);
	g->less_inside = inoci_compare_ci(&arm[1], &plain[1], rng_seed, n_boot);
	if (g->less_outside.diff.n && g->less_inside.diff.n)
		g->more = inoci_interaction_ci(&arm[0], &plain[0], &arm[1], &plain[1], rng_seed, n_boot);
	for (int k = 0; k < 2; k++) inoci_scores_free(&arm[k]), inoci_scores_free(&plain[k]);
}

void inoci_generalise(inoci_summary *s, uint64_t rng_seed, int n_boot)
{
	const inoci_experiment *e = s->r->e;
	if (e->inside == e->outside) return;
	double *p = inoci_alloc((s->n_judgements + 1) * sizeof *p);
	for (size_t i = 0; i < s->n_judgements; i++) {
		inoci_judgement *j = &s->judgements[i];
		of_arm(s->r, j, rng_seed, n_boot);
		p[i] = j->general.more.diff.n && strcmp(e->arms[j->arm].role, "control") ? j->general.more.p : NAN;
	}
	inoci_holm(p, s->n_judgements);
	for (size_t i = 0; i < s->n_judgements; i++)
		if (!isnan(p[i])) s->judgements[i].general.more.p = p[i];
	free(p);
}
