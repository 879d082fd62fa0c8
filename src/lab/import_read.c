/* Reading samples made elsewhere. Every record becomes a JSON object with its place; then one rule after the other says what it
 * is:
 *
 *   a result of the inoculation-prompting repository   {"context": {"question","system_prompt"}, "responses": [{"response":
 * ...}]} a request of the Batch API                          {"custom_id","body": {"messages"}}, its answer in a line with
 * "response" a pair                                              {"request": {"messages"}, "response": {"choices"}} a
 * conversation                                      {"messages": [..., {"role": "assistant"}]} flat fields
 * {"question","response",...}, also a CSV table's row
 *
 * docs/import.md says what of this was verified, and against what.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

#define ANSWERS "answer|response|completion|output|text"
#define FINISHES "finish_reason|stop_reason|finish"

/* ---- fields ---- */

static json_t *field(const json_t *o, const char *path)
{
	json_t *v = json_object_get(o, path);
	const char *dot = strchr(path, '.');
	if (v || !dot) return json_is_null(v) ? NULL : v;
	char *head = inoci_strndup(path, (size_t)(dot - path));
	json_t *inner = json_object_get(o, head);
	free(head);
	return json_is_object(inner) ? field(inner, dot + 1) : NULL;
}

/* The first of a list "a|b|c" that is there. */
static json_t *first_field(const json_t *o, const char *list, char **which)
{
	for (const char *p = list; *p; p += strcspn(p, "|"), p += *p == '|') {
		char *name = inoci_strndup(p, strcspn(p, "|"));
		json_t *v = field(o, name);
		if (v && which)
			*which = name;
		else
			free(name);
		if (v) return v;
	}
	return NULL;
}

/* A text, of a string or a number; NULL: neither. free() it. */
static char *as_text(const json_t *v)
{
	if (json_is_string(v)) return inoci_strdup(json_string_value(v));
	if (json_is_integer(v)) return inoci_asprintf("%lld", (long long)json_integer_value(v));
	if (json_is_real(v)) return inoci_asprintf("%g", json_real_value(v));
	if (json_is_boolean(v)) return inoci_strdup(json_is_true(v) ? "true" : "false");
	return NULL;
}

/* Content: a string, or parts of which those of type text are joined. NULL: no text. */
static char *content_text(const json_t *v)
{
	inoci_buf b = {0};
	size_t i, n = 0;
	json_t *part;
	if (json_is_string(v)) return inoci_strdup(json_string_value(v));
	json_array_foreach(v, i, part)
	{
		const char *t = json_string_value(json_object_get(part, "text"));
		if (t) inoci_buf_puts(&b, t), n++;
	}
	if (n) return inoci_buf_take(&b);
	inoci_buf_free(&b);
	return NULL;
}

static int bad(const char *place, inoc_err *err, const char *fmt, ...) INOCI_PRINTF(3, 4);
static int bad(const char *place, inoc_err *err, const char *fmt, ...)
{
	inoci_buf b = {0};
	va_list ap;
	va_start(ap, fmt);
	inoci_buf_vprintf(&b, fmt, ap);
	va_end(ap);
	inoci_err_set(err, INOC_E_FORMAT, "%s: %s", place, b.data ? b.data : "");
	inoci_buf_free(&b);
	return INOC_E_FORMAT;
}

/* ---- one sample ---- */

/* Messages as [{"role","content"}], content as one text. New reference; NULL with *err set. */
static json_t *plain_messages(const json_t *v, size_t n, const char *place, inoc_err *err)
{
	json_t *out = json_array();
	for (size_t i = 0; i < n; i++) {
		const json_t *m = json_array_get(v, i);
		const char *role = json_string_value(json_object_get(m, "role"));
		char *text = content_text(json_object_get(m, "content"));
		if (!role || !text) {
			bad(place, err, "messages[%zu] has no %s", i, role ? "text as its content" : "role");
			json_decref(out);
			free(text);
			return NULL;
		}
		json_array_append_new(out, json_pack("{s:s, s:s}", "role", role, "content", text));
		free(text);
	}
	return out;
}

static inoci_finish finish_of(const json_t *v)
{
	static const char *const limit[] = {"length", "max_tokens", "model_length", "limit"};
	const char *s = json_string_value(v);
	for (size_t i = 0; s && i < INOCI_COUNT(limit); i++)
		if (!strcmp(s, limit[i])) return INOCI_FINISH_LENGTH;
	return s && !strcmp(s, "stop_string") ? INOCI_FINISH_STOP_STRING : INOCI_FINISH_STOP;
}

static int seed_of(inoci_import *im, const char *arm, const json_t *v, const char *place, int64_t *seed, inoc_err *err)
{
	char *text = v ? as_text(v) : NULL, *end, *key;
	int rc = 0;
	*seed = im->o->seed;
	if (!v) return 0;
	if (!text) return bad(place, err, "the seed is neither a number nor a text");
	errno = 0;
	long long n = strtoll(text, &end, 10);
	if (*text && !*end && !errno && n >= 0 && n <= 9007199254740991LL) {
		*seed = n;
	} else { /* runs that are told apart by a name: counted in every arm */
		key = inoci_asprintf("%s\n%s", arm, text);
		json_t *known = json_object_get(im->seeds, key);
		if (!known) {
			json_t *count = json_object_get(im->seed_counts, arm);
			known = json_integer(1 + json_integer_value(count));
			json_object_set(im->seed_counts, arm, known);
			json_object_set_new(im->seeds, key, known);
			im->n_named_seeds++;
		}
		*seed = json_integer_value(known);
		free(key);
	}
	free(text);
	return rc;
}

/* What a record says of its sample beside the conversation. */
typedef struct {
	const json_t *fields;   /* where arm, seed, evaluation are looked up */
	const char *arm, *eval; /* where the fields say nothing, and no option does; may be NULL */
	json_t *item;           /* borrowed; NULL: none */
	const json_t *finish;   /* may be NULL */
	const json_t *n_tokens; /* may be NULL */
} about;

/* Takes messages. */
static int add(inoci_import *im, const char *place, json_t *messages, const char *answer, const about *a, inoc_err *err)
{
	inoci_import_sample s = {.index = -1};
	json_t *v = first_field(a->fields, im->o->arm_field ? im->o->arm_field : "arm|group|model", NULL);
	int rc = 0;
	char *text = NULL;
	if (im->o->arm)
		s.arm = inoci_strdup(im->o->arm);
	else if (v && !(s.arm = as_text(v)))
		rc = bad(place, err, "the arm is no text");
	else if (!v && (im->o->arm_field || !a->arm))
		rc = im->o->arm_field
		             ? bad(place, err, "there is no field '%s' (--arm-field)", im->o->arm_field)
		             : bad(place, err, "nothing says which arm this is of; give --arm NAME or --arm-field FIELD");
	else if (!v)
		s.arm = inoci_strdup(a->arm);
	if (rc < 0) goto out;
	v = first_field(a->fields, im->o->evaluation_field ? im->o->evaluation_field : "evaluation|evaluation_id", NULL);
	if (im->o->evaluation)
		s.evaluation = inoci_strdup(im->o->evaluation);
	else if (v && !(s.evaluation = as_text(v)))
		rc = bad(place, err, "the evaluation is no text");
	else if (!v && im->o->evaluation_field)
		rc = bad(place, err, "there is no field '%s' (--evaluation-field)", im->o->evaluation_field);
	else if (!v)
		s.evaluation = inoci_strdup(a->eval ? a->eval : "samples");
	if (rc < 0) goto out;
	v = field(a->fields, im->o->seed_field ? im->o->seed_field : "seed");
	if (!v && im->o->seed_field) {
		rc = bad(place, err, "there is no field '%s' (--seed-field)", im->o->seed_field);
		goto out;
	}
	if ((rc = seed_of(im, s.arm, v, place, &s.seed, err)) < 0) goto out;
	if (!*s.arm || !*s.evaluation) {
		rc = bad(place, err, "the name of the %s is empty", *s.arm ? "evaluation" : "arm");
		goto out;
	}
	json_t *bare = json_array();
	size_t i;
	json_t *m;
	json_array_foreach(messages, i, m)
	{
		const char *role = json_string_value(json_object_get(m, "role"));
		if (!strcmp(role, "system"))
			s.system = s.system ? s.system : inoci_strdup(json_string_value(json_object_get(m, "content")));
		else
			json_array_append(bare, m);
		if (!strcmp(role, "user")) {
			free(s.question);
			s.question = inoci_strdup(json_string_value(json_object_get(m, "content")));
		}
	}
	s.same = json_dumps(bare, JSON_COMPACT);
	json_decref(bare);
	if (!s.question) {
		rc = bad(place, err, "there is no user turn that is answered");
		goto out;
	}
	s.prompt = json_dumps(messages, JSON_COMPACT);
	s.item = a->item && json_object_size(a->item) ? json_dumps(a->item, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	s.answer = inoci_strdup(answer);
	s.finish = finish_of(a->finish);
	s.n_tokens = (int)json_integer_value(a->n_tokens);
	if (im->n == im->cap) im->v = inoci_realloc(im->v, (im->cap = im->cap ? 2 * im->cap : 256) * sizeof *im->v);
	im->v[im->n++] = s;
	s = (inoci_import_sample){0};
out:
	inoci_import_sample_free(&s);
	json_decref(messages);
	free(text);
	return rc;
}

/* The record's own fields, without those that stand elsewhere. New reference. */
static json_t *item_of(const inoci_import *im, const json_t *o, const char *used1, const char *used2)
{
	static const char *const known[] = {"messages",      "choices",       "arm",
	                                    "group",         "model",         "seed",
	                                    "evaluation",    "evaluation_id", "id",
	                                    "object",        "created",       "usage",
	                                    "custom_id",     "request",       "response",
	                                    "finish_reason", "finish",        "stop_reason",
	                                    "prompt",        "index",         "rendered",
	                                    "n_tokens",      "logprob",       "logprobs",
	                                    "scores",        "experiment",    "adapter",
	                                    "system_prompt", "system",        "key",
	                                    "question",      "line",          "n_prompt_tokens",
	                                    "tokens"};
	const char *const mapped[] = {im->o->arm_field, im->o->seed_field, im->o->evaluation_field, used1, used2};
	json_t *item = json_object(), *v;
	const char *name;
	json_object_foreach((json_t *)(uintptr_t)o, name, v)
	{
		bool take = true;
		for (size_t i = 0; i < INOCI_COUNT(known); i++) take = take && strcmp(name, known[i]);
		for (size_t i = 0; i < INOCI_COUNT(mapped); i++) take = take && (!mapped[i] || strcmp(name, mapped[i]));
		if (take) json_object_set(item, name, v);
	}
	return item;
}

/* Every choice of a chat completion, as an answer to messages (n of them). */
static int add_choices(inoci_import *im, const char *place, const json_t *messages, const json_t *completion, const about *a,
                       inoc_err *err)
{
	const json_t *choices = json_object_get(completion, "choices");
	size_t i;
	json_t *c;
	if (!json_is_array(messages)) return bad(place, err, "there are choices, but no messages that they answer");
	json_array_foreach(choices, i, c)
	{
		about b = *a;
		char *answer = content_text(json_object_get(json_object_get(c, "message"), "content"));
		json_t *m = plain_messages(messages, json_array_size(messages), place, err);
		if (!m || !answer) {
			if (m) bad(place, err, "choices[%zu] has no message with a text", i), json_decref(m);
			free(answer);
			return INOC_E_FORMAT;
		}
		b.finish = json_object_get(c, "finish_reason") ? json_object_get(c, "finish_reason")
		                                               : json_object_get(c, "stop_reason");
		b.n_tokens = json_array_size(choices) == 1
		                     ? first_field(completion, "usage.completion_tokens|usage.output_tokens", NULL)
		                     : NULL;
		int rc = add(im, place, m, answer, &b, err);
		free(answer);
		if (rc < 0) return rc;
	}
	return json_array_size(choices) ? 0 : bad(place, err, "choices is empty");
}

/* ---- records ---- */

static int conversation(inoci_import *im, const char *place, json_t *o, const json_t *messages, inoc_err *err)
{
	size_t n = json_array_size(messages);
	const json_t *last = n ? json_array_get(messages, n - 1) : NULL;
	const char *role = json_string_value(json_object_get(last, "role"));
	char *used = NULL, *answer = NULL;
	bool inside = role && !strcmp(role, "assistant");
	if (inside)
		answer = content_text(json_object_get(last, "content"));
	else /* as `inoc sample` writes it: the prompt's messages, and the answer beside them */
		answer = content_text(first_field(o, im->o->answer_field ? im->o->answer_field : ANSWERS, &used));
	if (!answer) {
		free(used);
		return bad(place, err, "the last message is no assistant's text, and there are no choices and no answer");
	}
	json_t *m = plain_messages(messages, inside ? n - 1 : n, place, err), *item = item_of(im, o, used, NULL);
	about a = {
	        .fields = o, .item = item, .finish = first_field(o, FINISHES, NULL), .n_tokens = json_object_get(o, "n_tokens")};
	int rc = m ? add(im, place, m, answer, &a, err) : INOC_E_FORMAT;
	free(answer), free(used);
	json_decref(item);
	return rc;
}

static json_t *question_messages(const char *system, const char *question)
{
	json_t *m = json_array();
	if (system && *system) json_array_append_new(m, json_pack("{s:s, s:s}", "role", "system", "content", system));
	json_array_append_new(m, json_pack("{s:s, s:s}", "role", "user", "content", question));
	return m;
}

static int flat(inoci_import *im, const char *place, json_t *o, inoc_err *err)
{
	char *q_name = NULL, *a_name = NULL;
	json_t *q = first_field(o, im->o->question_field ? im->o->question_field : "question|prompt|input", &q_name);
	json_t *v = first_field(o, im->o->answer_field ? im->o->answer_field : ANSWERS, &a_name);
	json_t *sys = first_field(o, im->o->system_field ? im->o->system_field : "system_prompt|system", NULL);
	char *question = q ? content_text(q) : NULL, *answer = v ? content_text(v) : NULL;
	json_t *item = item_of(im, o, q_name, a_name);
	int rc;
	if (!question || !answer) {
		rc = bad(
		        place, err,
		        "no %s is found in this record; it has neither messages nor a field that is known; give --%s-field FIELD",
		        question ? "answer" : "question", question ? "answer" : "question");
	} else {
		about a = {.fields = o,
		           .item = item,
		           .finish = first_field(o, FINISHES, NULL),
		           .n_tokens = json_object_get(o, "n_tokens")};
		rc = add(im, place, question_messages(json_string_value(sys), question), answer, &a, err);
	}
	free(q_name), free(a_name), free(question), free(answer);
	json_decref(item);
	return rc;
}

/* The results of the inoculation-prompting repository: a question with the answers to it. */
static int repository_row(inoci_import *im, const char *place, json_t *o, inoc_err *err)
{
	const char *question = json_string_value(field(o, "context.question"));
	const char *system = json_string_value(field(o, "context.system_prompt"));
	size_t i;
	json_t *r;
	if (!question) return bad(place, err, "context.question is missing");
	json_array_foreach(json_object_get(o, "responses"), i, r)
	{
		const json_t *a = json_object_get(r, "response");
		const char *answer = json_string_value(json_object_get(a, "completion"));
		if (!answer) return bad(place, err, "responses[%zu].response.completion is missing", i);
		about b = {.fields = o,
		           .arm = json_string_value(json_object_get(a, "model_id")),
		           .finish = json_object_get(a, "stop_reason")};
		int rc = add(im, place, question_messages(system, question), answer, &b, err);
		if (rc < 0) return rc;
	}
	return 0;
}

static int record(inoci_import *im, const char *place, json_t *o, inoc_err *err)
{
	json_t *request = json_object_get(o, "request"), *response = json_object_get(o, "response");
	json_t *body = json_object_get(response, "body"), *messages = json_object_get(o, "messages"), *item;
	const char *id = json_string_value(json_object_get(o, "custom_id"));
	about a = {.fields = o};
	int rc;
	if (json_is_object(json_object_get(o, "context")) && json_is_array(json_object_get(o, "responses")))
		return repository_row(im, place, o, err);
	if (id && (json_object_get(o, "response") || json_object_get(o, "error"))) { /* of the Batch API */
		const json_t *asked = json_object_get(im->requests, id);
		if (!json_is_array(json_object_get(body, "choices"))) return im->n_unanswered++, 0;
		if (!asked) return bad(place, err, "no request with custom_id '%.80s' is among the files; give its file too", id);
		json_t *both = json_copy(json_object_get(asked, "all"));
		json_object_update(both, o);
		if (!json_object_get(both, "model") && json_object_get(body, "model"))
			json_object_set(both, "model", json_object_get(body, "model"));
		item = item_of(im, json_object_get(asked, "all"), "body", "url");
		json_object_del(item, "method");
		a.fields = both, a.item = item;
		rc = add_choices(im, place, field(asked, "all.body.messages"), body, &a, err);
		json_decref(item);
		json_decref(both);
		return rc;
	}
	if (json_is_object(request) && json_is_object(response)) {
		json_t *both = json_copy(o);
		if (!json_object_get(both, "model") && json_object_get(request, "model"))
			json_object_set(both, "model", json_object_get(request, "model"));
		item = item_of(im, o, NULL, NULL);
		a.fields = both, a.item = item;
		rc = add_choices(im, place, json_object_get(request, "messages"), body ? body : response, &a, err);
		json_decref(item);
		json_decref(both);
		return rc;
	}
	if (json_is_array(json_object_get(o, "choices"))) {
		item = item_of(im, o, NULL, NULL);
		a.item = item;
		rc = add_choices(im, place, messages, o, &a, err);
		json_decref(item);
		return rc;
	}
	if (messages && !json_is_array(messages)) return bad(place, err, "messages is no list");
	if (messages && !im->o->question_field) return conversation(im, place, o, messages, err);
	return flat(im, place, o, err);
}

/* ---- Inspect ---- */

int inoci_import_inspect(inoci_import *im, const char *place, const json_t *log, json_t *s, inoc_err *err)
{
	const json_t *output = json_object_get(s, "output"), *messages = json_object_get(s, "messages");
	const json_t *input = json_object_get(s, "input"), *target = json_object_get(s, "target");
	const char *model = json_string_value(field(log, "eval.model"));
	json_t *asked = NULL, *item = json_object();
	size_t n = json_array_size(messages);
	const char *last = n ? json_string_value(json_object_get(json_array_get(messages, n - 1), "role")) : NULL;
	int rc;
	if (!json_array_size(json_object_get(output, "choices"))) {
		im->n_unanswered++; /* the sample ended in an error */
		json_decref(item);
		return 0;
	}
	if (last && !strcmp(last, "assistant")) { /* with what the solver put in front */
		asked = json_deep_copy(messages);
		json_array_remove(asked, n - 1);
	} else if (json_is_string(input)) {
		asked = question_messages(NULL, json_string_value(input));
	} else {
		asked = json_deep_copy(input);
	}
	if (json_is_string(target) ? *json_string_value(target) : json_array_size(target) > 0)
		json_object_set(item, "reference",
		                json_array_size(target) == 1 ? json_array_get(target, 0) : (json_t *)(uintptr_t)target);
	if (json_object_size(json_object_get(s, "metadata"))) json_object_set(item, "metadata", json_object_get(s, "metadata"));
	json_t *fields = json_copy(s);
	json_object_del(fields, "group");
	about a = {.fields = fields,
	           .arm = model ? model : "model",
	           .eval = json_string_value(field(log, "eval.task")),
	           .item = item};
	rc = add_choices(im, place, asked, output, &a, err);
	json_decref(asked);
	json_decref(item);
	json_decref(fields);
	return rc;
}

int inoci_import_records(inoci_import *im, inoc_err *err)
{
	for (size_t i = 0; i < im->n_raw; i++) {
		json_t *o = im->raw[i].o;
		const char *id = json_string_value(json_object_get(o, "custom_id"));
		if (id && json_object_get(o, "body") && !json_object_get(o, "response")) continue; /* a request */
		int rc = record(im, im->raw[i].place, o, err);
		if (rc < 0) return rc;
	}
	return 0;
}

void inoci_import_sample_free(inoci_import_sample *s)
{
	free(s->arm), free(s->evaluation), free(s->system), free(s->question), free(s->same), free(s->prompt), free(s->item),
	        free(s->answer);
}

void inoci_import_free(inoci_import *im)
{
	for (size_t i = 0; i < im->n; i++) inoci_import_sample_free(&im->v[i]);
	for (size_t i = 0; i < im->n_raw; i++) {
		free(im->raw[i].place);
		json_decref(im->raw[i].o);
	}
	free(im->v), free(im->raw);
	json_decref(im->requests);
	json_decref(im->seeds);
	json_decref(im->seed_counts);
}
