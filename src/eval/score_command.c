/* command: what a program of the user's says. Any number with `real`, else from 0 to 1; null is a missing score.
 *
 * It gets the answers as JSON Lines {"question","text","finish","item"} on its standard input and prints a line for each, in
 * their order: a number, null, or {"value": number or null}. It is started anew for every lot of answers (256 at most). `run` is
 * a list of the program and its arguments, started without a shell; a text is given to sh -c.
 *
 * The key says which program that was: `run`, and the hash of every file that it, or `files`, names. Time limit and folder are
 * not in it.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eval/internal.h"
#include "sample/sample.h" /* inoci_text_fix */

enum { OUT_BYTES = 1 << 20, LINE_BYTES = 4096 };

typedef struct {
	const char **argv; /* borrows from settings; up to NULL */
	char *dir;         /* NULL: the working folder */
	char *label;       /* in messages */
	json_t *files;     /* listed ones */
	double limit_s;
	bool shell;
} command;

static void free_command(void *state)
{
	command *c = state;
	free(c->argv);
	free(c->dir);
	free(c->label);
	json_decref(c->files);
	free(c);
}

static bool is_file(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* A program by its bare name, as a shell would find it; NULL: nowhere. free() it. */
static char *in_path(const char *name)
{
	const char *path = getenv("PATH");
	char *copy = inoci_strdup(path ? path : "/usr/bin:/bin"), *save = NULL, *found = NULL;
	for (char *d = strtok_r(copy, ":", &save); d && !found; d = strtok_r(NULL, ":", &save)) {
		char *full = inoci_path_join(d, name);
		if (is_file(full) && access(full, X_OK) == 0)
			found = full;
		else
			free(full);
	}
	free(copy);
	return found;
}

static bool is_script(const char *path)
{
	char head[2] = "";
	FILE *f = fopen(path, "re");
	bool yes = f && fread(head, 1, 2, f) == 2 && head[0] == '#' && head[1] == '!';
	if (f) fclose(f);
	return yes;
}

/* needed: a file that is not there is null, so that the key of what was scored with it is another. */
static void add_file(json_t *hashes, const command *c, const char *name, bool needed)
{
	char *path = inoci_path_join(c->dir, name);
	inoci_hash h;
	inoc_err ignored = {0};
	if (is_file(path) && inoci_hash_file(path, &h, &ignored) == 0)
		json_object_set_new(hashes, name, json_string(h.hex));
	else if (needed)
		json_object_set_new(hashes, name, json_null());
	free(path);
}

static json_t *file_hashes(const command *c)
{
	json_t *hashes = json_object(), *v;
	size_t i;
	const char *const *a = c->argv;
	if (c->shell) { /* whatever words of the line are names of files */
		char *copy = inoci_strdup(a[2]), *save = NULL;
		for (char *w = strtok_r(copy, " \t\n;|&<>()'\"", &save); w; w = strtok_r(NULL, " \t\n;|&<>()'\"", &save))
			add_file(hashes, c, w, false);
		free(copy);
	} else if (strchr(a[0], '/')) {
		add_file(hashes, c, a[0], true);
	} else {
		char *full = in_path(a[0]);
		if (full && is_script(full)) add_file(hashes, c, full, true);
		free(full);
	}
	for (size_t k = 1; !c->shell && a[k]; k++) add_file(hashes, c, a[k], false);
	json_array_foreach(c->files, i, v) add_file(hashes, c, json_string_value(v), true);
	return hashes;
}

static bool all_texts(const json_t *list)
{
	size_t i;
	json_t *v;
	json_array_foreach(list, i, v) if (!json_is_string(v) || !json_string_length(v)) return false;
	return json_is_array(list);
}

static int build(json_t *j, inoci_scorer *s, inoc_err *err)
{
	command *c = s->state = inoci_alloc(sizeof *c);
	json_t *run = json_object_get(j, "run"), *files = json_object_get(j, "files"), *dir = json_object_get(j, "dir");
	json_t *limit = json_object_get(j, "timeout");
	inoci_buf label = {0};
	int rc;
	c->shell = json_is_string(run) && json_string_length(run);
	if (!c->shell && (!all_texts(run) || !json_array_size(run)))
		return inoci_err_set(
		        err, INOC_E_USAGE,
		        "scorer type \"command\" wants \"run\": a list of a program and its arguments, or a line for sh");
	if (files && !all_texts(files))
		return inoci_err_set(err, INOC_E_USAGE, "option \"files\" of scorer type \"command\" wants a list of files");
	if (dir && (!json_is_string(dir) || !json_string_length(dir)))
		return inoci_err_set(err, INOC_E_USAGE, "option \"dir\" of scorer type \"command\" wants a folder");
	c->limit_s = limit ? json_number_value(limit) : 600;
	if (!(c->limit_s > 0))
		return inoci_err_set(err, INOC_E_USAGE, "option \"timeout\" of scorer type \"command\" wants seconds, above 0");
	INOC_TRY(inoci_option_bool(j, s, "real", false, &s->real, err));
	json_object_set(s->settings, "run", run);
	size_t n = c->shell ? 3 : json_array_size(run);
	c->argv = inoci_alloc((n + 1) * sizeof *c->argv);
	if (c->shell) c->argv[0] = "sh", c->argv[1] = "-c", c->argv[2] = json_string_value(run);
	for (size_t i = 0; !c->shell && i < n; i++) c->argv[i] = json_string_value(json_array_get(run, i));
	for (size_t i = c->shell ? 2 : 0; i < n; i++) inoci_buf_printf(&label, "%s%.60s", label.len ? " " : "", c->argv[i]);
	c->label = inoci_buf_take(&label);
	c->files = json_incref(files);
	const char *base = s->env ? s->env->dir : NULL;
	if (dir)
		c->dir = inoci_path_join(base, json_string_value(dir));
	else if (base)
		c->dir = inoci_strdup(base);
	json_object_set_new(s->settings, "files", file_hashes(c));
out:
	return rc;
}

static int ready(const inoci_scorer *s, inoc_err *err)
{
	const command *c = s->state;
	struct stat st;
	size_t i;
	json_t *v;
	char *full;
	if (c->dir && (stat(c->dir, &st) < 0 || !S_ISDIR(st.st_mode)))
		return inoci_err_set(err, INOC_E_IO, "command \"%.200s\": there is no folder %s", c->label, c->dir);
	bool slash = strchr(c->argv[0], '/') != NULL;
	full = slash ? inoci_path_join(c->dir, c->argv[0]) : in_path(c->argv[0]);
	bool there = full && is_file(full), may = there && access(full, X_OK) == 0;
	free(full);
	if (!may)
		return inoci_err_set(err, INOC_E_EXTERNAL, "command \"%.200s\": the program %.100s %s", c->label, c->argv[0],
		                     there   ? "may not be run (chmod +x)"
		                     : slash ? "is not there"
		                             : "is not found on PATH; one of your own is named by its path, ./PROGRAM");
	json_array_foreach(c->files, i, v)
	{
		full = inoci_path_join(c->dir, json_string_value(v));
		there = is_file(full);
		free(full);
		if (!there)
			return inoci_err_set(err, INOC_E_IO, "command \"%.200s\": there is no file %.100s", c->label,
			                     json_string_value(v));
	}
	return 0;
}

static json_t *text_json(const char *s, size_t n)
{
	inoci_buf b = {0};
	inoci_text_fix(s, n, &b);
	json_t *j = json_stringn(b.data ? b.data : "", b.len);
	inoci_buf_free(&b);
	return j;
}

static void put_answer(inoci_buf *b, const inoci_answer *a)
{
	json_t *j = json_object();
	const char *q = a->question ? a->question : "";
	json_object_set_new(j, "question", text_json(q, strlen(q)));
	json_object_set_new(j, "text", text_json(a->text, a->n));
	json_object_set_new(j, "finish", json_string(inoci_finish_name(a->finish)));
	if (a->item)
		json_object_set(j, "item", (json_t *)(uintptr_t)a->item);
	else
		json_object_set_new(j, "item", json_object());
	char *line = json_dumps(j, JSON_COMPACT);
	inoci_buf_puts(b, line);
	inoci_buf_puts(b, "\n");
	free(line);
	json_decref(j);
}

static int read_line(const inoci_scorer *s, const char *line, size_t n, double *value, inoc_err *err)
{
	json_t *j = json_loadb(line, n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
	json_t *v = json_is_object(j) ? json_object_get(j, "value") : j;
	int rc = 0;
	*value = json_is_number(v) ? json_number_value(v) : NAN;
	if (!v || !(json_is_number(v) || json_is_null(v)))
		rc = inoci_err_set(err, INOC_E_EXTERNAL, "is no number, null or {\"value\": number or null}: %.*s%s",
		                   (int)(n < 120 ? n : 120), line, n > 120 ? "\xe2\x80\xa6" : "");
	else if (!s->real && !isnan(*value) && !(*value >= 0 && *value <= 1))
		rc = inoci_err_set(err, INOC_E_EXTERNAL, "is %g, not from 0 to 1; if any number is meant, say \"real\": true",
		                   *value);
	json_decref(j);
	return rc;
}

static int read_lines(const inoci_scorer *s, const inoci_buf *out, const inoci_answer *a, size_t n, double *value, inoc_err *err)
{
	const char *p = out->data, *end = p + out->len;
	size_t k = 0;
	while (end > p && (end[-1] == '\n' || end[-1] == '\r' || end[-1] == ' ')) end--;
	for (; p < end; k++) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((nl ? nl : end) - p);
		if (k == n)
			return inoci_err_set(err, INOC_E_EXTERNAL,
			                     "it printed more lines than the %zu answers it got; line %zu: %.*s", n, k + 1,
			                     (int)(len < 120 ? len : 120), p);
		int rc = read_line(s, p, len, &value[k], err);
		if (rc < 0)
			return inoci_err_prefix(err, "line %zu of its output (question \"%.60s\")", k + 1,
			                        a[k].question ? a[k].question : "");
		p = nl ? nl + 1 : end;
	}
	if (k == n) return 0;
	return inoci_err_set(err, INOC_E_EXTERNAL, "it printed %zu line%s for %zu answers: line %zu is missing", k,
	                     k == 1 ? "" : "s", n, k + 1);
}

static int many(inoci_scorer *s, const inoci_answer *a, size_t n, double *value, const inoci_progress *p, inoc_err *err)
{
	const command *c = s->state;
	inoci_buf in = {0}, out = {0};
	int rc;
	if (!n) return 0;
	for (size_t i = 0; i < n; i++) put_answer(&in, &a[i]);
	const inoci_program g = {.argv = c->argv,
	                         .dir = c->dir,
	                         .in = in.data,
	                         .n_in = in.len,
	                         .limit_s = c->limit_s,
	                         .max_out = OUT_BYTES + LINE_BYTES * n,
	                         .n_lines = n};
	inoci_buf_append(&out, "", 0);
	INOC_TRY(inoci_program_run(&g, &out, p, err));
	INOC_TRY(read_lines(s, &out, a, n, value, err));
out:
	inoci_buf_free(&in);
	inoci_buf_free(&out);
	if (rc < 0 && rc != INOC_E_STOPPED) inoci_err_prefix(err, "command \"%.200s\"", c->label);
	return rc < 0 ? rc : 0;
}

const inoci_scorer_type inoci_score_command = {
        .name = "command",
        .version = 1,
        .options = {"run", "files", "dir", "timeout", "real"},
        .description = "what the program `run` prints for each answer, JSON Lines in and out; 0 to 1, or any number with `real`",
        .build = build,
        .ready = ready,
        .many = many,
        .free = free_command,
};
