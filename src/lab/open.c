/* Opening what a person names, and the experiment that a store has recorded. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lab/internal.h"

int inoci_store_no_experiment(inoci_store *s, const char *name, inoc_err *err)
{
	sqlite3_stmt *st;
	inoci_buf known = {0};
	int rc = inoci_store_query(s, &st, err, "SELECT name FROM experiment ORDER BY updated DESC, name LIMIT 20", "");
	if (rc < 0) return rc;
	while ((rc = inoci_store_step(s, st, err)) > 0)
		inoci_buf_printf(&known, "%s%s", known.len ? ", " : "", (const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	if (rc == 0)
		rc = inoci_err_set(err, INOC_E_USAGE, "%s: there is no experiment '%.60s' in this store; it holds: %s", s->path,
		                   name, known.len ? known.data : "none");
	inoci_buf_free(&known);
	return rc;
}

int inoci_store_file(const char *what, char **path, inoc_err *err)
{
	struct stat st;
	if (stat(what, &st) < 0 || !S_ISDIR(st.st_mode)) {
		*path = inoci_strdup(what);
		return 0;
	}
	*path = inoci_path_join(what, "store.db");
	return inoci_path_exists(*path) ? 0
	                                : inoci_err_set(err, INOC_E_IO,
	                                                "%s: there is no store in this folder (store.db); `inoc run` makes "
	                                                "it, in its file's output folder: out/NAME unless given",
	                                                what);
}

int inoci_store_experiment(inoci_store *s, const char *name, inoci_experiment **out, inoc_err *err)
{
	sqlite3_stmt *st = NULL;
	json_t *sets = NULL;
	const char **v = NULL;
	*out = NULL;
	int rc = inoci_store_query(
	        s, &st, err,
	        "SELECT path, text, sets FROM experiment WHERE ?1 IS NULL OR name = ?1 ORDER BY path IS NULL, updated DESC, name"
	        " LIMIT 1",
	        "s", name);
	if (rc < 0) return rc;
	INOC_TRY(inoci_store_step(s, st, err));
	if (rc == 0) {
		rc = name ? inoci_store_no_experiment(s, name, err)
		          : inoci_err_set(err, INOC_E_STORE, "%s: no experiment in this store", s->path);
		goto out;
	}
	const char *t = (const char *)sqlite3_column_text(st, 2);
	sets = json_loads(t ? t : "[]", 0, NULL);
	size_t n = json_array_size(sets);
	v = inoci_alloc((n + 1) * sizeof *v);
	for (size_t i = 0; i < n; i++)
		v[i] = json_string_value(json_array_get(sets, i)) ? json_string_value(json_array_get(sets, i)) : "";
	const char *path = (const char *)sqlite3_column_text(st, 0);
	const void *text = sqlite3_column_blob(st, 1);
	rc = inoci_experiment_parse(path ? path : "inoc eval", text ? text : "", (size_t)sqlite3_column_bytes(st, 1), v, n, out,
	                            err);
	if (rc < 0) inoci_err_prefix(err, "%s: the experiment as recorded", s->path);
out:
	free(v);
	json_decref(sets);
	sqlite3_finalize(st);
	return rc < 0 ? rc : 0;
}

static bool ends_with(const char *s, const char *tail)
{
	size_t n = strlen(s), k = strlen(tail);
	return n >= k && !strcmp(s + n - k, tail);
}

int inoci_store_open_any(const char *what, const char *name, inoci_store **s, inoci_experiment **e, inoc_err *err)
{
	inoci_experiment *file = NULL;
	char *path = NULL;
	int rc;
	*s = NULL;
	*e = NULL;
	if (ends_with(what, ".yaml") || ends_with(what, ".yml")) {
		INOC_TRY(inoci_experiment_read(what, NULL, 0, &file, err));
		path = inoci_path_join(file->out, "store.db");
		if (!name) name = file->name;
	} else {
		INOC_TRY(inoci_store_file(what, &path, err));
	}
	INOC_TRY(inoci_store_open(path, false, 0, NULL, s, err));
	INOC_TRY(inoci_store_experiment(*s, name, e, err));
out:
	if (rc < 0) {
		inoci_store_free(*s);
		*s = NULL;
	}
	inoci_experiment_free(file);
	free(path);
	return rc < 0 ? rc : 0;
}
