/* judge: settings, keys, and who answers: the memory, a hosted model or a local one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "judge/internal.h"
#include "ops/ops.h"

inoci_judge_settings inoci_judge_defaults(void)
{
	return (inoci_judge_settings){.logprobs = true,
	                              .top = INOCI_JUDGE_TOP,
	                              .max_tokens = 1,
	                              .concurrency = 8,
	                              .tries = 6,
	                              .connect_timeout_s = 10,
	                              .timeout_s = 60,
	                              .backoff_s = 0.5,
	                              .max_wait_s = 120};
}

void inoci_judge_settings_free(inoci_judge_settings *s)
{
	free(s->url), free(s->model), free(s->local), free(s->sha256), free(s->dtype), free(s->begin), free(s->dir),
	        free(s->key_env);
	free(s->ca_file);
	json_decref(s->body);
	*s = (inoci_judge_settings){0};
}

static bool is_variable(const char *s)
{
	static const char ok[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
	return *s && (*s < '0' || *s > '9') && strspn(s, ok) == strlen(s);
}

int inoci_judge_settings_check(const inoci_judge_settings *s, inoc_err *err)
{
	bool here, plain;
	if (!s->local == !s->url) return inoci_err_set(err, INOC_E_USAGE, "give either url and model, or local and sha256");
	if (s->local) {
		if (!s->sha256 || strlen(s->sha256) != 64 || strspn(s->sha256, "0123456789abcdef") != 64)
			return inoci_err_set(
			        err, INOC_E_USAGE,
			        "a local judge is pinned: give sha256, 64 small hexadecimal digits (sha256sum prints them)");
		return 0;
	}
	if (!s->model || !*s->model) return inoci_err_set(err, INOC_E_USAGE, "give model, its name at the endpoint");
	/* what was given is not printed: it may be the key itself */
	if (!s->key_env || !is_variable(s->key_env))
		return inoci_err_set(
		        err, INOC_E_USAGE,
		        "key_env wants the name of an environment variable (letters, digits, _), not the key itself");
	int rc = inoci_judge_url(s->url, &here, &plain, err);
	if (rc < 0) return rc;
	if (plain && !here && !s->allow_http && strcmp(s->key_env, "none") != 0)
		return inoci_err_set(
		        err, INOC_E_USAGE,
		        "%s: the key would go over plain http to another machine; use https, or key_env: none, or, if "
		        "the way there is safe, allow_http: true",
		        s->url);
	return 0;
}

int inoci_judge_open(inoci_judge_settings *s, const inoci_judge_memory *memory, inoci_judge **out, inoc_err *err)
{
	inoci_judge *j = inoci_alloc(sizeof *j);
	int rc;
	*out = NULL;
	j->s = *s;
	*s = (inoci_judge_settings){0};
	INOC_TRY(inoci_judge_settings_check(&j->s, err));
	j->name = j->s.local ? inoci_strdup(j->s.local) : inoci_asprintf("%s at %s", j->s.model, j->s.url);
	if (memory) j->memory = *memory;
	*out = j;
	j = NULL;
out:
	inoci_judge_free(j);
	return rc < 0 ? rc : 0;
}

void inoci_judge_free(inoci_judge *j)
{
	if (!j) return;
	inoci_judge_hosted_free(j->hosted);
	inoci_judge_local_free(j->local);
	inoci_judge_file_free(j->file);
	inoci_judge_settings_free(&j->s);
	free(j->name);
	free(j);
}

const inoci_judge_counts *inoci_judge_counts_get(const inoci_judge *j)
{
	return &j->counts;
}

const char *inoci_judge_name(const inoci_judge *j)
{
	return j->name;
}

int inoci_judge_ready(inoci_judge *j, inoc_err *err)
{
	const char *secret;
	char *path = NULL;
	int rc = j->s.local ? inoci_judge_local_check(&j->s, &path, err) : inoci_judge_secret(&j->s, &secret, err);
	free(path);
	return rc < 0 ? inoci_err_prefix(err, "judge %s", j->name) : 0;
}

/* What was asked: who, and the request whole. */
static inoci_hash key_of(const inoci_judge_settings *s, const char *text)
{
	inoci_hasher *h = inoci_hasher_new();
	if (s->local) {
		const int numerics = INOCI_NUMERICS_VERSION;
		bool best = !strcmp(s->dtype, "auto");
		inoci_hasher_str(h, "inoc judge local 1");
		inoci_hasher_str(h, s->sha256);
		inoci_hasher_str(h, best ? inoci_dtype_name(inoci_ops_cpu_best()) : s->dtype);
		inoci_hasher_add(h, &numerics, sizeof numerics);
		inoci_hasher_str(h, s->begin ? s->begin : "");
		inoci_hasher_str(h, text);
	} else {
		char *request = inoci_judge_request(s, text);
		inoci_hasher_str(h, "inoc judge hosted 1");
		inoci_hasher_str(h, s->url);
		inoci_hasher_str(h, request);
		free(request);
	}
	return inoci_hasher_end(h);
}

static void note_model(inoci_judge_counts *c, const json_t *reply)
{
	const char *name = json_string_value(json_object_get(reply, "model"));
	size_t n = name ? strlen(name) : 0, len = strlen(c->models);
	if (!n || len + n + 3 > sizeof c->models) return;
	for (const char *at = c->models; (at = strstr(at, name)); at += n)
		if ((at == c->models || at[-1] == ' ') && (!at[n] || at[n] == ',')) return;
	snprintf(c->models + len, sizeof c->models - len, "%s%s", len ? ", " : "", name);
}

int inoci_judge_came(inoci_judge *j, inoci_judge_question *q, json_t *reply, inoc_err *err)
{
	char *text = json_dumps(reply, JSON_COMPACT | JSON_REAL_PRECISION(9));
	INOC_BUG_IF(!text);
	int rc = j->memory.remember(j->memory.ctx, q->key.hex, text, err);
	free(text);
	j->counts.asked++;
	j->counts.tokens_in += (long)json_integer_value(json_object_get(reply, "in"));
	j->counts.tokens_out += (long)json_integer_value(json_object_get(reply, "out"));
	note_model(&j->counts, reply);
	q->reply = reply;
	return rc < 0 ? rc : 0;
}

static int recall(inoci_judge *j, inoci_judge_question *q, inoc_err *err)
{
	char *text = NULL;
	int rc = j->memory.recall(j->memory.ctx, q->key.hex, &text, err);
	if (rc > 0) q->reply = json_loads(text, JSON_ALLOW_NUL, NULL); /* a damaged one is asked again */
	if (q->reply) {
		j->counts.kept++;
		note_model(&j->counts, q->reply);
	}
	free(text);
	return rc < 0 ? rc : 0;
}

static int by_key(const void *a, const void *b)
{
	const inoci_judge_question *const *x = a, *const *y = b;
	int c = strcmp((*x)->key.hex, (*y)->key.hex);
	return c ? c : (*x > *y) - (*x < *y);
}

static void find_twins(inoci_judge_question *q, size_t n)
{
	inoci_judge_question **v = inoci_alloc((n + 1) * sizeof(inoci_judge_question *));
	for (size_t i = 0; i < n; i++) v[i] = &q[i];
	qsort(v, n, sizeof *v, by_key);
	for (size_t i = 0; i < n; i++)
		v[i]->first = i && !strcmp(v[i]->key.hex, v[i - 1]->key.hex) ? v[i - 1]->first : (size_t)(v[i] - q);
	free(v);
}

int inoci_judge_ask(inoci_judge *j, const char *const *text, size_t n, json_t **reply, const inoci_progress *p, inoc_err *err)
{
	inoci_judge_question *q = inoci_alloc((n + 1) * sizeof *q);
	int rc = 0;
	bool open = false;
	if (!j->memory.recall || !j->memory.remember) {
		INOC_TRY(inoci_judge_file_open(NULL, &j->file, err));
		j->memory = inoci_judge_file_memory(j->file);
	}
	for (size_t i = 0; i < n; i++) q[i].text = text[i], q[i].key = key_of(&j->s, text[i]);
	find_twins(q, n);
	for (size_t i = 0; i < n; i++) {
		if (q[i].first != i) continue;
		INOC_TRY(recall(j, &q[i], err));
		open |= !q[i].reply;
	}
	if (open) {
		rc = j->s.local ? inoci_judge_local(j, q, n, p, err) : inoci_judge_hosted(j, q, n, p, err);
		if (rc < 0 && rc != INOC_E_STOPPED) inoci_err_prefix(err, "judge %s", j->name);
	}
	for (size_t i = 0; i < n && rc >= 0; i++) reply[i] = json_incref(q[q[i].first].reply);
out:
	for (size_t i = 0; i < n; i++) json_decref(q[i].reply);
	free(q);
	return rc < 0 ? rc : 0;
}
