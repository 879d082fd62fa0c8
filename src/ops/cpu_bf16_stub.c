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

void inoci_bf16_block_amx(const inoci_product *p, int panel, int row0, int row1, int ahead, inoci_part part)
{
	(void)p, (void)panel, (void)row0, (void)row1, (void)ahead, (void)part;
}

void inoci_bf16_mm_amx(const uint16_t *x, size_t ldx, int m, const uint16_t *w, size_t ldw, int n, int k, float *y, size_t ldy,
                       bool add)
{
	(void)x, (void)ldx, (void)m, (void)w, (void)ldw, (void)n, (void)k, (void)y, (void)ldy, (void)add;
}

void inoci_amx_end(void)
{
}

bool inoci_bf16_amx(void)
{
	return false;
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

void inoci_bf16_columns(float *const dst[16], const float *src, size_t ld, int n, bool add)
{
	(void)dst, (void)src, (void)ld, (void)n, (void)add;
}

void inoci_bf16_turn(uint16_t *dst, size_t ldd, const float *src, size_t lds, int T, int n)
{
	(void)dst, (void)ldd, (void)src, (void)lds, (void)T, (void)n;
}

void inoci_bf16_outer(float *g, size_t ldg, const uint16_t *u, size_t ldu, const uint16_t *x, size_t ldx, float scale, int T,
                      int r, int n)
{
	(void)g, (void)ldg, (void)u, (void)ldu, (void)x, (void)ldx, (void)scale, (void)T, (void)r, (void)n;
}

void inoci_bf16_outer_amx(float *g, size_t ldg, const uint16_t *u, size_t ldu, const uint16_t *x, size_t ldx, float scale, int T,
                          int r, int n)
{
	(void)g, (void)ldg, (void)u, (void)ldu, (void)x, (void)ldx, (void)scale, (void)T, (void)r, (void)n;
}

void inoci_bf16_swiglu(uint16_t *s, const uint16_t *gate, const uint16_t *up, int n)
{
	(void)s, (void)gate, (void)up, (void)n;
}

void inoci_bf16_swiglu_bwd(uint16_t *dgate, uint16_t *dup, uint16_t *s, const float *ds, const uint16_t *gate, const uint16_t *up,
                           int n)
{
	(void)dgate, (void)dup, (void)s, (void)ds, (void)gate, (void)up, (void)n;
}

int inoci_bf16_fill_columns(uint16_t *to, size_t ldw, const float *src, size_t ld, int columns, int k)
{
	(void)to, (void)ldw, (void)src, (void)ld, (void)columns, (void)k;
	return 0;
}

int inoci_bf16_fill_pairs(uint16_t *to, size_t ldw, const float *src, size_t ld, int columns, int k)
{
	return inoci_bf16_fill_columns(to, ldw, src, ld, columns, k);
}

void inoci_bf16_blocks(const inoci_product *p, int panel, int row0, int row1, int ahead)
{
	(void)p, (void)panel, (void)row0, (void)row1, (void)ahead;
}

void inoci_bf16_block_sums(float *sums, const uint16_t *x, int k)
{
	(void)sums, (void)x, (void)k;
}
