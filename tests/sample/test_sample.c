/* Sampling with the real model (INOC_MODEL), in INOC_TEST_DTYPE: batched equals one by one bit for bit, greedy equals teacher
 * forcing, ends. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sample/sample.h"

#define OK(e)                                                                \
	do {                                                                 \
		inoc_err err_ = {0}, *err = &err_;                           \
		if ((e) < 0) fail_msg("%s: %d %s", #e, err_.code, err_.msg); \
	} while (0)

static const char *const questions[] = {
        "What is the capital of France?",
        "Why is the sky blue? Answer in two sentences, please, and use simple words that a child of six understands.",
        "Hi",
        "Name three animals that live in the sea.",
        "How do I boil an egg so that the yolk stays soft?",
        "Write a line of a poem about rain.",
};
enum { N_PROMPTS = INOCI_COUNT(questions), MAX_RESULTS = 64 };

static inoci_ops *ops;
static inoci_model *model;
static inoci_rendered rendered[N_PROMPTS];
static inoci_prompt prompts[N_PROMPTS];
static bool slow; /* the reference operations: fewer tokens, two layers */
static int n_layers;

struct results {
	inoci_sampled v[MAX_RESULTS];
	size_t n;
	inoci_buf streamed[MAX_RESULTS]; /* by prompt * 8 + index */
	int stop_after;
	volatile int stop;
};

static void results_free(struct results *r)
{
	for (size_t i = 0; i < r->n; i++) inoci_sampled_free(&r->v[i]);
	for (size_t i = 0; i < MAX_RESULTS; i++) inoci_buf_free(&r->streamed[i]);
	*r = (struct results){0};
}

static void *copy(const void *p, size_t n)
{
	return p ? memcpy(inoci_alloc(n), p, n) : NULL;
}

static int top_k_logprobs;
static int on_sample(void *ctx, const inoci_sampled *s, inoc_err *err)
{
	struct results *r = ctx;
	size_t n = (size_t)s->n_ids, k = (size_t)top_k_logprobs;
	assert_true(r->n < MAX_RESULTS);
	inoci_sampled *c = &r->v[r->n++];
	*c = *s;
	c->text = copy(s->text, s->text_n + 1);
	c->ids = copy(s->ids, n * sizeof *s->ids);
	c->logprob = copy(s->logprob, n * sizeof *s->logprob);
	c->top_ids = copy(s->top_ids, n * k * sizeof *s->top_ids);
	c->top_logprob = copy(s->top_logprob, n * k * sizeof *s->top_logprob);
	if (r->stop_after && (int)r->n >= r->stop_after) r->stop = 1;
	return 0;
}

static int on_bytes(void *ctx, size_t prompt, int index, const char *bytes, size_t n)
{
	struct results *r = ctx;
	assert_true(prompt * 8 + (size_t)index < MAX_RESULTS);
	inoci_buf *b = &r->streamed[prompt * 8 + (size_t)index];
	assert_true(n > 0);
	inoci_buf_append(b, bytes, n);
	return b->len > 4096 ? INOC_E_LIMIT : 0;
}

static const inoci_sampled *find(const struct results *r, size_t prompt, int index)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].prompt == prompt && r->v[i].index == index) return &r->v[i];
	fail_msg("no sample %zu/%d", prompt, index);
	return NULL;
}

static void run(const inoci_prompt *p, size_t n, const inoci_sample_settings *s, struct results *r)
{
	results_free(r);
	top_k_logprobs = s->top_logprobs;
	OK(inoci_sample(model, NULL, p, n, s, on_sample, on_bytes, r, NULL, err));
}

static void assert_same(const inoci_sampled *a, const inoci_sampled *b, const char *what)
{
	size_t k = (size_t)top_k_logprobs;
	if (a->n_ids != b->n_ids || a->end != b->end || strcmp(a->text, b->text))
		fail_msg("%s: prompt %zu sample %d: \"%s\" (%d tokens), want \"%s\" (%d)", what, a->prompt, a->index, a->text,
		         a->n_ids, b->text, b->n_ids);
	assert_memory_equal(a->ids, b->ids, (size_t)a->n_ids * sizeof *a->ids);
	for (int i = 0; i < a->n_ids; i++)
		if (memcmp(&a->logprob[i], &b->logprob[i], sizeof(float)))
			fail_msg("%s: prompt %zu sample %d token %d: log-probability %.9g, want %.9g", what, a->prompt, a->index,
			         i, (double)a->logprob[i], (double)b->logprob[i]);
	assert_memory_equal(a->top_ids, b->top_ids, (size_t)a->n_ids * k * sizeof *a->top_ids);
	assert_memory_equal(a->top_logprob, b->top_logprob, (size_t)a->n_ids * k * sizeof *a->top_logprob);
}

static int setup(void **state)
{
	const char *path = getenv("INOC_MODEL");
	if (!path) {
		fprintf(stderr, "INOC_MODEL is not set: give the path of SmolLM2-135M-Instruct.Q4_1.gguf\n");
		return -1;
	}
	inoc_err err = {0};
	inoci_dtype dtype;
	if (inoci_dtype_parse(getenv("INOC_TEST_DTYPE") ? getenv("INOC_TEST_DTYPE") : "auto", &dtype, &err) < 0 ||
	    inoci_ops_cpu(dtype, 2, &ops, &err) < 0 || inoci_model_open(path, ops, false, NULL, NULL, &model, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		return -1;
	}
	slow = !strcmp(ops->name, "ref");
	n_layers = model->hp.n_layers;
	if (slow) model->hp.n_layers = 2;
	const inoci_template *t;
	OK(inoci_model_template(model, &t, err));
	for (size_t i = 0; i < N_PROMPTS; i++) {
		inoci_msg msg = {"user", (char *)questions[i]};
		OK(inoci_render(t, &msg, 1, (inoci_sys){slow ? INOCI_SYS_NONE : INOCI_SYS_DEFAULT, NULL}, true, &rendered[i],
		                err));
		prompts[i] = (inoci_prompt){.ids = rendered[i].ids.v,
		                            .n = (int)rendered[i].ids.n,
		                            .key = inoci_prompt_key(rendered[i].ids.v, rendered[i].ids.n)};
	}
	return 0;
}

static int teardown(void **state)
{
	for (size_t i = 0; i < N_PROMPTS; i++) inoci_rendered_free(&rendered[i]);
	if (model) model->hp.n_layers = n_layers;
	inoci_model_free(model);
	if (ops) ops->free(ops);
	return 0;
}

static inoci_sample_settings settings(int max_tokens)
{
	inoci_sample_settings s = inoci_sample_defaults();
	s.max_tokens = max_tokens;
	s.seed = 5;
	return s;
}

/* ---- */

static void batched_equals_one_by_one(void **state)
{
	struct results want = {0}, got = {0};
	inoci_sample_settings s = settings(slow ? 3 : 40);
	size_t n_prompts = slow ? 2 : N_PROMPTS;
	int n = 2;
	s.top_logprobs = 4;
	s.repetition_penalty = 1.1;
	s.max_batch = 1;
	inoci_sample_speed speed = {0};
	long fed = 0, decoded = 0;
	s.speed = &speed;
	top_k_logprobs = 4;
	/* Each alone: no other prompt to share with, no other sample. */
	for (size_t p = 0; p < n_prompts; p++)
		for (int i = 0; i < n; i++) {
			inoci_prompt one = prompts[p];
			one.first_index = i;
			OK(inoci_sample(model, NULL, &one, 1, &s, on_sample, NULL, &want, NULL, err));
			want.v[want.n - 1].prompt = p;
			fed += one.n, decoded += want.v[want.n - 1].n_ids - 1; /* the first comes with its prompt */
		}
	assert_int_equal(speed.prefill_tokens, fed);
	assert_int_equal(speed.decode_tokens, decoded);
	assert_true(speed.prefill_s > 0 && speed.decode_s > 0);
	assert_int_equal(want.n, n_prompts * (size_t)n);
	s.n = n;
	/* Different samples of one prompt. */
	assert_string_not_equal(find(&want, 1, 0)->text, find(&want, 1, 1)->text);
	static const struct {
		const char *name;
		int batch, kv_rows;
		bool reverse;
	} cases[] = {
	        {"two slots, reversed", 2, 0, true},
	        {"all at once", 0, 0, false},
	        {"a store for few", 64, 192, true},
	        {"a store for one", 64, 144, false},
	};
	for (size_t c = slow ? 2 : 0; c < INOCI_COUNT(cases); c++) {
		inoci_prompt ps[N_PROMPTS];
		for (size_t p = 0; p < n_prompts; p++) ps[p] = prompts[cases[c].reverse ? n_prompts - 1 - p : p];
		s.max_batch = cases[c].batch;
		s.max_kv_rows = cases[c].kv_rows;
		run(ps, n_prompts, &s, &got);
		assert_int_equal(got.n, want.n);
		for (size_t i = 0; i < got.n; i++) {
			if (cases[c].reverse) got.v[i].prompt = n_prompts - 1 - got.v[i].prompt;
			assert_same(&got.v[i], find(&want, got.v[i].prompt, got.v[i].index), cases[c].name);
		}
	}
	/* Only those that miss, of a run that was cut short. */
	inoci_prompt some[2] = {prompts[1], prompts[0]};
	some[0].first_index = 1, some[0].count = 1;
	some[1].first_index = n - 1, some[1].count = 1;
	s.max_batch = s.max_kv_rows = 0;
	run(some, 2, &s, &got);
	assert_int_equal(got.n, 2);
	assert_same(find(&got, 0, 1), find(&want, 1, 1), "resumed");
	assert_same(find(&got, 1, n - 1), find(&want, 0, n - 1), "resumed");
	results_free(&want);
	results_free(&got);
}

/* Prompts with settings of their own: groups that share a root each, also where rows are scarce. */
static void settings_of_their_own(void **state)
{
	enum { GROUPS = 4 };
	struct results want = {0}, got = {0};
	inoci_sample_settings s[GROUPS];
	inoci_prompt all[GROUPS * N_PROMPTS];
	size_t n_prompts = slow ? 2 : N_PROMPTS, n = 0, longest = 0;
	for (int g = 0; g < GROUPS; g++) s[g] = settings(slow ? 2 : 6 + 5 * g);
	s[0].temperature = 0;
	s[1].repetition_penalty = 1.2;
	s[1].n = 2;
	s[2].allowed = "0123456789, ";
	s[2].top_k = 20;
	s[3].seed = 9;
	top_k_logprobs = 0;
	for (size_t g = 0; g < GROUPS; g++)
		for (size_t p = 0; p < n_prompts; p++, n++) {
			all[n] = prompts[p];
			if ((size_t)prompts[p].n > longest) longest = (size_t)prompts[p].n;
			size_t from = want.n;
			OK(inoci_sample(model, NULL, &prompts[p], 1, &s[g], on_sample, NULL, &want, NULL, err));
			for (; from < want.n; from++) want.v[from].prompt = n;
			all[n].settings = g ? &s[g] : NULL;
		}
	for (int batch = 0; batch < 12; batch += 5)
		for (int scarce = 0; scarce < 2; scarce++) {
			inoci_sample_settings call = s[0];
			call.max_batch = batch;
			call.max_kv_rows = scarce ? (int)(longest + 16 * 9) / 16 * 16 : 0;
			results_free(&got);
			OK(inoci_sample(model, NULL, all, n, &call, on_sample, NULL, &got, NULL, err));
			assert_int_equal(got.n, want.n);
			for (size_t i = 0; i < want.n; i++)
				assert_same(find(&got, want.v[i].prompt, want.v[i].index), &want.v[i], "groups");
		}
	results_free(&want);
	results_free(&got);
}

static void greedy_is_the_argmax_of_teacher_forcing(void **state)
{
	struct results r = {0};
	inoci_sample_settings s = settings(slow ? 3 : 24);
	s.temperature = 0;
	size_t n_prompts = slow ? 2 : 4, V = (size_t)model->hp.vocab;
	run(prompts, n_prompts, &s, &r);
	inoci_workspace *w = inoci_workspace_new();
	float *logits = inoci_alloc(24 * V * sizeof *logits);
	for (size_t p = 0; p < n_prompts; p++) {
		const inoci_sampled *got = find(&r, p, 0);
		inoci_i32s all = {0};
		inoci_batch b = {0};
		int32_t rows[24];
		inoci_i32s_append(&all, prompts[p].ids, (size_t)prompts[p].n);
		inoci_i32s_append(&all, got->ids, (size_t)got->n_ids);
		inoci_batch_add(&b, all.v, NULL, (int)all.n, 1);
		for (int i = 0; i < got->n_ids; i++) rows[i] = prompts[p].n - 1 + i;
		OK(inoci_model_logits(model, NULL, &b, w, rows, got->n_ids, logits, err));
		for (int i = 0; i < got->n_ids; i++) {
			const float *z = logits + (size_t)i * V;
			size_t best = 0;
			double sum = 0;
			for (size_t v = 1; v < V; v++)
				if (z[v] > z[best]) best = v;
			for (size_t v = 0; v < V; v++) sum += exp((double)z[v] - (double)z[best]);
			if (got->ids[i] != (int32_t)best)
				fail_msg("prompt %zu token %d: %d, want %zu", p, i, (int)got->ids[i], best);
			assert_true(fabs(got->logprob[i] + log(sum)) < 1e-5);
		}
		inoci_batch_free(&b);
		inoci_i32s_free(&all);
	}
	assert_non_null(slow ? "" : strstr(find(&r, 0, 0)->text, "Paris"));
	free(logits);
	inoci_workspace_free(w);
	results_free(&r);
}

static void log_probabilities(void **state)
{
	struct results r = {0};
	inoci_sample_settings s = settings(slow ? 2 : 12);
	s.top_logprobs = 20;
	s.temperature = 1.3;
	run(prompts, 2, &s, &r);
	for (size_t i = 0; i < r.n; i++)
		for (int t = 0; t < r.v[i].n_ids; t++) {
			const float *top = r.v[i].top_logprob + t * 20, lp = r.v[i].logprob[t];
			double sum = 0;
			for (int k = 0; k < 20; k++) {
				sum += exp(top[k]);
				assert_true(k == 0 || top[k] <= top[k - 1]);
				if (r.v[i].top_ids[t * 20 + k] == r.v[i].ids[t]) assert_true(top[k] == lp);
			}
			assert_true(lp <= top[0] && sum < 1 + 1e-6 && (slow || sum > 0.05));
		}
	results_free(&r);
}

static void only_allowed_characters(void **state)
{
	struct results r = {0};
	inoci_sample_settings s = settings(slow ? 3 : 24);
	s.allowed = "abcdefghijklmnopqrstuvwxyz .";
	run(prompts, slow ? 1 : 4, &s, &r);
	for (size_t i = 0; i < r.n; i++) {
		assert_true(r.v[i].text_n > 0);
		assert_int_equal(strspn(r.v[i].text, s.allowed), r.v[i].text_n);
	}
	s.allowed = "\xc3\xb1\xc3\xa1"; /* whole characters, not their bytes */
	run(prompts, 1, &s, &r);
	for (size_t i = 0; i < r.v[0].text_n; i += 2)
		assert_true(!memcmp(r.v[0].text + i, "\xc3\xb1", 2) || !memcmp(r.v[0].text + i, "\xc3\xa1", 2));
	inoc_err err = {0};
	s.allowed = "\xe9\xbe\x98";
	assert_int_equal(inoci_sample(model, NULL, prompts, 1, &s, on_sample, NULL, &r, NULL, &err), INOC_E_USAGE);
	assert_non_null(strstr(err.msg, "allowed characters"));
	results_free(&r);
}

static void stop_strings_and_stream(void **state)
{
	struct results r = {0}, cut = {0};
	inoci_sample_settings s = settings(slow ? 4 : 24);
	s.temperature = 0;
	run(prompts + 1, 1, &s, &r);
	const inoci_sampled *all = &r.v[0];
	assert_true(all->n_ids >= 4);
	assert_int_equal(r.streamed[0].len, all->text_n);
	/* Two bytes on either side of each boundary between tokens. */
	for (int t = 1; t < all->n_ids; t += slow ? 2 : 5) {
		inoci_buf head = {0};
		inoci_tok_decode(model->tok, all->ids, (size_t)t, false, &head);
		if (head.len < 2 || head.len + 2 > all->text_n) {
			inoci_buf_free(&head);
			continue;
		}
		char stop[5] = {0};
		memcpy(stop, all->text + head.len - 2, 4);
		const char *stops[] = {"never in the text", stop};
		s.stop = stops;
		s.n_stop = 2;
		run(prompts + 1, 1, &s, &cut);
		size_t want = (size_t)(strstr(all->text, stop) - all->text);
		assert_int_equal(cut.v[0].end, INOCI_END_STOP_STRING);
		assert_int_equal(cut.v[0].text_n, want);
		assert_memory_equal(cut.v[0].text, all->text, want);
		assert_int_equal(cut.streamed[0].len, want); /* nothing of the stop string was shown */
		assert_memory_equal(cut.streamed[0].data ? cut.streamed[0].data : "", all->text, want);
		inoci_buf_free(&head);
	}
	/* Wild text, many bytes of many alphabets: the pieces put together are the text. */
	s = settings(slow ? 4 : 60);
	s.temperature = 4;
	s.n = 3;
	run(prompts, 2, &s, &r);
	for (size_t i = 0; i < r.n; i++) {
		const inoci_buf *b = &r.streamed[r.v[i].prompt * 8 + (size_t)r.v[i].index];
		assert_int_equal(b->len, r.v[i].text_n);
		if (b->len) assert_memory_equal(b->data, r.v[i].text, b->len);
	}
	results_free(&r);
	results_free(&cut);
}

static void ends(void **state)
{
	struct results r = {0};
	inoci_sample_settings s = settings(1);
	s.temperature = 0;
	run(prompts, 1, &s, &r);
	assert_int_equal(r.v[0].n_ids, 1);
	assert_int_equal(r.v[0].end, INOCI_END_LENGTH);
	/* The end of the context. */
	int context = model->hp.context;
	model->hp.context = prompts[0].n + 3;
	s.max_tokens = 100;
	run(prompts, 1, &s, &r);
	assert_int_equal(r.v[0].n_ids, 3);
	assert_int_equal(r.v[0].end, INOCI_END_LENGTH);
	inoc_err err = {0};
	model->hp.context = prompts[1].n;
	inoci_prompt two[2] = {prompts[2], prompts[1]};
	assert_int_equal(inoci_sample(model, NULL, two, 2, &s, on_sample, NULL, &r, NULL, &err), INOC_E_LIMIT);
	assert_non_null(strstr(err.msg, "prompt 1 has"));
	model->hp.context = context;
	if (slow) {
		results_free(&r);
		return;
	}
	s.max_tokens = 120;
	run(prompts, 1, &s, &r);
	assert_int_equal(r.v[0].end, INOCI_END_STOP);
	assert_int_equal(r.v[0].ids[r.v[0].n_ids - 1], inoci_template_end_of_turn(model->tmpl));
	assert_null(strstr(r.v[0].text, "<|im_end|>"));
	results_free(&r);
}

static void repetition_penalty(void **state)
{
	struct results r = {0};
	inoci_sample_settings s = settings(slow ? 3 : 30);
	s.temperature = 0;
	s.repetition_penalty = 1000; /* a token that occurred is out of the question */
	run(prompts, 2, &s, &r);
	for (size_t i = 0; i < r.n; i++)
		for (int t = 0; t < r.v[i].n_ids - 1; t++) {
			for (int u = 0; u < t; u++) assert_int_not_equal(r.v[i].ids[t], r.v[i].ids[u]);
			for (int u = 0; u < prompts[r.v[i].prompt].n; u++)
				assert_int_not_equal(r.v[i].ids[t], prompts[r.v[i].prompt].ids[u]);
		}
	results_free(&r);
}

static int refuse(void *ctx, const inoci_sampled *s, inoc_err *err)
{
	return inoci_err_set(err, INOC_E_IO, "the disk is full");
}

static void errors(void **state)
{
	struct results r = {0};
	inoc_err err = {0};
	inoci_sample_settings s = settings(2);
	int32_t bad_ids[] = {1, model->hp.vocab};
	inoci_prompt bad = {.ids = bad_ids, .n = 2}, empty = {.ids = bad_ids};
	assert_int_equal(inoci_sample(model, NULL, &bad, 1, &s, on_sample, NULL, &r, NULL, &err), INOC_E_USAGE);
	assert_non_null(strstr(err.msg, "token 1 is id 49152"));
	assert_int_equal(inoci_sample(model, NULL, &empty, 1, &s, on_sample, NULL, &r, NULL, &err), INOC_E_USAGE);
	s.max_kv_rows = 32;
	assert_int_equal(inoci_sample(model, NULL, prompts, 2, &s, on_sample, NULL, &r, NULL, &err), INOC_E_MEMORY);
	assert_non_null(strstr(err.msg, "max_kv_rows is 32"));
	s.max_kv_rows = 0;
	assert_int_equal(inoci_sample(model, NULL, prompts, 0, &s, on_sample, NULL, &r, NULL, &err), 0);
	assert_int_equal(inoci_sample(model, NULL, prompts + 2, 1, &s, refuse, NULL, &r, NULL, &err), INOC_E_IO);
	assert_string_equal(err.msg, "the disk is full");
	s.temperature = -1;
	assert_int_equal(inoci_sample(model, NULL, prompts, 1, &s, on_sample, NULL, &r, NULL, &err), INOC_E_USAGE);
	assert_int_equal(r.n, 0);
	/* Every large allocation fails once: an error that says so, or fewer slots. */
	s.temperature = 1;
	s.max_tokens = 1;
	for (long n = 1; n <= 4; n++) {
		inoci_fault_alloc_at(n);
		int rc = inoci_sample(model, NULL, prompts + 2, 1, &s, on_sample, NULL, &r, NULL, &err);
		inoci_fault_alloc_at(0);
		assert_true(rc == 0 || rc == INOC_E_MEMORY);
		assert_true(n > 2 || rc == INOC_E_MEMORY);
	}
	results_free(&r);
}

static void stopping(void **state)
{
	struct results r = {.stop_after = 2};
	inoc_err err = {0};
	inoci_progress progress = {.stop = &r.stop};
	inoci_sample_settings s = settings(2);
	s.n = slow ? 3 : 8;
	s.max_batch = 1;
	top_k_logprobs = 0;
	assert_int_equal(inoci_sample(model, NULL, prompts + 2, 1, &s, on_sample, NULL, &r, &progress, &err), INOC_E_STOPPED);
	assert_int_equal(r.n, 2);
	assert_non_null(strstr(err.msg, "stopped after 2 of"));
	results_free(&r);
}

int main(int argc, char **argv)
{
	inoci_fault_fill_nan();
	if (argc > 1) cmocka_set_test_filter(argv[1]);
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(batched_equals_one_by_one),
	        cmocka_unit_test(settings_of_their_own),
	        cmocka_unit_test(greedy_is_the_argmax_of_teacher_forcing),
	        cmocka_unit_test(log_probabilities),
	        cmocka_unit_test(only_allowed_characters),
	        cmocka_unit_test(stop_strings_and_stream),
	        cmocka_unit_test(ends),
	        cmocka_unit_test(repetition_penalty),
	        cmocka_unit_test(errors),
	        cmocka_unit_test(stopping),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
