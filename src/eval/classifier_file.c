/* A classifier's file: one JSON object,
 *   {"format": "inoc classifier", "version": 1,
 *    "model": {"name", "sha256"}, "template", "dtype", "layer",
 *    "threshold", "l2", "bias", "weights": [C], "mean": [C], "scale": [C],
 *    "data": {"sha256", "rows", "ones", "topics"},
 *    "held_out": {"kappa": {"value", "low", "high"}, "accuracy", "auc", "folds": [{"layer", "l2", "rows"}, ...]}}
 * Numbers have the 17 digits that give them back exactly; an undefined one is null.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/internal.h"

#define FORMAT "inoc classifier"
enum { VERSION = 1, MOST_WIDTH = 1 << 20, MOST_LAYER = 100000 };

void inoci_classifier_free(inoci_classifier *c)
{
	if (!c) return;
	free(c->path), free(c->model_name), free(c->template_name), free(c->dtype), free(c->folds);
	inoci_logistic_free(&c->f);
	free(c);
}

int inoci_classifier_fits(const inoci_classifier *c, const char *sha256, const char *path, inoc_err *err)
{
	if (!strcmp(c->model.hex, sha256)) return 0;
	return inoci_err_set(
	        err, INOC_E_USAGE,
	        "%s was trained on the hidden states of %s (SHA-256 %.12s...), and %s is another model (%.12s...): train "
	        "one for it with `inoc classifier train`",
	        c->path ? c->path : "the classifier", c->model_name, c->model.hex, path, sha256);
}

/* ---- writing ---- */

static json_t *number(double x)
{
	return isfinite(x) ? json_real(x) : json_null();
}

static json_t *numbers(const double *v, size_t n)
{
	json_t *a = json_array();
	for (size_t i = 0; i < n; i++) json_array_append_new(a, json_real(v[i]));
	return a;
}

static json_t *figure(const inoci_figure *f)
{
	return json_pack("{s:o, s:o, s:o}", "value", number(f->value), "low", number(f->low), "high", number(f->high));
}

int inoci_classifier_write(const inoci_classifier *c, const char *path, inoc_err *err)
{
	json_t *folds = json_array();
	const inoci_agreement *h = &c->held_out;
	for (int k = 0; k < c->n_folds; k++)
		json_array_append_new(folds, json_pack("{s:i, s:f, s:I}", "layer", c->folds[k].layer, "l2", c->folds[k].l2,
		                                       "rows", (json_int_t)c->folds[k].n));
	json_t *j = json_pack("{s:s, s:i, s:{s:s, s:s}, s:s, s:s, s:i, s:f, s:f, s:f, s:o, s:o, s:o, s:{s:s, s:I, s:I, s:i}}",
	                      "format", FORMAT, "version", VERSION, "model", "name", c->model_name, "sha256", c->model.hex,
	                      "template", c->template_name, "dtype", c->dtype, "layer", c->layer, "threshold", c->threshold, "l2",
	                      c->f.l2, "bias", c->f.bias, "weights", numbers(c->f.weight, c->f.k), "mean",
	                      numbers(c->f.mean, c->f.k), "scale", numbers(c->f.scale, c->f.k), "data", "sha256", c->data.hex,
	                      "rows", (json_int_t)h->n, "ones", (json_int_t)h->n_ones, "topics", h->n_topics);
	if (!j) {
		json_decref(folds);
		return inoci_err_set(err, INOC_E_FORMAT, "the model's file name %s is not UTF-8, which JSON must be",
		                     c->model_name);
	}
	json_object_set_new(j, "held_out",
	                    json_pack("{s:o, s:o, s:o, s:o}", "kappa", figure(&h->kappa), "accuracy", figure(&h->accuracy), "auc",
	                              figure(&h->auc), "folds", folds));
	char *text = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(17));
	inoci_buf b = {0};
	inoci_buf_printf(&b, "%s\n", text);
	int rc = inoci_file_write(path, b.data, b.len, err);
	inoci_buf_free(&b);
	free(text);
	json_decref(j);
	return rc;
}

/* ---- reading ---- */

typedef struct {
	const char *path;
	inoc_err *err;
} where;

static int bad(const where *w, const char *key, const char *want)
{
	return inoci_err_set(w->err, INOC_E_FORMAT, "%s: \"%s\" is not %s: no file that `inoc classifier train` wrote", w->path,
	                     key, want);
}

static int get_number(const where *w, const json_t *j, const char *key, double low, double high, double *out)
{
	const json_t *v = json_object_get(j, key);
	*out = json_number_value(v);
	return json_is_number(v) && *out >= low && *out <= high ? 0 : bad(w, key, "a number in its range");
}

static int get_count(const where *w, const json_t *j, const char *key, int high, int *out)
{
	double x;
	int rc = get_number(w, j, key, 0, high, &x);
	if (rc < 0) return rc;
	*out = (int)x;
	return x == *out ? 0 : bad(w, key, "a whole number");
}

static int get_text(const where *w, const json_t *j, const char *key, char **out)
{
	const char *s = json_string_value(json_object_get(j, key));
	if (!s || !*s) return bad(w, key, "a text");
	*out = inoci_strdup(s);
	return 0;
}

static int get_hash(const where *w, const json_t *j, const char *key, inoci_hash *out)
{
	const char *s = json_string_value(json_object_get(json_object_get(j, key), "sha256"));
	if (!s || strlen(s) != 64 || strspn(s, "0123456789abcdef") != 64) return bad(w, key, "an object with a \"sha256\"");
	memcpy(out->hex, s, sizeof out->hex);
	return 0;
}

/* (k) finite numbers, or above 0. */
static int get_numbers(const where *w, const json_t *j, const char *key, size_t k, bool positive, double **out)
{
	const json_t *a = json_object_get(j, key), *v;
	size_t i;
	if (!json_is_array(a) || json_array_size(a) != k) return bad(w, key, "a list as long as \"weights\"");
	*out = inoci_alloc((k + 1) * sizeof **out);
	json_array_foreach(a, i, v)
	{
		(*out)[i] = json_number_value(v);
		if (!json_is_number(v) || !isfinite((*out)[i]) || (positive && !((*out)[i] > 0)))
			return bad(w, key, positive ? "a list of numbers above 0" : "a list of numbers");
	}
	return 0;
}

static int get_figure(const where *w, const json_t *j, const char *key, inoci_figure *out)
{
	const json_t *f = json_object_get(j, key);
	static const char *const names[] = {"value", "low", "high"};
	double *to[] = {&out->value, &out->low, &out->high};
	if (!json_is_object(f)) return bad(w, key, "an object");
	for (size_t i = 0; i < INOCI_COUNT(names); i++) {
		const json_t *v = json_object_get(f, names[i]);
		if (!json_is_number(v) && !json_is_null(v)) return bad(w, names[i], "a number or null");
		*to[i] = json_is_null(v) ? NAN : json_number_value(v);
	}
	return 0;
}

static int get_held_out(const where *w, const json_t *j, inoci_classifier *c)
{
	const json_t *h = json_object_get(j, "held_out"), *data = json_object_get(j, "data"), *list, *v;
	inoci_agreement *a = &c->held_out;
	size_t i;
	double rows, ones;
	int rc;
	INOC_TRY(get_hash(w, j, "data", &c->data));
	INOC_TRY(get_number(w, data, "rows", 0, 1e15, &rows));
	INOC_TRY(get_number(w, data, "ones", 0, rows, &ones));
	a->n = (size_t)rows;
	a->n_ones = (size_t)ones;
	INOC_TRY(get_count(w, data, "topics", INT32_MAX, &a->n_topics));
	INOC_TRY(get_figure(w, h, "kappa", &a->kappa));
	INOC_TRY(get_figure(w, h, "accuracy", &a->accuracy));
	INOC_TRY(get_figure(w, h, "auc", &a->auc));
	list = json_object_get(h, "folds");
	if (!json_is_array(list)) return bad(w, "folds", "a list");
	c->folds = inoci_alloc((json_array_size(list) + 1) * sizeof *c->folds);
	json_array_foreach(list, i, v)
	{
		inoci_classifier_fold *f = &c->folds[c->n_folds++];
		INOC_TRY(get_count(w, v, "layer", MOST_LAYER, &f->layer));
		INOC_TRY(get_number(w, v, "l2", 0, 1e30, &f->l2));
		INOC_TRY(get_number(w, v, "rows", 0, 1e15, &rows));
		f->n = (size_t)rows;
	}
out:
	return rc < 0 ? rc : 0;
}

static int get_all(const where *w, const json_t *j, inoci_classifier *c)
{
	const char *format = json_string_value(json_object_get(j, "format"));
	int version, rc;
	size_t k = json_array_size(json_object_get(j, "weights"));
	if (!format || strcmp(format, FORMAT)) return bad(w, "format", "\"" FORMAT "\"");
	INOC_TRY(get_count(w, j, "version", INT32_MAX, &version));
	if (version != VERSION)
		return inoci_err_set(w->err, INOC_E_UNSUPPORTED, "%s: version %d; this program reads version %d: train it again",
		                     w->path, version, VERSION);
	if (!k || k > MOST_WIDTH) return bad(w, "weights", "a list of numbers");
	c->f.k = k;
	INOC_TRY(get_hash(w, j, "model", &c->model));
	INOC_TRY(get_text(w, json_object_get(j, "model"), "name", &c->model_name));
	INOC_TRY(get_text(w, j, "template", &c->template_name));
	INOC_TRY(get_text(w, j, "dtype", &c->dtype));
	INOC_TRY(get_count(w, j, "layer", MOST_LAYER, &c->layer));
	INOC_TRY(get_number(w, j, "threshold", 0, 1, &c->threshold));
	INOC_TRY(get_number(w, j, "l2", 0, 1e30, &c->f.l2));
	INOC_TRY(get_number(w, j, "bias", -1e300, 1e300, &c->f.bias));
	INOC_TRY(get_numbers(w, j, "weights", k, false, &c->f.weight));
	INOC_TRY(get_numbers(w, j, "mean", k, false, &c->f.mean));
	INOC_TRY(get_numbers(w, j, "scale", k, true, &c->f.scale));
	INOC_TRY(get_held_out(w, j, c));
out:
	return rc < 0 ? rc : 0;
}

int inoci_classifier_parse(const char *path, const char *text, size_t n, inoci_classifier **out, inoc_err *err)
{
	inoci_classifier *c = inoci_alloc(sizeof *c);
	json_error_t e;
	json_t *j = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);
	int rc;
	*c = (inoci_classifier){.path = inoci_strdup(path), .hash = inoci_hash_bytes(text, n)};
	*out = NULL;
	if (!j)
		rc = inoci_err_set(err, INOC_E_FORMAT,
		                   "%s: not JSON: %s (line %d, column %d): damaged, or no classifier; train it again", path,
		                   e.text, e.line, e.column);
	else
		rc = get_all(&(where){path, err}, j, c);
	json_decref(j);
	if (rc < 0)
		inoci_classifier_free(c);
	else
		*out = c;
	return rc;
}

int inoci_classifier_read(const char *path, inoci_classifier **out, inoc_err *err)
{
	char *text;
	size_t n;
	int rc = inoci_file_read(path, &text, &n, err);
	*out = NULL;
	if (rc < 0) return rc;
	rc = inoci_classifier_parse(path, text, n, out, err);
	free(text);
	return rc;
}
