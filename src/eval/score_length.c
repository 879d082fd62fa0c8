/* length: how long the response is, any number >= 0; with min or max 1 when it lies within both, else 0. A character is a Unicode
 * code point, a byte that is no UTF-8 one; a word is what stands between white space. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/internal.h"

typedef struct {
	int unit;
	double min, max;
} length;
static const char *const units[] = {"chars", "words", "bytes"};

static int build(json_t *j, inoci_scorer *s, inoc_err *err)
{
	length *l = s->state = inoci_alloc(sizeof *l);
	json_t *unit = json_object_get(j, "unit");
	const char *name = unit ? json_string_value(unit) : "chars";
	int rc;
	while (l->unit < 3 && (!name || strcmp(units[l->unit], name))) l->unit++;
	if (l->unit == 3)
		return inoci_err_set(err, INOC_E_USAGE, "option \"unit\" of scorer type \"length\" wants chars, words or bytes");
	json_object_set_new(s->settings, "unit", json_string(name));
	INOC_TRY(inoci_option_number(j, s, "min", 0, -INFINITY, &l->min, err));
	INOC_TRY(inoci_option_number(j, s, "max", 0, INFINITY, &l->max, err));
	if (l->min > l->max)
		return inoci_err_set(err, INOC_E_USAGE, "scorer type \"length\": min %g is above max %g, so nothing can match",
		                     l->min, l->max);
	s->real = !isfinite(l->min) && !isfinite(l->max);
out:
	return rc;
}

static int apply(inoci_scorer *s, const inoci_answer *a, double *value, inoc_err *err)
{
	const length *l = s->state;
	long n = 0;
	(void)err;
	if (l->unit == 0)
		for (size_t at = 0; at < a->n; n++) inoci_next_char(a->text, a->n, &at);
	else
		n = l->unit == 1 ? inoci_count_words(a->text, a->n) : (long)a->n;
	*value = s->real ? (double)n : n >= l->min && n <= l->max;
	return 0;
}

const inoci_scorer_type inoci_score_length = {
        .name = "length",
        .version = 1,
        .options = {"unit", "min", "max"},
        .real = true,
        .description = "how many chars (or `unit`: words, bytes); with `min` or `max` 1 when it lies within",
        .build = build,
        .apply = apply,
        .free = free,
};
