/* Any bytes as a data file: read, written and read again gives the same; the check says as much as the reader. */
#include <stdlib.h>
#include <string.h>

#include "data/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *s = (const char *)data;
	char pool_text[] = "Text.";
	char *pool[] = {pool_text};
	for (unsigned need = 0; need < 3; need++) {
		inoci_dataset d;
		inoci_check c = {0};
		inoc_err err;
		int rc = inoci_dataset_parse("F", s, n, need, &d, &err);
		INOC_BUG_IF(rc < 0 && (err.code != rc || strchr(err.msg, '\n')));
		inoci_check_parse(s, n, need, rc == 0 ? &d : NULL, &c);
		INOC_BUG_IF((rc == 0) != (c.n_errors == c.n_overlap));
		INOC_BUG_IF(rc == 0 && (c.n_records != d.n || c.n_overlap != d.n)); /* each question is in the file itself */
		inoci_check_free(&c);
		for (size_t i = 0; rc == 0 && i < d.n; i++) {
			inoci_inoculation t = {.where = (inoci_where)(i % 3),
			                       .join = (inoci_join)(n % 3),
			                       .pool = pool,
			                       .n_pool = 1,
			                       .fraction = 1};
			inoci_record o = inoci_inoculate(&t, &d.v[i], i, n, NULL), again;
			char *text = inoci_record_text(&o, NULL, 0);
			INOC_BUG_IF(!text);
			INOC_BUG_IF(inoci_record_parse(text, strlen(text), 1, need == INOCI_NEED_ASSISTANT ? need : 0, &again,
			                               &err) < 0);
			char *same = inoci_record_text(&again, NULL, 0);
			INOC_BUG_IF(!same || strcmp(text, same));
			free(text);
			free(same);
			inoci_record_free(&o);
			inoci_record_free(&again);
		}
		if (rc == 0) inoci_dataset_free(&d);
	}
	return 0;
}
