/* One token out of one row of logits.
 *
 * Invariants:
 *  1. The result is a function of (settings, row, seen, u): sums are taken in one fixed order, sixteen lanes wide and never
 *     contracted, with an exponential of our own, so that it is the same on every x86-64.
 *  2. Filters keep the first tokens in the order (probability falling, id rising), so ties never depend on chance.
 *
 * Cost: a pass for the maximum, one for the exponentials, one more where the distribution drawn from is not the model's own;
 * filters select among the few tokens above a threshold and never sort the vocabulary.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sample/internal.h"

#define BLOCK 256

enum { LANES = 16 };
typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));
#define INLINE static inline __attribute__((always_inline))
#ifndef WIDE /* the build's attribute for passes over a row: compiled for several instruction sets, chosen when loaded */
#define WIDE
#endif

struct cand {
	float w;
	int32_t i;
};
struct inoci_picker {
	float *z, *w;       /* (V): logits as drawn from, weights exp(z / T) up to a factor */
	float *zmax, *wmax; /* (V / BLOCK): the largest of each block, of the model's own row and of w */
	double *sum;        /* (V / BLOCK): of w */
	struct cand *c;     /* (V) */
};

inoci_picker *inoci_picker_new(int vocab)
{
	inoci_picker *k = inoci_alloc(sizeof *k);
	size_t V = (size_t)vocab, nb = V / BLOCK + 1;
	k->z = inoci_alloc(V * sizeof *k->z);
	k->w = inoci_alloc(V * sizeof *k->w);
	k->c = inoci_alloc(V * sizeof *k->c);
	k->zmax = inoci_alloc(nb * sizeof *k->zmax);
	k->wmax = inoci_alloc(nb * sizeof *k->wmax);
	k->sum = inoci_alloc(nb * sizeof *k->sum);
	return k;
}

void inoci_picker_free(inoci_picker *k)
{
	if (!k) return;
	free(k->z);
	free(k->w);
	free(k->c);
	free(k->zmax);
	free(k->wmax);
	free(k->sum);
	free(k);
}

/* ---- the plan ---- */

/* Whether every character of bytes[0..n) is in the set; false for part of a character. */
static bool all_in(const char *bytes, size_t n, const char *set)
{
	size_t len;
	for (size_t i = 0; i < n; i += len) {
		unsigned char c = (unsigned char)bytes[i];
		len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
		if (!c || len > n - i || inoci_utf8_valid_prefix(bytes + i, len) != len) return false;
		char one[5] = {0};
		memcpy(one, bytes + i, len);
		if (!strstr(set, one)) return false; /* UTF-8: a whole character matches only itself */
	}
	return n > 0;
}

int inoci_pick_plan_init(const inoci_sample_settings *s, const inoci_tokenizer *tok, int vocab, const int32_t *ends, int n_ends,
                         inoci_pick_plan *out, inoc_err *err)
{
	*out = (inoci_pick_plan){.s = *s, .vocab = vocab};
	int rc = inoci_sample_settings_check(s, err);
	if (rc < 0 || !s->allowed) return rc;
	out->allowed = inoci_alloc((size_t)vocab * sizeof *out->allowed);
	int chars = 0, n_tok = inoci_tok_vocab_size(tok);
	for (int32_t id = 0; id < vocab; id++) {
		bool end = false;
		for (int e = 0; e < n_ends; e++) end = end || ends[e] == id;
		if (!end) {
			if (id >= n_tok || inoci_tok_is_special(tok, id)) continue;
			size_t n;
			const char *b = inoci_tok_bytes(tok, id, &n);
			if (!all_in(b, n, s->allowed)) continue;
			chars++;
		}
		out->allowed[out->n_allowed++] = id;
	}
	if (chars) return 0;
	inoci_pick_plan_free(out);
	return inoci_err_set(err, INOC_E_USAGE,
	                     "no token of the model is made only of the allowed characters \"%.100s\"; allow more of them",
	                     s->allowed);
}

void inoci_pick_plan_free(inoci_pick_plan *p)
{
	free(p->allowed);
	p->allowed = NULL;
	p->n_allowed = 0;
}

/* ---- passes over the row ---- */

INLINE vf load(const float *p)
{
	vf v;
	memcpy(&v, p, sizeof v);
	return v;
}

INLINE vf splat(float x)
{
	return (vf){0} + x;
}

INLINE vf pick_mask(vi m, vf a, vf b)
{
	return (vf)(((vi)a & m) | ((vi)b & ~m));
}

/* e^x to about 1 ulp for x in [-87.3, 0]; 0 below; a NaN stays one. Cephes' polynomial. */
INLINE vf vexp(vf x)
{
	const vf zero = {0};
	vi under = x < splat(-87.3f);
	x = pick_mask(under, zero, x);
	vf t = x * 1.44269504f + 12582912.0f; /* rounds: the integer is in the low bits */
	vi n = (vi)t - 0x4b400000;
	t -= 12582912.0f;
	vf r = x - t * 0.693359375f - t * -2.12194440e-4f;
	vf p = 1.9875691500e-4f * r + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	p = p * r * r + r + 1.0f;
	vi two_n = (n + 127) << 23;
	return pick_mask(under, zero, p * (vf)two_n);
}

/* The largest value of z[0..n), and of each block (bmax may be NULL); NaNs are passed over. */
WIDE static float row_max(const float *z, int n, float *bmax)
{
	float max = -INFINITY;
	for (int b = 0; b * BLOCK < n; b++) {
		const float *p = z + b * BLOCK;
		int m = n - b * BLOCK < BLOCK ? n - b * BLOCK : BLOCK, i = 0;
		float best = -INFINITY;
		vf v = splat(-INFINITY);
		for (; i + LANES <= m; i += LANES) {
			vf x = load(p + i);
			v = pick_mask(x > v, x, v);
		}
		for (int l = 0; l < LANES; l++)
			if (v[l] > best) best = v[l];
		for (; i < m; i++)
			if (p[i] > best) best = p[i];
		if (bmax) bmax[b] = best;
		if (best > max) max = best;
	}
	return max;
}

/* w[i] = exp((z[i] - max) * inv_t), with each block's sum and maximum; returns the sum. NaN where a logit is one. */
WIDE static double row_exp(inoci_picker *k, const float *z, int n, float max, float inv_t)
{
	double total = 0;
	for (int b = 0; b * BLOCK < n; b++) {
		const float *p = z + b * BLOCK;
		float *w = k->w + b * BLOCK, tail[BLOCK], wt[BLOCK], *to = w;
		int m = n - b * BLOCK < BLOCK ? n - b * BLOCK : BLOCK;
		if (m < BLOCK) {
			for (int i = 0; i < BLOCK; i++) tail[i] = i < m ? p[i] : -INFINITY;
			p = tail;
			to = wt;
		}
		vf s = {0}, most = {0};
		for (int i = 0; i < BLOCK; i += LANES) {
			vf x = vexp((load(p + i) - max) * inv_t);
			memcpy(to + i, &x, sizeof x);
			s += x;
			most = pick_mask(x > most, x, most);
		}
		if (m < BLOCK) memcpy(w, wt, (size_t)m * sizeof *w);
		double sum = 0;
		float wmax = 0;
		for (int l = 0; l < LANES; l++) {
			sum += s[l];
			wmax = most[l] > wmax ? most[l] : wmax;
		}
		k->sum[b] = sum;
		k->wmax[b] = wmax;
		total += sum;
	}
	return total;
}

/* The k largest of z, falling, ties by id; bmax of row_max. */
static void row_top(const float *z, int n, const float *bmax, int k, int32_t *ids, float *v)
{
	int have = 0;
	for (int b = 0; b * BLOCK < n; b++) {
		if (have == k && bmax[b] <= v[k - 1]) continue;
		int end = n - b * BLOCK < BLOCK ? n : (b + 1) * BLOCK;
		for (int i = b * BLOCK; i < end; i++) {
			if (have == k && !(z[i] > v[k - 1])) continue;
			int at = have < k ? have++ : k - 1;
			for (; at > 0 && z[i] > v[at - 1]; at--) v[at] = v[at - 1], ids[at] = ids[at - 1];
			v[at] = z[i];
			ids[at] = i;
		}
	}
	for (; have < k; have++) ids[have] = -1, v[have] = -INFINITY;
}

/* ---- filters ---- */

static inline bool before(struct cand a, struct cand b)
{
	return a.w > b.w || (a.w == b.w && a.i < b.i);
}

static inline void swap(struct cand *a, struct cand *b)
{
	struct cand t = *a;
	*a = *b;
	*b = t;
}

/* Cuts c[0..n) to the first tokens in order: as many as `count`, or as few as weigh `mass` or more, whichever is fewer; in no
 * order. Returns how many; *kept: their weight. Quickselect. */
static int select_first(struct cand *c, int n, int count, double mass, double *kept)
{
	int lo = 0, hi = n; /* c[0..lo) are kept, c[hi..) are not */
	double have = 0;
	while (hi - lo > 16) {
		struct cand a = c[lo], b = c[lo + (hi - lo) / 2], d = c[hi - 1];
		struct cand pivot = before(a, b) ? (before(b, d)   ? b
		                                    : before(a, d) ? d
		                                                   : a)
		                                 : (before(a, d)   ? a
		                                    : before(b, d) ? d
		                                                   : b);
		int mid = lo;
		double sum = 0;
		for (int i = lo; i < hi; i++)
			if (!before(pivot, c[i])) {
				sum += c[i].w;
				swap(&c[i], &c[mid++]);
			}
		if (mid == hi) { /* the pivot is the last: set it apart, so that the range shrinks */
			for (int i = lo; i < hi; i++)
				if (c[i].i == pivot.i) swap(&c[i], &c[hi - 1]);
			mid = hi - 1;
			sum -= pivot.w;
		}
		if (mid >= count || have + sum >= mass) {
			hi = mid;
		} else {
			have += sum;
			lo = mid;
		}
	}
	for (int i = lo + 1; i < hi; i++)
		for (int j = i; j > lo && before(c[j], c[j - 1]); j--) swap(&c[j], &c[j - 1]);
	while (lo < hi && lo < count && (lo == 0 || have < mass)) have += c[lo++].w;
	*kept = have;
	return lo;
}

/* Tokens with w >= t into k->c. */
static int gather(inoci_picker *k, int n, float t)
{
	int m = 0;
	for (int b = 0; b * BLOCK < n; b++) {
		if (k->wmax[b] < t) continue;
		int end = n - b * BLOCK < BLOCK ? n : (b + 1) * BLOCK;
		for (int i = b * BLOCK; i < end; i++) {
			k->c[m] = (struct cand){k->w[i], i};
			m += k->w[i] >= t;
		}
	}
	return m;
}

static int draw_filtered(inoci_picker *k, const inoci_sample_settings *s, int n, double total, double u)
{
	/* Falling thresholds, until what is above one surely holds all that the filters keep. */
	static const float steps[] = {0x1p-6f, 0x1p-12f, 0x1p-20f, 0x1p-126f, 0};
	bool by_k = s->top_k > 0 && s->top_k < n;
	int m = 0;
	for (size_t t = 0; t < INOCI_COUNT(steps); t++) {
		m = gather(k, n, steps[t]);
		double mass = 0;
		if (!by_k && s->top_p < 1)
			for (int i = 0; i < m; i++) mass += k->c[i].w;
		if (m == n || (by_k ? m >= s->top_k : s->top_p < 1 && mass >= s->top_p * total)) break;
		if (steps[t] <= s->min_p && !(by_k && s->top_p < 1)) break; /* top-p is of the weight of all top k */
	}
	double kept = total;
	if (by_k) m = select_first(k->c, m, s->top_k, INFINITY, &kept);
	if (s->top_p < 1) m = select_first(k->c, m, m, s->top_p * kept, &kept);
	if (s->min_p > 0) {
		int j = 0;
		kept = 0;
		for (int i = 0; i < m; i++)
			if (k->c[i].w >= (float)s->min_p) kept += k->c[i].w, k->c[j++] = k->c[i];
		m = j;
	}
	double left = u * kept;
	int last = -1;
	for (int i = 0; i < m; i++) {
		if (!(k->c[i].w > 0)) continue;
		last = k->c[i].i;
		if (left < k->c[i].w) break;
		left -= k->c[i].w;
	}
	return last;
}

static int draw(const inoci_picker *k, int n, double total, double u)
{
	double left = u * total;
	int last = -1;
	for (int b = 0; b * BLOCK < n; b++) {
		if (!(k->sum[b] > 0)) continue;
		bool here = left < k->sum[b];
		int end = n - b * BLOCK < BLOCK ? n : (b + 1) * BLOCK;
		double in = left;
		if (!here) {
			left -= k->sum[b];
			/* Only where no later block weighs anything does rounding leave the draw behind the end. */
			for (int i = end - 1; i >= b * BLOCK; i--)
				if (k->w[i] > 0) {
					last = i;
					break;
				}
			continue;
		}
		for (int i = b * BLOCK; i < end; i++) {
			if (!(k->w[i] > 0)) continue;
			last = i;
			if (in < k->w[i]) return i;
			in -= k->w[i];
		}
		return last;
	}
	return last;
}

int32_t inoci_pick(inoci_picker *k, const inoci_pick_plan *p, const float *z, const int32_t *seen, int n_seen, double u,
                   float *logprob, int32_t *top_ids, float *top_logprob)
{
	const inoci_sample_settings *s = &p->s;
	int V = p->vocab, n = V;
	float max = row_max(z, V, k->zmax);
	double sum = row_exp(k, z, V, max, 1);
	if (!(sum > 0) || isinf(sum) || isinf(max)) return -1;
	double lse = max + log(sum);
	if (s->top_logprobs) {
		row_top(z, V, k->zmax, s->top_logprobs, top_ids, top_logprob);
		for (int i = 0; i < s->top_logprobs; i++) top_logprob[i] = (float)(top_logprob[i] - lse);
	}

	/* The row drawn from. */
	const float *y = z;
	if (s->repetition_penalty != 1 && n_seen) {
		memcpy(k->z, z, (size_t)V * sizeof *z);
		float r = (float)s->repetition_penalty;
		for (int i = 0; i < n_seen; i++) k->z[seen[i]] = z[seen[i]] < 0 ? z[seen[i]] * r : z[seen[i]] / r;
		y = k->z;
	}
	if (p->allowed) {
		n = p->n_allowed;
		for (int i = 0; i < n; i++) k->z[i] = y[p->allowed[i]]; /* in place where y is k->z: allowed[i] >= i */
		y = k->z;
	}
	int at;
	if (s->temperature == 0) {
		if (y != z) max = row_max(y, n, k->zmax);
		int b = 0;
		while (k->zmax[b] != max) b++;
		for (at = b * BLOCK; y[at] != max; at++) {}
	} else {
		double total = sum;
		if (y != z || s->temperature != 1) {
			if (y != z) max = row_max(y, n, NULL);
			total = row_exp(k, y, n, max, (float)(1 / s->temperature));
		}
		bool filters = (s->top_k > 0 && s->top_k < n) || s->top_p < 1 || s->min_p > 0;
		at = filters ? draw_filtered(k, s, n, total, u) : draw(k, n, total, u);
	}
	if (at < 0) return -1;
	int32_t id = p->allowed ? p->allowed[at] : at;
	*logprob = (float)(z[id] - lse);
	return id;
}
