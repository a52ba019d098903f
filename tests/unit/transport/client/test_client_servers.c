/* tests/unit/transport/client/test_client_servers.c */
#include "transport/client/client_servers.h"

#include "base/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void urls_are_split_into_their_parts(void **state)
{
    static const struct {
        const char *text, *host, *path;
        uint16_t port;
        uint32_t weight;
    } t[] = {
        {"http://a:8000", "a", "", 8000, 1},
        {"ws://a", "a", "", 80, 1},
        {"a", "a", "", 8000, 1},
        {"a:1=7", "a", "", 1, 7},
        {"http://[::1]:65535/x/y/=0,b", "::1", "/x/y", 65535, 0},
        {"http://a.example/", "a.example", "", 80, 1},
    };
    (void)state;
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct client_servers s;
        char why[256] = "";
        dun_err e = client_servers_parse(&s, t[i].text, why, sizeof why);
        if (e != DUN_OK) fail_msg("%s: %s", t[i].text, why);
        assert_string_equal(s.list[0].host, t[i].host);
        assert_string_equal(s.list[0].path, t[i].path);
        assert_int_equal(s.list[0].port, t[i].port);
        assert_int_equal(s.list[0].weight, t[i].weight);
    }
}

static void a_bad_list_is_refused_and_the_word_named(void **state)
{
    static const struct {
        const char *text, *word;
    } t[] = {
        {"", "empty"},          {"a,", "empty"},         {"https://a", "TLS"},
        {"ftp://a", "scheme"},  {"a:0", "port"},         {"a:65536", "port"},
        {"a:80x", "port"},      {"a=", "weight"},        {"a=1001", "weight"},
        {"a=-1", "weight"},     {"::1", "brackets"},     {"[::1", "bracket"},
        {"http://:80", "host"}, {"a b", "character"},    {"u@a", "character"},
        {"a=0,b=0", "weights"}, {"http://a/ b", "path"}, {"[::1]x", "bracket"},
    };
    (void)state;
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct client_servers s;
        char why[256] = "";
        assert_int_equal(client_servers_parse(&s, t[i].text, why, sizeof why), DUN_E_USAGE);
        if (strstr(why, t[i].word) == NULL) fail_msg("%s: \"%s\"", t[i].text, why);
    }
}

static void thirty_two_servers_are_the_limit(void **state)
{
    struct client_servers s;
    char text[200] = "a", why[256];
    (void)state;
    for (int i = 1; i < CLIENT_SERVERS_MAX; i++)
        strcat(text, ",a");
    assert_int_equal(client_servers_parse(&s, text, why, sizeof why), DUN_OK);
    assert_int_equal(s.count, CLIENT_SERVERS_MAX);
    strcat(text, ",a");
    assert_int_equal(client_servers_parse(&s, text, why, sizeof why), DUN_E_USAGE);
}

static struct client_servers parse(const char *text)
{
    struct client_servers s;
    char why[256];
    dun_err e = client_servers_parse(&s, text, why, sizeof why);
    assert_int_equal(e, DUN_OK);
    return s;
}

static void a_round_offers_each_server_once(void **state)
{
    struct dun_prng p;
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct client_servers s = parse("a=5,b,c=900,d=0");
        bool seen[4] = {false};
        dun_prng_seed(&p, seed);
        for (int i = 0; i < 4; i++) {
            const struct client_server *x = client_servers_next(&s, &p);
            size_t at = (size_t)(x - s.list);
            assert_false(seen[at]);
            seen[at] = true;
            assert_int_equal(at == 3, i == 3); /* weight 0 comes last */
            assert_int_equal(client_servers_round_over(&s), i == 3);
        }
    }
}

static void after_a_loss_another_server_comes_first_and_the_lost_one_last(void **state)
{
    struct dun_prng p;
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct client_servers s = parse("a=1000,b,c");
        dun_prng_seed(&p, seed);
        const struct client_server *lost = client_servers_next(&s, &p);
        client_servers_good(&s);
        assert_ptr_not_equal(client_servers_next(&s, &p), lost);
        assert_ptr_not_equal(client_servers_next(&s, &p), lost);
        assert_ptr_equal(client_servers_next(&s, &p), lost);
    }
    struct client_servers one = parse("a");
    assert_ptr_equal(client_servers_next(&one, &p), &one.list[0]);
    assert_ptr_equal(client_servers_next(&one, &p), &one.list[0]);
}

static void first_choices_follow_the_weights(void **state)
{
    enum { ROUNDS = 20000 };
    struct dun_prng p;
    uint32_t hits[3] = {0};
    (void)state;
    dun_prng_seed(&p, 7);
    for (int i = 0; i < ROUNDS; i++) {
        struct client_servers s = parse("a=1,b=2,c=7");
        hits[client_servers_next(&s, &p) - s.list]++;
    }
    assert_in_range(hits[0], ROUNDS * 9 / 100, ROUNDS * 11 / 100);
    assert_in_range(hits[1], ROUNDS * 18 / 100, ROUNDS * 22 / 100);
    assert_in_range(hits[2], ROUNDS * 67 / 100, ROUNDS * 73 / 100);
}

static void the_host_header_brackets_ipv6(void **state)
{
    char out[CLIENT_HOST_MAX + 16];
    struct client_servers s = parse("[::1]:9,b:10");
    (void)state;
    client_servers_host(&s.list[0], out);
    assert_string_equal(out, "[::1]:9");
    client_servers_host(&s.list[1], out);
    assert_string_equal(out, "b:10");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_split_into_their_parts),
        cmocka_unit_test(a_bad_list_is_refused_and_the_word_named),
        cmocka_unit_test(thirty_two_servers_are_the_limit),
        cmocka_unit_test(a_round_offers_each_server_once),
        cmocka_unit_test(after_a_loss_another_server_comes_first_and_the_lost_one_last),
        cmocka_unit_test(first_choices_follow_the_weights),
        cmocka_unit_test(the_host_header_brackets_ipv6),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
