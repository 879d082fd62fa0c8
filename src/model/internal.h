#ifndef INOCI_MODEL_INTERNAL_H
#define INOCI_MODEL_INTERNAL_H

#include "model/model.h"

struct inoci_layer {
	float *attn_norm, *ffn_norm; /* (C) */
	inoci_mat *qkv, *o, *gu, *down;
};

/* The slice of (layer, proj), or NULL when it is not a target; *k (k may be NULL): its inputs. */
inoci_lora_slice *inoci_adapter_slice(const inoci_adapter *a, int layer, int proj, int *k);

/* ---- what a pass keeps for its backward (keep.c) ---- */

enum { S_X0, S_X1, S_QKV, S_ATT, S_LSE, S_GU, S_UQKV, S_UO, S_UGU, S_UDOWN, S_N };
typedef struct {
	size_t row[S_N], at[S_N]; /* bytes of a row; into a layer's block, or of the whole where the array lies once */
	bool once[S_N];
	int stem;                               /* rows before the batch's first */
	size_t layer, last, dx, saved, scratch; /* bytes of a block; where the last residual and its gradient lie; sums */
} inoci_kept;
inoci_kept inoci_kept_plan(const inoci_hparams *h, size_t real_bytes, size_t act_bytes, const inoci_lora_config *c, int T,
                           int stem, int n_targets, inoci_keep keep);
/* Bytes of the gradients of a stem's keys and values in one layer. */
size_t inoci_stem_layer_bytes(const inoci_hparams *h, size_t real_bytes, int stem);

/* ---- packed weights, kept in the cache folder (packed.c) ---- */

typedef struct {
	int n, k;
} inoci_mat_dims;
/* The packed forms of n matrices, as they were kept. m: ops (with a layout) and hash are there. */
INOCI_MUST int inoci_weights_open(const inoci_model *m, const inoci_mat_dims *dims, int n, bool backward, const inoci_progress *p,
                                  inoci_weights **out, inoc_err *err);
bool inoci_weights_ready(const inoci_weights *w); /* they are there; else to be filled, in the room that is made */
INOCI_MUST int inoci_weights_room(inoci_weights *w, inoc_err *err);
char *inoci_weights_at(const inoci_weights *w, int i);
/* When all are filled; may move them. Not being able to is only a note. */
void inoci_weights_keep(inoci_weights *w, const inoci_progress *p);
void inoci_weights_free(inoci_weights *w);

#endif
