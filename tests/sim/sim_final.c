/* tests/sim/sim_final.c: after the faults: do the healed peers agree, does
 * every one of them serve, and is everything that was acknowledged there? */
#include "sim.h"

#include <stdio.h>

static bool healed(const struct sim *s, uint32_t i)
{
    return s->peers[i].up && !s->peers[i].paused && !s->peers[i].broken;
}

static bool group_converged(struct sim *s, uint32_t group, char *why, size_t size)
{
    struct node_group first = {.status = VSR_STATUS_COUNT};
    uint32_t primaries = 0;
    for (uint32_t i = 0; i < s->o.voters; i++) {
        if (!healed(s, i)) continue;
        struct node_group now;
        node_group(s->peers[i].node, group, &now);
        if (first.status == VSR_STATUS_COUNT) first = now;
        primaries += now.primary;
        const char *what = NULL;
        if (now.status != VSR_NORMAL)
            what = "is not normal";
        else if (now.incarnation != first.incarnation)
            what = "is in another incarnation";
        else if (now.view != first.view)
            what = "is in another view";
        else if (now.commit != first.commit)
            what = "has another commit";
        else if (now.op != now.commit)
            what = "has uncommitted operations";
        if (what != NULL) {
            snprintf(why, size,
                     "group %u on %s %s (status %d view %" PRIu64 " op %" PRIu64 " commit %" PRIu64
                     ")",
                     group, s->peers[i].name, what, (int)now.status, now.view, now.op, now.commit);
            return false;
        }
    }
    if (primaries != 1) snprintf(why, size, "group %u has %u primaries", group, primaries);
    return primaries == 1;
}

bool sim_converged(struct sim *s, char *why, size_t size)
{
    for (uint32_t i = 0; i < s->o.voters; i++) {
        struct node_status st;
        if (!healed(s, i)) continue;
        node_status(s->peers[i].node, &st);
        if (!sim_guest_seen(s, &s->peers[i], why, size)) return false;
        if (st.ready) continue;
        snprintf(why, size, "%s is not ready: %s", s->peers[i].name, st.reason);
        return false;
    }
    for (uint32_t g = 0; g < s->o.groups; g++)
        if (!group_converged(s, g, why, size)) return false;
    if (s->pending == 0 && sim_client_unanswered(s) == 0) return true;
    snprintf(why, size, "%u publishes are not settled, %u tries not answered", s->pending,
             sim_client_unanswered(s));
    return false;
}

/* An acknowledged attempt's position must name its publish. */
static void check_acked(struct sim *s, uint32_t attempt)
{
    const struct sim_attempt *a = &s->attempts[attempt];
    const struct sim_publish *pub = &s->publishes[a->publish];
    if (a->acked_seq == 0) {
        if (pub->position_count == 0 && !s->o.loss_profile)
            sim_fail(s, "publish %u was acknowledged (attempt %u) and is lost", a->publish,
                     attempt);
        return;
    }
    int64_t at = sim_check_at(s, pub->channel, a->acked_epoch, a->acked_seq);
    if (at < 0 && !s->o.loss_profile)
        sim_fail(s,
                 "publish %u was acknowledged (attempt %u) at %s epoch %" PRIu64 " seq %" PRIu64
                 " and is lost",
                 a->publish, attempt, s->channels[pub->channel].name, a->acked_epoch, a->acked_seq);
    if (at >= 0 && s->attempts[at].publish != a->publish)
        sim_fail(s,
                 "publish %u was acknowledged at %s epoch %" PRIu64 " seq %" PRIu64
                 ", where publish %u is",
                 a->publish, s->channels[pub->channel].name, a->acked_epoch, a->acked_seq,
                 s->attempts[at].publish);
}

/* A loss shows as a new epoch: within the epoch a healed peer has now, it is
 * not behind what was acknowledged or delivered. */
static void check_epoch_whole(struct sim *s, const struct sim_peer *p, uint32_t channel)
{
    const struct sim_channel *c = &s->channels[channel];
    struct store_position pos = store_position(p->store, c->group, dun_slice_str(c->name));
    uint64_t want = 0;
    for (uint32_t i = 0; i < c->epoch_count; i++)
        if (c->epochs[i].epoch == pos.epoch) want = c->epochs[i].seq_max;
    for (uint32_t i = 0; i < s->attempt_count; i++) {
        const struct sim_attempt *a = &s->attempts[i];
        if (a->acked && s->publishes[a->publish].channel == channel &&
            a->acked_epoch == pos.epoch && a->acked_seq > want)
            want = a->acked_seq;
    }
    if (pos.seq < want)
        sim_fail(s,
                 "%s has %s at epoch %" PRIu64 " seq %" PRIu64 ", but seq %" PRIu64
                 " was delivered or acknowledged in that epoch",
                 p->name, c->name, pos.epoch, pos.seq, want);
}

static void check_log(struct sim *s, const struct sim_peer *p, uint32_t channel)
{
    const struct sim_channel *c = &s->channels[channel];
    struct dun_slice name = dun_slice_str(c->name);
    struct store_position pos = store_position(p->store, c->group, name);
    const struct sim_cursor *cur = &p->cursor[channel];
    if (cur->valid && cur->seq != 0 && pos.seq != 0 &&
        (cur->epoch != pos.epoch || cur->seq != pos.seq))
        sim_fail(s,
                 "%s reported %s up to epoch %" PRIu64 " seq %" PRIu64 ", its store says epoch"
                 " %" PRIu64 " seq %" PRIu64,
                 p->name, c->name, cur->epoch, cur->seq, pos.epoch, pos.seq);
    uint64_t after = pos.first_seq == 0 ? 0 : pos.first_seq - 1;
    while (after < pos.seq && !s->failed) {
        struct store_msg *m = NULL;
        uint32_t count = 0;
        if (store_read(p->store, c->group, name, after, &m, 1, &count) != DUN_OK || count != 1) {
            sim_fail(s, "%s cannot read %s after seq %" PRIu64, p->name, c->name, after);
            return;
        }
        int64_t at = sim_check_at(s, channel, m->epoch, m->seq);
        struct dun_buf want = {0};
        if (at >= 0) sim_attempt_data(s, (uint32_t)at, &want);
        if (m->seq != after + 1 || at < 0 || !dun_slice_eq(dun_buf_view(&want), m->data))
            sim_fail(s, "%s holds another message at %s epoch %" PRIu64 " seq %" PRIu64, p->name,
                     c->name, m->epoch, m->seq);
        dun_buf_deinit(&want);
        after = m->seq;
        store_msg_unref(m);
    }
}

static void check_peer(struct sim *s, struct sim_peer *p)
{
    for (uint32_t g = 0; g < s->o.groups && !s->failed; g++) {
        struct node_group now;
        node_group(p->node, g, &now);
        const struct sim_group *group = &s->groups[g];
        for (uint32_t h = 0; h < group->history_count; h++)
            if ((!s->o.loss_profile || group->histories[h].incarnation == now.log_incarnation) &&
                now.commit < group->histories[h].op_max)
                sim_fail(s, "%s: group %u ends at op %" PRIu64 ", op %" PRIu64 " was delivered",
                         p->name, g, now.commit, group->histories[h].op_max);
        store_check(p->store, g);
    }
    for (uint32_t c = 0; c < s->o.channels && !s->failed; c++) {
        check_epoch_whole(s, p, c);
        check_log(s, p, c);
    }
    node_check(p->node);
}

void sim_check_final(struct sim *s)
{
    sim_check_digests(s, true);
    for (uint32_t i = 0; i < s->attempt_count && !s->failed; i++)
        if (s->attempts[i].acked) check_acked(s, i);
    for (uint32_t i = 0; i < s->publish_count && !s->failed; i++) {
        const struct sim_publish *pub = &s->publishes[i];
        if (pub->keyed && pub->state == SIM_PUB_ACKED && pub->position_count != 1 &&
            !pub->expired && !s->o.loss_profile)
            sim_fail(s, "key k%u has %u messages", i, pub->position_count);
    }
    for (uint32_t i = 0; i < s->o.voters && !s->failed; i++)
        if (healed(s, i)) check_peer(s, &s->peers[i]);
}
