/* tests/sim/sim_restart.c: restarts that an operator makes: one voter after the
 * other (each only when the one before is back), by drain or by kill, and the
 * whole cluster at once, in good order or not (which loses all memory, so it
 * belongs to the loss profile). And ghosts: words that outlive the memory of who
 * said them, as Michael et al. (DISC 2017) have them undo a commit. */
#include "sim.h"

enum {
    POLL_US = 20000,
    DRAIN_US_MAX = 1500000,
    PATIENCE_US = 2000000, /* then on with it, though another voter is down */
    SPREAD_US = 100000,
    GHOST_CRASH = 0, /* what SIM_EV_GHOST is for, in b */
    GHOST_SPEAK = 1
};

bool sim_restart_drain(struct sim *s, uint32_t index)
{
    struct sim_peer *p = &s->peers[index];
    if (p->paused || sim_peer_down(s, index) || !sim_fault_may_go_down(s, index)) return false;
    p->draining = true;
    SIM_COVER(s, DRAINS);
    sim_peer_plain(s, index, NODE_EV_DRAIN);
    return true;
}

void sim_restart_roll(struct sim *s)
{
    if (s->roll.on) return;
    s->roll = (struct sim_roll){.on = true, .since_us = s->now_us};
    s->roll.drain = dun_prng_chance(&s->prng, 600000);
    sim_push(s, s->now_us, SIM_EV_ROLL, 0, 0);
}

static void stage(struct sim *s, uint32_t to)
{
    s->roll.stage = to;
    s->roll.since_us = s->now_us;
}

static void take_down(struct sim *s)
{
    struct sim_roll *r = &s->roll;
    bool others = sim_down_count(s) - sim_peer_down(s, r->peer) > 0;
    if (others && s->now_us - r->since_us < PATIENCE_US) return;
    if (r->drain) {
        if (sim_restart_drain(s, r->peer)) stage(s, SIM_ROLL_DRAIN);
    } else if (sim_fault_may_go_down(s, r->peer)) {
        sim_peer_crash(s, r->peer, true);
        sim_push(s, s->now_us + sim_fault_span_us(s, s->o.down_ms_max), SIM_EV_START, r->peer, 0);
        stage(s, SIM_ROLL_DOWN);
    }
}

static void drained(struct sim *s)
{
    struct sim_peer *p = &s->peers[s->roll.peer];
    struct node_status now = {0};
    if (p->up && p->draining) node_status(p->node, &now);
    if (p->up && p->draining && !now.drained && s->now_us - s->roll.since_us < DRAIN_US_MAX) return;
    if (p->up && p->draining) sim_push(s, s->now_us, SIM_EV_STOP, p->index, 0);
    stage(s, SIM_ROLL_DOWN);
}

void sim_restart_roll_step(struct sim *s)
{
    struct sim_roll *r = &s->roll;
    if (!s->faults_on || r->peer == s->o.voters) {
        if (r->peer == s->o.voters) SIM_COVER(s, ROLLS);
        r->on = false;
        return;
    }
    if (r->stage == SIM_ROLL_WAIT) {
        take_down(s);
    } else if (r->stage == SIM_ROLL_DRAIN) {
        drained(s);
    } else if (!sim_peer_down(s, r->peer)) {
        r->peer++;
        stage(s, SIM_ROLL_WAIT);
    }
    if (!s->failed) sim_push(s, s->now_us + POLL_US, SIM_EV_ROLL, 0, 0);
}

void sim_restart_stop_all(struct sim *s)
{
    bool orderly = dun_prng_chance(&s->prng, 500000);
    DUN_ASSERT(s->o.loss_profile);
    SIM_COVER(s, STOPS_ALL);
    for (uint32_t i = 0; i < s->o.voters && !s->failed; i++) {
        uint64_t spread_us = dun_prng_range(&s->prng, 0, SPREAD_US);
        if (!orderly)
            sim_push(s, s->now_us + spread_us, SIM_EV_FAULT, i, SIM_FAULT_CRASH + 1);
        else if (sim_restart_drain(s, i))
            sim_push(s, s->now_us + DRAIN_US_MAX + spread_us, SIM_EV_STOP, i, 0);
    }
}

/* @index doubts a primary, and says so; its words stay in the network, it loses its memory and
 * comes back. When they arrive, somebody who misses what happened since may count them. */
void sim_restart_ghost(struct sim *s, uint32_t index)
{
    uint32_t n = s->o.voters, of = sim_fault_some_primary(s, index);
    if (of == index || !sim_fault_may_go_down(s, index) || s->peers[index].paused) return;
    uint32_t deaf = index;
    while (deaf == index || deaf == of)
        deaf = (uint32_t)dun_prng_range(&s->prng, 0, n - 1);
    SIM_COVER(s, GHOSTS);
    for (uint32_t i = 0; i < n; i++)
        s->links[index][i].hold[NODE_REPLICATION] = true;
    sim_push(s, s->now_us, SIM_EV_LINK_LOST, index, of * SIM_PLANES + NODE_REPLICATION);
    uint64_t crash_us = s->now_us + dun_prng_range(&s->prng, 1000, 5000) + s->o.batch_us;
    sim_push(s, crash_us, SIM_EV_GHOST, index, GHOST_CRASH);
    sim_push(s, crash_us + dun_prng_range(&s->prng, 100000, 500000), SIM_EV_FAULT, deaf,
             SIM_FAULT_DEAF + 1);
    sim_push(s, crash_us + dun_prng_range(&s->prng, 200000, 1500000), SIM_EV_GHOST, index,
             GHOST_SPEAK);
}

void sim_restart_ghost_step(struct sim *s, const struct sim_event *ev)
{
    for (uint32_t i = 0; i < s->o.voters; i++) {
        if (ev->b == GHOST_SPEAK) sim_net_release(s, ev->a, i);
        s->links[ev->a][i].hold[NODE_REPLICATION] = false;
    }
    if (ev->b == GHOST_SPEAK || !s->faults_on || !sim_fault_may_go_down(s, ev->a)) return;
    sim_peer_crash(s, ev->a, false);
    sim_push(s, s->now_us + dun_prng_range(&s->prng, 1000, 50000), SIM_EV_START, ev->a, 0);
}
