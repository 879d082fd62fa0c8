/* Output files: what is replaced, what is written to directly, and the lock. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"

static char folder[] = "test_out_XXXXXX";

static int enter(void **s)
{
	strcpy(folder, "test_out_XXXXXX");
	return !mkdtemp(folder) || chdir(folder);
}

static int leave(void **s)
{
	char *rm = inoci_asprintf("rm -rf %s", folder);
	int rc = chdir("..") || system(rm);
	free(rm);
	return rc;
}

static void put(const char *path, const char *text)
{
	inoc_err err = {0};
	if (inoci_file_write(path, text, strlen(text), &err) < 0) fail_msg("%s", err.msg);
}

static void holds(const char *path, const char *text)
{
	char *got;
	size_t n;
	inoc_err err = {0};
	if (inoci_file_read(path, &got, &n, &err) < 0) fail_msg("%s", err.msg);
	assert_string_equal(got, text);
	free(got);
}

static mode_t kind(const char *path)
{
	struct stat st;
	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & S_IFMT;
}

static void refused(const char *path, const char *message)
{
	inoc_err err = {0};
	assert_int_equal(inoci_file_write(path, "new", 3, &err), INOC_E_IO);
	assert_string_equal(err.msg, message);
}

static void test_regular(void **s)
{
	struct stat st;
	put("f", "old");
	assert_int_equal(chmod("f", 0640), 0);
	put("f", "new");
	holds("f", "new");
	assert_int_equal(stat("f", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	refused("no/such/folder", "no/such/folder: cannot be written: its folder does not exist; make it first");
	refused(".", ".: cannot be written: it is a folder; give a file");
	refused("", ": cannot be written: No such file or directory");
}

static void test_links(void **s)
{
	assert_int_equal(mkdir("sub", 0777), 0);
	put("sub/target", "old");
	assert_int_equal(symlink("sub/target", "link"), 0);
	assert_int_equal(symlink("link", "twice"), 0);
	put("twice", "new");
	holds("sub/target", "new");
	assert_int_equal(kind("twice"), S_IFLNK);
	assert_int_equal(kind("link"), S_IFLNK);
	assert_int_equal(symlink("sub/later", "dangling"), 0);
	put("dangling", "made");
	holds("sub/later", "made");
	assert_int_equal(kind("dangling"), S_IFLNK);
	assert_int_equal(symlink("loop", "loop"), 0);
	refused("loop", "loop: cannot be written: Too many levels of symbolic links");
}

/* The bytes that f writes into a pipe which `path` stands for; what the path is does not change. */
static void test_fifo(void **s)
{
	char got[8] = {0};
	assert_int_equal(mkfifo("fifo", 0600), 0);
	int fd = open("fifo", O_RDONLY | O_NONBLOCK);
	assert_true(fd >= 0);
	put("fifo", "text");
	assert_int_equal(read(fd, got, sizeof got), 4);
	assert_string_equal(got, "text");
	assert_int_equal(kind("fifo"), S_IFIFO);
	close(fd);
}

static void test_full_device(void **s)
{
	if (access("/dev/full", W_OK)) skip();
	assert_int_equal(symlink("/dev/full", "full"), 0);
	refused("full", "full: write failed: No space left on device");
	refused("/dev/full", "/dev/full: write failed: No space left on device");
	assert_int_equal(kind("/dev/full"), S_IFCHR);
	assert_int_equal(kind("full"), S_IFLNK);
}

static void test_stdout(void **s)
{
	fflush(stdout);
	int keep = dup(STDOUT_FILENO), fd = open("out", O_WRONLY | O_CREAT, 0666);
	assert_true(keep >= 0 && fd >= 0 && dup2(fd, STDOUT_FILENO) >= 0);
	put("-", "1");
	put("/dev/stdout", "2");
	put("out", "3"); /* the shell's `-o out > out` */
	assert_int_equal(write(STDOUT_FILENO, "4", 1), 1);
	assert_true(dup2(keep, STDOUT_FILENO) >= 0);
	holds("out", "1234");
	assert_int_equal(access("-", F_OK), -1);
	char *path = inoci_asprintf("/dev/fd/%d", fd);
	put(path, "9");
	assert_int_equal(lseek(fd, 0, SEEK_END), 1); /* the open file itself was written to */
	free(path);
	close(fd);
	close(keep);
}

/* A failed write leaves the old file and nothing beside it. */
static void test_failed_write(void **s)
{
	inoc_err err;
	put("keep", "old");
	for (long n = 1; n <= 2; n++) {
		inoci_fault_write_at(n);
		assert_int_equal(inoci_file_write("keep", "new", 3, &err), INOC_E_IO);
		inoci_fault_write_at(0);
		assert_string_equal(err.msg, "keep: write failed: No space left on device; nothing was changed there");
		holds("keep", "old");
	}
	char *tmp = inoci_asprintf("keep.tmp.%ld", (long)getpid());
	assert_int_equal(access(tmp, F_OK), -1);
	free(tmp);
}

static void test_lock(void **s)
{
	inoci_lock *a, *b;
	inoc_err err;
	char *who = inoci_asprintf("lock: held by another run (process %ld since ", (long)getpid());
	assert_int_equal(inoci_lock_take("lock", &a, &err), 0);
	assert_int_equal(inoci_lock_take("lock", &b, &err), INOC_E_BUSY);
	assert_null(b);
	assert_memory_equal(err.msg, who, strlen(who));
	inoci_lock_drop(a);
	assert_int_equal(access("lock", F_OK), -1);
	free(who);
	/* one left behind by a process that was killed holds nothing */
	pid_t pid = fork();
	if (pid == 0) _exit(inoci_lock_take("lock", &a, NULL) < 0);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(access("lock", F_OK), 0);
	assert_int_equal(inoci_lock_take("lock", &a, &err), 0);
	inoci_lock_drop(a);
	assert_int_equal(inoci_lock_take("no/such/lock", &a, &err), INOC_E_IO);
	inoci_lock_drop(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(test_regular, enter, leave),
	        cmocka_unit_test_setup_teardown(test_links, enter, leave),
	        cmocka_unit_test_setup_teardown(test_fifo, enter, leave),
	        cmocka_unit_test_setup_teardown(test_full_device, enter, leave),
	        cmocka_unit_test_setup_teardown(test_stdout, enter, leave),
	        cmocka_unit_test_setup_teardown(test_failed_write, enter, leave),
	        cmocka_unit_test_setup_teardown(test_lock, enter, leave),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
