/* Hyper-parameters and weights out of a GGUF file. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/internal.h"

static int u32_at(const inoci_gguf *g, const char *arch, const char *key, int lo, int hi, int *out, inoc_err *err)
{
	char k[128];
	uint32_t v;
	snprintf(k, sizeof k, "%s.%s", arch, key);
	int rc = inoci_gguf_u32(g, k, &v, err);
	if (rc < 0) return rc;
	if (v < (uint32_t)lo || v > (uint32_t)hi)
		return inoci_err_set(err, INOC_E_FORMAT, "%s: %s is %u; it must be between %d and %d", inoci_gguf_path(g), k, v,
		                     lo, hi);
	*out = (int)v;
	return 0;
}

int inoci_hparams_read(const inoci_gguf *g, inoci_hparams *h, inoc_err *err)
{
	const char *s;
	size_t n;
	int rc;
	*h = (inoci_hparams){0};
	INOC_TRY(inoci_gguf_str(g, "general.architecture", &s, &n, err));
	snprintf(h->arch, sizeof h->arch, "%.*s", (int)n, s);
	if (strcmp(h->arch, "llama"))
		return inoci_err_set(err, INOC_E_UNSUPPORTED,
		                     "%s: architecture '%s' is not supported; known: llama (Llama, SmolLM, SmolLM2)",
		                     inoci_gguf_path(g), h->arch);
	INOC_TRY(u32_at(g, h->arch, "block_count", 1, 1024, &h->n_layers, err));
	INOC_TRY(u32_at(g, h->arch, "embedding_length", 1, 1 << 16, &h->width, err));
	INOC_TRY(u32_at(g, h->arch, "feed_forward_length", 1, 1 << 20, &h->ff, err));
	INOC_TRY(u32_at(g, h->arch, "attention.head_count", 1, 1024, &h->n_heads, err));
	INOC_TRY(u32_at(g, h->arch, "context_length", 1, 1 << 24, &h->context, err));
	h->n_kv_heads = h->n_heads;
	if (inoci_gguf_has(g, "llama.attention.head_count_kv"))
		INOC_TRY(u32_at(g, h->arch, "attention.head_count_kv", 1, h->n_heads, &h->n_kv_heads, err));
	h->head_dim = h->width / h->n_heads;
	if (inoci_gguf_has(g, "llama.attention.key_length"))
		INOC_TRY(u32_at(g, h->arch, "attention.key_length", 2, 1024, &h->head_dim, err));
	INOC_TRY(inoci_gguf_f32(g, "llama.attention.layer_norm_rms_epsilon", &h->norm_eps, err));
	h->rope_base = 10000;
	if (inoci_gguf_has(g, "llama.rope.freq_base")) INOC_TRY(inoci_gguf_f32(g, "llama.rope.freq_base", &h->rope_base, err));
	int rot = h->head_dim;
	if (inoci_gguf_has(g, "llama.rope.dimension_count"))
		INOC_TRY(u32_at(g, h->arch, "rope.dimension_count", 2, 1024, &rot, err));
	const inoci_tensor *e = inoci_gguf_tensor(g, "token_embd.weight");
	if (!e) return inoci_err_set(err, INOC_E_FORMAT, "%s: tensor token_embd.weight is missing", inoci_gguf_path(g));
	if (e->ne[0] != (uint64_t)h->width || e->ne[1] < 1 || e->ne[1] > 1 << 22 || e->n_dims != 2)
		return inoci_err_set(err, INOC_E_FORMAT,
		                     "%s: token_embd.weight has shape %llu x %llu; its rows must have %d values",
		                     inoci_gguf_path(g), (unsigned long long)e->ne[0], (unsigned long long)e->ne[1], h->width);
	h->vocab = (int)e->ne[1];
	h->tied = !inoci_gguf_tensor(g, "output.weight");
	if (h->n_heads % h->n_kv_heads || h->head_dim % 2 || rot != h->head_dim || !(h->norm_eps > 0) || !(h->rope_base > 1) ||
	    h->width % h->n_heads || h->head_dim % 16 || h->head_dim > 256)
		return inoci_err_set(
		        err, INOC_E_UNSUPPORTED,
		        "%s: %d heads over %d key/value heads of %d (rotated: %d), width %d: not a shape this version computes",
		        inoci_gguf_path(g), h->n_heads, h->n_kv_heads, h->head_dim, rot, h->width);
	if (inoci_gguf_has(g, "llama.rope.scaling.type")) {
		INOC_TRY(inoci_gguf_str(g, "llama.rope.scaling.type", &s, &n, err));
		if (n != 4 || memcmp(s, "none", 4))
			return inoci_err_set(err, INOC_E_UNSUPPORTED, "%s: RoPE scaling '%.*s' is not supported",
			                     inoci_gguf_path(g), (int)n, s);
	}
	if (inoci_gguf_tensor(g, "rope_freqs.weight"))
		return inoci_err_set(err, INOC_E_UNSUPPORTED,
		                     "%s: per-frequency RoPE scaling (rope_freqs.weight) is not supported", inoci_gguf_path(g));
	rc = 0;
out:
	return rc;
}

static double layer_params(const inoci_hparams *h)
{
	double q = h->n_heads * h->head_dim, kv = h->n_kv_heads * h->head_dim;
	return (double)h->width * (2 * q + 2 * kv) + 3.0 * h->width * h->ff + 2.0 * h->width;
}

double inoci_hparams_n_params(const inoci_hparams *h)
{
	return h->n_layers * layer_params(h) + (double)h->vocab * h->width * (h->tied ? 1 : 2) + h->width;
}

inoci_memory inoci_model_memory(const inoci_hparams *h, inoci_dtype dtype)
{
	double act = dtype == INOCI_DTYPE_BF16 || dtype == INOCI_DTYPE_Q ? 2 : 4, q = h->n_heads * h->head_dim,
	       kv = h->n_kv_heads * h->head_dim;
	double w = (h->n_layers * layer_params(h) + (double)h->vocab * h->width) * act;
	double per_layer = 8.0 * h->width + act * (q + 2 * kv + q + 2.0 * h->ff) + 4.0 * h->n_heads;
	double scratch = 4.0 * (3.0 * h->width + 3.0 * h->ff + 2 * q + 2 * kv) + act * (h->width + h->ff);
	double knsum =
	        (h->width + q) * 2 + (h->width + kv) * 2 + 3.0 * (h->width + h->ff); /* inputs + outputs of the projections */
	return (inoci_memory){
	        .weights_infer = w,
	        .weights_train = 2 * w,
	        .train_per_token = h->n_layers * per_layer + scratch,
	        .kv_per_token = h->n_layers * 2 * kv * act,
	        .adapter_per_rank = h->n_layers * knsum * 4 * 6, /* masters, gradients, two moments, working copies */
	};
}

/* Tensor `name`, checked. */
static int find(const inoci_gguf *g, const char *name, int rows, int cols, const inoci_tensor **out, inoc_err *err)
{
	const inoci_tensor *t = *out = inoci_gguf_tensor(g, name);
	if (!t) return inoci_err_set(err, INOC_E_FORMAT, "%s: tensor %s is missing", inoci_gguf_path(g), name);
	if (t->ne[0] != (uint64_t)cols || t->ne[1] != (uint64_t)rows || t->ne[2] != 1 || t->ne[3] != 1)
		return inoci_err_set(err, INOC_E_FORMAT, "%s: tensor %s has shape %llu x %llu; expected %d x %d",
		                     inoci_gguf_path(g), name, (unsigned long long)t->ne[0], (unsigned long long)t->ne[1], cols,
		                     rows);
	if (!inoci_qtype_name(t->type))
		return inoci_err_set(err, INOC_E_UNSUPPORTED,
		                     "%s: tensor %s has type %d, which this version does not decode; known: F32 F16 BF16 Q8_0 "
		                     "Q4_0 Q4_1 Q5_0 Q5_1",
		                     inoci_gguf_path(g), name, t->type);
	return 0;
}

/* The same decoded into dst (rows, cols). */
static int decode(const inoci_gguf *g, const char *name, int rows, int cols, float *dst, inoc_err *err)
{
	const inoci_tensor *t;
	int rc = find(g, name, rows, cols, &t, err);
	if (rc == 0) inoci_dequant(t->type, t->data, dst, (size_t)rows * (size_t)cols);
	return rc;
}

/* GGUF's Llama rows of q and k are interleaved (pairs beside each other); ours are half-split. Rows of n bytes, values or blocks.
 */
static void unpermute(char *w, char *tmp, int heads, int D, size_t n)
{
	memcpy(tmp, w, (size_t)(heads * D) * n);
	for (int h = 0; h < heads; h++)
		for (int j = 0; j < D / 2; j++)
			for (int p = 0; p < 2; p++)
				memcpy(w + (size_t)(h * D + p * D / 2 + j) * n, tmp + (size_t)(h * D + 2 * j + p) * n, n);
}

/* One tensor among those that make a matrix. */
struct part {
	const char *name;
	int rows, heads; /* heads: of q and k, whose rows are put in order; else 0 */
};

struct room {
	char *buf, *tmp; /* of the largest matrix; of q */
};

/* The matrix of the parts' rows: their values, or, where the operations keep blocks and all of them are in some, these. */
static int read_matrix(inoci_model *m, const struct part *parts, int n_parts, int cols, const struct room *r, inoci_mat **out,
                       inoc_err *err)
{
	inoci_ops *o = m->ops;
	const inoci_tensor *t[3];
	inoci_block_rows rows[3];
	bool keep = o->mat_new_blocks != NULL;
	char *at = r->buf;
	int rc, n = 0;
	for (int i = 0; i < n_parts; n += parts[i++].rows) {
		INOC_TRY(find(m->gguf, parts[i].name, parts[i].rows, cols, &t[i], err));
		keep = keep && inoci_qtype_block(t[i]->type) > 1;
	}
	for (int i = 0; i < n_parts; i++) {
		size_t row = keep ? (size_t)cols / inoci_qtype_block(t[i]->type) * inoci_qtype_block_bytes(t[i]->type)
		                  : (size_t)cols * 4;
		rows[i] = (inoci_block_rows){t[i]->type, parts[i].rows, keep && !parts[i].heads ? (const char *)t[i]->data : at};
		if (!keep)
			inoci_dequant(t[i]->type, t[i]->data, (float *)at, (size_t)parts[i].rows * (size_t)cols);
		else if (parts[i].heads)
			memcpy(at, t[i]->data, (size_t)parts[i].rows * row);
		if (parts[i].heads) unpermute(at, r->tmp, parts[i].heads, m->hp.head_dim, row);
		at += (size_t)parts[i].rows * row;
	}
	if (keep) return o->mat_new_blocks(o, rows, n_parts, NULL, cols, out, err);
	return o->mat_new(o, (const float *)r->buf, NULL, n, cols, m->can_train, out, err);
out:
	return rc;
}

/* Bytes of the weights where blocks are kept. If all matrices are in blocks, no more than q and k is ever copied. */
static double kept_bytes(const inoci_gguf *g, size_t *most, size_t qkv)
{
	double sum = 0;
	bool all = true;
	for (size_t i = 0; i < inoci_gguf_n_tensors(g); i++) {
		const inoci_tensor *t = inoci_gguf_tensor_at(g, i);
		bool blocks = inoci_qtype_block(t->type) > 1;
		if (t->n_dims < 2) continue;
		sum += blocks ? (double)t->bytes : 2.0 * (double)t->ne[0] * (double)t->ne[1];
		all = all && blocks;
	}
	if (all) *most = qkv;
	return sum;
}

static int open_layer(inoci_model *m, int l, const struct room *r, inoc_err *err)
{
	const inoci_hparams *h = &m->hp;
	const inoci_gguf *g = m->gguf;
	inoci_layer *L = &m->layers[l];
	int C = h->width, F = h->ff, D = h->head_dim, Q = h->n_heads * D, KV = h->n_kv_heads * D, rc;
	enum { NORM1, NORM2, Q_, K_, V_, O_, GATE, UP, DOWN };
	static const char *const names[] = {"attn_norm",   "ffn_norm", "attn_q", "attn_k",  "attn_v",
	                                    "attn_output", "ffn_gate", "ffn_up", "ffn_down"};
	char n[INOCI_COUNT(names)][64];
	for (size_t i = 0; i < INOCI_COUNT(names); i++) snprintf(n[i], sizeof n[i], "blk.%d.%s.weight", l, names[i]);
	const struct part qkv[] = {{n[Q_], Q, h->n_heads}, {n[K_], KV, h->n_kv_heads}, {n[V_], KV, 0}}, o = {n[O_], C, 0},
	                  gu[] = {{n[GATE], F, 0}, {n[UP], F, 0}}, down = {n[DOWN], C, 0};
	L->attn_norm = inoci_alloc((size_t)C * 4);
	L->ffn_norm = inoci_alloc((size_t)C * 4);
	INOC_TRY(decode(g, n[NORM1], 1, C, L->attn_norm, err));
	INOC_TRY(decode(g, n[NORM2], 1, C, L->ffn_norm, err));
	INOC_TRY(read_matrix(m, qkv, 3, C, r, &L->qkv, err));
	INOC_TRY(read_matrix(m, &o, 1, Q, r, &L->o, err));
	INOC_TRY(read_matrix(m, gu, 2, C, r, &L->gu, err));
	INOC_TRY(read_matrix(m, &down, 1, F, r, &L->down, err));
	rc = 0;
out:
	return rc;
}

int inoci_model_open(const char *path, inoci_ops *ops, bool train, const char *template_name, const inoci_progress *p,
                     inoci_model **out, inoc_err *err)
{
	inoci_model *m = inoci_alloc(sizeof *m);
	struct room r = {0};
	int rc;
	*out = NULL;
	if (train && ops->dtype == INOCI_DTYPE_Q) {
		rc = inoci_err_set(err, INOC_E_USAGE, "dtype q is for sampling and scoring; train with auto, bf16 or f32");
		goto out;
	}
	m->ops = ops;
	m->can_train = train;
	m->path = inoci_strdup(path);
	INOC_TRY(inoci_gguf_open(path, &m->gguf, err));
	INOC_TRY(inoci_hparams_read(m->gguf, &m->hp, err));
	INOC_TRY(inoci_hash_file(path, &m->hash, err));
	INOC_TRY(inoci_tok_open(m->gguf, &m->tok, err));
	if (inoci_tok_vocab_size(m->tok) > m->hp.vocab) {
		rc = inoci_err_set(err, INOC_E_FORMAT, "%s: %d tokens but %d embedding rows", path, inoci_tok_vocab_size(m->tok),
		                   m->hp.vocab);
		goto out;
	}
	/* a model without a known template still serves what needs none */
	if (inoci_template_open(m->gguf, m->tok, template_name, &m->tmpl, &m->tmpl_err) < 0) {
		if (template_name) {
			*(err ? err : &m->tmpl_err) = m->tmpl_err;
			rc = m->tmpl_err.code;
			goto out;
		}
		m->tmpl = NULL;
	}
	const inoci_hparams *h = &m->hp;
	size_t Q = (size_t)(h->n_heads * h->head_dim), KV = (size_t)(h->n_kv_heads * h->head_dim), C = (size_t)h->width;
	size_t most = C * 2 * (size_t)h->ff; /* of the matrices that are decoded at once */
	if (C * (Q + 2 * KV) > most) most = C * (Q + 2 * KV);
	if (C * (size_t)h->vocab > most) most = C * (size_t)h->vocab;
	inoci_memory mem = inoci_model_memory(h, ops->dtype);
	double weights = ops->mat_new_blocks ? kept_bytes(m->gguf, &most, C * (Q + 2 * KV))
	                 : train             ? mem.weights_train
	                                     : mem.weights_infer;
	double need = weights + 4.0 * (double)(most + Q * C), have = (double)inoci_mem_available_bytes();
	if (need > have) {
		rc = inoci_err_set(err, INOC_E_MEMORY,
		                   "%s: its weights need %.0f MiB in memory while they are read, %.0f MiB are available; use a "
		                   "smaller model",
		                   path, need / 1048576, have / 1048576);
		goto out;
	}
	if (!(r.buf = inoci_big_room(most * 4, "decoding weights", err)) ||
	    !(r.tmp = inoci_big_room(Q * C * 4, "decoding weights", err))) {
		rc = INOC_E_MEMORY;
		goto out;
	}
	m->layers = inoci_alloc((size_t)h->n_layers * sizeof *m->layers);
	for (int l = 0; l < h->n_layers; l++) {
		INOC_TRY(open_layer(m, l, &r, err));
		inoci_tick(p, "load", l + 1, h->n_layers + 1, "layers", path);
	}
	m->final_norm = inoci_alloc(C * 4);
	INOC_TRY(decode(m->gguf, "output_norm.weight", 1, h->width, m->final_norm, err));
	m->embd = inoci_gguf_tensor(m->gguf, "token_embd.weight");
	const struct part head = {h->tied ? "token_embd.weight" : "output.weight", h->vocab, 0};
	INOC_TRY(read_matrix(m, &head, 1, h->width, &r, &m->head, err));
	m->rope_cs = inoci_big_room((size_t)h->context * (size_t)h->head_dim * 4, "RoPE tables", err);
	if (!m->rope_cs) {
		rc = INOC_E_MEMORY;
		goto out;
	}
	for (int i = 0; i < h->head_dim / 2; i++) {
		double f = pow(h->rope_base, -2.0 * i / h->head_dim);
		for (int t = 0; t < h->context; t++) {
			float *cs = m->rope_cs + (size_t)t * (size_t)h->head_dim;
			cs[i] = (float)cos(t * f);
			cs[i + h->head_dim / 2] = (float)sin(t * f);
		}
	}
	inoci_tick(p, "load", h->n_layers + 1, h->n_layers + 1, "layers", path);
	rc = 0;
	*out = m;
out:
	free(r.buf);
	free(r.tmp);
	if (rc < 0) inoci_model_free(m);
	return rc;
}

void inoci_model_free(inoci_model *m)
{
	if (!m) return;
	for (int l = 0; m->layers && l < m->hp.n_layers; l++) {
		inoci_layer *L = &m->layers[l];
		inoci_mat *w[] = {L->qkv, L->o, L->gu, L->down};
		for (size_t i = 0; i < INOCI_COUNT(w); i++)
			if (w[i]) m->ops->mat_free(w[i]);
		free(L->attn_norm);
		free(L->ffn_norm);
	}
	if (m->head) m->ops->mat_free(m->head);
	free(m->layers);
	free(m->final_norm);
	free(m->rope_cs);
	inoci_template_free(m->tmpl);
	inoci_tok_free(m->tok);
	inoci_gguf_free(m->gguf);
	free(m->path);
	free(m);
}

int inoci_model_template(const inoci_model *m, const inoci_template **out, inoc_err *err)
{
	*out = m->tmpl;
	if (m->tmpl) return 0;
	if (err) *err = m->tmpl_err;
	return m->tmpl_err.code;
}
