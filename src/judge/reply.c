/* reply: what a server sent, as a reply of ours or as one line of complaint. Bytes from outside: nothing in them is trusted, and
 * a key that a server echoes is taken out.
 *
 * Format: OpenAI's chat completion object: choices[0].message.content, .finish_reason, .logprobs.content[0].top_logprobs[]
 * {token, logprob}; usage.prompt_tokens, .completion_tokens; model. Errors: {"error": {"message", "type", "code"}}; or a string
 * under "error", "message" or "detail", as other servers have it.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "judge/internal.h"

enum { TEXT_MAX = 2000, TOKEN_MAX = 200, NAME_MAX_BYTES = 100 };

static void redact(char *s, size_t n, const char *secret)
{
	size_t k = secret ? strlen(secret) : 0;
	if (!k) return;
	for (char *at = s; (at = memmem(at, (size_t)(s + n - at), secret, k)); at += k) memset(at, '*', k);
}

/* A string of theirs without the secret, cut at a character's end. "" for anything else. New reference. */
static json_t *clean(const json_t *j, const char *secret, size_t max)
{
	size_t n = json_string_length(j);
	if (!json_is_string(j)) return json_string("");
	char *s = inoci_strndup(json_string_value(j), n);
	redact(s, n, secret);
	if (n > max) n = inoci_utf8_valid_prefix(s, max);
	json_t *out = json_stringn(s, n);
	free(s);
	return out ? out : json_string("");
}

typedef struct {
	json_t *pair;
	double logprob;
	size_t at;
} ranked;

static int by_rank(const void *a, const void *b)
{
	const ranked *x = a, *y = b;
	if (x->logprob != y->logprob) return x->logprob < y->logprob ? 1 : -1;
	return (x->at > y->at) - (x->at < y->at);
}

/* *out NULL: there are none. */
static int read_top(const json_t *choice, const char *secret, json_t **out, inoc_err *err)
{
	const json_t *first = json_array_get(json_object_get(json_object_get(choice, "logprobs"), "content"), 0),
	             *top = json_object_get(first, "top_logprobs"), *t;
	size_t n = json_array_size(top), i;
	double mass = 0;
	int rc = 0;
	*out = NULL;
	if (!n) return 0;
	ranked *v = inoci_alloc(n * sizeof *v);
	json_array_foreach(top, i, t)
	{
		const json_t *lp = json_object_get(t, "logprob"), *token = json_object_get(t, "token");
		double x = json_number_value(lp);
		if (!json_is_string(token) || !json_is_number(lp) || !(x <= 1e-3)) {
			rc = inoci_err_set(err, INOC_E_FORMAT,
			                   json_is_number(lp) && json_is_string(token)
			                           ? "a log-probability of %g, which is no probability"
			                           : "top_logprobs without token and logprob",
			                   x);
			break;
		}
		v[i] = (ranked){.pair = json_pack("[o, f]", clean(token, secret, TOKEN_MAX), fmin(x, 0)), .logprob = x, .at = i};
		mass += exp(x);
	}
	if (rc == 0 && mass > 1.01) rc = inoci_err_set(err, INOC_E_FORMAT, "probabilities that add up to %.3g", mass);
	if (rc == 0) {
		qsort(v, n, sizeof *v, by_rank);
		*out = json_array();
		for (i = 0; i < n && i < INOCI_JUDGE_TOP; i++) json_array_append(*out, v[i].pair);
	}
	for (i = 0; i < n; i++) json_decref(v[i].pair);
	free(v);
	return rc;
}

static json_int_t count_of(const json_t *usage, const char *name)
{
	const json_t *v = json_object_get(usage, name);
	json_int_t x = json_integer_value(v);
	return x > 0 && x < 1000000000 ? x : 0;
}

int inoci_judge_reply(const char *body, size_t n, const char *secret, json_t **out, inoc_err *err)
{
	json_error_t e;
	json_t *j = json_loadb(body, n, JSON_ALLOW_NUL, &e), *top = NULL;
	int rc = 0;
	*out = NULL;
	if (!j) return inoci_err_set(err, INOC_E_FORMAT, "its answer is not JSON (byte %d of %zu)", e.position, n);
	const json_t *choice = json_array_get(json_object_get(j, "choices"), 0), *message = json_object_get(choice, "message"),
	             *usage = json_object_get(j, "usage");
	if (!json_is_object(message)) {
		char said[200];
		inoci_judge_complaint(body, n, secret, said, sizeof said, NULL, 0);
		rc = inoci_err_set(err, INOC_E_FORMAT, "its answer has no choices[0].message: %s", said);
		goto out;
	}
	INOC_TRY(read_top(choice, secret, &top, err));
	*out = json_pack("{s:o, s:o, s:I, s:I, s:o}", "text", clean(json_object_get(message, "content"), secret, TEXT_MAX),
	                 "finish", clean(json_object_get(choice, "finish_reason"), secret, NAME_MAX_BYTES), "in",
	                 count_of(usage, "prompt_tokens"), "out", count_of(usage, "completion_tokens"), "model",
	                 clean(json_object_get(j, "model"), secret, NAME_MAX_BYTES));
	if (top) json_object_set(*out, "top", top);
out:
	json_decref(top);
	json_decref(j);
	return rc < 0 ? rc : 0;
}

/* One line: control characters become spaces, what is no UTF-8 a question mark. */
static void one_line(const char *s, size_t n, char *to, size_t cap)
{
	size_t k = 0;
	while (n && k + 5 < cap) {
		size_t ok = inoci_utf8_valid_prefix(s, n < 4 ? n : 4), len = 1;
		while (ok && len < ok && ((unsigned char)s[len] & 0xc0) == 0x80) len++;
		if (!ok)
			to[k++] = '?';
		else if (len == 1)
			to[k++] = (unsigned char)*s < 0x20 || *s == 0x7f ? ' ' : *s;
		else
			memcpy(to + k, s, len), k += len;
		s += len, n -= len;
	}
	while (k && to[k - 1] == ' ') k--;
	if (n && k + 4 < cap) memcpy(to + k, "...", 3), k += 3;
	to[k] = 0;
}

void inoci_judge_complaint(const char *body, size_t n, const char *secret, char *text, size_t cap, char *code, size_t code_cap)
{
	json_t *j = json_loadb(body, n, JSON_ALLOW_NUL, NULL), *e = json_object_get(j, "error"), *m = e, *c = NULL;
	if (json_is_object(e)) {
		m = json_object_get(e, "message");
		c = json_object_get(e, "code");
		if (!json_is_string(c)) c = json_object_get(e, "type");
	}
	if (!json_is_string(m)) m = json_object_get(j, "message");
	if (!json_is_string(m)) m = json_object_get(j, "detail");
	const char *s = json_is_string(m) ? json_string_value(m) : body;
	char *copy = inoci_strndup(s ? s : "", json_is_string(m) ? json_string_length(m) : n);
	size_t len = json_is_string(m) ? json_string_length(m) : n;
	redact(copy, len, secret);
	one_line(copy, len, text, cap);
	if (!*text) snprintf(text, cap, "(it says nothing)");
	free(copy);
	if (code) {
		json_t *k = clean(c, secret, NAME_MAX_BYTES);
		snprintf(code, code_cap, "%s", json_string_value(k));
		json_decref(k);
	}
	json_decref(j);
}
