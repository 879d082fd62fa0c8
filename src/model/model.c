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
	size_t act = dtype == INOCI_DTYPE_BF16 || dtype == INOCI_DTYPE_Q ? 2 : 4;
	double q = h->n_heads * h->head_dim, kv = h->n_kv_heads * h->head_dim, F = h->ff, C = h->width;
	double w = (h->n_layers * layer_params(h) + (double)h->vocab * C) * (double)act;
	double knsum = (C + q) * 2 + (C + kv) * 2 + 3.0 * (C + F); /* inputs + outputs of the projections */
	inoci_memory m = {
	        .program = 48e6, /* libraries, tokenizer, tables */
	        .weights_infer = w,
	        .weights_train = 2 * w,
	        .kv_per_token = h->n_layers * 2 * kv * (double)act,
	        .adapter_per_rank = h->n_layers * knsum * 4 * 5.5, /* masters, gradients, two moments, working copies */
	};
	inoci_lora_config c = {.rank = 16, .targets = INOCI_ALL_PROJ};
	const int T = 1024, rows = 64;
	for (int k = 0; k < INOCI_N_KEEP; k++)
		m.train_per_token[k] =
		        ((double)inoci_loss_bytes(h, 4, act, &c, T, 0, T, (inoci_keep)k)) / T + 2 * F * (double)act;
	m.head = rows * (double)h->vocab * (4 + (double)act);
	return m;
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
	char name[64];
	int rows, heads; /* heads: of q and k, whose rows are put in order; else 0 */
};

/* The matrices in the order in which they are multiplied: four a layer, then the head. */
enum { MAT_QKV, MAT_O, MAT_GU, MAT_DOWN, LAYER_MATS };

static inoci_mat_dims dims_of(const inoci_hparams *h, int i)
{
	int C = h->width, F = h->ff, Q = h->n_heads * h->head_dim, KV = h->n_kv_heads * h->head_dim;
	const inoci_mat_dims d[] = {{Q + 2 * KV, C}, {C, Q}, {2 * F, C}, {C, F}};
	return i < LAYER_MATS * h->n_layers ? d[i % LAYER_MATS] : (inoci_mat_dims){h->vocab, C};
}

static inoci_mat **place_of(inoci_model *m, int i)
{
	if (i == LAYER_MATS * m->hp.n_layers) return &m->head;
	inoci_layer *L = &m->layers[i / LAYER_MATS];
	inoci_mat **v[] = {&L->qkv, &L->o, &L->gu, &L->down};
	return v[i % LAYER_MATS];
}

/* The names of a layer's tensors. */
static void name_of(char *name, size_t size, int layer, const char *what)
{
	snprintf(name, size, "blk.%d.%s.weight", layer, what);
}

static int parts_of(const inoci_model *m, int i, struct part p[3])
{
	const inoci_hparams *h = &m->hp;
	static const char *const names[LAYER_MATS][3] = {
	        {"attn_q", "attn_k", "attn_v"}, {"attn_output"}, {"ffn_gate", "ffn_up"}, {"ffn_down"}};
	int C = h->width, F = h->ff, Q = h->n_heads * h->head_dim, KV = h->n_kv_heads * h->head_dim, n = 0;
	const int rows[LAYER_MATS][3] = {{Q, KV, KV}, {C}, {F, F}, {C}};
	if (i == LAYER_MATS * h->n_layers) {
		p[0] = (struct part){.rows = h->vocab};
		snprintf(p[0].name, sizeof p[0].name, "%s", h->tied ? "token_embd.weight" : "output.weight");
		return 1;
	}
	for (; n < 3 && names[i % LAYER_MATS][n]; n++) {
		p[n] = (struct part){.rows = rows[i % LAYER_MATS][n]};
		name_of(p[n].name, sizeof p[n].name, i / LAYER_MATS, names[i % LAYER_MATS][n]);
	}
	if (i % LAYER_MATS == MAT_QKV) p[0].heads = h->n_heads, p[1].heads = h->n_kv_heads;
	return n;
}

/* Matrix i's rows into buf: its values, or, where the operations keep blocks and all its tensors are in some, these, and it is
 * made of them. tmp: room for the rows of q. */
static int decode_mat(inoci_model *m, int i, inoci_mat_dims d, char *buf, char *tmp, bool *made, inoc_err *err)
{
	inoci_ops *o = m->ops;
	const inoci_tensor *t[3];
	inoci_block_rows rows[3];
	struct part p[3];
	bool keep = o->mat_new_blocks != NULL;
	char *at = buf;
	int rc, n = parts_of(m, i, p);
	for (int j = 0; j < n; j++) {
		INOC_TRY(find(m->gguf, p[j].name, p[j].rows, d.k, &t[j], err));
		keep = keep && inoci_qtype_block(t[j]->type) > 1;
	}
	for (int j = 0; j < n; j++) {
		size_t row = keep ? (size_t)d.k / inoci_qtype_block(t[j]->type) * inoci_qtype_block_bytes(t[j]->type)
		                  : (size_t)d.k * 4;
		rows[j] = (inoci_block_rows){t[j]->type, p[j].rows, keep && !p[j].heads ? (const char *)t[j]->data : at};
		if (!keep)
			inoci_dequant(t[j]->type, t[j]->data, (float *)at, (size_t)p[j].rows * (size_t)d.k);
		else if (p[j].heads)
			memcpy(at, t[j]->data, (size_t)p[j].rows * row);
		if (p[j].heads) unpermute(at, tmp, p[j].heads, m->hp.head_dim, row);
		at += (size_t)p[j].rows * row;
	}
	*made = keep;
	return keep ? o->mat_new_blocks(o, rows, n, NULL, d.k, place_of(m, i), err) : 0;
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

static int open_norms(inoci_model *m, inoc_err *err)
{
	int C = m->hp.width, rc;
	char n[64];
	for (int l = 0; l < m->hp.n_layers; l++) {
		inoci_layer *L = &m->layers[l];
		L->attn_norm = inoci_alloc((size_t)C * 4);
		L->ffn_norm = inoci_alloc((size_t)C * 4);
		name_of(n, sizeof n, l, "attn_norm");
		INOC_TRY(decode(m->gguf, n, 1, C, L->attn_norm, err));
		name_of(n, sizeof n, l, "ffn_norm");
		INOC_TRY(decode(m->gguf, n, 1, C, L->ffn_norm, err));
	}
	m->final_norm = inoci_alloc((size_t)C * 4);
	return decode(m->gguf, "output_norm.weight", 1, C, m->final_norm, err);
out:
	return rc;
}

/* Is there memory for the weights, and for what decoding them takes? */
static int check_memory(const inoci_model *m, bool decoding, size_t most, double kept, inoc_err *err)
{
	inoci_memory mem = inoci_model_memory(&m->hp, m->ops->dtype);
	double weights = kept > 0 ? kept : m->can_train ? mem.weights_train : mem.weights_infer;
	double need = decoding ? weights + 4.0 * (double)most : 0, have = (double)inoci_mem_available_bytes();
	if (need <= have) return 0;
	return inoci_err_set(err, INOC_E_MEMORY,
	                     "%s: its weights need %.0f MiB in memory while they are read, %.0f MiB are available; use a smaller "
	                     "model",
	                     m->path, need / 1048576, have / 1048576);
}

/* All matrices, decoded and packed, or as they were kept. */
static int open_mats(inoci_model *m, const inoci_progress *p, inoc_err *err)
{
	const inoci_hparams *h = &m->hp;
	inoci_ops *o = m->ops;
	int n = LAYER_MATS * h->n_layers + 1, sides = m->can_train ? 2 : 1, rc;
	size_t most = 0, q = (size_t)(h->n_heads * h->head_dim) * (size_t)h->width;
	inoci_mat_dims *d = inoci_alloc((size_t)n * sizeof *d);
	char *buf = NULL, *tmp = NULL;
	for (int i = 0; i < n; i++) {
		d[i] = dims_of(h, i);
		if ((size_t)d[i].n * (size_t)d[i].k > most) most = (size_t)d[i].n * (size_t)d[i].k;
	}
	bool ready = o->layout != NULL;
	for (int s = 0; o->layout && s < sides; s++) {
		INOC_TRY(inoci_weights_open(m, d, n, s == 1, p, &m->packed[s], err));
		ready &= inoci_weights_ready(m->packed[s]);
	}
	if (!ready) {
		double kept = o->mat_new_blocks ? kept_bytes(m->gguf, &most, (size_t)d[0].n * (size_t)d[0].k) : 0;
		INOC_TRY(check_memory(m, true, most + q, kept, err));
		if (!(buf = inoci_big_room(most * 4, "decoding weights", err)) ||
		    !(tmp = inoci_big_room(q * 4, "decoding weights", err))) {
			rc = INOC_E_MEMORY;
			goto out;
		}
	}
	for (int s = 0; o->layout && s < sides; s++) INOC_TRY(inoci_weights_room(m->packed[s], err));
	for (int i = 0; i < n; i++) {
		bool made = false;
		if (!ready) INOC_TRY(decode_mat(m, i, d[i], buf, tmp, &made, err));
		if (!o->layout && !made)
			INOC_TRY(o->mat_new(o, (const float *)buf, NULL, d[i].n, d[i].k, m->can_train, place_of(m, i), err));
		for (int s = 0; o->layout && s < sides; s++)
			if (!inoci_weights_ready(m->packed[s]))
				o->mat_fill(o, inoci_weights_at(m->packed[s], i), (const float *)buf, d[i].n, d[i].k, s == 1);
		if (i % LAYER_MATS == 0) {
			inoci_gguf_forget(m->gguf);
			inoci_tick(p, "load", i / LAYER_MATS + 1, h->n_layers + 1, "layers", m->path);
		}
	}
	free(buf);
	buf = NULL;
	for (int s = 0; o->layout && s < sides; s++) inoci_weights_keep(m->packed[s], p);
	for (int i = 0; o->layout && i < n; i++)
		INOC_TRY(o->mat_at(o, inoci_weights_at(m->packed[0], i), sides > 1 ? inoci_weights_at(m->packed[1], i) : NULL,
		                   NULL, d[i].n, d[i].k, place_of(m, i), err));
	rc = 0;
out:
	free(d), free(buf), free(tmp);
	return rc;
}

static int open_rope(inoci_model *m, inoc_err *err)
{
	const inoci_hparams *h = &m->hp;
	m->rope_cs = inoci_big_room((size_t)h->context * (size_t)h->head_dim * 4, "RoPE tables", err);
	if (!m->rope_cs) return INOC_E_MEMORY;
	for (int i = 0; i < h->head_dim / 2; i++) {
		double f = pow(h->rope_base, -2.0 * i / h->head_dim);
		for (int t = 0; t < h->context; t++) {
			float *cs = m->rope_cs + (size_t)t * (size_t)h->head_dim;
			cs[i] = (float)cos(t * f);
			cs[i + h->head_dim / 2] = (float)sin(t * f);
		}
	}
	return 0;
}

int inoci_model_open(const char *path, inoci_ops *ops, bool train, const char *template_name, const inoci_progress *p,
                     inoci_model **out, inoc_err *err)
{
	inoci_model *m = inoci_alloc(sizeof *m);
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
	INOC_TRY(inoci_hash_file_kept(path, &m->hash, err));
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
	m->layers = inoci_alloc((size_t)m->hp.n_layers * sizeof *m->layers);
	m->embd = inoci_gguf_tensor(m->gguf, "token_embd.weight");
	INOC_TRY(open_norms(m, err));
	INOC_TRY(open_mats(m, p, err));
	INOC_TRY(open_rope(m, err));
	rc = 0;
	*out = m;
out:
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
	for (size_t i = 0; i < INOCI_COUNT(m->packed); i++) inoci_weights_free(m->packed[i]);
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
