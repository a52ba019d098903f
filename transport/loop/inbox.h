/* transport/loop/inbox.h: a bounded queue into one loop thread.
 * Why: threads hand over whole batches; the receiver takes all of them in one
 * swap, and is woken once per batch, not per message.
 * (1) Items come out in the order in which they went in.
 * (2) At most item_max items and byte_max bytes wait; what may not be lost is
 *     forced in by senders that have a bound of their own.
 * (3) Waking happens inside the lock, so that it cannot race with the close. */
#ifndef DUN_TRANSPORT_LOOP_INBOX_H
#define DUN_TRANSPORT_LOOP_INBOX_H

#include "base/err.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct inbox_item {
    uint32_t type, arg;
    void *ptr; /* owned by whoever holds the item */
    size_t bytes;
};

struct inbox {
    pthread_mutex_t lock;
    struct inbox_item *in, *out; /* senders' side, receiver's side */
    uint32_t in_count, in_cap, out_cap, item_max;
    size_t in_bytes, byte_max;
    bool closed;
    uv_async_t async;
};

/* @wake runs on @loop's thread; async.data is @ctx. */
void inbox_init(struct inbox *b, uv_loop_t *loop, uv_async_cb wake, void *ctx, uint32_t item_max,
                size_t byte_max);
/* Receiver's thread: nothing more goes in; closes the handle. Take what is left first or after. */
void inbox_close(struct inbox *b);
/* After the loop has run its close callbacks. Must be empty. */
void inbox_deinit(struct inbox *b);

/* Any thread. Errors: DUN_E_FULL, DUN_E_CLOSED; the caller still owns the item. */
dun_err inbox_push(struct inbox *b, struct inbox_item item) DUN_MUST_USE;
/* The same without the bounds. Errors: DUN_E_CLOSED. */
dun_err inbox_force(struct inbox *b, struct inbox_item item) DUN_MUST_USE;
bool inbox_empty(struct inbox *b); /* any thread; at this moment */
/* Receiver's thread: all items; valid until the next call. */
uint32_t inbox_take(struct inbox *b, struct inbox_item **items);

#endif
