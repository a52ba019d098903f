/* A failed assertion ends the process and names its place, in release too. */
#include "base/assert.h"
#include "tests/unit/dies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_that_two_is_three(void *arg)
{
    int two = *(int *)arg;
    DUN_ASSERT(two == 3);
}

static void reach_the_unreachable(void *arg)
{
    (void)arg;
    DUN_UNREACHABLE();
}

static void a_false_assertion_names_expression_and_file(void **state)
{
    (void)state;
    int two = 2;
    assert_true(dies(assert_that_two_is_three, &two, "assertion failed: two == 3 at "));
    assert_true(dies(assert_that_two_is_three, &two, "test_assert.c:"));
}

static void a_true_assertion_goes_on(void **state)
{
    (void)state;
    int three = 3;
    assert_false(dies(assert_that_two_is_three, &three, NULL));
}

static void the_unreachable_ends_the_process(void **state)
{
    (void)state;
    assert_true(dies(reach_the_unreachable, NULL, "unreachable"));
}

static void count_counts_elements(void **state)
{
    (void)state;
    uint64_t seven[7];
    assert_int_equal(DUN_COUNT(seven), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_false_assertion_names_expression_and_file),
        cmocka_unit_test(a_true_assertion_goes_on),
        cmocka_unit_test(the_unreachable_ends_the_process),
        cmocka_unit_test(count_counts_elements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
