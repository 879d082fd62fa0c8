/* page_training: how the adapters were made: loss curves, first training examples, settings, versions, hashes. */
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

void inoci_page_loss(inoci_page *p)
{
	int n_arms = (int)p->e->n_arms, S = p->r->n_seeds;
	inoci_curve *c = inoci_alloc((size_t)(n_arms * (S + 1) + 1) * sizeof *c);
	size_t n = 0, longest = 0;
	inoci_buf legend = {0};
	for (int pass = 0; pass < 2; pass++) /* the faint ones first, so that the means lie on them */
		for (int a = 0; a < n_arms; a++) {
			size_t steps = 0, seeds = 0;
			double *mean = NULL;
			int colour = inoci_arm_colour(p->e, a);
			bool dashed = !strcmp(p->e->arms[a].role, "control");
			for (int d = 0; d < S; d++) {
				const inoci_result_adapter *ad = inoci_results_adapter(p->r, a, d);
				if (!ad->present || !ad->n_metrics) continue;
				if (!mean) {
					steps = ad->n_metrics;
					mean = inoci_alloc(steps * sizeof *mean);
				}
				if (ad->n_metrics < steps)
					steps = ad->n_metrics; /* stopped early: the mean ends with the shortest */
				double *y = inoci_alloc(ad->n_metrics * sizeof *y);
				for (size_t k = 0; k < ad->n_metrics; k++) y[k] = ad->metrics[k].loss;
				for (size_t k = 0; k < steps; k++) mean[k] += y[k];
				seeds++;
				if (ad->n_metrics > longest) longest = ad->n_metrics;
				if (pass == 0 && S > 1) {
					c[n] = smoothed(y, ad->n_metrics, 1 + ad->n_metrics / 20);
					c[n].colour = colour, c[n].faint = true, n++;
				}
				free(y);
			}
			if (pass == 1 && seeds) {
				for (size_t k = 0; k < steps; k++) mean[k] /= (double)seeds;
				c[n] = smoothed(mean, steps, 1 + steps / 20);
				c[n].colour = colour, c[n].dashed = dashed, n++;
				inoci_buf_printf(
				        &legend,
				        "<span class=\"chip\"><span class=\"ln%s\" style=\"border-color:var(--a%d)\"></span>",
				        dashed ? " dash" : "", colour);
				inoci_html_puts(&legend, p->e->arms[a].label);
				inoci_buf_puts(&legend, "</span>");
			}
			free(mean);
		}
	if (n) {
		inoc_err err = {0};
		int rc = p->plot_failed.code;
		inoci_buf_printf(p->b,
		                 "<figure><h2>Training loss</h2>\n<p class=\"small\">Nats per loss token, mean over seeds, "
		                 "running mean over %zu "
		                 "steps%s.</p>\n<div class=\"legend\">%s</div><div class=\"plot\">",
		                 1 + longest / 20 / 2 * 2, S > 1 ? "; single seeds faint" : "", legend.data);
		if (!rc) rc = inoci_plot_curves("loss-plot", "Training loss", "optimizer step", "loss", c, n, p->b, &err);
		inoci_page_plotted(p, rc, &err);
		inoci_buf_puts(p->b, "</div></figure>\n");
	}
	for (size_t i = 0; i < n; i++) {
		free(c[i].x);
		free(c[i].y);
	}
	free(c);
	inoci_buf_free(&legend);
}

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

void inoci_page_training(inoci_page *p)
{
	inoci_buf *b = p->b;
	bool any = false;
	for (int a = 0; a < (int)p->e->n_arms; a++)
		for (int d = 0; d < p->r->n_seeds; d++) {
			const inoci_result_adapter *ad = inoci_results_adapter(p->r, a, d);
			if (!ad->present || !ad->first_text) continue;
			if (!any)
				inoci_buf_puts(b, "<section id=\"training\"><h2>What each arm was trained on</h2>\n<p "
				                  "class=\"small\">The first training "
				                  "example, exactly as the model saw it.</p>\n<div class=\"two\">\n");
			any = true;
			inoci_buf_puts(b, "<div><p class=\"small\"><b>");
			inoci_html_puts(b, p->e->arms[a].label);
			inoci_buf_printf(b, "</b>, seed %llu; %zu records", (unsigned long long)p->r->seeds[d],
			                 ad->n_train + ad->n_val);
			if (p->e->arms[a].has_inoculation) inoci_buf_printf(b, ", the prompt on %zu", ad->n_inoculated);
			if (ad->n_dropped) inoci_buf_printf(b, "; %zu dropped as too long", ad->n_dropped);
			inoci_buf_puts(b, "</p>");
			rendered(b, ad->first_text);
			inoci_buf_puts(b, "</div>\n");
			break;
		}
	if (any) inoci_buf_puts(b, "</div></section>\n");
}

/* ---- settings ---- */

static void item(inoci_buf *b, const char *name, const char *value)
{
	if (!value || !*value) return;
	inoci_buf_printf(b, "<dt>%s</dt><dd>", name);
	inoci_html_puts(b, value);
	inoci_buf_puts(b, "</dd>\n");
}

/* For a POSIX shell. */
static void quoted(inoci_buf *b, const char *s)
{
	if (*s && !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./=,:+-")]) {
		inoci_buf_puts(b, s);
		return;
	}
	inoci_buf_puts(b, "'");
	for (; *s; s++)
		if (*s == '\'')
			inoci_buf_puts(b, "'\\''");
		else
			inoci_buf_append(b, s, 1);
	inoci_buf_puts(b, "'");
}

static void adapters(inoci_page *p)
{
	inoci_buf *b = p->b;
	inoci_buf_puts(b, "<details><summary>Adapters: steps, time, hashes</summary><div "
	                  "class=\"scroll\"><table><tr><th>arm</th><th class=\"n\">seed"
	                  "</th><th class=\"n\">steps</th><th class=\"n\">examples</th><th class=\"n\">held out</th><th "
	                  "class=\"n\">dropped</th>"
	                  "<th class=\"n\">final loss</th><th class=\"n\">seconds</th><th "
	                  "class=\"n\">tokens/s</th><th>recipe</th><th>adapter</th></tr>\n");
	for (int a = 0; a < (int)p->e->n_arms; a++)
		for (int d = 0; d < p->r->n_seeds; d++) {
			const inoci_result_adapter *ad = inoci_results_adapter(p->r, a, d);
			if (!ad->present || !ad->dir) continue;
			inoci_buf_puts(b, "<tr><td>");
			inoci_html_puts(b, p->e->arms[a].label);
			inoci_buf_printf(b,
			                 "</td><td class=\"n\">%llu</td><td class=\"n\">%d%s</td><td class=\"n\">%zu</td><td "
			                 "class=\"n\">%zu</td>"
			                 "<td class=\"n\">%zu</td><td class=\"n\">%.4f</td><td class=\"n\">%.1f</td><td "
			                 "class=\"n\">%.0f</td><td><code>%.12s",
			                 (unsigned long long)p->r->seeds[d], ad->steps, ad->early_stopped ? " (early stop)" : "",
			                 ad->n_train, ad->n_val, ad->n_dropped, ad->final_loss, ad->seconds,
			                 ad->seconds > 0 ? (double)ad->tokens / ad->seconds : 0.0, ad->key ? ad->key : "");
			inoci_buf_printf(b, "</code></td><td><code>%.12s</code></td></tr>\n", ad->hash ? ad->hash : "");
		}
	inoci_buf_puts(b, "</table></div></details>\n");
}

static void recipes(inoci_page *p)
{
	inoci_buf *b = p->b;
	inoci_buf_puts(b, "<details><summary>Recipes as trained</summary>\n");
	const char *last = NULL;
	for (int a = 0; a < (int)p->e->n_arms; a++)
		for (int d = 0; d < p->r->n_seeds; d++) {
			const inoci_result_adapter *ad = inoci_results_adapter(p->r, a, d);
			if (!ad->present || !ad->config) continue;
			if (last && !strcmp(last, ad->config)) break;
			last = ad->config;
			inoci_buf_puts(b, "<p class=\"small\">from arm <b>");
			inoci_html_puts(b, p->e->arms[a].label);
			inoci_buf_puts(b, "</b></p><pre>");
			inoci_html_puts(b, ad->config);
			inoci_buf_puts(b, "</pre>\n");
			break;
		}
	inoci_buf_puts(b, "</details>\n");
}

static void runs(inoci_page *p)
{
	inoci_buf *b = p->b;
	if (!p->r->n_runs) return;
	inoci_buf_puts(b, "<details><summary>Runs</summary><div "
	                  "class=\"scroll\"><table><tr><th>started</th><th>ended</th><th>status</th><th>inoc"
	                  "</th><th class=\"n\">numerics</th><th>dtype</th><th>computed by</th></tr>\n");
	for (size_t i = 0; i < p->r->n_runs; i++) {
		const inoci_result_run *r = &p->r->runs[i];
		const char *const cells[] = {
		        r->started, r->ended ? r->ended : "\xe2\x80\x93", r->status, r->version, NULL, r->dtype, r->ops};
		inoci_buf_puts(b, "<tr>");
		for (size_t k = 0; k < INOCI_COUNT(cells); k++) {
			inoci_buf_puts(b, k == 4 ? "<td class=\"n\">" : "<td>");
			if (k == 4) inoci_buf_printf(b, "%d", r->numerics);
			inoci_html_puts(b, cells[k]);
			inoci_buf_puts(b, "</td>");
		}
		inoci_buf_puts(b, "</tr>\n");
	}
	inoci_buf_puts(b, "</table></div></details>\n");
}

void inoci_page_settings(inoci_page *p)
{
	inoci_buf *b = p->b, again = {0}, seeds = {0};
	const inoci_experiment *e = p->e;
	const inoci_result_run *run = p->r->n_runs ? &p->r->runs[p->r->n_runs - 1] : NULL;
	double seconds = 0;
	int n_adapters = 0;
	inoci_buf_puts(&again, "inoc run ");
	quoted(&again, e->path ? e->path : e->name);
	for (size_t i = 0; i < e->n_sets; i++) {
		inoci_buf_puts(&again, " --set ");
		quoted(&again, e->sets[i]);
	}
	for (int d = 0; d < p->r->n_seeds; d++)
		inoci_buf_printf(&seeds, "%s%llu", d ? ", " : "", (unsigned long long)p->r->seeds[d]);
	for (int a = 0; a < (int)e->n_arms; a++)
		for (int d = 0; d < p->r->n_seeds; d++) {
			const inoci_result_adapter *ad = inoci_results_adapter(p->r, a, d);
			if (ad->present && ad->dir) seconds += ad->seconds, n_adapters++;
		}
	inoci_buf_puts(b, "<section id=\"settings\"><h2>Settings, versions, and how to do it again</h2>\n<pre>");
	inoci_html_puts(b, again.data);
	inoci_buf_puts(b, "</pre>\n<h3>This run</h3><dl>\n");
	item(b, "model", run && run->model_path ? run->model_path : e->model);
	item(b, "model's SHA-256", run ? run->model_hash : NULL);
	item(b, "chat template", run ? run->template_name : e->template_name);
	item(b, "system turn in training, where the record has none", e->system);
	item(b, "data", e->data);
	item(b, "seeds", seeds.data);
	item(b, "number format", run ? run->dtype : e->dtype);
	item(b, "computed by", run ? run->ops : NULL);
	if (run) {
		char *v = inoci_asprintf("%s, numerics version %d", run->version ? run->version : "?", run->numerics);
		item(b, "inoc", v);
		free(v);
		item(b, "last run started", run->started);
		item(b, "last run ended", run->ended);
	}
	if (n_adapters) {
		char *v = inoci_asprintf("%d adapters in %.0f s of training", n_adapters, seconds);
		item(b, "training", v);
		free(v);
	}
	item(b, "store", p->r->store_path);
	inoci_buf_puts(b, "</dl>\n");
	adapters(p);
	recipes(p);
	runs(p);
	if (e->text && e->text_n) {
		inoci_buf_puts(b, "<details><summary>The experiment file</summary><pre>");
		inoci_html_text(b, e->text, e->text_n);
		inoci_buf_puts(b, "</pre></details>\n");
	}
	inoci_buf_puts(b, "</section>\n");
	inoci_buf_free(&again);
	inoci_buf_free(&seeds);
}
