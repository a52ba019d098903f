/* tests/sim/swim/crowd_story.c: the measurements, one after another on one crowd.
 * Why one crowd: after each story all must know all again, so what one leaves
 * behind shows in the next. Crashes of large crowds overlap, one in a hundred
 * peers at a time, as they would; in small ones they come one by one. */
#include "crowd.h"

#include "base/alloc.h"
#include "base/assert.h"

/* As many member seconds at every size. */
static uint64_t steady_ms(const struct crowd_options *o)
{
    return (uint64_t)o->seconds * 1000 * CROWD_PEERS_MAX / o->peers;
}

static void load_begin(struct crowd *c, struct crowd_load *l)
{
    crowd_counts_reset(c);
    l->ms = c->now_ms;
}

static void load_end(const struct crowd *c, struct crowd_load *l)
{
    l->ms = c->now_ms - l->ms;
    l->counts = c->counts;
    double peer_seconds = (double)c->o.peers * (double)l->ms / 1000;
    l->messages = (double)c->counts.packets / peer_seconds;
    l->bytes = (double)c->counts.bytes / peer_seconds;
    l->table_bytes = (double)c->counts.table_bytes / peer_seconds;
}

/* All know all, so what is still to be told is news to nobody: it would only last,
 * for minutes in a large crowd, and stand between the storm and a calm network.
 * Returns how many tellings each peer had left, on average. */
static uint64_t hush(struct crowd *c)
{
    uint64_t left = 0;
    for (uint32_t i = 0; i < c->o.peers; i++) {
        struct swim *s = c->peers[i].swim;
        for (uint32_t k = 0; k < s->node_count; k++) {
            left += s->nodes[k]->tx_left;
            swim_gossip_cancel(s, s->nodes[k]);
        }
    }
    return left / c->o.peers;
}

static void storm(struct crowd *c, struct crowd_result *r)
{
    load_begin(c, &r->storm);
    uint64_t start_ms = c->now_ms;
    for (uint32_t i = 0; i < c->o.peers; i++)
        crowd_start(c, i);
    if (crowd_until(c, crowd_all_known, crowd_bound_storm_ms(&c->o)))
        r->storm_ms = c->now_ms - start_ms;
    load_end(c, &r->storm);
    r->storm_left = hush(c);
    for (uint32_t i = 0; i < c->o.peers; i++)
        if (c->peers[i].bytes_sent > r->storm_peer_bytes)
            r->storm_peer_bytes = c->peers[i].bytes_sent;
}

static void calm(struct crowd *c, struct crowd_result *r)
{
    crowd_run(c, 2 * (uint64_t)c->o.interval_ms);
    load_begin(c, &r->calm);
    crowd_run(c, steady_ms(&c->o));
    load_end(c, &r->calm);
}

enum { BATCH_MAX = CROWD_PEERS_MAX / 100 };

struct batch {
    uint32_t count;
    uint32_t peers[BATCH_MAX];
};

static struct batch pick_batch(struct crowd *c, uint32_t left)
{
    uint32_t want = c->o.peers / 100;
    if (want == 0) want = 1;
    if (want > left) want = left;
    struct batch b = {0};
    while (b.count < want) {
        uint32_t i = (uint32_t)dun_prng_range(&c->prng, 0, c->o.peers - 1);
        bool again = false;
        for (uint32_t k = 0; k < b.count; k++)
            again |= b.peers[k] == i;
        if (!again) b.peers[b.count++] = i;
    }
    return b;
}

/* At moments of its own each, so that no two measurements share a phase. */
static void batch_do(struct crowd *c, const struct batch *b, enum crowd_watch_kind kind)
{
    for (uint32_t i = 0; i < b->count; i++) {
        uint32_t peer = b->peers[i];
        crowd_run(c, dun_prng_range(&c->prng, 1, c->o.interval_ms));
        crowd_watch_start(c, peer, kind);
        switch (kind) {
        case CROWD_CRASH: crowd_crash(c, peer); break;
        case CROWD_JOIN: crowd_start(c, peer); break;
        case CROWD_LEAVE: crowd_leave(c, peer); break;
        case CROWD_IDLE: DUN_UNREACHABLE();
        }
    }
}

/* Ends the watches; returns how many had not seen their end. */
static uint32_t batch_end(struct crowd *c, const struct batch *b, struct crowd_samples *all,
                          struct crowd_samples *self)
{
    uint32_t missed = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        struct crowd_watch *w = &c->watches[b->peers[i]];
        bool is_join = w->kind == CROWD_JOIN;
        if (w->all_ms == 0 || (is_join && w->self_ms == 0))
            missed++;
        else if (all != NULL)
            crowd_sample(all, w->start_ms, w->all_ms);
        if (is_join && self != NULL && w->self_ms != 0) crowd_sample(self, w->start_ms, w->self_ms);
        w->kind = CROWD_IDLE;
    }
    return missed;
}

static void rejoin(struct crowd *c, struct crowd_result *r, const struct batch *b, bool sampled)
{
    crowd_run(c, CROWD_LEAVE_MS);
    batch_do(c, b, CROWD_JOIN);
    crowd_until(c, crowd_watch_done, crowd_bound_known_ms(&c->o));
    uint32_t missed = batch_end(c, b, sampled ? &r->join : NULL, sampled ? &r->join_self : NULL);
    if (sampled) r->joins_missed += missed;
}

static void crash(struct crowd *c, struct crowd_result *r, struct crowd_crashes *x, uint32_t loss)
{
    load_begin(c, &x->load);
    c->loss_ppm = loss;
    for (uint32_t done = 0; done < c->o.crashes;) {
        struct batch b = pick_batch(c, c->o.crashes - done);
        batch_do(c, &b, CROWD_CRASH);
        crowd_until(c, crowd_watch_done, crowd_bound_known_ms(&c->o));
        for (uint32_t i = 0; i < b.count; i++) {
            const struct crowd_watch *w = &c->watches[b.peers[i]];
            if (w->suspect_ms != 0) crowd_sample(&x->suspect, w->start_ms, w->suspect_ms);
            if (w->first_ms != 0) crowd_sample(&x->first, w->start_ms, w->first_ms);
        }
        x->unnoticed += batch_end(c, &b, &x->all, NULL);
        rejoin(c, r, &b, loss == 0);
        done += b.count;
    }
    c->loss_ppm = 0;
    load_end(c, &x->load);
}

static void leave(struct crowd *c, struct crowd_result *r)
{
    for (uint32_t done = 0; done < c->o.crashes;) {
        struct batch b = pick_batch(c, c->o.crashes - done);
        batch_do(c, &b, CROWD_LEAVE);
        crowd_until(c, crowd_watch_done, crowd_bound_known_ms(&c->o));
        r->leaves_missed += batch_end(c, &b, &r->leave, NULL);
        rejoin(c, r, &b, false);
        done += b.count;
    }
}

static bool settle(struct crowd *c, uint64_t *took_ms)
{
    uint64_t start_ms = c->now_ms;
    bool ok = crowd_until(c, crowd_all_known, crowd_bound_known_ms(&c->o));
    *took_ms = c->now_ms - start_ms;
    return ok;
}

static void lossy(struct crowd *c, struct crowd_result *r)
{
    load_begin(c, &r->lossy);
    c->loss_ppm = c->o.loss_ppm;
    crowd_run(c, steady_ms(&c->o));
    load_end(c, &r->lossy);
    c->loss_ppm = 0;
    r->lossy_settled = settle(c, &r->lossy_settle_ms);
}

/* Lifeguard's case: some members stop and go, each at its own pace. */
static void slow(struct crowd *c, struct crowd_result *r)
{
    uint32_t want = c->o.peers * CROWD_SLOW_PERCENT / 100;
    if (want == 0) want = 1;
    load_begin(c, &r->slow);
    while (r->slow_members < want) {
        struct crowd_peer *p = &c->peers[dun_prng_range(&c->prng, 0, c->o.peers - 1)];
        if (p->slow) continue;
        p->slow = true;
        p->pause_ms =
            c->now_ms + dun_prng_range(&c->prng, 1, CROWD_SLOW_STOP_MS + CROWD_SLOW_GO_MS);
        r->slow_members++;
    }
    crowd_run(c, steady_ms(&c->o));
    load_end(c, &r->slow);
    for (uint32_t i = 0; i < c->o.peers; i++) {
        c->peers[i].pause_ms = c->peers[i].resume_ms = 0;
        if (c->peers[i].paused) crowd_resume(c, i);
        c->peers[i].slow = false;
    }
    r->slow_settled = settle(c, &r->slow_settle_ms);
}

void crowd_measure(struct crowd_result *r, const struct crowd_options *o)
{
    *r = (struct crowd_result){.o = *o};
    struct crowd *c = crowd_create(o);
    uint64_t ms;
    storm(c, r);
    calm(c, r);
    crash(c, r, &r->crash, 0);
    leave(c, r);
    lossy(c, r);
    crash(c, r, &r->crash_lossy, o->loss_ppm);
    settle(c, &ms);
    slow(c, r);
    for (uint32_t i = 0; i < o->peers; i++)
        if (c->peers[i].swim != NULL) swim_check(c->peers[i].swim);
    crowd_destroy(c);
}
