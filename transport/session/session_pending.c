/* transport/session/session_pending.c: publishes on their way to commit.
 * Why: the answer comes later, from another thread, maybe after the client has
 * gone. A cookie names a slot and its generation, so a late answer can never
 * reach a later client.
 * (1) A slot in flight is in its session's list, or has no session any more. */
#include "transport/session/session_impl.h"

struct session_pending {
    struct session *s; /* NULL: free, or its session has gone */
    uint32_t gen;      /* 24 bits */
    uint32_t tag;
    uint32_t at_ms; /* when it was sent on, modulo 2^32 */
    uint32_t group;
    uint32_t prev, next; /* index + 1 in the session's list; next also in the free list */
    bool used;
};

enum { PENDING_START = 64, PENDING_GEN_MASK = 0xffffff };

static void grow(struct session_hub *h)
{
    uint32_t cap = h->pending_cap == 0 ? PENDING_START : h->pending_cap * 2;
    h->pending = dun_realloc(h->pending, cap * sizeof *h->pending);
    for (uint32_t i = cap; i-- > h->pending_cap;) {
        h->pending[i] = (struct session_pending){.next = h->pending_free};
        h->pending_free = i + 1;
    }
    h->pending_cap = cap;
}

static void unlink_slot(struct session_hub *h, struct session_pending *p)
{
    struct session *s = p->s;
    if (p->prev != 0) {
        h->pending[p->prev - 1].next = p->next;
    } else {
        s->pending = p->next;
    }
    if (p->next != 0) h->pending[p->next - 1].prev = p->prev;
    s->pending_count--;
    p->s = NULL;
}

static void free_slot(struct session_hub *h, uint32_t index)
{
    struct session_pending *p = &h->pending[index];
    p->used = false;
    p->gen = (p->gen + 1) & PENDING_GEN_MASK;
    p->next = h->pending_free;
    h->pending_free = index + 1;
    h->pending_count--;
}

dun_err session_submit(struct session *s, uint32_t tag, const struct session_publish *pub)
{
    struct session_hub *h = s->hub;
    if (h->pending_free == 0) {
        if (h->pending_cap >= DUN_PENDING_MAX) return DUN_E_OVERLOADED;
        grow(h);
    }
    uint32_t index = h->pending_free - 1;
    struct session_pending *p = &h->pending[index];
    uint64_t cookie = (uint64_t)h->worker << 56 | (uint64_t)p->gen << 32 | index;
    dun_err e = h->ops.submit(h->ops.ctx, cookie, pub);
    if (e != DUN_OK) return e;
    h->pending_free = p->next;
    h->pending_count++;
    *p = (struct session_pending){
        .s = s,
        .gen = p->gen,
        .tag = tag,
        .at_ms = (uint32_t)h->now_ms,
        .group = store_group_of(pub->channel, h->options->group_count),
        .next = s->pending,
        .used = true,
    };
    if (s->pending != 0) h->pending[s->pending - 1].prev = index + 1;
    s->pending = index + 1;
    s->pending_count++;
    session_pace_published(s);
    return DUN_OK;
}

void session_pending_drop(struct session *s)
{
    while (s->pending != 0)
        unlink_slot(s->hub, &s->hub->pending[s->pending - 1]);
    DUN_ASSERT(s->pending_count == 0);
}

static void answer(struct session_hub *h, uint32_t index, const struct node_reply *r)
{
    struct session_pending *p = &h->pending[index];
    struct session *s = p->s;
    uint32_t tag = p->tag;
    if (s != NULL) unlink_slot(h, p);
    free_slot(h, index);
    if (r->err == DUN_OK) {
        h->published++;
        session_pace_committed(h, p->group, (uint32_t)h->now_ms - p->at_ms);
    } else {
        h->publish_errors++;
    }
    if (s != NULL && s->phase == SESSION_OPEN) s->proto->replied(s, tag, r);
}

void session_hub_replied(struct session_hub *h, const struct node_reply *r)
{
    uint32_t index = (uint32_t)r->cookie;
    uint32_t gen = (uint32_t)(r->cookie >> 32) & PENDING_GEN_MASK;
    if ((uint8_t)(r->cookie >> 56) != h->worker || index >= h->pending_cap) return;
    if (!h->pending[index].used || h->pending[index].gen != gen) return; /* answered before */
    answer(h, index, r);
}

void session_hub_fail_pending(struct session_hub *h, dun_err e)
{
    struct node_reply r = {.err = e};
    for (uint32_t i = 0; i < h->pending_cap; i++)
        if (h->pending[i].used) answer(h, i, &r);
}
