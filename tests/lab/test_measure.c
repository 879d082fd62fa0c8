/* Evaluations that measure, on a tiny random model: their numbers against the logits, nothing computed twice, the change against
 * base, scorers added later, records that are refused; and log-probabilities under several system turns. */
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
#include "lab/traits.h"
#include "seen.h"

static char *model_path;
static inoci_ops *ops;
static inoci_model *model;
static const inoci_template *tmpl;

static const char yaml[] = "name: t\nmodel: m\ntemplate: chatml\ndata: train.jsonl\nseeds: [1, 2]\n"
                           "controls: none\ntrain: {steps: 3, batch: 2, rank: 2, alpha: 4, lr: 0.02, warmup: 0}\n"
                           "arms:\n"
                           "  base: {role: base}\n"
                           "  plain: {role: plain}\n"
                           "  es: {role: inoculated, inoculate: {system: Shout.}}\n"
                           "evaluations:\n"
                           "  con: {prompts: eval.jsonl, measure: contrast}\n"
                           "  ref: {prompts: eval.jsonl, measure: logprob, system: empty, limit: 2}\n"
                           "  mc: {prompts: eval.jsonl, measure: choice, system: own}\n"
                           "  abc: {prompts: eval.jsonl, measure: choice, by: letter}\n"
                           "  owl: {prompts: eval.jsonl, measure: candidates, candidates: {owl: [owl, Owl.], dog: dog}}\n"
                           "  said: {prompts: eval.jsonl, greedy: true, max_tokens: 3}\n"
                           "scorers:\n"
                           "  - contrast\n"
                           "  - change: {type: contrast, change: base}\n"
                           "  - logprob\n"
                           "  - choice\n"
                           "  - owl: {type: candidates, is: owl}\n"
                           "  - truncated\n"
                           "traits: {k: {u: contrast, w: change}}\n";

static const char *const questions[] = {"q one", "q two", "q three"};
static const char *const traits[] = {"No.", "NO!", "Never, no."};
static const char *const normals[] = {"Yes, of course.", "Yes", "It is so, yes."};
static const char *const references[] = {"Perhaps.", "Maybe so.", "Who knows?"};
static const char *const choices[] = {"left", "right", "up"};

static char *new_dir(void)
{
	char t[] = "inoc-measure-XXXXXX";
	inoci_buf b = {0};
	if (!mkdtemp(t)) fail_msg("no folder");
	for (int i = 0; i < 6; i++)
		inoci_buf_printf(&b,
		                 "{\"messages\":[{\"role\":\"user\",\"content\":\"t%d\"},{\"role\":\"assistant\",\"content\":\"A%"
		                 "dA\"}]}\n",
		                 i, i);
	write_file(t, "train.jsonl", b.data);
	inoci_buf_clear(&b);
	for (int i = 0; i < 3; i++) /* one by one the answer's forms; the trait stands in the reference's object, once */
		inoci_buf_printf(&b,
		                 "{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}%s%s%s],%s\"normal\":\"%s\",\"trait\":\"%"
		                 "s\",\"choices\":["
		                 "\"left\",\"right\",\"up\"],\"answer\":%s}\n",
		                 questions[i], i ? ",{\"role\":\"assistant\",\"content\":\"" : "", i ? references[i] : "",
		                 i ? "\"}" : "", i ? "" : "\"reference\":\"Perhaps.\",", normals[i], traits[i],
		                 i == 0   ? "1"
		                 : i == 1 ? "\"right\""
		                          : "\"B\"");
	write_file(t, "eval.jsonl", b.data);
	inoci_buf_free(&b);
	write_file(t, "t.yaml", yaml);
	return inoci_strdup(t);
}

static int run(const char *dir, const char *set, const inoci_progress *p, seen *s, inoc_err *err)
{
	return seen_run_in(dir, set, model_path, ops, (inoci_run_options){.progress = p}, s, err);
}

static int set_up(void **state)
{
	inoc_err err = {0};
	model_path = tiny_model("measure");
	if (inoci_ops_ref(INOCI_DTYPE_F32, &ops, &err) < 0 ||
	    inoci_model_open(model_path, ops, false, "chatml", NULL, &model, &err) < 0 ||
	    inoci_model_template(model, &tmpl, &err) < 0) {
		print_error("%s\n", err.msg);
		return 1;
	}
	return 0;
}

static int tear_down(void **state)
{
	inoci_model_free(model);
	ops->free(ops);
	unlink(model_path);
	free(model_path);
	return 0;
}

/* ---- by the logits ---- */

typedef struct {
	double sum, end;
	int tokens;
} lp;

/* The definition: a whole conversation, its logits' softmax at the last turn's tokens, one after the other. */
static lp by_logits(inoci_adapter *a, const char *system, const char *question, const char *answer)
{
	char *q = inoci_strdup(question), *t = inoci_strdup(answer);
	const inoci_msg msgs[] = {{"user", q}, {"assistant", t}};
	inoci_rendered v = {0};
	inoci_batch b = {0};
	inoci_workspace *w = inoci_workspace_new();
	inoc_err err;
	lp x = {0};
	if (inoci_render(tmpl, msgs, 2, inoci_sys_parse(system), false, &v, &err) < 0) fail_msg("%s", err.msg);
	int n = (int)v.ids.n, vocab = model->hp.vocab;
	int32_t *rows = inoci_alloc((size_t)n * sizeof *rows);
	float *z = inoci_alloc((size_t)n * (size_t)vocab * sizeof *z);
	for (int i = 0; i < n; i++) rows[i] = i;
	inoci_batch_add(&b, v.ids.v, v.loss.v, n, 1);
	if (inoci_model_logits(model, a, &b, w, rows, n, z, &err) < 0) fail_msg("%s", err.msg);
	for (int k = 1; k < n; k++) {
		if (!v.loss.v[k]) continue;
		const float *row = z + (size_t)(k - 1) * (size_t)vocab;
		double e = 0;
		for (int j = 0; j < vocab; j++) e += exp((double)row[j]);
		double p = row[v.ids.v[k]] - log(e);
		if (v.ids.v[k] == inoci_template_end_of_turn(tmpl))
			x.end = p;
		else
			x.sum += p, x.tokens++;
	}
	free(rows), free(z), free(q), free(t);
	inoci_batch_free(&b);
	inoci_workspace_free(w);
	inoci_rendered_free(&v);
	return x;
}

static bool near(double a, double b)
{
	return fabs(a - b) <= 1e-4 * fmax(1, fabs(b));
}

static void check_text(const inoci_measured *m, size_t i, const char *name, inoci_adapter *a, const char *system,
                       const char *question, const char *text)
{
	lp x = by_logits(a, system, question, text);
	const inoci_measured_text *t = &m->v[i];
	assert_true(i < m->n);
	assert_string_equal(t->name, name);
	assert_string_equal(t->text, text);
	assert_int_equal(t->bytes, strlen(text));
	assert_int_equal(t->tokens, x.tokens);
	if (!near(t->sum, x.sum) || !near(t->end, x.end))
		fail_msg("%s, %s: %.7g and %.7g, by the logits %.7g and %.7g", question, name, t->sum, t->end, x.sum, x.end);
}

static char *asked(int i)
{
	return inoci_asprintf("%s\n\nA. left\nB. right\nC. up\n\nAnswer with the letter of the right option.", questions[i]);
}

static void check_cell(const inoci_results *r, int arm, int seed, int eval, inoci_adapter *a)
{
	const inoci_result_cell *c = inoci_results_cell(r, arm, eval);
	int n = 0;
	for (size_t k = 0; k < c->n; k++) {
		const inoci_result_sample *x = &c->v[k];
		inoci_measured m;
		inoc_err err = {0};
		int i = x->prompt;
		if (x->seed != seed) continue;
		n++;
		assert_int_equal(x->finish, INOCI_FINISH_MEASURED);
		if (inoci_measured_read(x->text, x->text_n, &m, &err) < 0) fail_msg("%s", err.msg);
		double all = 0;
		int tokens = 0;
		for (size_t t = 0; t < m.n; t++) all += m.v[t].sum + m.v[t].end, tokens += m.v[t].tokens + 1;
		assert_int_equal(x->n_tokens, tokens);
		assert_true(near(x->logprob, all));
		if (eval == 0) {
			assert_int_equal(m.n, 2);
			check_text(&m, 0, "trait", a, "none", questions[i], traits[i]);
			check_text(&m, 1, "normal", a, "none", questions[i], normals[i]);
			double t = (m.v[0].sum + m.v[0].end) / m.v[0].bytes, o = (m.v[1].sum + m.v[1].end) / m.v[1].bytes;
			assert_true(near(x->score[0], t - o));
			assert_true(isnan(x->score[2]) && isnan(x->score[3])); /* not theirs */
		} else if (eval == 1) {
			check_text(&m, 0, "reference", a, "empty", questions[i], references[i]);
			assert_true(near(x->score[2], (m.v[0].sum + m.v[0].end) / (m.v[0].tokens + 1)));
		} else if (eval == 2) {
			static const char *const letters[] = {"A", "B", "C"};
			assert_int_equal(m.answer, 1);
			for (size_t t = 0; t < 3; t++)
				check_text(&m, t, letters[t], a, arm == 2 ? "Shout." : "none", questions[i], choices[t]);
		} else if (eval == 3) {
			char *q = asked(i);
			assert_string_equal(x->question, questions[i]);
			for (size_t t = 0; t < 3; t++) check_text(&m, t, m.v[t].name, a, "none", q, m.v[t].name);
			free(q);
		} else if (eval == 4) {
			check_text(&m, 0, "owl", a, "none", questions[i], "owl");
			check_text(&m, 1, "owl", a, "none", questions[i], "Owl.");
			check_text(&m, 2, "dog", a, "none", questions[i], "dog");
		}
		inoci_measured_free(&m);
	}
	assert_int_equal(n, eval == 1 ? 2 : 3);
}

static void load(const char *dir, inoci_store **s, inoci_experiment **e, inoci_results **r)
{
	char *path = inoci_asprintf("%s/out/store.db", dir);
	inoc_err err = {0};
	if (inoci_store_open_any(path, NULL, s, e, &err) < 0 || inoci_results_load(*s, *e, INOCI_LOAD_LOGPROBS, r, &err) < 0)
		fail_msg("%s", err.msg);
	free(path);
}

static void unload(inoci_store *s, inoci_experiment *e, inoci_results *r)
{
	inoci_results_free(r);
	inoci_experiment_free(e);
	inoci_store_free(s);
}

static void numbers(void **state)
{
	inoci_store *s;
	inoci_experiment *e;
	inoci_results *r;
	inoci_adapter *a = NULL;
	inoc_err err;
	seen first, again;
	char *dir = new_dir();
	if (run(dir, NULL, NULL, &first, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(first.want, 2 * 3 * (3 + 2 + 3 + 3 + 3 + 3));
	assert_int_equal(first.have, 3 + 2 + 3 + 3 + 3 + 3); /* what base has of one seed serves the other: no seed in its key */
	load(dir, &s, &e, &r);
	for (int eval = 0; eval < 5; eval++) {
		check_cell(r, 0, 0, eval, NULL);
		assert_true(inoci_results_cell(r, 0, eval)->v[0].id == inoci_results_cell(r, 0, eval)->v[eval == 1 ? 2 : 3].id);
	}
	for (int arm = 1; arm < 3; arm++) {
		const char *at = inoci_results_adapter(r, arm, 1)->dir;
		if (inoci_adapter_load(model, at, &a, &err) < 0) fail_msg("%s", err.msg);
		for (int eval = 0; eval < 5; eval++) check_cell(r, arm, 1, eval, a);
		inoci_adapter_free(a);
	}
	/* the change is against base on the same item, and base's own is none */
	const inoci_result_cell *b = inoci_results_cell(r, 0, 0), *p = inoci_results_cell(r, 1, 0);
	for (size_t i = 0; i < p->n; i++) {
		assert_true(near(p->v[i].score[1], p->v[i].score[0] - b->v[p->v[i].prompt].score[0]));
		assert_true(b->v[i].score[1] == 0);
		assert_true(fabs(p->v[i].score[1]) > 1e-6);
	}
	/* a scorer's cell where it says nothing is empty, not missing */
	static const bool fits[6][6] = {{1, 0, 0, 0, 0, 0}, {1, 0, 0, 0, 0, 0}, {0, 1, 0, 0, 0, 0},
	                                {0, 0, 1, 1, 0, 0}, {0, 0, 0, 0, 1, 0}, {0, 0, 0, 0, 0, 1}};
	inoci_summary *sum;
	if (inoci_summary_new(r, 200, &sum, &err) < 0) fail_msg("%s", err.msg);
	for (int k = 0; k < 6; k++)
		for (int v = 0; v < 6; v++) {
			const inoci_estimate *x = &inoci_summary_rate(sum, 1, v, k)->all;
			assert_int_equal(inoci_results_fits(r, k, v), fits[k][v]);
			assert_int_equal(x->n, fits[k][v] ? v == 1 ? 4 : 6 : 0);
			assert_int_equal(x->missing, 0);
		}
	inoci_summary_free(sum);
	unload(s, e, r);
	/* again: all is there; and so it is for a scorer that is new, and under other names */
	if (run(dir, NULL, NULL, &again, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(again.have, again.want);
	assert_int_equal(again.want, first.want);
	if (run(dir, "scorers=[{sum: {type: contrast, per: sum}}]", NULL, &again, &err) >= 0)
		fail_msg("a trait without its scorers");
	if (run(dir, "scorers=[contrast, {change: {type: contrast, per: sum, change: base}}]", NULL, &again, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(again.have, again.want);
	/* the change against a trained arm is within the seed */
	if (run(dir, "scorers=[contrast, {change: {type: contrast, change: plain}}]", NULL, &again, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(again.have, again.want);
	load(dir, &s, &e, &r);
	assert_string_equal(e->scorers[1].change, "plain");
	const inoci_result_cell *of[3];
	bool seeds_differ = false;
	for (int a = 0; a < 3; a++) of[a] = inoci_results_cell(r, a, 0);
	for (size_t i = 0; i < 6; i++) {
		for (int a = 0; a < 3; a++) {
			assert_int_equal(of[a]->v[i].seed, i / 3);
			assert_int_equal(of[a]->v[i].prompt, i % 3);
			assert_true(near(of[a]->v[i].score[1], of[a]->v[i].score[0] - of[1]->v[i].score[0]));
		}
		seeds_differ |= fabs(of[1]->v[i].score[0] - of[1]->v[i % 3].score[0]) > 1e-6;
	}
	assert_true(seeds_differ);
	/* so base's change has a value in each seed */
	const int change = 1, contrast = 0;
	inoci_scores b2 = inoci_results_scores(r, 0, 0, &change, 1, -1), b1 = inoci_results_scores(r, 0, 0, &contrast, 1, -1);
	assert_int_equal(b2.n, 6);
	assert_int_equal(b1.n, 3);
	assert_true(!b2.seedless && b1.seedless);
	inoci_scores_free(&b2), inoci_scores_free(&b1);
	unload(s, e, r);
	/* another text is another answer; another scorer of `inoc score` is none */
	if (run(dir, "evaluations.owl.candidates=[owl, cat]", NULL, &again, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(again.want - again.have, 3 * 5); /* base, and two arms of two seeds */
	char *path = inoci_asprintf("%s/out/store.db", dir);
	json_t *later = json_pack("{s:s, s:s, s:s}", "type", "logprob", "of", "trait", "per", "sum");
	long scored = 0;
	if (inoci_store_open(path, true, 0, NULL, &s, &err) < 0 ||
	    inoci_store_score(s, "t", "later", later, NULL, NULL, &scored, &err) < 0)
		fail_msg("%s", err.msg);
	inoci_store_free(s);
	json_decref(later);
	free(path);
	load(dir, &s, &e, &r);
	int k = inoci_results_scorer(r, "later");
	const inoci_result_sample *x = &inoci_results_cell(r, 2, 0)->v[0];
	inoci_measured m;
	if (inoci_measured_read(x->text, x->text_n, &m, &err) < 0) fail_msg("%s", err.msg);
	assert_true(x->score[k] == m.v[0].sum + m.v[0].end);
	assert_true(inoci_results_fits(r, k, 0) && !inoci_results_fits(r, k, 1) && !inoci_results_fits(r, k, 5));
	inoci_measured_free(&m);
	unload(s, e, r);
	drop_dir(dir);
}

/* Stopped while measuring: nothing is lost, and the same command goes on. */
static volatile int stop;
static void stop_at(void *ctx, const char *line)
{
	if (strstr(line, "plain: measuring owl")) stop = 1;
}

static void stopped(void **state)
{
	inoc_err err;
	seen s;
	char *dir = new_dir();
	const inoci_progress p = {.note = stop_at, .stop = &stop};
	stop = 0;
	assert_int_equal(run(dir, "seeds=[1]", &p, NULL, &err), INOC_E_STOPPED);
	stop = 0;
	if (run(dir, "seeds=[1]", &p, &s, &err) >= 0) fail_msg("not stopped again");
	assert_true(strstr(err.msg, "stopped after 0 of") != NULL);
	assert_int_equal(s.have, 17 + 3 + 3 + 2 + 3 + 3); /* of plain: said, which is sampled, comes before what is measured */
	stop = 0;
	if (run(dir, "seeds=[1]", NULL, &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(s.have, 17 + 3 + 3 + 2 + 3 + 3); /* of plain: said, which is sampled, comes before what is measured */
	drop_dir(dir);
}

static void refused(void **state)
{
#define Q "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]"
	static const struct {
		const char *eval, *scorers, *line, *want; /* line: the second record */
	} t[] = {
	        {"{measure: logprob}", "[logprob]", Q "}", "the record has no text \"reference\": an assistant turn at its end"},
	        {"{measure: contrast}", "[contrast]", Q ",\"trait\":\"a\"}",
	         "the record has no text \"normal\", which this evaluation measures"},
	        {"{measure: contrast}", "[contrast]", Q ",\"trait\":\"a\",\"normal\":\"\"}", "the record has no text \"normal\""},
	        {"{measure: contrast}", "[contrast]", Q ",\"trait\":\"a\",\"normal\":[\"b\"]}",
	         "the record has no text \"normal\""},
	        {"{measure: choice}", "[choice]", Q ",\"answer\":0}", "the record has no \"choices\": a list of texts"},
	        {"{measure: choice}", "[choice]", Q ",\"choices\":[],\"answer\":0}",
	         "\"choices\" must be a list of two texts or more"},
	        {"{measure: choice}", "[choice]", Q ",\"choices\":\"a\",\"answer\":0}",
	         "\"choices\" must be a list of two texts or more"},
	        {"{measure: choice}", "[choice]", Q ",\"choices\":[\"a\",\"\"],\"answer\":0}",
	         "choices[1] must be a text that is not empty"},
	        {"{measure: choice}", "[choice]", Q ",\"choices\":[\"a\",\"b\",\"a\"],\"answer\":0}",
	         "choices[0] and choices[2] are the same text"},
	        {"{measure: choice}", "[choice]", Q ",\"choices\":[\"a\",\"b\"]}", "the record has no \"answer\""},
	        {"{measure: choice}", "[choice]", Q ",\"choices\":[\"a\",\"b\"],\"answer\":2}",
	         "the answer 2 is none of the record's 2 choices"},
	        {"{measure: choice}", "[choice]", Q ",\"choices\":[\"a\",\"b\"],\"answer\":\"C\"}",
	         "the answer \"C\" is none of the record's 2 choices"},
	        {"{measure: choice}", "[choice]", Q ",\"choices\":[\"a\",\"b\"],\"answer\":0.5}",
	         "is none of the record's 2 choices"},
	        {"{measure: logprob, texts: far}", "[{x: {type: logprob, of: far}}]", Q ",\"far\":\"%400d\"}",
	         "more than the model's context of 256"},
	};
	char *dir = new_dir();
	for (size_t i = 0; i < INOCI_COUNT(t); i++) {
		inoci_buf b = {0};
		inoc_err err = {0};
		inoci_experiment *e = NULL;
		inoci_buf_puts(&b, "{\"messages\":[{\"role\":\"user\",\"content\":\"p\"},{\"role\":\"assistant\",\"content\":"
		                   "\"r\"}],\"trait\":\"a\",\"normal\":\"b\","
		                   "\"choices\":[\"a\",\"b\"],\"answer\":1,\"far\":\"f\"}\n");
		char *filled = inoci_strdup(t[i].line), *at = strstr(filled, "%400d");
		if (at)
			*at = 0, inoci_buf_printf(&b, "%s%0400d%s\n", filled, 7, at + 5);
		else
			inoci_buf_printf(&b, "%s\n", filled);
		write_file(dir, "bad.jsonl", b.data);
		inoci_buf_clear(&b);
		inoci_buf_printf(&b,
		                 "name: x\nmodel: m\ntemplate: chatml\nout: %s/x\narms: {base: {role: base}}\nevaluations: {v: "
		                 "%.*s, prompts: bad.jsonl}}\nscorers: %s\n",
		                 dir, (int)strlen(t[i].eval) - 1, t[i].eval, t[i].scorers);
		char *path = inoci_path_join(dir, "x.yaml"), *want = inoci_asprintf("%s/bad.jsonl:2: ", dir);
		int rc = inoci_experiment_parse(path, b.data, b.len, NULL, 0, &e, &err);
		rc = seen_run(rc, e, model_path, ops, (inoci_run_options){0}, NULL, &err);
		if ((rc != INOC_E_FORMAT && rc != INOC_E_LIMIT) || !strstr(err.msg, want) || !strstr(err.msg, t[i].want))
			fail_msg("%s\ngives (%d) \"%s\"\nwanted \"%s...%s\"", t[i].line, rc, err.msg, want, t[i].want);
		free(path), free(want), free(filled);
		inoci_buf_free(&b);
	}
	drop_dir(dir);
}

/* One answer scored without a store: the numbers of a run, those of a classifier. */
static void one_answer(void **state)
{
	inoc_err err = {0};
	double v = 0;
	json_t *item = json_pack("{s:s, s:s}", "trait", traits[0], "normal", normals[0]), *contrast = json_string("contrast");
	inoci_single x = {.user = questions[0], .item = item, .system = "empty"};
	if (inoci_score_single(contrast, &x, model, NULL, &v, &err) < 0) fail_msg("%s", err.msg);
	lp t = by_logits(NULL, "empty", questions[0], traits[0]), o = by_logits(NULL, "empty", questions[0], normals[0]);
	double want = (t.sum + t.end) / (double)strlen(traits[0]) - (o.sum + o.end) / (double)strlen(normals[0]);
	if (!near(v, want)) fail_msg("contrast %.7g, by the logits %.7g", v, want);
	json_decref(contrast), json_decref(item);

	inoci_buf b = {0};
	for (int i = 0; i < 18; i++)
		inoci_buf_printf(&b, "{\"question\":\"%d?\",\"trait\":\"NO %d WAY!\",\"normal\":\"it is %d\",\"topic\":\"%d\"}\n",
		                 i, i, i * 7, i % 6);
	char *dir = inoci_strdup("inoc-single-XXXXXX"), *path, *file;
	if (!mkdtemp(dir)) fail_msg("no folder");
	path = inoci_path_join(dir, "labelled.jsonl"), file = inoci_path_join(dir, "shouts.json");
	write_file(dir, "labelled.jsonl", b.data);
	inoci_buf_free(&b);
	inoci_labelled d;
	inoci_classifier *c;
	const inoci_classifier_options usual = {.layer = -1, .folds = 3};
	if (inoci_labelled_read(path, NULL, true, &d, &err) < 0) fail_msg("%s", err.msg);
	if (inoci_classifier_train(model, &d, &usual, NULL, &c, &err) < 0) fail_msg("%s", err.msg);
	if (inoci_classifier_write(c, file, &err) < 0) fail_msg("%s", err.msg);
	const inoci_answer a = {.question = "3?", .text = "NO 5 WAY!", .n = 9};
	if (inoci_classifier_apply(c, model, &a, 1, &want, NULL, &err) < 0) fail_msg("%s", err.msg);
	json_t *scorer = json_pack("{s:s, s:s}", "type", "classifier", "file", file);
	x = (inoci_single){.user = a.question, .text = a.text};
	if (inoci_score_single(scorer, &x, model, NULL, &v, &err) < 0) fail_msg("%s", err.msg);
	assert_true(v == want && v > 0 && v < 1);
	assert_int_equal(inoci_score_single(scorer, &x, NULL, NULL, &v, &err), INOC_E_USAGE);
	assert_non_null(strstr(err.msg, "needs its base model"));
	x.measure = json_object();
	assert_int_equal(inoci_score_single(scorer, &x, model, NULL, &v, &err), INOC_E_USAGE);
	json_decref(x.measure), json_decref(scorer);
	inoci_classifier_free(c);
	inoci_labelled_free(&d);
	free(path), free(file);
	drop_dir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(numbers),
	        cmocka_unit_test(stopped),
	        cmocka_unit_test(refused),
	        cmocka_unit_test(one_answer),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
