#ifndef INOCI_MODEL_INTERNAL_H
#define INOCI_MODEL_INTERNAL_H

#include "model/model.h"

struct inoci_layer {
	float *attn_norm, *ffn_norm; /* (C) */
	inoci_mat *qkv, *o, *gu, *down;
};

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
