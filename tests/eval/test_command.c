/* The scorer that asks a program: what it gets and says, everything that can go wrong, full pipes, what is left behind, its key.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "eval/eval.h"

static char dir[] = "inoc-command-XXXXXX";
static inoci_scorer_env env = {.dir = dir};

static int setup(void **st)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **st)
{
	char cmd[64];
	snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
	return system(cmd);
}

static void put_file(const char *name, const char *text, int mode)
{
	char *path = inoci_path_join(dir, name);
	inoc_err err = {0};
	if (inoci_file_write(path, text, strlen(text), &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(chmod(path, (mode_t)mode), 0);
	free(path);
}

static char *get_file(const char *name)
{
	char *path = inoci_path_join(dir, name), *text = NULL;
	size_t n;
	inoc_err err = {0};
	if (inoci_file_read(path, &text, &n, &err) < 0) fail_msg("%s", err.msg);
	free(path);
	return text;
}

/* options: JSON of an object, with ` for " */
static inoci_scorer *make(const char *options)
{
	char *text = inoci_strdup(options);
	inoci_scorer *s = NULL;
	inoc_err err = {0};
	for (char *c = text; *c; c++)
		if (*c == '`') *c = '"';
	json_t *j = json_loads(text, 0, NULL);
	if (!j) fail_msg("no JSON: %s", text);
	json_object_set_new(j, "type", json_string("command"));
	if (inoci_scorer_new_in("asked", j, &env, &s, &err) < 0) fail_msg("%s: %s", options, err.msg);
	json_decref(j);
	free(text);
	return s;
}

static int ask(const char *options, const inoci_answer *a, size_t n, double *v, const inoci_progress *p, inoc_err *err)
{
	inoci_scorer *s = make(options);
	int rc = inoci_scorer_apply_many(s, a, n, v, p, err);
	inoci_scorer_free(s);
	return rc;
}

static const inoci_answer two[] = {{.question = "q \"1\"", .text = "yes", .n = 3, .finish = INOCI_FINISH_STOP},
                                   {.question = "q 2", .text = "n\xc3", .n = 2, .finish = INOCI_FINISH_LENGTH}};

static void says(void **st)
{
	inoc_err err = {0};
	double v[3] = {-1, -1, -1};
	if (ask("{`run`: [`sh`, `-c`, `tee got.jsonl >/dev/null; echo 0.25; echo '  {\\`value\\`: 1, \\`why\\`: \\`x\\`}'`]}",
	        two, 2, v, NULL, &err) < 0)
		fail_msg("%s", err.msg);
	assert_true(v[0] == 0.25 && v[1] == 1);
	char *got = get_file("got.jsonl");
	assert_string_equal(got, "{\"question\":\"q \\\"1\\\"\",\"text\":\"yes\",\"finish\":\"stop\",\"item\":{}}\n"
	                         "{\"question\":\"q 2\",\"text\":\"n\xef\xbf\xbd\",\"finish\":\"length\",\"item\":{}}\n");
	free(got);
	if (ask("{`run`: `echo null; printf '{\\`value\\`: null}\\n\\n'`}", two, 2, v, NULL, &err) < 0) fail_msg("%s", err.msg);
	assert_true(isnan(v[0]) && isnan(v[1]));
	json_t *item = json_pack("{s:i}", "n", 7);
	inoci_answer a = two[0];
	a.item = item;
	if (ask("{`run`: [`awk`, `/item.:{.n.:7}/ {print -7.5}`], `real`: true}", &a, 1, v, NULL, &err) < 0)
		fail_msg("%s", err.msg);
	assert_true(v[0] == -7.5);
	json_decref(item);
	/* relative to the folder given, and to one in it */
	put_file("one.sh", "#!/bin/sh\nwhile read -r x; do echo 1; done\n", 0755);
	char *sub = inoci_path_join(dir, "sub");
	assert_int_equal(inoci_mkdirs(sub, &err), 0);
	free(sub);
	if (ask("{`run`: [`./one.sh`]}", two, 2, v, NULL, &err) < 0 || v[1] != 1) fail_msg("%s", err.msg);
	if (ask("{`run`: [`../one.sh`], `dir`: `sub`}", two, 2, v, NULL, &err) < 0 || v[1] != 1) fail_msg("%s", err.msg);
}

static void fails(void **st)
{
	static const struct {
		const char *options, *error;
	} t[] = {
	        {"{`run`: `cat >/dev/null; echo 'no model file' >&2; echo 1; exit 3`}",
	         "command \"cat >/dev/null; echo 'no model file' >&2; echo 1; exit 3\": it failed with exit status 3; its "
	         "standard error "
	         "ends: no model file"},
	        {"{`run`: `kill -TERM $$`}", "it was ended by signal 15"},
	        {"{`run`: `echo 1`}", "it printed 1 line for 2 answers: line 2 is missing"},
	        {"{`run`: `true`}", "it printed 0 lines for 2 answers: line 1 is missing"},
	        {"{`run`: `echo 1; echo 1; echo more`}", "it printed more lines than the 2 answers it got; line 3: more"},
	        {"{`run`: `echo 1; echo rude`}",
	         "line 2 of its output (question \"q 2\"): is no number, null or {\"value\": number or null}: rude"},
	        {"{`run`: `echo; echo 1`}", "line 1 of its output (question \"q \"1\"\"): is no number"},
	        {"{`run`: `echo 1; echo NaN`}", "is no number, null or {\"value\": number or null}: NaN"},
	        {"{`run`: `echo true; echo 1`}", "line 1 of its output"},
	        {"{`run`: `echo {}; echo 1`}", "line 1 of its output"},
	        {"{`run`: `echo 1; echo 7`}",
	         "line 2 of its output (question \"q 2\"): is 7, not from 0 to 1; if any number is meant"},
	        {"{`run`: [`no-such-program-here`]}", "command \"no-such-program-here\": could not be started in "},
	        {"{`run`: [`sleep`, `600`], `timeout`: 0.05}",
	         "it has not ended after 0.05 s, its time limit (\"timeout\"), and was killed"},
	        {"{`run`: `exec >&- 2>&-; sleep 600`, `timeout`: 0.05}", "it has not ended after 0.05 s"},
	        {"{`run`: [`yes`]}", "it prints more than "},
	};
	for (size_t i = 0; i < INOCI_COUNT(t); i++) {
		inoc_err err = {0};
		double v[2];
		assert_int_equal(ask(t[i].options, two, 2, v, NULL, &err), INOC_E_EXTERNAL);
		if (!strstr(err.msg, t[i].error)) fail_msg("%s: \"%s\" without \"%s\"", t[i].options, err.msg, t[i].error);
	}
}

static void is_ready(void **st)
{
	static const struct {
		const char *options, *error;
	} t[] = {
	        {"{`run`: [`sh`]}", NULL},
	        {"{`run`: `no-such-program-here`}", NULL}, /* the shell's to say */
	        {"{`run`: [`no-such-program-here`]}", "is not found on PATH"},
	        {"{`run`: [`./none.sh`]}", "the program ./none.sh is not there"},
	        {"{`run`: [`./plain.txt`]}", "the program ./plain.txt may not be run"},
	        {"{`run`: [`sh`], `dir`: `nowhere`}", "there is no folder "},
	        {"{`run`: [`sh`], `files`: [`plain.txt`, `gone.txt`]}", "there is no file gone.txt"},
	};
	put_file("plain.txt", "x", 0644);
	for (size_t i = 0; i < INOCI_COUNT(t); i++) {
		inoc_err err = {0};
		inoci_scorer *s = make(t[i].options);
		int rc = inoci_scorer_ready(s, &err);
		inoci_scorer_free(s);
		if ((rc < 0) != (t[i].error != NULL) || (t[i].error && !strstr(err.msg, t[i].error)))
			fail_msg("%s: %d \"%s\" without \"%s\"", t[i].options, rc, err.msg, t[i].error ? t[i].error : "");
	}
}

/* More than pipes hold, in every direction; one that reads nothing. */
static void full_pipes(void **st)
{
	enum { N = 64, BYTES = 40000 };
	static char text[BYTES];
	static inoci_answer a[N];
	static double v[N];
	inoc_err err = {0};
	memset(text, 'x', BYTES);
	for (int i = 0; i < N; i++) a[i] = (inoci_answer){.question = "q", .text = text, .n = BYTES};
	/* writes 1.2 MB to both before it reads anything */
	if (ask("{`run`: `yes | head -n 300000 >&2; awk 'BEGIN {while (i++ < 16) {printf \\`0.5\\`; for (j = 0; j < 4000; j++) "
	        "printf \\` \\`; print \\`\\`}} NR > 16 {print 1}'`}",
	        a, N, v, NULL, &err) < 0)
		fail_msg("%s", err.msg);
	assert_true(v[0] == 0.5 && v[15] == 0.5 && v[16] == 1 && v[N - 1] == 1);
	if (ask("{`run`: [`awk`, `BEGIN {while (i++ < 64) print 1}`]}", a, N, v, NULL, &err) < 0) fail_msg("%s", err.msg);
	assert_true(v[N - 1] == 1);
}

static volatile int stop;

static void left_behind(void **st)
{
	inoc_err err = {0};
	double v[2];
	inoci_progress p = {.stop = &stop};
	/* children of the program that hold its pipes neither keep us nor outlive it */
	for (int i = 0; i < 3; i++) {
		static const char *const run[] = {"{`run`: `sleep 600 & echo $! > pid; echo 1; echo 1`}",
		                                  "{`run`: `sleep 600 & echo $! > pid; echo 1; wait`, `timeout`: 1}",
		                                  "{`run`: `sleep 600 & echo $! > pid; echo 1; wait`}"};
		static const int want[] = {0, INOC_E_EXTERNAL, INOC_E_STOPPED};
		stop = i == 2;
		assert_int_equal(ask(run[i], two, 2, v, &p, &err), want[i]);
		if (i == 2) continue; /* stopped before it wrote anything, perhaps */
		char *text = get_file("pid");
		pid_t pid = (pid_t)atol(text);
		free(text);
		assert_true(pid > 1);
		while (kill(pid, 0) == 0) { /* killed: until it is reaped, or a zombie of nobody */
			char path[64], *state = NULL;
			size_t n;
			snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
			if (inoci_file_read(path, &state, &n, &err) < 0) break;
			bool zombie = strstr(state, ") Z") != NULL;
			free(state);
			if (zombie) break;
			usleep(1000);
		}
	}
}

static inoci_hash key(const char *options)
{
	inoci_scorer *s = make(options);
	inoci_hash h = inoci_scorer_key(s);
	inoci_scorer_free(s);
	return h;
}

static bool same(inoci_hash a, inoci_hash b)
{
	return !strcmp(a.hex, b.hex);
}

static void keys(void **st)
{
	put_file("rate.sh", "#!/bin/sh\nawk '{print 1}'\n", 0755);
	put_file("words.txt", "one\n", 0644);
	inoci_hash direct = key("{`run`: [`./rate.sh`]}"), by_sh = key("{`run`: [`sh`, `rate.sh`]}");
	inoci_hash line = key("{`run`: `cat words.txt | ./rate.sh`}"), beside = key("{`run`: [`sh`], `files`: [`words.txt`]}");
	inoci_hash plain = key("{`run`: [`awk`, `{print 1}`]}");
	assert_false(same(direct, by_sh));
	assert_true(same(direct, key("{`run`: [`./rate.sh`], `timeout`: 5, `real`: false}")));
	assert_false(same(direct, key("{`run`: [`./rate.sh`, `-v`]}")));
	assert_false(same(direct, key("{`run`: [`./rate.sh`], `real`: true}")));
	put_file("rate.sh", "#!/bin/sh\nawk '{print 0}'\n", 0755);
	assert_false(same(direct, key("{`run`: [`./rate.sh`]}")));
	assert_false(same(by_sh, key("{`run`: [`sh`, `rate.sh`]}")));
	assert_false(same(line, key("{`run`: `cat words.txt | ./rate.sh`}")));
	assert_true(same(beside, key("{`run`: [`sh`], `files`: [`words.txt`]}")));
	assert_true(same(plain, key("{`run`: [`awk`, `{print 1}`]}")));
	put_file("words.txt", "two\n", 0644);
	assert_false(same(beside, key("{`run`: [`sh`], `files`: [`words.txt`]}")));
	/* anchored: from anywhere the same */
	json_t *j = json_loads("{\"not\":{\"type\":\"command\",\"run\":[\"./rate.sh\"]}}", 0, NULL);
	char *cwd = getcwd(NULL, 0), *full = inoci_path_join(cwd, dir);
	inoci_scorer_anchor(j, full);
	assert_string_equal(json_string_value(json_object_get(json_object_get(j, "not"), "dir")), full);
	inoci_scorer *s = NULL;
	inoc_err err = {0};
	double v = -1;
	assert_int_equal(inoci_scorer_new("anchored", j, &s, &err), 0);
	if (inoci_scorer_ready(s, &err) < 0 || inoci_scorer_apply(s, &two[0], &v, &err) < 0) fail_msg("%s", err.msg);
	assert_true(v == 1);
	inoci_scorer_free(s);
	json_decref(j);
	free(cwd);
	free(full);
	/* whose program is gone keeps its range */
	j = json_loads("{\"type\":\"command\",\"run\":[\"./gone\"],\"real\":true}", 0, NULL);
	assert_true(inoci_scorer_settings_real(j));
	json_decref(j);
}

int main(void)
{
	const struct CMUnitTest t[] = {cmocka_unit_test(says),       cmocka_unit_test(fails),       cmocka_unit_test(is_ready),
	                               cmocka_unit_test(full_pipes), cmocka_unit_test(left_behind), cmocka_unit_test(keys)};
	return cmocka_run_group_tests(t, setup, teardown);
}
