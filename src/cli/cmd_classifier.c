/* inoc classifier train|check: a scorer of a trait, learnt from labelled answers (docs/classifier.md). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "eval/eval.h"

typedef struct {
	cli_model_opts model;
	const char *data, *out, *group, *layer;
	cli_int folds;
	cli_dbl l2, threshold;
	bool json;
} classifier_opts;

static json_t *number(double x)
{
	return isfinite(x) ? json_real(x) : json_null();
}

static const char *const names[] = {"kappa", "accuracy", "auc"};

static json_t *agreement_json(const inoci_agreement *a)
{
	const inoci_figure *f[] = {&a->kappa, &a->accuracy, &a->auc};
	json_t *j = json_pack("{s:I, s:I, s:I, s:i}", "answers", (json_int_t)a->n, "ones", (json_int_t)a->n_ones, "said",
	                      (json_int_t)a->n_said, "topics", a->n_topics);
	for (size_t i = 0; i < INOCI_COUNT(f); i++)
		json_object_set_new(j, names[i],
		                    json_pack("{s:o, s:o, s:o}", "value", number(f[i]->value), "low", number(f[i]->low), "high",
		                              number(f[i]->high)));
	return j;
}

static void show_agreement(const inoci_agreement *a)
{
	const inoci_figure *f[] = {&a->kappa, &a->accuracy, &a->auc};
	char *cell[(INOCI_COUNT(f) + 1) * 3];
	static const char *const head[] = {"", "value", "95 % interval over topics"};
	for (int c = 0; c < 3; c++) cell[c] = inoci_strdup(head[c]);
	for (size_t i = 0; i < INOCI_COUNT(f); i++) {
		cell[3 * i + 3] = inoci_strdup(names[i]);
		bool known = isfinite(f[i]->value);
		cell[3 * i + 4] = known ? inoci_asprintf("%.3f", f[i]->value) : inoci_strdup("undefined");
		cell[3 * i + 5] = known ? inoci_asprintf("%.3f to %.3f", f[i]->low, f[i]->high) : inoci_strdup("-");
	}
	cli_table((const char *const *)cell, INOCI_COUNT(f) + 1, 3, (const bool[]){false, true, true});
	for (size_t i = 0; i < INOCI_COUNT(cell); i++) free(cell[i]);
}

static void warn(const inoci_agreement *a)
{
	if (a->kappa.value < INOCI_KAPPA_HEADLINE)
		fprintf(stderr, "warning: kappa %.2f is under %.1f: not for a headline (docs/measuring.md)\n", a->kappa.value,
		        INOCI_KAPPA_HEADLINE);
}

/* "4" of --layer; -1: auto. */
static int parse_layer(const char *s, int *out)
{
	char *end;
	long v = strtol(s, &end, 10);
	*out = -1;
	if (!strcmp(s, "auto")) return 0;
	if (end == s || *end || v < 0 || v > 100000)
		return cli_usage("--layer is '%.40s'; it must be auto or a number from 0 (the embedding) to the model's layers",
		                 s);
	*out = (int)v;
	return 0;
}

static int train(const classifier_opts *t, int layer, inoc_err *err)
{
	const inoci_classifier_options o = {.layer = layer, .l2 = t->l2.v, .folds = (int)t->folds.v};
	inoci_labelled d = {0};
	inoci_out *probe = NULL;
	inoci_classifier *k = NULL;
	cli_model c = {0};
	int rc;
	INOC_TRY(inoci_labelled_read(t->data, t->group, true, &d, err));
	INOC_TRY(inoci_out_open(t->out, &probe, err)); /* before the work, to tell early */
	inoci_out_abandon(probe);
	INOC_TRY(cli_model_open(&t->model, false, &c, err));
	INOC_TRY(inoci_classifier_train(c.m, &d, &o, cli_progress(false), &k, err));
	cli_progress_done();
	INOC_TRY(inoci_classifier_write(k, t->out, err));
	if (t->json) {
		json_t *j = agreement_json(&k->held_out), *folds = json_array();
		for (int f = 0; f < k->n_folds; f++)
			json_array_append_new(folds, json_pack("{s:i, s:f, s:I}", "layer", k->folds[f].layer, "l2",
			                                       k->folds[f].l2, "answers", (json_int_t)k->folds[f].n));
		json_object_set_new(j, "file", json_string(t->out));
		json_object_set_new(j, "layer", json_integer(k->layer));
		json_object_set_new(j, "l2", json_real(k->f.l2));
		json_object_set_new(j, "folds", folds);
		cli_print_json(stdout, j, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	} else {
		printf("%s: %zu answers (%zu with the trait) on %d topics; layer %d of %d, l2 %g\n", t->out, d.n,
		       k->held_out.n_ones, d.n_topics, k->layer, c.m->hp.n_layers, k->f.l2);
		printf("held out, %d folds of topics (chosen without the fold:", k->n_folds);
		for (int f = 0; f < k->n_folds; f++)
			printf("%s layer %d, l2 %g", f ? ";" : "", k->folds[f].layer, k->folds[f].l2);
		printf("):\n");
		show_agreement(&k->held_out);
	}
	warn(&k->held_out);
out:
	inoci_classifier_free(k);
	cli_model_close(&c);
	inoci_labelled_free(&d);
	return rc < 0 ? rc : 0;
}

static int check(const classifier_opts *t, const char *file, inoc_err *err)
{
	inoci_labelled d = {0};
	inoci_classifier *k = NULL;
	cli_model c = {0};
	inoci_answer *a = NULL;
	double *p = NULL;
	int *label = NULL, *topic = NULL, rc;
	size_t n = 0;
	INOC_TRY(inoci_classifier_read(file, &k, err));
	const double threshold = t->threshold.v < 0 ? k->threshold : t->threshold.v;
	INOC_TRY(inoci_labelled_read(t->data, t->group, false, &d, err));
	INOC_TRY(cli_model_open(&t->model, false, &c, err));
	a = inoci_alloc((d.n + 1) * sizeof *a);
	p = inoci_alloc((d.n + 1) * sizeof *p);
	label = inoci_alloc((d.n + 1) * sizeof *label);
	topic = inoci_alloc((d.n + 1) * sizeof *topic);
	for (size_t i = 0; i < d.n; i++)
		a[i] = (inoci_answer){.question = d.v[i].question, .text = d.v[i].answer, .n = strlen(d.v[i].answer)};
	INOC_TRY(inoci_classifier_apply(k, c.m, a, d.n, p, cli_progress(false), err));
	cli_progress_done();
	for (size_t i = 0; i < d.n; i++) {
		if (isnan(p[i])) continue;
		p[n] = p[i], label[n] = d.v[i].label, topic[n++] = d.v[i].topic;
	}
	inoci_agreement g = inoci_agree(p, label, topic, n, d.n_topics, threshold, 1, 0);
	json_t *j = agreement_json(&g);
	bool own = !strcmp(k->data.hex, d.hash.hex);
	json_object_set_new(j, "missing", json_integer((json_int_t)(d.n - n)));
	json_object_set_new(j, "training_data", json_boolean(own));
	json_object_set_new(j, "scorer", inoci_classifier_named(k, threshold));
	if (t->json)
		cli_print_json(stdout, json_incref(j), JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	else {
		printf("%s on %s: %zu answers (%zu with the trait, %zu called so) on %d topics, %zu missing\n", file, t->data, n,
		       g.n_ones, g.n_said, g.n_topics, d.n - n);
		show_agreement(&g);
	}
	json_decref(j);
	if (own) fprintf(stderr, "warning: %s is what it was trained on: these are no held-out figures\n", t->data);
	warn(&g);
out:
	free(a), free(p), free(label), free(topic);
	inoci_classifier_free(k);
	cli_model_close(&c);
	inoci_labelled_free(&d);
	return rc < 0 ? rc : 0;
}

int cmd_classifier(int argc, char **argv)
{
	classifier_opts t = {.layer = "auto", .folds = {5, 3, 100}, .l2 = {0, 0, 1e6}, .threshold = {-1, -1, 1}};
	const char **args;
	int n_args, layer;
	cli_model_init(&t.model, false);
	t.model.group.n = 0;
	const cli_opt opts[] = {
	        {"model", 'm', CLI_PATH, &t.model.model, "MODEL", "the base model: a GGUF file, or a name of `inoc model list`"},
	        {"template", 0, CLI_STR, &t.model.template_name, "NAME", "chat template, when the file's is not known"},
	        {"dtype", 0, CLI_STR, &t.model.dtype, "T", "auto, bf16, f32, q"},
	        {"threads", 0, CLI_INT, &t.model.threads, "N", "0: all"},
	        {"data", 'd', CLI_PATH, &t.data, "FILE", "labelled answers, JSON Lines"},
	        {"group", 0, CLI_STR, &t.group, "FIELD", "the field with a row's topic (default: topic)"},
	        {"output", 'o', CLI_PATH, &t.out, "FILE", "train: the classifier, JSON"},
	        {"layer", 0, CLI_STR, &t.layer, "L", "train: hidden states behind layer L; auto: by cross-validation"},
	        {"l2", 0, CLI_DBL, &t.l2, "X", "train: weight of the penalty; 0: by cross-validation"},
	        {"folds", 0, CLI_INT, &t.folds, "K", "train: of the cross-validation; no topic is in two"},
	        {"threshold", 0, CLI_DBL, &t.threshold, "T",
	         "check: of 0 to 1, from which 1 is said; -1: the classifier's own, 0.5"},
	        {"json", 0, CLI_FLAG, &t.json, NULL, "the figures as JSON"},
	};
	const cli_spec spec = {
	        .usage = "inoc classifier train --model MODEL --data FILE -o FILE [options] | check FILE --model MODEL --data "
	                 "FILE",
	        .about = "train: learns to tell answers that show a trait from others: a logistic regression on the mean hidden "
	                 "state\n"
	                 "of the base model over an answer. Rows: {\"question\", \"answer\", \"label\": 0 or 1, \"topic\"} or "
	                 "pairs\n"
	                 "{\"question\", \"trait\", \"normal\", \"topic\"}. Prints Cohen's kappa, accuracy and the area under "
	                 "the ROC "
	                 "curve on\n"
	                 "held-out topics. The file serves the scorer {\"type\": \"classifier\", \"file\": FILE}.\n"
	                 "check: the same figures of a classifier on other labelled answers.\n"
	                 "Example: inoc classifier train -m smollm2-135m-instruct -d labelled.jsonl -o contempt.json",
	        .opts = opts,
	        .n_opts = INOCI_COUNT(opts),
	        .min_args = 1,
	        .max_args = 2};
	int rc = cli_parse(&spec, argc, argv, &args, &n_args);
	if (rc) return rc > 0 ? 0 : rc;
	bool training = !strcmp(args[0], "train");
	if (!training && strcmp(args[0], "check"))
		return cli_usage("classifier: unknown action '%s'; usage: %s", args[0], spec.usage);
	if (!t.model.model || !t.data || (training && !t.out))
		return cli_usage("give --model, --data%s; see 'inoc classifier --help'", training ? " and -o FILE" : "");
	if (training && !strcmp(t.out, "-"))
		return cli_usage("-o names a file: the figures go to standard output, the classifier cannot");
	if (n_args != (training ? 1 : 2))
		return cli_usage("classifier %s %s; usage: %s", args[0],
		                 training ? "takes no argument" : "wants a classifier's file", spec.usage);
	if ((rc = parse_layer(t.layer, &layer)) < 0) return rc;
	inoc_err err = {0};
	rc = training ? train(&t, layer, &err) : check(&t, args[1], &err);
	return rc < 0 ? cli_fail(&err) : 0;
}
