/* cluster/swim_pushpull.c: whole-table exchange, lost seeds and dead members.
 * Why: piggyback is bounded, so some news is lost; and two halves that hold each
 * other for dead, or never met, have to find each other without an operator.
 * (1) A table packet holds at most about DUN_PACKET_SOFT_MAX bytes; a larger
 *     table goes in random parts; all of them at once to a newcomer, which would
 *     else be ignorant of some for minutes. Each part names ourselves and the
 *     receiver: a newcomer sees in the first that its name is in use, a living
 *     member held for dead in any that it has to refute.
 * (2) All repetition is paced: SWIM_RECONNECT_MS, SWIM_ASK_MS. */
#include "base/assert.h"
#include "cluster/swim_internal.h"

_Static_assert(DUN_PACKET_SOFT_MAX + SWIM_ENTRY_BYTES_MAX + SWIM_HEADER_BYTES_MAX <= DUN_PACKET_MAX,
               "a table packet fits the transport");

static bool runs(const struct swim *s)
{
    return s->join == SWIM_JOIN_DONE && s->self->claim.state != SWIM_LEFT;
}

static void add_entry(struct swim_packet *p, struct dun_buf *entries, const struct swim_node *n)
{
    swim_wire_write_entry(entries, n, true);
    p->entry_count++;
}

/* Ourselves, the receiver and, from nodes[1 + @first] on and around, as many of @others members
 * as fit; returns how many of these. */
static uint32_t send_part(struct swim *s, const char *addr, const char *to_name,
                          struct swim_packet p, uint32_t first, uint32_t others)
{
    struct dun_buf entries = {0};
    const struct swim_node *to = swim_member_get(s, dun_slice_str(to_name));
    uint32_t count = 0;
    p.joined = s->join == SWIM_JOIN_DONE;
    if (p.joined) add_entry(&p, &entries, s->self);
    if (to != NULL && to != s->self) add_entry(&p, &entries, to);
    for (; count < others && entries.len < DUN_PACKET_SOFT_MAX; count++) {
        const struct swim_node *n = s->nodes[1 + (first + count) % (s->node_count - 1)];
        if (n != to) add_entry(&p, &entries, n);
    }
    p.entries = dun_buf_view(&entries);
    swim_send(s, addr, to_name, &p);
    dun_buf_deinit(&entries);
    return count;
}

/* @whole: all parts of a large table, for who knows nothing yet. */
static void send_table(struct swim *s, const char *addr, const char *to_name,
                       enum swim_packet_type type, uint32_t token, bool whole)
{
    struct swim_packet p = {.type = type, .seq = token};
    uint32_t left = s->node_count - 1;
    uint32_t first = left == 0 ? 0 : (uint32_t)dun_prng_range(&s->prng, 0, left - 1);
    do {
        uint32_t sent = send_part(s, addr, to_name, p, first, left);
        first += sent;
        left -= sent;
    } while (whole && left > 0);
}

void swim_pushpull_ask(struct swim *s, const char *addr, const char *to_name, uint32_t token)
{
    send_table(s, addr, to_name, SWIM_PUSH_PULL, token, false);
}

/* The token tells which seed an answer is for, whatever address it comes from. */
void swim_pushpull_ask_seed(struct swim *s, uint32_t i)
{
    DUN_ASSERT(i < s->seed_count);
    swim_pushpull_ask(s, s->seeds[i].addr, "", i + 1);
}

void swim_pushpull_answer(struct swim *s, const char *from, const struct swim_packet *p)
{
    char addr[DUN_ADDR_MAX + 1];
    swim_copy(addr, sizeof addr, p->from_addr);
    send_table(s, addr, from, SWIM_PUSH_PULL_REPLY, p->seq, !p->joined);
}

void swim_pushpull_ask_stranger(struct swim *s, const char *from, const struct swim_packet *p)
{
    const struct swim_node *n = swim_member_get(s, dun_slice_str(from));
    if (n != NULL && s->join == SWIM_JOIN_DONE) return;
    if (s->self->claim.state == SWIM_LEFT || s->now_ms < s->ask_next_ms) return;
    char addr[DUN_ADDR_MAX + 1];
    swim_copy(addr, sizeof addr, p->from_addr);
    s->ask_next_ms = s->now_ms + SWIM_ASK_MS;
    swim_pushpull_ask(s, addr, from, 0);
}

static uint64_t jittered(struct swim *s, uint32_t ms)
{
    return s->now_ms + dun_prng_range(&s->prng, (uint64_t)ms * 4 / 5, (uint64_t)ms * 6 / 5);
}

void swim_pushpull_start(struct swim *s)
{
    s->pushpull_next_ms = jittered(s, s->config.pushpull_interval_ms);
    /* Soon: of the seeds that started with us, one has answered so far. */
    s->reconnect_next_ms = jittered(s, SWIM_RECONNECT_MS / 5);
}

static bool seed_lives(const struct swim *s, const struct swim_seed *seed)
{
    for (uint32_t i = 1; i < s->node_count; i++) {
        const struct swim_node *n = s->nodes[i];
        if (!swim_up(n->claim.state)) continue;
        if (strcmp(n->addr, seed->addr) == 0 || strcmp(n->name, seed->name) == 0) return true;
    }
    return false;
}

static bool is_seed(const struct swim *s, const char *addr)
{
    for (uint32_t i = 0; i < s->seed_count; i++)
        if (strcmp(s->seeds[i].addr, addr) == 0) return true;
    return false;
}

/* One random dead member: should it live, it learns what we think and refutes. */
static void try_dead(struct swim *s)
{
    const struct swim_node *chosen = NULL;
    uint32_t seen = 0;
    for (uint32_t i = 1; i < s->node_count; i++) {
        const struct swim_node *n = s->nodes[i];
        if (n->claim.state != SWIM_DEAD || is_seed(s, n->addr)) continue;
        if (dun_prng_range(&s->prng, 0, seen++) == 0) chosen = n;
    }
    if (chosen != NULL) swim_pushpull_ask(s, chosen->addr, chosen->name, 0);
}

static void reconnect(struct swim *s)
{
    for (uint32_t i = 0; i < s->seed_count; i++)
        if (!s->seeds[i].self && !seed_lives(s, &s->seeds[i])) swim_pushpull_ask_seed(s, i);
    try_dead(s);
}

void swim_pushpull_tick(struct swim *s)
{
    if (!runs(s)) return;
    if (s->now_ms >= s->reconnect_next_ms) {
        reconnect(s);
        s->reconnect_next_ms = jittered(s, SWIM_RECONNECT_MS);
    }
    if (s->now_ms >= s->pushpull_next_ms) {
        struct swim_node *to;
        if (swim_member_pick(s, 1, NULL, &to) == 1) swim_pushpull_ask(s, to->addr, to->name, 0);
        s->pushpull_next_ms = jittered(s, s->config.pushpull_interval_ms);
    }
}

uint64_t swim_pushpull_deadline(const struct swim *s)
{
    if (!runs(s)) return UINT64_MAX;
    return s->reconnect_next_ms < s->pushpull_next_ms ? s->reconnect_next_ms : s->pushpull_next_ms;
}
