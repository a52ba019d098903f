/* cluster/node.h: one peer: membership, replication of all groups, the store.
 * Why: the process and the simulator drive the very same object. Sans-I/O:
 * events with time come in through node_step(), effects are read from
 * node_out() and performed by the caller in the order of the arrays below.
 *
 * Use: any number of node_step() for what arrived, then one NODE_EV_FLUSH (it
 * turns what gathered into packets, so a loop iteration costs one packet per
 * peer), then perform node_out(), then node_out_clear(). Call NODE_EV_TICK
 * (which flushes too) at node_deadline_ms() at the latest.
 *
 * (1) A commit is reported once, in order within its group.
 * (2) A submit gets exactly one reply, unless node_step refused it.
 * (3) Nothing is applied to the store that is not committed.
 * (4) After a restart a peer counts in no quorum of a group until it has
 *     recovered that group (node_status().groups_normal). */
#ifndef DUN_CLUSTER_NODE_H
#define DUN_CLUSTER_NODE_H

#include "base/err.h"
#include "base/log.h"
#include "cluster/swim.h"
#include "store/store.h"

enum node_plane { NODE_GOSSIP, NODE_REPLICATION };

struct node_config {
    const char *name;
    const char *voters[DUN_VOTERS_MAX]; /* names; any order, the same set on all peers */
    uint32_t voter_count;               /* odd sizes are useful; 1..DUN_VOTERS_MAX */
    const char *gossip_addr;            /* advertised "host:port" */
    const char *replication_addr;
    const char *client_addr;
    const char *version;
    const char *seeds[DUN_SEEDS_MAX];
    uint32_t seed_count;
    uint64_t boot; /* max(wall clock in ms, highest known + 1); > 0 */
    uint64_t prng_seed;
    uint32_t group_count;
    struct store *store;        /* borrowed; this node is its only writer */
    uint64_t loss_timeout_ms;   /* wait for missing voters before re-forming; 0 = for ever */
    uint32_t max_inflight;      /* per group; 0 = DUN_INFLIGHT_MAX */
    uint64_t submit_timeout_ms; /* 0 = 5000 */
    const struct dun_log *log;
};

enum node_event_type {
    NODE_EV_TICK,
    NODE_EV_FLUSH,
    NODE_EV_PACKET,    /* an opened packet arrived */
    NODE_EV_SUBMIT,    /* a local client publishes */
    NODE_EV_LINK_LOST, /* a connection of ours to addr broke */
    NODE_EV_CAST,      /* send an opaque message to other peers (presence and the like) */
    NODE_EV_DRAIN,     /* hand primaries over and accept no new ones (graceful stop) */
    NODE_EV_LEAVE      /* tell the others that we are gone; after DRAIN */
};

struct node_event {
    uint64_t now_ms;  /* monotonic, never goes back */
    uint64_t wall_ms; /* wall clock; may jump */
    enum node_event_type type;
    union {
        struct {
            enum node_plane plane;
            const char *from_name; /* authenticated sender */
            uint64_t from_boot;
            struct dun_slice bytes; /* borrowed */
        } packet;
        struct {
            uint64_t cookie;                                 /* comes back in the reply */
            struct dun_slice channel, key, data, tags, info; /* as in store_op publish; borrowed */
        } submit;
        struct {
            enum node_plane plane;
            const char *addr;
        } link;
        struct {
            const char *to_name;    /* NULL: all other voters */
            struct dun_slice bytes; /* <= DUN_PACKET_SOFT_MAX */
        } cast;
    };
};

struct node_packet {
    enum node_plane plane;
    const char *addr;    /* valid until node_out_clear() */
    const char *to_name; /* "" when not known */
    struct dun_slice bytes;
};

struct node_commit {
    uint32_t group;
    uint64_t op;
    struct store_msg *msg; /* a reference that node_out_clear() drops; ref it to keep it */
};

struct node_reply {
    uint64_t cookie;
    dun_err err;    /* DUN_OK: committed. DUN_E_OVERLOADED, _TIMEOUT, _UNREADY: temporary; another
                     * copy of it may still commit, so retry with the same idempotency key.
                     * DUN_E_FULL: a table is at its limit, nothing was published. */
    bool duplicate; /* the idempotency key was known; position of the first publish */
    uint64_t seq, epoch; /* seq 0: committed, position unknown */
};

struct node_aux {
    const char *from_name;
    struct dun_slice bytes;
};

struct node_out {
    struct node_packet *packets;
    uint32_t packet_count;
    struct node_commit *commits;
    uint32_t commit_count;
    struct node_reply *replies;
    uint32_t reply_count;
    struct node_aux *auxes;
    uint32_t aux_count;
    const char **forgotten; /* addresses whose links can be closed */
    uint32_t forgotten_count;
    /* Groups whose log moved other than by the commits above (snapshot, new
     * epoch): every subscriber of theirs must compare its cursor with the log. */
    bool resync[DUN_GROUPS_MAX];
    bool resync_any;
    uint64_t outlived_boot; /* != 0: others know this newer boot of ours; start again above it */
    char conflict[256];     /* != "": another live peer has our name; stop with this message */
};

struct node;

/* Errors: DUN_E_CONFIG. The name need not be among the voters: such a peer
 * joins the gossip but serves no clients. */
dun_err node_create(struct node **out, const struct node_config *c, char *why,
                    size_t why_size) DUN_MUST_USE;
void node_destroy(struct node *n);

/* Errors, all without effect:
 * SUBMIT: DUN_E_UNREADY (no majority in contact, recovering, draining), DUN_E_OVERLOADED (too many
 * waiting), DUN_E_TOO_BIG / DUN_E_MALFORMED (operation does not encode within limits).
 * PACKET: DUN_E_MALFORMED, DUN_E_STALE, DUN_E_CONFLICT (other voters list). */
dun_err node_step(struct node *n, const struct node_event *ev) DUN_MUST_USE;
/* What the steps since the last clear ask for; valid until the next step. */
const struct node_out *node_out(struct node *n);
void node_out_clear(struct node *n);
uint64_t node_deadline_ms(const struct node *n);

struct node_status {
    bool ready;       /* may serve clients: all groups normal, majority in contact */
    char reason[160]; /* why not; "" when ready */
    bool voter;
    bool contact; /* a majority heard from lately */
    uint64_t boot;
    uint32_t voters, voters_heard;
    uint32_t groups, groups_normal, groups_primary;
    uint32_t pending; /* submits waiting */
    uint64_t view_changes, transfers, snapshots_in, snapshots_out;
    uint64_t reforms; /* groups we started again after a majority had lost its memory */
    uint64_t ops_committed;
    bool drained; /* DRAIN was asked for and no group has us as primary */
};
void node_status(const struct node *n, struct node_status *out);
/* Membership as SWIM sees it (read only). */
const struct swim *node_swim(const struct node *n);
/* One member's client address from its metadata; "" when unknown. Borrowed. */
struct dun_slice node_meta_client_addr(struct dun_slice meta);

/* For tests and the simulator: where one group stands. */
enum vsr_status { VSR_RECOVERING, VSR_VIEW_CHANGE, VSR_NORMAL, VSR_STATUS_COUNT };
struct node_group {
    enum vsr_status status;
    uint64_t incarnation, view, op, commit;
    bool primary;
    uint64_t log_incarnation, log_view;
};
void node_group(const struct node *n, uint32_t group, struct node_group *out);
/* Asserts every internal invariant; slow, for tests. */
void node_check(const struct node *n);

#endif
