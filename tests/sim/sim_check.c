/* tests/sim/sim_check.c: what must hold after every step of every peer.
 *
 * (1) One order: what op is, within an incarnation of a group, is the same on
 *     every peer that ever reports it, and no peer passes over it.
 * (2) A position (channel, epoch, seq) never names two messages.
 * (3) No gap and no repeat: between two resyncs each peer reports seq + 1.
 * (4) An attempt is committed once; a key names one message (in the loss
 *     profile: one within an epoch).
 * (5) What was surely refused is not committed.
 * (6) Default profile: the epoch moves only by dropping, and ops go on in one history.
 * (7) Equal commit numbers (loss profile: of one view) mean equal digests. */
#include "sim.h"

#include "base/alloc.h"

#include <stdlib.h>

enum { READ_MAX = 64, OP_MAX = 1 << 20 };

static struct sim_history *history_of(struct sim *s, uint32_t group, uint64_t incarnation)
{
    struct sim_group *g = &s->groups[group];
    if (!s->o.loss_profile) incarnation = 0; /* nothing is lost, so all of it is one history */
    for (uint32_t i = g->history_count; i > 0; i--)
        if (g->histories[i - 1].incarnation == incarnation) return &g->histories[i - 1];
    if (g->history_count == SIM_INCARNATIONS_MAX) {
        sim_fail(s, "group %u re-forms without end", group);
        return NULL;
    }
    struct sim_history *h = &g->histories[g->history_count++];
    *h = (struct sim_history){.incarnation = incarnation};
    return h;
}

static struct sim_entry *entry_of(struct sim *s, struct sim_history *h, uint64_t op)
{
    if (op == 0 || op > OP_MAX) {
        sim_fail(s, "op %" PRIu64 " is reported", op);
        return NULL;
    }
    if (op >= h->op_cap) {
        uint64_t cap = h->op_cap == 0 ? 256 : h->op_cap;
        while (cap <= op)
            cap *= 2;
        h->ops = dun_realloc(h->ops, cap * sizeof *h->ops);
        memset(h->ops + h->op_cap, 0, (cap - h->op_cap) * sizeof *h->ops);
        h->op_cap = cap;
    }
    return &h->ops[op];
}

static struct sim_positions *positions_of(struct sim *s, uint32_t channel, uint64_t epoch, bool add)
{
    struct sim_channel *c = &s->channels[channel];
    for (uint32_t i = c->epoch_count; i > 0; i--)
        if (c->epochs[i - 1].epoch == epoch) return &c->epochs[i - 1];
    if (!add) return NULL;
    if (c->epoch_count == SIM_EPOCHS_MAX) {
        sim_fail(s, "%s has more than %d epochs", c->name, SIM_EPOCHS_MAX);
        return NULL;
    }
    if (c->epochs == NULL) c->epochs = dun_calloc(SIM_EPOCHS_MAX, sizeof *c->epochs);
    struct sim_positions *p = &c->epochs[c->epoch_count++];
    *p = (struct sim_positions){.epoch = epoch};
    return p;
}

int64_t sim_check_at(const struct sim *s, uint32_t channel, uint64_t epoch, uint64_t seq)
{
    const struct sim_channel *c = &s->channels[channel];
    for (uint32_t i = c->epoch_count; i > 0; i--) {
        const struct sim_positions *p = &c->epochs[i - 1];
        if (p->epoch != epoch) continue;
        return seq < p->cap && p->attempts[seq] != 0 ? (int64_t)p->attempts[seq] - 1 : -1;
    }
    return -1;
}

/* The attempt that @m carries, or -1 after a violation. */
static int64_t identify(struct sim *s, struct sim_peer *p, const struct store_msg *m,
                        uint32_t *channel)
{
    uint32_t c = 0;
    while (c < s->o.channels && strcmp(s->channels[c].name, m->channel) != 0)
        c++;
    char text[32] = "";
    memcpy(text, m->data.data, m->data.len < sizeof text ? m->data.len : sizeof text - 1);
    char *end = text;
    unsigned long publish = text[0] == '"' ? strtoul(text + 1, &end, 10) : 0;
    unsigned long attempt = *end == '.' ? strtoul(end + 1, &end, 10) : s->attempt_count;
    if (c == s->o.channels || attempt >= s->attempt_count ||
        s->attempts[attempt].publish != publish || s->publishes[publish].channel != c) {
        sim_fail(s, "%s delivers a message nobody published: channel '%s' data '%.31s'", p->name,
                 m->channel, text);
        return -1;
    }
    struct dun_buf want = {0};
    sim_attempt_data(s, (uint32_t)attempt, &want);
    bool same = dun_slice_eq(dun_buf_view(&want), m->data);
    dun_buf_deinit(&want);
    if (!same) sim_fail(s, "%s delivers attempt %lu with other bytes", p->name, attempt);
    *channel = c;
    return same ? (int64_t)attempt : -1;
}

/* The first report of a position. */
static void position_new(struct sim *s, uint32_t channel, const struct store_msg *m,
                         uint32_t attempt)
{
    struct sim_positions *pos = positions_of(s, channel, m->epoch, true);
    if (pos == NULL) return;
    if (m->seq >= pos->cap) {
        uint64_t cap = pos->cap == 0 ? 64 : pos->cap;
        while (cap <= m->seq)
            cap *= 2;
        pos->attempts = dun_realloc(pos->attempts, cap * sizeof *pos->attempts);
        memset(pos->attempts + pos->cap, 0, (cap - pos->cap) * sizeof *pos->attempts);
        pos->cap = cap;
    }
    pos->attempts[m->seq] = attempt + 1;
    if (m->seq > pos->seq_max) pos->seq_max = m->seq;
    struct sim_attempt *a = &s->attempts[attempt];
    struct sim_publish *pub = &s->publishes[a->publish];
    a->committed++;
    pub->position_count++;
    if (a->definitely_not)
        sim_fail(s, "attempt %u was refused for certain, but is committed", attempt);
    if (!a->submitted) sim_fail(s, "attempt %u is committed before it was submitted", attempt);
    bool again = pub->position_count > 1 && (!s->o.loss_profile || pub->position_epoch == m->epoch);
    /* By the log's own time, which the clock of a primary may have moved far ahead. */
    bool expired = again && pub->keyed && a->committed == 1 &&
                   m->time_ms >= pub->position_time_ms + DUN_IDEMPOTENCY_TTL_MS;
    if (expired) {
        pub->expired = true;
        SIM_COVER(s, KEYS_EXPIRED);
    } else if (again && (pub->keyed || a->committed > 1))
        sim_fail(s,
                 "publish %u (%s) is committed twice in %s: attempt %u at epoch %" PRIu64
                 " seq %" PRIu64,
                 a->publish, pub->keyed ? "one key" : "one attempt", m->channel, attempt, m->epoch,
                 m->seq);
    pub->position_epoch = m->epoch;
    pub->position_time_ms = m->time_ms;
}

static void entry_new(struct sim *s, struct sim_peer *p, const struct node_commit *c,
                      struct sim_history *h, const struct sim_entry *e)
{
    struct sim_group *g = &s->groups[c->group];
    if (c->op > h->op_max) h->op_max = c->op;
    s->commits++;
    int64_t at = sim_check_at(s, e->channel, e->epoch, e->seq);
    if (at >= 0 && (at != e->attempt || !s->o.loss_profile)) {
        sim_fail(s,
                 "epoch %" PRIu64 " seq %" PRIu64 " of %s names attempt %" PRId64
                 " and attempt %u (group %u op %" PRIu64 " on %s)",
                 e->epoch, e->seq, s->channels[e->channel].name, at, e->attempt, c->group, c->op,
                 p->name);
        return;
    }
    if (at < 0) position_new(s, e->channel, c->msg, e->attempt);
    uint32_t index = (uint32_t)(h - g->histories);
    for (uint32_t i = 0; i < s->o.voters; i++) {
        struct sim_peer *q = &s->peers[i];
        if (q->up && q != p && q->range_incarnation[c->group] == index &&
            q->range_first[c->group] <= c->op && c->op <= q->range_last[c->group])
            sim_fail(s, "group %u op %" PRIu64 ": %s delivers attempt %u, %s had passed it",
                     c->group, c->op, p->name, e->attempt, q->name);
    }
}

static void cursor_check(struct sim *s, struct sim_peer *p, const struct sim_entry *e)
{
    struct sim_cursor *c = &p->cursor[e->channel];
    bool next = c->epoch == e->epoch && e->seq == c->seq + 1;
    bool first = (c->seq == 0 || c->epoch != e->epoch) && e->seq == 1;
    bool carried = s->o.loss_profile && e->seq == c->seq + 1;
    if (!next && !first && !carried)
        sim_fail(s,
                 "%s delivers %s epoch %" PRIu64 " seq %" PRIu64 " after epoch %" PRIu64
                 " seq %" PRIu64,
                 p->name, s->channels[e->channel].name, e->epoch, e->seq, c->epoch, c->seq);
}

/* The peer went from its last op to @op without a report in between. */
static void pass(struct sim *s, struct sim_peer *p, uint32_t group, const struct sim_history *h,
                 uint64_t op)
{
    for (uint64_t i = p->range_last[group] + 1; i < op && i <= h->op_max; i++)
        if (h->ops[i].known) {
            sim_fail(s, "group %u op %" PRIu64 ": %s passes over attempt %u that %s delivered",
                     group, i, p->name, h->ops[i].attempt, s->peers[h->ops[i].reporter].name);
            return;
        }
    if (op > p->range_last[group] + 1) p->range_last[group] = op - 1;
}

static void check_commit(struct sim *s, struct sim_peer *p, const struct node_commit *c,
                         uint64_t incarnation, bool resync)
{
    if (c->group >= s->o.groups || c->msg == NULL) {
        sim_fail(s, "%s reports a commit of group %u without message", p->name, c->group);
        return;
    }
    uint32_t channel = 0;
    int64_t attempt = identify(s, p, c->msg, &channel);
    struct sim_history *h = attempt < 0 ? NULL : history_of(s, c->group, incarnation);
    struct sim_entry *e = h == NULL ? NULL : entry_of(s, h, c->op);
    if (e == NULL) return;
    sim_hash(s, c->op << 24 ^ (uint64_t)c->group << 16 ^ (uint64_t)attempt);
    SIM_TRACE(s,
              "%s COMMIT group=%u op=%" PRIu64 " %s epoch=%" PRIu64 " seq=%" PRIu64
              " attempt=%" PRId64 " publish=%u",
              p->name, c->group, c->op, c->msg->channel, c->msg->epoch, c->msg->seq, attempt,
              s->attempts[attempt].publish);
    struct sim_entry now = {.known = true,
                            .channel = channel,
                            .attempt = (uint32_t)attempt,
                            .reporter = p->index,
                            .seq = c->msg->seq,
                            .epoch = c->msg->epoch};
    if (s->channels[channel].group != c->group)
        sim_fail(s, "%s delivers %s in group %u", p->name, c->msg->channel, c->group);
    if (e->known && (e->channel != channel || e->attempt != now.attempt || e->seq != now.seq ||
                     e->epoch != now.epoch))
        sim_fail(s,
                 "group %u op %" PRIu64 ": %s delivered %s seq %" PRIu64 " attempt %u, %s %s seq"
                 " %" PRIu64 " attempt %u",
                 c->group, c->op, s->peers[e->reporter].name, s->channels[e->channel].name, e->seq,
                 e->attempt, p->name, c->msg->channel, now.seq, now.attempt);
    if (!e->known) {
        *e = now;
        entry_new(s, p, c, h, e);
    }
    if (s->failed) return;
    if (!resync) {
        if (c->op <= p->range_last[c->group])
            sim_fail(s, "%s reports group %u op %" PRIu64 " after op %" PRIu64, p->name, c->group,
                     c->op, p->range_last[c->group]);
        pass(s, p, c->group, h, c->op);
        cursor_check(s, p, &now);
        uint32_t index = (uint32_t)(h - s->groups[c->group].histories);
        /* A log that went over into a new incarnation: only from here on it is that one's. */
        if (p->range_incarnation[c->group] != index) p->range_first[c->group] = c->op;
        p->range_incarnation[c->group] = index;
        p->range_last[c->group] = c->op;
    }
    p->cursor[channel] = (struct sim_cursor){true, now.epoch, now.seq};
}

/* The log moved by itself: what it holds must be what was delivered. */
static void adopt_channel(struct sim *s, struct sim_peer *p, uint32_t channel)
{
    struct sim_channel *c = &s->channels[channel];
    struct dun_slice name = dun_slice_str(c->name);
    struct store_position pos = store_position(p->store, c->group, name);
    p->cursor[channel] = (struct sim_cursor){true, pos.epoch, pos.seq};
    uint64_t after = pos.first_seq == 0 ? 0 : pos.first_seq - 1;
    while (!s->failed && after < pos.seq) {
        struct store_msg *m[READ_MAX];
        uint32_t count = 0;
        if (store_read(p->store, c->group, name, after, m, READ_MAX, &count) != DUN_OK ||
            count == 0) {
            sim_fail(s, "%s cannot read %s after seq %" PRIu64 " of %" PRIu64, p->name, c->name,
                     after, pos.seq);
            return;
        }
        for (uint32_t i = 0; i < count; i++) {
            uint32_t same = 0;
            int64_t attempt = identify(s, p, m[i], &same);
            int64_t at = sim_check_at(s, channel, m[i]->epoch, m[i]->seq);
            if (attempt >= 0 && at != attempt && (at >= 0 || !s->o.loss_profile))
                sim_fail(s,
                         "%s holds attempt %" PRId64 " at %s epoch %" PRIu64 " seq %" PRIu64
                         ", delivered there: %" PRId64,
                         p->name, attempt, c->name, m[i]->epoch, m[i]->seq, at);
            if (m[i]->seq != after + 1)
                sim_fail(s, "%s: the log of %s jumps from seq %" PRIu64 " to %" PRIu64, p->name,
                         c->name, after, m[i]->seq);
            after = m[i]->seq;
            store_msg_unref(m[i]);
        }
    }
}

static void adopt_group(struct sim *s, struct sim_peer *p, uint32_t group,
                        const struct node_group *now)
{
    struct sim_history *h = history_of(s, group, now->log_incarnation);
    if (h == NULL) return;
    p->range_first[group] = now->commit + 1;
    p->range_last[group] = now->commit;
    p->range_incarnation[group] = (uint32_t)(h - s->groups[group].histories);
    for (uint32_t c = 0; c < s->o.channels; c++)
        if (s->channels[c].group == group) adopt_channel(s, p, c);
}

static void check_group(struct sim *s, struct sim_peer *p, uint32_t group, bool resync)
{
    struct node_group now;
    node_group(p->node, group, &now);
    struct sim_group *g = &s->groups[group];
    if (now.status == VSR_RECOVERING && p->was_normal[group]) {
        /* It gave up an incarnation that came to nothing; what was committed it must keep. */
        if (!s->o.loss_profile && p->range_last[group] > 0)
            sim_fail(s, "%s: group %u forgets %" PRIu64 " operations by itself", p->name, group,
                     p->range_last[group]);
        p->was_normal[group] = false;
    }
    if (now.status == VSR_NORMAL) {
        /* The first operation that commits gives the epoch: the only one without a loss or a drop.
         */
        uint64_t epoch = store_group_epoch(p->store, group);
        if (g->epoch_first == 0) g->epoch_first = epoch;
        if (!s->o.loss_profile && s->o.meta_ttl_ms == 0 && epoch != 0 && epoch != g->epoch_first)
            sim_fail(s, "%s: group %u has a new epoch %" PRIu64 " after %" PRIu64, p->name, group,
                     epoch, g->epoch_first);
        if (!p->was_normal[group]) {
            SIM_TRACE(s, "%s NORMAL group=%u", p->name, group);
            SIM_COVER(s, RECOVERIES);
        }
        p->was_normal[group] = true;
    }
    if (resync) {
        adopt_group(s, p, group, &now);
    } else if (p->was_normal[group] && now.commit > p->range_last[group]) {
        struct sim_history *h = history_of(s, group, now.log_incarnation);
        if (h != NULL) pass(s, p, group, h, now.commit + 1);
    }
}

void sim_check_step(struct sim *s, struct sim_peer *p)
{
    const struct node_out *out = node_out(p->node);
    if (!sim_is_voter(s, p->index)) {
        if (out->commit_count != 0) sim_fail(s, "%s, which is no voter, commits", p->name);
        return;
    }
    for (; p->commits_seen < out->commit_count && !s->failed; p->commits_seen++) {
        const struct node_commit *c = &out->commits[p->commits_seen];
        struct node_group now;
        node_group(p->node, c->group, &now);
        check_commit(s, p, c, now.log_incarnation, out->resync[c->group]);
    }
    for (uint32_t g = 0; g < s->o.groups && !s->failed; g++)
        check_group(s, p, g, out->resync_any && out->resync[g]);
}

void sim_check_peer_new(struct sim *s, struct sim_peer *p)
{
    for (uint32_t g = 0; g < s->o.groups; g++) {
        p->was_normal[g] = false;
        p->range_first[g] = 1;
        p->range_last[g] = 0;
        p->range_incarnation[g] = 0;
    }
    for (uint32_t c = 0; c < s->o.channels; c++)
        p->cursor[c] = (struct sim_cursor){0};
    p->commits_seen = 0;
}

/* What the digests of a group stand for: unchanged, they need no new look. */
static uint64_t standing(const struct sim *s, uint32_t group)
{
    uint64_t sum = 1;
    for (uint32_t i = 0; i < s->o.voters; i++) {
        const struct sim_peer *p = &s->peers[i];
        struct node_group now = {0};
        if (p->up && p->was_normal[group]) node_group(p->node, group, &now);
        sum = (sum ^ p->life ^ now.commit << 16 ^ now.log_incarnation << 40) * 0x9e3779b97f4a7c15u;
    }
    return sum;
}

static void check_digest(struct sim *s, uint32_t group)
{
    for (uint32_t i = 0; i < s->o.voters; i++) {
        const struct sim_peer *a = &s->peers[i];
        if (!a->up || !a->was_normal[group]) continue;
        struct node_group x;
        node_group(a->node, group, &x);
        uint64_t digest = 0;
        for (uint32_t j = i + 1; j < s->o.voters; j++) {
            const struct sim_peer *b = &s->peers[j];
            if (!b->up || !b->was_normal[group]) continue;
            struct node_group y;
            node_group(b->node, group, &y);
            if (x.log_incarnation != y.log_incarnation || x.commit != y.commit) continue;
            /* Who leads a new incarnation that nobody has joined yet still holds what was
             * committed in the last one; the next view may begin without it. */
            if (s->o.loss_profile && x.log_view != y.log_view) continue;
            if (digest == 0) digest = store_digest(a->store, group);
            if (digest != store_digest(b->store, group))
                sim_fail(s, "group %u at op %" PRIu64 ": %s and %s hold different state", group,
                         x.commit, a->name, b->name);
            break; /* the next one compares with that one */
        }
    }
}

void sim_check_digests(struct sim *s, bool all)
{
    for (uint32_t g = 0; g < s->o.groups; g++) {
        uint64_t now = standing(s, g);
        if (!all && now == s->groups[g].digested) continue;
        s->groups[g].digested = now;
        check_digest(s, g);
    }
}
