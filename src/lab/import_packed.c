/* Inspect's packed logs (.eval): a ZIP archive (libzip reads it; what is compressed by zstd, which newer versions of Inspect do
 * and older ones of libzip do not know, is unpacked by libzstd) with header.json, the log without its samples, and
 * samples/ID_epoch_N.json, one each. A log whose run was cut has _journal/start.json in the header's place.
 */
#include <stdlib.h>
#include <string.h>
#include <zip.h>
#include <zstd.h>

#include "lab/internal.h"

#define MOST_BYTES (1u << 28) /* of a part, unpacked */
enum { METHOD_ZSTD = 93 };    /* APPNOTE 4.4.5 */

static int failed(const char *path, const char *part, const char *what, inoc_err *err)
{
	return inoci_err_set(err, INOC_E_FORMAT, "%s: %s%s%s", path, part ? part : "", part ? ": " : "", what);
}

/* The unpacked bytes of a part, st.size of them. */
static int unpack(zip_t *z, const char *path, const zip_stat_t *st, char *out, inoc_err *err)
{
	bool zstd = st->comp_method == METHOD_ZSTD, ok = false;
	zip_file_t *f = zip_fopen_index(z, st->index, zstd ? ZIP_FL_COMPRESSED : 0);
	if (!f && zip_error_code_zip(zip_get_error(z)) == ZIP_ER_COMPNOTSUPP)
		return inoci_err_set(err, INOC_E_UNSUPPORTED,
		                     "%s: %s is compressed in a way that is not read here; `inspect log convert %s --to json "
		                     "--output-dir DIR` makes a .json of it",
		                     path, st->name, path);
	if (!f) return failed(path, st->name, zip_strerror(z), err);
	if (zstd) {
		char *packed = inoci_alloc(st->comp_size + 1);
		ok = zip_fread(f, packed, st->comp_size) == (zip_int64_t)st->comp_size &&
		     ZSTD_decompress(out, st->size, packed, st->comp_size) == st->size;
		free(packed);
	} else {
		ok = zip_fread(f, out, st->size) == (zip_int64_t)st->size;
	}
	zip_fclose(f);
	return ok ? 0 : failed(path, st->name, "damaged: it cannot be unpacked", err);
}

/* A part as JSON, new reference. */
static int part_json(zip_t *z, const char *path, zip_uint64_t at, json_t **out, inoc_err *err)
{
	zip_stat_t st;
	char *text = NULL;
	json_error_t e;
	int rc = 0;
	*out = NULL;
	if (zip_stat_index(z, at, 0, &st) < 0) return failed(path, NULL, zip_strerror(z), err);
	if (st.size > MOST_BYTES || st.comp_size > MOST_BYTES)
		return inoci_err_set(err, INOC_E_LIMIT, "%s: %s has %llu bytes; %u at most", path, st.name,
		                     (unsigned long long)st.size, MOST_BYTES);
	text = inoci_alloc(st.size + 1);
	INOC_TRY(unpack(z, path, &st, text, err));
	if (!(*out = json_loadb(text, st.size, 0, &e)))
		rc = inoci_err_set(err, INOC_E_FORMAT, "%s: %s:%d: not valid JSON: %s", path, st.name, e.line, e.text);
out:
	free(text);
	return rc;
}

static bool is_sample(const char *name)
{
	size_t n = name ? strlen(name) : 0;
	return n > 13 && !strncmp(name, "samples/", 8) && !strcmp(name + n - 5, ".json");
}

/* By id and epoch as the names have them, not by the order in which samples were done. */
typedef struct {
	const char *name;
	zip_uint64_t at;
} part;
static int by_name(const void *a, const void *b)
{
	return strverscmp(((const part *)a)->name, ((const part *)b)->name);
}

int inoci_import_packed(inoci_import *im, const char *path, const char *bytes, size_t n, inoc_err *err)
{
	zip_error_t e;
	zip_t *z = NULL;
	json_t *log = NULL;
	part *v = NULL;
	size_t n_parts = 0;
	int rc = 0;
	zip_error_init(&e);
	zip_source_t *source = zip_source_buffer_create(bytes, n, 0, &e);
	if (source && !(z = zip_open_from_source(source, ZIP_RDONLY, &e))) zip_source_free(source);
	if (!z) {
		rc = failed(path, NULL, zip_error_strerror(&e), err);
		goto out;
	}
	zip_int64_t header = zip_name_locate(z, "header.json", 0);
	if (header < 0) header = zip_name_locate(z, "_journal/start.json", 0);
	if (header < 0) {
		rc = failed(path, NULL, "a ZIP archive, and no log of Inspect: header.json is not in it", err);
		goto out;
	}
	INOC_TRY(part_json(z, path, (zip_uint64_t)header, &log, err));
	v = inoci_alloc(((size_t)zip_get_num_entries(z, 0) + 1) * sizeof *v);
	for (zip_int64_t i = 0; i < zip_get_num_entries(z, 0); i++) {
		const char *name = zip_get_name(z, (zip_uint64_t)i, 0);
		if (is_sample(name)) v[n_parts++] = (part){name, (zip_uint64_t)i};
	}
	if (!n_parts) rc = failed(path, NULL, "a log of Inspect without samples", err);
	qsort(v, n_parts, sizeof *v, by_name);
	for (size_t i = 0; i < n_parts && rc == 0; i++) {
		json_t *s;
		char *place = inoci_asprintf("%s: %s", path, v[i].name);
		rc = part_json(z, path, v[i].at, &s, err);
		if (rc == 0) rc = inoci_import_inspect(im, place, log, s, err);
		json_decref(s);
		free(place);
	}
out:
	if (z) zip_discard(z);
	zip_error_fini(&e);
	json_decref(log);
	free(v);
	return rc < 0 ? rc : 0;
}
