/* Arms with a given adapter: it is checked and hashed before anything runs, and is the same for every seed. */
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

/* Of the tensors' file as it lies there, and of that and the configuration. */
static int hash_files(const char *dir, inoci_given *out, inoc_err *err)
{
	char *config = inoci_path_join(dir, "adapter_config.json"), *file = inoci_path_join(dir, "adapter_model.safetensors");
	inoci_hash c;
	int rc = inoci_hash_file(config, &c, err);
	if (rc == 0) rc = inoci_hash_file(file, &out->file, err);
	if (rc == 0) {
		inoci_hasher *h = inoci_hasher_new();
		inoci_hasher_str(h, c.hex);
		inoci_hasher_str(h, out->file.hex);
		out->content = inoci_hasher_end(h);
	}
	free(config), free(file);
	return rc;
}

int inoci_run_read_given(inoci_run_state *r, inoc_err *err)
{
	r->given = inoci_alloc((r->e->n_arms + 1) * sizeof *r->given);
	for (size_t i = 0; i < r->e->n_arms; i++) {
		const inoci_arm *a = &r->e->arms[i];
		if (!a->adapter) continue;
		int rc = inoci_adapter_check(&r->hp, a->adapter, err);
		if (rc >= 0) rc = hash_files(a->adapter, &r->given[i], err);
		if (rc < 0) return r->e->n_arms > 1 ? inoci_err_prefix(err, "arm %s", a->name) : rc;
	}
	return 0;
}

int inoci_run_load_given(inoci_run_state *r, int arm, inoci_adapter **out, inoc_err *err)
{
	const char *dir = r->e->arms[arm].adapter;
	inoci_given now;
	int rc = inoci_adapter_load(r->model, dir, out, err);
	if (rc >= 0) rc = hash_files(dir, &now, err);
	if (rc >= 0 && strcmp(now.content.hex, r->given[arm].content.hex))
		rc = inoci_err_set(err, INOC_E_IO, "%s: the adapter has changed since the run began; run again", dir);
	if (rc >= 0) return 0;
	inoci_adapter_free(*out);
	*out = NULL;
	return inoci_err_prefix(err, "arm %s", r->e->arms[arm].name);
}
