/* tests/unit/cluster/test_vsr_log.c: the window keeps what it was given, in order. */
#include "base/prng.h"
#include "cluster/vsr_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void put(struct vsr_log *l)
{
    uint64_t op = l->head + 1;
    vsr_log_append(l, op * 10, dun_blob_copy(&op, sizeof op));
}

static void holds(const struct vsr_log *l)
{
    for (uint64_t op = l->first; op <= l->head; op++) {
        const struct vsr_entry *e = vsr_log_at(l, op);
        assert_int_equal(e->time_ms, op * 10);
        assert_memory_equal(e->op->data, &op, sizeof op);
    }
    assert_int_equal(l->bytes, (l->head + 1 - l->first) * sizeof(uint64_t));
}

static void it_grows_to_its_limit_and_says_so(void **state)
{
    (void)state;
    struct vsr_log l = {0};
    vsr_log_reset(&l, 1000);
    for (uint32_t i = 0; i < DUN_LOG_SLOTS; i++) {
        assert_false(vsr_log_full(&l));
        put(&l);
    }
    assert_true(vsr_log_full(&l));
    assert_int_equal(l.first, 1001);
    holds(&l);
    vsr_log_deinit(&l);
}

static void random_cuts_at_both_ends_keep_the_rest(void **state)
{
    (void)state;
    struct vsr_log l = {0};
    struct dun_prng p;
    dun_prng_seed(&p, 3);
    vsr_log_reset(&l, 0);
    for (int round = 0; round < 20000; round++) {
        uint64_t what = dun_prng_range(&p, 0, 99);
        if (what < 80 && !vsr_log_full(&l))
            put(&l);
        else if (what < 90)
            vsr_log_truncate(&l, dun_prng_range(&p, l.first - 1, l.head));
        else if (what < 99)
            vsr_log_drop_front(&l, dun_prng_range(&p, l.first, l.head + 1));
        else
            vsr_log_reset(&l, dun_prng_range(&p, 0, 1 << 20));
        if (round % 64 == 0) holds(&l);
    }
    vsr_log_deinit(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_grows_to_its_limit_and_says_so),
        cmocka_unit_test(random_cuts_at_both_ends_keep_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
