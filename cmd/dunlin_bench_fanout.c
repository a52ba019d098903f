/* cmd/dunlin_bench_fanout.c: deliveries per second to many subscribers.
 * The reference, in the same run: a process of its own with a plain loop, one
 * send() per message per socket, over as many loopback sockets, frames of the
 * same size, counted by the very same reader in this process. */
#include "cmd/dunlin_args.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "cmd/dunlin_bench_load.h"
#include "cmd/dunlin_bench_pool.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { RUN_MS_MAX = 300 * 1000 };

struct fanout {
    struct bench_pool pool;
    struct client_servers servers;
    struct dunlin_server s;
    uint64_t subscribers, messages, size, window;
    const char *channel;
    double deliveries_per_s, raw_per_s;
    uint64_t retried;
    size_t frame_bytes;
};

static int run_server(struct fanout *f)
{
    struct bench_pool *pool = &f->pool;
    struct load load;
    const struct bench_pool_options o = {.servers = &f->servers,
                                         .count = (uint32_t)f->subscribers,
                                         .channel = f->channel,
                                         .token = f->s.token};
    int status = EXIT_FINE;
    if (!bench_pool_open(pool, &o)) {
        status = dunlin_fail(EXIT_UNAVAILABLE, "bench fanout: %s", pool->error);
        bench_pool_close(pool);
        return status;
    }
    bool ok = load_open(&load, &pool->loop, f->s.servers, f->s.token, f->channel, f->size);
    uint64_t total = f->subscribers * f->messages;
    if (ok) {
        bench_pool_count(pool, total);
        double start = bench_seconds();
        load_start(&load, f->messages, (uint32_t)f->window);
        ok = bench_pool_run(pool, RUN_MS_MAX) && !load.failed;
        f->deliveries_per_s = (double)pool->deliveries / (bench_seconds() - start);
        f->retried = load.retried;
    }
    if (!ok) {
        status = dunlin_fail(EXIT_REFUSED,
                             "bench fanout: %s (%" PRIu64 " of %" PRIu64 " deliveries came)",
                             load.failed    ? load.error
                             : pool->failed ? pool->error
                                            : "not all messages arrived in time",
                             pool->deliveries, total);
    } else {
        f->frame_bytes = (size_t)(pool->bytes / pool->deliveries);
    }
    load_destroy(&load);
    bench_pool_close(pool);
    return status;
}

static int run_raw(struct fanout *f)
{
    struct bench_pool *pool = &f->pool;
    struct raw_peer peer;
    if (f->frame_bytes < 8) f->frame_bytes = 8;
    if (!raw_sender_start(&peer, (uint32_t)f->subscribers, f->messages, f->frame_bytes))
        return dunlin_fail(EXIT_SYSTEM, "bench fanout: cannot start the reference");
    const struct bench_pool_options o = {.raw_port = peer.port, .count = (uint32_t)f->subscribers};
    bool ok = bench_pool_open(pool, &o);
    if (ok) {
        bench_pool_count(pool, f->subscribers * f->messages);
        double start = bench_seconds();
        raw_peer_go(&peer);
        ok = bench_pool_run(pool, RUN_MS_MAX);
        f->raw_per_s = (double)pool->deliveries / (bench_seconds() - start);
    }
    int status = EXIT_FINE;
    if (!ok) status = dunlin_fail(EXIT_SYSTEM, "bench fanout: the reference: %s", pool->error);
    bench_pool_close(pool);
    raw_peer_stop(&peer);
    return status;
}

static void report(const struct fanout *f)
{
    double ratio = f->deliveries_per_s / f->raw_per_s;
    if (f->s.json) {
        printf("{\"deliveries_per_s\":%.0f,\"raw_sends_per_s\":%.0f,\"ratio\":%.3f,"
               "\"subscribers\":%" PRIu64 ",\"messages\":%" PRIu64 ",\"size\":%" PRIu64
               ",\"bytes_per_delivery\":%zu,\"retried\":%" PRIu64 "}\n",
               f->deliveries_per_s, f->raw_per_s, ratio, f->subscribers, f->messages, f->size,
               f->frame_bytes, f->retried);
        return;
    }
    printf("%" PRIu64 " messages of %" PRIu64 " bytes to %" PRIu64 " subscribers\n"
           "deliveries per second:      %12.0f\n"
           "raw send() per second:      %12.0f   (same sockets, %zu bytes each)\n"
           "ratio:                      %12.3f\n",
           f->messages, f->size, f->subscribers, f->deliveries_per_s, f->raw_per_s, f->frame_bytes,
           ratio);
}

int dunlin_bench_fanout(int argc, char **argv)
{
    struct fanout *f = dun_calloc(1, sizeof *f);
    f->s = (struct dunlin_server)DUNLIN_SERVER_DEFAULT;
    f->subscribers = 1000;
    f->messages = 2000;
    f->size = 128;
    f->window = 64;
    f->channel = "bench";
    const struct dunlin_opt opts[] = {
        DUNLIN_SERVER_OPTS(f->s),
        {"subscribers", OPT_NUMBER, "N", "how many (1000)", &f->subscribers, 1, BENCH_CONNS_MAX},
        {"messages", OPT_NUMBER, "N", "how many (2000)", &f->messages, 1, 100u * 1000 * 1000},
        {"size", OPT_NUMBER, "BYTES", "of each message's data (128)", &f->size, 8, 60000},
        {"window", OPT_NUMBER, "N", "publishes without an answer (64)", &f->window, 1,
         CLIENT_INFLIGHT_MAX / 2},
        {"channel", OPT_TEXT, "NAME", "where to (bench)", &f->channel, 0, 0},
    };
    const struct dunlin_args args = {
        .usage = "bench fanout [OPTION]...",
        .summary =
            "Publishes to many subscribers and counts deliveries; then the same number of raw\n"
            "send() calls to as many sockets. The ratio is what matters.",
        .opts = opts,
        .opt_count = DUN_COUNT(opts),
        .more =
            "With a window the server packs several messages into one write, which the reference\n"
            "does not. --window 1 compares one write with one send().",
    };
    struct dunlin_parsed p;
    char why[CLIENT_WHY_MAX];
    int status;
    if (dunlin_args(&args, argc, argv, &p, &status)) {
        if (client_servers_parse(&f->servers, f->s.servers, why, sizeof why) != DUN_OK) {
            status = dunlin_fail(EXIT_USAGE, "bench fanout: %s", why);
        } else if ((status = run_server(f)) == EXIT_FINE && (status = run_raw(f)) == EXIT_FINE) {
            report(f);
        }
    }
    dun_free(f);
    return status;
}
