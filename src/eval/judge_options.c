/* judge_options: the settings of scorer type "judge", from JSON. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "eval/internal.h"

#define DEFAULT_URL "https://api.openai.com/v1"
enum { SHORT_ANSWER = 8 }; /* tokens, where a number is to be parsed */

typedef enum { STR, BOOL, INT, NUM } kind;
typedef struct {
	const char *name;
	kind kind;
	size_t at; /* in inoci_judge_options */
	double min, max;
} option;
#define ASK(f) offsetof(inoci_judge_options, ask.f)
#define RULE(f) offsetof(inoci_judge_options, rule.f)
static const option options[] = {
        {"url", STR, ASK(url), 0, 0},
        {"model", STR, ASK(model), 0, 0},
        {"local", STR, ASK(local), 0, 0},
        {"sha256", STR, ASK(sha256), 0, 0},
        {"dtype", STR, ASK(dtype), 0, 0},
        {"begin", STR, ASK(begin), 0, 0},
        {"dir", STR, ASK(dir), 0, 0},
        {"key_env", STR, ASK(key_env), 0, 0},
        {"ca_file", STR, ASK(ca_file), 0, 0},
        {"allow_http", BOOL, ASK(allow_http), 0, 0},
        {"logprobs", BOOL, ASK(logprobs), 0, 0},
        {"top", INT, ASK(top), 1, INOCI_JUDGE_TOP},
        {"max_tokens", INT, ASK(max_tokens), 1, 100000},
        {"concurrency", INT, ASK(concurrency), 1, 256},
        {"tries", INT, ASK(tries), 1, 100},
        {"requests_per_minute", NUM, ASK(requests_per_minute), 0, 1e9},
        {"tokens_per_minute", NUM, ASK(tokens_per_minute), 0, 1e12},
        {"connect_timeout_s", NUM, ASK(connect_timeout_s), 0.001, 3600},
        {"timeout_s", NUM, ASK(timeout_s), 0.001, 86400},
        {"backoff_s", NUM, ASK(backoff_s), 0, 60},
        {"max_wait_s", NUM, ASK(max_wait_s), 0, 86400},
        {"template", STR, offsetof(inoci_judge_options, template), 0, 0},
        {"high", INT, RULE(high), 1, 1000},
        {"min_mass", NUM, RULE(min_mass), 0, 1},
        {"parse", BOOL, RULE(parse), 0, 0},
        {"below", NUM, offsetof(inoci_judge_options, below), 0, 1001},
        {"above", NUM, offsetof(inoci_judge_options, above), -1, 1000},
        {"at_least", NUM, offsetof(inoci_judge_options, at_least), 0, 1000},
};

void inoci_judge_options_free(inoci_judge_options *o)
{
	inoci_judge_settings_free(&o->ask);
	free(o->template);
	o->template = NULL;
}

static int wrong(const char *name, const char *wants, inoc_err *err)
{
	return inoci_err_set(err, INOC_E_USAGE, "option \"%s\" of scorer type \"judge\" wants %s", name, wants);
}

static int set(const option *x, const json_t *v, inoci_judge_options *o, inoc_err *err)
{
	void *to = (char *)o + x->at;
	char range[80];
	switch (x->kind) {
	case STR:
		if (!json_is_string(v) || !json_string_length(v)) return wrong(x->name, "a text", err);
		free(*(char **)to);
		*(char **)to = inoci_strdup(json_string_value(v));
		return 0;
	case BOOL:
		if (!json_is_boolean(v)) return wrong(x->name, "true or false", err);
		*(bool *)to = json_is_true(v);
		return 0;
	case INT:
	case NUM:
		snprintf(range, sizeof range, "a %snumber from %g to %g", x->kind == INT ? "whole " : "", x->min, x->max);
		double d = json_number_value(v);
		if (!(x->kind == INT ? json_is_integer(v) : json_is_number(v)) || !(d >= x->min && d <= x->max))
			return wrong(x->name, range, err);
		if (x->kind == INT)
			*(int *)to = (int)d;
		else
			*(double *)to = d;
	}
	return 0;
}

static int use_preset(json_t *j, inoci_judge_options *o, inoc_err *err)
{
	const json_t *name = json_object_get(j, "preset"), *ask = json_object_get(j, "ask"), *rule = json_object_get(j, "rule");
	if (rule && !json_is_boolean(rule)) return wrong("rule", "true or false", err);
	if (!name) {
		if (ask || json_is_true(rule))
			return inoci_err_set(
			        err, INOC_E_USAGE,
			        "options \"ask\" and \"rule\" of scorer type \"judge\" are of a preset: give preset too");
		return 0;
	}
	const inoci_judge_preset *p = json_is_string(name) ? inoci_judge_preset_get(json_string_value(name)) : NULL;
	if (!p) return wrong("preset", "one of tan2025, trait-inoculation", err);
	bool coherent = json_is_string(ask) && !strcmp(json_string_value(ask), "coherent");
	if (!coherent && (!json_is_string(ask) || strcmp(json_string_value(ask), "aligned") != 0))
		return wrong("ask", "one of aligned, coherent, with a preset", err);
	if (json_object_get(j, "template"))
		return inoci_err_set(err, INOC_E_USAGE, "scorer type \"judge\": give either preset or template");
	o->template = inoci_strdup(coherent ? p->coherent : p->aligned);
	if (!json_object_get(j, "min_mass")) o->rule.min_mass = p->min_mass;
	if (!json_is_true(rule)) return 0;
	if (json_object_get(j, "below") || json_object_get(j, "above") || json_object_get(j, "at_least"))
		return inoci_err_set(err, INOC_E_USAGE,
		                     "scorer type \"judge\": give either rule: true or thresholds of your own");
	double of = o->rule.high / 100.0;
	o->below = coherent ? NAN : p->aligned_below * of;
	o->above = coherent ? p->coherent_above * of : NAN;
	o->at_least = coherent ? p->coherent_at_least * of : NAN;
	return 0;
}

static int check(json_t *j, inoci_judge_options *o, inoc_err *err)
{
	inoci_dtype d;
	const json_t *body = json_object_get(j, "body");
	static const char *const of_hosted[] = {"url",      "model", "key_env",    "ca_file", "allow_http",
	                                        "logprobs", "top",   "max_tokens", "body",    "concurrency"},
	                         *const of_local[] = {"sha256", "dtype", "begin"};
	for (size_t i = 0; i < (o->ask.local ? INOCI_COUNT(of_hosted) : INOCI_COUNT(of_local)); i++) {
		const char *name = o->ask.local ? of_hosted[i] : of_local[i];
		if (json_object_get(j, name))
			return inoci_err_set(err, INOC_E_USAGE,
			                     "option \"%s\" of scorer type \"judge\" is for a %s one, and this one is %s", name,
			                     o->ask.local ? "hosted" : "local", o->ask.local ? "local" : "hosted (no \"local\")");
	}
	if (!o->template)
		return inoci_err_set(
		        err, INOC_E_USAGE,
		        "scorer type \"judge\" wants \"template\", a text with {answer} and, where it matters, {question} "
		        "and {reference}; or \"preset\" and \"ask\"");
	if (!strstr(o->template, "{answer}")) return wrong("template", "a text with {answer} in it", err);
	if (body && !json_is_object(body)) return wrong("body", "a mapping of fields of the request", err);
	if (o->at_least == o->at_least && o->above == o->above) return wrong("at_least", "to stand without \"above\"", err);
	if (o->below <= o->above || o->below <= o->at_least)
		return inoci_err_set(err, INOC_E_USAGE, "scorer type \"judge\": no number is below %g and %s %g", o->below,
		                     isnan(o->above) ? "at least" : "above", isnan(o->above) ? o->at_least : o->above);
	if (o->ask.local && inoci_dtype_parse(o->ask.dtype, &d, err) < 0 && strcmp(o->ask.dtype, "auto") != 0)
		return inoci_err_prefix(err, "option \"dtype\" of scorer type \"judge\"");
	if (o->ask.local) return inoci_judge_settings_check(&o->ask, err);
	for (size_t n = strlen(o->ask.url); n && o->ask.url[n - 1] == '/';) o->ask.url[--n] = 0;
	return inoci_judge_settings_check(&o->ask, err);
}

static void put_normal(const inoci_judge_options *o, json_t *normal)
{
	const inoci_judge_settings *s = &o->ask;
	json_t *n = s->local ? json_pack("{s:s, s:s}", "local", s->sha256, "dtype", s->dtype)
	                     : json_pack("{s:s, s:s, s:i, s:i, s:b, s:b}", "url", s->url, "model", s->model, "top", s->top,
	                                 "max_tokens", s->max_tokens, "logprobs", s->logprobs, "parse", o->rule.parse);
	if (s->begin) json_object_set_new(n, "begin", json_string(s->begin));
	if (s->body) json_object_set(n, "body", s->body);
	json_object_set_new(n, "template", json_string(o->template));
	json_object_set_new(n, "high", json_integer(o->rule.high));
	json_object_set_new(n, "min_mass", json_real(o->rule.min_mass));
	if (!isnan(o->below)) json_object_set_new(n, "below", json_real(o->below));
	if (!isnan(o->above)) json_object_set_new(n, "above", json_real(o->above));
	if (!isnan(o->at_least)) json_object_set_new(n, "at_least", json_real(o->at_least));
	json_object_update(normal, n);
	json_decref(n);
}

int inoci_judge_options_read(json_t *j, const char *dir, inoci_judge_options *o, json_t *normal, inoc_err *err)
{
	int rc = 0;
	*o = (inoci_judge_options){.ask = inoci_judge_defaults(),
	                           .rule = {.high = 100, .min_mass = 0.25, .parse = true},
	                           .below = NAN,
	                           .above = NAN,
	                           .at_least = NAN};
	o->ask.dtype = inoci_strdup("auto");
	o->ask.key_env = inoci_strdup("OPENAI_API_KEY");
	for (size_t i = 0; i < INOCI_COUNT(options) && rc == 0; i++) {
		const json_t *v = json_object_get(j, options[i].name);
		if (v) rc = set(&options[i], v, o, err);
	}
	if (rc < 0) return rc;
	char *own = o->ask.dir;
	o->ask.dir = own ? inoci_path_join(dir, own) : dir ? inoci_strdup(dir) : NULL;
	free(own);
	o->ask.high = o->rule.high;
	o->ask.body = json_incref(json_object_get(j, "body"));
	if (!o->ask.local && !o->ask.url) o->ask.url = inoci_strdup(DEFAULT_URL);
	if (!o->ask.logprobs && !json_object_get(j, "max_tokens")) o->ask.max_tokens = SHORT_ANSWER;
	INOC_TRY(use_preset(j, o, err));
	INOC_TRY(check(j, o, err));
	put_normal(o, normal);
out:
	return rc;
}
