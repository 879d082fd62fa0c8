/* csv: every share as CSV (RFC 4180 with LF) and as JSON. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

static void field(inoci_buf *b, const char *s)
{
	/* a space at an end is kept by some readers only when quoted */
	size_t n = strlen(s);
	if (!strpbrk(s, ",\"\r\n") && (!n || (s[0] != ' ' && s[n - 1] != ' '))) {
		inoci_buf_puts(b, s);
		return;
	}
	inoci_buf_puts(b, "\"");
	for (; *s; s++) {
		if (*s == '"') inoci_buf_puts(b, "\"");
		inoci_buf_append(b, s, 1);
	}
	inoci_buf_puts(b, "\"");
}

/* Ten digits; whatever the locale, a point. */
static void number(inoci_buf *b, double v)
{
	if (!isfinite(v)) return;
	size_t from = b->len;
	inoci_buf_printf(b, "%.10g", v == 0 ? 0.0 : v);
	for (size_t i = from; i < b->len; i++)
		if (b->data[i] == ',') b->data[i] = '.';
}

static void csv_row(inoci_buf *b, const inoci_summary *s, int arm, const char *seed, int eval, const char *scorer,
                    const inoci_estimate *e)
{
	const inoci_experiment *x = s->r->e;
	if (!e->n && !e->missing) return;
	const char *const names[] = {x->name, x->arms[arm].name, seed, x->evals[eval].name, scorer};
	for (size_t i = 0; i < INOCI_COUNT(names); i++) {
		field(b, names[i]);
		inoci_buf_puts(b, ",");
	}
	inoci_buf_printf(b, "%d,%d,", e->n, e->missing);
	number(b, e->value);
	inoci_buf_puts(b, ",");
	number(b, e->low);
	inoci_buf_puts(b, ",");
	number(b, e->high);
	inoci_buf_puts(b, s->r->ci == INOCI_CI_PAPER ? ",paper\n" : "\n");
}

void inoci_report_csv(const inoci_summary *s, inoci_buf *out)
{
	const inoci_results *r = s->r;
	inoci_buf_printf(out, "experiment,arm,seed,evaluation,scorer,n,missing,value,low,high%s\n",
	                 r->ci == INOCI_CI_PAPER ? ",ci" : "");
	for (int a = 0; a < (int)r->e->n_arms; a++)
		for (int v = 0; v < (int)r->e->n_evals; v++)
			for (int k = 0; k < r->n_scorers; k++) {
				const inoci_rate *rate = inoci_summary_rate(s, a, v, k);
				for (int d = 0; rate->seed && d < r->n_seeds; d++) {
					char seed[32];
					snprintf(seed, sizeof seed, "%llu", (unsigned long long)r->seeds[d]);
					csv_row(out, s, a, seed, v, r->scorers[k], &rate->seed[d]);
				}
				csv_row(out, s, a, "all", v, r->scorers[k], &rate->all);
			}
	for (size_t i = 0; i < s->n_leaks; i++) {
		const inoci_leak *l = &s->leaks[i];
		char *u = inoci_asprintf("u:%s", r->e->traits[l->trait].name);
		csv_row(out, s, l->arm, "all", r->e->grid[l->row].eval, u, &l->u);
		free(u);
	}
	for (size_t i = 0; i < s->n_points; i++)
		for (int k = 0; k < 2; k++) {
			const inoci_plane_point *q = &s->points[i];
			const inoci_plane *p = &r->e->planes[q->plane];
			char *score = inoci_asprintf("plane:%s:%c", p->name, "xy"[k]);
			for (int d = 0; q->seed[k] && d < r->n_seeds; d++) {
				char seed[32];
				snprintf(seed, sizeof seed, "%llu", (unsigned long long)r->seeds[d]);
				csv_row(out, s, q->arm, seed, p->axis[k].eval[q->panel], score, &q->seed[k][d]);
			}
			csv_row(out, s, q->arm, "all", p->axis[k].eval[q->panel], score, &q->at[k]);
			free(score);
		}
}

/* ---- JSON ---- */

static json_t *num(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

static json_t *text(const char *s)
{
	json_t *j = s ? json_string(s) : NULL;
	return j ? j : json_null();
}

json_t *inoci_estimate_json(const inoci_estimate *e)
{
	bool there = e->n > 0;
	json_t *o = json_object();
	json_object_set_new(o, "value", num(there ? e->value : NAN));
	json_object_set_new(o, "low", num(there ? e->low : NAN));
	json_object_set_new(o, "high", num(there ? e->high : NAN));
	json_object_set_new(o, "n", json_integer(e->n));
	json_object_set_new(o, "missing", json_integer(e->missing));
	json_object_set_new(o, "n_seeds", json_integer(e->n_seeds));
	json_object_set_new(o, "n_prompts", json_integer(e->n_prompts));
	if (e->real) json_object_set_new(o, "real", json_true());
	return o;
}

static json_t *comparison(const inoci_comparison *c)
{
	json_t *o = inoci_estimate_json(&c->diff);
	json_object_set_new(o, "p", num(c->diff.n ? c->p : NAN));
	return o;
}

static json_t *judged(const inoci_summary *s, const inoci_judgement *j)
{
	const inoci_experiment *e = s->r->e;
	json_t *o = json_object(), *vs = json_array();
	json_object_set_new(o, "trait", text(e->traits[j->trait].name));
	json_object_set_new(o, "arm", text(e->arms[j->arm].name));
	json_object_set_new(o, "role", text(e->arms[j->arm].role));
	json_object_set_new(o, "verdict", text(inoci_verdict_name(j->v.verdict)));
	json_object_set_new(o, "for_headline", json_boolean(inoci_report_for_headline(s->r, j->trait)));
	json_object_set_new(o, "why", text(j->v.reason));
	json_object_set_new(o, "undefined", text(j->undefined));
	json_object_set_new(o, "u", inoci_estimate_json(&j->v.arm_u));
	json_object_set_new(o, "w", inoci_estimate_json(&j->w));
	json_object_set_new(o, "goal", j->goal.n ? inoci_estimate_json(&j->goal) : json_null());
	json_object_set_new(o, "u_plain", inoci_estimate_json(&j->v.plain_u));
	json_object_set_new(o, "u_own_prompt", j->v.own_u.n ? inoci_estimate_json(&j->v.own_u) : json_null());
	json_object_set_new(o, "suppression", inoci_estimate_json(&j->v.suppression));
	json_object_set_new(o, "retention", inoci_estimate_json(&j->v.retention));
	json_object_set_new(o, "selectivity", inoci_estimate_json(&j->v.selectivity));
	json_object_set_new(o, "u_minus_plain", comparison(&j->v.vs_plain));
	json_object_set_new(o, "goal_minus_plain", j->goal_plain.diff.n ? comparison(&j->goal_plain) : json_null());
	for (size_t i = 0; i < j->n_vs; i++) {
		json_t *c = json_object();
		json_object_set_new(c, "control", text(e->arms[j->vs[i].control].name));
		json_object_set_new(c, "u", comparison(&j->vs[i].u));
		json_object_set_new(c, "goal", j->vs[i].goal.diff.n ? comparison(&j->vs[i].goal) : json_null());
		json_array_append_new(vs, c);
	}
	json_object_set_new(o, "minus_controls", vs);
	return o;
}

/* Of arms whose prompt has a condition: which records meet it, and how many. */
static json_t *chosen_records(const inoci_results *r)
{
	json_t *all = json_array();
	for (size_t a = 0; r->choices && a < r->e->n_arms; a++) {
		const inoci_choice *c = &r->choices[a];
		const inoci_arm *arm = &r->e->arms[a];
		char *when = c->n ? inoci_when_text(arm->inoculation.tag, arm->when) : NULL;
		json_t *j = when ? json_object() : NULL;
		if (!j) continue;
		json_object_set_new(j, "arm", text(arm->name));
		json_object_set_new(j, "when", text(when));
		json_object_set_new(j, "records", json_integer((json_int_t)c->n));
		json_object_set_new(j, "chosen", json_integer((json_int_t)c->n_chosen));
		json_object_set_new(j, "without_value", json_integer((json_int_t)c->n_missing));
		json_array_append_new(all, j);
		free(when);
	}
	return all;
}

/* Answers without a judge's score. */
static json_t *missing_by_reason(const inoci_results *r)
{
	json_t *all = json_array();
	for (size_t i = 0; i < r->n_misses; i++) {
		const inoci_miss *m = &r->misses[i];
		json_t *j = json_object();
		json_object_set_new(j, "arm", text(r->e->arms[m->arm].name));
		json_object_set_new(j, "evaluation", text(r->e->evals[m->eval].name));
		json_object_set_new(j, "scorer", text(r->scorers[m->scorer]));
		json_object_set_new(j, "missing", json_integer(m->n));
		for (inoci_judge_miss k = INOCI_JUDGE_SCORED; k < INOCI_JUDGE_N_MISS; k++)
			json_object_set_new(j, k ? inoci_judge_miss_name(k) : "other", json_integer(m->reason[k]));
		json_array_append_new(all, j);
	}
	return all;
}

void inoci_report_json(const inoci_summary *s, inoci_buf *out)
{
	const inoci_results *r = s->r;
	const inoci_experiment *e = r->e;
	json_t *o = json_object(), *seeds = json_array(), *judgements = json_array(), *rates = json_array();
	json_t *expectations = json_array(), *notes = json_array();
	char *head = inoci_report_headline(s, NULL);
	for (int d = 0; d < r->n_seeds; d++) json_array_append_new(seeds, json_integer((json_int_t)r->seeds[d]));
	for (size_t i = 0; i < s->n_judgements; i++) json_array_append_new(judgements, judged(s, &s->judgements[i]));
	for (int a = 0; a < (int)e->n_arms; a++)
		for (int v = 0; v < (int)e->n_evals; v++)
			for (int k = 0; k < r->n_scorers; k++) {
				const inoci_rate *rate = inoci_summary_rate(s, a, v, k);
				if (!rate->all.n && !rate->all.missing) continue;
				json_t *q = inoci_estimate_json(&rate->all), *per = json_array();
				json_object_set_new(q, "arm", text(e->arms[a].name));
				json_object_set_new(q, "evaluation", text(e->evals[v].name));
				json_object_set_new(q, "scorer", text(r->scorers[k]));
				for (int d = 0; rate->seed && d < r->n_seeds; d++)
					if (rate->seed[d].n || rate->seed[d].missing) {
						json_t *p = inoci_estimate_json(&rate->seed[d]);
						json_object_set_new(p, "seed", json_integer((json_int_t)r->seeds[d]));
						json_array_append_new(per, p);
					}
				json_object_set_new(q, "seeds", per);
				json_array_append_new(rates, q);
			}
	json_object_set_new(o, "experiment", text(e->name));
	json_object_set_new(o, "title", text(e->title));
	json_object_set_new(o, "question", text(e->question));
	json_object_set_new(o, "headline", text(head));
	json_object_set_new(o, "headline_evaluation", text(e->evals[s->headline].name));
	json_object_set_new(o, "ci", text(r->ci == INOCI_CI_PAPER ? "paper" : "two-way"));
	json_object_set_new(o, "seeds", seeds);
	for (size_t i = 0; i < e->n_notes; i++) json_array_append_new(notes, text(e->notes[i]));
	json_object_set_new(o, "notes", notes);
	json_object_set_new(o, "arms", inoci_arms_json(s));
	json_object_set_new(o, "evaluations", inoci_evals_json(s));
	json_object_set_new(o, "missing", missing_by_reason(r));
	json_object_set_new(o, "agreement", inoci_agreement_json(r));
	json_object_set_new(o, "chosen", chosen_records(r));
	json_object_set_new(o, "judgements", judgements);
	json_object_set_new(o, "by_evaluation", inoci_by_evaluation_json(s));
	json_object_set_new(o, "interactions", inoci_interactions_json(s));
	json_object_set_new(o, "leakage", inoci_leakage_json(s));
	json_object_set_new(o, "planes", inoci_planes_json(s));
	json_object_set_new(o, "rates", rates);
	for (size_t i = 0; i < s->n_met; i++) {
		json_t *m = inoci_estimate_json(&s->met[i].estimate);
		json_object_set_new(m, "met", json_boolean(s->met[i].met));
		json_object_set_new(m, "text", text(s->met[i].text));
		json_array_append_new(expectations, m);
	}
	json_object_set_new(o, "expectations", expectations);
	char *dump = json_dumps(o, JSON_INDENT(1) | JSON_REAL_PRECISION(10));
	inoci_buf_puts(out, dump ? dump : "{}");
	inoci_buf_puts(out, "\n");
	free(dump);
	free(head);
	json_decref(o);
}
