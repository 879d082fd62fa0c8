/* A micro-batch as a forest: tokens without loss with which several examples begin are held once.
 *
 * Invariants: every token with a target is computed for its own example; each example's tokens are the segments on the way from
 * its root to its leaf; a tree's segments stand together, parents before children.
 */
#include <stdlib.h>

#include "train/internal.h"

enum { LEAST = 2 }; /* fewer common tokens are not worth a segment */

/* How many tokens at the head of x may be held in common: those before the one that predicts its first token with loss. */
static int head_of(const inoci_example *x)
{
	int n = 0;
	while (n + 1 < x->n && !x->loss[n + 1]) n++;
	return n;
}

int inoci_pack_common(const inoci_example *a, const inoci_example *b)
{
	int na = head_of(a), nb = head_of(b), n = 0, end = na < nb ? na : nb;
	while (n < end && a->ids[n] == b->ids[n]) n++;
	return n;
}

inoci_cut inoci_pack_cut(const inoci_packed *v, size_t n, bool share, int micro_tokens)
{
	inoci_cut cut = {0};
	for (; cut.n < n; cut.n++) {
		const inoci_example *x = v[cut.n].x;
		int common = 0, c;
		for (size_t k = 0; share && k < cut.n; k++)
			if ((c = inoci_pack_common(v[k].x, x)) > common) common = c;
		if (cut.n && cut.tokens + x->n - common > micro_tokens) break;
		cut.tokens += x->n - common;
		cut.above += (size_t)common;
		for (int k = 1; k < x->n; k++) cut.targets += x->loss[k] != 0;
	}
	return cut;
}

void inoci_order(uint64_t seed, long epoch, int32_t *order, size_t n)
{
	inoci_rng r = inoci_rng_new(seed, "order", (uint64_t)epoch, 0);
	for (size_t k = 0; k < n; k++) order[k] = (int32_t)k;
	inoci_rng_shuffle(&r, order, n);
}

static int by_ids(const void *pa, const void *pb)
{
	const inoci_packed *a = pa, *b = pb;
	const inoci_example *x = a->x, *y = b->x;
	int end = x->n < y->n ? x->n : y->n;
	for (int i = 0; i < end; i++)
		if (x->ids[i] != y->ids[i]) return x->ids[i] < y->ids[i] ? -1 : 1;
	return x->n != y->n ? (x->n < y->n ? -1 : 1) : (a->at > b->at) - (a->at < b->at);
}

/* Examples v[0..n) hold tokens [0, from) in common, which end in segment `parent`. */
static void add(inoci_batch *b, const inoci_packed *v, size_t n, int parent, int from, float weight)
{
	for (size_t i = 0, end; i < n; i = end) {
		int common = 0;
		/* a run in which neighbours share more than `from`: sorted, so what all share is the least of these */
		for (end = i + 1; end < n; end++) {
			int c = inoci_pack_common(v[end - 1].x, v[end].x);
			if (c < from + LEAST) break;
			common = end == i + 1 || c < common ? c : common;
		}
		const inoci_example *x = v[i].x;
		if (end == i + 1)
			inoci_batch_add_part(b, parent, x->ids, x->loss, from, x->n, x->n, weight);
		else
			add(b, v + i, end - i, inoci_batch_add_part(b, parent, x->ids, x->loss, from, common, x->n, weight),
			    common, weight);
	}
}

void inoci_pack(inoci_batch *b, inoci_packed *v, size_t n, bool share, float weight)
{
	inoci_batch_reset(b);
	if (share) qsort(v, n, sizeof *v, by_ids);
	for (size_t i = 0; i < n && !share; i++) inoci_batch_add(b, v[i].x->ids, v[i].x->loss, v[i].x->n, weight);
	if (share) add(b, v, n, -1, 0, weight);
}
