/* page_leakage: the heat map of a trait: system prompts down, arms across. Its colour runs from the page's own to one dark tone,
 * so that it reads in black and white; the numbers stand in the cells. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

enum { DARK_PERCENT = 65 }; /* from here on the ink is light */

static bool shown(const inoci_summary *s, int trait, int arm, int row)
{
	for (size_t i = 0; i < s->n_leaks; i++) {
		const inoci_leak *l = &s->leaks[i];
		if (l->trait == trait && (arm < 0 || l->arm == arm) && (row < 0 || l->row == row)) return true;
	}
	return false;
}

/* Whether the arm was trained with this prompt. */
static bool is_own(const inoci_arm *a, const inoci_grid_row *row)
{
	for (size_t i = 0; row->text && a->has_inoculation && i < a->inoculation.n_pool; i++)
		if (!strcmp(a->inoculation.pool[i], row->text)) return true;
	return false;
}

/* What the colour runs over: 0 to 1 of shares; of other numbers from the trait's least cell to its greatest. */
typedef struct {
	bool real;
	double low, high;
} scale;

static scale scale_of(const inoci_summary *s, int trait)
{
	scale c = {.low = 0, .high = 1};
	for (size_t i = 0; i < s->n_leaks; i++) {
		const inoci_leak *l = &s->leaks[i];
		if (l->trait != trait || !l->u.n || !l->u.real) continue;
		if (!c.real || l->u.value < c.low) c.low = l->u.value;
		if (!c.real || l->u.value > c.high) c.high = l->u.value;
		c.real = true;
	}
	return c;
}

static void difference(inoci_buf *b, const inoci_estimate *e)
{
	if (e->real) {
		inoci_buf_printf(b, "%+.3g [%+.3g, %+.3g]", e->value, e->low, e->high);
		return;
	}
	inoci_buf_printf(b, "%+.0f [%+.0f, %+.0f]", 100 * e->value, 100 * e->low, 100 * e->high);
}

static void heat_cell(inoci_page *p, int trait, int arm, int row, const scale *c)
{
	inoci_buf *b = p->b, tip = {0};
	const inoci_leak *l = inoci_leak_at(p->s, trait, arm, row);
	if (!l || !l->u.n) {
		inoci_buf_puts(b, "<td class=\"none\">\xe2\x80\x93</td>");
		return;
	}
	double span = c->high - c->low;
	int percent = span > 0 ? (int)lround(100 * fmin(fmax((l->u.value - c->low) / span, 0), 1)) : 0;
	inoci_put_share(&tip, &l->u, true);
	inoci_buf_printf(&tip, ", n = %d", l->u.n);
	if (l->u.missing) inoci_buf_printf(&tip, " (%d not scored)", l->u.missing);
	if (l->vs_none.diff.n) {
		inoci_buf_puts(&tip, c->real ? "; minus no system prompt: " : "; minus no system prompt, in points: ");
		difference(&tip, &l->vs_none.diff);
	}
	inoci_buf_printf(b, "<td class=\"%s%s%s\" style=\"--v:%d%%\" title=\"", percent >= DARK_PERCENT ? "hi" : "lo",
	                 is_own(&p->e->arms[arm], &p->e->grid[row]) ? " own" : "", l->back ? " back" : "", percent);
	inoci_html_puts(b, tip.data);
	inoci_buf_puts(b, "\">");
	inoci_buf_clear(&tip);
	inoci_put_share(&tip, &l->u, false);
	if (!c->real) tip.data[tip.len - 2] = 0; /* without its " %" */
	inoci_html_puts(b, tip.data);
	inoci_buf_puts(b, l->back ? "<sup>\xe2\x96\xb2</sup></td>" : "</td>");
	inoci_buf_free(&tip);
}

static void heat_map(inoci_page *p, int trait)
{
	inoci_buf *b = p->b;
	const inoci_experiment *e = p->e;
	scale c = scale_of(p->s, trait);
	inoci_buf_puts(b, "<div class=\"scroll\"><table class=\"heat\"><tr><th>system prompt at evaluation</th>");
	for (int a = 0; a < (int)e->n_arms; a++) {
		if (!shown(p->s, trait, a, -1)) continue;
		inoci_buf_puts(b, "<th class=\"c\">");
		inoci_html_puts(b, e->arms[a].label);
		inoci_buf_puts(b, "</th>");
	}
	inoci_buf_puts(b, "</tr>\n");
	for (int i = 0; i < (int)e->n_grid; i++) {
		if (!shown(p->s, trait, -1, i)) continue;
		char *w = inoci_grid_words(e, &e->grid[i], false);
		inoci_buf_puts(b, "<tr><th scope=\"row\">");
		inoci_html_puts(b, w);
		if (e->grid[i].text) {
			inoci_buf_puts(b, "<span class=\"says\">\xe2\x80\x9c");
			inoci_html_puts(b, e->grid[i].text);
			inoci_buf_puts(b, "\xe2\x80\x9d</span>");
		}
		inoci_buf_puts(b, "</th>");
		for (int a = 0; a < (int)e->n_arms; a++)
			if (shown(p->s, trait, a, -1)) heat_cell(p, trait, a, i, &c);
		inoci_buf_puts(b, "</tr>\n");
		free(w);
	}
	inoci_buf_puts(b, "</table></div>\n<p class=\"small key\"><span class=\"scale\"></span> ");
	if (c.real)
		inoci_buf_printf(b, "%.3g to %.3g, the least and the greatest cell. ", c.low, c.high);
	else
		inoci_buf_puts(b, "0 to 100 % of the answers show the trait. ");
	inoci_buf_puts(b, "Framed: a prompt the arm was trained with. \xe2\x96\xb2: clearly more than the same arm without "
	                  "a system prompt (p after Holm under 0.05, interval above 0; inoculated arms only). A cell's interval "
	                  "and n: hold the pointer on it, or in the table.</p>\n");
}

static void details(inoci_page *p, int trait)
{
	inoci_buf *b = p->b;
	const inoci_experiment *e = p->e;
	inoci_buf_printf(b,
	                 "<details><summary>Every cell with its interval and n</summary><div class=\"scroll\"><table><tr>"
	                 "<th>system prompt</th><th>arm</th><th class=\"n\">U</th><th class=\"n\">n</th>"
	                 "<th class=\"n\">not scored</th><th class=\"n\">minus none%s</th><th class=\"n\">p</th></tr>\n",
	                 scale_of(p->s, trait).real ? "" : ", points");
	for (size_t i = 0; i < p->s->n_leaks; i++) {
		const inoci_leak *l = &p->s->leaks[i];
		if (l->trait != trait) continue;
		char *w = inoci_grid_words(e, &e->grid[l->row], true);
		inoci_buf_puts(b, "<tr><td>");
		inoci_html_puts(b, w);
		inoci_buf_puts(b, "</td><td>");
		inoci_html_puts(b, e->arms[l->arm].label);
		inoci_buf_puts(b, "</td>");
		inoci_page_share_cell(b, &l->u);
		inoci_buf_printf(b, "<td class=\"n\">%d</td><td class=\"n\">%d</td><td class=\"n\">", l->u.n, l->u.missing);
		if (l->vs_none.diff.n) {
			difference(b, &l->vs_none.diff);
			inoci_buf_printf(b, "</td><td class=\"n\">%.4f</td></tr>\n", l->vs_none.p);
		} else
			inoci_buf_puts(b, "\xe2\x80\x93</td><td class=\"n\">\xe2\x80\x93</td></tr>\n");
		free(w);
	}
	inoci_buf_puts(b, "</table></div></details>\n");
}

/* How alike the prompts of the trait's pools, and those held out, are. */
static void similarity(inoci_page *p, int trait)
{
	const inoci_experiment *e = p->e;
	char **held = inoci_alloc((e->n_grid + 1) * sizeof *held);
	size_t n = 0;
	for (size_t i = 0; i < e->n_grid; i++)
		if (e->grid[i].kind == INOCI_GRID_HELD_OUT && !strcmp(e->grid[i].trait, e->traits[trait].name))
			held[n++] = e->grid[i].text;
	for (int a = 0; a < (int)e->n_arms && n; a++) {
		const inoci_arm *x = &e->arms[a];
		if (!x->has_inoculation || !shown(p->s, trait, a, -1) || !inoci_experiment_asks(e, x, &e->traits[trait]))
			continue;
		inoci_buf_puts(p->b, "<p class=\"small\">Wording: the held-out paraphrases are ");
		inoci_buf_printf(p->b, "%.2f alike to what ",
		                 inoci_similarity(x->inoculation.pool, x->inoculation.n_pool, held, n));
		inoci_html_puts(p->b, x->label);
		inoci_buf_puts(p->b, " was trained with");
		if (x->inoculation.n_pool > 1)
			inoci_buf_printf(p->b, ", whose %zu prompts are %.2f alike among themselves", x->inoculation.n_pool,
			                 inoci_similarity(x->inoculation.pool, x->inoculation.n_pool, NULL, 0));
		inoci_buf_puts(p->b, " (mean cosine of counts of three letters; 1: the same).</p>\n");
	}
	free(held);
}

void inoci_page_leakage(inoci_page *p)
{
	inoci_buf *b = p->b;
	const inoci_experiment *e = p->e;
	if (!p->s->n_leaks) return;
	const inoci_estimate *most = &p->s->leaks[0].u;
	for (size_t i = 0; i < p->s->n_leaks; i++)
		if (p->s->leaks[i].u.n > most->n) most = &p->s->leaks[i].u;
	inoci_buf_puts(
	        b, "<section id=\"leakage\"><h2>Where does the suppressed trait come back?</h2>\n<p class=\"small\">Shares of "
	           "answers with the unwanted trait in percent, or the mean of its scores, by the system prompt they were given");
	inoci_buf_printf(b, "; up to %d answers a cell: %d seed%s, %d questions.</p>\n", most->n, most->n_seeds,
	                 most->n_seeds == 1 ? "" : "s", most->n_prompts);
	for (int k = 0; k < (int)e->n_traits; k++) {
		if (!shown(p->s, k, -1, -1)) continue;
		char *found = inoci_report_leaks(p->s, k), *save = NULL;
		inoci_buf_puts(b, "<h3>Unwanted: ");
		inoci_html_puts(b, e->traits[k].label);
		inoci_buf_puts(b, "</h3>\n<ul class=\"more\">");
		for (char *q = strtok_r(found, "\n", &save); q; q = strtok_r(NULL, "\n", &save)) {
			inoci_buf_puts(b, "<li>");
			inoci_html_puts(b, q);
			inoci_buf_puts(b, "</li>");
		}
		inoci_buf_puts(b, "</ul>\n");
		heat_map(p, k);
		similarity(p, k);
		details(p, k);
		free(found);
	}
	for (size_t i = 0; i < e->n_notes; i++) {
		if (strncmp(e->notes[i], "grid: ", 6)) continue;
		inoci_buf_puts(b, "<p class=\"small\">");
		inoci_html_puts(b, e->notes[i] + 6);
		inoci_buf_puts(b, ".</p>\n");
	}
	inoci_buf_puts(b, "</section>\n");
}
