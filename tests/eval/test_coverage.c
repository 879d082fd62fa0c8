/* How often the intervals hold the truth, by simulation: rate 0.3, seeds with standard deviation 0.08, prompts with 0.15, 100
 * prompts, one sample each; means, and differences of two arms without a difference (which share the prompts). The same of
 * numbers that are no shares. Beside them, for docs/measuring.md, the papers' own intervals over runs. Deterministic. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "eval/eval.h"

enum { P = 100, SIMS = 300, BOOT = 400 };

static void draw(inoci_rng *r, int S, bool real, double seed_sd, const double *prompts, double *v)
{
	for (int s = 0; s < S; s++) {
		double level = 0.3 + seed_sd * inoci_rng_normal(r);
		for (int p = 0; p < P; p++)
			v[s * P + p] =
			        real ? level + prompts[p] + 0.4 * inoci_rng_normal(r) : inoci_rng_uniform(r) < level + prompts[p];
	}
}

/* Mean of a rate that is cut off at 0 and 1. */
static double truth(double sd)
{
	double sum = 0, weight = 0;
	for (int i = -400; i <= 400; i++) {
		double z = i / 50.0, w = exp(-z * z / 2);
		sum += w * fmin(1, fmax(0, 0.3 + sd * z));
		weight += w;
	}
	return sum / weight;
}

static void coverage(int S, bool real, double seed_sd, double prompt_sd)
{
	static double a[5 * P], b[5 * P], prompts[P];
	static int seed[5 * P], prompt[5 * P];
	int mean = 0, diff = 0, paper = 0;
	double width = 0, t = real ? 0.3 : truth(hypot(seed_sd, prompt_sd));
	for (int i = 0; i < S * P; i++) {
		seed[i] = i / P;
		prompt[i] = i % P;
	}
	inoci_scores x = {.value = a,
	                  .seed = seed,
	                  .prompt = prompt,
	                  .n = (size_t)(S * P),
	                  .n_seeds = S,
	                  .n_prompts = P,
	                  .real = real},
	             y = x;
	y.value = b;
	for (int k = 0; k < SIMS; k++) {
		inoci_rng r = inoci_rng_new(7, "coverage", (uint64_t)S, (uint64_t)k);
		for (int p = 0; p < P; p++) prompts[p] = prompt_sd * inoci_rng_normal(&r);
		draw(&r, S, real, seed_sd, prompts, a);
		draw(&r, S, real, seed_sd, prompts, b);
		inoci_estimate e = inoci_mean_ci(&x, (uint64_t)k, BOOT);
		inoci_comparison c = inoci_compare_ci(&x, &y, (uint64_t)k, BOOT);
		inoci_estimate o = inoci_runs_ci(&x, (uint64_t)k);
		mean += e.low <= t && t <= e.high;
		paper += o.low <= t && t <= o.high;
		diff += c.diff.low <= 0 && 0 <= c.diff.high;
		width += e.high - e.low;
	}
	print_message(
	        "%s, %d seeds, sd of seeds %.2f, of prompts %.2f: mean %.3f (width %.3f), difference %.3f; the papers' %.3f\n",
	        real ? "numbers" : "shares", S, seed_sd, prompt_sd, (double)mean / SIMS, width / SIMS, (double)diff / SIMS,
	        (double)paper / SIMS);
	assert_true(mean >= 0.90 * SIMS);
	assert_true(diff >= 0.90 * SIMS);
}

static void all(void **st)
{
	coverage(3, false, 0.08, 0.15);
	coverage(3, false, 0.08, 0);
	coverage(3, false, 0.15, 0.15);
	coverage(5, false, 0.08, 0.15);
	coverage(5, false, 0.15, 0.15);
	coverage(3, true, 0.08, 0.15);
	coverage(3, true, 0.3, 0.15);
	coverage(5, true, 0.3, 0.15);
}

int main(void)
{
	const struct CMUnitTest t[] = {cmocka_unit_test(all)};
	return cmocka_run_group_tests(t, NULL, NULL);
}
