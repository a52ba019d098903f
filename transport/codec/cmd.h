/* transport/codec/cmd.h: the Centrifuge client protocol v2 in JSON, server side.
 * Source: protocol.md, sections 2 to 10. cmd.c decodes, cmd_write.c encodes;
 * cmd_client.h is the other direction.
 * (1) A decoded command borrows from the line and from the scratch buffer.
 * (2) `data`, `info`, `tags` are raw JSON text, validated once, never printed
 *     anew; writers only drop raw CR and LF from them.
 * (3) Writers append exactly one JSON object without a newline. Whoever packs
 *     several into one WebSocket message puts one '\n' between them.
 * (4) Zero values are left out, but for what protocol.md section 2 lists. */
#ifndef DUN_TRANSPORT_CODEC_CMD_H
#define DUN_TRANSPORT_CODEC_CMD_H

#include "transport/codec/cmd_codes.h"
#include "transport/codec/json.h"

enum cmd_type {
    CMD_CONNECT,
    CMD_SUBSCRIBE,
    CMD_UNSUBSCRIBE,
    CMD_PUBLISH,
    CMD_PRESENCE,
    CMD_PRESENCE_STATS,
    CMD_HISTORY,
    CMD_PING,
    CMD_SEND,
    CMD_RPC,
    CMD_REFRESH,
    CMD_SUB_REFRESH,
    CMD_PONG, /* no id and no `send` */
    CMD_TYPE_COUNT,
};

/* The member's name in commands and replies; CMD_PONG has none (asserted). */
const char *cmd_type_name(enum cmd_type type);
/* The type whose member has this raw key; false if there is none. */
bool cmd_type_of_key(struct dun_slice key, enum cmd_type *type);

/* ---- requests ---- */

struct cmd_connect {
    struct dun_slice token, name, version; /* decoded; empty = absent */
    struct dun_slice data;                 /* raw JSON; empty = absent */
    struct dun_slice subs;                 /* raw JSON object; see cmd_next_sub */
};

struct cmd_subscribe {
    struct dun_slice channel, token;
    struct dun_slice data; /* raw JSON; empty = absent */
    struct dun_slice epoch;
    uint64_t offset;
    bool recover, positioned, recoverable, join_leave;
    int64_t flag; /* CMD_FLAG_* */
    int64_t type; /* 0 = stream; others are not for us (error 108) */
    struct dun_slice delta;
    struct dun_slice tf; /* raw JSON; empty = absent */
};

enum { CMD_FLAG_CHANNEL_IDS = 1, CMD_FLAG_ERROR_UNRECOVERED = 2 };

struct cmd_publish {
    struct dun_slice channel;
    struct dun_slice data; /* raw JSON; empty = absent (error 107) */
};

struct cmd_history {
    struct dun_slice channel;
    int32_t limit; /* 0 = position only; negative = all */
    bool has_since, reverse;
    uint64_t since_offset;
    struct dun_slice since_epoch; /* empty = not checked */
};

struct cmd_channel { /* unsubscribe, presence, presence_stats */
    struct dun_slice channel;
};

struct cmd_send {
    struct dun_slice data; /* raw JSON; empty = absent */
};

struct cmd_rpc {
    struct dun_slice method;
    struct dun_slice data; /* raw JSON; empty = absent */
};

struct cmd_refresh { /* refresh has no channel */
    struct dun_slice channel, token;
};

struct cmd {
    uint32_t id; /* 0 for PONG, and allowed for SEND */
    enum cmd_type type;
    union {
        struct cmd_connect connect;
        struct cmd_subscribe subscribe;
        struct cmd_channel unsubscribe, presence, presence_stats;
        struct cmd_publish publish;
        struct cmd_history history;
        struct cmd_send send;
        struct cmd_rpc rpc;
        struct cmd_refresh refresh, sub_refresh;
    };
};

/* Take the next line off *rest, without the newline and whitespace around it;
 * blank lines are skipped. False when nothing is left. */
bool cmd_next_line(struct dun_slice *rest, struct dun_slice *line);

/* Decode one line. Escaped strings are decoded behind what @scratch holds; room
 * for all of them is reserved first, so the slices of THIS command stay valid
 * until @scratch is next written. Empty @scratch (len = 0) between commands.
 * Unknown members are ignored, null counts as absent (but is a value for
 * `data`), duplicates: the last one wins.
 * Errors: DUN_E_MALFORMED not one JSON object, a member of the wrong type, no
 * or several known members, an id where none may be missing; DUN_E_TOO_BIG too
 * deep. Both mean close 3501. Limits on names, payloads and permissions are the
 * caller's, as each has its own error code. */
DUN_MUST_USE dun_err cmd_decode(struct dun_slice line, struct dun_buf *scratch, struct cmd *out);

/* Walk connect's `subs`: start with json_object(subs, &it). DUN_OK: *out has
 * channel, recover, epoch, offset and so on. DUN_E_GONE: the end.
 * DUN_E_MALFORMED: close 3501. @scratch as in json_get_string. */
DUN_MUST_USE dun_err cmd_next_sub(struct json_iter *it, struct dun_buf *scratch,
                                  struct cmd_subscribe *out);

/* ---- results and pushes ---- */

struct cmd_publication {
    struct dun_slice data;  /* raw JSON, not empty */
    struct dun_slice tags;  /* raw JSON object of strings; empty = none */
    struct dun_slice info;  /* raw JSON ClientInfo; empty = none */
    uint64_t offset;        /* 0 = channel without history */
    uint64_t time_ms;       /* 0 = left out */
    struct dun_slice epoch; /* left out when empty; the reference sends it with offset 1 */
};

struct cmd_client_info {
    struct dun_slice user, client;         /* text, always written */
    struct dun_slice conn_info, chan_info; /* raw JSON; empty = none */
};

/* What is missing after a failed recovery; an extra field that SDKs ignore. */
enum cmd_gap {
    CMD_GAP_NONE,
    CMD_GAP_EXPIRED,
    CMD_GAP_EVICTED,
    CMD_GAP_EPOCH_CHANGED,
    CMD_GAP_OVER_LIMIT
};

struct cmd_subscribe_result {
    bool recoverable, positioned, was_recovering, recovered, expires, delta;
    struct dun_slice epoch;
    uint64_t offset;
    uint32_t ttl_s;        /* written whenever expires is set */
    struct dun_slice data; /* raw JSON; empty = none */
    const struct cmd_publication *publications;
    size_t publication_count;  /* only when recovered (asserted with was_recovering) */
    enum cmd_gap gap;          /* reason; NONE = no gap field */
    uint64_t gap_from, gap_to; /* first and last offset that is missing */
};

struct cmd_connect_sub {
    struct dun_slice channel;
    struct cmd_subscribe_result result;
};

struct cmd_connect_result {
    struct dun_slice client, version; /* client must not be empty */
    bool expires, pong;
    uint32_t ttl_s;        /* written whenever expires is set */
    uint32_t ping_s;       /* whole seconds; 0 leaves it out (WebSocket pings) */
    struct dun_slice data; /* raw JSON; empty = none */
    const struct cmd_connect_sub *subs;
    size_t sub_count;
    struct dun_slice session, node; /* emulation only; empty = none */
    uint64_t time_ms;               /* 0 = left out */
};

struct cmd_history_result {
    const struct cmd_publication *publications;
    size_t publication_count;
    struct dun_slice epoch;
    uint64_t offset;
};

/* Replies. @id > 0. */
void cmd_write_connect(struct dun_buf *b, uint32_t id, const struct cmd_connect_result *r);
void cmd_write_subscribe(struct dun_buf *b, uint32_t id, const struct cmd_subscribe_result *r);
void cmd_write_history(struct dun_buf *b, uint32_t id, const struct cmd_history_result *r);
void cmd_write_presence(struct dun_buf *b, uint32_t id, const struct cmd_client_info *list,
                        size_t count);
void cmd_write_presence_stats(struct dun_buf *b, uint32_t id, uint32_t num_clients,
                              uint32_t num_users);
void cmd_write_rpc(struct dun_buf *b, uint32_t id, struct dun_slice data);
/* @type CMD_REFRESH or CMD_SUB_REFRESH. @ttl_s is written when @expires. */
void cmd_write_refresh(struct dun_buf *b, uint32_t id, enum cmd_type type, bool expires,
                       uint32_t ttl_s);
/* {"id":7,"publish":{}}: for unsubscribe, publish and others without fields. */
void cmd_write_empty(struct dun_buf *b, uint32_t id, enum cmd_type type);
void cmd_write_error(struct dun_buf *b, uint32_t id, enum cmd_error code);
/* The same with `temporary` set whatever the table says (e.g. 108 never is). */
void cmd_write_error_as(struct dun_buf *b, uint32_t id, enum cmd_error code, bool temporary);
void cmd_write_ping(struct dun_buf *b); /* {} */

/* Pushes, {"push":{...}}. The encoding depends on nothing but the arguments, so
 * it is made once and sent to every subscriber. */
void cmd_write_pub_push(struct dun_buf *b, struct dun_slice channel,
                        const struct cmd_publication *pub);
void cmd_write_join_push(struct dun_buf *b, struct dun_slice channel,
                         const struct cmd_client_info *info);
void cmd_write_leave_push(struct dun_buf *b, struct dun_slice channel,
                          const struct cmd_client_info *info);
void cmd_write_unsubscribe_push(struct dun_buf *b, struct dun_slice channel, enum cmd_unsub code);
void cmd_write_disconnect_push(struct dun_buf *b, enum cmd_close code);
void cmd_write_subscribe_push(struct dun_buf *b, struct dun_slice channel,
                              const struct cmd_subscribe_result *r);
void cmd_write_connect_push(struct dun_buf *b, const struct cmd_connect_result *r); /* uni */
/* The object inside {"push":...}, which is what unidirectional transports send
 * (protocol.md section 16). @push is what one of the functions above wrote. */
struct dun_slice cmd_push_bare(struct dun_slice push);

/* Parts of the above, for other protocols (SSE, the HTTP API). */
void cmd_write_publication(struct dun_buf *b, const struct cmd_publication *pub);
void cmd_write_publications(struct dun_buf *b, const struct cmd_publication *pubs, size_t count);
void cmd_write_client_info(struct dun_buf *b, const struct cmd_client_info *info);
void cmd_write_presence_map(struct dun_buf *b, const struct cmd_client_info *list, size_t count);
const char *cmd_gap_text(enum cmd_gap gap); /* "expired", ...; not NONE */

#endif
