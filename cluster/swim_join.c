/* cluster/swim_join.c: finding the cluster, and whether our name is free.
 * Why: a peer started under a name that is in use must not push the living
 * bearer out; a peer restarted under its own name, even at a new address, must
 * get in. So nothing says that we live before someone's answer with its table
 * was seen and, if that shows our name alive elsewhere, that address was asked
 * who it is.
 * (1) Until DONE no packet claims that we are alive, and no member is probed.
 * (2) Only a newcomer raises CONFLICT; who has joined ignores the stranger.
 * (3) An OUTLIVED event is raised once for each newer boot. */
#include "base/assert.h"
#include "cluster/swim_internal.h"

#include <inttypes.h>

static void join_set(struct swim *s, enum swim_join to)
{
    static const uint8_t legal[] = {
        [SWIM_JOIN_SEEKING] = 1U << SWIM_JOIN_WHO | 1U << SWIM_JOIN_DONE | 1U << SWIM_JOIN_CONFLICT,
        [SWIM_JOIN_WHO] = 1U << SWIM_JOIN_SEEKING | 1U << SWIM_JOIN_DONE | 1U << SWIM_JOIN_CONFLICT,
        [SWIM_JOIN_DONE] = 0,
        [SWIM_JOIN_CONFLICT] = 0,
    };
    DUN_ASSERT(legal[s->join] & 1U << to);
    s->join = to;
}

/* An address or name of a peer that should hear of us first; NULL: all seeds. */
static void settle(struct swim *s, const char *addr, const char *name)
{
    join_set(s, SWIM_JOIN_DONE);
    dun_log(&s->log, DUN_LOG_INFO, "swim_joined name=%s boot=%" PRIu64 " members=%" PRIu32,
            s->self->name, s->self->claim.boot, s->live_count);
    swim_probe_start(s);
    swim_pushpull_start(s);
    swim_gossip_queue(s, s->self);
    if (addr != NULL) {
        swim_pushpull_ask(s, addr, name, 0);
        return;
    }
    for (uint32_t i = 0; i < s->seed_count; i++)
        if (!s->seeds[i].self) swim_pushpull_ask_seed(s, i);
}

static bool alone(const struct swim *s)
{
    for (uint32_t i = 0; i < s->seed_count; i++)
        if (!s->seeds[i].self) return false;
    return true;
}

void swim_join_start(struct swim *s)
{
    s->joined_after_ms = s->now_ms + SWIM_JOIN_GRACE_MS;
    s->join_next_ms = s->now_ms;
    s->join_backoff_ms = SWIM_JOIN_BACKOFF_MS_MIN;
    if (alone(s)) settle(s, NULL, NULL);
}

static void outlived(struct swim *s, uint64_t boot)
{
    if (s->outlived && boot <= s->outlived_boot) return;
    s->outlived = true;
    s->outlived_boot = boot;
    dun_log(&s->log, DUN_LOG_WARN,
            "swim_outlived name=%s boot=%" PRIu64 " known=%" PRIu64
            " hint=\"start again with a boot above the known one\"",
            s->self->name, s->self->claim.boot, boot);
    struct swim_node shown = *s->self;
    shown.claim.boot = boot;
    swim_out_event(s, SWIM_EV_OUTLIVED, &shown);
}

static void who_send(struct swim *s)
{
    swim_send(s, s->who_addr, "", &(struct swim_packet){.type = SWIM_WHO, .seq = ++s->seq});
    s->who_next_ms = s->now_ms + SWIM_WHO_RETRY_MS;
}

static void who_start(struct swim *s, const struct swim_entry *e)
{
    join_set(s, SWIM_JOIN_WHO);
    swim_copy(s->who_addr, sizeof s->who_addr, e->addr);
    s->who_boot = e->claim.boot;
    s->who_end_ms = s->now_ms + SWIM_WHO_TIMEOUT_MS;
    dun_log(&s->log, DUN_LOG_INFO, "swim_name_known name=%s at=%s asking=who", s->self->name,
            s->who_addr);
    who_send(s);
}

static void conflict(struct swim *s, struct dun_slice addr, uint64_t boot)
{
    join_set(s, SWIM_JOIN_CONFLICT);
    struct swim_node other = *s->self;
    swim_copy(other.addr, sizeof other.addr, addr);
    other.claim.boot = boot;
    other.meta_len = 0;
    dun_log(&s->log, DUN_LOG_ERROR,
            "swim_conflict name=%s ours=%s theirs=%s hint=\"give each peer its own name\"",
            s->self->name, s->self->addr, other.addr);
    swim_out_event(s, SWIM_EV_CONFLICT, &other);
}

static void who_end(struct swim *s)
{
    if (s->who_boot >= s->self->claim.boot) {
        join_set(s, SWIM_JOIN_SEEKING);
        outlived(s, s->who_boot);
        return;
    }
    settle(s, NULL, NULL); /* our former life, at an older address */
}

static void seek(struct swim *s)
{
    for (uint32_t i = 0; i < s->seed_count; i++)
        if (!s->seeds[i].self) swim_pushpull_ask_seed(s, i);
    uint64_t backoff = s->join_backoff_ms;
    s->join_next_ms = s->now_ms + dun_prng_range(&s->prng, backoff * 3 / 4, backoff * 5 / 4);
    s->join_backoff_ms =
        backoff * 2 > SWIM_JOIN_BACKOFF_MS_MAX ? SWIM_JOIN_BACKOFF_MS_MAX : (uint32_t)backoff * 2;
}

static bool all_heard(const struct swim *s)
{
    for (uint32_t i = 0; i < s->seed_count; i++)
        if (!s->seeds[i].self && !s->seeds[i].heard) return false;
    return true;
}

/* Newcomers know little: their word counts only when no better one came. */
static bool newcomers_suffice(const struct swim *s)
{
    return s->newcomer_heard && (all_heard(s) || s->now_ms >= s->joined_after_ms);
}

void swim_join_tick(struct swim *s)
{
    if (s->self->claim.state == SWIM_LEFT) return;
    if (s->join == SWIM_JOIN_WHO) {
        if (s->now_ms >= s->who_end_ms)
            who_end(s);
        else if (s->now_ms >= s->who_next_ms)
            who_send(s);
    }
    if (s->join != SWIM_JOIN_SEEKING) return;
    if (!s->outlived && (alone(s) || newcomers_suffice(s)))
        settle(s, NULL, NULL);
    else if (s->now_ms >= s->join_next_ms)
        seek(s);
}

uint64_t swim_join_deadline(const struct swim *s)
{
    if (s->self->claim.state == SWIM_LEFT) return UINT64_MAX;
    switch (s->join) {
    case SWIM_JOIN_DONE:
    case SWIM_JOIN_CONFLICT: return UINT64_MAX;
    case SWIM_JOIN_WHO: return s->who_next_ms < s->who_end_ms ? s->who_next_ms : s->who_end_ms;
    case SWIM_JOIN_SEEKING:
        if (s->newcomer_heard && !s->outlived && s->joined_after_ms < s->join_next_ms)
            return s->joined_after_ms;
        return s->join_next_ms;
    }
    DUN_UNREACHABLE();
}

void swim_join_on_table(struct swim *s, const char *from, const struct swim_packet *p)
{
    for (uint32_t i = 0; i < s->seed_count; i++) {
        struct swim_seed *seed = &s->seeds[i];
        bool answered = p->type == SWIM_PUSH_PULL_REPLY && p->seq == i + 1;
        if (!answered && !dun_slice_is(p->from_addr, seed->addr)) continue;
        seed->heard = true;
        swim_copy(seed->name, sizeof seed->name, dun_slice_str(from));
    }
    if (s->join != SWIM_JOIN_SEEKING || s->outlived || s->self->claim.state == SWIM_LEFT) return;
    /* Of a large table this is one random part; the answer to a newcomer is all of it. */
    if (p->joined && p->type == SWIM_PUSH_PULL) {
        swim_pushpull_ask_stranger(s, from, p);
        return;
    }
    if (!p->joined) s->newcomer_heard = true;
    if (!p->joined && !newcomers_suffice(s)) return;
    char addr[DUN_ADDR_MAX + 1];
    swim_copy(addr, sizeof addr, p->from_addr);
    settle(s, addr, from);
}

void swim_join_raise(struct swim *s, uint32_t incarnation)
{
    DUN_ASSERT(incarnation > s->self->claim.incarnation);
    if (incarnation > SWIM_INCARNATION_MAX) {
        outlived(s, s->self->claim.boot); /* only a new boot has room above */
        return;
    }
    s->self->claim.incarnation = incarnation;
    swim_gossip_queue(s, s->self);
}

/* Someone's table shows our name before we are settled. */
static void about_newcomer(struct swim *s, const struct swim_entry *e)
{
    bool up = swim_up(e->claim.state) && e->full;
    if (s->join == SWIM_JOIN_CONFLICT) return;
    if (s->join == SWIM_JOIN_WHO) {
        if (e->claim.boot > s->who_boot) s->who_boot = e->claim.boot;
        return;
    }
    if (up && !s->outlived && !dun_slice_is(e->addr, s->self->addr))
        who_start(s, e);
    else if (e->claim.boot >= s->self->claim.boot)
        outlived(s, e->claim.boot);
}

void swim_join_about_self(struct swim *s, const struct swim_entry *e)
{
    const struct swim_claim *mine = &s->self->claim;
    if (s->join != SWIM_JOIN_DONE) {
        about_newcomer(s, e);
        return;
    }
    if (e->claim.boot > mine->boot) {
        outlived(s, e->claim.boot);
        return;
    }
    if (mine->state == SWIM_LEFT) return;
    if (e->claim.boot == mine->boot && swim_supersedes(&e->claim, mine)) {
        dun_log(&s->log, DUN_LOG_WARN, "swim_refute incarnation=%" PRIu32 " health=%" PRIu32,
                e->claim.incarnation + 1, s->health);
        if (e->claim.state != SWIM_ALIVE) swim_probe_health(s, 1);
        swim_join_raise(s, e->claim.incarnation + 1);
    } else if (e->claim.boot < mine->boot || e->claim.state != SWIM_ALIVE) {
        s->tell_self = true;
    }
}

static void stranger_log(struct swim *s, uint64_t boot, const struct swim_packet *p)
{
    if (s->stranger_boot == boot) return;
    s->stranger_boot = boot;
    dun_log(&s->log, DUN_LOG_WARN,
            "swim_stranger name=%s at=%.*s boot=%" PRIu64
            " hint=\"another peer was started with our name; it is ignored\"",
            s->self->name, (int)p->from_addr.len, (const char *)p->from_addr.data, boot);
}

/* Our own packet came back: a seed is ourselves under another address. */
static void on_reflection(struct swim *s, const struct swim_packet *p)
{
    if (p->type != SWIM_PUSH_PULL || p->seq == 0 || p->seq > s->seed_count) return;
    s->seeds[p->seq - 1].self = true;
}

static void answer_namesake(struct swim *s, uint64_t from_boot, const struct swim_packet *p)
{
    char addr[DUN_ADDR_MAX + 1];
    swim_copy(addr, sizeof addr, p->from_addr);
    stranger_log(s, from_boot, p);
    if (p->type == SWIM_PUSH_PULL) {
        swim_pushpull_answer(s, s->self->name, p);
        if (p->joined && from_boot > s->self->claim.boot) outlived(s, from_boot);
    } else if (s->self->claim.state != SWIM_LEFT) {
        swim_send(s, addr, s->self->name,
                  &(struct swim_packet){.type = SWIM_WHO_ACK, .seq = p->seq});
    }
}

dun_err swim_join_on_namesake(struct swim *s, uint64_t from_boot, const struct swim_packet *p)
{
    uint64_t boot = s->self->claim.boot;
    bool same_addr = dun_slice_is(p->from_addr, s->self->addr);
    if (from_boot == boot && (same_addr || p->type == SWIM_PUSH_PULL)) {
        on_reflection(s, p);
        return DUN_OK;
    }
    if (same_addr) { /* another life of this very peer; only one of them is current */
        if (from_boot < boot) return DUN_E_STALE;
        outlived(s, from_boot);
        return DUN_OK;
    }
    switch (p->type) {
    case SWIM_PUSH_PULL:
    case SWIM_WHO: answer_namesake(s, from_boot, p); return DUN_OK;
    case SWIM_PUSH_PULL_REPLY: /* of two newcomers the older one stays */
        if (p->joined || from_boot < boot) {
            if (s->join == SWIM_JOIN_SEEKING || s->join == SWIM_JOIN_WHO)
                conflict(s, p->from_addr, from_boot);
        }
        return DUN_OK;
    case SWIM_WHO_ACK:
        if (s->join == SWIM_JOIN_WHO && from_boot != boot &&
            dun_slice_is(p->from_addr, s->who_addr))
            conflict(s, p->from_addr, from_boot);
        return DUN_OK;
    case SWIM_PING:
    case SWIM_ACK:
    case SWIM_NACK:
    case SWIM_PING_REQ:
    case SWIM_GOSSIP: return from_boot < boot ? DUN_E_STALE : DUN_OK;
    }
    DUN_UNREACHABLE();
}
