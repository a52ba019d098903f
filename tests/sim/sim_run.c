/* tests/sim/sim_run.c: the life of one seed: peers start, faults and load go
 * on together, then everything (or a majority) is healed and has to agree,
 * serve and hold what was promised, in bounded virtual time. */
#include "sim.h"

#include "base/alloc.h"

#include <stdio.h>

enum {
    SAMPLE_US = 100000,
    CONVERGE_MS = 90000, /* a healed one agrees within */
    SETTLE_MS = 1000,
    QUIET_POLL_MS = 50
};

void sim_push(struct sim *s, uint64_t at_us, enum sim_event_type type, uint32_t a, uint32_t b)
{
    struct sim_event ev = {.at_us = at_us, .type = type, .a = a, .b = b};
    if (type <= SIM_EV_STOP) ev.life = s->peers[a].life;
    sim_queue_push(&s->queue, ev);
}

void sim_init(struct sim *s, const struct sim_options *o, bool trace)
{
    *s = (struct sim){.o = *o, .trace = trace};
    dun_prng_seed(&s->prng, o->seed);
    s->peer_count = o->voters + o->guests;
    for (uint32_t i = 0; i < SIM_NAMES_MAX; i++) {
        bool voter = sim_is_voter(s, i);
        snprintf(s->names[i], sizeof s->names[i], "%c%u", voter ? 'n' : 'g',
                 voter ? i + 1 : i - o->voters + 1);
    }
    for (uint32_t i = 0; i < s->peer_count; i++)
        sim_peer_init(s, i);
    for (uint32_t i = 0; i < o->channels; i++) {
        struct sim_channel *c = &s->channels[i];
        snprintf(c->name, sizeof c->name, "c%u", i);
        c->group = store_group_of(dun_slice_str(c->name), o->groups);
    }
    sim_push(s, SAMPLE_US, SIM_EV_SAMPLE, 0, 0);
}

void sim_deinit(struct sim *s)
{
    for (uint32_t i = 0; i < s->peer_count; i++) {
        struct sim_peer *p = &s->peers[i];
        if (p->up) node_destroy(p->node);
        if (p->up) store_destroy(p->store);
        for (size_t k = p->held_first; k < p->held_count; k++)
            dun_blob_unref(p->held[k].packet.bytes);
        dun_free(p->held);
    }
    for (uint32_t g = 0; g < s->o.groups; g++)
        for (uint32_t h = 0; h < s->groups[g].history_count; h++)
            dun_free(s->groups[g].histories[h].ops);
    for (uint32_t c = 0; c < s->o.channels; c++) {
        for (uint32_t e = 0; e < s->channels[c].epoch_count; e++)
            dun_free(s->channels[c].epochs[e].attempts);
        dun_free(s->channels[c].epochs);
    }
    for (size_t k = 0; k < s->kept_count; k++)
        dun_blob_unref(s->kept[k].packet.bytes);
    dun_free(s->kept);
    dun_free(s->copies);
    dun_free(s->publishes);
    dun_free(s->attempts);
    sim_queue_deinit(&s->queue);
}

/* About once a second, as the process does. */
static void trim(struct sim *s, uint64_t n)
{
    for (uint32_t i = 0; i < s->o.voters; i++) {
        struct sim_peer *p = &s->peers[i];
        if (p->up && !p->paused && n % 10 == i) store_trim(p->store, sim_wall_ms(s, p));
    }
}

static void sample(struct sim *s)
{
    sim_push(s, s->now_us + SAMPLE_US, SIM_EV_SAMPLE, 0, 0);
    if (!s->formed) {
        s->formed = true;
        for (uint32_t i = 0; i < s->o.voters; i++)
            if (sim_peer_down(s, i)) s->formed = false;
    }
    sim_client_check_answers(s);
    uint64_t n = s->now_us / SAMPLE_US;
    if (n % 3 == 0) sim_check_digests(s, false);
    if (s->o.trim) trim(s, n);
    struct sim_peer *p = &s->peers[n % s->o.voters];
    if (p->up) {
        node_check(p->node);
        store_check(p->store, (uint32_t)(n / s->o.voters % s->o.groups));
    }
}

static void stop(struct sim *s, uint32_t index)
{
    struct sim_peer *p = &s->peers[index];
    if (!p->up || p->paused) return;
    if (dun_prng_chance(&s->prng, 700000)) {
        sim_peer_plain(s, index, NODE_EV_LEAVE);
        struct sim_event flush = {.type = SIM_EV_FLUSH, .a = index, .life = p->life};
        sim_peer_event(s, &flush);
    }
    if (s->failed || !p->up) return;
    sim_peer_crash(s, index, true);
    if (s->faults_on)
        sim_push(s, s->now_us + dun_prng_range(&s->prng, 1000, s->o.down_ms_max * 1000ull + 1000),
                 SIM_EV_START, index, 0);
}

static void handle(struct sim *s, struct sim_event *ev)
{
    bool same_life = ev->type > SIM_EV_STOP || ev->life == s->peers[ev->a].life;
    switch (ev->type) {
    case SIM_EV_PACKET:
    case SIM_EV_TICK:
    case SIM_EV_FLUSH:
    case SIM_EV_LINK_LOST: sim_peer_event(s, ev); break;
    case SIM_EV_START:
        if (same_life && !s->peers[ev->a].up && !s->peers[ev->a].broken)
            sim_peer_start(s, ev->a, sim_peer_boot_next(s, ev->a));
        break;
    case SIM_EV_RESUME:
        if (same_life && !s->peers[ev->a].broken) sim_peer_resume(s, ev->a);
        break;
    case SIM_EV_WORK:
        if (same_life) sim_peer_work(s, ev->a);
        break;
    case SIM_EV_SUBMIT: DUN_UNREACHABLE(); /* waits in a line only */
    case SIM_EV_STOP:
        if (same_life) stop(s, ev->a);
        break;
    case SIM_EV_FAULT: sim_fault_next(s, ev); break;
    case SIM_EV_UNFAULT: sim_fault_end(s, ev->a); break;
    case SIM_EV_FLAP: sim_cut_flap(s, ev); break;
    case SIM_EV_ROLL: sim_restart_roll_step(s); break;
    case SIM_EV_GHOST: sim_restart_ghost_step(s, ev); break;
    case SIM_EV_GUEST: sim_guest_event(s, ev); break;
    case SIM_EV_CLIENT: sim_client_event(s, ev); break;
    case SIM_EV_RETRY: sim_client_retry(s, ev); break;
    case SIM_EV_SAMPLE: sample(s); break;
    }
}

bool sim_step(struct sim *s, uint64_t until_us)
{
    struct sim_event ev;
    if (s->failed || s->queue.count == 0 || s->queue.heap[0].at_us > until_us) return false;
    sim_queue_pop(&s->queue, &ev);
    DUN_ASSERT(ev.at_us >= s->now_us);
    s->now_us = ev.at_us;
    s->events++;
    sim_hash(s, ev.at_us << 8 ^ (uint64_t)ev.type << 4 ^ ev.a);
    handle(s, &ev);
    return true;
}

void sim_run_ms(struct sim *s, uint64_t ms)
{
    uint64_t until_us = s->now_us + ms * 1000;
    while (sim_step(s, until_us)) {
    }
    if (!s->failed) s->now_us = until_us;
}

/* At most @ms, and SETTLE_MS for each publish that waits now: with a pipeline of one, slow links
 * and clients that are refused as overloaded, a backlog alone takes minutes. */
static void wait_converged(struct sim *s, uint64_t ms, const char *what)
{
    char why[256] = "";
    ms += s->pending * (uint64_t)SETTLE_MS;
    uint64_t until_us = s->now_us + ms * 1000;
    do {
        sim_run_ms(s, QUIET_POLL_MS);
        if (s->failed || sim_converged(s, why, sizeof why)) return;
    } while (s->now_us < until_us);
    sim_fail(s, "%s after %" PRIu64 " ms: %s", what, ms, why);
}

void sim_converge(struct sim *s, uint64_t ms)
{
    wait_converged(s, ms, "not converged");
    if (s->failed) return;
    SIM_TRACE(s, "CONVERGED");
    /* Every healed peer serves: a publish through each, to several channels. */
    for (uint32_t i = 0; i < s->o.voters && !s->failed; i++)
        for (uint32_t c = 0; c < s->o.channels && c < 3 && !s->failed; c++)
            if (!s->peers[i].broken)
                sim_client_publish(s, 0, (i + c) % s->o.channels, true, (int)i, true);
    if (s->failed) return;
    s->converged_ms = (s->now_us - s->healed_us) / 1000;
    wait_converged(s, ms, "probes not settled");
    if (!s->failed) sim_check_final(s);
}

void sim_run(struct sim *s)
{
    for (uint32_t i = 0; i < s->o.voters; i++)
        sim_push(s, dun_prng_range(&s->prng, 0, s->o.start_spread_ms * 1000ull), SIM_EV_START, i,
                 0);
    s->load_on = s->faults_on = true;
    sim_guest_start(s);
    sim_client_start(s);
    sim_push(s, dun_prng_range(&s->prng, 100000, 1500000), SIM_EV_FAULT, 0, 0);
    sim_run_ms(s, s->o.phase_ms);
    if (s->failed) return;
    sim_fault_heal(s);
    if (!s->failed) sim_converge(s, CONVERGE_MS);
    for (uint32_t i = 0; i < s->o.voters; i++)
        if (s->peers[i].up) sim_cover_peer(s, &s->peers[i]);
}
