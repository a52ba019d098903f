/* transport/codec/http_write.c: writing heads, and reading response bodies.
 * Apart from http.c as none of it needs http_parser's state. */
#include "base/assert.h"
#include "transport/codec/http.h"

#include <http_parser.h>

const char *http_reason(int status)
{
    switch (status) {
#define X(num, name, text) \
    case num: return #text;
        HTTP_STATUS_MAP(X)
#undef X
    default: return "Unknown";
    }
}

static void head_begin(struct dun_buf *b, int status, const char *content_type)
{
    DUN_ASSERT(status >= 100 && status <= 599);
    dun_buf_str(b, "HTTP/1.1 ");
    dun_buf_u64(b, (uint64_t)status);
    dun_buf_byte(b, ' ');
    dun_buf_str(b, http_reason(status));
    dun_buf_str(b, "\r\n");
    if (content_type != NULL) {
        dun_buf_str(b, "Content-Type: ");
        dun_buf_str(b, content_type);
        dun_buf_str(b, "\r\n");
    }
}

void http_write_response(struct dun_buf *b, int status, const char *content_type,
                         struct dun_slice body, const char *extra_headers, bool keep_alive,
                         bool head_only)
{
    bool bodiless = status < 200 || status == 204 || status == 304;
    DUN_ASSERT(!bodiless || body.len == 0);
    dun_buf_reserve(b, body.len + 256);
    head_begin(b, status, content_type);
    if (!bodiless) {
        dun_buf_str(b, "Content-Length: ");
        dun_buf_u64(b, body.len);
        dun_buf_str(b, "\r\n");
    }
    if (status >= 200) {
        dun_buf_str(b, keep_alive ? "Connection: keep-alive\r\n" : "Connection: close\r\n");
    }
    if (extra_headers != NULL) dun_buf_str(b, extra_headers);
    dun_buf_str(b, "\r\n");
    if (!head_only) dun_buf_slice(b, body);
}

void http_write_stream_head(struct dun_buf *b, int status, const char *content_type,
                            const char *extra_headers)
{
    head_begin(b, status, content_type);
    dun_buf_str(b, "Connection: close\r\n");
    if (extra_headers != NULL) dun_buf_str(b, extra_headers);
    dun_buf_str(b, "\r\n");
}

void http_write_request(struct dun_buf *b, const char *method, struct dun_slice target,
                        struct dun_slice host, const char *extra_headers, struct dun_slice body)
{
    dun_buf_reserve(b, target.len + host.len + body.len + 256);
    dun_buf_str(b, method);
    dun_buf_byte(b, ' ');
    dun_buf_slice(b, target);
    dun_buf_str(b, " HTTP/1.1\r\nHost: ");
    dun_buf_slice(b, host);
    dun_buf_str(b, "\r\n");
    if (body.len > 0 || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0) {
        dun_buf_str(b, "Content-Length: ");
        dun_buf_u64(b, body.len);
        dun_buf_str(b, "\r\n");
    }
    if (extra_headers != NULL) dun_buf_str(b, extra_headers);
    dun_buf_str(b, "\r\n");
    dun_buf_slice(b, body);
}

/* ---- response bodies ---- */

/* SIZE -> (EXT) -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE ...
 * last: SIZE_LF -> TRAILER_START -> (TRAILER -> TRAILER_LF -> TRAILER_START) -> END_LF */
enum chunk_state {
    CHUNK_SIZE,
    CHUNK_EXT,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER_START,
    CHUNK_TRAILER,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
};

enum { CHUNK_LINE_MAX = 1024 }; /* a size with its extensions, which nobody uses */

void http_body_init(struct http_body *b, const struct http_response *res)
{
    *b = (struct http_body){.kind = (uint8_t)res->body_kind, .state = CHUNK_SIZE};
    if (res->body_kind == HTTP_BODY_LENGTH) b->left = res->content_length;
    b->done =
        res->body_kind == HTTP_BODY_NONE || (res->body_kind == HTTP_BODY_LENGTH && b->left == 0);
}

static bool size_byte(struct http_body *b, uint8_t c)
{
    unsigned d;
    if (c >= '0' && c <= '9') {
        d = c - '0';
    } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
        d = (unsigned)(c | 0x20) - 'a' + 10;
    } else {
        if (b->line == 1) return false; /* no digit before it */
        if (c == '\r') {
            b->state = CHUNK_SIZE_LF;
        } else if (c == ';' || c == ' ' || c == '\t') {
            b->state = CHUNK_EXT;
        } else {
            return false;
        }
        return true;
    }
    if (b->left >> 58 != 0) return false;
    b->left = b->left * 16 + d;
    return true;
}

/* One byte of framing; false if it cannot stand here. */
static bool chunk_byte(struct http_body *b, uint8_t c)
{
    b->line++;
    switch ((enum chunk_state)b->state) {
    case CHUNK_SIZE: return size_byte(b, c) && b->line <= CHUNK_LINE_MAX;
    case CHUNK_EXT:
        if (c == '\r') b->state = CHUNK_SIZE_LF;
        return c != '\n' && c != 0 && b->line <= CHUNK_LINE_MAX;
    case CHUNK_SIZE_LF:
        b->line = 0;
        b->state = b->left == 0 ? CHUNK_TRAILER_START : CHUNK_DATA;
        return c == '\n';
    case CHUNK_DATA_CR: b->state = CHUNK_DATA_LF; return c == '\r';
    case CHUNK_DATA_LF:
        b->line = 0;
        b->state = CHUNK_SIZE;
        return c == '\n';
    case CHUNK_TRAILER_START:
        b->state = c == '\r' ? CHUNK_END_LF : CHUNK_TRAILER;
        return c != '\n' && b->line <= DUN_HTTP_HEADER_MAX;
    case CHUNK_TRAILER:
        if (c == '\r') b->state = CHUNK_TRAILER_LF;
        return c != '\n' && c != 0 && b->line <= DUN_HTTP_HEADER_MAX;
    case CHUNK_TRAILER_LF: b->state = CHUNK_TRAILER_START; return c == '\n';
    case CHUNK_END_LF: b->done = true; return c == '\n';
    case CHUNK_DATA: break;
    }
    DUN_UNREACHABLE();
}

/* Give out up to left bytes. */
static void take(struct http_body *b, const uint8_t *buf, size_t len, struct dun_slice *piece)
{
    size_t n = len < b->left ? len : (size_t)b->left;
    *piece = dun_slice(buf, n);
    b->left -= n;
}

dun_err http_body_next(struct http_body *b, const uint8_t *buf, size_t len, struct dun_slice *piece,
                       size_t *used)
{
    DUN_ASSERT(!b->done);
    *used = 0;
    *piece = (struct dun_slice){0};
    if (len == 0) return DUN_E_MORE;
    if (b->kind == HTTP_BODY_UNTIL_CLOSE) {
        *piece = dun_slice(buf, len);
        *used = len;
        return DUN_OK;
    }
    if (b->kind == HTTP_BODY_LENGTH) {
        take(b, buf, len, piece);
        *used = piece->len;
        b->done = b->left == 0;
        return DUN_OK;
    }
    for (size_t i = 0; i < len; i++) {
        if (b->state == CHUNK_DATA) {
            take(b, buf + i, len - i, piece);
            if (b->left == 0) b->state = CHUNK_DATA_CR;
            *used = i + piece->len;
            return DUN_OK;
        }
        if (!chunk_byte(b, buf[i])) return DUN_E_MALFORMED;
        *used = i + 1;
        if (b->done) return DUN_OK;
    }
    return DUN_E_MORE;
}
