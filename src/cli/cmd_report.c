/* inoc report: an experiment's report and tables, made again from its store. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "lab/lab.h"
#include "report/report.h"

static int write_html(const inoci_summary *s, const char *path, const inoci_progress *p, inoc_err *err)
{
	inoci_buf b = {0};
	char *dir = inoci_path_dir(path);
	int rc;
	INOC_TRY(inoci_mkdirs(dir, err));
	INOC_TRY(inoci_report_html(s, p, &b, err));
	INOC_TRY(inoci_file_write(path, b.data, b.len, err));
out:
	inoci_buf_free(&b);
	free(dir);
	return rc < 0 ? rc : 0;
}

/* Both files beside the store, and what they say in short. */
static int write_beside(const inoci_summary *s, const inoci_store *store, const inoci_progress *p, inoc_err *err)
{
	char *dir = inoci_path_dir(inoci_store_path(store)), *more = NULL, *headline;
	int rc = inoci_report_write(s->r, dir, p, err);
	if (rc == 0) {
		headline = inoci_report_headline(s, &more);
		printf("%s\n%s%s", headline, more, *more ? "\n" : "");
		printf("\nreport: %s/report.html\ntable:  %s/results.csv\n", dir, dir);
		free(headline);
		free(more);
	}
	free(dir);
	return rc;
}

int cmd_report(int argc, char **argv)
{
	const char *html = NULL, *name = NULL, *ci = NULL, **args;
	bool csv = false, json = false, md = false;
	int n_args, kind;
	const cli_opt opts[] = {
	        {"html", 0, CLI_PATH, &html, "FILE", "write the page to FILE, and nothing else"},
	        {"csv", 0, CLI_FLAG, &csv, NULL, "print every share as CSV, a row per seed and one for all"},
	        {"json", 0, CLI_FLAG, &json, NULL, "print one JSON object: headline, verdicts, shares"},
	        {"md", 0, CLI_FLAG, &md, NULL, "print headline and tables as Markdown"},
	        CLI_CI(&ci),
	        {"experiment", 0, CLI_STR, &name, "NAME", "of a store that holds several (default: the latest run from a file)"},
	};
	const cli_spec spec = {
	        .usage = "inoc report [--html FILE] [--csv | --json | --md] [--ci paper] EXPERIMENT",
	        .about = "Makes an experiment's report again from what is in its store; nothing is trained or sampled. Without "
	                 "options:\n"
	                 "report.html and results.csv beside the store. EXPERIMENT is an experiment file, its output folder, or "
	                 "a store.db.\n"
	                 "Example: inoc report --md out/spanish-caps",
	        .opts = opts,
	        .n_opts = INOCI_COUNT(opts),
	        .min_args = 1,
	        .max_args = 1,
	};
	int rc = cli_parse(&spec, argc, argv, &args, &n_args);
	if (rc) return rc > 0 ? 0 : rc;
	if ((rc = cli_ci(ci, &kind)) < 0) return rc;
	if (csv + json + md > 1) return cli_usage("report: choose one of --csv, --json, --md");
	if (html && !strcmp(html, "-") && (csv || json || md))
		return cli_usage("report: --html - and a table cannot both go to standard output");
	const inoci_progress *p = cli_progress(csv || json || md);
	inoc_err err = {0};
	inoci_store *store = NULL;
	inoci_experiment *e = NULL;
	inoci_results *r = NULL;
	inoci_summary *s = NULL;
	inoci_buf b = {0};
	INOC_TRY(inoci_store_open_any(args[0], name, &store, &e, &err));
	INOC_TRY(inoci_results_load(store, e, 0, &r, &err));
	r->ci = (inoci_ci)kind;
	INOC_TRY(inoci_summary_new(r, INOCI_REPORT_BOOT, &s, &err));
	if (html) INOC_TRY(write_html(s, html, p, &err));
	if (csv) inoci_report_csv(s, &b);
	if (json) inoci_report_json(s, &b);
	if (md) inoci_report_markdown(s, &b);
	if (b.len)
		fwrite(b.data, 1, b.len, stdout);
	else if (!html)
		INOC_TRY(write_beside(s, store, p, &err));
	/* beside a table or page on standard output they go to the other one */
	inoci_buf_clear(&b);
	rc = inoci_report_expectations(s, &b, &err);
	if (b.len && !json) fprintf(csv || md || html ? stderr : stdout, "\nexpectations:\n%s", b.data);
out:
	cli_progress_done();
	inoci_buf_free(&b);
	inoci_summary_free(s);
	inoci_results_free(r);
	inoci_experiment_free(e);
	inoci_store_free(store);
	return rc < 0 ? cli_fail(&err) : 0;
}
