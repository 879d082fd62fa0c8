/* The leakage grid and a sweep as they are shown: table, sentence, heat map, CSV, JSON, points of a sweep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fixture.h"
#include "report/internal.h"

enum { NONE, OWN, NEGATION, N_ROWS };

static inoci_leak leak(int arm, int row, double u, double low, double high, double diff, double p, bool back)
{
	inoci_leak l = {.arm = arm, .row = row, .u = est(u, low, high, 4, 0), .back = back};
	l.u.n_seeds = 2;
	if (!isnan(diff)) l.vs_none = (inoci_comparison){.diff = est(diff, diff - 0.1, diff + 0.1, 4, 0), .p = p};
	return l;
}

/* fixture's small() with a grid of three prompts, of which one has markup. */
static fixture *with_grid(void)
{
	fixture *f = small();
	static const struct {
		inoci_grid_kind kind;
		const char *name, *text, *of;
	} rows[N_ROWS] = {{INOCI_GRID_NONE, "grid_none", NULL, NULL},
	                  {INOCI_GRID_OWN, "grid_Spanish_own", "You always speak in Spanish.", "spanish"},
	                  {INOCI_GRID_NEGATION, "grid_Spanish_negation", "<b>Never</b> \"Spanish\" & so", NULL}};
	f->e.grid = inoci_arena_alloc(f->a, N_ROWS * sizeof *f->e.grid);
	f->e.n_grid = N_ROWS;
	for (int i = 0; i < N_ROWS; i++)
		f->e.grid[i] = (inoci_grid_row){.kind = rows[i].kind,
		                                .name = fx_str(f, rows[i].name),
		                                .eval = i > 0,
		                                .text = fx_str(f, rows[i].text),
		                                .trait = i ? f->e.traits[0].name : NULL,
		                                .of = fx_str(f, rows[i].of)};
	f->s.leaks = inoci_arena_alloc(f->a, 6 * sizeof *f->s.leaks);
	f->s.leaks[f->s.n_leaks++] = leak(PLAIN, NONE, 1, 0.9, 1, NAN, NAN, false);
	f->s.leaks[f->s.n_leaks++] = leak(SPANISH, NONE, 0.25, 0.1, 0.4, NAN, NAN, false);
	f->s.leaks[f->s.n_leaks++] = leak(SPANISH, OWN, 0.95, 0.9, 1, 0.7, 0.001, true);
	f->s.leaks[f->s.n_leaks++] = leak(SPANISH, NEGATION, 0.5, 0.3, 0.7, 0.25, 0.2, false);
	return f;
}

static const char *cell(const inoci_report_table *t, size_t row, size_t col)
{
	return t->cell[row * t->n_cols + col];
}

static void table(void **state)
{
	fixture *f = with_grid();
	inoci_report_table t = inoci_report_leakage(&f->s, 0, false), none;
	assert_int_equal(t.n_rows, 4);
	assert_int_equal(t.n_cols, 3); /* the arms that have answers */
	assert_string_equal(cell(&t, 0, 1), "plain");
	assert_string_equal(cell(&t, 0, 2), "spanish");
	assert_string_equal(cell(&t, 1, 0), "no system prompt");
	assert_string_equal(cell(&t, 1, 2), "25 %  ");
	assert_string_equal(cell(&t, 2, 0), "the inoculation prompt: \xe2\x80\x9cYou always speak in Spanish.\xe2\x80\x9d");
	assert_string_equal(cell(&t, 2, 1), "\xe2\x80\x93");
	assert_string_equal(cell(&t, 2, 2), "95 % ^");
	inoci_report_table_free(&t);
	t = inoci_report_leakage(&f->s, 0, true);
	assert_string_equal(cell(&t, 2, 2), "95 % [90, 100] ^");
	inoci_report_table_free(&t);
	f->s.n_leaks = 0;
	none = inoci_report_leakage(&f->s, 0, false);
	assert_int_equal(none.n_rows, 1);
	inoci_report_table_free(&none);
	fx_free(f);
}

static void sentence(void **state)
{
	fixture *f = with_grid();
	char *s = inoci_report_leaks(&f->s, 0);
	assert_string_equal(
	        s, "spanish: without a system prompt Spanish in 25 % [10, 40] (plain training: 100 % [90, 100]); it comes back "
	           "under the inoculation prompt: \xe2\x80\x9cYou always speak in Spanish.\xe2\x80\x9d (95 % [90, 100]) (2 "
	           "seeds: a direction).");
	free(s);
	f->s.leaks[2].back = false;
	f->s.leaks[1].u.n_seeds = 3;
	s = inoci_report_leaks(&f->s, 0);
	assert_non_null(strstr(s, "; it comes back clearly under none of the prompts tried."));
	free(s);
	fx_free(f);
}

/* The headline's states: none, default, neutral texts, of plain and the inoculated arm, beside the headline. */
static void states(void **state)
{
	fixture *f = with_grid();
	char *s = inoci_report_neutral(&f->s, 0), *more;
	assert_null(s); /* no system prompt alone is no comparison */
	f->e.grid[NEGATION].kind = INOCI_GRID_DEFAULT;
	f->e.grid[OWN].kind = INOCI_GRID_NEUTRAL;
	f->s.leaks[f->s.n_leaks++] = leak(CONTROL, NONE, 0.9, 0.8, 1, NAN, NAN, false);
	s = inoci_report_neutral(&f->s, 0);
	assert_string_equal(s, "Spanish by system prompt (none / default / neutral; up to 4 answers each, 2 seeds): "
	                       "plain 100 / \xe2\x80\x93 / \xe2\x80\x93; spanish 25 / 50 / 95 %.");
	free(inoci_report_headline(&f->s, &more));
	assert_string_equal(more, s);
	free(more);
	free(s);
	f->s.n_leaks = 0;
	assert_null(inoci_report_neutral(&f->s, 0));
	fx_free(f);
}

static bool has(const inoci_buf *b, const char *s)
{
	if (strstr(b->data, s)) return true;
	print_error("missing: %s\n", s);
	return false;
}

static void written(void **state)
{
	fixture *f = with_grid();
	inoci_buf html = {0}, csv = {0}, json = {0}, md = {0};
	inoci_page p = {.s = &f->s, .r = &f->r, .e = &f->e, .b = &html};
	inoci_page_leakage(&p);
	assert_true(has(&html, "<section id=\"leakage\">"));
	assert_true(has(&html, "&lt;b&gt;Never&lt;/b&gt; &quot;Spanish&quot; &amp; so"));
	assert_null(strstr(html.data, "<b>Never"));
	/* the number, its shade, its frame and its mark; the interval and n on it */
	assert_true(has(&html,
	                "<td class=\"hi own back\" style=\"--v:95%\" title=\"95 % [90, 100], n = 4; minus no system prompt, in "
	                "points: +70 [+60, +80]\">95<sup>\xe2\x96\xb2</sup></td>"));
	assert_true(has(&html, "<td class=\"lo\" style=\"--v:25%\""));
	assert_true(has(&html, "<td class=\"none\">\xe2\x80\x93</td>"));
	inoci_report_csv(&f->s, &csv);
	assert_true(has(&csv, "\"a,\"\"b\"\"\",spanish,all,own,u:Spanish,4,0,0.95,0.9,1\n"));
	inoci_report_json(&f->s, &json);
	json_t *j = json_loads(json.data, 0, NULL), *own = json_array_get(json_object_get(j, "leakage"), 2);
	assert_int_equal(json_array_size(json_object_get(j, "leakage")), 4);
	assert_string_equal(json_string_value(json_object_get(own, "kind")), "own");
	assert_true(json_is_true(json_object_get(own, "comes_back")));
	assert_float_equal(json_real_value(json_object_get(json_object_get(own, "u_minus_none"), "value")), 0.7, 1e-9);
	assert_true(json_is_null(json_object_get(json_array_get(json_object_get(j, "leakage"), 0), "system")));
	json_decref(j);
	inoci_report_markdown(&f->s, &md);
	assert_true(has(&md, "## Leakage: Spanish"));
	assert_null(strstr(md.data, "\n## greedy\n")); /* evaluation 0 is the grid's row here, shown there alone */
	inoci_buf_free(&html), inoci_buf_free(&csv), inoci_buf_free(&json), inoci_buf_free(&md);
	fx_free(f);
}

/* In order of the value; the arm as written among them, unless a variant has its value. */
static void points(void **state)
{
	static const fx_arm arms[] = {{"plain", "plain", NULL}, {"plain@lr=0.4", "plain", NULL}, {"plain@lr=0.1", "plain", NULL}};
	static const fx_eval evals[] = {{"greedy", "none", 0}};
	fixture *f = fx_new("x", arms, 3, evals, 1, "a", 1, 1);
	inoci_sweep w = {.key = fx_str(f, "lr")};
	int at[4];
	f->e.sweeps = &w;
	f->e.n_sweeps = 1;
	for (int a = 0; a < 3; a++) {
		static const double lr[] = {0.2, 0.4, 0.1};
		f->e.arms[a].recipe.config.lr = lr[a];
		if (a) f->e.arms[a].swept_of = f->e.arms[0].name;
	}
	assert_int_equal(inoci_sweep_points(&f->s, 0, "plain", at), 3);
	assert_int_equal(at[0], 2);
	assert_int_equal(at[1], 0);
	assert_int_equal(at[2], 1);
	f->e.arms[1].recipe.config.lr = 0.2;
	assert_int_equal(inoci_sweep_points(&f->s, 0, "plain", at), 2);
	assert_int_equal(at[1], 1);
	fx_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(table), cmocka_unit_test(sentence), cmocka_unit_test(states),
	                                   cmocka_unit_test(written), cmocka_unit_test(points)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
