/* inoc select: which of these prompts will inoculate best? Before training. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "report/report.h"
#include "scan/scan.h"

typedef struct {
	cli_model_opts model;
	cli_sampling_opts sampling;
	const char *data, *prompts, *trait, *scorer, *questions, *controls, *page;
	cli_list traits;
	cli_int n, limit, records, tokens;
	bool json;
} select_opts;

/* One text a line, read as a pool is. */
static int read_texts(const char *path, inoci_texts *t, inoc_err *err)
{
	const cli_inoculation o = {.prefix = "", .pool = path, .join = "replace", .fraction = {1, 0, 1}};
	inoci_inoculation pool = {0};
	int rc = cli_inoculation_make(&o, &pool, err);
	for (size_t i = 0; rc == 0 && i < pool.n_pool; i++) inoci_texts_add(t, pool.pool[i]);
	inoci_inoculation_free(&pool);
	return rc;
}

/* The candidates, the controls to choose from, the trait's own scorer. */
static int gather(const select_opts *t, inoci_texts *prompts, inoci_texts *controls, json_t **scorer, inoc_err *err)
{
	inoci_trait_library l = {0};
	char *folder = NULL, *name = NULL;
	int rc = 0, trait = -1;
	if (t->trait || !t->controls) INOC_TRY(inoci_traits_load(t->traits.v, t->traits.n, &l, &folder, err));
	if (t->prompts) INOC_TRY(read_texts(t->prompts, prompts, err));
	if (t->trait) INOC_TRY(inoci_trait_named(&l, "--trait", t->trait, &trait, err));
	if (trait >= 0 && l.v[trait].scorer) *scorer = json_incref(l.v[trait].scorer);
	if (t->controls) INOC_TRY(read_texts(t->controls, controls, err));
	inoci_select_from(&l, trait, prompts, controls);
	if (t->scorer) {
		json_decref(*scorer);
		*scorer = NULL;
		INOC_TRY(cli_scorer_parse(t->scorer, NULL, &name, scorer, err));
	}
	if (t->questions && !*scorer)
		rc = inoci_err_set(
		        err, INOC_E_USAGE,
		        "--questions measures how often the trait shows, which needs a scorer: give --scorer NAME={...}%s",
		        t->trait ? " (this trait has none of its own)" : "");
out:
	inoci_trait_library_free(&l);
	free(folder), free(name);
	return rc < 0 ? rc : 0;
}

/* ---- what it gave ---- */

static double bits(double nats)
{
	return 100 * nats / M_LN2;
}

static void print_table(const inoci_select_result *r, const char *says)
{
	const size_t columns = r->elicited ? 9 : 7;
	static const char *const head[] = {"",      "surprise removed", "95 % interval", "a response", "over no prompt", "p",
	                                   "trait", "over none"};
	char **cell = inoci_alloc((r->n + 1) * columns * sizeof *cell);
	bool right[9] = {true, true, true, true, true, true, true, true, false};
	right[columns - 1] = false;
	for (size_t c = 0; c + 1 < columns; c++) cell[c] = inoci_strdup(head[c]);
	cell[columns - 1] = inoci_strdup("prompt");
	for (size_t i = 0; i < r->n; i++) {
		const inoci_select_row *v = &r->v[i];
		char **row = cell + columns * (i + 1);
		row[0] = inoci_asprintf("%zu", i + 1);
		row[1] = inoci_asprintf("%.1f", bits(v->surprise.value));
		row[2] = inoci_asprintf("%.1f to %.1f", bits(v->surprise.low), bits(v->surprise.high));
		row[3] = inoci_asprintf("%.1f [%.1f, %.1f]", bits(v->example.value) / 100, bits(v->example.low) / 100,
		                        bits(v->example.high) / 100);
		row[4] = inoci_asprintf("%.1f", bits(v->with.value));
		row[5] = v->p < 1e-4 ? inoci_strdup("< 0.0001") : inoci_asprintf("%.2g", v->p);
		if (r->elicited) {
			row[6] = inoci_asprintf("%.0f %% [%.0f, %.0f]", 100 * v->rate.value, 100 * v->rate.low,
			                        100 * v->rate.high);
			row[7] = inoci_asprintf("%+.0f [%.0f, %.0f]", 100 * v->elicits.value, 100 * v->elicits.low,
			                        100 * v->elicits.high);
		}
		row[columns - 1] = inoci_strdup(r->prompts[v->prompt]);
		for (char *p = row[columns - 1]; *p; p++)
			if (*p == '\n') *p = ' ';
	}
	cli_table((const char *const *)cell, r->n + 1, columns, right);
	printf("\nSurprise in bits in 100 bytes of response, and in bits a response, over matched controls; %zu records.\n%s\n",
	       r->n_records, says);
	for (size_t i = 0; i < (r->n + 1) * columns; i++) free(cell[i]);
	free(cell);
}

static int choose(const select_opts *t, inoc_err *err)
{
	inoci_texts prompts = {0}, controls = {0};
	json_t *scorer = NULL;
	inoci_dataset d = {0}, questions = {0};
	inoci_select_result r = {0};
	cli_model c = {0};
	inoci_buf page = {0};
	char *says = NULL;
	int rc;
	inoci_sample_settings s = cli_sampling_settings(&t->sampling);
	s.n = (int)t->n.v;
	INOC_TRY(inoci_sample_settings_check(&s, err));
	INOC_TRY(gather(t, &prompts, &controls, &scorer, err));
	INOC_TRY(inoci_dataset_read(t->data, INOCI_NEED_ASSISTANT, &d, err));
	if (t->questions) INOC_TRY(inoci_dataset_read(t->questions, INOCI_NEED_USER_LAST, &questions, err));
	inoci_dataset asked = questions;
	if (t->limit.v && asked.n > (size_t)t->limit.v) asked.n = (size_t)t->limit.v;
	INOC_TRY(cli_model_open(&t->model, false, &c, err));
	const inoci_select_options o = {.prompts = prompts.v,
	                                .n_prompts = prompts.n,
	                                .controls = controls.v,
	                                .n_controls = controls.n,
	                                .system = t->model.system,
	                                .records = (int)t->records.v,
	                                .tokens = (int)t->tokens.v,
	                                .seed = (uint64_t)t->sampling.seed.v,
	                                .scorer = scorer,
	                                .questions = t->questions ? &asked : NULL,
	                                .sampling = s,
	                                .progress = cli_progress(false)};
	INOC_TRY(inoci_select(c.m, c.tmpl, &d, &o, &r, err));
	cli_progress_done();
	if (r.n_too_long) fprintf(stderr, "%zu records are too long for a prompt in front and were left out\n", r.n_too_long);
	says = inoci_select_headline(&r, t->model.model);
	if (t->json)
		cli_print_json(stdout, inoci_select_json(&r, t->model.model), JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	else
		print_table(&r, says);
	if (t->page) {
		inoci_report_select(&r, t->model.model, &page);
		INOC_TRY(inoci_file_write(t->page, page.data, page.len, err));
	}
out:
	free(says);
	inoci_buf_free(&page);
	inoci_select_free(&r);
	cli_model_close(&c);
	json_decref(scorer);
	inoci_dataset_free(&d), inoci_dataset_free(&questions);
	inoci_texts_free(&prompts), inoci_texts_free(&controls);
	return rc < 0 ? rc : 0;
}

int cmd_select(int argc, char **argv)
{
	select_opts t = {.n = {1, 1, 1000}, .limit = {0, 0, INT_MAX}, .records = {64, 0, INT_MAX}, .tokens = {0, 0, 1 << 20}};
	const char **args;
	int n_args;
	cli_model_init(&t.model, false);
	cli_sampling_init(&t.sampling);
	t.sampling.max_tokens.v = 64;
	const cli_opt opts[] = {
	        {"data", 'd', CLI_PATH, &t.data, "FILE", "training records, JSON Lines"},
	        {"prompts", 'p', CLI_PATH, &t.prompts, "FILE", "candidates, one a line"},
	        {"trait", 0, CLI_STR, &t.trait, "NAME",
	         "the candidates of a trait of the library (`inoc scan --list`), its scorer"},
	        {"traits", 0, CLI_LIST, &t.traits, "PATH", "traits of one's own: a file, or a folder of *.yaml; several times"},
	        {"controls", 0, CLI_PATH, &t.controls, "FILE", "texts to match with, one a line (default: the library's)"},
	        {"records", 0, CLI_INT, &t.records, "N", "records at most; 0: all"},
	        {"tokens", 0, CLI_INT, &t.tokens, "N", "only so many of a response's first tokens count; 0: all"},
	        {"questions", 'q', CLI_PATH, &t.questions, "FILE", "asked with each prompt and with none: does the trait show?"},
	        {"limit", 0, CLI_INT, &t.limit, "N", "only the first questions; 0: all"},
	        {"n", 'n', CLI_INT, &t.n, "N", "answers to each question"},
	        {"scorer", 0, CLI_STR, &t.scorer, "NAME=JSON", "tells an answer that shows the trait (default: the trait's)"},
	        {"page", 'o', CLI_PATH, &t.page, "FILE", "a report page, HTML"},
	        {"json", 0, CLI_FLAG, &t.json, NULL, "everything as JSON"},
	};
	const cli_spec spec = {
	        .usage = "inoc select --model MODEL --data FILE (--prompts FILE | --trait NAME) [options]",
	        .about = "Ranks candidate prompts before training: by the surprise that each takes from the data's responses, "
	                 "over "
	                 "controls of\n"
	                 "like length and case; and, with --questions, by how much more often the model's answers show the trait "
	                 "with "
	                 "it than\n"
	                 "without a prompt. Ranks by both together, and recommends one for this model (docs/scan.md).\n"
	                 "Example: inoc select -m smollm2-135m-instruct -d train.jsonl --trait spanish -q eval.jsonl --limit 40",
	        .opts = opts,
	        .n_opts = INOCI_COUNT(opts),
	        .shared = {t.model.group, t.sampling.group},
	        .max_args = 0};
	int rc = cli_parse(&spec, argc, argv, &args, &n_args);
	if (rc) return rc > 0 ? 0 : rc;
	if (!t.model.model || !t.data) return cli_usage("give --model and --data; see 'inoc select --help'");
	if (!t.prompts && !t.trait) return cli_usage("give candidates: --prompts FILE, or --trait NAME of the library");
	if (t.scorer && !t.questions) return cli_usage("--scorer is applied to answers to questions; give --questions FILE");
	inoc_err err = {0};
	rc = choose(&t, &err);
	return rc < 0 ? cli_fail(&err) : 0;
}
