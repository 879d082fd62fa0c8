/* The text of a JSON object's members as it stands in the file, so that fields we do not touch are written back byte for byte:
 * 1.10 stays 1.10, and an integer of any size stays itself. Works on text that the JSON library has accepted. */
#include <stdlib.h>
#include <string.h>

#include "data/internal.h"

static const char *skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')) p++;
	return p;
}

static const char *skip_string(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\') p++;
	return p < end ? p + 1 : end;
}

/* Behind the value that begins at p. */
static const char *skip_value(const char *p, const char *end)
{
	int depth = 0;
	while (p < end) {
		if (*p == '"') {
			p = skip_string(p, end);
		} else if (*p == '{' || *p == '[') {
			depth++, p++;
		} else if (*p == '}' || *p == ']') {
			depth--, p++;
		} else if (depth) {
			p++;
			continue;
		} else {
			while (p < end && !strchr(",]} \t\r\n", *p)) p++;
			return p;
		}
		if (!depth) return p;
	}
	return end;
}

/* One step through "[a, b]" or "{...}": past a comma, to the next item; NULL at the end. */
static const char *next_item(const char *p, const char *end)
{
	p = skip_space(p, end);
	if (p < end && *p == ',') p = skip_space(p + 1, end);
	return p < end && *p != ']' && *p != '}' ? p : NULL;
}

json_t *inoci_raw_members(const char *s, size_t n)
{
	const char *end = s + n, *p = skip_space(s, end);
	json_t *o = json_object();
	for (p = p < end ? next_item(p + 1, end) : NULL; p;) {
		const char *key = p, *after = skip_string(p, end), *value = skip_space(after, end);
		value = value < end ? skip_space(value + 1, end) : end; /* the colon */
		p = skip_value(value, end);
		json_t *name = json_loadb(key, (size_t)(after - key), JSON_DECODE_ANY, NULL);
		json_object_set_new(o, json_string_value(name), json_stringn(value, (size_t)(p - value)));
		json_decref(name);
		p = next_item(p, end);
	}
	return o;
}

json_t *inoci_raw_items(const char *s, size_t n)
{
	const char *end = s + n, *p = skip_space(s, end);
	json_t *list = json_array();
	for (p = p < end ? next_item(p + 1, end) : NULL; p;) {
		const char *item = p;
		p = skip_value(item, end);
		json_array_append_new(list, json_stringn(item, (size_t)(p - item)));
		p = next_item(p, end);
	}
	return list;
}

/* ---- writing ---- */

typedef struct {
	inoci_buf b;
	size_t flags; /* of json_dumps */
	bool bad;     /* something was not UTF-8 */
} writer;

static void put_member(writer *w, const char *key, const json_t *value, const char *raw)
{
	size_t flags = w->flags | JSON_ENCODE_ANY;
	bool compact = w->flags & JSON_COMPACT;
	json_t *name = json_string(key);
	char *k = json_dumps(name, flags), *v = raw ? NULL : json_dumps(value, flags);
	if (w->b.data[w->b.len - 1] != '{') inoci_buf_puts(&w->b, compact ? "," : ", ");
	inoci_buf_printf(&w->b, "%s%s%s", k ? k : "", compact ? ":" : ": ", raw ? raw : v ? v : "");
	w->bad |= !k || (!raw && !v);
	json_decref(name);
	free(k);
	free(v);
}

static void put_string(writer *w, const char *key, const char *s)
{
	json_t *j = json_string(s);
	put_member(w, key, j, NULL);
	json_decref(j);
}

/* The members of `extra` but for those that `but` has too. */
static void put_extra(writer *w, const json_t *extra, const json_t *raw, const json_t *but)
{
	const char *key;
	json_t *v;
	json_object_foreach((json_t *)(uintptr_t)extra, key, v)
	{
		if (!json_object_get(but, key)) put_member(w, key, v, json_string_value(json_object_get(raw, key)));
	}
}

char *inoci_record_text(const inoci_record *r, const json_t *more, size_t flags)
{
	writer w = {.flags = flags};
	const char *comma = flags & JSON_COMPACT ? "," : ", ";
	inoci_buf_puts(&w.b, flags & JSON_COMPACT ? "{\"messages\":[" : "{\"messages\": [");
	for (size_t i = 0; i < r->n_msgs; i++) {
		inoci_buf_printf(&w.b, "%s{", i ? comma : "");
		put_string(&w, "role", r->msgs[i].role);
		put_string(&w, "content", r->msgs[i].content);
		if (r->msg_extra) put_extra(&w, r->msg_extra[i], r->msg_raw ? r->msg_raw[i] : NULL, NULL);
		inoci_buf_puts(&w.b, "}");
	}
	inoci_buf_puts(&w.b, "]");
	put_extra(&w, r->extra, r->raw, more);
	put_extra(&w, more, NULL, NULL);
	inoci_buf_puts(&w.b, "}");
	if (!w.bad) return inoci_buf_take(&w.b);
	inoci_buf_free(&w.b);
	return NULL;
}
