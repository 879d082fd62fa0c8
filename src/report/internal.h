/* report, private: HTML text, gnuplot, the plots and the derived facts that the writers share. */
#ifndef INOCI_REPORT_INTERNAL_H
#define INOCI_REPORT_INTERNAL_H

#include "lab/traits.h"
#include "report/report.h"

/* ---- text ---- */

/* Appends s as HTML text, safe in an attribute in double quotes too; bytes that are no UTF-8, and control characters,
 * become U+FFFD. */
void inoci_html_text(inoci_buf *b, const char *s, size_t n);
void inoci_html_puts(inoci_buf *b, const char *s); /* NULL: nothing */

/* "48 % [40, 56]", or "0.531 [0.402, 0.660]" of real scores; "–" where there is nothing. interval false: "48 %". */
void inoci_put_share(inoci_buf *b, const inoci_estimate *e, bool interval);
/* "0.53 [0.40, 0.66]"; "–" where it is undefined. */
void inoci_put_ratio(inoci_buf *b, const inoci_estimate *e);
/* "english_caps" as it is read: "English caps". free() it. */
char *inoci_words(const char *name);
/* What scorers have in common ("English" of english_caps and english_lower), else their names with " + ". free() it. */
char *inoci_sum_label(char *const *names, size_t n);
/* The prompt an arm was trained with: "“...”", "2 paraphrases: “...” …", "–". free() it. */
char *inoci_arm_prompt(const inoci_arm *a);
/* "greedy answers without a system prompt". free() it. */
char *inoci_eval_words(const inoci_evaluation *v);
/* Share of answers that any of the (disjoint) scorers holds for; n 0: nothing there. */
inoci_estimate inoci_sum_share(const inoci_summary *s, int arm, int eval, char *const *names, size_t n);
/* "95 % intervals", or of another kind. */
const char *inoci_ci_words(const inoci_results *r);
/* "Shares", or "Shares and means" where a scorer gives any numbers. */
const char *inoci_shares_word(const inoci_results *r);
bool inoci_is_quality(const char *scorer); /* unknown, truncated, looping: beside the rates, no class of answers */
/* "loops / cut", and "/ unknown" where that is scored on the headline evaluation; an arm's shares of these there, "0 / 1 %", "–"
 * where there are none. */
const char *inoci_quality_head(const inoci_summary *s);
char *inoci_quality(const inoci_summary *s, int arm); /* free() it */

/* A table of n_cols columns with its header, and room for max_rows more rows. */
inoci_report_table inoci_table_new(const char *const *header, size_t n_cols, size_t max_rows);
/* The system prompt of a grid's row, in words: "the negation: “...”". free() it. */
char *inoci_grid_words(const inoci_experiment *e, const inoci_grid_row *row, bool text);
/* U of plain and the inoculated arms without a system prompt, with the template's default and neutral texts, in a sentence; NULL
 * where the grid has no such cells. free() it. */
char *inoci_report_neutral(const inoci_summary *s, int trait);
/* The cell (arm, row) of a trait's heat map, NULL: nothing there. */
const inoci_leak *inoci_leak_at(const inoci_summary *s, int trait, int arm, int row);
/* Of s->leaks, as JSON. New reference. */
json_t *inoci_leakage_json(const inoci_summary *s);
json_t *inoci_estimate_json(const inoci_estimate *e);
/* The experiment's arms (name, role, label, training prompt or null) and evaluations (name, label, system, grid: of the leakage
 * grid only). New references. */
json_t *inoci_arms_json(const inoci_summary *s);
json_t *inoci_evals_json(const inoci_summary *s);
/* U, W and goal of each trait and arm on every evaluation outside the grid that U is scored on. New reference. */
json_t *inoci_by_evaluation_json(const inoci_summary *s);
/* `generalisation` of every judged arm: (arm - plain) outside - (arm - plain) inside, of U; below 0, the arm falls more outside.
 * New reference. */
json_t *inoci_interactions_json(const inoci_summary *s);
/* The experiment's planes, with their axes and points. New reference. */
json_t *inoci_planes_json(const inoci_summary *s);
/* A sweep's points in order of its value: the arm as it is written, if it has a value, among its variants. Fills arm (n_arms);
 * returns how many. */
size_t inoci_sweep_points(const inoci_summary *s, int sweep, const char *arm, int *points);

/* ---- what to type ---- */

/* The command of a run, for a shell; NULL: not recorded. free() it. */
char *inoci_run_command(const inoci_result_run *run);

/* ---- what is shown of a trait ---- */

typedef struct {
	int arm;
	const inoci_judgement *j; /* NULL: a reference arm */
	inoci_estimate u, w, goal;
} inoci_line;
typedef struct {
	int trait;
	inoci_line *v; /* base, clean, plain, then the judged arms in the file's order */
	size_t n;
	const inoci_line *plain, *lead; /* lead: the inoculated arm that the headline is about; NULL: none */
} inoci_lines;
/* free() .v */
inoci_lines inoci_lines_new(const inoci_summary *s, int trait);
/* The trait that the headline is about, -1: none is judged. */
int inoci_lead_trait(const inoci_summary *s);

/* Disjoint scorers shown as the classes of an answer, each with its colour; "other" is what none of them is. */
typedef struct {
	int *scorer, *colour;
	size_t n;
} inoci_classes;
inoci_classes inoci_classes_new(const inoci_summary *s);
void inoci_classes_free(inoci_classes *c);
enum { CLASS_OTHER = 9 };
/* Index into classes, -1: other. */
int inoci_class_of(const inoci_classes *c, const inoci_result_sample *v);

/* The verdict as it is shown; j NULL: a reference arm. */
const char *inoci_verdict_words(const inoci_judgement *j);
/* The same, marked where it rests on a judge that is not for a headline. free() it. */
char *inoci_verdict_shown(const inoci_results *r, const inoci_judgement *j);
/* Of each judge or classifier that u, w or goal of the trait rest on, a sentence with a space before it: its kappa, or that it is
 * not for a headline. Nothing where they are rules. */
void inoci_put_agreement(inoci_buf *b, const inoci_results *r, int trait);
/* [{"scorer", "kappa": {"value", "low", "high"}, "rows", "held_out", "judges", "unchecked", "for_headline"}, ...]. New reference.
 */
json_t *inoci_agreement_json(const inoci_results *r);
/* An arm's colour, in all plots: by role, so that controls look alike. */
int inoci_arm_colour(const inoci_experiment *e, int arm);

/* ---- the page ---- */

extern const char inoci_page_style[], inoci_page_script[];
/* Sections of the page. plot_failed: filled with the reason when a plot could not be made, and then no other is tried. */
typedef struct {
	const inoci_summary *s;
	const inoci_results *r;
	const inoci_experiment *e;
	inoci_classes classes;
	inoci_buf *b;
	inoc_err plot_failed; /* code 0: plots work so far */
	const inoci_progress *progress;
} inoci_page;
void inoci_page_verdicts(inoci_page *p);
void inoci_page_answers(inoci_page *p); /* stacked bars, rates and quality */
void inoci_page_leakage(inoci_page *p); /* the heat maps */
void inoci_page_generalisation(inoci_page *p);
void inoci_page_sweeps(inoci_page *p);
void inoci_page_planes(inoci_page *p);
void inoci_page_scatter(inoci_page *p);  /* a figure */
void inoci_page_loss(inoci_page *p);     /* a figure */
void inoci_page_analysis(inoci_page *p); /* why it works; nothing where nothing was measured */
void inoci_page_training(inoci_page *p); /* first examples */
void inoci_page_samples(inoci_page *p);
void inoci_page_settings(inoci_page *p);
/* A plot's place: rc of the plot that was to append there; writes the note where it failed. */
void inoci_page_plotted(inoci_page *p, int rc, const inoc_err *err);
/* A table's cell "48 % [40, 56]". */
void inoci_page_share_cell(inoci_buf *b, const inoci_estimate *e);
/* A table behind a fold. */
void inoci_page_numbers(inoci_buf *b, const inoci_report_table *t);
/* A coloured square with a class's name. */
void inoci_page_class(inoci_page *p, int k);

/* ---- pages of what is done before training (page_scan.c, page_select.c) ---- */

typedef struct {
	double low, high; /* both 0 at first */
} inoci_axis;
void inoci_axis_over(inoci_axis *a, double v); /* it reaches over v */
void inoci_axis_done(inoci_axis *a);
/* A cell with a bar from 0 to the value, its interval drawn over it. what: in the label that is read out; colour: "k0". */
void inoci_page_bar(inoci_buf *b, const inoci_axis *a, const char *what, const inoci_estimate *e, const char *colour);
/* "43.3 <i>[36.1, 50.5]</i>", the unit behind the value; a dash where e has none. */
void inoci_page_number(inoci_buf *b, const inoci_estimate *e, const char *unit);
/* The page up to where the headline's text begins; its heading is "WHAT PATHverb?". */
void inoci_page_begin(inoci_buf *b, const char *kicker, const char *what, const char *path, const char *verb);

/* ---- gnuplot ---- */

/* Runs `script` (its output goes to standard output) and appends what gnuplot printed. gnuplot absent or failing:
 * INOC_E_EXTERNAL with what it said. */
INOCI_MUST int inoci_gnuplot(const char *script, size_t n, inoci_buf *svg, inoc_err *err);

/* "gnuplot 5.4 patchlevel 4"; NULL when it does not run. free() it. */
char *inoci_gnuplot_version(void);

/* Colours are written in scripts as these stand-ins and become CSS variables, so that one picture serves light and dark. */
#define PLOT_FG "#010101"    /* var(--fg) */
#define PLOT_MUTED "#010102" /* var(--muted) */
#define PLOT_GRID "#010103"  /* var(--line) */
#define PLOT_BG "#010104"    /* var(--card) */
#define PLOT_CLASS 0x010200  /* + k: var(--kK), a class of answers */
#define PLOT_ARM 0x010300    /* + k: var(--aK), an arm */
#define PLOT_INK 0x010400    /* + k: var(--tK), text upon class K */
#define PLOT_MARK 0x010500   /* + k: var(--wK), a thin line in class K's colour */

/* gnuplot's SVG as a part of an HTML page: no prologue, ids made unique with `id`, stand-in colours replaced, and the text
 * @@K@@ replaced by labels[K], escaped (so that no text of the user's passes through gnuplot). */
void inoci_svg_adapt(const char *svg, size_t n, const char *id, const char *title, const char *const *labels, size_t n_labels,
                     inoci_buf *out);

/* ---- plots: each appends one <svg> ---- */

/* Stacked horizontal bars of shares: rows (n_rows), est (n_rows, n_classes) with NaN for absent; class c has colour c. */
INOCI_MUST int inoci_plot_bars(const char *id, const char *title, const char *const *rows, size_t n_rows, size_t n_classes,
                               const int *colour, const inoci_estimate *est, inoci_buf *out, inoc_err *err);

typedef struct {
	const char *label;
	int colour;
	inoci_estimate x, y;
	const double *seed_x, *seed_y; /* (n_seeds) */
	size_t n_seeds;
} inoci_mark;
INOCI_MUST int inoci_plot_scatter(const char *id, const char *title, const char *xlabel, const char *ylabel, const inoci_mark *m,
                                  size_t n, inoci_buf *out, inoc_err *err);

/* The same for any numbers: the axes go as far as they do. */
INOCI_MUST int inoci_plot_points(const char *id, const char *title, const char *xlabel, const char *ylabel, const inoci_mark *m,
                                 size_t n, inoci_buf *out, inoc_err *err);

/* A panel of a plane: shares from 0 to 1, other numbers over the range of `all`, the marks of every panel. */
INOCI_MUST int inoci_plot_plane(const char *id, const char *title, const char *xlabel, const char *ylabel, const inoci_mark *m,
                                size_t n, const inoci_mark *all, size_t n_all, inoci_buf *out, inoc_err *err);

/* One value an arm with its interval (.x; .y is not read), an arm a row; a dashed line at the one labelled `base` (NULL: none).
 */
INOCI_MUST int inoci_plot_effects(const char *id, const char *title, const char *xlabel, const inoci_mark *m, size_t n,
                                  const char *base, inoci_buf *out, inoc_err *err);

/* Shares over a setting's values: each series a line through its marks with their intervals. x on a logarithmic scale where its
 * values are positive and span a factor of 8 or more. */
typedef struct {
	const char *label;
	int colour;
	bool dashed;
	const double *x;
	const inoci_estimate *y;
	size_t n;
} inoci_series;
INOCI_MUST int inoci_plot_sweep(const char *id, const char *title, const char *xlabel, const char *ylabel, const inoci_series *v,
                                size_t n, inoci_buf *out, inoc_err *err);

typedef struct {
	int colour;
	bool faint, dashed, points; /* points: marks joined by a thin dotted line */
	double *x, *y;              /* (n) */
	size_t n;
} inoci_curve;
INOCI_MUST int inoci_plot_curves(const char *id, const char *title, const char *xlabel, const char *ylabel, const inoci_curve *c,
                                 size_t n, inoci_buf *out, inoc_err *err);
/* The same over optimizer steps from 0 on, in even distances of log(1 + step), with tic marks at the steps of c[0]. */
INOCI_MUST int inoci_plot_steps(const char *id, const char *title, const char *xlabel, const char *ylabel, const inoci_curve *c,
                                size_t n, inoci_buf *out, inoc_err *err);

/* The frame that all plots share: w x h pixels, the drawing within the margins given; and running the script. */
void inoci_plot_head(inoci_buf *b, int w, int h, int left, int right, int top, int bottom);
INOCI_MUST int inoci_plot_draw(const inoci_buf *script, const char *id, const char *title, const char *const *labels,
                               size_t n_labels, inoci_buf *out, inoc_err *err);

#endif
