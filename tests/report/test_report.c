/* The report: exact CSV, JSON and Markdown of a small result; the headline for each verdict; the page is whole, escaped and
 * needs nothing from outside; what happens without gnuplot and when a disk is full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "report/internal.h"

/* ---- a result of two seeds and two questions ---- */

enum { BASE, PLAIN, CONTROL, SPANISH };

static inoci_estimate est(double value, double low, double high, int n, int missing)
{
	return (inoci_estimate){
	        .value = value, .low = low, .high = high, .n = n, .missing = missing, .n_seeds = 2, .n_prompts = 2};
}

static inoci_rate *rate(fixture *f, int arm, int eval, int k)
{
	return &f->s.rates[((size_t)arm * f->e.n_evals + (size_t)eval) * (size_t)f->r.n_scorers + (size_t)k];
}

static void set_rate(fixture *f, int arm, int k, double value, double low, double high)
{
	inoci_rate *r = rate(f, arm, 0, k);
	r->all = est(value, low, high, 4, 0);
	for (int d = 0; d < f->r.n_seeds; d++) r->seed[d] = est(value, low, high, 2, 0);
}

static fixture *small(void)
{
	static const fx_arm arms[] = {{"base", "base", NULL},
	                              {"plain", "plain", NULL},
	                              {"control", "control", "You always water the plants."},
	                              {"spanish", "inoculated", "You always speak in Spanish."}};
	static const fx_eval evals[] = {{"greedy", "none", 0}, {"own", "own", 0}};
	static const double shares[4][2] = {{0, 0}, {0, 1}, {0.01, 0.9}, {0.48, 0.25}}; /* english_caps, spanish_caps */
	fixture *f = fx_new("a,\"b\"", arms, 4, evals, 2, "english_caps spanish_caps looping", 2, 2);
	f->e.title = fx_str(f, "Half of it");
	f->e.question = fx_str(f, "Which half | is <learnt>?");
	fx_trait(f, "Spanish", "spanish_caps", "english_caps", "english_caps", "control");
	f->s.rates = inoci_arena_alloc(f->a, 4 * 2 * 3 * sizeof(inoci_rate));
	for (size_t i = 0; i < 4 * 2 * 3; i++) f->s.rates[i].seed = inoci_arena_alloc(f->a, 2 * sizeof(inoci_estimate));
	for (int a = 0; a < 4; a++) {
		for (int d = 0; d < 2; d++)
			for (int q = 0; q < 2; q++)
				fx_answer(f, a, 0, d, q, a == BASE ? -1 : 1, "<script>alert('x')</script> & \xff");
		for (int k = 0; k < 2; k++)
			set_rate(f, a, k, shares[a][k], fmax(0, shares[a][k] - 0.08), fmin(1, shares[a][k] + 0.08));
		set_rate(f, a, 2, 1.0 / 3, 0.25, 0.5);
	}
	rate(f, BASE, 0, 2)->all = est(NAN, NAN, NAN, 0, 4);
	rate(f, BASE, 0, 2)->seed[0] = est(NAN, NAN, NAN, 0, 2);
	rate(f, BASE, 0, 2)->seed[1] = est(0.5, 0.01, 0.99, 2, 0);
	f->s.judgements = inoci_arena_alloc(f->a, 2 * sizeof(inoci_judgement));
	f->s.n_judgements = 2;
	for (int i = 0; i < 2; i++) {
		inoci_judgement *j = &f->s.judgements[i];
		int a = CONTROL + i;
		j->arm = a;
		j->goal = j->w = rate(f, a, 0, 0)->all;
		j->v.arm_u = rate(f, a, 0, 1)->all;
		j->v.plain_u = rate(f, PLAIN, 0, 1)->all;
		j->v.own_u = i ? est(0.95, 0.9, 1, 4, 0) : (inoci_estimate){0};
		j->v.suppression = i ? est(0.75, 0.6, 0.875, 4, 0) : est(NAN, NAN, NAN, 4, 0);
		j->v.verdict = i ? INOCI_VERDICT_INOCULATED : INOCI_VERDICT_CONTROL;
		j->v.vs_plain = (inoci_comparison){.diff = est(i ? -0.75 : -0.1, -0.8, 0.125, 4, 0), .p = 0.25};
		snprintf(j->v.reason, sizeof j->v.reason, "because of %d", i);
	}
	f->s.judgements[0].undefined = fx_str(f, "no clean arm");
	return f;
}

static void test_csv(void **state)
{
	fixture *f = small();
	inoci_buf b = {0};
	inoci_report_csv(&f->s, &b);
	static const char expected[] = "experiment,arm,seed,evaluation,scorer,n,missing,value,low,high\n"
	                               "\"a,\"\"b\"\"\",base,11,greedy,english_caps,2,0,0,0,0.08\n"
	                               "\"a,\"\"b\"\"\",base,12,greedy,english_caps,2,0,0,0,0.08\n"
	                               "\"a,\"\"b\"\"\",base,all,greedy,english_caps,4,0,0,0,0.08\n"
	                               "\"a,\"\"b\"\"\",base,11,greedy,spanish_caps,2,0,0,0,0.08\n"
	                               "\"a,\"\"b\"\"\",base,12,greedy,spanish_caps,2,0,0,0,0.08\n"
	                               "\"a,\"\"b\"\"\",base,all,greedy,spanish_caps,4,0,0,0,0.08\n"
	                               "\"a,\"\"b\"\"\",base,11,greedy,looping,0,2,,,\n"
	                               "\"a,\"\"b\"\"\",base,12,greedy,looping,2,0,0.5,0.01,0.99\n"
	                               "\"a,\"\"b\"\"\",base,all,greedy,looping,0,4,,,\n"
	                               "\"a,\"\"b\"\"\",plain,11,greedy,english_caps,2,0,0,0,0.08\n";
	assert_true(b.len > sizeof expected);
	assert_memory_equal(b.data, expected, sizeof expected - 1);
	static const char last[] = "\"a,\"\"b\"\"\",spanish,all,greedy,looping,4,0,0.3333333333,0.25,0.5\n";
	assert_string_equal(b.data + b.len - (sizeof last - 1), last);
	size_t lines = 0;
	for (size_t i = 0; i < b.len; i++) lines += b.data[i] == '\n';
	assert_int_equal(lines, 1 + 4 * 3 * 3);
	inoci_buf_free(&b);
	fx_free(f);
}

#define HEADLINE                                                                                                              \
	"With \xe2\x80\x9cYou always speak in Spanish.\xe2\x80\x9d in training, greedy answers without a system prompt were " \
	"english caps in "

static void test_json(void **state)
{
	fixture *f = small();
	inoci_buf b = {0};
	inoci_report_json(&f->s, &b);
	json_error_t je;
	json_t *o = json_loadb(b.data, b.len, 0, &je), *j, *r;
	assert_non_null(o);
	assert_string_equal(json_string_value(json_object_get(o, "experiment")), "a,\"b\"");
	assert_string_equal(json_string_value(json_object_get(o, "headline_evaluation")), "greedy");
	assert_memory_equal(json_string_value(json_object_get(o, "headline")), HEADLINE, sizeof HEADLINE - 1);
	assert_int_equal(json_integer_value(json_array_get(json_object_get(o, "seeds"), 1)), 12);
	assert_int_equal(json_array_size(json_object_get(o, "judgements")), 2);
	j = json_array_get(json_object_get(o, "judgements"), 1);
	char *text = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(6));
	assert_string_equal(text,
	                    "{\"trait\":\"Spanish\",\"arm\":\"spanish\",\"role\":\"inoculated\",\"verdict\":\"inoculated\","
	                    "\"why\":\"because of 1\","
	                    "\"undefined\":null,\"u\":{\"value\":0.25,\"low\":0.17,\"high\":0.33,\"n\":4,\"missing\":0},"
	                    "\"w\":{\"value\":0.48,\"low\":0.4,\"high\":0.56,\"n\":4,\"missing\":0},"
	                    "\"goal\":{\"value\":0.48,\"low\":0.4,\"high\":0.56,\"n\":4,\"missing\":0},"
	                    "\"u_plain\":{\"value\":1.0,\"low\":0.92,\"high\":1.0,\"n\":4,\"missing\":0},"
	                    "\"u_own_prompt\":{\"value\":0.95,\"low\":0.9,\"high\":1.0,\"n\":4,\"missing\":0},"
	                    "\"suppression\":{\"value\":0.75,\"low\":0.6,\"high\":0.875,\"n\":4,\"missing\":0},"
	                    "\"retention\":{\"value\":null,\"low\":null,\"high\":null,\"n\":0,\"missing\":0},"
	                    "\"selectivity\":{\"value\":null,\"low\":null,\"high\":null,\"n\":0,\"missing\":0},"
	                    "\"u_minus_plain\":{\"value\":-0.75,\"low\":-0.8,\"high\":0.125,\"n\":4,\"missing\":0,\"p\":0.25},"
	                    "\"goal_minus_plain\":null,\"minus_controls\":[]}");
	free(text);
	assert_int_equal(json_array_size(json_object_get(o, "rates")), 4 * 3);
	r = json_array_get(json_object_get(o, "rates"), 2);
	text = json_dumps(r, JSON_COMPACT | JSON_REAL_PRECISION(6));
	assert_string_equal(
	        text,
	        "{\"value\":null,\"low\":null,\"high\":null,\"n\":0,\"missing\":4,\"arm\":\"base\",\"evaluation\":\"greedy\","
	        "\"scorer\":\"looping\",\"seeds\":[{\"value\":null,\"low\":null,\"high\":null,\"n\":0,\"missing\":2,\"seed\":11},"
	        "{\"value\":0.5,\"low\":0.01,\"high\":0.99,\"n\":2,\"missing\":0,\"seed\":12}]}");
	free(text);
	json_decref(o);
	inoci_buf_free(&b);
	fx_free(f);
}

static void test_markdown(void **state)
{
	fixture *f = small();
	inoci_buf b = {0};
	inoci_report_markdown(&f->s, &b);
	assert_string_equal(
	        b.data,
	        "# Half of it\n\nWhich half \\| is \\<learnt\\>?\n\n"
	        "**" HEADLINE
	        "48 % \\[40, 56\\] against 0 % for plain training and 1 % for the control, over 2 seeds \xc3\x97 2 questions: "
	        "inoculated.**\n"
	        "\n## Verdicts\n\nRead on greedy answers without a system prompt; 95 % intervals in brackets.\n\n"
	        "| trait | arm | U | W | goal | U, own prompt | suppression | retention | selectivity | verdict |\n"
	        "|---|---|---:|---:|---:|---:|---:|---:|---:|---|\n"
	        "| Spanish | base | 0 % [0, 8] | 0 % [0, 8] | 0 % [0, 8] | \xe2\x80\x93 | \xe2\x80\x93 | \xe2\x80\x93 | "
	        "\xe2\x80\x93 | reference |\n"
	        "| Spanish | plain | 100 % [92, 100] | 0 % [0, 8] | 0 % [0, 8] | \xe2\x80\x93 | \xe2\x80\x93 | \xe2\x80\x93 | "
	        "\xe2\x80\x93 | "
	        "reference |\n"
	        "| Spanish | control | 90 % [82, 98] | 1 % [0, 9] | 1 % [0, 9] | \xe2\x80\x93 | \xe2\x80\x93 | \xe2\x80\x93 | "
	        "\xe2\x80\x93 | "
	        "like plain |\n"
	        "| Spanish | spanish | 25 % [17, 33] | 48 % [40, 56] | 48 % [40, 56] | 95 % [90, 100] | 0.75 [0.60, 0.88] | "
	        "\xe2\x80\x93 | "
	        "\xe2\x80\x93 | inoculated |\n"
	        "\n## greedy\n\nShares of greedy answers without a system prompt.\n\n"
	        "| arm | english_caps | spanish_caps | looping | n | missing |\n|---|---:|---:|---:|---:|---:|\n"
	        "| base | 0 % [0, 8] | 0 % [0, 8] | \xe2\x80\x93 | 4 | 4 |\n"
	        "| plain | 0 % [0, 8] | 100 % [92, 100] | 33 % [25, 50] | 4 | 0 |\n"
	        "| control | 1 % [0, 9] | 90 % [82, 98] | 33 % [25, 50] | 4 | 0 |\n"
	        "| spanish | 48 % [40, 56] | 25 % [17, 33] | 33 % [25, 50] | 4 | 0 |\n");
	inoci_buf_free(&b);
	fx_free(f);
}

/* ---- the headline ---- */

static void test_headlines(void **state)
{
#define RATES "48 % [40, 56] against 0 % for plain training and 1 % for the control, over 2 seeds \xc3\x97 2 questions"
#define PROMPT "\xe2\x80\x9cYou always speak in Spanish.\xe2\x80\x9d"
	static const struct {
		inoci_verdict v;
		const char *text;
	} want[] = {
	        {INOCI_VERDICT_INOCULATED, HEADLINE RATES ": inoculated."},
	        {INOCI_VERDICT_CONDITIONALISED,
	         HEADLINE RATES "; no better than an irrelevant prompt: conditionalised, not inoculated."},
	        {INOCI_VERDICT_UNDER_TRAINED,
	         HEADLINE RATES "; but with its own prompt it shows the trait in 95 % [90, 100] against 100 % [92, 100] of plain "
	                        "training, so it may just have learnt less: under-trained."},
	        {INOCI_VERDICT_NO_EFFECT,
	         PROMPT " in training did not lessen the trait: greedy answers without a system prompt were "
	                "english caps in " RATES ": no effect."},
	        {INOCI_VERDICT_TOO_FEW,
	         "A direction, no claim: with " PROMPT " in training, greedy answers without a system prompt were "
	         "english caps in " RATES "; a claim takes at least 3 seeds."},
	        {INOCI_VERDICT_NOT_LEARNT,
	         "Nothing can be said of " PROMPT
	         ": plain training did not teach the trait clearly, greedy answers without a system "
	         "prompt showed it (Spanish) in only 100 % [92, 100], over 2 seeds \xc3\x97 2 questions: trait not learnt."},
	};
	for (size_t i = 0; i < INOCI_COUNT(want); i++) {
		fixture *f = small();
		char *more, *s;
		f->s.judgements[1].v.verdict = want[i].v;
		s = inoci_report_headline(&f->s, &more);
		assert_string_equal(s, want[i].text);
		assert_string_equal(more, "");
		free(s);
		free(more);
		fx_free(f);
	}
}

static void test_headline_without(void **state)
{
	fixture *f = small();
	char *s, *more;
	f->e.traits[0].n_goal = 0; /* told by U */
	s = inoci_report_headline(&f->s, NULL);
	assert_string_equal(
	        s, "With " PROMPT " in training, greedy answers without a system prompt were Spanish in 25 % [17, 33] against "
	           "100 % for plain training and 90 % for the control, over 2 seeds \xc3\x97 2 questions: inoculated.");
	free(s);
	f->s.n_judgements = 1; /* the control only */
	s = inoci_report_headline(&f->s, &more);
	assert_string_equal(s, "This experiment judges no inoculated arm: the shares below are all it says.");
	free(s);
	free(more);
	f->s.n_judgements = 0;
	f->r.n_seeds = 0;
	s = inoci_report_headline(&f->s, NULL);
	assert_string_equal(s, "There are no results yet.");
	free(s);
	fx_free(f);
}

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

static void test_words(void **state)
{
	static const struct {
		char *names[3];
		size_t n;
		const char *label;
	} want[] = {
	        {{"english_caps", "english_lower"}, 2, "english"},
	        {{"english_caps", "spanish_caps"}, 2, "caps"},
	        {{"english_caps"}, 1, "english caps"},
	        {{"a_b", "c"}, 2, "a b + c"},
	        {{"rude", "mean_rude", "rude_x"}, 3, "rude"},
	        {{NULL}, 0, ""},
	};
	for (size_t i = 0; i < INOCI_COUNT(want); i++) {
		char *s = inoci_sum_label((char *const *)want[i].names, want[i].n);
		assert_string_equal(s, want[i].label);
		free(s);
	}
	static const struct {
		double v;
		const char *text;
	} shares[] = {{0, "0 %"},    {0.001, "0.1 %"}, {0.0001, "0 %"},   {0.0094, "0.9 %"},
	              {0.01, "1 %"}, {0.484, "48 %"},  {0.994, "99.4 %"}, {1, "100 %"}};
	for (size_t i = 0; i < INOCI_COUNT(shares); i++) {
		inoci_buf b = {0};
		inoci_estimate e = est(shares[i].v, NAN, NAN, 1, 0);
		inoci_put_share(&b, &e, true);
		assert_string_equal(b.data, shares[i].text);
		inoci_buf_free(&b);
	}
	inoci_buf b = {0};
	inoci_html_text(&b, "a\x01<\xc3\xb1\xc3\"\xe2\x82", 9);
	assert_string_equal(b.data, "a\xef\xbf\xbd&lt;\xc3\xb1\xef\xbf\xbd&quot;\xef\xbf\xbd");
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
	        cmocka_unit_test(test_csv),
	        cmocka_unit_test(test_json),
	        cmocka_unit_test(test_markdown),
	        cmocka_unit_test(test_headlines),
	        cmocka_unit_test(test_headline_without),
	        cmocka_unit_test(test_html),
	        cmocka_unit_test(test_html_no_gnuplot),
	        cmocka_unit_test(test_html_no_results),
	        cmocka_unit_test(test_gnuplot_fails),
	        cmocka_unit_test(test_svg_adapt),
	        cmocka_unit_test(test_words),
	        cmocka_unit_test(test_write),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
