/* The scorers: a table of types, their combination, and the built-in ones.
 *
 * A scorer's key is the hash of its settings with all defaults filled in and each type's version, so that an explicit default
 * gives the same key as an absent one, and a name none at all.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "eval/internal.h"

enum { MAX_DEPTH = 16, MATCH_STEPS = 1000000 };

typedef enum { T_LANGUAGE, T_UPPERCASE, T_REGEX, T_LOOPING, T_TRUNCATED, T_ALL, T_ANY, T_NOT } type;

/* Raise a version when the type's result changes for any input. */
static const struct {
	const char *name;
	int version;
	const char *options[4];
	const char *description;
} types[] = {
        [T_LANGUAGE] = {"language", 1, {"is"}, "1 when the text is in the language of code `is` (en, es, ...; or unknown)"},
        [T_UPPERCASE] = {"uppercase",
                         1,
                         {"min", "max"},
                         "1 when min < share of upper-case letters <= max (min 0.8 when neither is given)"},
        [T_REGEX] = {"regex", 1, {"pattern", "ignore_case"}, "1 when the PCRE2 pattern is found in the text"},
        [T_LOOPING] = {"looping", 1, {NULL}, "1 when the text repeats a unit over and over"},
        [T_TRUNCATED] = {"truncated", 1, {NULL}, "1 when the token limit ended the text"},
};
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
};

struct inoci_scorer {
	char *name;
	type type;
	json_t *settings; /* complete */
	char *is;
	double min, max;
	pcre2_code *re;
	pcre2_match_data *match;
	pcre2_match_context *limits;
	inoci_scorer **kids;
	size_t n_kids;
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

static json_t *options_of(size_t t)
{
	json_t *o = json_array();
	for (size_t k = 0; k < INOCI_COUNT(types[t].options) && types[t].options[k]; k++)
		json_array_append_new(o, json_string(types[t].options[k]));
	return o;
}

json_t *inoci_scorer_types(void)
{
	json_t *a = json_array();
	for (size_t t = 0; t < N_TYPES; t++)
		json_array_append_new(a, json_pack("{s:s,s:s,s:o}", "type", types[t].name, "description", types[t].description,
		                                   "options", options_of(t)));
	return a;
}

void inoci_scorer_free(inoci_scorer *s)
{
	if (!s) return;
	for (size_t i = 0; i < s->n_kids; i++) inoci_scorer_free(s->kids[i]);
	free(s->kids);
	pcre2_match_data_free(s->match);
	pcre2_match_context_free(s->limits);
	pcre2_code_free(s->re);
	json_decref(s->settings);
	free(s->is);
	free(s->name);
	free(s);
}

static int build(json_t *j, int depth, inoci_scorer **out, inoc_err *err);

static int build_kids(json_t *j, int depth, inoci_scorer *s, inoc_err *err)
{
	static const char *const words[] = {[T_ALL] = "all", [T_ANY] = "any", [T_NOT] = "not"};
	const char *word = words[s->type];
	json_t *v = json_object_get(j, word), *norm;
	int rc = 0;
	if (json_object_size(j) != 1)
		return inoci_err_set(err, INOC_E_USAGE, "\"%s\" stands alone in its object, here are %zu keys", word,
		                     json_object_size(j));
	if (s->type != T_NOT && (!json_is_array(v) || !json_array_size(v)))
		return inoci_err_set(err, INOC_E_USAGE, "\"%s\" wants a list of one or more scorers", word);
	size_t n = s->type == T_NOT ? 1 : json_array_size(v);
	s->kids = inoci_alloc(n * sizeof *s->kids);
	norm = json_array();
	for (size_t i = 0; i < n; i++) {
		INOC_TRY(build(s->type == T_NOT ? v : json_array_get(v, i), depth + 1, &s->kids[i], err));
		s->n_kids = i + 1;
		json_array_append(norm, s->kids[i]->settings);
	}
	json_object_set(s->settings, word, s->type == T_NOT ? json_array_get(norm, 0) : norm);
out:
	json_decref(norm);
	if (rc < 0) inoci_err_prefix(err, "in \"%s\"", word);
	return rc;
}

/* A number in [0, 1], or `otherwise` when absent. */
static int get_share(json_t *j, const char *key, double otherwise, double *out, inoc_err *err)
{
	json_t *v = json_object_get(j, key);
	*out = v ? json_number_value(v) : otherwise;
	if (v && (!json_is_number(v) || !(*out >= 0 && *out <= 1)))
		return inoci_err_set(err, INOC_E_USAGE, "option \"%s\" of scorer type \"uppercase\" wants a number from 0 to 1",
		                     key);
	return 0;
}

static int build_uppercase(json_t *j, inoci_scorer *s, inoc_err *err)
{
	int rc = 0;
	bool has_max = json_object_get(j, "max") != NULL;
	INOC_TRY(get_share(j, "min", has_max ? -1 : 0.8, &s->min, err));
	INOC_TRY(get_share(j, "max", 1, &s->max, err));
	if (s->min >= s->max)
		return inoci_err_set(err, INOC_E_USAGE,
		                     "scorer type \"uppercase\": min %g is not below max %g, so nothing can match", s->min,
		                     s->max);
	json_object_set_new(s->settings, "min", s->min < 0 ? json_null() : json_real(s->min));
	json_object_set_new(s->settings, "max", json_real(s->max));
out:
	return rc;
}

static int build_language(json_t *j, inoci_scorer *s, inoc_err *err)
{
	const char *is = json_string_value(json_object_get(j, "is"));
	if (!is)
		return inoci_err_set(err, INOC_E_USAGE,
		                     "scorer type \"language\" wants \"is\": a language code such as \"en\" or \"es\"");
	if (strcmp(is, "unknown") != 0 && !inoci_cld2_knows(is))
		return inoci_err_set(err, INOC_E_USAGE,
		                     "no language has the code \"%.20s\"; codes are those of ISO 639, such as en, es, fr, de, "
		                     "zh, or \"unknown\"",
		                     is);
	s->is = inoci_strdup(is);
	json_object_set_new(s->settings, "is", json_string(is));
	return 0;
}

static int build_regex(json_t *j, inoci_scorer *s, inoc_err *err)
{
	json_t *p = json_object_get(j, "pattern"), *ic = json_object_get(j, "ignore_case");
	if (!json_is_string(p)) return inoci_err_set(err, INOC_E_USAGE, "scorer type \"regex\" wants \"pattern\": a string");
	if (ic && !json_is_boolean(ic))
		return inoci_err_set(err, INOC_E_USAGE, "option \"ignore_case\" of scorer type \"regex\" wants true or false");
	/* A cut last character must not make the whole text unscorable: invalid bytes match nothing. */
	uint32_t flags = PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;
	if (json_is_true(ic)) flags |= PCRE2_CASELESS;
	int code;
	PCRE2_SIZE at;
	s->re = pcre2_compile((PCRE2_SPTR)json_string_value(p), json_string_length(p), flags, &code, &at, NULL);
	if (!s->re) {
		PCRE2_UCHAR why[200];
		pcre2_get_error_message(code, why, sizeof why);
		return inoci_err_set(err, INOC_E_USAGE, "pattern \"%.200s\" of scorer type \"regex\": %s, at byte %zu",
		                     json_string_value(p), (char *)why, (size_t)at);
	}
	s->match = pcre2_match_data_create(1, NULL);
	s->limits = pcre2_match_context_create(NULL);
	INOC_BUG_IF(!s->match || !s->limits);
	/* Steps, not time, and no JIT (which counts them differently): the result is the same everywhere. */
	pcre2_set_match_limit(s->limits, MATCH_STEPS);
	json_object_set(s->settings, "pattern", p);
	json_object_set_new(s->settings, "ignore_case", json_boolean(json_is_true(ic)));
	return 0;
}

static int unknown_type(const char *name, inoc_err *err)
{
	inoci_buf b = {0};
	for (size_t t = 0; t < N_TYPES; t++) inoci_buf_printf(&b, "%s%s", t ? ", " : "", types[t].name);
	int rc = inoci_err_set(err, INOC_E_USAGE, "scorer type \"%.60s\" is not known (known: %s; and all, any, not)", name,
	                       b.data);
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

static int check_options(json_t *j, type t, inoc_err *err)
{
	const char *key;
	json_t *v;
	json_object_foreach(j, key, v)
	{
		bool known = !strcmp(key, "type");
		for (size_t k = 0; k < INOCI_COUNT(types[t].options) && types[t].options[k]; k++)
			known |= !strcmp(key, types[t].options[k]);
		if (known) continue;
		const char *const *o = types[t].options;
		return inoci_err_set(err, INOC_E_USAGE, "scorer type \"%s\" has no option \"%.60s\" (known: %s%s%s)",
		                     types[t].name, key, o[0] ? o[0] : "none", o[0] && o[1] ? ", " : "",
		                     o[0] && o[1] ? o[1] : "");
	}
	return 0;
}

static int build(json_t *j, int depth, inoci_scorer **out, inoc_err *err)
{
	int rc = 0;
	json_t *own = NULL;
	inoci_scorer *s = inoci_alloc(sizeof *s);
	s->settings = json_object();
	s->name = inoci_strdup("");
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
		        "a scorer is the name of a built-in one or an object with \"type\", \"all\", \"any\" or \"not\"");
		goto out;
	}
	if (!json_object_get(j, "type")) {
		s->type = json_object_get(j, "all") ? T_ALL : json_object_get(j, "any") ? T_ANY : T_NOT;
		if (s->type == T_NOT && !json_object_get(j, "not")) {
			rc = inoci_err_set(err, INOC_E_USAGE, "a scorer's object wants \"type\", \"all\", \"any\" or \"not\"");
			goto out;
		}
		rc = build_kids(j, depth, s, err);
		goto out;
	}
	const char *name = json_string_value(json_object_get(j, "type"));
	size_t t = 0;
	while (t < N_TYPES && (!name || strcmp(types[t].name, name) != 0)) t++;
	if (t == N_TYPES) {
		rc = unknown_type(name ? name : "(no string)", err);
		goto out;
	}
	s->type = (type)t;
	INOC_TRY(check_options(j, s->type, err));
	json_object_set_new(s->settings, "type", json_string(name));
	json_object_set_new(s->settings, "version", json_integer(types[t].version));
	if (s->type == T_LANGUAGE) INOC_TRY(build_language(j, s, err));
	if (s->type == T_UPPERCASE) INOC_TRY(build_uppercase(j, s, err));
	if (s->type == T_REGEX) INOC_TRY(build_regex(j, s, err));
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
	int rc = build(settings, 0, out, err);
	if (rc < 0) {
		if (name) inoci_err_prefix(err, "scorer \"%s\"", name);
		return rc;
	}
	if (name) {
		free((*out)->name);
		(*out)->name = inoci_strdup(name);
	}
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

static int apply_regex(inoci_scorer *s, const inoci_answer *a, double *value, inoc_err *err)
{
	int k = pcre2_match(s->re, (PCRE2_SPTR)(a->text ? a->text : ""), a->n, 0, 0, s->match, s->limits);
	if (k >= 0 || k == PCRE2_ERROR_NOMATCH)
		*value = k >= 0;
	else if (k == PCRE2_ERROR_MATCHLIMIT || k == PCRE2_ERROR_DEPTHLIMIT || k == PCRE2_ERROR_HEAPLIMIT)
		*value = NAN;
	else {
		PCRE2_UCHAR why[200];
		pcre2_get_error_message(k, why, sizeof why);
		return inoci_err_set(err, k == PCRE2_ERROR_NOMEMORY ? INOC_E_MEMORY : INOC_E_EXTERNAL, "scorer \"%s\": PCRE2: %s",
		                     s->name, (char *)why);
	}
	return 0;
}

/* all: 0 when one is 0, else missing when one is, else 1; any: the mirror image. */
static int apply_kids(inoci_scorer *s, const inoci_answer *a, double *value, inoc_err *err)
{
	double decides = s->type == T_ANY, v;
	bool missing = false;
	for (size_t i = 0; i < s->n_kids; i++) {
		int rc = inoci_scorer_apply(s->kids[i], a, &v, err);
		if (rc < 0) return rc;
		if (s->type == T_NOT) {
			*value = 1 - v;
			return 0;
		}
		if (v == decides) {
			*value = decides;
			return 0;
		}
		missing |= isnan(v);
	}
	*value = missing ? NAN : 1 - decides;
	return 0;
}

int inoci_scorer_apply(inoci_scorer *s, const inoci_answer *a, double *value, inoc_err *err)
{
	double share;
	switch (s->type) {
	case T_LANGUAGE:
		*value = strcmp(inoci_language_of(a->text, a->n), s->is) == 0;
		return 0;
	case T_UPPERCASE:
		share = inoci_uppercase_share(a->text, a->n);
		*value = share > s->min && share <= s->max;
		return 0;
	case T_REGEX:
		return apply_regex(s, a, value, err);
	case T_LOOPING:
		*value = inoci_is_looping(a->text, a->n);
		return 0;
	case T_TRUNCATED:
		*value = a->finish == INOCI_FINISH_LENGTH;
		return 0;
	case T_ALL:
	case T_ANY:
	case T_NOT:
		return apply_kids(s, a, value, err);
	}
	return inoci_err_set(err, INOC_E_USAGE, "a scorer of no type");
}

json_t *inoci_eval_versions(void)
{
	char pcre[64] = "";
	pcre2_config(PCRE2_CONFIG_VERSION, pcre);
	return json_pack("{s:s, s:s}", "CLD2", inoci_cld2_version(), "PCRE2", pcre);
}
