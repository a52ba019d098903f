/* Claims of transport/loop/loop.h: a peer of one voter with real threads and sockets, whose links
 * to others are a function of the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "cluster/swim_internal.h"
#include "transport/codec/ws.h"
#include "transport/loop/loop.h"
#include "transport/loop/loop_impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEADLINE_MS = 20000, BOOT = 1000, GROUPS = 4, HISTORY = 100000 };

static const struct store_namespace namespaces[] = {
    {.name = "", .history_size = HISTORY, .history_ttl_ms = 3600000, .force_recovery = true},
};

struct peer {
    struct loop *loop;
    struct dun_log log;
    uint16_t port;
    atomic_ullong boot;
    atomic_uint overflows, fatals;
    char fatal[256];
};

static void on_log(void *ctx, enum dun_log_level level, const char *line)
{
    struct peer *p = ctx;
    (void)level;
    if (strncmp(line, "worker_overflow", 15) == 0) atomic_fetch_add(&p->overflows, 1);
}

static void on_send(void *ctx, enum node_plane plane, const char *addr, const char *to_name,
                    struct dun_slice bytes)
{
    (void)ctx;
    (void)plane;
    (void)addr;
    (void)to_name;
    (void)bytes;
}

static void on_forget(void *ctx, const char *addr)
{
    (void)ctx;
    (void)addr;
}

static void on_boot(void *ctx, uint64_t boot)
{
    atomic_store(&((struct peer *)ctx)->boot, boot);
}

static void on_fatal(void *ctx, const char *why)
{
    struct peer *p = ctx;
    if (atomic_load(&p->fatals) == 0) snprintf(p->fatal, sizeof p->fatal, "%s", why);
    atomic_fetch_add(&p->fatals, 1);
}

static struct peer *peer_start(uint32_t workers, uint64_t inbox_bytes, const char *seed)
{
    struct peer *p = dun_calloc(1, sizeof *p);
    char why[256] = "";
    p->log = (struct dun_log){.write = on_log, .ctx = p, .level_min = DUN_LOG_DEBUG};
    struct loop_config lc = {.client_listen = "127.0.0.1:0",
                             .workers = workers,
                             .group_count = GROUPS,
                             .store_memory = 256 << 20,
                             .worker_inbox_bytes = inbox_bytes,
                             .log = &p->log,
                             .ctx = p,
                             .send = on_send,
                             .forget = on_forget,
                             .set_boot = on_boot,
                             .fatal = on_fatal};
    lc.session = (struct session_options){.name = "n1",
                                          .version = "test",
                                          .insecure = true,
                                          .api_key = "",
                                          .namespaces = namespaces,
                                          .namespace_count = DUN_COUNT(namespaces)};
    struct node_config nc = {.name = "n1",
                             .voters = {"n1"},
                             .voter_count = 1,
                             .gossip_addr = "127.0.0.1:1",
                             .replication_addr = "127.0.0.1:2",
                             .client_addr = "127.0.0.1:3",
                             .version = "test",
                             .prng_seed = 7};
    if (seed != NULL) nc.seeds[nc.seed_count++] = seed;
    if (loop_create(&p->loop, &lc, why, sizeof why) != DUN_OK) fail_msg("%s", why);
    p->port = (uint16_t)atoi(strrchr(loop_client_addr(p->loop), ':') + 1);
    if (loop_start(p->loop, &nc, BOOT, why, sizeof why) != DUN_OK) fail_msg("%s", why);
    return p;
}

static void peer_stop(struct peer *p)
{
    loop_stop(p->loop);
    loop_destroy(p->loop);
    dun_free(p);
}

/* ---- a blocking client ---- */

static int dial(uint16_t port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval limit = {.tv_sec = DEADLINE_MS / 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    return fd;
}

static void say(int fd, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n < 0) return; /* the reader will see that it is closed */
        p += n;
        len -= (size_t)n;
    }
}

static void say_text(int fd, const char *text)
{
    say(fd, text, strlen(text));
}

/* Adds what comes next to @b. false: the end, or a reset. */
static bool hear(int fd, struct dun_buf *b)
{
    uint8_t part[65536];
    ssize_t n = recv(fd, part, sizeof part, 0);
    if (n < 0 && errno != ECONNRESET) {
        size_t tail = b->len > 300 ? b->len - 300 : 0;
        fail_msg("nothing within the deadline after: %.*s", (int)(b->len - tail),
                 b->len == 0 ? "" : (const char *)b->data + tail);
    }
    if (n <= 0) return false;
    dun_buf_add(b, part, (size_t)n);
    return true;
}

static bool has_after(const struct dun_buf *b, size_t from, const char *text)
{
    return b->len > from && memmem(b->data + from, b->len - from, text, strlen(text)) != NULL;
}

static bool has(const struct dun_buf *b, const char *text)
{
    return has_after(b, 0, text);
}

/* false: it ended without. */
static bool hear_until(int fd, struct dun_buf *b, const char *text)
{
    size_t from = 0; /* what is before was looked at */
    while (!has_after(b, from, text)) {
        from = b->len > strlen(text) ? b->len - strlen(text) : 0;
        if (!hear(fd, b)) return false;
    }
    return true;
}

/* One request on a connection of its own; the answer as text. */
static void request(uint16_t port, const char *text, struct dun_buf *out)
{
    int fd = dial(port);
    out->len = 0;
    say_text(fd, text);
    while (hear(fd, out))
        ;
    dun_buf_byte(out, 0);
    close(fd);
}

static bool alive(int fd)
{
    struct dun_buf b = {0};
    say_text(fd, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    bool ok = hear_until(fd, &b, "{}\n");
    dun_buf_deinit(&b);
    return ok;
}

static void await_ready(uint16_t port)
{
    uint64_t until = loop_mono_ms() + DEADLINE_MS;
    struct dun_buf b = {0};
    do {
        assert_true(loop_mono_ms() < until);
        request(port, "GET /readyz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", &b);
    } while (strstr((const char *)b.data, "HTTP/1.1 200") == NULL);
    dun_buf_deinit(&b);
}

static void publish(uint16_t port, struct dun_buf *answer)
{
    request(port,
            "POST /api/publish HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 24\r\n"
            "\r\n{\"channel\":\"a\",\"data\":1}",
            answer);
    if (strstr((const char *)answer->data, "\"offset\":") == NULL)
        fail_msg("%s", (const char *)answer->data);
}

static int stream(uint16_t port, const char *last_id)
{
    char head[200];
    int fd = dial(port);
    snprintf(head, sizeof head, "GET /events/a HTTP/1.1\r\nHost: h\r\nLast-Event-ID: %s\r\n\r\n",
             last_id);
    say_text(fd, head);
    return fd;
}

static void say_ws(int fd, const struct dun_buf *text)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    struct dun_buf b = {0};
    ws_write(&b, WS_TEXT, dun_buf_view(text), mask);
    say(fd, b.data, b.len);
    dun_buf_deinit(&b);
}

/* A WebSocket that has said @text in one frame and heard @answer. */
static int dial_ws_saying(uint16_t port, const char *text, const char *answer)
{
    int fd = dial(port);
    struct dun_buf b = {0}, hello = {0};
    say_text(fd, "GET /connection/websocket HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
                 "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    assert_true(hear_until(fd, &b, "\r\n\r\n"));
    b.len = 0;
    dun_buf_str(&hello, text);
    say_ws(fd, &hello);
    assert_true(hear_until(fd, &b, answer));
    dun_buf_deinit(&hello);
    dun_buf_deinit(&b);
    return fd;
}

static int dial_ws(uint16_t port)
{
    return dial_ws_saying(port, "{\"id\":1,\"connect\":{}}", "\"connect\":{");
}

static void two_peers_never_share_a_port_even_before_they_start(void **state)
{
    (void)state;
    char why[256], addr[DUN_ADDR_MAX + 1], again[DUN_ADDR_MAX + 1];
    int fds[2], more[2];
    assert_int_equal(loop_listen("127.0.0.1:0", 2, fds, addr, why, sizeof why), DUN_OK);
    int buffer = 0;
    socklen_t len = sizeof buffer;
    assert_int_equal(getsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, &buffer, &len), 0);
    assert_in_range(buffer, 64 * 1024, 2 * 64 * 1024); /* what a client sends unread is bounded */
    assert_int_equal(loop_listen(addr, 2, more, again, why, sizeof why), DUN_E_IN_USE);
    assert_non_null(strstr(why, addr));
    close(fds[0]);
    close(fds[1]);
}

static void pipelined_requests_beyond_the_output_bound_are_all_answered(void **state)
{
    (void)state;
    enum { PAGES = 900, ROUNDS = 3 };
    struct peer *p = peer_start(1, 0, NULL);
    struct dun_buf ask = {0}, got = {0};
    await_ready(p->port);
    int fd = dial(p->port);
    for (int r = 0; r < ROUNDS; r++) {
        for (int i = 0; i < PAGES; i++)
            dun_buf_str(&ask, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
        dun_buf_str(&ask, "POST /api/publish HTTP/1.1\r\nHost: h\r\nContent-Length: 24\r\n\r\n"
                          "{\"channel\":\"a\",\"data\":1}");
    }
    say(fd, ask.data, ask.len);
    for (int r = 1; r <= ROUNDS; r++) {
        char last[32];
        uint32_t count = 0;
        snprintf(last, sizeof last, "{\"result\":{\"offset\":%d", r);
        assert_true(hear_until(fd, &got, last));
        for (const char *at = (const char *)got.data; (at = strstr(at, "HTTP/1.1 200")); at++)
            count++;
        assert_true(count >= (uint32_t)(r * (PAGES + 1)));
    }
    assert_true(got.len > 2 * SESSION_OUT_MAX);
    close(fd);
    dun_buf_deinit(&ask);
    dun_buf_deinit(&got);
    peer_stop(p);
}

/* ---- from other peers ---- */

static void gossip(struct peer *p, enum swim_packet_type type, const char *from_addr,
                   uint64_t from_boot)
{
    struct dun_buf b = {0};
    struct swim_packet packet = {
        .type = type, .from_addr = dun_slice_str(from_addr), .seq = 1, .joined = true};
    swim_wire_write(&b, &packet);
    loop_packet(p->loop, NODE_GOSSIP, "n1", from_boot, dun_buf_view(&b));
    dun_buf_deinit(&b);
}

static void an_outlived_boot_begins_again_above_it_and_serves(void **state)
{
    (void)state;
    struct peer *p = peer_start(2, 0, NULL);
    struct dun_buf first = {0}, again = {0}, events = {0};
    await_ready(p->port);
    publish(p->port, &first);
    int fd = stream(p->port, "");
    assert_true(hear_until(fd, &events, "\n\nid: ") || has(&events, "id: "));
    uint64_t known = loop_wall_ms() + 1000000; /* a life of ours with a clock ahead */
    gossip(p, SWIM_GOSSIP, "127.0.0.1:1", known);
    while (hear(fd, &events)) /* whoever was connected is sent away */
        ;
    close(fd);
    await_ready(p->port);
    assert_true(atomic_load(&p->boot) > known);
    publish(p->port, &again);
    const char *a = strstr((const char *)first.data, "\"epoch\":"),
               *b = strstr((const char *)again.data, "\"epoch\":");
    assert_non_null(a);
    assert_non_null(b);
    assert_string_not_equal(a, b); /* its memory is gone, and it says so */
    dun_buf_deinit(&first);
    dun_buf_deinit(&again);
    dun_buf_deinit(&events);
    peer_stop(p);
}

static void a_name_that_is_taken_is_fatal_and_says_by_whom(void **state)
{
    (void)state;
    struct peer *p = peer_start(1, 0, "127.0.0.1:9");
    uint64_t until = loop_mono_ms() + DEADLINE_MS;
    while (atomic_load(&p->fatals) == 0 && loop_mono_ms() < until) {
        gossip(p, SWIM_PUSH_PULL_REPLY, "127.0.0.1:9", BOOT - 1);
        usleep(1000);
    }
    assert_true(atomic_load(&p->fatals) > 0);
    loop_stop(p->loop);
    assert_non_null(strstr(p->fatal, "n1"));
    assert_non_null(strstr(p->fatal, "127.0.0.1:9"));
    loop_destroy(p->loop);
    dun_free(p);
}

/* ---- overflow ---- */

/* Reads @fd until event @last; every id from @first on comes once and in order. */
static void expect_events(int fd, uint64_t first, uint64_t last)
{
    struct dun_buf b = {0};
    uint64_t next = first;
    while (next <= last) {
        if (!hear(fd, &b)) fail_msg("the stream ended before %llu", (unsigned long long)next);
        dun_buf_byte(&b, 0);
        b.len--;
        char *at = (char *)b.data, *end;
        while ((end = strstr(at, "\n\n")) != NULL) {
            char *id = strstr(at, "id: "), *data = strstr(at, "data: ");
            assert_null(strstr(at, "event: gap"));
            if (data != NULL && data < end) { /* else the position alone */
                assert_true(id != NULL && id < end);
                assert_int_equal(strtoull(strchr(id + 4, ':') + 1, NULL, 10), next);
                assert_int_equal(strtoull(data + 6, NULL, 10), next);
                next++;
            }
            at = end + 2;
        }
        dun_buf_drop_front(&b, (size_t)(at - (char *)b.data));
    }
    dun_buf_deinit(&b);
}

static void subscribers_get_everything_in_order_when_inboxes_overflow(void **state)
{
    (void)state;
    static const uint64_t bounds[] = {1, 2000}; /* no batch fits; some do */
    enum { STREAMS = 6, MESSAGES = 3000, BURST = 50 };
    for (size_t i = 0; i < DUN_COUNT(bounds); i++) {
        struct peer *p = peer_start(2, bounds[i], NULL);
        int fds[STREAMS];
        await_ready(p->port);
        for (int k = 0; k < STREAMS; k++) {
            struct dun_buf b = {0};
            fds[k] = stream(p->port, "");
            assert_true(hear_until(fds[k], &b, "id: "));
            dun_buf_deinit(&b);
        }
        int ws = dial_ws(p->port);
        struct dun_buf text = {0}, answers = {0};
        for (int n = 1; n <= MESSAGES; n++) {
            dun_buf_printf(&text, "{\"id\":%d,\"publish\":{\"channel\":\"a\",\"data\":%d}}\n",
                           n + 1, n);
            if (n % BURST != 0 && n % 7 != 0) continue; /* batches of many sizes */
            char last[32];
            say_ws(ws, &text);
            text.len = 0;
            snprintf(last, sizeof last, "{\"id\":%d,\"publish\":{}}", n + 1);
            if (n % BURST == 0) assert_true(hear_until(ws, &answers, last));
            if (n % BURST == 0) answers.len = 0;
        }
        for (int k = 0; k < STREAMS; k++) {
            expect_events(fds[k], 1, MESSAGES);
            close(fds[k]);
        }
        assert_true(atomic_load(&p->overflows) > 0);
        close(ws);
        dun_buf_deinit(&text);
        dun_buf_deinit(&answers);
        peer_stop(p);
    }
}

/* ---- the limit on open files ---- */

/* A peer in a process of its own that may open @files files. */
static pid_t peer_fork(rlim_t files, uint16_t *port)
{
    int up[2];
    assert_int_equal(pipe(up), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit lim = {files, files};
        sigset_t term;
        int sig;
        if (setrlimit(RLIMIT_NOFILE, &lim) != 0) _exit(3);
        sigemptyset(&term);
        sigaddset(&term, SIGTERM);
        sigprocmask(SIG_BLOCK, &term, NULL);
        struct peer *p = peer_start(1, 0, NULL);
        if (write(up[1], &p->port, sizeof p->port) != sizeof p->port) _exit(4);
        sigwait(&term, &sig);
        peer_stop(p);
        _exit(0);
    }
    close(up[1]);
    assert_int_equal(read(up[0], port, sizeof *port), sizeof *port);
    close(up[0]);
    return pid;
}

static void a_full_peer_refuses_serves_on_and_recovers(void **state)
{
    (void)state;
    static const struct {
        rlim_t files;
        uint32_t served_min, served_max; /* of DIALS connections */
    } t[] = {
        {600, 344, 344}, /* the peer's own bound: the limit less what it reserves */
        {64, 20, 60},    /* EMFILE comes first */
    };
    enum { DIALS = 380 };
    static int fds[DIALS];
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        uint16_t port;
        int status;
        pid_t pid = peer_fork(t[i].files, &port);
        await_ready(port);
        uint32_t served = 0;
        for (int k = 0; k < DIALS; k++) {
            fds[k] = dial(port);
            served += alive(fds[k]);
        }
        if (served < t[i].served_min || served > t[i].served_max)
            fail_msg("row %zu: %u served", i, served);
        assert_true(alive(fds[0])); /* those who are in stay in */
        for (int k = 0; k < DIALS; k++)
            close(fds[k]);
        await_ready(port); /* asks until there is room again */
        kill(pid, SIGTERM);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

/* ---- a crowd ---- */

enum { CROWD = 100, LEAVERS = 8 };

static void say_ws_text(int fd, const char *text)
{
    struct dun_buf b = {0};
    dun_buf_str(&b, text);
    say_ws(fd, &b);
    dun_buf_deinit(&b);
}

static void reset(int fd)
{
    static const struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

/* The crowd takes all turns; subscribers that said two things only, and so wait for theirs, are
 * gone when a message for them comes. */
static void leave_while_it_waits(const struct peer *p, int publisher, int n)
{
    static const char joins[] = "{\"id\":1,\"connect\":{}}\n"
                                "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}";
    int crowd[CROWD], leavers[LEAVERS];
    char text[80], answer[40];
    struct dun_buf b = {0};
    for (int k = 0; k < LEAVERS; k++)
        leavers[k] = dial_ws_saying(p->port, joins, "\"id\":2,\"subscribe\":{");
    for (int k = 0; k < CROWD; k++)
        crowd[k] = dial(p->port);
    for (int k = 0; k < CROWD; k++)
        say_text(crowd[k], "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int k = 0; k < LEAVERS; k++) {
        say_ws_text(leavers[k], "{}");
        reset(leavers[k]);
    }
    snprintf(text, sizeof text, "{\"id\":%d,\"publish\":{\"channel\":\"a\",\"data\":1}}", n);
    snprintf(answer, sizeof answer, "\"id\":%d,\"publish\":{}", n);
    say_ws_text(publisher, text);
    assert_true(hear_until(publisher, &b, answer));
    for (int k = 0; k < CROWD; k++) {
        b.len = 0;
        assert_true(hear_until(crowd[k], &b, "{}\n"));
        close(crowd[k]);
    }
    dun_buf_deinit(&b);
}

static void connections_may_go_while_they_wait_for_their_turn(void **state)
{
    (void)state;
    struct peer *p = peer_start(1, 0, NULL);
    await_ready(p->port);
    int publisher = dial_ws(p->port), late[CROWD];
    for (int n = 2; n < 22; n++)
        leave_while_it_waits(p, publisher, n);
    for (int k = 0; k < CROWD; k++)
        late[k] = dial(p->port);
    for (int k = 0; k < CROWD; k++)
        say_text(late[k], "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    peer_stop(p); /* while those wait */
    for (int k = 0; k < CROWD; k++)
        close(late[k]);
    close(publisher);
}

/* ---- stop ---- */

static void stop_in_thread(void *arg)
{
    loop_stop(arg);
}

/* Replies and the close's code, in order; asserts that replies are a prefix of ids from 2 on. */
static uint32_t replies_before_close(const struct dun_buf *got, uint16_t *code)
{
    struct ws_frame fr;
    struct dun_slice reason;
    size_t at = 0, used;
    uint32_t count = 0;
    *code = 0;
    while (ws_decode(got->data + at, got->len - at, WS_CLIENT, 64 << 20, &fr, &used) == DUN_OK) {
        at += used;
        assert_int_equal(*code, 0); /* nothing after the close */
        if (fr.opcode == WS_CLOSE) {
            assert_int_equal(ws_parse_close(fr.payload, code, &reason), DUN_OK);
            continue;
        }
        for (size_t i = 0; i + 6 < fr.payload.len; i++)
            count += memcmp(fr.payload.data + i, "{\"id\":", 6) == 0;
    }
    return count;
}

static void a_stop_answers_the_publishes_it_has_taken_before_it_closes(void **state)
{
    (void)state;
    enum { PUBLISHES = 200 };
    for (int turn = 0; turn < 5; turn++) {
        struct peer *p = peer_start(1, 0, NULL);
        uv_thread_t thread;
        struct dun_buf text = {0}, got = {0};
        uint16_t code;
        await_ready(p->port);
        int ws = dial_ws(p->port);
        for (int n = 0; n < PUBLISHES; n++)
            dun_buf_printf(&text, "{\"id\":%d,\"publish\":{\"channel\":\"a\",\"data\":%d}}\n",
                           n + 2, n);
        say_ws(ws, &text); /* one message: taken whole or not at all */
        if (turn > 0) usleep((unsigned)turn * 200);
        assert_int_equal(uv_thread_create(&thread, stop_in_thread, p->loop), 0);
        while (hear(ws, &got))
            ;
        uint32_t count = replies_before_close(&got, &code);
        assert_int_equal(code, 3001);
        assert_true(count == PUBLISHES || count == 0);
        close(ws);
        uv_thread_join(&thread);
        peer_stop(p);
        dun_buf_deinit(&text);
        dun_buf_deinit(&got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_peer_refuses_serves_on_and_recovers), /* forks: no threads yet */
        cmocka_unit_test(two_peers_never_share_a_port_even_before_they_start),
        cmocka_unit_test(pipelined_requests_beyond_the_output_bound_are_all_answered),
        cmocka_unit_test(an_outlived_boot_begins_again_above_it_and_serves),
        cmocka_unit_test(a_name_that_is_taken_is_fatal_and_says_by_whom),
        cmocka_unit_test(subscribers_get_everything_in_order_when_inboxes_overflow),
        cmocka_unit_test(connections_may_go_while_they_wait_for_their_turn),
        cmocka_unit_test(a_stop_answers_the_publishes_it_has_taken_before_it_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
