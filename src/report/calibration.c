/* calibration: a reliability diagram as an SVG file of its own: label against what was said, by bins, the number of rows below.
 */
#include <math.h>

#include "report/internal.h"

int inoci_report_calibration(const inoci_calibration *c, inoci_buf *svg, inoc_err *err)
{
	inoci_buf b = {0};
	double most = 1;
	for (int k = 0; k < INOCI_BINS; k++) most = fmax(most, (double)c->bin[k].n);
	inoci_buf_printf(
	        &b, "set terminal svg size 480,480 dynamic noenhanced font 'sans-serif,13' background rgb '#ffffff'\n"
	            "set encoding utf8\nset border 3 lc rgb '#808080'\nunset key\nset multiplot\n"
	            "set lmargin at screen .14\nset rmargin at screen .97\nset tmargin at screen .97\nset bmargin at screen .34\n"
	            "set xrange [0:1]\nset yrange [0:1]\nset tics nomirror\nset format x ''\n"
	            "set ylabel 'share with the label' offset 1\nset grid lc rgb '#e0e0e0'\n"
	            "plot x with lines dt 2 lc rgb '#808080', '-' with yerrorbars pt 7 ps .8 lw 1.5 lc rgb '#1f6fb2'\n");
	for (int k = 0; k < INOCI_BINS; k++)
		if (c->bin[k].n)
			inoci_buf_printf(&b, "%.6g %.6g %.6g %.6g\n", c->bin[k].p, c->bin[k].y, c->bin[k].low, c->bin[k].high);
	inoci_buf_printf(&b,
	                 "e\nset tmargin at screen .29\nset bmargin at screen .12\nset yrange [0:%g]\nset format x '%%g'\n"
	                 "set xlabel 'the judge gives'\nset ylabel 'rows' offset 1\nset ytics %g\nunset grid\n"
	                 "set style fill solid 1 noborder\nset boxwidth .08\nplot '-' with boxes lc rgb '#1f6fb2'\n",
	                 most * 1.1, fmax(1, ceil(most / 2)));
	for (int k = 0; k < INOCI_BINS; k++) inoci_buf_printf(&b, "%.6g %zu\n", (k + 0.5) / INOCI_BINS, c->bin[k].n);
	inoci_buf_puts(&b, "e\nunset multiplot\n");
	int rc = inoci_gnuplot(b.data, b.len, svg, err);
	inoci_buf_free(&b);
	return rc;
}
