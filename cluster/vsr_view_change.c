/* cluster/vsr_view_change.c: from one view to the next (VRR section 4.2).
 * A vote is the last STATE of a voter with status VIEW_CHANGE and this very
 * view. The primary-elect counts a quorum, takes the log with the highest
 * log_view and then the highest head, fetches it if it is not its own, and
 * starts the view. */
#include "cluster/vsr.h"

#include "base/alloc.h"
#include "base/assert.h"

void vsr_view_change(struct vsr *v, struct vsr_view to, const char *why)
{
    struct vsr_env *env = v->env;
    DUN_ASSERT(vsr_view_cmp(to, v->view) > 0);
    bool next = v->status == VSR_VIEW_CHANGE && to.inc == v->view.inc;
    uint64_t patience = next ? v->change_ms + v->change_ms / 2 : VSR_VIEW_CHANGE_MS;
    if (patience > VSR_VIEW_CHANGE_MS_MAX) patience = VSR_VIEW_CHANGE_MS_MAX;
    v->change_ms = patience;
    vsr_fetch_stop(v);
    if (to.inc != v->view.inc) v->inc_ms = env->now_ms;
    v->view = to;
    v->base = (struct vsr_view){0, 0};
    v->base_op = 0;
    vsr_enter(v, VSR_VIEW_CHANGE);
    env->view_changes++;
    dun_log(env->log, DUN_LOG_DEBUG, "view_change group=%u inc=%llu view=%llu why=%s", v->group,
            (unsigned long long)to.inc, (unsigned long long)to.num, why);
    vsr_votes_count(v);
}

void vsr_view_next(struct vsr *v, const char *why)
{
    struct vsr_env *env = v->env;
    struct vsr_view to = v->view;
    for (uint32_t k = 1; k <= env->voter_count; k++) {
        uint32_t p = v->order[(v->view.num + k) % env->voter_count];
        bool recovering = v->peers[p].valid && v->peers[p].status == VSR_RECOVERING;
        if (p != env->self && (!env->usable[p] || recovering)) continue;
        if (p == env->self && env->draining) continue;
        to.num = v->view.num + k;
        break;
    }
    if (to.num == v->view.num) to.num++;
    vsr_view_change(v, to, why);
}

static bool is_vote(const struct vsr *v, uint32_t i)
{
    const struct vsr_peer *p = &v->peers[i];
    return i != v->env->self && p->valid && p->status == VSR_VIEW_CHANGE &&
           vsr_view_cmp(p->view, v->view) == 0;
}

/* The voter with the log to start from: VRR 4.2 step 3. */
static uint32_t best_log(const struct vsr *v)
{
    uint32_t best = v->env->self;
    struct vsr_view view = v->log_view;
    uint64_t head = v->log.head;
    for (uint32_t i = 0; i < v->env->voter_count; i++) {
        if (!is_vote(v, i)) continue;
        const struct vsr_peer *p = &v->peers[i];
        int order = vsr_view_cmp(p->log_view, view);
        if (DUN_MUTATE(MUTATION_CHOOSE_LOG_BY_HEAD)) order = 0;
        if (order < 0 || (order == 0 && p->head <= head)) continue;
        best = i;
        view = p->log_view;
        head = p->head;
    }
    return best;
}

/* Votes, ours included, that come with state of incarnation @inc. */
static uint32_t votes_of(const struct vsr *v, uint64_t inc)
{
    uint32_t count = inc != 0 && v->log_view.inc == inc ? 1 : 0;
    for (uint32_t i = 0; i < v->env->voter_count; i++)
        if (is_vote(v, i) && inc != 0 && v->peers[i].log_view.inc == inc) count++;
    return count;
}

/* How much of our log is part of one that ended view @base at @base_op: all up to there when it is
 * the same view's, else what was committed here in that incarnation, which all its later logs have.
 * What was committed in an earlier one may have been lost by the forming. */
static uint64_t own_part(const struct vsr *v, struct vsr_view base, uint64_t base_op, uint64_t inc)
{
    if (vsr_has_state(v) && vsr_view_cmp(base, v->log_view) == 0) {
        if (v->commit > base_op) return VSR_FETCH_WHOLE; /* re-formed without what we know */
        return v->log.head < base_op ? v->log.head : base_op;
    }
    return v->sure_inc == inc ? v->commit : VSR_FETCH_WHOLE;
}

/* A new incarnation starts from the best log there is, so every voter that is heard has to say
 * what it has first; one that does not consent holds it up, for it knows of a quorum. */
static uint32_t fresh_voters(const struct vsr *v)
{
    uint32_t count = 1;
    for (uint32_t i = 0; i < v->env->voter_count; i++)
        if (i != v->env->self && v->env->fresh[i]) count++;
    return count;
}

void vsr_votes_count(struct vsr *v)
{
    struct vsr_env *env = v->env;
    DUN_ASSERT(v->status == VSR_VIEW_CHANGE);
    if (vsr_primary(v) != env->self || v->fetch.kind != VSR_FETCH_NONE) return;
    uint32_t votes = 1, needed = env->quorum;
    if (DUN_MUTATE(MUTATION_VOTE_QUORUM_F) && needed > 1) needed--;
    for (uint32_t i = 0; i < env->voter_count; i++)
        if (is_vote(v, i)) votes++;
    if (votes < needed) return;
    uint32_t best = best_log(v);
    struct vsr_view chosen = best == env->self ? v->log_view : v->peers[best].log_view;
    v->forming = chosen.inc != v->view.inc && votes_of(v, chosen.inc) < env->quorum;
    if (v->forming && votes < fresh_voters(v)) return;
    if (best == env->self) {
        vsr_view_start(v);
        return;
    }
    vsr_fetch_start(v, VSR_FETCH_START, best, own_part(v, chosen, UINT64_MAX, chosen.inc),
                    v->peers[best].head);
}

/* What the votes show to be committed of the log we start from. */
static uint64_t known_commit(const struct vsr *v)
{
    uint64_t commit = v->commit;
    for (uint32_t i = 0; i < v->env->voter_count; i++) {
        const struct vsr_peer *p = &v->peers[i];
        if (is_vote(v, i) && p->log_view.inc == v->log_view.inc && p->commit > commit)
            commit = p->commit;
    }
    return commit < v->log.head ? commit : v->log.head;
}

/* A new incarnation gives every channel a new epoch, since what was not on the best log is lost
 * (design 3.3, 3.4). The EPOCH operation goes before the tail that may not have been committed: its
 * positions may have been given to other messages that nobody here remembers. */
static void insert_epoch(struct vsr *v, uint64_t after)
{
    if (DUN_MUTATE(MUTATION_REFORM_KEEPS_EPOCH) && store_group_epoch(v->env->store, v->group) != 0)
        return;
    struct store_op op = {.type = STORE_OP_EPOCH, .origin = v->env->self};
    op.epoch.epoch = v->view.inc;
    struct dun_buf b = {0};
    store_op_encode(&op, &b);
    uint64_t count = v->log.head - after;
    struct vsr_entry *tail = dun_calloc((size_t)count + 1, sizeof *tail);
    for (uint64_t i = 0; i < count; i++) {
        tail[i] = *vsr_log_at(&v->log, after + 1 + i);
        dun_blob_ref(tail[i].op);
    }
    vsr_log_truncate(&v->log, after);
    if (count == 0) vsr_log_stamp(v);
    vsr_log_append(&v->log, count != 0 ? tail[0].time_ms : v->log_time_ms,
                   dun_blob_copy(b.data, b.len));
    for (uint64_t i = 0; i < count; i++)
        vsr_log_append(&v->log, tail[i].time_ms, tail[i].op);
    dun_free(tail);
    dun_buf_deinit(&b);
}

void vsr_view_start(struct vsr *v)
{
    struct vsr_env *env = v->env;
    DUN_ASSERT(vsr_primary(v) == env->self);
    struct vsr_view base = v->log_view;
    uint64_t base_op = v->forming ? known_commit(v) : v->log.head;
    vsr_view_enter(v, v->view, base, base_op);
    for (uint32_t i = 0; i < env->voter_count; i++) {
        struct vsr_peer *p = &v->peers[i];
        p->ack = 0;
        p->sent = p->floor = v->commit;
        p->commit_sent = vsr_sure_commit(v);
        p->progress_ms = env->now_ms;
    }
    if (v->forming) {
        if (base.inc == 0)
            env->forms++;
        else
            env->reforms++;
        insert_epoch(v, base_op);
    }
    dun_log(env->log, DUN_LOG_DEBUG, "view_start group=%u inc=%llu view=%llu head=%llu commit=%llu",
            v->group, (unsigned long long)v->view.inc, (unsigned long long)v->view.num,
            (unsigned long long)v->log.head, (unsigned long long)v->commit);
    if (env->quorum == 1) vsr_commit_to(v, v->log.head);
}

void vsr_view_enter(struct vsr *v, struct vsr_view view, struct vsr_view base, uint64_t base_op)
{
    DUN_ASSERT(v->fetch.kind == VSR_FETCH_NONE);
    v->view = view;
    v->log_view = view;
    v->base = base;
    v->base_op = base_op;
    vsr_enter(v, VSR_NORMAL);
    v->primary_boot = v->env->boots[vsr_primary(v)];
    v->ack_due = vsr_primary(v) != v->env->self;
    v->form_since_ms = 0;
}

/* @from is NORMAL in our view: enter it too, at once when our log can be cut to the view's
 * starting log, else by fetching. */
void vsr_view_join(struct vsr *v, uint32_t from)
{
    DUN_ASSERT(v->status == VSR_VIEW_CHANGE);
    if (vsr_primary(v) == v->env->self) return; /* an elect waits for votes; it is told by them */
    if (v->fetch.kind != VSR_FETCH_NONE) return;
    const struct vsr_peer *p = &v->peers[from];
    DUN_ASSERT(p->valid && vsr_view_cmp(p->view, v->view) == 0);
    uint64_t ours = own_part(v, p->base, p->base_op, p->view.inc);
    if (ours == p->base_op && p->base.inc != 0 && v->commit <= ours) {
        vsr_log_truncate(&v->log, ours);
        vsr_view_enter(v, v->view, p->base, p->base_op);
        vsr_backup_commit(v, p->commit);
        return;
    }
    vsr_fetch_start(v, VSR_FETCH_JOIN, from, ours, p->head);
}

void vsr_view_tick(struct vsr *v)
{
    struct vsr_env *env = v->env;
    DUN_ASSERT(v->status == VSR_VIEW_CHANGE);
    vsr_recover_try(v); /* our incarnation may be the abandoned one */
    if (v->status != VSR_VIEW_CHANGE || !env->contact) return;
    if (v->fetch.kind != VSR_FETCH_NONE) return; /* it has a patience of its own */
    vsr_votes_count(v);
    if (v->status != VSR_VIEW_CHANGE) return;
    uint32_t p = vsr_primary(v);
    const struct vsr_peer *lead = &v->peers[p];
    if (env->usable[p] && lead->valid && lead->status == VSR_NORMAL &&
        vsr_view_cmp(lead->view, v->view) == 0) {
        vsr_view_join(v, p); /* the view has begun: no use to leave it because a transfer broke */
        return;
    }
    bool hopeless = p != env->self && !env->usable[p] && env->now_ms - v->entered_ms > 50;
    if (hopeless || env->now_ms - v->entered_ms > v->change_ms) vsr_view_next(v, "no_progress");
}
