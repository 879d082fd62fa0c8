/* `inoc data check`: every fault and oddity of a file, by line. */
#include <stdlib.h>
#include <string.h>

#include "data/internal.h"

typedef struct {
	inoci_check *out;
	size_t cap;
	size_t *chars; /* lengths of the assistant turns */
	size_t n_chars, cap_chars;
	json_t *questions;   /* key -> line, of this file */
	json_t *ignored;     /* message fields already warned of */
	json_t *other_whole; /* key of all user turns -> line, of the other file */
	json_t *other_turns; /* key of each single user turn -> line, of the other file */
} checker;

static void INOCI_PRINTF(4, 5) find(checker *c, int line, bool fatal, const char *fmt, ...)
{
	inoci_check *o = c->out;
	inoci_buf b = {0};
	va_list ap;
	va_start(ap, fmt);
	inoci_buf_vprintf(&b, fmt, ap);
	va_end(ap);
	if (o->n == c->cap) {
		c->cap = c->cap * 2 + 16;
		o->v = inoci_realloc(o->v, c->cap * sizeof *o->v);
	}
	o->v[o->n++] = (inoci_finding){.line = line, .fatal = fatal, .text = inoci_buf_take(&b)};
	o->n_errors += fatal;
}

static size_t characters(const char *s)
{
	size_t n = 0;
	for (; *s; s++) n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void count_assistant(checker *c, const char *s)
{
	if (c->n_chars == c->cap_chars) {
		c->cap_chars = c->cap_chars * 2 + 256;
		c->chars = inoci_realloc(c->chars, c->cap_chars * sizeof *c->chars);
	}
	c->chars[c->n_chars++] = characters(s);
}

static int by_size(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;
	return (x > y) - (x < y);
}

static void check_contents(checker *c, const inoci_record *r)
{
	for (size_t i = 0; i < r->n_msgs; i++) {
		const char *s = r->msgs[i].content, *role = r->msgs[i].role;
		if (!s[strspn(s, " \t\r\n")])
			find(c, r->line, false, "messages[%zu].content of the %s is %s", i, role,
			     *s ? "only white space" : "empty");
		if (strstr(s, "\xef\xbf\xbd"))
			find(c, r->line, false,
			     "messages[%zu].content holds U+FFFD, the mark of text that was decoded wrongly at some earlier "
			     "point",
			     i);
		const char *special = strstr(s, "<|");
		if (special && strstr(special, "|>"))
			find(c, r->line, false,
			     "messages[%zu].content spells something like a special token (<|...|>); it will be plain text to "
			     "the model",
			     i);
		const char *key;
		json_t *v;
		json_object_foreach(r->msg_extra ? r->msg_extra[i] : NULL, key, v)
		{
			bool weight = !strcmp(key, "weight") && !strcmp(role, "assistant");
			if (weight && json_is_number(v) && (json_number_value(v) == 0 || json_number_value(v) == 1)) continue;
			if (json_object_get(c->ignored, key)) continue;
			char *k = inoci_clip(key, 40);
			json_object_set_new(c->ignored, key, json_true());
			find(c, r->line, false, "messages[%zu].%s is kept but has no effect here%s (said once for the file)", i,
			     k, weight ? ": only 0, which takes the turn out of the loss, has one" : "");
			free(k);
		}
	}
}

static json_t *known(json_t *map, const char *key)
{
	return map ? json_object_get(map, key) : NULL;
}

static void check_question(checker *c, const inoci_record *r)
{
	char *key = inoci_question_key(r);
	json_t *first = json_object_get(c->questions, key), *there = NULL;
	if (first) {
		c->out->n_duplicates++;
		find(c, r->line, false, "the same question as in line %d", (int)json_integer_value(first));
	} else {
		json_object_set_new(c->questions, key, json_integer(r->line));
	}
	there = known(c->other_turns, key);
	if (!there) there = known(c->other_whole, key);
	for (size_t i = 0; !there && i < r->n_msgs; i++) {
		if (strcmp(r->msgs[i].role, "user")) continue;
		char *turn = inoci_text_key(r->msgs[i].content);
		there = known(c->other_whole, turn);
		free(turn);
	}
	if (there) {
		c->out->n_overlap++;
		find(c, r->line, true,
		     "the question is also in line %d of the file compared with; evaluation questions must not be in training: "
		     "remove it from one",
		     (int)json_integer_value(there));
	}
	free(key);
}

static void add_key(json_t *map, char *key, int line)
{
	if (!json_object_get(map, key)) json_object_set_new(map, key, json_integer(line));
	free(key);
}

static void index_other(checker *c, const inoci_dataset *d)
{
	c->other_whole = json_object();
	c->other_turns = json_object();
	for (size_t i = 0; i < d->n; i++) {
		const inoci_record *r = &d->v[i];
		add_key(c->other_whole, inoci_question_key(r), r->line);
		for (size_t k = 0; k < r->n_msgs; k++)
			if (!strcmp(r->msgs[k].role, "user"))
				add_key(c->other_turns, inoci_text_key(r->msgs[k].content), r->line);
	}
}

void inoci_check_parse(const char *data, size_t n, unsigned need, const inoci_dataset *other, inoci_check *out)
{
	checker c = {.out = out, .questions = json_object(), .ignored = json_object()};
	inoci_lines l;
	if (other) index_other(&c, other);
	inoci_lines_start(&l, data, n);
	while (inoci_lines_next(&l)) {
		inoci_record r;
		inoc_err e;
		out->n_records++;
		if (inoci_record_parse(l.line, l.len, l.number, need, &r, &e) < 0) {
			find(&c, l.number, true, "%s", e.msg);
			continue;
		}
		out->n_turns += r.n_msgs;
		out->n_system += !strcmp(r.msgs[0].role, "system");
		for (size_t i = 0; i < r.n_msgs; i++)
			if (!strcmp(r.msgs[i].role, "assistant")) count_assistant(&c, r.msgs[i].content);
		const json_t *ref = json_object_get(r.extra, "reference");
		if (need & INOCI_NEED_USER_LAST && json_is_string(ref)) count_assistant(&c, json_string_value(ref));
		check_contents(&c, &r);
		check_question(&c, &r);
		inoci_record_free(&r);
	}
	if (!out->n_records) find(&c, 0, true, "no records: the file is empty");
	if (c.n_chars) {
		qsort(c.chars, c.n_chars, sizeof *c.chars, by_size);
		out->chars_min = c.chars[0];
		out->chars_median = c.chars[c.n_chars / 2];
		out->chars_max = c.chars[c.n_chars - 1];
	}
	out->n_assistant = c.n_chars;
	free(c.chars);
	json_decref(c.questions);
	json_decref(c.ignored);
	json_decref(c.other_whole);
	json_decref(c.other_turns);
}

int inoci_data_check(const char *path, const char *against, unsigned need, inoci_check *out, inoc_err *err)
{
	char *data = NULL;
	size_t n;
	inoci_dataset other = {0};
	inoc_err e = {0};
	bool bad_other = false;
	*out = (inoci_check){0};
	int rc = inoci_file_read(path, &data, &n, err);
	if (rc < 0) return rc;
	if (against && (rc = inoci_dataset_read(against, 0, &other, &e)) < 0) {
		if (rc == INOC_E_IO) {
			free(data);
			return inoci_err_set(err, rc, "%s", e.msg);
		}
		bad_other = true;
	}
	inoci_check_parse(data, n, need, against && !bad_other ? &other : NULL, out);
	if (bad_other) {
		out->v = inoci_realloc(out->v, (out->n + 1) * sizeof *out->v);
		out->v[out->n++] = (inoci_finding){
		        .fatal = true,
		        .text = inoci_asprintf("the file compared with cannot be used, so nothing was compared: %s", e.msg)};
		out->n_errors++;
	}
	inoci_dataset_free(&other);
	free(data);
	return 0;
}

void inoci_check_free(inoci_check *c)
{
	for (size_t i = 0; i < c->n; i++) free(c->v[i].text);
	free(c->v);
	*c = (inoci_check){0};
}
