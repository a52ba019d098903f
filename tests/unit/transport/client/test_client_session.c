/* tests/unit/transport/client/test_client_session.c: the protocol machine against
 * a scripted server, in virtual time, fed one byte at a time. */
#include "transport/client/client_session.h"

#include "base/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct client_session s;
    struct dun_prng prng;
    struct dun_buf trace; /* what the handlers saw */
    uint64_t now;
    bool unsubscribe_in_message;
};

static void note(struct fixture *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void note(struct fixture *f, const char *fmt, ...)
{
    char line[400];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    dun_buf_add(&f->trace, line, (size_t)n);
}

/* The trace so far must be @want; it starts anew. */
static void expect(struct fixture *f, const char *want)
{
    dun_buf_byte(&f->trace, 0);
    assert_string_equal((const char *)f->trace.data, want);
    f->trace.len = 0;
}

static void on_connected(void *ctx, struct dun_slice id)
{
    note(ctx, "connected %.*s\n", (int)id.len, (const char *)id.data);
}

static void on_subscribed(void *ctx, struct client_sub *sub, const struct client_subscribed *how)
{
    note(ctx, "subscribed %s %s:%d%s%s\n", sub->channel, sub->at.epoch, (int)sub->at.seq,
         how->was_recovering ? " was" : "", how->recovered ? " recovered" : "");
}

static void on_message(void *ctx, struct client_sub *sub, const struct client_message *m)
{
    struct fixture *f = ctx;
    note(f, "%s %d %.*s%s\n", sub->channel, (int)m->seq, (int)m->data.len,
         (const char *)m->data.data, m->recovered ? " r" : "");
    if (f->unsubscribe_in_message) client_session_unsubscribe(&f->s, sub);
}

static void on_gap(void *ctx, struct client_sub *sub, const struct client_gap *g)
{
    note(ctx, "gap %s kind=%d %d..%d %.*s\n", sub->channel, (int)g->kind, (int)g->from, (int)g->to,
         (int)g->reason.len, (const char *)g->reason.data);
}

static void on_unsubscribed(void *ctx, struct client_sub *sub, uint32_t code,
                            struct dun_slice reason)
{
    note(ctx, "unsubscribed %s %u %.*s\n", sub->channel, code, (int)reason.len,
         (const char *)reason.data);
}

static void on_answer(void *ctx, const struct client_answer *a)
{
    note(ctx, "answer %d %u%s\n", (int)a->e, a->code, a->temporary ? " temporary" : "");
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const struct client_handlers h = {.ctx = f,
                                      .connected = on_connected,
                                      .subscribed = on_subscribed,
                                      .message = on_message,
                                      .gap = on_gap,
                                      .unsubscribed = on_unsubscribed};
    dun_prng_seed(&f->prng, 1);
    client_session_init(&f->s, &h, NULL, &f->prng);
    f->now = 1000;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    client_session_deinit(&f->s);
    dun_buf_deinit(&f->trace);
    free(f);
    return 0;
}

/* ---- the scripted server ---- */

static void feed(struct fixture *f, struct dun_slice bytes)
{
    for (size_t i = 0; i < bytes.len && !f->s.end.ended; i++)
        client_session_recv(&f->s, f->now, bytes.data + i, 1);
}

static void say(struct fixture *f, const char *text)
{
    struct dun_buf b = {0};
    ws_write(&b, WS_TEXT, dun_slice_str(text), NULL);
    feed(f, dun_buf_view(&b));
    dun_buf_deinit(&b);
}

static void say_close(struct fixture *f, uint16_t code, const char *reason)
{
    struct dun_buf b = {0};
    ws_write_close(&b, code, dun_slice_str(reason), NULL);
    feed(f, dun_buf_view(&b));
    dun_buf_deinit(&b);
}

/* What the client sent must be one message of this text (or nothing: ""). */
static void sent(struct fixture *f, const char *want)
{
    struct ws_frame frame;
    size_t used = 0;
    char text[4096] = "";
    client_session_flush(&f->s);
    if (f->s.out.len > 0) {
        assert_int_equal(
            ws_decode(f->s.out.data, f->s.out.len, WS_SERVER, sizeof text - 1, &frame, &used),
            DUN_OK);
        assert_int_equal(used, f->s.out.len);
        memcpy(text, frame.payload.data, frame.payload.len);
        ws_mask((uint8_t *)text, frame.payload.len, frame.mask, 0);
    }
    assert_string_equal(text, want);
    f->s.out.len = 0;
}

static void upgrade(struct fixture *f)
{
    struct http_reader reader = {0};
    struct http_request req;
    struct dun_slice key;
    struct dun_buf b = {0};
    size_t used;
    client_session_open(&f->s, f->now, "host:1", "");
    assert_int_equal(http_read(&reader, f->s.out.data, f->s.out.len, &req, &used), DUN_OK);
    assert_int_equal(ws_check_request(&req, &key), DUN_OK);
    assert_true(dun_slice_is(req.path, "/connection/websocket"));
    ws_write_accept(&b, key, NULL);
    f->s.out.len = 0;
    feed(f, dun_buf_view(&b));
    dun_buf_deinit(&b);
    assert_int_equal(f->s.state, CLIENT_CONNECTING);
}

#define HELLO "{\"id\":%d,\"connect\":{\"client\":\"c1\",\"ping\":25,\"pong\":true}}"

/* Upgrades and answers connect, which is request @id. */
static void become_ready(struct fixture *f, int id)
{
    char hello[200];
    upgrade(f);
    f->s.out.len = 0;
    (void)snprintf(hello, sizeof hello, HELLO, id);
    say(f, hello);
    assert_int_equal(f->s.state, CLIENT_READY);
    expect(f, "connected c1\n");
}

static struct client_sub *subscribe(struct fixture *f, const char *channel,
                                    const struct client_position *since)
{
    struct client_sub *sub;
    dun_err e = client_session_subscribe(&f->s, channel, since, NULL, &sub);
    assert_int_equal(e, DUN_OK);
    return sub;
}

/* ---- the claims ---- */

static void connect_and_subscribes_leave_in_one_message(void **state)
{
    struct fixture *f = *state;
    const struct client_position since = {"ep", 7};
    (void)subscribe(f, "a", NULL);
    (void)subscribe(f, "b", &since);
    upgrade(f);
    sent(f, "{\"id\":1,\"connect\":{\"name\":\"dunlin\",\"version\":\"" DUN_VERSION "\"}}\n"
            "{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"recoverable\":true}}\n"
            "{\"id\":3,\"subscribe\":{\"channel\":\"b\",\"recover\":true,\"epoch\":\"ep\","
            "\"offset\":7,\"recoverable\":true}}");
}

static void messages_after_a_reconnect_continue_from_the_saved_position(void **state)
{
    struct fixture *f = *state;
    struct client_sub *sub = subscribe(f, "a", NULL);
    become_ready(f, 1);
    say(f, "{\"id\":2,\"subscribe\":{\"recoverable\":true,\"positioned\":true,\"epoch\":\"ep\","
           "\"offset\":5}}\n{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":1.10,\"offset\":6}}}");
    expect(f, "subscribed a ep:5\na 6 1.10\n");
    client_session_lost(&f->s, f->now);
    upgrade(f);
    sent(f, "{\"id\":3,\"connect\":{\"name\":\"dunlin\",\"version\":\"" DUN_VERSION "\"}}\n"
            "{\"id\":4,\"subscribe\":{\"channel\":\"a\",\"recover\":true,\"epoch\":\"ep\","
            "\"offset\":6,\"recoverable\":true}}");
    say(f, "{\"id\":3,\"connect\":{\"client\":\"c2\",\"ping\":25,\"pong\":true}}");
    say(f, "{\"id\":4,\"subscribe\":{\"recoverable\":true,\"was_recovering\":true,"
           "\"recovered\":true,\"epoch\":\"ep\",\"offset\":6,\"publications\":["
           "{\"data\":{\"x\":[1]},\"offset\":7},{\"data\":\"y\",\"offset\":8}]}}");
    say(f, "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":9,\"offset\":9}}}");
    expect(
        f,
        "connected c2\nsubscribed a ep:6 was recovered\na 7 {\"x\":[1]} r\na 8 \"y\" r\na 9 9\n");
    assert_int_equal(sub->at.seq, 9);
}

static void what_the_server_could_not_recover_is_reported(void **state)
{
    struct fixture *f = *state;
    const struct client_position since = {"ep", 7};
    (void)subscribe(f, "a", &since);
    (void)subscribe(f, "b", &since);
    (void)subscribe(f, "c", &since);
    become_ready(f, 1);
    say(f, "{\"id\":2,\"subscribe\":{\"recoverable\":true,\"was_recovering\":true,\"epoch\":\"ep\","
           "\"offset\":20,\"gap\":{\"from\":8,\"to\":12,\"reason\":\"expired\"}}}");
    say(f, "{\"id\":3,\"subscribe\":{\"recoverable\":true,\"was_recovering\":true,\"epoch\":\"ep\","
           "\"offset\":20}}");
    say(f, "{\"id\":4,\"subscribe\":{\"recoverable\":true,\"was_recovering\":true,\"epoch\":\"e2\","
           "\"offset\":3}}");
    expect(f, "subscribed a ep:20 was\ngap a kind=0 8..12 expired\n"
              "subscribed b ep:20 was\ngap b kind=0 8..20 over_limit or expired\n"
              "subscribed c e2:3 was\ngap c kind=0 1..0 epoch_changed\n");
}

static void jumps_and_repeats_of_seq_are_reported_and_handed_on(void **state)
{
    struct fixture *f = *state;
    struct client_sub *sub = subscribe(f, "a", NULL);
    become_ready(f, 1);
    say(f, "{\"id\":2,\"subscribe\":{\"recoverable\":true,\"epoch\":\"ep\",\"offset\":5}}");
    say(f, "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":1,\"offset\":7}}}");
    say(f, "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":2,\"offset\":7}}}");
    expect(f, "subscribed a ep:5\ngap a kind=1 6..6 the server skipped them\na 7 1\n"
              "gap a kind=2 7..7 the server repeated itself\na 7 2\n");
    assert_int_equal(sub->at.seq, 7);
    say(f, "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":3,\"offset\":6}}}\n"
           "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":4,\"offset\":8}}}");
    expect(f, "gap a kind=2 6..7 the server repeated itself\na 6 3\na 8 4\n");
}

static void an_unsubscribe_from_2500_on_resubscribes_at_once(void **state)
{
    struct fixture *f = *state;
    (void)subscribe(f, "a", NULL);
    become_ready(f, 1);
    say(f, "{\"id\":2,\"subscribe\":{\"recoverable\":true,\"epoch\":\"ep\",\"offset\":5}}");
    expect(f, "subscribed a ep:5\n");
    say(f, "{\"push\":{\"channel\":\"a\",\"unsubscribe\":{\"code\":2500,\"reason\":\"x\"}}}");
    sent(f, "{\"id\":3,\"subscribe\":{\"channel\":\"a\",\"recover\":true,\"epoch\":\"ep\","
            "\"offset\":5,\"recoverable\":true}}");
    say(f, "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":1,\"offset\":6}}}");
    expect(f, ""); /* not subscribed at this moment */
}

static void an_unsubscribe_below_2500_is_final(void **state)
{
    struct fixture *f = *state;
    (void)subscribe(f, "a", NULL);
    become_ready(f, 1);
    say(f, "{\"id\":2,\"subscribe\":{}}");
    say(f, "{\"push\":{\"channel\":\"a\",\"unsubscribe\":{\"code\":2499,\"reason\":\"no\"}}}");
    expect(f, "subscribed a :0\nunsubscribed a 2499 no\n");
    sent(f, "");
    assert_int_equal(f->s.sub_count, 0);
}

static void a_temporary_subscribe_error_is_tried_again_and_another_is_final(void **state)
{
    struct fixture *f = *state;
    (void)subscribe(f, "a", NULL);
    (void)subscribe(f, "b", NULL);
    become_ready(f, 1);
    say(f, "{\"id\":2,\"error\":{\"code\":100,\"message\":\"m\",\"temporary\":true}}");
    say(f, "{\"id\":3,\"error\":{\"code\":103,\"message\":\"permission denied\"}}");
    expect(f, "unsubscribed b 103 permission denied\n");
    sent(f, "");
    uint64_t at = client_session_deadline_ms(&f->s);
    assert_in_range(at, f->now + 1, f->now + 200);
    client_session_tick(&f->s, at - 1);
    sent(f, "");
    client_session_tick(&f->s, at);
    sent(f, "{\"id\":4,\"subscribe\":{\"channel\":\"a\",\"recoverable\":true}}");
}

static void close_codes_decide_whether_to_come_back(void **state)
{
    static const struct {
        uint16_t code;
        bool terminal;
    } t[] = {{1000, false}, {1009, false}, {3000, false}, {3001, false}, {3012, false},
             {3499, false}, {3500, true},  {3501, true},  {3999, true},  {4000, false},
             {4499, false}, {4500, true},  {4999, true}};
    (void)state;
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        void *own;
        setup(&own);
        struct fixture *f = own;
        become_ready(f, 1);
        say_close(f, t[i].code, "why");
        assert_true(f->s.end.ended);
        assert_int_equal(f->s.end.code, t[i].code);
        if (f->s.end.terminal != t[i].terminal) fail_msg("code %u", t[i].code);
        assert_non_null(strstr(f->s.end.text, "why"));
        assert_true(f->s.out.len > 0); /* the close is answered */
        teardown(&own);
    }
}

static void close_3014_forgets_the_position(void **state)
{
    struct fixture *f = *state;
    const struct client_position since = {"ep", 7};
    struct client_sub *sub = subscribe(f, "a", &since);
    become_ready(f, 1);
    say_close(f, 3014, "state invalidated");
    assert_string_equal(sub->at.epoch, "_");
}

static void a_refused_connect_is_final_unless_temporary(void **state)
{
    static const struct {
        const char *text;
        bool terminal;
    } t[] = {
        {"{\"id\":1,\"error\":{\"code\":109,\"message\":\"token expired\"}}", true},
        {"{\"id\":1,\"error\":{\"code\":101,\"message\":\"unauthorized\"}}", true},
        {"{\"id\":1,\"error\":{\"code\":100,\"message\":\"m\",\"temporary\":true}}", false},
    };
    (void)state;
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        void *own;
        setup(&own);
        struct fixture *f = own;
        upgrade(f);
        say(f, t[i].text);
        assert_true(f->s.end.ended);
        assert_int_equal(f->s.end.terminal, t[i].terminal);
        teardown(&own);
    }
}

static void pings_are_answered_and_silence_ends_the_connection(void **state)
{
    struct fixture *f = *state;
    become_ready(f, 1);
    say(f, "{}");
    sent(f, "{}");
    uint64_t dead = f->now + 25000 + CLIENT_PING_GRACE_MS;
    assert_int_equal(client_session_deadline_ms(&f->s), dead);
    client_session_tick(&f->s, dead - 1);
    assert_false(f->s.end.ended);
    client_session_tick(&f->s, dead);
    assert_true(f->s.end.ended);
    assert_false(f->s.end.terminal);
}

static void a_short_ping_interval_finds_a_dead_server_soon(void **state)
{
    struct fixture *f = *state;
    become_ready(f, 1);
    f->s.ping_ms = 3000; /* as a connect answer with "ping":3 sets it */
    say(f, "{}");
    assert_int_equal(client_session_deadline_ms(&f->s), f->now + 6000);
    f->s.ping_ms = 0; /* the server does not ping */
    assert_true(client_session_deadline_ms(&f->s) == UINT64_MAX);
}

static void publishes_get_exactly_one_answer(void **state)
{
    struct fixture *f = *state;
    struct dun_slice c = dun_slice_str("a"), d = dun_slice_str("1");
    assert_int_equal(client_session_publish(&f->s, f->now, c, d, on_answer, f), DUN_E_CLOSED);
    become_ready(f, 1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(client_session_publish(&f->s, f->now, c, d, on_answer, f), DUN_OK);
    sent(f, "{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":1}}\n"
            "{\"id\":3,\"publish\":{\"channel\":\"a\",\"data\":1}}\n"
            "{\"id\":4,\"publish\":{\"channel\":\"a\",\"data\":1}}\n"
            "{\"id\":5,\"publish\":{\"channel\":\"a\",\"data\":1}}");
    say(f, "{\"id\":4,\"publish\":{}}\n"
           "{\"id\":2,\"error\":{\"code\":100,\"message\":\"m\",\"temporary\":true}}\n"
           "{\"id\":4,\"publish\":{}}");
    expect(f, "answer 0 0\nanswer -103 100 temporary\n");
    client_session_tick(&f->s, f->now + CLIENT_REQUEST_MS);
    expect(f, "answer -203 0\nanswer -203 0\n");
    f->now += CLIENT_REQUEST_MS;
    assert_int_equal(client_session_publish(&f->s, f->now, c, d, on_answer, f), DUN_OK);
    client_session_lost(&f->s, f->now);
    expect(f, "answer -204 0\n");
}

static void a_request_that_is_answered_with_another_kind_is_answered_too(void **state)
{
    struct fixture *f = *state;
    struct dun_slice c = dun_slice_str("a"), d = dun_slice_str("1");
    become_ready(f, 1);
    assert_int_equal(client_session_publish(&f->s, f->now, c, d, on_answer, f), DUN_OK);
    say(f, "{\"id\":2,\"history\":{\"epoch\":\"e\",\"offset\":1}}");
    assert_true(f->s.end.ended);
    client_session_lost(&f->s, f->now);
    expect(f, "answer -204 0\n");
}

static void the_window_of_requests_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct dun_slice c = dun_slice_str("a"), d = dun_slice_str("1");
    become_ready(f, 1);
    for (int i = 0; i < CLIENT_INFLIGHT_MAX; i++)
        assert_int_equal(client_session_publish(&f->s, f->now, c, d, NULL, NULL), DUN_OK);
    assert_int_equal(client_session_publish(&f->s, f->now, c, d, NULL, NULL), DUN_E_FULL);
    say(f, "{\"id\":2,\"publish\":{}}");
    assert_int_equal(client_session_publish(&f->s, f->now, c, d, NULL, NULL), DUN_OK);
    struct dun_slice big = {(const uint8_t *)"", DUN_CLIENT_FRAME_MAX};
    assert_int_equal(client_session_publish(&f->s, f->now, c, big, NULL, NULL), DUN_E_TOO_BIG);
}

static void a_subscribe_without_answer_drops_the_connection(void **state)
{
    struct fixture *f = *state;
    (void)subscribe(f, "a", NULL);
    become_ready(f, 1);
    client_session_tick(&f->s, f->now + CLIENT_REQUEST_MS - 1);
    assert_false(f->s.end.ended);
    client_session_tick(&f->s, f->now + CLIENT_REQUEST_MS);
    assert_true(f->s.end.ended);
}

static void a_handler_may_unsubscribe(void **state)
{
    struct fixture *f = *state;
    (void)subscribe(f, "a", NULL);
    become_ready(f, 1);
    f->unsubscribe_in_message = true;
    say(f, "{\"id\":2,\"subscribe\":{\"recoverable\":true,\"epoch\":\"ep\",\"offset\":5}}\n"
           "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":1,\"offset\":6}}}\n"
           "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":2,\"offset\":7}}}");
    expect(f, "subscribed a ep:5\na 6 1\n");
    sent(f, "{\"id\":3,\"unsubscribe\":{\"channel\":\"a\"}}");
    assert_int_equal(f->s.sub_count, 0);
}

static void messages_in_fragments_are_put_together(void **state)
{
    struct fixture *f = *state;
    struct dun_buf b = {0};
    static const char text[] = "{\"id\":2,\"publish\":{}}";
    uint8_t header[WS_HEADER_MAX];
    become_ready(f, 1);
    dun_err e =
        client_session_publish(&f->s, f->now, dun_slice_str("a"), dun_slice_str("1"), on_answer, f);
    assert_int_equal(e, DUN_OK);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        bool last = i == sizeof text - 2;
        size_t n = ws_encode_header(header, i == 0 ? WS_TEXT : WS_CONTINUATION, last, 1, NULL);
        dun_buf_add(&b, header, n);
        dun_buf_byte(&b, (uint8_t)text[i]);
    }
    feed(f, dun_buf_view(&b));
    dun_buf_deinit(&b);
    expect(f, "answer 0 0\n");
}

static void nonsense_ends_the_connection_but_not_the_client(void **state)
{
    static const char *const lines[] = {"nonsense", "[]", "{\"id\":1,\"publish\":{}}",
                                        "{\"id\":1,\"connect\":{}}", "{\"id\":\"1\"}"};
    (void)state;
    for (size_t i = 0; i < DUN_COUNT(lines); i++) {
        void *own;
        setup(&own);
        struct fixture *f = own;
        upgrade(f);
        say(f, lines[i]);
        if (!f->s.end.ended || f->s.end.terminal) fail_msg("%s", lines[i]);
        teardown(&own);
    }
}

static void an_upgrade_that_is_refused_says_what_came(void **state)
{
    struct fixture *f = *state;
    client_session_open(&f->s, f->now, "h", "");
    feed(f, dun_slice_str("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"));
    assert_true(f->s.end.ended);
    assert_false(f->s.end.terminal);
    assert_non_null(strstr(f->s.end.text, "503"));
    client_session_lost(&f->s, f->now);
    client_session_open(&f->s, f->now, "h", "");
    client_session_tick(&f->s, f->now + CLIENT_HANDSHAKE_MS);
    assert_true(f->s.end.ended);
}

static void channel_names_are_checked(void **state)
{
    struct fixture *f = *state;
    struct client_sub *sub;
    char name[DUN_CHANNEL_MAX + 2];
    memset(name, 'a', sizeof name);
    name[DUN_CHANNEL_MAX + 1] = '\0';
    assert_int_equal(client_session_subscribe(&f->s, "", NULL, NULL, &sub), DUN_E_MALFORMED);
    assert_int_equal(client_session_subscribe(&f->s, "\xff", NULL, NULL, &sub), DUN_E_MALFORMED);
    assert_int_equal(client_session_subscribe(&f->s, name, NULL, NULL, &sub), DUN_E_TOO_BIG);
    name[DUN_CHANNEL_MAX] = '\0';
    assert_int_equal(client_session_subscribe(&f->s, name, NULL, NULL, &sub), DUN_OK);
    assert_int_equal(client_session_subscribe(&f->s, name, NULL, NULL, &sub), DUN_E_CONFLICT);
    for (int i = 1; i < CLIENT_SUBS_MAX; i++) {
        (void)snprintf(name, sizeof name, "c%d", i);
        (void)subscribe(f, name, NULL);
    }
    assert_int_equal(client_session_subscribe(&f->s, "more", NULL, NULL, &sub), DUN_E_FULL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(connect_and_subscribes_leave_in_one_message),
        T(messages_after_a_reconnect_continue_from_the_saved_position),
        T(what_the_server_could_not_recover_is_reported),
        T(jumps_and_repeats_of_seq_are_reported_and_handed_on),
        T(an_unsubscribe_from_2500_on_resubscribes_at_once),
        T(an_unsubscribe_below_2500_is_final),
        T(a_temporary_subscribe_error_is_tried_again_and_another_is_final),
        T(close_codes_decide_whether_to_come_back),
        T(close_3014_forgets_the_position),
        T(a_refused_connect_is_final_unless_temporary),
        T(pings_are_answered_and_silence_ends_the_connection),
        T(a_short_ping_interval_finds_a_dead_server_soon),
        T(publishes_get_exactly_one_answer),
        T(a_request_that_is_answered_with_another_kind_is_answered_too),
        T(the_window_of_requests_is_bounded),
        T(a_subscribe_without_answer_drops_the_connection),
        T(a_handler_may_unsubscribe),
        T(messages_in_fragments_are_put_together),
        T(nonsense_ends_the_connection_but_not_the_client),
        T(an_upgrade_that_is_refused_says_what_came),
        T(channel_names_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
