/* page_answers: what the arms answered: stacked shares, quality beside them, the scatter, samples side by side. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

enum { N_QUESTIONS = 12, N_OPEN = 4 }; /* shown; at once, the rest folded */

/* Evaluations in the order shown: the headline, those with its system turn, the others. n_evals entries; free(). */
static int *eval_order(const inoci_page *p)
{
	int *order = inoci_alloc((p->e->n_evals + 1) * sizeof *order), h = p->s->headline;
	size_t n = 0;
	order[n++] = h;
	for (int same = 1; same >= 0; same--)
		for (int v = 0; v < (int)p->e->n_evals; v++)
			if (v != h && (strcmp(p->e->evals[v].system, p->e->evals[h].system) == 0) == (same == 1)) order[n++] = v;
	return order;
}

static void class_legend(inoci_page *p, bool buttons)
{
	inoci_buf *b = p->b;
	inoci_buf_printf(b, "<div class=\"legend%s\">", buttons ? " script" : "");
	for (int k = 0; k < (int)p->classes.n; k++) {
		if (buttons)
			inoci_buf_printf(b, "<button type=\"button\" class=\"chip\" data-k=\"%d\" aria-pressed=\"false\">", k);
		else
			inoci_buf_puts(b, "<span class=\"chip\">");
		inoci_page_class(p, k);
		inoci_buf_puts(b, buttons ? "</button>" : "</span>");
	}
	inoci_buf_puts(b, "</div>\n");
}

/* "360 answers an arm: 3 seeds × 120 questions" */
static void counts(inoci_page *p, int eval)
{
	size_t most = 0;
	int best = -1, seeds = 0, last = -1, per = 0;
	for (int a = 0; a < (int)p->e->n_arms; a++) {
		const inoci_result_cell *c = inoci_results_cell(p->r, a, eval);
		if (c->n > most) most = c->n, best = a;
	}
	if (best < 0) return;
	const inoci_result_cell *c = inoci_results_cell(p->r, best, eval);
	for (size_t i = 0; i < c->n; i++) {
		if (c->v[i].seed != last) seeds++, last = c->v[i].seed;
		if (c->v[i].index >= per) per = c->v[i].index + 1;
	}
	inoci_buf_printf(p->b, "%zu %s an arm: %d seed%s \xc3\x97 %d questions", most,
	                 p->e->evals[eval].measure ? "measurements" : "answers", seeds, seeds == 1 ? "" : "s", c->n_prompts);
	if (per > 1) inoci_buf_printf(p->b, " \xc3\x97 %d samples", per);
}

static void bars(inoci_page *p, int eval)
{
	size_t n = 0, k_n = p->classes.n;
	if (!k_n) return; /* no scorer gives shares */
	inoci_estimate *est = inoci_alloc((p->e->n_arms * k_n + 1) * sizeof *est);
	const char **rows = inoci_alloc((p->e->n_arms + 1) * sizeof *rows);
	for (int a = 0; a < (int)p->e->n_arms; a++) {
		if (!inoci_results_cell(p->r, a, eval)->n || p->e->arms[a].swept_of) continue;
		rows[n] = p->e->arms[a].label;
		for (size_t k = 0; k < k_n; k++) est[n * k_n + k] = inoci_summary_rate(p->s, a, eval, p->classes.scorer[k])->all;
		n++;
	}
	inoci_buf_puts(p->b, "<div class=\"plot\">");
	inoc_err err = {0};
	int rc = p->plot_failed.code;
	char *id = inoci_asprintf("bars%d", eval),
	     *title = inoci_asprintf("Shares of answers by class, %s", p->e->evals[eval].label);
	if (!rc) rc = inoci_plot_bars(id, title, rows, n, k_n, p->classes.colour, est, p->b, &err);
	inoci_page_plotted(p, rc, &err);
	inoci_buf_puts(p->b, "</div>\n");
	free(id);
	free(title);
	free(est);
	free(rows);
}

/* What was measured, a picture for each scorer: each arm's value beside base's. */
static void effects(inoci_page *p, int eval)
{
	inoci_mark *m = inoci_alloc((p->e->n_arms + 1) * sizeof *m);
	bool told = false;
	for (int k = 0; k < p->r->n_scorers; k++) {
		const char *base = NULL;
		size_t n = 0;
		bool real = false;
		if (!inoci_results_fits(p->r, k, eval)) continue;
		for (int a = 0; a < (int)p->e->n_arms; a++) {
			const inoci_estimate *e = &inoci_summary_rate(p->s, a, eval, k)->all;
			if (!e->n || isnan(e->value) || p->e->arms[a].swept_of) continue;
			inoci_mark *q = &m[n++];
			*q = (inoci_mark){.label = p->e->arms[a].label, .colour = inoci_arm_colour(p->e, a), .x = *e};
			real = e->real;
			if (!e->real) q->x.value *= 100, q->x.low *= 100, q->x.high *= 100;
			if (!strcmp(p->e->arms[a].role, "base")) base = q->label;
		}
		if (!n) continue;
		char *id = inoci_asprintf("effects%d-%d", eval, k), *w = inoci_words(p->r->scorers[k]);
		char *title = inoci_asprintf("%s by arm, %s", w, p->e->evals[eval].label);
		const char *of = k < (int)p->e->n_scorers && p->e->scorers ? p->e->scorers[k].change : NULL;
		char *x =
		        inoci_asprintf("%s%s%s%s", w, of ? ", less that of " : "", of ? of : "", real || of ? "" : ", per cent");
		inoc_err err = {0};
		int rc = p->plot_failed.code;
		if (!told)
			inoci_buf_printf(p->b, "<p class=\"small\">Each arm's value and its %s%s.</p>\n",
			                 p->r->ci == INOCI_CI_PAPER ? "interval" : "95 % interval",
			                 base ? "; the dashed line is the untrained model's" : "");
		told = true;
		inoci_buf_puts(p->b, "<div class=\"plot\">");
		if (!rc) rc = inoci_plot_effects(id, title, x, m, n, base, p->b, &err);
		inoci_page_plotted(p, rc, &err);
		inoci_buf_puts(p->b, "</div>\n");
		free(id), free(w), free(title), free(x);
	}
	free(m);
}

/* Why answers have no score of a judge. */
static void missing(inoci_page *p)
{
	static const char *const why[INOCI_JUDGE_N_MISS] = {[INOCI_JUDGE_LITTLE_MASS] = "too little probability on numbers",
	                                                    [INOCI_JUDGE_PROSE] = "no number",
	                                                    [INOCI_JUDGE_CUT] = "cut in the number perhaps",
	                                                    [INOCI_JUDGE_SCORED] = "other"};
	inoci_buf *b = p->b;
	if (!p->r->n_misses) return;
	inoci_buf_puts(
	        b, "<h3>Not scored by a judge</h3><p class=\"small\">Answers by what the judge's reply lacked. <i>Other</i>: a "
	           "condition that does not hold (<code>given</code>), or a reply that is not in the store.</p>\n<div "
	           "class=\"scroll\"><table><tr><th>scorer</th><th>evaluation</th><th>arm</th><th class=\"n\">answers</th>");
	for (int k = 1; k <= INOCI_JUDGE_N_MISS; k++) inoci_buf_printf(b, "<th class=\"n\">%s</th>", why[k % INOCI_JUDGE_N_MISS]);
	inoci_buf_puts(b, "</tr>\n");
	for (size_t i = 0; i < p->r->n_misses; i++) {
		const inoci_miss *m = &p->r->misses[i];
		const char *const names[] = {p->r->scorers[m->scorer], p->e->evals[m->eval].label, p->e->arms[m->arm].label};
		inoci_buf_puts(b, "<tr>");
		for (size_t k = 0; k < INOCI_COUNT(names); k++) {
			inoci_buf_puts(b, "<td>");
			inoci_html_puts(b, names[k]);
			inoci_buf_puts(b, "</td>");
		}
		inoci_buf_printf(b, "<td class=\"n\">%ld</td>", m->n);
		for (int k = 1; k <= INOCI_JUDGE_N_MISS; k++)
			inoci_buf_printf(b, "<td class=\"n\">%ld</td>", m->reason[k % INOCI_JUDGE_N_MISS]);
		inoci_buf_puts(b, "</tr>\n");
	}
	inoci_buf_puts(b, "</table></div>\n");
}

/* Most samples of an arm that one scorer has left without a score. */
static int most_missing(const inoci_page *p, int arm, int eval)
{
	int most = 0;
	for (int k = 0; k < p->r->n_scorers; k++) {
		int missing = inoci_summary_rate(p->s, arm, eval, k)->all.missing;
		if (missing > most) most = missing;
	}
	return most;
}

/* A table of shares, of all scorers or of those that tell of quality. */
static void rates(inoci_page *p, int eval, bool quality_only)
{
	inoci_buf *b = p->b;
	int any_missing = 0;
	for (int a = 0; a < (int)p->e->n_arms; a++)
		if (inoci_results_cell(p->r, a, eval)->n) any_missing += most_missing(p, a, eval);
	inoci_buf_puts(b, "<div class=\"scroll\"><table><tr><th>arm</th>");
	for (int k = 0; k < p->r->n_scorers; k++) {
		if ((quality_only && !inoci_is_quality(p->r->scorers[k])) || !inoci_results_fits(p->r, k, eval)) continue;
		char *w = inoci_words(p->r->scorers[k]);
		inoci_buf_puts(b, "<th class=\"n\">");
		inoci_html_puts(b, w);
		inoci_buf_puts(b, "</th>");
		free(w);
	}
	inoci_buf_puts(b, any_missing ? "<th class=\"n\">n</th><th class=\"n\">not scored</th></tr>\n"
	                              : "<th class=\"n\">n</th></tr>\n");
	for (int a = 0; a < (int)p->e->n_arms; a++) {
		const inoci_result_cell *c = inoci_results_cell(p->r, a, eval);
		int n = 0;
		if (!c->n) continue;
		inoci_buf_puts(b, "<tr><td>");
		inoci_html_puts(b, p->e->arms[a].label);
		inoci_buf_puts(b, "</td>");
		for (int k = 0; k < p->r->n_scorers; k++) {
			const inoci_estimate *e = &inoci_summary_rate(p->s, a, eval, k)->all;
			if (e->n + e->missing > n) n = e->n + e->missing;
			if ((quality_only && !inoci_is_quality(p->r->scorers[k])) || !inoci_results_fits(p->r, k, eval)) continue;
			inoci_page_share_cell(b, e);
		}
		inoci_buf_printf(b, "<td class=\"n\">%d</td>", n);
		if (any_missing) inoci_buf_printf(b, "<td class=\"n\">%d</td>", most_missing(p, a, eval));
		inoci_buf_puts(b, "</tr>\n");
	}
	inoci_buf_puts(b, "</table></div>\n");
}

void inoci_page_answers(inoci_page *p)
{
	inoci_buf *b = p->b;
	int *order = eval_order(p);
	inoci_buf_puts(
	        b,
	        "<section id=\"answers\"><h2>What the arms answered</h2>\n<p class=\"small\">Shares of answers in percent. "
	        "The thin line "
	        "under a part is its 95 % interval, drawn from the part's left end and cut at 100 % (of what is unknown: in the "
	        "table).</p>\n");
	if (p->r->ci == INOCI_CI_PAPER)
		inoci_buf_puts(b,
		               "<p class=\"small\">The intervals here are the papers' own, over runs alone (--ci paper).</p>\n");
	class_legend(p, false);
	inoci_buf_puts(b, "<div class=\"two\">\n");
	for (size_t i = 0; i < p->e->n_evals; i++) {
		const inoci_evaluation *v = &p->e->evals[order[i]];
		bool any = false;
		if (inoci_experiment_grid(p->e, order[i])) continue;
		for (int a = 0; a < (int)p->e->n_arms; a++) any = any || inoci_results_cell(p->r, a, order[i])->n;
		if (!any) continue;
		char *w = inoci_eval_words(v);
		inoci_buf_puts(b, "<figure><h3>");
		w[0] = (char)(w[0] >= 'a' && w[0] <= 'z' ? w[0] - 32 : w[0]);
		inoci_html_puts(b, w);
		inoci_buf_puts(b, "</h3><p class=\"small\">");
		if (i == 0) inoci_buf_puts(b, "The verdicts are read here. ");
		inoci_buf_puts(b, "Evaluation <code>");
		inoci_html_puts(b, v->label);
		inoci_buf_puts(b, "</code>");
		if (v->measure)
			inoci_buf_printf(b, ", measure %s", inoci_measure_name(v->measure));
		else if (!v->imported)
			inoci_buf_printf(b, ", temperature %g", v->sampling.temperature);
		inoci_buf_puts(b, "; ");
		counts(p, order[i]);
		inoci_buf_puts(b, ".</p>\n");
		if (v->measure) { /* its scorers exclude nothing: no parts of a whole */
			effects(p, order[i]);
			rates(p, order[i], false);
			inoci_buf_puts(b, "</figure>\n");
			free(w);
			continue;
		}
		bars(p, order[i]);
		rates(p, order[i], true);
		inoci_buf_printf(b, "<details><summary>All %s</summary>",
		                 inoci_results_real(p->r, -1) ? "shares and means" : "shares");
		rates(p, order[i], false);
		inoci_buf_puts(b, "</details></figure>\n");
		free(w);
	}
	inoci_buf_puts(b, "</div>\n");
	missing(p);
	inoci_buf_puts(b, "</section>\n");
	free(order);
}

/* ---- scatter ---- */

static double seed_sum(const inoci_page *p, int arm, char *const *names, size_t n, int seed)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++) {
		int k = inoci_results_scorer(p->r, names[i]);
		const inoci_rate *rate = k < 0 ? NULL : inoci_summary_rate(p->s, arm, p->s->headline, k);
		if (!rate || !rate->seed || !rate->seed[seed].n) return NAN;
		sum += rate->seed[seed].value;
	}
	return sum;
}

static bool among(char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(names[i], name)) return true;
	return false;
}

void inoci_page_scatter(inoci_page *p)
{
	inoci_buf *b = p->b;
	int trait = inoci_lead_trait(p->s);
	const inoci_trait *t = trait >= 0 ? &p->e->traits[trait] : p->e->n_traits ? &p->e->traits[0] : NULL;
	if (!t || !t->n_w) return;
	/* across: the classes without the unwanted trait; up: the wanted skill */
	char **free_of = inoci_alloc((p->classes.n + 1) * sizeof *free_of);
	size_t n_free = 0, n = 0;
	for (size_t k = 0; k < p->classes.n; k++) {
		char *name = p->r->scorers[p->classes.scorer[k]];
		if (!among(t->u, t->n_u, name) && !inoci_is_quality(name)) free_of[n_free++] = name;
	}
	int S = p->r->n_seeds, n_arms = (int)p->e->n_arms;
	inoci_mark *m = inoci_alloc((size_t)(n_arms + 1) * sizeof *m);
	double *seeds = inoci_alloc((size_t)(2 * S * n_arms + 1) * sizeof *seeds);
	for (int a = 0; n_free && a < n_arms; a++) {
		if (p->e->arms[a].swept_of) continue;
		inoci_mark q = {.label = p->e->arms[a].label, .colour = inoci_arm_colour(p->e, a)};
		q.x = inoci_sum_share(p->s, a, p->s->headline, free_of, n_free);
		q.y = inoci_sum_share(p->s, a, p->s->headline, t->w, t->n_w);
		if (!q.x.n || !q.y.n || q.y.real) continue; /* the axes are shares */
		double *sx = seeds + 2 * S * a, *sy = sx + S;
		for (int d = 0; d < S; d++) {
			double x = seed_sum(p, a, free_of, n_free, d), y = seed_sum(p, a, t->w, t->n_w, d);
			if (!isnan(x) && !isnan(y)) sx[q.n_seeds] = x, sy[q.n_seeds++] = y;
		}
		q.seed_x = sx, q.seed_y = sy;
		m[n++] = q;
	}
	if (n) {
		char *fx = inoci_sum_label(free_of, n_free), *fy = inoci_sum_label(t->w, t->n_w),
		     *w = inoci_eval_words(&p->e->evals[p->s->headline]);
		char *xl = inoci_asprintf("answers: %s", fx), *yl = inoci_asprintf("answers: %s", fy);
		inoc_err err = {0};
		int rc = p->plot_failed.code;
		inoci_buf_puts(b,
		               "<figure><h2>The trait against the skill</h2>\n<p class=\"small\">Each mark an arm with its 95 % "
		               "intervals, its seeds faint; ");
		inoci_html_puts(b, w);
		inoci_buf_puts(
		        b,
		        ". Up and to the right is what one would want: the skill without the trait.</p>\n<div class=\"plot\">");
		if (!rc)
			rc = inoci_plot_scatter("scatter-plot", "The wanted skill against answers without the unwanted trait", xl,
			                        yl, m, n, b, &err);
		inoci_page_plotted(p, rc, &err);
		inoci_buf_puts(b, "</div></figure>\n");
		free(fx), free(fy), free(w), free(xl), free(yl);
	}
	free(m);
	free(seeds);
	free(free_of);
}

/* ---- samples ---- */

/* "trait −14.2 (38 bytes)", text by text; more than a few are cut short. */
static void measured(inoci_page *p, const inoci_result_sample *v)
{
	enum { MOST = 8 };
	inoci_measured m;
	inoc_err ignored = {0};
	if (inoci_measured_read(v->text, v->text_n, &m, &ignored) < 0) return;
	for (size_t i = 0; i < m.n && i < MOST; i++) {
		inoci_html_puts(p->b, m.v[i].name);
		inoci_buf_printf(p->b, "%s: %.2f, %d bytes<br>", (int)i == m.answer ? " (right)" : "", m.v[i].sum, m.v[i].bytes);
	}
	if (m.n > MOST) inoci_buf_printf(p->b, "and %zu more", m.n - MOST);
	inoci_measured_free(&m);
}

static void answer(inoci_page *p, int arm, const inoci_result_sample *v)
{
	inoci_buf *b = p->b;
	int k = inoci_class_of(&p->classes, v), loop = inoci_results_scorer(p->r, "looping");
	inoci_buf_printf(b, "<div class=\"ans\" data-k=\"%d\" style=\"--c:var(--k%d)\"><header><b>", k,
	                 k < 0 ? CLASS_OTHER : p->classes.colour[k]);
	inoci_html_puts(b, p->e->arms[arm].label);
	inoci_buf_puts(b, "</b><span class=\"as\">");
	if (k >= 0) {
		char *w = inoci_words(p->r->scorers[p->classes.scorer[k]]);
		inoci_html_puts(b, w);
		free(w);
	} else
		inoci_buf_puts(b, v->finish == INOCI_FINISH_MEASURED ? "log-probabilities" : "none of these");
	if (v->finish == INOCI_FINISH_LENGTH) inoci_buf_puts(b, " \xc2\xb7 cut off");
	if (loop >= 0 && v->score && v->score[loop] >= 0.5) inoci_buf_puts(b, " \xc2\xb7 loops");
	inoci_buf_puts(b, "</span></header><p dir=\"auto\">");
	if (v->finish == INOCI_FINISH_MEASURED)
		measured(p, v);
	else
		inoci_html_text(b, v->text ? v->text : "", v->text ? v->text_n : 0);
	inoci_buf_puts(b, "</p></div>\n");
}

static const inoci_result_sample *sample_of(const inoci_result_cell *c, int seed, int prompt)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].seed == seed && c->v[i].prompt == prompt && c->v[i].index == 0) return &c->v[i];
	return NULL;
}

/* The arms' answers to one question of the headline evaluation, first seed. */
static void question(inoci_page *p, int prompt)
{
	inoci_buf *b = p->b;
	bool open = false;
	for (int a = 0; a < (int)p->e->n_arms; a++) {
		if (p->e->arms[a].swept_of) continue;
		const inoci_result_sample *v = sample_of(inoci_results_cell(p->r, a, p->s->headline), 0, prompt);
		if (!v) continue;
		if (!open) {
			inoci_buf_puts(b, "<div class=\"q\"><h3>");
			inoci_html_puts(b, v->question);
			inoci_buf_puts(b, "</h3><div class=\"answers\">\n");
			open = true;
		}
		answer(p, a, v);
	}
	if (open) inoci_buf_puts(b, "</div></div>\n");
}

void inoci_page_samples(inoci_page *p)
{
	inoci_buf *b = p->b;
	int h = p->s->headline, prompts = 0;
	for (int a = 0; a < (int)p->e->n_arms; a++) {
		const inoci_result_cell *c = inoci_results_cell(p->r, a, h);
		if (c->n && c->n_prompts > prompts) prompts = c->n_prompts;
	}
	if (!prompts || !p->r->n_seeds) return;
	char *w = inoci_eval_words(&p->e->evals[h]);
	int shown = prompts < N_QUESTIONS ? prompts : N_QUESTIONS;
	inoci_buf_puts(b, "<section id=\"samples\"><h2>The same questions, arm by arm</h2>\n<p class=\"small\">");
	w[0] = (char)(w[0] >= 'a' && w[0] <= 'z' ? w[0] - 32 : w[0]);
	inoci_html_puts(b, w);
	inoci_buf_printf(b,
	                 ", seed %llu; %d of the %d questions, taken at equal steps through the list, not chosen by hand.</p>\n",
	                 (unsigned long long)p->r->seeds[0], shown, prompts);
	if (!p->e->evals[h].measure) class_legend(p, true);
	for (int i = 0; i < shown; i++) {
		if (i == N_OPEN) inoci_buf_printf(b, "<details><summary>%d more questions</summary>\n", shown - i);
		question(p, (int)((long)i * prompts / shown));
	}
	inoci_buf_puts(b, shown > N_OPEN ? "</details></section>\n" : "</section>\n");
	free(w);
}
