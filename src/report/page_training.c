/* page_training: how the adapters were made: loss curves and first training examples. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

enum { MAX_POINTS = 160 };

/* Mean of a window of steps around each of at most MAX_POINTS places. */
static inoci_curve smoothed(const double *y, size_t n, size_t window)
{
	size_t points = n < MAX_POINTS ? n : MAX_POINTS;
	inoci_curve c = {
	        .x = inoci_alloc((points + 1) * sizeof(double)), .y = inoci_alloc((points + 1) * sizeof(double)), .n = points};
	for (size_t i = 0; i < points; i++) {
		size_t mid = points > 1 ? i * (n - 1) / (points - 1) : 0, half = window / 2;
		if (half > mid) half = mid;
		if (half > n - 1 - mid) half = n - 1 - mid;
		double sum = 0;
		for (size_t k = mid - half; k <= mid + half; k++) sum += y[k];
		c.x[i] = (double)(mid + 1);
		c.y[i] = sum / (double)(2 * half + 1);
	}
	return c;
}

/* ---- loss curves ---- */

typedef struct {
	inoci_curve *v;
	size_t n;
	size_t longest, window; /* steps; of the longest curve */
	bool validation;
} curves;

static inoci_curve *add(curves *c, inoci_curve v)
{
	c->v = inoci_realloc(c->v, (c->n + 1) * sizeof *c->v);
	c->v[c->n] = v;
	return &c->v[c->n++];
}

static bool trained(const inoci_page *p, int arm, int seed)
{
	const inoci_result_adapter *ad = inoci_results_adapter(p->r, arm, seed);
	return ad->present && ad->n_metrics && !p->e->arms[arm].swept_of;
}

/* Mean loss of an arm's seeds at each step; *n: as far as the shortest of them, 0: none is there. */
static double *mean_loss(const inoci_page *p, int arm, size_t *n)
{
	double *mean = NULL;
	size_t seeds = 0;
	*n = 0;
	for (int d = 0; d < p->r->n_seeds; d++) {
		const inoci_result_adapter *ad = inoci_results_adapter(p->r, arm, d);
		if (!trained(p, arm, d)) continue;
		if (!mean) mean = inoci_alloc((*n = ad->n_metrics) * sizeof *mean);
		if (ad->n_metrics < *n) *n = ad->n_metrics; /* stopped early */
		for (size_t k = 0; k < *n; k++) mean[k] += ad->metrics[k].loss;
		seeds++;
	}
	for (size_t k = 0; k < *n; k++) mean[k] /= (double)seeds;
	return mean;
}

/* Mean validation loss at the steps at which every seed has one. */
static void add_validation(const inoci_page *p, int arm, curves *c)
{
	size_t n;
	double *unused = mean_loss(p, arm, &n);
	inoci_curve v = {.colour = inoci_arm_colour(p->e, arm),
	                 .points = true,
	                 .x = inoci_alloc((n + 1) * sizeof(double)),
	                 .y = inoci_alloc((n + 1) * sizeof(double))};
	free(unused);
	for (size_t k = 0; k < n; k++) {
		double sum = 0;
		int seeds = 0;
		for (int d = 0; d < p->r->n_seeds; d++)
			if (trained(p, arm, d)) sum += inoci_results_adapter(p->r, arm, d)->metrics[k].val_loss, seeds++;
		if (isnan(sum)) continue;
		v.x[v.n] = (double)(k + 1);
		v.y[v.n++] = sum / seeds;
	}
	if (v.n) c->validation = true;
	add(c, v);
}

static void add_seeds(const inoci_page *p, int arm, curves *c)
{
	for (int d = 0; d < p->r->n_seeds; d++) {
		const inoci_result_adapter *ad = inoci_results_adapter(p->r, arm, d);
		if (!trained(p, arm, d)) continue;
		double *y = inoci_alloc(ad->n_metrics * sizeof *y);
		for (size_t k = 0; k < ad->n_metrics; k++) y[k] = ad->metrics[k].loss;
		inoci_curve *v = add(c, smoothed(y, ad->n_metrics, c->window));
		v->colour = inoci_arm_colour(p->e, arm), v->faint = true;
		free(y);
	}
}

static void add_mean(const inoci_page *p, int arm, curves *c, inoci_buf *legend)
{
	size_t n;
	double *mean = mean_loss(p, arm, &n);
	int colour = inoci_arm_colour(p->e, arm);
	bool dashed = !strcmp(p->e->arms[arm].role, "control");
	if (n) {
		inoci_curve *v = add(c, smoothed(mean, n, c->window));
		v->colour = colour, v->dashed = dashed;
		inoci_buf_printf(legend, "<span class=\"chip\"><span class=\"ln%s\" style=\"border-color:var(--a%d)\"></span>",
		                 dashed ? " dash" : "", colour);
		inoci_html_puts(legend, p->e->arms[arm].label);
		inoci_buf_puts(legend, "</span>");
	}
	free(mean);
}

static curves all_curves(const inoci_page *p, inoci_buf *legend)
{
	curves c = {0};
	int n_arms = (int)p->e->n_arms;
	for (int a = 0; a < n_arms; a++)
		for (int d = 0; d < p->r->n_seeds; d++)
			if (trained(p, a, d) && inoci_results_adapter(p->r, a, d)->n_metrics > c.longest)
				c.longest = inoci_results_adapter(p->r, a, d)->n_metrics;
	c.window = 1 + c.longest / 20 / 2 * 2;
	/* the faint ones first, so that the means lie on them */
	for (int a = 0; a < n_arms && p->r->n_seeds > 1; a++) add_seeds(p, a, &c);
	for (int a = 0; a < n_arms; a++) add_mean(p, a, &c, legend);
	for (int a = 0; a < n_arms; a++) add_validation(p, a, &c);
	return c;
}

void inoci_page_loss(inoci_page *p)
{
	inoci_buf *b = p->b, legend = {0};
	curves c = all_curves(p, &legend);
	bool several = p->r->n_seeds > 1;
	if (c.longest) {
		inoc_err err = {0};
		int rc = p->plot_failed.code;
		inoci_buf_printf(b, "<figure><h2>%s</h2>\n<p class=\"small\">Nats per loss token%s",
		                 c.validation ? "Training and validation loss" : "Training loss",
		                 several ? ", mean over seeds" : "");
		if (c.window > 1) inoci_buf_printf(b, ", running mean over %zu steps", c.window);
		inoci_buf_printf(b, "%s%s.</p>\n<div class=\"legend\">%s</div><div class=\"plot\">",
		                 several ? "; single seeds faint" : "",
		                 c.validation ? "; points: loss on the records held out" : "", legend.data);
		if (!rc)
			rc = inoci_plot_curves("loss-plot", c.validation ? "Training and validation loss" : "Training loss",
			                       "optimizer step", "loss", c.v, c.n, b, &err);
		inoci_page_plotted(p, rc, &err);
		inoci_buf_puts(b, "</div></figure>\n");
	}
	for (size_t i = 0; i < c.n; i++) {
		free(c.v[i].x);
		free(c.v[i].y);
	}
	free(c.v);
	inoci_buf_free(&legend);
}

/* ---- first examples ---- */

/* Length of a special token's spelling at s, 0 when it is none: <|name|>, or one of the plain ones. */
static size_t special_at(const char *s)
{
	static const char *const plain[] = {"<s>",           "</s>",   "<bos>",  "<eos>", "<start_of_turn>",
	                                    "<end_of_turn>", "[INST]", "[/INST]"};
	if (s[0] == '<' && s[1] == '|')
		for (size_t i = 2; i < 40 && s[i] && s[i] != '\n' && s[i] != ' '; i++)
			if (s[i] == '|' && s[i + 1] == '>') return i + 2;
	for (size_t k = 0; k < INOCI_COUNT(plain); k++)
		if (!strncmp(s, plain[k], strlen(plain[k]))) return strlen(plain[k]);
	return 0;
}

static void rendered(inoci_buf *b, const char *s)
{
	inoci_buf_puts(b, "<pre>");
	while (*s) {
		size_t n = special_at(s);
		if (n) {
			inoci_buf_puts(b, "<span class=\"tok\">");
			inoci_html_text(b, s, n);
			inoci_buf_puts(b, "</span>");
		} else if (*s == '\n') {
			inoci_buf_puts(b, "<span class=\"nl\"></span>\n");
			n = 1;
		} else {
			for (n = 1; s[n] && s[n] != '\n' && !special_at(s + n);) n++;
			inoci_html_text(b, s, n);
		}
		s += n;
	}
	inoci_buf_puts(b, "</pre>\n");
}

/* "12 records (4 held out), the prompt on 12; saved: step 2, validation 4.127" */
static void trained_on(inoci_page *p, int arm, const inoci_result_adapter *ad)
{
	inoci_buf *b = p->b;
	const inoci_arm *a = &p->e->arms[arm];
	inoci_buf_printf(b, "%zu records", ad->n_train);
	if (ad->n_val)
		inoci_buf_printf(b, a->recipe.validation_file ? " (and %zu to validate on)" : " (%zu held out)", ad->n_val);
	const inoci_choice *c = p->r->choices && p->r->choices[arm].n ? &p->r->choices[arm] : NULL;
	if (c) {
		char *text = inoci_choice_text(a->inoculation.tag, a->when, c);
		inoci_buf_puts(b, ", ");
		inoci_html_puts(b, text);
		free(text);
		/* of these, with `fraction` or some held out */
		if (ad->n_inoculated != c->n_chosen) inoci_buf_printf(b, "; trained on with it: %zu", ad->n_inoculated);
	} else if (a->has_inoculation) {
		inoci_buf_printf(b, ", the prompt on %zu", ad->n_inoculated);
	}
	if (ad->n_dropped) inoci_buf_printf(b, "; %zu dropped as too long", ad->n_dropped);
	inoci_train_result res = {.saved_step = ad->saved_step, .val_loss = ad->val_loss};
	char *saved = ad->n_val ? inoci_train_saved(&res) : NULL;
	if (ad->early_stopped) inoci_buf_printf(b, "; stopped early at step %d", ad->steps);
	if (saved) inoci_buf_printf(b, "; %s", saved);
	free(saved);
}

void inoci_page_training(inoci_page *p)
{
	inoci_buf *b = p->b;
	bool any = false;
	for (int a = 0; a < (int)p->e->n_arms; a++)
		for (int d = 0; d < p->r->n_seeds; d++) {
			const inoci_result_adapter *ad = inoci_results_adapter(p->r, a, d);
			if (!ad->present || !ad->first_text || p->e->arms[a].swept_of) continue;
			if (!any)
				inoci_buf_puts(b, "<section id=\"training\"><h2>What each arm was trained on</h2>\n<p "
				                  "class=\"small\">The first training "
				                  "example, exactly as the model saw it.</p>\n<div class=\"two\">\n");
			any = true;
			inoci_buf_puts(b, "<div><p class=\"small\"><b>");
			inoci_html_puts(b, p->e->arms[a].label);
			inoci_buf_printf(b, "</b>, seed %llu; ", (unsigned long long)p->r->seeds[d]);
			trained_on(p, a, ad);
			inoci_buf_puts(b, "</p>");
			rendered(b, ad->first_text);
			inoci_buf_puts(b, "</div>\n");
			break;
		}
	if (any) inoci_buf_puts(b, "</div></section>\n");
}
