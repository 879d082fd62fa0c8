/* From records to what is computed: training examples, evaluation prompts, and the file of training metrics. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab/internal.h"

int inoci_lab_ops(const char *dtype, int threads, inoci_ops **out, inoc_err *err)
{
	inoci_dtype d = inoci_ops_cpu_best();
	*out = NULL;
	if (dtype && strcmp(dtype, "auto")) {
		int rc = inoci_dtype_parse(dtype, &d, err);
		if (rc < 0) return rc;
	}
	return inoci_ops_cpu(d, threads, out, err);
}

/* ---- training examples ---- */

static int add_example(const inoci_template *t, const inoci_record *r, const char *path, const inoci_prepare *p,
                       inoci_examples *to, char **first, size_t *dropped, inoc_err *err)
{
	inoci_rendered v = {0};
	int rc, last = -1, max = p->recipe->max_length;
	bool any = false;
	if (!max || max > p->context) max = p->context;
	INOC_TRY(inoci_render(t, r->msgs, r->n_msgs, inoci_sys_parse(p->system), false, &v, err));
	for (size_t i = 0; i < r->n_msgs; i++)
		if (!strcmp(r->msgs[i].role, "assistant")) last = (int)i;
	for (size_t i = 0; i < v.ids.n; i++) {
		int turn = v.turn.v[i];
		if ((p->recipe->loss_last && turn != last) || (turn >= 0 && inoci_record_weightless(r, (size_t)turn)))
			v.loss.v[i] = 0;
		any |= i > 0 && v.loss.v[i];
	}
	if (v.ids.n > (size_t)max) {
		if (!p->recipe->drop_too_long) {
			rc = inoci_err_set(err, INOC_E_LIMIT,
			                   "%s:%d: the example is %zu tokens long, the limit is %d; shorten it, or leave such "
			                   "examples out: --too-long drop (`too_long: drop` in an experiment file)",
			                   path, r->line, v.ids.n, max);
			goto out;
		}
		(*dropped)++;
		goto out;
	}
	if (!any) {
		rc = inoci_err_set(err, INOC_E_FORMAT, "%s:%d: no token of the example is trained on (weights 0?)", path,
		                   r->line);
		goto out;
	}
	inoci_examples_add(to, v.ids.v, v.loss.v, (int)v.ids.n);
	if (first && !*first) *first = inoci_strndup(v.text.data, v.text.len);
out:
	inoci_rendered_free(&v);
	return rc < 0 ? rc : 0;
}

int inoci_prepare_example(const inoci_template *t, const inoci_record *r, const char *path, const inoci_prepare *p,
                          inoci_examples *to, bool *dropped, inoc_err *err)
{
	size_t n = 0;
	int rc = add_example(t, r, path, p, to, NULL, &n, err);
	*dropped = n > 0;
	return rc;
}

int inoci_prepare_examples(const inoci_template *t, const inoci_dataset *d, const inoci_prepare *p, inoci_prepared *out,
                           inoc_err *err)
{
	int rc = 0;
	inoci_dataset extra = {0};
	bool *held = inoci_alloc(d->n + 1);
	*out = (inoci_prepared){0};
	if (p->recipe->validation > 0 && d->n) {
		int32_t *order = inoci_alloc(d->n * sizeof *order);
		inoci_rng r = inoci_rng_new(p->seed, "validation", 0, 0);
		for (size_t i = 0; i < d->n; i++) order[i] = (int32_t)i;
		inoci_rng_shuffle(&r, order, d->n);
		size_t n = (size_t)lround(p->recipe->validation * (double)d->n);
		if (!n) n = 1;
		for (size_t i = 0; i < n && i < d->n; i++) held[order[i]] = true;
		free(order);
	}
	if (p->recipe->validation_file)
		INOC_TRY(inoci_dataset_read(p->recipe->validation_file, INOCI_NEED_ASSISTANT, &extra, err));
	for (size_t i = 0; i < d->n + extra.n; i++) {
		bool own = i < d->n, applied = false;
		const inoci_record *r = own ? &d->v[i] : &extra.v[i - d->n];
		inoci_record changed =
		        p->inoculation ? inoci_inoculate(p->inoculation, r, i, p->seed, &applied) : inoci_record_copy(r);
		bool val = !own || held[i];
		changed.line = r->line;
		rc = add_example(t, &changed, own ? d->path : extra.path, p, val ? &out->val : &out->train,
		                 val ? NULL : &out->first_text, &out->n_dropped, err);
		out->n_inoculated += !val && applied;
		inoci_record_free(&changed);
		if (rc < 0) goto out;
	}
	if (!out->train.n) {
		rc = inoci_err_set(err, INOC_E_FORMAT,
		                   "%s: no training examples are left (%zu records, %zu too long, %zu held out)", d->path, d->n,
		                   out->n_dropped, out->val.n);
		goto out;
	}
	if (!out->first_text) out->first_text = inoci_strdup("");
	inoci_examples_seal(&out->train);
	inoci_examples_seal(&out->val);
out:
	inoci_dataset_free(&extra);
	free(held);
	if (rc < 0) inoci_prepared_free(out);
	return rc;
}

void inoci_prepared_free(inoci_prepared *p)
{
	inoci_examples_free(&p->train);
	inoci_examples_free(&p->val);
	free(p->first_text);
	*p = (inoci_prepared){0};
}

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

/* ---- evaluation prompts ---- */

static const char *last_question(const inoci_record *r)
{
	for (size_t i = r->n_msgs; i-- > 0;)
		if (!strcmp(r->msgs[i].role, "user")) return r->msgs[i].content;
	return "";
}

int inoci_prepare_prompts(const inoci_template *t, const inoci_dataset *d, const inoci_experiment *e, const inoci_arm *arm,
                          const inoci_evaluation *ev, uint64_t seed, int context, inoci_lab_prompts *out, inoc_err *err)
{
	size_t n = ev->limit && (size_t)ev->limit < d->n ? (size_t)ev->limit : d->n;
	bool own = !strcmp(ev->system, "own"), applied;
	const char *system = !own ? ev->system : arm->own_system ? arm->own_system : e->system;
	inoci_inoculation all = arm->inoculation; /* every prompt, whatever share of the training records */
	all.fraction = 1;
	all.tag = NULL;
	*out = (inoci_lab_prompts){.v = inoci_alloc((n + 1) * sizeof *out->v), .n = n};
	for (size_t i = 0; i < n; i++) {
		inoci_lab_prompt *q = &out->v[i];
		inoci_rendered v = {0};
		size_t longest = 1; /* behind the prompt */
		int rc = inoci_measure_texts(t, ev, &d->v[i], &q->texts, err);
		if (rc == 0) {
			inoci_record asked = inoci_measure_asked(ev, &d->v[i], q->texts);
			inoci_record r = own && !arm->own_system && arm->has_inoculation
			                         ? inoci_inoculate(&all, &asked, i, seed, &applied)
			                         : inoci_record_copy(&asked);
			rc = inoci_render(t, r.msgs, r.n_msgs, inoci_sys_parse(system), true, &v, err);
			inoci_record_free(&asked);
			inoci_record_free(&r);
		}
		for (size_t k = 0; q->texts && k < q->texts->m.n; k++)
			if (q->texts->tail[k].n > longest) longest = q->texts->tail[k].n;
		if (rc == 0 && v.ids.n + longest > (size_t)context)
			rc = q->texts ? inoci_err_set(
			                        err, INOC_E_LIMIT,
			                        "%zu tokens and %zu of a text to measure: more than the model's context of %d; "
			                        "shorten it",
			                        v.ids.n, longest, context)
			              : inoci_err_set(
			                        err, INOC_E_LIMIT,
			                        "%zu tokens; the model's context of %d leaves no room for an answer; shorten it",
			                        v.ids.n, context);
		if (rc < 0) {
			inoci_err_prefix(err, "%s:%d", d->path, d->v[i].line);
			inoci_rendered_free(&v);
			inoci_lab_prompts_free(out);
			return rc;
		}
		q->n = (int)v.ids.n;
		q->hash = inoci_hash_bytes(v.ids.v, v.ids.n * sizeof *v.ids.v);
		char head[17];
		memcpy(head, q->hash.hex, 16);
		head[16] = 0;
		q->key = strtoull(head, NULL, 16);
		if (d->v[i].extra) {
			inoci_hasher *h = inoci_hasher_new();
			q->item = json_dumps(d->v[i].extra, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
			inoci_hasher_str(h, q->hash.hex);
			inoci_hasher_str(h, q->item);
			q->hash = inoci_hasher_end(h);
		}
		q->question = inoci_strdup(last_question(&d->v[i]));
		q->text = inoci_strndup(v.text.data ? v.text.data : "", v.text.len);
		q->ids = v.ids.v;
		v.ids = (inoci_i32s){0};
		inoci_rendered_free(&v);
	}
	return 0;
}

void inoci_lab_prompts_free(inoci_lab_prompts *p)
{
	for (size_t i = 0; p->v && i < p->n; i++) {
		free(p->v[i].ids), free(p->v[i].question), free(p->v[i].text), free(p->v[i].item);
		inoci_measure_texts_free(p->v[i].texts);
	}
	free(p->v);
	*p = (inoci_lab_prompts){0};
}

/* ---- metrics ---- */

struct inoci_metrics_file {
	char *path;
	FILE *f;
};

int inoci_metrics_open(const char *path, inoci_metrics_file **out, inoc_err *err)
{
	*out = NULL;
	FILE *f = fopen(path, "ae");
	if (!f) return inoci_err_set(err, INOC_E_IO, "%s: cannot be written: %s", path, strerror(errno));
	inoci_metrics_file *m = inoci_alloc(sizeof *m);
	*m = (inoci_metrics_file){.path = inoci_strdup(path), .f = f};
	*out = m;
	return 0;
}

int inoci_metrics_resume(inoci_metrics_file *m, int step, inoc_err *err)
{
	char *text = NULL;
	size_t n = 0;
	inoci_buf keep = {0};
	int rc = inoci_file_read(m->path, &text, &n, err);
	if (rc < 0) return rc;
	for (char *line = text, *end; line < text + n; line = end) {
		char *nl = memchr(line, '\n', (size_t)(text + n - line));
		end = nl ? nl + 1 : text + n;
		json_t *j = nl ? json_loadb(line, (size_t)(nl - line), 0, NULL) : NULL; /* a cut last line is dropped */
		json_t *s = json_object_get(j, "step");
		if (json_is_integer(s) && json_integer_value(s) <= step) inoci_buf_append(&keep, line, (size_t)(end - line));
		json_decref(j);
	}
	if (keep.len != n) {
		rc = inoci_file_write(m->path, keep.data ? keep.data : "", keep.len, err);
		FILE *f = rc == 0 ? freopen(m->path, "ae", m->f) : m->f;
		if (!f) rc = inoci_err_set(err, INOC_E_IO, "%s: cannot be written: %s", m->path, strerror(errno));
		m->f = f;
	}
	inoci_buf_free(&keep);
	free(text);
	return rc;
}

int inoci_metrics_add(inoci_metrics_file *m, const inoci_metric *x, inoc_err *err)
{
	json_t *j = json_pack("{s:i, s:i, s:f, s:f, s:f, s:o, s:I, s:I}", "step", x->step, "steps", x->steps, "lr", x->lr, "loss",
	                      x->loss, "grad_norm", isfinite(x->grad_norm) ? x->grad_norm : -1.0, "val_loss",
	                      isnan(x->val_loss) ? json_null() : json_real(x->val_loss), "tokens", (json_int_t)x->tokens,
	                      "loss_tokens", (json_int_t)x->loss_tokens);
	char *s = j ? json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
	json_decref(j);
	bool bad = !m->f || !s || fprintf(m->f, "%s\n", s) < 0 || fflush(m->f) != 0;
	free(s);
	return bad ? inoci_err_set(err, INOC_E_IO, "%s: cannot be written: %s", m->path, strerror(errno)) : 0;
}

char *inoci_train_saved(const inoci_train_result *r)
{
	if (isnan(r->val_loss)) return NULL;
	if (!r->saved_step) return inoci_asprintf("saved: validation %.3f", r->val_loss);
	return inoci_asprintf("saved: step %d, validation %.3f", r->saved_step, r->val_loss);
}

void inoci_metrics_close(inoci_metrics_file *m)
{
	if (!m) return;
	if (m->f) fclose(m->f);
	free(m->path);
	free(m);
}
