/* cluster/swim_suspicion.c: how long a suspect has to speak up.
 * Why: a slow observer accuses wrongly; so a single accusation waits long, and
 * each independent one shortens the wait.
 * Source: Lifeguard (2018), section IV-B. Integers only, so runs replay alike.
 * (1) min_ms <= wait <= max_ms.
 * (2) One accuser counts once. */
#include "base/assert.h"
#include "cluster/swim_internal.h"

#define SWIM_LOG2_OF_10_Q16 UINT64_C(217706)

uint32_t swim_log2_q16(uint32_t x)
{
    DUN_ASSERT(x >= 1);
    uint32_t whole = 31 - (uint32_t)__builtin_clz(x);
    uint64_t y = (uint64_t)x << (31 - whole); /* in [1, 2), 31 fraction bits */
    uint32_t result = whole << 16;
    for (uint32_t bit = 1U << 15; bit != 0; bit >>= 1) {
        y = y * y >> 31;
        if (y >> 32 == 0) continue;
        y >>= 1;
        result |= bit;
    }
    return result;
}

uint32_t swim_suspicion_ms(uint32_t confirms, uint32_t wanted, uint32_t min_ms, uint32_t max_ms)
{
    DUN_ASSERT(min_ms <= max_ms);
    if (confirms >= wanted) return min_ms;
    uint64_t part = (uint64_t)(max_ms - min_ms) * swim_log2_q16(confirms + 1);
    return max_ms - (uint32_t)(part / swim_log2_q16(wanted + 1));
}

uint32_t swim_suspicion_min_ms(uint32_t n, uint32_t mult, uint32_t interval_ms)
{
    DUN_ASSERT(n >= 1);
    uint64_t base = (uint64_t)mult * interval_ms;
    if (base >= UINT32_MAX) return UINT32_MAX;
    uint64_t log2n = swim_log2_q16(n);
    uint64_t ms = log2n <= SWIM_LOG2_OF_10_Q16 ? base : base * log2n / SWIM_LOG2_OF_10_Q16;
    return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

void swim_suspicion_start(struct swim *s, struct swim_node *n, struct dun_slice from)
{
    struct swim_suspicion *x = &n->suspicion;
    /* Neither the suspect nor its first accuser can confirm. */
    uint32_t others = s->live_count > 2 ? s->live_count - 2 : 0;
    x->start_ms = s->now_ms;
    x->wanted = others < SWIM_CONFIRMATIONS_MAX ? others : SWIM_CONFIRMATIONS_MAX;
    x->min_ms =
        swim_suspicion_min_ms(s->live_count, s->config.suspicion_mult, s->config.probe_interval_ms);
    uint64_t max = (uint64_t)x->min_ms * s->config.suspicion_max_mult;
    x->max_ms = max > UINT32_MAX ? UINT32_MAX : (uint32_t)max;
    x->count = 1;
    swim_copy(x->from[0], sizeof x->from[0], from);
    swim_copy(n->origin, sizeof n->origin, from);
}

bool swim_suspicion_confirm(struct swim_node *n, struct dun_slice from)
{
    struct swim_suspicion *x = &n->suspicion;
    if (x->count > x->wanted) return false;
    for (uint32_t i = 0; i < x->count; i++)
        if (dun_slice_is(from, x->from[i])) return false;
    swim_copy(x->from[x->count++], sizeof x->from[0], from);
    swim_copy(n->origin, sizeof n->origin, from);
    return true;
}

uint64_t swim_suspicion_deadline(const struct swim_node *n)
{
    const struct swim_suspicion *x = &n->suspicion;
    DUN_ASSERT(n->claim.state == SWIM_SUSPECT);
    DUN_ASSERT(x->count >= 1);
    return x->start_ms + swim_suspicion_ms(x->count - 1, x->wanted, x->min_ms, x->max_ms);
}

void swim_suspicion_tick(struct swim *s)
{
    for (uint32_t i = 1; i < s->node_count; i++) {
        struct swim_node *n = s->nodes[i];
        if (n->claim.state != SWIM_SUSPECT) continue;
        if (swim_suspicion_deadline(n) <= s->now_ms) swim_member_dead(s, n);
    }
}
