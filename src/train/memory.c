/* The memory of a run: predicted from the micro-batches that it will make, and what is kept for the backward chosen by it. */
#include <math.h>
#include <stdlib.h>

#include "train/internal.h"

#define LOOK 200000                /* examples that are looked at: a longer run's rest is like them */
#define SPARE ((double)(96 << 20)) /* left for others when more than the least is kept */

static void take_greater(inoci_cut *most, const inoci_cut *cut)
{
	if (cut->tokens > most->tokens) most->tokens = cut->tokens;
	if (cut->targets > most->targets) most->targets = cut->targets;
	if (cut->above > most->above) most->above = cut->above;
	if (cut->stem > most->stem) most->stem = cut->stem;
	if (cut->n > most->n) most->n = cut->n;
}

/* The micro-batches of a step whose examples have a stem. */
static void cuts_behind_stem(const inoci_forest *f, int micro_tokens, inoci_cut *most)
{
	for (size_t i = 0; i < f->n;) {
		inoci_cut cut = {.stem = f->stem.T};
		cut.n = inoci_forest_cut(f, i, micro_tokens, &cut.tokens);
		for (size_t end = i + cut.n; i < end; i++) {
			const inoci_leaf *l = &f->leaves[i];
			cut.above += inoci_attn_above(l->from, inoci_pack_needed(l->x) - l->from);
			for (int k = 1; k < l->x->n; k++) cut.targets += l->x->loss[k] != 0;
		}
		take_greater(most, &cut);
	}
}

/* The greatest micro-batch, by going through the run's steps as the loop will. */
static inoci_cut greatest(const inoci_examples *e, const inoci_train_config *c, bool share, int steps)
{
	inoci_cut most = {0};
	inoci_forest f = {0};
	int32_t *order = inoci_alloc(e->n * sizeof *order);
	inoci_packed *v = inoci_alloc((size_t)c->batch * sizeof *v);
	long epoch = -1, total = c->steps ? (long)steps * c->batch : lround(c->epochs * (double)e->n), end = total;
	if (end > LOOK) end = LOOK;
	for (long i = 0, n; i < end; i += n) {
		n = total - i < c->batch ? total - i : c->batch;
		for (long k = 0; k < n; k++) {
			if ((i + k) / (long)e->n != epoch) inoci_order(c->seed, epoch = (i + k) / (long)e->n, order, e->n);
			v[k] = (inoci_packed){&e->v[order[(i + k) % (long)e->n]], (size_t)k};
		}
		if (share) inoci_forest_make(&f, v, (size_t)n);
		if (share && inoci_forest_pays(&f, c->micro_tokens, e->max_len)) {
			cuts_behind_stem(&f, c->micro_tokens, &most);
			continue;
		}
		inoci_cut cut;
		for (long k = 0; k < n; k += (long)cut.n) {
			cut = inoci_pack_cut(v + k, (size_t)(n - k), share, c->micro_tokens);
			take_greater(&most, &cut);
		}
	}
	inoci_forest_free(&f);
	free(order), free(v);
	return most;
}

/* What training takes beyond what the process holds. */
static double to_come(const inoci_model *m, const inoci_adapter *a, const inoci_train_config *c, const inoci_cut *most,
                      int longest, inoci_keep keep)
{
	const inoci_hparams *h = &m->hp;
	inoci_ops *o = m->ops;
	int Q = h->n_heads * h->head_dim, qkv = Q + 2 * h->n_kv_heads * h->head_dim, wide = 2 * h->ff > qkv ? 2 * h->ff : qkv;
	inoci_scratch_need s = {.tokens = most->tokens > most->stem ? most->tokens : most->stem,
	                        .targets = most->targets,
	                        .widest = wide,
	                        .converted = qkv > h->width ? qkv : h->width,
	                        .inputs = h->ff > h->width ? h->ff : h->width,
	                        .vocab = h->vocab,
	                        .ranks = INOCI_LORA_SLICES * a->cfg.rank,
	                        .dropout = a->cfg.dropout > 0,
	                        .keys = longest,
	                        .head_dim = h->head_dim,
	                        .ancestors = most->above * (size_t)(h->n_kv_heads * h->head_dim)};
	double params = (double)a->n_params * sizeof(float) * ((a->grads ? 0 : 1) + 2 + (c->patience ? 1 : 0));
	return params + (double)o->scratch_bytes(o, &s) +
	       (double)inoci_loss_bytes(h, o->real_bytes, o->act_bytes, &a->cfg, most->tokens, most->stem, most->targets, keep);
}

int inoci_memory_plan_make(const inoci_model *m, const inoci_adapter *a, const inoci_examples *train, const inoci_train_config *c,
                           int steps, inoci_memory_plan *p, inoc_err *err)
{
	double before = (double)inoci_rss_peak_bytes();
	*p = (inoci_memory_plan){.most = greatest(train, c, c->share && !(a->cfg.dropout > 0), steps),
	                         .now = (double)inoci_rss_bytes()};
	p->have = (double)inoci_mem_available_beside(inoci_model_mapped_bytes(m));
	int first = c->keep == INOCI_KEEP_FITS ? INOCI_KEEP_ALL : c->keep,
	    last = c->keep == INOCI_KEEP_FITS ? INOCI_KEEP_LEAST : c->keep;
	for (int k = first; k <= last; k++) {
		p->keep = (inoci_keep)k;
		p->more = to_come(m, a, c, &p->most, train->max_len, p->keep);
		if (p->more + (k < INOCI_KEEP_LEAST ? SPARE : 0) <= p->have) break;
	}
	p->peak = p->now + p->more > before ? p->now + p->more : before;
	if (p->more <= p->have) return 0;
	return inoci_err_set(
	        err, INOC_E_MEMORY,
	        "training needs about %.0f MiB more (%.0f in all) for %d tokens at once%s, %.0f MiB are available: "
	        "lower micro_tokens (now %d), shorten the longest example (%d tokens), lower the rank (now %d) or use a "
	        "smaller model",
	        p->more / 0x1p20, (p->now + p->more) / 0x1p20, p->most.tokens,
	        p->keep == INOCI_KEEP_LEAST ? ", with all recomputed that can be" : "", p->have / 0x1p20, c->micro_tokens,
	        train->max_len, a->cfg.rank);
}

char *inoci_memory_plan_text(const inoci_memory_plan *p)
{
	static const char *const how[] = {"all activations are kept for the backward",
	                                  "gate and up are computed again in the backward",
	                                  "layers are computed again in the backward"};
	return inoci_asprintf(
	        "memory: about %.0f MiB at most (%.0f now), %.0f MiB more are available; up to %d tokens at once, %s",
	        p->peak / 0x1p20, p->now / 0x1p20, p->have / 0x1p20, p->most.tokens, how[p->keep]);
}
