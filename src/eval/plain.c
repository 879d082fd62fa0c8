/* What the scorers of literal texts share: options of their settings, what a record expects, and texts made comparable. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "eval/internal.h"
#include "sample/sample.h" /* inoci_text_fix */

/* ---- options ---- */

int inoci_option_bool(json_t *j, inoci_scorer *s, const char *key, bool otherwise, bool *out, inoc_err *err)
{
	json_t *v = json_object_get(j, key);
	if (v && !json_is_boolean(v))
		return inoci_err_set(err, INOC_E_USAGE, "option \"%s\" of scorer type \"%s\" wants true or false", key,
		                     s->type->name);
	*out = v ? json_is_true(v) : otherwise;
	json_object_set_new(s->settings, key, json_boolean(*out));
	return 0;
}

int inoci_option_number(json_t *j, inoci_scorer *s, const char *key, double least, double otherwise, double *out, inoc_err *err)
{
	json_t *v = json_object_get(j, key);
	*out = v ? json_number_value(v) : otherwise;
	if (v && (!json_is_number(v) || !(*out >= least)))
		return inoci_err_set(err, INOC_E_USAGE, "option \"%s\" of scorer type \"%s\" wants a number%s", key,
		                     s->type->name, least > -INFINITY ? ", not below 0" : "");
	json_object_set_new(s->settings, key, isfinite(*out) ? json_real(*out) : json_null());
	return 0;
}

/* A text, a number, or a list of one or more of them, as a list of texts; NULL where it is something else. New reference. */
static json_t *as_texts(const json_t *v)
{
	json_t *list = json_array();
	size_t n = json_is_array(v) ? json_array_size(v) : 1;
	for (size_t i = 0; i < n; i++) {
		const json_t *x = json_is_array(v) ? json_array_get(v, i) : v;
		char *number = json_is_number(x) ? json_dumps(x, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) : NULL;
		if (number)
			json_array_append_new(list, json_string(number));
		else if (json_is_string(x) && json_string_length(x))
			json_array_append(list, (json_t *)(uintptr_t)x);
		free(number);
	}
	if (json_array_size(list) == n && n) return list;
	json_decref(list);
	return NULL;
}

int inoci_expects_read(json_t *j, inoci_scorer *s, const char *literal, inoci_expects *out, inoc_err *err)
{
	json_t *v = json_object_get(j, literal), *field = json_object_get(j, "field");
	*out = (inoci_expects){0};
	if (v && field)
		return inoci_err_set(err, INOC_E_USAGE, "scorer type \"%s\" takes \"%s\" or \"field\", not both", s->type->name,
		                     literal);
	if (v && !(out->literal = as_texts(v)))
		return inoci_err_set(err, INOC_E_USAGE,
		                     "option \"%s\" of scorer type \"%s\" wants a text, a number, or a list of these, none empty",
		                     literal, s->type->name);
	if (field && (!json_is_string(field) || !json_string_length(field)))
		return inoci_err_set(err, INOC_E_USAGE, "option \"field\" of scorer type \"%s\" wants the name of a field",
		                     s->type->name);
	if (field) out->field = inoci_strdup(json_string_value(field));
	if (v)
		json_object_set(s->settings, literal, out->literal);
	else
		json_object_set_new(s->settings, "field", field ? json_string(out->field) : json_null());
	return 0;
}

void inoci_expects_free(inoci_expects *e)
{
	json_decref(e->literal);
	free(e->field);
	*e = (inoci_expects){0};
}

const json_t *inoci_item_field(const json_t *item, const char *name)
{
	const json_t *v = json_object_get(item, name);
	const char *dot = v ? NULL : strchr(name, '.');
	if (!dot) return v;
	char *head = inoci_strndup(name, (size_t)(dot - name));
	v = inoci_item_field(json_object_get(item, head), dot + 1);
	free(head);
	return v;
}

int inoci_expects_get(const inoci_expects *e, const json_t *item, json_t **out, const char **field, inoc_err *err)
{
	const json_t *v = NULL;
	*field = NULL;
	if ((*out = json_incref(e->literal))) return 0;
	*field = e->field ? e->field : "answer";
	v = inoci_item_field(item, *field);
	if (!v && !e->field) v = json_object_get(item, *field = "reference");
	if (!v && !e->field)
		return inoci_err_set(
		        err, INOC_E_FORMAT,
		        "the record has no field \"answer\", nor a \"reference\" (a last assistant turn is one); give "
		        "one, or name the field (\"field\")");
	if (!v) return inoci_err_set(err, INOC_E_FORMAT, "the record has no field \"%.60s\"", *field);
	if (!(*out = as_texts(v)))
		return inoci_err_set(err, INOC_E_FORMAT,
		                     "the record's field \"%.60s\" must be a text, a number, or a list of these, none empty",
		                     *field);
	return 0;
}

/* ---- texts ---- */

static bool is_space(utf8proc_int32_t c)
{
	return (c >= 9 && c <= 13) || c == 0x85 || utf8proc_category(c) == UTF8PROC_CATEGORY_ZS || c == 0x2028 || c == 0x2029;
}

static bool is_punctuation(utf8proc_int32_t c)
{
	utf8proc_category_t k = utf8proc_category(c);
	return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

bool inoci_is_word(int32_t c)
{
	utf8proc_category_t k = utf8proc_category(c);
	return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NO) || c == '_'; /* letters, marks, numbers */
}

int32_t inoci_next_char(const char *s, size_t n, size_t *at)
{
	utf8proc_int32_t c;
	utf8proc_ssize_t k = utf8proc_iterate((const utf8proc_uint8_t *)s + *at, (utf8proc_ssize_t)(n - *at), &c);
	*at += k > 0 ? (size_t)k : 1;
	return k > 0 ? c : 0xfffd;
}

long inoci_count_words(const char *s, size_t n)
{
	long words = 0;
	bool inside = false;
	for (size_t at = 0; at < n;) {
		bool space = is_space(inoci_next_char(s, n, &at));
		words += !space && !inside;
		inside = !space;
	}
	return words;
}

void inoci_text_plain(const char *s, size_t n, unsigned how, inoci_buf *out)
{
	inoci_buf fixed = {0}, kept = {0};
	utf8proc_uint8_t *mapped = NULL;
	inoci_text_fix(s, n, &fixed);
	inoci_buf_append(out, "", 0); /* never NULL */
	if (!fixed.len) goto out;
	utf8proc_ssize_t m = utf8proc_map((const utf8proc_uint8_t *)fixed.data, (utf8proc_ssize_t)fixed.len, &mapped,
	                                  UTF8PROC_STABLE | UTF8PROC_COMPOSE | (how & INOCI_PLAIN_CASE ? UTF8PROC_CASEFOLD : 0));
	const char *t = m >= 0 ? (const char *)mapped : fixed.data;
	size_t len = m >= 0 ? (size_t)m : fixed.len;
	bool gap = false;
	for (size_t at = 0; at < len;) {
		size_t start = at;
		int32_t c = inoci_next_char(t, len, &at);
		if (is_space(c)) {
			gap = true;
			continue;
		}
		if (how & INOCI_PLAIN_PUNCTUATION && is_punctuation(c)) continue;
		if (gap && kept.len) inoci_buf_puts(&kept, " ");
		gap = false;
		inoci_buf_append(&kept, t + start, at - start);
	}
	if (kept.len) inoci_buf_append(out, kept.data, kept.len);
out:
	free(mapped);
	inoci_buf_free(&fixed);
	inoci_buf_free(&kept);
}
