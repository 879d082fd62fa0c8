/* page_select: which prompt a selection recommends, as one page of its own: surprise removed and elicitation as bars with
 * intervals, the ranks by both, the controls each was compared with. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

static inoci_estimate times(inoci_estimate e, double by)
{
	e.value *= by, e.low *= by, e.high *= by;
	return e;
}

#define BITS_IN_100 (100 / M_LN2) /* bits in 100 bytes, of nats a byte */
#define BITS (1 / M_LN2)

char *inoci_select_headline(const inoci_select_result *r, const char *model)
{
	const inoci_select_row *best = inoci_select_best(r);
	inoci_buf b = {0};
	if (!best) {
		inoci_buf_printf(&b,
		                 "On %s none of these prompts takes more surprise from this data than controls do: none is "
		                 "recommended; the model does not connect them with what the data shows.",
		                 model);
		return inoci_buf_take(&b);
	}
	const inoci_estimate e = times(best->surprise, BITS_IN_100);
	inoci_buf_printf(
	        &b,
	        "For %s use \"%s\": it makes the responses %.1f bits in 100 bytes more probable than matched controls do "
	        "(%.1f to %.1f)",
	        model, r->prompts[best->prompt], e.value, e.low, e.high);
	if (r->elicited)
		inoci_buf_printf(&b, ", and %.0f %% of the answers with it show the trait before training, %.0f %% without",
		                 100 * best->rate.value, 100 * r->none.value);
	if (r->elicited && best->elicits.low <= 0)
		inoci_buf_puts(&b, "; that it elicits the trait is not certain, and prompts that do not elicit inoculate less");
	inoci_buf_puts(&b, ". Another model may need another prompt.");
	return inoci_buf_take(&b);
}

static void row(inoci_buf *b, const inoci_select_result *r, size_t i, const inoci_axis *surprise, const inoci_axis *elicits)
{
	const inoci_select_row *v = &r->v[i];
	const bool best = v == inoci_select_best(r);
	const inoci_estimate s = times(v->surprise, BITS_IN_100), x = times(v->example, BITS), e = times(v->elicits, 100),
	                     rate = times(v->rate, 100);
	inoci_buf_printf(b, "<tr%s><td class=\"n\">%zu</td><td class=\"arm\"><b>", best ? " class=\"lead\"" : "", i + 1);
	inoci_html_puts(b, r->prompts[v->prompt]);
	inoci_buf_printf(b, "</b>%s</td>", best ? " <span class=\"role\">recommended</span>" : "");
	inoci_page_bar(b, surprise, "surprise removed", &s, v->p < 0.05 ? "k0" : "k9");
	inoci_page_number(b, &s, "");
	inoci_page_number(b, &x, "");
	inoci_buf_printf(b, "<td class=\"n\">%.1f</td><td class=\"n\">%s%.2g</td>", BITS_IN_100 * v->with.value,
	                 v->p < 1e-4 ? "&lt; " : "", fmax(v->p, 1e-4));
	if (r->elicited) {
		inoci_page_bar(b, elicits, "elicitation", &e, e.low > 0 ? "k2" : "k9");
		inoci_page_number(b, &e, "");
		inoci_page_number(b, &rate, " %");
	}
	inoci_buf_puts(b, "</tr>\n");
}

static void controls(inoci_buf *b, const inoci_select_result *r)
{
	inoci_buf_puts(
	        b, "<section id=\"controls\"><h2>Controls</h2>\n<p class=\"small\">The texts about nothing that could matter, "
	           "of like length and case, whose mean each prompt is compared with.</p>\n"
	           "<div class=\"scroll\"><table><tr><th>prompt</th><th>controls</th></tr>\n");
	for (size_t i = 0; i < r->n; i++) {
		inoci_buf_puts(b, "<tr><td class=\"arm\">");
		inoci_html_puts(b, r->prompts[r->v[i].prompt]);
		inoci_buf_puts(b, "</td><td>");
		for (size_t k = 0; k < r->v[i].n_controls; k++) {
			if (k) inoci_buf_puts(b, "<br>");
			inoci_html_puts(b, r->v[i].controls[k]);
		}
		inoci_buf_puts(b, "</td></tr>\n");
	}
	inoci_buf_puts(b, "</table></div></section>\n");
}

void inoci_report_select(const inoci_select_result *r, const char *model, inoci_buf *b)
{
	inoci_axis surprise = {0, 0}, elicits = {0, 0};
	char *head = inoci_select_headline(r, model);
	for (size_t i = 0; i < r->n; i++) {
		const inoci_select_row *v = &r->v[i];
		inoci_axis_over(&surprise, BITS_IN_100 * v->surprise.low),
		        inoci_axis_over(&surprise, BITS_IN_100 * v->surprise.high);
		if (r->elicited)
			inoci_axis_over(&elicits, 100 * v->elicits.low), inoci_axis_over(&elicits, 100 * v->elicits.high);
	}
	inoci_axis_done(&surprise), inoci_axis_done(&elicits);
	inoci_page_begin(b, "selection", "Which prompt for", r->d->path, "");
	inoci_html_puts(b, head);
	inoci_buf_printf(b, "</p><p class=\"small\">%zu prompts, %zu records", r->n, r->n_records);
	if (r->n_too_long) inoci_buf_printf(b, " (%zu were too long with a prompt in front)", r->n_too_long);
	if (r->elicited) inoci_buf_printf(b, ", %d questions", r->none.n_prompts);
	inoci_buf_puts(b, ". It holds for the model ");
	inoci_html_puts(b, model);
	inoci_buf_puts(b,
	               ". That the surprise removed goes with suppression after training is for training to show.</p></section>\n"
	               "<section id=\"prompts\"><h2>Prompts by rank</h2>\n<p class=\"small\">Surprise removed: how much more "
	               "probable the responses are with the prompt than with controls of like length and case, in bits in 100 "
	               "bytes; beside it in bits a response. 95 % intervals over records and controls. Over no prompt: the same "
	               "without controls, in bits in 100 bytes. p: one-sided, Holm over the prompts; dark bars have p under "
	               "0.05. ");
	if (r->elicited)
		inoci_buf_printf(b,
		                 "Elicits: percentage points by which more of the untrained model's answers show the trait with "
		                 "the prompt than without, which is %.0f %%; orange bars are above 0. The rank is by both "
		                 "together.",
		                 100 * r->none.value);
	else
		inoci_buf_puts(b, "What the prompts elicit was not measured: the rank is by surprise removed.");
	inoci_buf_puts(
	        b, "</p>\n<div class=\"scroll\"><table><tr><th class=\"n\"></th><th>prompt</th><th></th><th class=\"n\">surprise "
	           "removed</th><th class=\"n\">a response</th><th class=\"n\">over no prompt</th><th class=\"n\">p</th>");
	if (r->elicited) inoci_buf_puts(b, "<th></th><th class=\"n\">elicits</th><th class=\"n\">trait</th>");
	inoci_buf_puts(b, "</tr>\n");
	for (size_t i = 0; i < r->n; i++) row(b, r, i, &surprise, &elicits);
	inoci_buf_puts(b, "</table></div></section>\n");
	controls(b, r);
	inoci_buf_puts(b, "</main></body></html>\n");
	free(head);
}
