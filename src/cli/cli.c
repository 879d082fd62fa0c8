/* Options, errors, progress, tables. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
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

/* ---- options ---- */

static inoci_arena *memory;

inoci_arena *cli_memory(void)
{
	if (!memory) memory = inoci_arena_new();
	return memory;
}

void cli_end(void)
{
	inoci_arena_free(memory);
	memory = NULL;
}

void cli_list_add(cli_list *l, const char *borrowed)
{
	if (!(l->n & (l->n - 1))) { /* full: 0, 1, 2, 4, 8, ... */
		const char **v = inoci_arena_alloc(cli_memory(), (2 * l->n + 1) * sizeof *v);
		if (l->n) memcpy((void *)v, (void *)l->v, l->n * sizeof *v);
		l->v = v;
	}
	l->v[l->n++] = borrowed;
}

/* All options of a command in turn; NULL behind the last. */
static const cli_opt *opt_at(const cli_spec *s, size_t i)
{
	for (size_t g = 0; g < INOCI_COUNT(s->shared); g++) {
		if (i < s->shared[g].n) return &s->shared[g].v[i];
		i -= s->shared[g].n;
	}
	return i < s->n_opts ? &s->opts[i] : NULL;
}

static void print_opt(const cli_opt *o)
{
	const char letter[] = {o->letter ? '-' : ' ', o->letter ? o->letter : ' ', o->letter ? ',' : ' ', 0};
	char *left = inoci_asprintf("%s --%s%s%s", letter, o->name, o->meta ? " " : "", o->meta ? o->meta : "");
	printf("  %-30s %s", left, o->help);
	free(left);
	const char *text = o->type == CLI_STR || o->type == CLI_PATH ? *(const char **)o->dst : NULL;
	if (text) printf(" [%s]", text);
	if (o->type == CLI_INT) printf(" [%ld]", ((cli_int *)o->dst)->v);
	if (o->type == CLI_DBL) printf(" [%g]", ((cli_dbl *)o->dst)->v);
	printf("\n");
}

static void print_help(const cli_spec *s)
{
	const cli_group own = {"options", s->opts, s->n_opts};
	printf("usage: %s\n", s->usage);
	if (s->about) printf("\n%s\n", s->about);
	for (size_t g = 0; g <= INOCI_COUNT(s->shared); g++) {
		const cli_group *x = g < INOCI_COUNT(s->shared) ? &s->shared[g] : &own;
		if (x->n || x == &own) printf("\n%s:\n", x->title);
		for (size_t i = 0; i < x->n; i++) print_opt(&x->v[i]);
	}
	printf("  %-30s %s\n", "-h, --help", "this text");
}

static int set_int(const cli_opt *o, const char *v)
{
	char *end;
	cli_int *i = o->dst;
	errno = 0;
	long x = strtol(v, &end, 10);
	if (end == v || *end) return cli_usage("--%s wants a whole number, not '%s'", o->name, v);
	if (!errno && x >= i->low && x <= i->high) {
		i->v = x;
		return 0;
	}
	if (i->high == LONG_MAX && x < i->low) return cli_usage("--%s is %s; it must be %ld or more", o->name, v, i->low);
	return cli_usage("--%s is %s; it must be from %ld to %ld", o->name, v, i->low, i->high);
}

static int set_dbl(const cli_opt *o, const char *v)
{
	char *end;
	cli_dbl *d = o->dst;
	double x = strtod(v, &end);
	if (end == v || *end || isnan(x)) return cli_usage("--%s wants a number, not '%s'", o->name, v);
	if (x < d->low || x > d->high) return cli_usage("--%s is %s; it must be from %g to %g", o->name, v, d->low, d->high);
	d->v = x;
	return 0;
}

static int set_text(const cli_opt *o, const char *v)
{
	size_t ok = inoci_utf8_valid_prefix(v, strlen(v));
	if (o->type == CLI_PATH && !*v) return cli_usage("--%s is empty; it wants a value (%s)", o->name, o->meta);
	if (o->type != CLI_PATH && v[ok]) return cli_usage("--%s is not valid UTF-8 at byte %zu", o->name, ok + 1);
	if (o->type == CLI_LIST)
		cli_list_add(o->dst, v);
	else
		*(const char **)o->dst = v;
	return 0;
}

static int set_opt(const cli_opt *o, const char *v)
{
	switch (o->type) {
	case CLI_FLAG:
		*(bool *)o->dst = true;
		return 0;
	case CLI_INT:
		return set_int(o, v);
	case CLI_DBL:
		return set_dbl(o, v);
	default:
		return set_text(o, v);
	}
}

/* The option that the argument a names; *value is what stands in the same argument (--n=4, -n4), or NULL. */
static const cli_opt *find(const cli_spec *s, const char *a, const char **value)
{
	size_t len = strcspn(a, "=");
	*value = NULL;
	const cli_opt *o;
	for (size_t i = 0; (o = opt_at(s, i)); i++) {
		if (a[1] == '-' && strlen(o->name) == len - 2 && !strncmp(o->name, a + 2, len - 2)) {
			if (a[len]) *value = a + len + 1;
			return o;
		}
		if (a[0] == '-' && o->letter && o->letter == a[1]) {
			if (a[2]) *value = a + 2;
			return o;
		}
	}
	return NULL;
}

static int unknown_option(const cli_spec *s, const char *a, const char *command)
{
	const char *names[64], *near = NULL;
	size_t n = 0;
	for (const cli_opt *o; n < INOCI_COUNT(names) && (o = opt_at(s, n)); n++) names[n] = o->name;
	if (a[1] == '-') near = inoci_nearest(a + 2, names, n);
	return cli_usage("unknown option '%s'%s%s%s see 'inoc %s --help'", a, near ? "; did you mean '--" : "", near ? near : "",
	                 near ? "'?" : ";", command);
}

/* argv[i] is an option: 0, how many more arguments it took (1), or negative. */
static int parse_opt(const cli_spec *s, char **argv, int i, int argc)
{
	const char *value, *ignored;
	const cli_opt *o = find(s, argv[i], &value);
	if (!o) return unknown_option(s, argv[i], argv[0]);
	if (o->type == CLI_FLAG && value) return cli_usage("--%s takes no value", o->name);
	if (o->type == CLI_FLAG || value) return set_opt(o, value);
	if (i + 1 >= argc) return cli_usage("--%s wants a value (%s)", o->name, o->meta);
	value = argv[i + 1];
	/* A negative number is a value; so is a text that begins like no option. */
	if (value[0] == '-' && value[1] && (o->type != CLI_INT && o->type != CLI_DBL) && find(s, value, &ignored) &&
	    (value[1] == '-' || !value[2]))
		return cli_usage("--%s wants a value (%s), and the option %s follows; if that is the value, write --%s=%s",
		                 o->name, o->meta, value, o->name, value);
	int rc = set_opt(o, value);
	return rc < 0 ? rc : 1;
}

int cli_parse(const cli_spec *s, int argc, char **argv, const char ***args, int *n_args)
{
	const char **pos = inoci_arena_alloc(cli_memory(), ((size_t)argc + 1) * sizeof *pos);
	int n = 0;
	bool only_args = false;
	for (int i = 1; i < argc; i++) {
		char *a = argv[i];
		if (only_args || a[0] != '-' || !a[1]) {
			if (!*a) return cli_usage("an argument is empty; usage: %s", s->usage);
			pos[n++] = a;
		} else if (!strcmp(a, "--")) {
			only_args = true;
		} else if (!strcmp(a, "--help") || !strcmp(a, "-h")) {
			print_help(s);
			return 1;
		} else {
			int took = parse_opt(s, argv, i, argc);
			if (took < 0) return took;
			i += took;
		}
	}
	if (n < s->min_args) return cli_usage("an argument is missing; usage: %s", s->usage);
	if (s->max_args >= 0 && n > s->max_args)
		return cli_usage("unexpected argument '%s'; usage: %s", pos[s->max_args], s->usage);
	*args = pos;
	*n_args = n;
	return 0;
}

int cli_ci(const char *given, int *out)
{
	static const char *const kinds[] = {"two-way", "paper", NULL};
	*out = 0;
	return given ? cli_pick(given, "ci", kinds, out) : 0;
}

int cli_pick(const char *given, const char *option, const char *const *names, int *out)
{
	inoci_buf b = {0};
	for (int i = 0; names[i]; i++) {
		if (!strcmp(given, names[i])) {
			inoci_buf_free(&b);
			*out = i;
			return 0;
		}
		inoci_buf_printf(&b, "%s%s", i ? ", " : "", names[i]);
	}
	int rc = cli_usage("--%s is '%s'; it must be one of %s", option, given, b.data);
	inoci_buf_free(&b);
	return rc;
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

/* A bar's line, cut to the terminal's width: a longer one would wrap, and the next could not take its place. */
static void draw(const char *what, double done, double total, const char *rest)
{
	struct winsize w;
	int room = ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : 80;
	const int width = 24, full = total > 0 ? (int)(width * done / total) : 0;
	inoci_buf b = {0};
	inoci_buf_printf(&b, "%s [", what);
	for (int i = 0; i < width; i++) inoci_buf_puts(&b, i < full ? "#" : "-");
	inoci_buf_printf(&b, "] %s", rest);
	size_t n = 0;
	for (int columns = 0; n < b.len; n++) /* the last column stays free: some terminals wrap there */
		if (((unsigned char)b.data[n] & 0xc0) != 0x80 && ++columns == room) break;
	fprintf(stderr, "\r\033[K%.*s", (int)n, b.data);
	inoci_buf_free(&b);
	bar_shown = true;
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
	char *rest = inoci_asprintf("%.0f/%.0f %s%s%s%s%s", done, total, unit, detail && *detail ? ", " : "",
	                            detail ? detail : "", *left ? ", left " : "", left);
	if (tty) {
		draw(what, done, total, rest);
		if (end) cli_progress_done();
	} else if (!end || now - bar.start > 2) {
		fprintf(stderr, "%s: %s\n", what, rest);
	}
	free(rest);
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
