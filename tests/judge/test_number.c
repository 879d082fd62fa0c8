/* The number in a reply, in a table; a server's answer as a reply; pacing; the memory in a file. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "judge/internal.h"

#define NEAR(got, want)                                                                              \
	do {                                                                                         \
		double g_ = (got), w_ = (want);                                                      \
		if (!(fabs(g_ - w_) <= 1e-9 || (isnan(g_) && isnan(w_))))                            \
			fail_msg("%s:%d: %s is %.12g, not %.12g", __FILE__, __LINE__, #got, g_, w_); \
	} while (0)

/* A line of number_cases.txt: high, minimal mass, parse | reply as JSON, with probabilities | what is read. */
static void cases(void **state)
{
	FILE *f = fopen(INOC_TESTS_DIR "/judge/number_cases.txt", "r");
	assert_non_null(f);
	char *line = NULL;
	size_t cap = 0;
	int no = 0, ran = 0, bad = 0;
	while (getline(&line, &cap, f) > 0) {
		no++;
		line[strcspn(line, "\n")] = 0;
		if (!*line || *line == '#') continue;
		char *reply = strstr(line, " | "), *want = reply ? strstr(reply + 3, " | ") : NULL;
		if (!want) fail_msg("number_cases.txt:%d: want RULE | REPLY | RESULT", no);
		*reply = *want = 0;
		inoci_judge_rule rule = {0};
		int parse;
		if (sscanf(line, "%d %lf %d", &rule.high, &rule.min_mass, &parse) != 3)
			fail_msg("number_cases.txt:%d: %s", no, line);
		rule.parse = parse;
		json_error_t e;
		json_t *j = json_loads(reply + 3, 0, &e), *pair;
		if (!j) fail_msg("number_cases.txt:%d: %s", no, e.text);
		size_t i;
		json_array_foreach(json_object_get(j, "top"), i, pair)
		        json_array_set_new(pair, 1, json_real(log(json_number_value(json_array_get(pair, 1)))));
		inoci_judge_number x = inoci_judge_read(j, &rule);
		char got[100];
		if (x.miss)
			snprintf(got, sizeof got, "%s", inoci_judge_miss_name(x.miss));
		else
			snprintf(got, sizeof got, "%.6g%s", x.value, x.parsed ? " parsed" : "");
		if (x.miss ? !isnan(x.value) : isnan(x.value)) fail_msg("number_cases.txt:%d: value and reason disagree", no);
		if (strcmp(got, want + 3) != 0) {
			print_error("number_cases.txt:%d: %s gives %s, not %s\n", no, reply + 3, got, want + 3);
			bad++;
		}
		json_decref(j);
		ran++;
	}
	free(line);
	fclose(f);
	assert_int_equal(bad, 0);
	assert_true(ran > 30);
}

static json_t *reply_of(const char *body, const char *secret)
{
	json_t *r = NULL;
	inoc_err err = {0};
	if (inoci_judge_reply(body, strlen(body), secret, &r, &err) < 0) fail_msg("%s: %s", body, err.msg);
	return r;
}

static void replies(void **state)
{
	json_t *r = reply_of(
	        "{\"model\":\"m-1\",\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":1},\"choices\":[{\"message\":"
	        "{\"content\":\"85\"},\"finish_reason\":\"length\",\"logprobs\":{\"content\":[{\"top_logprobs\":["
	        "{\"token\":\"80\",\"logprob\":-2},{\"token\":\"85\",\"logprob\":-0.5},{\"token\":\"x\",\"logprob\":-2}]}]}}]}",
	        NULL);
	char *text = json_dumps(r, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(4));
	assert_string_equal(text,
	                    "{\"finish\":\"length\",\"in\":12,\"model\":\"m-1\",\"out\":1,\"text\":\"85\",\"top\":[[\"85\",-0.5],"
	                    "[\"80\",-2.0],[\"x\",-2.0]]}");
	free(text);
	json_decref(r);
	/* no log-probabilities, no usage, no text: still a reply */
	r = reply_of("{\"choices\":[{\"message\":{\"content\":null},\"logprobs\":null}]}", NULL);
	text = json_dumps(r, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text, "{\"finish\":\"\",\"in\":0,\"model\":\"\",\"out\":0,\"text\":\"\"}");
	free(text);
	json_decref(r);
	/* a key in what a server sends is nowhere in what is kept */
	r = reply_of("{\"model\":\"sk-secret-1\",\"choices\":[{\"message\":{\"content\":\"a sk-secret-1 "
	             "b\"},\"logprobs\":{\"content\":[{"
	             "\"top_logprobs\":[{\"token\":\"sk-secret-1\",\"logprob\":-1}]}]}}]}",
	             "sk-secret-1");
	text = json_dumps(r, 0);
	assert_null(strstr(text, "secret"));
	assert_non_null(strstr(text, "a *********** b"));
	free(text);
	json_decref(r);
	static const char *const none[][2] = {
	        {"", "is not JSON"},
	        {"{\"choices\":[{\"message\":", "is not JSON"},
	        {"[]", "no choices[0].message"},
	        {"{\"choices\":[]}", "no choices[0].message"},
	        {"{\"choices\":{\"message\":{}}}", "no choices[0].message"},
	        {"{\"error\":{\"message\":\"sk-secret-1 is\\nwrong\"}}", "no choices[0].message: *********** is wrong"},
	        {"{\"choices\":[{\"message\":{},\"logprobs\":{\"content\":[{\"top_logprobs\":[{\"token\":\"1\",\"logprob\":3}]}]}"
	         "}]}",
	         "a log-probability of 3"},
	        {"{\"choices\":[{\"message\":{},\"logprobs\":{\"content\":[{\"top_logprobs\":[{\"token\":\"1\",\"logprob\":0},"
	         "{\"token\":\"2\",\"logprob\":0}]}]}}]}",
	         "add up to 2"},
	        {"{\"choices\":[{\"message\":{},\"logprobs\":{\"content\":[{\"top_logprobs\":[{\"token\":\"1\"}]}]}}]}",
	         "without token and logprob"},
	        {"{\"choices\":[{\"message\":{},\"logprobs\":{\"content\":[{\"top_logprobs\":[{\"token\":1,\"logprob\":-1}]}]}}]"
	         "}",
	         "without token and logprob"},
	};
	for (size_t i = 0; i < INOCI_COUNT(none); i++) {
		inoc_err err = {0};
		assert_int_equal(inoci_judge_reply(none[i][0], strlen(none[i][0]), "sk-secret-1", &r, &err), INOC_E_FORMAT);
		assert_null(r);
		if (!strstr(err.msg, none[i][1])) fail_msg("%s: \"%s\", without \"%s\"", none[i][0], err.msg, none[i][1]);
	}
}

static void complaints(void **state)
{
	static const char *const t[][3] = {
	        {"{\"error\":{\"message\":\"no\",\"code\":\"c\",\"type\":\"t\"}}", "no", "c"},
	        {"{\"error\":{\"message\":\"no\",\"code\":null,\"type\":\"t\"}}", "no", "t"},
	        {"{\"error\":\"no\"}", "no", ""},
	        {"{\"detail\":\"no\"}", "no", ""},
	        {"{\"message\":\"no\"}", "no", ""},
	        {"<html>\n<b>no</b>", "<html> <b>no</b>", ""},
	        {"", "(it says nothing)", ""},
	        {"\n\t ", "(it says nothing)", ""},
	        {"bad key sk-secret-1!", "bad key ***********!", ""},
	        {"\xff\xfe", "??", ""},
	        {"0123456789012345678901234567890123456789", "0123456789012345678901234...", ""},
	        {"\xc3\xa9\xc3\xa9\xc3\xa9", "\xc3\xa9\xc3\xa9\xc3\xa9", ""},
	};
	for (size_t i = 0; i < INOCI_COUNT(t); i++) {
		char said[30], code[20];
		inoci_judge_complaint(t[i][0], strlen(t[i][0]), "sk-secret-1", said, sizeof said, code, sizeof code);
		assert_string_equal(said, t[i][1]);
		assert_string_equal(code, t[i][2]);
	}
}

static void pacing(void **state)
{
	inoci_pace p = inoci_pace_new(0, 0);
	inoci_pace_start(&p, 5, 1000);
	NEAR(p.next, 5);
	p = inoci_pace_new(120, 0); /* two a second */
	inoci_pace_start(&p, 10, 1000);
	NEAR(p.next, 10.5);
	inoci_pace_start(&p, 10.5, 1000);
	NEAR(p.next, 11);
	inoci_pace_start(&p, 20, 1); /* a rest is not made up for by a burst */
	NEAR(p.next, 20.5);
	p = inoci_pace_new(120, 6000); /* a hundred tokens a second */
	inoci_pace_start(&p, 0, 10);
	NEAR(p.next, 0.5);
	inoci_pace_start(&p, 0.5, 200);
	NEAR(p.next, 2.5);
	inoci_pace_correct(&p, -100); /* there were half as many */
	NEAR(p.next, 1.5);
	inoci_pace_hold(&p, 1, 0.2);
	NEAR(p.next, 1.5);
	inoci_pace_hold(&p, 1, 30);
	NEAR(p.next, 31);
	NEAR(inoci_pace_backoff(2, 0.5, 1), 0.5);
	NEAR(inoci_pace_backoff(3, 0.5, 1), 1);
	NEAR(inoci_pace_backoff(5, 0.5, 0.25), 1);
	NEAR(inoci_pace_backoff(40, 0.5, 0.5), 30); /* 60 s at most */
	NEAR(inoci_pace_backoff(3, 0.5, 0), 0);
}

static void urls(void **state)
{
	static const struct {
		const char *url;
		int rc; /* with a key */
		bool here, plain;
	} t[] = {
	        {"https://api.openai.com/v1", 0, false, false},
	        {"http://localhost:8000/v1", 0, true, true},
	        {"http://127.0.0.1/v1", 0, true, true},
	        {"http://127.1.2.3:80/v1", 0, true, true},
	        {"http://[::1]:80/v1", 0, true, true},
	        {"https://LOCALHOST/v1", 0, true, false},
	        {"http://example.com/v1", -1, false, true},
	        {"http://127.0.0.1.example.com/v1", -1, false, true},
	        {"http://localhost.example.com/", -1, false, true},
	        {"http://10.0.0.1/v1", -1, false, true},
	        {"http://[::2]/v1", -1, false, true},
	};
	for (size_t i = 0; i < INOCI_COUNT(t); i++) {
		bool here, plain;
		inoc_err err = {0};
		inoci_judge_settings s = inoci_judge_defaults();
		s.url = (char *)(uintptr_t)t[i].url;
		s.model = s.key_env = (char *)(uintptr_t) "KEY";
		assert_int_equal(inoci_judge_url(t[i].url, &here, &plain, &err), 0);
		if (here != t[i].here || plain != t[i].plain) fail_msg("%s: here %d, plain %d", t[i].url, here, plain);
		assert_int_equal(inoci_judge_settings_check(&s, &err), t[i].rc ? INOC_E_USAGE : 0);
		s.allow_http = true;
		assert_int_equal(inoci_judge_settings_check(&s, &err), 0);
		s.allow_http = false;
		s.key_env = (char *)(uintptr_t) "none";
		assert_int_equal(inoci_judge_settings_check(&s, &err), 0);
	}
	static const char *const bad[] = {"ftp://a/v1",
	                                  "api.openai.com",
	                                  "https://",
	                                  "https://u:sk-secret-1@h/v1",
	                                  "file:///etc/x",
	                                  "",
	                                  "https://h/v1?key=sk-secret-1",
	                                  "https://h/v1#sk-secret-1"};
	for (size_t i = 0; i < INOCI_COUNT(bad); i++) {
		bool here, plain;
		inoc_err err = {0};
		if (inoci_judge_url(bad[i], &here, &plain, &err) != INOC_E_USAGE) fail_msg("%s is taken", bad[i]);
		assert_null(strstr(err.msg, "sk-secret"));
	}
}

static void kept(void **state)
{
	char dir[] = "/tmp/inoc-test-XXXXXX", *text = NULL, *reply;
	assert_non_null(mkdtemp(dir));
	char *path = inoci_path_join(dir, "a/judged.jsonl");
	inoc_err err = {0};
	for (int round = 0; round < 3; round++) {
		inoci_judge_file *f;
		char key[8], odd[] = "{\"text\":\"\\u0000 \xc3\xa9\"}";
		snprintf(key, sizeof key, "k%d", round);
		if (inoci_judge_file_open(path, &f, &err) < 0) fail_msg("%s", err.msg);
		inoci_judge_memory m = inoci_judge_file_memory(f);
		assert_int_equal(m.recall(m.ctx, key, &reply, &err), 0);
		assert_int_equal(m.remember(m.ctx, key, odd, &err), 0);
		for (int i = 0; i <= round; i++) {
			snprintf(key, sizeof key, "k%d", i);
			assert_int_equal(m.recall(m.ctx, key, &reply, &err), 1);
			assert_string_equal(reply, odd);
			free(reply);
		}
		inoci_judge_file_free(f);
		/* killed in the middle of a line */
		FILE *out = fopen(path, "a");
		fprintf(out, "{\"key\":\"k%d\",\"re", round + 1);
		fclose(out);
	}
	free(text);
	unlink(path);
	char *sub = inoci_path_dir(path);
	rmdir(sub);
	rmdir(dir);
	free(sub), free(path);
}

static void requests(void **state)
{
	inoci_judge_settings s = inoci_judge_defaults();
	s.model = (char *)(uintptr_t) "m";
	char *r = inoci_judge_request(&s, "a \"b\"\n");
	assert_string_equal(
	        r, "{\"logprobs\":true,\"max_tokens\":1,\"messages\":[{\"content\":\"a \\\"b\\\"\\n\",\"role\":\"user\"}],"
	           "\"model\":\"m\",\"temperature\":0,\"top_logprobs\":20}");
	free(r);
	s.logprobs = false;
	s.body = json_pack("{s:n, s:i}", "max_tokens", "max_completion_tokens", 9);
	r = inoci_judge_request(&s, "a");
	assert_string_equal(r,
	                    "{\"max_completion_tokens\":9,\"messages\":[{\"content\":\"a\",\"role\":\"user\"}],\"model\":\"m\","
	                    "\"temperature\":0}");
	free(r);
	json_decref(s.body);
}

int main(void)
{
	const struct CMUnitTest t[] = {cmocka_unit_test(cases),   cmocka_unit_test(replies), cmocka_unit_test(complaints),
	                               cmocka_unit_test(pacing),  cmocka_unit_test(urls),    cmocka_unit_test(kept),
	                               cmocka_unit_test(requests)};
	return cmocka_run_group_tests(t, NULL, NULL);
}
