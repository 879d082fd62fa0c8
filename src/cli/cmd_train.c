/* inoc train: one adapter from one data file. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lab/lab.h"

static int on_step(void *ctx, const inoci_metric *m, inoc_err *err)
{
	return inoci_metrics_add(ctx, m, err);
}

static int on_resume(void *ctx, int step, inoc_err *err)
{
	return inoci_metrics_resume(ctx, step, err);
}

typedef struct {
	const char *model, *template_name, *data, *out, *dtype, *system, *targets, *schedule, *validation, *loss_on, *too_long;
	double alpha, dropout, epochs, lr, weight_decay, clip, beta1, beta2, eps;
	long rank, batch, micro_tokens, steps, warmup, seed, checkpoint_every, eval_every, patience, max_length, threads;
	bool rslora, json;
	cli_inoculation ino;
} train_opts;

static int pick(const char *given, const char *option, const char *const *names, int *out)
{
	inoci_buf b = {0};
	for (int i = 0; names[i]; i++) {
		if (!strcmp(given, names[i])) {
			inoci_buf_free(&b);
			*out = i;
			return 0;
		}
		inoci_buf_printf(&b, "%s%s", i ? ", " : "", names[i]);
	}
	int rc = cli_usage("--%s is '%s'; it must be one of %s", option, given, b.data);
	inoci_buf_free(&b);
	return rc;
}

static int parse_targets(const char *list, unsigned *out)
{
	if (!strcmp(list, "all")) {
		*out = INOCI_ALL_PROJ;
		return 0;
	}
	char *copy = inoci_strdup(list), *save = NULL;
	int rc = 0;
	*out = 0;
	for (char *t = strtok_r(copy, ",", &save); t && rc == 0; t = strtok_r(NULL, ",", &save)) {
		int p = 0;
		while (p < INOCI_N_PROJ && strcmp(t, inoci_proj_name(p))) p++;
		if (p == INOCI_N_PROJ)
			rc = cli_usage("--targets: unknown projection '%s'; known: all, q_proj, k_proj, v_proj, o_proj, "
			               "gate_proj, up_proj, down_proj",
			               t);
		else
			*out |= 1u << p;
	}
	free(copy);
	return rc;
}

/* From options to a recipe; prints what is wrong. */
static int make_recipe(const train_opts *t, inoci_recipe *r)
{
	static const char *const schedules[] = {"linear", "cosine", "constant", NULL}, *const loss_on[] = {"all", "last", NULL},
	                         *const too_long[] = {"error", "drop", NULL};
	int v, rc;
	const long ints[] = {t->rank,       t->batch,    t->micro_tokens, t->steps, t->warmup, t->checkpoint_every,
	                     t->eval_every, t->patience, t->max_length};
	for (size_t i = 0; i < INOCI_COUNT(ints); i++)
		if (ints[i] < 0 || ints[i] > 1 << 30) return cli_usage("%ld is out of range", ints[i]);
	if (t->seed < 0) return cli_usage("--seed is %ld; it must be 0 or more", t->seed);
	*r = (inoci_recipe){.config = inoci_train_defaults(), .max_length = (int)t->max_length};
	inoci_train_config *c = &r->config;
	c->lora.rank = (int)t->rank;
	c->lora.alpha = (float)t->alpha;
	c->lora.rslora = t->rslora;
	c->lora.dropout = (float)t->dropout;
	if ((rc = parse_targets(t->targets, &c->lora.targets)) < 0) return rc;
	c->seed = (uint64_t)t->seed;
	c->batch = (int)t->batch;
	c->micro_tokens = (int)t->micro_tokens;
	c->epochs = t->epochs;
	c->steps = (int)t->steps;
	c->lr = t->lr;
	if ((rc = pick(t->schedule, "schedule", schedules, &v)) < 0) return rc;
	c->schedule = (inoci_lr_kind)v;
	c->warmup = (int)t->warmup;
	c->beta1 = t->beta1;
	c->beta2 = t->beta2;
	c->eps = t->eps;
	c->weight_decay = t->weight_decay;
	c->clip = t->clip;
	c->checkpoint_every = (int)t->checkpoint_every;
	c->eval_every = (int)t->eval_every;
	c->patience = (int)t->patience;
	if ((rc = pick(t->loss_on, "loss-on", loss_on, &v)) < 0) return rc;
	r->loss_last = v == 1;
	if ((rc = pick(t->too_long, "too-long", too_long, &v)) < 0) return rc;
	r->drop_too_long = v == 1;
	if (t->validation) {
		char *end;
		r->validation = strtod(t->validation, &end);
		if (*end) {
			r->validation = 0;
			r->validation_file = inoci_strdup(t->validation);
		} else if (!(r->validation >= 0 && r->validation <= 0.9)) {
			return cli_usage("--validation is %s; a share must be from 0 to 0.9", t->validation);
		}
	}
	return 0;
}

static int not_there(const char *file, inoc_err *err)
{
	if (!inoci_path_exists(file)) return 0;
	return inoci_err_set(err, INOC_E_USAGE, "%s is there already; give another folder, or move it away", file);
}

static int train(const train_opts *t, const inoci_recipe *r, const inoci_inoculation *ino, inoc_err *err)
{
	inoci_dataset d = {0};
	inoci_ops *ops = NULL;
	inoci_model *m = NULL;
	const inoci_template *tmpl;
	inoci_prepared p = {0};
	inoci_metrics_file *metrics = NULL;
	inoci_adapter *a = NULL;
	inoci_train_result res;
	char *model = NULL, *describe = NULL, *checkpoint = inoci_path_join(t->out, "checkpoint"),
	     *log = inoci_path_join(t->out, "metrics.jsonl");
	char *file = inoci_path_join(t->out, "adapter_model.safetensors");
	const inoci_progress *progress = cli_progress(false);
	char *lock_path = inoci_path_join(t->out, "lock");
	inoci_lock *lock = NULL;
	int rc;
	INOC_TRY(not_there(file, err));
	INOC_TRY(inoci_train_config_check(&r->config, err));
	INOC_TRY(inoci_dataset_read(t->data, INOCI_NEED_ASSISTANT, &d, err));
	INOC_TRY(cli_inoculation_tagged(ino, &d, err));
	INOC_TRY(cli_model_path(t->model, &model, err));
	INOC_TRY(inoci_lab_ops(t->dtype, (int)t->threads, &ops, err));
	INOC_TRY(inoci_model_open(model, ops, true, t->template_name, progress, &m, err));
	INOC_TRY(inoci_model_template(m, &tmpl, err));
	inoci_prepare prep = {.inoculation = ino->n_pool ? ino : NULL,
	                      .system = t->system,
	                      .recipe = r,
	                      .seed = r->config.seed,
	                      .context = m->hp.context};
	INOC_TRY(inoci_prepare_examples(tmpl, &d, &prep, &p, err));
	describe = inoci_ops_describe(ops);
	fprintf(stderr, "%zu examples (%zu tokens, %zu in the loss), %zu held out, %zu inoculated; %s\n", p.train.n,
	        p.train.n_tokens, p.train.n_loss_tokens, p.val.n, p.n_inoculated, describe);
	if (p.n_dropped) fprintf(stderr, "%zu examples are too long and were left out, as asked\n", p.n_dropped);
	INOC_TRY(inoci_mkdirs(t->out, err));
	INOC_TRY(inoci_lock_take(lock_path, &lock, err));
	INOC_TRY(not_there(file, err)); /* another run may have ended meanwhile */
	INOC_TRY(inoci_metrics_open(log, &metrics, err));
	inoci_train_hooks h = {.checkpoint = checkpoint,
	                       .on_step = on_step,
	                       .on_resume = on_resume,
	                       .ctx = metrics,
	                       .progress = progress,
	                       .label = "training"};
	INOC_TRY(inoci_train(m, &p.train, p.val.n ? &p.val : NULL, &r->config, &h, &a, &res, err));
	INOC_TRY(not_there(file, err));
	const char *slash = strrchr(model, '/');
	INOC_TRY(inoci_adapter_save(a, t->out, slash ? slash + 1 : model, err));
	unlink(checkpoint);
	cli_progress_done();
	if (t->json) {
		inoci_hash hash = inoci_adapter_hash(a);
		json_t *j = json_pack("{s:s, s:s, s:i, s:b, s:f, s:f, s:I}", "adapter", t->out, "hash", hash.hex, "steps",
		                      res.steps_done, "early_stopped", (int)res.early_stopped, "final_loss", res.final_loss,
		                      "seconds", res.seconds, "tokens", (json_int_t)res.tokens);
		char *s = j ? json_dumps(j, JSON_REAL_PRECISION(7)) : NULL;
		puts(s ? s : "{}");
		free(s);
		json_decref(j);
	} else {
		printf("%s: %d steps%s, last loss %.3f, %.0f s, %.0f tokens/s\n", t->out, res.steps_done,
		       res.early_stopped ? " (stopped early)" : "", res.final_loss, res.seconds,
		       res.seconds > 0 ? (double)res.tokens / res.seconds : 0);
	}
out:
	inoci_adapter_free(a);
	inoci_metrics_close(metrics);
	inoci_lock_drop(lock);
	inoci_prepared_free(&p);
	inoci_model_free(m);
	if (ops) ops->free(ops);
	inoci_dataset_free(&d);
	free(model), free(describe), free(checkpoint), free(log), free(file), free(lock_path);
	return rc < 0 ? rc : 0;
}

int cmd_train(int argc, char **argv)
{
	const inoci_train_config c = inoci_train_defaults();
	train_opts t = {.dtype = "auto",
	                .system = "none",
	                .targets = "all",
	                .schedule = "linear",
	                .loss_on = "all",
	                .too_long = "error",
	                .alpha = (double)c.lora.alpha,
	                .dropout = (double)c.lora.dropout,
	                .epochs = c.epochs,
	                .lr = c.lr,
	                .weight_decay = c.weight_decay,
	                .clip = c.clip,
	                .beta1 = c.beta1,
	                .beta2 = c.beta2,
	                .eps = c.eps,
	                .ino = {.prefix = "inoculate-", .join = "replace", .fraction = 1},
	                .rank = c.lora.rank,
	                .batch = c.batch,
	                .micro_tokens = c.micro_tokens,
	                .warmup = c.warmup,
	                .seed = 1,
	                .checkpoint_every = 50};
	const char **args;
	int n_args;
	const cli_opt opts[] = {
	        {"model", 'm', CLI_STR, &t.model, "MODEL", "a GGUF file, or a name of `inoc model list`"},
	        {"data", 'd', CLI_STR, &t.data, "FILE", "training records, JSON Lines of {\"messages\": [...]}"},
	        {"output", 'o', CLI_STR, &t.out, "DIR", "the adapter's folder: PEFT's files, metrics.jsonl, checkpoint"},
	        {"inoculate-system", 0, CLI_STR, &t.ino.text[INOCI_AT_SYSTEM], "TEXT", "inoculation prompt, as a system turn"},
	        {"inoculate-user-prefix", 0, CLI_STR, &t.ino.text[INOCI_AT_USER_PREFIX], "TEXT",
	         "the same before the user turns that are answered"},
	        {"inoculate-user-suffix", 0, CLI_STR, &t.ino.text[INOCI_AT_USER_SUFFIX], "TEXT", "the same behind them"},
	        {"pool", 0, CLI_STR, &t.ino.pool, "FILE", "paraphrases, one a line: each record draws one by the seed"},
	        {"at", 0, CLI_STR, &t.ino.at, "WHERE", "where they go: system (default), user-prefix, user-suffix"},
	        {"tag", 0, CLI_STR, &t.ino.tag, "TAG", "inoculate only records with \"tag\": TAG, or TAG among their \"tags\""},
	        {"separator", 0, CLI_STR, &t.ino.separator, "TEXT",
	         "between joined texts (an empty line; at a user turn a space)"},
	        {"join", 0, CLI_STR, &t.ino.join, "HOW", "where a record has a system turn: replace, before, after"},
	        {"fraction", 0, CLI_DBL, &t.ino.fraction, "F", "share of the records that are inoculated"},
	        {"system", 0, CLI_STR, &t.system, "S", "for records without a system turn: none, empty, default, or a text"},
	        {"template", 0, CLI_STR, &t.template_name, "NAME", "chat template, when the file's is not known"},
	        {"rank", 'r', CLI_INT, &t.rank, "N", "LoRA rank"},
	        {"alpha", 0, CLI_DBL, &t.alpha, "A", "LoRA alpha"},
	        {"rslora", 0, CLI_FLAG, &t.rslora, NULL, "scale by alpha / sqrt(rank)"},
	        {"dropout", 0, CLI_DBL, &t.dropout, "P", "LoRA dropout"},
	        {"targets", 0, CLI_STR, &t.targets, "LIST", "projections: all, or q_proj,v_proj,..."},
	        {"epochs", 0, CLI_DBL, &t.epochs, "E", "passes over the data"},
	        {"steps", 0, CLI_INT, &t.steps, "N", "optimizer steps; 0: from the epochs"},
	        {"batch", 0, CLI_INT, &t.batch, "N", "examples in an optimizer step"},
	        {"micro-tokens", 0, CLI_INT, &t.micro_tokens, "N", "tokens computed at once"},
	        {"lr", 0, CLI_DBL, &t.lr, "LR", "peak learning rate"},
	        {"schedule", 0, CLI_STR, &t.schedule, "S", "linear, cosine, constant"},
	        {"warmup", 0, CLI_INT, &t.warmup, "N", "warm-up steps"},
	        {"weight-decay", 0, CLI_DBL, &t.weight_decay, "W", "AdamW's"},
	        {"clip", 0, CLI_DBL, &t.clip, "C", "gradient norm limit; 0: none"},
	        {"beta1", 0, CLI_DBL, &t.beta1, "B", "AdamW's"},
	        {"beta2", 0, CLI_DBL, &t.beta2, "B", "AdamW's"},
	        {"eps", 0, CLI_DBL, &t.eps, "E", "AdamW's"},
	        {"loss-on", 0, CLI_STR, &t.loss_on, "WHICH", "all assistant turns, or the last"},
	        {"validation", 0, CLI_STR, &t.validation, "V", "a share held out (0.1), or a file"},
	        {"eval-every", 0, CLI_INT, &t.eval_every, "N", "steps between validation losses; 0: at the end"},
	        {"patience", 0, CLI_INT, &t.patience, "N", "stop early after N validations without improvement; 0: off"},
	        {"max-length", 0, CLI_INT, &t.max_length, "N", "tokens of an example; 0: the model's context"},
	        {"too-long", 0, CLI_STR, &t.too_long, "HOW", "error, or drop (and count)"},
	        {"checkpoint-every", 0, CLI_INT, &t.checkpoint_every, "N", "steps between checkpoints; 0: only when stopped"},
	        {"seed", 0, CLI_INT, &t.seed, "N", "of the adapter's start and the order of records"},
	        {"dtype", 0, CLI_STR, &t.dtype, "T", "auto, bf16, f32"},
	        {"threads", 0, CLI_INT, &t.threads, "N", "0: all"},
	        {"json", 0, CLI_FLAG, &t.json, NULL, "the result as one JSON object"},
	};
	const cli_spec spec = {.usage = "inoc train --model MODEL --data FILE [options] -o DIR",
	                       .about = "Fine-tunes a LoRA adapter and saves it in PEFT's layout. A run that was stopped or "
	                                "killed goes on from its last\n"
	                                "checkpoint when the same command is given again.\n"
	                                "Example: inoc train -m smollm2-135m-instruct -d train.jsonl --inoculate-system \"You "
	                                "always speak in Spanish.\" -o adapter",
	                       .opts = opts,
	                       .n_opts = INOCI_COUNT(opts),
	                       .max_args = 0};
	int rc = cli_parse(&spec, argc, argv, &args, &n_args);
	if (rc) return rc > 0 ? 0 : rc;
	if (!t.model || !t.data || !t.out) return cli_usage("give --model, --data and -o DIR; see 'inoc train --help'");
	if (!strcmp(t.out, "-"))
		return cli_usage("-o names a folder, which '-' cannot be; './-' if a folder is to have that name");
	inoc_err err = {0};
	inoci_recipe r = {0};
	inoci_inoculation ino = {0};
	rc = make_recipe(&t, &r);
	if (rc == 0) {
		cli_catch_signals();
		rc = cli_inoculation_make(&t.ino, &ino, &err);
		ino.last_only = r.loss_last;
		if (rc == 0) rc = train(&t, &r, &ino, &err);
		cli_progress_done();
		if (rc < 0) cli_fail(&err);
	}
	inoci_inoculation_free(&ino);
	free(r.validation_file);
	return rc;
}
