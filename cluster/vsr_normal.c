/* cluster/vsr_normal.c: the normal case (VRR section 4.1).
 * The primary's operations go out in PREPAREs, as many in one frame as gathered
 * since the last flush; a quorum of copies commits.
 * With a quorum of two a backup need not be told: what it appends in a view it
 * shares with the sender, who holds it too. */
#include "cluster/vsr.h"

#include "base/assert.h"

dun_err vsr_entries_valid(const struct wire_frame *f)
{
    struct store_op op;
    for (uint32_t i = 0; i < f->entry_count; i++) {
        dun_err e = store_op_decode(f->entries[i].op, &op);
        if (e != DUN_OK) return e;
    }
    return DUN_OK;
}

/* The highest operation a quorum holds: the quorum-th largest of all heads. */
static uint64_t quorum_head(const struct vsr *v)
{
    const struct vsr_env *env = v->env;
    uint64_t heads[DUN_VOTERS_MAX];
    uint32_t quorum = env->quorum;
    if (DUN_MUTATE(MUTATION_QUORUM_F) && quorum > 1) quorum--;
    for (uint32_t i = 0; i < env->voter_count; i++) {
        uint64_t head = i == env->self ? v->log.head : v->peers[i].ack;
        uint32_t at = i;
        for (; at > 0 && heads[at - 1] < head; at--)
            heads[at] = heads[at - 1];
        heads[at] = head;
    }
    return heads[quorum - 1];
}

static void handover_tick(struct vsr *v)
{
    struct vsr_env *env = v->env;
    if (v->handover_to == env->voter_count) return;
    struct vsr_peer *p = &v->peers[v->handover_to];
    if (!env->usable[v->handover_to] || env->now_ms - v->handover_ms > VSR_HANDOVER_MS) {
        v->handover_to = env->voter_count;
        return;
    }
    if (p->ack != v->log.head || v->commit != v->log.head) return;
    struct vsr_view to = v->view;
    do
        to.num++;
    while (v->order[to.num % env->voter_count] != v->handover_to);
    v->handover_wait_ms *= 2; /* should it come back to us, that one is not to be relied on */
    if (v->handover_wait_ms > VSR_HANDOVER_WAIT_MS_MAX)
        v->handover_wait_ms = VSR_HANDOVER_WAIT_MS_MAX;
    vsr_view_change(v, to, "handover");
}

/* What counts for flow control: acknowledged, or committed before the view. */
static uint64_t acked(const struct vsr_peer *p)
{
    return p->ack > p->floor ? p->ack : p->floor;
}

void vsr_recv_prepare_ok(struct vsr *v, uint32_t from, uint64_t head)
{
    struct vsr_peer *p = &v->peers[from];
    DUN_ASSERT(vsr_is_primary(v));
    if (head > v->log.head || head <= p->ack) return;
    p->ack = head;
    if (p->sent < head) p->sent = head;
    p->progress_ms = v->env->now_ms;
    vsr_commit_to(v, quorum_head(v));
    handover_tick(v);
}

void vsr_backup_commit(struct vsr *v, uint64_t known)
{
    DUN_ASSERT(v->status == VSR_NORMAL);
    if (v->env->quorum <= 2 || known > v->log.head || DUN_MUTATE(MUTATION_DELIVER_UNCOMMITTED))
        known = v->log.head;
    vsr_commit_to(v, known);
}

dun_err vsr_recv_prepare(struct vsr *v, uint32_t from, const struct wire_frame *f)
{
    int order = vsr_view_cmp(f->view, v->view);
    if (order < 0 && DUN_MUTATE(MUTATION_ACCEPT_OLD_VIEW) && v->status == VSR_NORMAL)
        order = 0;
    else if (order < 0)
        return DUN_OK;
    if (order > 0 || v->status != VSR_NORMAL) {
        /* It started a view we are not in yet; its STATE, sent before, brings us there. */
        return DUN_OK;
    }
    if (from == v->env->self || vsr_is_primary(v)) return DUN_OK;
    if (from != vsr_primary(v) && !DUN_MUTATE(MUTATION_ACCEPT_OLD_VIEW)) return DUN_OK;
    dun_err e = vsr_entries_valid(f);
    if (e != DUN_OK) return e;
    if (f->entry_count != 0 && f->first_op == 0) return DUN_E_MALFORMED;
    if (f->first_op > v->log.head + 1) {
        if (v->fetch.kind == VSR_FETCH_NONE)
            vsr_fetch_start(v, VSR_FETCH_APPEND, from, v->log.head,
                            f->first_op + f->entry_count - 1);
        return DUN_OK;
    }
    for (uint32_t i = 0; i < f->entry_count; i++) {
        if (f->first_op + i <= v->log.head) continue;
        if (vsr_log_full(&v->log)) break; /* more in flight than we may hold: acked later */
        const struct wire_entry *w = &f->entries[i];
        vsr_log_append(&v->log, w->time_ms, dun_blob_copy(w->op.data, w->op.len));
        vsr_log_time(v, w->time_ms);
    }
    v->ack_due = true;
    vsr_backup_commit(v, f->commit);
    return DUN_OK;
}

/* One PREPARE of up to a packet's worth after p->sent; false: nothing (more) to send. */
static bool prepare_some(struct vsr *v, uint32_t to)
{
    struct vsr_peer *p = &v->peers[to];
    struct vsr_env *env = v->env;
    if (p->sent + 1 < v->log.first) return false; /* so far behind that it must fetch */
    if (p->sent >= v->log.head || p->sent - acked(p) >= env->max_inflight) return false;
    struct wire_frame *f = &env->scratch;
    f->group = v->group;
    f->view = v->view;
    f->commit = vsr_sure_commit(v);
    f->first_op = p->sent + 1;
    f->entry_count = 0;
    size_t bytes = 0;
    while (p->sent < v->log.head && f->entry_count < WIRE_ENTRIES_MAX &&
           bytes < DUN_PACKET_SOFT_MAX) {
        const struct vsr_entry *e = vsr_log_at(&v->log, ++p->sent);
        f->entries[f->entry_count++] = (struct wire_entry){e->time_ms, dun_blob_slice(e->op)};
        bytes += e->op->len;
    }
    wire_write_prepare(vsr_frames(v, to), f);
    vsr_sent(v, to);
    p->commit_sent = f->commit;
    return p->sent < v->log.head;
}

static void primary_flush(struct vsr *v)
{
    struct vsr_env *env = v->env;
    for (uint32_t i = 0; i < env->voter_count; i++) {
        struct vsr_peer *p = &v->peers[i];
        if (i == env->self || !env->fresh[i]) continue;
        if (p->valid && p->status == VSR_RECOVERING) continue;
        if (p->sent == acked(p)) p->progress_ms = env->now_ms;
        while (prepare_some(v, i))
            continue;
        /* With a quorum of two the backups know already. */
        uint64_t commit = vsr_sure_commit(v);
        if (env->quorum > 2 && p->commit_sent < commit) {
            struct wire_frame f;
            f.group = v->group;
            f.view = v->view;
            f.commit = commit;
            wire_write_commit(vsr_frames(v, i), &f);
            vsr_sent(v, i);
            p->commit_sent = commit;
        }
    }
}

void vsr_normal_flush(struct vsr *v)
{
    DUN_ASSERT(v->status == VSR_NORMAL);
    if (vsr_is_primary(v)) {
        primary_flush(v);
        return;
    }
    uint32_t primary = vsr_primary(v);
    if (!v->ack_due || v->env->boots[primary] == 0) return;
    struct wire_frame f;
    f.group = v->group;
    f.view = v->view;
    f.head = v->log.head;
    wire_write_prepare_ok(vsr_frames(v, primary), &f);
    vsr_sent(v, primary);
    v->ack_due = false;
}

static void primary_resend(struct vsr *v)
{
    struct vsr_env *env = v->env;
    for (uint32_t i = 0; i < env->voter_count; i++) {
        struct vsr_peer *p = &v->peers[i];
        if (i == env->self || p->sent == acked(p)) continue;
        if (env->now_ms - p->progress_ms < VSR_RESEND_MS) continue;
        p->sent = acked(p);
        if (p->sent + 1 < v->log.first) p->sent = v->log.first - 1; /* shows it the hole */
        p->progress_ms = env->now_ms;
    }
}

void vsr_handover(struct vsr *v, uint32_t to)
{
    struct vsr_env *env = v->env;
    DUN_ASSERT(to < env->voter_count);
    if (!vsr_is_primary(v) || to == env->self || v->handover_to != env->voter_count) return;
    v->handover_to = to;
    v->handover_ms = env->now_ms;
    handover_tick(v);
}

void vsr_normal_tick(struct vsr *v)
{
    struct vsr_env *env = v->env;
    uint32_t primary = vsr_primary(v);
    if (env->now_ms - v->entered_ms > VSR_HANDOVER_FORGET_MS)
        v->handover_wait_ms = VSR_HANDOVER_WAIT_MS;
    if (primary == env->self) {
        primary_resend(v);
        handover_tick(v);
        return;
    }
    if (!env->contact) return; /* a minority's view change could not end */
    const struct vsr_peer *p = &v->peers[primary];
    if (env->boots[primary] != v->primary_boot || (p->valid && p->status == VSR_RECOVERING))
        vsr_view_next(v, "primary_restarted");
    else if (!env->usable[primary])
        vsr_view_next(v, "primary_unreachable");
}
