/* tests/fuzz/fuzz_op.c: replicated operations.
 * Claims: what decodes keeps the limits that store_apply relies on, encodes to
 * bytes that decode to the same fields, and can be applied. */
#include "store/store.h"
#include "tests/fuzz/fuzz.h"

static const struct store_namespace spaces[] = {
    {.name = "", .history_size = 4, .history_ttl_ms = 60000}};

static void check_same(const struct store_op *a, const struct store_op *b)
{
    DUN_ASSERT(a->type == b->type && a->origin == b->origin);
    DUN_ASSERT(a->origin_boot == b->origin_boot && a->request == b->request);
    switch (a->type) {
    case STORE_OP_PUBLISH:
        DUN_ASSERT(dun_slice_eq(a->publish.channel, b->publish.channel));
        DUN_ASSERT(dun_slice_eq(a->publish.key, b->publish.key));
        DUN_ASSERT(dun_slice_eq(a->publish.data, b->publish.data));
        DUN_ASSERT(dun_slice_eq(a->publish.tags, b->publish.tags));
        DUN_ASSERT(dun_slice_eq(a->publish.info, b->publish.info));
        break;
    case STORE_OP_DROP:
        DUN_ASSERT(a->drop.count == b->drop.count && a->drop.count <= STORE_DROP_MAX);
        for (uint32_t i = 0; i < a->drop.count; i++)
            DUN_ASSERT(dun_slice_eq(a->drop.channels[i], b->drop.channels[i]));
        break;
    case STORE_OP_EPOCH: DUN_ASSERT(a->epoch.epoch == b->epoch.epoch); break;
    }
}

static void apply(struct dun_slice bytes)
{
    struct store_config c = {
        .group_count = 1, .namespaces = spaces, .namespace_count = 1, .max_memory = 1 << 20};
    struct store *s;
    struct store_result r;
    struct dun_blob *blob = dun_blob_copy(bytes.data, bytes.len);
    DUN_ASSERT(store_create(&s, &c) == DUN_OK);
    for (uint64_t t = 1; t <= 2; t++) {
        store_apply(s, 0, t, blob, &r);
        store_check(s, 0);
    }
    store_destroy(s);
    dun_blob_unref(blob);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dun_slice bytes = fuzz_copy((struct dun_slice){data, size});
    struct store_op *op = dun_calloc(1, sizeof *op), *again = dun_calloc(1, sizeof *again);
    if (store_op_decode(bytes, op) == DUN_OK) {
        struct dun_buf once = {0};
        if (op->type == STORE_OP_PUBLISH) {
            DUN_ASSERT(op->publish.channel.len >= 1);
            DUN_ASSERT(op->publish.channel.len <= DUN_CHANNEL_MAX);
            DUN_ASSERT(op->publish.key.len <= DUN_KEY_MAX);
            DUN_ASSERT(op->publish.data.len <= DUN_PAYLOAD_MAX);
            DUN_ASSERT(fuzz_within(op->publish.data, bytes));
        }
        store_op_encode(op, &once);
        dun_err e = store_op_decode(dun_buf_view(&once), again);
        DUN_ASSERT(e == DUN_OK);
        check_same(op, again);
        dun_buf_deinit(&once);
        apply(bytes);
    }
    dun_free(again);
    dun_free(op);
    fuzz_copy_free(bytes);
    return 0;
}
