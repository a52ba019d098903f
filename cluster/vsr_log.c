/* cluster/vsr_log.c: see the header. */
#include "cluster/vsr_log.h"

#include "base/alloc.h"
#include "base/assert.h"

enum { LOG_CAPACITY_MIN = 16 };

static struct vsr_entry *slot(const struct vsr_log *l, uint64_t op)
{
    return &l->slots[op & (l->capacity - 1)];
}

static uint64_t count(const struct vsr_log *l)
{
    return l->head + 1 - l->first;
}

void vsr_log_reset(struct vsr_log *l, uint64_t head)
{
    if (l->first != 0) vsr_log_truncate(l, l->first - 1);
    l->first = head + 1;
    l->head = head;
    DUN_ASSERT(l->bytes == 0);
}

void vsr_log_deinit(struct vsr_log *l)
{
    vsr_log_reset(l, 0);
    dun_free(l->slots);
    *l = (struct vsr_log){0};
}

static void grow(struct vsr_log *l)
{
    struct vsr_log old = *l;
    l->capacity = old.capacity == 0 ? LOG_CAPACITY_MIN : old.capacity * 2;
    DUN_ASSERT(l->capacity <= DUN_LOG_SLOTS);
    l->slots = dun_calloc(l->capacity, sizeof *l->slots);
    for (uint64_t op = old.first; op <= old.head; op++)
        *slot(l, op) = *slot(&old, op);
    dun_free(old.slots);
}

bool vsr_log_full(const struct vsr_log *l)
{
    return count(l) >= DUN_LOG_SLOTS;
}

void vsr_log_append(struct vsr_log *l, uint64_t time_ms, struct dun_blob *op)
{
    DUN_ASSERT(!vsr_log_full(l));
    if (count(l) == l->capacity) grow(l);
    l->head++;
    *slot(l, l->head) = (struct vsr_entry){time_ms, op};
    l->bytes += op->len;
}

const struct vsr_entry *vsr_log_at(const struct vsr_log *l, uint64_t op)
{
    DUN_ASSERT(op >= l->first);
    DUN_ASSERT(op <= l->head);
    return slot(l, op);
}

void vsr_log_truncate(struct vsr_log *l, uint64_t head)
{
    DUN_ASSERT(head + 1 >= l->first);
    for (; l->head > head; l->head--) {
        struct vsr_entry *e = slot(l, l->head);
        l->bytes -= e->op->len;
        dun_blob_unref(e->op);
        e->op = NULL;
    }
}

void vsr_log_drop_front(struct vsr_log *l, uint64_t first)
{
    DUN_ASSERT(first <= l->head + 1);
    for (; l->first < first; l->first++) {
        struct vsr_entry *e = slot(l, l->first);
        l->bytes -= e->op->len;
        dun_blob_unref(e->op);
        e->op = NULL;
    }
}
