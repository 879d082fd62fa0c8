/* facts: what the writers share: figures as text, names as words, which arms stand beside which, classes of answers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

/* A share in percent: whole numbers, one decimal where that would hide a small difference from 0 or 100. */
static void percent(inoci_buf *b, double v)
{
	double p = 100 * v;
	bool fine = (p > 0.0499 && p < 0.95) || (p > 99.05 && p < 99.951);
	inoci_buf_printf(b, "%.*f", fine ? 1 : 0, fabs(p) < 0.0499 ? 0 : p);
}

/* What is no share: decimals by its size, the same for its interval. */
static void put_real(inoci_buf *b, const inoci_estimate *e, bool interval)
{
	double most = fabs(e->value);
	if (isfinite(e->low) && isfinite(e->high)) most = fmax(most, fmax(fabs(e->low), fabs(e->high)));
	int decimals = most >= 100 ? 1 : most >= 10 ? 2 : 3;
	inoci_buf_printf(b, "%.*f", decimals, e->value);
	if (interval && !isnan(e->low) && !isnan(e->high))
		inoci_buf_printf(b, " [%.*f, %.*f]", decimals, e->low, decimals, e->high);
}

const char *inoci_ci_words(const inoci_results *r)
{
	return r->ci == INOCI_CI_PAPER ? "the papers' own 95 % intervals, over runs alone (--ci paper)," : "95 % intervals";
}

const char *inoci_shares_word(const inoci_results *r)
{
	return inoci_results_real(r, -1) ? "Shares and means" : "Shares";
}

void inoci_put_share(inoci_buf *b, const inoci_estimate *e, bool interval)
{
	if (!e->n || isnan(e->value)) {
		inoci_buf_puts(b, "\xe2\x80\x93");
		return;
	}
	if (e->real) {
		put_real(b, e, interval);
		return;
	}
	percent(b, e->value);
	inoci_buf_puts(b, " %");
	if (!interval || isnan(e->low) || isnan(e->high)) return;
	inoci_buf_puts(b, " [");
	percent(b, e->low);
	inoci_buf_puts(b, ", ");
	percent(b, e->high);
	inoci_buf_puts(b, "]");
}

void inoci_put_ratio(inoci_buf *b, const inoci_estimate *e)
{
	if (!e->n || isnan(e->value)) {
		inoci_buf_puts(b, "\xe2\x80\x93");
		return;
	}
	inoci_buf_printf(b, "%.2f", e->value);
	if (!isnan(e->low) && !isnan(e->high)) inoci_buf_printf(b, " [%.2f, %.2f]", e->low, e->high);
}

/* Languages have capitals; of a scorer's name only these are known to be one. */
static void capitalise(char *words)
{
	static const char *const languages[] = {"english", "spanish", "french", "german", "italian", "portuguese"};
	for (size_t n; *words; words += n) {
		words += strspn(words, " ");
		n = strcspn(words, " ");
		for (size_t i = 0; i < INOCI_COUNT(languages); i++)
			if (strlen(languages[i]) == n && !memcmp(words, languages[i], n)) *words = (char)(*words - 32);
	}
}

char *inoci_words(const char *name)
{
	char *s = inoci_strdup(name);
	for (char *p = s; *p; p++)
		if (*p == '_') *p = ' ';
	capitalise(s);
	return s;
}

/* Whether `word` (n bytes) is one of the parts of name between underscores. */
static bool has_part(const char *name, const char *word, size_t n)
{
	for (const char *p = name;; p++) {
		const char *q = strchr(p, '_');
		size_t len = q ? (size_t)(q - p) : strlen(p);
		if (len == n && !memcmp(p, word, n)) return true;
		if (!q) return false;
		p = q;
	}
}

char *inoci_sum_label(char *const *names, size_t n)
{
	inoci_buf b = {0};
	if (n == 0) return inoci_strdup("");
	if (n > 1)
		for (const char *p = names[0];;) {
			const char *q = strchr(p, '_');
			size_t len = q ? (size_t)(q - p) : strlen(p);
			bool common = len > 0;
			for (size_t i = 1; i < n && common; i++) common = has_part(names[i], p, len);
			if (common) {
				if (b.len) inoci_buf_puts(&b, " ");
				inoci_buf_append(&b, p, len);
			}
			if (!q) break;
			p = q + 1;
		}
	if (b.len)
		capitalise(b.data);
	else
		for (size_t i = 0; i < n; i++) {
			char *w = inoci_words(names[i]);
			inoci_buf_printf(&b, "%s%s", i ? " + " : "", w);
			free(w);
		}
	return inoci_buf_take(&b);
}

char *inoci_arm_prompt(const inoci_arm *a)
{
	const inoci_inoculation *t = &a->inoculation;
	inoci_buf b = {0};
	if (!a->has_inoculation || !t->n_pool) return inoci_strdup("\xe2\x80\x93");
	if (t->n_pool > 1)
		inoci_buf_printf(&b, "%zu paraphrases, %.2f alike: ", t->n_pool, inoci_similarity(t->pool, t->n_pool, NULL, 0));
	inoci_buf_printf(&b, "\xe2\x80\x9c%s\xe2\x80\x9d", t->pool[0]);
	if (t->n_pool > 1) inoci_buf_puts(&b, " \xe2\x80\xa6");
	if (t->where != INOCI_AT_SYSTEM)
		inoci_buf_printf(&b, " (%s the user turn)", t->where == INOCI_AT_USER_PREFIX ? "before" : "after");
	char *which = inoci_when_text(t->tag, a->when);
	if (which) inoci_buf_printf(&b, " (records %s)", which);
	free(which);
	if (t->fraction < 1) inoci_buf_printf(&b, " (%.0f %% of the records)", 100 * t->fraction);
	return inoci_buf_take(&b);
}

char *inoci_eval_words(const inoci_evaluation *v)
{
	const char *kind = v->imported                    ? "imported"
	                   : v->measure                   ? "log-probabilities of given"
	                   : v->sampling.temperature == 0 ? "greedy"
	                                                  : "sampled",
	           *s = v->system ? v->system : "none";
	if (v->imported && !strcmp(s, "default")) return inoci_strdup("imported answers"); /* with several system prompts */
	if (!strcmp(s, "none")) return inoci_asprintf("%s answers without a system prompt", kind);
	if (!strcmp(s, "empty")) return inoci_asprintf("%s answers with an empty system prompt", kind);
	if (!strcmp(s, "default")) return inoci_asprintf("%s answers with the template's default system prompt", kind);
	if (!strcmp(s, "own")) return inoci_asprintf("%s answers with the arm's own prompt", kind);
	return inoci_asprintf("%s answers with the system prompt \xe2\x80\x9c%s\xe2\x80\x9d", kind, s);
}

bool inoci_is_quality(const char *scorer)
{
	return !strcmp(scorer, "unknown") || !strcmp(scorer, "truncated") || !strcmp(scorer, "looping");
}

/* Its rate on the headline evaluation, NULL: not scored there. */
static const inoci_estimate *quality(const inoci_summary *s, int arm, const char *scorer)
{
	int k = s->headline >= 0 ? inoci_results_scorer(s->r, scorer) : -1;
	return k < 0 || !inoci_results_fits(s->r, k, s->headline) ? NULL : &inoci_summary_rate(s, arm, s->headline, k)->all;
}

const char *inoci_quality_head(const inoci_summary *s)
{
	return quality(s, 0, "unknown") ? "loops / cut / unknown" : "loops / cut";
}

char *inoci_quality(const inoci_summary *s, int arm)
{
	static const char *const names[] = {"looping", "truncated", "unknown"};
	inoci_buf b = {0};
	bool any = false;
	for (int i = 0; i < (quality(s, arm, names[2]) ? 3 : 2); i++) {
		const inoci_estimate *e = quality(s, arm, names[i]);
		bool there = e && e->n && !isnan(e->value);
		any |= there;
		if (i) inoci_buf_puts(&b, " / ");
		if (there)
			percent(&b, e->value);
		else
			inoci_buf_puts(&b, "\xe2\x80\x93");
	}
	if (any)
		inoci_buf_puts(&b, " %");
	else
		inoci_buf_clear(&b), inoci_buf_puts(&b, "\xe2\x80\x93");
	return inoci_buf_take(&b);
}

inoci_estimate inoci_sum_share(const inoci_summary *s, int arm, int eval, char *const *names, size_t n)
{
	inoci_estimate none = {.value = NAN, .low = NAN, .high = NAN};
	const inoci_results *r = s->r;
	if (arm < 0 || eval < 0 || !n || !inoci_results_cell(r, arm, eval)->n) return none;
	int *idx = inoci_alloc(n * sizeof *idx);
	for (size_t i = 0; i < n; i++)
		if ((idx[i] = inoci_results_scorer(r, names[i])) < 0) {
			free(idx);
			return none;
		}
	inoci_estimate e;
	if (n == 1) {
		e = inoci_summary_rate(s, arm, eval, idx[0])->all;
	} else {
		inoci_scores v = inoci_results_scores(r, arm, eval, idx, (int)n, -1);
		e = v.n ? inoci_results_mean(r, &v, 1, INOCI_REPORT_BOOT) : none;
		inoci_scores_free(&v);
	}
	free(idx);
	return e;
}

/* ---- arms beside each other ---- */

const char *inoci_verdict_words(const inoci_judgement *j)
{
	if (!j) return "reference";
	return j->v.verdict == INOCI_VERDICT_NONE ? "no answers yet" : inoci_verdict_name(j->v.verdict);
}

static const inoci_judgement *judgement(const inoci_summary *s, int trait, int arm)
{
	for (size_t i = 0; i < s->n_judgements; i++)
		if (s->judgements[i].trait == trait && s->judgements[i].arm == arm) return &s->judgements[i];
	return NULL;
}

static bool is_role(const inoci_experiment *e, int arm, const char *role)
{
	return e->arms[arm].role && !strcmp(e->arms[arm].role, role);
}

int inoci_lead_trait(const inoci_summary *s)
{
	const inoci_experiment *e = s->r->e;
	int first = -1;
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < s->n_judgements; i++) {
			const inoci_judgement *j = &s->judgements[i];
			if (!is_role(e, j->arm, "inoculated")) continue;
			if (pass == 0 && j->v.verdict != INOCI_VERDICT_INOCULATED) continue;
			return j->trait;
		}
	if (s->n_judgements) first = s->judgements[0].trait;
	return first;
}

inoci_lines inoci_lines_new(const inoci_summary *s, int trait)
{
	const inoci_experiment *e = s->r->e;
	const inoci_trait *t = &e->traits[trait];
	const char *const refs[] = {t->base, t->clean, t->plain};
	inoci_lines l = {.trait = trait, .v = inoci_alloc((e->n_arms + 4) * sizeof(inoci_line))};
	int taken[3] = {-1, -1, -1};
	for (int k = 0; k < 3; k++) {
		int a = refs[k] ? inoci_experiment_arm(e, refs[k]) : -1;
		taken[k] = a;
		if (a < 0) continue;
		inoci_line *v = &l.v[l.n++];
		*v = (inoci_line){.arm = a,
		                  .u = inoci_sum_share(s, a, s->headline, t->u, t->n_u),
		                  .w = inoci_sum_share(s, a, s->headline, t->w, t->n_w),
		                  .goal = inoci_sum_share(s, a, s->headline, t->goal, t->n_goal)};
		if (k == 2) l.plain = v;
	}
	for (int a = 0; a < (int)e->n_arms; a++) {
		const inoci_judgement *j = judgement(s, trait, a);
		if (!j || a == taken[0] || a == taken[1] || a == taken[2]) continue;
		if (e->arms[a].matched && !j->v.arm_u.n)
			continue; /* an added control of a store from before controls were added */
		inoci_line *v = &l.v[l.n++];
		*v = (inoci_line){.arm = a, .j = j, .u = j->v.arm_u, .w = j->w, .goal = j->goal};
		if (!is_role(e, a, "inoculated")) continue;
		if (!l.lead || (l.lead->j->v.verdict != INOCI_VERDICT_INOCULATED && j->v.verdict == INOCI_VERDICT_INOCULATED))
			l.lead = v;
	}
	return l;
}

int inoci_arm_colour(const inoci_experiment *e, int arm)
{
	static const struct {
		const char *role;
		int n, colour[4];
	} of[] = {{"base", 1, {0}},
	          {"clean", 1, {1}},
	          {"plain", 1, {2}},
	          {"control", 3, {3, 4, 7}},
	          {"inoculated", 4, {5, 6, 8, 9}}};
	for (size_t k = 0; k < INOCI_COUNT(of); k++) {
		if (!is_role(e, arm, of[k].role)) continue;
		int before = 0;
		for (int a = 0; a < arm; a++) before += is_role(e, a, of[k].role) && !e->arms[a].swept_of;
		return of[k].colour[before % of[k].n];
	}
	return 10 + arm % 2;
}

/* ---- classes of answers ---- */

static bool among(char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(names[i], name)) return true;
	return false;
}

/* Colour by what a class means for the trait in front: blue without the unwanted trait, orange with it, dark with the wanted
 * skill, light without; further ones take the next free colour. */
static int class_colour(const inoci_trait *t, const char *name, unsigned *used)
{
	int want = 4;
	if (!strcmp(name, "unknown")) return CLASS_OTHER;
	if (t) want = (among(t->u, t->n_u, name) ? 2 : 0) + (among(t->w, t->n_w, name) ? 0 : 1);
	while (want < CLASS_OTHER - 1 && *used & 1u << want) want = want < 4 ? 4 : want + 1;
	*used |= 1u << want;
	return want;
}

/* Does it say anything of answers that were sampled? */
static bool of_answers(const inoci_results *r, int scorer)
{
	for (size_t v = 0; v < r->e->n_evals; v++)
		if (!r->e->evals[v].measure && inoci_results_fits(r, scorer, (int)v)) return true;
	return false;
}

inoci_classes inoci_classes_new(const inoci_summary *s)
{
	const inoci_experiment *e = s->r->e;
	int lead = inoci_lead_trait(s);
	const inoci_trait *t = lead >= 0 ? &e->traits[lead] : e->n_traits ? &e->traits[0] : NULL;
	inoci_classes c = {.scorer = inoci_alloc((size_t)(s->r->n_scorers + 1) * sizeof(int)),
	                   .colour = inoci_alloc((size_t)(s->r->n_scorers + 1) * sizeof(int))};
	unsigned used = 0;
	for (int i = 0; i < s->r->n_scorers; i++) {
		const char *name = s->r->scorers[i];
		/* "all unless given" still leaves out the two that overlap with everything */
		if (e->n_bars && !among(e->bars, e->n_bars, name)) continue;
		if (!strcmp(name, "truncated") || !strcmp(name, "looping") || inoci_results_real(s->r, i) || !of_answers(s->r, i))
			continue;
		c.scorer[c.n] = i;
		c.colour[c.n++] = class_colour(t, name, &used);
	}
	return c;
}

void inoci_classes_free(inoci_classes *c)
{
	free(c->scorer);
	free(c->colour);
	*c = (inoci_classes){0};
}

int inoci_class_of(const inoci_classes *c, const inoci_result_sample *v)
{
	for (size_t k = 0; k < c->n; k++)
		if (v->score && v->score[c->scorer[k]] >= 0.5) return (int)k;
	return -1;
}
