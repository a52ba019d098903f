/* tests/fuzz/fuzz.h: what the fuzz targets share.
 * Why: each decoder of outside bytes has a target fuzz_NAME.c with one function,
 * LLVMFuzzerTestOneInput. clang links it with libFuzzer (scripts/fuzz); every
 * other build links all of them into fuzz-replay, which runs the checked-in
 * corpora as regression tests.
 * (1) A target keeps nothing between inputs, so a reproducer is one file.
 * (2) What it claims it asserts with DUN_ASSERT: a wrong answer is a crash too.
 * (3) Decoders see copies of the exact size, so that reading past the end shows. */
#ifndef DUN_TESTS_FUZZ_H
#define DUN_TESTS_FUZZ_H

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/limits.h"

#include <sanitizer/asan_interface.h>

/* In fuzz-replay the build renames it for each target. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input, taken from the front. At its end there are zeros and empty slices. */
struct fuzz_in {
    const uint8_t *p;
    size_t len;
};

static inline uint8_t fuzz_u8(struct fuzz_in *in)
{
    if (in->len == 0) return 0;
    in->len--;
    return *in->p++;
}

static inline uint16_t fuzz_u16(struct fuzz_in *in)
{
    uint16_t high = fuzz_u8(in);
    return (uint16_t)(high << 8 | fuzz_u8(in));
}

static inline struct dun_slice fuzz_take(struct fuzz_in *in, size_t n)
{
    if (n > in->len) n = in->len;
    struct dun_slice s = {in->p, n};
    in->p += n;
    in->len -= n;
    return s;
}

static inline struct dun_slice fuzz_rest(struct fuzz_in *in)
{
    return fuzz_take(in, in->len);
}

/* Bytes of their own allocation, exactly as long; fuzz_copy_free. */
static inline struct dun_slice fuzz_copy(struct dun_slice s)
{
    uint8_t *p = dun_malloc(s.len);
    if (s.len > 0) memcpy(p, s.data, s.len);
    return (struct dun_slice){p, s.len};
}

/* Of @copy only the first @n bytes have arrived: AddressSanitizer shows who reads
 * further. What copies of each prefix would show, for a tenth of their price. */
static inline void fuzz_arrived(struct dun_slice copy, size_t n)
{
    DUN_ASSERT(n <= copy.len);
    ASAN_UNPOISON_MEMORY_REGION(copy.data, n);
    ASAN_POISON_MEMORY_REGION(copy.data + n, copy.len - n);
}

static inline void fuzz_copy_free(struct dun_slice s)
{
    dun_free((void *)(uintptr_t)s.data);
}

/* Touches every byte, so that a slice that points outside shows. */
static inline void fuzz_read(struct dun_slice s)
{
    static volatile uint8_t sink;
    uint8_t sum = 0;
    for (size_t i = 0; i < s.len; i++)
        sum ^= s.data[i];
    sink = sum;
    (void)sink;
}

static inline bool fuzz_within(struct dun_slice part, struct dun_slice whole)
{
    return part.len == 0 || (part.data >= whole.data && part.len <= whole.len &&
                             (size_t)(part.data - whole.data) <= whole.len - part.len);
}

#endif
