/* tests/unit/transport/client/fake_server.h: small servers on loopback ports that
 * the system chooses, on the test's own loop, so a test decides when one dies.
 * All share one channel log, as the peers of a cluster do. */
#ifndef DUN_TESTS_FAKE_SERVER_H
#define DUN_TESTS_FAKE_SERVER_H

#include "base/alloc.h"
#include "base/assert.h"
#include "transport/codec/cmd.h"
#include "transport/codec/ws.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { FAKE_LOG_MAX = 1000, FAKE_CONNS_MAX = 64 };

struct fake_log { /* offset i + 1 holds the number i + 1 as data */
    uint64_t top;
    char keys[FAKE_LOG_MAX][130]; /* idempotency keys of HTTP publishes */
    uint32_t key_count, repeats;
};

struct fake_server {
    uv_loop_t *loop;
    uv_tcp_t listener;
    uint16_t port;
    struct fake_log *log;
    struct fake_conn *conns[FAKE_CONNS_MAX];
    uint32_t conn_count;
    uint32_t accepted, connects, http_requests; /* counted */
    uint16_t close_connects;                    /* answer connect with this close code */
    int http_status; /* 0 = publish; -1 = publish, then hang up; else that status */
    bool listening;
};

struct fake_conn {
    uv_tcp_t tcp;
    struct fake_server *server;
    struct dun_buf in;
    bool upgraded, subscribed, closed;
};

static void fake_conn_freed(uv_handle_t *h)
{
    struct fake_conn *c = h->data;
    dun_buf_deinit(&c->in);
    dun_free(c);
}

static void fake_conn_close(struct fake_conn *c)
{
    struct fake_server *s = c->server;
    if (c->closed) return;
    c->closed = true;
    for (uint32_t i = 0; i < s->conn_count; i++)
        if (s->conns[i] == c) s->conns[i] = s->conns[--s->conn_count];
    uv_close((uv_handle_t *)&c->tcp, fake_conn_freed);
}

static void fake_send(struct fake_conn *c, struct dun_buf *b)
{
    uv_buf_t buf = uv_buf_init((char *)b->data, (unsigned)b->len);
    int n = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
    DUN_ASSERT(n == (int)b->len || n < 0); /* tests send little; the other side may be gone */
    dun_buf_deinit(b);
    memset(b, 0, sizeof *b);
}

static void fake_send_line(struct fake_conn *c, struct dun_buf *line)
{
    struct dun_buf b = {0};
    ws_write(&b, WS_TEXT, dun_buf_view(line), NULL);
    dun_buf_deinit(line);
    memset(line, 0, sizeof *line);
    fake_send(c, &b);
}

static void fake_close_with(struct fake_conn *c, uint16_t code)
{
    struct dun_buf b = {0};
    ws_write_close(&b, code, dun_slice_str("because"), NULL);
    fake_send(c, &b);
    fake_conn_close(c);
}

static void fake_publication(uint64_t offset, char data[24], struct cmd_publication *out)
{
    int n = snprintf(data, 24, "%llu", (unsigned long long)offset);
    *out = (struct cmd_publication){.data = dun_slice(data, (size_t)n), .offset = offset};
}

/* One more message in the log, sent to the subscribers of @servers. */
static inline void fake_publish(struct fake_server *servers, uint32_t count)
{
    struct fake_log *log = servers[0].log;
    struct cmd_publication pub;
    char data[24];
    DUN_ASSERT(log->top < FAKE_LOG_MAX);
    fake_publication(++log->top, data, &pub);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < servers[i].conn_count; k++) {
            struct dun_buf line = {0};
            if (!servers[i].conns[k]->subscribed) continue;
            cmd_write_pub_push(&line, dun_slice_str("c"), &pub);
            fake_send_line(servers[i].conns[k], &line);
        }
    }
}

static void fake_subscribe(struct fake_conn *c, const struct cmd *cmd)
{
    static char data[FAKE_LOG_MAX][24];
    static struct cmd_publication pubs[FAKE_LOG_MAX];
    struct fake_log *log = c->server->log;
    struct cmd_subscribe_result r = {.recoverable = true, .epoch = dun_slice_str("ep")};
    struct dun_buf line = {0};
    r.was_recovering = cmd->subscribe.recover;
    r.offset = log->top;
    if (r.was_recovering && dun_slice_is(cmd->subscribe.epoch, "ep")) {
        r.recovered = true;
        r.offset = cmd->subscribe.offset;
        for (uint64_t o = r.offset + 1; o <= log->top; o++, r.publication_count++)
            fake_publication(o, data[r.publication_count], &pubs[r.publication_count]);
        r.publications = pubs;
    }
    c->subscribed = true;
    cmd_write_subscribe(&line, cmd->id, &r);
    fake_send_line(c, &line);
}

static void fake_command(struct fake_conn *c, const struct cmd *cmd)
{
    struct dun_buf line = {0};
    if (cmd->type == CMD_CONNECT) {
        struct cmd_connect_result r = {.client = dun_slice_str("id"), .ping_s = 25, .pong = true};
        c->server->connects++;
        if (c->server->close_connects != 0) {
            fake_close_with(c, c->server->close_connects);
            return;
        }
        cmd_write_connect(&line, cmd->id, &r);
        fake_send_line(c, &line);
    } else if (cmd->type == CMD_SUBSCRIBE) {
        fake_subscribe(c, cmd);
    } else if (cmd->type == CMD_PUBLISH) {
        c->server->log->top++;
        cmd_write_empty(&line, cmd->id, CMD_PUBLISH);
        fake_send_line(c, &line);
    }
}

static void fake_message(struct fake_conn *c, struct dun_slice text)
{
    struct dun_slice line;
    while (!c->closed && cmd_next_line(&text, &line)) {
        struct dun_buf scratch = {0};
        struct cmd cmd;
        dun_err e = cmd_decode(line, &scratch, &cmd);
        DUN_ASSERT(e == DUN_OK); /* our own client sent it */
        fake_command(c, &cmd);
        dun_buf_deinit(&scratch);
    }
}

static void fake_http(struct fake_conn *c, const struct http_request *req)
{
    struct fake_server *s = c->server;
    struct json_member key;
    struct dun_buf b = {0};
    char text[130];
    s->http_requests++;
    if (s->http_status > 0) {
        http_write_response(&b, s->http_status, NULL, dun_slice_str("{}"), NULL, false, false);
        fake_send(c, &b);
        fake_conn_close(c);
        return;
    }
    DUN_ASSERT(json_check(req->body) == DUN_OK);
    bool has_key = json_find(req->body, "idempotency_key", &key);
    DUN_ASSERT(has_key);
    (void)snprintf(text, sizeof text, "%.*s", (int)key.value.len, (const char *)key.value.data);
    bool known = false;
    for (uint32_t i = 0; i < s->log->key_count; i++)
        known = known || strcmp(s->log->keys[i], text) == 0;
    if (known) {
        s->log->repeats++;
    } else {
        memcpy(s->log->keys[s->log->key_count++], text, sizeof text);
        s->log->top++;
    }
    if (s->http_status == 0) {
        static const char answer[] = "{\"result\":{\"offset\":1,\"epoch\":\"ep\"}}";
        http_write_response(&b, 200, "application/json", dun_slice_str(answer), NULL, false, false);
        fake_send(c, &b);
    }
    fake_conn_close(c);
}

static size_t fake_take(struct fake_conn *c)
{
    size_t used = 0;
    if (!c->upgraded) {
        struct http_reader r = {0};
        struct http_request req;
        struct dun_slice key;
        dun_err e = http_read(&r, c->in.data, c->in.len, &req, &used);
        if (e == DUN_E_MORE) return 0;
        DUN_ASSERT(e == DUN_OK);
        if (ws_check_request(&req, &key) != DUN_OK) {
            fake_http(c, &req);
            return used;
        }
        struct dun_buf b = {0};
        ws_write_accept(&b, key, NULL);
        fake_send(c, &b);
        c->upgraded = true;
        return used;
    }
    struct ws_frame f;
    dun_err e = ws_decode(c->in.data, c->in.len, WS_SERVER, 1 << 16, &f, &used);
    if (e == DUN_E_MORE) return 0;
    DUN_ASSERT(e == DUN_OK);
    ws_mask((uint8_t *)(uintptr_t)f.payload.data, f.payload.len, f.mask, 0);
    if (f.opcode == WS_TEXT) fake_message(c, f.payload);
    if (f.opcode == WS_CLOSE) fake_conn_close(c);
    return used;
}

static void fake_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    static char shared[64 * 1024];
    (void)h;
    (void)suggested;
    *buf = uv_buf_init(shared, sizeof shared);
}

static void fake_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct fake_conn *c = s->data;
    if (n < 0) fake_conn_close(c);
    if (n <= 0 || c->closed) return;
    dun_buf_add(&c->in, buf->base, (size_t)n);
    for (size_t used = 1; used > 0 && !c->closed;) {
        used = fake_take(c);
        dun_buf_drop_front(&c->in, used);
    }
}

static void fake_accept(uv_stream_t *listener, int status)
{
    struct fake_server *s = listener->data;
    DUN_ASSERT(status == 0);
    DUN_ASSERT(s->conn_count < FAKE_CONNS_MAX);
    struct fake_conn *c = dun_calloc(1, sizeof *c);
    c->server = s;
    (void)uv_tcp_init(s->loop, &c->tcp);
    c->tcp.data = c;
    status = uv_accept(listener, (uv_stream_t *)&c->tcp);
    DUN_ASSERT(status == 0);
    s->conns[s->conn_count++] = c;
    s->accepted++;
    (void)uv_read_start((uv_stream_t *)&c->tcp, fake_alloc, fake_read);
}

/* @port 0: the system chooses. */
static inline void fake_start(struct fake_server *s, uv_loop_t *loop, struct fake_log *log,
                              uint16_t port)
{
    struct sockaddr_in a;
    int len = sizeof a;
    s->loop = loop;
    s->log = log;
    (void)uv_ip4_addr("127.0.0.1", port, &a);
    (void)uv_tcp_init(loop, &s->listener);
    s->listener.data = s;
    int rc = uv_tcp_bind(&s->listener, (const struct sockaddr *)&a, 0);
    DUN_ASSERT(rc == 0);
    rc = uv_listen((uv_stream_t *)&s->listener, 64, fake_accept);
    DUN_ASSERT(rc == 0);
    rc = uv_tcp_getsockname(&s->listener, (struct sockaddr *)(void *)&a, &len);
    DUN_ASSERT(rc == 0);
    s->port = ntohs(a.sin_port);
    s->listening = true;
}

/* As kill -9: the port refuses, connections end without a word. */
static inline void fake_kill(struct fake_server *s)
{
    if (s->listening) uv_close((uv_handle_t *)&s->listener, NULL);
    s->listening = false;
    while (s->conn_count > 0)
        fake_conn_close(s->conns[0]);
}

#endif
