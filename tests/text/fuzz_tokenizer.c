/* Any bytes: encoding yields no special token, and decoding gives the bytes back; also when they are a message. */
#include "synth_gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static inoci_tokenizer *toks[2];
static inoci_template *tmpl;

static void set_up(void)
{
	static const char *const pres[] = {"smollm", "gpt-2"};
	for (int i = 0; i < 2; i++) {
		struct synth f;
		inoci_gguf *g;
		inoc_err err;
		synth_default(&f);
		f.pre = pres[i];
		inoci_buf file = synth_file(&f);
		if (inoci_gguf_parse((const uint8_t *)file.data, file.len, "synthetic", &g, &err) < 0 ||
		    inoci_tok_open(g, &toks[i], &err) < 0 ||
		    (!i && inoci_template_open(g, toks[i], "smollm2", &tmpl, &err) < 0)) {
			fprintf(stderr, "%s\n", err.msg);
			abort();
		}
		inoci_gguf_free(g);
		inoci_buf_free(&file);
		synth_free(&f);
	}
}

static void round_trip(const inoci_tokenizer *t, const char *s, size_t n)
{
	inoci_i32s ids = {0};
	inoci_buf back = {0};
	inoci_tok_encode(t, s, n, &ids);
	for (size_t i = 0; i < ids.n; i++)
		if (inoci_tok_is_special(t, ids.v[i])) abort();
	inoci_tok_decode(t, ids.v, ids.n, false, &back);
	if (inoci_tok_lost(t, s, n) || back.len != n || (n && memcmp(back.data, s, n))) abort();
	inoci_i32s_free(&ids);
	inoci_buf_free(&back);
}

static void conversation(const char *s, size_t n)
{
	char *content = inoci_strndup(s, n);
	inoci_msg msgs[] = {{"user", content}, {"assistant", content}};
	inoci_rendered r, prompt;
	inoci_sys none = {INOCI_SYS_NONE, NULL};
	size_t special = 0;
	inoci_buf loss = {0}, all = {0};
	if (inoci_render(tmpl, msgs, 2, none, false, &r, NULL) < 0 || inoci_render(tmpl, msgs, 1, none, true, &prompt, NULL) < 0)
		abort();
	for (size_t i = 0; i < r.ids.n; i++) {
		special += inoci_tok_is_special(toks[0], r.ids.v[i]);
		if (r.loss.v[i]) inoci_tok_decode(toks[0], &r.ids.v[i], 1, false, &loss);
	}
	inoci_tok_decode(toks[0], r.ids.v, r.ids.n, true, &all);
	if (special != 4 || loss.len != strlen(content) || (loss.len && memcmp(loss.data, content, loss.len))) abort();
	if (all.len != r.text.len || memcmp(all.data, r.text.data, all.len)) abort();
	if (prompt.ids.n >= r.ids.n || memcmp(prompt.ids.v, r.ids.v, prompt.ids.n * sizeof *r.ids.v)) abort();
	inoci_rendered_free(&r);
	inoci_rendered_free(&prompt);
	inoci_buf_free(&loss);
	inoci_buf_free(&all);
	free(content);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (!toks[0]) set_up();
	for (int i = 0; i < 2; i++) round_trip(toks[i], (const char *)data, n);
	conversation((const char *)data, n);
	return 0;
}
