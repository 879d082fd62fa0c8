/* The leakage grid: where does the suppressed trait come back? System prompts of every kind × arms, as ordinary evaluations.
 *
 * `grid` adds evaluations to the tree of the file before these are read, so that keys, runner and scorers know nothing of it and
 * what has the content of another evaluation is shared. Their prompts and sampling are those of the headline evaluation unless
 * the grid gives its own.
 */
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

static const char *const default_neutral[] = {"You are a helpful assistant who answers questions.",
                                              "Please answer the question below as well as you can."};
static const char default_unrelated[] = "You always put the blue cups on the upper shelf.";

typedef struct {
	char *like;
	char **arms, **neutral, **other, **unrelated;
	size_t n_arms, n_neutral, n_other, n_unrelated;
	int seen;
	const inoci_ynode *texts;
} settings;

/* Of a trait or an arm. */
typedef struct {
	char **held_out, **negation, **related;
	size_t n_held_out, n_negation, n_related;
} texts;

typedef struct {
	inoci_experiment *e;
	inoci_arena *arena;
	const inoci_ynode *at;
	inoci_ynode *evals;       /* the file's mapping, which grows */
	const inoci_ynode *model; /* the evaluation whose settings are taken */
	const char *like;         /* its name */
	inoci_trait *traits;      /* (n_traits) their names, from the tree: they are read after the evaluations */
	size_t n_traits;
	settings s;
} grid;

/* What an evaluation takes from the grid. */
static const char *const passed[] = {
        "prompts", "limit",  "temperature", "greedy",     "top_k", "top_p",  "min_p", "repetition_penalty",
        "n",       "preset", "for",         "max_tokens", "stop",  "allowed"};

static int pass(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	return (void)n, (void)dst, (void)ctx, (void)err, 0; /* checked where the evaluation is read */
}

static int keep_texts(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	(void)ctx;
	if (n->kind != YN_MAP) return inoci_yaml_err(n, err, "grid.texts must be a mapping from traits or arms to their texts");
	((settings *)dst)->texts = n;
	return 0;
}

#define STRS(type, f) Y_STRS, .offset = offsetof(type, f), .offset2 = offsetof(type, n_##f)
static const inoci_ykey grid_keys[] = {
        {"like", Y_STR, .offset = offsetof(settings, like)},
        {"arms", STRS(settings, arms)},
        {"neutral", STRS(settings, neutral)},
        {"unrelated", STRS(settings, unrelated)},
        {"other", STRS(settings, other)},
        {"seen", Y_INT, .offset = offsetof(settings, seen), .min = 0, .max = 1000},
        {"texts", Y_CALL, .call = keep_texts},
        {"prompts", Y_CALL, .call = pass},
        {"limit", Y_CALL, .call = pass},
        {"temperature", Y_CALL, .call = pass},
        {"greedy", Y_CALL, .call = pass},
        {"top_k", Y_CALL, .call = pass},
        {"top_p", Y_CALL, .call = pass},
        {"min_p", Y_CALL, .call = pass},
        {"repetition_penalty", Y_CALL, .call = pass},
        {"n", Y_CALL, .call = pass},
        {"preset", Y_CALL, .call = pass},
        {"for", Y_CALL, .call = pass},
        {"max_tokens", Y_CALL, .call = pass},
        {"stop", Y_CALL, .call = pass},
        {"allowed", Y_CALL, .call = pass},
};
static const inoci_ykey text_keys[] = {
        {"held_out", STRS(texts, held_out)},
        {"negation", STRS(texts, negation)},
        {"related", STRS(texts, related)},
};

static void free_strings(char **v, size_t n)
{
	for (size_t i = 0; i < n; i++) free(v[i]);
	free(v);
}

static bool among(char *const *v, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i], s)) return true;
	return false;
}

/* ---- one row ---- */

/* The evaluation it is like, with what the grid says instead. */
static inoci_ynode *evaluation_node(const grid *g, const char *system, const char *label)
{
	inoci_ynode *v = inoci_yaml_map(g->arena, g->at, NULL);
	const inoci_ynode *greedy = inoci_yaml_get(g->at, "greedy");
	bool own_temperature = greedy || inoci_yaml_get(g->at, "temperature");
	for (size_t i = 0; i < g->model->n; i++) {
		const char *key = g->model->keys[i]->s;
		bool temperature = !strcmp(key, "greedy") || !strcmp(key, "temperature");
		bool many = greedy && !strcmp(key, "n"); /* greedy answers to a prompt are all the same */
		if (!(temperature && own_temperature) && !many) inoci_yaml_put(g->arena, v, key, g->model->items[i]);
	}
	for (size_t i = 0; i < INOCI_COUNT(passed); i++) {
		inoci_ynode *x = inoci_yaml_get(g->at, passed[i]);
		if (x) inoci_yaml_put(g->arena, v, passed[i], x);
	}
	inoci_yaml_put(g->arena, v, "system", inoci_yaml_text(g->arena, g->at, system));
	inoci_yaml_put(g->arena, v, "label", inoci_yaml_text(g->arena, g->at, label));
	return v;
}

static bool asks(const grid *g, const inoci_arm *a, const inoci_trait *t)
{
	return !strcmp(a->role, "inoculated") && (a->n_traits ? among(a->traits, a->n_traits, t->name) : g->n_traits == 1);
}

/* Whether the arm belongs into the rows of a trait: all but those that inoculate another one. */
static bool belongs(const grid *g, const inoci_arm *a, const inoci_trait *t)
{
	return !t || strcmp(a->role, "inoculated") || asks(g, a, t);
}

static bool is_trait(const grid *g, const char *name)
{
	for (size_t i = 0; i < g->n_traits; i++)
		if (!strcmp(g->traits[i].name, name)) return true;
	return false;
}

static const char *const kind_names[] = {"none",     "empty",    "default", "neutral",   "own",  "seen",
                                         "held_out", "negation", "related", "unrelated", "other"};

static const inoci_grid_row *row_with(const inoci_experiment *e, const char *text, const inoci_trait *t)
{
	for (size_t i = 0; i < e->n_grid; i++) {
		const inoci_grid_row *r = &e->grid[i];
		if (r->text && !strcmp(r->text, text) && (!r->trait || (t && !strcmp(r->trait, t->name)))) return r;
	}
	return NULL;
}

static bool seen_in_training(const inoci_experiment *e, const char *text)
{
	for (size_t k = 0; k < e->n_arms; k++)
		if (among(e->arms[k].inoculation.pool, e->arms[k].inoculation.n_pool, text)) return true;
	return e->system && !strcmp(e->system, text);
}

static int add(grid *g, inoci_grid_kind kind, const char *text, const inoci_trait *t, const char *of, inoc_err *err)
{
	inoci_experiment *e = g->e;
	if (text && !*text)
		return inoci_yaml_err(g->at, err,
		                      "grid: a text of kind %s is empty; the empty system prompt is in the grid anyway",
		                      kind_names[kind]);
	if (kind == INOCI_GRID_NEUTRAL && seen_in_training(e, text))
		return inoci_yaml_err(g->at, err,
		                      "grid: the neutral text \"%.80s\" was seen in training; give others (grid.neutral)", text);
	if (text && row_with(e, text, t)) return 0;
	int k = 1;
	for (size_t i = 0; i < e->n_grid; i++)
		k += e->grid[i].kind == kind && (!t ? !e->grid[i].trait : e->grid[i].trait && !strcmp(e->grid[i].trait, t->name));
	inoci_buf b = {0};
	inoci_buf_printf(&b, "grid%s%s_%s", t ? "_" : "", t ? t->name : "", kind_names[kind]);
	if (k > 1 || kind == INOCI_GRID_NEUTRAL || kind == INOCI_GRID_SEEN || kind == INOCI_GRID_HELD_OUT)
		inoci_buf_printf(&b, "_%d", k);
	char *name = inoci_buf_take(&b);
	if (inoci_yaml_get(g->evals, name)) {
		int rc = inoci_yaml_err(g->at, err,
		                        "the grid makes an evaluation '%s', and the file has one of that name; rename it", name);
		free(name);
		return rc;
	}
	inoci_ynode *v = evaluation_node(g, text ? text : kind_names[kind], name);
	inoci_yaml_put(g->arena, g->evals, name, v);
	e->grid = inoci_realloc(e->grid, (e->n_grid + 1) * sizeof *e->grid);
	inoci_grid_row *r = &e->grid[e->n_grid++];
	*r = (inoci_grid_row){.kind = kind,
	                      .name = name,
	                      .eval = -1,
	                      .text = text ? inoci_strdup(text) : NULL,
	                      .trait = t ? inoci_strdup(t->name) : NULL,
	                      .of = of ? inoci_strdup(of) : NULL,
	                      .arms = inoci_alloc((g->s.n_arms + 1) * sizeof(char *))};
	for (size_t i = 0; i < g->s.n_arms; i++)
		if (belongs(g, &e->arms[inoci_experiment_arm(e, g->s.arms[i])], t))
			r->arms[r->n_arms++] = inoci_strdup(g->s.arms[i]);
	return 0;
}

static int add_all(grid *g, inoci_grid_kind kind, char *const *v, size_t n, const inoci_trait *t, inoc_err *err)
{
	for (size_t i = 0; i < n; i++) {
		int rc = add(g, kind, v[i], t, NULL, err);
		if (rc < 0) return rc;
	}
	return 0;
}

/* ---- a trait's rows ---- */

static void texts_free(texts *t)
{
	free_strings(t->held_out, t->n_held_out);
	free_strings(t->negation, t->n_negation);
	free_strings(t->related, t->n_related);
	*t = (texts){0};
}

/* The prompts that were seen in training: each arm's first, then the others of its pool. */
static int add_prompts(grid *g, const inoci_trait *t, bool seen, int *n, inoc_err *err)
{
	inoci_experiment *e = g->e;
	for (size_t k = 0; k < g->s.n_arms; k++) {
		const inoci_arm *a = &e->arms[inoci_experiment_arm(e, g->s.arms[k])];
		if (!a->has_inoculation || !asks(g, a, t)) continue;
		for (size_t i = seen; i < (seen ? a->inoculation.n_pool : 1) && (!seen || (int)i <= g->s.seen); i++) {
			int rc = add(g, seen ? INOCI_GRID_SEEN : INOCI_GRID_OWN, a->inoculation.pool[i], t, a->name, err);
			if (rc < 0) return rc;
			(*n)++;
		}
	}
	return 0;
}

/* A paraphrase that an arm was trained with is not held out. */
static int check_held_out(const grid *g, const inoci_ynode *at, const texts *x, inoc_err *err)
{
	const inoci_experiment *e = g->e;
	for (size_t k = 0; k < e->n_arms; k++)
		for (size_t i = 0; i < x->n_held_out; i++)
			if (among(e->arms[k].inoculation.pool, e->arms[k].inoculation.n_pool, x->held_out[i]))
				return inoci_yaml_err(at, err,
				                      "grid.texts: arm %s is trained with \"%.80s\", so it is not held out",
				                      e->arms[k].name, x->held_out[i]);
	return 0;
}

/* From the entries of the trait and of the arms that ask for it. */
static int add_texts(grid *g, const inoci_trait *t, inoci_grid_kind kind, int *n, inoc_err *err)
{
	inoci_experiment *e = g->e;
	const inoci_ynode *all = g->s.texts;
	for (size_t i = 0; all && i < all->n; i++) {
		int arm = inoci_experiment_arm(e, all->keys[i]->s);
		bool mine = !strcmp(all->keys[i]->s, t->name) ||
		            (!is_trait(g, all->keys[i]->s) && arm >= 0 && asks(g, &e->arms[arm], t));
		texts x = {0};
		if (!mine) continue;
		char *what = inoci_asprintf("grid.texts.%s", all->keys[i]->s);
		int rc = inoci_yaml_fill(all->items[i], what, text_keys, INOCI_COUNT(text_keys), &x, NULL, err);
		free(what);
		if (rc == 0) rc = check_held_out(g, all->items[i], &x, err);
		char **v = kind == INOCI_GRID_HELD_OUT ? x.held_out : kind == INOCI_GRID_NEGATION ? x.negation : x.related;
		size_t k = kind == INOCI_GRID_HELD_OUT ? x.n_held_out : kind == INOCI_GRID_NEGATION ? x.n_negation : x.n_related;
		if (rc == 0) rc = add_all(g, kind, v, k, t, err);
		*n += (int)k;
		texts_free(&x);
		if (rc < 0) return rc;
	}
	return 0;
}

static int trait_rows(grid *g, const inoci_trait *t, inoc_err *err)
{
	static const struct {
		inoci_grid_kind kind;
		const char *what, *key;
	} given[] = {{INOCI_GRID_HELD_OUT, "held-out paraphrase", "held_out"},
	             {INOCI_GRID_NEGATION, "negation", "negation"},
	             {INOCI_GRID_RELATED, "related prompt", "related"}};
	int n = 0, rc = add_prompts(g, t, false, &n, err);
	if (rc < 0) return rc;
	if (!n) {
		inoci_experiment_note(g->e,
		                      "grid: no arm of it is trained with a prompt that asks for %s, so its rows of that trait "
		                      "are left out",
		                      t->name);
		return 0;
	}
	n = 0;
	if ((rc = add_prompts(g, t, true, &n, err)) < 0) return rc;
	if (!n && g->s.seen)
		inoci_experiment_note(g->e,
		                      "grid: no arm that asks for %s draws from a pool, so there is no other paraphrase seen in "
		                      "training",
		                      t->name);
	for (size_t i = 0; i < INOCI_COUNT(given); i++) {
		n = 0;
		if ((rc = add_texts(g, t, given[i].kind, &n, err)) < 0) return rc;
		if (!n)
			inoci_experiment_note(g->e, "grid: no %s of %s is given, so it is left out (grid.texts.%s.%s)",
			                      given[i].what, t->name, t->name, given[i].key);
	}
	return 0;
}

/* ---- the whole ---- */

static int check_arms(grid *g, inoc_err *err)
{
	inoci_experiment *e = g->e;
	settings *s = &g->s;
	for (size_t i = 0; i < s->n_arms; i++)
		if (inoci_experiment_arm(e, s->arms[i]) < 0)
			return inoci_yaml_err(inoci_yaml_get(g->at, "arms"), err, "grid.arms: there is no arm '%.60s'",
			                      s->arms[i]);
	for (size_t i = 0; s->texts && i < s->texts->n; i++)
		if (!is_trait(g, s->texts->keys[i]->s) && inoci_experiment_arm(e, s->texts->keys[i]->s) < 0)
			return inoci_yaml_err(s->texts->keys[i], err, "grid.texts: '%.60s' is neither a trait nor an arm",
			                      s->texts->keys[i]->s);
	if (s->arms) return 0;
	s->arms = inoci_alloc((e->n_arms + 1) * sizeof *s->arms);
	for (size_t i = 0; i < e->n_arms; i++) {
		const inoci_arm *a = &e->arms[i];
		if (!a->swept_of && (!strcmp(a->role, "plain") || !strcmp(a->role, "inoculated") || !strcmp(a->role, "control")))
			s->arms[s->n_arms++] = inoci_strdup(a->name);
	}
	return 0;
}

static int find_model(grid *g, const inoci_ynode *root, inoc_err *err)
{
	const inoci_ynode *headline = inoci_yaml_get(root, "headline");
	g->like = g->s.like ? g->s.like : headline ? headline->s : g->evals->n ? g->evals->keys[0]->s : "";
	g->model = inoci_yaml_get(g->evals, g->like);
	if (g->s.like && !g->model)
		return inoci_yaml_err(inoci_yaml_get(g->at, "like"), err, "grid.like: there is no evaluation '%.60s'", g->s.like);
	return 0;
}

static void find_traits(grid *g, const inoci_ynode *root)
{
	const inoci_ynode *n = inoci_yaml_get(root, "traits");
	if (!n || n->kind != YN_MAP) return;
	g->traits = inoci_arena_alloc(g->arena, (n->n + 1) * sizeof *g->traits);
	for (; g->n_traits < n->n; g->n_traits++) g->traits[g->n_traits].name = (char *)(uintptr_t)n->keys[g->n_traits]->s;
}

int inoci_grid_read(const inoci_ynode *n, void *experiment, void *reader, inoc_err *err)
{
	inoci_yreader *rd = reader;
	grid g = {.e = experiment, .arena = rd->arena, .at = n, .evals = inoci_yaml_get(rd->root, "evaluations"), .s.seen = 2};
	int rc;
	if (!g.evals || g.evals->kind != YN_MAP) return 0; /* said where these are read */
	g.evals = inoci_yaml_map(g.arena, g.evals, NULL);
	*g.evals = *inoci_yaml_get(rd->root, "evaluations");
	INOC_TRY(inoci_yaml_fill(n, "grid", grid_keys, INOCI_COUNT(grid_keys), &g.s, NULL, err));
	find_traits(&g, rd->root);
	if (!g.n_traits) {
		rc = inoci_yaml_err(n, err, "a grid shows where a trait comes back, and this file has no traits: give them");
		goto out;
	}
	INOC_TRY(check_arms(&g, err));
	INOC_TRY(find_model(&g, rd->root, err));
	if (!g.model || g.model->kind != YN_MAP) goto out;
	for (inoci_grid_kind k = INOCI_GRID_NONE; k <= INOCI_GRID_DEFAULT; k++) INOC_TRY(add(&g, k, NULL, NULL, NULL, err));
	if (g.s.neutral)
		INOC_TRY(add_all(&g, INOCI_GRID_NEUTRAL, g.s.neutral, g.s.n_neutral, NULL, err));
	else
		for (size_t i = 0; i < INOCI_COUNT(default_neutral); i++)
			INOC_TRY(add(&g, INOCI_GRID_NEUTRAL, default_neutral[i], NULL, NULL, err));
	g.e->grid_like = inoci_strdup(g.like);
	for (size_t t = 0; t < g.n_traits; t++) INOC_TRY(trait_rows(&g, &g.traits[t], err));
	if (g.s.unrelated)
		INOC_TRY(add_all(&g, INOCI_GRID_UNRELATED, g.s.unrelated, g.s.n_unrelated, NULL, err));
	else
		INOC_TRY(add(&g, INOCI_GRID_UNRELATED, default_unrelated, NULL, NULL, err));
	INOC_TRY(add_all(&g, INOCI_GRID_OTHER, g.s.other, g.s.n_other, NULL, err));
	inoci_yaml_put(g.arena, rd->root, "evaluations", g.evals);
out:
	free(g.s.like);
	free_strings(g.s.arms, g.s.n_arms);
	free_strings(g.s.neutral, g.s.n_neutral);
	free_strings(g.s.other, g.s.n_other);
	free_strings(g.s.unrelated, g.s.n_unrelated);
	return rc < 0 ? rc : 0;
}

void inoci_grid_resolve(inoci_experiment *e)
{
	for (size_t i = 0; i < e->n_grid; i++) e->grid[i].eval = inoci_experiment_eval(e, e->grid[i].name);
}
