/* inoc eval: any model, with or without an adapter: an experiment of one arm and one evaluation, made from the options and run
 * by the lab, in a store in memory or in one that is kept. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lab/lab.h"
#include "report/report.h"

#define MAX_SCORERS 64
#define MAX_PART 24 /* characters of an arm's or evaluation's name: two and a hash fit into an experiment's */

typedef struct {
	cli_model_opts model;
	cli_sampling_opts sampling;
	cli_prompt_opts prompts;
	const char *out, *scorers, *store, *name, *measure;
	cli_list scorer, command; /* command: what was typed */
	cli_dbl wait_s;
	bool json;
} eval_opts;

typedef struct {
	const eval_opts *t;
	inoci_out *o; /* NULL: no file of answers */
} eval_ctx;

/* ---- the options as an experiment ---- */

static bool is_name(const char *s)
{
	static const char *const first = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
	                         *const ok = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	return *s && strchr(first, *s) && strspn(s, ok) == strlen(s) && strlen(s) <= 60;
}

/* The last part of a path as a name, without its extension where `file`: "plain-seed1", "eval". free() it. */
static char *name_of(const char *path, bool file, const char *otherwise)
{
	size_t n = strlen(path);
	char part[MAX_PART + 1];
	int k = 0;
	while (n && path[n - 1] == '/') n--;
	size_t from = n;
	while (from && path[from - 1] != '/') from--;
	if (file)
		for (size_t i = n; i-- > from + 1;)
			if (path[i] == '.') {
				n = i;
				break;
			}
	for (; from < n && k < MAX_PART; from++) {
		const char c[] = {path[from], 0};
		if (is_name(c) || (k && strchr("_-", *c)))
			part[k++] = *c;
		else if (k && part[k - 1] != '_')
			part[k++] = '_';
	}
	part[k] = 0;
	return inoci_strdup(k ? part : otherwise);
}

/* A path as the experiment's text has it: absolute, since there is no file whose folder it could be relative to. */
static int put_path(json_t *j, const char *key, const char *path, const eval_opts *t, inoc_err *err)
{
	char *cwd = getcwd(NULL, 0), *full = inoci_path_join(cwd, path);
	json_t *s = json_string(full);
	int rc = 0;
	if (!s && t->store) rc = inoci_err_set(err, INOC_E_USAGE, "--%s is not UTF-8, which the texts of a store must be", key);
	json_object_set_new(j, key, s ? s : json_string("(not UTF-8)"));
	free(cwd), free(full);
	return rc;
}

/* A built-in one is in the list as its name, another as {name: settings}. */
static bool has_scorer(const json_t *list, const char *name)
{
	size_t i;
	json_t *x;
	json_array_foreach(list, i, x) if (json_object_get(x, name) ||
	                                   (json_is_string(x) && !strcmp(json_string_value(x), name))) return true;
	return false;
}

static int add_scorer(json_t *list, const char *given, inoc_err *err)
{
	char *name = NULL;
	json_t *settings = NULL;
	inoci_scorer *probe = NULL;
	int rc;
	INOC_TRY(cli_scorer_parse(given, NULL, &name, &settings, err));
	if (json_array_size(list) == MAX_SCORERS) rc = inoci_err_set(err, INOC_E_LIMIT, "more than %d scorers", MAX_SCORERS);
	if (!is_name(name))
		rc = inoci_err_set(err, INOC_E_USAGE,
		                   "the scorer's name '%.60s' must be of letters, digits, _ and -, a letter or digit first",
		                   name);
	if (has_scorer(list, name)) rc = inoci_err_set(err, INOC_E_USAGE, "scorer '%s' is given twice", name);
	char *cwd = getcwd(NULL, 0); /* with --store it may go on from elsewhere */
	if (rc == 0 && cwd) inoci_scorer_anchor(settings, cwd);
	free(cwd);
	if (rc == 0) rc = inoci_scorer_new(name, settings, &probe, err);
	if (rc == 0) json_array_append_new(list, strchr(given, '{') ? json_pack("{s:O}", name, settings) : json_string(name));
out:
	inoci_scorer_free(probe);
	json_decref(settings);
	free(name);
	return rc;
}

/* A candidate's share, under its name as far as a scorer may be called so. */
static int add_candidate(json_t *list, const char *name, inoc_err *err)
{
	if (!name || !is_name(name))
		return inoci_err_set(
		        err, INOC_E_USAGE,
		        "candidate '%.60s' cannot be a scorer's name: give names and forms, {\"candidates\": {\"owl\": "
		        "[\"an owl\"]}}, or --scorer",
		        name ? name : "");
	json_array_append_new(list, json_pack("{s:{s:s, s:s}}", name, "type", "candidates", "is", name));
	return 0;
}

static int scorers_json(const eval_opts *t, const json_t *measure, json_t *list, inoc_err *err)
{
	static const char *const sampled = "english_caps,english_lower,spanish_caps,spanish_lower,unknown,truncated,looping";
	const char *kind = json_string_value(json_object_get(measure, "measure")), *first = kind ? kind : sampled, *name;
	bool each = kind && !strcmp(kind, "candidates") && !t->scorers; /* of those there is no one scorer */
	char *copy = inoci_strdup(each ? "" : t->scorers ? t->scorers : first), *save = NULL;
	json_t *candidates = each ? json_object_get(measure, "candidates") : NULL, *v;
	size_t k;
	int rc = 0;
	for (char *s = strtok_r(copy, ",", &save); s && rc == 0; s = strtok_r(NULL, ",", &save)) rc = add_scorer(list, s, err);
	json_array_foreach(candidates, k, v) if (rc == 0) rc = add_candidate(list, json_string_value(v), err);
	json_object_foreach(candidates, name, v) if (rc == 0) rc = add_candidate(list, name, err);
	for (size_t i = 0; i < t->scorer.n && rc == 0; i++) rc = add_scorer(list, t->scorer.v[i], err);
	free(copy);
	if (rc == 0 && !json_array_size(list))
		rc = inoci_err_set(err, INOC_E_USAGE, "--scorers names no scorer; see 'inoc eval --help'");
	return rc;
}

/* --measure: a kind, or an evaluation's keys as JSON. New reference; NULL: answers are sampled. */
static int measure_json(const eval_opts *t, const inoci_sample_settings *s, json_t **out, inoc_err *err)
{
	inoci_sample_settings none = inoci_sample_defaults();
	json_error_t at;
	*out = NULL;
	if (!t->measure) return 0;
	inoci_hash given = inoci_sample_settings_hash(s), usual = inoci_sample_settings_hash(&none);
	if (strcmp(given.hex, usual.hex) || s->n != none.n)
		return inoci_err_set(err, INOC_E_USAGE, "--measure samples nothing: the sampling options and -n do not apply");
	*out = *t->measure == '{' ? json_loads(t->measure, JSON_REJECT_DUPLICATES, &at)
	                          : json_pack("{s:s}", "measure", t->measure);
	if (!*out) return inoci_err_set(err, INOC_E_USAGE, "--measure: not JSON: %s, at %d", at.text, at.position);
	if (!json_is_string(json_object_get(*out, "measure")))
		return inoci_err_set(err, INOC_E_USAGE,
		                     "--measure: give the kind, as in {\"measure\": \"candidates\", \"candidates\": [\"owl\"]}");
	return 0;
}

static void sampling_json(const inoci_sample_settings *s, json_t *v)
{
	json_t *stop = json_array();
	json_object_set_new(v, "temperature", json_real(s->temperature));
	json_object_set_new(v, "n", json_integer(s->n));
	json_object_set_new(v, "max_tokens", json_integer(s->max_tokens));
	if (s->top_k) json_object_set_new(v, "top_k", json_integer(s->top_k));
	if (s->top_p != 1) json_object_set_new(v, "top_p", json_real(s->top_p));
	if (s->min_p != 0) json_object_set_new(v, "min_p", json_real(s->min_p));
	if (s->repetition_penalty != 1) json_object_set_new(v, "repetition_penalty", json_real(s->repetition_penalty));
	if (s->allowed) json_object_set_new(v, "allowed", json_string(s->allowed));
	for (size_t i = 0; i < s->n_stop; i++) json_array_append_new(stop, json_string(s->stop[i]));
	if (s->n_stop) json_object_set(v, "stop", stop);
	json_decref(stop);
}

static int evaluation_json(const eval_opts *t, const inoci_sample_settings *s, json_t *measure, json_t *v, inoc_err *err)
{
	int rc = put_path(v, "prompts", t->prompts.path, t, err);
	json_object_set_new(v, "system", json_string(t->model.system));
	if (measure)
		json_object_update_missing(v, measure);
	else
		sampling_json(s, v);
	long limit = t->prompts.limit.v < INT_MAX ? t->prompts.limit.v : 0; /* no file has more */
	if (limit) json_object_set_new(v, "limit", json_integer(limit));
	return rc;
}

/* What is asked for, without the seed: another seed of the same adds to the experiment. */
static int experiment_text(const eval_opts *t, const inoci_sample_settings *s, inoci_buf *out, inoc_err *err)
{
	json_t *j = json_object(), *arm = json_object(), *evaluation = json_object(), *scorers = json_array();
	char *arm_name = t->model.adapter ? name_of(t->model.adapter, false, "adapter") : inoci_strdup("base");
	json_t *measure = NULL;
	char *eval_name = name_of(t->prompts.path, true, "prompts"), *name = NULL;
	int rc;
	INOC_TRY(measure_json(t, s, &measure, err));
	INOC_TRY(scorers_json(t, measure, scorers, err));
	json_object_set_new(j, "name", json_string(""));
	if (inoci_path_exists(t->model.model))
		INOC_TRY(put_path(j, "model", t->model.model, t, err));
	else
		json_object_set_new(j, "model", json_string(t->model.model));
	if (t->model.template_name) json_object_set_new(j, "template", json_string(t->model.template_name));
	json_object_set_new(j, "dtype", json_string(t->model.dtype));
	if (t->model.adapter)
		INOC_TRY(put_path(arm, "adapter", t->model.adapter, t, err));
	else
		json_object_set_new(arm, "role", json_string("base"));
	json_object_set_new(j, "arms", json_pack("{s:O}", arm_name, arm));
	INOC_TRY(evaluation_json(t, s, measure, evaluation, err));
	json_object_set_new(j, "evaluations", json_pack("{s:O}", eval_name, evaluation));
	char *content = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(15)); /* another scorer is no other experiment */
	inoci_hash h = inoci_hash_bytes(content, strlen(content));
	free(content);
	name = t->name ? inoci_strdup(t->name) : inoci_asprintf("%s-%s-%.8s", arm_name, eval_name, h.hex);
	json_object_set_new(j, "name", json_string(name));
	json_object_set(j, "scorers", scorers);
	inoci_json_yaml(j, out);
out:
	json_decref(j);
	json_decref(arm);
	json_decref(evaluation);
	json_decref(scorers);
	json_decref(measure);
	free(arm_name), free(eval_name), free(name);
	return rc;
}

static void replace(char **s, const char *with)
{
	free(*s);
	*s = inoci_strdup(with);
}

static int make_experiment(const eval_opts *t, inoci_experiment **e, inoc_err *err)
{
	inoci_sample_settings s = cli_sampling_settings(&t->sampling);
	inoci_buf text = {0};
	int rc;
	*e = NULL;
	s.n = (int)t->prompts.n.v;
	INOC_TRY(inoci_sample_settings_check(&s, err));
	if (s.temperature == 0 && s.n > 1)
		rc = inoci_err_set(err, INOC_E_USAGE, "greedy answers to a prompt are all the same; -n %d needs a --temperature",
		                   s.n);
	else if (!strcmp(t->model.system, "own"))
		rc = inoci_err_set(err, INOC_E_USAGE, "--system own is for experiment files; give the text");
	else if (t->name && !is_name(t->name))
		rc = inoci_err_set(
		        err, INOC_E_USAGE,
		        "--name '%.80s' must be a name of letters, digits, _ and -, a letter or digit first, 60 at most",
		        t->name);
	if (rc < 0) goto out;
	INOC_TRY(experiment_text(t, &s, &text, err));
	INOC_TRY(inoci_experiment_parse("inoc eval", text.data, text.len, NULL, 0, e, err));
	/* in messages as they were typed */
	replace(&(*e)->evals[0].prompts, t->prompts.path);
	if (t->model.adapter) replace(&(*e)->arms[0].adapter, t->model.adapter);
	(*e)->threads = (int)t->model.threads.v;
out:
	inoci_buf_free(&text);
	return rc;
}

/* ---- what it gave ---- */

/* Takes o. */
static int write_answers(const inoci_results *r, int seed, inoci_out *o, inoc_err *err)
{
	const inoci_result_cell *c = inoci_results_cell(r, 0, 0);
	for (size_t i = 0; i < c->n; i++) {
		const inoci_result_sample *a = &c->v[i];
		if (a->seed != seed) continue;
		json_t *j = json_object(), *scores = json_object();
		json_object_set_new(j, "prompt", json_integer(a->prompt));
		json_object_set_new(j, "index", json_integer(a->index));
		json_object_set_new(j, "question", cli_text_json(a->question, strlen(a->question)));
		json_object_set_new(j, "rendered", cli_text_json(a->rendered, strlen(a->rendered)));
		cli_put_answer(j, a);
		for (size_t k = 0; k < r->e->n_scorers; k++)
			json_object_set_new(scores, r->scorers[k], isnan(a->score[k]) ? json_null() : json_real(a->score[k]));
		json_object_set_new(j, "scores", scores);
		int rc = cli_write_json(o, j, err);
		if (rc < 0) {
			inoci_out_abandon(o);
			return rc;
		}
	}
	return inoci_out_commit(o, err);
}

static void show(const inoci_summary *s, int seed, bool json)
{
	size_t n = s->r->e->n_scorers;
	char **cell = inoci_alloc((n + 1) * 5 * sizeof *cell);
	const char *const head[] = {"scorer", inoci_results_real(s->r, -1) ? "share or mean" : "share", "95 % interval", "n",
	                            "missing"};
	json_t *list = json_array();
	for (int c = 0; c < 5; c++) cell[c] = inoci_strdup(head[c]);
	for (size_t k = 0; k < n; k++) {
		const inoci_estimate *x = &inoci_summary_rate(s, 0, 0, (int)k)->seed[seed];
		char **row = cell + 5 * (k + 1);
		row[0] = inoci_strdup(s->r->scorers[k]);
		row[1] = inoci_asprintf("%.3f", x->value);
		row[2] = isnan(x->low) ? inoci_strdup("none") : inoci_asprintf("%.3f to %.3f", x->low, x->high);
		row[3] = inoci_asprintf("%d", x->n);
		row[4] = inoci_asprintf("%d", x->missing);
		json_t *j = json_pack("{s:s, s:i, s:i}", "scorer", row[0], "n", x->n, "missing", x->missing);
		const double nums[] = {x->value, x->low, x->high};
		static const char *const names[] = {"value", "low", "high"};
		for (int i = 0; i < 3; i++) json_object_set_new(j, names[i], isnan(nums[i]) ? json_null() : json_real(nums[i]));
		json_array_append_new(list, j);
	}
	if (!json) cli_table((const char *const *)cell, n + 1, 5, (const bool[]){false, true, true, true, true});
	if (json) cli_print_json(stdout, json_incref(list), JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	json_decref(list);
	for (size_t i = 0; i < (n + 1) * 5; i++) free(cell[i]);
	free(cell);
}

static int on_plan(void *ctx, const inoci_experiment *e, const inoci_plan *p, inoc_err *err)
{
	const eval_ctx *c = ctx;
	long want = p->v[0].n_samples, have = p->v[0].n_have;
	(void)err;
	if (!c->t->store) return 0;
	if (have < want)
		fprintf(stderr, "%s: %ld of %ld samples to draw into %s\n", e->name, want - have, want, p->store_path);
	else
		fprintf(stderr, "%s: everything is in %s already\n", e->name, p->store_path);
	return 0;
}

static int on_end(void *ctx, const inoci_experiment *e, inoci_store *store, uint64_t end, inoc_err *err)
{
	eval_ctx *c = ctx;
	inoci_results *r = NULL;
	inoci_summary *s = NULL;
	int rc, seed = 0;
	(void)end; /* there is one seed: only the end is told */
	cli_progress_done();
	INOC_TRY(inoci_results_load(store, e, 0, &r, err));
	INOC_TRY(inoci_summary_new(r, INOCI_REPORT_BOOT, &s, err));
	while (seed + 1 < r->n_seeds && r->seeds[seed] != (uint64_t)c->t->sampling.seed.v) seed++;
	if (c->o) {
		rc = write_answers(r, seed, c->o, err);
		c->o = NULL;
		if (rc < 0) goto out;
	}
	show(s, seed, c->t->json);
out:
	inoci_summary_free(s);
	inoci_results_free(r);
	return rc < 0 ? rc : 0;
}

/* The store that is meant: of a folder its store.db. What is not there yet is a folder, unless it is called a .db. free() it. */
static char *store_file(const char *what)
{
	struct stat st;
	size_t n = strlen(what);
	bool there = stat(what, &st) == 0, folder = there ? S_ISDIR(st.st_mode) : n < 3 || strcmp(what + n - 3, ".db") != 0;
	return folder ? inoci_path_join(what, "store.db") : inoci_strdup(what);
}

static int evaluate(const eval_opts *t, inoc_err *err)
{
	eval_ctx c = {.t = t};
	inoci_experiment *e = NULL;
	inoci_progress silent = *cli_progress(false);
	char *model = NULL, *store = t->store ? store_file(t->store) : NULL;
	const uint64_t seed = (uint64_t)t->sampling.seed.v;
	int rc;
	silent.note = NULL; /* what a store has to say */
	INOC_TRY(make_experiment(t, &e, err));
	if (t->out) INOC_TRY(inoci_out_open(t->out, &c.o, err)); /* before the work, to tell early */
	INOC_TRY(cli_model_path(t->model.model, &model, err));
	const inoci_run_options o = {.seeds = &seed,
	                             .n_seeds = 1,
	                             .wait_s = t->wait_s.v,
	                             .store = store,
	                             .scratch = !store,
	                             .command = t->command.v,
	                             .n_command = t->command.n,
	                             .on_plan = on_plan,
	                             .on_seed = on_end,
	                             .ctx = &c,
	                             .progress = store ? cli_progress(false) : &silent};
	rc = inoci_run(e, model, &o, err);
	cli_progress_done();
	if (rc == INOC_E_STOPPED && store)
		fprintf(stderr, "inoc: what is finished is kept; the same command goes on from there\n");
out:
	inoci_out_abandon(c.o);
	inoci_experiment_free(e);
	free(model), free(store);
	return rc < 0 ? rc : 0;
}

int cmd_eval(int argc, char **argv)
{
	eval_opts t = {.wait_s = {0, 0, 1e9}};
	const char **args;
	int n_args;
	cli_model_init(&t.model, true);
	cli_prompt_init(&t.prompts);
	cli_sampling_init(&t.sampling);
	const cli_opt opts[] = {
	        {"output", 'o', CLI_PATH, &t.out, "OUT", "every answer with its scores, JSON Lines"},
	        {"store", 0, CLI_PATH, &t.store, "DB", "keep every sample and score in this store, or folder with a store.db"},
	        {"name", 0, CLI_STR, &t.name, "NAME",
	         "of the experiment in the store (default: from adapter, prompts, settings)"},
	        {"wait", 0, CLI_DBL, &t.wait_s, "S", "seconds to wait for another run at the same store"},
	        {"measure", 0, CLI_STR, &t.measure, "KIND",
	         "no samples but log-probabilities: logprob, contrast, choice, or JSON of an evaluation's keys"},
	        {"scorers", 0, CLI_STR, &t.scorers, "A,B",
	         "built-in scorers (default: of language and capitals, or of KIND); truncated and looping are added"},
	        {"scorer", 0, CLI_LIST, &t.scorer, "NAME=JSON", "a scorer by its settings; may be given several times"},
	        {"json", 0, CLI_FLAG, &t.json, NULL, "the shares as JSON"},
	};
	const cli_spec spec = {
	        .usage = "inoc eval --model MODEL [--adapter DIR] --prompts FILE [options]",
	        .about = "Samples answers, scores them, and prints each scorer's share with its interval over the prompts. With\n"
	                 "--store they are kept, as those of `inoc run` are: what is in the store is not sampled again, a "
	                 "stopped\n"
	                 "evaluation goes on, and score, export and report work on it. Another --seed adds to the experiment.\n"
	                 "Example: inoc eval -m smollm2-135m-instruct -a adapter -p eval.jsonl --greedy -o answers.jsonl",
	        .opts = opts,
	        .n_opts = INOCI_COUNT(opts),
	        .shared = {t.model.group, t.prompts.group, t.sampling.group},
	        .max_args = 0};
	int rc = cli_parse(&spec, argc, argv, &args, &n_args);
	if (rc) return rc > 0 ? 0 : rc;
	if (!t.model.model || !t.prompts.path) return cli_usage("give --model and --prompts; see 'inoc eval --help'");
	if (t.out && !strcmp(t.out, "-"))
		return cli_usage("-o names a file: the shares go to standard output, the answers cannot");
	if (t.name && !t.store) return cli_usage("--name is of an experiment in a store; give --store DB");
	cli_list_add(&t.command, "inoc");
	for (int i = 0; i < argc; i++) cli_list_add(&t.command, argv[i]);
	inoc_err err = {0};
	rc = evaluate(&t, &err);
	return rc < 0 ? cli_fail(&err) : 0;
}
