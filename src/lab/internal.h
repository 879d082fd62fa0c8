/* lab's inside: the YAML tree and its schema tables, and the store's statements. */
#ifndef INOCI_LAB_INTERNAL_H
#define INOCI_LAB_INTERNAL_H

#include <sqlite3.h>

#include "lab/lab.h"
#include "lab/traits.h"

/* ---- YAML: a tree with marks, and schema tables over it ---- */

typedef enum { YN_NULL, YN_SCALAR, YN_SEQ, YN_MAP } inoci_ykind;
typedef struct inoci_ynode inoci_ynode;
struct inoci_ynode {
	inoci_ykind kind;
	bool quoted;       /* a scalar in quotes or a block: always a string */
	bool made;         /* by an expansion (grid.c, sweep.c): a name that no file could hold */
	const char *where; /* "FILE:LINE:COL", or "--set a.b=value" */
	int line;
	const char *s;       /* scalar: its text, NUL-terminated; without NULs inside */
	inoci_ynode **items; /* of a sequence, or the values of a mapping */
	inoci_ynode **keys;  /* of a mapping: scalars */
	size_t n;
};
#define YAML_MAX_BYTES (1u << 20)
#define YAML_MAX_NODES 20000 /* with every alias written out */
#define YAML_MAX_DEPTH 24
#define YAML_MAX_NAMED 200 /* arms, evaluations */

/* One document; everything lives in the arena. An empty document is an error. */
INOCI_MUST int inoci_yaml_parse(const char *path, const char *text, size_t n, inoci_arena *a, inoci_ynode **out, inoc_err *err);
/* Applies "a.b=VALUE" to the tree: replaces or adds; mappings on the way are made where missing. */
INOCI_MUST int inoci_yaml_set(inoci_ynode *root, const char *set, inoci_arena *a, inoc_err *err);
inoci_ynode *inoci_yaml_get(const inoci_ynode *map, const char *key); /* NULL when absent or null */
/* "WHERE: message" */
int inoci_yaml_err(const inoci_ynode *n, inoc_err *err, const char *fmt, ...) INOCI_PRINTF(3, 4);
/* The tree as JSON, plain scalars typed by YAML's core schema. New reference. */
json_t *inoci_yaml_json(const inoci_ynode *n);

typedef enum {
	Y_STR,    /* char *: any scalar; freed before it is replaced */
	Y_NAME,   /* char *: [A-Za-z0-9_-], a letter or digit first */
	Y_BOOL,   /* bool */
	Y_INT,    /* int, min..max */
	Y_DBL,    /* double, min..max */
	Y_FLT,    /* float, min..max */
	Y_ENUM,   /* int: index in `names` */
	Y_CHOICE, /* char *: one of `names` */
	Y_STRS,   /* char **, its count at offset2: a list of strings, or one */
	Y_CALL    /* call(node, dst): dst is the whole structure */
} inoci_ytype;
typedef int inoci_ycall(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err);
typedef struct {
	const char *key;
	inoci_ytype type;
	bool required;
	size_t offset, offset2;
	double min, max;
	const char *const *names; /* NULL-terminated */
	inoci_ycall *call;
} inoci_ykey;
/* Checks a mapping against the table (`what` names it in messages: "arms.spanish") and fills dst, in the table's order. */
INOCI_MUST int inoci_yaml_fill(const inoci_ynode *map, const char *what, const inoci_ykey *keys, size_t n_keys, void *dst,
                               void *ctx, inoc_err *err);
/* Is it a mapping of 1 to max user-named things? */
INOCI_MUST int inoci_yaml_each_named(const inoci_ynode *n, const char *what, size_t max, inoc_err *err);
INOCI_MUST int inoci_yaml_name(const inoci_ynode *n, const char *what, inoc_err *err);
INOCI_MUST int inoci_yaml_dbl(const inoci_ynode *n, const char *what, double min, double max, double *out, inoc_err *err);
INOCI_MUST int inoci_yaml_int(const inoci_ynode *n, const char *what, double min, double max, int64_t *out, inoc_err *err);

/* What the schema's calls get as ctx. */
typedef struct {
	inoci_experiment *e;
	const char *what; /* of the mapping being read: "arms.spanish" */
	inoci_ynode *root;
	inoci_arena *arena; /* of the tree */
} inoci_yreader;
/* Takes `on`, the names of evaluations that a scorer is for, out of its settings: ",a,b,"; NULL where it is for all. free() it.
 */
INOCI_MUST int inoci_scorer_take_on(json_t *settings, char **on, inoc_err *err);
/* checked.c. The key `checked` of a scorer, taken out of its settings; its paths as they are given. */
INOCI_MUST int inoci_scorer_take_checked(json_t *settings, inoci_scorer_spec *x, inoc_err *err);
/* Reads the files and keeps what they say for the report, in place of what was kept of the experiment before; and fills
 * r->checked. */
INOCI_MUST int inoci_checks_record(inoci_store *s, const inoci_experiment *e, const inoci_scorer_env *env, inoc_err *err);
INOCI_MUST int inoci_checks_load(inoci_store *s, inoci_results *r, inoc_err *err);
/* presets.c: a list entry {type: judges, preset: NAME, ...} of `scorers` becomes the four that it stands for, in the tree. */
INOCI_MUST int inoci_judges_expand(inoci_ynode *scorers, inoci_arena *a, inoc_err *err);
/* The keys `preset` and `for` of an evaluation: temperature, limit and n where the file gives none. */
INOCI_MUST int inoci_evaluation_preset(inoci_evaluation *v, const inoci_ynode *at, inoc_err *err);
/* Scorers that give any number: not in bars, alone in a trait's sums; a trait's are for the headline. After those are read. */
INOCI_MUST int inoci_experiment_check_scorers(const inoci_experiment *e, const inoci_ynode *root, inoc_err *err);
/* expect.c: the list `expect`, after all else is read; NULL: none. And how it came out, when the judgements are there. */
INOCI_MUST int inoci_expect_read(inoci_experiment *e, const inoci_ynode *n, inoc_err *err);
void inoci_expect_check(inoci_summary *s, uint64_t rng_seed, int n_boot);
/* generalisation.c: {inside: EVALUATION, outside: EVALUATION}; and how each judged arm came out. */
INOCI_MUST int inoci_generalisation_read(const inoci_ynode *n, void *experiment, void *reader, inoc_err *err);
void inoci_generalise(inoci_summary *s, uint64_t rng_seed, int n_boot);
/* plane.c: `planes`, after all else is read; NULL: none. And where each arm lies in them. */
INOCI_MUST int inoci_planes_read(inoci_ynode *n, inoci_yreader *rd, inoc_err *err);
void inoci_planes_free(inoci_experiment *e);
void inoci_planes_fill(inoci_summary *s, uint64_t rng_seed, int n_boot);
/* Nodes that stand where `at` does. */
inoci_ynode *inoci_yaml_text(inoci_arena *a, const inoci_ynode *at, const char *s); /* a scalar in quotes */
inoci_ynode *inoci_yaml_map(inoci_arena *a, const inoci_ynode *at, const inoci_ynode *copy /* its entries; NULL: empty */);
/* Replaces or adds an entry; a value that stands elsewhere may be shared. */
void inoci_yaml_put(inoci_arena *a, inoci_ynode *map, const char *key, inoci_ynode *value);

/* Expansions: each a key of the file that adds arms or evaluations before, or after, these are read. */
INOCI_MUST int inoci_sweep_read(const inoci_ynode *n, void *experiment, void *reader, inoc_err *err);
void inoci_sweep_mark(const inoci_experiment *e, inoci_arm *a); /* a variant's fields, from its name */
INOCI_MUST int inoci_controls_read(const inoci_ynode *n, void *experiment, void *reader, inoc_err *err);
INOCI_MUST int inoci_controls_add(inoci_experiment *e, const inoci_ynode *root, inoc_err *err);
INOCI_MUST int inoci_grid_read(const inoci_ynode *n, void *experiment, void *reader, inoc_err *err);
/* The name of the evaluation that this one of the grid is like: it is scored as that one; or its own. */
const char *inoci_experiment_like(const inoci_experiment *e, const char *eval);
void inoci_grid_resolve(inoci_experiment *e); /* the rows' evaluations, when these are read */
void inoci_expansions_free(inoci_experiment *e);
void inoci_note_pools(inoci_experiment *e);
void inoci_short_apply(inoci_experiment *e); /* the key `short`, when all but the defaults is read */
void inoci_experiment_note(inoci_experiment *e, const char *fmt, ...) INOCI_PRINTF(2, 3);
bool inoci_recipe_numeric(const char *key);
double inoci_recipe_value(const inoci_recipe *r, const char *key);
/* The names of the numeric keys, with ", ". free() it. */
char *inoci_recipe_numerics(void);
/* A path of the file, relative to its folder; one that --set gave (`at`, may be NULL) and that is not there stays as it is when
 * it is there from where the program was started. */
void inoci_experiment_resolve(const inoci_experiment *e, const inoci_ynode *at, char **path);
INOCI_MUST int inoci_recipe_read(const inoci_ynode *n, const char *what, inoci_recipe *r, inoci_yreader *rd, inoc_err *err);
inoci_recipe inoci_recipe_copy(const inoci_recipe *r);
void inoci_strings_free(char **v, size_t n);

/* when.c: the key `when` of an arm's inoculate, whose scorer is found once all is read. */
inoci_ycall inoci_when_read;
INOCI_MUST int inoci_whens_resolve(inoci_experiment *e, const inoci_ynode *root, inoc_err *err);
inoci_when *inoci_when_copy(const inoci_when *w); /* NULL: NULL */

/* evaluation.c: the key `evaluations` (an inoci_ycall) */
INOCI_MUST int inoci_evaluations_read(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err);
void inoci_evaluation_free(inoci_evaluation *v);
/* Those of the evaluations `on` that the scorer says something of: ",a,b,"; "," none, NULL all of the experiment's. free() it. */
char *inoci_experiment_fitting(const inoci_experiment *e, const inoci_scorer *s, const char *on);
/* Number of the only arm of that role, swept ones apart; -1: none, or several. */
int inoci_experiment_only(const inoci_experiment *e, const char *role);
/* Number of the arm that its option `change` names, by name or as the only one of role base; -1: none, or it is not there. */
int inoci_experiment_change(const inoci_experiment *e, const inoci_scorer *s);
/* Once all is read: which evaluations each scorer says something of. None, or not those asked for, or no base where it asks for
 * one: an error at the scorer. */
INOCI_MUST int inoci_experiment_fit_scorers(inoci_experiment *e, const inoci_ynode *root, inoc_err *err);

/* curves.c: `curves` and `directions` of the file, `eval_at` of a recipe; what one key's table cannot say. */
enum { INOCI_MAX_CURVES = 12 };
inoci_ycall inoci_curves_read, inoci_directions_read, inoci_eval_at_read;
INOCI_MUST int inoci_curves_check(const inoci_experiment *e, const inoci_ynode *root, inoc_err *err);
void inoci_curves_free(inoci_experiment *e);
/* Its records, each with the response as its last turn. */
INOCI_MUST int inoci_curve_set_open(const inoci_curve_set *c, inoci_dataset *out, inoc_err *err);

/* ---- the store ---- */

struct inoci_store {
	sqlite3 *db;
	char *path;
	inoci_lock *lock; /* NULL: read only */
	int schema;       /* of the file: STORE_SCHEMA, or an older one that is read as it is */
	bool in_tx;
	double tx_began;
};
/* 2: run.request and run.provenance; 3: prompt.item, scorer_name.evaluations, judged, curves and analyses. An older store is read
 * without them, and gets them when it is opened to write. */
#define STORE_SCHEMA 3

/* Prepares, binds by the letters of `types` (i: int64_t, d: double with NaN as null, s: const char * with NULL as null, b: const
 * void * and size_t), and leaves the statement for stepping. */
INOCI_MUST int inoci_store_query(inoci_store *s, sqlite3_stmt **out, inoc_err *err, const char *sql, const char *types, ...);
/* 1: a row, 0: the end, negative: an error. */
INOCI_MUST int inoci_store_step(inoci_store *s, sqlite3_stmt *st, inoc_err *err);
/* The same, run to its end. */
INOCI_MUST int inoci_store_exec(inoci_store *s, inoc_err *err, const char *sql, const char *types, ...);
/* First column of the first row: 1 when there is one, 0 when none. */
INOCI_MUST int inoci_store_int(inoci_store *s, int64_t *out, inoc_err *err, const char *sql, const char *types, ...);
char *inoci_store_col(sqlite3_stmt *st, int col); /* a copy, or NULL; free() it */
INOCI_MUST int inoci_store_begin(inoci_store *s, inoc_err *err);
INOCI_MUST int inoci_store_commit(inoci_store *s, inoc_err *err);
void inoci_store_rollback(inoci_store *s);
/* INOC_E_STORE with SQLite's message. */
int inoci_store_fail(inoci_store *s, inoc_err *err, const char *doing);

/* An empty store that no file holds. */
INOCI_MUST int inoci_store_scratch(inoci_store **out, inoc_err *err);
/* INOC_E_USAGE with the names that there are. */
int inoci_store_no_experiment(inoci_store *s, const char *name, inoc_err *err);

/* Renames the store and the adapters beside it to *.old-TIME, under the lock. */
INOCI_MUST int inoci_store_set_aside(const char *path, double wait_s, const inoci_progress *p, inoc_err *err);

/* judged.c: the store's table `judged` as the memory of judges; none of a scratch store, which is gone at the end. */
inoci_judge_memory inoci_store_memory(inoci_store *s);
/* judged.c: the experiment's `judge` put under every judge in settings, which keep what they give themselves. */
INOCI_MUST int inoci_experiment_read_judge(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err);
void inoci_experiment_judge_under(const inoci_experiment *e, json_t *settings);

/* Row of a scorer by its key, made when missing; and its name in the experiment. env outlives the scorer. */
INOCI_MUST int inoci_store_scorer(inoci_store *s, const char *experiment, const char *name, json_t *settings, int position,
                                  const inoci_scorer_env *env, inoci_scorer **scorer, int64_t *id, inoc_err *err);
/* Scores what this scorer has not: samples linked to the experiment (NULL: all), of the evaluations `on` (",a,b,"; NULL: all). */
INOCI_MUST int inoci_store_score_missing(inoci_store *s, const char *experiment, inoci_scorer *scorer, int64_t scorer_id,
                                         const char *on, const inoci_progress *p, long *n_new, inoc_err *err);

/* ---- prompts of an evaluation, as rendered for an arm ---- */

/* What is measured behind a prompt (measure.c). */
typedef struct {
	inoci_measured m; /* names and texts; its numbers come when it is measured */
	inoci_i32s *tail; /* (m.n): a text's tokens and the end of the turn */
	inoci_hash hash;  /* of all that */
} inoci_lab_texts;
typedef struct {
	int32_t *ids;
	int n;
	uint64_t key;    /* of its random numbers */
	inoci_hash hash; /* of ids and item */
	char *question, *text;
	char *item;             /* the record's own fields, JSON; NULL: none */
	inoci_lab_texts *texts; /* NULL: it is sampled */
} inoci_lab_prompt;
typedef struct {
	inoci_lab_prompt *v;
	size_t n;
} inoci_lab_prompts;
INOCI_MUST int inoci_prepare_prompts(const inoci_template *t, const inoci_dataset *d, const inoci_experiment *e,
                                     const inoci_arm *arm, const inoci_evaluation *ev, uint64_t seed, int context,
                                     inoci_lab_prompts *out, inoc_err *err);
void inoci_lab_prompts_free(inoci_lab_prompts *p);
/* What the evaluation measures of a record; a field that is missing or wrong is INOC_E_FORMAT, without file and line. NULL where
 * it samples. */
INOCI_MUST int inoci_measure_texts(const inoci_template *t, const inoci_evaluation *v, const inoci_record *r,
                                   inoci_lab_texts **out, inoc_err *err);
void inoci_measure_texts_free(inoci_lab_texts *t);
/* Puts the numbers into p's texts (run_measure.c). */
INOCI_MUST int inoci_measure_prompt(inoci_model *m, inoci_adapter *a, const inoci_lab_prompt *p, inoc_err *err);
/* The record as it is asked: a choice's options are put behind its question where they are to be shown. A new record. */
inoci_record inoci_measure_asked(const inoci_evaluation *v, const inoci_record *r, const inoci_lab_texts *t);

/* ---- import_read.c: samples made elsewhere ---- */

typedef struct {
	char *arm, *evaluation; /* as the records name them */
	int64_t seed;
	int index; /* -1: counted */
	char *system, *question, *prompt /* all messages, JSON */, *same /* those without the system turn: the same question */;
	char *item, *answer;
	inoci_finish finish;
	int n_tokens; /* 0: not known */
} inoci_import_sample;
typedef struct {
	const inoci_import_options *o;
	struct {
		char *place; /* "FILE:LINE" */
		json_t *o;
	} * raw; /* records that wait for all files: a request may stand in another one than its answer */
	size_t n_raw;
	json_t *requests;            /* of the Batch API, by custom_id */
	json_t *seeds, *seed_counts; /* of arm and name; how many an arm has */
	inoci_import_sample *v;
	size_t n, cap, n_unanswered, n_named_seeds;
	bool csv_header;
} inoci_import;
INOCI_MUST int inoci_import_file(inoci_import *im, const char *path, inoc_err *err);
/* The same from bytes; the path is for messages and says the format by its end. */
INOCI_MUST int inoci_import_bytes(inoci_import *im, const char *path, const char *text, size_t n, inoc_err *err);
INOCI_MUST int inoci_import_inspect(inoci_import *im, const char *place, const json_t *log, json_t *sample, inoc_err *err);
/* import_packed.c: a log of Inspect as a ZIP archive, from bytes. */
INOCI_MUST int inoci_import_packed(inoci_import *im, const char *path, const char *bytes, size_t n, inoc_err *err);
INOCI_MUST int inoci_import_records(inoci_import *im, inoc_err *err); /* when all files are read */
void inoci_import_sample_free(inoci_import_sample *s);
void inoci_import_free(inoci_import *im); /* what it holds */

/* runner.c: every sample of the experiment by its scorers, and by those that `inoc score` added. */
INOCI_MUST int inoci_score_all(inoci_store *s, const inoci_experiment *e, const inoci_scorer_env *env, const inoci_progress *p,
                               inoc_err *err);
/* summary.c: the sum of scorers, by name. */
inoci_scores inoci_results_sum(const inoci_results *r, int arm, int eval, char *const *names, size_t n);
/* leakage.c: fills s->leaks. */
void inoci_leakage(inoci_summary *s, uint64_t rng_seed, int n_boot);

/* ---- a run ---- */

typedef struct {
	inoci_dataset *v;
	size_t n;
} inoci_datasets;

typedef enum { INOCI_WORK_STEPS, INOCI_WORK_SAMPLES } inoci_work;
/* How far a run is over all its parts (overall.c). */
typedef struct {
	const inoci_progress *outer; /* may be NULL */
	inoci_progress own;          /* tells outer, with the whole run's share in the detail */
	double total[2], done[2];    /* by inoci_work: planned, and in finished parts */
	double units[2], seconds[2]; /* timed in finished parts */
	bool active;                 /* a part is running: */
	inoci_work kind;
	double began, last, first, now_done; /* its time, and its count when it began (-1: not known yet) and now */
} inoci_overall;
/* Sums up the plan. Keep o where it is: its progress refers to it. */
void inoci_overall_init(inoci_overall *o, const inoci_plan *p, const inoci_progress *outer);
void inoci_overall_begin(inoci_overall *o, inoci_work kind, double now);
void inoci_overall_tick(inoci_overall *o, double done, double now);
void inoci_overall_end(inoci_overall *o, double planned); /* planned: units of the plan that this part stood for */
/* "whole run 12 %, about 5 min left"; "" when there is nothing to do. */
void inoci_overall_text(const inoci_overall *o, char *s, size_t cap);

typedef struct {
	inoci_hash file, content; /* of the tensors' file; of that and the configuration */
} inoci_given;

typedef struct {
	const inoci_experiment *e;
	const inoci_run_options *o;
	const char *model_path;
	char *store_path;
	inoci_store *store; /* NULL in a dry run without one */
	inoci_ops *ops;
	bool own_ops;
	/* what planning needs of the model; the weights are packed only when something is computed */
	inoci_gguf *gguf;
	inoci_tokenizer *tok;
	inoci_template *tmpl;
	inoci_hparams hp;
	inoci_hash model_hash; /* not taken of a scratch run, which keeps no keys */
	inoci_model *model;
	inoci_datasets train, prompts; /* by path, each read once */
	struct {
		bool known;
		inoci_hash train, val;
		inoci_plan_item item;
	} * fixed;             /* (n_arms): what is the same for every seed */
	inoci_given *given;    /* (n_arms): of arms with a given adapter */
	inoci_scorer_env env;  /* of the scorers */
	inoci_dataset *curves; /* (n_curves) */
	inoci_choice *choices; /* (n_arms): which records get the prompt; all 0 before it is asked for */
	inoci_plan plan;
	inoci_overall overall;
} inoci_run_state;

/* Opens what planning needs, reads all data, refuses an overlap of training and evaluation. */
INOCI_MUST int inoci_run_prepare(inoci_run_state *r, inoc_err *err);
INOCI_MUST int inoci_run_plan(inoci_run_state *r, inoc_err *err);
void inoci_run_notes(const inoci_run_state *r); /* of evaluations that will tell little; after inoci_run_prepare */
/* Before anything is done: programs are there, records have the fields that scorers need. */
INOCI_MUST int inoci_run_check_scorers(const inoci_run_state *r, inoc_err *err);
void inoci_run_state_free(inoci_run_state *r);
const inoci_dataset *inoci_run_dataset(const inoci_datasets *d, const char *path);
/* run_choose.c: fills r->choices[arm] where the arm has a condition; in a dry run only if that costs nothing. */
INOCI_MUST int inoci_run_choose(inoci_run_state *r, int arm, inoc_err *err);
/* The same of all arms that have results: before a transaction asks for their keys. */
INOCI_MUST int inoci_run_choose_linked(inoci_run_state *r, inoc_err *err);
INOCI_MUST int inoci_run_choices_record(inoci_run_state *r, inoc_err *err);
/* What that wrote, as JSON. */
void inoci_choice_read(const json_t *j, inoci_choice *out);
/* Examples of (arm, seed), when it is chosen which records get the prompt. */
INOCI_MUST int inoci_run_examples(const inoci_run_state *r, int arm, uint64_t seed, inoci_prepared *out, inoc_err *err);
/* The model, and how it computes: part of the key of what is measured with it. */
void inoci_run_hash_env(const inoci_run_state *r, inoci_hasher *h);
/* Fills item->key, counts and steps. */
INOCI_MUST int inoci_run_key(inoci_run_state *r, int arm, uint64_t seed, inoci_plan_item *item, inoc_err *err);
/* Keys of all samples of an evaluation, (n_prompts * n), prompt by prompt; and one over all of them. */
typedef struct {
	inoci_lab_prompts prompts;
	inoci_hash *key;
	int n;
	inoci_hash all;
} inoci_wanted;
INOCI_MUST int inoci_run_wanted(inoci_run_state *r, int arm, int eval, uint64_t seed, const char *adapter_key, inoci_wanted *out,
                                inoc_err *err);
void inoci_wanted_free(inoci_wanted *w);
/* Sample keys that were seen (their first 64 bits): two arms, or two evaluations, may want the same samples. Free v. */
typedef struct {
	uint64_t *v;
	size_t n, cap;
} inoci_key_set;
bool inoci_key_set_add(inoci_key_set *s, const inoci_hash *h); /* false: it was there */
/* Examples as they are measured, not trained on. */
typedef struct {
	inoci_examples e;
	long *bytes, n_bytes; /* (e.n) of the responses' text; all */
} inoci_probes;
/* Records `which` (n; NULL: the first n) of d, inoculated by t (NULL: not). system: for records without a system turn. */
INOCI_MUST int inoci_probes_make(const inoci_run_state *r, const inoci_dataset *d, const int32_t *which, size_t n,
                                 const inoci_inoculation *t, const char *system, const inoci_recipe *recipe, uint64_t seed,
                                 inoci_probes *out, inoc_err *err);
void inoci_probes_free(inoci_probes *m);
/* Bytes of the assistant turns' text (the last one's alone), those of weight 0 left out. */
long inoci_response_bytes(const inoci_record *r, bool last);
/* The arm's inoculation on every record, whatever share or tag it has in training. Borrows from a. */
inoci_inoculation inoci_arm_prompt_always(const inoci_arm *a);

/* run_curves.c */
typedef struct {
	int set;
	bool prompt; /* with the arm's own */
	inoci_probes m;
} inoci_curve_job;
typedef struct {
	inoci_curve_job *v;
	size_t n;
} inoci_curve_jobs;
INOCI_MUST int inoci_run_curves_open(inoci_run_state *r, inoc_err *err); /* reads r->curves */
void inoci_run_curves_close(inoci_run_state *r);
INOCI_MUST int inoci_run_curve_examples(const inoci_run_state *r, int arm, int set, bool prompt, uint64_t seed, inoci_probes *out,
                                        inoc_err *err);
/* What is measured of (arm, seed): nothing without eval_at. */
INOCI_MUST int inoci_curve_jobs_make(const inoci_run_state *r, int arm, uint64_t seed, inoci_curve_jobs *out, inoc_err *err);
void inoci_curve_jobs_free(inoci_curve_jobs *j);
INOCI_MUST int inoci_curve_jobs_run(inoci_run_state *r, const inoci_curve_jobs *jobs, int64_t adapter, inoci_adapter *a, int step,
                                    inoc_err *err);
/* *ok (true beforehand) becomes false when the curves that (arm, seed) is to have are not all there. */
INOCI_MUST int inoci_run_curves_ok(inoci_run_state *r, int arm, uint64_t seed, const char *key, bool *ok, inoc_err *err);
INOCI_MUST int inoci_run_curves_link(inoci_run_state *r, const inoci_plan_item *item, int64_t adapter, inoc_err *err);

/* neutral.c: up to n texts about nothing in particular, as long in tokens as the texts (n_texts; their mean), in capitals where
 * these are; returns how many. free() each. */
size_t inoci_neutral_texts(const inoci_tokenizer *tok, char *const *texts, size_t n_texts, size_t n, char **out);
/* missing.c: fills r->misses. ids (n_scorers): rows of the scorers. */
INOCI_MUST int inoci_misses_load(inoci_store *s, inoci_results *r, const int64_t *ids, inoc_err *err);
/* analysis.c: fills r->analysis, whose memory is r's. */
INOCI_MUST int inoci_analysis_load(inoci_store *s, inoci_results *r, inoc_err *err);

/* Whether the adapter's folder holds what the store says. */
INOCI_MUST int inoci_run_adapter_ok(const inoci_run_state *r, const char *key, bool *ok, inoc_err *err);

/* provenance.c: both as JSON, new references */
json_t *inoci_run_request(const inoci_run_state *r);
INOCI_MUST int inoci_run_provenance(const inoci_run_state *r, json_t **out, inoc_err *err);

/* run_record.c */
/* Whether the experiment may have its name; whether a run of it (typed: of this very text) is recorded. */
INOCI_MUST int inoci_record_may(inoci_run_state *r, inoc_err *err);
INOCI_MUST int inoci_record_ran(inoci_run_state *r, bool *out, inoc_err *err);
INOCI_MUST int inoci_record_experiment(inoci_run_state *r, inoc_err *err);
INOCI_MUST int inoci_record_run(inoci_run_state *r, int64_t *id, inoc_err *err);
INOCI_MUST int inoci_record_end(inoci_run_state *r, int64_t id, int code, inoc_err *err);
/* Results under this experiment's name that its file no longer stands for lose their labels; their content stays. */
INOCI_MUST int inoci_record_prune(inoci_run_state *r, inoc_err *err);
INOCI_MUST int inoci_record_unlink_eval(inoci_run_state *r, const char *arm, int64_t seed, const char *eval, inoc_err *err);

/* run_place.c: an adapter's folder, relative to the store's; and the link ARM-seedN to it. */
char *inoci_run_adapter_dir(const char *key);
INOCI_MUST int inoci_run_link(inoci_run_state *r, const inoci_plan_item *item, inoc_err *err);
/* The link goes if it stands for this adapter: another experiment of the store may have an arm of the same name. */
void inoci_run_unlink(const inoci_run_state *r, const char *arm, uint64_t seed, const char *key);

/* run_train.c */
INOCI_MUST int inoci_run_adapter_row(inoci_run_state *r, const inoci_plan_item *item, int64_t *id, inoc_err *err);
INOCI_MUST int inoci_run_need_model(inoci_run_state *r, inoc_err *err);
INOCI_MUST int inoci_run_train(inoci_run_state *r, const inoci_plan_item *item, int64_t id, inoci_adapter **out, inoc_err *err);
INOCI_MUST int inoci_run_load_adapter(inoci_run_state *r, int64_t id, inoci_adapter **out, inoc_err *err);

/* base_model.c: the model that scorers compute with (inoci_scorer_env) */
INOCI_MUST int inoci_run_base_model(void *run, const char *sha256, inoci_model **out, inoc_err *err);
/* Of a store: `given`, or that of one of its runs. */
typedef struct {
	inoci_store *store;
	const char *given;      /* path; NULL: none */
	const char *experiment; /* whose runs; NULL: all */
	const inoci_progress *progress;
	inoci_ops *ops;
	inoci_model *model;
} inoci_base_model;
INOCI_MUST int inoci_base_model_get(void *base_model, const char *sha256, inoci_model **out, inoc_err *err);
void inoci_base_model_close(inoci_base_model *b);

/* given.c: checks and hashes what is given, after the model's shape is known; loads it, if it is still the same. */
INOCI_MUST int inoci_run_read_given(inoci_run_state *r, inoc_err *err);
INOCI_MUST int inoci_run_load_given(inoci_run_state *r, int arm, inoci_adapter **out, inoc_err *err);

/* A row of the store's samples. */
typedef struct {
	const char *key;
	int64_t adapter, prompt;
	int index;
	const char *text;
	size_t text_n;
	inoci_finish finish;
	const int32_t *ids;
	const float *logprob;
	int n; /* of both */
} inoci_new_sample;
/* The statement that inoci_sample_add steps; finalize it. */
INOCI_MUST int inoci_sample_insert(inoci_store *s, sqlite3_stmt **out, inoc_err *err);
/* Within a transaction, which is begun where there is none and committed every second. */
INOCI_MUST int inoci_sample_add(inoci_store *s, sqlite3_stmt *st, const inoci_new_sample *x, inoc_err *err);

/* run_measure.c: measures the n prompts `which` of w, whose rows are prompt_id, and stores the answers. */
INOCI_MUST int inoci_run_measure(inoci_run_state *r, const inoci_wanted *w, const size_t *which, size_t n,
                                 const int64_t *prompt_id, int64_t adapter, inoci_adapter *a, inoc_err *err);

/* run_sample.c: every evaluation of the arm; *a is loaded when it is needed and not there. */
INOCI_MUST int inoci_run_evaluate(inoci_run_state *r, const inoci_plan_item *item, int64_t adapter, inoci_adapter **a,
                                  inoc_err *err);

#endif
