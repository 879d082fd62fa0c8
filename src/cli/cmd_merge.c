/* inoc merge: an adapter put into its model's weights. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "model/model.h"

int cmd_merge(int argc, char **argv)
{
	static const char *const types[] = {"bf16", "f32", NULL};
	const char *model = NULL, *adapter = NULL, *out = NULL, *type = "bf16", **args;
	bool json = false;
	int n_args, k;
	const cli_opt opts[] = {
	        {"model", 'm', CLI_PATH, &model, "MODEL", "a GGUF file, or a name of 'inoc model list'"},
	        {"adapter", 'a', CLI_PATH, &adapter, "DIR", "a LoRA adapter in PEFT's layout"},
	        {"output", 'o', CLI_PATH, &out, "OUT", "the GGUF file to write"},
	        {"type", 0, CLI_STR, &type, "TYPE", "of the changed tensors: bf16, or f32"},
	        {"json", 0, CLI_FLAG, &json, NULL, "file, hash and size as one JSON object"},
	};
	const cli_spec spec = {
	        .usage = "inoc merge -m MODEL -a DIR -o OUT.gguf [options]",
	        .about = "Adds an adapter to the weights of its model and writes the result as a GGUF file, a model like any "
	                 "other. "
	                 "Tensors that\n"
	                 "the adapter does not change, and all metadata, are copied byte for byte.\n"
	                 "Example: inoc merge -m smollm2-135m-instruct -a adapter -o merged.gguf",
	        .opts = opts,
	        .n_opts = INOCI_COUNT(opts),
	};
	int rc = cli_parse(&spec, argc, argv, &args, &n_args);
	if (rc) return rc > 0 ? 0 : rc;
	if (!model || !adapter || !out) return cli_usage("give --model, --adapter and --output; see 'inoc merge --help'");
	if (!strcmp(out, "-")) return cli_usage("-o names a file; './-' if it is to have that name");
	if ((rc = cli_pick(type, "type", types, &k)) < 0) return rc;
	inoc_err err = {0};
	char *path = NULL;
	inoci_hash hash;
	INOC_TRY(cli_model_path(model, &path, &err));
	INOC_TRY(inoci_model_merge(path, adapter, k ? INOCI_F32 : INOCI_BF16, out, cli_progress(false), &err));
	INOC_TRY(inoci_hash_file(out, &hash, &err));
	cli_progress_done();
	if (json)
		cli_print_json(stdout, json_pack("{s:s, s:s, s:s}", "file", out, "sha256", hash.hex, "type", type),
		               JSON_INDENT(2));
	else
		printf("%s: %s with %s merged (%s)\nsha256 %s\n", out, model, adapter, type, hash.hex);
out:
	cli_progress_done();
	free(path);
	return rc < 0 ? cli_fail(&err) : 0;
}
