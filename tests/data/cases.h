/* Reader of table tests: blocks of lines separated by one blank line; lines that start with # are comments. In a line \xHH is
 * a byte (JSON has no \x, so the two never clash). */
#ifndef TESTS_DATA_CASES_H
#define TESTS_DATA_CASES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"

enum { CASE_LINES = 32 };
typedef struct {
	char *v[CASE_LINES];
	size_t len[CASE_LINES];
	size_t n;
	int at; /* line in the table */
} test_case;

static inline char *case_unescape(const char *s, size_t n, size_t *out_n)
{
	char *d = inoci_alloc(n + 1);
	size_t k = 0;
	for (size_t i = 0; i < n; i++) {
		unsigned x;
		if (i + 3 < n && s[i] == '\\' && s[i + 1] == 'x' && sscanf(s + i + 2, "%2x", &x) == 1) {
			d[k++] = (char)x;
			i += 3;
		} else {
			d[k++] = s[i];
		}
	}
	*out_n = k;
	return d;
}

/* Calls f for each block; returns how many. */
static inline int cases_run(const char *name, void (*f)(test_case *c))
{
	char *path = inoci_asprintf("%s/data/cases/%s", INOC_TESTS_DIR, name), *data;
	size_t n;
	inoc_err err;
	if (inoci_file_read(path, &data, &n, &err) < 0) fail_msg("%s", err.msg);
	test_case c = {0};
	int line = 0, count = 0;
	for (char *p = data, *end = data + n; p <= end; line++) {
		char *nl = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL, *stop = nl ? nl : end;
		if (stop == p) {
			if (c.n) {
				f(&c);
				count++;
			}
			for (size_t i = 0; i < c.n; i++) free(c.v[i]);
			c.n = 0;
		} else if (*p != '#') {
			assert_true(c.n < CASE_LINES);
			if (!c.n) c.at = line + 1;
			c.v[c.n] = case_unescape(p, (size_t)(stop - p), &c.len[c.n]);
			c.n++;
		}
		p = stop + 1;
	}
	free(data);
	free(path);
	return count;
}

/* Takes the first word of the case's first line off. Borrowed. */
static inline const char *case_word(test_case *c)
{
	char *s = c->v[0], *space = strchr(s, ' ');
	if (!space) fail_msg("case at line %d: no word before the input", c->at);
	static char word[64];
	snprintf(word, sizeof word, "%.*s", (int)(space - s), s);
	size_t skip = (size_t)(space - s) + 1;
	memmove(s, space + 1, c->len[0] - skip + 1);
	c->len[0] -= skip;
	return word;
}

static inline void case_equal(const test_case *c, const char *what, const char *got, const char *want)
{
	if (strcmp(got, want)) fail_msg("case at line %d, %s:\n  got:  %s\n  want: %s", c->at, what, got, want);
}

#endif
