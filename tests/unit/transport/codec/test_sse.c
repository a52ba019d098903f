#include "codec_test.h"

#include "transport/codec/sse.h"

/* Everything the parser gives, in one text: "id|event|data;" a piece. */
static void run(struct dun_slice in, size_t step, struct dun_buf *got)
{
    struct sse_parser p;
    sse_init(&p, 1000);
    for (size_t at = 0; at < in.len;) {
        size_t n = in.len - at < step ? in.len - at : step, used = 0;
        uint8_t *piece = exact(dun_slice(in.data + at, n));
        for (size_t k = 0; k < n; k += used) {
            struct sse_event ev;
            dun_err e = sse_next(&p, piece + k, n - k, &used, &ev);
            if (e == DUN_E_MORE) {
                assert_int_equal(used, n - k);
                continue;
            }
            assert_int_equal(e, DUN_OK);
            dun_buf_slice(got, ev.id);
            dun_buf_byte(got, '|');
            dun_buf_slice(got, ev.event);
            dun_buf_byte(got, '|');
            dun_buf_slice(got, ev.data);
            dun_buf_byte(got, ';');
        }
        free(piece);
        at += n;
    }
    sse_deinit(&p);
}

static void events_are_the_same_however_they_are_cut(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want;
    } t[] = {
        {"data: a\n\n", "||a;"},
        {"\xef\xbb\xbf"
         "data: a\n\n",
         "||a;"}, /* byte order mark */
        {"\xef\xbb"
         "data: a\n\n",
         ""},                                                      /* only half of one */
        {"data: YHOO\ndata: +2\ndata: 10\n\n", "||YHOO\n+2\n10;"}, /* the standard's examples */
        {": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third\n\n",
         "1||first event;||second event;|| third;"},
        {"data\n\ndata\ndata\n\ndata:", "||;||\n;"},
        {"data:test\n\ndata: test\n\n", "||test;||test;"},
        {"id: e:5\r\nevent: pub\r\ndata: {}\r\n\r\ndata: 2\r\n\r\n", "e:5|pub|{};e:5||2;"},
        {"data: a\r\rdata: b\r\r", "||a;||b;"},
        {"event: x\n\ndata: a\n\n", "||a;"}, /* an event without data is none */
        {"unknown: 1\ndata: a\nfoo\n\n", "||a;"},
        {"data: cut off\n", ""},
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        for (size_t step = 1; step < 40; step++) {
            struct dun_buf got = {0};
            run(S(t[i].in), step, &got);
            ASSERT_SLICE(dun_buf_view(&got), t[i].want);
            dun_buf_deinit(&got);
        }
    }
}

static void an_id_with_a_nul_is_ignored(void **state)
{
    (void)state;
    struct dun_buf got = {0};
    run(LIT("id: 1\nid: 2\0\ndata: a\n\n"), 3, &got);
    ASSERT_SLICE(dun_buf_view(&got), "1||a;");
    dun_buf_deinit(&got);
}

static void a_line_or_event_over_the_limit_is_refused(void **state)
{
    (void)state;
    struct sse_parser p;
    struct sse_event ev;
    size_t used;
    sse_init(&p, 10);
    assert_int_equal(sse_next(&p, (const uint8_t *)"data: 12345678", 14, &used, &ev),
                     DUN_E_TOO_BIG);
    sse_deinit(&p);
    sse_init(&p, 10);
    assert_int_equal(
        sse_next(&p, (const uint8_t *)"data: 1234\ndata: 1234\ndata: 1\n\n", 31, &used, &ev),
        DUN_E_TOO_BIG);
    sse_deinit(&p);
}

static void retry_is_remembered(void **state)
{
    (void)state;
    struct sse_parser p;
    struct sse_event ev;
    size_t used;
    struct dun_buf b = {0};
    sse_init(&p, 100);
    sse_write_retry(&b, 1500);
    assert_int_equal(sse_next(&p, b.data, b.len, &used, &ev), DUN_E_MORE);
    assert_int_equal(p.retry_ms, 1500);
    assert_int_equal(sse_next(&p, (const uint8_t *)"retry: 1x\n", 10, &used, &ev), DUN_E_MORE);
    assert_int_equal(p.retry_ms, 1500);
    sse_deinit(&p);
    dun_buf_deinit(&b);
}

static void written_events_read_back(void **state)
{
    (void)state;
    struct dun_buf b = {0}, got = {0};
    sse_write_comment(&b, S("hi"));
    sse_write_event(&b, S("e:1"), S("pub"), S("{\"a\":1}"));
    sse_write_event(&b, S(""), S(""), S("x"));
    ASSERT_SLICE(dun_buf_view(&b), ": hi\n\nid: e:1\nevent: pub\ndata: {\"a\":1}\n\ndata: x\n\n");
    run(dun_buf_view(&b), 1, &got);
    ASSERT_SLICE(dun_buf_view(&got), "e:1|pub|{\"a\":1};e:1||x;");
    dun_buf_deinit(&b);
    dun_buf_deinit(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_the_same_however_they_are_cut),
        cmocka_unit_test(an_id_with_a_nul_is_ignored),
        cmocka_unit_test(a_line_or_event_over_the_limit_is_refused),
        cmocka_unit_test(retry_is_remembered),
        cmocka_unit_test(written_events_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
