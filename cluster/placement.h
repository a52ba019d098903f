/* cluster/placement.h: which voter leads which group.
 * Why: every peer computes the same order from the voters' names alone, and
 * primaries spread evenly (rendezvous hashing). */
#ifndef DUN_CLUSTER_PLACEMENT_H
#define DUN_CLUSTER_PLACEMENT_H

#include "base/limits.h"

#include <stdint.h>

/* Fills @order[count] with the voter indices of @group, most preferred first.
 * @names sorted, distinct. */
void placement_order(const char *const *names, uint32_t count, uint32_t group, uint8_t *order);
/* One number that says "the same voters and the same number of groups". */
uint64_t placement_cluster_hash(const char *const *names, uint32_t count, uint32_t group_count);

#endif
