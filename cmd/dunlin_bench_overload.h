/* cmd/dunlin_bench_overload.h: what the two processes of the overload bench know of each other.
 * The bench's own process watches moderate clients and their latency; the load runs in a child, so
 * that its work does not show as the server's delay. The child takes commands, one line each, and
 * answers each with one line of JSON when it is done. */
#ifndef DUN_CMD_DUNLIN_BENCH_OVERLOAD_H
#define DUN_CMD_DUNLIN_BENCH_OVERLOAD_H

#include "cmd/dunlin_args.h"
#include "cmd/dunlin_bench_crowd.h"

#include <sys/types.h>

enum { OVERLOAD_LINE_MAX = 2048, OVERLOAD_NAME_MAX = 200 };

enum overload_kind { OVERLOAD_SLOW, OVERLOAD_STORM, OVERLOAD_CROWD, OVERLOAD_RECONNECT };

struct overload_options {
    struct dunlin_server server;
    struct client_servers servers;
    enum overload_kind kind;
    const char *channel; /* the watched clients' are this and a number */
    uint64_t watched, rate, channels, size;
    uint64_t load;        /* connections of the load */
    uint64_t seconds;     /* of one measurement */
    uint64_t rounds;      /* each: without load, with load */
    uint64_t repeats;     /* of rounds that a hypervisor disturbed */
    uint64_t behind;      /* messages each client misses */
    uint64_t factor;      /* of the capacity, in percent */
    uint64_t message_max; /* of the storm */
    bool idle;            /* the load runs only while nothing else wants to */
    bool awake;           /* idle processors poll instead of sleeping */
};

/* The child's life; it ends when @fd does. */
void overload_load(const struct overload_options *o, int fd) __attribute__((noreturn));

#endif
