#include "codec_test.h"

#include "transport/codec/ws.h"

static dun_err check(const char *text, struct http_request *q, struct dun_slice *key)
{
    struct http_reader r = {0};
    size_t used;
    dun_err e = http_read(&r, (const uint8_t *)text, strlen(text), q, &used);
    assert_int_equal(e, DUN_OK);
    return ws_check_request(q, key);
}

static void the_rfc_s_key_gives_its_accept(void **state)
{
    (void)state;
    char out[WS_ACCEPT_LEN + 1];
    ws_accept_key(S("dGhlIHNhbXBsZSBub25jZQ=="), out);
    assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    ws_make_key((const uint8_t *)"the sample nonce", out);
    assert_string_equal(out, "dGhlIHNhbXBsZSBub25jZQ==");
}

#define TOP "GET /w HTTP/1.1\r\nHost: h\r\n"
#define UP "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
#define V13 "Sec-WebSocket-Version: 13\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static void handshakes_are_judged(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        dun_err want;
    } t[] = {
        {TOP UP V13 KEY "\r\n", DUN_OK},
        {TOP "\r\n", DUN_E_UNKNOWN},
        {TOP "Upgrade: h2c\r\nConnection: upgrade\r\n\r\n", DUN_E_UNKNOWN},
        {TOP "Upgrade: websocket\r\n" V13 KEY "\r\n", DUN_E_MALFORMED},
        {TOP UP KEY "\r\n", DUN_E_MALFORMED},
        {TOP UP "Sec-WebSocket-Version: 8\r\n" KEY "\r\n", DUN_E_STALE},
        {TOP UP V13 "\r\n", DUN_E_MALFORMED},
        {TOP UP V13 KEY KEY "\r\n", DUN_E_MALFORMED},
        {TOP UP V13 "Sec-WebSocket-Key: short\r\n\r\n", DUN_E_MALFORMED},
        {TOP UP V13 "Sec-WebSocket-Key: !!!!IHNhbXBsZSBub25jZQ==\r\n\r\n", DUN_E_MALFORMED},
        {TOP UP V13 KEY "Content-Length: 1\r\n\r\nx", DUN_E_MALFORMED},
        {"POST /w HTTP/1.1\r\nHost: h\r\n" UP V13 KEY "\r\n", DUN_E_MALFORMED},
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct http_request q;
        struct dun_slice key;
        ROW(i, check(t[i].text, &q, &key) == t[i].want);
    }
}

static void offers_are_found_and_an_empty_header_offers_none(void **state)
{
    (void)state;
    struct http_request q;
    struct dun_slice key;
    assert_int_equal(check(TOP UP V13 KEY "Sec-WebSocket-Protocol:\r\n\r\n", &q, &key), DUN_OK);
    assert_false(ws_offers(&q, "centrifuge-json"));
    assert_false(ws_offers(&q, ""));
    assert_int_equal(
        check(TOP UP V13 KEY "Sec-WebSocket-Protocol: a, centrifuge-json\r\n\r\n", &q, &key),
        DUN_OK);
    assert_true(ws_offers(&q, "centrifuge-json"));
    assert_false(ws_offers(&q, "centrifuge"));
}

static void both_ends_agree(void **state)
{
    (void)state;
    struct dun_buf b = {0};
    struct http_request q;
    struct http_response res;
    struct http_reader r = {0};
    struct dun_slice key;
    size_t used;
    char mine[WS_KEY_LEN + 1];
    ws_make_key((const uint8_t *)"0123456789abcdef", mine);
    ws_write_request(&b, S("h:1"), S("/c?x"), mine, "centrifuge-json", "Origin: o\r\n");
    assert_int_equal(http_read(&r, b.data, b.len, &q, &used), DUN_OK);
    assert_int_equal(ws_check_request(&q, &key), DUN_OK);
    assert_true(ws_offers(&q, "centrifuge-json"));
    struct dun_buf answer = {0};
    ws_write_accept(&answer, key, "centrifuge-json");
    assert_int_equal(http_read_response(&r, answer.data, answer.len, false, &res, &used), DUN_OK);
    assert_int_equal(used, answer.len);
    assert_int_equal(ws_check_response(&res, mine), DUN_OK);
    ws_make_key((const uint8_t *)"another 16 bytes", mine);
    assert_int_equal(ws_check_response(&res, mine), DUN_E_MALFORMED);
    res.status = 403;
    assert_int_equal(ws_check_response(&res, mine), DUN_E_DENIED);
    dun_buf_deinit(&answer);
    dun_buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rfc_s_key_gives_its_accept),
        cmocka_unit_test(handshakes_are_judged),
        cmocka_unit_test(offers_are_found_and_an_empty_header_offers_none),
        cmocka_unit_test(both_ends_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
