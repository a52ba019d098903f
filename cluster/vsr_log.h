/* cluster/vsr_log.h: the operation log of one group, a bounded window.
 * (1) Holds operations first..head, contiguous; empty means first == head + 1.
 * (2) At most DUN_LOG_SLOTS operations; the ring grows to that on demand.
 * (3) Each slot owns one reference to its operation. */
#ifndef DUN_CLUSTER_VSR_LOG_H
#define DUN_CLUSTER_VSR_LOG_H

#include "base/blob.h"
#include "base/limits.h"

struct vsr_entry {
    uint64_t time_ms; /* the primary's wall clock, never goes back within a log */
    struct dun_blob *op;
};

struct vsr_log {
    struct vsr_entry *slots;
    uint32_t capacity; /* 0 or a power of two */
    uint64_t first, head;
    uint64_t bytes; /* of the operations held */
};

/* Makes it empty with @head as the last operation before the window. */
void vsr_log_reset(struct vsr_log *l, uint64_t head);
void vsr_log_deinit(struct vsr_log *l);
/* Takes over the caller's reference to @op. The window must have room. */
void vsr_log_append(struct vsr_log *l, uint64_t time_ms, struct dun_blob *op);
bool vsr_log_full(const struct vsr_log *l);
/* @op in first..head. */
const struct vsr_entry *vsr_log_at(const struct vsr_log *l, uint64_t op);
void vsr_log_truncate(struct vsr_log *l, uint64_t head);    /* drops those after @head */
void vsr_log_drop_front(struct vsr_log *l, uint64_t first); /* drops those before @first */

#endif
