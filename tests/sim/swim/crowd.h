/* tests/sim/swim/crowd.h: up to a thousand SWIM peers in virtual time.
 * Why: how long a dead peer goes unnoticed, how often a living one is accused
 * and what that costs are promises about large clusters, which nobody can run
 * on one machine in real time. Here each peer is the shipping cluster/swim_*.c,
 * packets are its encoded bytes, and one seed decides everything.
 *   crowd_net.c    calendar, packets, peers that start, stop and are paused
 *   crowd_watch.c  what the peers believe of each other, against what is so
 *   crowd_story.c  the measurements, one after another on one crowd
 *   crowd_bound.c  what must hold, as formulas of the parameters
 *   crowd_print.c  the table, and the same as JSON
 *   crowd_main.c   options */
#ifndef DUN_TESTS_SIM_CROWD_H
#define DUN_TESTS_SIM_CROWD_H

#include "base/buf.h"
#include "base/prng.h"
#include "cluster/swim_internal.h"

enum {
    CROWD_PEERS_MIN = 3,
    CROWD_PEERS_MAX = 1000,
    CROWD_SEEDS = 3, /* the first peers; all know their addresses */
    CROWD_LATENCY_MS_MIN = 1,
    CROWD_LATENCY_MS_MAX = 4,
    CROWD_DAYS = 2048,      /* of 1 ms; a power of two above SWIM_IDLE_MS */
    CROWD_INBOX_MAX = 1024, /* packets that wait at a paused peer; more are lost */
    CROWD_META_BYTES = 120, /* about what a peer of five voters says of itself */
    CROWD_SAMPLES_MAX = 1000,
    CROWD_PACKET_TYPES = SWIM_WHO_ACK + 1,
    CROWD_SLOW_PERCENT = 5, /* members that stop and go in the slow story */
    CROWD_SLOW_STOP_MS = 2000,
    CROWD_SLOW_GO_MS = 500,
    CROWD_LEAVE_MS = 200, /* from its farewell to its end */
};

_Static_assert(CROWD_DAYS > (int)SWIM_IDLE_MS && (CROWD_DAYS & (CROWD_DAYS - 1)) == 0,
               "a deadline falls on a day of its own");
_Static_assert(CROWD_PEERS_MAX <= (int)DUN_PEERS_MAX, "all fit one table");

struct crowd_options {
    uint32_t peers;
    uint32_t seconds; /* of each steady story at CROWD_PEERS_MAX; fewer peers run longer */
    uint32_t crashes; /* and leaves */
    uint32_t loss_ppm;
    uint64_t seed;
    uint32_t interval_ms, timeout_ms, suspicion_mult, suspicion_max_mult; /* as in swim_config */
};

/* ---- crowd_net.c ---- */

struct crowd_packet {
    struct crowd_packet *next;
    uint32_t from, to;
    uint64_t from_boot;
    struct dun_buf bytes;
};

struct crowd_queue {
    struct crowd_packet *first, **last;
    uint32_t count;
};

struct crowd_peer {
    char name[16], addr[24];
    struct swim *swim; /* NULL: not running */
    bool live;         /* running and not leaving: its beliefs count */
    bool paused;
    bool slow; /* is paused now and then in this story */
    uint64_t boot;
    uint64_t pause_ms, resume_ms, end_ms; /* next such turn; 0: none */
    struct crowd_queue inbox;             /* while paused */
    struct crowd_peer *next, **prev;      /* of the same day; prev NULL: in no day */
    uint64_t bytes_sent;                  /* since the story began */
};

struct crowd_day {
    struct crowd_queue packets;
    struct crowd_peer *ticks;
};

struct crowd_counts { /* since the story began */
    uint64_t sent[CROWD_PACKET_TYPES];
    uint64_t packets, bytes, table_bytes; /* bytes with the envelope of cluster/seal.h */
    uint64_t largest_bytes;
    uint64_t lost, overflowed, refused;
    uint64_t suspicions;                   /* of members that ran and were not slow */
    uint64_t deaths, death_reports;        /* of such, and how many observers said so */
    uint64_t slow_suspicions, slow_deaths; /* of members that were */
};

/* ---- crowd_watch.c ---- */

enum crowd_watch_kind { CROWD_IDLE, CROWD_CRASH, CROWD_JOIN, CROWD_LEAVE };

struct crowd_watch { /* of one subject */
    enum crowd_watch_kind kind;
    uint64_t start_ms, suspect_ms, first_ms, all_ms, self_ms; /* 0: not yet */
    uint64_t suspected_boot, dead_boot;                       /* the newest claim counted */
    int64_t suspected_incarnation, dead_incarnation;
};

struct crowd_samples {
    uint32_t count;
    uint32_t ms[CROWD_SAMPLES_MAX];
};

struct crowd {
    struct crowd_options o;
    struct dun_prng prng;
    uint64_t now_ms;
    uint32_t loss_ppm; /* now */
    struct crowd_day days[CROWD_DAYS];
    struct crowd_peer peers[CROWD_PEERS_MAX];
    uint32_t live_count;
    struct crowd_counts counts;
    struct crowd_watch watches[CROWD_PEERS_MAX];
    bool believes[CROWD_PEERS_MAX][CROWD_PEERS_MAX]; /* [observer][subject]: it is up */
    uint32_t believed[CROWD_PEERS_MAX];              /* live observers for whom a subject is up */
    uint32_t believing[CROWD_PEERS_MAX];             /* subjects that are up for an observer */
};

struct crowd *crowd_create(const struct crowd_options *o);
void crowd_destroy(struct crowd *c);
void crowd_start(struct crowd *c, uint32_t i);
void crowd_crash(struct crowd *c, uint32_t i);
void crowd_leave(struct crowd *c, uint32_t i);
void crowd_pause(struct crowd *c, uint32_t i);
void crowd_resume(struct crowd *c, uint32_t i);
void crowd_step(struct crowd *c); /* one millisecond */
void crowd_run(struct crowd *c, uint64_t ms);
/* false: @done did not hold within @ms. */
bool crowd_until(struct crowd *c, bool (*done)(const struct crowd *c), uint64_t ms);
void crowd_counts_reset(struct crowd *c);

void crowd_watch_start(struct crowd *c, uint32_t i, enum crowd_watch_kind kind);
void crowd_watch_event(struct crowd *c, uint32_t observer, enum swim_event_type type,
                       const struct swim_member *m);
void crowd_watch_gone(struct crowd *c, uint32_t observer); /* what it believed no longer counts */
void crowd_watch_step(struct crowd *c);
bool crowd_watch_done(const struct crowd *c); /* every watch has seen its end */
bool crowd_all_known(const struct crowd *c);  /* every live peer knows exactly the live ones */
void crowd_sample(struct crowd_samples *s, uint64_t from_ms, uint64_t to_ms);
uint32_t crowd_mean(const struct crowd_samples *s);
uint32_t crowd_p99(const struct crowd_samples *s); /* by nearest rank */
uint32_t crowd_max(const struct crowd_samples *s);

/* ---- crowd_story.c ---- */

struct crowd_load {
    struct crowd_counts counts;
    double messages, bytes, table_bytes; /* sent per peer and second */
    uint64_t ms;
};

struct crowd_crashes {
    struct crowd_samples suspect, first, all; /* first suspicion, first and last "dead" */
    uint32_t unnoticed;                       /* not known to all within the bound */
    struct crowd_load load;
};

struct crowd_result {
    struct crowd_options o;
    uint64_t storm_ms; /* all start at once: until each knows all; 0: not within the bound */
    struct crowd_load storm;
    uint64_t storm_left;       /* tellings a peer has left then, on average */
    uint64_t storm_peer_bytes; /* sent by the busiest peer, a seed */
    struct crowd_load calm;
    struct crowd_crashes crash, crash_lossy;
    struct crowd_samples join, join_self, leave;
    uint32_t joins_missed, leaves_missed;
    struct crowd_load lossy, slow;
    uint32_t slow_members;
    uint64_t lossy_settle_ms, slow_settle_ms; /* until all know all again */
    bool lossy_settled, slow_settled;
};

void crowd_measure(struct crowd_result *r, const struct crowd_options *o);

/* ---- crowd_bound.c ---- */

/* Formulas of the parameters; see there. */
uint64_t crowd_bound_suspect_ms(const struct crowd_options *o);
uint64_t crowd_bound_dead_ms(const struct crowd_options *o);
uint64_t crowd_bound_known_ms(const struct crowd_options *o);
uint64_t crowd_bound_storm_ms(const struct crowd_options *o);
double crowd_bound_calm(const struct crowd_options *o);
double crowd_bound_busy(const struct crowd_options *o);
/* Prints each bound that @r breaks; true: none. */
bool crowd_bounds_hold(const struct crowd_result *r);

/* ---- crowd_print.c ---- */

void crowd_print_table(const struct crowd_result *r, uint32_t count);
void crowd_print_json(const struct crowd_result *r);

#endif
