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
	case 0: return "no error";
#define X(name, c, status, text)                                                                                               \
	case c: return text;
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
	if (n >= 0 && (size_t)n < sizeof err->msg) snprintf(err->msg + n, sizeof err->msg - (size_t)n, ": %s", old);
	return err->code;
}

void inoci_bug(const char *file, int line, const char *what)
{
	fprintf(stderr, "inoc: a bug in inoc itself at %s:%d: %s\n", file, line, what);
	abort();
}
