/* base/slice.h: borrowed bytes. Whoever hands one out says how long it lives;
 * unsaid, until the callee returns. */
#ifndef DUN_BASE_SLICE_H
#define DUN_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct dun_slice {
    const uint8_t *data;
    size_t len;
};

static inline struct dun_slice dun_slice(const void *data, size_t len)
{
    return (struct dun_slice){data, len};
}

static inline struct dun_slice dun_slice_str(const char *s)
{
    return (struct dun_slice){(const uint8_t *)s, strlen(s)};
}

static inline bool dun_slice_eq(struct dun_slice a, struct dun_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool dun_slice_is(struct dun_slice a, const char *s)
{
    return dun_slice_eq(a, dun_slice_str(s));
}

#endif
