/* Where the compiler's target has no AVX-512 BF16: products are oneDNN's. */
#include "ops/internal.h"

bool inoci_bf16_native(void)
{
	return false;
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

void inoci_bf16_blocks(const inoci_product *p, int panel, int row0, int row1, int ahead)
{
	(void)p, (void)panel, (void)row0, (void)row1, (void)ahead;
}

void inoci_bf16_block_sums(float *sums, const uint16_t *x, int k)
{
	(void)sums, (void)x, (void)k;
}
