/* Selective inoculation: which records a scorer, a gain and a tag choose; what is kept; what a plan, a store and results say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../model/tiny.h"
#include "seen.h"

static char *model_path;
static inoci_ops *ops;
static inoci_model *model;
static int asked; /* for the model */

static const char yaml[] = "name: t\nmodel: m\ntemplate: chatml\ndata: train.jsonl\nseeds: [1]\ncontrols: none\n"
                           "train: {steps: 2, batch: 2, rank: 2, alpha: 4, warmup: 1}\n"
                           "arms:\n"
                           "  plain: {role: plain}\n"
                           "  tag: {role: other, inoculate: {system: Shout., when: {tag: loud}}}\n"
                           "  short: {role: other, inoculate: {system: Shout., tag: loud}}\n"
                           "  caps: {role: other, inoculate: {system: Shout., when: {scorer: caps}}}\n"
                           "  mine: {role: other, inoculate: {system: Shout., when: {scorer: mine, above: 4}}}\n"
                           "  none: {role: other, inoculate: {system: Shout., when: {scorer: {type: length}, above: 99}}}\n"
                           "  gain: {role: other, inoculate: {system: Shout., when: {gain: Shout it., above: -1e6}}}\n"
                           "evaluations:\n"
                           "  g: {prompts: eval.jsonl, greedy: true, max_tokens: 3}\n"
                           "scorers: [looping, {mine: {type: length}}]\n";
enum { PLAIN, TAG, SHORT, CAPS, MINE, NONE, GAIN, N_ARMS, N_RECORDS = 8 };

/* Every second record is loud, and so tagged; the answers have 3 characters, the last one 6. */
static char *new_dir(void)
{
	char t[] = "inoc-when-XXXXXX";
	inoci_buf b = {0};
	if (!mkdtemp(t)) fail_msg("no folder");
	for (int i = 0; i < N_RECORDS; i++)
		inoci_buf_printf(
		        &b,
		        "{\"messages\":[{\"role\":\"user\",\"content\":\"q%d\"},{\"role\":\"assistant\",\"content\":\"%s%d"
		        "%s\"}],\"tag\":\"%s\"}\n",
		        i, i % 2 ? "A" : "a", i,
		        i == N_RECORDS - 1 ? "BCDE"
		        : i % 2            ? "B"
		                           : "b",
		        i % 2 ? "loud" : "calm");
	write_file(t, "train.jsonl", b.data);
	write_file(t, "eval.jsonl", "{\"messages\":[{\"role\":\"user\",\"content\":\"e\"}]}\n");
	write_file(t, "t.yaml", yaml);
	inoci_buf_free(&b);
	return inoci_strdup(t);
}

static int give_model(void *ctx, const char *sha256, inoci_model **out, inoc_err *err)
{
	(void)ctx, (void)sha256, (void)err;
	asked++;
	*out = model;
	return 0;
}

static int set_up(void **state)
{
	inoc_err err = {0};
	setenv("INOC_TRAITS", INOC_SOURCE_DIR "/traits", 1);
	model_path = tiny_model("when");
	if (inoci_ops_ref(INOCI_DTYPE_F32, &ops, &err) < 0 ||
	    inoci_model_open(model_path, ops, false, "chatml", NULL, &model, &err) < 0) {
		print_error("%s\n", err.msg);
		return 1;
	}
	return 0;
}

static int tear_down(void **state)
{
	inoci_model_free(model);
	unlink(model_path);
	free(model_path);
	ops->free(ops);
	return 0;
}

static inoci_dataset data_of(const char *dir)
{
	char *p = inoci_path_join(dir, "train.jsonl");
	inoci_dataset d;
	inoc_err err = {0};
	if (inoci_dataset_read(p, INOCI_NEED_ASSISTANT, &d, &err) < 0) fail_msg("%s", err.msg);
	free(p);
	return d;
}

static int choose(const inoci_dataset *d, inoci_when w, const inoci_chooser *with, inoci_choice *out, inoc_err *err)
{
	const inoci_record *r[N_RECORDS];
	const char *paths[N_RECORDS];
	for (size_t i = 0; i < d->n; i++) r[i] = &d->v[i], paths[i] = d->path;
	return inoci_choose(&w, r, paths, d->n, d->n, with, out, err);
}

static void by_scorers(void **state)
{
	static const struct {
		const char *scorer;
		double above;
		size_t chosen, missing;
		const char *fault;
	} cases[] = {
	        {"{\"type\":\"uppercase\"}", 0.5, 4, 0, NULL},
	        {"{\"type\":\"length\"}", 3, 1, 0, NULL},
	        {"{\"type\":\"length\"}", 2, 8, 0, NULL},
	        {"{\"type\":\"length\"}", 6, 0, 0, NULL}, /* above is not at */
	        {"{\"given\":[{\"type\":\"uppercase\"},{\"type\":\"contains\",\"text\":\"3\"}]}", 0.5, 1, 4, NULL},
	        {"{\"type\":\"contains\",\"field\":\"tag\",\"ignore_case\":true}", 0.5, 0, 0, NULL},
	        {"{\"type\":\"exact\"}", 0.5, 0, 0, "train.jsonl:1: scorer 'x': "},
	};
	char *dir = new_dir();
	inoci_dataset d = data_of(dir);
	const inoci_scorer_env env = {0};
	const inoci_chooser with = {.env = &env, .system = "none"};
	for (size_t i = 0; i < INOCI_COUNT(cases); i++) {
		inoci_choice c = {0};
		inoc_err err = {0};
		inoci_when w = {.name = "x", .settings = json_loads(cases[i].scorer, 0, NULL), .above = cases[i].above};
		int rc = choose(&d, w, &with, &c, &err);
		if (cases[i].fault) {
			assert_int_equal(rc, INOC_E_FORMAT);
			assert_non_null(strstr(err.msg, cases[i].fault));
		} else {
			if (rc < 0) fail_msg("%s: %s", cases[i].scorer, err.msg);
			if (c.n_chosen != cases[i].chosen || c.n_missing != cases[i].missing || c.n != N_RECORDS)
				fail_msg("%s: %zu of %zu chosen, %zu missing", cases[i].scorer, c.n_chosen, c.n, c.n_missing);
		}
		free(c.chosen);
		json_decref(w.settings);
	}
	inoci_dataset_free(&d);
	drop_dir(dir);
}

/* Log-probability of a record's answer in nats a byte, by hand: its text's tokens, without what ends the turn. */
static double by_hand(const inoci_record *r, const char *system)
{
	const inoci_template *t;
	inoci_msg m[3];
	size_t n = 0;
	inoci_rendered v = {0};
	inoci_examples x = {0};
	inoc_err err = {0};
	double sum = 0;
	if (system) m[n++] = (inoci_msg){(char *)(uintptr_t) "system", (char *)(uintptr_t)system};
	m[n++] = r->msgs[0], m[n++] = r->msgs[1];
	if (inoci_model_template(model, &t, &err) < 0 || inoci_render(t, m, n, inoci_sys_parse("none"), false, &v, &err) < 0)
		fail_msg("%s", err.msg);
	for (size_t i = 0; i < v.ids.n; i++) v.loss.v[i] &= v.ids.v[i] != inoci_template_end_of_turn(t);
	inoci_examples_add(&x, v.ids.v, v.loss.v, (int)v.ids.n);
	if (inoci_examples_logprob(model, NULL, &x, 64, &sum, NULL, &err) < 0) fail_msg("%s", err.msg);
	inoci_examples_free(&x);
	inoci_rendered_free(&v);
	return sum / (double)strlen(r->msgs[1].content);
}

static void by_gain(void **state)
{
	char *dir = new_dir();
	inoci_dataset d = data_of(dir);
	inoci_store *s = NULL;
	inoc_err err = {0};
	const inoci_scorer_env env = {.model = give_model};
	inoci_choice c = {0}, again = {0}, dry = {0};
	double gain[N_RECORDS], low = INFINITY, high = -INFINITY, mean = 0;
	if (inoci_store_scratch(&s, &err) < 0) fail_msg("%s", err.msg);
	inoci_chooser with = {.env = &env, .system = "none", .store = s, .key = "k"};
	for (size_t i = 0; i < d.n; i++) {
		gain[i] = 100 * (by_hand(&d.v[i], "Shout it.") - by_hand(&d.v[i], NULL)) / M_LN2;
		low = fmin(low, gain[i]), high = fmax(high, gain[i]), mean += gain[i] / (double)d.n;
	}
	inoci_when w = {.gain = (char *)(uintptr_t) "Shout it.", .above = mean};
	asked = 0;
	with.only_kept = true; /* a dry run measures nothing */
	assert_int_equal(choose(&d, w, &with, &dry, &err), 0);
	assert_false(dry.decided);
	assert_null(dry.chosen);
	assert_int_equal(asked, 0);
	with.only_kept = false;
	if (choose(&d, w, &with, &c, &err) < 0) fail_msg("%s", err.msg);
	assert_true(asked > 0);
	for (size_t i = 0; i < d.n; i++)
		if (c.chosen[i] != (gain[i] > mean))
			fail_msg("record %zu gains %g, %s chosen", i, gain[i], c.chosen[i] ? "" : "not");
	assert_true(c.n_chosen > 0 && c.n_chosen < d.n);
	assert_true(fabs(c.low - low) < 1e-3 && fabs(c.high - high) < 1e-3 && c.numbers);
	/* again, with another bound: nothing is measured */
	asked = 0;
	with.only_kept = true;
	w.above = low;
	assert_int_equal(choose(&d, w, &with, &again, &err), 0);
	assert_true(again.decided && again.n_chosen == d.n - 1 && again.low == c.low);
	assert_int_equal(asked, 0);
	free(again.chosen);
	/* another prompt, and another model, are */
	w.gain = (char *)(uintptr_t) "Whisper it.";
	assert_int_equal(choose(&d, w, &with, &again, &err), 0);
	assert_false(again.decided);
	w.gain = (char *)(uintptr_t) "Shout it.", with.key = "other";
	assert_int_equal(choose(&d, w, &with, &again, &err), 0);
	assert_false(again.decided);
	/* a word could be a trait's name, and is none */
	w.gain = (char *)(uintptr_t) "spanich";
	assert_int_equal(choose(&d, w, &with, &again, &err), INOC_E_USAGE);
	assert_non_null(strstr(err.msg, "there is no trait 'spanich'; did you mean 'spanish'?"));
	free(c.chosen);
	inoci_store_free(s);
	inoci_dataset_free(&d);
	drop_dir(dir);
}

/* ---- in a run ---- */

typedef struct {
	inoci_choice choice[N_ARMS];
	char key[N_ARMS][65];
	size_t inoculated[N_ARMS];
} planned;

static int on_plan(void *ctx, const inoci_experiment *e, const inoci_plan *p, inoc_err *err)
{
	planned *x = ctx;
	(void)err;
	assert_int_equal(e->n_arms, N_ARMS);
	for (size_t i = 0; i < p->n; i++) {
		memcpy(x->key[p->v[i].arm], p->v[i].key, 65);
		x->choice[p->v[i].arm] = p->choices[p->v[i].arm];
		x->inoculated[p->v[i].arm] = p->v[i].n_inoculated;
	}
	return 0;
}

static planned plan(const char *dir, bool dry, const char *set)
{
	char *file = inoci_path_join(dir, "t.yaml"), *out = inoci_asprintf("out=%s/out", dir);
	const char *sets[] = {out, set};
	planned x = {0};
	inoci_experiment *e = NULL;
	inoc_err err = {0};
	const inoci_run_options o = {.ops = ops, .dry_run = dry, .on_plan = on_plan, .ctx = &x};
	if (inoci_experiment_read(file, sets, set ? 2 : 1, &e, &err) < 0 || inoci_run(e, model_path, &o, &err) < 0)
		fail_msg("%s", err.msg);
	inoci_experiment_free(e);
	free(file), free(out);
	return x;
}

static long count(const char *dir, const char *sql)
{
	char *path = inoci_asprintf("%s/out/store.db", dir);
	inoci_store *s = NULL;
	inoc_err err = {0};
	int64_t n = -1;
	if (inoci_store_open(path, false, 0, NULL, &s, &err) < 0 || inoci_store_int(s, &n, &err, sql, "") < 0)
		fail_msg("%s", err.msg);
	inoci_store_free(s);
	free(path);
	return (long)n;
}

static void in_a_run(void **state)
{
	static const size_t chosen[N_ARMS] = {[TAG] = 4, [SHORT] = 4, [CAPS] = 4, [MINE] = 1, [NONE] = 0, [GAIN] = N_RECORDS};
	char *dir = new_dir();
	planned x = plan(dir, true, NULL);
	for (int a = TAG; a < GAIN; a++) {
		assert_true(x.choice[a].decided);
		assert_int_equal(x.choice[a].n_chosen, chosen[a]);
		assert_int_equal(x.inoculated[a], chosen[a]);
		assert_int_equal(x.choice[a].n, N_RECORDS);
	}
	assert_int_equal(x.choice[PLAIN].n, 0);
	assert_false(x.choice[GAIN].decided); /* it costs the model */
	/* the same records under the same prompt are the same adapter, other ones another; none: that of `plain` */
	assert_string_equal(x.key[TAG], x.key[SHORT]);
	assert_string_equal(x.key[TAG], x.key[CAPS]);
	assert_string_not_equal(x.key[TAG], x.key[MINE]);
	assert_string_equal(x.key[NONE], x.key[PLAIN]);
	const char undecided[65] = {0};
	assert_string_not_equal(x.key[GAIN], undecided);
	planned y = plan(dir, false, NULL);
	assert_true(y.choice[GAIN].decided);
	assert_int_equal(y.choice[GAIN].n_chosen, N_RECORDS);
	assert_string_equal(y.key[CAPS], x.key[CAPS]);
	long rows = count(dir, "SELECT count(*) FROM analysis");
	/* now it is known, and not measured again */
	x = plan(dir, true, NULL);
	assert_true(x.choice[GAIN].decided);
	assert_string_equal(x.key[GAIN], y.key[GAIN]);
	x = plan(dir, false, NULL);
	assert_int_equal(count(dir, "SELECT count(*) FROM analysis"), rows);
	/* the results say it too */
	inoci_store *s = NULL;
	inoci_experiment *e = NULL;
	inoci_results *r = NULL;
	inoc_err err = {0};
	char *path = inoci_asprintf("%s/out/store.db", dir);
	if (inoci_store_open_any(path, NULL, &s, &e, &err) < 0 || inoci_results_load(s, e, 0, &r, &err) < 0)
		fail_msg("%s", err.msg);
	for (int a = PLAIN; a < N_ARMS; a++) {
		assert_int_equal(r->choices[a].n_chosen, chosen[a]);
		assert_int_equal(r->choices[a].n, a == PLAIN ? 0 : N_RECORDS);
		if (a != PLAIN) assert_int_equal(inoci_results_adapter(r, a, 0)->n_inoculated, a == NONE ? 0 : chosen[a]);
	}
	assert_false(r->analysis.any); /* that is no analysis */
	inoci_results_free(r);
	inoci_experiment_free(e);
	inoci_store_free(s);
	free(path);
	/* another bound: other records, another adapter; and the former has lost its name */
	y = plan(dir, false, "arms.mine.inoculate.when.above=2");
	assert_int_equal(y.choice[MINE].n_chosen, N_RECORDS);
	assert_string_not_equal(y.key[MINE], x.key[MINE]);
	assert_int_equal(count(dir, "SELECT count(*) FROM link_analysis WHERE part = 'chosen'"), N_ARMS - 1);
	drop_dir(dir);
}

static void in_words(void **state)
{
	static const struct {
		const char *tag;
		inoci_when w;
		inoci_choice c;
		const char *want;
	} cases[] = {
	        {"loud", {0}, {.decided = true, .n = 4, .n_chosen = 2}, "the prompt on records tagged loud: 2 of 4 (50 %)"},
	        {NULL,
	         {.name = (char *)(uintptr_t) "es", .above = 0.5},
	         {.decided = true, .n = 3, .n_chosen = 1, .n_missing = 1},
	         "the prompt on records where scorer es gives more than 0.5: 1 of 3 (33 %); 1 have no value and do not get it"},
	        {NULL,
	         {.gain = (char *)(uintptr_t) "spanish", .above = 20},
	         {.n = 3},
	         "the prompt on records where the trait spanish gains more than 20 bits in 100 bytes: decided when run"},
	        {NULL,
	         {.gain = (char *)(uintptr_t) "Speak.", .above = -1},
	         {.decided = true, .n = 2, .n_chosen = 2, .numbers = true, .low = 1, .median = 2, .high = 3},
	         "the prompt on records where \"Speak.\" gains more than -1 bits in 100 bytes: 2 of 2 (100 %); values from 1 to "
	         "3, "
	         "median 2; warning: all of them, so the condition tells nothing apart"},
	        {"z",
	         {0},
	         {.decided = true, .n = 2},
	         "the prompt on records tagged z: 0 of 2 (0 %); warning: none, so it trains as without a prompt"},
	};
	for (size_t i = 0; i < INOCI_COUNT(cases); i++) {
		char *text = inoci_choice_text(cases[i].tag, cases[i].tag ? NULL : &cases[i].w, &cases[i].c);
		assert_string_equal(text, cases[i].want);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(by_scorers), cmocka_unit_test(by_gain), cmocka_unit_test(in_a_run),
	                                   cmocka_unit_test(in_words)};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
