/* Any bytes as a file of samples made elsewhere; the first letter says of which kind: 'c' CSV, 'j' JSON, else JSON Lines. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	inoci_import_options o = {.seed = 1};
	inoci_import im = {.o = &o, .requests = json_object(), .seeds = json_object(), .seed_counts = json_object()};
	inoc_err err = {0};
	const char *path = n && data[0] == 'c' ? "f.csv" : n && data[0] == 'j' ? "f.json" : "f.jsonl";
	char *text = inoci_strndup((const char *)data + (n > 0), n - (n > 0));
	int rc = n ? inoci_import_bytes(&im, path, text, n - 1, &err) : 0;
	if (rc == 0) rc = inoci_import_records(&im, &err);
	INOC_BUG_IF(rc < 0 && (err.code != rc || !err.msg[0]));
	for (size_t i = 0; i < im.n; i++)
		INOC_BUG_IF(!im.v[i].arm || !im.v[i].evaluation || !im.v[i].question || !im.v[i].same || !im.v[i].prompt ||
		            !im.v[i].answer);
	inoci_import_free(&im);
	free(text);
	return 0;
}
