/* Attention over segments, cut over the threads: by key/value head and by pieces of segments, each of which one thread computes
 * from beginning to end, so that results do not depend on the number of threads.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <omp.h>

#include "ops/internal.h"

enum { QUERIES = 64, PIECE = INOCI_ATTN_PIECE }; /* queries of a piece, forward and backward */
enum { ALONE = 65536 };                          /* products of scores that are too few for several threads */

static int first_key(const inoci_attn *a, int p)
{
	return a->window && p + 1 > a->window ? p + 1 - a->window : 0;
}

static int longest(const inoci_seg *segs, int n)
{
	int m = 0;
	for (int i = 0; i < n; i++) m = segs[i].pos0 + segs[i].len > m ? segs[i].pos0 + segs[i].len : m;
	return inoci_up(m, 16);
}

static bool tiled(const inoci_cpu *c, const inoci_attn *a)
{
	return c->tiles && a->head_dim % 32 == 0 && a->head_dim <= INOCI_ATTN_MAX_D;
}

/* Queries [i0, i1) of a segment. */
typedef struct {
	int seg, i0, i1;
} piece;

static int pieces_of(const inoci_seg *segs, int n, int len, piece *out)
{
	int m = 0;
	for (int s = 0; s < n; s++)
		for (int i = 0; i < segs[s].len; i += len, m++)
			if (out) out[m] = (piece){s, i, segs[s].len - i < len ? segs[s].len : i + len};
	return m;
}

/* One key/value head's part of a forward call: q, out, lse at its first query head. */
typedef struct {
	const char *q, *k, *v;
	char *out;
	float *lse;
} part;

/* Row by row, with the kernels of any CPU and type. */
static void forward_rows(inoci_cpu *c, const inoci_attn *a, const inoci_seg *g, const piece *p, const part *w, int ldq, int ldkv,
                         float *s)
{
	int H = a->n_heads, D = a->head_dim;
	size_t e = c->o.act_bytes;
	for (int i = p->i0; i < p->i1; i++) {
		size_t t = (size_t)(g->start + i);
		c->k->attn(w->q + t * (size_t)ldq * e, w->k, w->v, c->bf, ldkv, g->key_rows, first_key(a, g->pos0 + i),
		           g->pos0 + i + 1, H / a->n_kv_heads, D, 1 / sqrtf((float)D), w->out + t * (size_t)(H * D) * e,
		           w->lse ? w->lse + t * (size_t)H : NULL, s);
	}
}

static int attn(inoci_ops *o, const inoci_attn *a, const inoci_seg *segs, int n_segs, const void *q, int ldq, const void *k,
                const void *v, int ldkv, void *out, float *lse, inoc_err *err)
{
	inoci_cpu *c = (inoci_cpu *)o;
	int H = a->n_heads, G = a->n_kv_heads, D = a->head_dim, group = H / G, keys = longest(segs, n_segs);
	int n = pieces_of(segs, n_segs, QUERIES, NULL), threads = omp_get_max_threads();
	bool tiles = tiled(c, a);
	size_t e = o->act_bytes, each = inoci_pad(tiles ? inoci_bf16_attn_bytes(keys, D) : (size_t)keys * 4);
	char *mem = inoci_cpu_scratch(c, INOCI_BUF_ATTN, (size_t)threads * each + (size_t)n * sizeof(piece), err);
	if (!mem) return INOC_E_MEMORY;
	piece *p = (piece *)(mem + (size_t)threads * each);
	pieces_of(segs, n_segs, QUERIES, p);
	size_t work = 0; /* of scores */
	for (int i = 0; i < n_segs; i++) work += (size_t)segs[i].len * (size_t)(segs[i].pos0 + segs[i].len) * (size_t)(H * D);
#pragma omp parallel if (work > ALONE)
	{
		char *mine = mem + (size_t)omp_get_thread_num() * each;
		if (tiles) inoci_bf16_attn_start(mine, keys, D);
#pragma omp for schedule(dynamic, 1) nowait
		for (int j = 0; j < n * G; j++) { /* neighbours see the same keys, more or fewer */
			int head = j / n;
			const piece *b = &p[j % n];
			const inoci_seg *g = &segs[b->seg];
			size_t qo = (size_t)head * (size_t)(group * D) * e, ko = (size_t)head * (size_t)D * e;
			part w = {(const char *)q + qo, (const char *)k + ko, (const char *)v + ko, (char *)out + qo,
			          lse ? lse + head * group : NULL};
			inoci_attn_job job = {group,
			                      D,
			                      a->window,
			                      ldq,
			                      ldkv,
			                      H * D,
			                      H,
			                      1 / sqrtf((float)D),
			                      (const void *)w.q,
			                      (const void *)w.k,
			                      (const void *)w.v,
			                      (void *)w.out,
			                      w.lse,
			                      c->amx};
			if (tiles)
				inoci_bf16_attn(&job, g, head, b->i0, b->i1, mine);
			else
				forward_rows(c, a, g, b, &w, ldq, ldkv, (float *)mine);
		}
	}
	return 0;
}

/* ---- backward ---- */

/* Pieces [from, to) whose queries' own keys lie behind the same n others. The gradients of these, which other runs add to as
 * well, go to a buffer of its own, (G, n, 2, D) from `at` on, and are then summed in the order of the runs. */
typedef struct {
	int from, to, n;
	size_t at;
} run;

static bool same_above(const inoci_seg *segs, const piece *a, const piece *b)
{
	const inoci_seg *x = &segs[a->seg], *y = &segs[b->seg];
	return x->pos0 && !a->i0 && !b->i0 && x->pos0 == y->pos0 &&
	       !memcmp(x->key_rows, y->key_rows, (size_t)x->pos0 * sizeof(int32_t));
}

/* Returns how many; *floats: of their buffers. */
static int runs_of(const inoci_seg *segs, const piece *p, int n, int per_position, run *out, size_t *floats)
{
	int m = 0, most = (n + 7) / 8; /* enough runs for the threads to share */
	*floats = 0;
	for (int i = 0, end; i < n; i = end, m++) {
		for (end = i + 1; end < n && end - i < most && same_above(segs, &p[i], &p[end]); end++) continue;
		out[m] = (run){i, end, segs[p[i].seg].pos0 + p[i].i0, *floats};
		*floats += (size_t)out[m].n * (size_t)per_position;
	}
	return m;
}

static void backward_rows(inoci_cpu *c, const inoci_attn_bwd *w, const inoci_seg *g, int i0, int i1, float *s)
{
	size_t e = c->o.act_bytes;
	int D = w->D, own = g->pos0 + i0;
	for (int i = i0; i < i1; i++) {
		size_t t = (size_t)(g->start + i);
		int to = g->pos0 + i + 1, from = w->window && to > w->window ? to - w->window : 0, cut = from > own ? from : own;
		const char *q = (const char *)w->q + t * (size_t)w->ld * e, *out = (const char *)w->out + t * (size_t)w->ldo * e;
		const float *l = w->lse + t * (size_t)w->ld_lse, *d = w->dout + t * (size_t)w->ldo;
		float *dq = w->dq + t * (size_t)w->ld;
		memset(dq, 0, (size_t)(w->heads * D) * sizeof *dq);
		if (from < cut)
			c->k->attn_bwd(q, w->k, w->v, c->bf, w->ld, g->key_rows, from, cut, w->heads, D, w->scale, out, l, d, dq,
			               w->above, w->above + D, NULL, w->ld_above, s);
		c->k->attn_bwd(q, w->k, w->v, c->bf, w->ld, g->key_rows, cut, to, w->heads, D, w->scale, out, l, d, dq, w->dk,
		               w->dv, g->key_rows, w->ld, s);
	}
}

static int attn_bwd(inoci_ops *o, const inoci_attn *a, const inoci_seg *segs, int n_segs, int T, const void *qkv, const void *out,
                    const float *lse, const void *dout, void *dqkv, inoc_err *err)
{
	inoci_cpu *c = (inoci_cpu *)o;
	int H = a->n_heads, G = a->n_kv_heads, D = a->head_dim, group = H / G, ld = (H + 2 * G) * D, ldb = 2 * D;
	int keys = longest(segs, n_segs), n = pieces_of(segs, n_segs, PIECE, NULL), threads = omp_get_max_threads(), deepest = 0;
	bool tiles = tiled(c, a);
	size_t e = o->act_bytes, each = inoci_pad(tiles ? inoci_bf16_attn_bwd_bytes(keys, D) : (size_t)keys * 4), floats;
	char *mem = inoci_cpu_scratch(c, INOCI_BUF_ATTN, (size_t)threads * each + (size_t)n * (sizeof(run) + sizeof(piece)), err);
	if (!mem) return INOC_E_MEMORY;
	run *runs = (run *)(mem + (size_t)threads * each);
	piece *p = (piece *)(runs + n);
	pieces_of(segs, n_segs, PIECE, p);
	int n_runs = runs_of(segs, p, n, G * ldb, runs, &floats);
	float *buf = floats ? inoci_cpu_scratch(c, INOCI_BUF_ANCESTORS, floats * sizeof *buf, err) : NULL, *dr = dqkv;
	if (floats && !buf) return INOC_E_MEMORY;
	for (int i = 0; i < n_runs; i++) deepest = runs[i].n > deepest ? runs[i].n : deepest;
	(void)T;
#pragma omp parallel
	{
		char *mine = mem + (size_t)omp_get_thread_num() * each;
		if (tiles) inoci_bf16_attn_bwd_start(mine, keys, D);
#pragma omp for schedule(dynamic, 1)
		for (int j = 0; j < n_runs * G; j++) { /* long ones first */
			const run *r = &runs[n_runs - 1 - j % n_runs];
			size_t h = (size_t)(j / n_runs), qo = h * (size_t)(group * D), ko = (size_t)(H * D) + h * (size_t)D;
			size_t vo = ko + (size_t)(G * D), first = (size_t)a->stem * (size_t)ld;
			inoci_attn_bwd w = {group,
			                    D,
			                    a->window,
			                    ld,
			                    H * D,
			                    H,
			                    ldb,
			                    1 / sqrtf((float)D),
			                    (const void *)((const char *)qkv + (first + qo) * e),
			                    (const void *)((const char *)qkv + ko * e),
			                    (const void *)((const char *)qkv + vo * e),
			                    (const void *)((const char *)out + qo * e),
			                    lse + h * (size_t)group,
			                    (const float *)dout + qo,
			                    dr + first + qo,
			                    dr + ko,
			                    dr + vo,
			                    r->n ? buf + r->at + h * (size_t)r->n * (size_t)ldb : NULL,
			                    c->amx};
			if (r->n) memset(w.above, 0, (size_t)r->n * (size_t)ldb * sizeof *buf);
			for (int i = r->from; i < r->to; i++) {
				const inoci_seg *g = &segs[p[i].seg];
				for (int k = g->pos0 + p[i].i0; k < g->pos0 + p[i].i1; k++) {
					memset(w.dk + (size_t)g->key_rows[k] * (size_t)ld, 0, (size_t)D * sizeof *dr);
					memset(w.dv + (size_t)g->key_rows[k] * (size_t)ld, 0, (size_t)D * sizeof *dr);
				}
				if (tiles)
					inoci_bf16_attn_bwd(&w, g, (int)h, p[i].i0, p[i].i1, mine);
				else
					backward_rows(c, &w, g, p[i].i0, p[i].i1, (float *)mine);
			}
		}
#pragma omp for schedule(static) nowait
		for (int pos = 0; pos < deepest; pos++) /* a position's keys of different runs are one thread's */
			for (int i = 0; i < n_runs; i++) {
				if (pos >= runs[i].n) continue;
				float *to = dr + (size_t)segs[p[runs[i].from].seg].key_rows[pos] * (size_t)ld + H * D;
				for (int h = 0; h < G; h++) {
					const float *from = buf + runs[i].at + (size_t)(h * runs[i].n + pos) * (size_t)ldb;
					c->k->add(to + h * D, from, (size_t)D);
					c->k->add(to + (G + h) * D, from + D, (size_t)D);
				}
			}
	}
	return 0;
}

size_t inoci_cpu_attn_scratch(const inoci_cpu *c, int keys, int D)
{
	size_t each = c->tiles ? inoci_bf16_attn_bwd_bytes(keys, D) : (size_t)keys * 4;
	return (size_t)c->o.n_threads * inoci_pad(each);
}

void inoci_cpu_attn_table(inoci_ops *o)
{
	o->attn = attn;
	o->attn_bwd = attn_bwd;
}
