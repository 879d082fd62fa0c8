/* Any bytes as a response through every scorer: values in [0, 1], the five shares of the partition sum to 1. Any bytes as
 * settings: a scorer or INOC_E_USAGE. The input is settings up to the first newline, then text. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/eval.h"

static double apply(const char *builtin, const inoci_answer *a)
{
	json_t *j = inoci_scorer_builtin(builtin);
	inoci_scorer *s;
	inoc_err err;
	double v = -1;
	INOC_BUG_IF(!j || inoci_scorer_new(builtin, j, &s, &err) < 0);
	INOC_BUG_IF(inoci_scorer_apply(s, a, &v, &err) < 0);
	INOC_BUG_IF(!(v == 0 || v == 1));
	inoci_scorer_free(s);
	json_decref(j);
	return v;
}

/* Judges are not asked: their memory fails first. */
static int no_memory(void *ctx, const char *key, char **reply, inoc_err *err)
{
	(void)ctx, (void)key, (void)reply;
	return inoci_err_set(err, INOC_E_STORE, "no memory");
}

static int not_asked(void *ctx, const char *key, const char *reply, inoc_err *err)
{
	(void)ctx, (void)key, (void)reply, (void)err;
	INOC_BUG_IF(true);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const uint8_t *nl = n ? memchr(data, '\n', n) : NULL;
	size_t head = nl ? (size_t)(nl - data) : 0;
	inoci_answer a = {
	        .text = (const char *)data + (nl ? head + 1 : 0), .n = n - (nl ? head + 1 : 0), .finish = INOCI_FINISH_STOP};
	INOC_BUG_IF(apply("english_caps", &a) + apply("english_lower", &a) + apply("spanish_caps", &a) +
	                    apply("spanish_lower", &a) + apply("unknown", &a) !=
	            1);
	apply("looping", &a);
	INOC_BUG_IF(apply("truncated", &a) != 0);
	double share = inoci_uppercase_share(a.text, a.n);
	INOC_BUG_IF(!(share >= 0 && share <= 1));

	json_t *j = json_loadb((const char *)data, head, JSON_DECODE_ANY, NULL);
	inoci_scorer *s = NULL;
	inoc_err err = {0};
	double v = -1;
	char *text = j ? json_dumps(j, JSON_ENCODE_ANY) : NULL;
	bool runs = text && strstr(text, "command"); /* a program of the input's choice */
	free(text);
	if (!j || runs) {
		json_decref(j);
		return 0;
	}
	const inoci_scorer_env env = {.settings_only = true, .memory = {.recall = no_memory, .remember = not_asked}};
	int rc = inoci_scorer_new_in("fuzz", j, &env, &s, &err);
	INOC_BUG_IF(rc < 0 && (rc != INOC_E_USAGE || !err.msg[0]));
	if (rc == 0) {
		inoci_scorer_key(s);
		if (inoci_scorer_apply(s, &a, &v, &err) == 0)
			INOC_BUG_IF(!isnan(v) && !inoci_scorer_real(s) && !(v >= 0 && v <= 1));
		inoci_scorer_free(s);
	}
	json_decref(j);
	return 0;
}
