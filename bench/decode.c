/* Decoding alone: seconds of a step (one token of each of N sequences, greedy, prefill not counted) in several dtypes, which take
 * turns in one process. OMP_WAIT_POLICY and GOMP_SPINCOUNT as `inoc` sets them, unless they are set.
 *
 *   bench_decode MODEL DTYPE[,DTYPE...] N[,N...] [ROUNDS [THREADS]]
 *
 * Prints one JSON line: {"threads", "rows": [{"sequences", "dtype", "step_ms", "best_ms", "tokens_per_s"}]}: medians and the
 * smallest of ROUNDS times 16 steps.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/model.h"

enum { PROMPT = 24, STEPS = 16, MOST = 4 };

typedef struct {
	char *dtype;
	inoci_ops *ops;
	inoci_model *m;
	inoci_workspace *w;
	inoci_kv *kv;
	inoci_batch b;
	int32_t *rows, *kv_rows, *keys; /* keys (n, room) */
	float *logits;
	double *seconds;
	int n_seconds, at; /* position of the next token */
} side;

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

/* `len` tokens of each of n sequences; the next tokens into ids. */
static int advance(side *s, int n, int room, int len, int32_t *ids, inoc_err *err)
{
	inoci_batch *b = &s->b;
	size_t V = (size_t)s->m->hp.vocab;
	b->T = b->n_segs = 0;
	for (int i = 0; i < n; i++) {
		b->segs[b->n_segs++] =
		        (inoci_seg){.start = b->T, .len = len, .pos0 = s->at, .key_rows = s->keys + i * room, .tree = i};
		for (int t = 0; t < len; t++, b->T++) {
			b->ids[b->T] = len > 1 ? 100 + (t * 37 + i * 101) % 40000 : ids[i];
			b->pos[b->T] = s->at + t;
			s->kv_rows[b->T] = i * room + s->at + t;
		}
		s->rows[i] = b->T - 1;
	}
	s->at += len;
	int rc = inoci_model_infer(s->m, NULL, b, s->kv, s->kv_rows, s->w, s->rows, n, s->logits, err);
	for (int i = 0; i < n; i++) {
		const float *z = s->logits + (size_t)i * V;
		ids[i] = 0;
		for (size_t v = 1; v < V; v++)
			if (z[v] > z[ids[i]]) ids[i] = (int32_t)v;
	}
	return rc;
}

static void room_free(side *s)
{
	inoci_kv_free(s->kv);
	inoci_batch_free(&s->b);
	free(s->rows), free(s->kv_rows), free(s->keys), free(s->logits), free(s->seconds);
	s->kv = NULL;
	s->rows = s->kv_rows = s->keys = NULL;
	s->logits = NULL;
	s->seconds = NULL;
	s->n_seconds = s->at = 0;
}

static int measure(side *sides, int n_sides, int n, int rounds, bool first, inoc_err *err)
{
	int rc, room = PROMPT + rounds * STEPS;
	int32_t *ids = inoci_alloc((size_t)(n * n_sides) * sizeof *ids);
	for (side *s = sides; s < sides + n_sides; s++) {
		size_t T = (size_t)n * PROMPT;
		INOC_TRY(inoci_kv_new(s->m, n * room, &s->kv, err));
		s->b.ids = inoci_alloc(T * sizeof(int32_t));
		s->b.pos = inoci_alloc(T * sizeof(int32_t));
		s->b.segs = inoci_alloc((size_t)n * sizeof *s->b.segs);
		s->kv_rows = inoci_alloc(T * sizeof(int32_t));
		s->rows = inoci_alloc((size_t)n * sizeof(int32_t));
		s->keys = inoci_alloc((size_t)(n * room) * sizeof(int32_t));
		for (int i = 0; i < n * room; i++) s->keys[i] = i;
		s->logits = inoci_alloc((size_t)n * (size_t)s->m->hp.vocab * sizeof(float));
		s->seconds = inoci_alloc((size_t)(rounds * STEPS) * sizeof(double));
		INOC_TRY(advance(s, n, room, PROMPT, ids + (s - sides) * n, err));
	}
	for (int r = 0; r < rounds; r++)
		for (side *s = sides; s < sides + n_sides; s++)
			for (int i = 0; i < STEPS; i++) {
				double start = inoci_now_s();
				INOC_TRY(advance(s, n, room, 1, ids + (s - sides) * n, err));
				s->seconds[s->n_seconds++] = inoci_now_s() - start;
			}
	for (side *s = sides; s < sides + n_sides; s++) {
		qsort(s->seconds, (size_t)s->n_seconds, sizeof *s->seconds, by_value);
		double mid = s->seconds[s->n_seconds / 2];
		printf("%s{\"sequences\": %d, \"dtype\": \"%s\", \"step_ms\": %.3f, \"best_ms\": %.3f, \"tokens_per_s\": %.0f}",
		       first && s == sides ? "" : ", ", n, s->dtype, mid * 1e3, s->seconds[0] * 1e3, n / mid);
	}
out:
	for (side *s = sides; s < sides + n_sides; s++) room_free(s);
	free(ids);
	return rc < 0 ? rc : 0;
}

int main(int argc, char **argv)
{
	if (!getenv("OMP_WAIT_POLICY")) {
		setenv("OMP_WAIT_POLICY", "passive", 1);
		setenv("GOMP_SPINCOUNT", "1000", 0);
		execv("/proc/self/exe", argv);
	}
	if (argc < 4) {
		fprintf(stderr, "usage: bench_decode MODEL DTYPE[,DTYPE...] N[,N...] [ROUNDS [THREADS]]\n");
		return 2;
	}
	side sides[MOST] = {0};
	inoc_err err = {0};
	int rc = 0, n_sides = 0, rounds = argc > 4 ? atoi(argv[4]) : 8, threads = argc > 5 ? atoi(argv[5]) : 0;
	for (char *d = strtok(argv[2], ","); d && n_sides < MOST; d = strtok(NULL, ",")) {
		side *s = &sides[n_sides++];
		inoci_dtype dtype;
		s->dtype = d;
		INOC_TRY(inoci_dtype_parse(d, &dtype, &err));
		INOC_TRY(inoci_ops_cpu(dtype, threads, &s->ops, &err));
		INOC_TRY(inoci_model_open(argv[1], s->ops, false, NULL, NULL, &s->m, &err));
		s->w = inoci_workspace_new();
	}
	printf("{\"threads\": %d, \"rows\": [", sides[0].ops->n_threads);
	for (char *n = strtok(argv[3], ","), *first = n; n; n = strtok(NULL, ","))
		INOC_TRY(measure(sides, n_sides, atoi(n), rounds > 0 ? rounds : 8, n == first, &err));
	printf("]}\n");
out:
	for (side *s = sides; s < sides + n_sides; s++) {
		inoci_workspace_free(s->w);
		inoci_model_free(s->m);
		if (s->ops) s->ops->free(s->ops);
	}
	if (rc < 0) fprintf(stderr, "bench_decode: %s\n", err.msg);
	return rc < 0;
}
