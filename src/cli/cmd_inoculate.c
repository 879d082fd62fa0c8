/* inoc inoculate IN -o OUT: the rewritten data, for any trainer. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "data/data.h"

static void add_text(inoci_inoculation *t, const char *s, size_t n)
{
	t->pool = inoci_realloc(t->pool, (t->n_pool + 1) * sizeof *t->pool);
	t->pool[t->n_pool++] = inoci_strndup(s, n);
}

/* One text a line; blank lines are passed over. */
static int read_pool(const char *path, inoci_inoculation *t, inoc_err *err)
{
	char *data;
	size_t n, before = t->n_pool;
	int rc = inoci_file_read(path, &data, &n, err);
	if (rc < 0) return rc;
	size_t ok = inoci_utf8_valid_prefix(data, n);
	if (ok < n || memchr(data, 0, n)) {
		free(data);
		return inoci_err_set(err, INOC_E_FORMAT, "%s: not UTF-8 text; write one prompt a line", path);
	}
	char *p = n >= 3 && !memcmp(data, "\xef\xbb\xbf", 3) ? data + 3 : data, *save = NULL;
	for (char *line = strtok_r(p, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save))
		if (line[strspn(line, " \t")]) add_text(t, line, strlen(line));
	free(data);
	if (t->n_pool == before) return inoci_err_set(err, INOC_E_FORMAT, "%s: no prompts; write one a line", path);
	return 0;
}

static bool parse_join(const char *s, inoci_join *out)
{
	static const char *const names[] = {"replace", "before", "after"};
	for (int i = 0; i < 3; i++) {
		if (strcmp(s, names[i])) continue;
		*out = (inoci_join)i;
		return true;
	}
	return false;
}

static bool parse_where(const char *s, inoci_where *out)
{
	static const char *const names[] = {"system", "user-prefix", "user-suffix"};
	for (int i = 0; i < 3; i++) {
		if (strcmp(s, names[i])) continue;
		*out = (inoci_where)i;
		return true;
	}
	return false;
}

static int rewrite(const inoci_inoculation *t, const char *in, const char *out, uint64_t seed, inoc_err *err)
{
	inoci_dataset d;
	size_t changed = 0, tagged = 0, n = 0;
	inoci_record *v = NULL;
	int rc = inoci_dataset_read(in, 0, &d, err);
	if (rc < 0) return rc;
	v = inoci_alloc(d.n * sizeof *v);
	for (n = 0; n < d.n; n++) {
		bool yes;
		v[n] = inoci_inoculate(t, &d.v[n], n, seed, &yes);
		changed += yes;
		tagged += t->tag && inoci_record_has_tag(&d.v[n], t->tag);
	}
	if (t->tag && !tagged) {
		rc = inoci_err_set(
		        err, INOC_E_CHECK,
		        "%s: no record has \"tag\": \"%s\" (or it in \"tags\"), so nothing would change; nothing was written", in,
		        t->tag);
		goto out;
	}
	INOC_TRY(inoci_dataset_write(out, v, n, err));
	fprintf(stderr, "%s: %zu records, %zu inoculated", out, n, changed);
	if (t->n_pool > 1) fprintf(stderr, " with %zu texts", t->n_pool);
	fprintf(stderr, "\n");
out:
	for (size_t i = 0; i < n; i++) inoci_record_free(&v[i]);
	free(v);
	inoci_dataset_free(&d);
	return rc;
}

int cmd_inoculate(int argc, char **argv)
{
	const char *text[3] = {NULL, NULL, NULL}, *pool = NULL, *at = NULL, *tag = NULL, *join = "replace", *separator = NULL,
	           *out = NULL;
	const char **args;
	cli_dbl fraction = {1, 0, 1};
	cli_int seed = {0, 0, LONG_MAX};
	int n_args;
	const cli_opt opts[] = {
	        {"system", 0, CLI_STR, &text[INOCI_AT_SYSTEM], "TEXT", "put TEXT in a system turn in front"},
	        {"user-prefix", 0, CLI_STR, &text[INOCI_AT_USER_PREFIX], "TEXT", "put TEXT before the last user turn"},
	        {"user-suffix", 0, CLI_STR, &text[INOCI_AT_USER_SUFFIX], "TEXT", "put TEXT behind the last user turn"},
	        {"pool", 0, CLI_PATH, &pool, "FILE",
	         "paraphrases, one a line (beside TEXT, when given): each record draws one by the seed"},
	        {"at", 0, CLI_STR, &at, "WHERE",
	         "where the pool's texts go when no TEXT is given: system (default), user-prefix, user-suffix"},
	        {"join", 0, CLI_STR, &join, "HOW",
	         "with --system, where a record has a system turn: replace, or join before or after it"},
	        {"separator", 0, CLI_STR, &separator, "TEXT",
	         "between the joined texts (default: an empty line; at a user turn a space)"},
	        {"fraction", 0, CLI_DBL, &fraction, "F", "share of the records, chosen by the seed"},
	        {"tag", 0, CLI_STR, &tag, "TAG", "only records with \"tag\": TAG, or TAG among their \"tags\""},
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
	inoci_inoculation t = {.fraction = fraction.v, .where = INOCI_AT_SYSTEM};
	int given = 0;
	inoc_err err = {0};
	if (!out) return cli_usage("inoculate: say where to write: -o OUT");
	if (!parse_join(join, &t.join)) return cli_usage("inoculate: --join is '%s'; it must be replace, before or after", join);
	if (at && !parse_where(at, &t.where))
		return cli_usage("inoculate: --at is '%s'; it must be system, user-prefix or user-suffix", at);
	for (int i = 0; i < 3; i++) {
		if (!text[i]) continue;
		given++;
		if (at && t.where != (inoci_where)i) given++;
		t.where = (inoci_where)i;
	}
	if (given > 1) return cli_usage("inoculate: give only one of --system, --user-prefix, --user-suffix (and no other --at)");
	if (!given && !pool)
		return cli_usage("inoculate: no text; give --system, --user-prefix or --user-suffix TEXT, or --pool FILE");
	if (given) add_text(&t, text[t.where], strlen(text[t.where]));
	t.tag = tag ? inoci_strdup(tag) : NULL;
	t.separator = separator ? inoci_strdup(separator) : NULL;
	if (pool) INOC_TRY(read_pool(pool, &t, &err));
	INOC_TRY(inoci_inoculation_check(&t, &err));
	INOC_TRY(rewrite(&t, args[0], out, (uint64_t)seed.v, &err));
out:
	inoci_inoculation_free(&t);
	return rc < 0 ? cli_fail(&err) : 0;
}
