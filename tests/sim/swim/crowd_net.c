/* tests/sim/swim/crowd_net.c: calendar, packets, peers that start, stop and are
 * paused. Why a calendar: both delays are short and bounded, a packet's by the
 * latency and a tick's by SWIM_IDLE_MS, so a ring of days finds what is next in
 * constant time however many peers there are.
 * (1) A peer that runs and is not paused is in the day of its deadline.
 * (2) Of one day the packets come before the ticks, each in order of arrival. */
#include "crowd.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "cluster/seal.h"

#include <stdio.h>
#include <stdlib.h>

static void queue_add(struct crowd_queue *q, struct crowd_packet *p)
{
    if (q->first == NULL) q->last = &q->first;
    p->next = NULL;
    *q->last = p;
    q->last = &p->next;
    q->count++;
}

static struct crowd_packet *queue_take(struct crowd_queue *q)
{
    struct crowd_packet *p = q->first;
    if (p == NULL) return NULL;
    q->first = p->next;
    q->count--;
    return p;
}

static void packet_free(struct crowd_packet *p)
{
    dun_buf_deinit(&p->bytes);
    dun_free(p);
}

static void queue_free(struct crowd_queue *q)
{
    for (struct crowd_packet *p = queue_take(q); p != NULL; p = queue_take(q))
        packet_free(p);
}

static struct crowd_day *day_of(struct crowd *c, uint64_t at_ms)
{
    DUN_ASSERT(at_ms >= c->now_ms && at_ms < c->now_ms + CROWD_DAYS);
    return &c->days[at_ms % CROWD_DAYS];
}

static void unschedule(struct crowd_peer *p)
{
    if (p->prev == NULL) return;
    *p->prev = p->next;
    if (p->next != NULL) p->next->prev = p->prev;
    p->prev = NULL;
}

static void schedule(struct crowd *c, struct crowd_peer *p)
{
    unschedule(p);
    if (p->swim == NULL || p->paused) return;
    uint64_t at_ms = swim_deadline_ms(p->swim);
    struct crowd_day *d = day_of(c, at_ms > c->now_ms ? at_ms : c->now_ms);
    p->next = d->ticks;
    p->prev = &d->ticks;
    if (p->next != NULL) p->next->prev = &p->next;
    d->ticks = p;
}

/* Peer @i is at "10.77.<hundreds>.<rest>:7946". */
static uint32_t index_of_addr(const char *addr)
{
    char *end;
    uint32_t hundreds = (uint32_t)strtoul(addr + strlen("10.77."), &end, 10);
    return hundreds * 100 + (uint32_t)strtoul(end + 1, NULL, 10);
}

static void count_packet(struct crowd *c, struct crowd_peer *from, const char *to_name,
                         struct dun_slice bytes)
{
    struct crowd_counts *n = &c->counts;
    uint32_t type = bytes.data[1]; /* behind the header of the array; see swim_wire.c */
    DUN_ASSERT(type > 0 && type < CROWD_PACKET_TYPES);
    uint64_t size =
        bytes.len + SEAL_FIXED_BYTES + strlen(from->name) + strlen(to_name) + SEAL_TAG_BYTES;
    n->sent[type]++;
    n->packets++;
    n->bytes += size;
    if (type == SWIM_PUSH_PULL || type == SWIM_PUSH_PULL_REPLY) n->table_bytes += size;
    if (size > n->largest_bytes) n->largest_bytes = size;
    from->bytes_sent += size;
}

static void send(struct crowd *c, struct crowd_peer *from, const char *addr, const char *to_name,
                 struct dun_slice bytes)
{
    uint32_t to = index_of_addr(addr);
    DUN_ASSERT(to < c->o.peers);
    count_packet(c, from, to_name, bytes);
    uint64_t at_ms =
        c->now_ms + dun_prng_range(&c->prng, CROWD_LATENCY_MS_MIN, CROWD_LATENCY_MS_MAX);
    if (dun_prng_chance(&c->prng, c->loss_ppm)) {
        c->counts.lost++;
        return;
    }
    struct crowd_packet *p = dun_calloc(1, sizeof *p);
    p->from = (uint32_t)(from - c->peers);
    p->to = to;
    p->from_boot = from->boot;
    dun_buf_slice(&p->bytes, bytes);
    queue_add(&day_of(c, at_ms)->packets, p);
}

static void carry_out(struct crowd *c, struct crowd_peer *p, const struct swim_out *out)
{
    for (uint32_t i = 0; i < out->packet_count; i++)
        send(c, p, out->packets[i].addr, out->packets[i].to_name, out->packets[i].bytes);
    for (uint32_t i = 0; i < out->event_count; i++)
        crowd_watch_event(c, (uint32_t)(p - c->peers), out->events[i].type, &out->events[i].member);
    schedule(c, p);
}

static void tick(struct crowd *c, struct crowd_peer *p)
{
    const struct swim_out *out;
    swim_tick(p->swim, c->now_ms, &out);
    carry_out(c, p, out);
}

/* Takes @packet. */
static void deliver(struct crowd *c, struct crowd_packet *packet)
{
    struct crowd_peer *p = &c->peers[packet->to];
    if (p->paused && p->inbox.count < CROWD_INBOX_MAX) {
        queue_add(&p->inbox, packet);
        return;
    }
    if (p->paused) {
        c->counts.overflowed++;
    } else if (p->swim != NULL) {
        const struct swim_out *out;
        dun_err e = swim_recv(p->swim, c->now_ms, c->peers[packet->from].name, packet->from_boot,
                              dun_buf_view(&packet->bytes), &out);
        DUN_ASSERT(e == DUN_OK || e == DUN_E_STALE || e == DUN_E_FULL);
        c->counts.refused += e == DUN_E_FULL;
        carry_out(c, p, out);
    }
    packet_free(packet);
}

struct crowd *crowd_create(const struct crowd_options *o)
{
    DUN_ASSERT(o->peers >= CROWD_PEERS_MIN && o->peers <= CROWD_PEERS_MAX);
    struct crowd *c = dun_calloc(1, sizeof *c);
    c->o = *o;
    c->now_ms = 1000;
    dun_prng_seed(&c->prng, o->seed ^ (uint64_t)o->peers << 32);
    for (uint32_t i = 0; i < o->peers; i++) {
        struct crowd_peer *p = &c->peers[i];
        snprintf(p->name, sizeof p->name, "peer-%04u", i);
        snprintf(p->addr, sizeof p->addr, "10.77.%u.%u:7946", i / 100, i % 100);
    }
    return c;
}

static void stop(struct crowd *c, uint32_t i)
{
    struct crowd_peer *p = &c->peers[i];
    DUN_ASSERT(p->swim != NULL);
    crowd_watch_gone(c, i);
    unschedule(p);
    queue_free(&p->inbox);
    swim_destroy(p->swim);
    p->swim = NULL;
    p->paused = p->slow = false;
    p->pause_ms = p->resume_ms = p->end_ms = 0;
}

void crowd_destroy(struct crowd *c)
{
    for (uint32_t i = 0; i < c->o.peers; i++)
        if (c->peers[i].swim != NULL) stop(c, i);
    for (uint32_t i = 0; i < CROWD_DAYS; i++)
        queue_free(&c->days[i].packets);
    dun_free(c);
}

void crowd_start(struct crowd *c, uint32_t i)
{
    static const uint8_t meta[CROWD_META_BYTES];
    struct crowd_peer *p = &c->peers[i];
    DUN_ASSERT(p->swim == NULL);
    p->boot++;
    struct swim_config sc = {.name = p->name,
                             .addr = p->addr,
                             .seed_count = CROWD_SEEDS,
                             .meta = dun_slice(meta, sizeof meta),
                             .boot = p->boot,
                             .prng_seed = dun_prng_next(&c->prng),
                             .probe_interval_ms = c->o.interval_ms,
                             .probe_timeout_ms = c->o.timeout_ms,
                             .suspicion_mult = c->o.suspicion_mult,
                             .suspicion_max_mult = c->o.suspicion_max_mult};
    for (uint32_t k = 0; k < CROWD_SEEDS; k++)
        sc.seeds[k] = c->peers[k].addr;
    dun_err e = swim_create(&p->swim, &sc);
    DUN_ASSERT(e == DUN_OK);
    p->live = true;
    c->live_count++;
    schedule(c, p);
}

void crowd_crash(struct crowd *c, uint32_t i)
{
    stop(c, i);
}

void crowd_leave(struct crowd *c, uint32_t i)
{
    struct crowd_peer *p = &c->peers[i];
    const struct swim_out *out;
    crowd_watch_gone(c, i);
    swim_leave(p->swim, c->now_ms, &out);
    p->end_ms = c->now_ms + CROWD_LEAVE_MS;
    carry_out(c, p, out);
}

void crowd_pause(struct crowd *c, uint32_t i)
{
    c->peers[i].paused = true;
    unschedule(&c->peers[i]);
}

/* What is due comes first and then what has arrived, as in an event loop. */
void crowd_resume(struct crowd *c, uint32_t i)
{
    struct crowd_peer *p = &c->peers[i];
    DUN_ASSERT(p->paused);
    p->paused = false;
    if (swim_deadline_ms(p->swim) <= c->now_ms) tick(c, p);
    for (uint32_t n = p->inbox.count; n > 0; n--)
        deliver(c, queue_take(&p->inbox));
    schedule(c, p);
}

static void take_turns(struct crowd *c)
{
    for (uint32_t i = 0; i < c->o.peers; i++) {
        struct crowd_peer *p = &c->peers[i];
        if (p->end_ms != 0 && c->now_ms >= p->end_ms) stop(c, i);
        if (p->pause_ms != 0 && c->now_ms >= p->pause_ms) {
            crowd_pause(c, i);
            p->pause_ms = 0;
            p->resume_ms = c->now_ms + CROWD_SLOW_STOP_MS;
        } else if (p->resume_ms != 0 && c->now_ms >= p->resume_ms) {
            crowd_resume(c, i);
            p->resume_ms = 0;
            p->pause_ms = c->now_ms + CROWD_SLOW_GO_MS;
        }
    }
}

void crowd_step(struct crowd *c)
{
    struct crowd_day *d = day_of(c, c->now_ms);
    take_turns(c);
    while (d->packets.first != NULL || d->ticks != NULL) {
        if (d->packets.first != NULL)
            deliver(c, queue_take(&d->packets));
        else
            tick(c, d->ticks);
    }
    crowd_watch_step(c);
    c->now_ms++;
}

void crowd_run(struct crowd *c, uint64_t ms)
{
    for (uint64_t end_ms = c->now_ms + ms; c->now_ms < end_ms;)
        crowd_step(c);
}

bool crowd_until(struct crowd *c, bool (*done)(const struct crowd *c), uint64_t ms)
{
    uint64_t end_ms = c->now_ms + ms;
    while (!done(c)) {
        if (c->now_ms >= end_ms) return false;
        crowd_step(c);
    }
    return true;
}

void crowd_counts_reset(struct crowd *c)
{
    c->counts = (struct crowd_counts){0};
    for (uint32_t i = 0; i < c->o.peers; i++)
        c->peers[i].bytes_sent = 0;
}
