/* request: what is sent, where to, and with which key. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "judge/internal.h"

char *inoci_judge_request(const inoci_judge_settings *s, const char *text)
{
	json_t *j = json_pack("{s:s, s:[{s:s, s:s}], s:i, s:i}", "model", s->model, "messages", "role", "user", "content", text,
	                      "max_tokens", s->max_tokens, "temperature", 0);
	INOC_BUG_IF(!j); /* the text is UTF-8 */
	if (s->logprobs) {
		json_object_set_new(j, "logprobs", json_true());
		json_object_set_new(j, "top_logprobs", json_integer(s->top));
	}
	const char *name;
	json_t *v;
	json_object_foreach(s->body, name, v)
	{
		if (json_is_null(v))
			json_object_del(j, name);
		else
			json_object_set(j, name, v);
	}
	char *out = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
	json_decref(j);
	return out;
}

static bool is_here(const char *host)
{
	struct in_addr a;
	if (!strcasecmp(host, "localhost") || !strcmp(host, "[::1]")) return true;
	return inet_pton(AF_INET, host, &a) == 1 && ntohl(a.s_addr) >> 24 == 127;
}

static bool has(CURLU *u, CURLUPart part)
{
	char *v = NULL;
	bool there = curl_url_get(u, part, &v, 0) == CURLUE_OK;
	curl_free(v);
	return there;
}

int inoci_judge_url(const char *url, bool *is_local, bool *is_http, inoc_err *err)
{
	CURLU *u = curl_url();
	char *host = NULL, *scheme = NULL;
	int rc = 0;
	if (!u) return inoci_err_set(err, INOC_E_MEMORY, "not enough memory for a URL");
	CURLUcode c = curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
	/* Not printed: what stands there may be secret. */
	if (c == CURLUE_OK &&
	    (has(u, CURLUPART_USER) || has(u, CURLUPART_PASSWORD) || has(u, CURLUPART_QUERY) || has(u, CURLUPART_FRAGMENT)))
		rc = inoci_err_set(
		        err, INOC_E_USAGE,
		        "the judge's url must not hold a user, a password, a query or a fragment; the key comes from the "
		        "environment (key_env)");
	else if (c != CURLUE_OK || curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
	         curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	         (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
		rc = inoci_err_set(err, INOC_E_USAGE, "the judge's url '%.100s' is no base URL such as https://api.openai.com/v1",
		                   url);
	if (rc == 0) *is_local = is_here(host), *is_http = !strcmp(scheme, "http");
	curl_free(host);
	curl_free(scheme);
	curl_url_cleanup(u);
	return rc;
}

int inoci_judge_secret(const inoci_judge_settings *s, const char **secret, inoc_err *err)
{
	bool here, plain;
	*secret = NULL;
	if (!strcmp(s->key_env, "none")) return 0;
	int rc = inoci_judge_url(s->url, &here, &plain, err);
	if (rc < 0) return rc;
	const char *v = getenv(s->key_env);
	if (!v || !*v) {
		if (here) return 0;
		return inoci_err_set(
		        err, INOC_E_USAGE,
		        "the environment variable %s is not set: put the endpoint's key there, or give key_env: none "
		        "where it wants none",
		        s->key_env);
	}
	for (const char *c = v; *c; c++)
		if (*c <= ' ' || *c > '~')
			return inoci_err_set(
			        err, INOC_E_USAGE,
			        "the environment variable %s holds a character that no key has (a space or line end?)",
			        s->key_env);
	*secret = v;
	return 0;
}
