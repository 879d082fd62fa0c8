/* The fast operations against the oracle, and the invariance of a row's bits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ops/ops.h"
#include "tensor/tensor.h"

static inoci_rng rng;

static float *normals(size_t n, float scale)
{
	float *v = inoci_alloc(n * 4);
	for (size_t i = 0; i < n; i++) v[i] = (float)inoci_rng_normal(&rng) * scale;
	return v;
}

/* an act array holding the values of v, rounded to the dtype; v itself becomes the rounded values */
static void *act(inoci_ops *o, float *v, size_t n)
{
	char *p = inoci_alloc(n * o->act_bytes + 64);
	for (size_t i = 0; i < n; i++)
		if (o->dtype == INOCI_DTYPE_BF16) {
			uint16_t b = inoci_f32_to_bf16(v[i]);
			v[i] = inoci_bf16_to_f32(b);
			memcpy(p + 2 * i, &b, 2);
		} else
			memcpy(p + 4 * i, &v[i], 4);
	return p;
}

static float act_at(inoci_ops *o, const void *p, size_t i)
{
	return o->dtype == INOCI_DTYPE_BF16 ? inoci_bf16_to_f32(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}

static void close_to(const char *what, double got, double want, double tol)
{
	if (!(fabs(got - want) <= tol * (1 + fabs(want))))
		fail_msg("%s: got %.9g, the oracle says %.9g (tolerance %g)", what, got, want, tol);
}

static inoci_ops *open_ops(inoci_dtype d)
{
	inoci_ops *o;
	inoc_err err;
	if (inoci_ops_cpu(d, 0, &o, &err) < 0) fail_msg("%s", err.msg);
	return o;
}

static inoci_ops *oracle(void)
{
	inoci_ops *o;
	inoc_err err;
	if (inoci_ops_ref(INOCI_DTYPE_F32, &o, &err) < 0) fail_msg("%s", err.msg);
	return o;
}

/* In bf16 the sums' operands are rounded to 8 bits, so their norms are what is held. */
static void close_in_norm(const char *what, const float *got, const float *want, size_t n, double tol)
{
	double diff = 0, norm = 0;
	for (size_t i = 0; i < n; i++) diff += pow((double)got[i] - want[i], 2), norm += (double)want[i] * want[i];
	if (!(sqrt(diff) <= tol * sqrt(norm)))
		fail_msg("%s: off by %g of the oracle's norm %g (tolerance %g)", what, sqrt(diff), sqrt(norm), tol);
}

static void make_lora(inoci_lora *l, int n_all, int k, const int *n0, const int *n, const int *rank, int slices, float dropout)
{
	*l = (inoci_lora){.n_slices = slices, .n = n_all, .k = k, .dropout = dropout};
	for (int i = 0; i < slices; i++) {
		size_t na = (size_t)rank[i] * (size_t)k, nb = (size_t)rank[i] * (size_t)n[i];
		l->s[i] =
		        (inoci_lora_slice){.n0 = n0[i], .n = n[i], .rank = rank[i], .scale = 1.5f, .drop_key = 77 + (uint64_t)i};
		l->s[i].a = normals(na, 0.1f);
		l->s[i].b = normals(nb, 0.1f);
		l->s[i].da = inoci_alloc(na * 4);
		l->s[i].db = inoci_alloc(nb * 4);
	}
}

static void free_lora(inoci_lora *l)
{
	for (int i = 0; i < l->n_slices; i++) free(l->s[i].a), free(l->s[i].b), free(l->s[i].da), free(l->s[i].db);
}

/* linear, forward and backward, all variants, against the oracle. The slices reach that far of the N columns. */
static void linear_case(inoci_dtype d, int T, int N, int reach, int K, int slices, int rank, float dropout, bool with_residual)
{
	inoci_ops *o = open_ops(d), *r = oracle();
	double tol = d == INOCI_DTYPE_BF16 ? 2e-2 : 2e-5;
	int n0[3], n[3], ranks[3] = {rank, rank, rank};
	for (int i = 0; i < slices; i++) n0[i] = reach / slices * i, n[i] = reach / slices;
	float *w = normals((size_t)N * (size_t)K, 0.05f), *xf = normals((size_t)T * (size_t)K, 1),
	      *dy = normals((size_t)T * (size_t)N, 1);
	inoci_lora l;
	make_lora(&l, N, K, n0, n, ranks, slices, dropout);
	void *x = act(o, xf, (size_t)T * (size_t)K);
	if (d == INOCI_DTYPE_BF16) { /* the oracle sees the same rounded operands */
		free(act(o, w, (size_t)N * (size_t)K));
		free(act(o, dy, (size_t)T * (size_t)N));
		for (int i = 0; i < slices; i++) {
			free(act(o, l.s[i].a, (size_t)rank * (size_t)K));
			free(act(o, l.s[i].b, (size_t)rank * (size_t)n[i]));
		}
	}
	inoci_mat *mo, *mr;
	inoc_err err;
	assert_int_equal(o->mat_new(o, w, NULL, N, K, true, &mo, &err), 0);
	assert_int_equal(r->mat_new(r, w, NULL, N, K, true, &mr, &err), 0);
	assert_int_equal(o->lora_pack(o, &(inoci_lora *){&l}, 1, &err), 0);
	size_t yb = (size_t)T * (size_t)N;
	char *yo = inoci_alloc(yb * 4);
	float *yr = inoci_alloc(yb * 4), *u = inoci_alloc((size_t)T * (size_t)(slices * rank + 1) * 4);
	float *dxo = inoci_alloc((size_t)T * (size_t)K * 4), *dxr = inoci_alloc((size_t)T * (size_t)K * 4);
	float *residual = with_residual ? normals(yb, 1) : NULL;
	void *dya = act(o, dy, yb);
	assert_int_equal(o->linear(o, mo, slices ? &l : NULL, x, T, yo, residual, u, &err), 0);
	assert_int_equal(r->linear(r, mr, slices ? &l : NULL, xf, T, yr, residual, NULL, &err), 0);
	for (size_t i = 0; i < yb; i++) close_to("linear", residual ? ((float *)yo)[i] : act_at(o, yo, i), yr[i], tol);
	assert_int_equal(o->linear_bwd(o, mo, slices ? &l : NULL, with_residual ? dy : dya, with_residual, x, u, T, dxo, &err),
	                 0);
	float *da[3], *db[3];
	for (int i = 0; i < slices; i++) {
		da[i] = l.s[i].da, db[i] = l.s[i].db;
		l.s[i].da = inoci_alloc((size_t)rank * (size_t)K * 4);
		l.s[i].db = inoci_alloc((size_t)rank * (size_t)n[i] * 4);
	}
	assert_int_equal(r->linear_bwd(r, mr, slices ? &l : NULL, dy, true, xf, u, T, dxr, &err), 0);
	for (size_t i = 0; i < (size_t)T * (size_t)K; i++) close_to("dx", dxo[i], dxr[i], d == INOCI_DTYPE_BF16 ? 1e-3 : 2e-5);
	for (int s = 0; s < slices; s++) {
		close_in_norm("dA", da[s], l.s[s].da, (size_t)rank * (size_t)K, d == INOCI_DTYPE_BF16 ? 2e-3 : 1e-5);
		close_in_norm("dB", db[s], l.s[s].db, (size_t)rank * (size_t)n[s], d == INOCI_DTYPE_BF16 ? 2e-3 : 1e-5);
		free(da[s]), free(db[s]);
	}
	o->lora_unpack(&l);
	o->mat_free(mo), r->mat_free(mr);
	free_lora(&l);
	free(w), free(xf), free(dy), free(x), free(yo), free(yr), free(u), free(dxo), free(dxr), free(residual), free(dya);
	o->free(o), r->free(r);
}

static void test_linear(void **state)
{
	for (int b = 0; b < 2; b++) {
		inoci_dtype d = b ? INOCI_DTYPE_BF16 : INOCI_DTYPE_F32;
		if (b && inoci_ops_cpu_best() != INOCI_DTYPE_BF16) break;
		linear_case(d, 5, 96, 96, 64, 3, 16, 0, false);
		linear_case(d, 37, 96, 96, 64, 2, 5, 0, false);
		linear_case(d, 300, 64, 64, 80, 1, 8, 0, true);
		linear_case(d, 9, 70, 70, 33, 1, 3, 0.3f, false);
		linear_case(d, 9, 96, 96, 48, 2, 4, 0.1f, true);
		linear_case(d, 3, 48, 48, 32, 0, 1, 0, false);
		linear_case(d, 20, 200, 70, 64, 1, 4, 0, false);
		linear_case(d, 20, 200, 30, 64, 1, 4, 0, true);
	}
}

/* bits of every row, computed alone and with 1 to 299 others */
static void test_rows(void **state)
{
	static const int shapes[][2] = {{960, 576}, {576, 576}, {3072, 576}, {576, 1536}, {49152, 576}};
	enum { M = 300 };
	for (int b = 0; b < 2; b++) {
		inoci_dtype d = b ? INOCI_DTYPE_BF16 : INOCI_DTYPE_F32;
		if (b && inoci_ops_cpu_best() != INOCI_DTYPE_BF16) break;
		inoci_ops *o = open_ops(d);
		inoc_err err;
		for (size_t s = 0; s < INOCI_COUNT(shapes); s++) {
			size_t N = (size_t)shapes[s][0], K = (size_t)shapes[s][1];
			float *w = normals(N * K, 0.05f), *xf = normals(M * K, 1);
			char *x = act(o, xf, M * K);
			inoci_mat *m;
			assert_int_equal(o->mat_new(o, w, NULL, shapes[s][0], shapes[s][1], false, &m, &err), 0);
			float *alone = inoci_alloc(M * N * 4), *many = inoci_alloc(M * N * 4);
			for (size_t i = 0; i < M; i++)
				assert_int_equal(o->head_logits(o, m, x + i * K * o->act_bytes, 1, alone + i * N, &err), 0);
			for (int n = 2; n <= M; n++) {
				assert_int_equal(o->head_logits(o, m, x, n, many, &err), 0);
				for (size_t i = 0; i < (size_t)n; i++)
					if (memcmp(alone + i * N, many + i * N, N * 4))
						fail_msg("%s N %zu K %zu: row %zu differs between M = 1 and M = %d",
						         inoci_dtype_name(d), N, K, i, n);
			}
			o->mat_free(m);
			free(w), free(xf), free(x), free(alone), free(many);
		}
		o->free(o);
	}
}

static void fill_keys(int32_t *k, int n, int start)
{
	for (int i = 0; i < n; i++) k[i] = start + i;
}

/* attention over a forest with a shared root, forward and backward */
static void test_attention(void **state)
{
	for (int b = 0; b < 2; b++) {
		inoci_dtype d = b ? INOCI_DTYPE_BF16 : INOCI_DTYPE_F32;
		if (b && inoci_ops_cpu_best() != INOCI_DTYPE_BF16) break;
		for (int window = 0; window < 8; window += 7) {
			inoci_ops *o = open_ops(d), *r = oracle();
			inoci_attn a = {6, 2, 64, window, 0};
			int T = 70, ld = 10 * 64;
			int32_t keys[4][70];
			fill_keys(keys[0], 20, 0);
			fill_keys(keys[1], 20, 0), fill_keys(keys[1] + 20, 17, 20); /* children of the root 0..19 */
			fill_keys(keys[2], 20, 0), fill_keys(keys[2] + 20, 13, 37);
			fill_keys(keys[3], 20, 50);
			inoci_seg segs[] = {{0, 20, 0, keys[0], 0},
			                    {20, 17, 20, keys[1], 0},
			                    {37, 13, 20, keys[2], 0},
			                    {50, 20, 0, keys[3], 1}};
			size_t n = (size_t)T * (size_t)ld, no = (size_t)T * 6 * 64;
			float *qf = normals(n, 0.7f), *dout = normals(no, 1);
			void *q = act(o, qf, n);
			size_t e = o->act_bytes;
			char *out = inoci_alloc(no * 4);
			float *outr = inoci_alloc(no * 4), *lse = inoci_alloc((size_t)T * 6 * 4),
			      *lser = inoci_alloc((size_t)T * 6 * 4);
			float *dq = inoci_alloc(n * 4), *dqr = inoci_alloc(n * 4);
			inoc_err err;
			assert_int_equal(
			        o->attn(o, &a, segs, 4, q, ld, (char *)q + 384 * e, (char *)q + 512 * e, ld, out, lse, &err), 0);
			assert_int_equal(r->attn(r, &a, segs, 4, qf, ld, qf + 384, qf + 512, ld, outr, lser, &err), 0);
			for (size_t i = 0; i < no; i++) close_to("attention", act_at(o, out, i), outr[i], b ? 1e-2 : 1e-5);
			for (int i = 0; i < T * 6; i++) close_to("log-sum-exp", lse[i], lser[i], 1e-5);
			assert_int_equal(o->attn_bwd(o, &a, segs, 4, T, q, out, lse, dout, dq, &err), 0);
			assert_int_equal(r->attn_bwd(r, &a, segs, 4, T, qf, outr, lser, dout, dqr, &err), 0);
			for (size_t i = 0; i < n; i++) close_to("attention's gradient", dq[i], dqr[i], b ? 1e-1 : 1e-4);
			free(qf), free(dout), free(q), free(out), free(outr), free(lse), free(lser), free(dq), free(dqr);
			o->free(o), r->free(r);
		}
	}
}

/* The gradient where a child's keys begin and end anywhere, in scratch that nothing has written: what lies behind the last key
 * adds nothing. */
static void test_attention_ends(void **state)
{
	static const int ends[][2] = {{1, 31}, {1, 32},  {15, 17}, {15, 49}, {31, 65},
	                              {31, 1}, {47, 47}, {33, 64}, {63, 33}, {64, 32}};
	for (size_t i = 0; i < INOCI_COUNT(ends); i++) {
		inoci_ops *o = open_ops(inoci_ops_cpu_best()), *r = oracle();
		inoci_attn a = {3, 1, 64, 0, 0};
		int root = ends[i][0], T = root + 2 * ends[i][1], ld = 5 * 64;
		static int32_t keys[3][200];
		inoci_seg segs[3] = {{0, root, 0, keys[0], 0}};
		fill_keys(keys[0], root, 0);
		for (int s = 1; s < 3; s++) {
			int at = root + (s - 1) * ends[i][1];
			fill_keys(keys[s], root, 0), fill_keys(keys[s] + root, ends[i][1], at);
			segs[s] = (inoci_seg){at, ends[i][1], root, keys[s], 0};
		}
		size_t n = (size_t)T * (size_t)ld, no = (size_t)T * 3 * 64;
		float *qf = normals(n, 0.7f), *dout = normals(no, 1), *outr = inoci_alloc(no * 4),
		      *lse = inoci_alloc((size_t)T * 12), *dq = inoci_alloc(n * 4), *dqr = inoci_alloc(n * 4);
		inoc_err err;
		void *q = act(o, qf, n);
		assert_int_equal(r->attn(r, &a, segs, 3, qf, ld, qf + 192, qf + 256, ld, outr, lse, &err), 0);
		void *out = act(o, outr, no);
		assert_int_equal(o->attn_bwd(o, &a, segs, 3, T, q, out, lse, dout, dq, &err), 0);
		assert_int_equal(r->attn_bwd(r, &a, segs, 3, T, qf, outr, lse, dout, dqr, &err), 0);
		for (size_t j = 0; j < n; j++) close_to("attention's gradient", dq[j], dqr[j], o->act_bytes == 2 ? 1e-1 : 1e-4);
		free(qf), free(dout), free(outr), free(lse), free(dq), free(dqr), free(q), free(out);
		o->free(o), r->free(r);
	}
}

/* Blocks of keys and queries: a root of 230 tokens, three children that see it, a segment alone. Against the oracle; every row
 * alone, its keys elsewhere, gives the same bits. */
static void test_long_attention(void **state)
{
	static const struct {
		int heads, kv_heads, dim, window;
	} shapes[] = {{3, 1, 64, 0}, {6, 2, 32, 0}, {4, 2, 128, 130}, {9, 1, 64, 70}};
	enum { ROOT = 230, N = 4, T = 1100 };
	static const int len[N + 1] = {ROOT, 40, 300, 33, T - ROOT - 40 - 300 - 33};
	for (size_t c = 0; c < 2 * INOCI_COUNT(shapes); c++) {
		inoci_dtype d = c % 2 ? INOCI_DTYPE_BF16 : INOCI_DTYPE_F32;
		if (c % 2 && inoci_ops_cpu_best() != INOCI_DTYPE_BF16) continue;
		inoci_ops *o = open_ops(d), *r = oracle();
		inoci_attn a = {shapes[c / 2].heads, shapes[c / 2].kv_heads, shapes[c / 2].dim, shapes[c / 2].window, 0};
		int Q = a.n_heads * a.head_dim, KV = a.n_kv_heads * a.head_dim, ld = Q + 2 * KV;
		static int32_t keys[N + 1][T];
		inoci_seg segs[N + 1];
		for (int i = 0, at = 0; i <= N; at += len[i++]) {
			int root = i && i < N ? ROOT : 0;
			fill_keys(keys[i], root, 0);
			fill_keys(keys[i] + root, len[i], at);
			segs[i] = (inoci_seg){at, len[i], root, keys[i], i < N ? 0 : 1};
		}
		size_t n = (size_t)T * (size_t)ld, no = (size_t)T * (size_t)Q, e = o->act_bytes;
		float *qf = normals(n, 0.7f), *dout = normals(no, 1), *outr = inoci_alloc(no * 4), *dq = inoci_alloc(n * 4),
		      *dqr = inoci_alloc(n * 4);
		float *lse = inoci_alloc((size_t)(T * a.n_heads) * 4), *lser = inoci_alloc((size_t)(T * a.n_heads) * 4);
		char *q = act(o, qf, n), *out = inoci_alloc(no * 4), *one = inoci_alloc((size_t)Q * 4);
		inoc_err err;
		assert_int_equal(
		        o->attn(o, &a, segs, N + 1, q, ld, q + (size_t)Q * e, q + (size_t)(Q + KV) * e, ld, out, lse, &err), 0);
		assert_int_equal(r->attn(r, &a, segs, N + 1, qf, ld, qf + Q, qf + Q + KV, ld, outr, lser, &err), 0);
		for (size_t i = 0; i < no; i++) close_to("attention", act_at(o, out, i), outr[i], c % 2 ? 1e-2 : 1e-5);
		for (int i = 0; i < T * a.n_heads; i++) close_to("log-sum-exp", lse[i], lser[i], 1e-5);
		/* each head's row of the gradient against the oracle's norm there and on average (a query that sees one key has
		 * none) */
		assert_int_equal(o->attn_bwd(o, &a, segs, N + 1, T, q, out, lse, dout, dq, &err), 0);
		assert_int_equal(r->attn_bwd(r, &a, segs, N + 1, T, qf, outr, lser, dout, dqr, &err), 0);
		double all = 0;
		for (size_t i = 0; i < n; i++) all += (double)dqr[i] * dqr[i];
		all = sqrt(all / (double)n * a.head_dim);
		for (size_t at = 0; at < n; at += (size_t)a.head_dim) {
			double diff = 0, norm = 0;
			for (size_t i = at; i < at + (size_t)a.head_dim; i++)
				diff += pow((double)dq[i] - dqr[i], 2), norm += (double)dqr[i] * dqr[i];
			if (!(sqrt(diff) <= (c % 2 ? 2e-2 : 1e-5) * (sqrt(norm) + all)))
				fail_msg("%s, head dim %d: gradient from %zu on is off by %g of %g", inoci_dtype_name(d),
				         a.head_dim, at, sqrt(diff), sqrt(norm));
		}
		/* one row at a time, over a store in which rows lie backwards */
		char *store = inoci_alloc(n * e);
		for (int t = 0; t < T; t++)
			memcpy(store + (size_t)(T - 1 - t) * (size_t)ld * e, q + (size_t)t * (size_t)ld * e, (size_t)ld * e);
		for (int s = 0; s <= N; s++)
			for (int i = 0; i < segs[s].len; i += s ? 1 : 17) {
				static int32_t back[T];
				int t = segs[s].start + i;
				for (int j = 0; j <= segs[s].pos0 + i; j++) back[j] = T - 1 - keys[s][j];
				inoci_seg row = {0, 1, segs[s].pos0 + i, back, 0};
				assert_int_equal(o->attn(o, &a, &row, 1, q + (size_t)t * (size_t)ld * e, ld,
				                         store + (size_t)Q * e, store + (size_t)(Q + KV) * e, ld, one, NULL,
				                         &err),
				                 0);
				if (memcmp(one, out + (size_t)t * (size_t)Q * e, (size_t)Q * e))
					fail_msg("%s, head dim %d: row %d alone has other bits", inoci_dtype_name(d), a.head_dim,
					         t);
			}
		free(qf), free(dout), free(q), free(out), free(outr), free(lse), free(lser), free(dq), free(dqr), free(one),
		        free(store);
		o->free(o), r->free(r);
	}
}

/* the small row operations, and the head */
static void test_rowwise(void **state)
{
	for (int b = 0; b < 2; b++) {
		inoci_dtype d = b ? INOCI_DTYPE_BF16 : INOCI_DTYPE_F32;
		if (b && inoci_ops_cpu_best() != INOCI_DTYPE_BF16) break;
		inoci_ops *o = open_ops(d), *r = oracle();
		inoc_err err;
		double tol = b ? 1e-2 : 2e-6;
		enum { T = 7, C = 70, F = 37 };
		float *x = normals(T * C, 1), *w = normals(C, 1), *dy = normals(T * C, 1), *dx = normals(T * C, 1),
		      *dxr = inoci_alloc(T * C * 4);
		float *yr = inoci_alloc(T * C * 4);
		void *y = inoci_alloc(T * C * 4);
		int32_t rows[] = {6, 0, 3};
		memcpy(dxr, dx, T * C * 4);
		o->rmsnorm(o, y, x, rows, w, 3, C, 1e-5f);
		r->rmsnorm(r, yr, x, rows, w, 3, C, 1e-5f);
		for (int i = 0; i < 3 * C; i++) close_to("rmsnorm", act_at(o, y, (size_t)i), yr[i], tol);
		o->rmsnorm_bwd(o, dx, dy, x, rows, w, 3, C, 1e-5f);
		r->rmsnorm_bwd(r, dxr, dy, x, rows, w, 3, C, 1e-5f);
		for (int i = 0; i < T * C; i++) close_to("rmsnorm's gradient", dx[i], dxr[i], 1e-5);
		float *gf = normals(T * 2 * F, 3), *ds = normals(T * F, 1), *sr = inoci_alloc(T * F * 4),
		      *dg = inoci_alloc(T * 2 * F * 4);
		float *dgr = inoci_alloc(T * 2 * F * 4);
		void *g = act(o, gf, T * 2 * F), *s = inoci_alloc(T * F * 4);
		o->swiglu(o, s, g, T, F);
		r->swiglu(r, sr, gf, T, F);
		for (int i = 0; i < T * F; i++) close_to("swiglu", act_at(o, s, (size_t)i), sr[i], tol);
		o->swiglu_bwd(o, dg, ds, g, T, F);
		r->swiglu_bwd(r, dgr, ds, gf, T, F);
		for (int i = 0; i < T * 2 * F; i++) close_to("swiglu's gradient", act_at(o, dg, (size_t)i), dgr[i], tol);
		float *cs = normals(10 * 40, 1), *qf = normals(T * 90, 1);
		int32_t pos[T] = {0, 1, 2, 9, 8, 3, 3};
		void *q = act(o, qf, T * 90);
		o->rope(o, q, false, T, 90, 2, 40, pos, cs, 1);
		r->rope(r, qf, false, T, 90, 2, 40, pos, cs, 1);
		for (int i = 0; i < T * 90; i++) close_to("rope", act_at(o, q, (size_t)i), qf[i], tol);
		enum { V = 500, N = 130 };
		float *hw = normals(V * C, 0.3f), *hf = normals(N * C, 1), weight[N], lp[N], lpr[N], *dh = inoci_alloc(N * C * 4);
		float *dhr = inoci_alloc(N * C * 4);
		int32_t tgt[N];
		for (int i = 0; i < N; i++) tgt[i] = (int32_t)inoci_rng_below(&rng, V), weight[i] = 0.01f * (float)(i + 1);
		void *h = act(o, hf, N * C);
		if (b) free(act(o, hw, V * C));
		inoci_mat *mo, *mr;
		assert_int_equal(o->mat_new(o, hw, NULL, V, C, true, &mo, &err), 0);
		assert_int_equal(r->mat_new(r, hw, NULL, V, C, true, &mr, &err), 0);
		assert_int_equal(o->head_loss(o, mo, h, tgt, weight, N, lp, dh, &err), 0);
		assert_int_equal(r->head_loss(r, mr, hf, tgt, weight, N, lpr, dhr, &err), 0);
		for (int i = 0; i < N; i++) close_to("log-probability", lp[i], lpr[i], 1e-4);
		for (int i = 0; i < N * C; i++) close_to("head's gradient", dh[i], dhr[i], b ? 1e-2 : 1e-5);
		float *p1 = normals(999, 1), *p2 = inoci_alloc(999 * 4), *gr = normals(999, 1), *m1 = inoci_alloc(999 * 4),
		      *v1 = inoci_alloc(999 * 4);
		float *m2 = inoci_alloc(999 * 4), *v2 = inoci_alloc(999 * 4);
		memcpy(p2, p1, 999 * 4);
		for (int step = 1; step < 4; step++) {
			float *g1 = inoci_alloc(999 * 4), *g2 = inoci_alloc(999 * 4);
			memcpy(g1, gr, 999 * 4), memcpy(g2, gr, 999 * 4);
			o->adamw(o, p1, g1, m1, v1, 999, 0.7f, 1e-2f, 0.9f, 0.999f, 1e-8f, 0.1f, step);
			r->adamw(r, p2, g2, m2, v2, 999, 0.7f, 1e-2f, 0.9f, 0.999f, 1e-8f, 0.1f, step);
			for (int i = 0; i < 999; i++)
				if (g1[i] != 0 || g2[i] != 0) fail_msg("AdamW left a gradient");
			free(g1), free(g2);
		}
		for (int i = 0; i < 999; i++) close_to("AdamW", p1[i], p2[i], 1e-6);
		o->mat_free(mo), r->mat_free(mr);
		free(x), free(w), free(dy), free(dx), free(dxr), free(y), free(yr), free(gf), free(ds), free(sr), free(dg),
		        free(dgr), free(g), free(s);
		free(cs), free(qf), free(q), free(hw), free(hf), free(dh), free(dhr), free(h), free(p1), free(p2), free(gr),
		        free(m1), free(v1);
		free(m2), free(v2);
		o->free(o), r->free(r);
	}
}

/* ---- products with what lies around them, against the same operations one after the other: the same bits ---- */

enum { QKV, GATE_UP, DOWN };
static const struct around_case {
	int kind, T, n, k, rank; /* n: heads of 32 columns in all, or F; rank 0: no adapter */
	float dropout;
} around_cases[] = {
        {QKV, 1, 5, 64, 4, 0},         {QKV, 9, 5, 64, 16, 0},      {QKV, 150, 5, 160, 16, 0},     {QKV, 150, 6, 33, 0, 0},
        {QKV, 150, 5, 160, 3, 0.2f},   {GATE_UP, 1, 96, 64, 4, 0},  {GATE_UP, 50, 96, 64, 5, 0},   {GATE_UP, 301, 144, 80, 16, 0},
        {GATE_UP, 301, 100, 80, 8, 0}, {GATE_UP, 33, 48, 64, 0, 0}, {GATE_UP, 7, 96, 64, 4, 0.2f}, {DOWN, 1, 64, 96, 4, 0},
        {DOWN, 150, 64, 96, 16, 0},    {DOWN, 61, 70, 75, 3, 0},    {DOWN, 150, 64, 100, 0, 0},    {DOWN, 9, 64, 96, 4, 0.2f},
};

typedef struct {
	const char *what;
	void *p;
	size_t bytes;
} result;

/* Forward and backward of a case; returns how many results there are. */
static int around_run(inoci_ops *o, const struct around_case *c, bool apart, result *out)
{
	int slices = !c->rank ? 0 : c->kind == QKV ? 3 : c->kind == GATE_UP ? 2 : 1, n_out = 0;
	int T = c->T, K = c->k, N = c->kind == QKV ? 32 * c->n : c->kind == GATE_UP ? 2 * c->n : c->n;
	int last = c->kind == QKV ? 32 : N / (slices ? slices : 1), n0[] = {0, last, 2 * last}, n[] = {last, last, last};
	if (c->kind == QKV) n[0] = n0[1] = N - 64, n0[2] = N - 32;
	size_t t = (size_t)T, ab = o->act_bytes, in = t * (size_t)K, made = t * (size_t)N;
	rng = inoci_rng_new(5, "around", 0, 0); /* the same numbers for both */
	inoci_lora l;
	inoci_mat *m;
	inoc_err err;
	make_lora(&l, N, K, n0, n, (int[]){c->rank, c->rank, c->rank}, slices, c->dropout);
	float *w = normals((size_t)N * (size_t)K, 0.05f), *bias = normals((size_t)N, 1), *of = normals(in, 1),
	      *nw = normals((size_t)K, 1), *cs = normals(20 * 32, 1), *dy = normals(made, 1), *dx = inoci_alloc(in * 4),
	      *dres = normals(in, 1), *u = inoci_alloc((t * 3 * (size_t)c->rank + 1) * 4), *guf = normals(2 * in, 1);
	void *x = inoci_alloc(in * 4), *s = inoci_alloc(made * 4), *y = inoci_alloc(made * 4), *dya = act(o, dy, made),
	     *gu = act(o, guf, 2 * in), *dgu = inoci_alloc(2 * in * 4);
	int32_t *pos = inoci_alloc(t * sizeof *pos);
	for (int i = 0; i < T; i++) pos[i] = i % 20;
	assert_int_equal(o->mat_new(o, w, bias, N, K, true, &m, &err), 0);
	assert_int_equal(o->lora_pack(o, &(inoci_lora *){&l}, 1, &err), 0);
	inoci_lora *with = slices ? &l : NULL;
	inoci_around a = {0};
	if (c->kind == QKV) a.pos = pos, a.cs = cs, a.n_heads = c->n - 1, a.head_dim = 32;
	if (c->kind == DOWN)
		o->swiglu(o, x, gu, T, K);
	else
		a.norm_of = of, a.norm_w = nw, a.eps = 1e-5f;
	if (c->kind == GATE_UP) a.s = s;
	assert_int_equal((apart ? inoci_linear_apart(o, &a, m, N, K, with, x, T, y, NULL, u, &err)
	                        : o->linear_around(o, &a, m, with, x, T, y, NULL, u, &err)),
	                 0);
	void *x0 = inoci_alloc(in * 4);
	memcpy(x0, x, in * ab);
	memset(x, 0, in * ab); /* the backward makes it again */
	a.s = NULL;
	if (c->kind == DOWN)
		a.gu = gu, a.dgu = dgu;
	else
		a.dres = dres;
	bool real = c->kind != GATE_UP;
	void *d = real ? (void *)dy : dya;
	assert_int_equal((apart ? inoci_linear_bwd_apart(o, &a, m, N, K, with, d, real, x, u, T, dx, &err)
	                        : o->linear_bwd_around(o, &a, m, with, d, real, x, u, T, dx, &err)),
	                 0);
	result all[] = {{"x", x0, in * ab},
	                {"y", y, made * ab},
	                {"SwiGLU", s, c->kind == GATE_UP ? made / 2 * ab : 0},
	                {"u", u, t * (size_t)(slices * c->rank) * 4},
	                {"x again", x, in * ab},
	                {"the gradient of gate and up", dgu, c->kind == DOWN ? 2 * in * ab : 0},
	                {"the residual's gradient", dres, in * 4}};
	for (size_t i = 0; i < INOCI_COUNT(all); i++) out[n_out++] = all[i];
	for (int i = 0; i < slices; i++) {
		out[n_out++] = (result){"dA", l.s[i].da, (size_t)(c->rank * K) * 4};
		out[n_out++] = (result){"dB", l.s[i].db, (size_t)(c->rank * n[i]) * 4};
		free(l.s[i].a), free(l.s[i].b);
	}
	o->lora_unpack(&l);
	o->mat_free(m);
	free(w), free(bias), free(of), free(nw), free(cs), free(dy), free(dx), free(guf), free(dya), free(gu), free(pos);
	return n_out;
}

static void test_around(void **state)
{
	for (size_t i = 0; i < 2 * INOCI_COUNT(around_cases); i++) {
		inoci_dtype d = i % 2 ? INOCI_DTYPE_BF16 : INOCI_DTYPE_F32;
		if (i % 2 && inoci_ops_cpu_best() != INOCI_DTYPE_BF16) continue;
		inoci_ops *o = open_ops(d);
		result got[16], want[16];
		int n = around_run(o, &around_cases[i / 2], false, got);
		assert_int_equal(around_run(o, &around_cases[i / 2], true, want), n);
		for (int k = 0; k < n; k++) {
			const unsigned char *v = want[k].p;
			size_t set = 0;
			for (size_t j = 0; j < want[k].bytes; j++) set += v[j] != 0;
			if (want[k].bytes && !set) fail_msg("case %zu: %s is all zeros", i / 2, want[k].what);
			if (memcmp(got[k].p, want[k].p, want[k].bytes))
				fail_msg("%s, case %zu: %s has other bits than one operation after the other",
				         inoci_dtype_name(d), i / 2, got[k].what);
			free(got[k].p), free(want[k].p);
		}
		o->free(o);
	}
}

int main(void)
{
	inoci_fault_fill_nan();
	rng = inoci_rng_new(1, "test", 0, 0);
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_linear),         cmocka_unit_test(test_rowwise),
	                                   cmocka_unit_test(test_around),         cmocka_unit_test(test_attention),
	                                   cmocka_unit_test(test_long_attention), cmocka_unit_test(test_rows),
	                                   cmocka_unit_test(test_attention_ends)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
