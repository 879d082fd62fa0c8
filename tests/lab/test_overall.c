/* How far a whole run is: a run of 2 x 10 steps and 2 x 30 samples, told at chosen times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "lab/internal.h"

static void expect(const inoci_overall *o, const char *want)
{
	char s[96];
	inoci_overall_text(o, s, sizeof s);
	assert_string_equal(s, want);
}

static char seen[300];
static void keep_tick(void *ctx, const char *what, double done, double total, const char *unit, const char *detail)
{
	snprintf(seen, sizeof seen, "%s %g/%g %s|%s", what, done, total, unit, detail);
}

static void course(void **state)
{
	inoci_plan_item items[] = {{.steps = 10, .n_samples = 40, .n_have = 10}, {.steps = 10, .n_samples = 30}};
	inoci_plan plan = {.v = items, .n = 2};
	const inoci_progress outer = {.tick = keep_tick};
	inoci_overall o;
	inoci_overall_init(&o, &plan, &outer);
	expect(&o, "whole run 0/20 steps, 0/60 samples");
	inoci_overall_begin(&o, INOCI_WORK_STEPS, 100);
	inoci_overall_tick(&o, 6, 120); /* resumed behind step 5: one step took 20 s */
	inoci_overall_tick(&o, 10, 200);
	expect(&o, "whole run 10/20 steps, 0/60 samples");
	inoci_overall_end(&o, 10);
	inoci_overall_begin(&o, INOCI_WORK_SAMPLES, 200);
	inoci_overall_tick(&o, 15, 215); /* a second each: 10 steps of 20 s and 45 samples are left, 215 of 460 s done */
	expect(&o, "whole run 46 %, about 4 min left");
	inoci_overall_tick(&o, 30, 230);
	inoci_overall_end(&o, 30);
	inoci_overall_begin(&o, INOCI_WORK_STEPS, 230);
	inoci_overall_tick(&o, 1, 250);
	inoci_overall_tick(&o, 4, 310); /* stopped early: the plan's steps count as done */
	inoci_overall_end(&o, 10);
	expect(&o, "whole run 93 %, about 30 s left");
	inoci_overall_begin(&o, INOCI_WORK_SAMPLES, 310);
	o.own.tick(o.own.ctx, "sample", 30, 30, "samples", "9 tokens/s");
	assert_memory_equal(seen, "sample 30/30 samples|whole run 100 %, about ", 44);
	assert_non_null(strstr(seen, " left; 9 tokens/s"));
}

static void nothing_to_do(void **state)
{
	inoci_plan_item item = {.trained = true, .n_samples = 40, .n_have = 40};
	inoci_plan plan = {.v = &item, .n = 1};
	inoci_overall o;
	inoci_overall_init(&o, &plan, NULL);
	expect(&o, "");
	o.own.note(o.own.ctx, "no one listens");
	/* only samples: no training is waited for */
	item.n_have = 0;
	inoci_overall_init(&o, &plan, NULL);
	inoci_overall_begin(&o, INOCI_WORK_SAMPLES, 0);
	inoci_overall_tick(&o, 4, 3600);
	expect(&o, "whole run 10 %, about 9.0 h left");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(course), cmocka_unit_test(nothing_to_do)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
