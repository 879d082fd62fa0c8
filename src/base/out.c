/* Output files and locks.
 *
 * Invariants: a regular file is written beside its place and renamed over it, so a reader sees the old one or the new one; a
 * symbolic link stays one, and its target is what is replaced; what is no regular file (a terminal, a pipe, a device) is written
 * to as it is, never replaced.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"

static long fault_write;

void inoci_fault_write_at(long n)
{
	fault_write = n;
}

static bool write_fault(void)
{
	if (fault_write > 0 && --fault_write == 0) {
		errno = ENOSPC;
		return true;
	}
	return false;
}

struct inoci_out {
	char *name;       /* as given, for messages */
	char *dest, *tmp; /* tmp NULL: written directly */
	FILE *f;
};

static int out_fail(const inoci_out *o, inoc_err *err, const char *what, int e)
{
	return inoci_err_set(err, INOC_E_IO, "%s: %s: %s%s", o->name, what, inoci_reason(e),
	                     o->tmp ? "; nothing was changed there" : "");
}

static void out_free(inoci_out *o)
{
	if (o->f) fclose(o->f);
	free(o->name);
	free(o->dest);
	free(o->tmp);
	free(o);
}

/* Links there stand for open files, which are written to as they are. */
static bool is_open_file(const char *path)
{
	return !strncmp(path, "/proc/", 6) || !strncmp(path, "/dev/fd/", 8);
}

/* Where a chain of symbolic links ends, also when nothing is there yet. free() it; NULL with errno set. */
static char *link_end(const char *path)
{
	char *at = inoci_strdup(path), to[4096];
	struct stat st;
	for (int i = 0; i < 40; i++) {
		if (is_open_file(at) || lstat(at, &st) < 0 || !S_ISLNK(st.st_mode)) return at;
		ssize_t n = readlink(at, to, sizeof to - 1);
		if (n < 0) break;
		to[n] = 0;
		char *dir = inoci_path_dir(at), *next = inoci_path_join(dir, to);
		free(dir);
		free(at);
		at = next;
	}
	free(at);
	errno = ELOOP;
	return NULL;
}

/* The file that our own standard output goes to, as with -o /dev/stdout or -o f > f: the shell opened it, so it is kept. */
static bool is_stdout(const struct stat *st)
{
	struct stat out;
	return fstat(STDOUT_FILENO, &out) == 0 && out.st_dev == st->st_dev && out.st_ino == st->st_ino;
}

static FILE *open_stdout(void)
{
	fflush(stdout);
	int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? NULL : fdopen(fd, "wb");
}

static FILE *open_beside(inoci_out *o, const struct stat *old)
{
	if (!(o->dest = link_end(o->name))) return NULL;
	if (is_open_file(o->dest)) return fopen(o->dest, "wbe");
	o->tmp = inoci_asprintf("%s.tmp.%ld", o->dest, (long)getpid());
	FILE *f = fopen(o->tmp, "wbe");
	/* who could read the old file can read the new one; where that cannot be had (another's file), it is a new file */
	if (f && old) (void)!fchmod(fileno(f), old->st_mode & 07777);
	return f;
}

int inoci_out_open(const char *path, inoci_out **out, inoc_err *err)
{
	inoci_out *o = inoci_alloc(sizeof *o);
	struct stat st;
	bool there = stat(path, &st) == 0;
	o->name = inoci_strdup(path);
	*out = NULL;
	if (!*path)
		errno = ENOENT;
	else if (!strcmp(path, "-") || (there && is_stdout(&st)))
		o->f = open_stdout();
	else if (there && !S_ISREG(st.st_mode))
		o->f = fopen(path, "wbe");
	else
		o->f = open_beside(o, there ? &st : NULL);
	if (!o->f) {
		int rc = *path && errno == ENOENT
		                 ? inoci_err_set(err, INOC_E_IO,
		                                 "%s: cannot be written: its folder does not exist; make it first", path)
		                 : out_fail(o, err, "cannot be written", errno);
		out_free(o);
		return rc;
	}
	*out = o;
	return 0;
}

int inoci_out_write(inoci_out *o, const void *p, size_t n, inoc_err *err)
{
	if (write_fault() || (n && fwrite(p, 1, n, o->f) != n)) return out_fail(o, err, "write failed", errno);
	return 0;
}

void inoci_out_abandon(inoci_out *o)
{
	if (!o) return;
	if (o->tmp) unlink(o->tmp);
	out_free(o);
}

static int close_file(inoci_out *o)
{
	int closed = fclose(o->f);
	o->f = NULL;
	return closed;
}

/* The rename itself is made durable. */
static void sync_folder(const char *path)
{
	char *dir = inoci_path_dir(path);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		(void)!fsync(fd);
		close(fd);
	}
	free(dir);
}

int inoci_out_commit(inoci_out *o, inoc_err *err)
{
	int rc = 0;
	if (write_fault() || fflush(o->f) != 0 || (o->tmp && fsync(fileno(o->f)) != 0))
		rc = out_fail(o, err, "write failed", errno);
	else if (close_file(o) != 0 || (o->tmp && rename(o->tmp, o->dest) != 0))
		rc = out_fail(o, err, o->tmp ? "cannot be put in place" : "write failed", errno);
	if (rc < 0) {
		inoci_out_abandon(o);
		return rc;
	}
	if (o->tmp) sync_folder(o->dest);
	out_free(o);
	return 0;
}

int inoci_file_write(const char *path, const void *p, size_t n, inoc_err *err)
{
	inoci_out *o;
	int rc = inoci_out_open(path, &o, err);
	if (rc < 0) return rc;
	rc = inoci_out_write(o, p, n, err);
	if (rc < 0) {
		inoci_out_abandon(o);
		return rc;
	}
	return inoci_out_commit(o, err);
}

/* ---- locks ---- */

struct inoci_lock {
	char *path;
	int fd;
};

char *inoci_lock_holder(const char *path)
{
	char who[200];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : pread(fd, who, sizeof who - 1, 0);
	if (fd >= 0) close(fd);
	who[n > 0 ? n : 0] = 0;
	who[strcspn(who, "\n")] = 0;
	return inoci_strdup(*who ? who : "an unknown process");
}

/* The holder before may have removed the file between our open and our lock: then ours locks nothing. */
static bool still_there(const inoci_lock *l)
{
	struct stat a, b;
	return fstat(l->fd, &a) == 0 && stat(l->path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int inoci_lock_take(const char *path, inoci_lock **out, inoc_err *err)
{
	inoci_lock *l = inoci_alloc(sizeof *l);
	char who[200];
	int rc = 0;
	*l = (inoci_lock){.path = inoci_strdup(path), .fd = -1};
	*out = NULL;
	do {
		if (l->fd >= 0) close(l->fd);
		if ((l->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0) {
			rc = inoci_err_set(err, INOC_E_IO, "%s: cannot be made: %s", path, strerror(errno));
			goto fail;
		}
		if (flock(l->fd, LOCK_EX | LOCK_NB) < 0) {
			if (errno == EWOULDBLOCK) {
				char *by = inoci_lock_holder(path);
				rc = inoci_err_set(err, INOC_E_BUSY, "%s: held by another run (%s); wait for it", path, by);
				free(by);
			} else {
				rc = inoci_err_set(err, INOC_E_IO, "%s: cannot be locked: %s", path, strerror(errno));
			}
			goto fail;
		}
	} while (!still_there(l));
	char *now = inoci_time_iso();
	int n = snprintf(who, sizeof who, "process %ld since %s\n", (long)getpid(), now);
	free(now);
	/* only a message for others: failing to write it is no reason to stop */
	(void)!ftruncate(l->fd, 0);
	(void)!pwrite(l->fd, who, (size_t)n, 0);
	*out = l;
	return 0;
fail:
	if (l->fd >= 0) close(l->fd);
	free(l->path);
	free(l);
	return rc;
}

void inoci_lock_drop(inoci_lock *l)
{
	if (!l) return;
	unlink(l->path);
	close(l->fd);
	free(l->path);
	free(l);
}
