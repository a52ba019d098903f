/* base/prng.c: xoshiro256** (Blackman, Vigna 2018), seeded through splitmix64. */
#include "base/prng.h"

#include "base/assert.h"

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void dun_prng_seed(struct dun_prng *p, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15u;
        uint64_t z = seed;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        p->s[i] = z ^ (z >> 31);
    }
}

uint64_t dun_prng_next(struct dun_prng *p)
{
    uint64_t *s = p->s;
    uint64_t out = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

uint64_t dun_prng_range(struct dun_prng *p, uint64_t min, uint64_t max)
{
    DUN_ASSERT(min <= max);
    uint64_t span = max - min + 1;
    return span == 0 ? dun_prng_next(p) : min + dun_prng_next(p) % span;
}

bool dun_prng_chance(struct dun_prng *p, uint32_t per_million)
{
    return dun_prng_next(p) % 1000000 < per_million;
}
