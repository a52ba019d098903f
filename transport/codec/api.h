/* transport/codec/api.h: bodies of the HTTP server API.
 * Source: protocol.md, section 17. Slices borrow from the body and the scratch
 * buffer, as in cmd.h; results are one JSON object without a newline. */
#ifndef DUN_TRANSPORT_CODEC_API_H
#define DUN_TRANSPORT_CODEC_API_H

#include "transport/codec/cmd.h"

/* What publish and broadcast share. */
struct api_publish {
    struct dun_slice channel;         /* decoded, 1..DUN_CHANNEL_MAX bytes; empty for broadcast */
    struct dun_slice data;            /* raw JSON, 1..DUN_PAYLOAD_MAX bytes */
    struct dun_slice tags;            /* raw JSON object of strings; empty = none */
    struct dun_slice idempotency_key; /* up to DUN_KEY_MAX bytes; empty = none */
    bool skip_history;
};

struct api_broadcast {
    struct api_publish publish;
    struct dun_slice channels; /* raw JSON array; see api_next_channel */
    size_t channel_count;      /* 1..DUN_API_CHANNELS_MAX */
};

/* history: limit 0 = position only, negative = all; presence and the like fill
 * the channel only. */
struct api_channel {
    struct dun_slice channel;
};

/* Why a body was refused. */
struct api_refusal {
    enum cmd_error code; /* CMD_ERR_BAD_REQUEST, CMD_ERR_NOT_AVAILABLE, ... */
    const char *detail;  /* static text: which field, what is wrong */
};

/* Decode a body.
 * DUN_E_MALFORMED: not one JSON object (or nested too deep), or a member of the
 *   wrong type: answer HTTP 400 "Bad Request"; why->detail says what.
 * DUN_E_DENIED: readable but refused: answer api_write_error(why).
 * @scratch: room is reserved first, so all slices stay valid until it is next
 * written. `b64data` must decode to JSON, as JSON clients could not be sent
 * anything else; it wins over `data`. An empty body counts as {}. */
DUN_MUST_USE dun_err api_decode_publish(struct dun_slice body, struct dun_buf *scratch,
                                        struct api_publish *out, struct api_refusal *why);
DUN_MUST_USE dun_err api_decode_broadcast(struct dun_slice body, struct dun_buf *scratch,
                                          struct api_broadcast *out, struct api_refusal *why);
DUN_MUST_USE dun_err api_decode_history(struct dun_slice body, struct dun_buf *scratch,
                                        struct cmd_history *out, struct api_refusal *why);
/* presence, presence_stats, history_remove */
DUN_MUST_USE dun_err api_decode_channel(struct dun_slice body, struct dun_buf *scratch,
                                        struct api_channel *out, struct api_refusal *why);
/* info: any JSON object. */
DUN_MUST_USE dun_err api_decode_empty(struct dun_slice body, struct api_refusal *why);

/* Walk a decoded broadcast's channels: start with json_array(channels, &it).
 * False at the end; all were checked already. Decoded names stay valid as the
 * other slices do (walk once). */
bool api_next_channel(struct json_iter *it, struct dun_buf *scratch, struct dun_slice *channel);

/* ---- answers: HTTP 200 with {"result":{...}} or {"error":{...}} ---- */

/* @offset 0: channel without history, both left out. */
void api_write_publish(struct dun_buf *b, uint64_t offset, struct dun_slice epoch);

/* {"result":{"responses":[...]}}: begin, one item or failure a channel, end. */
struct api_responses {
    size_t count;
};
void api_responses_begin(struct dun_buf *b, struct api_responses *w);
void api_responses_item(struct dun_buf *b, struct api_responses *w, uint64_t offset,
                        struct dun_slice epoch);
void api_responses_error(struct dun_buf *b, struct api_responses *w, enum cmd_error code);
void api_responses_end(struct dun_buf *b, struct api_responses *w);

void api_write_history(struct dun_buf *b, const struct cmd_history_result *r);
void api_write_presence(struct dun_buf *b, const struct cmd_client_info *list, size_t count);
void api_write_presence_stats(struct dun_buf *b, uint32_t num_clients, uint32_t num_users);
void api_write_empty(struct dun_buf *b);

struct api_node {
    struct dun_slice uid, name, version;
    uint64_t num_clients, num_users, num_channels, num_subs, uptime_s;
};
void api_write_info(struct dun_buf *b, const struct api_node *nodes, size_t count);

/* {"error":{"code","message"}}; with @detail also "detail", an extra field that
 * says what to mend. @transport: X-Centrifugo-Error-Mode: transport was asked,
 * so the error object alone is the body and api_status the HTTP status. */
void api_write_error(struct dun_buf *b, enum cmd_error code, const char *detail, bool transport);
/* 100->500, 102/104->404, 107/108->400, 112->416, 113->409; others 500. */
int api_status(enum cmd_error code);

#endif
