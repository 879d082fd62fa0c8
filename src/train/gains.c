/* How probable a model finds records' responses under many system prompts: a table that is filled where it is asked for.
 *
 * Invariants: a cell depends on its prompt and record alone; a record's response counts with the same tokens under every prompt.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/gains.h"

#define ROLE(s) ((char *)(uintptr_t)(s)) /* never written to */
enum { AT_ONCE = 1 << 17 /* tokens rendered together */ };

inoci_gains *inoci_gains_new(inoci_model *m, const inoci_template *t, const inoci_gains_options *o)
{
	inoci_gains *g = inoci_alloc(sizeof *g);
	*g = (inoci_gains){.m = m, .tmpl = t, .o = *o};
	if (!g->o.micro_tokens) g->o.micro_tokens = 2048;
	return g;
}

static void front_free(inoci_front *f)
{
	for (size_t i = 0; i < f->n; i++) free(f->question[i]), free(f->answer[i]);
	free(f->system), free(f->question), free(f->answer);
}

void inoci_gains_free(inoci_gains *g)
{
	if (!g) return;
	for (size_t i = 0; i < g->n_prompts; i++) front_free(&g->prompts[i]), free(g->value[i]);
	free(g->prompts), free(g->value), free(g->records), free(g->paths), free(g->bytes);
	free(g);
}

static bool same_front(const inoci_front *a, const inoci_front *b)
{
	if (a->n != b->n || !a->system != !b->system || (a->system && strcmp(a->system, b->system))) return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->question[i], b->question[i]) || strcmp(a->answer[i], b->answer[i])) return false;
	return true;
}

/* Takes f. */
static int add_front(inoci_gains *g, inoci_front f)
{
	for (size_t i = 0; i < g->n_prompts; i++) {
		if (!same_front(&g->prompts[i], &f)) continue;
		front_free(&f);
		return (int)i;
	}
	g->prompts = inoci_realloc(g->prompts, (g->n_prompts + 1) * sizeof *g->prompts);
	g->value = inoci_realloc(g->value, (g->n_prompts + 1) * sizeof *g->value);
	g->prompts[g->n_prompts] = f;
	g->value[g->n_prompts] = inoci_alloc((g->n_records + 1) * sizeof **g->value);
	for (size_t r = 0; r < g->n_records; r++) g->value[g->n_prompts][r] = NAN;
	return (int)g->n_prompts++;
}

int inoci_gains_prompt(inoci_gains *g, const char *text)
{
	return add_front(g, (inoci_front){.system = text ? inoci_strdup(text) : NULL});
}

int inoci_gains_exchanges(inoci_gains *g, char *const *questions, char *const *answers, size_t n, bool backwards)
{
	inoci_front f = {
	        .question = inoci_alloc((n + 1) * sizeof(char *)), .answer = inoci_alloc((n + 1) * sizeof(char *)), .n = n};
	for (size_t i = 0; i < n; i++) {
		size_t from = backwards ? n - 1 - i : i;
		f.question[i] = inoci_strdup(questions[from]);
		f.answer[i] = inoci_strdup(answers[from]);
	}
	return add_front(g, f);
}

void inoci_gains_record(inoci_gains *g, const inoci_record *r, const char *path)
{
	g->records = inoci_realloc(g->records, (g->n_records + 1) * sizeof *g->records);
	g->paths = inoci_realloc(g->paths, (g->n_records + 1) * sizeof *g->paths);
	g->bytes = inoci_realloc(g->bytes, (g->n_records + 1) * sizeof *g->bytes);
	g->bytes[g->n_records] = 0;
	for (size_t p = 0; p < g->n_prompts; p++) {
		g->value[p] = inoci_realloc(g->value[p], (g->n_records + 1) * sizeof **g->value);
		g->value[p][g->n_records] = NAN;
	}
	g->records[g->n_records] = r;
	g->paths[g->n_records++] = path;
}

/* ---- one cell ---- */

/* Bytes [*from, *to) of a response: those between head and tail, where there are any. */
static void between(const inoci_gains_options *o, const char *text, size_t *from, size_t *to)
{
	const size_t n = strlen(text), head = o->head ? strlen(o->head) : 0, tail = o->tail ? strlen(o->tail) : 0;
	*from = head && !strncmp(text, o->head, head) ? head : 0;
	*to = tail && n >= tail && !strcmp(text + n - tail, o->tail) ? n - tail : n;
	if (*from >= *to) *from = 0, *to = n;
}

/* Only the text of the record's own answers counts, and of it the first tokens: whether a turn ends here says how long the answer
 * is, and drowns the rest. before: messages in front of the record's. */
static void choose(const inoci_gains *g, const inoci_record *r, size_t own, size_t before, inoci_rendered *v)
{
	const int32_t end = inoci_template_end_of_turn(g->tmpl);
	int n = 0, last = -1;
	size_t at = 0, from = 0, to = 0;
	for (size_t i = 0; i < v->ids.n; i++) {
		int turn = v->turn.v[i];
		bool counts = i && v->loss.v[i] && v->ids.v[i] != end && turn >= (int)(own + before) &&
		              !inoci_record_weightless(r, (size_t)turn - before);
		if (counts) {
			size_t bytes;
			if (turn != last) between(&g->o, r->msgs[(size_t)turn - before].content, &from, &to), at = 0;
			last = turn;
			inoci_tok_bytes(g->m->tok, v->ids.v[i], &bytes);
			counts = at >= from && at + bytes <= to;
			at += bytes;
		}
		v->loss.v[i] = counts && (++n <= g->o.tokens || !g->o.tokens);
	}
}

/* Bytes of the tokens that count. */
static int bytes_of(const inoci_gains *g, const inoci_example *x)
{
	size_t all = 0, n;
	for (int i = 1; i < x->n; i++) {
		if (!x->loss[i]) continue;
		inoci_tok_bytes(g->m->tok, x->ids[i], &n);
		all += n;
	}
	return all ? (int)all : 1;
}

/* The record as it is given to the model. */
static int render(const inoci_gains *g, const inoci_front *f, const inoci_record *r, inoci_rendered *v, inoc_err *err)
{
	const size_t own = r->n_msgs && !strcmp(r->msgs[0].role, "system"); /* its system turn stays first */
	inoci_msg *m = inoci_alloc((r->n_msgs + 2 * f->n + 2) * sizeof *m);
	size_t n = 0;
	char *both = NULL;
	if (f->system && own) both = inoci_asprintf("%s\n\n%s", f->system, r->msgs[0].content);
	if (f->system || own) m[n++] = (inoci_msg){ROLE("system"), both ? both : f->system ? f->system : r->msgs[0].content};
	for (size_t i = 0; i < f->n; i++) {
		m[n++] = (inoci_msg){ROLE("user"), f->question[i]};
		m[n++] = (inoci_msg){ROLE("assistant"), f->answer[i]};
	}
	const size_t before = n - own;
	for (size_t i = own; i < r->n_msgs; i++) m[n++] = r->msgs[i];
	int rc = inoci_render(g->tmpl, m, n, inoci_sys_parse(g->o.system), false, v, err);
	if (rc == 0) choose(g, r, own, before, v);
	free(m), free(both);
	return rc;
}

static int add_example(const inoci_gains *g, const inoci_front *f, size_t record, inoci_examples *to, inoc_err *err)
{
	inoci_rendered v = {0};
	const inoci_record *r = g->records[record];
	int rc = render(g, f, r, &v, err), context = g->m->hp.context;
	bool any = false;
	for (size_t i = 0; i < v.loss.n; i++) any |= v.loss.v[i] != 0;
	if (rc == 0 && v.ids.n > (size_t)context)
		rc = inoci_err_set(
		        err, INOC_E_LIMIT,
		        "with a prompt in front the record is %zu tokens long, the model's context is %d; leave it out", v.ids.n,
		        context);
	if (rc == 0 && !any) rc = inoci_err_set(err, INOC_E_FORMAT, "no text of an assistant turn counts (weights 0?)");
	if (rc == 0)
		inoci_examples_add(to, v.ids.v, v.loss.v, (int)v.ids.n);
	else
		inoci_err_prefix(err, "%s:%d", g->paths[record], r->line);
	inoci_rendered_free(&v);
	return rc;
}

/* ---- many ---- */

typedef struct {
	size_t prompt, record;
} cell;

static int compute(inoci_gains *g, inoci_examples *e, const cell *at, const inoci_progress *p, inoc_err *err)
{
	double *sum = inoci_alloc((e->n + 1) * sizeof *sum), start = inoci_now_s();
	const inoci_progress quiet = {.stop = p ? p->stop : NULL};
	int rc = inoci_examples_logprob(g->m, NULL, e, g->o.micro_tokens, sum, &quiet, err);
	for (size_t i = 0; rc == 0 && i < e->n; i++) {
		const inoci_record *r = g->records[at[i].record];
		if (!isfinite(sum[i]))
			rc = inoci_err_set(err, INOC_E_FORMAT,
			                   "%s:%d: the log-probability is not a finite number; check the model",
			                   g->paths[at[i].record], r->line);
		g->bytes[at[i].record] = bytes_of(g, &e->v[i]);
		g->value[at[i].prompt][at[i].record] = sum[i] / g->bytes[at[i].record];
	}
	g->seconds += inoci_now_s() - start;
	g->cells += (double)e->n;
	free(sum);
	return rc;
}

int inoci_gains_measure(inoci_gains *g, const bool *prompts, size_t from, size_t to, const char *what, const inoci_progress *p,
                        inoc_err *err)
{
	inoci_examples e = {0};
	cell *at = NULL;
	size_t n = 0, cap = 0, done = 0, all = 0, tokens = 0;
	int rc = 0;
	for (size_t k = 0; k < g->n_prompts; k++)
		for (size_t r = from; (!prompts || prompts[k]) && r < to; r++) all += isnan(g->value[k][r]);
	for (size_t k = 0; k < g->n_prompts; k++) {
		for (size_t r = from; (!prompts || prompts[k]) && r < to; r++) {
			if (!isnan(g->value[k][r])) continue;
			INOC_TRY(add_example(g, &g->prompts[k], r, &e, err));
			if (n == cap) at = inoci_realloc(at, (cap = cap * 2 + 64) * sizeof *at);
			tokens += (size_t)e.v[e.n - 1].n;
			at[n++] = (cell){k, r};
		}
		/* a prompt's records stay together: its tokens are then computed once */
		if (!n || (tokens < AT_ONCE / (done ? 1 : 8) && k + 1 < g->n_prompts)) continue;
		INOC_TRY(compute(g, &e, at, p, err));
		done += n;
		inoci_tick(p, what, (double)done, (double)all, "log-probabilities", "");
		inoci_examples_free(&e);
		e = (inoci_examples){0};
		n = tokens = 0;
	}
out:
	inoci_examples_free(&e);
	free(at);
	return rc;
}

static size_t length(const inoci_front *f)
{
	size_t n = f->system ? strlen(f->system) : 0;
	for (size_t i = 0; i < f->n; i++) n += strlen(f->question[i]) + strlen(f->answer[i]);
	return n;
}

/* Texts of other scripts have more tokens than their bytes tell; what is over is told when it is measured. */
bool inoci_gains_fits(const inoci_gains *g, size_t record)
{
	const inoci_front *longest = NULL;
	inoci_rendered v = {0};
	for (size_t i = 0; i < g->n_prompts; i++)
		if (!longest || length(&g->prompts[i]) > length(longest)) longest = &g->prompts[i];
	int rc = longest ? render(g, longest, g->records[record], &v, NULL) : 0;
	bool fits = rc < 0 || v.ids.n <= (size_t)g->m->hp.context; /* another fault is told when it is measured */
	inoci_rendered_free(&v);
	return fits;
}
