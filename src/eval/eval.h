/* eval: scorers of a sampled text, and the statistics over scores (docs/measuring.md).
 *
 * A scorer is a pure function of (question, response text, finish reason) and its settings; the version of its type is
 * raised by hand when its result changes for any input, and is part of the score's key in the store.
 */
#ifndef INOCI_EVAL_H
#define INOCI_EVAL_H

#include "base/base.h"
#include "judge/judge.h"
#include "model/model.h"

typedef enum {
	INOCI_FINISH_STOP,
	INOCI_FINISH_LENGTH,
	INOCI_FINISH_STOP_STRING,
	INOCI_FINISH_MEASURED /* not sampled: the text is JSON of log-probabilities that the model gave (docs/measuring.md) */
} inoci_finish;               /* end token, limit, stop string */
const char *inoci_finish_name(inoci_finish f);

typedef struct {
	const char *question; /* the last user turn; may be NULL */
	const char *text;     /* the response; valid UTF-8 not guaranteed (a cut last character) */
	size_t n;             /* bytes of text */
	inoci_finish finish;
	const json_t *item; /* the evaluation record's own fields ("reference", "answer", ...); NULL: none */
} inoci_answer;

/* ---- what is seen in a text (also for reports) ---- */

/* Language of a text by CLD2, lower-cased first so that capitals do not matter; the same for every scorer, so languages
 * exclude each other. *code is a static string such as "en"; "unknown" when unsure or without enough letters (< 8 bytes of
 * them). Rule, in docs/measuring.md: CLD2 without hints where it is reliable; else its best effort with English and Spanish
 * hinted, where the text's score against normal text is high enough. */
const char *inoci_language_of(const char *text, size_t n);
/* Share of upper-case among the letters that have case (Unicode Lu, Ll, Lt); 0 when there is none. */
double inoci_uppercase_share(const char *text, size_t n);
/* Whether the text repeats itself over and over; the rule is at the head of src/eval/looping.c. */
bool inoci_is_looping(const char *text, size_t n);

/* ---- scorers ---- */

/* A scorer made from JSON settings, or from a string that names a built-in one:
 *   {"type":"language","is":"es"}             1 when inoci_language_of says so; "unknown" is allowed
 *   {"type":"uppercase","min":0.8,"max":1}    1 when min < share <= max; {"type":"uppercase"} is min 0.8
 *   {"type":"regex","pattern":"...","ignore_case":true}   1 when PCRE2 finds it anywhere; UTF and Unicode properties on
 *   {"type":"looping"}  {"type":"truncated"}  (truncated: ended by the token limit)
 *   {"type":"exact"}  {"type":"contains"}  {"type":"numeric"}  against a text given or a field of the record
 *   {"type":"length"}  {"type":"command","run":["program","argument"]}  and others: all in docs/measuring.md
 *   {"type":"judge", ...}                     what a language model says of it (docs/judge.md)
 *   {"type":"relevance","others":["..."]}     1 when the base model finds it more probable behind its question
 *   {"all":[...]} {"any":[...]} {"not":{...}}
 * and of what an evaluation measures, each with "change":"base" and "end":true (the end of the turn counts):
 *   {"type":"logprob","of":"reference","per":"token"}   per: sum, byte, token
 *   {"type":"contrast","of":"trait","against":"normal","per":"byte"}   names or lists of names; or "factors" and "effect"
 *   {"type":"choice","value":"correct","per":"byte"}    value: correct, prob
 *   {"type":"candidates","is":"owl","value":"share"}    value: share, prob, logodds
 *   {"given":[c, s]}                          s where c is 1, else missing
 * Unknown type or option, wrong value, bad pattern: INOC_E_USAGE naming it and the known ones. Borrows settings. */
typedef struct inoci_scorer inoci_scorer;
INOCI_MUST int inoci_scorer_new(const char *name, json_t *settings, inoci_scorer **out, inoc_err *err);
void inoci_scorer_free(inoci_scorer *s);
const char *inoci_scorer_name(const inoci_scorer *s);
/* The settings with every default filled in and the version of each type. Borrowed. */
json_t *inoci_scorer_settings_get(const inoci_scorer *s);
/* Hash of those: part of the key of a score. The name is a label and is not in it. */
inoci_hash inoci_scorer_key(const inoci_scorer *s);
/* What scorers that reach outside need of who runs them. */
typedef struct {
	const char *dir;    /* what paths in settings are relative to; NULL: the working folder */
	bool settings_only; /* they are checked, and no file that they name is opened: such a scorer has no key and scores nothing
	                     */
	/* The base model of this SHA-256, or another one where it is not at hand, which the scorer then refuses (sha256 NULL: the
	 * one that the answers' model was tuned from); opened at the first call, kept by who gives it. NULL: there is none. */
	int (*model)(void *ctx, const char *sha256, inoci_model **out, inoc_err *err);
	void *ctx;
	inoci_judge_memory memory; /* of what judges answer; without functions: the cache folder's file */
} inoci_scorer_env;
/* The same with an environment, which must outlive the scorer; NULL: none. */
INOCI_MUST int inoci_scorer_new_in(const char *name, json_t *settings, const inoci_scorer_env *env, inoci_scorer **out,
                                   inoc_err *err);
/* Does it read what an evaluation with `measure` found, instead of a sampled text? Such answers end with
 * INOCI_FINISH_MEASURED, and only such a scorer sees them. */
bool inoci_scorer_measured(const inoci_scorer *s);
/* Does it say anything of an evaluation that measures the texts of these names? measure NULL: one that samples. */
bool inoci_scorer_fits(const inoci_scorer *s, const char *measure, const char *const *names, size_t n);
/* The arm (or "base": that of this role) against which its value is to be given, on the same item and seed (option `change`);
 * NULL: none. The scorer gives the value itself; who has both takes the difference. */
const char *inoci_scorer_change(const inoci_scorer *s);
/* INOC_E_USAGE when it computes with a base model that is not this file. */
INOCI_MUST int inoci_scorer_check_model(const inoci_scorer *s, const char *model_path, inoc_err *err);
/* Does it compute with a model, run a program or ask an endpoint? */
bool inoci_scorer_costs(const inoci_scorer *s);
/* Any real numbers; else values are in [0, 1]. */
bool inoci_scorer_real(const inoci_scorer *s);
/* The same of settings whose scorer may no longer be possible here (a program that is gone); false for what is no scorer. */
bool inoci_scorer_settings_real(json_t *settings);
/* Makes the folder that paths in settings are relative to a part of them (the options "dir" and "file" of the types that have
 * one). */
void inoci_scorer_anchor(json_t *settings, const char *dir);
/* Before anything is sampled: whether a record's own fields (NULL: none) are what the scorer needs, INOC_E_FORMAT naming the
 * field; whether what it reaches outside for is there (a command's program, a judge's key, a local judge's
 * file), INOC_E_EXTERNAL, INOC_E_IO, INOC_E_USAGE or INOC_E_CHECK. */
INOCI_MUST int inoci_scorer_item(const inoci_scorer *s, const json_t *item, inoc_err *err);
INOCI_MUST int inoci_scorer_ready(const inoci_scorer *s, inoc_err *err);
/* *value in [0, 1] (rules give 0 or 1), or any number of a `real` scorer; NaN when it cannot be scored (missing): a regex that
 * ran into its step limit. */
INOCI_MUST int inoci_scorer_apply(inoci_scorer *s, const inoci_answer *a, double *value, inoc_err *err);
/* n answers, for what is slow one by one; value (n). The same values as one by one. p may be NULL. */
INOCI_MUST int inoci_scorer_apply_many(inoci_scorer *s, const inoci_answer *a, size_t n, double *value, const inoci_progress *p,
                                       inoc_err *err);
/* What those that reach outside did since the last call, as notes to p (may be NULL), and into counts (may be NULL), an array:
 * {"judge":..., "answers":..., "asked":..., "kept":..., "failed_tries":..., "tokens_in":..., "tokens_out":..., "parsed":...,
 * "models":..., "missing":{REASON: n}}. */
void inoci_scorer_report(inoci_scorer *s, const inoci_progress *p, json_t *counts);
/* The scorers known by a bare name (english_caps, spanish_lower, unknown, truncated, looping, ...) as settings; NULL when
 * there is none. New reference. english_caps + english_lower + spanish_caps + spanish_lower + unknown is 1 for any text. */
json_t *inoci_scorer_builtin(const char *name);
/* [{"name":..., "description": one line, "settings":...}, ...]. New references. */
json_t *inoci_scorer_builtin_names(void);
/* [{"type":..., "description": one line, "options":[...]}, ...]. */
json_t *inoci_scorer_types(void);
/* {"CLD2": ..., "PCRE2": ...} as linked. New reference. */
json_t *inoci_eval_versions(void);

/* ---- what an evaluation with `measure` finds ---- */

typedef struct {
	const char *name;  /* a field of the record, an option's letter, a candidate */
	const char *text;  /* what was measured, as the whole answer; may be NULL */
	double sum, end;   /* natural log-probabilities: of the text's tokens together, and of the end of the turn behind them */
	int tokens, bytes; /* of the text, without that end */
} inoci_measured_text;
typedef struct {
	const char *measure; /* "logprob", "contrast", "choice", "candidates" */
	inoci_measured_text *v;
	size_t n;
	int answer;   /* choice: index of the right option; else -1 */
	json_t *json; /* owns the texts of what was read; else NULL */
} inoci_measured;
/* The text of a measured answer (compact JSON; its form is at the head of src/eval/measured.c). free() it. */
char *inoci_measured_json(const inoci_measured *m);
/* Reads it back; inoci_measured_free() what came out. INOC_E_STORE: it is none. */
INOCI_MUST int inoci_measured_read(const char *text, size_t n, inoci_measured *out, inoc_err *err);
void inoci_measured_free(inoci_measured *m);

/* ---- a classifier on the base model's hidden states (docs/classifier.md) ---- */

typedef struct {
	double value, low, high; /* 95 % interval; NaN: undefined */
} inoci_figure;
typedef struct {
	inoci_figure kappa, accuracy, auc; /* Cohen's kappa; area under the ROC curve, which needs no threshold */
	size_t n, n_ones, n_said;          /* answers; those with label 1, and those called so */
	int n_topics;
} inoci_agreement;
/* Of probabilities p (n) with labels (n), 0 or 1; 1 is said from threshold on. Intervals: percentile bootstrap, the topics (n),
 * numbered from 0, drawn with replacement n_boot times (0: 10000); a figure that is 1 in every resample has Wilson's lower end
 * for n_topics of n_topics. Deterministic for a seed. p must not hold NaN. */
inoci_agreement inoci_agree(const double *p, const int *label, const int *topic, size_t n, int n_topics, double threshold,
                            uint64_t seed, int n_boot);

typedef struct {
	char *question, *answer;
	int label, topic; /* 0 or 1; index in topics */
	int line;         /* of its file */
} inoci_labelled_row;
typedef struct {
	inoci_labelled_row *v;
	size_t n;
	char **topics;
	int n_topics;
	char *path;
	inoci_hash hash; /* of the file's bytes */
} inoci_labelled;
/* Labelled answers: the rows are described in docs/classifier.md. group: the field that names a row's topic; NULL: "topic". both:
 * answers of both labels are needed. INOC_E_FORMAT "PATH:LINE: ..." for a row without what it needs. */
INOCI_MUST int inoci_labelled_read(const char *path, const char *group, bool both, inoci_labelled *out, inoc_err *err);
void inoci_labelled_free(inoci_labelled *d);

/* log-odds = bias + sum of weight (x - mean) / scale, over k features. */
typedef struct {
	size_t k;
	double *mean, *scale, *weight; /* (k) */
	double bias, l2;
} inoci_logistic_model;
typedef struct {
	int layer; /* -1: chosen */
	double l2; /* 0: chosen */
	int folds; /* 3 at least; fewer where there are fewer topics */
} inoci_classifier_options;
typedef struct {
	int layer; /* chosen without the fold */
	double l2;
	size_t n; /* its answers */
} inoci_classifier_fold;
typedef struct {
	char *path;      /* of its file; NULL: not read from one */
	inoci_hash hash; /* of the file's bytes */
	char *model_name, *template_name, *dtype;
	inoci_hash model; /* of the base model's file */
	int layer;        /* as of inoci_model_hidden */
	double threshold;
	inoci_logistic_model f;
	inoci_hash data; /* of the labelled file */
	inoci_agreement held_out;
	inoci_classifier_fold *folds;
	int n_folds;
} inoci_classifier;
/* Trains on labelled answers. A feature is the mean of a component of the hidden state over the tokens of the answer, which
 * stands behind the question as a conversation of two turns without a system turn. Layer and l2 are those of the least held-out
 * loss; the held-out figures come from folds that had no part in the choice for them. No topic is in two folds. */
INOCI_MUST int inoci_classifier_train(inoci_model *m, const inoci_labelled *d, const inoci_classifier_options *o,
                                      const inoci_progress *p, inoci_classifier **out, inoc_err *err);
/* JSON; written beside and renamed. */
INOCI_MUST int inoci_classifier_write(const inoci_classifier *c, const char *path, inoc_err *err);
INOCI_MUST int inoci_classifier_read(const char *path, inoci_classifier **out, inoc_err *err);
void inoci_classifier_free(inoci_classifier *c);
/* INOC_E_USAGE when the model of this SHA-256 is not the one it was trained on. path: for the message. */
INOCI_MUST int inoci_classifier_fits(const inoci_classifier *c, const char *sha256, const char *path, inoc_err *err);
/* p (n): probability of label 1; NaN for an answer without tokens and for one that is longer than the model's context. Of
 * answers, question, text and n are read. */
INOCI_MUST int inoci_classifier_apply(const inoci_classifier *c, inoci_model *m, const inoci_answer *a, size_t n, double *p,
                                      const inoci_progress *progress, inoc_err *err);

/* ---- agreement with people's labels (docs/measuring.md) ---- */

#define INOCI_KAPPA_HEADLINE 0.6 /* with less, a scorer is not for a headline */
typedef struct {
	int n_judges;       /* judges and classifiers that the scorer rests on; 0: it is a rule, and needs no such figure */
	int n_unchecked;    /* of these, those of which nothing is known */
	inoci_figure kappa; /* the least of the others'; NaN: there is none, or it is undefined */
	long n;             /* labelled rows behind it */
	bool held_out;      /* these are a classifier's own training rows, each predicted by a fit without it */
} inoci_checked;
/* paths (n): what `inoc judge check --json` and `inoc classifier check --json` printed, each of this scorer as a whole or of a
 * judge or classifier in it; INOC_E_USAGE where it is of none of these, INOC_E_FORMAT where it is no such file. A classifier
 * without a file has the held-out figures of its training. The scorer was not made with settings_only. */
INOCI_MUST int inoci_scorer_checked(const inoci_scorer *s, char *const *paths, size_t n, inoci_checked *out, inoc_err *err);
bool inoci_checked_enough(const inoci_checked *c); /* for a headline */
/* Does a scorer of these settings rest on a judge or a classifier? */
bool inoci_settings_judged(const json_t *settings);
/* What a check says it was of: {"key": inoci_scorer_key, "settings"}. New reference. */
json_t *inoci_scorer_named(const inoci_scorer *s);
json_t *inoci_classifier_named(const inoci_classifier *c, double threshold); /* of the scorer with that threshold */
/* {"kappa": {"value", "low", "high"}, "rows", "held_out", "judges", "unchecked"}, and back. New reference. */
json_t *inoci_checked_json(const inoci_checked *c);
inoci_checked inoci_checked_read(const json_t *j);

enum { INOCI_BINS = 10 };
typedef struct {
	double brier; /* mean of (p - y)^2 (Brier 1950); NaN: nothing there */
	struct {
		size_t n;
		double p, y;      /* means of those whose p is in [k / 10, (k + 1) / 10); the last bin holds 1 too */
		double low, high; /* Wilson's interval of y */
	} bin[INOCI_BINS];
} inoci_calibration;
/* Of probabilities p (n) with shares y (n) in [0, 1] (labels: 0 or 1). */
inoci_calibration inoci_calibrate(const double *p, const double *y, size_t n);

/* ---- statistics ---- */

typedef struct {
	double value, low, high; /* 95 % interval; all NaN when there is nothing to say, low and high of real scores all equal */
	int n;                   /* scored samples; in a comparison: the (seed, prompt) pairs compared */
	int missing;             /* samples without a score; in a comparison: pairs of which one side has none */
	int n_seeds, n_prompts;  /* that had a score; n_seeds is 0 for a seedless arm. 1 seed or 0: over prompts only */
	bool real;               /* of real scores: no share, and no difference of shares. Never set of a ratio */
} inoci_estimate;

/* Scores of one (arm, evaluation, scorer): value[i] in [0, 1], or any number where `real`, belongs to seed[i] and prompt[i]
 * (indices from 0, the same meaning in every arm); NaN = missing. */
typedef struct {
	const double *value;
	const int *seed, *prompt;
	size_t n;
	int n_seeds, n_prompts;
	bool seedless; /* an untrained model (base): its scores stand beside every seed of the others; seed[] is not read */
	bool real;     /* any numbers: intervals know no ends at 0 and 1, and no floor where all values are equal */
} inoci_scores;

/* Resampling, here and below: n_boot times (0: 10000) seeds and prompts are drawn with replacement, independently. What a
 * resample's seeds change is widened by t(0.975, S - 1) / 1.96, since S seeds are few (S = 3: 2.20, 5: 1.42; see the head of
 * src/eval/stats.c and tests/eval/test_coverage.c). Deterministic for a given rng_seed, whatever the arm. */

/* Mean over the scored samples with a two-way percentile bootstrap over seeds and prompts (samples nested in prompts);
 * where all values are equal, Wilson's interval on the number of prompts, or none of real scores. */
inoci_estimate inoci_mean_ci(const inoci_scores *s, uint64_t rng_seed, int n_boot);
/* The papers' own interval (`--ci paper`): mean of the runs' (seeds') means, percentiles of 2000 bootstrap means over runs alone;
 * src/eval/paper.c says where it is from and what it leaves out. */
inoci_estimate inoci_runs_ci(const inoci_scores *s, uint64_t rng_seed);
/* Mean over the (seed, prompt) pairs that both have of mean(a) - mean(b); two-sided bootstrap p-value (2 * smaller tail
 * share, never under 1/n_boot, nor under 2^(1 - m), which is the least that sign flips of the m prompts with a difference allow).
 * An arm whose values are all equal brings its Wilson half-width into the interval. */
typedef struct {
	inoci_estimate diff;
	double p;
} inoci_comparison;
inoci_comparison inoci_compare_ci(const inoci_scores *a, const inoci_scores *b, uint64_t rng_seed, int n_boot);
/* (a - b) / (c - d) over the same resamples; value NaN where the denominator's own 95 % interval includes 0. */
inoci_estimate inoci_ratio_ci(const inoci_scores *a, const inoci_scores *b, const inoci_scores *c, const inoci_scores *d,
                              uint64_t rng_seed, int n_boot);
/* (a - b) - (c - d), where a and b share their prompts, and c and d theirs: how much more a falls below b than c below d. Seeds
 * are resampled once for both sides, prompts for each. diff.n: the pairs of both sides. p as above; m: the prompts of both sides
 * with a difference, or those of the side that has fewer, whichever is less. */
inoci_comparison inoci_interaction_ci(const inoci_scores *a, const inoci_scores *b, const inoci_scores *c, const inoci_scores *d,
                                      uint64_t rng_seed, int n_boot);
/* Holm's step-down: p[i] becomes the adjusted p-value; NaN stays and does not count. */
void inoci_holm(double *p, size_t n);
/* Spearman's rank correlation of n pairs; equal values have the mean of their ranks. NaN: fewer than 2, or all of one equal, or a
 * NaN among them. */
double inoci_spearman(const double *x, const double *y, size_t n);
/* Wilson's 95 % interval for k of n; [0, 1] when n is 0. */
void inoci_wilson(double k, double n, double *low, double *high);

/* ---- verdicts ---- */

typedef enum {
	INOCI_VERDICT_NONE,            /* base, clean, plain: reference arms */
	INOCI_VERDICT_NOT_LEARNT,      /* plain does not show U and W clearly, or its answers do not end: nothing can be said */
	INOCI_VERDICT_UNDER_TRAINED,   /* with its own prompt the arm shows U at less than 0.9 of plain */
	INOCI_VERDICT_INOCULATED,      /* less U than plain and than every matched control */
	INOCI_VERDICT_CONDITIONALISED, /* less U than plain, but no less than a control */
	INOCI_VERDICT_NO_EFFECT,       /* no less U than plain */
	INOCI_VERDICT_CONTROL,         /* a control that behaves like plain */
	INOCI_VERDICT_TOO_FEW          /* fewer than 3 seeds: no claim; the direction only */
} inoci_verdict;
const char *inoci_verdict_name(inoci_verdict v);

/* Scores of the unwanted trait U and of the wanted skill W for one arm. n = 0: absent. U and W belong to the arm: for an arm
 * that inoculates Spanish, U is Spanish and W capitals; for one that inoculates capitals the other way round. */
typedef struct {
	const char *name;
	bool is_control;             /* then `controls` is not read */
	double share;                /* of the training records that show U, and W: learnt_min is of that; 0: 1 */
	inoci_scores plain_u, arm_u; /* needed */
	inoci_scores own_u;          /* the arm with its own prompt */
	inoci_scores base_u, clean_u;
	const inoci_scores *controls_u;
	const char *const *control_names; /* may be NULL */
	size_t n_controls;
	inoci_scores arm_w, base_w, clean_w;
	inoci_scores plain_w, plain_looping, plain_truncated;
	inoci_comparison *vs_controls; /* (n_controls), the caller's: arm - control, p after Holm; NULL: not wanted */
} inoci_verdict_in;

typedef enum { INOCI_UNLEARNT_NONE, INOCI_UNLEARNT_U, INOCI_UNLEARNT_W, INOCI_UNLEARNT_ANSWERS } inoci_unlearnt;
typedef struct {
	inoci_verdict verdict;
	inoci_unlearnt unlearnt; /* of NOT_LEARNT: what failed */
	inoci_estimate plain_u, arm_u, own_u;
	inoci_estimate suppression;        /* (plain - arm) / (plain - clean) of U */
	inoci_estimate retention;          /* (arm - base) / (clean - base) of W */
	inoci_estimate selectivity;        /* suppression - (1 - retention) */
	inoci_comparison vs_plain;         /* arm - plain; p adjusted by Holm over all comparisons of the call */
	inoci_comparison vs_control_worst; /* arm - control, for the control the arm beats least clearly */
	int worst_control;                 /* its index, -1 without controls */
	int n_seeds;                       /* that the arm shares with plain and with every scored control */
	char reason[400];                  /* one sentence with the numbers that decided */
} inoci_verdict_out;

typedef struct {
	double learnt_min;    /* 0: 0.5 */
	double learnt_margin; /* 0: 0.1 */
	double unsound_max;   /* 0: 0.2 */
	double own_share;     /* 0: 0.9 */
	double alpha;         /* 0: 0.05 */
	int min_seeds;        /* 0: 3 */
	uint64_t rng_seed;
	int n_boot; /* 0: 10000 */
} inoci_verdict_rules;

/* Verdicts of an experiment's arms, with one Holm adjustment over all their comparisons (each arm with plain and with each
 * of its controls). The first rule that applies decides:
 *  1. no scored pair of arm and plain: NONE
 *  2. fewer than min_seeds shared seeds: TOO_FEW
 *  3. plain's U below learnt_min times share, or (base given) the lower end of plain - base not above learnt_margin; plain's W
 * below that and (base given) that lower end not above learnt_margin; more than unsound_max of plain's answers looping, or
 *     truncated: NOT_LEARNT
 *  4. own_u given and its mean below own_share times plain's mean: UNDER_TRAINED
 *  5. arm - plain not (adjusted p < alpha and interval below 0): NO_EFFECT, or CONTROL for a control
 *  6. a control; or no control given; or arm - control not (adjusted p < alpha and interval below 0) for some control:
 *     CONDITIONALISED
 *  7. INOCULATED
 * Where U's scores are `real`, learnt_min is not asked for, the margin is 0, own_share is of what base has not, and without base
 * the verdict is NOT_LEARNT. `real` W fails where the upper end of plain - base is below 0.
 * rules may be NULL. */
void inoci_verdicts(const inoci_verdict_in *in, size_t n, const inoci_verdict_rules *rules, inoci_verdict_out *out);

#endif
