/* How much memory there is, and how much is used. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/base.h"

size_t inoci_rss_peak_bytes(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (size_t)u.ru_maxrss * 1024;
}

size_t inoci_rss_bytes(void)
{
	size_t all = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (!f) return 0;
	if (fscanf(f, "%zu %zu", &all, &resident) != 2) resident = 0;
	fclose(f);
	return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* The number behind `key` at the start of a line. */
static bool number_in(const char *path, const char *key, size_t *out)
{
	FILE *f = fopen(path, "r");
	char s[256], *end;
	size_t k = strlen(key);
	bool found = false;
	*out = 0;
	if (!f) return false;
	while (!found && fgets(s, sizeof s, f))
		if (!strncmp(s, key, k)) {
			*out = strtoull(s + k, &end, 10);
			found = end != s + k;
		}
	fclose(f);
	return found;
}

/* What a cgroup's folder leaves, pages of files counted as what can be had, as MemAvailable does. */
static void cgroup(const char *dir, bool v2, size_t *avail)
{
	static const char *const names[2][4] = {
	        {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache ", "total_shmem "},
	        {"memory.max", "memory.current", "file ", "shmem "}};
	char *limit = inoci_path_join(dir, names[v2][0]), *usage = inoci_path_join(dir, names[v2][1]),
	     *stat = inoci_path_join(dir, "memory.stat");
	size_t max, used, file, shared;
	if (number_in(limit, "", &max) && number_in(usage, "", &used)) {
		number_in(stat, names[v2][2], &file);
		number_in(stat, names[v2][3], &shared);
		file -= shared < file ? shared : file;
		used -= file < used ? file : used;
		size_t left = max > used ? max - used : 0;
		if (left < *avail) *avail = left;
	}
	free(limit), free(usage), free(stat);
}

/* The limits of the process's cgroup and of all above it; in a container these are at the root of what is mounted. */
static void cgroups(size_t *avail)
{
	FILE *f = fopen("/proc/self/cgroup", "r");
	char line[4096];
	cgroup("/sys/fs/cgroup", true, avail);
	cgroup("/sys/fs/cgroup/memory", false, avail);
	while (f && fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = 0;
		char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
		if (!path || path[1] != '/') continue;
		*path++ = 0;
		bool v2 = !names[1], v1 = strstr(names + 1, "memory") != NULL;
		for (size_t n = strlen(path); (v2 || v1) && n > 1; n = strlen(path)) {
			char *dir = inoci_asprintf("/sys/fs/cgroup%s%s", v2 ? "" : "/memory", path);
			cgroup(dir, v2, avail);
			free(dir);
			*strrchr(path, '/') = 0;
		}
	}
	if (f) fclose(f);
}

size_t inoci_mem_available_bytes(void)
{
	return inoci_mem_available_beside(0);
}

size_t inoci_mem_available_beside(size_t mapped)
{
	size_t avail, used;
	avail = number_in("/proc/meminfo", "MemAvailable:", &avail) ? avail * 1024 : SIZE_MAX;
	cgroups(&avail);
	avail -= mapped < avail ? mapped : avail; /* of an address space it is in what is used */
	struct rlimit r;
	if (getrlimit(RLIMIT_AS, &r) == 0 && r.rlim_cur != RLIM_INFINITY && number_in("/proc/self/status", "VmSize:", &used)) {
		size_t left = r.rlim_cur > used * 1024 ? r.rlim_cur - used * 1024 : 0;
		if (left < avail) avail = left;
	}
	return avail;
}
