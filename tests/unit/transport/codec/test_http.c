#include "codec_test.h"

#include "transport/codec/http.h"

static dun_err read_at_once(struct dun_slice in, struct http_request *out, int *status,
                            uint8_t **keep)
{
    struct http_reader r = {0};
    size_t used;
    *keep = exact(in);
    dun_err e = http_read(&r, *keep, in.len, out, &used);
    *status = r.status;
    return e;
}

static void a_request_is_read_one_byte_at_a_time(void **state)
{
    (void)state;
    static const char in[] =
        "\r\nPOST /api/publish?a=b%20c HTTP/1.1\r\nHost: x\r\nX-API-Key:  k  \r\n"
        "Content-Length: 5\r\nEmpty:\r\n\r\nhelloGET / HTTP/1.1\r\n";
    struct http_reader r = {0};
    struct http_request q;
    struct dun_slice v;
    size_t used = 0, n = 0, whole = sizeof in - 1 - strlen("GET / HTTP/1.1\r\n");
    uint8_t *p = NULL;
    dun_err e = DUN_E_MORE;
    for (; e == DUN_E_MORE && n < sizeof in - 1; n++) { /* a buffer that moves each time */
        free(p);
        p = exact(dun_slice(in, n + 1));
        e = http_read(&r, p, n + 1, &q, &used);
    }
    assert_int_equal(e, DUN_OK);
    assert_int_equal(n, whole);
    assert_int_equal(used, whole);
    ASSERT_SLICE(q.method, "POST");
    ASSERT_SLICE(q.path, "/api/publish");
    ASSERT_SLICE(q.query, "a=b%20c");
    ASSERT_SLICE(q.body, "hello");
    assert_int_equal(q.headers.count, 4);
    assert_true(http_find(&q.headers, "x-api-key", &v));
    ASSERT_SLICE(v, "k");
    assert_true(http_find(&q.headers, "empty", &v));
    assert_int_equal(v.len, 0);
    assert_true(q.keep_alive && !q.upgrade);
    assert_int_equal(r.head_len, 0); /* ready for the next one */
    free(p);
}

static void targets_are_split(void **state)
{
    (void)state;
    static const struct {
        const char *target, *path, *query;
    } t[] = {{"/", "/", ""},          {"/a/b?", "/a/b", ""},
             {"/a?b?c", "/a", "b?c"}, {"http://h:80/a?b", "/a", "b"},
             {"HTTP://h", "/", ""},   {"https://h?x=1", "/", "x=1"}};
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        char text[200];
        struct http_request q;
        int status;
        uint8_t *keep;
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", t[i].target);
        ROW(i, read_at_once(S(text), &q, &status, &keep) == DUN_OK);
        ASSERT_SLICE(q.path, t[i].path);
        ASSERT_SLICE(q.query, t[i].query);
        free(keep);
    }
}

static void connection_headers_are_understood(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool keep_alive, upgrade;
    } t[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", true, false},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false, false},
        {"GET / HTTP/1.0\r\n\r\n", false, false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true, false},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: "
         "websocket\r\n\r\n",
         true, true},
        {"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n", true, false},
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct http_request q;
        int status;
        uint8_t *keep;
        ROW(i, read_at_once(S(t[i].text), &q, &status, &keep) == DUN_OK);
        ROW(i, q.keep_alive == t[i].keep_alive && q.upgrade == t[i].upgrade);
        free(keep);
    }
}

#define H "Host: h\r\n"

static void ambiguous_or_broken_requests_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int status;
    } t[] = {
        {"GET / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 411},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n\r\n", 400},
        {"GET / HTTP/1.1\n" H "\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "A: b\r\n c\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "A: b\r\n\tc\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n A: b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "A : b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H ": b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "A\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "A: \x01\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H H "\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET /a#b HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /\x80 HTTP/1.1\r\n" H "\r\n", 400},
        {"GET * HTTP/1.1\r\n" H "\r\n", 400},
        {"GET / HTTP/2.0\r\n" H "\r\n", 505},
        {"GET / HTTP/1.2\r\n" H "\r\n", 505},
        {"GET /\r\n\r\n", 505},
        {"CONNECT h:80 HTTP/1.1\r\n" H "\r\n", 405},
        {"FOO / HTTP/1.1\r\n" H "\r\n", 501},
        {"\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", 400},
        {"\x16\x03\x01", 400},
        {" GET / HTTP/1.1\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Expect: tea\r\nContent-Length: 1\r\n\r\n", 417},
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct http_request q;
        int status;
        uint8_t *keep;
        ROW(i, read_at_once(S(t[i].text), &q, &status, &keep) == DUN_E_MALFORMED);
        if (status != t[i].status) fprintf(stderr, "status %d\n", status);
        ROW(i, status == t[i].status);
        free(keep);
    }
    struct http_request q;
    int status;
    uint8_t *keep;
    assert_int_equal(read_at_once(LIT("GET / HTTP/1.1\r\nA: \0\r\n\r\n"), &q, &status, &keep),
                     DUN_E_MALFORMED);
    free(keep);
}

static void limits_tell_head_from_body(void **state)
{
    (void)state;
    struct dun_buf b = {0};
    struct http_request q;
    int status;
    uint8_t *keep;
    dun_buf_str(&b, "GET / HTTP/1.1\r\nHost: h\r\nA: ");
    while (b.len <= DUN_HTTP_HEADER_MAX)
        dun_buf_byte(&b, 'a');
    assert_int_equal(read_at_once(dun_buf_view(&b), &q, &status, &keep), DUN_E_TOO_BIG);
    assert_int_equal(status, 431); /* though the head has no end yet */
    free(keep);
    for (unsigned n = DUN_HTTP_HEADERS_MAX - 1; n <= DUN_HTTP_HEADERS_MAX; n++) {
        b.len = 0;
        dun_buf_str(&b, "GET / HTTP/1.1\r\nHost: h\r\n");
        for (unsigned i = 0; i < n; i++)
            dun_buf_printf(&b, "A%u: b\r\n", i);
        dun_buf_str(&b, "\r\n");
        dun_err e = read_at_once(dun_buf_view(&b), &q, &status, &keep);
        assert_int_equal(e, n < DUN_HTTP_HEADERS_MAX ? DUN_OK : DUN_E_TOO_BIG);
        if (e != DUN_OK) assert_int_equal(status, 431);
        free(keep);
    }
    b.len = 0;
    dun_buf_printf(&b, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n",
                   DUN_HTTP_BODY_MAX + 1);
    assert_int_equal(read_at_once(dun_buf_view(&b), &q, &status, &keep), DUN_E_TOO_BIG);
    assert_int_equal(status, 413);
    free(keep);
    dun_buf_deinit(&b);
}

static void a_client_that_waits_for_100_is_noticed_once(void **state)
{
    (void)state;
    struct http_reader r = {0};
    struct http_request q;
    size_t used;
    static const char in[] =
        "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok";
    size_t head = sizeof in - 1 - 2;
    assert_int_equal(http_read(&r, (const uint8_t *)in, head, &q, &used), DUN_E_MORE);
    assert_true(r.expect_continue);
    r.expect_continue = false;
    assert_int_equal(http_read(&r, (const uint8_t *)in, head + 1, &q, &used), DUN_E_MORE);
    assert_false(r.expect_continue);
    assert_int_equal(http_read(&r, (const uint8_t *)in, head + 2, &q, &used), DUN_OK);
}

static void queries_and_segments_decode(void **state)
{
    (void)state;
    static const struct {
        const char *query, *name, *want;
        dun_err e;
    } t[] = {
        {"a=1&b=2", "b", "2", DUN_OK},         {"a=x%20y+z", "a", "x y z", DUN_OK},
        {"%61=1", "a", "1", DUN_OK},           {"a", "a", "", DUN_OK},
        {"a=1&a=2", "a", "1", DUN_OK},         {"ab=1", "a", "", DUN_E_UNKNOWN},
        {"", "a", "", DUN_E_UNKNOWN},          {"a=%", "a", "", DUN_E_MALFORMED},
        {"a=%4", "a", "", DUN_E_MALFORMED},    {"a=%zz", "a", "", DUN_E_MALFORMED},
        {"a=%00", "a", "", DUN_E_MALFORMED},   {"a=%ff", "a", "", DUN_E_MALFORMED},
        {"a=%C3%a9", "a", "\xc3\xa9", DUN_OK},
    };
    struct dun_buf scratch = {0};
    struct dun_slice out, path = S("/events/a%2Fb+c//"), seg;
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        ROW(i, http_query(S(t[i].query), t[i].name, &scratch, &out) == t[i].e);
        if (t[i].e == DUN_OK) ASSERT_SLICE(out, t[i].want);
    }
    assert_true(http_next_segment(&path, &seg));
    ASSERT_SLICE(seg, "events");
    assert_true(http_next_segment(&path, &seg));
    assert_int_equal(http_decode_segment(seg, &scratch, &out), DUN_OK);
    ASSERT_SLICE(out, "a/b+c");
    assert_true(http_next_segment(&path, &seg) && seg.len == 0);
    assert_true(http_next_segment(&path, &seg) && seg.len == 0);
    assert_false(http_next_segment(&path, &seg));
    struct dun_buf b = {0};
    http_encode(&b, S("a b/\xc3\xa9~"));
    ASSERT_SLICE(dun_buf_view(&b), "a%20b%2F%C3%A9~");
    dun_buf_deinit(&b);
    dun_buf_deinit(&scratch);
}

/* Read a whole response in pieces of @step; the body goes to @body. */
static dun_err read_response(struct dun_slice in, size_t step, bool head, struct dun_buf *body,
                             struct http_response *res, bool *done)
{
    struct http_reader r = {0};
    struct http_body b;
    size_t used = 0, at = 0, n = 0;
    dun_err e = DUN_E_MORE;
    while (e == DUN_E_MORE && n < in.len) {
        n = n + step < in.len ? n + step : in.len;
        e = http_read_response(&r, in.data, n, head, res, &used);
    }
    if (e != DUN_OK) return e;
    http_body_init(&b, res);
    for (at = used; !b.done && at < in.len; at += used) {
        struct dun_slice piece;
        size_t left = in.len - at < step ? in.len - at : step;
        uint8_t *p = exact(dun_slice(in.data + at, left));
        e = http_body_next(&b, p, left, &piece, &used);
        if (e == DUN_OK) dun_buf_slice(body, piece);
        free(p);
        if (e != DUN_OK && e != DUN_E_MORE) return e;
    }
    *done = b.done;
    return DUN_OK;
}

static void response_bodies_are_the_same_however_they_are_cut(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
        bool head, done;
        dun_err e;
    } t[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", false, true, DUN_OK},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", false, true, DUN_OK},
        {"HTTP/1.1 204 No Content\r\n\r\n", "", false, true, DUN_OK},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "", true, true, DUN_OK},
        {"HTTP/1.1 200 OK\r\n\r\nuntil the end", "until the end", false, false, DUN_OK},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: "
         "chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n"
         "0\r\nTrailer: x\r\n\r\n",
         "hello0123456789", false, true, DUN_OK},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "hel", false, false,
         DUN_OK},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "", false, false,
         DUN_E_MALFORMED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", "", false, false,
         DUN_E_MALFORMED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX", "", false, false,
         DUN_E_MALFORMED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", "", false,
         false, DUN_E_MALFORMED},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "", false, false,
         DUN_E_MALFORMED},
        {"HTTP/3.0 200 OK\r\n\r\n", "", false, false, DUN_E_MALFORMED},
        {"SSH-2.0-x\r\n", "", false, false, DUN_E_MALFORMED},
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        for (size_t step = 1; step < 60; step++) {
            struct dun_buf body = {0};
            struct http_response res;
            bool done = false;
            dun_err e = read_response(S(t[i].text), step, t[i].head, &body, &res, &done);
            ROW(i, e == t[i].e);
            if (e == DUN_OK) ASSERT_SLICE(dun_buf_view(&body), t[i].want);
            ROW(i, e != DUN_OK || done == t[i].done);
            dun_buf_deinit(&body);
        }
    }
}

static void written_messages_read_back(void **state)
{
    (void)state;
    struct dun_buf b = {0}, body = {0};
    struct http_response res;
    struct http_request q;
    bool done;
    int status;
    uint8_t *keep;
    http_write_response(&b, 200, "application/json", S("{}"), "X-A: b\r\n", true, false);
    ASSERT_SLICE(dun_buf_view(&b),
                 "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                 "Content-Length: 2\r\nConnection: keep-alive\r\nX-A: b\r\n\r\n{}");
    assert_int_equal(read_response(dun_buf_view(&b), 7, false, &body, &res, &done), DUN_OK);
    assert_true(done && res.keep_alive && res.status == 200);
    b.len = 0;
    http_write_response(&b, 204, NULL, S(""), NULL, false, false);
    ASSERT_SLICE(dun_buf_view(&b), "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    b.len = 0;
    http_write_response(&b, 404, "text/plain", S("gone"), NULL, true, true);
    assert_int_equal(read_response(dun_buf_view(&b), 7, true, &body, &res, &done), DUN_OK);
    assert_int_equal(res.status, 404);
    b.len = 0;
    http_write_request(&b, "POST", S("/api/info"), S("h:1"), "X-API-Key: k\r\n", S("{}"));
    assert_int_equal(read_at_once(dun_buf_view(&b), &q, &status, &keep), DUN_OK);
    ASSERT_SLICE(q.path, "/api/info");
    ASSERT_SLICE(q.body, "{}");
    free(keep);
    dun_buf_deinit(&b);
    dun_buf_deinit(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_read_one_byte_at_a_time),
        cmocka_unit_test(targets_are_split),
        cmocka_unit_test(connection_headers_are_understood),
        cmocka_unit_test(ambiguous_or_broken_requests_are_refused),
        cmocka_unit_test(limits_tell_head_from_body),
        cmocka_unit_test(a_client_that_waits_for_100_is_noticed_once),
        cmocka_unit_test(queries_and_segments_decode),
        cmocka_unit_test(response_bodies_are_the_same_however_they_are_cut),
        cmocka_unit_test(written_messages_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
