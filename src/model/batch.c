/* The packed forest. */
#include <stdlib.h>
#include <string.h>

#include "model/internal.h"

void inoci_batch_reset(inoci_batch *b)
{
	b->T = b->n_segs = b->stem = 0;
	b->n_keys = 0;
}

void inoci_batch_free(inoci_batch *b)
{
	free(b->ids);
	free(b->pos);
	free(b->target);
	free(b->weight);
	free(b->segs);
	free(b->key_rows);
	*b = (inoci_batch){0};
}

static void grow(inoci_batch *b, size_t tokens, size_t keys)
{
	size_t T = (size_t)b->T + tokens;
	if (T > b->cap_T) {
		b->cap_T = T * 3 / 2 + 64;
		b->ids = inoci_realloc(b->ids, b->cap_T * sizeof *b->ids);
		b->pos = inoci_realloc(b->pos, b->cap_T * sizeof *b->pos);
		b->target = inoci_realloc(b->target, b->cap_T * sizeof *b->target);
		b->weight = inoci_realloc(b->weight, b->cap_T * sizeof *b->weight);
	}
	if ((size_t)b->n_segs + 1 > b->cap_segs) {
		b->cap_segs = b->cap_segs * 2 + 16;
		b->segs = inoci_realloc(b->segs, b->cap_segs * sizeof *b->segs);
	}
	if (b->n_keys + keys > b->cap_keys) {
		int32_t *old = b->key_rows;
		b->cap_keys = (b->n_keys + keys) * 3 / 2 + 64;
		b->key_rows = inoci_realloc(b->key_rows, b->cap_keys * sizeof *b->key_rows);
		size_t at = 0;
		for (int i = 0; old != b->key_rows && i < b->n_segs; at += (size_t)(b->segs[i].pos0 + b->segs[i].len), i++)
			b->segs[i].key_rows = b->key_rows + at;
	}
}

int inoci_batch_add_part(inoci_batch *b, const inoci_batch *of, int parent, const int32_t *ids, const int32_t *loss, int from,
                         int to, int n, float weight)
{
	grow(b, (size_t)(to - from), (size_t)to);
	int32_t *keys = b->key_rows + b->n_keys;
	const inoci_seg *above = from ? &of->segs[parent] : NULL;
	if (from) memcpy(keys, above->key_rows, (size_t)from * sizeof *keys);
	if (of != b) b->stem = of->T;
	for (int i = from, row = b->T; i < to; i++, row++) {
		b->ids[row] = ids[i];
		b->pos[row] = i;
		keys[i] = b->stem + row;
		bool t = loss && i + 1 < n && loss[i + 1];
		b->target[row] = t ? ids[i + 1] : -1;
		b->weight[row] = t ? weight : 0;
	}
	b->segs[b->n_segs] = (inoci_seg){.start = b->T,
	                                 .len = to - from,
	                                 .pos0 = from,
	                                 .key_rows = keys,
	                                 .tree = from && of == b ? above->tree : b->n_segs};
	b->T += to - from;
	b->n_keys += (size_t)to;
	return b->n_segs++;
}

int inoci_batch_add(inoci_batch *b, const int32_t *ids, const int32_t *loss, int n, float weight)
{
	return inoci_batch_add_part(b, b, -1, ids, loss, 0, n, n, weight);
}

int inoci_batch_n_targets(const inoci_batch *b)
{
	int n = 0;
	for (int t = 0; t < b->T; t++) n += b->target[t] >= 0;
	return n;
}
