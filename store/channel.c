/* store/channel.c: see the header. */
#include "store/channel.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"

enum {
    RING_CAP_MIN = 4,
    CHANNEL_HEAP_OVERHEAD = 16 + 8, /* malloc's, and the bucket in the table */
    RING_HEAP_OVERHEAD = 16,
};

_Static_assert(DUN_CHANNEL_MAX <= UINT8_MAX, "name_len is a byte");
_Static_assert(sizeof(struct store_channel) <= 88, "idle channels are many");

struct store_channel *store_channel_create(struct dun_slice name, uint8_t ns)
{
    DUN_ASSERT(name.len != 0);
    DUN_ASSERT(name.len <= DUN_CHANNEL_MAX);
    size_t size = offsetof(struct store_channel, name) + name.len + 1;
    if (size < sizeof(struct store_channel)) size = sizeof(struct store_channel);
    struct store_channel *c = dun_calloc(1, size);
    c->ns = ns;
    c->name_len = (uint8_t)name.len;
    memcpy(c->name, name.data, name.len);
    return c;
}

void store_channel_destroy(struct store_channel *c)
{
    DUN_ASSERT(c->count == 0);
    dun_free(c->ring);
    dun_free(c);
}

size_t store_channel_cost(const struct store_channel *c)
{
    size_t cost = sizeof *c + c->name_len + 1u + CHANNEL_HEAP_OVERHEAD;
    if (c->ring_cap != 0) cost += c->ring_cap * sizeof(struct store_msg *) + RING_HEAP_OVERHEAD;
    return cost;
}

static void resize(struct store_channel *c, uint32_t cap)
{
    DUN_ASSERT(cap >= c->count);
    DUN_ASSERT((cap & (cap - 1)) == 0);
    struct store_msg **ring = dun_malloc(cap * sizeof(struct store_msg *));
    for (uint32_t i = 0; i < c->count; i++)
        ring[i] = store_channel_at(c, i);
    dun_free(c->ring);
    c->ring = ring;
    c->ring_cap = cap;
    c->ring_start = 0;
}

void store_channel_push(struct store_channel *c, struct store_msg *m)
{
    DUN_ASSERT(c->count < DUN_HISTORY_SIZE_MAX);
    if (c->count == c->ring_cap) resize(c, c->ring_cap == 0 ? RING_CAP_MIN : c->ring_cap * 2);
    c->ring[(c->ring_start + c->count) & (c->ring_cap - 1)] = m;
    c->count++;
}

struct store_msg *store_channel_pop(struct store_channel *c)
{
    DUN_ASSERT(c->count != 0);
    struct store_msg *m = c->ring[c->ring_start];
    c->ring_start = (c->ring_start + 1) & (c->ring_cap - 1);
    c->count--;
    return m;
}

void store_channel_fit(struct store_channel *c)
{
    if (c->count == 0) {
        dun_free(c->ring);
        c->ring = NULL;
        c->ring_cap = c->ring_start = 0;
    } else if (c->ring_cap > RING_CAP_MIN && c->count <= c->ring_cap / 4) {
        resize(c, c->ring_cap / 2);
    }
}
