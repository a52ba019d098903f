/* transport/loop/loop.h: the threads of one peer.
 * Why: one core owns the node and writes the store (core.c says which thread
 * that is); each worker owns its connections. They share immutable messages, the store under one
 * lock per group, and nothing else; all else goes through bounded inboxes.
 *
 * Life: loop_create (binds), loop_start (threads), loop_packet and loop_lost
 * from any thread, loop_stop (graceful), loop_destroy.
 * (1) Commits of a group reach every worker in the order of its log; a worker
 *     that cannot take a batch compares all its cursors with the logs instead.
 * (2) A worker's publish gets exactly one answer. */
#ifndef DUN_TRANSPORT_LOOP_H
#define DUN_TRANSPORT_LOOP_H

#include "transport/session/session.h"

enum {
    LOOP_WORKERS_MAX = 64,
    LOOP_STOP_MS = 4500 /* the whole of a graceful stop */
};

struct loop_config {
    const char *client_listen;      /* "host:port"; port 0 picks a free one */
    uint32_t workers;               /* 1..LOOP_WORKERS_MAX */
    struct session_options session; /* what it points to must outlive the loop */
    uint32_t group_count;
    uint64_t store_memory;
    uint64_t worker_inbox_bytes; /* commits one worker has yet to deliver; beyond it its cursors are
                                  * compared with the logs instead. 0 = 64 MiB */
    const struct dun_log *log;
    void *ctx;
    /* Whoever is the core then: one thread at a time, gossip and forget always its own one. Sends a
     * packet to a peer; loss is allowed. */
    void (*send)(void *ctx, enum node_plane plane, const char *addr, const char *to_name,
                 struct dun_slice bytes);
    void (*forget)(void *ctx, const char *addr);
    void (*set_boot)(void *ctx, uint64_t boot);
    /* Fills in what the links counted. NULL: nothing to count. */
    void (*link_stats)(void *ctx, struct session_links *out);
    /* The core's own thread. The peer cannot go on (its name is taken); end the process. */
    void (*fatal)(void *ctx, const char *why);
};

struct loop;

/* Errors: DUN_E_IN_USE, DUN_E_IO, DUN_E_CONFIG; @why says which address and what to do. */
dun_err loop_create(struct loop **out, const struct loop_config *c, char *why,
                    size_t why_size) DUN_MUST_USE;
const char *loop_client_addr(const struct loop *l); /* as bound, with the real port */

/* Starts all threads. @node: store, log, boot and group_count are filled in here; its strings
 * must outlive the loop. Errors: DUN_E_CONFIG. */
dun_err loop_start(struct loop *l, const struct node_config *node, uint64_t boot, char *why,
                   size_t why_size) DUN_MUST_USE;
/* Any thread. What does not fit in is dropped: peers repeat it. */
void loop_packet(struct loop *l, enum node_plane plane, const char *from_name, uint64_t from_boot,
                 struct dun_slice bytes);
void loop_lost(struct loop *l, enum node_plane plane, const char *addr);
/* Hands primaries over, spreads the clients, leaves, ends the threads. Blocks. */
void loop_stop(struct loop *l);
void loop_destroy(struct loop *l); /* not started, or stopped */

#endif
