/* checked: how far a scorer that rests on judges or classifiers agrees with people's labels, from what `inoc judge check --json`
 * and `inoc classifier check --json` printed.
 *
 * Invariant: a figure is taken only for the very scorer that was checked, by its key: with the same settings, threshold and
 * model.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/internal.h"

static bool is_judged(const char *type)
{
	return type && (!strcmp(type, "judge") || !strcmp(type, "classifier"));
}

bool inoci_settings_judged(const json_t *j)
{
	const char *key;
	size_t i;
	json_t *v;
	if (is_judged(json_string_value(json_object_get(j, "type")))) return true;
	json_array_foreach(j, i, v) if (inoci_settings_judged(v)) return true;
	json_object_foreach((json_t *)(uintptr_t)j, key, v) if (inoci_settings_judged(v)) return true;
	return false;
}

bool inoci_checked_enough(const inoci_checked *c)
{
	return !c->n_judges || (!c->n_unchecked && c->kappa.value >= INOCI_KAPPA_HEADLINE);
}

json_t *inoci_scorer_named(const inoci_scorer *s)
{
	inoci_hash key = inoci_scorer_key(s);
	return json_pack("{s:s, s:O}", "key", key.hex, "settings", s->settings);
}

json_t *inoci_classifier_named(const inoci_classifier *c, double threshold)
{
	inoci_scorer s = {.settings = json_pack("{s:s, s:i, s:s, s:f}", "type", inoci_score_classifier.name, "version",
	                                        inoci_score_classifier.version, "sha256", c->hash.hex, "threshold", threshold)};
	json_t *named = inoci_scorer_named(&s);
	json_decref(s.settings);
	return named;
}

/* ---- a file ---- */

typedef struct {
	const char *path;
	json_t *j;
	bool used;
} file;

static double number(const json_t *j, const char *key)
{
	const json_t *v = json_object_get(j, key);
	return json_is_number(v) ? json_number_value(v) : NAN;
}

static const char *key_of(const file *f)
{
	return json_string_value(json_object_get(json_object_get(f->j, "scorer"), "key"));
}

static long rows_of(const file *f)
{
	const json_t *scored = json_object_get(f->j, "scored"), *answers = json_object_get(f->j, "answers");
	return (long)json_integer_value(scored ? scored : answers);
}

static int read_file(file *f, inoc_err *err)
{
	char *text;
	size_t n;
	int rc = inoci_file_read(f->path, &text, &n, err);
	if (rc < 0) return rc;
	f->j = json_loadb(text, n, 0, NULL);
	free(text);
	const json_t *kappa = json_object_get(f->j, "kappa");
	if (!json_is_object(kappa) || !json_object_get(kappa, "value") || rows_of(f) < 0)
		return inoci_err_set(
		        err, INOC_E_FORMAT,
		        "%s: not what `inoc judge check --json` or `inoc classifier check --json` prints: no \"kappa\" "
		        "with its rows",
		        f->path);
	if (!key_of(f))
		return inoci_err_set(err, INOC_E_FORMAT,
		                     "%s: it does not say which scorer was checked (\"scorer\"): check again with this version",
		                     f->path);
	if (json_is_true(json_object_get(f->j, "training_data")))
		return inoci_err_set(err, INOC_E_USAGE,
		                     "%s: it was checked on the classifier's own training data, which tells nothing of other "
		                     "answers: check it on others",
		                     f->path);
	return 0;
}

/* ---- matching ---- */

/* A classifier's probability without a threshold was checked at the one of its file. */
static bool is_of(const file *f, const inoci_scorer *s)
{
	double threshold;
	const inoci_classifier *c = inoci_score_classifier_get(s, &threshold);
	json_t *named = c ? inoci_classifier_named(c, threshold) : inoci_scorer_named(s);
	bool same = !strcmp(key_of(f), json_string_value(json_object_get(named, "key")));
	json_decref(named);
	return same;
}

static file *find(file *f, size_t n, const inoci_scorer *s)
{
	file *found = NULL;
	for (size_t i = 0; i < n; i++) {
		if (!is_of(&f[i], s)) continue;
		f[i].used = true;
		found = &f[i];
	}
	return found;
}

/* The least kappa stands; one that is undefined is less than any. */
static void add(inoci_checked *c, inoci_figure kappa, long n, bool held_out)
{
	if (c->n_judges - c->n_unchecked > 1 && !isnan(kappa.value) && !(kappa.value < c->kappa.value)) return;
	c->kappa = kappa;
	c->n = n;
	c->held_out = held_out;
}

static void add_file(inoci_checked *c, const file *f)
{
	const json_t *k = json_object_get(f->j, "kappa");
	add(c, (inoci_figure){number(k, "value"), number(k, "low"), number(k, "high")}, rows_of(f), false);
}

static void walk(const inoci_scorer *s, file *f, size_t n, inoci_checked *c)
{
	double threshold;
	for (size_t i = 0; i < s->n_kids; i++) walk(s->kids[i], f, n, c);
	if (!s->type || !is_judged(s->type->name)) return;
	const inoci_classifier *k = inoci_score_classifier_get(s, &threshold);
	const file *own = find(f, n, s);
	c->n_judges++;
	if (own)
		add_file(c, own);
	else if (k && threshold == k->threshold && !isnan(k->held_out.kappa.value))
		add(c, k->held_out.kappa, (long)k->held_out.n, true);
	else
		c->n_unchecked++;
}

/* What of the settings of the first scorer of that type differs: ", which differs in below, template". */
static void put_difference(inoci_buf *b, const inoci_scorer *s, const json_t *settings)
{
	const json_t *type = json_object_get(settings, "type");
	const char *key;
	json_t *v;
	size_t n = 0;
	for (size_t i = 0; i < s->n_kids && !b->len; i++) put_difference(b, s->kids[i], settings);
	if (b->len || !s->type || !json_equal(type, json_object_get(s->settings, "type"))) return;
	for (int pass = 0; pass < 2; pass++) json_object_foreach((json_t *)(uintptr_t)(pass ? settings : s->settings), key, v)
		{
			const json_t *other = json_object_get(pass ? s->settings : settings, key);
			if (pass ? !other : !json_equal(v, other))
				inoci_buf_printf(b, "%s%s", n++ ? ", " : ", which differs in ", key);
		}
}

static int unused(const inoci_scorer *s, const file *f, inoc_err *err)
{
	inoci_buf b = {0};
	put_difference(&b, s, json_object_get(json_object_get(f->j, "scorer"), "settings"));
	int rc = inoci_err_set(err, INOC_E_USAGE,
	                       "%s: another scorer was checked%s; check the one that stands here, with the same settings",
	                       f->path, b.len ? b.data : "");
	inoci_buf_free(&b);
	return rc;
}

int inoci_scorer_checked(const inoci_scorer *s, char *const *paths, size_t n, inoci_checked *out, inoc_err *err)
{
	file *f = inoci_alloc((n + 1) * sizeof *f), *whole;
	int rc = 0;
	*out = (inoci_checked){.kappa = {NAN, NAN, NAN}};
	for (size_t i = 0; i < n; i++) f[i].path = paths[i];
	for (size_t i = 0; i < n; i++) INOC_TRY(read_file(&f[i], err));
	walk(s, f, n, out);
	if (!out->n_judges) {
		if (n)
			rc = inoci_err_set(err, INOC_E_USAGE,
			                   "\"checked\" is for judges and classifiers, and this scorer has none in it");
		goto out;
	}
	whole = s->n_kids ? find(f, n, s) : NULL;
	if (whole) {
		*out = (inoci_checked){.n_judges = 1};
		add_file(out, whole);
	}
	for (size_t i = 0; i < n && rc == 0; i++)
		if (!f[i].used) rc = unused(s, &f[i], err);
out:
	for (size_t i = 0; i < n; i++) json_decref(f[i].j);
	free(f);
	return rc < 0 ? rc : 0;
}

/* ---- as it is kept ---- */

static json_t *real(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

json_t *inoci_checked_json(const inoci_checked *c)
{
	return json_pack("{s:{s:o, s:o, s:o}, s:I, s:b, s:i, s:i}", "kappa", "value", real(c->kappa.value), "low",
	                 real(c->kappa.low), "high", real(c->kappa.high), "rows", (json_int_t)c->n, "held_out", (int)c->held_out,
	                 "judges", c->n_judges, "unchecked", c->n_unchecked);
}

inoci_checked inoci_checked_read(const json_t *j)
{
	const json_t *k = json_object_get(j, "kappa");
	return (inoci_checked){.kappa = {number(k, "value"), number(k, "low"), number(k, "high")},
	                       .n = (long)json_integer_value(json_object_get(j, "rows")),
	                       .held_out = json_is_true(json_object_get(j, "held_out")),
	                       .n_judges = (int)json_integer_value(json_object_get(j, "judges")),
	                       .n_unchecked = (int)json_integer_value(json_object_get(j, "unchecked"))};
}
