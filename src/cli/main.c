/* The program: finds the subcommand; sees to OpenMP's waiting policy. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

static const struct {
	const char *name;
	int (*f)(int, char **);
	const char *about;
} commands[] = {
        {"run", cmd_run, "run an experiment: train, sample, score, compare, report"},
        {"report", cmd_report, "write an experiment's report again, or its tables"},
        {"export", cmd_export, "write an experiment's samples as JSON Lines"},
        {"import", cmd_import, "take samples made elsewhere into a store"},
        {"analyse", cmd_analyse, "what explains an experiment's results: surprise, gradients, updates"},
        {"train", cmd_train, "fine-tune a LoRA adapter on chat data"},
        {"sample", cmd_sample, "sample answers to prompts, file to file"},
        {"chat", cmd_chat, "talk to a model in the terminal"},
        {"eval", cmd_eval, "sample and score a model, with or without an adapter"},
        {"logprob", cmd_logprob, "log-probabilities of given responses: held-out loss, perplexity"},
        {"score", cmd_score, "apply a scorer to samples that are in a store"},
        {"classifier", cmd_classifier, "train a scorer of a trait on labelled answers, or check one"},
        {"judge", cmd_judge, "check a judge against labels"},
        {"scan", cmd_scan, "before training: which traits would this data teach?"},
        {"select", cmd_select, "before training: which of these prompts will inoculate best?"},
        {"inoculate", cmd_inoculate, "write chat data with an inoculation prompt put in"},
        {"merge", cmd_merge, "write a model with an adapter put into its weights"},
        {"data", cmd_data, "check chat data"},
        {"model", cmd_model, "fetch, list and describe models; empty their cache"},
};

static void help(FILE *f)
{
	fprintf(f, "inoc %s: inoculation prompting on one's own machine\n\nusage: inoc COMMAND [options]\n\n", INOC_VERSION);
	for (size_t i = 0; i < INOCI_COUNT(commands); i++) fprintf(f, "  %-10s %s\n", commands[i].name, commands[i].about);
	fprintf(f, "\n'inoc COMMAND --help' tells a command's options; 'inoc --version' the version.\n");
}

static int status_of(int code)
{
	switch (code) {
	case 0:
		return 0;
#define X(name, c, status, text) \
	case c:                  \
		return status;
		INOC_ERRORS(X)
#undef X
	}
	return 1;
}

/* The exit status; results that did not reach standard output are a failure, whatever else went well. */
static int end(int code)
{
	errno = 0;
	bool lost = fflush(stdout) != 0;
	if ((lost || ferror(stdout)) && code >= 0) {
		inoc_err err;
		inoci_err_set(&err, INOC_E_IO, "standard output cannot be written: %s",
		              errno ? strerror(errno) : "part of what was printed is lost");
		code = cli_fail(&err);
	}
	cli_end();
	return status_of(code < 0 ? code : 0);
}

int main(int argc, char **argv)
{
	/* libgomp's spinning barrier collapses when anything else runs, and it reads its policy when it is loaded */
	if (!getenv("OMP_WAIT_POLICY")) {
		setenv("OMP_WAIT_POLICY", "passive", 1);
		/* quiet, LoRA training at 4 examples a step: 461, 537, 560, 571 tokens/s at 0, 300, 1000, 3000; with another busy
		 * process: 296, 278, 260, 216 */
		setenv("GOMP_SPINCOUNT", "1000", 0);
		execv("/proc/self/exe", argv);
	}
	if (argc < 2) {
		help(stderr);
		return 2;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "version")) {
		printf("inoc %s\n", inoc_version());
		return end(0);
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		help(stdout);
		return end(0);
	}
	cli_catch_signals();
	for (size_t i = 0; i < INOCI_COUNT(commands); i++)
		if (!strcmp(argv[1], commands[i].name)) return end(commands[i].f(argc - 1, argv + 1));
	const char *names[INOCI_COUNT(commands)];
	for (size_t i = 0; i < INOCI_COUNT(commands); i++) names[i] = commands[i].name;
	const char *near = inoci_nearest(argv[1], names, INOCI_COUNT(names));
	cli_usage("unknown command '%s'%s%s%s 'inoc --help' lists them", argv[1], near ? "; did you mean '" : "",
	          near ? near : "", near ? "'?" : ";");
	return 2;
}
