/* Samples made elsewhere in a store: an experiment is made that says which arms and evaluations there are, and everything that
 * reads results works on it.
 *
 * Invariants: all files are read before anything is written; samples, links and the experiment are one transaction. An arm and
 * seed is an adapter row without a folder.
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

/* ---- names ---- */

/* As a name of an experiment file may be, from what the records say: another letter becomes '_'. free() it. */
static char *as_name(const char *s)
{
	inoci_buf b = {0};
	for (; *s && b.len < 50; s++) {
		unsigned char c = (unsigned char)*s;
		bool ok = isalnum(c) && c < 0x80;
		if (!b.len && !ok) continue;
		char keep = ok || c == '-' || c == '_' ? (char)c : '_';
		if ((c & 0xc0) != 0x80 || c < 0x80) inoci_buf_append(&b, &keep, 1);
	}
	if (!b.len) inoci_buf_puts(&b, "x");
	return inoci_buf_take(&b);
}

/* The name in `map` (name -> settings with a label) of what the records call `said`; made when missing. Borrowed. */
static const char *name_of(json_t *map, const char *said, json_t *(*make)(const char *said, const void *ctx), const void *ctx)
{
	const char *name;
	json_t *v;
	json_object_foreach(map, name, v)
	{
		const char *label = json_string_value(json_object_get(v, "label"));
		if (!strcmp(label ? label : name, said)) return name;
	}
	char *base = as_name(said), *fresh = inoci_strdup(base);
	for (int k = 2; json_object_get(map, fresh); k++) {
		free(fresh);
		fresh = inoci_asprintf("%s_%d", base, k);
	}
	v = make(said, ctx);
	json_object_set_new(v, "label", json_string(said));
	json_object_set_new(map, fresh, v);
	free(base), free(fresh);
	json_object_foreach(map, name, v) if (!strcmp(json_string_value(json_object_get(v, "label")), said)) return name;
	return said;
}

static json_t *new_arm(const char *said, const void *ctx)
{
	(void)said, (void)ctx;
	return json_pack("{s:s}", "role", "other");
}

static json_t *new_evaluation(const char *said, const void *ctx)
{
	(void)said;
	return json_pack("{s:s, s:s}", "prompts", (const char *)ctx, "system", "");
}

/* ---- the experiment ---- */

/* The system turn of an evaluation, when all of its samples have the same. */
static void note_system(json_t *evaluation, const char *system)
{
	const char *known = json_string_value(json_object_get(evaluation, "system")), *now = !system   ? "none"
	                                                                                     : *system ? system
	                                                                                               : "empty";
	if (!strcmp(known, "default")) return; /* several */
	json_object_set_new(evaluation, "system", json_string(*known && strcmp(known, now) ? "default" : now));
}

static json_t *new_experiment(const char *name)
{
	return json_pack("{s:s, s:s, s:[], s:{}, s:{}, s:[s,s]}", "name", name, "model", "imported", "imported", "arms",
	                 "evaluations", "scorers", "truncated", "looping");
}

/* The experiment as an earlier import left it: *text and *sets, or new ones. */
static int earlier(inoci_store *s, const char *name, json_t **text, json_t **sets, bool *added, inoc_err *err)
{
	sqlite3_stmt *st;
	*text = NULL;
	*sets = NULL;
	*added = false;
	int rc = inoci_store_query(s, &st, err, "SELECT text, sets FROM experiment WHERE name = ?", "s", name);
	if (rc < 0) return rc;
	if ((rc = inoci_store_step(s, st, err)) > 0) {
		*text = json_loadb(sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0), 0, NULL);
		const char *t = (const char *)sqlite3_column_text(st, 1);
		*sets = json_loads(t ? t : "[]", 0, NULL);
		*added = true;
		if (!json_is_array(json_object_get(*text, "imported"))) {
			rc = inoci_err_set(err, INOC_E_USAGE,
			                   "%s: '%s' is the name of an experiment that was not imported; give another name",
			                   s->path, name);
			json_decref(*text);
			json_decref(*sets);
			*text = *sets = NULL;
		}
	}
	sqlite3_finalize(st);
	if (rc < 0) return rc;
	if (!*text) *text = new_experiment(name);
	if (!json_is_array(*sets)) *sets = json_array();
	return 0;
}

static void add_once(json_t *list, const char *s)
{
	size_t i;
	json_t *v;
	json_array_foreach(list, i, v) if (json_is_string(v) && !strcmp(json_string_value(v), s)) return;
	json_array_append_new(list, json_string(s));
}

/* ---- the store ---- */

typedef struct {
	inoci_store *s;
	const char *name;
	json_t *text, *sets;
	json_t *numbers; /* of prompts: "EVALUATION\n" + the question's messages -> number; and "EVALUATION" -> how many */
	json_t *index;   /* "ARM\nSEED\nEVALUATION\nNUMBER" -> samples so far */
} writer;

/* A prompt's number in its evaluation: the same question has the same one in every arm. */
static int64_t number_of(writer *w, const char *eval, const char *same)
{
	char *key = inoci_asprintf("%s\n%s", eval, same);
	json_t *v = json_object_get(w->numbers, key);
	int64_t n = json_integer_value(v ? v : json_object_get(w->numbers, eval));
	if (!v) {
		json_object_set_new(w->numbers, key, json_integer(n));
		json_object_set_new(w->numbers, eval, json_integer(n + 1));
	}
	free(key);
	return n;
}

/* The question's messages of a prompt as stored. free() it. */
static char *same_of(const char *prompt)
{
	json_t *m = json_loads(prompt ? prompt : "[]", 0, NULL), *bare = json_array(), *v;
	size_t i;
	json_array_foreach(m, i, v)
	{
		const char *role = json_string_value(json_object_get(v, "role"));
		if (!role || strcmp(role, "system")) json_array_append(bare, v);
	}
	char *s = json_dumps(bare, JSON_COMPACT);
	json_decref(bare);
	json_decref(m);
	return s;
}

/* The numbers that earlier imports gave. */
static int known_numbers(writer *w, inoc_err *err)
{
	sqlite3_stmt *st;
	int rc = inoci_store_query(
	        w->s, &st, err,
	        "SELECT DISTINCT l.evaluation, l.prompt_no, p.text FROM link_sample l JOIN sample a ON a.id = l.sample"
	        " JOIN prompt p ON p.id = a.prompt WHERE l.experiment = ?",
	        "s", w->name);
	if (rc < 0) return rc;
	while ((rc = inoci_store_step(w->s, st, err)) > 0) {
		const char *eval = (const char *)sqlite3_column_text(st, 0);
		int64_t n = sqlite3_column_int64(st, 1);
		char *same = same_of((const char *)sqlite3_column_text(st, 2)), *key = inoci_asprintf("%s\n%s", eval, same);
		json_object_set_new(w->numbers, key, json_integer(n));
		if (n >= json_integer_value(json_object_get(w->numbers, eval)))
			json_object_set_new(w->numbers, eval, json_integer(n + 1));
		free(same), free(key);
	}
	sqlite3_finalize(st);
	return rc;
}

/* What comes again takes the place of what was there. Called at the first sample of (arm, seed, evaluation). */
static int clear(writer *w, const char *arm, int64_t seed, const char *eval, inoc_err *err)
{
	int rc = inoci_store_exec(w->s, err,
	                          "DELETE FROM link_sample WHERE experiment = ? AND arm = ? AND seed = ? AND evaluation = ?",
	                          "ssis", w->name, arm, seed, eval);
	if (rc < 0) return rc;
	return inoci_store_exec(w->s, err,
	                        "INSERT OR REPLACE INTO link_eval(experiment, arm, seed, evaluation, key) VALUES(?,?,?,?,'')",
	                        "ssis", w->name, arm, seed, eval);
}

static int adapter_row(writer *w, const char *arm, int64_t seed, int64_t *id, inoc_err *err)
{
	char *what = inoci_asprintf("imported\n%s\n%s\n%lld", w->name, arm, (long long)seed);
	inoci_hash key = inoci_hash_bytes(what, strlen(what));
	int rc = inoci_store_exec(w->s, err, "INSERT OR IGNORE INTO adapter(key, seed, done) VALUES(?,?,1)", "si", key.hex, seed);
	free(what);
	if (rc >= 0) rc = inoci_store_int(w->s, id, err, "SELECT id FROM adapter WHERE key = ?", "s", key.hex);
	if (rc >= 0)
		rc = inoci_store_exec(w->s, err,
		                      "INSERT OR REPLACE INTO link_adapter(experiment, arm, seed, adapter) VALUES(?,?,?,?)",
		                      "ssii", w->name, arm, seed, *id);
	return rc < 0 ? rc : 0;
}

static int write_sample(writer *w, const inoci_import_sample *x, const char *file, inoc_err *err)
{
	const char *arm = name_of(json_object_get(w->text, "arms"), x->arm, new_arm, NULL);
	const char *eval = name_of(json_object_get(w->text, "evaluations"), x->evaluation, new_evaluation, file);
	int64_t adapter = 0, prompt = 0, sample = 0, number = number_of(w, eval, x->same), index;
	char *cell = inoci_asprintf("%s\n%lld\n%s", arm, (long long)x->seed, eval),
	     *at = inoci_asprintf("%s\n%lld", cell, (long long)number);
	inoci_hasher *h = inoci_hasher_new();
	int rc;
	inoci_hasher_str(h, "imported prompt");
	inoci_hasher_str(h, x->prompt);
	inoci_hasher_str(h, x->item ? x->item : "");
	inoci_hash prompt_hash = inoci_hasher_end(h), key;
	note_system(json_object_get(json_object_get(w->text, "evaluations"), eval), x->system);
	if (!json_object_get(w->index, cell)) {
		INOC_TRY(clear(w, arm, x->seed, eval, err));
		json_object_set_new(w->index, cell, json_true());
	}
	index = json_integer_value(json_object_get(w->index, at));
	json_object_set_new(w->index, at, json_integer(index + 1));
	INOC_TRY(adapter_row(w, arm, x->seed, &adapter, err));
	INOC_TRY(inoci_store_exec(w->s, err, "INSERT OR IGNORE INTO prompt(hash, question, text, item) VALUES(?,?,?,?)", "ssss",
	                          prompt_hash.hex, x->question, x->prompt, x->item));
	INOC_TRY(inoci_store_int(w->s, &prompt, err, "SELECT id FROM prompt WHERE hash = ?", "s", prompt_hash.hex));
	h = inoci_hasher_new();
	inoci_hasher_str(h, "imported sample");
	inoci_hasher_str(h, w->name);
	inoci_hasher_str(h, at);
	inoci_hasher_add(h, &index, sizeof index);
	inoci_hasher_str(h, prompt_hash.hex);
	inoci_hasher_str(h, x->answer);
	inoci_hasher_add(h, &x->finish, sizeof x->finish);
	key = inoci_hasher_end(h);
	INOC_TRY(inoci_store_exec(w->s, err,
	                          "INSERT OR IGNORE INTO sample(key, adapter, prompt, idx, text, finish, n_tokens, logprob) "
	                          "VALUES(?,?,?,?,?,?,?,NULL)",
	                          "siiibii", key.hex, adapter, prompt, index, x->answer, strlen(x->answer), (int64_t)x->finish,
	                          (int64_t)x->n_tokens));
	INOC_TRY(inoci_store_int(w->s, &sample, err, "SELECT id FROM sample WHERE key = ?", "s", key.hex));
	INOC_TRY(inoci_store_exec(
	        w->s, err,
	        "INSERT INTO link_sample(experiment, arm, seed, evaluation, prompt_no, idx, sample) VALUES(?,?,?,?,?,?,?)",
	        "ssisiii", w->name, arm, x->seed, eval, number, index, sample));
out:
	free(cell), free(at);
	return rc < 0 ? rc : 0;
}

/* The experiment as it is now: parsed, which checks the overrides, and written down. */
static int write_experiment(writer *w, const inoci_import_options *o, const char *const *files, size_t n_files,
                            inoci_experiment **e, inoc_err *err)
{
	char *text = json_dumps(w->text, JSON_INDENT(1)), *sets_text = NULL, *now = inoci_time_iso(), *asked = NULL, *made = NULL;
	size_t n = 0;
	const char **sets = NULL;
	json_t *request = json_object(), *command = json_array(), *list = json_array(), *provenance = NULL;
	int rc;
	for (size_t i = 0; i < o->n_sets; i++) add_once(w->sets, o->sets[i]);
	n = json_array_size(w->sets);
	sets = inoci_alloc((n + 1) * sizeof *sets);
	for (size_t i = 0; i < n; i++) sets[i] = json_string_value(json_array_get(w->sets, i));
	sets_text = json_dumps(w->sets, 0);
	INOC_TRY(inoci_experiment_parse("inoc import", text, strlen(text), sets, n, e, err));
	INOC_TRY(inoci_store_exec(w->s, err,
	                          "INSERT OR REPLACE INTO experiment(name, path, text, sets, updated) VALUES(?,NULL,?,?,?)",
	                          "sbss", w->name, text, strlen(text), sets_text, now));
	for (size_t i = 0; i < o->n_command; i++) json_array_append_new(command, json_string(o->command[i]));
	inoci_hash hash = inoci_hash_bytes(text, strlen(text));
	json_object_set(request, "command", command);
	json_object_set_new(request, "text_sha256", json_string(hash.hex));
	json_object_set(request, "sets", w->sets);
	for (size_t i = 0; i < n_files; i++) {
		INOC_TRY(inoci_hash_file(files[i], &hash, err));
		json_array_append_new(
		        list, json_pack("{s:s, s:s, s:s}", "use", "imported samples", "path", files[i], "sha256", hash.hex));
	}
	provenance = json_pack("{s:O, s:{s:s}}", "files", list, "versions", "inoc", inoc_version());
	asked = json_dumps(request, JSON_COMPACT);
	made = json_dumps(provenance, JSON_COMPACT);
	INOC_TRY(inoci_store_exec(w->s, err,
	                          "INSERT INTO run(experiment, started, ended, status, version, request, provenance)"
	                          " VALUES(?,?,?,'done',?,?,?)",
	                          "ssssss", w->name, now, now, inoc_version(), asked, made));
out:
	free(text), free(sets_text), free(now), free(asked), free(made), free(sets);
	json_decref(request);
	json_decref(command);
	json_decref(list);
	json_decref(provenance);
	return rc < 0 ? rc : 0;
}

int inoci_import_samples(const char *store, const char *const *files, size_t n_files, const inoci_import_options *o,
                         inoci_imported *out, inoc_err *err)
{
	inoci_import im = {.o = o, .requests = json_object(), .seeds = json_object(), .seed_counts = json_object()};
	writer w = {.name = o->name, .numbers = json_object(), .index = json_object()};
	inoci_experiment *e = NULL;
	int64_t seeds = 0;
	int rc;
	*out = (inoci_imported){0};
	for (size_t i = 0; i < n_files; i++) INOC_TRY(inoci_import_file(&im, files[i], err));
	INOC_TRY(inoci_import_records(&im, err));
	if (!im.n) {
		rc = inoci_err_set(err, INOC_E_FORMAT, "%s: there are no samples%s", n_files ? files[0] : "import",
		                   im.n_unanswered ? ": no request has an answer" : "");
		goto out;
	}
	INOC_TRY(inoci_store_open(store, true, o->wait_s, o->progress, &w.s, err));
	INOC_TRY(inoci_store_begin(w.s, err));
	INOC_TRY(earlier(w.s, o->name, &w.text, &w.sets, &out->added, err));
	INOC_TRY(known_numbers(&w, err));
	for (size_t i = 0; i < n_files; i++) add_once(json_object_get(w.text, "imported"), files[i]);
	for (size_t i = 0; i < im.n; i++) INOC_TRY(write_sample(&w, &im.v[i], files[0], err));
	INOC_TRY(write_experiment(&w, o, files, n_files, &e, err));
	const inoci_scorer_env env = {.dir = e->dir, .memory = inoci_store_memory(w.s)};
	INOC_TRY(inoci_checks_record(w.s, e, &env, err));
	INOC_TRY(inoci_store_int(w.s, &seeds, err, "SELECT count(DISTINCT seed) FROM link_adapter WHERE experiment = ?", "s",
	                         o->name));
	INOC_TRY(inoci_store_commit(w.s, err));
	out->n_samples = im.n;
	out->n_unanswered = im.n_unanswered;
	out->n_named_seeds = im.n_named_seeds;
	out->n_arms = e->n_arms, out->n_evals = e->n_evals, out->n_seeds = (size_t)seeds;
	rc = inoci_score_all(w.s, e, &env, o->progress, err);
out:
	if (rc < 0 && w.s) inoci_store_rollback(w.s);
	inoci_store_free(w.s);
	inoci_experiment_free(e);
	inoci_import_free(&im);
	json_decref(w.text);
	json_decref(w.sets);
	json_decref(w.numbers);
	json_decref(w.index);
	return rc < 0 ? rc : 0;
}
