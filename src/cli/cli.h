/* cli: the program. One file per subcommand, cmd_NAME.c; only here is anything printed or the process ended.
 *
 * Conventions: results go to standard output, progress and notes to standard error; --json prints one JSON object; --help
 * prints the option table. A command returns an INOC_E_* code (or 0) after cli_fail() has printed the error; main turns it
 * into the exit status of INOC_ERRORS.
 */
#ifndef INOCI_CLI_H
#define INOCI_CLI_H

#include "base/base.h"
#include "data/data.h"
#include "lab/lab.h"
#include "lab/traits.h"

/* STR and LIST (may be given several times) are UTF-8 texts; PATH is any bytes but not empty. */
typedef enum { CLI_FLAG, CLI_STR, CLI_PATH, CLI_INT, CLI_DBL, CLI_LIST } cli_type;
typedef struct {
	const char *name; /* "max-tokens": given as --max-tokens */
	char letter;      /* 'o' for -o, or 0 */
	cli_type type;
	void *dst;        /* bool*, const char**, cli_int*, cli_dbl*, cli_list*; its value beforehand is the default */
	const char *meta; /* "N", "FILE"; NULL for flags */
	const char *help;
} cli_opt;
typedef struct {
	long v, low, high; /* cli_parse refuses what is outside; high LONG_MAX: no limit */
} cli_int;
typedef struct {
	double v, low, high;
} cli_dbl;
typedef struct {
	const char **v;
	size_t n;
} cli_list;
typedef struct {
	const char *title; /* over its options in the help */
	const cli_opt *v;
	size_t n;
} cli_group;
typedef struct {
	const char *usage; /* "inoc sample [options] --prompts FILE -o OUT" */
	const char *about; /* a few lines: what it does, an example */
	const cli_opt *opts;
	size_t n_opts;
	cli_group shared[3];    /* options of several commands, shown first; n 0: none */
	int min_args, max_args; /* positional; max -1: any number */
} cli_spec;
/* argv[0] is the subcommand. Positional arguments are left in args/n_args (borrowed). Returns 0; 1 when --help was printed
 * (the command then returns 0); negative: the error was printed. */
int cli_parse(const cli_spec *spec, int argc, char **argv, const char ***args, int *n_args);
/* Which of names (up to NULL) the value of --option is; prints the error when it is none. */
int cli_pick(const char *given, const char *option, const char *const *names, int *out);
/* --ci, the kind of intervals: two-way or paper (NULL: two-way), as inoci_ci. */
#define CLI_CI(dst)                                                                                                             \
	{                                                                                                                       \
		"ci", 0, CLI_STR, dst, "KIND",                                                                                  \
		        "intervals of shares: two-way (over seeds and prompts; default), or paper (the papers' own, over runs)" \
	}
int cli_ci(const char *given, int *out);
void cli_list_add(cli_list *l, const char *borrowed);
/* What arguments and lists of options are kept in; cli_end() frees it, when the command is over. */
inoci_arena *cli_memory(void);
void cli_end(void);

/* ---- what train, sample, chat and eval share (open.c) ---- */

/* Each _init puts in the defaults and the option table that fills the struct; the struct must then stay where it is. */
typedef struct {
	const char *model, *adapter, *system, *template_name, *dtype;
	cli_int threads;
	cli_opt table[6];
	cli_group group;
} cli_model_opts;
void cli_model_init(cli_model_opts *o, bool with_adapter);

typedef struct {
	cli_dbl temperature, top_p, min_p, penalty;
	cli_int top_k, max_tokens, seed;
	bool greedy;
	cli_list stop;
	const char *allowed;
	cli_opt table[10];
	cli_group group;
} cli_sampling_opts;
void cli_sampling_init(cli_sampling_opts *o);
inoci_sample_settings cli_sampling_settings(const cli_sampling_opts *o); /* borrows from o */

typedef struct {
	const char *path;
	cli_int n, limit; /* samples of each prompt; only the first prompts */
	cli_opt table[3];
	cli_group group;
} cli_prompt_opts;
void cli_prompt_init(cli_prompt_opts *o);

typedef struct {
	inoci_ops *ops;
	inoci_model *m;
	inoci_adapter *a; /* NULL: none */
	const inoci_template *tmpl;
	char *path; /* the model's file */
} cli_model;
/* cli_model_close() it also when it failed. */
INOCI_MUST int cli_model_open(const cli_model_opts *o, bool train, cli_model *out, inoc_err *err);
void cli_model_close(cli_model *c);

typedef struct {
	inoci_dataset d;
	inoci_rendered *rendered; /* (n) */
	inoci_prompt *v;          /* (n) */
	size_t n;
} cli_prompts;
/* Two steps, so that a bad file is told before the model is opened. cli_prompts_free() it also when it failed. */
INOCI_MUST int cli_prompts_read(const cli_prompt_opts *o, cli_prompts *out, inoc_err *err);
INOCI_MUST int cli_prompts_render(cli_prompts *p, const cli_model *c, const char *system, inoc_err *err);
void cli_prompts_free(cli_prompts *p);
/* One conversation; an error when it leaves no room for an answer. *out borrows from *r. */
INOCI_MUST int cli_render(const cli_model *c, const inoci_msg *msgs, size_t n_msgs, const char *system, inoci_rendered *r,
                          inoci_prompt *out, inoc_err *err);

/* ---- JSON ---- */

json_t *cli_text_json(const char *s, size_t n); /* what is not UTF-8 (a cut last character) becomes U+FFFD; new reference */
/* "text", "finish", "n_tokens", "logprob"; of what was measured "measured" instead of text and logprob. */
void cli_put_answer(json_t *j, const inoci_result_sample *x);
void cli_print_json(FILE *f, json_t *taken, size_t flags);                 /* a line end behind */
INOCI_MUST int cli_write_json(inoci_out *o, json_t *taken, inoc_err *err); /* one line */

/* A scorer as it is given: a built-in name, NAME={...}, or {...} with `named`. free() and json_decref() what is put out, also
 * when it failed. */
INOCI_MUST int cli_scorer_parse(const char *given, const char *named, char **name, json_t **settings, inoc_err *err);

/* ---- messages ---- */

/* Prints "inoc: MESSAGE" (red on a terminal) to standard error and returns err->code. */
int cli_fail(const inoc_err *err);
int cli_usage(const char *fmt, ...) INOCI_PRINTF(1, 2); /* the same for a wrong argument: INOC_E_USAGE */

/* The program's progress: a bar with speed and time left on a terminal, plain lines otherwise; quiet: nothing but notes;
 * stop is set by the first Ctrl-C (the second ends at once). Global; borrowed. */
const inoci_progress *cli_progress(bool quiet);
void cli_progress_done(void); /* ends a bar's line */
void cli_catch_signals(void);

/* Finds a model: a path, or a name of `inoc model list` fetched before (else INOC_E_IO telling to fetch it). free() it. */
INOCI_MUST int cli_model_path(const char *name_or_path, char **out, inoc_err *err);

/* The options that `inoc inoculate` and `inoc train` share. */
typedef struct {
	const char *prefix;  /* of the option names in messages: "" or "inoculate-" */
	const char *text[3]; /* by inoci_where; at most one */
	const char *pool, *at, *join, *separator, *tag;
	cli_dbl fraction;
	bool needed; /* no text is an error; else it makes an inoculation of no texts */
} cli_inoculation;
/* Reads the pool's file and checks everything. *t is to be freed also after an error. */
INOCI_MUST int cli_inoculation_make(const cli_inoculation *o, inoci_inoculation *t, inoc_err *err);
/* INOC_E_CHECK when a tag is asked for that no record has. */
INOCI_MUST int cli_inoculation_tagged(const inoci_inoculation *t, const inoci_dataset *d, inoc_err *err);

/* One aligned table on standard output. cells row-major, header first; numbers right-aligned where `right[c]`. */
void cli_table(const char *const *cells, size_t n_rows, size_t n_cols, const bool *right);

int cmd_analyse(int argc, char **argv);
int cmd_chat(int argc, char **argv);
int cmd_classifier(int argc, char **argv);
int cmd_data(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_inoculate(int argc, char **argv);
int cmd_judge(int argc, char **argv);
int cmd_logprob(int argc, char **argv);
int cmd_merge(int argc, char **argv);
int cmd_model(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_sample(int argc, char **argv);
int cmd_scan(int argc, char **argv);
int cmd_score(int argc, char **argv);
int cmd_select(int argc, char **argv);
int cmd_train(int argc, char **argv);

#endif
