/* tests/sim/sim_fault.c: what goes wrong, and how it is healed. In the default
 * profile a peer is only taken down while fewer than f are: that is the whole
 * promise of f. Cuts, pauses and slowness know no such bound; they may cost
 * time, never a message. */
#include "sim.h"

static uint32_t some_peer(struct sim *s)
{
    return (uint32_t)dun_prng_range(&s->prng, 0, s->o.voters - 1);
}

uint32_t sim_fault_some_primary(struct sim *s, uint32_t otherwise)
{
    uint32_t peer = otherwise;
    uint32_t group = (uint32_t)dun_prng_range(&s->prng, 0, s->o.groups - 1);
    for (uint32_t i = 0; i < s->o.voters; i++) {
        struct node_group now = {0};
        if (s->peers[i].up) node_group(s->peers[i].node, group, &now);
        if (s->peers[i].up && now.primary) peer = i;
    }
    return peer;
}

bool sim_fault_may_go_down(const struct sim *s, uint32_t index)
{
    if (!sim_is_voter(s, index) || !s->peers[index].up || s->peers[index].draining) return false;
    if (s->o.loss_profile) return true;
    if (!s->formed) return false;
    /* A peer that is down anyway may go again. */
    return sim_peer_down(s, index) || sim_down_count(s) < s->o.voters / 2;
}

uint64_t sim_fault_span_us(struct sim *s, uint32_t max_ms)
{
    return dun_prng_range(&s->prng, 1000, max_ms * 1000ull + 1000);
}

static void crash(struct sim *s, uint32_t index)
{
    if (!sim_fault_may_go_down(s, index)) return;
    sim_peer_crash(s, index, true);
    sim_push(s, s->now_us + sim_fault_span_us(s, s->o.down_ms_max), SIM_EV_START, index, 0);
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
        *f = (struct sim_fault){
            .active = true, .type = type, .peer = peer, .number = ++s->fault_number};
        sim_push(s, s->now_us + sim_fault_span_us(s, s->o.fault_ms_max), SIM_EV_UNFAULT, i, 0);
        return f;
    }
    return NULL;
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
        if (sim_restart_drain(s, peer)) sim_push(s, s->now_us + 1500000, SIM_EV_STOP, peer, 0);
        break;
    case SIM_FAULT_PAUSE:
        if (!p->up || p->paused || p->draining) break;
        sim_peer_pause(s, peer);
        sim_push(s, s->now_us + sim_fault_span_us(s, s->o.fault_ms_max), SIM_EV_RESUME, peer, 0);
        break;
    case SIM_FAULT_PARTITION:
    case SIM_FAULT_ONE_WAY:
    case SIM_FAULT_DEAF:
    case SIM_FAULT_PLANE:
    case SIM_FAULT_ONE_WAY_SET:
    case SIM_FAULT_BRIDGE:
    case SIM_FAULT_MAZE:
    case SIM_FAULT_FLAP:
        f = slot(s, type, peer);
        if (f == NULL) break;
        sim_cut_begin(s, f);
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
    case SIM_FAULT_CLOCK:
        p->clock.wall_skew_ms += (int64_t)dun_prng_range(&s->prng, 0, 3000);
        break;
    case SIM_FAULT_SLOW_PEER:
        if (p->work_us != 0 || slot(s, type, peer) == NULL) break;
        p->work_us = (uint32_t)dun_prng_range(&s->prng, 200, s->o.work_us_max);
        SIM_COVER(s, SLOW_PEERS);
        break;
    case SIM_FAULT_RATE:
        if (slot(s, type, peer) != NULL)
            sim_clock_rate(s, p, (uint32_t)dun_prng_range(&s->prng, SIM_PPM / 2, 2 * SIM_PPM));
        break;
    case SIM_FAULT_WALL: sim_clock_set_wall(s, p); break;
    case SIM_FAULT_ROLL: sim_restart_roll(s); break;
    case SIM_FAULT_STOP_ALL: sim_restart_stop_all(s); break;
    case SIM_FAULT_GHOST: sim_restart_ghost(s, peer); break;
    case SIM_FAULT_TYPES: DUN_UNREACHABLE();
    }
}

static const char *const fault_names[SIM_FAULT_TYPES] = {
    "crash", "drain",     "pause",     "partition", "one_way",     "deaf",     "plane",
    "slow",  "lossy",     "link_lost", "clock",     "one_way_set", "bridge",   "maze",
    "flap",  "slow_peer", "rate",      "wall",      "roll",        "stop_all", "ghost"};

static enum sim_fault_type draw_type(struct sim *s, uint32_t total)
{
    uint32_t at = (uint32_t)dun_prng_range(&s->prng, 0, total - 1), type = 0;
    while (at >= s->o.fault_weight[type])
        at -= s->o.fault_weight[type++];
    return (enum sim_fault_type)type;
}

void sim_fault_next(struct sim *s, const struct sim_event *ev)
{
    if (!s->faults_on) return;
    if (ev->b != 0) {
        SIM_TRACE(s, "FAULT %s %s, aimed", fault_names[ev->b - 1], s->peers[ev->a].name);
        begin(s, (enum sim_fault_type)(ev->b - 1), ev->a);
        return;
    }
    sim_push(s, s->now_us + dun_prng_range(&s->prng, 10000, s->o.fault_interval_ms * 1000ull),
             SIM_EV_FAULT, 0, 0);
    uint32_t total = 0;
    for (uint32_t i = 0; i < SIM_FAULT_TYPES; i++)
        total += s->o.fault_weight[i];
    if (total == 0) return;
    enum sim_fault_type type = draw_type(s, total);
    uint32_t peer = some_peer(s);
    /* What decides everything is worth hitting more often than by chance. */
    if (dun_prng_chance(&s->prng, 400000)) peer = sim_fault_some_primary(s, peer);
    SIM_TRACE(s, "FAULT %s %s", fault_names[type], s->peers[peer].name);
    s->fault_count++;
    begin(s, type, peer);
}

void sim_fault_aim(struct sim *s, uint32_t from, uint32_t to)
{
    static const enum sim_fault_type types[] = {SIM_FAULT_CRASH,     SIM_FAULT_CRASH,
                                                SIM_FAULT_PAUSE,     SIM_FAULT_DEAF,
                                                SIM_FAULT_LINK_LOST, SIM_FAULT_PARTITION};
    if (!s->faults_on || !dun_prng_chance(&s->prng, s->o.aim_ppm)) return;
    uint64_t who = dun_prng_range(&s->prng, 0, 2);
    uint32_t peer = who == 0 ? from : who == 1 ? to : sim_fault_some_primary(s, from);
    enum sim_fault_type type = types[dun_prng_range(&s->prng, 0, DUN_COUNT(types) - 1)];
    uint64_t in_us = dun_prng_range(&s->prng, 0, 4ull * s->o.delay_us_max);
    SIM_COVER(s, AIMED);
    sim_push(s, s->now_us + in_us, SIM_EV_FAULT, peer, (uint32_t)type + 1);
}

void sim_fault_end(struct sim *s, uint32_t index)
{
    struct sim_fault *f = &s->faults[index];
    struct sim_peer *p = &s->peers[f->peer];
    if (!f->active) return;
    f->active = false;
    SIM_TRACE(s, "FAULT END %s %s", fault_names[f->type], p->name);
    if (f->type == SIM_FAULT_SLOW)
        p->slow_us = 0;
    else if (f->type == SIM_FAULT_LOSSY)
        p->lossy_ppm = 0;
    else if (f->type == SIM_FAULT_SLOW_PEER)
        p->work_us = 0;
    else if (f->type == SIM_FAULT_RATE)
        sim_clock_rate(s, p, sim_clock_rate_usual(s, p));
    else
        sim_cut_end(s, f);
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
        for (uint32_t j = 0; j < s->peer_count; j++) {
            sim_net_cut(s, index, j, -1, true);
            sim_net_cut(s, j, index, -1, true);
        }
    }
}

void sim_fault_heal(struct sim *s)
{
    s->faults_on = s->load_on = false;
    s->healed = true;
    s->healed_us = s->now_us;
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
    sim_guest_heal(s);
}
