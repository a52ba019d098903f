/* tests/unit/cluster/test_swim_suspicion.c: how long a suspect has to speak up. */
#include "swim_net.h"

#include "base/assert.h"

static void logarithms_are_exact_at_powers_and_close_between(void **state)
{
    (void)state;
    static const struct {
        uint32_t x, want;
    } t[] = {{1, 0},       {2, 1 << 16}, {4, 2 << 16},   {1024, 10 << 16}, {3, 103872},
             {10, 217705}, {7, 183983},  {1000, 653117}, {5, 152169},      {UINT32_MAX, 2097151}};
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        uint32_t got = swim_log2_q16(t[i].x);
        assert_in_range(got, t[i].want == 0 ? 0 : t[i].want - 1, t[i].want + 1);
    }
    for (uint32_t x = 1; x < 5000; x++)
        assert_true(swim_log2_q16(x) <= swim_log2_q16(x + 1));
}

static void each_confirmation_shortens_the_wait(void **state)
{
    (void)state;
    static const struct {
        uint32_t confirms, wanted, min_ms, max_ms, want_ms;
    } t[] = {
        {0, 3, 1000, 4000, 4000}, {1, 3, 1000, 4000, 2500}, /* log 2 / log 4 = 1/2 */
        {2, 3, 1000, 4000, 1623},                           /* log 3 / log 4 = 0.7925 */
        {3, 3, 1000, 4000, 1000}, {9, 3, 1000, 4000, 1000},
        {0, 0, 1000, 4000, 1000}, {0, 1, 1200, 2400, 2400},
        {1, 1, 1200, 2400, 1200}, {1, 7, 1000, 4000, 3000},
        {3, 7, 1000, 4000, 2000}, {7, 7, 1000, 4000, 1000},
        {0, 3, 0, 0, 0},          {1, 3, 5, UINT32_MAX, UINT32_MAX / 2 + 3},
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        uint32_t got = swim_suspicion_ms(t[i].confirms, t[i].wanted, t[i].min_ms, t[i].max_ms);
        assert_in_range(got, t[i].want_ms == 0 ? 0 : t[i].want_ms - 1, t[i].want_ms + 1);
    }
}

static void the_shortest_wait_grows_with_the_logarithm_of_the_cluster(void **state)
{
    (void)state;
    static const struct {
        uint32_t n, mult, interval_ms, want_ms;
    } t[] = {{1, 4, 300, 1200},   {3, 4, 300, 1200},    {10, 4, 300, 1200},
             {100, 4, 300, 2400}, {1000, 4, 300, 3600}, {1024, 4, UINT32_MAX, UINT32_MAX}};
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        uint32_t got = swim_suspicion_min_ms(t[i].n, t[i].mult, t[i].interval_ms);
        assert_true(got <= t[i].want_ms && (uint64_t)got + 2 >= t[i].want_ms);
    }
}

static void one_accuser_counts_once(void **state)
{
    (void)state;
    struct swim_node n = {.name = "x", .claim = {.state = SWIM_SUSPECT}};
    n.suspicion = (struct swim_suspicion){
        .start_ms = 100, .min_ms = 1000, .max_ms = 4000, .wanted = 3, .count = 1, .from = {"a"}};
    assert_int_equal(swim_suspicion_deadline(&n), 4100);
    assert_false(swim_suspicion_confirm(&n, dun_slice_str("a")));
    assert_int_equal(swim_suspicion_deadline(&n), 4100);
    assert_true(swim_suspicion_confirm(&n, dun_slice_str("b")));
    assert_int_equal(swim_suspicion_deadline(&n), 2600);
    assert_false(swim_suspicion_confirm(&n, dun_slice_str("b")));
    assert_true(swim_suspicion_confirm(&n, dun_slice_str("c")));
    assert_true(swim_suspicion_confirm(&n, dun_slice_str("d")));
    assert_int_equal(swim_suspicion_deadline(&n), 1100);
    assert_false(swim_suspicion_confirm(&n, dun_slice_str("e"))); /* bounded */
    assert_int_equal(n.suspicion.count, 4);
}

static void the_retransmit_limit_is_a_multiple_of_the_logarithm(void **state)
{
    (void)state;
    static const struct {
        uint32_t n, want; /* 4 * ceil(log2(n + 1)) */
    } t[] = {{1, 4}, {2, 8}, {3, 8}, {4, 12}, {7, 12}, {8, 16}, {1023, 40}, {1024, 44}};
    for (size_t i = 0; i < DUN_COUNT(t); i++)
        assert_int_equal(swim_gossip_limit(t[i].n, 4), t[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logarithms_are_exact_at_powers_and_close_between),
        cmocka_unit_test(each_confirmation_shortens_the_wait),
        cmocka_unit_test(the_shortest_wait_grows_with_the_logarithm_of_the_cluster),
        cmocka_unit_test(one_accuser_counts_once),
        cmocka_unit_test(the_retransmit_limit_is_a_multiple_of_the_logarithm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
