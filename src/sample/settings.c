/* Settings, their check and hash, and small helpers on sampled text. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sample/internal.h"

inoci_sample_settings inoci_sample_defaults(void)
{
	return (inoci_sample_settings){.temperature = 1, .top_p = 1, .repetition_penalty = 1, .max_tokens = 256, .n = 1};
}

int inoci_sample_settings_check(const inoci_sample_settings *s, inoc_err *err)
{
#define BAD(...) return inoci_err_set(err, INOC_E_USAGE, __VA_ARGS__)
	if (!(s->temperature == 0 || (s->temperature >= 0.001 && s->temperature <= 1000)))
		BAD("temperature is %g; give 0 (greedy) or a value from 0.001 to 1000", s->temperature);
	if (s->top_k < 0) BAD("top_k is %d; give a number of tokens, or 0 for no limit", s->top_k);
	if (!(s->top_p > 0 && s->top_p <= 1)) BAD("top_p is %g; give a value above 0, and at most 1 (no limit)", s->top_p);
	if (!(s->min_p >= 0 && s->min_p <= 1)) BAD("min_p is %g; give a value from 0 (no limit) to 1", s->min_p);
	if (!(s->repetition_penalty > 0 && s->repetition_penalty <= 1000))
		BAD("repetition_penalty is %g; give a value above 0 (1: none)", s->repetition_penalty);
	if (s->max_tokens < 1) BAD("max_tokens is %d; give 1 or more", s->max_tokens);
	if (s->n < 1) BAD("n is %d; give 1 or more samples per prompt", s->n);
	for (size_t i = 0; i < s->n_stop; i++)
		if (!s->stop[i] || !*s->stop[i]) BAD("stop string %zu is empty", i + 1);
	if (s->allowed) {
		size_t n = strlen(s->allowed), ok = inoci_utf8_valid_prefix(s->allowed, n);
		if (!n) BAD("the set of allowed characters is empty");
		if (ok != n) BAD("the set of allowed characters is not UTF-8 at byte %zu", ok);
	}
	if (s->top_logprobs < 0 || s->top_logprobs > 20) BAD("top_logprobs is %d; give 0 to 20", s->top_logprobs);
	if (s->max_batch < 0) BAD("max_batch is %d; give a number of sequences, or 0 to choose from memory", s->max_batch);
	if (s->max_kv_rows < 0) BAD("max_kv_rows is %d; give a number of tokens, or 0 to choose from memory", s->max_kv_rows);
#undef BAD
	return 0;
}

inoci_hash inoci_sample_settings_hash(const inoci_sample_settings *s)
{
	bool greedy = s->temperature == 0;
	inoci_buf b = {0};
	inoci_buf_printf(&b, "sample 1 t=%.17g k=%d p=%.17g m=%.17g r=%.17g max=%d top=%d", s->temperature, greedy ? 0 : s->top_k,
	                 greedy ? 1 : s->top_p, greedy ? 0 : s->min_p, s->repetition_penalty, s->max_tokens, s->top_logprobs);
	inoci_hasher *h = inoci_hasher_new();
	inoci_hasher_str(h, b.data);
	inoci_hasher_str(h, s->allowed ? "allowed" : "any");
	if (s->allowed) inoci_hasher_str(h, s->allowed);
	for (size_t i = 0; i < s->n_stop; i++) inoci_hasher_str(h, s->stop[i]);
	inoci_buf_free(&b);
	return inoci_hasher_end(h);
}

void inoci_sampled_free(inoci_sampled *s)
{
	free(s->text);
	free(s->ids);
	free(s->logprob);
	free(s->top_ids);
	free(s->top_logprob);
	*s = (inoci_sampled){0};
}

uint64_t inoci_prompt_key(const int32_t *ids, size_t n)
{
	inoci_hash h = inoci_hash_bytes(ids, n * sizeof *ids);
	h.hex[16] = 0;
	return strtoull(h.hex, NULL, 16);
}

/* Bytes of the character that the lead byte c begins; 0 when it begins none. */
static size_t char_len(unsigned char c)
{
	return c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
}

/* Bytes at the end of s that can still become one character. */
static size_t cut_char(const char *s, size_t n)
{
	static const char fill[2][4] = {"\x80\x80\x80", "\xbf\xbf\xbf"};
	for (size_t k = 1; k <= 3 && k <= n; k++) {
		unsigned char c = (unsigned char)s[n - k];
		if ((c & 0xc0) == 0x80) continue;
		size_t len = char_len(c);
		if (len <= k) return 0;
		/* E0, ED, F0 and F4 bind the byte behind them: some filling must be valid. */
		for (int f = 0; f < 2; f++) {
			char t[4];
			memcpy(t, s + n - k, k);
			memcpy(t + k, fill[f], len - k);
			if (inoci_utf8_valid_prefix(t, len) == len) return k;
		}
		return 0;
	}
	return 0;
}

void inoci_text_fix(const char *s, size_t n, inoci_buf *out)
{
	inoci_buf_append(out, "", 0);
	while (n) {
		size_t ok = inoci_utf8_valid_prefix(s, n);
		inoci_buf_append(out, s, ok);
		s += ok, n -= ok;
		if (!n) break;
		/* The longest beginning of a character counts as one fault (Unicode 15, table 3-8). */
		size_t bad = 1;
		for (size_t k = 2; k <= 3 && k <= n; k++)
			if (cut_char(s, k) == k) bad = k;
		inoci_buf_puts(out, "\xef\xbf\xbd");
		s += bad, n -= bad;
	}
}

size_t inoci_stop_find(const inoci_sample_settings *s, const char *text, size_t n, size_t old)
{
	size_t best = SIZE_MAX;
	for (size_t i = 0; i < s->n_stop; i++) {
		size_t len = strlen(s->stop[i]), from = old + 1 > len ? old + 1 - len : 0;
		const char *at = n > from ? memmem(text + from, n - from, s->stop[i], len) : NULL;
		if (at && (size_t)(at - text) < best) best = (size_t)(at - text);
	}
	return best;
}

size_t inoci_text_certain(const inoci_sample_settings *s, const char *text, size_t n)
{
	size_t hold = cut_char(text, n);
	for (size_t i = 0; i < s->n_stop; i++) {
		size_t len = strlen(s->stop[i]);
		for (size_t k = len - 1 < n ? len - 1 : n; k > hold; k--)
			if (!memcmp(text + n - k, s->stop[i], k)) {
				hold = k;
				break;
			}
	}
	/* What precedes a held-back stop string may itself end in a cut character. */
	size_t show = n - hold;
	return show - (hold ? cut_char(text, show) : 0);
}
