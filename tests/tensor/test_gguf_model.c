/* The GGUF reader on the real model that INOC_MODEL names. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tensor/tensor.h"

static const char *model_path(void)
{
	const char *path = getenv("INOC_MODEL");
	if (!path || !*path) fail_msg("INOC_MODEL is unset: it names the SmolLM2-135M-Instruct GGUF file this test reads");
	return path;
}

static void real_model(void **state)
{
	inoci_gguf *g;
	inoc_err err;
	if (inoci_gguf_open(model_path(), &g, &err) < 0) fail_msg("%s", err.msg);
	static const struct {
		const char *key;
		uint32_t v;
	} ints[] = {
	        {"llama.block_count", 30},           {"llama.context_length", 8192},         {"llama.embedding_length", 576},
	        {"llama.feed_forward_length", 1536}, {"llama.attention.head_count", 9},      {"llama.attention.head_count_kv", 3},
	        {"llama.vocab_size", 49152},         {"llama.rope.dimension_count", 64},     {"tokenizer.ggml.bos_token_id", 1},
	        {"tokenizer.ggml.eos_token_id", 2},  {"tokenizer.ggml.padding_token_id", 2},
	};
	assert_int_equal(inoci_gguf_version(g), 3);
	assert_int_equal(inoci_gguf_n_tensors(g), 272);
	for (size_t i = 0; i < INOCI_COUNT(ints); i++) {
		uint32_t v;
		if (inoci_gguf_u32(g, ints[i].key, &v, &err) < 0) fail_msg("%s", err.msg);
		if (v != ints[i].v) fail_msg("%s: %u, expected %u", ints[i].key, v, ints[i].v);
	}
	float f;
	bool yes;
	const char *s;
	size_t n;
	assert_int_equal(inoci_gguf_f32(g, "llama.rope.freq_base", &f, &err), 0);
	assert_true(f == 100000.0f);
	assert_int_equal(inoci_gguf_f32(g, "llama.attention.layer_norm_rms_epsilon", &f, &err), 0);
	assert_true(f == 1e-5f);
	assert_int_equal(inoci_gguf_bool(g, "tokenizer.ggml.add_bos_token", &yes, &err), 0);
	assert_false(yes);
	assert_int_equal(inoci_gguf_str(g, "tokenizer.ggml.pre", &s, &n, &err), 0);
	assert_int_equal(n, 6);
	assert_memory_equal(s, "smollm", 6);

	assert_int_equal(inoci_gguf_strs_n(g, "tokenizer.ggml.tokens", &n, &err), 0);
	assert_int_equal(n, 49152);
	const char **tok = malloc(n * sizeof *tok);
	size_t *len = malloc(n * sizeof *len);
	assert_int_equal(inoci_gguf_strs(g, "tokenizer.ggml.tokens", tok, len, n, &err), 0);
	assert_int_equal(len[1], 12);
	assert_memory_equal(tok[1], "<|im_start|>", 12);
	assert_int_equal(len[49151], 7);
	assert_memory_equal(tok[49151], "ectable", 7);
	free(tok);
	free(len);
	const int32_t *kinds;
	int control = 0;
	assert_int_equal(inoci_gguf_i32s(g, "tokenizer.ggml.token_type", &kinds, &n, &err), 0);
	assert_int_equal(n, 49152);
	for (size_t i = 0; i < n; i++) control += kinds[i] == 3;
	assert_int_equal(control, 17);

	/* first values and the sum of all, from gguf.quants.dequantize of gguf 0.19.0 */
	static const struct {
		const char *name;
		int type;
		uint64_t ne0, ne1;
		float first[4];
		double sum;
	} want[] = {
	        {"token_embd.weight",
	         INOCI_Q8_0,
	         576,
	         49152,
	         {-0x1.b468p-4f, 0x1.0e28p-5f, 0x1.8ad8p-5f, -0x1.761p-6f},
	         -15353.04449415207},
	        {"blk.0.attn_q.weight",
	         INOCI_Q4_1,
	         576,
	         576,
	         {-0x1.8a8p-4f, 0x1.424p-3f, -0x1.8a8p-4f, -0x1.76p-1f},
	         59.22322082519531},
	        {"output_norm.weight", INOCI_F32, 576, 1, {0x1.c2p+0f, 0x1.d2p+0f, 0x1.c8p+0f, 0x1.9ap+0f}, 1038.33203125},
	        {"blk.29.ffn_down.weight",
	         INOCI_Q4_1,
	         1536,
	         576,
	         {-0x1.17ep-2f, 0x1.7d8p-3f, 0x1.7d8p-3f, 0x1.8c8p-5f},
	         49.83570861816406},
	};
	for (size_t k = 0; k < INOCI_COUNT(want); k++) {
		const inoci_tensor *t = inoci_gguf_tensor(g, want[k].name);
		assert_non_null(t);
		assert_int_equal(t->type, want[k].type);
		assert_true(t->ne[0] == want[k].ne0 && t->ne[1] == want[k].ne1);
		size_t values = (size_t)(t->ne[0] * t->ne[1]);
		float *x = malloc(values * sizeof *x);
		double sum = 0;
		inoci_dequant(t->type, t->data, x, values);
		for (size_t i = 0; i < values; i++) sum += x[i];
		if (memcmp(x, want[k].first, sizeof want[k].first) || fabs(sum - want[k].sum) > 1e-6)
			fail_msg("%s: %a %a %a %a, sum %.9f, expected %.9f", want[k].name, x[0], x[1], x[2], x[3], sum,
			         want[k].sum);
		free(x);
	}
	size_t values = 0;
	for (size_t i = 0; i < 272; i++) {
		const inoci_tensor *t = inoci_gguf_tensor_at(g, i);
		values += (size_t)(t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3]);
	}
	assert_int_equal(values, 134515008);
	inoci_gguf_free(g);
}

static void real_model_truncated(void **state)
{
	inoci_map m;
	inoc_err err;
	if (inoci_map_open(model_path(), &m, &err) < 0) fail_msg("%s", err.msg);
	for (size_t k = 1; k < 200; k++) {
		inoci_gguf *g;
		size_t n = m.n - m.n / (k * k); /* dense towards the end, some in the vocabulary */
		if (k > 100) n = 20000 * (k - 100);
		assert_int_equal(inoci_gguf_parse(m.data, n, "m.gguf", &g, &err), INOC_E_FORMAT);
		assert_non_null(strstr(err.msg, "the download may be incomplete: fetch it again"));
	}
	inoci_map_close(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(real_model), cmocka_unit_test(real_model_truncated)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
