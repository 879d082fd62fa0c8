/* ops: one table of operations with two implementations. `ref`: plain C, the oracle, compiled with real = float and
 * real = double. `cpu`: oneDNN products and SIMD kernels, f32 or bf16.
 *
 * Two kinds of arrays pass through it, opaque to the caller, who only allocates them:
 *   real: residual stream, gradients of activations (f32; f64 in ref's double form); o->real_bytes each
 *   act:  operands of matrix products (bf16 or f32; f64 in ref's double form);      o->act_bytes each
 * Adapter weights, their gradients, norm weights, log-sum-exps and logits are f32 everywhere.
 *
 * Invariant: a row's numbers do not depend on how many rows are computed with it, on the other rows, or on whether its
 * prefix is shared.
 *
 * Shapes: T tokens, C width, H query heads, G key/value heads, D head width, F feed-forward, V vocabulary, R rank,
 * N outputs and K inputs of a product. All row-major.
 */
#ifndef INOCI_OPS_H
#define INOCI_OPS_H

#include "base/base.h"

/* Q: as BF16, but weights that the file holds in blocks of 4, 5 or 8 bits stay in them, exactly; forward alone. */
typedef enum { INOCI_DTYPE_F32, INOCI_DTYPE_BF16, INOCI_DTYPE_F64, INOCI_DTYPE_Q } inoci_dtype;
const char *inoci_dtype_name(inoci_dtype d);
/* "auto", "f32", "bf16", "q"; INOC_E_USAGE otherwise. */
INOCI_MUST int inoci_dtype_parse(const char *s, inoci_dtype *out, inoc_err *err);

typedef struct inoci_ops inoci_ops;
typedef struct inoci_mat inoci_mat; /* a frozen (N, K) matrix in the operations' own layout */

/* n rows of a matrix in a block format of 32 (an inoci_qtype), row after row. */
typedef struct {
	int type, n;
	const void *data;
} inoci_block_rows;

/* A LoRA pair on output columns [n0, n0 + n) of a product: y += scale * (dropout(x) A^T) B^T. */
typedef struct {
	int n0, n, rank;
	float scale;
	float *a, *b;   /* masters: (R, K), (n, R) */
	float *da, *db; /* gradients, accumulated; NULL when not trained */
	uint64_t drop_key;
} inoci_lora_slice;
#define INOCI_LORA_SLICES 3
typedef struct {
	int n_slices; /* 0: no adapter here */
	int n, k;     /* outputs and inputs of the product */
	inoci_lora_slice s[INOCI_LORA_SLICES];
	float dropout; /* probability of zeroing an input of A; 0 when not training */
	void *packed;  /* of the operations: refreshed by lora_pack */
} inoci_lora;

/* A run of consecutive tokens of one sequence. Its queries see the keys key_rows[0 .. position] (all of its ancestors'
 * tokens and its own up to itself): rows of the key/value store by absolute position. */
typedef struct {
	int start, len;          /* rows in the batch */
	int pos0;                /* absolute position of the first token */
	const int32_t *key_rows; /* (pos0 + len) */
	int tree;                /* segments whose key rows overlap have the same number, and stand together */
} inoci_seg;

typedef struct {
	int n_heads, n_kv_heads, head_dim;
	int window; /* 0: no sliding window */
	int stem;   /* backward: rows of qkv and dqkv before the batch's first, which its segments may see */
} inoci_attn;

/* What lies around a product, done in the same pass over it; what is NULL is left out. */
typedef struct {
	/* In front: x (T, K) act, which is written, = RMS norm of norm_of (T, K) real. */
	const void *norm_of;
	const float *norm_w;
	float eps;
	/* RoPE on the first n_heads heads of head_dim columns: forward of y (act), backward, transposed, of dy (real). */
	const int32_t *pos;
	const float *cs;
	int n_heads, head_dim;
	/* Forward: s (T, N / 2) act = SwiGLU of y, gate then up; y act. Backward: the product's inputs were SwiGLU of gu (T, 2
	 * K): x is written, = SwiGLU of gu, dgu (T, 2 K) act gets the gradient, and dx is not. */
	void *s;
	const void *gu;
	void *dgu;
	/* Backward: dres (T, K) real += the norm's gradient from dx, which is scratch then. */
	void *dres;
} inoci_around;

/* The most that a training pass asks the operations for, which own their scratch. */
typedef struct {
	int tokens, targets;       /* of a micro-batch */
	int widest, inputs, vocab; /* outputs, inputs of the widest product; of the head */
	int converted;             /* outputs of the widest product whose gradient is real */
	int ranks;                 /* of a product's adapters, together */
	bool dropout;
	int keys, head_dim; /* of the longest sequence; of attention */
	size_t ancestors;   /* inoci_attn_above of all segments, times key/value heads and head width */
} inoci_scratch_need;

/* Attention's backward takes a segment in pieces of so many queries, and holds gradients of the keys before a piece apart. */
enum { INOCI_ATTN_PIECE = 256 };
/* Rows of such keys, of a segment of len tokens from pos0 on. */
static inline size_t inoci_attn_above(int pos0, int len)
{
	size_t pieces = ((size_t)len + INOCI_ATTN_PIECE - 1) / INOCI_ATTN_PIECE;
	return pieces * (size_t)pos0 + (size_t)INOCI_ATTN_PIECE * (pieces * (pieces - 1) / 2);
}

struct inoci_ops {
	const char *name; /* "ref", "cpu" */
	inoci_dtype dtype;
	size_t real_bytes, act_bytes;
	int n_threads;

	void (*free)(inoci_ops *o);

	/* w (N, K) f32. `backward`: also what dx = dy W needs. `bias` (N) or NULL is copied. */
	int (*mat_new)(inoci_ops *o, const float *w, const float *bias, int n, int k, bool backward, inoci_mat **out,
	               inoc_err *err);
	/* w (N, K): the rows of parts one after the other, kept in their blocks. NULL: these operations keep none. */
	int (*mat_new_blocks)(inoci_ops *o, const inoci_block_rows *parts, int n_parts, const float *bias, int k, inoci_mat **out,
	                      inoc_err *err);
	void (*mat_free)(inoci_mat *m);
	/* Bytes of the packed form of w (N, K), for the products with it or, `backward`, for dy W. */
	size_t (*mat_bytes)(inoci_ops *o, int n, int k, bool backward);
	/* Names the packed form: the same name, (N, K) and w give the same bytes, on every machine of one byte order. NULL where
	 * the form is not ours to know (oneDNN's): mat_fill and mat_at are then NULL too. */
	const char *layout;
	/* Writes the packed form of w (N, K) f32 to `to` (mat_bytes), 64-byte aligned. */
	void (*mat_fill)(inoci_ops *o, void *to, const float *w, int n, int k, bool backward);
	/* As mat_new, of packed forms that stay the caller's and outlive the matrix; bwd NULL: no backward. */
	int (*mat_at)(inoci_ops *o, const void *fwd, const void *bwd, const float *bias, int n, int k, inoci_mat **out,
	              inoc_err *err);
	/* Bytes of scratch that such a pass makes it take beyond what it holds. */
	size_t (*scratch_bytes)(inoci_ops *o, const inoci_scratch_need *n);
	/* Makes the working copies of n products' adapters from their masters; call after every change of them. */
	int (*lora_pack)(inoci_ops *o, inoci_lora *const *l, int n, inoc_err *err);
	void (*lora_unpack)(inoci_lora *l); /* frees them */

	/* dst (n) real = src (n) f32 */
	void (*real_from_f32)(inoci_ops *o, void *dst, const float *src, size_t n);
	/* dst (n) f32 = src (n) real */
	void (*f32_from_real)(inoci_ops *o, float *dst, const void *src, size_t n);

	/* y (T, C) act = x[rows[t]] / rms * w; rows NULL: t itself. x real. */
	void (*rmsnorm)(inoci_ops *o, void *y, const void *x, const int32_t *rows, const float *w, int T, int C, float eps);
	/* dx[rows[t]] += gradient, dy (T, C) real. rows must not repeat. */
	void (*rmsnorm_bwd)(inoci_ops *o, void *dx, const void *dy, const void *x, const int32_t *rows, const float *w, int T,
	                    int C, float eps);

	/* y = x W^T + bias + LoRA. x (T, K) act. y: act (T, N); or, with a residual (T, N) real, which is added, real. y may be
	 * the residual. u: f32 (T, sum of ranks) kept for the backward; NULL: not kept. */
	int (*linear)(inoci_ops *o, const inoci_mat *w, const inoci_lora *l, const void *x, int T, void *y, const void *residual,
	              float *u, inoc_err *err);
	/* dx (T, K) real = dy W + LoRA's part (dx NULL: not wanted); da, db accumulate. dy (T, N) act or, with `real`, real. x, u
	 * as in the forward. */
	int (*linear_bwd)(inoci_ops *o, const inoci_mat *w, const inoci_lora *l, const void *dy, bool real, const void *x,
	                  const float *u, int T, void *dx, inoc_err *err);

	/* Both with what lies around them: the bits of inoci_linear_apart and inoci_linear_bwd_apart. */
	int (*linear_around)(inoci_ops *o, const inoci_around *a, const inoci_mat *w, const inoci_lora *l, void *x, int T,
	                     void *y, const void *residual, float *u, inoc_err *err);
	int (*linear_bwd_around)(inoci_ops *o, const inoci_around *a, const inoci_mat *w, const inoci_lora *l, void *dy,
	                         bool real, void *x, const float *u, int T, void *dx, inoc_err *err);

	/* Rotates n_heads heads of D in place, half-split, rows of ld values; cs (positions, D) holds cos then sin.
	 * sign -1 is the transpose (the backward). real: the array is real, else act. */
	void (*rope)(inoci_ops *o, void *x, bool real, int T, int ld, int n_heads, int D, const int32_t *pos, const float *cs,
	             int sign);

	/* out (T, H*D) act; q (T rows of ldq), k and v (store rows of ldkv) act; lse (T, H) f32 or NULL. */
	int (*attn)(inoci_ops *o, const inoci_attn *a, const inoci_seg *segs, int n_segs, const void *q, int ldq, const void *k,
	            const void *v, int ldkv, void *out, float *lse, inoc_err *err);
	/* qkv, dqkv (stem + T, (H + 2 G) * D), key rows are rows of them; out, lse, dout (T, H*D) real. Of dqkv, real, the
	 * batch's rows are overwritten; to the keys' and values' gradients of the rows before them is added. */
	int (*attn_bwd)(inoci_ops *o, const inoci_attn *a, const inoci_seg *segs, int n_segs, int T, const void *qkv,
	                const void *out, const float *lse, const void *dout, void *dqkv, inoc_err *err);
	/* Copies columns [col, col + n) of act rows (ld src_ld) to rows dst_rows of a store (ld dst_ld). */
	void (*store_rows)(inoci_ops *o, void *dst, int dst_ld, const int32_t *dst_rows, const void *src, int src_ld, int col,
	                   int n, int T);

	/* dst (T rows of ld_dst) += src (T rows of ld_src), n columns, real. */
	void (*add_rows)(inoci_ops *o, void *dst, int ld_dst, const void *src, int ld_src, int n, int T);

	/* s (T, F) act = silu(g) * u, gu (T, 2F) act: gate then up. */
	void (*swiglu)(inoci_ops *o, void *s, const void *gu, int T, int F);
	/* dgu (T, 2F) act from ds (T, F) real. */
	void (*swiglu_bwd)(inoci_ops *o, void *dgu, const void *ds, const void *gu, int T, int F);

	/* Head and cross-entropy, never T x V at once. h (n, C) act, targets (n). logprob (n) f32 of the targets. dh (n, C) real
	 * or NULL: gradient of -sum weight[i] * logprob[i]. */
	int (*head_loss)(inoci_ops *o, const inoci_mat *w, const void *h, const int32_t *targets, const float *weight, int n,
	                 float *logprob, void *dh, inoc_err *err);
	/* logits (n, V) f32 */
	int (*head_logits)(inoci_ops *o, const inoci_mat *w, const void *h, int n, float *logits, inoc_err *err);

	/* Sum of squares of g (n), in double. */
	double (*sum_squares)(inoci_ops *o, const float *g, size_t n);
	/* Decoupled weight decay (Loshchilov & Hutter 2019), torch.optim.AdamW's order of operations; step counts from 1. The
	 * gradient is multiplied by g_scale first, and set to 0 for the next step. */
	void (*adamw)(inoci_ops *o, float *p, float *g, float *m, float *v, size_t n, float g_scale, float lr, float beta1,
	              float beta2, float eps, float weight_decay, int step);
};

/* One operation after the other. n, k: outputs and inputs of w. */
INOCI_MUST int inoci_linear_apart(inoci_ops *o, const inoci_around *a, const inoci_mat *w, int n, int k, const inoci_lora *l,
                                  void *x, int T, void *y, const void *residual, float *u, inoc_err *err);
INOCI_MUST int inoci_linear_bwd_apart(inoci_ops *o, const inoci_around *a, const inoci_mat *w, int n, int k, const inoci_lora *l,
                                      void *dy, bool real, void *x, const float *u, int T, void *dx, inoc_err *err);

/* The oracle. dtype F32 or F64. */
INOCI_MUST int inoci_ops_ref(inoci_dtype dtype, inoci_ops **out, inoc_err *err);
/* The fast one. threads 0: as many as the machine has. BF16 where the CPU has no such instructions is computed in f32 only when
 * asked for as f32: else INOC_E_UNSUPPORTED. */
INOCI_MUST int inoci_ops_cpu(inoci_dtype dtype, int threads, inoci_ops **out, inoc_err *err);
/* bf16 where the CPU multiplies it natively, else f32. */
inoci_dtype inoci_ops_cpu_best(void);
/* "AVX-512 BF16, bf16, 2 threads, oneDNN 2.6.3", "AVX-512 AMX, ...": recorded with results. free() it. */
char *inoci_ops_describe(const inoci_ops *o);
/* Raised by hand when any number the operations give changes. */
#define INOCI_NUMERICS_VERSION 6

#endif
