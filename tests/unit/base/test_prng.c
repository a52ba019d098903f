/* Seeded chance: the same seed is the same run, on every machine. */
#include "base/prng.h"
#include "tests/unit/dies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_seed_is_expanded_as_splitmix64_does(void **state)
{
    (void)state;
    static const uint64_t want[4] = {0xe220a8397b1dcdafu, 0x6e789e6aa1b965f4u, 0x06c45d188009454fu,
                                     0xf88bb8a8724c81ecu};
    struct dun_prng p;
    dun_prng_seed(&p, 0);
    for (int i = 0; i < 4; i++)
        assert_true(p.s[i] == want[i]);
}

static void numbers_are_those_of_xoshiro256starstar(void **state)
{
    (void)state;
    static const uint64_t want[] = {
        11520,
        0,
        1509978240,
        1215971899390074240u,
        1216172134540287360u,
        607988272756665600u,
        16172922978634559625u,
        8476171486693032832u,
        10595114339597558777u,
        2904607092377533576u,
    };
    struct dun_prng p = {{1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        assert_true(dun_prng_next(&p) == want[i]);
}

static void the_same_seed_replays_and_another_differs(void **state)
{
    (void)state;
    struct dun_prng a, b, c;
    dun_prng_seed(&a, 8841);
    dun_prng_seed(&b, 8841);
    dun_prng_seed(&c, 8842);
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t v = dun_prng_next(&a);
        assert_true(v == dun_prng_next(&b));
        same += v == dun_prng_next(&c);
    }
    assert_int_equal(same, 0);
}

static void a_range_includes_both_ends_and_nothing_else(void **state)
{
    (void)state;
    struct dun_prng p;
    dun_prng_seed(&p, 1);
    uint32_t hits[7] = {0};
    for (int i = 0; i < 7000; i++) {
        uint64_t v = dun_prng_range(&p, 10, 16);
        assert_true(v >= 10 && v <= 16);
        hits[v - 10]++;
    }
    for (int i = 0; i < 7; i++)
        assert_in_range(hits[i], 800, 1200); /* 1000 expected, 6 sigma either side */
}

static void extreme_ranges_hold(void **state)
{
    (void)state;
    static const struct {
        uint64_t min, max;
    } t[] = {
        {0, 0},          {5, 5},          {UINT64_MAX, UINT64_MAX}, {UINT64_MAX - 1, UINT64_MAX},
        {0, UINT64_MAX}, {1, UINT64_MAX}, {0, (uint64_t)1 << 63}};
    struct dun_prng p;
    dun_prng_seed(&p, 2);
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        for (int n = 0; n < 1000; n++) {
            uint64_t v = dun_prng_range(&p, t[i].min, t[i].max);
            assert_true(v >= t[i].min && v <= t[i].max);
        }
    }
}

static void ask_for_a_range_upside_down(void *arg)
{
    (void)dun_prng_range(arg, 2, 1);
}

static void a_range_upside_down_is_caught(void **state)
{
    (void)state;
    struct dun_prng p;
    dun_prng_seed(&p, 3);
    assert_true(dies(ask_for_a_range_upside_down, &p, "assertion failed"));
}

static void chance_is_per_million(void **state)
{
    (void)state;
    static const struct {
        uint32_t per_million, min, max;
    } t[] = {{0, 0, 0}, {250000, 24000, 26000}, {999999, 99900, 100000}, {1000000, 100000, 100000}};
    struct dun_prng p;
    dun_prng_seed(&p, 4);
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        uint32_t hits = 0;
        for (int n = 0; n < 100000; n++)
            hits += dun_prng_chance(&p, t[i].per_million);
        assert_in_range(hits, t[i].min, t[i].max);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_is_expanded_as_splitmix64_does),
        cmocka_unit_test(numbers_are_those_of_xoshiro256starstar),
        cmocka_unit_test(the_same_seed_replays_and_another_differs),
        cmocka_unit_test(a_range_includes_both_ends_and_nothing_else),
        cmocka_unit_test(extreme_ranges_hold),
        cmocka_unit_test(a_range_upside_down_is_caught),
        cmocka_unit_test(chance_is_per_million),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
