/* Shared inside ops. */
#ifndef INOCI_OPS_INTERNAL_H
#define INOCI_OPS_INTERNAL_H

#include "ops/ops.h"

/* Sum of the ranks of a product's adapters: the width of u. */
static inline int lora_rank_sum(const inoci_lora *l)
{
	int r = 0;
	if (l)
		for (int i = 0; i < l->n_slices; i++) r += l->s[i].rank;
	return r;
}

/* Dropout's multiplier of element (row, col) of an adapter's input: 0 or 1 / (1 - p). */
static inline float lora_drop(uint64_t key, int k, int row, int col, float p)
{
	double u = (double)(inoci_mix64(key, (uint64_t)row * (uint64_t)k + (uint64_t)col) >> 11) * 0x1p-53;
	return u < p ? 0 : 1 / (1 - p);
}

void inoci_ops_ref32(inoci_ops *o);
void inoci_ops_ref64(inoci_ops *o);

/* ---- the fast CPU operations: the SIMD kernels and the oneDNN products ---- */

/* Kernels over a range of rows, single-threaded; compiled once per instruction set from simd_impl.c. `bf` says that an act
 * array is bf16, else f32. Leading dimensions are in elements. */
typedef struct inoci_product inoci_product;

typedef struct {
	/* As inoci_bf16_block, for f32 panels. */
	void (*block)(const inoci_product *p, int panel, int row0, int row1);
	/* u (m, n) = x (m, k) p; p (k, np), np = n rounded up to 16. x f32 or bf16. Per row the sum runs over k in order. */
	void (*dot)(float *u, int ldu, const void *x, bool bf, int ldx, const float *p, int m, int k, int n);
	/* y (m, n) += u (m, r) q (r, n) */
	void (*update)(float *y, int ldy, const float *u, int ldu, const float *q, int ldq, int m, int r, int n);
	/* g (r, n) += scale * u (m, r)^T x (m, n) */
	void (*outer)(float *g, int ldg, const float *u, int ldu, const void *x, bool bf, int ldx, float scale, int m, int r,
	              int n);
	void (*to_bf16)(uint16_t *dst, const float *src, size_t n);
	void (*add)(float *dst, const float *src, size_t n);
	void (*rmsnorm)(void *y, bool bf, const float *x, const float *w, int C, float eps);
	void (*rmsnorm_bwd)(float *dx, const float *dy, const float *x, const float *w, int C, float eps);
	void (*rope)(void *x, bool bf, int n_heads, int D, const float *cs, int sign);
	void (*swiglu)(void *s, const void *gate, const void *up, bool bf, int n);
	void (*swiglu_bwd)(void *dgate, void *dup, const float *ds, const void *gate, const void *up, bool bf, int n);
	/* One query row, the heads of one key/value head. q, out: first head of the group; k, v: that head's column of row 0. */
	void (*attn)(const void *q, const void *k, const void *v, bool bf, int ldkv, const int32_t *rows, int from, int to,
	             int heads, int D, float scale, void *out, float *lse, float *scores);
	/* Adds to dq, and to dk and dv: rows of ldd, grad_rows[j] (NULL: j) for the key rows[j]. */
	void (*attn_bwd)(const void *q, const void *k, const void *v, bool bf, int ld, const int32_t *rows, int from, int to,
	                 int heads, int D, float scale, const void *out, const float *lse, const float *dout, float *dq,
	                 float *dk, float *dv, const int32_t *grad_rows, int ldd, float *scores);
	/* log-sum-exp of z (n); with dz: dz = weight * (softmax - onehot(target)). */
	float (*softmax)(const float *z, int n, int target, float weight, void *dz, bool bf);
	double (*sum_squares)(const float *g, size_t n);
	void (*adamw)(float *p, const float *g, float *m, float *v, size_t n, float g_scale, float decay, float step_size,
	              float c2, float beta1, float beta2, float eps);
	const char *isa;
} inoci_simd;
const inoci_simd *inoci_simd_base(void);
const inoci_simd *inoci_simd_v3(void); /* AVX2 + FMA */
const inoci_simd *inoci_simd_v4(void); /* AVX-512 */
const inoci_simd *inoci_simd_best(void);

/* y (m, N) f32 = x (m, K) W^T, or (backward) dx (m, K) f32 = dy (m, N) W. Operands in the operations' dtype. */
typedef struct inoci_gemm inoci_gemm; /* primitives and scratchpad */
inoci_gemm *inoci_gemm_new(inoci_dtype dtype);
void inoci_gemm_free(inoci_gemm *g);
typedef struct inoci_packed inoci_packed; /* one packed matrix */
INOCI_MUST int inoci_gemm_pack(inoci_gemm *g, const float *w, int n, int k, bool transposed, inoci_packed **out, inoc_err *err);
void inoci_packed_free(inoci_packed *p);
INOCI_MUST int inoci_gemm_run(inoci_gemm *g, const inoci_packed *p, const void *x, int m, float *y, inoc_err *err);
bool inoci_gemm_has_bf16(void);

/* ---- products on CPUs with AVX-512 BF16, on AMX tiles where it has them (cpu_bf16.c; a stub elsewhere) ---- */

enum { INOCI_PANEL = 48, INOCI_BLOCK = 32 };
/* Its number is raised by hand whenever the bytes of packed panels change: older files of them are then made anew. */
#define INOCI_LAYOUT(type) "panels-" type ".1"
/* A panel in blocks of 32 inputs (cpu_blocks.c): a weight is number * d + m. */
typedef struct {
	int bits;                            /* of a number: 4, 5 or 8 */
	int low;                             /* the number that all bits 0 stand for */
	bool has_min;                        /* else every m is 0 */
	size_t at;                           /* where it begins in data */
	size_t mins, fifths, numbers, bytes; /* from there */
} inoci_block_panel;
typedef struct inoci_panels inoci_panels;
struct inoci_panels {
	int n, k, count; /* outputs, inputs, panels */
	bool bf;         /* else f32 */
	bool lent;       /* data is the caller's */
	char *data;
	inoci_block_panel *blocks; /* (count); NULL: values */
	bool minima;               /* some panel of blocks has */
	inoci_panels *next, *prev; /* what is likely to be multiplied after it, before it: only a hint for the caches */
};
/* a's successor is b; either may be NULL. */
void inoci_panels_link(inoci_panels *a, inoci_panels *b);
INOCI_MUST int inoci_panels_new(int n, int k, bool bf, inoci_panels **out, inoc_err *err);
/* Over data (inoci_panels_bytes) that is filled already and outlives them. */
inoci_panels *inoci_panels_at(int n, int k, bool bf, const void *data);
size_t inoci_panels_bytes(int n, int k, bool bf);
void inoci_panels_free(inoci_panels *w);
/* Outputs n0 .. n0 + n - 1 from src (n, k) f32 of leading dimension ld, or (k, n) when transposed. */
void inoci_panels_fill(inoci_panels *w, const float *src, int n0, int n, int ld, bool transposed);
/* All of w from src (n, k) f32, or (k, n) when transposed, by all threads. */
void inoci_panels_fill_all(inoci_panels *w, const float *src, bool transposed);

/* Panels that keep the blocks of `parts`, whose rows follow each other, inputs k. */
INOCI_MUST int inoci_panels_of_blocks(const inoci_block_rows *parts, int n_parts, int k, inoci_panels **out, inoc_err *err);
/* A panel's values: dst (k, width) f32. */
void inoci_panel_expand(const inoci_panels *w, int panel, float *dst);
void inoci_blocks_expand(const inoci_panels *w, int panel, float *dst);
size_t inoci_panel_bytes(const inoci_panels *w, int panel);

/* A low-rank part u (m, ranks) q: q holds, for each panel of outputs, the ranks [from, to) that reach it, by its columns. */
typedef struct {
	int ranks, *from, *to;
	size_t *at; /* where a panel begins in q */
	float *q;
} inoci_side;
/* SwiGLU on the columns that a product has just computed. */
typedef struct {
	int F;
	const void *gu; /* (m, 2 F) act */
	void *s;        /* (m, F) act; NULL: not wanted */
	void *dgu;      /* (m, 2 F) act: the gradient of gu from that of s, which is the product's result; NULL: the forward */
} inoci_glu;
typedef enum { INOCI_OUT_F32, INOCI_OUT_BF16, INOCI_OUT_ADD } inoci_out_kind; /* ADD: f32, plus `add` */
/* y (m, n) = scale * x (m, k) W^T + u q + bias */
struct inoci_product {
	const inoci_panels *w;
	const void *x; /* bf16 or f32, as w */
	int ldx;
	float scale;
	const inoci_side *side; /* or NULL */
	const float *u, *bias;  /* bias (n) or NULL */
	const float *sums;      /* (m, k / 32) of x's blocks, where w has blocks with minima */
	void *y;
	const float *add; /* (m, n) rows of ldy; may be y */
	int ldy;
	inoci_out_kind out;
	/* or NULL. Forward: y is its gu, F a multiple of a panel. Backward: y (m, F) f32 is used up block by block, never
	 * written. */
	const inoci_glu *glu;
};
int inoci_panel_width(const inoci_panels *w, int panel); /* outputs, rounded up to 16 */
char *inoci_panel_at(const inoci_panels *w, int panel);
/* Rows [row0, row1) of one panel of y; single-threaded. The panel `ahead` (of p->w, or behind its end the next matrix's first)
 * is fetched into L2 meanwhile. */
void inoci_bf16_block(const inoci_product *p, int panel, int row0, int row1, int ahead);
typedef struct {
	int i, of;
} inoci_part;
/* The same on AMX tiles; k a multiple of 32; the i-th of so many parts of the panel ahead is fetched. */
void inoci_bf16_block_amx(const inoci_product *p, int panel, int row0, int row1, int ahead, inoci_part part);
bool inoci_bf16_amx(void);
/* GCC's tile instructions name no memory that they read: what was written is in it from here on. */
#define INOCI_AMX_SEES_MEMORY __asm__ volatile("" ::: "memory")
/* The calling thread's tiles: 0-6 of `rows` rows of 64 bytes, 7 of 16. Kernels on tiles start them; who calls these ends them, so
 * that a thread that waits has no tiles to be saved. */
void inoci_amx_start(int rows);
void inoci_amx_end(void);
void inoci_amx_zero(void); /* tiles 0-5: sums */
/* The same for panels of blocks; x bf16. */
void inoci_bf16_blocks(const inoci_product *p, int panel, int row0, int row1, int ahead);
/* sums (k / 32) of a row's blocks of 32 bf16 */
void inoci_bf16_block_sums(float *sums, const uint16_t *x, int k);
bool inoci_bf16_native(void);

/* ---- attention there (cpu_bf16_attn.c), of what cpu_bf16_tiles.c gives; D a multiple of 32 ---- */

enum { INOCI_ATTN_MAX_D = 256, INOCI_ATTN_COLS = 64 };
#define INOCI_LOG2E 1.44269504f
/* y (m, n) = or += x (m, k) w: w as [k / 2][ldw][2]; n a multiple of 16, k of 2. */
void inoci_bf16_mm(const uint16_t *x, size_t ldx, int m, const uint16_t *w, size_t ldw, int n, int k, float *y, size_t ldy,
                   bool add);
/* The same on AMX tiles; k a multiple of 32, whose sums are taken by 32. */
void inoci_bf16_mm_amx(const uint16_t *x, size_t ldx, int m, const uint16_t *w, size_t ldw, int n, int k, float *y, size_t ldy,
                       bool add);
/* 16 rows of n values (NULL: zeros), n a multiple of 32, as columns [n / 2][ldc][2] and in pairs [8][ldp][2]; either may be NULL.
 */
void inoci_bf16_pack(const uint16_t *const rows[16], int n, uint16_t *cols, size_t ldc, uint16_t *pairs, size_t ldp);
/* A panel's part, [k / 2][ldw][2], from f32: rows of src are its columns, or (pairs) its inputs. Return how many columns they
 * did: all but a rest that is no multiple of 16, or none where k is odd or, for columns, no multiple of 32. */
int inoci_bf16_fill_columns(uint16_t *to, size_t ldw, const float *src, size_t ld, int columns, int k);
int inoci_bf16_fill_pairs(uint16_t *to, size_t ldw, const float *src, size_t ld, int columns, int k);
/* p = 2^(c s - max) where from <= i < to, else 0; max and sum are brought up to date. Returns what earlier sums shrink by. n a
 * multiple of 16. */
float inoci_bf16_soften(const float *s, uint16_t *p, int n, int from, int to, float c, float *max, float *sum);
void inoci_bf16_scale(float *x, int n, float s);
void inoci_bf16_scaled(uint16_t *y, const float *x, int n, float s); /* y = s x */
/* y = dout in bf16; returns dout . out. */
float inoci_bf16_delta(uint16_t *y, const float *dout, const uint16_t *out, int n);
/* Columns of scores: lse in units of log 2; the keys [from, to) are seen. */
typedef struct {
	float scale, lse[INOCI_ATTN_COLS], delta[INOCI_ATTN_COLS];
	int32_t from[INOCI_ATTN_COLS], to[INOCI_ATTN_COLS];
} inoci_attn_cols;
/* p and ds (n, COLS) of keys from position pos on, from their scores s and the gradients dp of p; ds also as [(n + 1) /
 * 2][COLS][2]. */
void inoci_bf16_probability_grad(const inoci_attn_cols *a, int pos, const float *s, const float *dp, int n, size_t ld,
                                 uint16_t *p, uint16_t *ds, uint16_t *pairs);
/* dst[i] (n) = or += column i of src (n, ld), where not NULL; n a multiple of 16 */
void inoci_bf16_columns(float *const dst[16], const float *src, size_t ld, int n, bool add);

/* The heads of one key/value head: arrays at that head's column of row 0, q, out, dout, dq, lse at its first query head. */
typedef struct {
	int heads, D, window, ldq, ldkv, ldo, ld_lse;
	float scale;
	const uint16_t *q, *k, *v;
	uint16_t *out;
	float *lse; /* or NULL */
	bool amx;
} inoci_attn_job;
/* A thread's scratch for segments of up to `keys` keys, 64-byte aligned; started before a call's first, since it holds keys. */
size_t inoci_bf16_attn_bytes(int keys, int D);
void inoci_bf16_attn_start(void *scratch, int keys, int D);
/* Queries [i0, i1) of the segment. */
void inoci_bf16_attn(const inoci_attn_job *a, const inoci_seg *g, int head, int i0, int i1, void *scratch);

/* above: gradients of the keys at positions before the queries', rows of ld_above, those of the values D further. */
typedef struct {
	int heads, D, window, ld, ldo, ld_lse, ld_above;
	float scale;
	const uint16_t *q, *k, *v, *out;
	const float *lse, *dout;
	float *dq, *dk, *dv, *above;
	bool amx;
} inoci_attn_bwd;
size_t inoci_bf16_attn_bwd_bytes(int keys, int D);
void inoci_bf16_attn_bwd_start(void *scratch, int keys, int D);
/* Sets dq of queries [i0, i1); adds to the gradients of their own keys and of those above. */
void inoci_bf16_attn_bwd(const inoci_attn_bwd *a, const inoci_seg *g, int head, int i0, int i1, void *scratch);

/* ---- adapters' gradients and SwiGLU there (cpu_bf16_tiles.c) ---- */

enum { INOCI_TURNED = 32 };
/* dst (n, T) bf16, rows of ldd, which has room up to a multiple of INOCI_TURNED and zeros there = src (T, n) turned. */
void inoci_bf16_turn(uint16_t *dst, size_t ldd, const float *src, size_t lds, int T, int n);
/* g (r, n) += scale * u x; u (r, T) as turned, x (T, n) */
void inoci_bf16_outer(float *g, size_t ldg, const uint16_t *u, size_t ldu, const uint16_t *x, size_t ldx, float scale, int T,
                      int r, int n);
/* The same on AMX tiles: r a multiple of 16, n of 32. */
void inoci_bf16_outer_amx(float *g, size_t ldg, const uint16_t *u, size_t ldu, const uint16_t *x, size_t ldx, float scale, int T,
                          int r, int n);
void inoci_bf16_swiglu(uint16_t *s, const uint16_t *gate, const uint16_t *up, int n);
/* s, their SwiGLU once more, may be NULL. */
void inoci_bf16_swiglu_bwd(uint16_t *dgate, uint16_t *dup, uint16_t *s, const float *ds, const uint16_t *gate, const uint16_t *up,
                           int n);

/* Working copies of one product's adapters, stacked over its slices. */
typedef struct {
	int ranks; /* sum */
	float *mem;
	/* with oneDNN, f32 */
	float *p;                     /* (K, ranks padded): A transposed */
	float *a;                     /* (ranks, K): A */
	float *bt[INOCI_LORA_SLICES]; /* (rank, n): scale * B transposed */
	float *b[INOCI_LORA_SLICES];  /* (n, rank padded): scale * B */
	/* ours */
	inoci_panels *a_panels;                     /* (ranks, K): A */
	inoci_panels *bt_panels[INOCI_LORA_SLICES]; /* (rank, n): B transposed */
	inoci_side fwd, bwd;                        /* u (scale * B transposed); du A */
} inoci_packed_lora;

/* ---- the fast operations' own state ---- */

enum { INOCI_SMALL = 16384 };  /* values that one thread gets through while several would still be starting */
enum { INOCI_HEAD_ROWS = 64 }; /* of logits at once: of 49152 they are 12 MiB, about what the caches hold */
enum {
	INOCI_BUF_OUT,
	INOCI_BUF_OPERAND,
	INOCI_BUF_INNER,
	INOCI_BUF_DROPPED,
	INOCI_BUF_ANCESTORS,
	INOCI_BUF_ATTN,
	INOCI_BUF_TURNED,
	INOCI_BUF_BLOCKS,
	INOCI_N_BUFS
};
typedef struct {
	inoci_ops o; /* first: an inoci_ops * is an inoci_cpu * */
	const inoci_simd *k;
	inoci_gemm *gemm;
	bool bf;             /* act is bf16 */
	inoci_mat *last_mat; /* made last, and not freed */
	bool native;         /* products of our own instead of oneDNN's */
	bool amx;            /* on tiles */
	bool tiles;          /* bf16 kernels of our own: attention (where the head width allows), SwiGLU */
	bool blocks;         /* matrices may keep a file's blocks */
	bool emulated;       /* bf16 operands without bf16 instructions */
	struct {
		void *p;
		size_t bytes;
	} buf[INOCI_N_BUFS]; /* scratch, grown */
} inoci_cpu;
void *inoci_cpu_scratch(inoci_cpu *c, int which, size_t bytes, inoc_err *err);
/* Makes room for what a product of up to T rows by k inputs needs; before the parallel region. */
INOCI_MUST int inoci_product_room(inoci_cpu *c, int T, int k, inoc_err *err);
/* Called by all threads of a region, with a barrier at its end, but for the last of a region. */
void inoci_product_run(const inoci_cpu *c, const inoci_product *p, int T, bool last);
/* n products of the same rows, whose matrices are no blocks. */
void inoci_products_run(const inoci_cpu *c, const inoci_product *p, int n, int T, bool last);
/* The same of rows [row0, row1), by the calling thread. */
void inoci_products_rows(const inoci_cpu *c, const inoci_product *p, int n, int row0, int row1);
/* Rows [row, row + rows), columns [col, col + n) of SwiGLU or, from ds (rows of ldds, the first those of `row` and `col`), its
 * backward. */
void inoci_cpu_swiglu(const inoci_cpu *c, const inoci_glu *g, int row, int rows, int col, int n, const float *ds, int ldds);
void inoci_cpu_lora_table(inoci_ops *o);   /* those of cpu_lora.c */
void inoci_cpu_linear_table(inoci_ops *o); /* the operations of cpu_linear.c */
void inoci_cpu_attn_table(inoci_ops *o);   /* those of cpu_attn.c */
size_t inoci_cpu_attn_scratch(const inoci_cpu *c, int keys, int D);

#endif
