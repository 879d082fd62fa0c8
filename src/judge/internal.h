/* judge, private: requests and replies, pacing, and the two kinds of judge. */
#ifndef INOCI_JUDGE_INTERNAL_H
#define INOCI_JUDGE_INTERNAL_H

#include "judge/judge.h"

struct inoci_judge {
	inoci_judge_settings s;
	inoci_judge_memory memory;
	inoci_judge_file *file; /* of memory, when it is our own */
	inoci_judge_counts counts;
	char *name;
	void *hosted, *local; /* opened when first needed */
};

/* One question of a call. */
typedef struct {
	const char *text; /* borrowed */
	inoci_hash key;
	json_t *reply; /* NULL: not there yet */
	size_t first;  /* the first question with this key */
} inoci_judge_question;
/* A reply came: it is remembered, counted, and put in place. Takes reply. */
INOCI_MUST int inoci_judge_came(inoci_judge *j, inoci_judge_question *q, json_t *reply, inoc_err *err);

/* ---- hosted.c: asks those of q without a reply, whose first is themselves ---- */
INOCI_MUST int inoci_judge_hosted(inoci_judge *j, inoci_judge_question *q, size_t n, const inoci_progress *p, inoc_err *err);
void inoci_judge_hosted_free(void *hosted);
/* The request's JSON for a text; free() it. */
char *inoci_judge_request(const inoci_judge_settings *s, const char *text);
/* The key of the environment, borrowed; NULL: none is sent. INOC_E_USAGE where one is needed and not there. */
INOCI_MUST int inoci_judge_secret(const inoci_judge_settings *s, const char **secret, inoc_err *err);
/* Whether a URL's host is this machine, and whether it is plain http. */
INOCI_MUST int inoci_judge_url(const char *url, bool *is_local, bool *is_http, inoc_err *err);

/* ---- local.c ---- */
INOCI_MUST int inoci_judge_local(inoci_judge *j, inoci_judge_question *q, size_t n, const inoci_progress *p, inoc_err *err);
void inoci_judge_local_free(void *local);
INOCI_MUST int inoci_judge_local_check(const inoci_judge_settings *s, char **path, inoc_err *err); /* free() path */

/* ---- reply.c ---- */

/* A server's answer of status 200 as a reply. INOC_E_FORMAT: it is none (malformed or cut JSON, no choice, log-probabilities
 * above 0), saying what. secret (may be NULL) is taken out of its texts. */
INOCI_MUST int inoci_judge_reply(const char *body, size_t n, const char *secret, json_t **out, inoc_err *err);
/* What a server says of an error, one line of at most cap - 1 bytes without the secret; code (may be NULL): its "code" or "type".
 */
void inoci_judge_complaint(const char *body, size_t n, const char *secret, char *text, size_t cap, char *code, size_t code_cap);

/* ---- pace.c: when a request may start; times in seconds of one clock ---- */

typedef struct {
	double next;                       /* nothing starts before */
	double per_request_s, per_token_s; /* 0: no limit */
} inoci_pace;
inoci_pace inoci_pace_new(double requests_per_minute, double tokens_per_minute);
/* A request of about `tokens` starts now. */
void inoci_pace_start(inoci_pace *p, double now, double tokens);
/* It was of `more` tokens more than that. */
void inoci_pace_correct(inoci_pace *p, double more);
/* Nothing starts for so long: a server asked for it. */
void inoci_pace_hold(inoci_pace *p, double now, double seconds);
/* Pause before try `next_try` (2, 3, ...): uniform in [0, base * 2^(next_try - 2)), at most 60 s ("full jitter", M. Brooker,
 * Exponential Backoff And Jitter, 2015). u: uniform in [0, 1). */
double inoci_pace_backoff(int next_try, double base_s, double u);

#endif
