/* transport/codec/ws.h: WebSocket frames and handshake (RFC 6455).
 * Why our own and not wslay: its context keeps 4 KiB per connection, more than
 * the memory budget of a whole idle connection. This codec keeps nothing
 * between calls: it reads a contiguous buffer and either has a whole frame or
 * asks for more.
 * Messages in fragments are put together by the caller: a TEXT or BINARY frame
 * without fin, then CONTINUATION frames up to one with fin; control frames may
 * come between. The caller refuses a CONTINUATION that continues nothing and a
 * new TEXT/BINARY inside a message (close 1002), limits the sum (1009), and
 * checks a whole text message with utf8_valid (1007). Extensions are not
 * negotiated, so any RSV bit is refused. */
#ifndef DUN_TRANSPORT_CODEC_WS_H
#define DUN_TRANSPORT_CODEC_WS_H

#include "transport/codec/http.h"

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10,
};

/* Who is reading: a server's peer must mask, a client's peer must not. */
enum ws_role { WS_SERVER, WS_CLIENT };

/* Close codes of RFC 6455, section 7.4.1, that we send. */
enum {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_UNSUPPORTED = 1003,
    WS_CLOSE_NONE = 1005, /* never sent: stands for "no code given" */
    WS_CLOSE_NOT_UTF8 = 1007,
    WS_CLOSE_TOO_BIG = 1009,
};

enum {
    WS_HEADER_MAX = 14,   /* 2 + 8 length + 4 mask */
    WS_CONTROL_MAX = 125, /* payload of a control frame */
    WS_REASON_MAX = 123,  /* reason of a close frame */
    WS_KEY_LEN = 24,      /* base64 of 16 random bytes */
    WS_ACCEPT_LEN = 28,   /* base64 of a SHA-1 */
};

struct ws_frame {
    enum ws_opcode opcode;
    bool fin, masked;
    uint8_t mask[4];
    struct dun_slice payload; /* points into the buffer, STILL MASKED if masked */
};

/* Decode the frame at the front of @buf.
 * DUN_OK: *out and *used (header and payload). DUN_E_MORE: not whole yet.
 * DUN_E_TOO_BIG: payload over @payload_max; known as soon as the header is
 *   there, answer with close 1009. DUN_E_MALFORMED: RSV bit, reserved opcode,
 *   wrong masking for @role, fragmented or long control frame, length not in
 *   its shortest form or with its top bit set; answer with close 1002. All of
 *   it is found on the first bytes that show it. */
DUN_MUST_USE dun_err ws_decode(const uint8_t *buf, size_t len, enum ws_role role,
                               size_t payload_max, struct ws_frame *out, size_t *used);

/* XOR @data with @mask in place; the same masks and unmasks. @offset: where
 * @data starts in the payload (for pieces), 0 for a whole one. */
void ws_mask(uint8_t *data, size_t len, const uint8_t mask[4], size_t offset);

/* Encode a frame header; returns its length. @mask NULL: not masked (server). */
size_t ws_encode_header(uint8_t out[WS_HEADER_MAX], enum ws_opcode opcode, bool fin, size_t len,
                        const uint8_t *mask);
/* Append a whole frame. */
void ws_write(struct dun_buf *b, enum ws_opcode opcode, struct dun_slice payload,
              const uint8_t *mask);
/* Append a close frame. @code WS_CLOSE_NONE: empty payload. @reason is cut to
 * WS_REASON_MAX at a character's edge. */
void ws_write_close(struct dun_buf *b, uint16_t code, struct dun_slice reason, const uint8_t *mask);

/* May this code stand in a close frame? 1000-1003, 1007-1014, 3000-4999. */
bool ws_close_code_valid(uint16_t code);
/* Parse an unmasked close payload. Empty: WS_CLOSE_NONE and no reason.
 * Errors: DUN_E_MALFORMED one byte, bad code, reason not UTF-8. */
DUN_MUST_USE dun_err ws_parse_close(struct dun_slice payload, uint16_t *code,
                                    struct dun_slice *reason);

/* ---- handshake ---- */

/* Sec-WebSocket-Accept for @key; NUL-terminated. */
void ws_accept_key(struct dun_slice key, char out[WS_ACCEPT_LEN + 1]);
/* A client's key from 16 random bytes; NUL-terminated. */
void ws_make_key(const uint8_t random[16], char out[WS_KEY_LEN + 1]);

/* Is @req a WebSocket handshake (GET, HTTP/1.1, Upgrade: websocket, Connection:
 * upgrade, version 13, a 16-byte key)? *key borrows from @req.
 * Errors: DUN_E_UNKNOWN no Upgrade to websocket at all (treat as plain HTTP);
 * DUN_E_STALE another version (answer 426 with Sec-WebSocket-Version: 13);
 * DUN_E_MALFORMED anything else (400). */
DUN_MUST_USE dun_err ws_check_request(const struct http_request *req, struct dun_slice *key);
/* Did the client offer this subprotocol (exact case)? An empty header offers
 * none. */
bool ws_offers(const struct http_request *req, const char *protocol);
/* Append the 101 answer; @protocol NULL: none chosen. */
void ws_write_accept(struct dun_buf *b, struct dun_slice key, const char *protocol);

/* Client: append the request; @target as "/path?query", @extra_headers NULL or
 * CRLF-ended lines. */
void ws_write_request(struct dun_buf *b, struct dun_slice host, struct dun_slice target,
                      const char *key, const char *protocol, const char *extra_headers);
/* Client: is @res the right answer to @key? DUN_E_DENIED: not a 101;
 * DUN_E_MALFORMED: a 101 that does not match. */
DUN_MUST_USE dun_err ws_check_response(const struct http_response *res, const char *key);

#endif
