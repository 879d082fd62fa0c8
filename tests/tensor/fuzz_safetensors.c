/* Any bytes as a safetensors file: refused, or every tensor can be read. */
#include <stdlib.h>
#include <string.h>

#include "tensor/tensor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	inoci_safetensors *s;
	inoc_err err = {0};
	if (inoci_st_parse(data, n, "input", &s, &err) < 0) {
		if (s || !err.code || !err.msg[0]) abort();
		return 0;
	}
	for (size_t i = 0; i < inoci_st_n(s); i++) {
		const inoci_st_tensor *t = inoci_st_at(s, i);
		if (inoci_st_get(s, t->name) != t) abort();
		size_t values = 1;
		for (int d = 0; d < t->n_dims; d++) values *= t->shape[d];
		if (values > t->bytes) abort();
		float *f = malloc(values * sizeof *f + 1);
		if (f && inoci_st_f32(t, f, &err) < 0 && err.code != INOC_E_UNSUPPORTED) abort();
		free(f);
	}
	inoci_st_free(s);
	return 0;
}
