/* store/check.c: asserts the invariants of store.h and of the parts. For tests and simulation. */
#include "base/assert.h"
#include "store/retention.h"

static uint64_t check_channel(const struct store *s, const struct store_group *g,
                              const struct store_channel *c)
{
    uint64_t bytes = store_channel_cost(c);
    DUN_ASSERT(c->seq != 0);
    DUN_ASSERT(c->count <= c->seq);
    DUN_ASSERT(c->count <= c->ring_cap);
    DUN_ASSERT(c->count <= store_history_size(s, c));
    DUN_ASSERT((c->count == 0) == (c->ring == NULL));
    DUN_ASSERT(store_group_channel_epoch(g, c) <= g->epoch);
    DUN_ASSERT(store_group_find(g, store_group_hash(s, store_channel_name(c)),
                                store_channel_name(c)) == c);
    for (uint32_t i = 0; i < c->count; i++) {
        const struct store_msg *m = store_channel_at(c, i);
        DUN_ASSERT(m->owner == c);
        DUN_ASSERT(m->seq == store_channel_first_seq(c) + i);
        DUN_ASSERT(m->prev_seq == m->seq - 1);
        DUN_ASSERT(dun_slice_eq(dun_slice(m->channel, m->channel_len), store_channel_name(c)));
        bytes += store_msg_cost(m);
    }
    return bytes;
}

void store_check(const struct store *s, uint32_t group)
{
    DUN_ASSERT(group < s->group_count);
    const struct store_group *g = &s->groups[group];
    uint64_t bytes = 0, channels = 0, keys = 0;
    const struct store_channel *prev = NULL;
    for (const struct store_channel *c = g->channel_head; c != NULL; prev = c, c = c->next) {
        DUN_ASSERT(c->prev == prev);
        DUN_ASSERT(prev == NULL || prev->active_ms <= c->active_ms);
        DUN_ASSERT(c->active_ms <= g->clock_ms);
        bytes += check_channel(s, g, c);
        channels++;
    }
    DUN_ASSERT(g->channel_tail == prev);
    DUN_ASSERT(channels == g->channels.count);
    DUN_ASSERT(channels <= DUN_CHANNELS_PER_GROUP_MAX);
    DUN_ASSERT(bytes == g->bytes);
    for (const struct store_key *k = g->keys.head; k != NULL; k = k->next)
        keys++;
    DUN_ASSERT(keys == g->keys.map.count);
    store_retention_check(s, group);

    struct store_use total = {0};
    for (uint32_t i = 0; i < s->group_count; i++) {
        struct store_use use = store_group_use(&s->groups[i]);
        total.bytes += use.bytes;
        total.messages += use.messages;
        total.channels += use.channels;
        total.keys += use.keys;
    }
    DUN_ASSERT(memcmp(&total, &s->total, sizeof total) == 0);
    DUN_ASSERT(total.bytes <= s->max_memory || total.messages == 0);
}
