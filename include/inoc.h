/* inoc: inoculation prompting on one's own machine. The public API.
 *
 * Handles are opaque. A function that can fail returns 0 or a negative INOC_E_* code and fills *err (which may be NULL).
 * X_open/X_new pairs with X_free, which takes NULL.
 */
#ifndef INOC_H
#define INOC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define INOC_VERSION "0.1.0"

/* name, code, exit status of the program, meaning */
#define INOC_ERRORS(X)                                                        \
	X(USAGE, -1, 2, "wrong arguments")                                    \
	X(IO, -2, 3, "a file could not be read or written")                   \
	X(FORMAT, -3, 4, "input is not what its format demands")              \
	X(UNSUPPORTED, -4, 5, "a valid input that this version cannot serve") \
	X(MEMORY, -5, 6, "not enough memory")                                 \
	X(LIMIT, -6, 7, "input exceeds a limit, such as the context length")  \
	X(STORE, -7, 8, "the results database failed")                        \
	X(BUSY, -8, 9, "another run holds the store or output folder")        \
	X(EXTERNAL, -9, 10, "a program or service called by inoc failed")     \
	X(CHECK, -10, 1, "a check that was asked for did not pass")           \
	X(STOPPED, -11, 130, "stopped by the user")

enum {
#define X(name, code, status, text) INOC_E_##name = code,
	INOC_ERRORS(X)
#undef X
};

typedef struct inoc_err {
	int code;       /* 0 or INOC_E_* */
	char msg[1024]; /* what is wrong, where, and what to do; one line */
} inoc_err;

/* The version of the library that is linked, "MAJOR.MINOR.PATCH". */
const char *inoc_version(void);
/* "what code means", for a code of INOC_ERRORS. */
const char *inoc_strerror(int code);

/* ---- models and adapters ----
 * One thread of a process at a time may call functions that compute (everything below that takes a model). */

typedef struct inoc_model inoc_model;
typedef struct inoc_adapter inoc_adapter;

/* Opens a GGUF file. dtype: "auto" (bf16 where the CPU multiplies it natively, else f32), "f32", "bf16", or "q" (weights stay in
 * the file's blocks of 4, 5 or 8 bits). threads 0: all. Several models may be open; they share nothing. Errors: INOC_E_IO,
 * _FORMAT, _UNSUPPORTED, _MEMORY, _USAGE. */
int inoc_model_open(const char *path, const char *dtype, int threads, inoc_model **out, inoc_err *err);
/* Free the adapters of a model before it. NULL is fine. */
void inoc_model_free(inoc_model *m);

/* Loads a LoRA adapter in PEFT's layout (DIR/adapter_config.json, DIR/adapter_model.safetensors). It borrows the model. */
int inoc_adapter_load(inoc_model *m, const char *dir, inoc_adapter **out, inoc_err *err);
void inoc_adapter_free(inoc_adapter *a);

typedef struct inoc_sampling {
	double temperature; /* 0: greedy */
	double top_p;       /* 1: off */
	int max_tokens;
	uint64_t seed;
} inoc_sampling;

/* One answer to one question. system: "none", "empty", "default" or the text of a system turn. adapter and s may be NULL
 * (no adapter; temperature 1, 256 tokens, seed 0). *text is the caller's, to free(). */
int inoc_answer(inoc_model *m, inoc_adapter *a, const char *system, const char *user, const inoc_sampling *s, char **text,
                inoc_err *err);

/* Log-probability (nats, summed over the response's tokens and the end-of-turn token) of `response` as the answer to `user`.
 * *n_tokens (may be NULL): how many tokens that is. */
int inoc_logprob(inoc_model *m, inoc_adapter *a, const char *system, const char *user, const char *response, double *sum,
                 int *n_tokens, inoc_err *err);

/* ---- measuring ---- */

/* An answer to be scored; what is NULL is not there. */
typedef struct inoc_response {
	const char *system;  /* of what is measured: as in inoc_answer */
	const char *user;    /* the question */
	const char *text;    /* the answer, taken as ended by the end token */
	const char *item;    /* the evaluation record's own fields, a JSON object: "{\"reference\": \"Paris\"}" */
	const char *measure; /* of scorers that read log-probabilities of given texts: what `inoc eval --measure` takes, a kind or
	                      * the evaluation's keys as JSON; NULL: the kind that the scorer's type is called after */
} inoc_response;

/* Scores one answer (docs/measuring.md). scorer: the name of a built-in one, or its settings as JSON,
 * "{\"type\": \"language\", \"is\": \"es\"}". m and a are what measured scorers (logprob, contrast, choice, candidates) compute
 * with, their texts being fields of the item (`text` is the reference where the item has none); m is the base model of a
 * classifier; for others both may be NULL, as a may always. *value: NaN where the scorer says nothing (missing). `change: base`
 * is not taken off: the value is the model's own. Errors: INOC_E_USAGE (the scorer, or what it needs is not given), _FORMAT (a
 * field of the item), _EXTERNAL (a judge, a command). */
int inoc_score(const char *scorer, const inoc_response *r, inoc_model *m, inoc_adapter *a, double *value, inoc_err *err);

/* Which traits of the library would this data (JSON Lines of {"messages": [...]}) teach the model? *json is what `inoc scan
 * --json` prints (docs/scan.md), the caller's, to free(). options: a JSON object or NULL; its keys are the program's options:
 * "traits" (list of paths), "only" (list of ids), "neutral" (path), "system", "first", "most", "tokens", "top", "screen", "seed".
 * The library is looked for in share/inoc/traits near the program and near libinoc, unless INOC_TRAITS in the environment names
 * it. note (may be NULL) is told what happens. Errors: INOC_E_USAGE (an option), _IO and _FORMAT (files). */
int inoc_scan(inoc_model *m, const char *data, const char *options, void (*note)(void *ctx, const char *line), void *ctx,
              char **json, inoc_err *err);

/* Which of these prompts will inoculate best? *json is what `inoc select --json` prints; the rest as in inoc_scan. Keys of
 * options: "prompts" (list of texts), "trait" (id of one that brings its prompts and scorer), one of the two at least; "traits",
 * "controls" (list of texts), "system", "records", "tokens", "seed"; and to measure elicitation "questions" (path), with "limit",
 * "scorer" (as in inoc_score, or settings as an object), "n", "temperature", "top_p", "max_tokens". */
int inoc_select(inoc_model *m, const char *data, const char *options, void (*note)(void *ctx, const char *line), void *ctx,
                char **json, inoc_err *err);

/* ---- data and experiments ---- */

/* Reads chat records (JSON Lines of {"messages": [...]}), puts a system turn with `text` before each (replacing one that is
 * there), writes them to `out`. */
int inoc_inoculate(const char *in, const char *text, const char *out, inoc_err *err);

/* Runs an experiment file as `inoc run` does: trains, samples, scores, writes report.html and results.csv into its output
 * folder. What is in its store is not done again. model: path of the GGUF file. note (may be NULL) is told what happens. */
int inoc_experiment_run(const char *file, const char *model, void (*note)(void *ctx, const char *line), void *ctx, inoc_err *err);

/* What is in a store, as `inoc report --json` prints it: headline, verdicts, rates with intervals. of: an experiment file, its
 * output folder or a store.db; experiment: its name in a store of several (NULL: the latest). *json is the caller's, to free().
 */
int inoc_report(const char *of, const char *experiment, char **json, inoc_err *err);

#ifdef __cplusplus
}
#endif
#endif
