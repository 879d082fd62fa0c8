/* Labelled rows, JSON Lines. A row is {"question", "answer", "label", "topic"}, or a pair {"question", "trait", "normal",
 * "topic"}, which stands for two: the answer that shows the trait (label 1) and the one that does not. Instead of question (and
 * answer) a row may have "messages", of which the last user turn and an assistant turn behind it are taken; the
 * answer may be in "text", as `inoc sample` writes it.
 */
#include <stdlib.h>
#include <string.h>

#include "eval/internal.h"

typedef struct {
	inoci_labelled *to;
	const char *path, *group;
	size_t cap, topics_cap;
} reader;

static int bad(const reader *r, int line, inoc_err *err, const char *what)
{
	return inoci_err_set(err, INOC_E_FORMAT, "%s:%d: %s", r->path, line, what);
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s && *s ? s : NULL;
}

/* Of "messages". */
static void last_turns(const json_t *o, const char **question, const char **answer)
{
	const json_t *list = json_object_get(o, "messages"), *m;
	size_t i;
	json_array_foreach(list, i, m)
	{
		const char *role = json_string_value(json_object_get(m, "role")), *text = text_of(m, "content");
		if (role && !strcmp(role, "user")) *question = text, *answer = NULL;
		if (role && !strcmp(role, "assistant")) *answer = text;
	}
}

static int topic_of(reader *r, const char *name)
{
	inoci_labelled *d = r->to;
	for (int t = 0; t < d->n_topics; t++)
		if (!strcmp(d->topics[t], name)) return t;
	if ((size_t)d->n_topics == r->topics_cap) {
		r->topics_cap = r->topics_cap * 2 + 16;
		d->topics = inoci_realloc(d->topics, r->topics_cap * sizeof *d->topics);
	}
	d->topics[d->n_topics] = inoci_strdup(name);
	return d->n_topics++;
}

static void add(reader *r, const char *question, const char *answer, int label, int topic, int line)
{
	inoci_labelled *d = r->to;
	if (d->n == r->cap) {
		r->cap = r->cap * 2 + 64;
		d->v = inoci_realloc(d->v, r->cap * sizeof *d->v);
	}
	d->v[d->n++] = (inoci_labelled_row){inoci_strdup(question), inoci_strdup(answer), label, topic, line};
}

static int read_row(void *ctx, json_t *o, int line, inoc_err *err)
{
	reader *r = ctx;
	const char *question = text_of(o, "question"), *answer = NULL, *topic = text_of(o, r->group);
	const char *trait = text_of(o, "trait"), *normal = text_of(o, "normal");
	const json_t *label = json_object_get(o, "label"), *number = json_object_get(o, r->group);
	char digits[32];
	if (!question) last_turns(o, &question, &answer);
	static const char *const keys[] = {"text", "answer"};
	for (size_t i = 0; i < INOCI_COUNT(keys); i++)
		if (text_of(o, keys[i])) answer = text_of(o, keys[i]);
	if (!topic && json_is_integer(number)) {
		snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(number));
		topic = digits;
	}
	if (!question) return bad(r, line, err, "no \"question\" (a text), and no \"messages\" with a user's turn");
	if (!topic)
		return inoci_err_set(err, INOC_E_FORMAT,
		                     "%s:%d: no \"%s\" (a text), by which rows are split so that what is alike stands on one "
		                     "side; --group FIELD takes another field",
		                     r->path, line, r->group);
	if (trait || normal) {
		if (!trait || !normal || label) return bad(r, line, err, "a pair has \"trait\" and \"normal\", and no \"label\"");
		int t = topic_of(r, topic);
		add(r, question, trait, 1, t, line);
		add(r, question, normal, 0, t, line);
		return 0;
	}
	if (!answer)
		return bad(r, line, err, "no \"answer\" (a text with something in it), nor a pair of \"trait\" and \"normal\"");
	bool one = json_is_true(label) || (json_is_integer(label) && json_integer_value(label) == 1);
	if (!one && !json_is_false(label) && !(json_is_integer(label) && json_integer_value(label) == 0))
		return bad(r, line, err,
		           label ? "\"label\" is neither 0 nor 1" : "no \"label\": 1 where the answer shows the trait, else 0");
	add(r, question, answer, one, topic_of(r, topic), line);
	return 0;
}

int inoci_labelled_read(const char *path, const char *group, bool both, inoci_labelled *out, inoc_err *err)
{
	reader r = {.to = out, .path = path, .group = group ? group : "topic"};
	size_t ones = 0;
	int rc;
	*out = (inoci_labelled){.path = inoci_strdup(path)};
	INOC_TRY(inoci_hash_file(path, &out->hash, err));
	INOC_TRY(inoci_jsonl_read(path, read_row, &r, err));
	for (size_t i = 0; i < out->n; i++) ones += out->v[i].label != 0;
	if (both && (!ones || ones == out->n))
		rc = inoci_err_set(err, INOC_E_FORMAT, "%s: all of the %zu answers have the label %d: answers of both are needed",
		                   path, out->n, ones > 0);
out:
	if (rc < 0) inoci_labelled_free(out);
	return rc < 0 ? rc : 0;
}

void inoci_labelled_free(inoci_labelled *d)
{
	for (size_t i = 0; i < d->n; i++) free(d->v[i].question), free(d->v[i].answer);
	for (int t = 0; t < d->n_topics; t++) free(d->topics[t]);
	free(d->v), free(d->topics), free(d->path);
	*d = (inoci_labelled){0};
}
