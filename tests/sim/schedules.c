/* tests/sim/schedules.c: schedules written by hand, on the simulator's own
 * network, peers and checkers. Chance finds much; these say which story it was. */
#include "sim.h"

#include "base/mutation.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STEP_MS = 5, FORM_MS = 5000, AGREE_MS = 30000, RESTORE_MS = 1000 };

static struct sim stage; /* large */

static struct sim_options plain(uint32_t voters, bool loss_profile, uint64_t loss_timeout_ms)
{
    return (struct sim_options){.seed = 2017,
                                .voters = voters,
                                .groups = 1,
                                .channels = 1,
                                .clients = 1,
                                .loss_profile = loss_profile,
                                .loss_timeout_ms = loss_timeout_ms,
                                .window = 1,
                                .interval_us_max = 1000,
                                .submit_timeout_ms = 3000,
                                .history_size = 1000,
                                .history_ttl_ms = 300000,
                                .max_memory = 64u << 20,
                                .delay_us_min = 200,
                                .delay_us_max = 200};
}

static struct sim *begin_with(const struct sim_options *o, bool trace)
{
    sim_init(&stage, o, trace);
    stage.healed = true; /* nothing goes wrong but what the schedule does */
    return &stage;
}

static struct sim *begin(uint32_t voters, bool loss_profile, uint64_t loss_timeout_ms, bool trace)
{
    struct sim_options o = plain(voters, loss_profile, loss_timeout_ms);
    return begin_with(&o, trace);
}

static bool end(struct sim *s, bool ok)
{
    if (!ok && !s->failed) sim_fail(s, "the schedule did not get where it should");
    if (s->failed) printf("at %" PRIu64 " ms: %s\n", s->now_us / 1000, s->violation);
    ok = !s->failed;
    sim_deinit(s);
    return ok;
}

static void start(struct sim *s, uint32_t index)
{
    sim_peer_start(s, index, sim_peer_boot_next(s, index));
}

static struct node_group group_of(struct sim *s, uint32_t index)
{
    struct node_group g = {.status = VSR_RECOVERING};
    if (s->peers[index].up) node_group(s->peers[index].node, 0, &g);
    return g;
}

static bool normal(struct sim *s, uint32_t index)
{
    return group_of(s, index).status == VSR_NORMAL;
}

static bool all_normal(struct sim *s, uint32_t count)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->o.voters; i++)
        n += normal(s, i);
    return n >= count;
}

static bool wait_normal(struct sim *s, uint32_t count, uint64_t ms)
{
    for (uint64_t t = 0; t < ms && !all_normal(s, count) && !s->failed; t += STEP_MS)
        sim_run_ms(s, STEP_MS);
    return all_normal(s, count) && !s->failed;
}

static bool formed(struct sim *s)
{
    for (uint32_t i = 0; i < s->o.voters; i++)
        start(s, i);
    if (!wait_normal(s, s->o.voters, FORM_MS)) return false;
    sim_run_ms(s, 1000);
    return all_normal(s, s->o.voters);
}

static uint32_t primary(struct sim *s)
{
    for (uint32_t i = 0; i < s->o.voters; i++)
        if (group_of(s, i).primary) return i;
    return s->o.voters;
}

/* Publishes through @peer; true: acknowledged within @ms. */
static bool publish(struct sim *s, uint32_t peer, uint64_t ms)
{
    uint32_t number = sim_client_publish(s, 0, 0, true, (int)peer, true);
    for (uint64_t t = 0; t < ms && !s->failed; t += STEP_MS) {
        sim_run_ms(s, STEP_MS);
        if (s->publishes[number].state == SIM_PUB_ACKED) return true;
    }
    return false;
}

static void cut(struct sim *s, uint32_t a, uint32_t b, bool on) /* both ways */
{
    sim_net_cut(s, a, b, -1, on);
    sim_net_cut(s, b, a, -1, on);
}

static void link_lost(struct sim *s, uint32_t at, uint32_t of)
{
    sim_push(s, s->now_us, SIM_EV_LINK_LOST, at, of * SIM_PLANES + 1);
}

static struct store_position position(struct sim *s, uint32_t index)
{
    return store_position(s->peers[index].store, 0, dun_slice_str(s->channels[0].name));
}

/* ---- the stories ---- */

static bool first_start(bool trace)
{
    struct sim *s = begin(3, false, 0, trace);
    bool ok = formed(s);
    for (uint32_t i = 0; i < 3 && ok; i++)
        ok = publish(s, i, 1000);
    if (ok) sim_converge(s, AGREE_MS);
    return end(s, ok);
}

static bool one_missing_never(bool trace)
{
    struct sim *s = begin(3, false, 0, trace);
    start(s, 0);
    start(s, 1);
    sim_run_ms(s, 60000);
    bool ok = !normal(s, 0) && !normal(s, 1); /* it may hold what was acknowledged */
    start(s, 2);
    ok = ok && wait_normal(s, 3, FORM_MS) && publish(s, 2, 1000);
    if (ok) sim_converge(s, AGREE_MS);
    return end(s, ok);
}

static bool one_missing_timeout(bool trace)
{
    struct sim *s = begin(3, true, 3000, trace);
    start(s, 0);
    start(s, 1);
    sim_run_ms(s, 2500);
    bool ok = !normal(s, 0) && !normal(s, 1);
    ok = ok && wait_normal(s, 2, FORM_MS) && publish(s, 0, 2000);
    start(s, 2);
    ok = ok && wait_normal(s, 3, FORM_MS) && publish(s, 2, 1000);
    if (ok) sim_converge(s, AGREE_MS);
    return end(s, ok);
}

static bool total_restart(bool trace)
{
    struct sim *s = begin(3, true, 2000, trace);
    bool ok = formed(s);
    for (uint32_t i = 0; i < 5 && ok; i++)
        ok = publish(s, i % 3, 1000);
    struct store_position before = {0};
    if (ok) before = position(s, 0);
    for (uint32_t i = 0; i < 3 && ok; i++)
        sim_peer_crash(s, i, true);
    if (ok) sim_run_ms(s, 500);
    ok = ok && before.seq == 5 && formed(s) && publish(s, 1, 1000);
    ok = ok && position(s, 1).epoch > before.epoch && position(s, 1).seq == 1;
    if (ok) sim_converge(s, AGREE_MS);
    return end(s, ok);
}

static bool primary_paused(bool trace)
{
    struct sim *s = begin(3, false, 0, trace);
    bool ok = formed(s);
    uint32_t p = primary(s);
    ok = ok && p < 3 && publish(s, p, 1000);
    if (ok) sim_peer_pause(s, p);
    ok = ok && publish(s, (p + 1) % 3, 8000);
    if (ok) sim_run_ms(s, 3000);
    if (ok) sim_peer_resume(s, p);
    ok = ok && publish(s, p, 8000);
    if (ok) sim_converge(s, AGREE_MS);
    return end(s, ok);
}

static bool one_way_cut(bool trace)
{
    struct sim *s = begin(3, false, 0, trace);
    bool ok = formed(s);
    for (uint32_t k = 0; k < 6 && ok; k++) { /* every directed pair, once each */
        uint32_t a = k / 2, b = (a + 1 + k % 2) % 3;
        sim_net_cut(s, a, b, -1, true);
        sim_run_ms(s, 3000);
        ok = publish(s, 3 - a - b, 8000); /* the one that is not concerned */
        sim_net_cut(s, a, b, -1, false);
        if (ok) sim_run_ms(s, 3000);
    }
    if (ok) sim_converge(s, AGREE_MS);
    return end(s, ok);
}

static bool cut_off_refuses(bool trace)
{
    struct sim *s = begin(3, false, 0, trace);
    bool ok = formed(s);
    cut(s, 0, 1, true);
    cut(s, 0, 2, true);
    if (ok) sim_run_ms(s, 3000);
    struct node_status st = {0};
    if (ok) node_status(s->peers[0].node, &st);
    ok = ok && !st.ready && !st.contact && st.reason[0] != '\0' && !publish(s, 0, 500);
    ok = ok && publish(s, 1, 3000);
    cut(s, 0, 1, false);
    cut(s, 0, 2, false);
    if (ok) sim_run_ms(s, 3000);
    if (ok) sim_converge(s, AGREE_MS);
    return end(s, ok);
}

/* A peer comes back to more groups with a long past than another one serves snapshots of at a
 * time. None of them may wait for one that is of no more use. */
static bool many_snapshots(bool trace)
{
    struct sim_options o = plain(3, false, 0);
    o.groups = SIM_GROUPS_MAX;
    o.channels = SIM_CHANNELS_MAX;
    o.data_bytes_max = 16000;
    struct sim *s = begin_with(&o, trace);
    bool ok = formed(s);
    for (uint32_t k = 0; k < 12 && ok; k++) {
        for (uint32_t c = 0; c < o.channels; c++)
            sim_client_publish(s, 0, c, true, (int)(k % 3), true);
        sim_run_ms(s, 100);
        ok = s->pending == 0 && !s->failed;
    }
    if (!ok) return end(s, false);
    sim_peer_crash(s, 2, true);
    sim_run_ms(s, 1000);
    start(s, 2);
    struct node_status now = {0};
    for (uint32_t t = 0; t < RESTORE_MS && !now.ready && !s->failed; t += STEP_MS) {
        sim_run_ms(s, STEP_MS);
        node_status(s->peers[2].node, &now);
    }
    ok = now.ready && now.snapshots_in > DUN_SNAPSHOTS_OUT_MAX;
    if (ok) sim_converge(s, AGREE_MS);
    return end(s, ok);
}

/* ---- DISC 2017: a vote of a peer's earlier life ----
 *
 * Michael et al., Recovering Shared Objects Without Stable Storage, section 2:
 * @a votes for a new view, the vote stays in the network, @a loses its memory,
 * recovers in the old view and there helps to commit X. If the old vote then
 * counts, the new view starts without X. */

struct cast {
    uint32_t primary, next, a, b, c; /* b, c: the rest, with five voters */
};

static bool roles(struct sim *s, struct cast *r)
{
    r->primary = primary(s);
    if (r->primary == s->o.voters) return false;
    /* Who leads the next view: let every peer doubt the primary and look, on a
     * stage of its own; the order is a function of the names. */
    uint64_t view = group_of(s, r->primary).view;
    for (uint32_t i = 0; i < s->o.voters; i++)
        if (i != r->primary) link_lost(s, i, r->primary);
    for (int k = 0; k < 400 && (primary(s) == r->primary || primary(s) == s->o.voters); k++)
        sim_run_ms(s, STEP_MS);
    uint32_t next = primary(s);
    if (next == s->o.voters || group_of(s, next).view != view + 1) return false;
    r->next = next;
    uint32_t *rest[] = {&r->a, &r->b, &r->c}, n = 0;
    for (uint32_t i = 0; i < s->o.voters; i++)
        if (i != r->primary && i != next && n < 3) *rest[n++] = i;
    return true;
}

/* @a votes for the next view, heard by nobody; only the vote to @next stays in the network. */
static void vote_in_flight(struct sim *s, const struct cast *r)
{
    for (uint32_t i = 0; i < s->o.voters; i++)
        if (i != r->a && i != r->next) sim_net_cut(s, r->a, i, -1, true);
    s->links[r->a][r->next].hold[NODE_REPLICATION] = true;
    link_lost(s, r->a, r->primary);
    sim_run_ms(s, STEP_MS);
    sim_peer_crash(s, r->a, false);
    s->links[r->a][r->next].hold[NODE_REPLICATION] = false;
    for (uint32_t i = 0; i < s->o.voters; i++)
        if (i != r->a && i != r->next) sim_net_cut(s, r->a, i, -1, false);
    start(s, r->a);
}

static bool wait_peer(struct sim *s, uint32_t index, uint64_t ms)
{
    for (uint64_t t = 0; t < ms && !normal(s, index) && !s->failed; t += STEP_MS)
        sim_run_ms(s, STEP_MS);
    return normal(s, index) && !s->failed;
}

static bool disc(uint32_t voters, bool trace)
{
    struct cast r = {0};
    struct sim *s = begin(voters, false, 0, trace);
    bool ok = formed(s) && roles(s, &r);
    end(s, ok);
    if (!ok) return false;
    s = begin(voters, false, 0, trace); /* the same again, now with known roles */
    if (!formed(s) || primary(s) != r.primary || !publish(s, r.b, 1000)) return end(s, false);
    if (voters == 5) { /* @next does not hear of a's new life but from @c's vote */
        cut(s, r.next, r.primary, true);
        cut(s, r.next, r.b, true);
        sim_net_cut(s, r.next, r.c, NODE_GOSSIP, true);
        sim_net_cut(s, r.c, r.next, NODE_GOSSIP, true);
    }
    vote_in_flight(s, &r);
    if (voters == 5) cut(s, r.next, r.a, true);
    ok = s->kept_count > 0 && wait_peer(s, r.a, 700);
    if (voters == 3) {
        cut(s, r.next, r.primary, true);
        cut(s, r.next, r.a, true);
    } else {
        sim_net_cut(s, r.primary, r.c, -1, true);
    }
    ok = ok && publish(s, r.primary, 200); /* X: with @primary and @a, and @b of five */
    if (voters == 5)
        for (uint32_t i = 0; i < voters; i++)
            if (i != r.c && i != r.next) sim_net_cut(s, r.c, i, -1, true);
    link_lost(s, voters == 5 ? r.c : r.next, r.primary);
    if (ok) sim_run_ms(s, STEP_MS);
    sim_net_release(s, r.a, r.next); /* the old vote */
    if (ok) sim_run_ms(s, 20);
    sim_net_clear(s);
    if (ok) sim_run_ms(s, 2000);
    if (ok) sim_converge(s, AGREE_MS);
    return end(s, ok);
}

/* The story must end badly when @mutation is on; it may end in an assertion. */
static bool must_fail(bool (*story)(bool trace), int mutation, bool trace)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) return false;
    if (pid == 0) {
        dun_mutation = mutation;
        bool ok = story(trace);
        fflush(stdout);
        _exit(ok ? 0 : 1);
    }
    int status = 0;
    if (waitpid(pid, &status, 0) != pid) return false;
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static bool disc2017_three(bool trace)
{
    return disc(3, trace);
}

static bool disc2017_five(bool trace)
{
    return disc(5, trace);
}

static bool disc2017_three_needs_boots(bool trace)
{
    return must_fail(disc2017_three, MUTATION_IGNORE_BOOTS, trace);
}

static bool disc2017_five_needs_boots(bool trace)
{
    return must_fail(disc2017_five, MUTATION_IGNORE_BOOTS, trace);
}

const struct sim_schedule sim_schedules[] = {
    {"first_start", first_start},
    {"one_missing_never", one_missing_never},
    {"one_missing_timeout", one_missing_timeout},
    {"total_restart", total_restart},
    {"primary_paused", primary_paused},
    {"one_way_cut", one_way_cut},
    {"cut_off_refuses", cut_off_refuses},
    {"many_snapshots", many_snapshots},
    {"disc2017_three", disc2017_three},
    {"disc2017_five", disc2017_five},
    {"disc2017_three_needs_boots", disc2017_three_needs_boots},
    {"disc2017_five_needs_boots", disc2017_five_needs_boots},
};
const uint32_t sim_schedule_count = DUN_COUNT(sim_schedules);
