/* Language and case of a text.
 *
 * The thresholds below were chosen on 538 one-sentence answers in English, Spanish and French, the same with letters lost and
 * swapped (what a model that writes broken Spanish gives), random letters and syllables, and sentences of other
 * languages; tests/eval/test_scorer.c holds the accuracy on
 * a third of the first.
 */
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "eval/internal.h"

#define MIN_LETTER_BYTES 8    /* "sí", "ok": no evidence */
#define MIN_PERCENT 60        /* of the text in one language */
#define MIN_SCORE 350         /* with hints: normal text has 500 to 2000, noise up to 300 */
#define NEAR_LETTER_BYTES 160 /* up to here Galician, Catalan and Portuguese are checked against Spanish */

void inoci_text_lower(const char *s, size_t n, inoci_buf *out)
{
	inoci_buf low = {0};
	for (size_t i = 0; i < n;) {
		utf8proc_int32_t c;
		utf8proc_ssize_t k = utf8proc_iterate((const utf8proc_uint8_t *)s + i, (utf8proc_ssize_t)(n - i), &c);
		i += k > 0 ? (size_t)k : 1;
		if (k <= 0) c = ' ';
		switch (utf8proc_category(c)) {
		case UTF8PROC_CATEGORY_CC:
			if (c != '\n' && c != '\t') c = ' ';
			break;
		case UTF8PROC_CATEGORY_CN:
		case UTF8PROC_CATEGORY_CS:
		case UTF8PROC_CATEGORY_CO:
			c = ' ';
			break;
		default:
			c = utf8proc_tolower(c);
		}
		utf8proc_uint8_t u[4];
		k = utf8proc_encode_char(c, u);
		inoci_buf_append(&low, u, (size_t)k);
	}
	utf8proc_uint8_t *nfc = NULL;
	utf8proc_ssize_t m = -1;
	if (low.len)
		m = utf8proc_map((const utf8proc_uint8_t *)low.data, (utf8proc_ssize_t)low.len, &nfc,
		                 UTF8PROC_STABLE | UTF8PROC_COMPOSE);
	if (m >= 0)
		inoci_buf_append(out, nfc, (size_t)m);
	else if (low.len)
		inoci_buf_append(out, low.data, low.len);
	free(nfc);
	inoci_buf_free(&low);
}

static bool is(const inoci_cld2_guess *g, const char *code)
{
	return strcmp(g->code, code) == 0;
}

const char *inoci_language_of(const char *text, size_t n)
{
	inoci_buf low = {0};
	const char *code = "unknown";
	inoci_text_lower(text, n, &low);
	if (!low.len) goto out;
	inoci_cld2_guess a = inoci_cld2_detect(low.data, low.len, NULL);
	if (a.letter_bytes < MIN_LETTER_BYTES) goto out;
	bool sure = a.reliable && a.percent >= MIN_PERCENT && !is(&a, "un");
	bool near_es = sure && a.letter_bytes < NEAR_LETTER_BYTES && (is(&a, "gl") || is(&a, "ca") || is(&a, "pt"));
	if (sure) code = a.code;
	if (sure && !near_es) goto out;
	inoci_cld2_guess b = inoci_cld2_detect(low.data, low.len, "en,es");
	if (b.percent < MIN_PERCENT || b.score < MIN_SCORE) goto out;
	if (is(&b, "es") || (!sure && is(&b, "en"))) code = b.code;
out:
	inoci_buf_free(&low);
	return code;
}

double inoci_uppercase_share(const char *text, size_t n)
{
	size_t upper = 0, cased = 0;
	for (size_t i = 0; i < n;) {
		utf8proc_int32_t c;
		utf8proc_ssize_t k = utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(n - i), &c);
		i += k > 0 ? (size_t)k : 1;
		if (k <= 0) continue;
		utf8proc_category_t cat = utf8proc_category(c);
		upper += cat == UTF8PROC_CATEGORY_LU;
		cased += cat == UTF8PROC_CATEGORY_LU || cat == UTF8PROC_CATEGORY_LL || cat == UTF8PROC_CATEGORY_LT;
	}
	return cased ? (double)upper / (double)cased : 0.0;
}
