/* The error table: every code has its own value, its own text and its family. */
#include "base/err.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
    const char *name;
    dun_err value;
} all[] = {
#define X(name, value, text) {#name, name},
    DUN_ERR_MAP(X)
#undef X
};
enum { COUNT = sizeof all / sizeof all[0] };

static void every_code_has_a_text_of_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        const char *text = dun_err_text(all[i].value);
        assert_non_null(text);
        assert_true(strlen(text) > 0);
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(all[i].value, all[j].value);
            assert_string_not_equal(text, dun_err_text(all[j].value));
        }
    }
}

static void ok_is_zero_and_all_else_negative(void **state)
{
    (void)state;
    assert_int_equal(DUN_OK, 0);
    for (size_t i = 0; i < COUNT; i++)
        if (all[i].value != DUN_OK) assert_true((int)all[i].value < 0);
}

static void families_keep_to_their_hundred(void **state)
{
    (void)state;
    static const struct {
        dun_err e;
        int family;
    } t[] = {
        {DUN_E_MORE, 0},       {DUN_E_FULL, 0},       {DUN_E_MALFORMED, 1}, {DUN_E_GONE, 1},
        {DUN_E_NOTPRIMARY, 2}, {DUN_E_OVERLOADED, 2}, {DUN_E_CLOSED, 2},    {DUN_E_IO, 3},
        {DUN_E_IN_USE, 3},     {DUN_E_CONFIG, 3},
    };
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
        assert_int_equal(-(int)t[i].e / 100, t[i].family);
}

static void a_number_outside_the_table_has_a_text_too(void **state)
{
    (void)state;
    assert_string_equal(dun_err_text((dun_err)-299), "unknown error");
    assert_string_equal(dun_err_text((dun_err)1), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_text_of_its_own),
        cmocka_unit_test(ok_is_zero_and_all_else_negative),
        cmocka_unit_test(families_keep_to_their_hundred),
        cmocka_unit_test(a_number_outside_the_table_has_a_text_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
