/* transport/codec/http.c: request and response heads.
 * (1) The head is looked at byte by byte once, as it arrives (find_head), and
 *     given to http_parser when whole: at most twice, whatever the pieces.
 * (2) http_parser gets exactly the head's bytes, never the body, so there is
 *     one opinion on where the body ends: ours.
 * (3) Its callbacks only note slices. No pointer of it outlives the call. */
#include "transport/codec/http.h"

#include "base/assert.h"
#include "transport/codec/utf8.h"

#include <http_parser.h>
#include <strings.h>

struct head { /* what the callbacks collect */
    struct http_headers *headers;
    struct dun_slice url;
    bool complete, overflow, keep_alive, upgrade;
};

static dun_err refuse(struct http_reader *r, dun_err e, int status)
{
    r->status = (uint16_t)status;
    return e;
}

static dun_err bad(struct http_reader *r)
{
    return refuse(r, DUN_E_MALFORMED, HTTP_STATUS_BAD_REQUEST);
}

/* ---- finding the end of the head ---- */

/* A wrong first byte is refused at once, so TLS or other noise does not wait
 * for a timeout. */
static dun_err find_head(struct http_reader *r, const uint8_t *buf, size_t len, bool response)
{
    for (size_t i = r->scanned; i < len; i++) {
        uint8_t c = buf[i], prev = i > r->start ? buf[i - 1] : 0;
        if (i - r->start >= DUN_HTTP_HEADER_MAX) {
            return refuse(r, DUN_E_TOO_BIG, HTTP_STATUS_REQUEST_HEADER_FIELDS_TOO_LARGE);
        }
        if (i == r->start && c != '\r' && (response ? c != 'H' : c < 'A' || c > 'Z')) return bad(r);
        if (c == 0 || (c == '\n') != (prev == '\r')) return bad(r);
        if ((c == ' ' || c == '\t') && prev == '\n') return bad(r); /* folded line */
        if (c != '\n') continue;
        if (i == r->start + 1) { /* an empty line first: one is tolerated (RFC 9112, 2.2) */
            if (r->start > 0) return bad(r);
            r->start = 2;
        } else if (buf[i - 2] == '\n') {
            r->head_len = (uint32_t)(i + 1);
            return DUN_OK;
        }
    }
    r->scanned = (uint32_t)len;
    return DUN_E_MORE;
}

/* ---- http_parser's callbacks ---- */

static struct dun_slice joined(struct dun_slice s, const char *at, size_t len)
{
    if (s.data != NULL && s.data + s.len == (const uint8_t *)at)
        return dun_slice(s.data, s.len + len);
    return dun_slice(at, len);
}

static int on_url(http_parser *p, const char *at, size_t len)
{
    struct head *h = p->data;
    h->url = joined(h->url, at, len);
    return 0;
}

static int on_field(http_parser *p, const char *at, size_t len)
{
    struct head *h = p->data;
    struct http_headers *t = h->headers;
    struct http_header *last = t->count > 0 ? &t->at[t->count - 1] : NULL;
    if (last != NULL && last->name.data + last->name.len == (const uint8_t *)at) {
        last->name.len += len; /* the same name, given in pieces */
        return 0;
    }
    if (t->count == DUN_HTTP_HEADERS_MAX) {
        h->overflow = true;
        return 1;
    }
    t->at[t->count++] = (struct http_header){.name = dun_slice(at, len)};
    return 0;
}

static int on_value(http_parser *p, const char *at, size_t len)
{
    struct head *h = p->data;
    DUN_ASSERT(h->headers->count > 0);
    struct http_header *last = &h->headers->at[h->headers->count - 1];
    last->value = joined(last->value, at, len);
    return 0;
}

static int on_complete(http_parser *p)
{
    struct head *h = p->data;
    h->complete = true;
    h->keep_alive = http_should_keep_alive(p) != 0;
    h->upgrade = p->upgrade != 0;
    return 0;
}

/* ---- what both kinds of head share ---- */

static bool is_token(uint8_t c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
    return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static struct dun_slice trim(struct dun_slice s)
{
    while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t'))
        s.data++, s.len--;
    while (s.len > 0 && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static bool headers_clean(struct http_headers *t)
{
    for (size_t i = 0; i < t->count; i++) {
        struct http_header *h = &t->at[i];
        if (h->name.len == 0) return false;
        for (size_t k = 0; k < h->name.len; k++) {
            if (!is_token(h->name.data[k])) return false;
        }
        for (size_t k = 0; k < h->value.len; k++) {
            uint8_t c = h->value.data[k];
            if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
        }
        h->value = trim(h->value);
    }
    return true;
}

static size_t header_count(const struct http_headers *t, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < t->count; i++)
        n += http_same(t->at[i].name, name);
    return n;
}

/* *out = the one Content-Length, 0 if there is none. False: several or bad. */
static bool content_length(const struct http_headers *t, uint64_t *out)
{
    struct dun_slice v;
    *out = 0;
    size_t n = header_count(t, "content-length");
    if (n == 0) return true;
    if (n > 1 || !http_find(t, "content-length", &v) || v.len == 0 || v.len > 18) return false;
    for (size_t i = 0; i < v.len; i++) {
        if (v.data[i] < '0' || v.data[i] > '9') return false;
        *out = *out * 10 + (uint64_t)(v.data[i] - '0');
    }
    return true;
}

/* Run http_parser over the head. */
static dun_err run_parser(struct http_reader *r, const uint8_t *buf, enum http_parser_type type,
                          struct head *h, http_parser *p)
{
    static const http_parser_settings settings = {.on_url = on_url,
                                                  .on_header_field = on_field,
                                                  .on_header_value = on_value,
                                                  .on_headers_complete = on_complete};
    h->headers->count = 0;
    http_parser_init(p, type);
    p->data = h;
    size_t len = r->head_len - r->start;
    size_t n = http_parser_execute(p, &settings, (const char *)buf + r->start, len);
    if (h->overflow) {
        return refuse(r, DUN_E_TOO_BIG, HTTP_STATUS_REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    enum http_errno err = HTTP_PARSER_ERRNO(p);
    if (err == HPE_INVALID_METHOD) return refuse(r, DUN_E_MALFORMED, HTTP_STATUS_NOT_IMPLEMENTED);
    if (err == HPE_INVALID_VERSION) {
        return refuse(r, DUN_E_MALFORMED, HTTP_STATUS_HTTP_VERSION_NOT_SUPPORTED);
    }
    if (err != HPE_OK || n != len || !h->complete || !headers_clean(h->headers)) return bad(r);
    if (p->http_major != 1 || p->http_minor > 1) {
        return refuse(r, DUN_E_MALFORMED, HTTP_STATUS_HTTP_VERSION_NOT_SUPPORTED);
    }
    return DUN_OK;
}

/* ---- requests ---- */

/* Split the target into path and query; false for anything but "/...", "*" and
 * "http://host/...". */
static bool split_target(struct http_request *out)
{
    struct dun_slice t = out->target;
    for (size_t i = 0; i < t.len; i++) {
        if (t.data[i] <= ' ' || t.data[i] >= 0x7f || t.data[i] == '#') return false;
    }
    if (t.len > 0 && t.data[0] != '/') {
        if (dun_slice_is(t, "*")) {
            out->path = t;
            return dun_slice_is(out->method, "OPTIONS");
        }
        size_t skip = 0;
        if (t.len > 7 && strncasecmp((const char *)t.data, "http://", 7) == 0) skip = 7;
        if (t.len > 8 && strncasecmp((const char *)t.data, "https://", 8) == 0) skip = 8;
        if (skip == 0) return false;
        while (skip < t.len && t.data[skip] != '/' && t.data[skip] != '?')
            skip++;
        t = dun_slice(t.data + skip, t.len - skip);
    }
    const uint8_t *mark = t.len > 0 ? memchr(t.data, '?', t.len) : NULL;
    out->path = t;
    if (mark != NULL) {
        out->path.len = (size_t)(mark - t.data);
        out->query = dun_slice(mark + 1, t.len - out->path.len - 1);
    }
    if (out->path.len == 0) out->path = dun_slice("/", 1); /* "http://host" */
    return true;
}

/* Everything about the body that the head tells. */
static dun_err check_body(struct http_reader *r, struct http_request *out)
{
    struct dun_slice expect;
    size_t hosts = header_count(&out->headers, "host");
    if (hosts > 1 || (hosts == 0 && out->minor > 0)) return bad(r);
    if (!content_length(&out->headers, &out->content_length)) return bad(r);
    if (header_count(&out->headers, "transfer-encoding") > 0) {
        if (header_count(&out->headers, "content-length") > 0) return bad(r);
        return refuse(r, DUN_E_MALFORMED, HTTP_STATUS_LENGTH_REQUIRED);
    }
    if (out->content_length > DUN_HTTP_BODY_MAX) {
        return refuse(r, DUN_E_TOO_BIG, HTTP_STATUS_PAYLOAD_TOO_LARGE);
    }
    if (http_find(&out->headers, "expect", &expect)) {
        if (!http_same(expect, "100-continue")) {
            return refuse(r, DUN_E_MALFORMED, HTTP_STATUS_EXPECTATION_FAILED);
        }
    }
    return DUN_OK;
}

static dun_err parse_request(struct http_reader *r, const uint8_t *buf, struct http_request *out)
{
    http_parser p;
    struct head h = {.headers = &out->headers};
    const uint8_t *line = buf + r->start;
    out->query = out->path = out->body = (struct dun_slice){0};
    const uint8_t *space = memchr(line, ' ', r->head_len - r->start);
    if (space == NULL) return bad(r);
    out->method = dun_slice(line, (size_t)(space - line));
    dun_err e = run_parser(r, buf, HTTP_REQUEST, &h, &p);
    if (e != DUN_OK) return e;
    if (p.method == HTTP_CONNECT) return refuse(r, DUN_E_MALFORMED, HTTP_STATUS_METHOD_NOT_ALLOWED);
    out->target = h.url;
    if (!split_target(out)) return bad(r);
    out->minor = (uint8_t)p.http_minor;
    out->keep_alive = h.keep_alive;
    out->upgrade = h.upgrade;
    out->head_only = p.method == HTTP_HEAD;
    return check_body(r, out);
}

dun_err http_read(struct http_reader *r, const uint8_t *buf, size_t len, struct http_request *out,
                  size_t *used)
{
    bool parsed = false;
    if (r->head_len == 0) {
        dun_err e = find_head(r, buf, len, false);
        if (e != DUN_OK) return e;
        e = parse_request(r, buf, out);
        if (e != DUN_OK) return e;
        r->body_len = (uint32_t)out->content_length;
        r->expect_continue =
            r->body_len > 0 && out->minor > 0 && header_count(&out->headers, "expect") > 0;
        parsed = true;
    }
    DUN_ASSERT(r->body_len <= DUN_HTTP_BODY_MAX);
    size_t whole = (size_t)r->head_len + r->body_len;
    if (len < whole) return DUN_E_MORE;
    if (!parsed) { /* the buffer may have moved since: take the slices anew */
        dun_err e = parse_request(r, buf, out);
        if (e != DUN_OK) return e;
    }
    out->body = dun_slice(buf + r->head_len, r->body_len);
    *used = whole;
    *r = (struct http_reader){0};
    return DUN_OK;
}

/* ---- responses ---- */

static enum http_body_kind body_kind(const struct http_response *res, bool head_request)
{
    int s = res->status;
    struct dun_slice v;
    if (head_request || s < 200 || s == 204 || s == 304) return HTTP_BODY_NONE;
    if (http_has_token(&res->headers, "transfer-encoding", "chunked")) return HTTP_BODY_CHUNKED;
    if (http_find(&res->headers, "transfer-encoding", &v)) return HTTP_BODY_UNTIL_CLOSE;
    if (http_find(&res->headers, "content-length", &v)) return HTTP_BODY_LENGTH;
    return HTTP_BODY_UNTIL_CLOSE;
}

dun_err http_read_response(struct http_reader *r, const uint8_t *buf, size_t len, bool head_request,
                           struct http_response *out, size_t *used)
{
    http_parser p;
    struct head h = {.headers = &out->headers};
    DUN_ASSERT(r->head_len == 0);
    dun_err e = find_head(r, buf, len, true);
    if (e != DUN_OK) return e;
    e = run_parser(r, buf, HTTP_RESPONSE, &h, &p);
    if (e != DUN_OK) return e;
    if (!content_length(&out->headers, &out->content_length)) return bad(r);
    out->status = (int)p.status_code;
    if (out->status < 100 || out->status > 599) return bad(r);
    out->body_kind = body_kind(out, head_request);
    out->keep_alive = h.keep_alive && out->body_kind != HTTP_BODY_UNTIL_CLOSE;
    *used = r->head_len;
    *r = (struct http_reader){0};
    return DUN_OK;
}

/* ---- headers ---- */

bool http_same(struct dun_slice a, const char *b)
{
    size_t n = strlen(b);
    return a.len == n && (n == 0 || strncasecmp((const char *)a.data, b, n) == 0);
}

bool http_find(const struct http_headers *h, const char *name, struct dun_slice *value)
{
    for (size_t i = 0; i < h->count; i++) {
        if (!http_same(h->at[i].name, name)) continue;
        *value = h->at[i].value;
        return true;
    }
    return false;
}

bool http_has_token(const struct http_headers *h, const char *name, const char *token)
{
    for (size_t i = 0; i < h->count; i++) {
        if (!http_same(h->at[i].name, name)) continue;
        struct dun_slice rest = h->at[i].value;
        while (rest.len > 0) {
            const uint8_t *comma = memchr(rest.data, ',', rest.len);
            size_t n = comma != NULL ? (size_t)(comma - rest.data) : rest.len;
            if (http_same(trim(dun_slice(rest.data, n)), token)) return true;
            if (comma == NULL) break;
            rest = dun_slice(comma + 1, rest.len - n - 1);
        }
    }
    return false;
}

/* ---- targets ---- */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte at raw[*i], decoded; moves *i on. -1: bad escape or NUL. */
static int decoded_byte(struct dun_slice raw, size_t *i, bool plus)
{
    uint8_t c = raw.data[(*i)++];
    if (c == '+' && plus) return ' ';
    if (c != '%') return c == 0 ? -1 : c;
    if (raw.len - *i < 2) return -1;
    int hi = hex_digit(raw.data[*i]), lo = hex_digit(raw.data[*i + 1]);
    *i += 2;
    if (hi < 0 || lo < 0 || (hi == 0 && lo == 0)) return -1;
    return hi * 16 + lo;
}

static dun_err decode(struct dun_slice raw, bool plus, struct dun_buf *scratch,
                      struct dun_slice *out)
{
    bool plain = true;
    for (size_t i = 0; i < raw.len; i++) {
        uint8_t c = raw.data[i];
        if (c == 0) return DUN_E_MALFORMED;
        if (c == '%' || (c == '+' && plus)) plain = false;
    }
    struct dun_slice text = raw;
    if (!plain) {
        dun_buf_reserve(scratch, raw.len);
        uint8_t *to = scratch->data + scratch->len;
        size_t n = 0;
        for (size_t i = 0; i < raw.len;) {
            int c = decoded_byte(raw, &i, plus);
            if (c < 0) return DUN_E_MALFORMED;
            to[n++] = (uint8_t)c;
        }
        text = dun_slice(to, n);
    }
    if (!utf8_valid(text)) return DUN_E_MALFORMED;
    if (!plain) scratch->len += text.len;
    *out = text;
    return DUN_OK;
}

dun_err http_decode_segment(struct dun_slice raw, struct dun_buf *scratch, struct dun_slice *out)
{
    return decode(raw, false, scratch, out);
}

static bool decoded_is(struct dun_slice raw, const char *name)
{
    for (size_t i = 0; i < raw.len;) {
        int c = decoded_byte(raw, &i, true);
        if (c < 0 || *name == 0 || (uint8_t)*name++ != c) return false;
    }
    return *name == 0;
}

dun_err http_query(struct dun_slice query, const char *name, struct dun_buf *scratch,
                   struct dun_slice *out)
{
    while (query.len > 0) {
        const uint8_t *amp = memchr(query.data, '&', query.len);
        struct dun_slice key = query, value = {0};
        if (amp != NULL) key.len = (size_t)(amp - query.data);
        size_t step = amp != NULL ? key.len + 1 : key.len;
        const uint8_t *eq = key.len > 0 ? memchr(key.data, '=', key.len) : NULL;
        if (eq != NULL) {
            value = dun_slice(eq + 1, key.len - (size_t)(eq - key.data) - 1);
            key.len = (size_t)(eq - key.data);
        }
        if (decoded_is(key, name)) return decode(value, true, scratch, out);
        query = dun_slice(query.data + step, query.len - step);
    }
    return DUN_E_UNKNOWN;
}

bool http_next_segment(struct dun_slice *path, struct dun_slice *segment)
{
    if (path->len == 0 || path->data[0] != '/') return false;
    struct dun_slice rest = {path->data + 1, path->len - 1};
    const uint8_t *slash = rest.len > 0 ? memchr(rest.data, '/', rest.len) : NULL;
    size_t n = slash != NULL ? (size_t)(slash - rest.data) : rest.len;
    *segment = dun_slice(rest.data, n);
    *path = dun_slice(rest.data + n, rest.len - n);
    return true;
}

void http_encode(struct dun_buf *b, struct dun_slice text)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        bool keep = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '.' || c == '_' || c == '~';
        if (keep) {
            dun_buf_byte(b, c);
            continue;
        }
        dun_buf_byte(b, '%');
        dun_buf_byte(b, (uint8_t)hex[c >> 4]);
        dun_buf_byte(b, (uint8_t)hex[c & 15]);
    }
}
