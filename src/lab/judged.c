/* judged: what judges answer is kept in the store as it comes, each by itself, so that a killed run pays for nothing twice; and
 * what an experiment's judges have in common. */
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

static int recall(void *ctx, const char *key, char **reply, inoc_err *err)
{
	sqlite3_stmt *st;
	int rc = inoci_store_query(ctx, &st, err, "SELECT answer FROM judged WHERE key = ?", "s", key);
	if (rc < 0) return rc;
	rc = inoci_store_step(ctx, st, err);
	*reply = rc > 0 ? inoci_store_col(st, 0) : NULL;
	sqlite3_finalize(st);
	return rc;
}

static int remember(void *ctx, const char *key, const char *reply, inoc_err *err)
{
	inoci_store *s = ctx;
	INOC_BUG_IF(s->in_tx); /* it would wait for the others */
	return inoci_store_exec(s, err, "INSERT OR REPLACE INTO judged(key, answer) VALUES(?,?)", "ss", key, reply);
}

inoci_judge_memory inoci_store_memory(inoci_store *s)
{
	if (!strcmp(s->path, ":memory:")) return (inoci_judge_memory){0};
	return (inoci_judge_memory){.recall = recall, .remember = remember, .ctx = s};
}

int inoci_experiment_read_judge(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_experiment *e = dst;
	(void)ctx;
	if (n->kind != YN_MAP)
		return inoci_yaml_err(n, err, "judge must be a mapping of options that the experiment's judges have in common");
	json_decref(e->judge);
	e->judge = inoci_yaml_json(n);
	return 0;
}

void inoci_experiment_judge_under(const inoci_experiment *e, json_t *settings)
{
	size_t i;
	const char *name;
	json_t *v;
	const char *type = json_string_value(json_object_get(settings, "type"));
	if (!e->judge) return;
	if (type && !strcmp(type, "judge")) {
		if (!json_object_get(settings, "local") != !json_object_get(e->judge, "local")) return; /* of the other kind */
		json_object_update_missing(settings, e->judge);
	} else if (json_is_array(settings)) {
		json_array_foreach(settings, i, v) inoci_experiment_judge_under(e, v);
	} else {
		json_object_foreach(settings, name, v) inoci_experiment_judge_under(e, v);
	}
}

int inoci_settings_read(const char *path, json_t **out, inoc_err *err)
{
	inoci_arena *a = inoci_arena_new();
	inoci_ynode *root = NULL;
	char *text = NULL;
	size_t n;
	int rc;
	*out = NULL;
	INOC_TRY(inoci_file_read(path, &text, &n, err));
	INOC_TRY(inoci_yaml_parse(path, text, n, a, &root, err));
	*out = inoci_yaml_json(root);
out:
	free(text);
	inoci_arena_free(a);
	return rc < 0 ? rc : 0;
}
