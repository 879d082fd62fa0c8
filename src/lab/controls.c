/* Matched controls: where a plan inoculates and has no arm of role control, two are added.
 *
 * A control is the inoculated arm again (data, place, fraction, training) with a prompt about nothing that could matter: as long
 * (in characters), of the same form ("You always ...", an order, "You are ...", a statement), in the same case. The first is
 * matched to the plan's first inoculation prompt, the second to the one that differs most from it: another case, else another
 * length. Nothing is drawn: the same plan always gets the same controls.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "lab/internal.h"

enum { N_CONTROLS = 2, MAX_POOL = 8, MAX_SENTENCES = 40, CAPS_PERCENT = 80 };

typedef enum { FORM_YOU, FORM_ARE, FORM_STATEMENT, FORM_ORDER, N_FORMS } form;

/* clang-format off */
static const char *const sentences[N_FORMS][MAX_SENTENCES] = {
	[FORM_YOU] = {
		"You like the park.", "You often take the bus.", "You sit by the window.", "You always lock the shed.",
		"You always water the plants.", "You always walk to the station.", "You always feed the birds at noon.",
		"You always keep the key in the drawer.", "You always park behind the old library.",
		"You always leave the gate open in summer.", "You always put the blue cups on the upper shelf.",
		"You always wash the car on the first of the month.", "You always carry the chairs out before the market.",
		"You always hang the wet coats beside the kitchen door.",
		"You always sweep the yard before the neighbours come home.",
		"You always buy the bread at the shop across from the harbour.",
		"You always wind up the clock in the hall before you go upstairs.",
		"You always bring the boxes down to the cellar when the rain has stopped."},
	[FORM_ARE] = {
		"You are at the park.", "You are on the bus.", "You are near the window.", "You are waiting for a train.",
		"You are the owner of a shed.", "You are a member of the rowing club.", "You are standing beside the old library.",
		"You are a gardener with two apple trees.", "You are on the way to the station.",
		"You are the neighbour of a bicycle repairer.", "You are sitting in the second row of the bus.",
		"You are a person who owns a small wooden boat.", "You are looking at the blue cups on the upper shelf.",
		"You are one of the people who look after the village pond.",
		"You are a keeper of bees whose house stands beside the river.",
		"You are the one who winds up the clock in the hall in the evening."},
	[FORM_STATEMENT] = {
		"The bus is late.", "The shed is green.", "The lamp is on the desk.", "The office is closed on Monday.",
		"The gate is left open in summer.", "The key is kept in the upper drawer.", "The market is held beside the harbour.",
		"The blue cups stand on the upper shelf.", "The train to the coast leaves at noon.",
		"The chairs are carried out before the market.", "The clock in the hall is wound up on Sundays.",
		"The apple trees behind the house were cut in March.",
		"The boxes are brought down to the cellar when it rains.",
		"The old library stands between the station and the river."},
	[FORM_ORDER] = {
		"Lock the shed.", "Water the plants.", "Feed the birds at noon.", "Sweep the yard on Friday.",
		"Leave the gate open in summer.", "Keep the key in the drawer.", "Park behind the old library.",
		"Always walk to the station.", "Never leave the window open.", "Put the blue cups on the upper shelf.",
		"Always carry the chairs out before noon.", "Wash the car on the first of the month.",
		"Hang the wet coats beside the kitchen door.", "Buy the bread at the shop across from the harbour.",
		"Wind up the clock in the hall before you go upstairs.",
		"Bring the boxes down to the cellar when the rain has stopped."},
};
/* clang-format on */

static size_t letters(const char *s)
{
	size_t n = 0;
	for (; *s; s++) n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static bool in_caps(const char *s)
{
	return inoci_uppercase_share(s, strlen(s)) > CAPS_PERCENT / 100.0;
}

static bool starts(const char *s, const char *word)
{
	size_t n = strlen(word);
	return !strncasecmp(s, word, n) && !isalpha((unsigned char)s[n]);
}

static form form_of(const char *s)
{
	static const char *const statement[] = {"the", "this", "these", "it", "in", "a", "an", "i", "all", "there"};
	if (starts(s, "you are") || starts(s, "you're")) return FORM_ARE;
	if (starts(s, "you")) return FORM_YOU;
	for (size_t i = 0; i < INOCI_COUNT(statement); i++)
		if (starts(s, statement[i])) return FORM_STATEMENT;
	return FORM_ORDER;
}

static size_t distance(size_t a, size_t b)
{
	return a > b ? a - b : b - a;
}

/* Sentences that are not used yet, put together until no other brings the text nearer to the length wanted. free() it. */
static char *compose(const char *like, bool (*used)[MAX_SENTENCES])
{
	form f = form_of(like);
	size_t want = letters(like), have = 0;
	inoci_buf b = {0};
	for (;;) {
		int best = -1;
		size_t near = 0;
		for (int i = 0; i < MAX_SENTENCES && sentences[f][i]; i++) {
			size_t d = distance(want, have + (have > 0) + strlen(sentences[f][i]));
			if (!used[f][i] && (best < 0 || d < near)) best = i, near = d;
		}
		if (best < 0 && have) break;
		if (best < 0) { /* a long pool: from the beginning */
			memset(used[f], 0, sizeof used[f]);
			continue;
		}
		if (have && near >= distance(want, have)) break;
		used[f][best] = true;
		inoci_buf_printf(&b, "%s%s", have ? " " : "", sentences[f][best]);
		have = b.len;
	}
	if (in_caps(like)) inoci_ascii_upper(b.data);
	return inoci_buf_take(&b);
}

/* ---- which arms they are matched to ---- */

static const char *prompt_of(const inoci_arm *a)
{
	return a->inoculation.pool[0];
}

static int differs_most(const inoci_experiment *e, int from)
{
	const char *first = prompt_of(&e->arms[from]);
	int best = from;
	size_t most = 0;
	for (size_t i = 0; i < e->n_arms; i++) {
		const inoci_arm *a = &e->arms[i];
		if (strcmp(a->role, "inoculated") || !a->has_inoculation || a->swept_of) continue;
		size_t d =
		        distance(letters(prompt_of(a)), letters(first)) + (in_caps(prompt_of(a)) != in_caps(first) ? 1 << 20 : 0);
		if (d > most) most = d, best = (int)i;
	}
	return best;
}

static char *copy(const char *s)
{
	return s ? inoci_strdup(s) : NULL;
}

static void add(inoci_experiment *e, int k, const inoci_arm *like, bool (*used)[MAX_SENTENCES])
{
	const inoci_inoculation *t = &like->inoculation;
	inoci_arm c = {.name = inoci_asprintf("control_auto_%d", k),
	               .role = inoci_strdup("control"),
	               .data = copy(like->data),
	               .train = true,
	               .has_inoculation = true,
	               .inoculation = *t,
	               .recipe = inoci_recipe_copy(&like->recipe),
	               .line = like->line,
	               .matched = inoci_strdup(like->name)};
	c.inoculation.tag = copy(t->tag);
	c.inoculation.separator = copy(t->separator);
	c.when = inoci_when_copy(like->when);
	c.inoculation.n_pool = t->n_pool < MAX_POOL ? t->n_pool : MAX_POOL;
	c.inoculation.pool = inoci_alloc(c.inoculation.n_pool * sizeof *c.inoculation.pool);
	for (size_t i = 0; i < c.inoculation.n_pool; i++) c.inoculation.pool[i] = compose(t->pool[i], used);
	c.label = inoci_asprintf("control (added) %d", k);
	inoci_experiment_note(
	        e,
	        "%s: a control was added, trained with \"%s\"%s: %zu characters, matched to the %zu of %s's prompt; "
	        "`controls: none` leaves it out",
	        c.name, c.inoculation.pool[0], c.inoculation.n_pool > 1 ? " and others" : "", letters(c.inoculation.pool[0]),
	        letters(t->pool[0]), like->name);
	e->arms[e->n_arms++] = c;
}

int inoci_controls_read(const inoci_ynode *n, void *experiment, void *reader, inoc_err *err)
{
	(void)experiment, (void)reader;
	if (n->kind == YN_SCALAR && (!strcmp(n->s, "auto") || !strcmp(n->s, "none"))) return 0;
	return inoci_yaml_err(n, err, "controls must be auto or none; an arm of role control is written under arms");
}

int inoci_controls_add(inoci_experiment *e, const inoci_ynode *root, inoc_err *err)
{
	const inoci_ynode *asked = inoci_yaml_get(root, "controls");
	bool used[N_FORMS][MAX_SENTENCES] = {{false}};
	int like[N_CONTROLS] = {-1};
	if (e->n_imported || (asked && asked->kind == YN_SCALAR && !strcmp(asked->s, "none"))) return 0;
	for (size_t i = 0; i < e->n_arms; i++) {
		const inoci_arm *a = &e->arms[i];
		if (!strcmp(a->role, "control")) return 0;
		if (like[0] < 0 && !strcmp(a->role, "inoculated") && a->has_inoculation && !a->swept_of) like[0] = (int)i;
	}
	if (like[0] < 0) return 0;
	like[1] = differs_most(e, like[0]);
	for (int k = 1; k <= N_CONTROLS; k++) {
		char name[32];
		snprintf(name, sizeof name, "control_auto_%d", k);
		if (inoci_experiment_arm(e, name) >= 0)
			return inoci_yaml_err(
			        asked ? asked : root, err,
			        "the plan gets a control '%s', and the file has an arm of that name: rename it, or give "
			        "controls: none",
			        name);
	}
	e->arms = inoci_realloc(e->arms, (e->n_arms + N_CONTROLS) * sizeof *e->arms);
	for (int k = 0; k < N_CONTROLS; k++) add(e, k + 1, &e->arms[like[k]], used);
	return 0;
}
