/* cmd/dunlin_bench_connections.c: what an idle connection costs the server.
 * Measured is anonymous memory (RssAnon) of the server's process before and
 * after, so page cache and kernel socket buffers do not count. */
#include "cmd/dunlin_args.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "cmd/dunlin_bench_pool.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SETTLE_MS = 1000 };

/* Bytes of anonymous memory of the process, or 0 when it cannot be read. */
static uint64_t anonymous_bytes(uint64_t pid)
{
    char path[64], line[256];
    uint64_t kib = 0;
    (void)snprintf(path, sizeof path, "/proc/%" PRIu64 "/status", pid);
    FILE *f = fopen(path, "re");
    if (f == NULL) return 0;
    while (fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "RssAnon: %" SCNu64, &kib) == 1) break;
    (void)fclose(f);
    return kib * 1024;
}

static int measure(struct bench_pool *pool, const struct bench_pool_options *o, uint64_t pid,
                   uint64_t hold_s, bool json)
{
    uint64_t before = anonymous_bytes(pid);
    if (before == 0)
        return dunlin_fail(EXIT_USAGE,
                           "bench connections: cannot read /proc/%" PRIu64
                           "/status; --pid must be the server's process here",
                           pid);
    bool ok = bench_pool_open(pool, o);
    uint64_t after = 0;
    if (ok) {
        (void)bench_pool_run(pool, SETTLE_MS + hold_s * 1000);
        after = anonymous_bytes(pid);
        ok = !pool->failed;
    }
    bench_pool_close(pool);
    if (!ok) return dunlin_fail(EXIT_UNAVAILABLE, "bench connections: %s", pool->error);
    double each = ((double)after - (double)before) / (double)o->count;
    if (json) {
        printf("{\"connections\":%u,\"bytes_per_connection\":%.0f,\"before_bytes\":%" PRIu64
               ",\"after_bytes\":%" PRIu64 "}\n",
               o->count, each, before, after);
    } else {
        printf("%u idle connections, each with one subscription: %.0f bytes per connection\n"
               "(anonymous memory of process %" PRIu64 ": %" PRIu64 " -> %" PRIu64 " bytes)\n",
               o->count, each, pid, before, after);
    }
    return EXIT_FINE;
}

int dunlin_bench_connections(int argc, char **argv)
{
    struct dunlin_server s = DUNLIN_SERVER_DEFAULT;
    uint64_t count = 10000, pid = 0, hold_s = 0;
    const char *channel = "bench";
    bool own = false;
    const struct dunlin_opt opts[] = {
        DUNLIN_SERVER_OPTS(s),
        {"pid", OPT_NUMBER, "PID", "the server's process; required", &pid, 1, 1u << 30},
        {"connections", OPT_NUMBER, "N", "how many (10000)", &count, 1, BENCH_CONNS_MAX},
        {"channel", OPT_TEXT, "NAME", "what they subscribe to (bench)", &channel, 0, 0},
        {"own-channels", OPT_FLAG, NULL, "each its own channel: NAME0, NAME1, ...", &own, 0, 0},
        {"hold", OPT_NUMBER, "S", "keep them idle that long before measuring (0)", &hold_s, 0,
         3600},
    };
    const struct dunlin_args args = {
        .usage = "bench connections --pid PID [OPTION]...",
        .summary = "Opens idle connections with one subscription each and prints how much memory\n"
                   "the server's process took for each.",
        .opts = opts,
        .opt_count = DUN_COUNT(opts),
        .more = "Measure a freshly started server: memory that earlier connections gave back is\n"
                "used again, and then does not show.",
    };
    struct dunlin_parsed p;
    struct client_servers servers;
    char why[CLIENT_WHY_MAX];
    int status;
    if (!dunlin_args(&args, argc, argv, &p, &status)) return status;
    if (pid == 0)
        return dunlin_fail(EXIT_USAGE, "bench connections: --pid PID is missing; dunlin dev prints "
                                       "the pid of each peer");
    if (client_servers_parse(&servers, s.servers, why, sizeof why) != DUN_OK)
        return dunlin_fail(EXIT_USAGE, "bench connections: %s", why);
    if (strlen(channel) + 8 > DUN_CHANNEL_MAX)
        return dunlin_fail(EXIT_USAGE, "bench connections: --channel is too long");
    struct bench_pool *pool = dun_calloc(1, sizeof *pool);
    const struct bench_pool_options o = {.servers = &servers,
                                         .count = (uint32_t)count,
                                         .channel = channel,
                                         .token = s.token,
                                         .own_channels = own};
    status = measure(pool, &o, pid, hold_s, s.json);
    dun_free(pool);
    return status;
}
