/* What a precision costs: greedy answers and log-probabilities of bf16 and q against f32. Prints a Markdown table.
 *
 *   precision MODEL PROMPTS.jsonl [MAX_TOKENS [ADAPTER_DIR]]
 *
 * Every dtype answers every prompt greedily (no system turn, 64 tokens at most unless told). Then each reads f32's answers, token
 * by token: its log-probability of f32's token, whether that is its most probable one too, and the Kullback-Leibler divergence of
 * its distribution from f32's.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/data.h"
#include "sample/sample.h"

enum { SIDES = 3 };
typedef struct {
	inoci_ops *ops;
	inoci_model *m;
	inoci_adapter *a;
	inoci_workspace *w;
	int32_t **ids; /* answers, by prompt */
	int *n_ids;
	double same, answers, prefix, sum, distance, divergence; /* sums over tokens; answers, prefix: over prompts */
} side;

static int on_answer(void *ctx, const inoci_sampled *s, inoc_err *err)
{
	side *x = ctx;
	(void)err;
	x->n_ids[s->prompt] = s->n_ids;
	x->ids[s->prompt] = inoci_alloc((size_t)s->n_ids * sizeof(int32_t));
	memcpy(x->ids[s->prompt], s->ids, (size_t)s->n_ids * sizeof(int32_t));
	return 0;
}

static double log_sum_exp(const float *z, int n)
{
	double max = z[0], sum = 0;
	for (int i = 1; i < n; i++) max = z[i] > max ? z[i] : max;
	for (int i = 0; i < n; i++) sum += exp((double)z[i] - max);
	return max + log(sum);
}

/* One row of logits: f32's, this side's; f32's next token. */
static void compare_row(side *x, const float *f, const float *z, int V, int32_t token)
{
	double lf = log_sum_exp(f, V), lz = log_sum_exp(z, V), kl = 0;
	int best = 0;
	for (int i = 0; i < V; i++) {
		double p = f[i] - lf;
		if (z[i] > z[best]) best = i;
		kl += exp(p) * (p - (z[i] - lz));
	}
	double d = (z[token] - lz) - (f[token] - lf);
	x->same += best == token;
	x->sum += d;
	x->distance += fabs(d);
	x->divergence += kl;
}

/* All sides over prompt p and f32's answer to it. Returns the answer's tokens. */
static int compare_prompt(side *sides, const inoci_prompt *prompt, size_t p, inoc_err *err)
{
	int n = sides[0].n_ids[p], T = prompt->n + n - 1, V = sides[0].m->hp.vocab, rc = 0;
	int32_t *ids = inoci_alloc((size_t)T * sizeof *ids), *rows = inoci_alloc((size_t)n * sizeof *rows);
	float *z[SIDES] = {0};
	inoci_batch b = {0};
	memcpy(ids, prompt->ids, (size_t)prompt->n * sizeof *ids);
	memcpy(ids + prompt->n, sides[0].ids[p], (size_t)(n - 1) * sizeof *ids);
	for (int i = 0; i < n; i++) rows[i] = prompt->n - 1 + i;
	for (int s = 0; s < SIDES; s++) {
		z[s] = inoci_alloc((size_t)n * (size_t)V * sizeof(float));
		inoci_batch_reset(&b);
		inoci_batch_add(&b, ids, NULL, T, 0);
		INOC_TRY(inoci_model_logits(sides[s].m, sides[s].a, &b, sides[s].w, rows, n, z[s], err));
		for (int i = 0; i < n; i++)
			compare_row(&sides[s], z[0] + (size_t)i * (size_t)V, z[s] + (size_t)i * (size_t)V, V, sides[0].ids[p][i]);
		int same = 0, most = n < sides[s].n_ids[p] ? n : sides[s].n_ids[p];
		while (same < most && sides[s].ids[p][same] == sides[0].ids[p][same]) same++;
		sides[s].answers += same == n && n == sides[s].n_ids[p];
		sides[s].prefix += (double)same / n;
	}
out:
	for (int s = 0; s < SIDES; s++) free(z[s]);
	inoci_batch_free(&b);
	free(ids), free(rows);
	return rc < 0 ? rc : n;
}

int main(int argc, char **argv)
{
	static const inoci_dtype dtypes[SIDES] = {INOCI_DTYPE_F32, INOCI_DTYPE_BF16, INOCI_DTYPE_Q};
	if (argc < 3 || argc > 5) {
		fprintf(stderr, "usage: precision MODEL PROMPTS.jsonl [MAX_TOKENS [ADAPTER_DIR]]\n");
		return 2;
	}
	side sides[SIDES] = {0};
	inoci_dataset d = {0};
	inoci_rendered *rendered = NULL;
	inoci_prompt *prompts = NULL;
	inoc_err err = {0};
	inoci_sample_settings settings = inoci_sample_defaults();
	double tokens = 0;
	int rc;
	settings.temperature = 0;
	settings.max_tokens = argc > 3 ? atoi(argv[3]) : 64;
	INOC_TRY(inoci_dataset_read(argv[2], INOCI_NEED_USER_LAST, &d, &err));
	rendered = inoci_alloc(d.n * sizeof *rendered);
	prompts = inoci_alloc(d.n * sizeof *prompts);
	for (side *x = sides; x < sides + SIDES; x++) {
		const inoci_template *t;
		INOC_TRY(inoci_ops_cpu(dtypes[x - sides], 0, &x->ops, &err));
		INOC_TRY(inoci_model_open(argv[1], x->ops, false, NULL, NULL, &x->m, &err));
		INOC_TRY(inoci_model_template(x->m, &t, &err));
		if (argc > 4) INOC_TRY(inoci_adapter_load(x->m, argv[4], &x->a, &err));
		x->w = inoci_workspace_new();
		x->ids = inoci_alloc(d.n * sizeof *x->ids);
		x->n_ids = inoci_alloc(d.n * sizeof *x->n_ids);
		for (size_t i = 0; i < d.n && x == sides; i++) {
			INOC_TRY(inoci_render(t, d.v[i].msgs, d.v[i].n_msgs, inoci_sys_parse("none"), true, &rendered[i], &err));
			prompts[i] = (inoci_prompt){.ids = rendered[i].ids.v, .n = (int)rendered[i].ids.n};
		}
		INOC_TRY(inoci_sample(x->m, x->a, prompts, d.n, &settings, on_answer, NULL, x, NULL, &err));
	}
	for (size_t i = 0; i < d.n; i++) {
		INOC_TRY(compare_prompt(sides, &prompts[i], i, &err));
		tokens += rc;
	}
	printf("%zu prompts, %.0f tokens of f32's greedy answers\n\n", d.n, tokens);
	printf("| dtype | same token | same answer | same until (share of the answer) | log-probability | its distance | "
	       "divergence "
	       "|\n|---|---:|---:|---:|---:|---:|---:|\n");
	for (side *x = sides + 1; x < sides + SIDES; x++)
		printf("| %s | %.2f %% | %.0f of %zu | %.0f %% | %+.5f | %.5f | %.6f |\n", inoci_dtype_name(x->ops->dtype),
		       100 * x->same / tokens, x->answers, d.n, 100 * x->prefix / (double)d.n, x->sum / tokens,
		       x->distance / tokens, x->divergence / tokens);
	rc = 0;
out:
	for (side *x = sides; x < sides + SIDES; x++) {
		for (size_t i = 0; x->ids && i < d.n; i++) free(x->ids[i]);
		free(x->ids), free(x->n_ids);
		inoci_workspace_free(x->w);
		inoci_adapter_free(x->a);
		inoci_model_free(x->m);
		if (x->ops) x->ops->free(x->ops);
	}
	for (size_t i = 0; rendered && i < d.n; i++) inoci_rendered_free(&rendered[i]);
	free(rendered), free(prompts);
	inoci_dataset_free(&d);
	if (rc < 0) fprintf(stderr, "precision: %s\n", err.msg);
	return rc < 0;
}
