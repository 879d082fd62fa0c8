/* Checkpoints: one file with a header, the adapter, AdamW's moments and the loop's state; a checksum over all of it.
 *
 * Format: "INOCCKP1", uint64 bytes of what follows, struct state, params, m, v, best (n_params floats each), SHA-256 in hex.
 */
#include <stdlib.h>
#include <string.h>

#include "train/internal.h"

static const char magic[8] = "INOCCKP1";

int inoci_checkpoint_save(const char *path, const inoci_train_state *st, const inoci_adapter *a, const float *mv,
                          const float *best, inoc_err *err)
{
	size_t n = a->n_params * sizeof(float);
	uint64_t bytes = sizeof *st + n * (best ? 4 : 3);
	inoci_out *o;
	int rc = inoci_out_open(path, &o, err);
	if (rc < 0) return rc;
	inoci_hasher *h = inoci_hasher_new();
	inoci_hasher_add(h, st, sizeof *st);
	inoci_hasher_add(h, a->params, n);
	inoci_hasher_add(h, mv, 2 * n);
	if (best) inoci_hasher_add(h, best, n);
	inoci_hash sum = inoci_hasher_end(h);
	INOC_TRY(inoci_out_write(o, magic, sizeof magic, err));
	INOC_TRY(inoci_out_write(o, &bytes, sizeof bytes, err));
	INOC_TRY(inoci_out_write(o, st, sizeof *st, err));
	INOC_TRY(inoci_out_write(o, a->params, n, err));
	INOC_TRY(inoci_out_write(o, mv, 2 * n, err));
	if (best) INOC_TRY(inoci_out_write(o, best, n, err));
	INOC_TRY(inoci_out_write(o, sum.hex, 64, err));
	return inoci_out_commit(o, err);
out:
	inoci_out_abandon(o);
	return rc;
}

int inoci_checkpoint_load(const char *path, const inoci_hash *key, inoci_train_state *st, inoci_adapter *a, float *mv,
                          float *best, inoc_err *err)
{
	inoci_map m;
	uint64_t bytes;
	size_t n = a->n_params * sizeof(float), head = sizeof magic + sizeof bytes, want = sizeof *st + n * (best ? 4 : 3);
	int rc = inoci_map_open(path, &m, err);
	if (rc < 0) return rc;
	if (m.n < head || memcmp(m.data, magic, sizeof magic) ||
	    (memcpy(&bytes, m.data + sizeof magic, sizeof bytes), bytes != want) || m.n != head + want + 64) {
		rc = inoci_err_set(err, INOC_E_FORMAT, "%s: not a checkpoint of this run; move it away to start anew", path);
	} else {
		const uint8_t *p = m.data + head;
		inoci_hash sum = inoci_hash_bytes(p, want);
		memcpy(st, p, sizeof *st);
		if (memcmp(sum.hex, p + want, 64))
			rc = inoci_err_set(err, INOC_E_FORMAT, "%s: damaged (its checksum does not hold); delete it", path);
		else if (memcmp(st->key, key->hex, 64))
			rc = inoci_err_set(err, INOC_E_FORMAT,
			                   "%s: a checkpoint of another run (other data, settings or model); move it away", path);
		else {
			memcpy(a->params, p + sizeof *st, n);
			memcpy(mv, p + sizeof *st + n, 2 * n);
			if (best) memcpy(best, p + sizeof *st + 3 * n, n);
		}
	}
	inoci_map_close(&m);
	return rc;
}
