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

typedef enum { CLI_FLAG, CLI_STR, CLI_INT, CLI_DBL, CLI_LIST } cli_type; /* LIST: may be given several times */
typedef struct {
	const char *name; /* "max-tokens": given as --max-tokens */
	char letter;      /* 'o' for -o, or 0 */
	cli_type type;
	void *dst;        /* bool*, const char**, long*, double*, cli_list*; its value beforehand is the default */
	const char *meta; /* "N", "FILE"; NULL for flags */
	const char *help;
} cli_opt;
typedef struct {
	const char **v;
	size_t n;
} cli_list;
typedef struct {
	const char *usage; /* "inoc sample [options] --prompts FILE -o OUT" */
	const char *about; /* a few lines: what it does, an example */
	const cli_opt *opts;
	size_t n_opts;
	int min_args, max_args; /* positional; max -1: any number */
} cli_spec;
/* argv[0] is the subcommand. Positional arguments are left in args/n_args (borrowed). Returns 0; 1 when --help was printed
 * (the command then returns 0); negative: the error was printed. */
int cli_parse(const cli_spec *spec, int argc, char **argv, const char ***args, int *n_args);

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
	double fraction;
	bool needed; /* no text is an error; else it makes an inoculation of no texts */
} cli_inoculation;
/* Reads the pool's file and checks everything. *t is to be freed also after an error. */
INOCI_MUST int cli_inoculation_make(const cli_inoculation *o, inoci_inoculation *t, inoc_err *err);
/* INOC_E_CHECK when a tag is asked for that no record has. */
INOCI_MUST int cli_inoculation_tagged(const inoci_inoculation *t, const inoci_dataset *d, inoc_err *err);

/* One aligned table on standard output. cells row-major, header first; numbers right-aligned where `right[c]`. */
void cli_table(const char *const *cells, size_t n_rows, size_t n_cols, const bool *right);

int cmd_chat(int argc, char **argv);
int cmd_data(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_inoculate(int argc, char **argv);
int cmd_model(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_sample(int argc, char **argv);
int cmd_score(int argc, char **argv);
int cmd_train(int argc, char **argv);

#endif
