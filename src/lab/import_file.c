/* Files of samples made elsewhere: JSON Lines, an array of records, CSV (RFC 4180), and Inspect's logs, which hold their samples
 * in one object. Records wait until all files are read: a request may stand in another file than its answer.
 */
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

typedef struct {
	inoci_import *im;
	const char *path;
} file_ctx;

static void keep(inoci_import *im, char *place, json_t *o)
{
	im->raw = inoci_realloc(im->raw, (im->n_raw + 1) * sizeof *im->raw);
	im->raw[im->n_raw].place = place;
	im->raw[im->n_raw++].o = json_incref(o);
	const char *id = json_string_value(json_object_get(o, "custom_id"));
	if (id && json_object_get(o, "body") && !json_object_get(o, "response"))
		json_object_set_new(im->requests, id, json_pack("{s:O}", "all", o));
}

static int on_line(void *ctx, json_t *o, int line, inoc_err *err)
{
	file_ctx *c = ctx;
	(void)err;
	keep(c->im, inoci_asprintf("%s:%d", c->path, line), o);
	return 0;
}

/* RFC 4180: one field at p; *line grows with its line ends. Returns behind it, NULL: a quote is not closed. */
static const char *csv_field(const char *p, const char *end, inoci_buf *out, int *line)
{
	inoci_buf_clear(out);
	inoci_buf_puts(out, "");
	if (p < end && *p == '"') {
		for (p++; p < end; p++) {
			if (*p == '"' && p + 1 < end && p[1] == '"')
				p++;
			else if (*p == '"')
				return p + 1;
			*line += *p == '\n';
			inoci_buf_append(out, p, 1);
		}
		return NULL;
	}
	const char *from = p;
	while (p < end && *p != ',' && *p != '\n' && *p != '\r') p++;
	inoci_buf_append(out, from, (size_t)(p - from));
	return p;
}

static int read_csv(inoci_import *im, const char *path, const char *text, size_t n, inoc_err *err)
{
	const char *p = text, *end = text + n;
	json_t *names = json_array(), *o = NULL;
	inoci_buf b = {0};
	int line = 1, at = 1, rc = 0;
	if (n >= 3 && !memcmp(p, "\xef\xbb\xbf", 3)) p += 3;
	size_t c = 0;
	while (p < end && rc == 0) {
		char place[32];
		if (!c && (*p == '\n' || *p == '\r')) { /* a blank line */
			line += *p++ == '\n';
			at = line;
			continue;
		}
		p = csv_field(p, end, &b, &line);
		if (!p || (p < end && *p != ',' && *p != '\n' && *p != '\r')) {
			snprintf(place, sizeof place, ":%d", at);
			rc = inoci_err_set(err, INOC_E_FORMAT, "%s%s: %s", path, place,
			                   p ? "a field goes on behind its closing quote" : "a quote is not closed");
			break;
		}
		json_t *value = json_stringn(b.data ? b.data : "", b.len);
		if (!value) {
			rc = inoci_err_set(err, INOC_E_FORMAT, "%s:%d: not UTF-8", path, at);
			break;
		}
		if (!o && line >= 1 && json_array_size(names) == c && c < 10000 && im->csv_header) {
			json_array_append_new(names, value);
		} else {
			if (!o) o = json_object();
			const char *name = json_string_value(json_array_get(names, c));
			if (name && json_string_length(value))
				json_object_set_new(o, name, value);
			else
				json_decref(value);
		}
		c++;
		if (p < end && *p == ',') {
			p++;
			continue;
		}
		if (p < end && *p == '\r') p++;
		if (p < end && *p == '\n') p++, line++;
		if (o && c != json_array_size(names)) {
			rc = inoci_err_set(err, INOC_E_FORMAT, "%s:%d: %zu fields, the header has %zu", path, at, c,
			                   json_array_size(names));
			break;
		}
		if (o) keep(im, inoci_asprintf("%s:%d", path, at), o);
		json_decref(o);
		o = NULL;
		im->csv_header = false;
		c = 0;
		at = line;
	}
	json_decref(o);
	json_decref(names);
	inoci_buf_free(&b);
	return rc;
}

static int read_json(inoci_import *im, const char *path, json_t *j, inoc_err *err)
{
	size_t i;
	json_t *s;
	if (json_is_array(j)) {
		json_array_foreach(j, i, s)
		{
			if (!json_is_object(s))
				return inoci_err_set(err, INOC_E_FORMAT, "%s: record %zu is no object", path, i + 1);
			keep(im, inoci_asprintf("%s: record %zu", path, i + 1), s);
		}
		return 0;
	}
	if (!json_is_object(json_object_get(j, "eval")))
		return inoci_err_set(
		        err, INOC_E_FORMAT,
		        "%s: neither JSON Lines, nor an array of records, nor a log of Inspect (which has 'eval' and "
		        "'samples')",
		        path);
	if (!json_is_array(json_object_get(j, "samples")))
		return inoci_err_set(err, INOC_E_FORMAT, "%s: a log of Inspect without samples (only its header was written?)",
		                     path);
	json_array_foreach(json_object_get(j, "samples"), i, s)
	{
		char *place = inoci_asprintf("%s: sample %zu", path, i + 1);
		int rc = inoci_import_inspect(im, place, j, s, err);
		free(place);
		if (rc < 0) return rc;
	}
	return 0;
}

static bool ends(const char *s, const char *tail)
{
	size_t n = strlen(s), k = strlen(tail);
	return n >= k && !strcmp(s + n - k, tail);
}

int inoci_import_bytes(inoci_import *im, const char *path, const char *text, size_t n, inoc_err *err)
{
	json_error_t e;
	file_ctx c = {.im = im, .path = path};
	if (n >= 4 && !memcmp(text, "PK\x03\x04", 4)) return inoci_import_packed(im, path, text, n, err);
	if (ends(path, ".csv")) {
		im->csv_header = true;
		return read_csv(im, path, text, n, err);
	}
	/* one JSON value over several lines, or else a value on each */
	size_t at = 0;
	while (at < n && strchr(" \t\r\n", text[at]) && text[at]) at++;
	bool list = at < n && text[at] == '[', lines = memmem(text, n, "}\n{", 3) != NULL;
	json_t *j = list || ends(path, ".json") ? json_loadb(text, n, 0, &e) : NULL;
	int rc;
	if (j)
		rc = read_json(im, path, j, err);
	else if (list || (ends(path, ".json") && !lines))
		rc = inoci_err_set(err, INOC_E_FORMAT, "%s:%d: not valid JSON: %s", path, e.line, e.text);
	else
		rc = inoci_jsonl_parse(path, text, n, on_line, &c, err);
	json_decref(j);
	return rc;
}

int inoci_import_file(inoci_import *im, const char *path, inoc_err *err)
{
	char *text = NULL;
	size_t n = 0;
	int rc = inoci_file_read(path, &text, &n, err);
	if (rc == 0) rc = inoci_import_bytes(im, path, text, n, err);
	free(text);
	return rc;
}
