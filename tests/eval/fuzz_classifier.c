/* Any bytes as a classifier's file: refused with a message, or one whose numbers are all finite. */
#include <math.h>

#include "eval/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	inoci_classifier *c = NULL;
	inoc_err err = {0};
	int rc = inoci_classifier_parse("fuzz", (const char *)data, n, &c, &err);
	INOC_BUG_IF(rc < 0 && (!err.msg[0] || c || (rc != INOC_E_FORMAT && rc != INOC_E_UNSUPPORTED)));
	if (rc < 0) return 0;
	INOC_BUG_IF(!c->f.k || c->layer < 0 || !isfinite(c->f.bias));
	for (size_t j = 0; j < c->f.k; j++)
		INOC_BUG_IF(!isfinite(c->f.weight[j]) || !isfinite(c->f.mean[j]) || !isfinite(c->f.scale[j]) ||
		            !(c->f.scale[j] > 0));
	inoci_classifier_free(c);
	return 0;
}
