/* Options, errors, progress, tables. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

int cli_fail(const inoc_err *err)
{
	cli_progress_done();
	bool tty = isatty(STDERR_FILENO);
	fprintf(stderr, "%sinoc: %s%s\n", tty ? "\033[31m" : "", err->msg, tty ? "\033[0m" : "");
	return err->code ? err->code : INOC_E_FORMAT;
}

int cli_usage(const char *fmt, ...)
{
	inoc_err e = {.code = INOC_E_USAGE};
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(e.msg, sizeof e.msg, fmt, ap);
	va_end(ap);
	return cli_fail(&e);
}

static void print_help(const cli_spec *s)
{
	printf("usage: %s\n", s->usage);
	if (s->about) printf("\n%s\n", s->about);
	if (s->n_opts) printf("\noptions:\n");
	for (size_t i = 0; i < s->n_opts; i++) {
		const cli_opt *o = &s->opts[i];
		char left[64], def[64] = "";
		snprintf(left, sizeof left, "%s%c%s--%s%s%s", o->letter ? "-" : " ", o->letter ? o->letter : ' ',
		         o->letter ? ", " : "  ", o->name, o->meta ? " " : "", o->meta ? o->meta : "");
		if (o->type == CLI_INT) snprintf(def, sizeof def, " [%ld]", *(long *)o->dst);
		if (o->type == CLI_DBL && !isnan(*(double *)o->dst)) snprintf(def, sizeof def, " [%g]", *(double *)o->dst);
		if (o->type == CLI_STR && *(const char **)o->dst) snprintf(def, sizeof def, " [%s]", *(const char **)o->dst);
		printf("  %-30s %s%s\n", left, o->help, def);
	}
	printf("  %-30s %s\n", "-h, --help", "this text");
}

static int set_opt(const cli_opt *o, const char *name, const char *v)
{
	char *end;
	errno = 0;
	switch (o->type) {
	case CLI_FLAG:
		*(bool *)o->dst = true;
		return 0;
	case CLI_STR:
		*(const char **)o->dst = v;
		return 0;
	case CLI_INT: {
		long x = strtol(v, &end, 10);
		if (end == v || *end || errno) return cli_usage("--%s wants a whole number, not '%s'", name, v);
		*(long *)o->dst = x;
		return 0;
	}
	case CLI_DBL: {
		double x = strtod(v, &end);
		if (end == v || *end || errno || !isfinite(x)) return cli_usage("--%s wants a number, not '%s'", name, v);
		*(double *)o->dst = x;
		return 0;
	}
	case CLI_LIST: {
		cli_list *l = o->dst;
		l->v = inoci_realloc((void *)l->v, (l->n + 1) * sizeof *l->v);
		l->v[l->n++] = v;
		return 0;
	}
	}
	return 0;
}

int cli_parse(const cli_spec *s, int argc, char **argv, const char ***args, int *n_args)
{
	static const char **pos; /* lives as long as the program */
	int n = 0;
	bool only_args = false;
	pos = inoci_realloc((void *)pos, ((size_t)argc + 1) * sizeof *pos);
	for (int i = 1; i < argc; i++) {
		char *a = argv[i];
		if (only_args || a[0] != '-' || !a[1]) {
			pos[n++] = a;
			continue;
		}
		if (!strcmp(a, "--")) {
			only_args = true;
			continue;
		}
		if (!strcmp(a, "--help") || !strcmp(a, "-h")) {
			print_help(s);
			return 1;
		}
		const cli_opt *o = NULL;
		const char *value = NULL;
		if (a[1] == '-') {
			size_t len = strcspn(a + 2, "=");
			if (a[2 + len] == '=') value = a + 3 + len;
			for (size_t k = 0; k < s->n_opts; k++)
				if (strlen(s->opts[k].name) == len && !strncmp(s->opts[k].name, a + 2, len)) o = &s->opts[k];
		} else {
			for (size_t k = 0; k < s->n_opts; k++)
				if (s->opts[k].letter && s->opts[k].letter == a[1]) o = &s->opts[k];
			if (o && a[2]) value = a + 2;
		}
		if (!o) return cli_usage("unknown option '%s'; see 'inoc %s --help'", a, argv[0]);
		if (o->type == CLI_FLAG && value) return cli_usage("--%s takes no value", o->name);
		if (o->type != CLI_FLAG && !value) {
			if (i + 1 >= argc) return cli_usage("--%s wants a value (%s)", o->name, o->meta ? o->meta : "VALUE");
			value = argv[++i];
		}
		int rc = set_opt(o, o->name, value);
		if (rc < 0) return rc;
	}
	if (n < s->min_args || (s->max_args >= 0 && n > s->max_args))
		return cli_usage("%s; usage: %s", n < s->min_args ? "an argument is missing" : "too many arguments", s->usage);
	*args = pos;
	*n_args = n;
	return 0;
}

/* ---- progress ---- */

static volatile int stop_flag;
static bool bar_shown;
static struct {
	char what[64];
	double start, first, last_print;
} bar;

static void on_signal(int sig)
{
	(void)sig;
	if (stop_flag) _exit(130);
	stop_flag = 1;
	static const char msg[] = "\ninoc: stopping at the next safe point; once more to stop at once\n";
	(void)!write(STDERR_FILENO, msg, sizeof msg - 1);
}

void cli_catch_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void hms(char *s, size_t n, double t)
{
	long x = lround(t);
	if (x >= 3600)
		snprintf(s, n, "%ld:%02ld:%02ld", x / 3600, x / 60 % 60, x % 60);
	else
		snprintf(s, n, "%ld:%02ld", x / 60, x % 60);
}

static void tick(void *ctx, const char *what, double done, double total, const char *unit, const char *detail)
{
	(void)ctx;
	bool tty = isatty(STDERR_FILENO);
	double now = inoci_now_s();
	if (strcmp(bar.what, what)) {
		cli_progress_done();
		snprintf(bar.what, sizeof bar.what, "%s", what);
		bar.start = now;
		bar.first = done;
		bar.last_print = 0;
	}
	bool end = total > 0 && done >= total;
	if (!end && now - bar.last_print < (tty ? 0.1 : 10)) return;
	if (!tty && !end && now - bar.start < 10) return;
	bar.last_print = now;
	char left[32] = "";
	double rate = now > bar.start ? (done - bar.first) / (now - bar.start) : 0;
	if (rate > 0 && total > done) hms(left, sizeof left, (total - done) / rate);
	if (tty) {
		int width = 24, full = total > 0 ? (int)(width * done / total) : 0;
		fprintf(stderr, "\r\033[K%s [", what);
		for (int i = 0; i < width; i++) fputs(i < full ? "#" : "-", stderr);
		fprintf(stderr, "] %.0f/%.0f %s%s%s%s%s", done, total, unit, detail && *detail ? ", " : "", detail ? detail : "",
		        *left ? ", left " : "", left);
		bar_shown = true;
		if (end) cli_progress_done();
	} else if (!end || now - bar.start > 2) {
		fprintf(stderr, "%s: %.0f/%.0f %s%s%s%s%s\n", what, done, total, unit, detail && *detail ? ", " : "",
		        detail ? detail : "", *left ? ", left " : "", left);
	}
	if (end) bar.what[0] = 0;
}

static void note(void *ctx, const char *line)
{
	(void)ctx;
	cli_progress_done();
	fprintf(stderr, "%s\n", line);
}

void cli_progress_done(void)
{
	if (bar_shown) fputc('\n', stderr);
	bar_shown = false;
}

const inoci_progress *cli_progress(bool quiet)
{
	static const inoci_progress loud = {.tick = tick, .note = note, .stop = &stop_flag},
	                            still = {.note = note, .stop = &stop_flag};
	return quiet ? &still : &loud;
}

/* ---- tables ---- */

/* Columns a UTF-8 text takes, near enough for what we print: characters. */
static int columns(const char *s)
{
	int n = 0;
	for (; *s; s++) n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

void cli_table(const char *const *cells, size_t n_rows, size_t n_cols, const bool *right)
{
	int *w = inoci_alloc(n_cols * sizeof *w);
	for (size_t i = 0; i < n_rows * n_cols; i++)
		if (columns(cells[i]) > w[i % n_cols]) w[i % n_cols] = columns(cells[i]);
	for (size_t r = 0; r < n_rows; r++) {
		for (size_t c = 0; c < n_cols; c++) {
			const char *s = cells[r * n_cols + c];
			int pad = w[c] - columns(s);
			if (right && right[c])
				printf("%*s%s", pad, "", s);
			else if (c + 1 < n_cols)
				printf("%s%*s", s, pad, "");
			else
				printf("%s", s);
			if (c + 1 < n_cols) printf("  ");
		}
		printf("\n");
		if (r == 0) {
			for (size_t c = 0; c < n_cols; c++) {
				for (int i = 0; i < w[c]; i++) putchar('-');
				if (c + 1 < n_cols) printf("  ");
			}
			printf("\n");
		}
	}
	free(w);
}
