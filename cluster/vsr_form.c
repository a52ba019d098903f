/* cluster/vsr_form.c: a group without a quorum of memory forms (design 3.4).
 * A new incarnation is a view change in which voters without memory vote too. A
 * voter consents, by its vote, at most once per incarnation number and only when
 * it sees for itself that fewer than a quorum still have state: at once when
 * every voter is heard, else after loss_timeout.
 * (1) Nobody consents to an incarnation that its earlier life may have voted in:
 *     one that is not newer than its own boot, that somebody holds state of, or
 *     that somebody was in already when first heard by this life. The last
 *     is for clocks that differ: our boot may be below what we saw before.
 * (2) The elect starts from the best log of all voters that are heard; whatever
 *     is not on it is declared lost by an EPOCH operation. */
#include "cluster/vsr.h"

/* An incarnation's number: milliseconds, chance, who proposed it. Chance, because all who knew the
 * last number may have lost it, while a clock that was ahead then is so still: the same number
 * again would be the same epoch for something else. */
enum { INC_SELF_BITS = 3, INC_CHANCE_BITS = 15, INC_LOW_BITS = INC_SELF_BITS + INC_CHANCE_BITS };

_Static_assert(DUN_VOTERS_MAX <= 1 << INC_SELF_BITS, "a voter's index has its place");

static uint64_t inc_millis(uint64_t inc)
{
    return inc >> INC_LOW_BITS;
}

struct heard {
    uint32_t all, with_state;
    uint64_t inc_max;
};

/* The newest incarnation somebody holds state of; 0: none. */
static uint64_t started_inc(const struct vsr *v)
{
    uint64_t inc = v->log_view.inc;
    for (uint32_t i = 0; i < v->env->voter_count; i++) {
        const struct vsr_peer *p = &v->peers[i];
        if (i == v->env->self || !p->valid || !v->env->fresh[i]) continue;
        if (p->log_view.inc > inc) inc = p->log_view.inc;
    }
    return inc;
}

/* Only state of the newest incarnation is of use; who voted for that one is about to hold it. */
static bool counts(enum vsr_status status, struct vsr_view view, struct vsr_view log_view,
                   uint64_t started)
{
    if (status == VSR_RECOVERING || started == 0) return false;
    return log_view.inc == started || view.inc == started;
}

static struct heard hear(const struct vsr *v)
{
    const struct vsr_env *env = v->env;
    uint64_t started = started_inc(v);
    struct heard h = {1, counts(v->status, v->view, v->log_view, started) ? 1 : 0, v->view.inc};
    for (uint32_t i = 0; i < env->voter_count; i++) {
        const struct vsr_peer *p = &v->peers[i];
        if (i == env->self || !p->valid) continue;
        if (p->view.inc > h.inc_max) h.inc_max = p->view.inc;
        /* What was said before the doubt arose does not settle it. */
        if (!env->fresh[i] || p->state_ms < v->form_since_ms) continue;
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
    /* An incarnation from before our boot may be one our earlier life took part in. */
    if (inc_millis(inc) <= env->boots[env->self] || inc <= v->inc_floor) return false;
    struct heard h = hear(v);
    if (h.with_state >= env->quorum || h.all < env->quorum || v->form_since_ms == 0 ||
        has_started(v, inc))
        return false;
    uint64_t since = env->now_ms - v->form_since_ms;
    if (h.all == env->voter_count) return since >= VSR_FORM_SETTLE_MS;
    return env->loss_timeout_ms != 0 && since >= env->loss_timeout_ms;
}

/* @p went on to a newer incarnation on its own, by a mistake, and there are too few normal peers
 * left here for it to come back. It holds state of the incarnation that we are in or have state of
 * too, so for those who take part in that one this is but a view change: what was committed there
 * is on the log of one of any quorum of them. */
bool vsr_form_follow(const struct vsr *v, const struct vsr_peer *p)
{
    const struct vsr_env *env = v->env;
    bool holds = vsr_has_state(v) && p->log_view.inc == v->log_view.inc;
    bool voted = v->status == VSR_VIEW_CHANGE && p->log_view.inc == v->view.inc;
    if (!holds && !voted) return false;
    uint32_t normal = v->status == VSR_NORMAL ? 1 : 0;
    for (uint32_t i = 0; i < env->voter_count; i++) {
        const struct vsr_peer *q = &v->peers[i];
        if (i != env->self && q->valid && env->fresh[i] && q->status == VSR_NORMAL &&
            q->view.inc == v->view.inc)
            normal++;
    }
    return normal < env->answers;
}

/* The most preferred voter that is heard takes the lead, so that attempts do not collide; else
 * @position is that one's. */
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

/* Where in the order the best log is, of those heard; @leader if there is none. Its owner becomes
 * the primary: to fetch a large log first may take longer than the others have patience. */
static uint32_t best_position(const struct vsr *v, uint32_t leader)
{
    const struct vsr_env *env = v->env;
    uint32_t best = leader;
    struct vsr_view view = v->log_view;
    uint64_t head = v->log.head;
    for (uint32_t k = 0; k < env->voter_count; k++) {
        uint32_t i = v->order[k];
        const struct vsr_peer *p = &v->peers[i];
        if (i == env->self || !p->valid || !env->fresh[i] || p->log_view.inc == 0) continue;
        int order = vsr_view_cmp(p->log_view, view);
        if (order < 0 || (order == 0 && p->head <= head)) continue;
        best = k;
        view = p->log_view;
        head = p->head;
    }
    return best;
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
    uint32_t position = 0;
    bool trying = v->status == VSR_VIEW_CHANGE && v->view.inc > v->log_view.inc;
    if (trying && env->now_ms - v->inc_ms < VSR_FORM_AGAIN_MS) return;
    uint64_t millis = inc_millis(h.inc_max); /* above every incarnation and every boot there is */
    for (uint32_t i = 0; i < env->voter_count; i++)
        if (env->boots[i] > millis) millis = env->boots[i];
    /* Or everybody waits for a word that we may not give. */
    bool refuses = h.inc_max != 0 && h.inc_max <= v->inc_floor;
    if (!leads(v, &position) && !refuses) return;
    uint64_t chance = dun_prng_range(&env->prng, 0, (1u << INC_CHANCE_BITS) - 1);
    struct vsr_view to = {(millis + 1) << INC_LOW_BITS | chance << INC_SELF_BITS | env->self,
                          best_position(v, position)};
    if (!vsr_form_consent(v, to.inc)) return;
    dun_log(env->log, DUN_LOG_DEBUG, "form group=%u inc=%llu heard=%u with_state=%u", v->group,
            (unsigned long long)to.inc, h.all, h.with_state);
    vsr_view_change(v, to, "form");
}
