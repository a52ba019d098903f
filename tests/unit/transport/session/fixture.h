/* tests/unit/transport/session/fixture.h: a hub over a real store, without sockets.
 * A client is a struct session and what it was sent; time is set by hand. */
#ifndef DUN_TESTS_UNIT_SESSION_FIXTURE_H
#define DUN_TESTS_UNIT_SESSION_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "transport/codec/ws.h"
#include "transport/session/session.h"

enum { FX_GROUPS = 4, FX_EPOCH = 0xabc, FX_SUBMITS_MAX = 512 };

static const struct store_namespace fx_namespaces[] = {
    {.name = "", .history_size = 1000, .history_ttl_ms = 300000, .force_recovery = true},
    {.name = "short", .history_size = 3, .history_ttl_ms = 300000, .force_recovery = true},
    {.name = "bare"},
    {.name = "who", .presence = true, .join_leave = true, .force_push_join_leave = true},
    {.name = "open",
     .history_size = 10,
     .history_ttl_ms = 300000,
     .allow_subscribe_for_client = true,
     .allow_publish_for_subscriber = true},
};

struct fx {
    struct session_options options;
    struct store *store;
    struct session_hub hub;
    uint64_t now_ms, wall_ms;
    int locked;
    uint32_t unlocks;
    void (*on_unlock)(struct fx *f); /* what the writer does as soon as it may */
    uint64_t cookies[FX_SUBMITS_MAX];
    uint32_t submit_count;
    dun_err submit_error;
    char submitted[1024]; /* the last one: channel|key|data */
    struct dun_buf cast;  /* the last one */
    char cast_to[64];
    struct session_member members[2];
    uint32_t member_count;
};

static void fx_lock(void *ctx, uint32_t group)
{
    (void)group;
    assert_int_equal(((struct fx *)ctx)->locked++, 0);
}

static void fx_unlock(void *ctx, uint32_t group)
{
    (void)group;
    struct fx *f = ctx;
    assert_int_equal(--f->locked, 0);
    f->unlocks++;
    if (f->on_unlock != NULL) f->on_unlock(f);
}

static dun_err fx_submit(void *ctx, uint64_t cookie, const struct session_publish *p)
{
    struct fx *f = ctx;
    if (f->submit_error != DUN_OK) return f->submit_error;
    assert_true(f->submit_count < FX_SUBMITS_MAX);
    f->cookies[f->submit_count++] = cookie;
    snprintf(f->submitted, sizeof f->submitted, "%.*s|%.*s|%.*s", (int)p->channel.len,
             (const char *)p->channel.data, (int)p->key.len,
             p->key.len > 0 ? (const char *)p->key.data : "", (int)p->data.len,
             (const char *)p->data.data);
    return DUN_OK;
}

static void fx_status(void *ctx, struct session_status *out)
{
    struct fx *f = ctx;
    *out = (struct session_status){.ready = f->hub.serving};
    memcpy(out->members, f->members, sizeof f->members);
    out->member_count = f->member_count;
    snprintf(out->reason, sizeof out->reason, "%s", out->ready ? "" : "alone");
}

static dun_err fx_cast(void *ctx, const char *to_name, struct dun_slice bytes)
{
    struct fx *f = ctx;
    snprintf(f->cast_to, sizeof f->cast_to, "%s", to_name == NULL ? "*" : to_name);
    f->cast.len = 0;
    dun_buf_slice(&f->cast, bytes);
    return DUN_OK;
}

static inline void fx_apply(struct fx *f, const struct store_op *op, uint32_t group,
                            struct store_result *out)
{
    struct dun_buf b = {0};
    store_op_encode(op, &b);
    struct dun_blob *blob = dun_blob_copy(b.data, b.len);
    store_apply(f->store, group, f->wall_ms, blob, out);
    dun_blob_unref(blob);
    dun_buf_deinit(&b);
}

static inline void fx_set_epoch(struct fx *f, uint64_t epoch)
{
    struct store_op op = {.type = STORE_OP_EPOCH, .epoch.epoch = epoch};
    struct store_result r;
    for (uint32_t g = 0; g < FX_GROUPS; g++)
        fx_apply(f, &op, g, &r);
}

/* Into the log only, as if this worker had not been told yet. */
static inline struct store_msg *fx_log(struct fx *f, const char *channel, const char *data)
{
    struct store_op op = {.type = STORE_OP_PUBLISH};
    struct store_result r;
    op.publish.channel = dun_slice_str(channel);
    op.publish.data = dun_slice_str(data);
    fx_apply(f, &op, store_group_of(op.publish.channel, FX_GROUPS), &r);
    assert_int_equal(r.err, DUN_OK);
    return store_msg_ref(r.msg);
}

static inline void fx_publish(struct fx *f, const char *channel, const char *data)
{
    struct store_msg *m = fx_log(f, channel, data);
    session_hub_deliver(&f->hub, &m, 1);
    store_msg_unref(m);
}

static inline void fx_publish_many(struct fx *f, const char *channel, uint32_t from, uint32_t to)
{
    char data[16];
    for (uint32_t i = from; i <= to; i++) {
        snprintf(data, sizeof data, "%u", i);
        fx_publish(f, channel, data);
    }
}

static inline void fx_time(struct fx *f, uint64_t forward_ms)
{
    f->now_ms += forward_ms;
    f->wall_ms += forward_ms;
    session_hub_time(&f->hub, f->now_ms, f->wall_ms);
    session_hub_tick(&f->hub);
}

static inline struct fx *fx_create(void)
{
    struct fx *f = dun_calloc(1, sizeof *f);
    f->options = (struct session_options){.name = "n1",
                                          .version = "test",
                                          .insecure = true,
                                          .api_key = "",
                                          .namespaces = fx_namespaces,
                                          .namespace_count = DUN_COUNT(fx_namespaces),
                                          .group_count = FX_GROUPS,
                                          .worker_count = 1,
                                          .ping_s = 25,
                                          .pong_s = 8,
                                          .stale_s = 10};
    struct store_config sc = {.group_count = FX_GROUPS,
                              .namespaces = fx_namespaces,
                              .namespace_count = DUN_COUNT(fx_namespaces),
                              .max_memory = 64 << 20};
    assert_int_equal(store_create(&f->store, &sc), DUN_OK);
    struct session_ops ops = {.ctx = f,
                              .log_lock = fx_lock,
                              .log_unlock = fx_unlock,
                              .submit = fx_submit,
                              .status = fx_status,
                              .cast = fx_cast};
    session_hub_init(&f->hub, &f->options, f->store, &ops, 3, 7);
    f->now_ms = 5000000;
    f->wall_ms = 1700000000000;
    session_hub_time(&f->hub, f->now_ms, f->wall_ms);
    fx_set_epoch(f, FX_EPOCH);
    session_hub_serving(&f->hub, true);
    return f;
}

static inline void fx_destroy(struct fx *f)
{
    session_hub_deinit(&f->hub);
    store_destroy(f->store);
    dun_buf_deinit(&f->cast);
    dun_free(f);
}

/* ---- a client ---- */

struct fx_client {
    struct fx *f;
    struct session s;
    struct dun_buf got;  /* raw bytes, in order */
    struct dun_buf text; /* of fx_text */
};

static inline struct fx_client *fx_client(struct fx *f)
{
    struct fx_client *c = dun_calloc(1, sizeof *c);
    c->f = f;
    session_init(&c->s, &f->hub);
    return c;
}

static inline void fx_client_destroy(struct fx_client *c)
{
    session_deinit(&c->s);
    dun_buf_deinit(&c->got);
    dun_buf_deinit(&c->text);
    dun_free(c);
}

static inline void fx_feed(struct fx_client *c, const void *data, size_t len)
{
    uint8_t *copy = dun_malloc(len + 1);
    memcpy(copy, data, len);
    session_receive(&c->s, copy, len);
    dun_free(copy);
}

static inline void fx_feed_bytewise(struct fx_client *c, const void *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        fx_feed(c, (const uint8_t *)data + i, 1);
}

/* Takes all output, as a writable socket does; lets cursors catch up. */
static inline void fx_pull(struct fx_client *c)
{
    for (int turns = 0; turns < 10000; turns++) {
        bool more = session_hub_pump(&c->f->hub);
        struct dun_slice iov[3];
        uint32_t n;
        while ((n = session_out_peek(&c->s, iov, 3)) > 0) {
            size_t take = iov[0].len > 7 ? 7 : iov[0].len; /* partial writes are the rule */
            for (uint32_t i = 1; i < n; i++)
                assert_true(iov[i].len > 0);
            dun_buf_add(&c->got, iov[0].data, take);
            session_out_consume(&c->s, take);
        }
        if (!more && c->s.out_bytes == 0) return;
    }
    fail_msg("output does not end");
}

/* The HTTP text got so far, emptied. */
static inline const char *fx_http(struct fx_client *c)
{
    fx_pull(c);
    c->text.len = 0;
    dun_buf_slice(&c->text, dun_buf_view(&c->got));
    dun_buf_byte(&c->text, 0);
    c->got.len = 0;
    return (const char *)c->text.data;
}

/* Text frames got so far, one line each, "close CODE REASON" for a close; emptied. */
static inline const char *fx_text(struct fx_client *c)
{
    struct ws_frame fr;
    size_t used, at = 0;
    fx_pull(c);
    c->text.len = 0;
    while (ws_decode(c->got.data + at, c->got.len - at, WS_CLIENT, 64 << 20, &fr, &used) ==
           DUN_OK) {
        at += used;
        if (fr.opcode == WS_CLOSE) {
            uint16_t code;
            struct dun_slice reason;
            assert_int_equal(ws_parse_close(fr.payload, &code, &reason), DUN_OK);
            dun_buf_printf(&c->text, "close %u %.*s", code, (int)reason.len,
                           (const char *)reason.data);
        } else {
            if (fr.opcode == WS_PONG) dun_buf_str(&c->text, "pong ");
            dun_buf_slice(&c->text, fr.payload);
        }
        dun_buf_byte(&c->text, '\n');
    }
    assert_int_equal(at, c->got.len);
    c->got.len = 0;
    if (c->text.len > 0) c->text.len--; /* the last newline */
    dun_buf_byte(&c->text, 0);
    return (const char *)c->text.data;
}

static const char fx_upgrade[] =
    "GET /connection/websocket?x=1 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: "
    "Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
    "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol:\r\n\r\n";

static inline void fx_frame(struct dun_buf *b, enum ws_opcode op, const void *data, size_t len)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    ws_write(b, op, dun_slice(data, len), mask);
}

static inline void fx_say(struct fx_client *c, const char *text)
{
    struct dun_buf b = {0};
    fx_frame(&b, WS_TEXT, text, strlen(text));
    fx_feed(c, b.data, b.len);
    dun_buf_deinit(&b);
}

/* A WebSocket client; connected when @hello. */
static inline struct fx_client *fx_ws(struct fx *f, bool hello)
{
    struct fx_client *c = fx_client(f);
    fx_feed(c, fx_upgrade, sizeof fx_upgrade - 1);
    const char *head = fx_http(c);
    assert_non_null(strstr(head, "HTTP/1.1 101"));
    assert_non_null(strstr(head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    if (!hello) return c;
    fx_say(c, "{\"id\":1,\"connect\":{}}");
    assert_non_null(strstr(fx_text(c), "\"connect\":{\"client\":"));
    return c;
}

static inline void fx_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) fail_msg("wanted %s in:\n%s", part, text);
}

static inline void fx_lacks(const char *text, const char *part)
{
    if (strstr(text, part) != NULL) fail_msg("did not want %s in:\n%s", part, text);
}

#endif
