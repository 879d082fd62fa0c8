/* The trait library: what its reader refuses (tests/lab/trait_cases.txt), how folders add up, and the shipped one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lab/internal.h"
#include "lab/traits.h"

/* Cases as in yaml_cases.txt: the YAML, "----", the pieces that the message must hold (or OK), "====". */
static void cases(void **state)
{
	char *text;
	size_t n;
	inoc_err err = {0};
	int number = 0, bad = 0;
	assert_int_equal(inoci_file_read(INOC_TESTS_DIR "/lab/trait_cases.txt", &text, &n, &err), 0);
	for (char *p = text, *save = NULL; p && *p;) {
		char *end = strstr(p, "\n====\n"), *mid = strstr(p, "----\n");
		inoci_trait_library l = {0};
		if (end) *end = 0;
		assert_non_null(mid);
		int rc = inoci_traits_parse(&l, "f.yaml", p, (size_t)(mid - p), 0, &err);
		number++;
		for (char *w = strtok_r(mid + 5, "\n", &save); w; w = strtok_r(NULL, "\n", &save)) {
			if (!strcmp(w, "OK") ? rc == 0 : rc < 0 && strstr(err.msg, w)) continue;
			print_error("case %d: wanted: %s\ngot (%d): %s\n", number, w, rc, err.msg);
			bad = 1;
		}
		inoci_trait_library_free(&l);
		p = end ? end + 6 : NULL;
	}
	free(text);
	assert_true(number > 15);
	assert_int_equal(bad, 0);
}

static void put(const char *path, const char *text)
{
	inoc_err err = {0};
	assert_int_equal(inoci_file_write(path, text, strlen(text), &err), 0);
}

#define ONE(id, label) \
	"group: g\ntraits:\n  " id ": {label: " label ", description: D, prompts: [x, y], controls: [z, w], answers: [u, v]}\n"

static void folders_add_up(void **state)
{
	char dir[] = "/tmp/inoc-traits-XXXXXX";
	inoc_err err = {0};
	inoci_trait_library l = {0};
	assert_non_null(mkdtemp(dir));
	char *a = inoci_path_join(dir, "a.yaml"), *b = inoci_path_join(dir, "b.yml"), *c = inoci_path_join(dir, "c.txt");
	put(a, ONE("first", "First"));
	put(c, "not read");
	assert_int_equal(inoci_traits_add(&l, dir, &err), 0);
	assert_int_equal(l.n, 1);
	/* the same id in a later call takes its place, another one is added */
	put(a, ONE("first", "Other"));
	put(b, ONE("second", "Second"));
	assert_int_equal(inoci_traits_add(&l, dir, &err), 0);
	assert_int_equal(l.n, 2);
	assert_int_equal(l.n_groups, 1);
	assert_string_equal(l.v[0].label, "Other");
	assert_int_equal(inoci_trait_library_find(&l, "second"), 1);
	assert_int_equal(inoci_trait_library_find(&l, "third"), -1);
	/* in the same call it is a mistake */
	put(b, ONE("first", "Twice"));
	assert_int_equal(inoci_traits_add(&l, dir, &err), INOC_E_FORMAT);
	assert_non_null(strstr(err.msg, "b.yml:3:3: trait 'first' is already there: "));
	unlink(a), unlink(b);
	assert_int_equal(inoci_traits_add(&l, dir, &err), INOC_E_IO);
	assert_non_null(strstr(err.msg, "no trait files (*.yaml) in this folder"));
	assert_int_equal(inoci_traits_add(&l, a, &err), INOC_E_IO);
	unlink(c), rmdir(dir);
	free(a), free(b), free(c);
	inoci_trait_library_free(&l);
}

static void shipped(void **state)
{
	inoc_err err = {0};
	inoci_trait_library l = {0};
	int bad = 0;
	if (inoci_traits_add(&l, INOC_SOURCE_DIR "/traits", &err) < 0) fail_msg("%s", err.msg);
	assert_true(l.n >= 60);
	for (size_t i = 0; i < l.n; i++) {
		const inoci_scan_trait *t = &l.v[i];
		size_t most = 0, least = SIZE_MAX, prompts = 0, controls = 0;
		for (size_t k = 0; k < t->n_prompts; k++) {
			size_t n = strlen(t->prompts[k]);
			most = n > most ? n : most, least = n < least ? n : least, prompts += n;
		}
		for (size_t k = 0; k < t->n_controls; k++) controls += strlen(t->controls[k]);
		double ratio = (double)controls / (double)prompts * (double)t->n_prompts / (double)t->n_controls;
		if (t->n_prompts >= 4 && t->n_controls >= 4 && most > 2 * least && ratio > 0.75 && ratio < 1.33) continue;
		print_error("%s: %zu prompts of %zu to %zu bytes, %zu controls, %.2f as long\n", t->id, t->n_prompts, least, most,
		            t->n_controls, ratio);
		bad = 1;
	}
	inoci_trait_library_free(&l);
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(cases), cmocka_unit_test(folders_add_up), cmocka_unit_test(shipped)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
