/* Claims of transport/session about who is sent away, when, and with what last word. */
#include "fixture.h"

static void silent_clients_are_found(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *stale = fx_ws(f, false), *c = fx_ws(f, true), *dead = fx_ws(f, true);
    int first = 0;
    for (int i = 1; i <= 25; i++) {
        fx_time(f, 1000);
        if (i == 12) fx_has(fx_text(stale), "close 3502 stale");
        if (strstr(fx_text(c), "{}") != NULL && first == 0) {
            first = i;
            fx_say(c, "{}");
        }
    }
    assert_in_range(first, 12, 25);
    for (int i = 0; i < 10; i++)
        fx_time(f, 1000);
    fx_has(fx_text(dead), "{}\nclose 3012 no pong");
    int pings = 0;
    for (int i = 0; i < 75; i++) {
        fx_time(f, 1000);
        if (strcmp(fx_text(c), "{}") == 0) {
            pings++;
            fx_say(c, "{}");
        }
    }
    assert_int_equal(pings, 3); /* on schedule, whatever else happens */
    assert_int_equal(stale->s.phase, SESSION_ABORTED);
    fx_client_destroy(stale);
    fx_client_destroy(c);
    fx_client_destroy(dead);
    fx_destroy(f);
}

static void unready_peers_send_their_clients_away(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c = fx_ws(f, true), *d = fx_client(f);
    session_hub_serving(&f->hub, false);
    fx_has(fx_text(c), "close 3011 force reconnect");
    fx_feed(d, fx_upgrade, sizeof fx_upgrade - 1);
    fx_has(fx_http(d), "HTTP/1.1 503 ");
    fx_client_destroy(c);
    fx_client_destroy(d);
    fx_destroy(f);
}

static void a_short_ping_interval_is_kept(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    f->options.ping_s = 4;
    f->options.pong_s = 2;
    struct fx_client *c = fx_ws(f, false);
    fx_say(c, "{\"id\":1,\"connect\":{}}");
    fx_has(fx_text(c), "\"ping\":4,\"pong\":true");
    int pings = 0, silent_s = 0;
    for (int i = 0; i < 41; i++) {
        fx_time(f, 1000);
        pings += strcmp(fx_text(c), "{}") == 0;
        fx_say(c, "{}");
    }
    assert_in_range(pings, 9, 11);
    while (strstr(fx_text(c), "{}") == NULL)
        fx_time(f, 1000);
    for (; c->s.phase == SESSION_OPEN; silent_s++)
        fx_time(f, 1000);
    assert_int_equal(silent_s, 2);
    fx_has(fx_text(c), "close 3012 no pong");
    fx_client_destroy(c);
    fx_destroy(f);
}

static void draining_is_spread(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *c[5];
    for (size_t i = 0; i < 5; i++)
        c[i] = fx_ws(f, true);
    assert_true(session_hub_drain(&f->hub, 2));
    uint32_t gone = 0;
    for (size_t i = 0; i < 5; i++)
        gone += strstr(fx_text(c[i]), "close 3001 shutdown") != NULL;
    assert_int_equal(gone, 2);
    assert_true(session_hub_drain(&f->hub, 2));
    assert_false(session_hub_drain(&f->hub, 2));
    for (size_t i = 0; i < 5; i++)
        fx_client_destroy(c[i]);
    assert_int_equal(f->hub.client_count, 0);
    fx_destroy(f);
}

static void a_drain_waits_for_answers(void **state)
{
    (void)state;
    struct fx *f = fx_create();
    struct fx_client *busy = fx_ws(f, true), *idle = fx_ws(f, true);
    fx_say(busy, "{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":1}}");
    f->hub.serving = false;
    assert_true(session_hub_drain(&f->hub, 10));
    fx_has(fx_text(idle), "close 3001 shutdown");
    assert_string_equal(fx_text(busy), "");
    fx_say(busy, "{\"id\":3,\"publish\":{\"channel\":\"a\",\"data\":1}}");
    fx_has(fx_text(busy), "{\"id\":3,\"error\":{\"code\":100"); /* no new ones */
    struct node_reply r = {.cookie = f->cookies[0], .seq = 1, .epoch = FX_EPOCH};
    session_hub_replied(&f->hub, &r);
    assert_false(session_hub_drain(&f->hub, 10));
    assert_string_equal(fx_text(busy), "{\"id\":2,\"publish\":{}}\nclose 3001 shutdown");
    fx_client_destroy(busy);
    fx_client_destroy(idle);
    fx_destroy(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silent_clients_are_found),
        cmocka_unit_test(unready_peers_send_their_clients_away),
        cmocka_unit_test(a_short_ping_interval_is_kept),
        cmocka_unit_test(draining_is_spread),
        cmocka_unit_test(a_drain_waits_for_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
