/* scan: before training: which traits would data teach, and which prompt will inoculate (docs/scan.md).
 *
 * Invariants: what is measured of a record depends on that record and what stands in front of it alone; nothing is called found
 * before all is measured.
 */
#ifndef INOCI_SCAN_H
#define INOCI_SCAN_H

#include "base/base.h"
#include "lab/lab.h"
#include "lab/traits.h"

/* ---- before training: which traits would data teach? (docs/scan.md) ---- */

typedef struct {
	const char *system; /* of records without a system turn: "none", ... */
	int first, most;    /* records of the first round; at most, 0: all */
	int tokens;         /* only so many of a record's first response tokens count; 0: all */
	int top;            /* how many of the leading traits must be settled */
	int screen;         /* records among which the most surprising ones are sought; 0: none are */
	int n_boot;         /* resamples, 0: 2000 */
	double alpha;       /* 0: 0.05 */
	int micro_tokens;   /* 0: chosen */
	uint64_t seed;      /* of the order in which records are taken */
	const int *only;    /* indices in the library; NULL: all */
	size_t n_only;
} inoci_scan_options;
/* Gains are in nats a byte of response. */
typedef struct {
	int trait;           /* index in the library */
	size_t n;            /* records it was measured on */
	inoci_estimate gain; /* after exchanges that show the trait over plain ones, and by its prompts over controls, together;
	                        less what neutral records gain */
	inoci_estimate raw;  /* the same, but for the neutral records */
	double p;            /* that the gain is 0 or less: one-sided, Holm over all traits and both gains */
	double share, low, high; /* of the records that gain more than 95 % of the neutral ones; Wilson's interval */
	double *record;          /* (n) gain of each record, in the order taken */
	double *prompt;          /* of the leading traits: gain of each of its prompts over its controls; NULL: not measured */
	inoci_estimate helps;    /* the mean of these, over records and prompts; n 0: not measured */
	inoci_estimate odd;      /* the gain on the most surprising records, less that on the most surprising neutral ones; n 0:
	                            there are none */
	double odd_p;            /* as p, for odd */
	double *odd_record;      /* (odd.n) */
	bool found;              /* p < alpha or odd_p < alpha, and the interval of that gain above 3 bits in 100 bytes */
	bool in_odd;             /* found on the most surprising records alone; prompt and helps are of these then */
	double worth; /* what it is ranked by: its gain; in_odd: at least odd, spread over the records that were looked at */
	int behind;   /* trait of its exclusive group that is ahead of it, -1: none */
} inoci_scan_row;
typedef struct {
	char *text;   /* NULL: there is none */
	double share; /* of the records */
} inoci_scan_marker;
typedef struct {
	const inoci_trait_library *l; /* borrowed, as is d */
	const inoci_dataset *d;
	inoci_scan_marker head, tail; /* what nearly all responses begin, end with: not counted */
	size_t *order;                /* (n_order) records of d in the order taken */
	size_t n_order, n_used, n_neutral, n_too_long;
	size_t *odd_order; /* (n_odd) its most surprising records, these first; n_screened were looked at */
	size_t n_odd, n_screened;
	inoci_scan_row *v; /* (n) ranked */
	size_t n, n_found;
	int rounds;
	bool settled;
	double seconds, cells; /* computing; log-probabilities computed */
	double alpha;
} inoci_scan_result;
/* Those of `inoc scan`. */
inoci_scan_options inoci_scan_defaults(void);
/* neutral: plain records that show no trait (the library's neutral.jsonl). Notes to p say what will be done and how long it
 * takes. INOC_E_STOPPED when stopped; errors of records name their line. */
INOCI_MUST int inoci_scan(inoci_model *m, const inoci_template *t, const inoci_trait_library *l, const inoci_dataset *d,
                          const inoci_dataset *neutral, const inoci_scan_options *o, const inoci_progress *p,
                          inoci_scan_result *out, inoc_err *err);
void inoci_scan_free(inoci_scan_result *r);
/* Which traits a plan should inoculate: those found, `top` at most, none behind another; where none is found, none. Fills v
 * (top), returns how many. */
size_t inoci_scan_top(const inoci_scan_result *r, size_t top, int *v);
typedef struct {
	const char *path;                                    /* of the experiment file to write */
	const char *model, *template_name /* may be NULL */; /* as given */
	const char *system;                                  /* of records without a system turn */
	const char *questions; /* of the evaluation; NULL: some of the data's are held out, in files beside path */
	size_t top;
	uint64_t seed; /* of what is held out */
} inoci_scan_plan_options;
/* Writes an experiment file that inoculates the leading traits found, each by the prompt of its that gains most. *written: the
 * files' names, free() it. INOC_E_CHECK: no trait was found. */
INOCI_MUST int inoci_scan_plan(const inoci_scan_result *r, const inoci_scan_plan_options *o, char **written, inoc_err *err);

/* ---- before training: which of these prompts inoculates best? (docs/scan.md) ---- */

typedef struct {
	char **v;
	size_t n;
} inoci_texts;
void inoci_texts_add(inoci_texts *t, const char *s); /* keeps each once */
void inoci_texts_free(inoci_texts *t);
/* Adds the prompts of a trait of the library (-1: none); and every trait's controls where there are no controls yet. */
void inoci_select_from(const inoci_trait_library *l, int trait, inoci_texts *prompts, inoci_texts *controls);
typedef struct {
	char *const *prompts, *const *controls; /* candidates; texts of which each is compared with the nearest in length */
	size_t n_prompts, n_controls;           /* 2 controls at least */
	const char *system;                     /* of records without a system turn */
	int records, tokens;                    /* at most; only so many of a response's first tokens count. 0: all */
	uint64_t seed;
	json_t *scorer;                 /* of the trait, and */
	const inoci_dataset *questions; /* what it is asked: both, or no elicitation is measured */
	inoci_sample_settings sampling;
	const inoci_progress *progress;
} inoci_select_options;
typedef struct {
	int prompt;                   /* index in the options' */
	inoci_estimate surprise;      /* log-probability of the responses with it less with its controls, nats a byte */
	inoci_estimate with;          /* the same less without any prompt */
	inoci_estimate example;       /* as surprise, nats a response */
	double p;                     /* that it helps no more than controls do: one-sided, Holm over the candidates */
	inoci_estimate rate, elicits; /* of the trait with the prompt, and less without one; n 0: not measured */
	double places;                /* candidates ahead of it, by surprise and by elicitation together */
	double *record;               /* (n_records) surprise removed from each; times its bytes: nats a response */
	char **controls;              /* (n_controls) as they were put in front */
	size_t n_controls;
} inoci_select_row;
typedef struct {
	const inoci_dataset *d; /* borrowed, as is prompts: the options' */
	char *const *prompts;
	inoci_select_row *v; /* (n) ranked by places, then surprise */
	size_t n, n_records, n_too_long;
	int *line, *bytes; /* (n_records) of its file; of the response, as far as it counts */
	bool elicited;
	inoci_estimate none; /* rate of the trait without a prompt */
} inoci_select_result;
INOCI_MUST int inoci_select(inoci_model *m, const inoci_template *t, const inoci_dataset *d, const inoci_select_options *o,
                            inoci_select_result *out, inoc_err *err);
void inoci_select_free(inoci_select_result *r);
/* The first candidate that removes more surprise than controls do (p < 0.05); NULL: there is none. */
const inoci_select_row *inoci_select_best(const inoci_select_result *r);

#endif
