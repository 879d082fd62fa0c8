/* Chat templates: the exact texts that are known, by hash, and how each is rendered.
 *
 * A template is a row of the table, not a Jinja interpreter: its text is recognised whole or refused. All rows here are of the
 * ChatML family: open ROLE "\n" CONTENT close "\n". A row's rendering is held against Jinja's, byte for byte, by
 * tests/text/test_template.c.
 */
#include <stdlib.h>
#include <string.h>

#include "text/internal.h"

static const struct known {
	const char *name, *about;
	const char *open, *close;   /* special tokens around a turn */
	const char *default_system; /* NULL: none is put in */
	/* SHA-256 of the template texts, with "\n" in its strings as a newline and as an escape. */
	const char *hashes[5];
} known[] = {
        {"smollm2",
         "ChatML with SmolLM2's default system turn",
         "<|im_start|>",
         "<|im_end|>",
         "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
         {"872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788",
          "de9cde7d1b0ca0cc87459a6673e0d12fb89c070bdb24e4a30b6e4d187b226221"}},
        {"qwen2",
         "ChatML with Qwen2's default system turn",
         "<|im_start|>",
         "<|im_end|>",
         "You are a helpful assistant.",
         {"793202280c0910ab26bc6eb57c8212c2417324c6d8c4efd0d10d59092ab3e3eb",
          "f0206845c9ebc3abb4735d44f286eb81ce99238ad2accc710c6fc60e6cb8ccc8"}},
        {"chatml",
         "plain ChatML, no default system turn",
         "<|im_start|>",
         "<|im_end|>",
         NULL,
         {"153280e3ff55d19da1398bdb3914ee2a51b80429bfaedde11d7d216c39db80f3",
          "fcf7a096fe99a48fd9ad2b250bf9237e96e8f48bffec1c7ea4d3f225176cd40e",
          "58c1a1f04baa7adaeaba1f90267c3d57d9396f0c1f0129bdde9e76d3c6784af7",
          "d7b5b8c7b58f7a6bf868aa46a5f73ee976d7292f40fcb9c3e7a1defd8d235cfb"}},
};

struct inoci_template {
	const struct known *k;
	const inoci_tokenizer *tok;
	int32_t open, close;
};

inoci_sys inoci_sys_parse(const char *s)
{
	if (!s || !strcmp(s, "default")) return (inoci_sys){INOCI_SYS_DEFAULT, NULL};
	if (!strcmp(s, "none")) return (inoci_sys){INOCI_SYS_NONE, NULL};
	if (!strcmp(s, "empty")) return (inoci_sys){INOCI_SYS_EMPTY, NULL};
	return (inoci_sys){INOCI_SYS_TEXT, s};
}

/* Appends "; choose one by name: ..." to what is wrong. */
static int refuse(inoc_err *err, const char *what)
{
	inoci_buf b = {0};
	for (size_t i = 0; i < INOCI_COUNT(known); i++)
		inoci_buf_printf(&b, "%s%s (%s)", i ? ", " : "", known[i].name, known[i].about);
	int rc = inoci_err_set(err, INOC_E_UNSUPPORTED, "%s; known templates, to be chosen by name where they fit the model: %s",
	                       what, b.data);
	inoci_buf_free(&b);
	return rc;
}

static int find_known(const inoci_gguf *g, const char *name, const struct known **out, inoc_err *err)
{
	const char *path = inoci_gguf_path(g), *text;
	size_t n;
	char *what;
	int rc;
	if (name) {
		for (size_t i = 0; i < INOCI_COUNT(known); i++)
			if (!strcmp(known[i].name, name)) {
				*out = &known[i];
				return 0;
			}
		what = inoci_asprintf("no chat template is called '%s'", name);
		rc = refuse(err, what);
		free(what);
		return rc;
	}
	if (!inoci_gguf_has(g, "tokenizer.chat_template")) {
		what = inoci_asprintf("%s: the file has no chat template (tokenizer.chat_template)", path);
		rc = refuse(err, what);
		free(what);
		return rc;
	}
	rc = inoci_gguf_str(g, "tokenizer.chat_template", &text, &n, err);
	if (rc < 0) return rc;
	inoci_hash h = inoci_hash_bytes(text, n);
	for (size_t i = 0; i < INOCI_COUNT(known); i++)
		for (size_t j = 0; j < INOCI_COUNT(known[i].hashes) && known[i].hashes[j]; j++)
			if (!strcmp(known[i].hashes[j], h.hex)) {
				*out = &known[i];
				return 0;
			}
	what = inoci_asprintf("%s: its chat template (%zu bytes, SHA-256 %.16s...) is not one this version knows", path, n,
	                      h.hex);
	rc = refuse(err, what);
	free(what);
	return rc;
}

int inoci_template_open(const inoci_gguf *g, const inoci_tokenizer *tok, const char *name, inoci_template **out, inoc_err *err)
{
	const struct known *k = NULL;
	*out = NULL;
	int rc = find_known(g, name, &k, err);
	if (rc < 0) return rc;
	int32_t open = inoci_tok_special(tok, k->open), close = inoci_tok_special(tok, k->close);
	if (open < 0 || close < 0)
		return inoci_err_set(
		        err, INOC_E_UNSUPPORTED,
		        "%s: chat template '%s' needs the special token '%s', which the vocabulary does not have as a "
		        "control token: the template does not fit this model",
		        inoci_gguf_path(g), k->name, open < 0 ? k->open : k->close);
	inoci_template *t = inoci_alloc(sizeof *t);
	*t = (inoci_template){k, tok, open, close};
	*out = t;
	return 0;
}

void inoci_template_free(inoci_template *t)
{
	free(t);
}

const char *inoci_template_name(const inoci_template *t)
{
	return t->k->name;
}

const char *inoci_template_default_system(const inoci_template *t)
{
	return t->k->default_system;
}

int32_t inoci_template_end_of_turn(const inoci_template *t)
{
	return t->close;
}

/* ---- rendering ---- */

void inoci_rendered_free(inoci_rendered *r)
{
	inoci_i32s_free(&r->ids);
	inoci_i32s_free(&r->loss);
	inoci_i32s_free(&r->turn);
	inoci_buf_free(&r->text);
	*r = (inoci_rendered){0};
}

/* Marks the ids that were added since the last call. */
static void mark(inoci_rendered *r, int32_t turn, bool loss)
{
	while (r->loss.n < r->ids.n) {
		inoci_i32s_push(&r->loss, loss);
		inoci_i32s_push(&r->turn, turn);
	}
}

static void put_text(const inoci_template *t, inoci_rendered *r, const char *s, size_t n, int32_t turn, bool loss)
{
	inoci_buf_append(&r->text, s, n);
	inoci_tok_encode(t->tok, s, n, &r->ids);
	r->n_lost += inoci_tok_lost(t->tok, s, n);
	mark(r, turn, loss);
}

static void put_special(inoci_rendered *r, const char *spelling, int32_t id, int32_t turn, bool loss)
{
	inoci_buf_puts(&r->text, spelling);
	inoci_i32s_push(&r->ids, id);
	mark(r, turn, loss);
}

static void put_answer(const inoci_template *t, inoci_rendered *r, const char *content, int32_t turn)
{
	put_text(t, r, content, strlen(content), turn, true);
	put_special(r, t->k->close, t->close, turn, true);
	r->n_assistant++;
}

static void put_turn(const inoci_template *t, inoci_rendered *r, const char *role, const char *content, int32_t turn)
{
	bool assistant = !strcmp(role, "assistant");
	inoci_buf head = {0};
	inoci_buf_printf(&head, "%s\n", role);
	put_special(r, t->k->open, t->open, turn, false);
	if (assistant) {
		/* Apart, as when sampling: the prompt ends behind the "\n". Tokenizing both at once gives the same unless the
		 * content starts with whitespace, which would merge with that "\n". */
		put_text(t, r, head.data, head.len, turn, false);
		put_answer(t, r, content, turn);
	} else {
		inoci_buf_puts(&head, content);
		put_text(t, r, head.data, head.len, turn, false);
		put_special(r, t->k->close, t->close, turn, false);
	}
	put_text(t, r, "\n", 1, turn, false);
	inoci_buf_free(&head);
}

int inoci_render(const inoci_template *t, const inoci_msg *msgs, size_t n, inoci_sys sys, bool add_generation,
                 inoci_rendered *out, inoc_err *err)
{
	*out = (inoci_rendered){0};
	for (size_t i = 0; i < n; i++)
		if (!msgs[i].role || !msgs[i].content)
			return inoci_err_set(err, INOC_E_FORMAT, "message %zu of the conversation has no %s", i + 1,
			                     msgs[i].role ? "content" : "role");
	if (!n || strcmp(msgs[0].role, "system")) {
		const char *text = NULL;
		switch (sys.kind) {
		case INOCI_SYS_NONE:
			break;
		case INOCI_SYS_EMPTY:
			text = "";
			break;
		case INOCI_SYS_DEFAULT:
			text = n ? t->k->default_system : NULL;
			break; /* Jinja: in the loop over messages */
		case INOCI_SYS_TEXT:
			text = sys.text ? sys.text : "";
			break;
		}
		if (text) put_turn(t, out, "system", text, -1);
	}
	for (size_t i = 0; i < n; i++) put_turn(t, out, msgs[i].role, msgs[i].content, (int32_t)i);
	if (add_generation) {
		put_special(out, t->k->open, t->open, (int32_t)n, false);
		put_text(t, out, "assistant\n", 10, (int32_t)n, false);
	}
	return 0;
}

void inoci_render_answer(const inoci_template *t, const char *content, inoci_rendered *out)
{
	put_answer(t, out, content, out->turn.n ? out->turn.v[out->turn.n - 1] : 0);
}
