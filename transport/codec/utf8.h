/* transport/codec/utf8.h: is this text UTF-8?
 * Why: JSON text, WebSocket text and close reasons, and decoded URLs all end
 * up inside JSON that is sent to others; one bad byte would make a subscriber
 * drop its connection. */
#ifndef DUN_TRANSPORT_CODEC_UTF8_H
#define DUN_TRANSPORT_CODEC_UTF8_H

#include "base/slice.h"

/* True for well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates,
 * nothing above U+10FFFF, no cut character at the end. Empty is valid. */
bool utf8_valid(struct dun_slice text);

/* Length of the well-formed character at @p, which has @len > 0 bytes behind
 * it; 0 when it is malformed or cut. */
size_t utf8_char(const uint8_t *p, size_t len);

/* Write code point @cp (not a surrogate, at most U+10FFFF); returns 1..4. */
size_t utf8_encode(uint32_t cp, uint8_t out[4]);

#endif
