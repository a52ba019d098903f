/* transport/codec/ws_handshake.c: RFC 6455, section 4. */
#include "base/assert.h"
#include "transport/codec/sha1.h"
#include "transport/codec/ws.h"

#include <sodium.h>

void ws_accept_key(struct dun_slice key, char out[WS_ACCEPT_LEN + 1])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t text[WS_KEY_LEN + sizeof guid - 1], digest[SHA1_BYTES];
    DUN_ASSERT(key.len == WS_KEY_LEN);
    memcpy(text, key.data, WS_KEY_LEN);
    memcpy(text + WS_KEY_LEN, guid, sizeof guid - 1);
    sha1(dun_slice(text, sizeof text), digest);
    sodium_bin2base64(out, WS_ACCEPT_LEN + 1, digest, sizeof digest,
                      sodium_base64_VARIANT_ORIGINAL);
}

void ws_make_key(const uint8_t random[16], char out[WS_KEY_LEN + 1])
{
    sodium_bin2base64(out, WS_KEY_LEN + 1, random, 16, sodium_base64_VARIANT_ORIGINAL);
}

/* Base64 of 16 bytes? */
static bool key_valid(struct dun_slice key)
{
    uint8_t raw[16];
    size_t n = 0;
    if (key.len != WS_KEY_LEN) return false;
    return sodium_base642bin(raw, sizeof raw, (const char *)key.data, key.len, NULL, &n, NULL,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           n == sizeof raw;
}

static size_t count(const struct http_headers *h, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < h->count; i++)
        n += http_same(h->at[i].name, name);
    return n;
}

dun_err ws_check_request(const struct http_request *req, struct dun_slice *key)
{
    struct dun_slice v;
    if (!http_has_token(&req->headers, "upgrade", "websocket")) return DUN_E_UNKNOWN;
    if (!dun_slice_is(req->method, "GET") || req->minor < 1) return DUN_E_MALFORMED;
    if (!http_has_token(&req->headers, "connection", "upgrade")) return DUN_E_MALFORMED;
    if (req->content_length > 0) return DUN_E_MALFORMED; /* its bytes would pass for frames */
    if (count(&req->headers, "sec-websocket-version") != 1) return DUN_E_MALFORMED;
    if (!http_find(&req->headers, "sec-websocket-version", &v)) return DUN_E_MALFORMED;
    if (!dun_slice_is(v, "13")) return DUN_E_STALE;
    if (count(&req->headers, "sec-websocket-key") != 1) return DUN_E_MALFORMED;
    if (!http_find(&req->headers, "sec-websocket-key", &v) || !key_valid(v)) return DUN_E_MALFORMED;
    *key = v;
    return DUN_OK;
}

bool ws_offers(const struct http_request *req, const char *protocol)
{
    size_t want = strlen(protocol);
    for (size_t i = 0; i < req->headers.count; i++) {
        const struct http_header *h = &req->headers.at[i];
        if (!http_same(h->name, "sec-websocket-protocol")) continue;
        const uint8_t *p = h->value.data, *end = h->value.len > 0 ? p + h->value.len : p;
        while (p < end) {
            while (p < end && (*p == ',' || *p == ' ' || *p == '\t'))
                p++;
            const uint8_t *from = p;
            while (p < end && *p != ',' && *p != ' ' && *p != '\t')
                p++;
            if ((size_t)(p - from) == want && memcmp(from, protocol, want) == 0) return want > 0;
        }
    }
    return false;
}

void ws_write_accept(struct dun_buf *b, struct dun_slice key, const char *protocol)
{
    char accept[WS_ACCEPT_LEN + 1];
    ws_accept_key(key, accept);
    dun_buf_str(b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                   "Connection: Upgrade\r\nSec-WebSocket-Accept: ");
    dun_buf_str(b, accept);
    if (protocol != NULL) {
        dun_buf_str(b, "\r\nSec-WebSocket-Protocol: ");
        dun_buf_str(b, protocol);
    }
    dun_buf_str(b, "\r\n\r\n");
}

void ws_write_request(struct dun_buf *b, struct dun_slice host, struct dun_slice target,
                      const char *key, const char *protocol, const char *extra_headers)
{
    DUN_ASSERT(strlen(key) == WS_KEY_LEN);
    dun_buf_str(b, "GET ");
    dun_buf_slice(b, target);
    dun_buf_str(b, " HTTP/1.1\r\nHost: ");
    dun_buf_slice(b, host);
    dun_buf_str(b, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ");
    dun_buf_str(b, key);
    if (protocol != NULL) {
        dun_buf_str(b, "\r\nSec-WebSocket-Protocol: ");
        dun_buf_str(b, protocol);
    }
    dun_buf_str(b, "\r\n");
    if (extra_headers != NULL) dun_buf_str(b, extra_headers);
    dun_buf_str(b, "\r\n");
}

dun_err ws_check_response(const struct http_response *res, const char *key)
{
    char accept[WS_ACCEPT_LEN + 1];
    struct dun_slice v;
    if (res->status != 101) return DUN_E_DENIED;
    if (!http_has_token(&res->headers, "upgrade", "websocket")) return DUN_E_MALFORMED;
    if (!http_has_token(&res->headers, "connection", "upgrade")) return DUN_E_MALFORMED;
    if (http_find(&res->headers, "sec-websocket-extensions", &v)) return DUN_E_MALFORMED;
    ws_accept_key(dun_slice_str(key), accept);
    if (count(&res->headers, "sec-websocket-accept") != 1) return DUN_E_MALFORMED;
    if (!http_find(&res->headers, "sec-websocket-accept", &v)) return DUN_E_MALFORMED;
    return dun_slice_is(v, accept) ? DUN_OK : DUN_E_MALFORMED;
}
