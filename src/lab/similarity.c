/* How alike texts are: the cosine of their counts of three characters in a row (Unicode, NFKC case folded, runs of what is
 * neither letter nor digit as one space, one before and behind). 1: the same counts; 0: none in common. A measure of wording, not
 * of meaning. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "lab/internal.h"

typedef struct {
	uint64_t *v; /* sorted */
	size_t n;
} grams;

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static grams grams_of(const char *text)
{
	utf8proc_uint8_t *folded = utf8proc_NFKC_Casefold((const utf8proc_uint8_t *)text);
	const utf8proc_uint8_t *p = folded ? folded : (const utf8proc_uint8_t *)text;
	size_t n = strlen((const char *)p), m = 0;
	uint64_t *c = inoci_alloc((n + 3) * sizeof *c);
	c[m++] = ' ';
	for (utf8proc_ssize_t left = (utf8proc_ssize_t)n, used; left > 0; p += used, left -= used) {
		utf8proc_int32_t code;
		used = utf8proc_iterate(p, left, &code);
		if (used < 1) used = 1, code = ' ';
		utf8proc_category_t k = utf8proc_category(code);
		bool word = (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO) ||
		            (k >= UTF8PROC_CATEGORY_MN && k <= UTF8PROC_CATEGORY_NO);
		if (word)
			c[m++] = (uint64_t)code;
		else if (c[m - 1] != ' ')
			c[m++] = ' ';
	}
	if (c[m - 1] != ' ') c[m++] = ' ';
	grams g = {.v = c, .n = m > 2 ? m - 2 : 0};
	for (size_t i = 0; i < g.n; i++) c[i] = c[i] << 42 | c[i + 1] << 21 | c[i + 2];
	qsort(c, g.n, sizeof *c, by_value);
	free(folded);
	return g;
}

/* Sum over the grams of the product of both counts. */
static double product(const grams *a, const grams *b)
{
	double sum = 0;
	for (size_t i = 0, k = 0; i < a->n && k < b->n;) {
		if (a->v[i] != b->v[k]) {
			if (a->v[i] < b->v[k])
				i++;
			else
				k++;
			continue;
		}
		size_t x = 1, y = 1;
		while (i + x < a->n && a->v[i + x] == a->v[i]) x++;
		while (k + y < b->n && b->v[k + y] == b->v[k]) y++;
		sum += (double)x * (double)y;
		i += x, k += y;
	}
	return sum;
}

static double cosine(const grams *a, const grams *b)
{
	double d = product(a, a) * product(b, b);
	return d > 0 ? product(a, b) / sqrt(d) : 0;
}

double inoci_similarity(char *const *texts, size_t n, char *const *others, size_t m)
{
	double sum = 0;
	size_t pairs = 0;
	grams *g = inoci_alloc((n + m + 1) * sizeof *g);
	for (size_t i = 0; i < n + m; i++) g[i] = grams_of(i < n ? texts[i] : others[i - n]);
	for (size_t i = 0; i < n; i++)
		for (size_t k = m ? n : i + 1; k < n + m; k++) sum += cosine(&g[i], &g[k]), pairs++;
	for (size_t i = 0; i < n + m; i++) free(g[i].v);
	free(g);
	return pairs ? sum / (double)pairs : NAN;
}

void inoci_note_pools(inoci_experiment *e)
{
	for (size_t i = 0; i < e->n_arms; i++) {
		const inoci_inoculation *t = &e->arms[i].inoculation;
		if (t->n_pool > 1 && !e->arms[i].swept_of)
			inoci_experiment_note(e, "%s: a pool of %zu prompts, %.2f alike (mean cosine of counts of three letters)",
			                      e->arms[i].name, t->n_pool, inoci_similarity(t->pool, t->n_pool, NULL, 0));
	}
}
