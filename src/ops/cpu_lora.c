/* Working copies of adapters: what their products read, made from the masters after every step. */
#include <stdlib.h>
#include <string.h>

#include "ops/internal.h"

static void lora_unpack(inoci_lora *l)
{
	inoci_packed_lora *p = l->packed;
	if (!p) return;
	inoci_panels_free(p->a_panels);
	for (int i = 0; i < INOCI_LORA_SLICES; i++) inoci_panels_free(p->bt_panels[i]);
	inoci_side *sides[] = {&p->fwd, &p->bwd};
	for (size_t i = 0; i < INOCI_COUNT(sides); i++) free(sides[i]->from), free(sides[i]->to), free(sides[i]->at);
	free(p->mem);
	free(p);
	l->packed = NULL;
}

/* Lays out a side of n outputs: which ranks reach a panel follows from the slices' columns (all: every rank reaches every one).
 * Returns the floats of its q. */
static size_t side_plan(inoci_side *s, const inoci_lora *l, int n, bool all)
{
	int panels = (n + INOCI_PANEL - 1) / INOCI_PANEL;
	size_t at = 0;
	s->ranks = lora_rank_sum(l);
	s->from = inoci_alloc((size_t)panels * sizeof *s->from);
	s->to = inoci_alloc((size_t)panels * sizeof *s->to);
	s->at = inoci_alloc((size_t)panels * sizeof *s->at);
	for (int i = 0; i < panels; i++) {
		int c0 = i * INOCI_PANEL, c1 = n - c0 < INOCI_PANEL ? n : c0 + INOCI_PANEL, from = all ? 0 : s->ranks,
		    to = all ? s->ranks : 0;
		for (int j = 0, r = 0; !all && j < l->n_slices; r += l->s[j++].rank)
			if (l->s[j].n0 < c1 && l->s[j].n0 + l->s[j].n > c0) {
				from = r < from ? r : from;
				to = r + l->s[j].rank;
			}
		s->from[i] = to > from ? from : 0;
		s->to[i] = to > from ? to : 0;
		s->at[i] = at;
		at += (size_t)(s->to[i] - s->from[i]) * (size_t)inoci_up(c1 - c0, 16);
	}
	return at;
}

/* Rank r's row of values for columns [n0, n0 + n): v[j * stride] * scale. */
static void side_fill(inoci_side *s, int n_total, int r, int n0, int n, const float *v, size_t stride, float scale)
{
	for (int col = n0, end; col < n0 + n; col = end) {
		int panel = col / INOCI_PANEL, first = panel * INOCI_PANEL;
		end = first + INOCI_PANEL < n0 + n ? first + INOCI_PANEL : n0 + n;
		int width = n_total - first >= INOCI_PANEL ? INOCI_PANEL : inoci_up(n_total - first, 16);
		float *q = s->q + s->at[panel] + (size_t)(r - s->from[panel]) * (size_t)width - first;
		for (int j = col; j < end; j++) q[j] = v[(size_t)(j - n0) * stride] * scale;
	}
}

static int lora_plan(inoci_cpu *c, inoci_lora *l, inoc_err *err)
{
	inoci_packed_lora *p = l->packed = inoci_alloc(sizeof *p);
	int rp, rc;
	size_t n = 0, fwd = 0;
	p->ranks = lora_rank_sum(l);
	rp = inoci_up(p->ranks, 16);
	if (c->native) {
		INOC_TRY(inoci_panels_new(p->ranks, l->k, c->bf, &p->a_panels, err));
		for (int i = 0; i < l->n_slices; i++)
			INOC_TRY(inoci_panels_new(l->s[i].rank, l->s[i].n, c->bf, &p->bt_panels[i], err));
		fwd = side_plan(&p->fwd, l, l->n, false);
		n = fwd + side_plan(&p->bwd, l, l->k, true);
	} else {
		n = (size_t)l->k * (size_t)(rp + p->ranks);
		for (int i = 0; i < l->n_slices; i++)
			n += (size_t)l->s[i].n * (size_t)(l->s[i].rank + inoci_up(l->s[i].rank, 16));
	}
	if (!(p->mem = inoci_big_alloc(n * 4, "what is added in f32", err))) {
		rc = INOC_E_MEMORY;
		goto out;
	}
	float *at = p->mem;
	if (c->native) {
		p->fwd.q = at;
		p->bwd.q = at + fwd;
		return 0;
	}
	p->p = at, at += (size_t)l->k * (size_t)rp;
	p->a = at, at += (size_t)l->k * (size_t)p->ranks;
	for (int i = 0; i < l->n_slices; i++) {
		p->bt[i] = at, at += (size_t)l->s[i].n * (size_t)l->s[i].rank;
		p->b[i] = at, at += (size_t)l->s[i].n * (size_t)inoci_up(l->s[i].rank, 16);
	}
	return 0;
out:
	lora_unpack(l);
	return inoci_err_prefix(err, "the adapter's working copy");
}

static void pack_slice(inoci_packed_lora *p, const inoci_lora *l, const inoci_lora_slice *s, int i, int r0)
{
	int bp = inoci_up(s->rank, 16), rp = inoci_up(p->ranks, 16);
	memcpy(p->a + (size_t)r0 * (size_t)l->k, s->a, (size_t)s->rank * (size_t)l->k * 4);
	for (int r = 0; r < s->rank; r++) {
		for (int k = 0; k < l->k; k++)
			p->p[(size_t)k * (size_t)rp + (size_t)(r0 + r)] = s->a[(size_t)r * (size_t)l->k + (size_t)k];
		for (int n = 0; n < s->n; n++) {
			float v = s->scale * s->b[(size_t)n * (size_t)s->rank + (size_t)r];
			p->bt[i][(size_t)r * (size_t)s->n + (size_t)n] = v;
			p->b[i][(size_t)n * (size_t)bp + (size_t)r] = v;
		}
	}
}

static void pack_one(inoci_cpu *c, const inoci_lora *l)
{
	inoci_packed_lora *p = l->packed;
	for (int i = 0, r0 = 0; i < l->n_slices; r0 += l->s[i++].rank) {
		const inoci_lora_slice *s = &l->s[i];
		if (!c->native) {
			pack_slice(p, l, s, i, r0);
			continue;
		}
		inoci_panels_fill(p->a_panels, s->a, r0, s->rank, l->k, false);
		inoci_panels_fill(p->bt_panels[i], s->b, 0, s->rank, s->rank, true);
		for (int r = 0; r < s->rank; r++) {
			side_fill(&p->fwd, l->n, r0 + r, s->n0, s->n, s->b + r, (size_t)s->rank, s->scale);
			side_fill(&p->bwd, l->k, r0 + r, 0, l->k, s->a + (size_t)r * (size_t)l->k, 1, 1);
		}
	}
}

static int lora_pack(inoci_ops *o, inoci_lora *const *l, int n, inoc_err *err)
{
	inoci_cpu *c = (inoci_cpu *)o;
	int rc;
	for (int i = 0; i < n; i++)
		if (!l[i]->packed && (rc = lora_plan(c, l[i], err)) < 0) return rc;
#pragma omp parallel for schedule(dynamic)
	for (int i = 0; i < n; i++) pack_one(c, l[i]);
	return 0;
}

void inoci_cpu_lora_table(inoci_ops *o)
{
	o->lora_pack = lora_pack;
	o->lora_unpack = lora_unpack;
}
