/* cluster/swim_member.c: the table, and which claim wins.
 * Why: all that arrives about a member, by whatever way, passes one rule, so
 * peers that heard the same claims in any order agree.
 * Source: SWIM (DSN 2002), section 4.2.
 * (1) by_name, nodes[] and order[] hold the same members; nodes[0] is ourselves.
 * (2) live_count == members alive or suspect, ourselves included.
 * (3) A dead member stays as a tombstone for dead_reclaim_ms, so an old claim
 *     that it lives cannot bring it back.
 * swim_check() asserts (1) and (2). */
#include "base/alloc.h"
#include "base/assert.h"
#include "cluster/swim_internal.h"

#include <inttypes.h>

void swim_copy(char *to, size_t size, struct dun_slice from)
{
    DUN_ASSERT(from.len < size);
    if (from.len != 0) memcpy(to, from.data, from.len);
    to[from.len] = '\0';
}

bool swim_up(enum swim_state state)
{
    return state == SWIM_ALIVE || state == SWIM_SUSPECT;
}

static int rank(enum swim_state state)
{
    switch (state) {
    case SWIM_ALIVE: return 0;
    case SWIM_SUSPECT: return 1;
    case SWIM_DEAD:
    case SWIM_LEFT: return 2;
    }
    DUN_UNREACHABLE();
}

bool swim_supersedes(const struct swim_claim *a, const struct swim_claim *b)
{
    if (a->boot != b->boot) return a->boot > b->boot;
    if (a->incarnation != b->incarnation) return a->incarnation > b->incarnation;
    return rank(a->state) > rank(b->state);
}

static uint64_t hash_name(const struct swim *s, struct dun_slice name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ s->hash_key; /* FNV-1a, keyed */
    for (size_t i = 0; i < name.len; i++)
        h = (h ^ name.data[i]) * UINT64_C(0x100000001b3);
    return h ^ h >> 32;
}

static bool name_is(const struct dun_map_node *link, const void *key)
{
    const struct swim_node *n = (const struct swim_node *)(const void *)link;
    return dun_slice_is(*(const struct dun_slice *)key, n->name);
}

_Static_assert(offsetof(struct swim_node, link) == 0, "name_is() reads the node from its link");

struct swim_node *swim_member_get(const struct swim *s, struct dun_slice name)
{
    struct dun_map_node *link = dun_map_find(&s->by_name, hash_name(s, name), name_is, &name);
    return link == NULL ? NULL : DUN_CONTAINER(link, struct swim_node, link);
}

struct swim_node *swim_member_by_addr(const struct swim *s, const char *addr)
{
    struct swim_node *down = NULL;
    for (uint32_t i = 1; i < s->node_count; i++) {
        struct swim_node *n = s->nodes[i];
        if (strcmp(n->addr, addr) != 0) continue;
        if (swim_up(n->claim.state)) return n;
        down = n;
    }
    return down;
}

struct swim_node *swim_member_add(struct swim *s, struct dun_slice name)
{
    if (s->node_count >= DUN_PEERS_MAX) {
        dun_log(&s->log, DUN_LOG_WARN,
                "swim_table_full member=%.*s limit=%d hint=\"remove unused peers\"", (int)name.len,
                (const char *)name.data, DUN_PEERS_MAX);
        return NULL;
    }
    struct swim_node *n = dun_calloc(1, sizeof *n);
    swim_copy(n->name, sizeof n->name, name);
    n->claim.state = SWIM_DEAD; /* until a claim is applied */
    dun_map_insert(&s->by_name, &n->link, hash_name(s, name));
    uint32_t i = s->node_count++;
    s->nodes[i] = n;
    if (i == 0) return n;
    /* A random place among the turns, so that joiners are not probed all at the end. */
    uint32_t count = i - 1;
    uint32_t at = (uint32_t)dun_prng_range(&s->prng, 0, count);
    memmove(&s->order[at + 1], &s->order[at], (count - at) * sizeof s->order[0]);
    s->order[at] = n;
    if (at < s->order_next) s->order_next++;
    return n;
}

static void remove_node(struct swim *s, uint32_t i)
{
    struct swim_node *n = s->nodes[i];
    DUN_ASSERT(i > 0 && !swim_up(n->claim.state));
    swim_gossip_cancel(s, n);
    swim_probe_forget(s, n);
    uint32_t at = 0;
    while (s->order[at] != n)
        at++;
    DUN_ASSERT(at < s->node_count - 1);
    memmove(&s->order[at], &s->order[at + 1], (s->node_count - 2 - at) * sizeof s->order[0]);
    if (at < s->order_next) s->order_next--;
    memmove(&s->nodes[i], &s->nodes[i + 1], (s->node_count - 1 - i) * sizeof s->nodes[0]);
    s->node_count--;
    dun_map_remove(&s->by_name, &n->link);
    dun_free(n);
}

/* The only writer of a known member's claim. */
static void claim_set(struct swim *s, struct swim_node *n, const struct swim_claim *c)
{
    if (swim_up(n->claim.state) && !swim_up(c->state)) s->live_count--;
    if (!swim_up(n->claim.state) && swim_up(c->state)) s->live_count++;
    if (n->claim.state != c->state) n->changed_ms = s->now_ms;
    n->claim = *c;
}

static bool identity_set(struct swim_node *n, const struct swim_entry *e)
{
    if (!e->full) return false;
    bool same =
        dun_slice_is(e->addr, n->addr) && dun_slice_eq(e->meta, dun_slice(n->meta, n->meta_len));
    swim_copy(n->addr, sizeof n->addr, e->addr);
    if (e->meta.len != 0) memcpy(n->meta, e->meta.data, e->meta.len);
    n->meta_len = (uint32_t)e->meta.len;
    return !same;
}

static const char *state_name(enum swim_state state)
{
    static const char *const names[] = {"alive", "suspect", "dead", "left"};
    return names[state];
}

static void log_state(const struct swim *s, const struct swim_node *n, const char *by)
{
    dun_log(&s->log, n->claim.state == SWIM_ALIVE ? DUN_LOG_INFO : DUN_LOG_WARN,
            "swim_member name=%s state=%s boot=%" PRIu64 " incarnation=%" PRIu32 " addr=%s by=%s",
            n->name, state_name(n->claim.state), n->claim.boot, n->claim.incarnation, n->addr, by);
}

/* The claim @c, which won, becomes ours: change, events, dissemination. */
static void take(struct swim *s, struct swim_node *n, const struct swim_claim *c,
                 struct dun_slice origin, const struct swim_entry *e, const char *from)
{
    struct swim_claim was = n->claim;
    bool was_up = swim_up(was.state), again = !was_up || was.boot != c->boot;
    bool changed = identity_set(n, e);
    claim_set(s, n, c);
    if (c->state == SWIM_SUSPECT) swim_suspicion_start(s, n, origin);
    if (was.state != c->state || was.boot != c->boot) log_state(s, n, from);
    if (swim_up(c->state)) {
        bool was_suspect = !again && was.state == SWIM_SUSPECT;
        if (again) swim_out_event(s, SWIM_EV_JOINED, n);
        if (changed && !again) swim_out_event(s, SWIM_EV_UPDATED, n);
        if (c->state == SWIM_ALIVE && was_suspect) swim_out_event(s, SWIM_EV_ALIVE, n);
        if (c->state == SWIM_SUSPECT && !was_suspect) swim_out_event(s, SWIM_EV_SUSPECT, n);
    } else if (was_up) {
        swim_out_event(s, c->state == SWIM_LEFT ? SWIM_EV_LEFT : SWIM_EV_DEAD, n);
    } else {
        return; /* one tombstone in place of another is no news */
    }
    swim_gossip_queue(s, n);
}

void swim_member_apply(struct swim *s, const struct swim_entry *e, bool exchange, const char *from)
{
    if (dun_slice_is(e->name, s->self->name)) {
        swim_join_about_self(s, e);
        return;
    }
    struct swim_claim c = e->claim;
    struct dun_slice origin = e->origin;
    struct swim_node *n = swim_member_get(s, e->name);
    if (n == NULL) {
        /* The dead are not learned: two peers would hand each other a tombstone for ever. */
        if (!e->full || !swim_up(c.state)) return;
        n = swim_member_add(s, e->name);
        if (n != NULL) take(s, n, &c, origin, e, from);
        return;
    }
    if (c.boot != n->claim.boot && !e->full) return; /* a life whose address we do not know */
    if (exchange && c.state == SWIM_DEAD && swim_up(n->claim.state)) {
        c.state = SWIM_SUSPECT; /* after a partition both sides are wrong about the other */
        origin = dun_slice_str(from);
    }
    bool same_life = c.boot == n->claim.boot && c.incarnation == n->claim.incarnation;
    if (same_life && c.state == SWIM_SUSPECT && n->claim.state == SWIM_SUSPECT) {
        if (swim_suspicion_confirm(n, origin)) swim_gossip_queue(s, n);
    } else if (swim_supersedes(&c, &n->claim)) {
        take(s, n, &c, origin, e, from);
    }
}

static void decide(struct swim *s, struct swim_node *n, enum swim_state state)
{
    struct swim_claim c = n->claim;
    c.state = state;
    struct swim_entry nothing = {.full = false};
    take(s, n, &c, dun_slice_str(s->self->name), &nothing, s->self->name);
}

void swim_member_suspect(struct swim *s, struct swim_node *n)
{
    DUN_ASSERT(n != s->self && swim_up(n->claim.state));
    if (n->claim.state == SWIM_ALIVE) {
        decide(s, n, SWIM_SUSPECT);
    } else if (swim_suspicion_confirm(n, dun_slice_str(s->self->name))) {
        swim_gossip_queue(s, n);
    }
}

void swim_member_dead(struct swim *s, struct swim_node *n)
{
    DUN_ASSERT(n != s->self && n->claim.state == SWIM_SUSPECT);
    decide(s, n, SWIM_DEAD);
}

void swim_member_reclaim(struct swim *s)
{
    for (uint32_t i = s->node_count; i-- > 1;) {
        const struct swim_node *n = s->nodes[i];
        if (swim_up(n->claim.state)) continue;
        if (n->changed_ms + s->config.dead_reclaim_ms <= s->now_ms) remove_node(s, i);
    }
}

uint64_t swim_member_deadline(const struct swim *s)
{
    uint64_t at = UINT64_MAX;
    for (uint32_t i = 1; i < s->node_count; i++) {
        const struct swim_node *n = s->nodes[i];
        uint64_t due = UINT64_MAX;
        if (n->claim.state == SWIM_SUSPECT)
            due = swim_suspicion_deadline(n);
        else if (!swim_up(n->claim.state))
            due = n->changed_ms + s->config.dead_reclaim_ms;
        if (due < at) at = due;
    }
    return at;
}

uint32_t swim_member_pick(struct swim *s, uint32_t max, const struct swim_node *but,
                          struct swim_node **out)
{
    uint16_t candidates[DUN_PEERS_MAX];
    uint32_t count = 0, picked = 0;
    for (uint32_t i = 1; i < s->node_count; i++)
        if (s->nodes[i] != but && swim_up(s->nodes[i]->claim.state))
            candidates[count++] = (uint16_t)i;
    while (picked < max && count > 0) {
        uint32_t at = (uint32_t)dun_prng_range(&s->prng, 0, count - 1);
        out[picked++] = s->nodes[candidates[at]];
        candidates[at] = candidates[--count];
    }
    return picked;
}
