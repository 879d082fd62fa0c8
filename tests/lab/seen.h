/* A folder of a test's own, a run in it, and what the run says of itself through its hooks, counted. */
#ifndef INOC_TESTS_SEEN
#define INOC_TESTS_SEEN

#include "lab/internal.h"

static inline void write_file(const char *dir, const char *name, const char *text)
{
	char *p = inoci_path_join(dir, name);
	inoc_err err = {0};
	if (inoci_mkdirs(dir, &err) < 0 || inoci_file_write(p, text, strlen(text), &err) < 0) fail_msg("%s", err.msg);
	free(p);
}

/* Frees dir too. */
static inline void drop_dir(char *dir)
{
	char *cmd = inoci_asprintf("rm -rf '%s'", dir);
	if (system(cmd)) print_error("%s failed\n", cmd);
	free(cmd);
	free(dir);
}

typedef struct {
	long steps, want, have; /* of the plan */
	int trained;
	int seeds, ends; /* tables that were shown: after a seed, at the end */
} seen;

static inline int seen_plan(void *ctx, const inoci_experiment *e, const inoci_plan *p, inoc_err *err)
{
	seen *s = ctx;
	(void)e, (void)err;
	for (size_t i = 0; i < p->n; i++) {
		s->steps += p->v[i].steps;
		s->want += p->v[i].n_samples;
		s->have += p->v[i].n_have;
		s->trained += p->v[i].trained;
	}
	return 0;
}

static inline int seen_seed(void *ctx, const inoci_experiment *e, inoci_store *st, uint64_t seed, inoc_err *err)
{
	seen *s = ctx;
	(void)e, (void)st, (void)err;
	if (seed == UINT64_MAX)
		s->ends++;
	else
		s->seeds++;
	return 0;
}

/* Runs e, which it frees, and counts in *s (NULL: not). rc: of reading e. */
static inline int seen_run(int rc, inoci_experiment *e, const char *model, inoci_ops *ops, inoci_run_options o, seen *s,
                           inoc_err *err)
{
	seen none = {0};
	o.ops = ops;
	o.on_plan = seen_plan;
	o.on_seed = seen_seed;
	o.ctx = s ? s : &none;
	if (s) *s = none;
	if (rc == 0) rc = inoci_run(e, model, &o, err);
	inoci_experiment_free(e);
	return rc;
}

/* Runs DIR/t.yaml into DIR/out; set: "key=value" or NULL. */
static inline int seen_run_in(const char *dir, const char *set, const char *model, inoci_ops *ops, inoci_run_options o, seen *s,
                              inoc_err *err)
{
	char *file = inoci_path_join(dir, "t.yaml"), *out = inoci_asprintf("out=%s/out", dir);
	const char *sets[] = {out, set};
	inoci_experiment *e = NULL;
	*err = (inoc_err){0};
	int rc = inoci_experiment_read(file, sets, set ? 2 : 1, &e, err);
	rc = seen_run(rc, e, model, ops, o, s, err);
	free(file), free(out);
	return rc;
}

#endif
