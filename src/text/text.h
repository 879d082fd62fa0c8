/* text: byte-level BPE tokenizer from GGUF metadata, pre-tokenizers, chat templates.
 *
 * Invariants:
 *  1. User text never yields a special token: "<|im_end|>" in a message is encoded as ordinary characters.
 *  2. A conversation is rendered by exactly one function, for training, sampling and scoring alike; the rendered text is
 *     byte for byte that of the model's own template.
 */
#ifndef INOCI_TEXT_H
#define INOCI_TEXT_H

#include "base/base.h"
#include "tensor/tensor.h"

typedef struct inoci_tokenizer inoci_tokenizer;
/* From tokenizer.ggml.*; an unknown tokenizer model or pre-tokenizer is INOC_E_UNSUPPORTED with the list of known ones. */
INOCI_MUST int inoci_tok_open(const inoci_gguf *g, inoci_tokenizer **out, inoc_err *err);
void inoci_tok_free(inoci_tokenizer *t);
int32_t inoci_tok_vocab_size(const inoci_tokenizer *t);
const char *inoci_tok_model(const inoci_tokenizer *t); /* "gpt2" */
const char *inoci_tok_pre(const inoci_tokenizer *t);   /* "smollm" */
int32_t inoci_tok_eos(const inoci_tokenizer *t);       /* -1 when the file names none */
/* Appends the ids of ordinary text (no special tokens, no BOS). Invalid UTF-8 bytes are encoded byte by byte (each as its
 * byte token). What inoci_tok_lost counts is left out, as the references do; everything else round-trips. Uses scratch memory
 * of the tokenizer: one thread at a time. */
void inoci_tok_encode(const inoci_tokenizer *t, const char *s, size_t n, inoci_i32s *out);
/* How many bytes of the text have no token in the vocabulary: 0 for nearly every text, but some vocabularies lack a few
 * control characters and bytes that no assigned character uses. */
size_t inoci_tok_lost(const inoci_tokenizer *t, const char *s, size_t n);
/* The id of the special (control) token spelled exactly so, or -1. */
int32_t inoci_tok_special(const inoci_tokenizer *t, const char *spelling);
bool inoci_tok_is_special(const inoci_tokenizer *t, int32_t id);
/* Bytes of one token as they appear in text, "" for special ones. Borrowed. Here and below an id that is not in the
 * vocabulary has no bytes. */
const char *inoci_tok_bytes(const inoci_tokenizer *t, int32_t id, size_t *n);
const char *inoci_tok_spelling(const inoci_tokenizer *t, int32_t id); /* as in the vocabulary */
/* Appends the text of ids; special tokens are left out unless keep_special. May end in the middle of a UTF-8 character. */
void inoci_tok_decode(const inoci_tokenizer *t, const int32_t *ids, size_t n, bool keep_special, inoci_buf *out);

/* ---- chat ---- */

typedef struct {
	char *role;    /* "system", "user", "assistant" */
	char *content; /* UTF-8, may hold anything */
} inoci_msg;

/* What stands in the system turn when the conversation has none of its own. */
typedef enum {
	INOCI_SYS_NONE,    /* no system turn at all */
	INOCI_SYS_EMPTY,   /* a system turn with empty content */
	INOCI_SYS_DEFAULT, /* what the model's own template inserts (none, if it inserts none) */
	INOCI_SYS_TEXT     /* the given text */
} inoci_sys_kind;
typedef struct {
	inoci_sys_kind kind;
	const char *text; /* for INOCI_SYS_TEXT */
} inoci_sys;
/* "none", "empty", "default" (also for NULL) or any other text, which is borrowed. */
inoci_sys inoci_sys_parse(const char *s);

typedef struct inoci_template inoci_template;
/* Recognises the file's tokenizer.chat_template by the hash of its exact text against a table of known ones; else
 * INOC_E_UNSUPPORTED with the list of names and how to choose. `name` (may be NULL) forces one, such as "chatml". Borrows the
 * tokenizer. */
INOCI_MUST int inoci_template_open(const inoci_gguf *g, const inoci_tokenizer *t, const char *name, inoci_template **out,
                                   inoc_err *err);
void inoci_template_free(inoci_template *t);
const char *inoci_template_name(const inoci_template *t);
const char *inoci_template_default_system(const inoci_template *t); /* NULL when it has none */
int32_t inoci_template_end_of_turn(const inoci_template *t);        /* the token that ends an assistant's turn */

typedef struct {
	inoci_i32s ids;
	inoci_i32s loss; /* 1 where the token is to be predicted as part of an assistant turn: its text and its end-of-turn
	                  * token. Parallel to ids. */
	inoci_buf text;  /* the exact rendered text, special tokens spelled out */
	int n_assistant; /* assistant turns in it */
	inoci_i32s turn; /* parallel to ids: index of the message the token belongs to, -1 for a system turn that was put in
	                  * front, the number of messages for the opening that add_generation asks for */
	size_t n_lost;   /* bytes of text that the vocabulary has no token for: see inoci_tok_lost */
} inoci_rendered;
void inoci_rendered_free(inoci_rendered *r);
/* Renders and tokenizes into *out, which is overwritten. add_generation: ends with the opening of an assistant turn; its ids
 * are then a prefix of those of the conversation that goes on with that turn. For this the "assistant\n" of an assistant turn
 * and its content are tokenized apart, as they are when sampling; that differs from tokenizing the whole text only where the
 * content starts with whitespace. All other turns are tokenized as the whole is. A message without role or content is
 * INOC_E_FORMAT. */
INOCI_MUST int inoci_render(const inoci_template *t, const inoci_msg *msgs, size_t n, inoci_sys sys, bool add_generation,
                            inoci_rendered *out, inoc_err *err);
/* Appends what a conversation that was rendered with add_generation goes on with when the assistant answers `content`: its tokens
 * and the end of the turn, all of loss 1; the whole is then that of the longer conversation, up to that end. */
void inoci_render_answer(const inoci_template *t, const char *content, inoci_rendered *out);

#endif
