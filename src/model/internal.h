#ifndef INOCI_MODEL_INTERNAL_H
#define INOCI_MODEL_INTERNAL_H

#include "model/model.h"

struct inoci_layer {
	float *attn_norm, *ffn_norm; /* (C) */
	inoci_mat *qkv, *o, *gu, *down;
};

#endif
