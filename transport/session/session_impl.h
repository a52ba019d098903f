/* transport/session/session_impl.h: what the protocols of this folder share. */
#ifndef DUN_TRANSPORT_SESSION_IMPL_H
#define DUN_TRANSPORT_SESSION_IMPL_H

#include "base/alloc.h"
#include "base/assert.h"
#include "transport/session/session.h"

#include <stdio.h>

/* How a message looks on the wire; one encoding per message each. */
enum session_encoding { SESSION_ENC_NONE, SESSION_ENC_WS_JSON, SESSION_ENC_SSE, SESSION_ENC_COUNT };

enum {
    SESSION_EPOCH_MAX = 17,     /* 16 hex digits and NUL */
    SESSION_EXPIRE_GRACE_S = 25 /* a client refreshes exactly at its ttl, so be patient */
};

struct session_gap {
    enum cmd_gap reason;
    uint64_t from, to;
};

struct session_proto {
    const char *name;
    enum session_encoding encoding;
    bool client; /* counts as a connected client */
    /* Works on what it can of @data[len]; returns the bytes used. May change s->proto; the new
     * protocol then gets the rest. */
    size_t (*input)(struct session *s, uint8_t *data, size_t len);
    bool (*wants_read)(const struct session *s); /* NULL: yes */
    void (*timer)(struct session *s);            /* due_s has passed; it is to be armed again */
    void (*close)(struct session *s, enum cmd_close why);
    /* Appends @m as it goes on the wire. */
    void (*encode)(const struct store_msg *m, bool history, struct dun_buf *out);
    /* Continuity of @sub is broken; tell the client and end the subscription. */
    void (*lost)(struct session *s, struct session_sub *sub, const struct session_gap *gap);
    /* A parked subscription has its answer now; see session_sub_start. */
    void (*started)(struct session *s, struct session_sub *sub);
    /* The publish with tag @tag is decided. */
    void (*replied)(struct session *s, uint32_t tag, const struct node_reply *r);
    void (*deinit)(struct session *s);
};

extern const struct session_proto session_http;
extern const struct session_proto session_ws;
extern const struct session_proto session_sse;

/* ---- session.c ---- */

/* Takes the reference. */
void session_out_add(struct session *s, struct dun_blob *blob);
void session_out_copy(struct session *s, struct dun_slice bytes);
void session_arm(struct session *s, uint64_t at_s); /* monotonic seconds */
static inline uint64_t session_now_s(const struct session_hub *h)
{
    return h->now_ms / 1000;
}
/* No more output; see enum session_phase. @wait_s for the client's end. */
void session_finish(struct session *s, uint32_t wait_s);
void session_abort(struct session *s);
/* Goes on with held input, after an answer that was waited for. */
void session_resume(struct session *s);
void session_mark_dirty(struct session *s);
void session_hub_free_chunks(struct session_hub *h);

/* ---- session_pace.c ---- */

void session_pace_init(struct session_pace *p);
/* A publish of this hub was committed in @group, so long after it was sent on. */
void session_pace_committed(struct session_hub *h, uint32_t group, uint32_t took_ms);
/* true: its input must wait; it is in hub->held now. */
bool session_pace_holds(struct session *s);
void session_pace_published(struct session *s); /* it sent one on */
/* false: do not read from it, for now. */
bool session_pace_reads(struct session *s);
void session_pace_release(struct session *s); /* takes it out of hub->held */
/* Is it held, or was it within the last second? Then what it sent may be unread yet. */
bool session_pace_held(const struct session *s);

/* ---- session_hub.c ---- */

struct session_channel {
    struct dun_map_node node;
    struct session_sub *subs;
    const struct store_namespace *ns;
    uint32_t group, sub_count;
    uint32_t name_len;
    bool history; /* the namespace keeps one, so publications bear offsets */
    char name[];
};

static inline struct dun_slice session_channel_name(const struct session_channel *c)
{
    return dun_slice(c->name, c->name_len);
}

struct session_channel *session_hub_find(const struct session_hub *h, struct dun_slice channel);
struct session_channel *session_hub_channel(struct session_hub *h, struct dun_slice channel,
                                            const struct store_namespace *ns);
void session_hub_release(struct session_hub *h, struct session_channel *c); /* if unused */
/* Puts @s in the queue of those whose cursors are behind. */
void session_hub_lag(struct session *s);
void session_hub_unlag(struct session *s);

/* ---- session_sub.c ---- */

enum { SESSION_SUB_PARK_MS = 3000 /* a view change brings a lagging log up in less */ };

struct session_sub {
    struct session_sub *next; /* of its session */
    struct session *owner;
    struct session_channel *channel;
    struct session_sub *peer_next, **peer_link; /* of its channel */
    uint64_t seq, epoch;
    uint32_t expires_s; /* wall clock; 0 = never */
    bool recoverable, positioned;
    bool behind; /* the log has more for it */
    bool joined; /* announced, and listed in presence */
    bool joins;  /* gets and causes join and leave pushes */
    struct session_parked *parked;
    struct dun_blob *chan_info; /* raw JSON of its token; NULL = none */
};

struct session_resume {
    bool recover; /* a position was given */
    struct dun_slice epoch;
    uint64_t seq;
    uint32_t inline_max; /* messages wanted in the answer itself */
};

/* The answer to a subscribe. */
struct session_start {
    uint64_t epoch, top;
    bool recovered;
    struct session_gap gap;  /* reason NONE: none */
    struct store_msg **msgs; /* count references, to be dropped with session_start_deinit */
    uint32_t count;
    bool ahead; /* the client has seen more than this peer's log holds as yet */
};

/* A subscribe that waits until this peer's log has what the client saw elsewhere. */
struct session_parked {
    uint32_t id; /* the command's */
    uint64_t until_ms;
    uint64_t seq;
    int64_t flag;
    char epoch[SESSION_EPOCH_MAX];
};

struct session_sub *session_sub_find(const struct session *s, struct dun_slice channel);
/* A live cursor that is registered for delivery, not yet placed. */
struct session_sub *session_sub_create(struct session *s, struct dun_slice channel,
                                       const struct store_namespace *ns);
void session_sub_destroy(struct session_sub *sub);
/* Places the cursor by this peer's own log and fills the answer. */
void session_sub_start(struct session_sub *sub, const struct session_resume *r,
                       struct session_start *out);
void session_start_deinit(struct session_start *st);
/* Keep @sub waiting; s->proto->started() comes when it can be answered. */
void session_sub_park(struct session_sub *sub, uint32_t id, const struct session_resume *r,
                      int64_t flag);
/* Something about the log or the time changed. */
void session_sub_unpark(struct session_sub *sub);
/* A message that may be the cursor's next. @blobs: encodings made so far. */
void session_sub_offer(struct session_sub *sub, const struct store_msg *m,
                       struct dun_blob *blobs[SESSION_ENC_COUNT]);
/* Reads up to @max messages from the log, or until it is caught up or the client has enough to
 * read; returns the work done: messages and SESSION_PUMP_UNITs of bytes, at least 1. The
 * subscription may be gone afterwards. */
uint32_t session_sub_catch_up(struct session_sub *sub, uint32_t max);
void session_epoch_text(uint64_t epoch, char out[SESSION_EPOCH_MAX]);
bool session_epoch_is(struct dun_slice text, uint64_t epoch);

/* ---- session_pending.c ---- */

/* Errors: DUN_E_OVERLOADED nothing is in flight then. */
dun_err session_submit(struct session *s, uint32_t tag,
                       const struct session_publish *p) DUN_MUST_USE;
void session_pending_drop(struct session *s); /* the session no longer cares */

/* ---- session_perm.c ---- */

struct session_user {
    struct dun_slice user; /* "" = anonymous */
    bool insecure;
};
enum session_right { SESSION_SUBSCRIBE, SESSION_PUBLISH, SESSION_HISTORY, SESSION_PRESENCE };

const struct store_namespace *session_ns(const struct session_hub *h, struct dun_slice channel);
/* @subscribed: it is subscribed to the channel. No tokens here. */
bool session_may(const struct session_user *u, enum session_right right,
                 const struct store_namespace *ns, struct dun_slice channel, bool subscribed);
/* Is a browser page of @origin welcome? */
bool session_origin_ok(const struct session_options *o, struct dun_slice origin,
                       struct dun_slice host);
bool session_equal_secret(struct dun_slice given, const char *want); /* constant time */

/* ---- what HTTP hands on to ---- */

struct http_request;
bool session_ws_upgrade(struct session *s, const struct http_request *req); /* false: answered */
void session_sse_begin(struct session *s, const struct http_request *req, struct dun_slice channel);
struct session_api_call;
/* Answered now or, after session_http_wait(), later. */
void session_api_request(struct session *s, const struct http_request *req,
                         struct dun_slice method);
void session_api_replied(struct session *s, struct session_api_call *call, uint32_t tag,
                         const struct node_reply *r);
void session_api_presence(struct session *s, enum cmd_error code, bool stats,
                          const struct cmd_client_info *list, uint32_t count, uint32_t users);
void session_api_destroy(struct session_api_call *call);
struct session_api_call *session_http_call(struct session *s); /* what it waits for */
void session_http_wait(struct session *s, struct session_api_call *call);
void session_http_answer(struct session *s, int status, const char *content_type,
                         struct dun_slice body, const char *extra_headers);
void session_pages(struct session *s, const struct http_request *req); /* /, /metrics, ... */

/* One publication as the codec wants it; slices borrow from @m. */
struct cmd_publication session_publication(const struct store_msg *m, bool history);

/* ---- session_history.c ---- */

/* History of a channel as commands ask for it. */
struct session_history {
    struct store_msg **msgs;
    struct cmd_publication *pubs;
    uint32_t count;
    uint64_t epoch, top;
    char epoch_text[SESSION_EPOCH_MAX];
};
/* Up to @max publications and DUN_HISTORY_REPLY_BYTES_MAX bytes, but one at least if there is one.
 * A contiguous piece of the log from where the question begins, whatever happens meanwhile.
 * Errors: DUN_E_CONFLICT another epoch (112); DUN_E_MALFORMED reverse from 0 (107). */
dun_err session_history_read(struct session_hub *h, const struct cmd_history *q, uint32_t max,
                             struct session_history *out) DUN_MUST_USE;
void session_history_deinit(struct session_history *o);

/* ---- session_presence.c ---- */

void session_presence_joined(struct session_sub *sub);
void session_presence_left(struct session_sub *sub);
void session_presence_tick(struct session_hub *h);
void session_presence_forget(struct session *s); /* it waits for no answer any more */
void session_presence_deinit(struct session_hub *h);
/* The answer comes by session_cmd_presence (WebSocket) or session_api_presence (HTTP), maybe
 * before this returns. Errors: DUN_E_OVERLOADED. */
dun_err session_presence_ask(struct session *s, uint32_t id, bool stats,
                             struct dun_slice channel) DUN_MUST_USE;

/* The protocol's code for a publish that failed. */
enum cmd_error session_error_of(dun_err e);

#endif
