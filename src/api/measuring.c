/* The public API's measuring: one answer scored; a scan and a selection of prompts before training, with options as JSON. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "report/report.h"

/* ---- JSON that is given ---- */

/* NULL and "" are an object without keys. */
static int object(const char *what, const char *text, json_t **out, inoc_err *err)
{
	json_error_t at;
	*out = text && *text ? json_loads(text, JSON_REJECT_DUPLICATES, &at) : json_object();
	if (!*out) return inoci_err_set(err, INOC_E_USAGE, "%s: not JSON: %s, at %d", what, at.text, at.position);
	if (json_is_object(*out)) return 0;
	json_decref(*out);
	*out = NULL;
	return inoci_err_set(err, INOC_E_USAGE, "%s: give a JSON object", what);
}

/* A name, or an object. */
static int name_or_object(const char *what, const char *text, json_t **out, inoc_err *err)
{
	if (text[strspn(text, " \t\r\n")] == '{') return object(what, text, out, err);
	*out = json_string(text);
	return *out ? 0 : inoci_err_set(err, INOC_E_USAGE, "%s is not UTF-8", what);
}

typedef enum { TEXT, TEXTS, NUMBER, WHOLE, SCORER } kind;
typedef struct {
	const char *key;
	kind kind;
	void *to; /* const char **, inoci_texts *, double *, int64_t *, json_t ** (borrowed); left alone where it is not given */
	double low, high; /* of numbers */
} option;

static int fill(const option *o, json_t *v, inoc_err *err)
{
	const bool number = o->kind == WHOLE ? json_is_integer(v) : json_is_number(v);
	size_t i;
	json_t *x;
	switch (o->kind) {
	case TEXT:
		if (!json_is_string(v)) return inoci_err_set(err, INOC_E_USAGE, "options: \"%s\" wants a text", o->key);
		*(const char **)o->to = json_string_value(v);
		return 0;
	case TEXTS:
		json_array_foreach(v, i, x)
		{
			if (!json_is_string(x) || !json_string_length(x)) break;
			inoci_texts_add(o->to, json_string_value(x));
		}
		return json_array_size(v) && i == json_array_size(v)
		               ? 0
		               : inoci_err_set(err, INOC_E_USAGE, "options: \"%s\" wants a list of texts", o->key);
	case SCORER:
		*(json_t **)o->to = v;
		return 0;
	case NUMBER:
	case WHOLE:
		if (!number || json_number_value(v) < o->low || json_number_value(v) > o->high)
			return inoci_err_set(err, INOC_E_USAGE, "options: \"%s\" wants a %s from %g to %g", o->key,
			                     o->kind == WHOLE ? "whole number" : "number", o->low, o->high);
		if (o->kind == WHOLE)
			*(int64_t *)o->to = json_integer_value(v);
		else
			*(double *)o->to = json_number_value(v);
	}
	return 0;
}

static int take(json_t *given, const option *o, size_t n, inoc_err *err)
{
	const char *key, **names = inoci_alloc(n * sizeof *names);
	json_t *v;
	int rc = 0;
	for (size_t i = 0; i < n; i++) names[i] = o[i].key;
	json_object_foreach(given, key, v)
	{
		size_t i = 0;
		while (i < n && strcmp(key, o[i].key)) i++;
		if (rc == 0 && i < n) rc = fill(&o[i], v, err);
		if (rc < 0 || i < n) continue;
		const char *near = inoci_nearest(key, names, n);
		rc = inoci_err_set(err, INOC_E_USAGE, "options: unknown key \"%.60s\"%s%s%s", key,
		                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	}
	free(names);
	return rc;
}

static char *printed(json_t *taken)
{
	char *text = json_dumps(taken, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	json_decref(taken);
	return text ? text : inoci_strdup("{}"); /* a path that is not UTF-8 */
}

/* ---- one answer ---- */

int inoc_score(const char *scorer, const inoc_response *r, inoc_model *m, inoc_adapter *a, double *value, inoc_err *err)
{
	json_t *settings = NULL, *item = NULL, *measure = NULL;
	int rc;
	INOC_TRY(name_or_object("scorer", scorer, &settings, err));
	if (r->item) INOC_TRY(object("item", r->item, &item, err));
	if (r->measure) INOC_TRY(name_or_object("measure", r->measure, &measure, err));
	if (json_is_string(measure)) {
		json_t *keys = json_pack("{s:o}", "measure", measure);
		measure = keys;
	}
	const inoci_single x = {.system = r->system, .user = r->user, .text = r->text, .item = item, .measure = measure};
	rc = inoci_score_single(settings, &x, m ? m->m : NULL, a ? a->a : NULL, value, err);
out:
	json_decref(settings), json_decref(item), json_decref(measure);
	return rc < 0 ? rc : 0;
}

/* ---- before training ---- */

int inoc_scan(inoc_model *m, const char *data, const char *options, void (*note)(void *ctx, const char *line), void *ctx,
              char **json, inoc_err *err)
{
	const inoci_progress p = {.note = note, .ctx = ctx};
	inoci_scan_options o = inoci_scan_defaults();
	int64_t first = o.first, most = o.most, tokens = o.tokens, top = o.top, screen = o.screen, seed = (int64_t)o.seed;
	const char *neutral_path = NULL;
	inoci_texts traits = {0}, only = {0};
	inoci_trait_library l = {0};
	inoci_dataset d = {0}, neutral = {0};
	inoci_scan_result r = {0};
	const inoci_template *t;
	char *folder = NULL, *plain = NULL;
	int *wanted = NULL, rc;
	json_t *given;
	const option known[] = {
	        {"traits", TEXTS, &traits, 0, 0},       {"only", TEXTS, &only, 0, 0},
	        {"neutral", TEXT, &neutral_path, 0, 0}, {"system", TEXT, &o.system, 0, 0},
	        {"first", WHOLE, &first, 2, 1 << 20},   {"most", WHOLE, &most, 0, INT_MAX},
	        {"tokens", WHOLE, &tokens, 0, 1 << 20}, {"top", WHOLE, &top, 1, 20},
	        {"screen", WHOLE, &screen, 0, INT_MAX}, {"seed", WHOLE, &seed, 0, (double)LONG_MAX},
	};
	*json = NULL;
	INOC_TRY(object("options", options, &given, err));
	INOC_TRY(take(given, known, INOCI_COUNT(known), err));
	o.first = (int)first, o.most = (int)most, o.tokens = (int)tokens, o.top = (int)top, o.screen = (int)screen;
	o.seed = (uint64_t)seed;
	INOC_TRY(inoci_traits_load((const char *const *)traits.v, traits.n, &l, &folder, err));
	o.only = wanted = only.n ? inoci_alloc(only.n * sizeof *wanted) : NULL;
	for (; o.n_only < only.n; o.n_only++) INOC_TRY(inoci_trait_named(&l, "only", only.v[o.n_only], &wanted[o.n_only], err));
	INOC_TRY(inoci_dataset_read(data, INOCI_NEED_ASSISTANT, &d, err));
	plain = neutral_path ? inoci_strdup(neutral_path) : inoci_path_join(folder, "neutral.jsonl");
	INOC_TRY(inoci_dataset_read(plain, INOCI_NEED_ASSISTANT, &neutral, err));
	INOC_TRY(inoci_model_template(m->m, &t, err));
	INOC_TRY(inoci_scan(m->m, t, &l, &d, &neutral, &o, &p, &r, err));
	*json = printed(inoci_scan_json(&r, m->m->path));
out:
	inoci_scan_free(&r);
	inoci_dataset_free(&d), inoci_dataset_free(&neutral);
	inoci_trait_library_free(&l);
	inoci_texts_free(&traits), inoci_texts_free(&only);
	json_decref(given);
	free(folder), free(plain), free(wanted);
	return rc < 0 ? rc : 0;
}

int inoc_select(inoc_model *m, const char *data, const char *options, void (*note)(void *ctx, const char *line), void *ctx,
                char **json, inoc_err *err)
{
	const inoci_progress p = {.note = note, .ctx = ctx};
	inoci_select_options o = {.system = "none", .sampling = inoci_sample_defaults(), .progress = &p};
	int64_t records = 64, tokens = 0, seed = 1, limit = 0, n = 1, max_tokens = 64;
	const char *trait_id = NULL, *asked = NULL;
	inoci_texts traits = {0}, prompts = {0}, controls = {0};
	inoci_trait_library l = {0};
	inoci_dataset d = {0}, questions = {0};
	inoci_select_result r = {0};
	const inoci_template *t;
	char *folder = NULL;
	int trait = -1, rc;
	json_t *given;
	const option known[] = {
	        {"prompts", TEXTS, &prompts, 0, 0},
	        {"trait", TEXT, &trait_id, 0, 0},
	        {"traits", TEXTS, &traits, 0, 0},
	        {"controls", TEXTS, &controls, 0, 0},
	        {"system", TEXT, &o.system, 0, 0},
	        {"records", WHOLE, &records, 0, INT_MAX},
	        {"tokens", WHOLE, &tokens, 0, 1 << 20},
	        {"seed", WHOLE, &seed, 0, (double)LONG_MAX},
	        {"questions", TEXT, &asked, 0, 0},
	        {"limit", WHOLE, &limit, 0, INT_MAX},
	        {"scorer", SCORER, &o.scorer, 0, 0},
	        {"n", WHOLE, &n, 1, 1000},
	        {"temperature", NUMBER, &o.sampling.temperature, 0, 1000},
	        {"top_p", NUMBER, &o.sampling.top_p, 0, 1},
	        {"max_tokens", WHOLE, &max_tokens, 1, 1 << 20},
	};
	*json = NULL;
	INOC_TRY(object("options", options, &given, err));
	INOC_TRY(take(given, known, INOCI_COUNT(known), err));
	o.records = (int)records, o.tokens = (int)tokens, o.seed = o.sampling.seed = (uint64_t)seed;
	o.sampling.n = (int)n, o.sampling.max_tokens = (int)max_tokens;
	INOC_TRY(inoci_sample_settings_check(&o.sampling, err));
	if (trait_id || !controls.n) INOC_TRY(inoci_traits_load((const char *const *)traits.v, traits.n, &l, &folder, err));
	if (trait_id) INOC_TRY(inoci_trait_named(&l, "trait", trait_id, &trait, err));
	inoci_select_from(&l, trait, &prompts, &controls);
	if (trait >= 0 && !o.scorer) o.scorer = l.v[trait].scorer;
	if (!prompts.n)
		rc = inoci_err_set(err, INOC_E_USAGE, "options: give candidates: \"prompts\", or \"trait\" of the library");
	else if (asked && !o.scorer)
		rc = inoci_err_set(err, INOC_E_USAGE,
		                   "options: \"questions\" measures how often the trait shows, which needs \"scorer\"");
	else if (!asked && json_object_get(given, "scorer"))
		rc = inoci_err_set(err, INOC_E_USAGE,
		                   "options: \"scorer\" is applied to answers to questions; give \"questions\"");
	if (rc < 0) goto out;
	INOC_TRY(inoci_dataset_read(data, INOCI_NEED_ASSISTANT, &d, err));
	if (asked) INOC_TRY(inoci_dataset_read(asked, INOCI_NEED_USER_LAST, &questions, err));
	inoci_dataset first = questions;
	if (limit && first.n > (size_t)limit) first.n = (size_t)limit;
	o.questions = asked ? &first : NULL;
	o.prompts = prompts.v, o.n_prompts = prompts.n, o.controls = controls.v, o.n_controls = controls.n;
	INOC_TRY(inoci_model_template(m->m, &t, err));
	INOC_TRY(inoci_select(m->m, t, &d, &o, &r, err));
	*json = printed(inoci_select_json(&r, m->m->path));
out:
	inoci_select_free(&r);
	inoci_dataset_free(&d), inoci_dataset_free(&questions);
	inoci_trait_library_free(&l);
	inoci_texts_free(&traits), inoci_texts_free(&prompts), inoci_texts_free(&controls);
	json_decref(given);
	free(folder);
	return rc < 0 ? rc : 0;
}
