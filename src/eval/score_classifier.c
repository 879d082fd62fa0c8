/* classifier: the probability that a text shows the trait, by a logistic regression on the base model's hidden states (`inoc
 * classifier train`, docs/classifier.md). Range [0, 1]; with "threshold" 1 from there on, else 0. Missing for an answer without a
 * token and for one longer than the model's context. Higher is more of what the labelled answers with 1 had.
 *
 * Its key has the file's hash, not its path.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/internal.h"

typedef struct {
	inoci_classifier *c;
	bool has_threshold, told;
	double threshold;
} state;

static void free_state(void *p)
{
	state *st = p;
	inoci_classifier_free(st->c);
	free(st);
}

static int build(json_t *j, inoci_scorer *s, inoc_err *err)
{
	const char *file = json_string_value(json_object_get(j, "file"));
	const json_t *threshold = json_object_get(j, "threshold");
	state *st = s->state = inoci_alloc(sizeof *st);
	if (!file || !*file)
		return inoci_err_set(err, INOC_E_USAGE,
		                     "scorer type \"classifier\" wants \"file\", one that `inoc classifier train` wrote");
	if (threshold) {
		st->threshold = json_number_value(threshold);
		st->has_threshold = true;
		if (!json_is_number(threshold) || !(st->threshold >= 0 && st->threshold <= 1))
			return inoci_err_set(err, INOC_E_USAGE, "\"threshold\" must be a number from 0 to 1");
		json_object_set_new(s->settings, "threshold", json_real(st->threshold));
	}
	s->graded = !st->has_threshold;
	if (s->env && s->env->settings_only) return 0;
	char *path = inoci_path_join(s->env ? s->env->dir : NULL, file);
	int rc = inoci_classifier_read(path, &st->c, err);
	free(path);
	if (rc == 0) json_object_set_new(s->settings, "sha256", json_string(st->c->hash.hex));
	return rc;
}

static int fits(const inoci_scorer *s, const char *model_path, inoc_err *err)
{
	const state *st = s->state;
	inoci_hash h;
	int rc = st->c ? inoci_hash_file_kept(model_path, &h, err) : 0;
	return rc < 0 || !st->c ? rc : inoci_classifier_fits(st->c, h.hex, model_path, err);
}

/* Once: what a reader of the scores should know. */
static void tell(state *st, const inoci_model *m, const inoci_progress *p)
{
	const inoci_classifier *c = st->c;
	const char *dtype = inoci_dtype_name(m->ops->dtype);
	if (st->told) return;
	st->told = true;
	if (c->held_out.kappa.value < INOCI_KAPPA_HEADLINE)
		inoci_note(p, "%s: held-out kappa %.2f is under %.1f: not for a headline (docs/measuring.md)", c->path,
		           c->held_out.kappa.value, INOCI_KAPPA_HEADLINE);
	if (strcmp(c->dtype, dtype))
		inoci_note(p, "%s: trained on hidden states in %s, applied to those in %s, which differ a little", c->path,
		           c->dtype, dtype);
}

static int many(inoci_scorer *s, const inoci_answer *a, size_t n, double *value, const inoci_progress *p, inoc_err *err)
{
	state *st = s->state;
	inoci_model *m;
	if (!st->c || !s->env || !s->env->model)
		return inoci_err_set(err, INOC_E_USAGE,
		                     "scorer \"%s\": a classifier needs its base model, and none is at hand here", s->name);
	int rc = s->env->model(s->env->ctx, st->c->model.hex, &m, err);
	if (rc < 0) return rc;
	if ((rc = inoci_classifier_fits(st->c, m->hash.hex, m->path, err)) < 0) return rc;
	tell(st, m, p);
	if ((rc = inoci_classifier_apply(st->c, m, a, n, value, p, err)) < 0) return rc;
	for (size_t i = 0; i < n && st->has_threshold; i++)
		if (!isnan(value[i])) value[i] = value[i] >= st->threshold;
	return 0;
}

const inoci_classifier *inoci_score_classifier_get(const inoci_scorer *s, double *threshold)
{
	const state *st = s->type == &inoci_score_classifier ? s->state : NULL;
	if (!st || !st->c) return NULL;
	*threshold = st->has_threshold ? st->threshold : st->c->threshold;
	return st->c;
}

const inoci_scorer_type inoci_score_classifier = {
        .name = "classifier",
        .version = 1,
        .options = {"file", "threshold"},
        .description =
                "the probability of a trait by a logistic regression on the base model's hidden states (`inoc classifier`)",
        .build = build,
        .many = many,
        .fits_model = fits,
        .free = free_state,
};
