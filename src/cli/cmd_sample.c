/* inoc sample: answers to prompts, file to file, with their log-probabilities. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "eval/eval.h"

typedef struct {
	cli_model_opts model;
	cli_sampling_opts sampling;
	cli_prompt_opts prompts;
	const char *out;
	cli_int top_logprobs, batch;
	bool logprobs, json;
} sample_opts;

typedef struct {
	const sample_opts *t;
	cli_model c;
	cli_prompts p;
	size_t n_done, n_tokens, n_end[3];
	inoci_sample_speed speed;
	inoci_out *file;
	char **line; /* (n_prompts, n): the finished lines of the output, NULL where a sample is missing */
} sampling;

static json_t *token_json(const inoci_model *m, int32_t id, float logprob)
{
	size_t n;
	const char *bytes = inoci_tok_bytes(m->tok, id, &n);
	if (inoci_tok_is_special(m->tok, id)) bytes = inoci_tok_spelling(m->tok, id), n = strlen(bytes);
	json_t *j = json_object();
	json_object_set_new(j, "id", json_integer(id));
	json_object_set_new(j, "token", cli_text_json(bytes, n));
	json_object_set_new(j, "logprob", json_real(logprob));
	return j;
}

static json_t *tokens_json(const sampling *x, const inoci_sampled *s)
{
	json_t *list = json_array();
	int k = (int)x->t->top_logprobs.v;
	for (int i = 0; i < s->n_ids; i++) {
		json_t *j = token_json(x->c.m, s->ids[i], s->logprob[i]);
		if (k) {
			json_t *top = json_array();
			for (int t = i * k; t < (i + 1) * k; t++)
				if (s->top_ids[t] >= 0)
					json_array_append_new(top, token_json(x->c.m, s->top_ids[t], s->top_logprob[t]));
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
	const inoci_record *r = &x->p.d.v[s->prompt];
	const inoci_rendered *p = &x->p.rendered[s->prompt];
	json_t *j = json_object();
	double sum = 0;
	(void)err;
	for (int i = 0; i < s->n_ids; i++) sum += s->logprob[i];
	json_object_set_new(j, "prompt", json_integer((json_int_t)s->prompt));
	json_object_set_new(j, "line", json_integer(r->line));
	json_object_set_new(j, "index", json_integer(s->index));
	json_object_set_new(j, "rendered", cli_text_json(p->text.data, p->text.len));
	json_object_set_new(j, "text", cli_text_json(s->text, s->text_n));
	json_object_set_new(j, "finish", json_string(inoci_finish_name((inoci_finish)s->end)));
	json_object_set_new(j, "n_prompt_tokens", json_integer((json_int_t)p->ids.n));
	json_object_set_new(j, "n_tokens", json_integer(s->n_ids));
	json_object_set_new(j, "logprob", json_real(sum));
	if (x->t->logprobs || x->t->top_logprobs.v) json_object_set_new(j, "tokens", tokens_json(x, s));
	x->line[s->prompt * (size_t)x->t->prompts.n.v + (size_t)s->index] =
	        inoci_record_text(r, j, JSON_COMPACT | JSON_REAL_PRECISION(9));
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
	for (size_t i = 0; i < x->p.n * (size_t)x->t->prompts.n.v; i++) {
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
		json_t *j = json_pack("{s:s, s:I, s:I, s:I, s:f, s:f}", "output", x->t->out, "prompts", (json_int_t)x->p.n,
		                      "samples", (json_int_t)x->n_done, "tokens", (json_int_t)x->n_tokens, "seconds", seconds,
		                      "tokens_per_second", speed);
		json_t *ends = json_object();
		for (int e = 0; e < 3; e++)
			json_object_set_new(ends, inoci_finish_name((inoci_finish)e), json_integer((json_int_t)x->n_end[e]));
		json_object_set_new(j, "finish", ends);
		const inoci_sample_speed *v = &x->speed;
		json_object_set_new(j, "prefill",
		                    json_pack("{s:I, s:f}", "tokens", (json_int_t)v->prefill_tokens, "seconds", v->prefill_s));
		json_object_set_new(j, "decode",
		                    json_pack("{s:I, s:f}", "tokens", (json_int_t)v->decode_tokens, "seconds", v->decode_s));
		cli_print_json(f, j, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
		return;
	}
	fprintf(f, "%s: %zu samples of %zu prompts, %zu tokens, %.0f tokens/s;", x->t->out, x->n_done, x->p.n, x->n_tokens,
	        speed);
	for (int e = 0; e < 3; e++) fprintf(f, " %s %zu%s", inoci_finish_name((inoci_finish)e), x->n_end[e], e < 2 ? "," : "\n");
}

static int sample(const sample_opts *t, inoc_err *err)
{
	sampling x = {.t = t};
	inoci_sample_settings s = cli_sampling_settings(&t->sampling);
	size_t n_lines = 0;
	int rc;
	s.n = (int)t->prompts.n.v;
	s.top_logprobs = (int)t->top_logprobs.v;
	s.max_batch = (int)t->batch.v;
	s.speed = &x.speed;
	INOC_TRY(inoci_sample_settings_check(&s, err));
	INOC_TRY(cli_prompts_read(&t->prompts, &x.p, err));
	INOC_TRY(inoci_out_open(t->out, &x.file, err)); /* before the work, to tell early */
	INOC_TRY(cli_model_open(&t->model, false, &x.c, err));
	INOC_TRY(cli_prompts_render(&x.p, &x.c, t->model.system, err));
	n_lines = x.p.n * (size_t)s.n;
	x.line = inoci_alloc(n_lines * sizeof *x.line);
	double start = inoci_now_s();
	rc = inoci_sample(x.c.m, x.c.a, x.p.v, x.p.n, &s, on_sample, NULL, &x, cli_progress(false), err);
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
	for (size_t i = 0; i < n_lines; i++) free(x.line[i]);
	free(x.line);
	inoci_out_abandon(x.file);
	cli_model_close(&x.c);
	cli_prompts_free(&x.p);
	return rc < 0 ? rc : 0;
}

int cmd_sample(int argc, char **argv)
{
	sample_opts t = {.top_logprobs = {0, 0, 20}, .batch = {0, 0, 4096}};
	const char **args;
	int n_args;
	cli_model_init(&t.model, true);
	cli_prompt_init(&t.prompts);
	cli_sampling_init(&t.sampling);
	const cli_opt opts[] = {
	        {"output", 'o', CLI_PATH, &t.out, "OUT", "the samples, JSON Lines, in the prompts' order"},
	        {"logprobs", 0, CLI_FLAG, &t.logprobs, NULL, "each token with its log-probability"},
	        {"top-logprobs", 0, CLI_INT, &t.top_logprobs, "K", "and the K most probable tokens at each, at most 20"},
	        {"batch", 0, CLI_INT, &t.batch, "N", "sequences at once; 0: as memory allows; does not change results"},
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
	        .shared = {t.model.group, t.prompts.group, t.sampling.group},
	        .max_args = 0};
	int rc = cli_parse(&spec, argc, argv, &args, &n_args);
	if (rc) return rc > 0 ? 0 : rc;
	if (!t.model.model || !t.prompts.path || !t.out)
		return cli_usage("give --model, --prompts and -o; see 'inoc sample --help'");
	inoc_err err = {0};
	rc = sample(&t, &err);
	return rc < 0 ? cli_fail(&err) : 0;
}
