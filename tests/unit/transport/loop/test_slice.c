/* tests/unit/transport/loop/test_slice.c: how much of a worker's time a crowd gets. */
#include "transport/loop/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

static struct slice two_steps(void)
{
    return (struct slice){.steps = 2, .share = 4, .wait_ms = 10};
}

static void a_slice_has_so_many_steps(void **state)
{
    (void)state;
    struct slice s = two_steps();
    assert_true(slice_step(&s, 100 * MS));
    slice_worked(&s, 1 * MS);
    assert_true(slice_step(&s, 101 * MS));
    assert_false(slice_step(&s, 102 * MS));
}

static void the_next_begins_when_the_worker_had_time_left(void **state)
{
    (void)state;
    struct slice s = two_steps();
    assert_true(slice_step(&s, 100 * MS));
    slice_worked(&s, 2 * MS);
    assert_true(slice_step(&s, 100 * MS));
    assert_false(slice_step(&s, 108 * MS - 1)); /* it worked a quarter of the time then */
    for (int i = 0; i < 10; i++)
        assert_true(slice_step(&s, 108 * MS)); /* nothing was done: there is all the time */
}

static void a_busy_worker_lets_them_wait_no_longer_than_that(void **state)
{
    (void)state;
    struct slice s = two_steps();
    assert_true(slice_step(&s, 100 * MS));
    slice_worked(&s, UINT64_MAX / 2); /* whatever was counted */
    assert_true(slice_step(&s, 100 * MS));
    assert_false(slice_step(&s, 110 * MS - 1));
    assert_true(slice_step(&s, 110 * MS));
    slice_worked(&s, 1 * MS); /* the count began anew */
    assert_true(slice_step(&s, 111 * MS));
    assert_true(slice_step(&s, 114 * MS));
}

static void steps_that_were_not_used_are_not_saved(void **state)
{
    (void)state;
    struct slice s = two_steps();
    assert_true(slice_step(&s, 100 * MS));
    slice_worked(&s, 1 * MS);
    assert_true(slice_step(&s, 5000 * MS));
    slice_worked(&s, 1 * MS);
    assert_true(slice_step(&s, 5001 * MS));
    assert_false(slice_step(&s, 5002 * MS));
}

static void a_slice_lasts_a_while_even_if_no_work_is_counted_yet(void **state)
{
    (void)state;
    struct slice s = two_steps();
    s.least_us = 1000;
    assert_true(slice_step(&s, 100 * MS));
    assert_true(slice_step(&s, 100 * MS));
    assert_false(slice_step(&s, 101 * MS - 1));
    assert_true(slice_step(&s, 101 * MS));
}

static void work_that_does_not_end_is_done_without_rests(void **state)
{
    (void)state;
    struct slice s = two_steps();
    s.patience_ms = 50;
    slice_left(&s, true, 100 * MS);
    assert_true(slice_step(&s, 100 * MS));
    assert_true(slice_step(&s, 100 * MS));
    for (uint64_t at = 100; at <= 150; at++) {
        slice_worked(&s, 1 * MS);
        slice_left(&s, true, at * MS); /* still */
        assert_false(slice_impatient(&s, at * MS));
    }
    for (int i = 0; i < 10; i++)
        assert_true(slice_step(&s, 150 * MS + 1));
    assert_true(slice_impatient(&s, 150 * MS + 1));
    slice_left(&s, false, 151 * MS);
    assert_false(slice_impatient(&s, 1000 * MS));
    slice_left(&s, true, 1000 * MS); /* patience begins anew */
    assert_false(slice_impatient(&s, 1050 * MS));
    assert_true(slice_impatient(&s, 1051 * MS));
}

static void without_patience_there_are_always_rests(void **state)
{
    (void)state;
    struct slice s = two_steps();
    slice_left(&s, true, 100 * MS);
    assert_true(slice_step(&s, 100000 * MS));
    slice_worked(&s, 1 * MS);
    assert_true(slice_step(&s, 100000 * MS));
    assert_false(slice_step(&s, 100000 * MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slice_has_so_many_steps),
        cmocka_unit_test(the_next_begins_when_the_worker_had_time_left),
        cmocka_unit_test(a_busy_worker_lets_them_wait_no_longer_than_that),
        cmocka_unit_test(a_slice_lasts_a_while_even_if_no_work_is_counted_yet),
        cmocka_unit_test(steps_that_were_not_used_are_not_saved),
        cmocka_unit_test(work_that_does_not_end_is_done_without_rests),
        cmocka_unit_test(without_patience_there_are_always_rests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
