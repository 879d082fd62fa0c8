/* agreement: what stands beside a figure that rests on a judge or a classifier: how far it agrees with people's labels. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

/* The next scorer of the trait's sums that rests on one, from *at on; each once. NULL: no more. */
static const inoci_checked *next(const inoci_results *r, const inoci_trait *t, size_t *at, const char **name)
{
	char *const *const list[] = {t->u, t->w, t->goal};
	const size_t n[] = {t->n_u, t->n_w, t->n_goal};
	for (; r->checked && *at < n[0] + n[1] + n[2]; ++*at) {
		size_t k = *at, l = 0;
		while (k >= n[l]) k -= n[l++];
		int scorer = inoci_results_scorer(r, list[l][k]);
		bool before = false;
		for (size_t i = 0; i <= l; i++)
			for (size_t j = 0; j < n[i] && !(i == l && j >= k); j++) before |= !strcmp(list[i][j], list[l][k]);
		if (scorer < 0 || before || !r->checked[scorer].n_judges) continue;
		*name = list[l][k];
		++*at;
		return &r->checked[scorer];
	}
	return NULL;
}

bool inoci_report_for_headline(const inoci_results *r, int trait)
{
	const char *name;
	bool enough = true;
	size_t at = 0;
	for (const inoci_checked *c; (c = next(r, &r->e->traits[trait], &at, &name));) enough &= inoci_checked_enough(c);
	return enough;
}

/* "kappa 0.75 [0.60, 0.88], 50 rows" */
static void put_kappa(inoci_buf *b, const inoci_checked *c)
{
	inoci_buf_puts(b, "kappa ");
	if (isnan(c->kappa.value))
		inoci_buf_puts(b, "undefined");
	else
		inoci_buf_printf(b, "%.2f [%.2f, %.2f]", c->kappa.value, c->kappa.low, c->kappa.high);
	inoci_buf_printf(b, ", %ld %s", c->n, c->held_out ? "held-out rows of its own training data" : "rows");
	if (c->n_judges - c->n_unchecked > 1) inoci_buf_printf(b, ", the least of its %d judges", c->n_judges - c->n_unchecked);
}

void inoci_put_agreement(inoci_buf *b, const inoci_results *r, int trait)
{
	const char *name;
	size_t at = 0;
	for (const inoci_checked *c; (c = next(r, &r->e->traits[trait], &at, &name));) {
		bool some = c->n_unchecked && c->n_unchecked < c->n_judges, several = some && c->n_unchecked > 1;
		char *which = some ? inoci_asprintf("%d of the %d judges of %s", c->n_unchecked, c->n_judges, name)
		                   : inoci_asprintf("scorer %s", name);
		if (c->n_unchecked)
			inoci_buf_printf(b, " Not for a headline: nothing says how well %s agree%s with people.", which,
			                 several ? "" : "s");
		else if (inoci_checked_enough(c)) {
			inoci_buf_printf(b, " Scorer %s agrees with people: ", name);
			put_kappa(b, c);
			inoci_buf_puts(b, ".");
		} else {
			inoci_buf_printf(b, " Not for a headline: %s agrees too little with people: ", which);
			put_kappa(b, c);
			inoci_buf_printf(b, "; %.1f is needed.", INOCI_KAPPA_HEADLINE);
		}
		free(which);
	}
}

char *inoci_verdict_shown(const inoci_results *r, const inoci_judgement *j)
{
	bool marked = j && j->v.verdict != INOCI_VERDICT_NONE && !inoci_report_for_headline(r, j->trait);
	return inoci_asprintf("%s%s", inoci_verdict_words(j), marked ? " (not for a headline)" : "");
}

json_t *inoci_agreement_json(const inoci_results *r)
{
	json_t *all = json_array();
	for (int k = 0; r->checked && k < r->n_scorers; k++) {
		if (!r->checked[k].n_judges) continue;
		json_t *j = inoci_checked_json(&r->checked[k]);
		json_object_set_new(j, "scorer", json_string(r->scorers[k]));
		json_object_set_new(j, "for_headline", json_boolean(inoci_checked_enough(&r->checked[k])));
		json_array_append_new(all, j);
	}
	return all;
}
