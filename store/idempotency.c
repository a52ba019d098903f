/* store/idempotency.c: see the header. */
#include "store/idempotency.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"

#include <sodium.h>

enum {
    EXPIRE_BATCH = 64,          /* more than an operation adds, so the table drains */
    KEY_HEAP_OVERHEAD = 16 + 8, /* malloc's, and the bucket in the table */
};

_Static_assert(DUN_KEY_MAX <= UINT8_MAX && DUN_CHANNEL_MAX <= UINT8_MAX, "lengths are bytes");

static size_t cost(const struct store_key *k)
{
    return sizeof *k + k->channel_len + k->key_len + KEY_HEAP_OVERHEAD;
}

uint64_t store_idempotency_hash(const uint8_t hash_key[16], struct dun_slice channel,
                                struct dun_slice key)
{
    uint8_t in[1 + DUN_CHANNEL_MAX + DUN_KEY_MAX];
    uint64_t out;
    _Static_assert(sizeof out == crypto_shorthash_BYTES, "one word");
    DUN_ASSERT(channel.len + key.len < sizeof in);
    in[0] = (uint8_t)channel.len; /* keeps ("ab", "c") and ("a", "bc") apart */
    memcpy(in + 1, channel.data, channel.len);
    memcpy(in + 1 + channel.len, key.data, key.len);
    crypto_shorthash((unsigned char *)&out, in, 1 + channel.len + key.len, hash_key);
    return out;
}

static void remove_oldest(struct store_idempotency *t)
{
    struct store_key *k = t->head;
    t->head = k->next;
    if (t->head == NULL) t->tail = NULL;
    t->bytes -= cost(k);
    dun_map_remove(&t->map, &k->node);
    dun_free(k);
}

void store_idempotency_deinit(struct store_idempotency *t)
{
    for (struct store_key *k = t->head, *next; k != NULL; k = next) {
        next = k->next;
        dun_free(k);
    }
    dun_map_deinit(&t->map);
    *t = (struct store_idempotency){0};
}

static bool expired(const struct store_key *k, uint64_t clock_ms)
{
    DUN_ASSERT(k->time_ms <= clock_ms);
    return clock_ms - k->time_ms >= DUN_IDEMPOTENCY_TTL_MS;
}

void store_idempotency_expire(struct store_idempotency *t, uint64_t clock_ms)
{
    for (int i = 0; i < EXPIRE_BATCH && t->head != NULL && expired(t->head, clock_ms); i++)
        remove_oldest(t);
}

struct lookup {
    struct dun_slice channel, key;
};

static bool equal(const struct dun_map_node *node, const void *key)
{
    const struct store_key *k = DUN_CONTAINER(node, struct store_key, node);
    const struct lookup *l = key;
    return dun_slice_eq(store_key_channel(k), l->channel) && dun_slice_eq(store_key_key(k), l->key);
}

const struct store_key *store_idempotency_find(struct store_idempotency *t, uint64_t hash,
                                               struct dun_slice channel, struct dun_slice key,
                                               uint64_t clock_ms)
{
    struct lookup l = {channel, key};
    struct dun_map_node *node = dun_map_find(&t->map, hash, equal, &l);
    if (node == NULL) return NULL;
    struct store_key *k = DUN_CONTAINER(node, struct store_key, node);
    if (!expired(k, clock_ms)) return k;
    while (t->head != k)
        remove_oldest(t);
    remove_oldest(t);
    return NULL;
}

bool store_idempotency_has(const struct store_idempotency *t, uint64_t hash,
                           struct dun_slice channel, struct dun_slice key)
{
    struct lookup l = {channel, key};
    return dun_map_find(&t->map, hash, equal, &l) != NULL;
}

bool store_idempotency_room(struct store_idempotency *t, uint64_t clock_ms)
{
    if (t->map.count < DUN_IDEMPOTENCY_PER_GROUP_MAX) return true;
    if (clock_ms - t->head->time_ms < DUN_IDEMPOTENCY_KEEP_MS) return false;
    remove_oldest(t);
    return true;
}

void store_idempotency_add(struct store_idempotency *t, uint64_t hash, struct dun_slice channel,
                           struct dun_slice key, uint64_t seq, uint64_t epoch, uint64_t time_ms)
{
    DUN_ASSERT(t->map.count < DUN_IDEMPOTENCY_PER_GROUP_MAX);
    DUN_ASSERT(t->tail == NULL || t->tail->time_ms <= time_ms);
    struct store_key *k = dun_malloc(sizeof *k + channel.len + key.len);
    *k = (struct store_key){.seq = seq,
                            .epoch = epoch,
                            .time_ms = time_ms,
                            .channel_len = (uint8_t)channel.len,
                            .key_len = (uint8_t)key.len};
    memcpy(k->bytes, channel.data, channel.len);
    memcpy(k->bytes + channel.len, key.data, key.len);
    dun_map_insert(&t->map, &k->node, hash);
    if (t->tail != NULL)
        t->tail->next = k;
    else
        t->head = k;
    t->tail = k;
    t->bytes += cost(k);
}
