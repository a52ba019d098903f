/* transport/loop/loop_impl.h: what core and workers know of each other. */
#ifndef DUN_TRANSPORT_LOOP_IMPL_H
#define DUN_TRANSPORT_LOOP_IMPL_H

#include "base/alloc.h"
#include "base/assert.h"
#include "transport/loop/inbox.h"
#include "transport/loop/loop.h"

#include <stdatomic.h>

/* ---- messages to a worker ---- */

enum worker_item {
    WORKER_COMMITS,      /* ptr: struct loop_batch, one reference */
    WORKER_REPLIES,      /* ptr: struct loop_replies */
    WORKER_RESYNC,       /* ptr: struct loop_groups; NULL: all */
    WORKER_SERVING,      /* arg: 0 or 1 */
    WORKER_FAIL_PENDING, /* arg: -dun_err */
    WORKER_HEARD,        /* ptr: struct loop_heard, one reference */
    WORKER_DRAIN,
    WORKER_STOP
};

/* Commits, shared by all workers. */
struct loop_batch {
    atomic_uint refs;
    uint32_t count;
    struct store_msg *msgs[];
};
void loop_batch_unref(struct loop_batch *b);

struct loop_groups {
    bool at[DUN_GROUPS_MAX];
};

struct loop_replies {
    uint32_t count;
    struct node_reply at[];
};

struct loop_heard {
    atomic_uint refs;
    char name[DUN_NAME_MAX + 1]; /* who sent it; in CORE_CAST whom it is for, "" = all */
    size_t len;
    uint8_t bytes[];
};
void loop_heard_unref(struct loop_heard *m);

/* ---- messages to the core ---- */

enum core_item {
    CORE_SUBMIT, /* ptr: struct loop_submit */
    CORE_CAST,   /* ptr: struct loop_heard, one reference; arg: the worker that sent it */
    CORE_PACKET, /* ptr: struct loop_packet */
    CORE_LOST,   /* ptr: struct loop_packet, from_name holds the address */
    CORE_DRAIN,
    CORE_DRAINED /* a worker has no clients any more */
};

struct loop_submit {
    uint64_t cookie;
    uint32_t channel, key, data, tags, info; /* lengths, in this order in bytes */
    uint8_t bytes[];
};

struct loop_packet {
    enum node_plane plane;
    char from_name[DUN_ADDR_MAX + 1]; /* a name, or the address of a lost link */
    uint64_t from_boot;
    size_t len;
    uint8_t bytes[];
};

/* ---- what is shared ---- */

struct loop_counters { /* of one worker; written by it alone */
    atomic_ullong clients, subscriptions, channels, published, publish_errors, delivered, accepted,
        paced, unread_bytes, shed, arriving;
};

struct worker;
struct core;

struct loop {
    struct loop_config config;
    struct store *store;
    pthread_rwlock_t locks[DUN_GROUPS_MAX];
    struct core *core;
    struct worker *workers[LOOP_WORKERS_MAX];
    struct loop_counters counters[LOOP_WORKERS_MAX];
    char client_addr[DUN_ADDR_MAX + 1];
    bool started;
    pthread_mutex_t status_lock;
    struct session_status status; /* under status_lock */
};

uint64_t loop_wall_ms(void);
uint64_t loop_mono_ms(void);
uint64_t loop_random(void);

/* ---- loop_listen.c ---- */

/* Binds @count sockets to one address and fills @addr with what was bound.
 * Errors: DUN_E_IN_USE, DUN_E_IO, DUN_E_CONFIG. */
dun_err loop_listen(const char *spec, uint32_t count, int *fds, char addr[DUN_ADDR_MAX + 1],
                    char *why, size_t why_size) DUN_MUST_USE;

/* ---- core.c ---- */

struct core *core_create(struct loop *l);
dun_err core_start(struct core *c, const struct node_config *node, uint64_t boot, char *why,
                   size_t why_size) DUN_MUST_USE;
struct inbox *core_inbox(struct core *c);
/* Any thread. Does the work at once as the core if that is idle; false: nothing done, use the
 * inbox. core_submits takes the items, all CORE_SUBMIT. */
bool core_packet(struct core *c, const char *from_name, uint64_t from_boot, struct dun_slice bytes);
bool core_submits(struct core *c, struct inbox_item *items, uint32_t count);
void core_join(struct core *c); /* waits for the thread's end */
void core_destroy(struct core *c);

/* ---- worker.c ---- */

enum { WORKER_SURPLUS_MAX = 32 /* connections beyond the limit, to be told so; more are closed */ };

/* Takes @fd. @conn_max without the surplus. */
struct worker *worker_create(struct loop *l, uint32_t index, int fd, uint32_t conn_max);
void worker_start(struct worker *w);
struct inbox *worker_inbox(struct worker *w);
void worker_overflow(struct worker *w); /* core thread: a batch did not fit in */
void worker_join(struct worker *w);
void worker_destroy(struct worker *w);

#endif
