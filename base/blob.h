/* base/blob.h: immutable, reference-counted bytes; the only shared object.
 * Why: one message sits in the replication log, the channel log and many
 * write queues at once, on several threads, and is stored once.
 * (1) Bytes do not change after the creator has shared the blob.
 * (2) The count is atomic; the last unref frees, on whatever thread. */
#ifndef DUN_BASE_BLOB_H
#define DUN_BASE_BLOB_H

#include "base/slice.h"

#include <stdatomic.h>

struct dun_blob {
    atomic_uint refs;
    uint32_t len;
    uint8_t data[];
};

struct dun_blob *dun_blob_create(size_t len);                 /* one reference, bytes unset */
struct dun_blob *dun_blob_copy(const void *data, size_t len); /* one reference */
struct dun_blob *dun_blob_ref(struct dun_blob *b);            /* returns @b */
void dun_blob_unref(struct dun_blob *b);                      /* NULL is fine */

static inline struct dun_slice dun_blob_slice(const struct dun_blob *b)
{
    return (struct dun_slice){b->data, b->len};
}

#endif
