/* transport/loop/loop.c: see the header. */
#include "transport/loop/loop_impl.h"

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { FDS_RESERVED = 256 /* peer links, loops, log, files */ };

uint64_t loop_wall_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t loop_mono_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t loop_random(void)
{
    uint64_t v;
    int e = uv_random(NULL, NULL, &v, sizeof v, 0, NULL);
    DUN_ASSERT(e == 0);
    return v;
}

void loop_batch_unref(struct loop_batch *b)
{
    if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1) return;
    for (uint32_t i = 0; i < b->count; i++)
        store_msg_unref(b->msgs[i]);
    dun_free(b);
}

void loop_heard_unref(struct loop_heard *m)
{
    if (atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) == 1) dun_free(m);
}

/* ---- locks: one per group; the core writes, workers read ---- */

static void guard_begin(void *ctx, uint32_t group)
{
    struct loop *l = ctx;
    pthread_rwlock_wrlock(&l->locks[group]);
}

static void guard_end(void *ctx, uint32_t group)
{
    struct loop *l = ctx;
    pthread_rwlock_unlock(&l->locks[group]);
}

static void locks_init(struct loop *l)
{
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    /* Else a crowd of resuming clients could keep the core waiting for ever. */
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    for (uint32_t i = 0; i < DUN_GROUPS_MAX; i++) {
        int e = pthread_rwlock_init(&l->locks[i], &attr);
        DUN_ASSERT(e == 0);
    }
    pthread_rwlockattr_destroy(&attr);
}

/* ---- life ---- */

/* Connections one worker may have: what the limit on open files leaves. */
static uint32_t conn_max_of(uint32_t workers)
{
    struct rlimit lim;
    if (getrlimit(RLIMIT_NOFILE, &lim) != 0) return DUN_CONNS_PER_WORKER_MAX;
    lim.rlim_cur = lim.rlim_max;
    setrlimit(RLIMIT_NOFILE, &lim);
    getrlimit(RLIMIT_NOFILE, &lim);
    uint64_t left = lim.rlim_cur > 2 * FDS_RESERVED ? lim.rlim_cur - FDS_RESERVED : FDS_RESERVED;
    uint64_t each = left / workers;
    each -= each / 2 < WORKER_SURPLUS_MAX ? each / 2 : WORKER_SURPLUS_MAX;
    return each > DUN_CONNS_PER_WORKER_MAX ? DUN_CONNS_PER_WORKER_MAX : (uint32_t)each;
}

static dun_err create_store(struct loop *l)
{
    struct store_config sc = {.group_count = l->config.group_count,
                              .namespaces = l->config.session.namespaces,
                              .namespace_count = l->config.session.namespace_count,
                              .max_memory = l->config.store_memory,
                              .guard = {guard_begin, guard_end, l}};
    for (size_t i = 0; i < sizeof sc.hash_key; i += sizeof(uint64_t)) {
        uint64_t v = loop_random();
        memcpy(sc.hash_key + i, &v, sizeof v);
    }
    return store_create(&l->store, &sc);
}

dun_err loop_create(struct loop **out, const struct loop_config *c, char *why, size_t why_size)
{
    DUN_ASSERT(c->workers >= 1 && c->workers <= LOOP_WORKERS_MAX);
    struct loop *l = dun_calloc(1, sizeof *l);
    int fds[LOOP_WORKERS_MAX];
    l->config = *c;
    struct session_options *o = &l->config.session;
    o->group_count = c->group_count;
    o->worker_count = c->workers;
    if (o->ping_s == 0) o->ping_s = DUN_PING_S_DEFAULT;
    if (o->pong_s == 0) o->pong_s = DUN_PONG_S_DEFAULT;
    if (o->stale_s == 0) o->stale_s = 10;
    uint32_t conn_max = conn_max_of(c->workers);
    dun_err e = loop_listen(c->client_listen, c->workers, fds, l->client_addr, why, why_size);
    if (e != DUN_OK) goto fail;
    locks_init(l);
    pthread_mutex_init(&l->status_lock, NULL);
    snprintf(l->status.reason, sizeof l->status.reason, "starting");
    e = create_store(l);
    if (e != DUN_OK) {
        snprintf(why, why_size, "store: %s; check namespaces and store.max_memory",
                 dun_err_text(e));
        goto fail_fds;
    }
    l->core = core_create(l);
    for (uint32_t i = 0; i < c->workers; i++)
        l->workers[i] = worker_create(l, i, fds[i], conn_max);
    *out = l;
    return DUN_OK;
fail_fds:
    for (uint32_t i = 0; i < c->workers; i++)
        close(fds[i]);
fail:
    dun_free(l);
    DUN_ASSERT(e != DUN_OK);
    return e;
}

const char *loop_client_addr(const struct loop *l)
{
    return l->client_addr;
}

dun_err loop_start(struct loop *l, const struct node_config *node, uint64_t boot, char *why,
                   size_t why_size)
{
    dun_err e = core_start(l->core, node, boot, why, why_size);
    if (e != DUN_OK) return e;
    for (uint32_t i = 0; i < l->config.workers; i++)
        worker_start(l->workers[i]);
    l->started = true;
    return DUN_OK;
}

void loop_stop(struct loop *l)
{
    if (!l->started) return;
    struct inbox_item drain = {.type = CORE_DRAIN};
    if (inbox_force(core_inbox(l->core), drain) != DUN_OK) DUN_UNREACHABLE();
    core_join(l->core); /* it stops the workers before it ends */
    for (uint32_t i = 0; i < l->config.workers; i++)
        worker_join(l->workers[i]);
    l->started = false;
}

void loop_destroy(struct loop *l)
{
    DUN_ASSERT(!l->started);
    for (uint32_t i = 0; i < l->config.workers; i++)
        worker_destroy(l->workers[i]);
    core_destroy(l->core);
    store_destroy(l->store);
    for (uint32_t i = 0; i < DUN_GROUPS_MAX; i++)
        pthread_rwlock_destroy(&l->locks[i]);
    pthread_mutex_destroy(&l->status_lock);
    dun_free(l);
}

/* ---- from the links ---- */

static struct loop_packet *packet(enum node_plane plane, const char *name, uint64_t boot,
                                  struct dun_slice bytes)
{
    struct loop_packet *p = dun_malloc(sizeof *p + bytes.len);
    p->plane = plane;
    p->from_boot = boot;
    p->len = bytes.len;
    snprintf(p->from_name, sizeof p->from_name, "%s", name);
    if (bytes.len > 0) memcpy(p->bytes, bytes.data, bytes.len);
    return p;
}

void loop_packet(struct loop *l, enum node_plane plane, const char *from_name, uint64_t from_boot,
                 struct dun_slice bytes)
{
    if (plane == NODE_REPLICATION && core_packet(l->core, from_name, from_boot, bytes)) return;
    struct loop_packet *p = packet(plane, from_name, from_boot, bytes);
    struct inbox_item item = {.type = CORE_PACKET, .ptr = p, .bytes = sizeof *p + bytes.len};
    if (inbox_push(core_inbox(l->core), item) != DUN_OK) dun_free(p);
}

void loop_lost(struct loop *l, enum node_plane plane, const char *addr)
{
    struct loop_packet *p = packet(plane, addr, 0, dun_slice("", 0));
    struct inbox_item item = {.type = CORE_LOST, .ptr = p, .bytes = sizeof *p};
    if (inbox_push(core_inbox(l->core), item) != DUN_OK) dun_free(p);
}
