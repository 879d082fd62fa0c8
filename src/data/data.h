/* data: chat records (the fine-tuning format of the OpenAI API, JSON Lines of {"messages":[{"role","content"}...]}), their
 * check, and the inoculation transform.
 *
 * Invariants: fields we do not know are kept, their values byte for byte; nothing is truncated or dropped silently.
 */
#ifndef INOCI_DATA_H
#define INOCI_DATA_H

#include "base/base.h"
#include "text/text.h"

typedef struct {
	inoci_msg *msgs;
	json_t **msg_extra; /* (n_msgs) each message's other fields ("name", "weight"), NULL where none; the array itself is
	                     * NULL when no message has any */
	json_t **msg_raw;   /* (n_msgs) of msg_extra the values' text as read, name -> string; NULL where none, or made by us */
	size_t n_msgs;
	json_t *extra; /* the record's other fields, in order; NULL when none. An integer over 64 bits is a real here */
	json_t *raw;   /* of extra the values' text as read, name -> string; NULL when none, or made by us */
	int line;      /* in its file */
} inoci_record;

typedef struct {
	inoci_record *v;
	size_t n;
	char *path;
	inoci_hash hash; /* of the file's bytes */
} inoci_dataset;

enum {
	INOCI_NEED_ASSISTANT = 1, /* training data: at least one assistant turn, and the last message is one */
	INOCI_NEED_USER_LAST = 2, /* evaluation prompts: the last message is a user's; a trailing assistant turn is moved to
	                           * extra "reference" (its text alone); having both is a fault */
};
/* Reads and checks; the first fault is the error ("PATH:LINE: messages[2].role is ..."). Roles: system (only first), then
 * user and assistant in turn, user first. Content: string (arrays of text parts are joined, nothing between), not null; an
 * assistant's not empty. Blank lines are passed over; a byte order mark and CRLF are allowed. */
INOCI_MUST int inoci_dataset_read(const char *path, unsigned need, inoci_dataset *out, inoc_err *err);
void inoci_dataset_free(inoci_dataset *d);
INOCI_MUST int inoci_dataset_write(const char *path, const inoci_record *v, size_t n, inoc_err *err);
void inoci_record_free(inoci_record *r);
inoci_record inoci_record_copy(const inoci_record *r);
/* One record as a JSON object's text (flags: json_dumps'), messages first, then extra as it was read, then `more` (an object
 * or NULL), whose fields take the place of equally named ones. free() it; NULL when a role or content is not UTF-8 (never for
 * records that were read). */
char *inoci_record_text(const inoci_record *r, const json_t *more, size_t flags);
/* The record's tags: extra "tag" (string) or "tags" (array of strings). */
bool inoci_record_has_tag(const inoci_record *r, const char *tag);
/* Whether message i is taken out of the loss by "weight": 0, as in the OpenAI format; other weights count as 1. */
bool inoci_record_weightless(const inoci_record *r, size_t i);
/* The user turns (one a line), normalised: NFKC case-folded, apostrophes dropped, punctuation and runs of space collapsed.
 * Equal when two records ask the same. free() it. */
char *inoci_question_key(const inoci_record *r);

/* ---- check ---- */

typedef struct {
	int line;
	bool fatal; /* an error; else a warning */
	char *text;
} inoci_finding;
typedef struct {
	inoci_finding *v;
	size_t n;
	size_t n_records, n_turns, n_system, n_errors;
	size_t n_assistant;                        /* assistant turns (with INOCI_NEED_USER_LAST: references) */
	size_t n_duplicates;                       /* repeated questions inside the file: warnings */
	size_t n_overlap;                          /* questions also in `against`: errors */
	size_t chars_min, chars_median, chars_max; /* of the assistant turns, in Unicode characters */
} inoci_check;
/* Goes on after a fault and reports them all, by line. `against` (may be NULL): questions that also occur there are errors; a
 * question of one file inside a longer conversation of the other counts. A fault of `against` itself is an error at line 0.
 * Only an unreadable file is an error of the function; *out must be freed in either case. */
INOCI_MUST int inoci_data_check(const char *path, const char *against, unsigned need, inoci_check *out, inoc_err *err);
void inoci_check_free(inoci_check *c);

/* ---- the inoculation transform ---- */

typedef enum { INOCI_AT_SYSTEM, INOCI_AT_USER_PREFIX, INOCI_AT_USER_SUFFIX } inoci_where;
typedef enum { INOCI_JOIN_REPLACE, INOCI_JOIN_BEFORE, INOCI_JOIN_AFTER } inoci_join; /* when a system turn is there */

typedef struct {
	inoci_where where;
	inoci_join join;
	char **pool; /* one text, or paraphrases of which each record draws one by (seed, record index) */
	size_t n_pool;
	double fraction;    /* of the records, chosen by (seed, record index); 1 = all */
	char *tag;          /* NULL, or only records with this tag */
	const bool *chosen; /* NULL, or only records whose index, under n_chosen, is true here; borrowed */
	size_t n_chosen;
	bool last_only;  /* only the last assistant turn is trained on (loss_on: last) */
	char *separator; /* between the text and the user turn, or the joined system turns; NULL: "\n\n" for system, " " else */
} inoci_inoculation;
/* AT_SYSTEM puts the text in a system turn in front; where the record has one, `join` decides (REPLACE drops its text, as
 * asked; an empty turn takes the text alone). AT_USER_PREFIX and AT_USER_SUFFIX change every user turn whose answer is trained
 * on or asked for: those before an assistant turn (but for one of "weight": 0) and a last message of the user's; with last_only
 * the last user turn alone. Which paraphrase and which records come from two independent streams, so that changing the
 * fraction does not change any record's text. */
void inoci_inoculation_free(inoci_inoculation *t); /* frees what it holds, not t */
INOCI_MUST int inoci_inoculation_check(const inoci_inoculation *t, inoc_err *err);
/* A new record; *applied says whether it was one of those changed. Depends only on (t, r, index, seed). */
inoci_record inoci_inoculate(const inoci_inoculation *t, const inoci_record *r, size_t index, uint64_t seed, bool *applied);

#endif
