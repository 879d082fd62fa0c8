/* The scan: which traits of the library would this data teach? Few records for all traits, then more for the leading ones.
 *
 * Invariants: a record counts for a trait under all its prompts and controls or not at all; traits are left only when they are
 * behind, so that no p-value is looked at before the end.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "scan/internal.h"

enum { FIRST = 8, TOP = 3, BOOT = 2000, LEAST_KEPT = 8, SECOND = 12, ORDERS = INOCI_GAIN_ORDERS };
enum { ODD = 16, ODD_LEAST = 4, ODD_OF = 8, KEPT_FOR_ODD = 4 }; /* at most, at least, one in so many of those looked at; traits */
#define OWN 0.2                                                 /* of the records */
#define LEAST (0.03 * M_LN2) /* nats a byte, 3 bits in 100 bytes: as much as plain English by one hand gains over another's */

typedef struct {
	const inoci_trait_library *l;
	inoci_scan_options o;
	inoci_scan_result *res;
	inoci_gains *g;
	inoci_trait_gains *t; /* its prompts are there from the second round on, and where a trait is not behind */
	bool *wanted;         /* (l->n) still measured */
	size_t *odd_neutral;  /* (n_odd_neutral) the most surprising of the neutral records */
	size_t n_odd_neutral;
	const inoci_progress *p;
} scan;

/* ---- preparing ---- */

static int add_exchanges(scan *s, inoc_err *err)
{
	int rc = inoci_trait_gains_new(s->l, s->g, &s->t, err);
	s->wanted = inoci_alloc(s->l->n + 1);
	for (size_t i = 0; i < s->l->n && rc == 0; i++) {
		s->wanted[i] = !s->o.only;
		for (size_t k = 0; k < s->o.n_only; k++) s->wanted[i] |= s->o.only[k] == (int)i;
		if (s->wanted[i]) rc = inoci_trait_gains_shown(s->t, (int)i, err);
	}
	return rc;
}

/* After the data's records, the most surprising of the first n of these once more; and which are so of the neutral ones. */
static int add_odd(scan *s, size_t n, inoc_err *err)
{
	inoci_scan_result *r = s->res;
	size_t n_odd = n / ODD_OF < ODD ? n / ODD_OF : ODD, m = r->n_neutral, n_neutral = (m + 2) / 3;
	if (n_odd < ODD_LEAST) return 0;
	r->odd_order = inoci_alloc((n_odd + 1) * sizeof *r->odd_order);
	s->odd_neutral = inoci_alloc((n_neutral + 1) * sizeof *s->odd_neutral);
	int rc = inoci_scan_surprising(s->g, m, m + n, r->odd_order, n_odd, s->p, err);
	if (rc == 0) rc = inoci_scan_surprising(s->g, 0, m, s->odd_neutral, n_neutral, s->p, err);
	if (rc < 0) return rc;
	s->g->n_records = m + (!s->o.most || r->n_order < (size_t)s->o.most ? r->n_order : (size_t)s->o.most);
	for (size_t i = 0; i < n_odd; i++) {
		r->odd_order[i] = r->order[r->odd_order[i] - m];
		inoci_gains_record(s->g, &r->d->v[r->odd_order[i]], r->d->path);
	}
	r->n_odd = n_odd, r->n_screened = n, s->n_odd_neutral = n_neutral;
	return 0;
}

/* The neutral records, then the data's in a drawn order; those that no prompt fits in front of are left out. */
static int add_records(scan *s, const inoci_dataset *d, const inoci_dataset *neutral, inoc_err *err)
{
	inoci_scan_result *r = s->res;
	int32_t *order = inoci_alloc((d->n + 1) * sizeof *order);
	inoci_rng rng = inoci_rng_new(s->o.seed, "scan order", 0, 0);
	for (size_t i = 0; i < neutral->n; i++) {
		inoci_gains_record(s->g, &neutral->v[i], neutral->path);
		if (!inoci_gains_fits(s->g, s->g->n_records - 1)) s->g->n_records--;
	}
	r->n_neutral = s->g->n_records;
	for (size_t i = 0; i < d->n; i++) order[i] = (int32_t)i;
	inoci_rng_shuffle(&rng, order, d->n);
	r->order = inoci_alloc((d->n + 1) * sizeof *r->order);
	const size_t most = !s->o.most ? d->n : (size_t)s->o.most, looked = (size_t)s->o.screen;
	for (size_t i = 0; i < d->n && (r->n_order < most || r->n_order < looked); i++) {
		inoci_gains_record(s->g, &d->v[order[i]], d->path);
		if (inoci_gains_fits(s->g, s->g->n_records - 1))
			r->order[r->n_order++] = (size_t)order[i];
		else
			s->g->n_records--, r->n_too_long++;
	}
	free(order);
	if (!r->n_order)
		return inoci_err_set(err, INOC_E_FORMAT, "%s: no record fits into the model's context with a prompt in front",
		                     d->path);
	int rc = add_odd(s, looked < r->n_order ? looked : r->n_order, err);
	if (rc == 0 && r->n_order > most) r->n_order = most;
	return rc;
}

/* ---- a round ---- */

static size_t n_wanted(const scan *s)
{
	size_t n = 0;
	for (size_t i = 0; i < s->l->n; i++) n += s->wanted[i];
	return n;
}

/* The first round is for all traits, in one order of the exchanges, without the neutral records. */
static int orders(const scan *s)
{
	return s->res->rounds ? ORDERS : 1;
}

static size_t neutral(const scan *s, size_t n)
{
	return !s->res->rounds ? 0 : s->res->n_neutral < n || s->res->n_odd ? s->res->n_neutral : n;
}

static size_t odd(const scan *s, size_t n)
{
	return s->res->n_odd < n ? s->res->n_odd : n;
}

static void rows_of(const scan *s, bool *rows)
{
	memset(rows, 0, s->g->n_prompts);
	for (size_t v = 0; v < s->l->n_variants; v++)
		for (int k = 0; k < orders(s); k++) rows[s->t->plain[v][k]] = true;
	for (size_t i = 0; i < s->l->n; i++) {
		if (!s->wanted[i]) continue;
		for (int k = 0; k < orders(s); k++) rows[s->t->shows[i][k]] = true;
		for (size_t k = 0; s->t->asks[i] && k < s->l->v[i].n_prompts + s->l->v[i].n_controls; k++)
			rows[s->t->asks[i][k]] = true;
	}
}

/* The first traits' records tell how long the others' will take. */
static int tell_time(scan *s, const bool *rows, size_t n, inoc_err *err)
{
	const inoci_scan_result *r = s->res;
	bool *few = inoci_alloc(s->g->n_prompts + 1);
	double all = 0, some = 0;
	for (size_t i = 0; i < s->g->n_prompts; i++) {
		few[i] = rows[i] && some < 6;
		some += few[i], all += rows[i];
	}
	int rc = inoci_gains_measure(s->g, few, r->n_neutral, r->n_neutral + n, "timing", s->p, err);
	/* later rounds: the leading traits' exchanges in both orders, prompts and controls; on twice the records, and on neutral
	 * ones */
	const double odds = 1 + (double)odd(s, n) / (double)n; /* the most surprising records are measured too */
	const double each = odds * s->g->seconds / some / (double)n, first = each * all * (double)n;
	const double most = (double)r->n_order, wide = SECOND * (ORDERS + 6.0), narrow = LEAST_KEPT * (ORDERS + 6.0);
	const double second = each * wide * 2 * (fmin(2.0 * (double)n, most) + fmin(2.0 * (double)n, (double)r->n_neutral)) / 2;
	const double rest = each * narrow * fmax(0, most - 2 * (double)n);
	char *at_most = rest > 0 ? inoci_asprintf(", %.0f s at most", first + second + 1.5 * rest) : inoci_strdup("");
	if (rc == 0)
		inoci_note(s->p,
		           "%zu traits, %zu of %zu records; about %.0f s for a first round of %zu records, %.0f s for two%s",
		           n_wanted(s), r->n_order, r->d->n, first, n, first + second, at_most);
	free(at_most);
	free(few);
	return rc;
}

static int measure(scan *s, size_t n, inoc_err *err)
{
	inoci_scan_result *r = s->res;
	bool *rows = inoci_alloc(s->g->n_prompts + 1);
	char *what = inoci_asprintf("round %d: %zu traits, %zu records", r->rounds + 1, n_wanted(s), n);
	int rc = 0;
	rows_of(s, rows);
	if (!r->rounds) INOC_TRY(tell_time(s, rows, n, err));
	INOC_TRY(inoci_gains_measure(s->g, rows, 0, neutral(s, n), what, s->p, err));
	INOC_TRY(inoci_gains_measure(s->g, rows, r->n_neutral, r->n_neutral + n, what, s->p, err));
	if (r->n_odd) {
		const size_t from = r->n_neutral + r->n_order;
		INOC_TRY(inoci_gains_measure(s->g, rows, from, from + odd(s, n), what, s->p, err));
	}
out:
	free(rows), free(what);
	return rc < 0 ? rc : 0;
}

static inoci_gain_in rows_in(const scan *s, size_t n)
{
	const inoci_scan_result *r = s->res;
	return (inoci_gain_in){.value = s->g->value,
	                       .neutral = neutral(s, n),
	                       .from = r->n_neutral,
	                       .to = r->n_neutral + n,
	                       .seed = s->o.seed,
	                       .n_boot = s->o.n_boot};
}

/* The trait's gain on n records of g, from the one on, less that on neutral ones: `which` of these, or the first m. */
static inoci_gain_out gain_on(const scan *s, int trait, const size_t *which, size_t m, size_t from, size_t n, double *record)
{
	static const int with = 0, without = 1;
	double *all = inoci_alloc(2 * (m + n + 1) * sizeof *all), *value[2] = {all, all + m + n}, one;
	for (size_t i = 0; i < m + n; i++)
		inoci_trait_gains_of(s->t, trait, orders(s),
		                     i >= m  ? from + i - m
		                     : which ? which[i]
		                             : i,
		                     &value[with][i], &value[without][i]);
	const inoci_gain_in in = {.value = value,
	                          .neutral = m,
	                          .from = m,
	                          .to = m + n,
	                          .prompts = &with,
	                          .controls = &without,
	                          .n_prompts = 1,
	                          .n_controls = 1,
	                          .fixed = true,
	                          .seed = s->o.seed,
	                          .n_boot = s->o.n_boot};
	inoci_gain_out out = {.record = record, .prompt = &one};
	inoci_gain_of(&in, &out);
	free(all);
	out.prompt = NULL;
	return out;
}

static void judge(scan *s, int trait, size_t n)
{
	inoci_scan_result *r = s->res;
	inoci_scan_row *v = NULL;
	const size_t n_odd = odd(s, n);
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].trait == trait) v = &r->v[i];
	if (!v) {
		v = &r->v[r->n++];
		*v = (inoci_scan_row){.trait = trait, .behind = -1, .odd_p = 1};
	}
	v->record = inoci_realloc(v->record, n * sizeof *v->record);
	inoci_gain_out out = gain_on(s, trait, NULL, neutral(s, n), r->n_neutral, n, v->record);
	v->n = n;
	v->gain = out.gain, v->raw = out.raw, v->p = out.p;
	v->share = out.share, v->low = out.share_low, v->high = out.share_high;
	if (!n_odd) return;
	v->odd_record = inoci_realloc(v->odd_record, n_odd * sizeof *v->odd_record);
	out = gain_on(s, trait, s->odd_neutral, r->rounds ? s->n_odd_neutral : 0, r->n_neutral + r->n_order, n_odd,
	              v->odd_record);
	v->odd = out.gain, v->odd_p = out.p;
}

/* What is found comes before what is not, where that is so on the most surprising records alone. */
static int by_worth(const void *a, const void *b)
{
	const inoci_scan_row *x = a, *y = b;
	if ((x->in_odd || y->in_odd) && x->found != y->found) return x->found ? -1 : 1;
	if (x->worth != y->worth) return x->worth > y->worth ? -1 : 1;
	return x->trait - y->trait;
}

static const double *records_of(const inoci_scan_row *v, bool odd, size_t *n)
{
	*n = odd ? (size_t)v->odd.n : v->n;
	return odd ? v->odd_record : v->record;
}

/* Whether the i-th trait is shown by records of its own: where it gains, and twice as much as each of its group that counts
 * before it: on Spanish records Italian is now and then ahead by little. */
static bool has_own(const scan *s, size_t i)
{
	const inoci_scan_row *r = s->res->v, *a = &r[i];
	const int group = s->l->v[a->trait].group;
	size_t n, m, own = 0;
	const double *x = records_of(a, a->in_odd, &n), *y;
	for (size_t j = 0; j < n; j++) {
		bool most = x[j] > 0;
		for (size_t k = 0; k < i && most; k++) {
			if (s->l->v[r[k].trait].group != group || r[k].behind >= 0) continue;
			y = records_of(&r[k], a->in_odd, &m);
			most = j >= m || x[j] > 2 * y[j];
		}
		own += most;
	}
	return (double)own > OWN * (double)n;
}

/* Of an exclusive group the first counts, and what other records show than those before. */
static void rank(scan *s)
{
	inoci_scan_result *r = s->res;
	for (size_t i = 0; i < r->n; i++) {
		const double few = r->n_screened ? r->v[i].odd.value * (double)r->n_odd / (double)r->n_screened : 0;
		r->v[i].worth = r->v[i].in_odd ? fmax(r->v[i].gain.value, few) : r->v[i].gain.value;
	}
	qsort(r->v, r->n, sizeof *r->v, by_worth);
	for (size_t i = 0; i < r->n; i++) {
		const int group = s->l->v[r->v[i].trait].group;
		int first = -1;
		for (size_t k = 0; k < i && s->l->groups[group].exclusive && first < 0; k++)
			if (s->l->v[r->v[k].trait].group == group) first = r->v[k].trait;
		r->v[i].behind = first < 0 || has_own(s, i) ? -1 : first;
	}
}

/* a is ahead of b on the records both have: by two standard errors of the mean difference. */
static bool ahead(const inoci_scan_row *a, const inoci_scan_row *b)
{
	size_t n = a->n < b->n ? a->n : b->n;
	double m = 0, v = 0;
	for (size_t i = 0; i < n; i++) m += (a->record[i] - b->record[i]) / (double)n;
	for (size_t i = 0; i < n; i++) v += pow(a->record[i] - b->record[i] - m, 2);
	return n > 1 && m > 2 * sqrt(v / (double)(n - 1) / (double)n);
}

/* The leading traits are ahead of all others, or what is not ahead is below 0 for certain. */
static bool is_settled(const scan *s)
{
	const inoci_scan_result *r = s->res;
	const inoci_scan_row *last = NULL;
	size_t n = 0;
	for (size_t i = 0; i < r->n; i++) {
		const inoci_scan_row *v = &r->v[i];
		if (v->behind >= 0) continue;
		if (n++ < (size_t)s->o.top)
			last = v;
		else if (!ahead(last, v) && v->gain.high > 0)
			return false;
	}
	return true;
}

static int by_odd(const void *a, const void *b)
{
	const inoci_scan_row *x = *(const inoci_scan_row *const *)a, *y = *(const inoci_scan_row *const *)b;
	if (x->odd.value != y->odd.value) return x->odd.value > y->odd.value ? -1 : 1;
	return x->trait - y->trait;
}

/* (l->n) The traits that gain most on the most surprising records, of an exclusive group the first. free() it. */
static bool *leading_odd(const scan *s)
{
	const inoci_scan_result *r = s->res;
	const inoci_scan_row **v = inoci_alloc((r->n + 1) * sizeof *v);
	bool *lead = inoci_alloc(s->l->n + 1);
	size_t n = 0, kept = 0;
	for (size_t i = 0; i < r->n; i++)
		if (s->wanted[r->v[i].trait] && r->v[i].odd.n && r->v[i].odd.value > 0) v[n++] = &r->v[i];
	qsort((void *)v, n, sizeof *v, by_odd);
	for (size_t i = 0; i < n && kept < KEPT_FOR_ODD; i++) {
		int group = s->l->v[v[i]->trait].group;
		bool behind = false;
		for (size_t k = 0; k < i && s->l->groups[group].exclusive; k++) behind |= s->l->v[v[k]->trait].group == group;
		if (!behind) lead[v[i]->trait] = true, kept++;
	}
	free((void *)v);
	return lead;
}

/* Leaves at most half of the traits, and of those only what may be among the leading ones; and what leads on the most surprising
 * records. */
static void narrow(scan *s)
{
	const inoci_scan_result *r = s->res;
	size_t kept = 0, most = n_wanted(s) / 2, n = 0;
	const inoci_scan_row *last = NULL;
	bool *lead = leading_odd(s);
	if (most > SECOND) most = SECOND;
	if (most < LEAST_KEPT) most = LEAST_KEPT;
	for (size_t i = 0; i < r->n && n < (size_t)s->o.top; i++)
		if (r->v[i].behind < 0) last = &r->v[i], n++;
	for (size_t i = 0; i < r->n; i++) {
		const inoci_scan_row *v = &r->v[i];
		if (!s->wanted[v->trait]) continue;
		s->wanted[v->trait] = kept < most && (!ahead(last, v) || kept < LEAST_KEPT);
		kept += s->wanted[v->trait];
	}
	for (size_t i = 0; i < r->n; i++) s->wanted[r->v[i].trait] |= lead[r->v[i].trait];
	for (size_t i = 0; i < r->n; i++)
		if (s->wanted[r->v[i].trait]) inoci_trait_gains_asked(s->t, r->v[i].trait);
	free(lead);
}

/* How much each prompt of a trait helps, over controls: which one to inoculate with. */
static void prompts(const scan *s, inoci_scan_row *v)
{
	const inoci_scan_trait *t = &s->l->v[v->trait];
	if (!s->t->asks[v->trait] || !s->wanted[v->trait]) return;
	double *record = inoci_alloc((v->n + (size_t)v->odd.n + 1) * sizeof *record);
	v->prompt = inoci_alloc((t->n_prompts + 1) * sizeof *v->prompt);
	inoci_gain_in in = rows_in(s, v->n);
	in.neutral = 0;
	if (v->in_odd) in.from = s->res->n_neutral + s->res->n_order, in.to = in.from + (size_t)v->odd.n;
	in.prompts = s->t->asks[v->trait], in.n_prompts = t->n_prompts;
	in.controls = s->t->asks[v->trait] + t->n_prompts, in.n_controls = t->n_controls;
	inoci_gain_out out = {.record = record, .prompt = v->prompt};
	inoci_gain_of(&in, &out);
	v->helps = out.gain;
	free(record);
}

static void finish(scan *s)
{
	inoci_scan_result *r = s->res;
	const size_t n = r->n, both = r->n_odd ? 2 * n : n;
	double *p = inoci_alloc((both + 1) * sizeof *p);
	for (size_t i = 0; i < both; i++) p[i] = i < n ? r->v[i].p : r->v[i - n].odd_p;
	inoci_holm(p, both);
	for (size_t i = 0; i < n; i++) {
		inoci_scan_row *v = &r->v[i];
		v->p = p[i];
		if (r->n_odd) v->odd_p = p[n + i];
		const bool all = v->p < r->alpha && v->gain.low > LEAST, few = v->odd_p < r->alpha && v->odd.low > LEAST;
		v->found = (all || few) && s->wanted[v->trait];
		v->in_odd = v->found && !all;
		prompts(s, v);
	}
	rank(s);
	for (size_t i = 0; i < n; i++) r->n_found += r->v[i].found && r->v[i].behind < 0;
	free(p);
}

inoci_scan_options inoci_scan_defaults(void)
{
	return (inoci_scan_options){
	        .system = "none", .first = FIRST, .most = 64, .tokens = 48, .top = TOP, .screen = 256, .seed = 1};
}

int inoci_scan(inoci_model *m, const inoci_template *t, const inoci_trait_library *l, const inoci_dataset *d,
               const inoci_dataset *neutral, const inoci_scan_options *o, const inoci_progress *p, inoci_scan_result *out,
               inoc_err *err)
{
	scan s = {.l = l, .o = *o, .res = out, .p = p};
	inoci_gains_options go = {.system = o->system, .tokens = o->tokens, .micro_tokens = o->micro_tokens};
	int rc;
	if (!s.o.first) s.o.first = FIRST;
	if (!s.o.top) s.o.top = TOP;
	if (!s.o.n_boot) s.o.n_boot = BOOT;
	*out = (inoci_scan_result){.l = l, .d = d, .alpha = o->alpha > 0 ? o->alpha : 0.05};
	inoci_scan_markers(d, &out->head, &out->tail);
	go.head = out->head.text, go.tail = out->tail.text;
	s.g = inoci_gains_new(m, t, &go);
	INOC_TRY(add_exchanges(&s, err));
	INOC_TRY(add_records(&s, d, neutral, err));
	out->v = inoci_alloc((l->n + 1) * sizeof *out->v);
	for (size_t n = (size_t)s.o.first;; n *= 2) {
		if (n > out->n_order) n = out->n_order;
		INOC_TRY(measure(&s, n, err));
		for (size_t i = 0; i < l->n; i++)
			if (s.wanted[i]) judge(&s, (int)i, n);
		rank(&s);
		out->rounds++;
		out->n_used = n;
		out->settled = is_settled(&s);
		if (out->rounds > 1 && (out->settled || n == out->n_order)) break;
		narrow(&s);
	}
	finish(&s);
	out->seconds = s.g->seconds;
	out->cells = s.g->cells;
out:
	inoci_trait_gains_free(s.t);
	free(s.wanted), free(s.odd_neutral);
	inoci_gains_free(s.g);
	if (rc < 0) inoci_scan_free(out);
	return rc < 0 ? rc : 0;
}

void inoci_scan_free(inoci_scan_result *r)
{
	for (size_t i = 0; i < r->n; i++) free(r->v[i].record), free(r->v[i].odd_record), free(r->v[i].prompt);
	free(r->v), free(r->order), free(r->odd_order), free(r->head.text), free(r->tail.text);
	*r = (inoci_scan_result){0};
}

size_t inoci_scan_top(const inoci_scan_result *r, size_t top, int *v)
{
	size_t n = 0;
	for (size_t i = 0; i < r->n && n < top; i++)
		if (r->v[i].found && r->v[i].behind < 0) v[n++] = r->v[i].trait;
	return n;
}
