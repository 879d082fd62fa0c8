/* The tokenizer: against Hugging Face's ids, on bytes of any kind, and on vocabularies that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "synth_gguf.h"

static inoci_gguf *model;
static inoci_tokenizer *tok;

static int open_model(void **state)
{
	inoc_err err;
	const char *path = getenv("INOC_MODEL");
	if (!path) {
		print_error("INOC_MODEL is not set: it names the SmolLM2-135M-Instruct GGUF file\n");
		return -1;
	}
	if (inoci_gguf_open(path, &model, &err) < 0 || inoci_tok_open(model, &tok, &err) < 0) {
		print_error("%s\n", err.msg);
		return -1;
	}
	return 0;
}

static int close_model(void **state)
{
	inoci_tok_free(tok);
	inoci_gguf_free(model);
	return 0;
}

/* decode(encode(s)) is s without the bytes that have no token; no id is special. */
static void check_round_trip(const inoci_tokenizer *t, const char *s, size_t n)
{
	inoci_i32s ids = {0};
	inoci_buf back = {0}, want = {0};
	for (size_t i = 0; i < n; i++)
		if (!inoci_tok_lost(t, s + i, 1)) inoci_buf_append(&want, s + i, 1);
	inoci_tok_encode(t, s, n, &ids);
	for (size_t i = 0; i < ids.n; i++) assert_false(inoci_tok_is_special(t, ids.v[i]));
	inoci_tok_decode(t, ids.v, ids.n, false, &back);
	assert_int_equal(back.len, want.len);
	assert_int_equal(want.len, n - inoci_tok_lost(t, s, n));
	if (n && want.len) assert_memory_equal(back.data, want.data, want.len);
	inoci_i32s_free(&ids);
	inoci_buf_free(&back);
	inoci_buf_free(&want);
}

static int fixture_line(void *ctx, json_t *o, int line, inoc_err *err)
{
	const char *text = json_string_value(json_object_get(o, "text"));
	json_t *want = json_object_get(o, "ids");
	size_t n = json_string_length(json_object_get(o, "text"));
	inoci_i32s ids = {0};
	inoci_tok_encode(tok, text, n, &ids);
	bool same = ids.n == json_array_size(want);
	for (size_t i = 0; same && i < ids.n; i++) same = ids.v[i] == json_integer_value(json_array_get(want, i));
	if (!same) {
		char *w = json_dumps(want, JSON_COMPACT);
		print_error("line %d: '%s'\n  want %s\n  got  [", line, text, w);
		for (size_t i = 0; i < ids.n; i++) print_error("%s%d", i ? "," : "", (int)ids.v[i]);
		print_error("]\n");
		free(w);
		*(int *)ctx += 1;
	}
	inoci_i32s_free(&ids);
	check_round_trip(tok, text, n);
	return 0;
}

static int count_line(void *ctx, json_t *o, int line, inoc_err *err)
{
	*(int *)ctx = line;
	return 0;
}

static void test_huggingface(void **state)
{
	inoc_err err;
	int bad = 0, lines = 0;
	const char *path = INOC_TESTS_DIR "/fixtures/tokenizer.jsonl";
	if (inoci_jsonl_read(path, fixture_line, &bad, &err) < 0) fail_msg("%s", err.msg);
	if (inoci_jsonl_read(path, count_line, &lines, &err) < 0) fail_msg("%s", err.msg);
	assert_int_equal(bad, 0);
	assert_true(lines >= 320);
}

static size_t put_utf8(char *s, uint32_t c)
{
	if (c < 0x80) {
		s[0] = (char)c;
		return 1;
	}
	size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (size_t i = n; i-- > 1; c >>= 6) s[i] = (char)(0x80 | (c & 0x3f));
	s[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c);
	return n;
}

/* Each character in one context; a block of 1024 has one hash. The context is that of tools/fixtures/tokenizer.py. */
static void test_all_characters(void **state)
{
	static const char *const around[] = {"the", "the ", "the  ", " 1", "", "the's\n\n", "e"};
	FILE *f = fopen(INOC_TESTS_DIR "/fixtures/codepoints.txt", "r");
	unsigned first;
	unsigned long long want;
	int blocks = 0;
	inoci_buf b = {0};
	inoci_i32s ids = {0};
	assert_non_null(f);
	while (fscanf(f, "%x %llx", &first, &want) == 2) {
		unsigned long long h = 0xcbf29ce484222325u;
		for (unsigned c = first; c < first + 1024; c++) {
			char s[4];
			if (c >= 0xd800 && c < 0xe000) continue;
			size_t n = put_utf8(s, c);
			inoci_buf_clear(&b);
			ids.n = 0;
			for (size_t i = 0; i < INOCI_COUNT(around); i++) {
				if (i) inoci_buf_append(&b, s, n);
				inoci_buf_puts(&b, around[i]);
			}
			inoci_tok_encode(tok, b.data, b.len, &ids);
			for (size_t i = 0; i < 4 * ids.n; i++)
				h = (h ^ ((uint32_t)ids.v[i / 4] >> i % 4 * 8 & 0xff)) * 0x100000001b3u;
		}
		if (h != want) fail_msg("U+%04X to U+%04X: ids have hash %016llx, not %016llx", first, first + 1023, h, want);
		blocks++;
	}
	fclose(f);
	inoci_buf_free(&b);
	inoci_i32s_free(&ids);
	assert_int_equal(blocks, 257);
}

static void test_random_round_trip(void **state)
{
	inoci_rng r = inoci_rng_new(7, "bpe", 0, 0);
	char s[512];
	for (int k = 0; k < 3000; k++) {
		size_t n = inoci_rng_below(&r, 100), len = 0;
		for (size_t i = 0; i < n; i++) switch (k % 4) {
			case 0:
				s[len++] = (char)inoci_rng_below(&r, 256);
				break;
			case 1:
				s[len++] = " \n\ta1'sE.\xc3\xa9\x80"[inoci_rng_below(&r, 13)];
				break;
			case 2:
				len += put_utf8(s + len, inoci_rng_below(&r, 0x3000));
				break;
			default: {
				uint32_t c = inoci_rng_below(&r, 0x110000);
				len += put_utf8(s + len, c >= 0xd800 && c < 0xe000 ? 0x1f600 : c);
			}
			}
		check_round_trip(tok, s, len);
	}
}

static void test_long_runs(void **state)
{
	static const char *const unit[] = {"a", " ", "\n", "é", "!", "1", "\x80", "'", "\xe4\xb8\x96", " \n", "ab"};
	size_t n = 300000;
	for (size_t k = 0; k < INOCI_COUNT(unit); k++) {
		inoci_buf b = {0};
		while (b.len < n) inoci_buf_puts(&b, unit[k]);
		check_round_trip(tok, b.data, b.len);
		inoci_buf_free(&b);
	}
}

static void check_ids(const inoci_tokenizer *t, const char *s, size_t n, const char *want)
{
	inoci_i32s ids = {0};
	inoci_buf got = {0};
	inoci_tok_encode(t, s, n, &ids);
	for (size_t i = 0; i < ids.n; i++) {
		size_t k;
		const char *b = inoci_tok_bytes(t, ids.v[i], &k);
		if (i) inoci_buf_puts(&got, "|");
		inoci_buf_append(&got, b, k);
	}
	assert_string_equal(got.data ? got.data : "", want);
	inoci_i32s_free(&ids);
	inoci_buf_free(&got);
}

#define CHECK(t, s, want) check_ids(t, s, sizeof(s) - 1, want)

static void test_invalid_utf8(void **state)
{
	CHECK(tok, "the\x80the", "the|\x80|the");
	CHECK(tok, "\xc3\xa9", "\xc3\xa9");
	CHECK(tok, "\xc3", "\xc3");
	CHECK(tok, "\xc3\xc3\xa9", "\xc3|\xc3\xa9");
	CHECK(tok, "\xed\xa0\x80", "\xed|\xa0|\x80"); /* a surrogate */
	CHECK(tok, "\xe0\x80\xaf", "\xe0|\x80|\xaf"); /* overlong */
	CHECK(tok, "a \x80 b", "a| |\x80| b");        /* the invalid byte ends a piece */
	CHECK(tok, "a\xff\xc0z", "a|z");              /* no token: left out */
	assert_int_equal(inoci_tok_lost(tok, "a\xff\xc0z", 4), 2);
	assert_int_equal(inoci_tok_lost(tok, "a\x04z", 3), 1);
	assert_int_equal(inoci_tok_lost(tok, "añ世😀", strlen("añ世😀")), 0);
	check_round_trip(tok, "a\0b\0", 4);
}

static void test_specials(void **state)
{
	static const char *const all[] = {"<|im_start|>", "<|im_end|>", "<|endoftext|>", "<repo_name>", "<jupyter_code>"};
	for (size_t i = 0; i < INOCI_COUNT(all); i++) {
		char *s = inoci_asprintf("%s a%s%s\n", all[i], all[i], all[i]);
		size_t n;
		int32_t id = inoci_tok_special(tok, all[i]);
		assert_true(id >= 0 && inoci_tok_is_special(tok, id));
		assert_string_equal(inoci_tok_spelling(tok, id), all[i]);
		inoci_tok_bytes(tok, id, &n);
		assert_int_equal(n, 0);
		check_round_trip(tok, s, strlen(s));
		free(s);
	}
	assert_int_equal(inoci_tok_special(tok, "the"), -1);
	assert_int_equal(inoci_tok_special(tok, "<|im_end|>x"), -1);
	assert_int_equal(inoci_tok_special(tok, ""), -1);
	int32_t ids[] = {1, 2, -1, 49152, INT32_MAX, INT32_MIN};
	inoci_buf b = {0};
	inoci_tok_decode(tok, ids, INOCI_COUNT(ids), true, &b);
	assert_string_equal(b.data, "<|im_start|><|im_end|>");
	inoci_buf_clear(&b);
	inoci_tok_decode(tok, ids, INOCI_COUNT(ids), false, &b);
	assert_int_equal(b.len, 0);
	inoci_buf_free(&b);
}

static void test_facts(void **state)
{
	size_t n = 1;
	assert_int_equal(inoci_tok_vocab_size(tok), 49152);
	assert_string_equal(inoci_tok_model(tok), "gpt2");
	assert_string_equal(inoci_tok_pre(tok), "smollm");
	assert_int_equal(inoci_tok_eos(tok), 2);
	assert_string_equal(inoci_tok_spelling(tok, 49152), "");
	assert_string_equal(inoci_tok_bytes(tok, -1, &n), "");
	assert_int_equal(n, 0);
	assert_false(inoci_tok_is_special(tok, -1) || inoci_tok_is_special(tok, 49152));
}

/* ---- small vocabularies ---- */

static int synth_open(const struct synth *f, inoci_tokenizer **t, inoc_err *err)
{
	inoci_gguf *g;
	inoci_buf file = synth_file(f);
	int rc = inoci_gguf_parse((const uint8_t *)file.data, file.len, "small.gguf", &g, err);
	assert_int_equal(rc, 0);
	rc = inoci_tok_open(g, t, err);
	inoci_gguf_free(g); /* the tokenizer keeps nothing of the file */
	inoci_buf_free(&file);
	return rc;
}

static void test_pre_tokenizers(void **state)
{
	static const char *const pres[] = {"smollm", "gpt-2", "gpt2"};
	for (size_t i = 0; i < INOCI_COUNT(pres); i++) {
		struct synth f;
		inoci_tokenizer *t;
		inoc_err err;
		synth_default(&f);
		f.pre = pres[i];
		/* merges that would reach over digits, if the pre-tokenizer let them */
		synth_token(&f, "Ġ1", 1);
		synth_merge(&f, "Ġ 1");
		synth_token(&f, "12", 1);
		synth_merge(&f, "1 2");
		if (synth_open(&f, &t, &err) < 0) fail_msg("%s", err.msg);
		CHECK(t, " the", " the");
		CHECK(t, "  the", " | the");
		CHECK(t, "aaaaa", "aaaa|a");
		CHECK(t, "it's", "i|t|'s");
		CHECK(t, "it'S", "i|t|'|S");
		CHECK(t, "\n\n\na", "\n\n|\n|a");
		if (!i) {
			CHECK(t, "12", "1|2");
			CHECK(t, " 1", " |1");
			CHECK(t, "a   1", "a|  | |1"); /* the whole run is one piece */
			CHECK(t, "\n\n1", "\n\n|1");
		} else {
			CHECK(t, "12", "12");
			CHECK(t, " 1", " 1");
			CHECK(t, "a   1", "a|  | 1");
			CHECK(t, "\n\n1", "\n|\n|1");
		}
		inoci_tok_free(t);
		synth_free(&f);
	}
}

enum change {
	PRE,
	NO_PRE,
	MODEL,
	NO_MODEL,
	EOS,
	TYPES_SHORT,
	NO_TOKENS,
	DUPLICATE,
	NUL,
	BAD_UTF8,
	NO_BYTE,
	SPECIAL_BYTE,
	MERGE,
	USER_TOKEN,
	BAD_TYPE,
};

static void test_hostile_files(void **state)
{
	static const struct {
		enum change change;
		const char *arg;
		int code;
		const char *says[2];
	} cases[] = {
	        {PRE, "llama-bpe", INOC_E_UNSUPPORTED, {"'llama-bpe'", "gpt-2, gpt2, smollm"}},
	        {PRE, "a\nb", INOC_E_UNSUPPORTED, {"'a'", "known"}},
	        {NO_PRE, NULL, INOC_E_UNSUPPORTED, {"tokenizer.ggml.pre", "smollm"}},
	        {MODEL, "llama", INOC_E_UNSUPPORTED, {"'llama'", "gpt2"}},
	        {NO_MODEL, NULL, INOC_E_FORMAT, {"tokenizer.ggml.model", "missing"}},
	        {EOS, NULL, INOC_E_FORMAT, {"eos_token_id is 99999", "tokens"}},
	        {TYPES_SHORT, NULL, INOC_E_FORMAT, {"token_type has 272", "273"}},
	        {NO_TOKENS, NULL, INOC_E_FORMAT, {"0 tokens", "expected"}},
	        {DUPLICATE, NULL, INOC_E_FORMAT, {"both 'the'", "tokens"}},
	        {NUL, NULL, INOC_E_FORMAT, {"token 273", "UTF-8"}},
	        {BAD_UTF8, "\xc3", INOC_E_FORMAT, {"token 273", "UTF-8"}},
	        {NO_BYTE, NULL, INOC_E_FORMAT, {"byte 0x41 ('A')", "not a byte-level"}},
	        {SPECIAL_BYTE, NULL, INOC_E_FORMAT, {"byte 0x00", "special"}},
	        {MERGE, "ab", INOC_E_FORMAT, {"merge 14", "two tokens"}},
	        {MERGE, "", INOC_E_FORMAT, {"merge 14", "two tokens"}},
	        {MERGE, " ", INOC_E_FORMAT, {"merge 14", "two tokens"}},
	        {MERGE, "a ", INOC_E_FORMAT, {"merge 14", "two tokens"}},
	        {MERGE, " a", INOC_E_FORMAT, {"merge 14", "two tokens"}},
	        {MERGE, "a b c", INOC_E_FORMAT, {"merge 14", "two tokens"}},
	        {MERGE, "xx a", INOC_E_FORMAT, {"'xx a'", "left part"}},
	        {MERGE, "a xx", INOC_E_FORMAT, {"'a xx'", "right part"}},
	        {MERGE, "x y", INOC_E_FORMAT, {"'x y'", "makes what is no token"}},
	        {MERGE, "h e", INOC_E_FORMAT, {"'h e'", "twice"}},
	        {MERGE, "\xff \x80", INOC_E_FORMAT, {"merge 14", "left part"}},
	        {USER_TOKEN, NULL, INOC_E_UNSUPPORTED, {"token 273", "user-defined"}},
	        {BAD_TYPE, NULL, INOC_E_FORMAT, {"token 273 is 77", "1 to 5"}},
	};
	for (size_t i = 0; i < INOCI_COUNT(cases); i++) {
		struct synth f;
		inoci_tokenizer *t;
		inoc_err err = {0};
		synth_default(&f);
		switch (cases[i].change) {
		case PRE:
			f.pre = cases[i].arg;
			break;
		case NO_PRE:
			f.pre = NULL;
			break;
		case MODEL:
			f.model = cases[i].arg;
			break;
		case NO_MODEL:
			f.model = NULL;
			break;
		case EOS:
			f.eos = 99999;
			break;
		case TYPES_SHORT:
			f.n_types--, f.types.len -= 4;
			break;
		case NO_TOKENS:
			f.n_tokens = f.tokens.len = 0;
			break;
		case DUPLICATE:
			synth_token(&f, "the", 1), synth_token(&f, "the", 1);
			break;
		case NUL:
			synth_str(&f.tokens, "a\0b", 3), f.n_tokens++, f.n_types++, synth_put(&f.types, 1, 4);
			break;
		case BAD_UTF8:
			synth_token(&f, cases[i].arg, 1);
			break;
		case NO_BYTE:
			synth_free(&f);
			f = (struct synth){.model = "gpt2", .pre = "smollm", .eos = -1};
			synth_bytes(&f, 'A', 'A' + 1);
			break;
		case SPECIAL_BYTE:
			synth_free(&f);
			f = (struct synth){.model = "gpt2", .pre = "smollm", .eos = -1};
			synth_token(&f, "Ā", 3);
			synth_bytes(&f, 0, 1);
			break;
		case MERGE:
			synth_merge(&f, cases[i].arg);
			break;
		case USER_TOKEN:
			synth_token(&f, "zz", 4);
			break;
		case BAD_TYPE:
			synth_token(&f, "zz", 77);
			break;
		}
		int rc = synth_open(&f, &t, &err);
		if (rc != cases[i].code || !strstr(err.msg, cases[i].says[0]) || !strstr(err.msg, cases[i].says[1]) ||
		    strncmp(err.msg, "small.gguf: ", 12) || strchr(err.msg, '\n'))
			fail_msg("case %zu: code %d, '%s'; expected %d with '%s' and '%s'", i, rc, err.msg, cases[i].code,
			         cases[i].says[0], cases[i].says[1]);
		assert_null(t);
		synth_free(&f);
	}
}

/* A merge may not build a special token, nor use one. */
static void test_merge_of_special(void **state)
{
	static const char *const merges[] = {"<| >", "< <|>"};
	for (size_t i = 0; i < INOCI_COUNT(merges); i++) {
		struct synth f;
		inoci_tokenizer *t;
		inoc_err err;
		synth_default(&f);
		synth_token(&f, "<|", 1);
		synth_token(&f, "<|>", 3);
		synth_token(&f, "<<|>", 1);
		synth_merge(&f, merges[i]);
		assert_int_equal(synth_open(&f, &t, &err), INOC_E_FORMAT);
		assert_non_null(strstr(err.msg, "special token"));
		synth_free(&f);
	}
}

/* Without types all tokens are ordinary; without merges every byte stands alone. */
static void test_least_file(void **state)
{
	struct synth f = {.model = "gpt2", .pre = "smollm", .eos = -1, .no_types = true};
	inoci_tokenizer *t;
	inoc_err err;
	synth_bytes(&f, 256, 256);
	if (synth_open(&f, &t, &err) < 0) fail_msg("%s", err.msg);
	CHECK(t, "the \xff", "t|h|e| |\xff");
	assert_int_equal(inoci_tok_eos(t), -1);
	assert_int_equal(inoci_tok_special(t, "a"), -1);
	for (int b = 0; b < 256; b++) {
		char c = (char)b;
		check_round_trip(t, &c, 1);
		assert_int_equal(inoci_tok_lost(t, &c, 1), 0);
	}
	check_round_trip(t, "", 0);
	inoci_tok_free(t);
	inoci_tok_free(NULL);
	synth_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_huggingface),
	        cmocka_unit_test(test_all_characters),
	        cmocka_unit_test(test_random_round_trip),
	        cmocka_unit_test(test_long_runs),
	        cmocka_unit_test(test_invalid_utf8),
	        cmocka_unit_test(test_specials),
	        cmocka_unit_test(test_facts),
	        cmocka_unit_test(test_pre_tokenizers),
	        cmocka_unit_test(test_hostile_files),
	        cmocka_unit_test(test_merge_of_special),
	        cmocka_unit_test(test_least_file),
	};
	return cmocka_run_group_tests(tests, open_model, close_model);
}
