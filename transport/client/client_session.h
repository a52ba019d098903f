/* transport/client/client_session.h: the client's protocol machine, sans-I/O.
 * Source: protocol.md, sections 1 to 10 and 14. Bytes and time come in, bytes
 * and calls of the handlers go out; sockets are client.c's business.
 *
 *   IDLE -> UPGRADING -> CONNECTING -> READY
 *     ^________|_____________|__________|   (end: see client_session.end)
 *
 * (1) Subscriptions outlive connections: after each reconnect all of them are
 *     sent again in the same message as connect, with their saved positions.
 * (2) A saved position is (epoch, seq) of the last message handed to the
 *     application; it moves only forward with what was handed over.
 * (3) Nothing is deduplicated or sorted: the server promises consecutive
 *     numbers. What breaks that promise is reported through `gap`, then handed on.
 * (4) Each request gets exactly one answer: reply, error, timeout or closed.
 *
 * Handlers and callbacks may subscribe, unsubscribe, publish and ask for
 * history, but not deinit the session or feed it. Slices they get are borrowed
 * until they return. */
#ifndef DUN_TRANSPORT_CLIENT_CLIENT_SESSION_H
#define DUN_TRANSPORT_CLIENT_CLIENT_SESSION_H

#include "base/limits.h"
#include "base/prng.h"
#include "transport/client/client_backoff.h"
#include "transport/codec/cmd_client.h"
#include "transport/codec/ws.h"

enum {
    CLIENT_EPOCH_MAX = 64,
    CLIENT_INFLIGHT_MAX = 1024,                /* requests without an answer; a power of two */
    CLIENT_SUBS_MAX = DUN_CLIENT_CHANNELS_MAX, /* the server refuses more */
    CLIENT_BATCH_SOFT_MAX = 32 * 1024, /* commands in one message; the server takes 64 KiB */
    CLIENT_MESSAGE_MAX = 32 << 20,     /* a recovered list: 300 full publications in one reply */
    CLIENT_HANDSHAKE_MS = 5000,        /* upgrade and connect together */
    CLIENT_REQUEST_MS = 5000,          /* as all SDKs */
    CLIENT_PING_GRACE_MS = 10 * 1000,  /* silence beyond the ping interval, or a second one */
};

struct client_position {
    char epoch[CLIENT_EPOCH_MAX + 1];
    uint64_t seq;
};

enum client_sub_state { CLIENT_SUB_WANTED, CLIENT_SUB_ASKED, CLIENT_SUB_LIVE };

struct client_sub {
    char channel[DUN_CHANNEL_MAX + 1];
    struct client_position at;
    enum client_sub_state state;
    bool has_position; /* recover from `at` at the next subscribe */
    bool removed;      /* unsubscribed by the application, waiting to be freed */
    uint64_t retry_ms; /* WANTED: not before this time; 0 = at once */
    struct client_backoff backoff;
    void *user; /* the application's */
};

struct client_message {
    struct dun_slice data;       /* raw JSON */
    struct dun_slice tags, info; /* raw JSON; empty = none */
    uint64_t seq;                /* 0 = channel without history */
    uint64_t time_ms;            /* 0 = not told */
    bool recovered;              /* part of a recovery, not live */
};

struct client_subscribed {
    bool was_recovering, recovered;
    uint64_t recovered_count;
};

enum client_gap_kind {
    CLIENT_GAP_UNRECOVERED, /* the server says it cannot recover */
    CLIENT_GAP_SKIPPED,     /* seq jumped: the server broke its promise */
    CLIENT_GAP_REPEATED,    /* seq did not grow: likewise */
};

struct client_gap {
    enum client_gap_kind kind;
    uint64_t from, to;       /* first and last seq concerned; from > to = unknown */
    struct dun_slice reason; /* the server's word or ours */
};

struct client_handlers {
    void *ctx;
    /* All may be NULL. */
    void (*connected)(void *ctx, struct dun_slice client_id);
    void (*subscribed)(void *ctx, struct client_sub *sub, const struct client_subscribed *how);
    void (*message)(void *ctx, struct client_sub *sub, const struct client_message *m);
    void (*gap)(void *ctx, struct client_sub *sub, const struct client_gap *g);
    /* Final; @sub is freed when it returns. */
    void (*unsubscribed)(void *ctx, struct client_sub *sub, uint32_t code, struct dun_slice reason);
};

/* e: DUN_OK and @reply the result; DUN_E_DENIED the server's error in code and text (temporary
 * says whether to try again); DUN_E_TIMEOUT, DUN_E_CLOSED: the outcome is unknown. */
struct client_answer {
    dun_err e;
    uint32_t code;
    bool temporary;
    struct dun_slice text;
    const struct cmd_reply *reply; /* NULL unless DUN_OK */
};
typedef void (*client_answer_cb)(void *ctx, const struct client_answer *a);

enum client_state { CLIENT_IDLE, CLIENT_UPGRADING, CLIENT_CONNECTING, CLIENT_READY };

struct client_end {
    bool ended;     /* this connection is over: write `out`, then close the socket */
    bool terminal;  /* and do not come back */
    int code;       /* WebSocket close code or error code; 0 = none */
    char text[256]; /* why, for people */
};

struct client_request {
    uint32_t id; /* 0 = free slot */
    enum cmd_type type;
    uint64_t deadline_ms;
    struct client_sub *sub;
    client_answer_cb cb;
    void *ctx;
};

struct client_session {
    /* options: set before client_session_open */
    char *token; /* JWT or NULL; ours */
    struct client_handlers handlers;

    enum client_state state;
    struct client_end end;
    struct dun_buf out; /* bytes for the socket; the adapter drops what it wrote */
    uint64_t now_ms;    /* of the current entry */

    /* private */
    struct dun_prng *prng;
    struct dun_buf batch;   /* command lines of the message being gathered */
    struct dun_buf in;      /* received, not yet a whole frame */
    struct dun_buf message; /* fragments so far */
    struct dun_buf scratch;
    struct http_reader http;
    char key[WS_KEY_LEN + 1];
    bool in_message; /* a fragmented message is open */
    uint32_t next_id, oldest_id;
    uint32_t connect_id;
    uint32_t ping_ms; /* 0 = the server does not ping */
    bool pong;
    uint64_t heard_ms, handshake_ms;
    struct client_request requests[CLIENT_INFLIGHT_MAX]; /* slot = id mod size */
    struct client_sub *subs[CLIENT_SUBS_MAX];
    uint32_t sub_count;
    uint32_t depth; /* nested entries; removed subscriptions are freed at 0 */
};

/* @prng borrowed for the session's life; seed it from the system's chance, as
 * it makes the WebSocket masks. */
void client_session_init(struct client_session *s, const struct client_handlers *h,
                         const char *token, struct dun_prng *prng);
void client_session_deinit(struct client_session *s);

/* A socket is connected (state IDLE): starts the upgrade. @host for the Host
 * header, @path the URL's prefix. */
void client_session_open(struct client_session *s, uint64_t now_ms, const char *host,
                         const char *path);
/* Bytes from the socket. Look at s->end afterwards. */
void client_session_recv(struct client_session *s, uint64_t now_ms, const uint8_t *data,
                         size_t len);
/* Time passes: timeouts, retries. Call at client_session_deadline_ms. */
void client_session_tick(struct client_session *s, uint64_t now_ms);
uint64_t client_session_deadline_ms(const struct client_session *s); /* UINT64_MAX = none */
/* Puts the gathered commands into `out`; call once per loop iteration. */
void client_session_flush(struct client_session *s);
/* The connection ends from our side with this text. */
void client_session_fail(struct client_session *s, const char *text);
/* The socket is gone: answers all requests with DUN_E_CLOSED, state IDLE. */
void client_session_lost(struct client_session *s, uint64_t now_ms);
/* Says goodbye (close 1000) on an open connection; subscriptions stay. */
void client_session_bye(struct client_session *s);

/* In any state; sent as soon as there is a connection. @since NULL: from now on.
 * Errors: DUN_E_TOO_BIG channel name, DUN_E_MALFORMED empty or not UTF-8, DUN_E_CONFLICT
 * already subscribed, DUN_E_FULL. */
dun_err client_session_subscribe(struct client_session *s, const char *channel,
                                 const struct client_position *since, void *user,
                                 struct client_sub **out) DUN_MUST_USE;
/* @sub is not valid afterwards; no handler runs for it any more. */
void client_session_unsubscribe(struct client_session *s, struct client_sub *sub);

/* READY only. @data: JSON that json_check accepts (asserted in the codec's way: not checked here).
 * Errors, @cb not called then: DUN_E_CLOSED not READY, DUN_E_FULL, DUN_E_TOO_BIG. */
dun_err client_session_publish(struct client_session *s, uint64_t now_ms, struct dun_slice channel,
                               struct dun_slice data, client_answer_cb cb, void *ctx) DUN_MUST_USE;
dun_err client_session_history(struct client_session *s, uint64_t now_ms,
                               const struct cmd_history *what, client_answer_cb cb,
                               void *ctx) DUN_MUST_USE;

/* ---- between client_session.c and client_session_reply.c ---- */
void client_session_message(struct client_session *s, struct dun_slice text);
void client_session_end(struct client_session *s, bool terminal, int code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void client_session_ask(struct client_session *s, struct client_sub *sub);
/* The request with that id, taken out of the table into *out. */
bool client_session_take(struct client_session *s, uint32_t id, struct client_request *out);
void client_session_drop_sub(struct client_session *s, struct client_sub *sub);

#endif
