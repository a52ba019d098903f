/* transport/codec/cmd_codes.h: the numbers of the client protocol and their texts.
 * Source: protocol.md, sections 7 (errors), 8 (disconnects), 9 (unsubscribes).
 * Why one table: a code's range decides whether a client comes back, and a
 * close reason must be non-empty, at most 123 bytes and not JSON, or the
 * JavaScript SDK misreads it. */
#ifndef DUN_TRANSPORT_CODEC_CMD_CODES_H
#define DUN_TRANSPORT_CODEC_CMD_CODES_H

#include <stdbool.h>

/* name, code, text, temporary */
#define CMD_ERROR_MAP(X)                                                    \
    X(CMD_ERR_INTERNAL, 100, "internal server error", true)                 \
    X(CMD_ERR_UNAUTHORIZED, 101, "unauthorized", false)                     \
    X(CMD_ERR_UNKNOWN_CHANNEL, 102, "unknown channel", false)               \
    X(CMD_ERR_PERMISSION_DENIED, 103, "permission denied", false)           \
    X(CMD_ERR_METHOD_NOT_FOUND, 104, "method not found", false)             \
    X(CMD_ERR_ALREADY_SUBSCRIBED, 105, "already subscribed", false)         \
    X(CMD_ERR_LIMIT_EXCEEDED, 106, "limit exceeded", false)                 \
    X(CMD_ERR_BAD_REQUEST, 107, "bad request", false)                       \
    X(CMD_ERR_NOT_AVAILABLE, 108, "not available", false)                   \
    X(CMD_ERR_TOKEN_EXPIRED, 109, "token expired", false)                   \
    X(CMD_ERR_EXPIRED, 110, "expired", false)                               \
    X(CMD_ERR_TOO_MANY_REQUESTS, 111, "too many requests", true)            \
    X(CMD_ERR_UNRECOVERABLE_POSITION, 112, "unrecoverable position", false) \
    X(CMD_ERR_CONCURRENT_PAGINATION, 113, "concurrent pagination", true)

/* name, code, reason. 3000-3499: the client reconnects; 3500-3999: it does not. */
#define CMD_CLOSE_MAP(X)                                                \
    X(CMD_CLOSE_CONNECTION_CLOSED, 3000, "connection closed")           \
    X(CMD_CLOSE_SHUTDOWN, 3001, "shutdown")                             \
    X(CMD_CLOSE_SERVER_ERROR, 3004, "internal server error")            \
    X(CMD_CLOSE_EXPIRED, 3005, "connection expired")                    \
    X(CMD_CLOSE_SUB_EXPIRED, 3006, "subscription expired")              \
    X(CMD_CLOSE_SLOW, 3008, "slow")                                     \
    X(CMD_CLOSE_WRITE_ERROR, 3009, "write error")                       \
    X(CMD_CLOSE_INSUFFICIENT_STATE, 3010, "insufficient state")         \
    X(CMD_CLOSE_FORCE_RECONNECT, 3011, "force reconnect")               \
    X(CMD_CLOSE_NO_PONG, 3012, "no pong")                               \
    X(CMD_CLOSE_TOO_MANY_REQUESTS, 3013, "too many requests")           \
    X(CMD_CLOSE_STATE_INVALIDATED, 3014, "state invalidated")           \
    X(CMD_CLOSE_INVALID_TOKEN, 3500, "invalid token")                   \
    X(CMD_CLOSE_BAD_REQUEST, 3501, "bad request")                       \
    X(CMD_CLOSE_STALE, 3502, "stale")                                   \
    X(CMD_CLOSE_FORCE_DISCONNECT, 3503, "force disconnect")             \
    X(CMD_CLOSE_CONNECTION_LIMIT, 3504, "connection limit")             \
    X(CMD_CLOSE_CHANNEL_LIMIT, 3505, "channel limit")                   \
    X(CMD_CLOSE_INAPPROPRIATE_PROTOCOL, 3506, "inappropriate protocol") \
    X(CMD_CLOSE_PERMISSION_DENIED, 3507, "permission denied")           \
    X(CMD_CLOSE_NOT_AVAILABLE, 3508, "not available")                   \
    X(CMD_CLOSE_TOO_MANY_ERRORS, 3509, "too many errors")

/* name, code, reason. Below 2500 final; from 2500 the client resubscribes at once. */
#define CMD_UNSUB_MAP(X)                                  \
    X(CMD_UNSUB_SERVER, 2000, "server unsubscribe")       \
    X(CMD_UNSUB_INSUFFICIENT, 2500, "insufficient state") \
    X(CMD_UNSUB_EXPIRED, 2501, "subscription expired")    \
    X(CMD_UNSUB_INVALIDATED, 2502, "state invalidated")

enum cmd_error {
#define X(name, value, text, temporary) name = value,
    CMD_ERROR_MAP(X)
#undef X
};

enum cmd_close {
#define X(name, value, text) name = value,
    CMD_CLOSE_MAP(X)
#undef X
};

enum cmd_unsub {
#define X(name, value, text) name = value,
    CMD_UNSUB_MAP(X)
#undef X
};

/* The table's text; a code outside the tables is our bug (asserted). */
const char *cmd_error_text(enum cmd_error code);
bool cmd_error_temporary(enum cmd_error code);
const char *cmd_close_text(enum cmd_close code);
const char *cmd_unsub_text(enum cmd_unsub code);

/* Client side: does a close with this code mean "do not come back"? */
bool cmd_close_terminal(int code);

#endif
