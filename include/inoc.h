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

/* ---- data and experiments ---- */

/* Reads chat records (JSON Lines of {"messages": [...]}), puts a system turn with `text` before each (replacing one that is
 * there), writes them to `out`. */
int inoc_inoculate(const char *in, const char *text, const char *out, inoc_err *err);

/* Runs an experiment file as `inoc run` does: trains, samples, scores, writes report.html and results.csv into its output
 * folder. What is in its store is not done again. model: path of the GGUF file. note (may be NULL) is told what happens. */
int inoc_experiment_run(const char *file, const char *model, void (*note)(void *ctx, const char *line), void *ctx, inoc_err *err);

#ifdef __cplusplus
}
#endif
#endif
