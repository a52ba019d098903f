/* tests/unit/cluster/vsr_one.h: one voter's group, fed by hand-made frames.
 * Why: what a group refuses shows best when nobody else is there to send again,
 * and some of it no correct peer ever sends. We are voter 0; everybody is heard. */
#ifndef DUN_TESTS_VSR_ONE_H
#define DUN_TESTS_VSR_ONE_H

#include "base/alloc.h"
#include "base/assert.h"
#include "cluster/vsr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ONE_BOOT = 100, ONE_INC = 1 << 20 /* any incarnation above the boots */ };

struct one {
    struct vsr_env env;
    struct vsr v;
    struct store *store;
    struct dun_log log;
    uint32_t applied, resyncs, errors;
    uint32_t packets[DUN_VOTERS_MAX]; /* cut off because the frames grew large */
    struct wire_frame in, out;        /* the one to be received; the one read last */
    struct dun_buf op;                /* a small valid publish */
};

static inline struct one *one_of(struct vsr_env *env)
{
    return (struct one *)(void *)((char *)env - offsetof(struct one, env));
}

static inline void one_on_applied(struct vsr_env *env, uint32_t group, uint64_t op,
                                  const struct store_result *r)
{
    (void)group;
    (void)op;
    (void)r;
    one_of(env)->applied++;
}

static inline void one_on_resync(struct vsr_env *env, uint32_t group)
{
    (void)group;
    one_of(env)->resyncs++;
}

static inline void one_on_full(struct vsr_env *env, uint32_t voter)
{
    one_of(env)->packets[voter]++;
    env->frames[voter].len = 0;
}

static inline void one_on_log(void *ctx, enum dun_log_level level, const char *line)
{
    (void)line;
    if (level == DUN_LOG_ERROR) ((struct one *)ctx)->errors++;
}

/* A publish of @data_bytes bytes of data, appended to @b. */
static inline void one_write_op(struct dun_buf *b, size_t data_bytes)
{
    char *data = malloc(data_bytes);
    memset(data, '1', data_bytes);
    struct store_op op = {.type = STORE_OP_PUBLISH};
    op.publish.channel = dun_slice_str("c");
    op.publish.data = dun_slice(data, data_bytes);
    store_op_encode(&op, b);
    free(data);
}

static inline struct one *one_create(uint32_t voters)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g"};
    static const struct store_namespace ns = {.history_size = 100, .history_ttl_ms = 300000};
    struct one *o = dun_calloc(1, sizeof *o);
    struct store_config sc = {
        .group_count = 1, .namespaces = &ns, .namespace_count = 1, .max_memory = 64 << 20};
    assert_int_equal(store_create(&o->store, &sc), DUN_OK);
    o->log = (struct dun_log){.level_min = DUN_LOG_DEBUG, .write = one_on_log, .ctx = o};
    o->env = (struct vsr_env){.voter_count = voters,
                              .quorum = voters / 2 + 1,
                              .answers = voters - voters / 2,
                              .now_ms = 1000,
                              .wall_ms = 1700000000000u,
                              .contact = true,
                              .max_inflight = DUN_INFLIGHT_MAX,
                              .store = o->store,
                              .log = &o->log,
                              .on_applied = one_on_applied,
                              .on_resync = one_on_resync,
                              .on_full = one_on_full};
    for (uint32_t i = 0; i < voters; i++) {
        o->env.boots[i] = ONE_BOOT;
        o->env.fresh[i] = o->env.usable[i] = i != 0;
    }
    vsr_init(&o->v, &o->env, names, 0);
    one_write_op(&o->op, 1);
    return o;
}

static inline void one_destroy(struct one *o)
{
    vsr_deinit(&o->v);
    for (uint32_t i = 0; i < DUN_VOTERS_MAX; i++)
        dun_buf_deinit(&o->env.frames[i]);
    dun_buf_deinit(&o->op);
    store_destroy(o->store);
    dun_free(o);
}

/* The first view after number @after that @voter leads. */
static inline struct vsr_view one_view(const struct one *o, uint64_t after, uint32_t voter)
{
    struct vsr_view view = {ONE_INC, after + 1};
    while (o->v.order[view.num % o->env.voter_count] != voter)
        view.num++;
    return view;
}

/* Clears o->in and begins a frame in @view of a peer with @status. */
static inline struct wire_frame *one_frame(struct one *o, enum wire_type type,
                                           enum vsr_status status, struct vsr_view view)
{
    memset(&o->in, 0, offsetof(struct wire_frame, entries));
    o->in.type = type;
    o->in.status = status;
    o->in.view = view;
    if (status == VSR_NORMAL) o->in.log_view = view;
    return &o->in;
}

/* Adds @count copies of a small publish to o->in, from @first_op on. */
static inline void one_entries(struct one *o, uint64_t first_op, uint32_t count)
{
    o->in.first_op = first_op;
    o->in.entry_count = count;
    for (uint32_t i = 0; i < count; i++)
        o->in.entries[i] = (struct wire_entry){o->env.wall_ms, dun_buf_view(&o->op)};
}

/* Delivers o->in, and forgets what there was to send before. */
static inline dun_err one_recv(struct one *o, uint32_t from)
{
    for (uint32_t i = 0; i < o->env.voter_count; i++)
        o->env.frames[i].len = 0;
    dun_err e = vsr_recv(&o->v, from, &o->in);
    vsr_check(&o->v);
    return e;
}

/* Voter @from is normal in @view with @head operations. */
static inline void one_normal(struct one *o, uint32_t from, struct vsr_view view, uint64_t head)
{
    one_frame(o, WIRE_STATE, VSR_NORMAL, view)->head = head;
    assert_int_equal(one_recv(o, from), DUN_OK);
}

/* We begin to recover @head operations from voter 1, which leads the view returned. */
static inline struct vsr_view one_recovering(struct one *o, uint64_t head)
{
    struct vsr_view view = one_view(o, 0, 1);
    for (uint32_t i = 1; i <= o->env.answers; i++)
        one_normal(o, i, view, i == 1 ? head : 0);
    assert_int_equal(o->v.fetch.kind, VSR_FETCH_RECOVER);
    assert_int_equal(o->v.fetch.peer, 1);
    return view;
}

/* We are a backup with an empty log in the view returned, which voter 1 leads. */
static inline struct vsr_view one_backup(struct one *o)
{
    struct vsr_view view = one_recovering(o, 0);
    one_frame(o, WIRE_NEW_STATE, VSR_NORMAL, view);
    one_entries(o, 1, 0);
    assert_int_equal(one_recv(o, 1), DUN_OK);
    assert_int_equal(o->v.status, VSR_NORMAL);
    return view;
}

/* The others vote for the view after number @after that we lead. */
static inline struct vsr_view one_elected(struct one *o, uint64_t after)
{
    struct vsr_view view = one_view(o, after, 0);
    for (uint32_t i = 1; i < o->env.quorum; i++) {
        one_frame(o, WIRE_STATE, VSR_VIEW_CHANGE, view)->log_view = (struct vsr_view){ONE_INC, 1};
        assert_int_equal(one_recv(o, i), DUN_OK);
    }
    assert_true(vsr_is_primary(&o->v));
    return view;
}

/* How many frames of @type wait for voter @to; the last one is in o->out. */
static inline uint32_t one_sent(struct one *o, uint32_t to, enum wire_type type)
{
    uint32_t count = 0;
    struct mp_reader r = mp_reader(dun_buf_view(&o->env.frames[to]));
    static struct wire_frame f;
    while (wire_read_frame(&r, &f) == DUN_OK) {
        if (f.type != type) continue;
        o->out = f;
        count++;
    }
    assert_true(mp_at_end(&r));
    return count;
}

#endif
