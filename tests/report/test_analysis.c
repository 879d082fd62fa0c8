/* What inoc analyse found, on the page and as JSON: every part shown with its numbers, nothing where nothing was measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "report/internal.h"

enum { LAYERS = 2, STEPS = 3 };

static fixture *measured(void)
{
	static double norm[LAYERS * INOCI_N_PROJ], toward[1] = {0.125}, away[1] = {-0.25};
	static const int step[STEPS] = {0, 1, 8};
	static const double logprob[2][STEPS] = {{-3, -2.5, -1}, {-3, -2, -0.5}};
	static inoci_curve_set set = {.name = (char *)(uintptr_t) "spanish_text"};
	static inoci_direction dir = {.name = (char *)(uintptr_t) "Spanish"};
	static const char *const controls[] = {"You keep <your> shoes."};
	fixture *f = small();
	inoci_analysis *a = &f->r.analysis;
	f->e.curves = &set, f->e.n_curves = 1;
	f->e.directions = &dir, f->e.n_directions = 1;
	f->e.headline = f->e.evals[0].name;
	f->e.arms[SPANISH].label = fx_str(f, "asks <b>");
	for (int i = CONTROL; i <= SPANISH; i++) {
		f->e.arms[i].traits = fx_names(f, "Spanish", &f->e.arms[i].n_traits);
		/* the control shows the trait as plain does, the other in half of the answers */
		for (size_t k = 0; i == SPANISH && k < f->r.cells[i * 2].n; k += 2) f->r.cells[i * 2].v[k].score[1] = 0;
	}
	a->any = true;
	a->surprise = inoci_arena_alloc(f->a, 4 * sizeof *a->surprise);
	a->gradients = inoci_arena_alloc(f->a, 8 * sizeof *a->gradients);
	a->updates = inoci_arena_alloc(f->a, 8 * sizeof *a->updates);
	a->curves = inoci_arena_alloc(f->a, 2 * sizeof *a->curves);
	for (int i = 0; i < LAYERS * INOCI_N_PROJ; i++) norm[i] = i == INOCI_PROJ_K ? NAN : i < INOCI_N_PROJ ? 3 : 4;
	a->surprise[CONTROL] = (inoci_result_surprise){.n = 9,
	                                               .gain = 0.01,
	                                               .control = 0.02,
	                                               .removed = -0.01,
	                                               .low = -0.02,
	                                               .high = 0.01,
	                                               .n_controls = 1,
	                                               .controls = controls};
	a->surprise[SPANISH] = (inoci_result_surprise){.n = 9,
	                                               .gain = 0.5,
	                                               .control = 0.0625,
	                                               .removed = 0.4375,
	                                               .low = 0.375,
	                                               .high = 0.5,
	                                               .n_controls = 1,
	                                               .controls = controls};
	for (int s = 0; s < 2; s++) {
		a->gradients[PLAIN * 2 + s] = (inoci_result_gradient){
		        .n = 5, .with = NAN, .without = 2, .same = NAN, .toward_with = away, .toward_without = toward};
		a->gradients[SPANISH * 2 + s] = (inoci_result_gradient){
		        .n = 5, .with = 1 + s, .without = 2, .same = 0.75, .toward_with = away, .toward_without = toward};
		a->updates[SPANISH * 2 + s] = (inoci_result_update){.n_layers = LAYERS, .norm = norm};
		a->curves[s] = (inoci_result_curve){.arm = SPANISH, .seed = s, .n = STEPS, .step = step, .logprob = logprob[s]};
	}
	a->n_curves = 2;
	return f;
}

static void expect(const char *html, const char *text)
{
	if (!strstr(html, text)) fail_msg("not on the page: %s", text);
}

static void page(void **state)
{
	fixture *f = measured();
	inoci_buf b = {0};
	inoci_page p = {.s = &f->s, .r = &f->r, .e = &f->e, .b = &b};
	inoci_page_analysis(&p);
	if (p.plot_failed.code) print_message("no gnuplot: %s\n", p.plot_failed.msg);
	expect(b.data, "<section id=\"why\">");
	expect(b.data,
	       "<td class=\"n\">+0.5000</td><td class=\"n\">+0.0625</td><td class=\"n\">+0.4375 <i>[+0.3750, +0.5000]</i>");
	expect(b.data, "asks &lt;b&gt;");
	assert_null(strstr(b.data, "asks <b>"));
	/* 2 prompts: no correlation is told of so few */
	assert_null(strstr(b.data, "Spearman"));
	expect(b.data, "Spanish text</h3>"); /* the curves' words */
	expect(b.data, "<td class=\"n\">2.000</td><td class=\"n\">1.500</td><td class=\"n\">0.750</td><td "
	               "class=\"n\">+0.125</td><td class=\"n\">-0.250</td>");
	/* norm over all: sqrt(6 * 9 + 7 * 16) */
	expect(b.data, "<td class=\"n\">12.88</td>");
	assert_null(strstr(b.data, "nan"));
	if (!p.plot_failed.code) expect(b.data, "<svg role=\"img\"");
	inoci_buf_free(&b);
	/* three prompts: one mark for each */
	f->e.arms[PLAIN].traits = f->e.arms[SPANISH].traits, f->e.arms[PLAIN].n_traits = 1;
	f->r.analysis.surprise[PLAIN] = f->r.analysis.surprise[CONTROL];
	f->r.analysis.surprise[PLAIN].removed = 0.1;
	p.b = &b;
	inoci_page_analysis(&p);
	expect(b.data, "Spearman's rho <b>");
	expect(b.data, "3 prompts, 1 of them controls; 2 seeds. Fewer than 8 prompts: a direction, no claim.");
	if (!p.plot_failed.code) expect(b.data, "why-plot-0");
	inoci_buf_free(&b);
	f->r.analysis.any = false;
	inoci_page_analysis(&p);
	assert_int_equal(b.len, 0);
	fx_free(f);
}

static void json(void **state)
{
	fixture *f = measured();
	json_t *j = inoci_report_analysis(&f->r);
	char *text = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(6));
	expect(text, "\"relations\":[{\"trait\":\"Spanish\",\"prompts\":2,\"controls\":1,\"seeds\":2,\"spearman\":null");
	expect(text, "{\"arm\":\"spanish\",\"surprise_removed\":0.4375,\"interval\":[0.375,0.5],\"drop\":0.5,\"seeds\":[0.5,0.5],"
	             "\"goal\":0.0}");
	expect(text, "\"norm_with\":2.0,\"norm_without\":2.0,\"cosine_of_both\":0.75,\"toward_with\":{\"Spanish\":-0.25}");
	expect(text, "\"by_layer_and_projection\":[[3.0,null,3.0,3.0,3.0,3.0,3.0],[4.0");
	expect(text, "{\"arm\":\"spanish\",\"seed\":12,\"responses\":\"spanish_text\",\"with_prompt\":false,\"points\":[[0,-3.0],"
	             "[1,-2.0],[8,-0.5]]}");
	free(text);
	json_decref(j);
	fx_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(page), cmocka_unit_test(json)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
