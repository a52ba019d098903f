/* Claims of transport/session about presence, joins and leaves, on two peers. */
#include "fixture.h"

struct pair {
    struct fx *a, *b;
};

static struct pair pair_create(void)
{
    struct pair p = {fx_create(), fx_create()};
    p.b->options.name = "n2";
    const struct session_member n1 = {.name = "n1", .voter = true},
                                n2 = {.name = "n2", .voter = true};
    p.a->members[0] = p.b->members[0] = n1;
    p.a->members[1] = p.b->members[1] = n2;
    p.a->member_count = p.b->member_count = 2;
    return p;
}

static void pair_destroy(struct pair *p)
{
    fx_destroy(p->a);
    fx_destroy(p->b);
}

/* Carries the last cast of @from over to @to. */
static void carry(struct fx *from, struct fx *to)
{
    assert_true(from->cast.len > 0);
    struct dun_buf b = from->cast;
    from->cast = (struct dun_buf){0};
    session_hub_heard(&to->hub, from->options.name, dun_buf_view(&b));
    dun_buf_deinit(&b);
}

static struct fx_client *in_channel(struct fx *f, const char *channel)
{
    struct fx_client *c = fx_ws(f, true);
    char say[128];
    snprintf(say, sizeof say, "{\"id\":2,\"subscribe\":{\"channel\":\"%s\"}}", channel);
    fx_say(c, say);
    return c;
}

static void presence_gathers_from_all_peers(void **state)
{
    (void)state;
    struct pair p = pair_create();
    struct fx_client *a = in_channel(p.a, "who:x"), *b = in_channel(p.b, "who:x"),
                     *c = in_channel(p.b, "who:y");
    fx_text(a);
    fx_say(a, "{\"id\":3,\"presence_stats\":{\"channel\":\"who:x\"}}");
    assert_string_equal(fx_text(a), ""); /* n2 has not told yet */
    assert_string_equal(p.a->cast_to, "*");
    carry(p.a, p.b);
    assert_string_equal(p.b->cast_to, "n1");
    carry(p.b, p.a);
    assert_string_equal(fx_text(a),
                        "{\"id\":3,\"presence_stats\":{\"num_clients\":2,\"num_users\":1}}");
    fx_client_destroy(c);
    fx_client_destroy(b);
    fx_client_destroy(a);
    pair_destroy(&p);
}

static void presence_answers_in_time_when_a_peer_is_silent(void **state)
{
    (void)state;
    struct pair p = pair_create();
    struct fx_client *a = in_channel(p.a, "who:x");
    fx_text(a);
    fx_say(a, "{\"id\":3,\"presence\":{\"channel\":\"who:x\"}}");
    fx_time(p.a, 1000);
    fx_has(fx_text(a), "{\"id\":3,\"presence\":{\"presence\":{\"");
    fx_say(a, "{\"id\":4,\"presence\":{\"channel\":\"who:x\"}}");
    fx_client_destroy(a); /* with an ask under way */
    fx_time(p.a, 1000);
    pair_destroy(&p);
}

static void the_api_asks_too(void **state)
{
    (void)state;
    struct fx *f = fx_create(); /* alone: answered at once, from within the request */
    struct fx_client *a = in_channel(f, "who:x"), *c = fx_client(f);
    static const char ask[] = "POST /api/presence_stats HTTP/1.1\r\nHost: h\r\n"
                              "Content-Length: 19\r\n\r\n{\"channel\":\"who:x\"}"
                              "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
    fx_feed_bytewise(c, ask, sizeof ask - 1);
    const char *t = fx_http(c);
    fx_has(t, "{\"result\":{\"num_clients\":1,\"num_users\":1}}");
    fx_has(t, "{}\n");
    fx_client_destroy(a);
    fx_client_destroy(c);
    fx_destroy(f);
}

static void joins_and_leaves_are_pushed_on_every_peer(void **state)
{
    (void)state;
    struct pair p = pair_create();
    struct fx_client *a = in_channel(p.a, "who:x");
    const char *t = fx_text(a);
    const char *reply = strstr(t, "{\"id\":2,\"subscribe\""),
               *own = strstr(t, "\"join\":{\"info\":");
    assert_true(reply != NULL && own > reply); /* its own join comes after the answer */
    struct fx_client *b = in_channel(p.b, "who:x");
    carry(p.b, p.a);
    fx_has(fx_text(a), "{\"push\":{\"channel\":\"who:x\",\"join\":{\"info\":{\"user\":\"\"");
    fx_client_destroy(b);
    carry(p.b, p.a);
    fx_has(fx_text(a), "\"leave\":{\"info\":");
    fx_say(a, "{\"id\":5,\"unsubscribe\":{\"channel\":\"who:x\"}}");
    assert_string_equal(fx_text(a), "{\"id\":5,\"unsubscribe\":{}}");
    fx_client_destroy(a);
    pair_destroy(&p);
}

static void garbage_from_peers_changes_nothing(void **state)
{
    (void)state;
    struct pair p = pair_create();
    struct fx_client *a = in_channel(p.a, "who:x"), *b = in_channel(p.b, "who:x");
    struct dun_buf told = {0};
    fx_say(a, "{\"id\":3,\"presence\":{\"channel\":\"who:x\"}}");
    carry(p.a, p.b);
    dun_buf_slice(&told, dun_buf_view(&p.b->cast));
    fx_text(a);
    for (size_t cut = 0; cut < told.len; cut++)
        session_hub_heard(&p.a->hub, "n9", dun_slice(told.data, cut));
    for (size_t i = 0; i < told.len; i++) {
        told.data[i] ^= 0xff;
        session_hub_heard(&p.a->hub, "n9", dun_buf_view(&told));
        told.data[i] ^= 0xff;
    }
    fx_text(a);
    fx_time(p.a, 1000);
    dun_buf_deinit(&told);
    fx_client_destroy(a);
    fx_client_destroy(b);
    pair_destroy(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presence_gathers_from_all_peers),
        cmocka_unit_test(presence_answers_in_time_when_a_peer_is_silent),
        cmocka_unit_test(the_api_asks_too),
        cmocka_unit_test(joins_and_leaves_are_pushed_on_every_peer),
        cmocka_unit_test(garbage_from_peers_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
