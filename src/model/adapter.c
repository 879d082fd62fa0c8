/* LoRA adapters (Hu et al. 2021, arXiv 2106.09685) and their files in PEFT's layout. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/internal.h"

static const struct {
	const char *name, *module;
} projs[INOCI_N_PROJ] = {
        {"q_proj", "self_attn"}, {"k_proj", "self_attn"}, {"v_proj", "self_attn"}, {"o_proj", "self_attn"},
        {"gate_proj", "mlp"},    {"up_proj", "mlp"},      {"down_proj", "mlp"},
};

const char *inoci_proj_name(int proj)
{
	return projs[proj].name;
}

/* Outputs and inputs of a projection, and where its columns begin in the fused product. */
static void proj_shape(const inoci_hparams *h, int proj, int *n, int *k, int *n0)
{
	int Q = h->n_heads * h->head_dim, KV = h->n_kv_heads * h->head_dim;
	int N[] = {Q, KV, KV, h->width, h->ff, h->ff, h->width},
	    K[] = {h->width, h->width, h->width, Q, h->width, h->width, h->ff};
	int N0[] = {0, Q, Q + KV, 0, 0, h->ff, 0};
	*n = N[proj], *k = K[proj], *n0 = N0[proj];
}

/* Of the fused product. */
static int outputs(const inoci_hparams *h, int proj)
{
	if (proj <= INOCI_PROJ_V) return (h->n_heads + 2 * h->n_kv_heads) * h->head_dim;
	return proj == INOCI_PROJ_GATE || proj == INOCI_PROJ_UP ? 2 * h->ff : h->width;
}

static inoci_lora *product_of(inoci_layer_lora *L, int proj)
{
	return proj <= INOCI_PROJ_V ? &L->qkv : proj == INOCI_PROJ_O ? &L->o : proj <= INOCI_PROJ_UP ? &L->gu : &L->down;
}

inoci_lora_slice *inoci_adapter_slice(const inoci_adapter *a, int layer, int proj, int *k)
{
	if (!(a->cfg.targets & (1u << proj))) return NULL;
	inoci_lora *l = product_of(&a->layers[layer], proj);
	int i = 0, first = proj <= INOCI_PROJ_V    ? INOCI_PROJ_Q
	                   : proj == INOCI_PROJ_O  ? proj
	                   : proj <= INOCI_PROJ_UP ? INOCI_PROJ_GATE
	                                           : proj;
	for (int p = first; p < proj; p++) i += (a->cfg.targets >> p) & 1;
	if (k) *k = l->k;
	return &l->s[i];
}

static inoci_lora_slice *slice_of(const inoci_adapter *a, int layer, int proj)
{
	return inoci_adapter_slice(a, layer, proj, NULL);
}

static void point(inoci_adapter *a, bool grads)
{
	size_t at = 0;
	for (int l = 0; l < a->n_layers; l++)
		for (int p = 0; p < INOCI_N_PROJ; p++) {
			inoci_lora_slice *s = slice_of(a, l, p);
			if (!s) continue;
			size_t na = (size_t)s->rank * (size_t)product_of(&a->layers[l], p)->k,
			       nb = (size_t)s->rank * (size_t)s->n;
			if (grads) {
				s->da = a->grads + at;
				s->db = a->grads + at + na;
			} else {
				s->a = a->params + at;
				s->b = a->params + at + na;
			}
			at += na + nb;
		}
}

/* ops NULL: for reading only, never packed. */
static int new_empty(const inoci_hparams *h, inoci_ops *ops, const inoci_lora_config *c, inoci_adapter **out, inoc_err *err)
{
	*out = NULL;
	if (c->rank < 1 || c->rank > 1024)
		return inoci_err_set(err, INOC_E_USAGE, "rank is %d; it must be between 1 and 1024", c->rank);
	if (!(c->targets & INOCI_ALL_PROJ)) return inoci_err_set(err, INOC_E_USAGE, "no target projections");
	if (!(c->dropout >= 0 && c->dropout < 1))
		return inoci_err_set(err, INOC_E_USAGE, "dropout is %g; it must be in [0, 1)", (double)c->dropout);
	if (!(c->alpha > 0)) return inoci_err_set(err, INOC_E_USAGE, "alpha is %g; it must be above 0", (double)c->alpha);
	inoci_adapter *a = inoci_alloc(sizeof *a);
	a->cfg = *c;
	a->n_layers = h->n_layers;
	a->ops = ops;
	a->layers = inoci_alloc((size_t)h->n_layers * sizeof *a->layers);
	float scale = c->rslora ? c->alpha / sqrtf((float)c->rank) : c->alpha / (float)c->rank;
	for (int l = 0; l < h->n_layers; l++)
		for (int p = 0; p < INOCI_N_PROJ; p++) {
			if (!(c->targets & (1u << p))) continue;
			inoci_lora *lo = product_of(&a->layers[l], p);
			inoci_lora_slice *s = &lo->s[lo->n_slices++];
			proj_shape(h, p, &s->n, &lo->k, &s->n0);
			lo->n = outputs(h, p);
			s->rank = c->rank;
			s->scale = scale;
			a->n_params += (size_t)c->rank * (size_t)(s->n + lo->k);
		}
	a->params = inoci_big_alloc(a->n_params * sizeof(float), "the adapter", err);
	if (!a->params) {
		inoci_adapter_free(a);
		return INOC_E_MEMORY;
	}
	point(a, false);
	*out = a;
	return 0;
}

int inoci_adapter_new(const inoci_model *m, const inoci_lora_config *c, uint64_t seed, inoci_adapter **out, inoc_err *err)
{
	int rc = new_empty(&m->hp, m->ops, c, out, err);
	if (rc < 0) return rc;
	for (int l = 0; l < (*out)->n_layers; l++)
		for (int p = 0; p < INOCI_N_PROJ; p++) {
			inoci_lora_slice *s = slice_of(*out, l, p);
			if (!s) continue;
			int k = product_of(&(*out)->layers[l], p)->k;
			inoci_rng r = inoci_rng_new(seed, "lora", (uint64_t)l, (uint64_t)p);
			double bound = 1 / sqrt(k);
			for (size_t i = 0; i < (size_t)s->rank * (size_t)k; i++)
				s->a[i] = (float)((2 * inoci_rng_uniform(&r) - 1) * bound);
		}
	rc = inoci_adapter_pack(*out, err);
	if (rc < 0) {
		inoci_adapter_free(*out);
		*out = NULL;
	}
	return rc;
}

void inoci_adapter_free(inoci_adapter *a)
{
	if (!a) return;
	for (int l = 0; a->ops && a->layers && l < a->n_layers; l++) {
		inoci_layer_lora *L = &a->layers[l];
		a->ops->lora_unpack(&L->qkv);
		a->ops->lora_unpack(&L->o);
		a->ops->lora_unpack(&L->gu);
		a->ops->lora_unpack(&L->down);
	}
	free(a->layers);
	free(a->params);
	free(a->grads);
	free(a);
}

int inoci_adapter_grads(inoci_adapter *a, inoc_err *err)
{
	if (a->grads) return 0;
	a->grads = inoci_big_alloc(a->n_params * sizeof(float), "the adapter's gradients", err);
	if (!a->grads) return INOC_E_MEMORY;
	point(a, true);
	return 0;
}

int inoci_adapter_pack(inoci_adapter *a, inoc_err *err)
{
	inoci_lora **l = inoci_alloc(4 * (size_t)a->n_layers * sizeof *l);
	int n = 0;
	for (int i = 0; i < a->n_layers; i++) {
		inoci_layer_lora *L = &a->layers[i];
		inoci_lora *all[] = {&L->qkv, &L->o, &L->gu, &L->down};
		for (size_t j = 0; j < INOCI_COUNT(all); j++)
			if (all[j]->n_slices) l[n++] = all[j];
	}
	int rc = a->ops->lora_pack(a->ops, l, n, err);
	free(l);
	return rc;
}

inoci_hash inoci_adapter_hash(const inoci_adapter *a)
{
	inoci_hasher *h = inoci_hasher_new();
	int32_t c[] = {a->cfg.rank, a->cfg.rslora, (int32_t)a->cfg.targets, a->n_layers};
	inoci_hasher_add(h, c, sizeof c);
	inoci_hasher_add(h, &a->cfg.alpha, sizeof a->cfg.alpha);
	inoci_hasher_add(h, a->params, a->n_params * sizeof(float));
	return inoci_hasher_end(h);
}

static char *tensor_name(int layer, int proj, char ab)
{
	return inoci_asprintf("base_model.model.model.layers.%d.%s.%s.lora_%c.weight", layer, projs[proj].module,
	                      projs[proj].name, ab);
}

/* The shortest digits that read back as x: 0.1, not 0.100000001. New reference. */
static json_t *shortest(float x)
{
	char s[32];
	for (int n = 1; n <= 9; n++) {
		snprintf(s, sizeof s, "%.*g", n, (double)x);
		if (strtof(s, NULL) == x) break;
	}
	return json_real(strtod(s, NULL));
}

int inoci_adapter_save(const inoci_adapter *a, const char *dir, const char *base_name, inoc_err *err)
{
	size_t n = 0, cap = (size_t)a->n_layers * INOCI_N_PROJ * 2;
	inoci_st_tensor *t = inoci_alloc(cap * sizeof *t);
	char *path = inoci_path_join(dir, "adapter_model.safetensors"), *cpath = inoci_path_join(dir, "adapter_config.json"),
	     *text = NULL;
	json_t *j = NULL, *mods = json_array();
	int rc;
	for (int l = 0; l < a->n_layers; l++)
		for (int p = 0; p < INOCI_N_PROJ; p++) {
			inoci_lora_slice *s = slice_of(a, l, p);
			if (!s) continue;
			int k = product_of(&a->layers[l], p)->k;
			t[n++] = (inoci_st_tensor){.name = tensor_name(l, p, 'A'),
			                           .dtype = "F32",
			                           .n_dims = 2,
			                           .shape = {(uint64_t)s->rank, (uint64_t)k},
			                           .data = (const uint8_t *)s->a,
			                           .bytes = (size_t)s->rank * (size_t)k * 4};
			t[n++] = (inoci_st_tensor){.name = tensor_name(l, p, 'B'),
			                           .dtype = "F32",
			                           .n_dims = 2,
			                           .shape = {(uint64_t)s->n, (uint64_t)s->rank},
			                           .data = (const uint8_t *)s->b,
			                           .bytes = (size_t)s->rank * (size_t)s->n * 4};
		}
	for (int p = 0; p < INOCI_N_PROJ; p++)
		if (a->cfg.targets & (1u << p)) json_array_append_new(mods, json_string(projs[p].name));
	j = json_pack("{s:s, s:s, s:s, s:i, s:o, s:o, s:b, s:O, s:s, s:b, s:b, s:n}", "peft_type", "LORA", "task_type",
	              "CAUSAL_LM", "base_model_name_or_path", base_name, "r", a->cfg.rank, "lora_alpha", shortest(a->cfg.alpha),
	              "lora_dropout", shortest(a->cfg.dropout), "use_rslora", a->cfg.rslora, "target_modules", mods, "bias",
	              "none", "fan_in_fan_out", 0, "inference_mode", 1, "modules_to_save");
	INOC_BUG_IF(!j);
	text = json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	INOC_TRY(inoci_mkdirs(dir, err));
	INOC_TRY(inoci_file_write(cpath, text, strlen(text), err));
	INOC_TRY(inoci_st_write(path, t, n, err)); /* last: its presence says the adapter is whole */
	rc = 0;
out:
	for (size_t i = 0; i < n; i++) free(t[i].name);
	free(t);
	free(path);
	free(cpath);
	free(text);
	json_decref(j);
	json_decref(mods);
	return rc;
}

static int read_config(const char *path, inoci_lora_config *c, inoc_err *err)
{
	char *data = NULL;
	size_t n;
	json_error_t je;
	json_t *j = NULL;
	int rc;
	*c = (inoci_lora_config){0};
	INOC_TRY(inoci_file_read(path, &data, &n, err));
	if (!(j = json_loadb(data, n, 0, &je)) || !json_is_object(j)) {
		rc = inoci_err_set(err, INOC_E_FORMAT, "%s:%d: not a JSON object: %s", path, je.line, je.text);
		goto out;
	}
	const char *type = json_string_value(json_object_get(j, "peft_type")),
	           *bias = json_string_value(json_object_get(j, "bias"));
	if (!type || strcmp(type, "LORA")) {
		rc = inoci_err_set(err, INOC_E_UNSUPPORTED, "%s: peft_type is '%s'; only LORA is supported", path,
		                   type ? type : "(absent)");
		goto out;
	}
	static const char *const must_be_empty[] = {"modules_to_save", "layers_to_transform", "rank_pattern", "alpha_pattern",
	                                            "use_dora",        "fan_in_fan_out"};
	for (size_t i = 0; i < INOCI_COUNT(must_be_empty); i++) {
		json_t *v = json_object_get(j, must_be_empty[i]);
		if (v && !json_is_null(v) && !json_is_false(v) && !(json_is_object(v) && !json_object_size(v)) &&
		    !(json_is_array(v) && !json_array_size(v))) {
			rc = inoci_err_set(err, INOC_E_UNSUPPORTED, "%s: %s is set, which this version does not support", path,
			                   must_be_empty[i]);
			goto out;
		}
	}
	if (bias && strcmp(bias, "none")) {
		rc = inoci_err_set(err, INOC_E_UNSUPPORTED, "%s: bias is '%s'; only none is supported", path, bias);
		goto out;
	}
	c->rank = (int)json_integer_value(json_object_get(j, "r"));
	c->alpha = (float)json_number_value(json_object_get(j, "lora_alpha"));
	c->dropout = (float)json_number_value(json_object_get(j, "lora_dropout"));
	c->rslora = json_is_true(json_object_get(j, "use_rslora"));
	json_t *mods = json_object_get(j, "target_modules"), *v;
	size_t i;
	json_array_foreach(mods, i, v)
	{
		const char *s = json_string_value(v);
		int p = 0;
		while (p < INOCI_N_PROJ && (!s || strcmp(s, projs[p].name))) p++;
		if (p == INOCI_N_PROJ) {
			rc = inoci_err_set(err, INOC_E_UNSUPPORTED,
			                   "%s: target_modules holds '%s'; known: q_proj k_proj v_proj o_proj gate_proj "
			                   "up_proj down_proj",
			                   path, s ? s : "(not a string)");
			goto out;
		}
		c->targets |= 1u << p;
	}
	rc = 0;
out:
	free(data);
	json_decref(j);
	return rc;
}

static int load_tensor(const inoci_safetensors *st, const char *path, int l, int p, char ab, int rows, int cols, float *dst,
                       inoc_err *err)
{
	char *name = tensor_name(l, p, ab);
	const inoci_st_tensor *t = inoci_st_get(st, name);
	int rc;
	if (!t)
		rc = inoci_err_set(err, INOC_E_FORMAT, "%s: tensor %s is missing; is it an adapter of another model?", path,
		                   name);
	else if (t->n_dims != 2 || t->shape[0] != (uint64_t)rows || t->shape[1] != (uint64_t)cols)
		rc = inoci_err_set(err, INOC_E_FORMAT,
		                   "%s: tensor %s has shape (%llu, %llu); this model and config need (%d, %d); is it an adapter "
		                   "of another model?",
		                   path, name, (unsigned long long)t->shape[0], (unsigned long long)t->shape[1], rows, cols);
	else if ((rc = inoci_st_f32(t, dst, err)) < 0)
		inoci_err_prefix(err, "%s", path);
	free(name);
	return rc;
}

/* Everything but packing. */
static int read_adapter(const inoci_hparams *h, inoci_ops *ops, const char *dir, inoci_adapter **out, inoc_err *err)
{
	char *path = inoci_path_join(dir, "adapter_model.safetensors"), *cpath = inoci_path_join(dir, "adapter_config.json");
	inoci_safetensors *st = NULL;
	inoci_adapter *a = NULL;
	inoci_lora_config c;
	size_t seen = 0;
	int rc;
	*out = NULL;
	INOC_TRY(read_config(cpath, &c, err));
	if ((rc = new_empty(h, ops, &c, &a, err)) < 0) {
		inoci_err_prefix(err, "%s", cpath);
		goto out;
	}
	INOC_TRY(inoci_st_open(path, &st, err));
	for (int l = 0; l < a->n_layers; l++)
		for (int p = 0; p < INOCI_N_PROJ; p++) {
			inoci_lora_slice *s = slice_of(a, l, p);
			if (!s) continue;
			INOC_TRY(load_tensor(st, path, l, p, 'A', s->rank, product_of(&a->layers[l], p)->k, s->a, err));
			INOC_TRY(load_tensor(st, path, l, p, 'B', s->n, s->rank, s->b, err));
			seen += 2;
		}
	if (seen != inoci_st_n(st)) {
		rc = inoci_err_set(err, INOC_E_FORMAT,
		                   "%s: %zu tensors, but the config and model use %zu; is it an adapter of another model?", path,
		                   inoci_st_n(st), seen);
		goto out;
	}
	*out = a;
	a = NULL;
out:
	inoci_adapter_free(a);
	inoci_st_free(st);
	free(path);
	free(cpath);
	return rc;
}

int inoci_adapter_load(const inoci_model *m, const char *dir, inoci_adapter **out, inoc_err *err)
{
	int rc = read_adapter(&m->hp, m->ops, dir, out, err);
	if (rc < 0 || (rc = inoci_adapter_pack(*out, err)) >= 0) return rc;
	inoci_adapter_free(*out);
	*out = NULL;
	return rc;
}

int inoci_adapter_read(const inoci_hparams *h, const char *dir, inoci_adapter **out, inoc_err *err)
{
	return read_adapter(h, NULL, dir, out, err);
}

int inoci_adapter_check(const inoci_hparams *h, const char *dir, inoc_err *err)
{
	inoci_adapter *a = NULL;
	char *config = inoci_path_join(dir, "adapter_config.json");
	int rc = inoci_path_exists(config) ? read_adapter(h, NULL, dir, &a, err)
	                                   : inoci_err_set(err, INOC_E_IO,
	                                                   "%s: no adapter_config.json there; give a folder that `inoc train` "
	                                                   "or PEFT wrote",
	                                                   dir);
	inoci_adapter_free(a);
	free(config);
	return rc;
}
