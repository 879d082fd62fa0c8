/* inoc logprob: how probable a model finds the responses that chat data gives. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "lab/lab.h"

typedef struct {
	cli_model_opts model;
	const char *out, *loss_on, *too_long;
	cli_int micro_tokens, max_length;
	bool json;
} logprob_opts;

typedef struct {
	const logprob_opts *t;
	inoci_dataset d;
	cli_model c;
	inoci_examples e;
	size_t *record;  /* (e.n) the record that each example is of */
	double *logprob; /* (e.n) */
	size_t n_dropped;
	bool loss_last;
} scoring;

/* Of what is predicted: tokens, and the bytes of the turns' text, which has no end-of-turn token. */
typedef struct {
	long tokens, bytes;
	double logprob;
} sums;

static sums of_example(const scoring *x, size_t i)
{
	const inoci_example *e = &x->e.v[i];
	sums s = {.logprob = x->logprob[i], .bytes = inoci_answer_bytes(&x->d.v[x->record[i]], x->loss_last)};
	for (int k = 1; k < e->n; k++) s.tokens += e->loss[k] != 0;
	return s;
}

static int prepare(scoring *x, const inoci_recipe *recipe, inoc_err *err)
{
	inoci_prepare p = {.system = x->t->model.system, .recipe = recipe, .context = x->c.m->hp.context};
	x->record = inoci_alloc((x->d.n + 1) * sizeof *x->record);
	for (size_t i = 0; i < x->d.n; i++) {
		bool dropped;
		int rc = inoci_prepare_example(x->c.tmpl, &x->d.v[i], x->d.path, &p, &x->e, &dropped, err);
		if (rc < 0) return rc;
		x->n_dropped += dropped;
		if (!dropped) x->record[x->e.n - 1] = i;
	}
	if (x->e.n) return 0;
	return inoci_err_set(err, INOC_E_FORMAT, "%s: no records are left (%zu of %zu are too long)", x->d.path, x->n_dropped,
	                     x->d.n);
}

static int check(const scoring *x, inoc_err *err)
{
	for (size_t i = 0; i < x->e.n; i++)
		if (!isfinite(x->logprob[i]))
			return inoci_err_set(err, INOC_E_FORMAT,
			                     "%s:%d: the log-probability is not a finite number; check the model and the adapter",
			                     x->d.path, x->d.v[x->record[i]].line);
	return 0;
}

/* The record's own fields first, then ours, which take their names. Takes o. */
static int write_lines(const scoring *x, inoci_out *o, inoc_err *err)
{
	int rc = 0;
	for (size_t i = 0; i < x->e.n && rc == 0; i++) {
		const inoci_record *r = &x->d.v[x->record[i]];
		sums s = of_example(x, i);
		json_t *j = json_pack("{s:i, s:I, s:I, s:f}", "line", r->line, "n_tokens", (json_int_t)s.tokens, "n_bytes",
		                      (json_int_t)s.bytes, "logprob", s.logprob);
		char *line = inoci_record_text(r, j, JSON_COMPACT | JSON_REAL_PRECISION(9));
		json_decref(j);
		rc = inoci_out_write(o, line, strlen(line), err);
		if (rc == 0) rc = inoci_out_write(o, "\n", 1, err);
		free(line);
	}
	if (rc < 0) {
		inoci_out_abandon(o);
		return rc;
	}
	return inoci_out_commit(o, err);
}

static void summary(const scoring *x, double seconds)
{
	FILE *f = x->t->out && !strcmp(x->t->out, "-") ? stderr : stdout; /* apart from the records */
	sums all = {0};
	for (size_t i = 0; i < x->e.n; i++) {
		sums s = of_example(x, i);
		all.tokens += s.tokens, all.bytes += s.bytes, all.logprob += s.logprob;
	}
	double nats = -all.logprob / (double)all.tokens, bits = all.bytes ? -all.logprob / log(2) / (double)all.bytes : NAN;
	double speed = seconds > 0 ? (double)x->e.n_tokens / seconds : 0;
	if (x->t->json) {
		json_t *j =
		        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:o, s:f, s:f}", "data", x->d.path, "records",
		                  (json_int_t)x->e.n, "left_out", (json_int_t)x->n_dropped, "tokens", (json_int_t)x->e.n_tokens,
		                  "response_tokens", (json_int_t)all.tokens, "response_bytes", (json_int_t)all.bytes, "logprob",
		                  all.logprob, "nats_per_token", nats, "perplexity", exp(nats), "bits_per_byte",
		                  all.bytes ? json_real(bits) : json_null(), "seconds", seconds, "tokens_per_second", speed);
		cli_print_json(f, j, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
		return;
	}
	fprintf(f, "%s: %zu records, %ld response tokens; %.4f nats a token, perplexity %.3f, %.4f bits a byte; %.0f tokens/s\n",
	        x->d.path, x->e.n, all.tokens, nats, exp(nats), bits, speed);
}

static int logprob(const logprob_opts *t, const char *data, const inoci_recipe *recipe, inoc_err *err)
{
	scoring x = {.t = t, .loss_last = recipe->loss_last};
	inoci_out *o = NULL;
	int rc;
	INOC_TRY(inoci_dataset_read(data, INOCI_NEED_ASSISTANT, &x.d, err));
	if (t->out) INOC_TRY(inoci_out_open(t->out, &o, err)); /* before the work, to tell early */
	INOC_TRY(cli_model_open(&t->model, false, &x.c, err));
	INOC_TRY(prepare(&x, recipe, err));
	if (x.n_dropped) fprintf(stderr, "%zu records are too long and were left out, as asked\n", x.n_dropped);
	x.logprob = inoci_alloc(x.e.n * sizeof *x.logprob);
	double start = inoci_now_s();
	INOC_TRY(inoci_examples_logprob(x.c.m, x.c.a, &x.e, (int)t->micro_tokens.v, x.logprob, cli_progress(false), err));
	double seconds = inoci_now_s() - start;
	cli_progress_done();
	INOC_TRY(check(&x, err));
	if (o) {
		rc = write_lines(&x, o, err);
		o = NULL;
		if (rc < 0) goto out;
	}
	summary(&x, seconds);
out:
	inoci_out_abandon(o);
	free(x.record), free(x.logprob);
	inoci_examples_free(&x.e);
	cli_model_close(&x.c);
	inoci_dataset_free(&x.d);
	return rc < 0 ? rc : 0;
}

int cmd_logprob(int argc, char **argv)
{
	static const char *const loss_on[] = {"all", "last", NULL}, *const too_long[] = {"error", "drop", NULL};
	logprob_opts t = {
	        .loss_on = "all", .too_long = "error", .micro_tokens = {1024, 1, 1 << 24}, .max_length = {0, 0, 1 << 30}};
	const char **args;
	int n_args, last, drop;
	cli_model_init(&t.model, true);
	const cli_opt opts[] = {
	        {"output", 'o', CLI_PATH, &t.out, "OUT", "each record with its log-probability, tokens and bytes, JSON Lines"},
	        {"loss-on", 0, CLI_STR, &t.loss_on, "WHICH", "all assistant turns, or the last"},
	        {"max-length", 0, CLI_INT, &t.max_length, "N", "tokens of a record; 0: the model's context"},
	        {"too-long", 0, CLI_STR, &t.too_long, "HOW", "error, or drop (and count)"},
	        {"micro-tokens", 0, CLI_INT, &t.micro_tokens, "N", "tokens computed at once; does not change results"},
	        {"json", 0, CLI_FLAG, &t.json, NULL, "the sums as JSON"},
	};
	const cli_spec spec = {
	        .usage = "inoc logprob --model MODEL [--adapter DIR] DATA [-o OUT] [options]",
	        .about = "The log-probabilities (natural logarithm) that a model gives to the assistant turns of chat data: of "
	                 "their text and\n"
	                 "end-of-turn token, all that stands before being given. Prints their mean (the loss that `inoc train` "
	                 "reports), the\n"
	                 "perplexity, and bits a byte of the turns' text, which tokenizers do not change. A turn of weight 0 is "
	                 "left out.\n"
	                 "Example: inoc logprob -m smollm2-135m-instruct -a adapter held-out.jsonl -o logprobs.jsonl",
	        .opts = opts,
	        .n_opts = INOCI_COUNT(opts),
	        .shared = {t.model.group},
	        .min_args = 1,
	        .max_args = 1};
	int rc = cli_parse(&spec, argc, argv, &args, &n_args);
	if (rc) return rc > 0 ? 0 : rc;
	if (!t.model.model) return cli_usage("give --model; see 'inoc logprob --help'");
	if ((rc = cli_pick(t.loss_on, "loss-on", loss_on, &last)) < 0) return rc;
	if ((rc = cli_pick(t.too_long, "too-long", too_long, &drop)) < 0) return rc;
	inoc_err err = {0};
	const inoci_recipe r = {.config = inoci_train_defaults(),
	                        .max_length = (int)t.max_length.v,
	                        .loss_last = last == 1,
	                        .drop_too_long = drop == 1};
	rc = logprob(&t, args[0], &r, &err);
	return rc < 0 ? cli_fail(&err) : 0;
}
