/* truncated: was the text ended by the token limit? Range 0 or 1. */
#include "eval/internal.h"

static int apply(inoci_scorer *s, const inoci_answer *a, double *value, inoc_err *err)
{
	(void)s, (void)err;
	*value = a->finish == INOCI_FINISH_LENGTH;
	return 0;
}

const inoci_scorer_type inoci_score_truncated = {
        .name = "truncated",
        .version = 1,
        .description = "1 when the token limit ended the text",
        .apply = apply,
};
