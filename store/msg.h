/* store/msg.h: one published message, immutable and reference-counted.
 * Why: the channel log, the commit batches and slow readers on several threads
 * share it; the payload is stored once, inside the operation that carried it. */
#ifndef DUN_STORE_MSG_H
#define DUN_STORE_MSG_H

#include "base/blob.h"

struct store_msg {
    atomic_uint refs;
    uint32_t channel_len;
    uint64_t seq;      /* 1, 2, 3, ... within (channel, epoch chain) */
    uint64_t prev_seq; /* of the message before it in the channel */
    uint64_t epoch;
    uint64_t time_ms;                  /* the primary's wall clock */
    struct dun_slice data, tags, info; /* point into body */
    struct dun_blob *body;
    /* The store's retention; its writer only. */
    struct store_msg *fifo_next, *fifo_prev; /* older messages come first */
    struct store_channel *owner;             /* whose ring holds it; NULL when not retained */
    char channel[];                          /* channel_len bytes, NUL-terminated */
};

/* One reference. @m's slices lie inside @body, of which it takes a reference of its own. */
struct store_msg *store_msg_create(struct dun_slice channel, struct dun_blob *body);
struct store_msg *store_msg_ref(struct store_msg *m);
void store_msg_unref(struct store_msg *m); /* NULL is fine; any thread */
/* Bytes it accounts for in the memory budget. */
size_t store_msg_cost(const struct store_msg *m);

#endif
