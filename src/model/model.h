/* model: hyper-parameters, weights, the one decoder (forward, backward), LoRA adapters and their files, the KV store.
 *
 * Inside, rows are in Hugging Face's order with half-split RoPE; GGUF's permuted q and k rows are put back at load.
 */
#ifndef INOCI_MODEL_H
#define INOCI_MODEL_H

#include "base/base.h"
#include "ops/ops.h"
#include "tensor/tensor.h"
#include "text/text.h"

typedef struct {
	char arch[32]; /* "llama" */
	int n_layers, width, n_heads, n_kv_heads, head_dim, ff, vocab, context;
	float rope_base, norm_eps;
	bool tied; /* the head is the embedding */
} inoci_hparams;
INOCI_MUST int inoci_hparams_read(const inoci_gguf *g, inoci_hparams *out, inoc_err *err);
double inoci_hparams_n_params(const inoci_hparams *h);

typedef struct inoci_layer inoci_layer;
typedef struct inoci_weights inoci_weights;
typedef struct {
	inoci_hparams hp;
	inoci_gguf *gguf;
	inoci_tokenizer *tok;
	inoci_template *tmpl; /* NULL when the file's template is unknown; see tmpl_err */
	inoc_err tmpl_err;
	inoci_ops *ops; /* borrowed */
	inoci_layer *layers;
	inoci_mat *head;
	inoci_weights *packed[2]; /* forward's, backward's; NULL: each matrix has its own */
	float *final_norm;
	const inoci_tensor *embd;
	float *rope_cs; /* (context, head_dim) */
	bool can_train;
	inoci_hash hash; /* of the file */
	char *path;
} inoci_model;

/* Opens, checks and packs, or takes what the cache folder holds packed. `train`: also for the backward. template_name: NULL or a
 * forced template. */
INOCI_MUST int inoci_model_open(const char *path, inoci_ops *ops, bool train, const char *template_name, const inoci_progress *p,
                                inoci_model **out, inoc_err *err);
void inoci_model_free(inoci_model *m);
/* The template, or the error that says why there is none. */
INOCI_MUST int inoci_model_template(const inoci_model *m, const inoci_template **out, inoc_err *err);

/* ---- adapters ---- */

enum { INOCI_PROJ_Q, INOCI_PROJ_K, INOCI_PROJ_V, INOCI_PROJ_O, INOCI_PROJ_GATE, INOCI_PROJ_UP, INOCI_PROJ_DOWN, INOCI_N_PROJ };
const char *inoci_proj_name(int proj); /* "q_proj", ... */
typedef struct {
	int rank;
	float alpha;
	bool rslora; /* scale alpha / sqrt(rank) instead of alpha / rank (arXiv 2312.03732) */
	float dropout;
	unsigned targets; /* bit INOCI_PROJ_x */
} inoci_lora_config;
#define INOCI_ALL_PROJ ((1u << INOCI_N_PROJ) - 1)

typedef struct {
	inoci_lora qkv, o, gu, down;
} inoci_layer_lora;
typedef struct {
	inoci_lora_config cfg;
	int n_layers;
	inoci_layer_lora *layers;
	float *params, *grads; /* all A and B, (n_params); grads NULL until training */
	size_t n_params;
	inoci_ops *ops;
} inoci_adapter;
/* A: uniform in +-1/sqrt(K) (PEFT's kaiming_uniform with a = sqrt 5), from (seed); B: 0. */
INOCI_MUST int inoci_adapter_new(const inoci_model *m, const inoci_lora_config *c, uint64_t seed, inoci_adapter **out,
                                 inoc_err *err);
void inoci_adapter_free(inoci_adapter *a);
INOCI_MUST int inoci_adapter_grads(inoci_adapter *a, inoc_err *err); /* makes room for gradients */
/* Call after params changed. */
INOCI_MUST int inoci_adapter_pack(inoci_adapter *a, inoc_err *err);
/* PEFT's layout: DIR/adapter_model.safetensors, DIR/adapter_config.json. base_name goes into the config. */
INOCI_MUST int inoci_adapter_save(const inoci_adapter *a, const char *dir, const char *base_name, inoc_err *err);
INOCI_MUST int inoci_adapter_load(const inoci_model *m, const char *dir, inoci_adapter **out, inoc_err *err);
/* Whether DIR holds an adapter of a model of this shape, without the model: what inoci_adapter_load would refuse is refused. */
INOCI_MUST int inoci_adapter_check(const inoci_hparams *h, const char *dir, inoc_err *err);
inoci_hash inoci_adapter_hash(const inoci_adapter *a);
/* The adapter in DIR without a model, for looking at: it cannot compute. */
INOCI_MUST int inoci_adapter_read(const inoci_hparams *h, const char *dir, inoci_adapter **out, inoc_err *err);

/* ---- what an adapter is, seen as a change of the weights (update.c) ---- */

/* norm (n_layers, INOCI_N_PROJ): the Frobenius norm of scale B A, the change of that weight; NaN where it is no target. Not
 * formed: |BA|^2 = sum over (i, j) of (B^T B)_ij (A A^T)_ij. */
void inoci_adapter_norms(const inoci_adapter *a, double *norm);
/* x, y (n_params): gradients of two functions with respect to this adapter's parameters while B is 0, when those of A are 0 and
 * those of B are scale G A^T, G (N, K) being the gradient with respect to the weight itself. A's entries are drawn uniformly from
 * +-1/sqrt K, so the mean of A^T A over draws is R/(3K) times the identity, and
 *     sum over targets of 3K / (R scale^2) <x_B, y_B>
 * has <G_x, G_y>, over all targets' weights, as its mean over draws of A (a random projection to R dimensions). That is returned.
 */
double inoci_adapter_grad_dot(const inoci_adapter *a, const float *x, const float *y);
/* Writes the model of the GGUF file `model` with the adapter in DIR added to its weights, W + scale B A, as the GGUF file `out`:
 * changed tensors in `type` (INOCI_BF16 or INOCI_F32), all else byte for byte. */
INOCI_MUST int inoci_model_merge(const char *model, const char *dir, int type, const char *out, const inoci_progress *p,
                                 inoc_err *err);

/* ---- batches: a packed forest ---- */

typedef struct {
	int T;
	int stem;           /* rows of the stem that its segments may see, which key rows count before its own; 0: none */
	int32_t *ids, *pos; /* (T) */
	int32_t *target;    /* (T): the id that follows and is predicted with loss, or -1 */
	float *weight;      /* (T): of that target in the loss; used where target >= 0 */
	inoci_seg *segs;
	int n_segs;
	int32_t *key_rows; /* owned storage of the segments' key rows */
	size_t cap_T, cap_segs, cap_keys, n_keys;
} inoci_batch;
void inoci_batch_reset(inoci_batch *b);
void inoci_batch_free(inoci_batch *b);
/* Appends a whole sequence as one segment of its own. loss (n): 1 where ids[i] is to be predicted (from i - 1); weight: of
 * each. Returns its segment number. */
int inoci_batch_add(inoci_batch *b, const int32_t *ids, const int32_t *loss, int n, float weight);
/* Appends tokens [from, to) of a sequence of n as a segment whose ancestors hold [0, from): `parent` is the last of them, a
 * segment of `of` (from 0: none), which is b itself or its stem, another batch. Segments of one tree must stand together. */
int inoci_batch_add_part(inoci_batch *b, const inoci_batch *of, int parent, const int32_t *ids, const int32_t *loss, int from,
                         int to, int n, float weight);
int inoci_batch_n_targets(const inoci_batch *b);

/* ---- compute ---- */

/* Reusable buffers of one thread of computing. */
typedef struct inoci_workspace inoci_workspace;
inoci_workspace *inoci_workspace_new(void);
/* What inoci_model_loss keeps for the backward: ALL (the default); SOME: gate and up are computed again; LEAST: each layer is,
 * from its input. Less memory, more time, the same bits. */
typedef enum { INOCI_KEEP_ALL, INOCI_KEEP_SOME, INOCI_KEEP_LEAST, INOCI_N_KEEP } inoci_keep;
const char *inoci_keep_name(inoci_keep k); /* "all", "some", "least" */
void inoci_workspace_keep(inoci_workspace *w, inoci_keep keep);
/* Bytes of the workspace for inoci_model_loss with grad, of T tokens with n_targets targets, behind a stem of `stem` tokens (or
 * 0). */
size_t inoci_loss_bytes(const inoci_hparams *h, size_t real_bytes, size_t act_bytes, const inoci_lora_config *c, int T, int stem,
                        int n_targets, inoci_keep keep);
void inoci_workspace_free(inoci_workspace *w);

/* Teacher-forced log-probabilities of the batch's targets: logprob (n_targets), in order of position in the batch.
 * With grad: adds the gradient of -sum weight * logprob to the adapter's grads (drop: key of the dropout masks; the
 * adapter's dropout is applied only then). */
INOCI_MUST int inoci_model_loss(inoci_model *m, inoci_adapter *a, const inoci_batch *b, inoci_workspace *w, bool grad,
                                uint64_t drop, float *logprob, inoc_err *err);
/* A stem: what several micro-batches of an optimizer step begin with, tokens without targets, computed once. First
 * inoci_model_stem, with the most tokens that a micro-batch will have; then inoci_model_loss with grad for each of these; then
 * inoci_model_stem_bwd, which adds the gradient that they gave the stem. Nothing else may use the workspace meanwhile. Not with
 * dropout. */
INOCI_MUST int inoci_model_stem(inoci_model *m, inoci_adapter *a, const inoci_batch *stem, int most, inoci_workspace *w,
                                inoc_err *err);
INOCI_MUST int inoci_model_stem_bwd(inoci_model *m, inoci_adapter *a, const inoci_batch *stem, inoci_workspace *w, inoc_err *err);
/* f32 logits (n_rows, V) of the batch's rows `rows`, teacher-forced, no KV store. */
INOCI_MUST int inoci_model_logits(inoci_model *m, inoci_adapter *a, const inoci_batch *b, inoci_workspace *w, const int32_t *rows,
                                  int n_rows, float *logits, inoc_err *err);

/* Means of hidden states. of (T): the group, 0 to n - 1, that a row of the batch counts in, or -1. Of each of `layers` (n_layers,
 * not descending), out (n, n_layers, C) f32 is the mean over a group's rows, summed in their order in double; NaN for a group
 * without rows. Layer l is the residual stream behind layer l, before any norm; 0: the embedding. What is behind the last
 * layer asked for is not computed. Forward only; the adapter may be NULL. A group's numbers do not depend on what else is in the
 * batch. */
INOCI_MUST int inoci_model_hidden(inoci_model *m, inoci_adapter *a, const inoci_batch *b, inoci_workspace *w, const int *layers,
                                  int n_layers, const int32_t *of, int n, float *out, inoc_err *err);

/* Keys and values of up to n_rows tokens, for all layers. Who owns which row is the caller's business. */
typedef struct inoci_kv inoci_kv;
INOCI_MUST int inoci_kv_new(const inoci_model *m, int n_rows, inoci_kv **out, inoc_err *err);
void inoci_kv_free(inoci_kv *kv);
size_t inoci_kv_bytes(const inoci_model *m, int n_rows);
/* Runs the batch's tokens, whose keys and values go to store rows kv_rows (T); the segments' key_rows are store rows and
 * include the new tokens' own. logits (n_rows, V) f32 of batch rows `rows`. adapter may be NULL. */
INOCI_MUST int inoci_model_infer(inoci_model *m, inoci_adapter *a, const inoci_batch *b, inoci_kv *kv, const int32_t *kv_rows,
                                 inoci_workspace *w, const int32_t *rows, int n_rows, float *logits, inoc_err *err);

/* Bytes of the weights that are mapped from a file: memory they take only while they are used, which they are. */
size_t inoci_model_mapped_bytes(const inoci_model *m);
/* Bytes needed, about: for `model info`, and for refusing a model whose weights do not fit. A run's are predicted from its
 * examples (train/memory.c). */
typedef struct {
	double program, weights_train, weights_infer, head, kv_per_token, adapter_per_rank;
	double train_per_token[INOCI_N_KEEP]; /* at rank 16, by what is kept */
} inoci_memory;
inoci_memory inoci_model_memory(const inoci_hparams *hp, inoci_dtype dtype);

#endif
