/* Names of dtypes; the oracle's door. */
#include <string.h>

#include "ops/internal.h"

const char *inoci_dtype_name(inoci_dtype d)
{
	static const char *const names[] = {"f32", "bf16", "f64", "q"}; /* inoci_dtype */
	return names[d];
}

int inoci_dtype_parse(const char *s, inoci_dtype *out, inoc_err *err)
{
	if (!strcmp(s, "f32"))
		*out = INOCI_DTYPE_F32;
	else if (!strcmp(s, "bf16"))
		*out = INOCI_DTYPE_BF16;
	else if (!strcmp(s, "q"))
		*out = INOCI_DTYPE_Q;
	else if (!strcmp(s, "auto"))
		*out = inoci_ops_cpu_best();
	else
		return inoci_err_set(err, INOC_E_USAGE, "unknown dtype '%s'; known: auto, bf16, f32, q", s);
	return 0;
}

int inoci_ops_ref(inoci_dtype dtype, inoci_ops **out, inoc_err *err)
{
	if (dtype == INOCI_DTYPE_BF16 || dtype == INOCI_DTYPE_Q)
		return inoci_err_set(err, INOC_E_UNSUPPORTED, "the reference operations have no %s; use f32",
		                     inoci_dtype_name(dtype));
	*out = inoci_alloc(sizeof **out);
	if (dtype == INOCI_DTYPE_F64)
		inoci_ops_ref64(*out);
	else
		inoci_ops_ref32(*out);
	return 0;
}
