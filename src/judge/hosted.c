/* hosted: many requests at once over libcurl's multi interface, in one thread.
 *
 * A try that fails for a reason that may pass (no connection, a time-out, 408, 409, 429, 5xx, a cut or malformed body) is
 * followed by another after a pause; any other refusal ends the call at once. When a call ends with an error, no request is
 * started any more, and those that are on their way get GRACE_S to arrive, since they may be paid for. Redirects are not
 * followed: the key goes to the host that the settings name, and nowhere else.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "judge/internal.h"

#define GRACE_S 5.0
enum { BODY_MAX = 4 << 20, POLL_MS = 100 };

typedef struct {
	inoci_judge_question *q;
	char *request;
	double estimate; /* tokens */
	double not_before;
	int tries;
	bool done;
} call;
typedef struct {
	CURL *easy;
	call *c; /* NULL: free */
	inoci_buf body;
	bool too_long;
	char said[CURL_ERROR_SIZE];
} slot;
typedef struct {
	CURLM *multi;
	slot *slots;
	int n_slots;
	inoci_pace pace;
	inoci_rng jitter;
} hosted;

typedef struct {
	inoci_judge *j;
	hosted *h;
	call *v;
	size_t n, n_done;
	int flying;
	const char *secret;
	char last[300]; /* failure */
	int rc;         /* of the first error */
	double ended;   /* when that was */
	inoc_err *err;
} work;

static size_t on_bytes(char *data, size_t size, size_t n, void *ctx)
{
	slot *s = ctx;
	n *= size;
	s->too_long = s->body.len + n > BODY_MAX;
	if (s->too_long) return 0;
	inoci_buf_append(&s->body, data, n);
	return n;
}

/* ---- set up ---- */

void inoci_judge_hosted_free(void *state)
{
	hosted *h = state;
	if (!h) return;
	for (int i = 0; h->slots && i < h->n_slots; i++) {
		if (h->slots[i].c) curl_multi_remove_handle(h->multi, h->slots[i].easy);
		curl_easy_cleanup(h->slots[i].easy);
		inoci_buf_free(&h->slots[i].body);
	}
	curl_multi_cleanup(h->multi);
	free(h->slots);
	free(h);
	curl_global_cleanup();
}

static CURL *easy_new(const inoci_judge_settings *s, slot *to)
{
	CURL *e = curl_easy_init();
	bool here = false, plain = false;
	inoc_err ignored;
	if (!e) return NULL;
	char *url = inoci_asprintf("%s/chat/completions", s->url), *ca = s->ca_file ? inoci_path_join(s->dir, s->ca_file) : NULL;
	if (inoci_judge_url(s->url, &here, &plain, &ignored) < 0) here = false;
	curl_easy_setopt(e, CURLOPT_URL, url);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "inoc/" INOC_VERSION);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_bytes);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, to);
	curl_easy_setopt(e, CURLOPT_PRIVATE, to);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, to->said);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, lround(s->connect_timeout_s * 1000));
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, lround(s->timeout_s * 1000));
	if (here) curl_easy_setopt(e, CURLOPT_PROXY, ""); /* the key would leave this machine in the clear */
	if (ca) curl_easy_setopt(e, CURLOPT_CAINFO, ca);
	free(url), free(ca);
	return e;
}

static int hosted_open(inoci_judge *j, inoc_err *err)
{
	if (j->hosted) return 0;
	if (j->s.ca_file) {
		char *ca = inoci_path_join(j->s.dir, j->s.ca_file);
		int there = access(ca, R_OK);
		if (there < 0) inoci_err_set(err, INOC_E_IO, "ca_file %s cannot be read", ca);
		free(ca);
		if (there < 0) return INOC_E_IO;
	}
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return inoci_err_set(err, INOC_E_EXTERNAL, "libcurl does not start");
	hosted *h = j->hosted = inoci_alloc(sizeof *h);
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	/* not for results: processes that were refused together should not come back together */
	h->jitter = inoci_rng_new((uint64_t)t.tv_nsec ^ (uint64_t)t.tv_sec << 20, "judge jitter", (uint64_t)getpid(), 0);
	h->pace = inoci_pace_new(j->s.requests_per_minute, j->s.tokens_per_minute);
	h->multi = curl_multi_init();
	h->n_slots = j->s.concurrency;
	h->slots = inoci_alloc((size_t)h->n_slots * sizeof *h->slots);
	bool ok = h->multi != NULL;
	for (int i = 0; i < h->n_slots && ok; i++) ok = (h->slots[i].easy = easy_new(&j->s, &h->slots[i])) != NULL;
	return ok ? 0 : inoci_err_set(err, INOC_E_MEMORY, "not enough memory for %d connections", h->n_slots);
}

/* ---- a try ---- */

static int give_up(work *w, int code, const char *fmt, ...) INOCI_PRINTF(3, 4);
static int give_up(work *w, int code, const char *fmt, ...)
{
	char text[700];
	va_list ap;
	if (w->rc < 0) return w->rc; /* the first is told */
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	w->ended = inoci_now_s();
	return w->rc = inoci_err_set(w->err, code, "%s", text);
}

static void start(work *w, slot *s, call *c, struct curl_slist *headers, double now)
{
	s->c = c;
	s->too_long = false;
	s->said[0] = 0;
	inoci_buf_clear(&s->body);
	if (!c->request) c->request = inoci_judge_request(&w->j->s, c->q->text);
	c->tries++;
	inoci_pace_start(&w->h->pace, now, c->estimate);
	curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(s->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(c->request));
	curl_easy_setopt(s->easy, CURLOPT_POSTFIELDS, c->request);
	INOC_BUG_IF(curl_multi_add_handle(w->h->multi, s->easy) != CURLM_OK);
	w->flying++;
}

static void again(work *w, call *c, double asked_to_wait_s, const char *why)
{
	const inoci_judge_settings *s = &w->j->s;
	double now = inoci_now_s();
	snprintf(w->last, sizeof w->last, "%s", why);
	if (asked_to_wait_s > s->max_wait_s) {
		give_up(w, INOC_E_EXTERNAL,
		        "it asks to wait %.0f s, longer than max_wait_s (%g): %s; run the same command again later: what was "
		        "answered "
		        "is kept",
		        asked_to_wait_s, s->max_wait_s, why);
		return;
	}
	if (c->tries >= s->tries) {
		give_up(w, INOC_E_EXTERNAL, "no answer after %d tries; the last: %s; what was answered is kept", c->tries, why);
		return;
	}
	w->j->counts.failed++;
	c->not_before =
	        now + fmax(asked_to_wait_s, inoci_pace_backoff(c->tries + 1, s->backoff_s, inoci_rng_uniform(&w->h->jitter)));
	if (asked_to_wait_s > 0) inoci_pace_hold(&w->h->pace, now, asked_to_wait_s);
}

static const char *what_to_do(long status)
{
	switch (status) {
	case 401:
	case 403:
		return "check the key in the variable that key_env names";
	case 404:
		return "check url and model";
	case 402:
	case 429:
		return "check the account at the endpoint";
	case 400:
	case 422:
		return "where it does not know log-probabilities, give logprobs: false; other fields of a request are given in "
		       "body";
	case 413:
		return "the texts are too long for it";
	}
	return status >= 300 && status < 400 ? "redirects are not followed: give the url that it moved to" : "check url";
}

static void refused(work *w, call *c, slot *s, long status)
{
	char said[300], code[100], why[460];
	curl_off_t wait_s = 0;
	inoci_judge_complaint(s->body.data ? s->body.data : "", s->body.len, w->secret, said, sizeof said, code, sizeof code);
	snprintf(why, sizeof why, "HTTP %ld: %s", status, said);
	bool passes = status == 408 || status == 409 || status == 429 || status >= 500;
	if (!strcmp(code, "insufficient_quota")) passes = false;
	if (!passes) {
		give_up(w, INOC_E_EXTERNAL, "it refuses: %s; %s", why, what_to_do(status));
		return;
	}
	curl_easy_getinfo(s->easy, CURLINFO_RETRY_AFTER, &wait_s); /* seconds; a date is already made into them */
	again(w, c, wait_s > 0 ? (double)wait_s : 0, why);
}

static void answered(work *w, call *c, const slot *s)
{
	inoc_err e = {0};
	json_t *reply = NULL;
	if (inoci_judge_reply(s->body.data ? s->body.data : "", s->body.len, w->secret, &reply, &e) < 0) {
		again(w, c, 0, e.msg);
		return;
	}
	inoci_pace_correct(&w->h->pace, (double)json_integer_value(json_object_get(reply, "in")) +
	                                        (double)json_integer_value(json_object_get(reply, "out")) - c->estimate);
	c->done = true;
	w->n_done++;
	free(c->request);
	c->request = NULL;
	e.code = 0;
	int rc = inoci_judge_came(w->j, c->q, reply, &e);
	if (rc < 0) give_up(w, rc, "%s", e.msg);
}

static void ended(work *w, slot *s, CURLcode code)
{
	call *c = s->c;
	long status = 0;
	s->c = NULL;
	w->flying--;
	curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_multi_remove_handle(w->h->multi, s->easy);
	const char *said = *s->said ? s->said : curl_easy_strerror(code);
	switch (code) {
	case CURLE_OK:
		if (status >= 200 && status < 300)
			answered(w, c, s);
		else
			refused(w, c, s, status);
		return;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
		give_up(w, INOC_E_EXTERNAL, "its certificate is not trusted: %s; give ca_file where it is your own", said);
		return;
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_URL_MALFORMAT:
	case CURLE_OUT_OF_MEMORY:
		give_up(w, INOC_E_EXTERNAL, "%s", said);
		return;
	default:
		again(w, c, 0, s->too_long ? "its answer is longer than 4 MiB" : said);
	}
}

/* ---- all of them ---- */

static void start_some(work *w, struct curl_slist *headers)
{
	int k = 0;
	for (size_t i = 0; i < w->n && w->flying < w->h->n_slots; i++) {
		double now = inoci_now_s();
		call *c = &w->v[i];
		if (w->h->pace.next > now) return;
		if (c->done || c->not_before > now) continue;
		while (k < w->h->n_slots && w->h->slots[k].c) k++;
		c->not_before = INFINITY; /* until this try has ended */
		start(w, &w->h->slots[k], c, headers, now);
	}
}

static double until_next(const work *w)
{
	double now = inoci_now_s(), first = INFINITY;
	for (size_t i = 0; i < w->n; i++)
		if (!w->v[i].done) first = fmin(first, w->v[i].not_before);
	return fmax(0, fmax(first, w->h->pace.next) - now);
}

static void perform(work *w, const inoci_progress *p)
{
	int running, left;
	CURLMsg *m;
	CURLMcode c = curl_multi_perform(w->h->multi, &running);
	if (c != CURLM_OK) give_up(w, INOC_E_EXTERNAL, "libcurl: %s", curl_multi_strerror(c));
	while ((m = curl_multi_info_read(w->h->multi, &left))) {
		slot *s = NULL;
		if (m->msg != CURLMSG_DONE) continue;
		CURLcode code = m->data.result;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&s);
		ended(w, s, code);
		char detail[360] = "";
		if (w->j->counts.failed)
			snprintf(detail, sizeof detail, "%ld tries failed, the last: %s", w->j->counts.failed, w->last);
		inoci_tick(p, "judging", (double)w->n_done, (double)w->n, "answers", detail);
	}
}

static void drop_all(work *w)
{
	for (int i = 0; i < w->h->n_slots; i++) {
		slot *s = &w->h->slots[i];
		if (s->c) curl_multi_remove_handle(w->h->multi, s->easy);
		s->c = NULL;
		curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, NULL);
		curl_easy_setopt(s->easy, CURLOPT_POSTFIELDS, NULL);
	}
}

static int run(work *w, struct curl_slist *headers, const inoci_progress *p)
{
	while (w->n_done < w->n) {
		if (inoci_stopped(p)) {
			if (w->rc >= 0)
				give_up(w, INOC_E_STOPPED,
				        "stopped; what the judge has answered is kept; run the same command again to "
				        "go on");
			break;
		}
		if (w->rc < 0 && (!w->flying || inoci_now_s() - w->ended > GRACE_S)) break;
		if (w->rc >= 0) start_some(w, headers);
		perform(w, p);
		double wait_s = w->rc < 0 || w->flying == w->h->n_slots ? INFINITY : until_next(w);
		if (w->n_done < w->n) curl_multi_poll(w->h->multi, NULL, 0, (int)fmin(POLL_MS, ceil(wait_s * 1000)), NULL);
	}
	drop_all(w);
	return w->rc;
}

static struct curl_slist *add_header(struct curl_slist *l, const char *line)
{
	struct curl_slist *more = curl_slist_append(l, line);
	INOC_BUG_IF(!more);
	return more;
}

int inoci_judge_hosted(inoci_judge *j, inoci_judge_question *q, size_t n, const inoci_progress *p, inoc_err *err)
{
	work w = {.j = j, .err = err};
	struct curl_slist *headers = NULL;
	int rc;
	INOC_TRY(inoci_judge_secret(&j->s, &w.secret, err));
	INOC_TRY(hosted_open(j, err));
	w.h = j->hosted;
	w.v = inoci_alloc((n + 1) * sizeof *w.v);
	for (size_t i = 0; i < n; i++)
		if (q[i].first == i && !q[i].reply)
			w.v[w.n++] = (call){.q = &q[i], .estimate = (double)strlen(q[i].text) / 4 + j->s.max_tokens};
	headers = add_header(add_header(headers, "Content-Type: application/json"), "Expect:");
	if (w.secret) {
		char *line = inoci_asprintf("Authorization: Bearer %s", w.secret);
		headers = add_header(headers, line);
		explicit_bzero(line, strlen(line));
		free(line);
		if (strlen(w.secret) < 8)
			w.secret = NULL; /* a mere word ("EMPTY"): taking it out of what is said would change numbers */
	}
	rc = run(&w, headers, p);
	for (size_t i = 0; i < w.n; i++) free(w.v[i].request);
out:
	for (struct curl_slist *h = headers; h; h = h->next) explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(headers);
	free(w.v);
	return rc < 0 ? rc : 0;
}
