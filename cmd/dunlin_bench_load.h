/* cmd/dunlin_bench_load.h: a publisher with a bounded window, and raw peers to
 * compare with, each in a process of its own as the server is. */
#ifndef DUN_CMD_DUNLIN_BENCH_LOAD_H
#define DUN_CMD_DUNLIN_BENCH_LOAD_H

#include "base/buf.h"
#include "transport/client/client.h"

#include <sys/types.h>

enum { LOAD_CONNECT_MS = 10 * 1000 };

struct load {
    struct client *client;
    uv_loop_t *loop;
    const char *channel;
    struct dun_buf data; /* JSON, the same each time */
    uint64_t total, sent, acked, retried;
    uint32_t window, in_flight;
    double *latency_s; /* window 1: one per message; NULL = not wanted */
    double asked_s;    /* when the message in flight was given to the client */
    double last_ack_s; /* when the last one was acknowledged */
    bool failed, stop_when_acked, destroyed;
    char error[CLIENT_URL_MAX + CLIENT_WHY_MAX];
};

/* Connects a publisher on @loop; false: l->error says why. Destroy it in any case. */
bool load_open(struct load *l, uv_loop_t *loop, const char *servers, const char *token,
               const char *channel, uint64_t size);
/* Starts @total publishes, at most @window unanswered; errors that are temporary are sent again. */
void load_start(struct load *l, uint64_t total, uint32_t window);
void load_destroy(struct load *l); /* the loop must run afterwards */

struct raw_peer {
    pid_t pid;
    int go_fd; /* closing it ends the process */
    uint16_t port;
};

/* A process that accepts @sockets connections, waits for raw_peer_go, then sends a frame of
 * @frame_bytes @messages times to each socket, one send() each. */
bool raw_sender_start(struct raw_peer *r, uint32_t sockets, uint64_t messages, size_t frame_bytes);
/* A process that echoes one connection. */
bool raw_echo_start(struct raw_peer *r);
void raw_peer_go(struct raw_peer *r);
void raw_peer_stop(struct raw_peer *r);

#endif
