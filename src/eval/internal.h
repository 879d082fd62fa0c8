/* eval, private: the text helpers shared by the scorers (also read as C++ by the CLD2 shim), and the joint bootstrap that
 * statistics and verdicts share. */
#ifndef INOCI_EVAL_INTERNAL_H
#define INOCI_EVAL_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
	const char *code; /* static; "un" when unknown */
	int percent;      /* of the text that is in this language */
	int letter_bytes; /* of the text */
	double score;     /* about 1000 for normal text in it, below 300 for noise */
	bool reliable;
} inoci_cld2_guess;
/* text: valid UTF-8 without control characters. hints: NULL, or codes such as "en,es", with best effort on short text. */
inoci_cld2_guess inoci_cld2_detect(const char *text, size_t n, const char *hints);
/* Whether CLD2 has a language of exactly this code. */
bool inoci_cld2_knows(const char *code);
const char *inoci_cld2_version(void);

#ifdef __cplusplus
}
#else

#include "eval/eval.h"
#include "sample/sample.h" /* inoci_text_fix */
#include "train/train.h"

/* Lower-cased, NFC; invalid bytes, control and unassigned characters become spaces. Appends. */
void inoci_text_lower(const char *s, size_t n, inoci_buf *out);

/* ---- a scorer type: one file each, score_NAME.c, listed in scorer.c ---- */

typedef struct {
	const char *name;
	int version;             /* raised when the result changes for any input: part of a score's key */
	bool real;               /* inoci_scorer_real (`build` may change s->real) */
	const char *options[40]; /* up to NULL */
	const char *description; /* one line */
	/* Checks j, sets s->state (freed by `free`, also when this fails) and, in s->settings, every option with its default.
	 * NULL: it has no options. */
	int (*build)(json_t *j, inoci_scorer *s, inoc_err *err);
	/* Whether a record's own fields (NULL: none) are what it needs; NULL: it needs none. INOC_E_FORMAT naming the field. */
	int (*item)(const inoci_scorer *s, const json_t *item, inoc_err *err);
	/* Whether what it reaches outside for is there; NULL: it reaches for nothing; so too inoci_scorer_report. */
	int (*ready)(const inoci_scorer *s, inoc_err *err);
	/* One answer; or `many`, n of them. */
	int (*apply)(inoci_scorer *s, const inoci_answer *a, double *value, inoc_err *err);
	int (*many)(inoci_scorer *s, const inoci_answer *a, size_t n, double *value, const inoci_progress *p, inoc_err *err);
	/* Of a measured one: does it say anything of an evaluation that measures these? */
	bool (*fits)(const inoci_scorer *s, const char *measure, const char *const *names, size_t n);
	/* inoci_scorer_check_model; NULL: any. */
	int (*fits_model)(const inoci_scorer *s, const char *model_path, inoc_err *err);
	/* What is to be told at the end: to p, and into counts (NULL: not asked for). */
	void (*report)(inoci_scorer *s, const inoci_progress *p, json_t *counts);
	void (*free)(void *state);
} inoci_scorer_type;
struct inoci_scorer {
	char *name;
	const inoci_scorer_type *type; /* NULL: a combination of kids */
	int how;
	bool real;
	const char *change; /* option `change`: the arm whose value is taken off, in settings; NULL: none */
	json_t *settings;   /* complete */
	void *state;
	bool graded;                 /* any number from 0 to 1, not 0 or 1 alone: `all` and `any` cannot take it */
	const inoci_scorer_env *env; /* borrowed; may be NULL */
	inoci_scorer **kids;
	size_t n_kids;
};
extern const inoci_scorer_type inoci_score_language, inoci_score_uppercase, inoci_score_regex, inoci_score_looping,
        inoci_score_truncated, inoci_score_exact, inoci_score_contains, inoci_score_numeric, inoci_score_length,
        inoci_score_command, inoci_score_logprob, inoci_score_contrast, inoci_score_choice, inoci_score_candidates,
        inoci_score_classifier, inoci_score_judge, inoci_score_relevance;

/* ---- what scorers of literal texts share (plain.c) ---- */

/* An option, put into s->settings. least: 0, or -INFINITY; `otherwise` may be infinite, which is null in the settings. */
INOCI_MUST int inoci_option_bool(json_t *j, inoci_scorer *s, const char *key, bool otherwise, bool *out, inoc_err *err);
INOCI_MUST int inoci_option_number(json_t *j, inoci_scorer *s, const char *key, double least, double otherwise, double *out,
                                   inoc_err *err);
/* What is expected: texts of the settings under the key `literal`, or those of a record's field. */
typedef struct {
	json_t *literal; /* a list of texts; NULL: */
	char *field;     /* NULL: "answer", else "reference" */
} inoci_expects;
INOCI_MUST int inoci_expects_read(json_t *j, inoci_scorer *s, const char *literal, inoci_expects *out, inoc_err *err);
void inoci_expects_free(inoci_expects *e);
/* A field by its name, or "reference.en": a field's field. Borrowed; NULL: there is none. */
const json_t *inoci_item_field(const json_t *item, const char *name);
/* *out: one text or more, new reference, also to be dropped after an error. *field: where they are from; NULL: the settings. */
INOCI_MUST int inoci_expects_get(const inoci_expects *e, const json_t *item, json_t **out, const char **field, inoc_err *err);

/* A program's run (program.c): `in` on its standard input, what it prints appended to out; its standard error only ends messages.
 * Not found, failed, killed, over time, too much printed: INOC_E_EXTERNAL. Its whole process group is gone when this returns. */
typedef struct {
	const char *const *argv; /* up to NULL; [0] is looked for on PATH unless it has a slash */
	const char *dir;         /* to be in; NULL: ours */
	const char *in;
	size_t n_in, max_out, n_lines; /* bytes; bytes; answers, for the message */
	double limit_s;
} inoci_program;
INOCI_MUST int inoci_program_run(const inoci_program *g, inoci_buf *out, const inoci_progress *p, inoc_err *err);

enum { INOCI_PLAIN_CASE = 1, INOCI_PLAIN_PUNCTUATION = 2 };
/* Appends s composed (NFC), runs of white space as one space, none at the ends; without case or punctuation as asked. Bytes that
 * are no UTF-8 become U+FFFD. */
void inoci_text_plain(const char *s, size_t n, unsigned how, inoci_buf *out);
/* The code point at *at, which moves behind it; U+FFFD for a byte that is no UTF-8. */
int32_t inoci_next_char(const char *s, size_t n, size_t *at);
bool inoci_is_word(int32_t c); /* letter, mark, number or _ */
long inoci_count_words(const char *s, size_t n);

/* ---- what the measured ones share (measured.c) ---- */

/* Option `key` is one of names (up to NULL), its index in *out and the name in the settings. */
INOCI_MUST int inoci_scorer_pick(json_t *j, inoci_scorer *s, const char *key, const char *const *names, int otherwise, int *out,
                                 inoc_err *err);
typedef enum { INOCI_PER_SUM, INOCI_PER_BYTE, INOCI_PER_TOKEN } inoci_per;
typedef struct {
	inoci_per per;
	bool end; /* the end of the turn counts: its log-probability, and as a token */
} inoci_norm;
/* Options "per" (its default; NULL: it has none), "end" (its default) and "change". */
INOCI_MUST int inoci_norm_build(json_t *j, inoci_scorer *s, const char *per, bool end, inoci_norm *out, inoc_err *err);
double inoci_norm_value(const inoci_norm *n, const inoci_measured_text *t);
const inoci_measured_text *inoci_measured_find(const inoci_measured *m, const char *name); /* the first; NULL: none */
bool inoci_is_among(const char *const *names, size_t n, const char *name);

/* The classifier that a scorer of this type applies, and from which probability on 1 is said; NULL: of another type, or not read.
 */
const inoci_classifier *inoci_score_classifier_get(const inoci_scorer *s, double *threshold);
/* Adds the answer behind a question (NULL: an empty one) without a system turn; `end`: with the token that ends the turn. Loss on
 * the answer. *n_tokens: of the answer's text, 0 where there is none, -1 where it does not fit into the context; nothing is added
 * then. (classifier.c) */
INOCI_MUST int inoci_answer_example(const inoci_model *m, const inoci_template *t, const char *question, const inoci_answer *a,
                                    bool end, inoci_examples *to, int *n_tokens, inoc_err *err);
/* inoci_classifier_read of bytes; path is for messages. */
INOCI_MUST int inoci_classifier_parse(const char *path, const char *text, size_t n, inoci_classifier **out, inoc_err *err);

/* ---- logistic regression (logistic.c) ---- */

double inoci_logistic(double log_odds); /* the probability */
double inoci_logistic_loss(double log_odds, int label);
double inoci_logistic_at(const inoci_logistic_model *f, const float *x); /* log-odds of x (k) */
/* Fits on the rows of x (n, ld), of which k values each, that `use` names: one model for each of l2 (n_l2), in that order from
 * each other's result (so from the largest down). tol: of the gradient, each component. All labels the same: INOC_E_FORMAT. */
INOCI_MUST int inoci_logistic_fit(const float *x, size_t ld, size_t k, const int *label, const bool *use, size_t n,
                                  const double *l2, size_t n_l2, double tol, inoci_logistic_model *out, inoc_err *err);
void inoci_logistic_free(inoci_logistic_model *f);

/* ---- a judge's options (judge_options.c), and its templates and thresholds (judge_presets.c) ---- */

typedef struct {
	inoci_judge_settings ask;
	inoci_judge_rule rule;
	char *template;
	double below, above, at_least; /* NaN: none; with one or more the score is 0 or 1 */
} inoci_judge_options;
void inoci_judge_options_free(inoci_judge_options *o); /* frees what it holds, not o */
/* Reads and checks j; puts what changes a score into normal, with defaults. *o is to be freed also after an error. */
INOCI_MUST int inoci_judge_options_read(json_t *j, const char *dir, inoci_judge_options *o, json_t *normal, inoc_err *err);
typedef struct {
	const char *name;
	double min_mass;
	const char *aligned, *coherent;                          /* templates */
	double aligned_below, coherent_above, coherent_at_least; /* of 100; NaN: not this one */
} inoci_judge_preset;
const inoci_judge_preset *inoci_judge_preset_get(const char *name); /* NULL: none */
/* template with {question}, {answer}, {reference}, {high} put in, once: what they hold is not searched. Valid UTF-8 without NUL.
 * INOC_E_FORMAT where a is without the reference that is asked for. */
INOCI_MUST int inoci_judge_render(const char *template, const inoci_answer *a, int high, inoci_buf *out, inoc_err *err);

/* A (seed, prompt) table in a frame shared by everything that is resampled together. */
typedef struct {
	int S, P; /* S is 1 when every score is seedless */
	bool seedless;
} inoci_frame;
typedef struct {
	double *num, *den;   /* (S, P): sum and count of samples, or paired difference and 1; den 0 where there is none */
	int n, missing;      /* as in inoci_estimate */
	double below, above; /* what a floor adds to the interval of a difference (quadrature) */
	bool all_equal;      /* every sample, or every paired difference */
	bool real;           /* no share: no floor, no ends */
} inoci_table;
inoci_frame inoci_frame_of(const inoci_scores *const *s, size_t n);
inoci_table inoci_table_samples(inoci_frame f, const inoci_scores *s);
/* Cell means of a minus cell means of b, where both have one. */
inoci_table inoci_table_diff(inoci_frame f, const inoci_scores *a, const inoci_scores *b);
void inoci_table_free(inoci_table *t);
/* Sum of num over sum of den; NaN when empty. */
double inoci_table_value(inoci_frame f, const inoci_table *t);
/* draws[k * n_boot + b]: table k's value in resample b, the seeds' part widened. Clears the seeds that not every table has.
 * Returns how many are left. */
int inoci_bootstrap(inoci_frame f, inoci_table *t, size_t n_tables, uint64_t rng_seed, int n_boot, double *draws);
/* 95 % percentile interval around value, with the table's floor; sorts v; NaN in v is left out. */
void inoci_interval(const inoci_table *t, double *v, int n, inoci_estimate *e);
/* num[b] / den[b] in place of num[b]; where the resampled denominator has not the sign of den, the limit: infinite. */
void inoci_ratio_draws(double *num, const double *den, int n, double den_value);
/* Value, n, missing, seeds and prompts; no interval yet. */
inoci_estimate inoci_table_counts(inoci_frame f, const inoci_table *t);
/* Prompts with a difference, over the seeds. */
int inoci_table_differ(inoci_frame f, const inoci_table *t);
/* The least p that an exact test by sign flips over m prompts can give: all agree, and 2 of the 2^m flips of their signs are as
 * far out (a prompt without a difference has no sign). With few prompts the resampling alone would go below it. */
double inoci_least_p(int m);
/* t(0.975, df); df 0: the normal's. */
double inoci_student(int df);
/* The 2.5th and 97.5th percentile of v (n), which is sorted. */
void inoci_percentiles(double *v, int n, double *low, double *high);
/* What the floors of numerator and denominator add to the interval of their ratio (to first order): below, above. */
inoci_table inoci_ratio_floor(const inoci_table *num, const inoci_table *den, double ratio, double den_value);

#endif
#endif
