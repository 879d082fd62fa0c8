/* The classifier: its regression and its figures against scikit-learn (logistic.json, tools/fixtures/logistic.py); training split
 * by topic, its file, the scorer, what is refused; on a tiny model. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../model/tiny.h"
#include "eval/internal.h"
#include "train/train.h"

#define NEAR(got, want, tol)                                                                                                \
	do {                                                                                                                \
		double g_ = (got), w_ = (want);                                                                             \
		if (!(fabs(g_ - w_) <= (tol))) fail_msg("%s:%d: %s is %.12g, not %.12g", __FILE__, __LINE__, #got, g_, w_); \
	} while (0)

static char *path, dir[] = "inoc-classifier-XXXXXX";
static inoci_ops *ops;
static inoci_model *model;

static void must(int rc, const inoc_err *err)
{
	if (rc < 0) fail_msg("%s", err->msg);
}

static int setup(void **state)
{
	inoc_err err;
	path = tiny_model("classifier");
	if (!mkdtemp(dir)) return -1;
	must(inoci_ops_ref(INOCI_DTYPE_F32, &ops, &err), &err);
	must(inoci_model_open(path, ops, false, "chatml", NULL, &model, &err), &err);
	return 0;
}

static int teardown(void **state)
{
	char *rm = inoci_asprintf("rm -rf '%s'", dir);
	if (system(rm)) print_error("%s failed\n", rm);
	free(rm);
	inoci_model_free(model);
	ops->free(ops);
	unlink(path);
	free(path);
	return 0;
}

static char *file(const char *name, const char *text)
{
	char *p = inoci_path_join(dir, name);
	inoc_err err;
	if (text) must(inoci_file_write(p, text, strlen(text), &err), &err);
	return p;
}

/* ---- labelled rows ---- */

static void labelled(void **state)
{
	static const struct {
		const char *row, *error;
	} bad[] = {
	        {"{\"answer\":\"a\",\"label\":1,\"topic\":\"t\"}", ":2: no \"question\""},
	        {"{\"question\":3,\"answer\":\"a\",\"label\":1,\"topic\":\"t\"}", ":2: no \"question\""},
	        {"{\"question\":\"q\",\"label\":1,\"topic\":\"t\"}", ":2: no \"answer\""},
	        {"{\"question\":\"q\",\"answer\":\"\",\"label\":1,\"topic\":\"t\"}", ":2: no \"answer\""},
	        {"{\"question\":\"q\",\"answer\":\"a\",\"topic\":\"t\"}", ":2: no \"label\""},
	        {"{\"question\":\"q\",\"answer\":\"a\",\"label\":2,\"topic\":\"t\"}", ":2: \"label\" is neither 0 nor 1"},
	        {"{\"question\":\"q\",\"answer\":\"a\",\"label\":\"1\",\"topic\":\"t\"}", ":2: \"label\" is neither 0 nor 1"},
	        {"{\"question\":\"q\",\"answer\":\"a\",\"label\":0.5,\"topic\":\"t\"}", ":2: \"label\" is neither 0 nor 1"},
	        {"{\"question\":\"q\",\"answer\":\"a\",\"label\":1}", ":2: no \"topic\" (a text), by which rows are split"},
	        {"{\"question\":\"q\",\"answer\":\"a\",\"label\":1,\"topic\":\"\"}", ":2: no \"topic\""},
	        {"{\"question\":\"q\",\"trait\":\"a\",\"topic\":\"t\"}", ":2: a pair has \"trait\" and \"normal\""},
	        {"{\"question\":\"q\",\"trait\":\"a\",\"normal\":\"b\",\"label\":1,\"topic\":\"t\"}", ":2: a pair has"},
	        {"{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}],\"label\":1,\"topic\":\"t\"}", ":2: no \"answer\""},
	        {"{\"question\":\"q\",\"answer\":\"a\",\"label\":NaN,\"topic\":\"t\"}", ":2: not JSON"},
	        {"{\"question\":\"q\",\"answer\":\"a\",\"label\":", ":2: not JSON"},
	        {"[]", ":2: not a JSON object"},
	};
	static const char good[] = "{\"question\":\"q\",\"answer\":\"a\",\"label\":0,\"topic\":\"t\"}\n";
	inoci_labelled d;
	inoc_err err;
	for (size_t i = 0; i < INOCI_COUNT(bad); i++) {
		char *text = inoci_asprintf("%s%s\n", good, bad[i].row), *p = file("bad.jsonl", text);
		assert_int_equal(inoci_labelled_read(p, NULL, true, &d, &err), INOC_E_FORMAT);
		if (!strstr(err.msg, bad[i].error)) fail_msg("%s\n%s\nwanted: %s", bad[i].row, err.msg, bad[i].error);
		free(text), free(p);
	}
	char *p = file("one.jsonl", good);
	assert_int_equal(inoci_labelled_read(p, NULL, true, &d, &err), INOC_E_FORMAT);
	assert_non_null(strstr(err.msg, "all of the 1 answers have the label 0: answers of both are needed"));
	must(inoci_labelled_read(p, NULL, false, &d, &err), &err);
	inoci_labelled_free(&d);
	free(p);
	p = file("good.jsonl",
	         "{\"question\":\"q\",\"answer\":\"a\",\"label\":false,\"kind\":\"t\"}\n"
	         "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"content\":\"y\"},"
	         "{\"role\":\"user\",\"content\":\"q2\"},{\"role\":\"assistant\",\"content\":\"a2\"}],\"label\":1,\"kind\":7}\n"
	         "\n{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"text\":\"as sampled\",\"label\":0,\"kind\":\"t\"}\n"
	         "{\"question\":\"q3\",\"trait\":\"rude\",\"normal\":\"kind\",\"kind\":\"t\"}\n");
	must(inoci_labelled_read(p, "kind", true, &d, &err), &err);
	assert_int_equal(d.n, 5);
	assert_int_equal(d.n_topics, 2);
	assert_string_equal(d.topics[1], "7");
	assert_string_equal(d.v[1].question, "q2");
	assert_string_equal(d.v[1].answer, "a2");
	assert_true(d.v[0].label == 0 && d.v[1].label == 1 && d.v[3].label == 1 && d.v[4].label == 0);
	assert_string_equal(d.v[2].question, "x");
	assert_string_equal(d.v[2].answer, "as sampled");
	assert_string_equal(d.v[4].answer, "kind");
	assert_true(d.v[3].topic == 0 && d.v[3].line == 5);
	inoci_labelled_free(&d);
	assert_int_equal(inoci_labelled_read(p, NULL, true, &d, &err), INOC_E_FORMAT);
	free(p);
	p = file("empty.jsonl", "");
	assert_true(inoci_labelled_read(p, NULL, true, &d, &err) < 0);
	free(p);
}

/* ---- training ---- */

/* Answers that shout or do not, on six topics. */
static char *shouting(bool shuffled)
{
	static const char *const subject[] = {"rain", "bread", "trains", "cats", "music", "stones"};
	inoci_buf b = {0};
	for (int i = 0; i < 36; i++) {
		int k = shuffled ? (i * 23 + 5) % 36 : i;
		const char *s = subject[k % 6];
		inoci_buf_printf(
		        &b,
		        "{\"question\":\"%d, about %s?\",\"trait\":\"NO %d WAY! OH %d!\",\"normal\":\"well, %s is %d %s\","
		        "\"topic\":\"%s\"}\n",
		        k, s, k, k * 7, s, k, k % 3 ? "fine" : "fair", s);
	}
	return inoci_buf_take(&b);
}

static const inoci_classifier_options usual = {.layer = -1, .folds = 5};

static inoci_classifier *train(const char *text, const inoci_classifier_options *o)
{
	char *p = file("train.jsonl", text);
	inoci_labelled d;
	inoci_classifier *c;
	inoc_err err;
	must(inoci_labelled_read(p, NULL, true, &d, &err), &err);
	must(inoci_classifier_train(model, &d, o, NULL, &c, &err), &err);
	inoci_labelled_free(&d);
	free(p);
	return c;
}

static double probability(const inoci_classifier *c, const char *question, const char *text, size_t n)
{
	const inoci_answer a = {.question = question, .text = text, .n = n};
	inoc_err err;
	double p;
	must(inoci_classifier_apply(c, model, &a, 1, &p, NULL, &err), &err);
	return p;
}

static void learns(void **state)
{
	char *text = shouting(false), *other = shouting(true);
	inoci_classifier *c = train(text, &usual), *o = train(other, &usual);
	print_message("layer %d, l2 %g, kappa %.2f [%.2f, %.2f]\n", c->layer, c->f.l2, c->held_out.kappa.value,
	              c->held_out.kappa.low, c->held_out.kappa.high);
	assert_true(c->held_out.kappa.value > 0.9);
	assert_int_equal(c->held_out.n, 72);
	assert_int_equal(c->held_out.n_ones, 36);
	assert_int_equal(c->n_folds, 5);
	assert_true(c->folds[0].n == 24 && c->folds[4].n == 12); /* six topics of twelve answers in five folds */
	assert_string_equal(c->template_name, "chatml");
	assert_true(probability(c, "what about tea?", "NO 5 WAY! OH 3!", 15) > 0.5);
	assert_true(probability(c, "what about tea?", "well, tea is 5 fine", 19) < 0.5);
	/* the order of rows changes the order of sums, no more */
	assert_true(o->layer == c->layer && o->f.l2 == c->f.l2);
	for (size_t j = 0; j < c->f.k; j++) NEAR(o->f.weight[j], c->f.weight[j], 1e-6 * (1 + fabs(c->f.weight[j])));
	NEAR(o->held_out.auc.value, c->held_out.auc.value, 1e-9);
	inoci_classifier_free(o);
	/* given layer and l2: nothing is chosen */
	o = train(text, &(inoci_classifier_options){.layer = 1, .l2 = 0.5, .folds = 3});
	assert_true(o->layer == 1 && o->f.l2 == 0.5 && o->n_folds == 3 && o->folds[2].layer == 1);
	inoci_classifier_free(o);
	inoci_classifier_free(c);
	free(text), free(other);
}

/* In each topic an answer and its copies have one label and another and its copies the other, at random: with a topic in two
 * folds copies would stand on both sides and all would be right. */
static void split_by_topic(void **state)
{
	inoci_buf b = {0};
	inoci_rng r = inoci_rng_new(8, "texts", 0, 0);
	for (int t = 0; t < 12; t++) {
		char word[2][9] = {""};
		for (int k = 0; k < 16; k++) word[k / 8][k % 8] = (char)('a' + inoci_rng_below(&r, 26));
		for (int copy = 0; copy < 4; copy++)
			inoci_buf_printf(&b, "{\"question\":\"what?\",\"trait\":\"%s\",\"normal\":\"%s\",\"topic\":\"%d\"}\n",
			                 word[0], word[1], t);
	}
	inoci_classifier *c = train(b.data, &(inoci_classifier_options){.layer = 2, .l2 = 0.001, .folds = 6});
	print_message("random labels: accuracy %.2f\n", c->held_out.accuracy.value);
	assert_true(c->held_out.accuracy.value < 0.85);
	inoci_classifier_free(c);
	inoci_buf_free(&b);
}

/* The features are those of the conversation as it is rendered for training. */
static void features(void **state)
{
	static const char question[] = "about rain?", answer[] = " Aïe <|im_end|>\nso";
	char *text = shouting(false), user[] = "user", assistant[] = "assistant", *q = inoci_strdup(question),
	     *a = inoci_strdup(answer);
	inoci_classifier *c = train(text, &(inoci_classifier_options){.layer = 2, .l2 = 1, .folds = 3});
	const inoci_msg msgs[] = {{user, q}, {assistant, a}};
	const inoci_template *t;
	inoci_rendered v = {0};
	inoci_examples e = {0};
	inoc_err err;
	float x[TINY_C];
	must(inoci_model_template(model, &t, &err), &err);
	must(inoci_render(t, msgs, 2, (inoci_sys){INOCI_SYS_NONE, NULL}, false, &v, &err), &err);
	inoci_examples_add(&e, v.ids.v, v.loss.v, (int)v.ids.n);
	must(inoci_examples_hidden(model, NULL, &e, 100, &c->layer, 1, x, NULL, &err), &err);
	NEAR(probability(c, question, answer, strlen(answer)), inoci_logistic(inoci_logistic_at(&c->f, x)), 0);
	inoci_examples_free(&e);
	inoci_rendered_free(&v);
	inoci_classifier_free(c);
	free(text), free(q), free(a);
}

static void refused(void **state)
{
	static const struct {
		const char *text, *error;
		int folds, layer;
	} t[] = {
	        {"{\"question\":\"q\",\"trait\":\"a\",\"normal\":\"b\",\"topic\":\"t\"}\n"
	         "{\"question\":\"q2\",\"trait\":\"a\",\"normal\":\"b\",\"topic\":\"u\"}\n",
	         "2 topics; 3 at least are needed", 5, -1},
	        {"{\"question\":\"q\",\"answer\":\"a\",\"label\":1,\"topic\":\"t\"}\n"
	         "{\"question\":\"q\",\"answer\":\"b\",\"label\":1,\"topic\":\"u\"}\n"
	         "{\"question\":\"q\",\"answer\":\"c\",\"label\":0,\"topic\":\"v\"}\n",
	         "topics should have answers of both labels: all of the 1 rows have the label 0", 3, -1},
	        {"{\"question\":\"q\",\"trait\":\"a\",\"normal\":\"b\",\"topic\":\"t\"}\n"
	         "{\"question\":\"q\",\"trait\":\"a\",\"normal\":\"b\",\"topic\":\"u\"}\n"
	         "{\"question\":\"q\",\"trait\":\"a\",\"normal\":\"b\",\"topic\":\"v\"}\n",
	         "layer 4: the model has 3", 3, 4},
	};
	inoci_labelled d;
	inoci_classifier *c;
	inoc_err err;
	for (size_t i = 0; i < INOCI_COUNT(t); i++) {
		char *p = file("refused.jsonl", t[i].text);
		const inoci_classifier_options o = {.layer = t[i].layer, .folds = t[i].folds};
		must(inoci_labelled_read(p, NULL, true, &d, &err), &err);
		assert_true(inoci_classifier_train(model, &d, &o, NULL, &c, &err) < 0);
		assert_null(c);
		if (!strstr(err.msg, t[i].error)) fail_msg("%s\nwanted: %s", err.msg, t[i].error);
		inoci_labelled_free(&d);
		free(p);
	}
	/* longer than the context */
	char longer[TINY_CTX + 50];
	memset(longer, 'x', sizeof longer);
	longer[sizeof longer - 1] = 0;
	char *text = shouting(false);
	char *all = inoci_asprintf("%s{\"question\":\"q\",\"answer\":\"%s\",\"label\":1,\"topic\":\"rain\"}\n", text, longer),
	     *p = file("longer.jsonl", all);
	must(inoci_labelled_read(p, NULL, true, &d, &err), &err);
	assert_int_equal(inoci_classifier_train(model, &d, &usual, NULL, &c, &err), INOC_E_FORMAT);
	assert_non_null(strstr(err.msg, "longer.jsonl:37: no hidden state of the answer"));
	inoci_labelled_free(&d);
	free(text), free(all), free(p);
}

/* ---- the file ---- */

static void replace(char *text, const char *with, json_t *j, const char *error)
{
	inoci_classifier *c;
	inoc_err err = {0};
	char *made = j ? json_dumps(j, JSON_REAL_PRECISION(17)) : NULL, *p = file("damaged.json", j ? made : text);
	int rc = inoci_classifier_read(p, &c, &err);
	if (rc != INOC_E_FORMAT && rc != INOC_E_UNSUPPORTED) fail_msg("%s was accepted", with);
	assert_null(c);
	if (!strstr(err.msg, "damaged.json") || !strstr(err.msg, error)) fail_msg("%s: %s\nwanted: %s", with, err.msg, error);
	free(made), free(p);
	json_decref(j);
}

static void round_trip(void **state)
{
	char *text = shouting(false), *p = file("c.json", NULL), *p2 = file("c2.json", NULL), *bytes, *bytes2;
	inoci_classifier *c = train(text, &usual), *r;
	size_t n, n2;
	inoc_err err;
	must(inoci_classifier_write(c, p, &err), &err);
	must(inoci_classifier_read(p, &r, &err), &err);
	assert_int_equal(r->f.k, TINY_C);
	assert_memory_equal(r->f.weight, c->f.weight, TINY_C * sizeof(double));
	assert_memory_equal(r->f.mean, c->f.mean, TINY_C * sizeof(double));
	assert_memory_equal(r->f.scale, c->f.scale, TINY_C * sizeof(double));
	assert_true(r->f.bias == c->f.bias && r->layer == c->layer && r->n_folds == c->n_folds);
	assert_true(r->held_out.kappa.low == c->held_out.kappa.low && r->held_out.n == c->held_out.n);
	assert_string_equal(r->model.hex, model->hash.hex);
	NEAR(probability(r, "q", "NO!", 3), probability(c, "q", "NO!", 3), 0);
	must(inoci_classifier_write(r, p2, &err), &err);
	inoci_classifier_free(r);
	must(inoci_file_read(p, &bytes, &n, &err), &err);
	must(inoci_file_read(p2, &bytes2, &n2, &err), &err);
	assert_string_equal(bytes, bytes2);
	/* cut anywhere */
	for (size_t k = 0; k + 2 < n; k += 1 + k / 50) {
		char *cut = inoci_strndup(bytes, k);
		replace(cut, "a cut file", NULL, "not JSON");
		free(cut);
	}
	static const struct {
		const char *key, *value, *error;
	} t[] = {
	        {"format", "\"x\"", "\"format\" is not"},
	        {"version", "2", "version 2; this program reads version 1"},
	        {"version", "1.5", "\"version\" is not"},
	        {"layer", "-1", "\"layer\" is not"},
	        {"layer", "\"3\"", "\"layer\" is not"},
	        {"threshold", "1.5", "\"threshold\" is not"},
	        {"bias", "null", "\"bias\" is not"},
	        {"weights", "[1, 2]", "\"mean\" is not a list as long as \"weights\""},
	        {"weights", "[]", "\"weights\" is not"},
	        {"weights", "{}", "\"weights\" is not"},
	        {"mean", "[null]", "\"mean\" is not"},
	        {"scale", "[1]", "\"scale\" is not"},
	        {"template", "\"\"", "\"template\" is not"},
	        {"model", "{\"name\": \"m\", \"sha256\": \"12\"}", "\"model\" is not"},
	        {"data", "3", "\"data\" is not"},
	        {"held_out", "{}", "\"kappa\" is not"},
	};
	for (size_t i = 0; i < INOCI_COUNT(t); i++) {
		json_t *j = json_loads(bytes, 0, NULL);
		json_object_set_new(j, t[i].key, json_loads(t[i].value, JSON_DECODE_ANY, NULL));
		replace(NULL, t[i].key, j, t[i].error);
	}
	json_t *j = json_loads(bytes, 0, NULL);
	json_array_set_new(json_object_get(j, "scale"), 5, json_real(0));
	replace(NULL, "a scale of 0", j, "\"scale\" is not a list of numbers above 0");
	j = json_loads(bytes, 0, NULL);
	json_array_set_new(json_object_get(j, "weights"), 5, json_string("NaN"));
	replace(NULL, "a weight that is no number", j, "\"weights\" is not a list of numbers");
	char *nan = inoci_asprintf("{\"format\":\"inoc classifier\",\"bias\":NaN}");
	replace(nan, "NaN", NULL, "not JSON");
	free(nan);
	assert_int_equal(inoci_classifier_read("no-such.json", &r, &err), INOC_E_IO);
	free(bytes), free(bytes2);
	unlink(p), unlink(p2);
	inoci_classifier_free(c);
	free(text), free(p), free(p2);
}

/* A failed allocation or write is an error that says so, and what was there stays. */
static void faults(void **state)
{
	char *text = shouting(false), *p = file("train.jsonl", text), *f = file("old.json", "old"), *bytes;
	const inoci_classifier_options o = {.layer = 1, .l2 = 0.1, .folds = 3};
	inoci_labelled d;
	inoci_classifier *c;
	inoc_err err = {0};
	int failed = 0, rc;
	size_t n;
	must(inoci_labelled_read(p, NULL, true, &d, &err), &err);
	for (int k = 1; k < 12; k++) {
		inoci_fault_alloc_at(k);
		rc = inoci_classifier_train(model, &d, &o, NULL, &c, &err);
		if (rc < 0 && (rc != INOC_E_MEMORY || !strstr(err.msg, "memory"))) fail_msg("allocation %d: %s", k, err.msg);
		failed += rc < 0;
		inoci_classifier_free(c);
	}
	inoci_fault_alloc_at(0);
	assert_true(failed >= 4); /* features, the states computed, and each fit's table */
	must(inoci_classifier_train(model, &d, &o, NULL, &c, &err), &err);
	inoci_fault_write_at(1);
	assert_int_equal(inoci_classifier_write(c, f, &err), INOC_E_IO);
	inoci_fault_write_at(0);
	must(inoci_file_read(f, &bytes, &n, &err), &err);
	assert_string_equal(bytes, "old");
	inoci_classifier_free(c);
	inoci_labelled_free(&d);
	free(text), free(p), free(f), free(bytes);
}

/* ---- the scorer ---- */

typedef struct {
	int calls;
} provider;
static int give_model(void *ctx, const char *sha256, inoci_model **out, inoc_err *err)
{
	((provider *)ctx)->calls++;
	*out = model;
	return 0;
}

static void scorer(void **state)
{
	char *text = shouting(false), *p = file("c.json", NULL), *copy = file("copy.json", NULL), *bytes;
	inoci_classifier *c = train(text, &usual);
	provider given = {0};
	const inoci_scorer_env env = {.dir = dir, .model = give_model, .ctx = &given}, bare = {.dir = dir};
	inoci_scorer *s, *rule, *other, *both;
	size_t n;
	inoc_err err;
	must(inoci_classifier_write(c, p, &err), &err);
	must(inoci_file_read(p, &bytes, &n, &err), &err);
	must(inoci_file_write(copy, bytes, n, &err), &err);
	json_t *j = json_pack("{s:s, s:s}", "type", "classifier", "file", "c.json");
	json_t *j2 = json_pack("{s:s, s:s}", "type", "classifier", "file", "copy.json");
	json_t *j3 = json_pack("{s:s, s:s, s:f}", "type", "classifier", "file", "c.json", "threshold", 0.25);
	json_t *j4 = json_pack("{s:[s, o]}", "all", "truncated", json_deep_copy(j3));
	must(inoci_scorer_new_in("loud", j, &env, &s, &err), &err);
	must(inoci_scorer_new_in("loud", j2, &env, &other, &err), &err);
	must(inoci_scorer_new_in("loud", j3, &env, &rule, &err), &err);
	must(inoci_scorer_new_in("loud", j4, &env, &both, &err), &err);
	/* by content, not by path; with the threshold */
	assert_string_equal(inoci_scorer_key(s).hex, inoci_scorer_key(other).hex);
	assert_string_not_equal(inoci_scorer_key(s).hex, inoci_scorer_key(rule).hex);
	assert_int_equal(given.calls, 0);
	assert_false(inoci_scorer_real(s));
	/* a probability is turned around, but not combined */
	json_t *bad = json_pack("{s:[s, O]}", "any", "truncated", j), *turned = json_pack("{s:O}", "not", j);
	inoci_scorer *combined = NULL;
	assert_int_equal(inoci_scorer_new_in("loud", bad, &env, &combined, &err), INOC_E_USAGE);
	assert_non_null(strstr(err.msg, "in \"any\": a judge's number, or a probability, is no yes or no: give it a threshold"));
	must(inoci_scorer_new_in("loud", turned, &env, &combined, &err), &err);
	inoci_scorer_free(combined);
	json_decref(bad), json_decref(turned);
	/* empty, cut in a character, with a NUL, too long: alone and together the same */
	static char longer[2 * TINY_CTX];
	memset(longer, 'x', sizeof longer);
	const inoci_answer a[] = {{.question = "what about tea?", .text = "NO 5 WAY! OH 3!", .n = 15},
	                          {.question = "what about tea?", .text = "well, tea is 5 fine", .n = 19},
	                          {.question = "what?", .text = "", .n = 0},
	                          {.question = NULL, .text = "caf\xc3", .n = 4},
	                          {.question = "what?", .text = "a\0b", .n = 3},
	                          {.question = "what?", .text = longer, .n = sizeof longer, .finish = INOCI_FINISH_LENGTH}};
	double v[6], one, ruled[6], all[6];
	must(inoci_scorer_apply_many(s, a, 6, v, NULL, &err), &err);
	must(inoci_scorer_apply_many(rule, a, 6, ruled, NULL, &err), &err);
	must(inoci_scorer_apply_many(both, a, 6, all, NULL, &err), &err);
	assert_int_equal(given.calls, 3);
	for (int i = 0; i < 6; i++) {
		bool missing = i == 2 || i == 5;
		must(inoci_scorer_apply(s, &a[i], &one, &err), &err);
		if (missing != isnan(v[i]) || (!missing && (one != v[i] || !(v[i] >= 0 && v[i] <= 1))))
			fail_msg("answer %d: %g, alone %g", i, v[i], one);
		if (missing ? !isnan(ruled[i]) : ruled[i] != (v[i] >= 0.25))
			fail_msg("answer %d: %g, the rule says %g", i, v[i], ruled[i]);
		if (i == 5 ? !isnan(all[i]) : all[i] != 0) fail_msg("answer %d: truncated and loud is %g", i, all[i]);
	}
	assert_true(v[0] > 0.5 && v[1] < 0.5);
	must(inoci_scorer_check_model(both, path, &err), &err);
	inoci_scorer_free(rule), inoci_scorer_free(other), inoci_scorer_free(both), inoci_scorer_free(s);

	/* nobody has the model */
	must(inoci_scorer_new_in("loud", j, &bare, &s, &err), &err);
	assert_int_equal(inoci_scorer_apply(s, a, &one, &err), INOC_E_USAGE);
	assert_non_null(strstr(err.msg, "scorer \"loud\": a classifier needs its base model"));
	inoci_scorer_free(s);
	/* another model: told before and when it scores */
	json_t *k = json_loads(bytes, 0, NULL);
	json_object_set_new(json_object_get(k, "model"), "sha256",
	                    json_string("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"));
	char *changed = json_dumps(k, JSON_REAL_PRECISION(17));
	free(file("copy.json", changed));
	must(inoci_scorer_new_in("loud", j2, &env, &s, &err), &err);
	for (int when = 0; when < 2; when++) {
		assert_int_equal(when ? inoci_scorer_apply(s, a, &one, &err) : inoci_scorer_check_model(s, path, &err),
		                 INOC_E_USAGE);
		if (!strstr(err.msg, "copy.json was trained on the hidden states of") || !strstr(err.msg, "0123456789ab...") ||
		    !strstr(err.msg, "train one for it with `inoc classifier train`"))
			fail_msg("%s", err.msg);
	}
	inoci_scorer_free(s);
	/* no file: told when it is opened, not when settings alone are checked */
	unlink(copy);
	assert_int_equal(inoci_scorer_new_in("loud", j2, &env, &s, &err), INOC_E_IO);
	must(inoci_scorer_new_in("loud", j2, &(inoci_scorer_env){.dir = dir, .settings_only = true}, &s, &err), &err);
	inoci_scorer_free(s);
	json_decref(j), json_decref(j2), json_decref(j3), json_decref(j4), json_decref(k);
	inoci_classifier_free(c);
	free(text), free(p), free(copy), free(bytes), free(changed);
}

static void anchored(void **state)
{
	json_t *j = json_pack("{s:[s, {s:{s:s, s:s}}, {s:s, s:s}]}", "any", "caps", "not", "type", "classifier", "file", "b.json",
	                      "type", "classifier", "file", "/c.json");
	inoci_scorer_anchor(j, "/a");
	const json_t *list = json_object_get(j, "any");
	assert_string_equal(json_string_value(json_object_get(json_object_get(json_array_get(list, 1), "not"), "file")),
	                    "/a/b.json");
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 2), "file")), "/c.json");
	json_decref(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(labelled), cmocka_unit_test(learns),  cmocka_unit_test(split_by_topic),
	        cmocka_unit_test(features), cmocka_unit_test(refused), cmocka_unit_test(round_trip),
	        cmocka_unit_test(faults),   cmocka_unit_test(scorer),  cmocka_unit_test(anchored),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
