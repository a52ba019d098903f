/* transport/codec/sse.c: Server-Sent Events, both ways.
 * The parser keeps one line and one event; it never looks back into the
 * caller's buffer, so any cut of the stream gives the same events. */
#include "transport/codec/sse.h"

#include "base/assert.h"

static bool one_line(struct dun_slice s)
{
    if (s.len == 0) return true;
    return memchr(s.data, '\n', s.len) == NULL && memchr(s.data, '\r', s.len) == NULL;
}

static void field(struct dun_buf *b, const char *name, struct dun_slice value)
{
    DUN_ASSERT(one_line(value));
    dun_buf_str(b, name);
    dun_buf_slice(b, value);
    dun_buf_byte(b, '\n');
}

void sse_write_event(struct dun_buf *b, struct dun_slice id, struct dun_slice event,
                     struct dun_slice data)
{
    if (id.len > 0) {
        DUN_ASSERT(memchr(id.data, 0, id.len) == NULL);
        field(b, "id: ", id);
    }
    if (event.len > 0) field(b, "event: ", event);
    field(b, "data: ", data);
    dun_buf_byte(b, '\n');
}

void sse_write_comment(struct dun_buf *b, struct dun_slice text)
{
    field(b, ": ", text);
    dun_buf_byte(b, '\n');
}

void sse_write_retry(struct dun_buf *b, uint32_t retry_ms)
{
    dun_buf_str(b, "retry: ");
    dun_buf_u64(b, retry_ms);
    dun_buf_str(b, "\n\n");
}

void sse_init(struct sse_parser *p, size_t event_max)
{
    *p = (struct sse_parser){.event_max = event_max};
}

void sse_deinit(struct sse_parser *p)
{
    dun_buf_deinit(&p->line);
    dun_buf_deinit(&p->data);
    dun_buf_deinit(&p->event);
    dun_buf_deinit(&p->id);
}

static void set(struct dun_buf *b, struct dun_slice value)
{
    b->len = 0;
    dun_buf_slice(b, value);
}

static void set_retry(struct sse_parser *p, struct dun_slice value)
{
    uint64_t ms = 0;
    if (value.len == 0 || value.len > 9) return; /* 11 days and more are nonsense */
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') return;
        ms = ms * 10 + (uint64_t)(value.data[i] - '0');
    }
    p->retry_ms = ms;
}

static dun_err take_field(struct sse_parser *p)
{
    struct dun_slice line = dun_buf_view(&p->line), name = line, value = {0};
    const uint8_t *colon = memchr(line.data, ':', line.len);
    if (colon != NULL) {
        name.len = (size_t)(colon - line.data);
        value = dun_slice(colon + 1, line.len - name.len - 1);
        if (value.len > 0 && value.data[0] == ' ') value = dun_slice(colon + 2, value.len - 1);
    }
    if (dun_slice_is(name, "data")) {
        if (p->data.len + value.len + 1 > p->event_max) return DUN_E_TOO_BIG;
        if (p->has_data) dun_buf_byte(&p->data, '\n');
        dun_buf_slice(&p->data, value);
        p->has_data = true;
    } else if (dun_slice_is(name, "event")) {
        set(&p->event, value);
    } else if (dun_slice_is(name, "id")) {
        if (value.len == 0 || memchr(value.data, 0, value.len) == NULL) set(&p->id, value);
    } else if (dun_slice_is(name, "retry")) {
        set_retry(p, value);
    }
    return DUN_OK; /* an empty name is a comment, others are unknown */
}

/* A line is whole. *ready: it was the blank one behind an event. */
static dun_err end_line(struct sse_parser *p, bool *ready)
{
    dun_err e = DUN_OK;
    *ready = false;
    if (p->line.len > 0) {
        e = take_field(p);
        p->line.len = 0;
    } else if (p->has_data) {
        *ready = true;
    } else {
        p->event.len = 0; /* an event without data is none */
    }
    return e;
}

/* Match a leading byte order mark across calls. True when @c belongs to it. */
static bool eat_bom(struct sse_parser *p, uint8_t c)
{
    static const uint8_t bom[3] = {0xef, 0xbb, 0xbf};
    if (p->started) return false;
    if (c == bom[p->bom]) {
        p->bom++;
        if (p->bom == 3) p->started = true;
        return true;
    }
    p->started = true;
    dun_buf_add(&p->line, bom, p->bom); /* it only began like one */
    return false;
}

dun_err sse_next(struct sse_parser *p, const uint8_t *buf, size_t len, size_t *used,
                 struct sse_event *out)
{
    if (p->given) {
        p->data.len = p->event.len = 0;
        p->has_data = p->given = false;
    }
    for (size_t i = 0; i < len; i++) {
        uint8_t c = buf[i];
        bool after_cr = p->skip_lf, ready = false;
        p->skip_lf = false;
        if (eat_bom(p, c) || (after_cr && c == '\n')) continue;
        if (c != '\n' && c != '\r') {
            if (p->line.len == p->event_max) return DUN_E_TOO_BIG;
            dun_buf_byte(&p->line, c);
            continue;
        }
        p->skip_lf = c == '\r';
        dun_err e = end_line(p, &ready);
        if (e != DUN_OK) return e;
        if (!ready) continue;
        p->given = true;
        *out = (struct sse_event){.id = dun_buf_view(&p->id),
                                  .event = dun_buf_view(&p->event),
                                  .data = dun_buf_view(&p->data)};
        *used = i + 1;
        return DUN_OK;
    }
    *used = len;
    return DUN_E_MORE;
}
