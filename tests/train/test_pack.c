/* Packing as a forest: every example is whole on the way to its leaf, what is common is there once, and loss and gradients are
 * those of the examples apart. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../model/tiny.h"
#include "train/internal.h"

enum { MOST = 24 };
static inoci_examples examples;

/* n examples whose heads share what earlier ones began with, to a random depth; the loss begins at a random place behind it and
 * ends up to 5 tokens before the end, or is nowhere. */
static size_t draw(inoci_packed *v, size_t n, inoci_rng *r)
{
	inoci_examples_free(&examples);
	size_t tokens = 0;
	for (size_t i = 0; i < n; i++) {
		int32_t ids[60], loss[60];
		int len = 4 + (int)inoci_rng_below(r, 50), head = 1 + (int)inoci_rng_below(r, (uint64_t)len - 1), keep = 0;
		if (i && inoci_rng_below(r, 4)) {
			const inoci_example *old = &examples.v[inoci_rng_below(r, i)];
			keep = (int)inoci_rng_below(r, (uint64_t)(old->n < len ? old->n : len) + 1);
			memcpy(ids, old->ids, (size_t)keep * sizeof *ids);
		}
		for (int k = keep; k < len; k++) ids[k] = (int32_t)inoci_rng_below(r, 250);
		int tail = (int)inoci_rng_below(r, 6), none = !inoci_rng_below(r, 20);
		for (int k = 0; k < len; k++) loss[k] = k >= head && k < len - tail && !none;
		inoci_examples_add(&examples, ids, loss, len);
		tokens += (size_t)len;
	}
	for (size_t i = 0; i < n; i++) v[i] = (inoci_packed){&examples.v[i], i};
	return tokens;
}

/* The example that ends in leaf segment s: its ids up to the last that predicts one with loss, read through its keys. */
static bool is_at(const inoci_batch *b, int s, const inoci_example *x)
{
	const inoci_seg *g = &b->segs[s];
	int n = x->n - 1;
	while (n > 1 && !x->loss[n]) n--;
	if (g->pos0 + g->len != (n ? n : 1)) return false;
	for (int i = 0; i < n; i++)
		if (b->ids[g->key_rows[i]] != x->ids[i] || b->pos[g->key_rows[i]] != i) return false;
	return true;
}

static void test_whole(void **state)
{
	inoci_rng r = inoci_rng_new(1, "pack", 0, 0);
	inoci_packed v[MOST];
	inoci_batch b = {0};
	long saved = 0;
	for (int round = 0; round < 300; round++) {
		size_t n = 1 + inoci_rng_below(&r, MOST), tokens = draw(v, n, &r);
		inoci_pack(&b, v, n, true, 1);
		saved += (long)tokens - b.T;
		int targets = 0;
		for (size_t i = 0; i < n; i++) {
			int found = 0;
			for (int s = 0; s < b.n_segs; s++) found += is_at(&b, s, &examples.v[i]);
			if (!found) fail_msg("round %d: example %zu of %zu is nowhere whole", round, i, n);
			for (int k = 1; k < examples.v[i].n; k++) targets += examples.v[i].loss[k] != 0;
		}
		assert_int_equal(inoci_batch_n_targets(&b), targets);
		for (int s = 1; s < b.n_segs; s++)
			for (int earlier = 0; earlier + 1 < s; earlier++)
				if (b.segs[earlier].tree == b.segs[s].tree && b.segs[s - 1].tree != b.segs[s].tree)
					fail_msg("round %d: the tree of segment %d does not stand together", round, s);
	}
	if (saved < 1000) fail_msg("hardly anything was shared: %ld tokens", saved);
	inoci_batch_free(&b);
}

static double norm(const float *v, size_t n)
{
	double s = 0;
	for (size_t i = 0; i < n; i++) s += (double)v[i] * v[i];
	return sqrt(s);
}

/* ‖shared - apart‖ / ‖apart‖ of loss and gradients, in f32 */
static void test_same_gradients(void **state)
{
	inoci_rng r = inoci_rng_new(2, "pack", 0, 0);
	inoci_ops *o;
	inoci_model *m;
	inoci_adapter *a;
	inoc_err err;
	char *path = tiny_model("pack");
	inoci_lora_config lora = {.rank = 3, .alpha = 6, .targets = INOCI_ALL_PROJ};
	if (inoci_ops_cpu(INOCI_DTYPE_F32, 0, &o, &err) < 0 || inoci_model_open(path, o, true, NULL, NULL, &m, &err) < 0 ||
	    inoci_adapter_new(m, &lora, 1, &a, &err) < 0 || inoci_adapter_grads(a, &err) < 0)
		fail_msg("%s", err.msg);
	for (size_t i = 0; i < a->n_params; i++) a->params[i] += 0.05f * (float)inoci_rng_normal(&r);
	assert_int_equal(inoci_adapter_pack(a, &err), 0);
	inoci_workspace *w = inoci_workspace_new();
	float *grads[5];
	long stems = 0;
	for (int round = 0; round < 10; round++) {
		inoci_packed v[MOST], u[MOST];
		float logprob[MOST * 60];
		double loss[5] = {0};
		inoci_forest f = {0};
		draw(v, MOST, &r);
		memcpy(u, v, sizeof u);
		inoci_forest_make(&f, v, MOST);
		stems += f.stem.T > 0;
		/* apart and to the end; as one forest; as a stem and micro-batches; keeping less */
		for (int way = 0; way < 5; way++) {
			inoci_batch b = {0};
			int tokens, most = 0, rc;
			memset(a->grads, 0, a->n_params * 4);
			inoci_workspace_keep(w, way < 3 ? INOCI_KEEP_ALL : way == 3 ? INOCI_KEEP_SOME : INOCI_KEEP_LEAST);
			for (size_t i = 0; i<f.n; most = tokens> most ? tokens : most) i += inoci_forest_cut(&f, i, 70, &tokens);
			if (way >= 2 && f.stem.T) assert_int_equal(inoci_model_stem(m, a, &f.stem, most, w, &err), 0);
			for (size_t i = 0, n; i < MOST; i += n) {
				if (!way)
					for (n = 0; n < MOST; n++)
						inoci_batch_add(&b, u[n].x->ids, u[n].x->loss, u[n].x->n, 0.01f);
				else if (way == 1)
					inoci_pack(&b, v, n = MOST, true, 0.01f);
				else {
					n = inoci_forest_cut(&f, i, 70, &tokens);
					inoci_forest_batch(&f, i, n, &b, 0.01f);
				}
				rc = inoci_model_loss(m, a, &b, w, true, 0, logprob, &err);
				if (rc < 0) fail_msg("%s", err.msg);
				for (int k = 0; k < inoci_batch_n_targets(&b); k++) loss[way] -= logprob[k];
			}
			if (way >= 2 && f.stem.T) assert_int_equal(inoci_model_stem_bwd(m, a, &f.stem, w, &err), 0);
			grads[way] = inoci_alloc(a->n_params * 4);
			memcpy(grads[way], a->grads, a->n_params * 4);
			inoci_batch_free(&b);
		}
		for (int way = 3; way < 5; way++)
			if (memcmp(grads[way], grads[2], a->n_params * 4))
				fail_msg("round %d: keeping less changes gradients", round);
		for (int way = 1; way < 5; way++) {
			for (size_t i = 0; i < a->n_params; i++) grads[way][i] -= grads[0][i];
			double off = norm(grads[way], a->n_params) / norm(grads[0], a->n_params);
			if (!(off <= 1e-5)) fail_msg("round %d, way %d: gradients differ by %g of their norm", round, way, off);
			if (!(fabs(loss[way] - loss[0]) <= 1e-5 * loss[0]))
				fail_msg("round %d, way %d: loss %.9g shared, %.9g apart", round, way, loss[way], loss[0]);
			free(grads[way]);
		}
		inoci_forest_free(&f);
		free(grads[0]);
	}
	assert_true(stems > 5);
	inoci_workspace_free(w);
	inoci_adapter_free(a);
	inoci_model_free(m);
	o->free(o);
	inoci_examples_free(&examples);
	unlink(path);
	free(path);
}

int main(void)
{
	inoci_fault_fill_nan();
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole), cmocka_unit_test(test_same_gradients)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
