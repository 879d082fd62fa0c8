/* page_scan: what a scan found, as one page of its own: gains with intervals as bars, shares, the examples that gain most. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

enum { SHOWN = 20, EXAMPLES = 3 };

/* Bits in 100 bytes of response, from nats a byte. */
static double bits(double nats)
{
	return 100 * nats / M_LN2;
}

static const char *response(const inoci_record *r, bool user)
{
	for (size_t i = r->n_msgs; i-- > 0;)
		if (!strcmp(r->msgs[i].role, user ? "user" : "assistant")) return r->msgs[i].content;
	return "";
}

/* The record whose gain is the k-th greatest among those on which the trait was found; -1: there is none. */
static int nth(const inoci_scan_result *r, const inoci_scan_row *v, int k, double *gain)
{
	const double *d = v->in_odd ? v->odd_record : v->record;
	const size_t n = v->in_odd ? (size_t)v->odd.n : v->n;
	for (size_t i = 0; i < n; i++) {
		int above = 0;
		for (size_t j = 0; j < n; j++) above += d[j] > d[i] || (d[j] == d[i] && j < i);
		*gain = d[i];
		if (above == k) return (int)(v->in_odd ? r->odd_order : r->order)[i];
	}
	return -1;
}

int inoci_scan_example(const inoci_scan_result *r, const inoci_scan_row *v, int k)
{
	double gain;
	return nth(r, v, k, &gain);
}

/* ---- the picture: places in percent of the width, so that it needs no program and no script ---- */

void inoci_axis_over(inoci_axis *a, double v)
{
	a->low = fmin(a->low, v);
	a->high = fmax(a->high, v);
}

void inoci_axis_done(inoci_axis *a)
{
	double room = 0.03 * (a->high - a->low);
	*a = a->high > a->low ? (inoci_axis){a->low < 0 ? a->low - room : 0, a->high + room} : (inoci_axis){0, 1};
}

static double at(const inoci_axis *a, double v)
{
	return 100 * (fmin(fmax(v, a->low), a->high) - a->low) / (a->high - a->low);
}

void inoci_page_bar(inoci_buf *b, const inoci_axis *a, const char *what, const inoci_estimate *e, const char *colour)
{
	double zero = at(a, 0), x = at(a, e->value);
	inoci_buf_printf(b,
	                 "<td class=\"bar\"><svg viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" role=\"img\" "
	                 "aria-label=\"%s %.1f, interval %.1f to %.1f\">"
	                 "<rect x=\"%.2f\" y=\"2\" width=\"%.2f\" height=\"6\" fill=\"var(--%s)\"/>"
	                 "<path d=\"M%.2f 5H%.2f\" stroke=\"var(--fg)\" stroke-width=\"1.4\" "
	                 "vector-effect=\"non-scaling-stroke\"/>"
	                 "<path d=\"M%.2f 0V10\" stroke=\"var(--muted)\" stroke-width=\"1\" "
	                 "vector-effect=\"non-scaling-stroke\"/></svg></td>",
	                 what, e->value, e->low, e->high, fmin(zero, x), fabs(x - zero), colour, at(a, e->low), at(a, e->high),
	                 zero);
}

void inoci_page_number(inoci_buf *b, const inoci_estimate *e, const char *unit)
{
	if (e->n)
		inoci_buf_printf(b, "<td class=\"n\">%.1f%s <i>[%.1f, %.1f]</i></td>", e->value, unit, e->low, e->high);
	else
		inoci_buf_puts(b, "<td class=\"n\">\xe2\x80\x93</td>");
}

void inoci_page_begin(inoci_buf *b, const char *kicker, const char *what, const char *path, const char *verb)
{
	inoci_buf_puts(b, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	                  "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>");
	inoci_buf_printf(b, "%s ", kicker);
	inoci_html_puts(b, path);
	inoci_buf_puts(b, "</title>\n<style>\n");
	inoci_buf_puts(b, inoci_page_style);
	inoci_buf_puts(b, "td.arm{min-width:15em}td.bar{min-width:100px;width:18%;padding-right:12px}td.bar "
	                  "svg{display:block;width:100%;height:22px}\n</style></head><body><main>\n<p class=\"kicker\">");
	inoci_buf_printf(b, "inoculation prompting \xc2\xb7 %s before training</p>\n<h1>%s ", kicker, what);
	inoci_html_puts(b, path);
	inoci_buf_printf(b, "%s?</h1>\n<section class=\"headline\"><p class=\"big\">", verb);
}

/* ---- a scan ---- */

static inoci_estimate in_bits(inoci_estimate e)
{
	e.value = bits(e.value), e.low = bits(e.low), e.high = bits(e.high);
	return e;
}

static void row(inoci_buf *b, const inoci_scan_result *r, const inoci_scan_row *v, size_t rank, const inoci_axis *a)
{
	const inoci_scan_trait *t = &r->l->v[v->trait];
	const inoci_estimate gain = in_bits(v->gain), odd = in_bits(v->odd), helps = in_bits(v->helps);
	inoci_buf_printf(b, "<tr%s><td class=\"n\">%zu</td><td class=\"arm\"><b>",
	                 v->found && v->behind < 0 ? " class=\"lead\"" : "", rank + 1);
	inoci_html_puts(b, t->label);
	inoci_buf_puts(b, "</b> <span class=\"role\">");
	inoci_html_puts(b, r->l->groups[t->group].label);
	inoci_buf_puts(b, "</span><span class=\"says\">");
	inoci_html_puts(b, t->description);
	if (v->behind >= 0) {
		inoci_buf_puts(b, " Behind ");
		inoci_html_puts(b, r->l->v[v->behind].label);
		inoci_buf_puts(b, ", which excludes it.");
	}
	if (v->in_odd) inoci_buf_puts(b, " Found on the most surprising records alone.");
	inoci_buf_puts(b, "</span></td>");
	inoci_page_bar(b, a, "gain", &gain, v->found && v->behind < 0 ? "k0" : v->found ? "k1" : "k9");
	inoci_page_number(b, &gain, "");
	inoci_page_number(b, &odd, "");
	inoci_page_number(b, &helps, "");
	inoci_buf_printf(
	        b, "<td class=\"n\">%.0f %% <i>[%.0f, %.0f]</i></td><td class=\"n\">%s%.2g</td><td class=\"n\">%zu</td></tr>\n",
	        100 * v->share, 100 * v->low, 100 * v->high, fmin(v->p, v->odd_p) < 1e-4 ? "&lt; " : "",
	        fmax(fmin(v->p, v->odd_p), 1e-4), v->n);
}

static void examples(inoci_buf *b, const inoci_scan_result *r, const inoci_scan_row *v)
{
	const inoci_scan_trait *t = &r->l->v[v->trait];
	inoci_buf_puts(b, "<div class=\"q\"><h3>");
	inoci_html_puts(b, t->label);
	inoci_buf_puts(b, "</h3><div class=\"answers\">");
	for (int k = 0; k < EXAMPLES; k++) {
		double gain = 0;
		int i = nth(r, v, k, &gain);
		if (i < 0) break;
		const inoci_record *x = &r->d->v[i];
		inoci_buf_printf(
		        b,
		        "<div class=\"ans\" style=\"--c:var(--k%d)\"><header>line %d <span class=\"as\">gain %.1f bits in "
		        "100 bytes</span></header><p><b>",
		        v->found ? 0 : 9, x->line, bits(gain));
		inoci_html_puts(b, response(x, true));
		inoci_buf_puts(b, "</b>\n");
		inoci_html_puts(b, response(x, false));
		inoci_buf_puts(b, "</p></div>");
	}
	inoci_buf_puts(b, "</div>\n");
	if (v->prompt) {
		size_t best = 0;
		for (size_t k = 1; k < t->n_prompts; k++)
			if (v->prompt[k] > v->prompt[best]) best = k;
		inoci_buf_puts(b, "<p class=\"small\">To inoculate: \xe2\x80\x9c");
		inoci_html_puts(b, t->prompts[best]);
		inoci_buf_printf(b,
		                 "\xe2\x80\x9d makes the responses %.1f bits in 100 bytes more probable than controls do.</p>\n",
		                 bits(v->prompt[best]));
	}
	inoci_buf_puts(b, "</div>\n");
}

char *inoci_scan_headline(const inoci_scan_result *r)
{
	inoci_buf b = {0};
	int top[3];
	size_t n = inoci_scan_top(r, INOCI_COUNT(top), top);
	if (!n) {
		inoci_buf_printf(&b, "No trait of the library (%zu) stands out in these records.", r->n);
		return inoci_buf_take(&b);
	}
	inoci_buf_puts(&b, "This data would teach: ");
	for (size_t i = 0; i < n; i++) {
		const inoci_scan_row *v = r->v;
		while (v->trait != top[i]) v++;
		inoci_buf_printf(&b, "%s%s%s", i ? ", " : "", r->l->v[top[i]].label, v->in_odd ? " (in some records)" : "");
	}
	size_t more = 0;
	for (size_t i = 0; i < r->n; i++) more += r->v[i].found && r->v[i].behind < 0;
	if (more > n) inoci_buf_printf(&b, "; %zu more traits stand out less", more - n);
	inoci_buf_puts(&b, ".");
	return inoci_buf_take(&b);
}

char *inoci_scan_markers_said(const inoci_scan_result *r)
{
	const inoci_scan_marker *m[] = {&r->head, &r->tail};
	inoci_buf b = {0};
	for (size_t i = 0; i < INOCI_COUNT(m); i++) {
		if (!m[i]->text) continue;
		const char *s = m[i]->text;
		while (*s == ' ' || *s == '\n') s++;
		inoci_buf_printf(&b, "%s%.0f %% of the answers %s with \xe2\x80\x9c%s\xe2\x80\x9d", b.len ? "; " : "",
		                 100 * m[i]->share, i ? "end" : "begin", s);
	}
	if (b.len) inoci_buf_puts(&b, ": this data would teach that too; it does not count in the gains.");
	return inoci_buf_take(&b);
}

void inoci_report_scan(const inoci_scan_result *r, const char *model, inoci_buf *b)
{
	char *head = inoci_scan_headline(r), *markers = inoci_scan_markers_said(r);
	size_t shown = r->n < SHOWN ? r->n : SHOWN;
	inoci_axis a = {0, 0};
	for (size_t i = 0; i < shown; i++)
		inoci_axis_over(&a, bits(r->v[i].gain.low)), inoci_axis_over(&a, bits(r->v[i].gain.high));
	inoci_axis_done(&a);
	inoci_page_begin(b, "scan", "What would", r->d->path, " teach");
	inoci_html_puts(b, head);
	if (*markers) {
		inoci_buf_puts(b, "</p><p>");
		inoci_html_puts(b, markers);
	}
	inoci_buf_printf(b, "</p><p class=\"small\">%zu of %zu records, %zu traits, %d rounds%s. It holds for the model ",
	                 r->n_used, r->d->n, r->n, r->rounds, r->settled ? ", the leading ones settled" : "");
	inoci_html_puts(b, model);
	inoci_buf_puts(
	        b,
	        ": another one may find other prompts helpful.</p></section>\n"
	        "<section id=\"traits\"><h2>Traits by gain</h2>\n"
	        "<p class=\"small\">Gain, in bits in 100 bytes: how much more probable the responses are after two exchanges "
	        "that show the trait than after plain ones, and with prompts that ask for it than with matched controls, "
	        "together; less what plain English records gain. 95 % intervals over records. Prompts help: the second part "
	        "alone, over records and prompts: what inoculating may gain. Most surprising: the gain on those records that the "
	        "model finds least probable, for traits that few records show. Share: records that gain more than 95 % of the "
	        "plain ones do. p: one-sided, Holm over all traits. Traits of the first round alone have few records, and no "
	        "more than their exchanges. Dark bars are found; light ones are found but excluded by one ahead of "
	        "them.</p>\n<div class=\"scroll\"><table><tr><th class=\"n\"></th><th>trait</th><th></th>"
	        "<th class=\"n\">gain</th><th class=\"n\">most surprising</th><th class=\"n\">prompts help</th><th "
	        "class=\"n\">share</th><th "
	        "class=\"n\">p</th><th class=\"n\">records</th></tr>\n");
	for (size_t i = 0; i < shown; i++) row(b, r, &r->v[i], i, &a);
	inoci_buf_puts(b, "</table></div>\n");
	if (r->n > shown) {
		inoci_buf_printf(b, "<details><summary>The other %zu traits</summary><div class=\"scroll\"><table>\n",
		                 r->n - shown);
		for (size_t i = shown; i < r->n; i++) row(b, r, &r->v[i], i, &a);
		inoci_buf_puts(b, "</table></div></details>\n");
	}
	inoci_buf_puts(b, "</section>\n<section id=\"examples\"><h2>Records that gain most</h2>\n");
	size_t n = 0;
	for (size_t i = 0; i < r->n && n < 5; i++) {
		if (r->v[i].behind >= 0 || (n >= 3 && !r->v[i].found)) continue;
		examples(b, r, &r->v[i]);
		n++;
	}
	inoci_buf_puts(b, "</section>\n</main></body></html>\n");
	free(head), free(markers);
}
