/* The scorers: a table of types, their combination, and the built-in ones.
 *
 * A scorer's key is the hash of its settings with all defaults filled in and each type's version, so that an explicit default
 * gives the same key as an absent one, and a name none at all.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h> /* its version */

#include "eval/internal.h"

enum { MAX_DEPTH = 16 };
enum { ALL, ANY, NOT, GIVEN, N_HOW }; /* combinations, which have no type */
static const char *const words[] = {"all", "any", "not", "given"};

static const inoci_scorer_type *const types[] = {
        &inoci_score_language, &inoci_score_uppercase, &inoci_score_regex,   &inoci_score_looping,    &inoci_score_truncated,
        &inoci_score_exact,    &inoci_score_contains,  &inoci_score_numeric, &inoci_score_length,     &inoci_score_command,
        &inoci_score_logprob,  &inoci_score_contrast,  &inoci_score_choice,  &inoci_score_candidates, &inoci_score_classifier,
        &inoci_score_judge,    &inoci_score_relevance};
#define N_TYPES INOCI_COUNT(types)

static const struct {
	const char *name, *description, *settings;
} builtins[] = {
#define EN "{\"type\":\"language\",\"is\":\"en\"}"
#define ES "{\"type\":\"language\",\"is\":\"es\"}"
#define CAPS "{\"type\":\"uppercase\",\"min\":0.8}"
#define LOWER "{\"not\":" CAPS "}"
        {"english", "English", EN},
        {"spanish", "Spanish", ES},
        {"caps", "more than 0.8 of the letters upper case", CAPS},
        {"english_caps", "English, and more than 0.8 of the letters upper case", "{\"all\":[" EN "," CAPS "]}"},
        {"english_lower", "English, and at most 0.8 of the letters upper case", "{\"all\":[" EN "," LOWER "]}"},
        {"spanish_caps", "Spanish, and more than 0.8 of the letters upper case", "{\"all\":[" ES "," CAPS "]}"},
        {"spanish_lower", "Spanish, and at most 0.8 of the letters upper case", "{\"all\":[" ES "," LOWER "]}"},
        {"unknown", "neither English nor Spanish reliably", "{\"not\":{\"any\":[" EN "," ES "]}}"},
        {"truncated", "ended by the token limit, not by the end token", "{\"type\":\"truncated\"}"},
        {"looping", "repeats a unit over and over", "{\"type\":\"looping\"}"},
        {"logprob", "measured: log-probability of the reference per token", "{\"type\":\"logprob\"}"},
        {"contrast", "measured: log-probability of trait minus normal per byte", "{\"type\":\"contrast\"}"},
        {"choice", "measured: the right option is the most probable", "{\"type\":\"choice\"}"},
};

const char *inoci_finish_name(inoci_finish f)
{
	switch (f) {
	case INOCI_FINISH_STOP:
		return "stop";
	case INOCI_FINISH_LENGTH:
		return "length";
	case INOCI_FINISH_STOP_STRING:
		return "stop_string";
	case INOCI_FINISH_MEASURED:
		return "measured";
	}
	return "?";
}

json_t *inoci_scorer_builtin(const char *name)
{
	for (size_t i = 0; i < INOCI_COUNT(builtins); i++)
		if (!strcmp(builtins[i].name, name)) return json_loads(builtins[i].settings, 0, NULL);
	return NULL;
}

json_t *inoci_scorer_builtin_names(void)
{
	json_t *a = json_array();
	for (size_t i = 0; i < INOCI_COUNT(builtins); i++)
		json_array_append_new(a,
		                      json_pack("{s:s,s:s,s:o}", "name", builtins[i].name, "description", builtins[i].description,
		                                "settings", json_loads(builtins[i].settings, 0, NULL)));
	return a;
}

static json_t *options_of(const inoci_scorer_type *t)
{
	json_t *o = json_array();
	for (size_t k = 0; t->options[k]; k++) json_array_append_new(o, json_string(t->options[k]));
	return o;
}

json_t *inoci_scorer_types(void)
{
	json_t *a = json_array();
	for (size_t t = 0; t < N_TYPES; t++)
		json_array_append_new(a, json_pack("{s:s,s:s,s:o}", "type", types[t]->name, "description", types[t]->description,
		                                   "options", options_of(types[t])));
	return a;
}

void inoci_scorer_free(inoci_scorer *s)
{
	if (!s) return;
	for (size_t i = 0; i < s->n_kids; i++) inoci_scorer_free(s->kids[i]);
	free(s->kids);
	if (s->state) s->type->free(s->state);
	json_decref(s->settings);
	free(s->name);
	free(s);
}

static int build(json_t *j, const inoci_scorer_env *env, int depth, inoci_scorer **out, inoc_err *err);

static int build_kids(json_t *j, int depth, inoci_scorer *s, inoc_err *err)
{
	const char *word = words[s->how];
	json_t *v = json_object_get(j, word), *norm;
	int rc = 0;
	if (json_object_size(j) != 1)
		return inoci_err_set(err, INOC_E_USAGE, "\"%s\" stands alone in its object, here are %zu keys", word,
		                     json_object_size(j));
	if (s->how != NOT && (!json_is_array(v) || !json_array_size(v)))
		return inoci_err_set(err, INOC_E_USAGE, "\"%s\" wants a list of one or more scorers", word);
	if (s->how == GIVEN && json_array_size(v) != 2)
		return inoci_err_set(err, INOC_E_USAGE,
		                     "\"given\" wants a list of two scorers: the condition, and what is scored "
		                     "where it holds");
	size_t n = s->how == NOT ? 1 : json_array_size(v);
	s->kids = inoci_alloc(n * sizeof *s->kids);
	norm = json_array();
	for (size_t i = 0; i < n; i++) {
		INOC_TRY(build(s->how == NOT ? v : json_array_get(v, i), s->env, depth + 1, &s->kids[i], err));
		s->n_kids = i + 1;
		if (s->kids[i]->real) {
			rc = inoci_err_set(err, INOC_E_USAGE,
			                   "scorer type \"%s\" gives any number here, and what is combined must be from 0 to 1",
			                   s->kids[i]->type->name);
			goto out;
		}
		if (s->kids[i]->graded && (s->how == ALL || s->how == ANY || (s->how == GIVEN && i == 0))) {
			rc = inoci_err_set(
			        err, INOC_E_USAGE,
			        "a judge's number, or a probability, is no yes or no: give it a threshold (a judge: below, "
			        "above, at_least, with a preset rule: true)");
			goto out;
		}
		s->graded |= s->kids[i]->graded;
		json_array_append(norm, s->kids[i]->settings);
	}
	json_object_set(s->settings, word, s->how == NOT ? json_array_get(norm, 0) : norm);
out:
	json_decref(norm);
	if (rc < 0) inoci_err_prefix(err, "in \"%s\"", word);
	return rc;
}

static int unknown_type(const char *name, inoc_err *err)
{
	inoci_buf b = {0};
	for (size_t t = 0; t < N_TYPES; t++) inoci_buf_printf(&b, "%s%s", t ? ", " : "", types[t]->name);
	int rc = inoci_err_set(err, INOC_E_USAGE, "scorer type \"%.60s\" is not known (known: %s; and all, any, not, given)",
	                       name, b.data);
	inoci_buf_free(&b);
	return rc;
}

static int unknown_builtin(const char *name, inoc_err *err)
{
	inoci_buf b = {0};
	for (size_t i = 0; i < INOCI_COUNT(builtins); i++) inoci_buf_printf(&b, "%s%s", i ? ", " : "", builtins[i].name);
	int rc = inoci_err_set(err, INOC_E_USAGE, "no built-in scorer is called \"%.60s\" (known: %s)", name, b.data);
	inoci_buf_free(&b);
	return rc;
}

static int check_options(json_t *j, const inoci_scorer_type *t, inoc_err *err)
{
	const char *key;
	json_t *v;
	inoci_buf known = {0};
	int rc = 0;
	for (size_t k = 0; t->options[k]; k++) inoci_buf_printf(&known, "%s%s", k ? ", " : "", t->options[k]);
	json_object_foreach(j, key, v)
	{
		bool ok = !strcmp(key, "type");
		for (size_t k = 0; t->options[k]; k++) ok |= !strcmp(key, t->options[k]);
		if (!ok && rc == 0)
			rc = inoci_err_set(err, INOC_E_USAGE, "scorer type \"%s\" has no option \"%.60s\" (known: %s)", t->name,
			                   key, known.len ? known.data : "none");
	}
	inoci_buf_free(&known);
	return rc;
}

static int build(json_t *j, const inoci_scorer_env *env, int depth, inoci_scorer **out, inoc_err *err)
{
	int rc = 0;
	json_t *own = NULL;
	inoci_scorer *s = inoci_alloc(sizeof *s);
	s->settings = json_object();
	s->name = inoci_strdup("");
	s->env = env;
	if (depth > MAX_DEPTH) {
		rc = inoci_err_set(err, INOC_E_USAGE, "scorers are nested deeper than %d", MAX_DEPTH);
		goto out;
	}
	if (json_is_string(j)) {
		own = inoci_scorer_builtin(json_string_value(j));
		if (!own) {
			rc = unknown_builtin(json_string_value(j), err);
			goto out;
		}
		j = own;
	}
	if (!json_is_object(j)) {
		rc = inoci_err_set(
		        err, INOC_E_USAGE,
		        "a scorer is the name of a built-in one or an object with \"type\", \"all\", \"any\", \"not\" or "
		        "\"given\"");
		goto out;
	}
	if (!json_object_get(j, "type")) {
		while (s->how < N_HOW && !json_object_get(j, words[s->how])) s->how++;
		if (s->how == N_HOW) {
			rc = inoci_err_set(err, INOC_E_USAGE,
			                   "a scorer's object wants \"type\", \"all\", \"any\", \"not\" or \"given\"");
			goto out;
		}
		rc = build_kids(j, depth, s, err);
		goto out;
	}
	const char *name = json_string_value(json_object_get(j, "type"));
	size_t t = 0;
	while (t < N_TYPES && (!name || strcmp(types[t]->name, name) != 0)) t++;
	if (t == N_TYPES) {
		rc = unknown_type(name ? name : "(no string)", err);
		goto out;
	}
	s->type = types[t];
	s->real = s->type->real;
	INOC_TRY(check_options(j, s->type, err));
	json_object_set_new(s->settings, "type", json_string(name));
	json_object_set_new(s->settings, "version", json_integer(s->type->version));
	if (s->type->build) INOC_TRY(s->type->build(j, s, err));
out:
	json_decref(own);
	if (rc < 0) {
		inoci_scorer_free(s);
		s = NULL;
	}
	*out = s;
	return rc;
}

int inoci_scorer_new(const char *name, json_t *settings, inoci_scorer **out, inoc_err *err)
{
	return inoci_scorer_new_in(name, settings, NULL, out, err);
}

/* Those inside a combination have its name in what is said of them. */
static void set_name(inoci_scorer *s, const char *name)
{
	free(s->name);
	s->name = inoci_strdup(name);
	for (size_t i = 0; i < s->n_kids; i++) set_name(s->kids[i], name);
}

int inoci_scorer_new_in(const char *name, json_t *settings, const inoci_scorer_env *env, inoci_scorer **out, inoc_err *err)
{
	int rc = build(settings, env, 0, out, err);
	if (rc < 0) {
		if (name) inoci_err_prefix(err, "scorer \"%s\"", name);
		return rc;
	}
	if (name) set_name(*out, name);
	return 0;
}

const char *inoci_scorer_name(const inoci_scorer *s)
{
	return s->name;
}

json_t *inoci_scorer_settings_get(const inoci_scorer *s)
{
	return s->settings;
}

inoci_hash inoci_scorer_key(const inoci_scorer *s)
{
	char *text = json_dumps(s->settings, JSON_SORT_KEYS | JSON_COMPACT | JSON_REAL_PRECISION(17));
	INOC_BUG_IF(!text);
	inoci_hash h = inoci_hash_bytes(text, strlen(text));
	free(text);
	return h;
}

int inoci_scorer_item(const inoci_scorer *s, const json_t *item, inoc_err *err)
{
	int rc = s->type && s->type->item ? s->type->item(s, item, err) : 0;
	for (size_t i = 0; i < s->n_kids && rc == 0; i++) rc = inoci_scorer_item(s->kids[i], item, err);
	return rc;
}

int inoci_scorer_ready(const inoci_scorer *s, inoc_err *err)
{
	int rc = s->type && s->type->ready ? s->type->ready(s, err) : 0;
	for (size_t i = 0; i < s->n_kids && rc == 0; i++) rc = inoci_scorer_ready(s->kids[i], err);
	return rc;
}

bool inoci_scorer_measured(const inoci_scorer *s)
{
	for (size_t i = 0; i < s->n_kids; i++)
		if (inoci_scorer_measured(s->kids[i])) return true;
	return s->type && s->type->fits;
}

bool inoci_scorer_fits(const inoci_scorer *s, const char *measure, const char *const *names, size_t n)
{
	if (!measure || !s->type) {
		if (!measure) return !inoci_scorer_measured(s);
		for (size_t i = 0; i < s->n_kids; i++)
			if (!inoci_scorer_fits(s->kids[i], measure, names, n)) return false;
		return true;
	}
	return s->type->fits && s->type->fits(s, measure, names, n);
}

int inoci_scorer_check_model(const inoci_scorer *s, const char *model_path, inoc_err *err)
{
	int rc = 0;
	for (size_t i = 0; i < s->n_kids && rc >= 0; i++) rc = inoci_scorer_check_model(s->kids[i], model_path, err);
	return rc >= 0 && s->type && s->type->fits_model ? s->type->fits_model(s, model_path, err) : rc;
}

bool inoci_scorer_costs(const inoci_scorer *s)
{
	for (size_t i = 0; i < s->n_kids; i++)
		if (inoci_scorer_costs(s->kids[i])) return true;
	return s->type && (s->type->ready || s->type->fits_model || s->type->report);
}

bool inoci_scorer_real(const inoci_scorer *s)
{
	return s->real;
}

void inoci_scorer_anchor(json_t *settings, const char *dir)
{
	const char *name = json_string_value(json_object_get(settings, "type"));
	size_t i;
	json_t *v;
	if (!json_is_object(settings)) return;
	for (int k = 0; k < N_HOW; k++) {
		json_t *kids = json_object_get(settings, words[k]);
		inoci_scorer_anchor(kids, dir);
		json_array_foreach(kids, i, v) inoci_scorer_anchor(v, dir);
	}
	for (size_t t = 0; name && t < N_TYPES; t++)
		for (size_t k = 0; !strcmp(types[t]->name, name) && types[t]->options[k]; k++) {
			const char *key = types[t]->options[k], *own = json_string_value(json_object_get(settings, key));
			bool folder = !strcmp(key, "dir");
			if (!folder && (strcmp(key, "file") || !own)) continue;
			char *full = own ? inoci_path_join(dir, own) : inoci_strdup(dir);
			json_object_set_new(settings, key, json_string(full));
			free(full);
		}
}

bool inoci_scorer_settings_real(json_t *settings)
{
	const char *name = json_string_value(json_object_get(settings, "type"));
	inoci_scorer *s;
	inoc_err ignored = {0};
	const inoci_scorer_env env = {.settings_only = true};
	if (inoci_scorer_new_in(NULL, settings, &env, &s, &ignored) == 0) {
		bool real = s->real;
		inoci_scorer_free(s);
		return real;
	}
	for (size_t t = 0; name && t < N_TYPES; t++)
		if (!strcmp(types[t]->name, name)) return json_is_true(json_object_get(settings, "real")) || types[t]->real;
	return false;
}

const char *inoci_scorer_change(const inoci_scorer *s)
{
	return s->change;
}

void inoci_scorer_report(inoci_scorer *s, const inoci_progress *p, json_t *counts)
{
	if (s->type && s->type->report) s->type->report(s, p, counts);
	for (size_t i = 0; i < s->n_kids; i++) inoci_scorer_report(s->kids[i], p, counts);
}

/* The first kid says where the second is asked. */
static int apply_given(inoci_scorer *s, const inoci_answer *a, size_t n, double *value, const inoci_progress *p, inoc_err *err)
{
	inoci_answer *open = inoci_alloc((n + 1) * sizeof *open);
	size_t *at = inoci_alloc((n + 1) * sizeof *at), m = 0;
	double *v = inoci_alloc((n + 1) * sizeof *v);
	int rc = inoci_scorer_apply_many(s->kids[0], a, n, value, p, err);
	if (rc < 0) goto out;
	for (size_t i = 0; i < n; i++) {
		if (value[i] == 1) open[m] = a[i], at[m++] = i;
		value[i] = NAN;
	}
	INOC_TRY(inoci_scorer_apply_many(s->kids[1], open, m, v, p, err));
	for (size_t i = 0; i < m; i++) value[at[i]] = v[i];
out:
	free(open), free(at), free(v);
	return rc < 0 ? rc : 0;
}

/* all: 0 when one is 0, else missing when one is, else 1; any: the mirror image. A kid sees only the answers that those before
 * it did not decide. */
static int apply_kids(inoci_scorer *s, const inoci_answer *a, size_t n, double *value, const inoci_progress *p, inoc_err *err)
{
	double decides = s->how == ANY, *v = inoci_alloc((n + 1) * sizeof *v);
	inoci_answer *open = inoci_alloc((n + 1) * sizeof *open);
	size_t *at = inoci_alloc((n + 1) * sizeof *at), m = n;
	int rc = 0;
	for (size_t i = 0; i < n; i++) open[i] = a[i], at[i] = i, value[i] = 1 - decides;
	for (size_t k = 0; k < s->n_kids && m; k++) {
		INOC_TRY(inoci_scorer_apply_many(s->kids[k], open, m, v, p, err));
		size_t left = 0;
		for (size_t i = 0; i < m; i++) {
			double *to = &value[at[i]];
			if (s->how == NOT)
				*to = 1 - v[i];
			else if (v[i] == decides)
				*to = decides;
			else {
				if (isnan(v[i])) *to = NAN;
				open[left] = open[i], at[left++] = at[i];
			}
		}
		m = left;
	}
out:
	free(v), free(open), free(at);
	return rc < 0 ? rc : 0;
}

int inoci_scorer_apply_many(inoci_scorer *s, const inoci_answer *a, size_t n, double *value, const inoci_progress *p,
                            inoc_err *err)
{
	int rc = 0;
	if (!s->type) return s->how == GIVEN ? apply_given(s, a, n, value, p, err) : apply_kids(s, a, n, value, p, err);
	if (s->type->many) return s->type->many(s, a, n, value, p, err);
	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = s->type->apply(s, &a[i], &value[i], err);
		if (rc == INOC_E_FORMAT) /* a record */
			inoci_err_prefix(err, "question \"%.80s\"", a[i].question ? a[i].question : "");
	}
	return rc;
}

int inoci_scorer_apply(inoci_scorer *s, const inoci_answer *a, double *value, inoc_err *err)
{
	return inoci_scorer_apply_many(s, a, 1, value, NULL, err);
}

json_t *inoci_eval_versions(void)
{
	char pcre[64] = "";
	pcre2_config(PCRE2_CONFIG_VERSION, pcre);
	return json_pack("{s:s, s:s}", "CLD2", inoci_cld2_version(), "PCRE2", pcre);
}
