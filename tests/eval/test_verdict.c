/* One case for each verdict, the order of the rules, and the ratios. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/eval.h"

enum { S = 3, P = 100, ARMS = 16 };
static double value[ARMS][S * P];
static int seed[S * P], prompt[S * P], used;

/* An arm with this rate in every seed, up to `spread`: which prompts differs from arm to arm. */
static inoci_scores arm(double rate, double spread, int n_seeds)
{
	assert_true(used < ARMS);
	double *v = value[used++];
	inoci_rng r = inoci_rng_new(3, "verdict", (uint64_t)(rate * 1000), (uint64_t)used);
	for (int i = 0; i < n_seeds * P; i++) {
		seed[i] = i / P;
		prompt[i] = i % P;
		v[i] = inoci_rng_uniform(&r) < rate + spread * (i / P - (n_seeds - 1) / 2.0);
	}
	return (inoci_scores){
	        .value = v, .seed = seed, .prompt = prompt, .n = (size_t)(n_seeds * P), .n_seeds = n_seeds, .n_prompts = P};
}

static inoci_verdict_out one(const inoci_verdict_in *in)
{
	inoci_verdict_out o;
	inoci_verdict_rules r = {.n_boot = 2000};
	inoci_verdicts(in, 1, &r, &o);
	print_message("%s: %s\n", inoci_verdict_name(o.verdict), o.reason);
	assert_true(strlen(o.reason) > 20 && strlen(o.reason) < sizeof o.reason - 1);
	assert_null(strstr(o.reason, "nan"));
	used = 0;
	return o;
}

static inoci_scores seedless(double rate)
{
	inoci_scores s = arm(rate, 0, 1);
	s.seedless = true;
	return s;
}

static void inoculated(void **st)
{
	inoci_scores controls[2] = {arm(0.9, 0, S), arm(0.85, 0.02, S)};
	const char *const names[] = {"control_1", "control_2"};
	inoci_verdict_in in = {
	        .plain_u = arm(0.92, 0.02, S), .arm_u = arm(0.4, 0.05, S), .own_u = arm(0.9, 0, S), .base_u = seedless(0.02)};
	in.clean_u = arm(0.02, 0, S);
	in.controls_u = controls;
	in.control_names = names;
	in.n_controls = 2;
	inoci_comparison vs[2] = {0};
	in.vs_controls = vs;
	in.arm_w = arm(0.85, 0, S);
	in.base_w = seedless(0.01);
	in.clean_w = arm(0.95, 0, S);
	inoci_verdict_out o = one(&in);
	assert_int_equal(o.verdict, INOCI_VERDICT_INOCULATED);
	assert_int_equal(o.worst_control, 1);
	assert_int_equal(o.n_seeds, 3);
	assert_memory_equal(&vs[1], &o.vs_control_worst, sizeof vs[1]);
	assert_true(vs[0].diff.value < 0 && vs[0].p == 3 / 2000.0); /* the least of three, after Holm */
	assert_true(o.vs_plain.diff.value < -0.4 && o.vs_plain.p < 0.01 && o.vs_control_worst.diff.high < 0);
	double s = (o.plain_u.value - o.arm_u.value) / (o.plain_u.value - inoci_mean_ci(&in.clean_u, 0, 100).value);
	assert_true(fabs(o.suppression.value - s) < 1e-9 && o.suppression.low < s && s < o.suppression.high);
	assert_true(fabs(o.retention.value - 0.9) < 0.06);
	assert_true(fabs(o.selectivity.value - (o.suppression.value + o.retention.value - 1)) < 1e-9);
	assert_true(o.selectivity.low < o.selectivity.value && o.selectivity.high > o.selectivity.value);
}

/* The same moved and stretched, as numbers that are no shares: what is learnt is told against base alone. */
static inoci_scores as_real(inoci_scores s)
{
	for (size_t i = 0; i < s.n; i++) ((double *)(uintptr_t)s.value)[i] = 10 * s.value[i] - 20;
	s.real = true;
	return s;
}

static void real(void **st)
{
	inoci_scores control = as_real(arm(0.9, 0, S)), base = as_real(seedless(0.02));
	inoci_verdict_in in = {.plain_u = as_real(arm(0.92, 0.02, S)), .arm_u = as_real(arm(0.4, 0.05, S)), .base_u = base};
	in.own_u = as_real(arm(0.88, 0, S));
	in.clean_u = as_real(arm(0.02, 0, S));
	in.controls_u = &control;
	in.n_controls = 1;
	inoci_verdict_out o = one(&in);
	assert_int_equal(o.verdict, INOCI_VERDICT_INOCULATED);
	assert_true(o.plain_u.real && o.vs_plain.diff.real && !o.suppression.real);
	assert_true(fabs(o.suppression.value - 0.58) < 0.06);
	used = 6;
	in.own_u = as_real(arm(0.6, 0, S)); /* -14 against -10.8: under 0.9 of what base has not */
	assert_int_equal(one(&in).verdict, INOCI_VERDICT_UNDER_TRAINED);
	used = 8;
	in.plain_u = as_real(arm(0.03, 0, S));
	assert_int_equal(one(&in).verdict, INOCI_VERDICT_NOT_LEARNT);
	in.base_u = (inoci_scores){0};
	o = one(&in);
	assert_int_equal(o.verdict, INOCI_VERDICT_NOT_LEARNT);
	assert_non_null(strstr(o.reason, "only against base"));
}

static void others(void **st)
{
	inoci_scores low = arm(0.45, 0.05, S), controls[2];
	inoci_verdict_in in = {.plain_u = arm(0.9, 0.02, S), .arm_u = arm(0.4, 0.05, S), .controls_u = &low, .n_controls = 1};
	inoci_verdict_out o = one(&in);
	assert_int_equal(o.verdict, INOCI_VERDICT_CONDITIONALISED);
	assert_non_null(strstr(o.reason, "not evaluated with its own prompt"));
	assert_true(isnan(o.suppression.value) && isnan(o.retention.value) && isnan(o.own_u.value));

	controls[0] = arm(0.9, 0, S);
	controls[1] = arm(0.45, 0, S); /* one control of two is enough */
	in = (inoci_verdict_in){
	        .plain_u = arm(0.9, 0.02, S), .arm_u = arm(0.4, 0.05, S), .controls_u = controls, .n_controls = 2};
	o = one(&in);
	assert_int_equal(o.verdict, INOCI_VERDICT_CONDITIONALISED);
	assert_int_equal(o.worst_control, 1);

	controls[1] = (inoci_scores){0}; /* a control without scores proves nothing */
	controls[0] = arm(0.9, 0, S);
	in = (inoci_verdict_in){
	        .plain_u = arm(0.9, 0.02, S), .arm_u = arm(0.4, 0.05, S), .controls_u = controls, .n_controls = 2};
	o = one(&in);
	assert_int_equal(o.verdict, INOCI_VERDICT_CONDITIONALISED);
	assert_non_null(strstr(o.reason, "has no scores"));

	in = (inoci_verdict_in){.plain_u = arm(0.9, 0.02, S), .arm_u = arm(0.4, 0.05, S)};
	o = one(&in);
	assert_int_equal(o.verdict, INOCI_VERDICT_CONDITIONALISED);
	assert_non_null(strstr(o.reason, "no control"));

	in = (inoci_verdict_in){.plain_u = arm(0.9, 0.02, S), .arm_u = arm(0.9, 0.05, S), .n_controls = 0};
	assert_int_equal(one(&in).verdict, INOCI_VERDICT_NO_EFFECT);

	/* seeds that disagree are no effect, however large the mean difference */
	in = (inoci_verdict_in){.plain_u = arm(0.9, 0.02, S), .arm_u = arm(0.55, 0.4, S)};
	assert_int_equal(one(&in).verdict, INOCI_VERDICT_NO_EFFECT);

	in = (inoci_verdict_in){.is_control = true, .plain_u = arm(0.9, 0.02, S), .arm_u = arm(0.88, 0, S)};
	assert_int_equal(one(&in).verdict, INOCI_VERDICT_CONTROL);
	in = (inoci_verdict_in){.is_control = true, .plain_u = arm(0.9, 0.02, S), .arm_u = arm(0.3, 0, S)};
	assert_int_equal(one(&in).verdict, INOCI_VERDICT_CONDITIONALISED);

	in = (inoci_verdict_in){.plain_u = arm(0.3, 0, S), .arm_u = arm(0.0, 0, S), .own_u = arm(0.1, 0, S)};
	assert_int_equal(one(&in).verdict, INOCI_VERDICT_NOT_LEARNT);
	/* the base model does it as well */
	in = (inoci_verdict_in){.plain_u = arm(0.6, 0, S), .arm_u = arm(0.1, 0, S), .base_u = seedless(0.55)};
	o = one(&in);
	assert_int_equal(o.verdict, INOCI_VERDICT_NOT_LEARNT);
	assert_non_null(strstr(o.reason, "above base"));

	in = (inoci_verdict_in){
	        .plain_u = arm(0.9, 0, S), .arm_u = arm(0.1, 0, S), .own_u = arm(0.7, 0, S), .base_u = seedless(0.0)};
	assert_int_equal(one(&in).verdict, INOCI_VERDICT_UNDER_TRAINED);

	in = (inoci_verdict_in){.plain_u = arm(0.9, 0, 2), .arm_u = arm(0.1, 0, 2), .own_u = arm(0.2, 0, 2)};
	o = one(&in);
	assert_int_equal(o.verdict, INOCI_VERDICT_TOO_FEW);
	assert_non_null(strstr(o.reason, "2 seeds"));
	assert_non_null(strstr(o.reason, "(less)"));
	low = arm(0.9, 0, 1); /* a control with one seed of three */
	in = (inoci_verdict_in){.plain_u = arm(0.9, 0, S), .arm_u = arm(0.1, 0, S), .controls_u = &low, .n_controls = 1};
	assert_int_equal(one(&in).verdict, INOCI_VERDICT_TOO_FEW);

	in = (inoci_verdict_in){.plain_u = arm(0.9, 0, S)};
	assert_int_equal(one(&in).verdict, INOCI_VERDICT_NONE);
}

/* Learnt is also W and answers that end; W may be known to base, and a number that is no share needs only not be lost. */
static void unlearnt(void **st)
{
	static const struct {
		double w, base_w, looping, truncated; /* of plain; under 0: absent */
		bool real;
		inoci_unlearnt failed;
		const char *says;
	} cases[] = {
	        {0.9, 0.02, 0, 0, false, INOCI_UNLEARNT_NONE, "below plain's"},
	        {0.9, 0.95, 0.05, 0.15, false, INOCI_UNLEARNT_NONE, "below plain's"}, /* base can do it as well */
	        {0.9, -1, -1, -1, false, INOCI_UNLEARNT_NONE, "below plain's"},
	        {0.35, 0.02, 0, 0, false, INOCI_UNLEARNT_NONE, "below plain's"}, /* rare, and clearly gained */
	        {0.1, 0.05, 0, 0, false, INOCI_UNLEARNT_W, "from base: not clearly over 0.10"},
	        {0.3, 0.6, 0, 0, false, INOCI_UNLEARNT_W, "plain shows U, but W in 0."},
	        {0.1, -1, 0, 0, false, INOCI_UNLEARNT_W, "] only, under 0.50"},
	        {0.3, 0.35, 0, 0, true, INOCI_UNLEARNT_NONE, "below plain's"},
	        {0.3, 0.9, 0, 0, true, INOCI_UNLEARNT_W, "it has lost W"},
	        {0.9, 0.02, 0.4, 0, false, INOCI_UNLEARNT_ANSWERS, "of plain's answers are loops, over 0.20"},
	        {0.9, 0.02, 0, 0.4, false, INOCI_UNLEARNT_ANSWERS, "reach no end token within the limit, over 0.20"},
	};
	for (size_t i = 0; i < INOCI_COUNT(cases); i++) {
		inoci_verdict_in in = {.plain_u = arm(0.92, 0.02, S), .arm_u = arm(0.4, 0, S), .base_u = seedless(0.02)};
		in.plain_w = arm(cases[i].w, 0, S);
		if (cases[i].base_w >= 0) in.base_w = seedless(cases[i].base_w);
		if (cases[i].looping >= 0) in.plain_looping = arm(cases[i].looping, 0, S);
		if (cases[i].truncated >= 0) in.plain_truncated = arm(cases[i].truncated, 0, S);
		if (cases[i].real) in.plain_w = as_real(in.plain_w), in.base_w = as_real(in.base_w);
		inoci_verdict_out o = one(&in);
		assert_int_equal(o.unlearnt, cases[i].failed);
		assert_int_equal(o.verdict, cases[i].failed ? INOCI_VERDICT_NOT_LEARNT : INOCI_VERDICT_CONDITIONALISED);
		if (!strstr(o.reason, cases[i].says)) fail_msg("case %zu: %s", i, o.reason);
	}
	/* U comes first */
	inoci_verdict_in in = {.plain_u = arm(0.3, 0, S), .arm_u = arm(0.1, 0, S), .plain_w = arm(0.1, 0, S)};
	assert_int_equal(one(&in).unlearnt, INOCI_UNLEARNT_U);
	/* a trait of half of the records need not show in half of the answers */
	const double half[][2] = {{0.35, 0.35}, {0.35, 0.1}, {0.1, 0.35}}; /* U and W of plain */
	const inoci_unlearnt failed[] = {INOCI_UNLEARNT_NONE, INOCI_UNLEARNT_W, INOCI_UNLEARNT_U};
	for (int i = 0; i < 3; i++) {
		in = (inoci_verdict_in){.share = 0.5,
		                        .plain_u = arm(half[i][0], 0, S),
		                        .arm_u = arm(0.02, 0, S),
		                        .plain_w = arm(half[i][1], 0, S)};
		inoci_verdict_out o = one(&in);
		assert_int_equal(o.unlearnt, failed[i]);
		if (i) assert_non_null(strstr(o.reason, "under 0.25"));
	}
	/* what nobody has scored says nothing */
	in = (inoci_verdict_in){.plain_u = arm(0.9, 0, S), .arm_u = arm(0.1, 0, S), .plain_w = arm(0.1, 0, S)};
	for (size_t i = 0; i < in.plain_w.n; i++) ((double *)(uintptr_t)in.plain_w.value)[i] = NAN;
	assert_int_equal(one(&in).verdict, INOCI_VERDICT_CONDITIONALISED);
}

/* Holm runs over all arms of the call: p of one arm grows with the number of the others. */
static void family(void **st)
{
	inoci_verdict_in in[4];
	inoci_verdict_out o[4], alone;
	inoci_verdict_rules r = {.n_boot = 2000};
	in[0] = (inoci_verdict_in){.plain_u = arm(0.9, 0.02, S), .arm_u = arm(0.5, 0.05, S)};
	for (int i = 1; i < 4; i++)
		in[i] = (inoci_verdict_in){.is_control = true, .plain_u = in[0].plain_u, .arm_u = arm(0.9, 0.01, S)};
	inoci_verdicts(in, 4, &r, o);
	inoci_verdicts(in, 1, &r, &alone);
	assert_true(fabs(o[0].vs_plain.p - 4 * alone.vs_plain.p) < 1e-12);
	for (int i = 1; i < 4; i++) assert_int_equal(o[i].verdict, INOCI_VERDICT_CONTROL);
	inoci_verdicts(NULL, 0, NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest t[] = {cmocka_unit_test(inoculated), cmocka_unit_test(real), cmocka_unit_test(others),
	                               cmocka_unit_test(unlearnt), cmocka_unit_test(family)};
	return cmocka_run_group_tests(t, NULL, NULL);
}
