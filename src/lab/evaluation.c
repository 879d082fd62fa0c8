/* The experiment file's evaluations: which prompts, under which system turn, and whether answers are sampled or measured. */
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

#define MAX_TEXTS 64
#define MAX_CANDIDATES 1000
#define ASK "Answer with the letter of the right option."

static const char *const measures[] = {"logprob", "contrast", "choice", "candidates", NULL};

const char *inoci_measure_name(inoci_measure m)
{
	return m == INOCI_MEASURE_NONE ? NULL : measures[m - INOCI_MEASURE_LOGPROB];
}

bool inoci_evaluation_fits(const inoci_evaluation *v, const inoci_scorer *s)
{
	size_t n = v->measure == INOCI_MEASURE_CANDIDATES ? v->n_candidates : v->n_texts;
	const char **names = inoci_alloc((n + 1) * sizeof *names);
	for (size_t i = 0; i < n; i++) names[i] = v->measure == INOCI_MEASURE_CANDIDATES ? v->candidates[i].name : v->texts[i];
	bool fits = inoci_scorer_fits(s, inoci_measure_name(v->measure), names, n);
	free(names);
	return fits;
}

void inoci_strings_free(char **v, size_t n)
{
	for (size_t i = 0; i < n; i++) free(v[i]);
	free(v);
}

void inoci_evaluation_free(inoci_evaluation *v)
{
	free(v->name), free(v->label), free(v->prompts), free(v->system), free(v->allowed), free(v->ask);
	inoci_strings_free(v->stop, v->n_stop);
	inoci_strings_free(v->texts, v->n_texts);
	for (size_t i = 0; i < v->n_candidates; i++) {
		free(v->candidates[i].name);
		inoci_strings_free(v->candidates[i].forms, v->candidates[i].n_forms);
	}
	free(v->candidates);
}

/* ---- keys ---- */

static int read_greedy(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	(void)ctx;
	if (n->kind != YN_SCALAR || strcmp(n->s, "true"))
		return inoci_yaml_err(n, err, "greedy can only be true; otherwise give a temperature");
	((inoci_evaluation *)dst)->sampling.temperature = 0;
	return 0;
}

static int read_measure(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_evaluation *v = dst;
	size_t k = 0;
	(void)ctx;
	while (measures[k] && (n->kind != YN_SCALAR || strcmp(n->s, measures[k]))) k++;
	if (!measures[k])
		return inoci_yaml_err(n, err, "measure must be one of logprob, contrast, choice, candidates%s%.60s%s",
		                      n->kind == YN_SCALAR ? ", not '" : "", n->kind == YN_SCALAR ? n->s : "",
		                      n->kind == YN_SCALAR ? "'" : "");
	v->measure = (inoci_measure)(INOCI_MEASURE_LOGPROB + k);
	return 0;
}

static int read_by(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_evaluation *v = dst;
	(void)ctx;
	v->by_letter = n->kind == YN_SCALAR && !strcmp(n->s, "letter");
	if (!v->by_letter && (n->kind != YN_SCALAR || strcmp(n->s, "text")))
		return inoci_yaml_err(n, err, "by must be letter or text: what of an option is measured");
	v->show = v->by_letter; /* its own key, read behind this one, says otherwise */
	return 0;
}

static int add_candidate(inoci_evaluation *v, const inoci_ynode *name, const inoci_ynode *forms, inoc_err *err)
{
	const inoci_ynode *const *items = forms->kind == YN_SEQ ? (const inoci_ynode *const *)forms->items : &forms;
	size_t n = forms->kind == YN_SEQ ? forms->n : 1;
	inoci_candidate *c = &v->candidates[v->n_candidates++];
	*c = (inoci_candidate){.name = inoci_strdup(name->s), .forms = inoci_alloc((n + 1) * sizeof(char *))};
	if (!n) return inoci_yaml_err(name, err, "candidate '%.60s' has no forms", name->s);
	for (size_t i = 0; i < n; i++) {
		if (items[i]->kind != YN_SCALAR || !*items[i]->s)
			return inoci_yaml_err(items[i]->kind == YN_NULL ? name : items[i], err,
			                      "a form of candidate '%.60s' must be a text that is not empty", name->s);
		for (size_t k = 0; k < v->n_candidates; k++)
			for (size_t f = 0; f < v->candidates[k].n_forms; f++)
				if (!strcmp(v->candidates[k].forms[f], items[i]->s))
					return inoci_yaml_err(
					        items[i], err,
					        "the form '%.60s' is given twice: its probability would count twice",
					        items[i]->s);
		c->forms[c->n_forms++] = inoci_strdup(items[i]->s);
	}
	return 0;
}

static int read_candidates(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_evaluation *v = dst;
	(void)ctx;
	if ((n->kind != YN_SEQ && n->kind != YN_MAP) || !n->n || n->n > MAX_CANDIDATES)
		return inoci_yaml_err(
		        n, err,
		        "candidates must be a list of 1 to %d texts, or a mapping from names to forms: {owl: [owl, Owl.]}",
		        MAX_CANDIDATES);
	v->candidates = inoci_alloc(n->n * sizeof *v->candidates);
	for (size_t i = 0; i < n->n; i++) {
		const inoci_ynode *name = n->kind == YN_MAP ? n->keys[i] : n->items[i];
		if (name->kind != YN_SCALAR) return inoci_yaml_err(name, err, "a candidate must be a text");
		int rc = add_candidate(v, name, n->items[i], err);
		if (rc < 0) return rc;
	}
	return 0;
}

/* Read when all that it fills is. */
static int read_later(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	return (void)n, (void)dst, (void)ctx, (void)err, 0;
}

#define EV(f) offsetof(inoci_evaluation, f)
#define SMP(f) offsetof(inoci_evaluation, sampling.f)
static const inoci_ykey eval_keys[] = {
        {"label", Y_STR, .offset = EV(label)},
        {"prompts", Y_STR, .required = true, .offset = EV(prompts)},
        {"system", Y_STR, .offset = EV(system)},
        {"preset", Y_CALL, .call = read_later},
        {"for", Y_CALL, .call = read_later},
        {"limit", Y_INT, .offset = EV(limit), .min = 1, .max = INT_MAX},
        {"temperature", Y_DBL, .offset = SMP(temperature), .min = 0, .max = 1000},
        {"greedy", Y_CALL, .call = read_greedy},
        {"top_k", Y_INT, .offset = SMP(top_k), .min = 0, .max = 1 << 30},
        {"top_p", Y_DBL, .offset = SMP(top_p), .min = 0, .max = 1},
        {"min_p", Y_DBL, .offset = SMP(min_p), .min = 0, .max = 1},
        {"repetition_penalty", Y_DBL, .offset = SMP(repetition_penalty), .min = 0, .max = 1000},
        {"max_tokens", Y_INT, .offset = SMP(max_tokens), .min = 1, .max = 1 << 20},
        {"n", Y_INT, .offset = SMP(n), .min = 1, .max = 100000},
        {"stop", Y_STRS, .offset = EV(stop), .offset2 = EV(n_stop)},
        {"allowed", Y_STR, .offset = EV(allowed)},
        {"measure", Y_CALL, .call = read_measure},
        {"texts", Y_STRS, .offset = EV(texts), .offset2 = EV(n_texts)},
        {"by", Y_CALL, .call = read_by},
        {"show", Y_BOOL, .offset = EV(show)},
        {"ask", Y_STR, .offset = EV(ask)},
        {"candidates", Y_CALL, .call = read_candidates},
};

/* Which keys are of which kind of evaluation: bits by inoci_measure; what is not here is of all. */
#define OF(m) (1u << INOCI_MEASURE_##m)
static const struct {
	const char *key;
	unsigned of;
} kinds[] = {
        {"temperature", OF(NONE)},
        {"greedy", OF(NONE)},
        {"top_k", OF(NONE)},
        {"top_p", OF(NONE)},
        {"min_p", OF(NONE)},
        {"repetition_penalty", OF(NONE)},
        {"max_tokens", OF(NONE)},
        {"n", OF(NONE)},
        {"stop", OF(NONE)},
        {"allowed", OF(NONE)},
        {"preset", OF(NONE)},
        {"for", OF(NONE)},
        {"by", OF(CHOICE)},
        {"texts", OF(LOGPROB) | OF(CONTRAST)},
        {"show", OF(CHOICE)},
        {"ask", OF(CHOICE)},
        {"candidates", OF(CANDIDATES)},
};

static int check_kind(const inoci_evaluation *v, const inoci_ynode *at, inoc_err *err)
{
	for (size_t i = 0; i < INOCI_COUNT(kinds); i++) {
		const inoci_ynode *n = inoci_yaml_get(at, kinds[i].key);
		if (!n || kinds[i].of >> v->measure & 1) continue;
		if (kinds[i].of == OF(NONE))
			return inoci_yaml_err(n, err,
			                      "evaluation '%s' measures log-probabilities and samples nothing: %s does not apply",
			                      v->name, kinds[i].key);
		return inoci_yaml_err(n, err, "evaluation '%s': %s is of %s", v->name, kinds[i].key,
		                      kinds[i].of == OF(CHOICE)       ? "measure: choice"
		                      : kinds[i].of == OF(CANDIDATES) ? "measure: candidates"
		                                                      : "measure: logprob and contrast");
	}
	return 0;
}

static void default_texts(inoci_evaluation *v)
{
	static const char *const names[] = {"reference", "trait", "normal"};
	size_t from = v->measure == INOCI_MEASURE_CONTRAST;
	v->texts = inoci_alloc(2 * sizeof *v->texts);
	for (size_t i = from; i < (from ? 3 : 1); i++) v->texts[v->n_texts++] = inoci_strdup(names[i]);
}

static int finish_measured(inoci_evaluation *v, const inoci_ynode *at, inoc_err *err)
{
	bool fields = v->measure == INOCI_MEASURE_LOGPROB || v->measure == INOCI_MEASURE_CONTRAST;
	const inoci_ynode *n = inoci_yaml_get(at, "texts");
	if (fields && !n) default_texts(v);
	if (v->n_texts > MAX_TEXTS || (n && v->n_texts < (v->measure == INOCI_MEASURE_CONTRAST ? 2 : 1)))
		return inoci_yaml_err(n, err, "evaluation '%s': texts must name %d to %d fields of the records", v->name,
		                      v->measure == INOCI_MEASURE_CONTRAST ? 2 : 1, MAX_TEXTS);
	for (size_t i = 0; i < v->n_texts; i++)
		for (size_t k = 0; k < i; k++)
			if (!strcmp(v->texts[i], v->texts[k]))
				return inoci_yaml_err(n, err, "evaluation '%s': text '%.60s' is given twice", v->name,
				                      v->texts[i]);
	if (v->measure == INOCI_MEASURE_CHOICE && !v->ask) v->ask = inoci_strdup(v->by_letter ? ASK : "");
	if (v->measure == INOCI_MEASURE_CANDIDATES && !v->n_candidates)
		return inoci_yaml_err(
		        at, err, "evaluation '%s' measures candidates and names none: candidates: [owl, eagle, ...]", v->name);
	return 0;
}

static int finish_sampled(inoci_evaluation *v, const inoci_ynode *at, inoc_err *err)
{
	v->sampling.stop = (const char *const *)v->stop;
	v->sampling.n_stop = v->n_stop;
	v->sampling.allowed = v->allowed;
	if (v->sampling.temperature == 0 && v->sampling.n > 1)
		return inoci_yaml_err(at, err, "evaluation '%s' is greedy: %d samples of a prompt would all be the same", v->name,
		                      v->sampling.n);
	if (inoci_sample_settings_check(&v->sampling, err) < 0)
		return inoci_err_prefix(err, "%s: evaluations.%s", at->where, v->name), INOC_E_FORMAT;
	return 0;
}

int inoci_evaluations_read(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_experiment *e = dst;
	int rc = inoci_yaml_each_named(n, "evaluations", YAML_MAX_NAMED, err);
	if (rc < 0) return rc;
	e->evals = inoci_alloc(n->n * sizeof *e->evals);
	for (size_t i = 0; i < n->n; i++) {
		inoci_evaluation *v = &e->evals[e->n_evals++];
		const inoci_ynode *at = n->items[i];
		v->name = inoci_strdup(n->keys[i]->s);
		v->line = n->keys[i]->line;
		v->sampling = inoci_sample_defaults();
		v->system = inoci_strdup("none");
		if (at->kind == YN_MAP && inoci_yaml_get(at, "greedy") && inoci_yaml_get(at, "temperature"))
			return inoci_yaml_err(at, err, "evaluation '%s' gives both greedy and temperature; give one", v->name);
		char *what = inoci_asprintf("evaluations.%s", v->name);
		rc = inoci_yaml_fill(at, what, eval_keys, INOCI_COUNT(eval_keys), v, ctx, err);
		free(what);
		if (rc < 0 || (rc = check_kind(v, at, err)) < 0 || (rc = inoci_evaluation_preset(v, at, err)) < 0) return rc;
		if (!v->label) v->label = inoci_strdup(v->name);
		inoci_experiment_resolve(e, at->kind == YN_MAP ? inoci_yaml_get(at, "prompts") : NULL, &v->prompts);
		if (v->measure) v->sampling.n = 1;
		if ((rc = v->measure ? finish_measured(v, at, err) : finish_sampled(v, at, err)) < 0) return rc;
	}
	return 0;
}

/* ---- with the scorers ---- */

char *inoci_experiment_fitting(const inoci_experiment *e, const inoci_scorer *s, const char *on)
{
	inoci_buf b = {0};
	size_t n = 0;
	inoci_buf_puts(&b, ",");
	for (size_t v = 0; v < e->n_evals; v++) {
		if (!inoci_experiment_applies(e, on, (int)v) || !inoci_evaluation_fits(&e->evals[v], s)) continue;
		inoci_buf_printf(&b, "%s,", e->evals[v].name);
		n++;
	}
	if (n < e->n_evals) return inoci_buf_take(&b);
	inoci_buf_free(&b);
	return NULL;
}

/* Are the evaluations asked for there, and does it say something of each? */
static int check_on(const inoci_experiment *e, const inoci_scorer_spec *x, const inoci_scorer *s, const inoci_ynode *at,
                    inoc_err *err)
{
	for (const char *p = x->on; p && p[1]; p += 1 + strcspn(p + 1, ",")) {
		char *name = inoci_strndup(p + 1, strcspn(p + 1, ","));
		int v = inoci_experiment_eval(e, name), rc = 0;
		if (v < 0)
			rc = inoci_yaml_err(at, err, "on: '%.60s' is not one of this experiment's evaluations", name);
		else if (!inoci_evaluation_fits(&e->evals[v], s))
			rc = inoci_yaml_err(at, err, "on: scorer '%s' says nothing of evaluation '%s': %s", x->name, name,
			                    e->evals[v].measure ? "it does not read what that measures"
			                                        : "that samples, and measures nothing");
		free(name);
		if (rc < 0) return rc;
	}
	return 0;
}

int inoci_experiment_change(const inoci_experiment *e, const inoci_scorer *s)
{
	const char *name = inoci_scorer_change(s);
	int arm = name ? inoci_experiment_arm(e, name) : -1;
	return arm < 0 && name && !strcmp(name, "base") ? inoci_experiment_only(e, name) : arm;
}

static int fit(const inoci_experiment *e, inoci_scorer_spec *x, const inoci_scorer *s, const inoci_ynode *at, inoc_err *err)
{
	int rc = check_on(e, x, s, at, err);
	if (rc < 0) return rc;
	char *on = inoci_experiment_fitting(e, s, x->on);
	free(x->on);
	x->on = on;
	if (on && !on[1])
		return inoci_yaml_err(at, err, "scorer '%s' says nothing of any evaluation: %s", x->name,
		                      inoci_scorer_measured(s)
		                              ? "it needs one that measures the texts it names (measure: ...; texts, candidates)"
		                              : "it reads sampled answers, and all evaluations measure");
	const char *change = inoci_scorer_change(s);
	int arm = inoci_experiment_change(e, s);
	x->change = arm < 0 ? NULL : e->arms[arm].name;
	if (!change || arm >= 0) return 0;
	if (strcmp(change, "base") != 0)
		return inoci_yaml_err(at, err,
		                      "scorer '%s' is the change against '%.60s', which is not one of this experiment's arms",
		                      x->name, change);
	size_t bases = 0;
	for (size_t a = 0; a < e->n_arms; a++) bases += !strcmp(e->arms[a].role, "base");
	return inoci_yaml_err(at, err, "scorer '%s' is the change against base, and %s", x->name,
	                      bases ? "there are several arms of role base; name one" : "there is no arm of role base");
}

int inoci_experiment_fit_scorers(inoci_experiment *e, const inoci_ynode *root, inoc_err *err)
{
	const inoci_ynode *list = inoci_yaml_get(root, "scorers");
	const inoci_scorer_env env = {.dir = e->dir, .settings_only = true};
	int rc = 0;
	for (size_t i = 0; i < e->n_scorers && rc == 0; i++) {
		inoci_scorer_spec *x = &e->scorers[i];
		const inoci_ynode *at = x->added ? list : list->items[i];
		inoci_scorer *s;
		if ((rc = inoci_scorer_new_in(x->name, x->settings, &env, &s, err)) < 0) return rc;
		rc = fit(e, x, s, at->kind == YN_MAP ? at->keys[0] : at, err);
		inoci_scorer_free(s);
	}
	return rc;
}
