/* inoc judge check: does a judge agree with labels? Any scorer of single answers can be asked. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "lab/lab.h"
#include "report/report.h"

enum { AT_ONCE = 256 };

typedef struct {
	const char *judge, *data, *out, *judged;
	cli_dbl threshold, min_kappa;
	bool json;
} check_opts;

typedef struct {
	json_t *fields;
	double label; /* as given */
	int line;
} row;
/* What is said of a number x of the judge's scale 0 ... high: x < below, x > above, x >= at_least; NaN: not asked. */
typedef struct {
	double high, below, above, at_least;
	bool any;
} rule;
typedef struct {
	const check_opts *t;
	row *v;
	size_t n, n_scored;
	bool graded; /* labels 0-100, not 0 and 1 */
	rule rule;
	double *score; /* (n): in [0, 1]; NaN: missing */
	double *p, *y; /* (n_scored): the judge's probability of the label, and that as a share */
	double *said;  /* (n_scored): 0 or 1 */
	int *label;    /* (n_scored): 0 or 1 */
	size_t cell[2][2];
	inoci_agreement a, order; /* order: of p, for the area under the curve */
	inoci_calibration c;
	json_t *counts, *scorer; /* scorer: as it was checked, with its threshold */
} checking;

/* ---- reading ---- */

static void add(checking *x, json_t *taken, double label, int line)
{
	if (!(x->n & (x->n - 1))) x->v = inoci_realloc(x->v, (2 * x->n + 1) * sizeof *x->v);
	x->v[x->n++] = (row){.fields = taken, .label = label, .line = line};
	if (label != 0 && label != 1) x->graded = true;
}

/* A pair is two rows. */
static bool add_pair(checking *x, const json_t *obj, int line)
{
	static const char *const names[] = {"normal", "trait"};
	if (!json_is_string(json_object_get(obj, "trait")) || !json_is_string(json_object_get(obj, "normal"))) return false;
	for (int k = 0; k < 2; k++) {
		json_t *j = json_copy((json_t *)(uintptr_t)obj);
		json_object_set(j, "answer", json_object_get(obj, names[k]));
		json_object_set_new(j, "label", json_integer(k));
		for (int i = 0; i < 2; i++) json_object_del(j, names[i]);
		add(x, j, k, line);
	}
	return true;
}

static int on_row(void *ctx, json_t *obj, int line, inoc_err *err)
{
	checking *x = ctx;
	const json_t *answer = json_object_get(obj, "answer"), *question = json_object_get(obj, "question"),
	             *label = json_object_get(obj, "label");
	const char *wrong = NULL;
	double v = json_is_boolean(label) ? json_is_true(label) : json_number_value(label);
	bool labelled = (json_is_number(label) || json_is_boolean(label)) && v >= 0 && v <= 100;
	if (!labelled) wrong = "\"label\" is missing, or not 0, 1 or a number from 0 to 100";
	if (!json_is_string(answer)) wrong = "\"answer\" is missing, or no text";
	if (question && !json_is_string(question)) wrong = "\"question\" is no text";
	if (wrong && !(!answer && !label && add_pair(x, obj, line)))
		return inoci_err_set(err, INOC_E_FORMAT, "%s:%d: %s", x->t->data, line, wrong);
	if (!wrong) add(x, json_incref(obj), v, line);
	return 0;
}

/* The judge without its threshold, which is applied here: the number behind it is needed. */
static int open_judge(const check_opts *t, checking *x, const inoci_scorer_env *env, inoci_scorer **out, inoc_err *err)
{
	static const char *const thresholds[] = {"below", "above", "at_least", "rule"};
	json_t *j = NULL;
	inoci_scorer *whole = NULL;
	int rc = inoci_settings_read(t->judge, &j, err);
	if (rc < 0) return rc; /* it names the file */
	if (json_is_object(j) && !json_object_get(j, "type") && (json_object_get(j, "model") || json_object_get(j, "local")))
		json_object_set_new(j, "type", json_string("judge"));
	INOC_TRY(inoci_scorer_new_in("judge", j, env, &whole, err));
	if (inoci_scorer_measured(whole) || inoci_scorer_real(whole)) {
		rc = inoci_err_set(err, INOC_E_USAGE, "this scorer gives no number from 0 to 1 of a text");
		goto out;
	}
	x->scorer = inoci_scorer_named(whole);
	const json_t *s = inoci_scorer_settings_get(whole), *type = json_object_get(s, "type");
	double *to[] = {&x->rule.below, &x->rule.above, &x->rule.at_least};
	x->rule = (rule){.high = 1, .below = NAN, .above = NAN, .at_least = t->threshold.v};
	if (json_is_string(type) && !strcmp(json_string_value(type), "judge")) {
		x->rule.high = json_number_value(json_object_get(s, "high"));
		for (int k = 0; k < 3; k++)
			if (json_object_get(s, thresholds[k])) x->rule.any = true;
		if (x->rule.any)
			for (int k = 0; k < 3; k++) {
				const json_t *v = json_object_get(s, thresholds[k]);
				*to[k] = v ? json_number_value(v) : NAN;
			}
		for (size_t k = 0; k < INOCI_COUNT(thresholds); k++) json_object_del(j, thresholds[k]);
	}
	if (!x->rule.any) x->rule.at_least *= x->rule.high;
	rc = inoci_scorer_new_in("judge", j, env, out, err);
out:
	inoci_scorer_free(whole);
	json_decref(j);
	return rc < 0 ? inoci_err_prefix(err, "%s", t->judge) : 0;
}

static int ask(checking *x, inoci_scorer *s, inoc_err *err)
{
	const inoci_progress *p = cli_progress(false);
	inoci_answer *a = inoci_alloc((x->n + 1) * sizeof *a);
	int rc = 0;
	for (size_t i = 0; i < x->n; i++) {
		const json_t *answer = json_object_get(x->v[i].fields, "answer"),
		             *question = json_object_get(x->v[i].fields, "question");
		a[i] = (inoci_answer){.question = question ? json_string_value(question) : "",
		                      .text = json_string_value(answer),
		                      .n = json_string_length(answer),
		                      .finish = INOCI_FINISH_STOP,
		                      .item = x->v[i].fields};
		rc = inoci_scorer_item(s, x->v[i].fields, err);
		if (rc < 0) {
			inoci_err_prefix(err, "%s:%d", x->t->data, x->v[i].line);
			goto out;
		}
	}
	for (size_t i = 0; i < x->n && rc >= 0; i += AT_ONCE)
		rc = inoci_scorer_apply_many(s, a + i, x->n - i < AT_ONCE ? x->n - i : AT_ONCE, x->score + i, p, err);
	cli_progress_done();
	inoci_scorer_report(s, p, x->counts);
out:
	free(a);
	return rc < 0 ? rc : 0;
}

/* ---- figures ---- */

static bool holds(const rule *r, double x)
{
	return !(x >= r->below) && !(x <= r->above) && !(x < r->at_least);
}

static void figures(checking *x)
{
	size_t n = x->n + 1;
	int *topic = inoci_alloc(n * sizeof *topic);
	x->p = inoci_alloc(n * sizeof *x->p), x->y = inoci_alloc(n * sizeof *x->y);
	x->said = inoci_alloc(n * sizeof *x->said), x->label = inoci_alloc(n * sizeof *x->label);
	/* "below 50" is said of low numbers: the probability of a label 1 is then what is missing to high */
	bool falls = !x->graded && x->rule.any && isnan(x->rule.above) && isnan(x->rule.at_least);
	for (size_t i = 0; i < x->n; i++) {
		double v = x->score[i], l = x->v[i].label;
		if (isnan(v)) continue;
		size_t k = x->n_scored++;
		topic[k] = (int)k;
		x->p[k] = falls ? 1 - v : v;
		x->y[k] = x->graded ? l / 100 : l;
		x->said[k] = holds(&x->rule, v * x->rule.high);
		x->label[k] = x->graded ? holds(&x->rule, l / 100 * x->rule.high) : l == 1;
		x->cell[x->label[k]][x->said[k] == 1]++;
	}
	x->a = inoci_agree(x->said, x->label, topic, x->n_scored, (int)x->n_scored, 0.5, 1, 0);
	x->order = inoci_agree(x->p, x->label, topic, x->n_scored, (int)x->n_scored, 0.5, 1, 0);
	x->c = inoci_calibrate(x->p, x->y, x->n_scored);
	free(topic);
}

static char *rule_text(const rule *r)
{
	inoci_buf b = {0};
	const double v[] = {r->below, r->above, r->at_least};
	static const char *const words[] = {"below", "above", "at least"};
	for (int k = 0; k < 3; k++)
		if (!isnan(v[k])) inoci_buf_printf(&b, "%s%s %g", b.len ? " and " : "", words[k], v[k]);
	inoci_buf_printf(&b, " of 0 to %g", r->high);
	return inoci_buf_take(&b);
}

/* ---- showing ---- */

static void figure(const char *name, inoci_figure f)
{
	if (isnan(f.value))
		printf("%-9s undefined: there is one label or one answer only\n", name);
	else
		printf("%-9s %.3f [%.3f, %.3f]\n", name, f.value, f.low, f.high);
}

static void show(const checking *x)
{
	char *rule = rule_text(&x->rule);
	printf("%s: %zu rows, %zu scored, %zu missing; 1 is said where the number is %s\n\n", x->t->data, x->n, x->n_scored,
	       x->n - x->n_scored, rule);
	printf("         said 1  said 0\nlabel 1  %6zu  %6zu\nlabel 0  %6zu  %6zu\n\n", x->cell[1][1], x->cell[1][0],
	       x->cell[0][1], x->cell[0][0]);
	if (x->n_scored) {
		figure("accuracy", x->a.accuracy);
		figure("kappa", x->a.kappa);
		figure("AUC", x->order.auc);
		printf("%-9s %.3f\n\nthe judge gives  rows  mean  share with the label\n", "Brier", x->c.brier);
	}
	for (int k = 0; k < INOCI_BINS; k++)
		if (x->c.bin[k].n)
			printf("%.1f to %.1f%s  %4zu  %.2f  %.2f [%.2f, %.2f]\n", k / 10.0, (k + 1) / 10.0, "     ",
			       x->c.bin[k].n, x->c.bin[k].p, x->c.bin[k].y, x->c.bin[k].low, x->c.bin[k].high);
	if (!(x->a.kappa.value >= INOCI_KAPPA_HEADLINE))
		printf("\nkappa is not %.1f or more: too little agreement for a headline (docs/measuring.md)\n",
		       INOCI_KAPPA_HEADLINE);
	free(rule);
}

static json_t *number(double v)
{
	return isnan(v) ? json_null() : json_real(v);
}

static json_t *figure_json(inoci_figure f)
{
	return json_pack("{s:o, s:o, s:o}", "value", number(f.value), "low", number(f.low), "high", number(f.high));
}

static json_t *as_json(const checking *x)
{
	char *rule = rule_text(&x->rule);
	json_t *bins = json_array();
	for (int k = 0; k < INOCI_BINS; k++)
		if (x->c.bin[k].n)
			json_array_append_new(bins, json_pack("{s:f, s:f, s:I, s:o, s:o, s:f, s:f}", "from", k / 10.0, "to",
			                                      (k + 1) / 10.0, "n", (json_int_t)x->c.bin[k].n, "mean",
			                                      number(x->c.bin[k].p), "share", number(x->c.bin[k].y), "low",
			                                      x->c.bin[k].low, "high", x->c.bin[k].high));
	json_t *j = json_pack("{s:s, s:I, s:I, s:I, s:s, s:{s:I, s:I, s:I, s:I}, s:o, s:o, s:o, s:o, s:o, s:b, s:O}", "data",
	                      x->t->data, "n", (json_int_t)x->n, "scored", (json_int_t)x->n_scored, "missing",
	                      (json_int_t)(x->n - x->n_scored), "rule", rule, "confusion", "label_1_said_1",
	                      (json_int_t)x->cell[1][1], "label_1_said_0", (json_int_t)x->cell[1][0], "label_0_said_1",
	                      (json_int_t)x->cell[0][1], "label_0_said_0", (json_int_t)x->cell[0][0], "accuracy",
	                      figure_json(x->a.accuracy), "kappa", figure_json(x->a.kappa), "auc", figure_json(x->order.auc),
	                      "brier", number(x->c.brier), "bins", bins, "enough_for_headline",
	                      x->a.kappa.value >= INOCI_KAPPA_HEADLINE, "asked", x->counts);
	json_object_set(j, "scorer", x->scorer);
	free(rule);
	return j;
}

static int write_files(const checking *x, inoc_err *err)
{
	inoci_buf svg = {0}, lines = {0};
	char *plot = inoci_path_join(x->t->out, "calibration.svg"), *rows = inoci_path_join(x->t->out, "rows.jsonl"), *text;
	int rc;
	INOC_TRY(inoci_mkdirs(x->t->out, err));
	for (size_t i = 0; i < x->n; i++) {
		json_t *j = json_copy(x->v[i].fields);
		json_object_set_new(j, "score", number(x->score[i]));
		text = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(7));
		inoci_buf_printf(&lines, "%s\n", text);
		free(text);
		json_decref(j);
	}
	INOC_TRY(inoci_file_write(rows, lines.data, lines.len, err));
	INOC_TRY(inoci_report_calibration(&x->c, &svg, err));
	INOC_TRY(inoci_file_write(plot, svg.data, svg.len, err));
out:
	inoci_buf_free(&svg);
	inoci_buf_free(&lines);
	free(plot), free(rows);
	return rc < 0 ? rc : 0;
}

static int check(const check_opts *t, inoc_err *err)
{
	checking x = {.t = t, .counts = json_array()};
	char *dir = inoci_path_dir(t->judge);
	inoci_judge_file *kept = NULL;
	inoci_scorer_env env = {.dir = dir};
	inoci_scorer *s = NULL;
	int rc;
	if (t->judged) {
		INOC_TRY(inoci_judge_file_open(t->judged, &kept, err));
		env.memory = inoci_judge_file_memory(kept);
	}
	INOC_TRY(open_judge(t, &x, &env, &s, err));
	INOC_TRY(inoci_jsonl_read(t->data, on_row, &x, err));
	INOC_TRY(inoci_scorer_ready(s, err));
	x.score = inoci_alloc((x.n + 1) * sizeof *x.score);
	INOC_TRY(ask(&x, s, err));
	figures(&x);
	if (t->out) INOC_TRY(write_files(&x, err));
	if (t->json)
		cli_print_json(stdout, as_json(&x), JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	else
		show(&x);
	if (!(x.a.kappa.value >= t->min_kappa.v) && t->min_kappa.v > -1)
		rc = inoci_err_set(err, INOC_E_CHECK, "kappa is %.3f, less than --min-kappa %g", x.a.kappa.value, t->min_kappa.v);
out:
	inoci_scorer_free(s);
	inoci_judge_file_free(kept);
	for (size_t i = 0; i < x.n; i++) json_decref(x.v[i].fields);
	json_decref(x.counts);
	json_decref(x.scorer);
	free(x.v), free(x.score), free(x.p), free(x.y), free(x.said), free(x.label), free(dir);
	return rc < 0 ? rc : 0;
}

int cmd_judge(int argc, char **argv)
{
	check_opts t = {.threshold = {0.5, 0, 1}, .min_kappa = {-1, -1, 1}};
	const char **args;
	int n_args;
	const cli_opt opts[] = {
	        {"judge", 0, CLI_PATH, &t.judge, "FILE", "the scorer's settings, YAML or JSON (docs/judge.md)"},
	        {"data", 0, CLI_PATH, &t.data, "FILE", "labelled rows"},
	        {"threshold", 0, CLI_DBL, &t.threshold, "T", "of 0 to 1, from which 1 is said, where the settings have none"},
	        {"output", 'o', CLI_PATH, &t.out, "DIR", "write calibration.svg, and rows.jsonl with each row's score"},
	        {"judged", 0, CLI_PATH, &t.judged, "FILE", "where replies are kept (default: judged.jsonl of the cache folder)"},
	        {"min-kappa", 0, CLI_DBL, &t.min_kappa, "K", "exit status 1 when kappa is less"},
	        {"json", 0, CLI_FLAG, &t.json, NULL, "print one JSON object"},
	};
	const cli_spec spec = {
	        .usage = "inoc judge check --judge FILE --data FILE [-o DIR] [--json]",
	        .about =
	                "Asks a judge (or another scorer of texts) about answers that have labels, and tells how far they agree: "
	                "accuracy,\n"
	                "Cohen's kappa with a 95 % interval, calibration. A row of the data is {\"question\", \"answer\", "
	                "\"label\"}: a "
	                "label is 0\n"
	                "or 1 (what the threshold says), or, when any is another number, 0 to 100; {\"question\", \"trait\", "
	                "\"normal\"} is two rows, 1 "
	                "and 0.\n"
	                "What was answered is kept, "
	                "and not "
	                "asked again.\n"
	                "Example: inoc judge check --judge judge.yaml --data labelled.jsonl -o check",
	        .opts = opts,
	        .n_opts = INOCI_COUNT(opts),
	        .max_args = 0};
	if (argc > 1 && !strcmp(argv[1], "check"))
		argc--, argv[1] = argv[0], argv++; /* messages name the command */
	else if (argc < 2)
		return cli_usage("judge: say what to do: inoc judge check --judge FILE --data FILE");
	else if (argv[1][0] != '-')
		return cli_usage("judge: unknown action '%s'; there is: inoc judge check", argv[1]);
	int rc = cli_parse(&spec, argc, argv, &args, &n_args);
	if (rc) return rc > 0 ? 0 : rc;
	if (!t.judge || !t.data) return cli_usage("give --judge FILE and --data FILE; see 'inoc judge --help'");
	inoc_err err = {0};
	rc = check(&t, &err);
	return rc < 0 ? cli_fail(&err) : 0;
}
