/* Counter-based random numbers (two rounds of the splitmix64 finaliser over key and counter) and SHA-256. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/base.h"

static uint64_t fin(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

uint64_t inoci_mix64(uint64_t key, uint64_t ctr)
{
	return fin(fin(ctr + 0x9e3779b97f4a7c15ull) + key * 0xda942042e4dd58b5ull + 0x9e3779b97f4a7c15ull);
}

inoci_rng inoci_rng_new(uint64_t seed, const char *purpose, uint64_t i, uint64_t j)
{
	uint64_t k = fin(seed + 0x632be59bd9b4e019ull);
	for (const char *c = purpose; *c; c++) k = inoci_mix64(k, (unsigned char)*c);
	return (inoci_rng){.key = inoci_mix64(inoci_mix64(k, i), j)};
}

uint64_t inoci_rng_u64(inoci_rng *r)
{
	return inoci_mix64(r->key, r->ctr++);
}

double inoci_rng_uniform(inoci_rng *r)
{
	return (double)(inoci_rng_u64(r) >> 11) * 0x1p-53;
}

uint32_t inoci_rng_below(inoci_rng *r, uint32_t n)
{
	INOC_BUG_IF(n == 0);
	uint32_t floor = -n % n, x;
	do x = (uint32_t)(inoci_rng_u64(r) >> 32);
	while (x < floor);
	return x % n;
}

double inoci_rng_normal(inoci_rng *r)
{
	double u = 1.0 - inoci_rng_uniform(r), v = inoci_rng_uniform(r);
	return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

void inoci_rng_shuffle(inoci_rng *r, int32_t *v, size_t n)
{
	for (size_t i = n; i > 1; i--) {
		size_t j = inoci_rng_below(r, (uint32_t)i);
		int32_t t = v[i - 1];
		v[i - 1] = v[j];
		v[j] = t;
	}
}

struct inoci_hasher {
	EVP_MD_CTX *ctx;
};

inoci_hasher *inoci_hasher_new(void)
{
	inoci_hasher *h = inoci_alloc(sizeof *h);
	h->ctx = EVP_MD_CTX_new();
	INOC_BUG_IF(!h->ctx || EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1);
	return h;
}

void inoci_hasher_add(inoci_hasher *h, const void *p, size_t n)
{
	INOC_BUG_IF(EVP_DigestUpdate(h->ctx, p, n) != 1);
}

void inoci_hasher_str(inoci_hasher *h, const char *s)
{
	uint64_t n = strlen(s);
	inoci_hasher_add(h, &n, sizeof n);
	inoci_hasher_add(h, s, n);
}

inoci_hash inoci_hasher_end(inoci_hasher *h)
{
	unsigned char d[32];
	inoci_hash out;
	INOC_BUG_IF(EVP_DigestFinal_ex(h->ctx, d, NULL) != 1);
	EVP_MD_CTX_free(h->ctx);
	free(h);
	for (int i = 0; i < 32; i++) snprintf(out.hex + 2 * i, 3, "%02x", d[i]);
	return out;
}

inoci_hash inoci_hash_bytes(const void *p, size_t n)
{
	inoci_hasher *h = inoci_hasher_new();
	inoci_hasher_add(h, p, n);
	return inoci_hasher_end(h);
}

int inoci_hash_file(const char *path, inoci_hash *out, inoc_err *err)
{
	inoci_map m;
	int rc = inoci_map_open(path, &m, err);
	if (rc < 0) return rc;
	*out = inoci_hash_bytes(m.data, m.n);
	inoci_map_close(&m);
	return 0;
}
