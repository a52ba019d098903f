/* Addresses as people write them: what parses, and what counts as loopback. */
#include "base/assert.h"
#include "transport/link/link_addr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void addresses_parse_to_what_they_say(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool listen, ok, loopback;
        const char *url;
    } t[] = {
        {"127.0.0.1:7946", false, true, true, "tcp://127.0.0.1:7946"},
        {"127.9.9.9:1", false, true, true, "tcp://127.9.9.9:1"},
        {"10.0.0.1:65535", false, true, false, "tcp://10.0.0.1:65535"},
        {"localhost:80", false, true, true, "tcp://localhost:80"},
        {"LocalHost:80", false, true, true, "tcp://LocalHost:80"},
        {"localhost.example:80", false, true, false, "tcp://localhost.example:80"},
        {"127.0.0.1.example:80", false, true, false, "tcp://127.0.0.1.example:80"},
        {"n1.example-host_2:80", false, true, false, "tcp://n1.example-host_2:80"},
        {"[::1]:80", false, true, true, "tcp://[::1]:80"},
        {"[2001:db8::7]:80", false, true, false, "tcp://[2001:db8::7]:80"},
        {"[::]:0", true, true, false, "tcp://[::]:0"},
        {":7946", true, true, false, "tcp://0.0.0.0:7946"},
        {"*:7946", true, true, false, "tcp://0.0.0.0:7946"},
        {"127.0.0.1:0", true, true, true, "tcp://127.0.0.1:0"},
        {"127.0.0.1:0", false, false, false, NULL},
        {":80", false, false, false, NULL},
        {"*:80", false, false, false, NULL},
        {"", true, false, false, NULL},
        {"host", true, false, false, NULL},
        {"host:", true, false, false, NULL},
        {"host:65536", true, false, false, NULL},
        {"host:100000", true, false, false, NULL},
        {"host:-1", true, false, false, NULL},
        {"host: 1", true, false, false, NULL},
        {"host:1x", true, false, false, NULL},
        {"::1:80", true, false, false, NULL}, /* needs brackets */
        {"[::1:80", true, false, false, NULL},
        {"[]:80", true, false, false, NULL},
        {"[1.2.3.4]:80", true, false, false, NULL},
        {"[::1%lo]:80", true, false, false, NULL},
        {"a b:80", true, false, false, NULL},
        {"a/b:80", true, false, false, NULL},
        {"tcp://a:80", true, false, false, NULL},
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct link_addr a = {.port = 1};
        dun_err e = link_addr_parse(t[i].text, t[i].listen, &a);
        if (e != (t[i].ok ? DUN_OK : DUN_E_CONFIG)) fail_msg("%s: %d", t[i].text, e);
        if (e != DUN_OK) continue;
        char url[LINK_URL_MAX + 1], text[DUN_ADDR_MAX + 1];
        link_addr_url(&a, url);
        link_addr_text(&a, text);
        assert_string_equal(url, t[i].url);
        assert_string_equal(text, t[i].url + strlen("tcp://"));
        assert_int_equal(link_addr_is_loopback(&a), t[i].loopback);
    }
}

static void an_address_of_the_longest_length_fits_and_no_longer(void **state)
{
    (void)state;
    char text[DUN_ADDR_MAX + 2], url[LINK_URL_MAX + 1];
    struct link_addr a;
    memset(text, 'a', sizeof text);
    strcpy(text + DUN_ADDR_MAX - 6, ":65535");
    assert_int_equal(link_addr_parse(text, false, &a), DUN_OK);
    link_addr_url(&a, url);
    memset(text, 'a', sizeof text);
    strcpy(text + DUN_ADDR_MAX - 5, ":65535");
    assert_int_equal(link_addr_parse(text, false, &a), DUN_E_CONFIG);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_parse_to_what_they_say),
        cmocka_unit_test(an_address_of_the_longest_length_fits_and_no_longer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
