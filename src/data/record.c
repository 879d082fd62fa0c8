/* Chat records: JSON Lines in, JSON Lines out. Every fault names its field and says what to do. */
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "data/internal.h"

/* ---- lines ---- */

void inoci_lines_start(inoci_lines *l, const char *data, size_t n)
{
	*l = (inoci_lines){.p = data, .end = data + n};
	if (n >= 3 && !memcmp(data, "\xef\xbb\xbf", 3)) l->p += 3;
}

bool inoci_lines_next(inoci_lines *l)
{
	while (l->p < l->end) {
		const char *nl = memchr(l->p, '\n', (size_t)(l->end - l->p)), *stop = nl ? nl : l->end;
		l->line = l->p;
		l->len = (size_t)(stop - l->p);
		l->number++;
		l->p = nl ? nl + 1 : l->end;
		for (size_t i = 0; i < l->len; i++)
			if (l->line[i] != ' ' && l->line[i] != '\t' && l->line[i] != '\r') return true;
	}
	return false;
}

char *inoci_clip(const char *s, size_t max)
{
	size_t n = strlen(s), keep = n;
	if (n > max) {
		keep = max;
		while (keep && ((unsigned char)s[keep] & 0xc0) == 0x80) keep--;
	}
	inoci_buf b = {0};
	inoci_buf_append(&b, s, keep);
	for (size_t i = 0; i < b.len; i++)
		if ((unsigned char)b.data[i] < 0x20 || b.data[i] == 0x7f) b.data[i] = ' ';
	if (keep < n) inoci_buf_puts(&b, "...");
	return inoci_buf_take(&b);
}

/* ---- parsing ---- */

static const char *type_name(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "true or false";
	case JSON_NULL:
		return "null";
	}
	return "unknown";
}

static int not_json(const char *s, size_t n, const json_error_t *je, inoc_err *err)
{
	size_t i = 0;
	while (i < n && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r')) i++;
	char c = i < n ? s[i] : 0;
	char *text = inoci_clip(strstr(je->text, "JSON_ALLOW_NUL") ? "a NUL character, \\u0000, is not allowed" : je->text, 120);
	const char *hint = "each line must be one whole JSON object";
	if (c == '[')
		hint = "a JSON array is not JSON Lines: write one object per line, without [ ] and commas between";
	else if (c == '{' && i + 1 >= n)
		hint = "the JSON is spread over several lines: write each object on one line";
	int rc = inoci_err_set(err, INOC_E_FORMAT, "not JSON: %s (column %d); %s", text, je->column, hint);
	free(text);
	return rc;
}

/* A string, or a list of {"type":"text","text":...} whose texts are joined. */
static int content_text(const json_t *v, size_t i, char **out, inoc_err *err)
{
	if (json_is_string(v)) {
		*out = inoci_strdup(json_string_value(v));
		return 0;
	}
	if (!json_is_array(v))
		return inoci_err_set(err, INOC_E_FORMAT,
		                     "messages[%zu].content is %s; it must be a string (or a list of text parts)%s", i,
		                     type_name(v), json_is_null(v) ? ", so write \"\" or leave the message out" : "");
	inoci_buf b = {0};
	size_t k;
	const json_t *part;
	json_array_foreach(v, k, part)
	{
		const json_t *type = json_object_get(part, "type"), *text = json_object_get(part, "text");
		if (type && json_is_string(type) && strcmp(json_string_value(type), "text")) {
			char *t = inoci_clip(json_string_value(type), 40);
			int rc = inoci_err_set(err, INOC_E_UNSUPPORTED,
			                       "messages[%zu].content[%zu].type is '%s'; only parts of type 'text' can be used",
			                       i, k, t);
			free(t);
			inoci_buf_free(&b);
			return rc;
		}
		if (!json_is_object(part) || !json_is_string(type) || !json_is_string(text)) {
			inoci_buf_free(&b);
			return inoci_err_set(
			        err, INOC_E_FORMAT,
			        "messages[%zu].content[%zu] is no text part; a part is {\"type\":\"text\",\"text\":\"...\"}", i,
			        k);
		}
		inoci_buf_puts(&b, json_string_value(text));
	}
	*out = inoci_buf_take(&b);
	return 0;
}

static int check_role(const inoci_record *r, size_t i, const char *role, inoc_err *err)
{
	const char *before = i ? r->msgs[i - 1].role : NULL;
	if (!strcmp(role, "system")) {
		if (i == 0) return 0;
		return inoci_err_set(err, INOC_E_FORMAT,
		                     "messages[%zu].role is 'system'; a system turn can only be the first message", i);
	}
	bool user = !strcmp(role, "user");
	if (!user && strcmp(role, "assistant")) {
		char *c = inoci_clip(role, 40);
		int rc = inoci_err_set(err, INOC_E_FORMAT,
		                       "messages[%zu].role is '%s'; roles are system (only first), user and assistant", i, c);
		free(c);
		return rc;
	}
	if (!before || !strcmp(before, "system")) {
		if (user) return 0;
		return inoci_err_set(
		        err, INOC_E_FORMAT,
		        "messages[%zu].role is 'assistant'; the first message after an optional system turn must be the user's",
		        i);
	}
	if (strcmp(before, role)) return 0;
	return inoci_err_set(
	        err, INOC_E_FORMAT,
	        "messages[%zu].role is '%s' like the message before it; user and assistant must take turns: join the two", i,
	        role);
}

static int parse_message(inoci_record *r, size_t i, const json_t *m, inoc_err *err)
{
	if (!json_is_object(m))
		return inoci_err_set(err, INOC_E_FORMAT,
		                     "messages[%zu] is %s; a message is {\"role\":\"...\",\"content\":\"...\"}", i, type_name(m));
	const json_t *role = json_object_get(m, "role"), *content = json_object_get(m, "content");
	if (!role) return inoci_err_set(err, INOC_E_FORMAT, "messages[%zu] has no \"role\"", i);
	if (!json_is_string(role))
		return inoci_err_set(err, INOC_E_FORMAT, "messages[%zu].role is %s; it must be a string", i, type_name(role));
	int rc = check_role(r, i, json_string_value(role), err);
	if (rc < 0) return rc;
	if (!content) return inoci_err_set(err, INOC_E_FORMAT, "messages[%zu] has no \"content\"", i);
	char *text = NULL;
	rc = content_text(content, i, &text, err);
	if (rc < 0) return rc;
	if (!*text && !strcmp(json_string_value(role), "assistant")) {
		free(text);
		return inoci_err_set(err, INOC_E_FORMAT, "messages[%zu].content is empty: an assistant's turn must have text", i);
	}
	r->msgs[i] = (inoci_msg){.role = inoci_strdup(json_string_value(role)), .content = text};
	r->n_msgs = i + 1;
	if (json_object_size(m) > 2) {
		const char *key;
		json_t *v;
		r->msg_extra[i] = json_object();
		json_object_foreach((json_t *)(uintptr_t)m, key, v)
		{
			if (strcmp(key, "role") && strcmp(key, "content")) json_object_set(r->msg_extra[i], key, v);
		}
	}
	return 0;
}

static bool learns(const inoci_record *r)
{
	for (size_t i = 0; i < r->n_msgs; i++)
		if (!strcmp(r->msgs[i].role, "assistant") && !inoci_record_weightless(r, i)) return true;
	return false;
}

static int check_need(inoci_record *r, unsigned need, inoc_err *err)
{
	inoci_msg *last = &r->msgs[r->n_msgs - 1];
	bool by_assistant = !strcmp(last->role, "assistant");
	if (need & INOCI_NEED_ASSISTANT && !by_assistant) {
		for (size_t i = 0; i < r->n_msgs; i++)
			if (!strcmp(r->msgs[i].role, "assistant"))
				return inoci_err_set(err, INOC_E_FORMAT,
				                     "the last message, messages[%zu], is the %s's; training data must end with "
				                     "the assistant's",
				                     r->n_msgs - 1, last->role);
		return inoci_err_set(err, INOC_E_FORMAT,
		                     "no assistant turn, so there is nothing to learn; training data must have one");
	}
	if (need & INOCI_NEED_ASSISTANT && !learns(r))
		return inoci_err_set(err, INOC_E_FORMAT,
		                     "every assistant turn has \"weight\": 0, so there is nothing to learn; remove the record");
	if (!(need & INOCI_NEED_USER_LAST)) return 0;
	if (by_assistant) {
		if (json_object_get(r->extra, "reference"))
			return inoci_err_set(err, INOC_E_FORMAT,
			                     "a final assistant turn, which would be the reference answer, and a field "
			                     "\"reference\"; keep one");
		if (!r->extra) r->extra = json_object();
		json_object_set_new(r->extra, "reference", json_string(last->content));
		r->n_msgs--;
		free(last->role);
		free(last->content);
		*last = (inoci_msg){0};
		if (r->msg_extra) json_decref(r->msg_extra[r->n_msgs]);
		if (r->msg_raw) json_decref(r->msg_raw[r->n_msgs]);
	}
	if (strcmp(r->msgs[r->n_msgs - 1].role, "user"))
		return inoci_err_set(err, INOC_E_FORMAT, "no user turn; an evaluation prompt must end with the user's");
	return 0;
}

/* The names of the fields, in quotes, eight of them at most. free() it; NULL: none. */
static char *field_names(const json_t *o)
{
	inoci_buf b = {0};
	size_t n = 0;
	const char *key;
	json_t *v;
	json_object_foreach((json_t *)(uintptr_t)o, key, v)
	{
		char *c = inoci_clip(key, 40);
		if (n < 8) inoci_buf_printf(&b, "%s\"%s\"", n ? ", " : "", c);
		free(c);
		n++;
	}
	if (n > 8) inoci_buf_puts(&b, ", ...");
	return n ? inoci_buf_take(&b) : NULL;
}

/* Says which other known layout the object looks like. */
static const char *layout_hint(const json_t *o)
{
	if (json_object_get(o, "conversations"))
		return "; this looks like the ShareGPT layout: rename \"conversations\" to \"messages\", \"from\" to \"role\" "
		       "(human: user, gpt: assistant) and \"value\" to \"content\"";
	if (json_object_get(o, "prompt") || json_object_get(o, "instruction"))
		return "; this looks like prompt and completion pairs: make the prompt a user message and the completion an "
		       "assistant message";
	return "; a record is "
	       "{\"messages\":[{\"role\":\"user\",\"content\":\"...\"},{\"role\":\"assistant\",\"content\":\"...\"}]}";
}

/* The texts of the fields that are kept but not understood. */
static void keep_raw(inoci_record *r, const char *s, size_t n, bool extra)
{
	if (!extra && !r->msg_extra) return;
	json_t *all = inoci_raw_members(s, n);
	if (r->msg_extra) {
		const char *msgs = json_string_value(json_object_get(all, "messages"));
		json_t *items = inoci_raw_items(msgs, strlen(msgs));
		r->msg_raw = inoci_alloc(r->n_msgs * sizeof *r->msg_raw);
		for (size_t i = 0; i < r->n_msgs; i++) {
			const char *m = json_string_value(json_array_get(items, i));
			if (r->msg_extra[i]) r->msg_raw[i] = inoci_raw_members(m, strlen(m));
		}
		json_decref(items);
	}
	json_object_del(all, "messages");
	r->raw = all;
}

int inoci_record_parse(const char *s, size_t n, int line, unsigned need, inoci_record *out, inoc_err *err)
{
	json_error_t je;
	json_t *o = NULL;
	int rc = 0;
	*out = (inoci_record){.line = line};
	size_t ok = inoci_utf8_valid_prefix(s, n);
	if (ok < n) {
		const char *hint =
		        n >= 2 && (!memcmp(s, "\xff\xfe", 2) || !memcmp(s, "\xfe\xff", 2)) ? " (it looks like UTF-16)" : "";
		return inoci_err_set(err, INOC_E_FORMAT, "not valid UTF-8 at byte %zu of the line%s; save the file as UTF-8",
		                     ok + 1, hint);
	}
	o = json_loadb(s, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
	if (!o && json_error_code(&je) == json_error_numeric_overflow) /* its text is kept; the value matters to nobody */
		o = json_loadb(s, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &je);
	if (!o) {
		rc = not_json(s, n, &je, err);
		goto out;
	}
	if (!json_is_object(o)) {
		rc = inoci_err_set(err, INOC_E_FORMAT, "the line is %s; each line must be one JSON object", type_name(o));
		goto out;
	}
	const json_t *msgs = json_object_get(o, "messages");
	if (!msgs) {
		char *names = field_names(o);
		rc = inoci_err_set(err, INOC_E_FORMAT, "no \"messages\"%s%s%s", names ? ", but " : "", names ? names : "",
		                   layout_hint(o));
		free(names);
		goto out;
	}
	if (!json_is_array(msgs) || json_array_size(msgs) == 0) {
		rc = inoci_err_set(err, INOC_E_FORMAT, "\"messages\" is %s; it must be a list of at least one message",
		                   json_is_array(msgs) ? "empty" : type_name(msgs));
		goto out;
	}
	size_t count = json_array_size(msgs), i;
	const json_t *m;
	out->msgs = inoci_alloc(count * sizeof *out->msgs);
	out->msg_extra = inoci_alloc(count * sizeof *out->msg_extra);
	json_array_foreach(msgs, i, m) INOC_TRY(parse_message(out, i, m, err));
	bool any = false;
	for (i = 0; i < count; i++) any = any || out->msg_extra[i];
	if (!any) {
		free(out->msg_extra);
		out->msg_extra = NULL;
	}
	keep_raw(out, s, n, json_object_size(o) > 1);
	json_object_del(o, "messages");
	if (json_object_size(o)) out->extra = json_incref(o);
	INOC_TRY(check_need(out, need, err));
out:
	json_decref(o);
	if (rc < 0) inoci_record_free(out);
	return rc;
}

int inoci_dataset_parse(const char *path, const char *data, size_t n, unsigned need, inoci_dataset *out, inoc_err *err)
{
	int rc = 0;
	size_t cap = 0;
	inoci_lines l;
	*out = (inoci_dataset){.path = inoci_strdup(path), .hash = inoci_hash_bytes(data, n)};
	inoci_lines_start(&l, data, n);
	while (inoci_lines_next(&l)) {
		if (out->n == cap) {
			cap = cap * 2 + 64;
			out->v = inoci_realloc(out->v, cap * sizeof *out->v);
		}
		rc = inoci_record_parse(l.line, l.len, l.number, need, &out->v[out->n], err);
		if (rc < 0) {
			inoci_err_prefix(err, "%s:%d", path, l.number);
			goto out;
		}
		out->n++;
	}
	if (!out->n) rc = inoci_err_set(err, INOC_E_FORMAT, "%s: no records: the file is empty", path);
out:
	if (rc < 0) inoci_dataset_free(out);
	return rc;
}

int inoci_dataset_read(const char *path, unsigned need, inoci_dataset *out, inoc_err *err)
{
	char *data;
	size_t n;
	*out = (inoci_dataset){0};
	int rc = inoci_file_read(path, &data, &n, err);
	if (rc < 0) return rc;
	rc = inoci_dataset_parse(path, data, n, need, out, err);
	free(data);
	return rc;
}

/* ---- records ---- */

void inoci_record_free(inoci_record *r)
{
	for (size_t i = 0; i < r->n_msgs; i++) {
		free(r->msgs[i].role);
		free(r->msgs[i].content);
		if (r->msg_extra) json_decref(r->msg_extra[i]);
		if (r->msg_raw) json_decref(r->msg_raw[i]);
	}
	free(r->msgs);
	free(r->msg_extra);
	free(r->msg_raw);
	json_decref(r->extra);
	json_decref(r->raw);
	*r = (inoci_record){0};
}

void inoci_dataset_free(inoci_dataset *d)
{
	for (size_t i = 0; i < d->n; i++) inoci_record_free(&d->v[i]);
	free(d->v);
	free(d->path);
	*d = (inoci_dataset){0};
}

inoci_record inoci_record_copy(const inoci_record *r)
{
	inoci_record c = {.n_msgs = r->n_msgs, .line = r->line, .extra = json_deep_copy(r->extra), .raw = json_deep_copy(r->raw)};
	c.msgs = inoci_alloc(r->n_msgs * sizeof *c.msgs);
	if (r->msg_extra) c.msg_extra = inoci_alloc(r->n_msgs * sizeof(json_t *));
	if (r->msg_raw) c.msg_raw = inoci_alloc(r->n_msgs * sizeof(json_t *));
	for (size_t i = 0; i < r->n_msgs; i++) {
		c.msgs[i] = (inoci_msg){.role = inoci_strdup(r->msgs[i].role), .content = inoci_strdup(r->msgs[i].content)};
		if (r->msg_extra) c.msg_extra[i] = json_deep_copy(r->msg_extra[i]);
		if (r->msg_raw) c.msg_raw[i] = json_deep_copy(r->msg_raw[i]);
	}
	return c;
}

int inoci_dataset_write(const char *path, const inoci_record *v, size_t n, inoc_err *err)
{
	inoci_out *o;
	int rc = inoci_out_open(path, &o, err);
	if (rc < 0) return rc;
	for (size_t i = 0; i < n; i++) {
		char *s = inoci_record_text(&v[i], NULL, 0);
		if (!s) {
			rc = inoci_err_set(err, INOC_E_FORMAT, "%s: record %zu is not valid UTF-8 and cannot be written as JSON",
			                   path, i + 1);
			goto out;
		}
		rc = inoci_out_write(o, s, strlen(s), err);
		if (rc == 0) rc = inoci_out_write(o, "\n", 1, err);
		free(s);
		if (rc < 0) goto out;
	}
	return inoci_out_commit(o, err);
out:
	inoci_out_abandon(o);
	return rc;
}

bool inoci_record_weightless(const inoci_record *r, size_t i)
{
	const json_t *w = i < r->n_msgs && r->msg_extra ? json_object_get(r->msg_extra[i], "weight") : NULL;
	return json_is_number(w) && json_number_value(w) == 0;
}

bool inoci_record_has_tag(const inoci_record *r, const char *tag)
{
	const json_t *one = json_object_get(r->extra, "tag"), *many = json_object_get(r->extra, "tags"), *t;
	size_t i;
	if (json_is_string(one) && !strcmp(json_string_value(one), tag)) return true;
	json_array_foreach(many, i, t)
	{
		if (json_is_string(t) && !strcmp(json_string_value(t), tag)) return true;
	}
	return false;
}

/* ---- the same question? ---- */

char *inoci_text_key(const char *s)
{
	utf8proc_uint8_t *m = NULL;
	utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)s, 0, &m,
	                                  UTF8PROC_NULLTERM | UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT |
	                                          UTF8PROC_CASEFOLD | UTF8PROC_IGNORE);
	if (n < 0) return inoci_strdup(s); /* not UTF-8: only itself is the same */
	inoci_buf b = {0};
	bool gap = false;
	for (utf8proc_ssize_t i = 0, len; i < n; i += len) {
		utf8proc_int32_t c;
		len = utf8proc_iterate(m + i, n - i, &c);
		if (len <= 0) break;
		if (c == '\'' || c == 0x2019 || c == 0x02bc) continue;
		utf8proc_category_t k = utf8proc_category(c);
		if ((k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO) ||
		    (k >= UTF8PROC_CATEGORY_ZS && k <= UTF8PROC_CATEGORY_CF)) {
			gap = true;
			continue;
		}
		if (gap && b.len) inoci_buf_puts(&b, " ");
		gap = false;
		inoci_buf_append(&b, m + i, (size_t)len);
	}
	free(m);
	if (!b.len) inoci_buf_puts(&b, s); /* nothing but punctuation */
	return inoci_buf_take(&b);
}

char *inoci_question_key(const inoci_record *r)
{
	inoci_buf b = {0};
	for (size_t i = 0; i < r->n_msgs; i++) {
		if (strcmp(r->msgs[i].role, "user")) continue;
		char *k = inoci_text_key(r->msgs[i].content);
		if (b.len) inoci_buf_puts(&b, "\n");
		inoci_buf_puts(&b, k);
		free(k);
	}
	return inoci_buf_take(&b);
}
