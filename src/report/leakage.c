/* leakage: what the grid of system prompts showed, in words, as a table and as JSON. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

char *inoci_grid_words(const inoci_experiment *e, const inoci_grid_row *row, bool text)
{
	static const char *const words[] = {"no system prompt",      "an empty system prompt", "the template's default",
	                                    "neutral, unseen",       "the inoculation prompt", "a paraphrase seen in training",
	                                    "a paraphrase held out", "its negation",           "a related prompt",
	                                    "an unrelated prompt",   "another prompt"};
	int asks = 0;
	for (size_t i = 0; i < e->n_grid; i++)
		asks += e->grid[i].kind == INOCI_GRID_OWN && row->trait && !strcmp(e->grid[i].trait, row->trait);
	inoci_buf b = {0};
	inoci_buf_puts(&b, words[row->kind]);
	int arm = row->of ? inoci_experiment_arm(e, row->of) : -1;
	if (arm >= 0 && asks > 1) inoci_buf_printf(&b, " of %s", e->arms[arm].label);
	if (text && row->text) inoci_buf_printf(&b, ": \xe2\x80\x9c%s\xe2\x80\x9d", row->text);
	return inoci_buf_take(&b);
}

const inoci_leak *inoci_leak_at(const inoci_summary *s, int trait, int arm, int row)
{
	for (size_t i = 0; i < s->n_leaks; i++)
		if (s->leaks[i].trait == trait && s->leaks[i].arm == arm && s->leaks[i].row == row) return &s->leaks[i];
	return NULL;
}

static bool any(const inoci_summary *s, int trait, int arm, int row)
{
	for (size_t i = 0; i < s->n_leaks; i++) {
		const inoci_leak *l = &s->leaks[i];
		if (l->trait == trait && (arm < 0 || l->arm == arm) && (row < 0 || l->row == row)) return true;
	}
	return false;
}

/* Cuts a text at a letter. free() it. */
static char *shortened(char *s, int max)
{
	int n = 0;
	char *p = s;
	for (; *p && n < max; p++) n += ((unsigned char)p[1] & 0xc0) != 0x80;
	if (!*p || !p[1]) return s;
	char *t = inoci_asprintf("%.*s\xe2\x80\xa6", (int)(p - s), s);
	free(s);
	return t;
}

inoci_report_table inoci_report_leakage(const inoci_summary *s, int trait, bool intervals)
{
	const inoci_experiment *e = s->r->e;
	const char **header = inoci_alloc((e->n_arms + 1) * sizeof *header);
	int *arm = inoci_alloc((e->n_arms + 1) * sizeof *arm);
	size_t n = 0;
	header[0] = "system prompt";
	for (int a = 0; a < (int)e->n_arms; a++)
		if (any(s, trait, a, -1)) arm[n++] = a, header[n] = e->arms[a].label;
	inoci_report_table t = inoci_table_new(header, n + 1, e->n_grid);
	for (size_t c = 1; c <= n; c++) t.right[c] = true;
	for (int i = 0; i < (int)e->n_grid && n; i++) {
		if (!any(s, trait, -1, i)) continue;
		char **row = t.cell + (n + 1) * t.n_rows++;
		row[0] = shortened(inoci_grid_words(e, &e->grid[i], true), intervals ? 1000 : 64);
		for (size_t c = 0; c < n; c++) {
			const inoci_leak *l = inoci_leak_at(s, trait, arm[c], i);
			inoci_buf b = {0};
			if (l) inoci_put_share(&b, &l->u, intervals);
			inoci_buf_puts(&b, !l ? "\xe2\x80\x93" : l->back ? " ^" : intervals ? "" : "  ");
			row[c + 1] = inoci_buf_take(&b);
		}
	}
	free(header), free(arm);
	return t;
}

/* "the negation (48 %)" and so on, of the cells that are back, or of those that are not. */
static int listed(inoci_buf *b, const inoci_summary *s, int trait, int arm, bool back)
{
	const inoci_experiment *e = s->r->e;
	int n = 0;
	for (int i = 0; i < (int)e->n_grid; i++) {
		const inoci_leak *l = inoci_leak_at(s, trait, arm, i);
		if (!l || !l->vs_none.diff.n || l->back != back) continue;
		char *w = inoci_grid_words(e, &e->grid[i], true);
		inoci_buf_printf(b, "%s%s (", n++ ? "; " : "", w);
		inoci_put_share(b, &l->u, true);
		inoci_buf_puts(b, ")");
		free(w);
	}
	return n;
}

char *inoci_report_leaks(const inoci_summary *s, int trait)
{
	const inoci_experiment *e = s->r->e;
	const inoci_trait *t = &e->traits[trait];
	inoci_buf b = {0};
	int none = -1, plain = inoci_experiment_arm(e, t->plain ? t->plain : "");
	for (int i = 0; i < (int)e->n_grid; i++)
		if (e->grid[i].kind == INOCI_GRID_NONE) none = i;
	for (int a = 0; a < (int)e->n_arms && none >= 0; a++) {
		const inoci_leak *l = inoci_leak_at(s, trait, a, none), *p = inoci_leak_at(s, trait, plain, none);
		inoci_buf back = {0};
		if (!l || strcmp(e->arms[a].role, "inoculated")) continue;
		inoci_buf_printf(&b, "%s%s: without a system prompt %s in ", b.len ? "\n" : "", e->arms[a].label, t->label);
		inoci_put_share(&b, &l->u, true);
		if (p) {
			inoci_buf_puts(&b, " (plain training: ");
			inoci_put_share(&b, &p->u, true);
			inoci_buf_puts(&b, ")");
		}
		if (listed(&back, s, trait, a, true))
			inoci_buf_printf(&b, "; it comes back under %s", back.data);
		else
			inoci_buf_puts(&b, "; it comes back clearly under none of the prompts tried");
		inoci_buf_free(&back);
		if (l->u.n_seeds < 3)
			inoci_buf_printf(&b, " (%d seed%s: a direction)", l->u.n_seeds, l->u.n_seeds == 1 ? "" : "s");
		inoci_buf_puts(&b, ".");
	}
	return inoci_buf_take(&b);
}

/* The arm's cells in the order of rows, "96 / 99 / 98 %". */
static bool put_states(inoci_buf *b, const inoci_summary *s, int trait, int arm, const int *rows, int n)
{
	bool there = false;
	for (int i = 0; i < n; i++) {
		const inoci_leak *l = inoci_leak_at(s, trait, arm, rows[i]);
		inoci_buf x = {0};
		inoci_put_share(&x, l ? &l->u : &(inoci_estimate){0}, false);
		if (l && l->u.n && !l->u.real && i + 1 < n) x.data[x.len - 2] = 0; /* " %" once */
		inoci_buf_printf(b, "%s%s", i ? " / " : "", x.data);
		there |= l && l->u.n;
		inoci_buf_free(&x);
	}
	return there;
}

char *inoci_report_neutral(const inoci_summary *s, int trait)
{
	static const inoci_grid_kind kinds[] = {INOCI_GRID_NONE, INOCI_GRID_DEFAULT, INOCI_GRID_NEUTRAL};
	const inoci_experiment *e = s->r->e;
	const inoci_trait *t = &e->traits[trait];
	const inoci_leak *most = NULL;
	int *rows = inoci_alloc((e->n_grid + 1) * sizeof *rows), n = 0, arms = 0;
	inoci_buf b = {0};
	inoci_buf_printf(&b, "%s by system prompt (", t->label);
	for (size_t k = 0; k < INOCI_COUNT(kinds); k++)
		for (int i = 0; i < (int)e->n_grid; i++) {
			if (e->grid[i].kind != kinds[k] || !any(s, trait, -1, i)) continue;
			inoci_buf_printf(&b, "%s%s", n ? " / " : "", k == 0 ? "none" : k == 1 ? "default" : "neutral");
			rows[n++] = i;
		}
	for (size_t i = 0; i < s->n_leaks; i++)
		if (s->leaks[i].trait == trait && (!most || s->leaks[i].u.n > most->u.n)) most = &s->leaks[i];
	if (most)
		inoci_buf_printf(&b, "; up to %d answers each, %d seed%s", most->u.n, most->u.n_seeds,
		                 most->u.n_seeds == 1 ? "" : "s");
	inoci_buf_puts(&b, "): ");
	for (int a = 0; a < (int)e->n_arms; a++) {
		inoci_buf x = {0};
		if (strcmp(e->arms[a].name, t->plain ? t->plain : "") && strcmp(e->arms[a].role, "inoculated")) continue;
		if (put_states(&x, s, trait, a, rows, n))
			inoci_buf_printf(&b, "%s%s %s", arms++ ? "; " : "", e->arms[a].label, x.data);
		inoci_buf_free(&x);
	}
	inoci_buf_puts(&b, ".");
	if (n < 2 || !arms) inoci_buf_free(&b);
	free(rows);
	return n < 2 || !arms ? NULL : inoci_buf_take(&b);
}

json_t *inoci_leakage_json(const inoci_summary *s)
{
	static const char *const kinds[] = {"none",     "empty",    "default", "neutral",   "own",  "seen",
	                                    "held_out", "negation", "related", "unrelated", "other"};
	const inoci_experiment *e = s->r->e;
	json_t *all = json_array();
	for (size_t i = 0; i < s->n_leaks; i++) {
		const inoci_leak *l = &s->leaks[i];
		const inoci_grid_row *row = &e->grid[l->row];
		json_t *o = json_object(), *text = row->text ? json_string(row->text) : NULL;
		json_object_set_new(o, "trait", json_string(e->traits[l->trait].name));
		json_object_set_new(o, "arm", json_string(e->arms[l->arm].name));
		json_object_set_new(o, "evaluation", json_string(row->name));
		json_object_set_new(o, "kind", json_string(kinds[row->kind]));
		json_object_set_new(o, "system", text ? text : json_null());
		json_object_set_new(o, "u", inoci_estimate_json(&l->u));
		json_t *d = l->vs_none.diff.n ? inoci_estimate_json(&l->vs_none.diff) : json_null();
		if (l->vs_none.diff.n)
			json_object_set_new(d, "p", isfinite(l->vs_none.p) ? json_real(l->vs_none.p) : json_null());
		json_object_set_new(o, "u_minus_none", d);
		json_object_set_new(o, "comes_back", json_boolean(l->back));
		json_array_append_new(all, o);
	}
	return all;
}
