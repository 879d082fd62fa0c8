/* page_sweeps: a setting over several values: U and W of each arm at each value, as a plot and as a table. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

size_t inoci_sweep_points(const inoci_summary *s, int sweep, const char *arm, int *points)
{
	const inoci_experiment *e = s->r->e;
	const char *key = e->sweeps[sweep].key;
	size_t n = 0;
	for (int a = 0; a < (int)e->n_arms; a++) {
		const inoci_arm *x = &e->arms[a];
		bool variant = x->swept_of && x->sweep == sweep && !strcmp(x->swept_of, arm);
		if (variant || (!strcmp(x->name, arm) && !isnan(inoci_arm_value(x, key)))) points[n++] = a;
	}
	for (size_t i = 1; i < n; i++) /* few: by insertion */
		for (size_t k = i; k && inoci_arm_value(&e->arms[points[k]], key) < inoci_arm_value(&e->arms[points[k - 1]], key);
		     k--) {
			int swap = points[k];
			points[k] = points[k - 1];
			points[k - 1] = swap;
		}
	/* a variant that has the arm's own value stands for it */
	size_t kept = 0;
	for (size_t i = 0; i < n; i++) {
		const inoci_arm *x = &e->arms[points[i]];
		double v = inoci_arm_value(x, key);
		bool twin = false;
		for (size_t k = 0; k < n; k++)
			twin = twin || (k != i && e->arms[points[k]].swept_of && inoci_arm_value(&e->arms[points[k]], key) == v);
		if (x->swept_of || !twin) points[kept++] = points[i];
	}
	return kept;
}

/* Whether the swept arm has something to say of the trait. */
static bool tells(const inoci_experiment *e, const char *arm, const inoci_trait *t)
{
	int a = inoci_experiment_arm(e, arm);
	return a >= 0 && (strcmp(e->arms[a].role, "inoculated") || inoci_experiment_asks(e, &e->arms[a], t));
}

static char *share(const inoci_summary *s, int arm, char *const *names, size_t n)
{
	inoci_buf b = {0};
	inoci_estimate e = inoci_sum_share(s, arm, s->headline, names, n);
	inoci_put_share(&b, &e, true);
	return inoci_buf_take(&b);
}

inoci_report_table inoci_report_sweep(const inoci_summary *s, int sweep)
{
	const inoci_experiment *e = s->r->e;
	const inoci_sweep *w = &e->sweeps[sweep];
	const char *const header[] = {"trait", "arm", w->key, "U", "W", "n"};
	enum { TRAIT, ARM, VALUE, U, W, COUNT, N };
	inoci_report_table t = inoci_table_new(header, N, e->n_traits * e->n_arms);
	int *points = inoci_alloc((e->n_arms + 1) * sizeof *points);
	for (int c = VALUE; c < N; c++) t.right[c] = true;
	for (size_t k = 0; k < e->n_traits; k++)
		for (size_t i = 0; i < w->n_arms; i++) {
			size_t n = tells(e, w->arms[i], &e->traits[k]) ? inoci_sweep_points(s, sweep, w->arms[i], points) : 0;
			for (size_t j = 0; j < n; j++) {
				const inoci_trait *x = &e->traits[k];
				inoci_estimate u = inoci_sum_share(s, points[j], s->headline, x->u, x->n_u);
				if (!u.n) continue;
				char **row = t.cell + N * t.n_rows++;
				row[TRAIT] = inoci_strdup(x->label);
				row[ARM] = inoci_strdup(e->arms[inoci_experiment_arm(e, w->arms[i])].label);
				row[VALUE] = inoci_asprintf("%g%s", inoci_arm_value(&e->arms[points[j]], w->key),
				                            e->arms[points[j]].swept_of ? "" : " (as written)");
				row[U] = share(s, points[j], x->u, x->n_u);
				row[W] = share(s, points[j], x->w, x->n_w);
				row[COUNT] = inoci_asprintf("%d", u.n);
			}
		}
	free(points);
	return t;
}

/* U solid and W dashed, an arm a colour. */
static void plot(inoci_page *p, int sweep, int trait)
{
	inoci_buf *b = p->b, legend = {0};
	const inoci_experiment *e = p->e;
	const inoci_sweep *w = &e->sweeps[sweep];
	const inoci_trait *t = &e->traits[trait];
	inoci_series *v = inoci_alloc((2 * w->n_arms + 1) * sizeof *v);
	double *x = inoci_alloc((w->n_arms * (e->n_arms + 1) + 1) * sizeof *x);
	inoci_estimate *y = inoci_alloc((2 * w->n_arms * (e->n_arms + 1) + 1) * sizeof *y);
	int *points = inoci_alloc((e->n_arms + 1) * sizeof *points);
	size_t n = 0, at = 0, at_y = 0;
	for (size_t i = 0; i < w->n_arms; i++) {
		size_t m = tells(e, w->arms[i], t) ? inoci_sweep_points(p->s, sweep, w->arms[i], points) : 0;
		int arm = inoci_experiment_arm(e, w->arms[i]), colour = inoci_arm_colour(e, arm);
		double *px = x + at;
		size_t kept = 0;
		inoci_estimate *u = y + at_y, *good = u + m;
		for (size_t k = 0; k < m; k++) {
			u[kept] = inoci_sum_share(p->s, points[k], p->s->headline, t->u, t->n_u);
			good[kept] = inoci_sum_share(p->s, points[k], p->s->headline, t->w, t->n_w);
			px[kept] = inoci_arm_value(&e->arms[points[k]], w->key);
			kept += u[kept].n > 0;
		}
		at += m, at_y += 2 * m;
		if (!kept) continue;
		v[n++] = (inoci_series){.label = e->arms[arm].label, .colour = colour, .x = px, .y = u, .n = kept};
		inoci_buf_printf(&legend, "<span class=\"chip\"><span class=\"ln\" style=\"border-color:var(--a%d)\"></span>U, ",
		                 colour);
		inoci_html_puts(&legend, e->arms[arm].label);
		inoci_buf_puts(&legend, "</span>");
		if (!t->n_w) continue;
		v[n++] = (inoci_series){
		        .label = e->arms[arm].label, .colour = colour, .dashed = true, .x = px, .y = good, .n = kept};
		inoci_buf_printf(&legend,
		                 "<span class=\"chip\"><span class=\"ln dash\" style=\"border-color:var(--a%d)\"></span>W, ",
		                 colour);
		inoci_html_puts(&legend, e->arms[arm].label);
		inoci_buf_puts(&legend, "</span>");
	}
	if (n) {
		inoc_err err = {0};
		int rc = p->plot_failed.code;
		char *id = inoci_asprintf("sweep%d-%d", sweep, trait), *title = inoci_asprintf("%s over %s", t->label, w->key);
		inoci_buf_puts(b, "<figure><h3>");
		inoci_html_puts(b, title);
		inoci_buf_printf(b, "</h3><div class=\"legend\">%s</div><div class=\"plot\">", legend.data);
		if (!rc)
			rc = inoci_plot_sweep(id, title, w->key,
			                      inoci_results_real(p->r, -1) ? "share, or mean score" : "share of answers", v, n, b,
			                      &err);
		inoci_page_plotted(p, rc, &err);
		inoci_buf_puts(b, "</div></figure>\n");
		free(id), free(title);
	}
	inoci_buf_free(&legend);
	free(v), free(x), free(y), free(points);
}

void inoci_page_numbers(inoci_buf *b, const inoci_report_table *t)
{
	inoci_buf_puts(b, "<details><summary>The numbers</summary><div class=\"scroll\"><table>");
	for (size_t r = 0; r < t->n_rows; r++) {
		inoci_buf_puts(b, "<tr>");
		for (size_t c = 0; c < t->n_cols; c++) {
			const char *tag = r ? "td" : "th";
			inoci_buf_printf(b, "<%s%s>", tag, t->right[c] ? " class=\"n\"" : "");
			inoci_html_puts(b, t->cell[r * t->n_cols + c]);
			inoci_buf_printf(b, "</%s>", tag);
		}
		inoci_buf_puts(b, "</tr>\n");
	}
	inoci_buf_puts(b, "</table></div></details>\n");
}

void inoci_page_sweeps(inoci_page *p)
{
	inoci_buf *b = p->b;
	if (!p->e->n_sweeps) return;
	char *w = inoci_eval_words(&p->e->evals[p->s->headline]);
	inoci_buf_puts(
	        b,
	        "<section id=\"sweeps\"><h2>Over a setting's values</h2>\n<p class=\"small\">U, the unwanted trait, and W, the "
	        "wanted skill: shares of ");
	inoci_html_puts(b, w);
	inoci_buf_puts(b, ", with 95 % intervals. Variants are shown, not judged.</p>\n");
	for (int i = 0; i < (int)p->e->n_sweeps; i++) {
		inoci_report_table t = inoci_report_sweep(p->s, i);
		inoci_buf_puts(b, "<div class=\"two\">\n");
		for (int k = 0; k < (int)p->e->n_traits; k++) plot(p, i, k);
		inoci_buf_puts(b, "</div>\n");
		if (t.n_rows > 1) inoci_page_numbers(b, &t);
		inoci_report_table_free(&t);
	}
	inoci_buf_puts(b, "</section>\n");
	free(w);
}
