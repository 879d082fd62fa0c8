/* page_analysis: why it works: surprise against suppression, learning curves, gradients, the size of the updates. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

/* ---- surprise against suppression ---- */

/* The rank correlation of something else than the surprise with suppression. */
static void in_place(inoci_page *p, const char *of, int dir, const inoci_rank *k)
{
	if (isnan(k->rho)) return;
	inoci_buf_puts(p->b, of);
	inoci_html_puts(p->b, p->e->directions[dir].name);
	inoci_buf_printf(p->b, " in the surprise\xe2\x80\x99s place %.2f [%.2f, %.2f]; ", k->rho, k->low, k->high);
}

static void relation_figure(inoci_page *p, const inoci_relation *q)
{
	inoci_buf *b = p->b;
	const inoci_trait *t = &p->e->traits[q->trait];
	inoci_mark *m = inoci_alloc((q->n + 1) * sizeof *m);
	double **sx = inoci_alloc((q->n + 1) * sizeof *sx);
	char *ylabel = inoci_asprintf(q->drop ? "%s, below plain" : "suppression of %s", t->label), id[40];
	inoc_err err = {0};
	int rc = p->plot_failed.code;
	snprintf(id, sizeof id, "why-plot-%d", q->trait);
	for (size_t i = 0; i < q->n; i++) {
		const inoci_result_surprise *s = &p->r->analysis.surprise[q->arm[i]];
		sx[i] = inoci_alloc(((size_t)q->n_seeds + 1) * sizeof **sx);
		for (int k = 0; k < q->n_seeds; k++) sx[i][k] = s->removed;
		m[i] = (inoci_mark){.label = p->e->arms[q->arm[i]].label,
		                    .colour = inoci_arm_colour(p->e, q->arm[i]),
		                    .x = {.value = s->removed, .low = s->low, .high = s->high},
		                    .y = {.value = q->y[i], .low = q->y[i], .high = q->y[i]},
		                    .seed_x = sx[i],
		                    .seed_y = q->seed_y + i * (size_t)q->n_seeds,
		                    .n_seeds = (size_t)q->n_seeds};
	}
	inoci_buf_puts(b, "<figure><h3>Surprise removed before training, ");
	inoci_html_puts(b, ylabel);
	inoci_buf_puts(b, " after it</h3>\n<p class=\"small\">One mark for each prompt; small dots: single seeds. ");
	if (isnan(q->u.rho))
		inoci_buf_puts(b, "No rank correlation: all are alike in one of the two; ");
	else
		inoci_buf_printf(b, "Spearman's rho <b>%.2f</b> [%.2f, %.2f], p %.4f by permutation; ", q->u.rho, q->u.low,
		                 q->u.high, q->u.p);
	if (q->goal && !isnan(q->goal_rank.rho))
		inoci_buf_printf(b, "with the share of the goal instead %.2f [%.2f, %.2f]; ", q->goal_rank.rho, q->goal_rank.low,
		                 q->goal_rank.high);
	for (size_t d = 0; d < p->e->n_directions; d++) {
		in_place(p, "of the contrast to ", (int)d, &q->contrast[d]);
		in_place(p, "of how much less the first step goes to ", (int)d, &q->toward[d]);
	}
	inoci_buf_printf(b, "%zu prompts, %zu of them controls; %d seed%s.", q->n, q->n_controls, q->n_seeds,
	                 q->n_seeds == 1 ? "" : "s");
	if (q->n < 8) inoci_buf_puts(b, " Fewer than 8 prompts: a direction, no claim.");
	inoci_buf_puts(b, "</p>\n<div class=\"plot\">");
	if (!rc) rc = inoci_plot_points(id, ylabel, "surprise removed, nats per byte", ylabel, m, q->n, b, &err);
	inoci_page_plotted(p, rc, &err);
	inoci_buf_puts(b, "</div></figure>\n");
	for (size_t i = 0; i < q->n; i++) free(sx[i]);
	free(sx), free(m), free(ylabel);
}

static void number(inoci_buf *b, double v, const char *fmt)
{
	inoci_buf_puts(b, "<td class=\"n\">");
	if (isnan(v))
		inoci_buf_puts(b, "\xe2\x80\x93");
	else
		inoci_buf_printf(b, fmt, v);
	inoci_buf_puts(b, "</td>");
}

static void arm_cell(inoci_page *p, int arm)
{
	inoci_buf_puts(p->b, "<tr><td>");
	inoci_html_puts(p->b, p->e->arms[arm].label);
	inoci_buf_puts(p->b, "</td>");
}

static void surprise_table(inoci_page *p)
{
	inoci_buf *b = p->b;
	bool any = false;
	for (int a = 0; a < (int)p->e->n_arms; a++) any |= p->r->analysis.surprise[a].n > 0;
	if (!any) return;
	inoci_buf_puts(
	        b,
	        "<details><summary>Surprise removed, prompt by prompt</summary><p class=\"small\">Log-probability that the "
	        "untrained model gives the training responses with the prompt minus without it, per byte of the responses; "
	        "the same for neutral texts of its length and case in its place; and the difference, with a 95 % interval "
	        "over the records.</p><div class=\"scroll\"><table><tr><th>arm</th><th>prompt</th><th class=\"n\">gain</th><th "
	        "class=\"n\">neutral texts</th><th class=\"n\">removed</th><th class=\"n\">records</th></tr>\n");
	for (int a = 0; a < (int)p->e->n_arms; a++) {
		const inoci_result_surprise *s = &p->r->analysis.surprise[a];
		if (!s->n) continue;
		char *prompt = inoci_arm_prompt(&p->e->arms[a]);
		arm_cell(p, a);
		inoci_buf_puts(b, "<td>");
		inoci_html_puts(b, prompt);
		inoci_buf_puts(b, "</td>");
		number(b, s->gain, "%+.4f");
		number(b, s->control, "%+.4f");
		inoci_buf_printf(b, "<td class=\"n\">%+.4f <i>[%+.4f, %+.4f]</i></td><td class=\"n\">%zu</td></tr>\n", s->removed,
		                 s->low, s->high, s->n);
		free(prompt);
	}
	inoci_buf_puts(b, "</table></div></details>\n");
}

/* ---- learning curves ---- */

typedef struct {
	inoci_curve *v;
	size_t n;
} curve_list;

static inoci_curve *curve_add(curve_list *l, size_t points)
{
	l->v = inoci_realloc(l->v, (l->n + 1) * sizeof *l->v);
	l->v[l->n] =
	        (inoci_curve){.x = inoci_alloc((points + 1) * sizeof(double)), .y = inoci_alloc((points + 1) * sizeof(double))};
	return &l->v[l->n++];
}

/* The curves of one set of responses: faint for each seed, and their mean; dashed with the arm's own prompt. Surprise is shown,
 * which falls as the responses are learnt. */
static void set_curves(const inoci_page *p, int set, curve_list *l, inoci_buf *legend)
{
	const inoci_analysis *an = &p->r->analysis;
	for (int pass = 0; pass < 2; pass++)
		for (int arm = 0; arm < (int)p->e->n_arms; arm++)
			for (int prompt = 0; prompt < 2; prompt++) {
				inoci_curve *mean = NULL;
				int n = 0;
				for (size_t i = 0; i < an->n_curves; i++) {
					const inoci_result_curve *c = &an->curves[i];
					if (c->set != set || c->arm != arm || c->prompt != (prompt == 1) || !c->n) continue;
					if (pass == 0 && p->r->n_seeds > 1) {
						inoci_curve *v = curve_add(l, c->n);
						v->colour = inoci_arm_colour(p->e, arm), v->faint = true;
						for (v->n = 0; v->n < c->n; v->n++)
							v->x[v->n] = c->step[v->n], v->y[v->n] = -c->logprob[v->n];
					}
					if (pass == 0) continue;
					if (!mean) {
						mean = curve_add(l, c->n);
						mean->n = c->n;
						mean->colour = inoci_arm_colour(p->e, arm), mean->dashed = prompt == 1;
						for (size_t k = 0; k < c->n; k++) mean->x[k] = c->step[k];
					}
					if (c->n < mean->n) mean->n = c->n;
					for (size_t k = 0; k < mean->n; k++) mean->y[k] -= c->logprob[k];
					n++;
				}
				for (size_t k = 0; mean && k < mean->n; k++) mean->y[k] /= n;
				if (!mean) continue;
				inoci_buf_printf(
				        legend,
				        "<span class=\"chip\"><span class=\"ln%s\" style=\"border-color:var(--a%d)\"></span>",
				        prompt ? " dash" : "", inoci_arm_colour(p->e, arm));
				inoci_html_puts(legend, p->e->arms[arm].label);
				inoci_buf_puts(legend, prompt ? ", with its prompt</span>" : "</span>");
			}
}

static void learning(inoci_page *p)
{
	inoci_buf *b = p->b;
	if (!p->r->analysis.n_curves) return;
	inoci_buf_puts(
	        b,
	        "<h3>Learning curves</h3>\n<p class=\"small\">Surprise of held-out responses during training: minus their "
	        "log-probability, nats per byte, without a prompt and (dashed) with the arm's own. Mean over seeds; single seeds "
	        "faint.</p>\n<div class=\"two\">\n");
	for (int set = 0; set < (int)p->e->n_curves; set++) {
		curve_list l = {0};
		inoci_buf legend = {0};
		inoc_err err = {0};
		int rc = p->plot_failed.code;
		char id[40];
		snprintf(id, sizeof id, "learning-%d", set);
		set_curves(p, set, &l, &legend);
		if (l.n) {
			char *words = inoci_words(p->e->curves[set].name);
			inoci_buf_puts(b, "<figure><h3>");
			inoci_html_puts(b, words);
			inoci_buf_printf(b, "</h3><div class=\"legend\">%s</div><div class=\"plot\">", legend.data);
			if (!rc) rc = inoci_plot_steps(id, words, "optimizer step", "surprise, nats per byte", l.v, l.n, b, &err);
			inoci_page_plotted(p, rc, &err);
			inoci_buf_puts(b, "</div></figure>\n");
			free(words);
		}
		for (size_t i = 0; i < l.n; i++) free(l.v[i].x), free(l.v[i].y);
		free(l.v);
		inoci_buf_free(&legend);
	}
	inoci_buf_puts(b, "</div>\n");
}

/* ---- gradients ---- */

static void gradients(inoci_page *p)
{
	inoci_buf *b = p->b;
	const inoci_results *r = p->r;
	int D = (int)p->e->n_directions, most = 0;
	for (int a = 0; a < (int)p->e->n_arms; a++) {
		int n = inoci_gradient_spread(r, a, INOCI_GRAD_WITHOUT, 0).n;
		if (n > most) most = n;
	}
	if (!most) return;
	inoci_buf_puts(
	        b,
	        "<h3>Gradients at step 0</h3>\n<p class=\"small\">Of the mean loss per token with respect to the weights, "
	        "without "
	        "and with the arm's prompt: its norm, the cosine of both, and the cosine of a step (minus the gradient) with a "
	        "direction, the gradient of the log-probability per byte of one set of responses minus another's, without a "
	        "prompt. Estimated from the gradients of B at the seed's A");
	inoci_buf_printf(
	        b,
	        "; mean over %d seed%s.</p>\n<div class=\"scroll\"><table><tr><th>arm</th><th class=\"n\">norm without</th><th "
	        "class=\"n\">with</th><th class=\"n\">cosine of both</th>",
	        most, most == 1 ? "" : "s");
	for (int d = 0; d < D; d++) {
		inoci_buf_puts(b, "<th class=\"n\">to ");
		inoci_html_puts(b, p->e->directions[d].name);
		inoci_buf_puts(b, " without</th><th class=\"n\">with</th>");
	}
	inoci_buf_puts(b, "</tr>\n");
	for (int a = 0; a < (int)p->e->n_arms; a++) {
		if (!inoci_gradient_spread(r, a, INOCI_GRAD_WITHOUT, 0).n) continue;
		arm_cell(p, a);
		number(b, inoci_gradient_spread(r, a, INOCI_GRAD_WITHOUT, 0).mean, "%.3f");
		number(b, inoci_gradient_spread(r, a, INOCI_GRAD_WITH, 0).mean, "%.3f");
		number(b, inoci_gradient_spread(r, a, INOCI_GRAD_SAME, 0).mean, "%.3f");
		for (int d = 0; d < D; d++) {
			number(b, inoci_gradient_spread(r, a, INOCI_GRAD_TOWARD_WITHOUT, d).mean, "%+.3f");
			number(b, inoci_gradient_spread(r, a, INOCI_GRAD_TOWARD, d).mean, "%+.3f");
		}
		inoci_buf_puts(b, "</tr>\n");
	}
	inoci_buf_puts(b, "</table></div>\n");
}

/* ---- updates ---- */

/* A cell of a heat map: its number on a ground as dark as it is large, between the table's least and most. */
static void heat(inoci_buf *b, double v, double least, double most, bool digits)
{
	if (isnan(v)) {
		inoci_buf_puts(b, "<td class=\"heat\"></td>");
		return;
	}
	inoci_buf_printf(
	        b, "<td class=\"heat\" title=\"%.4g\" style=\"background:color-mix(in srgb,var(--accent) %.0f%%,transparent)\">",
	        v, most > least ? 5 + 75 * (v - least) / (most - least) : 5.0);
	if (digits) inoci_buf_printf(b, "%.2f", v);
	inoci_buf_puts(b, "</td>");
}

static void heat_head(inoci_buf *b, const char *first, const char *const *names, int n)
{
	inoci_buf_printf(b, "<div class=\"scroll\"><table class=\"heat\"><tr><th>%s</th>", first);
	for (int i = 0; i < n; i++) {
		if (names)
			inoci_buf_printf(b, "<th>%s</th>", names[i]);
		else
			inoci_buf_printf(b, "<th>%d</th>", i);
	}
	inoci_buf_puts(b, "</tr>\n");
}

/* One row an arm; by projection, or by layer. */
static void heat_arms(inoci_page *p, int n_layers, const char *const *names)
{
	const inoci_results *r = p->r;
	int n = names ? INOCI_N_PROJ : n_layers;
	double most = 0, least = INFINITY;
	for (int pass = 0; pass < 2; pass++)
		for (int a = 0; a < (int)p->e->n_arms; a++) {
			if (!inoci_update_spread(r, a, -1, -1).n) continue;
			if (pass) arm_cell(p, a);
			for (int k = 0; k < n; k++) {
				double v = inoci_update_spread(r, a, names ? -1 : k, names ? k : -1).mean;
				if (!pass)
					most = fmax(most, v), least = fmin(least, v);
				else
					heat(p->b, v, least, most, names != NULL);
			}
			if (pass && names) number(p->b, inoci_update_spread(r, a, -1, -1).mean, "%.2f");
			if (pass) inoci_buf_puts(p->b, "</tr>\n");
		}
	inoci_buf_puts(p->b, "</table></div>\n");
}

/* Layers down, projections across, of one arm. */
static void heat_layers(inoci_page *p, int arm, int n_layers, const char *const *names)
{
	double most = 0, least = INFINITY;
	inoci_buf_puts(p->b, "<details><summary>By layer and projection: ");
	inoci_html_puts(p->b, p->e->arms[arm].label);
	inoci_buf_puts(p->b, "</summary>");
	heat_head(p->b, "layer", names, INOCI_N_PROJ);
	for (int pass = 0; pass < 2; pass++)
		for (int l = 0; l < n_layers; l++) {
			if (pass) inoci_buf_printf(p->b, "<tr><td>%d</td>", l);
			for (int k = 0; k < INOCI_N_PROJ; k++) {
				double v = inoci_update_spread(p->r, arm, l, k).mean;
				if (!pass)
					most = fmax(most, v), least = fmin(least, v);
				else
					heat(p->b, v, least, most, true);
			}
			if (pass) inoci_buf_puts(p->b, "</tr>\n");
		}
	inoci_buf_puts(p->b, "</table></div></details>\n");
}

static void updates(inoci_page *p)
{
	inoci_buf *b = p->b;
	const char *names[INOCI_N_PROJ + 1];
	int n_layers = 0;
	for (size_t i = 0; i < p->e->n_arms * (size_t)p->r->n_seeds; i++)
		if (p->r->analysis.updates[i].n_layers > n_layers) n_layers = p->r->analysis.updates[i].n_layers;
	if (!n_layers) return;
	for (int k = 0; k < INOCI_N_PROJ; k++) names[k] = inoci_proj_name(k);
	names[INOCI_N_PROJ] = "all";
	inoci_buf_puts(
	        b,
	        "<h3>Size of the update</h3>\n<p class=\"small\">Frobenius norm of each trained adapter's change of the weights "
	        "(scale \xc2\xb7 BA), mean over seeds: by projection over all layers, and by layer over all projections.</p>\n");
	heat_head(b, "arm", names, INOCI_N_PROJ + 1);
	heat_arms(p, n_layers, names);
	heat_head(b, "layer", NULL, n_layers);
	heat_arms(p, n_layers, NULL);
	for (int a = 0; a < (int)p->e->n_arms; a++)
		if (inoci_update_spread(p->r, a, -1, -1).n) heat_layers(p, a, n_layers, names);
}

void inoci_page_analysis(inoci_page *p)
{
	if (!p->r->analysis.any) return;
	inoci_buf_puts(p->b, "<section id=\"why\"><h2>Why it works</h2>\n");
	for (int t = 0; t < (int)p->e->n_traits; t++) {
		inoci_relation q = inoci_relation_of(p->r, t, 0);
		if (q.n > 2) relation_figure(p, &q);
		inoci_relation_free(&q);
	}
	surprise_table(p);
	learning(p);
	gradients(p);
	updates(p);
	inoci_buf_puts(p->b, "</section>\n");
}
