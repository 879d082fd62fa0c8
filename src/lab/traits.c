/* The trait library: YAML files (docs/traits.md), each a group of traits with prompts that ask for them and matched controls.
 *
 * Invariants: ids are unique; a trait of a later file takes the place of one of the same id of an earlier folder or file; every
 * text is kept as it is written.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lab/internal.h"
#include "lab/traits.h"

enum { LEAST_TEXTS = 2, MOST_TEXTS = 64, MOST_VARIANTS = 8 };

static void trait_free(inoci_scan_trait *t)
{
	free(t->id), free(t->label), free(t->description), free(t->file);
	inoci_strings_free(t->prompts, t->n_prompts);
	inoci_strings_free(t->controls, t->n_controls);
	inoci_strings_free(t->answers, t->n_answers);
	json_decref(t->scorer);
}

void inoci_trait_library_free(inoci_trait_library *l)
{
	for (size_t i = 0; i < l->n; i++) trait_free(&l->v[i]);
	for (size_t i = 0; i < l->n_groups; i++) free(l->groups[i].id), free(l->groups[i].label);
	inoci_strings_free(l->questions, l->n_plain);
	inoci_strings_free(l->plain, l->n_plain * l->n_variants);
	free(l->v), free(l->groups);
	*l = (inoci_trait_library){0};
}

int inoci_trait_library_find(const inoci_trait_library *l, const char *id)
{
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(l->v[i].id, id)) return (int)i;
	return -1;
}

/* ---- one file ---- */

typedef struct {
	char *group, *label;
	bool exclusive;
	inoci_trait_library *l;
	const char *path;
	int call; /* traits of an earlier one may be replaced */
	int at;   /* of the group */
} reader;

/* A list of texts, none empty, none twice. */
static int read_texts(const inoci_ynode *n, const char *what, char ***v, size_t *count, inoc_err *err)
{
	if (n->kind != YN_SEQ || n->n < LEAST_TEXTS || n->n > MOST_TEXTS)
		return inoci_yaml_err(n, err, "%s must be a list of %d to %d texts", what, LEAST_TEXTS, MOST_TEXTS);
	*v = inoci_alloc(n->n * sizeof **v);
	for (size_t i = 0; i < n->n; i++) {
		const inoci_ynode *x = n->items[i];
		if (x->kind != YN_SCALAR || !*x->s)
			return inoci_yaml_err(x, err, "%s must be a list of texts, none of them empty", what);
		for (size_t k = 0; k < i; k++)
			if (!strcmp((*v)[k], x->s)) return inoci_yaml_err(x, err, "%s has this text twice", what);
		(*v)[(*count)++] = inoci_strdup(x->s);
	}
	return 0;
}

static int read_prompts(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_scan_trait *t = dst;
	(void)ctx;
	return read_texts(n, "prompts", &t->prompts, &t->n_prompts, err);
}

static int read_controls(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_scan_trait *t = dst;
	(void)ctx;
	int rc = read_texts(n, "controls", &t->controls, &t->n_controls, err);
	for (size_t i = 0; rc == 0 && i < t->n_controls; i++)
		for (size_t k = 0; rc == 0 && k < t->n_prompts; k++)
			if (!strcmp(t->controls[i], t->prompts[k]))
				rc = inoci_yaml_err(n->items[i], err, "this control is one of the trait's prompts");
	return rc;
}

static int read_answers(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_scan_trait *t = dst;
	(void)ctx;
	return read_texts(n, "answers", &t->answers, &t->n_answers, err);
}

/* Refused here, with its place, rather than when it is used. */
static int read_scorer(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_scan_trait *t = dst;
	inoci_scorer *s;
	(void)ctx;
	t->scorer = inoci_yaml_json(n);
	if (inoci_scorer_new(t->id, t->scorer, &s, err) < 0) {
		inoci_err_prefix(err, "%s: scorer", n->where);
		return INOC_E_FORMAT;
	}
	inoci_scorer_free(s);
	return 0;
}

static const inoci_ykey trait_keys[] = {
        {"label", Y_STR, .required = true, .offset = offsetof(inoci_scan_trait, label)},
        {"description", Y_STR, .required = true, .offset = offsetof(inoci_scan_trait, description)},
        {"prompts", Y_CALL, .required = true, .call = read_prompts},
        {"controls", Y_CALL, .required = true, .call = read_controls},
        {"answers", Y_CALL, .required = true, .call = read_answers},
        {"scorer", Y_CALL, .call = read_scorer},
};

static int read_trait(const inoci_ynode *key, const inoci_ynode *n, reader *r, inoc_err *err)
{
	inoci_trait_library *l = r->l;
	char *what = inoci_asprintf("traits.%s", key->s);
	inoci_scan_trait t = {
	        .id = inoci_strdup(key->s), .group = r->at, .call = r->call, .file = inoci_strdup(r->path), .line = key->line};
	int rc = inoci_yaml_name(key, "a trait's id", err), old = inoci_trait_library_find(l, key->s);
	if (rc == 0 && old >= 0 && l->v[old].call == r->call)
		rc = inoci_yaml_err(key, err, "trait '%s' is already there: %s:%d", key->s, l->v[old].file, l->v[old].line);
	if (rc == 0) rc = inoci_yaml_fill(n, what, trait_keys, INOCI_COUNT(trait_keys), &t, NULL, err);
	free(what);
	if (rc < 0) {
		trait_free(&t);
		return rc;
	}
	if (old >= 0) {
		trait_free(&l->v[old]);
		l->v[old] = t;
		return 0;
	}
	l->v = inoci_realloc(l->v, (l->n + 1) * sizeof *l->v);
	l->v[l->n++] = t;
	return 0;
}

static int read_traits(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	reader *r = dst;
	inoci_trait_library *l = r->l;
	(void)ctx;
	if (n->kind != YN_MAP || !n->n) return inoci_yaml_err(n, err, "traits must be a mapping from ids to traits");
	if (!r->group) return inoci_yaml_err(n, err, "traits need a group: give `group: NAME`");
	for (r->at = 0; r->at < (int)l->n_groups; r->at++)
		if (!strcmp(l->groups[r->at].id, r->group)) break;
	if (r->at == (int)l->n_groups) {
		l->groups = inoci_realloc(l->groups, (l->n_groups + 1) * sizeof *l->groups);
		l->groups[l->n_groups++] = (inoci_trait_group){.id = inoci_strdup(r->group),
		                                               .label = inoci_strdup(r->label ? r->label : r->group),
		                                               .exclusive = r->exclusive};
	}
	for (size_t i = 0; i < n->n; i++) {
		int rc = read_trait(n->keys[i], n->items[i], r, err);
		if (rc < 0) return rc;
	}
	return 0;
}

typedef struct {
	char *question, **answers;
	size_t n;
} exchange;

static int read_variants(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	exchange *x = dst;
	(void)ctx;
	if (n->kind != YN_SEQ || !n->n || n->n > MOST_VARIANTS)
		return inoci_yaml_err(n, err, "plain.answers must be a list of 1 to %d texts", MOST_VARIANTS);
	x->answers = inoci_alloc(n->n * sizeof *x->answers);
	for (; x->n < n->n; x->n++) {
		const inoci_ynode *t = n->items[x->n];
		if (t->kind != YN_SCALAR || !*t->s)
			return inoci_yaml_err(t, err, "plain.answers must be a list of texts, none of them empty");
		x->answers[x->n] = inoci_strdup(t->s);
	}
	return 0;
}

static const inoci_ykey exchange_keys[] = {
        {"question", Y_STR, .required = true, .offset = offsetof(exchange, question)},
        {"answers", Y_CALL, .required = true, .call = read_variants},
};

/* Exchanges of a later call take the place of the earlier ones. */
static int read_plain(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	reader *r = dst;
	inoci_trait_library *l = r->l;
	(void)ctx;
	if (n->kind != YN_SEQ || !n->n || n->n > MOST_TEXTS)
		return inoci_yaml_err(n, err, "plain must be a list of 1 to %d exchanges {question, answers}", MOST_TEXTS);
	inoci_strings_free(l->questions, l->n_plain);
	inoci_strings_free(l->plain, l->n_plain * l->n_variants);
	l->questions = inoci_alloc(n->n * sizeof *l->questions);
	l->plain = inoci_alloc(n->n * MOST_VARIANTS * sizeof *l->plain);
	l->n_plain = l->n_variants = 0;
	for (size_t i = 0; i < n->n; i++) {
		exchange x = {0};
		int rc = inoci_yaml_fill(n->items[i], "plain", exchange_keys, INOCI_COUNT(exchange_keys), &x, NULL, err);
		if (rc == 0 && i && x.n != l->n_variants)
			rc = inoci_yaml_err(n->items[i], err, "plain: %zu answers here, %zu to the first question; give as many",
			                    x.n, l->n_variants);
		if (rc < 0) {
			free(x.question);
			inoci_strings_free(x.answers, x.n);
			return rc;
		}
		l->n_variants = x.n;
		l->questions[l->n_plain] = x.question;
		memcpy(l->plain + l->n_plain++ * x.n, x.answers, x.n * sizeof *x.answers);
		free(x.answers);
	}
	return 0;
}

static const inoci_ykey file_keys[] = {
        {"plain", Y_CALL, .call = read_plain},
        {"group", Y_NAME, .offset = offsetof(reader, group)},
        {"label", Y_STR, .offset = offsetof(reader, label)},
        {"exclusive", Y_BOOL, .offset = offsetof(reader, exclusive)},
        {"traits", Y_CALL, .call = read_traits},
};

int inoci_traits_parse(inoci_trait_library *l, const char *path, const char *text, size_t n, int call, inoc_err *err)
{
	inoci_arena *a = inoci_arena_new();
	inoci_ynode *root;
	reader r = {.l = l, .path = path, .call = call};
	int rc;
	INOC_TRY(inoci_yaml_parse(path, text, n, a, &root, err));
	INOC_TRY(inoci_yaml_fill(root, "", file_keys, INOCI_COUNT(file_keys), &r, NULL, err));
	if (!inoci_yaml_get(root, "traits") && !inoci_yaml_get(root, "plain"))
		rc = inoci_yaml_err(root, err, "neither traits nor plain is given");
out:
	free(r.group), free(r.label);
	inoci_arena_free(a);
	return rc < 0 ? rc : 0;
}

static int read_file(inoci_trait_library *l, const char *path, int call, inoc_err *err)
{
	char *text = NULL;
	size_t n;
	int rc = inoci_file_read(path, &text, &n, err);
	if (rc == 0) rc = inoci_traits_parse(l, path, text, n, call, err);
	free(text);
	return rc;
}

/* ---- files and folders ---- */

static bool is_yaml(const char *name)
{
	size_t n = strlen(name);
	return name[0] != '.' && ((n > 5 && !strcmp(name + n - 5, ".yaml")) || (n > 4 && !strcmp(name + n - 4, ".yml")));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_folder(inoci_trait_library *l, const char *dir, int call, inoc_err *err)
{
	DIR *d = opendir(dir);
	char **names = NULL;
	size_t n = 0;
	int rc = 0;
	if (!d) return inoci_err_set(err, INOC_E_IO, "%s: cannot be opened: %s", dir, inoci_reason(errno));
	for (struct dirent *x; (x = readdir(d));) {
		if (!is_yaml(x->d_name)) continue;
		names = inoci_realloc(names, (n + 1) * sizeof *names);
		names[n++] = inoci_strdup(x->d_name);
	}
	closedir(d);
	if (n) qsort(names, n, sizeof *names, by_name);
	if (!n) rc = inoci_err_set(err, INOC_E_IO, "%s: no trait files (*.yaml) in this folder", dir);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		char *path = inoci_path_join(dir, names[i]);
		rc = read_file(l, path, call, err);
		free(path);
	}
	inoci_strings_free(names, n);
	return rc;
}

int inoci_traits_add(inoci_trait_library *l, const char *path, inoc_err *err)
{
	struct stat st;
	int call = ++l->calls;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) return read_folder(l, path, call, err);
	return read_file(l, path, call, err);
}

/* share/inoc/traits beside the file, or in its prefix. */
static char *near(const char *file)
{
	static const char *const tails[] = {"share/inoc/traits", "../share/inoc/traits", "../../share/inoc/traits"};
	char *dir = inoci_path_dir(file), *found = NULL;
	for (size_t i = 0; !found && i < INOCI_COUNT(tails); i++) {
		char *p = inoci_path_join(dir, tails[i]);
		if (inoci_path_exists(p))
			found = p;
		else
			free(p);
	}
	free(dir);
	return found;
}

/* Near what this code is a part of, the program or the shared library (under lib/ or lib/TRIPLET/): either tree may be moved. */
static char *shipped(void)
{
	char *exe = realpath("/proc/self/exe", NULL), *found = exe ? near(exe) : NULL;
	Dl_info me;
	free(exe);
	if (found || !dladdr(__extension__(void *) shipped, &me) || !me.dli_fname) return found;
	char *library = realpath(me.dli_fname, NULL);
	found = library ? near(library) : NULL;
	free(library);
	return found;
}

int inoci_traits_folder(char **out, inoc_err *err)
{
	const char *given = getenv("INOC_TRAITS");
	*out = given && *given ? inoci_strdup(given) : shipped();
	return *out ? 0
	            : inoci_err_set(err, INOC_E_IO,
	                            "the shipped traits are not found beside the program (share/inoc/traits); set INOC_TRAITS "
	                            "to their folder");
}

int inoci_traits_load(const char *const *more, size_t n, inoci_trait_library *l, char **folder, inoc_err *err)
{
	int rc = inoci_traits_folder(folder, err);
	if (rc == 0) rc = inoci_traits_add(l, *folder, err);
	for (size_t i = 0; rc == 0 && i < n; i++) rc = inoci_traits_add(l, more[i], err);
	return rc;
}

int inoci_trait_named(const inoci_trait_library *l, const char *option, const char *id, int *out, inoc_err *err)
{
	*out = inoci_trait_library_find(l, id);
	if (*out >= 0) return 0;
	const char **names = inoci_alloc((l->n + 1) * sizeof *names);
	for (size_t i = 0; i < l->n; i++) names[i] = l->v[i].id;
	const char *like = inoci_nearest(id, names, l->n);
	inoci_err_set(err, INOC_E_USAGE, "%s: there is no trait '%.60s'%s%s%s `inoc scan --list` shows them", option, id,
	              like ? "; did you mean '" : "", like ? like : "", like ? "'?" : ";");
	free(names);
	return INOC_E_USAGE;
}
