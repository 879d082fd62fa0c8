/* Where adapters lie: adapters/<first 16 digits of the key>/, and a link ARM-seedN to it for people. Stores from before have
 * folders under the link's name; they are renamed to their content's when their link is made.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lab/internal.h"

char *inoci_run_adapter_dir(const char *key)
{
	return inoci_asprintf("adapters/%.16s", key);
}

/* Key of the stored adapter that lies in `dir`, NULL when none does. free() it. */
static int key_in(inoci_run_state *r, const char *dir, char **key, inoc_err *err)
{
	sqlite3_stmt *st;
	*key = NULL;
	int rc = inoci_store_query(r->store, &st, err, "SELECT key FROM adapter WHERE dir = ? AND done = 1", "s", dir);
	if (rc < 0) return rc;
	if ((rc = inoci_store_step(r->store, st, err)) > 0) *key = inoci_store_col(st, 0);
	sqlite3_finalize(st);
	return rc < 0 ? rc : 0;
}

/* A true folder stands where a link should: an adapter's from before moves to its place, anything else is set aside. */
static int clear_way(inoci_run_state *r, const char *home, const char *label, inoc_err *err)
{
	char *key = NULL, *dir = inoci_asprintf("adapters/%s", label), *from = inoci_path_join(home, dir), *to_dir = NULL,
	     *to = NULL;
	struct stat st;
	int rc = 0;
	if (lstat(from, &st) < 0 || !S_ISDIR(st.st_mode)) goto out;
	INOC_TRY(key_in(r, dir, &key, err));
	to_dir = key ? inoci_run_adapter_dir(key) : NULL;
	to = to_dir ? inoci_path_join(home, to_dir) : NULL;
	if (!to || inoci_path_exists(to)) {
		char *now = inoci_time_iso();
		for (char *c = now; *c; c++)
			if (*c == ':') *c = '-';
		free(to);
		to = inoci_asprintf("%s.old-%s", from, now);
		free(now);
		inoci_note(r->o->progress, "set aside: %s", to);
	}
	if (rename(from, to) < 0)
		rc = inoci_err_set(err, INOC_E_IO, "%s: cannot be moved to %s: %s", from, to, strerror(errno));
	else if (to_dir)
		rc = inoci_store_exec(r->store, err, "UPDATE adapter SET dir = ? WHERE dir = ?", "ss", to_dir, dir);
out:
	free(key), free(dir), free(from), free(to_dir), free(to);
	return rc < 0 ? rc : 0;
}

static bool links_to(const char *link, const char *target)
{
	char now[64];
	ssize_t n = readlink(link, now, sizeof now);
	return n == (ssize_t)strlen(target) && !memcmp(now, target, (size_t)n);
}

int inoci_run_link(inoci_run_state *r, const inoci_plan_item *item, inoc_err *err)
{
	char *home = inoci_path_dir(r->store_path);
	char *label = inoci_asprintf("%s-seed%llu", r->e->arms[item->arm].name, (unsigned long long)item->seed);
	char *target = inoci_asprintf("%.16s", item->key), *link = inoci_asprintf("%s/adapters/%s", home, label);
	char *tmp = inoci_asprintf("%s.tmp.%ld", link, (long)getpid());
	int rc = 0;
	if (links_to(link, target)) goto out;
	INOC_TRY(clear_way(r, home, label, err));
	unlink(tmp);
	/* a name for people: a file system without links is no reason to stop */
	if (symlink(target, tmp) < 0 || rename(tmp, link) < 0)
		inoci_note(r->o->progress, "%s: no link to %s could be made: %s", link, target, strerror(errno));
out:
	free(home), free(label), free(target), free(link), free(tmp);
	return rc < 0 ? rc : 0;
}

void inoci_run_unlink(const inoci_run_state *r, const char *arm, uint64_t seed, const char *key)
{
	char *home = inoci_path_dir(r->store_path);
	char *link = inoci_asprintf("%s/adapters/%s-seed%llu", home, arm, (unsigned long long)seed);
	char *target = inoci_asprintf("%.16s", key);
	if (links_to(link, target)) unlink(link);
	free(home), free(link), free(target);
}
