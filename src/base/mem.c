/* Memory and growable text. */
#include <stdlib.h>
#include <sys/mman.h>
#include <string.h>

#include "base/base.h"

static long fault_alloc; /* test hook: counts down to the failing big allocation */
static bool fault_fill;

void inoci_fault_alloc_at(long n)
{
	fault_alloc = n;
}

void inoci_fault_fill_nan(void)
{
	fault_fill = true;
}

static _Noreturn void out_of_memory(size_t bytes)
{
	fprintf(stderr, "inoc: out of memory (%zu bytes)\n", bytes);
	_Exit(6);
}

void *inoci_alloc(size_t bytes)
{
	void *p = calloc(1, bytes ? bytes : 1);
	if (!p) out_of_memory(bytes);
	return p;
}

void *inoci_realloc(void *p, size_t bytes)
{
	p = realloc(p, bytes ? bytes : 1);
	if (!p) out_of_memory(bytes);
	return p;
}

void inoci_ascii_upper(char *s)
{
	for (; *s; s++)
		if (*s >= 'a' && *s <= 'z') *s = (char)(*s - 'a' + 'A');
}

char *inoci_strndup(const char *s, size_t n)
{
	char *d = inoci_alloc(n + 1);
	memcpy(d, s, n);
	return d;
}

char *inoci_strdup(const char *s)
{
	return inoci_strndup(s, strlen(s));
}

char *inoci_asprintf(const char *fmt, ...)
{
	inoci_buf b = {0};
	va_list ap;
	va_start(ap, fmt);
	inoci_buf_vprintf(&b, fmt, ap);
	va_end(ap);
	return inoci_buf_take(&b);
}

#define HUGE_PAGE ((size_t)2 << 20)
#define BIG_PAGES ((size_t)1 << 20) /* from here on in huge pages */

void *inoci_big_room(size_t bytes, const char *what, inoc_err *err)
{
	void *p = NULL;
	size_t align = bytes >= BIG_PAGES ? HUGE_PAGE : 64, want = (bytes + align - 1) / align * align;
	if (want < bytes || (fault_alloc > 0 && --fault_alloc == 0) || !(p = aligned_alloc(align, want ? want : 64))) {
		inoci_err_set(err, INOC_E_MEMORY,
		              "not enough memory for %s: %.1f MiB wanted, %.1f MiB available; use a smaller model, or shorter or "
		              "fewer examples at a time",
		              what, (double)bytes / 1048576, (double)inoci_mem_available_bytes() / 1048576);
		return NULL;
	}
	if (align == HUGE_PAGE)
		(void)madvise(p, want, MADV_HUGEPAGE); /* streams of weights miss the TLB less; where it is off: no matter */
	if (fault_fill) memset(p, 0xff, want);
	return p;
}

void *inoci_big_alloc(size_t bytes, const char *what, inoc_err *err)
{
	void *p = inoci_big_room(bytes, what, err);
	if (p) memset(p, 0, bytes);
	return p;
}

struct block {
	struct block *next;
	size_t cap, used;
	_Alignas(16) char data[];
};
struct inoci_arena {
	struct block *head;
};

inoci_arena *inoci_arena_new(void)
{
	return inoci_alloc(sizeof(inoci_arena));
}

void inoci_arena_free(inoci_arena *a)
{
	if (!a) return;
	for (struct block *b = a->head, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	free(a);
}

void inoci_arena_reset(inoci_arena *a)
{
	while (a->head && a->head->next) {
		struct block *b = a->head;
		a->head = b->next;
		free(b);
	}
	if (a->head) a->head->used = 0;
}

void *inoci_arena_alloc(inoci_arena *a, size_t bytes)
{
	bytes = (bytes + 15) / 16 * 16;
	if (!a->head || a->head->cap - a->head->used < bytes) {
		size_t cap = bytes > 65536 ? bytes : 65536;
		struct block *b = malloc(sizeof *b + cap);
		if (!b) out_of_memory(cap);
		b->next = a->head;
		b->cap = cap;
		b->used = 0;
		a->head = b;
	}
	void *p = a->head->data + a->head->used;
	a->head->used += bytes;
	memset(p, 0, bytes);
	return p;
}

char *inoci_arena_strndup(inoci_arena *a, const char *s, size_t n)
{
	char *d = inoci_arena_alloc(a, n + 1);
	memcpy(d, s, n);
	return d;
}

static void reserve(inoci_buf *b, size_t more)
{
	if (b->cap - b->len > more) return;
	b->cap = (b->len + more + 1) * 3 / 2 + 32;
	b->data = inoci_realloc(b->data, b->cap);
}

void inoci_buf_append(inoci_buf *b, const void *p, size_t n)
{
	reserve(b, n);
	if (n) memcpy(b->data + b->len, p, n);
	b->len += n;
	b->data[b->len] = 0;
}

void inoci_buf_puts(inoci_buf *b, const char *s)
{
	inoci_buf_append(b, s, strlen(s));
}

void inoci_buf_vprintf(inoci_buf *b, const char *fmt, va_list ap)
{
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	INOC_BUG_IF(n < 0);
	reserve(b, (size_t)n);
	vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
	va_end(again);
	b->len += (size_t)n;
}

void inoci_buf_printf(inoci_buf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	inoci_buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void inoci_buf_clear(inoci_buf *b)
{
	b->len = 0;
	if (b->data) b->data[0] = 0;
}

void inoci_buf_free(inoci_buf *b)
{
	free(b->data);
	*b = (inoci_buf){0};
}

char *inoci_buf_take(inoci_buf *b)
{
	char *p = b->data ? b->data : inoci_strdup("");
	*b = (inoci_buf){0};
	return p;
}

void inoci_i32s_append(inoci_i32s *l, const int32_t *x, size_t n)
{
	if (l->cap - l->n < n) {
		l->cap = (l->n + n) * 3 / 2 + 16;
		l->v = inoci_realloc(l->v, l->cap * sizeof *l->v);
	}
	if (n) memcpy(l->v + l->n, x, n * sizeof *x);
	l->n += n;
}

void inoci_i32s_push(inoci_i32s *l, int32_t x)
{
	inoci_i32s_append(l, &x, 1);
}

void inoci_i32s_free(inoci_i32s *l)
{
	free(l->v);
	*l = (inoci_i32s){0};
}
