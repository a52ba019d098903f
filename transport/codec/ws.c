/* transport/codec/ws.c: RFC 6455, section 5.2 (frames) and 5.5.1 (close). */
#include "transport/codec/ws.h"

#include "base/assert.h"
#include "transport/codec/utf8.h"

static bool opcode_known(uint8_t op)
{
    return op <= WS_BINARY || (op >= WS_CLOSE && op <= WS_PONG);
}

/* Big-endian number of n bytes. */
static uint64_t read_be(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

/* The first two bytes, each judged as soon as it is there. */
static dun_err check_start(const uint8_t *buf, size_t len, enum ws_role role)
{
    if (len < 1) return DUN_E_MORE;
    uint8_t op = buf[0] & 0x0f;
    bool fin = (buf[0] & 0x80) != 0, control = op >= WS_CLOSE;
    if ((buf[0] & 0x70) != 0 || !opcode_known(op) || (control && !fin)) return DUN_E_MALFORMED;
    if (len < 2) return DUN_E_MORE;
    bool masked = (buf[1] & 0x80) != 0;
    if (masked != (role == WS_SERVER)) return DUN_E_MALFORMED;
    if (control && (buf[1] & 0x7f) > WS_CONTROL_MAX) return DUN_E_MALFORMED;
    return DUN_OK;
}

dun_err ws_decode(const uint8_t *buf, size_t len, enum ws_role role, size_t payload_max,
                  struct ws_frame *out, size_t *used)
{
    dun_err e = check_start(buf, len, role);
    if (e != DUN_OK) return e;
    uint64_t n = buf[1] & 0x7f;
    size_t header = 2;
    if (n >= 126) {
        size_t width = n == 126 ? 2 : 8;
        if (len < 2 + width) return DUN_E_MORE;
        n = read_be(buf + 2, width);
        if (n < (width == 2 ? 126 : 65536) || n >> 63 != 0) return DUN_E_MALFORMED;
        header += width;
    }
    if (n > payload_max) return DUN_E_TOO_BIG;
    const uint8_t *mask = buf + header;
    if (role == WS_SERVER) header += 4;
    if (len < header || len - header < n) return DUN_E_MORE;
    *out = (struct ws_frame){.opcode = (enum ws_opcode)(buf[0] & 0x0f),
                             .fin = (buf[0] & 0x80) != 0,
                             .masked = role == WS_SERVER,
                             .payload = {buf + header, (size_t)n}};
    if (role == WS_SERVER) memcpy(out->mask, mask, 4);
    *used = header + (size_t)n;
    return DUN_OK;
}

void ws_mask(uint8_t *data, size_t len, const uint8_t mask[4], size_t offset)
{
    uint8_t wide[8];
    uint64_t key;
    for (size_t i = 0; i < 8; i++)
        wide[i] = mask[(offset + i) & 3];
    memcpy(&key, wide, 8);
    size_t i = 0;
    for (; len - i >= 8; i += 8) {
        uint64_t v;
        memcpy(&v, data + i, 8);
        v ^= key;
        memcpy(data + i, &v, 8);
    }
    for (; i < len; i++)
        data[i] ^= wide[i & 7];
}

size_t ws_encode_header(uint8_t out[WS_HEADER_MAX], enum ws_opcode opcode, bool fin, size_t len,
                        const uint8_t *mask)
{
    DUN_ASSERT(opcode_known((uint8_t)opcode));
    DUN_ASSERT(opcode < WS_CLOSE || (fin && len <= WS_CONTROL_MAX));
    size_t n = 2;
    uint8_t bit = mask != NULL ? 0x80 : 0;
    out[0] = (uint8_t)((fin ? 0x80 : 0) | (unsigned)opcode);
    if (len < 126) {
        out[1] = (uint8_t)(bit | len);
    } else {
        size_t width = len < 65536 ? 2 : 8;
        out[1] = bit | (width == 2 ? 126 : 127);
        for (size_t i = 0; i < width; i++) {
            out[2 + i] = (uint8_t)((uint64_t)len >> (8 * (width - 1 - i)));
        }
        n += width;
    }
    if (mask != NULL) {
        memcpy(out + n, mask, 4);
        n += 4;
    }
    DUN_ASSERT(n <= WS_HEADER_MAX);
    return n;
}

void ws_write(struct dun_buf *b, enum ws_opcode opcode, struct dun_slice payload,
              const uint8_t *mask)
{
    dun_buf_reserve(b, WS_HEADER_MAX + payload.len);
    b->len += ws_encode_header(b->data + b->len, opcode, true, payload.len, mask);
    size_t at = b->len;
    dun_buf_slice(b, payload);
    if (mask != NULL && payload.len > 0) ws_mask(b->data + at, payload.len, mask, 0);
}

void ws_write_close(struct dun_buf *b, uint16_t code, struct dun_slice reason, const uint8_t *mask)
{
    uint8_t payload[WS_CONTROL_MAX];
    if (code == WS_CLOSE_NONE) {
        ws_write(b, WS_CLOSE, (struct dun_slice){0}, mask);
        return;
    }
    DUN_ASSERT(ws_close_code_valid(code));
    DUN_ASSERT(utf8_valid(reason));
    size_t n = reason.len;
    if (n > WS_REASON_MAX) {
        n = WS_REASON_MAX;
        while (n > 0 && (reason.data[n] & 0xc0) == 0x80)
            n--;
    }
    payload[0] = (uint8_t)(code >> 8);
    payload[1] = (uint8_t)code;
    if (n > 0) memcpy(payload + 2, reason.data, n);
    ws_write(b, WS_CLOSE, dun_slice(payload, n + 2), mask);
}

bool ws_close_code_valid(uint16_t code)
{
    if (code >= 3000) return code <= 4999;
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

dun_err ws_parse_close(struct dun_slice payload, uint16_t *code, struct dun_slice *reason)
{
    if (payload.len == 0) {
        *code = WS_CLOSE_NONE;
        *reason = (struct dun_slice){0};
        return DUN_OK;
    }
    if (payload.len < 2) return DUN_E_MALFORMED;
    uint16_t c = (uint16_t)read_be(payload.data, 2);
    struct dun_slice text = {payload.data + 2, payload.len - 2};
    if (!ws_close_code_valid(c) || !utf8_valid(text)) return DUN_E_MALFORMED;
    *code = c;
    *reason = text;
    return DUN_OK;
}
