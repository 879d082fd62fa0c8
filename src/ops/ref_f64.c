/* The oracle with real = double, for finite differences. */
#define REAL double
#define REF_TABLE inoci_ops_ref64
#include "ops/ref_impl.c"
