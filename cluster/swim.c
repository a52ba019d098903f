/* cluster/swim.c: create, step, dispatch, queries, invariants.
 * Why: each entry point is one step: clear what the last one gave, work, tell
 * what is new, fill the results, say when to come back.
 * The invariants are those of swim.h; swim_check() asserts them. */
#include "base/alloc.h"
#include "base/assert.h"
#include "cluster/swim_internal.h"

static void set_default(uint32_t *value, uint32_t fallback)
{
    if (*value == 0) *value = fallback;
}

static dun_err check_config(const struct swim_config *c)
{
    const char *wrong = NULL;
    if (c->name == NULL || !swim_name_ok(dun_slice_str(c->name)))
        wrong = "name";
    else if (c->addr == NULL || !swim_addr_ok(dun_slice_str(c->addr)))
        wrong = "addr";
    else if (c->seed_count > DUN_SEEDS_MAX)
        wrong = "seeds";
    else if (c->meta.len > DUN_META_MAX)
        wrong = "meta";
    else if (c->probe_interval_ms > SWIM_TIMING_MS_MAX || c->probe_timeout_ms > SWIM_TIMING_MS_MAX)
        wrong = "probe_timing";
    else if (c->suspicion_mult > SWIM_MULT_MAX || c->suspicion_max_mult > SWIM_MULT_MAX ||
             c->retransmit_mult > SWIM_MULT_MAX)
        wrong = "multiplier";
    for (uint32_t i = 0; wrong == NULL && i < c->seed_count; i++)
        if (c->seeds[i] == NULL || !swim_addr_ok(dun_slice_str(c->seeds[i]))) wrong = "seeds";
    if (wrong == NULL) return DUN_OK;
    dun_log(c->log, DUN_LOG_ERROR,
            "swim_config_bad field=%s hint=\"printable, not empty, name <= %d, address <= %d, "
            "metadata <= %d bytes, at most %d seeds, times <= %d ms, multipliers <= %d\"",
            wrong, DUN_NAME_MAX, DUN_ADDR_MAX, DUN_META_MAX, DUN_SEEDS_MAX, SWIM_TIMING_MS_MAX,
            SWIM_MULT_MAX);
    return DUN_E_CONFIG;
}

static void take_config(struct swim *s, const struct swim_config *c)
{
    s->config = *c;
    set_default(&s->config.probe_interval_ms, 300);
    set_default(&s->config.probe_timeout_ms, 100);
    set_default(&s->config.indirect_count, 3);
    set_default(&s->config.suspicion_mult, 4);
    set_default(&s->config.suspicion_max_mult, 2);
    set_default(&s->config.retransmit_mult, 4);
    set_default(&s->config.pushpull_interval_ms, 10000);
    set_default(&s->config.dead_reclaim_ms, 60000);
    if (s->config.indirect_count > SWIM_INDIRECT_MAX) s->config.indirect_count = SWIM_INDIRECT_MAX;
    if (c->log != NULL)
        s->log = *c->log;
    else
        s->log.level_min = (enum dun_log_level)(DUN_LOG_ERROR + 1); /* write is never called */
    for (uint32_t i = 0; i < c->seed_count; i++) {
        struct swim_seed *seed = &s->seeds[s->seed_count++];
        swim_copy(seed->addr, sizeof seed->addr, dun_slice_str(c->seeds[i]));
        seed->self = strcmp(seed->addr, c->addr) == 0;
    }
}

dun_err swim_create(struct swim **out, const struct swim_config *c)
{
    dun_err e = check_config(c);
    if (e != DUN_OK) return e;
    struct swim *s = dun_calloc(1, sizeof *s);
    take_config(s, c);
    swim_out_init(s);
    dun_prng_seed(&s->prng, c->prng_seed);
    s->hash_key = dun_prng_next(&s->prng);
    s->seq = (uint32_t)dun_prng_next(&s->prng); /* an answer to an earlier life matches nothing */
    s->self = swim_member_add(s, dun_slice_str(c->name));
    swim_copy(s->self->addr, sizeof s->self->addr, dun_slice_str(c->addr));
    if (c->meta.len != 0) memcpy(s->self->meta, c->meta.data, c->meta.len);
    s->self->meta_len = (uint32_t)c->meta.len;
    s->self->claim = (struct swim_claim){.boot = c->boot, .incarnation = 0, .state = SWIM_ALIVE};
    s->live_count = 1;
    *out = s;
    return DUN_OK;
}

void swim_destroy(struct swim *s)
{
    if (s == NULL) return;
    swim_out_deinit(s);
    for (uint32_t i = 0; i < s->node_count; i++)
        dun_free(s->nodes[i]);
    dun_map_deinit(&s->by_name);
    dun_free(s);
}

static void step_begin(struct swim *s, uint64_t now_ms)
{
    DUN_ASSERT(!s->started || now_ms >= s->now_ms);
    swim_out_clear(s);
    bool first = !s->started;
    /* A process that was stopped or starved would blame everyone at once. */
    if (!first && now_ms > s->deadline_ms + s->config.probe_interval_ms)
        swim_probe_shift(s, now_ms - s->deadline_ms);
    s->started = true;
    s->now_ms = now_ms;
    if (first) swim_join_start(s);
}

static void step_end(struct swim *s, const struct swim_out **out)
{
    s->tell_self = false;
    swim_gossip_flush(s);
    swim_out_fill(s);
    uint64_t at = s->now_ms + SWIM_IDLE_MS;
    uint64_t due[] = {swim_join_deadline(s), swim_probe_deadline(s), swim_pushpull_deadline(s),
                      s->self->claim.state == SWIM_LEFT ? UINT64_MAX : swim_member_deadline(s),
                      s->gossip_count > 0 && s->join == SWIM_JOIN_DONE &&
                              s->self->claim.state != SWIM_LEFT && s->live_count > 1
                          ? s->gossip_next_ms
                          : UINT64_MAX};
    for (size_t i = 0; i < DUN_COUNT(due); i++)
        if (due[i] < at) at = due[i];
    if (s->packets != NULL || s->events != NULL) at = s->now_ms;
    s->deadline_ms = at;
    *out = &s->out;
}

void swim_tick(struct swim *s, uint64_t now_ms, const struct swim_out **out)
{
    step_begin(s, now_ms);
    swim_join_tick(s);
    if (s->self->claim.state != SWIM_LEFT) {
        swim_suspicion_tick(s);
        swim_member_reclaim(s);
    }
    swim_probe_tick(s);
    swim_pushpull_tick(s);
    step_end(s, out);
}

uint64_t swim_deadline_ms(const struct swim *s)
{
    return s->deadline_ms; /* 0, at once, before the first step */
}

static void apply_entries(struct swim *s, const char *from, const struct swim_packet *p)
{
    bool exchange = p->type == SWIM_PUSH_PULL || p->type == SWIM_PUSH_PULL_REPLY;
    struct dun_slice rest = p->entries;
    for (uint32_t i = 0; i < p->entry_count; i++) {
        struct swim_entry e = swim_wire_next_entry(&rest);
        swim_member_apply(s, &e, exchange, from);
    }
}

static void dispatch(struct swim *s, const char *from, const struct swim_packet *p)
{
    apply_entries(s, from, p);
    switch (p->type) {
    case SWIM_PING: swim_probe_on_ping(s, from, p); return;
    case SWIM_ACK: swim_probe_on_ack(s, from, p); return;
    case SWIM_NACK: swim_probe_on_nack(s, p); return;
    case SWIM_PING_REQ: swim_probe_on_ping_req(s, from, p); return;
    case SWIM_PUSH_PULL:
        swim_join_on_table(s, from, p);
        swim_pushpull_answer(s, from, p);
        return;
    case SWIM_PUSH_PULL_REPLY: swim_join_on_table(s, from, p); return;
    case SWIM_GOSSIP:
    case SWIM_WHO: /* we do not bear the name that is looked for: no answer */
    case SWIM_WHO_ACK: /* only a namesake's answer matters */ return;
    }
    DUN_UNREACHABLE();
}

static dun_err receive(struct swim *s, const char *from, uint64_t from_boot,
                       const struct swim_packet *p)
{
    if (strcmp(from, s->self->name) == 0) return swim_join_on_namesake(s, from_boot, p);
    const struct swim_node *n = swim_member_get(s, dun_slice_str(from));
    if (n != NULL && from_boot < n->claim.boot) {
        if (p->type != SWIM_PUSH_PULL) return DUN_E_STALE;
        swim_pushpull_answer(s, from, p); /* not believed, but told that it is outlived */
        return DUN_OK;
    }
    dispatch(s, from, p);
    return DUN_OK;
}

dun_err swim_recv(struct swim *s, uint64_t now_ms, const char *from_name, uint64_t from_boot,
                  struct dun_slice packet, const struct swim_out **out)
{
    struct swim_packet p;
    dun_err e = DUN_E_MALFORMED;
    if (swim_name_ok(dun_slice_str(from_name))) e = swim_wire_read(packet, &p);
    if (e == DUN_OK && s->events_queued >= SWIM_EVENTS_QUEUED_MAX) e = DUN_E_FULL;
    if (e != DUN_OK) {
        swim_out_clear(s);
        *out = &s->out;
        return e;
    }
    step_begin(s, now_ms);
    e = receive(s, from_name, from_boot, &p);
    step_end(s, out);
    return e;
}

void swim_link_lost(struct swim *s, uint64_t now_ms, const char *addr, const struct swim_out **out)
{
    step_begin(s, now_ms);
    struct swim_node *n = swim_member_by_addr(s, addr);
    if (n != NULL) swim_probe_link_lost(s, n);
    step_end(s, out);
}

void swim_set_meta(struct swim *s, uint64_t now_ms, struct dun_slice meta,
                   const struct swim_out **out)
{
    DUN_ASSERT(meta.len <= DUN_META_MAX);
    step_begin(s, now_ms);
    if (meta.len != 0) memmove(s->self->meta, meta.data, meta.len);
    s->self->meta_len = (uint32_t)meta.len;
    if (s->self->claim.state != SWIM_LEFT) swim_join_raise(s, s->self->claim.incarnation + 1);
    step_end(s, out);
}

void swim_leave(struct swim *s, uint64_t now_ms, const struct swim_out **out)
{
    step_begin(s, now_ms);
    if (s->self->claim.state != SWIM_LEFT) {
        s->self->claim.state = SWIM_LEFT;
        s->live_count--;
        s->tell_self = true;
        for (uint32_t i = 1; i < s->node_count; i++) {
            const struct swim_node *n = s->nodes[i];
            if (!swim_up(n->claim.state)) continue;
            swim_send(s, n->addr, n->name, &(struct swim_packet){.type = SWIM_GOSSIP});
        }
        dun_log(&s->log, DUN_LOG_INFO, "swim_leave told=%u", (unsigned)s->live_count);
    }
    step_end(s, out);
}

uint32_t swim_count(const struct swim *s)
{
    return s->node_count;
}

struct swim_member swim_member_at(const struct swim *s, uint32_t i)
{
    DUN_ASSERT(i < s->node_count);
    return swim_view(s->nodes[i]);
}

bool swim_find(const struct swim *s, const char *name, struct swim_member *out)
{
    const struct swim_node *n = swim_member_get(s, dun_slice_str(name));
    if (n == NULL) return false;
    *out = swim_view(n);
    return true;
}

bool swim_joined(const struct swim *s)
{
    return s->join == SWIM_JOIN_DONE;
}

uint32_t swim_health(const struct swim *s)
{
    return s->health;
}

static void check_node(const struct swim *s, const struct swim_node *n)
{
    DUN_ASSERT(swim_member_get(s, dun_slice_str(n->name)) == n);
    DUN_ASSERT(n->addr[0] != '\0' && n->meta_len <= DUN_META_MAX);
    DUN_ASSERT(n->claim.incarnation <= SWIM_INCARNATION_MAX);
    DUN_ASSERT(n->tx_left <= swim_gossip_limit(DUN_PEERS_MAX, s->config.retransmit_mult));
    if (n->claim.state != SWIM_SUSPECT) return;
    DUN_ASSERT(n->suspicion.count >= 1 && n->suspicion.count <= 1 + SWIM_CONFIRMATIONS_MAX);
    DUN_ASSERT(n->suspicion.min_ms <= n->suspicion.max_ms && n->origin[0] != '\0');
}

void swim_check(const struct swim *s)
{
    uint32_t live = 0, gossip = 0;
    DUN_ASSERT(s->node_count >= 1 && s->node_count <= DUN_PEERS_MAX);
    DUN_ASSERT(s->by_name.count == s->node_count && s->nodes[0] == s->self);
    DUN_ASSERT(s->self->claim.state == SWIM_ALIVE || s->self->claim.state == SWIM_LEFT);
    for (uint32_t i = 0; i < s->node_count; i++) {
        check_node(s, s->nodes[i]);
        live += swim_up(s->nodes[i]->claim.state);
        gossip += s->nodes[i]->tx_left > 0;
    }
    DUN_ASSERT(live == s->live_count && gossip == s->gossip_count);
    for (uint32_t i = 0; i + 1 < s->node_count; i++)
        DUN_ASSERT(swim_member_get(s, dun_slice_str(s->order[i]->name)) == s->order[i]);
    DUN_ASSERT(s->order_next < s->node_count);
    DUN_ASSERT(s->health <= SWIM_HEALTH_MAX);
    for (uint32_t i = 0; i < SWIM_PROBES_MAX; i++) {
        const struct swim_probe *p = &s->probes[i];
        if (!p->active) continue;
        DUN_ASSERT(p->target != s->self && p->nacks <= p->nacks_wanted);
        DUN_ASSERT(swim_member_get(s, dun_slice_str(p->target->name)) == p->target);
    }
    if (s->join != SWIM_JOIN_DONE) DUN_ASSERT(s->self->tx_left == 0);
}
