/* api: what the files of the public API share. */
#ifndef INOCI_API_H
#define INOCI_API_H

#include "model/model.h"

struct inoc_model {
	inoci_ops *ops;
	inoci_model *m;
};

struct inoc_adapter {
	inoci_adapter *a;
};

#endif
