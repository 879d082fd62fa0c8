/* regex: does a PCRE2 pattern occur? Range 0 or 1; missing where it runs into its step limit. */
#include <math.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "eval/internal.h"

enum { MATCH_STEPS = 1000000 };

typedef struct {
	pcre2_code *re;
	pcre2_match_data *match;
	pcre2_match_context *limits;
} regex;

static void free_regex(void *state)
{
	regex *r = state;
	pcre2_match_data_free(r->match);
	pcre2_match_context_free(r->limits);
	pcre2_code_free(r->re);
	free(r);
}

static int build(json_t *j, inoci_scorer *s, inoc_err *err)
{
	json_t *p = json_object_get(j, "pattern"), *ic = json_object_get(j, "ignore_case");
	regex *r = s->state = inoci_alloc(sizeof *r);
	if (!json_is_string(p)) return inoci_err_set(err, INOC_E_USAGE, "scorer type \"regex\" wants \"pattern\": a string");
	if (ic && !json_is_boolean(ic))
		return inoci_err_set(err, INOC_E_USAGE, "option \"ignore_case\" of scorer type \"regex\" wants true or false");
	/* A cut last character must not make the whole text unscorable: invalid bytes match nothing. */
	uint32_t flags = PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;
	if (json_is_true(ic)) flags |= PCRE2_CASELESS;
	int code;
	PCRE2_SIZE at;
	r->re = pcre2_compile((PCRE2_SPTR)json_string_value(p), json_string_length(p), flags, &code, &at, NULL);
	if (!r->re) {
		PCRE2_UCHAR why[200];
		pcre2_get_error_message(code, why, sizeof why);
		return inoci_err_set(err, INOC_E_USAGE, "pattern \"%.200s\" of scorer type \"regex\": %s, at byte %zu",
		                     json_string_value(p), (char *)why, (size_t)at);
	}
	r->match = pcre2_match_data_create(1, NULL);
	r->limits = pcre2_match_context_create(NULL);
	INOC_BUG_IF(!r->match || !r->limits);
	/* Steps, not time, and no JIT (which counts them differently): the result is the same everywhere. */
	pcre2_set_match_limit(r->limits, MATCH_STEPS);
	json_object_set(s->settings, "pattern", p);
	json_object_set_new(s->settings, "ignore_case", json_boolean(json_is_true(ic)));
	return 0;
}

static int apply(inoci_scorer *s, const inoci_answer *a, double *value, inoc_err *err)
{
	regex *r = s->state;
	int k = pcre2_match(r->re, (PCRE2_SPTR)(a->text ? a->text : ""), a->n, 0, 0, r->match, r->limits);
	if (k >= 0 || k == PCRE2_ERROR_NOMATCH)
		*value = k >= 0;
	else if (k == PCRE2_ERROR_MATCHLIMIT || k == PCRE2_ERROR_DEPTHLIMIT || k == PCRE2_ERROR_HEAPLIMIT)
		*value = NAN;
	else {
		PCRE2_UCHAR why[200];
		pcre2_get_error_message(k, why, sizeof why);
		return inoci_err_set(err, k == PCRE2_ERROR_NOMEMORY ? INOC_E_MEMORY : INOC_E_EXTERNAL, "scorer \"%s\": PCRE2: %s",
		                     s->name, (char *)why);
	}
	return 0;
}

const inoci_scorer_type inoci_score_regex = {
        .name = "regex",
        .version = 1,
        .options = {"pattern", "ignore_case"},
        .description = "1 when the PCRE2 pattern is found in the text",
        .build = build,
        .apply = apply,
        .free = free_regex,
};
