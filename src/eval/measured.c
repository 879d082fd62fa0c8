/* What an evaluation with `measure` finds, as the JSON that stands for a sample's text, and what its scorers share.
 *
 *   {"measure":"contrast","texts":[{"name":"trait","text":"Hola.","sum":-7.1,"end":-0.2,"tokens":3,"bytes":5},...]}
 *
 * and of a choice "answer", the right one's index in texts. Numbers are natural logarithms; sum is of the text's tokens, end of
 * the end-of-turn token behind them, which tokens and bytes do not count.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/internal.h"

char *inoci_measured_json(const inoci_measured *m)
{
	json_t *j = json_object(), *texts = json_array();
	json_object_set_new(j, "measure", json_string(m->measure));
	if (m->answer >= 0) json_object_set_new(j, "answer", json_integer(m->answer));
	for (size_t i = 0; i < m->n; i++) {
		const inoci_measured_text *t = &m->v[i];
		json_array_append_new(texts,
		                      json_pack("{s:s, s:s, s:f, s:f, s:i, s:i}", "name", t->name, "text", t->text ? t->text : "",
		                                "sum", t->sum, "end", t->end, "tokens", t->tokens, "bytes", t->bytes));
	}
	json_object_set_new(j, "texts", texts);
	char *s = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(12));
	INOC_BUG_IF(!s || json_array_size(texts) != m->n);
	json_decref(j);
	return s;
}

int inoci_measured_read(const char *text, size_t n, inoci_measured *out, inoc_err *err)
{
	json_t *j = json_loadb(text, n, 0, NULL), *texts = json_object_get(j, "texts"), *answer = json_object_get(j, "answer");
	bool ok = json_is_string(json_object_get(j, "measure")) && json_array_size(texts);
	*out = (inoci_measured){.measure = json_string_value(json_object_get(j, "measure")), .answer = -1, .json = j};
	out->v = inoci_alloc((json_array_size(texts) + 1) * sizeof *out->v);
	for (size_t i = 0; i < json_array_size(texts) && ok; i++) {
		json_t *t = json_array_get(texts, i), *sum = json_object_get(t, "sum"), *end = json_object_get(t, "end");
		json_int_t tokens = json_integer_value(json_object_get(t, "tokens"));
		json_int_t bytes = json_integer_value(json_object_get(t, "bytes"));
		out->v[out->n++] = (inoci_measured_text){.name = json_string_value(json_object_get(t, "name")),
		                                         .text = json_string_value(json_object_get(t, "text")),
		                                         .sum = json_number_value(sum),
		                                         .end = json_number_value(end),
		                                         .tokens = (int)tokens,
		                                         .bytes = (int)bytes};
		ok = out->v[i].name && json_is_number(sum) && json_is_number(end) && tokens > 0 && tokens < 1 << 30 &&
		     bytes > 0 && bytes < 1 << 30;
	}
	json_int_t a = json_integer_value(answer);
	if (answer && (!json_is_integer(answer) || a < 0 || a >= (json_int_t)out->n)) ok = false;
	if (ok && answer) out->answer = (int)a;
	if (ok) return 0;
	inoci_measured_free(out);
	return inoci_err_set(err, INOC_E_STORE, "a measured answer is not JSON of log-probabilities: \"%.60s\"",
	                     text ? text : "");
}

void inoci_measured_free(inoci_measured *m)
{
	free(m->v);
	json_decref(m->json);
	*m = (inoci_measured){0};
}

/* ---- options ---- */

int inoci_scorer_pick(json_t *j, inoci_scorer *s, const char *key, const char *const *names, int otherwise, int *out,
                      inoc_err *err)
{
	json_t *v = json_object_get(j, key);
	const char *given = json_string_value(v);
	*out = otherwise;
	if (v) {
		int k = 0;
		while (names[k] && (!given || strcmp(names[k], given))) k++;
		if (!names[k]) {
			inoci_buf b = {0};
			for (k = 0; names[k]; k++) inoci_buf_printf(&b, "%s%s", k ? ", " : "", names[k]);
			inoci_err_set(err, INOC_E_USAGE, "option \"%s\" of scorer type \"%s\" wants one of %s", key,
			              s->type->name, b.data);
			inoci_buf_free(&b);
			return INOC_E_USAGE;
		}
		*out = k;
	}
	json_object_set_new(s->settings, key, json_string(names[*out]));
	return 0;
}

int inoci_norm_build(json_t *j, inoci_scorer *s, const char *per, bool end, inoci_norm *out, inoc_err *err)
{
	static const char *const pers[] = {"sum", "byte", "token", NULL};
	json_t *e = json_object_get(j, "end"), *change = json_object_get(j, "change");
	int k = 0, rc;
	while (per && strcmp(pers[k], per)) k++;
	out->end = e ? json_is_true(e) : end;
	out->per = INOCI_PER_SUM;
	if (e && !json_is_boolean(e))
		return inoci_err_set(err, INOC_E_USAGE, "option \"end\" of scorer type \"%s\" wants true or false",
		                     s->type->name);
	json_object_set_new(s->settings, "end", json_boolean(out->end));
	if (per) {
		if ((rc = inoci_scorer_pick(j, s, "per", pers, k, &k, err)) < 0) return rc;
		out->per = (inoci_per)k;
	}
	if (change && !json_string_length(change))
		return inoci_err_set(err, INOC_E_USAGE,
		                     "option \"change\" of scorer type \"%s\" wants base, an arm's name, or none", s->type->name);
	json_object_set_new(s->settings, "change", json_string(change ? json_string_value(change) : "none"));
	change = json_object_get(s->settings, "change");
	if (strcmp(json_string_value(change), "none")) s->change = json_string_value(change), s->real = true;
	return 0;
}

double inoci_norm_value(const inoci_norm *n, const inoci_measured_text *t)
{
	double v = t->sum + (n->end ? t->end : 0);
	if (n->per == INOCI_PER_BYTE) return v / t->bytes;
	if (n->per == INOCI_PER_TOKEN) return v / (t->tokens + n->end);
	return v;
}

const inoci_measured_text *inoci_measured_find(const inoci_measured *m, const char *name)
{
	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->v[i].name, name)) return &m->v[i];
	return NULL;
}

bool inoci_is_among(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(names[i], name)) return true;
	return false;
}
