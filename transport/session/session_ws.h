/* transport/session/session_ws.h: what the WebSocket's frame and command parts share. */
#ifndef DUN_TRANSPORT_SESSION_WS_H
#define DUN_TRANSPORT_SESSION_WS_H

#include "transport/session/session_impl.h"

enum {
    SESSION_UUID_BYTES = 16,
    SESSION_UUID_TEXT = 37, /* with the NUL */
    SESSION_DEAD_S = 5      /* after an error reply to connect the client closes */
};

struct session_ws {
    uint8_t id[SESSION_UUID_BYTES];
    uint32_t ping_at_s, pong_due_s; /* monotonic */
    uint32_t expires_s;             /* wall clock; 0 = never */
    bool connected;
    bool refused; /* connect was answered with an error: nothing more is heard */
    bool awaits_pong;
    bool in_message;              /* a fragmented message is open */
    struct dun_blob *user, *info; /* NULL = "" and none */
    struct dun_buf fragment;
};

static inline struct session_ws *session_ws_of(const struct session *s)
{
    DUN_ASSERT(s->proto == &session_ws);
    return s->state;
}

void session_ws_uuid(const uint8_t id[SESSION_UUID_BYTES], char out[SESSION_UUID_TEXT]);
/* One whole text message from the client. */
void session_cmd_message(struct session *s, struct dun_slice text);
void session_cmd_replied(struct session *s, uint32_t id, const struct node_reply *r);
void session_cmd_started(struct session *s, struct session_sub *sub);
void session_cmd_presence(struct session *s, uint32_t id, enum cmd_error code, bool stats,
                          const struct cmd_client_info *list, uint32_t count, uint32_t users);
struct cmd_client_info session_ws_info(const struct session *s, char uuid[SESSION_UUID_TEXT]);
struct session_user session_ws_user(const struct session *s);
/* Sends what gathered in hub->replies as one message. */
void session_ws_flush(struct session *s);
/* A text frame of its own; one reference. */
struct dun_blob *session_ws_pack(struct dun_slice text);
/* Sends one push of its own. */
void session_ws_push(struct session *s, const struct dun_buf *object);
void session_ws_arm(struct session *s);

#endif
