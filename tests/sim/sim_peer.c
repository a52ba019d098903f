/* tests/sim/sim_peer.c: one peer: its node and store, its lives, and the loop
 * around node_step() that the process has too: step for what arrived, flush,
 * perform what came out. A crash forgets all of it, a pause freezes it: what
 * arrives meanwhile is buffered, and afterwards time has jumped. A slow peer
 * takes its time for each step, so what arrives waits in line. */
#include "sim.h"

#include "base/alloc.h"

#include <stdio.h>

enum { SIM_HELD_MAX = 20000 /* packets; beyond it a socket takes no more */ };

bool sim_is_voter(const struct sim *s, uint32_t index)
{
    return index < s->o.voters;
}

void sim_peer_init(struct sim *s, uint32_t index)
{
    struct sim_peer *p = &s->peers[index];
    *p = (struct sim_peer){.sim = s, .index = index, .name_index = index, .name = s->names[index]};
    snprintf(p->gossip_addr, sizeof p->gossip_addr, "10.0.0.%u:7946", index + 1);
    snprintf(p->replication_addr, sizeof p->replication_addr, "10.0.0.%u:7947", index + 1);
    snprintf(p->client_addr, sizeof p->client_addr, "10.0.0.%u:8000", index + 1);
    sim_clock_init(s, p);
    sim_log_init(s, p);
}

uint64_t sim_peer_boot_next(struct sim *s, uint32_t index)
{
    struct sim_peer *p = &s->peers[index];
    uint64_t wall = sim_wall_ms(s, p), had = s->boot_max[p->name_index];
    if (s->o.boot_regress && had > 2 && dun_prng_chance(&s->prng, 300000))
        return had - 1 - dun_prng_range(&s->prng, 0, 1); /* the clock was set back */
    return wall > had ? wall : had + 1;
}

static void store_open(struct sim *s, struct sim_peer *p)
{
    struct store_namespace ns = {.history_size = s->o.history_size,
                                 .history_ttl_ms = s->o.history_ttl_ms,
                                 .history_meta_ttl_ms = s->o.meta_ttl_ms};
    struct store_config c = {.group_count = s->o.groups,
                             .namespaces = &ns,
                             .namespace_count = 1,
                             .max_memory = s->o.max_memory};
    memset(c.hash_key, (int)(p->index + 1), sizeof c.hash_key);
    dun_err e = store_create(&p->store, &c);
    DUN_ASSERT(e == DUN_OK);
}

static void tick_schedule(struct sim *s, struct sim_peer *p)
{
    uint64_t at_us = sim_clock_at_us(s, p, node_deadline_ms(p->node));
    if (p->tick_at_us != 0 && p->tick_at_us <= at_us) return;
    p->tick_at_us = at_us;
    sim_push(s, at_us, SIM_EV_TICK, p->index, 0);
}

void sim_peer_start(struct sim *s, uint32_t index, uint64_t boot)
{
    struct sim_peer *p = &s->peers[index];
    DUN_ASSERT(!p->up);
    store_open(s, p);
    struct node_config c = {.name = p->name,
                            .voter_count = s->o.voters,
                            .gossip_addr = p->gossip_addr,
                            .replication_addr = p->replication_addr,
                            .client_addr = p->client_addr,
                            .version = "sim",
                            .seed_count = s->o.voters,
                            .boot = boot,
                            .prng_seed = dun_prng_next(&s->prng),
                            .group_count = s->o.groups,
                            .store = p->store,
                            .loss_timeout_ms = s->o.loss_timeout_ms,
                            .max_inflight = s->o.max_inflight,
                            .submit_timeout_ms = s->o.submit_timeout_ms,
                            .log = s->trace ? &p->log : NULL};
    for (uint32_t i = 0; i < s->o.voters; i++) {
        c.voters[i] = s->peers[i].name;
        c.seeds[i] = s->peers[i].gossip_addr;
    }
    char why[256] = "";
    dun_err e = node_create(&p->node, &c, why, sizeof why);
    if (e != DUN_OK) {
        sim_fail(s, "node_create of %s: %s (%s)", p->name, dun_err_text(e), why);
        store_destroy(p->store);
        return;
    }
    p->life++;
    p->boot = boot;
    if (boot > s->boot_max[p->name_index]) s->boot_max[p->name_index] = boot;
    p->up = true;
    p->paused = p->draining = p->flush_pending = p->working = false;
    p->snapshots_out = 0;
    memset(p->open_submits, 0, sizeof p->open_submits);
    p->tick_at_us = 0;
    sim_check_peer_new(s, p);
    SIM_TRACE(s, "%s START boot=%" PRIu64, p->name, boot);
    sim_push(s, s->now_us, SIM_EV_TICK, index, 0);
}

static void held_drop(struct sim_peer *p)
{
    for (size_t i = p->held_first; i < p->held_count; i++)
        dun_blob_unref(p->held[i].packet.bytes);
    p->held_first = p->held_count = 0;
}

void sim_peer_crash(struct sim *s, uint32_t index, bool tell)
{
    struct sim_peer *p = &s->peers[index];
    DUN_ASSERT(p->up);
    SIM_TRACE(s, "%s CRASH", p->name);
    SIM_COVER(s, CRASHES);
    sim_cover_peer(s, p);
    node_destroy(p->node);
    store_destroy(p->store);
    p->node = NULL;
    p->store = NULL;
    p->up = p->paused = p->draining = false;
    p->life++;
    held_drop(p);
    sim_client_peer_gone(s, index);
    if (tell) sim_net_link_lost(s, index);
}

void sim_peer_pause(struct sim *s, uint32_t index)
{
    SIM_TRACE(s, "%s PAUSE", s->peers[index].name);
    SIM_COVER(s, PAUSES);
    s->peers[index].paused = true;
}

/* Do others hold a newer incarnation than it does, and it takes no part in theirs? Then it holds
 * nothing of what they hold. Who votes in theirs takes part, as vsr_form.c has it: its memory is
 * what makes them a quorum, and it is up. */
static bool left_behind(const struct sim *s, const struct sim_peer *p, uint32_t group)
{
    struct node_group own, other;
    node_group(p->node, group, &own);
    for (uint32_t i = 0; i < s->o.voters; i++) {
        const struct sim_peer *q = &s->peers[i];
        if (q == p || !q->up || !q->was_normal[group]) continue;
        node_group(q->node, group, &other);
        bool votes = own.incarnation == other.log_incarnation;
        if (other.log_incarnation > own.log_incarnation && !votes) return true;
    }
    return false;
}

bool sim_peer_down(const struct sim *s, uint32_t index)
{
    const struct sim_peer *p = &s->peers[index];
    if (!p->up || p->draining) return true;
    for (uint32_t g = 0; g < s->o.groups; g++)
        if (!p->was_normal[g] || left_behind(s, p, g)) return true;
    return false;
}

uint32_t sim_down_count(const struct sim *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->o.voters; i++)
        n += sim_peer_down(s, i);
    return n;
}

static dun_err step(struct sim *s, struct sim_peer *p, struct node_event *ev)
{
    ev->now_ms = sim_mono_ms(s, p);
    ev->wall_ms = sim_wall_ms(s, p);
    dun_err e = node_step(p->node, ev);
    sim_hash(s, (uint64_t)p->index << 32 | (uint64_t)ev->type << 16 | (uint16_t)e);
    sim_check_step(s, p);
    return e;
}

static void check_aux(struct sim *s, struct sim_peer *p, const struct node_aux *a)
{
    char want[32];
    int n = snprintf(want, sizeof want, "cast of %s", a->from_name);
    if (a->bytes.len != (size_t)n || memcmp(a->bytes.data, want, (size_t)n) != 0)
        sim_fail(s, "%s got an aux from %s that was not cast", p->name, a->from_name);
}

/* The effects, in the contract's order. A peer that is told of a newer boot of
 * its own starts again above it. */
static void perform(struct sim *s, struct sim_peer *p)
{
    const struct node_out *out = node_out(p->node);
    uint64_t outlived = out->outlived_boot;
    for (uint32_t i = 0; i < out->packet_count && !s->failed; i++)
        sim_net_send(s, p->index, &out->packets[i]);
    for (uint32_t i = 0; i < out->reply_count && !s->failed; i++)
        sim_client_reply(s, p, &out->replies[i]);
    for (uint32_t i = 0; i < out->aux_count && !s->failed; i++)
        check_aux(s, p, &out->auxes[i]);
    if (out->conflict[0] != '\0') sim_fail(s, "%s reports a conflict: %s", p->name, out->conflict);
    node_out_clear(p->node);
    p->commits_seen = 0;
    if (s->failed) return;
    if (outlived != 0) {
        SIM_TRACE(s, "%s OUTLIVED by boot=%" PRIu64, p->name, outlived);
        SIM_COVER(s, OUTLIVED);
        if (!s->o.boot_regress)
            sim_fail(s, "%s (boot %" PRIu64 ") is told of a newer boot %" PRIu64 " of its own",
                     p->name, p->boot, outlived);
        if (!s->o.loss_profile && sim_is_voter(s, p->index) && !sim_peer_down(s, p->index) &&
            sim_down_count(s) >= s->o.voters / 2)
            sim_fail(s, "%s was normal under a boot that was outlived", p->name);
        if (outlived > s->boot_max[p->name_index])
            sim_fail(s, "%s is told of a boot %" PRIu64 " it never had", p->name, outlived);
        sim_peer_crash(s, p->index, true);
        if (!s->failed) sim_peer_start(s, p->index, s->boot_max[p->name_index] + 1);
        return;
    }
    tick_schedule(s, p);
}

static void flush_later(struct sim *s, struct sim_peer *p)
{
    if (p->flush_pending) return;
    p->flush_pending = true;
    uint64_t in_us = s->o.batch_us == 0 ? 0 : dun_prng_range(&s->prng, 0, s->o.batch_us);
    sim_push(s, s->now_us + in_us, SIM_EV_FLUSH, p->index, 0);
}

static void handle_packet(struct sim *s, struct sim_peer *p, const struct sim_packet *k)
{
    struct node_event ev = {.type = NODE_EV_PACKET};
    if (!sim_net_admit(s, k)) return;
    if (s->trace) sim_trace_packet(s, k);
    ev.packet.plane = k->plane;
    ev.packet.from_name = s->names[k->from_name];
    ev.packet.from_boot = k->from_boot;
    ev.packet.bytes = dun_blob_slice(k->bytes);
    dun_err e = step(s, p, &ev);
    if (e == DUN_E_STALE) SIM_TRACE(s, "%s stale packet of %s", p->name, ev.packet.from_name);
    if (e != DUN_OK && e != DUN_E_STALE)
        sim_fail(s, "%s refuses a packet of %s: %s", p->name, ev.packet.from_name, dun_err_text(e));
    flush_later(s, p);
    if (s->o.aim_ppm == 0 || k->plane != NODE_REPLICATION || s->failed) return;
    struct node_status now;
    node_status(p->node, &now);
    if (now.snapshots_out > p->snapshots_out) sim_fault_aim(s, p->index, k->from);
    p->snapshots_out = now.snapshots_out;
}

static void handle_link_lost(struct sim *s, struct sim_peer *p, uint32_t what)
{
    const struct sim_peer *of = &s->peers[what / SIM_PLANES];
    struct node_event ev = {.type = NODE_EV_LINK_LOST};
    ev.link.plane = what % SIM_PLANES == 0 ? NODE_GOSSIP : NODE_REPLICATION;
    ev.link.addr = ev.link.plane == NODE_GOSSIP ? of->gossip_addr : of->replication_addr;
    SIM_TRACE(s, "%s LINK_LOST %s", p->name, ev.link.addr);
    dun_err e = step(s, p, &ev);
    if (e != DUN_OK) sim_fail(s, "%s: link_lost: %s", p->name, dun_err_text(e));
    flush_later(s, p);
}

static void handle_now(struct sim *s, struct sim_peer *p, struct sim_event *ev)
{
    struct node_event n = {.type = NODE_EV_TICK};
    switch (ev->type) {
    case SIM_EV_PACKET: handle_packet(s, p, &ev->packet); return;
    case SIM_EV_LINK_LOST: handle_link_lost(s, p, ev->b); return;
    case SIM_EV_FLUSH:
        p->flush_pending = false;
        n.type = NODE_EV_FLUSH;
        break;
    case SIM_EV_TICK: p->tick_at_us = 0; break;
    case SIM_EV_SUBMIT: sim_client_arrived(s, ev->b); return;
    case SIM_EV_START:
    case SIM_EV_RESUME:
    case SIM_EV_WORK:
    case SIM_EV_STOP:
    case SIM_EV_FAULT:
    case SIM_EV_UNFAULT:
    case SIM_EV_FLAP:
    case SIM_EV_ROLL:
    case SIM_EV_GHOST:
    case SIM_EV_GUEST:
    case SIM_EV_CLIENT:
    case SIM_EV_RETRY:
    case SIM_EV_SAMPLE: DUN_UNREACHABLE();
    }
    dun_err e = step(s, p, &n);
    if (e != DUN_OK) sim_fail(s, "%s: tick or flush: %s", p->name, dun_err_text(e));
    if (!s->failed) perform(s, p);
}

static void hold(struct sim_peer *p, struct sim_event *ev)
{
    if (p->held_count - p->held_first >= SIM_HELD_MAX && ev->type == SIM_EV_PACKET) {
        dun_blob_unref(ev->packet.bytes);
        return;
    }
    if (p->held_count == p->held_cap) {
        p->held_cap = p->held_cap == 0 ? 64 : 2 * p->held_cap;
        p->held = dun_realloc(p->held, p->held_cap * sizeof *p->held);
    }
    p->held[p->held_count++] = *ev;
}

static void work_later(struct sim *s, struct sim_peer *p)
{
    if (p->working) return;
    p->working = true;
    uint64_t in_us = p->work_us == 0 ? 0 : dun_prng_range(&s->prng, p->work_us / 4, p->work_us);
    sim_push(s, s->now_us + in_us, SIM_EV_WORK, p->index, 0);
}

/* @ev waits in line, if there is one. */
static bool line_up(struct sim *s, struct sim_peer *p, struct sim_event *ev)
{
    if (!p->paused && p->work_us == 0 && p->held_count == 0) return false;
    hold(p, ev);
    if (!p->paused) work_later(s, p);
    return true;
}

void sim_peer_work(struct sim *s, uint32_t index)
{
    struct sim_peer *p = &s->peers[index];
    p->working = false;
    if (!p->up || p->paused || p->held_count == 0) return;
    struct sim_event ev = p->held[p->held_first++];
    if (p->held_first == p->held_count) p->held_first = p->held_count = 0;
    uint64_t life = p->life;
    handle_now(s, p, &ev);
    dun_blob_unref(ev.packet.bytes);
    if (!s->failed && p->life == life && p->held_count != 0) work_later(s, p);
}

bool sim_peer_submit_later(struct sim *s, uint32_t index, uint32_t attempt)
{
    struct sim_event ev = {.type = SIM_EV_SUBMIT, .a = index, .b = attempt};
    return line_up(s, &s->peers[index], &ev);
}

void sim_peer_event(struct sim *s, struct sim_event *ev)
{
    struct sim_peer *p = &s->peers[ev->a];
    /* Packets know no lives: an old one may reach the next one. */
    bool stale = ev->type != SIM_EV_PACKET && ev->type != SIM_EV_LINK_LOST && ev->life != p->life;
    if (ev->type == SIM_EV_TICK && !stale && p->tick_at_us != 0 && ev->at_us > p->tick_at_us)
        stale = true; /* an earlier one was put in its place */
    if (!p->up || stale) {
        dun_blob_unref(ev->packet.bytes);
        return;
    }
    bool sealed_for_us = ev->type != SIM_EV_PACKET || ev->packet.to_name == SIM_NAMES_MAX ||
                         ev->packet.to_name == p->name_index;
    if (!sealed_for_us) {
        dun_blob_unref(ev->packet.bytes);
        return;
    }
    if (line_up(s, p, ev)) return;
    handle_now(s, p, ev);
    dun_blob_unref(ev->packet.bytes);
}

/* Ticks first or packets first: both happen after a real SIGCONT. */
void sim_peer_resume(struct sim *s, uint32_t index)
{
    struct sim_peer *p = &s->peers[index];
    if (!p->up || !p->paused) return;
    SIM_TRACE(s, "%s RESUME held=%zu", p->name, p->held_count);
    p->paused = false;
    struct sim_event *held = p->held;
    size_t first = p->held_first, count = p->held_count;
    p->held = NULL;
    p->held_first = p->held_count = p->held_cap = 0;
    bool tick_first = dun_prng_chance(&s->prng, 500000);
    uint64_t life = p->life;
    for (int round = 0; round < 2; round++)
        for (size_t i = first; i < count; i++) {
            bool is_tick = held[i].type == SIM_EV_TICK || held[i].type == SIM_EV_FLUSH;
            if (is_tick != (tick_first == (round == 0))) continue;
            if (!s->failed && p->life == life) handle_now(s, p, &held[i]);
            dun_blob_unref(held[i].packet.bytes);
            held[i].packet.bytes = NULL;
        }
    dun_free(held);
    if (!s->failed && p->life == life) sim_client_peer_resumed(s, index);
}

/* What a peer takes and has not answered is bounded; more must have been refused. */
static void check_pipeline(struct sim *s, struct sim_peer *p, uint32_t group)
{
    uint32_t max = s->o.max_inflight == 0 ? DUN_INFLIGHT_MAX : s->o.max_inflight;
    uint32_t open = ++p->open_submits[group];
    if (open <= max) return;
    const struct node_out *out = node_out(p->node);
    for (uint32_t i = 0; i < out->reply_count; i++) { /* answered, only not sent yet */
        const struct sim_attempt *a = &s->attempts[out->replies[i].cookie];
        open -= s->channels[s->publishes[a->publish].channel].group == group;
    }
    if (open > max)
        sim_fail(s, "%s has taken %u publishes of group %u, %u more than its pipeline holds",
                 p->name, open, group, open - max);
}

bool sim_peer_submit(struct sim *s, uint32_t index, uint32_t attempt, dun_err *err)
{
    struct sim_peer *p = &s->peers[index];
    const struct sim_publish *pub = &s->publishes[s->attempts[attempt].publish];
    struct dun_buf data = {0};
    sim_attempt_data(s, attempt, &data);
    char key[24] = "";
    if (pub->keyed) snprintf(key, sizeof key, "k%u", s->attempts[attempt].publish);
    struct node_event ev = {.type = NODE_EV_SUBMIT};
    ev.submit.cookie = attempt;
    ev.submit.channel = dun_slice_str(s->channels[pub->channel].name);
    ev.submit.key = dun_slice_str(key);
    ev.submit.data = dun_buf_view(&data);
    *err = step(s, p, &ev);
    dun_buf_deinit(&data);
    flush_later(s, p);
    if (*err != DUN_OK) return false;
    check_pipeline(s, p, s->channels[pub->channel].group);
    return true;
}

void sim_peer_plain(struct sim *s, uint32_t index, enum node_event_type type)
{
    struct node_event ev = {.type = type};
    dun_err e = step(s, &s->peers[index], &ev);
    if (e != DUN_OK) sim_fail(s, "%s: event: %s", s->peers[index].name, dun_err_text(e));
    flush_later(s, &s->peers[index]);
}

void sim_peer_cast(struct sim *s, uint32_t index)
{
    struct sim_peer *p = &s->peers[index];
    char text[32];
    snprintf(text, sizeof text, "cast of %s", p->name);
    struct node_event ev = {.type = NODE_EV_CAST};
    ev.cast.bytes = dun_slice_str(text);
    if (dun_prng_chance(&s->prng, 500000))
        ev.cast.to_name = s->peers[(index + 1) % s->o.voters].name;
    dun_err e = step(s, p, &ev);
    if (e != DUN_OK && e != DUN_E_UNKNOWN && e != DUN_E_UNREADY && e != DUN_E_OVERLOADED)
        sim_fail(s, "%s: cast: %s", p->name, dun_err_text(e));
    flush_later(s, p);
}
