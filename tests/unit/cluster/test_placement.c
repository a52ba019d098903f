/* tests/unit/cluster/test_placement.c: the same order everywhere, spread evenly. */
#include "cluster/placement.h"

#include "base/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const names[] = {"n1", "n2", "n3", "n4", "n5"};

static void an_order_is_a_permutation(void **state)
{
    (void)state;
    for (uint32_t n = 1; n <= 5; n++)
        for (uint32_t g = 0; g < 64; g++) {
            uint8_t order[DUN_VOTERS_MAX];
            unsigned seen = 0;
            placement_order(names, n, g, order);
            for (uint32_t i = 0; i < n; i++)
                seen |= 1u << order[i];
            assert_int_equal(seen, (1u << n) - 1);
        }
}

static void primaries_spread_over_the_voters(void **state)
{
    (void)state;
    uint32_t led[5] = {0};
    for (uint32_t g = 0; g < 256; g++) {
        uint8_t order[DUN_VOTERS_MAX];
        placement_order(names, 5, g, order);
        led[order[0]]++;
    }
    for (uint32_t i = 0; i < 5; i++) {
        assert_true(led[i] > 256 / 5 / 2);
        assert_true(led[i] < 256 / 5 * 2);
    }
}

static void a_voter_more_moves_only_the_groups_it_takes(void **state)
{
    (void)state;
    for (uint32_t g = 0; g < 256; g++) {
        uint8_t small[DUN_VOTERS_MAX], large[DUN_VOTERS_MAX];
        placement_order(names, 4, g, small);
        placement_order(names, 5, g, large);
        if (large[0] != 4) assert_int_equal(large[0], small[0]);
    }
}

static void other_voters_or_groups_are_another_cluster(void **state)
{
    (void)state;
    uint64_t h = placement_cluster_hash(names, 3, 64);
    assert_true(h == placement_cluster_hash(names, 3, 64));
    assert_true(h != placement_cluster_hash(names, 4, 64));
    assert_true(h != placement_cluster_hash(names + 1, 3, 64));
    assert_true(h != placement_cluster_hash(names, 3, 32));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_is_a_permutation),
        cmocka_unit_test(primaries_spread_over_the_voters),
        cmocka_unit_test(a_voter_more_moves_only_the_groups_it_takes),
        cmocka_unit_test(other_voters_or_groups_are_another_cluster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
