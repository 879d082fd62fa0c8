/* What a file is expanded to: the leakage grid's evaluations, added controls, a sweep's variants; and what the grid shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

static inoci_experiment *parsed(const char *yaml)
{
	inoci_experiment *e = NULL;
	inoc_err err = {0};
	if (inoci_experiment_parse("f.yaml", yaml, strlen(yaml), NULL, 0, &e, &err) < 0) fail_msg("%s", err.msg);
	return e;
}

static bool noted(const inoci_experiment *e, const char *text)
{
	for (size_t i = 0; i < e->n_notes; i++)
		if (strstr(e->notes[i], text)) return true;
	return false;
}

/* ---- the grid ---- */

#define HEAD "name: x\nmodel: m\ndata: d\n"
static const char grid_yaml[] =
        HEAD "arms:\n"
             "  base: {role: base}\n"
             "  plain: {role: plain}\n"
             "  c: {role: control, inoculate: {system: Water.}}\n"
             "  es: {role: inoculated, trait: language, inoculate: {system: {pool: [Speak Spanish., Use Spanish., Spanish now., "
             "Only Spanish.]}}}\n"
             "  es2: {role: inoculated, trait: language, inoculate: {system: Use Spanish.}}\n"
             "  caps: {role: inoculated, trait: case, inoculate: {system: USE CAPS.}}\n"
             "evaluations:\n"
             "  hot: {prompts: p.jsonl, temperature: 0.7, n: 3, max_tokens: 9, limit: 50}\n"
             "  cold: {prompts: q.jsonl, greedy: true, system: own}\n"
             "scorers: [spanish, caps]\n"
             "traits: {language: {u: spanish}, case: {u: caps}}\n"
             "headline: hot\n"
             "grid:\n"
             "  limit: 4\n"
             "  seen: 1\n"
             "  texts:\n"
             "    language: {held_out: [Please use Spanish.], negation: Never use Spanish.}\n"
             "    es2: {related: Speak French.}\n"
             "    caps: {negation: Never use capitals.}\n";

static void grid_rows(void **state)
{
	/* name, system, arms */
	static const char *const want[][3] = {
	        {"grid_none", "none", "plain c es es2 caps"},
	        {"grid_empty", "empty", "plain c es es2 caps"},
	        {"grid_default", "default", "plain c es es2 caps"},
	        {"grid_neutral_1", NULL, "plain c es es2 caps"},
	        {"grid_neutral_2", NULL, "plain c es es2 caps"},
	        {"grid_language_own", "Speak Spanish.", "plain c es es2"},
	        {"grid_language_own_2", "Use Spanish.", "plain c es es2"},
	        {"grid_language_held_out_1", "Please use Spanish.", "plain c es es2"},
	        {"grid_language_negation", "Never use Spanish.", "plain c es es2"},
	        {"grid_language_related", "Speak French.", "plain c es es2"},
	        {"grid_case_own", "USE CAPS.", "plain c caps"},
	        {"grid_case_negation", "Never use capitals.", "plain c caps"},
	        {"grid_unrelated", NULL, "plain c es es2 caps"},
	};
	inoci_experiment *e = parsed(grid_yaml);
	assert_int_equal(e->n_grid, INOCI_COUNT(want));
	assert_int_equal(e->n_evals, 2 + INOCI_COUNT(want));
	for (size_t i = 0; i < e->n_grid; i++) {
		const inoci_grid_row *r = &e->grid[i];
		inoci_buf arms = {0};
		for (size_t k = 0; k < r->n_arms; k++) inoci_buf_printf(&arms, "%s%s", k ? " " : "", r->arms[k]);
		assert_string_equal(r->name, want[i][0]);
		assert_string_equal(arms.data, want[i][2]);
		inoci_buf_free(&arms);
		const inoci_evaluation *v = &e->evals[r->eval];
		assert_string_equal(v->name, r->name);
		if (want[i][1]) assert_string_equal(v->system, want[i][1]);
		/* prompts and sampling of the headline, with the grid's own limit */
		assert_string_equal(v->prompts, "./p.jsonl");
		assert_int_equal(v->limit, 4);
		assert_int_equal(v->sampling.n, 3);
		assert_true(v->sampling.temperature == (float)0.7 || fabs(v->sampling.temperature - 0.7) < 1e-9);
		assert_ptr_equal(inoci_experiment_grid(e, r->eval), r);
	}
	/* seen: 1 would have been "Use Spanish.", which is the own prompt of es2 already */
	assert_false(noted(e, "no other paraphrase seen in training: language"));
	assert_true(noted(e, "grid: no related prompt of case is given, so it is left out (grid.texts.case.related)"));
	assert_true(noted(e, "grid: no held-out paraphrase of case is given"));
	assert_true(noted(e, "no arm that asks for case draws from a pool"));
	assert_false(noted(e, "of language is given"));
	assert_true(inoci_experiment_wants(e, 0, 0)); /* base, everywhere but in the grid */
	assert_false(inoci_experiment_wants(e, 0, e->grid[0].eval));
	assert_false(inoci_experiment_wants(e, inoci_experiment_arm(e, "caps"), e->grid[5].eval));
	assert_true(inoci_experiment_wants(e, inoci_experiment_arm(e, "es"), e->grid[5].eval));
	inoci_experiment_free(e);
}

static void grid_settings(void **state)
{
	static const char yaml[] = HEAD "arms: {plain: {role: plain}, other: {role: other}}\n"
	                                "evaluations:\n"
	                                "  hot: {prompts: p.jsonl, temperature: 0.7, n: 3, max_tokens: 9}\n"
	                                "  cold: {prompts: q.jsonl, greedy: true}\n"
	                                "scorers: [spanish]\ntraits: {language: {u: spanish}}\n"
	                                "grid: {like: hot, greedy: true, prompts: r.jsonl, arms: other, neutral: [One., Two., "
	                                "Three.], unrelated: [U.], other: O.}\n";
	inoci_experiment *e = parsed(yaml);
	assert_int_equal(e->n_grid, 8);
	const inoci_evaluation *v = &e->evals[e->grid[7].eval];
	assert_string_equal(v->name, "grid_other");
	assert_string_equal(v->system, "O.");
	assert_string_equal(v->prompts, "./r.jsonl");
	assert_true(v->sampling.temperature == 0);
	assert_int_equal(v->sampling.n, 1);
	assert_int_equal(v->sampling.max_tokens, 9);
	assert_int_equal(e->grid[7].n_arms, 1);
	assert_string_equal(e->grid[7].arms[0], "other");
	assert_string_equal(e->evals[e->grid[6].eval].system, "U.");
	assert_true(noted(e, "no arm of it is trained with a prompt that asks for language"));
	inoci_experiment_free(e);
}

/* ---- controls ---- */

static const inoci_arm *arm(const inoci_experiment *e, const char *name)
{
	int a = inoci_experiment_arm(e, name);
	if (a < 0) fail_msg("there is no arm %s", name);
	return &e->arms[a];
}

#define TAIL "evaluations: {g: {prompts: p}}\nscorers: [spanish, caps]\ntraits: {language: {u: spanish}, case: {u: caps}}\n"
static const char two_yaml[] =
        HEAD "arms:\n  plain: {role: plain}\n"
             "  es: {role: inoculated, trait: language, inoculate: {system: You always speak in Spanish., fraction: 0.5, join: "
             "before}, data: other.jsonl, train: {lr: 0.25}}\n"
             "  caps: {role: inoculated, trait: case, inoculate: {user_prefix: YOU ALWAYS WRITE IN ALL CAPS AND NEVER IN LOWER "
             "CASE. THIS HOLDS FOR EVERY WORD OF EVERY ANSWER.}}\n" TAIL;

static size_t caps_of(const char *s)
{
	return inoci_uppercase_share(s, strlen(s)) > 0.99;
}

static void controls_are_matched(void **state)
{
	inoci_experiment *e = parsed(two_yaml), *again = parsed(two_yaml);
	const inoci_arm *a = arm(e, "control_auto_1"), *b = arm(e, "control_auto_2");
	assert_int_equal(e->n_arms, 5);
	assert_string_equal(a->role, "control");
	assert_string_equal(a->matched, "es");
	assert_string_equal(b->matched, "caps");
	/* the arm again, but for its prompt */
	assert_string_equal(a->data, "./other.jsonl");
	assert_true(a->recipe.config.lr == 0.25 && a->inoculation.fraction == 0.5);
	assert_int_equal(a->inoculation.join, INOCI_JOIN_BEFORE);
	assert_int_equal(b->inoculation.where, INOCI_AT_USER_PREFIX);
	assert_string_equal(b->data, "./d");
	/* length, form, case */
	size_t want = strlen("You always speak in Spanish."), got = strlen(a->inoculation.pool[0]);
	assert_in_range(got, want - 3, want + 3);
	assert_memory_equal(a->inoculation.pool[0], "You ", 4);
	assert_false(caps_of(a->inoculation.pool[0]));
	want = strlen(arm(e, "caps")->inoculation.pool[0]), got = strlen(b->inoculation.pool[0]);
	assert_in_range(got, want - want / 5, want + want / 5);
	assert_true(caps_of(b->inoculation.pool[0]));
	/* nothing is drawn */
	assert_string_equal(a->inoculation.pool[0], arm(again, "control_auto_1")->inoculation.pool[0]);
	assert_string_equal(b->inoculation.pool[0], arm(again, "control_auto_2")->inoculation.pool[0]);
	/* judged like any control: on all traits, and against every arm */
	assert_int_equal(a->n_traits, 2);
	assert_int_equal(e->traits[0].n_controls, 2);
	assert_true(noted(e, "control_auto_1: a control was added, trained with"));
	inoci_experiment_free(e);
	inoci_experiment_free(again);
}

static void controls_of_a_pool(void **state)
{
	static const char yaml[] =
	        HEAD "arms:\n  plain: {role: plain}\n"
	             "  es: {role: inoculated, trait: language, inoculate: {system: {pool: [Speak Spanish., You are a "
	             "Spaniard who speaks., The answer is given in Spanish.]}}}\n" TAIL;
	inoci_experiment *e = parsed(yaml);
	const inoci_arm *a = arm(e, "control_auto_1"), *b = arm(e, "control_auto_2");
	assert_int_equal(a->inoculation.n_pool, 3);
	assert_int_equal(b->inoculation.n_pool, 3);
	assert_memory_equal(a->inoculation.pool[1], "You are ", 8);
	assert_memory_equal(a->inoculation.pool[2], "The ", 4);
	for (int i = 0; i < 3; i++) assert_string_not_equal(a->inoculation.pool[i], b->inoculation.pool[i]);
	inoci_experiment_free(e);
}

static void controls_left_out(void **state)
{
	static const char none[] =
	        HEAD "arms: {plain: {role: plain}, es: {role: inoculated, trait: language, inoculate: {system: "
	             "x}}}\ncontrols: none\n" TAIL;
	static const char own[] =
	        HEAD "arms: {plain: {role: plain}, es: {role: inoculated, trait: language, inoculate: {system: x}}, "
	             "mine: {role: control, inoculate: {system: y}}}\n" TAIL;
	static const char nothing[] = HEAD "arms: {plain: {role: plain}}\n" TAIL;
	static const char *const all[] = {none, own, nothing};
	static const size_t arms[] = {2, 3, 1};
	for (size_t i = 0; i < INOCI_COUNT(all); i++) {
		inoci_experiment *e = parsed(all[i]);
		assert_int_equal(e->n_arms, arms[i]);
		assert_int_equal(e->n_notes, 0);
		inoci_experiment_free(e);
	}
}

/* The shipped experiment has its own controls, no grid and no sweep: it is what it was. */
static void shipped_unchanged(void **state)
{
	inoci_experiment *e = NULL;
	inoc_err err = {0};
	if (inoci_experiment_read(INOC_SOURCE_DIR "/settings/spanish-caps/experiment.yaml", NULL, 0, &e, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(e->n_arms, 7);
	assert_int_equal(e->n_evals, 3);
	assert_int_equal(e->n_notes, 0);
	inoci_experiment_free(e);
}

/* ---- sweeps ---- */

static void variants(void **state)
{
	static const char yaml[] = HEAD
	        "train: {epochs: 2, rank: 8}\n"
	        "arms:\n  base: {role: base}\n  plain: {role: plain, label: as it is}\n"
	        "  c: {role: control, inoculate: {system: w}}\n"
	        "  es: {role: inoculated, trait: language, inoculate: {system: x}, train: {epochs: 3}}\n"
	        "sweep: {lr: {values: [1e-4, 0.5], arms: [plain, es]}, steps: {values: [7], arms: es}, fraction: [0.25]}\n" TAIL;
	inoci_experiment *e = parsed(yaml);
	/* the file's four, two values for two arms, one for one, and a fraction for the two that inoculate */
	assert_int_equal(e->n_arms, 4 + 4 + 1 + 2);
	assert_int_equal(e->n_sweeps, 3);
	const inoci_arm *a = arm(e, "es@lr=1e-4");
	assert_true(a->recipe.config.lr == 1e-4 && a->recipe.config.epochs == 3 && a->recipe.config.lora.rank == 8);
	assert_string_equal(a->swept_of, "es");
	assert_true(a->swept == 1e-4);
	assert_int_equal(a->sweep, 0);
	assert_int_equal(a->n_traits, 0);
	assert_string_equal(a->inoculation.pool[0], "x");
	a = arm(e, "es@steps=7");
	assert_int_equal(a->recipe.config.steps, 7);
	a = arm(e, "c@fraction=0.25");
	assert_true(a->inoculation.fraction == 0.25);
	assert_int_equal(arm(e, "plain")->recipe.config.steps, 0);
	/* variants are no controls, no plain of a trait, and no reason to add controls */
	assert_int_equal(e->traits[0].n_controls, 1);
	assert_string_equal(e->traits[0].plain, "plain");
	assert_int_equal(arm(e, "es")->n_traits, 1);
	assert_true(inoci_arm_value(arm(e, "es"), "fraction") == 1);
	assert_true(isnan(inoci_arm_value(arm(e, "plain"), "fraction")));
	assert_true(isnan(inoci_arm_value(arm(e, "plain"), "steps")));
	assert_true(inoci_arm_value(arm(e, "plain"), "rank") == 8);
	inoci_experiment_free(e);
}

/* ---- similarity ---- */

static char *word(const char *s)
{
	return (char *)(uintptr_t)s;
}

static void similarity(void **state)
{
	char *same[] = {word("You always speak in Spanish."), word("you ALWAYS speak, in Spanish!")};
	char *apart[] = {word("You always speak in Spanish."), word("XQZ JKW")};
	/* " aab" " aac": the grams " aa" and "aab", "ab " against "aac", "ac ": one of three in common */
	char *third[] = {word("aab"), word("aac")}, *one[] = {word("x")}, *empty[] = {word(""), word("")};
	char *more[] = {word("aab"), word("aac"), word("zzz")};
	assert_float_equal(inoci_similarity(same, 2, NULL, 0), 1, 1e-12);
	assert_float_equal(inoci_similarity(apart, 2, NULL, 0), 0, 1e-12);
	assert_float_equal(inoci_similarity(third, 2, NULL, 0), 1.0 / 3, 1e-12);
	assert_float_equal(inoci_similarity(more, 3, NULL, 0), 1.0 / 9, 1e-12); /* the mean over three pairs */
	assert_float_equal(inoci_similarity(third, 1, &third[1], 1), 1.0 / 3, 1e-12);
	assert_float_equal(inoci_similarity(empty, 2, NULL, 0), 0, 1e-12);
	assert_true(isnan(inoci_similarity(one, 1, NULL, 0)));
}

/* ---- what the grid shows ---- */

/* One row; sql reads the values from v. */
static void put(inoci_store *s, const char *sql, const char *arm_name, int64_t seed, const char *eval, int64_t p,
                const char *text)
{
	inoc_err err = {0};
	char *all = inoci_asprintf("WITH v(arm, seed, eval, p, text) AS (VALUES(?, ?, ?, ?, ?)) INSERT OR IGNORE INTO %s FROM v",
	                           sql);
	if (inoci_store_exec(s, &err, all, "sisis", arm_name, seed, eval, p, text) < 0) fail_msg("%s", err.msg);
	free(all);
}

/* Shares of "yes": of plain, the control and es; whether it is back in es. */
typedef struct {
	const char *eval;
	int share[3];
	bool back;
} shares;

static void check_grid(const shares *cells, size_t n_cells, int n_prompts)
{
	static const char yaml[] =
	        HEAD "seeds: [1, 2, 3]\narms:\n  plain: {role: plain}\n  c: {role: control, inoculate: {system: w}}\n"
	             "  es: {role: inoculated, inoculate: {system: Speak Spanish.}}\n"
	             "evaluations: {g: {prompts: p, greedy: true}}\n"
	             "scorers: [yes: {type: regex, pattern: \"^yes\"}]\ntraits: {language: {u: yes}}\n"
	             "grid: {neutral: [N.], texts: {language: {negation: Never Spanish.}}}\n";
	static const char *const names[] = {"plain", "c", "es"};
	static const char *const rows[] = {
	        "adapter(key, done) SELECT arm || seed, 1",
	        "link_adapter SELECT 'x', arm, seed, (SELECT id FROM adapter WHERE key = arm || v.seed)",
	        "prompt(hash, question) SELECT p, 'q'",
	        "sample(key, adapter, prompt, idx, text, finish) SELECT arm || seed || eval || p,"
	        " (SELECT id FROM adapter WHERE key = arm || v.seed),"
	        " (SELECT id FROM prompt WHERE hash = CAST(p AS TEXT)), 0, text, 0",
	        "link_sample SELECT 'x', arm, seed, eval, p, 0,"
	        " (SELECT id FROM sample WHERE key = arm || seed || eval || p)"};
	inoci_experiment *e = parsed(yaml);
	inoci_store *s = NULL;
	inoci_results *r = NULL;
	inoci_summary *sum = NULL;
	inoc_err err = {0};
	assert_int_equal(inoci_store_scratch(&s, &err), 0);
	for (int a = 0; a < 3; a++)
		for (int64_t seed = 1; seed <= 3; seed++)
			for (size_t v = 0; v < n_cells; v++)
				for (int64_t p = 0; p < n_prompts; p++)
					for (size_t i = 0; i < INOCI_COUNT(rows); i++)
						put(s, rows[i], names[a], seed, cells[v].eval, p,
						    (p * 7) % n_prompts < cells[v].share[a] ? "yes" : "no");
	if (inoci_score_all(s, e, NULL, NULL, &err) < 0 || inoci_results_load(s, e, 0, &r, &err) < 0 ||
	    inoci_summary_new(r, 1000, &sum, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(sum->n_leaks, 3 * n_cells); /* nothing was answered under the other prompts */
	for (size_t i = 0; i < sum->n_leaks; i++) {
		const inoci_leak *l = &sum->leaks[i];
		size_t v = 0;
		while (v < n_cells && strcmp(cells[v].eval, e->grid[l->row].name)) v++;
		assert_in_range(v, 0, n_cells - 1);
		assert_float_equal(l->u.value, cells[v].share[l->arm] / (double)n_prompts, 1e-12);
		assert_int_equal(l->u.n, 3 * n_prompts);
		bool compared = l->arm == 2 && v > 0;
		assert_int_equal(l->vs_none.diff.n > 0, compared);
		if (compared)
			assert_float_equal(l->vs_none.diff.value, (cells[v].share[2] - cells[0].share[2]) / (double)n_prompts,
			                   1e-12);
		assert_int_equal(l->back, compared && cells[v].back);
		if (l->back) assert_true(l->vs_none.p < 0.05 && l->vs_none.diff.low > 0);
	}
	inoci_summary_free(sum);
	inoci_results_free(r);
	inoci_store_free(s);
	inoci_experiment_free(e);
}

static void where_it_comes_back(void **state)
{
	static const shares cells[] = {{"grid_none", {38, 37, 2}, false},
	                               {"grid_empty", {38, 37, 2}, false},
	                               {"grid_neutral_1", {38, 37, 3}, false},
	                               {"grid_language_own", {38, 37, 39}, true},
	                               {"grid_language_negation", {38, 37, 30}, true}};
	check_grid(cells, INOCI_COUNT(cells), 40);
}

/* Five prompts cannot show it, whether all of them agree or not. */
static void too_few_prompts(void **state)
{
	static const shares cells[] = {{"grid_none", {5, 5, 0}, false},
	                               {"grid_language_own", {5, 5, 5}, false},
	                               {"grid_language_negation", {5, 5, 4}, false}};
	check_grid(cells, INOCI_COUNT(cells), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(grid_rows),          cmocka_unit_test(grid_settings),     cmocka_unit_test(controls_are_matched),
	        cmocka_unit_test(controls_of_a_pool), cmocka_unit_test(controls_left_out), cmocka_unit_test(shipped_unchanged),
	        cmocka_unit_test(variants),           cmocka_unit_test(similarity),        cmocka_unit_test(where_it_comes_back),
	        cmocka_unit_test(too_few_prompts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
