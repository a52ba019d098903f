/* tests/sim/sim.h: the deterministic simulator: a whole cluster in one process.
 * Why: the very code that ships (cluster/, store/) runs in virtual time under
 * thousands of faults a second, and one seed replays any of it bit for bit.
 *
 * (1) Everything that happens comes out of the event queue, in order of
 *     (time, sequence); all chance comes from the seed; no clock is read.
 * (2) Packets travel as encoded bytes, so the codecs are exercised.
 * (3) In the default profile at most f peers are without memory at once (from
 *     a crash until normal again in every group) and loss_timeout is "never":
 *     there any loss, any re-forming and any unproven epoch is a violation.
 *     In the loss profile majorities may go at once; there a loss must show as
 *     a new epoch.
 * (4) The first violation ends the seed. */
#ifndef DUN_TESTS_SIM_H
#define DUN_TESTS_SIM_H

#include "base/assert.h"
#include "base/blob.h"
#include "base/buf.h"
#include "base/prng.h"
#include "cluster/node.h"

#include <inttypes.h>

enum {
    SIM_PEERS_MAX = 7,
    SIM_GROUPS_MAX = 16,
    SIM_CHANNELS_MAX = 16,
    SIM_CLIENTS_MAX = 8,
    SIM_FAULTS_MAX = 64,       /* active at once */
    SIM_INCARNATIONS_MAX = 64, /* of one group, in one run */
    SIM_EPOCHS_MAX = 512,      /* of one channel, in one run */
    SIM_PLANES = 2,
};

struct sim;

/* ---- options: the swarm draws them from the seed (sim_options.c) ---- */

enum sim_fault_type {
    SIM_FAULT_CRASH,
    SIM_FAULT_DRAIN, /* graceful stop, then as a crash */
    SIM_FAULT_PAUSE,
    SIM_FAULT_PARTITION,
    SIM_FAULT_ONE_WAY,   /* one directed link */
    SIM_FAULT_DEAF,      /* a peer receives nothing, or is not heard */
    SIM_FAULT_PLANE,     /* one plane of one pair */
    SIM_FAULT_SLOW,      /* a peer's links are slow */
    SIM_FAULT_LOSSY,     /* a peer's links lose much */
    SIM_FAULT_LINK_LOST, /* spurious event */
    SIM_FAULT_CLOCK,     /* a wall clock jumps */
    SIM_FAULT_TYPES
};

struct sim_options {
    uint64_t seed;
    uint32_t voters, groups, channels, clients;
    bool loss_profile;
    uint64_t loss_timeout_ms;
    /* load */
    uint32_t interval_us_max, window, keyed_ppm, hedge_ppm, publishes_max;
    uint32_t data_bytes_max, cast_ppm;
    /* node and store */
    uint32_t max_inflight, history_size;
    uint64_t submit_timeout_ms, history_ttl_ms, meta_ttl_ms, max_memory;
    /* network */
    uint32_t delay_us_min, delay_us_max, loss_ppm, dup_ppm, late_ppm, late_ms_max;
    uint32_t batch_us;
    bool reorder;
    bool raw_dups; /* repeats get past the replay window of the seal */
    /* faults */
    uint32_t fault_weight[SIM_FAULT_TYPES];
    uint32_t fault_interval_ms, fault_ms_max, down_ms_max, start_spread_ms, phase_ms;
    bool boot_regress; /* a restarted peer's clock may have gone back */
    bool heal_all;
};

void sim_options_swarm(struct sim_options *o, uint64_t seed, uint32_t voters, int loss_profile);

/* ---- events ---- */

enum sim_event_type {
    SIM_EV_PACKET,
    SIM_EV_TICK,
    SIM_EV_FLUSH,
    SIM_EV_LINK_LOST,
    SIM_EV_START,
    SIM_EV_RESUME,
    SIM_EV_STOP,    /* the end of a drain */
    SIM_EV_FAULT,   /* the next fault is due */
    SIM_EV_UNFAULT, /* a fault ends */
    SIM_EV_CLIENT,
    SIM_EV_RETRY,
    SIM_EV_SAMPLE
};

struct sim_packet {
    uint32_t from, to;
    enum node_plane plane;
    uint64_t from_boot;
    struct dun_blob *bytes; /* one reference */
    uint32_t copy;          /* index of its copies + 1; 0 = there is one only */
};

struct sim_event {
    uint64_t at_us, order;
    enum sim_event_type type;
    uint32_t a, b; /* peer, or what the type says */
    uint64_t life; /* events of an earlier life of the peer are dropped */
    struct sim_packet packet;
};

struct sim_queue {
    struct sim_event *heap;
    size_t count, cap;
    uint64_t order_next;
};

void sim_queue_push(struct sim_queue *q, struct sim_event ev); /* sets order */
bool sim_queue_pop(struct sim_queue *q, struct sim_event *out);
void sim_queue_deinit(struct sim_queue *q);

/* ---- peers ---- */

struct sim_cursor {
    bool valid;
    uint64_t epoch, seq;
};

struct sim_peer {
    struct sim *sim;
    uint32_t index;
    char name[8], gossip_addr[24], replication_addr[24], client_addr[24];
    bool up, paused, draining;
    bool broken;   /* stays out of the healed majority */
    uint64_t life; /* counts creations, crashes and pauses */
    uint64_t boot, boot_max;
    uint64_t mono_base_ms, wall_skew_ms;
    struct node *node;
    struct store *store;
    struct dun_log log;
    uint64_t tick_at_us; /* the scheduled tick; 0 = none */
    bool flush_pending;
    uint64_t slow_us; /* extra delay of its links */
    uint32_t lossy_ppm;
    struct sim_event *held; /* what came while paused */
    size_t held_count, held_cap;
    /* for the checkers */
    uint32_t commits_seen;                                            /* of the current node_out */
    bool was_normal[SIM_GROUPS_MAX];                                  /* since its boot */
    uint64_t range_first[SIM_GROUPS_MAX], range_last[SIM_GROUPS_MAX]; /* ops reported or passed */
    uint32_t range_incarnation[SIM_GROUPS_MAX];                       /* index */
    struct sim_cursor cursor[SIM_CHANNELS_MAX];
};

void sim_peer_init(struct sim *s, uint32_t index);
void sim_peer_start(struct sim *s, uint32_t index, uint64_t boot);
void sim_peer_crash(struct sim *s, uint32_t index, bool tell);
void sim_peer_pause(struct sim *s, uint32_t index);
void sim_peer_resume(struct sim *s, uint32_t index);
void sim_peer_event(struct sim *s, struct sim_event *ev); /* takes the event's packet */
/* Hands a publish over. false: refused, *err says why. */
bool sim_peer_submit(struct sim *s, uint32_t index, uint32_t attempt, dun_err *err);
void sim_peer_plain(struct sim *s, uint32_t index, enum node_event_type type); /* DRAIN, LEAVE */
void sim_peer_cast(struct sim *s, uint32_t index);
uint64_t sim_peer_boot_next(struct sim *s, uint32_t index);
/* A peer counts as down from its crash until it was normal in every group. */
bool sim_peer_down(const struct sim *s, uint32_t index);
uint32_t sim_down_count(const struct sim *s);
uint64_t sim_wall_ms(const struct sim *s, const struct sim_peer *p);

/* ---- network ---- */

struct sim_link {
    uint32_t cuts[SIM_PLANES];       /* active cuts */
    uint64_t last_at_us[SIM_PLANES]; /* keeps order when nothing reorders */
    bool hold[SIM_PLANES];           /* scripted: keep packets back */
};

void sim_net_send(struct sim *s, uint32_t from, const struct node_packet *p);
/* false: a repeat, which the seal's replay window keeps from the node. */
bool sim_net_admit(struct sim *s, const struct sim_packet *p);
/* Releases what scripted links kept back. */
void sim_net_release(struct sim *s, uint32_t from, uint32_t to);
void sim_net_cut(struct sim *s, uint32_t from, uint32_t to, int plane /* -1: both */, bool on);
void sim_net_clear(struct sim *s);
void sim_net_link_lost(struct sim *s, uint32_t index); /* its connections broke: tell the others */
int sim_peer_by_addr(const struct sim *s, const char *addr); /* -1: nobody */

/* ---- clients ---- */

enum sim_publish_state { SIM_PUB_PENDING, SIM_PUB_ACKED, SIM_PUB_UNKNOWN };

struct sim_publish {
    uint32_t channel, client;
    bool keyed, probe, hedged;
    enum sim_publish_state state;
    int only_peer; /* -1: any */
    uint32_t attempts, silent_peer;
    uint64_t retry_token;
    uint32_t position_count; /* in the history */
    uint64_t position_epoch; /* of the latest */
    uint64_t acked_seq, acked_epoch;
    uint32_t acked_attempt;
};

enum sim_attempt_state { SIM_TRY_OPEN, SIM_TRY_ANSWERED, SIM_TRY_REFUSED, SIM_TRY_DEAD };

struct sim_attempt {
    uint32_t publish, number, peer;
    uint64_t life, boot, at_us;
    enum sim_attempt_state state;
    bool submitted;      /* reached node_step */
    bool definitely_not; /* the reply said it did not happen */
    bool acked, duplicate;
    uint64_t acked_seq, acked_epoch;
    uint32_t committed; /* times seen in the history */
};

struct sim_client {
    uint32_t peer; /* sticky until an error */
    uint32_t open;
};

void sim_client_start(struct sim *s);
void sim_client_event(struct sim *s, const struct sim_event *ev); /* CLIENT */
void sim_client_retry(struct sim *s, const struct sim_event *ev); /* RETRY */
void sim_client_reply(struct sim *s, struct sim_peer *p, const struct node_reply *r);
void sim_client_peer_gone(struct sim *s, uint32_t index);
void sim_client_peer_resumed(struct sim *s, uint32_t index); /* what waited in its sockets */
/* One publish now, through @peer (-1: the client's choice). Returns its number. */
uint32_t sim_client_publish(struct sim *s, uint32_t client, uint32_t channel, bool keyed, int peer,
                            bool probe);
uint32_t sim_client_unanswered(const struct sim *s);
void sim_client_check_answers(struct sim *s); /* each submit is answered in time */
void sim_attempt_data(const struct sim *s, uint32_t attempt, struct dun_buf *out);

/* ---- history and checkers ---- */

struct sim_entry { /* what op is, as the first peer reported it */
    bool known;
    uint32_t channel, attempt, reporter;
    uint64_t seq, epoch;
};

struct sim_history {
    uint64_t incarnation;
    struct sim_entry *ops; /* index op */
    uint64_t op_cap, op_max;
};

struct sim_positions { /* (channel, epoch): seq -> attempt + 1 */
    uint64_t epoch;
    uint32_t *attempts;
    uint64_t cap, seq_max;
};

struct sim_group {
    struct sim_history histories[SIM_INCARNATIONS_MAX];
    uint32_t history_count;
    uint64_t epoch_first;
};

struct sim_channel {
    char name[24];
    uint32_t group;
    struct sim_positions *epochs;
    uint32_t epoch_count;
};

/* After every node_step of @p: its new commits, resyncs and states. */
void sim_check_step(struct sim *s, struct sim_peer *p);
void sim_check_peer_new(struct sim *s, struct sim_peer *p);
/* Equal commit numbers mean equal digests. */
void sim_check_digests(struct sim *s);
/* The entry delivered at (channel, epoch, seq): attempt, or -1. */
int64_t sim_check_at(const struct sim *s, uint32_t channel, uint64_t epoch, uint64_t seq);
void sim_check_final(struct sim *s); /* sim_final.c, after convergence */
/* true: healed peers agree and serve; else why (at most @size bytes). */
bool sim_converged(struct sim *s, char *why, size_t size);

/* ---- faults ---- */

struct sim_fault {
    bool active;
    enum sim_fault_type type;
    uint32_t peer;
    uint8_t cut[SIM_PEERS_MAX][SIM_PEERS_MAX]; /* bit per plane */
};

void sim_fault_next(struct sim *s);
void sim_fault_end(struct sim *s, uint32_t index);
void sim_fault_heal(struct sim *s);

/* ---- the run ---- */

struct sim {
    struct sim_options o;
    uint64_t now_us;
    struct dun_prng prng;
    struct sim_queue queue;
    struct sim_peer peers[SIM_PEERS_MAX];
    struct sim_link links[SIM_PEERS_MAX][SIM_PEERS_MAX];
    struct sim_group groups[SIM_GROUPS_MAX];
    struct sim_channel channels[SIM_CHANNELS_MAX];
    struct sim_client clients[SIM_CLIENTS_MAX];
    struct sim_publish *publishes;
    uint32_t publish_count, publish_cap;
    struct sim_attempt *attempts;
    uint32_t attempt_count, attempt_cap;
    uint32_t pending;    /* publishes not yet settled */
    uint32_t open_first; /* attempts before it are settled */
    struct sim_fault faults[SIM_FAULTS_MAX];
    uint64_t *copies; /* of a packet sent twice: life of the receiver that had it */
    uint32_t copy_count, copy_cap;
    struct sim_event *kept; /* packets of held links */
    size_t kept_count, kept_cap;
    bool formed; /* every voter was normal in every group */
    bool faults_on, load_on, healed;
    uint32_t fault_count;
    uint64_t commits;
    uint64_t events;
    uint64_t hash; /* of everything that happened */
    bool trace;    /* print events */
    bool failed;
    char violation[1024];
};

void sim_init(struct sim *s, const struct sim_options *o, bool trace);
void sim_deinit(struct sim *s);
/* Handles the next event; false: none left before @until_us. */
bool sim_step(struct sim *s, uint64_t until_us);
void sim_run_ms(struct sim *s, uint64_t ms); /* until a violation at the latest */
/* The whole life of a seed: faults, heal, convergence, last checks. */
void sim_run(struct sim *s);
/* Runs until healed peers agree, at most @ms; then the last checks. */
void sim_converge(struct sim *s, uint64_t ms);
void sim_push(struct sim *s, uint64_t at_us, enum sim_event_type type, uint32_t a, uint32_t b);

void sim_fail(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_tracef(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define SIM_TRACE(s, ...)                             \
    do {                                              \
        if ((s)->trace) sim_tracef((s), __VA_ARGS__); \
    } while (0)
void sim_trace_packet(struct sim *s, const struct sim_packet *p); /* its frames, in words */
void sim_hash(struct sim *s, uint64_t v);
void sim_hash_bytes(struct sim *s, struct dun_slice b);
void sim_log_init(struct sim *s, struct sim_peer *p);

/* Hand-written schedules (schedules.c). */
struct sim_schedule {
    const char *name;
    bool (*run)(bool trace); /* true: as it should be */
};
extern const struct sim_schedule sim_schedules[];
extern const uint32_t sim_schedule_count;

#endif
