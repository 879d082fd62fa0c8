/* The scan's page and plan from a made-up result: texts of the user's are escaped, intervals are drawn, plans are valid with and
 * without scorers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report/internal.h"

static const char library[] =
        "group: g\nexclusive: true\ntraits:\n"
        "  known: {label: <b>Known</b>, description: D., prompts: [ask one, ask two], controls: [c, d], answers: [a, b], scorer: "
        "looping}\n"
        "  other: {label: Other, description: D., prompts: [p, q], controls: [c, d], answers: [a, b]}\n";
static const char second[] =
        "group: h\ntraits:\n  bare: {label: Bare, description: D., prompts: [\"say \\\"x\\\"\\n- y\", q], controls: [c, d], "
        "answers: [a, b]}\n";

typedef struct {
	inoci_trait_library l;
	inoci_dataset d;
	inoci_scan_result r;
	char dir[40];
} made;

static void make(made *m)
{
	inoc_err err = {0};
	memset(m, 0, sizeof *m);
	strcpy(m->dir, "/tmp/inoc-scan-XXXXXX");
	assert_non_null(mkdtemp(m->dir));
	assert_int_equal(inoci_traits_parse(&m->l, "a.yaml", library, sizeof library - 1, 1, &err), 0);
	assert_int_equal(inoci_traits_parse(&m->l, "b.yaml", second, sizeof second - 1, 2, &err), 0);
	char *path = inoci_path_join(m->dir, "data.jsonl");
	inoci_buf b = {0};
	for (int i = 0; i < 10; i++)
		inoci_buf_printf(&b,
		                 "{\"messages\":[{\"role\":\"user\",\"content\":\"Question %d\"},{\"role\":\"assistant\","
		                 "\"content\":\"Answer & <i>%d</i>\"}]}\n",
		                 i / 2, i); /* each is asked twice */
	assert_int_equal(inoci_file_write(path, b.data, b.len, &err), 0);
	assert_int_equal(inoci_dataset_read(path, INOCI_NEED_ASSISTANT, &m->d, &err), 0);
	inoci_buf_free(&b), free(path);
	inoci_scan_result *r = &m->r;
	*r = (inoci_scan_result){.l = &m->l,
	                         .d = &m->d,
	                         .order = inoci_alloc(4 * sizeof(size_t)),
	                         .n_order = 4,
	                         .n_used = 4,
	                         .v = inoci_alloc(3 * sizeof(inoci_scan_row)),
	                         .n = 3,
	                         .n_found = 2,
	                         .rounds = 2};
	for (size_t i = 0; i < 4; i++) r->order[i] = 3 - i;
	static const int rank[] = {0, 2, 1};
	for (int i = 0; i < 3; i++) {
		double g = 0.3 - 0.1 * i;
		r->v[i] = (inoci_scan_row){.trait = rank[i],
		                           .n = 4,
		                           .gain = {.value = g, .low = g - 0.05, .high = g + 0.05, .n = 4},
		                           .p = 0.001,
		                           .share = 1,
		                           .low = 0.5,
		                           .high = 1,
		                           .record = inoci_alloc(4 * sizeof(double)),
		                           .prompt = inoci_alloc(2 * sizeof(double)),
		                           .found = true,
		                           .behind = i == 2 ? 0 : -1};
		for (int k = 0; k < 4; k++) r->v[i].record[k] = k == 2 ? 1 : 0.1 * k;
		r->v[i].prompt[1] = i == 0;
	}
}

static void drop(made *m)
{
	char *command = inoci_asprintf("rm -r %s", m->dir);
	assert_int_equal(system(command), 0);
	free(command);
	inoci_scan_free(&m->r);
	inoci_dataset_free(&m->d);
	inoci_trait_library_free(&m->l);
}

static void page(void **state)
{
	made m;
	inoci_buf b = {0};
	make(&m);
	assert_int_equal(inoci_scan_example(&m.r, &m.r.v[0], 0), 1); /* the third taken */
	assert_int_equal(inoci_scan_example(&m.r, &m.r.v[0], 4), -1);
	char *head = inoci_scan_headline(&m.r);
	assert_string_equal(head, "This data would teach: <b>Known</b>, Bare.");
	inoci_report_scan(&m.r, "<model>", &b);
	assert_null(strstr(b.data, "<b>Known</b>"));
	assert_null(strstr(b.data, "<model>"));
	assert_null(strstr(b.data, "<i>1</i>"));
	assert_non_null(strstr(b.data, "&lt;b&gt;Known&lt;/b&gt;"));
	assert_non_null(strstr(b.data, "Answer &amp; &lt;i&gt;1&lt;/i&gt;"));
	assert_non_null(strstr(b.data, "gain 43.3, interval 36.1 to 50.5"));
	assert_non_null(strstr(b.data, "Behind &lt;b&gt;Known"));
	assert_non_null(strstr(b.data, "ask two"));
	m.r.v[0].found = m.r.v[1].found = false;
	free(head);
	head = inoci_scan_headline(&m.r);
	assert_string_equal(head, "No trait of the library (3) stands out in these records.");
	free(head);
	inoci_buf_free(&b);
	drop(&m);
}

static void plan(void **state)
{
	made m;
	inoc_err err = {0};
	char *written, *text;
	size_t n;
	make(&m);
	char *path = inoci_path_join(m.dir, "7 plan's.yaml");
	inoci_scan_plan_options o = {.path = path, .model = "mo\"del", .system = "none", .top = 3, .seed = 1};
	if (inoci_scan_plan(&m.r, &o, &written, &err) < 0) fail_msg("%s", err.msg);
	free(written);
	inoci_experiment *e;
	if (inoci_experiment_read(path, NULL, 0, &e, &err) < 0) fail_msg("%s", err.msg);
	assert_string_equal(e->name, "7-plan-s");
	assert_string_equal(e->model, "mo\"del");
	assert_int_equal(e->n_arms, 6); /* base, plain, two controls, two that ask: the one behind is left out */
	assert_int_equal(inoci_experiment_arm(e, "ask_other"), -1);
	assert_string_equal(e->arms[inoci_experiment_arm(e, "ask_known")].inoculation.pool[0], "ask two");
	assert_string_equal(e->arms[inoci_experiment_arm(e, "ask_bare")].role, "other");
	assert_string_equal(e->arms[inoci_experiment_arm(e, "ask_bare")].inoculation.pool[0], "say \"x\"\n- y");
	assert_int_equal(e->n_traits, 1);
	/* what is asked alike is on one side */
	inoci_check c;
	assert_int_equal(inoci_data_check(e->data, e->evals[0].prompts, INOCI_NEED_ASSISTANT, &c, &err), 0);
	assert_int_equal(c.n_overlap, 0);
	assert_int_equal(c.n_records, 8);
	inoci_check_free(&c);
	inoci_experiment_free(e);
	/* no scorer at all */
	json_decref(m.l.v[0].scorer);
	m.l.v[0].scorer = NULL;
	if (inoci_scan_plan(&m.r, &o, &written, &err) < 0) fail_msg("%s", err.msg);
	free(written);
	assert_int_equal(inoci_file_read(path, &text, &n, &err), 0);
	assert_non_null(strstr(text, "# No rule tells an answer with the trait known"));
	assert_null(strstr(text, "\ntraits:"));
	free(text);
	/* nothing found: nothing written over */
	m.r.v[0].found = m.r.v[1].found = false;
	assert_int_equal(inoci_scan_plan(&m.r, &o, &written, &err), INOC_E_CHECK);
	assert_non_null(strstr(err.msg, "so there is nothing to inoculate"));
	free(path);
	drop(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(page), cmocka_unit_test(plan)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
