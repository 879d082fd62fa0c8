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

size_t inoci_bf16_attn_bytes(int keys, int D)
{
	(void)keys, (void)D;
	return 0;
}

void inoci_bf16_attn_start(void *scratch, int keys, int D)
{
	(void)scratch, (void)keys, (void)D;
}

void inoci_bf16_attn(const inoci_attn_job *a, const inoci_seg *g, int head, int i0, int i1, void *scratch)
{
	(void)a, (void)g, (void)head, (void)i0, (void)i1, (void)scratch;
}

size_t inoci_bf16_attn_bwd_bytes(int keys, int D)
{
	(void)keys, (void)D;
	return 0;
}

void inoci_bf16_attn_bwd_start(void *scratch, int keys, int D)
{
	(void)scratch, (void)keys, (void)D;
}

void inoci_bf16_attn_bwd(const inoci_attn_bwd *a, const inoci_seg *g, int head, int i0, int i1, void *scratch)
{
	(void)a, (void)g, (void)head, (void)i0, (void)i1, (void)scratch;
}
