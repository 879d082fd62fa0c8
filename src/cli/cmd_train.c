/* inoc train: one adapter from one data file. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
	cli_model_opts model;
	const char *data, *out, *targets, *schedule, *validation, *loss_on, *too_long, *keep;
	cli_dbl alpha, dropout, epochs, lr, weight_decay, clip, beta1, beta2, eps;
	cli_int rank, batch, micro_tokens, steps, warmup, seed, init_seed, checkpoint_every, eval_every, patience, max_length;
	bool rslora, json;
	cli_inoculation ino;
} train_opts;

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
	if (rc == 0 && !*out) rc = cli_usage("--targets names no projection; give all, or a list such as q_proj,v_proj");
	return rc;
}

/* From options to a recipe; prints what is wrong. */
static int make_recipe(const train_opts *t, inoci_recipe *r)
{
	static const char *const schedules[] = {"linear", "cosine", "constant", NULL}, *const loss_on[] = {"all", "last", NULL},
	                         *const too_long[] = {"error", "drop", NULL},
	                         *const keep[] = {"auto", "all", "some", "least", NULL};
	int v, rc;
	*r = (inoci_recipe){.config = inoci_train_defaults(), .max_length = (int)t->max_length.v};
	inoci_train_config *c = &r->config;
	c->lora.rank = (int)t->rank.v;
	c->lora.alpha = (float)t->alpha.v;
	c->lora.rslora = t->rslora;
	c->lora.dropout = (float)t->dropout.v;
	if ((rc = parse_targets(t->targets, &c->lora.targets)) < 0) return rc;
	c->seed = (uint64_t)t->seed.v;
	c->init_seed = (int)t->init_seed.v;
	c->batch = (int)t->batch.v;
	c->micro_tokens = (int)t->micro_tokens.v;
	if ((rc = cli_pick(t->keep, "keep", keep, &v)) < 0) return rc;
	c->keep = v - 1; /* auto is INOCI_KEEP_FITS */
	c->epochs = t->epochs.v;
	c->steps = (int)t->steps.v;
	c->lr = t->lr.v;
	if ((rc = cli_pick(t->schedule, "schedule", schedules, &v)) < 0) return rc;
	c->schedule = (inoci_lr_kind)v;
	c->warmup = (int)t->warmup.v;
	c->beta1 = t->beta1.v;
	c->beta2 = t->beta2.v;
	c->eps = t->eps.v;
	c->weight_decay = t->weight_decay.v;
	c->clip = t->clip.v;
	c->checkpoint_every = (int)t->checkpoint_every.v;
	c->eval_every = (int)t->eval_every.v;
	c->patience = (int)t->patience.v;
	if ((rc = cli_pick(t->loss_on, "loss-on", loss_on, &v)) < 0) return rc;
	r->loss_last = v == 1;
	if ((rc = cli_pick(t->too_long, "too-long", too_long, &v)) < 0) return rc;
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

static void show_json(const char *out, const inoci_adapter *a, const inoci_train_result *res)
{
	inoci_hash hash = inoci_adapter_hash(a);
	json_t *j = json_pack("{s:s, s:s, s:i, s:b, s:i, s:o, s:f, s:f, s:I, s:s, s:f, s:f}", "adapter", out, "hash", hash.hex,
	                      "steps", res->steps_done, "early_stopped", (int)res->early_stopped, "saved_step", res->saved_step,
	                      "val_loss", isnan(res->val_loss) ? json_null() : json_real(res->val_loss), "final_loss",
	                      res->final_loss, "seconds", res->seconds, "tokens", (json_int_t)res->tokens, "keep",
	                      inoci_keep_name(res->keep), "memory_predicted_bytes", res->memory_bytes, "memory_peak_bytes",
	                      (double)inoci_rss_peak_bytes());
	cli_print_json(stdout, j, JSON_REAL_PRECISION(7));
}

static void show_text(const char *out, const inoci_train_result *res)
{
	char *saved = inoci_train_saved(res);
	printf("%s: %d steps%s, last loss %.3f, %.0f s, %.0f tokens/s%s%s\n", out, res->steps_done,
	       res->early_stopped ? " (stopped early)" : "", res->final_loss, res->seconds,
	       res->seconds > 0 ? (double)res->tokens / res->seconds : 0, saved ? "; " : "", saved ? saved : "");
	free(saved);
}

static int not_there(const char *file, inoc_err *err)
{
	if (!inoci_path_exists(file)) return 0;
	return inoci_err_set(err, INOC_E_USAGE, "%s is there already; give another folder, or move it away", file);
}

static int train(const train_opts *t, const inoci_recipe *r, const inoci_inoculation *ino, inoc_err *err)
{
	inoci_dataset d = {0};
	cli_model c = {0};
	inoci_prepared p = {0};
	inoci_metrics_file *metrics = NULL;
	inoci_train_result res;
	char *describe = NULL, *checkpoint = inoci_path_join(t->out, "checkpoint"),
	     *log = inoci_path_join(t->out, "metrics.jsonl");
	char *file = inoci_path_join(t->out, "adapter_model.safetensors");
	const inoci_progress *progress = cli_progress(false);
	char *lock_path = inoci_path_join(t->out, "lock");
	inoci_lock *lock = NULL;
	struct stat st;
	int rc;
	INOC_TRY(not_there(file, err));
	if (stat(t->out, &st) == 0 && !S_ISDIR(st.st_mode)) {
		rc = inoci_err_set(err, INOC_E_USAGE, "--output %s is a file; give a folder for the adapter", t->out);
		goto out;
	}
	INOC_TRY(inoci_train_config_check(&r->config, err));
	INOC_TRY(inoci_dataset_read(t->data, INOCI_NEED_ASSISTANT, &d, err));
	INOC_TRY(cli_inoculation_tagged(ino, &d, err));
	INOC_TRY(cli_model_open(&t->model, true, &c, err));
	inoci_prepare prep = {.inoculation = ino->n_pool ? ino : NULL,
	                      .system = t->model.system,
	                      .recipe = r,
	                      .seed = r->config.seed,
	                      .context = c.m->hp.context};
	INOC_TRY(inoci_prepare_examples(c.tmpl, &d, &prep, &p, err));
	describe = inoci_ops_describe(c.ops);
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
	INOC_TRY(inoci_train(c.m, &p.train, p.val.n ? &p.val : NULL, &r->config, &h, &c.a, &res, err));
	INOC_TRY(not_there(file, err));
	const char *slash = strrchr(c.path, '/');
	INOC_TRY(inoci_adapter_save(c.a, t->out, slash ? slash + 1 : c.path, err));
	unlink(checkpoint);
	cli_progress_done();
	if (t->json)
		show_json(t->out, c.a, &res);
	else
		show_text(t->out, &res);
out:
	inoci_metrics_close(metrics);
	inoci_lock_drop(lock);
	inoci_prepared_free(&p);
	cli_model_close(&c);
	inoci_dataset_free(&d);
	free(describe), free(checkpoint), free(log), free(file), free(lock_path);
	return rc < 0 ? rc : 0;
}

int cmd_train(int argc, char **argv)
{
	const inoci_train_config c = inoci_train_defaults();
	const long many = 100000000;
	train_opts t = {.targets = "all",
	                .schedule = "linear",
	                .loss_on = "all",
	                .too_long = "error",
	                .keep = "auto",
	                .alpha = {(double)c.lora.alpha, 1e-6, 1e6},
	                .dropout = {(double)c.lora.dropout, 0, 0.99},
	                .epochs = {c.epochs, 0, 1e6},
	                .lr = {c.lr, 0, 10},
	                .weight_decay = {c.weight_decay, 0, 10},
	                .clip = {c.clip, 0, 1e9},
	                .beta1 = {c.beta1, 0, 0.999999},
	                .beta2 = {c.beta2, 0, 0.9999999},
	                .eps = {c.eps, 1e-20, 1},
	                .ino = {.prefix = "inoculate-", .join = "replace", .fraction = {1, 0, 1}},
	                .rank = {c.lora.rank, 1, 1024},
	                .batch = {c.batch, 1, 65536},
	                .micro_tokens = {c.micro_tokens, 1, 1 << 24},
	                .steps = {0, 0, many},
	                .warmup = {c.warmup, 0, many},
	                .seed = {1, 0, LONG_MAX},
	                .init_seed = {0, 0, INT_MAX},
	                .checkpoint_every = {50, 0, many},
	                .eval_every = {0, 0, many},
	                .patience = {0, 0, 1000000},
	                .max_length = {0, 0, 1 << 30}};
	const char **args;
	int n_args;
	cli_model_init(&t.model, false);
	const cli_opt opts[] = {
	        {"data", 'd', CLI_PATH, &t.data, "FILE", "training records, JSON Lines of {\"messages\": [...]}"},
	        {"output", 'o', CLI_PATH, &t.out, "DIR", "the adapter's folder: PEFT's files, metrics.jsonl, checkpoint"},
	        {"inoculate-system", 0, CLI_STR, &t.ino.text[INOCI_AT_SYSTEM], "TEXT", "inoculation prompt, as a system turn"},
	        {"inoculate-user-prefix", 0, CLI_STR, &t.ino.text[INOCI_AT_USER_PREFIX], "TEXT",
	         "the same before the user turns that are answered"},
	        {"inoculate-user-suffix", 0, CLI_STR, &t.ino.text[INOCI_AT_USER_SUFFIX], "TEXT", "the same behind them"},
	        {"pool", 0, CLI_PATH, &t.ino.pool, "FILE", "paraphrases, one a line: each record draws one by the seed"},
	        {"at", 0, CLI_STR, &t.ino.at, "WHERE", "where they go: system (default), user-prefix, user-suffix"},
	        {"tag", 0, CLI_STR, &t.ino.tag, "TAG", "inoculate only records with \"tag\": TAG, or TAG among their \"tags\""},
	        {"separator", 0, CLI_STR, &t.ino.separator, "TEXT",
	         "between joined texts (an empty line; at a user turn a space)"},
	        {"join", 0, CLI_STR, &t.ino.join, "HOW", "where a record has a system turn: replace, before, after"},
	        {"fraction", 0, CLI_DBL, &t.ino.fraction, "F", "share of the records that are inoculated"},
	        {"rank", 'r', CLI_INT, &t.rank, "N", "LoRA rank"},
	        {"alpha", 0, CLI_DBL, &t.alpha, "A", "LoRA alpha"},
	        {"rslora", 0, CLI_FLAG, &t.rslora, NULL, "scale by alpha / sqrt(rank)"},
	        {"dropout", 0, CLI_DBL, &t.dropout, "P", "LoRA dropout"},
	        {"targets", 0, CLI_STR, &t.targets, "LIST", "projections: all, or q_proj,v_proj,..."},
	        {"epochs", 0, CLI_DBL, &t.epochs, "E", "passes over the data"},
	        {"steps", 0, CLI_INT, &t.steps, "N", "optimizer steps; 0: from the epochs"},
	        {"batch", 0, CLI_INT, &t.batch, "N", "examples in an optimizer step"},
	        {"micro-tokens", 0, CLI_INT, &t.micro_tokens, "N", "tokens computed at once"},
	        {"keep", 0, CLI_STR, &t.keep, "WHAT",
	         "activations kept for the backward: all, some, least; auto: as memory allows; does not change results"},
	        {"lr", 0, CLI_DBL, &t.lr, "LR", "peak learning rate"},
	        {"schedule", 0, CLI_STR, &t.schedule, "S", "linear, cosine, constant"},
	        {"warmup", 0, CLI_INT, &t.warmup, "N", "warm-up steps"},
	        {"weight-decay", 0, CLI_DBL, &t.weight_decay, "W", "AdamW's decoupled weight decay"},
	        {"clip", 0, CLI_DBL, &t.clip, "C", "gradient norm limit; 0: none"},
	        {"beta1", 0, CLI_DBL, &t.beta1, "B", "AdamW's decay of the gradient's mean"},
	        {"beta2", 0, CLI_DBL, &t.beta2, "B", "AdamW's decay of the gradient's square"},
	        {"eps", 0, CLI_DBL, &t.eps, "E", "AdamW's term against division by zero"},
	        {"loss-on", 0, CLI_STR, &t.loss_on, "WHICH", "all assistant turns, or the last"},
	        {"validation", 0, CLI_PATH, &t.validation, "V", "a share held out (0.1), or a file"},
	        {"eval-every", 0, CLI_INT, &t.eval_every, "N", "steps between validation losses; 0: at the end"},
	        {"patience", 0, CLI_INT, &t.patience, "N", "stop early after N validations without improvement; 0: off"},
	        {"max-length", 0, CLI_INT, &t.max_length, "N", "tokens of an example; 0: the model's context"},
	        {"too-long", 0, CLI_STR, &t.too_long, "HOW", "error, or drop (and count)"},
	        {"checkpoint-every", 0, CLI_INT, &t.checkpoint_every, "N", "steps between checkpoints; 0: only when stopped"},
	        {"seed", 0, CLI_INT, &t.seed, "N", "of the adapter's start and the order of records"},
	        {"init-seed", 0, CLI_INT, &t.init_seed, "N", "of the adapter's start; 0: the seed"},
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
	                       .shared = {t.model.group},
	                       .max_args = 0};
	int rc = cli_parse(&spec, argc, argv, &args, &n_args);
	if (rc) return rc > 0 ? 0 : rc;
	if (!t.model.model || !t.data || !t.out) return cli_usage("give --model, --data and -o DIR; see 'inoc train --help'");
	if (!strcmp(t.out, "-"))
		return cli_usage("-o names a folder, which '-' cannot be; './-' if a folder is to have that name");
	inoc_err err = {0};
	inoci_recipe r = {0};
	inoci_inoculation ino = {0};
	rc = make_recipe(&t, &r);
	if (rc == 0) {
		rc = cli_inoculation_make(&t.ino, &ino, &err);
		ino.last_only = r.loss_last;
		if (rc == 0) rc = train(&t, &r, &ino, &err);
		if (rc < 0) cli_fail(&err);
	}
	inoci_inoculation_free(&ino);
	free(r.validation_file);
	return rc;
}
