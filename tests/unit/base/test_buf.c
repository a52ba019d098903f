/* The encode buffer keeps every byte in order, however it grows. */
#include "base/alloc.h"
#include "base/buf.h"
#include "tests/unit/dies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void check_text(struct dun_buf *b, const char *want)
{
    assert_int_equal(b->len, strlen(want));
    if (b->len != 0) assert_memory_equal(b->data, want, b->len);
    dun_buf_deinit(b);
}

static void every_way_to_add_appends(void **state)
{
    (void)state;
    struct dun_buf b = {0};
    dun_buf_add(&b, "ab", 2);
    dun_buf_str(&b, "cd");
    dun_buf_slice(&b, dun_slice("efg", 2));
    dun_buf_byte(&b, 'g');
    dun_buf_u64(&b, 42);
    dun_buf_printf(&b, "<%s:%d>", "x", -1);
    assert_true(dun_slice_is(dun_buf_view(&b), "abcdefg42<x:-1>"));
    check_text(&b, "abcdefg42<x:-1>");
}

static void nothing_added_allocates_nothing(void **state)
{
    (void)state;
    struct dun_buf b = {0};
    dun_buf_add(&b, NULL, 0);
    dun_buf_str(&b, "");
    dun_buf_slice(&b, (struct dun_slice){NULL, 0});
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    dun_buf_deinit(&b);
}

static void numbers_are_decimal_at_both_ends(void **state)
{
    (void)state;
    static const struct {
        uint64_t v;
        const char *want;
    } t[] = {
        {0, "0"},
        {9, "9"},
        {10, "10"},
        {UINT32_MAX, "4294967295"},
        {10000000000000000000u, "10000000000000000000"},
        {UINT64_MAX, "18446744073709551615"},
    };
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct dun_buf b = {0};
        dun_buf_u64(&b, t[i].v);
        check_text(&b, t[i].want);
    }
}

static void growth_keeps_the_bytes(void **state)
{
    (void)state;
    struct dun_buf b = {0};
    for (size_t i = 0; i < 100000; i++)
        dun_buf_byte(&b, (uint8_t)(i * 7));
    assert_int_equal(b.len, 100000);
    assert_true(b.cap >= b.len);
    for (size_t i = 0; i < 100000; i++)
        assert_int_equal(b.data[i], (uint8_t)(i * 7));
    dun_buf_deinit(&b);
}

static void reserve_makes_room_without_length(void **state)
{
    (void)state;
    struct dun_buf b = {0};
    dun_buf_str(&b, "x");
    dun_buf_reserve(&b, 1000);
    assert_int_equal(b.len, 1);
    assert_true(b.cap >= 1001);
    const uint8_t *before = b.data;
    for (int i = 0; i < 1000; i++)
        dun_buf_byte(&b, 'y');
    assert_ptr_equal(b.data, before); /* what was reserved is not allocated again */
    dun_buf_deinit(&b);
}

static void printf_fits_whatever_its_length(void **state)
{
    (void)state;
    for (int width = 0; width < 300; width++) {
        struct dun_buf b = {0};
        dun_buf_printf(&b, "%*s", width, "");
        assert_int_equal(b.len, width);
        for (size_t i = 0; i < b.len; i++)
            assert_int_equal(b.data[i], ' ');
        dun_buf_deinit(&b);
    }
}

static void drop_front_keeps_the_rest(void **state)
{
    (void)state;
    struct dun_buf b = {0};
    dun_buf_str(&b, "hello world");
    size_t cap = b.cap;
    dun_buf_drop_front(&b, 0);
    assert_int_equal(b.len, 11);
    dun_buf_drop_front(&b, 6);
    assert_true(dun_slice_is(dun_buf_view(&b), "world"));
    dun_buf_drop_front(&b, 5);
    assert_int_equal(b.len, 0);
    assert_int_equal(b.cap, cap);
    dun_buf_str(&b, "again");
    check_text(&b, "again");
}

static void drop_more_than_there_is(void *arg)
{
    dun_buf_drop_front(arg, 4);
}

static void reserve_past_the_address_space(void *arg)
{
    dun_buf_reserve(arg, SIZE_MAX);
}

static void misuse_is_caught(void **state)
{
    (void)state;
    struct dun_buf b = {0};
    dun_buf_str(&b, "abc");
    assert_true(dies(drop_more_than_there_is, &b, "assertion failed"));
    assert_true(dies(reserve_past_the_address_space, &b, "assertion failed"));
    dun_buf_deinit(&b);
}

static void deinit_makes_it_new(void **state)
{
    (void)state;
    struct dun_buf b = {0};
    dun_buf_str(&b, "abc");
    dun_buf_deinit(&b);
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    assert_int_equal(b.cap, 0);
    dun_buf_deinit(&b);
    dun_buf_str(&b, "def");
    check_text(&b, "def");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_to_add_appends),
        cmocka_unit_test(nothing_added_allocates_nothing),
        cmocka_unit_test(numbers_are_decimal_at_both_ends),
        cmocka_unit_test(growth_keeps_the_bytes),
        cmocka_unit_test(reserve_makes_room_without_length),
        cmocka_unit_test(printf_fits_whatever_its_length),
        cmocka_unit_test(drop_front_keeps_the_rest),
        cmocka_unit_test(misuse_is_caught),
        cmocka_unit_test(deinit_makes_it_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
