/* language: is the text in a language? Range 0 or 1. Source: CLD2, by the rule of src/eval/language.c. */
#include <stdlib.h>
#include <string.h>

#include "eval/internal.h"

static int build(json_t *j, inoci_scorer *s, inoc_err *err)
{
	const char *is = json_string_value(json_object_get(j, "is"));
	if (!is)
		return inoci_err_set(err, INOC_E_USAGE,
		                     "scorer type \"language\" wants \"is\": a language code such as \"en\" or \"es\"");
	if (strcmp(is, "unknown") != 0 && !inoci_cld2_knows(is))
		return inoci_err_set(err, INOC_E_USAGE,
		                     "no language has the code \"%.20s\"; codes are those of ISO 639, such as en, es, fr, de, "
		                     "zh, or \"unknown\"",
		                     is);
	s->state = inoci_strdup(is);
	json_object_set_new(s->settings, "is", json_string(is));
	return 0;
}

static int apply(inoci_scorer *s, const inoci_answer *a, double *value, inoc_err *err)
{
	(void)err;
	*value = strcmp(inoci_language_of(a->text, a->n), s->state) == 0;
	return 0;
}

const inoci_scorer_type inoci_score_language = {
        .name = "language",
        .version = 1,
        .options = {"is"},
        .description = "1 when the text is in the language of code `is` (en, es, ...; or unknown)",
        .build = build,
        .apply = apply,
        .free = free,
};
