/* Hashes kept by a file's times, and the size of what is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"

static char folder[] = "test_cache_XXXXXX", *home;
enum { BYTES = 17 << 20 };

static int enter(void **s)
{
	if (!mkdtemp(folder) || chdir(folder)) return -1;
	home = realpath(".", NULL);
	return setenv("XDG_CACHE_HOME", home, 1);
}

static int leave(void **s)
{
	char *rm = inoci_asprintf("rm -rf %s", home);
	int rc = chdir("..") || system(rm);
	free(rm), free(home);
	return rc;
}

/* A large file whose n-th byte is c. */
static void put(long n, int c)
{
	FILE *f = fopen("file", "wb");
	assert_int_equal(ftruncate(fileno(f), BYTES), 0);
	fseek(f, n, SEEK_SET);
	fputc(c, f);
	fclose(f);
}

static inoci_hash kept(void)
{
	inoci_hash h;
	inoc_err err;
	if (inoci_hash_file_kept("file", &h, &err) < 0) fail_msg("%s", err.msg);
	return h;
}

static inoci_hash hashed(void)
{
	inoci_hash h;
	inoc_err err;
	if (inoci_hash_file("file", &h, &err) < 0) fail_msg("%s", err.msg);
	return h;
}

static void test_hash(void **state)
{
	put(5, 'a');
	assert_string_equal(kept().hex, hashed().hex);
	assert_int_equal(inoci_cache_bytes(false), 0); /* changed a moment ago: it may change again unseen */
	sleep(5);
	inoci_hash h = kept();
	assert_string_equal(h.hex, hashed().hex);
	assert_true(inoci_cache_bytes(false) > 0);
	/* taken, not computed: a forged one is believed */
	char *cmd = inoci_asprintf("sed -i 's/^%.8s/00000000/' %s/inoc/hashes/*", h.hex, home);
	assert_int_equal(system(cmd), 0);
	free(cmd);
	assert_memory_equal(kept().hex, "00000000", 8);
	/* not when it is off, not when it is damaged, not when the file changed */
	setenv("INOC_CACHE", "off", 1);
	assert_string_equal(kept().hex, h.hex);
	unsetenv("INOC_CACHE");
	assert_int_equal(system("truncate -s -3 inoc/hashes/*"), 0);
	assert_string_equal(kept().hex, h.hex);
	assert_string_equal(kept().hex, h.hex);
	put(6, 'a');
	assert_string_not_equal(kept().hex, h.hex);
	assert_string_equal(kept().hex, hashed().hex);
	inoc_err err;
	assert_int_equal(inoci_hash_file_kept("none", &h, &err), INOC_E_IO);
	assert_true(inoci_cache_bytes(true) > 0);
	assert_int_equal(inoci_cache_bytes(false), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_hash)};
	return cmocka_run_group_tests(tests, enter, leave);
}
