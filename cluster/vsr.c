/* cluster/vsr.c: one group's state, its status and the dispatch of events.
 * The phases are in vsr_normal.c, vsr_view_change.c, vsr_recovery.c,
 * vsr_form.c and vsr_transfer.c. */
#include "cluster/vsr.h"

#include "base/assert.h"
#include "cluster/placement.h"

#define BIT(status) (1u << (status))

static const uint8_t legal[VSR_STATUS_COUNT] = {
    [VSR_RECOVERING] = BIT(VSR_NORMAL) | BIT(VSR_VIEW_CHANGE),
    [VSR_VIEW_CHANGE] = BIT(VSR_NORMAL) | BIT(VSR_VIEW_CHANGE) | BIT(VSR_RECOVERING),
    [VSR_NORMAL] = BIT(VSR_VIEW_CHANGE) | BIT(VSR_RECOVERING),
};

/* An operation number no cluster reaches; larger ones in a frame are nonsense. */
static const uint64_t op_max = (uint64_t)1 << 56;

void vsr_init(struct vsr *v, struct vsr_env *env, const char *const *names, uint32_t group)
{
    *v = (struct vsr){.env = env, .group = group, .status = VSR_RECOVERING};
    placement_order(names, env->voter_count, group, v->order);
    vsr_log_reset(&v->log, 0);
    vsr_log_reset(&v->fetch.stage, 0);
    v->handover_to = env->voter_count;
    v->handover_wait_ms = VSR_HANDOVER_WAIT_MS;
    v->entered_ms = env->now_ms;
    v->state_due = true;
}

void vsr_deinit(struct vsr *v)
{
    vsr_log_deinit(&v->log);
    vsr_log_deinit(&v->fetch.stage);
    dun_buf_deinit(&v->fetch.snap);
    dun_buf_deinit(&v->snap_out);
}

uint32_t vsr_primary(const struct vsr *v)
{
    return v->order[v->view.num % v->env->voter_count];
}

bool vsr_is_primary(const struct vsr *v)
{
    return v->status == VSR_NORMAL && vsr_primary(v) == v->env->self;
}

void vsr_enter(struct vsr *v, enum vsr_status to)
{
    DUN_ASSERT((legal[v->status] & BIT(to)) != 0);
    v->status = to;
    v->entered_ms = v->env->now_ms;
    v->handover_to = v->env->voter_count;
    v->ack_due = false;
    v->state_due = true;
}

void vsr_announce(struct vsr *v)
{
    v->state_due = true;
}

struct dun_buf *vsr_frames(struct vsr *v, uint32_t to)
{
    DUN_ASSERT(to < v->env->voter_count);
    DUN_ASSERT(to != v->env->self);
    return &v->env->frames[to];
}

void vsr_sent(struct vsr *v, uint32_t to)
{
    if (v->env->frames[to].len >= DUN_PACKET_SOFT_MAX) v->env->on_full(v->env, to);
}

void vsr_standing(const struct vsr *v, struct wire_frame *f)
{
    f->group = v->group;
    f->status = v->status;
    f->view = v->view;
    f->log_view = v->log_view;
    f->base = v->base;
    f->base_op = v->base_op;
    f->head = v->log.head;
    f->commit = vsr_sure_commit(v);
}

/* Who fetches a snapshot over a slow link needs what came after it. */
static uint64_t log_bytes_max(const struct vsr *v)
{
    return v->snap_out.len != 0 ? VSR_SERVING_BYTES_MAX : DUN_LOG_BYTES_MAX;
}

static void log_trim(struct vsr *v)
{
    uint64_t first = v->log.first;
    uint64_t bytes = v->log.bytes;
    uint64_t count = v->log.head + 1 - first;
    /* Room for a full pipeline is kept free, so appending never has to wait. */
    while (first <= v->commit &&
           (count > DUN_LOG_SLOTS - DUN_INFLIGHT_MAX || bytes > log_bytes_max(v))) {
        bytes -= vsr_log_at(&v->log, first)->op->len;
        count--;
        first++;
    }
    vsr_log_drop_front(&v->log, first);
}

void vsr_log_time(struct vsr *v, uint64_t time_ms)
{
    if (time_ms <= v->log_time_ms) return;
    v->log_time_ms = time_ms;
    v->log_heard_ms = v->env->now_ms;
}

void vsr_log_stamp(struct vsr *v)
{
    uint64_t half = (v->env->now_ms - v->log_heard_ms) / 2;
    vsr_log_time(v, v->env->wall_ms);
    if (v->log_heard_ms == v->env->now_ms) return;
    v->log_time_ms += half;
    v->log_heard_ms += 2 * half;
}

void vsr_commit_to(struct vsr *v, uint64_t op)
{
    DUN_ASSERT(op <= v->log.head);
    if (op < v->commit) return;
    v->sure_inc = v->view.inc;
    while (v->commit < op) {
        v->commit++;
        const struct vsr_entry *e = vsr_log_at(&v->log, v->commit);
        struct store_result r;
        store_apply(v->env->store, v->group, e->time_ms, e->op, &r);
        v->env->ops_committed++;
        v->env->on_applied(v->env, v->group, v->commit, &r);
    }
    log_trim(v);
}

uint64_t vsr_sure_commit(const struct vsr *v)
{
    return v->sure_inc == v->log_view.inc ? v->commit : 0;
}

dun_err vsr_submit(struct vsr *v, struct dun_blob *op)
{
    struct vsr_env *env = v->env;
    if (!vsr_is_primary(v) || v->handover_to != env->voter_count || !env->contact)
        return DUN_E_NOTPRIMARY;
    uint64_t inflight = v->log.head - v->commit;
    if (inflight >= env->max_inflight || vsr_log_full(&v->log)) return DUN_E_OVERLOADED;
    if (inflight > 0 && v->log.bytes > VSR_INFLIGHT_BYTES_MAX + log_bytes_max(v))
        return DUN_E_OVERLOADED;
    vsr_log_stamp(v);
    vsr_log_append(&v->log, v->log_time_ms, dun_blob_ref(op));
    if (env->quorum == 1 || DUN_MUTATE(MUTATION_ACK_BEFORE_COMMIT)) vsr_commit_to(v, v->log.head);
    return DUN_OK;
}

void vsr_tick(struct vsr *v)
{
    struct vsr_env *env = v->env;
    if (env->now_ms - v->snap_out_ms > VSR_SNAPSHOT_KEEP_MS) vsr_snapshot_drop(v);
    vsr_fetch_tick(v);
    switch (v->status) {
    case VSR_RECOVERING: vsr_recover_try(v); break;
    case VSR_VIEW_CHANGE: vsr_view_tick(v); break;
    case VSR_NORMAL: vsr_normal_tick(v); break;
    case VSR_STATUS_COUNT: DUN_UNREACHABLE();
    }
    vsr_form_tick(v);
}

void vsr_flush(struct vsr *v)
{
    struct vsr_env *env = v->env;
    if (v->state_due) {
        struct wire_frame f;
        vsr_standing(v, &f);
        for (uint32_t i = 0; i < env->voter_count; i++) {
            if (i == env->self || env->boots[i] == 0) continue;
            wire_write_state(vsr_frames(v, i), &f);
            vsr_sent(v, i);
        }
        v->state_due = false;
    }
    if (v->status == VSR_NORMAL) vsr_normal_flush(v);
}

/* The other side's incarnation is newer than ours: ours is over. */
static void newer_incarnation(struct vsr *v, uint32_t from)
{
    const struct vsr_peer *p = &v->peers[from];
    if (p->status == VSR_NORMAL) {
        if (v->status != VSR_RECOVERING) vsr_recover(v, "the cluster was re-formed without us");
        return;
    }
    if (p->status != VSR_VIEW_CHANGE) return;
    if (vsr_form_consent(v, p->view.inc) || vsr_form_follow(v, p))
        vsr_view_change(v, p->view, "consent_to_forming");
}

static void state_same_view(struct vsr *v, uint32_t from)
{
    struct vsr_peer *p = &v->peers[from];
    if (v->status == VSR_VIEW_CHANGE) {
        if (p->status == VSR_NORMAL)
            vsr_view_join(v, from);
        else
            vsr_votes_count(v);
        return;
    }
    if (v->status != VSR_NORMAL || p->status != VSR_NORMAL) return;
    if (vsr_is_primary(v)) {
        vsr_recv_prepare_ok(v, from, p->head);
    } else if (from == vsr_primary(v)) {
        vsr_backup_commit(v, p->commit);
        /* Links keep order, so what the primary sent before this STATE is here or lost. */
        if (p->head > v->log.head && v->fetch.kind == VSR_FETCH_NONE)
            vsr_fetch_start(v, VSR_FETCH_APPEND, from, v->log.head, p->head);
    }
}

static dun_err recv_state(struct vsr *v, uint32_t from, const struct wire_frame *f)
{
    struct vsr_peer *p = &v->peers[from];
    if (f->status >= VSR_STATUS_COUNT) return DUN_E_MALFORMED;
    /* It came late. What the peer was before must not look as if it had lost its memory since. */
    if (f->order < p->order) return DUN_OK;
    p->order = f->order;
    if (!p->valid && f->view.inc > v->inc_floor) v->inc_floor = f->view.inc;
    p->valid = true;
    p->state_ms = v->env->now_ms;
    p->status = (enum vsr_status)f->status;
    p->view = f->view;
    p->log_view = f->log_view;
    p->base = f->base;
    p->base_op = f->base_op;
    p->head = f->head;
    p->commit = f->commit;
    if (p->status == VSR_NORMAL && p->commit >= v->snap_out_op) vsr_snapshot_taken(v, from);
    if (v->status == VSR_NORMAL && p->status != VSR_RECOVERING &&
        vsr_view_cmp(p->view, v->view) < 0)
        vsr_announce(v); /* it is behind: let it see our view */
    if (v->status == VSR_RECOVERING) {
        if (p->status == VSR_VIEW_CHANGE && p->view.inc > v->view.inc)
            newer_incarnation(v, from);
        else
            vsr_recover_try(v);
        return DUN_OK;
    }
    if (p->status == VSR_RECOVERING) {
        if (v->status == VSR_VIEW_CHANGE) vsr_recover_try(v);
        return DUN_OK;
    }
    if (p->view.inc != v->view.inc) {
        if (p->view.inc > v->view.inc)
            newer_incarnation(v, from);
        else if (v->status == VSR_VIEW_CHANGE)
            vsr_recover_try(v);
        return DUN_OK;
    }
    if (p->view.num > v->view.num) {
        vsr_view_change(v, p->view, "higher_view_heard");
        if (p->status == VSR_NORMAL) vsr_view_join(v, from);
        return DUN_OK;
    }
    if (p->view.num == v->view.num) state_same_view(v, from);
    return DUN_OK;
}

static bool in_range(const struct wire_frame *f)
{
    return f->head < op_max && f->commit < op_max && f->first_op < op_max && f->base_op < op_max &&
           f->snap_op < op_max && f->view.num < op_max && f->view.inc < (uint64_t)1 << 63;
}

dun_err vsr_recv(struct vsr *v, uint32_t from, const struct wire_frame *f)
{
    DUN_ASSERT(from < v->env->voter_count);
    DUN_ASSERT(from != v->env->self);
    if (!in_range(f)) return DUN_E_MALFORMED;
    bool current = v->status == VSR_NORMAL && vsr_view_cmp(f->view, v->view) == 0;
    if (DUN_MUTATE(MUTATION_ACCEPT_OLD_VIEW))
        current = v->status == VSR_NORMAL && f->view.inc == v->view.inc;
    switch (f->type) {
    case WIRE_STATE: return recv_state(v, from, f);
    case WIRE_PREPARE: return vsr_recv_prepare(v, from, f);
    case WIRE_PREPARE_OK:
        if (current && vsr_is_primary(v)) vsr_recv_prepare_ok(v, from, f->head);
        return DUN_OK;
    case WIRE_COMMIT:
        if (current && from == vsr_primary(v)) vsr_backup_commit(v, f->commit);
        return DUN_OK;
    case WIRE_GET_STATE: vsr_recv_get_state(v, from, f); return DUN_OK;
    case WIRE_NEW_STATE: return vsr_recv_new_state(v, from, f);
    case WIRE_SNAPSHOT: return vsr_recv_snapshot(v, from, f);
    case WIRE_HELLO:
    case WIRE_FORWARD:
    case WIRE_REFUSE:
    case WIRE_CAST: break; /* the node's */
    }
    DUN_UNREACHABLE();
}

void vsr_peer_reset(struct vsr *v, uint32_t voter)
{
    v->peers[voter] = (struct vsr_peer){0};
    vsr_snapshot_taken(v, voter);
    if (v->fetch.kind != VSR_FETCH_NONE && v->fetch.peer == voter) vsr_fetch_stop(v);
    v->state_due = true;
}

void vsr_check(const struct vsr *v)
{
    DUN_ASSERT(v->commit <= v->log.head);
    DUN_ASSERT(v->log.first <= v->commit + 1);
    DUN_ASSERT((v->snap_out.len == 0) == (v->snap_out_takers == 0));
    if (v->status == VSR_NORMAL) {
        DUN_ASSERT(vsr_view_cmp(v->log_view, v->view) == 0);
        DUN_ASSERT(v->fetch.kind == VSR_FETCH_NONE || v->fetch.kind == VSR_FETCH_APPEND);
    }
    if (v->status == VSR_VIEW_CHANGE) DUN_ASSERT(vsr_view_cmp(v->log_view, v->view) < 0);
    if (v->status == VSR_RECOVERING) {
        DUN_ASSERT(!vsr_has_state(v));
        DUN_ASSERT(v->commit == 0 && v->log.head == 0);
    }
    for (uint32_t i = 0; i < v->env->voter_count; i++)
        if (vsr_is_primary(v)) DUN_ASSERT(v->peers[i].ack <= v->log.head);
}
