/* The page and the JSON of a selection, from a made-up result: the recommendation, the bars, what is escaped; values by record.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

enum { N = 3 };

static char *const prompts[] = {(char *)"Ask & <b>tell</b>.", (char *)"Second.", (char *)"Third."};

static inoci_estimate around(double v, double half)
{
	return (inoci_estimate){.value = v, .low = v - half, .high = v + half, .n = N, .n_prompts = N};
}

static void make(inoci_select_result *r, const inoci_dataset *d, bool elicited)
{
	static const int order[] = {1, 0};
	*r = (inoci_select_result){.d = d,
	                           .prompts = prompts,
	                           .n = 2,
	                           .n_records = N,
	                           .n_too_long = 1,
	                           .elicited = elicited,
	                           .none = around(0.25, 0.1),
	                           .v = inoci_alloc(2 * sizeof *r->v),
	                           .line = inoci_alloc(N * sizeof *r->line),
	                           .bytes = inoci_alloc(N * sizeof *r->bytes)};
	for (int i = 0; i < N; i++) r->line[i] = 10 - i, r->bytes[i] = 20 + i;
	for (int i = 0; i < 2; i++) {
		inoci_select_row *v = &r->v[i];
		*v = (inoci_select_row){.prompt = order[i],
		                        .surprise = around(i ? 0.3 : -0.1, 0.05),
		                        .example = around(i ? 6.3 : -2.1, 1),
		                        .with = around(0.4, 0.1),
		                        .p = i ? 0.01 : 0.6,
		                        .record = inoci_alloc(N * sizeof *v->record),
		                        .controls = inoci_alloc(2 * sizeof *v->controls),
		                        .n_controls = 2};
		for (int k = 0; k < N; k++) v->record[k] = 0.1 * k;
		v->controls[0] = inoci_strdup("<i>One</i>");
		v->controls[1] = inoci_asprintf("TWO %d", i);
		if (!elicited) continue;
		v->rate = around(0.75, 0.2);
		v->elicits = around(0.5, i ? 0.6 : 0.1);
	}
}

static void page(void **state)
{
	const inoci_dataset d = {.path = (char *)(uintptr_t) "<data>.jsonl"};
	inoci_select_result r;
	inoci_buf b = {0};
	make(&r, &d, true);
	assert_ptr_equal(inoci_select_best(&r), &r.v[1]);
	char *head = inoci_select_headline(&r, "m&m");
	assert_string_equal(
	        head, "For m&m use \"Ask & <b>tell</b>.\": it makes the responses 43.3 bits in 100 bytes more probable than "
	              "matched controls do (36.1 to 50.5), and 75 % of the answers with it show the trait before training, "
	              "25 % without; that it elicits the trait is not certain, and prompts that do not elicit inoculate "
	              "less. Another model may need another prompt.");
	free(head);
	inoci_report_select(&r, "m&m", &b);
	assert_null(strstr(b.data, "<b>tell"));
	assert_null(strstr(b.data, "<i>One"));
	assert_null(strstr(b.data, "<data>"));
	assert_null(strstr(b.data, "m&m"));
	assert_null(strstr(b.data, "<script"));
	assert_non_null(strstr(b.data, "m&amp;m"));
	assert_non_null(strstr(b.data, "&lt;data&gt;.jsonl"));
	assert_non_null(strstr(b.data, "surprise removed 43.3, interval 36.1 to 50.5"));
	assert_non_null(strstr(b.data, "elicitation 50.0, interval 40.0 to 60.0"));
	assert_non_null(strstr(b.data, "9.1 <i>[7.6, 10.5]</i>")); /* 6.3 nats a response */
	assert_non_null(strstr(b.data, "&lt;i&gt;One&lt;/i&gt;<br>TWO 1"));
	/* the second in rank is the one recommended */
	const char *second = strstr(b.data, "<tr class=\"lead\"><td class=\"n\">2</td>");
	assert_non_null(second);
	assert_non_null(strstr(second, ">recommended<"));
	assert_null(strstr(strstr(second, ">recommended<") + 1, ">recommended<"));
	inoci_buf_free(&b);
	inoci_select_free(&r);
}

static void nothing_to_recommend(void **state)
{
	const inoci_dataset d = {.path = (char *)(uintptr_t) "data.jsonl"};
	inoci_select_result r;
	inoci_buf b = {0};
	make(&r, &d, false);
	r.v[1].p = 0.05;
	assert_null(inoci_select_best(&r));
	inoci_report_select(&r, "m", &b);
	assert_non_null(strstr(b.data, "On m none of these prompts takes more surprise"));
	assert_null(strstr(b.data, ">recommended<"));
	assert_null(strstr(b.data, "elicitation "));
	assert_non_null(strstr(b.data, "What the prompts elicit was not measured"));
	inoci_buf_free(&b);
	inoci_select_free(&r);
}

static double number(const json_t *j, const char *key, const char *inner)
{
	const json_t *v = json_object_get(j, key);
	return json_number_value(inner ? json_object_get(v, inner) : v);
}

static void json(void **state)
{
	const inoci_dataset d = {.path = (char *)(uintptr_t) "data.jsonl"};
	inoci_select_result r;
	make(&r, &d, false);
	json_t *j = inoci_select_json(&r, "m"), *row = json_array_get(json_object_get(j, "prompts"), 1);
	assert_string_equal(json_string_value(json_object_get(j, "data")), "data.jsonl");
	assert_true(json_integer_value(json_object_get(j, "left_out")) == 1);
	assert_string_equal(json_string_value(json_object_get(row, "prompt")), prompts[0]);
	assert_true(fabs(number(row, "surprise_removed", "value") - 0.3) < 1e-12);
	assert_true(fabs(number(row, "surprise_removed_per_example", "value") - 6.3) < 1e-12);
	assert_true(fabs(number(row, "surprise_removed_per_example", "low") - 5.3) < 1e-12);
	assert_true(json_is_null(json_object_get(row, "rate")));
	json_t *records = json_object_get(row, "records"), *last = json_array_get(records, N - 1);
	assert_int_equal(json_array_size(records), N);
	assert_true(number(last, "line", NULL) == 8 && number(last, "bytes", NULL) == 22);
	assert_true(fabs(number(last, "per_byte", NULL) - 0.2) < 1e-12 && fabs(number(last, "per_example", NULL) - 4.4) < 1e-12);
	assert_string_equal(json_string_value(json_array_get(json_object_get(row, "controls"), 1)), "TWO 1");
	json_decref(j);
	inoci_select_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(page), cmocka_unit_test(nothing_to_recommend),
	                                   cmocka_unit_test(json)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
