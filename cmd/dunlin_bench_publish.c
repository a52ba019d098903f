/* cmd/dunlin_bench_publish.c: how fast a publish is acknowledged.
 * First one after the other (latency), then pipelined (rate). The reference, in
 * the same run: round trips of as many bytes over one loopback TCP connection
 * to a process that echoes. */
#include "cmd/dunlin_args.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "cmd/dunlin_bench_load.h"
#include "cmd/dunlin_bench_pool.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct publish_bench {
    struct dunlin_server s;
    uint64_t count, size, window;
    const char *channel;
    double *samples; /* count of them */
    double p50_us, p99_us, acked_per_s, raw_us;
    uint64_t retried;
};

static bool round_trip(int fd, uint8_t *buf, size_t len)
{
    if (send(fd, buf, len, MSG_NOSIGNAL) != (ssize_t)len) return false;
    for (size_t got = 0; got < len;) {
        ssize_t n = recv(fd, buf + got, len - got, 0);
        if (n <= 0) return false;
        got += (size_t)n;
    }
    return true;
}

/* Median raw round trip of @b->size bytes into b->raw_us. */
static int run_raw(struct publish_bench *b)
{
    struct raw_peer peer;
    if (!raw_echo_start(&peer))
        return dunlin_fail(EXIT_SYSTEM, "bench publish: cannot start the reference");
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(peer.port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    uint8_t *buf = dun_calloc(1, b->size);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, (const struct sockaddr *)(const void *)&a, sizeof a) == 0;
    if (ok) (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (uint64_t i = 0; ok && i < b->count; i++) {
        double start = bench_seconds();
        ok = round_trip(fd, buf, b->size);
        b->samples[i] = bench_seconds() - start;
    }
    if (fd >= 0) (void)close(fd);
    raw_peer_stop(&peer);
    dun_free(buf);
    if (!ok) return dunlin_fail(EXIT_SYSTEM, "bench publish: the reference failed");
    bench_sort(b->samples, b->count);
    b->raw_us = bench_quantile(b->samples, b->count, 50) * 1e6;
    return EXIT_FINE;
}

static int run_server(struct publish_bench *b)
{
    struct load load;
    uv_loop_t loop;
    int rc = uv_loop_init(&loop), status = EXIT_FINE;
    DUN_ASSERT(rc == 0);
    bool ok = load_open(&load, &loop, b->s.servers, b->s.token, b->channel, b->size);
    load.stop_when_acked = true;
    if (ok) {
        load.latency_s = b->samples;
        load_start(&load, b->count, 1);
        (void)uv_run(&loop, UV_RUN_DEFAULT);
        ok = !load.failed;
        b->retried = load.retried;
    }
    if (ok) {
        bench_sort(b->samples, b->count);
        b->p50_us = bench_quantile(b->samples, b->count, 50) * 1e6;
        b->p99_us = bench_quantile(b->samples, b->count, 99) * 1e6;
        load.latency_s = NULL;
        double start = bench_seconds();
        load_start(&load, b->count * 10, (uint32_t)b->window);
        (void)uv_run(&loop, UV_RUN_DEFAULT);
        ok = !load.failed;
        b->acked_per_s = (double)load.acked / (load.last_ack_s - start);
        b->retried += load.retried;
    }
    if (!ok) status = dunlin_fail(EXIT_UNAVAILABLE, "bench publish: %s", load.error);
    load_destroy(&load);
    while (uv_loop_alive(&loop))
        (void)uv_run(&loop, UV_RUN_DEFAULT); /* uv_stop may linger */
    rc = uv_loop_close(&loop);
    DUN_ASSERT(rc == 0);
    return status;
}

static void report(const struct publish_bench *b)
{
    double ratio = b->p50_us / b->raw_us;
    if (b->s.json) {
        printf(
            "{\"acked_per_s\":%.0f,\"latency_us\":{\"p50\":%.0f,\"p99\":%.0f},\"raw_rtt_us\":%.1f,"
            "\"ratio\":%.2f,\"size\":%" PRIu64 ",\"count\":%" PRIu64 ",\"window\":%" PRIu64
            ",\"retried\":%" PRIu64 "}\n",
            b->acked_per_s, b->p50_us, b->p99_us, b->raw_us, ratio, b->size, b->count, b->window,
            b->retried);
        return;
    }
    printf("publishes of %" PRIu64 " bytes\n"
           "acknowledged per second:    %10.0f   (%" PRIu64 " in flight)\n"
           "latency one by one, p50:    %10.0f us\n"
           "                    p99:    %10.0f us\n"
           "raw TCP round trip, p50:    %10.1f us\n"
           "ratio of the p50:           %10.2f\n",
           b->size, b->acked_per_s, b->window, b->p50_us, b->p99_us, b->raw_us, ratio);
}

int dunlin_bench_publish(int argc, char **argv)
{
    struct publish_bench b = {
        .s = DUNLIN_SERVER_DEFAULT, .count = 5000, .size = 256, .window = 256, .channel = "bench"};
    const struct dunlin_opt opts[] = {
        DUNLIN_SERVER_OPTS(b.s),
        {"count", OPT_NUMBER, "N", "publishes one by one (5000); ten times as many pipelined",
         &b.count, 10, 10u * 1000 * 1000},
        {"size", OPT_NUMBER, "BYTES", "of each message's data (256)", &b.size, 8, 60000},
        {"window", OPT_NUMBER, "N", "publishes without an answer when pipelined (256)", &b.window,
         1, CLIENT_INFLIGHT_MAX / 2},
        {"channel", OPT_TEXT, "NAME", "where to (bench)", &b.channel, 0, 0},
    };
    const struct dunlin_args args = {
        .usage = "bench publish [OPTION]...",
        .summary =
            "Publishes over one WebSocket, first one by one, then pipelined, and measures raw\n"
            "TCP round trips beside it.",
        .opts = opts,
        .opt_count = DUN_COUNT(opts),
    };
    struct dunlin_parsed p;
    struct client_servers servers;
    char why[CLIENT_WHY_MAX];
    int status;
    if (!dunlin_args(&args, argc, argv, &p, &status)) return status;
    if (client_servers_parse(&servers, b.s.servers, why, sizeof why) != DUN_OK)
        return dunlin_fail(EXIT_USAGE, "bench publish: %s", why);
    b.samples = dun_calloc(b.count, sizeof *b.samples);
    status = run_server(&b);
    if (status == EXIT_FINE) status = run_raw(&b);
    if (status == EXIT_FINE) report(&b);
    dun_free(b.samples);
    return status;
}
