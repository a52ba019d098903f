/* store/retention.h: which messages stay, by count, age and memory.
 * Why: these are decisions of this peer alone and change no logical state; each
 * group has one list per namespace in order of age, so all three remove at a list's
 * head or by unlinking, in constant time. */
#ifndef DUN_STORE_RETENTION_H
#define DUN_STORE_RETENTION_H

#include "store/group.h"

/* Keeps @m, the newest of @c; takes over the caller's reference. */
void store_retention_add(struct store_group *g, struct store_channel *c, struct store_msg *m);
/* Removes the oldest message of @c; the ring keeps its size. */
void store_retention_pop(struct store_group *g, struct store_channel *c);
void store_retention_clear(struct store_group *g, struct store_channel *c);
/* Orders the lists of a group that was filled channel by channel. */
void store_retention_sort(struct store_group *g, uint32_t namespace_count);

void store_retention_init(struct store *s);
void store_retention_deinit(struct store *s);
/* Call after store_retention_add() for a group of the store. */
void store_retention_note(struct store *s, uint32_t group, uint8_t ns);
/* Call after another group was put in place of @group. */
void store_retention_replaced(struct store *s, uint32_t group);
/* Removes the oldest messages while the store is over its budget and has any. Takes guards. */
void store_retention_evict(struct store *s);
/* Asserts that eviction would find the lists of @group. */
void store_retention_check(const struct store *s, uint32_t group);

#endif
