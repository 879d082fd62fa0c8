/* Byte-level byte-pair encoding (GPT-2's), from the tokenizer.ggml.* keys of a GGUF file.
 *
 * A token's spelling writes each byte as one character (the table of OpenAI's bytes_to_unicode); special tokens are spelled
 * as they are. The merge with the lowest rank is done first, of equal ones the leftmost, as in Hugging Face `tokenizers`.
 *
 * Invariants, checked when the file is opened:
 *  1. Spellings differ, so every merge names two tokens and makes one.
 *  2. Single bytes and the results of merges are ordinary tokens: encoding can not yield a special one.
 */
#include <stdlib.h>
#include <string.h>

#include "text/internal.h"

enum { MAX_TOKENS = 1 << 22, MAX_MERGES = 1 << 23 };
enum { MAX_PIECE = 1 << 28 }; /* bytes; a word longer than this is cut, so that symbols fit 32 bits */
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER = 4, TYPE_UNUSED = 5 };

struct merge {
	int32_t left, right, made; /* left -1: an empty slot */
	int32_t rank;
};
struct symbol {
	int32_t id, prev, next; /* id -1: merged away */
};
/* A merge that was possible when it was pushed. */
struct candidate {
	int32_t rank, at, left, right, made;
};

struct inoci_tokenizer {
	int32_t n, eos;
	char *text;               /* all spellings, NUL-terminated, and all decoded bytes */
	size_t *spelling, *bytes; /* (n), offsets into text */
	uint32_t *n_bytes;        /* (n) */
	bool *special;            /* (n) */
	int32_t *by_spelling;     /* hash table of ids, -1 for empty */
	size_t spelling_mask, merge_mask;
	struct merge *merges;
	int32_t byte_id[256]; /* -1: the vocabulary lacks it */
	inoci_pretok *pre;
	struct symbol *syms; /* scratch for one piece */
	size_t syms_cap;
	struct candidate *heap;
	size_t heap_n, heap_cap;
};

/* ---- opening ---- */

/* The character that spells byte b. */
static uint32_t byte_char(unsigned b)
{
	if ((b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae) return b;
	if (b <= 0x20) return 256 + b;
	return b <= 0xa0 ? 256 + 33 + (b - 0x7f) : 256 + 67;
}

/* The byte a character spells, or -1. */
static int char_byte(uint32_t c)
{
	if (c < 256) return byte_char(c) == c ? (int)c : -1;
	if (c <= 256 + 32) return (int)(c - 256);
	if (c <= 256 + 66) return (int)(c - 256 - 33 + 0x7f);
	return c == 256 + 67 ? 0xad : -1;
}

/* The bytes of a spelling into `out`, as many as fit the spelling; one that no bytes are spelled so is its own text. */
static uint32_t unspell(const char *s, size_t n, char *out)
{
	uint32_t k = 0;
	for (size_t i = 0; i < n;) {
		unsigned char c = (unsigned char)s[i];
		int b = -1;
		if (c < 0x80) {
			b = char_byte(c);
			i++;
		} else if (c < 0xe0 && i + 1 < n) {
			b = char_byte((c & 0x1fu) << 6 | ((unsigned char)s[i + 1] & 0x3f));
			i += 2;
		}
		if (b < 0) {
			memcpy(out, s, n);
			return (uint32_t)n;
		}
		out[k++] = (char)b;
	}
	return k;
}

static uint64_t hash_text(const char *s, size_t n)
{
	uint64_t h = 1469598103934665603u;
	for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)s[i]) * 1099511628211u;
	return inoci_mix64(0, h);
}

static uint64_t hash_pair(int32_t left, int32_t right)
{
	uint64_t x = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
	return x ^ x >> 32;
}

static size_t table_size(size_t n)
{
	size_t size = 16;
	while (size < 2 * n) size *= 2;
	return size;
}

/* Slot of a spelling: the one that holds it, or the empty one where it belongs. */
static int32_t *spelling_slot(const inoci_tokenizer *t, const char *s, size_t n)
{
	size_t i = hash_text(s, n) & t->spelling_mask;
	for (;; i = (i + 1) & t->spelling_mask) {
		int32_t *slot = &t->by_spelling[i];
		if (*slot < 0) return slot;
		const char *have = t->text + t->spelling[*slot];
		if (strlen(have) == n && !memcmp(have, s, n)) return slot;
	}
}

static struct merge *merge_slot(const inoci_tokenizer *t, int32_t left, int32_t right)
{
	size_t i = hash_pair(left, right) & t->merge_mask;
	for (;; i = (i + 1) & t->merge_mask) {
		struct merge *m = &t->merges[i];
		if (m->left < 0 || (m->left == left && m->right == right)) return m;
	}
}

static int read_types(inoci_tokenizer *t, const inoci_gguf *g, inoc_err *err)
{
	const char *path = inoci_gguf_path(g);
	const int32_t *types;
	size_t n;
	if (!inoci_gguf_has(g, "tokenizer.ggml.token_type")) return 0; /* optional: all are ordinary then */
	int rc = inoci_gguf_i32s(g, "tokenizer.ggml.token_type", &types, &n, err);
	if (rc < 0) return rc;
	if (n != (size_t)t->n)
		return inoci_err_set(err, INOC_E_FORMAT, "%s: tokenizer.ggml.token_type has %zu entries for %d tokens", path, n,
		                     (int)t->n);
	for (int32_t i = 0; i < t->n; i++) {
		switch (types[i]) {
		case TYPE_NORMAL:
		case TYPE_UNUSED:
			break;
		case TYPE_UNKNOWN:
		case TYPE_CONTROL:
			t->special[i] = true;
			break;
		case TYPE_USER:
			return inoci_err_set(
			        err, INOC_E_UNSUPPORTED,
			        "%s: token %d is a user-defined one (tokenizer.ggml.token_type 4), which is taken out of "
			        "ordinary text; this version does not do that",
			        path, (int)i);
		default:
			return inoci_err_set(err, INOC_E_FORMAT,
			                     "%s: tokenizer.ggml.token_type of token %d is %d; 1 to 5 expected", path, (int)i,
			                     (int)types[i]);
		}
	}
	return 0;
}

static int read_tokens(inoci_tokenizer *t, const inoci_gguf *g, inoc_err *err)
{
	const char *path = inoci_gguf_path(g), **s = NULL;
	size_t n, total = 0, *len = NULL;
	int rc;
	INOC_TRY(inoci_gguf_strs_n(g, "tokenizer.ggml.tokens", &n, err));
	if (n == 0 || n > MAX_TOKENS) {
		rc = inoci_err_set(err, n ? INOC_E_LIMIT : INOC_E_FORMAT,
		                   "%s: tokenizer.ggml.tokens has %zu tokens; 1 to %d expected", path, n, (int)MAX_TOKENS);
		goto out;
	}
	s = inoci_alloc(n * sizeof *s);
	len = inoci_alloc(n * sizeof *len);
	INOC_TRY(inoci_gguf_strs(g, "tokenizer.ggml.tokens", s, len, n, err));
	for (size_t i = 0; i < n; i++) {
		if (len[i] > UINT32_MAX || memchr(s[i], 0, len[i]) || inoci_utf8_valid_prefix(s[i], len[i]) < len[i]) {
			rc = inoci_err_set(err, INOC_E_FORMAT,
			                   "%s: token %zu of tokenizer.ggml.tokens is not UTF-8 text without NUL", path, i);
			goto out;
		}
		total += 2 * (len[i] + 1);
	}
	t->n = (int32_t)n;
	t->text = inoci_alloc(total);
	t->spelling = inoci_alloc(n * sizeof *t->spelling);
	t->bytes = inoci_alloc(n * sizeof *t->bytes);
	t->n_bytes = inoci_alloc(n * sizeof *t->n_bytes);
	t->special = inoci_alloc(n * sizeof *t->special);
	INOC_TRY(read_types(t, g, err));
	t->spelling_mask = table_size(n) - 1;
	t->by_spelling = inoci_alloc((t->spelling_mask + 1) * sizeof *t->by_spelling);
	memset(t->by_spelling, 0xff, (t->spelling_mask + 1) * sizeof *t->by_spelling);
	char *p = t->text;
	for (size_t i = 0; i < n; i++) {
		int32_t *slot = spelling_slot(t, s[i], len[i]);
		if (*slot >= 0) {
			rc = inoci_err_set(err, INOC_E_FORMAT, "%s: tokens %d and %zu of tokenizer.ggml.tokens are both '%.*s'",
			                   path, (int)*slot, i, inoci_text_show(s[i], len[i]), s[i]);
			goto out;
		}
		*slot = (int32_t)i;
		t->spelling[i] = (size_t)(p - t->text);
		memcpy(p, s[i], len[i]);
		p += len[i] + 1;
		t->bytes[i] = (size_t)(p - t->text);
		if (t->special[i]) {
			memcpy(p, s[i], len[i]);
			t->n_bytes[i] = (uint32_t)len[i];
		} else {
			t->n_bytes[i] = unspell(s[i], len[i], p);
		}
		p += len[i] + 1;
	}
out:
	free(s);
	free(len);
	return rc;
}

static int find_bytes(inoci_tokenizer *t, const char *path, inoc_err *err)
{
	for (unsigned b = 0; b < 256; b++) {
		uint32_t c = byte_char(b);
		char s[2] = {(char)(c < 0x80 ? c : 0xc0 | c >> 6), (char)(0x80 | (c & 0x3f))};
		int32_t id = *spelling_slot(t, s, c < 0x80 ? 1 : 2);
		t->byte_id[b] = id;
		if (id >= 0 && t->special[id])
			return inoci_err_set(err, INOC_E_FORMAT, "%s: token %d spells byte 0x%02x but is marked special", path,
			                     (int)id, b);
		/* Real vocabularies lack some control characters and bytes that UTF-8 does not use or only for unassigned planes.
		 */
		bool text = (b >= 0x20 && b <= 0x7e) || b == '\t' || b == '\n' || b == '\r' || (b >= 0x80 && b <= 0xbf) ||
		            (b >= 0xc2 && b <= 0xf0);
		if (id < 0 && text)
			return inoci_err_set(
			        err, INOC_E_FORMAT,
			        "%s: tokenizer.ggml.tokens has no token for byte 0x%02x ('%.*s'): not a byte-level vocabulary",
			        path, b, c < 0x80 ? 1 : 2, s);
	}
	return 0;
}

static int read_merges(inoci_tokenizer *t, const inoci_gguf *g, inoc_err *err)
{
	const char *path = inoci_gguf_path(g), **s = NULL, *why = NULL;
	size_t n, i = 0, *len = NULL;
	int rc;
	INOC_TRY(inoci_gguf_strs_n(g, "tokenizer.ggml.merges", &n, err));
	if (n > MAX_MERGES) {
		rc = inoci_err_set(err, INOC_E_LIMIT, "%s: tokenizer.ggml.merges has %zu merges; at most %d expected", path, n,
		                   (int)MAX_MERGES);
		goto out;
	}
	s = inoci_alloc(n * sizeof *s);
	len = inoci_alloc(n * sizeof *len);
	INOC_TRY(inoci_gguf_strs(g, "tokenizer.ggml.merges", s, len, n, err));
	t->merge_mask = table_size(n) - 1;
	t->merges = inoci_alloc((t->merge_mask + 1) * sizeof *t->merges);
	for (size_t k = 0; k <= t->merge_mask; k++) t->merges[k].left = -1;
	inoci_buf both = {0};
	for (i = 0; i < n && !why; i++) {
		const char *space = memchr(s[i], ' ', len[i]);
		size_t a = space ? (size_t)(space - s[i]) : 0;
		if (!space || !a || a + 1 == len[i] || memchr(space + 1, ' ', len[i] - a - 1)) {
			why = "is not two tokens with a space between";
			break;
		}
		int32_t left = *spelling_slot(t, s[i], a), right = *spelling_slot(t, space + 1, len[i] - a - 1);
		inoci_buf_clear(&both);
		inoci_buf_append(&both, s[i], a);
		inoci_buf_append(&both, space + 1, len[i] - a - 1);
		int32_t made = *spelling_slot(t, both.data, both.len);
		if (left < 0 || right < 0 || made < 0) {
			why = left < 0    ? "has a left part that is no token"
			      : right < 0 ? "has a right part that is no token"
			                  : "makes what is no token";
			break;
		}
		if (t->special[left] || t->special[right] || t->special[made]) {
			why = "takes or makes a special token";
			break;
		}
		struct merge *m = merge_slot(t, left, right);
		if (m->left >= 0) {
			why = "is there twice";
			break;
		}
		*m = (struct merge){left, right, made, (int32_t)i};
	}
	inoci_buf_free(&both);
	if (why)
		rc = inoci_err_set(err, INOC_E_FORMAT, "%s: merge %zu of tokenizer.ggml.merges, '%.*s', %s", path, i,
		                   inoci_text_show(s[i], len[i]), s[i], why);
out:
	free(s);
	free(len);
	return rc;
}

int inoci_tok_open(const inoci_gguf *g, inoci_tokenizer **out, inoc_err *err)
{
	const char *path = inoci_gguf_path(g), *s = "";
	size_t n = 0;
	uint32_t eos;
	int rc;
	inoci_tokenizer *t = inoci_alloc(sizeof *t);
	*out = NULL;
	INOC_TRY(inoci_gguf_str(g, "tokenizer.ggml.model", &s, &n, err));
	if (n != 4 || memcmp(s, "gpt2", 4)) {
		rc = inoci_err_set(
		        err, INOC_E_UNSUPPORTED,
		        "%s: tokenizer.ggml.model is '%.*s', a kind of tokenizer this version does not have; known are: gpt2",
		        path, inoci_text_show(s, n), s);
		goto out;
	}
	if (inoci_gguf_has(g, "tokenizer.ggml.pre"))
		INOC_TRY(inoci_gguf_str(g, "tokenizer.ggml.pre", &s, &n, err));
	else
		s = "(none)", n = strlen(s);
	INOC_TRY(inoci_pretok_open(s, n, path, &t->pre, err));
	INOC_TRY(read_tokens(t, g, err));
	INOC_TRY(find_bytes(t, path, err));
	INOC_TRY(read_merges(t, g, err));
	t->eos = -1;
	if (inoci_gguf_has(g, "tokenizer.ggml.eos_token_id")) {
		INOC_TRY(inoci_gguf_u32(g, "tokenizer.ggml.eos_token_id", &eos, err));
		if (eos >= (uint32_t)t->n) {
			rc = inoci_err_set(err, INOC_E_FORMAT, "%s: tokenizer.ggml.eos_token_id is %u, but there are %d tokens",
			                   path, (unsigned)eos, (int)t->n);
			goto out;
		}
		t->eos = (int32_t)eos;
	}
	*out = t;
	t = NULL;
out:
	inoci_tok_free(t);
	return rc;
}

void inoci_tok_free(inoci_tokenizer *t)
{
	if (!t) return;
	inoci_pretok_free(t->pre);
	free(t->text);
	free(t->spelling);
	free(t->bytes);
	free(t->n_bytes);
	free(t->special);
	free(t->by_spelling);
	free(t->merges);
	free(t->syms);
	free(t->heap);
	free(t);
}

/* ---- encoding ---- */

static bool before(const struct candidate *a, const struct candidate *b)
{
	return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(inoci_tokenizer *t, struct candidate c)
{
	if (t->heap_n == t->heap_cap) {
		t->heap_cap = t->heap_cap * 2 + 64;
		t->heap = inoci_realloc(t->heap, t->heap_cap * sizeof *t->heap);
	}
	size_t i = t->heap_n++;
	for (size_t up; i && before(&c, &t->heap[up = (i - 1) / 2]); i = up) t->heap[i] = t->heap[up];
	t->heap[i] = c;
}

static struct candidate heap_pop(inoci_tokenizer *t)
{
	struct candidate top = t->heap[0], last = t->heap[--t->heap_n];
	size_t i = 0;
	for (size_t down; (down = 2 * i + 1) < t->heap_n; i = down) {
		if (down + 1 < t->heap_n && before(&t->heap[down + 1], &t->heap[down])) down++;
		if (!before(&t->heap[down], &last)) break;
		t->heap[i] = t->heap[down];
	}
	t->heap[i] = last;
	return top;
}

static void offer(inoci_tokenizer *t, int32_t at, int32_t next)
{
	if (at < 0 || next < 0) return;
	int32_t left = t->syms[at].id, right = t->syms[next].id;
	const struct merge *m = merge_slot(t, left, right);
	if (m->left >= 0) heap_push(t, (struct candidate){m->rank, at, left, right, m->made});
}

static void encode_piece(inoci_tokenizer *t, const char *s, size_t n, inoci_i32s *out)
{
	int32_t k = 0;
	if (t->syms_cap < n) {
		t->syms_cap = n + 64;
		t->syms = inoci_realloc(t->syms, t->syms_cap * sizeof *t->syms);
	}
	for (size_t i = 0; i < n; i++) {
		int32_t id = t->byte_id[(unsigned char)s[i]];
		if (id < 0) continue;
		t->syms[k] = (struct symbol){id, k - 1, k + 1};
		k++;
	}
	if (!k) return;
	t->syms[k - 1].next = -1;
	t->heap_n = 0;
	for (int32_t i = 0; i + 1 < k; i++) offer(t, i, i + 1);
	while (t->heap_n) {
		struct candidate c = heap_pop(t);
		struct symbol *a = &t->syms[c.at];
		if (a->id != c.left || a->next < 0 || t->syms[a->next].id != c.right) continue; /* no longer there */
		struct symbol *b = &t->syms[a->next];
		a->id = c.made;
		a->next = b->next;
		b->id = -1;
		if (a->next >= 0) t->syms[a->next].prev = c.at;
		offer(t, a->prev, c.at);
		offer(t, c.at, a->next);
	}
	for (int32_t i = 0; i >= 0; i = t->syms[i].next) inoci_i32s_push(out, t->syms[i].id);
}

void inoci_tok_encode(const inoci_tokenizer *ct, const char *s, size_t n, inoci_i32s *out)
{
	inoci_tokenizer *t = (inoci_tokenizer *)ct; /* for its scratch memory alone */
	while (n) {
		size_t valid = inoci_utf8_valid_prefix(s, n);
		for (size_t at = 0, end; at < valid; at = end) {
			end = inoci_pretok_end(t->pre, s, valid, at);
			for (size_t i = at; i < end; i += MAX_PIECE)
				encode_piece(t, s + i, end - i < MAX_PIECE ? end - i : MAX_PIECE, out);
		}
		s += valid;
		n -= valid;
		if (n) { /* a byte that is not UTF-8 */
			encode_piece(t, s, 1, out);
			s++;
			n--;
		}
	}
}

size_t inoci_tok_lost(const inoci_tokenizer *t, const char *s, size_t n)
{
	size_t lost = 0;
	for (size_t i = 0; i < n; i++) lost += t->byte_id[(unsigned char)s[i]] < 0;
	return lost;
}

/* ---- looking up and decoding ---- */

int32_t inoci_tok_vocab_size(const inoci_tokenizer *t)
{
	return t->n;
}

const char *inoci_tok_model(const inoci_tokenizer *t)
{
	(void)t;
	return "gpt2";
}

const char *inoci_tok_pre(const inoci_tokenizer *t)
{
	return inoci_pretok_name(t->pre);
}

int32_t inoci_tok_eos(const inoci_tokenizer *t)
{
	return t->eos;
}

int32_t inoci_tok_special(const inoci_tokenizer *t, const char *spelling)
{
	int32_t id = *spelling_slot(t, spelling, strlen(spelling));
	return id >= 0 && t->special[id] ? id : -1;
}

bool inoci_tok_is_special(const inoci_tokenizer *t, int32_t id)
{
	return id >= 0 && id < t->n && t->special[id];
}

const char *inoci_tok_bytes(const inoci_tokenizer *t, int32_t id, size_t *n)
{
	bool has = id >= 0 && id < t->n && !t->special[id];
	*n = has ? t->n_bytes[id] : 0;
	return has ? t->text + t->bytes[id] : "";
}

const char *inoci_tok_spelling(const inoci_tokenizer *t, int32_t id)
{
	return id >= 0 && id < t->n ? t->text + t->spelling[id] : "";
}

void inoci_tok_decode(const inoci_tokenizer *t, const int32_t *ids, size_t n, bool keep_special, inoci_buf *out)
{
	for (size_t i = 0; i < n; i++) {
		int32_t id = ids[i];
		if (id < 0 || id >= t->n || (t->special[id] && !keep_special)) continue;
		inoci_buf_append(out, t->text + t->bytes[id], t->n_bytes[id]);
	}
}
