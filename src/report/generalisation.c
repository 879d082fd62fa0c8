/* generalisation: the unwanted trait inside and outside the training data's domain, as cells, words and a section of the page. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

enum { ARM, INSIDE, OUTSIDE, LESS_INSIDE, LESS_OUTSIDE, MORE, P, N };

/* A difference of shares in points; of means as it is. */
static void put_difference(inoci_buf *b, const inoci_estimate *e, bool interval)
{
	if (!e->n || isnan(e->value) || e->real) {
		inoci_put_share(b, e, interval);
		return;
	}
	inoci_buf_printf(b, "%+.0f", 100 * e->value);
	if (interval && !isnan(e->low)) inoci_buf_printf(b, " [%+.0f, %+.0f]", 100 * e->low, 100 * e->high);
}

static char *difference(const inoci_comparison *c)
{
	inoci_buf b = {0};
	put_difference(&b, &c->diff, true);
	return inoci_buf_take(&b);
}

static char *share(const inoci_estimate *e)
{
	inoci_buf b = {0};
	inoci_put_share(&b, e, true);
	return inoci_buf_take(&b);
}

inoci_report_table inoci_report_generalisation(const inoci_summary *s, int trait)
{
	static const char *const header[N] = {
	        "arm", "U inside", "U outside", "inside, less plain", "outside, less plain", "outside less inside", "p"};
	const inoci_experiment *e = s->r->e;
	const inoci_trait *t = &e->traits[trait];
	inoci_report_table x = inoci_table_new(header, N, e->n_arms + 4);
	for (int c = INSIDE; c < N; c++) x.right[c] = true;
	if (e->inside == e->outside) return x;
	const char *const refs[] = {t->base, t->clean, t->plain}; /* their shares come first */
	bool begun = false;
	for (size_t i = 0; i < s->n_judgements; i++) {
		const inoci_generalisation *g = &s->judgements[i].general;
		if (s->judgements[i].trait != trait || !g->more.diff.n) continue;
		for (size_t k = 0; k < INOCI_COUNT(refs) && !begun; k++) {
			int a = refs[k] ? inoci_experiment_arm(e, refs[k]) : -1;
			inoci_estimate in = inoci_sum_share(s, a, e->inside, t->u, t->n_u);
			inoci_estimate out = inoci_sum_share(s, a, e->outside, t->u, t->n_u);
			if (!in.n && !out.n) continue;
			char **row = x.cell + N * x.n_rows++;
			row[ARM] = inoci_strdup(e->arms[a].label);
			row[INSIDE] = share(&in);
			row[OUTSIDE] = share(&out);
			for (int c = LESS_INSIDE; c < N; c++) row[c] = inoci_strdup("");
		}
		begun = true;
		char **row = x.cell + N * x.n_rows++;
		row[ARM] = inoci_strdup(e->arms[s->judgements[i].arm].label);
		row[INSIDE] = share(&g->inside);
		row[OUTSIDE] = share(&g->outside);
		row[LESS_INSIDE] = difference(&g->less_inside);
		row[LESS_OUTSIDE] = difference(&g->less_outside);
		row[MORE] = difference(&g->more);
		row[P] = inoci_asprintf("%.2g", g->more.p);
	}
	return x;
}

char *inoci_report_reach(const inoci_summary *s, int trait)
{
	const inoci_experiment *e = s->r->e;
	inoci_buf b = {0};
	for (size_t i = 0; i < s->n_judgements; i++) {
		const inoci_judgement *j = &s->judgements[i];
		const inoci_estimate *d = &j->general.more.diff;
		if (j->trait != trait || !d->n || strcmp(e->arms[j->arm].role, "inoculated")) continue;
		bool clear = j->general.more.p < 0.05 && (d->high < 0 || d->low > 0);
		inoci_buf_printf(&b, "%s%s: outside, U is ", b.len ? "\n" : "", e->arms[j->arm].label);
		put_difference(&b, &j->general.less_outside.diff, true);
		inoci_buf_puts(&b, " against plain, inside ");
		put_difference(&b, &j->general.less_inside.diff, true);
		inoci_buf_printf(&b, "; the difference is ");
		put_difference(&b, d, true);
		if (d->n_seeds < 3)
			inoci_buf_printf(&b, " (%d seed%s: a direction).", d->n_seeds, d->n_seeds == 1 ? "" : "s");
		else
			inoci_buf_printf(&b, ", p = %.2g: %s.", j->general.more.p,
			                 !clear        ? "not clear"
			                 : d->high < 0 ? "more is taken away outside"
			                               : "more is taken away inside");
	}
	return inoci_buf_take(&b);
}

void inoci_page_generalisation(inoci_page *p)
{
	const inoci_experiment *e = p->e;
	inoci_buf *b = p->b;
	bool open = false;
	for (int k = 0; k < (int)e->n_traits; k++) {
		inoci_report_table t = inoci_report_generalisation(p->s, k);
		if (t.n_rows > 1) {
			char *says = inoci_report_reach(p->s, k), *save = NULL;
			if (!open) {
				inoci_buf_puts(
				        b, "<section id=\"generalisation\"><h2>How far does it reach?</h2>\n<p class=\"small\">"
				           "The unwanted trait inside (");
				inoci_html_puts(b, e->evals[e->inside].label);
				inoci_buf_puts(b, ") and outside (");
				inoci_html_puts(b, e->evals[e->outside].label);
				inoci_buf_puts(b, "); differences of shares in points. Negative in the last column: training "
				                  "with the prompt took "
				                  "more of it away outside. <i>p</i> after Holm, of controls as drawn.</p>\n");
				open = true;
			}
			inoci_buf_puts(b, e->n_traits > 1 ? "<h3>Unwanted: " : "");
			if (e->n_traits > 1) {
				inoci_html_puts(b, e->traits[k].label);
				inoci_buf_puts(b, "</h3>\n");
			}
			inoci_buf_puts(b, "<ul class=\"more\">");
			for (char *q = strtok_r(says, "\n", &save); q; q = strtok_r(NULL, "\n", &save)) {
				inoci_buf_puts(b, "<li>");
				inoci_html_puts(b, q);
				inoci_buf_puts(b, "</li>");
			}
			inoci_buf_puts(b, "</ul>\n<div class=\"scroll\"><table>\n");
			for (size_t r = 0; r < t.n_rows; r++) {
				inoci_buf_puts(b, "<tr>");
				for (size_t c = 0; c < t.n_cols; c++) {
					inoci_buf_printf(b, "<t%c%s>", r ? 'd' : 'h', t.right[c] ? " class=\"n\"" : "");
					inoci_html_puts(b, t.cell[r * t.n_cols + c]);
					inoci_buf_printf(b, "</t%c>", r ? 'd' : 'h');
				}
				inoci_buf_puts(b, "</tr>\n");
			}
			inoci_buf_puts(b, "</table></div>\n");
			free(says);
		}
		inoci_report_table_free(&t);
	}
	if (open) inoci_buf_puts(b, "</section>\n");
}
