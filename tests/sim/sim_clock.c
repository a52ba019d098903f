/* tests/sim/sim_clock.c: the time each peer has. No peer's clock is true: its
 * monotonic one has an origin and a rate of its own, its wall clock is moreover
 * set ahead or back while it runs. Both stay as they are over a crash. */
#include "sim.h"

enum { WALL_BASE_MS = 1000000000, DEADLINE_MS_MAX = 3600000, RATE_PPM_MIN = SIM_PPM / 4 };

void sim_clock_init(struct sim *s, struct sim_peer *p)
{
    p->clock = (struct sim_clock){.rate_ppm = sim_clock_rate_usual(s, p)};
    if (sim_is_voter(s, p->index)) {
        p->clock.mono_base_ms = dun_prng_range(&s->prng, 1, 100000); /* clocks share no origin */
        p->clock.wall_skew_ms = (int64_t)dun_prng_range(&s->prng, 0, 3000);
    } else {
        p->clock.mono_base_ms = 1;
    }
    if (s->o.drift_ppm != 0) SIM_COVER(s, DRIFTS);
}

/* From the seed and the peer alone, so it is the same after a time of being worse. */
uint32_t sim_clock_rate_usual(const struct sim *s, const struct sim_peer *p)
{
    struct dun_prng g;
    if (s->o.drift_ppm == 0) return SIM_PPM;
    dun_prng_seed(&g, s->o.seed ^ (p->index + 1) * 0x9e3779b97f4a7c15u);
    uint64_t off = dun_prng_range(&g, 0, 2ull * s->o.drift_ppm);
    return (uint32_t)(SIM_PPM + off - s->o.drift_ppm);
}

static uint64_t local_us(const struct sim *s, const struct sim_peer *p)
{
    const struct sim_clock *c = &p->clock;
    return c->local_us + (s->now_us - c->since_us) * c->rate_ppm / SIM_PPM;
}

void sim_clock_rate(struct sim *s, struct sim_peer *p, uint32_t rate_ppm)
{
    DUN_ASSERT(rate_ppm >= RATE_PPM_MIN);
    p->clock.local_us = local_us(s, p);
    p->clock.since_us = s->now_us;
    p->clock.rate_ppm = rate_ppm;
}

void sim_clock_set_wall(struct sim *s, struct sim_peer *p)
{
    int64_t max = (int64_t)s->o.wall_jump_ms_max;
    /* An absolute error: many jumps do not add up to more than the swarm means. */
    p->clock.wall_skew_ms = (int64_t)dun_prng_range(&s->prng, 0, 2 * (uint64_t)max) - max;
    SIM_COVER(s, WALL_JUMPS);
    SIM_TRACE(s, "%s WALL skew=%" PRId64 " ms", p->name, p->clock.wall_skew_ms);
}

uint64_t sim_mono_ms(const struct sim *s, const struct sim_peer *p)
{
    return p->clock.mono_base_ms + local_us(s, p) / 1000;
}

uint64_t sim_wall_ms(const struct sim *s, const struct sim_peer *p)
{
    return (uint64_t)((int64_t)(WALL_BASE_MS + local_us(s, p) / 1000) + p->clock.wall_skew_ms);
}

uint64_t sim_clock_at_us(const struct sim *s, const struct sim_peer *p, uint64_t mono_ms)
{
    uint64_t now_ms = sim_mono_ms(s, p);
    uint64_t in_ms = mono_ms > now_ms ? mono_ms - now_ms : 1;
    if (in_ms > DEADLINE_MS_MAX) in_ms = DEADLINE_MS_MAX;
    uint64_t local = local_us(s, p), rate = p->clock.rate_ppm;
    uint64_t left_us = (local / 1000 + in_ms) * 1000 - local;
    return s->now_us + (left_us * SIM_PPM + rate - 1) / rate;
}
