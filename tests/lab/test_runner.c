/* The runner on a tiny random model: structure, doing nothing twice, killed, stopped and failed runs that go on to the same
 * results, changed files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../model/tiny.h"
#include "seen.h"

static char *model_path;
static inoci_ops *ops;

static const char yaml[] = "name: t\nmodel: m\ntemplate: chatml\ndata: train.jsonl\nseeds: [1, 2]\n"
                           "train: {steps: 6, batch: 2, rank: 2, alpha: 4, lr: 0.01, warmup: 1, checkpoint_every: 2, validation: "
                           "0.25, eval_every: 3}\n"
                           "arms:\n"
                           "  base: {role: base}\n"
                           "  plain: {role: plain}\n"
                           "  c: {role: control, inoculate: {system: Water.}}\n"
                           "  es: {role: inoculated, inoculate: {system: {pool: [Shout., Be loud.]}, fraction: 0.5}}\n"
                           "evaluations:\n"
                           "  g: {prompts: eval.jsonl, greedy: true, max_tokens: 5}\n"
                           "  hot: {prompts: eval.jsonl, temperature: 1, n: 2, max_tokens: 5}\n"
                           "  own: {prompts: eval.jsonl, system: own, greedy: true, max_tokens: 5}\n"
                           "scorers: [truncated, looping]\n"
                           "traits: {k: {u: truncated}}\n";

static void write_data(const char *dir)
{
	inoci_buf b = {0};
	for (int i = 0; i < 8; i++)
		inoci_buf_printf(&b,
		                 "{\"messages\":[{\"role\":\"user\",\"content\":\"q%d\"},{\"role\":\"assistant\",\"content\":\"A%"
		                 "dA\"}]}\n",
		                 i, i);
	write_file(dir, "train.jsonl", b.data);
	inoci_buf_clear(&b);
	for (int i = 0; i < 4; i++) inoci_buf_printf(&b, "{\"messages\":[{\"role\":\"user\",\"content\":\"e%d\"}]}\n", i);
	write_file(dir, "eval.jsonl", b.data);
	inoci_buf_free(&b);
	write_file(dir, "t.yaml", yaml);
}

static char *new_dir(void)
{
	char t[] = "inoc-run-XXXXXX";
	if (!mkdtemp(t)) fail_msg("no folder");
	write_data(t);
	return inoci_strdup(t);
}

static int run(const char *dir, inoci_run_options o, const char *set, seen *s, inoc_err *err)
{
	return seen_run_in(dir, set, model_path, ops, o, s, err);
}

/* Everything that must be equal, as text: adapters' bytes, metrics, samples by label, scores. */
static char *dump(const char *dir)
{
	static const char *const sql[] = {
	        "SELECT l.arm, l.seed, a.key, a.hash, a.steps, a.final_loss, a.tokens, a.n_train, a.n_val, a.n_inoculated, "
	        "a.first_text, a.config"
	        " FROM link_adapter l JOIN adapter a ON a.id = l.adapter ORDER BY 1, 2",
	        "SELECT a.key, m.step, m.steps, m.lr, m.loss, m.grad_norm, m.val_loss, m.tokens, m.loss_tokens FROM metric m"
	        " JOIN adapter a ON a.id = m.adapter WHERE a.id IN (SELECT adapter FROM link_adapter) ORDER BY 1, 2",
	        "SELECT l.arm, l.seed, l.evaluation, l.prompt_no, l.idx, a.key, hex(a.text), a.finish, a.n_tokens, a.logprob, "
	        "hex(a.logprobs),"
	        " hex(a.ids), p.text, c.value FROM link_sample l JOIN sample a ON a.id = l.sample JOIN prompt p ON p.id = "
	        "a.prompt"
	        " LEFT JOIN score c ON c.sample = a.id AND c.scorer = (SELECT min(id) FROM scorer) ORDER BY 1, 2, 3, 4, 5",
	};
	char *path = inoci_asprintf("%s/out/store.db", dir);
	inoci_store *s = NULL;
	inoc_err err = {0};
	inoci_buf b = {0};
	if (inoci_store_open(path, false, 0, NULL, &s, &err) < 0) fail_msg("%s", err.msg);
	for (size_t i = 0; i < INOCI_COUNT(sql); i++) {
		sqlite3_stmt *st;
		if (inoci_store_query(s, &st, &err, sql[i], "") < 0) fail_msg("%s", err.msg);
		while (inoci_store_step(s, st, &err) > 0) {
			for (int c = 0; c < sqlite3_column_count(st); c++) {
				const char *t = (const char *)sqlite3_column_text(st, c);
				inoci_buf_printf(&b, "%s|", t ? t : "-");
			}
			inoci_buf_puts(&b, "\n");
		}
		sqlite3_finalize(st);
	}
	inoci_store_free(s);
	free(path);
	for (int a = 0; a < 3; a++) /* the files themselves */
		for (int seed = 1; seed <= 2; seed++) {
			static const char *const arms[] = {"plain", "c", "es"}, *const files[] = {"adapter_model.safetensors",
			                                                                          "metrics.jsonl"};
			for (int f = 0; f < 2; f++) {
				inoci_hash h = {{0}};
				char *p = inoci_asprintf("%s/out/adapters/%s-seed%d/%s", dir, arms[a], seed, files[f]);
				bool there = inoci_path_exists(p); /* not under a name that no longer stands for it */
				if (there && inoci_hash_file(p, &h, &err) < 0) fail_msg("%s", err.msg);
				inoci_buf_printf(&b, "%s %d %s\n", arms[a], seed, there ? h.hex : "-");
				free(p);
			}
		}
	return inoci_buf_take(&b);
}

static char *reference; /* of an uninterrupted run */

static int set_up(void **state)
{
	inoc_err err = {0};
	model_path = tiny_model("runner");
	if (inoci_ops_ref(INOCI_DTYPE_F32, &ops, &err) < 0) return 1;
	char *dir = new_dir();
	if (run(dir, (inoci_run_options){0}, NULL, NULL, &err) < 0) {
		print_error("%s\n", err.msg);
		return 1;
	}
	reference = dump(dir);
	drop_dir(dir);
	return 0;
}

static int tear_down(void **state)
{
	unlink(model_path);
	free(model_path);
	free(reference);
	ops->free(ops);
	return 0;
}

static void check_same(const char *dir, const char *what)
{
	char *d = dump(dir);
	if (strcmp(d, reference)) {
		size_t i = 0;
		while (d[i] == reference[i]) i++;
		fail_msg("%s: differs at %zu: got ...%.200s\nwanted ...%.200s", what, i, d + (i > 60 ? i - 60 : 0),
		         reference + (i > 60 ? i - 60 : 0));
	}
	free(d);
}

static void structure(void **state)
{
	inoc_err err;
	seen s;
	char *dir = new_dir();
	if (run(dir, (inoci_run_options){.dry_run = true}, NULL, &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(s.steps, 6 * 6);
	assert_int_equal(s.want, 2 * 4 * (4 + 8 + 4));
	assert_int_equal(s.ends, 0);
	char *out = inoci_path_join(dir, "out");
	assert_false(inoci_path_exists(out));
	free(out);
	if (run(dir, (inoci_run_options){0}, NULL, &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(s.seeds, 1); /* the last one is the end */
	assert_int_equal(s.ends, 1);
	check_same(dir, "a second folder");
	/* in the reference dump: base in both seeds shares its greedy samples; its own prompt is none at all */
	inoci_store *st = NULL;
	inoci_experiment *e = NULL;
	inoci_results *r = NULL;
	char *path = inoci_asprintf("%s/out/store.db", dir);
	if (inoci_store_open_any(path, NULL, &st, &e, &err) < 0 || inoci_results_load(st, e, 0, &r, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(r->n_seeds, 2);
	const inoci_result_cell *g = inoci_results_cell(r, 0, 0), *own = inoci_results_cell(r, 0, 2),
	                        *hot = inoci_results_cell(r, 0, 1);
	assert_int_equal(g->n, 8);
	assert_true(g->v[0].id == g->v[4].id && g->v[0].id == own->v[0].id);
	assert_int_equal(hot->n, 16);
	assert_true(hot->v[0].id != hot->v[8].id);
	g = inoci_results_cell(r, 3, 0), own = inoci_results_cell(r, 3, 2);
	assert_null(strstr(g->v[0].rendered, "system"));
	assert_true(strstr(own->v[0].rendered, "Shout.") || strstr(own->v[0].rendered, "Be loud."));
	const inoci_result_adapter *a = inoci_results_adapter(r, 3, 0);
	assert_int_equal(a->n_train, 6);
	assert_int_equal(a->n_val, 2);
	assert_int_equal(a->steps, 6);
	assert_int_equal(a->n_metrics, 6);
	assert_true(isnan(a->metrics[0].val_loss) && !isnan(a->metrics[2].val_loss));
	assert_non_null(strstr(a->config, "\"rank\": 2"));
	assert_int_equal(r->n_runs, 1);
	assert_string_equal(r->runs[0].status, "done");
	inoci_results_free(r);
	inoci_experiment_free(e);
	inoci_store_free(st);
	free(path);
	/* again: nothing to do, and nothing done */
	if (run(dir, (inoci_run_options){0}, NULL, &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(s.steps, 0);
	assert_int_equal(s.want, s.have);
	assert_int_equal(s.seeds, 0);
	assert_int_equal(s.ends, 1);
	check_same(dir, "the second run");
	drop_dir(dir);
}

static void killed(void **state)
{
	char *dir = new_dir();
	inoc_err err;
	int kills = 0;
	for (int ms = 1; ms < 2000; ms += 1 + ms / 3) {
		pid_t child = fork();
		if (!child) {
			int rc = run(dir, (inoci_run_options){0}, NULL, NULL, &err);
			if (rc < 0) fprintf(stderr, "%s\n", err.msg);
			_exit(rc < 0);
		}
		usleep((useconds_t)ms * 1000);
		kill(child, SIGKILL);
		int status;
		waitpid(child, &status, 0);
		if (WIFSIGNALED(status)) {
			kills++;
			continue;
		}
		assert_int_equal(status, 0);
		break;
	}
	print_message("killed %d times\n", kills);
	assert_true(kills > 2);
	if (run(dir, (inoci_run_options){0}, NULL, NULL, &err) < 0) fail_msg("%s", err.msg);
	check_same(dir, "after kills");
	drop_dir(dir);
}

static volatile int stop;
static int ticks_left;
static void stopping_tick(void *ctx, const char *what, double done, double total, const char *unit, const char *detail)
{
	if (--ticks_left <= 0) stop = 1;
}
static void stopping_note(void *ctx, const char *line)
{
	if (--ticks_left <= 0) stop = 1;
}

static void stopped(void **state)
{
	char *dir = new_dir();
	inoc_err err;
	int stops = 0, rc;
	const inoci_progress p = {.tick = stopping_tick, .note = stopping_note, .stop = &stop};
	do {
		stop = 0;
		ticks_left = 2 + stops;
		rc = run(dir, (inoci_run_options){.progress = &p}, NULL, NULL, &err);
		if (rc == INOC_E_STOPPED) stops++;
		if (rc < 0 && rc != INOC_E_STOPPED) fail_msg("%s", err.msg);
		assert_true(stops < 1000);
	} while (rc < 0);
	print_message("stopped %d times\n", stops);
	assert_true(stops > 0);
	check_same(dir, "after stops");
	drop_dir(dir);
}

static void failing_writes(void **state)
{
	char *dir = new_dir();
	inoc_err err;
	int rc = -1, n;
	for (n = 1; n < 200 && rc < 0; n++) {
		inoci_fault_write_at(n);
		rc = run(dir, (inoci_run_options){0}, NULL, NULL, &err);
		inoci_fault_write_at(0);
		if (rc < 0) {
			assert_int_equal(rc, INOC_E_IO);
			assert_true(strlen(err.msg) > 0);
		}
	}
	assert_int_equal(rc, 0);
	assert_true(n > 2);
	check_same(dir, "after failed writes");
	drop_dir(dir);
}

static void changes(void **state)
{
	char *dir = new_dir();
	inoc_err err;
	seen s;
	const char *only[] = {"plain"};
	const uint64_t one[] = {1};
	inoci_run_options some = {.arms = only, .n_arms = 1, .seeds = one, .n_seeds = 1};
	if (run(dir, some, NULL, &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(s.steps, 6);
	/* the rest; what is there is not done again */
	if (run(dir, (inoci_run_options){0}, NULL, &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(s.steps, 5 * 6);
	check_same(dir, "in parts");
	/* another rate: all adapters are other ones; the labels follow */
	if (run(dir, some, "train.lr=0.02", &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(s.steps, 6);
	char *d = dump(dir);
	assert_null(strstr(d, "\nes|"));
	assert_non_null(strstr(d, "plain|1|"));
	assert_null(strstr(d, "plain|2|"));
	free(d);
	/* and back: each adapter is still there, under its content */
	if (run(dir, (inoci_run_options){0}, NULL, &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(s.steps, 0);
	assert_int_equal(s.want, s.have);
	check_same(dir, "there and back");
	d = dump(dir);
	assert_non_null(strstr(d, "\nes|"));
	free(d);
	/* a longer answer: samples only */
	if (run(dir, some, "evaluations.g.max_tokens=6", &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(s.steps, 0);
	assert_int_equal(s.want - s.have, 4);
	/* a lost folder is trained again, and its samples stay, as the bytes are the same */
	char *link = inoci_asprintf("%s/out/adapters/es-seed2", dir), *lost = realpath(link, NULL);
	assert_non_null(lost);
	free(link);
	drop_dir(lost);
	if (run(dir, (inoci_run_options){0}, NULL, &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(s.steps, 6);
	assert_int_equal(s.want, s.have);
	/* fresh: nothing is known, the old store is there under another name */
	if (run(dir, (inoci_run_options){.fresh = true}, NULL, &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(s.steps, 36);
	check_same(dir, "fresh");
	char *cmd = inoci_asprintf("ls %s/out | grep -c '^store.db.old-\\|^adapters.old-' | grep -q 2", dir);
	assert_int_equal(system(cmd), 0);
	free(cmd);
	drop_dir(dir);
}

static char *adapter_path(const char *dir, const char *name)
{
	return inoci_asprintf("%s/out/adapters/%s", dir, name);
}

static void set_dir(const char *dir, const char *where, const char *to)
{
	char *path = inoci_asprintf("%s/out/store.db", dir),
	     *sql = inoci_asprintf("UPDATE adapter SET dir = '%s' WHERE %s", to, where);
	inoci_store *s = NULL;
	inoc_err err = {0};
	if (inoci_store_open(path, true, 0, NULL, &s, &err) < 0 || inoci_store_exec(s, &err, sql, "") < 0)
		fail_msg("%s", err.msg);
	inoci_store_free(s);
	free(path);
	free(sql);
}

/* Folders by content; ARM-seedN is a link. A folder from before, under that name, moves to its place. */
static void places(void **state)
{
	char *dir = new_dir(), target[64] = "";
	inoc_err err;
	seen s;
	const char *only[] = {"plain"};
	const uint64_t one[] = {1};
	inoci_run_options some = {.arms = only, .n_arms = 1, .seeds = one, .n_seeds = 1};
	if (run(dir, some, NULL, NULL, &err) < 0) fail_msg("%s", err.msg);
	char *link = adapter_path(dir, "plain-seed1");
	assert_int_equal(readlink(link, target, sizeof target), 16);
	char *full = adapter_path(dir, target);
	assert_int_equal(unlink(link) | rename(full, link), 0);
	set_dir(dir, "dir IS NOT NULL", "adapters/plain-seed1");
	/* as it is: it serves, and is moved */
	if (run(dir, some, NULL, &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(s.steps, 0);
	assert_int_equal(readlink(link, target, sizeof target), 16);
	assert_true(inoci_path_exists(full));
	/* in the way of another adapter: it is moved too, and known when the setting comes back */
	assert_int_equal(unlink(link) | rename(full, link), 0);
	set_dir(dir, "dir IS NOT NULL", "adapters/plain-seed1");
	if (run(dir, some, "train.lr=0.02", &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(s.steps, 6);
	if (run(dir, some, NULL, &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(s.steps, 0);
	/* a folder that no adapter lies in is set aside */
	assert_int_equal(unlink(link), 0);
	write_file(link, "mine.txt", "x");
	if (run(dir, some, NULL, &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(readlink(link, target, sizeof target), 16);
	char *cmd = inoci_asprintf("ls -d %s.old-*/mine.txt >/dev/null", link);
	assert_int_equal(system(cmd), 0);
	free(cmd), free(link), free(full);
	drop_dir(dir);
}

static char notes[4000];
static void keep_note(void *ctx, const char *line)
{
	size_t n = strlen(notes);
	snprintf(notes + n, sizeof notes - n, "%s\n", line);
}

/* Which adapter was kept, and what the run has written down about itself. */
static void records(void **state)
{
	char *dir = new_dir(), *path = inoci_asprintf("%s/out", dir);
	inoc_err err;
	const char *only[] = {"plain", "es"};
	const uint64_t one[] = {7};
	const inoci_progress p = {.note = keep_note};
	inoci_store *st = NULL;
	inoci_experiment *e = NULL;
	inoci_results *r = NULL;
	notes[0] = 0;
	inoci_run_options some = {.arms = only, .n_arms = 2, .seeds = one, .n_seeds = 1, .progress = &p};
	if (run(dir, some,
	        "train={steps: 30, batch: 2, rank: 2, alpha: 4, lr: 0.3, schedule: constant, validation: 0.25, "
	        "eval_every: 1, patience: 2}",
	        NULL, &err) < 0)
		fail_msg("%s", err.msg);
	if (inoci_store_open_any(path, NULL, &st, &e, &err) < 0 || inoci_results_load(st, e, 0, &r, &err) < 0)
		fail_msg("%s", err.msg);
	const inoci_result_adapter *a = inoci_results_adapter(r, 1, 0);
	assert_true(a->early_stopped && a->steps < 30);
	assert_int_equal(a->saved_step, a->steps - 2);
	for (size_t i = 0; i < a->n_metrics; i++) assert_true(a->metrics[i].val_loss >= a->val_loss);
	char *said =
	        inoci_asprintf("seed 7, plain: saved: step %d, validation %.3f (stopped early)\n", a->saved_step, a->val_loss);
	assert_non_null(strstr(notes, said));
	free(said);
	assert_non_null(strstr(notes, "sampling g, hot, own; whole run "));

	json_t *q = json_loads(r->runs[0].request, 0, NULL), *made = json_loads(r->runs[0].provenance, 0, NULL), *f;
	assert_string_equal(json_string_value(json_object_get(q, "file")), e->path);
	assert_int_equal(json_array_size(json_object_get(q, "sets")), 2);
	assert_string_equal(json_string_value(json_array_get(json_object_get(q, "arms"), 1)), "es");
	assert_int_equal(json_integer_value(json_array_get(json_object_get(q, "seeds"), 0)), 7);
	assert_int_equal(json_string_value(json_object_get(q, "folder"))[0], '/');
	f = json_object_get(made, "files");
	assert_int_equal(json_array_size(f), 2);
	f = json_array_get(f, 1);
	assert_string_equal(json_string_value(json_object_get(f, "use")), "evaluation questions (g, hot, own)");
	inoci_hash h;
	assert_int_equal(inoci_hash_file(json_string_value(json_object_get(f, "path")), &h, &err), 0);
	assert_string_equal(json_string_value(json_object_get(f, "sha256")), h.hex);
	static const char *const named[] = {"inoc", "compiler", "CLD2", "PCRE2", "SQLite"};
	for (size_t i = 0; i < INOCI_COUNT(named); i++)
		assert_true(json_string_length(json_object_get(json_object_get(made, "versions"), named[i])) > 2);
	assert_true(json_string_length(json_object_get(made, "machine")) > 5);
	json_decref(q);
	json_decref(made);
	inoci_results_free(r);
	inoci_experiment_free(e);
	inoci_store_free(st);
	free(path);
	drop_dir(dir);
}

/* What tells less than it should is said before the run, in a dry run too; a short run says nothing of it. */
static void told_before(void **state)
{
	char *dir = new_dir();
	inoc_err err;
	inoci_buf b = {0};
	const inoci_progress p = {.note = keep_note};
	const inoci_run_options dry = {.dry_run = true, .progress = &p};
	for (int i = 0; i < 4; i++) /* of 1 and of 40 letters, and their end */
		inoci_buf_printf(&b,
		                 "{\"messages\":[{\"role\":\"user\",\"content\":\"e%d\"},{\"role\":\"assistant\",\"content\":"
		                 "\"%.*s\"}]}\n",
		                 i, i < 3 ? 40 : 1, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
	write_file(dir, "eval.jsonl", b.data);
	notes[0] = 0;
	assert_int_equal(run(dir, dry, NULL, NULL, &err), 0);
	assert_string_equal(notes, "evaluation g: 3 of 4 references are longer than max_tokens 5, end token included\n"
	                           "headline evaluation g: fewer than 100 prompts; a claim wants 100 prompts and temperature 1 "
	                           "(docs/measuring.md)\n");
	notes[0] = 0;
	assert_int_equal(run(dir, dry, "evaluations.g.max_tokens=64", NULL, &err), 0);
	assert_non_null(strstr(notes, "evaluation hot: 3 of 4 references are longer than max_tokens 5"));
	assert_null(strstr(notes, "evaluation own")); /* the same questions and limit again */
	notes[0] = 0;
	assert_int_equal(run(dir, dry, "evaluations.hot.temperature=0.5", NULL, &err), 0);
	assert_non_null(strstr(notes, "fewer than 100 prompts, and greedy, with none at temperature 1 beside it; "));
	notes[0] = 0;
	assert_int_equal(run(dir, dry, "short=2", NULL, &err), 0);
	assert_string_equal(notes, "");
	/* enough of both */
	inoci_buf_clear(&b);
	for (int i = 0; i < 100; i++) inoci_buf_printf(&b, "{\"messages\":[{\"role\":\"user\",\"content\":\"e%d\"}]}\n", i);
	write_file(dir, "eval.jsonl", b.data);
	assert_int_equal(run(dir, dry, NULL, NULL, &err), 0);
	assert_string_equal(notes, "");
	inoci_buf_free(&b);
	drop_dir(dir);
}

static void refusals(void **state)
{
	char *dir = new_dir();
	inoc_err err;
	const char *only[] = {"plian"};
	assert_int_equal(run(dir, (inoci_run_options){.arms = only, .n_arms = 1}, NULL, NULL, &err), INOC_E_USAGE);
	assert_non_null(strstr(err.msg, "there is no arm 'plian'; did you mean 'plain'?"));
	assert_int_equal(run(dir, (inoci_run_options){0}, "train.max_length=9", NULL, &err), INOC_E_LIMIT);
	assert_non_null(strstr(err.msg, "train.jsonl:1: the example is"));
	assert_int_equal(run(dir, (inoci_run_options){0}, "data=missing.jsonl", NULL, &err), INOC_E_IO);
	write_file(dir, "eval.jsonl", "{\"messages\":[{\"role\":\"user\",\"content\":\"Q3!\"}]}\n");
	assert_int_equal(run(dir, (inoci_run_options){0}, NULL, NULL, &err), INOC_E_FORMAT);
	assert_non_null(strstr(err.msg, "eval.jsonl:1: the question \"Q3!\" is also in the training data"));
	seen s;
	assert_int_equal(run(dir, (inoci_run_options){.dry_run = true}, "allow_overlap=true", &s, &err), 0);
	char *out = inoci_asprintf("%s/out/store.db", dir);
	inoci_store *st = NULL;
	if (inoci_store_open(out, true, 0, NULL, &st, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(run(dir, (inoci_run_options){0}, NULL, NULL, &err), INOC_E_BUSY);
	inoci_store_free(st);
	free(out);
	drop_dir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(structure),      cmocka_unit_test(killed),   cmocka_unit_test(stopped),
	        cmocka_unit_test(failing_writes), cmocka_unit_test(changes),  cmocka_unit_test(places),
	        cmocka_unit_test(records),        cmocka_unit_test(refusals), cmocka_unit_test(told_before)};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
