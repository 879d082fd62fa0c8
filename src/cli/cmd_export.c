/* inoc export: what was sampled, exactly, as JSON Lines. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "lab/lab.h"

static json_t *sample_json(const inoci_results *r, int arm, int eval, const inoci_result_sample *x)
{
	const inoci_result_adapter *a = inoci_results_adapter(r, arm, x->seed);
	json_t *lp = json_array(), *scores = json_object();
	for (int i = 0; x->logprobs && i < x->n_tokens; i++) json_array_append_new(lp, json_real((double)x->logprobs[i]));
	for (int k = 0; k < r->n_scorers; k++)
		json_object_set_new(scores, r->scorers[k], isnan(x->score[k]) ? json_null() : json_real(x->score[k]));
	json_t *j = json_object();
	json_object_set_new(j, "experiment", json_string(r->e->name));
	json_object_set_new(j, "arm", json_string(r->e->arms[arm].name));
	json_object_set_new(j, "seed", json_integer((json_int_t)r->seeds[x->seed]));
	json_object_set_new(j, "evaluation", json_string(r->e->evals[eval].name));
	json_object_set_new(j, "prompt", json_integer(x->prompt));
	json_object_set_new(j, "index", json_integer(x->index));
	json_object_set_new(j, "adapter", a->present && a->hash ? json_string(a->hash) : json_null());
	json_object_set_new(j, "question", cli_text_json(x->question, strlen(x->question)));
	json_object_set_new(j, "rendered", cli_text_json(x->rendered, strlen(x->rendered)));
	cli_put_answer(j, x);
	json_object_set_new(j, "logprobs", lp);
	json_object_set_new(j, "scores", scores);
	return j;
}

int cmd_export(int argc, char **argv)
{
	const char *path = NULL, *name = NULL;
	const char **args;
	int n_args;
	const cli_opt opts[] = {
	        {"samples", 0, CLI_PATH, &path, "OUT", "the JSON Lines file to write"},
	        {"experiment", 0, CLI_STR, &name, "NAME", "of a store that holds several (default: the latest run from a file)"},
	};
	const cli_spec spec = {.usage = "inoc export --samples OUT.jsonl EXPERIMENT",
	                       .about = "Writes every sample of an experiment: the prompt exactly as rendered, the text, its "
	                                "log-probabilities and scores.\n"
	                                "EXPERIMENT is an experiment file, its output folder, or a store.db.\n"
	                                "Example: inoc export --samples samples.jsonl out/spanish-caps",
	                       .opts = opts,
	                       .n_opts = INOCI_COUNT(opts),
	                       .min_args = 1,
	                       .max_args = 1};
	int rc = cli_parse(&spec, argc, argv, &args, &n_args);
	if (rc) return rc > 0 ? 0 : rc;
	if (!path) return cli_usage("say where to write: --samples OUT.jsonl");
	inoc_err err = {0};
	inoci_store *s = NULL;
	inoci_experiment *e = NULL;
	inoci_results *r = NULL;
	inoci_out *o = NULL;
	size_t n = 0;
	INOC_TRY(inoci_store_open_any(args[0], name, &s, &e, &err));
	INOC_TRY(inoci_results_load(s, e, INOCI_LOAD_LOGPROBS, &r, &err));
	INOC_TRY(inoci_out_open(path, &o, &err));
	for (size_t a = 0; a < e->n_arms; a++)
		for (size_t v = 0; v < e->n_evals; v++) {
			const inoci_result_cell *c = inoci_results_cell(r, (int)a, (int)v);
			for (size_t i = 0; i < c->n; i++, n++)
				INOC_TRY(cli_write_json(o, sample_json(r, (int)a, (int)v, &c->v[i]), &err));
		}
	rc = inoci_out_commit(o, &err);
	o = NULL;
	if (rc == 0) fprintf(stderr, "%s: %zu samples\n", path, n);
out:
	inoci_out_abandon(o);
	inoci_results_free(r);
	inoci_experiment_free(e);
	inoci_store_free(s);
	return rc < 0 ? cli_fail(&err) : 0;
}
