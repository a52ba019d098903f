/* tests/sim/sim_queue.c: what happens next. A binary heap over (time, order of
 * insertion), so equal times replay in one order. */
#include "sim.h"

#include "base/alloc.h"

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void sim_queue_push(struct sim_queue *q, struct sim_event ev)
{
    if (q->count == q->cap) {
        q->cap = q->cap == 0 ? 256 : 2 * q->cap;
        q->heap = dun_realloc(q->heap, q->cap * sizeof *q->heap);
    }
    ev.order = q->order_next++;
    size_t i = q->count++;
    while (i > 0 && before(&ev, &q->heap[(i - 1) / 2])) {
        q->heap[i] = q->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    q->heap[i] = ev;
}

bool sim_queue_pop(struct sim_queue *q, struct sim_event *out)
{
    if (q->count == 0) return false;
    *out = q->heap[0];
    struct sim_event last = q->heap[--q->count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= q->count) break;
        if (child + 1 < q->count && before(&q->heap[child + 1], &q->heap[child])) child++;
        if (!before(&q->heap[child], &last)) break;
        q->heap[i] = q->heap[child];
        i = child;
    }
    if (q->count > 0) q->heap[i] = last;
    return true;
}

void sim_queue_deinit(struct sim_queue *q)
{
    for (size_t i = 0; i < q->count; i++)
        dun_blob_unref(q->heap[i].packet.bytes);
    dun_free(q->heap);
    *q = (struct sim_queue){0};
}
