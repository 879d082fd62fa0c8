/* Training a classifier: hidden states of the labelled answers, nested cross-validation split by topic, the fit on all.
 *
 * With K folds there are two rounds of fits, for every layer and l2: without each fold, and without each pair of folds. What is
 * chosen for fold a is what predicts the other folds b best when fitted without both a and b; fold a is then predicted by the fit
 * without it. So no answer has a part in what it is judged by, and what is chosen at last (by the fits without one fold) is
 * judged by figures of choices made in the same way.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/internal.h"
#include "train/train.h"

enum { MICRO_TOKENS = 1024, MOST_LAYERS = 8, MOST_FOLDS = 100 };
static const double l2s[] = {10, 1, 0.1, 0.01, 0.001, 0.0001};
static const double TOL_CHOICE = 1e-6, TOL_FINAL = 1e-10;

/* ---- features ---- */

int inoci_answer_example(const inoci_model *m, const inoci_template *t, const char *question, const inoci_answer *a, bool end,
                         inoci_examples *to, int *n_tokens, inoc_err *err)
{
	inoci_rendered v = {0};
	char *asked = inoci_strdup(question ? question : ""), role[] = "user";
	const inoci_msg msg = {role, asked};
	int rc;
	INOC_TRY(inoci_render(t, &msg, 1, (inoci_sys){INOCI_SYS_NONE, NULL}, true, &v, err));
	size_t head = v.ids.n;
	inoci_tok_encode(m->tok, a->text ? a->text : "", a->n, &v.ids);
	*n_tokens = v.ids.n + end > (size_t)m->hp.context ? -1 : (int)(v.ids.n - head);
	if (*n_tokens <= 0) goto out;
	if (end) inoci_i32s_push(&v.ids, inoci_template_end_of_turn(t));
	while (v.loss.n < v.ids.n) inoci_i32s_push(&v.loss, 1);
	inoci_examples_add(to, v.ids.v, v.loss.v, (int)v.ids.n);
out:
	inoci_rendered_free(&v);
	free(asked);
	return rc < 0 ? rc : 0;
}

/* out (n, n_layers, C); NaN where an answer does not fit. */
static int hidden(inoci_model *m, const inoci_template *t, const inoci_answer *a, size_t n, const int *layers, int n_layers,
                  float *out, const inoci_progress *p, inoc_err *err)
{
	size_t row = (size_t)n_layers * (size_t)m->hp.width, *at = inoci_alloc((n + 1) * sizeof *at);
	inoci_examples e = {0};
	float *got = NULL;
	int rc = 0;
	for (size_t i = 0; i < n; i++) {
		int tokens;
		INOC_TRY(inoci_answer_example(m, t, a[i].question, &a[i], true, &e, &tokens, err));
		if (tokens > 0) at[e.n - 1] = i;
	}
	if (!(got = inoci_big_room((e.n * row + 1) * sizeof *got, "hidden states", err))) {
		rc = INOC_E_MEMORY;
		goto out;
	}
	INOC_TRY(inoci_examples_hidden(m, NULL, &e, MICRO_TOKENS, layers, n_layers, got, p, err));
	for (size_t i = 0; i < n * row; i++) out[i] = NAN;
	for (size_t k = 0; k < e.n; k++) memcpy(out + at[k] * row, got + k * row, row * sizeof *out);
out:
	inoci_examples_free(&e);
	free(got), free(at);
	return rc < 0 ? rc : 0;
}

/* ---- cross-validation ---- */

typedef struct {
	const inoci_labelled *d;
	const inoci_progress *p;
	int layers[MOST_LAYERS], n_layers, n_l2, n_folds;
	double l2[INOCI_COUNT(l2s)];
	size_t width;
	float *x;                   /* (n, n_layers, width) */
	int *label, *topic, *fold;  /* (n) */
	double *odds;               /* (n_layers * n_l2, n): of the fit without the row's fold */
	double *without, *one_less; /* summed losses: (n_folds, n_layers * n_l2) of the other folds; (n_layers * n_l2) */
	int done, total;
} search;

static int candidates(const search *s)
{
	return s->n_layers * s->n_l2;
}

/* Topics by size, each to the fold that has the fewest rows. */
static void make_folds(search *s)
{
	const inoci_labelled *d = s->d;
	size_t *size = inoci_alloc(((size_t)d->n_topics + 1) * sizeof *size), of[MOST_FOLDS] = {0};
	int *fold = inoci_alloc(((size_t)d->n_topics + 1) * sizeof *fold);
	for (size_t i = 0; i < d->n; i++) size[d->v[i].topic]++;
	for (int k = 0; k < d->n_topics; k++) {
		int big = -1, least = 0;
		for (int t = 0; t < d->n_topics; t++)
			if (size[t] && (big < 0 || size[t] > size[big] ||
			                (size[t] == size[big] && strcmp(d->topics[t], d->topics[big]) < 0)))
				big = t;
		for (int f = 1; f < s->n_folds; f++)
			if (of[f] < of[least]) least = f;
		fold[big] = least;
		of[least] += size[big];
		size[big] = 0;
	}
	for (size_t i = 0; i < d->n; i++) s->fold[i] = fold[d->v[i].topic];
	free(size), free(fold);
}

/* The fits without folds a and b (which may be the same), and what they say of those. */
static int fit_without(search *s, int a, int b, inoc_err *err)
{
	size_t n = s->d->n, ld = (size_t)s->n_layers * s->width;
	inoci_logistic_model f[INOCI_COUNT(l2s)];
	bool *use = inoci_alloc(n + 1);
	int rc = 0;
	for (size_t i = 0; i < n; i++) use[i] = s->fold[i] != a && s->fold[i] != b;
	for (int l = 0; l < s->n_layers; l++) {
		const float *x = s->x + (size_t)l * s->width;
		if (inoci_stopped(s->p)) {
			rc = inoci_err_set(err, INOC_E_STOPPED, "stopped in the cross-validation");
			goto out;
		}
		rc = inoci_logistic_fit(x, ld, s->width, s->label, use, n, s->l2, (size_t)s->n_l2, TOL_CHOICE, f, err);
		if (rc < 0) {
			inoci_err_prefix(
			        err,
			        "%s: without %s of the %d folds into which topics are put: topics should have answers of "
			        "both labels",
			        s->d->path, a == b ? "one" : "two", s->n_folds);
			goto out;
		}
		for (int c = 0; c < s->n_l2; c++) {
			int at = l * s->n_l2 + c;
			for (size_t i = 0; i < n; i++) {
				if (use[i]) continue;
				double odds = inoci_logistic_at(&f[c], x + i * ld), loss = inoci_logistic_loss(odds, s->label[i]);
				if (a == b) {
					s->odds[(size_t)at * n + i] = odds;
					s->one_less[at] += loss;
				} else
					s->without[(s->fold[i] == a ? b : a) * candidates(s) + at] += loss;
			}
			inoci_logistic_free(&f[c]);
		}
		inoci_tick(s->p, "cross-validation", ++s->done, s->total, "fits", "");
	}
out:
	free(use);
	return rc < 0 ? rc : 0;
}

static int best(const search *s, const double *loss)
{
	int at = 0;
	for (int c = 1; c < candidates(s); c++)
		if (loss[c] < loss[at]) at = c;
	return at;
}

static int cross_validate(search *s, inoci_classifier *c, inoc_err *err)
{
	size_t n = s->d->n;
	int K = s->n_folds, rc;
	double *p = inoci_alloc((n + 1) * sizeof *p);
	s->total = s->n_layers * (K + (candidates(s) > 1 ? K * (K - 1) / 2 : 0));
	for (int a = 0; a < K; a++) {
		INOC_TRY(fit_without(s, a, a, err));
		for (int b = a + 1; b < K && candidates(s) > 1; b++) INOC_TRY(fit_without(s, a, b, err));
	}
	c->n_folds = K;
	c->folds = inoci_alloc((size_t)K * sizeof *c->folds);
	for (int a = 0; a < K; a++) {
		int at = best(s, s->without + a * candidates(s));
		c->folds[a] = (inoci_classifier_fold){.layer = s->layers[at / s->n_l2], .l2 = s->l2[at % s->n_l2]};
		for (size_t i = 0; i < n; i++) {
			if (s->fold[i] != a) continue;
			p[i] = inoci_logistic(s->odds[(size_t)at * n + i]);
			c->folds[a].n++;
		}
	}
	c->held_out = inoci_agree(p, s->label, s->topic, n, s->d->n_topics, c->threshold, 1, 0);
	rc = 0;
out:
	free(p);
	return rc;
}

/* ---- the whole ---- */

/* The same question under two topics may stand in training and test. */
static void note_shared(const inoci_labelled *d, const inoci_progress *p)
{
	long n = 0;
	const char *first = NULL;
	json_t *seen = json_object();
	for (size_t i = 0; i < d->n; i++) {
		json_t *t = json_object_get(seen, d->v[i].question);
		if (!t)
			json_object_set_new(seen, d->v[i].question, json_integer(d->v[i].topic));
		else if (json_integer_value(t) != d->v[i].topic && !n++)
			first = d->v[i].question;
	}
	if (n)
		inoci_note(
		        p,
		        "%s: %ld answers are to questions that also stand under another topic, such as \"%.80s\": what is held "
		        "out is not new to the classifier then",
		        d->path, n, first);
	json_decref(seen);
}

static int check(const search *s, const inoci_model *m, inoc_err *err)
{
	const inoci_labelled *d = s->d;
	size_t row = (size_t)s->n_layers * s->width;
	for (size_t i = 0; i < d->n; i++)
		for (size_t j = 0; j < row; j++)
			if (!isfinite(s->x[i * row + j]))
				return inoci_err_set(
				        err, INOC_E_FORMAT,
				        "%s:%d: no hidden state of the answer: it has no token, or is longer with its "
				        "question than the model's context of %d tokens, or the model gave what is no "
				        "number",
				        d->path, d->v[i].line, m->hp.context);
	return 0;
}

static int make_search(search *s, const inoci_model *m, const inoci_classifier_options *o, inoc_err *err)
{
	const inoci_labelled *d = s->d;
	size_t n = d->n;
	s->width = (size_t)m->hp.width;
	if (o->layer > m->hp.n_layers)
		return inoci_err_set(err, INOC_E_USAGE, "layer %d: the model has %d", o->layer, m->hp.n_layers);
	if (d->n_topics < 3)
		return inoci_err_set(err, INOC_E_FORMAT,
		                     "%s: %d topics; 3 at least are needed: one to test on, one to choose by, one to fit",
		                     d->path, d->n_topics);
	s->n_folds = o->folds < d->n_topics ? o->folds : d->n_topics;
	if (s->n_folds > MOST_FOLDS) s->n_folds = MOST_FOLDS;
	if (s->n_folds < 3) s->n_folds = 3;
	if (s->n_folds < o->folds) inoci_note(s->p, "%s: %d topics, so %d folds", d->path, d->n_topics, s->n_folds);
	if (o->layer >= 0)
		s->layers[s->n_layers++] = o->layer;
	else
		for (int i = 1; i <= MOST_LAYERS; i++) {
			int l = (i * m->hp.n_layers + MOST_LAYERS / 2) / MOST_LAYERS;
			if (l && (!s->n_layers || l > s->layers[s->n_layers - 1])) s->layers[s->n_layers++] = l;
		}
	s->n_l2 = o->l2 > 0 ? 1 : (int)INOCI_COUNT(l2s);
	memcpy(s->l2, l2s, sizeof l2s);
	if (o->l2 > 0) s->l2[0] = o->l2;
	size_t k = (size_t)candidates(s);
	s->label = inoci_alloc((n + 1) * sizeof *s->label);
	s->topic = inoci_alloc((n + 1) * sizeof *s->topic);
	s->fold = inoci_alloc((n + 1) * sizeof *s->fold);
	s->odds = inoci_alloc((k * n + 1) * sizeof *s->odds);
	s->without = inoci_alloc(((size_t)s->n_folds * k + 1) * sizeof *s->without);
	s->one_less = inoci_alloc((k + 1) * sizeof *s->one_less);
	for (size_t i = 0; i < n; i++) s->label[i] = d->v[i].label, s->topic[i] = d->v[i].topic;
	make_folds(s);
	s->x = inoci_big_room((n * (size_t)s->n_layers * s->width + 1) * sizeof *s->x, "hidden states", err);
	return s->x ? 0 : INOC_E_MEMORY;
}

static inoci_answer *answers_of(const inoci_labelled *d)
{
	inoci_answer *a = inoci_alloc((d->n + 1) * sizeof *a);
	for (size_t i = 0; i < d->n; i++)
		a[i] = (inoci_answer){.question = d->v[i].question, .text = d->v[i].answer, .n = strlen(d->v[i].answer)};
	return a;
}

int inoci_classifier_train(inoci_model *m, const inoci_labelled *d, const inoci_classifier_options *o, const inoci_progress *p,
                           inoci_classifier **out, inoc_err *err)
{
	search s = {.d = d, .p = p};
	inoci_classifier *c = inoci_alloc(sizeof *c);
	inoci_answer *a = answers_of(d);
	const inoci_template *t;
	bool *all = inoci_alloc(d->n + 1);
	const char *slash = strrchr(m->path, '/');
	int rc;
	*out = NULL;
	INOC_TRY(inoci_model_template(m, &t, err));
	INOC_TRY(make_search(&s, m, o, err));
	note_shared(d, p);
	*c = (inoci_classifier){.model_name = inoci_strdup(slash ? slash + 1 : m->path),
	                        .template_name = inoci_strdup(inoci_template_name(t)),
	                        .dtype = inoci_strdup(inoci_dtype_name(m->ops->dtype)),
	                        .model = m->hash,
	                        .data = d->hash,
	                        .threshold = 0.5};
	INOC_TRY(hidden(m, t, a, d->n, s.layers, s.n_layers, s.x, p, err));
	INOC_TRY(check(&s, m, err));
	INOC_TRY(cross_validate(&s, c, err));
	int at = best(&s, s.one_less);
	c->layer = s.layers[at / s.n_l2];
	for (size_t i = 0; i < d->n; i++) all[i] = true;
	INOC_TRY(inoci_logistic_fit(s.x + (size_t)(at / s.n_l2) * s.width, (size_t)s.n_layers * s.width, s.width, s.label, all,
	                            d->n, &s.l2[at % s.n_l2], 1, TOL_FINAL, &c->f, err));
	*out = c;
	c = NULL;
out:
	inoci_classifier_free(c);
	free(s.x), free(s.label), free(s.topic), free(s.fold), free(s.odds), free(s.without), free(s.one_less);
	free(a), free(all);
	return rc < 0 ? rc : 0;
}

int inoci_classifier_apply(const inoci_classifier *c, inoci_model *m, const inoci_answer *a, size_t n, double *p,
                           const inoci_progress *progress, inoc_err *err)
{
	size_t C = (size_t)m->hp.width;
	inoci_template *t = NULL;
	float *x = NULL;
	int rc;
	INOC_TRY(inoci_classifier_fits(c, m->hash.hex, m->path, err));
	if (c->layer > m->hp.n_layers || c->f.k != C) { /* a file that was tampered with */
		rc = inoci_err_set(err, INOC_E_FORMAT, "%s: layer %d of width %zu, the model has %d of width %zu", c->path,
		                   c->layer, c->f.k, m->hp.n_layers, C);
		goto out;
	}
	INOC_TRY(inoci_template_open(m->gguf, m->tok, c->template_name, &t, err));
	if (!(x = inoci_big_room((n * C + 1) * sizeof *x, "hidden states", err))) {
		rc = INOC_E_MEMORY;
		goto out;
	}
	INOC_TRY(hidden(m, t, a, n, &c->layer, 1, x, progress, err));
	for (size_t i = 0; i < n; i++) p[i] = isnan(x[i * C]) ? NAN : inoci_logistic(inoci_logistic_at(&c->f, x + i * C));
out:
	inoci_template_free(t);
	free(x);
	return rc < 0 ? rc : 0;
}
