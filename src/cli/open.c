/* What train, sample, chat and eval share: the model opened, the sampling settings, the prompts rendered; JSON of samples. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "eval/eval.h"
#include "lab/lab.h"

void cli_model_init(cli_model_opts *o, bool with_adapter)
{
	*o = (cli_model_opts){.system = "none", .dtype = "auto", .threads = {0, 0, 1024}};
	const cli_opt table[] = {
	        {"model", 'm', CLI_PATH, &o->model, "MODEL", "a GGUF file, or a name of `inoc model list`"},
	        {"adapter", 'a', CLI_PATH, &o->adapter, "DIR", "a LoRA adapter in PEFT's layout"},
	        {"system", 0, CLI_STR, &o->system, "S", "system turn where none is given: none, empty, default, or a text"},
	        {"template", 0, CLI_STR, &o->template_name, "NAME", "chat template, when the file's is not known"},
	        {"dtype", 0, CLI_STR, &o->dtype, "T", "auto, bf16, f32; q: the file's own 4 to 8-bit weights, not to train"},
	        {"threads", 0, CLI_INT, &o->threads, "N", "0: all"},
	};
	_Static_assert(sizeof table == sizeof o->table, "the table fills its struct");
	memcpy(o->table, table, sizeof table);
	if (!with_adapter) memmove(&o->table[1], &o->table[2], sizeof table - 2 * sizeof *table);
	o->group = (cli_group){"model", o->table, INOCI_COUNT(table) - !with_adapter};
}

/* Before the model is opened, and in the option's words. */
static int check_adapter(const char *dir, inoc_err *err)
{
	char *config = inoci_path_join(dir, "adapter_config.json");
	int rc = inoci_path_exists(config)
	                 ? 0
	                 : inoci_err_set(
	                           err, INOC_E_IO,
	                           "--adapter %s: no adapter_config.json there; give a folder that `inoc train` or PEFT wrote",
	                           dir);
	free(config);
	return rc;
}

int cli_model_open(const cli_model_opts *o, bool train, cli_model *out, inoc_err *err)
{
	int rc;
	*out = (cli_model){0};
	if (o->adapter) INOC_TRY(check_adapter(o->adapter, err));
	INOC_TRY(cli_model_path(o->model, &out->path, err));
	INOC_TRY(inoci_lab_ops(o->dtype, (int)o->threads.v, &out->ops, err));
	INOC_TRY(inoci_model_open(out->path, out->ops, train, o->template_name, cli_progress(false), &out->m, err));
	cli_progress_done();
	INOC_TRY(inoci_model_template(out->m, &out->tmpl, err));
	if (o->adapter) INOC_TRY(inoci_adapter_load(out->m, o->adapter, &out->a, err));
out:
	return rc < 0 ? rc : 0;
}

void cli_model_close(cli_model *c)
{
	inoci_adapter_free(c->a);
	inoci_model_free(c->m);
	if (c->ops) c->ops->free(c->ops);
	free(c->path);
}

void cli_sampling_init(cli_sampling_opts *o)
{
	const inoci_sample_settings s = inoci_sample_defaults();
	*o = (cli_sampling_opts){.temperature = {s.temperature, 0, 1000},
	                         .top_p = {s.top_p, 0, 1},
	                         .min_p = {s.min_p, 0, 1},
	                         .penalty = {s.repetition_penalty, 0, 1000},
	                         .top_k = {s.top_k, 0, 1 << 30},
	                         .max_tokens = {s.max_tokens, 1, 1 << 20},
	                         .seed = {1, 0, LONG_MAX}};
	const cli_opt table[] = {
	        {"greedy", 0, CLI_FLAG, &o->greedy, NULL, "the most probable token always"},
	        {"temperature", 't', CLI_DBL, &o->temperature, "T", "0: greedy"},
	        {"top-k", 0, CLI_INT, &o->top_k, "K", "only the K most probable tokens; 0: off"},
	        {"top-p", 0, CLI_DBL, &o->top_p, "P", "only the most probable tokens that together reach P; 1: off"},
	        {"min-p", 0, CLI_DBL, &o->min_p, "P", "only tokens with P times the most probable one's probability; 0: off"},
	        {"repetition-penalty", 0, CLI_DBL, &o->penalty, "R", "over the prompt's and the answer's tokens; 1: off"},
	        {"stop", 0, CLI_LIST, &o->stop, "TEXT", "an answer ends before TEXT; may be given several times"},
	        {"allowed", 0, CLI_STR, &o->allowed, "CHARS", "the only characters an answer may hold"},
	        {"max-tokens", 0, CLI_INT, &o->max_tokens, "N", "of an answer"},
	        {"seed", 's', CLI_INT, &o->seed, "N", "the same seed, prompt and settings give the same answers"},
	};
	_Static_assert(sizeof table == sizeof o->table, "the table fills its struct");
	memcpy(o->table, table, sizeof table);
	o->group = (cli_group){"sampling", o->table, INOCI_COUNT(table)};
}

inoci_sample_settings cli_sampling_settings(const cli_sampling_opts *o)
{
	inoci_sample_settings s = inoci_sample_defaults();
	s.temperature = o->greedy ? 0 : o->temperature.v;
	s.top_k = (int)o->top_k.v;
	s.top_p = o->top_p.v;
	s.min_p = o->min_p.v;
	s.repetition_penalty = o->penalty.v;
	s.max_tokens = (int)o->max_tokens.v;
	s.seed = (uint64_t)o->seed.v;
	s.stop = o->stop.v;
	s.n_stop = o->stop.n;
	s.allowed = o->allowed;
	return s;
}

int cli_render(const cli_model *c, const inoci_msg *msgs, size_t n_msgs, const char *system, inoci_rendered *r, inoci_prompt *out,
               inoc_err *err)
{
	int rc = inoci_render(c->tmpl, msgs, n_msgs, inoci_sys_parse(system), true, r, err);
	if (rc < 0) return rc;
	if (r->ids.n >= (size_t)c->m->hp.context)
		return inoci_err_set(err, INOC_E_LIMIT,
		                     "%zu tokens; the model's context of %d leaves no room for an answer; shorten it", r->ids.n,
		                     c->m->hp.context);
	*out = (inoci_prompt){.ids = r->ids.v, .n = (int)r->ids.n, .key = inoci_prompt_key(r->ids.v, r->ids.n)};
	return 0;
}

void cli_prompt_init(cli_prompt_opts *o)
{
	*o = (cli_prompt_opts){.n = {1, 1, 100000}, .limit = {0, 0, 1L << 40}};
	const cli_opt table[] = {
	        {"prompts", 'p', CLI_PATH, &o->path, "FILE", "JSON Lines of {\"messages\": [...]}, a user's turn last"},
	        {"n", 'n', CLI_INT, &o->n, "N", "samples of each prompt"},
	        {"limit", 0, CLI_INT, &o->limit, "N", "only the first N prompts; 0: all"},
	};
	_Static_assert(sizeof table == sizeof o->table, "the table fills its struct");
	memcpy(o->table, table, sizeof table);
	o->group = (cli_group){"prompts", o->table, INOCI_COUNT(table)};
}

int cli_prompts_read(const cli_prompt_opts *o, cli_prompts *out, inoc_err *err)
{
	*out = (cli_prompts){0};
	int rc = inoci_dataset_read(o->path, INOCI_NEED_USER_LAST, &out->d, err);
	if (rc < 0) return rc;
	out->n = o->limit.v && (size_t)o->limit.v < out->d.n ? (size_t)o->limit.v : out->d.n;
	return 0;
}

int cli_prompts_render(cli_prompts *p, const cli_model *c, const char *system, inoc_err *err)
{
	p->rendered = inoci_alloc(p->n * sizeof *p->rendered);
	p->v = inoci_alloc(p->n * sizeof *p->v);
	for (size_t i = 0; i < p->n; i++) {
		const inoci_record *r = &p->d.v[i];
		if (cli_render(c, r->msgs, r->n_msgs, system, &p->rendered[i], &p->v[i], err) < 0)
			return inoci_err_prefix(err, "%s:%d", p->d.path, r->line);
	}
	return 0;
}

void cli_prompts_free(cli_prompts *p)
{
	for (size_t i = 0; p->rendered && i < p->n; i++) inoci_rendered_free(&p->rendered[i]);
	free(p->rendered), free(p->v);
	inoci_dataset_free(&p->d);
}

json_t *cli_text_json(const char *s, size_t n)
{
	inoci_buf b = {0};
	inoci_text_fix(s, n, &b);
	json_t *j = json_stringn(b.data, b.len);
	inoci_buf_free(&b);
	return j;
}

void cli_put_answer(json_t *j, const inoci_result_sample *x)
{
	bool measured = x->finish == INOCI_FINISH_MEASURED;
	json_object_set_new(j, measured ? "measured" : "text",
	                    measured ? json_loadb(x->text, x->text_n, 0, NULL) : cli_text_json(x->text, x->text_n));
	json_object_set_new(j, "finish", json_string(inoci_finish_name(x->finish)));
	json_object_set_new(j, "n_tokens", json_integer(x->n_tokens));
	if (!measured) json_object_set_new(j, "logprob", isnan(x->logprob) ? json_null() : json_real(x->logprob));
}

void cli_print_json(FILE *f, json_t *taken, size_t flags)
{
	char *text = taken ? json_dumps(taken, flags) : NULL;
	fprintf(f, "%s\n", text ? text : "{}");
	free(text);
	json_decref(taken);
}

int cli_write_json(inoci_out *o, json_t *taken, inoc_err *err)
{
	char *line = json_dumps(taken, JSON_COMPACT | JSON_REAL_PRECISION(7));
	json_decref(taken);
	size_t n = strlen(line);
	line[n] = '\n';
	int rc = inoci_out_write(o, line, n + 1, err);
	free(line);
	return rc;
}

static int unknown_scorer(const char *name, inoc_err *err)
{
	inoci_buf b = {0};
	json_t *known = inoci_scorer_builtin_names(), *k;
	size_t i;
	json_array_foreach(known, i, k)
	        inoci_buf_printf(&b, "%s%s", i ? ", " : "", json_string_value(json_object_get(k, "name")));
	int rc = inoci_err_set(err, INOC_E_USAGE,
	                       "no built-in scorer is named '%s' (known: %s); give settings as --scorer NAME={\"type\": ...}",
	                       name, b.data);
	inoci_buf_free(&b);
	json_decref(known);
	return rc;
}

int cli_scorer_parse(const char *given, const char *named, char **name, json_t **settings, inoc_err *err)
{
	const char *json = strchr(given, '{');
	json_error_t e;
	if (json && json != given && json[-1] != '=') json = NULL;
	*name = inoci_strdup(named ? named : given);
	*settings = NULL;
	if (!json) {
		*settings = inoci_scorer_builtin(given);
		return *settings ? 0 : unknown_scorer(given, err);
	}
	if (json - given < 2 && !named) return inoci_err_set(err, INOC_E_USAGE, "give the scorer a name: --scorer NAME={...}");
	if (!named) (*name)[json - 1 - given] = 0;
	*settings = json_loads(json, 0, &e);
	return *settings ? 0 : inoci_err_set(err, INOC_E_USAGE, "--scorer: not JSON: %s (column %d)", e.text, e.column);
}
