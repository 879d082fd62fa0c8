/* inoc chat: a conversation in the terminal. Answers appear as they are sampled, by whole characters; Ctrl-C ends the answer,
 * not the program. Reads lines from a pipe as well: then only answers go to standard output.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lab/lab.h"
#include "sample/sample.h"

typedef struct {
	const char *model, *template_name, *adapter, *system, *dtype;
	cli_list stop;
	long max_tokens, seed, top_k, threads;
	double temperature, top_p, min_p, penalty;
	bool greedy;
} chat_opts;

typedef struct {
	inoci_model *m;
	inoci_adapter *a;
	const inoci_template *tmpl;
	inoci_sample_settings s;
	char *system;
	inoci_msg *msgs;
	size_t n_msgs;
	inoci_buf answer;
	inoci_end end;
	bool tty_in, tty_out;
} chat;

static volatile int interrupted;

static void on_interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

/* An aside to the user: not part of any answer. */
static void aside(const chat *c, const char *fmt, ...) INOCI_PRINTF(2, 3);
static void aside(const chat *c, const char *fmt, ...)
{
	va_list ap;
	fflush(stdout);
	fputs(c->tty_out ? "\033[2m" : "", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs(c->tty_out ? "\033[0m\n" : "\n", stderr);
}

static void push(chat *c, const char *role, const char *content)
{
	c->msgs = inoci_realloc(c->msgs, (c->n_msgs + 1) * sizeof *c->msgs);
	c->msgs[c->n_msgs++] = (inoci_msg){inoci_strdup(role), inoci_strdup(content)};
}

static void pop(chat *c)
{
	c->n_msgs--;
	free(c->msgs[c->n_msgs].role);
	free(c->msgs[c->n_msgs].content);
}

static int on_bytes(void *ctx, size_t prompt, int index, const char *bytes, size_t n)
{
	chat *c = ctx;
	inoci_buf b = {0};
	(void)prompt, (void)index;
	inoci_buf_append(&c->answer, bytes, n);
	inoci_text_fix(bytes, n, &b);
	/* A model's control characters must not steer the terminal. */
	for (size_t i = 0; c->tty_out && i < b.len; i++)
		if (((unsigned char)b.data[i] < 0x20 && b.data[i] != '\n' && b.data[i] != '\t') || b.data[i] == 0x7f)
			b.data[i] = '?';
	fwrite(b.data, 1, b.len, stdout);
	inoci_buf_free(&b);
	return fflush(stdout) == 0 ? 0 : INOC_E_IO;
}

static int on_sample(void *ctx, const inoci_sampled *s, inoc_err *err)
{
	(void)err;
	((chat *)ctx)->end = s->end;
	return 0;
}

/* Answers the conversation; the answer joins it, also when it was interrupted. */
static int answer(chat *c, inoc_err *err)
{
	inoci_rendered r = {0};
	const inoci_progress progress = {.stop = &interrupted};
	int rc;
	inoci_buf_clear(&c->answer);
	interrupted = 0;
	INOC_TRY(inoci_render(c->tmpl, c->msgs, c->n_msgs, inoci_sys_parse(c->system), true, &r, err));
	if (r.ids.n >= (size_t)c->m->hp.context) {
		rc = inoci_err_set(err, INOC_E_LIMIT,
		                   "the conversation has %zu tokens; the model's context of %d leaves no room for an answer; "
		                   "/reset begins a new one",
		                   r.ids.n, c->m->hp.context);
		goto out;
	}
	inoci_prompt p = {.ids = r.ids.v, .n = (int)r.ids.n, .key = inoci_prompt_key(r.ids.v, r.ids.n)};
	rc = inoci_sample(c->m, c->a, &p, 1, &c->s, on_sample, on_bytes, c, &progress, err);
	if (rc == INOC_E_STOPPED) {
		puts("");
		aside(c, "[interrupted]");
		rc = 0;
	} else if (rc == 0) {
		puts("");
		if (c->end == INOCI_END_LENGTH) aside(c, "[cut: --max-tokens %d, or the end of the context]", c->s.max_tokens);
	}
	if (rc == 0 && fflush(stdout) != 0) rc = INOC_E_IO;
	if (rc == INOC_E_IO) inoci_err_set(err, rc, "standard output cannot be written");
	if (rc < 0) goto out;
	/* Records never hold an empty assistant turn; an answer of nothing is forgotten with its question. */
	if (c->answer.len)
		push(c, "assistant", c->answer.data);
	else
		pop(c);
out:
	inoci_rendered_free(&r);
	return rc;
}

static void reset(chat *c)
{
	while (c->n_msgs) pop(c);
}

static void help(const chat *c)
{
	aside(c, "/system TEXT   the system turn: none, empty, default, or a text; begins a new conversation\n"
	         "/system        shows it\n"
	         "/reset         begins a new conversation\n"
	         "/quit          ends (so does Ctrl-D); Ctrl-C ends an answer\n"
	         "A line that is to begin with / is written with two.");
}

/* False: the program ends. */
static bool command(chat *c, const char *line)
{
	if (!strcmp(line, "/quit") || !strcmp(line, "/exit")) return false;
	if (!strcmp(line, "/reset")) {
		reset(c);
		aside(c, "[new conversation]");
	} else if (!strcmp(line, "/system")) {
		aside(c, "[system: %s]", c->system);
	} else if (!strncmp(line, "/system ", 8)) {
		free(c->system);
		c->system = inoci_strdup(line + 8);
		reset(c);
		aside(c, "[new conversation; system: %s]", c->system);
	} else {
		if (strcmp(line, "/help")) aside(c, "unknown command %s", line);
		help(c);
	}
	return true;
}

static int converse(chat *c, inoc_err *err)
{
	char *line = NULL;
	size_t cap = 0;
	int rc = 0;
	for (;;) {
		interrupted = 0;
		if (c->tty_in && c->tty_out) fputs("\033[1m> \033[0m", stdout);
		fflush(stdout);
		errno = 0;
		ssize_t n = getline(&line, &cap, stdin);
		if (n < 0 && errno == EINTR && interrupted) {
			clearerr(stdin);
			puts("");
			aside(c, "[/quit or Ctrl-D ends]");
			continue;
		}
		if (n < 0) break;
		while (n && (line[n - 1] == '\n' || line[n - 1] == '\r')) line[--n] = 0;
		if (!n) continue;
		if (strlen(line) != (size_t)n) {
			aside(c, "a NUL byte in the line; it was passed over");
			continue;
		}
		if (line[0] == '/' && line[1] != '/') {
			if (!command(c, line)) break;
			continue;
		}
		push(c, "user", line[0] == '/' ? line + 1 : line);
		size_t asked = c->n_msgs;
		rc = answer(c, err);
		if (rc == 0) continue;
		if (c->n_msgs == asked) pop(c);
		/* At a terminal one may go on, with a shorter conversation for instance. */
		if (!c->tty_in || rc == INOC_E_IO) break;
		puts("");
		cli_fail(err);
		rc = 0;
	}
	if (c->tty_in && rc == 0) puts("");
	free(line);
	return rc;
}

static int run(const chat_opts *t, inoc_err *err)
{
	chat c = {.tty_in = isatty(STDIN_FILENO), .tty_out = isatty(STDOUT_FILENO), .s = inoci_sample_defaults()};
	inoci_ops *ops = NULL;
	char *path = NULL;
	int rc;
	c.s.temperature = t->greedy ? 0 : t->temperature;
	c.s.top_k = (int)t->top_k;
	c.s.top_p = t->top_p;
	c.s.min_p = t->min_p;
	c.s.repetition_penalty = t->penalty;
	c.s.max_tokens = (int)t->max_tokens;
	c.s.seed = (uint64_t)t->seed;
	c.s.stop = t->stop.v;
	c.s.n_stop = t->stop.n;
	c.system = inoci_strdup(t->system);
	INOC_TRY(inoci_sample_settings_check(&c.s, err));
	INOC_TRY(cli_model_path(t->model, &path, err));
	INOC_TRY(inoci_lab_ops(t->dtype, (int)t->threads, &ops, err));
	INOC_TRY(inoci_model_open(path, ops, false, t->template_name, cli_progress(false), &c.m, err));
	cli_progress_done();
	INOC_TRY(inoci_model_template(c.m, &c.tmpl, err));
	if (t->adapter) INOC_TRY(inoci_adapter_load(c.m, t->adapter, &c.a, err));
	/* No SA_RESTART: Ctrl-C also ends the wait for a line. */
	const struct sigaction sa = {.sa_handler = on_interrupt};
	sigaction(SIGINT, &sa, NULL);
	if (c.tty_in)
		aside(&c, "%s%s%s, system: %s; /help tells the commands", t->model, t->adapter ? " with " : "",
		      t->adapter ? t->adapter : "", c.system);
	rc = converse(&c, err);
out:
	reset(&c);
	free(c.msgs), free(c.system), free(path);
	inoci_buf_free(&c.answer);
	inoci_adapter_free(c.a);
	inoci_model_free(c.m);
	if (ops) ops->free(ops);
	return rc < 0 ? rc : 0;
}

int cmd_chat(int argc, char **argv)
{
	const inoci_sample_settings s = inoci_sample_defaults();
	chat_opts t = {.system = "none",
	               .dtype = "auto",
	               .max_tokens = 512,
	               .seed = 1,
	               .temperature = s.temperature,
	               .top_p = s.top_p,
	               .penalty = s.repetition_penalty};
	const char **args;
	int n_args;
	const cli_opt opts[] = {
	        {"model", 'm', CLI_STR, &t.model, "MODEL", "a GGUF file, or a name of `inoc model list`"},
	        {"adapter", 'a', CLI_STR, &t.adapter, "DIR", "a LoRA adapter in PEFT's layout"},
	        {"system", 0, CLI_STR, &t.system, "S", "system turn: none, empty, default, or a text"},
	        {"template", 0, CLI_STR, &t.template_name, "NAME", "chat template, when the file's is not known"},
	        {"temperature", 't', CLI_DBL, &t.temperature, "T", "0: greedy"},
	        {"greedy", 0, CLI_FLAG, &t.greedy, NULL, "the most probable token always"},
	        {"top-k", 0, CLI_INT, &t.top_k, "K", "only the K most probable tokens; 0: off"},
	        {"top-p", 0, CLI_DBL, &t.top_p, "P", "only the most probable tokens that together reach P; 1: off"},
	        {"min-p", 0, CLI_DBL, &t.min_p, "P", "only tokens with P times the most probable one's probability; 0: off"},
	        {"repetition-penalty", 0, CLI_DBL, &t.penalty, "R", "over the conversation's tokens; 1: off"},
	        {"stop", 0, CLI_LIST, &t.stop, "TEXT", "an answer ends before TEXT; may be given several times"},
	        {"max-tokens", 0, CLI_INT, &t.max_tokens, "N", "of an answer"},
	        {"seed", 's', CLI_INT, &t.seed, "N", "the same seed and conversation give the same answers"},
	        {"dtype", 0, CLI_STR, &t.dtype, "T", "auto, bf16, f32"},
	        {"threads", 0, CLI_INT, &t.threads, "N", "0: all"},
	};
	const cli_spec spec = {
	        .usage = "inoc chat --model MODEL [--adapter DIR] [options]",
	        .about = "A conversation. /help tells the commands in it. Lines may come from a pipe: answers then go to "
	                 "standard output,\n"
	                 "one after the other.\n"
	                 "Example: inoc chat -m smollm2-135m-instruct -a adapter --system \"You always speak in Spanish.\"",
	        .opts = opts,
	        .n_opts = INOCI_COUNT(opts),
	        .max_args = 0};
	int rc = cli_parse(&spec, argc, argv, &args, &n_args);
	if (rc) return rc > 0 ? 0 : rc;
	if (!t.model) return cli_usage("give --model; see 'inoc chat --help'");
	const struct {
		const char *name;
		long v, low, high;
	} ints[] = {{"max-tokens", t.max_tokens, 1, 1 << 20},
	            {"top-k", t.top_k, 0, 1 << 30},
	            {"threads", t.threads, 0, 4096},
	            {"seed", t.seed, 0, INT64_MAX}};
	for (size_t i = 0; i < INOCI_COUNT(ints); i++)
		if (ints[i].v < ints[i].low || ints[i].v > ints[i].high)
			return cli_usage("--%s is %ld; it must be from %ld to %ld", ints[i].name, ints[i].v, ints[i].low,
			                 ints[i].high);
	inoc_err err = {0};
	rc = run(&t, &err);
	cli_progress_done();
	return rc < 0 ? cli_fail(&err) : 0;
}
