#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

const char *inoc_version(void)
{
	return INOC_VERSION;
}

const char *inoc_strerror(int code)
{
	switch (code) {
	case 0:
		return "no error";
#define X(name, c, status, text) \
	case c:                  \
		return text;
		INOC_ERRORS(X)
#undef X
	}
	return "unknown error";
}

int inoci_err_set(inoc_err *err, int code, const char *fmt, ...)
{
	if (err) {
		va_list ap;
		err->code = code;
		va_start(ap, fmt);
		vsnprintf(err->msg, sizeof err->msg, fmt, ap);
		va_end(ap);
	}
	return code;
}

int inoci_err_prefix(inoc_err *err, const char *fmt, ...)
{
	if (!err) return INOC_E_FORMAT;
	char old[sizeof err->msg];
	memcpy(old, err->msg, sizeof old);
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n + 2 < sizeof err->msg) { /* what does not fit is cut off at the end */
		size_t at = (size_t)n, room = sizeof err->msg - at - 3, len = strlen(old);
		memcpy(err->msg + at, ": ", 2);
		memcpy(err->msg + at + 2, old, len < room ? len : room);
		err->msg[at + 2 + (len < room ? len : room)] = 0;
	}
	return err->code;
}

/* Edits between two words; swapped neighbours are one. */
static int distance(const char *a, const char *b)
{
	int rows[3][64]; /* i - 2, i - 1, i in turn */
	int n = (int)strlen(a), m = (int)strlen(b);
	if (n > 60 || m > 60) return 1000;
	for (int j = 0; j <= m; j++) rows[0][j] = j;
	for (int i = 1; i <= n; i++) {
		int *row = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
		row[0] = i;
		for (int j = 1; j <= m; j++) {
			int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
			int d = last[j - 1] + (x != y);
			if (last[j] + 1 < d) d = last[j] + 1;
			if (row[j - 1] + 1 < d) d = row[j - 1] + 1;
			if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) && tolower((unsigned char)a[i - 2]) == y &&
			    before[j - 2] + 1 < d)
				d = before[j - 2] + 1;
			row[j] = d;
		}
	}
	return rows[n % 3][m];
}

const char *inoci_nearest(const char *s, const char *const *names, size_t n)
{
	const char *best = NULL;
	int best_d = (int)strlen(s) / 3 + 1;
	for (size_t i = 0; i < n; i++) {
		int d = distance(s, names[i]);
		if (d <= best_d && (!best || d < best_d)) best = names[i], best_d = d;
	}
	return best;
}

void inoci_bug(const char *file, int line, const char *what)
{
	fprintf(stderr, "inoc: a bug in inoc itself at %s:%d: %s\n", file, line, what);
	abort();
}
