/* base/assert.h: checks of our own bugs, on in release too.
 * A peer's or client's bytes are never asserted on; they get an error code. */
#ifndef DUN_BASE_ASSERT_H
#define DUN_BASE_ASSERT_H

_Noreturn void dun_assert_fail(const char *expr, const char *file, int line);

#define DUN_ASSERT(expr)                                         \
    do {                                                         \
        if (!(expr)) dun_assert_fail(#expr, __FILE__, __LINE__); \
    } while (0)
#define DUN_UNREACHABLE() dun_assert_fail("unreachable", __FILE__, __LINE__)
#define DUN_COUNT(a) (sizeof(a) / sizeof((a)[0]))

#endif
