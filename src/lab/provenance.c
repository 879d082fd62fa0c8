/* What a run was made from and by: the request, hashes of the files it reads, versions, the machine. Kept as JSON in the store,
 * so that a new entry needs no new schema.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "commit.h"
#include "lab/internal.h"

json_t *inoci_run_request(const inoci_run_state *r)
{
	const inoci_experiment *e = r->e;
	json_t *o = json_object(), *sets = json_array(), *command = json_array();
	inoci_hash text = inoci_hash_bytes(e->text, e->text_n);
	char *cwd = getcwd(NULL, 0);
	for (size_t i = 0; i < r->o->n_command; i++) json_array_append_new(command, json_string(r->o->command[i]));
	if (r->o->n_command)
		json_object_set(o, "command", command);
	else
		json_object_set_new(o, "file", json_string(e->path));
	json_decref(command);
	json_object_set_new(o, "text_sha256", json_string(text.hex));
	for (size_t i = 0; i < e->n_sets; i++) json_array_append_new(sets, json_string(e->sets[i]));
	json_object_set_new(o, "sets", sets);
	if (r->o->n_arms) {
		json_t *arms = json_array();
		for (size_t i = 0; i < r->o->n_arms; i++) json_array_append_new(arms, json_string(r->o->arms[i]));
		json_object_set_new(o, "arms", arms);
	}
	if (r->o->n_seeds) {
		json_t *seeds = json_array();
		for (size_t i = 0; i < r->o->n_seeds; i++) json_array_append_new(seeds, json_integer((json_int_t)r->o->seeds[i]));
		json_object_set_new(o, "seeds", seeds);
	}
	if (cwd) json_object_set_new(o, "folder", json_string(cwd)); /* absent where it is not UTF-8 */
	free(cwd);
	return o;
}

/* ---- files ---- */

static int add_file(json_t *files, const char *use, inoci_buf *who, const char *path, inoc_err *err)
{
	inoci_hash h;
	int rc = inoci_hash_file(path, &h, err);
	char *text = inoci_asprintf("%s%s%s%s", use, who->len ? " (" : "", who->len ? who->data : "", who->len ? ")" : "");
	inoci_buf_clear(who);
	if (rc == 0) {
		json_t *f = json_object();
		json_object_set_new(f, "use", json_string(text));
		json_object_set_new(f, "path", json_string(path));
		json_object_set_new(f, "sha256", json_string(h.hex));
		json_array_append_new(files, f);
	}
	free(text);
	return rc;
}

static void name(inoci_buf *who, const char *s)
{
	inoci_buf_printf(who, "%s%s", who->len ? ", " : "", s);
}

static int validation_files(const inoci_experiment *e, json_t *files, inoc_err *err)
{
	inoci_buf who = {0};
	int rc = 0;
	for (size_t a = 0; a < e->n_arms && rc == 0; a++) {
		const char *path = e->arms[a].train ? e->arms[a].recipe.validation_file : NULL;
		bool seen = !path;
		for (size_t b = 0; b < a && !seen; b++)
			seen = e->arms[b].train && e->arms[b].recipe.validation_file &&
			       !strcmp(e->arms[b].recipe.validation_file, path);
		if (!seen) rc = add_file(files, "validation data", &who, path, err);
	}
	inoci_buf_free(&who);
	return rc;
}

/* Each folder's two files, with the arms that use it. */
static int given_files(const inoci_experiment *e, json_t *files, inoc_err *err)
{
	static const char *const names[] = {"adapter_model.safetensors", "adapter_config.json"};
	inoci_buf who = {0};
	int rc = 0;
	for (size_t a = 0; a < e->n_arms && rc == 0; a++) {
		const char *dir = e->arms[a].adapter;
		bool seen = !dir;
		for (size_t b = 0; b < a && !seen; b++) seen = e->arms[b].adapter && !strcmp(e->arms[b].adapter, dir);
		for (size_t k = 0; k < INOCI_COUNT(names) && !seen && rc == 0; k++) {
			char *path = inoci_path_join(dir, names[k]);
			for (size_t b = a; b < e->n_arms; b++)
				if (e->arms[b].adapter && !strcmp(e->arms[b].adapter, dir)) name(&who, e->arms[b].name);
			rc = add_file(files, "given adapter", &who, path, err);
			free(path);
		}
	}
	inoci_buf_free(&who);
	return rc;
}

/* Files of the experiment as they are now, each once, with the arms or evaluations that read it. */
static int files_json(const inoci_run_state *r, json_t *files, inoc_err *err)
{
	const inoci_experiment *e = r->e;
	inoci_buf who = {0};
	int rc = 0;
	for (size_t i = 0; i < r->train.n; i++) {
		const char *path = r->train.v[i].path;
		for (size_t a = 0; a < e->n_arms; a++)
			if (e->arms[a].train && !strcmp(e->arms[a].data, path)) name(&who, e->arms[a].name);
		INOC_TRY(add_file(files, "training data", &who, path, err));
	}
	INOC_TRY(validation_files(e, files, err));
	INOC_TRY(given_files(e, files, err));
	for (size_t i = 0; i < r->prompts.n; i++) {
		const char *path = r->prompts.v[i].path;
		for (size_t v = 0; v < e->n_evals; v++)
			if (!strcmp(e->evals[v].prompts, path)) name(&who, e->evals[v].name);
		INOC_TRY(add_file(files, "evaluation questions", &who, path, err));
	}
out:
	inoci_buf_free(&who);
	return rc;
}

/* ---- versions and the machine ---- */

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

static json_t *versions(void)
{
	json_t *v = json_object(), *eval = inoci_eval_versions();
	char *inoc = INOC_COMMIT[0] ? inoci_asprintf("%s, commit %s", inoc_version(), INOC_COMMIT) : inoci_strdup(inoc_version());
	json_object_set_new(v, "inoc", json_string(inoc));
	json_object_set_new(v, "compiler", json_string(COMPILER));
	json_object_update(v, eval);
	json_object_set_new(v, "SQLite", json_string(sqlite3_libversion()));
	json_decref(eval);
	free(inoc);
	return v;
}

/* "model name" of the first processor; NULL where the system does not say. free() it. */
static char *cpu_model(void)
{
	char line[512], *found = NULL;
	FILE *f = fopen("/proc/cpuinfo", "re");
	while (f && !found && fgets(line, sizeof line, f)) {
		char *colon = strchr(line, ':');
		if (strncmp(line, "model name", 10) || !colon) continue;
		colon += 1 + strspn(colon + 1, " \t");
		colon[strcspn(colon, "\n")] = 0;
		found = inoci_strdup(colon);
	}
	if (f) fclose(f);
	return found;
}

static json_t *machine(void)
{
	struct utsname u;
	char *cpu = cpu_model();
	bool known = uname(&u) == 0;
	char *text =
	        inoci_asprintf("%s%s%s, %ld processors%s%s", cpu ? cpu : "unknown processor", known ? ", " : "",
	                       known ? u.machine : "", sysconf(_SC_NPROCESSORS_ONLN), known ? ", " : "", known ? u.sysname : "");
	json_t *j = json_string(text);
	free(cpu);
	free(text);
	return j;
}

int inoci_run_provenance(const inoci_run_state *r, json_t **out, inoc_err *err)
{
	json_t *files = json_array();
	int rc = files_json(r, files, err);
	*out = NULL;
	if (rc < 0) {
		json_decref(files);
		return rc;
	}
	*out = json_object();
	json_object_set_new(*out, "files", files);
	json_object_set_new(*out, "versions", versions());
	json_object_set_new(*out, "machine", machine());
	return 0;
}
