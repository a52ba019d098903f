/* tests/fuzz/fuzz_op.c: replicated operations.
 * Claims: what decodes keeps the limits that store_apply relies on, encodes to
 * bytes that decode to the same, and can be applied. */
#include "store/store.h"
#include "tests/fuzz/fuzz.h"

static const struct store_namespace spaces[] = {
    {.name = "", .history_size = 4, .history_ttl_ms = 60000}};

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
        struct dun_buf once = {0}, twice = {0};
        if (op->type == STORE_OP_PUBLISH) {
            DUN_ASSERT(op->publish.channel.len >= 1);
            DUN_ASSERT(op->publish.channel.len <= DUN_CHANNEL_MAX);
            DUN_ASSERT(op->publish.key.len <= DUN_KEY_MAX);
            DUN_ASSERT(op->publish.data.len <= DUN_PAYLOAD_MAX);
            DUN_ASSERT(fuzz_within(op->publish.data, bytes));
        }
        store_op_encode(op, &once);
        dun_err e = store_op_decode(dun_buf_view(&once), again);
        DUN_ASSERT(e == DUN_OK && again->type == op->type);
        store_op_encode(again, &twice);
        DUN_ASSERT(dun_slice_eq(dun_buf_view(&once), dun_buf_view(&twice)));
        dun_buf_deinit(&twice);
        dun_buf_deinit(&once);
        apply(bytes);
    }
    dun_free(again);
    dun_free(op);
    fuzz_copy_free(bytes);
    return 0;
}
