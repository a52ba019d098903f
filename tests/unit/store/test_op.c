/* Claims of store/op.h. */
#include "fixture.h"

#include "store/mp.h"

static void sample_publish(struct store_op *op)
{
    fx_publish_op(op, "chat:room", "{\"n\":1}");
    op->origin = 2;
    op->origin_boot = UINT64_MAX;
    op->request = 77;
    op->publish.key = dun_slice_str("k");
    op->publish.tags = dun_slice_str("{}");
    op->publish.info = dun_slice_str("{\"user\":\"u\"}");
}

static void a_publish_survives_the_round_trip(void **state)
{
    (void)state;
    struct store_op in, out;
    sample_publish(&in);
    struct dun_blob *b = fx_blob(&in);
    assert_int_equal(store_op_decode(dun_blob_slice(b), &out), DUN_OK);
    assert_int_equal(out.type, STORE_OP_PUBLISH);
    assert_int_equal(out.origin, 2);
    assert_true(out.origin_boot == UINT64_MAX);
    assert_int_equal(out.request, 77);
    assert_true(dun_slice_eq(out.publish.channel, in.publish.channel));
    assert_true(dun_slice_eq(out.publish.key, in.publish.key));
    assert_true(dun_slice_eq(out.publish.data, in.publish.data));
    assert_true(dun_slice_eq(out.publish.tags, in.publish.tags));
    assert_true(dun_slice_eq(out.publish.info, in.publish.info));
    assert_true(out.publish.data.data > b->data && out.publish.data.data < b->data + b->len);
    dun_blob_unref(b);
}

static void a_full_drop_and_an_epoch_survive_the_round_trip(void **state)
{
    (void)state;
    char name[DUN_CHANNEL_MAX];
    memset(name, 'x', sizeof name);
    struct store_op in = {.type = STORE_OP_DROP}, out;
    in.drop.count = STORE_DROP_MAX;
    for (uint32_t i = 0; i < STORE_DROP_MAX; i++)
        in.drop.channels[i] = dun_slice(name, sizeof name - i % 100);
    struct dun_blob *b = fx_blob(&in);
    assert_int_equal(store_op_decode(dun_blob_slice(b), &out), DUN_OK);
    assert_int_equal(out.drop.count, STORE_DROP_MAX);
    for (uint32_t i = 0; i < STORE_DROP_MAX; i++)
        assert_true(dun_slice_eq(in.drop.channels[i], out.drop.channels[i]));
    dun_blob_unref(b);

    in = (struct store_op){.type = STORE_OP_EPOCH, .origin = 6};
    in.epoch.epoch = (uint64_t)1 << 60;
    b = fx_blob(&in);
    assert_int_equal(store_op_decode(dun_blob_slice(b), &out), DUN_OK);
    assert_int_equal(out.type, STORE_OP_EPOCH);
    assert_true(out.epoch.epoch == (uint64_t)1 << 60);
    dun_blob_unref(b);
}

static void no_prefix_of_an_operation_decodes_nor_one_with_a_tail(void **state)
{
    (void)state;
    struct store_op in, out;
    sample_publish(&in);
    struct dun_buf b = {0};
    store_op_encode(&in, &b);
    for (size_t n = 0; n < b.len; n++) {
        uint8_t *exact = dun_malloc(n + 1); /* so that a sanitizer sees a read past the end */
        memcpy(exact, b.data, n);
        uint8_t *p = dun_realloc(exact, n == 0 ? 1 : n);
        assert_int_equal(store_op_decode(dun_slice(p, n), &out), DUN_E_MALFORMED);
        dun_free(p);
    }
    dun_buf_byte(&b, 0);
    assert_int_equal(store_op_decode(dun_buf_view(&b), &out), DUN_E_MALFORMED);
    dun_buf_deinit(&b);
}

static void each_field_has_its_limit(void **state)
{
    (void)state;
    static const struct {
        size_t len[5]; /* channel, key, data, tags, info */
        dun_err want;
    } t[] = {
        {{1, 0, 1, 0, 0}, DUN_OK},
        {{DUN_CHANNEL_MAX, DUN_KEY_MAX, DUN_PAYLOAD_MAX, DUN_TAGS_MAX, DUN_INFO_MAX}, DUN_OK},
        {{0, 0, 1, 0, 0}, DUN_E_MALFORMED},
        {{1, 0, 0, 0, 0}, DUN_E_MALFORMED},
        {{DUN_CHANNEL_MAX + 1, 0, 1, 0, 0}, DUN_E_TOO_BIG},
        {{1, DUN_KEY_MAX + 1, 1, 0, 0}, DUN_E_TOO_BIG},
        {{1, 0, DUN_PAYLOAD_MAX + 1, 0, 0}, DUN_E_TOO_BIG},
        {{1, 0, 1, DUN_TAGS_MAX + 1, 0}, DUN_E_TOO_BIG},
        {{1, 0, 1, 0, DUN_INFO_MAX + 1}, DUN_E_TOO_BIG},
        {{1, 0, DUN_OP_MAX, 0, 0}, DUN_E_TOO_BIG},
    };
    uint8_t *bytes = dun_calloc(1, DUN_OP_MAX);
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct dun_buf b = {0};
        struct store_op out;
        mp_write_array(&b, 9);
        mp_write_uint(&b, STORE_OP_PUBLISH);
        for (int k = 0; k < 3; k++)
            mp_write_uint(&b, 0);
        for (int k = 0; k < 5; k++)
            mp_write_bytes(&b, dun_slice(bytes, t[i].len[k]));
        dun_err e = store_op_decode(dun_buf_view(&b), &out);
        if (e != t[i].want) fail_msg("row %zu: %d, want %d", i, e, t[i].want);
        dun_buf_deinit(&b);
    }
    dun_free(bytes);
}

static void unknown_types_wrong_counts_and_foreign_origins_are_malformed(void **state)
{
    (void)state;
    static const struct {
        uint32_t elements;
        uint64_t type, origin;
        dun_err want;
    } t[] = {
        {5, STORE_OP_EPOCH, DUN_VOTERS_MAX - 1, DUN_OK},
        {5, STORE_OP_EPOCH, DUN_VOTERS_MAX, DUN_E_MALFORMED},
        {5, STORE_OP_EPOCH, (uint64_t)1 << 32, DUN_E_MALFORMED},
        {5, 0, 0, DUN_E_MALFORMED},
        {5, 4, 0, DUN_E_MALFORMED},
        {5, ((uint64_t)1 << 32) + STORE_OP_EPOCH, 0, DUN_E_MALFORMED},
        {4, STORE_OP_EPOCH, 0, DUN_E_MALFORMED},
        {9, STORE_OP_EPOCH, 0, DUN_E_MALFORMED},
        {5, STORE_OP_DROP, 0, DUN_E_MALFORMED}, /* its names are not an array */
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct dun_buf b = {0};
        struct store_op out;
        mp_write_array(&b, t[i].elements);
        mp_write_uint(&b, t[i].type);
        mp_write_uint(&b, t[i].origin);
        for (int k = 0; k < 3; k++)
            mp_write_uint(&b, 9);
        dun_err e = store_op_decode(dun_buf_view(&b), &out);
        if (e != t[i].want) fail_msg("row %zu: %d, want %d", i, e, t[i].want);
        dun_buf_deinit(&b);
    }
}

static void what_decodes_after_damage_encodes_again(void **state)
{
    (void)state;
    struct dun_prng prng;
    dun_prng_seed(&prng, 7);
    struct store_op in, out;
    sample_publish(&in);
    struct dun_blob *b = fx_blob(&in);
    int decoded = 0;
    for (int i = 0; i < 20000; i++) {
        struct dun_blob *bad = dun_blob_copy(b->data, b->len);
        for (uint64_t n = dun_prng_range(&prng, 1, 3); n != 0; n--)
            bad->data[dun_prng_range(&prng, 0, bad->len - 1)] = (uint8_t)dun_prng_next(&prng);
        if (store_op_decode(dun_blob_slice(bad), &out) == DUN_OK) {
            struct dun_buf again = {0};
            store_op_encode(&out, &again);
            dun_buf_deinit(&again);
            decoded++;
        }
        dun_blob_unref(bad);
    }
    assert_true(decoded > 0 && decoded < 20000);
    dun_blob_unref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_publish_survives_the_round_trip),
        cmocka_unit_test(a_full_drop_and_an_epoch_survive_the_round_trip),
        cmocka_unit_test(no_prefix_of_an_operation_decodes_nor_one_with_a_tail),
        cmocka_unit_test(each_field_has_its_limit),
        cmocka_unit_test(unknown_types_wrong_counts_and_foreign_origins_are_malformed),
        cmocka_unit_test(what_decodes_after_damage_encodes_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
