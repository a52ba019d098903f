/* store/store.h: the replicated state: channel logs, in G groups.
 * Why: it is the cache every peer serves from and the queue every subscriber
 * reads by cursor (design 3.2, 3.3). Sans-I/O: time comes in as arguments.
 *
 * (1) A group's logical state (channels with epoch and seq, idempotency table,
 *     request windows, group epoch, clock) is a function of the operations
 *     applied, in order; store_digest() hashes exactly that.
 * (2) Within a channel and epoch seq is 1, 2, 3, ... without gap or repeat.
 * (3) Retained messages of a channel are contiguous up to its head.
 * (4) Trimming by count, age or memory removes oldest first and changes no
 *     logical state.
 * (5) After every call bytes <= max_memory or no message is retained: channels and keys are
 *     logical state, so no local budget may refuse or drop them. store_stats() tells of it.
 * store_check() asserts (2), (3) and (5).
 *
 * Threads: one writer. Other threads may call the functions marked "reader"
 * while they hold the caller's read lock of that group; the writer brackets
 * every change of a group with guard.begin/end (NULL: no other threads). */
#ifndef DUN_STORE_STORE_H
#define DUN_STORE_STORE_H

#include "store/msg.h"
#include "store/namespace.h"
#include "store/op.h"

struct store_guard {
    void (*begin)(void *ctx, uint32_t group);
    void (*end)(void *ctx, uint32_t group);
    void *ctx;
};

struct store_config {
    uint32_t group_count;                     /* 1..DUN_GROUPS_MAX */
    const struct store_namespace *namespaces; /* copied; entry "" required */
    uint32_t namespace_count;
    uint64_t max_memory;  /* bytes of retained messages, channels and keys */
    uint8_t hash_key[16]; /* keys the tables against flooding; any value */
    struct store_guard guard;
};

struct store;

dun_err store_create(struct store **out, const struct store_config *c) DUN_MUST_USE;
void store_destroy(struct store *s);

/* Group of a channel: the same on every peer (fixed hash). */
uint32_t store_group_of(struct dun_slice channel, uint32_t group_count);
const struct store_namespace *store_ns(const struct store *s,
                                       struct dun_slice channel); /* reader */

struct store_result {
    enum store_op_type type;
    dun_err err;    /* DUN_OK; DUN_E_FULL: a table of the group is at its limit, nothing published;
                     * DUN_E_STALE: repeat of a request that is already applied, nothing done */
    bool duplicate; /* the idempotency key was known: seq and epoch of the first publish */
    uint32_t origin;
    uint64_t origin_boot, request;
    uint64_t seq, epoch;
    struct store_msg *msg; /* new message, borrowed until the next writer call; NULL if none */
};

/* Applies one committed operation. Deterministic: depends on (group state, @time_ms, @op) only.
 * @time_ms  the primary's wall clock, from the log entry; never goes back within a group
 * @op       must decode (it was validated before replication); the store keeps a reference
 * A DUN_E_STALE repeat reports the position of the first application in seq and epoch when the
 * group still knows it (last DUN_INFLIGHT_MAX requests of that origin), else 0. */
void store_apply(struct store *s, uint32_t group, uint64_t time_ms, struct dun_blob *op,
                 struct store_result *out);

/* Drops retained messages past their age. Call about once a second. @now_ms wall clock. */
void store_trim(struct store *s, uint64_t now_ms);

/* Fills @out with up to STORE_DROP_MAX channels of @group that have been idle for longer than
 * their history_meta_ttl, or with the longest idle ones when the group is above 7/8 of
 * DUN_CHANNELS_PER_GROUP_MAX. false: none. Slices live until the next writer call. Looks at no
 * more than a bounded number of channels a call and goes on where it left off. */
bool store_idle(struct store *s, uint32_t group, uint64_t now_ms, struct store_op *out);

struct store_position {
    uint64_t epoch;     /* of the channel; the group's when there is no such channel yet */
    uint64_t seq;       /* head; 0 = nothing published */
    uint64_t first_seq; /* oldest retained; seq + 1 when none is retained */
    bool evicted;       /* the newest missing one went by memory pressure, not age or count */
};

/* Reader. Where a channel stands. */
struct store_position store_position(const struct store *s, uint32_t group,
                                     struct dun_slice channel);

/* Reader. Messages after @after_seq in ascending order, each with a reference for the caller.
 * @out   room for @max; *count is set
 * Errors: DUN_E_GONE  the successor of @after_seq is no longer retained; *count = 0. */
dun_err store_read(const struct store *s, uint32_t group, struct dun_slice channel,
                   uint64_t after_seq, struct store_msg **out, uint32_t max,
                   uint32_t *count) DUN_MUST_USE;

/* Snapshot of one group in msgpack, retained messages included (design 3.4). */
void store_snapshot(const struct store *s, uint32_t group, struct dun_buf *out);
/* Replaces the group by a snapshot. Errors: DUN_E_MALFORMED, DUN_E_TOO_BIG; nothing changed. */
dun_err store_restore(struct store *s, uint32_t group, struct dun_slice snapshot) DUN_MUST_USE;
/* Empties a group (a recovering peer that starts from nothing). */
void store_reset(struct store *s, uint32_t group);

uint64_t store_group_epoch(const struct store *s,
                           uint32_t group); /* reader; 0 before the first EPOCH */
/* Reader. Newest time_ms applied; 0 = none. */
uint64_t store_group_clock(const struct store *s, uint32_t group);
uint64_t store_digest(const struct store *s, uint32_t group);

struct store_stats {
    uint64_t channels, messages, bytes, keys;
    uint64_t evicted, expired; /* messages so far, by memory and by age */
    uint64_t over_bytes; /* channels and keys alone exceed max_memory by this; no history is kept */
};
void store_stats(const struct store *s, struct store_stats *out);
void store_check(const struct store *s, uint32_t group);

#endif
