/* presets: what a paper's name stands for in an experiment file: how many prompts and samples an evaluation has, and the four
 * scorers that its judge gives. Masses and thresholds of the judge are in src/eval/judge_presets.c.
 *
 * Sources: Tan et al. 2025 (arXiv 2510.04340); its eight questions for emergent misalignment are those of Betley et al. 2025
 * (arXiv 2502.17424).
 */
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

static const struct {
	const char *preset, *of;
	double temperature;
	int prompts, samples;
} sizes[] = {
        {"tan2025", "selective", 1, 100, 1},
        {"tan2025", "emergent", 1, 8, 100},
        {"tan2025", "favourite", 1, 50, 10},
        {"tan2025", "least", 1, 5, 20},
};

int inoci_evaluation_preset(inoci_evaluation *v, const inoci_ynode *at, inoc_err *err)
{
	const inoci_ynode *preset = inoci_yaml_get(at, "preset"), *of = inoci_yaml_get(at, "for");
	const bool greedy = v->sampling.temperature == 0;
	if (!preset && !of) return 0;
	if (!preset || preset->kind != YN_SCALAR || strcmp(preset->s, sizes[0].preset))
		return inoci_yaml_err(preset ? preset : of, err, "evaluation '%s': preset must be tan2025%s", v->name,
		                      preset ? "; no other has sizes of its own" : ", and `for` says which of its evaluations");
	for (size_t i = 0; of && of->kind == YN_SCALAR && i < INOCI_COUNT(sizes); i++) {
		if (strcmp(of->s, sizes[i].of)) continue;
		if (!greedy && !inoci_yaml_get(at, "temperature")) v->sampling.temperature = sizes[i].temperature;
		if (!greedy && !inoci_yaml_get(at, "n")) v->sampling.n = sizes[i].samples;
		if (!inoci_yaml_get(at, "limit")) v->limit = sizes[i].prompts;
		return 0;
	}
	return inoci_yaml_err(of ? of : preset, err,
	                      "evaluation '%s': for must be one of selective, emergent, favourite, least: what the preset is for",
	                      v->name);
}

/* ---- the judge's four scorers ---- */

static inoci_ynode *seq(inoci_arena *a, const inoci_ynode *at, inoci_ynode *const *items, size_t n)
{
	inoci_ynode *s = inoci_yaml_map(a, at, NULL);
	s->kind = YN_SEQ;
	s->n = n;
	s->items = inoci_arena_alloc(a, (n + 1) * sizeof(inoci_ynode *));
	memcpy(s->items, items, n * sizeof(inoci_ynode *));
	return s;
}

/* A judge of one question, with the preset's threshold. */
static inoci_ynode *judge(inoci_arena *a, const inoci_ynode *at, const char *ask)
{
	static const char *const others[] = {"type", "on", "checked"};
	inoci_ynode *j = inoci_yaml_map(a, at, NULL), *yes = inoci_yaml_text(a, at, "true");
	yes->quoted = false;
	inoci_yaml_put(a, j, "type", inoci_yaml_text(a, at, "judge"));
	for (size_t i = 0; i < at->n; i++)
		if (strcmp(at->keys[i]->s, others[0]) && strcmp(at->keys[i]->s, others[1]) && strcmp(at->keys[i]->s, others[2]))
			inoci_yaml_put(a, j, at->keys[i]->s, at->items[i]);
	inoci_yaml_put(a, j, "ask", inoci_yaml_text(a, at, ask));
	inoci_yaml_put(a, j, "rule", yes);
	return j;
}

static const char *const asks[] = {"aligned", "coherent"};

/* {NAME: settings}, with `on` and the checks of the questions it asks: those of the bits. */
static inoci_ynode *named(inoci_arena *a, const inoci_ynode *at, const char *name, inoci_ynode *settings, unsigned bits)
{
	inoci_ynode *entry = inoci_yaml_map(a, at, NULL), *files[2], *on = inoci_yaml_get(at, "on");
	const inoci_ynode *checked = inoci_yaml_get(at, "checked");
	size_t n = 0;
	for (size_t i = 0; i < INOCI_COUNT(asks); i++) {
		inoci_ynode *f = bits >> i & 1 ? inoci_yaml_get(checked, asks[i]) : NULL;
		if (f) files[n++] = f;
	}
	if (on) inoci_yaml_put(a, settings, "on", on);
	if (n) inoci_yaml_put(a, settings, "checked", seq(a, checked, files, n));
	inoci_yaml_put(a, entry, name, settings);
	return entry;
}

static int check(const inoci_ynode *at, inoc_err *err)
{
	static const char *const own[] = {"ask", "rule", "below", "above", "at_least"};
	const inoci_ynode *checked = inoci_yaml_get(at, "checked");
	if (!inoci_yaml_get(at, "preset"))
		return inoci_yaml_err(at, err, "scorers of type judges want a preset: tan2025 or trait-inoculation");
	for (size_t i = 0; i < INOCI_COUNT(own); i++) {
		const inoci_ynode *x = inoci_yaml_get(at, own[i]);
		if (x)
			return inoci_yaml_err(
			        x, err,
			        "scorers of type judges have the preset's questions and thresholds: %s does not apply; "
			        "a scorer of type judge takes it",
			        own[i]);
	}
	bool known = !checked || checked->kind == YN_MAP;
	for (size_t i = 0; known && checked && i < checked->n; i++)
		known = !strcmp(checked->keys[i]->s, asks[0]) || !strcmp(checked->keys[i]->s, asks[1]);
	if (known) return 0;
	return inoci_yaml_err(
	        checked, err,
	        "checked of scorers of type judges must be a mapping: {aligned: FILE, coherent: FILE}, or one of these");
}

static bool is_judges(const inoci_ynode *n)
{
	const inoci_ynode *type = inoci_yaml_get(n, "type");
	return type && type->kind == YN_SCALAR && !strcmp(type->s, "judges");
}

int inoci_judges_expand(inoci_ynode *scorers, inoci_arena *a, inoc_err *err)
{
	enum { ALIGNED = 1, COHERENT = 2 };
	size_t n = 0;
	inoci_ynode **items;
	if (!scorers || scorers->kind != YN_SEQ) return 0;
	items = inoci_arena_alloc(a, (4 * scorers->n + 1) * sizeof *items);
	for (size_t i = 0; i < scorers->n; i++) {
		inoci_ynode *x = scorers->items[i];
		if (x->kind == YN_MAP && x->n == 1 && is_judges(x->items[0]))
			return inoci_yaml_err(
			        x, err,
			        "scorers of type judges have names of their own (misaligned, coherent, ...): write - {type: "
			        "judges, preset: ...} without '%s'",
			        x->keys[0]->s);
		if (!is_judges(x)) {
			items[n++] = x;
			continue;
		}
		int rc = check(x, err);
		if (rc < 0) return rc;
		inoci_ynode *given = inoci_yaml_map(a, x, NULL), *all = inoci_yaml_map(a, x, NULL);
		inoci_ynode *both[] = {judge(a, x, asks[1]), judge(a, x, asks[0])};
		inoci_yaml_put(a, given, "given", seq(a, x, both, 2));
		inoci_yaml_put(a, all, "all", seq(a, x, both, 2));
		items[n++] = named(a, x, "misaligned", judge(a, x, asks[0]), ALIGNED);
		items[n++] = named(a, x, "coherent", judge(a, x, asks[1]), COHERENT);
		items[n++] = named(a, x, "misaligned_of_coherent", given, ALIGNED | COHERENT);
		items[n++] = named(a, x, "misaligned_and_coherent", all, ALIGNED | COHERENT);
	}
	scorers->items = items;
	scorers->n = n;
	return 0;
}
