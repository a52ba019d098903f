/* store/msg.c: see the header. */
#include "store/msg.h"

#include "base/alloc.h"
#include "base/assert.h"

enum { MSG_HEAP_OVERHEAD = 2 * 16 }; /* what malloc adds to the message and to its body */

struct store_msg *store_msg_create(struct dun_slice channel, struct dun_blob *body)
{
    DUN_ASSERT(channel.len != 0);
    DUN_ASSERT(channel.len <= UINT32_MAX);
    struct store_msg *m = dun_malloc(sizeof *m + channel.len + 1);
    *m = (struct store_msg){.channel_len = (uint32_t)channel.len, .body = dun_blob_ref(body)};
    atomic_init(&m->refs, 1);
    memcpy(m->channel, channel.data, channel.len);
    m->channel[channel.len] = '\0';
    return m;
}

struct store_msg *store_msg_ref(struct store_msg *m)
{
    unsigned before = atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    DUN_ASSERT(before != 0);
    return m;
}

void store_msg_unref(struct store_msg *m)
{
    if (m == NULL) return;
    unsigned before = atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel);
    DUN_ASSERT(before != 0);
    if (before != 1) return;
    dun_blob_unref(m->body);
    dun_free(m);
}

size_t store_msg_cost(const struct store_msg *m)
{
    return sizeof *m + m->channel_len + 1 + sizeof *m->body + m->body->len + MSG_HEAP_OVERHEAD;
}
