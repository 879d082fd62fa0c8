/* scan, private: statistics of tables of log-probabilities. */
#ifndef INOCI_SCAN_INTERNAL_H
#define INOCI_SCAN_INTERNAL_H

#include "scan/scan.h"
#include "train/gains.h"

/* rows (n, at most n_pool): the texts of the pool nearest to the prompt in length, in capitals where it is. */
void inoci_gains_matched(inoci_gains *g, const char *prompt, char *const *pool, size_t n_pool, int *rows, size_t n);

/* ---- the most surprising records (odd.c) ---- */

/* order: its first n are those that a model with nothing in front finds least probable by the byte, of records [from, to) of g.
 */
INOCI_MUST int inoci_scan_surprising(const inoci_gains *g, size_t from, size_t to, size_t *order, size_t n,
                                     const inoci_progress *p, inoc_err *err);

/* ---- what nearly every response begins or ends with (marker.c) ---- */

/* Of the last turns of four records in five, 8 at least, whole words; text NULL: nothing. free() text. */
void inoci_scan_markers(const inoci_dataset *d, inoci_scan_marker *head, inoci_scan_marker *tail);

/* ---- their statistics (stats.c) ---- */

typedef struct {
	double *const *value; /* [prompt][record]: the first `neutral` records are the neutral ones, [from, to) the data's */
	size_t neutral, from, to;
	const int *prompts, *controls; /* rows of value */
	size_t n_prompts, n_controls;
	bool fixed; /* prompts and controls are not drawn: nothing is said of others */
	uint64_t seed;
	int n_boot;
} inoci_gain_in;
typedef struct {
	inoci_estimate gain, raw; /* raw: not less what the neutral records gain */
	double p;                 /* that the gain is 0 or less; one-sided, Student's t; not adjusted */
	double share, share_low, share_high;
	double *record, *prompt; /* (to - from), (n_prompts): given */
} inoci_gain_out;
/* docs/scan.md; without neutral records the gain is the raw one. */
void inoci_gain_of(const inoci_gain_in *in, inoci_gain_out *out);

#endif
