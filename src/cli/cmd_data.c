/* inoc data check FILE: what is wrong with a data file, by line. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "data/data.h"

static void print_text(const char *path, const char *against, const inoci_check *k, bool eval)
{
	for (size_t i = 0; i < k->n; i++) {
		const inoci_finding *f = &k->v[i];
		if (f->line)
			printf("%s:%d: %s: %s\n", path, f->line, f->fatal ? "error" : "warning", f->text);
		else
			printf("%s: %s: %s\n", path, f->fatal ? "error" : "warning", f->text);
	}
	printf("%s: %zu records, %zu messages, %zu with a system turn", path, k->n_records, k->n_turns, k->n_system);
	if (k->n_assistant)
		printf(", %zu %s of %zu to %zu characters (median %zu)", k->n_assistant,
		       eval ? "reference answers" : "assistant turns", k->chars_min, k->chars_max, k->chars_median);
	printf("; %zu repeated questions", k->n_duplicates);
	if (against) printf("; %zu questions also in %s", k->n_overlap, against);
	printf("; %zu errors, %zu warnings\n", k->n_errors, k->n - k->n_errors);
}

static void print_json(const char *path, const char *against, const inoci_check *k)
{
	json_t *list = json_array();
	for (size_t i = 0; i < k->n; i++) {
		json_t *f = json_object();
		json_object_set_new(f, "line", json_integer(k->v[i].line));
		json_object_set_new(f, "severity", json_string(k->v[i].fatal ? "error" : "warning"));
		json_object_set_new(f, "text", json_string(k->v[i].text));
		json_array_append_new(list, f);
	}
	json_t *o = json_object(), *chars = json_object();
	json_object_set_new(o, "path", json_string(path));
	json_object_set_new(o, "against", against ? json_string(against) : json_null());
	json_object_set_new(o, "records", json_integer((json_int_t)k->n_records));
	json_object_set_new(o, "messages", json_integer((json_int_t)k->n_turns));
	json_object_set_new(o, "with_system", json_integer((json_int_t)k->n_system));
	json_object_set_new(o, "assistant_turns", json_integer((json_int_t)k->n_assistant));
	json_object_set_new(chars, "min", json_integer((json_int_t)k->chars_min));
	json_object_set_new(chars, "median", json_integer((json_int_t)k->chars_median));
	json_object_set_new(chars, "max", json_integer((json_int_t)k->chars_max));
	json_object_set_new(o, "assistant_characters", chars);
	json_object_set_new(o, "duplicates", json_integer((json_int_t)k->n_duplicates));
	json_object_set_new(o, "overlap", json_integer((json_int_t)k->n_overlap));
	json_object_set_new(o, "errors", json_integer((json_int_t)k->n_errors));
	json_object_set_new(o, "warnings", json_integer((json_int_t)(k->n - k->n_errors)));
	json_object_set_new(o, "findings", list);
	json_dumpf(o, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(o);
}

int cmd_data(int argc, char **argv)
{
	const char *against = NULL, **args;
	bool eval = false, json = false;
	int n_args;
	const cli_opt opts[] = {
	        {"against", 0, CLI_PATH, &against, "FILE",
	         "also report the questions that occur in FILE too (training against evaluation)"},
	        {"eval", 0, CLI_FLAG, &eval, NULL,
	         "FILE holds evaluation prompts: each must end with the user's turn, a final assistant turn is its reference"},
	        {"json", 0, CLI_FLAG, &json, NULL, "print one JSON object"},
	};
	const cli_spec spec = {
	        .usage = "inoc data check FILE [--against FILE] [--eval] [--json]",
	        .about = "Checks chat data, JSON Lines of {\"messages\":[{\"role\",\"content\"}...]}: every fault with its line, "
	                 "repeated\n"
	                 "questions, and evaluation questions that are also in training. Exit status 1 when there are errors.\n"
	                 "Example: inoc data check train.jsonl --against eval.jsonl",
	        .opts = opts,
	        .n_opts = INOCI_COUNT(opts),
	        .min_args = 1,
	        .max_args = 1,
	};
	if (argc > 1 && !strcmp(argv[1], "check"))
		argc--, argv[1] = argv[0], argv++; /* messages name the command */
	else if (argc < 2)
		return cli_usage("data: say what to do: inoc data check FILE");
	else if (argv[1][0] != '-')
		return cli_usage("data: unknown action '%s'; there is: inoc data check FILE", argv[1]);
	int rc = cli_parse(&spec, argc, argv, &args, &n_args);
	if (rc) return rc > 0 ? 0 : rc;
	inoci_check k;
	inoc_err err = {0};
	if (inoci_data_check(args[0], against, eval ? INOCI_NEED_USER_LAST : INOCI_NEED_ASSISTANT, &k, &err) < 0) {
		inoci_check_free(&k);
		return cli_fail(&err);
	}
	if (json)
		print_json(args[0], against, &k);
	else
		print_text(args[0], against, &k, eval);
	rc = k.n_errors ? INOC_E_CHECK : 0;
	inoci_check_free(&k);
	return rc;
}
