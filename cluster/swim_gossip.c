/* cluster/swim_gossip.c: what rides on a packet, and how often.
 * Why: news spreads on packets that travel anyway; the least told news first,
 * each a bounded number of times.
 * Source: SWIM (DSN 2002), sections 3.2 and 4.1; Lifeguard (2018), section IV-C.
 * (1) tx_left starts at the limit when a claim changes and only falls after.
 * (2) Whoever is not alive in our eyes is told so in every packet that we send
 *     to it, ahead of other news, and whoever holds old news of us is told ours
 *     with the answer (buddy system). Neither is dissemination, so neither counts.
 * (3) gossip_count == members with tx_left > 0. swim_check() asserts it. */
#include "base/assert.h"
#include "cluster/swim_internal.h"

uint32_t swim_gossip_limit(uint32_t n, uint32_t mult)
{
    uint32_t bits = 0; /* ceil(log2(n + 1)): the bits that n takes */
    for (uint32_t rest = n; rest != 0; rest >>= 1)
        bits++;
    return mult * bits;
}

void swim_gossip_cancel(struct swim *s, struct swim_node *n)
{
    if (n->tx_left == 0) return;
    DUN_ASSERT(s->gossip_count > 0);
    n->tx_left = 0;
    s->gossip_count--;
}

/* Someone but ourselves and @n itself, who hears of it as a buddy. */
static bool someone_to_tell(const struct swim *s, const struct swim_node *n)
{
    uint32_t others = s->live_count - swim_up(s->self->claim.state) - swim_up(n->claim.state);
    return others > 0;
}

void swim_gossip_queue(struct swim *s, struct swim_node *n)
{
    /* What a newcomer learns is known to those who told it, and of itself it says nothing yet. */
    if (s->join != SWIM_JOIN_DONE) return;
    if (n != s->self && !someone_to_tell(s, n)) {
        swim_gossip_cancel(s, n);
        return;
    }
    if (n->tx_left == 0) s->gossip_count++;
    n->tx_left = swim_gossip_limit(s->live_count, s->config.retransmit_mult);
    DUN_ASSERT(n->tx_left > 0);
}

/* false: no room, @b is as before. */
static bool add(struct dun_buf *b, size_t room, const struct swim_node *n)
{
    size_t before = b->len;
    swim_wire_write_entry(b, n, n->claim.state == SWIM_ALIVE);
    if (b->len <= room) return true;
    b->len = before;
    return false;
}

struct news {
    struct swim_node *node;
    uint32_t tx_left, index; /* of the same age the lower index: total, so a run replays */
};

/* The least told of @news, which it leaves. */
static struct swim_node *take_least_told(struct news *news, uint32_t *count)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < *count; i++) {
        const struct news *x = &news[i], *y = &news[best];
        if (x->tx_left > y->tx_left || (x->tx_left == y->tx_left && x->index < y->index)) best = i;
    }
    struct swim_node *n = news[best].node;
    news[best] = news[--*count];
    return n;
}

/* Neither sorts nor tries all: after a join storm every member is news, and a
 * packet holds a few of them. */
static uint32_t collect_news(struct swim *s, struct dun_buf *b, size_t room, const char *to_name)
{
    struct news news[DUN_PEERS_MAX];
    uint32_t count = 0, added = 0, misses = 0;
    for (uint32_t i = 0; i < s->node_count && count < s->gossip_count; i++) {
        struct swim_node *n = s->nodes[i];
        if (n->tx_left > 0) news[count++] = (struct news){n, n->tx_left, i};
    }
    while (count > 0 && misses < SWIM_GOSSIP_MISSES_MAX) {
        struct swim_node *n = take_least_told(news, &count);
        if (strcmp(n->name, to_name) == 0) continue;
        if (n == s->self && s->tell_self) continue; /* is in already */
        if (!add(b, room, n)) {
            misses++;
            continue;
        }
        added++;
        if (--n->tx_left == 0) s->gossip_count--;
    }
    return added;
}

static uint32_t collect(struct swim *s, struct dun_buf *b, size_t room, const char *to_name)
{
    uint32_t added = 0;
    const struct swim_node *to = swim_member_get(s, dun_slice_str(to_name));
    if (to != NULL && to != s->self && to->claim.state != SWIM_ALIVE) added += add(b, room, to);
    if (s->tell_self && s->join == SWIM_JOIN_DONE) added += add(b, room, s->self);
    if (s->gossip_count > 0) added += collect_news(s, b, room, to_name);
    return added;
}

static bool carries_gossip(enum swim_packet_type type)
{
    switch (type) {
    case SWIM_PING:
    case SWIM_ACK:
    case SWIM_PING_REQ:
    case SWIM_GOSSIP: return true;
    case SWIM_NACK:
    case SWIM_PUSH_PULL:
    case SWIM_PUSH_PULL_REPLY:
    case SWIM_WHO:
    case SWIM_WHO_ACK: return false;
    }
    DUN_UNREACHABLE();
}

void swim_send(struct swim *s, const char *addr, const char *to_name, struct swim_packet *p)
{
    struct dun_buf entries = {0}, bytes = {0};
    p->from_addr = dun_slice_str(s->self->addr);
    if (carries_gossip(p->type)) {
        p->entry_count = collect(s, &entries, SWIM_PACKET_MAX - SWIM_HEADER_BYTES_MAX, to_name);
        p->entries = dun_buf_view(&entries);
    }
    if (p->type != SWIM_GOSSIP || p->entry_count > 0) {
        swim_wire_write(&bytes, p);
        if (carries_gossip(p->type)) DUN_ASSERT(bytes.len <= SWIM_PACKET_MAX);
        swim_out_packet(s, addr, to_name, bytes);
    }
    dun_buf_deinit(&entries);
}

uint32_t swim_gossip_interval_ms(const struct swim *s)
{
    uint32_t third = s->config.probe_interval_ms / 3;
    return third == 0 ? 1 : third;
}

void swim_gossip_flush(struct swim *s)
{
    if (s->gossip_count == 0 || s->now_ms < s->gossip_next_ms) return;
    if (s->join != SWIM_JOIN_DONE || s->self->claim.state == SWIM_LEFT) return;
    struct swim_node *to[SWIM_GOSSIP_FANOUT];
    uint32_t count = swim_member_pick(s, SWIM_GOSSIP_FANOUT, NULL, to);
    for (uint32_t i = 0; i < count; i++)
        swim_send(s, to[i]->addr, to[i]->name, &(struct swim_packet){.type = SWIM_GOSSIP});
    s->gossip_next_ms = s->now_ms + swim_gossip_interval_ms(s);
}
