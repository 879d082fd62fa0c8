/* before: what a scan and a selection found before training, as JSON: what the program prints and the library gives. Gains are in
 * nats a byte of response, those per example in nats a response. */
#include <stdlib.h>

#include "report/internal.h"

static json_t *estimate(const inoci_estimate *e)
{
	return json_pack("{s:f, s:f, s:f}", "value", e->value, "low", e->low, "high", e->high);
}

/* null where nothing was measured. */
static json_t *counted(const inoci_estimate *e)
{
	if (!e->n) return json_null();
	json_t *j = estimate(e);
	json_object_set_new(j, "n", json_integer(e->n));
	return j;
}

static json_t *marker(const inoci_scan_marker *m)
{
	return m->text ? json_pack("{s:s, s:f}", "text", m->text, "share", m->share) : json_null();
}

json_t *inoci_scan_json(const inoci_scan_result *r, const char *model)
{
	json_t *rows = json_array();
	for (size_t i = 0; i < r->n; i++) {
		const inoci_scan_row *v = &r->v[i];
		const inoci_scan_trait *t = &r->l->v[v->trait];
		json_t *best = json_array(), *prompts = json_array(), *odd = json_null();
		for (int k = 0; k < 3; k++) {
			int x = inoci_scan_example(r, v, k);
			if (x >= 0) json_array_append_new(best, json_integer(r->d->v[x].line));
		}
		if (v->odd.n) odd = json_pack("{s:o, s:f, s:i}", "gain", estimate(&v->odd), "p", v->odd_p, "records", v->odd.n);
		for (size_t k = 0; v->prompt && k < t->n_prompts; k++)
			json_array_append_new(prompts, json_pack("{s:s, s:f}", "text", t->prompts[k], "gain", v->prompt[k]));
		json_array_append_new(
		        rows,
		        json_pack("{s:i, s:s, s:s, s:s, s:o, s:o, s:f, s:f, s:[ff], s:i, s:b, s:b, s:o, s:o, s:o, s:o, s:o}",
		                  "rank", (int)i + 1, "trait", t->id, "label", t->label, "group", r->l->groups[t->group].id,
		                  "gain", estimate(&v->gain), "before_neutral", estimate(&v->raw), "p", v->p, "share", v->share,
		                  "share_interval", v->low, v->high, "records", (int)v->n, "found", v->found,
		                  "in_surprising_alone", v->in_odd, "most_surprising", odd, "behind",
		                  v->behind >= 0 ? json_string(r->l->v[v->behind].id) : json_null(), "prompts", prompts,
		                  "prompts_help", v->helps.n ? estimate(&v->helps) : json_null(), "lines", best));
	}
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:b, s:i, s:f, s:I, s:f, s:o, s:o, s:o}", "data",
	                 r->d->path, "model", model, "records", (json_int_t)r->d->n, "used", (json_int_t)r->n_used, "left_out",
	                 (json_int_t)r->n_too_long, "neutral", (json_int_t)r->n_neutral, "screened", (json_int_t)r->n_screened,
	                 "most_surprising", (json_int_t)r->n_odd, "rounds", r->rounds, "settled", r->settled, "found",
	                 (int)r->n_found, "seconds", r->seconds, "log_probabilities", (json_int_t)r->cells, "alpha", r->alpha,
	                 "all_begin", marker(&r->head), "all_end", marker(&r->tail), "traits", rows);
}

static json_t *records_json(const inoci_select_result *r, const inoci_select_row *v)
{
	json_t *list = json_array();
	for (size_t i = 0; i < r->n_records; i++)
		json_array_append_new(list, json_pack("{s:i, s:i, s:f, s:f}", "line", r->line[i], "bytes", r->bytes[i],
		                                      "per_byte", v->record[i], "per_example", v->record[i] * r->bytes[i]));
	return list;
}

json_t *inoci_select_json(const inoci_select_result *r, const char *model)
{
	json_t *rows = json_array();
	char *says = inoci_select_headline(r, model);
	for (size_t i = 0; i < r->n; i++) {
		const inoci_select_row *v = &r->v[i];
		json_t *controls = json_array();
		for (size_t k = 0; k < v->n_controls; k++) json_array_append_new(controls, json_string(v->controls[k]));
		json_array_append_new(rows, json_pack("{s:i, s:s, s:o, s:o, s:o, s:f, s:o, s:o, s:o, s:o}", "rank", (int)i + 1,
		                                      "prompt", r->prompts[v->prompt], "surprise_removed", counted(&v->surprise),
		                                      "surprise_removed_per_example", counted(&v->example), "over_no_prompt",
		                                      counted(&v->with), "p", v->p, "rate", counted(&v->rate), "elicitation",
		                                      counted(&v->elicits), "controls", controls, "records", records_json(r, v)));
	}
	json_t *j = json_pack("{s:s, s:s, s:I, s:I, s:o, s:s, s:o}", "data", r->d->path, "model", model, "records",
	                      (json_int_t)r->n_records, "left_out", (json_int_t)r->n_too_long, "rate_without", counted(&r->none),
	                      "recommendation", says, "prompts", rows);
	free(says);
	return j;
}
