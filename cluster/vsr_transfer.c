/* cluster/vsr_transfer.c: state transfer (VRR section 5.3): the log after some
 * operation, or a snapshot in chunks and the log after it.
 * Why asking one piece at a time: it needs no window, survives loss, and leaves
 * the link to live traffic in between.
 * (1) Everything fetched is put together in vsr_fetch and taken over at once.
 * (2) All pieces come from one peer that stays in one view; else it starts over. */
#include "cluster/vsr.h"

#include "base/assert.h"

void vsr_fetch_stop(struct vsr *v)
{
    struct vsr_fetch *t = &v->fetch;
    vsr_log_reset(&t->stage, 0);
    dun_buf_deinit(&t->snap);
    struct vsr_log stage = t->stage;
    *t = (struct vsr_fetch){.kind = VSR_FETCH_NONE, .stage = stage};
}

static void ask(struct vsr *v)
{
    struct vsr_fetch *t = &v->fetch;
    struct wire_frame f;
    f.group = v->group;
    f.view = t->view;
    f.first_op = t->stage.head + 1;
    f.snap_op = !t->snapshot && t->snap.len != 0 ? t->snap_op : 0;
    f.offset = f.snap_op != 0 ? t->snap.len : 0;
    wire_write_get_state(vsr_frames(v, t->peer), &f);
    vsr_sent(v, t->peer);
    t->sent_ms = v->env->now_ms;
}

/* Mutation only: shows that taking a view's log over piece by piece is found out. */
static bool skip_staging(struct vsr *v, uint64_t base)
{
    if (!DUN_MUTATE(MUTATION_SKIP_STAGING) || v->fetch.kind != VSR_FETCH_JOIN) return false;
    struct vsr_view view = v->fetch.view;
    vsr_fetch_stop(v);
    vsr_log_truncate(&v->log, base);
    vsr_view_enter(v, view, (struct vsr_view){0, 0}, 0);
    return true;
}

void vsr_fetch_start(struct vsr *v, enum vsr_fetch_kind kind, uint32_t peer, uint64_t base,
                     uint64_t target)
{
    struct vsr_fetch *t = &v->fetch;
    DUN_ASSERT(t->kind == VSR_FETCH_NONE && kind != VSR_FETCH_NONE);
    DUN_ASSERT(peer < v->env->voter_count && peer != v->env->self);
    t->whole = base == VSR_FETCH_WHOLE;
    if (t->whole) base = 0;
    DUN_ASSERT(base <= v->log.head);
    t->kind = kind;
    t->peer = peer;
    t->view = v->peers[peer].valid && kind != VSR_FETCH_APPEND ? v->peers[peer].view : v->view;
    t->log_view = v->peers[peer].log_view;
    t->target = target;
    vsr_log_reset(&t->stage, base);
    v->env->transfers++;
    if (skip_staging(v, base)) return;
    ask(v);
}

void vsr_fetch_tick(struct vsr *v)
{
    struct vsr_fetch *t = &v->fetch;
    if (t->kind == VSR_FETCH_NONE || v->env->now_ms - t->sent_ms < VSR_FETCH_MS) return;
    if (++t->tries > VSR_FETCH_TRIES_MAX || !v->env->fresh[t->peer]) {
        bool elect = t->kind == VSR_FETCH_START;
        vsr_fetch_stop(v);
        if (elect && v->status == VSR_VIEW_CHANGE) vsr_view_next(v, "log_owner_silent");
        return;
    }
    ask(v);
}

/* ---- the giving side ---- */

void vsr_snapshot_drop(struct vsr *v)
{
    if (v->snap_out.len == 0) return;
    dun_buf_deinit(&v->snap_out);
    v->snap_out_takers = 0;
    v->env->snapshots_serving--;
}

/* Few are kept at a time, so the next group must not wait for one that is of no more use. */
void vsr_snapshot_taken(struct vsr *v, uint32_t voter)
{
    v->snap_out_takers &= ~(1u << voter);
    if (v->snap_out_takers == 0) vsr_snapshot_drop(v);
}

static bool give_snapshot(struct vsr *v, uint32_t to, const struct wire_frame *q)
{
    struct vsr_env *env = v->env;
    bool have = v->snap_out.len != 0;
    bool going_on = have && q->snap_op == v->snap_out_op && q->offset <= v->snap_out.len;
    if (!going_on && have && v->snap_out_op + 1 < v->log.first) {
        vsr_snapshot_drop(v); /* the log no longer goes on from it */
        have = false;
    }
    if (!have) {
        if (env->snapshots_serving >= DUN_SNAPSHOTS_OUT_MAX) return false; /* it asks again */
        env->snapshots_serving++;
        env->snapshots_out++;
        store_snapshot(env->store, v->group, &v->snap_out);
        v->snap_out_op = v->commit;
    }
    v->snap_out_ms = env->now_ms;
    v->snap_out_takers |= 1u << to;
    struct wire_frame f;
    vsr_standing(v, &f);
    f.snap_op = v->snap_out_op;
    f.offset = going_on ? q->offset : 0;
    f.total = v->snap_out.len;
    size_t rest = v->snap_out.len - (size_t)f.offset;
    if (rest > DUN_SNAPSHOT_CHUNK) rest = DUN_SNAPSHOT_CHUNK;
    f.bytes = dun_slice(v->snap_out.data + f.offset, rest);
    wire_write_snapshot(vsr_frames(v, to), &f);
    vsr_sent(v, to);
    return true;
}

static void give_log(struct vsr *v, uint32_t to, uint64_t first_op)
{
    struct wire_frame *f = &v->env->scratch;
    vsr_standing(v, f);
    f->first_op = first_op;
    f->entry_count = 0;
    size_t bytes = 0;
    for (uint64_t op = first_op; op <= v->log.head; op++) {
        if (f->entry_count == WIRE_ENTRIES_MAX || bytes >= DUN_PACKET_SOFT_MAX) break;
        const struct vsr_entry *e = vsr_log_at(&v->log, op);
        f->entries[f->entry_count++] = (struct wire_entry){e->time_ms, dun_blob_slice(e->op)};
        bytes += e->op->len;
    }
    wire_write_new_state(vsr_frames(v, to), f);
    vsr_sent(v, to);
}

void vsr_recv_get_state(struct vsr *v, uint32_t from, const struct wire_frame *f)
{
    if (v->status == VSR_RECOVERING || vsr_view_cmp(f->view, v->view) != 0) {
        vsr_announce(v); /* shows the asker that it has to choose again */
        return;
    }
    if (f->first_op == 0) return;
    if (f->first_op < v->log.first) {
        (void)give_snapshot(v, from, f);
    } else {
        if (f->first_op > v->snap_out_op) vsr_snapshot_taken(v, from);
        give_log(v, from, f->first_op);
    }
}

/* ---- the taking side ---- */

/* Is this answer from the peer and the standing that the fetch began with? */
static bool answers(struct vsr *v, uint32_t from, const struct wire_frame *f)
{
    struct vsr_fetch *t = &v->fetch;
    if (t->kind == VSR_FETCH_NONE || from != t->peer) return false;
    bool same = vsr_view_cmp(f->view, t->view) == 0;
    if (t->kind == VSR_FETCH_START)
        same = same && f->status == VSR_VIEW_CHANGE && vsr_view_cmp(f->log_view, t->log_view) == 0;
    else
        same = same && f->status == VSR_NORMAL;
    if (!same) {
        vsr_fetch_stop(v);
        return false;
    }
    t->source_commit = f->commit;
    return true;
}

/* Did the operations up to @op come in another way? Then a snapshot of them must not be taken over:
 * those after it may have been acknowledged, and taking it over would drop them from our log. */
static bool overtaken(const struct vsr *v, uint64_t op)
{
    return v->fetch.kind == VSR_FETCH_APPEND && op <= v->log.head;
}

static bool take_snapshot(struct vsr *v)
{
    struct vsr_fetch *t = &v->fetch;
    dun_err e = store_restore(v->env->store, v->group, dun_buf_view(&t->snap));
    if (e != DUN_OK) {
        dun_log(v->env->log, DUN_LOG_ERROR,
                "bad_snapshot group=%u peer=%u error=\"%s\" remedy=\"run the same version on all "
                "peers\"",
                v->group, t->peer, dun_err_text(e));
        return false;
    }
    vsr_snapshot_drop(v); /* ours may be of a history that is given up */
    v->commit = t->snap_op;
    v->sure_inc = 0;
    vsr_log_time(v, store_group_clock(v->env->store, v->group));
    vsr_log_reset(&v->log, t->snap_op);
    v->env->snapshots_in++;
    v->env->on_resync(v->env, v->group);
    return true;
}

/* The log taken over replaces ours from the first operation on. */
static void empty(struct vsr *v)
{
    vsr_log_reset(&v->log, 0);
    if (v->commit == 0) return;
    vsr_snapshot_drop(v); /* of a history that is given up */
    v->commit = 0;
    v->sure_inc = 0;
    store_reset(v->env->store, v->group);
    v->env->on_resync(v->env, v->group);
}

static void take_entries(struct vsr *v)
{
    struct vsr_fetch *t = &v->fetch;
    if (t->whole && !t->snapshot) {
        empty(v);
    } else if (!t->snapshot && t->kind != VSR_FETCH_APPEND) {
        vsr_log_truncate(&v->log, t->stage.first - 1);
    }
    for (uint64_t op = t->stage.first; op <= t->stage.head; op++) {
        if (op <= v->log.head) continue;
        const struct vsr_entry *e = vsr_log_at(&t->stage, op);
        if (vsr_log_full(&v->log)) vsr_log_drop_front(&v->log, v->log.first + 1);
        vsr_log_append(&v->log, e->time_ms, dun_blob_ref(e->op));
        vsr_log_time(v, e->time_ms);
    }
}

static void finish(struct vsr *v)
{
    struct vsr_fetch *t = &v->fetch;
    if (t->snapshot && !overtaken(v, t->snap_op) && !take_snapshot(v)) {
        vsr_fetch_stop(v);
        return;
    }
    take_entries(v);
    enum vsr_fetch_kind kind = t->kind;
    struct vsr_view view = t->view, log_view = t->log_view;
    uint64_t source_commit = t->source_commit;
    vsr_fetch_stop(v);
    switch (kind) {
    case VSR_FETCH_START:
        v->log_view = log_view; /* the log is the chosen one now, and the view's base says so */
        vsr_view_start(v);
        return;
    case VSR_FETCH_JOIN:
    case VSR_FETCH_RECOVER: vsr_view_enter(v, view, (struct vsr_view){0, 0}, 0); break;
    case VSR_FETCH_APPEND: v->ack_due = true; break;
    case VSR_FETCH_NONE: DUN_UNREACHABLE();
    }
    vsr_backup_commit(v, source_commit);
}

static void go_on(struct vsr *v)
{
    v->fetch.tries = 0;
    if (v->fetch.stage.head >= v->fetch.target)
        finish(v);
    else
        ask(v);
}

dun_err vsr_recv_new_state(struct vsr *v, uint32_t from, const struct wire_frame *f)
{
    struct vsr_fetch *t = &v->fetch;
    dun_err e = vsr_entries_valid(f);
    if (e != DUN_OK) return e;
    if (!answers(v, from, f)) return DUN_OK;
    if (t->snap.len != 0 && !t->snapshot) return DUN_OK; /* answer to an earlier question */
    if (f->first_op != t->stage.head + 1) return DUN_OK;
    for (uint32_t i = 0; i < f->entry_count && !vsr_log_full(&t->stage); i++) {
        const struct wire_entry *w = &f->entries[i];
        vsr_log_append(&t->stage, w->time_ms, dun_blob_copy(w->op.data, w->op.len));
    }
    if (f->entry_count == 0 && t->stage.head < t->target) {
        vsr_fetch_stop(v); /* it has less than it said: choose again */
        return DUN_OK;
    }
    if (vsr_log_full(&t->stage) && t->stage.head < t->target) {
        vsr_fetch_stop(v); /* the log moved on further than a window: a snapshot next time */
        return DUN_OK;
    }
    go_on(v);
    return DUN_OK;
}

dun_err vsr_recv_snapshot(struct vsr *v, uint32_t from, const struct wire_frame *f)
{
    struct vsr_fetch *t = &v->fetch;
    if (f->total > VSR_SNAPSHOT_BYTES_MAX || f->total == 0) return DUN_E_MALFORMED;
    if (!answers(v, from, f)) return DUN_OK;
    if (overtaken(v, f->snap_op) || (f->snap_op < v->commit && !t->whole)) {
        vsr_fetch_stop(v);
        return DUN_OK;
    }
    if (f->snap_op <= t->stage.head) return DUN_OK;
    /* The first one, or a newer one because the log moved on past the last. */
    if (f->offset == 0 && (t->snap.len == 0 || f->snap_op != t->snap_op)) {
        dun_buf_deinit(&t->snap);
        t->snapshot = false;
        t->snap_op = f->snap_op;
        t->snap_total = f->total;
    }
    if (f->snap_op != t->snap_op || f->total != t->snap_total || f->offset != t->snap.len ||
        f->bytes.len == 0 || f->bytes.len > t->snap_total - t->snap.len)
        return DUN_OK; /* a repeat, or of a snapshot given up */
    dun_buf_slice(&t->snap, f->bytes);
    t->tries = 0;
    if (t->snap.len < t->snap_total) {
        ask(v);
        return DUN_OK;
    }
    t->snapshot = true;
    vsr_log_reset(&t->stage, t->snap_op);
    go_on(v);
    return DUN_OK;
}
