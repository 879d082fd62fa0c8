/* judge: asks a language model for a number about a text, and reads the number from what it says: a hosted model over HTTP
 * (OpenAI's chat completions, docs/judge.md), or a local one.
 *
 * Invariants:
 *  1. The key is read from the environment when it is sent, and is in no message, note, reply or hash; whatever a server sends
 *     back is kept without it.
 *  2. A reply is remembered as soon as it is there, under the hash of what was asked; what is remembered is not asked again.
 *  3. A reply depends on its question alone, as far as the judge's own does: not on order, concurrency or what failed before.
 */
#ifndef INOCI_JUDGE_H
#define INOCI_JUDGE_H

#include "base/base.h"

enum { INOCI_JUDGE_TOP = 20 }; /* tokens of a distribution, most probable first */

/* Where replies are kept. Both may be NULL: then in a file of the cache folder (inoci_judge_memory_file). */
typedef struct {
	/* 1: *reply is a copy of what was kept under the key, free() it; 0: nothing. */
	int (*recall)(void *ctx, const char *key, char **reply, inoc_err *err);
	int (*remember)(void *ctx, const char *key, const char *reply, inoc_err *err);
	void *ctx;
} inoci_judge_memory;

typedef struct {
	char *url, *model; /* base URL without a slash at its end ("https://api.openai.com/v1"), and the model there; or */
	char *local;       /* a GGUF file, or the name of a fetched model, relative to dir */
	char *sha256;      /* of that file */
	char *dtype;       /* of its operations: "auto", "bf16", "f32", "q" */
	char *begin;       /* what its answer begins with, such as "Score: "; NULL: nothing */
	char *dir;         /* NULL: the working folder */
	char *key_env;     /* the environment variable that holds the key; "none": no key */
	bool allow_http;   /* a key over plain http to another host than this one */
	char *ca_file;     /* certificates to trust instead of the system's; relative to dir; NULL: the system's */
	int high;          /* of a local judge: each number 0 ... high must be one token */
	/* what is asked of a hosted one */
	bool logprobs;
	int top, max_tokens;
	json_t *body; /* an object put over the request's; NULL: none */
	/* how; none of these is part of a key */
	int concurrency, tries;                        /* requests at once; of each, before giving up */
	double requests_per_minute, tokens_per_minute; /* 0: no limit */
	double connect_timeout_s, timeout_s;           /* of a try */
	double backoff_s, max_wait_s;                  /* first pause at most; the longest that a server may ask for */
} inoci_judge_settings;
inoci_judge_settings inoci_judge_defaults(void);
void inoci_judge_settings_free(inoci_judge_settings *s); /* frees what it holds, not s */
/* What needs neither network nor model: the URL, that a key is not sent in the clear, values out of range. INOC_E_USAGE. */
INOCI_MUST int inoci_judge_settings_check(const inoci_judge_settings *s, inoc_err *err);

typedef struct inoci_judge inoci_judge;
/* Takes s's content, also when it fails. memory is copied; its ctx must outlive the judge. Opens nothing yet. */
INOCI_MUST int inoci_judge_open(inoci_judge_settings *s, const inoci_judge_memory *memory, inoci_judge **out, inoc_err *err);
void inoci_judge_free(inoci_judge *j);
/* Is all there that an answer needs: the key, the local file with its hash? Asks nothing. */
INOCI_MUST int inoci_judge_ready(inoci_judge *j, inoc_err *err);

/* Asks each text, valid UTF-8 without NUL, as a user's turn; equal ones once. reply (n): new references:
 *   {"text": what it said, "finish": "stop"|"length"|..., "top": [[token, log-probability], ...], "in": tokens, "out": tokens,
 *    "model": as the server calls it}; "top", most probable first, is absent where the judge gave none.
 * Errors: INOC_E_EXTERNAL naming the endpoint and what failed last (after the tries, or at once where a server refuses);
 * INOC_E_STOPPED. Replies that had come are remembered then too. */
INOCI_MUST int inoci_judge_ask(inoci_judge *j, const char *const *text, size_t n, json_t **reply, const inoci_progress *p,
                               inoc_err *err);

typedef struct {
	long asked, kept;           /* replies that came now; that were remembered */
	long failed;                /* tries that failed and were followed by another */
	long tokens_in, tokens_out; /* of those that came now, as the server counts them */
	char models[200];           /* the names that the server gave, ", " between */
} inoci_judge_counts;
const inoci_judge_counts *inoci_judge_counts_get(const inoci_judge *j);
const char *inoci_judge_name(const inoci_judge *j); /* "gpt-4o at https://api.openai.com/v1" */

/* ---- the number ---- */

typedef enum {
	INOCI_JUDGE_SCORED,
	INOCI_JUDGE_LITTLE_MASS, /* the numbers among the top tokens have less than min_mass together */
	INOCI_JUDGE_PROSE,       /* no log-probabilities, and the text is no number */
	INOCI_JUDGE_CUT,         /* the same, and the token limit may have cut the number */
	INOCI_JUDGE_N_MISS
} inoci_judge_miss;
const char *inoci_judge_miss_name(inoci_judge_miss m); /* "little_mass" */
typedef struct {
	int high;        /* numbers are 0 ... high, 1000 at most */
	double min_mass; /* in [0, 1] */
	bool parse;      /* from the text where there are no log-probabilities; else that is prose */
} inoci_judge_rule;
typedef struct {
	inoci_judge_miss miss;
	double value; /* in [0, high]: the expectation over the numbers among the top tokens, renormalised; NaN: missing */
	double mass;  /* of those; NaN without log-probabilities */
	bool parsed;
	int longest; /* digits of the longest number seen */
} inoci_judge_number;
/* A number is ASCII digits without sign or leading zero, white space around them, not above high. The same token twice (with
 * other white space) counts twice. */
inoci_judge_number inoci_judge_read(const json_t *reply, const inoci_judge_rule *rule);

/* ---- a memory in a file: JSON Lines of {"key","reply"}, appended to; a cut last line is passed over ---- */

typedef struct inoci_judge_file inoci_judge_file;
/* path NULL: judged.jsonl of the cache folder. Two processes may write to one file. */
INOCI_MUST int inoci_judge_file_open(const char *path, inoci_judge_file **out, inoc_err *err);
void inoci_judge_file_free(inoci_judge_file *f);
inoci_judge_memory inoci_judge_file_memory(inoci_judge_file *f);

#endif
