/* tests/sim/swim/crowd_watch.c: what the peers believe of each other, against
 * what is so. Why: a peer's events are all that its owner sees, so times are
 * taken from them and not from its table.
 * (1) believed[] and believing[] are the sums of believes over live observers.
 * (2) A suspicion or death counts once for each (boot, incarnation) of its
 *     subject, by whomever it was raised first; a refutation raises the latter. */
#include "crowd.h"

#include "base/assert.h"

#include <stdlib.h>

static void believe(struct crowd *c, uint32_t observer, uint32_t subject, bool up)
{
    bool *b = &c->believes[observer][subject];
    if (*b == up) return;
    *b = up;
    c->believed[subject] += up ? 1U : -1U;
    c->believing[observer] += up ? 1U : -1U;
}

void crowd_watch_gone(struct crowd *c, uint32_t observer)
{
    struct crowd_peer *p = &c->peers[observer];
    if (!p->live) return;
    p->live = false;
    c->live_count--;
    for (uint32_t i = 0; i < c->o.peers; i++)
        believe(c, observer, i, false);
}

void crowd_watch_start(struct crowd *c, uint32_t i, enum crowd_watch_kind kind)
{
    struct crowd_watch *w = &c->watches[i];
    w->kind = kind;
    w->start_ms = c->now_ms;
    w->suspect_ms = w->first_ms = w->all_ms = w->self_ms = 0;
}

/* true: a claim newer than the one in (@boot, @incarnation), which it replaces. */
static bool newer(uint64_t *boot, int64_t *incarnation, const struct swim_member *m)
{
    bool is = m->boot > *boot || (m->boot == *boot && m->incarnation > *incarnation);
    if (!is) return false;
    *boot = m->boot;
    *incarnation = m->incarnation;
    return true;
}

static void on_suspect(struct crowd *c, uint32_t subject, const struct swim_member *m)
{
    struct crowd_watch *w = &c->watches[subject];
    const struct crowd_peer *p = &c->peers[subject];
    if (w->suspect_ms == 0) w->suspect_ms = c->now_ms;
    if (!p->live || m->boot != p->boot) return;
    if (!newer(&w->suspected_boot, &w->suspected_incarnation, m)) return;
    if (p->slow)
        c->counts.slow_suspicions++;
    else
        c->counts.suspicions++;
}

static void on_dead(struct crowd *c, uint32_t subject, const struct swim_member *m)
{
    struct crowd_watch *w = &c->watches[subject];
    const struct crowd_peer *p = &c->peers[subject];
    if (w->first_ms == 0) w->first_ms = c->now_ms;
    if (!p->live || m->boot != p->boot) return;
    bool is_new = newer(&w->dead_boot, &w->dead_incarnation, m);
    if (p->slow) {
        c->counts.slow_deaths += is_new;
    } else {
        c->counts.deaths += is_new;
        c->counts.death_reports++;
    }
}

void crowd_watch_event(struct crowd *c, uint32_t observer, enum swim_event_type type,
                       const struct swim_member *m)
{
    if (!c->peers[observer].live) return; /* it has said goodbye */
    uint32_t subject = (uint32_t)strtoul(m->name + strlen("peer-"), NULL, 10);
    DUN_ASSERT(subject < c->o.peers);
    switch (type) {
    case SWIM_EV_JOINED: believe(c, observer, subject, true); return;
    case SWIM_EV_SUSPECT: on_suspect(c, subject, m); return;
    case SWIM_EV_DEAD:
        believe(c, observer, subject, false);
        on_dead(c, subject, m);
        return;
    case SWIM_EV_LEFT:
        believe(c, observer, subject, false);
        if (c->watches[subject].first_ms == 0) c->watches[subject].first_ms = c->now_ms;
        return;
    case SWIM_EV_UPDATED:
    case SWIM_EV_ALIVE: return;
    case SWIM_EV_CONFLICT:
    case SWIM_EV_OUTLIVED: break; /* nobody here bears another's name, boots only rise */
    }
    DUN_UNREACHABLE();
}

void crowd_watch_step(struct crowd *c)
{
    for (uint32_t i = 0; i < c->o.peers; i++) {
        struct crowd_watch *w = &c->watches[i];
        if (w->kind == CROWD_IDLE) continue;
        uint32_t want = w->kind == CROWD_JOIN ? c->live_count - 1 : 0;
        if (w->all_ms == 0 && c->believed[i] == want) w->all_ms = c->now_ms;
        if (w->kind == CROWD_JOIN && w->self_ms == 0 && c->believing[i] == c->live_count - 1)
            w->self_ms = c->now_ms;
    }
}

bool crowd_watch_done(const struct crowd *c)
{
    for (uint32_t i = 0; i < c->o.peers; i++) {
        const struct crowd_watch *w = &c->watches[i];
        if (w->kind == CROWD_IDLE) continue;
        if (w->all_ms == 0 || (w->kind == CROWD_JOIN && w->self_ms == 0)) return false;
    }
    return true;
}

bool crowd_all_known(const struct crowd *c)
{
    for (uint32_t i = 0; i < c->o.peers; i++) {
        uint32_t want = c->peers[i].live ? c->live_count - 1 : 0;
        if (c->believed[i] != want) return false;
    }
    return true;
}

void crowd_sample(struct crowd_samples *s, uint64_t from_ms, uint64_t to_ms)
{
    DUN_ASSERT(to_ms >= from_ms);
    if (s->count < CROWD_SAMPLES_MAX) s->ms[s->count++] = (uint32_t)(to_ms - from_ms);
}

uint32_t crowd_mean(const struct crowd_samples *s)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->count; i++)
        sum += s->ms[i];
    return s->count == 0 ? 0 : (uint32_t)((sum + s->count / 2) / s->count);
}

static int by_size(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

uint32_t crowd_p99(const struct crowd_samples *s)
{
    struct crowd_samples sorted = *s;
    if (s->count == 0) return 0;
    qsort(sorted.ms, s->count, sizeof sorted.ms[0], by_size);
    return sorted.ms[(s->count * 99 + 99) / 100 - 1];
}

uint32_t crowd_max(const struct crowd_samples *s)
{
    uint32_t max = 0;
    for (uint32_t i = 0; i < s->count; i++)
        if (s->ms[i] > max) max = s->ms[i];
    return max;
}
