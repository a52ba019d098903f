/* store/channel.h: one channel: where it stands, and the ring of its last messages.
 * Why: there are far more idle channels than busy ones, so a channel without
 * retained messages is one small block, and a ring is as long as it is full.
 * (1) Ring entry i holds seq first + i; the last one holds the head's.
 * (2) ring_cap is 0 (and ring NULL) or a power of two >= count.
 * store_check() asserts both. */
#ifndef DUN_STORE_CHANNEL_H
#define DUN_STORE_CHANNEL_H

#include "base/map.h"
#include "store/msg.h"

enum { STORE_NS_NONE = 0xff }; /* a namespace this peer does not know: no history */

struct store_channel {
    struct dun_map_node node;          /* in the group's table */
    struct store_channel *prev, *next; /* in the group's order of last publish */
    uint64_t epoch;                    /* see store_group_channel_epoch() */
    uint64_t seq;                      /* head */
    uint64_t active_ms;                /* group clock at the last publish */
    struct store_msg **ring;
    uint32_t ring_cap, ring_start, count;
    uint8_t ns; /* index of the namespace, or STORE_NS_NONE */
    uint8_t name_len;
    bool evicted; /* the newest missing message went by memory pressure */
    char name[];  /* NUL-terminated */
};

struct store_channel *store_channel_create(struct dun_slice name, uint8_t ns);
void store_channel_destroy(struct store_channel *c); /* must hold no message */
size_t store_channel_cost(const struct store_channel *c);

/* Appends; takes over the caller's reference. */
void store_channel_push(struct store_channel *c, struct store_msg *m);
/* Removes the oldest (there must be one) and gives its reference to the caller. */
struct store_msg *store_channel_pop(struct store_channel *c);
/* Gives memory back after pops. Apart from pop, so that a full ring is not resized per publish. */
void store_channel_fit(struct store_channel *c);

static inline struct dun_slice store_channel_name(const struct store_channel *c)
{
    return dun_slice(c->name, c->name_len);
}

static inline uint64_t store_channel_first_seq(const struct store_channel *c)
{
    return c->seq - c->count + 1;
}

/* The @i-th retained message, oldest first. */
static inline struct store_msg *store_channel_at(const struct store_channel *c, uint32_t i)
{
    return c->ring[(c->ring_start + i) & (c->ring_cap - 1)];
}

#endif
