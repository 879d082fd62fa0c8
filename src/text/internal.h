/* text, private: how a text is cut into pieces that byte-pair merging does not cross. */
#ifndef INOCI_TEXT_INTERNAL_H
#define INOCI_TEXT_INTERNAL_H

#include "text/text.h"

typedef struct inoci_pretok inoci_pretok;
/* By tokenizer.ggml.pre of the file `path` (for messages); unknown: INOC_E_UNSUPPORTED with the known ones. */
INOCI_MUST int inoci_pretok_open(const char *name, size_t n, const char *path, inoci_pretok **out, inoc_err *err);
void inoci_pretok_free(inoci_pretok *p);
const char *inoci_pretok_name(const inoci_pretok *p);
/* Where the piece that begins at `at` < n ends, in the valid UTF-8 s[0..n). */
size_t inoci_pretok_end(const inoci_pretok *p, const char *s, size_t n, size_t at);
/* How much of a text from a file can stand in a one-line message. */
int inoci_text_show(const char *s, size_t n);

#endif
