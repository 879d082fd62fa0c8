/* inoc analyse: what explains an experiment's results. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "lab/lab.h"
#include "report/report.h"

typedef struct {
	char **cell;
	size_t n, cols, rows;
} table;

static void add(table *t, char *taken)
{
	t->cell = inoci_realloc(t->cell, (t->n + 1) * sizeof *t->cell);
	t->cell[t->n++] = taken;
}

static void head(table *t, const char *const *names, size_t n)
{
	t->cols = n;
	for (size_t i = 0; i < n; i++) add(t, inoci_strdup(names[i]));
}

static char *number(double v, const char *fmt)
{
	char s[40];
	if (isnan(v)) return inoci_strdup("-");
	snprintf(s, sizeof s, fmt, v);
	return inoci_strdup(s);
}

/* Prints what stands in t under its title, unless that is the head alone. The first column is text. */
static void show(table *t, const char *title)
{
	size_t rows = t->cols ? t->n / t->cols : 0;
	bool *right = inoci_alloc((t->cols + 1) * sizeof *right);
	for (size_t c = 1; c < t->cols; c++) right[c] = true;
	if (rows > 1) {
		printf("%s\n", title);
		cli_table((const char *const *)t->cell, rows, t->cols, right);
		printf("\n");
	}
	free(right);
	for (size_t i = 0; i < t->n; i++) free(t->cell[i]);
	free(t->cell);
	*t = (table){0};
}

static void show_rank(const inoci_rank *k, const char *of)
{
	if (isnan(k->rho))
		printf("No rank correlation with %s: fewer than 3 prompts, or all are alike in one of the two.\n", of);
	else
		printf("Spearman's rho with %s: %.2f [%.2f, %.2f], p %.4f\n", of, k->rho, k->low, k->high, k->p);
}

static void show_relation(const inoci_results *r, int trait)
{
	inoci_relation q = inoci_relation_of(r, trait, 0);
	const char *what = q.drop ? "trait below plain" : "suppression";
	table t = {0};
	size_t D = r->e->n_directions;
	const char **names = inoci_alloc((6 + D) * sizeof *names), *first[] = {"prompt of", "surprise removed", "low", "high"};
	char **made = inoci_alloc((D + 1) * sizeof *made);
	memcpy(names, first, sizeof first);
	for (size_t d = 0; d < D; d++) names[4 + d] = made[d] = inoci_asprintf("contrast to %s", r->e->directions[d].name);
	names[4 + D] = what, names[5 + D] = "goal";
	head(&t, names, 6 + D);
	for (size_t i = 0; i < q.n; i++) {
		const inoci_result_surprise *s = &r->analysis.surprise[q.arm[i]];
		add(&t, inoci_strdup(r->e->arms[q.arm[i]].name));
		add(&t, number(s->removed, "%.4f"));
		add(&t, number(s->low, "%.4f"));
		add(&t, number(s->high, "%.4f"));
		for (size_t d = 0; d < D; d++) add(&t, number(s->contrast ? s->contrast[d] : NAN, "%.3f"));
		add(&t, number(q.y[i], "%.3f"));
		add(&t, number(q.goal ? q.goal[i] : NAN, "%.3f"));
	}
	char *title =
	        inoci_asprintf("Surprise removed before training (nats per byte of the responses), and what training left of %s:",
	                       r->e->traits[trait].label);
	show(&t, title);
	for (size_t d = 0; d < D; d++) free(made[d]);
	free(title), free(names), free(made);
	if (q.n) {
		show_rank(&q.u, what);
		if (q.goal) show_rank(&q.goal_rank, "goal");
		for (size_t d = 0; d < r->e->n_directions; d++) {
			char *of =
			        inoci_asprintf("%s, of how much less the first step goes to %s", what, r->e->directions[d].name);
			char *apart = inoci_asprintf("%s, of the contrast to %s", what, r->e->directions[d].name);
			if (!isnan(q.contrast[d].rho)) show_rank(&q.contrast[d], apart);
			if (!isnan(q.toward[d].rho)) show_rank(&q.toward[d], of);
			free(of), free(apart);
		}
		printf("%zu prompts (%zu of them controls), %d seed%s\n\n", q.n, q.n_controls, q.n_seeds,
		       q.n_seeds == 1 ? "" : "s");
	}
	inoci_relation_free(&q);
}

static void show_gradients(const inoci_results *r)
{
	table t = {0};
	size_t D = r->e->n_directions;
	const char **names = inoci_alloc((4 + 2 * D) * sizeof *names);
	char **made = inoci_alloc((2 * D + 1) * sizeof *made);
	names[0] = "arm", names[1] = "norm without", names[2] = "with", names[3] = "cosine of both";
	for (size_t i = 0; i < D; i++) {
		names[4 + 2 * i] = made[2 * i] = inoci_asprintf("to %s without", r->e->directions[i].name);
		names[5 + 2 * i] = made[2 * i + 1] = inoci_strdup("with");
	}
	head(&t, names, 4 + 2 * D);
	for (int a = 0; a < (int)r->e->n_arms; a++) {
		if (!inoci_gradient_spread(r, a, INOCI_GRAD_WITHOUT, 0).n) continue;
		add(&t, inoci_strdup(r->e->arms[a].name));
		add(&t, number(inoci_gradient_spread(r, a, INOCI_GRAD_WITHOUT, 0).mean, "%.3f"));
		add(&t, number(inoci_gradient_spread(r, a, INOCI_GRAD_WITH, 0).mean, "%.3f"));
		add(&t, number(inoci_gradient_spread(r, a, INOCI_GRAD_SAME, 0).mean, "%.3f"));
		for (int i = 0; i < (int)D; i++) {
			add(&t, number(inoci_gradient_spread(r, a, INOCI_GRAD_TOWARD_WITHOUT, i).mean, "%.3f"));
			add(&t, number(inoci_gradient_spread(r, a, INOCI_GRAD_TOWARD, i).mean, "%.3f"));
		}
	}
	show(&t, "Gradient of the loss at step 0, without and with the arm's prompt (full weights, estimated; mean over seeds):");
	for (size_t i = 0; i < 2 * D; i++) free(made[i]);
	free(made), free(names);
}

static void show_updates(const inoci_results *r)
{
	table t = {0};
	const char *names[INOCI_N_PROJ + 2] = {"arm", "all"};
	for (int p = 0; p < INOCI_N_PROJ; p++) names[p + 2] = inoci_proj_name(p);
	head(&t, names, INOCI_N_PROJ + 2);
	for (int a = 0; a < (int)r->e->n_arms; a++) {
		if (!inoci_update_spread(r, a, -1, -1).n) continue;
		add(&t, inoci_strdup(r->e->arms[a].name));
		for (int p = -1; p < INOCI_N_PROJ; p++) add(&t, number(inoci_update_spread(r, a, -1, p).mean, "%.3f"));
	}
	show(&t, "Size of the update: Frobenius norm of scale B A (mean over seeds):");
}

/* Mean over the seeds of an arm's curve at its first and its last step; returns how many seeds. */
static int ends(const inoci_results *r, int arm, int set, bool prompt, double *first, double *last)
{
	int n = 0;
	*first = *last = 0;
	for (size_t k = 0; k < r->analysis.n_curves; k++) {
		const inoci_result_curve *c = &r->analysis.curves[k];
		if (c->arm != arm || c->set != set || c->prompt != prompt || !c->n) continue;
		*first += c->logprob[0], *last += c->logprob[c->n - 1], n++;
	}
	if (n) *first /= n, *last /= n;
	return n;
}

static void show_curves(const inoci_results *r)
{
	table t = {0};
	head(&t, (const char *const[]){"arm", "responses", "prompt", "seeds", "first", "last"}, 6);
	for (int arm = 0; arm < (int)r->e->n_arms; arm++)
		for (int set = 0; set < (int)r->e->n_curves; set++)
			for (int prompt = 0; prompt < 2; prompt++) {
				double first, last;
				int n = ends(r, arm, set, prompt == 1, &first, &last);
				if (!n) continue;
				add(&t, inoci_strdup(r->e->arms[arm].name));
				add(&t, inoci_strdup(r->e->curves[set].name));
				add(&t, inoci_strdup(prompt ? "own" : "none"));
				add(&t, inoci_asprintf("%d", n));
				add(&t, number(first, "%.3f"));
				add(&t, number(last, "%.3f"));
			}
	show(&t,
	     "Learning curves: nats per byte of held-out responses at the first and the last step measured (mean over seeds):");
}

static int parts_of(const char *list, unsigned *out)
{
	static const char *const names[] = {"surprise", "gradients", "updates"};
	char *copy = inoci_arena_strndup(cli_memory(), list, strlen(list)), *save = NULL;
	for (char *s = strtok_r(copy, ",", &save); s; s = strtok_r(NULL, ",", &save)) {
		size_t i = 0;
		while (i < INOCI_COUNT(names) && strcmp(s, names[i])) i++;
		if (i == INOCI_COUNT(names)) return cli_usage("--parts: '%s' is none of surprise, gradients, updates", s);
		*out |= 1u << i;
	}
	return *out ? 0 : cli_usage("--parts names nothing; give some of surprise,gradients,updates");
}

/* The model as the last run took it, unless one is given. */
static int model_of(const inoci_experiment *e, const inoci_results *r, const char *given, char **out, inoc_err *err)
{
	const inoci_result_run *run = r->n_runs ? &r->runs[r->n_runs - 1] : NULL;
	if (given) return cli_model_path(given, out, err);
	if (run && run->model_path && inoci_path_exists(run->model_path)) {
		*out = inoci_strdup(run->model_path);
		return 0;
	}
	return cli_model_path(e->model, out, err);
}

static int analyse(const char *what, const char *name, const char *model, inoci_analyse_options *o, bool json, bool page,
                   inoc_err *err)
{
	inoci_store *s = NULL;
	inoci_experiment *e = NULL;
	inoci_results *r = NULL;
	char *path = NULL, *file = NULL;
	int rc;
	INOC_TRY(inoci_store_open_any(what, name, &s, &e, err));
	INOC_TRY(inoci_results_load(s, e, 0, &r, err));
	INOC_TRY(model_of(e, r, model, &file, err));
	path = inoci_strdup(inoci_store_path(s));
	inoci_results_free(r);
	r = NULL;
	inoci_store_free(s);
	s = NULL;
	INOC_TRY(inoci_analyse(e, path, file, o, err));
	cli_progress_done();
	INOC_TRY(inoci_store_open(path, false, 0, NULL, &s, err));
	INOC_TRY(inoci_results_load(s, e, 0, &r, err));
	if (json) {
		cli_print_json(stdout, inoci_report_analysis(r), JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	} else {
		for (size_t t = 0; t < e->n_traits; t++) show_relation(r, (int)t);
		show_gradients(r);
		show_updates(r);
		show_curves(r);
	}
	if (page) {
		char *dir = inoci_path_dir(path);
		rc = inoci_report_write(r, dir, o->progress, err);
		if (rc == 0 && !json) printf("report: %s/report.html\n", dir);
		free(dir);
	}
out:
	cli_progress_done();
	inoci_results_free(r);
	inoci_experiment_free(e);
	inoci_store_free(s);
	free(path), free(file);
	return rc < 0 ? rc : 0;
}

int cmd_analyse(int argc, char **argv)
{
	const char *name = NULL, *model = NULL, *parts = NULL, **args;
	cli_int records = {100, 2, 1 << 24}, controls = {3, 1, 20}, gradient_records = {48, 1, 1 << 24}, seeds = {0, 0, 1000};
	cli_dbl wait_s = {0, 0, 1e9};
	bool json = false, no_report = false;
	int n_args;
	const cli_opt opts[] = {
	        {"parts", 0, CLI_STR, &parts, "A,B", "only these of surprise, gradients, updates"},
	        {"model", 'm', CLI_PATH, &model, "MODEL", "the model, where it is no longer where the last run found it"},
	        {"records", 0, CLI_INT, &records, "N", "training records whose surprise is measured"},
	        {"controls", 0, CLI_INT, &controls, "N", "neutral texts that each prompt is held against"},
	        {"gradient-records", 0, CLI_INT, &gradient_records, "N", "training records of the gradients"},
	        {"gradient-seeds", 0, CLI_INT, &seeds, "N", "only the first N seeds' gradients; 0: all"},
	        {"experiment", 0, CLI_STR, &name, "NAME", "of a store that holds several (default: the latest run from a file)"},
	        {"wait", 0, CLI_DBL, &wait_s, "S", "seconds to wait for a run at the same store"},
	        {"json", 0, CLI_FLAG, &json, NULL, "everything as one JSON object on standard output"},
	        {"no-report", 0, CLI_FLAG, &no_report, NULL, "do not write report.html and results.csv again"},
	};
	const cli_spec spec = {
	        .usage = "inoc analyse [options] STORE|EXPERIMENT",
	        .about = "What explains an experiment's results: how much surprise each arm's prompt removes before training, "
	                 "against "
	                 "how much\n"
	                 "of the trait it kept out; the gradients at step 0 with and without it; the size of the trained "
	                 "updates; and "
	                 "the learning\n"
	                 "curves of `train.eval_at`. What was measured stays in the store and goes into its report.\n"
	                 "Example: inoc analyse out/spanish-caps-prompts",
	        .opts = opts,
	        .n_opts = INOCI_COUNT(opts),
	        .min_args = 1,
	        .max_args = 1,
	};
	int rc = cli_parse(&spec, argc, argv, &args, &n_args);
	if (rc) return rc > 0 ? 0 : rc;
	inoci_analyse_options o = {.n_records = (int)records.v,
	                           .n_controls = (int)controls.v,
	                           .n_gradient_records = (int)gradient_records.v,
	                           .n_gradient_seeds = (int)seeds.v,
	                           .wait_s = wait_s.v};
	if (parts && (rc = parts_of(parts, &o.parts)) < 0) return rc;
	inoc_err err = {0};
	o.progress = cli_progress(false);
	rc = analyse(args[0], name, model, &o, json, !no_report, &err);
	return rc < 0 ? cli_fail(&err) : 0;
}
