/* Held-out responses whose log-probability is followed through training (`curves`, `train.eval_at`), and the directions between
 * them (`directions`): their schema, and their examples as an arm renders them. */
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

/* ---- schema ---- */

#define SET(f) offsetof(inoci_curve_set, f)
static const inoci_ykey set_keys[] = {
        {"records", Y_STR, .required = true, .offset = SET(path)},
        {"reference", Y_STR, .offset = SET(reference)},
        {"limit", Y_INT, .offset = SET(limit), .min = 1, .max = INT_MAX},
};

int inoci_curves_read(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_experiment *e = dst;
	if (n->kind != YN_MAP || !n->n || n->n > INOCI_MAX_CURVES)
		return inoci_yaml_err(n, err,
		                      "curves must be a mapping from 1 to %d names to files of records, or {records, reference, "
		                      "limit}",
		                      INOCI_MAX_CURVES);
	e->curves = inoci_alloc(n->n * sizeof *e->curves);
	for (size_t i = 0; i < n->n; i++) {
		inoci_curve_set *c = &e->curves[e->n_curves++];
		char *what = inoci_asprintf("curves.%s", n->keys[i]->s);
		int rc = inoci_yaml_name(n->keys[i], "curves", err);
		c->name = inoci_strdup(n->keys[i]->s);
		if (rc == 0 && n->items[i]->kind == YN_SCALAR)
			c->path = inoci_strdup(n->items[i]->s);
		else if (rc == 0)
			rc = inoci_yaml_fill(n->items[i], what, set_keys, INOCI_COUNT(set_keys), c, ctx, err);
		free(what);
		if (rc < 0) return rc;
		const inoci_ynode *at = n->items[i]->kind == YN_MAP ? inoci_yaml_get(n->items[i], "records") : n->items[i];
		inoci_experiment_resolve(e, at, &c->path);
	}
	return 0;
}

static int set_named(const inoci_experiment *e, const inoci_ynode *n, const char *what, int *out, inoc_err *err)
{
	const char *names[INOCI_MAX_CURVES];
	for (size_t i = 0; i < e->n_curves; i++) names[i] = e->curves[i].name;
	for (*out = 0; *out < (int)e->n_curves; ++*out)
		if (n->kind == YN_SCALAR && !strcmp(e->curves[*out].name, n->s)) return 0;
	const char *near = n->kind == YN_SCALAR ? inoci_nearest(n->s, names, e->n_curves) : NULL;
	return inoci_yaml_err(n, err, "%s: '%.60s' is none of the curves%s%s%s", what, n->kind == YN_SCALAR ? n->s : "(no name)",
	                      near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

int inoci_directions_read(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_experiment *e = dst;
	(void)ctx;
	if (n->kind != YN_MAP || !n->n || n->n > INOCI_MAX_CURVES)
		return inoci_yaml_err(n, err, "directions must be a mapping from names to two of the curves: [toward, from]");
	e->directions = inoci_alloc(n->n * sizeof *e->directions);
	for (size_t i = 0; i < n->n; i++) {
		inoci_direction *d = &e->directions[e->n_directions++];
		const inoci_ynode *v = n->items[i];
		char what[100];
		int rc = inoci_yaml_name(n->keys[i], "directions", err);
		d->name = inoci_strdup(n->keys[i]->s);
		snprintf(what, sizeof what, "directions.%.60s", d->name);
		if (rc == 0 && (v->kind != YN_SEQ || v->n != 2))
			rc = inoci_yaml_err(v, err, "%s must be two of the curves: [toward, from]", what);
		if (rc == 0) rc = set_named(e, v->items[0], what, &d->toward, err);
		if (rc == 0) rc = set_named(e, v->items[1], what, &d->from, err);
		if (rc < 0) return rc;
	}
	return 0;
}

int inoci_eval_at_read(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_recipe *r = dst;
	(void)ctx;
	r->n_eval_at = 0;
	if (n->kind != YN_SEQ || n->n > INOCI_COUNT(r->eval_at))
		return inoci_yaml_err(n, err, "train.eval_at must be a list of at most %zu optimizer steps ([0, 1, 2, 4])",
		                      INOCI_COUNT(r->eval_at));
	for (size_t i = 0; i < n->n; i++) {
		int64_t v;
		int rc = inoci_yaml_int(n->items[i], "train.eval_at", 0, 10000000, &v, err);
		if (rc < 0) return rc;
		if (i && v <= r->eval_at[i - 1])
			return inoci_yaml_err(n->items[i], err, "train.eval_at: steps must ascend; %lld comes after %d",
			                      (long long)v, r->eval_at[i - 1]);
		r->eval_at[r->n_eval_at++] = (int)v;
	}
	return 0;
}

int inoci_curves_check(const inoci_experiment *e, const inoci_ynode *root, inoc_err *err)
{
	for (size_t i = 0; i < e->n_arms; i++)
		if (e->arms[i].train && e->arms[i].recipe.n_eval_at && !e->n_curves)
			return inoci_yaml_err(
			        root, err,
			        "train.eval_at asks for learning curves, and there is no `curves`: name the responses "
			        "to follow (curves: {trait: FILE, wanted: FILE})");
	return 0;
}

void inoci_curves_free(inoci_experiment *e)
{
	for (size_t i = 0; i < e->n_curves; i++) free(e->curves[i].name), free(e->curves[i].path), free(e->curves[i].reference);
	for (size_t i = 0; i < e->n_directions; i++) free(e->directions[i].name);
	free(e->curves);
	free(e->directions);
}

/* ---- records ---- */

/* The answer is the evaluation record's reference of this name, or its only one. */
static int append_reference(const inoci_curve_set *c, const char *path, inoci_record *r, inoc_err *err)
{
	json_t *ref = json_object_get(r->extra, "reference"),
	       *v = json_is_object(ref) ? json_object_get(ref, c->reference) : NULL;
	if (!json_is_string(v) || !json_string_length(v))
		return inoci_err_set(err, INOC_E_FORMAT, "%s:%d: no reference '%s' (\"reference\": {\"%s\": TEXT})", path,
		                     r->line, c->reference, c->reference);
	r->msgs = inoci_realloc(r->msgs, (r->n_msgs + 1) * sizeof *r->msgs);
	r->msgs[r->n_msgs] = (inoci_msg){inoci_strdup("assistant"), inoci_strdup(json_string_value(v))};
	if (r->msg_extra) {
		r->msg_extra = inoci_realloc(r->msg_extra, (r->n_msgs + 1) * sizeof *r->msg_extra);
		r->msg_extra[r->n_msgs] = NULL;
	}
	if (r->msg_raw) {
		r->msg_raw = inoci_realloc(r->msg_raw, (r->n_msgs + 1) * sizeof *r->msg_raw);
		r->msg_raw[r->n_msgs] = NULL;
	}
	r->n_msgs++;
	return 0;
}

int inoci_curve_set_open(const inoci_curve_set *c, inoci_dataset *out, inoc_err *err)
{
	int rc = inoci_dataset_read(c->path, c->reference ? INOCI_NEED_USER_LAST : INOCI_NEED_ASSISTANT, out, err);
	if (rc == 0 && c->limit && (size_t)c->limit < out->n) {
		for (size_t i = (size_t)c->limit; i < out->n; i++) inoci_record_free(&out->v[i]);
		out->n = (size_t)c->limit;
	}
	for (size_t i = 0; rc == 0 && c->reference && i < out->n; i++) rc = append_reference(c, out->path, &out->v[i], err);
	if (rc < 0) {
		inoci_err_prefix(err, "curves.%s", c->name);
		inoci_dataset_free(out);
		*out = (inoci_dataset){0};
	}
	return rc;
}

long inoci_response_bytes(const inoci_record *r, bool last)
{
	long n = 0;
	for (size_t k = r->n_msgs; k-- > 0;) {
		if (strcmp(r->msgs[k].role, "assistant")) continue;
		if (!inoci_record_weightless(r, k)) n += (long)strlen(r->msgs[k].content);
		if (last) break;
	}
	return n;
}

int inoci_probes_make(const inoci_run_state *r, const inoci_dataset *d, const int32_t *which, size_t n,
                      const inoci_inoculation *t, const char *system, const inoci_recipe *recipe, uint64_t seed,
                      inoci_probes *out, inoc_err *err)
{
	inoci_recipe plain = *recipe; /* responses are measured whole: too long is an error */
	inoci_prepare p = {.system = system, .recipe = &plain, .seed = seed, .context = r->hp.context};
	plain.drop_too_long = false;
	plain.max_length = 0;
	*out = (inoci_probes){.bytes = inoci_alloc((n + 1) * sizeof *out->bytes)};
	for (size_t i = 0; i < n; i++) {
		size_t at = which ? (size_t)which[i] : i;
		bool unused;
		inoci_record x = t ? inoci_inoculate(t, &d->v[at], at, seed, &unused) : inoci_record_copy(&d->v[at]);
		x.line = d->v[at].line;
		int rc = inoci_prepare_example(r->tmpl, &x, d->path, &p, &out->e, &unused, err);
		out->bytes[i] = inoci_response_bytes(&x, recipe->loss_last);
		out->n_bytes += out->bytes[i];
		inoci_record_free(&x);
		if (rc < 0) {
			inoci_probes_free(out);
			return rc;
		}
	}
	inoci_examples_seal(&out->e);
	return 0;
}

void inoci_probes_free(inoci_probes *m)
{
	inoci_examples_free(&m->e);
	free(m->bytes);
	*m = (inoci_probes){0};
}

inoci_inoculation inoci_arm_prompt_always(const inoci_arm *a)
{
	inoci_inoculation t = a->inoculation;
	t.fraction = 1;
	t.tag = NULL;
	return t;
}
