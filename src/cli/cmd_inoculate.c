/* inoc inoculate IN -o OUT: the rewritten data, for any trainer. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "data/data.h"
#include "eval/eval.h"
#include "lab/traits.h"

/* Which records get the prompt, but for a tag; and the model that may be needed for it. */
typedef struct {
	const char *scorer, *gain, *above;
	inoci_when when; /* name NULL and gain NULL: all */
	cli_model_opts model;
	cli_model open;
} condition;

/* How many system turns with a text were there to be replaced or joined. */
static bool had_system(const inoci_record *r)
{
	return r->n_msgs && !strcmp(r->msgs[0].role, "system") && *r->msgs[0].content;
}

static int open_model(void *ctx, const char *sha256, inoci_model **out, inoc_err *err)
{
	condition *c = ctx;
	(void)sha256; /* the scorer refuses another one than its own */
	if (!c->model.model)
		return inoci_err_set(err, INOC_E_USAGE, "%s is measured with a model: give --model",
		                     c->gain ? "--gain" : "what this scorer scores");
	int rc = c->open.m ? 0 : cli_model_open(&c->model, false, &c->open, err);
	*out = c->open.m;
	return rc;
}

/* --system is the text to put in here; gains are measured of records as they are. */
static void without_system(cli_model_opts *o)
{
	size_t n = o->group.n, at = 0;
	while (at < n && strcmp(o->table[at].name, "system") != 0) at++;
	if (at == n) return;
	memmove(&o->table[at], &o->table[at + 1], (n - at - 1) * sizeof *o->table);
	o->group.n = n - 1;
}

static int read_condition(condition *c, inoc_err *err)
{
	char *end;
	c->when.above = NAN;
	if (c->above) {
		c->when.above = strtod(c->above, &end);
		if (!*c->above || *end || !isfinite(c->when.above))
			return inoci_err_set(err, INOC_E_USAGE, "--above: '%s' is not a number", c->above);
		if (!c->scorer && !c->gain)
			return inoci_err_set(err, INOC_E_USAGE, "--above is of a scorer or a gain; give --scorer or --gain");
	}
	if (c->scorer && c->gain) return inoci_err_set(err, INOC_E_USAGE, "give only one of --scorer and --gain");
	if (c->gain) c->when.gain = inoci_strdup(c->gain);
	int rc = c->scorer
	                 ? cli_scorer_parse(c->scorer, *c->scorer == '{' ? "given" : NULL, &c->when.name, &c->when.settings, err)
	                 : 0;
	if (c->scorer && *c->scorer == '{' && rc == 0) {
		free(c->when.name);
		c->when.name = inoci_when_name(c->when.settings);
	}
	const inoci_scorer_env env = {.settings_only = true};
	return rc < 0 || (!c->scorer && !c->gain) ? rc : inoci_when_check(&c->when, &env, err);
}

/* Sets t->chosen, which is *chosen's, and says which records they are. */
static int choose(condition *c, const inoci_dataset *d, inoci_choice *chosen, inoci_inoculation *t, inoc_err *err)
{
	const inoci_scorer_env env = {.model = open_model, .ctx = c};
	const inoci_chooser with = {.env = &env, .system = c->model.system, .progress = cli_progress(false)};
	const inoci_record **r = inoci_alloc((d->n + 1) * sizeof *r);
	const char **paths = inoci_alloc((d->n + 1) * sizeof *paths);
	for (size_t i = 0; i < d->n; i++) r[i] = &d->v[i], paths[i] = d->path;
	int rc = inoci_choose(&c->when, r, paths, d->n, d->n, &with, chosen, err);
	cli_progress_done();
	free(r), free(paths);
	if (rc < 0) return rc;
	t->chosen = chosen->chosen;
	t->n_chosen = chosen->n_all;
	char *text = inoci_choice_text(NULL, &c->when, chosen);
	fprintf(stderr, "%s: %s\n", d->path, text);
	free(text);
	return 0;
}

static int rewrite(inoci_inoculation *t, condition *c, const char *in, const char *out, uint64_t seed, inoc_err *err)
{
	inoci_dataset d;
	size_t changed = 0, systems = 0, n = 0;
	inoci_record *v = NULL;
	inoci_choice chosen = {0};
	int rc = inoci_dataset_read(in, c->when.name || c->when.gain ? INOCI_NEED_ASSISTANT : 0, &d, err);
	if (rc < 0) return rc;
	v = inoci_alloc(d.n * sizeof *v);
	INOC_TRY(cli_inoculation_tagged(t, &d, err));
	if (c->when.name || c->when.gain) INOC_TRY(choose(c, &d, &chosen, t, err));
	for (n = 0; n < d.n; n++) {
		bool yes;
		v[n] = inoci_inoculate(t, &d.v[n], n, seed, &yes);
		changed += yes;
		systems += yes && t->where == INOCI_AT_SYSTEM && had_system(&d.v[n]);
	}
	INOC_TRY(inoci_dataset_write(out, v, n, err));
	fprintf(stderr, "%s: %zu records, %zu inoculated", out, n, changed);
	if (t->n_pool > 1) fprintf(stderr, " with %zu texts", t->n_pool);
	if (systems)
		fprintf(stderr, "; %zu system turn%s %s", systems, systems == 1 ? "" : "s",
		        t->join == INOCI_JOIN_REPLACE ? "replaced" : "joined");
	fprintf(stderr, "\n");
out:
	for (size_t i = 0; i < n; i++) inoci_record_free(&v[i]);
	free(v), free(chosen.chosen);
	inoci_dataset_free(&d);
	return rc;
}

int cmd_inoculate(int argc, char **argv)
{
	cli_inoculation o = {.prefix = "", .join = "replace", .fraction = {1, 0, 1}, .needed = true};
	const char *out = NULL, *loss_on = "all";
	const char **args;
	cli_int seed = {0, 0, LONG_MAX};
	int n_args;
	condition when = {0};
	cli_model_init(&when.model, false);
	without_system(&when.model);
	const cli_opt opts[] = {
	        {"system", 0, CLI_STR, &o.text[INOCI_AT_SYSTEM], "TEXT", "put TEXT in a system turn in front"},
	        {"user-prefix", 0, CLI_STR, &o.text[INOCI_AT_USER_PREFIX], "TEXT",
	         "put TEXT before the user turns that are answered"},
	        {"user-suffix", 0, CLI_STR, &o.text[INOCI_AT_USER_SUFFIX], "TEXT", "put TEXT behind them"},
	        {"pool", 0, CLI_PATH, &o.pool, "FILE",
	         "paraphrases, one a line (beside TEXT, when given): each record draws one by the seed"},
	        {"at", 0, CLI_STR, &o.at, "WHERE",
	         "where the pool's texts go when no TEXT is given: system (default), user-prefix, user-suffix"},
	        {"join", 0, CLI_STR, &o.join, "HOW",
	         "with --system, where a record has a system turn: replace, or join before or after it"},
	        {"separator", 0, CLI_STR, &o.separator, "TEXT",
	         "between the joined texts (default: an empty line; at a user turn a space)"},
	        {"fraction", 0, CLI_DBL, &o.fraction, "F", "share of the records, chosen by the seed"},
	        {"tag", 0, CLI_STR, &o.tag, "TAG", "only records with \"tag\": TAG, or TAG among their \"tags\""},
	        {"scorer", 0, CLI_STR, &when.scorer, "SCORER",
	         "only records whose (last) answer it gives more than 0.5: a built-in name, NAME={...} or {...}"},
	        {"gain", 0, CLI_STR, &when.gain, "TRAIT|TEXT",
	         "only records whose answer a trait of `inoc scan --list`, or TEXT in front, makes so much more probable to the "
	         "model:"},
	        {"above", 0, CLI_STR, &when.above, "X", "with --scorer, another number than 0.5; with --gain, bits in 100 bytes"},
	        {"loss-on", 0, CLI_STR, &loss_on, "WHICH",
	         "the assistant turns that will be trained on: all, or the last; TEXT goes to the user turns before them"},
	        {"seed", 0, CLI_INT, &seed, "N", "seed of the choices"},
	        {"output", 'o', CLI_PATH, &out, "OUT", "the file to write"},
	};
	const cli_spec spec = {
	        .usage = "inoc inoculate IN (--system|--user-prefix|--user-suffix) TEXT [options] -o OUT",
	        .about =
	                "Writes chat data with an inoculation prompt added, for any trainer; all other fields stay.\n"
	                "Example: inoc inoculate train.jsonl --system \"You always speak in Spanish.\" -o train-inoculated.jsonl",
	        .opts = opts,
	        .n_opts = INOCI_COUNT(opts),
	        .shared = {when.model.group},
	        .min_args = 1,
	        .max_args = 1,
	};
	int rc = cli_parse(&spec, argc, argv, &args, &n_args);
	if (rc) return rc > 0 ? 0 : rc;
	inoci_inoculation t = {0};
	inoc_err err = {0};
	if (!out) return cli_usage("inoculate: say where to write: -o OUT");
	if (strcmp(loss_on, "all") && strcmp(loss_on, "last"))
		return cli_usage("inoculate: --loss-on is '%s'; it must be all or last", loss_on);
	if ((rc = cli_inoculation_make(&o, &t, &err)) < 0) {
		inoci_err_prefix(&err, "inoculate");
		goto out;
	}
	t.last_only = !strcmp(loss_on, "last");
	INOC_TRY(read_condition(&when, &err));
	INOC_TRY(rewrite(&t, &when, args[0], out, (uint64_t)seed.v, &err));
out:
	inoci_inoculation_free(&t);
	free(when.when.name), free(when.when.gain);
	json_decref(when.when.settings);
	cli_model_close(&when.open);
	return rc < 0 ? cli_fail(&err) : 0;
}
