/* tests/unit/store/fixture.h: short ways to make a store and apply operations to it. */
#ifndef TESTS_UNIT_STORE_FIXTURE_H
#define TESTS_UNIT_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/prng.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>

static const uint64_t FX_BIG = (uint64_t)1 << 34; /* a budget that never bites */

/* "": 10 messages, "one": 1, "none": no history, "short": 5 for a second, "long": 100000. */
static const struct store_namespace fx_namespaces[] = {
    {.name = "", .history_size = 10, .history_ttl_ms = 60000, .history_meta_ttl_ms = 100000},
    {.name = "one", .history_size = 1, .history_ttl_ms = 60000},
    {.name = "none"},
    {.name = "short", .history_size = 5, .history_ttl_ms = 1000, .history_meta_ttl_ms = 5000},
    {.name = "long", .history_size = 100000, .history_ttl_ms = 3600000},
};

static inline struct store_config fx_config(void)
{
    return (struct store_config){.group_count = 4,
                                 .namespaces = fx_namespaces,
                                 .namespace_count = DUN_COUNT(fx_namespaces),
                                 .max_memory = FX_BIG,
                                 .hash_key = {1, 2, 3}};
}

static inline struct store *fx_create(const struct store_config *c)
{
    struct store *s = NULL;
    assert_int_equal(store_create(&s, c), DUN_OK);
    return s;
}

static inline struct store *fx_store(void)
{
    struct store_config c = fx_config();
    return fx_create(&c);
}

static inline struct dun_blob *fx_blob(const struct store_op *op)
{
    struct dun_buf b = {0};
    store_op_encode(op, &b);
    struct dun_blob *blob = dun_blob_copy(b.data, b.len);
    dun_buf_deinit(&b);
    return blob;
}

static inline struct store_result fx_apply(struct store *s, uint32_t group, uint64_t time_ms,
                                           const struct store_op *op)
{
    struct store_result out;
    struct dun_blob *blob = fx_blob(op);
    store_apply(s, group, time_ms, blob, &out);
    dun_blob_unref(blob);
    return out;
}

static inline void fx_publish_op(struct store_op *op, const char *channel, const char *data)
{
    op->type = STORE_OP_PUBLISH;
    op->origin = 0;
    op->origin_boot = op->request = 0;
    op->publish.channel = dun_slice_str(channel);
    op->publish.data = dun_slice_str(data);
    op->publish.key = op->publish.tags = op->publish.info = dun_slice("", 0);
}

static inline struct store_result fx_publish(struct store *s, uint32_t group, uint64_t time_ms,
                                             const char *channel, const char *data)
{
    struct store_op op;
    fx_publish_op(&op, channel, data);
    return fx_apply(s, group, time_ms, &op);
}

static inline struct store_result fx_publish_key(struct store *s, uint32_t group, uint64_t time_ms,
                                                 const char *channel, const char *key)
{
    struct store_op op;
    fx_publish_op(&op, channel, "1");
    op.publish.key = dun_slice_str(key);
    return fx_apply(s, group, time_ms, &op);
}

/* Origin 1. */
static inline struct store_result fx_publish_request(struct store *s, uint32_t group,
                                                     const char *channel, uint64_t boot,
                                                     uint64_t request)
{
    struct store_op op;
    fx_publish_op(&op, channel, "1");
    op.origin = 1;
    op.origin_boot = boot;
    op.request = request;
    return fx_apply(s, group, 1000, &op);
}

static inline struct store_result fx_drop(struct store *s, uint32_t group, uint64_t time_ms,
                                          const char *channel)
{
    struct store_op op = {.type = STORE_OP_DROP};
    op.drop.count = 1;
    op.drop.channels[0] = dun_slice_str(channel);
    return fx_apply(s, group, time_ms, &op);
}

static inline struct store_result fx_epoch(struct store *s, uint32_t group, uint64_t epoch)
{
    struct store_op op = {.type = STORE_OP_EPOCH};
    op.epoch.epoch = epoch;
    return fx_apply(s, group, 0, &op);
}

static inline struct store_position fx_position(const struct store *s, uint32_t group,
                                                const char *channel)
{
    return store_position(s, group, dun_slice_str(channel));
}

/* Reads after @after_seq and checks order; the count, or the error. */
static inline int fx_read(const struct store *s, uint32_t group, const char *channel,
                          uint64_t after_seq, uint32_t max)
{
    struct store_msg *m[512];
    uint32_t count = 77;
    assert_true(max <= DUN_COUNT(m));
    dun_err e = store_read(s, group, dun_slice_str(channel), after_seq, m, max, &count);
    if (e != DUN_OK) {
        assert_int_equal(count, 0);
        return e;
    }
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(m[i]->seq, after_seq + 1 + i);
        assert_int_equal(m[i]->prev_seq, after_seq + i);
        assert_string_equal(m[i]->channel, channel);
        store_msg_unref(m[i]);
    }
    return (int)count;
}

static inline struct store_stats fx_stats(const struct store *s)
{
    struct store_stats stats;
    store_stats(s, &stats);
    return stats;
}

static inline void fx_check(const struct store *s, uint32_t group_count)
{
    for (uint32_t i = 0; i < group_count; i++)
        store_check(s, i);
}

#endif
