/* gnuplot: started without a shell, with its own settings off; and its SVG made part of an HTML page.
 *
 * Invariant: no text of the user's is ever in a script. Labels are the stand-ins @@K@@, replaced in the finished picture.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report/internal.h"

extern char **environ;

void inoci_html_text(inoci_buf *b, const char *s, size_t n)
{
	while (n) {
		size_t ok = inoci_utf8_valid_prefix(s, n);
		for (size_t i = 0; i < ok; i++) {
			unsigned char c = (unsigned char)s[i];
			if (c == '<')
				inoci_buf_puts(b, "&lt;");
			else if (c == '>')
				inoci_buf_puts(b, "&gt;");
			else if (c == '&')
				inoci_buf_puts(b, "&amp;");
			else if (c == '"')
				inoci_buf_puts(b, "&quot;");
			else if (c == '\'')
				inoci_buf_puts(b, "&#39;");
			else if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
				inoci_buf_puts(b, "\xef\xbf\xbd");
			else
				inoci_buf_append(b, s + i, 1);
		}
		s += ok, n -= ok;
		if (!n) break;
		inoci_buf_puts(b, "\xef\xbf\xbd");
		do s++, n--;
		while (n && ((unsigned char)*s & 0xc0) == 0x80);
	}
}

void inoci_html_puts(inoci_buf *b, const char *s)
{
	if (s) inoci_html_text(b, s, strlen(s));
}

/* gnuplot's own words, on one line. */
static char *said(const char *path)
{
	char *text;
	size_t n;
	if (inoci_file_read(path, &text, &n, NULL) < 0) return inoci_strdup("");
	if (n > 400) text[400] = 0;
	size_t w = 0;
	for (const char *p = text; *p; p++) {
		char c = *p == '\n' || *p == '\t' ? ' ' : *p;
		if (c == ' ' && (!w || text[w - 1] == ' ')) continue;
		text[w++] = c;
	}
	while (w && text[w - 1] == ' ') w--;
	text[w] = 0;
	return text;
}

static int spawn_in(const char *script, const char *out, const char *errs, inoc_err *err)
{
	posix_spawn_file_actions_t fa;
	char *const argv[] = {(char *)(uintptr_t) "gnuplot", (char *)(uintptr_t) "--default-settings", (char *)(uintptr_t)script,
	                      NULL};
	pid_t pid;
	int status, e;
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&fa, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_addopen(&fa, 2, errs, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	e = posix_spawnp(&pid, "gnuplot", &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	if (e == ENOENT)
		return inoci_err_set(err, INOC_E_EXTERNAL,
		                     "gnuplot is not installed: plots need it (Debian: apt install gnuplot-nox)");
	if (e) return inoci_err_set(err, INOC_E_EXTERNAL, "gnuplot could not be started: %s", strerror(e));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR) return inoci_err_set(err, INOC_E_EXTERNAL, "gnuplot was lost: %s", strerror(errno));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
	char *text = said(errs);
	if (WIFSIGNALED(status))
		inoci_err_set(err, INOC_E_EXTERNAL, "gnuplot was ended by signal %d: %s", WTERMSIG(status), text);
	else
		inoci_err_set(err, INOC_E_EXTERNAL, "gnuplot failed (exit status %d): %s", WEXITSTATUS(status), text);
	free(text);
	return INOC_E_EXTERNAL;
}

int inoci_gnuplot(const char *script, size_t n, inoci_buf *svg, inoc_err *err)
{
	const char *tmp = getenv("TMPDIR");
	char *dir = inoci_asprintf("%s/inoc-plot-XXXXXX", tmp && tmp[0] == '/' ? tmp : "/tmp");
	char *files[3] = {0}, *data = NULL;
	static const char *const names[3] = {"plot.gp", "out.svg", "stderr"};
	size_t len = 0;
	int rc = 0;
	if (!mkdtemp(dir)) {
		rc = inoci_err_set(err, INOC_E_IO, "%s: no folder for the plots could be made: %s", dir, strerror(errno));
		free(dir);
		return rc;
	}
	for (int i = 0; i < 3; i++) files[i] = inoci_path_join(dir, names[i]);
	INOC_TRY(inoci_file_write(files[0], script, n, err));
	INOC_TRY(spawn_in(files[0], files[1], files[2], err));
	INOC_TRY(inoci_file_read(files[1], &data, &len, err));
	if (!memmem(data, len, "<svg", 4) || !memmem(data, len, "</svg>", 6)) {
		char *text = said(files[2]);
		rc = inoci_err_set(err, INOC_E_EXTERNAL, "gnuplot gave no SVG picture: %s", text);
		free(text);
		goto out;
	}
	inoci_buf_append(svg, data, len);
out:
	for (int i = 0; i < 3; i++) {
		unlink(files[i]);
		free(files[i]);
	}
	rmdir(dir);
	free(dir);
	free(data);
	return rc < 0 ? rc : 0;
}

char *inoci_gnuplot_version(void)
{
	static const char script[] = "set terminal svg\nset xrange [0:1]\nset yrange [0:1]\nplot NaN notitle\n",
	                  by[] = "Produced by ";
	inoci_buf svg = {0};
	inoc_err ignored = {0};
	char *v = NULL;
	if (inoci_gnuplot(script, sizeof script - 1, &svg, &ignored) == 0) {
		const char *p = memmem(svg.data, svg.len, by, sizeof by - 1);
		if (p) p += sizeof by - 1;
		if (p) v = inoci_strndup(p, strcspn(p, "<\n"));
		for (size_t n = v ? strlen(v) : 0; n && v[n - 1] == ' ';) v[--n] = 0;
	}
	inoci_buf_free(&svg);
	return v;
}

/* Reads "rgb( r, g, b)" at p: the length, or 0. */
static size_t rgb_at(const char *p, const char *end, int *r, int *g, int *b)
{
	int used = 0;
	if (end - p < 10 || strncmp(p, "rgb(", 4)) return 0;
	if (sscanf(p, "rgb( %d , %d , %d )%n", r, g, b, &used) != 3 || used <= 0) return 0;
	return (size_t)used;
}

static void colour(inoci_buf *o, int r, int g, int b)
{
	static const char *const fixed[] = {"fg", "fg", "muted", "line", "card"};
	if (r == 1 && g == 1 && b >= 1 && b <= 4)
		inoci_buf_printf(o, "var(--%s)", fixed[b]);
	else if (r == 1 && g >= 2 && g <= 5)
		inoci_buf_printf(o, "var(--%c%d)", "katw"[g - 2], b);
	else
		inoci_buf_printf(o, "rgb(%d,%d,%d)", r, g, b);
}

static bool at(const char *p, const char *end, const char *s)
{
	size_t n = strlen(s);
	return (size_t)(end - p) >= n && !memcmp(p, s, n);
}

/* From p to behind the next `stop`. */
static const char *skip(const char *p, const char *end, const char *stop)
{
	const char *q = memmem(p, (size_t)(end - p), stop, strlen(stop));
	return q ? q + strlen(stop) : end;
}

void inoci_svg_adapt(const char *svg, size_t n, const char *id, const char *title, const char *const *labels, size_t n_labels,
                     inoci_buf *out)
{
	const char *end = svg + n, *p = memmem(svg, n, "<svg", 4);
	if (!p) return;
	const char *box = memmem(p, (size_t)(end - p), "viewBox=\"", 9);
	inoci_buf_puts(out, "<svg role=\"img\" ");
	if (box) inoci_buf_append(out, box, (size_t)(skip(box + 9, end, "\"") - box));
	inoci_buf_puts(out, "><title>");
	inoci_html_puts(out, title);
	inoci_buf_puts(out, "</title>\n");
	p = skip(p, end, ">");
	while (p < end) {
		int r, g, b;
		size_t used;
		if (at(p, end, "<title>"))
			p = skip(p, end, "</title>");
		else if (at(p, end, "<desc>"))
			p = skip(p, end, "</desc>");
		else if (at(p, end, "<filter"))
			p = skip(p, end, "</filter>");
		else if (at(p, end, "<g fill=\"none\"") && at(skip(p, end, ">"), end, "\n</g>\n"))
			p = skip(p, end, "</g>\n");
		else if (at(p, end, " id=\""))
			p = skip(p + 5, end, "\"");
		else if (at(p, end, "id='"))
			inoci_buf_printf(out, "id='%s-", id), p += 4;
		else if (at(p, end, "xlink:href='#"))
			inoci_buf_printf(out, "href='#%s-", id), p += 13;
		else if (at(p, end, " font-family=\""))
			p = skip(p + 14, end, "\"");
		else if ((used = rgb_at(p, end, &r, &g, &b)))
			colour(out, r, g, b), p += used;
		else if (at(p, end, "@@")) {
			char *stop;
			unsigned long k = strtoul(p + 2, &stop, 10);
			if (stop > p + 2 && at(stop, end, "@@") && k < n_labels) {
				inoci_html_puts(out, labels[k]);
				p = stop + 2;
			} else
				inoci_buf_append(out, p++, 1);
		} else if (*p == '\n' && (p[1] == '\n' || p[1] == '\t'))
			p++;
		else if (*p == '\t')
			p++;
		else
			inoci_buf_append(out, p++, 1);
	}
}
