/* exact: is the response the expected text? Range 0 or 1. Both sides are composed (NFC), runs of white space are one space, none
 * at the ends; on request without case (Unicode's full folding) or punctuation (categories P*). Of several texts one is enough.
 */
#include <stdlib.h>
#include <string.h>

#include "eval/internal.h"

typedef struct {
	inoci_expects want;
	unsigned how;
} exact;

static void free_exact(void *state)
{
	exact *e = state;
	inoci_expects_free(&e->want);
	free(e);
}

static int build(json_t *j, inoci_scorer *s, inoc_err *err)
{
	exact *e = s->state = inoci_alloc(sizeof *e);
	bool no_case, no_punctuation;
	int rc;
	INOC_TRY(inoci_expects_read(j, s, "is", &e->want, err));
	INOC_TRY(inoci_option_bool(j, s, "ignore_case", false, &no_case, err));
	INOC_TRY(inoci_option_bool(j, s, "ignore_punctuation", false, &no_punctuation, err));
	e->how = (no_case ? INOCI_PLAIN_CASE : 0) | (no_punctuation ? INOCI_PLAIN_PUNCTUATION : 0);
out:
	return rc;
}

static int item(const inoci_scorer *s, const json_t *fields, inoc_err *err)
{
	const exact *e = s->state;
	const char *field;
	json_t *want;
	int rc = inoci_expects_get(&e->want, fields, &want, &field, err);
	json_decref(want);
	return rc;
}

static int apply(inoci_scorer *s, const inoci_answer *a, double *value, inoc_err *err)
{
	const exact *e = s->state;
	const char *field;
	json_t *want, *v;
	size_t i;
	inoci_buf got = {0}, one = {0};
	int rc = inoci_expects_get(&e->want, a->item, &want, &field, err);
	if (rc < 0) return rc;
	*value = 0;
	inoci_text_plain(a->text, a->n, e->how, &got);
	json_array_foreach(want, i, v)
	{
		inoci_buf_clear(&one);
		inoci_text_plain(json_string_value(v), json_string_length(v), e->how, &one);
		if (one.len == got.len && !memcmp(one.data, got.data, one.len)) *value = 1;
	}
	json_decref(want);
	inoci_buf_free(&got);
	inoci_buf_free(&one);
	return 0;
}

const inoci_scorer_type inoci_score_exact = {
        .name = "exact",
        .version = 1,
        .options = {"is", "field", "ignore_case", "ignore_punctuation"},
        .description = "1 when the response is the expected text: `is`, or the record's `field` (answer, else reference)",
        .build = build,
        .item = item,
        .apply = apply,
        .free = free_exact,
};
