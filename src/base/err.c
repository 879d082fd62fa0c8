#include <stdlib.h>
#include <string.h>

#include "base/base.h"

const char *inoc_version(void)
{
	return INOC_VERSION;
}

const char *inoc_strerror(int code)
{
	switch (code) {
	case 0:
		return "no error";
#define X(name, c, status, text) \
	case c:                  \
		return text;
		INOC_ERRORS(X)
#undef X
	}
	return "unknown error";
}

int inoci_err_set(inoc_err *err, int code, const char *fmt, ...)
{
	if (err) {
		va_list ap;
		err->code = code;
		va_start(ap, fmt);
		vsnprintf(err->msg, sizeof err->msg, fmt, ap);
		va_end(ap);
	}
	return code;
}

int inoci_err_prefix(inoc_err *err, const char *fmt, ...)
{
	if (!err) return INOC_E_FORMAT;
	char old[sizeof err->msg];
	memcpy(old, err->msg, sizeof old);
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n + 2 < sizeof err->msg) { /* what does not fit is cut off at the end */
		size_t at = (size_t)n, room = sizeof err->msg - at - 3, len = strlen(old);
		memcpy(err->msg + at, ": ", 2);
		memcpy(err->msg + at + 2, old, len < room ? len : room);
		err->msg[at + 2 + (len < room ? len : room)] = 0;
	}
	return err->code;
}

void inoci_bug(const char *file, int line, const char *what)
{
	fprintf(stderr, "inoc: a bug in inoc itself at %s:%d: %s\n", file, line, what);
	abort();
}
