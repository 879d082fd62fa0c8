/* inoc import: samples made elsewhere, so that scores, statistics and report serve them. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "lab/lab.h"

static bool is_name(const char *s)
{
	static const char *ok = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	return *s && *s != '-' && *s != '_' && strspn(s, ok) == strlen(s) && strlen(s) <= 60;
}

int cmd_import(int argc, char **argv)
{
	const char *store = NULL, **args;
	inoci_import_options o = {0};
	cli_int seed = {1, 0, 9007199254740991L};
	cli_dbl wait_s = {0, 0, 1e9};
	cli_list sets = {0}, command = {0};
	bool json = false;
	int n_args;
	const cli_opt opts[] = {
	        {"store", 0, CLI_PATH, &store, "DB", "the store or its folder; made when missing"},
	        {"name", 0, CLI_STR, &o.name, "NAME", "of the experiment that the samples become"},
	        {"arm", 0, CLI_STR, &o.arm, "NAME", "the arm of all records"},
	        {"arm-field", 0, CLI_STR, &o.arm_field, "FIELD", "where a record says its arm (default: arm, group or model)"},
	        {"seed", 0, CLI_INT, &seed, "N", "the seed of records that say none (default 1)"},
	        {"seed-field", 0, CLI_STR, &o.seed_field, "FIELD",
	         "where a record says its seed (default: seed); names are counted in every arm"},
	        {"evaluation", 0, CLI_STR, &o.evaluation, "NAME", "the evaluation of all records"},
	        {"evaluation-field", 0, CLI_STR, &o.evaluation_field, "FIELD",
	         "where a record says its evaluation (default: evaluation or evaluation_id)"},
	        {"question-field", 0, CLI_STR, &o.question_field, "FIELD",
	         "the question, of records without messages (default: question, prompt or input)"},
	        {"answer-field", 0, CLI_STR, &o.answer_field, "FIELD",
	         "the answer (default: answer, response, completion, output or text)"},
	        {"system-field", 0, CLI_STR, &o.system_field, "FIELD", "the system prompt (default: system_prompt or system)"},
	        {"set", 0, CLI_LIST, &sets, "KEY=VALUE",
	         "a setting of the experiment: roles, scorers, traits (arms.plain.role=plain); may be given several times"},
	        {"wait", 0, CLI_DBL, &wait_s, "S", "seconds to wait for another run at the same store"},
	        {"json", 0, CLI_FLAG, &json, NULL, "what was taken as one JSON object"},
	};
	const cli_spec spec = {
	        .usage = "inoc import FILE... --store DB --name NAME [options]",
	        .about = "Takes samples that were made elsewhere into a store: chat completions and conversations as "
	                 "JSON Lines, CSV\n"
	                 "tables, logs of Inspect (.json, .eval), results of the inoculation-prompting repository. 'inoc "
	                 "score', 'inoc report'\n"
	                 "and 'inoc export' then work on them. A FIELD may be inside an object: a.b. A bad record is "
	                 "an error and\n"
	                 "nothing is taken.\n"
	                 "Example: inoc import answers.jsonl --store imported --name mine --arm plain --set "
	                 "arms.plain.role=plain",
	        .opts = opts,
	        .n_opts = INOCI_COUNT(opts),
	        .min_args = 1,
	        .max_args = -1};
	int rc = cli_parse(&spec, argc, argv, &args, &n_args);
	if (rc) return rc > 0 ? 0 : rc;
	if (!store || !o.name) return cli_usage("give --store DB and --name NAME; see 'inoc import --help'");
	if (!is_name(o.name))
		return cli_usage("--name '%.80s' must be a name of letters, digits, _ and -, a letter or digit first, 60 at most",
		                 o.name);
	if (o.arm && o.arm_field)
		return cli_usage("--arm is of all records, and --arm-field says where each has its own; give one");
	if (o.evaluation && o.evaluation_field)
		return cli_usage("--evaluation is of all records, and --evaluation-field says where each has its own; give one");
	inoc_err err = {0};
	inoci_imported got;
	inoci_store *s = NULL;
	char *db = inoci_path_exists(store) ? NULL : inoci_strdup(store);
	cli_list_add(&command, "inoc");
	for (int i = 0; i < argc; i++) cli_list_add(&command, argv[i]);
	o.command = command.v;
	o.n_command = command.n;
	o.sets = sets.v;
	o.n_sets = sets.n;
	o.seed = seed.v;
	o.wait_s = wait_s.v;
	cli_catch_signals();
	o.progress = cli_progress(json);
	if (!db) { /* what is there and no store is left as it is */
		rc = inoci_store_file(store, &db, &err);
		if (rc == INOC_E_IO) { /* a folder without one */
			free(db);
			db = inoci_path_join(store, "store.db");
			rc = 0;
		} else if (rc == 0) {
			INOC_TRY(inoci_store_open(db, false, 0, NULL, &s, &err));
			inoci_store_free(s);
		}
		if (rc < 0) goto out;
	} else {
		size_t n = strlen(db);
		bool file = n > 3 && !strcmp(db + n - 3, ".db");
		free(db);
		db = file ? inoci_strdup(store) : inoci_path_join(store, "store.db");
	}
	INOC_TRY(inoci_import_samples(db, args, (size_t)n_args, &o, &got, &err));
	cli_progress_done();
	if (got.n_unanswered) fprintf(stderr, "%zu requests have no answer and were left out\n", got.n_unanswered);
	if (got.n_named_seeds)
		fprintf(stderr, "%zu seeds are names: they were counted from 1 in every arm, in the order they came\n",
		        got.n_named_seeds);
	if (json)
		cli_print_json(stdout,
		               json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:b, s:s}", "experiment", o.name, "samples",
		                         (json_int_t)got.n_samples, "unanswered", (json_int_t)got.n_unanswered, "arms",
		                         (json_int_t)got.n_arms, "evaluations", (json_int_t)got.n_evals, "seeds",
		                         (json_int_t)got.n_seeds, "added", (int)got.added, "store", db),
		               JSON_INDENT(2));
	else
		printf("%s: %zu samples %s experiment %s, which has %zu arm%s, %zu evaluation%s, %zu seed%s\n", db, got.n_samples,
		       got.added ? "added to" : "are", o.name, got.n_arms, got.n_arms == 1 ? "" : "s", got.n_evals,
		       got.n_evals == 1 ? "" : "s", got.n_seeds, got.n_seeds == 1 ? "" : "s");
out:
	free(db);
	return rc < 0 ? cli_fail(&err) : 0;
}
