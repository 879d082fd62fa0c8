/* Continuous batching over one KV store.
 *
 * The store's rows are handed out in pages. What all prompts of a group have in common (its `root`) is computed once; the rest of
 * a prompt that is sampled several times (`head`) is computed once for its samples; a sequence owns the rows from there on. A
 * step is one batch: a token of every sequence that is being sampled, and up to PREFILL tokens of prompts. A sequence that ends
 * is replaced at the next step.
 *
 * Invariants:
 *  1. A root's and a head's rows are computed before, or in the same batch as, any row that sees them; they are kept while a
 *     sequence holds them, a root's also while a head of it has rows.
 *  2. Where pages run out, the youngest sequence gives up its rows and computes them again later (its tokens and random numbers
 *     stay): the oldest always gets on, since the store holds at least the largest sequence alone. Results are the same
 *     because a row's numbers do not depend on the batch it is computed in.
 *  3. No allocation in a step, but for text that grows.
 */
#include <string.h>

#include "sample/batch.h"

#ifdef _OPENMP
#include <omp.h>
#endif

/* ---- pages ---- */

static void rows_drop(struct sampler *s, struct rows *r)
{
	while (r->n_pages) s->free_pages[s->n_free++] = r->pages[--r->n_pages];
	r->fed = r->from;
}

static void unhold(struct seq *q)
{
	if (q->holding && q->head) q->head->refs--;
	q->group->root.refs -= q->holding;
	q->holding = false;
}

static struct head *idle_head(const struct sampler *s)
{
	for (int i = 0; i < s->n_slots + 1; i++)
		if (!s->heads[i].refs && s->heads[i].r.n_pages) return &s->heads[i];
	for (int i = 0; i < s->n_groups; i++)
		if (!s->groups[i].root.refs && s->groups[i].root.r.n_pages) return &s->groups[i].root;
	return NULL;
}

/* A free page, taken if need be from an idle head or root, then from the youngest sequence after number `age` in the order; -1:
 * none. */
static int take_page(struct sampler *s, int age)
{
	while (!s->n_free) {
		struct head *idle = idle_head(s);
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
		struct head *h = q->head, *root = &q->group->root;
		const inoci_prompt *p = &s->prompts[q->prompt];
		if (!q->holding) {
			/* Waits for all its tokens' pages and one for each older one to grow into: else it would soon give them
			 * up. */
			if (age && s->n_free < pages_of(q->n - root->r.fed) + 1 + age) continue;
			q->holding = true;
			root->refs++;
			if (h) h->refs++;
		}
		if (!feed_shared(s, &root->r, p, root->to, age, &budget)) continue;
		if (h) {
			if (h->r.fed == h->r.from) memcpy(h->r.key_rows, root->r.key_rows, (size_t)root->to * sizeof(int32_t));
			if (!feed_shared(s, &h->r, p, h->to, age, &budget)) continue;
		}
		if (q->r.fed == q->r.from)
			memcpy(q->r.key_rows, h ? h->r.key_rows : root->r.key_rows, (size_t)q->r.from * sizeof(int32_t));
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
	int root_to = s->groups[s->group_of[prompt]].root.to;
	if (count_of(s, prompt) < 2 || p->n - 1 <= root_to) return NULL;
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
	empty->r.from = empty->r.fed = root_to;
	return empty;
}

static void admit(struct sampler *s)
{
	while (s->n_live < s->n_slots && s->next_prompt < s->n_prompts) {
		struct seq *q = &s->seqs[s->order[s->n_live++]];
		const inoci_prompt *p = &s->prompts[s->next_prompt];
		q->prompt = q->out.prompt = s->next_prompt;
		q->group = &s->groups[s->group_of[s->next_prompt]];
		const inoci_sample_settings *t = &q->group->plan.s;
		q->out.index = p->first_index + s->next_index;
		q->head = head_for(s, s->next_prompt);
		q->r.from = q->r.fed = q->head ? q->head->to : q->group->root.to;
		q->n = p->n;
		q->max_new = s->m->hp.context - p->n < t->max_tokens ? s->m->hp.context - p->n : t->max_tokens;
		q->out.n_ids = 0;
		q->sent = 0;
		inoci_buf_clear(&q->text);
		q->rng = inoci_rng_new(t->seed, "sample", p->key, (uint64_t)q->out.index);
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
	if (--q->group->root.left == 0) rows_drop(s, &q->group->root.r);
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
	const inoci_sample_settings *t = &q->group->plan.s;
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
		cut = q->text.len > old ? inoci_stop_find(t, q->text.data, q->text.len, old) : SIZE_MAX;
		see(q, id);
	}
	if (!ended && cut == SIZE_MAX && q->out.n_ids < q->max_new) {
		if (!s->stream || q->text.len == old) return 0;
		return stream(s, q, inoci_text_certain(t, q->text.data, q->text.len), err);
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
	inoci_sample_speed *v = s->settings->speed;
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
	size_t V = (size_t)s->m->hp.vocab;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic) num_threads(s->n_pickers) if (s->n_rows > 1)
#endif
	for (int i = 0; i < s->n_rows; i++) {
		struct seq *q = &s->seqs[s->row_seq[i]];
		const inoci_pick_plan *plan = &q->group->plan;
		size_t K = (size_t)plan->s.top_logprobs;
		int at = q->out.n_ids, thread = 0;
#ifdef _OPENMP
		thread = omp_get_thread_num();
#endif
		double u = inoci_rng_uniform(&q->rng);
		s->picked[i] = inoci_pick(s->pickers[thread], plan, s->logits + (size_t)i * V, q->seen, q->n_seen, u,
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
	struct sampler s = {.m = m,
	                    .adapter = a,
	                    .prompts = prompts,
	                    .n_prompts = n_prompts,
	                    .settings = settings,
	                    .f = f,
	                    .stream = stream_fn,
	                    .ctx = ctx};
	int rc, ends[2] = {m->tmpl ? inoci_template_end_of_turn(m->tmpl) : -1, inoci_tok_eos(m->tok)};
	for (int i = 0; i < 2; i++)
		if (ends[i] >= 0 && (!i || ends[i] != ends[0])) s.ends[s.n_ends++] = ends[i];
	INOC_TRY(inoci_sampler_init(&s, err));
	if (!s.total) goto out;
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
	inoci_sampler_free(&s);
	return rc;
}
