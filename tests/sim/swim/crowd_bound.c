/* tests/sim/swim/crowd_bound.c: what must hold, as formulas of the parameters.
 * Why formulas: a bound that follows from what an operator configures says when
 * a change of the code has made it worse, at every size.
 *
 * T is the probe interval, g = T / 3 the gossip interval, n the peers.
 *   suspected  20 T. All others probe, each at random times: that nobody picks a
 *              given peer for k periods has probability about e^-k; a probe that
 *              fails takes T more, and a prober in doubt of itself is slower.
 *   dead       suspected + the longest suspicion of n.
 *   known      dead + the rounds of a piggyback, + 1.2 push/pull intervals, which
 *              bring what gossip has missed.
 *   storm      n entries reach n peers when each peer has received 2 ln(n) of each, at
 *              STORM_ENTRIES a packet and SWIM_GOSSIP_FANOUT packets each g; and three
 *              push/pull intervals of 1.2.
 *   calm       a ping and an ack each T, push/pull with its reply, and 10 % more.
 *   alive      nobody living is suspected in a calm network, nor declared dead while
 *              at most ALIVE_LOSS_PPM are lost or others stop and go.
 *   busy       also gossip to SWIM_GOSSIP_FANOUT each g, and for each probe that
 *              fails k ping-reqs, k pings, and their k acks or nacks twice. */
#include "crowd.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    INDIRECT = 3,
    RETRANSMIT = 4,
    PUSHPULL_MS = 10000, /* swim's defaults */
    ALIVE_LOSS_PPM = 50000,
    STORM_ENTRIES = 6 /* of about 170 bytes in a packet of gossip */
};

uint64_t crowd_bound_suspect_ms(const struct crowd_options *o)
{
    return 20 * (uint64_t)o->interval_ms;
}

uint64_t crowd_bound_dead_ms(const struct crowd_options *o)
{
    uint64_t min_ms = swim_suspicion_min_ms(o->peers, o->suspicion_mult, o->interval_ms);
    return crowd_bound_suspect_ms(o) + min_ms * o->suspicion_max_mult;
}

uint64_t crowd_bound_known_ms(const struct crowd_options *o)
{
    uint64_t rounds = swim_gossip_limit(o->peers, RETRANSMIT);
    return crowd_bound_dead_ms(o) + rounds * (o->interval_ms / 3) + PUSHPULL_MS * 6 / 5;
}

uint64_t crowd_bound_storm_ms(const struct crowd_options *o)
{
    double tellings = o->peers * 1.3863 * swim_log2_q16(o->peers) / 65536;
    double rounds = tellings / (STORM_ENTRIES * SWIM_GOSSIP_FANOUT);
    return (uint64_t)(rounds * (o->interval_ms / 3)) + 3 * PUSHPULL_MS * 6 / 5;
}

double crowd_bound_calm(const struct crowd_options *o)
{
    return 1.1 * (2 * 1000.0 / o->interval_ms + 2 * 1000.0 / PUSHPULL_MS);
}

double crowd_bound_busy(const struct crowd_options *o)
{
    double gossip = SWIM_GOSSIP_FANOUT * 1000.0 / (o->interval_ms / 3);
    return gossip + (2 + 4 * INDIRECT) * 1000.0 / o->interval_ms + 2 * 1000.0 / PUSHPULL_MS;
}

__attribute__((format(printf, 4, 5))) static bool want(const struct crowd_result *r, bool holds,
                                                       const char *name, const char *fmt, ...)
{
    if (holds) return true;
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "BOUND BROKEN peers=%u seed=%" PRIu64 " %s: ", r->o.peers, r->o.seed, name);
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "\n");
    va_end(args);
    return false;
}

static bool crashes_hold(const struct crowd_result *r, const struct crowd_crashes *x,
                         const char *name)
{
    uint64_t suspect = crowd_bound_suspect_ms(&r->o), dead = crowd_bound_dead_ms(&r->o);
    bool ok = want(r, x->unnoticed == 0, name, "%u crashes not known to all within %" PRIu64 " ms",
                   x->unnoticed, crowd_bound_known_ms(&r->o));
    ok &= want(r, crowd_max(&x->suspect) <= suspect, name, "suspected after %u ms, bound %" PRIu64,
               crowd_max(&x->suspect), suspect);
    ok &= want(r, crowd_max(&x->first) <= dead, name, "first dead after %u ms, bound %" PRIu64,
               crowd_max(&x->first), dead);
    return ok;
}

static bool load_holds(const struct crowd_result *r, const struct crowd_load *l, const char *name)
{
    double bound = crowd_bound_busy(&r->o);
    return want(r, l->messages <= bound, name, "%.1f messages per peer and second, bound %.1f",
                l->messages, bound);
}

bool crowd_bounds_hold(const struct crowd_result *r)
{
    const struct crowd_counts *calm = &r->calm.counts;
    bool ok = want(r, r->storm_ms != 0, "storm", "all do not know all within %" PRIu64 " ms",
                   crowd_bound_storm_ms(&r->o));
    ok &= want(r, r->calm.messages <= crowd_bound_calm(&r->o), "calm",
               "%.2f messages per peer and second, bound %.2f", r->calm.messages,
               crowd_bound_calm(&r->o));
    ok &= want(r, calm->suspicions == 0 && calm->deaths == 0, "calm",
               "%" PRIu64 " suspicions, %" PRIu64 " deaths of living members, none expected",
               calm->suspicions, calm->deaths);
    ok &= crashes_hold(r, &r->crash, "crash");
    ok &= crashes_hold(r, &r->crash_lossy, "crash under loss");
    ok &= want(r, r->joins_missed == 0, "join", "%u not known within %" PRIu64 " ms",
               r->joins_missed, crowd_bound_known_ms(&r->o));
    ok &= want(r, r->leaves_missed == 0, "leave", "%u not known within %" PRIu64 " ms",
               r->leaves_missed, crowd_bound_known_ms(&r->o));
    ok &= want(r, r->lossy_settled, "loss", "all do not know all %" PRIu64 " ms after it",
               r->lossy_settle_ms);
    ok &= want(r, r->o.loss_ppm > ALIVE_LOSS_PPM || r->lossy.counts.deaths == 0, "loss",
               "%" PRIu64 " living members declared dead", r->lossy.counts.deaths);
    ok &= want(r, r->slow.counts.deaths == 0, "slow members",
               "%" PRIu64 " healthy members declared dead", r->slow.counts.deaths);
    ok &= want(r, r->slow_settled, "slow members", "all do not know all %" PRIu64 " ms after them",
               r->slow_settle_ms);
    ok &= load_holds(r, &r->crash.load, "crash");
    ok &= load_holds(r, &r->lossy, "loss");
    ok &= load_holds(r, &r->crash_lossy.load, "crash under loss");
    ok &= load_holds(r, &r->slow, "slow members");
    return ok;
}
