/* contains: do literal texts stand in the response? Range 0 or 1. Composed (NFC) and white space as in `exact`. */
#include <stdlib.h>
#include <string.h>

#include "eval/internal.h"

typedef struct {
	inoci_expects want;
	unsigned how;
	bool all, words;
} contains;

static void free_contains(void *state)
{
	contains *c = state;
	inoci_expects_free(&c->want);
	free(c);
}

static int build(json_t *j, inoci_scorer *s, inoc_err *err)
{
	contains *c = s->state = inoci_alloc(sizeof *c);
	json_t *match = json_object_get(j, "match");
	const char *which = match ? json_string_value(match) : "any";
	bool no_case;
	int rc;
	INOC_TRY(inoci_expects_read(j, s, "text", &c->want, err));
	INOC_TRY(inoci_option_bool(j, s, "ignore_case", false, &no_case, err));
	INOC_TRY(inoci_option_bool(j, s, "words", false, &c->words, err));
	c->how = no_case ? INOCI_PLAIN_CASE : 0;
	if (!which || (strcmp(which, "any") && strcmp(which, "all")))
		return inoci_err_set(err, INOC_E_USAGE, "option \"match\" of scorer type \"contains\" wants \"any\" or \"all\"");
	c->all = !strcmp(which, "all");
	json_object_set_new(s->settings, "match", json_string(which));
out:
	return rc;
}

static int item(const inoci_scorer *s, const json_t *fields, inoc_err *err)
{
	const contains *c = s->state;
	const char *field;
	json_t *want;
	int rc = inoci_expects_get(&c->want, fields, &want, &field, err);
	json_decref(want);
	return rc;
}

/* Between two characters that are both of words no word ends. */
static bool at_edge(const inoci_buf *text, size_t at)
{
	size_t before = at, after = at;
	if (!at || at >= text->len) return true;
	do before--;
	while (before && ((unsigned char)text->data[before] & 0xc0) == 0x80);
	return !inoci_is_word(inoci_next_char(text->data, text->len, &before)) ||
	       !inoci_is_word(inoci_next_char(text->data, text->len, &after));
}

static bool stands_in(const inoci_buf *text, const inoci_buf *part, bool words)
{
	if (!part->len) return false; /* white space alone */
	for (size_t at = 0; at + part->len <= text->len; at++) {
		const char *p = memmem(text->data + at, text->len - at, part->data, part->len);
		if (!p) return false;
		at = (size_t)(p - text->data);
		if (!words || (at_edge(text, at) && at_edge(text, at + part->len))) return true;
	}
	return false;
}

static int apply(inoci_scorer *s, const inoci_answer *a, double *value, inoc_err *err)
{
	const contains *c = s->state;
	const char *field;
	json_t *want, *v;
	size_t i, found = 0;
	inoci_buf got = {0}, one = {0};
	int rc = inoci_expects_get(&c->want, a->item, &want, &field, err);
	if (rc < 0) return rc;
	inoci_text_plain(a->text, a->n, c->how, &got);
	json_array_foreach(want, i, v)
	{
		inoci_buf_clear(&one);
		inoci_text_plain(json_string_value(v), json_string_length(v), c->how, &one);
		found += stands_in(&got, &one, c->words);
	}
	*value = c->all ? found == json_array_size(want) : found > 0;
	json_decref(want);
	inoci_buf_free(&got);
	inoci_buf_free(&one);
	return 0;
}

const inoci_scorer_type inoci_score_contains = {
        .name = "contains",
        .version = 1,
        .options = {"text", "field", "match", "ignore_case", "words"},
        .description = "1 when any (or `match`: all) of the texts stand in the response: `text`, or the record's `field`",
        .build = build,
        .item = item,
        .apply = apply,
        .free = free_contains,
};
