/* inoc score: a new scorer over stored samples, without sampling again. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lab/lab.h"
#include "report/report.h"

static json_t *number(double v)
{
	return isnan(v) ? json_null() : json_real(v);
}

static int show(inoci_store *s, const char *experiment, const char *scorer, inoci_ci ci, bool json, inoc_err *err)
{
	inoci_experiment *e = NULL;
	inoci_results *r = NULL;
	inoci_summary *sum = NULL;
	size_t rows = 1;
	char **cell = NULL;
	int rc;
	INOC_TRY(inoci_store_experiment(s, experiment, &e, err));
	INOC_TRY(inoci_results_load(s, e, 0, &r, err));
	r->ci = ci;
	INOC_TRY(inoci_summary_new(r, INOCI_REPORT_BOOT, &sum, err));
	int k = inoci_results_scorer(r, scorer);
	json_t *all = json_array();
	cell = inoci_alloc((e->n_arms * e->n_evals + 1) * 4 * sizeof *cell);
	bool real = k >= 0 && inoci_results_real(r, k);
	const char *const head[] = {"arm", "evaluation", "n",
	                            ci == INOCI_CI_PAPER ? real ? "mean, papers' interval" : "share, papers' interval"
	                            : real               ? "mean"
	                                                 : "share"};
	for (int c = 0; c < 4; c++) cell[c] = inoci_strdup(head[c]);
	for (size_t a = 0; k >= 0 && a < e->n_arms; a++)
		for (size_t v = 0; v < e->n_evals; v++) {
			const inoci_estimate *x = &inoci_summary_rate(sum, (int)a, (int)v, k)->all;
			if (!x->n && !x->missing) continue;
			char **row = cell + 4 * rows++;
			row[0] = inoci_strdup(e->arms[a].name);
			row[1] = inoci_strdup(e->evals[v].name);
			row[2] = inoci_asprintf("%d", x->n);
			row[3] = isnan(x->low) ? inoci_asprintf("%.3f", x->value)
			                       : inoci_asprintf("%.3f [%.3f, %.3f]", x->value, x->low, x->high);
			json_t *o = json_pack("{s:s, s:s, s:s, s:i, s:i, s:o, s:o, s:o}", "arm", row[0], "evaluation", row[1],
			                      "scorer", scorer, "n", x->n, "missing", x->missing, "value", number(x->value),
			                      "low", number(x->low), "high", number(x->high));
			if (ci == INOCI_CI_PAPER) json_object_set_new(o, "ci", json_string("paper"));
			json_array_append_new(all, o);
		}
	bool any = false;
	for (size_t v = 0; k >= 0 && v < e->n_evals; v++) any |= inoci_results_fits(r, k, (int)v);
	if (k >= 0 && !any)
		fprintf(stderr,
		        "scorer '%s' says nothing of any evaluation of experiment %s: it is of another kind of answers, or names "
		        "texts "
		        "that none measures\n",
		        scorer, e->name);
	if (json)
		cli_print_json(stdout, json_incref(all), JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	else
		cli_table((const char *const *)cell, rows, 4, (const bool[]){false, false, true, true});
	json_decref(all);
out:
	for (size_t i = 0; cell && i < rows * 4; i++) free(cell[i]);
	free(cell);
	inoci_summary_free(sum);
	inoci_results_free(r);
	inoci_experiment_free(e);
	return rc < 0 ? rc : 0;
}

int cmd_score(int argc, char **argv)
{
	const char *path = NULL, *given = NULL, *named = NULL, *experiment = NULL, *ci = NULL, *model = NULL;
	const char **args;
	cli_dbl wait_s = {0, 0, 1e9};
	bool json = false;
	int n_args, kind;
	const cli_opt opts[] = {
	        {"store", 0, CLI_PATH, &path, "DB", "the store: out/NAME/store.db, or its folder"},
	        {"scorer", 0, CLI_STR, &given, "SCORER", "a built-in name, or NAME={\"type\": ...}"},
	        {"name", 0, CLI_STR, &named, "NAME", "its name in reports"},
	        {"experiment", 0, CLI_STR, &experiment, "NAME", "only this experiment's samples (default: all)"},
	        {"model", 'm', CLI_PATH, &model, "MODEL",
	         "the base model of a classifier (default: as the store's runs recorded it)"},
	        {"wait", 0, CLI_DBL, &wait_s, "S", "seconds to wait for another run at the same store"},
	        CLI_CI(&ci),
	        {"json", 0, CLI_FLAG, &json, NULL, "the shares as JSON"},
	};
	const cli_spec spec = {.usage = "inoc score --store DB --scorer SCORER",
	                       .about = "Scores stored samples with one more scorer; nothing is sampled or trained. Its shares "
	                                "appear in reports from then on.\n"
	                                "Example: inoc score --store out/spanish-caps/store.db --scorer "
	                                "'greets={\"type\":\"regex\",\"pattern\":\"hola\",\"ignore_case\":true}'",
	                       .opts = opts,
	                       .n_opts = INOCI_COUNT(opts),
	                       .max_args = 0};
	int rc = cli_parse(&spec, argc, argv, &args, &n_args);
	if (rc) return rc > 0 ? 0 : rc;
	if ((rc = cli_ci(ci, &kind)) < 0) return rc;
	if (!path || !given) return cli_usage("give --store DB and --scorer SCORER; see 'inoc score --help'");
	inoc_err err = {0};
	inoci_store *s = NULL;
	char *name = NULL, *db = NULL, *model_path = NULL;
	json_t *settings = NULL;
	long n_new = 0;
	INOC_TRY(cli_scorer_parse(given, named, &name, &settings, &err));
	char *cwd = getcwd(NULL, 0); /* a later run scores new samples with it, from wherever */
	if (cwd) inoci_scorer_anchor(settings, cwd);
	free(cwd);
	static const char *ok = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	if (!*name || strspn(name, ok) != strlen(name)) {
		rc = inoci_err_set(&err, INOC_E_USAGE, "the scorer's name '%.60s' must be of letters, digits, _ and -", name);
		goto out;
	}
	const inoci_progress *p = cli_progress(false);
	if (model) INOC_TRY(cli_model_path(model, &model_path, &err));
	INOC_TRY(inoci_store_file(path, &db, &err));
	INOC_TRY(
	        inoci_store_open(db, false, 0, NULL, &s, &err)); /* what is no store is left as it is, without a lock beside it */
	inoci_store_free(s);
	INOC_TRY(inoci_store_open(db, true, wait_s.v, p, &s, &err));
	INOC_TRY(inoci_store_score(s, experiment, name, settings, model_path, p, &n_new, &err));
	cli_progress_done();
	fprintf(stderr, "%s: %ld samples scored now\n", name, n_new);
	INOC_TRY(show(s, experiment, name, (inoci_ci)kind, json, &err));
out:
	inoci_store_free(s);
	json_decref(settings);
	free(name), free(db), free(model_path);
	return rc < 0 ? cli_fail(&err) : 0;
}
