/* Packed weights in the cache folder: made once, taken afterwards with the same bits, made anew when they are damaged, done
 * without when they cannot be kept; several processes at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tiny.h"

static char *path, cache[] = "packed_XXXXXX";

/* Where the operations' own layout is not known, a stand-in: the values as they are. */
static size_t fake_bytes(inoci_ops *o, int n, int k, bool backward)
{
	return (size_t)n * (size_t)k * 4;
}

static void fake_fill(inoci_ops *o, void *to, const float *w, int n, int k, bool backward)
{
	memcpy(to, w, (size_t)n * (size_t)k * 4);
}

static int fake_at(inoci_ops *o, const void *fwd, const void *bwd, const float *bias, int n, int k, inoci_mat **out,
                   inoc_err *err)
{
	return o->mat_new(o, fwd, bias, n, k, bwd != NULL, out, err);
}

typedef struct {
	float logprob[64];
	float *grads;
	size_t n;
	int notes;
} result;

static void count_note(void *ctx, const char *line)
{
	(void)line;
	++*(int *)ctx;
}

/* Opens the model, computes a loss and, trained, its gradients. */
static int compute(bool train, result *r)
{
	inoci_ops *o;
	inoci_model *m;
	inoci_adapter *a;
	inoc_err err = {0};
	inoci_progress p = {.note = count_note, .ctx = &r->notes};
	*r = (result){0};
	if (inoci_ops_cpu(INOCI_DTYPE_F32, 0, &o, &err) < 0) return -1;
	if (!o->layout) o->layout = "fake.1", o->mat_bytes = fake_bytes, o->mat_fill = fake_fill, o->mat_at = fake_at;
	if (inoci_model_open(path, o, train, NULL, &p, &m, &err) < 0) {
		print_error("%s\n", err.msg);
		o->free(o);
		return -1;
	}
	inoci_lora_config c = {.rank = 3, .alpha = 6, .targets = INOCI_ALL_PROJ};
	int32_t ids[20], loss[20];
	for (int i = 0; i < 20; i++) ids[i] = 7 * i % 250, loss[i] = i > 3;
	inoci_batch b = {0};
	inoci_workspace *w = inoci_workspace_new();
	inoci_batch_add(&b, ids, loss, 20, 1);
	int rc = inoci_adapter_new(m, &c, 3, &a, &err);
	if (rc >= 0 && train) rc = inoci_adapter_grads(a, &err);
	if (rc >= 0) rc = inoci_model_loss(m, a, &b, w, train, 0, r->logprob, &err);
	if (rc >= 0 && train) {
		r->n = a->n_params;
		r->grads = inoci_alloc(r->n * 4);
		memcpy(r->grads, a->grads, r->n * 4);
	}
	inoci_adapter_free(a);
	inoci_workspace_free(w);
	inoci_batch_free(&b);
	inoci_model_free(m);
	o->free(o);
	return rc;
}

static result want; /* with nothing kept */

static void check(bool train, int notes)
{
	result r;
	assert_int_equal(compute(train, &r), 0);
	assert_memory_equal(r.logprob, want.logprob, sizeof r.logprob);
	if (train) assert_memory_equal(r.grads, want.grads, want.n * 4);
	if (r.notes != notes) fail_msg("%d notes, expected %d", r.notes, notes);
	free(r.grads);
}

/* Calls f, if any, for every kept file; returns how many there are. */
static int each(void (*f)(const char *file))
{
	char *dir = inoci_cache_path("packed");
	DIR *d = opendir(dir);
	int n = 0;
	for (struct dirent *e; d && (e = readdir(d));) {
		if (e->d_name[0] == '.') continue;
		char *file = inoci_path_join(dir, e->d_name);
		if (f) f(file);
		free(file);
		n++;
	}
	if (d) closedir(d);
	free(dir);
	return n;
}

static void mode(const char *m)
{
	setenv("INOC_CACHE", m, 1);
}

static void clear(void)
{
	inoci_cache_bytes(true);
	assert_int_equal(each(NULL), 0);
}

/* Before anything has made threads, which a fork would lose. */
static int processes_at_once(void)
{
	pid_t pid[4];
	int ok = 0, status;
	mode("map");
	for (int i = 0; i < 4; i++)
		if (!(pid[i] = fork())) {
			result r;
			_exit(compute(true, &r) < 0 || r.notes);
		}
	for (int i = 0; i < 4; i++) ok += waitpid(pid[i], &status, 0) == pid[i] && WIFEXITED(status) && !WEXITSTATUS(status);
	return ok;
}

static int setup(void **state)
{
	setenv("DNNL_MAX_CPU_ISA", "AVX2", 1); /* so that f32 products are our own */
	if (!mkdtemp(cache)) return -1;
	char *full = realpath(cache, NULL);
	setenv("XDG_CACHE_HOME", full, 1);
	free(full);
	path = tiny_model("packed");
	if (processes_at_once() != 4 || each(NULL) != 2) return -1;
	mode("off");
	return compute(true, &want);
}

static int teardown(void **state)
{
	char *rm = inoci_asprintf("rm -rf %s", cache);
	int rc = system(rm);
	unlink(path);
	free(rm), free(path), free(want.grads);
	return rc;
}

static void test_made_and_taken(void **state)
{
	clear();
	check(true, 0);
	assert_int_equal(each(NULL), 0); /* off */
	mode("auto");
	check(true, 0);
	assert_int_equal(each(NULL), 0); /* too small to be worth it */
	for (int copy = 0; copy < 2; copy++) {
		clear();
		mode(copy ? "copy" : "map");
		check(false, 0);
		assert_int_equal(each(NULL), 1); /* the forward's */
		for (int i = 0; i < 2; i++) {
			check(true, 0);
			assert_int_equal(each(NULL), 2);
			check(false, 0);
		}
	}
	assert_true(inoci_cache_bytes(false) > 0);
	mode("sometimes");
	result r;
	assert_int_equal(compute(false, &r), -1);
	mode("map");
}

static long damage_at;
static void flip(const char *file)
{
	FILE *f = fopen(file, "r+b");
	assert_non_null(f);
	fseek(f, damage_at, damage_at < 0 ? SEEK_END : SEEK_SET);
	int c = fgetc(f);
	fseek(f, -1, SEEK_CUR);
	fputc(c ^ 16, f);
	fclose(f);
}

static void cut_short(const char *file)
{
	struct stat st;
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(truncate(file, damage_at < 0 ? st.st_size + damage_at : damage_at), 0);
}

static void lengthen(const char *file)
{
	FILE *f = fopen(file, "ab");
	fputc(0, f);
	fclose(f);
}

static void test_damaged(void **state)
{
	clear();
	mode("map");
	check(true, 0);
	static const long at[] = {0, 9, 17, 60, 130, 150, 161, 300, 4095, 4096, 5000, 20000, -1, -64};
	for (size_t i = 0; i < INOCI_COUNT(at); i++) {
		damage_at = at[i];
		each(flip);
		check(true, 2);
		check(true, 0);
	}
	static const long to[] = {0, 1, 100, 4095, 4096, 10000, -1, -64};
	for (size_t i = 0; i < INOCI_COUNT(to); i++) {
		damage_at = to[i];
		each(cut_short);
		check(true, 2);
		check(true, 0);
	}
	each(lengthen);
	check(true, 2);
	check(true, 0);
}

/* The n-th write fails: packed in memory, told, and no half a file. */
static void test_full_disk(void **state)
{
	mode("map");
	long n = 1;
	for (int notes = 1; notes; n++) {
		result r;
		clear();
		inoci_fault_write_at(n);
		assert_int_equal(compute(true, &r), 0);
		inoci_fault_write_at(0);
		assert_memory_equal(r.logprob, want.logprob, sizeof r.logprob);
		assert_memory_equal(r.grads, want.grads, want.n * 4);
		notes = r.notes;
		assert_int_equal(each(NULL), 2 - notes);
		free(r.grads);
	}
	assert_true(n > 6);
}

static void test_no_folder(void **state)
{
	mode("map");
	char *dir = inoci_cache_path("packed");
	inoc_err err;
	clear();
	assert_int_equal(inoci_file_write(dir, "x", 1, &err), 0);
	check(true, 2); /* each of the two is told */
	unlink(dir);
	free(dir);
}

static char other[256];
static void as_old(const char *file)
{
	/* the same model's in a layout of another number, and another model's */
	char *dot = strrchr(file, '.'), *old = inoci_strdup(file), *x = inoci_strdup(file);
	old[dot - file + 1] = '0';
	x[strlen(x) - strlen(strrchr(x, '/')) + 1] ^= 1;
	inoc_err err;
	assert_int_equal(rename(file, old), 0);
	assert_int_equal(inoci_file_write(x, "x", 1, &err), 0);
	snprintf(other, sizeof other, "%s", x);
	free(old), free(x);
}

static void test_old_versions_go(void **state)
{
	clear();
	mode("map");
	check(false, 0);
	each(as_old);
	assert_int_equal(each(NULL), 2);
	check(false, 0);
	assert_int_equal(each(NULL), 2);
	assert_true(inoci_path_exists(other));
}

int main(void)
{
	inoci_fault_fill_nan();
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_made_and_taken), cmocka_unit_test(test_damaged),         cmocka_unit_test(test_full_disk),
	        cmocka_unit_test(test_no_folder),      cmocka_unit_test(test_old_versions_go),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
