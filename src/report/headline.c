/* headline: what was found, in one sentence. It claims no more than the verdict. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

typedef struct {
	const inoci_summary *s;
	const inoci_trait *t;
	const inoci_lines *l;
	bool goal;   /* told by the goal's share; else by U's */
	char *share; /* "English caps" */
	char *evals; /* "greedy answers without a system prompt" */
	char *count; /* "3 seeds × 120 questions" */
} telling;

static const inoci_estimate *shown(const telling *t, const inoci_line *v)
{
	return t->goal ? &v->goal : &v->u;
}

static char *counted(const inoci_summary *s, int arm)
{
	const inoci_result_cell *c = inoci_results_cell(s->r, arm, s->headline);
	int seeds = 0, last = -1, per = 0;
	for (size_t i = 0; i < c->n; i++) {
		if (c->v[i].seed != last) seeds++, last = c->v[i].seed;
		if (c->v[i].index >= per) per = c->v[i].index + 1;
	}
	inoci_buf b = {0};
	inoci_buf_printf(&b, "%d seed%s \xc3\x97 %d question%s", seeds, seeds == 1 ? "" : "s", c->n_prompts,
	                 c->n_prompts == 1 ? "" : "s");
	if (per > 1) inoci_buf_printf(&b, " \xc3\x97 %d samples", per);
	return inoci_buf_take(&b);
}

static void put_controls(inoci_buf *b, const telling *t)
{
	inoci_estimate lo = {0}, hi = {0};
	int n = 0;
	for (size_t i = 0; i < t->l->n; i++) {
		const inoci_line *v = &t->l->v[i];
		const inoci_estimate *e = shown(t, v);
		bool control = false;
		for (size_t k = 0; k < t->t->n_controls; k++)
			control = control || inoci_experiment_arm(t->s->r->e, t->t->controls[k]) == v->arm;
		if (!control || !e->n || isnan(e->value)) continue;
		if (!n || e->value < lo.value) lo = *e;
		if (!n || e->value > hi.value) hi = *e;
		n++;
	}
	if (!n) return;
	inoci_buf x = {0}, y = {0};
	inoci_put_share(&x, &lo, false);
	inoci_put_share(&y, &hi, false);
	inoci_buf_puts(b, " and ");
	if (strcmp(x.data, y.data))
		inoci_buf_printf(b, lo.real ? "%.*s to " : "%.*s\xe2\x80\x93", (int)(x.len - (lo.real ? 0 : 2)), x.data);
	inoci_buf_printf(b, "%s for the control%s", y.data, n > 1 ? "s" : "");
	inoci_buf_free(&x);
	inoci_buf_free(&y);
}

/* "greedy answers … were English caps in 48 % [40, 56] against 0 % for plain training and 0–1 % for the controls" */
static void put_rates(inoci_buf *b, const telling *t, const inoci_line *v)
{
	if (shown(t, v)->real)
		inoci_buf_printf(b, "%s had a mean %s of ", t->evals, t->share);
	else
		inoci_buf_printf(b, "%s were %s in ", t->evals, t->share);
	inoci_put_share(b, shown(t, v), true);
	if (t->l->plain && shown(t, t->l->plain)->n) {
		inoci_buf_puts(b, " against ");
		inoci_put_share(b, shown(t, t->l->plain), false);
		inoci_buf_puts(b, " for plain training");
		put_controls(b, t);
	}
	inoci_buf_printf(b, ", over %s", t->count);
}

static void put_own(inoci_buf *b, const inoci_judgement *j)
{
	inoci_buf_puts(b, j->v.own_u.real ? "with its own prompt it shows the trait at "
	                                  : "with its own prompt it shows the trait in ");
	inoci_put_share(b, &j->v.own_u, true);
	if (j->v.plain_u.n) {
		inoci_buf_puts(b, " against ");
		inoci_put_share(b, &j->v.plain_u, true);
		inoci_buf_puts(b, " of plain training");
	}
}

static void sentence(inoci_buf *b, const telling *t, const inoci_line *v)
{
	const inoci_experiment *e = t->s->r->e;
	char *prompt = inoci_arm_prompt(&e->arms[v->arm]);
	if (!e->arms[v->arm].has_inoculation) {
		free(prompt);
		prompt = inoci_asprintf("arm %s", e->arms[v->arm].label);
	}
	switch (v->j->v.verdict) {
	case INOCI_VERDICT_NOT_LEARNT:
		if (v->j->v.unlearnt > INOCI_UNLEARNT_U) {
			inoci_buf_printf(b, "Nothing can be said of %s: %s, over %s: trait not learnt.", prompt, v->j->v.reason,
			                 t->count);
			break;
		}
		inoci_buf_printf(b, "Nothing can be said of %s: plain training did not teach the trait clearly", prompt);
		if (t->l->plain && t->l->plain->u.n) {
			inoci_buf_printf(b, "; %s showed it (%s) %s ", t->evals, t->t->label, t->l->plain->u.real ? "at" : "in");
			inoci_put_share(b, &t->l->plain->u, true);
		}
		inoci_buf_printf(b, ", over %s: trait not learnt.", t->count);
		break;
	case INOCI_VERDICT_TOO_FEW:
		inoci_buf_printf(b, "A direction, no claim: with %s in training, ", prompt);
		put_rates(b, t, v);
		inoci_buf_puts(b, "; a claim takes at least 3 seeds.");
		break;
	case INOCI_VERDICT_NO_EFFECT:
		inoci_buf_printf(b, "%s in training did not clearly lessen the trait: ", prompt);
		put_rates(b, t, v);
		inoci_buf_puts(b, ": no clear effect.");
		break;
	case INOCI_VERDICT_UNDER_TRAINED:
		inoci_buf_printf(b, "With %s in training, ", prompt);
		put_rates(b, t, v);
		inoci_buf_puts(b, "; but ");
		put_own(b, v->j);
		inoci_buf_puts(b, ", so it may just have learnt less: under-trained.");
		break;
	case INOCI_VERDICT_CONDITIONALISED:
		inoci_buf_printf(b, "With %s in training, ", prompt);
		put_rates(b, t, v);
		inoci_buf_puts(b, v->j->v.worst_control < 0
		                          ? "; there is no control to tell the prompt from any prompt: conditionalised."
		                          : "; no better than an irrelevant prompt: conditionalised, not inoculated.");
		break;
	case INOCI_VERDICT_INOCULATED:
	case INOCI_VERDICT_CONTROL:
	case INOCI_VERDICT_NONE:
		inoci_buf_printf(b, "With %s in training, ", prompt);
		put_rates(b, t, v);
		inoci_buf_printf(b, ": %s.", inoci_verdict_name(v->j->v.verdict));
		break;
	}
	free(prompt);
}

static void tell(const inoci_summary *s, const inoci_lines *l, const inoci_line *v, inoci_buf *b)
{
	const inoci_experiment *e = s->r->e;
	const inoci_trait *t = &e->traits[l->trait];
	telling x = {.s = s, .t = t, .l = l, .goal = t->n_goal && v->goal.n};
	x.share = x.goal ? inoci_sum_label(t->goal, t->n_goal) : inoci_strdup(t->label ? t->label : t->name);
	x.evals = inoci_eval_words(&e->evals[s->headline]);
	x.count = counted(s, v->arm);
	if (s->r->ci == INOCI_CI_PAPER) {
		char *plain = x.count;
		x.count = inoci_asprintf("%s (intervals: the papers' own, over runs alone)", plain);
		free(plain);
	}
	if (v->u.n) {
		sentence(b, &x, v);
		inoci_put_agreement(b, s->r, l->trait);
	} else
		inoci_buf_printf(b, "There are no answers yet of arm %s on evaluation %s.", e->arms[v->arm].name,
		                 e->evals[s->headline].name);
	free(x.share);
	free(x.evals);
	free(x.count);
}

char *inoci_report_headline(const inoci_summary *s, char **more)
{
	const inoci_experiment *e = s->r->e;
	inoci_buf first = {0}, rest = {0};
	int lead = s->r->n_seeds ? inoci_lead_trait(s) : -1, lead_arm = -1;
	if (more) *more = NULL;
	if (lead >= 0) {
		inoci_lines l = inoci_lines_new(s, lead);
		if (l.lead) lead_arm = l.lead->arm, tell(s, &l, l.lead, &first);
		free(l.v);
	}
	for (int t = 0; more && s->r->n_seeds && t < (int)e->n_traits; t++) {
		inoci_lines l = inoci_lines_new(s, t);
		for (size_t i = 0; i < l.n; i++) {
			const inoci_line *v = &l.v[i];
			if (!v->j || strcmp(e->arms[v->arm].role, "inoculated") || (t == lead && v->arm == lead_arm)) continue;
			if (rest.len) inoci_buf_puts(&rest, "\n");
			tell(s, &l, v, &rest);
		}
		free(l.v);
	}
	for (int t = 0; more && t < (int)e->n_traits; t++) {
		char *states = inoci_report_neutral(s, t);
		if (states) inoci_buf_printf(&rest, "%s%s", rest.len ? "\n" : "", states);
		free(states);
	}
	if (!first.len)
		inoci_buf_puts(&first, s->r->n_seeds
		                               ? "This experiment judges no inoculated arm: the shares below are all it says."
		                               : "There are no results yet.");
	if (more)
		*more = inoci_buf_take(&rest);
	else
		inoci_buf_free(&rest);
	return inoci_buf_take(&first);
}
