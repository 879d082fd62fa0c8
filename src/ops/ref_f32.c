/* The oracle with real = float. */
#define REAL float
#define REF_TABLE inoci_ops_ref32
#include "ops/ref_impl.c"
