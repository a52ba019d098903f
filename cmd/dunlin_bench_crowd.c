/* cmd/dunlin_bench_crowd.c: see the header. */
#include "cmd/dunlin_bench_crowd.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "transport/codec/cmd_client.h"
#include "transport/codec/ws.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const uint8_t MASK[4] = {0, 0, 0, 0}; /* nobody caches on loopback */

uint64_t crowd_now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void crowd_codes_add(struct crowd_codes *c, uint32_t code)
{
    uint32_t i = 0;
    while (i < c->count && c->at[i].code != code)
        i++;
    if (i == CROWD_CODES_MAX) return;
    if (i == c->count) c->at[c->count++].code = code;
    c->at[i].count++;
}

void crowd_codes_json(const struct crowd_codes *c, struct dun_buf *b)
{
    dun_buf_byte(b, '{');
    for (uint32_t i = 0; i < c->count; i++)
        dun_buf_printf(b, "%s\"%u\":%llu", i == 0 ? "" : ",", c->at[i].code,
                       (unsigned long long)c->at[i].count);
    dun_buf_byte(b, '}');
}

static uint32_t index_of(const struct crowd_conn *c)
{
    return (uint32_t)(c - c->crowd->conns);
}

static void wrong(struct crowd_conn *c, const char *what, struct dun_slice text)
{
    struct crowd *w = c->crowd;
    w->wrong++;
    if (w->error[0] != '\0') return;
    (void)snprintf(w->error, sizeof w->error, "client %u: %s: %.*s", index_of(c), what,
                   (int)(text.len < 160 ? text.len : 160), (const char *)text.data);
}

static void start_some(struct crowd *w);

/* ---- closing ---- */

static void on_closed(uv_handle_t *h)
{
    struct crowd_conn *c = h->data;
    struct crowd *w = c->crowd;
    w->handles--;
    c->closing = false;
    c->state = CROWD_DOWN;
    dun_buf_deinit(&c->in);
    dun_buf_deinit(&c->out);
    if (!c->reopen) return;
    c->reopen = false;
    if (index_of(c) < w->next) w->next = index_of(c); /* start_some looks from here on */
    start_some(w);
}

static void close_conn(struct crowd_conn *c, bool reopen)
{
    struct crowd *w = c->crowd;
    if (c->state == CROWD_DOWN || c->closing) return;
    if (c->state == CROWD_LIVE) {
        w->live--;
    } else {
        w->connecting--;
    }
    c->closing = true;
    c->reopen = reopen;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

/* The server ended it. */
static void ended(struct crowd_conn *c, uint32_t code)
{
    struct crowd *w = c->crowd;
    if (c->closing) return;
    crowd_codes_add(&w->closes, code);
    if (c->state != CROWD_LIVE) w->refused++;
    close_conn(c, w->o.come_back);
    start_some(w);
}

/* ---- writing ---- */

static void flush(struct crowd_conn *c)
{
    if (c->out.len == 0 || c->closing) return;
    uv_buf_t buf = uv_buf_init((char *)c->out.data, (unsigned)c->out.len);
    int n = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
    if (n > 0) dun_buf_drop_front(&c->out, (size_t)n);
    if (c->out.len == 0) dun_buf_deinit(&c->out);
}

static void say(struct crowd_conn *c, struct dun_slice text)
{
    ws_write(&c->out, WS_TEXT, text, MASK);
    flush(c);
}

bool crowd_publish(struct crowd_conn *c, struct dun_slice channel, struct dun_slice data,
                   uint32_t id)
{
    struct dun_buf line = {0};
    if (c->state != CROWD_LIVE || c->closing || c->out.len > CROWD_OUT_MAX) return false;
    cmd_client_publish(&line, id, channel, data);
    ws_write(&c->out, WS_TEXT, dun_buf_view(&line), MASK);
    dun_buf_deinit(&line);
    return true;
}

void crowd_flush(struct crowd *w)
{
    for (uint32_t i = 0; i < w->want; i++)
        flush(&w->conns[i]);
}

static void write_subscribe(struct crowd_conn *c, struct dun_buf *b, uint32_t id)
{
    const struct crowd *w = c->crowd;
    char channel[DUN_CHANNEL_MAX + 16];
    (void)snprintf(channel, sizeof channel, "%s%u", w->o.channel, index_of(c) % w->o.channels);
    struct cmd_subscribe s = {.channel = dun_slice_str(channel)};
    if (c->placed) {
        s.recover = true;
        s.epoch = dun_slice_str(c->epoch);
        s.offset = c->seq;
    }
    cmd_client_subscribe(b, id, &s);
}

static void say_hello(struct crowd_conn *c)
{
    struct crowd *w = c->crowd;
    struct dun_buf b = {0};
    struct cmd_connect hello = {.name = dun_slice_str("bench")};
    if (w->o.token != NULL) hello.token = dun_slice_str(w->o.token);
    cmd_client_connect(&b, 1, &hello);
    c->replies = 1;
    if (w->o.channel != NULL) {
        dun_buf_byte(&b, '\n');
        write_subscribe(c, &b, 2);
        c->replies = 2;
    }
    c->next_id = 3;
    c->state = CROWD_REPLIES;
    say(c, dun_buf_view(&b));
    dun_buf_deinit(&b);
}

/* ---- reading ---- */

/* The unsigned number after the last @name in @text; false: it is not there. */
static bool number_after(struct dun_slice text, const char *name, uint64_t *out)
{
    size_t n = strlen(name);
    const uint8_t *p = text.data, *hit = NULL, *end = text.data + text.len;
    while ((p = memmem(p, (size_t)(end - p), name, n)) != NULL)
        hit = p += n;
    if (hit == NULL) return false;
    *out = 0;
    while (hit < end && *hit >= '0' && *hit <= '9')
        *out = *out * 10 + (uint64_t)(*hit++ - '0');
    return true;
}

static void took(struct crowd_conn *c, struct dun_slice pub, uint64_t seq)
{
    struct crowd *w = c->crowd;
    uint64_t sent_ns, n = 0;
    if (c->placed && seq != c->seq + 1) {
        char text[64];
        int len = snprintf(text, sizeof text, "%llu after %llu", (unsigned long long)seq,
                           (unsigned long long)c->seq);
        wrong(c, "out of order", dun_slice(text, (size_t)len));
    }
    c->seq = seq;
    c->got++;
    w->messages++;
    if (w->o.message == NULL || !number_after(pub, "\"t\":", &sent_ns)) return;
    (void)number_after(pub, "\"n\":", &n);
    w->o.message(w->o.ctx, c, sent_ns, n);
}

static void on_started(struct crowd_conn *c, const struct cmd_reply_subscribe *r)
{
    struct crowd *w = c->crowd;
    struct json_iter it;
    struct dun_buf scratch = {0};
    struct cmd_publication pub;
    if (c->placed && r->was_recovering) {
        if (r->recovered) {
            w->recovered++;
        } else if (r->gap_reason.len > 0) {
            w->declared++;
        } else {
            wrong(c, "neither recovered nor a gap told", dun_slice("", 0));
        }
    }
    if (!r->recovered) c->seq = r->offset;
    if (r->epoch.len > 0 && r->epoch.len < CROWD_EPOCH_MAX) {
        memcpy(c->epoch, r->epoch.data, r->epoch.len);
        c->epoch[r->epoch.len] = '\0';
        c->placed = true;
    }
    if (json_array(r->publications, &it) != DUN_OK) return;
    while (cmd_client_next_publication(&it, &scratch, &pub) == DUN_OK)
        took(c, pub.data, pub.offset);
    dun_buf_deinit(&scratch);
}

static void on_result(struct crowd_conn *c, const struct cmd_reply *r)
{
    struct crowd *w = c->crowd;
    if (r->result == CMD_SUBSCRIBE) on_started(c, &r->subscribe);
    if (c->state == CROWD_REPLIES && --c->replies == 0) {
        c->state = CROWD_LIVE;
        w->live++;
        w->connecting--;
        start_some(w);
    }
}

static void on_other_line(struct crowd_conn *c, struct dun_slice line)
{
    struct crowd *w = c->crowd;
    struct cmd_reply r;
    struct dun_buf b = {0};
    if (cmd_client_decode(line, &b, &r) != DUN_OK) {
        wrong(c, "not understood", line);
    } else if (r.type == CMD_REPLY_PING) {
        say(c, dun_slice_str("{}"));
    } else if (r.type == CMD_REPLY_RESULT) {
        on_result(c, &r);
    } else if (r.type == CMD_REPLY_ERROR) {
        if (c->state == CROWD_LIVE && w->o.answer != NULL) {
            w->o.answer(w->o.ctx, c, r.id, r.error.code);
        } else {
            wrong(c, "refused", line);
        }
    } else if (r.type == CMD_REPLY_UNSUBSCRIBE) {
        struct dun_buf again = {0};
        w->unsubscribed++;
        write_subscribe(c, &again, c->next_id++);
        say(c, dun_buf_view(&again));
        dun_buf_deinit(&again);
    }
    dun_buf_deinit(&b);
}

/* The two frequent ones are found without a parser, so that what is measured is the server. */
static void on_line(struct crowd_conn *c, struct dun_slice line)
{
    static const char push[] = "{\"push\":", done[] = ",\"publish\":{}}";
    uint64_t seq = 0;
    struct crowd *w = c->crowd;
    if (line.len > sizeof push && memcmp(line.data, push, sizeof push - 1) == 0 &&
        memmem(line.data, line.len, "\"pub\":", 6) != NULL) {
        if (!number_after(line, "\"offset\":", &seq)) seq = c->seq + 1; /* without history */
        took(c, line, seq);
        return;
    }
    if (line.len > sizeof done && c->state == CROWD_LIVE &&
        memcmp(line.data + line.len - (sizeof done - 1), done, sizeof done - 1) == 0) {
        if (number_after(line, "\"id\":", &seq) && w->o.answer != NULL)
            w->o.answer(w->o.ctx, c, (uint32_t)seq, 0);
        return;
    }
    on_other_line(c, line);
}

static void on_frame(struct crowd_conn *c, const struct ws_frame *f)
{
    uint16_t code;
    struct dun_slice text = f->payload, line, reason;
    if (f->opcode == WS_CLOSE) {
        if (ws_parse_close(f->payload, &code, &reason) == DUN_OK) ended(c, code);
        return;
    }
    if (f->opcode != WS_TEXT) return;
    while (!c->closing && cmd_next_line(&text, &line))
        on_line(c, line);
}

/* Eats the answer to the upgrade; false: it is not whole, or a refusal. */
static bool read_upgrade(struct crowd_conn *c, struct dun_slice *data)
{
    static const char good[] = "HTTP/1.1 101";
    const uint8_t *end = memmem(data->data, data->len, "\r\n\r\n", 4);
    if (end == NULL) return false;
    if (memcmp(data->data, good, sizeof good - 1) != 0) {
        uint64_t status = 0;
        (void)number_after(dun_slice(data->data, 12), "HTTP/1.1 ", &status);
        ended(c, (uint32_t)status);
        return false;
    }
    size_t used = (size_t)(end - data->data) + 4;
    *data = dun_slice(data->data + used, data->len - used);
    say_hello(c);
    return true;
}

/* Returns the bytes eaten. */
static size_t take_input(struct crowd_conn *c, struct dun_slice data)
{
    size_t whole = data.len;
    if (c->state == CROWD_UPGRADING && !read_upgrade(c, &data)) return 0;
    while (data.len > 0 && !c->closing) {
        struct ws_frame f;
        size_t used;
        dun_err e = ws_decode(data.data, data.len, WS_CLIENT, 64 << 20, &f, &used);
        if (e == DUN_E_MORE) break;
        if (e != DUN_OK) {
            wrong(c, "malformed frame", dun_slice("", 0));
            ended(c, 1002);
            break;
        }
        on_frame(c, &f);
        data = dun_slice(data.data + used, data.len - used);
    }
    return whole - data.len;
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct crowd_conn *c = h->data;
    (void)suggested;
    *buf = uv_buf_init((char *)c->crowd->read_buf, sizeof c->crowd->read_buf);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct crowd_conn *c = s->data;
    if (n == 0 || c->closing) return;
    if (n < 0) {
        ended(c, 1006);
        return;
    }
    if (c->in.len > 0) {
        dun_buf_add(&c->in, buf->base, (size_t)n);
        dun_buf_drop_front(&c->in, take_input(c, dun_buf_view(&c->in)));
        if (c->in.len == 0) dun_buf_deinit(&c->in);
        return;
    }
    size_t used = take_input(c, dun_slice(buf->base, (size_t)n));
    if (!c->closing && used < (size_t)n) dun_buf_add(&c->in, buf->base + used, (size_t)n - used);
}

/* ---- connecting ---- */

static void on_connect(uv_connect_t *req, int status)
{
    struct crowd_conn *c = req->data;
    struct crowd *w = c->crowd;
    struct dun_buf b = {0};
    char key[WS_KEY_LEN + 1];
    static const uint8_t random[16] = {'b', 'e', 'n', 'c', 'h'};
    if (c->closing) return;
    if (status != 0) {
        ended(c, 1006);
        return;
    }
    (void)uv_tcp_nodelay(&c->tcp, 1);
    status = uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    DUN_ASSERT(status == 0);
    ws_make_key(random, key);
    ws_write_request(&b, dun_slice_str(w->hosts[index_of(c) % w->addr_count]),
                     dun_slice_str("/connection/websocket"), key, NULL, NULL);
    c->state = CROWD_UPGRADING;
    dun_buf_slice(&c->out, dun_buf_view(&b));
    dun_buf_deinit(&b);
    flush(c);
}

/* From 127.0.0.1, or when its ports run out from the next loopback address. */
static int connect_from(struct crowd_conn *c)
{
    struct crowd *w = c->crowd;
    const struct sockaddr_storage *to = &w->addrs[index_of(c) % w->addr_count];
    if (w->source != 0) {
        struct sockaddr_in from;
        char ip[32];
        (void)snprintf(ip, sizeof ip, "127.0.0.%u", w->source);
        (void)uv_ip4_addr(ip, 0, &from);
        int rc = uv_tcp_bind(&c->tcp, (const struct sockaddr *)&from, 0);
        if (rc != 0) return rc;
    }
    return uv_tcp_connect(&c->connect, &c->tcp, (const struct sockaddr *)(const void *)to,
                          on_connect);
}

static bool is_loopback(const struct sockaddr_storage *a)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)a;
    return a->ss_family == AF_INET && (ntohl(in->sin_addr.s_addr) >> 24) == 127;
}

static void start_one(struct crowd_conn *c)
{
    struct crowd *w = c->crowd;
    int rc = uv_tcp_init_ex(w->loop, &c->tcp, w->addrs[index_of(c) % w->addr_count].ss_family);
    if (rc != 0) {
        wrong(c, "cannot open another socket (ulimit -n?)", dun_slice_str(uv_strerror(rc)));
        return;
    }
    c->tcp.data = c->connect.data = c;
    c->state = CROWD_CONNECTING;
    c->paused = false;
    w->handles++;
    w->connecting++;
    if (w->o.receive_buffer > 0) {
        int size = (int)w->o.receive_buffer;
        (void)uv_recv_buffer_size((uv_handle_t *)&c->tcp, &size);
    }
    if (w->o.send_buffer > 0) {
        int size = (int)w->o.send_buffer;
        (void)uv_send_buffer_size((uv_handle_t *)&c->tcp, &size);
    }
    rc = connect_from(c);
    if ((rc == UV_EADDRNOTAVAIL || rc == UV_EADDRINUSE) && is_loopback(&w->addrs[0]) &&
        w->source < 250) {
        w->source = w->source < 2 ? 2 : w->source + 1;
        rc = connect_from(c);
    }
    if (rc == 0) return;
    wrong(c, "cannot connect", dun_slice_str(uv_strerror(rc)));
    close_conn(c, false);
}

static void start_some(struct crowd *w)
{
    while (w->next < w->want && w->connecting < w->o.connecting_max) {
        struct crowd_conn *c = &w->conns[w->next++];
        if (c->state == CROWD_DOWN && !c->closing) start_one(c);
    }
}

void crowd_open(struct crowd *w)
{
    w->want = w->o.count;
    w->next = 0;
    start_some(w);
}

void crowd_drop(struct crowd *w)
{
    w->want = 0;
    if (w->conns == NULL) return;
    for (uint32_t i = 0; i < w->o.count; i++)
        close_conn(&w->conns[i], false);
}

void crowd_pause(struct crowd *w, bool paused)
{
    for (uint32_t i = 0; i < w->o.count; i++) {
        struct crowd_conn *c = &w->conns[i];
        if (c->state != CROWD_LIVE || c->closing || c->paused == paused) continue;
        c->paused = paused;
        if (paused) {
            uv_read_stop((uv_stream_t *)&c->tcp);
        } else {
            int rc = uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
            DUN_ASSERT(rc == 0);
        }
    }
}

void crowd_count(struct crowd *w)
{
    w->messages = w->recovered = w->declared = w->unsubscribed = w->refused = 0;
    w->closes = (struct crowd_codes){0};
    for (uint32_t i = 0; i < w->o.count; i++)
        w->conns[i].got = 0;
}

bool crowd_init(struct crowd *w, uv_loop_t *loop, const struct crowd_options *o)
{
    memset(w, 0, sizeof *w);
    w->o = *o;
    w->loop = loop;
    DUN_ASSERT(o->count > 0 && o->count <= CROWD_MAX && o->connecting_max > 0);
    w->conns = dun_calloc(o->count, sizeof *w->conns);
    for (uint32_t i = 0; i < o->count; i++)
        w->conns[i].crowd = w;
    for (uint32_t i = 0; i < o->servers->count; i++) {
        const struct client_server *s = &o->servers->list[i];
        char port[8];
        struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
        (void)snprintf(port, sizeof port, "%u", s->port);
        int rc = getaddrinfo(s->host, port, &hints, &list);
        if (rc != 0) {
            (void)snprintf(w->error, sizeof w->error, "%.100s: %s", s->url, gai_strerror(rc));
            return false;
        }
        memcpy(&w->addrs[i], list->ai_addr, list->ai_addrlen);
        freeaddrinfo(list);
        client_servers_host(s, w->hosts[i]);
    }
    w->addr_count = o->servers->count;
    return true;
}

void crowd_deinit(struct crowd *w)
{
    DUN_ASSERT(w->handles == 0);
    if (w->conns == NULL) return;
    for (uint32_t i = 0; i < w->o.count; i++) {
        dun_buf_deinit(&w->conns[i].in);
        dun_buf_deinit(&w->conns[i].out);
    }
    dun_free(w->conns);
}
