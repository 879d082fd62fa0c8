/* contrast: how much more probable some of the texts measured are than others: the mean log-probability of the first minus that
 * of the second. Range: any number; above 0 the first are the more probable.
 *
 * With `factors` the texts are the cells of a 2^k design, and `effect` names one factor, or several for their interaction. A
 * cell's sign is the product of its levels' signs, the first level's being +, and the effect the mean of the + cells minus that
 * of the - cells (Montgomery, Design and Analysis of Experiments, 2^k factorial): for two factors the interaction is half the
 * difference between the one's effects at the other's levels.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/internal.h"

enum { MAX_FACTORS = 6 };

typedef struct {
	char **name;
	double *weight;
	size_t n;
	inoci_norm norm;
} state;

static void free_state(void *p)
{
	state *t = p;
	for (size_t i = 0; i < t->n; i++) free(t->name[i]);
	free(t->name), free(t->weight), free(t);
}

static int bad(inoc_err *err, const char *key, const char *wants)
{
	return inoci_err_set(err, INOC_E_USAGE, "option \"%s\" of scorer type \"contrast\" wants %s", key, wants);
}

/* A name or a list of names as a list; `otherwise` when absent. New reference; NULL: neither. */
static json_t *names_of(json_t *v, const char *otherwise)
{
	if (!v) return json_pack("[s]", otherwise);
	if (json_is_string(v)) return json_pack("[O]", v);
	if (!json_is_array(v) || !json_array_size(v)) return NULL;
	for (size_t i = 0; i < json_array_size(v); i++)
		if (!json_is_string(json_array_get(v, i))) return NULL;
	return json_incref(v);
}

static long find(const state *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (!strcmp(t->name[i], name)) return (long)i;
	return -1;
}

static void add(state *t, const char *name, double weight)
{
	t->name = inoci_realloc(t->name, (t->n + 1) * sizeof *t->name);
	t->weight = inoci_realloc(t->weight, (t->n + 1) * sizeof *t->weight);
	t->name[t->n] = inoci_strdup(name);
	t->weight[t->n++] = weight;
}

/* ---- two sides ---- */

static int add_side(json_t *j, inoci_scorer *s, const char *key, const char *otherwise, double sign, inoc_err *err)
{
	state *t = s->state;
	json_t *names = names_of(json_object_get(j, key), otherwise);
	if (!names) return bad(err, key, "a text's name, or a list of such");
	json_object_set_new(s->settings, key, names);
	for (size_t i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));
		if (find(t, name) >= 0)
			return inoci_err_set(err, INOC_E_USAGE,
			                     "text '%.60s' stands twice in \"of\" and \"against\" of scorer type \"contrast\"",
			                     name);
		add(t, name, sign / (double)json_array_size(names));
	}
	return 0;
}

/* ---- factors ---- */

/* One factor's two levels: bit f of mask[name] is its second level. The first factor says which texts there are; every other one
 * has each of them once. */
static int add_factor(state *t, int f, const char *factor, json_t *levels, unsigned *mask, inoc_err *err)
{
	uint64_t seen = 0;
	const char *wrong = NULL, *name = "";
	if (!json_is_array(levels) || json_array_size(levels) != 2)
		return inoci_err_set(err, INOC_E_USAGE,
		                     "factor '%.60s' wants its two levels, each a list of texts: [[es, ES], [en, EN]]", factor);
	json_t *names[2] = {names_of(json_array_get(levels, 0), ""), names_of(json_array_get(levels, 1), "")};
	for (size_t l = 0; l < 2 && !wrong; l++) {
		if (!names[l]) wrong = "has a level that is no list of texts";
		for (size_t i = 0; i < json_array_size(names[l]) && !wrong; i++) {
			name = json_string_value(json_array_get(names[l], i));
			long at = find(t, name);
			if (f == 0 && at < 0 && t->n < 1u << MAX_FACTORS) add(t, name, 0), at = (long)t->n - 1;
			if (at < 0)
				wrong = f ? "is not one of the texts of the factor before" : "is one too many";
			else if (seen >> at & 1)
				wrong = "stands twice";
			else
				seen |= 1ull << at, mask[at] |= (unsigned)l << f;
		}
	}
	if (!wrong && (size_t)__builtin_popcountll(seen) != t->n) wrong = "and others: a text of the factor before has no level";
	int rc = wrong ? inoci_err_set(err, INOC_E_USAGE, "factor '%.60s': '%.60s' %s", factor, name, wrong) : 0;
	json_decref(names[0]);
	json_decref(names[1]);
	return rc;
}

static int build_effect(json_t *factors, json_t *effect, inoci_scorer *s, inoc_err *err)
{
	state *t = s->state;
	unsigned mask[1u << MAX_FACTORS] = {0}, asked = 0;
	const char *factor;
	json_t *levels, *names = effect ? names_of(effect, "") : NULL;
	int k = 0, rc = 0;
	if (!json_is_object(factors) || !json_object_size(factors) || json_object_size(factors) > MAX_FACTORS)
		return json_decref(names), bad(err, "factors", "a mapping from names to two levels each, 6 at most");
	if (!names) return bad(err, "effect", "a factor's name, or a list of such for their interaction");
	json_object_foreach(factors, factor, levels)
	{
		INOC_TRY(add_factor(t, k, factor, levels, mask, err));
		for (size_t i = 0; i < json_array_size(names); i++)
			if (!strcmp(factor, json_string_value(json_array_get(names, i)))) asked |= 1u << k;
		k++;
	}
	if (t->n != 1u << k || (size_t)__builtin_popcount(asked) != json_array_size(names)) {
		rc = t->n != 1u << k ? inoci_err_set(err, INOC_E_USAGE, "%d factors of two levels make %u texts, here are %zu", k,
		                                     1u << k, t->n)
		                     : inoci_err_set(err, INOC_E_USAGE,
		                                     "\"effect\" of scorer type \"contrast\" names what is no factor, or "
		                                     "one twice");
		goto out;
	}
	for (size_t i = 0; i < t->n; i++) {
		for (size_t o = 0; o < i; o++)
			if (mask[i] == mask[o]) {
				rc = inoci_err_set(err, INOC_E_USAGE,
				                   "texts '%.60s' and '%.60s' have the same levels of all factors", t->name[o],
				                   t->name[i]);
				goto out;
			}
		t->weight[i] = (__builtin_popcount(mask[i] & asked) % 2 ? -2.0 : 2.0) / (double)t->n;
	}
	json_object_set(s->settings, "factors", factors);
	json_object_set(s->settings, "effect", names);
out:
	json_decref(names);
	return rc;
}

static int build(json_t *j, inoci_scorer *s, inoc_err *err)
{
	state *t = s->state = inoci_alloc(sizeof *t);
	json_t *factors = json_object_get(j, "factors"), *effect = json_object_get(j, "effect");
	int rc = 0;
	if (factors || effect) {
		if (json_object_get(j, "of") || json_object_get(j, "against") || !factors || !effect)
			return inoci_err_set(
			        err, INOC_E_USAGE,
			        "scorer type \"contrast\" wants \"of\" and \"against\", or \"factors\" and \"effect\"");
		INOC_TRY(build_effect(factors, effect, s, err));
	} else {
		INOC_TRY(add_side(j, s, "of", "trait", 1, err));
		INOC_TRY(add_side(j, s, "against", "normal", -1, err));
	}
	rc = inoci_norm_build(j, s, "byte", true, &t->norm, err);
out:
	return rc;
}

static bool fits(const inoci_scorer *s, const char *measure, const char *const *names, size_t n)
{
	const state *t = s->state;
	if (strcmp(measure, "logprob") && strcmp(measure, "contrast")) return false;
	for (size_t i = 0; i < t->n; i++)
		if (!inoci_is_among(names, n, t->name[i])) return false;
	return true;
}

static int apply(inoci_scorer *s, const inoci_answer *a, double *value, inoc_err *err)
{
	const state *t = s->state;
	inoci_measured m;
	int rc = inoci_measured_read(a->text, a->n, &m, err);
	if (rc < 0) return rc;
	*value = 0;
	for (size_t i = 0; i < t->n; i++) {
		const inoci_measured_text *x = inoci_measured_find(&m, t->name[i]);
		*value += x ? t->weight[i] * inoci_norm_value(&t->norm, x) : NAN;
	}
	inoci_measured_free(&m);
	return 0;
}

const inoci_scorer_type inoci_score_contrast = {
        .name = "contrast",
        .version = 1,
        .real = true,
        .options = {"of", "against", "factors", "effect", "per", "end", "change"},
        .description = "measured: log-probability of the text `of` (trait) minus that of `against` (normal), `per` byte; or an "
                       "`effect` of `factors`",
        .build = build,
        .apply = apply,
        .fits = fits,
        .free = free_state,
};
