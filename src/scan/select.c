/* Prompt selection before training: for each candidate the surprise that it takes from the data's responses, over matched
 * controls, and how often it elicits the trait, against no prompt. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "scan/internal.h"

enum { RECORDS = 64, CONTROLS = 4, BOOT = 2000 };

/* ---- texts to choose from ---- */

void inoci_texts_add(inoci_texts *t, const char *s)
{
	for (size_t i = 0; i < t->n; i++)
		if (!strcmp(t->v[i], s)) return;
	t->v = inoci_realloc(t->v, (t->n + 1) * sizeof *t->v);
	t->v[t->n++] = inoci_strdup(s);
}

void inoci_texts_free(inoci_texts *t)
{
	for (size_t i = 0; i < t->n; i++) free(t->v[i]);
	free(t->v);
	*t = (inoci_texts){0};
}

void inoci_select_from(const inoci_trait_library *l, int trait, inoci_texts *prompts, inoci_texts *controls)
{
	const bool own = controls->n > 0;
	for (size_t k = 0; trait >= 0 && k < l->v[trait].n_prompts; k++) inoci_texts_add(prompts, l->v[trait].prompts[k]);
	for (size_t i = 0; !own && i < l->n; i++)
		for (size_t k = 0; k < l->v[i].n_controls; k++) inoci_texts_add(controls, l->v[i].controls[k]);
}

/* ---- matched controls ---- */

void inoci_gains_matched(inoci_gains *g, const char *prompt, char *const *pool, size_t n_pool, int *rows, size_t n)
{
	const long want = (long)strlen(prompt);
	bool *taken = inoci_alloc(n_pool + 1), caps = inoci_uppercase_share(prompt, strlen(prompt)) > 0.8;
	for (size_t k = 0; k < n; k++) {
		size_t best = n_pool;
		for (size_t i = 0; i < n_pool; i++) {
			if (taken[i]) continue;
			if (best == n_pool || labs((long)strlen(pool[i]) - want) < labs((long)strlen(pool[best]) - want))
				best = i;
		}
		taken[best] = true;
		char *text = inoci_strdup(pool[best]);
		if (caps) inoci_ascii_upper(text);
		rows[k] = inoci_gains_prompt(g, text);
		free(text);
	}
	free(taken);
}

/* ---- surprise ---- */

/* Log-probabilities of whole responses, from those by the byte: (n_prompts)(n_records). free() it, in one. */
static double **whole(const inoci_gains *g)
{
	double **v = inoci_alloc(g->n_prompts * sizeof *v + g->n_prompts * g->n_records * sizeof **v);
	double *at = (double *)(v + g->n_prompts);
	for (size_t k = 0; k < g->n_prompts; k++, at += g->n_records) {
		v[k] = at;
		for (size_t i = 0; i < g->n_records; i++) at[i] = g->value[k][i] * g->bytes[i];
	}
	return v;
}

static int surprise(inoci_gains *g, const inoci_dataset *d, const inoci_select_options *o, inoci_select_result *r, inoc_err *err)
{
	const size_t n_controls = o->n_controls < CONTROLS ? o->n_controls : CONTROLS;
	int *rows = inoci_alloc((r->n * (n_controls + 1) + 1) * sizeof *rows), none = inoci_gains_prompt(g, NULL), rc = 0;
	for (size_t i = 0; i < r->n; i++) {
		int *at = rows + i * (n_controls + 1);
		at[0] = inoci_gains_prompt(g, o->prompts[i]);
		inoci_gains_matched(g, o->prompts[i], o->controls, o->n_controls, at + 1, n_controls);
	}
	int32_t *order = inoci_alloc((d->n + 1) * sizeof *order);
	inoci_rng rng = inoci_rng_new(o->seed, "scan order", 0, 0);
	for (size_t i = 0; i < d->n; i++) order[i] = (int32_t)i;
	inoci_rng_shuffle(&rng, order, d->n);
	for (size_t i = 0; i < d->n && (!o->records || g->n_records < (size_t)o->records); i++) {
		inoci_gains_record(g, &d->v[order[i]], d->path);
		if (!inoci_gains_fits(g, g->n_records - 1)) g->n_records--, r->n_too_long++;
	}
	r->n_records = g->n_records;
	if (!r->n_records) {
		rc = inoci_err_set(err, INOC_E_FORMAT, "%s: no record fits into the model's context with a prompt in front",
		                   d->path);
		goto out;
	}
	INOC_TRY(inoci_gains_measure(g, NULL, 0, g->n_records, "surprise", o->progress, err));
	double *scratch = inoci_alloc((r->n_records + 1) * sizeof *scratch), prompt, **total = whole(g);
	r->line = inoci_alloc(r->n_records * sizeof *r->line);
	r->bytes = inoci_alloc(r->n_records * sizeof *r->bytes);
	for (size_t i = 0; i < r->n_records; i++) r->line[i] = g->records[i]->line, r->bytes[i] = g->bytes[i];
	for (size_t i = 0; i < r->n; i++) {
		inoci_gain_in in = {.value = g->value,
		                    .to = r->n_records,
		                    .prompts = rows + i * (n_controls + 1),
		                    .n_prompts = 1,
		                    .controls = rows + i * (n_controls + 1) + 1,
		                    .n_controls = n_controls,
		                    .seed = o->seed,
		                    .n_boot = BOOT};
		r->v[i].record = inoci_alloc(r->n_records * sizeof *r->v[i].record);
		r->v[i].controls = inoci_alloc((n_controls + 1) * sizeof *r->v[i].controls);
		for (size_t k = 0; k < n_controls; k++)
			r->v[i].controls[r->v[i].n_controls++] = inoci_strdup(g->prompts[in.controls[k]].system);
		inoci_gain_out out = {.record = r->v[i].record, .prompt = &prompt};
		inoci_gain_of(&in, &out);
		r->v[i].surprise = out.gain;
		r->v[i].p = out.p;
		out.record = scratch;
		in.value = total;
		inoci_gain_of(&in, &out);
		r->v[i].example = out.gain;
		in.value = g->value;
		in.controls = &none;
		in.n_controls = 1;
		inoci_gain_of(&in, &out);
		r->v[i].with = out.gain;
	}
	free(scratch), free(total);
out:
	free(rows), free(order);
	return rc < 0 ? rc : 0;
}

/* ---- elicitation ---- */

typedef struct {
	inoci_prompt *ask;
	inoci_rendered *rendered;
	size_t n; /* questions of each of the candidates, and of none, which is last */
	inoci_answer *answers;
	const inoci_dataset *q;
	int per;
} eliciting;

static int on_sample(void *ctx, const inoci_sampled *s, inoc_err *err)
{
	eliciting *x = ctx;
	inoci_answer *a = &x->answers[s->prompt * (size_t)x->per + (size_t)s->index];
	(void)err;
	a->text = inoci_strndup(s->text ? s->text : "", s->text_n);
	a->n = s->text_n;
	a->finish = (inoci_finish)s->end;
	return 0;
}

static const char *question_of(const inoci_record *r)
{
	return r->msgs[r->n_msgs - 1].content;
}

static int render_all(eliciting *x, inoci_model *m, const inoci_template *t, const inoci_select_options *o, size_t n,
                      inoc_err *err)
{
	for (size_t i = 0; i < n + 1; i++) {
		char *text = i < n ? (char *)(uintptr_t)o->prompts[i] : NULL;
		const inoci_inoculation put = {.join = INOCI_JOIN_BEFORE, .pool = &text, .n_pool = 1, .fraction = 1};
		for (size_t k = 0; k < x->q->n; k++, x->n++) {
			bool applied;
			inoci_record r =
			        text ? inoci_inoculate(&put, &x->q->v[k], 0, 0, &applied) : inoci_record_copy(&x->q->v[k]);
			inoci_rendered *v = &x->rendered[x->n];
			int rc = inoci_render(t, r.msgs, r.n_msgs, inoci_sys_parse(o->system), true, v, err);
			inoci_record_free(&r);
			if (rc == 0 && v->ids.n + 1 > (size_t)m->hp.context)
				rc = inoci_err_set(err, INOC_E_LIMIT,
				                   "the question is longer than the model's context; shorten it");
			if (rc < 0) return inoci_err_prefix(err, "%s:%d", x->q->path, x->q->v[k].line);
			x->ask[x->n] =
			        (inoci_prompt){.ids = v->ids.v, .n = (int)v->ids.n, .key = inoci_prompt_key(v->ids.v, v->ids.n)};
			for (int j = 0; j < x->per; j++) {
				inoci_answer *a = &x->answers[x->n * (size_t)x->per + (size_t)j];
				a->question = question_of(&x->q->v[k]);
				a->item = x->q->v[k].extra;
			}
		}
	}
	return 0;
}

static void compare(const eliciting *x, const double *value, inoci_select_result *r, uint64_t seed)
{
	size_t each = x->q->n * (size_t)x->per;
	int *prompt = inoci_alloc((each + 1) * sizeof *prompt);
	for (size_t i = 0; i < each; i++) prompt[i] = (int)(i / (size_t)x->per);
	const inoci_scores none = {
	        .value = value + r->n * each, .prompt = prompt, .n = each, .n_prompts = (int)x->q->n, .seedless = true};
	r->none = inoci_mean_ci(&none, seed, BOOT);
	for (size_t i = 0; i < r->n; i++) {
		inoci_scores s = none;
		s.value = value + i * each;
		r->v[i].rate = inoci_mean_ci(&s, seed, BOOT);
		inoci_comparison c = inoci_compare_ci(&s, &none, seed, BOOT);
		r->v[i].elicits = c.diff;
	}
	free(prompt);
}

static int elicit(inoci_model *m, const inoci_template *t, const inoci_select_options *o, inoci_select_result *r, inoc_err *err)
{
	eliciting x = {.q = o->questions, .per = o->sampling.n};
	size_t n = (r->n + 1) * o->questions->n, all = n * (size_t)x.per;
	double *value = inoci_alloc((all + 1) * sizeof *value);
	inoci_scorer *scorer = NULL;
	int rc;
	x.ask = inoci_alloc((n + 1) * sizeof *x.ask);
	x.rendered = inoci_alloc((n + 1) * sizeof *x.rendered);
	x.answers = inoci_alloc((all + 1) * sizeof *x.answers);
	INOC_TRY(inoci_scorer_new("trait", o->scorer, &scorer, err));
	if (inoci_scorer_measured(scorer) || inoci_scorer_real(scorer)) {
		rc = inoci_err_set(err, INOC_E_USAGE, "the scorer must give each sampled answer a number from 0 to 1");
		goto out;
	}
	INOC_TRY(render_all(&x, m, t, o, r->n, err));
	INOC_TRY(inoci_sample(m, NULL, x.ask, n, &o->sampling, on_sample, NULL, &x, o->progress, err));
	INOC_TRY(inoci_scorer_apply_many(scorer, x.answers, all, value, o->progress, err));
	compare(&x, value, r, o->seed);
	r->elicited = true;
out:
	inoci_scorer_free(scorer);
	for (size_t i = 0; i < all; i++) free((char *)(uintptr_t)x.answers[i].text);
	for (size_t i = 0; i < n; i++) inoci_rendered_free(&x.rendered[i]);
	free(x.ask), free(x.rendered), free(x.answers), free(value);
	return rc < 0 ? rc : 0;
}

/* ---- ranks ---- */

static double place(const inoci_select_result *r, size_t i, bool elicits)
{
	double above = 0;
	for (size_t k = 0; k < r->n; k++) {
		double a = elicits ? r->v[k].elicits.value : r->v[k].surprise.value;
		double b = elicits ? r->v[i].elicits.value : r->v[i].surprise.value;
		above += a > b ? 1 : a == b && k != i ? 0.5 : 0;
	}
	return above;
}

static int by_rank(const void *a, const void *b)
{
	const inoci_select_row *x = a, *y = b;
	if (x->places != y->places) return x->places < y->places ? -1 : 1;
	if (x->surprise.value != y->surprise.value) return x->surprise.value > y->surprise.value ? -1 : 1;
	return x->prompt - y->prompt;
}

int inoci_select(inoci_model *m, const inoci_template *t, const inoci_dataset *d, const inoci_select_options *o,
                 inoci_select_result *out, inoc_err *err)
{
	const inoci_gains_options go = {.system = o->system, .tokens = o->tokens};
	inoci_gains *g = inoci_gains_new(m, t, &go);
	int rc = 0;
	*out = (inoci_select_result){
	        .d = d, .prompts = o->prompts, .n = o->n_prompts, .v = inoci_alloc((o->n_prompts + 1) * sizeof *out->v)};
	for (size_t i = 0; i < out->n; i++) out->v[i].prompt = (int)i;
	if (o->n_controls < 2) {
		rc = inoci_err_set(err, INOC_E_USAGE, "%zu controls; at least 2 are needed", o->n_controls);
		goto out;
	}
	INOC_TRY(surprise(g, d, o, out, err));
	if (o->scorer && o->questions) INOC_TRY(elicit(m, t, o, out, err));
	double *p = inoci_alloc((out->n + 1) * sizeof *p);
	for (size_t i = 0; i < out->n; i++) p[i] = out->v[i].p;
	inoci_holm(p, out->n);
	for (size_t i = 0; i < out->n; i++) {
		out->v[i].p = p[i];
		out->v[i].places = place(out, i, false) + (out->elicited ? place(out, i, true) : 0);
	}
	free(p);
	qsort(out->v, out->n, sizeof *out->v, by_rank);
out:
	inoci_gains_free(g);
	if (rc < 0) inoci_select_free(out);
	return rc < 0 ? rc : 0;
}

const inoci_select_row *inoci_select_best(const inoci_select_result *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].p < 0.05) return &r->v[i];
	return NULL;
}

void inoci_select_free(inoci_select_result *r)
{
	for (size_t i = 0; i < r->n; i++) {
		for (size_t k = 0; k < r->v[i].n_controls; k++) free(r->v[i].controls[k]);
		free(r->v[i].controls), free(r->v[i].record);
	}
	free(r->v), free(r->line), free(r->bytes);
	*r = (inoci_select_result){0};
}
