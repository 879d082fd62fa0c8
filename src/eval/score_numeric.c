/* numeric: is the response's last number the expected one? Range 0 or 1; 0 where the response has none.
 *
 * Where "####" stands (GSM8K, arXiv 2110.14168), the first number behind the last of it counts, else the last of the text. A
 * number is digits, with thousands separators in groups of three, and decimals; a sign (- or U+2212) before it counts unless a
 * letter, a digit or a closing bracket stands before that ("10-5" ends in 5); a currency sign may stand between sign and digits.
 * What stands behind (%, a unit) is not read: 50 % is 50. With decimal_comma point and comma change places.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/internal.h"

typedef struct {
	inoci_expects want;
	double tolerance;
	bool comma;
} numeric;

static void free_numeric(void *state)
{
	numeric *n = state;
	inoci_expects_free(&n->want);
	free(n);
}

static bool digit(const char *s, size_t n, size_t at)
{
	return at < n && s[at] >= '0' && s[at] <= '9';
}

static bool three(const char *s, size_t n, size_t at)
{
	return digit(s, n, at) && digit(s, n, at + 1) && digit(s, n, at + 2) && !digit(s, n, at + 3);
}

/* Bytes of what ends right before `at`, one of these; 0: none does. */
static size_t ends_in(const char *s, size_t at, const char *const *what)
{
	for (; *what; what++) {
		size_t k = strlen(*what);
		if (k <= at && !memcmp(s + at - k, *what, k)) return k;
	}
	return 0;
}

static bool is_negative(const char *s, size_t at)
{
	static const char *const currency[] = {"$", "\xe2\x82\xac" /* € */, "\xc2\xa3" /* £ */, "\xc2\xa5" /* ¥ */, NULL},
	                         *const minus[] = {"-", "\xe2\x88\x92", NULL};
	at -= ends_in(s, at, currency);
	size_t k = ends_in(s, at, minus);
	if (!k) return false;
	at -= k;
	if (!at) return true;
	unsigned char c = (unsigned char)s[at - 1];
	/* a difference or a compound word, no sign */
	return !(c >= 0x80 || c == ')' || c == ']' || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z'));
}

/* The number whose first digit (or point before it) is at *at, which moves behind it. */
static double number_at(const char *s, size_t n, size_t *at, bool comma)
{
	const char point = comma ? ',' : '.', separator = comma ? '.' : ',';
	inoci_buf b = {0};
	double v;
	size_t i = *at;
	if (is_negative(s, i)) inoci_buf_puts(&b, "-");
	while (digit(s, n, i)) inoci_buf_append(&b, s + i++, 1);
	if (i - *at <= 3)
		while (i < n && s[i] == separator && three(s, n, i + 1)) {
			inoci_buf_append(&b, s + i + 1, 3);
			i += 4;
		}
	if (i < n && s[i] == point && digit(s, n, i + 1)) {
		inoci_buf_puts(&b, ".");
		for (i++; digit(s, n, i); i++) inoci_buf_append(&b, s + i, 1);
	}
	/* the C library reads its locale's point: ours is "C" unless the program that links this sets another */
	v = strtod(b.data, NULL);
	inoci_buf_free(&b);
	*at = i;
	return v;
}

/* Where a number begins at or behind `at`; n: nowhere. */
static size_t next_number(const char *s, size_t n, size_t at, bool comma)
{
	for (; at < n; at++) {
		if (digit(s, n, at)) return at;
		if (s[at] == (comma ? ',' : '.') && digit(s, n, at + 1) && !digit(s, n, at - 1)) return at;
	}
	return n;
}

/* false: there is no number. */
static bool find(const char *s, size_t n, bool comma, double *out)
{
	bool any = false, marked = false;
	size_t at = 0;
	for (size_t i = 0; i + 4 <= n; i++)
		if (!memcmp(s + i, "####", 4)) at = i + 4, marked = true;
	while ((at = next_number(s, n, at, comma)) < n) {
		*out = number_at(s, n, &at, comma);
		any = true;
		if (marked) break;
	}
	return any;
}

static int build(json_t *j, inoci_scorer *s, inoc_err *err)
{
	numeric *n = s->state = inoci_alloc(sizeof *n);
	json_t *v;
	double number;
	size_t i;
	int rc;
	INOC_TRY(inoci_expects_read(j, s, "is", &n->want, err));
	INOC_TRY(inoci_option_number(j, s, "tolerance", 0, 1e-6, &n->tolerance, err));
	INOC_TRY(inoci_option_bool(j, s, "decimal_comma", false, &n->comma, err));
	json_array_foreach(n->want.literal, i, v)
	{
		if (!find(json_string_value(v), json_string_length(v), n->comma, &number))
			return inoci_err_set(err, INOC_E_USAGE,
			                     "option \"is\" of scorer type \"numeric\" has no number: \"%.60s\"",
			                     json_string_value(v));
	}
out:
	return rc;
}

/* What is expected, as numbers. */
static int expected(const numeric *n, const json_t *fields, double **out, size_t *count, inoc_err *err)
{
	const char *field;
	json_t *want, *v;
	size_t i;
	*out = NULL;
	*count = 0;
	int rc = inoci_expects_get(&n->want, fields, &want, &field, err);
	if (rc < 0) return rc;
	*out = inoci_alloc((json_array_size(want) + 1) * sizeof **out);
	json_array_foreach(want, i, v)
	{
		/* a JSON number has a point, whatever the texts have */
		const json_t *raw = field ? inoci_item_field(fields, field) : NULL;
		if (json_is_array(raw)) raw = json_array_get(raw, i);
		if (json_is_number(raw))
			(*out)[i] = json_number_value(raw);
		else if (!find(json_string_value(v), json_string_length(v), n->comma, &(*out)[i])) {
			rc = inoci_err_set(err, INOC_E_FORMAT, "the record's field \"%.60s\" has no number: \"%.80s\"", field,
			                   json_string_value(v));
			break;
		}
	}
	*count = json_array_size(want);
	json_decref(want);
	return rc;
}

static int item(const inoci_scorer *s, const json_t *fields, inoc_err *err)
{
	double *want;
	size_t n;
	int rc = expected(s->state, fields, &want, &n, err);
	free(want);
	return rc;
}

static int apply(inoci_scorer *s, const inoci_answer *a, double *value, inoc_err *err)
{
	const numeric *n = s->state;
	double got, *want;
	size_t k;
	int rc = expected(n, a->item, &want, &k, err);
	*value = 0;
	if (rc == 0 && find(a->text, a->n, n->comma, &got))
		for (size_t i = 0; i < k; i++)
			if (fabs(got - want[i]) <= n->tolerance) *value = 1;
	free(want);
	return rc;
}

const inoci_scorer_type inoci_score_numeric = {
        .name = "numeric",
        .version = 1,
        .options = {"is", "field", "tolerance", "decimal_comma"},
        .description =
                "1 when the last number (or the one behind ####) is the expected one: `is`, or that of the record's `field`",
        .build = build,
        .item = item,
        .apply = apply,
        .free = free_numeric,
};
