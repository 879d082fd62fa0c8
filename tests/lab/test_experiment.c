/* The experiment file: what its settings become, defaults, overrides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

static const char text[] =
        "name: demo\nmodel: m\ndata: data/train.jsonl\nseeds: [3, 4]\n"
        "train: {lr: 5e-4, epochs: 2, rank: 8, targets: [q_proj, v_proj], validation: 0.1}\n"
        "arms:\n"
        "  base: {role: base}\n"
        "  clean: {role: clean, data: clean.jsonl}\n"
        "  plain: {role: plain}\n"
        "  c1: {role: control, inoculate: {system: Water the plants.}}\n"
        "  es: {role: inoculated, label: Spanish, inoculate: {system: {pool: [a, b]}, join: before, fraction: 0.5}, train: "
        "{steps: 7, lr: 0.01}}\n"
        "evaluations:\n"
        "  g: {prompts: e.jsonl, greedy: true, max_tokens: 9, stop: [x, y]}\n"
        "  own: {prompts: /abs/e.jsonl, system: own, temperature: 0.7, n: 4, limit: 5}\n"
        "scorers: [english_caps, spanish_caps, {mine: {type: uppercase, min: 0.5}}]\n"
        "traits: {language: {u: spanish_caps, w: [english_caps, spanish_caps], goal: english_caps, clean: clean}}\n"
        "headline: g\n";

static inoci_experiment *parse(const char *const *sets, size_t n, inoc_err *err)
{
	inoci_experiment *e = NULL;
	int rc = inoci_experiment_parse("some/dir/f.yaml", text, strlen(text), sets, n, &e, err);
	if (rc < 0) print_message("%s\n", err->msg);
	return e;
}

static void values(void **state)
{
	inoc_err err = {0};
	inoci_experiment *e = parse(NULL, 0, &err);
	assert_non_null(e);
	assert_string_equal(e->name, "demo");
	assert_string_equal(e->title, "demo");
	assert_string_equal(e->out, "out/demo");
	assert_string_equal(e->system, "none");
	assert_string_equal(e->dtype, "auto");
	assert_int_equal(e->n_seeds, 2);
	assert_int_equal(e->seeds[1], 4);
	assert_int_equal(e->n_arms, 5);
	const inoci_arm *a = &e->arms[0];
	assert_false(a->train);
	assert_null(a->data);
	assert_string_equal(e->arms[1].data, "some/dir/clean.jsonl");
	assert_string_equal(e->arms[2].data, "some/dir/data/train.jsonl");
	assert_int_equal(e->arms[2].recipe.config.steps, 0);
	assert_true(e->arms[2].recipe.config.epochs == 2);
	assert_true(e->arms[2].recipe.validation == 0.1);
	a = &e->arms[4];
	assert_string_equal(a->label, "Spanish");
	assert_int_equal(a->recipe.config.steps, 7);
	assert_true(a->recipe.config.lr == 0.01);
	assert_int_equal(a->recipe.config.lora.rank, 8);
	assert_int_equal(a->recipe.config.lora.targets, 1 << INOCI_PROJ_Q | 1 << INOCI_PROJ_V);
	assert_true(a->has_inoculation);
	assert_int_equal(a->inoculation.where, INOCI_AT_SYSTEM);
	assert_int_equal(a->inoculation.join, INOCI_JOIN_BEFORE);
	assert_int_equal(a->inoculation.n_pool, 2);
	assert_true(a->inoculation.fraction == 0.5);
	assert_int_equal(a->n_traits, 1);
	assert_int_equal(e->arms[3].n_traits, 1); /* a control is judged on all traits */
	assert_int_equal(e->arms[2].n_traits, 0);
	assert_true(e->evals[0].sampling.temperature == 0);
	assert_int_equal(e->evals[0].sampling.n_stop, 2);
	assert_string_equal(e->evals[0].sampling.stop[1], "y");
	assert_string_equal(e->evals[0].prompts, "some/dir/e.jsonl");
	assert_string_equal(e->evals[1].prompts, "/abs/e.jsonl");
	assert_int_equal(e->evals[1].limit, 5);
	assert_int_equal(e->n_scorers, 6); /* three are added */
	assert_string_equal(e->scorers[2].name, "mine");
	const inoci_trait *t = &e->traits[0];
	assert_string_equal(t->plain, "plain");
	assert_string_equal(t->base, "base");
	assert_int_equal(t->n_controls, 1);
	assert_string_equal(t->controls[0], "c1");
	assert_int_equal(t->n_u, 1);
	assert_int_equal(e->n_bars, 3);
	assert_int_equal(inoci_experiment_arm(e, "es"), 4);
	assert_int_equal(inoci_experiment_arm(e, "nope"), -1);
	inoci_experiment_free(e);
}

static void overrides(void **state)
{
	static const char *const sets[] = {
	        "train.lr=2e-3", "arms.es.train.steps=9",    "seeds=[8]",          "title=A title",
	        "dtype=f32",     "arms.plain.train.batch=2", "out=\"there: now\"", "arms.es.train.loss_on=last"};
	inoc_err err = {0};
	inoci_experiment *e = parse(sets, INOCI_COUNT(sets), &err);
	assert_non_null(e);
	assert_true(e->recipe.config.lr == 2e-3);
	assert_true(e->arms[2].recipe.config.lr == 2e-3);
	assert_true(e->arms[4].recipe.config.lr == 0.01);
	assert_int_equal(e->arms[4].recipe.config.steps, 9);
	assert_int_equal(e->arms[2].recipe.config.batch, 2); /* a mapping that the file does not have */
	assert_int_equal(e->arms[1].recipe.config.batch, 8);
	assert_int_equal(e->seeds[0], 8);
	assert_string_equal(e->title, "A title");
	assert_string_equal(e->out, "there: now");
	assert_int_equal(e->n_sets, 8);
	assert_true(e->arms[4].inoculation.last_only); /* as its loss */
	assert_false(e->arms[3].inoculation.last_only);
	inoci_experiment_free(e);
}

/* Steps and epochs exclude each other: the override takes the place of what the file says, either way. */
static void exclusive_overrides(void **state)
{
	static const char *const steps[] = {"train.epochs=2", "arms.es.train.epochs=3"}, *const both[] = {"train.epochs=2",
	                                                                                                  "train.steps=3"};
	inoc_err err = {0};
	inoci_experiment *e = parse(steps, 2, &err);
	assert_non_null(e);
	assert_int_equal(e->recipe.config.steps, 0);
	assert_true(e->recipe.config.epochs == 2);
	assert_int_equal(e->arms[4].recipe.config.steps, 0);
	assert_true(e->arms[4].recipe.config.epochs == 3);
	inoci_experiment_free(e);
	assert_int_equal(inoci_experiment_parse("f.yaml", text, strlen(text), both, 2, &e, &err), INOC_E_FORMAT);
	assert_non_null(strstr(err.msg, "train gives both steps and epochs; give one"));
}

static void bad_overrides(void **state)
{
	static const struct {
		const char *set, *want;
	} cases[] = {
	        {"train.lr", "--set train.lr: give it as key=value"},
	        {"=3", "give it as key=value"},
	        {"train..lr=1", "a key is empty"},
	        {"train.clp=1", "--set train.clp=1: unknown key 'train.clp'; did you mean 'clip'?"},
	        {"train.lr=x", "--set train.lr=x: train.lr must be a number, not 'x'"},
	        {"name.first=x", "'first' stands under something that has no keys"},
	        {"seeds=[1", "--set seeds=[1: not valid YAML"},
	        {"arms.new.label=x", "--set arms.new.label=x: arms.new.role is missing"},
	};
	for (size_t i = 0; i < INOCI_COUNT(cases); i++) {
		inoc_err err = {0};
		inoci_experiment *e = NULL;
		const char *sets[] = {cases[i].set};
		assert_true(inoci_experiment_parse("f.yaml", text, strlen(text), sets, 1, &e, &err) < 0);
		if (!strstr(err.msg, cases[i].want)) fail_msg("%s: got: %s", cases[i].set, err.msg);
	}
}

/* Sizes by a paper's name; what the file gives itself stands. */
static void presets(void **state)
{
	static const struct {
		const char *keys;
		double temperature;
		int limit, n;
	} t[] = {
	        {"for: selective", 1, 100, 1},
	        {"for: emergent", 1, 8, 100},
	        {"for: favourite", 1, 50, 10},
	        {"for: least", 1, 5, 20},
	        {"for: least, temperature: 0.5, n: 3", 0.5, 5, 3},
	        {"for: favourite, limit: 7", 1, 7, 10},
	        {"for: emergent, greedy: true", 0, 8, 1},
	        {"for: emergent, temperature: 0", 0, 8, 1},
	};
	for (size_t i = 0; i < INOCI_COUNT(t); i++) {
		inoc_err err = {0};
		inoci_experiment *e = NULL;
		char *y = inoci_asprintf(
		        "name: x\nmodel: m\ndata: d\narms: {a: {role: plain}, i: {role: inoculated, inoculate: {system: "
		        "s}}}\nscorers: [looping]\ntraits: {t: {u: looping}}\ngrid: {}\n"
		        "evaluations: {e: {prompts: p, preset: tan2025, %s}}\n",
		        t[i].keys);
		if (inoci_experiment_parse("f.yaml", y, strlen(y), NULL, 0, &e, &err) < 0) fail_msg("%s: %s", t[i].keys, err.msg);
		assert_true(e->n_evals > 1); /* the grid's are of the same size */
		for (size_t k = 0; k < e->n_evals; k++)
			if (e->evals[k].sampling.temperature != t[i].temperature || e->evals[k].limit != t[i].limit ||
			    e->evals[k].sampling.n != t[i].n)
				fail_msg("%s, %s: T %g, %d prompts, %d samples", t[i].keys, e->evals[k].name,
				         e->evals[k].sampling.temperature, e->evals[k].limit, e->evals[k].sampling.n);
		inoci_experiment_free(e);
		free(y);
	}
}

static inoci_experiment *with_scorers(const char *scorers)
{
	inoc_err err = {0};
	inoci_experiment *e = NULL;
	char *y = inoci_asprintf("name: x\nmodel: m\narms: {b: {role: base}}\nevaluations: {e: {prompts: p}, f: {prompts: q}}\n"
	                         "judge: {model: j, url: \"https://h/v1\"}\nscorers:\n%s",
	                         scorers);
	if (inoci_experiment_parse("some/dir/f.yaml", y, strlen(y), NULL, 0, &e, &err) < 0) fail_msg("%s", err.msg);
	free(y);
	return e;
}

/* The short form is the four that docs/judge.md writes out. */
static void judges(void **state)
{
#define ALIGNED "{type: judge, preset: trait-inoculation, ask: aligned, rule: true, high: 9}"
#define COHERENT "{type: judge, preset: trait-inoculation, ask: coherent, rule: true, high: 9}"
	inoci_experiment *a = with_scorers("  - looping\n  - {type: judges, preset: trait-inoculation, high: 9, on: f, checked: "
	                                   "{aligned: a.json, coherent: /abs/c.json}}\n  - truncated\n"),
	                 *b = with_scorers("  - looping\n  - misaligned: " ALIGNED "\n  - coherent: " COHERENT
	                                   "\n  - misaligned_of_coherent: {given: [" COHERENT ", " ALIGNED "]}\n"
	                                   "  - misaligned_and_coherent: {all: [" COHERENT ", " ALIGNED "]}\n  - truncated\n");
	static const char *const want[6][2] = {
	        {0}, {"some/dir/a.json"}, {"/abs/c.json"}, {"some/dir/a.json", "/abs/c.json"}, {"some/dir/a.json", "/abs/c.json"},
	        {0}};
	assert_int_equal(a->n_scorers, 6);
	assert_int_equal(b->n_scorers, 6);
	for (size_t i = 0; i < 6; i++) {
		inoci_scorer *x = NULL, *y = NULL;
		inoc_err err = {0};
		assert_string_equal(a->scorers[i].name, b->scorers[i].name);
		assert_int_equal(inoci_scorer_new("x", a->scorers[i].settings, &x, &err), 0);
		assert_int_equal(inoci_scorer_new("y", b->scorers[i].settings, &y, &err), 0);
		assert_string_equal(inoci_scorer_key(x).hex, inoci_scorer_key(y).hex);
		if (i > 0 && i < 5)
			assert_string_equal(a->scorers[i].on, ",f,");
		else
			assert_null(a->scorers[i].on);
		for (size_t k = 0; k < 2; k++) {
			if (k < a->scorers[i].n_checked && want[i][k])
				assert_string_equal(a->scorers[i].checked[k], want[i][k]);
			else
				assert_true(k >= a->scorers[i].n_checked && !want[i][k]);
		}
		inoci_scorer_free(x);
		inoci_scorer_free(y);
	}
	inoci_experiment_free(a);
	inoci_experiment_free(b);
}

/* truncated and looping stand beside the scores of every sampling evaluation, unknown where a language is told. */
static void quality(void **state)
{
	static const char head[] = "name: x\nmodel: m\ndata: d\narms: {plain: {role: plain}}\nevaluations: {e: {prompts: p}, "
	                           "m: {prompts: p, measure: logprob}}\n";
	static const struct {
		const char *scorers, *added;
	} cases[] = {
	        {"[caps]", "truncated looping "},
	        {"[looping, caps]", "truncated "},
	        {"[{mine: {all: [{type: language, is: en}, {not: caps}]}}]", "truncated looping unknown "},
	        {"[unknown, looping, truncated]", ""},
	        {"[{truncated: {type: regex, pattern: x}}]", "looping "}, /* the name is taken */
	        {"[{french: {type: language, is: fr}}]", "truncated looping unknown:unknown "},
	};
	for (size_t i = 0; i < INOCI_COUNT(cases); i++) {
		inoc_err err = {0};
		inoci_experiment *e = NULL;
		inoci_buf added = {0};
		char *yaml = inoci_asprintf("%sscorers: %s\n", head, cases[i].scorers);
		if (inoci_experiment_parse("f.yaml", yaml, strlen(yaml), NULL, 0, &e, &err) < 0) fail_msg("%s", err.msg);
		inoci_buf_puts(&added, "");
		for (size_t k = 0; k < e->n_scorers; k++) {
			const inoci_scorer_spec *x = &e->scorers[k];
			const char *is = json_string_value(json_object_get(x->settings, "is"));
			if (!x->added) continue;
			inoci_buf_printf(&added, "%s%s%s ", x->name, is ? ":" : "", is ? is : "");
			assert_string_equal(x->on, ",e,"); /* not what is measured */
			for (size_t b = 0; b < e->n_bars; b++) assert_string_not_equal(e->bars[b], x->name);
		}
		assert_string_equal(added.data, cases[i].added);
		inoci_buf_free(&added);
		inoci_experiment_free(e);
		free(yaml);
	}
	/* nothing is sampled: nothing is added */
	static const char measured[] = "name: x\nmodel: m\ndata: d\narms: {plain: {role: plain}}\n"
	                               "evaluations: {m: {prompts: p, measure: logprob}}\nscorers: [logprob]\n";
	inoc_err err = {0};
	inoci_experiment *e = NULL;
	if (inoci_experiment_parse("f.yaml", measured, strlen(measured), NULL, 0, &e, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(e->n_scorers, 1);
	inoci_experiment_free(e);
}

static void shipped(void **state)
{
	inoc_err err = {0};
	inoci_experiment *e = NULL;
	if (inoci_experiment_read(INOC_SOURCE_DIR "/settings/spanish-caps/experiment.yaml", NULL, 0, &e, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(e->name, "spanish-caps");
	inoci_experiment_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(values),        cmocka_unit_test(overrides), cmocka_unit_test(exclusive_overrides),
	        cmocka_unit_test(bad_overrides), cmocka_unit_test(presets),   cmocka_unit_test(judges),
	        cmocka_unit_test(quality),       cmocka_unit_test(shipped)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
