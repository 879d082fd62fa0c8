/* local: a model of one's own as judge. Its first token's distribution is what a hosted one gives with max_tokens 1 and
 * temperature 0. The numbers must be tokens: where its tokenizer writes them digit by digit, "85" begins as "8" does. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "judge/internal.h"
#include "sample/sample.h"

typedef struct {
	inoci_ops *ops;
	inoci_model *m;
	const inoci_template *tmpl;
} local;

void inoci_judge_local_free(void *state)
{
	local *l = state;
	if (!l) return;
	inoci_model_free(l->m);
	if (l->ops) l->ops->free(l->ops);
	free(l);
}

int inoci_judge_local_check(const inoci_judge_settings *s, char **path, inoc_err *err)
{
	inoci_hash h;
	int rc;
	*path = inoci_path_join(s->dir, s->local);
	if (!inoci_path_exists(*path) && !strchr(s->local, '/')) {
		char *sub = inoci_asprintf("models/%s.gguf", s->local);
		free(*path);
		*path = inoci_cache_path(sub);
		free(sub);
	}
	if (!inoci_path_exists(*path)) {
		rc = inoci_err_set(err, INOC_E_IO,
		                   "there is no model file '%s', and no fetched model of that name (inoc model fetch)", s->local);
		goto out;
	}
	INOC_TRY(inoci_hash_file_kept(*path, &h, err));
	if (strcmp(h.hex, s->sha256) != 0)
		rc = inoci_err_set(err, INOC_E_CHECK,
		                   "%s is not the model that the judge is pinned to: its SHA-256 is %s, sha256 says %s", *path,
		                   h.hex, s->sha256);
out:
	if (rc < 0) {
		free(*path);
		*path = NULL;
	}
	return rc < 0 ? rc : 0;
}

static int check_numbers(const inoci_tokenizer *t, int high, inoc_err *err)
{
	char s[8];
	int ok = -1;
	for (int v = 0; v <= high && ok == v - 1; v++) {
		inoci_i32s ids = {0};
		int n = snprintf(s, sizeof s, "%d", v);
		inoci_tok_encode(t, s, (size_t)n, &ids);
		if (ids.n == 1) ok = v;
		inoci_i32s_free(&ids);
	}
	if (ok == high) return 0;
	return inoci_err_set(
	        err, INOC_E_UNSUPPORTED,
	        "its tokenizer writes %d as several tokens, so that the first one is not the number: give high: %d, and "
	        "a template that asks for 0 to {high}",
	        ok + 1, ok < 0 ? 0 : ok);
}

static int local_open(inoci_judge *j, const inoci_progress *p, inoc_err *err)
{
	char *path = NULL;
	inoci_dtype d = inoci_ops_cpu_best();
	int rc;
	if (j->local) return 0;
	local *l = inoci_alloc(sizeof *l);
	INOC_TRY(inoci_judge_local_check(&j->s, &path, err));
	if (strcmp(j->s.dtype, "auto") != 0) INOC_TRY(inoci_dtype_parse(j->s.dtype, &d, err));
	INOC_TRY(inoci_ops_cpu(d, 0, &l->ops, err));
	INOC_TRY(inoci_model_open(path, l->ops, false, NULL, p, &l->m, err));
	INOC_TRY(inoci_model_template(l->m, &l->tmpl, err));
	INOC_TRY(check_numbers(l->m->tok, j->s.high, err));
	j->local = l;
	l = NULL;
out:
	inoci_judge_local_free(l);
	free(path);
	return rc < 0 ? rc : 0;
}

typedef struct {
	inoci_judge *j;
	local *l;
	inoci_judge_question **q; /* by prompt */
	const inoci_prompt *prompt;
} sampling;

static int on_sample(void *ctx, const inoci_sampled *s, inoc_err *err)
{
	sampling *x = ctx;
	inoci_buf b = {0};
	json_t *top = json_array();
	for (int i = 0; i < INOCI_JUDGE_TOP; i++) {
		size_t n;
		const char *bytes = inoci_tok_bytes(x->l->m->tok, s->top_ids[i], &n);
		inoci_buf_clear(&b);
		inoci_text_fix(bytes, n, &b);
		json_array_append_new(top, json_pack("[s%, f]", b.data, b.len, (double)s->top_logprob[i]));
	}
	inoci_buf_clear(&b);
	inoci_text_fix(s->text ? s->text : "", s->text_n, &b);
	json_t *reply = json_pack("{s:s%, s:s, s:o, s:i, s:i, s:s}", "text", b.data, b.len, "finish",
	                          s->end == INOCI_END_LENGTH ? "length" : "stop", "top", top, "in", x->prompt[s->prompt].n, "out",
	                          s->n_ids, "model", "");
	inoci_buf_free(&b);
	INOC_BUG_IF(!reply);
	return inoci_judge_came(x->j, x->q[s->prompt], reply, err);
}

int inoci_judge_local(inoci_judge *j, inoci_judge_question *q, size_t n, const inoci_progress *p, inoc_err *err)
{
	inoci_rendered *r = inoci_alloc((n + 1) * sizeof *r);
	inoci_prompt *v = inoci_alloc((n + 1) * sizeof *v);
	inoci_judge_question **of = inoci_alloc((n + 1) * sizeof(inoci_judge_question *));
	inoci_sample_settings s = inoci_sample_defaults();
	size_t k = 0;
	int rc;
	s.temperature = 0;
	s.max_tokens = 1;
	s.top_logprobs = INOCI_JUDGE_TOP;
	INOC_TRY(local_open(j, p, err));
	local *l = j->local;
	for (size_t i = 0; i < n; i++) {
		if (q[i].first != i || q[i].reply) continue;
		const inoci_msg msg = {.role = (char *)(uintptr_t) "user", .content = (char *)(uintptr_t)q[i].text};
		INOC_TRY(inoci_render(l->tmpl, &msg, 1, (inoci_sys){.kind = INOCI_SYS_NONE}, true, &r[k], err));
		if (j->s.begin) inoci_tok_encode(l->m->tok, j->s.begin, strlen(j->s.begin), &r[k].ids);
		if (r[k].ids.n + 1 > (size_t)l->m->hp.context) {
			k++;
			rc = inoci_err_set(err, INOC_E_LIMIT,
			                   "a text to judge has %zu tokens, more than the model's context of %d", r[k - 1].ids.n,
			                   l->m->hp.context);
			goto out;
		}
		v[k] = (inoci_prompt){.ids = r[k].ids.v, .n = (int)r[k].ids.n, .key = inoci_prompt_key(r[k].ids.v, r[k].ids.n)};
		of[k++] = &q[i];
	}
	sampling x = {.j = j, .l = l, .q = of, .prompt = v};
	rc = inoci_sample(l->m, NULL, v, k, &s, on_sample, NULL, &x, p, err);
out:
	for (size_t i = 0; i < n; i++) inoci_rendered_free(&r[i]);
	free(r), free(v), free(of);
	return rc < 0 ? rc : 0;
}
