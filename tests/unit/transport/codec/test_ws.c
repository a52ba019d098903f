#include "codec_test.h"

#include "transport/codec/ws.h"

/* RFC 6455, section 5.7 */
static const uint8_t hello[] = {0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f};
static const uint8_t masked_hello[] = {0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d,
                                       0x7f, 0x9f, 0x4d, 0x51, 0x58};

static dun_err decode(struct dun_slice in, enum ws_role role, size_t max, struct ws_frame *out,
                      size_t *used)
{
    uint8_t *p = exact(in);
    dun_err e = ws_decode(p, in.len, role, max, out, used);
    free(p); /* the payload dangles: only its length may be looked at */
    return e;
}

static void the_rfc_s_examples_decode(void **state)
{
    (void)state;
    struct ws_frame f;
    size_t used;
    uint8_t copy[sizeof masked_hello];
    assert_int_equal(ws_decode(hello, sizeof hello, WS_CLIENT, 100, &f, &used), DUN_OK);
    assert_int_equal(used, sizeof hello);
    assert_true(f.fin && !f.masked && f.opcode == WS_TEXT);
    ASSERT_SLICE(f.payload, "Hello");

    memcpy(copy, masked_hello, sizeof copy);
    assert_int_equal(ws_decode(copy, sizeof copy, WS_SERVER, 100, &f, &used), DUN_OK);
    assert_true(f.masked);
    ws_mask(copy + (f.payload.data - copy), f.payload.len, f.mask, 0);
    ASSERT_SLICE(f.payload, "Hello");

    static const uint8_t fragments[] = {0x01, 0x03, 'H', 'e', 'l', 0x80, 0x02, 'l', 'o'};
    assert_int_equal(ws_decode(fragments, sizeof fragments, WS_CLIENT, 100, &f, &used), DUN_OK);
    assert_true(!f.fin && f.opcode == WS_TEXT && used == 5);
    assert_int_equal(ws_decode(fragments + 5, 4, WS_CLIENT, 100, &f, &used), DUN_OK);
    assert_true(f.fin && f.opcode == WS_CONTINUATION);
}

static void every_prefix_asks_for_more(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 125, 126, 127, 65535, 65536, 70000};
    static const uint8_t mask[4] = {1, 2, 3, 4};
    for (size_t i = 0; i < DUN_COUNT(sizes); i++) {
        struct dun_buf b = {0};
        uint8_t *payload = calloc(1, sizes[i] + 1);
        struct ws_frame f;
        size_t used;
        ws_write(&b, WS_BINARY, dun_slice(payload, sizes[i]), mask);
        size_t header = b.len - sizes[i];
        for (size_t n = 0; n < b.len; n = n < 20 || n + 20 >= b.len ? n + 1 : b.len - 20) {
            ROW(i, decode(dun_slice(b.data, n), WS_SERVER, 70000, &f, &used) == DUN_E_MORE);
        }
        ROW(i, decode(dun_buf_view(&b), WS_SERVER, 70000, &f, &used) == DUN_OK);
        ROW(i, used == b.len && f.payload.len == sizes[i] && header <= WS_HEADER_MAX);
        free(payload);
        dun_buf_deinit(&b);
    }
}

static void bad_frames_are_refused_at_the_byte_that_shows_it(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len, shows; /* bytes needed to see it */
        enum ws_role role;
        dun_err want;
    } t[] = {
        {"\xc1\x85", 2, 1, WS_SERVER, DUN_E_MALFORMED}, /* RSV1 */
        {"\xa1\x85", 2, 1, WS_SERVER, DUN_E_MALFORMED}, /* RSV2 */
        {"\x91\x85", 2, 1, WS_SERVER, DUN_E_MALFORMED}, /* RSV3 */
        {"\x83\x85", 2, 1, WS_SERVER, DUN_E_MALFORMED}, /* opcode 3 */
        {"\x8b\x85", 2, 1, WS_SERVER, DUN_E_MALFORMED}, /* opcode 11 */
        {"\x8f\x85", 2, 1, WS_SERVER, DUN_E_MALFORMED},
        {"\x09\x80", 2, 1, WS_SERVER, DUN_E_MALFORMED},                       /* fragmented ping */
        {"\x81\x05", 2, 2, WS_SERVER, DUN_E_MALFORMED},                       /* not masked */
        {"\x81\x85", 2, 2, WS_CLIENT, DUN_E_MALFORMED},                       /* masked */
        {"\x88\xfe", 2, 2, WS_SERVER, DUN_E_MALFORMED},                       /* long close */
        {"\x89\xff", 2, 2, WS_SERVER, DUN_E_MALFORMED},                       /* long ping */
        {"\x81\xfe\x00\x7d", 4, 4, WS_SERVER, DUN_E_MALFORMED},               /* not shortest */
        {"\x81\xff\0\0\0\0\0\0\xff\xff", 10, 10, WS_SERVER, DUN_E_MALFORMED}, /* not shortest */
        {"\x81\xff\x80\0\0\0\0\0\0\0", 10, 10, WS_SERVER, DUN_E_MALFORMED},   /* top bit */
        {"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 10, 10, WS_SERVER, DUN_E_TOO_BIG},
        {"\x81\xff\0\0\0\0\0\1\0\0", 10, 10, WS_SERVER, DUN_E_TOO_BIG},
        {"\x81\xfe\x03\xe9", 4, 4, WS_SERVER, DUN_E_TOO_BIG}, /* 1001 over 1000 */
        {"\x81\xfe\x03\xe8", 4, 5, WS_SERVER, DUN_E_MORE},    /* 1000 is not */
    };
    struct ws_frame f;
    size_t used;
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        for (size_t n = 0; n <= t[i].len; n++) {
            dun_err want = n < t[i].shows ? DUN_E_MORE : t[i].want;
            ROW(i, decode(dun_slice(t[i].bytes, n), t[i].role, 1000, &f, &used) == want);
        }
    }
}

static void masking_in_pieces_is_masking_at_once(void **state)
{
    (void)state;
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t a[67], b[67];
    for (size_t cut = 0; cut <= sizeof a; cut++) {
        for (size_t i = 0; i < sizeof a; i++)
            a[i] = b[i] = (uint8_t)(i * 7);
        ws_mask(a, sizeof a, mask, 0);
        ws_mask(b, cut, mask, 0);
        ws_mask(b + cut, sizeof b - cut, mask, cut);
        assert_memory_equal(a, b, sizeof a);
        for (size_t i = 0; i < sizeof a; i++)
            assert_int_equal(a[i], (uint8_t)(i * 7) ^ mask[i % 4]);
    }
}

static void close_codes_follow_the_registry(void **state)
{
    (void)state;
    static const struct {
        uint16_t code;
        bool want;
    } t[] = {{0, false},    {999, false}, {1000, true}, {1003, true},  {1004, false}, {1005, false},
             {1006, false}, {1007, true}, {1014, true}, {1015, false}, {1016, false}, {2999, false},
             {3000, true},  {3500, true}, {4999, true}, {5000, false}, {65535, false}};
    for (size_t i = 0; i < DUN_COUNT(t); i++)
        ROW(i, ws_close_code_valid(t[i].code) == t[i].want);
}

static void close_frames_round_trip(void **state)
{
    (void)state;
    struct dun_buf b = {0};
    struct ws_frame f;
    struct dun_slice reason;
    size_t used;
    uint16_t code;
    ws_write_close(&b, 3500, S("invalid token"), NULL);
    assert_int_equal(ws_decode(b.data, b.len, WS_CLIENT, 200, &f, &used), DUN_OK);
    assert_int_equal(ws_parse_close(f.payload, &code, &reason), DUN_OK);
    assert_int_equal(code, 3500);
    ASSERT_SLICE(reason, "invalid token");

    b.len = 0;
    ws_write_close(&b, WS_CLOSE_NONE, S(""), NULL);
    assert_int_equal(b.len, 2);
    assert_int_equal(ws_parse_close(S(""), &code, &reason), DUN_OK);
    assert_int_equal(code, WS_CLOSE_NONE);

    char longer[200]; /* 122 letters, then two-byte characters: cut before one */
    memset(longer, 'a', 122);
    for (size_t i = 122; i < 200; i += 2)
        memcpy(longer + i, "\xc3\xa9", 2);
    b.len = 0;
    ws_write_close(&b, 1000, dun_slice(longer, sizeof longer), NULL);
    assert_int_equal(ws_decode(b.data, b.len, WS_CLIENT, 200, &f, &used), DUN_OK);
    assert_int_equal(ws_parse_close(f.payload, &code, &reason), DUN_OK);
    assert_int_equal(reason.len, 122);
    dun_buf_deinit(&b);
}

static void bad_close_payloads_are_refused(void **state)
{
    (void)state;
    uint16_t code;
    struct dun_slice reason;
    assert_int_equal(ws_parse_close(LIT("\x03"), &code, &reason), DUN_E_MALFORMED);
    assert_int_equal(ws_parse_close(LIT("\x03\xed"), &code, &reason), DUN_E_MALFORMED); /* 1005 */
    assert_int_equal(ws_parse_close(LIT("\x03\xe8\xff"), &code, &reason), DUN_E_MALFORMED);
    assert_int_equal(ws_parse_close(LIT("\x03\xe8ok"), &code, &reason), DUN_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rfc_s_examples_decode),
        cmocka_unit_test(every_prefix_asks_for_more),
        cmocka_unit_test(bad_frames_are_refused_at_the_byte_that_shows_it),
        cmocka_unit_test(masking_in_pieces_is_masking_at_once),
        cmocka_unit_test(close_codes_follow_the_registry),
        cmocka_unit_test(close_frames_round_trip),
        cmocka_unit_test(bad_close_payloads_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
