/* tests/unit/transport/client/test_client_backoff.c */
#include "transport/client/client_backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void the_first_attempt_is_immediate_and_waits_grow_to_the_cap(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct client_backoff b = {.ms_min = 100, .ms_max = 1000};
        struct dun_prng p;
        dun_prng_seed(&p, seed);
        assert_int_equal(client_backoff_lost(&b, 5, &p), 0);
        uint64_t top = 100;
        for (int n = 1; n < 100; n++) {
            top = top * 2 < 1000 ? top * 2 : 1000;
            assert_in_range(client_backoff_lost(&b, 5, &p), 100, top);
        }
    }
}

static void waits_are_jittered(void **state)
{
    struct client_backoff b = {.ms_min = 100, .ms_max = 100000, .attempts = 10};
    struct dun_prng p;
    uint64_t first, differs = 0;
    (void)state;
    dun_prng_seed(&p, 1);
    first = client_backoff_lost(&b, 0, &p);
    for (int i = 0; i < 10; i++)
        differs += client_backoff_lost(&b, 0, &p) != first;
    assert_true(differs > 5);
}

static void only_a_connection_that_lasted_resets_the_count(void **state)
{
    struct client_backoff b = {.ms_min = 100, .ms_max = 1000};
    struct dun_prng p;
    (void)state;
    dun_prng_seed(&p, 1);
    (void)client_backoff_lost(&b, 1, &p);
    client_backoff_up(&b, 10);
    assert_true(client_backoff_lost(&b, 10 + CLIENT_LASTED_MS - 1, &p) >= 100);
    client_backoff_up(&b, 2000);
    assert_int_equal(client_backoff_lost(&b, 2000 + CLIENT_LASTED_MS, &p), 0);
    assert_true(client_backoff_lost(&b, 9000, &p) >= 100); /* an attempt, not a connection */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_attempt_is_immediate_and_waits_grow_to_the_cap),
        cmocka_unit_test(waits_are_jittered),
        cmocka_unit_test(only_a_connection_that_lasted_resets_the_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
