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

static bool kept(inoci_keep k, int i)
{
	return k == INOCI_KEEP_ALL || i == S_X0 || i == S_UDOWN || (k == INOCI_KEEP_SOME && i != S_GU && i != S_UGU);
}

static int ranks(const inoci_lora_config *c, int first, int last)
{
	int r = 0;
	for (int p = first; p <= last; p++) r += (c->targets >> p & 1) ? c->rank : 0;
	return r;
}

inoci_kept inoci_kept_plan(const inoci_hparams *h, size_t R, size_t A, const inoci_lora_config *c, int T, int n_targets,
                           inoci_keep keep)
{
	size_t t = (size_t)T, C = (size_t)h->width, F = (size_t)h->ff, Q = (size_t)(h->n_heads * h->head_dim);
	size_t ld = Q + 2 * (size_t)(h->n_kv_heads * h->head_dim), N = (size_t)n_targets, s[S_N];
	inoci_kept k = {0};
	s[S_X0] = s[S_X1] = t * C * R;
	s[S_QKV] = t * ld * A;
	s[S_ATT] = t * Q * A;
	s[S_LSE] = t * (size_t)h->n_heads * 4;
	s[S_GU] = t * 2 * F * A;
	s[S_UQKV] = t * (size_t)ranks(c, INOCI_PROJ_Q, INOCI_PROJ_V) * 4;
	s[S_UO] = t * (size_t)ranks(c, INOCI_PROJ_O, INOCI_PROJ_O) * 4;
	s[S_UGU] = t * (size_t)ranks(c, INOCI_PROJ_GATE, INOCI_PROJ_UP) * 4;
	s[S_UDOWN] = t * (size_t)ranks(c, INOCI_PROJ_DOWN, INOCI_PROJ_DOWN) * 4;
	for (int i = 0; i < S_N; i++)
		if (kept(keep, i)) {
			k.at[i] = k.layer;
			k.layer += inoci_pad(s[i]);
		}
	k.saved = k.layer * (size_t)h->n_layers;
	for (int i = 0; i < S_N; i++)
		if ((k.once[i] = !kept(keep, i))) {
			k.at[i] = k.saved;
			k.saved += inoci_pad(s[i]);
		}
	k.last = k.saved;
	k.dx = k.last + inoci_pad(t * C * R);
	k.saved = k.dx + inoci_pad(t * C * R);
	size_t ffn = inoci_pad(t * F * R) + inoci_pad(2 * t * F * R), attn = inoci_pad(t * Q * R) + inoci_pad(t * ld * R);
	size_t head = inoci_pad(N * C * A) + inoci_pad(N * C * R);
	k.scratch = inoci_pad(t * C * A) + inoci_pad(t * F * A) + inoci_pad(t * C * R) + (ffn > attn ? ffn : attn);
	if (head > k.scratch) k.scratch = head;
	return k;
}

size_t inoci_loss_bytes(const inoci_hparams *h, size_t real_bytes, size_t act_bytes, const inoci_lora_config *c, int T,
                        int n_targets, inoci_keep keep)
{
	inoci_kept k = inoci_kept_plan(h, real_bytes, act_bytes, c, T, n_targets, keep);
	return k.saved + k.scratch + (size_t)T * (size_t)h->width * 4; /* the embeddings as they are decoded */
}
