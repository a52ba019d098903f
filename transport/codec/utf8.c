/* transport/codec/utf8.c: well-formed byte sequences, after table 3-7 of the
 * Unicode Standard: the second byte's range depends on the first. */
#include "transport/codec/utf8.h"

#include "base/assert.h"

size_t utf8_char(const uint8_t *p, size_t len)
{
    DUN_ASSERT(len > 0);
    uint8_t c = p[0], lo = 0x80, hi = 0xbf;
    size_t need;
    if (c < 0x80) return 1;
    if (c < 0xc2) return 0; /* a continuation byte, or an overlong form */
    if (c < 0xe0) {
        need = 2;
    } else if (c < 0xf0) {
        need = 3;
        if (c == 0xe0) lo = 0xa0; /* overlong below */
        if (c == 0xed) hi = 0x9f; /* surrogates above */
    } else if (c < 0xf5) {
        need = 4;
        if (c == 0xf0) lo = 0x90; /* overlong below */
        if (c == 0xf4) hi = 0x8f; /* over U+10FFFF above */
    } else {
        return 0;
    }
    if (len < need || p[1] < lo || p[1] > hi) return 0;
    for (size_t i = 2; i < need; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
    }
    return need;
}

bool utf8_valid(struct dun_slice text)
{
    for (size_t i = 0; i < text.len;) {
        size_t n = utf8_char(text.data + i, text.len - i);
        if (n == 0) return false;
        i += n;
    }
    return true;
}

size_t utf8_encode(uint32_t cp, uint8_t out[4])
{
    DUN_ASSERT(cp <= 0x10ffff);
    DUN_ASSERT(cp < 0xd800 || cp > 0xdfff);
    if (cp < 0x80) {
        out[0] = (uint8_t)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (uint8_t)(0xc0 | (cp >> 6));
        out[1] = (uint8_t)(0x80 | (cp & 0x3f));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (uint8_t)(0xe0 | (cp >> 12));
        out[1] = (uint8_t)(0x80 | ((cp >> 6) & 0x3f));
        out[2] = (uint8_t)(0x80 | (cp & 0x3f));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | (cp >> 18));
    out[1] = (uint8_t)(0x80 | ((cp >> 12) & 0x3f));
    out[2] = (uint8_t)(0x80 | ((cp >> 6) & 0x3f));
    out[3] = (uint8_t)(0x80 | (cp & 0x3f));
    return 4;
}
