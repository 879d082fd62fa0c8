/* What a training pass keeps for its backward, where it lies, and how many bytes that takes.
 *
 * Each layer has a block of its own for what is kept; arrays that are not kept lie once, behind the blocks, and are written by
 * every layer's forward, and in the backward again.
 */
#include "model/internal.h"

static const char *const names[] = {"all", "some", "least"};

const char *inoci_keep_name(inoci_keep k)
{
	return names[k];
}

/* A stem's keys and values are seen by every micro-batch. */
static bool kept(inoci_keep k, int i, int stem)
{
	return k == INOCI_KEEP_ALL || (stem && i == S_QKV) || i == S_X0 || i == S_UDOWN ||
	       (k == INOCI_KEEP_SOME && i != S_GU && i != S_UGU);
}

static int ranks(const inoci_lora_config *c, int first, int last)
{
	int r = 0;
	for (int p = first; p <= last; p++) r += (c->targets >> p & 1) ? c->rank : 0;
	return r;
}

static size_t scratch_of(const inoci_hparams *h, size_t R, size_t A, int T, int stem, int n_targets)
{
	size_t t = (size_t)T, C = (size_t)h->width, F = (size_t)h->ff, Q = (size_t)(h->n_heads * h->head_dim);
	size_t ld = Q + 2 * (size_t)(h->n_kv_heads * h->head_dim), N = (size_t)n_targets;
	size_t ffn = inoci_pad(t * F * R) + inoci_pad(2 * t * F * A),
	       attn = inoci_pad(t * Q * R) + inoci_pad(((size_t)stem + t) * ld * R),
	       head = inoci_pad(N * C * A) + inoci_pad(N * C * R);
	size_t s = inoci_pad(t * C * A) + inoci_pad(t * F * A) + inoci_pad(t * C * R) + (ffn > attn ? ffn : attn);
	return head > s ? head : s;
}

size_t inoci_stem_layer_bytes(const inoci_hparams *h, size_t real_bytes, int stem)
{
	return (size_t)stem * 2 * (size_t)(h->n_kv_heads * h->head_dim) * real_bytes;
}

inoci_kept inoci_kept_plan(const inoci_hparams *h, size_t R, size_t A, const inoci_lora_config *c, int T, int stem, int n_targets,
                           inoci_keep keep)
{
	size_t C = (size_t)h->width, Q = (size_t)(h->n_heads * h->head_dim), ld = Q + 2 * (size_t)(h->n_kv_heads * h->head_dim);
	size_t rows = (size_t)stem + (size_t)T;
	inoci_kept k = {0};
	k.stem = stem;
	k.row[S_X0] = k.row[S_X1] = C * R;
	k.row[S_QKV] = ld * A;
	k.row[S_ATT] = Q * A;
	k.row[S_LSE] = (size_t)h->n_heads * 4;
	k.row[S_GU] = 2 * (size_t)h->ff * A;
	k.row[S_UQKV] = (size_t)ranks(c, INOCI_PROJ_Q, INOCI_PROJ_V) * 4;
	k.row[S_UO] = (size_t)ranks(c, INOCI_PROJ_O, INOCI_PROJ_O) * 4;
	k.row[S_UGU] = (size_t)ranks(c, INOCI_PROJ_GATE, INOCI_PROJ_UP) * 4;
	k.row[S_UDOWN] = (size_t)ranks(c, INOCI_PROJ_DOWN, INOCI_PROJ_DOWN) * 4;
	for (int i = 0; i < S_N; i++)
		if (kept(keep, i, stem)) {
			k.at[i] = k.layer;
			k.layer += inoci_pad(rows * k.row[i]);
		}
	k.saved = k.layer * (size_t)h->n_layers;
	for (int i = 0; i < S_N; i++)
		if ((k.once[i] = !kept(keep, i, stem))) {
			k.at[i] = k.saved;
			k.saved += inoci_pad(rows * k.row[i]);
		}
	k.last = k.saved;
	k.dx = k.last + inoci_pad(rows * C * R);
	k.saved = k.dx + inoci_pad(rows * C * R);
	k.scratch = scratch_of(h, R, A, T, stem, n_targets);
	size_t of_stem = scratch_of(h, R, A, stem, 0, 0);
	if (of_stem > k.scratch) k.scratch = of_stem;
	return k;
}

size_t inoci_loss_bytes(const inoci_hparams *h, size_t real_bytes, size_t act_bytes, const inoci_lora_config *c, int T, int stem,
                        int n_targets, inoci_keep keep)
{
	inoci_kept k = inoci_kept_plan(h, real_bytes, act_bytes, c, T, stem, n_targets, keep);
	return k.saved + k.scratch + (size_t)h->n_layers * inoci_stem_layer_bytes(h, real_bytes, stem) +
	       (size_t)(T > stem ? T : stem) * (size_t)h->width * 4; /* the embeddings as they are decoded */
}
