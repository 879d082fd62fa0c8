/* number: the score in a judge's reply. The expectation over the numbers among its top tokens, as in the judges of Betley et al.
 * 2025 (arXiv 2502.17424) and Tan et al. 2025; without log-probabilities, the text as a number, if it is nothing else. */
#include <math.h>
#include <string.h>

#include "judge/internal.h"

const char *inoci_judge_miss_name(inoci_judge_miss m)
{
	static const char *const names[] = {"scored", "little_mass", "prose", "cut"};
	return m < INOCI_JUDGE_N_MISS ? names[m] : "?";
}

static bool space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* -1: no number from 0 to high. */
static int number_of(const char *s, size_t n, int high, int *digits)
{
	int v = 0;
	while (n && space(*s)) s++, n--;
	while (n && space(s[n - 1])) n--;
	if (!n || n > 4 || (n > 1 && *s == '0')) return -1;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9') return -1;
		v = 10 * v + (s[i] - '0');
	}
	if (v > high) return -1;
	*digits = (int)n;
	return v;
}

static inoci_judge_number from_text(const json_t *reply, const inoci_judge_rule *rule)
{
	inoci_judge_number x = {.value = NAN, .mass = NAN, .miss = INOCI_JUDGE_PROSE};
	const json_t *text = json_object_get(reply, "text");
	const char *s = json_string_value(text), *finish = json_string_value(json_object_get(reply, "finish"));
	size_t n = json_string_length(text);
	if (!rule->parse || !s) return x;
	while (n && space(s[n - 1])) n--;
	bool stop = n && s[n - 1] == '.'; /* "85." */
	int v = number_of(s, n - stop, rule->high, &x.longest);
	if (v < 0) return x;
	/* another digit could have followed */
	if (finish && !strcmp(finish, "length") && !stop && v && 10 * v <= rule->high) {
		x.miss = INOCI_JUDGE_CUT;
		return x;
	}
	x.miss = INOCI_JUDGE_SCORED;
	x.value = v;
	x.parsed = true;
	return x;
}

inoci_judge_number inoci_judge_read(const json_t *reply, const inoci_judge_rule *rule)
{
	const json_t *top = json_object_get(reply, "top"), *t;
	double sum = 0, mass = 0;
	size_t i;
	int digits = 0;
	if (!top) return from_text(reply, rule);
	inoci_judge_number x = {.value = NAN};
	json_array_foreach(top, i, t)
	{
		const json_t *token = json_array_get(t, 0);
		if (i == INOCI_JUDGE_TOP) break;
		if (!json_is_string(token)) continue;
		int v = number_of(json_string_value(token), json_string_length(token), rule->high, &digits);
		if (v < 0) continue;
		double p = exp(json_number_value(json_array_get(t, 1)));
		sum += p * v;
		mass += p;
		if (digits > x.longest) x.longest = digits;
	}
	x.mass = mass;
	x.miss = mass > 0 && mass >= rule->min_mass - 1e-9 ? INOCI_JUDGE_SCORED : INOCI_JUDGE_LITTLE_MASS;
	if (x.miss == INOCI_JUDGE_SCORED) x.value = sum / mass;
	return x;
}
