/* tests/unit/transport/codec/codec_test.h: what all codec tests need.
 * Inputs are copied to memory of exactly their size, so that under ASan a read
 * past the end is caught. */
#ifndef DUN_TESTS_CODEC_TEST_H
#define DUN_TESTS_CODEC_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/err.h"

#define S(text) dun_slice_str(text)
#define LIT(text) dun_slice(text, sizeof(text) - 1) /* may hold NUL */

static inline uint8_t *exact(struct dun_slice s)
{
    uint8_t *p = malloc(s.len > 0 ? s.len : 1);
    assert_non_null(p);
    if (s.len > 0) memcpy(p, s.data, s.len);
    return p;
}

/* Print which row of a table failed, then fail. */
#define ROW(i, cond)                                              \
    do {                                                          \
        if (!(cond)) {                                            \
            fprintf(stderr, "row %zu: %s\n", (size_t)(i), #cond); \
            assert_true(cond);                                    \
        }                                                         \
    } while (0)

#define ASSERT_SLICE(s, text)                                                               \
    do {                                                                                    \
        struct dun_slice got_ = (s);                                                        \
        if (!dun_slice_is(got_, (text))) {                                                  \
            fprintf(stderr, "got  %.*s\nwant %s\n", (int)got_.len, (const char *)got_.data, \
                    (const char *)(text));                                                  \
            fail();                                                                         \
        }                                                                                   \
    } while (0)

#endif
