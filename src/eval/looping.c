/* Whether a text repeats itself over and over, as small models do. On the lower-cased text, either
 *
 *  words       a unit of 1 to 20 words stands 4 times in a row or more (3 times, if it has 5 words or more and no number),
 *              and the repetition has at least 24 characters in its words. A word is a run of letters and marks; a number is
 *              a run of digits, and all numbers count as equal, so that "1. Drink water. 2. Drink water. ..." is found; a
 *              unit with a number must have 3 words besides ("Chapter 1, Chapter 2, ..." is none). What stands between
 *              words does not count.
 *  characters  a unit of 1 to 60 characters stands 4 times in a row or more, at least 24 characters together, with a letter
 *              in it (so neither rulers nor tables nor long numbers); runs of white space count as one space.
 *
 * anywhere in the text: a loop that is left again was one.
 */
#include <stdlib.h>

#include <utf8proc.h>

#include "eval/internal.h"

enum { WORD_UNIT = 20, CHAR_UNIT = 60, TIMES = 4, LONG_UNIT = 5, LONG_TIMES = 3, MIN_CHARS = 24, NUMBER_WORDS = 3 };

typedef enum { OTHER, SPACE, LETTER, DIGIT } kind;

static kind kind_of(utf8proc_int32_t c)
{
	switch (utf8proc_category(c)) {
	case UTF8PROC_CATEGORY_LU:
	case UTF8PROC_CATEGORY_LL:
	case UTF8PROC_CATEGORY_LT:
	case UTF8PROC_CATEGORY_LM:
	case UTF8PROC_CATEGORY_LO:
	case UTF8PROC_CATEGORY_MN:
	case UTF8PROC_CATEGORY_MC:
	case UTF8PROC_CATEGORY_ME:
		return LETTER;
	case UTF8PROC_CATEGORY_ND:
	case UTF8PROC_CATEGORY_NL:
	case UTF8PROC_CATEGORY_NO:
		return DIGIT;
	case UTF8PROC_CATEGORY_ZS:
		return SPACE;
	default:
		return c == '\n' || c == '\t' ? SPACE : OTHER;
	}
}

typedef struct {
	uint64_t id; /* hash of the letters; 0 for a number */
	size_t end;  /* characters in words up to and with this one */
} word;

static bool words_loop(const word *w, size_t n)
{
	for (size_t p = 1; p <= WORD_UNIT && p < n; p++) {
		size_t run = 0;
		for (size_t i = p; i < n; i++) {
			run = w[i].id == w[i - p].id ? run + 1 : 0;
			if (run + p < LONG_TIMES * p) continue;
			size_t first = i + 1 - p - run, letters = 0;
			for (size_t k = 0; k < p; k++) letters += w[first + k].id != 0;
			bool number = letters < p;
			size_t times = p >= LONG_UNIT && !number ? LONG_TIMES : TIMES;
			size_t chars = w[i].end - (first ? w[first - 1].end : 0);
			if (run + p >= times * p && chars >= MIN_CHARS && letters >= (number ? NUMBER_WORDS : 1)) return true;
		}
	}
	return false;
}

/* Letters carry this bit, above all of Unicode. */
#define LETTER_BIT (1 << 24)

static bool chars_loop(const utf8proc_int32_t *c, size_t n)
{
	for (size_t p = 1; p <= CHAR_UNIT && p < n; p++) {
		size_t run = 0, since = p, need = TIMES * p > MIN_CHARS ? TIMES * p : MIN_CHARS; /* since: the last letter */
		for (size_t i = p; i < n; i++) {
			run = c[i] == c[i - p] ? run + 1 : 0;
			since = c[i] & LETTER_BIT ? 0 : since + 1;
			if (run + p >= need && since < p) return true;
		}
	}
	return false;
}

bool inoci_is_looping(const char *text, size_t n)
{
	inoci_buf low = {0};
	inoci_text_lower(text, n, &low);
	utf8proc_int32_t *c = inoci_alloc((low.len + 1) * sizeof *c);
	word *w = inoci_alloc((low.len + 1) * sizeof *w);
	size_t n_chars = 0, n_words = 0, in_words = 0;
	kind last = OTHER;
	for (size_t i = 0; i < low.len;) {
		utf8proc_int32_t x;
		utf8proc_ssize_t k = utf8proc_iterate((utf8proc_uint8_t *)low.data + i, (utf8proc_ssize_t)(low.len - i), &x);
		INOC_BUG_IF(k <= 0);
		i += (size_t)k;
		kind t = kind_of(x);
		if (t == SPACE) x = ' ';
		if (!(t == SPACE && last == SPACE)) c[n_chars++] = t == LETTER ? x | LETTER_BIT : x;
		if (t == LETTER || t == DIGIT) {
			if (t != last) w[n_words++].id = t == LETTER ? 0x9e3779b97f4a7c15ull : 0;
			word *now = &w[n_words - 1];
			if (t == LETTER) now->id = inoci_mix64(now->id, (uint64_t)x) | 1;
			now->end = ++in_words;
		}
		last = t;
	}
	bool loop = words_loop(w, n_words) || chars_loop(c, n_chars);
	free(c);
	free(w);
	inoci_buf_free(&low);
	return loop;
}
