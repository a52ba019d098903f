/* tests/sim/sim_options.c: the swarm: each seed draws which faults are on, how
 * often, and under which load, so that runs differ in kind and not only in
 * timing (Groce et al., Swarm Testing, 2012). What swarm 2 added is drawn from
 * a stream of its own, a few dimensions a seed, so that nothing dilutes; a good
 * part of its seeds are those of swarm 1. */
#include "sim.h"

static bool chance(struct dun_prng *p, uint32_t percent)
{
    return dun_prng_chance(p, percent * (SIM_PPM / 100));
}

static uint32_t pick(struct dun_prng *p, uint32_t min, uint32_t max)
{
    return (uint32_t)dun_prng_range(p, min, max);
}

static void draw_load(struct sim_options *o, struct dun_prng *p)
{
    static const uint32_t windows[] = {1, 2, 4, 8, 32};
    o->groups = chance(p, 4) ? 16 : pick(p, 1, 4);
    o->channels = pick(p, 1, o->groups > 2 ? 8 : 4);
    o->clients = pick(p, 1, 4);
    o->window = windows[pick(p, 0, DUN_COUNT(windows) - 1)];
    o->interval_us_max = pick(p, 10, 200) * 1000;
    o->publishes_max = 600;
    o->keyed_ppm = chance(p, 20) ? SIM_PPM : pick(p, 300000, 900000);
    o->hedge_ppm = chance(p, 50) ? 0 : pick(p, 10000, 300000);
    o->data_bytes_max = chance(p, 80) ? pick(p, 0, 200) : pick(p, 1000, 20000);
    o->cast_ppm = chance(p, 80) ? 0 : 50000;
    o->max_inflight = chance(p, 70) ? 0 : pick(p, 1, 8);
    o->submit_timeout_ms = chance(p, 30) ? 0 : pick(p, 500, 3000);
    if (o->submit_timeout_ms == 0) o->submit_timeout_ms = 5000;
    o->history_size = chance(p, 60) ? 1000 : pick(p, 1, 20);
    o->history_ttl_ms = chance(p, 80) ? 300000 : pick(p, 500, 5000);
    o->meta_ttl_ms = chance(p, 80) ? 0 : pick(p, 500, 3000);
    o->max_memory = chance(p, 90) ? 64u << 20 : 256u << 10;
}

static void draw_net(struct sim_options *o, struct dun_prng *p)
{
    o->delay_us_min = pick(p, 50, 500);
    o->delay_us_max = o->delay_us_min + (chance(p, 70) ? pick(p, 0, 1000) : pick(p, 1000, 60000));
    o->reorder = chance(p, 40);
    o->loss_ppm = chance(p, 60) ? 0 : pick(p, 1000, chance(p, 70) ? 30000 : 200000);
    o->dup_ppm = chance(p, 60) ? 0 : pick(p, 1000, 100000);
    o->late_ppm = chance(p, 40) ? 0 : pick(p, 500, chance(p, 70) ? 10000 : 100000);
    o->late_ms_max = chance(p, 50) ? pick(p, 100, 2000) : pick(p, 2000, 15000);
    o->raw_dups = chance(p, 25);
    o->batch_us = chance(p, 50) ? 0 : pick(p, 100, 2000);
}

static void draw_faults(struct sim_options *o, struct dun_prng *p)
{
    static const uint32_t usual[SIM_FAULT_TYPES] = {
        [SIM_FAULT_CRASH] = 40,     [SIM_FAULT_DRAIN] = 8,    [SIM_FAULT_PAUSE] = 20,
        [SIM_FAULT_PARTITION] = 20, [SIM_FAULT_ONE_WAY] = 20, [SIM_FAULT_DEAF] = 12,
        [SIM_FAULT_PLANE] = 12,     [SIM_FAULT_SLOW] = 12,    [SIM_FAULT_LOSSY] = 12,
        [SIM_FAULT_LINK_LOST] = 20, [SIM_FAULT_CLOCK] = 4};
    for (uint32_t i = 0; i < SIM_FAULT_TYPES_1; i++)
        if (chance(p, i == SIM_FAULT_CRASH ? 90 : 45)) o->fault_weight[i] = usual[i];
    o->fault_interval_ms = pick(p, 200, chance(p, 60) ? 1500 : 5000);
    o->fault_ms_max = chance(p, 60) ? pick(p, 200, 2500) : pick(p, 2500, 8000);
    o->down_ms_max = chance(p, 60) ? pick(p, 10, 1500) : pick(p, 1500, 6000);
    o->start_spread_ms = chance(p, 80) ? pick(p, 0, 300) : pick(p, 300, 3000);
    o->phase_ms = pick(p, 6000, 14000);
    o->boot_regress = chance(p, 7);
    o->heal_all = chance(p, 60);
}

/* ---- swarm 2: one function a dimension ---- */

static void drift(struct sim_options *o, struct dun_prng *p)
{
    o->drift_ppm = chance(p, 50) ? pick(p, 100, 20000) : pick(p, 20000, 200000);
    if (chance(p, 30)) o->fault_weight[SIM_FAULT_RATE] = 15;
}

static void wall_jumps(struct sim_options *o, struct dun_prng *p)
{
    o->fault_weight[SIM_FAULT_WALL] = pick(p, 10, 60);
    o->wall_jump_ms_max = chance(p, 60) ? pick(p, 100, 10000) : pick(p, 10000, 900000);
}

static void slow_peers(struct sim_options *o, struct dun_prng *p)
{
    o->fault_weight[SIM_FAULT_SLOW_PEER] = pick(p, 20, 80);
    o->work_us_max = chance(p, 60) ? 5000 : 50000;
}

static void cuts(struct sim_options *o, struct dun_prng *p)
{
    o->fault_weight[SIM_FAULT_ONE_WAY_SET] = chance(p, 60) ? 30 : 0;
    o->fault_weight[SIM_FAULT_BRIDGE] = chance(p, 60) ? 30 : 0;
    o->fault_weight[SIM_FAULT_MAZE] = chance(p, 40) ? 20 : 0;
}

static void flapping(struct sim_options *o, struct dun_prng *p)
{
    o->fault_weight[SIM_FAULT_FLAP] = pick(p, 20, 100);
}

static void restarts(struct sim_options *o, struct dun_prng *p)
{
    o->fault_weight[SIM_FAULT_ROLL] = pick(p, 20, 60);
    if (o->loss_profile) o->fault_weight[SIM_FAULT_STOP_ALL] = pick(p, 5, 30);
    o->down_ms_max = pick(p, 10, 800);
}

static void many_groups(struct sim_options *o, struct dun_prng *p)
{
    o->groups = chance(p, 30) ? SIM_GROUPS_MAX : pick(p, 5, 24);
    o->channels = SIM_CHANNELS_MAX;
}

static void bursts(struct sim_options *o, struct dun_prng *p)
{
    o->max_inflight = pick(p, 1, 24);
    o->burst_ppm = pick(p, 20000, 200000);
    o->burst_max = pick(p, o->max_inflight + 1, 4 * o->max_inflight + 8);
}

/* The log keeps few bytes, so who lags gets a snapshot, often one of several chunks. */
static void transfers(struct sim_options *o, struct dun_prng *p)
{
    o->data_bytes_max = pick(p, 1000, 16000);
    o->history_size = pick(p, 20, 200);
    o->interval_us_max = pick(p, 10, 60) * 1000;
    o->aim_ppm = pick(p, 200000, 900000);
}

static void guests(struct sim_options *o, struct dun_prng *p)
{
    o->guests = pick(p, 1, SIM_GUESTS_MAX);
}

static void memory(struct sim_options *o, struct dun_prng *p)
{
    o->max_memory = pick(p, 2, 100) << 10;
    o->data_bytes_max = pick(p, 100, 4000);
    o->history_ttl_ms = pick(p, 200, 3000);
}

static void draw_second(struct sim_options *o, struct dun_prng *p)
{
    static void (*const dimensions[])(struct sim_options *, struct dun_prng *) = {
        drift,    wall_jumps,  slow_peers, cuts,      flapping, restarts,
        restarts, many_groups, bursts,     transfers, guests,   memory};
    o->trim = true;
    if (chance(p, 25)) return;
    for (uint32_t n = pick(p, 1, 3); n > 0; n--)
        dimensions[pick(p, 0, DUN_COUNT(dimensions) - 1)](o, p);
    if (chance(p, 25)) o->fault_weight[SIM_FAULT_GHOST] = pick(p, 20, 100);
}

void sim_options_swarm(struct sim_options *o, uint64_t seed, const struct sim_choice *c)
{
    struct dun_prng p, second;
    dun_prng_seed(&p, seed ^ 0x5eed0f5eed0f5eedu);
    *o = (struct sim_options){.seed = seed};
    /* Every draw is made, whatever is then overridden: a seed keeps its kind. */
    o->voters = chance(&p, 65) ? 3 : 5;
    o->loss_profile = chance(&p, 22);
    dun_prng_seed(&second, seed ^ 0x2ec02d2ec02d2ec0u);
    if (c->swarm > 1 && chance(&second, 8)) o->voters = SIM_VOTERS_MAX;
    if (c->voters != 0) o->voters = c->voters;
    if (c->loss_profile >= 0) o->loss_profile = c->loss_profile != 0;
    uint64_t loss_timeout_ms = pick(&p, 500, 4000);
    if (o->loss_profile) o->loss_timeout_ms = loss_timeout_ms;
    draw_load(o, &p);
    draw_net(o, &p);
    draw_faults(o, &p);
    if (c->swarm > 1) draw_second(o, &second);
}
