/* cluster/node_internal.h: the node's parts, shared by cluster/node*.c only. */
#ifndef DUN_CLUSTER_NODE_INTERNAL_H
#define DUN_CLUSTER_NODE_INTERNAL_H

#include "cluster/node.h"
#include "cluster/vsr.h"

enum {
    NODE_TICK_MS = 20, /* while something is going on */
    NODE_TICK_IDLE_MS = 50,
    NODE_STATE_MS = 200,    /* STATE of every group to every voter */
    NODE_FRESH_MS = 1000,   /* a voter not heard for this long is not counted on */
    NODE_SUSPECT_MS = 400,  /* the same while SWIM suspects it */
    NODE_CONTACT_MS = 1200, /* without a majority for this long we are cut off */
    NODE_LINK_ECHO_MS = 50, /* packets this soon after a lost link were sent before it */
    NODE_HELLO_MS = 300,    /* between greetings to a silent voter */
    NODE_WARN_MS = 5000,    /* between log lines of one kind */
    NODE_RETRY_MS = 300,    /* a forwarded publish without a result goes out again */
    NODE_STUCK_MS = 5000,   /* a group that is not normal for this long makes us unready */
    NODE_MOVES_MAX = 4,     /* groups handed over at a time */
    NODE_MOVE_TICK_MS = 100,
    NODE_IDLE_TICK_MS = 1000, /* between looks for idle channels */
    NODE_SUBMIT_TIMEOUT_MS = 5000,
};

struct node_voter {
    char name[DUN_NAME_MAX + 1];
    char addr[DUN_ADDR_MAX + 1]; /* replication plane; "" when not known */
    uint64_t heard_ms;           /* last packet for our present boot; 0 = never */
    uint64_t hello_ms;
    uint64_t lost_ms; /* when the link last broke */
    bool hello_due, link_lost, suspect, contact;
    uint64_t warned_ms;
};

/* A submit waiting for its operation to be applied here. */
struct node_pending {
    uint64_t cookie, request;
    uint64_t deadline_ms, sent_ms; /* sent_ms 0: not sent yet */
    struct vsr_view sent_view;
    uint32_t sends;
    struct dun_blob *op; /* NULL: answered, slot waits for those before it */
};

/* One group's submits, by request number: slots[(request - first) + ...], a ring. */
struct node_queue {
    struct node_pending *slots;
    uint32_t capacity;              /* 0 or a power of two, <= DUN_INFLIGHT_MAX */
    uint64_t first, next;           /* request numbers first .. next - 1 */
    uint64_t taken[DUN_VOTERS_MAX]; /* as primary: highest request taken of each origin's boot */
    struct vsr_view view; /* the view they were last sent in; another one: send all again */
};

struct node_packet_slot {
    enum node_plane plane;
    char addr[DUN_ADDR_MAX + 1];
    char to_name[DUN_NAME_MAX + 1];
    struct dun_buf bytes;
};

struct node {
    struct node_config config;
    char name[DUN_NAME_MAX + 1];
    struct node_voter voters[DUN_VOTERS_MAX]; /* sorted by name */
    uint64_t cluster_hash;
    bool is_voter;
    struct vsr_env env;
    struct vsr *groups; /* [group_count] when a voter */
    struct node_queue *queues;
    uint32_t pending_count;
    struct swim *swim;
    struct wire_frame frame; /* the one being decoded */
    struct dun_buf scratch;

    uint64_t tick_ms, state_ms, move_ms, idle_ms; /* next time for each */
    uint64_t packet_order;                        /* of the last one that was written */
    uint64_t started_ms;
    uint64_t contact_ms; /* last time a majority was heard */
    uint64_t forms_told, reforms_told;
    bool recovered; /* all groups have been normal once */
    bool draining, left;

    struct node_out out;
    struct node_packet_slot *packet_slots;
    char (*forgotten)[DUN_ADDR_MAX + 1]; /* [out.forgotten_count] */
    uint32_t forgotten_cap;
    uint32_t packet_cap, commit_cap, reply_cap, aux_cap, aux_buf_cap;
    struct node_aux_slot {
        char from_name[DUN_NAME_MAX + 1];
        struct dun_buf bytes;
    } * aux_slots;
};

/* node.c */
void node_warn(struct node *n, uint64_t *last_ms, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* node_out.c */
void node_out_packet(struct node *n, enum node_plane plane, const char *addr, const char *to_name,
                     struct dun_slice head, struct dun_slice body);
void node_out_commit(struct node *n, uint32_t group, uint64_t op, struct store_msg *msg);
void node_out_reply(struct node *n, const struct node_reply *reply);
void node_out_aux(struct node *n, const char *from_name, struct dun_slice bytes);
void node_out_forget(struct node *n, const char *addr);
void node_out_deinit(struct node *n);

/* node_peer.c: voters, their boots and packets */
dun_err node_peer_packet(struct node *n, const char *from_name, uint64_t from_boot,
                         struct dun_slice bytes) DUN_MUST_USE;
void node_peer_boot(struct node *n, uint32_t voter, uint64_t boot);
void node_peer_link_lost(struct node *n, const char *addr);
void node_peer_refresh(struct node *n); /* env->fresh, usable, contact from the clock */
void node_peer_flush(struct node *n, uint32_t voter); /* frames -> packet */
void node_peer_flush_all(struct node *n);
void node_peer_swim(struct node *n, const struct swim_out *so);
uint32_t node_peer_find(const struct node *n, const char *name); /* voter_count: none */
void node_peer_meta(const struct node *n, struct dun_buf *out);

/* node_submit.c: publishes of local clients */
dun_err node_submit(struct node *n, const struct node_event *ev) DUN_MUST_USE;
void node_submit_applied(struct node *n, uint32_t group, const struct store_result *r);
void node_submit_refused(struct node *n, uint32_t group, uint64_t request, dun_err err);
void node_submit_forwarded(struct node *n, uint32_t from, uint32_t group, struct dun_slice op);
void node_submit_tick(struct node *n);
void node_submit_flush(struct node *n);
void node_submit_deinit(struct node *n);

#endif
