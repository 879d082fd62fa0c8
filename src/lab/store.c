/* The store: one SQLite file in WAL mode, and the lock of its one writer.
 *
 *   adapter(key)  <- metric, link_adapter(experiment, arm, seed)
 *      ^
 *   sample(key) -> prompt(hash)  <- link_sample(experiment, arm, seed, evaluation, prompt_no, idx), written when the
 *      ^                            evaluation is complete, with link_eval's key over all its samples
 *      |
 *   score -> scorer(key)  <- scorer_name(experiment, name)
 *
 * Invariants: keys are content hashes; an adapter row with done = 1 has its file on disk (or had); what belongs together is
 * written in one transaction.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "lab/internal.h"

#define APPLICATION_ID 0x696e6f63 /* "inoc" */

/* What hosted judges answered, by the hash of what was asked. */
#define JUDGED "CREATE TABLE judged(key TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID;"

/* What was measured while and after training (run_curves.c, analyse.c). */
#define ANALYSES                                                                                                               \
	"CREATE TABLE curve(adapter INTEGER NOT NULL REFERENCES adapter ON DELETE CASCADE, key TEXT, step INTEGER, n INTEGER," \
	" tokens INTEGER, bytes INTEGER, logprob REAL, PRIMARY KEY(adapter, key, step)) WITHOUT ROWID;"                        \
	"CREATE TABLE link_curve(experiment TEXT, arm TEXT, seed INTEGER, name TEXT, prompt INTEGER,"                          \
	" adapter INTEGER NOT NULL REFERENCES adapter ON DELETE CASCADE, key TEXT NOT NULL,"                                   \
	" PRIMARY KEY(experiment, arm, seed, name, prompt)) WITHOUT ROWID;"                                                    \
	"CREATE TABLE analysis(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"                                      \
	"CREATE TABLE link_analysis(experiment TEXT, part TEXT, arm TEXT, seed INTEGER, key TEXT NOT NULL,"                    \
	" PRIMARY KEY(experiment, part, arm, seed)) WITHOUT ROWID;"

static const char schema[] =
        "CREATE TABLE experiment(name TEXT PRIMARY KEY, path TEXT, text BLOB, sets TEXT, updated TEXT);"
        "CREATE TABLE run(id INTEGER PRIMARY KEY, experiment TEXT, started TEXT, ended TEXT, status TEXT, model_path TEXT, "
        "model_hash TEXT,"
        " template TEXT, dtype TEXT, ops TEXT, version TEXT, numerics INTEGER, request TEXT, provenance TEXT);"
        "CREATE TABLE adapter(id INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, done INTEGER NOT NULL DEFAULT 0, hash TEXT, dir "
        "TEXT,"
        " seed INTEGER, steps INTEGER, early_stopped INTEGER, seconds REAL, final_loss REAL, tokens INTEGER, n_train INTEGER, "
        "n_val INTEGER,"
        " n_dropped INTEGER, n_inoculated INTEGER, first_text TEXT, config TEXT);"
        "CREATE TABLE metric(adapter INTEGER NOT NULL REFERENCES adapter ON DELETE CASCADE, step INTEGER, steps INTEGER, lr "
        "REAL, loss REAL,"
        " grad_norm REAL, val_loss REAL, tokens INTEGER, loss_tokens INTEGER, PRIMARY KEY(adapter, step)) WITHOUT ROWID;"
        "CREATE TABLE prompt(id INTEGER PRIMARY KEY, hash TEXT UNIQUE NOT NULL, question TEXT, text TEXT, item TEXT);"
        "CREATE TABLE sample(id INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, adapter INTEGER NOT NULL REFERENCES adapter ON "
        "DELETE CASCADE,"
        " prompt INTEGER NOT NULL REFERENCES prompt, idx INTEGER, text BLOB, finish INTEGER, n_tokens INTEGER, logprob REAL, "
        "logprobs BLOB,"
        " ids BLOB);"
        "CREATE INDEX sample_adapter ON sample(adapter);"
        "CREATE TABLE scorer(id INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, settings TEXT);"
        "CREATE TABLE score(sample INTEGER NOT NULL REFERENCES sample ON DELETE CASCADE, scorer INTEGER NOT NULL REFERENCES "
        "scorer,"
        " value REAL, PRIMARY KEY(sample, scorer)) WITHOUT ROWID;"
        "CREATE TABLE link_adapter(experiment TEXT, arm TEXT, seed INTEGER, adapter INTEGER NOT NULL REFERENCES adapter ON "
        "DELETE CASCADE,"
        " PRIMARY KEY(experiment, arm, seed)) WITHOUT ROWID;"
        "CREATE TABLE link_sample(experiment TEXT, arm TEXT, seed INTEGER, evaluation TEXT, prompt_no INTEGER, idx INTEGER,"
        " sample INTEGER NOT NULL REFERENCES sample ON DELETE CASCADE, PRIMARY KEY(experiment, arm, seed, evaluation, prompt_no, "
        "idx))"
        " WITHOUT ROWID;"
        "CREATE INDEX link_sample_sample ON link_sample(sample);"
        "CREATE TABLE link_eval(experiment TEXT, arm TEXT, seed INTEGER, evaluation TEXT, key TEXT NOT NULL,"
        " PRIMARY KEY(experiment, arm, seed, evaluation)) WITHOUT ROWID;"
        "CREATE TABLE scorer_name(experiment TEXT, name TEXT, position INTEGER, scorer INTEGER NOT NULL REFERENCES scorer, "
        "evaluations TEXT,"
        " PRIMARY KEY(experiment, name)) WITHOUT ROWID;" JUDGED ANALYSES;

int inoci_store_fail(inoci_store *s, inoc_err *err, const char *doing)
{
	int code = sqlite3_extended_errcode(s->db);
	const char *hint = "";
	if ((code & 0xff) == SQLITE_FULL) hint = "; free some space and run again: what was stored is kept";
	if ((code & 0xff) == SQLITE_NOTADB || (code & 0xff) == SQLITE_CORRUPT)
		hint = "; give a store.db, or, to begin anew, move this file away (inoc run --fresh does)";
	if ((code & 0xff) == SQLITE_BUSY) hint = "; another program holds the database";
	return inoci_err_set(err, INOC_E_STORE, "%s: %s: %s%s", s->path, doing, sqlite3_errmsg(s->db), hint);
}

/* ---- statements ---- */

static int bind(sqlite3_stmt *st, const char *types, va_list ap)
{
	int rc = SQLITE_OK;
	for (int i = 1; types[i - 1] && rc == SQLITE_OK; i++) {
		double d;
		const char *t;
		const void *b;
		switch (types[i - 1]) {
		case 'i':
			rc = sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
			break;
		case 'd':
			d = va_arg(ap, double);
			rc = isnan(d) ? sqlite3_bind_null(st, i) : sqlite3_bind_double(st, i, d);
			break;
		case 's':
			t = va_arg(ap, const char *);
			rc = t ? sqlite3_bind_text(st, i, t, -1, SQLITE_TRANSIENT) : sqlite3_bind_null(st, i);
			break;
		case 'b':
			b = va_arg(ap, const void *);
			rc = sqlite3_bind_blob64(st, i, b ? b : "", va_arg(ap, size_t), SQLITE_TRANSIENT);
			break;
		default:
			INOC_BUG_IF(true);
		}
	}
	return rc;
}

static int vquery(inoci_store *s, sqlite3_stmt **out, inoc_err *err, const char *sql, const char *types, va_list ap)
{
	*out = NULL;
	if (sqlite3_prepare_v2(s->db, sql, -1, out, NULL) != SQLITE_OK || bind(*out, types, ap) != SQLITE_OK) {
		sqlite3_finalize(*out);
		*out = NULL;
		return inoci_store_fail(s, err, "a query");
	}
	return 0;
}

int inoci_store_query(inoci_store *s, sqlite3_stmt **out, inoc_err *err, const char *sql, const char *types, ...)
{
	va_list ap;
	va_start(ap, types);
	int rc = vquery(s, out, err, sql, types, ap);
	va_end(ap);
	return rc;
}

int inoci_store_step(inoci_store *s, sqlite3_stmt *st, inoc_err *err)
{
	int rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) return 1;
	if (rc == SQLITE_DONE) return 0;
	return inoci_store_fail(s, err, sqlite3_stmt_readonly(st) ? "reading" : "writing");
}

int inoci_store_exec(inoci_store *s, inoc_err *err, const char *sql, const char *types, ...)
{
	sqlite3_stmt *st;
	va_list ap;
	va_start(ap, types);
	int rc = vquery(s, &st, err, sql, types, ap);
	va_end(ap);
	if (rc < 0) return rc;
	while ((rc = inoci_store_step(s, st, err)) > 0) {}
	sqlite3_finalize(st);
	return rc;
}

int inoci_store_int(inoci_store *s, int64_t *out, inoc_err *err, const char *sql, const char *types, ...)
{
	sqlite3_stmt *st;
	va_list ap;
	va_start(ap, types);
	int rc = vquery(s, &st, err, sql, types, ap);
	va_end(ap);
	if (rc < 0) return rc;
	rc = inoci_store_step(s, st, err);
	if (rc > 0) *out = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return rc;
}

char *inoci_store_col(sqlite3_stmt *st, int col)
{
	const char *t = (const char *)sqlite3_column_text(st, col);
	return t ? inoci_strdup(t) : NULL;
}

static int simple(inoci_store *s, const char *sql, inoc_err *err)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : inoci_store_fail(s, err, "writing");
}

int inoci_store_begin(inoci_store *s, inoc_err *err)
{
	if (s->in_tx) return 0;
	int rc = simple(s, "BEGIN IMMEDIATE", err);
	if (rc < 0) return rc;
	s->in_tx = true;
	s->tx_began = inoci_now_s();
	return 0;
}

int inoci_store_commit(inoci_store *s, inoc_err *err)
{
	if (!s->in_tx) return 0;
	int rc = simple(s, "COMMIT", err);
	if (rc < 0) {
		inoci_store_rollback(s);
		return rc;
	}
	s->in_tx = false;
	return 0;
}

void inoci_store_rollback(inoci_store *s)
{
	if (!s->in_tx) return;
	s->in_tx = false;
	if (!sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

/* ---- the lock ---- */

static int take_lock(inoci_store *s, double wait_s, const inoci_progress *p, inoc_err *err)
{
	char *path = inoci_asprintf("%s.lock", s->path), *who = NULL;
	double began = inoci_now_s();
	int rc;
	while ((rc = inoci_lock_take(path, &s->lock, err)) == INOC_E_BUSY) {
		double waited = inoci_now_s() - began;
		bool first = !who;
		free(who);
		who = inoci_lock_holder(path);
		if (waited >= wait_s) {
			rc = wait_s > 0 ? inoci_err_set(err, INOC_E_BUSY,
			                                "%s is still held by another run (%s) after %.1f s of waiting", s->path,
			                                who, waited)
			                : inoci_err_set(err, INOC_E_BUSY,
			                                "%s is held by another run (%s); wait for it, or give --wait SECONDS",
			                                s->path, who);
			break;
		}
		if (first) inoci_note(p, "waiting for another run at the same store (%s)", who);
		if (inoci_stopped(p)) {
			rc = inoci_err_set(err, INOC_E_STOPPED, "stopped while waiting for %s (held by %s)", s->path, who);
			break;
		}
		nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	}
	free(path);
	free(who);
	return rc;
}

int inoci_store_set_aside(const char *path, double wait_s, const inoci_progress *p, inoc_err *err)
{
	static const char *const tails[] = {"", "-wal", "-shm"};
	inoci_store s = {.path = (char *)(uintptr_t)path};
	char *dir = inoci_path_dir(path), *now = inoci_time_iso(), *adapters = inoci_path_join(dir, "adapters");
	char *to = NULL;
	int rc;
	INOC_TRY(inoci_mkdirs(dir, err));
	INOC_TRY(take_lock(&s, wait_s, p, err));
	for (char *c = now; *c; c++)
		if (*c == ':') *c = '-';
	for (size_t i = 0; i <= INOCI_COUNT(tails); i++) {
		bool last = i == INOCI_COUNT(tails);
		char *from = last ? inoci_strdup(adapters) : inoci_asprintf("%s%s", path, tails[i]);
		free(to);
		to = last ? inoci_asprintf("%s.old-%s", adapters, now) : inoci_asprintf("%s.old-%s%s", path, now, tails[i]);
		for (int k = 2; inoci_path_exists(to) && k < 100; k++) {
			free(to);
			to = last ? inoci_asprintf("%s.old-%s-%d", adapters, now, k)
			          : inoci_asprintf("%s.old-%s-%d%s", path, now, k, tails[i]);
		}
		if (inoci_path_exists(from) && rename(from, to) < 0)
			rc = inoci_err_set(err, INOC_E_IO, "%s: cannot be moved to %s: %s", from, to, strerror(errno));
		else if ((i == 0 || last) && inoci_path_exists(to))
			inoci_note(p, "set aside: %s", to);
		free(from);
		if (rc < 0) goto out;
	}
out:
	inoci_lock_drop(s.lock);
	free(dir), free(now), free(adapters), free(to);
	return rc < 0 ? rc : 0;
}

/* ---- opening ---- */

static int upgrade(inoci_store *s, inoc_err *err)
{
	int rc = inoci_store_begin(s, err);
	if (rc == 0 && s->schema < 2)
		rc = simple(s, "ALTER TABLE run ADD COLUMN request TEXT; ALTER TABLE run ADD COLUMN provenance TEXT;", err);
	if (rc == 0)
		rc = simple(s,
		            "ALTER TABLE prompt ADD COLUMN item TEXT; ALTER TABLE scorer_name ADD COLUMN evaluations TEXT;" JUDGED
		                    ANALYSES "PRAGMA user_version=3",
		            err);
	if (rc == 0) rc = inoci_store_commit(s, err);
	if (rc < 0) inoci_store_rollback(s);
	return rc;
}

static int set_up(inoci_store *s, bool write, inoc_err *err)
{
	int64_t app = 0, version = 0, tables = 0;
	int rc;
	INOC_TRY(inoci_store_int(s, &app, err, "PRAGMA application_id", ""));
	INOC_TRY(inoci_store_int(s, &version, err, "PRAGMA user_version", ""));
	INOC_TRY(inoci_store_int(s, &tables, err, "SELECT count(*) FROM sqlite_master", ""));
	if (tables && app != APPLICATION_ID)
		return inoci_err_set(err, INOC_E_FORMAT, "%s: an SQLite file, but not a store of inoc", s->path);
	if (tables && (version < 1 || version > STORE_SCHEMA))
		return inoci_err_set(err, INOC_E_UNSUPPORTED,
		                     "%s: a store of version %lld; this program reads versions 1 to %d; to begin anew, move it "
		                     "away (inoc run --fresh does)",
		                     s->path, (long long)version, STORE_SCHEMA);
	if (!tables && !write) return inoci_err_set(err, INOC_E_STORE, "%s: the store is empty; `inoc run` fills it", s->path);
	s->schema = tables ? (int)version : STORE_SCHEMA;
	if (!write) return 0;
	INOC_TRY(simple(s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON", err));
	if (tables) {
		rc = s->schema < STORE_SCHEMA ? upgrade(s, err) : 0;
		if (rc == 0) s->schema = STORE_SCHEMA;
		return rc;
	}
	INOC_TRY(inoci_store_begin(s, err));
	char *sql = inoci_asprintf("%s PRAGMA application_id=%d; PRAGMA user_version=%d", schema, APPLICATION_ID, STORE_SCHEMA);
	rc = simple(s, sql, err);
	free(sql);
	if (rc == 0) rc = inoci_store_commit(s, err);
out:
	if (rc < 0) inoci_store_rollback(s);
	return rc < 0 ? rc : 0;
}

int inoci_store_open(const char *path, bool write, double wait_s, const inoci_progress *p, inoci_store **out, inoc_err *err)
{
	int rc = 0;
	inoci_store *s = inoci_alloc(sizeof *s);
	struct stat st;
	*out = NULL;
	s->path = inoci_strdup(path);
	if (write) {
		char *dir = inoci_path_dir(path);
		rc = inoci_mkdirs(dir, err);
		free(dir);
		INOC_TRY(rc);
		INOC_TRY(take_lock(s, wait_s, p, err));
	} else if (!inoci_path_exists(path)) {
		rc = inoci_err_set(err, INOC_E_IO, "%s: there is no such store; `inoc run` makes it", path);
		goto out;
	}
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		rc = inoci_err_set(err, INOC_E_IO, "%s: no store: %s", path, S_ISDIR(st.st_mode) ? "a folder" : "not a file");
		goto out;
	}
	int flags = write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
	if (sqlite3_open_v2(path, &s->db, flags, NULL) != SQLITE_OK) {
		rc = s->db ? inoci_store_fail(s, err, "opening")
		           : inoci_err_set(err, INOC_E_MEMORY, "%s: not enough memory", path);
		goto out;
	}
	sqlite3_busy_timeout(s->db, 10000);
	INOC_TRY(set_up(s, write, err));
	*out = s;
	s = NULL;
out:
	inoci_store_free(s);
	return rc;
}

int inoci_store_scratch(inoci_store **out, inoc_err *err)
{
	int rc;
	inoci_store *s = inoci_alloc(sizeof *s);
	*out = NULL;
	s->path = inoci_strdup(":memory:");
	if (sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK) {
		rc = s->db ? inoci_store_fail(s, err, "opening") : inoci_err_set(err, INOC_E_MEMORY, "not enough memory");
		goto out;
	}
	INOC_TRY(set_up(s, true, err));
	*out = s;
	s = NULL;
out:
	inoci_store_free(s);
	return rc;
}

void inoci_store_free(inoci_store *s)
{
	if (!s) return;
	if (s->db) inoci_store_rollback(s);
	sqlite3_close_v2(s->db);
	inoci_lock_drop(s->lock);
	free(s->path);
	free(s);
}

const char *inoci_store_path(const inoci_store *s)
{
	return s->path;
}
