/* cluster/vsr_recovery.c: a peer without memory comes back.
 * Sources (VRR section 4.3, made safe by Michael et al. 2017, section 4): every
 * frame that gets here was sent to our present boot by a peer that knows it, so
 * a NORMAL peer's STATE is its RECOVERYRESPONSE. Enough of them (n - quorum + 1)
 * meet every quorum our earlier life may have counted in: whatever it promised
 * is covered by the highest view among them and the longest log of that view.
 */
#include "cluster/vsr.h"

#include "base/assert.h"

void vsr_recover(struct vsr *v, const char *why)
{
    struct vsr_env *env = v->env;
    vsr_fetch_stop(v);
    bool had = vsr_has_state(v) || v->commit != 0;
    v->view = v->log_view = v->base = (struct vsr_view){0, 0};
    v->base_op = 0;
    v->commit = v->sure_inc = 0;
    vsr_snapshot_drop(v);
    vsr_log_reset(&v->log, 0);
    vsr_enter(v, VSR_RECOVERING);
    dun_log(env->log, DUN_LOG_WARN, "recover group=%u why=\"%s\"", v->group, why);
    if (!had) return;
    store_reset(env->store, v->group);
    env->on_resync(env, v->group);
}

/* The best of the NORMAL peers that can be asked: highest view, then longest log. voter_count: too
 * few of them. */
static uint32_t best_normal(const struct vsr *v)
{
    const struct vsr_env *env = v->env;
    uint32_t best = env->voter_count, count = 0, needed = env->answers;
    if (DUN_MUTATE(MUTATION_RECOVER_FROM_ONE)) needed = 1;
    for (uint32_t i = 0; i < env->voter_count; i++) {
        const struct vsr_peer *p = &v->peers[i];
        if (i == env->self || !p->valid || !env->fresh[i] || p->status != VSR_NORMAL) continue;
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
    if (v->fetch.kind != VSR_FETCH_NONE) return;
    /* The view's primary was our earlier life: the others are about to leave that view. */
    if (v->order[p->view.num % env->voter_count] == env->self) return;
    vsr_fetch_start(v, VSR_FETCH_RECOVER, best, 0, p->head);
}
