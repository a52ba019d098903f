/* base/buf.c: see the header. */
#include "base/buf.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>

void dun_buf_deinit(struct dun_buf *b)
{
    dun_free(b->data);
    *b = (struct dun_buf){0};
}

void dun_buf_reserve(struct dun_buf *b, size_t extra)
{
    size_t need = b->len + extra;
    DUN_ASSERT(need >= b->len);
    if (need <= b->cap) return;
    size_t cap = b->cap < 128 ? 128 : b->cap * 2;
    if (cap < need) cap = need;
    b->data = dun_realloc(b->data, cap);
    b->cap = cap;
}

void dun_buf_add(struct dun_buf *b, const void *data, size_t len)
{
    if (len == 0) return;
    dun_buf_reserve(b, len);
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

void dun_buf_str(struct dun_buf *b, const char *s)
{
    dun_buf_add(b, s, strlen(s));
}

void dun_buf_slice(struct dun_buf *b, struct dun_slice s)
{
    dun_buf_add(b, s.data, s.len);
}

void dun_buf_byte(struct dun_buf *b, uint8_t byte)
{
    dun_buf_reserve(b, 1);
    b->data[b->len++] = byte;
}

void dun_buf_u64(struct dun_buf *b, uint64_t v)
{
    char digits[20];
    size_t n = sizeof digits;
    do {
        digits[--n] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    dun_buf_add(b, digits + n, sizeof digits - n);
}

void dun_buf_printf(struct dun_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    DUN_ASSERT(n >= 0);
    dun_buf_reserve(b, (size_t)n + 1);
    vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, again);
    va_end(again);
    b->len += (size_t)n;
}

void dun_buf_drop_front(struct dun_buf *b, size_t n)
{
    DUN_ASSERT(n <= b->len);
    b->len -= n;
    if (b->len != 0 && n != 0) memmove(b->data, b->data + n, b->len);
}
