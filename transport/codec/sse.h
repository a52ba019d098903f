/* transport/codec/sse.h: Server-Sent Events (WHATWG HTML, section 9.2).
 * Why: browsers resume by themselves with the last id they saw, so plain HTTP
 * clients get recovery without any code of ours. */
#ifndef DUN_TRANSPORT_CODEC_SSE_H
#define DUN_TRANSPORT_CODEC_SSE_H

#include "base/buf.h"
#include "base/err.h"

/* Append one event. @id and @event empty: line left out. @data is one line.
 * None may hold CR, LF or (id) NUL: asserted, as all are written by us. */
void sse_write_event(struct dun_buf *b, struct dun_slice id, struct dun_slice event,
                     struct dun_slice data);
/* Append a comment line, which keeps proxies from closing an idle stream. */
void sse_write_comment(struct dun_buf *b, struct dun_slice text);
/* Append the reconnection time that clients shall use. */
void sse_write_retry(struct dun_buf *b, uint32_t retry_ms);

struct sse_event {
    struct dun_slice id;    /* the last id seen, of this or an earlier event */
    struct dun_slice event; /* empty stands for "message" */
    struct dun_slice data;  /* lines joined by LF */
};

struct sse_parser {
    struct dun_buf line, data, event, id;
    size_t event_max;  /* bytes of one event, and of one line */
    uint64_t retry_ms; /* 0 until the server named one */
    uint8_t bom;       /* bytes of a byte order mark matched so far */
    bool started;      /* past the place where one may stand */
    bool skip_lf;      /* a CR ended the last line; an LF now belongs to it */
    bool has_data;     /* a data line was seen, though maybe empty */
    bool given;        /* an event was given out; clear it first */
};

void sse_init(struct sse_parser *p, size_t event_max);
void sse_deinit(struct sse_parser *p);

/* Eat from @buf up to the end of the next event.
 * DUN_OK: *out is an event, valid until the next call; *used bytes are eaten,
 * more may follow. DUN_E_MORE: all of @buf eaten (*used == len), no event yet.
 * Lines end with CR, LF or CRLF; a leading BOM, comments and unknown fields are
 * skipped; an id with a NUL is ignored.
 * Errors: DUN_E_TOO_BIG over event_max; the stream is then useless. */
DUN_MUST_USE dun_err sse_next(struct sse_parser *p, const uint8_t *buf, size_t len, size_t *used,
                              struct sse_event *out);

#endif
