/* inoc eval: any model, with or without an adapter: samples, scores, shares with intervals. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "eval/eval.h"

#define MAX_SCORERS 64

typedef struct {
	char *text;
	size_t text_n;
	inoci_finish finish;
	int n_tokens;
	double logprob;
	double score[MAX_SCORERS];
	bool there;
} answer;

typedef struct {
	inoci_scorer *scorer[MAX_SCORERS];
	size_t n_scorers;
	cli_model c;
	cli_prompts p;
	int n;          /* samples of each prompt */
	answer *answer; /* (n_prompts, n) */
} evaluation;

static const char *question(const inoci_record *r)
{
	for (size_t i = r->n_msgs; i-- > 0;)
		if (!strcmp(r->msgs[i].role, "user")) return r->msgs[i].content;
	return "";
}

static int on_sample(void *ctx, const inoci_sampled *s, inoc_err *err)
{
	evaluation *e = ctx;
	answer *a = &e->answer[s->prompt * (size_t)e->n + (size_t)s->index];
	a->text = inoci_strndup(s->text ? s->text : "", s->text_n);
	a->text_n = s->text_n;
	a->finish = (inoci_finish)s->end;
	a->n_tokens = s->n_ids;
	for (int i = 0; i < s->n_ids; i++) a->logprob += s->logprob[i];
	inoci_answer x = {.question = question(&e->p.d.v[s->prompt]), .text = a->text, .n = a->text_n, .finish = a->finish};
	for (size_t k = 0; k < e->n_scorers; k++) {
		int rc = inoci_scorer_apply(e->scorer[k], &x, &a->score[k], err);
		if (rc < 0) return rc;
	}
	a->there = true;
	return 0;
}

static int add_scorer(evaluation *e, const char *given, inoc_err *err)
{
	char *name;
	json_t *settings;
	int rc = cli_scorer_parse(given, NULL, &name, &settings, err);
	if (rc == 0 && e->n_scorers == MAX_SCORERS) rc = inoci_err_set(err, INOC_E_LIMIT, "more than %d scorers", MAX_SCORERS);
	for (size_t k = 0; k < e->n_scorers && rc == 0; k++)
		if (!strcmp(inoci_scorer_name(e->scorer[k]), name))
			rc = inoci_err_set(err, INOC_E_USAGE, "scorer '%s' is given twice", name);
	if (rc == 0) rc = inoci_scorer_new(name, settings, &e->scorer[e->n_scorers], err);
	if (rc == 0) e->n_scorers++;
	json_decref(settings);
	free(name);
	return rc;
}

static int make_scorers(evaluation *e, const char *names, const cli_list *given, inoc_err *err)
{
	char *copy = inoci_strdup(names), *save = NULL;
	int rc = 0;
	for (char *t = strtok_r(copy, ",", &save); t && rc == 0; t = strtok_r(NULL, ",", &save)) rc = add_scorer(e, t, err);
	for (size_t i = 0; i < given->n && rc == 0; i++) rc = add_scorer(e, given->v[i], err);
	free(copy);
	if (rc == 0 && !e->n_scorers) rc = inoci_err_set(err, INOC_E_USAGE, "--scorers names no scorer; see 'inoc eval --help'");
	return rc;
}

/* Takes o. */
static int write_answers(const evaluation *e, inoci_out *o, inoc_err *err)
{
	for (size_t i = 0; i < e->p.n * (size_t)e->n; i++) {
		const answer *a = &e->answer[i];
		size_t prompt = i / (size_t)e->n;
		const inoci_rendered *r = &e->p.rendered[prompt];
		json_t *j = json_object(), *scores = json_object();
		json_object_set_new(j, "prompt", json_integer((json_int_t)prompt));
		json_object_set_new(j, "index", json_integer((json_int_t)(i % (size_t)e->n)));
		json_object_set_new(j, "question", json_string(question(&e->p.d.v[prompt])));
		json_object_set_new(j, "rendered", cli_text_json(r->text.data, r->text.len));
		json_object_set_new(j, "text", cli_text_json(a->text ? a->text : "", a->text_n));
		json_object_set_new(j, "finish", json_string(inoci_finish_name(a->finish)));
		json_object_set_new(j, "n_tokens", json_integer(a->n_tokens));
		json_object_set_new(j, "logprob", json_real(a->logprob));
		for (size_t s = 0; s < e->n_scorers; s++)
			json_object_set_new(scores, inoci_scorer_name(e->scorer[s]),
			                    isnan(a->score[s]) ? json_null() : json_real(a->score[s]));
		json_object_set_new(j, "scores", scores);
		int rc = cli_write_json(o, j, err);
		if (rc < 0) {
			inoci_out_abandon(o);
			return rc;
		}
	}
	return inoci_out_commit(o, err);
}

static void show(const evaluation *e, bool json)
{
	size_t all = e->p.n * (size_t)e->n;
	double *v = inoci_alloc((all + 1) * sizeof *v);
	int *seed = inoci_alloc((all + 1) * sizeof *seed), *prompt = inoci_alloc((all + 1) * sizeof *prompt);
	char **cell = inoci_alloc((e->n_scorers + 1) * 5 * sizeof *cell);
	static const char *const head[] = {"scorer", "share", "95 % interval", "n", "missing"};
	json_t *list = json_array();
	for (int c = 0; c < 5; c++) cell[c] = inoci_strdup(head[c]);
	for (size_t k = 0; k < e->n_scorers; k++) {
		for (size_t i = 0; i < all; i++)
			v[i] = e->answer[i].there ? e->answer[i].score[k] : NAN, prompt[i] = (int)(i / (size_t)e->n);
		inoci_scores s = {.value = v, .seed = seed, .prompt = prompt, .n = all, .n_seeds = 1, .n_prompts = (int)e->p.n};
		inoci_estimate x = inoci_mean_ci(&s, 1, 2000);
		char **row = cell + 5 * (k + 1);
		row[0] = inoci_strdup(inoci_scorer_name(e->scorer[k]));
		row[1] = inoci_asprintf("%.3f", x.value);
		row[2] = inoci_asprintf("%.3f to %.3f", x.low, x.high);
		row[3] = inoci_asprintf("%d", x.n);
		row[4] = inoci_asprintf("%d", x.missing);
		json_t *j = json_pack("{s:s, s:i, s:i}", "scorer", row[0], "n", x.n, "missing", x.missing);
		const double nums[] = {x.value, x.low, x.high};
		static const char *const names[] = {"value", "low", "high"};
		for (int i = 0; i < 3; i++) json_object_set_new(j, names[i], isnan(nums[i]) ? json_null() : json_real(nums[i]));
		json_array_append_new(list, j);
	}
	if (!json) cli_table((const char *const *)cell, e->n_scorers + 1, 5, (const bool[]){false, true, true, true, true});
	if (json) cli_print_json(stdout, json_incref(list), JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	json_decref(list);
	for (size_t i = 0; i < (e->n_scorers + 1) * 5; i++) free(cell[i]);
	free(cell), free(v), free(seed), free(prompt);
}

typedef struct {
	cli_model_opts model;
	cli_sampling_opts sampling;
	cli_prompt_opts prompts;
	const char *out, *scorers;
	cli_list scorer;
	bool json;
} eval_opts;

static int evaluate(const eval_opts *t, inoc_err *err)
{
	evaluation e = {.n = (int)t->prompts.n.v};
	inoci_sample_settings s = cli_sampling_settings(&t->sampling);
	inoci_out *o = NULL;
	int rc;
	s.n = e.n;
	INOC_TRY(inoci_sample_settings_check(&s, err));
	INOC_TRY(make_scorers(&e, t->scorers, &t->scorer, err));
	INOC_TRY(cli_prompts_read(&t->prompts, &e.p, err));
	if (t->out) INOC_TRY(inoci_out_open(t->out, &o, err)); /* before the work, to tell early */
	INOC_TRY(cli_model_open(&t->model, false, &e.c, err));
	INOC_TRY(cli_prompts_render(&e.p, &e.c, t->model.system, err));
	e.answer = inoci_alloc(e.p.n * (size_t)e.n * sizeof *e.answer);
	INOC_TRY(inoci_sample(e.c.m, e.c.a, e.p.v, e.p.n, &s, on_sample, NULL, &e, cli_progress(false), err));
	cli_progress_done();
	if (o) {
		rc = write_answers(&e, o, err);
		o = NULL;
		if (rc < 0) goto out;
	}
	show(&e, t->json);
out:
	for (size_t i = 0; e.answer && i < e.p.n * (size_t)e.n; i++) free(e.answer[i].text);
	for (size_t i = 0; i < e.n_scorers; i++) inoci_scorer_free(e.scorer[i]);
	free(e.answer);
	inoci_out_abandon(o);
	cli_model_close(&e.c);
	cli_prompts_free(&e.p);
	return rc < 0 ? rc : 0;
}

int cmd_eval(int argc, char **argv)
{
	eval_opts t = {.scorers = "english_caps,english_lower,spanish_caps,spanish_lower,unknown,truncated,looping"};
	const char **args;
	int n_args;
	cli_model_init(&t.model, true);
	cli_prompt_init(&t.prompts);
	cli_sampling_init(&t.sampling);
	const cli_opt opts[] = {
	        {"output", 'o', CLI_PATH, &t.out, "OUT", "every answer with its scores, JSON Lines"},
	        {"scorers", 0, CLI_STR, &t.scorers, "A,B", "built-in scorers"},
	        {"scorer", 0, CLI_LIST, &t.scorer, "NAME=JSON", "a scorer by its settings; may be given several times"},
	        {"json", 0, CLI_FLAG, &t.json, NULL, "the shares as JSON"},
	};
	const cli_spec spec = {
	        .usage = "inoc eval --model MODEL [--adapter DIR] --prompts FILE [options]",
	        .about = "Samples answers, scores them, and prints each scorer's share with its interval over the prompts.\n"
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
	inoc_err err = {0};
	rc = evaluate(&t, &err);
	return rc < 0 ? cli_fail(&err) : 0;
}
