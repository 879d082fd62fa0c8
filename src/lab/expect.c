/* What an experiment file expects of its results (`expect:`), and whether it came so. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

enum { AT_VALUE, AT_LOW, AT_HIGH };
static const char *const ats[] = {"value", "low", "high", NULL};
static const char *const at_words[] = {"the value", "the interval's low end", "the interval's high end"};
enum { U, W, GOAL, SUPPRESSION, RETENTION, SELECTIVITY };
static const char *const measures[] = {"u", "w", "goal", "suppression", "retention", "selectivity", NULL};

/* As written; resolved in inoci_expect_read. */
typedef struct {
	char *arm, *than, *evaluation, *scorer, *trait, *measure, *at;
	char **verdict;
	size_t n_verdict;
	double min, max, above, below;
} written;

#define F(f) offsetof(written, f)
static const inoci_ykey keys[] = {
        {"arm", Y_STR, .required = true, .offset = F(arm)},
        {"than", Y_STR, .offset = F(than)},
        {"evaluation", Y_STR, .offset = F(evaluation)},
        {"scorer", Y_STR, .offset = F(scorer)},
        {"trait", Y_STR, .offset = F(trait)},
        {"verdict", Y_STRS, .offset = F(verdict), .offset2 = F(n_verdict)},
        {"measure", Y_CHOICE, .offset = F(measure), .names = measures},
        {"min", Y_DBL, .offset = F(min), .min = -1e300, .max = 1e300},
        {"max", Y_DBL, .offset = F(max), .min = -1e300, .max = 1e300},
        {"above", Y_DBL, .offset = F(above), .min = -1e300, .max = 1e300},
        {"below", Y_DBL, .offset = F(below), .min = -1e300, .max = 1e300},
        {"at", Y_CHOICE, .offset = F(at), .names = ats},
};

static void free_written(written *w)
{
	free(w->arm), free(w->than), free(w->evaluation), free(w->scorer), free(w->trait), free(w->measure), free(w->at);
	for (size_t i = 0; i < w->n_verdict; i++) free(w->verdict[i]);
	free(w->verdict);
}

static int index_of(const char *name, const char *const *names)
{
	int i = 0;
	while (names[i] && strcmp(names[i], name)) i++;
	return i;
}

static int read_verdicts(const inoci_ynode *n, const written *w, inoci_expectation *x, inoc_err *err)
{
	for (size_t i = 0; i < w->n_verdict; i++) {
		inoci_buf known = {0};
		int v = INOCI_VERDICT_NONE + 1;
		for (; v <= INOCI_VERDICT_TOO_FEW && strcmp(inoci_verdict_name((inoci_verdict)v), w->verdict[i]); v++)
			inoci_buf_printf(&known, "%s%s", known.len ? ", " : "", inoci_verdict_name((inoci_verdict)v));
		if (v > INOCI_VERDICT_TOO_FEW)
			inoci_yaml_err(inoci_yaml_get(n, "verdict"), err, "verdict must be one or more of %s, not '%.60s'",
			               known.data, w->verdict[i]);
		inoci_buf_free(&known);
		if (v > INOCI_VERDICT_TOO_FEW) return INOC_E_FORMAT;
		x->verdicts |= 1u << v;
	}
	return 0;
}

static bool is_judged(const inoci_experiment *e, const inoci_expectation *x)
{
	const inoci_arm *a = &e->arms[x->arm];
	for (size_t i = 0; i < a->n_traits; i++)
		if (!strcmp(a->traits[i], e->traits[x->trait].name)) return true;
	return false;
}

/* Which of verdict, measure and scorer it is about, and that all names are there. */
static int resolve(const inoci_experiment *e, const inoci_ynode *n, const written *w, inoci_expectation *x, inoc_err *err)
{
	bool bounds = !isnan(x->min) || !isnan(x->max) || !isnan(x->above) || !isnan(x->below);
	int rc;
	x->arm = inoci_experiment_arm(e, w->arm);
	x->than = w->than ? inoci_experiment_arm(e, w->than) : -1;
	x->eval = inoci_experiment_eval(e, w->evaluation ? w->evaluation : e->headline);
	x->scorer = w->scorer ? inoci_experiment_scorer(e, w->scorer) : -1;
	x->trait = w->trait ? inoci_experiment_trait(e, w->trait) : -1;
	x->measure = w->measure ? index_of(w->measure, measures) : -1;
	x->at = w->at ? index_of(w->at, ats) : AT_VALUE;
	if (x->arm < 0) return inoci_yaml_err(inoci_yaml_get(n, "arm"), err, "there is no arm '%.60s'", w->arm);
	if (w->than && x->than < 0) return inoci_yaml_err(inoci_yaml_get(n, "than"), err, "there is no arm '%.60s'", w->than);
	if (x->eval < 0)
		return inoci_yaml_err(inoci_yaml_get(n, "evaluation"), err, "there is no evaluation '%.60s'", w->evaluation);
	if (w->scorer && x->scorer < 0)
		return inoci_yaml_err(inoci_yaml_get(n, "scorer"), err, "'%.60s' is not one of this experiment's scorers",
		                      w->scorer);
	if (w->trait && x->trait < 0)
		return inoci_yaml_err(inoci_yaml_get(n, "trait"), err, "there is no trait '%.60s'", w->trait);
	if ((w->scorer != NULL) + (w->trait != NULL) != 1)
		return inoci_yaml_err(n, err,
		                      "an expectation is about a scorer, or about a trait (with verdict or measure); give one");
	if (w->trait && (w->verdict != NULL) + (w->measure != NULL) != 1)
		return inoci_yaml_err(n, err, "an expectation about a trait gives verdict, or measure with its bounds; give one");
	if (w->scorer && (w->verdict || w->measure))
		return inoci_yaml_err(n, err, "verdict and measure are of a trait, not of a scorer");
	if (w->trait && (w->evaluation || w->than))
		return inoci_yaml_err(n, err, "a trait is read on the headline evaluation: evaluation and than do not apply");
	if (w->verdict && (bounds || w->at)) return inoci_yaml_err(n, err, "a verdict has no bounds: min, max, above, below, at");
	if (!w->verdict && !bounds) return inoci_yaml_err(n, err, "an expectation wants a bound: min, max, above or below");
	if (w->scorer && !inoci_experiment_applies(e, e->scorers[x->scorer].on, x->eval))
		return inoci_yaml_err(n, err, "scorer %s does not score evaluation %s (its `on`)", w->scorer,
		                      e->evals[x->eval].name);
	if (w->trait && !is_judged(e, x) && (w->verdict || x->measure >= SUPPRESSION))
		return inoci_yaml_err(n, err, "arm %s is not judged on trait %s", w->arm, w->trait);
	if (x->measure == W && !e->traits[x->trait].n_w) return inoci_yaml_err(n, err, "trait %s has no w", w->trait);
	if (x->measure == GOAL && !e->traits[x->trait].n_goal) return inoci_yaml_err(n, err, "trait %s has no goal", w->trait);
	if ((rc = read_verdicts(n, w, x, err)) < 0) return rc;
	return 0;
}

int inoci_expect_read(inoci_experiment *e, const inoci_ynode *n, inoc_err *err)
{
	if (!n) return 0;
	if (n->kind != YN_SEQ || !n->n) return inoci_yaml_err(n, err, "expect must be a list of expectations");
	e->expect = inoci_alloc(n->n * sizeof *e->expect);
	for (size_t i = 0; i < n->n; i++) {
		written w = {.min = NAN, .max = NAN, .above = NAN, .below = NAN};
		char what[32];
		snprintf(what, sizeof what, "expect[%zu]", i + 1);
		int rc = inoci_yaml_fill(n->items[i], what, keys, INOCI_COUNT(keys), &w, NULL, err);
		inoci_expectation *x = &e->expect[e->n_expect++];
		*x = (inoci_expectation){.min = w.min, .max = w.max, .above = w.above, .below = w.below};
		if (rc == 0) rc = resolve(e, n->items[i], &w, x, err);
		free_written(&w);
		if (rc < 0) return rc;
	}
	return 0;
}

/* ---- afterwards ---- */

/* The scores of an arm, always with two-way intervals whatever is shown. */
static inoci_scores scores(const inoci_results *r, int arm, int eval, char *const *names, size_t n)
{
	int *idx = inoci_alloc((n + 1) * sizeof *idx);
	for (size_t i = 0; i < n; i++) idx[i] = inoci_results_scorer(r, names[i]);
	inoci_scores s = inoci_results_scores(r, arm, eval, idx, (int)n, -1);
	free(idx);
	return s;
}

static inoci_estimate estimate(const inoci_results *r, const inoci_expectation *x, int eval, char *const *names, size_t n,
                               uint64_t rng_seed, int n_boot)
{
	inoci_scores a = scores(r, x->arm, eval, names, n), b = {0};
	inoci_estimate e;
	if (x->than < 0) {
		e = inoci_mean_ci(&a, rng_seed, n_boot);
	} else {
		b = scores(r, x->than, eval, names, n);
		e = inoci_compare_ci(&a, &b, rng_seed, n_boot).diff;
	}
	inoci_scores_free(&a);
	inoci_scores_free(&b);
	return e;
}

static const inoci_judgement *judgement(const inoci_summary *s, const inoci_expectation *x)
{
	for (size_t i = 0; i < s->n_judgements; i++)
		if (s->judgements[i].trait == x->trait && s->judgements[i].arm == x->arm) return &s->judgements[i];
	return NULL;
}

static void put_bounds(inoci_buf *b, const inoci_expectation *x)
{
	const struct {
		const char *word;
		double v;
	} of[] = {{"at least", x->min}, {"above", x->above}, {"at most", x->max}, {"below", x->below}};
	const char *and = "";
	for (size_t i = 0; i < INOCI_COUNT(of); i++) {
		if (isnan(of[i].v)) continue;
		inoci_buf_printf(b, "%s%s %.6g", and, of[i].word, of[i].v);
		and = " and ";
	}
}

static bool within(const inoci_expectation *x, double v)
{
	return !isnan(v) && !(v < x->min) && !(v > x->max) && !(v <= x->above) && !(v >= x->below);
}

static void put_figures(inoci_buf *b, const inoci_estimate *e)
{
	inoci_buf_printf(b, "%.4g", e->value);
	if (!isnan(e->low)) inoci_buf_printf(b, " [%.4g, %.4g]", e->low, e->high);
	inoci_buf_printf(b, ", n %d", e->n);
	if (e->missing) inoci_buf_printf(b, ", missing %d", e->missing);
	if (e->n_seeds) inoci_buf_printf(b, ", %d seed%s", e->n_seeds, e->n_seeds == 1 ? "" : "s");
}

static void check_verdict(const inoci_summary *s, const inoci_expectation *x, inoci_met *m, inoci_buf *b)
{
	const inoci_judgement *j = judgement(s, x);
	bool first = true;
	m->estimate = j ? j->v.arm_u : (inoci_estimate){.value = NAN, .low = NAN, .high = NAN};
	m->met = j && x->verdicts & 1u << j->v.verdict;
	inoci_buf_printf(b, ": %s; expected ", j ? inoci_verdict_name(j->v.verdict) : "not judged");
	for (int v = 0; v <= INOCI_VERDICT_TOO_FEW; v++)
		if (x->verdicts & 1u << v) {
			inoci_buf_printf(b, "%s%s", first ? "" : " or ", inoci_verdict_name((inoci_verdict)v));
			first = false;
		}
	if (j && j->v.reason[0]) inoci_buf_printf(b, " (%s)", j->v.reason);
}

static inoci_estimate measured(const inoci_summary *s, const inoci_expectation *x, uint64_t rng_seed, int n_boot)
{
	const inoci_trait *t = &s->r->e->traits[x->trait];
	const inoci_judgement *j = judgement(s, x);
	switch (x->measure) {
	case U:
		return estimate(s->r, x, s->headline, t->u, t->n_u, rng_seed, n_boot);
	case W:
		return estimate(s->r, x, s->headline, t->w, t->n_w, rng_seed, n_boot);
	case GOAL:
		return estimate(s->r, x, s->headline, t->goal, t->n_goal, rng_seed, n_boot);
	default:
		return x->measure == SUPPRESSION ? j->v.suppression : x->measure == RETENTION ? j->v.retention : j->v.selectivity;
	}
}

void inoci_expect_check(inoci_summary *s, uint64_t rng_seed, int n_boot)
{
	const inoci_experiment *e = s->r->e;
	s->met = inoci_alloc((e->n_expect + 1) * sizeof *s->met);
	for (size_t i = 0; i < e->n_expect; i++) {
		const inoci_expectation *x = &e->expect[i];
		inoci_met *m = &s->met[s->n_met++];
		inoci_buf b = {0};
		inoci_buf_puts(&b, e->arms[x->arm].name);
		if (x->than >= 0) inoci_buf_printf(&b, " \xe2\x88\x92 %s", e->arms[x->than].name);
		if (x->trait >= 0) inoci_buf_printf(&b, ", trait %s", e->traits[x->trait].name);
		if (x->verdicts) {
			check_verdict(s, x, m, &b);
			m->text = inoci_buf_take(&b);
			continue;
		}
		if (x->trait >= 0) {
			m->estimate = measured(s, x, rng_seed, n_boot);
			inoci_buf_printf(&b, ", %s: ", measures[x->measure]);
		} else {
			char *name = e->scorers[x->scorer].name;
			m->estimate = estimate(s->r, x, x->eval, &name, 1, rng_seed, n_boot);
			inoci_buf_printf(&b, ", %s, %s: ", e->evals[x->eval].name, name);
		}
		const inoci_estimate *v = &m->estimate;
		double at = x->at == AT_LOW ? v->low : x->at == AT_HIGH ? v->high : v->value;
		m->met = v->n > 0 && within(x, at);
		if (!v->n)
			inoci_buf_puts(&b, "no scores");
		else if (isnan(v->value))
			inoci_buf_puts(&b, "undefined");
		else
			put_figures(&b, v);
		inoci_buf_printf(&b, "; expected %s", at_words[x->at]);
		inoci_buf_puts(&b, " ");
		put_bounds(&b, x);
		m->text = inoci_buf_take(&b);
	}
}

size_t inoci_summary_unmet(const inoci_summary *s)
{
	size_t n = 0;
	for (size_t i = 0; i < s->n_met; i++) n += !s->met[i].met;
	return n;
}
