/* Learning curves: at the steps that `train.eval_at` names, how probable the model in training finds held-out responses. They are
 * measured between optimizer steps and change nothing of the training, so they are in no adapter's key; an adapter that is there
 * without the curves asked for is trained once more, to the same bytes.
 *
 * Rows: curve(adapter, key of the examples, step); link_curve says which they are for an arm.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

int inoci_run_curves_open(inoci_run_state *r, inoc_err *err)
{
	r->curves = inoci_alloc((r->e->n_curves + 1) * sizeof *r->curves);
	for (size_t i = 0; i < r->e->n_curves; i++) {
		int rc = inoci_curve_set_open(&r->e->curves[i], &r->curves[i], err);
		if (rc < 0) return rc;
	}
	return 0;
}

void inoci_run_curves_close(inoci_run_state *r)
{
	for (size_t i = 0; r->curves && i < r->e->n_curves; i++) inoci_dataset_free(&r->curves[i]);
	free(r->curves);
}

/* With the arm's own prompt: its own system text, or its inoculation on every record. */
int inoci_run_curve_examples(const inoci_run_state *r, int arm, int set, bool prompt, uint64_t seed, inoci_probes *out,
                             inoc_err *err)
{
	const inoci_arm *a = &r->e->arms[arm];
	inoci_inoculation t = inoci_arm_prompt_always(a);
	bool text = prompt && a->own_system;
	return inoci_probes_make(r, &r->curves[set], NULL, r->curves[set].n, prompt && !text ? &t : NULL,
	                         text ? a->own_system : r->e->system, &a->recipe, seed, out, err);
}

static bool has_prompt(const inoci_arm *a)
{
	return a->has_inoculation || a->own_system;
}

int inoci_curve_jobs_make(const inoci_run_state *r, int arm, uint64_t seed, inoci_curve_jobs *out, inoc_err *err)
{
	const inoci_arm *a = &r->e->arms[arm];
	int rc = 0;
	*out = (inoci_curve_jobs){0};
	if (!a->recipe.n_eval_at) return 0;
	out->v = inoci_alloc((2 * r->e->n_curves + 1) * sizeof *out->v);
	for (size_t s = 0; s < r->e->n_curves; s++)
		for (int prompt = 0; prompt <= has_prompt(a); prompt++) {
			inoci_curve_job *j = &out->v[out->n];
			*j = (inoci_curve_job){.set = (int)s, .prompt = prompt == 1};
			INOC_TRY(inoci_run_curve_examples(r, arm, (int)s, prompt, seed, &j->m, err));
			out->n++;
		}
out:
	if (rc < 0) inoci_curve_jobs_free(out);
	return rc < 0 ? rc : 0;
}

void inoci_curve_jobs_free(inoci_curve_jobs *j)
{
	for (size_t i = 0; i < j->n; i++) inoci_probes_free(&j->v[i].m);
	free(j->v);
	*j = (inoci_curve_jobs){0};
}

int inoci_curve_jobs_run(inoci_run_state *r, const inoci_curve_jobs *jobs, int64_t adapter, inoci_adapter *a, int step,
                         inoc_err *err)
{
	int rc = 0;
	for (size_t i = 0; i < jobs->n; i++) {
		const inoci_probes *m = &jobs->v[i].m;
		double *v = inoci_alloc((m->e.n + 1) * sizeof *v), sum = 0;
		/* not to be stopped in the middle: the step is not over before */
		rc = inoci_examples_logprob(r->model, a, &m->e, 1024, v, NULL, err);
		for (size_t k = 0; k < m->e.n; k++) sum += v[k];
		free(v);
		if (rc >= 0 && !isfinite(sum))
			rc = inoci_err_set(err, INOC_E_LIMIT, "curves.%s: a log-probability became %g at step %d",
			                   r->e->curves[jobs->v[i].set].name, sum, step);
		if (rc >= 0)
			rc = inoci_store_exec(r->store, err,
			                      "INSERT OR REPLACE INTO curve(adapter, key, step, n, tokens, bytes, logprob)"
			                      " VALUES(?,?,?,?,?,?,?)",
			                      "isiiiid", adapter, m->e.hash.hex, (int64_t)step, (int64_t)m->e.n,
			                      (int64_t)m->e.n_loss_tokens, (int64_t)m->n_bytes, sum);
		if (rc < 0) return rc;
	}
	return 0;
}

int inoci_run_curves_ok(inoci_run_state *r, int arm, uint64_t seed, const char *key, bool *ok, inoc_err *err)
{
	const inoci_recipe *c = &r->e->arms[arm].recipe;
	inoci_curve_jobs jobs;
	int64_t adapter = 0, steps = 0;
	int rc;
	if (!c->n_eval_at) return 0;
	*ok = false;
	if (!r->store || r->store->schema < STORE_SCHEMA) return 0;
	INOC_TRY(inoci_curve_jobs_make(r, arm, seed, &jobs, err));
	INOC_TRY(inoci_store_int(r->store, &adapter, err, "SELECT id FROM adapter WHERE key = ? AND done = 1", "s", key));
	INOC_TRY(inoci_store_int(r->store, &steps, err, "SELECT steps FROM adapter WHERE id = ?", "i", adapter));
	*ok = true;
	for (size_t i = 0; i < jobs.n && *ok; i++)
		for (size_t k = 0; k < c->n_eval_at && *ok; k++) {
			int64_t there = 0;
			if (c->eval_at[k] > steps) continue;
			INOC_TRY(inoci_store_int(r->store, &there, err,
			                         "SELECT 1 FROM curve WHERE adapter = ? AND key = ? AND step = ?", "isi", adapter,
			                         jobs.v[i].m.e.hash.hex, (int64_t)c->eval_at[k]));
			*ok = there;
		}
	rc = 0;
out:
	inoci_curve_jobs_free(&jobs);
	return rc < 0 ? rc : 0;
}

int inoci_run_curves_link(inoci_run_state *r, const inoci_plan_item *item, int64_t adapter, inoc_err *err)
{
	const inoci_experiment *e = r->e;
	const char *arm = e->arms[item->arm].name;
	inoci_curve_jobs jobs = {0};
	int rc;
	INOC_TRY(inoci_store_exec(r->store, err, "DELETE FROM link_curve WHERE experiment = ? AND arm = ? AND seed = ?", "ssi",
	                          e->name, arm, (int64_t)item->seed));
	INOC_TRY(inoci_curve_jobs_make(r, item->arm, item->seed, &jobs, err));
	for (size_t i = 0; i < jobs.n; i++)
		INOC_TRY(inoci_store_exec(r->store, err,
		                          "INSERT OR REPLACE INTO link_curve(experiment, arm, seed, name, prompt, adapter, key) "
		                          "VALUES(?,?,?,?,?,?,?)",
		                          "ssisiis", e->name, arm, (int64_t)item->seed, e->curves[jobs.v[i].set].name,
		                          (int64_t)jobs.v[i].prompt, adapter, jobs.v[i].m.e.hash.hex));
out:
	inoci_curve_jobs_free(&jobs);
	return rc < 0 ? rc : 0;
}
