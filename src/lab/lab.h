/* lab: the experiment file, its plan, the store, the runner, and the reading of results.
 *
 * Invariants:
 *  1. What is in the store under a content hash is not computed again; names of experiments, arms and evaluations are labels
 *     in link tables only.
 *  2. The store is consistent after kill -9 at any moment: a row that is marked done has everything it stands for.
 *  3. One writer: a lock beside the store, held for the length of a run.
 */
#ifndef INOCI_LAB_H
#define INOCI_LAB_H

#include "base/base.h"
#include "data/data.h"
#include "eval/eval.h"
#include "sample/sample.h"
#include "train/train.h"

/* ---- the experiment file (YAML; docs/experiment.md) ---- */

/* How one arm is trained. */
typedef struct {
	inoci_train_config config; /* its seed is set per run */
	double validation;         /* share of the training records held out by (seed, record index); 0: none */
	char *validation_file;     /* or a file of records; NULL */
	bool loss_last;            /* loss on the last assistant turn only */
	bool drop_too_long;        /* an example longer than max_length is dropped and counted; else an error */
	int max_length;            /* tokens; 0: the model's context */
	int eval_at[64];           /* optimizer steps after which the `curves` are measured, ascending; 0: before the first */
	size_t n_eval_at;          /* they change nothing of the training */
} inoci_recipe;

/* Held-out responses to follow through training (curves.c). */
typedef struct {
	char *name;      /* "trait" */
	char *path;      /* records that end with an assistant turn; with `reference` evaluation records */
	char *reference; /* which of the records' references is the response ("ES"); NULL: the assistant turns */
	int limit;       /* records used, from the first; 0: all */
} inoci_curve_set;
/* Away from the responses of one set, towards those of another (indices): a trait, where the two are parallel. */
typedef struct {
	char *name;
	int toward, from;
} inoci_direction;
typedef struct {
	char *name;    /* "spanish" */
	char *role;    /* "base" | "clean" | "plain" | "control" | "inoculated" | "other": how it is judged */
	char *label;   /* shown in the report; the name unless given */
	char *data;    /* path of the training records; NULL when not trained */
	char *adapter; /* folder of a given adapter, PEFT's layout; NULL: trained here, or none (role base) */
	bool train;    /* false for role base and for a given adapter */
	bool has_inoculation;
	inoci_inoculation inoculation;
	struct inoci_when *when; /* only records that meet it (traits.h); NULL: all, or those of a tag */
	char *own_system; /* system text of evaluations with `system: own`; NULL: the prompts are inoculated as the training data
	                   * was, and rendered like it */
	char **traits;
	size_t n_traits;     /* names of the traits this arm is judged on; role control and clean: all unless given */
	inoci_recipe recipe; /* the experiment's, with the arm's own changes */
	int line;
	char *matched;  /* an added control: the arm that it is matched to (controls.c); else NULL */
	char *swept_of; /* a variant: the arm that it varies (sweep.c); else NULL */
	int sweep;      /* a variant: index in the experiment's sweeps */
	double swept;   /* and its value */
} inoci_arm;

typedef enum {
	INOCI_MEASURE_NONE, /* answers are sampled; else log-probabilities of given ones are measured (docs/experiment.md): */
	INOCI_MEASURE_LOGPROB,
	INOCI_MEASURE_CONTRAST,
	INOCI_MEASURE_CHOICE,
	INOCI_MEASURE_CANDIDATES
} inoci_measure;
const char *inoci_measure_name(inoci_measure m); /* NULL for NONE */

typedef struct {
	char *name; /* "owl" */
	char **forms;
	size_t n_forms; /* "owl", "Owl.": their probabilities are summed */
} inoci_candidate;

typedef struct {
	char *name;                     /* "none_greedy" */
	char *label;                    /* shown in the report; the name unless given */
	char *prompts;                  /* path */
	char *system;                   /* "none" | "empty" | "default" | "own" | text */
	inoci_sample_settings sampling; /* its strings are the evaluation's; its seed is set per run */
	char **stop;
	size_t n_stop;
	char *allowed;
	int limit; /* prompts used, from the first; 0: all */
	int line;
	inoci_measure measure;
	char **texts;
	size_t n_texts; /* logprob, contrast: the records' fields that are measured */
	bool by_letter; /* choice: the options' letters are measured; else their texts */
	bool show;      /* choice: the options are put behind the question, and `ask` behind them */
	char *ask;
	inoci_candidate *candidates;
	size_t n_candidates;
	bool imported; /* sampled elsewhere: its settings are not known */
} inoci_evaluation;
/* Does the scorer say anything of this evaluation? */
bool inoci_evaluation_fits(const inoci_evaluation *v, const inoci_scorer *s);

typedef struct {
	char *name;         /* "english_caps" */
	json_t *settings;   /* what inoci_scorer_new takes */
	bool real;          /* gives any numbers, not shares */
	const char *change; /* the arm whose value on the same item and seed is taken off its values; NULL: none. Borrowed */
	bool added;         /* not listed in the file: truncated, looping, unknown */
	char *on;           /* names of the evaluations it scores, ",a,b,"; NULL: all */
	char **checked;     /* files that tell how far its judges agree with labels (inoci_scorer_checked) */
	size_t n_checked;
} inoci_scorer_spec;

/* What is judged, each a sum of (disjoint) scorers: U, the unwanted trait; W, the wanted skill; goal, W without U. */
typedef struct {
	char *name;  /* "language" */
	char *label; /* "Spanish"; the name unless given */
	char **u;
	size_t n_u;
	char **w;
	size_t n_w;
	char **goal;
	size_t n_goal; /* 0: not given */
	char *plain;   /* arm trained on the data as it is; the one of role plain unless given */
	char *clean;   /* arm that is the reference without U; NULL: none, suppression is then undefined */
	char *base;    /* the arm of role base; NULL: none */
	char **controls;
	size_t n_controls; /* all arms of role control unless given */
	double share;      /* of the records that show it: so much of plain's answers is the most to expect; 1 unless given */
} inoci_trait;

/* What is expected of the results: of a scorer's share or mean, or of a trait. Indices in the experiment; -1: not given. */
typedef struct {
	int arm, than;                 /* than: the difference arm - than */
	int eval, scorer;              /* of a scorer */
	int trait, measure;            /* of a trait: measure u, w, goal, suppression, retention, selectivity; -1: */
	unsigned verdicts;             /* a bit for each inoci_verdict that is right */
	double min, max, above, below; /* NaN: no bound */
	int at;                        /* value, low, high */
} inoci_expectation;
/* The leakage grid (grid.c): a system prompt is one ordinary evaluation, named here, of some arms. */
typedef enum {
	INOCI_GRID_NONE,
	INOCI_GRID_EMPTY,
	INOCI_GRID_DEFAULT,
	INOCI_GRID_NEUTRAL, /* that no arm has seen */
	INOCI_GRID_OWN,     /* an arm's inoculation prompt */
	INOCI_GRID_SEEN,    /* another of its pool */
	INOCI_GRID_HELD_OUT,
	INOCI_GRID_NEGATION,
	INOCI_GRID_RELATED,
	INOCI_GRID_UNRELATED,
	INOCI_GRID_OTHER
} inoci_grid_kind;
typedef struct {
	inoci_grid_kind kind;
	char *name;  /* of the evaluation: "grid_language_negation" */
	int eval;    /* its index */
	char *text;  /* NULL: none, empty, default */
	char *trait; /* whose heat map it is in; NULL: every trait's */
	char *of;    /* own, seen: the (first) arm that was trained with it; NULL otherwise */
	char **arms;
	size_t n_arms; /* that are evaluated on it */
} inoci_grid_row;

/* One numeric setting over several values (sweep.c): arms are expanded into variants NAME@KEY=VALUE. */
typedef struct {
	char *key; /* "lr", "fraction" */
	char **arms;
	size_t n_arms; /* as named in the file: those varied */
} inoci_sweep;

typedef struct {
	char *path, *dir;              /* of the file; paths in it are relative to dir, and are given joined with it here */
	char *name, *title, *question; /* question: what was asked, a sentence for the report */
	char *data_source;             /* where the data is to be had, said when there is none; may be NULL */
	char *model, *template_name /* NULL: recognised */, *data, *dtype /* "auto" | "bf16" | "f32" | "q" */;
	char *system;  /* rendering of training records without a system turn; "none" unless given */
	char *out;     /* output folder, relative to the working folder; out/NAME unless given */
	int threads;   /* 0: all */
	int shortened; /* `short`: so many questions and steps; 0: as the file says */
	uint64_t *seeds;
	size_t n_seeds;
	inoci_recipe recipe;
	inoci_arm *arms;
	size_t n_arms;
	inoci_evaluation *evals;
	size_t n_evals;
	json_t *judge; /* what every judge among the scorers has unless it says otherwise; NULL: nothing */
	inoci_scorer_spec *scorers;
	size_t n_scorers;
	inoci_trait *traits;
	size_t n_traits;
	char *headline;      /* evaluation the verdicts are read on */
	int inside, outside; /* evaluations of `generalisation`; alike: not given */
	char **bars;
	size_t n_bars; /* disjoint scorers that are shown stacked; all that give shares unless given */
	inoci_expectation *expect;
	size_t n_expect;
	inoci_grid_row *grid;
	size_t n_grid;
	char *grid_like; /* the evaluation that the grid's are like; NULL: no grid */
	inoci_sweep *sweeps;
	size_t n_sweeps;
	struct inoci_plane *planes; /* traits.h */
	size_t n_planes;
	char **imported;
	size_t n_imported; /* files that the samples were imported from: nothing is trained or sampled here */
	char **notes;
	size_t n_notes;     /* what was added to the plan or left out of it, a sentence each */
	bool allow_overlap; /* evaluation questions may occur in the training data */
	inoci_curve_set *curves;
	size_t n_curves;
	inoci_direction *directions;
	size_t n_directions;
	char *text;
	size_t text_n; /* the file's bytes */
	char **sets;
	size_t n_sets; /* the --set overrides applied */
} inoci_experiment;
/* Unknown keys, wrong types, out-of-range values, unknown names: INOC_E_FORMAT "FILE:LINE:COL: ...", with the nearest known
 * key when one is near. sets: "a.b=value" overrides, the value in YAML, under the same checks ("--set a.b=value: ..."). */
INOCI_MUST int inoci_experiment_read(const char *path, const char *const *sets, size_t n_sets, inoci_experiment **out,
                                     inoc_err *err);
/* The same from bytes; path is for messages and for the paths inside. */
INOCI_MUST int inoci_experiment_parse(const char *path, const char *text, size_t n, const char *const *sets, size_t n_sets,
                                      inoci_experiment **out, inoc_err *err);
void inoci_experiment_free(inoci_experiment *e);
/* Whether a scorer that is for the evaluations `on` goes over this one's answers. */
bool inoci_experiment_applies(const inoci_experiment *e, const char *on, int eval);
/* A file of settings as JSON: YAML (one document), or JSON, which is YAML. */
INOCI_MUST int inoci_settings_read(const char *path, json_t **out, inoc_err *err);
void inoci_json_yaml(const json_t *j, inoci_buf *out); /* j as YAML, a line end behind; appends */
/* Index by name, -1 when there is none. */
int inoci_experiment_arm(const inoci_experiment *e, const char *name);
int inoci_experiment_eval(const inoci_experiment *e, const char *name);
int inoci_experiment_trait(const inoci_experiment *e, const char *name);
int inoci_experiment_scorer(const inoci_experiment *e, const char *name);
/* Whether the arm is evaluated there: everywhere, but for the grid's evaluations. */
bool inoci_experiment_wants(const inoci_experiment *e, int arm, int eval);
/* The grid's row that the evaluation is, NULL: none. */
const inoci_grid_row *inoci_experiment_grid(const inoci_experiment *e, int eval);
/* Whether an arm of role inoculated asks for the trait. */
bool inoci_experiment_asks(const inoci_experiment *e, const inoci_arm *a, const inoci_trait *t);
/* The arm's value of a sweep's key. */
double inoci_arm_value(const inoci_arm *a, const char *key);
/* How alike the n texts are: mean over the pairs of the cosine of their counts of three letters in a row, case folded, in
 * [0, 1]; NaN with fewer than two. With others (m > 0): over the pairs of one and one. */
double inoci_similarity(char *const *texts, size_t n, char *const *others, size_t m);

/* ---- building blocks of a run, used by the single commands too ---- */

/* From "auto", "bf16", "f32", "q": the fast operations, or the reference ones in a build without them. threads 0: all. */
INOCI_MUST int inoci_lab_ops(const char *dtype, int threads, inoci_ops **out, inoc_err *err);
/* An arm's adapter seed and record transform: what the training records of (arm, seed) become. */
typedef struct {
	const inoci_inoculation *inoculation; /* NULL: none */
	const char *system;                   /* "none", ... for records without a system turn */
	const inoci_recipe *recipe;
	uint64_t seed;
	int context; /* of the model */
} inoci_prepare;
typedef struct {
	inoci_examples train, val; /* val.n may be 0 */
	char *first_text;          /* the first training record as rendered; "" when there is none */
	size_t n_dropped, n_inoculated;
} inoci_prepared;
INOCI_MUST int inoci_prepare_examples(const inoci_template *t, const inoci_dataset *d, const inoci_prepare *p,
                                      inoci_prepared *out, inoc_err *err);
void inoci_prepared_free(inoci_prepared *p);
/* One record as it is (p's inoculation is not applied), at the end of `to`; *dropped: it is too long and was left out, as the
 * recipe asks. */
INOCI_MUST int inoci_prepare_example(const inoci_template *t, const inoci_record *r, const char *path, const inoci_prepare *p,
                                     inoci_examples *to, bool *dropped, inoc_err *err);
/* Bytes of what is predicted of a record: the text of its assistant turns, or of the last, but for those of weight 0. */
int inoci_answer_bytes(const inoci_record *r, bool last);
/* Training metrics as JSON Lines: {"step":..,"steps":..,"lr":..,"loss":..,"grad_norm":..,"val_loss":..,"tokens":..}. Rows
 * behind a step are dropped when a run resumes from it. */
typedef struct inoci_metrics_file inoci_metrics_file;
INOCI_MUST int inoci_metrics_open(const char *path, inoci_metrics_file **out, inoc_err *err); /* keeps what is there */
INOCI_MUST int inoci_metrics_resume(inoci_metrics_file *f, int step, inoc_err *err);
INOCI_MUST int inoci_metrics_add(inoci_metrics_file *f, const inoci_metric *m, inoc_err *err);
void inoci_metrics_close(inoci_metrics_file *f);
/* "saved: step 2, validation 4.127"; NULL without validation. free() it. */
char *inoci_train_saved(const inoci_train_result *r);
/* Everything of a recipe that says how an adapter was made, as JSON. New reference. */
json_t *inoci_recipe_json(const inoci_recipe *r);

/* ---- the store: one SQLite file (WAL), a chain of content hashes ---- */

typedef struct inoci_store inoci_store;
/* write: takes the single-writer lock; INOC_E_BUSY naming pid and start time of the holder, unless it is released within
 * wait_s seconds. Not write: the file must be there; may be read while a run writes. */
INOCI_MUST int inoci_store_open(const char *path, bool write, double wait_s, const inoci_progress *p, inoci_store **out,
                                inoc_err *err);
void inoci_store_free(inoci_store *s);
const char *inoci_store_path(const inoci_store *s);
/* The experiment as the store's last run recorded it. name NULL: the latest one, of those that have a file if any has. None of
 * that name: INOC_E_USAGE with the known ones; none at all: INOC_E_STORE. */
INOCI_MUST int inoci_store_experiment(inoci_store *s, const char *name, inoci_experiment **out, inoc_err *err);
/* The store of what a person names: the store.db of a folder (INOC_E_IO where there is none), or the path itself. free() it. */
INOCI_MUST int inoci_store_file(const char *what, char **path, inoc_err *err);
/* Opens for reading what a person names: an experiment file (its out/.../store.db), a store, or a folder with store.db; and the
 * experiment in it as recorded (name NULL: the only or latest, or the file's). */
INOCI_MUST int inoci_store_open_any(const char *what, const char *name, inoci_store **s, inoci_experiment **e, inoc_err *err);
/* Scores every sample of the experiment (NULL: of all) that this scorer has not scored, and names it for the experiments; "on" in
 * the settings, which is taken out of them: of these evaluations only;
 * another definition that an earlier call gave the name is replaced, with a note to p.
 * n_new (may be NULL): how many were scored now. model: the file of the base model, for scorers that compute with it; NULL: that
 * of the store's runs. */
INOCI_MUST int inoci_store_score(inoci_store *s, const char *experiment, const char *name, json_t *settings, const char *model,
                                 const inoci_progress *p, long *n_new, inoc_err *err);

/* ---- running ---- */

/* What a run is about to do, or has left to do. */
typedef struct {
	int arm; /* index in the experiment */
	uint64_t seed;
	bool trained; /* the adapter is in the store and on disk, or comes from an item before; or is given, or none is needed */
	char key[65]; /* of the adapter */
	int steps;    /* of training, when not trained */
	size_t n_train, n_dropped, n_inoculated;
	long n_samples, n_have; /* over the evaluations: wanted, and in the store or wanted by an item before */
} inoci_plan_item;
typedef struct {
	inoci_plan_item *v; /* seed by seed, arms in the file's order */
	size_t n;
	const struct inoci_choice *choices; /* (n_arms): records that get the prompt (traits.h); n 0: it has no condition */
	char *store_path;
} inoci_plan;

typedef struct {
	const char *const *arms;
	size_t n_arms; /* only these; 0: all */
	const uint64_t *seeds;
	size_t n_seeds; /* instead of the experiment's; 0: those */
	bool dry_run;   /* only on_plan is called; nothing is written */
	bool fresh;     /* the store and the adapters are set aside first (store.db.old-TIMESTAMP) */
	double wait_s;
	const char *store; /* its file, instead of E->out/store.db */
	bool scratch;      /* instead: a store in memory, gone when inoci_run returns */
	/* What was typed, where that is no `inoc run FILE`: recorded. The experiment then has no file, and an experiment of the
	 * same name that has one is not replaced (INOC_E_USAGE). */
	const char *const *command;
	size_t n_command;
	inoci_ops *ops; /* borrowed; NULL: opened from the experiment's dtype and threads */
	/* Called once, before anything is computed. May be NULL. */
	int (*on_plan)(void *ctx, const inoci_experiment *e, const inoci_plan *p, inoc_err *err);
	/* After each seed that is complete, and once at the end with seed = UINT64_MAX. May be NULL. */
	int (*on_seed)(void *ctx, const inoci_experiment *e, inoci_store *s, uint64_t seed, inoc_err *err);
	void *ctx;
	const inoci_progress *progress;
} inoci_run_options;
/* Trains, samples and scores what is not yet in the store at E->out/store.db. INOC_E_STOPPED when stopped: what is finished is
 * kept, the checkpoint written, and the same call goes on from there. */
INOCI_MUST int inoci_run(const inoci_experiment *e, const char *model_path, const inoci_run_options *o, inoc_err *err);

/* ---- samples made elsewhere (docs/import.md) ---- */

typedef struct {
	const char *name; /* of the experiment */
	/* For all records; NULL: by the fields. */
	const char *arm, *evaluation;
	int64_t seed; /* of records that say none */
	/* Fields of a record, "a.b" inside an object, "a|b" the first that is there; NULL: the usual ones. */
	const char *arm_field, *evaluation_field, *seed_field, *question_field, *answer_field, *system_field;
	const char *const *sets; /* overrides of the experiment that is made: roles, scorers, traits */
	size_t n_sets;
	const char *const *command;
	size_t n_command; /* what was typed: recorded */
	double wait_s;
	const inoci_progress *progress;
} inoci_import_options;
typedef struct {
	size_t n_samples, n_unanswered; /* taken; requests that have no answer, left out */
	size_t n_named_seeds;           /* seeds that are names, which were counted instead */
	size_t n_arms, n_evals, n_seeds;
	bool added; /* to an experiment that was there */
} inoci_imported;
/* Reads all files, then writes all samples and the experiment in one transaction, then scores. An experiment of that name that
 * was imported before is added to: of an arm, seed and evaluation that come again the new samples take the place. A bad record:
 * INOC_E_FORMAT "FILE:LINE: ...", and nothing is written. The name of an experiment that was run: INOC_E_USAGE. */
INOCI_MUST int inoci_import_samples(const char *store, const char *const *files, size_t n_files, const inoci_import_options *o,
                                    inoci_imported *out, inoc_err *err);

/* ---- why it works (docs/analyse.md) ---- */

enum { INOCI_PART_SURPRISE = 1, INOCI_PART_GRADIENTS = 2, INOCI_PART_UPDATES = 4, INOCI_PART_ALL = 7 };
typedef struct {
	unsigned parts;            /* 0: all */
	int n_records, n_controls; /* training records of `surprise` (0: 100), neutral texts for each prompt (0: 3) */
	int n_gradient_records, n_gradient_seeds; /* 0: 48, and all of the experiment's seeds */
	double wait_s;
	inoci_ops *ops; /* borrowed; NULL: opened from the experiment's dtype and threads */
	const inoci_progress *progress;
} inoci_analyse_options;
/* Measures of the experiment, as the store has it, what is not yet there. Its data files must be where they were. */
INOCI_MUST int inoci_analyse(const inoci_experiment *e, const char *store_path, const char *model_path,
                             const inoci_analyse_options *o, inoc_err *err);

typedef struct {
	size_t n; /* training records; 0: not measured */
	double gain,
	        control; /* log-probability of the responses with the prompt - without, nats a byte; of neutral texts' mean */
	double removed, low, high; /* gain - control: the surprise that the prompt removes; its 95 % interval over records */
	const double *contrast; /* (n_directions): log-probability per byte, `toward` - `from`, with the prompt - neutral texts */
	size_t n_controls;
	const char *const *controls;
} inoci_result_surprise;
typedef struct {
	size_t n; /* training records; 0: not measured */
	/* Of the mean loss per token at step 0, for full weights (inoci_adapter_grad_dot): norms with the arm's prompt (NaN: it
	 * has none) and without, their cosine; cosine of minus the gradient with each direction (n_directions). */
	double with, without, same;
	const double *toward_with, *toward_without;
} inoci_result_gradient;
typedef struct {
	int n_layers;       /* 0: not measured */
	const double *norm; /* (n_layers, INOCI_N_PROJ): Frobenius norm of the change; NaN: no target */
} inoci_result_update;
typedef struct {
	int arm, seed, set; /* indices; set: of the experiment's curves */
	bool prompt;        /* with the arm's own */
	size_t n;           /* in order of step */
	const int *step;
	const double *logprob; /* nats per byte of the responses */
} inoci_result_curve;
typedef struct {
	bool any;
	inoci_result_surprise *surprise;  /* (n_arms) */
	inoci_result_gradient *gradients; /* (n_arms, n_seeds) */
	inoci_result_update *updates;     /* (n_arms, n_seeds) */
	inoci_result_curve *curves;
	size_t n_curves;
} inoci_analysis;
/* The norm over all targets, of one projection (layer -1) or of one layer (proj -1), or all (both -1). */
double inoci_update_norm(const inoci_result_update *u, int layer, int proj);

/* ---- reading results ---- */

typedef struct {
	int64_t id;        /* of the sample in the store; equal ids are the same sample (base, greedy, in every seed) */
	int seed;          /* index in results->seeds */
	int prompt, index; /* prompt's number in the evaluation, sample's number for it */
	const char *question, *rendered; /* last user turn; exact rendered prompt */
	const char *text;
	size_t text_n; /* the response; NUL behind */
	inoci_finish finish;
	int n_tokens;
	double logprob;        /* sum over the tokens, natural logarithm; mean = / n_tokens */
	const float *logprobs; /* (n_tokens) or NULL when not loaded */
	double *score;         /* (results->n_scorers); NaN: missing or not scored. A scorer with `change`: the difference */
} inoci_result_sample;

/* One (arm, evaluation): samples of all seeds, ordered by seed, prompt, index. */
typedef struct {
	inoci_result_sample *v;
	size_t n;
	int n_prompts; /* highest prompt number + 1 */
} inoci_result_cell;

typedef struct {
	bool present;
	char *key, *hash,
	        *dir; /* content key of the recipe, hash of the adapter's bytes, folder; dir NULL when not trained here */
	int steps;
	bool early_stopped;
	int saved_step;  /* whose parameters were kept: the best one's with patience, else the last */
	double val_loss; /* at that step; NaN: not measured */
	double seconds, final_loss;
	long tokens;
	size_t n_train, n_val, n_dropped, n_inoculated;
	char *first_text; /* the first training record as rendered; NULL when not trained here */
	char *config;     /* JSON of the recipe; NULL when not trained here */
	inoci_metric *metrics;
	size_t n_metrics; /* in order of step */
} inoci_result_adapter;

typedef struct {
	char *started, *ended;                                       /* ISO UTC; ended NULL: not finished */
	char *status;                                                /* "done", "running", "stopped", "failed" */
	char *model_path, *model_hash, *template_name, *dtype, *ops; /* ops: inoci_ops_describe */
	char *version;                                               /* of inoc */
	int numerics;
	/* JSON; NULL in stores from before. request: {"file" or "command","text_sha256","sets","arms"?,"seeds"?,"folder"?} (arms,
	 * seeds: only when given). provenance: {"files":[{"use","path","sha256"}],"versions":{NAME: TEXT},"machine"}. */
	char *request, *provenance;
} inoci_result_run;

/* Intervals of shares and means: two-way bootstrap over seeds and prompts, or the papers' own over runs. */
typedef enum { INOCI_CI_TWO_WAY, INOCI_CI_PAPER } inoci_ci;

typedef struct {
	const inoci_experiment *e; /* borrowed: must outlive this */
	inoci_ci ci; /* to be set before inoci_summary_new; what is concluded (verdicts, differences, ratios) stays two-way */
	uint64_t *seeds;
	int n_seeds; /* that have results, ascending */
	char **scorers;
	int n_scorers; /* the experiment's in order, then those added by `inoc score` */
	char **on; /* (n_scorers): the evaluations each says something of, as in inoci_scorer_spec; NULL: all, or none has any */
	inoci_checked *checked; /* (n_scorers): n_judges 0: a rule, or of `inoc score`; NULL: all are */
	bool *real;             /* (n_scorers): any numbers, not shares; NULL: none. Use inoci_results_real */
	bool *by_seed; /* (n_scorers): less a trained arm's value, so that an untrained arm's differs by seed; NULL: none */
	inoci_result_cell *cells;       /* (n_arms, n_evals): use inoci_results_cell */
	inoci_result_adapter *adapters; /* (n_arms, n_seeds) */
	inoci_result_run *runs;
	size_t n_runs; /* in order of time */
	char *store_path;
	struct inoci_choice *choices; /* (n_arms): as in inoci_plan, of the last run; `chosen` is NULL */
	struct inoci_miss *misses;    /* why judges gave no score (traits.h) */
	size_t n_misses;
	inoci_analysis analysis;
	void *arena; /* owns the texts */
} inoci_results;
enum { INOCI_LOAD_LOGPROBS = 1 };
INOCI_MUST int inoci_results_load(inoci_store *s, const inoci_experiment *e, unsigned flags, inoci_results **out, inoc_err *err);
void inoci_results_free(inoci_results *r);
const inoci_result_cell *inoci_results_cell(const inoci_results *r, int arm, int eval);
const inoci_result_adapter *inoci_results_adapter(const inoci_results *r, int arm, int seed);
int inoci_results_scorer(const inoci_results *r, const char *name);    /* index, or -1 */
bool inoci_results_real(const inoci_results *r, int scorer);           /* gives any numbers, not shares; -1: does any scorer? */
bool inoci_results_fits(const inoci_results *r, int scorer, int eval); /* false: no score there, and none is missing */
/* Scores of (arm, evaluation) for statistics; the sum of n scorers (indices), NaN where one is missing. seed: index, or -1 for
 * all. An arm that is not trained is seedless (by_seed apart), and its repeated samples (greedy) count once; none where a
 * scorer says nothing of the evaluation. Free with inoci_scores_free. */
inoci_scores inoci_results_scores(const inoci_results *r, int arm, int eval, const int *scorers, int n, int seed);
void inoci_scores_free(inoci_scores *s);
/* Their mean with the interval that r->ci asks for. */
inoci_estimate inoci_results_mean(const inoci_results *r, const inoci_scores *s, uint64_t rng_seed, int n_boot);

/* ---- what is concluded ---- */

typedef struct {
	inoci_estimate all;   /* n 0: nothing there */
	inoci_estimate *seed; /* (n_seeds) */
} inoci_rate;
typedef struct {
	int control;              /* arm */
	inoci_comparison u, goal; /* arm - control; goal.diff.n is 0 when the trait has no goal. p after Holm; of u as drawn where
	                             the arm is a control itself */
} inoci_vs_control;
/* U of an arm in the training data's domain and outside it, and less that of plain; more: outside less inside, p after Holm
 * over the arms that are no controls. n 0: not asked for, or no answers. */
typedef struct {
	inoci_estimate inside, outside;
	inoci_comparison less_inside, less_outside, more;
} inoci_generalisation;
/* One (trait, arm), on the headline evaluation. */
typedef struct {
	int trait, arm;
	inoci_verdict_out v;    /* of U: verdict and reason, estimates, suppression, retention, selectivity (NaN: undefined) */
	char *undefined;        /* why suppression or retention is undefined; NULL when both are defined */
	inoci_estimate w, goal; /* of this arm; goal.n is 0 when the trait has none */
	inoci_comparison goal_plain; /* arm - plain; p after Holm over all comparisons of goals */
	inoci_vs_control *vs;
	size_t n_vs;
	inoci_generalisation general;
} inoci_judgement;
/* An expectation and how it came out; without scores it is not met. */
typedef struct {
	bool met;
	inoci_estimate estimate; /* two-way, whatever r->ci; of a verdict U */
	char *text; /* "spanish, none, english_caps: 0.48 [0.4, 0.56], n 360, 3 seeds; expected the value above 0.3" */
} inoci_met;
/* One cell of the leakage grid: the unwanted trait of one arm under one system prompt. */
typedef struct {
	int trait, arm, row;
	inoci_estimate u;
	inoci_comparison vs_none; /* of an inoculated arm: minus its own share without a system prompt; p after Holm over the
	                           * trait's cells. diff.n 0: not compared */
	bool back;                /* clearly above it: adjusted p under 0.05 and the interval above 0 */
} inoci_leak;
typedef struct {
	const inoci_results *r; /* borrowed */
	inoci_rate *rates;      /* (n_arms, n_evals, n_scorers): use inoci_summary_rate */
	inoci_judgement *judgements;
	size_t n_judgements; /* trait by trait: arms that are judged on it */
	int headline;        /* evaluation */
	inoci_met *met;
	size_t n_met; /* the experiment's expectations */
	inoci_leak *leaks;
	size_t n_leaks;                   /* trait by trait, row by row, arm by arm; only what has answers */
	struct inoci_plane_point *points; /* traits.h */
	size_t n_points;                  /* plane by plane, panel by panel, arm by arm; only what has both scores */
} inoci_summary;
/* n_boot: resamples; 0: 10000. */
INOCI_MUST int inoci_summary_new(const inoci_results *r, int n_boot, inoci_summary **out, inoc_err *err);
void inoci_summary_free(inoci_summary *s);
size_t inoci_summary_unmet(const inoci_summary *s); /* expectations that are not met */
const inoci_rate *inoci_summary_rate(const inoci_summary *s, int arm, int eval, int scorer);

#endif
