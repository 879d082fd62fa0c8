/* Runs a program with a text on its standard input and takes what it prints, within a time.
 *
 * Invariants: no pipe can block us (all are read and written as they are ready); the program is a process group of its own, and
 * when this returns nothing of the group is left; SIGPIPE of a program that does not read reaches nobody.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "eval/internal.h"

extern char **environ;

enum { IN, OUT, ERR, SAID = 4096 /* bytes of standard error that are kept */ };

static void close_fd(int *fd)
{
	if (*fd >= 0) close(*fd);
	*fd = -1;
}

static int start(const inoci_program *g, int child[3], pid_t *pid, inoc_err *err)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t none, pipes;
	sigemptyset(&none);
	sigemptyset(&pipes);
	sigaddset(&pipes, SIGPIPE);
	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&at);
	for (int i = 0; i < 3; i++) posix_spawn_file_actions_adddup2(&fa, child[i], i);
	if (g->dir) posix_spawn_file_actions_addchdir_np(&fa, g->dir);
	posix_spawnattr_setpgroup(&at, 0);
	posix_spawnattr_setsigmask(&at, &none);
	posix_spawnattr_setsigdefault(&at, &pipes);
	posix_spawnattr_setflags(&at, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	int e = posix_spawnp(pid, g->argv[0], &fa, &at, (char *const *)(uintptr_t)g->argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&at);
	if (e == 0) return 0;
	return inoci_err_set(err, INOC_E_EXTERNAL, "could not be started%s%s: %s", g->dir ? " in " : "", g->dir ? g->dir : "",
	                     e == ENOENT ? "no such program (or its interpreter, or the folder)" : inoci_reason(e));
}

/* Writes what is left; a program that reads no more is no error: what it prints tells. */
static void feed(const inoci_program *g, size_t *at, int *fd)
{
	static const struct timespec now = {0};
	sigset_t pipes, before;
	sigemptyset(&pipes);
	sigaddset(&pipes, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipes, &before);
	ssize_t k = write(*fd, g->in + *at, g->n_in - *at);
	int e = errno;
	if (k < 0 && e == EPIPE) sigtimedwait(&pipes, NULL, &now);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (k > 0) *at += (size_t)k;
	if (*at == g->n_in || (k < 0 && e != EAGAIN && e != EINTR)) close_fd(fd);
}

/* Bytes read; 0 where there are none now. */
static size_t take(int *fd, inoci_buf *to)
{
	char b[16384];
	ssize_t k = read(*fd, b, sizeof b);
	if (k > 0) inoci_buf_append(to, b, (size_t)k);
	if (k == 0 || (k < 0 && errno != EAGAIN && errno != EINTR)) close_fd(fd);
	return k > 0 ? (size_t)k : 0;
}

static bool has_ended(pid_t pid)
{
	siginfo_t info = {0};
	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == pid;
}

/* Until the program has ended and nothing of what it printed is left. */
static int talk(const inoci_program *g, pid_t pid, int fd[3], inoci_buf *out, inoci_buf *said, const inoci_progress *p,
                inoc_err *err)
{
	const double began = inoci_now_s();
	size_t at = 0;
	if (!g->n_in) close_fd(&fd[IN]);
	for (;;) {
		bool ended = has_ended(pid);
		struct pollfd v[3] = {{fd[IN], POLLOUT, 0}, {fd[OUT], POLLIN, 0}, {fd[ERR], POLLIN, 0}};
		int wait_ms = ended ? 0 : fd[OUT] < 0 && fd[ERR] < 0 ? 5 : 100;
		size_t got = 0;
		if (poll(v, 3, wait_ms) < 0 && errno != EINTR)
			return inoci_err_set(err, INOC_E_EXTERNAL, "poll: %s", strerror(errno));
		if (v[IN].revents && fd[IN] >= 0) feed(g, &at, &fd[IN]);
		if (v[OUT].revents && fd[OUT] >= 0) got += take(&fd[OUT], out);
		if (v[ERR].revents && fd[ERR] >= 0) got += take(&fd[ERR], said);
		if (said->len > 2 * SAID) {
			memmove(said->data, said->data + said->len - SAID, SAID + 1);
			said->len = SAID;
		}
		if (out->len > g->max_out)
			return inoci_err_set(err, INOC_E_EXTERNAL, "it prints more than %zu bytes for %zu answers", g->max_out,
			                     g->n_lines);
		if (ended && !got) return 0; /* a child of its own may still hold the pipes */
		if (inoci_stopped(p)) return inoci_err_set(err, INOC_E_STOPPED, "stopped; run the same command again to go on");
		if (inoci_now_s() - began > g->limit_s && !ended)
			return inoci_err_set(err, INOC_E_EXTERNAL,
			                     "it has not ended after %g s, its time limit (\"timeout\"), and was killed",
			                     g->limit_s);
	}
}

/* The end of what it wrote to standard error, on one line; "" when nothing. free() it. */
static char *last_words(const inoci_buf *said)
{
	enum { MOST = 300 };
	inoci_buf line = {0}, all = {0};
	const char *s = said->data;
	size_t n = said->len;
	if (n) inoci_text_plain(s, n, 0, &line);
	if (line.len) {
		size_t from = line.len > MOST ? line.len - MOST : 0;
		while (from && from < line.len && ((unsigned char)line.data[from] & 0xc0) == 0x80) from++;
		inoci_buf_printf(&all, "; its standard error ends: %s%s", from ? "\xe2\x80\xa6" : "", line.data + from);
	}
	inoci_buf_free(&line);
	return inoci_buf_take(&all);
}

int inoci_program_run(const inoci_program *g, inoci_buf *out, const inoci_progress *p, inoc_err *err)
{
	int ours[3] = {-1, -1, -1}, child[3] = {-1, -1, -1}, rc = 0, status = 0;
	inoci_buf said = {0};
	pid_t pid = 0;
	for (int i = 0; i < 3; i++) {
		int ends[2];
		if (pipe2(ends, O_CLOEXEC) < 0) {
			rc = inoci_err_set(err, INOC_E_EXTERNAL, "no pipe: %s", strerror(errno));
			goto out;
		}
		ours[i] = ends[i == IN];
		child[i] = ends[i != IN];
		fcntl(ours[i], F_SETFL, O_NONBLOCK);
	}
	INOC_TRY(start(g, child, &pid, err));
	for (int i = 0; i < 3; i++) close_fd(&child[i]);
	rc = talk(g, pid, ours, out, &said, p, err);
	kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
	if (rc == INOC_E_STOPPED) goto out;
	char *words = last_words(&said);
	if (rc < 0) {
		char *msg = inoci_asprintf("%s%s", err ? err->msg : "", words);
		rc = inoci_err_set(err, rc, "%s", msg);
		free(msg);
	} else if (WIFSIGNALED(status)) {
		rc = inoci_err_set(err, INOC_E_EXTERNAL, "it was ended by signal %d (%s)%s", WTERMSIG(status),
		                   strsignal(WTERMSIG(status)), words);
	} else if (WEXITSTATUS(status)) {
		rc = inoci_err_set(err, INOC_E_EXTERNAL, "it failed with exit status %d%s", WEXITSTATUS(status), words);
	}
	free(words);
out:
	for (int i = 0; i < 3; i++) close_fd(&ours[i]), close_fd(&child[i]);
	inoci_buf_free(&said);
	return rc < 0 ? rc : 0;
}
