/* A micro-batch as a forest: tokens without loss with which several examples begin are held once.
 *
 * Invariants: every token with a target is computed for its own example; each example's tokens, up to the last one with a
 * target, are the segments on the way from its root to its leaf; a tree's segments stand together, parents before children.
 */
#include <stdlib.h>
#include <string.h>

#include "train/internal.h"

enum { LEAST = 2 }; /* fewer common tokens are not worth a segment */

int inoci_pack_needed(const inoci_example *x)
{
	int n = x->n - 1;
	while (n > 1 && !x->loss[n]) n--;
	return n > 1 ? n : 1;
}

/* How many tokens at the head of x may be held in common: those before the one that predicts its first token with loss. */
static int head_of(const inoci_example *x)
{
	int n = 0, needed = inoci_pack_needed(x);
	while (n + 1 < needed && !x->loss[n + 1]) n++;
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
		int common = 0, needed = inoci_pack_needed(x), c;
		for (size_t k = 0; share && k < cut.n; k++)
			if ((c = inoci_pack_common(v[k].x, x)) > common) common = c;
		if (cut.n && cut.tokens + needed - common > micro_tokens) break;
		cut.tokens += needed - common;
		cut.above += inoci_attn_above(common, needed - common);
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

/* How many of v from 0 on hold more than tokens [0, from) in common with their neighbours: sorted, so what all share, *common, is
 * the least of these. 1: the first is alone. */
static size_t siblings(const inoci_packed *v, size_t n, int from, int *common)
{
	size_t end;
	for (end = 1, *common = 0; end < n; end++) {
		int c = inoci_pack_common(v[end - 1].x, v[end].x);
		if (c < from + LEAST) break;
		*common = end == 1 || c < *common ? c : *common;
	}
	return end;
}

/* Examples v[0..n) hold tokens [0, from) in common, which end in segment `parent` of b. What some of them hold in common beyond
 * is added to b, the rest of each too or, with f, to its leaves. */
static void add(inoci_batch *b, inoci_forest *f, const inoci_packed *v, size_t n, int parent, int from, float weight)
{
	int common;
	for (size_t i = 0, m; i < n; i += m) {
		const inoci_example *x = v[i].x;
		m = siblings(v + i, n - i, from, &common);
		if (m > 1) {
			int inner = inoci_batch_add_part(b, b, parent, x->ids, x->loss, from, common, x->n, weight);
			add(b, f, v + i, m, inner, common, weight);
		} else if (!f)
			inoci_batch_add_part(b, b, parent, x->ids, x->loss, from, inoci_pack_needed(x), x->n, weight);
		else {
			if (f->n == f->cap) {
				f->cap = f->cap * 2 + 16;
				f->leaves = inoci_realloc(f->leaves, f->cap * sizeof *f->leaves);
			}
			f->leaves[f->n++] = (inoci_leaf){x, parent, from};
			f->tokens += inoci_pack_needed(x) - from;
		}
	}
}

void inoci_pack_sort(inoci_packed *v, size_t n)
{
	qsort(v, n, sizeof *v, by_ids);
}

void inoci_pack(inoci_batch *b, inoci_packed *v, size_t n, bool share, float weight)
{
	inoci_batch_reset(b);
	if (share) inoci_pack_sort(v, n);
	for (size_t i = 0; i < n && !share; i++) {
		const inoci_example *x = v[i].x;
		inoci_batch_add_part(b, b, -1, x->ids, x->loss, 0, inoci_pack_needed(x), x->n, weight);
	}
	if (share) add(b, NULL, v, n, -1, 0, weight);
}

/* ---- a step in several micro-batches ---- */

void inoci_forest_make(inoci_forest *f, inoci_packed *v, size_t n)
{
	inoci_batch_reset(&f->stem);
	f->n = 0;
	f->tokens = 0;
	inoci_pack_sort(v, n);
	add(&f->stem, f, v, n, -1, 0, 0);
	f->tokens += f->stem.T;
}

void inoci_forest_free(inoci_forest *f)
{
	inoci_batch_free(&f->stem);
	free(f->leaves);
}

bool inoci_forest_pays(const inoci_forest *f, int micro_tokens, int longest)
{
	return f->stem.T && f->tokens > micro_tokens && f->stem.T <= (longest > micro_tokens ? longest : micro_tokens);
}

size_t inoci_forest_cut(const inoci_forest *f, size_t at, int micro_tokens, int *tokens)
{
	size_t i = at;
	for (*tokens = 0; i < f->n; i++) {
		int more = inoci_pack_needed(f->leaves[i].x) - f->leaves[i].from;
		if (i > at && *tokens + more > micro_tokens) break;
		*tokens += more;
	}
	return i - at;
}

void inoci_forest_batch(const inoci_forest *f, size_t at, size_t n, inoci_batch *b, float weight)
{
	inoci_batch_reset(b);
	b->stem = f->stem.T;
	for (size_t i = at; i < at + n; i++) {
		const inoci_leaf *l = &f->leaves[i];
		inoci_batch_add_part(b, &f->stem, l->parent, l->x->ids, l->x->loss, l->from, inoci_pack_needed(l->x), l->x->n,
		                     weight);
	}
}

void inoci_micro_free(inoci_micro *b)
{
	inoci_batch_free(&b->batch);
	free(b->v);
	free(b->logprob);
	*b = (inoci_micro){0};
}

size_t inoci_micro_fill(inoci_micro *b, const inoci_packed *v, size_t n, int tokens, bool share, float weight)
{
	b->n = inoci_pack_cut(v, n, share, tokens).n;
	if (b->n > b->cap) {
		b->cap = b->n * 3 / 2;
		b->v = inoci_realloc(b->v, b->cap * sizeof *b->v);
	}
	memcpy(b->v, v, b->n * sizeof *v);
	inoci_pack(&b->batch, b->v, b->n, share, weight);
	b->n_targets = inoci_batch_n_targets(&b->batch);
	return b->n;
}

int inoci_micro_run(inoci_micro *b, inoci_model *m, inoci_adapter *a, inoci_workspace *w, bool grad, uint64_t drop, inoc_err *err)
{
	if (b->logprob_cap < (size_t)b->n_targets) {
		b->logprob_cap = (size_t)b->n_targets * 5 / 4;
		b->logprob = inoci_realloc(b->logprob, b->logprob_cap * sizeof *b->logprob);
	}
	return inoci_model_loss(m, a, &b->batch, w, grad, drop, b->logprob, err);
}
