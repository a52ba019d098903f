/* transport/codec/sha1.h: SHA-1 (FIPS 180-4).
 * Why: the WebSocket handshake (RFC 6455, section 4.2.2) is defined with it and
 * libsodium has none. It proves nothing about security there; do not use it
 * for anything else. */
#ifndef DUN_TRANSPORT_CODEC_SHA1_H
#define DUN_TRANSPORT_CODEC_SHA1_H

#include "base/slice.h"

enum { SHA1_BYTES = 20 };

void sha1(struct dun_slice in, uint8_t out[SHA1_BYTES]);

#endif
