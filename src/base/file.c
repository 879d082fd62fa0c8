/* Files, paths, JSON lines, time, progress. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"

size_t inoci_utf8_valid_prefix(const char *str, size_t n)
{
	const unsigned char *s = (const unsigned char *)str;
	size_t i = 0;
	while (i < n) {
		unsigned char c = s[i];
		size_t len = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
		if (!len || i + len > n) return i;
		for (size_t k = 1; k < len; k++)
			if ((s[i + k] & 0xc0) != 0x80) return i;
		if ((c == 0xe0 && s[i + 1] < 0xa0) || (c == 0xed && s[i + 1] >= 0xa0) || (c == 0xf0 && s[i + 1] < 0x90) ||
		    (c == 0xf4 && s[i + 1] >= 0x90))
			return i;
		i += len;
	}
	return n;
}

const char *inoci_reason(int e)
{
	return e == EISDIR ? "it is a folder; give a file" : strerror(e);
}

static bool is_folder(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int inoci_file_read(const char *path, char **data, size_t *n, inoc_err *err)
{
	*data = NULL;
	*n = 0;
	FILE *f = fopen(path, "rb");
	if (!f) return inoci_err_set(err, INOC_E_IO, "%s: cannot be opened: %s", path, strerror(errno));
	inoci_buf b = {0};
	char chunk[65536];
	size_t got;
	while ((got = fread(chunk, 1, sizeof chunk, f)) > 0) inoci_buf_append(&b, chunk, got);
	if (ferror(f)) {
		int e = errno;
		fclose(f);
		inoci_buf_free(&b);
		return inoci_err_set(err, INOC_E_IO, "%s: cannot be read: %s", path, inoci_reason(e));
	}
	fclose(f);
	*n = b.len;
	*data = inoci_buf_take(&b);
	return 0;
}

int inoci_map_open(const char *path, inoci_map *out, inoc_err *err)
{
	struct stat st;
	*out = (inoci_map){0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return inoci_err_set(err, INOC_E_IO, "%s: cannot be opened: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return inoci_err_set(err, INOC_E_IO, "%s: cannot be opened: %s", path,
		                     is_folder(path) ? inoci_reason(EISDIR) : "not a regular file");
	}
	if (st.st_size == 0) {
		close(fd);
		return inoci_err_set(err, INOC_E_FORMAT, "%s: the file is empty", path);
	}
	void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	int e = errno;
	close(fd);
	if (p == MAP_FAILED) return inoci_err_set(err, INOC_E_IO, "%s: cannot be mapped: %s", path, strerror(e));
	*out = (inoci_map){.data = p, .n = (size_t)st.st_size};
	return 0;
}

void inoci_map_close(inoci_map *m)
{
	if (m->data) munmap((void *)(uintptr_t)m->data, m->n);
	*m = (inoci_map){0};
}

void inoci_map_forget(const inoci_map *m)
{
	if (m->data) (void)madvise((void *)(uintptr_t)m->data, m->n, MADV_DONTNEED);
}

int inoci_mkdirs(const char *path, inoc_err *err)
{
	char *p = inoci_strdup(path);
	int rc = 0;
	for (char *c = p + 1; rc == 0; c++) {
		if (*c != '/' && *c) continue;
		char keep = *c;
		*c = 0;
		if (mkdir(p, 0777) < 0 && errno != EEXIST)
			rc = inoci_err_set(err, INOC_E_IO, "%s: folder cannot be made: %s", p, strerror(errno));
		*c = keep;
		if (!keep) break;
	}
	free(p);
	return rc;
}

char *inoci_path_join(const char *a, const char *b)
{
	if (!a || !*a || b[0] == '/') return inoci_strdup(b);
	return inoci_asprintf("%s%s%s", a, a[strlen(a) - 1] == '/' ? "" : "/", b);
}

char *inoci_path_dir(const char *path)
{
	const char *s = strrchr(path, '/');
	if (!s) return inoci_strdup(".");
	return s == path ? inoci_strdup("/") : inoci_strndup(path, (size_t)(s - path));
}

bool inoci_path_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

char *inoci_cache_path(const char *sub)
{
	const char *x = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	char *base = x && x[0] == '/' ? inoci_asprintf("%s/inoc", x) : inoci_asprintf("%s/.cache/inoc", home ? home : "/tmp");
	if (!sub) return base;
	char *p = inoci_path_join(base, sub);
	free(base);
	return p;
}

int inoci_jsonl_parse(const char *path, const char *data, size_t n, inoci_jsonl_fn *f, void *ctx, inoc_err *err)
{
	int rc = 0, line = 0, seen = 0;
	size_t ok = inoci_utf8_valid_prefix(data, n);
	if (ok < n) {
		for (size_t i = 0; i < ok; i++) line += data[i] == '\n';
		rc = inoci_err_set(err, INOC_E_FORMAT, "%s:%d: not valid UTF-8 at byte %zu of the file; save it as UTF-8", path,
		                   line + 1, ok);
		goto out;
	}
	for (const char *p = data, *end = data + n; p < end;) {
		const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end;
		line++;
		size_t len = (size_t)(stop - p);
		if (line == 1 && len >= 3 && !memcmp(p, "\xef\xbb\xbf", 3)) p += 3, len -= 3;
		size_t blank = 0;
		while (blank < len && (p[blank] == ' ' || p[blank] == '\t' || p[blank] == '\r')) blank++;
		if (blank < len) {
			json_error_t je;
			json_t *o = json_loadb(p, len, JSON_REJECT_DUPLICATES, &je);
			if (!o) {
				rc = inoci_err_set(err, INOC_E_FORMAT,
				                   "%s:%d: not JSON: %s (column %d); each line must be one JSON object", path,
				                   line, je.text, je.column);
				goto out;
			}
			if (!json_is_object(o)) {
				json_decref(o);
				rc = inoci_err_set(err, INOC_E_FORMAT,
				                   "%s:%d: not a JSON object; each line must be one JSON object", path, line);
				goto out;
			}
			rc = f(ctx, o, line, err);
			json_decref(o);
			if (rc < 0) goto out;
			seen++;
		}
		p = stop + 1;
	}
	if (!seen) rc = inoci_err_set(err, INOC_E_FORMAT, "%s: no records: the file is empty", path);
out:
	return rc < 0 ? rc : 0;
}

int inoci_jsonl_read(const char *path, inoci_jsonl_fn *f, void *ctx, inoc_err *err)
{
	char *data;
	size_t n;
	int rc = inoci_file_read(path, &data, &n, err);
	if (rc < 0) return rc;
	rc = inoci_jsonl_parse(path, data, n, f, ctx, err);
	free(data);
	return rc;
}

double inoci_now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

char *inoci_time_iso(void)
{
	time_t t = time(NULL);
	struct tm tm;
	char s[32];
	gmtime_r(&t, &tm);
	strftime(s, sizeof s, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return inoci_strdup(s);
}

void inoci_tick(const inoci_progress *p, const char *what, double done, double total, const char *unit, const char *detail)
{
	if (p && p->tick) p->tick(p->ctx, what, done, total, unit, detail);
}

void inoci_note(const inoci_progress *p, const char *fmt, ...)
{
	if (!p || !p->note) return;
	va_list ap;
	va_start(ap, fmt);
	inoci_buf b = {0};
	inoci_buf_vprintf(&b, fmt, ap);
	va_end(ap);
	p->note(p->ctx, b.data ? b.data : "");
	inoci_buf_free(&b);
}

bool inoci_stopped(const inoci_progress *p)
{
	return p && p->stop && *p->stop;
}
