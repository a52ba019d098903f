/* tests/sim/sim_cover.c: what a run went through. A hunt that exercises nothing
 * finds nothing, so what happened is counted and shown. */
#include "sim.h"

#define X(constant, name) [SIM_COVER_##constant] = #name,
const char *const sim_cover_names[SIM_COVER_COUNT] = {SIM_COVER_MAP(X)};
#undef X

void sim_cover_peer(struct sim *s, const struct sim_peer *p)
{
    struct node_status n;
    struct store_stats t;
    node_status(p->node, &n);
    store_stats(p->store, &t);
    uint64_t *c = s->cover.counts;
    c[SIM_COVER_VIEW_CHANGES] += n.view_changes;
    c[SIM_COVER_TRANSFERS] += n.transfers;
    c[SIM_COVER_SNAPSHOTS] += n.snapshots_in;
    c[SIM_COVER_REFORMS] += n.reforms;
    c[SIM_COVER_EXPIRED] += t.expired;
    c[SIM_COVER_EVICTED] += t.evicted;
}
