/* inoc sample: answers to prompts, file to file, with their log-probabilities. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "data/data.h"
#include "eval/eval.h"
#include "lab/lab.h"
#include "sample/sample.h"

typedef struct {
	const char *model, *template_name, *adapter, *prompts, *out, *system, *dtype, *allowed;
	cli_list stop;
	long max_tokens, n, seed, top_k, top_logprobs, threads, batch, limit;
	double temperature, top_p, min_p, penalty;
	bool greedy, logprobs, json;
} sample_opts;

typedef struct {
	const sample_opts *t;
	const inoci_model *m;
	const inoci_dataset *d;
	inoci_rendered *rendered; /* (n_prompts) */
	size_t n_prompts, n_done, n_tokens, n_end[3];
	inoci_out *file;
	char **line; /* (n_prompts, n): the finished lines of the output, NULL where a sample is missing */
} sampling;

static json_t *text_json(const char *s, size_t n)
{
	inoci_buf b = {0};
	inoci_text_fix(s, n, &b);
	json_t *j = json_stringn(b.data, b.len);
	inoci_buf_free(&b);
	return j;
}

static json_t *token_json(const inoci_model *m, int32_t id, float logprob)
{
	size_t n;
	const char *bytes = inoci_tok_bytes(m->tok, id, &n);
	if (inoci_tok_is_special(m->tok, id)) bytes = inoci_tok_spelling(m->tok, id), n = strlen(bytes);
	json_t *j = json_object();
	json_object_set_new(j, "id", json_integer(id));
	json_object_set_new(j, "token", text_json(bytes, n));
	json_object_set_new(j, "logprob", json_real(logprob));
	return j;
}

static json_t *tokens_json(const sampling *x, const inoci_sampled *s)
{
	json_t *list = json_array();
	int k = (int)x->t->top_logprobs;
	for (int i = 0; i < s->n_ids; i++) {
		json_t *j = token_json(x->m, s->ids[i], s->logprob[i]);
		if (k) {
			json_t *top = json_array();
			for (int t = i * k; t < (i + 1) * k; t++)
				if (s->top_ids[t] >= 0)
					json_array_append_new(top, token_json(x->m, s->top_ids[t], s->top_logprob[t]));
			json_object_set_new(j, "top", top);
		}
		json_array_append_new(list, j);
	}
	return list;
}

/* The record's own fields first (messages, tags, a reference), then ours, which take their names. */
static int on_sample(void *ctx, const inoci_sampled *s, inoc_err *err)
{
	sampling *x = ctx;
	const inoci_record *r = &x->d->v[s->prompt];
	const inoci_rendered *p = &x->rendered[s->prompt];
	json_t *j = json_object();
	double sum = 0;
	(void)err;
	for (int i = 0; i < s->n_ids; i++) sum += s->logprob[i];
	json_object_set_new(j, "prompt", json_integer((json_int_t)s->prompt));
	json_object_set_new(j, "line", json_integer(r->line));
	json_object_set_new(j, "index", json_integer(s->index));
	json_object_set_new(j, "rendered", text_json(p->text.data, p->text.len));
	json_object_set_new(j, "text", text_json(s->text, s->text_n));
	json_object_set_new(j, "finish", json_string(inoci_finish_name((inoci_finish)s->end)));
	json_object_set_new(j, "n_prompt_tokens", json_integer((json_int_t)p->ids.n));
	json_object_set_new(j, "n_tokens", json_integer(s->n_ids));
	json_object_set_new(j, "logprob", json_real(sum));
	if (x->t->logprobs || x->t->top_logprobs) json_object_set_new(j, "tokens", tokens_json(x, s));
	x->line[s->prompt * (size_t)x->t->n + (size_t)s->index] = inoci_record_text(r, j, JSON_COMPACT | JSON_REAL_PRECISION(9));
	json_decref(j);
	x->n_done++;
	x->n_tokens += (size_t)s->n_ids;
	x->n_end[s->end]++;
	return 0;
}

/* Takes x->file. */
static int write_lines(sampling *x, inoc_err *err)
{
	int rc = 0;
	inoci_out *o = x->file;
	x->file = NULL;
	for (size_t i = 0; i < x->n_prompts * (size_t)x->t->n; i++) {
		if (!x->line[i]) continue;
		rc = inoci_out_write(o, x->line[i], strlen(x->line[i]), err);
		if (rc == 0) rc = inoci_out_write(o, "\n", 1, err);
		if (rc < 0) {
			inoci_out_abandon(o);
			return rc;
		}
	}
	return inoci_out_commit(o, err);
}

static void summary(const sampling *x, double seconds)
{
	double speed = seconds > 0 ? (double)x->n_tokens / seconds : 0;
	FILE *f = strcmp(x->t->out, "-") ? stdout : stderr; /* apart from the samples */
	if (x->t->json) {
		json_t *j = json_pack("{s:s, s:I, s:I, s:I, s:f, s:f}", "output", x->t->out, "prompts", (json_int_t)x->n_prompts,
		                      "samples", (json_int_t)x->n_done, "tokens", (json_int_t)x->n_tokens, "seconds", seconds,
		                      "tokens_per_second", speed);
		json_t *ends = json_object();
		for (int e = 0; e < 3; e++)
			json_object_set_new(ends, inoci_finish_name((inoci_finish)e), json_integer((json_int_t)x->n_end[e]));
		if (j) json_object_set(j, "finish", ends);
		char *text = json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
		fprintf(f, "%s\n", text ? text : "{}");
		free(text);
		json_decref(ends);
		json_decref(j);
		return;
	}
	fprintf(f, "%s: %zu samples of %zu prompts, %zu tokens, %.0f tokens/s;", x->t->out, x->n_done, x->n_prompts, x->n_tokens,
	        speed);
	for (int e = 0; e < 3; e++) fprintf(f, " %s %zu%s", inoci_finish_name((inoci_finish)e), x->n_end[e], e < 2 ? "," : "\n");
}

static int sample(const sample_opts *t, inoc_err *err)
{
	inoci_dataset d = {0};
	inoci_ops *ops = NULL;
	inoci_model *m = NULL;
	inoci_adapter *a = NULL;
	const inoci_template *tmpl;
	inoci_prompt *prompts = NULL;
	char *path = NULL;
	const inoci_progress *progress = cli_progress(false);
	sampling x = {.t = t, .d = &d};
	inoci_sample_settings s = inoci_sample_defaults();
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
	s.top_logprobs = (int)t->top_logprobs;
	s.max_batch = (int)t->batch;
	INOC_TRY(inoci_sample_settings_check(&s, err));
	INOC_TRY(inoci_dataset_read(t->prompts, INOCI_NEED_USER_LAST, &d, err));
	INOC_TRY(inoci_out_open(t->out, &x.file, err)); /* before the work, to tell early */
	INOC_TRY(cli_model_path(t->model, &path, err));
	INOC_TRY(inoci_lab_ops(t->dtype, (int)t->threads, &ops, err));
	INOC_TRY(inoci_model_open(path, ops, false, t->template_name, progress, &m, err));
	INOC_TRY(inoci_model_template(m, &tmpl, err));
	if (t->adapter) INOC_TRY(inoci_adapter_load(m, t->adapter, &a, err));
	x.m = m;
	x.n_prompts = t->limit && (size_t)t->limit < d.n ? (size_t)t->limit : d.n;
	x.rendered = inoci_alloc(x.n_prompts * sizeof *x.rendered);
	x.line = inoci_alloc(x.n_prompts * (size_t)t->n * sizeof *x.line);
	prompts = inoci_alloc(x.n_prompts * sizeof *prompts);
	for (size_t i = 0; i < x.n_prompts; i++) {
		inoci_rendered *r = &x.rendered[i];
		rc = inoci_render(tmpl, d.v[i].msgs, d.v[i].n_msgs, inoci_sys_parse(t->system), true, r, err);
		if (rc == 0 && r->ids.n >= (size_t)m->hp.context)
			rc = inoci_err_set(err, INOC_E_LIMIT,
			                   "%zu tokens; the model's context of %d leaves no room for an answer", r->ids.n,
			                   m->hp.context);
		if (rc < 0) {
			inoci_err_prefix(err, "%s:%d", d.path, d.v[i].line);
			goto out;
		}
		prompts[i] = (inoci_prompt){.ids = r->ids.v, .n = (int)r->ids.n, .key = inoci_prompt_key(r->ids.v, r->ids.n)};
	}
	double start = inoci_now_s();
	rc = inoci_sample(m, a, prompts, x.n_prompts, &s, on_sample, NULL, &x, progress, err);
	cli_progress_done();
	if (rc == INOC_E_STOPPED && x.n_done) {
		/* What is finished is kept; the exit status tells that it is not all. */
		inoc_err write_err = {0};
		if (write_lines(&x, &write_err) < 0)
			cli_fail(&write_err);
		else
			inoci_err_prefix(err, "%s holds what was finished", t->out);
	}
	if (rc < 0) goto out;
	INOC_TRY(write_lines(&x, err));
	summary(&x, inoci_now_s() - start);
out:
	for (size_t i = 0; x.line && i < x.n_prompts * (size_t)t->n; i++) free(x.line[i]);
	for (size_t i = 0; x.rendered && i < x.n_prompts; i++) inoci_rendered_free(&x.rendered[i]);
	free(x.line), free(x.rendered), free(prompts), free(path);
	inoci_out_abandon(x.file);
	inoci_adapter_free(a);
	inoci_model_free(m);
	if (ops) ops->free(ops);
	inoci_dataset_free(&d);
	return rc < 0 ? rc : 0;
}

int cmd_sample(int argc, char **argv)
{
	const inoci_sample_settings s = inoci_sample_defaults();
	sample_opts t = {.system = "none",
	                 .dtype = "auto",
	                 .max_tokens = s.max_tokens,
	                 .n = 1,
	                 .seed = 1,
	                 .temperature = s.temperature,
	                 .top_p = s.top_p,
	                 .penalty = s.repetition_penalty};
	const char **args;
	int n_args;
	const cli_opt opts[] = {
	        {"model", 'm', CLI_STR, &t.model, "MODEL", "a GGUF file, or a name of `inoc model list`"},
	        {"adapter", 'a', CLI_STR, &t.adapter, "DIR", "a LoRA adapter in PEFT's layout"},
	        {"prompts", 'p', CLI_STR, &t.prompts, "FILE", "prompts, JSON Lines of {\"messages\": [...]}, a user's turn last"},
	        {"output", 'o', CLI_STR, &t.out, "OUT", "the samples, JSON Lines, in the prompts' order"},
	        {"system", 0, CLI_STR, &t.system, "S", "system turn where a prompt has none: none, empty, default, or a text"},
	        {"template", 0, CLI_STR, &t.template_name, "NAME", "chat template, when the file's is not known"},
	        {"n", 'n', CLI_INT, &t.n, "N", "samples of each prompt"},
	        {"temperature", 't', CLI_DBL, &t.temperature, "T", "0: greedy"},
	        {"greedy", 0, CLI_FLAG, &t.greedy, NULL, "the most probable token always"},
	        {"top-k", 0, CLI_INT, &t.top_k, "K", "only the K most probable tokens; 0: off"},
	        {"top-p", 0, CLI_DBL, &t.top_p, "P", "only the most probable tokens that together reach P; 1: off"},
	        {"min-p", 0, CLI_DBL, &t.min_p, "P", "only tokens with P times the most probable one's probability; 0: off"},
	        {"repetition-penalty", 0, CLI_DBL, &t.penalty, "R", "over the prompt's and the answer's tokens; 1: off"},
	        {"stop", 0, CLI_LIST, &t.stop, "TEXT", "an answer ends before TEXT; may be given several times"},
	        {"allowed", 0, CLI_STR, &t.allowed, "CHARS", "the only characters an answer may hold"},
	        {"max-tokens", 0, CLI_INT, &t.max_tokens, "N", "of an answer"},
	        {"seed", 's', CLI_INT, &t.seed, "N", "the same seed, prompt and settings give the same samples"},
	        {"logprobs", 0, CLI_FLAG, &t.logprobs, NULL, "each token with its log-probability"},
	        {"top-logprobs", 0, CLI_INT, &t.top_logprobs, "K", "and the K most probable tokens at each, at most 20"},
	        {"limit", 0, CLI_INT, &t.limit, "N", "only the first N prompts; 0: all"},
	        {"batch", 0, CLI_INT, &t.batch, "N", "sequences at once; 0: as memory allows; does not change results"},
	        {"dtype", 0, CLI_STR, &t.dtype, "T", "auto, bf16, f32"},
	        {"threads", 0, CLI_INT, &t.threads, "N", "0: all"},
	        {"json", 0, CLI_FLAG, &t.json, NULL, "the summary as JSON"},
	};
	const cli_spec spec = {
	        .usage = "inoc sample --model MODEL [--adapter DIR] --prompts FILE -o OUT [options]",
	        .about = "Samples answers. Each line of OUT is the prompt's record with the exact rendered prompt, the answer's "
	                 "text,\n"
	                 "why it ended (stop, length, stop_string), its tokens and log-probability (the model's own, in nats). "
	                 "The\n"
	                 "random numbers come from seed, prompt and sample index: not from the batch or the order.\n"
	                 "Example: inoc sample -m smollm2-135m-instruct -p prompts.jsonl -o samples.jsonl -n 4 --top-p 0.95",
	        .opts = opts,
	        .n_opts = INOCI_COUNT(opts),
	        .max_args = 0};
	int rc = cli_parse(&spec, argc, argv, &args, &n_args);
	if (rc) return rc > 0 ? 0 : rc;
	if (!t.model || !t.prompts || !t.out) return cli_usage("give --model, --prompts and -o; see 'inoc sample --help'");
	const struct {
		const char *name;
		long v, low, high;
	} ints[] = {{"n", t.n, 1, 100000},           {"max-tokens", t.max_tokens, 1, 1 << 20},
	            {"top-k", t.top_k, 0, 1 << 30},  {"top-logprobs", t.top_logprobs, 0, 20},
	            {"batch", t.batch, 0, 4096},     {"threads", t.threads, 0, 4096},
	            {"limit", t.limit, 0, 1L << 40}, {"seed", t.seed, 0, INT64_MAX}};
	for (size_t i = 0; i < INOCI_COUNT(ints); i++)
		if (ints[i].v < ints[i].low || ints[i].v > ints[i].high)
			return cli_usage("--%s is %ld; it must be from %ld to %ld", ints[i].name, ints[i].v, ints[i].low,
			                 ints[i].high);
	inoc_err err = {0};
	rc = sample(&t, &err);
	cli_progress_done();
	return rc < 0 ? cli_fail(&err) : 0;
}
