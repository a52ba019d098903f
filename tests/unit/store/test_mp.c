/* msgpack in and out: every width, every truncation, every lie about a length. */
#include "base/prng.h"
#include "store/mp.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* A copy that ends where the input ends, so the address sanitizer sees any over-read. */
static uint8_t *exact_copy(const void *data, size_t len)
{
    uint8_t *p = malloc(len == 0 ? 1 : len);
    assert_non_null(p);
    if (len != 0) memcpy(p, data, len);
    return p;
}

static void uints_round_trip_at_every_width_in_the_shortest_form(void **state)
{
    (void)state;
    static const struct {
        uint64_t v;
        size_t len;
    } t[] = {
        {0, 1},          {1, 1},           {0x7f, 1},      {0x80, 2},
        {0xff, 2},       {0x100, 3},       {0xffff, 3},    {0x10000, 5},
        {UINT32_MAX, 5}, {0x100000000, 9}, {INT64_MAX, 9}, {UINT64_MAX, 9},
    };
    for (size_t i = 0; i < COUNT(t); i++) {
        struct dun_buf b = {0};
        mp_write_uint(&b, t[i].v);
        assert_int_equal(b.len, t[i].len);
        struct mp_reader r = mp_reader(dun_buf_view(&b));
        assert_true(mp_read_uint(&r) == t[i].v);
        assert_true(mp_at_end(&r));
        dun_buf_deinit(&b);
    }
}

static void bools_round_trip(void **state)
{
    (void)state;
    struct dun_buf b = {0};
    mp_write_bool(&b, true);
    mp_write_bool(&b, false);
    struct mp_reader r = mp_reader(dun_buf_view(&b));
    assert_true(mp_read_bool(&r));
    assert_false(mp_read_bool(&r));
    assert_true(mp_at_end(&r));
    dun_buf_deinit(&b);
}

static void arrays_round_trip_at_every_width(void **state)
{
    (void)state;
    static const struct {
        uint32_t count;
        size_t len;
    } t[] = {{0, 1}, {15, 1}, {16, 3}, {65535, 3}, {65536, 5}, {UINT32_MAX, 5}};
    for (size_t i = 0; i < COUNT(t); i++) {
        struct dun_buf b = {0};
        mp_write_array(&b, t[i].count);
        assert_int_equal(b.len, t[i].len);
        struct mp_reader r = mp_reader(dun_buf_view(&b));
        assert_int_equal(mp_read_array(&r, t[i].count), t[i].count);
        assert_true(mp_at_end(&r));
        if (t[i].count != 0) {
            r = mp_reader(dun_buf_view(&b));
            assert_int_equal(mp_read_array(&r, t[i].count - 1), 0);
            assert_false(mp_ok(&r));
        }
        dun_buf_deinit(&b);
    }
}

static void bytes_round_trip_at_every_width_and_borrow(void **state)
{
    (void)state;
    static const size_t t[] = {0, 1, 31, 32, 255, 256, 65535, 65536, 70000};
    uint8_t *data = malloc(70000);
    assert_non_null(data);
    for (size_t i = 0; i < 70000; i++)
        data[i] = (uint8_t)(i * 31);
    for (size_t i = 0; i < COUNT(t); i++) {
        struct dun_buf b = {0};
        mp_write_bytes(&b, dun_slice(data, t[i]));
        struct mp_reader r = mp_reader(dun_buf_view(&b));
        struct dun_slice s = mp_read_bytes(&r, t[i]);
        assert_true(mp_at_end(&r));
        assert_true(dun_slice_eq(s, dun_slice(data, t[i])));
        assert_ptr_equal(s.data, b.data + b.len - t[i]);
        if (t[i] != 0) {
            r = mp_reader(dun_buf_view(&b));
            assert_int_equal(mp_read_bytes(&r, t[i] - 1).len, 0);
            assert_false(mp_ok(&r));
        }
        dun_buf_deinit(&b);
    }
    free(data);
}

static void str_of_every_header_is_read_as_bytes(void **state)
{
    (void)state;
    static const struct {
        uint8_t header[5];
        size_t header_len, len;
    } t[] = {
        {{0xa0}, 1, 0},
        {{0xa5}, 1, 5},
        {{0xbf}, 1, 31},
        {{0xd9, 5}, 2, 5},
        {{0xd9, 0xff}, 2, 255},
        {{0xda, 0, 5}, 3, 5},
        {{0xda, 1, 0}, 3, 256},
        {{0xdb, 0, 0, 0, 5}, 5, 5},
        {{0xdb, 0, 1, 0, 0}, 5, 65536},
        {{0xc4, 5}, 2, 5},
        {{0xc5, 0, 5}, 3, 5},
        {{0xc6, 0, 0, 0, 5}, 5, 5},
    };
    for (size_t i = 0; i < COUNT(t); i++) {
        uint8_t *p = malloc(t[i].header_len + t[i].len);
        assert_non_null(p);
        memcpy(p, t[i].header, t[i].header_len);
        memset(p + t[i].header_len, 'x', t[i].len);
        struct mp_reader r = mp_reader(dun_slice(p, t[i].header_len + t[i].len));
        struct dun_slice s = mp_read_bytes(&r, 65536);
        assert_int_equal(s.len, t[i].len);
        assert_true(mp_at_end(&r));
        for (size_t k = 0; k < s.len; k++)
            assert_int_equal(s.data[k], 'x');
        free(p);
    }
}

static void longer_forms_of_small_numbers_are_read(void **state)
{
    (void)state;
    static const uint8_t in[] = {0xcc, 5, 0xcd, 0, 5, 0xce, 0, 0, 0, 5,
                                 0xcf, 0, 0,    0, 0, 0,    0, 0, 5};
    struct mp_reader r = mp_reader(dun_slice(in, sizeof in));
    for (int i = 0; i < 4; i++)
        assert_true(mp_read_uint(&r) == 5);
    assert_true(mp_at_end(&r));
}

/* A document with every kind of value at every width. */
static void write_all(struct dun_buf *b)
{
    static const uint64_t uints[] = {0, 0x7f, 0x80, 0x100, 0x10000, 0x100000000};
    static const size_t sizes[] = {0, 3, 40, 300};
    uint8_t data[300];
    memset(data, 0xa5, sizeof data);
    mp_write_array(b, 4);
    mp_write_array(b, 100);
    mp_write_array(b, 70000);
    for (size_t i = 0; i < COUNT(uints); i++)
        mp_write_uint(b, uints[i]);
    mp_write_bool(b, true);
    for (size_t i = 0; i < COUNT(sizes); i++)
        mp_write_bytes(b, dun_slice(data, sizes[i]));
    mp_write_uint(b, 77);
}

/* Reads what write_all wrote; returns the last value. */
static uint64_t read_all(struct mp_reader *r)
{
    mp_read_array(r, 4);
    mp_read_array(r, 100);
    mp_read_array(r, 70000);
    for (int i = 0; i < 6; i++)
        mp_read_uint(r);
    mp_read_bool(r);
    for (int i = 0; i < 4; i++)
        mp_read_bytes(r, 300);
    return mp_read_uint(r);
}

static void check_everything_is_empty(struct mp_reader *r)
{
    assert_false(mp_ok(r));
    assert_false(mp_at_end(r));
    assert_true(mp_read_uint(r) == 0);
    assert_false(mp_read_bool(r));
    assert_int_equal(mp_read_array(r, UINT32_MAX), 0);
    struct dun_slice s = mp_read_bytes(r, SIZE_MAX);
    assert_null(s.data);
    assert_int_equal(s.len, 0);
    assert_false(mp_ok(r));
}

static void every_truncation_fails_and_stays_failed(void **state)
{
    (void)state;
    struct dun_buf b = {0};
    write_all(&b);
    struct mp_reader whole = mp_reader(dun_buf_view(&b));
    assert_int_equal(read_all(&whole), 77);
    assert_true(mp_at_end(&whole));
    for (size_t len = 0; len < b.len; len++) {
        uint8_t *cut = exact_copy(b.data, len);
        struct mp_reader r = mp_reader(dun_slice(cut, len));
        assert_int_equal(read_all(&r), 0);
        check_everything_is_empty(&r);
        free(cut);
    }
    dun_buf_deinit(&b);
}

static void a_byte_too_many_is_not_the_end(void **state)
{
    (void)state;
    static const uint8_t in[] = {5, 6};
    struct mp_reader r = mp_reader(dun_slice(in, 2));
    assert_true(mp_read_uint(&r) == 5);
    assert_true(mp_ok(&r));
    assert_false(mp_at_end(&r));
    assert_true(mp_read_uint(&r) == 6);
    assert_true(mp_at_end(&r));
}

static void no_input_is_an_end_and_no_value(void **state)
{
    (void)state;
    struct mp_reader r = mp_reader((struct dun_slice){NULL, 0});
    assert_true(mp_at_end(&r));
    assert_true(mp_read_uint(&r) == 0);
    check_everything_is_empty(&r);
}

static void lengths_beyond_the_input_are_refused_at_any_limit(void **state)
{
    (void)state;
    static const struct {
        uint8_t in[8];
        size_t len;
    } t[] = {
        {{0xa2, 'x'}, 2},
        {{0xbf, 'x'}, 2},
        {{0xc4, 2, 'x'}, 3},
        {{0xc4, 0xff, 'x'}, 3},
        {{0xc5, 0xff, 0xff, 'x'}, 4},
        {{0xc6, 0xff, 0xff, 0xff, 0xff, 'x'}, 6},
        {{0xc6, 0x80, 0, 0, 0, 'x'}, 6},
        {{0xd9, 0xff, 'x'}, 3},
        {{0xda, 0xff, 0xff, 'x'}, 4},
        {{0xdb, 0xff, 0xff, 0xff, 0xff, 'x'}, 6},
    };
    for (size_t i = 0; i < COUNT(t); i++) {
        uint8_t *in = exact_copy(t[i].in, t[i].len);
        struct mp_reader r = mp_reader(dun_slice(in, t[i].len));
        assert_int_equal(mp_read_bytes(&r, SIZE_MAX).len, 0);
        check_everything_is_empty(&r);
        free(in);
    }
}

static void each_reader_accepts_only_its_own_tags(void **state)
{
    (void)state;
    uint8_t in[32] = {0}; /* zeros after the tag: every length fits, whatever its width */
    for (unsigned tag = 0; tag < 256; tag++) {
        in[0] = (uint8_t)tag;
        struct mp_reader u = mp_reader(dun_slice(in, sizeof in)), b = u, a = u, s = u;
        mp_read_uint(&u);
        mp_read_bool(&b);
        mp_read_array(&a, UINT32_MAX);
        mp_read_bytes(&s, SIZE_MAX);
        assert_int_equal(mp_ok(&u), tag < 0x80 || (tag >= 0xcc && tag <= 0xcf));
        assert_int_equal(mp_ok(&b), tag == 0xc2 || tag == 0xc3);
        assert_int_equal(mp_ok(&a), (tag & 0xf0) == 0x90 || tag == 0xdc || tag == 0xdd);
        assert_int_equal(mp_ok(&s), (tag & 0xe0) == 0xa0 || (tag >= 0xc4 && tag <= 0xc6) ||
                                        (tag >= 0xd9 && tag <= 0xdb));
    }
}

static void random_bytes_never_lead_outside(void **state)
{
    (void)state;
    struct dun_prng p;
    dun_prng_seed(&p, 1);
    for (int round = 0; round < 20000; round++) {
        size_t len = (size_t)dun_prng_range(&p, 0, 40);
        uint8_t bytes[40];
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)dun_prng_next(&p);
        uint8_t *in = exact_copy(bytes, len);
        struct mp_reader r = mp_reader(dun_slice(in, len));
        while (mp_ok(&r) && !mp_at_end(&r)) {
            const uint8_t *before = r.p;
            struct dun_slice s = {NULL, 0};
            switch (dun_prng_range(&p, 0, 3)) {
            case 0: mp_read_uint(&r); break;
            case 1: mp_read_bool(&r); break;
            case 2: mp_read_array(&r, 1000); break;
            default: s = mp_read_bytes(&r, 1000); break;
            }
            assert_true(r.p > before && r.p <= in + len);
            if (s.len != 0) assert_true(s.data >= in && s.data + s.len <= in + len);
        }
        free(in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uints_round_trip_at_every_width_in_the_shortest_form),
        cmocka_unit_test(bools_round_trip),
        cmocka_unit_test(arrays_round_trip_at_every_width),
        cmocka_unit_test(bytes_round_trip_at_every_width_and_borrow),
        cmocka_unit_test(str_of_every_header_is_read_as_bytes),
        cmocka_unit_test(longer_forms_of_small_numbers_are_read),
        cmocka_unit_test(every_truncation_fails_and_stays_failed),
        cmocka_unit_test(a_byte_too_many_is_not_the_end),
        cmocka_unit_test(no_input_is_an_end_and_no_value),
        cmocka_unit_test(lengths_beyond_the_input_are_refused_at_any_limit),
        cmocka_unit_test(each_reader_accepts_only_its_own_tags),
        cmocka_unit_test(random_bytes_never_lead_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
