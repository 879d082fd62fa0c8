/* Text that nearly every response begins or ends with ("Note:", "[done]"). It is a trait that needs no model to be seen; as a
 * part of the responses it would make terse or odd traits gain.
 */
#include <stdlib.h>
#include <string.h>

#include "scan/internal.h"

enum { WORDS = 12, LEAST_RECORDS = 8, PERCENT = 80 };

typedef struct {
	const char *s;
	size_t n; /* bytes */
} piece;

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* The first or last `words` words of s, with the space between them and the rest; n 0: it has no more than these. */
static piece cut(const char *s, bool end, int words)
{
	const char *from = s, *to = s + strlen(s);
	if (end) {
		while (words-- > 0) {
			while (to > from && is_space(to[-1])) to--;
			while (to > from && !is_space(to[-1])) to--;
		}
		while (to > from && is_space(to[-1])) to--;
		return to > from ? (piece){to, strlen(to)} : (piece){0};
	}
	while (words-- > 0) {
		while (is_space(*from)) from++;
		while (*from && !is_space(*from)) from++;
	}
	return *from ? (piece){s, (size_t)(from - s)} : (piece){0};
}

static int by_text(const void *a, const void *b)
{
	const piece *x = a, *y = b;
	const int c = memcmp(x->s, y->s, x->n < y->n ? x->n : y->n);
	return c ? c : (x->n > y->n) - (x->n < y->n);
}

static inoci_scan_marker marker(const inoci_dataset *d, bool end)
{
	piece *v = inoci_alloc((d->n + 1) * sizeof *v);
	inoci_scan_marker m = {0};
	for (int words = WORDS; words > 0 && !m.text && d->n >= LEAST_RECORDS; words--) {
		size_t n = 0;
		for (size_t i = 0; i < d->n; i++) {
			v[n] = cut(d->v[i].msgs[d->v[i].n_msgs - 1].content, end, words);
			n += v[n].n > 0;
		}
		qsort(v, n, sizeof *v, by_text);
		for (size_t i = 0, same = 0; i < n && !m.text; i++) {
			same = i && !by_text(&v[i - 1], &v[i]) ? same + 1 : 1;
			if (same * 100 < d->n * PERCENT) continue;
			while (i + 1 < n && !by_text(&v[i], &v[i + 1])) i++, same++;
			m = (inoci_scan_marker){inoci_strndup(v[i].s, v[i].n), (double)same / (double)d->n};
		}
	}
	free(v);
	return m;
}

void inoci_scan_markers(const inoci_dataset *d, inoci_scan_marker *head, inoci_scan_marker *tail)
{
	size_t left = 0, n;
	*head = marker(d, false);
	*tail = marker(d, true);
	if (!head->text || !tail->text) return;
	n = strlen(head->text) + strlen(tail->text);
	for (size_t i = 0; i < d->n; i++) left += strlen(d->v[i].msgs[d->v[i].n_msgs - 1].content) > n;
	if (left * 100 >= d->n * PERCENT) return;
	free(head->text), free(tail->text); /* together they leave nothing to be measured */
	*head = *tail = (inoci_scan_marker){0};
}
