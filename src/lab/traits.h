/* traits: the shipped library of traits, and users' own (docs/traits.md). */
#ifndef INOCI_TRAITS_H
#define INOCI_TRAITS_H

#include "base/base.h"

typedef struct {
	char *id, *label; /* "language", "Languages" */
	bool exclusive;   /* an answer shows one of its traits at most */
} inoci_trait_group;
typedef struct {
	char *id, *label, *description; /* "spanish", "Spanish", "Answers are in Spanish." */
	int group;                      /* index in the library's groups */
	char **prompts;                 /* paraphrases that ask for it */
	size_t n_prompts;
	char **controls; /* about nothing that could matter, of like length and form */
	size_t n_controls;
	char **answers; /* to the library's plain questions, as an answerer gives them who shows it */
	size_t n_answers;
	json_t *scorer; /* settings of a scorer that tells an answer which shows it; NULL: none is known */
	char *file;
	int line; /* where it is defined */
	int call; /* that added it */
} inoci_scan_trait;
typedef struct {
	inoci_scan_trait *v;
	size_t n;
	inoci_trait_group *groups;
	size_t n_groups;
	char **questions; /* (n_plain) */
	char **plain;     /* (n_plain, n_variants) answers without any trait: terse ones, wordy ones, ... */
	size_t n_plain, n_variants;
	int calls; /* that added to it */
} inoci_trait_library;
/* The shipped library's folder: $INOC_TRAITS, else share/inoc/traits beside the program's file or in its prefix; INOC_E_IO when
 * there is none. free() it. */
INOCI_MUST int inoci_traits_folder(char **out, inoc_err *err);
/* Adds the traits of a file, or of a folder's *.yaml in order of name. One that an earlier call added is replaced by one of the
 * same id; two of one id in the same call, and everything that the schema forbids: INOC_E_FORMAT "FILE:LINE:COL: ...". */
INOCI_MUST int inoci_traits_add(inoci_trait_library *l, const char *path, inoc_err *err);
/* The same from bytes, as a part of this call. */
INOCI_MUST int inoci_traits_parse(inoci_trait_library *l, const char *path, const char *text, size_t n, int call, inoc_err *err);
int inoci_trait_library_find(const inoci_trait_library *l, const char *id); /* index, -1: none */
void inoci_trait_library_free(inoci_trait_library *l);

#endif
