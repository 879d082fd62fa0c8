/* YAML: libyaml's document as a tree with marks, and schema tables over it.
 *
 * Invariants: a document is bounded in bytes, depth and nodes with its aliases written out, so that neither a cycle nor an
 * exponential chain of aliases is followed; every error names file, line and column.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "lab/internal.h"

int inoci_yaml_err(const inoci_ynode *n, inoc_err *err, const char *fmt, ...)
{
	va_list ap;
	inoci_buf b = {0};
	va_start(ap, fmt);
	inoci_buf_vprintf(&b, fmt, ap);
	va_end(ap);
	inoci_err_set(err, INOC_E_FORMAT, "%s: %s", n->where, b.data ? b.data : "");
	inoci_buf_free(&b);
	return INOC_E_FORMAT;
}

/* ---- parsing ---- */

typedef struct {
	const char *path;
	const char *set; /* a --set override: stands for the place in messages */
	yaml_document_t *doc;
	inoci_arena *a;
	size_t n_nodes;
} loader;

static char *arena_printf(inoci_arena *a, const char *fmt, ...) INOCI_PRINTF(2, 3);
static char *arena_printf(inoci_arena *a, const char *fmt, ...)
{
	va_list ap;
	inoci_buf b = {0};
	va_start(ap, fmt);
	inoci_buf_vprintf(&b, fmt, ap);
	va_end(ap);
	char *s = inoci_arena_strndup(a, b.data ? b.data : "", b.len);
	inoci_buf_free(&b);
	return s;
}

static const char *mark(const loader *l, yaml_mark_t m)
{
	if (l->set) return arena_printf(l->a, "--set %s", l->set);
	return arena_printf(l->a, "%s:%zu:%zu", l->path, m.line + 1, m.column + 1);
}

static bool is_null(const char *s)
{
	return !*s || !strcmp(s, "~") || !strcmp(s, "null") || !strcmp(s, "Null") || !strcmp(s, "NULL");
}

static int convert(loader *l, int index, int depth, inoci_ynode **out, inoc_err *err);

static int convert_children(loader *l, yaml_node_t *y, inoci_ynode *n, int depth, inoc_err *err)
{
	if (y->type == YAML_SEQUENCE_NODE) {
		n->n = (size_t)(y->data.sequence.items.top - y->data.sequence.items.start);
		n->items = inoci_arena_alloc(l->a, (n->n + 1) * sizeof *n->items);
		for (size_t i = 0; i < n->n; i++) {
			int rc = convert(l, y->data.sequence.items.start[i], depth + 1, &n->items[i], err);
			if (rc < 0) return rc;
		}
		return 0;
	}
	n->n = (size_t)(y->data.mapping.pairs.top - y->data.mapping.pairs.start);
	n->items = inoci_arena_alloc(l->a, (n->n + 1) * sizeof *n->items);
	n->keys = inoci_arena_alloc(l->a, (n->n + 1) * sizeof *n->keys);
	for (size_t i = 0; i < n->n; i++) {
		int rc = convert(l, y->data.mapping.pairs.start[i].key, depth + 1, &n->keys[i], err);
		if (rc < 0) return rc;
		inoci_ynode *k = n->keys[i];
		if (k->kind == YN_NULL && !k->quoted && !*k->s) return inoci_yaml_err(k, err, "a key is empty");
		if (k->kind != YN_SCALAR && k->kind != YN_NULL) return inoci_yaml_err(k, err, "a key must be a plain text");
		if (!strcmp(k->s, "<<") && !k->quoted)
			return inoci_yaml_err(k, err, "merge keys (<<) are not supported; write the keys out");
		for (size_t j = 0; j < i; j++)
			if (!strcmp(n->keys[j]->s, k->s)) return inoci_yaml_err(k, err, "key '%s' is given twice", k->s);
		rc = convert(l, y->data.mapping.pairs.start[i].value, depth + 1, &n->items[i], err);
		if (rc < 0) return rc;
	}
	return 0;
}

static int convert(loader *l, int index, int depth, inoci_ynode **out, inoc_err *err)
{
	yaml_node_t *y = yaml_document_get_node(l->doc, index);
	inoci_ynode *n = inoci_arena_alloc(l->a, sizeof *n);
	*out = n;
	if (!y) return inoci_err_set(err, INOC_E_FORMAT, "%s: a node is missing", l->path);
	n->where = mark(l, y->start_mark);
	n->line = (int)y->start_mark.line + 1;
	if (depth > YAML_MAX_DEPTH)
		return inoci_yaml_err(n, err, "nested more than %d levels deep (or an alias inside its own anchor)",
		                      YAML_MAX_DEPTH);
	if (++l->n_nodes > YAML_MAX_NODES)
		return inoci_yaml_err(n, err, "more than %d values, aliases written out", YAML_MAX_NODES);
	if (y->type == YAML_SCALAR_NODE) {
		const char *s = (const char *)y->data.scalar.value;
		if (strlen(s) != y->data.scalar.length) return inoci_yaml_err(n, err, "a text holds a NUL character");
		n->s = inoci_arena_strndup(l->a, s, y->data.scalar.length);
		n->quoted = y->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
		n->kind = !n->quoted && is_null(s) ? YN_NULL : YN_SCALAR;
		return 0;
	}
	n->kind = y->type == YAML_SEQUENCE_NODE ? YN_SEQ : YN_MAP;
	n->s = "";
	return convert_children(l, y, n, depth, err);
}

static int parser_err(const loader *l, const yaml_parser_t *p, inoc_err *err)
{
	const char *problem = p->problem ? p->problem : "it cannot be read";
	if (p->error == YAML_MEMORY_ERROR) return inoci_err_set(err, INOC_E_MEMORY, "%s: not enough memory", l->path);
	if (p->error == YAML_READER_ERROR)
		return inoci_err_set(err, INOC_E_FORMAT, "%s: byte %zu: %s", l->set ? mark(l, p->problem_mark) : l->path,
		                     p->problem_offset, problem);
	if (p->context)
		return inoci_err_set(err, INOC_E_FORMAT, "%s: not valid YAML: %s, %s", mark(l, p->problem_mark), p->context,
		                     problem);
	return inoci_err_set(err, INOC_E_FORMAT, "%s: not valid YAML: %s", mark(l, p->problem_mark), problem);
}

static int parse(loader *l, const char *text, size_t n, bool may_be_empty, inoci_ynode **out, inoc_err *err)
{
	int rc = 0;
	yaml_parser_t p;
	yaml_document_t doc, extra;
	bool have_doc = false;
	if (n > YAML_MAX_BYTES)
		return inoci_err_set(err, INOC_E_LIMIT, "%s: larger than %u bytes; is it an experiment file (YAML)?", l->path,
		                     YAML_MAX_BYTES);
	if (!yaml_parser_initialize(&p)) return inoci_err_set(err, INOC_E_MEMORY, "%s: not enough memory", l->path);
	yaml_parser_set_input_string(&p, (const unsigned char *)text, n);
	yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
	if (!yaml_parser_load(&p, &doc)) {
		rc = parser_err(l, &p, err);
		goto out;
	}
	have_doc = true;
	l->doc = &doc;
	if (!yaml_document_get_root_node(&doc)) {
		if (!may_be_empty) {
			rc = inoci_err_set(err, INOC_E_FORMAT, "%s: the file is empty", l->path);
			goto out;
		}
		inoci_ynode *e = inoci_arena_alloc(l->a, sizeof *e);
		*e = (inoci_ynode){.kind = YN_NULL, .where = mark(l, p.mark), .s = ""};
		*out = e;
		goto out;
	}
	INOC_TRY(convert(l, 1, 0, out, err));
	if (!yaml_parser_load(&p, &extra)) {
		rc = parser_err(l, &p, err);
		goto out;
	}
	yaml_node_t *second = yaml_document_get_root_node(&extra);
	if (second)
		rc = inoci_err_set(err, INOC_E_FORMAT, "%s: a second document starts here; one is allowed",
		                   mark(l, second->start_mark));
	yaml_document_delete(&extra);
out:
	if (have_doc) yaml_document_delete(&doc);
	yaml_parser_delete(&p);
	return rc;
}

int inoci_yaml_parse(const char *path, const char *text, size_t n, inoci_arena *a, inoci_ynode **out, inoc_err *err)
{
	loader l = {.path = path, .a = a};
	return parse(&l, text, n, false, out, err);
}

/* ---- access ---- */

static inoci_ynode **slot(const inoci_ynode *map, const char *key, size_t n)
{
	for (size_t i = 0; map && map->kind == YN_MAP && i < map->n; i++)
		if (strlen(map->keys[i]->s) == n && !memcmp(map->keys[i]->s, key, n)) return &map->items[i];
	return NULL;
}

inoci_ynode *inoci_yaml_get(const inoci_ynode *map, const char *key)
{
	inoci_ynode **p = slot(map, key, strlen(key));
	return p && (*p)->kind != YN_NULL ? *p : NULL;
}

inoci_ynode *inoci_yaml_text(inoci_arena *a, const inoci_ynode *at, const char *s)
{
	inoci_ynode *n = inoci_arena_alloc(a, sizeof *n);
	*n = (inoci_ynode){.kind = YN_SCALAR,
	                   .quoted = true,
	                   .where = at->where,
	                   .line = at->line,
	                   .s = inoci_arena_strndup(a, s, strlen(s))};
	return n;
}

inoci_ynode *inoci_yaml_map(inoci_arena *a, const inoci_ynode *at, const inoci_ynode *copy)
{
	inoci_ynode *n = inoci_arena_alloc(a, sizeof *n);
	*n = (inoci_ynode){.kind = YN_MAP, .where = at->where, .line = at->line, .s = ""};
	for (size_t i = 0; copy && copy->kind == YN_MAP && i < copy->n; i++)
		inoci_yaml_put(a, n, copy->keys[i]->s, copy->items[i]);
	return n;
}

void inoci_yaml_put(inoci_arena *a, inoci_ynode *map, const char *key, inoci_ynode *value)
{
	inoci_ynode **p = slot(map, key, strlen(key));
	if (p) {
		*p = value;
		return;
	}
	inoci_ynode **items = inoci_arena_alloc(a, (map->n + 2) * sizeof *items);
	inoci_ynode **keys = inoci_arena_alloc(a, (map->n + 2) * sizeof *keys);
	if (map->n) memcpy(items, map->items, map->n * sizeof *items), memcpy(keys, map->keys, map->n * sizeof *keys);
	keys[map->n] = inoci_yaml_text(a, value, key);
	keys[map->n]->made = true;
	items[map->n++] = value;
	map->keys = keys;
	map->items = items;
}

int inoci_yaml_set(inoci_ynode *root, const char *set, inoci_arena *a, inoc_err *err)
{
	const char *eq = strchr(set, '=');
	if (!eq || eq == set)
		return inoci_err_set(err, INOC_E_USAGE, "--set %s: give it as key=value, with dots between keys (train.lr=5e-4)",
		                     set);
	loader l = {.path = "--set", .set = set, .a = a};
	inoci_ynode *value = NULL, *map = root;
	int rc = parse(&l, eq + 1, strlen(eq + 1), true, &value, err);
	if (rc < 0) return rc;
	for (const char *k = set;;) {
		const char *end = memchr(k, '.', (size_t)(eq - k));
		size_t n = (size_t)((end ? end : eq) - k);
		if (!n) return inoci_err_set(err, INOC_E_USAGE, "--set %s: a key is empty", set);
		if (map->kind == YN_NULL) map->kind = YN_MAP;
		if (map->kind != YN_MAP)
			return inoci_err_set(err, INOC_E_USAGE, "--set %s: '%.*s' stands under something that has no keys", set,
			                     (int)n, k);
		inoci_ynode **p = slot(map, k, n);
		if (!p) {
			inoci_ynode *v = inoci_arena_alloc(a, sizeof *v);
			*v = (inoci_ynode){.kind = YN_NULL, .where = value->where, .s = ""};
			inoci_yaml_put(a, map, inoci_arena_strndup(a, k, n), v);
			map->keys[map->n - 1]->made = false; /* typed: a name is checked */
			p = &map->items[map->n - 1];
		}
		if (!end) {
			*p = value;
			return 0;
		}
		map = *p;
		k = end + 1;
	}
}

static bool plain_bool(const inoci_ynode *n, bool *out)
{
	static const char *yes[] = {"true", "True", "TRUE"}, *no[] = {"false", "False", "FALSE"};
	for (int i = 0; i < 3; i++) {
		if (!strcmp(n->s, yes[i])) return *out = true, true;
		if (!strcmp(n->s, no[i])) return *out = false, true;
	}
	return false;
}

static bool plain_dbl(const char *s, double *out)
{
	if (!*s || isspace((unsigned char)*s) || strspn(s, "+-.0123456789eE") != strlen(s)) return false;
	char *end;
	*out = strtod(s, &end);
	return !*end && isfinite(*out);
}

static bool plain_int(const char *s, int64_t *out)
{
	if (!*s || strspn(s, "+-0123456789") != strlen(s)) return false;
	char *end;
	errno = 0;
	*out = strtoll(s, &end, 10);
	return !*end && !errno;
}

json_t *inoci_yaml_json(const inoci_ynode *n)
{
	json_t *j;
	int64_t i;
	double d;
	bool b;
	switch (n->kind) {
	case YN_NULL:
		return json_null();
	case YN_SCALAR:
		if (n->quoted) return json_string(n->s);
		if (plain_bool(n, &b)) return json_boolean(b);
		if (plain_int(n->s, &i)) return json_integer(i);
		if (plain_dbl(n->s, &d)) return json_real(d);
		return json_string(n->s);
	case YN_SEQ:
		j = json_array();
		for (size_t k = 0; k < n->n; k++) json_array_append_new(j, inoci_yaml_json(n->items[k]));
		return j;
	case YN_MAP:
		j = json_object();
		for (size_t k = 0; k < n->n; k++) json_object_set_new(j, n->keys[k]->s, inoci_yaml_json(n->items[k]));
		return j;
	}
	return json_null();
}

/* ---- schema ---- */

static const char *kind_name(const inoci_ynode *n)
{
	static const char *names[] = {"nothing", "a single value", "a list", "a mapping"};
	return names[n->kind];
}

static int want_scalar(const inoci_ynode *n, const char *what, const char *expected, inoc_err *err)
{
	if (n->kind != YN_SCALAR) return inoci_yaml_err(n, err, "%s must be %s, not %s", what, expected, kind_name(n));
	return 0;
}

int inoci_yaml_name(const inoci_ynode *n, const char *what, inoc_err *err)
{
	int rc = want_scalar(n, what, "a name", err);
	if (rc < 0) return rc;
	static const char *ok = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	if (n->made) return 0;
	if (!isalnum((unsigned char)n->s[0]) || strspn(n->s, ok) != strlen(n->s) || strlen(n->s) > 60)
		return inoci_yaml_err(n, err, "%s '%.80s' must be a name of letters, digits, _ and -, 60 at most", what, n->s);
	return 0;
}

int inoci_yaml_dbl(const inoci_ynode *n, const char *what, double min, double max, double *out, inoc_err *err)
{
	int rc = want_scalar(n, what, "a number", err);
	if (rc < 0) return rc;
	if (n->quoted || !plain_dbl(n->s, out)) return inoci_yaml_err(n, err, "%s must be a number, not '%.80s'", what, n->s);
	if (*out < min || *out > max) return inoci_yaml_err(n, err, "%s must be between %g and %g, not %s", what, min, max, n->s);
	return 0;
}

int inoci_yaml_int(const inoci_ynode *n, const char *what, double min, double max, int64_t *out, inoc_err *err)
{
	int rc = want_scalar(n, what, "a whole number", err);
	if (rc < 0) return rc;
	if (n->quoted || !plain_int(n->s, out))
		return inoci_yaml_err(n, err, "%s must be a whole number, not '%.80s'", what, n->s);
	if ((double)*out < min || (double)*out > max)
		return inoci_yaml_err(n, err, "%s must be between %.0f and %.0f, not %s", what, min, max, n->s);
	return 0;
}

static int choose(const inoci_ynode *n, const char *what, const char *const *names, int *out, inoc_err *err)
{
	int rc = want_scalar(n, what, "one of its names", err);
	if (rc < 0) return rc;
	inoci_buf b = {0};
	for (int i = 0; names[i]; i++) {
		if (!strcmp(names[i], n->s)) {
			inoci_buf_free(&b);
			*out = i;
			return 0;
		}
		inoci_buf_printf(&b, "%s%s", i ? ", " : "", names[i]);
	}
	inoci_yaml_err(n, err, "%s must be one of %s, not '%.80s'", what, b.data, n->s);
	inoci_buf_free(&b);
	return INOC_E_FORMAT;
}

static int strings(const inoci_ynode *n, const char *what, char ***v, size_t *count, inoc_err *err)
{
	const inoci_ynode *one = n;
	const inoci_ynode *const *items = n->kind == YN_SEQ ? (const inoci_ynode *const *)n->items : &one;
	size_t k = n->kind == YN_SEQ ? n->n : 1;
	for (size_t i = 0; i < k; i++) {
		int rc = want_scalar(items[i], what, n->kind == YN_SEQ ? "a list of texts" : "a text or a list of texts", err);
		if (rc < 0) return rc;
	}
	for (size_t i = 0; i < *count; i++) free((*v)[i]);
	free(*v);
	*v = inoci_alloc((k + 1) * sizeof **v);
	*count = k;
	for (size_t i = 0; i < k; i++) (*v)[i] = inoci_strdup(items[i]->s);
	return 0;
}

static int fill_one(const inoci_ynode *n, const char *what, const inoci_ykey *k, char *dst, void *ctx, inoc_err *err)
{
	void *at = dst + k->offset;
	int rc, which;
	int64_t i;
	double d;
	switch (k->type) {
	case Y_NAME:
		if ((rc = inoci_yaml_name(n, what, err)) < 0) return rc;
		/* fall through */
	case Y_STR:
		if ((rc = want_scalar(n, what, "a text", err)) < 0) return rc;
		free(*(char **)at);
		*(char **)at = inoci_strdup(n->s);
		return 0;
	case Y_BOOL:
		if ((rc = want_scalar(n, what, "true or false", err)) < 0) return rc;
		if (n->quoted || !plain_bool(n, at))
			return inoci_yaml_err(n, err, "%s must be true or false, not '%.80s'", what, n->s);
		return 0;
	case Y_INT:
		if ((rc = inoci_yaml_int(n, what, k->min, k->max, &i, err)) < 0) return rc;
		*(int *)at = (int)i;
		return 0;
	case Y_DBL:
	case Y_FLT:
		if ((rc = inoci_yaml_dbl(n, what, k->min, k->max, &d, err)) < 0) return rc;
		if (k->type == Y_DBL)
			*(double *)at = d;
		else
			*(float *)at = (float)d;
		return 0;
	case Y_ENUM:
		return choose(n, what, k->names, at, err);
	case Y_CHOICE:
		if ((rc = choose(n, what, k->names, &which, err)) < 0) return rc;
		free(*(char **)at);
		*(char **)at = inoci_strdup(k->names[which]);
		return 0;
	case Y_STRS:
		return strings(n, what, at, (size_t *)(void *)(dst + k->offset2), err);
	case Y_CALL:
		return k->call(n, dst, ctx, err);
	}
	return 0;
}

int inoci_yaml_fill(const inoci_ynode *map, const char *what, const inoci_ykey *keys, size_t n_keys, void *dst, void *ctx,
                    inoc_err *err)
{
	int rc = 0;
	const char *dot = *what ? "." : "";
	const char **names = inoci_alloc((n_keys + 1) * sizeof *names);
	for (size_t i = 0; i < n_keys; i++) names[i] = keys[i].key;
	if (map->kind != YN_MAP) {
		rc = inoci_yaml_err(map, err, "%s must be a mapping (key: value), not %s", *what ? what : "the file",
		                    kind_name(map));
		goto out;
	}
	for (size_t i = 0; i < map->n; i++) {
		size_t k = 0;
		while (k < n_keys && strcmp(keys[k].key, map->keys[i]->s)) k++;
		if (k < n_keys) continue;
		const char *near = inoci_nearest(map->keys[i]->s, names, n_keys);
		inoci_buf all = {0};
		for (size_t j = 0; j < n_keys; j++) inoci_buf_printf(&all, "%s%s", j ? ", " : "", names[j]);
		if (near)
			rc = inoci_yaml_err(map->keys[i], err, "unknown key '%s%s%.80s'; did you mean '%s'?", what, dot,
			                    map->keys[i]->s, near);
		else
			rc = inoci_yaml_err(map->keys[i], err, "unknown key '%s%s%.80s'; known here: %s", what, dot,
			                    map->keys[i]->s, all.data ? all.data : "none");
		inoci_buf_free(&all);
		goto out;
	}
	for (size_t k = 0; k < n_keys; k++) {
		inoci_ynode *v = inoci_yaml_get(map, keys[k].key);
		if (!v && keys[k].required) {
			rc = inoci_yaml_err(map, err, "%s%s%s is missing", what, dot, keys[k].key);
			goto out;
		}
		if (!v) continue;
		char *full = inoci_asprintf("%s%s%s", what, dot, keys[k].key);
		rc = fill_one(v, full, &keys[k], dst, ctx, err);
		free(full);
		if (rc < 0) goto out;
	}
out:
	free(names);
	return rc;
}

int inoci_yaml_each_named(const inoci_ynode *n, const char *what, size_t max, inoc_err *err)
{
	if (n->kind != YN_MAP || !n->n)
		return inoci_yaml_err(n, err, "%s must be a mapping from names to settings, with one entry at least", what);
	if (n->n > max) return inoci_yaml_err(n, err, "%s has %zu entries; %zu is the limit", what, n->n, max);
	for (size_t i = 0; i < n->n; i++) {
		int rc = inoci_yaml_name(n->keys[i], what, err);
		if (rc < 0) return rc;
	}
	return 0;
}

/* JSON is YAML but for characters that YAML does not print or that end its lines: those are written as escapes. */
void inoci_json_yaml(const json_t *j, inoci_buf *out)
{
	static const struct {
		const char *bytes, *escape;
	} of[] = {{"\x7f", "\\u007f"},         {"\xe2\x80\xa8", "\\u2028"}, {"\xe2\x80\xa9", "\\u2029"},
	          {"\xef\xbb\xbf", "\\ufeff"}, {"\xef\xbf\xbe", "\\ufffe"}, {"\xef\xbf\xbf", "\\uffff"}};
	char *text = json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
	for (const char *s = text; *s;) {
		size_t k = 0;
		while (k < INOCI_COUNT(of) && strncmp(s, of[k].bytes, strlen(of[k].bytes))) k++;
		if (k < INOCI_COUNT(of)) {
			inoci_buf_puts(out, of[k].escape);
			s += strlen(of[k].bytes);
		} else if (s[0] == '\xc2' && (unsigned char)s[1] < 0xa0) {
			inoci_buf_printf(out, "\\u%04x", (unsigned)(unsigned char)s[1]);
			s += 2;
		} else {
			inoci_buf_append(out, s++, 1);
		}
	}
	inoci_buf_puts(out, "\n");
	free(text);
}
