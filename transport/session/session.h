/* transport/session/session.h: one client's protocol machine.
 * Why: what a client may do and what it is owed does not depend on sockets, so
 * it is sans-I/O: bytes and events in, bytes out. HTTP, WebSocket and SSE are
 * each one struct session_proto; a further protocol adds one and touches none
 * of the others.
 *
 * A hub is one worker's share: its sessions, its table channel -> subscribers.
 * (1) A subscription is a cursor (channel, epoch, seq); what is written to a
 *     client in a channel is exactly the log after the cursor, in order.
 * (2) There is no send queue per subscriber: a session with unsent bytes
 *     (session_blocked) stops consuming and catches up from the log.
 * (3) A message is encoded once per worker and protocol, when first needed.
 * (4) After session_deinit() nothing of the hub points to the session.
 *
 * Threads: a hub and its sessions belong to one thread. The store is read under
 * ops.log_lock. Time: the caller sets it with session_hub_time() before it
 * hands in what happened. */
#ifndef DUN_TRANSPORT_SESSION_H
#define DUN_TRANSPORT_SESSION_H

#include "base/blob.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/prng.h"
#include "cluster/node.h"
#include "transport/codec/cmd.h"
#include "transport/codec/jwt.h"

enum {
    SESSION_WHEEL_SLOTS = 64, /* seconds; longer than any usual deadline */
    SESSION_KEYS_MAX = 4,
    SESSION_ORIGINS_MAX = 64,
    SESSION_MEMBERS_MAX = 16,  /* peers that info lists */
    SESSION_IOV_MAX = 64,      /* pieces of one gathered write */
    SESSION_OUT_MAX = 1 << 20, /* unsent replies of one client; beyond it we stop reading from it */
    SESSION_OUT_PIECES_MAX =
        8192, /* likewise in pieces, as the smallest cost more than their bytes */
    SESSION_UNREAD_MAX = 64 << 20, /* what the sockets of all clients of a worker did not take */
    SESSION_UNREAD_SHARE = SESSION_UNREAD_MAX / SESSION_OUT_MAX, /* see session_out_room */
    SESSION_UNREAD_MIN = 8 << 10, /* what any client may leave unread in any case */
    SESSION_HELD_MAX = 256 << 20, /* half-read input of all clients of a worker together */
    SESSION_PUMP_MAX = 64,        /* messages read from the log under one lock */
    SESSION_PUMP_UNIT = 4096,     /* bytes that cost as much to copy as a message to encode */
};

struct session_options {
    const char *name, *version; /* this peer's */
    bool insecure;              /* anonymous connects, channels of known namespaces are open */
    const char *api_key;        /* "" = none: the API is open with insecure, else closed */
    struct jwt_key token_keys[SESSION_KEYS_MAX];
    uint32_t token_key_count;
    const char *origins[SESSION_ORIGINS_MAX]; /* "*" = any */
    uint32_t origin_count;
    const struct store_namespace *namespaces;
    uint32_t namespace_count;
    uint32_t group_count, worker_count;
    uint32_t ping_s, pong_s; /* 0 = DUN_PING_S_DEFAULT, DUN_PONG_S_DEFAULT */
    uint32_t stale_s;        /* 0 = 10 */
};

struct session_publish {
    struct dun_slice channel, key, data, tags, info;
};

struct session_member {
    char name[DUN_NAME_MAX + 1];
    char client_addr[DUN_ADDR_MAX + 1];
    enum swim_state state;
    bool voter;
    uint64_t boot;
};

/* Of both planes of the peer links together, since the start. */
struct session_links {
    uint64_t sent_packets, sent_bytes, received_packets, received_bytes;
    uint64_t dropped; /* for want of room */
    uint64_t refused; /* not sealed by our key, replayed, malformed or under a wrong name */
};

/* What the core published last about the peer as a whole. */
struct session_status {
    bool ready;
    char reason[160];
    struct node_status node;
    struct store_stats store;
    struct session_links links;
    struct session_member members[SESSION_MEMBERS_MAX];
    uint32_t member_count;
    uint64_t clients, subscriptions, channels, uptime_s;
    uint64_t published, publish_errors, delivered, accepted, arriving, paced, unread_bytes, shed;
};

struct session_ops {
    void *ctx;
    void (*log_lock)(void *ctx, uint32_t group);
    void (*log_unlock)(void *ctx, uint32_t group);
    /* Hands a publish on; session_hub_replied() gives the answer for @cookie. All borrowed.
     * Errors: DUN_E_OVERLOADED. */
    dun_err (*submit)(void *ctx, uint64_t cookie, const struct session_publish *p);
    void (*status)(void *ctx, struct session_status *out);
    /* Sends opaque bytes to the other workers of @to_name, or with NULL to those of all peers.
     * May be lost. Errors: DUN_E_OVERLOADED. */
    dun_err (*cast)(void *ctx, const char *to_name, struct dun_slice bytes);
};

struct session;
struct session_sub;
struct session_proto;
struct session_pending;
struct session_chunk;
struct session_presence;

/* How many publishes may be in flight; see session_pace.c. */
struct session_pace {
    uint32_t window;       /* of them, in PACE_ONE */
    uint32_t edge;         /* below it the window grows quickly */
    uint32_t wait;         /* smoothed: what commits took of what they may; PACE_ONE is all */
    bool short_of;         /* somebody could have used more */
    uint64_t released_ms;  /* when held ones went on last */
    struct session *going; /* the one that goes on now; NULL: none */
    uint32_t going_most;   /* may have so many in flight */
    uint64_t adjusted_ms, cut_ms; /* when the window was; since the former: */
    uint64_t took_ms, allowed_ms; /* what all commits together took, and might have taken */
    uint64_t floor_at_ms;         /* when the present time for floors began */
    /* The quickest commit of each group in the time before, and in the present one. */
    uint32_t floor_ms[DUN_GROUPS_MAX], floor_next_ms[DUN_GROUPS_MAX];
};

struct session_hub {
    const struct session_options *options;
    const struct store *store;
    struct session_ops ops;
    uint64_t now_ms, wall_ms;
    bool serving;  /* ready: clients may connect and publish */
    bool stopping; /* for good: each HTTP answer is the last of its connection */
    struct dun_prng prng;
    uint8_t hash_key[16];

    struct dun_map channels;
    struct session *wheel[SESSION_WHEEL_SLOTS]; /* every session is in one slot */
    uint64_t wheel_s;                           /* slots up to this second are done */
    struct session *dirty;                      /* has output or a state change for the worker */
    struct session *lagging, **lagging_end;     /* a cursor of theirs is behind; served in turn */
    struct session_chunk *chunks;               /* free ones */
    uint32_t chunk_count;
    uint32_t inline_left; /* messages that answers to subscribes may still hold in this turn */

    struct session_pending *pending;
    uint32_t pending_cap, pending_free, pending_count;
    struct session_pace pace;
    struct session *held, **held_end; /* published more than they may; first come, first served */
    uint8_t worker;                   /* goes into cookies */

    struct dun_buf replies; /* of the input being worked on */
    struct dun_buf encode;  /* one message being encoded */
    struct dun_buf scratch; /* decoded strings of one command */
    struct dun_buf body;    /* one HTTP answer's body */

    struct session_presence *presence;

    size_t held_bytes;      /* room that half-read input takes */
    uint64_t unread_bytes;  /* unsent output of blocked sessions */
    uint32_t blocked_count; /* of them */
    uint64_t shed;          /* sessions ended for having too much of them */
    uint32_t session_count, client_count;
    uint64_t sub_count, delivered, encoded, caught_up, published, publish_errors;
    uint64_t paced; /* times that a session was held */
};

enum session_phase {
    SESSION_OPEN,
    SESSION_FINISHING, /* write what is queued, then end our side, wait for the client's end */
    SESSION_ABORTED    /* close at once */
};

struct session {
    struct session_hub *hub;
    const struct session_proto *proto;
    void *state; /* the protocol's own */
    struct session_sub *subs;
    struct session_chunk *out_head, *out_tail;
    struct session *wheel_next, **wheel_link;
    struct session *dirty_next;
    struct session *lagging_next;
    struct session *held_next, **held_link;
    struct dun_buf in;             /* half-read input; empty while nothing is */
    uint32_t out_bytes, out_count; /* unsent, and in how many pieces */
    uint32_t out_skip;             /* bytes of the first blob that are written */
    uint32_t due_s;
    uint32_t published_ms; /* when it sent its last publish on */
    uint32_t held_s;       /* until when it was held last */
    uint32_t pending;      /* index + 1 of the first request in flight; 0 = none */
    uint16_t sub_count, pending_count;
    uint8_t at_once; /* publishes without a pause; see session_pace.c */
    uint8_t inputs;  /* times that a request or a frame of it was whole; 255: or more */
    uint8_t phase;
    bool is_dirty, is_lagging;
    bool in_input; /* a protocol works on input; it must not be entered again */
    bool blocked;  /* the worker waits for the socket to become writable */
    bool surplus;  /* beyond the connections a worker may have: here to be told so */
};

void session_hub_init(struct session_hub *h, const struct session_options *options,
                      const struct store *store, const struct session_ops *ops, uint8_t worker,
                      uint64_t prng_seed);
/* All sessions must be gone. */
void session_hub_deinit(struct session_hub *h);
/* @now_ms monotonic, @wall_ms since 1970. */
void session_hub_time(struct session_hub *h, uint64_t now_ms, uint64_t wall_ms);

/* ---- events of the peer ---- */

/* Committed messages in the order of their groups' logs. Borrowed. */
void session_hub_deliver(struct session_hub *h, struct store_msg *const *msgs, uint32_t count);
/* The logs of @groups moved by other means: every cursor in them is compared with its log.
 * One walk over all channels, however many groups. */
void session_hub_resync(struct session_hub *h, const bool groups[DUN_GROUPS_MAX]);
void session_hub_replied(struct session_hub *h, const struct node_reply *r);
/* Answers all publishes in flight; their outcome is unknown. */
void session_hub_fail_pending(struct session_hub *h, dun_err e);
/* From another peer's cast. */
void session_hub_heard(struct session_hub *h, const char *from_name, struct dun_slice bytes);
/* Ready or not. Unready: every client is told to reconnect (3011). */
void session_hub_serving(struct session_hub *h, bool serving);
/* Closes up to @max clients for a stop (3001); those with publishes in flight get their answers
 * first and so stay. false: none is left. */
bool session_hub_drain(struct session_hub *h, uint32_t max);
/* Deadlines; call about once a second. */
void session_hub_tick(struct session_hub *h);
/* Lets lagging cursors catch up, a bounded number of messages. true: call again soon. */
bool session_hub_pump(struct session_hub *h);
/* Listens again to those who published too much, as far as they may now. Call it after answers, and
 * when the rest is over. */
void session_hub_pace(struct session_hub *h);
/* How long those rest in any case; 0: they wait for answers, or there is nobody. */
uint64_t session_hub_rest_ms(const struct session_hub *h);
/* Takes the first session that has output or changed phase; NULL: none. */
struct session *session_hub_dirty(struct session_hub *h);

/* ---- one connection ---- */

void session_init(struct session *s, struct session_hub *h); /* begins as HTTP */
void session_deinit(struct session *s);
/* @data may be written to (unmasking). */
void session_receive(struct session *s, uint8_t *data, size_t len);
/* The bytes that one client may leave unread: @max, or a fixed share of what all together still
 * may. So a few slow ones get all they could use, thousands get little each, and the sum is
 * bounded. Source: Choudhury, Hahne, Dynamic Queue Length Thresholds (1998). */
static inline uint32_t session_out_room(const struct session *s, uint32_t max)
{
    uint64_t unread = s->hub->unread_bytes;
    uint64_t left = unread < SESSION_UNREAD_MAX ? SESSION_UNREAD_MAX - unread : 0;
    uint64_t share = left / SESSION_UNREAD_SHARE;
    if (share < SESSION_UNREAD_MIN) share = SESSION_UNREAD_MIN;
    return share < max ? (uint32_t)share : max;
}
/* So much is unsent that the client is not listened to. */
static inline bool session_out_full(const struct session *s)
{
    return s->out_bytes > session_out_room(s, SESSION_OUT_MAX) ||
           s->out_count > SESSION_OUT_PIECES_MAX;
}
/* May the worker read from the client? If not for publishing too fast, it is in hub->held then. */
bool session_wants_read(struct session *s);
/* Ends it as its protocol says (close frame, last event, ...). */
void session_close(struct session *s, enum cmd_close why);

/* Unsent output: up to @max pieces, valid until the next call on @s. */
uint32_t session_out_peek(const struct session *s, struct dun_slice *iov, uint32_t max);
void session_out_consume(struct session *s, size_t bytes);
/* The worker tells whether it waits for the socket; false lets cursors catch up. */
void session_set_blocked(struct session *s, bool blocked);

#endif
