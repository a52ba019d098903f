/* tests/fuzz/fuzz_http_response.c: HTTP responses as the client library reads them.
 * Claim: head and body are the same whatever the pieces they come in. */
#include "tests/fuzz/fuzz.h"
#include "transport/codec/ws.h"

/* Feeds in pieces of @step, keeping what is not eaten. */
static dun_err read_body(const struct http_response *res, struct dun_slice s, size_t step,
                         struct dun_buf *out, size_t *eaten, bool *done)
{
    struct http_body b;
    struct dun_slice all = fuzz_copy(s);
    dun_err e = DUN_E_MORE;
    size_t at = 0, have = 0;
    http_body_init(&b, res);
    while (!b.done) {
        struct dun_slice piece = {0}, part = dun_slice(all.data + at, have - at);
        size_t used = 0;
        fuzz_arrived(all, have);
        e = http_body_next(&b, part.data, part.len, &piece, &used);
        DUN_ASSERT(used <= part.len);
        if (e == DUN_OK) {
            DUN_ASSERT(fuzz_within(piece, part));
            dun_buf_slice(out, piece);
        }
        at += used;
        if (e != DUN_OK && e != DUN_E_MORE) break;
        if (b.done) break;
        if (e == DUN_E_MORE || at == have) {
            if (have == s.len) break;
            have = s.len - have < step ? s.len : have + step;
        } else {
            DUN_ASSERT(used > 0); /* else it turns for ever */
        }
    }
    fuzz_copy_free(all);
    *eaten = at;
    *done = b.done;
    return e == DUN_E_MORE ? DUN_OK : e;
}

/* The head as it comes byte by byte, against what was said of the whole. */
static void check_grown(struct dun_slice s, bool head_request, dun_err want,
                        const struct http_response *want_res, size_t want_used)
{
    struct http_response *res = dun_malloc(sizeof *res);
    struct http_reader r = {0};
    struct dun_slice buf = fuzz_copy(s);
    dun_err e = DUN_E_MORE;
    size_t used = 0;
    for (size_t n = 1; e == DUN_E_MORE && n <= s.len; n++) {
        fuzz_arrived(buf, n);
        e = http_read_response(&r, buf.data, n, head_request, res, &used);
    }
    DUN_ASSERT(e == want);
    if (e == DUN_OK) {
        DUN_ASSERT(used == want_used && res->status == want_res->status);
        DUN_ASSERT(res->body_kind == want_res->body_kind);
        DUN_ASSERT(res->content_length == want_res->content_length);
        DUN_ASSERT(res->keep_alive == want_res->keep_alive);
        DUN_ASSERT(res->headers.count == want_res->headers.count);
    }
    fuzz_copy_free(buf);
    dun_free(res);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t mode = fuzz_u8(&in);
    struct dun_slice s = fuzz_copy(fuzz_rest(&in));
    struct http_response *res = dun_malloc(sizeof *res);
    struct http_reader r = {0};
    size_t used = 0;
    dun_err e = http_read_response(&r, s.data, s.len, mode & 1, res, &used);
    check_grown(s, mode & 1, e, res, used);
    if (e == DUN_OK) {
        struct dun_buf whole = {0}, pieces = {0};
        size_t eaten, eaten_pieces;
        bool done, done_pieces;
        DUN_ASSERT(used <= s.len && res->status >= 100 && res->status <= 999);
        for (size_t i = 0; i < res->headers.count; i++) {
            DUN_ASSERT(fuzz_within(res->headers.at[i].name, s));
            DUN_ASSERT(fuzz_within(res->headers.at[i].value, s));
        }
        (void)!ws_check_response(res, "dGhlIHNhbXBsZSBub25jZQ==");
        struct dun_slice body = dun_slice(s.data + used, s.len - used);
        dun_err a = read_body(res, body, body.len, &whole, &eaten, &done);
        dun_err b =
            read_body(res, body, 1u + (mode >> 1) % 5, &pieces, &eaten_pieces, &done_pieces);
        DUN_ASSERT(a == b && done == done_pieces);
        if (a == DUN_OK) {
            DUN_ASSERT(dun_slice_eq(dun_buf_view(&whole), dun_buf_view(&pieces)));
            DUN_ASSERT(eaten == eaten_pieces);
        }
        dun_buf_deinit(&pieces);
        dun_buf_deinit(&whole);
    }
    dun_free(res);
    fuzz_copy_free(s);
    return 0;
}
