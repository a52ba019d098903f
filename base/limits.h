/* base/limits.h: every bound of the system, with the reason for its size.
 * Reaching a bound gives the caller a clear error; nothing grows past one. */
#ifndef DUN_BASE_LIMITS_H
#define DUN_BASE_LIMITS_H

enum {
    /* cluster */
    DUN_VOTERS_MAX = 7,   /* quorums beyond 7 only cost latency */
    DUN_PEERS_MAX = 1024, /* members SWIM tracks, voters and others */
    DUN_GROUPS_MAX = 256, /* design: 64; fixed when the cluster forms */
    DUN_GROUPS_DEFAULT = 64,
    DUN_NAME_MAX = 63,  /* a peer's name, bytes */
    DUN_ADDR_MAX = 127, /* "host:port", bytes */
    DUN_META_MAX = 512, /* SWIM metadata of one peer, bytes */
    DUN_SEEDS_MAX = 16,

    /* messages */
    DUN_CHANNEL_MAX = 255,       /* channel name, bytes */
    DUN_PAYLOAD_MAX = 64 * 1024, /* data of one publication */
    DUN_KEY_MAX = 128,           /* idempotency key */
    DUN_TAGS_MAX = 4 * 1024,     /* tags of one publication as JSON */
    DUN_INFO_MAX = 4 * 1024,     /* publisher info as JSON */
    DUN_OP_MAX = DUN_PAYLOAD_MAX + DUN_TAGS_MAX + DUN_INFO_MAX + 1024, /* one encoded operation */

    /* peer frames */
    DUN_PACKET_SOFT_MAX = 64 * 1024,                       /* flush a packet beyond this */
    DUN_PACKET_MAX = DUN_PACKET_SOFT_MAX + 3 * DUN_OP_MAX, /* NNG refuses larger ones */

    /* store */
    DUN_CHANNELS_PER_GROUP_MAX = 1 << 20,
    DUN_IDEMPOTENCY_TTL_MS = 5 * 60 * 1000,
    /* With more keys in that time the oldest are forgotten sooner, but none that a client may
     * still be retrying: 8,738 a second into one group are remembered that long. */
    DUN_IDEMPOTENCY_PER_GROUP_MAX = 1 << 18,
    DUN_IDEMPOTENCY_KEEP_MS = 30 * 1000,
    DUN_NAMESPACES_MAX = 64,
    DUN_HISTORY_SIZE_MAX = 1 << 20,

    /* replication, per group */
    DUN_INFLIGHT_MAX = 1024, /* ops prepared, not yet committed; also the request window */
    DUN_LOG_SLOTS = 4096,    /* committed ops kept for laggards */
#ifdef DUN_SIM_MUTATIONS
    DUN_LOG_BYTES_MAX = 32 << 10, /* the simulator's short runs must outgrow the log too */
#else
    DUN_LOG_BYTES_MAX = 4 << 20, /* and their bytes; beyond it a laggard gets a snapshot */
#endif
    DUN_REQUEST_WINDOW = 4096, /* request numbers of one origin remembered */
    DUN_PENDING_MAX = 1 << 16, /* publishes waiting at one peer, all groups */
    DUN_SNAPSHOT_CHUNK = 48 * 1024,
    DUN_SNAPSHOTS_OUT_MAX = 8, /* groups one peer serves at a time */

    /* clients */
    DUN_CLIENT_FRAME_MAX = 64 * 1024, /* one WebSocket message from a client */
    DUN_HTTP_HEADER_MAX = 16 * 1024,
    DUN_HTTP_BODY_MAX = 1 << 20,
    DUN_CLIENT_CHANNELS_MAX = 128,
    DUN_CLIENT_HISTORY_MAX = 300, /* publications in one reply */
    DUN_HISTORY_REPLY_BYTES_MAX = 1
                                  << 20, /* one history reply; a reader asks again after its last */
    DUN_CLIENT_COMMANDS_MAX = 256,       /* commands in flight of one client */
    DUN_CONNS_PER_WORKER_MAX = 1 << 20,
    DUN_PING_S_MIN = 2,    /* faster, and pings are a load of their own */
    DUN_PING_S_MAX = 3600, /* the server finds a dead client no sooner */
    DUN_PING_S_DEFAULT = 25,
    DUN_PONG_S_DEFAULT = 8, /* or just below a shorter ping interval */

    /* codecs */
    DUN_JSON_DEPTH_MAX = 56,       /* nesting of what clients send */
    DUN_JSON_REPLY_DEPTH_MAX = 64, /* and of what they get: that, inside a reply's seven levels */
    DUN_HTTP_HEADERS_MAX = 64,     /* header lines of one message: a table on the stack */
    DUN_TOKEN_MAX = 16 * 1024,     /* one JWT */
    DUN_API_CHANNELS_MAX = 4096,   /* channels of one broadcast */
};

_Static_assert(2 * DUN_INFLIGHT_MAX <= DUN_LOG_SLOTS,
               "a new view may refill the pipeline before old slots commit");
_Static_assert(DUN_INFLIGHT_MAX <= DUN_REQUEST_WINDOW,
               "a request outstanding at its origin must still be in the window");

#endif
