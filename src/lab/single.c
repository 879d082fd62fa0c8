/* single: one answer scored, without a store: its text, or what the model gives the texts of its record. */
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"
#include "lab/traits.h"

static int same_model(void *ctx, const char *sha256, inoci_model **out, inoc_err *err)
{
	(void)sha256, (void)err; /* the scorer refuses another one */
	*out = ctx;
	return 0;
}

/* The kind of evaluation that such a scorer reads; NULL: it is not to be told from the scorer. */
static const char *kind_of(const json_t *scorer)
{
	const char *type = json_string_value(json_is_string(scorer) ? scorer : json_object_get(scorer, "type"));
	for (int k = INOCI_MEASURE_LOGPROB; type && k <= INOCI_MEASURE_CANDIDATES; k++)
		if (!strcmp(type, inoci_measure_name((inoci_measure)k))) return type;
	return NULL;
}

/* An experiment of one evaluation, so that its keys are read and checked as everywhere. */
static int evaluation(json_t *scorer, const inoci_single *x, inoci_experiment **e, inoc_err *err)
{
	const char *kind = kind_of(scorer);
	inoci_buf text = {0};
	*e = NULL;
	if (!x->measure && !kind)
		return inoci_err_set(err, INOC_E_USAGE,
		                     "the scorer reads what an evaluation measures: say which, {\"measure\": \"contrast\", ...}");
	json_t *v = x->measure ? json_deep_copy(x->measure) : json_pack("{s:s}", "measure", kind);
	json_object_set_new(v, "prompts", json_string("item"));
	json_object_set_new(v, "system", json_string(x->system ? x->system : "none"));
	json_t *j = json_pack("{s:s, s:s, s:{s:{s:s}}, s:{s:o}}", "name", "single", "model", "given", "arms", "base", "role",
	                      "base", "evaluations", "item", v);
	json_object_set_new(j, "scorers",
	                    json_is_string(scorer) ? json_pack("[O]", scorer) : json_pack("[{s:O}]", "scorer", scorer));
	inoci_json_yaml(j, &text);
	int rc = inoci_experiment_parse("measure", text.data, text.len, NULL, 0, e, err);
	inoci_buf_free(&text);
	json_decref(j);
	return rc;
}

static inoci_record record_of(const inoci_single *x)
{
	inoci_record r = {.msgs = inoci_alloc(sizeof *r.msgs), .n_msgs = 1, .line = 1};
	r.msgs[0] = (inoci_msg){.role = inoci_strdup("user"), .content = inoci_strdup(x->user)};
	r.extra = x->item ? json_deep_copy(x->item) : json_object();
	if (x->text && !json_object_get(r.extra, "reference")) json_object_set_new(r.extra, "reference", json_string(x->text));
	return r;
}

static int measured(json_t *scorer, const inoci_single *x, inoci_model *m, inoci_adapter *a, char **text, inoc_err *err)
{
	const inoci_template *t;
	inoci_experiment *e = NULL;
	inoci_lab_prompts p = {0};
	inoci_record r = {0};
	int rc;
	*text = NULL;
	if (!m || !x->user)
		return inoci_err_set(err, INOC_E_USAGE, "the scorer measures log-probabilities, which needs %s",
		                     m ? "the question" : "a model");
	r = record_of(x);
	const inoci_dataset d = {.v = &r, .n = 1, .path = (char *)(uintptr_t) "item"};
	INOC_TRY(evaluation(scorer, x, &e, err));
	INOC_TRY(inoci_model_template(m, &t, err));
	INOC_TRY(inoci_prepare_prompts(t, &d, e, &e->arms[0], &e->evals[0], 0, m->hp.context, &p, err));
	if (!p.v[0].texts) {
		rc = inoci_err_set(err, INOC_E_USAGE,
		                   "the scorer reads what an evaluation measures, and this one samples: give \"measure\"");
		goto out;
	}
	INOC_TRY(inoci_measure_prompt(m, a, &p.v[0], err));
	*text = inoci_measured_json(&p.v[0].texts->m);
out:
	inoci_lab_prompts_free(&p);
	inoci_experiment_free(e);
	inoci_record_free(&r);
	return rc < 0 ? rc : 0;
}

int inoci_score_single(json_t *scorer, const inoci_single *x, inoci_model *m, inoci_adapter *a, double *value, inoc_err *err)
{
	const inoci_scorer_env env = {.model = m ? same_model : NULL, .ctx = m};
	inoci_scorer *s = NULL;
	char *text = NULL;
	int rc;
	INOC_TRY(inoci_scorer_new_in(NULL, scorer, &env, &s, err));
	inoci_answer answer = {.question = x->user, .text = x->text, .finish = INOCI_FINISH_STOP, .item = x->item};
	if (inoci_scorer_measured(s)) {
		INOC_TRY(measured(scorer, x, m, a, &text, err));
		answer.text = text;
		answer.finish = INOCI_FINISH_MEASURED;
	} else if (!x->text || x->measure) {
		rc = inoci_err_set(err, INOC_E_USAGE,
		                   x->measure ? "the scorer reads an answer's text, and none that is measured"
		                              : "there is no answer to score");
		goto out;
	}
	INOC_TRY(inoci_scorer_item(s, x->item, err));
	INOC_TRY(inoci_scorer_ready(s, err));
	answer.n = strlen(answer.text);
	INOC_TRY(inoci_scorer_apply_many(s, &answer, 1, value, NULL, err));
out:
	inoci_scorer_free(s);
	free(text);
	return rc < 0 ? rc : 0;
}
