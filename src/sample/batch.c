/* Continuous batching over one KV store.
 *
 * The store's rows are handed out in pages. What all prompts of a call have in common (`root`) is computed once; the rest of a
 * prompt that is sampled several times (`head`) is computed once for its samples; a sequence owns the rows from there on. A step
 * is one batch: a token of every sequence that is being sampled, and up to PREFILL tokens of prompts. A sequence that ends is
 * replaced at the next step.
 *
 * Invariants:
 *  1. A head's rows are computed before, or in the same batch as, any row that sees them.
 *  2. Where pages run out, the youngest sequence gives up its rows and computes them again later (its tokens and random numbers
 *     stay): the oldest always gets on, since the store holds at least the largest sequence alone. Results are the same
 *     because a row's numbers do not depend on the batch it is computed in.
 *  3. No allocation in a step, but for text that grows.
 */
#include <stdlib.h>
#include <string.h>

#include "sample/internal.h"

#ifdef _OPENMP
#include <omp.h>
#endif

enum { PAGE = 16, PREFILL = 512, SLOTS = 64 };
#define OTHER_BYTES ((size_t)192 << 20) /* left to activations, logits and generated code */
#define KV_BYTES ((size_t)1 << 30)      /* of a store whose size is chosen here, unless one sequence needs more */

/* A run of computed rows: positions [from, fed), in pages of its own. */
struct rows {
	int from, fed;
	int32_t *key_rows; /* (position): those of its ancestors too */
	int32_t *pages;
	int n_pages;
};

struct head {
	struct rows r;
	size_t prompt;
	int to;   /* its end */
	int left; /* samples of the prompt that have not ended; 0: the head is free */
	int refs; /* sequences that hold rows behind it */
};

struct seq {
	struct rows r;
	size_t prompt;
	struct head *head; /* or NULL: right behind the root */
	bool holding;      /* counted in head->refs */
	int n, max_new;    /* known tokens, prompt and sampled; most that may be sampled */
	inoci_sampled out;
	inoci_buf text;
	size_t sent; /* bytes streamed */
	inoci_rng rng;
	int32_t *seen; /* distinct tokens so far, for the repetition penalty */
	uint8_t *seen_bit;
	int n_seen;
};

struct sampler {
	inoci_model *m;
	inoci_adapter *adapter;
	const inoci_prompt *prompts;
	size_t n_prompts;
	inoci_pick_plan plan;
	int32_t ends[2];
	int n_ends;
	inoci_sampled_fn *f;
	inoci_token_fn *stream;
	void *ctx;

	inoci_kv *kv;
	int n_pages, *free_pages, n_free;
	struct rows root;
	int root_to;
	struct head *heads;
	struct seq *seqs;
	int n_slots;
	int *order, n_live; /* indices of living sequences, oldest first; behind them the free ones */

	size_t next_prompt; /* what is admitted next */
	int next_index;
	size_t done, total;
	double n_tokens;

	inoci_batch b;
	inoci_workspace *w;
	int32_t *kv_rows, *rows;
	int *row_seq, n_rows, n_prefill; /* n_prefill: of the batch's tokens, those of prompts */
	float *logits;
	inoci_picker **pickers;
	int n_pickers;
	int32_t *picked; /* parallel to rows */
};

static int count_of(const struct sampler *s, size_t p)
{
	return s->prompts[p].count ? s->prompts[p].count : s->plan.s.n;
}

/* ---- pages ---- */

static int pages_of(int n)
{
	return (n + PAGE - 1) / PAGE;
}

static void rows_drop(struct sampler *s, struct rows *r)
{
	while (r->n_pages) s->free_pages[s->n_free++] = r->pages[--r->n_pages];
	r->fed = r->from;
}

static void unhold(struct seq *q)
{
	if (q->holding && q->head) q->head->refs--;
	q->holding = false;
}

/* A free page, taken if need be from an idle head, then from the youngest sequence after number `age` in the order; -1: none. */
static int take_page(struct sampler *s, int age)
{
	while (!s->n_free) {
		struct head *idle = NULL;
		for (int i = 0; i < s->n_slots + 1 && !idle; i++)
			if (!s->heads[i].refs && s->heads[i].r.n_pages) idle = &s->heads[i];
		if (idle) {
			rows_drop(s, &idle->r);
			continue;
		}
		int i = s->n_live - 1;
		while (i > age && !s->seqs[s->order[i]].holding) i--;
		if (i <= age) return -1;
		rows_drop(s, &s->seqs[s->order[i]].r);
		unhold(&s->seqs[s->order[i]]);
	}
	return s->free_pages[--s->n_free];
}

/* Makes room for up to `want` more rows; returns for how many there is room. */
static int rows_room(struct sampler *s, struct rows *r, int want, int age)
{
	int have;
	while ((have = r->from + r->n_pages * PAGE - r->fed) < want) {
		int page = take_page(s, age);
		if (page < 0) return have;
		r->pages[r->n_pages++] = page;
	}
	return want;
}

/* ---- building a step's batch ---- */

/* Appends positions [r->fed, r->fed + n) as a segment. */
static void add_segment(struct sampler *s, struct rows *r, const inoci_prompt *p, const int32_t *sampled, int n)
{
	inoci_batch *b = &s->b;
	b->segs[b->n_segs] = (inoci_seg){.start = b->T, .len = n, .pos0 = r->fed, .key_rows = r->key_rows, .tree = b->n_segs};
	b->n_segs++;
	for (int i = 0; i < n; i++, r->fed++, b->T++) {
		int pos = r->fed, own = pos - r->from;
		r->key_rows[pos] = r->pages[own / PAGE] * PAGE + own % PAGE;
		b->ids[b->T] = pos < p->n ? p->ids[pos] : sampled[pos - p->n];
		s->n_prefill += pos < p->n;
		b->pos[b->T] = pos;
		s->kv_rows[b->T] = r->key_rows[pos];
	}
}

/* Prefills shared rows up to `to`, within the budget; false while not all of them are in. */
static bool feed_shared(struct sampler *s, struct rows *r, const inoci_prompt *p, int to, int age, int *budget)
{
	int n = to - r->fed < *budget ? to - r->fed : *budget;
	if (n > 0 && (n = rows_room(s, r, n, age)) > 0) {
		add_segment(s, r, p, NULL, n);
		*budget -= n;
	}
	return r->fed == to;
}

static void build_step(struct sampler *s)
{
	int budget = PREFILL;
	inoci_batch_reset(&s->b);
	s->n_rows = s->n_prefill = 0;
	for (int age = 0; age < s->n_live; age++) {
		struct seq *q = &s->seqs[s->order[age]];
		struct head *h = q->head;
		const inoci_prompt *p = &s->prompts[q->prompt];
		if (!feed_shared(s, &s->root, p, s->root_to, age, &budget)) return;
		if (!q->holding) {
			/* Waits for all its tokens' pages and one for each older one to grow into: else it would soon give them
			 * up. */
			if (age && s->n_free < pages_of(q->n - s->root_to) + 1 + age) continue;
			q->holding = true;
			if (h) h->refs++;
		}
		if (h) {
			if (h->r.fed == h->r.from) memcpy(h->r.key_rows, s->root.key_rows, (size_t)s->root_to * sizeof(int32_t));
			if (!feed_shared(s, &h->r, p, h->to, age, &budget)) continue;
		}
		if (q->r.fed == q->r.from)
			memcpy(q->r.key_rows, h ? h->r.key_rows : s->root.key_rows, (size_t)q->r.from * sizeof(int32_t));
		int left = q->n - q->r.fed, n = left;
		if (left > 1 && n > budget) n = budget;
		if (!n || !(n = rows_room(s, &q->r, n, age))) continue;
		if (left > 1) budget -= n;
		add_segment(s, &q->r, p, q->out.ids, n);
		if (n < left) continue;
		s->rows[s->n_rows] = s->b.T - 1;
		s->row_seq[s->n_rows++] = s->order[age];
	}
}

/* ---- sequences ---- */

static void see(struct seq *q, int32_t id)
{
	if (!q->seen_bit || (q->seen_bit[id / 8] >> (id % 8) & 1)) return;
	q->seen_bit[id / 8] |= (uint8_t)(1 << (id % 8));
	q->seen[q->n_seen++] = id;
}

static struct head *head_for(struct sampler *s, size_t prompt)
{
	const inoci_prompt *p = &s->prompts[prompt];
	if (count_of(s, prompt) < 2 || p->n - 1 <= s->root_to) return NULL;
	struct head *empty = NULL;
	for (int i = 0; i < s->n_slots + 1; i++) {
		struct head *h = &s->heads[i];
		if (h->left && h->prompt == prompt) return h;
		if (!h->left && !empty) empty = h;
	}
	/* A prompt's samples are admitted one after the other, so no more heads live than sequences. */
	INOC_BUG_IF(!empty);
	empty->prompt = prompt;
	empty->left = count_of(s, prompt);
	empty->to = p->n - 1;
	empty->r.from = empty->r.fed = s->root_to;
	return empty;
}

static void admit(struct sampler *s)
{
	while (s->n_live < s->n_slots && s->next_prompt < s->n_prompts) {
		struct seq *q = &s->seqs[s->order[s->n_live++]];
		const inoci_prompt *p = &s->prompts[s->next_prompt];
		q->prompt = q->out.prompt = s->next_prompt;
		q->out.index = p->first_index + s->next_index;
		q->head = head_for(s, s->next_prompt);
		q->r.from = q->r.fed = q->head ? q->head->to : s->root_to;
		q->n = p->n;
		q->max_new = s->m->hp.context - p->n < s->plan.s.max_tokens ? s->m->hp.context - p->n : s->plan.s.max_tokens;
		q->out.n_ids = 0;
		q->sent = 0;
		inoci_buf_clear(&q->text);
		q->rng = inoci_rng_new(s->plan.s.seed, "sample", p->key, (uint64_t)q->out.index);
		while (q->n_seen) q->seen_bit[q->seen[--q->n_seen] / 8] = 0;
		for (int i = 0; i < p->n; i++) see(q, p->ids[i]);
		if (++s->next_index == count_of(s, s->next_prompt)) s->next_index = 0, s->next_prompt++;
	}
}

static int stream(struct sampler *s, struct seq *q, size_t upto, inoc_err *err)
{
	if (!s->stream || upto <= q->sent) return 0;
	int rc = s->stream(s->ctx, q->prompt, q->out.index, q->text.data + q->sent, upto - q->sent);
	q->sent = upto;
	return rc < 0 ? inoci_err_set(err, rc, "who reads the stream of prompt %zu stopped it", q->prompt) : 0;
}

static void retire(struct sampler *s, int slot)
{
	struct seq *q = &s->seqs[slot];
	rows_drop(s, &q->r);
	unhold(q);
	if (q->head && --q->head->left == 0) rows_drop(s, &q->head->r);
	int i = 0;
	while (s->order[i] != slot) i++;
	s->n_live--;
	memmove(s->order + i, s->order + i + 1, (size_t)(s->n_live - i) * sizeof *s->order);
	s->order[s->n_live] = slot;
	s->done++;
}

/* Takes in a drawn token; delivers the sample when it is the last. */
static int take(struct sampler *s, int slot, int32_t id, inoc_err *err)
{
	struct seq *q = &s->seqs[slot];
	bool ended = false;
	size_t old = q->text.len, cut = SIZE_MAX;
	q->out.ids[q->out.n_ids++] = id;
	q->n++;
	s->n_tokens++;
	for (int e = 0; e < s->n_ends; e++) ended = ended || s->ends[e] == id;
	if (!ended) {
		size_t n;
		const char *bytes = inoci_tok_bytes(s->m->tok, id, &n);
		if (!inoci_tok_is_special(s->m->tok, id)) inoci_buf_append(&q->text, bytes, n);
		cut = q->text.len > old ? inoci_stop_find(&s->plan.s, q->text.data, q->text.len, old) : SIZE_MAX;
		see(q, id);
	}
	if (!ended && cut == SIZE_MAX && q->out.n_ids < q->max_new) {
		if (!s->stream || q->text.len == old) return 0;
		return stream(s, q, inoci_text_certain(&s->plan.s, q->text.data, q->text.len), err);
	}
	q->out.end = ended ? INOCI_END_STOP : cut != SIZE_MAX ? INOCI_END_STOP_STRING : INOCI_END_LENGTH;
	if (cut != SIZE_MAX) {
		q->text.len = cut;
		q->text.data[cut] = 0;
	}
	inoci_buf_append(&q->text, "", 0);
	int rc = stream(s, q, q->text.len, err);
	if (rc < 0) return rc;
	q->out.text = q->text.data;
	q->out.text_n = q->text.len;
	rc = s->f ? s->f(s->ctx, &q->out, err) : 0;
	q->out.text = NULL;
	retire(s, slot);
	return rc;
}

static void clock_step(const struct sampler *s, double seconds)
{
	inoci_sample_speed *v = s->plan.s.speed;
	if (v && s->n_prefill) {
		v->prefill_tokens += s->n_prefill;
		v->prefill_s += seconds;
	} else if (v && s->n_rows == s->n_slots && s->b.T == s->n_rows) {
		v->decode_tokens += s->n_rows;
		v->decode_s += seconds;
	}
}

static int step(struct sampler *s, inoc_err *err)
{
	double start = inoci_now_s();
	build_step(s);
	INOC_BUG_IF(!s->b.T);
	int rc = inoci_model_infer(s->m, s->adapter, &s->b, s->kv, s->kv_rows, s->w, s->rows, s->n_rows, s->logits, err);
	if (rc < 0) return rc;
	size_t V = (size_t)s->plan.vocab, K = (size_t)s->plan.s.top_logprobs;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic) num_threads(s->n_pickers) if (s->n_rows > 1)
#endif
	for (int i = 0; i < s->n_rows; i++) {
		struct seq *q = &s->seqs[s->row_seq[i]];
		int at = q->out.n_ids, thread = 0;
#ifdef _OPENMP
		thread = omp_get_thread_num();
#endif
		double u = inoci_rng_uniform(&q->rng);
		s->picked[i] = inoci_pick(s->pickers[thread], &s->plan, s->logits + (size_t)i * V, q->seen, q->n_seen, u,
		                          &q->out.logprob[at], K ? q->out.top_ids + (size_t)at * K : NULL,
		                          K ? q->out.top_logprob + (size_t)at * K : NULL);
	}
	for (int i = 0; i < s->n_rows; i++) {
		if (s->picked[i] < 0)
			return inoci_err_set(
			        err, INOC_E_FORMAT,
			        "the model's logits for prompt %zu are not finite numbers; check the model and the adapter",
			        s->seqs[s->row_seq[i]].prompt);
		if ((rc = take(s, s->row_seq[i], s->picked[i], err)) < 0) return rc;
	}
	clock_step(s, inoci_now_s() - start);
	return 0;
}

/* ---- setting up ---- */

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
		int same = i ? s->root_to : p->n - 1, end = p->n - 1 < same ? p->n - 1 : same;
		for (same = 0; same < end && p->ids[same] == s->prompts[0].ids[same];) same++;
		s->root_to = same;
	}
	return 0;
}

/* The store's size: enough for all slots at their longest, or what memory allows. */
static int make_store(struct sampler *s, inoc_err *err)
{
	int root = pages_of(s->root_to), most = 0;
	for (size_t i = 0; i < s->n_prompts; i++) {
		const inoci_prompt *p = &s->prompts[i];
		int room = s->m->hp.context - p->n, new = room < s->plan.s.max_tokens ? room : s->plan.s.max_tokens;
		int pages = pages_of(p->n - s->root_to) + pages_of(new) + 1;
		if (pages > most) most = pages;
	}
	size_t page_bytes = inoci_kv_bytes(s->m, 1024 * PAGE) / 1024, free_bytes = inoci_mem_available_bytes();
	size_t available = free_bytes > OTHER_BYTES ? (free_bytes - OTHER_BYTES) / 2 : 0;
	size_t least = (size_t)(root + most), want = (size_t)root + (size_t)most * (size_t)s->n_slots, can;
	if (s->plan.s.max_kv_rows) {
		can = (size_t)s->plan.s.max_kv_rows / PAGE;
		if (can < least)
			return inoci_err_set(err, INOC_E_MEMORY,
			                     "max_kv_rows is %d; the longest prompt and its response need %zu rows (%.0f MiB)",
			                     s->plan.s.max_kv_rows, least * PAGE, (double)(least * page_bytes) / 0x1p20);
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
	const inoci_sample_settings *t = &s->plan.s;
	size_t N = (size_t)s->n_slots, V = (size_t)s->plan.vocab, longest = 0, K = (size_t)t->top_logprobs;
	for (size_t i = 0; i < s->n_prompts; i++)
		if ((size_t)s->prompts[i].n > longest) longest = (size_t)s->prompts[i].n;
	size_t new = (size_t)(t->max_tokens < s->m->hp.context ? t->max_tokens : s->m->hp.context), cap = longest + new;
	rows_alloc(&s->root, longest);
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
		if (t->repetition_penalty != 1) {
			q->seen = inoci_alloc((cap < V ? cap : V) * sizeof *q->seen);
			q->seen_bit = inoci_alloc(V / 8 + 1);
		}
	}
	size_t T = PREFILL + N;
	s->b.ids = inoci_alloc(T * sizeof(int32_t));
	s->b.pos = inoci_alloc(T * sizeof(int32_t));
	s->b.segs = inoci_alloc((2 * N + 1) * sizeof *s->b.segs);
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
	for (int i = 0; i < s->n_pickers; i++) s->pickers[i] = inoci_picker_new(s->plan.vocab);
	s->w = inoci_workspace_new();
	s->logits = inoci_big_room(N * V * sizeof *s->logits, "logits", err);
	return s->logits ? 0 : INOC_E_MEMORY;
}

static void rows_free(struct rows *r)
{
	free(r->key_rows);
	free(r->pages);
}

static void sampler_free(struct sampler *s)
{
	rows_free(&s->root);
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
	inoci_pick_plan_free(&s->plan);
}

static void tick(const struct sampler *s, const inoci_progress *progress, double start, double *last)
{
	double now = inoci_now_s();
	if (now - *last < 0.1 && s->done < s->total) return;
	char detail[48];
	*last = now;
	snprintf(detail, sizeof detail, "%.0f tokens/s", now > start ? s->n_tokens / (now - start) : 0);
	inoci_tick(progress, "sample", (double)s->done, (double)s->total, "samples", detail);
}

int inoci_sample(inoci_model *m, inoci_adapter *a, const inoci_prompt *prompts, size_t n_prompts,
                 const inoci_sample_settings *settings, inoci_sampled_fn *f, inoci_token_fn *stream_fn, void *ctx,
                 const inoci_progress *progress, inoc_err *err)
{
	struct sampler s = {
	        .m = m, .adapter = a, .prompts = prompts, .n_prompts = n_prompts, .f = f, .stream = stream_fn, .ctx = ctx};
	int rc, ends[2] = {m->tmpl ? inoci_template_end_of_turn(m->tmpl) : -1, inoci_tok_eos(m->tok)};
	for (int i = 0; i < 2; i++)
		if (ends[i] >= 0 && (!i || ends[i] != ends[0])) s.ends[s.n_ends++] = ends[i];
	INOC_TRY(inoci_pick_plan_init(settings, m->tok, m->hp.vocab, s.ends, s.n_ends, &s.plan, err));
	INOC_TRY(check_prompts(&s, err));
	if (!s.total) goto out;
	size_t slots = settings->max_batch ? (size_t)settings->max_batch : SLOTS;
	s.n_slots = (int)(slots < s.total ? slots : s.total);
	INOC_TRY(make_store(&s, err));
	INOC_TRY(make_slots(&s, err));
	double start = inoci_now_s(), last = 0;
	while (s.done < s.total) {
		tick(&s, progress, start, &last);
		if (inoci_stopped(progress)) {
			rc = inoci_err_set(err, INOC_E_STOPPED, "stopped after %zu of %zu samples", s.done, s.total);
			goto out;
		}
		admit(&s);
		INOC_TRY(step(&s, err));
	}
	tick(&s, progress, start, &last);
out:
	sampler_free(&s);
	return rc;
}
