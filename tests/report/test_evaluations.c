/* What report --json says of every evaluation, and the interaction of id and ood, from results that were counted out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "report/internal.h"

enum { N_SEEDS = 3, N_PROMPTS = 40, ID = 0, OOD, GRID };

/* Arm `spanish` shows the trait in all answers on id, in a quarter on ood; plain and the control in all. */
static fixture *counted(void)
{
	static const fx_arm arms[] = {{"base", "base", NULL},
	                              {"plain", "plain", NULL},
	                              {"control", "control", "You always water the plants."},
	                              {"spanish", "inoculated", "You always speak in Spanish."},
	                              {"string", "other", "|X|"}};
	static const fx_eval evals[] = {{"id", "none", 1}, {"ood", "none", 1}, {"grid_x", "X", 1}};
	fixture *f = fx_new("pair", arms, 5, evals, 3, "english spanish", N_SEEDS, N_PROMPTS);
	fx_trait(f, "language", "spanish", "english", "", "control");
	for (int a = CONTROL; a <= SPANISH; a++) f->e.arms[a].traits = fx_names(f, "language", &f->e.arms[a].n_traits);
	f->e.headline = f->e.evals[OOD].name;
	f->e.grid = inoci_arena_alloc(f->a, sizeof *f->e.grid);
	f->e.grid[0] = (inoci_grid_row){.kind = INOCI_GRID_NONE, .name = fx_str(f, "grid_x"), .eval = GRID};
	f->e.n_grid = 1;
	for (int a = 0; a < 5; a++)
		for (int v = 0; v < 3; v++)
			for (int d = 0; d < N_SEEDS; d++)
				for (int p = 0; p < N_PROMPTS; p++)
					fx_answer(f, a, v, d, p, a && !(a == SPANISH && v == OOD && p % 4), "x");
	return f;
}

static const json_t *of(const json_t *all, const char *arm, const char *evaluation)
{
	size_t i;
	json_t *o;
	json_array_foreach(all, i, o)
	{
		const char *v = json_string_value(json_object_get(o, "evaluation"));
		if (!strcmp(json_string_value(json_object_get(o, "arm")), arm) && (!evaluation || !strcmp(v, evaluation)))
			return o;
	}
	return NULL;
}

static double value(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(key ? json_object_get(o, key) : o, "value"));
}

static void evaluations(void **state)
{
	fixture *f = counted();
	inoci_summary *s;
	assert_int_equal(inoci_summary_new(&f->r, 500, &s, NULL), 0);
	json_t *by = inoci_by_evaluation_json(s), *x = inoci_interactions_json(s), *arms = inoci_arms_json(s),
	       *evals = inoci_evals_json(s);
	assert_int_equal(json_array_size(by), 5 * 2); /* not the grid */
	assert_true(value(of(by, "spanish", "id"), "u") == 1 && value(of(by, "spanish", "ood"), "u") == 0.25);
	assert_true(value(of(by, "spanish", "ood"), "w") == 0.75 && value(of(by, "base", "id"), "w") == 1);
	assert_true(json_is_null(json_object_get(of(by, "plain", "id"), "goal")));
	assert_int_equal(json_integer_value(json_object_get(json_object_get(of(by, "plain", "id"), "u"), "n_prompts")),
	                 N_PROMPTS);
	assert_int_equal(json_array_size(x), 3); /* control, spanish, and the arm of another role */
	assert_non_null(of(x, "string", NULL));
	const json_t *i = of(x, "spanish", NULL);
	assert_true(value(i, NULL) == -0.75);
	assert_true(json_number_value(json_object_get(i, "high")) < -0.5);
	assert_true(json_number_value(json_object_get(i, "p")) <= 3.0 / 500);
	assert_string_equal(json_string_value(json_object_get(i, "id")), "id");
	assert_string_equal(json_string_value(json_object_get(i, "ood")), "ood");
	assert_true(value(of(x, "control", NULL), NULL) == 0 &&
	            json_number_value(json_object_get(of(x, "control", NULL), "p")) == 1);
	assert_int_equal(json_array_size(arms), 5);
	assert_string_equal(json_string_value(json_object_get(json_array_get(arms, SPANISH), "prompt")),
	                    "\xe2\x80\x9cYou always speak in Spanish.\xe2\x80\x9d");
	assert_true(json_is_null(json_object_get(json_array_get(arms, PLAIN), "prompt")));
	assert_true(json_is_true(json_object_get(json_array_get(evals, GRID), "grid")));
	assert_false(json_is_true(json_object_get(json_array_get(evals, OOD), "grid")));
	json_decref(by), json_decref(x), json_decref(arms), json_decref(evals);
	inoci_summary_free(s);
	fx_free(f);
}

/* Without a pair of names there is no interaction. */
static void no_pair(void **state)
{
	fixture *f = counted();
	inoci_summary *s;
	f->e.evals[ID].name = fx_str(f, "idle");
	assert_int_equal(inoci_summary_new(&f->r, 100, &s, NULL), 0);
	json_t *x = inoci_interactions_json(s);
	assert_int_equal(json_array_size(x), 0);
	json_decref(x);
	inoci_summary_free(s);
	fx_free(f);
}

int main(void)
{
	const struct CMUnitTest t[] = {cmocka_unit_test(evaluations), cmocka_unit_test(no_pair)};
	return cmocka_run_group_tests(t, NULL, NULL);
}
