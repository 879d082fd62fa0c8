/* planes: two scores of every arm against each other, as cells, as JSON and as pictures, a panel an evaluation. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

/* "coherent answers", "not looping". free() it. */
static char *axis_words(const inoci_plane_axis *a)
{
	if (a->label) return inoci_strdup(a->label);
	char *sum = inoci_sum_label(a->scorers, a->n_scorers), *words = inoci_words(sum);
	char *all = inoci_asprintf("%s%s", a->invert ? "not " : "", words);
	free(sum), free(words);
	return all;
}

/* With the unit, as an axis's title has it. free() it. */
static char *axis_title(const inoci_experiment *e, const inoci_plane_axis *a)
{
	const char *unit = inoci_plane_axis_unit(e, a);
	char *words = axis_words(a), *title;
	title = unit && !strcmp(unit, words) ? inoci_strdup(words) : inoci_asprintf("%s, %s", words, unit ? unit : "%");
	free(words);
	return title;
}

static const inoci_evaluation *panel_eval(const inoci_experiment *e, const inoci_plane *p, int panel)
{
	return &e->evals[inoci_experiment_eval(e, p->evaluations[panel])];
}

static char *share(const inoci_estimate *e)
{
	inoci_buf b = {0};
	inoci_put_share(&b, e, true);
	return inoci_buf_take(&b);
}

/* "600", or "600 / 598" where the two differ. */
static char *counts(int x, int y)
{
	return x == y ? inoci_asprintf("%d", x) : inoci_asprintf("%d / %d", x, y);
}

inoci_report_table inoci_report_plane(const inoci_summary *s, int plane)
{
	enum { EVALUATION, ARM, X, Y, COUNT, MISSING, N };
	const inoci_experiment *e = s->r->e;
	const inoci_plane *p = &e->planes[plane];
	char *x = axis_words(&p->axis[0]), *y = axis_words(&p->axis[1]);
	const char *const header[N] = {"evaluation", "arm", x, y, "n", "missing"};
	inoci_report_table t = inoci_table_new(header, N, s->n_points);
	for (int c = X; c < N; c++) t.right[c] = true;
	for (size_t i = 0; i < s->n_points; i++) {
		const inoci_plane_point *q = &s->points[i];
		if (q->plane != plane) continue;
		char **row = t.cell + N * t.n_rows++;
		row[EVALUATION] = inoci_strdup(panel_eval(e, p, q->panel)->label);
		row[ARM] = inoci_strdup(e->arms[q->arm].label);
		row[X] = share(&q->at[0]);
		row[Y] = share(&q->at[1]);
		row[COUNT] = counts(q->at[0].n, q->at[1].n);
		row[MISSING] = counts(q->at[0].missing, q->at[1].missing);
	}
	free(x), free(y);
	return t;
}

/* ---- JSON ---- */

static json_t *axis_json(const inoci_experiment *e, const inoci_plane_axis *a)
{
	char *words = axis_words(a);
	const char *unit = inoci_plane_axis_unit(e, a);
	json_t *scorers = json_array();
	for (size_t i = 0; i < a->n_scorers; i++) json_array_append_new(scorers, json_string(a->scorers[i]));
	json_t *o = json_pack("{s:s*, s:s, s:b, s:o}", "label", words, "unit", unit ? unit : "share", "invert", (int)a->invert,
	                      "scorers", scorers);
	free(words);
	return o;
}

static json_t *point_json(const inoci_summary *s, const inoci_plane_point *q)
{
	static const char *const names[] = {"x", "y"};
	const inoci_experiment *e = s->r->e;
	const inoci_plane *p = &e->planes[q->plane];
	json_t *o = json_object(), *seeds = json_array();
	json_object_set_new(o, "evaluation", json_string(p->evaluations[q->panel]));
	json_object_set_new(o, "arm", json_string(e->arms[q->arm].name));
	for (int k = 0; k < 2; k++) {
		json_t *v = inoci_estimate_json(&q->at[k]);
		json_object_set_new(v, "evaluation", json_string(e->evals[p->axis[k].eval[q->panel]].name));
		json_object_set_new(o, names[k], v);
	}
	for (int d = 0; q->seed[0] && d < s->r->n_seeds; d++) {
		json_t *v = json_pack("{s:I}", "seed", (json_int_t)s->r->seeds[d]);
		for (int k = 0; k < 2; k++)
			json_object_set_new(v, names[k], q->seed[k][d].n ? json_real(q->seed[k][d].value) : json_null());
		json_array_append_new(seeds, v);
	}
	json_object_set_new(o, "seeds", seeds);
	return o;
}

json_t *inoci_planes_json(const inoci_summary *s)
{
	const inoci_experiment *e = s->r->e;
	json_t *all = json_array();
	for (size_t i = 0; i < e->n_planes; i++) {
		const inoci_plane *p = &e->planes[i];
		json_t *points = json_array();
		for (size_t k = 0; k < s->n_points; k++)
			if (s->points[k].plane == (int)i) json_array_append_new(points, point_json(s, &s->points[k]));
		json_array_append_new(all,
		                      json_pack("{s:s, s:s*, s:o, s:o, s:o}", "name", p->name, "label", p->label, "x",
		                                axis_json(e, &p->axis[0]), "y", axis_json(e, &p->axis[1]), "points", points));
	}
	return all;
}

/* ---- the page ---- */

/* The points of a panel (-1: of all) as marks; fills m, and xy with the seeds' places (2 a seed and mark). */
static size_t marks(const inoci_page *p, int plane, int panel, inoci_mark *m, double *xy)
{
	size_t n = 0, S = (size_t)p->r->n_seeds;
	for (size_t i = 0; i < p->s->n_points; i++) {
		const inoci_plane_point *q = &p->s->points[i];
		if (q->plane != plane || (panel >= 0 && q->panel != panel)) continue;
		double *x = xy + 2 * S * n, *y = x + S;
		inoci_mark v = {.label = p->e->arms[q->arm].label,
		                .colour = inoci_arm_colour(p->e, q->arm),
		                .x = q->at[0],
		                .y = q->at[1],
		                .seed_x = x,
		                .seed_y = y};
		for (size_t d = 0; q->seed[0] && d < S; d++)
			if (q->seed[0][d].n && q->seed[1][d].n)
				x[v.n_seeds] = q->seed[0][d].value, y[v.n_seeds++] = q->seed[1][d].value;
		m[n++] = v;
	}
	return n;
}

/* "Up: on chooses the good answer.": the evaluation, where it is not the panel's. */
static void put_axis(inoci_page *p, const inoci_plane *pl, int axis, int panel)
{
	const inoci_evaluation *v = &p->e->evals[pl->axis[axis].eval[panel]];
	if (v == panel_eval(p->e, pl, panel)) return;
	inoci_buf_printf(p->b, "<p class=\"small\">%s: on ", axis ? "Up" : "Across");
	inoci_html_puts(p->b, v->label);
	inoci_buf_puts(p->b, ".</p>");
}

static void panels(inoci_page *p, int plane)
{
	inoci_buf *b = p->b;
	const inoci_plane *pl = &p->e->planes[plane];
	size_t room = p->s->n_points + 1, per = 2 * (size_t)p->r->n_seeds + 1;
	inoci_mark *all = inoci_alloc(room * sizeof *all), *m = inoci_alloc(room * sizeof *m);
	double *xy = inoci_alloc(room * per * sizeof *xy), *xy_all = inoci_alloc(room * per * sizeof *xy_all);
	size_t n_all = marks(p, plane, -1, all, xy_all);
	char *x = axis_title(p->e, &pl->axis[0]), *y = axis_title(p->e, &pl->axis[1]);
	for (int panel = 0; panel < (int)pl->n_panels; panel++) {
		size_t n = marks(p, plane, panel, m, xy);
		const char *on = panel_eval(p->e, pl, panel)->label;
		if (!n) continue;
		inoc_err err = {0};
		int rc = p->plot_failed.code;
		char *id = inoci_asprintf("plane%d-%d", plane, panel), *title = inoci_asprintf("%s: %s", pl->label, on);
		inoci_buf_puts(b, "<figure><h3>");
		inoci_html_puts(b, on);
		inoci_buf_puts(b, "</h3>");
		for (int k = 0; k < 2; k++) put_axis(p, pl, k, panel);
		inoci_buf_puts(b, "<div class=\"plot\">");
		if (!rc) rc = inoci_plot_plane(id, title, x, y, m, n, all, n_all, b, &err);
		inoci_page_plotted(p, rc, &err);
		inoci_buf_puts(b, "</div></figure>\n");
		free(id), free(title);
	}
	free(x), free(y), free(all), free(m), free(xy), free(xy_all);
}

void inoci_page_planes(inoci_page *p)
{
	inoci_buf *b = p->b;
	if (!p->s->n_points) return;
	inoci_buf_puts(b, "<section id=\"planes\">\n");
	for (int i = 0; i < (int)p->e->n_planes; i++) {
		inoci_report_table t = inoci_report_plane(p->s, i);
		if (t.n_rows > 1) {
			inoci_buf_puts(b, "<h2>");
			inoci_html_puts(b, p->e->planes[i].label);
			inoci_buf_printf(b,
			                 "</h2>\n<p class=\"small\">Each mark an arm with its %s in both directions, its single "
			                 "seeds small and faint.</p>\n<div class=\"two\">\n",
			                 inoci_ci_words(p->r));
			panels(p, i);
			inoci_buf_puts(b, "</div>\n");
			inoci_page_numbers(b, &t);
		}
		inoci_report_table_free(&t);
	}
	inoci_buf_puts(b, "</section>\n");
}
