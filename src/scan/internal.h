/* scan, private: tables of log-probabilities, and their statistics. */
#ifndef INOCI_SCAN_INTERNAL_H
#define INOCI_SCAN_INTERNAL_H

#include "scan/scan.h"

/* ---- log-probabilities of records with something in front (measure.c) ---- */

typedef struct {
	const char *system; /* of records without a system turn */
	int tokens;         /* only so many of the first response tokens count; 0: all */
	int micro_tokens;   /* 0: chosen */
} inoci_gains_options;
/* What stands in front of a record: a system text, before the record's own; or exchanges, before its first turn; or nothing. */
typedef struct {
	char *system;
	char **question, **answer; /* (n) */
	size_t n;
} inoci_front;
typedef struct {
	inoci_model *m;
	const inoci_template *tmpl;
	inoci_gains_options o;
	inoci_front *prompts; /* (n_prompts) */
	double **value;       /* (n_prompts)(n_records) log-probability in nats a byte of response; NaN: not measured */
	size_t n_prompts;
	const inoci_record **records; /* (n_records) borrowed, as are their files' paths */
	const char **paths;
	size_t n_records;
	double seconds, cells; /* computing so far */
} inoci_gains;
inoci_gains *inoci_gains_new(inoci_model *m, const inoci_template *t, const inoci_gains_options *o);
void inoci_gains_free(inoci_gains *g);
/* Their index; added when they are new. text NULL: nothing in front. backwards: the last exchange first. */
int inoci_gains_prompt(inoci_gains *g, const char *text);
int inoci_gains_exchanges(inoci_gains *g, char *const *questions, char *const *answers, size_t n, bool backwards);
/* rows (n, at most n_pool): the texts of the pool nearest to the prompt in length, in capitals where it is. */
void inoci_gains_matched(inoci_gains *g, const char *prompt, char *const *pool, size_t n_pool, int *rows, size_t n);
void inoci_gains_record(inoci_gains *g, const inoci_record *r, const char *path);
/* Fills what is not measured of these prompts (NULL: all) and records [from, to). */
INOCI_MUST int inoci_gains_measure(inoci_gains *g, const bool *prompts, size_t from, size_t to, const char *what,
                                   const inoci_progress *p, inoc_err *err);
/* Whether the record is within the model's context with the longest of the prompts. */
bool inoci_gains_fits(const inoci_gains *g, size_t record);

/* ---- their statistics (stats.c) ---- */

typedef struct {
	double *const *value; /* [prompt][record]: the first `neutral` records are the neutral ones, [from, to) the data's */
	size_t neutral, from, to;
	const int *prompts, *controls; /* rows of value */
	size_t n_prompts, n_controls;
	bool fixed; /* prompts and controls are not drawn: nothing is said of others */
	uint64_t seed;
	int n_boot;
} inoci_gain_in;
typedef struct {
	inoci_estimate gain, raw; /* raw: not less what the neutral records gain */
	double p;                 /* that the gain is 0 or less; one-sided, Student's t; not adjusted */
	double share, share_low, share_high;
	double *record, *prompt; /* (to - from), (n_prompts): given */
} inoci_gain_out;
/* docs/scan.md; without neutral records the gain is the raw one. */
void inoci_gain_of(const inoci_gain_in *in, inoci_gain_out *out);

#endif
