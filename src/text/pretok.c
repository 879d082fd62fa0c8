/* Pre-tokenizers: a regular expression that cuts valid UTF-8 into pieces, one after the other, with nothing between them.
 *
 * Each pattern matches at any position, at least one character. The reference is Hugging Face `tokenizers`, pre_tokenizers
 * ByteLevel (GPT-2's pattern) and Digits. Its \s is Unicode's White_Space, spelled out here because PCRE2's also takes U+180E.
 */
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "text/internal.h"

#define SPACE "\\x{09}-\\x{0d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
/* Numbers that Unicode 15 to 17 added, as the reference knows them; PCRE2 10.42 is at 14. */
#define NEWER                                                                                                       \
	"\\x{10d40}-\\x{10d49}\\x{116d0}-\\x{116e3}\\x{11bf0}-\\x{11bf9}\\x{11de0}-\\x{11de9}\\x{11f50}-\\x{11f59}" \
	"\\x{16130}-\\x{16139}\\x{16d70}-\\x{16d79}\\x{16ff4}-\\x{16ff6}\\x{1ccf0}-\\x{1ccf9}\\x{1d2c0}-\\x{1d2d3}" \
	"\\x{1e4f0}-\\x{1e4f9}\\x{1e5f1}-\\x{1e5fa}"
#define NUMBER "\\p{N}" NEWER
#define WORDS "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+"
#define OTHER " ?[^" SPACE "\\p{L}" NUMBER "]+"
#define GPT2 WORDS "| ?[" NUMBER "]+|" OTHER "|[" SPACE "]+(?![^" SPACE "])|[" SPACE "]+"
/* Every number character is cut out first and GPT-2's pattern runs on what is between. In one pattern: no space is taken along
 * by a number, and a number ends the text for the look-ahead. */
#define SMOLLM WORDS "|[" NUMBER "]|" OTHER "|[" SPACE "]+(?![^" SPACE NUMBER "])|[" SPACE "]+"

static const struct known {
	const char *name, *pattern;
} known[] = {
        {"gpt-2", GPT2},
        {"gpt2", GPT2},
        {"smollm", SMOLLM},
};

struct inoci_pretok {
	const struct known *k;
	pcre2_code *code;
	pcre2_match_data *match;
};

int inoci_text_show(const char *s, size_t n)
{
	size_t i = 0;
	if (n > 40) n = 40;
	n = inoci_utf8_valid_prefix(s, n);
	while (i < n && (unsigned char)s[i] >= 0x20 && s[i] != 0x7f) i++;
	return (int)i;
}

int inoci_pretok_open(const char *name, size_t n, const char *path, inoci_pretok **out, inoc_err *err)
{
	*out = NULL;
	const struct known *k = NULL;
	for (size_t i = 0; i < INOCI_COUNT(known); i++)
		if (strlen(known[i].name) == n && !memcmp(known[i].name, name, n)) k = &known[i];
	if (!k) {
		inoci_buf names = {0};
		for (size_t i = 0; i < INOCI_COUNT(known); i++) inoci_buf_printf(&names, "%s%s", i ? ", " : "", known[i].name);
		int rc = inoci_err_set(
		        err, INOC_E_UNSUPPORTED,
		        "%s: tokenizer.ggml.pre is '%.*s', a pre-tokenizer this version does not have; known are: %s", path,
		        inoci_text_show(name, n), name, names.data);
		inoci_buf_free(&names);
		return rc;
	}
	inoci_pretok *p = inoci_alloc(sizeof *p);
	int e;
	PCRE2_SIZE at;
	p->k = k;
	p->code = pcre2_compile((PCRE2_SPTR)k->pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &e, &at, NULL);
	if (p->code) p->match = pcre2_match_data_create_from_pattern(p->code, NULL);
	if (!p->match) {
		inoci_pretok_free(p);
		return inoci_err_set(err, INOC_E_UNSUPPORTED,
		                     "%s: the installed PCRE2 cannot compile pre-tokenizer '%s' (it needs Unicode support)", path,
		                     k->name);
	}
	/* Where there is no JIT the same pattern is interpreted. */
	(void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
	*out = p;
	return 0;
}

void inoci_pretok_free(inoci_pretok *p)
{
	if (!p) return;
	pcre2_match_data_free(p->match);
	pcre2_code_free(p->code);
	free(p);
}

const char *inoci_pretok_name(const inoci_pretok *p)
{
	return p->k->name;
}

size_t inoci_pretok_end(const inoci_pretok *p, const char *s, size_t n, size_t at)
{
	int rc = pcre2_match(p->code, (PCRE2_SPTR)s, n, at, PCRE2_ANCHORED | PCRE2_NO_UTF_CHECK, p->match, NULL);
	/* The patterns match everywhere and need no backtracking stack, so only a lack of memory is left. */
	INOC_BUG_IF(rc < 1);
	size_t end = pcre2_get_ovector_pointer(p->match)[1];
	INOC_BUG_IF(end <= at || end > n);
	return end;
}
