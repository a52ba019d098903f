/* base/blob.c: see the header. */
#include "base/blob.h"

#include "base/alloc.h"
#include "base/assert.h"

struct dun_blob *dun_blob_create(size_t len)
{
    DUN_ASSERT(len <= UINT32_MAX);
    struct dun_blob *b = dun_malloc(sizeof *b + len);
    atomic_init(&b->refs, 1);
    b->len = (uint32_t)len;
    return b;
}

struct dun_blob *dun_blob_copy(const void *data, size_t len)
{
    struct dun_blob *b = dun_blob_create(len);
    if (len != 0) memcpy(b->data, data, len);
    return b;
}

struct dun_blob *dun_blob_ref(struct dun_blob *b)
{
    unsigned before = atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    DUN_ASSERT(before != 0);
    return b;
}

void dun_blob_unref(struct dun_blob *b)
{
    if (b == NULL) return;
    unsigned before = atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel);
    DUN_ASSERT(before != 0);
    if (before == 1) dun_free(b);
}
