/* tests/fuzz/fuzz_http_request.c: HTTP requests, whole and byte by byte, and
 * what is read out of them.
 * Claim: a request is the same, or refused with the same status, however its bytes arrive. */
#include "tests/fuzz/fuzz.h"
#include "transport/codec/ws.h"

static void check_query(struct dun_slice query, struct dun_buf *scratch)
{
    static const char *const names[] = {"token", "last_event_id", "a", ""};
    struct dun_slice v;
    for (size_t i = 0; i < DUN_COUNT(names); i++) {
        scratch->len = 0;
        if (http_query(query, names[i], scratch, &v) == DUN_OK) fuzz_read(v);
    }
}

static void check_path(struct dun_slice path, struct dun_buf *scratch)
{
    struct dun_slice segment, text, again;
    size_t turns = 0;
    while (http_next_segment(&path, &segment)) {
        DUN_ASSERT(++turns <= DUN_HTTP_HEADER_MAX);
        scratch->len = 0;
        if (http_decode_segment(segment, scratch, &text) != DUN_OK) continue;
        struct dun_buf b = {0}, other = {0};
        http_encode(&b, text);
        dun_err e = http_decode_segment(dun_buf_view(&b), &other, &again);
        DUN_ASSERT(e == DUN_OK && dun_slice_eq(again, text));
        dun_buf_deinit(&other);
        dun_buf_deinit(&b);
    }
}

static void check_request(const struct http_request *q, struct dun_slice all)
{
    struct dun_buf scratch = {0};
    struct dun_slice v;
    DUN_ASSERT(fuzz_within(q->method, all) && fuzz_within(q->target, all));
    /* The path of "http://host" is not in it. */
    DUN_ASSERT(fuzz_within(q->path, q->target) || dun_slice_is(q->path, "/"));
    DUN_ASSERT(fuzz_within(q->query, q->target));
    DUN_ASSERT(fuzz_within(q->body, all) && q->body.len == q->content_length);
    DUN_ASSERT(q->headers.count <= DUN_HTTP_HEADERS_MAX && q->body.len <= DUN_HTTP_BODY_MAX);
    DUN_ASSERT(q->minor <= 1 && q->path.len > 0);
    for (size_t i = 0; i < q->headers.count; i++) {
        const struct http_header *h = &q->headers.at[i];
        DUN_ASSERT(fuzz_within(h->name, all) && fuzz_within(h->value, all) && h->name.len > 0);
        DUN_ASSERT(memchr(h->value.data, '\n', h->value.len) == NULL);
    }
    (void)http_find(&q->headers, "Host", &v);
    (void)http_has_token(&q->headers, "Connection", "upgrade");
    (void)ws_offers(q, "centrifuge-json");
    if (ws_check_request(q, &v) == DUN_OK) {
        struct dun_buf b = {0};
        DUN_ASSERT(v.len == WS_KEY_LEN && q->minor == 1);
        ws_write_accept(&b, v, NULL);
        dun_buf_deinit(&b);
    }
    check_query(q->query, &scratch);
    check_path(q->path, &scratch);
    dun_buf_deinit(&scratch);
}

static void check_same(const struct http_request *a, const struct http_request *b)
{
    DUN_ASSERT(dun_slice_eq(a->method, b->method) && dun_slice_eq(a->target, b->target));
    DUN_ASSERT(dun_slice_eq(a->path, b->path) && dun_slice_eq(a->query, b->query));
    DUN_ASSERT(dun_slice_eq(a->body, b->body) && a->content_length == b->content_length);
    DUN_ASSERT(a->keep_alive == b->keep_alive && a->upgrade == b->upgrade);
    DUN_ASSERT(a->head_only == b->head_only && a->minor == b->minor);
    DUN_ASSERT(a->headers.count == b->headers.count);
    for (size_t i = 0; i < a->headers.count; i++) {
        DUN_ASSERT(dun_slice_eq(a->headers.at[i].name, b->headers.at[i].name));
        DUN_ASSERT(dun_slice_eq(a->headers.at[i].value, b->headers.at[i].value));
    }
}

/* One request as it comes byte by byte, into a buffer that moves on the way as a
 * growing one does; against what http_read says of the whole. */
static void check_grown(struct dun_slice s, dun_err want, uint16_t want_status,
                        const struct http_request *want_q, size_t want_used)
{
    struct http_request *q = dun_malloc(sizeof *q);
    struct http_reader r = {0};
    struct dun_slice buf = fuzz_copy(s);
    dun_err e = DUN_E_MORE;
    size_t used = 0;
    for (size_t n = 1; e == DUN_E_MORE && n <= s.len; n++) {
        if (n == s.len / 2) {
            struct dun_slice old = buf;
            buf = fuzz_copy(s);
            fuzz_copy_free(old);
        }
        fuzz_arrived(buf, n);
        e = http_read(&r, buf.data, n, q, &used);
    }
    DUN_ASSERT(e == want && (e == DUN_OK || e == DUN_E_MORE || r.status == want_status));
    if (e == DUN_OK) {
        DUN_ASSERT(used == want_used);
        check_request(q, buf);
        check_same(q, want_q);
    }
    fuzz_copy_free(buf);
    dun_free(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dun_slice rest = {data, size};
    struct http_request *q = dun_malloc(sizeof *q);
    for (int turns = 0; rest.len > 0 && turns < 8; turns++) {
        struct http_reader r = {0};
        size_t used = 0;
        struct dun_slice s = fuzz_copy(rest);
        dun_err e = http_read(&r, s.data, s.len, q, &used);
        if (e == DUN_OK) {
            DUN_ASSERT(used > 0 && used <= s.len);
            check_request(q, s);
        } else if (e != DUN_E_MORE) {
            DUN_ASSERT(e == DUN_E_MALFORMED || e == DUN_E_TOO_BIG);
            DUN_ASSERT(r.status >= 400 && r.status < 600);
        }
        if (s.len <= 2048) check_grown(s, e, r.status, q, used);
        fuzz_copy_free(s);
        if (e != DUN_OK) break;
        rest = dun_slice(rest.data + used, rest.len - used);
    }
    dun_free(q);
    return 0;
}
