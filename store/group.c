/* store/group.c: see the header. */
#include "store/group.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "store/retention.h"

#include <sodium.h>

void store_group_init(struct store_group *g, uint32_t namespace_count)
{
    *g = (struct store_group){0};
    g->fifos = dun_calloc(namespace_count, sizeof *g->fifos);
}

void store_group_deinit(struct store_group *g)
{
    while (g->channel_head != NULL)
        store_group_remove(g, g->channel_head);
    DUN_ASSERT(g->messages == 0);
    DUN_ASSERT(g->bytes == 0);
    dun_map_deinit(&g->channels);
    store_idempotency_deinit(&g->keys);
    for (size_t i = 0; i < DUN_COUNT(g->requests); i++)
        dun_free(g->requests[i]);
    dun_free(g->fifos);
    *g = (struct store_group){0};
}

struct store_use store_group_use(const struct store_group *g)
{
    return (struct store_use){.bytes = g->bytes + g->keys.bytes,
                              .messages = g->messages,
                              .channels = g->channels.count,
                              .keys = g->keys.map.count};
}

struct store_use store_group_enter(struct store *s, uint32_t group)
{
    DUN_ASSERT(group < s->group_count);
    if (s->guard.begin != NULL) s->guard.begin(s->guard.ctx, group);
    return store_group_use(&s->groups[group]);
}

void store_group_leave(struct store *s, uint32_t group, struct store_use before)
{
    struct store_use now = store_group_use(&s->groups[group]);
    s->total.bytes += now.bytes - before.bytes; /* may wrap on the way, not in the sum */
    s->total.messages += now.messages - before.messages;
    s->total.channels += now.channels - before.channels;
    s->total.keys += now.keys - before.keys;
    if (s->guard.end != NULL) s->guard.end(s->guard.ctx, group);
}

uint64_t store_group_hash(const struct store *s, struct dun_slice name)
{
    uint64_t out;
    _Static_assert(sizeof out == crypto_shorthash_BYTES, "one word");
    _Static_assert(sizeof s->hash_key == crypto_shorthash_KEYBYTES, "one key");
    crypto_shorthash((unsigned char *)&out, name.data, name.len, s->hash_key);
    return out;
}

static bool has_name(const struct dun_map_node *node, const void *key)
{
    const struct store_channel *c = DUN_CONTAINER(node, struct store_channel, node);
    return dun_slice_eq(store_channel_name(c), *(const struct dun_slice *)key);
}

struct store_channel *store_group_find(const struct store_group *g, uint64_t hash,
                                       struct dun_slice name)
{
    struct dun_map_node *node = dun_map_find(&g->channels, hash, has_name, &name);
    return node == NULL ? NULL : DUN_CONTAINER(node, struct store_channel, node);
}

static void order_append(struct store_group *g, struct store_channel *c)
{
    c->prev = g->channel_tail;
    c->next = NULL;
    if (c->prev != NULL)
        c->prev->next = c;
    else
        g->channel_head = c;
    g->channel_tail = c;
}

static void order_unlink(struct store_group *g, struct store_channel *c)
{
    if (g->idle_cursor == c) g->idle_cursor = c->next;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        g->channel_head = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    else
        g->channel_tail = c->prev;
}

struct store_channel *store_group_add(const struct store *s, struct store_group *g, uint64_t hash,
                                      struct dun_slice name)
{
    const struct store_namespace *ns = store_ns(s, name);
    uint8_t index = ns == NULL ? STORE_NS_NONE : (uint8_t)(ns - s->namespaces);
    struct store_channel *c = store_channel_create(name, index);
    dun_map_insert(&g->channels, &c->node, hash);
    order_append(g, c);
    g->bytes += store_channel_cost(c);
    return c;
}

void store_group_remove(struct store_group *g, struct store_channel *c)
{
    store_retention_clear(g, c);
    g->bytes -= store_channel_cost(c);
    order_unlink(g, c);
    dun_map_remove(&g->channels, &c->node);
    store_channel_destroy(c);
}

void store_group_touch(struct store_group *g, struct store_channel *c)
{
    if (g->channel_tail == c) return;
    order_unlink(g, c);
    order_append(g, c);
}
