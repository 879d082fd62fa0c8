/* Before a run: what in its evaluations will tell less than docs/measuring.md asks for. Notes, no errors. */
#include <string.h>

#include "lab/internal.h"

enum { ENOUGH_PROMPTS = 100 };

static size_t n_prompts(const inoci_evaluation *v, const inoci_dataset *d)
{
	return v->limit && (size_t)v->limit < d->n ? (size_t)v->limit : d->n;
}

/* Evaluations of the same answers but for prompt and temperature are noted once. */
static bool noted(const inoci_experiment *e, size_t eval)
{
	const inoci_evaluation *v = &e->evals[eval];
	for (size_t i = 0; i < eval; i++) {
		const inoci_evaluation *w = &e->evals[i];
		if (!w->measure && !strcmp(w->prompts, v->prompts) && w->limit == v->limit &&
		    w->sampling.max_tokens == v->sampling.max_tokens)
			return true;
	}
	return false;
}

static void references(const inoci_run_state *r, size_t eval)
{
	const inoci_evaluation *v = &r->e->evals[eval];
	const inoci_dataset *d = inoci_run_dataset(&r->prompts, v->prompts);
	size_t n = 0, n_long = 0;
	for (size_t i = 0; i < n_prompts(v, d); i++) {
		const char *text = json_string_value(json_object_get(d->v[i].extra, "reference"));
		inoci_rendered a = {0};
		if (!text) continue;
		inoci_render_answer(r->tmpl, text, &a);
		n++;
		n_long += a.ids.n > (size_t)v->sampling.max_tokens;
		inoci_rendered_free(&a);
	}
	if (n_long)
		inoci_note(r->o->progress,
		           "evaluation %s: %zu of %zu references are longer than max_tokens %d, end token included", v->name,
		           n_long, n, v->sampling.max_tokens);
}

static void headline(const inoci_run_state *r)
{
	const inoci_experiment *e = r->e;
	const inoci_evaluation *h = &e->evals[inoci_experiment_eval(e, e->headline)];
	size_t n = n_prompts(h, inoci_run_dataset(&r->prompts, h->prompts));
	bool sampled = h->measure || h->sampling.temperature != 0;
	for (size_t i = 0; i < e->n_evals && !sampled; i++)
		sampled =
		        !e->evals[i].measure && e->evals[i].sampling.temperature == 1 && !strcmp(e->evals[i].prompts, h->prompts);
	if (n < ENOUGH_PROMPTS || !sampled)
		inoci_note(r->o->progress,
		           "headline evaluation %s: %s%s%s; a claim wants 100 prompts and temperature 1 (docs/measuring.md)",
		           h->name, n < ENOUGH_PROMPTS ? "fewer than 100 prompts" : "",
		           n < ENOUGH_PROMPTS && !sampled ? ", and " : "",
		           sampled ? "" : "greedy, with none at temperature 1 beside it");
}

void inoci_run_notes(const inoci_run_state *r)
{
	const inoci_experiment *e = r->e;
	if (e->shortened || r->o->scratch || r->o->n_command) return;
	for (size_t i = 0; i < e->n_evals; i++)
		if (!e->evals[i].measure && !inoci_experiment_grid(e, (int)i) && !noted(e, i)) references(r, i);
	if (e->n_traits) headline(r);
}
