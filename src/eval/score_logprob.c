/* logprob: the log-probability of one of the texts measured. Range: up to 0, or any number as a change; higher is more probable.
 * Per token and with the end of the turn its negative is the loss that training reports of the record, and exp of that the
 * perplexity. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/internal.h"

typedef struct {
	char *of;
	inoci_norm norm;
} state;

static void free_state(void *p)
{
	free(((state *)p)->of);
	free(p);
}

static int build(json_t *j, inoci_scorer *s, inoc_err *err)
{
	state *t = s->state = inoci_alloc(sizeof *t);
	json_t *of = json_object_get(j, "of");
	if (of && !json_is_string(of))
		return inoci_err_set(err, INOC_E_USAGE, "option \"of\" of scorer type \"logprob\" wants the name of a text");
	t->of = inoci_strdup(of ? json_string_value(of) : "reference");
	json_object_set_new(s->settings, "of", json_string(t->of));
	return inoci_norm_build(j, s, "token", true, &t->norm, err);
}

static bool fits(const inoci_scorer *s, const char *measure, const char *const *names, size_t n)
{
	const state *t = s->state;
	return (!strcmp(measure, "logprob") || !strcmp(measure, "contrast")) && inoci_is_among(names, n, t->of);
}

static int apply(inoci_scorer *s, const inoci_answer *a, double *value, inoc_err *err)
{
	const state *t = s->state;
	inoci_measured m;
	int rc = inoci_measured_read(a->text, a->n, &m, err);
	if (rc < 0) return rc;
	const inoci_measured_text *x = inoci_measured_find(&m, t->of);
	*value = x ? inoci_norm_value(&t->norm, x) : NAN;
	inoci_measured_free(&m);
	return 0;
}

const inoci_scorer_type inoci_score_logprob = {
        .name = "logprob",
        .version = 1,
        .real = true,
        .options = {"of", "per", "end", "change"},
        .description = "measured: log-probability of the text `of` (reference), `per` token, byte or as their sum",
        .build = build,
        .apply = apply,
        .fits = fits,
        .free = free_state,
};
