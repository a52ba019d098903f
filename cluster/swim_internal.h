/* cluster/swim_internal.h: what the swim_*.c files share; nobody else includes it
 * (the unit tests of the pure parts do).
 * Why: one subject a file, one state.
 *   swim.c            create, step, dispatch, queries, invariants
 *   swim_out.c        the bounded results of a step and what did not fit
 *   swim_member.c     the table, and which claim wins
 *   swim_suspicion.c  how long a suspect has to speak up
 *   swim_probe.c      pings, indirect pings, nacks, local health
 *   swim_gossip.c     what rides on a packet, and how often
 *   swim_join.c       finding the cluster, and whether our name is free
 *   swim_pushpull.c   whole-table exchange, lost seeds and dead members
 *   swim_wire.c       packets as bytes */
#ifndef DUN_CLUSTER_SWIM_INTERNAL_H
#define DUN_CLUSTER_SWIM_INTERNAL_H

#include "base/buf.h"
#include "base/map.h"
#include "base/prng.h"
#include "cluster/swim.h"

enum {
    SWIM_HEALTH_MAX = 8,        /* Lifeguard's S */
    SWIM_CONFIRMATIONS_MAX = 3, /* Lifeguard's K */
    SWIM_PROBES_MAX = 32,       /* in flight: one by turn, the others after lost links */
    SWIM_RELAYS_MAX = 64,       /* pings in flight for others; over it we stay silent */
    SWIM_INDIRECT_MAX = 16,     /* k; more would only be load */
    SWIM_GOSSIP_FANOUT = 3,     /* members told at once of something new */
    SWIM_GOSSIP_MISSES_MAX = 4, /* news too large for what is left of a packet: it is full */
    SWIM_EVENTS_QUEUED_MAX = 4 * DUN_PEERS_MAX,  /* over it packets are refused */
    SWIM_PACKETS_QUEUED_MAX = 2 * DUN_PEERS_MAX, /* over it packets are dropped */
    SWIM_INCARNATION_MAX = 1 << 30,              /* over it only a new boot helps */
    SWIM_JOIN_GRACE_MS = 400, /* prefer the answer of an established peer for this long */
    SWIM_JOIN_BACKOFF_MS_MIN = 300,
    SWIM_JOIN_BACKOFF_MS_MAX = 5000,
    SWIM_WHO_RETRY_MS = 500,
    SWIM_WHO_TIMEOUT_MS = 1500,
    SWIM_RECONNECT_MS = 5000,         /* lost seeds and dead members are tried again this often */
    SWIM_ASK_MS = 1000,               /* and strangers that ping us asked for their table */
    SWIM_TIMING_MS_MAX = 3600 * 1000, /* so that scaled times cannot overflow */
    SWIM_MULT_MAX = 1000,
    SWIM_IDLE_MS = 1000, /* longest a tick is away */
    SWIM_ENTRY_BYTES_MAX = 32 + 2 * DUN_NAME_MAX + DUN_ADDR_MAX + DUN_META_MAX,
    SWIM_HEADER_BYTES_MAX = 32 + DUN_NAME_MAX + 2 * DUN_ADDR_MAX
};

_Static_assert(SWIM_HEADER_BYTES_MAX + SWIM_ENTRY_BYTES_MAX + 64 + 2 * DUN_NAME_MAX <=
                   SWIM_PACKET_MAX,
               "a ping always has room for the suspicion of its target and one full entry");

/* --- what is said of a member --- */

struct swim_claim {
    uint64_t boot;
    uint32_t incarnation;
    enum swim_state state;
};

struct swim_entry { /* borrowed from a packet */
    struct dun_slice name;
    struct dun_slice origin; /* who suspects; empty unless SUSPECT */
    struct dun_slice addr;   /* these two only when full */
    struct dun_slice meta;
    struct swim_claim claim;
    bool full;
};

struct swim_suspicion {
    uint64_t start_ms;
    uint32_t min_ms, max_ms;
    uint32_t wanted; /* independent confirmations that bring the wait to its minimum */
    uint32_t count;  /* names in from[], the first accuser included */
    char from[1 + SWIM_CONFIRMATIONS_MAX][DUN_NAME_MAX + 1];
};

struct swim_node {
    struct dun_map_node link; /* in by_name */
    char name[DUN_NAME_MAX + 1];
    char addr[DUN_ADDR_MAX + 1];
    char origin[DUN_NAME_MAX + 1]; /* the accuser we pass on while SUSPECT */
    uint8_t meta[DUN_META_MAX];
    uint32_t meta_len;
    struct swim_claim claim;
    uint64_t changed_ms;             /* of the last change of state */
    uint32_t tx_left;                /* piggybacks still allowed; see swim_gossip.c */
    struct swim_suspicion suspicion; /* while SUSPECT */
};

/* --- packets --- */

enum swim_packet_type {
    SWIM_PING = 1,
    SWIM_ACK,
    SWIM_NACK,
    SWIM_PING_REQ,
    SWIM_GOSSIP,
    SWIM_PUSH_PULL,
    SWIM_PUSH_PULL_REPLY,
    SWIM_WHO,
    SWIM_WHO_ACK
};

struct swim_packet {
    enum swim_packet_type type;
    struct dun_slice from_addr;   /* where answers go */
    uint32_t seq;                 /* all but GOSSIP; echoed by the answer */
    struct dun_slice target;      /* PING, PING_REQ: a name */
    struct dun_slice target_addr; /* PING_REQ */
    bool joined;                  /* PUSH_PULL and its reply: the sender's name is settled */
    uint32_t entry_count;         /* PING, ACK, PING_REQ, GOSSIP, PUSH_PULL, its reply */
    struct dun_slice entries;     /* encoded, back to back */
};

/* --- the state --- */

struct swim_probe {
    bool active;
    bool fast;        /* after a lost link */
    bool second_sent; /* the indirect pings, or the second ping of a fast probe */
    uint32_t seq;
    struct swim_node *target;
    uint64_t timeout_ms;  /* when the direct ping counts as unanswered */
    uint64_t deadline_ms; /* when the target becomes suspect */
    uint32_t nacks_wanted, nacks;
};

struct swim_relay { /* a ping sent for someone else */
    bool active;
    bool nacked;
    uint32_t seq, their_seq;
    char target[DUN_NAME_MAX + 1];
    char from_name[DUN_NAME_MAX + 1];
    char from_addr[DUN_ADDR_MAX + 1];
    uint64_t nack_ms, end_ms;
};

struct swim_seed {
    char addr[DUN_ADDR_MAX + 1];
    char name[DUN_NAME_MAX + 1]; /* who answered there; "" not known */
    bool self;                   /* it is us, maybe under another address */
    bool heard;                  /* answered in this life */
};

/*  SEEKING -> DONE, or SEEKING -> WHO -> DONE | CONFLICT
 * Until DONE nothing says that we are alive. */
enum swim_join { SWIM_JOIN_SEEKING, SWIM_JOIN_WHO, SWIM_JOIN_DONE, SWIM_JOIN_CONFLICT };

struct swim_queued_packet {
    struct swim_queued_packet *next;
    char addr[DUN_ADDR_MAX + 1];
    char to_name[DUN_NAME_MAX + 1];
    struct dun_buf bytes;
};

struct swim_queued_event {
    struct swim_queued_event *next;
    enum swim_event_type type;
    struct swim_node node; /* a copy: the member may change before this is delivered */
};

struct swim {
    struct swim_config config; /* defaults filled in; its pointers are not used */
    struct dun_log log;
    struct dun_prng prng;
    bool started; /* now_ms is set */
    uint64_t now_ms;
    uint64_t deadline_ms;

    struct dun_map by_name;
    struct swim_node *nodes[DUN_PEERS_MAX]; /* [0] is self */
    struct swim_node *order[DUN_PEERS_MAX]; /* all but self, shuffled: turns of probing */
    uint32_t node_count, order_next, live_count;
    struct swim_node *self;
    uint64_t hash_key;

    uint32_t seq;
    uint32_t health;
    uint64_t probe_next_ms;
    struct swim_probe probes[SWIM_PROBES_MAX];
    struct swim_relay relays[SWIM_RELAYS_MAX];

    uint32_t gossip_count; /* nodes with tx_left > 0 */
    uint64_t gossip_next_ms;
    bool tell_self; /* the sender of this packet holds old news of us */

    enum swim_join join;
    struct swim_seed seeds[DUN_SEEDS_MAX];
    uint32_t seed_count;
    uint64_t joined_after_ms; /* from then on a newcomer's word is enough */
    bool newcomer_heard;
    uint64_t join_next_ms;
    uint32_t join_backoff_ms;
    char who_addr[DUN_ADDR_MAX + 1];
    uint64_t who_boot, who_next_ms, who_end_ms;
    bool outlived;
    uint64_t outlived_boot;
    uint64_t stranger_boot; /* last stranger with our name that was logged */

    uint64_t pushpull_next_ms, reconnect_next_ms, ask_next_ms;

    struct swim_queued_packet *packets, **packets_tail, *packets_given;
    struct swim_queued_event *events, **events_tail, *events_given;
    uint32_t packets_queued, events_queued;
    struct swim_out out;
};

/* --- swim_out.c --- */

void swim_out_init(struct swim *s);
void swim_out_deinit(struct swim *s);
void swim_out_clear(struct swim *s); /* frees what the last step gave */
void swim_out_fill(struct swim *s);  /* moves as much of the queues as fits into s->out */
void swim_out_event(struct swim *s, enum swim_event_type type, const struct swim_node *n);
/* Takes @bytes. */
void swim_out_packet(struct swim *s, const char *addr, const char *to_name, struct dun_buf bytes);

/* --- swim_member.c --- */

/* Whether a claim @a about a member replaces @b: invariant (1). */
bool swim_supersedes(const struct swim_claim *a, const struct swim_claim *b);
bool swim_up(enum swim_state state); /* alive or suspect */
struct swim_node *swim_member_get(const struct swim *s, struct dun_slice name);
struct swim_node *swim_member_by_addr(const struct swim *s, const char *addr);
/* NULL: the table is full (logged). */
struct swim_node *swim_member_add(struct swim *s, struct dun_slice name);
/* Someone says @e. @exchange: in a whole-table exchange with @from, where a
 * death is only second-hand and counts as a suspicion. */
void swim_member_apply(struct swim *s, const struct swim_entry *e, bool exchange, const char *from);
/* A change of state decided here (probe failed, suspicion ran out). */
void swim_member_suspect(struct swim *s, struct swim_node *n);
void swim_member_dead(struct swim *s, struct swim_node *n);
void swim_member_reclaim(struct swim *s);
uint64_t swim_member_deadline(const struct swim *s); /* of suspicions and tombstones */
/* Up to @max random live members but ourselves and @but; returns how many. */
uint32_t swim_member_pick(struct swim *s, uint32_t max, const struct swim_node *but,
                          struct swim_node **out);
void swim_copy(char *to, size_t size, struct dun_slice from); /* NUL-terminated, must fit */

/* --- swim_suspicion.c --- */

uint32_t swim_log2_q16(uint32_t x); /* floor(2^16 * log2(x)), x >= 1 */
/* Lifeguard IV-B: max(min, max - (max - min) * log(confirms + 1) / log(wanted + 1)). */
uint32_t swim_suspicion_ms(uint32_t confirms, uint32_t wanted, uint32_t min_ms, uint32_t max_ms);
/* mult * max(1, log10(n)) * interval_ms */
uint32_t swim_suspicion_min_ms(uint32_t n, uint32_t mult, uint32_t interval_ms);
void swim_suspicion_start(struct swim *s, struct swim_node *n, struct dun_slice from);
/* true: @from is a further accuser that still counts. */
bool swim_suspicion_confirm(struct swim_node *n, struct dun_slice from);
uint64_t swim_suspicion_deadline(const struct swim_node *n);
void swim_suspicion_tick(struct swim *s);

/* --- swim_gossip.c --- */

/* retransmit_mult * ceil(log2(n + 1)) */
uint32_t swim_gossip_limit(uint32_t n, uint32_t mult);
void swim_gossip_queue(struct swim *s, struct swim_node *n);
void swim_gossip_cancel(struct swim *s, struct swim_node *n);
/* Fills in our address, adds gossip where the type carries it, and queues @p. */
void swim_send(struct swim *s, const char *addr, const char *to_name, struct swim_packet *p);
/* Tells a few at once when something is new; at most once an interval. */
void swim_gossip_flush(struct swim *s);
uint32_t swim_gossip_interval_ms(const struct swim *s);

/* --- swim_probe.c --- */

void swim_probe_start(struct swim *s); /* our name is settled: probing may begin */
void swim_probe_tick(struct swim *s);
uint64_t swim_probe_deadline(const struct swim *s);
void swim_probe_link_lost(struct swim *s, struct swim_node *n);
void swim_probe_forget(struct swim *s, const struct swim_node *n);
void swim_probe_shift(struct swim *s, uint64_t late_ms); /* we were paused: verdicts wait */
void swim_probe_health(struct swim *s, int32_t delta);
void swim_probe_on_ping(struct swim *s, const char *from, const struct swim_packet *p);
void swim_probe_on_ack(struct swim *s, const char *from, const struct swim_packet *p);
void swim_probe_on_nack(struct swim *s, const struct swim_packet *p);
void swim_probe_on_ping_req(struct swim *s, const char *from, const struct swim_packet *p);

/* --- swim_join.c --- */

void swim_join_start(struct swim *s);
void swim_join_tick(struct swim *s);
uint64_t swim_join_deadline(const struct swim *s);
/* A whole table came from @from and was applied. */
void swim_join_on_table(struct swim *s, const char *from, const struct swim_packet *p);
void swim_join_about_self(struct swim *s, const struct swim_entry *e);
/* A packet whose sender bears our name. */
dun_err swim_join_on_namesake(struct swim *s, uint64_t from_boot, const struct swim_packet *p);
void swim_join_raise(struct swim *s, uint32_t incarnation); /* ours, and tells all */

/* --- swim_pushpull.c --- */

void swim_pushpull_start(struct swim *s);
void swim_pushpull_tick(struct swim *s);
uint64_t swim_pushpull_deadline(const struct swim *s);
void swim_pushpull_ask(struct swim *s, const char *addr, const char *to_name, uint32_t token);
void swim_pushpull_ask_seed(struct swim *s, uint32_t i);
/* A stranger knows us, or any peer while we join: learn what it knows, at most once a second. */
void swim_pushpull_ask_stranger(struct swim *s, const char *from, const struct swim_packet *p);
void swim_pushpull_answer(struct swim *s, const char *from, const struct swim_packet *p);

/* --- swim_wire.c --- */

bool swim_name_ok(struct dun_slice name);
bool swim_addr_ok(struct dun_slice addr);
void swim_wire_write(struct dun_buf *b, const struct swim_packet *p);
void swim_wire_write_entry(struct dun_buf *b, const struct swim_node *n, bool full);
/* Checks everything, entries included. Errors: DUN_E_MALFORMED. */
dun_err swim_wire_read(struct dun_slice bytes, struct swim_packet *out) DUN_MUST_USE;
/* Takes the next entry off @rest, the entries of a packet that swim_wire_read
 * accepted. */
struct swim_entry swim_wire_next_entry(struct dun_slice *rest);

/* A member as others may see it; pointers into the table. */
struct swim_member swim_view(const struct swim_node *n);

#endif
