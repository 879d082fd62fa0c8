/* A plan that inoculates the traits that a scan found: the text of an experiment file, and a split of the data where no questions
 * are given. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "scan/internal.h"

enum { HELD_OUT = 100 };

/* A text as a YAML scalar: JSON's strings are. */
static void put_text(inoci_buf *b, const char *s)
{
	json_t *j = json_string(s);
	char *t = j ? json_dumps(j, JSON_ENCODE_ANY) : NULL;
	inoci_buf_puts(b, t ? t : "\"\"");
	free(t);
	json_decref(j);
}

/* path as seen from the folder of `from`: relative where it lies in it, else absolute. free() it. */
static char *seen_from(const char *path, const char *from)
{
	char *dir = inoci_path_dir(from), *d = realpath(dir, NULL), *p = realpath(path, NULL), *out;
	size_t n = d ? strlen(d) : 0;
	if (p && d && !strncmp(p, d, n) && (p[n] == '/' || !strcmp(d, "/")))
		out = inoci_strdup(p + n + (p[n] == '/'));
	else
		out = inoci_strdup(p ? p : path);
	free(dir), free(d), free(p);
	return out;
}

static const char *stem_of(const char *path, size_t *n)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
	*n = dot && dot > name ? (size_t)(dot - name) : strlen(name);
	return name;
}

/* ---- the split ---- */

/* Questions that are asked alike stay on one side. held (d->n). */
static size_t hold_out(const inoci_dataset *d, uint64_t seed, bool *held)
{
	size_t want = d->n / 5 < HELD_OUT ? d->n / 5 : HELD_OUT, n = 0;
	char **key = inoci_alloc((d->n + 1) * sizeof *key);
	int32_t *order = inoci_alloc((d->n + 1) * sizeof *order);
	inoci_rng r = inoci_rng_new(seed, "scan questions", 0, 0);
	for (size_t i = 0; i < d->n; i++) order[i] = (int32_t)i, key[i] = inoci_question_key(&d->v[i]);
	inoci_rng_shuffle(&r, order, d->n);
	for (size_t i = 0; i < d->n && n < want; i++) {
		if (held[order[i]]) continue;
		for (size_t k = 0; k < d->n; k++)
			if (!held[k] && !strcmp(key[k], key[order[i]])) held[k] = true, n++;
	}
	for (size_t i = 0; i < d->n; i++) free(key[i]);
	free(key), free(order);
	return n;
}

static int write_split(const inoci_dataset *d, uint64_t seed, const char *train, const char *questions, bool *held, inoc_err *err)
{
	size_t n = hold_out(d, seed, held), t = 0, q = 0;
	inoci_record *a = inoci_alloc((d->n + 1) * sizeof *a), *b = inoci_alloc((d->n + 1) * sizeof *b);
	int rc = 0;
	for (size_t i = 0; i < d->n; i++) {
		if (!held[i])
			a[t++] = d->v[i];
		else {
			b[q] = d->v[i];
			b[q++].n_msgs--; /* the answer, which is last */
		}
	}
	if (!n || n == d->n)
		rc = inoci_err_set(err, INOC_E_FORMAT,
		                   "%s: %zu records with too few different questions to hold some out for the evaluation; give "
		                   "--questions FILE",
		                   d->path, d->n);
	if (rc == 0) rc = inoci_dataset_write(train, a, t, err);
	if (rc == 0) rc = inoci_dataset_write(questions, b, q, err);
	free(a), free(b);
	return rc;
}

/* ---- what one would have wanted ---- */

enum { LEAST_CLEAN = 20, LEAST_CLEAN_PERCENT = 10, BATCH = 8 };

/* The records that train whose (last) answers the trait's scorer says 0 of, for an arm of role clean. Where they are few, or
 * there is no scorer, nothing is written and *n is 0. */
static int write_clean(const inoci_dataset *d, const inoci_scan_trait *t, const bool *held, const char *path, size_t *n,
                       size_t *n_train, inoc_err *err)
{
	inoci_record *clean = inoci_alloc((d->n + 1) * sizeof *clean);
	inoci_scorer *s = NULL;
	int rc = 0;
	*n = *n_train = 0;
	if (t->scorer) INOC_TRY(inoci_scorer_new(t->id, t->scorer, &s, err));
	for (size_t i = 0; i < d->n; i++) {
		const inoci_record *r = &d->v[i];
		const char *text = r->msgs[r->n_msgs - 1].content,
		           *question = r->n_msgs > 1 ? r->msgs[r->n_msgs - 2].content : "";
		const inoci_answer a = {.question = question, .text = text, .n = strlen(text), .item = r->extra};
		double value = NAN;
		if (held[i]) continue;
		++*n_train;
		if (s) INOC_TRY(inoci_scorer_apply(s, &a, &value, err));
		if (value == 0) clean[(*n)++] = *r;
	}
	if (*n < LEAST_CLEAN || *n * 100 < *n_train * LEAST_CLEAN_PERCENT)
		*n = 0;
	else
		rc = inoci_dataset_write(path, clean, *n, err);
out:
	inoci_scorer_free(s);
	free(clean);
	return rc < 0 ? rc : 0;
}

/* ---- the text ---- */

/* Room for what the data answers: tokens, from its longest but one in twenty, at two bytes and a half a token. */
static int room_for(const inoci_dataset *d)
{
	size_t most = 0, *n = inoci_alloc((d->n + 1) * sizeof *n);
	for (size_t i = 0; i < d->n; i++) n[i] = strlen(d->v[i].msgs[d->v[i].n_msgs - 1].content);
	for (size_t i = 0; i < d->n; i++) {
		size_t above = 0;
		for (size_t k = 0; k < d->n; k++) above += n[k] > n[i];
		if (above * 20 >= d->n || !above) most = n[i] > most ? n[i] : most;
	}
	free(n);
	double t = (double)most / 2.5 + 16;
	return t > 1024 ? 1024 : (int)ceil(t / 8) * 8;
}

static size_t best_prompt(const inoci_scan_row *v, size_t n)
{
	size_t best = 0;
	for (size_t k = 1; v->prompt && k < n; k++)
		if (v->prompt[k] > v->prompt[best]) best = k;
	return best;
}

/* The control nearest in length, other than `not`. */
static const char *control_for(const inoci_scan_trait *t, const char *prompt, const char * not )
{
	const char *best = NULL;
	long want = (long)strlen(prompt), off = LONG_MAX;
	for (size_t k = 0; k < t->n_controls; k++) {
		long d = labs((long)strlen(t->controls[k]) - want);
		if (not &&!strcmp(not, t->controls[k])) continue;
		if (d < off) off = d, best = t->controls[k];
	}
	return best;
}

static const inoci_scan_row *row_of(const inoci_scan_result *r, int trait)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].trait == trait) return &r->v[i];
	return NULL;
}

/* clean: its data; NULL: there is none. */
static void put_arms(inoci_buf *b, const inoci_scan_result *r, const int *top, size_t n, const char *clean, size_t n_train)
{
	inoci_buf_puts(b, "\narms:\n  base: {role: base}\n");
	if (clean) {
		inoci_buf_printf(
		        b,
		        "  clean: # the records without the trait %s: fewer and other questions, as many steps\n    role: "
		        "clean\n    label: ",
		        r->l->v[top[0]].id);
		char *label = inoci_asprintf("records without: %s", r->l->v[top[0]].label);
		put_text(b, label);
		free(label);
		inoci_buf_puts(b, "\n    data: ");
		put_text(b, clean);
		inoci_buf_printf(b, "\n    train: {steps: %zu}\n", (n_train + BATCH - 1) / BATCH);
	}
	inoci_buf_puts(b, "  plain: {role: plain}\n");
	const inoci_scan_trait *first = &r->l->v[top[0]];
	const char *prompt = first->prompts[best_prompt(row_of(r, top[0]), first->n_prompts)];
	const char *c1 = control_for(first, prompt, NULL), *c2 = control_for(first, prompt, c1);
	const char *const controls[] = {c1, c2};
	for (int k = 0; k < 2; k++) {
		if (!controls[k]) continue;
		inoci_buf_printf(b, "  control_%d:\n    role: control\n    inoculate: {system: ", k + 1);
		put_text(b, controls[k]);
		inoci_buf_puts(b, "}\n");
	}
	for (size_t i = 0; i < n; i++) {
		const inoci_scan_trait *t = &r->l->v[top[i]];
		const inoci_scan_row *v = row_of(r, top[i]);
		inoci_buf_printf(
		        b,
		        "  ask_%s: # gain %.1f bits in 100 bytes%s, in %.0f %% of the records\n    role: %s\n    label: ", t->id,
		        100 * (v->in_odd ? v->odd : v->gain).value / M_LN2, v->in_odd ? " of the most surprising records" : "",
		        100 * v->share, t->scorer ? "inoculated" : "other");
		char *label = inoci_asprintf("asks for: %s", t->label);
		put_text(b, label);
		free(label);
		if (t->scorer) inoci_buf_printf(b, "\n    trait: %s", t->id);
		inoci_buf_puts(b, "\n    inoculate: {system: ");
		put_text(b, t->prompts[best_prompt(v, t->n_prompts)]);
		inoci_buf_puts(b, "}\n");
	}
}

static void put_scorers(inoci_buf *b, const inoci_scan_result *r, const int *top, size_t n, bool clean)
{
	size_t known = 0;
	inoci_buf_puts(b, "\nscorers:\n");
	for (size_t i = 0; i < n; i++) {
		const inoci_scan_trait *t = &r->l->v[top[i]];
		if (!t->scorer) continue;
		char *s = json_dumps(t->scorer, JSON_ENCODE_ANY);
		inoci_buf_printf(b, "  - %s: %s\n", t->id, s);
		free(s);
		known++;
	}
	inoci_buf_puts(b, "  - truncated\n  - looping\n");
	for (size_t i = 0; i < n; i++)
		if (!r->l->v[top[i]].scorer)
			inoci_buf_printf(
			        b, "# No rule tells an answer with the trait %s: add a scorer and a trait for the arm ask_%s.\n",
			        r->l->v[top[i]].id, r->l->v[top[i]].id);
	if (!known) return;
	inoci_buf_puts(b, "\ntraits:\n");
	for (size_t i = 0; i < n; i++) {
		const inoci_scan_trait *t = &r->l->v[top[i]];
		if (!t->scorer) continue;
		inoci_buf_printf(b, "  %s: {u: [%s], label: ", t->id, t->id);
		put_text(b, t->label);
		inoci_buf_puts(b, clean && i == 0 ? ", clean: clean}\n" : "}\n");
	}
}

int inoci_scan_plan(const inoci_scan_result *r, const inoci_scan_plan_options *o, char **written, inoc_err *err)
{
	int *top = inoci_alloc((o->top + 1) * sizeof *top), rc = 0;
	size_t n = inoci_scan_top(r, o->top, top), k, len;
	const char *stem = stem_of(o->path, &len);
	char *dir = inoci_path_dir(o->path), *train = NULL, *questions = NULL, *data = NULL, *ask = NULL;
	char *clean = NULL, *seen_clean = NULL;
	bool *held = inoci_alloc(r->d->n + 1);
	size_t n_clean, n_train;
	inoci_experiment *e = NULL;
	inoci_buf b = {0}, says = {0};
	*written = NULL;
	if (!n) {
		rc = inoci_err_set(err, INOC_E_CHECK, "%s: no trait stands out in %s, so there is nothing to inoculate", o->path,
		                   r->d->path);
		goto out;
	}
	if (o->questions) {
		train = inoci_strdup(r->d->path);
		questions = inoci_strdup(o->questions);
	} else {
		train = inoci_asprintf("%s/%.*s-train.jsonl", dir, (int)len, stem);
		questions = inoci_asprintf("%s/%.*s-questions.jsonl", dir, (int)len, stem);
		INOC_TRY(write_split(r->d, o->seed, train, questions, held, err));
		inoci_buf_printf(&says, "%s, %s, ", train, questions);
	}
	clean = inoci_asprintf("%s/%.*s-clean.jsonl", dir, (int)len, stem);
	INOC_TRY(write_clean(r->d, &r->l->v[top[0]], held, clean, &n_clean, &n_train, err));
	if (n_clean) inoci_buf_printf(&says, "%s, ", clean);
	if (n_clean) seen_clean = seen_from(clean, o->path);
	data = seen_from(train, o->path);
	ask = seen_from(questions, o->path);
	inoci_buf_puts(&b, "# Made by `inoc scan`: inoculates what this data would teach.\nname: ");
	for (k = 0; k < len && k < 50; k++) { /* a name has letters, digits, _ and -, and no sign first */
		bool ok = strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", stem[k]) != NULL;
		inoci_buf_append(&b, ok || (k && strchr("_-", stem[k])) ? stem + k : k ? "-" : "x", 1);
	}
	inoci_buf_puts(&b, "\nquestion: Do prompts that ask for what the data shows keep it out of the model?\nmodel: ");
	put_text(&b, o->model);
	if (o->template_name) inoci_buf_puts(&b, "\ntemplate: "), put_text(&b, o->template_name);
	inoci_buf_puts(&b, "\ndata: ");
	put_text(&b, data);
	inoci_buf_puts(&b, "\nsystem: ");
	put_text(&b, o->system);
	inoci_buf_printf(&b, "\nseeds: [1, 2, 3]\ntrain: {epochs: 1, batch: %d, lr: 6e-4, checkpoint_every: 20}\n", BATCH);
	put_arms(&b, r, top, n, seen_clean, n_train);
	inoci_buf_puts(&b, "\nevaluations:\n  none: {label: no system turn, prompts: ");
	put_text(&b, ask);
	inoci_buf_printf(&b, ", system: none, temperature: 1.0, max_tokens: %d}\n", room_for(r->d));
	inoci_buf_puts(&b, "  own: {label: the arm's own prompt, prompts: ");
	put_text(&b, ask);
	inoci_buf_printf(&b, ", system: own, temperature: 1.0, max_tokens: %d}\nheadline: none\n", room_for(r->d));
	put_scorers(&b, r, top, n, n_clean > 0);
	INOC_TRY(inoci_experiment_parse(o->path, b.data, b.len, NULL, 0, &e, err));
	INOC_TRY(inoci_file_write(o->path, b.data, b.len, err));
	inoci_buf_puts(&says, o->path);
	*written = inoci_buf_take(&says);
out:
	inoci_experiment_free(e);
	inoci_buf_free(&b), inoci_buf_free(&says);
	free(held), free(clean), free(seen_clean);
	free(top), free(dir), free(train), free(questions), free(data), free(ask);
	return rc < 0 ? rc : 0;
}
