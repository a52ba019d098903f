/* cluster/placement.c: see the header. Hashes are fixed: changing one changes
 * the placement of a running cluster. */
#include "cluster/placement.h"

#include "base/assert.h"

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t hash_name(const char *name, uint64_t seed)
{
    uint64_t h = 0xcbf29ce484222325u ^ mix(seed + 1);
    for (; *name != '\0'; name++)
        h = (h ^ (uint8_t)*name) * 0x100000001b3u;
    return mix(h);
}

void placement_order(const char *const *names, uint32_t count, uint32_t group, uint8_t *order)
{
    DUN_ASSERT(count >= 1 && count <= DUN_VOTERS_MAX);
    uint64_t weight[DUN_VOTERS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        uint64_t w = hash_name(names[i], group);
        uint32_t at = i;
        while (at > 0 && weight[at - 1] < w) { /* equal weights keep name order */
            weight[at] = weight[at - 1];
            order[at] = order[at - 1];
            at--;
        }
        weight[at] = w;
        order[at] = (uint8_t)i;
    }
}

uint64_t placement_cluster_hash(const char *const *names, uint32_t count, uint32_t group_count)
{
    uint64_t h = mix(group_count);
    for (uint32_t i = 0; i < count; i++)
        h = mix(h ^ hash_name(names[i], i));
    return h;
}
