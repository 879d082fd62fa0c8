/* base: errors, memory, growable text, files, JSON lines, random numbers, hashes, progress.
 *
 * Invariants:
 *  1. A fallible function returns 0 or a negative INOC_E_* code and fills *err where the fault is found.
 *  2. Bytes from outside never reach INOC_BUG_IF.
 *  3. Output files are written beside their destination, fsynced and renamed: a reader sees the old file or the new one.
 *     What is no regular file is written to directly, never replaced.
 */
#ifndef INOCI_BASE_H
#define INOCI_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "inoc.h" /* inoc_err and the INOC_E_* codes */

#define INOCI_MUST __attribute__((warn_unused_result))
#define INOCI_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define INOCI_COUNT(a) (sizeof(a) / sizeof((a)[0]))
/* n rounded up to a multiple of `to`; of 64, which aligns bytes to cache lines. */
static inline int inoci_up(int n, int to)
{
	return (n + to - 1) / to * to;
}
static inline size_t inoci_pad(size_t n)
{
	return (n + 63) / 64 * 64;
}

/* ---- errors ---- */

/* Sets *err (may be NULL) and returns `code`, so that a function can `return inoci_err_set(...)`. */
int inoci_err_set(inoc_err *err, int code, const char *fmt, ...) INOCI_PRINTF(3, 4);
/* Puts "context: " in front of the message. Returns the code already in *err. */
int inoci_err_prefix(inoc_err *err, const char *fmt, ...) INOCI_PRINTF(2, 3);
/* For "did you mean": the name nearest to s, within a third of its length
 * (borrowed); NULL when none is. */
const char *inoci_nearest(const char *s, const char *const *names, size_t n);

/* Needs `int rc` and a label `out:` in the calling function. */
#define INOC_TRY(expr)                           \
	do {                                     \
		if ((rc = (expr)) < 0) goto out; \
	} while (0)

/* A broken invariant of ours (never bad input): prints where and aborts. */
#define INOC_BUG_IF(cond)                                                                \
	do {                                                                             \
		if (__builtin_expect(!!(cond), 0)) inoci_bug(__FILE__, __LINE__, #cond); \
	} while (0)
_Noreturn void inoci_bug(const char *file, int line, const char *what);

/* ---- memory ---- */

/* Small allocations: never NULL; running out of memory ends the process through one handler. */
void *inoci_alloc(size_t bytes); /* zeroed */
void *inoci_realloc(void *p, size_t bytes);
char *inoci_strdup(const char *s);
char *inoci_strndup(const char *s, size_t n);
void inoci_ascii_upper(char *s); /* in place, whatever the locale */
char *inoci_asprintf(const char *fmt, ...) INOCI_PRINTF(1, 2);

/* Large (tensor) allocations: 64-byte aligned, zeroed, may fail: NULL and *err says how many bytes `what` wanted. Free
 * with free(). */
INOCI_MUST void *inoci_big_alloc(size_t bytes, const char *what, inoc_err *err);
/* The same, not zeroed: its pages come when they are touched. */
INOCI_MUST void *inoci_big_room(size_t bytes, const char *what, inoc_err *err);

/* Bump allocator; everything in it is freed at once. */
typedef struct inoci_arena inoci_arena;
inoci_arena *inoci_arena_new(void);
void inoci_arena_free(inoci_arena *a);
void inoci_arena_reset(inoci_arena *a);                /* keeps the memory */
void *inoci_arena_alloc(inoci_arena *a, size_t bytes); /* zeroed, 16-byte aligned */
char *inoci_arena_strndup(inoci_arena *a, const char *s, size_t n);

/* ---- growable bytes; always NUL-terminated behind `len` once anything was appended ---- */

typedef struct {
	char *data; /* NULL while empty */
	size_t len, cap;
} inoci_buf;
void inoci_buf_append(inoci_buf *b, const void *p, size_t n);
void inoci_buf_puts(inoci_buf *b, const char *s);
void inoci_buf_printf(inoci_buf *b, const char *fmt, ...) INOCI_PRINTF(2, 3);
void inoci_buf_vprintf(inoci_buf *b, const char *fmt, va_list ap);
void inoci_buf_clear(inoci_buf *b); /* len = 0, keeps memory */
void inoci_buf_free(inoci_buf *b);
char *inoci_buf_take(inoci_buf *b); /* moves the string out; never NULL; free() it */

/* ---- growable int32 list ---- */

typedef struct {
	int32_t *v;
	size_t n, cap;
} inoci_i32s;
void inoci_i32s_push(inoci_i32s *l, int32_t x);
void inoci_i32s_append(inoci_i32s *l, const int32_t *x, size_t n);
void inoci_i32s_free(inoci_i32s *l);

/* ---- UTF-8 ---- */

/* Length of the valid UTF-8 prefix of s[0..n); == n when all is valid. */
size_t inoci_utf8_valid_prefix(const char *s, size_t n);

/* ---- files ---- */

/* What an errno means, in plainer words than strerror's where there are some. */
const char *inoci_reason(int e);
/* Whole file to memory with a NUL behind; *n excludes it. free() the data. Errors name the path. */
INOCI_MUST int inoci_file_read(const char *path, char **data, size_t *n, inoc_err *err);

typedef struct {
	const uint8_t *data;
	size_t n;
} inoci_map;
/* Read-only mmap of a regular, non-empty file. */
INOCI_MUST int inoci_map_open(const char *path, inoci_map *out, inoc_err *err);
void inoci_map_close(inoci_map *m);
void inoci_map_forget(const inoci_map *m); /* gives back the memory of its pages until they are touched again */

/* Output file: bytes go to "PATH.tmp.PID" beside it; commit fsyncs and renames; abandon removes. Write errors (a full disk)
 * surface from write or commit, and the old file stays as it was. Of a symbolic link the target is replaced. "-" and what is
 * no regular file (a terminal, a pipe, a device) are written to directly: there abandon leaves what was written. */
typedef struct inoci_out inoci_out;
INOCI_MUST int inoci_out_open(const char *path, inoci_out **out, inoc_err *err);
INOCI_MUST int inoci_out_write(inoci_out *o, const void *p, size_t n, inoc_err *err);
INOCI_MUST int inoci_out_commit(inoci_out *o, inoc_err *err); /* frees o, also when it fails */
void inoci_out_abandon(inoci_out *o);                         /* frees o; NULL is fine */
/* The three steps in one. */
INOCI_MUST int inoci_file_write(const char *path, const void *p, size_t n, inoc_err *err);

/* A file locked by flock, which ends with the process however that ends. Held by another: INOC_E_BUSY, naming its process. */
typedef struct inoci_lock inoci_lock;
INOCI_MUST int inoci_lock_take(const char *path, inoci_lock **out, inoc_err *err);
char *inoci_lock_holder(const char *path); /* the process that holds or held it, for messages; free() it */
void inoci_lock_drop(inoci_lock *l);       /* removes the file; NULL is fine */

/* mkdir -p */
INOCI_MUST int inoci_mkdirs(const char *path, inoc_err *err);
/* $XDG_CACHE_HOME/inoc or ~/.cache/inoc, joined with `sub` (may be NULL); free() it. Not created. */
char *inoci_cache_path(const char *sub);
/* What is kept there to start faster: packed weights (packed/), hashes of large files (hashes/). INOC_CACHE in the environment
 * chooses: AUTO, the default, maps packed weights where they are many; MAP maps, COPY copies them, also few; OFF: nothing is read
 * or kept. */
typedef enum { INOCI_CACHE_AUTO, INOCI_CACHE_MAP, INOCI_CACHE_COPY, INOCI_CACHE_OFF } inoci_cache_mode;
INOCI_MUST int inoci_cache_mode_get(inoci_cache_mode *out, inoc_err *err);
/* Bytes that those files take; `remove`: they are removed too (what another process uses stays there for it). */
size_t inoci_cache_bytes(bool remove);
/* a/b, or b when b is absolute or a is NULL or "". free() it. */
char *inoci_path_join(const char *a, const char *b);
/* Directory part of a path ("." when none); free() it. */
char *inoci_path_dir(const char *path);
bool inoci_path_exists(const char *path);

/* ---- JSON lines ---- */

/* Calls f for each non-blank line's JSON object, in order; line numbers from 1. Bad UTF-8, bad JSON, a line that is no
 * object, an empty file: INOC_E_FORMAT with "PATH:LINE: ...". f returns 0 to go on, negative (with err filled) to stop. */
typedef int inoci_jsonl_fn(void *ctx, json_t *obj, int line, inoc_err *err);
INOCI_MUST int inoci_jsonl_read(const char *path, inoci_jsonl_fn *f, void *ctx, inoc_err *err);
/* The same from bytes; path is for messages. */
INOCI_MUST int inoci_jsonl_parse(const char *path, const char *data, size_t n, inoci_jsonl_fn *f, void *ctx, inoc_err *err);

/* ---- random numbers: counter-based, so that any number is reachable without the ones before it ---- */

typedef struct {
	uint64_t key, ctr;
} inoci_rng;
/* A stream for (seed, purpose, i, j): different arguments give independent streams. */
inoci_rng inoci_rng_new(uint64_t seed, const char *purpose, uint64_t i, uint64_t j);
uint64_t inoci_rng_u64(inoci_rng *r);
double inoci_rng_uniform(inoci_rng *r);             /* [0, 1), 53 bits */
uint32_t inoci_rng_below(inoci_rng *r, uint32_t n); /* [0, n), unbiased */
double inoci_rng_normal(inoci_rng *r);
void inoci_rng_shuffle(inoci_rng *r, int32_t *v, size_t n); /* Fisher-Yates */
/* Stateless mix of (key, ctr): the number the stream `key` has at `ctr`. */
uint64_t inoci_mix64(uint64_t key, uint64_t ctr);

/* ---- SHA-256 (libcrypto) ---- */

typedef struct {
	char hex[65];
} inoci_hash;
typedef struct inoci_hasher inoci_hasher;
inoci_hasher *inoci_hasher_new(void);
void inoci_hasher_add(inoci_hasher *h, const void *p, size_t n);
/* Adds the length too, so that ("ab","c") and ("a","bc") differ. */
void inoci_hasher_str(inoci_hasher *h, const char *s);
inoci_hash inoci_hasher_end(inoci_hasher *h); /* frees h */
inoci_hash inoci_hash_bytes(const void *p, size_t n);
INOCI_MUST int inoci_hash_file(const char *path, inoci_hash *out, inoc_err *err);
/* The same; of a large file it is kept in the cache folder, and taken from there while the file's place, inode, size and times
 * of change are as they were. */
INOCI_MUST int inoci_hash_file_kept(const char *path, inoci_hash *out, inoc_err *err);

/* ---- time, progress, stopping ---- */

double inoci_now_s(void);   /* monotonic seconds */
char *inoci_time_iso(void); /* UTC "2026-01-31T12:00:00Z"; free() it */
/* Peak resident memory of this process, bytes. */
size_t inoci_rss_peak_bytes(void);
size_t inoci_rss_bytes(void); /* and now */
/* Memory that can be had now: MemAvailable, or what the limits of the cgroups this process is in (v2 or v1) or of its address
 * space leave; bytes. */
size_t inoci_mem_available_bytes(void);
/* The same, where `mapped` bytes of files' pages, which count as available, are needed. */
size_t inoci_mem_available_beside(size_t mapped);

/* The library never prints: it reports here, and the program shows it. Called from the one computing thread, at most some
 * ten times a second for ticks. */
typedef struct inoci_progress {
	void (*tick)(void *ctx, const char *what, double done, double total, const char *unit, const char *detail);
	void (*note)(void *ctx, const char *line); /* a line worth keeping (a decision, a warning) */
	void *ctx;
	const volatile int *stop; /* set by Ctrl-C; long work returns INOC_E_STOPPED at the next safe point */
} inoci_progress;
/* p may be NULL in all three. */
void inoci_tick(const inoci_progress *p, const char *what, double done, double total, const char *unit, const char *detail);
void inoci_note(const inoci_progress *p, const char *fmt, ...) INOCI_PRINTF(2, 3);
bool inoci_stopped(const inoci_progress *p);

/* ---- fault injection, for tests: the n-th big allocation or file write from now fails (0 = off) ---- */
void inoci_fault_alloc_at(long n);
void inoci_fault_write_at(long n);
/* From now on memory whose content is not promised begins as NaN. */
void inoci_fault_fill_nan(void);

#endif
