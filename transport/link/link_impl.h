/* transport/link/link_impl.h: what the link's files share; for them only.
 * Threads: the caller thread owns struct link_out and the nonce; the one
 * receive callback of a plane owns that plane's windows; the rest is constant
 * after link_create, atomic, or behind a lock named beside it. */
#ifndef DUN_TRANSPORT_LINK_IMPL_H
#define DUN_TRANSPORT_LINK_IMPL_H

#include "base/map.h"
#include "cluster/seal.h"
#include "transport/link/link.h"
#include "transport/link/link_addr.h"
#include "transport/link/link_note.h"

#include <nng/nng.h>
#include <sodium.h>
#include <stdatomic.h>

enum {
    LINK_INBOUND_MAX = 2 * DUN_PEERS_MAX, /* connections to a plane: old ones may linger */
    LINK_WINDOWS_MAX = DUN_PEERS_MAX,     /* senders whose counters a plane remembers */
    LINK_RECONNECT_MS_MIN = 10,
    LINK_RECONNECT_MS_MAX = 500,
    LINK_NEVER_MS = 24 * 3600 * 1000, /* no redial before the endpoint is long gone */
    LINK_DOWN_QUEUE_MAX = 64, /* packets kept for an unconnected peer: a fresh few, not a flood */
    LINK_DIAL_MS_MAX = 3000,  /* the kernel would try one SYN for two minutes */
    LINK_QUIET_MS = 50, /* from the last use of a connection to its close; see link_out.c (4) */
    LINK_CLOSE_MS_MAX = 3000, /* link_destroy waits for NNG no longer than this */
    LINK_STALL_MS_MAX = 5000, /* not one packet got away in this time: dial anew */
    LINK_MESSAGE_MAX = DUN_PACKET_MAX + SEAL_OVERHEAD_MAX,
};

_Static_assert((int)LINK_KEYS_MAX == (int)SEAL_KEYS_MAX, "one keyring");
_Static_assert((int)LINK_KEY_BYTES == (int)SEAL_KEY_BYTES, "one keyring");

/* What a plane has heard of one sender. */
struct link_peer {
    struct dun_map_node node;
    uint64_t used; /* tick of the last packet */
    /* Its newest boot and the one before: a second peer that starts under a living one's name
     * must not make us deaf to the living one; SWIM settles who it is. */
    struct seal_window window, before;
    char name[DUN_NAME_MAX + 1];
};

/* One plane's listening side. */
struct link_in {
    struct link *link;
    enum link_plane plane;
    bool open;
    nng_socket sock;
    nng_aio *aio; /* one: NNG runs its callback serially, which keeps a sender's order */
    char addr[DUN_ADDR_MAX + 1];

    struct dun_map peers; /* receive callback only */
    uint64_t tick;

    pthread_mutex_t pipes_lock; /* guards the two below */
    uint32_t pipe_count;
    uint32_t pipes[LINK_INBOUND_MAX]; /* ids of the connections let in */
};

/* One (plane, address) we send to. Freed only after its socket is closed, so
 * NNG's callbacks may hold it. */
struct link_end {
    struct dun_map_node node;
    struct link *link;
    enum link_plane plane;
    nng_socket sock;
    nng_dialer dialer;
    atomic_bool spent;            /* its connection broke: not to be used again */
    atomic_bool up;               /* connected; set by NNG's callbacks */
    pthread_mutex_t lock;         /* guards closing, and on_lost runs under it */
    bool closing;                 /* by us: its end is no loss */
    uint64_t used;                /* tick of the last send */
    atomic_uint_fast64_t dial_ms; /* dialling since; set by NNG's callbacks too */
    uint64_t full_ms;             /* first refusal since the last success; 0 = none */
    uint64_t retired_ms;          /* taken out of use */
    struct link_end *next_retired;
    char addr[DUN_ADDR_MAX + 1]; /* as the caller wrote it */
};

struct link {
    char name[DUN_NAME_MAX + 1];
    struct seal_keyring keyring;
    const struct dun_log *log;
    void *ctx;
    void (*on_packet)(void *ctx, enum link_plane plane, const char *from_name, uint64_t from_boot,
                      struct dun_slice bytes);
    void (*on_lost)(void *ctx, enum link_plane plane, const char *addr);
    uint8_t hash_key[crypto_shorthash_KEYBYTES];

    /* caller thread */
    uint64_t boot;
    uint64_t counter[LINK_PLANES];
    uint8_t nonce[SEAL_NONCE_BYTES]; /* 16 random bytes, then a counter: never the same twice */
    struct dun_map ends;
    struct link_end *retired, **retired_tail; /* oldest first; to be closed when quiet */
    uint32_t retired_count;
    uint64_t tick;

    struct link_in in[LINK_PLANES];
    struct link_notes notes;
    struct {
        atomic_uint_fast64_t sent_packets, sent_bytes, received_packets, received_bytes,
            dropped_full, refused_seal, refused_replay, refused_malformed, refused_name;
    } stats;
};

static inline void link_count(atomic_uint_fast64_t *counter, uint64_t by)
{
    atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

uint64_t link_now_ms(void); /* monotonic */
uint64_t link_hash(const struct link *l, uint8_t salt, const char *text);
const char *link_plane_name(enum link_plane plane);

/* link_in.c. Binds and starts to receive; on error nothing is left open. */
dun_err link_in_open(struct link_in *in, struct link *l, enum link_plane plane, const char *listen,
                     char *why, size_t why_size) DUN_MUST_USE;
/* No packet is delivered from @in once it returns. Fine on one never opened. */
void link_in_stop(struct link_in *in);
/* After link_in_stop and LINK_QUIET_MS. Fine on one never opened. */
void link_in_close(struct link_in *in);

/* link_out.c; caller thread. Errors: DUN_E_CONFIG, DUN_E_DENIED, DUN_E_IO. */
dun_err link_out_get(struct link *l, enum link_plane plane, const char *addr,
                     struct link_end **out) DUN_MUST_USE;
/* Queues @msg and takes it, whatever the outcome. Errors: DUN_E_FULL, DUN_E_IO. */
dun_err link_out_send(struct link_end *e, nng_msg *msg) DUN_MUST_USE;
void link_out_forget(struct link *l, enum link_plane plane, const char *addr);
/* No on_lost is called once it returns; what is queued still goes out for a while. */
void link_out_stop(struct link *l);
/* After link_out_stop and LINK_QUIET_MS. */
void link_out_close_all(struct link *l);

#endif
