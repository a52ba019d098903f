/* transport/codec/cmd_client.h: the client protocol from the client's side.
 * Why: the C client library, the tool and the tests speak it to any server.
 * The same types as in cmd.h are used wherever they fit. */
#ifndef DUN_TRANSPORT_CODEC_CMD_CLIENT_H
#define DUN_TRANSPORT_CODEC_CMD_CLIENT_H

#include "transport/codec/cmd.h"

/* Append one command without a newline; several go into one message with '\n'
 * between. Empty slices and zero values are left out. @id > 0. */
void cmd_client_connect(struct dun_buf *b, uint32_t id, const struct cmd_connect *r);
void cmd_client_subscribe(struct dun_buf *b, uint32_t id, const struct cmd_subscribe *r);
void cmd_client_unsubscribe(struct dun_buf *b, uint32_t id, struct dun_slice channel);
void cmd_client_publish(struct dun_buf *b, uint32_t id, struct dun_slice channel,
                        struct dun_slice data);
void cmd_client_history(struct dun_buf *b, uint32_t id, const struct cmd_history *r);
void cmd_client_presence(struct dun_buf *b, uint32_t id, struct dun_slice channel);
void cmd_client_presence_stats(struct dun_buf *b, uint32_t id, struct dun_slice channel);
void cmd_client_rpc(struct dun_buf *b, uint32_t id, struct dun_slice method, struct dun_slice data);
void cmd_client_refresh(struct dun_buf *b, uint32_t id, struct dun_slice token);
void cmd_client_sub_refresh(struct dun_buf *b, uint32_t id, struct dun_slice channel,
                            struct dun_slice token);
void cmd_client_pong(struct dun_buf *b); /* {} */

enum cmd_reply_type {
    CMD_REPLY_PING,   /* {} */
    CMD_REPLY_ERROR,  /* id and error */
    CMD_REPLY_RESULT, /* id and a result; see `result` for which */
    CMD_REPLY_PUB,    /* the rest are pushes */
    CMD_REPLY_JOIN,
    CMD_REPLY_LEAVE,
    CMD_REPLY_UNSUBSCRIBE,
    CMD_REPLY_SUBSCRIBE,
    CMD_REPLY_MESSAGE,
    CMD_REPLY_DISCONNECT,
    CMD_REPLY_OTHER, /* a push this client does not know: ignore it */
};

struct cmd_reply_error { /* also unsubscribe and disconnect pushes */
    uint32_t code;
    struct dun_slice message;
    bool temporary;
};

/* A subscribe result or subscribe push; publications are walked with
 * cmd_client_next_publication after json_array(publications, &it). */
struct cmd_reply_subscribe {
    bool recoverable, positioned, was_recovering, recovered, expires;
    uint32_t ttl_s;
    struct dun_slice epoch;
    uint64_t offset;
    struct dun_slice data;         /* raw JSON; empty = absent */
    struct dun_slice publications; /* raw JSON array; "[]" if absent */
    struct dun_slice gap_reason;   /* empty = no gap field */
    uint64_t gap_from, gap_to;
};

struct cmd_reply_connect {
    struct dun_slice client, version, session, node;
    bool expires, pong;
    uint32_t ttl_s, ping_s;
    struct dun_slice data; /* raw JSON; empty = absent */
    struct dun_slice subs; /* raw JSON object; "{}" if absent */
};

struct cmd_reply_history {
    struct dun_slice publications; /* raw JSON array */
    struct dun_slice epoch;
    uint64_t offset;
};

struct cmd_reply {
    uint32_t id; /* 0 for pings and pushes */
    enum cmd_reply_type type;
    enum cmd_type result;     /* for CMD_REPLY_RESULT */
    struct dun_slice channel; /* for pushes */
    union {
        struct cmd_reply_error error; /* ERROR, UNSUBSCRIBE, DISCONNECT */
        struct cmd_reply_connect connect;
        struct cmd_reply_subscribe subscribe; /* result or push */
        struct cmd_reply_history history;
        struct cmd_publication publication; /* PUB */
        struct cmd_client_info info;        /* JOIN, LEAVE */
        struct dun_slice raw;               /* presence map; rpc and MESSAGE data */
        struct {
            uint32_t num_clients, num_users;
        } presence_stats;
        struct {
            bool expires;
            uint32_t ttl_s;
        } refresh; /* refresh, sub_refresh */
    };
};

/* Decode one line of a server's message (split with cmd_next_line). @scratch
 * and errors as in cmd_decode. */
DUN_MUST_USE dun_err cmd_client_decode(struct dun_slice line, struct dun_buf *scratch,
                                       struct cmd_reply *out);
/* DUN_OK: the next publication. DUN_E_GONE: the end. DUN_E_MALFORMED: it is not
 * one. Strings are decoded into @scratch as in json_get_string. */
DUN_MUST_USE dun_err cmd_client_next_publication(struct json_iter *it, struct dun_buf *scratch,
                                                 struct cmd_publication *out);

#endif
