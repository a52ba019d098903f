/* cmd/dunlin_bench_load.c: see the header. */
#include "cmd/dunlin_bench_load.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "cmd/dunlin_bench_pool.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the publisher ---- */

static void pump(struct load *l);

static void load_fail(struct load *l, const char *text)
{
    if (l->failed) return;
    l->failed = true;
    (void)snprintf(l->error, sizeof l->error, "%s", text);
    uv_stop(l->loop);
}

static void on_answer(void *ctx, const struct client_answer *a)
{
    struct load *l = ctx;
    l->in_flight--;
    if (l->destroyed || l->failed) return;
    if (a->e != DUN_OK && !(a->e == DUN_E_DENIED && a->temporary)) {
        char text[200];
        (void)snprintf(text, sizeof text, "a publish failed: %u %.*s", a->code,
                       (int)(a->text.len < 150 ? a->text.len : 150), (const char *)a->text.data);
        load_fail(l, text);
        return;
    }
    if (a->e != DUN_OK) {
        l->sent--;
        l->retried++;
    } else {
        l->last_ack_s = bench_seconds();
        if (l->latency_s != NULL) l->latency_s[l->acked] = l->last_ack_s - l->asked_s;
        l->acked++;
    }
    pump(l);
    if (l->acked == l->total && l->stop_when_acked) uv_stop(l->loop);
}

static void pump(struct load *l)
{
    while (l->in_flight < l->window && l->sent < l->total && !l->failed) {
        l->asked_s = bench_seconds();
        dun_err e = client_publish(l->client, dun_slice_str(l->channel), dun_buf_view(&l->data),
                                   on_answer, l);
        if (e != DUN_OK) {
            load_fail(l, e == DUN_E_CLOSED ? "the publisher lost its connection" : dun_err_text(e));
            return;
        }
        l->sent++;
        l->in_flight++;
    }
}

static void on_connected(void *ctx, struct dun_slice client_id)
{
    struct load *l = ctx;
    (void)client_id;
    uv_stop(l->loop);
}

static void on_retrying(void *ctx, uint64_t wait_ms, const char *text)
{
    (void)wait_ms;
    load_fail(ctx, text);
}

static void on_closed(void *ctx, int code, const char *text)
{
    (void)code;
    load_fail(ctx, text);
}

static void on_connect_timeout(uv_timer_t *t)
{
    load_fail(t->data, "the publisher was not connected within 10 seconds");
}

bool load_open(struct load *l, uv_loop_t *loop, const char *servers, const char *token,
               const char *channel, uint64_t size)
{
    memset(l, 0, sizeof *l);
    l->loop = loop;
    l->channel = channel;
    dun_buf_byte(&l->data, '"'); /* a JSON string of @size bytes with its quotes */
    for (uint64_t i = 2; i < size; i++)
        dun_buf_byte(&l->data, (uint8_t)('a' + i % 26));
    dun_buf_byte(&l->data, '"');
    const struct client_options o = {.servers = servers,
                                     .token = token,
                                     .handlers = {.ctx = l, .connected = on_connected},
                                     .retrying = on_retrying,
                                     .closed = on_closed};
    char why[CLIENT_WHY_MAX];
    if (client_create(loop, &o, &l->client, why, sizeof why) != DUN_OK) {
        load_fail(l, why);
        return false;
    }
    uv_timer_t timer;
    (void)uv_timer_init(loop, &timer);
    timer.data = l;
    uv_timer_start(&timer, on_connect_timeout, LOAD_CONNECT_MS, 0);
    (void)uv_run(loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(loop, UV_RUN_NOWAIT);
    return !l->failed;
}

void load_start(struct load *l, uint64_t total, uint32_t window)
{
    l->total = total;
    l->sent = l->acked = l->retried = 0;
    l->window = window;
    pump(l);
}

void load_destroy(struct load *l)
{
    l->destroyed = true;
    if (l->client != NULL) client_destroy(l->client, NULL, NULL);
    l->client = NULL;
    dun_buf_deinit(&l->data);
}

/* ---- raw peers ---- */

static int listen_loopback(uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t len = sizeof a;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (bind(fd, (const struct sockaddr *)(const void *)&a, sizeof a) != 0 ||
        listen(fd, 4096) != 0 || getsockname(fd, (struct sockaddr *)(void *)&a, &len) != 0) {
        (void)close(fd);
        return -1;
    }
    *port = ntohs(a.sin_port);
    return fd;
}

static int accept_one(int listener)
{
    int on = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/* One send(); only when the socket is full does it wait for room. False: it is broken. */
static bool send_frame(int fd, const uint8_t *data, size_t len)
{
    size_t at = 0;
    while (at < len) {
        ssize_t n = send(fd, data + at, len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            at += (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            if (poll(&p, 1, -1) < 0 && errno != EINTR) return false;
        } else if (!(n < 0 && errno == EINTR)) {
            return false;
        }
    }
    return true;
}

/* A WebSocket text frame of exactly @total bytes, so that the same reader counts it. */
static uint8_t *make_frame(size_t total)
{
    uint8_t *frame = dun_malloc(total + WS_HEADER_MAX), header[WS_HEADER_MAX];
    size_t payload = total > 2 + 125 ? total - 4 : total - 2;
    if (payload > 65535) payload = total - 10;
    size_t n = ws_encode_header(header, WS_TEXT, true, payload, NULL);
    memcpy(frame, header, n);
    memset(frame + n, 'x', payload);
    return frame;
}

struct raw_plan {
    uint32_t sockets;
    uint64_t messages;
    size_t frame_bytes; /* 0 = echo */
};

static void raw_send_all(int listener, int go_fd, const struct raw_plan *plan)
{
    int *fds = dun_calloc(plan->sockets, sizeof *fds);
    uint8_t *frame = make_frame(plan->frame_bytes);
    char go;
    for (uint32_t i = 0; i < plan->sockets; i++)
        if ((fds[i] = accept_one(listener)) < 0) _exit(1);
    if (read(go_fd, &go, 1) != 1) _exit(0);
    for (uint64_t m = 0; m < plan->messages; m++)
        for (uint32_t i = 0; i < plan->sockets; i++)
            if (!send_frame(fds[i], frame, plan->frame_bytes)) _exit(1);
    (void)!read(go_fd, &go, 1); /* keep the sockets until the parent has read all */
    dun_free(frame);
    dun_free(fds);
}

static void raw_echo(int listener)
{
    uint8_t buf[64 * 1024];
    int fd = accept_one(listener);
    for (ssize_t n; fd >= 0 && (n = recv(fd, buf, sizeof buf, 0)) > 0;)
        if (!send_frame(fd, buf, (size_t)n)) break;
}

static bool raw_start(struct raw_peer *r, const struct raw_plan *plan)
{
    int fds[2], listener = listen_loopback(&r->port);
    if (listener < 0) return false;
    if (pipe(fds) != 0) {
        (void)close(listener);
        return false;
    }
    r->pid = fork();
    if (r->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)close(fds[1]);
        if (plan->frame_bytes > 0) {
            raw_send_all(listener, fds[0], plan);
        } else {
            raw_echo(listener);
        }
        _exit(0);
    }
    (void)close(listener);
    (void)close(fds[0]);
    r->go_fd = fds[1];
    if (r->pid > 0) return true;
    (void)close(r->go_fd);
    return false;
}

bool raw_sender_start(struct raw_peer *r, uint32_t sockets, uint64_t messages, size_t frame_bytes)
{
    DUN_ASSERT(frame_bytes >= 8);
    const struct raw_plan plan = {sockets, messages, frame_bytes};
    return raw_start(r, &plan);
}

bool raw_echo_start(struct raw_peer *r)
{
    const struct raw_plan plan = {1, 0, 0};
    return raw_start(r, &plan);
}

void raw_peer_go(struct raw_peer *r)
{
    ssize_t n = write(r->go_fd, "g", 1);
    DUN_ASSERT(n == 1); /* an empty pipe takes a byte; a dead reader shows as lost connections */
}

void raw_peer_stop(struct raw_peer *r)
{
    (void)close(r->go_fd);
    (void)kill(r->pid, SIGKILL);
    (void)waitpid(r->pid, NULL, 0);
}
