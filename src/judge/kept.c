/* kept: replies in a file, for scoring without a store. A line is written by one write() to a file opened to append, so that
 * processes do not cut into each other's lines; one that was cut, by a kill or a full disk, is passed over when read, and the
 * next one begins on a line of its own. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "judge/internal.h"

struct inoci_judge_file {
	char *path;
	int fd;
	bool cut;     /* the file does not end with a line's end */
	json_t *kept; /* key -> reply's text */
};

static void take_line(json_t *kept, const char *line, size_t n)
{
	json_t *j = json_loadb(line, n, 0, NULL), *k = json_object_get(j, "key"), *r = json_object_get(j, "reply");
	if (json_is_string(k) && json_is_string(r)) json_object_set(kept, json_string_value(k), r);
	json_decref(j);
}

int inoci_judge_file_open(const char *path, inoci_judge_file **out, inoc_err *err)
{
	inoci_judge_file *f = inoci_alloc(sizeof *f);
	char *dir = NULL, *text = NULL;
	size_t n = 0;
	int rc;
	*out = NULL;
	f->fd = -1;
	f->kept = json_object();
	f->path = path ? inoci_strdup(path) : inoci_cache_path("judged.jsonl");
	dir = inoci_path_dir(f->path);
	INOC_TRY(inoci_mkdirs(dir, err));
	f->fd = open(f->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (f->fd < 0) {
		rc = inoci_err_set(err, INOC_E_IO, "%s: what judges answer cannot be kept there: %s", f->path,
		                   inoci_reason(errno));
		goto out;
	}
	INOC_TRY(inoci_file_read(f->path, &text, &n, err));
	for (char *line = text, *end; line < text + n; line = end) {
		char *nl = memchr(line, '\n', (size_t)(text + n - line));
		end = nl ? nl + 1 : text + n;
		take_line(f->kept, line, (size_t)(end - line));
		f->cut = !nl;
	}
	*out = f;
	f = NULL;
out:
	inoci_judge_file_free(f);
	free(dir), free(text);
	return rc < 0 ? rc : 0;
}

void inoci_judge_file_free(inoci_judge_file *f)
{
	if (!f) return;
	if (f->fd >= 0) close(f->fd);
	json_decref(f->kept);
	free(f->path);
	free(f);
}

static int recall(void *ctx, const char *key, char **reply, inoc_err *err)
{
	inoci_judge_file *f = ctx;
	const json_t *r = json_object_get(f->kept, key);
	(void)err;
	*reply = r ? inoci_strdup(json_string_value(r)) : NULL;
	return r != NULL;
}

static int remember(void *ctx, const char *key, const char *reply, inoc_err *err)
{
	inoci_judge_file *f = ctx;
	json_t *j = json_pack("{s:s, s:s}", "key", key, "reply", reply);
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	INOC_BUG_IF(!text); /* both are text of ours */
	char *line = inoci_asprintf("%s%s\n", f->cut ? "\n" : "", text);
	size_t n = strlen(line);
	ssize_t wrote = write(f->fd, line, n);
	int rc = 0;
	if (wrote != (ssize_t)n)
		rc = inoci_err_set(err, INOC_E_IO, "%s: what a judge answered could not be kept: %s", f->path,
		                   wrote < 0 ? inoci_reason(errno) : "the disk is full");
	f->cut = wrote > 0 && wrote != (ssize_t)n;
	json_object_set_new(f->kept, key, json_string(reply));
	json_decref(j);
	free(text), free(line);
	return rc;
}

inoci_judge_memory inoci_judge_file_memory(inoci_judge_file *f)
{
	return (inoci_judge_memory){.recall = recall, .remember = remember, .ctx = f};
}
