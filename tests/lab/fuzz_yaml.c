#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lab/lab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	inoci_experiment *e = NULL;
	inoc_err err;
	/* the first line, when it starts with '!', is a --set override */
	const char *text = (const char *)data, *nl;
	char *set = NULL;
	if (n && *text == '!' && (nl = memchr(text, '\n', n))) {
		set = inoci_strndup(text + 1, (size_t)(nl - text - 1));
		n -= (size_t)(nl + 1 - text);
		text = nl + 1;
	}
	const char *sets[] = {set};
	if (inoci_experiment_parse("f.yaml", text, n, sets, set != NULL, &e, &err) == 0) inoci_experiment_free(e);
	free(set);
	return 0;
}
