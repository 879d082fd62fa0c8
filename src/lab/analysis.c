/* Reading what `inoc analyse` and the training's `eval_at` have measured. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

enum { BOOT = 2000 };

static void *room(inoci_results *r, size_t n, size_t size)
{
	return inoci_arena_alloc(r->arena, (n + 1) * size);
}

static int seed_at(const inoci_results *r, int64_t seed)
{
	for (int i = 0; i < r->n_seeds; i++)
		if (r->seeds[i] == (uint64_t)seed) return i;
	return -1;
}

static double number(const json_t *j)
{
	return json_is_number(j) ? json_number_value(j) : NAN;
}

/* ---- surprise ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static const double *read_contrast(inoci_results *r, const json_t *j)
{
	double *v = room(r, r->e->n_directions, sizeof *v);
	for (size_t d = 0; d < r->e->n_directions; d++) {
		json_t *of = json_object_get(j, r->e->directions[d].name), *c = json_object_get(of, "controls"), *x;
		size_t n = json_array_size(c), i;
		v[d] = number(json_object_get(of, "with"));
		json_array_foreach(c, i, x) v[d] -= number(x) / (double)n;
	}
	return v;
}

static void read_surprise(inoci_results *r, const json_t *j, inoci_result_surprise *out)
{
	json_t *bytes = json_object_get(j, "bytes"), *with = json_object_get(j, "with"), *without = json_object_get(j, "without");
	json_t *controls = json_object_get(j, "controls");
	size_t n = json_array_size(bytes), C = json_array_size(controls);
	const char **texts = room(r, C, sizeof *texts);
	double *gain = inoci_alloc((n + 1) * sizeof *gain), *other = inoci_alloc((n + 1) * sizeof *other);
	double *size = inoci_alloc((n + 1) * sizeof *size), *draws = inoci_alloc(BOOT * sizeof *draws), g = 0, o = 0, all = 0;
	if (json_array_size(with) != n || json_array_size(without) != n || !n) goto out;
	for (size_t c = 0; c < C; c++) {
		const char *t = json_string_value(json_object_get(json_array_get(controls, c), "text"));
		texts[c] = inoci_arena_strndup(r->arena, t ? t : "", t ? strlen(t) : 0);
	}
	for (size_t i = 0; i < n; i++) {
		double plain = number(json_array_get(without, i));
		size[i] = number(json_array_get(bytes, i));
		gain[i] = number(json_array_get(with, i)) - plain;
		for (size_t c = 0; c < C; c++)
			other[i] += (number(json_array_get(json_object_get(json_array_get(controls, c), "logprob"), i)) - plain) /
			            (double)C;
		g += gain[i], o += other[i], all += size[i];
	}
	if (!(all > 0)) goto out;
	for (int b = 0; b < BOOT; b++) {
		inoci_rng rng = inoci_rng_new(1, "surprise", (uint64_t)b, 0);
		double d = 0, s = 0;
		for (size_t i = 0; i < n; i++) {
			uint32_t k = inoci_rng_below(&rng, (uint32_t)n);
			d += gain[k] - other[k], s += size[k];
		}
		draws[b] = s > 0 ? d / s : 0;
	}
	qsort(draws, BOOT, sizeof *draws, by_value);
	*out = (inoci_result_surprise){.n = n,
	                               .gain = g / all,
	                               .control = o / all,
	                               .removed = (g - o) / all,
	                               .low = draws[BOOT / 40],
	                               .high = draws[BOOT - 1 - BOOT / 40],
	                               .n_controls = C,
	                               .contrast = read_contrast(r, json_object_get(j, "contrast")),
	                               .controls = texts};
out:
	free(gain), free(other), free(size), free(draws);
}

/* ---- gradients and updates ---- */

static const double *read_toward(inoci_results *r, const json_t *j)
{
	double *v = room(r, r->e->n_directions, sizeof *v);
	for (size_t i = 0; i < r->e->n_directions; i++) v[i] = number(json_object_get(j, r->e->directions[i].name));
	return v;
}

static void read_gradient(inoci_results *r, const json_t *j, inoci_result_gradient *out)
{
	*out = (inoci_result_gradient){.n = (size_t)json_integer_value(json_object_get(j, "records")),
	                               .with = number(json_object_get(j, "with")),
	                               .without = number(json_object_get(j, "without")),
	                               .same = number(json_object_get(j, "same")),
	                               .toward_with = read_toward(r, json_object_get(j, "toward_with")),
	                               .toward_without = read_toward(r, json_object_get(j, "toward_without"))};
}

static void read_update(inoci_results *r, const json_t *j, inoci_result_update *out)
{
	json_t *rows = json_object_get(j, "norm");
	size_t n = json_array_size(rows);
	double *v = room(r, n * INOCI_N_PROJ, sizeof *v);
	for (size_t l = 0; l < n; l++)
		for (size_t p = 0; p < INOCI_N_PROJ; p++)
			v[l * INOCI_N_PROJ + p] = number(json_array_get(json_array_get(rows, l), p));
	*out = (inoci_result_update){.n_layers = (int)n, .norm = v};
}

double inoci_update_norm(const inoci_result_update *u, int layer, int proj)
{
	double sum = 0;
	for (int l = 0; l < u->n_layers; l++)
		for (int p = 0; p < INOCI_N_PROJ; p++) {
			double v = u->norm[l * INOCI_N_PROJ + p];
			if ((layer < 0 || l == layer) && (proj < 0 || p == proj) && !isnan(v)) sum += v * v;
		}
	return sqrt(sum);
}

static int load_parts(inoci_store *s, inoci_results *r, inoc_err *err)
{
	inoci_analysis *a = &r->analysis;
	sqlite3_stmt *st;
	int rc = inoci_store_query(s, &st, err,
	                           "SELECT l.part, l.arm, l.seed, a.value FROM link_analysis l JOIN analysis a ON a.key = l.key"
	                           " WHERE l.experiment = ? AND l.part <> 'checked'",
	                           "s", r->e->name);
	if (rc < 0) return rc;
	while ((rc = inoci_store_step(s, st, err)) > 0) {
		const char *part = (const char *)sqlite3_column_text(st, 0);
		int arm = inoci_experiment_arm(r->e, (const char *)sqlite3_column_text(st, 1)),
		    seed = seed_at(r, sqlite3_column_int64(st, 2));
		json_t *j = json_loads((const char *)sqlite3_column_text(st, 3), 0, NULL);
		size_t at = (size_t)arm * (size_t)r->n_seeds + (size_t)seed;
		if (arm >= 0 && j && !strcmp(part, "chosen")) inoci_choice_read(j, &r->choices[arm]);
		a->any |= arm >= 0 && j && strcmp(part, "chosen");
		if (arm >= 0 && j && !strcmp(part, "surprise")) read_surprise(r, j, &a->surprise[arm]);
		if (arm >= 0 && j && seed >= 0 && !strcmp(part, "gradients")) read_gradient(r, j, &a->gradients[at]);
		if (arm >= 0 && j && seed >= 0 && !strcmp(part, "updates")) read_update(r, j, &a->updates[at]);
		json_decref(j);
	}
	sqlite3_finalize(st);
	return rc;
}

/* ---- learning curves ---- */

static int load_curves(inoci_store *s, inoci_results *r, inoc_err *err)
{
	inoci_analysis *a = &r->analysis;
	sqlite3_stmt *st;
	enum { MOST = INOCI_COUNT(((inoci_recipe *)0)->eval_at) };
	int rc = inoci_store_query(
	        s, &st, err,
	        "SELECT l.arm, l.seed, l.name, l.prompt, c.step, c.bytes, c.logprob FROM link_curve l JOIN curve c"
	        " ON c.adapter = l.adapter AND c.key = l.key WHERE l.experiment = ?"
	        " ORDER BY l.arm, l.seed, l.name, l.prompt, c.step",
	        "s", r->e->name);
	if (rc < 0) return rc;
	while ((rc = inoci_store_step(s, st, err)) > 0) {
		int arm = inoci_experiment_arm(r->e, (const char *)sqlite3_column_text(st, 0)),
		    seed = seed_at(r, sqlite3_column_int64(st, 1));
		int set = 0, prompt = sqlite3_column_int(st, 3);
		while (set < (int)r->e->n_curves && strcmp(r->e->curves[set].name, (const char *)sqlite3_column_text(st, 2)))
			set++;
		if (arm < 0 || seed < 0 || set == (int)r->e->n_curves || sqlite3_column_int64(st, 5) <= 0) continue;
		inoci_result_curve *c = a->n_curves ? &a->curves[a->n_curves - 1] : NULL;
		if (!c || c->arm != arm || c->seed != seed || c->set != set || c->prompt != (prompt != 0)) {
			a->curves = inoci_realloc(a->curves, (a->n_curves + 1) * sizeof *a->curves);
			c = &a->curves[a->n_curves++];
			*c = (inoci_result_curve){.arm = arm,
			                          .seed = seed,
			                          .set = set,
			                          .prompt = prompt != 0,
			                          .step = room(r, MOST, sizeof(int)),
			                          .logprob = room(r, MOST, sizeof(double))};
		}
		if (c->n == MOST) continue; /* of other lists of steps than the file's */
		((int *)(uintptr_t)c->step)[c->n] = sqlite3_column_int(st, 4);
		((double *)(uintptr_t)c->logprob)[c->n++] = sqlite3_column_double(st, 6) / (double)sqlite3_column_int64(st, 5);
		a->any = true;
	}
	sqlite3_finalize(st);
	return rc;
}

int inoci_analysis_load(inoci_store *s, inoci_results *r, inoc_err *err)
{
	inoci_analysis *a = &r->analysis;
	r->choices = room(r, r->e->n_arms, sizeof *r->choices);
	a->surprise = room(r, r->e->n_arms, sizeof *a->surprise);
	a->gradients = room(r, r->e->n_arms * (size_t)r->n_seeds, sizeof *a->gradients);
	a->updates = room(r, r->e->n_arms * (size_t)r->n_seeds, sizeof *a->updates);
	if (s->schema < 3) return 0;
	int rc = load_parts(s, r, err);
	return rc < 0 ? rc : load_curves(s, r, err);
}
