/* transport/client/client_http.c: one request, as many attempts as it takes.
 * One attempt: dial, write, read head and body, close. No connection is kept:
 * what needs speed uses client.h. */
#include "transport/client/client_http.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "transport/client/client_backoff.h"
#include "transport/codec/cmd_codes.h"
#include "transport/codec/http.h"
#include "transport/codec/json.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

struct client_http {
    uv_loop_t *loop;
    struct client_servers servers;
    struct client_backoff backoff;
    struct dun_prng *prng;
    client_http_cb cb; /* NULL once called or cancelled */
    void *ctx;
    char method[8];
    char *path, *api_key;
    struct dun_buf request_body;
    uint32_t connect_ms, answer_ms;
    uint64_t give_up_ms;
    uint32_t attempts;

    /* of the present attempt */
    const struct client_server *server;
    struct client_dial *dial;
    uv_tcp_t *tcp;
    uv_timer_t timer; /* answer deadline, or the wait before the next attempt */
    struct dun_buf in, body, out;
    struct http_reader reader;
    struct http_response res;
    struct http_body body_state;
    uv_write_t write;
    bool head_done;
    char why[CLIENT_WHY_MAX];
    uint32_t holds; /* timer and an unfinished write */
    char read_buf[16 * 1024];
};

static void attempt(struct client_http *h);

static void release(struct client_http *h)
{
    DUN_ASSERT(h->holds > 0);
    if (--h->holds > 0) return;
    dun_buf_deinit(&h->request_body);
    dun_buf_deinit(&h->in);
    dun_buf_deinit(&h->body);
    dun_buf_deinit(&h->out);
    dun_free(h->path);
    dun_free(h->api_key);
    dun_free(h);
}

static void on_timer_closed(uv_handle_t *t)
{
    release(t->data);
}

static void on_tcp_closed(uv_handle_t *t)
{
    dun_free(t);
}

static void tcp_drop(struct client_http *h)
{
    if (h->tcp == NULL) return;
    h->tcp->data = NULL;
    uv_close((uv_handle_t *)h->tcp, on_tcp_closed);
    h->tcp = NULL;
}

static void finish(struct client_http *h, dun_err e)
{
    struct client_http_result r = {.e = e,
                                   .url = h->server->url,
                                   .server_index = (uint32_t)(h->server - h->servers.list),
                                   .attempts = h->attempts};
    client_http_cb cb = h->cb;
    DUN_ASSERT(cb != NULL);
    if (e == DUN_OK) {
        r.status = h->res.status;
        r.body = dun_buf_view(&h->body);
    } else {
        r.why = h->why;
    }
    tcp_drop(h);
    h->cb = NULL;
    cb(h->ctx, &r);
    uv_close((uv_handle_t *)&h->timer, on_timer_closed);
}

static void on_wait_over(uv_timer_t *t)
{
    attempt(t->data);
}

/* The attempt came to nothing: h->why says why. */
static void attempt_failed(struct client_http *h, bool has_answer)
{
    uint64_t now = uv_now(h->loop);
    tcp_drop(h);
    uv_timer_stop(&h->timer);
    uint64_t wait = client_backoff_lost(&h->backoff, now, h->prng);
    if (!client_servers_round_over(&h->servers)) wait = 0; /* first ask all, then wait */
    if (now + wait >= h->give_up_ms) {
        finish(h, has_answer ? DUN_OK : DUN_E_IO);
        return;
    }
    uv_timer_start(&h->timer, on_wait_over, wait, 0);
}

static void attempt_broken(struct client_http *h, const char *text)
{
    (void)snprintf(h->why, sizeof h->why, "%.150s: %.200s", h->server->url, text);
    attempt_failed(h, false);
}

/* An API answer in HTTP 200 that says "try again" (protocol.md, section 7). */
static bool api_error_temporary(struct dun_slice body)
{
    struct json_member error, code;
    uint32_t n;
    if (json_check_type(body, JSON_OBJECT) != DUN_OK) return false;
    if (!json_find(body, "error", &error) || !json_find(error.value, "code", &code)) return false;
    return json_get_u32(code.value, &n) == DUN_OK &&
           (n == CMD_ERR_INTERNAL || n == CMD_ERR_TOO_MANY_REQUESTS);
}

static void answered(struct client_http *h)
{
    bool again = h->res.status >= 500 || api_error_temporary(dun_buf_view(&h->body));
    if (!again) {
        finish(h, DUN_OK);
        return;
    }
    attempt_failed(h, true);
}

/* Eats what has been received; true while more is wanted. */
static bool take_input(struct client_http *h)
{
    size_t used = 0;
    while (!h->head_done) {
        dun_err e = http_read_response(&h->reader, h->in.data, h->in.len, false, &h->res, &used);
        if (e == DUN_E_MORE) return true;
        if (e != DUN_OK) {
            attempt_broken(h, "it does not speak HTTP; is this the client port?");
            return false;
        }
        dun_buf_drop_front(&h->in, used);
        if (h->res.status == 100) continue;
        h->head_done = true;
        http_body_init(&h->body_state, &h->res);
    }
    while (!h->body_state.done) {
        struct dun_slice piece = {NULL, 0};
        used = 0;
        dun_err e = http_body_next(&h->body_state, h->in.data, h->in.len, &piece, &used);
        if (e == DUN_OK) dun_buf_slice(&h->body, piece);
        dun_buf_drop_front(&h->in, used);
        if (e == DUN_E_MORE) return true;
        if (e != DUN_OK || h->body.len > CLIENT_HTTP_BODY_MAX) {
            attempt_broken(h, e != DUN_OK ? "its answer is broken" : "its answer is over 32 MiB");
            return false;
        }
    }
    answered(h);
    return false;
}

static void on_alloc(uv_handle_t *t, size_t suggested, uv_buf_t *buf)
{
    struct client_http *h = t->data;
    (void)suggested;
    *buf = h != NULL ? uv_buf_init(h->read_buf, sizeof h->read_buf) : uv_buf_init(NULL, 0);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client_http *h = stream->data;
    if (h == NULL || n == 0) return;
    if (n > 0) {
        dun_buf_add(&h->in, buf->base, (size_t)n);
        (void)take_input(h);
    } else if (n == UV_EOF && h->head_done && h->res.body_kind == HTTP_BODY_UNTIL_CLOSE) {
        answered(h);
    } else {
        attempt_broken(h, n == UV_EOF ? "it closed the connection without a whole answer"
                                      : uv_strerror((int)n));
    }
}

static void on_written(uv_write_t *req, int status)
{
    struct client_http *h = req->data;
    (void)status; /* a failed write shows as a failed read */
    release(h);
}

static void on_answer_timeout(uv_timer_t *t)
{
    attempt_broken(t->data, "no answer in time");
}

static void write_request(struct client_http *h)
{
    char host[CLIENT_HOST_MAX + 16];
    char target[CLIENT_PATH_MAX + 512];
    struct dun_buf extra = {0};
    client_servers_host(h->server, host);
    (void)snprintf(target, sizeof target, "%s%s", h->server->path, h->path);
    dun_buf_str(&extra, "Connection: close\r\n");
    if (h->request_body.len > 0) dun_buf_str(&extra, "Content-Type: application/json\r\n");
    if (h->api_key != NULL) dun_buf_printf(&extra, "X-API-Key: %s\r\n", h->api_key);
    dun_buf_byte(&extra, 0);
    h->out.len = 0;
    http_write_request(&h->out, h->method, dun_slice_str(target), dun_slice_str(host),
                       (const char *)extra.data, dun_buf_view(&h->request_body));
    dun_buf_deinit(&extra);
}

static void on_dialled(void *ctx, dun_err e, uv_tcp_t *tcp, const struct sockaddr_storage *addr,
                       const char *why)
{
    struct client_http *h = ctx;
    (void)addr;
    h->dial = NULL;
    if (e != DUN_OK) {
        char text[CLIENT_WHY_MAX + 32];
        (void)snprintf(text, sizeof text, "cannot connect: %s", why);
        attempt_broken(h, text);
        return;
    }
    h->tcp = tcp;
    tcp->data = h;
    write_request(h);
    uv_buf_t buf = uv_buf_init((char *)h->out.data, (unsigned)h->out.len);
    h->write.data = h;
    int status = uv_write(&h->write, (uv_stream_t *)tcp, &buf, 1, on_written);
    if (status == 0) h->holds++;
    if (status == 0) status = uv_read_start((uv_stream_t *)tcp, on_alloc, on_read);
    if (status != 0) {
        attempt_broken(h, uv_strerror(status));
        return;
    }
    uv_timer_start(&h->timer, on_answer_timeout, h->answer_ms, 0);
}

static void attempt(struct client_http *h)
{
    if (h->holds > 1) { /* the last attempt's write is still being cancelled */
        uv_timer_start(&h->timer, on_wait_over, 1, 0);
        return;
    }
    h->server = client_servers_next(&h->servers, h->prng);
    h->attempts++;
    h->in.len = h->body.len = 0;
    h->head_done = false;
    memset(&h->reader, 0, sizeof h->reader);
    struct client_dial_options o = {
        .host = h->server->host, .port = h->server->port, .connect_ms = h->connect_ms};
    h->dial = client_dial_start(h->loop, &o, h->prng, on_dialled, h);
}

struct client_http *client_http_start(uv_loop_t *loop, const struct client_http_options *o,
                                      struct dun_prng *p, client_http_cb cb, void *ctx)
{
    struct client_http *h = dun_calloc(1, sizeof *h);
    DUN_ASSERT(cb != NULL);
    DUN_ASSERT(strlen(o->method) < sizeof h->method);
    h->loop = loop;
    h->servers = *o->servers;
    h->prng = p;
    h->cb = cb;
    h->ctx = ctx;
    (void)snprintf(h->method, sizeof h->method, "%s", o->method);
    h->path = dun_strdup(o->path);
    if (o->api_key != NULL) h->api_key = dun_strdup(o->api_key);
    dun_buf_slice(&h->request_body, o->body);
    h->connect_ms = o->connect_ms;
    h->answer_ms = o->answer_ms != 0 ? o->answer_ms : CLIENT_HTTP_ANSWER_MS;
    h->give_up_ms = uv_now(loop) + o->max_ms;
    h->backoff.ms_min = CLIENT_BACKOFF_MS_MIN;
    h->backoff.ms_max = 1000; /* someone waits for the answer */
    int status = uv_timer_init(loop, &h->timer);
    DUN_ASSERT(status == 0);
    h->timer.data = h;
    h->holds = 1;
    attempt(h);
    return h;
}

void client_http_cancel(struct client_http *h)
{
    DUN_ASSERT(h->cb != NULL);
    h->cb = NULL;
    if (h->dial != NULL) client_dial_cancel(h->dial);
    h->dial = NULL;
    tcp_drop(h);
    uv_close((uv_handle_t *)&h->timer, on_timer_closed);
}

struct run {
    struct client_http_result *r;
    struct dun_buf *body;
    char *why;
    bool done;
};

static void on_run_done(void *ctx, const struct client_http_result *r)
{
    struct run *run = ctx;
    *run->r = *r;
    dun_buf_slice(run->body, r->body);
    run->r->body = dun_buf_view(run->body);
    (void)snprintf(run->why, CLIENT_WHY_MAX, "%s", r->why != NULL ? r->why : "");
    run->r->why = run->why;
    run->done = true;
}

void client_http_run(uv_loop_t *loop, const struct client_http_options *o, struct dun_prng *p,
                     struct client_http_result *r, struct dun_buf *body, char why[CLIENT_WHY_MAX])
{
    struct run run = {r, body, why, false};
    uv_update_time(loop);
    (void)client_http_start(loop, o, p, on_run_done, &run);
    (void)uv_run(loop, UV_RUN_DEFAULT);
    DUN_ASSERT(run.done);
    r->url = o->servers->list[r->server_index].url; /* the request's copy is gone */
}

void client_publish_body(struct dun_buf *b, struct dun_slice channel, struct dun_slice data,
                         const char *key)
{
    dun_buf_str(b, "{\"channel\":");
    json_write_string(b, channel);
    dun_buf_str(b, ",\"data\":");
    dun_buf_slice(b, data);
    if (key[0] != '\0') {
        dun_buf_str(b, ",\"idempotency_key\":");
        json_write_string(b, dun_slice_str(key));
    }
    dun_buf_byte(b, '}');
}

void client_publish_key(char out[CLIENT_KEY_LEN + 1])
{
    uint8_t random[CLIENT_KEY_LEN / 2];
    int status = sodium_init();
    DUN_ASSERT(status >= 0);
    randombytes_buf(random, sizeof random);
    sodium_bin2hex(out, CLIENT_KEY_LEN + 1, random, sizeof random);
}
