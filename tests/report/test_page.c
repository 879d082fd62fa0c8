/* The page: whole, escaped, needing nothing from outside; its commands, hashes and losses; what happens without gnuplot and when
 * a disk is full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "report/internal.h"

/* ---- the page ---- */

static void assert_balanced(const char *s)
{
	static const char *const empty[] = {"meta", "br", "hr", "link", "img", "input"};
	char stack[64][24];
	int depth = 0;
	while ((s = strchr(s, '<'))) {
		char name[24];
		bool close = s[1] == '/';
		const char *p = s + 1 + close, *end = strchr(s, '>');
		assert_non_null(end);
		if (s[1] == '!') {
			s = end;
			continue;
		}
		size_t n = strcspn(p, " \t\r\n/>");
		assert_true(n > 0 && n < sizeof name);
		memcpy(name, p, n);
		name[n] = 0;
		bool alone = end[-1] == '/';
		for (size_t i = 0; i < INOCI_COUNT(empty); i++) alone = alone || !strcmp(name, empty[i]);
		if (close) {
			if (!depth || strcmp(stack[depth - 1], name))
				fail_msg("</%s> closes %s near: %.60s", name, depth ? stack[depth - 1] : "nothing", s);
			depth--;
		} else if (!alone) {
			assert_true(depth < 64);
			strcpy(stack[depth++], name);
		}
		s = end;
		if (!close && (!strcmp(name, "script") || !strcmp(name, "style")))
			s = strstr(end, !strcmp(name, "script") ? "</script" : "</style") - 1;
	}
	if (depth) fail_msg("<%s> is never closed", stack[depth - 1]);
}

static void assert_page(const char *html)
{
	assert_balanced(html);
	/* nothing is loaded from anywhere, and links stay within the page */
	assert_null(strstr(html, "http:"));
	assert_null(strstr(html, "https:"));
	assert_null(strstr(html, " src="));
	assert_null(strstr(html, "url("));
	assert_null(strstr(html, "@import"));
	for (const char *p = html; (p = strstr(p, "href=")); p++) assert_int_equal(p[6], '#');
	/* what the model and the user wrote is text */
	assert_null(strstr(html, "alert('x')"));
	assert_non_null(strstr(html, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; \xef\xbf\xbd</p>"));
	assert_non_null(strstr(html, "Which half | is &lt;learnt&gt;?"));
	assert_int_equal(inoci_utf8_valid_prefix(html, strlen(html)), strlen(html));
}

static void keep_note(void *ctx, const char *line)
{
	snprintf(ctx, 200, "%s", line);
}

static void test_html(void **state)
{
	fixture *f = small();
	inoci_buf b = {0};
	inoc_err err = {0};
	char note[200] = "";
	inoci_metric metrics[5] = {{0}};
	f->r.adapters[SPANISH * 2] = (inoci_result_adapter){.present = true,
	                                                    .key = fx_str(f, "k\"ey"),
	                                                    .dir = fx_str(f, "d"),
	                                                    .first_text = fx_str(f, "<|im_start|>user\n<b>hi</b><|im_end|>\n"),
	                                                    .metrics = metrics,
	                                                    .n_metrics = 5};
	inoci_progress p = {.note = keep_note, .ctx = note};
	f->e.arms[CONTROL].label = fx_str(f, "con`trol` \\ ' @@0@@ <i>");
	f->e.text = fx_str(f, "name: \"<x>\"\n");
	f->e.text_n = strlen(f->e.text);
	assert_int_equal(inoci_report_html(&f->s, &p, &b, &err), 0);
	assert_string_equal(note, "");
	assert_page(b.data);
	assert_non_null(strstr(b.data, "<svg"));
	assert_non_null(strstr(b.data, "var(--k0)"));
	assert_null(strstr(b.data, "class=\"noplot\""));
	assert_non_null(strstr(
	        b.data, "<span class=\"tok\">&lt;|im_start|&gt;</span>user<span class=\"nl\"></span>\n&lt;b&gt;hi&lt;/b&gt;"));
	assert_non_null(strstr(b.data, "con`trol` \\ &#39; @@0@@"));
	assert_non_null(strstr(b.data, "inoc run settings/spanish-caps/experiment.yaml"));
	assert_non_null(strstr(b.data, "no clean arm"));
	inoci_buf_free(&b);
	fx_free(f);
}

/* A verdict that rests on a judge nobody checked is shown, and marked; one on a good judge has the kappa beside it. */
static void test_agreement(void **state)
{
	fixture *f = small();
	inoci_buf b = {0};
	inoc_err err = {0};
	inoci_checked c[3] = {{0}, {.n_judges = 1, .kappa = {0.75, 0.6, 0.88}, .n = 50}};
	f->r.checked = c;
	assert_int_equal(inoci_report_html(&f->s, NULL, &b, &err), 0);
	assert_non_null(strstr(b.data, "<span class=\"badge good\">inoculated</span>"));
	assert_non_null(strstr(b.data, "Scorer spanish_caps agrees with people: kappa 0.75 [0.60, 0.88], 50 rows. Shares of"));
	assert_non_null(strstr(b.data, "kappa 0.75 [0.60, 0.88], 50 rows.</p>"));
	assert_null(strstr(b.data, "ot for a headline"));
	c[1] = (inoci_checked){.n_judges = 1, .n_unchecked = 1};
	inoci_buf_clear(&b);
	assert_int_equal(inoci_report_html(&f->s, NULL, &b, &err), 0);
	assert_page(b.data);
	assert_null(strstr(b.data, "badge good"));
	assert_non_null(
	        strstr(b.data, "<section class=\"headline\"><span class=\"badge warn\">inoculated (not for a headline)</span>"));
	assert_non_null(strstr(b.data, "Not for a headline: nothing says how well scorer spanish_caps agrees with people.</p>"));
	assert_non_null(strstr(b.data, "<td><span class=\"badge\">like plain (not for a headline)</span></td>"));
	inoci_buf_free(&b);
	fx_free(f);
}

/* Of what was measured a picture for each scorer, base beside it; expectations are reached from the top; judges' gaps by reason.
 */
static void test_measured(void **state)
{
	fixture *f = small();
	inoci_buf b = {0};
	inoc_err err = {0};
	inoci_miss miss = {.arm = PLAIN, .eval = 1, .scorer = 1, .n = 5};
	assert_int_equal(inoci_report_html(&f->s, NULL, &b, &err), 0);
	assert_null(strstr(b.data, "href=\"#expectations\""));
	assert_null(strstr(b.data, "Not scored by a judge"));
	assert_null(strstr(b.data, "the dashed line is the untrained model's"));
	inoci_buf_clear(&b);
	f->e.evals[0].measure = INOCI_MEASURE_CONTRAST;
	for (int a = 0; a < 4; a++) { /* real numbers, one of them without an interval */
		inoci_rate *r = rate(f, a, 0, 0);
		r->all = est(-1.5 * a, -1.5 * a - 0.2, -1.5 * a + 0.3, 4, 0);
		r->all.real = true;
	}
	rate(f, BASE, 0, 0)->all.low = rate(f, BASE, 0, 0)->all.high = NAN;
	f->s.met = (inoci_met[]){{.met = true, .text = fx_str(f, "as it was expected")}};
	f->s.n_met = 1;
	miss.reason[INOCI_JUDGE_PROSE] = 3, miss.reason[INOCI_JUDGE_SCORED] = 2;
	f->r.misses = &miss, f->r.n_misses = 1;
	assert_int_equal(inoci_report_html(&f->s, NULL, &b, &err), 0);
	assert_page(b.data);
	assert_null(strstr(b.data, "class=\"noplot\""));
	assert_non_null(strstr(b.data, "<a href=\"#expectations\">expectations</a>"));
	assert_non_null(strstr(b.data, "<section id=\"expectations\">"));
	assert_non_null(strstr(b.data, "the dashed line is the untrained model's"));
	assert_non_null(strstr(b.data, "English caps by arm, greedy"));
	assert_non_null(strstr(b.data, "Spanish caps, per cent"));
	assert_non_null(strstr(b.data, "<td class=\"n\">5</td><td class=\"n\">0</td><td class=\"n\">3</td><td class=\"n\">0</td>"
	                               "<td class=\"n\">2</td></tr>"));
	inoci_buf_free(&b);
	fx_free(f);
}

static json_t *run_request(fixture *f, const char *sets, const char *more)
{
	inoci_hash h = inoci_hash_bytes(f->e.text, f->e.text_n);
	char *s = inoci_asprintf("{\"file\":\"a b.yaml\",\"folder\":\"/w\",\"text_sha256\":\"%s\",\"sets\":%s%s}", h.hex, sets,
	                         more);
	json_t *j = json_loads(s, 0, NULL);
	assert_non_null(j);
	free(s);
	return j;
}

static void add_run(fixture *f, inoci_result_run *runs, const char *sets, const char *more)
{
	json_t *q = run_request(f, sets, more);
	char *text = json_dumps(q, JSON_COMPACT);
	runs[f->r.n_runs] =
	        (inoci_result_run){.started = fx_str(f, "then"), .status = fx_str(f, "done"), .request = fx_str(f, text)};
	f->r.runs = runs;
	f->r.n_runs++;
	free(text);
	json_decref(q);
}

static void expect_commands(fixture *f, const char *want)
{
	char *s = inoci_report_commands(&f->r);
	assert_string_equal(s, want);
	free(s);
}

static void test_commands(void **state)
{
	fixture *f = small();
	inoci_result_run runs[8];
	static const char now[] = "[\"train.lr=1e-3\",\"out=\\\"o u\\\"\"]";
	char *sets[] = {fx_str(f, "train.lr=1e-3"), fx_str(f, "out=\"o u\"")};
	f->e.text = fx_str(f, "name: x\n");
	f->e.text_n = 8;
	/* a store from before: what there is, which is all; then one seed of two, and three arms of four */
	for (int i = 0; i < 8; i++) f->r.adapters[i].present = true;
	expect_commands(f, "inoc run settings/spanish-caps/experiment.yaml");
	f->r.n_seeds = 1;
	for (int i = 0; i < 2; i++) f->r.cells[BASE * 2 + i].n = 0;
	for (int i = 0; i < 4; i++) f->r.adapters[i].present = i == PLAIN;
	expect_commands(f, "inoc run settings/spanish-caps/experiment.yaml --arms plain,control,spanish --seeds 11");
	f->r.n_seeds = 2;
	/* recorded: those of other overrides do not count, nor those before one for all */
	f->e.sets = sets;
	f->e.n_sets = 2;
	add_run(f, runs, now, ",\"seeds\":[1]");
	add_run(f, runs, now, "");
	add_run(f, runs, "[]", "");
	add_run(f, runs, now, ",\"seeds\":[4,5],\"arms\":[\"plain\",\"es\"]");
	add_run(f, runs, now, ",\"seeds\":[4,5],\"arms\":[\"plain\",\"es\"]");
	expect_commands(f, "inoc run 'a b.yaml' --set train.lr=1e-3 -o 'o u'\n"
	                   "inoc run 'a b.yaml' --arms plain,es --seeds 4,5 --set train.lr=1e-3 -o 'o u'");
	/* typed otherwise: as it was typed */
	f->r.n_runs = 0;
	add_run(f, runs, now, ",\"seeds\":[1],\"command\":[\"inoc\",\"eval\",\"--system\",\"it's\",\"--store\",\"s\"]");
	add_run(f, runs, now, ",\"seeds\":[2],\"command\":[\"inoc\",\"eval\",\"-s\",\"2\"]");
	expect_commands(f, "inoc eval --system 'it'\\''s' --store s\ninoc eval -s 2");
	fx_free(f);
}

/* Records held out, what was saved, validation in the curves, hashes and versions. */
static void test_provenance(void **state)
{
	fixture *f = small();
	inoci_buf b = {0};
	inoc_err err = {0};
	inoci_metric m[4];
	inoci_result_run runs[1];
	for (int i = 0; i < 4; i++)
		m[i] = (inoci_metric){.step = i + 1, .steps = 9, .loss = 5, .val_loss = i % 2 ? 4.127 + i : NAN};
	for (int d = 0; d < 2; d++)
		f->r.adapters[SPANISH * 2 + d] = (inoci_result_adapter){.present = true,
		                                                        .key = fx_str(f, "0123456789abcdef01"),
		                                                        .dir = fx_str(f, "d"),
		                                                        .first_text = fx_str(f, "x"),
		                                                        .n_train = 12,
		                                                        .n_val = 4,
		                                                        .n_inoculated = 12,
		                                                        .steps = 4,
		                                                        .saved_step = 2,
		                                                        .val_loss = 4.127,
		                                                        .early_stopped = true,
		                                                        .metrics = m,
		                                                        .n_metrics = 4};
	f->e.arms[BASE].adapter = fx_str(f, "their/<a>");
	f->r.adapters[BASE * 2] =
	        (inoci_result_adapter){.present = true, .key = fx_str(f, "key"), .hash = fx_str(f, "hash"), .val_loss = NAN};
	add_run(f, runs, "[]", ",\"seeds\":[11,12]");
	runs[0].provenance =
	        fx_str(f, "{\"files\":[{\"use\":\"training data (clean)\",\"path\":\"c.jsonl\",\"sha256\":\"cafe\"}],"
	                  "\"versions\":{\"CLD2\":\"V2.0\",\"inoc\":\"1, commit <c>\"},\"machine\":\"Z80\"}");
	assert_int_equal(inoci_report_html(&f->s, NULL, &b, &err), 0);
	assert_page(b.data);
	static const char *const want[] = {
	        "seed 11; 12 records (4 held out), the prompt on 12; stopped early at step 4; saved: step 2, validation "
	        "4.127</p>",
	        "Training and validation loss",
	        "points: loss on the records held out",
	        "<td class=\"n\">4 (early stop)</td><td class=\"n\">2</td>",
	        "<td class=\"n\">4.1270</td>",
	        "given, not trained here: <code>their/&lt;a&gt;</code></td><td><code>key</code></td><td><code>hash</code></td>",
	        "inoc run &#39;a b.yaml&#39; --seeds 11,12",
	        "It was started in <code>/w</code>",
	        "<td>training data (clean)</td><td>c.jsonl</td><td><code>cafe</code></td>",
	        "<dt>CLD2</dt><dd>V2.0</dd>",
	        "<dt>inoc</dt><dd>1, commit &lt;c&gt;</dd>",
	        "<dt>machine</dt><dd>Z80</dd>",
	        "<dt>gnuplot, of this page</dt><dd>GNUPLOT ",
	};
	for (size_t i = 0; i < INOCI_COUNT(want); i++)
		if (!strstr(b.data, want[i])) fail_msg("not on the page: %s", want[i]);
	inoci_buf_free(&b);
	fx_free(f);
}

/* An interval that would reach beyond 100 % is cut there. */
static void test_whiskers(void **state)
{
	const char *rows[] = {"abcd"};
	const int colour[] = {0, 2};
	const inoci_estimate shares[] = {est(0.55, 0.15, 0.84, 4, 0), est(0.45, 0, 0.84, 4, 0)};
	inoci_buf b = {0};
	inoc_err err = {0};
	double most = 0, left = 4 * 7 + 14, full = left + (560 - 18 - left) / 1.03;
	if (inoci_plot_bars("b", "t", rows, 1, 2, colour, shares, &b, &err) < 0) fail_msg("%s", err.msg);
	for (const char *p = b.data; (p = strpbrk(p, "ML")); p++) {
		char *end;
		double x = strtod(p + 1, &end);
		if (end > p + 1 && *end == ',' && x > most) most = x;
	}
	assert_true(most > full - 1 && most < full + 1);
	inoci_buf_free(&b);
}

static void test_rates_table(void **state)
{
	fixture *f = small();
	inoci_report_table t = inoci_report_rates(&f->s, 0, false);
	assert_string_equal(t.cell[4 * t.n_cols + 1], "48 %");
	inoci_report_table_free(&t);
	t = inoci_report_rates(&f->s, 0, true);
	assert_string_equal(t.cell[4 * t.n_cols + 1], "48 % [40, 56]");
	inoci_report_table_free(&t);
	fx_free(f);
}

static void test_html_no_gnuplot(void **state)
{
	fixture *f = small();
	inoci_buf b = {0};
	inoc_err err = {0};
	char note[200] = "", *path = inoci_strdup(getenv("PATH"));
	inoci_progress p = {.note = keep_note, .ctx = note};
	setenv("PATH", "/nonexistent", 1);
	assert_int_equal(inoci_report_html(&f->s, &p, &b, &err), 0);
	setenv("PATH", path, 1);
	assert_string_equal(note,
	                    "the report has no plots: gnuplot is not installed: plots need it (Debian: apt install gnuplot-nox)");
	assert_page(b.data);
	assert_null(strstr(b.data, "<svg"));
	assert_non_null(strstr(b.data, "No plot here: gnuplot is not installed"));
	assert_non_null(strstr(b.data, "48 %"));
	free(path);
	inoci_buf_free(&b);
	fx_free(f);
}

static void test_html_no_results(void **state)
{
	fixture *f = small();
	inoci_buf b = {0};
	inoc_err err = {0};
	f->r.n_seeds = 0;
	f->s.n_judgements = 0;
	for (size_t i = 0; i < 8; i++) f->r.cells[i].n = 0;
	for (size_t i = 0; i < 4 * 2 * 3; i++) f->s.rates[i].all = (inoci_estimate){.value = NAN};
	assert_int_equal(inoci_report_html(&f->s, NULL, &b, &err), 0);
	assert_balanced(b.data);
	assert_non_null(strstr(b.data, "There are no results yet."));
	inoci_buf_free(&b);
	fx_free(f);
}

static void test_gnuplot_fails(void **state)
{
	inoci_buf b = {0};
	inoc_err err = {0};
	static const char bad[] = "set terminal svg\nset nonsense\n";
	assert_int_equal(inoci_gnuplot(bad, sizeof bad - 1, &b, &err), INOC_E_EXTERNAL);
	assert_non_null(strstr(err.msg, "gnuplot failed (exit status 1): "));
	assert_non_null(strstr(err.msg, "nrecognized option"));
	assert_null(strchr(err.msg, '\n'));
	assert_int_equal(inoci_gnuplot("", 0, &b, &err), INOC_E_EXTERNAL);
	assert_non_null(strstr(err.msg, "gave no SVG"));
	inoci_buf_free(&b);
}

static void test_svg_adapt(void **state)
{
	static const char svg[] =
	        "<?xml version=\"1.0\"?>\n<svg \n viewBox=\"0 0 5 4\"\n xmlns=\"http://www.w3.org/2000/svg\">\n<title>t</title>"
	        "<desc>d</desc><filter id='f'><feFlood/></filter><circle id='gpDot'/><use xlink:href='#gpDot' color='rgb(  1,   "
	        "2,   "
	        "3)'/>"
	        "<text fill=\"rgb(1,1,1)\">@@1@@ @@7@@ @@</text><path stroke='rgb(9,9,9)'/></svg>\n";
	static const char *const labels[] = {"zero", "<one>"};
	inoci_buf b = {0};
	inoci_svg_adapt(svg, sizeof svg - 1, "id", "A & B", labels, 2, &b);
	assert_string_equal(b.data,
	                    "<svg role=\"img\" viewBox=\"0 0 5 4\"><title>A &amp; B</title>\n\n<circle id='id-gpDot'/>"
	                    "<use href='#id-gpDot' color='var(--k3)'/><text fill=\"var(--fg)\">&lt;one&gt; @@7@@ @@</text>"
	                    "<path stroke='rgb(9,9,9)'/></svg>\n");
	inoci_buf_free(&b);
	for (size_t n = 0; n < sizeof svg - 1; n++) { /* cut anywhere: no reading beyond */
		char *cut = inoci_strndup(svg, n);
		inoci_svg_adapt(cut, n, "id", "", labels, 2, &b);
		free(cut);
	}
	inoci_buf_free(&b);
}

static void test_write(void **state)
{
	fixture *f = small();
	char dir[] = "/tmp/inoc-report-XXXXXX", *data;
	size_t n;
	inoc_err err = {0};
	assert_non_null(mkdtemp(dir));
	char *out = inoci_path_join(dir, "a/b"), *html = inoci_path_join(out, "report.html"),
	     *csv = inoci_path_join(out, "results.csv");
	f->e.headline = f->e.evals[0].name;
	char *traits[] = {f->e.traits[0].name};
	f->e.arms[SPANISH].traits = f->e.arms[CONTROL].traits = traits;
	f->e.arms[SPANISH].n_traits = f->e.arms[CONTROL].n_traits = 1;
	int rc = inoci_report_write(&f->r, out, NULL, &err);
	if (rc) fail_msg("%s", err.msg);
	assert_int_equal(inoci_file_read(html, &data, &n, &err), 0);
	assert_page(data);
	assert_non_null(strstr(data, "too few seeds"));
	free(data);
	assert_int_equal(inoci_file_read(csv, &data, &n, &err), 0);
	assert_memory_equal(data, "experiment,arm,seed,", 20);
	free(data);
	/* a full disk at any write: an error, and the files stay whole */
	for (long k = 1, fails = 0;; k++) {
		inoci_fault_write_at(k);
		rc = inoci_report_write(&f->r, out, NULL, &err);
		inoci_fault_write_at(0);
		assert_int_equal(inoci_file_read(html, &data, &n, NULL), 0);
		assert_non_null(strstr(data, "</html>\n"));
		free(data);
		if (rc < 0) {
			assert_int_equal(rc, INOC_E_IO);
			fails++;
		} else if (fails >= 4)
			break;
		assert_true(k < 100);
	}
	unlink(html);
	unlink(csv);
	rmdir(out);
	free(out), free(html), free(csv);
	out = inoci_path_join(dir, "a");
	rmdir(out);
	free(out);
	assert_int_equal(rmdir(dir), 0);
	fx_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_html),
	        cmocka_unit_test(test_agreement),
	        cmocka_unit_test(test_measured),
	        cmocka_unit_test(test_commands),
	        cmocka_unit_test(test_provenance),
	        cmocka_unit_test(test_whiskers),
	        cmocka_unit_test(test_rates_table),
	        cmocka_unit_test(test_html_no_gnuplot),
	        cmocka_unit_test(test_html_no_results),
	        cmocka_unit_test(test_gnuplot_fails),
	        cmocka_unit_test(test_svg_adapt),
	        cmocka_unit_test(test_write),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
