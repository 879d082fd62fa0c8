/* table: the verdicts and the shares as cells, and as Markdown. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

inoci_report_table inoci_table_new(const char *const *header, size_t n_cols, size_t max_rows)
{
	inoci_report_table t = {.cell = inoci_alloc((max_rows + 1) * n_cols * sizeof(char *)),
	                        .right = inoci_alloc(n_cols * sizeof(bool)),
	                        .n_rows = 1,
	                        .n_cols = n_cols};
	for (size_t c = 0; c < n_cols; c++) t.cell[c] = inoci_strdup(header[c]);
	return t;
}

void inoci_report_table_free(inoci_report_table *t)
{
	for (size_t i = 0; i < t->n_rows * t->n_cols; i++) free(t->cell[i]);
	free(t->cell);
	free(t->right);
	*t = (inoci_report_table){0};
}

static char *share(const inoci_estimate *e, bool interval)
{
	inoci_buf b = {0};
	inoci_put_share(&b, e, interval);
	return inoci_buf_take(&b);
}

static char *ratio(const inoci_estimate *e)
{
	inoci_buf b = {0};
	inoci_put_ratio(&b, e);
	return inoci_buf_take(&b);
}

inoci_report_table inoci_report_verdicts(const inoci_summary *s)
{
	enum { TRAIT, ARM, U, W, GOAL, COUNT, QUALITY, OWN, SUPPRESSION, RETENTION, SELECTIVITY, VERDICT, N };
	const char *const header[N] = {
	        "trait",         "arm",         "U",         "W",           "goal",   "n", inoci_quality_head(s),
	        "U, own prompt", "suppression", "retention", "selectivity", "verdict"};
	const inoci_experiment *e = s->r->e;
	const inoci_estimate none = {0};
	inoci_report_table t = inoci_table_new(header, N, e->n_traits * (e->n_arms + 3));
	for (int c = U; c <= SELECTIVITY; c++) t.right[c] = true;
	for (int k = 0; k < (int)e->n_traits; k++) {
		inoci_lines l = inoci_lines_new(s, k);
		for (size_t i = 0; i < l.n; i++) {
			const inoci_line *v = &l.v[i];
			const inoci_verdict_out *o = v->j ? &v->j->v : NULL;
			char **row = t.cell + N * t.n_rows++;
			row[TRAIT] = inoci_strdup(e->traits[k].label);
			row[ARM] = inoci_strdup(e->arms[v->arm].label);
			row[U] = share(&v->u, true);
			row[W] = share(&v->w, true);
			row[GOAL] = share(&v->goal, true);
			row[COUNT] = inoci_asprintf("%d", v->u.n);
			row[QUALITY] = inoci_quality(s, v->arm);
			row[OWN] = share(o ? &o->own_u : &none, true);
			row[SUPPRESSION] = ratio(o ? &o->suppression : &none);
			row[RETENTION] = ratio(o ? &o->retention : &none);
			row[SELECTIVITY] = ratio(o ? &o->selectivity : &none);
			row[VERDICT] = inoci_verdict_shown(s->r, v->j);
		}
		free(l.v);
	}
	return t;
}

inoci_report_table inoci_report_rates(const inoci_summary *s, int eval, bool intervals)
{
	const inoci_results *r = s->r;
	size_t n_cols = 1;
	const char **header = inoci_alloc(((size_t)r->n_scorers + 3) * sizeof *header);
	header[0] = "arm";
	for (int k = 0; k < r->n_scorers; k++)
		if (inoci_results_fits(r, k, eval)) header[n_cols++] = r->scorers[k];
	n_cols += 2;
	header[n_cols - 2] = "n";
	header[n_cols - 1] = "missing";
	inoci_report_table t = inoci_table_new(header, n_cols, r->e->n_arms);
	free(header);
	for (size_t c = 1; c < n_cols; c++) t.right[c] = true;
	for (int a = 0; a < (int)r->e->n_arms; a++) {
		const inoci_result_cell *cell = inoci_results_cell(r, a, eval);
		if (!cell->n) continue;
		char **row = t.cell + n_cols * t.n_rows++;
		int missing = 0, n = 0;
		size_t col = 0;
		row[col++] = inoci_strdup(r->e->arms[a].label);
		for (int k = 0; k < r->n_scorers; k++) {
			if (!inoci_results_fits(r, k, eval)) continue;
			const inoci_estimate *e = &inoci_summary_rate(s, a, eval, k)->all;
			row[col++] = share(e, intervals);
			if (e->missing > missing) missing = e->missing;
			if (e->n + e->missing > n) n = e->n + e->missing;
		}
		row[n_cols - 2] = inoci_asprintf("%d", n);
		row[n_cols - 1] = inoci_asprintf("%d", missing);
	}
	return t;
}

int inoci_report_expectations(const inoci_summary *s, inoci_buf *out, inoc_err *err)
{
	size_t unmet = inoci_summary_unmet(s);
	for (size_t i = 0; i < s->n_met; i++)
		inoci_buf_printf(out, "%s%s\n", s->met[i].met ? "met      " : "NOT MET  ", s->met[i].text);
	if (!unmet) return 0;
	return inoci_err_set(err, INOC_E_CHECK, "%zu of %zu expectations of the experiment %s not met", unmet, s->n_met,
	                     unmet == 1 ? "is" : "are");
}

/* ---- Markdown ---- */

/* A cell's text: what would end the cell or start markup is escaped. */
static void md_text(inoci_buf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == '\n' || *s == '\r') {
			inoci_buf_puts(b, " ");
			continue;
		}
		if (strchr("|\\`*<>[]", *s)) inoci_buf_puts(b, "\\");
		inoci_buf_append(b, s, 1);
	}
}

static void md_table(inoci_buf *b, const inoci_report_table *t)
{
	for (size_t r = 0; r < t->n_rows; r++) {
		inoci_buf_puts(b, "|");
		for (size_t c = 0; c < t->n_cols; c++) {
			const char *s = t->cell[r * t->n_cols + c];
			inoci_buf_puts(b, " ");
			/* an interval's brackets start no link: nothing follows them */
			if (t->right[c] && r)
				inoci_buf_puts(b, s);
			else
				md_text(b, s);
			inoci_buf_puts(b, " |");
		}
		inoci_buf_puts(b, "\n");
		if (r) continue;
		inoci_buf_puts(b, "|");
		for (size_t c = 0; c < t->n_cols; c++) inoci_buf_puts(b, t->right[c] ? "---:|" : "---|");
		inoci_buf_puts(b, "\n");
	}
}

/* A table of a trait under its heading and what it says; nothing where it has no rows. Frees both. */
static void md_section(inoci_buf *b, const char *what, const char *label, char *says, const char *note, inoci_report_table t)
{
	if (t.n_rows > 1) {
		inoci_buf_printf(b, "\n## %s: ", what);
		md_text(b, label);
		inoci_buf_puts(b, "\n\n");
		md_text(b, says);
		inoci_buf_printf(b, "\n\n%s", note);
		md_table(b, &t);
	}
	inoci_report_table_free(&t);
	free(says);
}

void inoci_report_markdown(const inoci_summary *s, inoci_buf *out)
{
	const inoci_experiment *e = s->r->e;
	char *more, *head = inoci_report_headline(s, &more);
	inoci_buf_puts(out, "# ");
	md_text(out, e->title ? e->title : e->name);
	inoci_buf_puts(out, "\n\n");
	if (e->question) {
		md_text(out, e->question);
		inoci_buf_puts(out, "\n\n");
	}
	inoci_buf_puts(out, "**");
	md_text(out, head);
	inoci_buf_puts(out, "**\n");
	for (char *p = more, *q; p && *p; p = q) {
		q = strchr(p, '\n');
		if (q)
			*q++ = 0;
		else
			q = p + strlen(p);
		inoci_buf_puts(out, "\n");
		md_text(out, p);
		inoci_buf_puts(out, "\n");
	}
	if (e->n_traits) {
		char *w = inoci_eval_words(&e->evals[s->headline]);
		inoci_report_table t = inoci_report_verdicts(s);
		inoci_buf_puts(out, "\n## Verdicts\n\nRead on ");
		md_text(out, w);
		inoci_buf_printf(out, "; %s in brackets.\n\n", inoci_ci_words(s->r));
		md_table(out, &t);
		inoci_report_table_free(&t);
		free(w);
	}
	if (s->n_met) inoci_buf_puts(out, "\n## Expectations\n\n");
	for (size_t i = 0; i < s->n_met; i++) {
		inoci_buf_puts(out, s->met[i].met ? "- met: " : "- **not met**: ");
		md_text(out, s->met[i].text);
		inoci_buf_puts(out, "\n");
	}
	for (int k = 0; k < (int)e->n_traits; k++)
		md_section(out, "Generalisation", e->traits[k].label, inoci_report_reach(s, k), "",
		           inoci_report_generalisation(s, k));
	for (int k = 0; k < (int)e->n_planes; k++)
		md_section(out, "Plane", e->planes[k].label, inoci_asprintf("Arms, with %s in brackets.", inoci_ci_words(s->r)),
		           "", inoci_report_plane(s, k));
	for (int k = 0; k < (int)e->n_traits; k++)
		md_section(out, "Leakage", e->traits[k].label, inoci_report_leaks(s, k),
		           "Shares by system prompt; ^: clearly above the arm's share without one.\n\n",
		           inoci_report_leakage(s, k, true));
	for (int k = 0; k < (int)e->n_evals; k++) {
		if (inoci_experiment_grid(e, k)) continue;
		inoci_report_table t = inoci_report_rates(s, k, true);
		if (t.n_rows > 1) {
			char *w = inoci_eval_words(&e->evals[k]);
			inoci_buf_puts(out, "\n## ");
			md_text(out, e->evals[k].label);
			inoci_buf_printf(out, "\n\n%s of ", inoci_shares_word(s->r));
			md_text(out, w);
			if (s->r->ci == INOCI_CI_PAPER) inoci_buf_printf(out, "; %s in brackets", inoci_ci_words(s->r));
			inoci_buf_puts(out, ".\n\n");
			md_table(out, &t);
			free(w);
		}
		inoci_report_table_free(&t);
	}
	free(head);
	free(more);
}
