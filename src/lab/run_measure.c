/* Measuring one (arm, seed, evaluation): the log-probabilities of given texts behind its prompts.
 *
 * Prompts are measured in lots, and a lot's answers stored together: what is stored is not measured again after a kill. Numbers
 * depend on the text and its prompt alone, so the cut into lots changes none.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

enum { LOT_TOKENS = 16384, MICRO_TOKENS = 1024 };

/* Texts that were measured, told as prompts. */
typedef struct {
	const inoci_progress *outer;
	double done, total; /* prompts before this lot; all */
	double per_text;    /* prompts that a text of this lot stands for */
} counted;

static void tick(void *ctx, const char *what, double done, double total, const char *unit, const char *detail)
{
	const counted *c = ctx;
	(void)total, (void)unit;
	inoci_tick(c->outer, what, c->done + done * c->per_text, c->total, "prompts", detail);
}

static void add_texts(const inoci_lab_prompt *p, inoci_examples *e)
{
	for (size_t i = 0; i < p->texts->m.n; i++) {
		const inoci_i32s *tail = &p->texts->tail[i];
		size_t n = (size_t)p->n + tail->n;
		int32_t *ids = inoci_alloc(n * sizeof *ids), *loss = inoci_alloc(n * sizeof *loss);
		memcpy(ids, p->ids, (size_t)p->n * sizeof *ids);
		memcpy(ids + p->n, tail->v, tail->n * sizeof *ids);
		for (size_t k = (size_t)p->n; k < n; k++) loss[k] = 1;
		inoci_examples_add(e, ids, loss, (int)n);
		free(ids), free(loss);
	}
}

/* Every example's numbers stand behind those of the one before. */
static void place(const inoci_examples *e, float *each, float **at)
{
	for (size_t i = 0; i < e->n; i++) {
		at[i] = each;
		for (int k = 1; k < e->v[i].n; k++) each += e->v[i].loss[k] != 0;
	}
}

/* Puts the numbers into the prompt's texts; *each is moved behind them. ids: those of all tails. */
static int fill(inoci_lab_texts *t, const float **each, inoci_i32s *ids, inoc_err *err)
{
	for (size_t i = 0; i < t->m.n; i++) {
		inoci_measured_text *x = &t->m.v[i];
		x->sum = 0;
		for (int k = 0; k < x->tokens; k++) x->sum += (double)*(*each)++;
		x->end = (double)*(*each)++;
		inoci_i32s_append(ids, t->tail[i].v, t->tail[i].n);
		if (!isfinite(x->sum) || !isfinite(x->end))
			return inoci_err_set(
			        err, INOC_E_FORMAT,
			        "the log-probability of \"%.60s\" is not a finite number; check the model and the adapter",
			        x->text);
	}
	return 0;
}

int inoci_run_measure(inoci_run_state *r, const inoci_wanted *w, const size_t *which, size_t n, const int64_t *prompt_id,
                      int64_t adapter, inoci_adapter *a, inoc_err *err)
{
	const inoci_progress *outer = &r->overall.own;
	counted c = {.outer = outer, .total = (double)n};
	const inoci_progress own = {.tick = tick, .ctx = &c, .stop = outer->stop};
	sqlite3_stmt *st = NULL;
	inoci_examples e = {0};
	inoci_i32s ids = {0};
	float *each = NULL, **at = NULL; /* all numbers of a lot; an example's */
	int rc;
	INOC_TRY(inoci_sample_insert(r->store, &st, err));
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i; end < n && e.n_tokens < LOT_TOKENS; end++) add_texts(&w->prompts.v[which[end]], &e);
		each = inoci_realloc(each, e.n_loss_tokens * sizeof *each);
		at = inoci_realloc(at, e.n * sizeof *at);
		place(&e, each, at);
		c.done = (double)i;
		c.per_text = (double)(end - i) / (double)e.n;
		INOC_TRY(inoci_examples_token_logprobs(r->model, a, &e, MICRO_TOKENS, at, &own, err));
		const float *from = each, *to = each;
		for (size_t k = i; k < end; k++, from = to) {
			const inoci_lab_prompt *p = &w->prompts.v[which[k]];
			ids.n = 0;
			INOC_TRY(fill(p->texts, &to, &ids, err));
			char *text = inoci_measured_json(&p->texts->m);
			const inoci_new_sample x = {.key = w->key[which[k]].hex,
			                            .adapter = adapter,
			                            .prompt = prompt_id[which[k]],
			                            .text = text,
			                            .text_n = strlen(text),
			                            .finish = INOCI_FINISH_MEASURED,
			                            .ids = ids.v,
			                            .logprob = from,
			                            .n = (int)ids.n};
			rc = inoci_sample_add(r->store, st, &x, err);
			free(text);
			if (rc < 0) goto out;
		}
		INOC_TRY(inoci_store_commit(r->store, err));
		inoci_examples_free(&e);
	}
out:
	sqlite3_finalize(st);
	inoci_examples_free(&e);
	inoci_i32s_free(&ids);
	free(each), free(at);
	return rc < 0 ? rc : 0;
}

int inoci_measure_prompt(inoci_model *m, inoci_adapter *a, const inoci_lab_prompt *p, inoc_err *err)
{
	inoci_examples e = {0};
	inoci_i32s ids = {0};
	add_texts(p, &e);
	float *each = inoci_alloc(e.n_loss_tokens * sizeof *each), **at = inoci_alloc(e.n * sizeof *at);
	const float *from = each;
	place(&e, each, at);
	int rc = inoci_examples_token_logprobs(m, a, &e, MICRO_TOKENS, at, NULL, err);
	if (rc == 0) rc = fill(p->texts, &from, &ids, err);
	inoci_examples_free(&e);
	inoci_i32s_free(&ids);
	free(each), free(at);
	return rc;
}
