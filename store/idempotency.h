/* store/idempotency.h: which (channel, key) was published lately, and where.
 * Why: a client that saw no acknowledgement repeats its publish on any peer and
 * gets the first one's position. Expiry goes by the time in the operations, so
 * the table is the same on every peer.
 * (1) Entries are in order of time; an expired one is never found.
 * (2) count <= DUN_IDEMPOTENCY_PER_GROUP_MAX. */
#ifndef DUN_STORE_IDEMPOTENCY_H
#define DUN_STORE_IDEMPOTENCY_H

#include "base/map.h"
#include "base/slice.h"

struct store_key {
    struct dun_map_node node;
    struct store_key *next; /* younger */
    uint64_t seq, epoch, time_ms;
    uint8_t channel_len, key_len;
    uint8_t bytes[]; /* channel, then key */
};

struct store_idempotency {
    struct dun_map map;
    struct store_key *head, *tail; /* oldest first */
    uint64_t bytes;                /* cost of all entries */
};

void store_idempotency_deinit(struct store_idempotency *t);
uint64_t store_idempotency_hash(const uint8_t hash_key[16], struct dun_slice channel,
                                struct dun_slice key);
/* Removes expired entries, a bounded number a call. */
void store_idempotency_expire(struct store_idempotency *t, uint64_t clock_ms);
/* The entry, or NULL. An expired entry found is removed, and all older ones with it. */
const struct store_key *store_idempotency_find(struct store_idempotency *t, uint64_t hash,
                                               struct dun_slice channel, struct dun_slice key,
                                               uint64_t clock_ms);
/* In the table, expired or not? */
bool store_idempotency_has(const struct store_idempotency *t, uint64_t hash,
                           struct dun_slice channel, struct dun_slice key);
/* Room for one more? A full table forgets its oldest entry for it, unless that is younger than
 * DUN_IDEMPOTENCY_KEEP_MS. */
bool store_idempotency_room(struct store_idempotency *t, uint64_t clock_ms);
/* Adds an entry that is not in the table; there must be room. */
void store_idempotency_add(struct store_idempotency *t, uint64_t hash, struct dun_slice channel,
                           struct dun_slice key, uint64_t seq, uint64_t epoch, uint64_t time_ms);

static inline struct dun_slice store_key_channel(const struct store_key *k)
{
    return dun_slice(k->bytes, k->channel_len);
}

static inline struct dun_slice store_key_key(const struct store_key *k)
{
    return dun_slice(k->bytes + k->channel_len, k->key_len);
}

#endif
