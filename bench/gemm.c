/* The roof: what oneDNN's own matrix products reach when a whole model's worth of them is run, nothing else, and how fast memory
 * is read.
 *
 *   bench_gemm DTYPE LAYERS WIDTH KV_WIDTH FF VOCAB [REPEATS [M]]
 *
 * In bf16 or f32 and for M rows, one pass is every layer's four products (q, k, v together; o; gate and up together;
 * down), each layer with weights of its own, so that they come from memory as they do in a model; and the head apart.
 * Prints one JSON line: {"onednn", "threads", "read_gbs", "passes": [{"m", "layers_s", "layers_gflops", "head_s",
 * "head_gflops"}]}; the best of REPEATS (default 5). M: this one alone, and memory is not read.
 */
#include <oneapi/dnnl/dnnl.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

typedef struct {
	int n, k;
	dnnl_primitive_t prim;
	dnnl_memory_t src, dst, *weights;
	int n_weights;
} product;

static void check(dnnl_status_t s, const char *what)
{
	if (s == dnnl_success) return;
	fprintf(stderr, "bench_gemm: %s: oneDNN status %d\n", what, (int)s);
	exit(1);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static dnnl_memory_t filled(const dnnl_memory_desc_t *d, dnnl_engine_t e)
{
	dnnl_memory_t m;
	void *p;
	check(dnnl_memory_create(&m, d, e, DNNL_MEMORY_ALLOCATE), "memory");
	check(dnnl_memory_get_data_handle(m, &p), "memory");
	memset(p, 0x3c, dnnl_memory_desc_get_size(d)); /* 0.0115 in both types; real pages, not the shared zero page */
	return m;
}

static product product_new(dnnl_engine_t e, dnnl_data_type_t dt, int m, int n, int k, int n_weights)
{
	product p = {n, k, NULL, NULL, NULL, NULL, n_weights};
	dnnl_memory_desc_t x, w, y;
	dnnl_matmul_desc_t d;
	dnnl_primitive_desc_t pd;
	check(dnnl_memory_desc_init_by_tag(&x, 2, (dnnl_dims_t){m, k}, dt, dnnl_ab), "shape");
	check(dnnl_memory_desc_init_by_tag(&w, 2, (dnnl_dims_t){k, n}, dt, dnnl_format_tag_any), "shape");
	check(dnnl_memory_desc_init_by_tag(&y, 2, (dnnl_dims_t){m, n}, dnnl_f32, dnnl_ab), "shape");
	check(dnnl_matmul_desc_init(&d, &x, &w, NULL, &y), "matmul");
	check(dnnl_primitive_desc_create(&pd, &d, NULL, e, NULL), "matmul");
	check(dnnl_primitive_create(&p.prim, pd), "matmul");
	p.weights = calloc((size_t)n_weights, sizeof(*p.weights));
	if (!p.weights) exit(1);
	for (int i = 0; i < n_weights; i++) p.weights[i] = filled(dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0), e);
	p.src = filled(&x, e);
	p.dst = filled(&y, e);
	dnnl_primitive_desc_destroy(pd);
	return p;
}

static void product_free(product *p)
{
	for (int i = 0; i < p->n_weights; i++) dnnl_memory_destroy(p->weights[i]);
	free(p->weights);
	dnnl_memory_destroy(p->src);
	dnnl_memory_destroy(p->dst);
	dnnl_primitive_destroy(p->prim);
}

static void run(const product *p, int i, dnnl_stream_t s)
{
	dnnl_exec_arg_t a[] = {{DNNL_ARG_SRC, p->src}, {DNNL_ARG_WEIGHTS, p->weights[i]}, {DNNL_ARG_DST, p->dst}};
	check(dnnl_primitive_execute(p->prim, s, 3, a), "matmul");
}

/* GB/s of all threads reading 512 MiB, more than any cache holds. */
static double read_gbs(int repeats)
{
	typedef unsigned long long vec __attribute__((vector_size(32)));
	enum { LINE = 8 }; /* vectors a turn: sums that do not wait for each other */
	const size_t bytes = (size_t)512 << 20, n = bytes / sizeof(vec);
	vec *p = aligned_alloc((size_t)2 << 20, bytes);
	double best = 1e30;
	if (!p) exit(1);
	madvise(p, bytes, MADV_HUGEPAGE);
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < n; i++) p[i] = (vec){i, i, i, i};
	for (int r = -1; r < repeats; r++) {
		unsigned long long sum = 0;
		double start = now();
#pragma omp parallel reduction(+ : sum)
		{
			vec v[LINE] = {0};
#pragma omp for schedule(static)
			for (size_t i = 0; i < n; i += LINE)
#pragma GCC unroll 8
				for (int k = 0; k < LINE; k++) v[k] += p[i + (size_t)k];
			for (int k = 0; k < LINE; k++) sum += v[k][0] + v[k][3];
		}
		double s = now() - start;
		if (r >= 0 && s < best) best = s;
		if (sum == 1) printf(" "); /* never: the sum is even, and must be used */
	}
	free(p);
	return (double)bytes / best * 1e-9;
}

int main(int argc, char **argv)
{
	static const int ms[] = {1, 4, 16, 64, 256, 512};
	if (argc < 7 || (strcmp(argv[1], "bf16") && strcmp(argv[1], "f32"))) {
		fprintf(stderr, "usage: bench_gemm bf16|f32 LAYERS WIDTH KV_WIDTH FF VOCAB [REPEATS [M]]\n");
		return 2;
	}
	dnnl_data_type_t dt = strcmp(argv[1], "f32") ? dnnl_bf16 : dnnl_f32;
	int L = atoi(argv[2]), C = atoi(argv[3]), KV = atoi(argv[4]), F = atoi(argv[5]), V = atoi(argv[6]);
	int repeats = argc > 7 ? atoi(argv[7]) : 5, only = argc > 8 ? atoi(argv[8]) : 0, shown = 0;
	if (L < 1 || C < 1 || KV < 1 || F < 1 || V < 1 || repeats < 1) {
		fprintf(stderr, "bench_gemm: every argument is a number of 1 or more\n");
		return 2;
	}
	dnnl_engine_t e;
	dnnl_stream_t s;
	check(dnnl_engine_create(&e, dnnl_cpu, 0), "engine");
	check(dnnl_stream_create(&s, e, dnnl_stream_default_flags), "stream");
	const dnnl_version_t *v = dnnl_version();
	printf("{\"onednn\": \"%d.%d.%d\", \"threads\": %d, \"read_gbs\": %.2f, \"passes\": [", v->major, v->minor, v->patch,
	       omp_get_max_threads(), only ? 0 : read_gbs(repeats));
	for (size_t i = 0; i < sizeof(ms) / sizeof(ms[0]); i++) {
		int m = ms[i];
		if (only && only != m) continue;
		product p[4] = {
		        product_new(e, dt, m, C + 2 * KV, C, L),
		        product_new(e, dt, m, C, C, L),
		        product_new(e, dt, m, 2 * F, C, L),
		        product_new(e, dt, m, C, F, L),
		};
		product head = product_new(e, dt, m, V, C, 1);
		double best = 1e30, best_head = 1e30, flop = 0;
		for (int j = 0; j < 4; j++) flop += 2.0 * m * p[j].n * p[j].k * L;
		for (int r = -1; r < repeats; r++) { /* the first one warms up */
			double t0 = now();
			for (int l = 0; l < L; l++)
				for (int j = 0; j < 4; j++) run(&p[j], l, s);
			dnnl_stream_wait(s);
			double t1 = now();
			run(&head, 0, s);
			dnnl_stream_wait(s);
			double t2 = now();
			if (r >= 0 && t1 - t0 < best) best = t1 - t0;
			if (r >= 0 && t2 - t1 < best_head) best_head = t2 - t1;
		}
		printf("%s{\"m\": %d, \"layers_s\": %.6f, \"layers_gflops\": %.1f, \"head_s\": %.6f, "
		       "\"head_gflops\": %.1f}",
		       shown++ ? ", " : "", m, best, flop / best * 1e-9, best_head, 2.0 * m * V * C / best_head * 1e-9);
		for (int j = 0; j < 4; j++) product_free(&p[j]);
		product_free(&head);
	}
	printf("]}\n");
	dnnl_stream_destroy(s);
	dnnl_engine_destroy(e);
	return 0;
}
