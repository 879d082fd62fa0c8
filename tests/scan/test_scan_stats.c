/* The scan's statistics on made-up tables: what is planted is found, what helps everything is not, and how often the intervals
 * hold the truth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "scan/internal.h"

enum { PROMPTS = 4, CONTROLS = 4, NEUTRAL = 12, MOST = 40 };

/* What the numbers are made of: standard deviations of records (common to all prompts), of prompts, of their product; what the
 * trait's prompts add on the data, and on the neutral records too. */
typedef struct {
	double record, prompt, both, planted, everywhere;
	size_t n;
} world;

typedef struct {
	double *value[PROMPTS + CONTROLS], cell[PROMPTS + CONTROLS][NEUTRAL + MOST], record[MOST], prompt[PROMPTS];
	int rows[PROMPTS + CONTROLS];
	inoci_gain_in in;
	inoci_gain_out out;
} table;

static void make(table *t, const world *w, uint64_t seed)
{
	inoci_rng r = inoci_rng_new(seed, "test scan", 0, 0);
	double level[NEUTRAL + MOST];
	for (size_t i = 0; i < NEUTRAL + w->n; i++) level[i] = -0.5 + w->record * inoci_rng_normal(&r);
	for (int p = 0; p < PROMPTS + CONTROLS; p++) {
		double own = w->prompt * inoci_rng_normal(&r);
		t->value[p] = t->cell[p];
		t->rows[p] = p;
		for (size_t i = 0; i < NEUTRAL + w->n; i++) {
			t->cell[p][i] = level[i] + w->both * inoci_rng_normal(&r);
			if (p < PROMPTS) t->cell[p][i] += w->everywhere + (i < NEUTRAL ? 0 : w->planted + own);
		}
	}
	t->in = (inoci_gain_in){.value = t->value,
	                        .neutral = NEUTRAL,
	                        .from = NEUTRAL,
	                        .to = NEUTRAL + w->n,
	                        .prompts = t->rows,
	                        .n_prompts = PROMPTS,
	                        .controls = t->rows + PROMPTS,
	                        .n_controls = CONTROLS,
	                        .seed = seed,
	                        .n_boot = 300};
	t->out = (inoci_gain_out){.record = t->record, .prompt = t->prompt};
	inoci_gain_of(&t->in, &t->out);
}

static void planted_is_found(void **state)
{
	table t;
	make(&t, &(world){.record = 0.3, .both = 0.02, .planted = 0.1, .n = 16}, 1);
	assert_true(fabs(t.out.gain.value - 0.1) < 0.02);
	assert_true(t.out.gain.low > 0.05 && t.out.gain.high < 0.15);
	assert_true(t.out.p < 1e-5);
	/* of these prompts alone more can be said */
	double width = t.out.gain.high - t.out.gain.low;
	t.in.fixed = true;
	inoci_gain_of(&t.in, &t.out);
	assert_true(fabs(t.out.gain.value - 0.1) < 0.02 && t.out.gain.high - t.out.gain.low < width);
	assert_true(t.out.share > 0.9 && t.out.share_high > t.out.share - 1e-9 && t.out.share_low < t.out.share);
	double mean = 0, prompts = 0;
	for (int i = 0; i < 16; i++) mean += t.record[i] / 16;
	for (int k = 0; k < PROMPTS; k++) prompts += t.prompt[k] / PROMPTS;
	assert_true(fabs(mean - t.out.gain.value) < 1e-12); /* records and prompts share out the gain */
	assert_true(fabs(prompts - t.out.gain.value) < 1e-12);
}

static void what_helps_everything_is_not(void **state)
{
	table t;
	make(&t, &(world){.record = 0.3, .both = 0.02, .everywhere = 0.1, .n = 16}, 2);
	assert_true(t.out.raw.value > 0.08);
	assert_true(fabs(t.out.gain.value) < 0.02);
	assert_true(t.out.gain.low < 0 && t.out.p > 0.01);
	/* what hurts neutral records only is no gain either */
	make(&t, &(world){.record = 0.3, .both = 0.02, .everywhere = -0.1, .planted = 0.1, .n = 16}, 2);
	assert_true(fabs(t.out.gain.value) < 0.02 && fabs(t.out.gain.value - t.out.raw.value) < 1e-12);
}

static void one_prompt_of_four_is_not_enough(void **state)
{
	table t;
	make(&t, &(world){.record = 0.3, .both = 0.01, .n = 32}, 4);
	for (size_t i = NEUTRAL; i < NEUTRAL + 32; i++) t.cell[0][i] += 0.4;
	inoci_gain_of(&t.in, &t.out);
	assert_true(fabs(t.out.gain.value - 0.1) < 0.02);
	assert_true(t.out.gain.low < 0 && t.out.p > 0.01);
	assert_true(t.prompt[0] > 0.35 && fabs(t.prompt[1]) < 0.03);
}

static void no_neutral_records(void **state)
{
	table t;
	make(&t, &(world){.record = 0.3, .both = 0.02, .everywhere = 0.05, .planted = 0.1, .n = 16}, 5);
	t.in.neutral = 0;
	inoci_gain_of(&t.in, &t.out);
	assert_true(fabs(t.out.gain.value - 0.15) < 0.02 && t.out.gain.value == t.out.raw.value);
}

/* The 95 % interval and the p-value over made-up data sets whose prompts, too, are drawn anew. */
static void coverage(void **state)
{
	enum { SIMULATIONS = 300 };
	static const world worlds[] = {
	        {.record = 0.3, .prompt = 0, .both = 0.05, .planted = 0.05, .n = 8},
	        {.record = 0.3, .prompt = 0.05, .both = 0.05, .planted = 0.05, .n = 16},
	        {.record = 0.3, .prompt = 0.1, .both = 0.02, .planted = 0.05, .n = 40},
	};
	for (size_t k = 0; k < INOCI_COUNT(worlds); k++) {
		int held = 0, called = 0;
		for (int i = 0; i < SIMULATIONS; i++) {
			table t;
			world none = worlds[k];
			make(&t, &worlds[k], (uint64_t)(1000 * k) + (uint64_t)i);
			held += t.out.gain.low <= worlds[k].planted && t.out.gain.high >= worlds[k].planted;
			none.planted = 0;
			make(&t, &none, (uint64_t)(1000 * k) + (uint64_t)i);
			called += t.out.p < 0.05;
		}
		print_message("prompts' deviation %.2f, %zu records: the interval holds the gain in %.3f, p < 0.05 without one "
		              "in %.3f\n",
		              worlds[k].prompt, worlds[k].n, (double)held / SIMULATIONS, (double)called / SIMULATIONS);
		assert_true(held >= 0.90 * SIMULATIONS);
		assert_true(called <= 0.08 * SIMULATIONS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(planted_is_found), cmocka_unit_test(what_helps_everything_is_not),
	                                   cmocka_unit_test(one_prompt_of_four_is_not_enough),
	                                   cmocka_unit_test(no_neutral_records), cmocka_unit_test(coverage)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
