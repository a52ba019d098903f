/* base/buf.h: a growing byte buffer to encode into.
 * Why: encoders write once, without a sizing pass. Growth has no limit of its
 * own: what is written is bounded by the limits on what came in. */
#ifndef DUN_BASE_BUF_H
#define DUN_BASE_BUF_H

#include "base/slice.h"

struct dun_buf {
    uint8_t *data;
    size_t len, cap;
};

/* Zero-initialise a dun_buf to start; deinit frees and makes it empty again. */
void dun_buf_deinit(struct dun_buf *b);
void dun_buf_reserve(struct dun_buf *b, size_t extra);
void dun_buf_add(struct dun_buf *b, const void *data, size_t len);
void dun_buf_str(struct dun_buf *b, const char *s);
void dun_buf_slice(struct dun_buf *b, struct dun_slice s);
void dun_buf_byte(struct dun_buf *b, uint8_t byte);
void dun_buf_u64(struct dun_buf *b, uint64_t v); /* decimal digits */
void dun_buf_printf(struct dun_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void dun_buf_drop_front(struct dun_buf *b, size_t n); /* keeps capacity */

static inline struct dun_slice dun_buf_view(const struct dun_buf *b)
{
    return (struct dun_slice){b->data, b->len};
}

#endif
