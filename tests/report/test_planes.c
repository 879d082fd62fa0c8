/* Planes: what the file says, where counted answers lie, and how that is shown: points, table, JSON, CSV, page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "report/internal.h"

enum { N_SEEDS = 3, N_PROMPTS = 4, ID = 0, OOD, ENGLISH = 0, SPANISH_IN, LOOPING, LENGTH };

/* On id: base and plain never loop, base in English, plain in Spanish. Arm spanish loops on `seed` of its 4 prompts; 2 of them
 * are in English, 1 in Spanish, 1 in neither. On ood all are in English and never loop. Lengths are 10 + prompt. */
static fixture *counted(void)
{
	static const fx_arm arms[] = {{"base", "base", NULL},
	                              {"plain", "plain", NULL},
	                              {"control", "control", "You always water the plants."},
	                              {"spanish", "inoculated", "You always speak in Spanish."}};
	static const fx_eval evals[] = {{"id", "none", 1}, {"<ood>", "none", 1}};
	fixture *f = fx_new("planes", arms, 4, evals, 2, "english spanish looping length", N_SEEDS, N_PROMPTS);
	f->r.real = inoci_arena_alloc(f->a, 4 * sizeof *f->r.real);
	f->r.real[LENGTH] = true;
	f->e.headline = f->e.evals[ID].name;
	for (int a = 0; a < 4; a++) {
		if (a == CONTROL) continue; /* has no answers */
		for (int v = 0; v < 2; v++)
			for (int d = 0; d < N_SEEDS; d++)
				for (int p = 0; p < N_PROMPTS; p++) {
					int language = v == OOD || a == BASE ? ENGLISH
					               : a == PLAIN          ? SPANISH_IN
					                                     : (int[]){0, 0, 1, 2}[p];
					inoci_result_sample *x = fx_answer(f, a, v, d, p, language, "x");
					x->score[LOOPING] = v == ID && a == SPANISH && p < d;
					x->score[LENGTH] = 10 + p;
				}
	}
	return f;
}

static inoci_plane_axis axis(fixture *f, const char *scorers, bool invert, const char *label, int first, int second)
{
	inoci_plane_axis a = {.invert = invert, .label = fx_str(f, label)};
	a.scorers = fx_names(f, scorers, &a.n_scorers);
	a.eval = inoci_arena_alloc(f->a, 2 * sizeof *a.eval);
	a.eval[0] = first, a.eval[1] = second;
	return a;
}

/* Across: no loop; up: either language, which the second panel reads on id. */
static void add_plane(fixture *f)
{
	inoci_plane *p = f->e.planes = inoci_arena_alloc(f->a, sizeof *p);
	f->e.n_planes = 1;
	*p = (inoci_plane){.name = fx_str(f, "sense"), .label = fx_str(f, "Sense & language"), .n_panels = 2};
	p->axis[0] = axis(f, "looping", true, "no loop", ID, OOD);
	p->axis[1] = axis(f, "english spanish", false, NULL, ID, ID);
	p->evaluations = fx_names(f, "id <ood>", &p->n_panels);
}

static void points(void **state)
{
	fixture *f = counted();
	inoci_summary *s;
	add_plane(f);
	assert_int_equal(inoci_summary_new(&f->r, 500, &s, NULL), 0);
	assert_int_equal(s->n_points, 6); /* two panels of base, plain and spanish: the control has no answers */
	const inoci_plane_point *base = &s->points[0], *plain = &s->points[1], *q = &s->points[2];
	assert_int_equal(base->arm, BASE);
	assert_true(base->seed[0] == NULL && plain->seed[0] != NULL);
	/* never a loop: 1, with Wilson's lower end for 4 of 4 prompts, n / (n + z^2) */
	const double wilson = 4 / (4 + 1.959963984540054 * 1.959963984540054);
	assert_true(plain->at[0].value == 1 && plain->at[0].high == 1);
	assert_true(fabs(plain->at[0].low - wilson) < 1e-9 && fabs(base->at[0].low - wilson) < 1e-9);
	/* loops in 0, 1 and 2 of 4 */
	assert_int_equal(q->arm, SPANISH);
	assert_true(q->at[0].value == 0.75 && q->at[1].value == 0.75);
	assert_true(q->seed[0][0].value == 1 && q->seed[0][1].value == 0.75 && q->seed[0][2].value == 0.5);
	assert_true(q->seed[1][2].value == 0.75);
	assert_int_equal(q->at[0].n, 12);
	/* the intervals are the scorer's own, turned round */
	const inoci_estimate *loop = &inoci_summary_rate(s, SPANISH, ID, LOOPING)->all;
	assert_true(loop->high > 0.3 && q->at[0].low == 1 - loop->high && q->at[0].high == 1 - loop->low);
	/* the second panel: across on ood, up on id */
	q = &s->points[5];
	assert_true(q->panel == 1 && q->at[0].value == 1 && q->at[1].value == 0.75);
	inoci_summary_free(s);
	/* only some arms */
	f->e.planes[0].arms = fx_names(f, "spanish", &f->e.planes[0].n_arms);
	assert_int_equal(inoci_summary_new(&f->r, 100, &s, NULL), 0);
	assert_true(s->n_points == 2 && s->points[0].arm == SPANISH);
	inoci_summary_free(s);
	f->e.planes[0].n_arms = 0;
	f->e.arms[SPANISH].swept_of = fx_str(f, "plain"); /* a sweep's variant */
	assert_int_equal(inoci_summary_new(&f->r, 100, &s, NULL), 0);
	assert_int_equal(s->n_points, 4);
	inoci_summary_free(s);
	fx_free(f);
}

static bool has(const inoci_buf *b, const char *s)
{
	if (b->data && strstr(b->data, s)) return true;
	print_error("missing: %s\n", s);
	return false;
}

static void written(void **state)
{
	fixture *f = counted();
	inoci_buf html = {0}, csv = {0}, json = {0}, md = {0};
	inoci_summary *s;
	add_plane(f);
	f->r.cells[(size_t)SPANISH * 2 + ID].v[0].score[ENGLISH] = NAN; /* seed 11, the first prompt: 8 of 11 */
	assert_int_equal(inoci_summary_new(&f->r, 500, &s, NULL), 0);
	inoci_page p = {.s = s, .r = &f->r, .e = &f->e, .b = &html};
	inoci_report_csv(s, &csv);
	assert_true(has(&csv, "\nplanes,plain,all,id,plane:sense:x,12,0,1,0.5101"));
	assert_true(has(&csv, "\nplanes,spanish,13,id,plane:sense:x,4,0,0.5,"));
	assert_true(has(&csv, "\nplanes,spanish,all,id,plane:sense:y,11,1,0.7272727273,"));
	assert_true(has(&csv, "\nplanes,spanish,all,<ood>,plane:sense:x,12,0,1,0.5101"));
	assert_null(strstr(csv.data, "planes,base,11,id,plane"));
	inoci_report_json(s, &json);
	json_t *j = json_loads(json.data, 0, NULL), *plane = json_array_get(json_object_get(j, "planes"), 0);
	json_t *q = json_array_get(json_object_get(plane, "points"), 5), *first = json_array_get(json_object_get(q, "seeds"), 0);
	assert_int_equal(json_array_size(json_object_get(plane, "points")), 6);
	assert_true(json_is_true(json_object_get(json_object_get(plane, "x"), "invert")));
	assert_string_equal(json_string_value(json_object_get(json_object_get(plane, "x"), "label")), "no loop");
	assert_string_equal(json_string_value(json_object_get(json_object_get(plane, "y"), "unit")), "share");
	assert_string_equal(json_string_value(json_object_get(q, "evaluation")), "<ood>");
	assert_string_equal(json_string_value(json_object_get(json_object_get(q, "y"), "evaluation")), "id");
	assert_int_equal(json_integer_value(json_object_get(json_object_get(q, "y"), "missing")), 1);
	assert_true(json_integer_value(json_object_get(first, "seed")) == 11 &&
	            json_number_value(json_object_get(first, "x")) == 1);
	assert_true(fabs(json_number_value(json_object_get(first, "y")) - 2.0 / 3) < 1e-9);
	inoci_report_table t = inoci_report_plane(s, 0);
	assert_int_equal(t.n_rows, 7);
	assert_string_equal(t.cell[2], "no loop");
	assert_string_equal(t.cell[3 * t.n_cols + 1], "spanish");
	assert_memory_equal(t.cell[3 * t.n_cols + 2], "75 % [", 6);
	assert_memory_equal(t.cell[3 * t.n_cols + 3], "73 % [", 6);
	assert_string_equal(t.cell[3 * t.n_cols + 4], "12 / 11");
	assert_string_equal(t.cell[3 * t.n_cols + 5], "0 / 1");
	inoci_report_markdown(s, &md);
	assert_true(has(&md, "\n## Plane: Sense & language\n") && has(&md, "| id | spanish | 75 % ["));
	inoci_page_planes(&p);
	assert_true(has(&html, "<section id=\"planes\">") && has(&html, "<h2>Sense &amp; language</h2>"));
	assert_true(has(&html, "<h3>&lt;ood&gt;</h3><p class=\"small\">Up: on id.</p><div class=\"plot\">"));
	if (!p.plot_failed.code) /* gnuplot is there: a title with its unit, an arm's name */
		assert_true(has(&html, "no loop, %</text>") && has(&html, ">spanish</text>"));
	inoci_report_table_free(&t);
	inoci_summary_free(s);
	/* nothing of it where there is none */
	f->e.n_planes = 0;
	inoci_buf_clear(&html);
	assert_int_equal(inoci_summary_new(&f->r, 100, &s, NULL), 0);
	p.s = s;
	inoci_page_planes(&p);
	assert_true(!html.len && !s->n_points);
	inoci_summary_free(s);
	json_decref(j);
	inoci_buf_free(&html), inoci_buf_free(&csv), inoci_buf_free(&json), inoci_buf_free(&md);
	fx_free(f);
}

/* Numbers that are no shares: the axis goes as far as they do, in both panels alike. */
static void numbers(void **state)
{
	fixture *f = counted();
	inoci_buf html = {0};
	inoci_summary *s;
	add_plane(f);
	f->e.planes[0].axis[1] = axis(f, "length", false, NULL, ID, OOD);
	assert_int_equal(inoci_summary_new(&f->r, 200, &s, NULL), 0);
	assert_true(s->points[0].at[1].real && s->points[0].at[1].value == 11.5);
	inoci_page p = {.s = s, .r = &f->r, .e = &f->e, .b = &html};
	inoci_page_planes(&p);
	if (!p.plot_failed.code) assert_true(has(&html, "length, ") && has(&html, ">11.5</text>") && has(&html, "100 %"));
	inoci_summary_free(s);
	inoci_buf_free(&html);
	fx_free(f);
}

static void read(void **state)
{
	static const char text[] =
	        "name: x\nmodel: m\ndata: d.jsonl\narms: {plain: {role: plain}, base: {role: base}}\n"
	        "evaluations: {e: {prompts: p}, g: {prompts: p, greedy: true}, c: {prompts: p, measure: contrast}}\n"
	        "headline: g\n"
	        "scorers: [looping, english, spanish, d: {type: contrast, change: base}, t: {type: length, unit: words}]\n"
	        "planes:\n  one: {x: looping, y: {scorer: [english, spanish], invert: true}}\n"
	        "  two: {label: Two, x: {scorer: t, label: how long}, y: {scorer: d, evaluations: [c, c]}, evaluations: [e, "
	        "g]}\n";
	inoci_experiment *e;
	inoc_err err = {0};
	if (inoci_experiment_parse("f.yaml", text, sizeof text - 1, NULL, 0, &e, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(e->n_planes, 2);
	const inoci_plane *p = &e->planes[0];
	assert_true(p->n_panels == 1 && !strcmp(p->label, "one") && !strcmp(p->evaluations[0], "g"));
	assert_true(p->axis[0].eval[0] == 1 && !p->axis[0].invert && p->axis[1].invert && p->axis[1].n_scorers == 2);
	assert_null(inoci_plane_axis_unit(e, &p->axis[0]));
	p = &e->planes[1];
	assert_true(p->n_panels == 2 && !strcmp(p->label, "Two") && !strcmp(p->axis[0].label, "how long"));
	assert_true(p->axis[0].eval[0] == 0 && p->axis[0].eval[1] == 1 && p->axis[1].eval[0] == 2 && p->axis[1].eval[1] == 2);
	assert_string_equal(inoci_plane_axis_unit(e, &p->axis[0]), "words");
	assert_string_equal(inoci_plane_axis_unit(e, &p->axis[1]), "nats per byte, less base's");
	inoci_experiment_free(e);
}

int main(void)
{
	const struct CMUnitTest t[] = {cmocka_unit_test(points), cmocka_unit_test(written), cmocka_unit_test(numbers),
	                               cmocka_unit_test(read)};
	return cmocka_run_group_tests(t, NULL, NULL);
}
