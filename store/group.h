/* store/group.h: the store's inside: groups, their tables, and who accounts for what.
 * Why: store.c, retention.c, snapshot.c, idle.c and check.c share it; nobody else may.
 *
 * Every change of a group lies between store_group_enter() and store_group_leave(), which
 * take the guard and carry the group's accounting over into the store's total. A group that
 * is built aside (store_restore) keeps its own account and joins the total when swapped in. */
#ifndef DUN_STORE_GROUP_H
#define DUN_STORE_GROUP_H

#include "store/channel.h"
#include "store/idempotency.h"
#include "store/request.h"
#include "store/store.h"

struct store_use {
    uint64_t bytes, messages, channels, keys;
};

/* Retained messages of one namespace in a group, in order of publish and so of age. */
struct store_fifo {
    struct store_msg *head, *tail;
};

struct store_group {
    uint64_t epoch;
    uint64_t epoch_floor; /* of the last EPOCH; holds for all channels without touching them */
    uint64_t clock_ms;    /* highest time of an applied operation */
    struct dun_map channels;
    struct store_channel *channel_head, *channel_tail; /* by last publish, longest idle first */
    struct store_channel *idle_cursor; /* where store_idle() goes on; NULL = at the head */
    struct store_idempotency keys;
    struct store_request *requests[DUN_VOTERS_MAX]; /* by origin; NULL until heard of */
    struct store_fifo *fifos;                       /* by namespace */
    uint64_t bytes, messages; /* of channels and messages; keys count their own */
};

/* The (group, namespace) lists by the age of their oldest message; see retention.c. */
struct store_heap {
    uint32_t *ids;  /* heap order; id = group * namespace_count + namespace */
    uint32_t *pos;  /* by id: index in ids + 1, 0 = not in the heap */
    uint64_t *keys; /* by id: never above the time of the list's head */
    uint32_t count;
};

struct store {
    uint32_t group_count, namespace_count;
    struct store_namespace *namespaces;
    uint64_t max_memory;
    uint8_t hash_key[16];
    struct store_guard guard;
    struct store_group *groups;
    struct store_heap heap;
    struct store_use total;
    uint64_t evicted, expired;
    struct store_msg *last; /* keeps the last result's message alive */
};

void store_group_init(struct store_group *g, uint32_t namespace_count);
void store_group_deinit(struct store_group *g);
struct store_use store_group_use(const struct store_group *g);

struct store_use store_group_enter(struct store *s, uint32_t group);
void store_group_leave(struct store *s, uint32_t group, struct store_use before);

uint64_t store_group_hash(const struct store *s,
                          struct dun_slice name); /* keyed; this peer's own */
struct store_channel *store_group_find(const struct store_group *g, uint64_t hash,
                                       struct dun_slice name);
/* Adds a channel, the last one in the order of publish. It must not exist. */
struct store_channel *store_group_add(const struct store *s, struct store_group *g, uint64_t hash,
                                      struct dun_slice name);
void store_group_remove(struct store_group *g, struct store_channel *c);
/* Makes @c the channel published to last. */
void store_group_touch(struct store_group *g, struct store_channel *c);

static inline uint64_t store_group_channel_epoch(const struct store_group *g,
                                                 const struct store_channel *c)
{
    return c->epoch > g->epoch_floor ? c->epoch : g->epoch_floor;
}

/* How many messages of @c this peer keeps. */
static inline uint32_t store_history_size(const struct store *s, const struct store_channel *c)
{
    if (c->ns == STORE_NS_NONE) return 0;
    const struct store_namespace *ns = &s->namespaces[c->ns];
    return store_namespace_has_history(ns) ? ns->history_size : 0;
}

#endif
