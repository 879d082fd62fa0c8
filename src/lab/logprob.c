/* How probable a model finds the responses of a data set under several system prompts. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

int inoci_answer_bytes(const inoci_record *r, bool last)
{
	size_t n = 0;
	for (size_t k = r->n_msgs; k-- > 0;) {
		if (strcmp(r->msgs[k].role, "assistant")) continue;
		if (!inoci_record_weightless(r, k)) n += strlen(r->msgs[k].content);
		if (last) break;
	}
	return (int)n;
}

/* A view of the record without its own system turn, where another is to stand in its place. */
static inoci_record bare(const inoci_record *r, const char *system)
{
	inoci_record v = *r;
	if (!strcmp(system, "none") || !v.n_msgs || strcmp(v.msgs[0].role, "system")) return v;
	v.n_msgs--;
	v.msgs++;
	if (v.msg_extra) v.msg_extra++;
	if (v.msg_raw) v.msg_raw++;
	return v;
}

int inoci_lab_logprobs(inoci_model *m, inoci_adapter *a, const inoci_template *t, const inoci_dataset *d,
                       const inoci_recipe *recipe, const char *const *systems, size_t n_systems, inoci_answer_logprob *out,
                       const inoci_progress *p, inoc_err *err)
{
	inoci_examples e = {0};
	size_t *of = inoci_alloc((n_systems * d->n + 1) * sizeof *of); /* (e.n): which of out */
	double *sum = inoci_alloc((n_systems * d->n + 1) * sizeof *sum);
	int rc = 0;
	for (size_t s = 0; s < n_systems; s++)
		for (size_t i = 0; i < d->n; i++) {
			inoci_prepare how = {.system = systems[s], .recipe = recipe, .context = m->hp.context};
			const inoci_record r = bare(&d->v[i], systems[s]);
			bool dropped = false;
			rc = inoci_prepare_example(t, &r, d->path, &how, &e, &dropped, err);
			out[s * d->n + i] =
			        (inoci_answer_logprob){.sum = NAN, .bytes = inoci_answer_bytes(&r, recipe->loss_last)};
			if (rc < 0) goto out;
			if (!dropped) of[e.n - 1] = s * d->n + i;
		}
	INOC_TRY(inoci_examples_logprob(m, a, &e, recipe->config.micro_tokens, sum, p, err));
	for (size_t k = 0; k < e.n; k++) {
		inoci_answer_logprob *x = &out[of[k]];
		x->sum = sum[k];
		for (int i = 1; i < e.v[k].n; i++) x->tokens += e.v[k].loss[i] != 0;
	}
out:
	inoci_examples_free(&e);
	free(of), free(sum);
	return rc < 0 ? rc : 0;
}
