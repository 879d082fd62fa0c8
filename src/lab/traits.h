/* traits: what an experiment's inside and its results hold beside lab.h: the shipped library of traits, and users' own
 * (docs/traits.md); how much more probable one makes a response; which records are to get an arm's prompt by that, by a scorer or
 * by a tag; and one answer scored. */
#ifndef INOCI_TRAITS_H
#define INOCI_TRAITS_H

#include "base/base.h"
#include "lab/lab.h"
#include "train/gains.h"

typedef struct {
	char *id, *label; /* "language", "Languages" */
	bool exclusive;   /* an answer shows one of its traits at most */
} inoci_trait_group;
typedef struct {
	char *id, *label, *description; /* "spanish", "Spanish", "Answers are in Spanish." */
	int group;                      /* index in the library's groups */
	char **prompts;                 /* paraphrases that ask for it */
	size_t n_prompts;
	char **controls; /* about nothing that could matter, of like length and form */
	size_t n_controls;
	char **answers; /* to the library's plain questions, as an answerer gives them who shows it */
	size_t n_answers;
	json_t *scorer; /* settings of a scorer that tells an answer which shows it; NULL: none is known */
	char *file;
	int line; /* where it is defined */
	int call; /* that added it */
} inoci_scan_trait;
typedef struct {
	inoci_scan_trait *v;
	size_t n;
	inoci_trait_group *groups;
	size_t n_groups;
	char **questions; /* (n_plain) */
	char **plain;     /* (n_plain, n_variants) answers without any trait: terse ones, wordy ones, ... */
	size_t n_plain, n_variants;
	int calls; /* that added to it */
} inoci_trait_library;
/* The shipped library's folder: $INOC_TRAITS, else share/inoc/traits beside the program's file or in its prefix; INOC_E_IO when
 * there is none. free() it. */
INOCI_MUST int inoci_traits_folder(char **out, inoc_err *err);
/* Adds the traits of a file, or of a folder's *.yaml in order of name. One that an earlier call added is replaced by one of the
 * same id; two of one id in the same call, and everything that the schema forbids: INOC_E_FORMAT "FILE:LINE:COL: ...". */
INOCI_MUST int inoci_traits_add(inoci_trait_library *l, const char *path, inoc_err *err);
/* The same from bytes, as a part of this call. */
INOCI_MUST int inoci_traits_parse(inoci_trait_library *l, const char *path, const char *text, size_t n, int call, inoc_err *err);
/* The shipped library, and then each of `more` (n). *l and *folder, the shipped one's, are to be freed also after an error. */
INOCI_MUST int inoci_traits_load(const char *const *more, size_t n, inoci_trait_library *l, char **folder, inoc_err *err);
int inoci_trait_library_find(const inoci_trait_library *l, const char *id); /* index, -1: none */
/* The same; INOC_E_USAGE naming `option`, and a trait that is called much like it. */
INOCI_MUST int inoci_trait_named(const inoci_trait_library *l, const char *option, const char *id, int *out, inoc_err *err);
void inoci_trait_library_free(inoci_trait_library *l);

/* ---- how much more probable a trait makes a record's response (docs/scan.md) ---- */

enum { INOCI_GAIN_ORDERS = 2 };
typedef struct {
	const inoci_trait_library *l; /* borrowed, as is g */
	inoci_gains *g;
	int (*shows)[INOCI_GAIN_ORDERS]; /* (l->n) rows of g: exchanges that show a trait, in both orders */
	int (*plain)[INOCI_GAIN_ORDERS]; /* (l->n_variants) those without one */
	int **asks;                      /* (l->n) rows of g: a trait's prompts, then its controls; NULL: not asked */
} inoci_trait_gains;
/* With the plain exchanges added to g. */
INOCI_MUST int inoci_trait_gains_new(const inoci_trait_library *l, inoci_gains *g, inoci_trait_gains **out, inoc_err *err);
void inoci_trait_gains_free(inoci_trait_gains *x);
/* Adds the trait's exchanges to g; its prompts and controls. */
INOCI_MUST int inoci_trait_gains_shown(inoci_trait_gains *x, int trait, inoc_err *err);
void inoci_trait_gains_asked(inoci_trait_gains *x, int trait);
/* Log-probability of the record's response in nats a byte, measured before, with the trait and without: exchanges in `orders`
 * orders, and prompts where these were asked for. Their difference is the trait's gain. */
void inoci_trait_gains_of(const inoci_trait_gains *x, int trait, int orders, size_t record, double *with, double *without);

/* ---- selective inoculation (docs/experiment.md, `when`) ---- */

/* Records that get the prompt, but for those of a tag: where a scorer, or a gain, is above a number. */
typedef struct inoci_when {
	char *name;       /* the scorer's, as messages have it */
	json_t *settings; /* the scorer's; NULL: a gain (or, before the experiment is read, a scorer that is only named) */
	char *gain;       /* id of a trait of the shipped library, or a prompt; NULL: a scorer */
	double above;     /* of a gain in bits in 100 bytes; NaN: not given */
} inoci_when;
typedef struct inoci_choice {
	bool decided;             /* false: it costs a model, a program or an endpoint, and was not to be asked */
	bool *chosen;             /* (n_all); NULL: by a tag */
	size_t n_all;             /* records of training and of a validation file */
	size_t n, n_chosen;       /* of training alone */
	size_t n_missing;         /* of these, without a value: they do not get the prompt */
	double low, median, high; /* of the values; NaN: there are none */
	bool numbers;             /* they are no yes or no, so that these three say something */
} inoci_choice;
void inoci_when_free(inoci_when *w);           /* and w */
char *inoci_when_name(const json_t *settings); /* of a scorer that has none. free() it */
/* What a choice is made with. */
typedef struct {
	const inoci_scorer_env *env; /* of scorers; its model is what gains are measured with */
	const char *system;          /* of records without a system turn */
	/* Where values are kept under keys that begin with `key`, the hash of the model and of how it computes; NULL: nowhere. */
	inoci_store *store;
	const char *key;
	bool only_kept; /* nothing is measured, and no program or endpoint asked: what is not in the store is not decided */
	const inoci_progress *progress;
} inoci_chooser;
/* Of the records r (n), of which the first n_train are counted. INOC_E_FORMAT names a record that lacks what a scorer needs. */
INOCI_MUST int inoci_choose(const inoci_when *w, const inoci_record *const *r, const char *const *paths, size_t n, size_t n_train,
                            const inoci_chooser *with, inoci_choice *out, inoc_err *err);
/* Whether a scorer, and a number to be above, can choose: INOC_E_USAGE where not. Sets `above` where it has a default. */
INOCI_MUST int inoci_when_check(inoci_when *w, const inoci_scorer_env *env, inoc_err *err);
/* "where scorer spanish gives more than 0.5", "tagged poisoned"; NULL: every record. free() it. */
char *inoci_when_text(const char *tag, const inoci_when *w);
/* "where ...: 250 of 500 records (50 %), 3 of the others without a value"; with a warning where it tells nothing apart. free()
 * it. */
char *inoci_choice_text(const char *tag, const inoci_when *w, const inoci_choice *c);

/* ---- one answer (single.c) ---- */

typedef struct {
	const char *system, *user, *text; /* system NULL: "none"; user: the question, text: the answer, either may be NULL */
	json_t *item;                     /* the evaluation record's own fields; NULL: none */
	json_t *measure; /* keys of an evaluation with `measure`, of a scorer that reads what one finds; NULL: the
	                  * kind that the scorer's type is called after, with its defaults */
} inoci_single;
/* The scorer's value of it, NaN: missing. A measured scorer computes with m and a (may be NULL) and takes the texts from the
 * item, `text` as its reference where it has none; a classifier computes with m; others need neither. */
INOCI_MUST int inoci_score_single(json_t *scorer, const inoci_single *x, inoci_model *m, inoci_adapter *a, double *value,
                                  inoc_err *err);

/* ---- planes: two scores of every arm against each other (plane.c; docs/experiment.md, `planes`) ---- */

typedef struct {
	char **scorers;
	size_t n_scorers; /* names; of several (disjoint) ones the sum */
	bool invert;      /* 1 - that */
	char *label;      /* NULL: made from the names */
	char **evaluations;
	size_t n_evaluations; /* its own, instead of the plane's; 0: those */
	int *eval;            /* (panels): the evaluation that each panel reads this score on */
} inoci_plane_axis;
typedef struct inoci_plane {
	char *name, *label;       /* the name unless given */
	inoci_plane_axis axis[2]; /* across, up */
	char **evaluations;
	size_t n_panels;
	char **arms;
	size_t n_arms; /* drawn; 0: all but a sweep's variants */
} inoci_plane;
/* What the axis is of: "nats per byte, less base's", "words"; NULL: a share. Static. */
const char *inoci_plane_axis_unit(const inoci_experiment *e, const inoci_plane_axis *a);
/* An arm in a panel. */
typedef struct inoci_plane_point {
	int plane, panel, arm;   /* indices */
	inoci_estimate at[2];    /* as r->ci asks for */
	inoci_estimate *seed[2]; /* (n_seeds), n 0 where there is none; NULL: an arm that has no seed of training */
} inoci_plane_point;

/* ---- results: answers without a score of a judge ---- */

typedef struct inoci_miss {
	int arm, eval, scorer;           /* indices */
	long n;                          /* answers, each counted once */
	long reason[INOCI_JUDGE_N_MISS]; /* by inoci_judge_miss; SCORED: another one, such as a condition that does not hold
	                                  * (given), or the reply is not in the store */
} inoci_miss;

/* ---- results: an experiment's prompts ranked (docs/analyse.md) ---- */

/* Spearman's rho, its 95 % interval (bootstrap over prompts and seeds), two-sided p (permuted prompts). NaN: undefined. */
typedef struct {
	double rho, low, high, p;
} inoci_rank;
/* Surprise removed before training against suppression after it, over an experiment's prompts. */
typedef struct {
	int trait, n_seeds;
	size_t n, n_controls; /* prompts: arms with one that are judged on the trait and were measured; of role control */
	bool drop; /* no clean arm, or none that differs: plain - arm takes the place of (plain - arm) / (plain - clean) */
	int *arm;  /* (n) */
	double *x, *y, *seed_y;  /* (n): nats per byte; (n): share; (n, n_seeds) */
	double *goal;            /* (n): share of the trait's goal, which broken answers do not raise; NULL: it has none */
	inoci_rank u, goal_rank; /* of y; of goal in its place */
	/* (n_directions), in x's place: toward_without - toward_with; contrast. rho NaN where that was not measured. */
	inoci_rank *toward, *contrast;
} inoci_relation;
/* n_boot: resamples and permutations; 0: 10000. n is 0 where there is nothing to relate. */
inoci_relation inoci_relation_of(const inoci_results *r, int trait, int n_boot);
void inoci_relation_free(inoci_relation *x);

#endif
