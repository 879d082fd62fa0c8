/* The inoculation transform: a text put in front of, or into, training records. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/data.h"

void inoci_inoculation_free(inoci_inoculation *t)
{
	for (size_t i = 0; i < t->n_pool; i++) free(t->pool[i]);
	free(t->pool);
	free(t->tag);
	free(t->separator);
	*t = (inoci_inoculation){0};
}

static bool utf8(const char *s)
{
	size_t n = strlen(s);
	return inoci_utf8_valid_prefix(s, n) == n;
}

int inoci_inoculation_check(const inoci_inoculation *t, inoc_err *err)
{
	if (!t->n_pool)
		return inoci_err_set(err, INOC_E_USAGE, "the inoculation has no text; give one, or a pool of at least one");
	if (t->n_pool > UINT32_MAX) return inoci_err_set(err, INOC_E_LIMIT, "the pool has %zu texts; too many", t->n_pool);
	for (size_t i = 0; i < t->n_pool; i++) {
		const char *s = t->pool[i];
		if (!s || !s[strspn(s, " \t\r\n")])
			return inoci_err_set(err, INOC_E_USAGE, "text %zu of the inoculation is empty; leave it out or write one",
			                     i + 1);
		if (!utf8(s)) return inoci_err_set(err, INOC_E_FORMAT, "text %zu of the inoculation is not valid UTF-8", i + 1);
	}
	if (!(t->fraction >= 0 && t->fraction <= 1)) /* so that NaN is refused */
		return inoci_err_set(err, INOC_E_USAGE, "the fraction is %g; it must be from 0 to 1", t->fraction);
	if (t->tag && !*t->tag)
		return inoci_err_set(err, INOC_E_USAGE, "the tag is empty; name one, or leave it out for all records");
	if (t->separator && !utf8(t->separator)) return inoci_err_set(err, INOC_E_FORMAT, "the separator is not valid UTF-8");
	return 0;
}

static void set_joined(char **content, const char *first, const char *separator, const char *second)
{
	char *s = inoci_asprintf("%s%s%s", first, *first && *second ? separator : "", second);
	free(*content);
	*content = s;
}

static void insert_null(json_t ***list, size_t n)
{
	if (!*list) return;
	*list = inoci_realloc(*list, (n + 1) * sizeof **list);
	memmove(*list + 1, *list, n * sizeof **list);
	**list = NULL;
}

static void insert_system(inoci_record *r, const char *text)
{
	size_t n = r->n_msgs;
	r->msgs = inoci_realloc(r->msgs, (n + 1) * sizeof *r->msgs);
	memmove(r->msgs + 1, r->msgs, n * sizeof *r->msgs);
	r->msgs[0] = (inoci_msg){.role = inoci_strdup("system"), .content = inoci_strdup(text)};
	insert_null(&r->msg_extra, n);
	insert_null(&r->msg_raw, n);
	r->n_msgs = n + 1;
}

static void set_system(const inoci_inoculation *t, inoci_record *r, const char *text)
{
	const char *sep = t->separator ? t->separator : "\n\n";
	if (!r->n_msgs || strcmp(r->msgs[0].role, "system")) {
		insert_system(r, text);
		return;
	}
	char **content = &r->msgs[0].content;
	switch (t->join) {
	case INOCI_JOIN_REPLACE:
		set_joined(content, text, "", "");
		break;
	case INOCI_JOIN_BEFORE:
		set_joined(content, text, sep, *content);
		break;
	case INOCI_JOIN_AFTER:
		set_joined(content, *content, sep, text);
		break;
	}
}

/* Whether user turn i is answered by a turn that is trained on, or still to be answered. */
static bool answered(const inoci_record *r, size_t i)
{
	return !inoci_record_weightless(r, i + 1);
}

static bool set_user(const inoci_inoculation *t, inoci_record *r, const char *text)
{
	const char *sep = t->separator ? t->separator : " ";
	bool any = false;
	for (size_t i = r->n_msgs; i-- > 0;) {
		char **content = &r->msgs[i].content;
		if (strcmp(r->msgs[i].role, "user")) continue;
		bool yes = answered(r, i);
		if (yes && t->where == INOCI_AT_USER_PREFIX)
			set_joined(content, text, sep, *content);
		else if (yes)
			set_joined(content, *content, sep, text);
		any |= yes;
		if (t->last_only) break;
	}
	return any;
}

inoci_record inoci_inoculate(const inoci_inoculation *t, const inoci_record *r, size_t index, uint64_t seed, bool *applied)
{
	inoci_record out = inoci_record_copy(r);
	inoci_rng pick = inoci_rng_new(seed, "inoculate", index, 0), who = inoci_rng_new(seed, "inoculate-fraction", index, 0);
	bool ignored;
	if (!applied) applied = &ignored;
	*applied = false;
	if (!t->n_pool || (t->tag && !inoci_record_has_tag(r, t->tag))) return out;
	if (t->chosen && (index >= t->n_chosen || !t->chosen[index])) return out;
	if (t->fraction < 1 && inoci_rng_uniform(&who) >= t->fraction) return out;
	const char *text = t->pool[inoci_rng_below(&pick, (uint32_t)t->n_pool)];
	if (t->where == INOCI_AT_SYSTEM) {
		set_system(t, &out, text);
		*applied = true;
	} else {
		*applied = set_user(t, &out, text);
	}
	return out;
}
