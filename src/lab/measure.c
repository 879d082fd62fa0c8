/* What an evaluation with `measure` measures: the texts of a record, as answers to its prompt. */
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

static int missing(inoc_err *err, const char *what, const char *why)
{
	return inoci_err_set(err, INOC_E_FORMAT, "the record has no %s%s", what, why);
}

/* A text under its name; both are copied into t->m.json. */
static void add(const inoci_template *t, inoci_lab_texts *to, const char *name, const char *text)
{
	inoci_rendered r = {0};
	json_t *n = json_string(name), *s = json_string(text);
	size_t at = to->m.n++;
	json_array_append_new(to->m.json, n);
	json_array_append_new(to->m.json, s);
	inoci_render_answer(t, text, &r);
	to->m.v = inoci_realloc(to->m.v, to->m.n * sizeof *to->m.v);
	to->tail = inoci_realloc(to->tail, to->m.n * sizeof *to->tail);
	to->m.v[at] = (inoci_measured_text){.name = json_string_value(n),
	                                    .text = json_string_value(s),
	                                    .tokens = (int)r.ids.n - 1,
	                                    .bytes = (int)strlen(text)};
	to->tail[at] = r.ids;
	r.ids = (inoci_i32s){0};
	inoci_rendered_free(&r);
}

/* ---- fields of the record ---- */

/* The record's field, a field's field ("reference.en"), or one of its "reference", where parallel references stand. */
static const char *field(const inoci_record *r, const char *name)
{
	json_t *v = json_object_get(r->extra, name);
	const char *dot = strchr(name, '.');
	if (!v && dot) {
		char *outer = inoci_strndup(name, (size_t)(dot - name));
		v = json_object_get(json_object_get(r->extra, outer), dot + 1);
		free(outer);
	}
	return json_string_value(v ? v : json_object_get(json_object_get(r->extra, "reference"), name));
}

static int add_fields(const inoci_template *t, const inoci_evaluation *v, const inoci_record *r, inoci_lab_texts *to,
                      inoc_err *err)
{
	for (size_t i = 0; i < v->n_texts; i++) {
		const char *name = v->texts[i], *text = field(r, name);
		if (!text || !*text) {
			char *what = inoci_asprintf("text \"%.60s\"", name);
			int rc = missing(err, what,
			                 strcmp(name, "reference") ? ", which this evaluation measures"
			                                           : ": an assistant turn at its end, or a field of that name");
			free(what);
			return rc;
		}
		add(t, to, name, text);
	}
	return 0;
}

/* ---- choices ---- */

static void letter_of(size_t i, char *s, size_t cap)
{
	if (i < 26)
		snprintf(s, cap, "%c", (char)('A' + i));
	else
		snprintf(s, cap, "%zu", i + 1);
}

/* The right one: a choice's text, its letter, or its index from 0. */
static int answer_of(json_t *answer, json_t *choices, int *out, inoc_err *err)
{
	const char *s = json_string_value(answer);
	size_t n = json_array_size(choices);
	json_int_t k = json_is_integer(answer) ? json_integer_value(answer) : -1;
	if (!answer) return missing(err, "\"answer\"", ": one of its choices, its letter, or its index from 0");
	for (size_t i = 0; s && i < n && k < 0; i++)
		if (!strcmp(s, json_string_value(json_array_get(choices, i)))) k = (json_int_t)i;
	for (size_t i = 0; s && i < n && k < 0; i++) {
		char letter[24];
		letter_of(i, letter, sizeof letter);
		if (!strcmp(s, letter)) k = (json_int_t)i;
	}
	if (k >= 0 && k < (json_int_t)n) {
		*out = (int)k;
		return 0;
	}
	char *shown = json_dumps(answer, JSON_ENCODE_ANY);
	int rc = inoci_err_set(err, INOC_E_FORMAT,
	                       "the answer %.80s is none of the record's %zu choices: give one, its letter, or its index from 0",
	                       shown ? shown : "?", n);
	free(shown);
	return rc;
}

static int add_choices(const inoci_template *t, const inoci_evaluation *v, const inoci_record *r, inoci_lab_texts *to,
                       inoc_err *err)
{
	json_t *choices = json_object_get(r->extra, "choices");
	size_t n = json_array_size(choices);
	if (!choices) return missing(err, "\"choices\"", ": a list of texts");
	if (n < 2) return inoci_err_set(err, INOC_E_FORMAT, "\"choices\" must be a list of two texts or more");
	if (n > 26 && v->by_letter) return inoci_err_set(err, INOC_E_FORMAT, "%zu choices are more than there are letters", n);
	for (size_t i = 0; i < n; i++) {
		const char *s = json_string_value(json_array_get(choices, i));
		if (!s || !*s) return inoci_err_set(err, INOC_E_FORMAT, "choices[%zu] must be a text that is not empty", i);
		for (size_t k = 0; k < i; k++)
			if (!strcmp(s, json_string_value(json_array_get(choices, k))))
				return inoci_err_set(err, INOC_E_FORMAT, "choices[%zu] and choices[%zu] are the same text", k, i);
	}
	for (size_t i = 0; i < n; i++) {
		char letter[24];
		letter_of(i, letter, sizeof letter);
		add(t, to, letter, v->by_letter ? letter : json_string_value(json_array_get(choices, i)));
	}
	return answer_of(json_object_get(r->extra, "answer"), choices, &to->m.answer, err);
}

inoci_record inoci_measure_asked(const inoci_evaluation *v, const inoci_record *r, const inoci_lab_texts *t)
{
	inoci_record asked = inoci_record_copy(r);
	if (v->measure != INOCI_MEASURE_CHOICE || !v->show) return asked;
	json_t *choices = json_object_get(r->extra, "choices");
	inoci_msg *last = &asked.msgs[asked.n_msgs - 1];
	inoci_buf b = {0};
	inoci_buf_printf(&b, "%s\n", last->content);
	for (size_t i = 0; i < t->m.n; i++)
		inoci_buf_printf(&b, "\n%s. %s", t->m.v[i].name, json_string_value(json_array_get(choices, i)));
	if (*v->ask) inoci_buf_printf(&b, "\n\n%s", v->ask);
	free(last->content);
	last->content = inoci_buf_take(&b);
	return asked;
}

/* ---- all kinds ---- */

int inoci_measure_texts(const inoci_template *t, const inoci_evaluation *v, const inoci_record *r, inoci_lab_texts **out,
                        inoc_err *err)
{
	int rc = 0;
	*out = NULL;
	if (v->measure == INOCI_MEASURE_NONE) return 0;
	inoci_lab_texts *to = inoci_alloc(sizeof *to);
	to->m = (inoci_measured){.measure = inoci_measure_name(v->measure), .answer = -1, .json = json_array()};
	if (v->measure == INOCI_MEASURE_CHOICE)
		INOC_TRY(add_choices(t, v, r, to, err));
	else if (v->measure == INOCI_MEASURE_CANDIDATES)
		for (size_t i = 0; i < v->n_candidates; i++)
			for (size_t f = 0; f < v->candidates[i].n_forms; f++)
				add(t, to, v->candidates[i].name, v->candidates[i].forms[f]);
	else
		INOC_TRY(add_fields(t, v, r, to, err));
	inoci_hasher *h = inoci_hasher_new();
	inoci_hasher_str(h, to->m.measure);
	inoci_hasher_add(h, &to->m.answer, sizeof to->m.answer);
	for (size_t i = 0; i < to->m.n; i++) {
		inoci_hasher_str(h, to->m.v[i].name);
		inoci_hasher_str(h, to->m.v[i].text);
		inoci_hasher_add(h, to->tail[i].v, to->tail[i].n * sizeof *to->tail[i].v);
		if (to->m.v[i].tokens < 1 && rc == 0)
			rc = inoci_err_set(err, INOC_E_FORMAT, "the model has no token for text \"%.60s\"", to->m.v[i].name);
	}
	to->hash = inoci_hasher_end(h);
	*out = to;
out:
	if (rc < 0) {
		inoci_measure_texts_free(to);
		*out = NULL;
	}
	return rc;
}

void inoci_measure_texts_free(inoci_lab_texts *t)
{
	if (!t) return;
	for (size_t i = 0; i < t->m.n; i++) inoci_i32s_free(&t->tail[i]);
	free(t->tail);
	inoci_measured_free(&t->m);
	free(t);
}
