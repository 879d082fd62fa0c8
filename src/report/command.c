/* command: what to type to have a run again. From the requests that the store keeps; for stores from before, from what there is.
 */
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

/* For a POSIX shell. */
static void quoted(inoci_buf *b, const char *s)
{
	if (*s && !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./=,:+-")]) {
		inoci_buf_puts(b, s);
		return;
	}
	inoci_buf_puts(b, "'");
	for (; *s; s++)
		if (*s == '\'')
			inoci_buf_puts(b, "'\\''");
		else
			inoci_buf_append(b, s, 1);
	inoci_buf_puts(b, "'");
}

/* `-o DIR` becomes the override out="DIR"; here the way back. */
static void put_set(inoci_buf *b, const char *set)
{
	json_t *out = strncmp(set, "out=", 4) ? NULL : json_loads(set + 4, JSON_DECODE_ANY, NULL);
	inoci_buf_puts(b, json_is_string(out) ? " -o " : " --set ");
	quoted(b, json_is_string(out) ? json_string_value(out) : set);
	json_decref(out);
}

static void put_list(inoci_buf *b, const char *option, const json_t *list)
{
	inoci_buf v = {0};
	size_t i;
	json_t *x;
	json_array_foreach(list, i, x)
	{
		if (i) inoci_buf_puts(&v, ",");
		if (json_is_string(x))
			inoci_buf_puts(&v, json_string_value(x));
		else
			inoci_buf_printf(&v, "%lld", (long long)json_integer_value(x));
	}
	if (v.len) {
		inoci_buf_printf(b, " --%s ", option);
		quoted(b, v.data);
	}
	inoci_buf_free(&v);
}

static char *command(const json_t *request)
{
	inoci_buf b = {0};
	size_t i;
	json_t *set;
	json_t *typed = json_object_get(request, "command"), *word;
	json_array_foreach(typed, i, word)
	{
		inoci_buf_puts(&b, i ? " " : "");
		quoted(&b, json_is_string(word) ? json_string_value(word) : "");
	}
	if (json_array_size(typed)) return inoci_buf_take(&b);
	const char *file = json_string_value(json_object_get(request, "file"));
	inoci_buf_puts(&b, "inoc run ");
	quoted(&b, file ? file : "experiment.yaml");
	put_list(&b, "arms", json_object_get(request, "arms"));
	put_list(&b, "seeds", json_object_get(request, "seeds"));
	json_array_foreach(json_object_get(request, "sets"), i, set) if (json_is_string(set)) put_set(&b, json_string_value(set));
	return inoci_buf_take(&b);
}

char *inoci_run_command(const inoci_result_run *run)
{
	json_t *q = run->request ? json_loads(run->request, 0, NULL) : NULL;
	char *s = q ? command(q) : NULL;
	json_decref(q);
	return s;
}

static json_t *sets_of(const inoci_experiment *e)
{
	json_t *sets = json_array();
	for (size_t i = 0; i < e->n_sets; i++) json_array_append_new(sets, json_string(e->sets[i]));
	return sets;
}

/* Whether a run was of the experiment as it is now: the same file and overrides. */
static bool same_experiment(const inoci_experiment *e, const json_t *request)
{
	inoci_hash text = inoci_hash_bytes(e->text ? e->text : "", e->text_n);
	const char *then = json_string_value(json_object_get(request, "text_sha256"));
	json_t *sets = sets_of(e);
	bool same = then && !strcmp(then, text.hex) && json_equal(sets, json_object_get(request, "sets"));
	json_decref(sets);
	return same;
}

static bool arm_has_results(const inoci_results *r, int arm)
{
	for (int d = 0; d < r->n_seeds; d++)
		if (inoci_results_adapter(r, arm, d)->present) return true;
	for (int v = 0; v < (int)r->e->n_evals; v++)
		if (inoci_results_cell(r, arm, v)->n) return true;
	return false;
}

/* Without a recorded request: the seeds and arms that have results. */
static json_t *guessed(const inoci_results *r)
{
	const inoci_experiment *e = r->e;
	json_t *q = json_object(), *arms = json_array(), *seeds = json_array();
	bool all_seeds = (size_t)r->n_seeds == e->n_seeds;
	json_object_set_new(q, "file", json_string(e->path ? e->path : e->name));
	json_object_set_new(q, "sets", sets_of(e));
	for (int a = 0; a < (int)e->n_arms; a++)
		if (arm_has_results(r, a)) json_array_append_new(arms, json_string(e->arms[a].name));
	for (int d = 0; d < r->n_seeds; d++) {
		bool listed = false;
		for (size_t k = 0; k < e->n_seeds; k++) listed = listed || e->seeds[k] == r->seeds[d];
		all_seeds = all_seeds && listed;
		json_array_append_new(seeds, json_integer((json_int_t)r->seeds[d]));
	}
	if (json_array_size(arms) < e->n_arms) json_object_set(q, "arms", arms);
	if (!all_seeds) json_object_set(q, "seeds", seeds);
	json_decref(arms);
	json_decref(seeds);
	return q;
}

static bool holds(char *const *v, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i], s)) return true;
	return false;
}

char *inoci_report_commands(const inoci_results *r)
{
	char **v = inoci_alloc((r->n_runs + 1) * sizeof *v);
	size_t n = 0;
	inoci_buf b = {0};
	bool whole = false;
	/* from the last one back to one that asked for all arms and seeds: those before add nothing; imports add to each other */
	for (size_t i = r->n_runs; i-- > 0 && !whole;) {
		json_t *q = r->runs[i].request ? json_loads(r->runs[i].request, 0, NULL) : NULL;
		if (q && (r->e->n_imported || same_experiment(r->e, q))) {
			char *s = command(q);
			if (holds(v, n, s))
				free(s);
			else
				v[n++] = s;
			whole = !r->e->n_imported && !json_object_get(q, "arms") && !json_object_get(q, "seeds");
		}
		json_decref(q);
	}
	if (!n) {
		json_t *q = guessed(r);
		v[n++] = command(q);
		json_decref(q);
	}
	while (n-- > 0) {
		inoci_buf_printf(&b, "%s%s", b.len ? "\n" : "", v[n]);
		free(v[n]);
	}
	free(v);
	return inoci_buf_take(&b);
}
