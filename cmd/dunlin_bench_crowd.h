/* cmd/dunlin_bench_crowd.h: many WebSocket clients that keep their places.
 * Why not client.h: its buffers and conveniences cost too much for thousands on one loop. Why not
 * dunlin_bench_pool.h: that one only counts; under overload each client's messages must be checked,
 * and clients stop reading, go and come back with a position.
 * (1) A client's messages have seq, seq + 1, ...; anything else is counted as wrong.
 * (2) A gap the server told of (recovered: false) is counted as declared, and the client goes on
 *     behind it. */
#ifndef DUN_CMD_DUNLIN_BENCH_CROWD_H
#define DUN_CMD_DUNLIN_BENCH_CROWD_H

#include "base/buf.h"
#include "transport/client/client.h"

enum {
    CROWD_MAX = 19000,        /* a process may open 20,000 files here */
    CROWD_EPOCH_MAX = 24,     /* text of an epoch with its NUL */
    CROWD_CODES_MAX = 16,     /* different codes counted */
    CROWD_OUT_MAX = 16 * 1024 /* unsent; above it a client publishes no more */
};

/* How often each code occurred. */
struct crowd_codes {
    struct {
        uint32_t code;
        uint64_t count;
    } at[CROWD_CODES_MAX];
    uint32_t count;
};
void crowd_codes_add(struct crowd_codes *c, uint32_t code);
void crowd_codes_json(const struct crowd_codes *c, struct dun_buf *b);

struct crowd;

enum crowd_state { CROWD_DOWN, CROWD_CONNECTING, CROWD_UPGRADING, CROWD_REPLIES, CROWD_LIVE };

struct crowd_conn {
    uv_tcp_t tcp;
    uv_connect_t connect;
    struct crowd *crowd;
    uint64_t seq; /* the last message it has */
    uint32_t got; /* messages since crowd_count() */
    uint32_t next_id;
    struct dun_buf in, out; /* half a frame; what the socket did not take */
    char epoch[CROWD_EPOCH_MAX];
    uint8_t state, replies;
    bool placed; /* seq and epoch are known: come back with them */
    bool closing, reopen, paused;
};

struct crowd_options {
    const struct client_servers *servers; /* client i uses i mod their count */
    const char *channel, *token;          /* channel NULL: they only publish */
    uint32_t count, channels;             /* client i subscribes to channel<i mod channels> */
    uint32_t connecting_max;              /* at a time */
    uint32_t receive_buffer, send_buffer; /* 0 = the system's */
    bool come_back;                       /* reconnect when the server closes */
    void *ctx;
    void (*message)(void *ctx, struct crowd_conn *c, uint64_t sent_ns, uint64_t n);
    void (*answer)(void *ctx, struct crowd_conn *c, uint32_t id, uint32_t code); /* of a publish */
};

struct crowd {
    struct crowd_options o;
    uv_loop_t *loop;
    struct crowd_conn *conns;
    uint32_t want, next, connecting, live, handles; /* connections [0, want) are wanted up */
    uint64_t messages, wrong, recovered, declared, unsubscribed, refused;
    struct crowd_codes closes; /* 1006: without a close frame */
    char error[256];           /* the first thing that should not happen */
    struct sockaddr_storage addrs[CLIENT_SERVERS_MAX];
    char hosts[CLIENT_SERVERS_MAX][CLIENT_HOST_MAX + 16];
    uint32_t addr_count, source;
    uint8_t read_buf[64 * 1024];
};

/* false: crowd->error says why. */
bool crowd_init(struct crowd *c, uv_loop_t *loop, const struct crowd_options *o);
/* Connects all that are down; the loop does it. */
void crowd_open(struct crowd *c);
/* Closes all without a word, as when their host dies. */
void crowd_drop(struct crowd *c);
void crowd_pause(struct crowd *c, bool paused); /* all stop reading, or read again */
void crowd_count(struct crowd *c);              /* counts from zero */
/* Queues one publish for crowd_flush(); false: the socket took too little lately, nothing is
 * queued. */
bool crowd_publish(struct crowd_conn *c, struct dun_slice channel, struct dun_slice data,
                   uint32_t id);
void crowd_flush(struct crowd *c); /* tries what sockets did not take once more */
/* The loop must have run until handles is 0. */
void crowd_deinit(struct crowd *c);

uint64_t crowd_now_ns(void); /* monotonic, the same in all processes of this host */

#endif
