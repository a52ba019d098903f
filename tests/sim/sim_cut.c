/* tests/sim/sim_cut.c: the shapes in which a network comes apart: two sides, a
 * deaf peer, one direction, one plane, a bridge between the sides, any maze; and
 * links that flap. A cut is a set of directed links per plane, taken from the
 * network and given back as one. */
#include "sim.h"

static void apply(struct sim *s, struct sim_fault *f, bool on)
{
    if (f->cut_on == on) return;
    f->cut_on = on;
    for (uint32_t i = 0; i < s->peer_count; i++)
        for (uint32_t j = 0; j < s->peer_count; j++)
            for (int plane = 0; plane < SIM_PLANES; plane++)
                if ((f->cut[i][j] >> plane & 1) != 0) sim_net_cut(s, i, j, plane, on);
}

struct shape {
    uint32_t side; /* bit per peer */
    uint32_t peer, other;
    bool in;
    uint8_t plane;
};

static uint8_t link_cut(struct sim *s, enum sim_fault_type type, const struct shape *k, uint32_t i,
                        uint32_t j)
{
    bool pair = (i == k->peer && j == k->other) || (j == k->peer && i == k->other);
    bool apart = (k->side >> i & 1) != (k->side >> j & 1);
    bool hit = false;
    switch (type) {
    case SIM_FAULT_PARTITION: hit = apart; break;
    case SIM_FAULT_ONE_WAY: hit = i == k->peer && j == k->other; break;
    case SIM_FAULT_DEAF: hit = (k->in ? j : i) == k->peer; break;
    case SIM_FAULT_PLANE: return pair ? k->plane : 0;
    case SIM_FAULT_ONE_WAY_SET: hit = apart && (k->side >> i & 1) != 0; break;
    case SIM_FAULT_BRIDGE: hit = apart && i != k->peer && j != k->peer; break;
    case SIM_FAULT_MAZE: return (uint8_t)dun_prng_range(&s->prng, 0, 3);
    case SIM_FAULT_CRASH:
    case SIM_FAULT_DRAIN:
    case SIM_FAULT_PAUSE:
    case SIM_FAULT_SLOW:
    case SIM_FAULT_LOSSY:
    case SIM_FAULT_LINK_LOST:
    case SIM_FAULT_CLOCK:
    case SIM_FAULT_FLAP:
    case SIM_FAULT_SLOW_PEER:
    case SIM_FAULT_RATE:
    case SIM_FAULT_WALL:
    case SIM_FAULT_ROLL:
    case SIM_FAULT_STOP_ALL:
    case SIM_FAULT_GHOST:
    case SIM_FAULT_TYPES: DUN_UNREACHABLE();
    }
    return hit ? 3 : 0;
}

static enum sim_fault_type flapping(struct sim *s)
{
    static const enum sim_fault_type kinds[] = {
        SIM_FAULT_PARTITION,   SIM_FAULT_ONE_WAY, SIM_FAULT_DEAF, SIM_FAULT_PLANE,
        SIM_FAULT_ONE_WAY_SET, SIM_FAULT_BRIDGE,  SIM_FAULT_MAZE};
    return kinds[dun_prng_range(&s->prng, 0, DUN_COUNT(kinds) - 1)];
}

static void flap_later(struct sim *s, const struct sim_fault *f)
{
    struct sim_event ev = {.at_us = s->now_us + dun_prng_range(&s->prng, 1000, f->flap_us),
                           .type = SIM_EV_FLAP,
                           .a = (uint32_t)(f - s->faults),
                           .life = f->number};
    sim_queue_push(&s->queue, ev);
}

void sim_cut_begin(struct sim *s, struct sim_fault *f)
{
    struct shape k = {.peer = f->peer};
    k.side = (uint32_t)dun_prng_range(&s->prng, 1, (1u << s->o.voters) - 2);
    k.in = dun_prng_chance(&s->prng, 500000);
    k.other = (f->peer + 1 + (uint32_t)dun_prng_range(&s->prng, 0, s->o.voters - 2)) % s->o.voters;
    k.plane = dun_prng_chance(&s->prng, 500000) ? 1 : 2;
    enum sim_fault_type type = f->type == SIM_FAULT_FLAP ? flapping(s) : f->type;
    for (uint32_t i = 0; i < s->peer_count; i++)
        for (uint32_t j = 0; j < s->peer_count; j++)
            if (i != j) f->cut[i][j] = link_cut(s, type, &k, i, j);
    apply(s, f, true);
    SIM_COVER(s, CUTS);
    if (type == SIM_FAULT_ONE_WAY_SET) SIM_COVER(s, ONE_WAY_SETS);
    if (type == SIM_FAULT_BRIDGE) SIM_COVER(s, BRIDGES);
    if (f->type != SIM_FAULT_FLAP) return;
    f->flap_us = 2000ull << dun_prng_range(&s->prng, 0, 10);
    flap_later(s, f);
}

void sim_cut_end(struct sim *s, struct sim_fault *f)
{
    apply(s, f, false);
}

void sim_cut_flap(struct sim *s, const struct sim_event *ev)
{
    struct sim_fault *f = &s->faults[ev->a];
    if (!f->active || f->number != ev->life) return;
    apply(s, f, !f->cut_on);
    SIM_COVER(s, FLAPS);
    /* A connection that comes and goes breaks now and then, and that is noticed. */
    if (dun_prng_chance(&s->prng, 50000)) sim_net_link_lost(s, f->peer);
    flap_later(s, f);
}
