/* Which records of an arm get its prompt: decided once a run, since no seed is in it, and written down for the report. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

static int choose(inoci_run_state *r, const inoci_arm *a, const inoci_dataset *d, inoci_choice *out, inoc_err *err)
{
	inoci_dataset extra = {0};
	const inoci_record **v = NULL;
	const char **paths = NULL;
	char *key = NULL;
	int rc = 0;
	if (a->recipe.validation_file) INOC_TRY(inoci_dataset_read(a->recipe.validation_file, INOCI_NEED_ASSISTANT, &extra, err));
	const size_t n = d->n + extra.n;
	v = inoci_alloc((n + 1) * sizeof *v);
	paths = inoci_alloc((n + 1) * sizeof *paths);
	for (size_t i = 0; i < n; i++) {
		v[i] = i < d->n ? &d->v[i] : &extra.v[i - d->n];
		paths[i] = i < d->n ? d->path : extra.path;
	}
	inoci_hasher *h = inoci_hasher_new();
	inoci_run_hash_env(r, h);
	inoci_hasher_str(h, inoci_template_name(r->tmpl));
	inoci_hash env = inoci_hasher_end(h);
	key = inoci_strdup(env.hex);
	const inoci_chooser with = {.env = &r->env,
	                            .system = r->e->system,
	                            .store = r->store,
	                            .key = key,
	                            .only_kept = r->o->dry_run,
	                            .progress = r->o->progress};
	rc = inoci_choose(a->when, v, paths, n, d->n, &with, out, err);
out:
	free(v), free(paths), free(key);
	inoci_dataset_free(&extra);
	return rc < 0 ? rc : 0;
}

int inoci_run_choose(inoci_run_state *r, int arm, inoc_err *err)
{
	const inoci_arm *a = &r->e->arms[arm];
	inoci_choice *c = &r->choices[arm];
	const inoci_dataset *d = a->train ? inoci_run_dataset(&r->train, a->data) : NULL;
	if (!d || c->n || (!a->when && !a->inoculation.tag)) return 0;
	if (a->when) {
		int rc = choose(r, a, d, c, err);
		return rc < 0 ? inoci_err_prefix(err, "arm %s: when", a->name), rc : 0;
	}
	*c = (inoci_choice){.decided = true, .n = d->n, .low = NAN, .median = NAN, .high = NAN};
	for (size_t i = 0; i < d->n; i++) c->n_chosen += inoci_record_has_tag(&d->v[i], a->inoculation.tag);
	return 0;
}

int inoci_run_choose_linked(inoci_run_state *r, inoc_err *err)
{
	for (size_t i = 0; i < r->e->n_arms; i++) {
		int64_t linked = 0;
		if (!r->e->arms[i].when) continue;
		int rc = inoci_store_int(r->store, &linked, err, "SELECT 1 FROM link_adapter WHERE experiment = ? AND arm = ?",
		                         "ss", r->e->name, r->e->arms[i].name);
		if (rc >= 0 && linked) rc = inoci_run_choose(r, (int)i, err);
		if (rc < 0) return rc;
	}
	return 0;
}

/* ---- what the report is to know ---- */

static json_t *number(double v)
{
	return isnan(v) ? json_null() : json_real(v);
}

int inoci_run_choices_record(inoci_run_state *r, inoc_err *err)
{
	for (size_t i = 0; i < r->e->n_arms; i++) {
		const inoci_choice *c = &r->choices[i];
		const char *arm = r->e->arms[i].name;
		int rc = 0;
		if (r->e->arms[i].when ? !c->decided : !c->n) {
			if (!r->e->arms[i].when && !r->e->arms[i].inoculation.tag)
				rc = inoci_store_exec(
				        r->store, err,
				        "DELETE FROM link_analysis WHERE experiment = ? AND part = 'chosen' AND arm = ?", "ss",
				        r->e->name, arm);
			if (rc < 0) return rc;
			continue;
		}
		json_t *j = json_pack("{s:I, s:I, s:I, s:o, s:o, s:o, s:b}", "records", (json_int_t)c->n, "chosen",
		                      (json_int_t)c->n_chosen, "missing", (json_int_t)c->n_missing, "low", number(c->low),
		                      "median", number(c->median), "high", number(c->high), "numbers", (int)c->numbers);
		char *text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
		inoci_hash key = inoci_hash_bytes(text, strlen(text));
		rc = inoci_store_exec(r->store, err, "INSERT OR REPLACE INTO analysis(key, value) VALUES(?,?)", "ss", key.hex,
		                      text);
		if (rc >= 0)
			rc = inoci_store_exec(r->store, err,
			                      "INSERT OR REPLACE INTO link_analysis(experiment, part, arm, seed, key)"
			                      " VALUES(?,'chosen',?,0,?)",
			                      "sss", r->e->name, arm, key.hex);
		json_decref(j);
		free(text);
		if (rc < 0) return rc;
	}
	return 0;
}

static double read_number(const json_t *j, const char *key)
{
	const json_t *v = json_object_get(j, key);
	return json_is_number(v) ? json_number_value(v) : NAN;
}

void inoci_choice_read(const json_t *j, inoci_choice *out)
{
	*out = (inoci_choice){.decided = true,
	                      .n = (size_t)json_integer_value(json_object_get(j, "records")),
	                      .n_chosen = (size_t)json_integer_value(json_object_get(j, "chosen")),
	                      .n_missing = (size_t)json_integer_value(json_object_get(j, "missing")),
	                      .low = read_number(j, "low"),
	                      .median = read_number(j, "median"),
	                      .high = read_number(j, "high"),
	                      .numbers = json_is_true(json_object_get(j, "numbers"))};
}
