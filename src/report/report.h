/* report: what an experiment showed, for people (one HTML file, Markdown) and for programs (CSV, JSON).
 *
 * Invariants:
 *  1. Every sentence and every figure is made from the numbers of inoci_summary; nothing is written that they do not say.
 *  2. The HTML file needs nothing beside it: no network, no script to be read. All text of the user's and the model's is
 *     escaped.
 *  3. A report is written whole or not at all.
 */
#ifndef INOCI_REPORT_H
#define INOCI_REPORT_H

#include "base/base.h"
#include "lab/lab.h"
#include "scan/scan.h"

enum { INOCI_REPORT_BOOT = 2000 }; /* resamples of the report's intervals */

/* Summarises r and writes DIR/report.html and DIR/results.csv, making DIR. Without gnuplot the report has its tables and says
 * where a plot would be; that is a note to p, no error. */
INOCI_MUST int inoci_report_write(const inoci_results *r, const char *dir, const inoci_progress *p, inoc_err *err);

/* The same parts one by one; each appends to out. */
INOCI_MUST int inoci_report_html(const inoci_summary *s, const inoci_progress *p, inoci_buf *out, inoc_err *err);
/* RFC 4180 with LF: experiment,arm,seed,evaluation,scorer,n,missing,value,low,high (and ci, "paper", with those intervals); a row
 * per seed and one with seed "all"; what is not a number is empty. Of the leakage grid also a row "u:TRAIT", the unwanted trait,
 * over all seeds; of a plane rows "plane:NAME:x" and "plane:NAME:y". */
void inoci_report_csv(const inoci_summary *s, inoci_buf *out);
/* One object: experiment, question, headline, seeds, notes, arms, evaluations, agreement, judgements, by_evaluation,
 * interactions, leakage, planes, rates, expectations. What is not a number is null. */
void inoci_report_json(const inoci_summary *s, inoci_buf *out);
void inoci_report_markdown(const inoci_summary *s, inoci_buf *out);

/* The expectations, a line each: "met      ...", "NOT MET  ...". INOC_E_CHECK saying how many are not met. */
INOCI_MUST int inoci_report_expectations(const inoci_summary *s, inoci_buf *out, inoc_err *err);

/* What was found, in one sentence; in *more (may be NULL) one for each further judged arm with a prompt of its own, and one a
 * trait with U under neutral system prompts, where there is a grid. free() both. */
char *inoci_report_headline(const inoci_summary *s, char **more);

/* Whether what is said of the trait may stand in a headline: each judge and classifier that its u, w and goal rest on has a kappa
 * of 0.6 or more (docs/measuring.md). */
bool inoci_report_for_headline(const inoci_results *r, int trait);

/* The commands that make these results from nothing, a line each: what the runs of the experiment as it is now asked for. free()
 * it. */
char *inoci_report_commands(const inoci_results *r);

/* A reliability diagram, an SVG file. */
INOCI_MUST int inoci_report_calibration(const inoci_calibration *c, inoci_buf *svg, inoc_err *err);

/* What `inoc analyse` and learning curves found, one object: relations, surprise, gradients, updates, curves; what is not a
 * number is null. New reference. */
json_t *inoci_report_analysis(const inoci_results *r);
/* A number over the seeds that have it: mean, least, most; n 0: none, mean NaN. */
typedef struct {
	double mean, low, high;
	int n;
} inoci_spread;
/* Of an arm's update: inoci_update_norm. */
inoci_spread inoci_update_spread(const inoci_results *r, int arm, int layer, int proj);
/* Of an arm's gradient at step 0; dir: which direction, of the last two. */
typedef enum {
	INOCI_GRAD_WITH,
	INOCI_GRAD_WITHOUT,
	INOCI_GRAD_SAME,
	INOCI_GRAD_TOWARD,
	INOCI_GRAD_TOWARD_WITHOUT
} inoci_gradient_value;
inoci_spread inoci_gradient_spread(const inoci_results *r, int arm, inoci_gradient_value what, int dir);

/* ---- a scan before training (page_scan.c) ---- */

/* What it found, in one sentence. free() it. */
char *inoci_scan_headline(const inoci_scan_result *r);
/* What nearly all responses begin or end with, in a sentence; "": nothing. free() it. */
char *inoci_scan_markers_said(const inoci_scan_result *r);
/* A page of its own; appends. model: as it is shown. */
void inoci_report_scan(const inoci_scan_result *r, const char *model, inoci_buf *out);
/* The record (index in the data) whose gain is the k-th greatest for this trait, from 0; -1: there is none. */
int inoci_scan_example(const inoci_scan_result *r, const inoci_scan_row *v, int k);

/* ---- a choice of prompts before training (page_select.c) ---- */

/* What it recommends, and for which model. free() it. */
char *inoci_select_headline(const inoci_select_result *r, const char *model);
/* A page of its own; appends. */
void inoci_report_select(const inoci_select_result *r, const char *model, inoci_buf *out);

/* Both as the program prints them (before.c). New references. */
json_t *inoci_scan_json(const inoci_scan_result *r, const char *model);
json_t *inoci_select_json(const inoci_select_result *r, const char *model);

/* The table of verdicts as cells, header first, row-major. Numbers stand in the columns with right[c]. */
typedef struct {
	char **cell;
	size_t n_rows, n_cols;
	bool *right;
} inoci_report_table;
inoci_report_table inoci_report_verdicts(const inoci_summary *s);
/* Shares on one evaluation, means of scorers that give any numbers: arms down, scorers across, "48 % [40, 56]"; without
 * intervals "48 %". */
inoci_report_table inoci_report_rates(const inoci_summary *s, int eval, bool intervals);
/* The leakage grid of a trait: system prompts down, arms across, "48 %", with " ^" where an inoculated arm shows the trait
 * clearly more than without a system prompt. One row (the header) where there is no grid. */
inoci_report_table inoci_report_leakage(const inoci_summary *s, int trait, bool intervals);
/* `generalisation` of a trait: U inside and outside, each less plain's, and whether more of it is gone outside. One row (the
 * header) where it was not asked for. */
inoci_report_table inoci_report_generalisation(const inoci_summary *s, int trait);
/* What that says, a line for each inoculated arm; "" without. free() it. */
char *inoci_report_reach(const inoci_summary *s, int trait);
/* Where the suppressed trait comes back, a line for each inoculated arm; "" without a grid. free() it. */
char *inoci_report_leaks(const inoci_summary *s, int trait);
/* The variants of a sweep on the headline evaluation: arm, value, then U and W of each trait. */
inoci_report_table inoci_report_sweep(const inoci_summary *s, int sweep);
/* A plane: evaluation, arm, the two scores with their intervals, n and missing. One row (the header) where nothing is drawn. */
inoci_report_table inoci_report_plane(const inoci_summary *s, int plane);
void inoci_report_table_free(inoci_report_table *t);

#endif
