/* bench_attn H G D T...: attention alone, forward and backward, one segment of T tokens, H query and G key/value heads of D:
 * prints the needed GFLOP/s (causal: half of T x T; forward 2, backward 5 products) as JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"

static double best(inoci_ops *o, const inoci_attn *a, const inoci_seg *g, void *qkv, void *out, float *lse, float *dout,
                   float *dqkv, bool back)
{
	int Q = a->n_heads * a->head_dim, KV = a->n_kv_heads * a->head_dim, ld = Q + 2 * KV;
	size_t e = o->act_bytes;
	double least = 1e9;
	inoc_err err;
	for (int i = 0; i < 5; i++) {
		double start = inoci_now_s();
		int rc = back ? o->attn_bwd(o, a, g, 1, g->len, qkv, out, lse, dout, dqkv, &err)
		              : o->attn(o, a, g, 1, qkv, ld, (char *)qkv + (size_t)Q * e, (char *)qkv + (size_t)(Q + KV) * e, ld,
		                        out, lse, &err);
		double t = inoci_now_s() - start;
		if (rc < 0) exit((fprintf(stderr, "bench_attn: %s\n", err.msg), 1));
		least = t < least ? t : least;
	}
	return least;
}

int main(int argc, char **argv)
{
	if (argc < 5) return fprintf(stderr, "usage: bench_attn H G D T...\n"), 2;
	inoci_attn a = {.n_heads = atoi(argv[1]), .n_kv_heads = atoi(argv[2]), .head_dim = atoi(argv[3])};
	inoci_ops *o;
	inoc_err err;
	if (inoci_ops_cpu(inoci_ops_cpu_best(), 0, &o, &err) < 0) return fprintf(stderr, "bench_attn: %s\n", err.msg), 1;
	printf("{\"attention\": [");
	for (int i = 4; i < argc; i++) {
		int T = atoi(argv[i]);
		size_t ld = (size_t)((a.n_heads + 2 * a.n_kv_heads) * a.head_dim), Q = (size_t)(a.n_heads * a.head_dim),
		       t = (size_t)T;
		float *f = inoci_alloc(t * ld * 4), *lse = inoci_alloc(t * (size_t)a.n_heads * 4), *dout = inoci_alloc(t * Q * 4);
		uint16_t *h = inoci_alloc(t * ld * 4);
		void *out = inoci_alloc(t * Q * 4);
		int32_t *keys = inoci_alloc(t * sizeof *keys);
		inoci_rng r = inoci_rng_new(1, "attn", 0, 0);
		for (size_t j = 0; j < t * ld; j++) f[j] = (float)inoci_rng_uniform(&r) - 0.5f;
		for (size_t j = 0; j < t * Q; j++) dout[j] = (float)inoci_rng_uniform(&r) - 0.5f;
		if (o->act_bytes == 2)
			for (size_t j = 0; j < t * ld; j++) memcpy(&h[j], (char *)&f[j] + 2, 2);
		for (int j = 0; j < T; j++) keys[j] = j;
		void *qkv = o->act_bytes == 2 ? (void *)h : (void *)f;
		inoci_seg g = {0, T, 0, keys, 0};
		float *dqkv = inoci_alloc(t * ld * 4);
		double pair = 2.0 * (double)Q * (double)T * (T + 1) / 2;
		double fwd = best(o, &a, &g, qkv, out, lse, dout, dqkv, false),
		       bwd = best(o, &a, &g, qkv, out, lse, dout, dqkv, true);
		printf("%s\n {\"tokens\": %d, \"forward_gflops\": %.1f, \"backward_gflops\": %.1f, \"both_gflops\": %.1f}",
		       i > 4 ? "," : "", T, 2 * pair / fwd / 1e9, 5 * pair / bwd / 1e9, 7 * pair / (fwd + bwd) / 1e9);
		free(f), free(lse), free(dout), free(h), free(out), free(keys), free(dqkv);
	}
	printf("]}\n");
	o->free(o);
	return 0;
}
