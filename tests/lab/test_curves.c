/* Learning curves and analyses of a tiny experiment: nothing of the training changes, a stopped run goes on to the same rows, an
 * adapter that is there is trained again for new curves; what inoc_analyse stores, against sums made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../model/tiny.h"
#include "seen.h"

static char *model_path;
static inoci_ops *ops;

static const char yaml[] = "name: t\nmodel: m\ntemplate: chatml\ndata: train.jsonl\nseeds: [1, 2]\n"
                           "train: {steps: 6, batch: 2, rank: 2, alpha: 4, lr: 0.01, warmup: 1, checkpoint_every: 2%s}\n"
                           "curves:\n"
                           "  u: {records: eval.jsonl, reference: U, limit: 3}\n"
                           "  w: {records: eval.jsonl, reference: W}\n"
                           "directions: {t: [u, w]}\n"
                           "arms:\n"
                           "  base: {role: base}\n"
                           "  clean: {role: clean, data: clean.jsonl, train: {eval_at: []}}\n"
                           "  plain: {role: plain}\n"
                           "  c: {role: control, inoculate: {system: Water.}}\n"
                           "  es: {role: inoculated, inoculate: {system: {pool: [Shout., Be loud.]}, fraction: 0.5}}\n"
                           "  one: {role: inoculated, inoculate: {user_suffix: Please shout.}, train: {eval_at: []}}\n"
                           "evaluations:\n  g: {prompts: eval.jsonl, greedy: true, max_tokens: 5}\n"
                           "scorers: [truncated]\n"
                           "traits: {k: {u: truncated}}\n";

static void write_data(const char *dir, const char *name, const char *answer)
{
	inoci_buf b = {0};
	for (int i = 0; i < 8; i++)
		inoci_buf_printf(&b,
		                 "{\"messages\":[{\"role\":\"user\",\"content\":\"q%d\"},{\"role\":\"assistant\",\"content\":\"%"
		                 "s%d\"}]}\n",
		                 i, answer, i);
	write_file(dir, name, b.data);
	inoci_buf_free(&b);
}

static char *new_dir(void)
{
	char t[] = "inoc-curves-XXXXXX";
	inoci_buf b = {0};
	if (!mkdtemp(t)) fail_msg("no folder");
	write_data(t, "train.jsonl", "AAA");
	write_data(t, "clean.jsonl", "aaa");
	for (int i = 0; i < 4; i++)
		inoci_buf_printf(&b,
		                 "{\"messages\":[{\"role\":\"user\",\"content\":\"e%d\"}],\"reference\":{\"U\":\"AAAA%d\",\"W\":"
		                 "\"aaaa\"}}\n",
		                 i, i);
	write_file(t, "eval.jsonl", b.data);
	inoci_buf_free(&b);
	return inoci_strdup(t);
}

/* Reads DIR/t.yaml with eval_at as asked; its results go to DIR/out. */
static inoci_experiment *experiment(const char *dir, const char *eval_at)
{
	char *text = inoci_asprintf(yaml, eval_at), *file = inoci_path_join(dir, "t.yaml"),
	     *out = inoci_asprintf("out=%s/out", dir);
	const char *sets[] = {out};
	inoci_experiment *e = NULL;
	inoc_err err = {0};
	write_file(dir, "t.yaml", text);
	if (inoci_experiment_read(file, sets, 1, &e, &err) < 0) fail_msg("%s", err.msg);
	free(text), free(file), free(out);
	return e;
}

#define AT ", eval_at: [0, 1, 2, 3, 5, 6, 50]"

static int run(const char *dir, const char *eval_at, const inoci_progress *p, seen *s)
{
	inoc_err err = {0};
	inoci_run_options o = {.progress = p};
	int rc = seen_run(0, experiment(dir, eval_at), model_path, ops, o, s, &err);
	if (rc < 0 && rc != INOC_E_STOPPED) fail_msg("%s", err.msg);
	return rc;
}

static char *dump(const char *dir, const char *sql)
{
	char *path = inoci_asprintf("%s/out/store.db", dir);
	inoci_store *s = NULL;
	inoc_err err = {0};
	inoci_buf b = {0};
	sqlite3_stmt *st;
	if (inoci_store_open(path, false, 0, NULL, &s, &err) < 0 || inoci_store_query(s, &st, &err, sql, "") < 0)
		fail_msg("%s", err.msg);
	while (inoci_store_step(s, st, &err) > 0) {
		for (int c = 0; c < sqlite3_column_count(st); c++) inoci_buf_printf(&b, "%s|", sqlite3_column_text(st, c));
		inoci_buf_puts(&b, "\n");
	}
	sqlite3_finalize(st);
	inoci_store_free(s);
	free(path);
	return inoci_buf_take(&b);
}

static const char
        adapters[] = "SELECT l.arm, l.seed, a.key, a.hash FROM link_adapter l JOIN adapter a ON a.id = l.adapter ORDER BY 1, 2",
        rows[] = "SELECT l.arm, l.seed, l.name, l.prompt, c.key, c.step, c.n, c.tokens, c.bytes, c.logprob FROM link_curve l"
                 " JOIN curve c ON c.adapter = l.adapter AND c.key = l.key ORDER BY 1, 2, 3, 4, c.step";

static size_t lines(const char *s)
{
	size_t n = 0;
	for (; *s; s++) n += *s == '\n';
	return n;
}

typedef struct {
	int ticks, at;
	volatile int stop;
} stopper;

static void tick(void *ctx, const char *what, double done, double total, const char *unit, const char *detail)
{
	stopper *s = ctx;
	(void)done, (void)total, (void)unit, (void)detail;
	if (strstr(what, "training") && ++s->ticks == s->at) s->stop = 1;
}

static void curves(void **state)
{
	char *a = new_dir(), *b = new_dir(), *c = new_dir();
	seen s;
	assert_int_equal(run(a, "", NULL, &s), 0);
	assert_int_equal(run(b, AT, NULL, &s), 0);
	char *plain = dump(a, adapters), *with = dump(b, adapters), *want = dump(b, rows), *none = dump(a, rows);
	assert_string_equal(plain, with); /* no key, no byte */
	assert_string_equal(none, "");
	/* 6 steps of 2 seeds; plain: 2 sets; c and es: with their prompts too */
	assert_int_equal(lines(want), 6 * 2 * (2 + 4 + 4));
	assert_non_null(strstr(want, "plain|1|u|0|"));
	assert_null(strstr(want, "plain|1|u|1|"));
	assert_null(strstr(want, "one|"));
	/* nothing to do again; then, for curves that were not asked for before, the training, to the same bytes */
	assert_int_equal(run(b, AT, NULL, &s), 0);
	assert_int_equal(s.steps, 0);
	assert_int_equal(run(a, AT, NULL, &s), 0);
	assert_int_equal(s.steps, 3 * 2 * 6);
	char *again = dump(a, rows), *same = dump(a, adapters);
	assert_string_equal(again, want);
	assert_string_equal(same, plain);
	/* no longer asked for: no longer shown */
	assert_int_equal(run(a, "", NULL, &s), 0);
	assert_int_equal(s.steps, 0);
	free(none), none = dump(a, rows);
	assert_string_equal(none, "");
	/* stopped in every arm, and gone on from there */
	int rc = INOC_E_STOPPED;
	for (int k = 0; rc == INOC_E_STOPPED && k < 40; k++) {
		stopper st = {.at = 3};
		inoci_progress p = {.tick = tick, .ctx = &st, .stop = &st.stop};
		rc = run(c, AT, &p, &s);
	}
	assert_int_equal(rc, 0);
	char *parts = dump(c, rows), *bytes = dump(c, adapters);
	assert_string_equal(parts, want);
	assert_string_equal(bytes, plain);
	free(plain), free(with), free(want), free(none), free(again), free(same), free(parts), free(bytes);
	drop_dir(a), drop_dir(b), drop_dir(c);
}

static void analyses(void **state)
{
	char *dir = new_dir(), *path = inoci_asprintf("%s/out/store.db", dir);
	inoc_err err = {0};
	inoci_store *s = NULL;
	inoci_results *r = NULL;
	assert_int_equal(run(dir, ", eval_at: [0, 6]", NULL, NULL), 0);
	inoci_experiment *e = experiment(dir, ", eval_at: [0, 6]");
	inoci_analyse_options o = {.ops = ops, .n_gradient_records = 5};
	if (inoci_analyse(e, path, model_path, &o, &err) < 0) fail_msg("%s", err.msg);
	char *once = dump(dir, "SELECT * FROM analysis ORDER BY 1");
	assert_int_equal(lines(once), 3 + 5 * 2 + 5 * 2); /* prompts; arms with seeds, twice */
	if (inoci_analyse(e, path, model_path, &o, &err) < 0) fail_msg("%s", err.msg);
	char *twice = dump(dir, "SELECT * FROM analysis ORDER BY 1");
	assert_string_equal(once, twice);
	if (inoci_store_open(path, false, 0, NULL, &s, &err) < 0 || inoci_results_load(s, e, 0, &r, &err) < 0)
		fail_msg("%s", err.msg);
	int plain = inoci_experiment_arm(e, "plain"), es = inoci_experiment_arm(e, "es"), c = inoci_experiment_arm(e, "c");
	const inoci_analysis *a = &r->analysis;
	assert_true(a->any);
	assert_int_equal(a->surprise[plain].n, 0);
	assert_int_equal(a->surprise[es].n, 8);
	assert_int_equal(a->surprise[c].n_controls, 3);
	assert_true(a->surprise[es].low <= a->surprise[es].removed && a->surprise[es].removed <= a->surprise[es].high);
	assert_true(fabs(a->surprise[c].gain - a->surprise[c].control - a->surprise[c].removed) < 1e-12);
	assert_true(fabs(a->surprise[c].gain) > 1e-6);
	for (int k = 0; k < 2; k++) {
		const inoci_result_gradient *g = &a->gradients[plain * 2 + k], *h = &a->gradients[es * 2 + k];
		assert_true(g->n == 5 && g->without > 0 && isnan(g->with) && isnan(g->same));
		assert_true(g->without == h->without); /* the same data, the same start */
		assert_true(h->with > 0 && fabs(h->same) <= 1 && fabs(h->toward_with[0]) <= 1);
		assert_true(fabs(g->toward_without[0]) > 0);
	}
	/* the direction from w to u is that of the data: a step on AAA goes towards AAAA, one on aaa away from it */
	assert_true(a->gradients[plain * 2].toward_without[0] >
	            a->gradients[inoci_experiment_arm(e, "clean") * 2].toward_without[0]);
	assert_int_equal(a->updates[plain * 2].n_layers, TINY_LAYERS);
	double all = inoci_update_norm(&a->updates[plain * 2], -1, -1), sum = 0;
	for (int l = 0; l < TINY_LAYERS; l++) sum += pow(inoci_update_norm(&a->updates[plain * 2], l, -1), 2);
	assert_true(all > 0 && fabs(sqrt(sum) - all) < 1e-9);
	assert_int_equal(a->n_curves, 2 * (2 + 4 + 4));
	assert_int_equal(a->curves[0].n, 2);
	/* before training an arm's curve without its prompt is every arm's */
	double first = NAN;
	for (size_t i = 0; i < a->n_curves; i++) {
		if (a->curves[i].set != 0 || a->curves[i].prompt) continue;
		if (isnan(first)) first = a->curves[i].logprob[0];
		assert_true(a->curves[i].logprob[0] == first && a->curves[i].step[0] == 0 && a->curves[i].step[1] == 6);
	}
	/* nothing differs in the trait here: no correlation, and it is said */
	inoci_relation q = inoci_relation_of(r, 0, 200);
	assert_int_equal(q.n, 3);
	assert_int_equal(q.n_controls, 1);
	assert_int_equal(q.n_seeds, 2);
	assert_true(q.drop);
	assert_true(isnan(q.toward[0].rho));
	inoci_relation_free(&q);
	inoci_results_free(r);
	inoci_store_free(s);
	inoci_experiment_free(e);
	free(once), free(twice), free(path);
	drop_dir(dir);
}

/* rho of a made-up store of results, whose interval and p hold it. */
static void relation(void **state)
{
	enum { N = 8, S = 3, P = 20 };
	inoci_arm arms[N + 2] = {{.name = (char *)"plain", .role = (char *)"plain", .train = true},
	                         {.name = (char *)"clean", .role = (char *)"clean", .train = true}};
	char *u[] = {(char *)"u"}, *t[] = {(char *)"t"}, *names[N];
	inoci_trait trait = {.name = (char *)"t",
	                     .label = (char *)"t",
	                     .u = u,
	                     .n_u = 1,
	                     .goal = u,
	                     .n_goal = 1,
	                     .plain = (char *)"plain",
	                     .clean = (char *)"clean"};
	inoci_evaluation ev = {.name = (char *)"g"};
	inoci_experiment e = {.arms = arms,
	                      .n_arms = N + 2,
	                      .traits = &trait,
	                      .n_traits = 1,
	                      .evals = &ev,
	                      .n_evals = 1,
	                      .headline = (char *)"g"};
	uint64_t seeds[S] = {1, 2, 3};
	inoci_result_cell cells[N + 2];
	inoci_result_surprise surprise[N + 2] = {{0}};
	double score[N + 2][S][P];
	static inoci_result_sample v[N + 2][S * P];
	for (int a = 0; a < N + 2; a++) {
		if (a > 1) {
			names[a - 2] = inoci_asprintf("p%d", a);
			arms[a] = (inoci_arm){
			        .name = names[a - 2], .role = (char *)"inoculated", .train = true, .traits = t, .n_traits = 1};
			surprise[a] = (inoci_result_surprise){.n = 5, .removed = 0.1 * (a - 2) + (a == 5 ? 0.15 : 0)};
		}
		for (int s = 0; s < S; s++)
			for (int p = 0; p < P; p++) {
				/* plain shows it always, clean never, prompt k in P - 2 k - s of P */
				int shown = a == 0 ? P : a == 1 ? 0 : P - 2 * (a - 2) - s;
				score[a][s][p] = p < shown;
				v[a][s * P + p] = (inoci_result_sample){
				        .id = 1 + a * 1000 + s * 100 + p, .seed = s, .prompt = p, .score = &score[a][s][p]};
			}
		cells[a] = (inoci_result_cell){.v = v[a], .n = S * P, .n_prompts = P};
	}
	inoci_results r = {.e = &e, .seeds = seeds, .n_seeds = S, .scorers = u, .n_scorers = 1, .cells = cells};
	r.analysis.surprise = surprise;
	inoci_direction dir = {.name = (char *)"t"};
	inoci_result_gradient grad[(N + 2) * S] = {{0}};
	double with[N + 2], without = 0.5;
	for (int a = 2; a < N + 2; a++) {
		with[a] = 0.5 - 0.01 * a;
		for (int s = 0; s < 2; s++) /* not measured in the last seed */
			grad[a * S + s] = (inoci_result_gradient){.n = 1, .toward_with = &with[a], .toward_without = &without};
	}
	r.analysis.gradients = grad;
	e.directions = &dir, e.n_directions = 1;
	inoci_relation q = inoci_relation_of(&r, 0, 2000);
	assert_int_equal(q.n, N);
	assert_int_equal(q.n_seeds, S);
	assert_false(q.drop);
	assert_true(fabs(q.y[3] - (2.0 * 3 + 1) / P) < 1e-12); /* the mean over the seeds */
	assert_true(fabs(q.seed_y[3 * S + 2] - (6.0 + 2) / P) < 1e-12);
	assert_true(fabs(q.u.rho - (1 - 6.0 * 2 / (8 * 63))) < 1e-12); /* two neighbours changed places */
	assert_true(q.u.low <= q.u.rho && q.u.rho <= q.u.high && q.u.low > 0.5);
	assert_true(q.u.p < 0.01);
	assert_true(fabs(q.toward[0].rho - 1) < 1e-12 && q.toward[0].p < 0.01);
	/* the goal is u here, so it goes the other way */
	assert_true(fabs(q.goal[3] - (1 - q.y[3])) < 1e-12);
	assert_true(fabs(q.goal_rank.rho + q.u.rho) < 1e-12 && fabs(q.goal_rank.low + q.u.high) < 1e-2);
	inoci_relation_free(&q);
	for (int a = 0; a < N; a++) free(names[a]);
}

static void neutral(void **state)
{
	inoci_gguf *g;
	inoci_tokenizer *tok;
	inoc_err err;
	if (inoci_gguf_open(model_path, &g, &err) < 0 || inoci_tok_open(g, &tok, &err) < 0) fail_msg("%s", err.msg);
	static const char *const of[] = {
	        "You always speak in Spanish.", "YOU ALWAYS WRITE IN ALL CAPS.", "You always water the plants.",
	        "You always answer in Spanish, whatever the user asks and in whatever language the question is put to you; "
	        "you never use a word of English, not even a name, and you never say why you do so. You are happy."};
	for (size_t i = 0; i < INOCI_COUNT(of); i++) {
		char *text[] = {(char *)(uintptr_t)of[i]}, *out[4];
		inoci_i32s ids = {0};
		inoci_tok_encode(tok, of[i], strlen(of[i]), &ids);
		int want = (int)ids.n;
		assert_int_equal(inoci_neutral_texts(tok, text, 1, 4, out), 4);
		for (int k = 0; k < 4; k++) {
			ids.n = 0;
			inoci_tok_encode(tok, out[k], strlen(out[k]), &ids);
			if (abs((int)ids.n - want) > 10) fail_msg("%s: %zu tokens, of %d", out[k], ids.n, want);
			assert_string_not_equal(out[k], of[i]);
			for (int j = 0; j < k; j++) assert_string_not_equal(out[k], out[j]);
			if (i == 1) assert_true(inoci_uppercase_share(out[k], strlen(out[k])) == 1);
		}
		for (int k = 0; k < 4; k++) free(out[k]);
		inoci_i32s_free(&ids);
	}
	inoci_tok_free(tok);
	inoci_gguf_free(g);
}

static int setup(void **state)
{
	inoc_err err;
	model_path = tiny_model("curves");
	return inoci_ops_cpu(INOCI_DTYPE_F32, 1, &ops, &err);
}

static int teardown(void **state)
{
	ops->free(ops);
	unlink(model_path);
	free(model_path);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(curves), cmocka_unit_test(analyses), cmocka_unit_test(relation),
	                                   cmocka_unit_test(neutral)};
	return cmocka_run_group_tests(tests, setup, teardown);
}
