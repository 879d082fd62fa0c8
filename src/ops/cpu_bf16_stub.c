/* Where the compiler's target has no AVX-512 BF16: products are oneDNN's. */
#include "ops/internal.h"

bool inoci_bf16_native(void)
{
	return false;
}

int inoci_panels_new(int n, int k, inoci_panels **out, inoc_err *err)
{
	*out = NULL;
	return inoci_err_set(err, INOC_E_UNSUPPORTED, "this build has no bf16 products of its own (%d x %d)", n, k);
}

void inoci_panels_link(inoci_panels *a, inoci_panels *b)
{
	(void)a, (void)b;
}

void inoci_panels_free(inoci_panels *w)
{
	(void)w;
}

void inoci_panels_fill(inoci_panels *w, const float *src, int n0, int n, int ld, bool transposed)
{
	(void)w, (void)src, (void)n0, (void)n, (void)ld, (void)transposed;
}

void inoci_bf16_block(const inoci_product *p, int panel, int row0, int row1, int ahead)
{
	(void)p, (void)panel, (void)row0, (void)row1, (void)ahead;
}

void inoci_bf16_attn(const inoci_simd *simd, const void *q, const void *k, const void *v, int ldkv, const int32_t *rows, int from,
                     int to, int heads, int D, float scale, void *out, float *lse, float *s)
{
	(void)simd, (void)q, (void)k, (void)v, (void)ldkv, (void)rows, (void)from, (void)to, (void)heads, (void)D, (void)scale;
	(void)out, (void)lse, (void)s;
}

void inoci_bf16_attn_bwd(const inoci_simd *simd, const inoci_attn_bwd *a, const inoci_seg *g, int i0, void *scratch)
{
	(void)simd, (void)a, (void)g, (void)i0, (void)scratch;
}

size_t inoci_bf16_attn_bwd_bytes(void)
{
	return 0;
}
