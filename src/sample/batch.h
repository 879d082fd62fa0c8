/* The sampler's state, from when its prompts are checked until it is freed. */
#ifndef INOCI_SAMPLE_BATCH_H
#define INOCI_SAMPLE_BATCH_H

#include "sample/internal.h"

enum { PAGE = 16, PREFILL = 512, MIN_SLOTS = 64, MAX_SLOTS = 128 };

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

/* Consecutive prompts with the same settings. */
struct group {
	inoci_pick_plan plan;
	struct head root; /* what they have in common */
};

struct seq {
	struct rows r;
	size_t prompt;
	struct group *group;
	struct head *head; /* or NULL: right behind the root */
	bool holding;      /* counted in the refs of both */
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
	const inoci_sample_settings *settings; /* the call's */
	struct group *groups;
	int n_groups, *group_of; /* (n_prompts) */
	int32_t ends[2];
	int n_ends;
	inoci_sampled_fn *f;
	inoci_token_fn *stream;
	void *ctx;

	inoci_kv *kv;
	int n_pages, *free_pages, n_free;
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

static inline int count_of(const struct sampler *s, size_t p)
{
	return s->prompts[p].count ? s->prompts[p].count : s->groups[s->group_of[p]].plan.s.n;
}

static inline int pages_of(int n)
{
	return (n + PAGE - 1) / PAGE;
}

/* setup.c. s: what is given to inoci_sample, and the ends. Checks and counts the prompts, makes groups and, where there is
 * something to sample, all else. */
INOCI_MUST int inoci_sampler_init(struct sampler *s, inoc_err *err);
void inoci_sampler_free(struct sampler *s);

#endif
