/* The packed weights of a model: one block of all matrices for the products with them, one for the backward's, each kept as a
 * file in the cache folder, so that the next start neither decodes nor packs.
 *
 * packed/MODEL-LAYOUT-fwd|bwd, in the byte order of the machine: a head (below) with a table of the matrices, padded to pages;
 * then the matrices, each at a multiple of 64 bytes. The name and the head say what they were made from; the head holds a sum of
 * itself and one of all values, both checked at every start. A file that is not what is expected is as good as none.
 *
 * The file is mapped, and its pages are shared by all processes. INOC_CACHE=copy reads them into memory of each process's own, in
 * huge pages: no faster where it was measured, but on a CPU or file system with small pages it may be.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "model/internal.h"

#define PAGE ((size_t)4096)
#define HUGE_PAGE ((size_t)2 << 20)
#define WORTH ((size_t)8 << 20) /* fewer bytes are packed in no time */
#define UNUSED_S (60 * 86400)   /* files not used for so long are removed when another is made */
#define STALE_S 3600            /* and half-written ones that are this old */

typedef struct {
	char magic[8];
	uint32_t order, n; /* 0x01020304; matrices */
	char layout[32], model[64];
	uint64_t backward, data_at, data_bytes, data_sum, head_sum; /* head_sum: of head and table, with 0 in its place */
} head;
typedef struct {
	int32_t n, k;
	uint64_t at;
} entry;

struct inoci_weights {
	bool backward, ready;
	int n;
	size_t *at, bytes;
	char *data;
	void *map; /* NULL: data is ours to free */
	size_t map_bytes;
	char *path; /* NULL: not kept */
	head *head; /* padded to pages: as in the file, but for the sums */
	inoci_cache_mode mode;
};

/* Two running sums over eight lanes of 64 bits: no changed, lost or moved words go by unseen. n: a multiple of 64. */
static uint64_t sum_of(const void *p, size_t n)
{
	const uint64_t *v = p;
	uint64_t a[8] = {0}, b[8] = {0}, s = n;
	for (size_t i = 0; i < n / 8; i += 8)
		for (int j = 0; j < 8; j++) b[j] += a[j] += v[i + (size_t)j];
	for (int j = 0; j < 8; j++) s = inoci_mix64(inoci_mix64(s, a[j]), b[j]);
	return s;
}

static void seal(head *h, uint64_t data_sum)
{
	h->data_sum = data_sum;
	h->head_sum = 0;
	h->head_sum = sum_of(h, h->data_at);
}

static void plan(inoci_weights *w, const inoci_model *m, const inoci_mat_dims *d)
{
	size_t bytes = (sizeof(head) + (size_t)w->n * sizeof(entry) + PAGE - 1) / PAGE * PAGE;
	w->at = inoci_alloc((size_t)w->n * sizeof *w->at);
	w->head = inoci_alloc(bytes);
	entry *e = (entry *)(w->head + 1);
	for (int i = 0; i < w->n; i++) {
		w->at[i] = w->bytes;
		e[i] = (entry){d[i].n, d[i].k, w->bytes};
		w->bytes += inoci_pad(m->ops->mat_bytes(m->ops, d[i].n, d[i].k, w->backward));
	}
	*w->head = (head){.magic = "INOCPACK",
	                  .order = 0x01020304,
	                  .n = (uint32_t)w->n,
	                  .backward = w->backward,
	                  .data_at = bytes,
	                  .data_bytes = w->bytes};
	snprintf(w->head->layout, sizeof w->head->layout, "%s", m->ops->layout);
	memcpy(w->head->model, m->hash.hex, sizeof w->head->model);
}

/* ---- taking them ---- */

static bool read_all(int fd, char *to, size_t n, off_t at)
{
	while (n) {
		ssize_t got = pread(fd, to, n, at);
		if (got < 0 && errno == EINTR) continue;
		if (got <= 0) return false;
		to += got, n -= (size_t)got, at += got;
	}
	return true;
}

static void drop(inoci_weights *w)
{
	if (w->map)
		munmap(w->map, w->map_bytes);
	else
		free(w->data);
	w->map = NULL;
	w->data = NULL;
}

static int map_file(inoci_weights *w, int fd)
{
	/* at a multiple of huge pages, for kernels that map a file with them */
	size_t bytes = w->head->data_at + w->bytes, room = bytes + HUGE_PAGE;
	char *r = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (r == MAP_FAILED) return 0;
	char *p = (char *)(((uintptr_t)r + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
	if (mmap(p, bytes, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
		munmap(r, room);
		return 0;
	}
	(void)madvise(p, bytes, MADV_HUGEPAGE);
#ifdef MADV_POPULATE_READ
	(void)madvise(p, bytes, MADV_POPULATE_READ);
#endif
	w->map = r;
	w->map_bytes = room;
	w->data = p + w->head->data_at;
	return 1;
}

static int copy_file(inoci_weights *w, int fd)
{
	w->data = inoci_big_room(w->bytes, "packed weights", NULL);
	return !w->data ? 0 : read_all(fd, w->data, w->bytes, (off_t)w->head->data_at) ? 1 : -1;
}

/* 1: taken; 0: no such file, or no memory for it; -1: it is not what it should be. */
static int take(inoci_weights *w)
{
	int fd = open(w->path, O_RDONLY | O_CLOEXEC), rc = -1;
	if (fd < 0) return 0;
	size_t n = w->head->data_at;
	head *h = inoci_alloc(n);
	struct stat st;
	if (fstat(fd, &st) == 0 && (size_t)st.st_size == n + w->bytes && read_all(fd, (char *)h, n, 0)) {
		seal(w->head, h->data_sum);
		if (!memcmp(w->head, h, n) && (rc = w->mode == INOCI_CACHE_COPY ? copy_file(w, fd) : map_file(w, fd)) > 0)
			rc = sum_of(w->data, w->bytes) == h->data_sum ? 1 : -1;
	}
	if (rc <= 0)
		drop(w);
	else
		(void)futimens(fd, NULL); /* used now */
	free(h);
	close(fd);
	return rc;
}

int inoci_weights_open(const inoci_model *m, const inoci_mat_dims *dims, int n, bool backward, const inoci_progress *p,
                       inoci_weights **out, inoc_err *err)
{
	inoci_weights *w = inoci_alloc(sizeof *w);
	int rc;
	*w = (inoci_weights){.backward = backward, .n = n};
	*out = NULL;
	INOC_TRY(inoci_cache_mode_get(&w->mode, err));
	plan(w, m, dims);
	if (w->mode != INOCI_CACHE_OFF && (w->mode != INOCI_CACHE_AUTO || w->bytes >= WORTH)) {
		char *name = inoci_asprintf("packed/%.32s-%s-%s", m->hash.hex, m->ops->layout, backward ? "bwd" : "fwd");
		w->path = inoci_cache_path(name);
		free(name);
		int got = take(w);
		w->ready = got > 0;
		if (got < 0) inoci_note(p, "%s: damaged, made anew", w->path);
	}
	*out = w;
	return 0;
out:
	inoci_weights_free(w);
	return rc;
}

int inoci_weights_room(inoci_weights *w, inoc_err *err)
{
	if (!w->ready) w->data = inoci_big_room(w->bytes, "packed weights", err);
	return w->data ? 0 : INOC_E_MEMORY;
}

bool inoci_weights_ready(const inoci_weights *w)
{
	return w->ready;
}

size_t inoci_model_mapped_bytes(const inoci_model *m)
{
	size_t sum = 0;
	for (size_t i = 0; i < INOCI_COUNT(m->packed); i++)
		if (m->packed[i] && m->packed[i]->map) sum += m->packed[i]->bytes;
	return sum;
}

char *inoci_weights_at(const inoci_weights *w, int i)
{
	return w->data + w->at[i];
}

void inoci_weights_free(inoci_weights *w)
{
	if (!w) return;
	drop(w);
	free(w->at), free(w->head), free(w->path);
	free(w);
}

/* ---- keeping them ---- */

/* The same model's in another version of this layout, what was not used for long, and what a killed process left. */
static void tidy(const inoci_weights *w, const char *dir)
{
	const char *name = strrchr(w->path, '/') + 1, *layout = w->head->layout;
	size_t same = 33 + (size_t)(strrchr(layout, '.') - layout) + 1, whole = 33 + strlen(layout);
	DIR *d = opendir(dir);
	time_t now = time(NULL);
	for (struct dirent *e; d && (e = readdir(d));) {
		char *path = inoci_path_join(dir, e->d_name);
		struct stat st;
		bool gone = lstat(path, &st) == 0 && S_ISREG(st.st_mode) &&
		            ((!strncmp(e->d_name, name, same) && strncmp(e->d_name, name, whole)) ||
		             now - st.st_mtime > UNUSED_S || (strstr(e->d_name, ".tmp.") && now - st.st_mtime > STALE_S));
		if (gone) unlink(path);
		free(path);
	}
	if (d) closedir(d);
}

static int write_file(const inoci_weights *w, inoc_err *err)
{
	inoci_out *o;
	int rc = inoci_out_open(w->path, &o, err);
	if (rc < 0) return rc;
	if ((rc = inoci_out_write(o, w->head, w->head->data_at, err)) < 0 ||
	    (rc = inoci_out_write(o, w->data, w->bytes, err)) < 0) {
		inoci_out_abandon(o);
		return rc;
	}
	return inoci_out_commit(o, err);
}

void inoci_weights_keep(inoci_weights *w, const inoci_progress *p)
{
	if (w->ready || !w->path) return;
	char *dir = inoci_path_dir(w->path);
	struct statvfs v;
	inoc_err err;
	int rc = inoci_mkdirs(dir, &err);
	if (rc >= 0) {
		tidy(w, dir);
		if (statvfs(dir, &v) == 0 && (double)v.f_bavail * (double)v.f_frsize < 2.0 * (double)w->bytes)
			rc = inoci_err_set(&err, INOC_E_IO, "%s: less than %.0f MiB are free there", dir,
			                   2.0 * (double)w->bytes / 0x1p20);
	}
	seal(w->head, sum_of(w->data, w->bytes));
	if (rc >= 0) rc = write_file(w, &err);
	if (rc < 0)
		inoci_note(p, "packed weights are not kept, so that the next start packs them again: %s", err.msg);
	else if (w->mode != INOCI_CACHE_COPY) { /* shared from the first process on */
		char *mine = w->data;
		w->data = NULL;
		if (take(w) > 0)
			free(mine);
		else
			w->data = mine;
	}
	w->ready = true;
	free(dir);
}
