/* transport/loop/inbox.c: see the header. A mutex and two arrays: it is held
 * for a few stores, and a batch shares its cost among all its messages. */
#include "transport/loop/inbox.h"

#include "base/alloc.h"
#include "base/assert.h"

enum { INBOX_START = 64 };

void inbox_init(struct inbox *b, uv_loop_t *loop, uv_async_cb wake, void *ctx, uint32_t item_max,
                size_t byte_max)
{
    *b = (struct inbox){.item_max = item_max, .byte_max = byte_max};
    int e = pthread_mutex_init(&b->lock, NULL);
    DUN_ASSERT(e == 0);
    e = uv_async_init(loop, &b->async, wake);
    DUN_ASSERT(e == 0);
    b->async.data = ctx;
}

void inbox_close(struct inbox *b)
{
    pthread_mutex_lock(&b->lock);
    b->closed = true;
    uv_close((uv_handle_t *)&b->async, NULL);
    pthread_mutex_unlock(&b->lock);
}

void inbox_deinit(struct inbox *b)
{
    DUN_ASSERT(b->in_count == 0);
    dun_free(b->in);
    dun_free(b->out);
    pthread_mutex_destroy(&b->lock);
}

static dun_err push(struct inbox *b, struct inbox_item item, bool force)
{
    dun_err e = DUN_OK;
    pthread_mutex_lock(&b->lock);
    if (b->closed) {
        e = DUN_E_CLOSED;
    } else if (!force && (b->in_count >= b->item_max || b->in_bytes + item.bytes > b->byte_max)) {
        e = DUN_E_FULL;
    } else {
        if (b->in_count == b->in_cap) {
            b->in_cap = b->in_cap == 0 ? INBOX_START : b->in_cap * 2;
            b->in = dun_realloc(b->in, b->in_cap * sizeof *b->in);
        }
        b->in[b->in_count++] = item;
        b->in_bytes += item.bytes;
        if (b->in_count == 1) uv_async_send(&b->async);
    }
    pthread_mutex_unlock(&b->lock);
    return e;
}

dun_err inbox_push(struct inbox *b, struct inbox_item item)
{
    return push(b, item, false);
}

dun_err inbox_force(struct inbox *b, struct inbox_item item)
{
    return push(b, item, true);
}

bool inbox_empty(struct inbox *b)
{
    pthread_mutex_lock(&b->lock);
    bool empty = b->in_count == 0;
    pthread_mutex_unlock(&b->lock);
    return empty;
}

uint32_t inbox_take(struct inbox *b, struct inbox_item **items)
{
    pthread_mutex_lock(&b->lock);
    struct inbox_item *full = b->in;
    uint32_t count = b->in_count, cap = b->in_cap;
    b->in = b->out;
    b->in_cap = b->out_cap;
    b->out = full;
    b->out_cap = cap;
    b->in_count = 0;
    b->in_bytes = 0;
    pthread_mutex_unlock(&b->lock);
    *items = full;
    return count;
}
