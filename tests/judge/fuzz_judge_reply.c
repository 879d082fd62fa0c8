/* Any bytes as a judge's answer: refused with a reason, or a reply whose number is in range; the secret is in neither. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "judge/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
	if (!ok) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char secret[] = "sk-secret-1";
	json_t *r;
	inoc_err err = {0};
	char said[64], code[32];
	inoci_judge_complaint((const char *)data, n, secret, said, sizeof said, code, sizeof code);
	check(strlen(said) < sizeof said && !strstr(said, secret) && !strchr(said, '\n'));
	check(inoci_utf8_valid_prefix(said, strlen(said)) == strlen(said) && !strstr(code, secret));
	if (inoci_judge_reply((const char *)data, n, secret, &r, &err) < 0) {
		check(!r && err.msg[0] && !strstr(err.msg, secret));
		return 0;
	}
	char *text = json_dumps(r, 0);
	check(text && !strstr(text, secret));
	for (int parse = 0; parse < 2; parse++) {
		inoci_judge_number x = inoci_judge_read(r, &(inoci_judge_rule){.high = 100, .min_mass = 0.25, .parse = parse});
		check(x.miss ? isnan(x.value) : x.value >= 0 && x.value <= 100 + 1e-9);
	}
	free(text);
	json_decref(r);
	return 0;
}
