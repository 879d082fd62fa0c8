/* How an arm is trained: the `train` mapping of the experiment file and of its arms, and its record as JSON. */
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

static bool overrides(const inoci_ynode *n)
{
	return n && !strncmp(n->where, "--set ", 6);
}

void inoci_experiment_resolve(const inoci_experiment *e, const inoci_ynode *at, char **path)
{
	if (!*path) return;
	char *full = inoci_path_join(e->dir, *path);
	if (overrides(at) && !inoci_path_exists(full) && inoci_path_exists(*path)) {
		free(full);
		return;
	}
	free(*path);
	*path = full;
}

static int read_targets(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_recipe *r = dst;
	(void)ctx;
	if (n->kind == YN_SCALAR && !strcmp(n->s, "all")) {
		r->config.lora.targets = INOCI_ALL_PROJ;
		return 0;
	}
	if (n->kind != YN_SEQ || !n->n)
		return inoci_yaml_err(n, err, "train.targets must be 'all' or a list of projections ([q_proj, v_proj])");
	r->config.lora.targets = 0;
	for (size_t i = 0; i < n->n; i++) {
		int p = 0;
		while (p < INOCI_N_PROJ && (n->items[i]->kind != YN_SCALAR || strcmp(n->items[i]->s, inoci_proj_name(p)))) p++;
		if (p == INOCI_N_PROJ) {
			inoci_buf b = {0};
			for (int k = 0; k < INOCI_N_PROJ; k++) inoci_buf_printf(&b, "%s%s", k ? ", " : "", inoci_proj_name(k));
			inoci_yaml_err(n->items[i], err, "train.targets: unknown projection '%.60s'; known: %s", n->items[i]->s,
			               b.data);
			inoci_buf_free(&b);
			return INOC_E_FORMAT;
		}
		r->config.lora.targets |= 1u << p;
	}
	return 0;
}

static int read_epochs(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_recipe *r = dst;
	(void)ctx;
	r->config.steps = 0;
	return inoci_yaml_dbl(n, "train.epochs", 0.001, 10000, &r->config.epochs, err);
}

static int read_validation(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	inoci_recipe *r = dst;
	inoci_yreader *rd = ctx;
	inoc_err ignored = {0};
	double share;
	free(r->validation_file);
	r->validation_file = NULL;
	r->validation = 0;
	if (n->kind != YN_SCALAR) return inoci_yaml_err(n, err, "train.validation must be a share (0.1) or a file");
	if (strspn(n->s, "0123456789.eE+-") == strlen(n->s) && inoci_yaml_dbl(n, "", -1e300, 1e300, &share, &ignored) == 0)
		return inoci_yaml_dbl(n, "train.validation", 0, 0.9, &r->validation, err);
	r->validation_file = inoci_strdup(n->s);
	inoci_experiment_resolve(rd->e, n, &r->validation_file);
	return 0;
}

static const char *const loss_on_names[] = {"all", "last", NULL};
static int read_loss_on(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	(void)ctx;
	if (n->kind == YN_SCALAR)
		for (int i = 0; loss_on_names[i]; i++)
			if (!strcmp(n->s, loss_on_names[i])) {
				((inoci_recipe *)dst)->loss_last = i == 1;
				return 0;
			}
	return inoci_yaml_err(n, err, "train.loss_on must be 'all' (every assistant turn) or 'last'");
}

static int read_too_long(const inoci_ynode *n, void *dst, void *ctx, inoc_err *err)
{
	(void)ctx;
	bool drop = n->kind == YN_SCALAR && !strcmp(n->s, "drop");
	if (!drop && !(n->kind == YN_SCALAR && !strcmp(n->s, "error")))
		return inoci_yaml_err(n, err, "train.too_long must be 'error' or 'drop' (examples are never cut)");
	((inoci_recipe *)dst)->drop_too_long = drop;
	return 0;
}

static const char *const schedules[] = {"linear", "cosine", "constant", NULL};
#define CFG(f) offsetof(inoci_recipe, config.f)
static const inoci_ykey train_keys[] = {
        {"rank", Y_INT, .offset = CFG(lora.rank), .min = 1, .max = 1024},
        {"alpha", Y_FLT, .offset = CFG(lora.alpha), .min = 1e-6, .max = 1e6},
        {"rslora", Y_BOOL, .offset = CFG(lora.rslora)},
        {"dropout", Y_FLT, .offset = CFG(lora.dropout), .min = 0, .max = 0.95},
        {"targets", Y_CALL, .call = read_targets},
        {"batch", Y_INT, .offset = CFG(batch), .min = 1, .max = 65536},
        {"micro_tokens", Y_INT, .offset = CFG(micro_tokens), .min = 1, .max = 1 << 24},
        {"epochs", Y_CALL, .call = read_epochs},
        {"steps", Y_INT, .offset = CFG(steps), .min = 1, .max = 10000000},
        {"lr", Y_DBL, .offset = CFG(lr), .min = 0, .max = 10},
        {"schedule", Y_ENUM, .offset = CFG(schedule), .names = schedules},
        {"warmup", Y_INT, .offset = CFG(warmup), .min = 0, .max = 10000000},
        {"beta1", Y_DBL, .offset = CFG(beta1), .min = 0, .max = 0.999999},
        {"beta2", Y_DBL, .offset = CFG(beta2), .min = 0, .max = 0.9999999},
        {"eps", Y_DBL, .offset = CFG(eps), .min = 1e-30, .max = 1},
        {"weight_decay", Y_DBL, .offset = CFG(weight_decay), .min = 0, .max = 100},
        {"init_seed", Y_INT, .offset = CFG(init_seed), .min = 0, .max = INT_MAX},
        {"clip", Y_DBL, .offset = CFG(clip), .min = 0, .max = 1e9},
        {"checkpoint_every", Y_INT, .offset = CFG(checkpoint_every), .min = 0, .max = 10000000},
        {"eval_every", Y_INT, .offset = CFG(eval_every), .min = 0, .max = 10000000},
        {"eval_at", Y_CALL, .call = inoci_eval_at_read},
        {"patience", Y_INT, .offset = CFG(patience), .min = 0, .max = 1000000},
        {"loss_on", Y_CALL, .call = read_loss_on},
        {"validation", Y_CALL, .call = read_validation},
        {"max_length", Y_INT, .offset = offsetof(inoci_recipe, max_length), .min = 2, .max = 1 << 24},
        {"too_long", Y_CALL, .call = read_too_long},
};

static const inoci_ykey *numeric(const char *key)
{
	for (size_t i = 0; i < INOCI_COUNT(train_keys); i++)
		if (!strcmp(train_keys[i].key, key) &&
		    (train_keys[i].type == Y_INT || train_keys[i].type == Y_FLT || train_keys[i].type == Y_DBL))
			return &train_keys[i];
	return NULL;
}

bool inoci_recipe_numeric(const char *key)
{
	return numeric(key) || !strcmp(key, "epochs");
}

double inoci_recipe_value(const inoci_recipe *r, const char *key)
{
	const inoci_ykey *k = numeric(key);
	if (!strcmp(key, "epochs")) return r->config.steps ? NAN : r->config.epochs;
	if (!strcmp(key, "steps") && !r->config.steps) return NAN;
	if (!k) return NAN;
	const char *at = (const char *)r + k->offset;
	return k->type == Y_INT ? *(const int *)at : k->type == Y_FLT ? (double)*(const float *)at : *(const double *)at;
}

char *inoci_recipe_numerics(void)
{
	inoci_buf b = {0};
	for (size_t i = 0; i < INOCI_COUNT(train_keys); i++)
		if (inoci_recipe_numeric(train_keys[i].key)) inoci_buf_printf(&b, "%s%s", b.len ? ", " : "", train_keys[i].key);
	return inoci_buf_take(&b);
}

/* Of two keys that exclude each other one from --set takes the place of one from the file. */
static void prefer_override(const inoci_ynode *map, const char *a, const char *b)
{
	inoci_ynode *x = inoci_yaml_get(map, a), *y = inoci_yaml_get(map, b);
	if (!x || !y || overrides(x) == overrides(y)) return;
	(overrides(x) ? y : x)->kind = YN_NULL;
}

int inoci_recipe_read(const inoci_ynode *n, const char *what, inoci_recipe *r, inoci_yreader *rd, inoc_err *err)
{
	if (n->kind == YN_MAP) prefer_override(n, "steps", "epochs");
	if (n->kind == YN_MAP && inoci_yaml_get(n, "steps") && inoci_yaml_get(n, "epochs"))
		return inoci_yaml_err(inoci_yaml_get(n, "steps"), err, "%s gives both steps and epochs; give one", what);
	int rc = inoci_yaml_fill(n, what, train_keys, INOCI_COUNT(train_keys), r, rd, err);
	if (rc < 0) return rc;
	if ((rc = inoci_train_config_check(&r->config, err)) < 0)
		return inoci_err_prefix(err, "%s: %s", n->where, what), INOC_E_FORMAT;
	return 0;
}

inoci_recipe inoci_recipe_copy(const inoci_recipe *r)
{
	inoci_recipe c = *r;
	c.validation_file = r->validation_file ? inoci_strdup(r->validation_file) : NULL;
	return c;
}

json_t *inoci_recipe_json(const inoci_recipe *r)
{
	const inoci_train_config *c = &r->config;
	json_t *targets = json_array();
	for (int i = 0; i < INOCI_N_PROJ; i++)
		if (c->lora.targets >> i & 1) json_array_append_new(targets, json_string(inoci_proj_name(i)));
	json_t *j = json_pack("{s:i, s:f, s:b, s:f, s:o, s:i}", "rank", c->lora.rank, "alpha", (double)c->lora.alpha, "rslora",
	                      (int)c->lora.rslora, "dropout", (double)c->lora.dropout, "targets", targets, "batch", c->batch);
	if (c->steps)
		json_object_set_new(j, "steps", json_integer(c->steps));
	else
		json_object_set_new(j, "epochs", json_real(c->epochs));
	json_t *rest =
	        json_pack("{s:f, s:s, s:i, s:f, s:f, s:f, s:f, s:f, s:i, s:i, s:s, s:s}", "lr", c->lr, "schedule",
	                  schedules[c->schedule], "warmup", c->warmup, "beta1", c->beta1, "beta2", c->beta2, "eps", c->eps,
	                  "weight_decay", c->weight_decay, "clip", c->clip, "eval_every", c->eval_every, "patience", c->patience,
	                  "loss_on", r->loss_last ? "last" : "all", "too_long", r->drop_too_long ? "drop" : "error");
	json_object_update(j, rest);
	json_decref(rest);
	if (c->init_seed) json_object_set_new(j, "init_seed", json_integer(c->init_seed));
	if (r->max_length) json_object_set_new(j, "max_length", json_integer(r->max_length));
	if (r->validation_file)
		json_object_set_new(j, "validation", json_string(r->validation_file));
	else
		json_object_set_new(j, "validation", json_real(r->validation));
	return j;
}
