/* inoc inoculate IN -o OUT: the rewritten data, for any trainer. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "data/data.h"

/* How many system turns with a text were there to be replaced or joined. */
static bool had_system(const inoci_record *r)
{
	return r->n_msgs && !strcmp(r->msgs[0].role, "system") && *r->msgs[0].content;
}

static int rewrite(const inoci_inoculation *t, const char *in, const char *out, uint64_t seed, inoc_err *err)
{
	inoci_dataset d;
	size_t changed = 0, systems = 0, n = 0;
	inoci_record *v = NULL;
	int rc = inoci_dataset_read(in, 0, &d, err);
	if (rc < 0) return rc;
	v = inoci_alloc(d.n * sizeof *v);
	INOC_TRY(cli_inoculation_tagged(t, &d, err));
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
	free(v);
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
	INOC_TRY(rewrite(&t, args[0], out, (uint64_t)seed.v, &err));
out:
	inoci_inoculation_free(&t);
	return rc < 0 ? cli_fail(&err) : 0;
}
