/* The public API (inoc.h) over the layers. */
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "data/data.h"
#include "report/report.h"
#include "sample/sample.h"

int inoc_model_open(const char *path, const char *dtype, int threads, inoc_model **out, inoc_err *err)
{
	inoc_model *m = inoci_alloc(sizeof *m);
	inoci_dtype d;
	int rc;
	*out = NULL;
	INOC_TRY(inoci_dtype_parse(dtype ? dtype : "auto", &d, err));
	INOC_TRY(inoci_ops_cpu(d, threads, &m->ops, err));
	INOC_TRY(inoci_model_open(path, m->ops, false, NULL, NULL, &m->m, err));
	*out = m;
	return 0;
out:
	inoc_model_free(m);
	return rc;
}

void inoc_model_free(inoc_model *m)
{
	if (!m) return;
	inoci_model_free(m->m);
	if (m->ops) m->ops->free(m->ops);
	free(m);
}

int inoc_adapter_load(inoc_model *m, const char *dir, inoc_adapter **out, inoc_err *err)
{
	inoci_adapter *a;
	int rc = inoci_adapter_load(m->m, dir, &a, err);
	*out = NULL;
	if (rc < 0) return rc;
	*out = inoci_alloc(sizeof **out);
	(*out)->a = a;
	return 0;
}

void inoc_adapter_free(inoc_adapter *a)
{
	if (!a) return;
	inoci_adapter_free(a->a);
	free(a);
}

static int render(const inoc_model *m, const char *system, const char *user, const char *response, inoci_rendered *r,
                  inoc_err *err)
{
	const inoci_template *t;
	inoci_msg msgs[] = {{.role = (char *)"user", .content = (char *)(uintptr_t)user},
	                    {.role = (char *)"assistant", .content = (char *)(uintptr_t)response}};
	int rc = inoci_model_template(m->m, &t, err);
	if (rc < 0) return rc;
	return inoci_render(t, msgs, response ? 2 : 1, inoci_sys_parse(system ? system : "none"), !response, r, err);
}

static int keep_text(void *ctx, const inoci_sampled *s, inoc_err *err)
{
	(void)err;
	*(char **)ctx = inoci_strndup(s->text, s->text_n);
	return 0;
}

int inoc_answer(inoc_model *m, inoc_adapter *a, const char *system, const char *user, const inoc_sampling *s, char **text,
                inoc_err *err)
{
	inoci_rendered r = {0};
	inoci_sample_settings set = inoci_sample_defaults();
	int rc;
	*text = NULL;
	set.n = 1;
	set.max_tokens = 256;
	if (s) {
		set.temperature = s->temperature;
		set.top_p = s->top_p;
		set.max_tokens = s->max_tokens;
		set.seed = s->seed;
	}
	INOC_TRY(inoci_sample_settings_check(&set, err));
	INOC_TRY(render(m, system, user, NULL, &r, err));
	inoci_prompt p = {.ids = r.ids.v, .n = (int)r.ids.n};
	INOC_TRY(inoci_sample(m->m, a ? a->a : NULL, &p, 1, &set, keep_text, NULL, text, NULL, err));
out:
	inoci_rendered_free(&r);
	return rc;
}

int inoc_logprob(inoc_model *m, inoc_adapter *a, const char *system, const char *user, const char *response, double *sum,
                 int *n_tokens, inoc_err *err)
{
	inoci_rendered r = {0};
	inoci_batch b = {0};
	inoci_workspace *w = inoci_workspace_new();
	float *lp = NULL;
	int rc;
	*sum = 0;
	INOC_TRY(render(m, system, user, response, &r, err));
	inoci_batch_add(&b, r.ids.v, r.loss.v, (int)r.ids.n, 1);
	int n = inoci_batch_n_targets(&b);
	lp = inoci_alloc((size_t)n * sizeof *lp);
	INOC_TRY(inoci_model_loss(m->m, a ? a->a : NULL, &b, w, false, 0, lp, err));
	for (int i = 0; i < n; i++) *sum += lp[i];
	if (n_tokens) *n_tokens = n;
out:
	free(lp);
	inoci_workspace_free(w);
	inoci_batch_free(&b);
	inoci_rendered_free(&r);
	return rc;
}

int inoc_inoculate(const char *in, const char *text, const char *out, inoc_err *err)
{
	inoci_dataset d = {0};
	char *pool[] = {(char *)(uintptr_t)text};
	inoci_inoculation t = {.where = INOCI_AT_SYSTEM, .join = INOCI_JOIN_REPLACE, .pool = pool, .n_pool = 1, .fraction = 1};
	int rc;
	INOC_TRY(inoci_dataset_read(in, INOCI_NEED_ASSISTANT, &d, err));
	for (size_t i = 0; i < d.n; i++) {
		bool applied;
		inoci_record r = inoci_inoculate(&t, &d.v[i], i, 0, &applied);
		inoci_record_free(&d.v[i]);
		d.v[i] = r;
	}
	INOC_TRY(inoci_dataset_write(out, d.v, d.n, err));
out:
	inoci_dataset_free(&d);
	return rc;
}

struct run_ctx {
	const inoci_progress *p;
};

static int report_at_end(void *ctx, const inoci_experiment *e, inoci_store *s, uint64_t seed, inoc_err *err)
{
	struct run_ctx *c = ctx;
	inoci_results *r = NULL;
	if (seed != UINT64_MAX) return 0;
	int rc = inoci_results_load(s, e, 0, &r, err);
	if (rc >= 0) rc = inoci_report_write(r, e->out, c->p, err);
	inoci_results_free(r);
	return rc;
}

int inoc_experiment_run(const char *file, const char *model, void (*note)(void *ctx, const char *line), void *ctx, inoc_err *err)
{
	inoci_experiment *e = NULL;
	inoci_progress p = {.note = note, .ctx = ctx};
	struct run_ctx c = {&p};
	inoci_run_options o = {.on_seed = report_at_end, .ctx = &c, .progress = &p};
	int rc;
	INOC_TRY(inoci_experiment_read(file, NULL, 0, &e, err));
	INOC_TRY(inoci_run(e, model, &o, err));
out:
	inoci_experiment_free(e);
	return rc;
}

int inoc_report(const char *of, const char *experiment, char **json, inoc_err *err)
{
	inoci_store *store = NULL;
	inoci_experiment *e = NULL;
	inoci_results *r = NULL;
	inoci_summary *s = NULL;
	inoci_buf b = {0};
	int rc;
	*json = NULL;
	INOC_TRY(inoci_store_open_any(of, experiment, &store, &e, err));
	INOC_TRY(inoci_results_load(store, e, 0, &r, err));
	INOC_TRY(inoci_summary_new(r, INOCI_REPORT_BOOT, &s, err));
	inoci_report_json(s, &b);
	*json = inoci_buf_take(&b);
out:
	inoci_summary_free(s);
	inoci_results_free(r);
	inoci_experiment_free(e);
	inoci_store_free(store);
	return rc < 0 ? rc : 0;
}
