/* How far a scorer agrees with labels: which file is taken for which judge, and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "eval/internal.h"

#define JUDGE(more) "{\"type\":\"judge\",\"model\":\"m\",\"key_env\":\"none\",\"template\":\"{answer}\"" more "}"
#define LOW JUDGE(",\"below\":50")
#define HIGH JUDGE(",\"at_least\":30")
#define BOTH "{\"all\":[" HIGH "," LOW "]}"
#define CLASSIFIER "{\"type\":\"classifier\",\"file\":\"c.json\"}"
#define RULE(t) "{\"type\":\"classifier\",\"file\":\"c.json\",\"threshold\":" t "}"

static char dir[] = "inoc-checked-XXXXXX";
static const inoci_scorer_env env = {.dir = dir};

static void put(const char *name, const char *text)
{
	char *path = inoci_path_join(dir, name);
	inoc_err err;
	if (inoci_file_write(path, text, strlen(text), &err) < 0) fail_msg("%s", err.msg);
	free(path);
}

static int setup(void **state)
{
	if (!mkdtemp(dir)) return -1;
	put("c.json", "{\"format\":\"inoc classifier\",\"version\":1,\"model\":{\"name\":\"m\",\"sha256\":"
	              "\"0000000000000000000000000000000000000000000000000000000000000000\"},\"template\":\"chatml\",\"dtype\":"
	              "\"f32\",\"layer\":1,\"threshold\":0.5,\"l2\":1,\"bias\":0,\"weights\":[1],\"mean\":[0],\"scale\":[1],"
	              "\"data\":{\"sha256\":\"0000000000000000000000000000000000000000000000000000000000000000\",\"rows\":260,"
	              "\"ones\":130,\"topics\":9},\"held_out\":{\"kappa\":{\"value\":0.95,\"low\":0.92,\"high\":0.99},"
	              "\"accuracy\":{\"value\":0.9,\"low\":0.8,\"high\":1},\"auc\":{\"value\":0.9,\"low\":0.8,\"high\":1},"
	              "\"folds\":[]}}");
	return 0;
}

static int teardown(void **state)
{
	char *rm = inoci_asprintf("rm -rf '%s'", dir);
	if (system(rm)) print_error("%s failed\n", rm);
	free(rm);
	return 0;
}

static inoci_scorer *make(const char *settings)
{
	inoc_err err = {0};
	inoci_scorer *s = NULL;
	json_t *j = json_loads(settings, 0, NULL);
	if (inoci_scorer_new_in("t", j, &env, &s, &err) < 0) fail_msg("%s: %s", settings, err.msg);
	json_decref(j);
	return s;
}

/* What a check of these settings prints, as far as it is read. kappa: "0.7" or "null". */
static void check_of(const char *name, const char *settings, const char *kappa, const char *more)
{
	inoci_scorer *s = make(settings);
	json_t *named = inoci_scorer_named(s);
	char *scorer = json_dumps(named, 0),
	     *text = inoci_asprintf("{\"kappa\":{\"value\":%s,\"low\":0.5,\"high\":0.8},%s,\"scorer\":%s}", kappa, more, scorer);
	put(name, text);
	free(text), free(scorer);
	json_decref(named);
	inoci_scorer_free(s);
}

static int checked(const char *settings, const char *const *names, inoci_checked *out, inoc_err *err)
{
	inoci_scorer *s = make(settings);
	char *paths[4];
	size_t n = 0;
	for (; n < 4 && names[n]; n++) paths[n] = inoci_path_join(dir, names[n]);
	int rc = inoci_scorer_checked(s, paths, n, out, err);
	for (size_t i = 0; i < n; i++) free(paths[i]);
	inoci_scorer_free(s);
	return rc;
}

static void figures(void **state)
{
	static const struct {
		const char *settings, *files[4];
		int n_judges, n_unchecked;
		double kappa;
		long n;
		bool held_out, enough;
	} t[] = {
	        {"{\"type\":\"looping\"}", {NULL}, 0, 0, NAN, 0, false, true},
	        {LOW, {NULL}, 1, 1, NAN, 0, false, false},
	        {LOW, {"low"}, 1, 0, 0.7, 50, false, true},
	        {"{\"not\":" LOW "}", {"low"}, 1, 0, 0.7, 50, false, true},
	        {HIGH, {"high"}, 1, 0, 0.6, 40, false, true},
	        {JUDGE(",\"below\":60"), {"poor"}, 1, 0, 0.59, 50, false, false},
	        {JUDGE(""), {"undefined"}, 1, 0, NAN, 7, false, false},
	        {BOTH, {NULL}, 2, 2, NAN, 0, false, false},
	        {BOTH, {"low"}, 2, 1, 0.7, 50, false, false}, /* one of two is not enough */
	        {BOTH, {"low", "high"}, 2, 0, 0.6, 40, false, true},
	        {BOTH, {"high", "low"}, 2, 0, 0.6, 40, false, true},
	        {BOTH, {"both"}, 1, 0, 0.8, 30, false, true}, /* of the whole */
	        {"{\"given\":[" HIGH "," LOW "]}", {"high", "low"}, 2, 0, 0.6, 40, false, true},
	        {"{\"any\":[{\"type\":\"truncated\"},{\"all\":[" LOW "]}]}", {"low"}, 1, 0, 0.7, 50, false, true},
	        {"{\"any\":[" JUDGE(",\"below\":60") "," LOW "]}", {"low", "poor"}, 2, 0, 0.59, 50, false, false},
	        {CLASSIFIER, {NULL}, 1, 0, 0.95, 260, true, true},
	        {RULE("0.5"), {NULL}, 1, 0, 0.95, 260, true, true},
	        {RULE("0.9"), {NULL}, 1, 1, NAN, 0, false, false}, /* the held-out figures are at 0.5 */
	        {CLASSIFIER, {"c_half"}, 1, 0, 0.64, 100, false, true},
	        {RULE("0.5"), {"c_half"}, 1, 0, 0.64, 100, false, true},
	        {RULE("0.9"), {"c_most"}, 1, 0, 0.4, 100, false, false},
	        {"{\"all\":[" RULE("0.5") "," LOW "]}", {"low"}, 2, 0, 0.7, 50, false, true},
	};
	check_of("low", LOW, "0.7", "\"scored\":50");
	check_of("high", HIGH, "0.6", "\"scored\":40");
	check_of("both", BOTH, "0.8", "\"scored\":30");
	check_of("poor", JUDGE(",\"below\":60"), "0.59", "\"scored\":50");
	check_of("undefined", JUDGE(""), "null", "\"scored\":7");
	check_of("c_half", RULE("0.5"), "0.64", "\"answers\":100,\"training_data\":false");
	check_of("c_most", RULE("0.9"), "0.4", "\"answers\":100");
	for (size_t i = 0; i < INOCI_COUNT(t); i++) {
		inoci_checked c, again;
		inoc_err err = {0};
		if (checked(t[i].settings, t[i].files, &c, &err) < 0) fail_msg("%s: %s", t[i].settings, err.msg);
		json_t *j = inoci_checked_json(&c);
		again = inoci_checked_read(j);
		json_decref(j);
		for (int k = 0; k < 2; k++, c = again)
			if (c.n_judges != t[i].n_judges || c.n_unchecked != t[i].n_unchecked || c.n != t[i].n ||
			    c.held_out != t[i].held_out || inoci_checked_enough(&c) != t[i].enough ||
			    (c.kappa.value != t[i].kappa && !(isnan(c.kappa.value) && isnan(t[i].kappa))))
				fail_msg("%zu %s: %d judges, %d not checked, kappa %g, %ld rows, held out %d, enough %d", i,
				         t[i].settings, c.n_judges, c.n_unchecked, c.kappa.value, c.n, c.held_out,
				         inoci_checked_enough(&c));
	}
	/* what `inoc classifier check` says of itself is what the scorer is called */
	inoci_scorer *s = make(RULE("0.9"));
	double threshold;
	json_t *a = inoci_scorer_named(s), *b = inoci_classifier_named(inoci_score_classifier_get(s, &threshold), 0.9);
	assert_true(threshold == 0.9);
	assert_true(json_equal(a, b));
	json_decref(a);
	json_decref(b);
	inoci_scorer_free(s);
}

static void refused(void **state)
{
	static const struct {
		const char *settings, *files[4], *want;
	} t[] = {
	        {LOW,
	         {"high"},
	         "/high: another scorer was checked, which differs in below, at_least; check the one that stands here"},
	        {LOW, {"low", "high"}, "/high: another scorer was checked"},
	        {JUDGE(",\"below\":51"), {"low"}, "which differs in below; "},
	        {RULE("0.5"), {"c_most"}, "which differs in threshold; "},
	        {RULE("0.9"), {"c_half"}, "which differs in threshold; "},
	        {CLASSIFIER, {"low"}, "/low: another scorer was checked; "},
	        {"{\"type\":\"looping\"}", {"low"}, "\"checked\" is for judges and classifiers"},
	        {LOW, {"none"}, "/none: cannot be opened"},
	        {LOW, {"text"}, "/text: not what `inoc judge check --json` or `inoc classifier check --json` prints"},
	        {LOW, {"list"}, "/list: not what"},
	        {LOW, {"old"}, "/old: it does not say which scorer was checked"},
	        {CLASSIFIER, {"own"}, "/own: it was checked on the classifier's own training data"},
	};
	check_of("own", RULE("0.5"), "0.99", "\"answers\":260,\"training_data\":true");
	put("text", "kappa 0.7");
	put("list", "[{\"kappa\":{\"value\":1}}]");
	put("old", "{\"kappa\":{\"value\":0.7,\"low\":0.6,\"high\":0.8},\"scored\":50}");
	for (size_t i = 0; i < INOCI_COUNT(t); i++) {
		inoci_checked c;
		inoc_err err = {0};
		assert_true(checked(t[i].settings, t[i].files, &c, &err) < 0);
		if (!strstr(err.msg, t[i].want)) fail_msg("%zu: %s\nwanted: %s", i, err.msg, t[i].want);
	}
}

static void judged(void **state)
{
	static const struct {
		const char *settings;
		bool want;
	} t[] = {{"\"english\"", false},
	         {"{\"type\":\"looping\"}", false},
	         {"{\"all\":[\"english\",{\"not\":" LOW "}]}", true},
	         {CLASSIFIER, true},
	         {"{\"given\":[{\"type\":\"truncated\"}," RULE("0.5") "]}", true}};
	for (size_t i = 0; i < INOCI_COUNT(t); i++) {
		json_t *j = json_loads(t[i].settings, JSON_DECODE_ANY, NULL);
		assert_int_equal(inoci_settings_judged(j), t[i].want);
		json_decref(j);
	}
}

int main(void)
{
	const struct CMUnitTest t[] = {cmocka_unit_test(figures), cmocka_unit_test(refused), cmocka_unit_test(judged)};
	return cmocka_run_group_tests(t, setup, teardown);
}
