/* A product and what lies around it, one operation after the other: what the fast operations do in one pass where they can, and
 * what that is tested against.
 */
#include "ops/internal.h"

static void norm(inoci_ops *o, const inoci_around *a, void *x, int T, int k)
{
	if (a->norm_of) o->rmsnorm(o, x, a->norm_of, NULL, a->norm_w, T, k, a->eps);
}

int inoci_linear_apart(inoci_ops *o, const inoci_around *a, const inoci_mat *w, int n, int k, const inoci_lora *l, void *x, int T,
                       void *y, const void *residual, float *u, inoc_err *err)
{
	norm(o, a, x, T, k);
	int rc = o->linear(o, w, l, x, T, y, residual, u, err);
	if (rc < 0) return rc;
	if (a->pos) o->rope(o, y, false, T, n, a->n_heads, a->head_dim, a->pos, a->cs, 1);
	if (a->s) o->swiglu(o, a->s, y, T, n / 2);
	return 0;
}

int inoci_linear_bwd_apart(inoci_ops *o, const inoci_around *a, const inoci_mat *w, int n, int k, const inoci_lora *l, void *dy,
                           bool real, void *x, const float *u, int T, void *dx, inoc_err *err)
{
	if (a->pos) o->rope(o, dy, real, T, n, a->n_heads, a->head_dim, a->pos, a->cs, -1);
	norm(o, a, x, T, k);
	if (a->dgu) o->swiglu(o, x, a->gu, T, k);
	int rc = o->linear_bwd(o, w, l, dy, real, x, u, T, dx, err);
	if (rc < 0) return rc;
	if (a->dgu) o->swiglu_bwd(o, a->dgu, dx, a->gu, T, k);
	if (a->dres) o->rmsnorm_bwd(o, a->dres, dx, a->norm_of, NULL, a->norm_w, T, k, a->eps);
	return 0;
}
