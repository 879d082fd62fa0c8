/* uppercase: is the share of upper-case letters in a range? Range 0 or 1. */
#include <stdlib.h>

#include "eval/internal.h"

typedef struct {
	double min, max;
} range;

/* A number in [0, 1], or `otherwise` when absent. */
static int get_share(json_t *j, const char *key, double otherwise, double *out, inoc_err *err)
{
	json_t *v = json_object_get(j, key);
	*out = v ? json_number_value(v) : otherwise;
	if (v && (!json_is_number(v) || !(*out >= 0 && *out <= 1)))
		return inoci_err_set(err, INOC_E_USAGE, "option \"%s\" of scorer type \"uppercase\" wants a number from 0 to 1",
		                     key);
	return 0;
}

static int build(json_t *j, inoci_scorer *s, inoc_err *err)
{
	int rc = 0;
	bool has_max = json_object_get(j, "max") != NULL;
	range *r = s->state = inoci_alloc(sizeof *r);
	INOC_TRY(get_share(j, "min", has_max ? -1 : 0.8, &r->min, err));
	INOC_TRY(get_share(j, "max", 1, &r->max, err));
	if (r->min >= r->max)
		return inoci_err_set(err, INOC_E_USAGE,
		                     "scorer type \"uppercase\": min %g is not below max %g, so nothing can match", r->min,
		                     r->max);
	json_object_set_new(s->settings, "min", r->min < 0 ? json_null() : json_real(r->min));
	json_object_set_new(s->settings, "max", json_real(r->max));
out:
	return rc;
}

static int apply(inoci_scorer *s, const inoci_answer *a, double *value, inoc_err *err)
{
	const range *r = s->state;
	double share = inoci_uppercase_share(a->text, a->n);
	(void)err;
	*value = share > r->min && share <= r->max;
	return 0;
}

const inoci_scorer_type inoci_score_uppercase = {
        .name = "uppercase",
        .version = 1,
        .options = {"min", "max"},
        .description = "1 when min < share of upper-case letters <= max (min 0.8 when neither is given)",
        .build = build,
        .apply = apply,
        .free = free,
};
