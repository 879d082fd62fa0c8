/* The frozen products through oneDNN's matmul: y (m, N) = x (m, K) W^T with W packed once.
 *
 * Rows are bit-identical whatever m is: a shape has one primitive, for ROWS rows; more are cut into pieces of that, fewer are
 * filled up. (oneDNN cuts K by the number of rows and the caches, and so orders the sums: with AMX a row of K = 1536 or 3072 has
 * other bits beside 1 than beside 255 others. Pieces of 32 take as long as pieces of 256.)
 */
#include <stdlib.h>
#include <string.h>

#include <dnnl.h>

#include "ops/internal.h"
#include "tensor/tensor.h"

enum { ROWS = 32 };
#define HEADROOM ((size_t)64 << 20) /* oneDNN 2.6 crashes when its code generator finds no memory */

typedef struct {
	dnnl_primitive_t prim;
	dnnl_memory_t src, dst, scratch;
} product;

typedef struct shape {
	struct shape *next;
	int n, k;
	dnnl_memory_desc_t wd;
	product rows;
	char *x;  /* (ROWS, k) and */
	float *y; /* (ROWS, n): of a piece that is filled up; NULL: there was none yet */
} shape;

struct inoci_gemm {
	dnnl_engine_t engine;
	dnnl_stream_t stream;
	dnnl_data_type_t type;
	shape *shapes;
	void *scratch;
	size_t scratch_bytes;
};

struct inoci_packed {
	shape *shape;
	dnnl_memory_t mem;
	void *data;
};

bool inoci_gemm_has_bf16(void)
{
	return __builtin_cpu_supports("avx512bf16") && dnnl_get_effective_cpu_isa() >= dnnl_cpu_isa_avx512_core_bf16;
}

inoci_gemm *inoci_gemm_new(inoci_dtype dtype)
{
	inoci_gemm *g = inoci_alloc(sizeof *g);
	g->type = dtype == INOCI_DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
	INOC_BUG_IF(dnnl_engine_create(&g->engine, dnnl_cpu, 0) != dnnl_success);
	INOC_BUG_IF(dnnl_stream_create(&g->stream, g->engine, dnnl_stream_default_flags) != dnnl_success);
	dnnl_set_primitive_cache_capacity(0); /* we keep them ourselves */
	return g;
}

static void product_free(product *p)
{
	if (p->src) dnnl_memory_destroy(p->src);
	if (p->dst) dnnl_memory_destroy(p->dst);
	if (p->scratch) dnnl_memory_destroy(p->scratch);
	if (p->prim) dnnl_primitive_destroy(p->prim);
}

void inoci_gemm_free(inoci_gemm *g)
{
	if (!g) return;
	for (shape *s = g->shapes, *next; s; s = next) {
		next = s->next;
		product_free(&s->rows);
		free(s->x), free(s->y), free(s);
	}
	dnnl_stream_destroy(g->stream);
	dnnl_engine_destroy(g->engine);
	free(g->scratch);
	free(g);
}

static int fail(inoc_err *err, const char *what, dnnl_status_t s)
{
	return inoci_err_set(err, s == dnnl_out_of_memory ? INOC_E_MEMORY : INOC_E_UNSUPPORTED, "oneDNN could not %s (status %d)",
	                     what, (int)s);
}

/* Primitive descriptor; wd NULL: any weights layout. */
static dnnl_status_t describe(inoci_gemm *g, int n, int k, const dnnl_memory_desc_t *wd, dnnl_primitive_desc_t *out)
{
	dnnl_memory_desc_t s, w, d;
	dnnl_matmul_desc_t op;
	dnnl_primitive_attr_t attr;
	dnnl_dims_t sd = {ROWS, k}, wdims = {k, n}, dd = {ROWS, n};
	dnnl_status_t st;
	if ((st = dnnl_memory_desc_init_by_tag(&s, 2, sd, g->type, dnnl_ab))) return st;
	if ((st = dnnl_memory_desc_init_by_tag(&w, 2, wdims, g->type, dnnl_format_tag_any))) return st;
	if ((st = dnnl_memory_desc_init_by_tag(&d, 2, dd, dnnl_f32, dnnl_ab))) return st;
	if (wd) w = *wd;
	if ((st = dnnl_matmul_desc_init(&op, &s, &w, NULL, &d))) return st;
	if ((st = dnnl_primitive_attr_create(&attr))) return st;
	dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
	st = dnnl_primitive_desc_create(out, &op, attr, g->engine, NULL);
	dnnl_primitive_attr_destroy(attr);
	return st;
}

static int shape_of(inoci_gemm *g, int n, int k, shape **out, inoc_err *err)
{
	dnnl_primitive_desc_t pd;
	dnnl_status_t st;
	for (shape *s = g->shapes; s; s = s->next)
		if (s->n == n && s->k == k) {
			*out = s;
			return 0;
		}
	if ((st = describe(g, n, k, NULL, &pd))) return fail(err, "plan a matrix product", st);
	shape *s = inoci_alloc(sizeof *s);
	s->n = n;
	s->k = k;
	s->wd = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
	dnnl_primitive_desc_destroy(pd);
	s->next = g->shapes;
	g->shapes = s;
	*out = s;
	return 0;
}

int inoci_gemm_pack(inoci_gemm *g, const float *w, int n, int k, bool transposed, inoci_packed **out, inoc_err *err)
{
	/* as a product: outputs N, inputs K; the backward multiplies by the matrix the other way round */
	int N = transposed ? k : n, K = transposed ? n : k, rc = 0;
	inoci_packed *p = inoci_alloc(sizeof *p);
	dnnl_memory_desc_t from;
	dnnl_memory_t src = NULL;
	dnnl_primitive_desc_t pd = NULL;
	dnnl_primitive_t r = NULL;
	dnnl_dims_t dims = {K, N};
	dnnl_status_t st;
	if ((rc = shape_of(g, N, K, &p->shape, err)) < 0) goto out;
	p->data = inoci_big_alloc(dnnl_memory_desc_get_size(&p->shape->wd), "packed weights", err);
	if (!p->data) {
		rc = INOC_E_MEMORY;
		goto out;
	}
	/* w is (n, k) row-major: as (K, N) that is column-major, or row-major when transposed */
	if ((st = dnnl_memory_desc_init_by_tag(&from, 2, dims, dnnl_f32, transposed ? dnnl_ab : dnnl_ba)) ||
	    (st = dnnl_memory_create(&src, &from, g->engine, (void *)(uintptr_t)w)) ||
	    (st = dnnl_memory_create(&p->mem, &p->shape->wd, g->engine, p->data)) ||
	    (st = dnnl_reorder_primitive_desc_create(&pd, &from, g->engine, &p->shape->wd, g->engine, NULL)) ||
	    (st = dnnl_primitive_create(&r, pd))) {
		rc = fail(err, "pack weights", st);
		goto out;
	}
	dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, src}, {DNNL_ARG_TO, p->mem}};
	if ((st = dnnl_primitive_execute(r, g->stream, 2, args)) || (st = dnnl_stream_wait(g->stream)))
		rc = fail(err, "pack weights", st);
out:
	if (src) dnnl_memory_destroy(src);
	if (pd) dnnl_primitive_desc_destroy(pd);
	if (r) dnnl_primitive_destroy(r);
	if (rc < 0) {
		inoci_packed_free(p);
		p = NULL;
	}
	*out = p;
	return rc;
}

void inoci_packed_free(inoci_packed *p)
{
	if (!p) return;
	if (p->mem) dnnl_memory_destroy(p->mem);
	free(p->data);
	free(p);
}

static int product_of(inoci_gemm *g, shape *s, inoc_err *err)
{
	product *p = &s->rows;
	if (p->prim) return 0;
	dnnl_primitive_desc_t pd;
	dnnl_status_t st;
	if (inoci_mem_available_bytes() < HEADROOM)
		return inoci_err_set(err, INOC_E_MEMORY,
		                     "not enough memory to plan a matrix product: %.0f MiB available, %.0f MiB kept free",
		                     (double)inoci_mem_available_bytes() / 0x1p20, (double)HEADROOM / 0x1p20);
	if ((st = describe(g, s->n, s->k, &s->wd, &pd))) return fail(err, "plan a matrix product", st);
	const dnnl_memory_desc_t *sd = dnnl_primitive_desc_query_md(pd, dnnl_query_src_md, 0);
	const dnnl_memory_desc_t *dd = dnnl_primitive_desc_query_md(pd, dnnl_query_dst_md, 0);
	const dnnl_memory_desc_t *cd = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
	size_t need = dnnl_memory_desc_get_size(cd);
	if (need > g->scratch_bytes) {
		void *n = inoci_big_alloc(need, "a product's scratch", err);
		if (!n) {
			dnnl_primitive_desc_destroy(pd);
			return INOC_E_MEMORY;
		}
		free(g->scratch);
		g->scratch = n;
		g->scratch_bytes = need;
	}
	if (!(st = dnnl_memory_create(&p->src, sd, g->engine, DNNL_MEMORY_NONE)) &&
	    !(st = dnnl_memory_create(&p->dst, dd, g->engine, DNNL_MEMORY_NONE)) &&
	    !(st = dnnl_memory_create(&p->scratch, cd, g->engine, DNNL_MEMORY_NONE)))
		st = dnnl_primitive_create(&p->prim, pd);
	dnnl_primitive_desc_destroy(pd);
	if (!st) return 0;
	product_free(p);
	*p = (product){0};
	return fail(err, "make a matrix product", st);
}

/* x, y: ROWS rows. */
static int run_piece(inoci_gemm *g, const inoci_packed *w, const void *x, float *y, inoc_err *err)
{
	const product *p = &w->shape->rows;
	dnnl_memory_set_data_handle(p->src, (void *)(uintptr_t)x);
	dnnl_memory_set_data_handle(p->dst, y);
	dnnl_memory_set_data_handle(p->scratch, g->scratch);
	dnnl_exec_arg_t args[] = {
	        {DNNL_ARG_SRC, p->src}, {DNNL_ARG_WEIGHTS, w->mem}, {DNNL_ARG_DST, p->dst}, {DNNL_ARG_SCRATCHPAD, p->scratch}};
	dnnl_status_t st = dnnl_primitive_execute(p->prim, g->stream, 4, args);
	if (st || (st = dnnl_stream_wait(g->stream))) return fail(err, "run a matrix product", st);
	return 0;
}

int inoci_gemm_run(inoci_gemm *g, const inoci_packed *w, const void *x, int m, float *y, inoc_err *err)
{
	shape *s = w->shape;
	const size_t row = (size_t)s->k * (g->type == dnnl_bf16 ? 2 : 4), n = (size_t)s->n;
	int i = 0, rc = product_of(g, s, err);
	for (; i + ROWS <= m && rc == 0; i += ROWS)
		rc = run_piece(g, w, (const char *)x + (size_t)i * row, y + (size_t)i * n, err);
	if (rc < 0 || i == m) return rc;
	if (!s->x && (s->x = inoci_big_alloc(ROWS * row, "a product's rows", err))) memset(s->x, 0, ROWS * row);
	if (!s->y) s->y = inoci_big_alloc(ROWS * n * sizeof(float), "a product's rows", err);
	if (!s->x || !s->y) return INOC_E_MEMORY;
	memcpy(s->x, (const char *)x + (size_t)i * row, (size_t)(m - i) * row);
	if ((rc = run_piece(g, w, s->x, s->y, err)) == 0) memcpy(y + (size_t)i * n, s->y, (size_t)(m - i) * n * sizeof(float));
	return rc;
}
