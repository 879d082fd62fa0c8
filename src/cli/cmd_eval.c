/* inoc eval: any model, with or without an adapter: samples, scores, shares with intervals. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "lab/lab.h"

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
	const inoci_dataset *d;
	inoci_rendered *rendered; /* (n_prompts) */
	size_t n_prompts;
	int n;          /* samples of each */
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
	inoci_answer x = {.question = question(&e->d->v[s->prompt]), .text = a->text, .n = a->text_n, .finish = a->finish};
	for (size_t k = 0; k < e->n_scorers; k++) {
		int rc = inoci_scorer_apply(e->scorer[k], &x, &a->score[k], err);
		if (rc < 0) return rc;
	}
	a->there = true;
	return 0;
}

static int add_scorer(evaluation *e, const char *name, json_t *settings, inoc_err *err)
{
	int rc = 0;
	if (e->n_scorers == MAX_SCORERS) rc = inoci_err_set(err, INOC_E_LIMIT, "more than %d scorers", MAX_SCORERS);
	for (size_t k = 0; k < e->n_scorers && rc == 0; k++)
		if (!strcmp(inoci_scorer_name(e->scorer[k]), name))
			rc = inoci_err_set(err, INOC_E_USAGE, "scorer '%s' is given twice", name);
	if (rc == 0) rc = inoci_scorer_new(name, settings, &e->scorer[e->n_scorers], err);
	if (rc == 0) e->n_scorers++;
	json_decref(settings);
	return rc;
}

static int make_scorers(evaluation *e, const char *names, const cli_list *given, inoc_err *err)
{
	char *copy = inoci_strdup(names), *save = NULL;
	int rc = 0;
	for (char *t = strtok_r(copy, ",", &save); t && rc == 0; t = strtok_r(NULL, ",", &save)) {
		json_t *s = inoci_scorer_builtin(t);
		rc = s ? add_scorer(e, t, s, err)
		       : inoci_err_set(err, INOC_E_USAGE,
		                       "no built-in scorer is named '%s'; give settings as --scorer NAME={\"type\": ...}", t);
	}
	for (size_t i = 0; i < given->n && rc == 0; i++) {
		const char *eq = strchr(given->v[i], '=');
		json_error_t at;
		json_t *s = eq && eq != given->v[i] ? json_loads(eq + 1, 0, &at) : NULL;
		if (!s) {
			rc = inoci_err_set(err, INOC_E_USAGE, "--scorer %s: give it as NAME={\"type\": ...}", given->v[i]);
			break;
		}
		char *name = inoci_strndup(given->v[i], (size_t)(eq - given->v[i]));
		rc = add_scorer(e, name, s, err);
		free(name);
	}
	free(copy);
	return rc;
}

/* Bytes as JSON; what is not UTF-8 (a cut last character) becomes U+FFFD. */
static json_t *text_json(const char *s, size_t n)
{
	inoci_buf b = {0};
	while (n) {
		size_t ok = inoci_utf8_valid_prefix(s, n);
		inoci_buf_append(&b, s, ok);
		if (ok < n) inoci_buf_puts(&b, "\xef\xbf\xbd"), ok++;
		s += ok;
		n -= ok;
	}
	json_t *j = json_stringn(b.data ? b.data : "", b.len);
	inoci_buf_free(&b);
	return j ? j : json_string("");
}

static int write_answers(const evaluation *e, const char *path, inoc_err *err)
{
	inoci_out *o;
	int rc = inoci_out_open(path, &o, err);
	if (rc < 0) return rc;
	for (size_t i = 0; i < e->n_prompts; i++)
		for (int k = 0; k < e->n; k++) {
			const answer *a = &e->answer[i * (size_t)e->n + (size_t)k];
			json_t *j = json_object(), *scores = json_object();
			json_object_set_new(j, "prompt", json_integer((json_int_t)i));
			json_object_set_new(j, "index", json_integer(k));
			json_object_set_new(j, "question", json_string(question(&e->d->v[i])));
			json_object_set_new(j, "rendered", text_json(e->rendered[i].text.data, e->rendered[i].text.len));
			json_object_set_new(j, "text", text_json(a->text ? a->text : "", a->text_n));
			json_object_set_new(j, "finish", json_string(inoci_finish_name(a->finish)));
			json_object_set_new(j, "n_tokens", json_integer(a->n_tokens));
			json_object_set_new(j, "logprob", json_real(a->logprob));
			for (size_t s = 0; s < e->n_scorers; s++)
				json_object_set_new(scores, inoci_scorer_name(e->scorer[s]),
				                    isnan(a->score[s]) ? json_null() : json_real(a->score[s]));
			json_object_set_new(j, "scores", scores);
			char *line = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(7));
			json_decref(j);
			size_t n = strlen(line);
			line[n] = '\n';
			rc = inoci_out_write(o, line, n + 1, err);
			free(line);
			if (rc < 0) {
				inoci_out_abandon(o);
				return rc;
			}
		}
	return inoci_out_commit(o, err);
}

static void show(const evaluation *e, bool json)
{
	size_t all = e->n_prompts * (size_t)e->n;
	double *v = inoci_alloc((all + 1) * sizeof *v);
	int *seed = inoci_alloc((all + 1) * sizeof *seed), *prompt = inoci_alloc((all + 1) * sizeof *prompt);
	char **cell = inoci_alloc((e->n_scorers + 1) * 5 * sizeof *cell);
	static const char *const head[] = {"scorer", "share", "95 % interval", "n", "missing"};
	json_t *list = json_array();
	for (int c = 0; c < 5; c++) cell[c] = inoci_strdup(head[c]);
	for (size_t k = 0; k < e->n_scorers; k++) {
		for (size_t i = 0; i < all; i++)
			v[i] = e->answer[i].there ? e->answer[i].score[k] : NAN, prompt[i] = (int)(i / (size_t)e->n);
		inoci_scores s = {
		        .value = v, .seed = seed, .prompt = prompt, .n = all, .n_seeds = 1, .n_prompts = (int)e->n_prompts};
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
	if (json) {
		char *t = json_dumps(list, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
		puts(t);
		free(t);
	} else {
		cli_table((const char *const *)cell, e->n_scorers + 1, 5, (const bool[]){false, true, true, true, true});
	}
	json_decref(list);
	for (size_t i = 0; i < (e->n_scorers + 1) * 5; i++) free(cell[i]);
	free(cell), free(v), free(seed), free(prompt);
}

typedef struct {
	const char *model, *template_name, *adapter, *prompts, *out, *system, *dtype, *scorers, *allowed;
	cli_list scorer, stop;
	long max_tokens, n, seed, top_k, threads, limit;
	double temperature, top_p, min_p, penalty;
	bool greedy, json;
} eval_opts;

static int evaluate(const eval_opts *t, inoc_err *err)
{
	inoci_dataset d = {0};
	inoci_ops *ops = NULL;
	inoci_model *m = NULL;
	inoci_adapter *a = NULL;
	const inoci_template *tmpl;
	evaluation e = {.n = (int)t->n, .d = &d};
	inoci_prompt *prompts = NULL;
	char *model = NULL;
	inoci_sample_settings s = inoci_sample_defaults();
	const inoci_progress *progress = cli_progress(false);
	int rc;
	s.temperature = t->greedy ? 0 : t->temperature;
	s.top_k = (int)t->top_k;
	s.top_p = t->top_p;
	s.min_p = t->min_p;
	s.repetition_penalty = t->penalty;
	s.max_tokens = (int)t->max_tokens;
	s.seed = (uint64_t)t->seed;
	s.n = (int)t->n;
	s.stop = t->stop.v;
	s.n_stop = t->stop.n;
	s.allowed = t->allowed;
	INOC_TRY(inoci_sample_settings_check(&s, err));
	INOC_TRY(make_scorers(&e, t->scorers, &t->scorer, err));
	INOC_TRY(inoci_dataset_read(t->prompts, INOCI_NEED_USER_LAST, &d, err));
	e.n_prompts = t->limit > 0 && (size_t)t->limit < d.n ? (size_t)t->limit : d.n;
	INOC_TRY(cli_model_path(t->model, &model, err));
	INOC_TRY(inoci_lab_ops(t->dtype, (int)t->threads, &ops, err));
	INOC_TRY(inoci_model_open(model, ops, false, t->template_name, progress, &m, err));
	INOC_TRY(inoci_model_template(m, &tmpl, err));
	if (t->adapter) INOC_TRY(inoci_adapter_load(m, t->adapter, &a, err));
	e.rendered = inoci_alloc(e.n_prompts * sizeof *e.rendered);
	e.answer = inoci_alloc(e.n_prompts * (size_t)e.n * sizeof *e.answer);
	prompts = inoci_alloc(e.n_prompts * sizeof *prompts);
	for (size_t i = 0; i < e.n_prompts; i++) {
		inoci_rendered *r = &e.rendered[i];
		rc = inoci_render(tmpl, d.v[i].msgs, d.v[i].n_msgs, inoci_sys_parse(t->system), true, r, err);
		if (rc == 0 && r->ids.n >= (size_t)m->hp.context)
			rc = inoci_err_set(err, INOC_E_LIMIT,
			                   "%zu tokens; the model's context of %d leaves no room for an answer", r->ids.n,
			                   m->hp.context);
		if (rc < 0) {
			inoci_err_prefix(err, "%s:%d", d.path, d.v[i].line);
			goto out;
		}
		inoci_hash h = inoci_hash_bytes(r->ids.v, r->ids.n * sizeof *r->ids.v);
		h.hex[16] = 0; /* the same key as in an experiment, so the same samples */
		prompts[i] = (inoci_prompt){.ids = r->ids.v, .n = (int)r->ids.n, .key = strtoull(h.hex, NULL, 16)};
	}
	INOC_TRY(inoci_sample(m, a, prompts, e.n_prompts, &s, on_sample, NULL, &e, progress, err));
	cli_progress_done();
	if (t->out) INOC_TRY(write_answers(&e, t->out, err));
	show(&e, t->json);
out:
	for (size_t i = 0; e.answer && i < e.n_prompts * (size_t)e.n; i++) free(e.answer[i].text);
	for (size_t i = 0; e.rendered && i < e.n_prompts; i++) inoci_rendered_free(&e.rendered[i]);
	for (size_t i = 0; i < e.n_scorers; i++) inoci_scorer_free(e.scorer[i]);
	free(e.answer), free(e.rendered), free(prompts), free(model);
	inoci_adapter_free(a);
	inoci_model_free(m);
	if (ops) ops->free(ops);
	inoci_dataset_free(&d);
	return rc < 0 ? rc : 0;
}

int cmd_eval(int argc, char **argv)
{
	const inoci_sample_settings s = inoci_sample_defaults();
	eval_opts t = {.system = "none",
	               .dtype = "auto",
	               .scorers = "english_caps,english_lower,spanish_caps,spanish_lower,unknown,truncated,looping",
	               .max_tokens = s.max_tokens,
	               .n = 1,
	               .seed = 1,
	               .top_k = s.top_k,
	               .temperature = s.temperature,
	               .top_p = s.top_p,
	               .min_p = s.min_p,
	               .penalty = s.repetition_penalty};
	const char **args;
	int n_args;
	const cli_opt opts[] = {
	        {"model", 'm', CLI_STR, &t.model, "MODEL", "a GGUF file, or a name of `inoc model list`"},
	        {"adapter", 'a', CLI_STR, &t.adapter, "DIR", "a LoRA adapter in PEFT's layout"},
	        {"prompts", 'p', CLI_STR, &t.prompts, "FILE", "questions, JSON Lines of {\"messages\": [...]}"},
	        {"output", 'o', CLI_STR, &t.out, "OUT", "every answer with its scores, JSON Lines"},
	        {"scorers", 0, CLI_STR, &t.scorers, "A,B", "built-in scorers"},
	        {"scorer", 0, CLI_LIST, &t.scorer, "NAME=JSON", "a scorer by its settings; may be given several times"},
	        {"system", 0, CLI_STR, &t.system, "S", "system turn: none, empty, default, or a text"},
	        {"template", 0, CLI_STR, &t.template_name, "NAME", "chat template, when the file's is not known"},
	        {"greedy", 0, CLI_FLAG, &t.greedy, NULL, "the most probable token always"},
	        {"temperature", 't', CLI_DBL, &t.temperature, "T", "0: greedy"},
	        {"top-k", 0, CLI_INT, &t.top_k, "K", "0: off"},
	        {"top-p", 0, CLI_DBL, &t.top_p, "P", "1: off"},
	        {"min-p", 0, CLI_DBL, &t.min_p, "P", "0: off"},
	        {"repetition-penalty", 0, CLI_DBL, &t.penalty, "R", "1: off"},
	        {"max-tokens", 0, CLI_INT, &t.max_tokens, "N", "of a response"},
	        {"n", 'n', CLI_INT, &t.n, "N", "samples of each prompt"},
	        {"seed", 0, CLI_INT, &t.seed, "N", "of the sampling"},
	        {"stop", 0, CLI_LIST, &t.stop, "TEXT", "a response ends before TEXT; may be given several times"},
	        {"allowed", 0, CLI_STR, &t.allowed, "CHARS", "the only characters a response may hold"},
	        {"limit", 0, CLI_INT, &t.limit, "N", "only the first N prompts"},
	        {"dtype", 0, CLI_STR, &t.dtype, "T", "auto, bf16, f32"},
	        {"threads", 0, CLI_INT, &t.threads, "N", "0: all"},
	        {"json", 0, CLI_FLAG, &t.json, NULL, "the shares as JSON"},
	};
	const cli_spec spec = {
	        .usage = "inoc eval --model MODEL [--adapter DIR] --prompts FILE [options]",
	        .about = "Samples answers, scores them, and prints each scorer's share with its interval over the prompts.\n"
	                 "Example: inoc eval -m smollm2-135m-instruct -a adapter -p eval.jsonl --greedy -o answers.jsonl",
	        .opts = opts,
	        .n_opts = INOCI_COUNT(opts),
	        .max_args = 0};
	int rc = cli_parse(&spec, argc, argv, &args, &n_args);
	if (rc) return rc > 0 ? 0 : rc;
	inoc_err err = {0};
	if (!t.model || !t.prompts) return cli_usage("give --model and --prompts; see 'inoc eval --help'");
	if (t.n < 1 || t.n > 100000) return cli_usage("--n is %ld; it must be from 1 to 100000", t.n);
	if (t.max_tokens < 1 || t.max_tokens > 1 << 20)
		return cli_usage("--max-tokens is %ld; it must be from 1 to 1048576", t.max_tokens);
	if (t.seed < 0 || t.top_k < 0 || t.limit < 0 || t.threads < 0)
		return cli_usage("--seed, --top-k, --limit and --threads must be 0 or more");
	if (t.out && !strcmp(t.out, "-"))
		return cli_usage("-o names a file: the shares go to standard output, the answers cannot");
	cli_catch_signals();
	rc = evaluate(&t, &err);
	cli_progress_done();
	return rc < 0 ? cli_fail(&err) : 0;
}
