/* tests/sim/sim_net.c: the network between the peers. It carries encoded
 * packets and may delay, lose, repeat, reorder and cut, one direction and one
 * plane at a time. A late copy may arrive after its sender or its receiver has
 * lived on through several boots. */
#include "sim.h"

#include "base/alloc.h"

#include <stdio.h>

int sim_peer_by_addr(const struct sim *s, const char *addr)
{
    int found = -1;
    for (uint32_t i = 0; i < s->peer_count; i++) {
        const struct sim_peer *p = &s->peers[i];
        if (strcmp(addr, p->gossip_addr) != 0 && strcmp(addr, p->replication_addr) != 0) continue;
        if (found < 0 || p->up) found = (int)i; /* an address may have passed to another one */
    }
    return found;
}

static uint8_t name_index(const struct sim *s, const char *name)
{
    uint8_t i = 0;
    while (i < SIM_NAMES_MAX && (name[0] == '\0' || strcmp(s->names[i], name) != 0))
        i++;
    return i;
}

static uint64_t delay_us(struct sim *s, const struct sim_peer *a, const struct sim_peer *b)
{
    uint64_t d = dun_prng_range(&s->prng, s->o.delay_us_min, s->o.delay_us_max);
    uint64_t slow = a->slow_us > b->slow_us ? a->slow_us : b->slow_us;
    if (slow != 0) d += dun_prng_range(&s->prng, slow / 2, slow);
    return d;
}

static void deliver_at(struct sim *s, uint64_t at_us, const struct sim_packet *p)
{
    struct sim_event ev = {.at_us = at_us, .type = SIM_EV_PACKET, .a = p->to, .packet = *p};
    dun_blob_ref(p->bytes);
    sim_queue_push(&s->queue, ev);
}

static void keep(struct sim *s, const struct sim_packet *p)
{
    if (s->kept_count == s->kept_cap) {
        s->kept_cap = s->kept_cap == 0 ? 64 : 2 * s->kept_cap;
        s->kept = dun_realloc(s->kept, s->kept_cap * sizeof *s->kept);
    }
    dun_blob_ref(p->bytes);
    s->kept[s->kept_count++] = (struct sim_event){.type = SIM_EV_PACKET, .a = p->to, .packet = *p};
}

static void copy_new(struct sim *s, struct sim_packet *p)
{
    if (p->copy != 0) return;
    if (s->copy_count == s->copy_cap) {
        s->copy_cap = s->copy_cap == 0 ? 64 : 2 * s->copy_cap;
        s->copies = dun_realloc(s->copies, s->copy_cap * sizeof *s->copies);
    }
    s->copies[s->copy_count++] = 0;
    p->copy = s->copy_count;
}

bool sim_net_admit(struct sim *s, const struct sim_packet *p)
{
    if (p->copy == 0 || s->o.raw_dups) return true;
    uint64_t *had = &s->copies[p->copy - 1];
    if (*had == s->peers[p->to].life) return false;
    *had = s->peers[p->to].life;
    return true;
}

static void transmit(struct sim *s, struct sim_packet *p)
{
    struct sim_peer *a = &s->peers[p->from], *b = &s->peers[p->to];
    struct sim_link *l = &s->links[p->from][p->to];
    if (l->hold[p->plane]) {
        keep(s, p);
        return;
    }
    if (l->cuts[p->plane] != 0) return;
    uint32_t loss = s->o.loss_ppm + a->lossy_ppm + b->lossy_ppm;
    if (loss != 0 && dun_prng_chance(&s->prng, loss)) return;
    uint64_t at = s->now_us + delay_us(s, a, b);
    if (!s->o.reorder) {
        if (at < l->last_at_us[p->plane]) at = l->last_at_us[p->plane];
        l->last_at_us[p->plane] = at;
    }
    bool late = s->o.late_ppm != 0 && dun_prng_chance(&s->prng, s->o.late_ppm);
    bool twice = s->o.dup_ppm != 0 && dun_prng_chance(&s->prng, s->o.dup_ppm);
    if (late || twice) copy_new(s, p);
    if (late) {
        uint64_t late_us = dun_prng_range(&s->prng, 1000, s->o.late_ms_max * 1000ull);
        deliver_at(s, s->now_us + late_us, p);
        if (dun_prng_chance(&s->prng, 500000)) return; /* only late, not also in time */
    }
    deliver_at(s, at, p);
    if (twice) deliver_at(s, s->now_us + delay_us(s, a, b), p);
}

void sim_net_send(struct sim *s, uint32_t from, const struct node_packet *p)
{
    int to = sim_peer_by_addr(s, p->addr);
    if (to < 0 && s->o.guests != 0) return; /* where a guest was once */
    if (to < 0) {
        sim_fail(s, "%s sends to an address nobody has: '%s'", s->peers[from].name, p->addr);
        return;
    }
    if (p->bytes.len > DUN_PACKET_MAX) {
        sim_fail(s, "%s sends %zu bytes in one packet", s->peers[from].name, p->bytes.len);
        return;
    }
    sim_hash(s, (uint64_t)from << 8 | (uint64_t)to << 4 | p->plane);
    sim_hash_bytes(s, p->bytes);
    if ((uint32_t)to == from) return;
    struct sim_packet packet = {.from = from,
                                .to = (uint32_t)to,
                                .plane = p->plane,
                                .from_name = (uint8_t)s->peers[from].name_index,
                                .to_name = name_index(s, p->to_name),
                                .from_boot = s->peers[from].boot,
                                .bytes = dun_blob_copy(p->bytes.data, p->bytes.len)};
    transmit(s, &packet);
    dun_blob_unref(packet.bytes);
}

void sim_net_release(struct sim *s, uint32_t from, uint32_t to)
{
    size_t left = 0;
    for (size_t i = 0; i < s->kept_count; i++) {
        struct sim_packet *p = &s->kept[i].packet;
        if (p->from == from && p->to == to) {
            deliver_at(s, s->now_us + s->o.delay_us_min, p);
            dun_blob_unref(p->bytes);
        } else {
            s->kept[left++] = s->kept[i];
        }
    }
    s->kept_count = left;
}

void sim_net_cut(struct sim *s, uint32_t from, uint32_t to, int plane, bool on)
{
    struct sim_link *l = &s->links[from][to];
    for (int i = 0; i < SIM_PLANES; i++) {
        if (plane >= 0 && plane != i) continue;
        DUN_ASSERT(on || l->cuts[i] > 0);
        l->cuts[i] += on ? 1u : (uint32_t)-1;
    }
}

void sim_net_clear(struct sim *s)
{
    for (uint32_t i = 0; i < SIM_PEERS_MAX; i++)
        for (uint32_t j = 0; j < SIM_PEERS_MAX; j++)
            s->links[i][j] = (struct sim_link){
                .last_at_us = {s->links[i][j].last_at_us[0], s->links[i][j].last_at_us[1]}};
    for (uint32_t i = 0; i < s->peer_count; i++) {
        struct sim_peer *p = &s->peers[i];
        p->slow_us = p->work_us = 0;
        p->lossy_ppm = 0;
        sim_clock_rate(s, p, sim_clock_rate_usual(s, p));
    }
    s->o.loss_ppm = s->o.dup_ppm = s->o.late_ppm = 0;
}

void sim_net_link_lost(struct sim *s, uint32_t index)
{
    for (uint32_t i = 0; i < s->peer_count; i++) {
        if (i == index || !s->peers[i].up) continue;
        for (uint32_t plane = 0; plane < SIM_PLANES; plane++) {
            uint64_t how = dun_prng_range(&s->prng, 0, 99);
            if (how < 15) continue; /* nobody is told */
            uint64_t max_us = how < 30 ? 3000000 : 3000;
            uint64_t at = s->now_us + dun_prng_range(&s->prng, 100, max_us);
            sim_push(s, at, SIM_EV_LINK_LOST, i, index * SIM_PLANES + plane);
        }
    }
}
