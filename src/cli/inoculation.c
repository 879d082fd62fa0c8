/* The options that describe an inoculation, for `inoc inoculate` and `inoc train`. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static const char *const places[] = {"system", "user-prefix", "user-suffix"}, *const joins[] = {"replace", "before", "after"};

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

static int index_of(const char *s, const char *const *names)
{
	for (int i = 0; i < 3; i++)
		if (!strcmp(s, names[i])) return i;
	return -1;
}

/* An error where a text is needed, or an option says how one is put in. */
static int no_text(const cli_inoculation *o, int join, inoc_err *err)
{
	const char *how = o->fraction.v != 1           ? "--fraction"
	                  : join != INOCI_JOIN_REPLACE ? "--join"
	                  : o->at                      ? "--at"
	                  : o->tag                     ? "--tag"
	                  : o->separator               ? "--separator"
	                                               : NULL;
	if (!o->needed && !how) return 0;
	return inoci_err_set(err, INOC_E_USAGE, "%s%s; give --%ssystem, --%suser-prefix or --%suser-suffix TEXT, or --pool FILE",
	                     how ? how : "no text", how ? " says how a prompt is put in, and there is none" : "", o->prefix,
	                     o->prefix, o->prefix);
}

int cli_inoculation_make(const cli_inoculation *o, inoci_inoculation *t, inoc_err *err)
{
	int at = o->at ? index_of(o->at, places) : INOCI_AT_SYSTEM, join = index_of(o->join, joins), given = 0;
	*t = (inoci_inoculation){.fraction = o->fraction.v};
	if (join < 0) return inoci_err_set(err, INOC_E_USAGE, "--join is '%s'; it must be replace, before or after", o->join);
	if (at < 0) return inoci_err_set(err, INOC_E_USAGE, "--at is '%s'; it must be system, user-prefix or user-suffix", o->at);
	for (int i = 0; i < 3; i++) {
		if (!o->text[i]) continue;
		given += 1 + (o->at && at != i);
		at = i;
	}
	if (given > 1)
		return inoci_err_set(err, INOC_E_USAGE,
		                     "give only one of --%ssystem, --%suser-prefix, --%suser-suffix (and no other --at)",
		                     o->prefix, o->prefix, o->prefix);
	if (!given && !o->pool) return no_text(o, join, err);
	t->where = (inoci_where)at;
	t->join = (inoci_join)join;
	t->tag = o->tag ? inoci_strdup(o->tag) : NULL;
	t->separator = o->separator ? inoci_strdup(o->separator) : NULL;
	if (given) add_text(t, o->text[at], strlen(o->text[at]));
	int rc = o->pool ? read_pool(o->pool, t, err) : 0;
	return rc < 0 ? rc : inoci_inoculation_check(t, err);
}

int cli_inoculation_tagged(const inoci_inoculation *t, const inoci_dataset *d, inoc_err *err)
{
	size_t n = 0;
	for (size_t i = 0; t->tag && i < d->n; i++) n += inoci_record_has_tag(&d->v[i], t->tag);
	if (!t->tag || n) return 0;
	return inoci_err_set(
	        err, INOC_E_CHECK,
	        "%s: no record has \"tag\": \"%s\" (or it in \"tags\"), so nothing would change; nothing was written", d->path,
	        t->tag);
}
