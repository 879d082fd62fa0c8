/* Writes the logits of every position of given token ids as little-endian f32, for comparison with other programs.
 *
 *   dump_logits MODEL ADAPTER_DIR|- PROMPTS.json OUT [f32|bf16|q] [cpu|ref]
 *
 * PROMPTS.json: an object whose "prompts" is an array of {"ids": [...]} (tests/fixtures/logits.json is one).
 */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

static int dump_prompt(inoci_model *m, inoci_adapter *a, const json_t *ids, inoci_workspace *w, inoci_out *out, inoc_err *err)
{
	int n = (int)json_array_size(ids), rc = 0;
	inoci_batch b = {0};
	float *logits = NULL;
	int32_t *v = inoci_alloc((size_t)n * sizeof(*v)), *rows = inoci_alloc((size_t)n * sizeof(*rows));
	int32_t *loss = inoci_alloc((size_t)n * sizeof(*loss));
	for (int i = 0; i < n; i++) {
		json_int_t id = json_integer_value(json_array_get(ids, (size_t)i));
		if (id < 0 || id >= m->hp.vocab) {
			rc = inoci_err_set(err, INOC_E_FORMAT, "token id %lld: outside the vocabulary of %d", (long long)id,
			                   m->hp.vocab);
			goto out;
		}
		v[i] = (int32_t)id;
		rows[i] = i;
	}
	size_t count = (size_t)n * (size_t)m->hp.vocab;
	logits = inoci_big_alloc(count * sizeof(float), "logits", err);
	if (!logits) {
		rc = INOC_E_MEMORY;
		goto out;
	}
	inoci_batch_reset(&b);
	inoci_batch_add(&b, v, loss, n, 0);
	INOC_TRY(inoci_model_logits(m, a, &b, w, rows, n, logits, err));
	INOC_TRY(inoci_out_write(out, logits, count * sizeof(float), err));
out:
	inoci_batch_free(&b);
	free(logits);
	free(loss);
	free(rows);
	free(v);
	return rc;
}

int main(int argc, char **argv)
{
	if (argc < 5 || argc > 7) {
		fprintf(stderr, "usage: dump_logits MODEL ADAPTER_DIR|- PROMPTS.json OUT [f32|bf16|q] [cpu|ref]\n");
		return 2;
	}
	inoc_err err = {0};
	int rc = 0;
	inoci_dtype dtype = INOCI_DTYPE_F32;
	inoci_ops *ops = NULL;
	inoci_model *m = NULL;
	inoci_adapter *a = NULL;
	inoci_workspace *w = inoci_workspace_new();
	inoci_out *out = NULL;
	json_error_t je;
	json_t *root = json_load_file(argv[3], 0, &je);
	const json_t *prompts = json_object_get(root, "prompts"), *p;
	size_t i;

	if (!json_is_array(prompts)) {
		rc = inoci_err_set(&err, INOC_E_FORMAT, "%s: no array \"prompts\" (%s)", argv[3], root ? "other JSON" : je.text);
		goto out;
	}
	if (argc > 5) INOC_TRY(inoci_dtype_parse(argv[5], &dtype, &err));
	if (argc > 6 && strcmp(argv[6], "ref") == 0)
		INOC_TRY(inoci_ops_ref(dtype, &ops, &err));
	else
		INOC_TRY(inoci_ops_cpu(dtype, 0, &ops, &err));
	INOC_TRY(inoci_model_open(argv[1], ops, false, NULL, NULL, &m, &err));
	if (strcmp(argv[2], "-") != 0) INOC_TRY(inoci_adapter_load(m, argv[2], &a, &err));
	INOC_TRY(inoci_out_open(argv[4], &out, &err));
	json_array_foreach(prompts, i, p) INOC_TRY(dump_prompt(m, a, json_object_get(p, "ids"), w, out, &err));
	rc = inoci_out_commit(out, &err);
	out = NULL;
out:
	inoci_out_abandon(out);
	inoci_adapter_free(a);
	inoci_model_free(m);
	inoci_workspace_free(w);
	if (ops) ops->free(ops);
	json_decref(root);
	if (rc < 0) fprintf(stderr, "dump_logits: %s\n", err.msg);
	return rc < 0;
}
