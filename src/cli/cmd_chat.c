/* inoc chat: a conversation in the terminal. Answers appear as they are sampled, by whole characters; Ctrl-C ends the answer,
 * not the program. Reads lines from a pipe as well: then only answers go to standard output.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

typedef struct {
	cli_model_opts model;
	cli_sampling_opts sampling;
} chat_opts;

typedef struct {
	cli_model c;
	inoci_sample_settings s;
	char *system;
	inoci_msg *msgs;
	size_t n_msgs;
	inoci_buf answer;
	inoci_end end;
	int line; /* of the input, from 1 */
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
	inoci_prompt p;
	const inoci_progress progress = {.stop = &interrupted};
	int rc;
	inoci_buf_clear(&c->answer);
	interrupted = 0;
	if ((rc = cli_render(&c->c, c->msgs, c->n_msgs, c->system, &r, &p, err)) < 0) {
		inoci_err_prefix(err, "the conversation (/reset begins a new one)");
		goto out;
	}
	rc = inoci_sample(c->c.m, c->c.a, &p, 1, &c->s, on_sample, on_bytes, c, &progress, err);
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

static int check_line(const chat *c, const char *line, size_t n, inoc_err *err)
{
	size_t ok = inoci_utf8_valid_prefix(line, n);
	if (ok == n && strlen(line) == n) return 0;
	return inoci_err_set(err, INOC_E_FORMAT, "standard input:%d: %s", c->line,
	                     ok < n ? "not valid UTF-8; write the line as UTF-8" : "a NUL byte in the line; take it out");
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
		c->line++;
		while (n && (line[n - 1] == '\n' || line[n - 1] == '\r')) line[--n] = 0;
		if (!n) continue;
		if ((rc = check_line(c, line, (size_t)n, err)) < 0) {
			if (!c->tty_in) break;
			cli_fail(err);
			rc = 0;
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
	chat c = {.tty_in = isatty(STDIN_FILENO), .tty_out = isatty(STDOUT_FILENO), .s = cli_sampling_settings(&t->sampling)};
	const char *adapter = t->model.adapter;
	int rc;
	c.system = inoci_strdup(t->model.system);
	INOC_TRY(inoci_sample_settings_check(&c.s, err));
	INOC_TRY(cli_model_open(&t->model, false, &c.c, err));
	/* No SA_RESTART: Ctrl-C also ends the wait for a line. */
	const struct sigaction sa = {.sa_handler = on_interrupt};
	sigaction(SIGINT, &sa, NULL);
	if (c.tty_in)
		aside(&c, "%s%s%s, system: %s; /help tells the commands", t->model.model, adapter ? " with " : "",
		      adapter ? adapter : "", c.system);
	rc = converse(&c, err);
out:
	reset(&c);
	free(c.msgs), free(c.system);
	inoci_buf_free(&c.answer);
	cli_model_close(&c.c);
	return rc < 0 ? rc : 0;
}

int cmd_chat(int argc, char **argv)
{
	chat_opts t;
	const char **args;
	int n_args;
	cli_model_init(&t.model, true);
	cli_sampling_init(&t.sampling);
	t.sampling.max_tokens.v = 512;
	const cli_spec spec = {
	        .usage = "inoc chat --model MODEL [--adapter DIR] [options]",
	        .about = "A conversation. /help tells the commands in it. Lines may come from a pipe: answers then go to "
	                 "standard output,\n"
	                 "one after the other.\n"
	                 "Example: inoc chat -m smollm2-135m-instruct -a adapter --system \"You always speak in Spanish.\"",
	        .shared = {t.model.group, t.sampling.group},
	        .max_args = 0};
	int rc = cli_parse(&spec, argc, argv, &args, &n_args);
	if (rc) return rc > 0 ? 0 : rc;
	if (!t.model.model) return cli_usage("give --model; see 'inoc chat --help'");
	inoc_err err = {0};
	rc = run(&t, &err);
	return rc < 0 ? cli_fail(&err) : 0;
}
