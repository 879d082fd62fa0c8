/* plot: the report's pictures, as gnuplot scripts. Places are computed here in pixels of the picture, so that labels
 * can be kept apart. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

enum { CHAR_PX = 7 }; /* width of a letter at 13 px, upper middle */

/* Letters, not bytes. */
static int letters(const char *s)
{
	int n = 0;
	for (; *s; s++) n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* A label that fits, cut at a letter with an ellipsis. free() it. */
static char *fit(const char *s, int max)
{
	if (letters(s) <= max) return inoci_strdup(s);
	const char *p = s;
	for (int n = 0; *p; p++)
		if (((unsigned char)*p & 0xc0) != 0x80 && ++n == max) break;
	return inoci_asprintf("%.*s\xe2\x80\xa6", (int)(p - s), s);
}

/* The frame that all plots share: w × h pixels, the drawing within the margins given. */
void inoci_plot_head(inoci_buf *b, int w, int h, int left, int right, int top, int bottom)
{
	inoci_buf_printf(b,
	                 "set terminal svg size %d,%d dynamic noenhanced font ',13'\n"
	                 "set encoding utf8\nset border 0\nunset key\n"
	                 "set lmargin at screen %.6f\nset rmargin at screen %.6f\n"
	                 "set tmargin at screen %.6f\nset bmargin at screen %.6f\n"
	                 "set tics scale 0 nomirror textcolor rgb '" PLOT_MUTED "'\n"
	                 "set style fill solid 1 noborder\nset bars small\n",
	                 w, h, (double)left / w, 1 - (double)right / w, 1 - (double)top / h, (double)bottom / h);
}

int inoci_plot_draw(const inoci_buf *script, const char *id, const char *title, const char *const *labels, size_t n_labels,
                    inoci_buf *out, inoc_err *err)
{
	inoci_buf svg = {0};
	int rc = inoci_gnuplot(script->data, script->len, &svg, err);
	if (rc == 0) inoci_svg_adapt(svg.data, svg.len, id, title, labels, n_labels, out);
	inoci_buf_free(&svg);
	return rc;
}

#define X_MAX 1.03 /* room for the end of a whole bar's interval */

/* An interval as a thin line with ends. One that reaches beyond 100 % is cut there, without an end. */
static void whisker(inoci_buf *b, double x0, double x1, double y, double end, unsigned colour)
{
	static const char line[] = "set arrow from %.6g,%.6g to %.6g,%.6g nohead lw 2 lc rgb '#%06x'\n";
	bool cut = x1 > 1 + 1e-9;
	if (x0 >= 1) return;
	if (cut) x1 = 1;
	inoci_buf_printf(b, line, x0, y, x1, y, colour);
	inoci_buf_printf(b, line, x0, y - end, x0, y + end, colour);
	if (!cut) inoci_buf_printf(b, line, x1, y - end, x1, y + end, colour);
}

int inoci_plot_bars(const char *id, const char *title, const char *const *rows, size_t n_rows, size_t n_classes,
                    const int *colour, const inoci_estimate *est, inoci_buf *out, inoc_err *err)
{
	enum { W = 560, ROW = 42, BAR = 22, TOP = 8, BOTTOM = 28, MAX_LETTERS = 22 };
	inoci_buf b = {0};
	int longest = 4, h = TOP + BOTTOM + ROW * (int)n_rows;
	char **label = inoci_alloc((n_rows + 1) * sizeof *label);
	for (size_t r = 0; r < n_rows; r++) {
		label[r] = fit(rows[r], MAX_LETTERS);
		if (letters(label[r]) > longest) longest = letters(label[r]);
	}
	inoci_buf bars = {0}, marks = {0}, ink = {0}, ticks = {0};
	for (size_t r = 0; r < n_rows; r++) {
		/* in units of rows, downwards: the bar, then two lanes for the intervals */
		double top = (double)r + 4.0 / ROW, low = top + (double)BAR / ROW, sum = 0;
		int lane = 0;
		bool any = false;
		for (size_t c = 0; c < n_classes; c++) {
			const inoci_estimate *e = &est[r * n_classes + c];
			if (!e->n || isnan(e->value)) continue;
			any = true;
			double v = e->value;
			if (v > 0)
				inoci_buf_printf(
				        &bars, "set object rect from %.6g,%.6g to %.6g,%.6g fc rgb '#%06x' fs solid 1 noborder\n",
				        sum, top, sum + v, low, (unsigned)(PLOT_CLASS + colour[c]));
			if (v >= 0.08)
				inoci_buf_printf(&ink, "set label '%.0f' at %.6g,%.6g center front tc rgb '#%06x' font ',12'\n",
				                 100 * v, sum + v / 2, (top + low) / 2, (unsigned)(PLOT_INK + colour[c]));
			/* what is left over has its interval in the table beside */
			if (v > 0 && e->high - e->low > 0.004 && colour[c] != CLASS_OTHER) {
				whisker(&marks, sum + e->low, sum + e->high, low + (lane ? 9.5 : 4.5) / ROW, 2.5 / ROW,
				        (unsigned)(PLOT_MARK + colour[c]));
				lane = !lane;
			}
			sum += v;
		}
		if (!any)
			inoci_buf_printf(&ink, "set label 'no answers' at 0.01,%.6g left tc rgb '" PLOT_MUTED "'\n",
			                 (top + low) / 2);
		inoci_buf_printf(&ticks, "%s'@@%zu@@' %.6g", r ? ", " : "", r, (top + low) / 2);
	}
	inoci_plot_head(&b, W, h, longest * CHAR_PX + 14, 18, TOP, BOTTOM);
	inoci_buf_printf(&b, "set xrange [0:%.6g]\nset yrange [%zu:0]\n", X_MAX, n_rows);
	inoci_buf_puts(&b, "set grid x lw 1 dt solid lc rgb '" PLOT_GRID "'\nset grid back\n"
	                   "set xtics ('0' 0, '25' .25, '50' .5, '75' .75, '100 %%' 1)\n");
	inoci_buf_printf(&b, "set ytics (%s) textcolor rgb '" PLOT_FG "'\n", ticks.data ? ticks.data : "");
	inoci_buf_puts(&b, bars.data ? bars.data : "");
	inoci_buf_puts(&b, marks.data ? marks.data : "");
	inoci_buf_puts(&b, ink.data ? ink.data : "");
	inoci_buf_puts(&b, "plot NaN notitle\n");
	int rc = inoci_plot_draw(&b, id, title, (const char *const *)label, n_rows, out, err);
	inoci_buf_free(&b);
	inoci_buf_free(&bars);
	inoci_buf_free(&marks);
	inoci_buf_free(&ink);
	inoci_buf_free(&ticks);
	for (size_t r = 0; r < n_rows; r++) free(label[r]);
	free(label);
	return rc;
}

/* ---- scatter ---- */

typedef struct {
	double x0, y0, x1, y1;
} box;

static double overlap(box a, box b)
{
	double w = fmin(a.x1, b.x1) - fmax(a.x0, b.x0), h = fmin(a.y1, b.y1) - fmax(a.y0, b.y0);
	return w > 0 && h > 0 ? w * h : 0;
}

enum { SC_W = 600, SC_H = 470, SC_LEFT = 58, SC_RIGHT = 24, SC_TOP = 14, SC_BOTTOM = 52 };
#define SC_LO (-0.05)
#define SC_HI 1.05

static double to_x(double v)
{
	return SC_LEFT + (v - SC_LO) / (SC_HI - SC_LO) * (SC_W - SC_LEFT - SC_RIGHT);
}
static double to_y(double v)
{
	return SC_TOP + (SC_HI - v) / (SC_HI - SC_LO) * (SC_H - SC_TOP - SC_BOTTOM);
}

/* Puts each label where it covers least of marks and of labels put before it, nearest first. */
static void place(const inoci_mark *m, size_t n, char *const *label, box *at)
{
	for (size_t i = 0; i < n; i++) {
		double px = to_x(m[i].x.value), py = to_y(m[i].y.value), w = letters(label[i]) * CHAR_PX + 2, best = INFINITY;
		for (int ring = 0; ring < 9; ring++)
			for (int a = 0; a < 16; a++) {
				double dist = 11 + 14 * ring, ang = M_PI * (a <= 8 ? a : -(a - 8)) / 8.0;
				double cx = px + dist * cos(ang), cy = py - dist * sin(ang);
				box t = {.x0 = cx, .y0 = cy - 8, .x1 = cx + w, .y1 = cy + 8};
				if (cos(ang) < -0.1)
					t.x0 = cx - w, t.x1 = cx;
				else if (cos(ang) < 0.1)
					t.x0 = cx - w / 2, t.x1 = cx + w / 2;
				double cost = 14 * ring + a * 0.3;
				if (t.x0 < SC_LEFT + 2 || t.x1 > SC_W - 2 || t.y0 < SC_TOP || t.y1 > SC_H - SC_BOTTOM)
					cost += 1e6;
				for (size_t k = 0; k < n; k++) {
					box mark = {to_x(m[k].x.value) - 7, to_y(m[k].y.value) - 7, to_x(m[k].x.value) + 7,
					            to_y(m[k].y.value) + 7};
					box hor = {to_x(m[k].x.low), to_y(m[k].y.value) - 2, to_x(m[k].x.high),
					           to_y(m[k].y.value) + 2};
					box ver = {to_x(m[k].x.value) - 2, to_y(m[k].y.high), to_x(m[k].x.value) + 2,
					           to_y(m[k].y.low)};
					cost += 4 * overlap(t, mark) + overlap(t, hor) + overlap(t, ver);
					if (k < i) cost += 20 * overlap(t, at[k]);
					for (size_t s = 0; s < m[k].n_seeds; s++) {
						box dot = {to_x(m[k].seed_x[s]) - 3, to_y(m[k].seed_y[s]) - 3,
						           to_x(m[k].seed_x[s]) + 3, to_y(m[k].seed_y[s]) + 3};
						cost += overlap(t, dot);
					}
				}
				if (cost < best) best = cost, at[i] = t;
			}
	}
}

/* xtics, ytics: gnuplot's, at places in [0, 1]. */
static int scatter(const char *id, const char *title, const char *xlabel, const char *ylabel, const char *xtics,
                   const char *ytics, const inoci_mark *m, size_t n, inoci_buf *out, inoc_err *err)
{
	static const int shape[] = {7, 5, 9, 13, 11, 15};
	static const double size[] = {1.0, .9, 1.2, 1.2, 1.2, 1.1};
	inoci_buf b = {0};
	char **label = inoci_alloc((n + 2) * sizeof *label);
	box *at = inoci_alloc((n + 1) * sizeof *at);
	for (size_t i = 0; i < n; i++) label[i] = fit(m[i].label, 26);
	label[n] = inoci_strdup(xlabel);
	label[n + 1] = inoci_strdup(ylabel);
	place(m, n, label, at);
	inoci_plot_head(&b, SC_W, SC_H, SC_LEFT, SC_RIGHT, SC_TOP, SC_BOTTOM);
	inoci_buf_printf(&b,
	                 "set xrange [%g:%g]\nset yrange [%g:%g]\nset grid lw 1 dt solid lc rgb '" PLOT_GRID "'\n"
	                 "set xtics (%s)\nset ytics (%s)\n"
	                 "set label '@@%zu@@' at screen %.6f,%.6f center tc rgb '" PLOT_FG "'\n"
	                 "set label '@@%zu@@' at screen %.6f,%.6f center rotate tc rgb '" PLOT_FG "'\n",
	                 SC_LO, SC_HI, SC_LO, SC_HI, xtics, ytics, n, (to_x(0.5)) / SC_W, 14.0 / SC_H, n + 1, 12.0 / SC_W,
	                 1 - to_y(0.5) / SC_H);
	for (size_t i = 0; i < n; i++) {
		unsigned c = (unsigned)(PLOT_ARM + m[i].colour);
		double px = to_x(m[i].x.value), py = to_y(m[i].y.value), cy = (at[i].y0 + at[i].y1) / 2;
		double ex = fmin(fmax(px, at[i].x0 - 1), at[i].x1 + 1), ey = px < at[i].x0 || px > at[i].x1 ? cy
		                                                             : py > cy                      ? at[i].y1
		                                                                                            : at[i].y0;
		if (hypot(ex - px, ey - py) > 16)
			inoci_buf_printf(
			        &b,
			        "set arrow from screen %.6f,%.6f to screen %.6f,%.6f nohead back lw 1 lc rgb '" PLOT_MUTED "'\n",
			        px / SC_W, 1 - py / SC_H, ex / SC_W, 1 - ey / SC_H);
		inoci_buf_printf(&b, "set label '@@%zu@@' at screen %.6f,%.6f left front tc rgb '#%06x'\n", i, at[i].x0 / SC_W,
		                 1 - cy / SC_H, c);
	}
	inoci_buf_puts(&b, "plot NaN notitle");
	for (size_t i = 0; i < n; i++) {
		unsigned c = (unsigned)(PLOT_ARM + m[i].colour);
		int k = m[i].colour % (int)INOCI_COUNT(shape);
		if (m[i].n_seeds > 1) inoci_buf_printf(&b, ", '-' with points pt 7 ps .55 lc rgb '#90%06x'", c);
		inoci_buf_printf(
		        &b, ", '-' with xyerrorbars pt 7 ps 0 lw 1.5 lc rgb '#%06x', '-' with points pt %d ps %g lc rgb '#%06x'",
		        c, shape[k], size[k], c);
	}
	inoci_buf_puts(&b, "\n");
	for (size_t i = 0; i < n; i++) {
		const inoci_mark *q = &m[i];
		if (q->n_seeds > 1) {
			for (size_t s = 0; s < q->n_seeds; s++)
				if (!isnan(q->seed_x[s]) && !isnan(q->seed_y[s]))
					inoci_buf_printf(&b, "%.6g %.6g\n", q->seed_x[s], q->seed_y[s]);
			inoci_buf_puts(&b, "e\n");
		}
		inoci_buf_printf(&b, "%.6g %.6g %.6g %.6g %.6g %.6g\ne\n%.6g %.6g\ne\n", q->x.value, q->y.value,
		                 fmax(q->x.low, 0), fmin(q->x.high, 1), fmax(q->y.low, 0), fmin(q->y.high, 1), q->x.value,
		                 q->y.value);
	}
	int rc = inoci_plot_draw(&b, id, title, (const char *const *)label, n + 2, out, err);
	inoci_buf_free(&b);
	for (size_t i = 0; i < n + 2; i++) free(label[i]);
	free(label);
	free(at);
	return rc;
}

static const char share_tics[] = "'0' 0, '25' .25, '50' .5, '75' .75, '100 %%' 1";

int inoci_plot_scatter(const char *id, const char *title, const char *xlabel, const char *ylabel, const inoci_mark *m, size_t n,
                       inoci_buf *out, inoc_err *err)
{
	return scatter(id, title, xlabel, ylabel, share_tics, share_tics, m, n, out, err);
}

/* Round tic marks at a step that gives 4 to 9 of them, at their places in [low, high]. */
static void tics_of(double low, double high, inoci_buf *b)
{
	double step = pow(10, floor(log10(high - low)));
	if ((high - low) / step < 2) step /= 5;
	if ((high - low) / step < 4) step /= 2;
	for (double v = ceil(low / step) * step; v <= high + step / 1e6; v += step)
		inoci_buf_printf(b, "%s'%g' %.6g", b->len ? ", " : "", fabs(v) < step / 1e3 ? 0 : v, (v - low) / (high - low));
}

/* Where the values and their intervals lie, with a little room. */
static void range_of(const inoci_mark *m, size_t n, bool y, double *low, double *high)
{
	*low = INFINITY, *high = -INFINITY;
	for (size_t i = 0; i < n; i++) {
		const inoci_estimate *e = y ? &m[i].y : &m[i].x;
		const double v[] = {e->value, e->low, e->high};
		for (int k = 0; k < 3; k++)
			if (isfinite(v[k])) *low = fmin(*low, v[k]), *high = fmax(*high, v[k]);
		for (size_t s = 0; s < m[i].n_seeds; s++) {
			double d = y ? m[i].seed_y[s] : m[i].seed_x[s];
			if (isfinite(d)) *low = fmin(*low, d), *high = fmax(*high, d);
		}
	}
	if (!(*high > *low)) *low = isfinite(*low) ? *low - 1 : 0, *high = *low + 2;
}

static inoci_estimate within(const inoci_estimate *e, double low, double high)
{
	inoci_estimate t = *e;
	t.value = (e->value - low) / (high - low);
	t.low = isfinite(e->low) ? (e->low - low) / (high - low) : t.value;
	t.high = isfinite(e->high) ? (e->high - low) / (high - low) : t.value;
	return t;
}

/* Axes from lim[0] to lim[1] across and from lim[2] to lim[3] up. */
static int scaled(const char *id, const char *title, const char *xlabel, const char *ylabel, const char *xtics, const char *ytics,
                  const double lim[4], const inoci_mark *m, size_t n, inoci_buf *out, inoc_err *err)
{
	inoci_mark *t = inoci_alloc((n + 1) * sizeof *t);
	for (size_t i = 0; i < n; i++) {
		double *sx = inoci_alloc((m[i].n_seeds + 1) * sizeof *sx), *sy = inoci_alloc((m[i].n_seeds + 1) * sizeof *sy);
		t[i] = m[i];
		t[i].x = within(&m[i].x, lim[0], lim[1]);
		t[i].y = within(&m[i].y, lim[2], lim[3]);
		for (size_t s = 0; s < m[i].n_seeds; s++) {
			sx[s] = (m[i].seed_x[s] - lim[0]) / (lim[1] - lim[0]);
			sy[s] = (m[i].seed_y[s] - lim[2]) / (lim[3] - lim[2]);
		}
		t[i].seed_x = sx, t[i].seed_y = sy;
	}
	int rc = scatter(id, title, xlabel, ylabel, xtics, ytics, t, n, out, err);
	for (size_t i = 0; i < n; i++) free((void *)(uintptr_t)t[i].seed_x), free((void *)(uintptr_t)t[i].seed_y);
	free(t);
	return rc;
}

int inoci_plot_points(const char *id, const char *title, const char *xlabel, const char *ylabel, const inoci_mark *m, size_t n,
                      inoci_buf *out, inoc_err *err)
{
	inoci_buf xtics = {0}, ytics = {0};
	double lim[4];
	range_of(m, n, false, &lim[0], &lim[1]);
	range_of(m, n, true, &lim[2], &lim[3]);
	tics_of(lim[0], lim[1], &xtics);
	tics_of(lim[2], lim[3], &ytics);
	int rc = scaled(id, title, xlabel, ylabel, xtics.data ? xtics.data : "", ytics.data ? ytics.data : "", lim, m, n, out,
	                err);
	inoci_buf_free(&xtics), inoci_buf_free(&ytics);
	return rc;
}

int inoci_plot_plane(const char *id, const char *title, const char *xlabel, const char *ylabel, const inoci_mark *m, size_t n,
                     const inoci_mark *all, size_t n_all, inoci_buf *out, inoc_err *err)
{
	inoci_buf tics[2] = {{0}, {0}};
	double lim[4];
	for (int k = 0; k < 2; k++) {
		bool real = false;
		for (size_t i = 0; i < n_all; i++) real = real || (k ? all[i].y : all[i].x).real;
		lim[2 * k] = 0, lim[2 * k + 1] = 1;
		if (real) range_of(all, n_all, k, &lim[2 * k], &lim[2 * k + 1]);
		if (real)
			tics_of(lim[2 * k], lim[2 * k + 1], &tics[k]);
		else
			inoci_buf_puts(&tics[k], share_tics);
	}
	int rc = scaled(id, title, xlabel, ylabel, tics[0].data, tics[1].data, lim, m, n, out, err);
	inoci_buf_free(&tics[0]), inoci_buf_free(&tics[1]);
	return rc;
}

static int curves(const char *id, const char *title, const char *xlabel, const char *ylabel, const inoci_curve *c, size_t n,
                  bool steps, inoci_buf *out, inoc_err *err)
{
	enum { W = 600, H = 440, LEFT = 58, RIGHT = 14, TOP = 12, BOTTOM = 50 };
	const char *const label[] = {xlabel, ylabel};
	inoci_buf b = {0};
	double top = 0, low = INFINITY;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < c[i].n; k++)
			if (isfinite(c[i].y[k])) top = fmax(top, c[i].y[k]), low = fmin(low, c[i].y[k]);
	/* down to 0 unless that would press the curves into the upper half */
	low = low > 0.5 * top && top < INFINITY ? low - 0.08 * (top - low) : 0;
	inoci_plot_head(&b, W, H, LEFT, RIGHT, TOP, BOTTOM);
	inoci_buf_printf(&b,
	                 "set yrange [%.6g:%.6g]\nset xrange [0:*] noextend\nset grid y lw 1 dt solid lc rgb '" PLOT_GRID "'\n"
	                 "set label '@@0@@' at screen %.6f,%.6f center tc rgb '" PLOT_FG "'\n"
	                 "set label '@@1@@' at screen %.6f,%.6f center rotate tc rgb '" PLOT_FG "'\n",
	                 low, top > 0 ? top + 0.04 * (top - low) : 1, (LEFT + (W - LEFT - RIGHT) / 2.0) / W, 14.0 / H, 12.0 / W,
	                 1 - (TOP + (H - TOP - BOTTOM) / 2.0) / H);
	if (steps && n) {
		double last = 1;
		for (size_t i = 0; i < n; i++)
			for (size_t k = 0; k < c[i].n; k++) last = fmax(last, c[i].x[k]);
		inoci_buf_printf(&b, "set nonlinear x via log(1+x) inverse exp(x)-1\nset xrange [0:%g]\nset xtics (", last);
		for (size_t k = 0; k < c[0].n; k++) inoci_buf_printf(&b, "%s'%g' %g", k ? ", " : "", c[0].x[k], c[0].x[k]);
		inoci_buf_puts(&b, ")\n");
	}
	inoci_buf_puts(&b, "plot NaN notitle");
	for (size_t i = 0; i < n; i++)
		if (c[i].n && c[i].points)
			inoci_buf_printf(&b, ", '-' with linespoints pt 7 ps .6 lw 1 dt (2,4) lc rgb '#%06x'",
			                 (unsigned)(PLOT_ARM + c[i].colour));
		else if (c[i].n)
			inoci_buf_printf(&b, ", '-' with lines lw %g dt %s lc rgb '#%s%06x'", c[i].faint ? 1.0 : 2.2,
			                 c[i].dashed ? "(10,5)" : "solid", c[i].faint ? "a8" : "",
			                 (unsigned)(PLOT_ARM + c[i].colour));
	inoci_buf_puts(&b, "\n");
	for (size_t i = 0; i < n; i++) {
		if (!c[i].n) continue;
		for (size_t k = 0; k < c[i].n; k++)
			if (isfinite(c[i].y[k]))
				inoci_buf_printf(&b, "%.6g %.5g\n", c[i].x[k], c[i].y[k]);
			else
				inoci_buf_puts(&b, "\n");
		inoci_buf_puts(&b, "e\n");
	}
	int rc = inoci_plot_draw(&b, id, title, label, 2, out, err);
	inoci_buf_free(&b);
	return rc;
}

int inoci_plot_curves(const char *id, const char *title, const char *xlabel, const char *ylabel, const inoci_curve *c, size_t n,
                      inoci_buf *out, inoc_err *err)
{
	return curves(id, title, xlabel, ylabel, c, n, false, out, err);
}

int inoci_plot_steps(const char *id, const char *title, const char *xlabel, const char *ylabel, const inoci_curve *c, size_t n,
                     inoci_buf *out, inoc_err *err)
{
	return curves(id, title, xlabel, ylabel, c, n, true, out, err);
}

/* ---- effects ---- */

int inoci_plot_effects(const char *id, const char *title, const char *xlabel, const inoci_mark *m, size_t n, const char *base,
                       inoci_buf *out, inoc_err *err)
{
	enum { W = 560, ROW = 26, TOP = 8, BOTTOM = 52, MAX_LETTERS = 26 };
	inoci_buf b = {0}, xtics = {0}, ytics = {0}, lines = {0};
	const char **label = inoci_alloc((n + 1) * sizeof *label);
	double low, high;
	int longest = 4, h = TOP + BOTTOM + ROW * (int)n;
	range_of(m, n, false, &low, &high);
	double room = 0.04 * (high - low);
	low -= room, high += room;
	tics_of(low, high, &xtics);
	for (size_t i = 0; i < n; i++) {
		label[i] = fit(m[i].label, MAX_LETTERS);
		if (letters(label[i]) > longest) longest = letters(label[i]);
		inoci_buf_printf(&ytics, "%s'@@%zu@@' %zu", i ? ", " : "", i, i);
	}
	label[n] = xlabel;
	for (size_t i = 0; i < n; i++) {
		inoci_estimate e = within(&m[i].x, low, high);
		unsigned c = (unsigned)(PLOT_ARM + m[i].colour);
		if (base && !strcmp(m[i].label, base))
			inoci_buf_printf(&lines,
			                 "set arrow from %.6g,-0.5 to %.6g,%.6g nohead back lw 1.2 dt (6,4) lc rgb '" PLOT_MUTED
			                 "'\n",
			                 e.value, e.value, (double)n - 0.5);
		if (e.high > e.low)
			inoci_buf_printf(&lines, "set arrow from %.6g,%zu to %.6g,%zu nohead lw 2 lc rgb '#%06x'\n", e.low, i,
			                 e.high, i, c);
		inoci_buf_printf(&lines, "set label '' at %.6g,%zu point pt 7 ps .8 lc rgb '#%06x' front\n", e.value, i, c);
	}
	int left = longest * CHAR_PX + 14;
	inoci_plot_head(&b, W, h, left, 18, TOP, BOTTOM);
	inoci_buf_printf(&b,
	                 "set xrange [0:1]\nset yrange [%.6g:-0.5]\nset grid x lw 1 dt solid lc rgb '" PLOT_GRID
	                 "'\nset grid back\n"
	                 "set xtics (%s)\nset ytics (%s) textcolor rgb '" PLOT_FG "'\n"
	                 "set label '@@%zu@@' at screen %.6f,%.6f center tc rgb '" PLOT_FG "'\n%splot NaN notitle\n",
	                 (double)n - 0.5, xtics.data ? xtics.data : "", ytics.data ? ytics.data : "", n,
	                 (left + (W - left - 18) / 2.0) / W, 12.0 / h, lines.data ? lines.data : "");
	int rc = inoci_plot_draw(&b, id, title, label, n + 1, out, err);
	for (size_t i = 0; i < n; i++) free((char *)(uintptr_t)label[i]);
	free(label);
	inoci_buf_free(&b), inoci_buf_free(&xtics), inoci_buf_free(&ytics), inoci_buf_free(&lines);
	return rc;
}

/* ---- sweeps ---- */

int inoci_plot_sweep(const char *id, const char *title, const char *xlabel, const char *ylabel, const inoci_series *v, size_t n,
                     inoci_buf *out, inoc_err *err)
{
	enum { W = 600, H = 400, LEFT = 58, RIGHT = 24, TOP = 14, BOTTOM = 52 };
	const char *const label[] = {xlabel, ylabel};
	inoci_buf b = {0};
	double low = INFINITY, high = -INFINITY;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < v[i].n; k++) low = fmin(low, v[i].x[k]), high = fmax(high, v[i].x[k]);
	bool logarithmic = low > 0 && high / low >= 8, real = false;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < v[i].n; k++) real = real || v[i].y[k].real;
	double span = logarithmic ? log(high / low) : high - low;
	if (span <= 0) span = low != 0 ? fabs(low) : 1;
	double margin = 0.06 * span, from = logarithmic ? low * exp(-margin) : low - margin,
	       to = logarithmic ? high * exp(margin) : high + margin;
	inoci_plot_head(&b, W, H, LEFT, RIGHT, TOP, BOTTOM);
	inoci_buf_printf(&b,
	                 "%sset xrange [%.9g:%.9g] noextend\n%sset grid y lw 1 dt solid lc rgb '" PLOT_GRID "'\nset bars small\n"
	                 "set label '@@0@@' at screen %.6f,%.6f center tc rgb '" PLOT_FG "'\n"
	                 "set label '@@1@@' at screen %.6f,%.6f center rotate tc rgb '" PLOT_FG "'\nset xtics (",
	                 logarithmic ? "set logscale x\n" : "", from, to,
	                 real ? "" : "set yrange [-0.04:1.04]\nset ytics ('0' 0, '25' .25, '50' .5, '75' .75, '100 %%' 1)\n",
	                 (LEFT + (W - LEFT - RIGHT) / 2.0) / W, 14.0 / H, 12.0 / W, 1 - (TOP + (H - TOP - BOTTOM) / 2.0) / H);
	/* ticks where there are marks, but for those too close to the one before */
	double last = -INFINITY;
	bool first = true;
	for (double at = low; isfinite(at);) {
		double place = logarithmic ? log(at) : at, next = INFINITY;
		if (place - last > 0.07 * span) {
			inoci_buf_printf(&b, "%s'%g' %.9g", first ? "" : ", ", at, at);
			last = place, first = false;
		}
		for (size_t i = 0; i < n; i++)
			for (size_t k = 0; k < v[i].n; k++)
				if (v[i].x[k] > at) next = fmin(next, v[i].x[k]);
		at = next;
	}
	inoci_buf_puts(&b, ")\nplot NaN notitle");
	for (size_t i = 0; i < n; i++) {
		unsigned c = (unsigned)(PLOT_ARM + v[i].colour);
		inoci_buf_printf(
		        &b, ", '-' with lines lw 2 dt %s lc rgb '#%06x', '-' with yerrorbars pt %d ps .8 lw 1.4 lc rgb '#%06x'",
		        v[i].dashed ? "(10,5)" : "solid", c, v[i].dashed ? 6 : 7, c);
	}
	inoci_buf_puts(&b, "\n");
	for (size_t i = 0; i < n; i++)
		for (int pass = 0; pass < 2; pass++) {
			/* side by side, so that intervals do not hide each other */
			double aside = ((double)i - ((double)n - 1) / 2) * 0.012 * (span + 2 * margin);
			for (size_t k = 0; k < v[i].n; k++)
				if (v[i].y[k].n)
					inoci_buf_printf(&b, "%.9g %.6g %.6g %.6g\n",
					                 logarithmic ? v[i].x[k] * exp(aside) : v[i].x[k] + aside,
					                 v[i].y[k].value, real ? v[i].y[k].low : fmax(v[i].y[k].low, 0),
					                 real ? v[i].y[k].high : fmin(v[i].y[k].high, 1));
			inoci_buf_puts(&b, "e\n");
		}
	int rc = inoci_plot_draw(&b, id, title, label, 2, out, err);
	inoci_buf_free(&b);
	return rc;
}
