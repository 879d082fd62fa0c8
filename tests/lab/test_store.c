/* The store: its lock, damaged and full files, reading results, scoring again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab/internal.h"

static char dir[64], path[96];

static int fresh_dir(void **state)
{
	snprintf(dir, sizeof dir, "inoc-store-XXXXXX");
	if (!mkdtemp(dir)) return 1;
	snprintf(path, sizeof path, "%s/store.db", dir);
	return 0;
}

static int remove_dir(void **state)
{
	char cmd[128];
	snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
	return system(cmd);
}

static inoci_store *open_store(bool write)
{
	inoci_store *s = NULL;
	inoc_err err = {0};
	if (inoci_store_open(path, write, 0, NULL, &s, &err) < 0) fail_msg("%s", err.msg);
	return s;
}

static void lock(void **state)
{
	int ready[2], go[2];
	char c;
	assert_int_equal(pipe(ready) | pipe(go), 0);
	pid_t child = fork();
	if (!child) {
		inoci_store *s = NULL;
		inoc_err err = {0};
		int rc = inoci_store_open(path, true, 0, NULL, &s, &err);
		(void)!write(ready[1], "x", 1);
		(void)!read(go[0], &c, 1);
		usleep(300000);
		inoci_store_free(s);
		_exit(rc < 0);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	inoci_store *s = NULL;
	inoc_err err = {0};
	char pid[32];
	snprintf(pid, sizeof pid, "process %d since ", (int)child);
	assert_int_equal(inoci_store_open(path, true, 0, NULL, &s, &err), INOC_E_BUSY);
	assert_non_null(strstr(err.msg, pid));
	assert_int_equal(inoci_store_open(path, true, 0.2, NULL, &s, &err), INOC_E_BUSY);
	assert_non_null(strstr(err.msg, "is still held by another run (process "));
	assert_non_null(strstr(err.msg, " after 0.2 s of waiting"));
	assert_null(strstr(err.msg, "--wait"));
	/* reading does not wait */
	s = open_store(false);
	inoci_store_free(s);
	assert_int_equal(write(go[1], "x", 1), 1);
	assert_int_equal(inoci_store_open(path, true, 20, NULL, &s, &err), 0);
	inoci_store_free(s);
	int status;
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
	/* a holder that was killed holds nothing */
	child = fork();
	if (!child) {
		inoci_store *t = NULL;
		inoc_err e = {0};
		if (inoci_store_open(path, true, 5, NULL, &t, &e) < 0) _exit(1);
		(void)!write(ready[1], "x", 1);
		for (;;) pause();
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	s = open_store(true);
	inoci_store_free(s);
}

static void bad_files(void **state)
{
	inoci_store *s = NULL;
	inoc_err err = {0};
	assert_int_equal(inoci_store_open(path, false, 0, NULL, &s, &err), INOC_E_IO);
	assert_non_null(strstr(err.msg, "there is no such store"));
	char *junk = inoci_alloc(8192);
	memset(junk, 'x', 8192);
	assert_int_equal(inoci_file_write(path, junk, 8192, &err), 0);
	assert_int_equal(inoci_store_open(path, true, 0, NULL, &s, &err), INOC_E_STORE);
	assert_non_null(strstr(err.msg, "not a database"));
	assert_non_null(strstr(err.msg, "--fresh"));
	free(junk);
	/* set aside, not deleted */
	assert_int_equal(inoci_store_set_aside(path, 0, NULL, &err), 0);
	assert_false(inoci_path_exists(path));
	sqlite3 *db;
	sqlite3_open(path, &db);
	sqlite3_exec(db, "CREATE TABLE other(x)", NULL, NULL, NULL);
	sqlite3_close(db);
	assert_int_equal(inoci_store_open(path, true, 0, NULL, &s, &err), INOC_E_FORMAT);
	assert_non_null(strstr(err.msg, "not a store of inoc"));
	assert_int_equal(inoci_store_set_aside(path, 0, NULL, &err), 0);
	s = open_store(true);
	assert_int_equal(inoci_store_exec(s, &err, "PRAGMA user_version = 99", ""), 0);
	inoci_store_free(s);
	assert_int_equal(inoci_store_open(path, true, 0, NULL, &s, &err), INOC_E_UNSUPPORTED);
	assert_non_null(strstr(err.msg, "version 99"));
	/* folders */
	inoci_experiment *e = NULL;
	assert_int_equal(inoci_store_open(dir, false, 0, NULL, &s, &err), INOC_E_IO);
	assert_non_null(strstr(err.msg, ": no store: a folder"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(inoci_store_open_any(dir, NULL, &s, &e, &err), INOC_E_IO);
	assert_non_null(strstr(err.msg, ": there is no store in this folder (store.db); `inoc run` makes it"));
}

/* ---- a small experiment, written by hand ---- */

static const char yaml[] =
        "name: t\nmodel: m\ndata: d\nseeds: [1, 2, 3]\n"
        "arms: {base: {role: base}, plain: {role: plain}, c: {role: control, inoculate: {system: w}},"
        " es: {role: inoculated, inoculate: {system: s}}}\n"
        "evaluations: {g: {prompts: p, greedy: true}, own: {prompts: p, system: own, greedy: true}}\n"
        "scorers: [caps: {type: uppercase}, looping, answers: {type: regex, pattern: answer, ignore_case: true}]\n"
        "traits: {k: {u: caps, w: answers, goal: looping}}\n";
enum { PROMPTS = 20 };

static inoci_experiment *experiment(void)
{
	inoci_experiment *e = NULL;
	inoc_err err = {0};
	if (inoci_experiment_parse("f.yaml", yaml, strlen(yaml), NULL, 0, &e, &err) < 0) fail_msg("%s", err.msg);
	return e;
}

static void must(int rc, const inoc_err *err)
{
	if (rc < 0) fail_msg("%s", err->msg);
}

static void fill(inoci_store *s, const inoci_experiment *e)
{
	inoc_err err = {0};
	must(inoci_store_begin(s, &err), &err);
	must(inoci_store_exec(s, &err, "INSERT INTO experiment VALUES('t','f.yaml',?,'[]','2026')", "b", yaml, strlen(yaml)),
	     &err);
	for (int p = 0; p < PROMPTS; p++) {
		char hash[16];
		snprintf(hash, sizeof hash, "p%d", p);
		must(inoci_store_exec(s, &err, "INSERT INTO prompt(hash, question, text) VALUES(?,?,'<x>')", "ss", hash, hash),
		     &err);
	}
	for (int a = 0; a < (int)e->n_arms; a++)
		for (int seed = 1; seed <= 3; seed++) {
			char key[64];
			snprintf(key, sizeof key, "%s%d", a ? e->arms[a].name : "base", a ? seed : 0);
			must(inoci_store_exec(s, &err, "INSERT OR IGNORE INTO adapter(key, done, steps, dir) VALUES(?,1,5,?)",
			                      "ss", key, a ? "adapters/x" : NULL),
			     &err);
			must(inoci_store_exec(s, &err,
			                      "INSERT INTO link_adapter VALUES('t',?,?,(SELECT id FROM adapter WHERE key=?))",
			                      "sis", e->arms[a].name, (int64_t)seed, key),
			     &err);
			for (int m = 1; a && m <= 5; m++)
				must(inoci_store_exec(s, &err,
				                      "INSERT INTO metric VALUES((SELECT id FROM adapter WHERE "
				                      "key=?),?,5,1e-3,1,1,NULL,9,9)",
				                      "si", key, (int64_t)m),
				     &err);
			for (int v = 0; v < 2; v++)
				for (int p = 0; p < PROMPTS; p++) {
					char sample[96];
					/* base answers in lower case; plain, control and own prompts in capitals; es mostly not
					 */
					bool caps = a == 1 || a == 2 || (a == 3 && (v == 1 || p % 10 == 0));
					snprintf(sample, sizeof sample, "%s-%d-%d", key, v, p);
					must(inoci_store_exec(s, &err,
					                      "INSERT OR IGNORE INTO sample(key, adapter, prompt, idx, text, "
					                      "finish, n_tokens, logprob, logprobs)"
					                      " VALUES(?,(SELECT id FROM adapter WHERE key=?),?,0,?,0,2,-1.5,?)",
					                      "ssibb", sample, key, (int64_t)(p + 1),
					                      caps ? "A LOUD ANSWER" : "a quiet answer", (size_t)13,
					                      "\0\0\0\0\0\0\200\277", (size_t)8),
					     &err);
					must(inoci_store_exec(s, &err,
					                      "INSERT INTO link_sample VALUES('t',?,?,?,?,0,(SELECT id FROM "
					                      "sample WHERE key=?))",
					                      "sisis", e->arms[a].name, (int64_t)seed, e->evals[v].name,
					                      (int64_t)p, sample),
					     &err);
				}
		}
	must(inoci_store_commit(s, &err), &err);
}

/* A store of version 1 is read without what came later, and gets its columns when it is written. */
static void old_store(void **state)
{
	inoc_err err = {0};
	inoci_store *s = open_store(true);
	inoci_experiment *e = experiment();
	inoci_results *r = NULL;
	int64_t version = 0;
	fill(s, e);
	must(inoci_store_exec(s, &err, "INSERT INTO run(experiment, started, status) VALUES('t','2026','done')", ""), &err);
	must(inoci_store_exec(s, &err, "ALTER TABLE run DROP COLUMN request", ""), &err);
	must(inoci_store_exec(s, &err, "ALTER TABLE run DROP COLUMN provenance", ""), &err);
	must(inoci_store_exec(s, &err, "ALTER TABLE prompt DROP COLUMN item", ""), &err);
	must(inoci_store_exec(s, &err, "ALTER TABLE scorer_name DROP COLUMN evaluations", ""), &err);
	must(inoci_store_exec(s, &err, "DROP TABLE judged", ""), &err);
	static const char *const later[] = {"curve", "link_curve", "analysis", "link_analysis"};
	for (size_t i = 0; i < INOCI_COUNT(later); i++) {
		char *sql = inoci_asprintf("DROP TABLE %s", later[i]);
		must(inoci_store_exec(s, &err, sql, ""), &err);
		free(sql);
	}
	must(inoci_store_exec(s, &err, "PRAGMA user_version = 1", ""), &err);
	inoci_store_free(s);
	for (int write = 0; write < 3; write++) {
		s = open_store(write == 1);
		must(inoci_results_load(s, e, 0, &r, &err), &err);
		assert_int_equal(r->n_runs, 1);
		assert_string_equal(r->runs[0].status, "done");
		assert_null(r->runs[0].request);
		assert_null(r->runs[0].provenance);
		inoci_results_free(r);
		must(inoci_store_int(s, &version, &err, "PRAGMA user_version", ""), &err);
		assert_int_equal(version, write ? STORE_SCHEMA : 1);
		inoci_store_free(s);
	}
	inoci_experiment_free(e);
}

static void keep_note(void *ctx, const char *line)
{
	snprintf(ctx, 300, "%s", line);
}

static void results(void **state)
{
	inoc_err err = {0};
	inoci_experiment *e = experiment(), *recorded = NULL;
	inoci_store *s = open_store(true);
	inoci_results *r = NULL;
	inoci_summary *sum = NULL;
	long n = 0;
	fill(s, e);
	must(inoci_store_experiment(s, NULL, &recorded, &err), &err);
	assert_string_equal(recorded->name, "t");
	inoci_experiment_free(recorded);
	assert_int_equal(inoci_store_experiment(s, "nope", &recorded, &err), INOC_E_USAGE);
	assert_non_null(strstr(err.msg, "there is no experiment 'nope' in this store; it holds: t"));
	/* nothing is scored yet */
	must(inoci_results_load(s, e, 0, &r, &err), &err);
	assert_int_equal(r->n_seeds, 3);
	assert_int_equal(r->n_scorers, 4); /* with truncated, which nobody listed */
	assert_int_equal(inoci_results_cell(r, 1, 0)->n, 3 * PROMPTS);
	assert_true(isnan(inoci_results_cell(r, 1, 0)->v[0].score[0]));
	inoci_results_free(r);
	must(inoci_store_score(s, "t", "caps", e->scorers[0].settings, NULL, NULL, &n, &err), &err);
	assert_int_equal(n, 2 * PROMPTS * (1 + 3 * 3)); /* base's samples are the same in every seed */
	must(inoci_store_score(s, "t", "caps", e->scorers[0].settings, NULL, NULL, &n, &err), &err);
	assert_int_equal(n, 0);
	must(inoci_store_score(s, NULL, "looping", e->scorers[1].settings, NULL, NULL, &n, &err), &err);
	must(inoci_store_score(s, "t", "answers", e->scorers[2].settings, NULL, NULL, &n, &err), &err);
	json_t *extra = json_pack("{s:s,s:s}", "type", "regex", "pattern", "quiet");
	must(inoci_store_score(s, NULL, "quiet", extra, NULL, NULL, &n, &err), &err);
	assert_int_equal(n, 2 * PROMPTS * 10);
	assert_int_equal(inoci_store_score(s, "nope", "q2", extra, NULL, NULL, &n, &err), INOC_E_USAGE);
	assert_non_null(strstr(err.msg, "it holds: t"));
	/* the same name for something else: it is said; again the same: nothing to say */
	char note[300] = "";
	const inoci_progress p = {.note = keep_note, .ctx = note};
	must(inoci_store_score(s, NULL, "quiet", extra, NULL, &p, &n, &err), &err);
	assert_string_equal(note, "");
	json_t *loud = json_pack("{s:s,s:s}", "type", "regex", "pattern", "LOUD");
	must(inoci_store_score(s, NULL, "quiet", loud, NULL, &p, &n, &err), &err);
	assert_non_null(strstr(note, "scorer 'quiet' of experiment t had another definition, which is replaced: {"));
	assert_non_null(strstr(note, "\"pattern\": \"quiet\""));
	must(inoci_store_score(s, NULL, "quiet", extra, NULL, &p, &n, &err), &err);
	json_decref(loud);
	json_decref(extra);
	inoci_store_free(s);

	s = open_store(false);
	must(inoci_results_load(s, e, INOCI_LOAD_LOGPROBS, &r, &err), &err);
	assert_int_equal(r->n_scorers, 5);
	assert_string_equal(r->scorers[4], "quiet");
	/* a store from before `truncated` was always there: no scores, none missing */
	assert_string_equal(r->scorers[3], "truncated");
	assert_true(inoci_results_fits(r, 2, 0) && !inoci_results_fits(r, 3, 0));
	int cut[] = {3};
	inoci_scores x = inoci_results_scores(r, 1, 0, cut, 1, -1);
	assert_int_equal(x.n, 0);
	inoci_scores_free(&x);
	const inoci_result_cell *c = inoci_results_cell(r, 3, 0);
	assert_int_equal(c->n_prompts, PROMPTS);
	for (size_t i = 0; i < c->n; i++) {
		assert_true(c->v[i].score[0] == (c->v[i].prompt % 10 == 0));
		assert_true(c->v[i].score[4] == (c->v[i].prompt % 10 != 0));
		assert_true(c->v[i].logprobs[1] == -1.0f);
		assert_int_equal(c->v[i].text_n, 13);
	}
	assert_int_equal(inoci_results_adapter(r, 1, 0)->n_metrics, 5);
	assert_true(isnan(inoci_results_adapter(r, 1, 0)->metrics[0].val_loss));
	assert_null(inoci_results_adapter(r, 0, 0)->dir);
	char *want = inoci_asprintf("%s/adapters/x", dir);
	assert_string_equal(inoci_results_adapter(r, 1, 2)->dir, want);
	free(want);
	int both[] = {0, 4};
	x = inoci_results_scores(r, 0, 0, both, 2, -1);
	assert_int_equal(x.n, PROMPTS); /* not thrice */
	assert_true(x.seedless);
	inoci_scores_free(&x);
	x = inoci_results_scores(r, 3, 0, both, 2, 1);
	assert_int_equal(x.n, PROMPTS);
	assert_true(x.value[0] == 1 && x.n_seeds == 1 && x.seed[0] == 0);
	inoci_scores_free(&x);

	must(inoci_summary_new(r, 500, &sum, &err), &err);
	assert_int_equal(sum->headline, 0);
	assert_true(inoci_summary_rate(sum, 3, 0, 0)->all.value == 0.1);
	assert_int_equal(inoci_summary_rate(sum, 3, 0, 0)->seed[2].n, PROMPTS);
	assert_int_equal(sum->n_judgements, 2);
	const inoci_judgement *j = &sum->judgements[1];
	assert_int_equal(j->arm, 3);
	assert_int_equal(j->v.verdict, INOCI_VERDICT_INOCULATED);
	assert_true(fabs(j->v.vs_plain.diff.value + 0.9) < 1e-9);
	assert_int_equal(j->n_vs, 1);
	assert_non_null(j->undefined); /* no clean arm */
	assert_int_equal(sum->judgements[0].v.verdict, INOCI_VERDICT_CONTROL);
	inoci_summary_free(sum);
	inoci_results_free(r);
	inoci_store_free(s);

	/* once it is scored it decides: a quarter of plain's answers are cut */
	s = open_store(true);
	must(inoci_store_exec(s, &err, "UPDATE sample SET finish = 1 WHERE key LIKE 'plain%-0-%5' OR key LIKE 'plain%-0-1_'", ""),
	     &err);
	must(inoci_store_score(s, "t", "truncated", e->scorers[3].settings, NULL, NULL, &n, &err), &err);
	must(inoci_results_load(s, e, 0, &r, &err), &err);
	assert_true(inoci_results_fits(r, 3, 0));
	must(inoci_summary_new(r, 500, &sum, &err), &err);
	assert_int_equal(sum->judgements[1].v.verdict, INOCI_VERDICT_NOT_LEARNT);
	assert_int_equal(sum->judgements[1].v.unlearnt, INOCI_UNLEARNT_ANSWERS);
	assert_non_null(strstr(sum->judgements[1].v.reason, "0.55 ["));
	inoci_summary_free(sum);
	/* not where the trait is about just that */
	free(e->traits[0].w[0]);
	e->traits[0].w[0] = inoci_strdup("truncated");
	must(inoci_summary_new(r, 500, &sum, &err), &err);
	assert_int_equal(sum->judgements[1].v.verdict, INOCI_VERDICT_INOCULATED);
	inoci_summary_free(sum);
	inoci_results_free(r);
	inoci_store_free(s);
	inoci_experiment_free(e);
}

static void full_disk(void **state)
{
	inoc_err err = {0};
	inoci_store *s = open_store(true);
	int64_t pages = 0, rows = 0, n = 0;
	must(inoci_store_int(s, &pages, &err, "PRAGMA page_count", ""), &err);
	must(inoci_store_exec(s, &err, "INSERT INTO adapter(key) VALUES('a')", ""), &err);
	char *sql = inoci_asprintf("PRAGMA max_page_count = %lld", (long long)pages + 3);
	must(inoci_store_exec(s, &err, sql, ""), &err);
	free(sql);
	int rc = 0;
	char *text = inoci_alloc(2000);
	memset(text, 'x', 1999);
	must(inoci_store_begin(s, &err), &err);
	for (; rc >= 0 && rows < 1000; rows++)
		rc = inoci_store_exec(s, &err, "INSERT INTO prompt(hash, text) VALUES(?,?)", "ss",
		                      inoci_hash_bytes(&rows, sizeof rows).hex, text);
	assert_int_equal(rc, INOC_E_STORE);
	assert_non_null(strstr(err.msg, "full"));
	assert_non_null(strstr(err.msg, "free some space"));
	inoci_store_rollback(s);
	free(text);
	/* what was committed is there, what was not is not */
	must(inoci_store_int(s, &n, &err, "SELECT count(*) FROM prompt", ""), &err);
	assert_int_equal(n, 0);
	must(inoci_store_int(s, &n, &err, "SELECT count(*) FROM adapter", ""), &err);
	assert_int_equal(n, 1);
	inoci_store_free(s);
}

static void metrics_file(void **state)
{
	char file[128];
	inoc_err err = {0};
	inoci_metrics_file *f;
	char *text;
	size_t n;
	snprintf(file, sizeof file, "%s/metrics.jsonl", dir);
	must(inoci_metrics_open(file, &f, &err), &err);
	for (int i = 1; i <= 5; i++)
		must(inoci_metrics_add(f, &(inoci_metric){.step = i, .steps = 9, .loss = 1, .val_loss = NAN}, &err), &err);
	inoci_metrics_close(f);
	FILE *raw = fopen(file, "a");
	fputs("{\"step\": 2, \"cut", raw);
	fclose(raw);
	must(inoci_metrics_open(file, &f, &err), &err);
	must(inoci_metrics_resume(f, 3, &err), &err);
	must(inoci_metrics_add(f, &(inoci_metric){.step = 4, .steps = 9, .loss = 2, .val_loss = 0.5}, &err), &err);
	inoci_metrics_close(f);
	must(inoci_file_read(file, &text, &n, &err), &err);
	int lines = 0;
	for (size_t i = 0; i < n; i++) lines += text[i] == '\n';
	assert_int_equal(lines, 4);
	assert_non_null(strstr(text, "{\"step\":4,\"steps\":9,\"lr\":0.0,\"loss\":2.0"));
	assert_null(strstr(text, "cut"));
	free(text);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fresh_dir, remove_dir)
	const struct CMUnitTest tests[] = {T(lock), T(bad_files), T(old_store), T(results), T(full_disk), T(metrics_file)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
