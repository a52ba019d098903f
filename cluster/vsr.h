/* cluster/vsr.h: Viewstamped Replication of one group, diskless.
 * Sources: Liskov, Cowling, Viewstamped Replication Revisited (2012), "VRR";
 * Michael et al., Recovering Shared Objects Without Stable Storage (DISC 2017).
 *
 *   RECOVERING --answers of enough normal peers + state--> NORMAL
 *   NORMAL ----doubt about the primary, or a higher view-> VIEW_CHANGE
 *   VIEW_CHANGE --quorum of votes (primary) or state-----> NORMAL
 *   VIEW_CHANGE --higher view----------------------------> VIEW_CHANGE
 *   any --the incarnation went on without us-------------> RECOVERING
 *   RECOVERING --consent to a new incarnation------------> VIEW_CHANGE
 *
 * Where this differs from VRR, and why it is as safe:
 * - STARTVIEWCHANGE and DOVIEWCHANGE are one message, the STATE frame with
 *   status VIEW_CHANGE: it says the highest view and is the vote of its sender,
 *   who from then on takes nothing of a lower view. STATE is repeated, so no
 *   vote is lost for long.
 * - Votes carry no log. The new primary fetches the chosen log from its owner,
 *   whose log cannot change while it stays in that view change.
 * - A backup enters a view (log_view = view, status NORMAL) only once it holds
 *   that view's whole starting log, put together aside (vsr_fetch) and swapped
 *   in at once, so a half-fetched log never votes.
 * - With a quorum of two, a backup that appends an operation in NORMAL status
 *   knows two copies (the sender's and its own): it commits at once.
 * - Crash consistency: env->boots holds the newest boot heard of for each voter.
 *   Frames of older boots are dropped before they get here; when a boot rises,
 *   vsr_peer_reset() discards that voter's votes and acknowledgements. So no
 *   quorum mixes a message with one that knows of its sender's later restart.
 *
 * Invariants (vsr_check):
 * (1) commit <= log.head; log.first <= commit + 1.
 * (2) NORMAL: log_view == view. VIEW_CHANGE: log_view < view.
 * (3) RECOVERING: log_view == {0, 0}, nothing voted or acknowledged.
 * (4) view never goes down but by entering RECOVERING. */
#ifndef DUN_CLUSTER_VSR_H
#define DUN_CLUSTER_VSR_H

#include "base/log.h"
#include "base/mutation.h"
#include "base/prng.h"
#include "cluster/node.h"
#include "cluster/vsr_log.h"
#include "cluster/wire.h"

enum {
    VSR_RESEND_MS = 100,      /* unacknowledged PREPAREs go out again */
    VSR_VIEW_CHANGE_MS = 250, /* first patience with a view change, then x 1.5 .. */
    VSR_VIEW_CHANGE_MS_MAX = 2000,
    VSR_FETCH_MS = 300, /* an unanswered fetch request goes out again */
    VSR_FETCH_TRIES_MAX = 4,
    VSR_FORM_SETTLE_MS = 150,    /* what was heard must stand this long before forming */
    VSR_FORM_AGAIN_MS = 2000,    /* a forming that got nowhere is tried again after */
    VSR_HANDOVER_MS = 500,       /* patience with handing a group over */
    VSR_HANDOVER_WAIT_MS = 2000, /* a view is this old before it is handed back */
    VSR_HANDOVER_WAIT_MS_MAX = 300000,
    VSR_HANDOVER_FORGET_MS = 60000, /* a view this old forgives handovers that came back */
    VSR_SNAPSHOT_KEEP_MS = 2000,    /* a snapshot nobody asked for lately is let go */
    VSR_INFLIGHT_BYTES_MAX = DUN_LOG_BYTES_MAX,
    VSR_SNAPSHOT_BYTES_MAX = 1 << 30,
    VSR_SERVING_BYTES_MAX = 4 * DUN_LOG_BYTES_MAX, /* of the log while a snapshot is fetched */
};

/* What the groups of one node share. Owned by the node. */
struct vsr_env {
    uint32_t voter_count, self;
    uint32_t quorum;  /* majority */
    uint32_t answers; /* normal peers a recovering one must hear: n - quorum + 1 */
    uint64_t now_ms, wall_ms;
    uint64_t boots[DUN_VOTERS_MAX]; /* newest known; own at [self] */
    bool fresh[DUN_VOTERS_MAX];     /* heard lately under that boot */
    bool usable[DUN_VOTERS_MAX];    /* fresh, linked, and itself hears a majority */
    bool contact;                   /* we hear a majority */
    bool draining;
    uint64_t loss_timeout_ms;
    uint32_t max_inflight;
    struct store *store;
    struct dun_prng prng;
    const struct dun_log *log;
    struct dun_buf frames[DUN_VOTERS_MAX]; /* to be sent, by voter */
    struct wire_frame scratch;             /* for writing frames with entries: 24 KiB */
    uint32_t snapshots_serving;
    uint64_t view_changes, transfers, snapshots_in, snapshots_out, ops_committed;
    uint64_t forms;   /* groups started empty under us */
    uint64_t reforms; /* groups started from a surviving log under us: a possible loss */
    /* Effects on the node. */
    void (*on_applied)(struct vsr_env *env, uint32_t group, uint64_t op,
                       const struct store_result *r);
    void (*on_resync)(struct vsr_env *env, uint32_t group);
    void (*on_full)(struct vsr_env *env, uint32_t voter); /* frames[voter] passed the soft max */
};

/* The last STATE of a voter under its newest boot, and what it acknowledged. */
struct vsr_peer {
    bool valid;
    enum vsr_status status;
    struct vsr_view view, log_view, base;
    uint64_t head, commit, base_op;
    uint64_t ack;   /* primary: holds everything up to here in this view; 0 = nothing said yet */
    uint64_t floor; /* primary: commit when the view started; flow control before the first ack */
    uint64_t sent;  /* primary: PREPAREd up to here in this view */
    uint64_t commit_sent;
    uint64_t progress_ms;
    uint64_t state_ms; /* when that STATE came */
    uint64_t order;    /* of its packet */
};

enum vsr_fetch_kind {
    VSR_FETCH_NONE,
    VSR_FETCH_APPEND, /* a normal backup with a hole */
    VSR_FETCH_JOIN,   /* a backup entering a view */
    VSR_FETCH_START,  /* a primary-elect getting the chosen log */
    VSR_FETCH_RECOVER
};

struct vsr_fetch {
    enum vsr_fetch_kind kind;
    uint32_t peer;
    struct vsr_view view, log_view; /* what the answers must show */
    uint64_t target;                /* head to reach */
    struct vsr_log stage;           /* operations after our own part */
    uint64_t source_commit;
    bool whole;    /* nothing of our own log is part of it: ours is emptied at the end */
    bool snapshot; /* snap holds a whole snapshot; the stage goes on from snap_op */
    uint64_t snap_op, snap_total;
    struct dun_buf snap;
    uint64_t sent_ms;
    uint32_t tries;
};

struct vsr {
    struct vsr_env *env;
    uint32_t group;
    uint8_t order[DUN_VOTERS_MAX];
    enum vsr_status status;
    struct vsr_view view;
    struct vsr_view log_view; /* last view entered; {0,0}: no state */
    struct vsr_view base;     /* log_view of the log that `view` started from, */
    uint64_t base_op;         /* and its head; 0,0 when not known */
    uint64_t primary_boot;    /* boot of the primary we entered the view with */
    struct vsr_log log;
    uint64_t commit;
    /* Incarnation in which a quorum held all up to commit: its later logs have that prefix. What
     * was committed in an earlier one only may be lost by one that is re-formed once more. */
    uint64_t sure_inc;
    uint64_t log_time_ms;  /* time of the newest entry */
    uint64_t log_heard_ms; /* when it was that, on our monotonic clock; see vsr_log_time() */
    struct vsr_peer peers[DUN_VOTERS_MAX];
    struct vsr_fetch fetch;
    uint64_t entered_ms;    /* the present status and view */
    uint64_t inc_ms;        /* the present incarnation */
    uint64_t inc_floor;     /* incarnations up to it may be older than this life */
    uint64_t change_ms;     /* patience with this view change */
    uint64_t form_since_ms; /* a quorum with state has been missing since; 0 = not */
    uint32_t handover_to;   /* voter; voter_count = none */
    uint64_t handover_ms, handover_wait_ms;
    bool forming; /* the votes counted do not cover what may be committed: a new epoch */
    bool state_due, ack_due;
    struct dun_buf snap_out; /* snapshot being served; empty = none */
    uint64_t snap_out_op, snap_out_ms;
    uint32_t snap_out_takers; /* bit per voter that asked for it and does not hold it yet */
};

void vsr_init(struct vsr *v, struct vsr_env *env, const char *const *names, uint32_t group);
void vsr_deinit(struct vsr *v);

uint32_t vsr_primary(const struct vsr *v); /* of the present view; voter index */
bool vsr_is_primary(const struct vsr *v);  /* NORMAL and us */

/* Primary: takes an operation (a reference of its own). VRR section 4.1.
 * Errors: DUN_E_NOTPRIMARY, DUN_E_OVERLOADED; nothing taken. */
dun_err vsr_submit(struct vsr *v, struct dun_blob *op) DUN_MUST_USE;
void vsr_tick(struct vsr *v);
void vsr_flush(struct vsr *v); /* PREPAREs, acknowledgements and STATE into env->frames */

/* A frame from voter @from under its newest boot, addressed to our present boot.
 * Errors: DUN_E_MALFORMED (an operation in it does not decode, or a number is out of range). */
dun_err vsr_recv(struct vsr *v, uint32_t from, const struct wire_frame *f) DUN_MUST_USE;
/* A newer boot of @voter became known. */
void vsr_peer_reset(struct vsr *v, uint32_t voter);
/* Send STATE of this group at the next flush. */
void vsr_announce(struct vsr *v);
/* Primary: hand the group to @to as soon as it holds everything. */
void vsr_handover(struct vsr *v, uint32_t to);
void vsr_check(const struct vsr *v);

/* ---- shared by cluster/vsr_*.c only ---- */

static inline bool vsr_has_state(const struct vsr *v)
{
    return v->log_view.inc != 0;
}

void vsr_enter(struct vsr *v, enum vsr_status to); /* only writer of status */
/* A quorum of our incarnation holds all up to @op; no news if we know of more. */
void vsr_commit_to(struct vsr *v, uint64_t op);
/* What others may take for committed: nothing before we are sure of it in our incarnation. */
uint64_t vsr_sure_commit(const struct vsr *v);
/* An entry of @time_ms is in our log. */
void vsr_log_time(struct vsr *v, uint64_t time_ms);
/* Sets log_time_ms for a new entry: our wall clock. Behind the log, which an earlier primary with a
 * wrong clock may have taken years ahead, time goes on at half the pace, until our clock is past
 * it: it never goes back, and never stands still, as then nothing would expire. */
void vsr_log_stamp(struct vsr *v);
void vsr_standing(const struct vsr *v, struct wire_frame *f); /* fills group .. commit */
struct dun_buf *vsr_frames(struct vsr *v, uint32_t to);       /* where to write for @to */
void vsr_sent(struct vsr *v, uint32_t to);                    /* after writing: cut if large */

/* vsr_normal.c */
dun_err vsr_recv_prepare(struct vsr *v, uint32_t from, const struct wire_frame *f) DUN_MUST_USE;
void vsr_recv_prepare_ok(struct vsr *v, uint32_t from, uint64_t head);
void vsr_backup_commit(struct vsr *v, uint64_t known);
void vsr_normal_flush(struct vsr *v);
void vsr_normal_tick(struct vsr *v);
dun_err vsr_entries_valid(const struct wire_frame *f) DUN_MUST_USE;

/* vsr_view_change.c */
void vsr_view_change(struct vsr *v, struct vsr_view to, const char *why);
void vsr_view_next(struct vsr *v, const char *why);
void vsr_votes_count(struct vsr *v);
void vsr_view_start(struct vsr *v);
void vsr_view_enter(struct vsr *v, struct vsr_view view, struct vsr_view base, uint64_t base_op);
void vsr_view_join(struct vsr *v, uint32_t from);
void vsr_view_tick(struct vsr *v);

/* vsr_recovery.c */
void vsr_recover(struct vsr *v, const char *why);
void vsr_recover_try(struct vsr *v);

/* vsr_form.c */
void vsr_form_tick(struct vsr *v);
bool vsr_form_consent(const struct vsr *v, uint64_t inc);
bool vsr_form_follow(const struct vsr *v, const struct vsr_peer *p);

/* vsr_transfer.c */
/* @base: the part of our log that is part of the wanted one; VSR_FETCH_WHOLE: none is known to be.
 */
void vsr_fetch_start(struct vsr *v, enum vsr_fetch_kind kind, uint32_t peer, uint64_t base,
                     uint64_t target);
#define VSR_FETCH_WHOLE UINT64_MAX
void vsr_fetch_stop(struct vsr *v);
void vsr_fetch_tick(struct vsr *v);
void vsr_snapshot_taken(struct vsr *v, uint32_t voter); /* it needs no more of ours */
void vsr_snapshot_drop(struct vsr *v);
void vsr_recv_get_state(struct vsr *v, uint32_t from, const struct wire_frame *f);
dun_err vsr_recv_new_state(struct vsr *v, uint32_t from, const struct wire_frame *f) DUN_MUST_USE;
dun_err vsr_recv_snapshot(struct vsr *v, uint32_t from, const struct wire_frame *f) DUN_MUST_USE;

#endif
