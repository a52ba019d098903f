/* transport/codec/http.h: HTTP/1.1 heads and bodies (RFC 9110, RFC 9112).
 * Why our own face on Debian's http_parser: no callbacks reach the caller, and
 * what lets two parsers disagree about where a request ends (smuggling) is
 * refused before http_parser sees it: bare CR or LF, NUL, folded lines, spaces
 * before the colon, two Content-Length, Transfer-Encoding with anything.
 * All slices point into the caller's contiguous buffer and live as long as it
 * does not move. */
#ifndef DUN_TRANSPORT_CODEC_HTTP_H
#define DUN_TRANSPORT_CODEC_HTTP_H

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"

struct http_header {
    struct dun_slice name, value; /* value without whitespace around it */
};

struct http_headers {
    size_t count;
    struct http_header at[DUN_HTTP_HEADERS_MAX];
};

struct http_request {
    struct dun_slice method; /* "GET"; case-sensitive */
    struct dun_slice target; /* as sent */
    struct dun_slice path;   /* raw, still percent-encoded; "/..." or "*" */
    struct dun_slice query;  /* raw, without '?'; empty if there is none */
    struct http_headers headers;
    struct dun_slice body;
    uint64_t content_length;
    bool keep_alive;
    bool upgrade;   /* Connection: upgrade with an Upgrade header */
    bool head_only; /* HEAD: answer without a body */
    uint8_t minor;  /* HTTP/1.minor: 0 or 1 */
};

/* What is remembered between calls on a growing buffer, so that feeding byte
 * by byte stays linear. Zero-initialise; http_read resets it after DUN_OK. */
struct http_reader {
    uint32_t scanned;     /* bytes known not to end the head */
    uint32_t start;       /* an empty line before the request is skipped */
    uint32_t head_len;    /* 0 = not yet whole; includes start */
    uint32_t body_len;    /* valid once head_len is */
    uint16_t status;      /* after an error: the HTTP status to answer with */
    bool expect_continue; /* the client waits for "100 Continue" before its body */
};

/* Read one request from the front of @buf, which holds all bytes since the
 * last request's end.
 * DUN_OK: *out is the request, *used its bytes; pipelined ones follow.
 * DUN_E_MORE: nothing yet; call again with more bytes behind the same ones. If
 *   r->expect_continue is set, send HTTP_CONTINUE_LINE once and clear it.
 * DUN_E_TOO_BIG: r->status is 431 (head over DUN_HTTP_HEADER_MAX or too many
 *   headers) or 413 (body over DUN_HTTP_BODY_MAX), as soon as it is known.
 * DUN_E_MALFORMED: r->status is 400, 405 (CONNECT), 411 (a chunked body: we
 *   want Content-Length), 417 (unknown Expect), 501 (unknown method) or 505 (not
 *   HTTP/1.0 or 1.1).
 * After an error: answer with r->status and close. *out is undefined unless
 * DUN_OK, as it serves as the workspace. */
DUN_MUST_USE dun_err http_read(struct http_reader *r, const uint8_t *buf, size_t len,
                               struct http_request *out, size_t *used);

#define HTTP_CONTINUE_LINE "HTTP/1.1 100 Continue\r\n\r\n"

/* First header of that name, any case; false if absent. */
bool http_find(const struct http_headers *h, const char *name, struct dun_slice *value);
/* Does one of the comma-separated lists of that header hold @token (any case)? */
bool http_has_token(const struct http_headers *h, const char *name, const char *token);
/* Is @a equal to @b but for ASCII case? */
bool http_same(struct dun_slice a, const char *b);

/* Percent-decode a path segment ('+' stays) behind what @scratch holds; no
 * escape: borrowed. Errors: DUN_E_MALFORMED bad escape, NUL or not UTF-8. */
DUN_MUST_USE dun_err http_decode_segment(struct dun_slice raw, struct dun_buf *scratch,
                                         struct dun_slice *out);
/* First parameter @name of a raw query ('+' means space); its name may be
 * encoded too. Growing @scratch invalidates slices given out earlier: reserve
 * query.len first when several are wanted.
 * Errors: DUN_E_UNKNOWN absent; DUN_E_MALFORMED as above. */
DUN_MUST_USE dun_err http_query(struct dun_slice query, const char *name, struct dun_buf *scratch,
                                struct dun_slice *out);
/* Take the next raw segment off "/a/b/c": "a", then "b", ...; false at the
 * end. "/a//b" gives an empty one in between; "/" alone gives one empty one. */
bool http_next_segment(struct dun_slice *path, struct dun_slice *segment);
/* Append @text percent-encoded for a query or a path segment. */
void http_encode(struct dun_buf *b, struct dun_slice text);

/* Append a whole response. @content_type NULL: no such header. @extra_headers
 * NULL or lines each ended by CRLF. @head_only: Content-Length tells the
 * body's length but the body is left out. 204 and 304 never carry a body. */
void http_write_response(struct dun_buf *b, int status, const char *content_type,
                         struct dun_slice body, const char *extra_headers, bool keep_alive,
                         bool head_only);
/* Append the head of a response whose body ends with the connection (streams);
 * says Connection: close. */
void http_write_stream_head(struct dun_buf *b, int status, const char *content_type,
                            const char *extra_headers);
/* Append a request (client side): Host, Content-Length when there is a body or
 * the method is POST or PUT, extra header lines. */
void http_write_request(struct dun_buf *b, const char *method, struct dun_slice target,
                        struct dun_slice host, const char *extra_headers, struct dun_slice body);
/* Reason phrase; "Unknown" for a status without one. */
const char *http_reason(int status);

/* ---- responses, for the client library ---- */

enum http_body_kind { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED, HTTP_BODY_UNTIL_CLOSE };

struct http_response {
    int status;
    struct http_headers headers;
    enum http_body_kind body_kind;
    uint64_t content_length; /* HTTP_BODY_LENGTH only */
    bool keep_alive;
};

/* Read a response's head from the front of @buf; as http_read. The body
 * follows at *used: feed it to http_body_next. @head_request: it answers a
 * HEAD, so there is no body. 1xx heads are returned too (body NONE): skip 100,
 * 101 ends HTTP on the connection. Errors: DUN_E_MORE, DUN_E_TOO_BIG,
 * DUN_E_MALFORMED. */
DUN_MUST_USE dun_err http_read_response(struct http_reader *r, const uint8_t *buf, size_t len,
                                        bool head_request, struct http_response *out, size_t *used);

/* The body's place between calls. */
struct http_body {
    uint64_t left; /* bytes of this length or chunk to come */
    uint32_t line; /* bytes of chunk size line or trailer so far */
    uint8_t kind;  /* enum http_body_kind */
    uint8_t state; /* of the chunk decoder, private */
    bool done;     /* all of the body has been given out */
};

void http_body_init(struct http_body *b, const struct http_response *res);
/* Take some of the body off the front of @buf.
 * DUN_OK: *piece borrows from @buf (may be empty), *used bytes are eaten; call
 * again with the rest unless b->done. DUN_E_MORE: nothing left to eat in @buf
 * (*used tells how many framing bytes were). UNTIL_CLOSE is never done: the
 * end of the connection ends it. Errors: DUN_E_MALFORMED bad chunk framing. */
DUN_MUST_USE dun_err http_body_next(struct http_body *b, const uint8_t *buf, size_t len,
                                    struct dun_slice *piece, size_t *used);

#endif
