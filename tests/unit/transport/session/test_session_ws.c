/* Claims of transport/session about WebSocket clients. */
#include "fixture.h"

static void commands_batched_with_connect_are_answered_in_order(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, false);
    fx_say(c, "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n\n"
              "{\"id\":3,\"unsubscribe\":{\"channel\":\"a\"}}\n");
    const char *t = fx_text(c);
    const char *one = strstr(t, "{\"id\":1,\"connect\":"),
               *two = strstr(t, "{\"id\":2,\"subscribe\":"),
               *three = strstr(t, "{\"id\":3,\"unsubscribe\":{}}");
    assert_true(one != NULL && two > one && three > two);
    fx_has(t, "\"ping\":25");
    fx_has(t, "\"pong\":true");
    fx_has(t, "\"epoch\":\"abc\"");
    assert_int_equal(f->hub.sub_count, 0);
    assert_int_equal(f->hub.channels.count, 0);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void bytes_may_come_one_at_a_time(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_client(f);
    struct dun_buf b = {0};
    static const char hello[] = "{\"id\":1,\"connect\":{}}";
    static const char one[] = "{\"id\":2,\"sub", two[] = "scribe\":{\"channel\":\"a\"}}";
    fx_frame(&b, WS_TEXT, hello, sizeof hello - 1);
    ws_write(&b, WS_TEXT, dun_slice(one, 0), (const uint8_t[4]){9, 9, 9, 9});
    b.len -= 6; /* an empty message is not ours to judge; drop it again */
    size_t at = b.len;
    fx_frame(&b, WS_TEXT, one, sizeof one - 1);
    b.data[at] &= 0x7f; /* not the last fragment */
    fx_frame(&b, WS_PING, "hi", 2);
    fx_frame(&b, WS_CONTINUATION, two, sizeof two - 1);
    fx_feed_bytewise(c, fx_upgrade, sizeof fx_upgrade - 1);
    assert_non_null(strstr(fx_http(c), "101"));
    fx_feed_bytewise(c, b.data, b.len);
    const char *t = fx_text(c);
    fx_has(t, "{\"id\":1,\"connect\"");
    fx_has(t, "pong hi");
    fx_has(t, "{\"id\":2,\"subscribe\"");
    assert_int_equal(c->s.in.cap, 0); /* no buffer is kept while nothing is half-read */
    dun_buf_deinit(&b);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void live_messages_come_once_and_in_order(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true);
    struct store_msg *early = fx_log(f, "a", "\"early\"");
    fx_say(c, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
    fx_has(fx_text(c), "\"offset\":1");
    session_hub_deliver(&f->hub, &early, 1); /* the batch that raced with the subscribe */
    assert_string_equal(fx_text(c), "");
    fx_publish(f, "a", "1.10");
    fx_publish(f, "b", "\"not for us\"");
    fx_publish(f, "a", "12345678901234567890");
    const char *t = fx_text(c);
    fx_has(t, "{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":1.10,\"offset\":2");
    fx_has(t, "\"data\":12345678901234567890,\"offset\":3");
    fx_lacks(t, "not for us");
    fx_lacks(t, "early");
    store_msg_unref(early);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void one_encoding_serves_all_subscribers(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c[5];
    for (size_t i = 0; i < 5; i++) {
        c[i] = fx_ws(f, true);
        fx_say(c[i], "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
        fx_text(c[i]);
    }
    uint64_t before = f->hub.encoded;
    fx_publish(f, "a", "1");
    assert_int_equal(f->hub.encoded - before, 1);
    for (size_t i = 0; i < 5; i++) {
        fx_has(fx_text(c[i]), "\"data\":1");
        fx_client_destroy(c[i]);
    }
    fx_destroy(f);
}

static void recovery_gives_exactly_what_was_missed_or_says_why_not(void **state)
{
    (void)state;
    static const struct {
        const char *channel; /* a: 5 kept of 5; short:a: 3 kept of 5 */
        const char *epoch;
        int offset;
        bool recovered;
        const char *has, *lacks;
    } t[] = {
        {"a", "abc", 5, true, "\"offset\":5", "publications"},
        {"a", "abc", 3, true, "\"data\":4", "\"data\":3"},
        {"a", "abc", 0, true, "\"data\":1", "gap"},
        {"a", "", 3, true, "\"data\":5", "gap"},
        {"a", "abd", 3, false, "\"reason\":\"epoch_changed\"", "publications"},
        {"a", "abd", 3, false, "\"offset\":5", "\"recovered\""},
        {"a", "", 9, false, "\"offset\":5", "publications"},
        {"short:a", "abc", 2, true, "\"data\":3", "gap"},
        {"short:a", "abc", 1, false, "\"gap\":{\"from\":2,\"to\":2,\"reason\":\"expired\"}",
         "publications"},
    };
    struct fx *f = fx_create();
    fx_publish_many(f, "a", 1, 5);
    fx_publish_many(f, "short:a", 1, 5);
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct fx_client *c = fx_ws(f, true);
        char say[256];
        snprintf(say, sizeof say,
                 "{\"id\":2,\"subscribe\":{\"channel\":\"%s\",\"recover\":true,\"epoch\":\"%s\","
                 "\"offset\":%d}}",
                 t[i].channel, t[i].epoch, t[i].offset);
        fx_say(c, say);
        const char *got = fx_text(c);
        print_message("row %zu\n", i);
        fx_has(got, "\"was_recovering\":true");
        if (t[i].recovered) {
            fx_has(got, "\"recovered\":true");
        } else {
            fx_lacks(got, "\"recovered\":true");
        }
        fx_has(got, t[i].has);
        fx_lacks(got, t[i].lacks);
        fx_client_destroy(c);
    }
    fx_destroy(f);
}

static void an_unrecoverable_position_is_an_error_for_those_who_ask(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true);
    fx_publish_many(f, "short:a", 1, 9);
    fx_say(c, "{\"id\":2,\"subscribe\":{\"channel\":\"short:a\",\"recover\":true,\"epoch\":\"abc\","
              "\"offset\":1,\"flag\":3}}");
    fx_has(fx_text(c), "{\"id\":2,\"error\":{\"code\":112,");
    assert_int_equal(f->hub.sub_count, 0);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void a_long_gap_is_streamed_behind_the_answer(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    fx_publish_many(f, "a", 1, 700);
    struct fx_client *c = fx_ws(f, true);
    fx_say(c, "{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"recover\":true,\"epoch\":\"abc\"}}");
    fx_publish_many(f, "a", 701, 710); /* while it is behind */
    const char *t = fx_text(c);
    char want[64];
    const char *at = t;
    for (int i = 1; i <= 710; i++) {
        snprintf(want, sizeof want, "%s\"data\":%d,\"offset\":%d,",
                 i <= 300 ? "{" : "{\"push\":{\"channel\":\"a\",\"pub\":{", i, i);
        at = strstr(at, want);
        if (at == NULL) fail_msg("message %d is missing or out of order", i);
        at++;
        assert_null(strstr(at, want)); /* once */
    }
    fx_client_destroy(c);
    fx_destroy(f);
}

static void a_blocked_client_catches_up_from_the_log(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true);
    fx_say(c, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
    fx_text(c);
    session_set_blocked(&c->s, true);
    fx_publish_many(f, "a", 1, 200);
    assert_int_equal(c->s.out_bytes, 0); /* nothing queues up */
    assert_false(session_hub_pump(&f->hub));
    session_set_blocked(&c->s, false);
    const char *t = fx_text(c);
    fx_has(t, "\"data\":1,\"offset\":1,");
    fx_has(t, "\"data\":200,\"offset\":200,");
    fx_publish(f, "a", "201");
    fx_has(fx_text(c), "\"data\":201,\"offset\":201,");
    fx_client_destroy(c);
    fx_destroy(f);
}

static void a_client_that_the_log_left_behind_is_told(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true);
    fx_say(c, "{\"id\":2,\"subscribe\":{\"channel\":\"short:a\"}}");
    fx_text(c);
    session_set_blocked(&c->s, true);
    fx_publish_many(f, "short:a", 1, 9);
    session_set_blocked(&c->s, false);
    assert_string_equal(fx_text(c), "{\"push\":{\"channel\":\"short:a\",\"unsubscribe\":{\"code\":"
                                    "2500,\"reason\":\"insufficient state\"}}}");
    assert_int_equal(f->hub.sub_count, 0);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void a_new_epoch_reaches_those_who_stayed_connected(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true), *d = fx_ws(f, true);
    fx_say(c, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
    fx_say(d, "{\"id\":2,\"subscribe\":{\"channel\":\"bare:a\"}}");
    fx_text(c);
    fx_text(d);
    fx_set_epoch(f, FX_EPOCH + 1);
    bool groups[DUN_GROUPS_MAX];
    memset(groups, true, sizeof groups);
    session_hub_resync(&f->hub, groups);
    fx_has(fx_text(c), "\"code\":2500");
    assert_string_equal(fx_text(d), ""); /* was promised nothing */
    fx_publish(f, "bare:a", "1");
    fx_has(fx_text(d), "\"data\":1");
    fx_client_destroy(c);
    fx_client_destroy(d);
    fx_destroy(f);
}

static void a_slow_client_of_a_channel_without_history_is_closed(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true);
    fx_say(c, "{\"id\":2,\"subscribe\":{\"channel\":\"bare:a\"}}");
    fx_lacks(fx_text(c), "epoch");
    session_set_blocked(&c->s, true);
    char *big = dun_malloc(60001);
    memset(big, '7', 60000);
    big[60000] = '\0';
    for (int i = 0; i < 30; i++)
        fx_publish(f, "bare:a", big);
    assert_true(c->s.out_bytes < SESSION_OUT_MAX + 70000); /* bounded */
    assert_int_equal(c->s.phase, SESSION_FINISHING);
    assert_int_equal(f->hub.shed, 1);
    fx_has(fx_text(c), "close 3008 slow");
    dun_free(big);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void a_resume_ahead_of_this_peers_log_waits_for_it(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true), *d = fx_ws(f, true);
    static const char say[] = "{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"recover\":true,"
                              "\"epoch\":\"abc\",\"offset\":2}}";
    fx_publish(f, "a", "1");
    fx_say(c, say);
    assert_string_equal(fx_text(c), "");
    fx_publish(f, "a", "2");
    fx_has(fx_text(c), "\"recovered\":true");
    fx_publish(f, "a", "3");
    fx_has(fx_text(c), "\"data\":3,\"offset\":3");
    /* It never comes: say so in time. */
    fx_say(d, "{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"recover\":true,\"epoch\":\"abc\","
              "\"offset\":9}}");
    assert_string_equal(fx_text(d), "");
    for (int i = 0; i < 5; i++)
        fx_time(f, 1000);
    const char *t = fx_text(d);
    fx_has(t, "{\"id\":2,\"subscribe\":");
    fx_lacks(t, "\"recovered\":true");
    fx_has(t, "\"offset\":3");
    fx_client_destroy(c);
    fx_client_destroy(d);
    fx_destroy(f);
}

static void unsubscribing_a_waiting_subscribe_answers_both(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true);
    fx_say(c, "{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"recover\":true,\"epoch\":\"abc\","
              "\"offset\":2}}\n{\"id\":3,\"unsubscribe\":{\"channel\":\"a\"}}\n"
              "{\"id\":4,\"subscribe\":{\"channel\":\"a\"}}");
    const char *t = fx_text(c);
    fx_has(t, "{\"id\":2,\"subscribe\":");
    fx_has(t, "{\"id\":3,\"unsubscribe\":{}}");
    fx_has(t, "{\"id\":4,\"subscribe\":");
    assert_int_equal(f->hub.sub_count, 1);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void publishes_are_answered_when_they_are_committed(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true);
    fx_say(c, "{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":{\"x\": 1}}}\n"
              "{\"id\":3,\"publish\":{\"channel\":\"a\",\"data\":2}}");
    assert_string_equal(fx_text(c), "");
    assert_string_equal(f->submitted, "a||2");
    struct node_reply second = {.cookie = f->cookies[1], .err = DUN_E_TIMEOUT};
    struct node_reply first = {.cookie = f->cookies[0], .seq = 1, .epoch = FX_EPOCH};
    session_hub_replied(&f->hub, &second);
    session_hub_replied(&f->hub, &first);
    session_hub_replied(&f->hub, &first); /* a repeat changes nothing */
    assert_string_equal(fx_text(c),
                        "{\"id\":3,\"error\":{\"code\":100,\"message\":\"internal server error\","
                        "\"temporary\":true}}\n{\"id\":2,\"publish\":{}}");
    fx_client_destroy(c);
    assert_int_equal(f->hub.pending_count, 0);
    fx_destroy(f);
}

static void an_answer_for_a_client_that_left_reaches_nobody(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true);
    fx_say(c, "{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":1}}");
    fx_client_destroy(c);
    struct node_reply r = {.cookie = f->cookies[0]};
    assert_int_equal(f->hub.pending_count, 1);
    session_hub_replied(&f->hub, &r);
    assert_int_equal(f->hub.pending_count, 0);
    struct fx_client *d = fx_ws(f, true);
    fx_say(d, "{\"id\":9,\"publish\":{\"channel\":\"a\",\"data\":1}}");
    assert_int_not_equal(f->cookies[1], f->cookies[0]); /* the same slot, another generation */
    session_hub_replied(&f->hub, &r);
    assert_string_equal(fx_text(d), "");
    session_hub_fail_pending(&f->hub, DUN_E_TIMEOUT);
    fx_has(fx_text(d), "{\"id\":9,\"error\":{\"code\":100");
    fx_client_destroy(d);
    fx_destroy(f);
}

static void bad_input_has_its_close_code(void **state)
{
    (void)state;
    static const struct {
        const char *say, *want;
    } t[] = {
        {"{", "close 3501 bad request"},
        {"[]", "close 3501 bad request"},
        {"{\"id\":2}", "close 3501 bad request"},
        {"{\"id\":2,\"ping\":{}}", "close 3501 bad request"},
        {"{\"id\":2,\"connect\":{}}", "close 3501 bad request"},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"\"}}", "close 3501 bad request"},
        {"{\"id\":2,\"subscribe\":{\"channel\":7}}", "close 3501 bad request"},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"delta\":\"x\"}}", "close 3501 bad request"},
        {"{\"send\":{\"data\":1}}", "close 3508 not available"},
        {"{\"id\":2,\"rpc\":{\"method\":\"x\"}}", "\"code\":108"},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"type\":1}}", "\"code\":108"},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"x:a\"}}", "\"code\":102"},
        {"{\"id\":2,\"subscribe\":{\"channel\":\"$a\"}}", "\"code\":103"},
        {"{\"id\":2,\"publish\":{\"channel\":\"a\"}}", "\"code\":107"},
        {"{\"id\":2,\"publish\":{\"channel\":\"x:a\",\"data\":1}}", "\"code\":102"},
        {"{\"id\":2,\"history\":{\"channel\":\"bare:a\"}}", "\"code\":108"},
        {"{\"id\":2,\"history\":{\"channel\":\"a\",\"limit\":1,\"reverse\":true,\"since\":{}}}",
         "\"code\":107"},
        {"{\"id\":2,\"history\":{\"channel\":\"a\",\"limit\":1,\"since\":{\"epoch\":\"x\"}}}",
         "\"code\":112"},
        {"{}", ""},
        {"\n \n", ""},
    };
    struct fx *f = fx_create();
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct fx_client *c = fx_ws(f, true);
        fx_say(c, t[i].say);
        const char *got = fx_text(c);
        if (strstr(got, t[i].want) == NULL) fail_msg("row %zu: got %s", i, got);
        if (t[i].want[0] == '\0') assert_string_equal(got, "");
        fx_client_destroy(c);
    }
    fx_destroy(f);
}

static void bad_frames_have_their_close_code(void **state)
{
    (void)state;
    static const struct {
        const uint8_t bytes[12];
        size_t len;
        const char *want;
    } t[] = {
        {{0x81, 0x01, 'x'}, 3, "close 1002"},                     /* not masked */
        {{0xc1, 0x80, 0, 0, 0, 0}, 6, "close 1002"},              /* RSV bit */
        {{0x80, 0x80, 0, 0, 0, 0}, 6, "close 1002"},              /* continues nothing */
        {{0x81, 0xff, 0, 0, 0, 0, 0, 2, 0, 0}, 10, "close 1009"}, /* 128 KiB */
        {{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8}, 8, "close 1000"},  /* goodbye */
        {{0x88, 0x81, 0, 0, 0, 0, 0x03}, 7, "close 1002"},        /* half a code */
        {{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed}, 8, "close 1002"},  /* 1005 is not for the wire */
        {{0x88, 0x82, 0, 0, 0, 0, 0x00, 0x00}, 8, "close 1002"},
        {{0x88, 0x82, 0, 0, 0, 0, 0xff, 0xff}, 8, "close 1002"},
        {{0x88, 0x83, 0, 0, 0, 0, 0x03, 0xe8, 0xff}, 9, "close 1002"}, /* reason not UTF-8 */
        {{0x88, 0xfe, 0, 126}, 4, "close 1002"},                       /* too long */
        {{0x89, 0xfe, 0, 126}, 4, "close 1002"},                       /* so is the ping */
        {{0x08, 0x80, 0, 0, 0, 0}, 6, "close 1002"},                   /* a close in pieces */
        {{0x83, 0x80, 0, 0, 0, 0}, 6, "close 1002"},                   /* opcode 3 */
        {{0x01, 0x80, 0, 0, 0, 0, 0x81, 0x80, 0, 0, 0, 0}, 12, "close 1002"}, /* two at once */
    };
    struct fx *f = fx_create();
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct fx_client *c = fx_ws(f, true);
        fx_feed_bytewise(c, t[i].bytes, t[i].len);
        const char *got = fx_text(c);
        if (strstr(got, t[i].want) == NULL) fail_msg("row %zu: got %s", i, got);
        assert_int_equal(c->s.phase, SESSION_FINISHING);
        fx_say(c, "{\"id\":5,\"history\":{\"channel\":\"a\"}}"); /* is not heard any more */
        assert_string_equal(fx_text(c), "");
        fx_client_destroy(c);
    }
    fx_destroy(f);
}

static void the_commands_before_connect_and_the_channels_are_bounded(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, false);
    fx_say(c, "{\"id\":1,\"subscribe\":{\"channel\":\"a\"}}");
    fx_has(fx_text(c), "close 3501");
    fx_client_destroy(c);
    c = fx_ws(f, true);
    char say[64];
    for (int i = 0; i <= DUN_CLIENT_CHANNELS_MAX; i++) {
        snprintf(say, sizeof say, "{\"id\":%d,\"subscribe\":{\"channel\":\"c%d\"}}", i + 2, i);
        fx_say(c, say);
    }
    fx_has(fx_text(c), "{\"id\":130,\"error\":{\"code\":106");
    fx_say(c, "{\"id\":999,\"subscribe\":{\"channel\":\"c1\"}}");
    fx_has(fx_text(c), "\"code\":105");
    f->hub.pace.window = UINT32_MAX; /* commits were quick; else it were held before that */
    for (int i = 0; i <= DUN_CLIENT_COMMANDS_MAX; i++) {
        snprintf(say, sizeof say, "{\"id\":%d,\"publish\":{\"channel\":\"a\",\"data\":1}}",
                 i + 1000);
        fx_say(c, say);
    }
    fx_has(fx_text(c), "{\"id\":1256,\"error\":{\"code\":111");
    session_hub_fail_pending(&f->hub, DUN_E_TIMEOUT);
    fx_client_destroy(c);
    fx_destroy(f);
}

/* ---- floods ---- */

/* @times commands, each with its id in place of the %d, as text messages of a client's largest
 * size. */
static void flood(struct fx_client *c, const char *command, int times)
{
    struct dun_buf b = {0}, frames = {0};
    for (int i = 1; i <= times; i++) {
        char say[256];
        int n = snprintf(say, sizeof say, command, i + 1, i % 100);
        if (b.len + (size_t)n + 1 > DUN_CLIENT_FRAME_MAX || i == times) {
            fx_frame(&frames, WS_TEXT, b.data, b.len);
            b.len = 0;
        }
        if (b.len > 0) dun_buf_byte(&b, '\n');
        dun_buf_str(&b, say);
    }
    /* As a socket gives it: never more than the worker reads at once, and only while it may. */
    for (size_t at = 0; at < frames.len && session_wants_read(&c->s); at += 65536) {
        size_t n = frames.len - at < 65536 ? frames.len - at : 65536;
        fx_feed(c, frames.data + at, n);
    }
    dun_buf_deinit(&b);
    dun_buf_deinit(&frames);
}

static void a_client_that_asks_and_does_not_read_is_bounded(void **state)
{
    (void)state;
    static const char *const t[] = {
        "{\"id\":%d,\"history\":{\"channel\":\"a\",\"limit\":300}}",
        "{\"id\":%d,\"publish\":{\"channel\":\"a\",\"data\":1}}",
        "{\"id\":%d,\"rpc\":{}}",
        "{\"id\":%d,\"presence\":{\"channel\":\"who:a\"}}",
        "{\"id\":%d,\"subscribe\":{\"channel\":\"c%d\",\"recover\":true,\"epoch\":\"abc\"}}",
        "{\"id\":%d,\"unsubscribe\":{\"channel\":\"c%d\"}}",
    };
    struct fx *f = fx_create();
    char *data = dun_malloc(60001), name[8];
    memset(data, '7', 60000);
    data[60000] = '\0';
    for (int i = 0; i < 20; i++)
        fx_publish(f, "a", data);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "c%d", i);
        for (int k = 0; k < 8; k++)
            fx_publish(f, name, data);
    }
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct fx_client *c = fx_ws(f, true);
        flood(c, t[i], 100000);
        assert_int_equal(c->s.phase, SESSION_OPEN);
        if (c->s.out_bytes > 3 * SESSION_OUT_MAX) fail_msg("row %zu: %u", i, c->s.out_bytes);
        if (c->s.out_count > SESSION_OUT_PIECES_MAX + 1) fail_msg("row %zu", i);
        if (f->hub.replies.cap > 4 * SESSION_OUT_MAX) fail_msg("row %zu: replies", i);
        assert_true(c->s.in.len <= 3 * 65536);
        session_hub_fail_pending(&f->hub, DUN_E_TIMEOUT);
        fx_client_destroy(c);
    }
    dun_free(data);
    fx_destroy(f);
}

static void recovery_beyond_the_bound_is_streamed(void **state)
{
    (void)state;
    enum { CHANNELS = 8, EACH = 10 };
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true);
    struct dun_buf say = {0};
    char *data = dun_malloc(60001), name[8];
    memset(data, '7', 60000);
    data[60000] = '\0';
    for (int i = 0; i < CHANNELS; i++) {
        snprintf(name, sizeof name, "c%d", i);
        for (int k = 0; k < EACH; k++)
            fx_publish(f, name, data);
        dun_buf_printf(&say,
                       "{\"id\":%d,\"subscribe\":{\"channel\":\"%s\",\"recover\":true,"
                       "\"epoch\":\"abc\",\"offset\":1}}\n",
                       i + 2, name);
    }
    dun_buf_byte(&say, 0);
    fx_say(c, (const char *)say.data);
    assert_true(c->s.out_bytes < 2 * SESSION_OUT_MAX);
    const char *p = fx_text(c);
    int recovered = 0, messages = 0;
    for (const char *q = p; (q = strstr(q, "\"recovered\":true")) != NULL; q++)
        recovered++;
    for (const char *q = p; (q = strstr(q, "\"data\":7")) != NULL; q++)
        messages++;
    assert_int_equal(recovered, CHANNELS);
    assert_int_equal(messages, CHANNELS * (EACH - 1));
    dun_buf_deinit(&say);
    dun_free(data);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void a_ping_flood_is_bounded_in_pieces_and_answered_when_read(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true);
    struct dun_buf b = {0};
    enum { PINGS = 30000 };
    for (int i = 0; i < PINGS; i++)
        fx_frame(&b, WS_PING, "", 0);
    size_t at = 0;
    int pongs = 0;
    for (int turns = 0; turns < 100 && pongs < PINGS; turns++) {
        for (; at < b.len && session_wants_read(&c->s); at += 6 * 10000)
            fx_feed(c, b.data + at, 6 * 10000);
        assert_true(c->s.out_count <= SESSION_OUT_PIECES_MAX + 1);
        for (const char *p = fx_text(c); (p = strstr(p, "pong ")) != NULL; p++)
            pongs++;
        session_set_blocked(&c->s, false); /* as the worker says when all is written */
    }
    assert_int_equal(pongs, PINGS);
    assert_int_equal(c->s.phase, SESSION_OPEN);
    dun_buf_deinit(&b);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void odd_channel_names_are_themselves_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name; /* as JSON */
        const char *want;
    } t[] = {
        {"a\\u0000b", "close 3501"},    {"a\\n\\u0001", "\"subscribe\":{"}, {"\xff", "close 3501"},
        {"\xed\xa0\x80", "close 3501"}, {"\\ud800", "close 3501"},          {"a\nb", "close 3501"},
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct fx *f = fx_create();
        struct fx_client *c = fx_ws(f, true);
        char say[128];
        snprintf(say, sizeof say, "{\"id\":2,\"subscribe\":{\"channel\":\"%s\"}}", t[i].name);
        fx_say(c, say);
        const char *got = fx_text(c);
        if (strstr(got, t[i].want) == NULL) fail_msg("row %zu: got %s", i, got);
        fx_publish(f, "a", "1"); /* another channel, whatever a C string makes of it */
        assert_string_equal(fx_text(c), "");
        fx_client_destroy(c);
        fx_destroy(f);
    }
}

static void garbage_behind_the_upgrade_is_a_protocol_error(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_client(f);
    struct dun_buf b = {0};
    dun_buf_add(&b, fx_upgrade, sizeof fx_upgrade - 1);
    dun_buf_str(&b, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
    fx_feed(c, b.data, b.len);
    const char *got = fx_http(c);
    fx_has(got, "HTTP/1.1 101");
    fx_lacks(got, "dunlin_ready");
    assert_int_equal(c->s.phase, SESSION_FINISHING);
    dun_buf_deinit(&b);
    fx_client_destroy(c);
    assert_int_equal(f->hub.client_count, 0);
    fx_destroy(f);
}

static void half_a_frame_does_not_keep_a_client_alive(void **state)
{
    (void)state;
    static const uint8_t half[] = {0x81, 0xfe, 0xff, 0xff, 1, 2, 3, 4};
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true), *d = fx_ws(f, false);
    fx_feed(c, half, sizeof half);
    for (int i = 0; i < 60; i++) {
        fx_feed(c, "x", 1);              /* bytes alone are no sign of life */
        fx_feed(d, "\x89\x80\0\0\0", 6); /* nor are pings before the connect command */
        fx_time(f, 1000);
    }
    assert_int_equal(c->s.phase, SESSION_ABORTED);
    assert_int_equal(d->s.phase, SESSION_ABORTED);
    fx_client_destroy(c);
    fx_client_destroy(d);
    assert_int_equal(f->hub.held_bytes, 0);
    fx_destroy(f);
}

/* ---- tokens ---- */

static struct fx_client *with_token(struct fx *f, const char *claims)
{
    struct jwt_key key = {JWT_HS256, dun_slice_str("secret")};
    struct dun_buf b = {0};
    struct fx_client *c = fx_ws(f, false);
    dun_buf_str(&b, "{\"id\":1,\"connect\":{\"token\":\"");
    jwt_sign(&b, &key, dun_slice_str(claims));
    dun_buf_str(&b, "\"}}");
    dun_buf_byte(&b, 0);
    fx_say(c, (const char *)b.data);
    dun_buf_deinit(&b);
    return c;
}

static void tokens_decide_who_connects(void **state)
{
    (void)state;
    static const struct {
        const char *claims, *want;
    } t[] = {
        {"{\"sub\":\"u\"}", "\"connect\":{\"client\""},
        {"{\"sub\":\"u\",\"exp\":1700000060}", "\"ttl\":60"},
        {"{\"sub\":\"u\",\"exp\":1600000000}", "\"code\":109"},
        {"{\"sub\":7}", "close 3500 invalid token"},
        {"{\"sub\":\"u\",\"channel\":\"a\"}", "close 3500 invalid token"},
    };
    struct fx *f = fx_create();
    f->options.insecure = false;
    f->options.token_keys[0] = (struct jwt_key){JWT_HS256, dun_slice_str("secret")};
    f->options.token_key_count = 1;
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct fx_client *c = with_token(f, t[i].claims);
        const char *got = fx_text(c);
        if (strstr(got, t[i].want) == NULL) fail_msg("row %zu: got %s", i, got);
        fx_client_destroy(c);
    }
    struct fx_client *c = fx_ws(f, false);
    fx_say(c, "{\"id\":1,\"connect\":{}}");
    fx_has(fx_text(c), "close 3501");
    fx_client_destroy(c);
    fx_destroy(f);
}

static void permissions_follow_the_namespace(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    f->options.insecure = false;
    f->options.token_keys[0] = (struct jwt_key){JWT_HS256, dun_slice_str("secret")};
    f->options.token_key_count = 1;
    struct fx_client *c = with_token(f, "{\"sub\":\"u\",\"exp\":1700000060}");
    fx_text(c);
    fx_say(c, "{\"id\":2,\"publish\":{\"channel\":\"open:a\",\"data\":1}}");
    fx_has(fx_text(c), "\"code\":103"); /* not yet a subscriber */
    fx_say(c, "{\"id\":3,\"subscribe\":{\"channel\":\"open:a\"}}");
    fx_has(fx_text(c), "{\"id\":3,\"subscribe\":{");
    fx_say(c, "{\"id\":4,\"publish\":{\"channel\":\"open:a\",\"data\":1}}");
    assert_int_equal(f->submit_count, 1);
    fx_say(c, "{\"id\":5,\"subscribe\":{\"channel\":\"a\"}}");
    fx_has(fx_text(c), "{\"id\":5,\"error\":{\"code\":103");
    fx_say(c, "{\"id\":6,\"subscribe\":{\"channel\":\"open:a#7\"}}");
    fx_has(fx_text(c), "{\"id\":6,\"error\":{\"code\":103");
    session_hub_fail_pending(&f->hub, DUN_E_TIMEOUT);
    fx_text(c);
    for (int i = 0; i < 120; i++) { /* expires after 60 s and the grace */
        fx_time(f, 1000);
        if (strstr(fx_text(c), "{}") != NULL) fx_say(c, "{}");
        if (c->s.phase != SESSION_OPEN) break;
    }
    assert_int_not_equal(c->s.phase, SESSION_OPEN);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void history_reads_both_ways(void **state)
{
    (void)state;
    static const struct {
        const char *say;
        int first, last, count;
    } t[] = {
        {"\"limit\":-1", 1, 5, 5},
        {"\"limit\":0", 0, 0, 0},
        {"\"limit\":2", 1, 2, 2},
        {"\"limit\":2,\"since\":{\"offset\":3,\"epoch\":\"abc\"}", 4, 5, 2},
        {"\"limit\":9,\"since\":{\"offset\":5}", 0, 0, 0},
        {"\"limit\":9,\"since\":{\"offset\":50}", 0, 0, 0},
        {"\"limit\":2,\"reverse\":true", 5, 4, 2},
        {"\"limit\":9,\"reverse\":true,\"since\":{\"offset\":3}", 2, 1, 2},
        {"\"limit\":9,\"reverse\":true,\"since\":{\"offset\":1}", 0, 0, 0},
        {"\"limit\":2,\"reverse\":true,\"since\":{\"offset\":99}", 5, 4, 2},
    };
    struct fx *f = fx_create();
    fx_publish_many(f, "a", 1, 5);
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct fx_client *c = fx_ws(f, true);
        char say[160];
        snprintf(say, sizeof say, "{\"id\":2,\"history\":{\"channel\":\"a\",%s}}", t[i].say);
        fx_say(c, say);
        const char *got = fx_text(c), *p = got;
        int count = 0, first = 0, last = 0;
        while ((p = strstr(p, "{\"data\":")) != NULL) {
            p += 8;
            last = atoi(p);
            if (count++ == 0) first = last;
        }
        if (count != t[i].count || first != t[i].first || last != t[i].last)
            fail_msg("row %zu: got %s", i, got);
        fx_has(got, "\"epoch\":\"abc\",\"offset\":5");
        fx_client_destroy(c);
    }
    fx_destroy(f);
}

/* The offsets of the publications in @text, in order. */
static uint32_t offsets(const char *text, uint64_t *out, uint32_t max)
{
    uint32_t n = 0;
    for (const char *p = text; n < max && (p = strstr(p, "\"offset\":")) != NULL; n++) {
        p += 9;
        out[n] = strtoull(p, NULL, 10);
    }
    return n;
}

static void one_history_reply_has_a_bounded_number_of_bytes(void **state)
{
    (void)state;
    enum { BIG = 60000, COUNT = 40 };
    static uint64_t at[COUNT + 1];
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true);
    char *data = dun_malloc(BIG + 1);
    memset(data, '7', BIG);
    data[BIG] = '\0';
    for (int i = 0; i < COUNT; i++)
        fx_publish(f, "a", data);
    uint64_t last = 0;
    for (int turn = 0; last < COUNT; turn++) {
        char say[128];
        assert_true(turn < COUNT);
        snprintf(
            say, sizeof say,
            "{\"id\":2,\"history\":{\"channel\":\"a\",\"limit\":-1,\"since\":{\"offset\":%llu}}}",
            (unsigned long long)last);
        fx_say(c, say);
        const char *got = fx_text(c);
        assert_true(strlen(got) < DUN_HISTORY_REPLY_BYTES_MAX + BIG);
        uint32_t n = offsets(got, at, COUNT + 1);
        assert_true(n >= 2);
        assert_int_equal(at[n - 1], COUNT); /* the top says that there is more */
        for (uint32_t i = 0; i + 1 < n; i++)
            assert_int_equal(at[i], ++last);
    }
    fx_say(c, "{\"id\":2,\"history\":{\"channel\":\"a\",\"limit\":-1,\"reverse\":true}}");
    uint32_t n = offsets(fx_text(c), at, COUNT + 1);
    assert_true(n > 2 && n < COUNT);
    for (uint32_t i = 0; i + 1 < n; i++)
        assert_int_equal(at[i], COUNT - i);
    dun_free(data);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void trim_at_second(struct fx *f)
{
    if (f->unlocks == 2) {
        f->on_unlock = NULL;
        for (int i = 0; i < 950; i++) /* 50 of the first 1000 stay */
            store_msg_unref(fx_log(f, "a", "0"));
    }
}

static void epoch_at_second(struct fx *f)
{
    if (f->unlocks == 2) {
        f->on_unlock = NULL;
        fx_set_epoch(f, FX_EPOCH + 100);
        store_msg_unref(fx_log(f, "a", "0"));
    }
}

static void a_log_that_moves_under_a_history_read_leaves_no_gap(void **state)
{
    (void)state;
    static const struct {
        const char *say;
        void (*move)(struct fx *f);
        uint64_t first, last;
    } t[] = {
        {"", NULL, 1, 300},
        {"", trim_at_second, 1, 128},
        {"", epoch_at_second, 1, 128},
        {",\"reverse\":true", NULL, 1000, 701},
        {",\"reverse\":true", trim_at_second, 1000, 951 - 78},
        {",\"reverse\":true", epoch_at_second, 1000, 873},
        {",\"since\":{\"offset\":900}", trim_at_second, 901, 1000},
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        static uint64_t at[400];
        char say[160];
        struct fx *f = fx_create();
        struct fx_client *c = fx_ws(f, true);
        fx_publish_many(f, "a", 1, 1000);
        snprintf(say, sizeof say, "{\"id\":2,\"history\":{\"channel\":\"a\",\"limit\":300%s}}",
                 t[i].say);
        f->unlocks = 0;
        f->on_unlock = t[i].move;
        fx_say(c, say);
        const char *got = fx_text(c);
        fx_has(got, "\"epoch\":\"abc\",\"offset\":1000"); /* as the reading began */
        uint32_t n = offsets(got, at, 400) - 1;
        uint64_t want = t[i].first;
        int d = t[i].last < t[i].first ? -1 : 1;
        for (uint32_t k = 0; k < n; k++, want += (uint64_t)(int64_t)d)
            if (at[k] != want) fail_msg("row %zu: %u is %llu", i, k, (unsigned long long)at[k]);
        if (want != t[i].last + (uint64_t)(int64_t)d)
            fail_msg("row %zu: ends before %llu", i, (unsigned long long)want);
        fx_client_destroy(c);
        fx_destroy(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_batched_with_connect_are_answered_in_order),
        cmocka_unit_test(bytes_may_come_one_at_a_time),
        cmocka_unit_test(live_messages_come_once_and_in_order),
        cmocka_unit_test(one_encoding_serves_all_subscribers),
        cmocka_unit_test(recovery_gives_exactly_what_was_missed_or_says_why_not),
        cmocka_unit_test(an_unrecoverable_position_is_an_error_for_those_who_ask),
        cmocka_unit_test(a_long_gap_is_streamed_behind_the_answer),
        cmocka_unit_test(a_blocked_client_catches_up_from_the_log),
        cmocka_unit_test(a_client_that_the_log_left_behind_is_told),
        cmocka_unit_test(a_new_epoch_reaches_those_who_stayed_connected),
        cmocka_unit_test(a_slow_client_of_a_channel_without_history_is_closed),
        cmocka_unit_test(a_resume_ahead_of_this_peers_log_waits_for_it),
        cmocka_unit_test(unsubscribing_a_waiting_subscribe_answers_both),
        cmocka_unit_test(publishes_are_answered_when_they_are_committed),
        cmocka_unit_test(an_answer_for_a_client_that_left_reaches_nobody),
        cmocka_unit_test(bad_input_has_its_close_code),
        cmocka_unit_test(bad_frames_have_their_close_code),
        cmocka_unit_test(the_commands_before_connect_and_the_channels_are_bounded),
        cmocka_unit_test(a_client_that_asks_and_does_not_read_is_bounded),
        cmocka_unit_test(recovery_beyond_the_bound_is_streamed),
        cmocka_unit_test(a_ping_flood_is_bounded_in_pieces_and_answered_when_read),
        cmocka_unit_test(odd_channel_names_are_themselves_or_refused),
        cmocka_unit_test(garbage_behind_the_upgrade_is_a_protocol_error),
        cmocka_unit_test(half_a_frame_does_not_keep_a_client_alive),
        cmocka_unit_test(tokens_decide_who_connects),
        cmocka_unit_test(permissions_follow_the_namespace),
        cmocka_unit_test(history_reads_both_ways),
        cmocka_unit_test(one_history_reply_has_a_bounded_number_of_bytes),
        cmocka_unit_test(a_log_that_moves_under_a_history_read_leaves_no_gap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
