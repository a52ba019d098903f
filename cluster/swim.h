/* cluster/swim.h: who is in the cluster and who is alive.
 * Why: peers find each other from a few seed addresses, and a dead one is
 * suspected by all within a bounded time, without a coordinator. SWIM only
 * says when to doubt a peer; what is safe to do then is VR's decision.
 * Sources: Das, Gupta, Motivala, SWIM (DSN 2002), sections 3 and 4;
 * Dadgar, Phillips, Currey, Lifeguard (2018), section IV.
 *
 * Sans-I/O: time and packets come in, packets and events go out.
 * (1) A member is identified by its name; (boot, incarnation) orders what is
 *     said of it: a newer boot always wins, then a higher incarnation, then
 *     dead > suspect > alive (left counts as dead).
 * (2) Only a member itself raises its incarnation.
 * (3) Every change of state is disseminated at most
 *     retransmit_mult * ceil(log2(n + 1)) times by piggyback.
 * (4) The table holds at most DUN_PEERS_MAX members; a further one is refused
 *     and logged.
 * swim_check() asserts them. */
#ifndef DUN_CLUSTER_SWIM_H
#define DUN_CLUSTER_SWIM_H

#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/slice.h"

enum swim_state { SWIM_ALIVE, SWIM_SUSPECT, SWIM_DEAD, SWIM_LEFT };

struct swim_config {
    const char *name;                 /* ours, 1..DUN_NAME_MAX bytes */
    const char *addr;                 /* our advertised gossip address, "host:port" */
    const char *seeds[DUN_SEEDS_MAX]; /* gossip addresses to join by; may include our own */
    uint32_t seed_count;
    struct dun_slice meta; /* opaque to SWIM, <= DUN_META_MAX; copied */
    uint64_t boot;         /* this life's boot id */
    uint64_t prng_seed;
    uint32_t probe_interval_ms;    /* 0 = default 300 */
    uint32_t probe_timeout_ms;     /* 0 = default 100 */
    uint32_t indirect_count;       /* k; 0 = default 3 */
    uint32_t suspicion_mult;       /* 0 = default 4: min = mult * max(1,log10(n)) * interval */
    uint32_t suspicion_max_mult;   /* 0 = default 2: max = this * min (Lifeguard IV-B) */
    uint32_t retransmit_mult;      /* 0 = default 4 */
    uint32_t pushpull_interval_ms; /* 0 = default 10000 */
    uint32_t dead_reclaim_ms;      /* 0 = default 60000: a dead peer is forgotten after */
    const struct dun_log *log;     /* may be NULL */
};

/* One member as others may see it. Pointers live until the next swim call. */
struct swim_member {
    const char *name;
    const char *addr;
    struct dun_slice meta;
    uint64_t boot;
    uint32_t incarnation;
    enum swim_state state;
};

enum swim_event_type {
    SWIM_EV_JOINED,  /* first heard of, or back from dead/left, or a new boot of a known name */
    SWIM_EV_UPDATED, /* metadata or address changed */
    SWIM_EV_SUSPECT,
    SWIM_EV_ALIVE, /* a suspicion was refuted */
    SWIM_EV_DEAD,
    SWIM_EV_LEFT,
    SWIM_EV_CONFLICT, /* a live peer at another address answers to OUR name: member = that one */
    SWIM_EV_OUTLIVED  /* others know a newer boot of our name: member.boot = that boot */
};

enum { SWIM_OUT_PACKETS_MAX = 64, SWIM_OUT_EVENTS_MAX = 64, SWIM_PACKET_MAX = 1400 };

/* What a step asks for. Owned by the struct swim, valid until its next call.
 * Packets are plain SWIM payloads (msgpack); the caller seals and sends them to
 * @addr over the gossip plane. A push/pull packet may be larger than
 * SWIM_PACKET_MAX (up to DUN_PACKET_MAX). */
struct swim_out {
    uint32_t packet_count;
    struct {
        const char *addr;
        const char *to_name; /* "" when not yet known (a seed) */
        struct dun_slice bytes;
    } packets[SWIM_OUT_PACKETS_MAX];
    uint32_t event_count;
    struct {
        enum swim_event_type type;
        struct swim_member member;
    } events[SWIM_OUT_EVENTS_MAX];
};

struct swim;

dun_err swim_create(struct swim **out, const struct swim_config *c) DUN_MUST_USE;
void swim_destroy(struct swim *s);

/* Time passes: probes, timeouts, suspicion, push/pull, join retries.
 * @now_ms monotonic, never goes back. */
void swim_tick(struct swim *s, uint64_t now_ms, const struct swim_out **out);
/* When swim_tick wants to be called next. */
uint64_t swim_deadline_ms(const struct swim *s);

/* A packet arrived on the gossip plane from the peer that calls itself
 * @from_name at boot @from_boot (authenticated by the caller).
 * Errors: DUN_E_MALFORMED, DUN_E_STALE (older boot), DUN_E_FULL (events wait to be
 * taken by swim_tick; the packet counts as lost); nothing changed, *out is empty
 * or a backlog. An older boot that asks for the table is not believed but
 * answered, so that it learns it is outlived: DUN_OK. */
dun_err swim_recv(struct swim *s, uint64_t now_ms, const char *from_name, uint64_t from_boot,
                  struct dun_slice packet, const struct swim_out **out) DUN_MUST_USE;

/* The connection to @addr broke: probe that member at once, and with a short
 * timeout (design 3.5). Unknown addresses are ignored. */
void swim_link_lost(struct swim *s, uint64_t now_ms, const char *addr, const struct swim_out **out);

/* Replaces our metadata and disseminates it (raises our incarnation). */
void swim_set_meta(struct swim *s, uint64_t now_ms, struct dun_slice meta,
                   const struct swim_out **out);

/* Graceful leave: tells up to all known live peers; afterwards the peer only
 * answers. */
void swim_leave(struct swim *s, uint64_t now_ms, const struct swim_out **out);

/* Members, ourselves included; i in [0, swim_count). Order is stable between changes. */
uint32_t swim_count(const struct swim *s);
struct swim_member swim_member_at(const struct swim *s, uint32_t i);
/* false: not known; *out untouched. */
bool swim_find(const struct swim *s, const char *name, struct swim_member *out);

/* Our name is settled: we are a member, or alone by configuration. Before that nothing but SWIM's
 * own packets may be sent, since a living peer may have the name. */
bool swim_joined(const struct swim *s);

/* Lifeguard's local health multiplier, 0 (healthy) .. 8. */
uint32_t swim_health(const struct swim *s);
void swim_check(const struct swim *s);

#endif
