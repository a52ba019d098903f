/* Borrowed bytes compare by content, empty ones too. */
#include "base/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void equality_is_of_bytes(void **state)
{
    (void)state;
    assert_true(dun_slice_eq(dun_slice("abc", 3), dun_slice_str("abc")));
    assert_false(dun_slice_eq(dun_slice("abc", 3), dun_slice("abd", 3)));
    assert_false(dun_slice_eq(dun_slice("abc", 3), dun_slice("abc", 2)));
    assert_true(dun_slice_eq(dun_slice("a\0b", 3), dun_slice("a\0b", 3)));
    assert_false(dun_slice_eq(dun_slice("a\0b", 3), dun_slice("a\0c", 3)));
}

static void nothing_equals_nothing_wherever_it_lies(void **state)
{
    (void)state;
    struct dun_slice null = {NULL, 0};
    assert_true(dun_slice_eq(null, dun_slice_str("")));
    assert_true(dun_slice_is(null, ""));
    assert_false(dun_slice_is(null, "x"));
    assert_false(dun_slice_is(dun_slice_str("x"), ""));
}

static void a_prefix_is_not_the_string(void **state)
{
    (void)state;
    assert_false(dun_slice_is(dun_slice_str("connect"), "connected"));
    assert_false(dun_slice_is(dun_slice_str("connected"), "connect"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equality_is_of_bytes),
        cmocka_unit_test(nothing_equals_nothing_wherever_it_lies),
        cmocka_unit_test(a_prefix_is_not_the_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
