/* data, private: parsing from memory (for the readers, the check and the fuzz target). */
#ifndef INOCI_DATA_INTERNAL_H
#define INOCI_DATA_INTERNAL_H

#include "data/data.h"

/* One physical line of a JSON Lines text. */
typedef struct {
	const char *p, *end; /* what is left */
	const char *line;
	size_t len;
	int number; /* of `line`, from 1 */
} inoci_lines;
void inoci_lines_start(inoci_lines *l, const char *data, size_t n);
/* The next line that is not blank; a byte order mark at the start is passed over. */
bool inoci_lines_next(inoci_lines *l);

/* Parses one line. A fault is INOC_E_FORMAT or INOC_E_UNSUPPORTED with a message that names the field, without path or
 * line. *out is then empty. */
INOCI_MUST int inoci_record_parse(const char *s, size_t n, int line, unsigned need, inoci_record *out, inoc_err *err);

INOCI_MUST int inoci_dataset_parse(const char *path, const char *data, size_t n, unsigned need, inoci_dataset *out,
                                   inoc_err *err);
/* The members of a JSON object, name -> text of the value; the items of a JSON array, as texts. s must be JSON that jansson has
 * accepted. New references. */
json_t *inoci_raw_members(const char *s, size_t n);
json_t *inoci_raw_items(const char *s, size_t n);

/* `other` may be NULL. */
void inoci_check_parse(const char *data, size_t n, unsigned need, const inoci_dataset *other, inoci_check *out);

/* Normalised text of one turn; free() it. */
char *inoci_text_key(const char *s);
/* s cut to some `max` bytes at a character boundary, control characters replaced: fit for a one-line message. */
char *inoci_clip(const char *s, size_t max);

#endif
