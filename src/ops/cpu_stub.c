/* In place of cpu_*.c where the build leaves the fast operations out (sanitizers, fuzzing): the oracle serves. */
#include "ops/internal.h"

inoci_dtype inoci_ops_cpu_best(void)
{
	return INOCI_DTYPE_F32;
}

int inoci_ops_cpu(inoci_dtype dtype, int threads, inoci_ops **out, inoc_err *err)
{
	(void)threads;
	if (dtype == INOCI_DTYPE_BF16 || dtype == INOCI_DTYPE_Q)
		return inoci_err_set(err, INOC_E_UNSUPPORTED, "this build has no %s operations; use --dtype f32",
		                     inoci_dtype_name(dtype));
	return inoci_ops_ref(dtype, out, err);
}

char *inoci_ops_describe(const inoci_ops *o)
{
	return inoci_asprintf("reference operations, %s", inoci_dtype_name(o->dtype));
}
