/* Allocation never returns NULL: it gives memory or ends the process. */
#include "base/alloc.h"
#include "tests/unit/dies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A sanitizer's own allocator reports first, in its own words. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const char *const oom = NULL;
#else
static const char *const oom = "out of memory";
#endif

static void keep(void *p)
{
    static void *volatile sink; /* so that the allocation is not optimised away */
    sink = p;
    dun_free(sink);
}

static void malloc_too_much(void *arg)
{
    (void)arg;
    keep(dun_malloc(SIZE_MAX / 4));
}

static void realloc_too_much(void *arg)
{
    (void)arg;
    keep(dun_realloc(dun_malloc(1), SIZE_MAX / 4));
}

static void calloc_overflow(void *arg)
{
    (void)arg;
    keep(dun_calloc(SIZE_MAX / 2 + 2, 2)); /* the product wraps to 2 */
}

static void exhaustion_ends_the_process_and_says_so(void **state)
{
    (void)state;
    assert_true(dies(malloc_too_much, NULL, oom));
    assert_true(dies(realloc_too_much, NULL, oom));
}

static void an_overflowing_product_is_exhaustion(void **state)
{
    (void)state;
    assert_true(dies(calloc_overflow, NULL, oom));
}

static void calloc_zeroes(void **state)
{
    (void)state;
    for (int round = 0; round < 8; round++) {
        unsigned char *p = dun_calloc(100, 10);
        for (size_t i = 0; i < 1000; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, 1000);
        dun_free(p);
    }
}

static void realloc_keeps_the_bytes(void **state)
{
    (void)state;
    char *p = dun_strdup("dunlin");
    p = dun_realloc(p, 10000);
    assert_string_equal(p, "dunlin");
    dun_free(p);
}

static void zero_bytes_are_fine(void **state)
{
    (void)state;
    dun_free(dun_malloc(0));
    dun_free(dun_calloc(0, 8));
    dun_free(dun_calloc(8, 0));
    dun_free(NULL);
}

static void strdup_copies_the_empty_string(void **state)
{
    (void)state;
    char *s = dun_strdup("");
    assert_string_equal(s, "");
    dun_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exhaustion_ends_the_process_and_says_so),
        cmocka_unit_test(an_overflowing_product_is_exhaustion),
        cmocka_unit_test(calloc_zeroes),
        cmocka_unit_test(realloc_keeps_the_bytes),
        cmocka_unit_test(zero_bytes_are_fine),
        cmocka_unit_test(strdup_copies_the_empty_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
