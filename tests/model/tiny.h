/* A tiny Llama with random weights, written as a GGUF file, so that gradients can be checked by finite differences and runs
 * take milliseconds. 3 layers, width 32, 2 heads over 1 of 16, feed-forward 48, byte-level vocabulary, ChatML. */
#ifndef INOC_TESTS_TINY
#define INOC_TESTS_TINY

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "../text/synth_gguf.h"
#include "model/model.h"

enum { TINY_LAYERS = 3, TINY_C = 32, TINY_H = 2, TINY_G = 1, TINY_D = 16, TINY_F = 48, TINY_CTX = 256 };
#define TINY_CHATML                                                                                                              \
	"{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% " \
	"endfor %}{% if "                                                                                                        \
	"add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"

static inline void tiny_u32(inoci_buf *b, const char *key, uint32_t v, uint64_t *n)
{
	synth_str(b, key, strlen(key));
	synth_put(b, 4, 4);
	synth_put(b, v, 4);
	++*n;
}

static inline void tiny_f32(inoci_buf *b, const char *key, float v, uint64_t *n)
{
	uint32_t u;
	memcpy(&u, &v, 4);
	synth_str(b, key, strlen(key));
	synth_put(b, 6, 4);
	synth_put(b, u, 4);
	++*n;
}

static inline void tiny_tensor(inoci_buf *info, inoci_buf *data, inoci_rng *r, const char *name, int rows, int cols, uint64_t *n)
{
	synth_str(info, name, strlen(name));
	synth_put(info, rows > 1 ? 2 : 1, 4);
	synth_put(info, (uint64_t)cols, 8);
	if (rows > 1) synth_put(info, (uint64_t)rows, 8);
	synth_put(info, 0, 4);
	synth_put(info, data->len, 8);
	for (int i = 0; i < rows * cols; i++) {
		float v = (float)inoci_rng_normal(r) * (rows > 1 ? 0.7f / sqrtf((float)cols) : 0.2f) + (rows > 1 ? 0 : 1);
		inoci_buf_append(data, &v, 4);
	}
	while (data->len % 32) synth_put(data, 0, 1);
	++*n;
}

/* Writes the file into the working folder and returns its path; unlink() and free() it. */
static inline char *tiny_model(const char *name)
{
	struct synth f;
	synth_default(&f);
	inoci_buf kv = {0}, info = {0}, data = {0}, out = {0};
	uint64_t n = 0, nt = 0;
	n += synth_kv(&kv, "general.architecture", "llama");
	n += synth_kv(&kv, "tokenizer.ggml.model", f.model);
	n += synth_kv(&kv, "tokenizer.ggml.pre", f.pre);
	n += synth_kv(&kv, "tokenizer.chat_template", TINY_CHATML);
	n += synth_array(&kv, "tokenizer.ggml.tokens", 8, &f.tokens, f.n_tokens);
	n += synth_array(&kv, "tokenizer.ggml.token_type", 5, &f.types, f.n_types);
	n += synth_array(&kv, "tokenizer.ggml.merges", 8, &f.merges, f.n_merges);
	tiny_u32(&kv, "tokenizer.ggml.eos_token_id", 2, &n);
	tiny_u32(&kv, "llama.block_count", TINY_LAYERS, &n);
	tiny_u32(&kv, "llama.context_length", TINY_CTX, &n);
	tiny_u32(&kv, "llama.embedding_length", TINY_C, &n);
	tiny_u32(&kv, "llama.feed_forward_length", TINY_F, &n);
	tiny_u32(&kv, "llama.attention.head_count", TINY_H, &n);
	tiny_u32(&kv, "llama.attention.head_count_kv", TINY_G, &n);
	tiny_f32(&kv, "llama.rope.freq_base", 10000, &n);
	tiny_f32(&kv, "llama.attention.layer_norm_rms_epsilon", 1e-5f, &n);
	inoci_rng r = inoci_rng_new(5, "tiny", 0, 0);
	tiny_tensor(&info, &data, &r, "token_embd.weight", (int)f.n_tokens, TINY_C, &nt);
	tiny_tensor(&info, &data, &r, "output_norm.weight", 1, TINY_C, &nt);
	for (int l = 0; l < TINY_LAYERS; l++) {
		static const struct {
			const char *name;
			int rows, cols;
		} t[] = {{"attn_norm", 1, TINY_C},
		         {"ffn_norm", 1, TINY_C},
		         {"attn_q", TINY_H * TINY_D, TINY_C},
		         {"attn_k", TINY_G * TINY_D, TINY_C},
		         {"attn_v", TINY_G * TINY_D, TINY_C},
		         {"attn_output", TINY_C, TINY_H * TINY_D},
		         {"ffn_gate", TINY_F, TINY_C},
		         {"ffn_up", TINY_F, TINY_C},
		         {"ffn_down", TINY_C, TINY_F}};
		for (size_t i = 0; i < INOCI_COUNT(t); i++) {
			char nm[64];
			snprintf(nm, sizeof nm, "blk.%d.%s.weight", l, t[i].name);
			tiny_tensor(&info, &data, &r, nm, t[i].rows, t[i].cols, &nt);
		}
	}
	inoci_buf_puts(&out, "GGUF");
	synth_put(&out, 3, 4);
	synth_put(&out, nt, 8);
	synth_put(&out, n, 8);
	inoci_buf_append(&out, kv.data, kv.len);
	inoci_buf_append(&out, info.data, info.len);
	while (out.len % 32) synth_put(&out, 0, 1);
	inoci_buf_append(&out, data.data, data.len);
	char *path = inoci_asprintf("tiny-%s-%ld.gguf", name, (long)getpid());
	inoc_err err;
	if (inoci_file_write(path, out.data, out.len, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		abort();
	}
	inoci_buf_free(&kv), inoci_buf_free(&info), inoci_buf_free(&data), inoci_buf_free(&out);
	synth_free(&f);
	return path;
}

#endif
