/* candidates: how probable a candidate is as the whole answer. A candidate's probability is the sum over its forms. Range: its
 * share of all candidates' probability, 0 to 1; its own probability (`prob`), 0 to 1; or the log-odds of the share, any number.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/internal.h"

enum { SHARE, PROB, LOGODDS };
typedef struct {
	char **is;
	size_t n;
	int value;
	inoci_norm norm;
} state;

static void free_state(void *p)
{
	state *t = p;
	for (size_t i = 0; i < t->n; i++) free(t->is[i]);
	free(t->is), free(t);
}

static int build(json_t *j, inoci_scorer *s, inoc_err *err)
{
	static const char *const values[] = {"share", "prob", "logodds", NULL};
	state *t = s->state = inoci_alloc(sizeof *t);
	json_t *is = json_object_get(j, "is"), *list = json_is_array(is) ? json_incref(is) : json_array();
	int rc = 0;
	if (json_is_string(is)) json_array_append(list, is);
	t->is = inoci_alloc((json_array_size(list) + 1) * sizeof *t->is);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));
		if (name && inoci_is_among((const char *const *)t->is, t->n, name)) name = NULL;
		if (!name) rc = INOC_E_USAGE;
		if (name) t->is[t->n++] = inoci_strdup(name);
	}
	if (rc < 0 || !t->n) {
		json_decref(list);
		return inoci_err_set(err, INOC_E_USAGE,
		                     "scorer type \"candidates\" wants \"is\": a candidate, or a list of different ones");
	}
	json_object_set_new(s->settings, "is", list);
	INOC_TRY(inoci_scorer_pick(j, s, "value", values, SHARE, &t->value, err));
	s->real = t->value == LOGODDS;
	rc = inoci_norm_build(j, s, NULL, true, &t->norm, err);
out:
	return rc;
}

static bool fits(const inoci_scorer *s, const char *measure, const char *const *names, size_t n)
{
	const state *t = s->state;
	if (strcmp(measure, "candidates")) return false;
	for (size_t i = 0; i < t->n; i++)
		if (!inoci_is_among(names, n, t->is[i])) return false;
	return true;
}

/* log(exp(a) + exp(b)) */
static double log_add(double a, double b)
{
	double most = fmax(a, b);
	return isinf(most) ? most : most + log1p(exp(fmin(a, b) - most));
}

static int apply(inoci_scorer *s, const inoci_answer *a, double *value, inoc_err *err)
{
	const state *t = s->state;
	inoci_measured m;
	double in = -INFINITY, out = -INFINITY;
	int rc = inoci_measured_read(a->text, a->n, &m, err);
	if (rc < 0) return rc;
	for (size_t i = 0; i < m.n; i++) {
		bool is = inoci_is_among((const char *const *)t->is, t->n, m.v[i].name);
		double v = inoci_norm_value(&t->norm, &m.v[i]);
		if (is)
			in = log_add(in, v);
		else
			out = log_add(out, v);
	}
	bool there = true;
	for (size_t i = 0; i < t->n; i++) there = there && inoci_measured_find(&m, t->is[i]);
	inoci_measured_free(&m);
	*value = t->value == PROB ? fmin(1, exp(in)) : t->value == LOGODDS ? in - out : 1 / (1 + exp(out - in));
	if (!there || (t->value == LOGODDS && isinf(out))) *value = NAN; /* nothing else to set it against */
	return 0;
}

const inoci_scorer_type inoci_score_candidates = {
        .name = "candidates",
        .version = 1,
        .options = {"is", "value", "end", "change"},
        .description = "measured: share of candidate `is` in the candidates' probability; or (`value`) its prob, or logodds",
        .build = build,
        .apply = apply,
        .fits = fits,
        .free = free_state,
};
