/* tests/fuzz/fuzz_snapshot.c: snapshots of a group, as a lagging peer gets them.
 * Claims: a refused one changes nothing; an accepted one keeps the store's
 * invariants and, taken again and restored elsewhere, is the same state.
 * Mode byte: 1 a small memory budget; 2 the snapshot's seal, which is against
 * accidents only, is made to fit. */
#include "store/mp.h"
#include "store/store.h"
#include "tests/fuzz/fuzz.h"

#include <sodium.h>

static const struct store_namespace spaces[] = {
    {.name = "", .history_size = 8, .history_ttl_ms = 60000},
    {.name = "one", .history_size = 1, .history_ttl_ms = 60000},
    {.name = "none"}};

static struct store *create(uint64_t max_memory)
{
    struct store *s;
    struct store_config c = {.group_count = 1,
                             .namespaces = spaces,
                             .namespace_count = DUN_COUNT(spaces),
                             .max_memory = max_memory};
    DUN_ASSERT(store_create(&s, &c) == DUN_OK);
    return s;
}

static void publish(struct store *s, uint64_t time_ms, const char *channel, const char *key)
{
    struct store_op op = {.type = STORE_OP_PUBLISH};
    struct store_result r;
    struct dun_buf b = {0};
    op.publish.channel = dun_slice_str(channel);
    op.publish.key = dun_slice_str(key);
    op.publish.data = dun_slice_str("{\"n\":1}");
    store_op_encode(&op, &b);
    struct dun_blob *blob = dun_blob_copy(b.data, b.len);
    store_apply(s, 0, time_ms, blob, &r);
    dun_blob_unref(blob);
    dun_buf_deinit(&b);
}

/* It must go on working after what came from outside. */
static void go_on(struct store *s)
{
    uint64_t now_ms = store_group_clock(s, 0);
    struct store_op *idle = dun_calloc(1, sizeof *idle);
    for (int i = 0; i < 3; i++) {
        publish(s, now_ms, i == 0 ? "a" : "one:b", i == 2 ? "key" : "");
        store_check(s, 0);
    }
    if (now_ms < UINT64_MAX / 2) {
        store_trim(s, now_ms + 60001);
        (void)store_idle(s, 0, now_ms + ((uint64_t)40 * 24 * 3600 * 1000), idle);
    }
    store_check(s, 0);
    dun_free(idle);
}

/* The snapshot to try: as it is, or with the right seal behind it. */
static struct dun_slice input(struct dun_slice bytes, bool seal)
{
    static const uint8_t key[crypto_shorthash_KEYBYTES];
    uint8_t hash[crypto_shorthash_BYTES];
    struct dun_buf b = {0};
    dun_buf_slice(&b, bytes);
    crypto_shorthash(hash, bytes.data, bytes.len, key);
    if (seal) mp_write_bytes(&b, dun_slice(hash, sizeof hash));
    struct dun_slice s = fuzz_copy(dun_buf_view(&b));
    dun_buf_deinit(&b);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t mode = fuzz_u8(&in);
    struct store *s = create(mode & 1 ? 2000 : 1 << 24), *t = create(1 << 24);
    struct dun_slice bytes = input(fuzz_rest(&in), mode & 2);
    publish(s, 5, "old", "k");
    uint64_t before = store_digest(s, 0);
    if (store_restore(s, 0, bytes) == DUN_OK) {
        struct dun_buf b = {0}, again = {0};
        store_check(s, 0);
        store_snapshot(s, 0, &b);
        dun_err e = store_restore(t, 0, dun_buf_view(&b));
        DUN_ASSERT(e == DUN_OK);
        store_check(t, 0);
        DUN_ASSERT(store_digest(s, 0) == store_digest(t, 0));
        store_snapshot(t, 0, &again);
        DUN_ASSERT(dun_slice_eq(dun_buf_view(&b), dun_buf_view(&again)));
        dun_buf_deinit(&again);
        dun_buf_deinit(&b);
    } else {
        DUN_ASSERT(store_digest(s, 0) == before);
        store_check(s, 0);
    }
    go_on(s);
    fuzz_copy_free(bytes);
    store_destroy(t);
    store_destroy(s);
    return 0;
}
