/* inoc run FILE: the whole experiment, from the data to the report. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "lab/lab.h"
#include "lab/traits.h"
#include "report/report.h"

typedef struct {
	bool dry_run, json, report;
	inoci_ci ci;
	int planned, left; /* plan items; those with something to do */
} run_ctx;

static void print_notes(const inoci_experiment *e)
{
	for (size_t i = 0; i < e->n_notes; i++) printf("%s%s\n", i ? "" : "\n", e->notes[i]);
}

/* Which records get an arm's prompt, a line for each arm that has a condition and is planned. */
static void print_choices(FILE *f, const inoci_experiment *e, const inoci_plan *p)
{
	bool *told = inoci_alloc(e->n_arms + 1);
	for (size_t i = 0; i < p->n; i++) {
		const inoci_arm *a = &e->arms[p->v[i].arm];
		const inoci_choice *c = &p->choices[p->v[i].arm];
		if (!c->n || told[p->v[i].arm]) continue;
		told[p->v[i].arm] = true;
		char *text = inoci_choice_text(a->inoculation.tag, a->when, c);
		fprintf(f, "%s: %s\n", a->name, text);
		free(text);
	}
	free(told);
}

static json_t *choice_json(const inoci_arm *a, const inoci_choice *c)
{
	char *when = inoci_when_text(a->inoculation.tag, a->when);
	json_t *j = json_pack("{s:s, s:I, s:o, s:o}", "when", when, "records", (json_int_t)c->n, "chosen",
	                      c->decided ? json_integer((json_int_t)c->n_chosen) : json_null(), "without_value",
	                      c->decided ? json_integer((json_int_t)c->n_missing) : json_null());
	free(when);
	return j;
}

static void print_table(inoci_report_table *t)
{
	cli_table((const char *const *)t->cell, t->n_rows, t->n_cols, t->right);
	inoci_report_table_free(t);
}

static int on_plan(void *ctx, const inoci_experiment *e, const inoci_plan *p, inoc_err *err)
{
	run_ctx *c = ctx;
	long steps = 0, want = 0, have = 0;
	size_t cols = 5;
	(void)err;
	c->planned = (int)p->n;
	for (size_t i = 0; i < p->n; i++) {
		steps += p->v[i].steps;
		want += p->v[i].n_samples;
		have += p->v[i].n_have;
		c->left += !p->v[i].trained || p->v[i].n_have < p->v[i].n_samples;
	}
	if (!c->dry_run) {
		for (size_t i = 0; i < e->n_arms && c->left; i++)
			if (e->arms[i].matched)
				fprintf(stderr, "%s: a control was added to the plan (controls: none leaves it out): \"%s\"\n",
				        e->arms[i].name, e->arms[i].inoculation.pool[0]);
		if (c->left) print_choices(stderr, e, p);
		if (c->left)
			fprintf(stderr,
			        "%s: %d of %d (arm, seed) pairs to do: %ld training steps, %ld samples (of %ld; the rest is "
			        "shared or in %s)\n",
			        e->name, c->left, c->planned, steps, want - have, want, p->store_path);
		else
			fprintf(stderr, "%s: everything is in %s already\n", e->name, p->store_path);
		return 0;
	}
	if (c->json) {
		json_t *all = json_array();
		for (size_t i = 0; i < p->n; i++) {
			const inoci_plan_item *v = &p->v[i];
			const char *given = e->arms[v->arm].adapter;
			json_t *j = json_pack("{s:I, s:s, s:b, s:i, s:I, s:I, s:s}", "seed", (json_int_t)v->seed, "arm",
			                      e->arms[v->arm].name, "trained", (int)v->trained, "steps", v->steps, "samples",
			                      (json_int_t)v->n_samples, "have", (json_int_t)v->n_have, "key", v->key);
			if (given) json_object_set_new(j, "adapter", json_string(given));
			if (e->arms[v->arm].matched) {
				json_object_set_new(j, "matched_to", json_string(e->arms[v->arm].matched));
				json_object_set_new(j, "prompt", json_string(e->arms[v->arm].inoculation.pool[0]));
			}
			const inoci_choice *some = &p->choices[v->arm];
			if (some->n) json_object_set_new(j, "inoculate", choice_json(&e->arms[v->arm], some));
			json_array_append_new(all, j);
		}
		cli_print_json(stdout, all, JSON_INDENT(2));
		return 0;
	}
	char **cell = inoci_alloc((p->n + 1) * cols * sizeof *cell);
	static const char *const head[] = {"seed", "arm", "examples", "training", "samples to draw"};
	for (size_t k = 0; k < cols; k++) cell[k] = inoci_strdup(head[k]);
	for (size_t i = 0; i < p->n; i++) {
		const inoci_plan_item *v = &p->v[i];
		char **row = cell + (i + 1) * cols;
		row[0] = inoci_asprintf("%llu", (unsigned long long)v->seed);
		row[1] = inoci_strdup(e->arms[v->arm].name);
		row[2] = e->arms[v->arm].train ? inoci_asprintf("%zu", v->n_train) : inoci_strdup("");
		const char *given = e->arms[v->arm].adapter;
		row[3] = given                    ? inoci_asprintf("given: %s", given)
		         : !e->arms[v->arm].train ? inoci_strdup("none")
		         : v->trained             ? inoci_strdup("in the store")
		                                  : inoci_asprintf("%d steps", v->steps);
		row[4] = inoci_asprintf("%ld of %ld", v->n_samples - v->n_have, v->n_samples);
	}
	cli_table((const char *const *)cell, p->n + 1, cols, (const bool[]){true, false, true, false, true});
	printf("\n%ld training steps and %ld samples to do; %ld more samples are shared among these or in %s\n", steps,
	       want - have, have, p->store_path);
	print_choices(stdout, e, p);
	print_notes(e);
	for (size_t i = 0; i < (p->n + 1) * cols; i++) free(cell[i]);
	free(cell);
	return 0;
}

/* Generalisation, planes, the leakage grid and the sweeps, where there are any. */
static void print_more(const inoci_summary *s)
{
	const inoci_experiment *e = s->r->e;
	for (int k = 0; k < (int)e->n_traits; k++) {
		inoci_report_table g = inoci_report_generalisation(s, k);
		char *reach = inoci_report_reach(s, k);
		if (g.n_rows > 1) {
			printf("\ngeneralisation, %s:\n", e->traits[k].label);
			print_table(&g);
			printf("%s\n", reach);
		} else {
			inoci_report_table_free(&g);
		}
		free(reach);
	}
	for (int k = 0; k < (int)e->n_planes; k++) {
		inoci_report_table t = inoci_report_plane(s, k);
		if (t.n_rows > 1) {
			printf("\n%s:\n", e->planes[k].label);
			print_table(&t);
		} else {
			inoci_report_table_free(&t);
		}
	}
	for (int k = 0; k < (int)e->n_traits; k++) {
		inoci_report_table t = inoci_report_leakage(s, k, false);
		char *found = inoci_report_leaks(s, k);
		bool any = t.n_rows > 1;
		if (any) printf("\nleakage, %s (^: clearly more than without a system prompt):\n", e->traits[k].label);
		if (any)
			print_table(&t);
		else
			inoci_report_table_free(&t);
		if (any && *found) printf("%s\n", found);
		free(found);
	}
	for (int i = 0; i < (int)e->n_sweeps; i++) {
		inoci_report_table t = inoci_report_sweep(s, i);
		printf("\nover %s, %s:\n", e->sweeps[i].key, e->evals[s->headline].label);
		print_table(&t);
	}
}

static int show_end(const run_ctx *c, const inoci_experiment *e, const inoci_results *r, const inoci_summary *s, inoc_err *err)
{
	if (c->json) {
		inoci_buf b = {0};
		inoci_report_json(s, &b);
		fputs(b.data ? b.data : "", stdout);
		inoci_buf_free(&b);
	} else if (s->n_judgements) {
		char *more = NULL, *headline = inoci_report_headline(s, &more);
		inoci_report_table t = inoci_report_verdicts(s);
		putchar('\n');
		print_table(&t);
		putchar('\n');
		for (size_t i = 0; i < s->n_judgements; i++)
			printf("%s, %s: %s%s. %s\n", e->arms[s->judgements[i].arm].name, e->traits[s->judgements[i].trait].name,
			       inoci_verdict_name(s->judgements[i].v.verdict),
			       inoci_report_for_headline(r, s->judgements[i].trait) ? "" : " (not for a headline)",
			       s->judgements[i].v.reason);
		printf("\n%s\n", headline);
		if (more && *more) printf("%s\n", more);
		free(headline);
		free(more);
	}
	if (!c->json) print_more(s);
	int rc = c->report ? inoci_report_write(r, e->out, cli_progress(c->json), err) : 0;
	cli_progress_done();
	if (rc == 0 && c->report && !c->json) {
		char *html = inoci_path_join(e->out, "report.html");
		printf("\nreport: %s\n", html);
		free(html);
	}
	if (rc < 0) return rc;
	inoci_buf lines = {0};
	rc = inoci_report_expectations(s, &lines, err);
	if (lines.len && !c->json) printf("\nexpectations:\n%s", lines.data);
	inoci_buf_free(&lines);
	return rc;
}

/* The shares of one evaluation, under its name. */
static void print_rates(const inoci_summary *s, int eval, bool intervals, bool so_far)
{
	inoci_report_table t = inoci_report_rates(s, eval, intervals);
	int seeds = s->r->n_seeds;
	if (t.n_rows == 1 && eval != s->headline) {
		inoci_report_table_free(&t);
		return;
	}
	printf("\n%s, %s%d seed%s%s:\n", s->r->e->evals[eval].label, so_far ? "so far " : "", seeds, seeds == 1 ? "" : "s",
	       s->r->ci == INOCI_CI_PAPER && intervals ? ", intervals the papers' own, over runs alone" : "");
	print_table(&t);
}

static int on_seed(void *ctx, const inoci_experiment *e, inoci_store *store, uint64_t seed, inoc_err *err)
{
	run_ctx *c = ctx;
	inoci_results *r = NULL;
	inoci_summary *s = NULL;
	bool end = seed == UINT64_MAX;
	int rc = 0;
	if (!end && c->json) return 0;
	INOC_TRY(inoci_results_load(store, e, 0, &r, err));
	r->ci = c->ci;
	INOC_TRY(inoci_summary_new(r, INOCI_REPORT_BOOT, &s, err));
	cli_progress_done();
	if (!c->json) {
		print_rates(s, s->headline, true, !end);
		for (int v = 0; v < (int)e->n_evals; v++)
			if (v != s->headline && strcmp(e->evals[v].system, "own") && !inoci_experiment_grid(e, v))
				print_rates(s, v, false, !end);
		fflush(stdout);
	}
	if (end) rc = show_end(c, e, r, s, err);
out:
	inoci_summary_free(s);
	inoci_results_free(r);
	return rc;
}

/* "1,2,3" and "a,b" to lists. */
static int split(const char *option, const char *list, cli_list *out)
{
	char *copy = inoci_arena_strndup(cli_memory(), list, strlen(list)), *save = NULL;
	for (char *t = strtok_r(copy, ",", &save); t; t = strtok_r(NULL, ",", &save)) cli_list_add(out, t);
	return out->n ? 0 : cli_usage("%s names nothing; give a list such as 1,2 or a,b", option);
}

static int parse_seeds(const char *list, inoci_run_options *o)
{
	cli_list t = {0};
	int rc = split("--seeds", list, &t);
	if (rc < 0) return rc;
	uint64_t *v = inoci_arena_alloc(cli_memory(), t.n * sizeof *v);
	for (size_t i = 0; i < t.n; i++) {
		char *end;
		v[i] = strtoull(t.v[i], &end, 10);
		if (*end || t.v[i][0] == '-' || v[i] > 9007199254740991u)
			return cli_usage("--seeds: '%s' is not a whole number", t.v[i]);
		for (size_t j = 0; j < i; j++)
			if (v[j] == v[i]) return cli_usage("--seeds: %s is given twice", t.v[i]);
	}
	o->seeds = v;
	o->n_seeds = t.n;
	return 0;
}

int cmd_run(int argc, char **argv)
{
	const char *arms = NULL, *seeds = NULL, *out = NULL, *ci = NULL;
	const char **args;
	cli_list sets = {0}, arm_list = {0};
	cli_dbl wait_s = {0, 0, 1e9};
	cli_int short_n = {0, 1, 1000};
	bool dry_run = false, fresh = false, json = false, no_report = false;
	int n_args, kind;
	const cli_opt opts[] = {
	        {"arms", 0, CLI_STR, &arms, "A,B", "only these arms"},
	        {"seeds", 0, CLI_STR, &seeds, "1,2", "these seeds instead of the file's"},
	        {"set", 0, CLI_LIST, &sets, "KEY=VALUE",
	         "override a setting of the file (train.lr=5e-4); may be given several times"},
	        {"out", 'o', CLI_PATH, &out, "DIR", "the output folder instead of the file's"},
	        {"short", 0, CLI_INT, &short_n, "N",
	         "only try the way: N questions an evaluation, N training steps, one seed, under the name NAME-short"},
	        {"dry-run", 'n', CLI_FLAG, &dry_run, NULL, "say what would be done, and do nothing"},
	        {"fresh", 0, CLI_FLAG, &fresh, NULL,
	         "set the store and the adapters aside (renamed, not deleted) and begin anew"},
	        {"wait", 0, CLI_DBL, &wait_s, "S", "seconds to wait for another run at the same store"},
	        {"json", 0, CLI_FLAG, &json, NULL, "results (or the plan) as one JSON object on standard output"},
	        CLI_CI(&ci),
	        {"no-report", 0, CLI_FLAG, &no_report, NULL, "write no report.html and results.csv"},
	};
	const cli_spec spec = {.usage = "inoc run FILE [options]",
	                       .about = "Trains, samples, scores and reports what an experiment file (YAML) asks for. What is in "
	                                "the store of its output\n"
	                                "folder is not done again; a run that was stopped or killed goes on from there.\n"
	                                "Example: inoc run settings/spanish-caps/experiment.yaml --seeds 1",
	                       .opts = opts,
	                       .n_opts = INOCI_COUNT(opts),
	                       .min_args = 1,
	                       .max_args = 1};
	int rc = cli_parse(&spec, argc, argv, &args, &n_args);
	if (rc) return rc > 0 ? 0 : rc;
	if ((rc = cli_ci(ci, &kind)) < 0) return rc;
	inoc_err err = {0};
	inoci_experiment *e = NULL;
	char *model = NULL, *beside = NULL;
	run_ctx ctx = {.dry_run = dry_run, .json = json, .report = !no_report, .ci = (inoci_ci)kind};
	inoci_run_options o = {
	        .dry_run = dry_run, .fresh = fresh, .wait_s = wait_s.v, .on_plan = on_plan, .on_seed = on_seed, .ctx = &ctx};
	if (arms && (rc = split("--arms", arms, &arm_list)) < 0) return rc;
	if (seeds && (rc = parse_seeds(seeds, &o)) < 0) return rc;
	o.arms = arm_list.v;
	o.n_arms = arm_list.n;
	if (out && !strcmp(out, "-"))
		return cli_usage("-o names a folder, which '-' cannot be; './-' if a folder is to have that name");
	if (out) {
		json_t *quoted = json_string(out);
		char *text = quoted ? json_dumps(quoted, JSON_ENCODE_ANY) : NULL;
		if (!text) return cli_usage("--out is not UTF-8");
		char *set = inoci_asprintf("out=%s", text);
		cli_list_add(&sets, inoci_arena_strndup(cli_memory(), set, strlen(set)));
		free(set), free(text);
		json_decref(quoted);
	}
	if (short_n.v) {
		char *set = inoci_asprintf("short=%ld", (long)short_n.v);
		cli_list_add(&sets, inoci_arena_strndup(cli_memory(), set, strlen(set)));
		free(set);
	}
	cli_catch_signals();
	o.progress = cli_progress(false);
	INOC_TRY(inoci_experiment_read(args[0], sets.v, sets.n, &e, &err));
	beside = inoci_path_join(e->dir, e->model);
	if (inoci_path_exists(beside))
		model = inoci_strdup(beside);
	else
		INOC_TRY(cli_model_path(e->model, &model, &err));
	rc = inoci_run(e, model, &o, &err);
	cli_progress_done();
	if (rc == INOC_E_STOPPED) fprintf(stderr, "inoc: what is finished is kept; the same command goes on from there\n");
out:
	if (rc < 0) cli_fail(&err);
	inoci_experiment_free(e);
	free(model), free(beside);
	return rc;
}
