/* The base model that scorers compute with: a run's own, which is open; for stored samples one of the store's runs. */
#include <stdlib.h>

#include "lab/internal.h"

int inoci_run_base_model(void *run, const char *sha256, inoci_model **out, inoc_err *err)
{
	inoci_run_state *r = run;
	(void)sha256; /* there is but this one: the scorer refuses it if it is another */
	int rc = inoci_run_need_model(r, err);
	*out = r->model;
	return rc;
}

/* The path of a run's model with this hash, or of the experiment's latest run (NULL: of any), that is still there. free() it. */
static int path_in_runs(inoci_store *s, const char *experiment, const char *sha256, char **path, inoc_err *err)
{
	sqlite3_stmt *st;
	char *gone = NULL;
	int rc = inoci_store_query(s, &st, err,
	                           "SELECT model_path FROM run WHERE model_hash = ?1 OR (?1 IS NULL AND (?2 IS NULL OR "
	                           "experiment = ?2)) ORDER BY id DESC",
	                           "ss", sha256, experiment);
	*path = NULL;
	if (rc < 0) return rc;
	while (!*path && (rc = inoci_store_step(s, st, err)) > 0) {
		char *p = inoci_store_col(st, 0);
		if (p && inoci_path_exists(p))
			*path = p;
		else {
			free(gone);
			gone = p;
		}
	}
	sqlite3_finalize(st);
	if (rc >= 0 && !*path && gone)
		rc = inoci_err_set(err, INOC_E_IO, "%s: the base model is no longer there; say where it is with --model", gone);
	else if (rc >= 0 && !*path && !sha256)
		rc = inoci_err_set(err, INOC_E_USAGE,
		                   "%s: no run of this store names the base model that the scorer computes with; give it with "
		                   "--model",
		                   s->path);
	else if (rc >= 0 && !*path)
		rc = inoci_err_set(
		        err, INOC_E_USAGE,
		        "%s: no run of this store was of the base model that the scorer needs (SHA-256 %.12s...); give it "
		        "with --model",
		        s->path, sha256);
	free(gone);
	return rc < 0 ? rc : 0;
}

int inoci_base_model_get(void *ctx, const char *sha256, inoci_model **out, inoc_err *err)
{
	inoci_base_model *b = ctx;
	char *path = NULL;
	int rc = 0;
	*out = b->model;
	if (b->model) return 0;
	if (!b->given) INOC_TRY(path_in_runs(b->store, b->experiment, sha256, &path, err));
	if (!b->ops) INOC_TRY(inoci_lab_ops("auto", 0, &b->ops, err));
	INOC_TRY(inoci_model_open(b->given ? b->given : path, b->ops, false, NULL, b->progress, &b->model, err));
	*out = b->model;
out:
	free(path);
	return rc;
}

void inoci_base_model_close(inoci_base_model *b)
{
	inoci_model_free(b->model);
	if (b->ops) b->ops->free(b->ops);
	b->model = NULL;
	b->ops = NULL;
}
