/* tests/sim/sim_client.c: clients that publish, and never give up on a keyed
 * publish: on an error, on silence and when the peer died they retry through
 * another peer with the same key, sometimes through two at once. A publish
 * without a key is tried again only where the first try surely did not happen.
 * Each attempt carries its own name as data, so the history tells them apart. */
#include "sim.h"

#include "base/alloc.h"

#include <stdio.h>

enum { RETRY_US_MAX = 300000, ANSWER_SLACK_MS = 2500 };

void sim_attempt_data(const struct sim *s, uint32_t attempt, struct dun_buf *out)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
                                  "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
    const struct sim_attempt *a = &s->attempts[attempt];
    dun_buf_printf(out, "\"%u.%u.", a->publish, attempt);
    /* Size from the number alone: the data must replay. */
    uint32_t pad = s->o.data_bytes_max == 0 ? 0 : attempt * 2654435761u % s->o.data_bytes_max;
    dun_buf_reserve(out, pad + 1);
    for (uint32_t n; pad > 0; pad -= n) {
        n = pad < sizeof letters - 1 ? pad : (uint32_t)sizeof letters - 1;
        dun_buf_add(out, letters, n);
    }
    dun_buf_byte(out, '"');
}

static uint32_t attempt_new(struct sim *s, uint32_t publish, uint32_t peer)
{
    if (s->attempt_count == s->attempt_cap) {
        s->attempt_cap = s->attempt_cap == 0 ? 256 : 2 * s->attempt_cap;
        s->attempts = dun_realloc(s->attempts, s->attempt_cap * sizeof *s->attempts);
    }
    struct sim_publish *pub = &s->publishes[publish];
    s->attempts[s->attempt_count] = (struct sim_attempt){.publish = publish,
                                                         .number = pub->attempts++,
                                                         .peer = peer,
                                                         .life = s->peers[peer].life,
                                                         .at_us = s->now_us};
    return s->attempt_count++;
}

static void retry_at(struct sim *s, uint32_t publish, uint64_t in_us)
{
    struct sim_publish *pub = &s->publishes[publish];
    pub->retry_token++;
    struct sim_event ev = {
        .at_us = s->now_us + in_us, .type = SIM_EV_RETRY, .a = publish, .life = pub->retry_token};
    sim_queue_push(&s->queue, ev);
}

static void settle(struct sim *s, uint32_t publish, enum sim_publish_state state)
{
    struct sim_publish *pub = &s->publishes[publish];
    if (pub->state != SIM_PUB_PENDING) return;
    pub->state = state;
    pub->retry_token++;
    DUN_ASSERT(s->pending > 0 && s->clients[pub->client].open > 0);
    s->pending--;
    s->clients[pub->client].open--;
}

/* The attempt failed; @unknown: it may have happened all the same. */
static void attempt_failed(struct sim *s, uint32_t attempt, bool unknown)
{
    struct sim_attempt *a = &s->attempts[attempt];
    struct sim_publish *pub = &s->publishes[a->publish];
    if (pub->state != SIM_PUB_PENDING) return;
    if (!pub->keyed && unknown) {
        settle(s, a->publish, SIM_PUB_UNKNOWN);
        return;
    }
    struct sim_client *c = &s->clients[pub->client];
    if (c->peer == a->peer) c->peer = (uint32_t)dun_prng_range(&s->prng, 0, s->o.voters - 1);
    retry_at(s, a->publish, dun_prng_range(&s->prng, 1000, RETRY_US_MAX));
}

/* The peer's sockets hold what comes while it is paused. */
static void submit(struct sim *s, uint32_t attempt)
{
    struct sim_attempt *a = &s->attempts[attempt];
    struct sim_peer *p = &s->peers[a->peer];
    if (p->paused) return;
    DUN_ASSERT(!a->submitted);
    a->submitted = true;
    a->at_us = s->now_us;
    dun_err e = DUN_OK;
    bool ok = sim_peer_submit(s, a->peer, attempt, &e);
    sim_hash(s, (uint64_t)attempt << 16 | (uint16_t)e);
    SIM_TRACE(s, "%s SUBMIT attempt=%u publish=%u channel=%s keyed=%d%s%s", p->name, attempt,
              a->publish, s->channels[s->publishes[a->publish].channel].name,
              s->publishes[a->publish].keyed, ok ? "" : " refused: ", ok ? "" : dun_err_text(e));
    if (ok || s->failed) return;
    a = &s->attempts[attempt];
    if (e != DUN_E_UNREADY && e != DUN_E_OVERLOADED) {
        sim_fail(s, "%s refuses a good publish: %s", p->name, dun_err_text(e));
        return;
    }
    a->state = SIM_TRY_REFUSED;
    if (e == DUN_E_OVERLOADED)
        SIM_COVER(s, OVERLOADED);
    else
        SIM_COVER(s, UNREADY);
    a->definitely_not = true;
    attempt_failed(s, attempt, false);
}

void sim_client_arrived(struct sim *s, uint32_t attempt)
{
    const struct sim_attempt *a = &s->attempts[attempt];
    if (a->state == SIM_TRY_OPEN && !a->submitted && a->life == s->peers[a->peer].life)
        submit(s, attempt);
}

static void try_peer(struct sim *s, uint32_t publish, uint32_t peer)
{
    if (!s->peers[peer].up) { /* connection refused */
        struct sim_client *c = &s->clients[s->publishes[publish].client];
        c->peer = (uint32_t)dun_prng_range(&s->prng, 0, s->o.voters - 1);
        retry_at(s, publish, dun_prng_range(&s->prng, 1000, RETRY_US_MAX));
        return;
    }
    uint32_t attempt = attempt_new(s, publish, peer);
    /* The client's own patience; a reply, or a failure, comes first as a rule. */
    s->publishes[publish].silent_peer = peer;
    retry_at(s, publish, (s->o.submit_timeout_ms + 1500) * 1000);
    if (s->peers[peer].paused || !sim_peer_submit_later(s, peer, attempt)) submit(s, attempt);
}

uint32_t sim_client_publish(struct sim *s, uint32_t client, uint32_t channel, bool keyed, int peer,
                            bool probe)
{
    if (s->publish_count == s->publish_cap) {
        s->publish_cap = s->publish_cap == 0 ? 256 : 2 * s->publish_cap;
        s->publishes = dun_realloc(s->publishes, s->publish_cap * sizeof *s->publishes);
    }
    uint32_t number = s->publish_count++;
    s->publishes[number] = (struct sim_publish){
        .channel = channel, .client = client, .keyed = keyed, .probe = probe, .only_peer = peer};
    s->pending++;
    struct sim_client *c = &s->clients[client];
    c->open++;
    try_peer(s, number, peer >= 0 ? (uint32_t)peer : c->peer);
    if (keyed && peer < 0 && !s->failed && dun_prng_chance(&s->prng, s->o.hedge_ppm)) {
        s->publishes[number].hedged = true; /* twice at once, as after a half-open connection */
        try_peer(s, number, (uint32_t)dun_prng_range(&s->prng, 0, s->o.voters - 1));
    }
    return number;
}

void sim_client_start(struct sim *s)
{
    for (uint32_t i = 0; i < s->o.clients; i++) {
        s->clients[i].peer = (uint32_t)dun_prng_range(&s->prng, 0, s->o.voters - 1);
        sim_push(s, s->now_us + dun_prng_range(&s->prng, 0, 500000), SIM_EV_CLIENT, i, 0);
    }
}

/* More at once than a window, and than a pipeline may hold; all for one channel. */
static bool burst(struct sim *s, uint32_t client)
{
    if (s->o.burst_ppm == 0 || !dun_prng_chance(&s->prng, s->o.burst_ppm)) return false;
    uint32_t count = (uint32_t)dun_prng_range(&s->prng, 1, s->o.burst_max);
    uint32_t channel = (uint32_t)dun_prng_range(&s->prng, 0, s->o.channels - 1);
    for (uint32_t i = 0; i < count && s->publish_count < s->o.publishes_max && !s->failed; i++)
        sim_client_publish(s, client, channel, dun_prng_chance(&s->prng, s->o.keyed_ppm), -1,
                           false);
    return true;
}

void sim_client_event(struct sim *s, const struct sim_event *ev)
{
    if (!s->load_on) return;
    struct sim_client *c = &s->clients[ev->a];
    if (c->open < s->o.window && s->publish_count < s->o.publishes_max) {
        uint32_t count = dun_prng_chance(&s->prng, 100000) ? s->o.window - c->open : 1;
        if (burst(s, ev->a)) count = 0;
        for (uint32_t i = 0; i < count && !s->failed; i++) {
            uint32_t channel = (uint32_t)dun_prng_range(&s->prng, 0, s->o.channels - 1);
            bool keyed = dun_prng_chance(&s->prng, s->o.keyed_ppm);
            sim_client_publish(s, ev->a, channel, keyed, -1, false);
        }
    }
    if (s->o.cast_ppm != 0 && dun_prng_chance(&s->prng, s->o.cast_ppm)) {
        uint32_t peer = (uint32_t)dun_prng_range(&s->prng, 0, s->o.voters - 1);
        if (s->peers[peer].up && !s->peers[peer].paused) sim_peer_cast(s, peer);
    }
    sim_push(s, s->now_us + dun_prng_range(&s->prng, 100, s->o.interval_us_max), SIM_EV_CLIENT,
             ev->a, 0);
}

void sim_client_retry(struct sim *s, const struct sim_event *ev)
{
    struct sim_publish *pub = &s->publishes[ev->a];
    if (pub->state != SIM_PUB_PENDING || ev->life != pub->retry_token) return;
    if (!pub->keyed && pub->attempts > 0) {
        /* Either the last try surely failed, or nobody answered. */
        uint32_t last = s->attempt_count;
        while (last > 0 && s->attempts[last - 1].publish != ev->a)
            last--;
        DUN_ASSERT(last > 0);
        if (!s->attempts[last - 1].definitely_not) {
            settle(s, ev->a, SIM_PUB_UNKNOWN);
            return;
        }
    }
    struct sim_client *c = &s->clients[pub->client];
    if (pub->attempts > 0 && c->peer == pub->silent_peer)
        c->peer = (uint32_t)dun_prng_range(&s->prng, 0, s->o.voters - 1);
    try_peer(s, ev->a, pub->only_peer >= 0 ? (uint32_t)pub->only_peer : c->peer);
}

static void reply_ok(struct sim *s, struct sim_peer *p, uint32_t attempt,
                     const struct node_reply *r)
{
    struct sim_attempt *a = &s->attempts[attempt];
    struct sim_publish *pub = &s->publishes[a->publish];
    a->acked = true;
    a->duplicate = r->duplicate;
    a->acked_seq = r->seq;
    a->acked_epoch = r->epoch;
    if (r->duplicate) SIM_COVER(s, DUPLICATES);
    if (r->duplicate && !pub->keyed)
        sim_fail(s, "%s calls attempt %u, which has no key, a duplicate", p->name, attempt);
    if (pub->keyed && pub->acked_seq != 0 && r->seq != 0 && !s->o.loss_profile && !pub->expired &&
        (pub->acked_seq != r->seq || pub->acked_epoch != r->epoch))
        sim_fail(s, "publish %u is acknowledged at two positions, seq %" PRIu64 " and %" PRIu64,
                 a->publish, pub->acked_seq, r->seq);
    pub->acked_seq = r->seq;
    pub->acked_epoch = r->epoch;
    pub->acked_attempt = attempt;
    int64_t at = r->seq == 0 ? -1 : sim_check_at(s, pub->channel, r->epoch, r->seq);
    if (at >= 0 && s->attempts[at].publish != a->publish)
        sim_fail(s,
                 "%s acknowledges publish %u at epoch %" PRIu64 " seq %" PRIu64
                 " of %s, where publish %u is",
                 p->name, a->publish, r->epoch, r->seq, s->channels[pub->channel].name,
                 s->attempts[at].publish);
    settle(s, a->publish, SIM_PUB_ACKED);
}

void sim_client_reply(struct sim *s, struct sim_peer *p, const struct node_reply *r)
{
    SIM_TRACE(s, "%s REPLY attempt=%" PRIu64 " %s dup=%d epoch=%" PRIu64 " seq=%" PRIu64, p->name,
              r->cookie, dun_err_text(r->err), r->duplicate, r->epoch, r->seq);
    sim_hash(s, r->cookie << 20 ^ r->seq << 1 ^ r->duplicate);
    if (r->cookie >= s->attempt_count || !s->attempts[r->cookie].submitted ||
        s->attempts[r->cookie].peer != p->index || s->attempts[r->cookie].life != p->life) {
        sim_fail(s, "%s answers cookie %" PRIu64 ", which it was not given in this life", p->name,
                 r->cookie);
        return;
    }
    uint32_t attempt = (uint32_t)r->cookie;
    struct sim_attempt *a = &s->attempts[attempt];
    if (a->state != SIM_TRY_OPEN) {
        sim_fail(s, "%s answers attempt %u twice", p->name, attempt);
        return;
    }
    a->state = SIM_TRY_ANSWERED;
    DUN_ASSERT(p->open_submits[s->channels[s->publishes[a->publish].channel].group] > 0);
    p->open_submits[s->channels[s->publishes[a->publish].channel].group]--;
    if (r->err == DUN_OK) {
        reply_ok(s, p, attempt, r);
        return;
    }
    bool unknown = r->err == DUN_E_TIMEOUT || r->err == DUN_E_UNREADY;
    if (r->err == DUN_E_TIMEOUT) SIM_COVER(s, TIMEOUTS);
    if (r->err == DUN_E_OVERLOADED) SIM_COVER(s, OVERLOADED);
    if (!unknown && r->err != DUN_E_OVERLOADED) {
        sim_fail(s, "%s answers attempt %u with '%s'", p->name, attempt, dun_err_text(r->err));
        return;
    }
    /* Certain only where no packet arrives twice: a repeat of it may yet be taken. */
    a->definitely_not = !unknown && !s->o.raw_dups;
    if (a->definitely_not && a->committed != 0)
        sim_fail(s, "attempt %u was answered 'overloaded' but is committed", attempt);
    attempt_failed(s, attempt, unknown);
}

void sim_client_peer_gone(struct sim *s, uint32_t index)
{
    for (uint32_t i = s->open_first; i < s->attempt_count; i++) {
        struct sim_attempt *a = &s->attempts[i];
        if (a->peer != index || a->state != SIM_TRY_OPEN) continue;
        a->state = SIM_TRY_DEAD;
        attempt_failed(s, i, true);
    }
}

void sim_client_peer_resumed(struct sim *s, uint32_t index)
{
    for (uint32_t i = s->open_first; i < s->attempt_count && !s->failed; i++) {
        struct sim_attempt *a = &s->attempts[i];
        if (a->peer == index && a->state == SIM_TRY_OPEN && !a->submitted &&
            a->life == s->peers[index].life)
            submit(s, i);
    }
}

uint32_t sim_client_unanswered(const struct sim *s)
{
    uint32_t n = 0;
    for (uint32_t i = s->open_first; i < s->attempt_count; i++)
        n += s->attempts[i].state == SIM_TRY_OPEN && !s->peers[s->attempts[i].peer].broken;
    return n;
}

void sim_client_check_answers(struct sim *s)
{
    while (s->open_first < s->attempt_count && s->attempts[s->open_first].state != SIM_TRY_OPEN)
        s->open_first++;
    for (uint32_t i = s->open_first; i < s->attempt_count; i++) {
        struct sim_attempt *a = &s->attempts[i];
        const struct sim_peer *p = &s->peers[a->peer];
        if (a->state != SIM_TRY_OPEN || !a->submitted || p->paused || p->held_count != 0) continue;
        uint64_t rate = sim_clock_rate_usual(s, p); /* its patience goes by its own clock */
        if (p->clock.rate_ppm < rate) rate = p->clock.rate_ppm;
        if (s->now_us >
            a->at_us + (s->o.submit_timeout_ms + ANSWER_SLACK_MS) * 1000 * SIM_PPM / rate)
            sim_fail(s, "%s owes an answer to attempt %u since %" PRIu64 " ms",
                     s->peers[a->peer].name, i, (s->now_us - a->at_us) / 1000);
    }
}
