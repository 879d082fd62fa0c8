/* inoc: inoculation prompting on one's own machine. The public API.
 *
 * Handles are opaque. A function that can fail returns 0 or a negative INOC_E_* code and fills *err (which may be NULL).
 * X_open/X_new pairs with X_free, which takes NULL.
 */
#ifndef INOC_H
#define INOC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define INOC_VERSION "0.1.0"

/* name, code, exit status of the program, meaning */
#define INOC_ERRORS(X)                                                                                                 \
	X(USAGE, -1, 2, "wrong arguments")                                                                             \
	X(IO, -2, 3, "a file could not be read or written")                                                            \
	X(FORMAT, -3, 4, "input is not what its format demands")                                                       \
	X(UNSUPPORTED, -4, 5, "a valid input that this version cannot serve")                                          \
	X(MEMORY, -5, 6, "not enough memory")                                                                          \
	X(LIMIT, -6, 7, "input exceeds a limit, such as the context length")                                           \
	X(STORE, -7, 8, "the results database failed")                                                                 \
	X(BUSY, -8, 9, "another run holds the store")                                                                  \
	X(EXTERNAL, -9, 10, "a program or service called by inoc failed")                                              \
	X(CHECK, -10, 1, "a check that was asked for did not pass")                                                    \
	X(STOPPED, -11, 130, "stopped by the user")

enum {
#define X(name, code, status, text) INOC_E_##name = code,
	INOC_ERRORS(X)
#undef X
};

typedef struct inoc_err {
	int code;       /* 0 or INOC_E_* */
	char msg[1024]; /* what is wrong, where, and what to do; one line */
} inoc_err;

/* The version of the library that is linked, "MAJOR.MINOR.PATCH". */
const char *inoc_version(void);
/* "what code means", for a code of INOC_ERRORS. */
const char *inoc_strerror(int code);

#ifdef __cplusplus
}
#endif
#endif
