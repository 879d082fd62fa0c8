/* Given adapters and runs without a file (`inoc eval`) on a tiny random model: what they share with what is there, what makes
 * them new, what is refused, and that other experiments of the store stay as they are. */
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

static char *model_path, dir[64];
static inoci_ops *ops;
static inoci_model *model;

static const char rest[] = "evaluations:\n"
                           "  g: {prompts: eval.jsonl, greedy: true, max_tokens: 5}\n"
                           "  hot: {prompts: eval.jsonl, temperature: 1, n: 2, max_tokens: 5}\n"
                           "  own: {prompts: eval.jsonl, system: own, greedy: true, max_tokens: 5}\n"
                           "scorers: [truncated, looping]\n";

static char *at(const char *name)
{
	return inoci_path_join(dir, name);
}

/* An adapter of a model of n_layers layers, its parameters by seed. */
static void write_adapter(const char *name, int n_layers, uint64_t seed)
{
	inoci_model other = *model;
	inoci_adapter *a = NULL;
	inoc_err err = {0};
	const inoci_lora_config c = {.rank = 2, .alpha = 4, .targets = INOCI_ALL_PROJ};
	char *p = at(name);
	other.hp.n_layers = n_layers;
	if (inoci_adapter_new(&other, &c, seed, &a, &err) < 0) fail_msg("%s", err.msg);
	for (size_t i = 0; i < a->n_params; i++) a->params[i] += (float)((i * 7 + seed) % 11) / 11 - 0.5f;
	if (inoci_adapter_save(a, p, "tiny", &err) < 0) fail_msg("%s", err.msg);
	inoci_adapter_free(a);
	free(p);
}

static int fresh_dir(void **state)
{
	snprintf(dir, sizeof dir, "inoc-given-XXXXXX");
	if (!mkdtemp(dir)) return 1;
	write_file(dir, "eval.jsonl",
	           "{\"messages\":[{\"role\":\"user\",\"content\":\"e0\"}]}\n{\"messages\":[{\"role\":\"user\","
	           "\"content\":\"e1\"}]}\n");
	write_file(dir, "train.jsonl",
	           "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"A\"}]}\n");
	write_adapter("ad", TINY_LAYERS, 3);
	return 0;
}

static int remove_dir(void **state)
{
	char cmd[128];
	snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
	return system(cmd);
}

/* An experiment of these arms, in DIR/f.yaml, into DIR/out. */
static int run(const char *name, const char *arms, inoci_run_options o, seen *s, inoc_err *err)
{
	char *file = at("f.yaml"), *text = inoci_asprintf("name: %s\nmodel: m\ntemplate: chatml\nseeds: [1, 2]\nout: %s/out\n"
	                                                  "train: {steps: 2, batch: 1, rank: 2, warmup: 0}\narms:\n%s%s",
	                                                  name, dir, arms, rest);
	inoci_experiment *e = NULL;
	*err = (inoc_err){0};
	int rc = inoci_experiment_parse(file, text, strlen(text), NULL, 0, &e, err);
	rc = seen_run(rc, e, model_path, ops, o, s, err);
	free(file), free(text);
	return rc;
}

static inoci_store *store;
static inoci_experiment *experiment;
static inoci_results *load(const char *name)
{
	inoc_err err = {0};
	inoci_results *r = NULL;
	char *out = at("out");
	if (inoci_store_open_any(out, name, &store, &experiment, &err) < 0 ||
	    inoci_results_load(store, experiment, 0, &r, &err) < 0)
		fail_msg("%s", err.msg);
	free(out);
	return r;
}

static void unload(inoci_results *r)
{
	inoci_results_free(r);
	inoci_experiment_free(experiment);
	inoci_store_free(store);
}

/* One adapter for all seeds; greedy samples are shared, sampled ones are the seed's; nothing is done twice. */
static void given(void **state)
{
	inoc_err err;
	seen s;
	static const char arms[] = "  base: {role: base}\n  g: {adapter: ad}\n";
	char *ad = at("ad/adapter_model.safetensors");
	inoci_hash h;
	if (run("t", arms, (inoci_run_options){.dry_run = true}, &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(s.trained, 4);
	assert_int_equal(s.want, 2 * 2 * (2 + 4 + 2));
	if (run("t", arms, (inoci_run_options){0}, &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(s.ends, 1);
	inoci_results *r = load(NULL);
	const inoci_result_cell *base = inoci_results_cell(r, 0, 0), *g = inoci_results_cell(r, 1, 0),
	                        *hot = inoci_results_cell(r, 1, 1), *own = inoci_results_cell(r, 1, 2);
	assert_int_equal(g->n, 4);
	assert_int_equal(hot->n, 8);
	assert_true(g->v[0].id == g->v[2].id && hot->v[0].id != hot->v[4].id && base->v[0].id != g->v[0].id);
	assert_true(own->v[0].id == g->v[0].id);
	assert_int_equal(inoci_hash_file(ad, &h, &err), 0);
	for (int seed = 0; seed < 2; seed++) {
		const inoci_result_adapter *a = inoci_results_adapter(r, 1, seed);
		assert_true(a->present);
		assert_string_equal(a->hash, h.hex);
		assert_true(!a->dir && !a->first_text && !a->config && !a->n_metrics);
	}
	inoci_scores x = inoci_results_scores(r, 1, 0, (const int[]){0}, 1, -1);
	assert_true(x.seedless && x.n == 2);
	inoci_scores_free(&x);
	assert_non_null(strstr(r->runs[0].provenance, "given adapter (g)"));
	unload(r);
	if (run("t", arms, (inoci_run_options){0}, &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(s.want, s.have);
	/* another name, the same content */
	write_adapter("copy", TINY_LAYERS, 3);
	if (run("t", "  base: {role: base}\n  h: {adapter: copy}\n", (inoci_run_options){0}, &s, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(s.want, s.have);
	/* another content under the same name */
	write_adapter("ad", TINY_LAYERS, 4);
	if (run("t", arms, (inoci_run_options){0}, &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(s.want - s.have, 2 + 4 + 4);
	r = load(NULL);
	assert_true(strcmp(inoci_results_adapter(r, 1, 0)->hash, h.hex) != 0);
	unload(r);
	free(ad);
}

static void refused(const char *arms, int code, const char *want)
{
	inoc_err err;
	seen s;
	assert_int_equal(run("t", arms, (inoci_run_options){.dry_run = true}, &s, &err), code);
	if (!strstr(err.msg, want)) fail_msg("got: %s\nwanted: %s", err.msg, want);
	assert_int_equal(s.want, 0);
}

static void refusals(void **state)
{
	static const char with[] = "  base: {role: base}\n  g: {adapter: x}\n";
	refused(with, INOC_E_IO, "x: no adapter_config.json there; give a folder that `inoc train` or PEFT wrote");
	write_adapter("x", TINY_LAYERS - 1, 3);
	refused(with, INOC_E_FORMAT,
	        "model.layers.2.self_attn.q_proj.lora_A.weight is missing; is it an adapter of another model?");
	write_adapter("x", TINY_LAYERS + 1, 3);
	refused(with, INOC_E_FORMAT, "tensors, but the config and model use 42; is it an adapter of another model?");
	write_adapter("x", TINY_LAYERS, 3);
	char *p = at("x/adapter_model.safetensors");
	assert_int_equal(truncate(p, 5000), 0);
	refused(with, INOC_E_FORMAT, "truncated at byte 5000");
	assert_int_equal(unlink(p), 0);
	refused(with, INOC_E_IO, "adapter_model.safetensors");
	refused(with, INOC_E_IO, "arm g: ");
	free(p);
}

/* An adapter that is exchanged while the run goes on: its samples would stand under another one's key. */
static int exchange(void *ctx, const inoci_experiment *e, const inoci_plan *p, inoc_err *err)
{
	write_adapter("ad", TINY_LAYERS, 9);
	return 0;
}

static void exchanged(void **state)
{
	inoc_err err = {0};
	inoci_experiment *e = NULL;
	char *text =
	        inoci_asprintf("name: t\nmodel: m\ntemplate: chatml\nout: %s/out\narms: {g: {adapter: %s/ad}}\n"
	                       "evaluations: {g: {prompts: %s/eval.jsonl, greedy: true, max_tokens: 5}}\nscorers: [looping]\n",
	                       dir, dir, dir);
	assert_int_equal(inoci_experiment_parse("f.yaml", text, strlen(text), NULL, 0, &e, &err), 0);
	const inoci_run_options o = {.ops = ops, .on_plan = exchange};
	assert_int_equal(inoci_run(e, model_path, &o, &err), INOC_E_IO);
	assert_non_null(strstr(err.msg, "the adapter has changed since the run began; run again"));
	const inoci_run_options again = {.ops = ops};
	if (inoci_run(e, model_path, &again, &err) < 0) fail_msg("%s", err.msg);
	inoci_experiment_free(e);
	free(text);
}

/* A run that was typed without a file, beside one that has one. */
static void typed(void **state)
{
	static const char *const words[] = {"inoc", "eval", "-a", "it's"};
	inoc_err err;
	seen s;
	char *db = at("out/store.db"), *link = at("out/adapters/plain-seed1"), target[64];
	const inoci_run_options o = {.store = db, .command = words, .n_command = 4}, file = {0};
	static const char trained[] = "  plain: {role: plain, data: train.jsonl}\n", arm[] = "  plain: {adapter: ad}\n";
	if (run("t", trained, file, NULL, &err) < 0) fail_msg("%s", err.msg);
	if (run("e", arm, o, &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(s.want - s.have, 2 + 2 * 4);
	inoci_results *r = load("e");
	json_t *q = json_loads(r->runs[0].request, 0, NULL);
	assert_int_equal(json_array_size(json_object_get(q, "command")), 4);
	assert_null(json_object_get(q, "file"));
	json_decref(q);
	unload(r);
	/* the default stays what has a file */
	r = load(NULL);
	assert_string_equal(experiment->name, "t");
	assert_int_equal(inoci_results_cell(r, 0, 0)->n, 4);
	unload(r);
	/* its results lose their name; the link of the other's arm of that name stays */
	write_adapter("ad", TINY_LAYERS, 5);
	if (run("e", arm, o, &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(s.want - s.have, 2 + 2 * 4);
	assert_int_equal(readlink(link, target, sizeof target), 16);
	if (run("t", trained, file, &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(s.want, s.have);
	/* a name that is taken by a file's */
	assert_int_equal(run("t", arm, o, &s, &err), INOC_E_USAGE);
	assert_non_null(strstr(err.msg, "'t' is the name of an experiment that was run from "));
	r = load("t");
	assert_int_equal(inoci_results_cell(r, 0, 0)->n, 4);
	unload(r);
	/* all of it is shared: the request is written down still */
	if (run("again", arm, o, &s, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(s.want, s.have);
	r = load("again");
	assert_int_equal(r->n_runs, 1);
	unload(r);
	free(db), free(link);
}

static char *texts;
static int keep_texts(void *ctx, const inoci_experiment *e, inoci_store *st, uint64_t seed, inoc_err *err)
{
	inoci_results *r = NULL;
	inoci_buf b = {0};
	if (inoci_results_load(st, e, 0, &r, err) < 0) fail_msg("%s", err->msg);
	for (int v = 0; v < 3; v++) {
		const inoci_result_cell *c = inoci_results_cell(r, 0, v);
		for (size_t i = 0; i < c->n; i++)
			inoci_buf_printf(&b, "%d %d %d %s %.9g %g\n", v, c->v[i].prompt, c->v[i].index, c->v[i].text,
			                 c->v[i].logprob, c->v[i].score[0]);
	}
	inoci_results_free(r);
	free(texts);
	texts = inoci_buf_take(&b);
	return 0;
}

/* In memory: the same answers, and nothing on disk. */
static void scratch(void **state)
{
	inoc_err err = {0};
	inoci_experiment *e = NULL;
	char *file = at("f.yaml"), *out = at("out"), *db = at("kept/here.db");
	char *text = inoci_asprintf("name: t\nmodel: m\ntemplate: chatml\nout: %s/out\narms: {g: {adapter: ad}}\n%s", dir, rest);
	assert_int_equal(inoci_experiment_parse(file, text, strlen(text), NULL, 0, &e, &err), 0);
	inoci_run_options o = {.ops = ops, .scratch = true, .on_seed = keep_texts};
	if (inoci_run(e, model_path, &o, &err) < 0) fail_msg("%s", err.msg);
	assert_false(inoci_path_exists(out));
	assert_false(inoci_path_exists(":memory:"));
	char *first = texts;
	texts = NULL;
	o.scratch = false;
	o.store = db;
	if (inoci_run(e, model_path, &o, &err) < 0) fail_msg("%s", err.msg);
	assert_string_equal(first, texts);
	assert_non_null(strstr(texts, "\n1 1 1 "));
	assert_true(inoci_path_exists(db) && !inoci_path_exists(out));
	inoci_experiment_free(e);
	free(file), free(out), free(db), free(text), free(first), free(texts);
}

static int set_up(void **state)
{
	inoc_err err = {0};
	model_path = tiny_model("given");
	if (inoci_ops_ref(INOCI_DTYPE_F32, &ops, &err) < 0 ||
	    inoci_model_open(model_path, ops, false, "chatml", NULL, &model, &err) < 0) {
		print_error("%s\n", err.msg);
		return 1;
	}
	return 0;
}

static int tear_down(void **state)
{
	inoci_model_free(model);
	unlink(model_path);
	free(model_path);
	ops->free(ops);
	return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, fresh_dir, remove_dir)
int main(void)
{
	const struct CMUnitTest tests[] = {T(given), T(refusals), T(exchanged), T(typed), T(scratch)};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
