/* tests/sim/sim_fault.c: what goes wrong, and how it is healed. In the default
 * profile a peer is only taken down while fewer than f are: that is the whole
 * promise of f. Cuts, pauses and slowness know no such bound; they may cost
 * time, never a message. */
#include "sim.h"

static uint32_t some_peer(struct sim *s)
{
    return (uint32_t)dun_prng_range(&s->prng, 0, s->o.voters - 1);
}

static bool may_go_down(const struct sim *s, uint32_t index)
{
    if (!s->peers[index].up || s->peers[index].draining) return false;
    if (s->o.loss_profile) return true;
    if (!s->formed) return false;
    /* A peer that is down anyway may go again. */
    return sim_peer_down(s, index) || sim_down_count(s) < s->o.voters / 2;
}

static uint64_t span_us(struct sim *s, uint32_t max_ms)
{
    return dun_prng_range(&s->prng, 1000, max_ms * 1000ull + 1000);
}

static void crash(struct sim *s, uint32_t index)
{
    if (!may_go_down(s, index)) return;
    sim_peer_crash(s, index, true);
    sim_push(s, s->now_us + span_us(s, s->o.down_ms_max), SIM_EV_START, index, 0);
}

/* In the loss profile, now and then all at once. */
static void crash_many(struct sim *s)
{
    bool all = dun_prng_chance(&s->prng, 400000);
    for (uint32_t i = 0; i < s->o.voters; i++)
        if (all || dun_prng_chance(&s->prng, 600000)) crash(s, i);
}

static struct sim_fault *slot(struct sim *s, enum sim_fault_type type, uint32_t peer)
{
    for (uint32_t i = 0; i < SIM_FAULTS_MAX; i++) {
        struct sim_fault *f = &s->faults[i];
        if (f->active) continue;
        *f = (struct sim_fault){.active = true, .type = type, .peer = peer};
        sim_push(s, s->now_us + span_us(s, s->o.fault_ms_max), SIM_EV_UNFAULT, i, 0);
        return f;
    }
    return NULL;
}

static void cut_apply(struct sim *s, const struct sim_fault *f, bool on)
{
    for (uint32_t i = 0; i < s->o.voters; i++)
        for (uint32_t j = 0; j < s->o.voters; j++)
            for (int plane = 0; plane < SIM_PLANES; plane++)
                if ((f->cut[i][j] >> plane & 1) != 0) sim_net_cut(s, i, j, plane, on);
}

static void cut_draw(struct sim *s, struct sim_fault *f)
{
    uint32_t side = (uint32_t)dun_prng_range(&s->prng, 1, (1u << s->o.voters) - 2);
    bool in = dun_prng_chance(&s->prng, 500000);
    uint32_t other =
        (f->peer + 1 + (uint32_t)dun_prng_range(&s->prng, 0, s->o.voters - 2)) % s->o.voters;
    uint8_t plane = dun_prng_chance(&s->prng, 500000) ? 1 : 2;
    for (uint32_t i = 0; i < s->o.voters; i++)
        for (uint32_t j = 0; j < s->o.voters; j++) {
            bool pair = (i == f->peer && j == other) || (j == f->peer && i == other);
            if (i == j) continue;
            if (f->type == SIM_FAULT_PARTITION && (side >> i & 1) != (side >> j & 1))
                f->cut[i][j] = 3;
            if (f->type == SIM_FAULT_ONE_WAY && i == f->peer && j == other) f->cut[i][j] = 3;
            if (f->type == SIM_FAULT_DEAF && (in ? j : i) == f->peer) f->cut[i][j] = 3;
            if (f->type == SIM_FAULT_PLANE && pair) f->cut[i][j] = plane;
        }
}

static void begin(struct sim *s, enum sim_fault_type type, uint32_t peer)
{
    struct sim_peer *p = &s->peers[peer];
    struct sim_fault *f = NULL;
    switch (type) {
    case SIM_FAULT_CRASH:
        if (s->o.loss_profile && dun_prng_chance(&s->prng, 300000))
            crash_many(s);
        else
            crash(s, peer);
        break;
    case SIM_FAULT_DRAIN:
        if (p->paused || sim_peer_down(s, peer) || !may_go_down(s, peer)) break;
        p->draining = true;
        sim_peer_plain(s, peer, NODE_EV_DRAIN);
        sim_push(s, s->now_us + 1500000, SIM_EV_STOP, peer, 0);
        break;
    case SIM_FAULT_PAUSE:
        if (!p->up || p->paused || p->draining) break;
        sim_peer_pause(s, peer);
        sim_push(s, s->now_us + span_us(s, s->o.fault_ms_max), SIM_EV_RESUME, peer, 0);
        break;
    case SIM_FAULT_PARTITION:
    case SIM_FAULT_ONE_WAY:
    case SIM_FAULT_DEAF:
    case SIM_FAULT_PLANE:
        f = slot(s, type, peer);
        if (f == NULL) break;
        cut_draw(s, f);
        cut_apply(s, f, true);
        if (dun_prng_chance(&s->prng, 300000)) sim_net_link_lost(s, peer);
        break;
    case SIM_FAULT_SLOW:
        if (p->slow_us == 0 && slot(s, type, peer) != NULL)
            p->slow_us = dun_prng_range(&s->prng, 5000, 800000);
        break;
    case SIM_FAULT_LOSSY:
        if (p->lossy_ppm == 0 && slot(s, type, peer) != NULL)
            p->lossy_ppm = (uint32_t)dun_prng_range(&s->prng, 50000, 600000);
        break;
    case SIM_FAULT_LINK_LOST: sim_net_link_lost(s, peer); break;
    case SIM_FAULT_CLOCK: p->wall_skew_ms += dun_prng_range(&s->prng, 0, 3000); break;
    case SIM_FAULT_TYPES: DUN_UNREACHABLE();
    }
}

static const char *const fault_names[SIM_FAULT_TYPES] = {
    "crash", "drain", "pause", "partition", "one_way", "deaf",
    "plane", "slow",  "lossy", "link_lost", "clock"};

void sim_fault_next(struct sim *s)
{
    if (!s->faults_on) return;
    sim_push(s, s->now_us + dun_prng_range(&s->prng, 10000, s->o.fault_interval_ms * 1000ull),
             SIM_EV_FAULT, 0, 0);
    uint32_t total = 0;
    for (uint32_t i = 0; i < SIM_FAULT_TYPES; i++)
        total += s->o.fault_weight[i];
    if (total == 0) return;
    uint32_t at = (uint32_t)dun_prng_range(&s->prng, 0, total - 1), type = 0;
    while (at >= s->o.fault_weight[type])
        at -= s->o.fault_weight[type++];
    uint32_t peer = some_peer(s);
    /* What decides everything is worth hitting more often than by chance. */
    if (dun_prng_chance(&s->prng, 400000)) {
        uint32_t group = (uint32_t)dun_prng_range(&s->prng, 0, s->o.groups - 1);
        for (uint32_t i = 0; i < s->o.voters; i++) {
            struct node_group now = {0};
            if (s->peers[i].up) node_group(s->peers[i].node, group, &now);
            if (s->peers[i].up && now.primary) peer = i;
        }
    }
    SIM_TRACE(s, "FAULT %s %s", fault_names[type], s->peers[peer].name);
    s->fault_count++;
    begin(s, (enum sim_fault_type)type, peer);
}

void sim_fault_end(struct sim *s, uint32_t index)
{
    struct sim_fault *f = &s->faults[index];
    if (!f->active) return;
    f->active = false;
    SIM_TRACE(s, "FAULT END %s %s", fault_names[f->type], s->peers[f->peer].name);
    if (f->type == SIM_FAULT_SLOW)
        s->peers[f->peer].slow_us = 0;
    else if (f->type == SIM_FAULT_LOSSY)
        s->peers[f->peer].lossy_ppm = 0;
    else
        cut_apply(s, f, false);
}

/* Which peers stay out for good: as many as the rest can do without. A peer
 * that is down has no memory to recover others by, so it counts as well. */
static void choose_broken(struct sim *s)
{
    uint32_t f = s->o.voters / 2, out = 0;
    for (uint32_t i = 0; i < s->o.voters; i++)
        out += sim_peer_down(s, i);
    uint32_t want = s->o.heal_all || !s->formed ? 0 : (uint32_t)dun_prng_range(&s->prng, 1, f);
    uint32_t broken = 0, start = some_peer(s);
    for (uint32_t k = 0; k < s->o.voters && broken < want; k++) {
        uint32_t i = (start + k) % s->o.voters;
        bool down = sim_peer_down(s, i);
        if (!down && out >= f) continue;
        if (!down) out++;
        s->peers[i].broken = true;
        broken++;
    }
}

static void break_for_good(struct sim *s, uint32_t index)
{
    struct sim_peer *p = &s->peers[index];
    uint64_t how = dun_prng_range(&s->prng, 0, 2);
    SIM_TRACE(s, "%s stays broken (%s)", p->name,
              how == 0   ? "down"
              : how == 1 ? "paused"
                         : "cut off");
    if (how == 0) {
        if (p->up) sim_peer_crash(s, index, true);
    } else if (how == 1) {
        if (p->up) p->paused = true;
    } else {
        for (uint32_t j = 0; j < s->o.voters; j++) {
            sim_net_cut(s, index, j, -1, true);
            sim_net_cut(s, j, index, -1, true);
        }
    }
}

void sim_fault_heal(struct sim *s)
{
    s->faults_on = s->load_on = false;
    s->healed = true;
    SIM_TRACE(s, "HEAL");
    sim_net_clear(s);
    memset(s->faults, 0, sizeof s->faults);
    choose_broken(s);
    for (uint32_t i = 0; i < s->o.voters && !s->failed; i++) {
        struct sim_peer *p = &s->peers[i];
        if (p->broken) {
            break_for_good(s, i);
            continue;
        }
        if (p->up && p->draining) sim_peer_crash(s, i, true);
        if (!p->up)
            sim_peer_start(s, i, sim_peer_boot_next(s, i));
        else if (p->paused)
            sim_peer_resume(s, i);
    }
}
