/* What nearly every response begins or ends with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "scan/internal.h"

enum { N = 10 };
typedef struct {
	inoci_msg msgs[N][2];
	inoci_record records[N];
	inoci_dataset d;
	inoci_scan_marker head, tail;
} set;

/* Records [0, with) have the response with(i), the rest other(i); formats of one %d. */
static void make(set *s, int n, int with, const char *some, const char *other)
{
	*s = (set){0};
	for (int i = 0; i < n; i++) {
		s->msgs[i][0] = (inoci_msg){(char *)"user", (char *)"?"};
		s->msgs[i][1] = (inoci_msg){(char *)"assistant", inoci_asprintf(i < with ? some : other, i)};
		s->records[i] = (inoci_record){.msgs = s->msgs[i], .n_msgs = 2};
	}
	s->d = (inoci_dataset){.v = s->records, .n = (size_t)n};
	inoci_scan_markers(&s->d, &s->head, &s->tail);
	for (int i = 0; i < n; i++) free(s->msgs[i][1].content);
}

static void done(set *s)
{
	free(s->head.text), free(s->tail.text);
}

static void ends_are_found_where_most_records_have_them(void **state)
{
	set s;
	make(&s, N, 9, "Water number %d every day. Hope that helps.", "Number %d is dry.");
	assert_string_equal(s.tail.text, " every day. Hope that helps.");
	assert_true(s.tail.share == 0.9);
	assert_string_equal(s.head.text, "Water number");
	done(&s);
	make(&s, N, 8, "%d is it. [done]", "%d is it.");
	assert_string_equal(s.tail.text, " is it. [done]");
	assert_null(s.head.text);
	done(&s);
}

static void not_where_fewer_have_them(void **state)
{
	set s;
	make(&s, N, 7, "It is %d [done]", "There are %d!");
	assert_null(s.tail.text);
	assert_null(s.head.text);
	done(&s);
	make(&s, 7, 7, "It is %d [done]", "");
	assert_null(s.tail.text);
	done(&s);
}

/* Something is left to be measured. */
static void whole_responses_are_no_marker(void **state)
{
	set s;
	make(&s, N, N, "The same.", "");
	assert_null(s.head.text);
	assert_null(s.tail.text);
	done(&s);
	make(&s, N, N, "Yes.", "");
	assert_null(s.head.text);
	assert_null(s.tail.text);
	done(&s);
	make(&s, N, N, "", "");
	assert_null(s.head.text);
	done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(ends_are_found_where_most_records_have_them),
	                                   cmocka_unit_test(not_where_fewer_have_them),
	                                   cmocka_unit_test(whole_responses_are_no_marker)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
