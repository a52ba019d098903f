/* cmd/dunlin_bench_pool.h: many cheap WebSocket subscribers on one loop.
 * Why not client.h: a bench must measure the server, so its reader finds frame
 * and line ends and nothing else. The very same reader counts the raw
 * reference, so both figures carry the same reading cost.
 * One line longer than "{}" is one delivery (a server may pack several into one
 * WebSocket message); "{}" is a ping and is answered. */
#ifndef DUN_CMD_DUNLIN_BENCH_POOL_H
#define DUN_CMD_DUNLIN_BENCH_POOL_H

#include "base/buf.h"
#include "transport/client/client.h"

enum {
    BENCH_CONNS_MAX = 19000,    /* a process may open 20,000 files here */
    BENCH_CONNECTING_MAX = 128, /* at a time: what a listen queue holds for certain */
    BENCH_SETUP_MS = 60 * 1000,
};

struct bench_conn;

struct bench_pool {
    uv_loop_t loop;
    struct bench_conn *conns;
    uint32_t count; /* wanted */
    uint32_t started, connecting, live, open_handles;
    uint64_t deliveries;      /* since bench_pool_count */
    uint64_t bytes;           /* of them, with frame headers */
    uint64_t deliveries_stop; /* stop the loop at this many; 0 = never */
    bool failed, closing, raw, own_channels;
    char error[CLIENT_HOST_MAX + 256];
    struct sockaddr_storage addrs[CLIENT_SERVERS_MAX]; /* conn i uses i mod addr_count */
    char hosts[CLIENT_SERVERS_MAX][CLIENT_HOST_MAX + 16];
    uint32_t addr_count;
    uint32_t source; /* last byte of 127.0.0.x to connect from; 0 = the system chooses */
    const char *channel, *token, *path;
    uv_timer_t timer;
    uint8_t read_buf[256 * 1024];
};

struct bench_pool_options {
    const struct client_servers *servers; /* or NULL: raw, to raw_port on loopback */
    uint16_t raw_port;
    uint32_t count;
    const char *channel; /* all subscribe to it; with own_channels a number is added */
    const char *token;
    bool own_channels;
};

/* Opens all and waits until each has its subscribe reply (raw: is connected). On false
 * pool->error says why; close it all the same. */
bool bench_pool_open(struct bench_pool *p, const struct bench_pool_options *o);
/* Counts from zero; the loop stops at @stop deliveries. */
void bench_pool_count(struct bench_pool *p, uint64_t stop);
/* Runs the loop until it is stopped, a connection fails or @ms pass; true if stopped. */
bool bench_pool_run(struct bench_pool *p, uint64_t ms);
void bench_pool_close(struct bench_pool *p);

/* A quantile of @n sorted values, @q in 0..100. */
double bench_quantile(const double *sorted, size_t n, unsigned q);
void bench_sort(double *v, size_t n);
double bench_seconds(void); /* monotonic */

#endif
