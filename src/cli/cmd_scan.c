/* inoc scan: which traits would this data teach? Before training. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "lab/lab.h"
#include "report/report.h"
#include "scan/scan.h"

typedef struct {
	cli_model_opts model;
	const char *data, *only, *neutral, *page, *plan, *questions;
	cli_list traits;
	cli_int first, most, tokens, top, screen, seed;
	bool json, list;
} scan_opts;

/* Bits in 100 bytes. */
static double bits(double nats)
{
	return 100 * nats / M_LN2;
}

/* ---- the library ---- */

static void show_library(const inoci_trait_library *l, bool json)
{
	const char **cell = inoci_alloc((l->n + 1) * 5 * sizeof *cell);
	const char *head[] = {"trait", "group", "label", "scorer", "description"};
	json_t *list = json_array();
	memcpy((void *)cell, (void *)head, sizeof head);
	for (size_t i = 0; i < l->n; i++) {
		const inoci_scan_trait *t = &l->v[i];
		const char *row[] = {t->id, l->groups[t->group].id, t->label, t->scorer ? "yes" : "", t->description};
		memcpy((void *)(cell + 5 * (i + 1)), (void *)row, sizeof row);
		json_t *prompts = json_array(), *controls = json_array();
		for (size_t k = 0; k < t->n_prompts; k++) json_array_append_new(prompts, json_string(t->prompts[k]));
		for (size_t k = 0; k < t->n_controls; k++) json_array_append_new(controls, json_string(t->controls[k]));
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "trait", t->id, "group",
		                                      l->groups[t->group].id, "label", t->label, "description", t->description,
		                                      "prompts", prompts, "controls", controls, "scorer",
		                                      t->scorer ? json_incref(t->scorer) : json_null()));
	}
	if (json)
		cli_print_json(stdout, json_incref(list), JSON_INDENT(2));
	else
		cli_table(cell, l->n + 1, 5, NULL);
	json_decref(list);
	free(cell);
}

static int pick_only(const char *given, const inoci_trait_library *l, int **v, size_t *n, inoc_err *err)
{
	char *names = inoci_strdup(given), *save = NULL;
	int rc = 0;
	*v = inoci_alloc((strlen(given) + 1) * sizeof **v);
	for (char *s = strtok_r(names, ", ", &save); s && rc == 0; s = strtok_r(NULL, ", ", &save)) {
		int i;
		rc = inoci_trait_named(l, "--only", s, &i, err);
		if (rc == 0) (*v)[(*n)++] = i;
	}
	if (rc == 0 && !*n) rc = inoci_err_set(err, INOC_E_USAGE, "--only names no trait");
	free(names);
	return rc;
}

/* ---- what was found ---- */

enum { SHOWN = 12, COLUMNS = 8 };

static void print_table(const inoci_scan_result *r)
{
	size_t n = r->n < SHOWN ? r->n : SHOWN;
	char **cell = inoci_alloc((n + 1) * COLUMNS * sizeof *cell);
	static const char *const head[] = {"", "trait", "gain", "95 % interval", "share", "most surprising", "p", "records"};
	for (int c = 0; c < COLUMNS; c++) cell[c] = inoci_strdup(head[c]);
	for (size_t i = 0; i < n; i++) {
		const inoci_scan_row *v = &r->v[i];
		char **row = cell + COLUMNS * (i + 1);
		const char *behind = v->behind >= 0 ? r->l->v[v->behind].label : NULL;
		row[0] = inoci_strdup(v->found && !behind ? "*" : "");
		row[1] = inoci_asprintf("%s%s%s%s", r->l->v[v->trait].label, behind ? " (behind " : "", behind ? behind : "",
		                        behind ? ")" : "");
		row[2] = inoci_asprintf("%.1f", bits(v->gain.value));
		row[3] = inoci_asprintf("%.1f to %.1f", bits(v->gain.low), bits(v->gain.high));
		row[4] = inoci_asprintf("%.0f %%", 100 * v->share);
		const double p = fmin(v->p, v->odd_p);
		row[5] = v->odd.n ? inoci_asprintf("%.1f%s", bits(v->odd.value), v->in_odd ? " *" : "") : inoci_strdup("");
		row[6] = p < 1e-4 ? inoci_strdup("< 0.0001") : inoci_asprintf("%.2g", p);
		row[7] = inoci_asprintf("%zu", v->n);
	}
	cli_table((const char *const *)cell, n + 1, COLUMNS, (const bool[]){false, false, true, true, true, true, true, true});
	for (size_t i = 0; i < (n + 1) * COLUMNS; i++) free(cell[i]);
	free(cell);
	char *head_line = inoci_scan_headline(r), *markers = inoci_scan_markers_said(r);
	printf("\nGain in bits in 100 bytes of response. %s\n%zu of %zu records, %d rounds%s, %.0f s.\n", head_line, r->n_used,
	       r->d->n, r->rounds, r->settled ? ", the leading traits settled" : "", r->seconds);
	if (*markers) printf("%s\n", markers);
	free(head_line), free(markers);
	if (r->n_odd)
		printf("Most surprising: the gain on the %zu of %zu records that the model finds least probable; * found on "
		       "these "
		       "alone.\n",
		       r->n_odd, r->n_screened);
}

static int write_outputs(const scan_opts *t, const inoci_scan_result *r, inoc_err *err)
{
	int rc = 0;
	if (t->page) {
		inoci_buf b = {0};
		inoci_report_scan(r, t->model.model, &b);
		rc = inoci_file_write(t->page, b.data, b.len, err);
		inoci_buf_free(&b);
		if (rc < 0) return rc;
		fprintf(stderr, "page: %s\n", t->page);
	}
	if (!t->plan) return rc;
	const inoci_scan_plan_options o = {.path = t->plan,
	                                   .model = t->model.model,
	                                   .template_name = t->model.template_name,
	                                   .system = t->model.system,
	                                   .questions = t->questions,
	                                   .top = (size_t)t->top.v,
	                                   .seed = (uint64_t)t->seed.v};
	char *written;
	rc = inoci_scan_plan(r, &o, &written, err);
	if (rc == 0) fprintf(stderr, "plan: %s; `inoc run %s --dry-run` shows it\n", written, t->plan);
	free(written);
	return rc;
}

static int scan(const scan_opts *t, inoc_err *err)
{
	inoci_trait_library l = {0};
	inoci_dataset d = {0}, neutral = {0}, questions = {0};
	inoci_scan_result r = {0};
	cli_model c = {0};
	char *folder = NULL, *plain = NULL;
	int *only = NULL, rc;
	size_t n_only = 0;
	INOC_TRY(inoci_traits_load(t->traits.v, t->traits.n, &l, &folder, err));
	if (t->list) {
		show_library(&l, t->json);
		goto out;
	}
	if (t->only) INOC_TRY(pick_only(t->only, &l, &only, &n_only, err));
	INOC_TRY(inoci_dataset_read(t->data, INOCI_NEED_ASSISTANT, &d, err));
	plain = t->neutral ? inoci_strdup(t->neutral) : inoci_path_join(folder, "neutral.jsonl");
	INOC_TRY(inoci_dataset_read(plain, INOCI_NEED_ASSISTANT, &neutral, err));
	if (t->questions) INOC_TRY(inoci_dataset_read(t->questions, INOCI_NEED_USER_LAST, &questions, err));
	INOC_TRY(cli_model_open(&t->model, false, &c, err));
	const inoci_scan_options o = {.system = t->model.system,
	                              .first = (int)t->first.v,
	                              .most = (int)t->most.v,
	                              .tokens = (int)t->tokens.v,
	                              .top = (int)t->top.v,
	                              .screen = (int)t->screen.v,
	                              .seed = (uint64_t)t->seed.v,
	                              .only = only,
	                              .n_only = n_only};
	INOC_TRY(inoci_scan(c.m, c.tmpl, &l, &d, &neutral, &o, cli_progress(false), &r, err));
	cli_progress_done();
	if (r.n_too_long) fprintf(stderr, "%zu records are too long for a prompt in front and were left out\n", r.n_too_long);
	if (t->json)
		cli_print_json(stdout, inoci_scan_json(&r, t->model.model), JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	else
		print_table(&r);
	INOC_TRY(write_outputs(t, &r, err));
out:
	inoci_scan_free(&r);
	cli_model_close(&c);
	inoci_dataset_free(&d), inoci_dataset_free(&neutral), inoci_dataset_free(&questions);
	inoci_trait_library_free(&l);
	free(folder), free(plain), free(only);
	return rc < 0 ? rc : 0;
}

int cmd_scan(int argc, char **argv)
{
	const inoci_scan_options usual = inoci_scan_defaults();
	scan_opts t = {.first = {usual.first, 2, 1 << 20},
	               .most = {usual.most, 0, INT_MAX},
	               .tokens = {usual.tokens, 0, 1 << 20},
	               .top = {usual.top, 1, 20},
	               .screen = {usual.screen, 0, INT_MAX},
	               .seed = {(long)usual.seed, 0, LONG_MAX}};
	const char **args;
	int n_args;
	cli_model_init(&t.model, false);
	const cli_opt opts[] = {
	        {"data", 'd', CLI_PATH, &t.data, "FILE", "training records, JSON Lines"},
	        {"traits", 0, CLI_LIST, &t.traits, "PATH", "traits of one's own: a file, or a folder of *.yaml; several times"},
	        {"only", 0, CLI_STR, &t.only, "A,B", "only these traits"},
	        {"neutral", 0, CLI_PATH, &t.neutral, "FILE", "plain records to compare with (default: the library's)"},
	        {"first", 0, CLI_INT, &t.first, "N", "records of the first round, which all traits take part in"},
	        {"most", 0, CLI_INT, &t.most, "N", "records at most; 0: all"},
	        {"tokens", 0, CLI_INT, &t.tokens, "N", "only so many of a response's first tokens count; 0: all"},
	        {"top", 0, CLI_INT, &t.top, "N", "leading traits to settle, and to inoculate in the plan"},
	        {"screen", 0, CLI_INT, &t.screen, "N",
	         "records among which the most surprising are sought, for rare traits; 0: none"},
	        {"seed", 0, CLI_INT, &t.seed, "N", "of the order in which records are taken"},
	        {"page", 'o', CLI_PATH, &t.page, "FILE", "a report page, HTML"},
	        {"write", 'w', CLI_PATH, &t.plan, "FILE", "an experiment file that inoculates the leading traits found"},
	        {"questions", 0, CLI_PATH, &t.questions, "FILE", "its evaluation's (default: some of the data's are held out)"},
	        {"list", 0, CLI_FLAG, &t.list, NULL, "print the trait library and end"},
	        {"json", 0, CLI_FLAG, &t.json, NULL, "everything as JSON"},
	};
	const cli_spec spec = {
	        .usage = "inoc scan --model MODEL --data FILE [options]",
	        .about = "Says before training which traits of a library the data would teach: how much more probable the "
	                 "responses become\n"
	                 "after exchanges that show a trait than after plain ones, and by prompts that ask for it than by "
	                 "matched controls.\n"
	                 "Few records for all traits, then more for the leading ones, until these are settled (docs/scan.md). * "
	                 "marks what\n"
	                 "is found.\n"
	                 "Example: inoc scan -m smollm2-135m-instruct -d train.jsonl -o scan.html -w experiment.yaml",
	        .opts = opts,
	        .n_opts = INOCI_COUNT(opts),
	        .shared = {t.model.group},
	        .max_args = 0};
	int rc = cli_parse(&spec, argc, argv, &args, &n_args);
	if (rc) return rc > 0 ? 0 : rc;
	if (!t.list && (!t.model.model || !t.data)) return cli_usage("give --model and --data; see 'inoc scan --help'");
	if (t.questions && !t.plan) return cli_usage("--questions is of the plan; give --write FILE");
	inoc_err err = {0};
	rc = scan(&t, &err);
	return rc < 0 ? cli_fail(&err) : 0;
}
