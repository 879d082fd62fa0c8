/* looping: does the text repeat itself? Range 0 or 1. The rule is at the head of src/eval/looping.c. */
#include "eval/internal.h"

static int apply(inoci_scorer *s, const inoci_answer *a, double *value, inoc_err *err)
{
	(void)s, (void)err;
	*value = inoci_is_looping(a->text, a->n);
	return 0;
}

const inoci_scorer_type inoci_score_looping = {
        .name = "looping",
        .version = 1,
        .description = "1 when the text repeats a unit over and over",
        .apply = apply,
};
