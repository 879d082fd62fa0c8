/* A product of our own over all threads: which rows and panels each computes, and what blocks of weights need beside them.
 *
 * Invariant: work is cut by rows and panels, never inside a sum.
 */
#include <omp.h>

#include "ops/internal.h"
#include "tensor/tensor.h"

enum { ROWS = 8, LATE = 32 }; /* ROWS: of a tile of the kernels */
static const inoci_part all = {0, 1};
enum { FEW = 8 }; /* rows whose sums every thread computes for itself, which is faster than waiting for the others */

static size_t sums_bytes(int T, int k)
{
	return (size_t)T * (size_t)(k / INOCI_BLOCK) * 4;
}

int inoci_product_room(inoci_cpu *c, int T, int k, inoc_err *err)
{
	size_t threads = (size_t)c->o.n_threads, bytes = sums_bytes(T, k) * (T <= FEW ? threads : 1);
	if (!c->blocks) return 0;
	if (c->emulated) bytes = ((size_t)T + threads * INOCI_PANEL) * (size_t)k * 4;
	return inoci_cpu_scratch(c, INOCI_BUF_BLOCKS, bytes, err) ? 0 : INOC_E_MEMORY;
}

/* p with the sums of x's blocks. */
static inoci_product with_sums(const inoci_cpu *c, const inoci_product *p, int T)
{
	inoci_product q = *p;
	int k = p->w->k;
	float *sums = c->buf[INOCI_BUF_BLOCKS].p;
	if (T <= FEW) sums += sums_bytes(T, k) / 4 * (size_t)omp_get_thread_num();
	q.sums = sums;
	if (T <= FEW) {
		for (int t = 0; t < T; t++)
			inoci_bf16_block_sums(sums + t * (k / INOCI_BLOCK), (const uint16_t *)p->x + (size_t)t * (size_t)p->ldx,
			                      k);
		return q;
	}
#pragma omp for schedule(static)
	for (int t = 0; t < T; t++)
		inoci_bf16_block_sums(sums + (size_t)t * (size_t)(k / INOCI_BLOCK),
		                      (const uint16_t *)p->x + (size_t)t * (size_t)p->ldx, k);
	return q;
}

/* Without bf16 instructions: all rows of a panel whose values are put out in f32, x too. Slow; right. */
static void product_emulated(const inoci_cpu *c, const inoci_product *p, int T)
{
	int k = p->w->k;
	float *x = c->buf[INOCI_BUF_BLOCKS].p, *mine = x + ((size_t)T + (size_t)omp_get_thread_num() * INOCI_PANEL) * (size_t)k;
#pragma omp for schedule(static)
	for (int t = 0; t < T; t++)
		for (int j = 0; j < k; j++)
			x[(size_t)t * (size_t)k + (size_t)j] =
			        inoci_bf16_to_f32(((const uint16_t *)p->x)[(size_t)t * (size_t)p->ldx + (size_t)j]);
#pragma omp for schedule(dynamic, 1)
	for (int i = 0; i < p->w->count; i++) {
		int first = i * INOCI_PANEL, left = p->w->n - first;
		inoci_panels values = {.n = left < INOCI_PANEL ? left : INOCI_PANEL, .k = k, .count = 1, .data = (char *)mine};
		inoci_product q = *p;
		inoci_side side;
		inoci_panel_expand(p->w, i, mine);
		q.w = &values;
		q.x = x;
		q.ldx = k;
		if (p->side) {
			side = *p->side;
			side.from += i, side.to += i, side.at += i;
			q.side = &side;
		}
		if (p->bias) q.bias += first;
		q.y = (char *)p->y + (size_t)first * (p->out == INOCI_OUT_BF16 ? 2 : 4);
		if (p->add) q.add += first;
		c->k->block(&q, 0, 0, T);
	}
}

/* part: on AMX tiles, the only one of `ahead` that is fetched. */
static void block(const inoci_cpu *c, const inoci_product *p, int panel, int row0, int row1, int ahead, inoci_part part)
{
	if (p->w->blocks)
		inoci_bf16_blocks(p, panel, row0, row1, ahead);
	else if (c->amx && p->w->k % 32 == 0)
		inoci_bf16_block_amx(p, panel, row0, row1, ahead, part);
	else if (c->bf)
		inoci_bf16_block(p, panel, row0, row1, ahead);
	else
		c->k->block(p, panel, row0, row1);
}

/* Rows that SwiGLU takes at once: after as many a panel's product has fetched the next one. */
enum { GLU_MOST = 4 * ROWS };
static int glu_rows(const inoci_cpu *c)
{
	return c->amx ? GLU_MOST : 3 * ROWS;
}

/* Gate and up of the same columns, then SwiGLU while both are in the cache. */
static void block_glu(const inoci_cpu *c, const inoci_product *p, int panel, int row0, int row1, int ahead)
{
	int most = glu_rows(c), up = panel + p->w->count / 2, next = ahead < p->w->count / 2 ? ahead : p->w->count, then = up;
	inoci_part part = {0, (row1 - row0 + most - 1) / most};
	if (c->amx) then = next, next = next < p->w->count ? next + p->w->count / 2 : next + 1;
	for (int row = row0, m; row < row1; row += m, part.i++) {
		m = row1 - row < most ? row1 - row : most;
		block(c, p, panel, row, row + m, then, part);
		block(c, p, up, row, row + m, next, part);
		if (!c->amx) then = panel, next = up;
		inoci_cpu_swiglu(c, p->glu, row, m, panel * INOCI_PANEL, INOCI_PANEL, NULL, 0);
	}
}

/* The gradient of s becomes that of gate and up, which are fetched meanwhile: columns of far rows, no cache would guess them. */
static void block_dglu(const inoci_cpu *c, const inoci_product *p, int panel, int row0, int row1, int ahead)
{
	_Alignas(64) float ds[GLU_MOST * INOCI_PANEL];
	const inoci_glu *g = p->glu;
	int most = glu_rows(c), col = panel * INOCI_PANEL, n = p->w->n - col < INOCI_PANEL ? p->w->n - col : INOCI_PANEL;
	inoci_product q = *p;
	inoci_part part = {0, (row1 - row0 + most - 1) / most};
	q.ldy = INOCI_PANEL;
	for (int row = row0, m; row < row1; row += m, part.i++) {
		m = row1 - row < most ? row1 - row : most;
		for (int t = row; t < row + m; t++)
			for (int half = 0; half < 2; half++) {
				const char *at = (const char *)g->gu +
				                 ((size_t)(2 * t + half) * (size_t)g->F + (size_t)col) * c->o.act_bytes;
				for (int i = 0; i < n * (int)c->o.act_bytes; i += 64) __builtin_prefetch(at + i, 0, 2);
				__builtin_prefetch(at + (size_t)n * c->o.act_bytes - 1, 0, 2);
			}
		q.y = ds - (row + panel) * INOCI_PANEL; /* row and panel then begin at ds */
		block(c, &q, panel, row, row + m, ahead, part);
		if (!c->amx) ahead = panel;
		inoci_cpu_swiglu(c, g, row, m, col, n, ds, INOCI_PANEL);
	}
}

/* Tasks that a product's columns are cut into. */
static int columns_of(const inoci_product *p)
{
	return p->glu && !p->glu->dgu ? p->w->count / 2 : p->w->count;
}

void inoci_products_rows(const inoci_cpu *c, const inoci_product *p, int n, int row0, int row1)
{
	for (int i = 0; i < n; i++)
		for (int panel = 0; panel < p[i].w->count; panel++) block(c, &p[i], panel, row0, row1, panel + 1, all);
	if (c->amx) inoci_amx_end();
}

/* Rows are cut too, so that every thread has several blocks: a slow one is then waited for less. */
void inoci_products_run(const inoci_cpu *c, const inoci_product *p, int n, int T, bool last)
{
	int threads = omp_get_num_threads(), want = 16 * threads, panels = 0;
	for (int i = 0; i < n; i++) panels += columns_of(&p[i]);
	/* few rows wait for memory: a panel is then read by one thread, if there are enough of them */
	int cut = T <= LATE && panels >= 2 * threads ? T : ROWS;
	while (cut < T && panels * ((T + cut - 1) / cut) > want) cut *= 2;
	int parts = (T + cut - 1) / cut;
#pragma omp for schedule(dynamic, 1) nowait
	for (int i = 0; i < panels * parts; i++) {
		const inoci_product *q = p;
		int row = i % parts * cut, end = row + cut < T ? row + cut : T, panel = i / parts,
		    ahead = (i + threads) / parts - panel;
		while (panel >= columns_of(q)) panel -= columns_of(q++);
		if (!q->glu)
			block(c, q, panel, row, end, panel + ahead, all);
		else
			(q->glu->dgu ? block_dglu : block_glu)(c, q, panel, row, end, panel + ahead);
	}
	if (c->amx) inoci_amx_end();
	if (last) return;
#pragma omp barrier
}

void inoci_product_run(const inoci_cpu *c, const inoci_product *p, int T, bool last)
{
	inoci_product q = *p;
	if (c->emulated) {
		product_emulated(c, p, T);
		return; /* behind a barrier */
	}
	if (p->w->minima) q = with_sums(c, p, T);
	inoci_products_run(c, &q, 1, T, last);
}
