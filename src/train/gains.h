/* gains: how probable the model finds records' responses with something in front of them, and without. */
#ifndef INOCI_GAINS_H
#define INOCI_GAINS_H

#include "data/data.h"
#include "train/train.h"

typedef struct {
	const char *system;      /* of records without a system turn */
	int tokens;              /* only so many of the first response tokens count; 0: all */
	const char *head, *tail; /* what a response begins, ends with does not count; NULL: nothing */
	int micro_tokens;        /* 0: chosen */
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
	int *bytes; /* (n_records) of the response's tokens that count; 0: not measured */
	size_t n_records;
	double seconds, cells; /* computing so far */
} inoci_gains;
inoci_gains *inoci_gains_new(inoci_model *m, const inoci_template *t, const inoci_gains_options *o);
void inoci_gains_free(inoci_gains *g);
/* Their index; added when they are new. text NULL: nothing in front. backwards: the last exchange first. */
int inoci_gains_prompt(inoci_gains *g, const char *text);
int inoci_gains_exchanges(inoci_gains *g, char *const *questions, char *const *answers, size_t n, bool backwards);
void inoci_gains_record(inoci_gains *g, const inoci_record *r, const char *path);
/* Fills what is not measured of these prompts (NULL: all) and records [from, to). */
INOCI_MUST int inoci_gains_measure(inoci_gains *g, const bool *prompts, size_t from, size_t to, const char *what,
                                   const inoci_progress *p, inoc_err *err);
/* Whether the record is within the model's context with the longest of the prompts. */
bool inoci_gains_fits(const inoci_gains *g, size_t record);

#endif
