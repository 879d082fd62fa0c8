/* A small GGUF file with a byte-level vocabulary, made in memory, so that tests and fuzzing need no model file. */
#ifndef SYNTH_GGUF_H
#define SYNTH_GGUF_H

#include <stdlib.h>
#include <string.h>

#include "text/text.h"

struct synth {
	const char *model, *pre, *tmpl; /* NULL: the key is left out */
	int64_t eos;                    /* negative: left out */
	bool no_types;
	inoci_buf tokens, types, merges; /* elements as they stand in the file */
	uint64_t n_tokens, n_types, n_merges;
};

static inline void synth_put(inoci_buf *b, uint64_t v, size_t bytes)
{
	inoci_buf_append(b, &v, bytes); /* little-endian, as the machine */
}

static inline void synth_str(inoci_buf *b, const char *s, size_t n)
{
	synth_put(b, n, 8);
	inoci_buf_append(b, s, n);
}

static inline void synth_token(struct synth *f, const char *s, int type)
{
	synth_str(&f->tokens, s, strlen(s));
	f->n_tokens++;
	synth_put(&f->types, (uint64_t)type, 4);
	f->n_types++;
}

static inline void synth_merge(struct synth *f, const char *s)
{
	synth_str(&f->merges, s, strlen(s));
	f->n_merges++;
}

/* The 256 byte tokens but those from `skip` up to `skip_end`. */
static inline void synth_bytes(struct synth *f, unsigned skip, unsigned skip_end)
{
	unsigned other = 256;
	for (unsigned b = 0; b < 256; b++) {
		bool shown = (b > 0x20 && b < 0x7f) || (b >= 0xa1 && b != 0xad);
		unsigned c = shown ? b : other++;
		char s[3] = {(char)c};
		if (c >= 0x80) {
			s[0] = (char)(0xc0 | c >> 6);
			s[1] = (char)(0x80 | (c & 0x3f));
		}
		if (b < skip || b >= skip_end) synth_token(f, s, 1);
	}
}

/* Ids: 0 <|endoftext|>, 1 <|im_start|>, 2 <|im_end|>, 3 + b for byte b, then merged ones. */
static inline void synth_default(struct synth *f)
{
	static const char *const merges[] = {"Ġ t", "h e",   "Ġt he", "i n", "Ġ Ġ",  "ĠĠ ĠĠ", "Ċ Ċ",
	                                     "a a", "aa aa", "Ã ©",   "' s", "ðŁ ĺ", "ðŁĺ Ģ", "ð Ł"};
	*f = (struct synth){.model = "gpt2", .pre = "smollm", .eos = 2};
	synth_token(f, "<|endoftext|>", 3);
	synth_token(f, "<|im_start|>", 3);
	synth_token(f, "<|im_end|>", 3);
	synth_bytes(f, 256, 256);
	for (size_t i = 0; i < INOCI_COUNT(merges); i++) {
		const char *space = strchr(merges[i], ' ');
		char *made = inoci_asprintf("%.*s%s", (int)(space - merges[i]), merges[i], space + 1);
		synth_token(f, made, 1);
		synth_merge(f, merges[i]);
		free(made);
	}
}

static inline void synth_free(struct synth *f)
{
	inoci_buf_free(&f->tokens);
	inoci_buf_free(&f->types);
	inoci_buf_free(&f->merges);
}

static inline uint64_t synth_kv(inoci_buf *b, const char *key, const char *s)
{
	if (!s) return 0;
	synth_str(b, key, strlen(key));
	synth_put(b, 8, 4);
	synth_str(b, s, strlen(s));
	return 1;
}

static inline uint64_t synth_array(inoci_buf *b, const char *key, uint32_t type, const inoci_buf *v, uint64_t n)
{
	synth_str(b, key, strlen(key));
	synth_put(b, 9, 4);
	synth_put(b, type, 4);
	synth_put(b, n, 8);
	if (v->len) inoci_buf_append(b, v->data, v->len);
	return 1;
}

/* The file; free the buffer behind whatever was opened on it. */
static inline inoci_buf synth_file(const struct synth *f)
{
	inoci_buf kv = {0}, out = {0};
	uint64_t n = 0;
	n += synth_kv(&kv, "tokenizer.ggml.model", f->model);
	n += synth_kv(&kv, "tokenizer.ggml.pre", f->pre);
	n += synth_kv(&kv, "tokenizer.chat_template", f->tmpl);
	n += synth_array(&kv, "tokenizer.ggml.tokens", 8, &f->tokens, f->n_tokens);
	if (!f->no_types) n += synth_array(&kv, "tokenizer.ggml.token_type", 5, &f->types, f->n_types);
	n += synth_array(&kv, "tokenizer.ggml.merges", 8, &f->merges, f->n_merges);
	if (f->eos >= 0) {
		const char *key = "tokenizer.ggml.eos_token_id";
		synth_str(&kv, key, strlen(key));
		synth_put(&kv, 4, 4);
		synth_put(&kv, (uint64_t)f->eos, 4);
		n++;
	}
	inoci_buf_puts(&out, "GGUF");
	synth_put(&out, 3, 4);
	synth_put(&out, 0, 8);
	synth_put(&out, n, 8);
	inoci_buf_append(&out, kv.data, kv.len);
	while (out.len % 32) synth_put(&out, 0, 1);
	inoci_buf_free(&kv);
	return out;
}

#endif
