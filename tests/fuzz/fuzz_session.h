/* tests/fuzz/fuzz_session.h: a hub over a real store, for the targets that speak to sessions.
 * Publishes wait in a queue until fw_commit, which applies, delivers and answers
 * them as core and worker do. Time is set by hand; chance is seeded: an input
 * decides everything. */
#ifndef DUN_TESTS_FUZZ_SESSION_H
#define DUN_TESTS_FUZZ_SESSION_H

#include "tests/fuzz/fuzz.h"
#include "transport/codec/ws.h"
#include "transport/session/session.h"

#include <sodium.h>
#include <stdio.h>

enum { FW_GROUPS = 2, FW_EPOCH = 0xabc, FW_SUBMITS_MAX = 600, FW_CLIENTS = 3 };

static const struct store_namespace fw_namespaces[] = {
    {.name = "", .history_size = 1000, .history_ttl_ms = 300000, .force_recovery = true},
    {.name = "short", .history_size = 2, .history_ttl_ms = 300000, .force_recovery = true},
    {.name = "bare"},
    {.name = "who", .presence = true, .join_leave = true, .force_push_join_leave = true},
};

struct fw_client {
    struct session s;
    bool up, blocked;
    struct dun_buf got; /* what it was sent, when fw->keep */
};

struct fw {
    struct session_options options;
    struct store *store;
    struct session_hub hub;
    uint64_t now_ms, wall_ms;
    int locked;
    bool keep; /* collect output */
    struct {
        uint64_t cookie;
        struct dun_blob *op;
    } submits[FW_SUBMITS_MAX];
    uint32_t submit_count;
    struct dun_buf cast; /* the last one */
    struct fw_client clients[FW_CLIENTS];
};

static inline void fw_lock(void *ctx, uint32_t group)
{
    struct fw *f = ctx;
    DUN_ASSERT(group < FW_GROUPS && f->locked++ == 0);
}

static inline void fw_unlock(void *ctx, uint32_t group)
{
    struct fw *f = ctx;
    DUN_ASSERT(group < FW_GROUPS && --f->locked == 0);
}

static inline dun_err fw_submit(void *ctx, uint64_t cookie, const struct session_publish *p)
{
    struct fw *f = ctx;
    struct store_op op = {.type = STORE_OP_PUBLISH}, again;
    struct dun_buf b = {0};
    if (f->submit_count == FW_SUBMITS_MAX) return DUN_E_OVERLOADED;
    op.publish.channel = p->channel;
    op.publish.key = p->key;
    op.publish.data = p->data;
    op.publish.tags = p->tags;
    op.publish.info = p->info;
    store_op_encode(&op, &b);
    DUN_ASSERT(b.len <= DUN_OP_MAX);
    dun_err e = store_op_decode(dun_buf_view(&b), &again);
    DUN_ASSERT(e == DUN_OK); /* every peer must be able to apply it */
    f->submits[f->submit_count].cookie = cookie;
    f->submits[f->submit_count++].op = dun_blob_copy(b.data, b.len);
    dun_buf_deinit(&b);
    return DUN_OK;
}

static inline void fw_status(void *ctx, struct session_status *out)
{
    struct fw *f = ctx;
    *out = (struct session_status){.ready = f->hub.serving, .member_count = 2};
    for (uint32_t i = 0; i < 2; i++) {
        snprintf(out->members[i].name, sizeof out->members[i].name, "n%u", i + 1);
        snprintf(out->members[i].client_addr, sizeof out->members[i].client_addr, "h:%u", i);
        out->members[i].state = SWIM_ALIVE;
        out->members[i].voter = true;
        out->members[i].boot = 5;
    }
    snprintf(out->reason, sizeof out->reason, "%s", out->ready ? "" : "alone");
}

static inline dun_err fw_cast(void *ctx, const char *to_name, struct dun_slice bytes)
{
    struct fw *f = ctx;
    (void)to_name;
    DUN_ASSERT(bytes.len <= DUN_PACKET_SOFT_MAX);
    f->cast.len = 0;
    dun_buf_slice(&f->cast, bytes);
    return DUN_OK;
}

/* What the worker does after each round: writes what is due, notices ends. */
static inline void fw_turn(struct fw *f)
{
    struct dun_slice iov[8];
    struct session *s;
    for (int turns = 0; session_hub_pump(&f->hub) && turns < 64; turns++)
        ;
    while ((s = session_hub_dirty(&f->hub)) != NULL)
        ;
    for (uint32_t i = 0; i < FW_CLIENTS; i++) {
        struct fw_client *c = &f->clients[i];
        uint32_t n;
        if (!c->up) continue;
        while (!c->blocked && (n = session_out_peek(&c->s, iov, 8)) > 0) {
            size_t take = 0;
            for (uint32_t k = 0; k < n; k++) {
                DUN_ASSERT(iov[k].len > 0);
                fuzz_read(iov[k]);
                if (f->keep) dun_buf_slice(&c->got, iov[k]);
                take += iov[k].len;
            }
            session_out_consume(&c->s, take);
        }
        if (c->s.phase == SESSION_ABORTED) {
            session_deinit(&c->s);
            c->up = false;
        }
    }
}

static inline struct session *fw_session(struct fw *f, uint32_t i)
{
    struct fw_client *c = &f->clients[i];
    if (!c->up) {
        session_init(&c->s, &f->hub);
        c->up = true;
        c->blocked = false;
        c->got.len = 0;
    }
    return &c->s;
}

/* As a worker reads: only while it may, from memory of exactly that size. */
static inline void fw_feed(struct fw *f, uint32_t i, struct dun_slice bytes)
{
    struct session *s = fw_session(f, i);
    if (!session_wants_read(s)) return;
    struct dun_slice copy = fuzz_copy(bytes);
    session_receive(s, (uint8_t *)(uintptr_t)copy.data, copy.len);
    fuzz_copy_free(copy);
}

static inline void fw_feed_frame(struct fw *f, uint32_t i, enum ws_opcode op, struct dun_slice text)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    struct dun_buf b = {0};
    ws_write(&b, op, text, mask);
    fw_feed(f, i, dun_buf_view(&b));
    dun_buf_deinit(&b);
}

static inline void fw_feed_text(struct fw *f, uint32_t i, const char *text)
{
    fw_feed_frame(f, i, WS_TEXT, dun_slice_str(text));
}

static inline void fw_websocket(struct fw *f, uint32_t i)
{
    fw_feed(f, i,
            dun_slice_str("GET /connection/websocket HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"));
    fw_feed_text(f, i, "{\"id\":1,\"connect\":{}}");
}

static inline struct store_msg *fw_apply(struct fw *f, struct dun_blob *blob,
                                         struct store_result *r)
{
    struct store_op op;
    uint32_t group = 0;
    dun_err e = store_op_decode(dun_blob_slice(blob), &op);
    DUN_ASSERT(e == DUN_OK && op.type == STORE_OP_PUBLISH);
    group = store_group_of(op.publish.channel, FW_GROUPS);
    store_apply(f->store, group, f->wall_ms, blob, r);
    store_check(f->store, group);
    return r->msg == NULL ? NULL : store_msg_ref(r->msg);
}

/* All publishes in flight are committed. */
static inline void fw_commit(struct fw *f)
{
    for (uint32_t i = 0; i < f->submit_count; i++) {
        struct store_result r;
        struct store_msg *m = fw_apply(f, f->submits[i].op, &r);
        if (m != NULL) session_hub_deliver(&f->hub, &m, 1);
        store_msg_unref(m);
        struct node_reply reply = {.cookie = f->submits[i].cookie,
                                   .err = r.err,
                                   .duplicate = r.duplicate,
                                   .seq = r.seq,
                                   .epoch = r.epoch};
        session_hub_replied(&f->hub, &reply);
        dun_blob_unref(f->submits[i].op);
    }
    f->submit_count = 0;
}

/* Somebody elsewhere published; @told: and this worker knows of it. */
static inline void fw_publish(struct fw *f, const char *channel, struct dun_slice data, bool told)
{
    struct store_op op = {.type = STORE_OP_PUBLISH};
    struct store_result r;
    struct dun_buf b = {0};
    op.publish.channel = dun_slice_str(channel);
    op.publish.data = data;
    store_op_encode(&op, &b);
    struct dun_blob *blob = dun_blob_copy(b.data, b.len);
    struct store_msg *m = fw_apply(f, blob, &r);
    if (m != NULL && told) session_hub_deliver(&f->hub, &m, 1);
    store_msg_unref(m);
    dun_blob_unref(blob);
    dun_buf_deinit(&b);
}

static inline void fw_epoch(struct fw *f, uint64_t epoch)
{
    struct store_op op = {.type = STORE_OP_EPOCH, .epoch.epoch = epoch};
    struct store_result r;
    struct dun_buf b = {0};
    store_op_encode(&op, &b);
    struct dun_blob *blob = dun_blob_copy(b.data, b.len);
    for (uint32_t g = 0; g < FW_GROUPS; g++)
        store_apply(f->store, g, f->wall_ms, blob, &r);
    dun_blob_unref(blob);
    dun_buf_deinit(&b);
}

static inline void fw_time(struct fw *f, uint64_t forward_ms)
{
    f->now_ms += forward_ms;
    f->wall_ms += forward_ms;
    session_hub_time(&f->hub, f->now_ms, f->wall_ms);
    session_hub_tick(&f->hub);
}

/* libsodium's chance, from which clients get their ids, as a counter that begins anew
 * with each fw. */
static uint8_t fw_chance;

static inline uint32_t fw_random(void)
{
    return ++fw_chance;
}

static inline void fw_random_bytes(void *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = ++fw_chance;
}

static inline const char *fw_random_name(void)
{
    return "fuzz";
}

static inline struct fw *fw_create(bool insecure)
{
    static struct randombytes_implementation chance = {
        .implementation_name = fw_random_name, .random = fw_random, .buf = fw_random_bytes};
    struct fw *f = dun_calloc(1, sizeof *f);
    DUN_ASSERT(sodium_init() >= 0);
    randombytes_set_implementation(&chance);
    fw_chance = 0;
    f->options = (struct session_options){.name = "n1",
                                          .version = "fuzz",
                                          .insecure = insecure,
                                          .api_key = insecure ? "" : "k",
                                          .namespaces = fw_namespaces,
                                          .namespace_count = DUN_COUNT(fw_namespaces),
                                          .group_count = FW_GROUPS,
                                          .worker_count = 1};
    f->options.token_keys[0] = (struct jwt_key){JWT_HS256, {(const uint8_t *)"secret", 6}};
    f->options.token_key_count = 1;
    struct store_config sc = {.group_count = FW_GROUPS,
                              .namespaces = fw_namespaces,
                              .namespace_count = DUN_COUNT(fw_namespaces),
                              .max_memory = 1 << 20};
    DUN_ASSERT(store_create(&f->store, &sc) == DUN_OK);
    struct session_ops ops = {.ctx = f,
                              .log_lock = fw_lock,
                              .log_unlock = fw_unlock,
                              .submit = fw_submit,
                              .status = fw_status,
                              .cast = fw_cast};
    session_hub_init(&f->hub, &f->options, f->store, &ops, 3, 7);
    f->now_ms = 5000000;
    f->wall_ms = 1700000000000;
    session_hub_time(&f->hub, f->now_ms, f->wall_ms);
    fw_epoch(f, FW_EPOCH);
    session_hub_serving(&f->hub, true);
    return f;
}

static inline void fw_destroy(struct fw *f)
{
    for (uint32_t i = 0; i < FW_CLIENTS; i++) {
        if (f->clients[i].up) session_deinit(&f->clients[i].s);
        dun_buf_deinit(&f->clients[i].got);
    }
    for (uint32_t i = 0; i < f->submit_count; i++)
        dun_blob_unref(f->submits[i].op);
    session_hub_deinit(&f->hub);
    store_destroy(f->store);
    dun_buf_deinit(&f->cast);
    dun_free(f);
}

#endif
