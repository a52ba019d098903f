/* cluster/swim_probe.c: pings, indirect pings, nacks, local health.
 * Why: each member is probed once a round by everyone, in a new random order
 * each round, so the time to first detection is bounded; and an observer that
 * is itself slow learns so from missing nacks and becomes patient.
 * Source: SWIM (DSN 2002), sections 3.1 and 4.3; Lifeguard (2018), IV-A.
 * (1) health is in [0, SWIM_HEALTH_MAX] and scales interval and timeout by health + 1.
 * (2) At most one fast probe of one member is in flight, so a link that drops
 *     again and again costs no more than one that drops once.
 * (3) A slot in use belongs to a member of the table. */
#include "base/assert.h"
#include "cluster/swim_internal.h"

static uint32_t scaled(const struct swim *s, uint32_t ms)
{
    return ms * (s->health + 1);
}

void swim_probe_health(struct swim *s, int32_t delta)
{
    int32_t health = (int32_t)s->health + delta;
    if (health < 0) health = 0;
    if (health > SWIM_HEALTH_MAX) health = SWIM_HEALTH_MAX;
    s->health = (uint32_t)health;
}

void swim_probe_start(struct swim *s)
{
    s->probe_next_ms = s->now_ms + dun_prng_range(&s->prng, 0, s->config.probe_interval_ms);
}

static bool runs(const struct swim *s)
{
    return s->join == SWIM_JOIN_DONE && s->self->claim.state != SWIM_LEFT;
}

static void send_ping(struct swim *s, const struct swim_node *target, uint32_t seq)
{
    struct swim_packet p = {.type = SWIM_PING, .seq = seq, .target = dun_slice_str(target->name)};
    swim_send(s, target->addr, target->name, &p);
}

static void send_indirect(struct swim *s, struct swim_probe *probe)
{
    struct swim_node *via[SWIM_INDIRECT_MAX];
    uint32_t count = swim_member_pick(s, s->config.indirect_count, probe->target, via);
    for (uint32_t i = 0; i < count; i++) {
        struct swim_packet p = {.type = SWIM_PING_REQ,
                                .seq = probe->seq,
                                .target = dun_slice_str(probe->target->name),
                                .target_addr = dun_slice_str(probe->target->addr)};
        swim_send(s, via[i]->addr, via[i]->name, &p);
    }
    probe->nacks_wanted = count;
}

static struct swim_probe *slot(struct swim *s)
{
    for (uint32_t i = 0; i < SWIM_PROBES_MAX; i++)
        if (!s->probes[i].active) return &s->probes[i];
    return NULL;
}

static struct swim_probe *begin(struct swim *s, struct swim_node *target, bool fast)
{
    struct swim_probe *probe = slot(s);
    if (probe == NULL) return NULL; /* its turn comes again */
    uint32_t timeout = scaled(s, s->config.probe_timeout_ms);
    uint32_t patience = fast ? 2 * timeout : scaled(s, s->config.probe_interval_ms);
    *probe = (struct swim_probe){.active = true,
                                 .fast = fast,
                                 .seq = ++s->seq,
                                 .target = target,
                                 .timeout_ms = s->now_ms + timeout,
                                 .deadline_ms = s->now_ms + patience};
    send_ping(s, target, probe->seq);
    return probe;
}

static void shuffle(struct swim *s)
{
    for (uint32_t i = s->node_count - 1; i > 1; i--) {
        uint32_t j = (uint32_t)dun_prng_range(&s->prng, 0, i - 1);
        struct swim_node *n = s->order[i - 1];
        s->order[i - 1] = s->order[j];
        s->order[j] = n;
    }
    s->order_next = 0;
}

static struct swim_node *next_target(struct swim *s)
{
    uint32_t count = s->node_count - 1;
    for (uint32_t tries = 0; tries < 2 * count; tries++) {
        if (s->order_next >= count) shuffle(s);
        struct swim_node *n = s->order[s->order_next++];
        if (swim_up(n->claim.state)) return n;
    }
    return NULL;
}

static void fail(struct swim *s, struct swim_probe *probe)
{
    uint32_t missed = probe->nacks_wanted - probe->nacks;
    probe->active = false;
    swim_probe_health(s, probe->nacks_wanted > 0 ? (int32_t)missed : 1);
    if (swim_up(probe->target->claim.state)) swim_member_suspect(s, probe->target);
}

static void probe_step(struct swim *s, struct swim_probe *probe)
{
    /* The link broke, its own ping has had its time, and nobody else reaches it either. */
    bool hopeless = probe->fast && probe->nacks_wanted > 0 && probe->nacks == probe->nacks_wanted;
    if (!swim_up(probe->target->claim.state)) {
        probe->active = false;
    } else if (s->now_ms >= probe->deadline_ms || (hopeless && s->now_ms >= probe->timeout_ms)) {
        fail(s, probe);
    } else if (s->now_ms >= probe->timeout_ms && !probe->second_sent) {
        if (!probe->fast)
            send_indirect(s, probe);
        else
            send_ping(s, probe->target, probe->seq); /* its link may be up again */
        probe->second_sent = true;
    }
}

static void relay_step(struct swim *s, struct swim_relay *relay)
{
    if (!relay->nacked && s->now_ms >= relay->nack_ms) {
        relay->nacked = true;
        struct swim_packet p = {.type = SWIM_NACK, .seq = relay->their_seq};
        swim_send(s, relay->from_addr, relay->from_name, &p);
    }
    if (s->now_ms >= relay->end_ms) relay->active = false;
}

void swim_probe_tick(struct swim *s)
{
    for (uint32_t i = 0; i < SWIM_RELAYS_MAX; i++)
        if (s->relays[i].active) relay_step(s, &s->relays[i]);
    if (!runs(s)) return;
    for (uint32_t i = 0; i < SWIM_PROBES_MAX; i++)
        if (s->probes[i].active) probe_step(s, &s->probes[i]);
    if (s->now_ms < s->probe_next_ms) return;
    struct swim_node *target = next_target(s);
    if (target != NULL) begin(s, target, false);
    s->probe_next_ms = s->now_ms + scaled(s, s->config.probe_interval_ms);
}

uint64_t swim_probe_deadline(const struct swim *s)
{
    uint64_t at = UINT64_MAX;
    for (uint32_t i = 0; i < SWIM_RELAYS_MAX; i++) {
        const struct swim_relay *r = &s->relays[i];
        uint64_t due = r->nacked ? r->end_ms : r->nack_ms;
        if (r->active && due < at) at = due;
    }
    if (!runs(s)) return at;
    for (uint32_t i = 0; i < SWIM_PROBES_MAX; i++) {
        const struct swim_probe *p = &s->probes[i];
        uint64_t due = p->second_sent ? p->deadline_ms : p->timeout_ms;
        if (p->active && due < at) at = due;
    }
    return s->probe_next_ms < at ? s->probe_next_ms : at;
}

void swim_probe_link_lost(struct swim *s, struct swim_node *n)
{
    if (!runs(s) || !swim_up(n->claim.state)) return;
    for (uint32_t i = 0; i < SWIM_PROBES_MAX; i++)
        if (s->probes[i].active && s->probes[i].fast && s->probes[i].target == n) return;
    struct swim_probe *probe = begin(s, n, true);
    if (probe != NULL) send_indirect(s, probe);
}

void swim_probe_forget(struct swim *s, const struct swim_node *n)
{
    for (uint32_t i = 0; i < SWIM_PROBES_MAX; i++)
        if (s->probes[i].target == n) s->probes[i] = (struct swim_probe){.active = false};
}

void swim_probe_shift(struct swim *s, uint64_t late_ms)
{
    for (uint32_t i = 0; i < SWIM_PROBES_MAX; i++) {
        struct swim_probe *p = &s->probes[i];
        if (!p->active) continue;
        p->timeout_ms += late_ms;
        p->deadline_ms += late_ms;
    }
    for (uint32_t i = 1; i < s->node_count; i++)
        if (s->nodes[i]->claim.state == SWIM_SUSPECT) s->nodes[i]->suspicion.start_ms += late_ms;
    swim_probe_health(s, 1);
}

static void send_ack(struct swim *s, const char *addr, const char *to_name, uint32_t seq)
{
    swim_send(s, addr, to_name, &(struct swim_packet){.type = SWIM_ACK, .seq = seq});
}

void swim_probe_on_ping(struct swim *s, const char *from, const struct swim_packet *p)
{
    char addr[DUN_ADDR_MAX + 1];
    swim_copy(addr, sizeof addr, p->from_addr);
    /* A ping for another name that had our address must not keep that one alive, nor one
     * for our former life us, before it is clear that the name is ours. */
    if (s->join == SWIM_JOIN_DONE && dun_slice_is(p->target, s->self->name))
        send_ack(s, addr, from, p->seq);
    swim_pushpull_ask_stranger(s, from, p);
}

void swim_probe_on_ack(struct swim *s, const char *from, const struct swim_packet *p)
{
    for (uint32_t i = 0; i < SWIM_PROBES_MAX; i++) {
        struct swim_probe *probe = &s->probes[i];
        if (!probe->active || probe->seq != p->seq) continue;
        probe->active = false;
        swim_probe_health(s, -1);
        return;
    }
    for (uint32_t i = 0; i < SWIM_RELAYS_MAX; i++) {
        struct swim_relay *relay = &s->relays[i];
        if (!relay->active || relay->seq != p->seq || strcmp(relay->target, from) != 0) continue;
        relay->active = false;
        send_ack(s, relay->from_addr, relay->from_name, relay->their_seq);
        return;
    }
}

void swim_probe_on_nack(struct swim *s, const struct swim_packet *p)
{
    for (uint32_t i = 0; i < SWIM_PROBES_MAX; i++) {
        struct swim_probe *probe = &s->probes[i];
        if (!probe->active || probe->seq != p->seq) continue;
        if (probe->nacks < probe->nacks_wanted) probe->nacks++;
        probe_step(s, probe);
        return;
    }
}

void swim_probe_on_ping_req(struct swim *s, const char *from, const struct swim_packet *p)
{
    char addr[DUN_ADDR_MAX + 1];
    swim_copy(addr, sizeof addr, p->from_addr);
    if (s->join != SWIM_JOIN_DONE) return;
    if (dun_slice_is(p->target, s->self->name)) {
        send_ack(s, addr, from, p->seq);
        return;
    }
    struct swim_relay *relay = NULL;
    for (uint32_t i = 0; i < SWIM_RELAYS_MAX && relay == NULL; i++)
        if (!s->relays[i].active) relay = &s->relays[i];
    if (relay == NULL) return; /* a missed nack: the asker takes its time */
    *relay = (struct swim_relay){.active = true,
                                 .seq = ++s->seq,
                                 .their_seq = p->seq,
                                 .nack_ms = s->now_ms + s->config.probe_timeout_ms * 4 / 5,
                                 .end_ms = s->now_ms + s->config.probe_interval_ms};
    swim_copy(relay->target, sizeof relay->target, p->target);
    swim_copy(relay->from_name, sizeof relay->from_name, dun_slice_str(from));
    swim_copy(relay->from_addr, sizeof relay->from_addr, p->from_addr);
    char target_addr[DUN_ADDR_MAX + 1];
    swim_copy(target_addr, sizeof target_addr, p->target_addr);
    struct swim_packet ping = {
        .type = SWIM_PING, .seq = relay->seq, .target = dun_slice_str(relay->target)};
    swim_send(s, target_addr, relay->target, &ping);
}
