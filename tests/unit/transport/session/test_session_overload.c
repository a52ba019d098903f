/* Claims of transport/session about many clients at once: what they cost, and who pays. */
#include "fixture.h"

enum { CROWD = 600, BIG = 60000, BIG_MESSAGES = 10 };

static char *big_text(void)
{
    char *big = dun_malloc(BIG + 1);
    memset(big, '7', BIG);
    big[BIG] = '\0';
    return big;
}

/* As a worker does when the socket takes nothing: what the cursor wrote stays, unread. */
static void catch_up_unread(struct fx_client *c)
{
    session_set_blocked(&c->s, false);
    (void)session_hub_pump(&c->f->hub);
    session_set_blocked(&c->s, true);
}

static void what_slow_clients_leave_unread_is_bounded_together(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c[CROWD], *alone = fx_ws(f, true);
    char *big = big_text();
    fx_say(alone, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
    fx_text(alone);
    for (int i = 0; i < CROWD; i++) {
        c[i] = fx_ws(f, true);
        fx_say(c[i], "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
        fx_text(c[i]);
        session_set_blocked(&c[i]->s, true);
    }
    session_set_blocked(&alone->s, true);
    for (int i = 0; i < BIG_MESSAGES; i++)
        fx_publish(f, "a", big);
    catch_up_unread(alone);
    assert_true(alone->s.out_bytes > 4 * BIG); /* there is plenty for one */
    for (int i = 0; i < CROWD; i++)
        catch_up_unread(c[i]);
    assert_int_equal(f->hub.blocked_count, CROWD + 1);
    assert_true(f->hub.unread_bytes >
                SESSION_UNREAD_MAX / 2); /* else the test would show nothing */
    assert_true(f->hub.unread_bytes <
                SESSION_UNREAD_MAX + CROWD * (uint64_t)(SESSION_UNREAD_MIN + BIG + 100));
    fx_time(f, 1000); /* the largest make room */
    assert_true(f->hub.shed > 0);
    uint64_t kept = 0;
    int aborted = 0, least = -1;
    for (int i = 0; i < CROWD; i++) {
        if (c[i]->s.phase == SESSION_OPEN) kept += c[i]->s.out_bytes;
        if (c[i]->s.phase != SESSION_ABORTED) least = i;
        if (c[i]->s.phase == SESSION_ABORTED) aborted++;
        fx_client_destroy(c[i]);
    }
    if (alone->s.phase == SESSION_OPEN) kept += alone->s.out_bytes;
    if (alone->s.phase == SESSION_ABORTED) aborted++;
    assert_int_equal(f->hub.shed, aborted);
    assert_true(kept <= SESSION_UNREAD_MAX);
    assert_true(least >= 0); /* not all, only those with the most */
    fx_client_destroy(alone);
    assert_int_equal(f->hub.unread_bytes, 0);
    assert_int_equal(f->hub.blocked_count, 0);
    dun_free(big);
    fx_destroy(f);
}

static void slow_clients_get_everything_when_they_read(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true);
    fx_say(c, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
    fx_text(c);
    session_set_blocked(&c->s, true);
    f->hub.unread_bytes += SESSION_UNREAD_MAX; /* others' */
    fx_publish_many(f, "a", 1, 500);
    session_set_blocked(&c->s, false);
    const char *got = fx_text(c);
    for (int i = 1; i <= 500; i++) {
        char want[64];
        snprintf(want, sizeof want, "\"data\":%d,\"offset\":%d", i, i);
        got = strstr(got, want);
        assert_non_null(got);
    }
    f->hub.unread_bytes -= SESSION_UNREAD_MAX;
    assert_int_equal(f->hub.unread_bytes, 0);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void healthy_clients_are_not_closed_for_the_slowness_of_others(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true);
    char *big = big_text();
    fx_say(c, "{\"id\":2,\"subscribe\":{\"channel\":\"bare:a\"}}");
    fx_text(c);
    f->hub.unread_bytes += SESSION_UNREAD_MAX;
    for (int i = 0; i < BIG_MESSAGES; i++)
        fx_publish(f, "bare:a", big); /* all in one turn: not its fault */
    assert_int_equal(c->s.phase, SESSION_OPEN);
    fx_has(fx_text(c), "777");
    f->hub.unread_bytes -= SESSION_UNREAD_MAX;
    dun_free(big);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void a_crowd_that_resumes_shares_the_turn(void **state)
{
    (void)state;
    enum { COMERS = 30, BEHIND = 100 };
    struct fx *f = fx_create();
    struct fx_client *c[COMERS];
    uint32_t begun = 0;
    for (int i = 0; i < COMERS; i++)
        c[i] = fx_ws(f, true);
    fx_publish_many(f, "a", 1, BEHIND);
    (void)session_hub_pump(&f->hub);
    uint32_t whole = f->hub.inline_left;
    assert_in_range(whole, 1, COMERS * BEHIND - 1);
    for (int i = 0; i < COMERS; i++) {
        fx_say(c[i], "{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"recover\":true,\"epoch\":"
                     "\"abc\",\"offset\":0}}");
        begun += c[i]->s.out_bytes > 500; /* messages in the answer */
    }
    assert_int_equal(f->hub.inline_left, 0);
    assert_in_range(begun, 1, whole / BEHIND + 1); /* the others' cursors are behind */
    for (int i = 0; i < COMERS; i++) {
        const char *got = fx_text(c[i]);
        fx_has(got, "\"recovered\":true");
        for (int k = 1; k <= BEHIND; k++) {
            char want[64];
            snprintf(want, sizeof want, "\"data\":%d,\"offset\":%d", k, k);
            got = strstr(got, want);
            if (got == NULL) fail_msg("client %d: %s is missing or out of order", i, want);
        }
        fx_client_destroy(c[i]);
    }
    fx_destroy(f);
}

static void a_pump_is_short_however_large_the_messages(void **state)
{
    (void)state;
    enum { READERS = 40 };
    struct fx *f = fx_create();
    struct fx_client *c[READERS];
    char *big = big_text();
    uint64_t bytes = 0;
    for (int i = 0; i < READERS; i++) {
        c[i] = fx_ws(f, true);
        fx_say(c[i], "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
        fx_text(c[i]);
        session_set_blocked(&c[i]->s, true);
    }
    for (int i = 0; i < BIG_MESSAGES; i++)
        fx_publish(f, "a", big);
    for (int i = 0; i < READERS; i++)
        session_set_blocked(&c[i]->s, false);
    assert_true(session_hub_pump(&f->hub)); /* there is more */
    for (int i = 0; i < READERS; i++)
        bytes += c[i]->s.out_bytes;
    assert_in_range(bytes, 1 << 17, 1 << 20);
    for (int i = 0; i < READERS; i++)
        fx_client_destroy(c[i]);
    dun_free(big);
    fx_destroy(f);
}

static void a_surplus_connection_is_told_so(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    static const char events[] = "GET /events/a HTTP/1.1\r\nHost: h\r\n\r\n";
    static const char ready[] = "GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n";
    static const struct {
        const char *request, *status, *text;
    } t[] = {
        {fx_upgrade, "HTTP/1.1 503", "all the connections it may have; try another"},
        {events, "HTTP/1.1 503", "Retry-After: "},
        {ready, "Connection: close", "\"name\""},
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct fx_client *c = fx_client(f);
        c->s.surplus = true;
        fx_feed(c, t[i].request, strlen(t[i].request));
        const char *got = fx_http(c);
        fx_has(got, t[i].status);
        fx_has(got, t[i].text);
        assert_int_equal(c->s.phase, SESSION_FINISHING);
        fx_client_destroy(c);
    }
    fx_destroy(f);
}

static void input_counts_when_something_of_it_is_whole(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_client(f);
    struct dun_buf b = {0};
    size_t head = sizeof fx_upgrade - 1;
    fx_feed_bytewise(c, fx_upgrade, head - 1);
    assert_int_equal(c->s.inputs, 0); /* in however many pieces */
    fx_feed(c, fx_upgrade + head - 1, 1);
    assert_int_equal(c->s.inputs, 1);
    static const char connect[] = "{\"id\":1,\"connect\":{}}";
    fx_frame(&b, WS_TEXT, connect, sizeof connect - 1);
    fx_feed_bytewise(c, b.data, b.len - 1);
    assert_int_equal(c->s.inputs, 1);
    fx_feed(c, b.data + b.len - 1, 1);
    assert_int_equal(c->s.inputs, 2);
    for (int i = 0; i < 2 * UINT8_MAX; i++)
        fx_say(c, "{}");
    assert_int_equal(c->s.inputs, UINT8_MAX);
    dun_buf_deinit(&b);
    fx_client_destroy(c);
    fx_destroy(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_slow_clients_leave_unread_is_bounded_together),
        cmocka_unit_test(slow_clients_get_everything_when_they_read),
        cmocka_unit_test(healthy_clients_are_not_closed_for_the_slowness_of_others),
        cmocka_unit_test(a_crowd_that_resumes_shares_the_turn),
        cmocka_unit_test(a_pump_is_short_however_large_the_messages),
        cmocka_unit_test(a_surplus_connection_is_told_so),
        cmocka_unit_test(input_counts_when_something_of_it_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
