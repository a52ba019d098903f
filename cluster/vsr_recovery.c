/* cluster/vsr_recovery.c: a peer without memory comes back, and a cluster
 * without a quorum of memory forms.
 *
 * Recovery (VRR section 4.3, made safe by Michael et al. 2017, section 4): every
 * frame that gets here was sent to our present boot by a peer that knows it, so
 * a NORMAL peer's STATE is its RECOVERYRESPONSE. Enough of them (n - quorum + 1)
 * meet every quorum our earlier life may have counted in: whatever it promised
 * is covered by the highest view among them and the longest log of that view.
 *
 * Forming: a new incarnation is a view change in which voters without memory
 * vote too. A voter consents, by its vote, at most once per incarnation number
 * and only when it sees for itself that fewer than a quorum still have state:
 * at once when every voter is heard, else after loss_timeout. */
#include "cluster/vsr.h"

#include "base/assert.h"

void vsr_recover(struct vsr *v, const char *why)
{
    struct vsr_env *env = v->env;
    vsr_fetch_stop(v);
    bool had = vsr_has_state(v) || v->commit != 0;
    v->view = v->log_view = v->base = (struct vsr_view){0, 0};
    v->base_op = 0;
    v->commit = 0;
    vsr_log_reset(&v->log, 0);
    vsr_enter(v, VSR_RECOVERING);
    dun_log(env->log, DUN_LOG_WARN, "recover group=%u why=\"%s\"", v->group, why);
    if (!had) return;
    store_reset(env->store, v->group);
    env->on_resync(env, v->group);
}

/* The best of the NORMAL peers: highest view, then longest log. voter_count: too few of them. */
static uint32_t best_normal(const struct vsr *v)
{
    const struct vsr_env *env = v->env;
    uint32_t best = env->voter_count, count = 0, needed = env->answers;
    if (DUN_MUTATE(MUTATION_RECOVER_FROM_ONE)) needed = 1;
    for (uint32_t i = 0; i < env->voter_count; i++) {
        const struct vsr_peer *p = &v->peers[i];
        if (i == env->self || !p->valid || p->status != VSR_NORMAL) continue;
        count++;
        if (best != env->voter_count) {
            int order = vsr_view_cmp(p->view, v->peers[best].view);
            if (order < 0 || (order == 0 && p->head <= v->peers[best].head)) continue;
        }
        best = i;
    }
    return count >= needed ? best : env->voter_count;
}

void vsr_recover_try(struct vsr *v)
{
    struct vsr_env *env = v->env;
    uint32_t best = best_normal(v);
    if (best == env->voter_count) return;
    const struct vsr_peer *p = &v->peers[best];
    if (v->status == VSR_VIEW_CHANGE) {
        /* Enough peers carry on in an incarnation that is not ours: ours came to nothing. */
        if (p->view.inc == v->view.inc) return;
        vsr_recover(v, "our incarnation was not joined by a majority");
    }
    DUN_ASSERT(v->status == VSR_RECOVERING);
    if (v->fetch.kind != VSR_FETCH_NONE || !env->fresh[best]) return;
    /* The view's primary was our earlier life: the others are about to leave that view. */
    if (v->order[p->view.num % env->voter_count] == env->self) return;
    vsr_fetch_start(v, VSR_FETCH_RECOVER, best, 0, p->head);
}

/* ---- forming ---- */

struct heard {
    uint32_t all, with_state;
    uint64_t inc_max;
};

/* The newest incarnation somebody is NORMAL in; 0: none. */
static uint64_t normal_inc(const struct vsr *v)
{
    uint64_t inc = v->status == VSR_NORMAL ? v->view.inc : 0;
    for (uint32_t i = 0; i < v->env->voter_count; i++) {
        const struct vsr_peer *p = &v->peers[i];
        if (i == v->env->self || !p->valid || !v->env->fresh[i] || p->status != VSR_NORMAL)
            continue;
        if (p->view.inc > inc) inc = p->view.inc;
    }
    return inc;
}

/* One who voted for the incarnation that has started is about to hold its state. */
static bool counts(enum vsr_status status, struct vsr_view view, struct vsr_view log_view,
                   uint64_t started)
{
    if (status == VSR_RECOVERING) return false;
    return log_view.inc != 0 || (started != 0 && view.inc == started);
}

static struct heard hear(const struct vsr *v)
{
    const struct vsr_env *env = v->env;
    uint64_t started = normal_inc(v);
    struct heard h = {1, counts(v->status, v->view, v->log_view, started) ? 1 : 0, v->view.inc};
    for (uint32_t i = 0; i < env->voter_count; i++) {
        const struct vsr_peer *p = &v->peers[i];
        if (i == env->self || !p->valid) continue;
        if (p->view.inc > h.inc_max) h.inc_max = p->view.inc;
        if (!env->fresh[i]) continue;
        h.all++;
        if (counts(p->status, p->view, p->log_view, started)) h.with_state++;
    }
    return h;
}

/* Does anybody heard hold state of @inc? Then it has started, and who has no memory of it must
 * recover: its vote could lose what its earlier life acknowledged. */
static bool has_started(const struct vsr *v, uint64_t inc)
{
    for (uint32_t i = 0; i < v->env->voter_count; i++) {
        const struct vsr_peer *p = &v->peers[i];
        if (i != v->env->self && p->valid && p->log_view.inc >= inc) return true;
    }
    return false;
}

bool vsr_form_consent(const struct vsr *v, uint64_t inc)
{
    const struct vsr_env *env = v->env;
    struct heard h = hear(v);
    if (h.with_state >= env->quorum || h.all < env->quorum || v->form_since_ms == 0 ||
        has_started(v, inc))
        return false;
    uint64_t since = env->now_ms - v->form_since_ms;
    if (h.all == env->voter_count) return since >= VSR_FORM_SETTLE_MS;
    return env->loss_timeout_ms != 0 && since >= env->loss_timeout_ms;
}

/* The most preferred voter that is heard takes the lead, so that attempts do not collide. */
static bool leads(const struct vsr *v, uint32_t *position)
{
    const struct vsr_env *env = v->env;
    for (uint32_t i = 0; i < env->voter_count; i++) {
        *position = i;
        if (v->order[i] == env->self) return true;
        if (env->fresh[v->order[i]] && v->peers[v->order[i]].valid) return false;
    }
    return false;
}

void vsr_form_tick(struct vsr *v)
{
    struct vsr_env *env = v->env;
    struct heard h = hear(v);
    if (h.with_state >= env->quorum) {
        v->form_since_ms = 0;
        return;
    }
    if (v->form_since_ms == 0) v->form_since_ms = env->now_ms;
    uint32_t position;
    /* Already trying, and nobody without a vote is left to wait for: patience decides. */
    if (v->status == VSR_VIEW_CHANGE && v->view.inc > v->log_view.inc) return;
    uint64_t millis = h.inc_max >> 8;
    if (env->boots[env->self] > millis) millis = env->boots[env->self];
    if (!leads(v, &position)) return;
    struct vsr_view to = {((millis + 1) << 8) | env->self, position};
    if (!vsr_form_consent(v, to.inc)) return;
    dun_log(env->log, DUN_LOG_INFO, "form group=%u inc=%llu heard=%u with_state=%u", v->group,
            (unsigned long long)to.inc, h.all, h.with_state);
    vsr_view_change(v, to, "form");
}
