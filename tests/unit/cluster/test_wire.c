/* tests/unit/cluster/test_wire.c: peer frames survive the trip, and nothing else does. */
#include "base/prng.h"
#include "cluster/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct wire_frame *sample(void)
{
    static const uint8_t op[] = {0x93, 1, 2, 3};
    struct wire_frame *f = calloc(1, sizeof *f);
    *f = (struct wire_frame){.group = 63,
                             .status = 2,
                             .view = {1700000000000u << 8, 7},
                             .log_view = {1700000000000u << 8, 6},
                             .base = {1, 2},
                             .base_op = 70000,
                             .head = 70009,
                             .commit = 70001,
                             .first_op = 70002,
                             .snap_op = 60000,
                             .offset = 49152,
                             .total = 1 << 20,
                             .request = 12345,
                             .err = -202,
                             .bytes = {op, sizeof op},
                             .entry_count = 2};
    f->entries[0] = (struct wire_entry){1700000000001u, {op, sizeof op}};
    f->entries[1] = (struct wire_entry){1700000000002u, {op, 0}};
    return f;
}

static void write_all(struct dun_buf *b, const struct wire_frame *f)
{
    wire_write_hello(b);
    wire_write_state(b, f);
    wire_write_prepare(b, f);
    wire_write_prepare_ok(b, f);
    wire_write_commit(b, f);
    wire_write_forward(b, f);
    wire_write_refuse(b, f);
    wire_write_get_state(b, f);
    wire_write_new_state(b, f);
    wire_write_snapshot(b, f);
    wire_write_cast(b, f->bytes);
}

static void every_frame_survives_the_trip(void **state)
{
    (void)state;
    struct wire_frame *in = sample(), *out = calloc(1, sizeof *out);
    struct dun_buf b = {0};
    write_all(&b, in);
    struct mp_reader r = mp_reader(dun_buf_view(&b));
    for (int type = WIRE_HELLO; type <= WIRE_CAST; type++) {
        assert_int_equal(wire_read_frame(&r, out), DUN_OK);
        assert_int_equal(out->type, type);
        if (type != WIRE_HELLO && type != WIRE_CAST) assert_int_equal(out->group, in->group);
        if (type == WIRE_STATE || type == WIRE_NEW_STATE || type == WIRE_SNAPSHOT) {
            assert_int_equal(out->status, in->status);
            assert_memory_equal(&out->view, &in->view, sizeof in->view);
            assert_memory_equal(&out->log_view, &in->log_view, sizeof in->log_view);
            assert_memory_equal(&out->base, &in->base, sizeof in->base);
            assert_int_equal(out->base_op, in->base_op);
            assert_int_equal(out->head, in->head);
            assert_int_equal(out->commit, in->commit);
        }
        if (type == WIRE_PREPARE || type == WIRE_NEW_STATE) {
            assert_int_equal(out->first_op, in->first_op);
            assert_int_equal(out->entry_count, 2);
            assert_int_equal(out->entries[0].time_ms, in->entries[0].time_ms);
            assert_true(dun_slice_eq(out->entries[0].op, in->entries[0].op));
            assert_int_equal(out->entries[1].op.len, 0);
        }
        if (type == WIRE_REFUSE) {
            assert_int_equal(out->request, in->request);
            assert_int_equal(out->err, in->err);
        }
        if (type == WIRE_SNAPSHOT) {
            assert_int_equal(out->snap_op, in->snap_op);
            assert_int_equal(out->offset, in->offset);
            assert_int_equal(out->total, in->total);
        }
        if (type == WIRE_FORWARD || type == WIRE_SNAPSHOT || type == WIRE_CAST)
            assert_true(dun_slice_eq(out->bytes, in->bytes));
    }
    assert_int_equal(wire_read_frame(&r, out), DUN_E_MORE);
    dun_buf_deinit(&b);
    free(in);
    free(out);
}

static void every_truncation_is_malformed_or_a_clean_end(void **state)
{
    (void)state;
    struct wire_frame *in = sample(), *out = calloc(1, sizeof *out);
    struct dun_buf b = {0};
    write_all(&b, in);
    for (size_t len = 0; len < b.len; len++) {
        struct mp_reader r = mp_reader(dun_slice(b.data, len));
        dun_err e;
        do
            e = wire_read_frame(&r, out);
        while (e == DUN_OK);
        assert_true(e == DUN_E_MORE || e == DUN_E_MALFORMED);
        if (e == DUN_E_MORE) assert_true(r.p == b.data + len);
    }
    dun_buf_deinit(&b);
    free(in);
    free(out);
}

static void types_and_lengths_that_do_not_exist_are_malformed(void **state)
{
    (void)state;
    static const uint8_t frames[][4] = {
        {0x90, 0},             /* nothing, which type 0 would take */
        {0x91, 0},             /* type 0 */
        {0x91, WIRE_CAST + 1}, /* the first one that is not */
        {0x92, WIRE_HELLO, 0}, /* a field too many */
        {0x91, WIRE_CAST},     /* one too few */
        {0xa1, WIRE_HELLO},    /* no array */
        {0x91, 0xa1, '1'},     /* no type */
    };
    struct wire_frame *out = calloc(1, sizeof *out);
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        struct mp_reader r = mp_reader(dun_slice(frames[i], sizeof frames[i]));
        assert_int_equal(wire_read_frame(&r, out), DUN_E_MALFORMED);
    }
    free(out);
}

static void random_damage_never_reads_outside(void **state)
{
    (void)state;
    struct wire_frame *in = sample(), *out = calloc(1, sizeof *out);
    struct dun_buf b = {0};
    write_all(&b, in);
    struct dun_prng p;
    dun_prng_seed(&p, 42);
    for (int round = 0; round < 20000; round++) {
        uint8_t *copy = malloc(b.len); /* exact size: the sanitizer sees an overread */
        memcpy(copy, b.data, b.len);
        for (int k = 0; k < 3; k++)
            copy[dun_prng_range(&p, 0, b.len - 1)] ^= (uint8_t)dun_prng_next(&p);
        struct mp_reader r = mp_reader(dun_slice(copy, b.len));
        while (wire_read_frame(&r, out) == DUN_OK) {
            assert_true(out->entry_count <= WIRE_ENTRIES_MAX);
            assert_true(out->bytes.len <= DUN_OP_MAX);
        }
        free(copy);
    }
    dun_buf_deinit(&b);
    free(in);
    free(out);
}

static void a_header_carries_the_crash_vector(void **state)
{
    (void)state;
    struct wire_header in = {.cluster = 9,
                             .flags = 1,
                             .to_boot = 77,
                             .order = 300,
                             .boots = {1, 2, 3}},
                       out;
    struct dun_buf b = {0};
    wire_write_header(&b, &in, 3);
    struct mp_reader r = mp_reader(dun_buf_view(&b));
    assert_int_equal(wire_read_header(&r, 3, &out), DUN_OK);
    assert_memory_equal(&in, &out, sizeof in);
    for (size_t len = 0; len < b.len; len++) {
        r = mp_reader(dun_slice(b.data, len));
        assert_int_equal(wire_read_header(&r, 3, &out), DUN_E_MALFORMED);
    }
    dun_buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_frame_survives_the_trip),
        cmocka_unit_test(every_truncation_is_malformed_or_a_clean_end),
        cmocka_unit_test(types_and_lengths_that_do_not_exist_are_malformed),
        cmocka_unit_test(random_damage_never_reads_outside),
        cmocka_unit_test(a_header_carries_the_crash_vector),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
