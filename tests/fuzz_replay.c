/* Runs a fuzz target once over every file of a folder: the corpus is a regression test. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int main(int argc, char **argv)
{
	int ran = 0;
	DIR *d = argc > 1 ? opendir(argv[1]) : NULL;
	if (!d) {
		fprintf(stderr, "no corpus folder %s\n", argc > 1 ? argv[1] : "(none given)");
		return 1;
	}
	for (struct dirent *e; (e = readdir(d));) {
		char path[4096];
		if (e->d_name[0] == '.') continue;
		snprintf(path, sizeof path, "%s/%s", argv[1], e->d_name);
		FILE *f = fopen(path, "rb");
		if (!f) return 1;
		size_t cap = 1 << 24, n;
		uint8_t *buf = malloc(cap);
		n = fread(buf, 1, cap, f);
		fclose(f);
		uint8_t *exact = malloc(n ? n : 1); /* exact size, so that the sanitizer sees overreads */
		for (size_t i = 0; i < n; i++) exact[i] = buf[i];
		free(buf);
		LLVMFuzzerTestOneInput(exact, n);
		free(exact);
		ran++;
	}
	closedir(d);
	printf("%d inputs\n", ran);
	return ran ? 0 : 1;
}
