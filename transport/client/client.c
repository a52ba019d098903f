/* transport/client/client.c: the session's sockets, timers and reconnects.
 *
 *   WAITING --timer--> DIALLING --connected--> OPEN --end--> WAITING ...
 *   any --terminal end--> CLOSED (closed handler has run)
 *   any --client_destroy--> DESTROYED (handles closing, then freed)
 *
 * The session is fed only from loop callbacks; what it wants written is taken
 * once per iteration by the prepare handle, just before the loop waits. */
#include "transport/client/client.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum client_phase { PHASE_WAITING, PHASE_DIALLING, PHASE_OPEN, PHASE_CLOSED, PHASE_DESTROYED };

struct client {
    uv_loop_t *loop;
    struct client_session session;
    struct client_servers servers;
    struct client_backoff backoff;
    struct client_options options; /* without borrowed strings */
    struct client_handlers handlers;
    struct dun_prng prng;
    enum client_phase phase;
    const struct client_server *server; /* in use or being tried */
    struct client_dial *dial;           /* DIALLING only */
    uv_tcp_t *tcp;                      /* OPEN only */
    struct sockaddr_storage addr;       /* last connected to */
    bool has_addr;
    uv_timer_t timer; /* WAITING: the next attempt; OPEN: the session's deadline */
    uint64_t timer_at_ms;
    uv_prepare_t prepare;
    uint32_t handles; /* not yet closed */
    void (*done)(void *ctx);
    void *done_ctx;
    char read_buf[64 * 1024];
};

struct write_op {
    uv_write_t req;
    uint8_t data[];
};

static void attempt(struct client *c);

void client_seed(struct dun_prng *p)
{
    uint64_t seed;
    int status = sodium_init();
    DUN_ASSERT(status >= 0);
    randombytes_buf(&seed, sizeof seed);
    dun_prng_seed(p, seed);
}

bool client_ready(const struct client *c)
{
    return c->phase == PHASE_OPEN && c->session.state == CLIENT_READY && !c->session.end.ended;
}

const char *client_url(const struct client *c)
{
    return c->server != NULL ? c->server->url : "";
}

/* ---- end of a connection ---- */

static void on_tcp_closed(uv_handle_t *h)
{
    dun_free(h);
}

static void tcp_drop(struct client *c)
{
    if (c->tcp == NULL) return;
    c->tcp->data = NULL;
    uv_close((uv_handle_t *)c->tcp, on_tcp_closed);
    c->tcp = NULL;
}

static void on_wait_over(uv_timer_t *t)
{
    struct client *c = t->data;
    DUN_ASSERT(c->phase == PHASE_WAITING);
    attempt(c);
}

static void wait_for_next(struct client *c, const char *text)
{
    uint64_t wait = client_backoff_lost(&c->backoff, uv_now(c->loop), &c->prng);
    c->phase = PHASE_WAITING;
    uv_timer_start(&c->timer, on_wait_over, wait, 0);
    if (c->options.retrying != NULL) c->options.retrying(c->handlers.ctx, wait, text);
}

/* The connection has ended (session.end says why): decide what comes next. */
static void connection_over(struct client *c)
{
    struct client_end end = c->session.end;
    char text[CLIENT_URL_MAX + sizeof end.text + 8];
    (void)snprintf(text, sizeof text, "%s: %s", c->server->url, end.text);
    uv_timer_stop(&c->timer);
    tcp_drop(c);
    c->phase = end.terminal ? PHASE_CLOSED : PHASE_WAITING;
    client_session_lost(&c->session, uv_now(c->loop));
    if (c->phase == PHASE_DESTROYED) return; /* by a callback */
    if (end.terminal) {
        if (c->options.closed != NULL) c->options.closed(c->handlers.ctx, end.code, text);
        return;
    }
    wait_for_next(c, text);
}

/* ---- writing and time ---- */

static void on_written(uv_write_t *req, int status)
{
    struct client *c = req->handle->data;
    if (status != 0 && c != NULL && c->phase == PHASE_OPEN)
        client_session_fail(&c->session, uv_strerror(status)); /* the prepare handle acts on it */
    dun_free(req->data);
}

static void write_out(struct client *c)
{
    struct dun_buf *out = &c->session.out;
    size_t at = 0;
    if (out->len == 0) return;
    uv_buf_t buf = uv_buf_init((char *)out->data, (unsigned)out->len);
    if (uv_stream_get_write_queue_size((uv_stream_t *)c->tcp) == 0) {
        int n = uv_try_write((uv_stream_t *)c->tcp, &buf, 1);
        if (n > 0) at = (size_t)n;
        if (n < 0 && n != UV_EAGAIN) {
            client_session_fail(&c->session, uv_strerror(n));
            at = out->len;
        }
    }
    if (at < out->len) {
        struct write_op *op = dun_malloc(sizeof *op + out->len - at);
        memcpy(op->data, out->data + at, out->len - at);
        op->req.data = op;
        buf = uv_buf_init((char *)op->data, (unsigned)(out->len - at));
        int status = uv_write(&op->req, (uv_stream_t *)c->tcp, &buf, 1, on_written);
        if (status != 0) {
            dun_free(op);
            client_session_fail(&c->session, uv_strerror(status));
        }
    }
    out->len = 0;
}

static void on_deadline(uv_timer_t *t)
{
    struct client *c = t->data;
    c->timer_at_ms = UINT64_MAX;
    if (c->phase == PHASE_OPEN) client_session_tick(&c->session, uv_now(c->loop));
}

static void on_prepare(uv_prepare_t *p)
{
    struct client *c = p->data;
    if (c->phase != PHASE_OPEN) return;
    client_session_flush(&c->session);
    write_out(c);
    if (c->session.end.ended) {
        connection_over(c);
        return;
    }
    uint64_t at = client_session_deadline_ms(&c->session), now = uv_now(c->loop);
    if (at == c->timer_at_ms) return;
    c->timer_at_ms = at;
    if (at == UINT64_MAX) {
        uv_timer_stop(&c->timer);
    } else {
        uv_timer_start(&c->timer, on_deadline, at > now ? at - now : 0, 0);
    }
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct client *c = h->data;
    (void)suggested;
    *buf = c != NULL ? uv_buf_init(c->read_buf, sizeof c->read_buf) : uv_buf_init(NULL, 0);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client *c = stream->data;
    if (c == NULL || n == 0) return;
    if (n > 0) {
        client_session_recv(&c->session, uv_now(c->loop), (const uint8_t *)buf->base, (size_t)n);
    } else {
        client_session_fail(&c->session,
                            n == UV_EOF ? "the server closed the connection" : uv_strerror((int)n));
    }
    if (c->phase == PHASE_OPEN && c->session.end.ended) {
        write_out(c); /* the close frame, if there is one */
        connection_over(c);
    }
}

/* ---- connecting ---- */

static void session_connected(void *ctx, struct dun_slice client_id)
{
    struct client *c = ctx;
    client_backoff_up(&c->backoff, uv_now(c->loop));
    client_servers_good(&c->servers);
    if (c->handlers.connected != NULL) c->handlers.connected(c->handlers.ctx, client_id);
}

static void session_subscribed(void *ctx, struct client_sub *sub,
                               const struct client_subscribed *how)
{
    struct client *c = ctx;
    if (c->handlers.subscribed != NULL) c->handlers.subscribed(c->handlers.ctx, sub, how);
}

static void session_message(void *ctx, struct client_sub *sub, const struct client_message *m)
{
    struct client *c = ctx;
    if (c->handlers.message != NULL && c->phase == PHASE_OPEN)
        c->handlers.message(c->handlers.ctx, sub, m);
}

static void session_gap(void *ctx, struct client_sub *sub, const struct client_gap *g)
{
    struct client *c = ctx;
    if (c->handlers.gap != NULL) c->handlers.gap(c->handlers.ctx, sub, g);
}

static void session_unsubscribed(void *ctx, struct client_sub *sub, uint32_t code,
                                 struct dun_slice reason)
{
    struct client *c = ctx;
    if (c->handlers.unsubscribed != NULL)
        c->handlers.unsubscribed(c->handlers.ctx, sub, code, reason);
}

static void on_dialled(void *ctx, dun_err e, uv_tcp_t *tcp, const struct sockaddr_storage *addr,
                       const char *why)
{
    struct client *c = ctx;
    DUN_ASSERT(c->phase == PHASE_DIALLING);
    c->dial = NULL;
    if (e != DUN_OK) {
        char text[CLIENT_URL_MAX + CLIENT_WHY_MAX + 8];
        (void)snprintf(text, sizeof text, "%s: cannot connect: %s", c->server->url, why);
        wait_for_next(c, text);
        return;
    }
    char host[CLIENT_HOST_MAX + 16];
    c->tcp = tcp;
    c->tcp->data = c;
    c->addr = *addr;
    c->has_addr = true;
    c->phase = PHASE_OPEN;
    c->timer_at_ms = UINT64_MAX;
    (void)uv_tcp_nodelay(tcp, 1); /* commands are batched already */
    client_servers_host(c->server, host);
    client_session_open(&c->session, uv_now(c->loop), host, c->server->path);
    int status = uv_read_start((uv_stream_t *)tcp, on_alloc, on_read);
    if (status != 0) client_session_fail(&c->session, uv_strerror(status));
}

static void attempt(struct client *c)
{
    c->server = client_servers_next(&c->servers, &c->prng);
    struct client_dial_options o = {.host = c->server->host,
                                    .port = c->server->port,
                                    .connect_ms = c->options.connect_ms,
                                    .avoid = c->has_addr ? &c->addr : NULL};
    c->phase = PHASE_DIALLING;
    c->dial = client_dial_start(c->loop, &o, &c->prng, on_dialled, c);
}

/* ---- the owner's side ---- */

dun_err client_create(uv_loop_t *loop, const struct client_options *o, struct client **out,
                      char *why, size_t why_len)
{
    struct client *c = dun_calloc(1, sizeof *c);
    dun_err e = client_servers_parse(&c->servers, o->servers, why, why_len);
    if (e != DUN_OK) {
        dun_free(c);
        return e;
    }
    c->loop = loop;
    c->options = *o;
    c->options.servers = c->options.token = NULL;
    c->handlers = o->handlers;
    c->backoff.ms_min = o->backoff_ms_min != 0 ? o->backoff_ms_min : CLIENT_BACKOFF_MS_MIN;
    c->backoff.ms_max = o->backoff_ms_max != 0 ? o->backoff_ms_max : CLIENT_BACKOFF_MS_MAX;
    if (c->backoff.ms_max < c->backoff.ms_min) c->backoff.ms_max = c->backoff.ms_min;
    client_seed(&c->prng);
    const struct client_handlers h = {.ctx = c,
                                      .connected = session_connected,
                                      .subscribed = session_subscribed,
                                      .message = session_message,
                                      .gap = session_gap,
                                      .unsubscribed = session_unsubscribed};
    client_session_init(&c->session, &h, o->token, &c->prng);
    int status = uv_timer_init(loop, &c->timer);
    DUN_ASSERT(status == 0);
    status = uv_prepare_init(loop, &c->prepare);
    DUN_ASSERT(status == 0);
    c->handles = 2;
    c->timer.data = c->prepare.data = c;
    uv_prepare_start(&c->prepare, on_prepare);
    uv_unref((uv_handle_t *)&c->prepare); /* the socket or timer keeps the loop running */
    attempt(c);
    *out = c;
    return DUN_OK;
}

static void on_handle_closed(uv_handle_t *h)
{
    struct client *c = h->data;
    DUN_ASSERT(c->handles > 0);
    if (--c->handles > 0) return;
    void (*done)(void *ctx) = c->done;
    void *ctx = c->done_ctx;
    client_session_deinit(&c->session); /* no entry of it is on the stack here */
    dun_free(c);
    if (done != NULL) done(ctx);
}

void client_destroy(struct client *c, void (*done)(void *ctx), void *ctx)
{
    DUN_ASSERT(c->phase != PHASE_DESTROYED);
    c->done = done;
    c->done_ctx = ctx;
    if (c->dial != NULL) client_dial_cancel(c->dial);
    c->dial = NULL;
    if (c->phase == PHASE_OPEN) {
        client_session_bye(&c->session);
        write_out(c);
        tcp_drop(c);
        c->phase = PHASE_DESTROYED;
        client_session_lost(&c->session, uv_now(c->loop));
    }
    c->phase = PHASE_DESTROYED;
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
    uv_close((uv_handle_t *)&c->prepare, on_handle_closed);
}

dun_err client_subscribe(struct client *c, const char *channel, const struct client_position *since,
                         void *user, struct client_sub **out)
{
    return client_session_subscribe(&c->session, channel, since, user, out);
}

void client_unsubscribe(struct client *c, struct client_sub *sub)
{
    client_session_unsubscribe(&c->session, sub);
}

dun_err client_publish(struct client *c, struct dun_slice channel, struct dun_slice data,
                       client_answer_cb cb, void *ctx)
{
    if (!client_ready(c)) return DUN_E_CLOSED;
    return client_session_publish(&c->session, uv_now(c->loop), channel, data, cb, ctx);
}

dun_err client_history(struct client *c, const struct cmd_history *what, client_answer_cb cb,
                       void *ctx)
{
    if (!client_ready(c)) return DUN_E_CLOSED;
    return client_session_history(&c->session, uv_now(c->loop), what, cb, ctx);
}
