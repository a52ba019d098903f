/* tests/sim/sim_guest.c: peers that are no voters join, leave, crash and come
 * back with a new boot, some under a name or at an address that another one had.
 * They take part in the gossip only, and must neither disturb the voters nor be
 * taken for somebody else. */
#include "sim.h"

#include <stdio.h>

enum { SPARE = SIM_NAMES_MAX - SIM_PEERS_MAX };

static bool taken(const struct sim *s, uint32_t name, const char *addr)
{
    for (uint32_t i = s->o.voters; i < s->peer_count; i++) {
        const struct sim_peer *p = &s->peers[i];
        if (!p->up) continue;
        if (addr == NULL ? p->name_index == name : strcmp(p->gossip_addr, addr) == 0) return true;
    }
    return false;
}

static void addr_set(struct sim_peer *p, uint32_t host)
{
    snprintf(p->gossip_addr, sizeof p->gossip_addr, "10.0.1.%u:7946", host + 1);
    snprintf(p->replication_addr, sizeof p->replication_addr, "10.0.1.%u:7947", host + 1);
    snprintf(p->client_addr, sizeof p->client_addr, "10.0.1.%u:8000", host + 1);
}

/* Mostly as before; else under any name and at any address that nobody has now. */
static void settle_down(struct sim *s, struct sim_peer *p)
{
    uint32_t pool = s->o.guests + SPARE;
    struct sim_peer place = *p;
    if (dun_prng_chance(&s->prng, 300000) || taken(s, p->name_index, NULL)) {
        do
            p->name_index = s->o.voters + (uint32_t)dun_prng_range(&s->prng, 0, pool - 1);
        while (taken(s, p->name_index, NULL));
        SIM_COVER(s, MOVES);
    }
    if (dun_prng_chance(&s->prng, 300000) || taken(s, 0, p->gossip_addr)) {
        do
            addr_set(&place, (uint32_t)dun_prng_range(&s->prng, 0, pool - 1));
        while (taken(s, 0, place.gossip_addr));
        memcpy(p->gossip_addr, place.gossip_addr, sizeof p->gossip_addr);
        memcpy(p->replication_addr, place.replication_addr, sizeof p->replication_addr);
        memcpy(p->client_addr, place.client_addr, sizeof p->client_addr);
        SIM_COVER(s, MOVES);
    }
    p->name = s->names[p->name_index];
}

static void start(struct sim *s, uint32_t index)
{
    settle_down(s, &s->peers[index]);
    SIM_COVER(s, GUESTS);
    sim_peer_start(s, index, sim_peer_boot_next(s, index));
}

static void later(struct sim *s, uint32_t index)
{
    uint64_t in_us =
        dun_prng_range(&s->prng, 20000, dun_prng_chance(&s->prng, 500000) ? 300000 : 4000000);
    sim_push(s, s->now_us + in_us, SIM_EV_GUEST, index, 0);
}

void sim_guest_start(struct sim *s)
{
    for (uint32_t i = s->o.voters; i < s->peer_count; i++) {
        addr_set(&s->peers[i], i - s->o.voters);
        later(s, i);
    }
}

void sim_guest_event(struct sim *s, const struct sim_event *ev)
{
    struct sim_peer *p = &s->peers[ev->a];
    if (!s->faults_on) return;
    if (!p->up) {
        start(s, ev->a);
    } else if (p->paused) {
        sim_peer_resume(s, ev->a);
    } else if (dun_prng_chance(&s->prng, 150000)) {
        sim_peer_pause(s, ev->a);
    } else {
        if (dun_prng_chance(&s->prng, 500000)) {
            sim_peer_plain(s, ev->a, NODE_EV_LEAVE);
            struct sim_event flush = {.type = SIM_EV_FLUSH, .a = ev->a, .life = p->life};
            if (!s->failed) sim_peer_event(s, &flush);
        }
        if (!s->failed && p->up) sim_peer_crash(s, ev->a, dun_prng_chance(&s->prng, 700000));
    }
    if (!s->failed) later(s, ev->a);
}

void sim_guest_heal(struct sim *s)
{
    for (uint32_t i = s->o.voters; i < s->peer_count && !s->failed; i++)
        if (s->peers[i].paused) sim_peer_resume(s, i);
}

bool sim_guest_seen(const struct sim *s, const struct sim_peer *p, char *why, size_t size)
{
    const struct swim *swim = node_swim(p->node);
    for (uint32_t i = s->o.voters; i < s->peer_count; i++) {
        const struct sim_peer *g = &s->peers[i];
        struct swim_member m;
        if (!g->up || g->paused || g == p) continue;
        bool known = swim_find(swim, g->name, &m);
        if (known && m.state == SWIM_ALIVE && m.boot == g->boot &&
            strcmp(m.addr, g->gossip_addr) == 0)
            continue;
        snprintf(why, size, "%s does not see %s, which is up", p->name, g->name);
        return false;
    }
    for (uint32_t i = 0; i < swim_count(swim); i++) {
        struct swim_member m = swim_member_at(swim, i);
        uint32_t k = s->o.voters;
        while (k < SIM_NAMES_MAX && strcmp(m.name, s->names[k]) != 0)
            k++;
        if (k == SIM_NAMES_MAX || m.state == SWIM_DEAD || m.state == SWIM_LEFT || taken(s, k, NULL))
            continue;
        snprintf(why, size, "%s still sees %s, which is gone", p->name, m.name);
        return false;
    }
    return true;
}
