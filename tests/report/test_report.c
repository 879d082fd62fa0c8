/* The report: exact CSV, JSON and Markdown of a small result; the headline for each verdict. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "report/internal.h"

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
	"English caps in "

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
	assert_string_equal(
	        text,
	        "{\"trait\":\"Spanish\",\"arm\":\"spanish\",\"role\":\"inoculated\",\"verdict\":\"inoculated\","
	        "\"for_headline\":true,\"why\":\"because of 1\","
	        "\"undefined\":null,\"u\":{\"value\":0.25,\"low\":0.17,\"high\":0.33,\"n\":4,\"missing\":0,\"n_seeds\":2,\"n_"
	        "prompts\":2},"
	        "\"w\":{\"value\":0.48,\"low\":0.4,\"high\":0.56,\"n\":4,\"missing\":0,\"n_seeds\":2,\"n_prompts\":2},"
	        "\"goal\":{\"value\":0.48,\"low\":0.4,\"high\":0.56,\"n\":4,\"missing\":0,\"n_seeds\":2,\"n_prompts\":2},"
	        "\"u_plain\":{\"value\":1.0,\"low\":0.92,\"high\":1.0,\"n\":4,\"missing\":0,\"n_seeds\":2,\"n_prompts\":2},"
	        "\"u_own_prompt\":{\"value\":0.95,\"low\":0.9,\"high\":1.0,\"n\":4,\"missing\":0,\"n_seeds\":2,\"n_prompts\":2},"
	        "\"suppression\":{\"value\":0.75,\"low\":0.6,\"high\":0.875,\"n\":4,\"missing\":0,\"n_seeds\":2,\"n_prompts\":2},"
	        "\"retention\":{\"value\":null,\"low\":null,\"high\":null,\"n\":0,\"missing\":0,\"n_seeds\":0,\"n_prompts\":0},"
	        "\"selectivity\":{\"value\":null,\"low\":null,\"high\":null,\"n\":0,\"missing\":0,\"n_seeds\":0,\"n_prompts\":0},"
	        "\"u_minus_plain\":{\"value\":-0.75,\"low\":-0.8,\"high\":0.125,\"n\":4,\"missing\":0,\"n_seeds\":2,\"n_"
	        "prompts\":2,\"p\":0.25},"
	        "\"goal_minus_plain\":null,\"minus_controls\":[]}");
	free(text);
	assert_int_equal(json_array_size(json_object_get(o, "rates")), 4 * 3);
	r = json_array_get(json_object_get(o, "rates"), 2);
	text = json_dumps(r, JSON_COMPACT | JSON_REAL_PRECISION(6));
	assert_string_equal(
	        text,
	        "{\"value\":null,\"low\":null,\"high\":null,\"n\":0,\"missing\":4,\"n_seeds\":2,\"n_prompts\":2,\"arm\":\"base\","
	        "\"evaluation\":\"greedy\","
	        "\"scorer\":\"looping\",\"seeds\":[{\"value\":null,\"low\":null,\"high\":null,\"n\":0,\"missing\":2,\"n_seeds\":"
	        "2,\"n_prompts\":2,\"seed\":11},"
	        "{\"value\":0.5,\"low\":0.01,\"high\":0.99,\"n\":2,\"missing\":0,\"n_seeds\":2,\"n_prompts\":2,\"seed\":12}]}");
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
	        "| trait | arm | U | W | goal | n | loops / cut | U, own prompt | suppression | retention | selectivity | "
	        "verdict |\n"
	        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|\n"
	        "| Spanish | base | 0 % [0, 8] | 0 % [0, 8] | 0 % [0, 8] | 4 | \xe2\x80\x93 | \xe2\x80\x93 | \xe2\x80\x93 | "
	        "\xe2\x80\x93 | "
	        "\xe2\x80\x93 | reference |\n"
	        "| Spanish | plain | 100 % [92, 100] | 0 % [0, 8] | 0 % [0, 8] | 4 | 33 / \xe2\x80\x93 % | \xe2\x80\x93 | "
	        "\xe2\x80\x93 | \xe2\x80\x93 | "
	        "\xe2\x80\x93 | "
	        "reference |\n"
	        "| Spanish | control | 90 % [82, 98] | 1 % [0, 9] | 1 % [0, 9] | 4 | 33 / \xe2\x80\x93 % | \xe2\x80\x93 | "
	        "\xe2\x80\x93 | \xe2\x80\x93 | "
	        "\xe2\x80\x93 | "
	        "like plain |\n"
	        "| Spanish | spanish | 25 % [17, 33] | 48 % [40, 56] | 48 % [40, 56] | 4 | 33 / \xe2\x80\x93 % | 95 % [90, 100] "
	        "| 0.75 [0.60, 0.88] | "
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
	         PROMPT " in training did not clearly lessen the trait: greedy answers without a system prompt were "
	                "English caps in " RATES ": no clear effect."},
	        {INOCI_VERDICT_TOO_FEW,
	         "A direction, no claim: with " PROMPT " in training, greedy answers without a system prompt were "
	         "English caps in " RATES "; a claim takes at least 3 seeds."},
	        {INOCI_VERDICT_NOT_LEARNT,
	         "Nothing can be said of " PROMPT
	         ": plain training did not teach the trait clearly; greedy answers without a system "
	         "prompt showed it (Spanish) in 100 % [92, 100], over 2 seeds \xc3\x97 2 questions: trait not learnt."},
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

/* Of what was not learnt: U is told by its rate, the rest by the verdict's reason. */
static void test_headline_unlearnt(void **state)
{
	fixture *f = small();
	f->s.judgements[1].v.verdict = INOCI_VERDICT_NOT_LEARNT;
	f->s.judgements[1].v.unlearnt = INOCI_UNLEARNT_ANSWERS;
	char *s = inoci_report_headline(&f->s, NULL);
	assert_string_equal(s, "Nothing can be said of " PROMPT
	                       ": because of 1, over 2 seeds \xc3\x97 2 questions: trait not learnt.");
	free(s);
	f->s.judgements[1].v.unlearnt = INOCI_UNLEARNT_U;
	s = inoci_report_headline(&f->s, NULL);
	assert_non_null(strstr(s, "did not teach the trait clearly"));
	free(s);
	fx_free(f);
}

/* Loops, cut answers and, where it is scored there, unknown ones. */
static void test_quality(void **state)
{
	static const fx_arm arms[] = {{"plain", "plain", NULL}};
	static const fx_eval evals[] = {{"g", "none", 1}};
	fixture *f = fx_new("q", arms, 1, evals, 1, "truncated unknown looping", 1, 1);
	f->s.rates = inoci_arena_alloc(f->a, 3 * sizeof(inoci_rate));
	rate(f, 0, 0, 0)->all = est(0.02, 0, 0.1, 200, 0);
	rate(f, 0, 0, 1)->all = est(0, 0, 0.1, 200, 0);
	rate(f, 0, 0, 2)->all = est(0.004, 0, 0.1, 200, 0);
	char *s = inoci_quality(&f->s, 0);
	assert_string_equal(s, "0.4 / 2 / 0 %");
	assert_string_equal(inoci_quality_head(&f->s), "loops / cut / unknown");
	free(s);
	char *on[] = {NULL, fx_str(f, ","), fx_str(f, ",")}; /* not of this evaluation */
	f->r.on = on;
	s = inoci_quality(&f->s, 0);
	assert_string_equal(s, "\xe2\x80\x93 / 2 %");
	assert_string_equal(inoci_quality_head(&f->s), "loops / cut");
	free(s);
	f->r.on = NULL;
	fx_free(f);
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

/* Beside what rests on a judge or classifier stands its kappa, or that it is not for a headline. */
static void test_agreement(void **state)
{
#define AFTER(text) HEADLINE RATES ": inoculated." text
#define ENGLISH "english_caps agrees with people: kappa 0.75 [0.60, 0.88], 50 rows."
	static const struct {
		inoci_checked u, w; /* of spanish_caps; of english_caps, which is the goal too */
		const char *text, *verdict;
	} t[] = {
	        {{0}, {.n_judges = 1, .kappa = {0.75, 0.6, 0.88}, .n = 50}, AFTER(" Scorer " ENGLISH), "inoculated"},
	        {{.n_judges = 1, .kappa = {0.6, 0.3, 0.9}, .n = 30, .held_out = true},
	         {0},
	         AFTER(" Scorer spanish_caps agrees with people: kappa 0.60 [0.30, 0.90], 30 held-out rows of its own training "
	               "data."),
	         "inoculated"},
	        {{.n_judges = 1, .n_unchecked = 1, .kappa = {NAN, NAN, NAN}},
	         {.n_judges = 1, .kappa = {0.75, 0.6, 0.88}, .n = 50},
	         AFTER(" Not for a headline: nothing says how well scorer spanish_caps agrees with people. Scorer " ENGLISH),
	         "inoculated (not for a headline)"},
	        {{.n_judges = 2, .kappa = {0.5949, 0.4, 0.7}, .n = 40},
	         {0},
	         AFTER(" Not for a headline: scorer spanish_caps agrees too little with people: kappa 0.59 [0.40, 0.70], 40 "
	               "rows, "
	               "the least of its 2 judges; 0.6 is needed."),
	         "inoculated (not for a headline)"},
	        {{.n_judges = 1, .kappa = {NAN, NAN, NAN}, .n = 7},
	         {0},
	         AFTER(" Not for a headline: scorer spanish_caps agrees too little with people: kappa undefined, 7 rows; 0.6 is "
	               "needed."),
	         "inoculated (not for a headline)"},
	        {{.n_judges = 2, .n_unchecked = 1, .kappa = {0.8, 0.7, 0.9}, .n = 40},
	         {0},
	         AFTER(" Not for a headline: nothing says how well 1 of the 2 judges of spanish_caps agrees with people."),
	         "inoculated (not for a headline)"},
	};
	for (size_t i = 0; i < INOCI_COUNT(t); i++) {
		fixture *f = small();
		inoci_checked c[] = {t[i].w, t[i].u, {0}};
		inoci_buf b = {0};
		bool marked = strchr(t[i].verdict, '(');
		f->r.checked = c;
		char *s = inoci_report_headline(&f->s, NULL), *cell = inoci_asprintf("| %s |\n", t[i].verdict);
		assert_string_equal(s, t[i].text);
		assert_int_equal(inoci_report_for_headline(&f->r, 0), !marked);
		free(s);
		inoci_report_markdown(&f->s, &b);
		assert_non_null(strstr(b.data, cell));
		assert_int_equal(strstr(b.data, "like plain (not for a headline) |") != NULL, marked);
		assert_null(strstr(b.data, "reference ("));
		free(cell);
		inoci_buf_clear(&b);
		inoci_report_json(&f->s, &b);
		json_t *o = json_loadb(b.data, b.len, 0, NULL), *a = json_object_get(o, "agreement"), *x;
		assert_int_equal(json_array_size(a), (t[i].u.n_judges > 0) + (t[i].w.n_judges > 0));
		x = json_array_get(a, json_array_size(a) - 1);
		if (t[i].u.n_judges) {
			assert_string_equal(json_string_value(json_object_get(x, "scorer")), "spanish_caps");
			assert_int_equal(json_is_true(json_object_get(x, "for_headline")), !marked);
			assert_int_equal(json_integer_value(json_object_get(x, "rows")), t[i].u.n);
		}
		x = json_array_get(json_object_get(o, "judgements"), 1);
		assert_int_equal(json_is_true(json_object_get(x, "for_headline")), !marked);
		assert_string_equal(json_string_value(json_object_get(x, "verdict")), "inoculated");
		json_decref(o);
		inoci_buf_free(&b);
		fx_free(f);
	}
}

static void test_words(void **state)
{
	static const struct {
		char *names[3];
		size_t n;
		const char *label;
	} want[] = {
	        {{"english_caps", "english_lower"}, 2, "English"},
	        {{"english_caps", "spanish_caps"}, 2, "caps"},
	        {{"english_caps"}, 1, "English caps"},
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

static char *md(fixture *f)
{
	inoci_buf b = {0};
	inoci_report_markdown(&f->s, &b);
	return inoci_buf_take(&b);
}

/* Numbers that are no shares are printed as they are, in no bar and no per cent. */
static void test_real(void **state)
{
	fixture *f = small();
	static const struct {
		double value, low, high;
		const char *text;
	} t[] = {{-0.58715, -0.6, -0.571, "-0.587 [-0.600, -0.571]"},
	         {12.345, 9.5, 14, "12.35 [9.50, 14.00]"},
	         {-99, -120, -80, "-99.0 [-120.0, -80.0]"},
	         {3, NAN, NAN, "3.000"},
	         {NAN, NAN, NAN, "\xe2\x80\x93"}};
	for (size_t i = 0; i < INOCI_COUNT(t); i++) {
		inoci_buf b = {0};
		inoci_estimate e = est(t[i].value, t[i].low, t[i].high, 4, 0);
		e.real = true;
		inoci_put_share(&b, &e, true);
		assert_string_equal(b.data, t[i].text);
		inoci_buf_free(&b);
	}
	f->r.real = (bool[]){false, false, true};
	for (int a = 0; a < 4; a++) {
		rate(f, a, 0, 2)->all = est(40 + a, 30, 50, 4, 0);
		rate(f, a, 0, 2)->all.real = true;
	}
	inoci_classes c = inoci_classes_new(&f->s);
	assert_int_equal(c.n, 2);
	inoci_classes_free(&c);
	char *text = md(f);
	assert_non_null(strstr(text, "\n## greedy\n\nShares and means of greedy answers"));
	assert_non_null(strstr(text, "| plain | 0 % [0, 8] | 100 % [92, 100] | 41.00 [30.00, 50.00] | 4 | 0 |"));
	free(text);
	inoci_buf b = {0};
	inoci_report_json(&f->s, &b);
	assert_non_null(strstr(b.data,
	                       "\"n_prompts\": 2,\n   \"real\": true,\n   \"arm\": \"base\",\n   \"evaluation\": \"greedy\",\n   "
	                       "\"scorer\": \"looping\""));
	inoci_buf_free(&b);
	/* U itself */
	for (int a = 0; a < 4; a++) rate(f, a, 0, 1)->all.real = rate(f, a, 0, 0)->all.real = true;
	f->s.judgements[1].goal.real = f->s.judgements[1].v.arm_u.real = f->s.judgements[0].goal.real = true;
	char *head = inoci_report_headline(&f->s, NULL);
	assert_non_null(strstr(head,
	                       "had a mean English caps of 0.480 [0.400, 0.560] against 0.000 for plain training and 0.010 for "
	                       "the control, over 2 seeds"));
	free(head);
	fx_free(f);
}

static void test_paper(void **state)
{
	fixture *f = small();
	inoci_buf b = {0};
	f->r.ci = INOCI_CI_PAPER;
	char *text = md(f), *head = inoci_report_headline(&f->s, NULL);
	assert_non_null(strstr(text, "; the papers' own 95 % intervals, over runs alone (--ci paper), in brackets.\n\n| trait"));
	assert_non_null(strstr(text, "; the papers' own 95 % intervals, over runs alone (--ci paper), in brackets.\n\n| arm"));
	assert_non_null(strstr(head, "over 2 seeds \xc3\x97 2 questions (intervals: the papers' own, over runs alone)"));
	free(text);
	free(head);
	inoci_report_csv(&f->s, &b);
	assert_memory_equal(b.data, "experiment,arm,seed,evaluation,scorer,n,missing,value,low,high,ci\n", 66);
	assert_string_equal(b.data + b.len - 16, ",0.25,0.5,paper\n");
	inoci_buf_clear(&b);
	inoci_report_json(&f->s, &b);
	assert_non_null(strstr(b.data, "\"ci\": \"paper\""));
	inoci_buf_free(&b);
	fx_free(f);
}

static void test_expectations(void **state)
{
	fixture *f = small();
	inoci_buf b = {0};
	inoc_err err = {0};
	assert_int_equal(inoci_report_expectations(&f->s, &b, &err), 0);
	assert_int_equal(b.len, 0);
	f->s.met = (inoci_met[]){{.met = true, .text = fx_str(f, "a <b>")}, {.text = fx_str(f, "c")}};
	f->s.n_met = 1;
	assert_int_equal(inoci_report_expectations(&f->s, &b, &err), 0);
	assert_string_equal(b.data, "met      a <b>\n");
	inoci_buf_clear(&b);
	f->s.n_met = 2;
	assert_int_equal(inoci_report_expectations(&f->s, &b, &err), INOC_E_CHECK);
	assert_string_equal(b.data, "met      a <b>\nNOT MET  c\n");
	assert_string_equal(err.msg, "1 of 2 expectations of the experiment is not met");
	inoci_buf_clear(&b);
	char *text = md(f);
	assert_non_null(strstr(text, "\n## Expectations\n\n- met: a \\<b\\>\n- **not met**: c\n"));
	free(text);
	assert_int_equal(inoci_report_html(&f->s, NULL, &b, &err), 0);
	assert_non_null(strstr(b.data, "1 of 2 expectations of the experiment file are not met."));
	assert_non_null(strstr(b.data, "<span class=\"badge good\">met</span></td><td>a &lt;b&gt;</td>"));
	assert_non_null(strstr(b.data, "<span class=\"badge warn\">not met</span></td><td>c</td>"));
	inoci_buf_free(&b);
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
	        cmocka_unit_test(test_agreement),
	        cmocka_unit_test(test_headline_unlearnt),
	        cmocka_unit_test(test_quality),
	        cmocka_unit_test(test_words),
	        cmocka_unit_test(test_real),
	        cmocka_unit_test(test_paper),
	        cmocka_unit_test(test_expectations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
