/* page_settings: the command that does it again, settings, files and their hashes, versions, adapters, runs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

static void item(inoci_buf *b, const char *name, const char *value)
{
	if (!value || !*value) return;
	inoci_buf_puts(b, "<dt>");
	inoci_html_puts(b, name);
	inoci_buf_puts(b, "</dt><dd>");
	inoci_html_puts(b, value);
	inoci_buf_puts(b, "</dd>\n");
}

static const inoci_result_run *last_run(const inoci_page *p)
{
	return p->r->n_runs ? &p->r->runs[p->r->n_runs - 1] : NULL;
}

/* A JSON text of the last run, {} where there is none. */
static json_t *last_json(const inoci_page *p, bool request)
{
	const inoci_result_run *run = last_run(p);
	const char *text = !run ? NULL : request ? run->request : run->provenance;
	json_t *j = text ? json_loads(text, 0, NULL) : NULL;
	return j ? j : json_object();
}

static void again(inoci_page *p)
{
	inoci_buf *b = p->b;
	char *commands = inoci_report_commands(p->r);
	json_t *q = last_json(p, true);
	const char *folder = json_string_value(json_object_get(q, "folder"));
	inoci_buf_puts(b, "<h3>To do it again</h3><pre>");
	inoci_html_puts(b, commands);
	inoci_buf_puts(b, "</pre>\n<p class=\"small\">");
	if (folder) {
		inoci_buf_puts(b, "It was started in <code>");
		inoci_html_puts(b, folder);
		inoci_buf_puts(b, "</code>. ");
	}
	inoci_buf_puts(b, json_object_get(q, "command")
	                          ? "In the same store nothing is computed twice.</p>\n"
	                          : "In the same output folder nothing is computed twice; with <code>--fresh</code>, or another "
	                            "<code>-o</code>, all of it is.</p>\n");
	json_decref(q);
	free(commands);
}

static void settings(inoci_page *p)
{
	inoci_buf *b = p->b, seeds = {0};
	const inoci_experiment *e = p->e;
	const inoci_result_run *run = last_run(p);
	double seconds = 0;
	int n_adapters = 0;
	for (int d = 0; d < p->r->n_seeds; d++)
		inoci_buf_printf(&seeds, "%s%llu", d ? ", " : "", (unsigned long long)p->r->seeds[d]);
	for (int a = 0; a < (int)e->n_arms; a++)
		for (int d = 0; d < p->r->n_seeds; d++) {
			const inoci_result_adapter *ad = inoci_results_adapter(p->r, a, d);
			if (ad->present && ad->dir) seconds += ad->seconds, n_adapters++;
		}
	inoci_buf_puts(b, "<h3>This experiment</h3><dl>\n");
	item(b, "chat template", run ? run->template_name : e->template_name);
	if (!e->n_imported) item(b, "system turn in training, where the record has none", e->system);
	item(b, "seeds", seeds.data);
	item(b, "number format", run ? run->dtype : e->dtype);
	if (n_adapters) {
		char *v = inoci_asprintf("%d adapters in %.0f s of training", n_adapters, seconds);
		item(b, "training", v);
		free(v);
	}
	item(b, "last run started", run ? run->started : NULL);
	item(b, "last run ended", run ? run->ended : NULL);
	item(b, "store", p->r->store_path);
	for (size_t i = 0; i < e->n_notes; i++) item(b, "note", e->notes[i]);
	inoci_buf_puts(b, "</dl>\n");
	inoci_buf_free(&seeds);
}

static void file_row(inoci_buf *b, const char *use, const char *path, const char *hash)
{
	if (!path) return;
	inoci_buf_puts(b, "<tr><td>");
	inoci_html_puts(b, use);
	inoci_buf_puts(b, "</td><td>");
	inoci_html_puts(b, path);
	inoci_buf_puts(b, "</td><td><code>");
	inoci_html_puts(b, hash);
	inoci_buf_puts(b, "</code></td></tr>\n");
}

/* A store from before has the files' names only. */
static void old_files(inoci_page *p)
{
	const inoci_experiment *e = p->e;
	if (e->data) file_row(p->b, "training data", e->data, "");
	for (size_t a = 0; a < e->n_arms; a++)
		if (e->arms[a].train && e->arms[a].data && (!e->data || strcmp(e->arms[a].data, e->data))) {
			char *use = inoci_asprintf("training data (%s)", e->arms[a].name);
			file_row(p->b, use, e->arms[a].data, "");
			free(use);
		}
	for (size_t v = 0; v < e->n_evals; v++) {
		char *use = inoci_asprintf("evaluation questions (%s)", e->evals[v].name);
		file_row(p->b, use, e->evals[v].prompts, "");
		free(use);
	}
}

static void files(inoci_page *p)
{
	inoci_buf *b = p->b;
	const inoci_result_run *run = last_run(p);
	json_t *made = last_json(p, false), *list = json_object_get(made, "files"), *f;
	size_t i;
	inoci_buf_puts(b, "<h3>Files</h3><div class=\"scroll\"><table class=\"files hashes\"><tr><th>used as</th><th>file</th>"
	                  "<th>SHA-256</th></tr>\n");
	if (!p->e->n_imported)
		file_row(b, "model", run && run->model_path ? run->model_path : p->e->model, run ? run->model_hash : "");
	json_array_foreach(list, i, f)
	        file_row(b, json_string_value(json_object_get(f, "use")), json_string_value(json_object_get(f, "path")),
	                 json_string_value(json_object_get(f, "sha256")));
	if (!list) old_files(p);
	if (p->e->text && p->e->text_n) {
		inoci_hash h = inoci_hash_bytes(p->e->text, p->e->text_n);
		file_row(b, p->e->n_imported ? "experiment, as made" : "experiment file",
		         p->e->path && !p->e->n_imported ? p->e->path : p->e->name, h.hex);
	}
	inoci_buf_puts(b, "</table></div>\n");
	json_decref(made);
}

static void versions(inoci_page *p)
{
	inoci_buf *b = p->b;
	const inoci_result_run *run = last_run(p);
	json_t *made = last_json(p, false), *list = json_object_get(made, "versions"), *v;
	const char *name;
	char *plots = p->plot_failed.code ? NULL : inoci_gnuplot_version();
	inoci_buf_puts(b, "<h3>Versions and machine</h3><dl>\n");
	json_object_foreach(list, name, v) item(b, name, json_string_value(v));
	if (!list && run) item(b, "inoc", run->version);
	if (run && run->numerics) {
		char *n = inoci_asprintf("%d", run->numerics);
		item(b, "numerics version", n);
		free(n);
	}
	item(b, "computed by", run ? run->ops : NULL);
	item(b, "machine", json_string_value(json_object_get(made, "machine")));
	item(b, "gnuplot, of this page", plots);
	inoci_buf_puts(b, "</dl>\n");
	free(plots);
	json_decref(made);
}

static void adapter_row(inoci_page *p, int arm, int seed)
{
	inoci_buf *b = p->b;
	const inoci_result_adapter *ad = inoci_results_adapter(p->r, arm, seed);
	const char *given = p->e->arms[arm].adapter;
	if (!ad->present || (!ad->dir && !given)) return;
	inoci_buf_puts(b, "<tr><td>");
	if (given) {
		inoci_html_puts(b, p->e->arms[arm].label);
		inoci_buf_printf(b, "</td><td class=\"n\">%llu</td><td colspan=\"9\">given, not trained here: <code>",
		                 (unsigned long long)p->r->seeds[seed]);
		inoci_html_puts(b, given);
		inoci_buf_printf(b, "</code></td><td><code>%.16s</code></td><td><code>%.16s</code></td></tr>\n",
		                 ad->key ? ad->key : "", ad->hash ? ad->hash : "");
		return;
	}
	inoci_html_puts(b, p->e->arms[arm].label);
	inoci_buf_printf(b, "</td><td class=\"n\">%llu</td><td class=\"n\">%d%s</td><td class=\"n\">%d</td>",
	                 (unsigned long long)p->r->seeds[seed], ad->steps, ad->early_stopped ? " (early stop)" : "",
	                 ad->saved_step);
	inoci_buf_printf(b, "<td class=\"n\">%zu</td><td class=\"n\">%zu</td><td class=\"n\">%zu</td><td class=\"n\">%.4f</td>",
	                 ad->n_train, ad->n_val, ad->n_dropped, ad->final_loss);
	if (isnan(ad->val_loss))
		inoci_buf_puts(b, "<td class=\"n\">\xe2\x80\x93</td>");
	else
		inoci_buf_printf(b, "<td class=\"n\">%.4f</td>", ad->val_loss);
	inoci_buf_printf(
	        b,
	        "<td class=\"n\">%.1f</td><td class=\"n\">%.0f</td><td><code>%.16s</code></td><td><code>%.16s</code></td></tr>\n",
	        ad->seconds, ad->seconds > 0 ? (double)ad->tokens / ad->seconds : 0.0, ad->key ? ad->key : "",
	        ad->hash ? ad->hash : "");
}

static void adapters(inoci_page *p)
{
	inoci_buf *b = p->b;
	inoci_buf_puts(b, "<details><summary>Adapters: steps, losses, time, hashes</summary><div class=\"scroll\"><table "
	                  "class=\"hashes\"><tr>"
	                  "<th>arm</th><th class=\"n\">seed</th><th class=\"n\">steps</th><th class=\"n\">saved step</th>"
	                  "<th class=\"n\">trained on</th><th class=\"n\">held out</th><th class=\"n\">dropped</th>"
	                  "<th class=\"n\">last loss</th><th class=\"n\">validation</th><th class=\"n\">seconds</th>"
	                  "<th class=\"n\">tokens/s</th><th>recipe (its folder)</th><th>adapter's bytes</th></tr>\n");
	for (int a = 0; a < (int)p->e->n_arms; a++)
		for (int d = 0; d < p->r->n_seeds; d++) adapter_row(p, a, d);
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
	inoci_buf_puts(b, "<details><summary>Runs</summary><div class=\"scroll\"><table><tr><th>started</th><th>ended</th>"
	                  "<th>status</th><th>inoc</th><th class=\"n\">numerics</th><th>dtype</th><th>computed by</th>"
	                  "<th>asked for</th></tr>\n");
	for (size_t i = 0; i < p->r->n_runs; i++) {
		const inoci_result_run *r = &p->r->runs[i];
		char *asked = inoci_run_command(r), *numerics = inoci_asprintf("%d", r->numerics);
		const char *const cells[] = {
		        r->started, r->ended ? r->ended : "\xe2\x80\x93", r->status, r->version, numerics, r->dtype, r->ops,
		        asked};
		inoci_buf_puts(b, "<tr>");
		for (size_t k = 0; k < INOCI_COUNT(cells); k++) {
			inoci_buf_puts(b, k == 4 ? "<td class=\"n\">" : "<td>");
			inoci_html_puts(b, cells[k]);
			inoci_buf_puts(b, "</td>");
		}
		inoci_buf_puts(b, "</tr>\n");
		free(asked);
		free(numerics);
	}
	inoci_buf_puts(b, "</table></div></details>\n");
}

void inoci_page_settings(inoci_page *p)
{
	inoci_buf *b = p->b;
	const inoci_experiment *e = p->e;
	inoci_buf_puts(b, "<section id=\"settings\"><h2>Settings, versions, and how to do it again</h2>\n");
	again(p);
	settings(p);
	files(p);
	versions(p);
	adapters(p);
	recipes(p);
	runs(p);
	if (e->text && e->text_n) {
		inoci_buf_puts(b, "<details><summary>The experiment file</summary><pre>");
		inoci_html_text(b, e->text, e->text_n);
		inoci_buf_puts(b, "</pre></details>\n");
	}
	inoci_buf_puts(b, "</section>\n");
}
