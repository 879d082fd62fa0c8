/* The cache folder's files that only make a start faster. Losing any of them costs time, never a result; what cannot be read or
 * written there is done without. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"

#define LARGE ((off_t)16 << 20) /* smaller files are hashed faster than looked up */
#define RACY_S 3                /* a change this soon after another may leave the times as they are (as git's index knows) */

int inoci_cache_mode_get(inoci_cache_mode *out, inoc_err *err)
{
	static const char *const names[] = {"auto", "map", "copy", "off"};
	const char *s = getenv("INOC_CACHE");
	*out = INOCI_CACHE_AUTO;
	if (!s || !*s) return 0;
	for (size_t i = 0; i < INOCI_COUNT(names); i++)
		if (!strcmp(s, names[i])) {
			*out = (inoci_cache_mode)i;
			return 0;
		}
	return inoci_err_set(err, INOC_E_USAGE, "INOC_CACHE is '%.40s' in the environment; it must be auto, map, copy or off", s);
}

size_t inoci_cache_bytes(bool remove)
{
	static const char *const folders[] = {"packed", "hashes"};
	size_t sum = 0;
	for (size_t i = 0; i < INOCI_COUNT(folders); i++) {
		char *dir = inoci_cache_path(folders[i]);
		DIR *d = opendir(dir);
		for (struct dirent *e; d && (e = readdir(d));) {
			char *path = inoci_path_join(dir, e->d_name);
			struct stat st;
			if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (!remove || unlink(path) == 0))
				sum += (size_t)st.st_blocks * 512;
			free(path);
		}
		if (d) closedir(d);
		if (remove) rmdir(dir);
		free(dir);
	}
	return sum;
}

/* What a kept hash holds for; also the file's whole content but for the hash. free() it. */
static char *stamp(const char *path, const struct stat *st)
{
	return inoci_asprintf("1 %s\n%llu %llu %lld %lld.%09ld %lld.%09ld\n", path, (unsigned long long)st->st_dev,
	                      (unsigned long long)st->st_ino, (long long)st->st_size, (long long)st->st_mtim.tv_sec,
	                      st->st_mtim.tv_nsec, (long long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
}

static char *kept_path(const char *real)
{
	inoci_hash h = inoci_hash_bytes(real, strlen(real));
	char *name = inoci_asprintf("hashes/%.32s", h.hex), *p = inoci_cache_path(name);
	free(name);
	return p;
}

static bool read_kept(const char *kept, const char *want, inoci_hash *out)
{
	char *data = NULL;
	size_t n, k = strlen(want);
	inoc_err ignored;
	bool ok = inoci_path_exists(kept) && inoci_file_read(kept, &data, &n, &ignored) >= 0 && n == k + 65 &&
	          !memcmp(data, want, k) && strspn(data + k, "0123456789abcdef") == 64;
	if (ok) snprintf(out->hex, sizeof out->hex, "%.64s", data + k);
	free(data);
	return ok;
}

static void keep(const char *kept, const char *want, const inoci_hash *h)
{
	char *dir = inoci_path_dir(kept), *text = inoci_asprintf("%s%s\n", want, h->hex);
	inoc_err ignored;
	if (inoci_mkdirs(dir, &ignored) >= 0) (void)!inoci_file_write(kept, text, strlen(text), &ignored);
	free(dir), free(text);
}

int inoci_hash_file_kept(const char *path, inoci_hash *out, inoc_err *err)
{
	inoci_cache_mode mode;
	struct stat st, after;
	int rc = inoci_cache_mode_get(&mode, err);
	if (rc < 0) return rc;
	if (mode == INOCI_CACHE_OFF || stat(path, &st) < 0 || st.st_size < LARGE) return inoci_hash_file(path, out, err);
	char *real = realpath(path, NULL), *want = NULL, *kept = NULL;
	if (!real) return inoci_hash_file(path, out, err);
	want = stamp(real, &st);
	kept = kept_path(real);
	if (!read_kept(kept, want, out)) {
		rc = inoci_hash_file(path, out, err);
		bool same = stat(path, &after) == 0 && after.st_ino == st.st_ino && after.st_size == st.st_size &&
		            after.st_ctim.tv_sec == st.st_ctim.tv_sec && after.st_ctim.tv_nsec == st.st_ctim.tv_nsec;
		if (rc >= 0 && same && time(NULL) - st.st_ctim.tv_sec > RACY_S) keep(kept, want, out);
	}
	free(real), free(want), free(kept);
	return rc;
}
