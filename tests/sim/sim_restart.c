/* tests/sim/sim_restart.c: restarts that an operator makes: one voter after the
 * other (each only when the one before is back), by drain or by kill, and the
 * whole cluster at once, in good order or not. The latter loses all memory, so
 * it belongs to the loss profile. */
#include "sim.h"

enum {
    POLL_US = 20000,
    DRAIN_US_MAX = 1500000,
    PATIENCE_US = 2000000, /* then on with it, though another voter is down */
    SPREAD_US = 100000
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
