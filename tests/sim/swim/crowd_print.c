/* tests/sim/swim/crowd_print.c: the table, and the same as JSON.
 * Why one list of rows: both say the same, and a run replays byte for byte. */
#include "crowd.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stdio.h>

enum { ROWS_MAX = 64, SIZES_MAX = 8 };

struct row {
    const char *story, *label, *key;
    double value;
    int decimals;
};

struct rows {
    uint32_t count;
    struct row row[ROWS_MAX];
};

static void add(struct rows *t, const char *story, const char *label, const char *key, double value,
                int decimals)
{
    DUN_ASSERT(t->count < ROWS_MAX);
    t->row[t->count++] = (struct row){story, label, key, value, decimals};
}

static double per_node_hour(const struct crowd_load *l, uint32_t peers, uint64_t count)
{
    return (double)count * 3600e3 / ((double)l->ms * peers);
}

/* A ping-req makes its receiver send a ping too: those are no probes of their own. */
static double per_million_probes(const struct crowd_load *l, uint64_t count)
{
    uint64_t probes = l->counts.sent[SWIM_PING] - l->counts.sent[SWIM_PING_REQ];
    return probes == 0 ? 0 : (double)count * 1e6 / (double)probes;
}

static void rows_of_crashes(struct rows *t, const struct crowd_result *r,
                            const struct crowd_crashes *x, const char *story)
{
    double period = r->o.interval_ms;
    add(t, story, "crashes", "crashes", r->o.crashes, 0);
    add(t, story, "not known to all within the bound", "unnoticed", x->unnoticed, 0);
    add(t, story, "first suspected, mean ms", "suspect_mean_ms", crowd_mean(&x->suspect), 0);
    add(t, story, "  in periods", "suspect_mean_periods", crowd_mean(&x->suspect) / period, 2);
    add(t, story, "  p99 ms", "suspect_p99_ms", crowd_p99(&x->suspect), 0);
    add(t, story, "first declared dead, mean ms", "dead_mean_ms", crowd_mean(&x->first), 0);
    add(t, story, "  p99 ms", "dead_p99_ms", crowd_p99(&x->first), 0);
    add(t, story, "dead at all live peers, mean ms", "all_mean_ms", crowd_mean(&x->all), 0);
    add(t, story, "  in periods", "all_mean_periods", crowd_mean(&x->all) / period, 1);
    add(t, story, "  p99 ms", "all_p99_ms", crowd_p99(&x->all), 0);
    add(t, story, "from the first to the last, mean ms", "spread_mean_ms",
        crowd_mean(&x->all) - (double)crowd_mean(&x->first), 0);
    add(t, story, "messages per peer and second", "messages", x->load.messages, 1);
    add(t, story, "bytes per peer and second", "bytes", x->load.bytes, 0);
}

static void rows_of_changes(struct rows *t, const struct crowd_result *r)
{
    add(t, "join", "known to all, mean ms", "all_mean_ms", crowd_mean(&r->join), 0);
    add(t, "join", "  p99 ms", "all_p99_ms", crowd_p99(&r->join), 0);
    add(t, "join", "knows all itself, mean ms", "self_mean_ms", crowd_mean(&r->join_self), 0);
    add(t, "join", "  p99 ms", "self_p99_ms", crowd_p99(&r->join_self), 0);
    add(t, "leave", "known to all, mean ms", "all_mean_ms", crowd_mean(&r->leave), 0);
    add(t, "leave", "  p99 ms", "all_p99_ms", crowd_p99(&r->leave), 0);
    add(t, "storm", "all know all after ms", "all_ms", (double)r->storm_ms, 0);
    add(t, "storm", "messages per peer and second", "messages", r->storm.messages, 1);
    add(t, "storm", "tellings left per peer", "left", (double)r->storm_left, 0);
    add(t, "storm", "KiB sent per peer, mean", "peer_kib",
        (double)r->storm.counts.bytes / 1024 / r->o.peers, 0);
    add(t, "storm", "KiB sent by the busiest seed", "seed_kib", (double)r->storm_peer_bytes / 1024,
        0);
    add(t, "storm", "largest packet, bytes", "largest_bytes", (double)r->storm.counts.largest_bytes,
        0);
    add(t, "storm", "packets refused by a full queue", "refused", (double)r->storm.counts.refused,
        0);
}

static void rows_of_calm(struct rows *t, const struct crowd_result *r)
{
    add(t, "calm", "messages per peer and second", "messages", r->calm.messages, 2);
    add(t, "calm", "bytes per peer and second, probing", "probe_bytes",
        r->calm.bytes - r->calm.table_bytes, 0);
    add(t, "calm", "bytes per peer and second, push/pull", "table_bytes", r->calm.table_bytes, 0);
    add(t, "calm", "living members suspected", "suspected", (double)r->calm.counts.suspicions, 0);
}

static void rows_of_lossy(struct rows *t, const struct crowd_result *r)
{
    const struct crowd_load *l = &r->lossy;
    add(t, "loss", "packets lost, per cent", "loss_percent", r->o.loss_ppm / 1e4, 1);
    add(t, "loss", "messages per peer and second", "messages", l->messages, 1);
    add(t, "loss", "bytes per peer and second", "bytes", l->bytes, 0);
    add(t, "loss", "living members suspected", "suspected", (double)l->counts.suspicions, 0);
    add(t, "loss", "  per member and hour", "suspected_per_hour",
        per_node_hour(l, r->o.peers, l->counts.suspicions), 1);
    add(t, "loss", "  per million probes", "suspected_per_million",
        per_million_probes(l, l->counts.suspicions), 0);
    add(t, "loss", "living members declared dead", "dead", (double)l->counts.deaths, 0);
    add(t, "loss", "ms until all know all, after it", "settle_ms", (double)r->lossy_settle_ms, 0);
}

static void rows_of_slow(struct rows *t, const struct crowd_result *r)
{
    const struct crowd_counts *n = &r->slow.counts;
    add(t, "slow", "members that stop and go", "slow_members", r->slow_members, 0);
    add(t, "slow", "messages per peer and second", "messages", r->slow.messages, 1);
    add(t, "slow", "healthy members suspected", "suspected", (double)n->suspicions, 0);
    add(t, "slow", "healthy members declared dead", "dead", (double)n->deaths, 0);
    add(t, "slow", "  by how many observers in all", "dead_reports", (double)n->death_reports, 0);
    add(t, "slow", "stopped members suspected", "slow_suspected", (double)n->slow_suspicions, 0);
    add(t, "slow", "stopped members declared dead", "slow_dead", (double)n->slow_deaths, 0);
    add(t, "slow", "ms until all know all, after it", "settle_ms", (double)r->slow_settle_ms, 0);
}

static void rows_of(struct rows *t, const struct crowd_result *r)
{
    t->count = 0;
    rows_of_crashes(t, r, &r->crash, "crash");
    rows_of_crashes(t, r, &r->crash_lossy, "crash_lossy");
    rows_of_changes(t, r);
    rows_of_calm(t, r);
    rows_of_lossy(t, r);
    rows_of_slow(t, r);
}

static void print_options(const struct crowd_options *o)
{
    printf("seed=%" PRIu64 " interval_ms=%u timeout_ms=%u suspicion_mult=%u suspicion_max_mult=%u "
           "seconds=%u crashes=%u loss_ppm=%u latency_ms=%d..%d\n",
           o->seed, o->interval_ms, o->timeout_ms, o->suspicion_mult, o->suspicion_max_mult,
           o->seconds, o->crashes, o->loss_ppm, CROWD_LATENCY_MS_MIN, CROWD_LATENCY_MS_MAX);
}

void crowd_print_table(const struct crowd_result *r, uint32_t count)
{
    static struct rows t[SIZES_MAX]; /* large */
    DUN_ASSERT(count >= 1 && count <= SIZES_MAX);
    for (uint32_t i = 0; i < count; i++)
        rows_of(&t[i], &r[i]);
    print_options(&r->o);
    printf("%-12s%-38s", "", "peers");
    for (uint32_t i = 0; i < count; i++)
        printf("%9u", r[i].o.peers);
    for (uint32_t k = 0; k < t[0].count; k++) {
        const struct row *row = &t[0].row[k];
        bool first = k == 0 || strcmp(row->story, t[0].row[k - 1].story) != 0;
        printf("\n%-12s%-38s", first ? row->story : "", row->label);
        for (uint32_t i = 0; i < count; i++)
            printf("%9.*f", row->decimals, t[i].row[k].value);
    }
    printf("\n");
}

void crowd_print_json(const struct crowd_result *r)
{
    struct rows t;
    rows_of(&t, r);
    const struct crowd_options *o = &r->o;
    printf("{\"peers\":%u,\"seed\":%" PRIu64 ",\"seconds\":%u,\"loss_ppm\":%u,"
           "\"interval_ms\":%u,\"timeout_ms\":%u,\"suspicion_mult\":%u,\"suspicion_max_mult\":%u",
           o->peers, o->seed, o->seconds, o->loss_ppm, o->interval_ms, o->timeout_ms,
           o->suspicion_mult, o->suspicion_max_mult);
    for (uint32_t k = 0; k < t.count; k++) {
        const struct row *row = &t.row[k];
        bool first = k == 0 || strcmp(row->story, t.row[k - 1].story) != 0;
        if (first) printf("%s,\"%s\":{", k == 0 ? "" : "}", row->story);
        printf("%s\"%s\":%.*f", first ? "" : ",", row->key, row->decimals, row->value);
    }
    printf("}}\n");
    fflush(stdout);
}
