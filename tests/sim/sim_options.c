/* tests/sim/sim_options.c: the swarm: each seed draws which faults are on, how
 * often, and under which load, so that runs differ in kind and not only in
 * timing (Groce et al., Swarm Testing, 2012). */
#include "sim.h"

enum { PPM = 1000000 };

static bool chance(struct dun_prng *p, uint32_t percent)
{
    return dun_prng_chance(p, percent * (PPM / 100));
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
    o->keyed_ppm = chance(p, 20) ? PPM : pick(p, 300000, 900000);
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
    for (uint32_t i = 0; i < SIM_FAULT_TYPES; i++)
        if (chance(p, i == SIM_FAULT_CRASH ? 90 : 45)) o->fault_weight[i] = usual[i];
    o->fault_interval_ms = pick(p, 200, chance(p, 60) ? 1500 : 5000);
    o->fault_ms_max = chance(p, 60) ? pick(p, 200, 2500) : pick(p, 2500, 8000);
    o->down_ms_max = chance(p, 60) ? pick(p, 10, 1500) : pick(p, 1500, 6000);
    o->start_spread_ms = chance(p, 80) ? pick(p, 0, 300) : pick(p, 300, 3000);
    o->phase_ms = pick(p, 6000, 14000);
    o->boot_regress = chance(p, 7);
    o->heal_all = chance(p, 60);
}

void sim_options_swarm(struct sim_options *o, uint64_t seed, uint32_t voters, int loss_profile)
{
    struct dun_prng p;
    dun_prng_seed(&p, seed ^ 0x5eed0f5eed0f5eedu);
    *o = (struct sim_options){.seed = seed};
    /* Every draw is made, whatever is then overridden: a seed keeps its kind. */
    o->voters = chance(&p, 65) ? 3 : 5;
    o->loss_profile = chance(&p, 22);
    if (voters != 0) o->voters = voters;
    if (loss_profile >= 0) o->loss_profile = loss_profile != 0;
    uint64_t loss_timeout_ms = pick(&p, 500, 4000);
    if (o->loss_profile) o->loss_timeout_ms = loss_timeout_ms;
    draw_load(o, &p);
    draw_net(o, &p);
    draw_faults(o, &p);
}
