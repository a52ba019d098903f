/* base/prng.h: seeded chance. A generator takes its state as an argument, so a
 * simulator seed decides everything. Not for secrets. */
#ifndef DUN_BASE_PRNG_H
#define DUN_BASE_PRNG_H

#include <stdbool.h>
#include <stdint.h>

struct dun_prng {
    uint64_t s[4];
};

void dun_prng_seed(struct dun_prng *p, uint64_t seed);
uint64_t dun_prng_next(struct dun_prng *p);
uint64_t dun_prng_range(struct dun_prng *p, uint64_t min, uint64_t max); /* inclusive */
bool dun_prng_chance(struct dun_prng *p, uint32_t per_million);

#endif
