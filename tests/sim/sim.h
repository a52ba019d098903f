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
    SIM_VOTERS_MAX = 7,
    SIM_GUESTS_MAX = 4, /* peers that are no voters */
    SIM_PEERS_MAX = SIM_VOTERS_MAX + SIM_GUESTS_MAX,
    SIM_NAMES_MAX = SIM_PEERS_MAX + 2, /* guests come back under other names and addresses */
    SIM_GROUPS_MAX = 64,
    SIM_CHANNELS_MAX = 16,
    SIM_CLIENTS_MAX = 8,
    SIM_FAULTS_MAX = 64,       /* active at once */
    SIM_INCARNATIONS_MAX = 64, /* of one group, in one run */
    SIM_EPOCHS_MAX = 512,      /* of one channel, in one run */
    SIM_PLANES = 2,
    SIM_SWARMS = 2,
    SIM_PPM = 1000000,
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
    SIM_FAULT_CLOCK,     /* a wall clock jumps ahead */
    /* from swarm 2 on */
    SIM_FAULT_ONE_WAY_SET, /* some peers are not heard by the others */
    SIM_FAULT_BRIDGE,      /* two sides, and one peer that sees both */
    SIM_FAULT_MAZE,        /* any set of directed links */
    SIM_FAULT_FLAP,        /* one of the cuts, on and off and on */
    SIM_FAULT_SLOW_PEER,   /* its steps take time */
    SIM_FAULT_RATE,        /* a monotonic clock far from true for a while */
    SIM_FAULT_WALL,        /* a wall clock is set, ahead or back */
    SIM_FAULT_ROLL,        /* a rolling restart of all voters */
    SIM_FAULT_STOP_ALL,    /* loss profile: the whole cluster stops */
    SIM_FAULT_GHOST,       /* what a peer said before a crash arrives after it has recovered */
    SIM_FAULT_TYPES,
    SIM_FAULT_TYPES_1 = SIM_FAULT_CLOCK + 1 /* those of swarm 1 */
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
    /* from swarm 2 on */
    uint32_t guests;
    uint32_t drift_ppm;        /* monotonic clocks are wrong by up to this */
    uint64_t wall_jump_ms_max; /* wall clocks are set by up to this */
    uint32_t work_us_max;      /* what a step of a slow peer takes at most */
    uint32_t burst_ppm, burst_max;
    uint32_t aim_ppm; /* of snapshot transfers, those that something happens to */
    bool trim;        /* by age and memory, as the process does */
};

/* What a seed means depends on the swarm it is drawn from: 1 is as it was before the dimensions
 * that came later, so that old findings can still be replayed. */
struct sim_choice {
    uint32_t swarm, voters; /* voters 0: drawn */
    int loss_profile;       /* -1: drawn */
};
void sim_options_swarm(struct sim_options *o, uint64_t seed, const struct sim_choice *c);

/* ---- events ---- */

enum sim_event_type {
    SIM_EV_PACKET,
    SIM_EV_TICK,
    SIM_EV_FLUSH,
    SIM_EV_LINK_LOST,
    SIM_EV_START,
    SIM_EV_RESUME,
    SIM_EV_WORK,    /* a slow peer takes up what waits */
    SIM_EV_SUBMIT,  /* a publish that waits in a slow peer's socket */
    SIM_EV_STOP,    /* the end of a drain */
    SIM_EV_FAULT,   /* a fault is due: type b - 1 on peer a, or (b = 0) whatever is drawn */
    SIM_EV_UNFAULT, /* a fault ends */
    SIM_EV_FLAP,
    SIM_EV_ROLL,
    SIM_EV_GHOST,
    SIM_EV_GUEST,
    SIM_EV_CLIENT,
    SIM_EV_RETRY,
    SIM_EV_SAMPLE
};

struct sim_packet {
    uint32_t from, to;
    enum node_plane plane;
    uint8_t from_name, to_name; /* as sealed: index of the name; SIM_NAMES_MAX: whoever is there */
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

/* Time as one peer has it: it runs at its own rate. */
struct sim_clock {
    uint64_t local_us, since_us; /* local time when the rate was set, and when that was */
    uint32_t rate_ppm;           /* SIM_PPM: true */
    uint64_t mono_base_ms;
    int64_t wall_skew_ms;
};

struct sim_peer {
    struct sim *sim;
    uint32_t index;
    uint32_t name_index;
    const char *name;
    char gossip_addr[24], replication_addr[24], client_addr[24];
    bool up, paused, draining;
    bool broken;   /* stays out of the healed majority */
    uint64_t life; /* counts creations, crashes and pauses */
    uint64_t boot;
    struct sim_clock clock;
    struct node *node;
    struct store *store;
    struct dun_log log;
    uint64_t tick_at_us; /* the scheduled tick; 0 = none */
    bool flush_pending;
    uint64_t slow_us; /* extra delay of its links */
    uint32_t lossy_ppm;
    uint32_t work_us;       /* what a step takes at most; 0: no time */
    bool working;           /* SIM_EV_WORK is under way */
    struct sim_event *held; /* what came while it was paused or at work */
    size_t held_first, held_count, held_cap;
    uint64_t snapshots_out; /* of this life */
    /* for the checkers */
    uint32_t open_submits[SIM_GROUPS_MAX];                            /* taken, not answered */
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
/* true: it is at work, and takes the publish up later. */
bool sim_peer_submit_later(struct sim *s, uint32_t index, uint32_t attempt);
void sim_peer_work(struct sim *s, uint32_t index);                             /* WORK */
void sim_peer_plain(struct sim *s, uint32_t index, enum node_event_type type); /* DRAIN, LEAVE */
void sim_peer_cast(struct sim *s, uint32_t index);
uint64_t sim_peer_boot_next(struct sim *s, uint32_t index);
/* A peer counts as down from its crash until it was normal in every group, in an incarnation that
 * the others hold or left for one that it votes in. */
bool sim_peer_down(const struct sim *s, uint32_t index);
uint32_t sim_down_count(const struct sim *s);
bool sim_is_voter(const struct sim *s, uint32_t index);

/* ---- clocks (sim_clock.c) ---- */

void sim_clock_init(struct sim *s, struct sim_peer *p);
void sim_clock_rate(struct sim *s, struct sim_peer *p, uint32_t rate_ppm);
uint32_t sim_clock_rate_usual(const struct sim *s, const struct sim_peer *p);
void sim_clock_set_wall(struct sim *s, struct sim_peer *p);
uint64_t sim_mono_ms(const struct sim *s, const struct sim_peer *p);
uint64_t sim_wall_ms(const struct sim *s, const struct sim_peer *p);
/* When @p's monotonic clock will show @mono_ms; the next millisecond if it does already. */
uint64_t sim_clock_at_us(const struct sim *s, const struct sim_peer *p, uint64_t mono_ms);

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
    uint64_t position_time_ms;
    bool expired; /* its key was forgotten by age in between, so it may be there twice */
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
void sim_client_arrived(struct sim *s, uint32_t attempt); /* a slow peer reads it */
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
    uint64_t digested; /* where its peers stood when the digests were compared */
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
/* Equal commit numbers mean equal digests; of groups that moved since, or of all. */
void sim_check_digests(struct sim *s, bool all);
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
    uint64_t number;                           /* which one is in this slot */
    uint8_t cut[SIM_PEERS_MAX][SIM_PEERS_MAX]; /* bit per plane */
    uint64_t flap_us;                          /* longest time on or off; 0: on all the time */
    bool cut_on;
};

void sim_fault_next(struct sim *s, const struct sim_event *ev);
void sim_fault_end(struct sim *s, uint32_t index);
void sim_fault_heal(struct sim *s);
/* @from gives @to a snapshot: something may happen to one of them, or to a primary. */
void sim_fault_aim(struct sim *s, uint32_t from, uint32_t to);
bool sim_fault_may_go_down(const struct sim *s, uint32_t index);
uint32_t sim_fault_some_primary(struct sim *s, uint32_t otherwise); /* of a random group */
uint64_t sim_fault_span_us(struct sim *s, uint32_t max_ms);

/* sim_cut.c: which links are cut by a fault. */
void sim_cut_begin(struct sim *s, struct sim_fault *f);
void sim_cut_end(struct sim *s, struct sim_fault *f);
void sim_cut_flap(struct sim *s, const struct sim_event *ev);

/* sim_restart.c: restarts with a plan. */
struct sim_roll {
    bool on, drain;
    uint32_t peer;
    enum { SIM_ROLL_WAIT, SIM_ROLL_DRAIN, SIM_ROLL_DOWN } stage;
    uint64_t since_us; /* this stage */
};
bool sim_restart_drain(struct sim *s, uint32_t index); /* false: it cannot drain now */
void sim_restart_roll(struct sim *s);
void sim_restart_roll_step(struct sim *s);
void sim_restart_stop_all(struct sim *s);
void sim_restart_ghost(struct sim *s, uint32_t index);
void sim_restart_ghost_step(struct sim *s, const struct sim_event *ev);

/* sim_guest.c: peers that are no voters come and go. */
void sim_guest_start(struct sim *s);
void sim_guest_event(struct sim *s, const struct sim_event *ev);
void sim_guest_heal(struct sim *s);
/* Does @p see every up guest, in its present life, and no other? */
bool sim_guest_seen(const struct sim *s, const struct sim_peer *p, char *why, size_t size);

/* ---- coverage: what a run went through (sim_cover.c) ---- */

#define SIM_COVER_MAP(X)          \
    X(VIEW_CHANGES, view_changes) \
    X(RECOVERIES, recoveries)     \
    X(TRANSFERS, transfers)       \
    X(SNAPSHOTS, snapshots)       \
    X(REFORMS, reforms)           \
    X(EXPIRED, trimmed_by_age)    \
    X(EVICTED, trimmed_by_memory) \
    X(OVERLOADED, overloaded)     \
    X(UNREADY, unready)           \
    X(TIMEOUTS, timeouts)         \
    X(DUPLICATES, duplicates)     \
    X(CRASHES, crashes)           \
    X(DRAINS, drains)             \
    X(OUTLIVED, outlived)         \
    X(PAUSES, pauses)             \
    X(SLOW_PEERS, slow_peers)     \
    X(CUTS, cuts)                 \
    X(ONE_WAY_SETS, one_way_sets) \
    X(BRIDGES, bridges)           \
    X(FLAPS, flaps)               \
    X(WALL_JUMPS, wall_jumps)     \
    X(KEYS_EXPIRED, keys_expired) \
    X(DRIFTS, drifting_clocks)    \
    X(ROLLS, rolling_restarts)    \
    X(STOPS_ALL, full_restarts)   \
    X(GHOSTS, ghosts)             \
    X(AIMED, faults_in_transfers) \
    X(GUESTS, guests_started)     \
    X(MOVES, guests_moved)

#define X(constant, name) SIM_COVER_##constant,
enum sim_cover_id { SIM_COVER_MAP(X) SIM_COVER_COUNT };
#undef X

struct sim_cover {
    uint64_t counts[SIM_COVER_COUNT];
};
extern const char *const sim_cover_names[SIM_COVER_COUNT];
void sim_cover_peer(struct sim *s, const struct sim_peer *p); /* at the end of its life */
#define SIM_COVER(s, what) ((s)->cover.counts[SIM_COVER_##what]++)

/* ---- the run ---- */

struct sim {
    struct sim_options o;
    uint32_t peer_count; /* voters, then guests */
    char names[SIM_NAMES_MAX][8];
    uint64_t boot_max[SIM_NAMES_MAX]; /* by name */
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
    struct sim_roll roll;
    struct sim_cover cover;
    uint64_t *copies; /* of a packet sent twice: life of the receiver that had it */
    uint32_t copy_count, copy_cap;
    struct sim_event *kept; /* packets of held links */
    size_t kept_count, kept_cap;
    bool formed; /* every voter was normal in every group */
    bool faults_on, load_on, healed;
    uint32_t fault_count;
    uint64_t fault_number; /* of those that end */
    uint64_t commits;
    uint64_t healed_us, converged_ms; /* how long the healed ones took to agree */
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
