/* Texts that ask for nothing in the data: what a prompt's own words do is measured against prompts of the same length, form and
 * case. Written for this. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

static const char *const sentences[] = {
        "You water the plants.",
        "You always water the plants.",
        "The office is closed on Monday.",
        "You often take the bus to work.",
        "You keep your shoes by the door.",
        "Your desk stands beside the window.",
        "The train leaves at a quarter past nine.",
        "You like to walk along the river in the morning.",
        "There is a small garden behind the house.",
        "You have worked in the same building for years.",
        "The meeting has been moved to the second floor.",
        "You read the newspaper before breakfast every day.",
        "The shop around the corner sells bread and milk.",
        "You always close the window when you leave the room.",
        "Your neighbours have two cats and an old bicycle.",
        "The weather report says that it may rain tomorrow.",
        "You are sitting at a table in a quiet library.",
        "The museum opens at ten and closes at five.",
        "You put the keys back on the hook in the hall.",
        "There are seven chairs in the room and a round table.",
};
enum { CHAIN = 12 };

typedef struct {
	char *text;
	int first, tokens;
} candidate;

static int n_tokens(const inoci_tokenizer *tok, const char *s)
{
	inoci_i32s ids = {0};
	inoci_tok_encode(tok, s, strlen(s), &ids);
	int n = (int)ids.n;
	inoci_i32s_free(&ids);
	return n;
}

size_t inoci_neutral_texts(const inoci_tokenizer *tok, char *const *texts, size_t n_texts, size_t n, char **out)
{
	enum { N = (int)INOCI_COUNT(sentences) };
	candidate c[N * CHAIN];
	size_t n_c = 0, found = 0;
	double want = 0;
	bool caps = true, used[N] = {false};
	for (size_t i = 0; i < n_texts; i++) {
		want += (double)n_tokens(tok, texts[i]) / (double)n_texts;
		caps = caps && inoci_uppercase_share(texts[i], strlen(texts[i])) > 0.8;
	}
	for (int i = 0; i < N; i++) {
		inoci_buf b = {0};
		for (int k = 0; k < CHAIN; k++) {
			inoci_buf_printf(&b, "%s%s", k ? " " : "", sentences[(i + k) % N]);
			char *text = inoci_strdup(b.data);
			if (caps) inoci_ascii_upper(text);
			c[n_c++] = (candidate){text, i, n_tokens(tok, text)};
			if (c[n_c - 1].tokens > want) break;
		}
		inoci_buf_free(&b);
	}
	for (; found < n && found < N; found++) {
		const candidate *best = NULL;
		for (size_t k = 0; k < n_c; k++) {
			bool own = used[c[k].first];
			for (size_t i = 0; i < n_texts; i++) own = own || !strcmp(c[k].text, texts[i]);
			if (!own && (!best || fabs(c[k].tokens - want) < fabs(best->tokens - want))) best = &c[k];
		}
		if (!best) break;
		used[best->first] = true;
		out[found] = inoci_strdup(best->text);
	}
	for (size_t k = 0; k < n_c; k++) free(c[k].text);
	return found;
}
