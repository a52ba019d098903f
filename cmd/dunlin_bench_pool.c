/* cmd/dunlin_bench_pool.c: see the header. */
#include "cmd/dunlin_bench_pool.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum conn_state { CONN_CONNECTING, CONN_UPGRADING, CONN_REPLIES, CONN_LIVE };

struct bench_conn {
    uv_tcp_t tcp;
    uv_connect_t connect;
    struct bench_pool *pool;
    uint64_t frame_left;           /* payload bytes to come */
    uint32_t line_len;             /* of the line being read */
    uint8_t header[WS_HEADER_MAX]; /* frame header; during the upgrade the status line's start */
    uint8_t header_len;
    uint8_t state;
    uint8_t match;   /* of CR LF CR LF */
    uint8_t replies; /* still to come: connect, subscribe */
    bool closed;
};

static void start_some(struct bench_pool *p);

double bench_seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void bench_sort(double *v, size_t n)
{
    qsort(v, n, sizeof *v, compare);
}

double bench_quantile(const double *sorted, size_t n, unsigned q)
{
    DUN_ASSERT(n > 0);
    size_t i = n * q / 100;
    return sorted[i < n ? i : n - 1];
}

static void fail(struct bench_pool *p, const char *what, const char *text)
{
    if (p->failed || p->closing) return;
    p->failed = true;
    (void)snprintf(p->error, sizeof p->error, "%s: %s", what, text);
    uv_stop(&p->loop);
}

/* ---- the reader ---- */

static void answer_ping(struct bench_conn *c)
{
    static const uint8_t pong[] = {0x81, 0x82, 0, 0, 0, 0, '{', '}'}; /* mask of zeros */
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)pong, sizeof pong);
    (void)uv_try_write((uv_stream_t *)&c->tcp, &buf, 1); /* eight bytes always fit */
}

static void line_end(struct bench_conn *c)
{
    struct bench_pool *p = c->pool;
    uint32_t len = c->line_len;
    c->line_len = 0;
    if (len <= 2) {
        if (len == 2) answer_ping(c);
        return;
    }
    if (c->state == CONN_LIVE) {
        if (++p->deliveries == p->deliveries_stop) uv_stop(&p->loop);
        return;
    }
    if (--c->replies > 0) return;
    c->state = CONN_LIVE;
    p->live++;
    p->connecting--;
    start_some(p);
    if (p->live == p->count) uv_stop(&p->loop);
}

static void read_payload(struct bench_conn *c, const uint8_t *data, size_t len)
{
    static const char error[] = "\"error\":";
    if (c->state == CONN_REPLIES && memmem(data, len, error, sizeof error - 1) != NULL) {
        char text[160];
        (void)snprintf(text, sizeof text, "%.*s", (int)(len < 150 ? len : 150), (const char *)data);
        fail(c->pool, "a subscriber was refused", text);
        return;
    }
    while (len > 0) {
        const uint8_t *newline = memchr(data, '\n', len);
        size_t n = newline != NULL ? (size_t)(newline - data) : len;
        c->line_len += (uint32_t)n;
        if (newline == NULL) return;
        line_end(c);
        data += n + 1;
        len -= n + 1;
    }
}

/* True when the frame's header is whole: frame_left is set. */
static bool header_byte(struct bench_conn *c, uint8_t byte)
{
    DUN_ASSERT(c->header_len < sizeof c->header);
    c->header[c->header_len++] = byte;
    if (c->header_len < 2) return false;
    uint8_t small = c->header[1] & 0x7f;
    size_t extra = small == 126 ? 2 : small == 127 ? 8 : 0;
    if (c->header_len < 2 + extra) return false;
    uint64_t n = extra == 0 ? small : 0;
    for (size_t i = 0; i < extra; i++)
        n = n << 8 | c->header[2 + i];
    c->frame_left = n;
    return true;
}

static void frame_end(struct bench_conn *c)
{
    if ((c->header[0] & 0x0f) <= WS_BINARY && (c->header[0] & 0x80) != 0) line_end(c);
    c->header_len = 0;
}

static void read_frames(struct bench_conn *c, const uint8_t *data, size_t len)
{
    struct bench_pool *p = c->pool;
    if (c->state == CONN_LIVE) p->bytes += len;
    while (len > 0 && !p->failed) {
        if (c->frame_left == 0) {
            bool whole = header_byte(c, *data);
            data++;
            len--;
            if (!whole) continue;
            if ((c->header[0] & 0x0f) == WS_CLOSE) fail(p, "a subscriber", "the server closed it");
            if (c->frame_left == 0) frame_end(c);
            continue;
        }
        size_t n = len < c->frame_left ? len : (size_t)c->frame_left;
        if ((c->header[0] & 0x0f) <= WS_BINARY) read_payload(c, data, n);
        data += n;
        len -= n;
        c->frame_left -= n;
        if (c->frame_left == 0) frame_end(c);
    }
}

/* ---- setting up ---- */

static void say_subscribe(struct bench_conn *c)
{
    struct bench_pool *p = c->pool;
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    struct dun_buf lines = {0}, frame = {0};
    char channel[DUN_CHANNEL_MAX + 16];
    uint32_t index = (uint32_t)(c - p->conns);
    (void)snprintf(channel, sizeof channel, p->own_channels ? "%s%u" : "%s", p->channel, index);
    struct cmd_connect hello = {.name = dun_slice_str("bench")};
    if (p->token != NULL) hello.token = dun_slice_str(p->token);
    struct cmd_subscribe subscribe = {.channel = dun_slice_str(channel)};
    cmd_client_connect(&lines, 1, &hello);
    dun_buf_byte(&lines, '\n');
    cmd_client_subscribe(&lines, 2, &subscribe);
    ws_write(&frame, WS_TEXT, dun_buf_view(&lines), mask);
    uv_buf_t buf = uv_buf_init((char *)frame.data, (unsigned)frame.len);
    int n = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
    if (n != (int)frame.len) fail(p, "a subscriber", "cannot write its subscribe");
    dun_buf_deinit(&lines);
    dun_buf_deinit(&frame);
    c->replies = 2;
    c->state = CONN_REPLIES;
}

/* Eats the answer to the upgrade; returns the bytes eaten. */
static size_t read_upgrade(struct bench_conn *c, const uint8_t *data, size_t len)
{
    static const char end[] = "\r\n\r\n", good[] = "HTTP/1.1 101";
    for (size_t i = 0; i < len; i++) {
        if (c->header_len < sizeof good - 1) {
            c->header[c->header_len++] = data[i];
            if (data[i] == (uint8_t)good[c->header_len - 1]) continue;
            char text[120];
            (void)snprintf(text, sizeof text, "%.*s", (int)(len < 100 ? len : 100),
                           (const char *)data);
            text[strcspn(text, "\r\n")] = '\0';
            fail(c->pool, "a subscriber's upgrade was answered with", text);
            return len;
        }
        c->match = data[i] == (uint8_t)end[c->match] ? (uint8_t)(c->match + 1)
                                                     : (uint8_t)(data[i] == '\r');
        if (c->match < 4) continue;
        c->header_len = 0;
        say_subscribe(c);
        return i + 1;
    }
    return len;
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct bench_conn *c = h->data;
    (void)suggested;
    *buf = uv_buf_init((char *)c->pool->read_buf, sizeof c->pool->read_buf);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct bench_conn *c = s->data;
    const uint8_t *data = (const uint8_t *)buf->base;
    if (n == 0) return;
    if (n < 0) {
        char what[CLIENT_HOST_MAX + 64];
        (void)snprintf(what, sizeof what, "a subscriber lost its connection to %s",
                       c->pool->hosts[(uint32_t)(c - c->pool->conns) % c->pool->addr_count]);
        fail(c->pool, what, uv_strerror((int)n));
        (void)uv_read_stop(s);
        return;
    }
    size_t at = 0;
    if (c->state == CONN_UPGRADING) at = read_upgrade(c, data, (size_t)n);
    read_frames(c, data + at, (size_t)n - at);
}

static void on_connect(uv_connect_t *req, int status)
{
    struct bench_conn *c = req->data;
    struct bench_pool *p = c->pool;
    if (p->closing) return;
    if (status != 0) {
        fail(p, p->hosts[(uint32_t)(c - p->conns) % p->addr_count], uv_strerror(status));
        return;
    }
    (void)uv_tcp_nodelay(&c->tcp, 1);
    status = uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    DUN_ASSERT(status == 0);
    if (p->raw) {
        c->state = CONN_LIVE;
        p->live++;
        p->connecting--;
        start_some(p);
        if (p->live == p->count) uv_stop(&p->loop);
        return;
    }
    struct dun_buf b = {0};
    char target[CLIENT_PATH_MAX + 64], key[WS_KEY_LEN + 1];
    static const uint8_t random[16] = {'b', 'e', 'n', 'c', 'h'}; /* nobody caches on loopback */
    ws_make_key(random, key);
    (void)snprintf(target, sizeof target, "%s/connection/websocket", p->path);
    ws_write_request(&b, dun_slice_str(p->hosts[(uint32_t)(c - p->conns) % p->addr_count]),
                     dun_slice_str(target), key, NULL, NULL);
    uv_buf_t buf = uv_buf_init((char *)b.data, (unsigned)b.len);
    int n = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
    if (n != (int)b.len) fail(p, "a subscriber", "cannot write its upgrade");
    dun_buf_deinit(&b);
    c->state = CONN_UPGRADING;
}

/* Connects; when this machine's ports for one source address run out, from the next one. */
static int connect_from(struct bench_conn *c)
{
    struct bench_pool *p = c->pool;
    const struct sockaddr_storage *to = &p->addrs[(uint32_t)(c - p->conns) % p->addr_count];
    if (p->source != 0) {
        struct sockaddr_in from;
        char ip[32];
        (void)snprintf(ip, sizeof ip, "127.0.0.%u", p->source);
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

static void start_some(struct bench_pool *p)
{
    while (p->started < p->count && p->connecting < BENCH_CONNECTING_MAX && !p->failed) {
        struct bench_conn *c = &p->conns[p->started];
        c->pool = p;
        c->connect.data = c;
        int rc = uv_tcp_init_ex(&p->loop, &c->tcp, p->addrs[p->started % p->addr_count].ss_family);
        if (rc != 0) {
            fail(p, "cannot open another socket (ulimit -n?)", uv_strerror(rc));
            return;
        }
        c->tcp.data = c;
        p->started++;
        p->open_handles++;
        rc = connect_from(c);
        if ((rc == UV_EADDRNOTAVAIL || rc == UV_EADDRINUSE) && is_loopback(&p->addrs[0]) &&
            p->source < 250) {
            p->source = p->source < 2 ? 2 : p->source + 1;
            rc = connect_from(c);
        }
        if (rc != 0) {
            fail(p, "cannot connect another subscriber", uv_strerror(rc));
            return;
        }
        p->connecting++;
    }
}

static bool resolve(struct bench_pool *p, const struct client_servers *servers)
{
    for (uint32_t i = 0; i < servers->count; i++) {
        const struct client_server *s = &servers->list[i];
        char port[8];
        struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
        (void)snprintf(port, sizeof port, "%u", s->port);
        int rc = getaddrinfo(s->host, port, &hints, &list);
        if (rc != 0) {
            (void)snprintf(p->error, sizeof p->error, "%.100s: %s", s->url, gai_strerror(rc));
            return false;
        }
        memcpy(&p->addrs[i], list->ai_addr, list->ai_addrlen);
        freeaddrinfo(list);
        client_servers_host(s, p->hosts[i]);
    }
    p->addr_count = servers->count;
    p->path = servers->list[0].path;
    return true;
}

static void on_timer(uv_timer_t *t)
{
    uv_stop(t->loop);
}

bool bench_pool_open(struct bench_pool *p, const struct bench_pool_options *o)
{
    memset(p, 0, sizeof *p);
    int rc = uv_loop_init(&p->loop);
    DUN_ASSERT(rc == 0);
    rc = uv_timer_init(&p->loop, &p->timer);
    DUN_ASSERT(rc == 0);
    DUN_ASSERT(o->count > 0 && o->count <= BENCH_CONNS_MAX);
    p->count = o->count;
    p->conns = dun_calloc(o->count, sizeof *p->conns);
    p->channel = o->channel;
    p->token = o->token;
    p->own_channels = o->own_channels;
    if (o->servers != NULL) {
        if (!resolve(p, o->servers)) return false;
    } else {
        p->raw = true;
        p->addr_count = 1;
        (void)uv_ip4_addr("127.0.0.1", o->raw_port, (struct sockaddr_in *)(void *)&p->addrs[0]);
        (void)snprintf(p->hosts[0], sizeof p->hosts[0], "the raw reference");
    }
    start_some(p);
    if (bench_pool_run(p, BENCH_SETUP_MS) && p->live == p->count) return true;
    if (!p->failed)
        (void)snprintf(p->error, sizeof p->error, "only %u of %u subscribers were up after %d s",
                       p->live, p->count, BENCH_SETUP_MS / 1000);
    return false;
}

void bench_pool_count(struct bench_pool *p, uint64_t stop)
{
    p->deliveries = p->bytes = 0;
    p->deliveries_stop = stop;
}

bool bench_pool_run(struct bench_pool *p, uint64_t ms)
{
    if (p->failed) return false;
    uv_update_time(&p->loop);
    uint64_t until = uv_now(&p->loop) + ms;
    uv_timer_start(&p->timer, on_timer, ms, 0);
    (void)uv_run(&p->loop, UV_RUN_DEFAULT);
    uv_timer_stop(&p->timer);
    return !p->failed && uv_now(&p->loop) < until;
}

static void on_closed(uv_handle_t *h)
{
    struct bench_conn *c = h->data;
    c->pool->open_handles--;
}

void bench_pool_close(struct bench_pool *p)
{
    p->closing = true;
    for (uint32_t i = 0; i < p->started; i++)
        uv_close((uv_handle_t *)&p->conns[i].tcp, on_closed);
    uv_close((uv_handle_t *)&p->timer, NULL);
    while (uv_loop_alive(&p->loop))
        (void)uv_run(&p->loop, UV_RUN_DEFAULT); /* uv_stop may linger */
    int rc = uv_loop_close(&p->loop);
    DUN_ASSERT(rc == 0);
    DUN_ASSERT(p->open_handles == 0);
    dun_free(p->conns);
}
