/* The sampler's memory: groups of prompts, the KV store, slots. */
#include <stdlib.h>

#include "sample/batch.h"

#define OTHER_BYTES ((size_t)192 << 20) /* left to activations, logits and generated code */
#define KV_BYTES ((size_t)1 << 30)      /* of a store whose size is chosen here, unless one sequence needs more */

static int check_prompts(struct sampler *s, inoc_err *err)
{
	const inoci_hparams *hp = &s->m->hp;
	for (size_t i = 0; i < s->n_prompts; i++) {
		const inoci_prompt *p = &s->prompts[i];
		if (p->n < 1) return inoci_err_set(err, INOC_E_USAGE, "prompt %zu has no tokens", i);
		if (p->n > hp->context - 1)
			return inoci_err_set(
			        err, INOC_E_LIMIT,
			        "prompt %zu has %d tokens; the model's context of %d leaves no room for a response (at most %d)",
			        i, p->n, hp->context, hp->context - 1);
		for (int t = 0; t < p->n; t++)
			if (p->ids[t] < 0 || p->ids[t] >= hp->vocab)
				return inoci_err_set(err, INOC_E_USAGE, "prompt %zu: token %d is id %d; the vocabulary has %d", i,
				                     t, p->ids[t], hp->vocab);
		if (p->count < 0 || p->first_index < 0)
			return inoci_err_set(err, INOC_E_USAGE, "prompt %zu: sample indices or their number are negative", i);
		s->total += (size_t)count_of(s, i);
		/* The last token is computed with each sample, for its logits. */
		struct head *root = &s->groups[s->group_of[i]].root;
		if (!root->left) root->prompt = i;
		int same = root->left ? root->to : p->n - 1, end = p->n - 1 < same ? p->n - 1 : same;
		for (same = 0; same < end && p->ids[same] == s->prompts[root->prompt].ids[same];) same++;
		root->to = same;
		root->left += count_of(s, i);
	}
	return 0;
}

static int make_groups(struct sampler *s, inoc_err *err)
{
	const inoci_sample_settings *last = NULL;
	s->groups = inoci_alloc((s->n_prompts + 1) * sizeof *s->groups);
	s->group_of = inoci_alloc((s->n_prompts + 1) * sizeof *s->group_of);
	for (size_t i = 0; i < s->n_prompts || !i; i++) {
		const inoci_sample_settings *t =
		        i < s->n_prompts && s->prompts[i].settings ? s->prompts[i].settings : s->settings;
		if (t != last) {
			int rc = inoci_pick_plan_init(t, s->m->tok, s->m->hp.vocab, s->ends, s->n_ends,
			                              &s->groups[s->n_groups++].plan, err);
			if (rc < 0) return rc;
		}
		last = t;
		s->group_of[i] = s->n_groups - 1;
	}
	return 0;
}

/* The store's size: enough for all slots at their longest, or what memory allows. */
static int make_store(struct sampler *s, inoc_err *err)
{
	int root = 0, most = 0, largest = 0;
	for (size_t i = 0; i < s->n_prompts; i++) {
		const inoci_prompt *p = &s->prompts[i];
		const struct group *g = &s->groups[s->group_of[i]];
		int room = s->m->hp.context - p->n, new = room < g->plan.s.max_tokens ? room : g->plan.s.max_tokens;
		int shared = pages_of(g->root.to), pages = pages_of(p->n - g->root.to) + pages_of(new) + 1;
		if (shared > root) root = shared;
		if (pages > most) most = pages;
		if (shared + pages > largest) largest = shared + pages;
	}
	size_t page_bytes = inoci_kv_bytes(s->m, 1024 * PAGE) / 1024, free_bytes = inoci_mem_available_bytes();
	size_t available = free_bytes > OTHER_BYTES ? (free_bytes - OTHER_BYTES) / 2 : 0;
	size_t least = (size_t)largest, roots = (size_t)root * (size_t)(s->n_groups < s->n_slots ? s->n_groups : s->n_slots), can;
	int max_rows = s->settings->max_kv_rows;
	if (max_rows) {
		can = (size_t)max_rows / PAGE;
		if (can < least)
			return inoci_err_set(err, INOC_E_MEMORY,
			                     "max_kv_rows is %d; the longest prompt and its response need %zu rows (%.0f MiB)",
			                     max_rows, least * PAGE, (double)(least * page_bytes) / 0x1p20);
	} else {
		can = (available < KV_BYTES ? available : KV_BYTES) / page_bytes;
		if (can < least) can = least;
		if (available < least * page_bytes)
			return inoci_err_set(
			        err, INOC_E_MEMORY,
			        "the KV store of one sequence of %zu tokens needs %.0f MiB, of which %.0f MiB can be had; lower "
			        "max_tokens or shorten the prompts",
			        least * PAGE, (double)(least * page_bytes) / 0x1p20, (double)available / 0x1p20);
	}
	/* more sequences than these are worth it only where all find room */
	size_t fit = can > roots ? (can - roots) / (size_t)most : 0;
	if (!s->settings->max_batch && s->n_slots > MIN_SLOTS && fit < (size_t)s->n_slots)
		s->n_slots = fit > MIN_SLOTS ? (int)fit : MIN_SLOTS;
	size_t want = roots + (size_t)most * (size_t)s->n_slots;
	if (want > can) want = can;
	if (want > (size_t)(INT32_MAX / PAGE)) want = (size_t)(INT32_MAX / PAGE);
	int rc;
	while ((rc = inoci_kv_new(s->m, (int)want * PAGE, &s->kv, err)) == INOC_E_MEMORY && want > least)
		want = want / 2 > least ? want / 2 : least;
	if (rc < 0) return inoci_err_prefix(err, "sampling at most %zu tokens at a time", least * PAGE);
	s->n_pages = (int)want;
	s->free_pages = inoci_alloc(want * sizeof *s->free_pages);
	while (s->n_free < s->n_pages) s->free_pages[s->n_free] = s->n_pages - 1 - s->n_free, s->n_free++;
	return 0;
}

static void rows_alloc(struct rows *r, size_t cap)
{
	r->key_rows = inoci_alloc(cap * sizeof *r->key_rows);
	r->pages = inoci_alloc((cap / PAGE + 1) * sizeof *r->pages);
}

static int make_slots(struct sampler *s, inoc_err *err)
{
	size_t N = (size_t)s->n_slots, V = (size_t)s->m->hp.vocab, longest = 0, new = 0, K = 0;
	bool penalty = false;
	for (size_t i = 0; i < s->n_prompts; i++)
		if ((size_t)s->prompts[i].n > longest) longest = (size_t)s->prompts[i].n;
	for (int i = 0; i < s->n_groups; i++) {
		const inoci_sample_settings *t = &s->groups[i].plan.s;
		size_t n = (size_t)(t->max_tokens < s->m->hp.context ? t->max_tokens : s->m->hp.context);
		if (n > new) new = n;
		if ((size_t)t->top_logprobs > K) K = (size_t)t->top_logprobs;
		penalty = penalty || t->repetition_penalty != 1;
		rows_alloc(&s->groups[i].root.r, (size_t)s->groups[i].root.to + 1);
	}
	size_t cap = longest + new;
	s->heads = inoci_alloc((N + 1) * sizeof *s->heads);
	for (size_t i = 0; i < N + 1; i++) rows_alloc(&s->heads[i].r, longest);
	s->seqs = inoci_alloc(N * sizeof *s->seqs);
	s->order = inoci_alloc(N * sizeof *s->order);
	for (size_t i = 0; i < N; i++) {
		struct seq *q = &s->seqs[i];
		s->order[i] = (int)i;
		rows_alloc(&q->r, cap);
		q->out.ids = inoci_alloc(new * sizeof *q->out.ids);
		q->out.logprob = inoci_alloc(new * sizeof *q->out.logprob);
		if (K) q->out.top_ids = inoci_alloc(new *K * sizeof *q->out.top_ids);
		if (K) q->out.top_logprob = inoci_alloc(new *K * sizeof *q->out.top_logprob);
		if (penalty) {
			q->seen = inoci_alloc((cap < V ? cap : V) * sizeof *q->seen);
			q->seen_bit = inoci_alloc(V / 8 + 1);
		}
	}
	size_t T = PREFILL + N;
	s->b.ids = inoci_alloc(T * sizeof(int32_t));
	s->b.pos = inoci_alloc(T * sizeof(int32_t));
	s->b.segs = inoci_alloc((3 * N + 1) * sizeof *s->b.segs);
	s->kv_rows = inoci_alloc(T * sizeof(int32_t));
	s->rows = inoci_alloc(N * sizeof(int32_t));
	s->row_seq = inoci_alloc(N * sizeof *s->row_seq);
	s->picked = inoci_alloc(N * sizeof *s->picked);
	s->n_pickers = 1;
#ifdef _OPENMP
	/* As many as the operations use: libgomp's pool is made anew when the number changes. */
	if (s->n_slots > 1 && s->m->ops->n_threads > 1) s->n_pickers = s->m->ops->n_threads;
#endif
	s->pickers = inoci_alloc((size_t)s->n_pickers * sizeof *s->pickers);
	for (int i = 0; i < s->n_pickers; i++) s->pickers[i] = inoci_picker_new(s->m->hp.vocab);
	s->w = inoci_workspace_new();
	s->logits = inoci_big_room(N * V * sizeof *s->logits, "logits", err);
	return s->logits ? 0 : INOC_E_MEMORY;
}

static void rows_free(struct rows *r)
{
	free(r->key_rows);
	free(r->pages);
}

void inoci_sampler_free(struct sampler *s)
{
	for (int i = 0; i < s->n_groups; i++) {
		rows_free(&s->groups[i].root.r);
		inoci_pick_plan_free(&s->groups[i].plan);
	}
	free(s->groups);
	free(s->group_of);
	for (int i = 0; s->heads && i < s->n_slots + 1; i++) rows_free(&s->heads[i].r);
	for (int i = 0; s->seqs && i < s->n_slots; i++) {
		rows_free(&s->seqs[i].r);
		inoci_sampled_free(&s->seqs[i].out);
		inoci_buf_free(&s->seqs[i].text);
		free(s->seqs[i].seen);
		free(s->seqs[i].seen_bit);
	}
	for (int i = 0; s->pickers && i < s->n_pickers; i++) inoci_picker_free(s->pickers[i]);
	free(s->pickers);
	free(s->heads);
	free(s->seqs);
	free(s->order);
	free(s->free_pages);
	inoci_batch_free(&s->b);
	free(s->kv_rows);
	free(s->rows);
	free(s->row_seq);
	free(s->picked);
	free(s->logits);
	inoci_workspace_free(s->w);
	inoci_kv_free(s->kv);
}

int inoci_sampler_init(struct sampler *s, inoc_err *err)
{
	int rc = make_groups(s, err);
	if (rc == 0) rc = check_prompts(s, err);
	if (rc < 0 || !s->total) return rc;
	size_t slots = s->settings->max_batch ? (size_t)s->settings->max_batch : MAX_SLOTS;
	s->n_slots = (int)(slots < s->total ? slots : s->total);
	rc = make_store(s, err);
	return rc < 0 ? rc : make_slots(s, err);
}
