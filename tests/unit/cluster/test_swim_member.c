/* tests/unit/cluster/test_swim_member.c: which claim wins, and what it causes. */
#include "swim_one.h"

#include "base/assert.h"

static void newer_boot_then_incarnation_then_worse_state_wins(void **state)
{
    (void)state;
    static const struct {
        struct swim_claim a, b;
        bool want; /* a replaces b */
    } t[] = {
        {{2, 0, SWIM_ALIVE}, {1, 9, SWIM_DEAD}, true},
        {{1, 9, SWIM_DEAD}, {2, 0, SWIM_ALIVE}, false},
        {{1, 2, SWIM_ALIVE}, {1, 1, SWIM_DEAD}, true},
        {{1, 1, SWIM_DEAD}, {1, 2, SWIM_ALIVE}, false},
        {{1, 2, SWIM_ALIVE}, {1, 1, SWIM_SUSPECT}, true},
        {{1, 1, SWIM_SUSPECT}, {1, 1, SWIM_ALIVE}, true},
        {{1, 1, SWIM_DEAD}, {1, 1, SWIM_SUSPECT}, true},
        {{1, 1, SWIM_LEFT}, {1, 1, SWIM_SUSPECT}, true},
        {{1, 1, SWIM_LEFT}, {1, 1, SWIM_DEAD}, false},
        {{1, 1, SWIM_DEAD}, {1, 1, SWIM_LEFT}, false},
        {{1, 1, SWIM_ALIVE}, {1, 1, SWIM_ALIVE}, false},
        {{1, 1, SWIM_ALIVE}, {1, 1, SWIM_SUSPECT}, false},
        {{1, 1, SWIM_SUSPECT}, {1, 1, SWIM_DEAD}, false},
        {{1, 1, SWIM_ALIVE}, {1, 1, SWIM_DEAD}, false},
        {{1, 1, SWIM_ALIVE}, {1, 1, SWIM_LEFT}, false},
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++)
        assert_int_equal(swim_supersedes(&t[i].a, &t[i].b), t[i].want);
}

enum { NO = -1, JOINED = SWIM_EV_JOINED, ALIVE = SWIM_EV_ALIVE, SUSPECT = SWIM_EV_SUSPECT };

static void a_claim_about_a_known_member_causes_the_right_events(void **state)
{
    (void)state;
    static const struct {
        struct swim_claim known, said;
        enum swim_packet_type by;
        int events[2];
        enum swim_state after;
    } t[] = {
        {{5, 1, SWIM_ALIVE}, {5, 1, SWIM_SUSPECT}, SWIM_GOSSIP, {SUSPECT, NO}, SWIM_SUSPECT},
        {{5, 1, SWIM_ALIVE}, {5, 0, SWIM_SUSPECT}, SWIM_GOSSIP, {NO, NO}, SWIM_ALIVE},
        {{5, 1, SWIM_ALIVE}, {5, 1, SWIM_DEAD}, SWIM_GOSSIP, {SWIM_EV_DEAD, NO}, SWIM_DEAD},
        {{5, 1, SWIM_ALIVE}, {5, 1, SWIM_DEAD}, SWIM_PUSH_PULL, {SUSPECT, NO}, SWIM_SUSPECT},
        {{5, 1, SWIM_ALIVE}, {5, 1, SWIM_LEFT}, SWIM_PUSH_PULL, {SWIM_EV_LEFT, NO}, SWIM_LEFT},
        {{5, 1, SWIM_SUSPECT}, {5, 2, SWIM_ALIVE}, SWIM_GOSSIP, {ALIVE, NO}, SWIM_ALIVE},
        {{5, 1, SWIM_SUSPECT}, {5, 1, SWIM_ALIVE}, SWIM_GOSSIP, {NO, NO}, SWIM_SUSPECT},
        {{5, 1, SWIM_SUSPECT}, {5, 2, SWIM_SUSPECT}, SWIM_GOSSIP, {NO, NO}, SWIM_SUSPECT},
        {{5, 1, SWIM_SUSPECT}, {6, 0, SWIM_ALIVE}, SWIM_GOSSIP, {JOINED, NO}, SWIM_ALIVE},
        {{5, 1, SWIM_SUSPECT}, {6, 0, SWIM_SUSPECT}, SWIM_GOSSIP, {JOINED, SUSPECT}, SWIM_SUSPECT},
        {{5, 1, SWIM_ALIVE}, {6, 0, SWIM_ALIVE}, SWIM_PUSH_PULL, {JOINED, NO}, SWIM_ALIVE},
        {{5, 1, SWIM_ALIVE}, {4, 9, SWIM_ALIVE}, SWIM_GOSSIP, {NO, NO}, SWIM_ALIVE},
        {{5, 1, SWIM_ALIVE}, {4, 9, SWIM_DEAD}, SWIM_GOSSIP, {NO, NO}, SWIM_ALIVE},
        {{5, 1, SWIM_ALIVE}, {6, 0, SWIM_DEAD}, SWIM_GOSSIP, {SWIM_EV_DEAD, NO}, SWIM_DEAD},
        {{5, 1, SWIM_DEAD}, {5, 1, SWIM_ALIVE}, SWIM_GOSSIP, {NO, NO}, SWIM_DEAD},
        {{5, 1, SWIM_DEAD}, {5, 1, SWIM_SUSPECT}, SWIM_GOSSIP, {NO, NO}, SWIM_DEAD},
        {{5, 1, SWIM_DEAD}, {5, 2, SWIM_ALIVE}, SWIM_GOSSIP, {JOINED, NO}, SWIM_ALIVE},
        {{5, 1, SWIM_DEAD}, {5, 3, SWIM_DEAD}, SWIM_GOSSIP, {NO, NO}, SWIM_DEAD},
        {{5, 1, SWIM_LEFT}, {6, 0, SWIM_ALIVE}, SWIM_GOSSIP, {JOINED, NO}, SWIM_ALIVE},
        {{5, 1, SWIM_LEFT}, {5, 1, SWIM_DEAD}, SWIM_GOSSIP, {NO, NO}, SWIM_LEFT},
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct swim *s = one_create();
        struct swim_node n = one_node("x", t[i].known.boot, t[i].known.incarnation, SWIM_ALIVE);
        one_tell(s, SWIM_GOSSIP, &n, true);
        if (t[i].known.state != SWIM_ALIVE) {
            n.claim.state = t[i].known.state;
            one_tell(s, SWIM_GOSSIP, &n, true);
        }
        n.claim = t[i].said;
        const struct swim_out *out = one_tell(s, t[i].by, &n, true);
        uint32_t want = t[i].events[0] == NO ? 0 : t[i].events[1] == NO ? 1 : 2;
        assert_int_equal(out->event_count, want);
        for (uint32_t k = 0; k < want; k++) {
            assert_int_equal((int)out->events[k].type, t[i].events[k]);
            assert_int_equal(out->events[k].member.boot, t[i].said.boot);
        }
        struct swim_member m;
        assert_true(swim_find(s, "x", &m));
        assert_int_equal(m.state, t[i].after);
        swim_destroy(s);
    }
}

static void the_dead_are_not_learned_from_hearsay(void **state)
{
    (void)state;
    struct swim *s = one_create();
    struct swim_node n = one_node("x", 5, 1, SWIM_DEAD);
    assert_int_equal(one_tell(s, SWIM_PUSH_PULL, &n, true)->event_count, 0);
    n.claim.state = SWIM_LEFT;
    assert_int_equal(one_tell(s, SWIM_GOSSIP, &n, true)->event_count, 0);
    assert_int_equal(swim_count(s), 1);
    swim_destroy(s);
}

static void a_short_claim_about_an_unknown_life_is_ignored(void **state)
{
    (void)state;
    struct swim *s = one_create();
    struct swim_node n = one_node("x", 5, 1, SWIM_SUSPECT);
    one_tell(s, SWIM_GOSSIP, &n, false);
    assert_int_equal(swim_count(s), 1);
    n.claim.state = SWIM_ALIVE;
    one_tell(s, SWIM_GOSSIP, &n, true);
    n.claim = (struct swim_claim){6, 1, SWIM_DEAD};
    assert_int_equal(one_tell(s, SWIM_GOSSIP, &n, false)->event_count, 0);
    n.claim = (struct swim_claim){5, 1, SWIM_DEAD};
    assert_int_equal(one_tell(s, SWIM_GOSSIP, &n, false)->event_count, 1);
    swim_destroy(s);
}

static void a_change_of_address_or_metadata_is_an_update(void **state)
{
    (void)state;
    struct swim *s = one_create();
    struct swim_node n = one_node("x", 5, 1, SWIM_ALIVE);
    one_tell(s, SWIM_GOSSIP, &n, true);
    n.claim.incarnation = 2;
    assert_int_equal(one_tell(s, SWIM_GOSSIP, &n, true)->event_count, 0);
    n.claim.incarnation = 3;
    n.meta_len = 4;
    const struct swim_out *out = one_tell(s, SWIM_GOSSIP, &n, true);
    assert_int_equal(out->event_count, 1);
    assert_int_equal(out->events[0].type, SWIM_EV_UPDATED);
    assert_int_equal(out->events[0].member.meta.len, 4);
    n.claim.incarnation = 4;
    snprintf(n.addr, sizeof n.addr, "y:1");
    out = one_tell(s, SWIM_GOSSIP, &n, true);
    assert_int_equal(out->events[0].type, SWIM_EV_UPDATED);
    assert_string_equal(out->events[0].member.addr, "y:1");
    swim_destroy(s);
}

static void only_we_raise_our_incarnation_and_only_to_refute(void **state)
{
    (void)state;
    static const struct {
        struct swim_claim said;
        uint32_t incarnation, health; /* ours, after */
        bool outlived;
    } t[] = {
        {{100, 0, SWIM_ALIVE}, 0, 0, false},   {{100, 0, SWIM_SUSPECT}, 1, 1, false},
        {{100, 0, SWIM_DEAD}, 1, 1, false},    {{100, 0, SWIM_LEFT}, 1, 1, false},
        {{100, 7, SWIM_SUSPECT}, 8, 1, false}, {{100, 7, SWIM_ALIVE}, 8, 0, false},
        {{99, 7, SWIM_DEAD}, 0, 0, false},     {{101, 0, SWIM_ALIVE}, 0, 0, true},
        {{101, 0, SWIM_DEAD}, 0, 0, true},     {{100, SWIM_INCARNATION_MAX, SWIM_DEAD}, 0, 1, true},
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct swim *s = one_create();
        struct swim_node n = one_node("me", t[i].said.boot, t[i].said.incarnation, t[i].said.state);
        const struct swim_out *out = one_tell(s, SWIM_GOSSIP, &n, true);
        assert_int_equal(out->event_count, t[i].outlived);
        if (t[i].outlived) assert_int_equal(out->events[0].type, SWIM_EV_OUTLIVED);
        assert_int_equal(swim_member_at(s, 0).incarnation, t[i].incarnation);
        assert_int_equal(swim_health(s), t[i].health);
        out = one_tell(s, SWIM_GOSSIP, &n, true); /* told again: nothing more */
        assert_int_equal(out->event_count, 0);
        assert_int_equal(swim_member_at(s, 0).incarnation, t[i].incarnation);
        swim_destroy(s);
    }
}

static void a_full_table_refuses_and_frees_up_by_reclaim(void **state)
{
    (void)state;
    struct swim *s = one_create();
    const struct swim_out *out = NULL;
    uint32_t joined = 0;
    for (int i = 1; i < DUN_PEERS_MAX + 10; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%d", i);
        struct swim_node n = one_node(name, 5, 1, SWIM_ALIVE);
        joined += one_tell(s, SWIM_GOSSIP, &n, true)->event_count;
    }
    assert_int_equal(joined, DUN_PEERS_MAX - 1);
    assert_int_equal(swim_count(s), DUN_PEERS_MAX);
    struct swim_node n = one_node("x1", 5, 1, SWIM_LEFT);
    one_tell(s, SWIM_GOSSIP, &n, true);
    n = one_node("late", 5, 1, SWIM_ALIVE);
    assert_int_equal(one_tell(s, SWIM_GOSSIP, &n, true)->event_count, 0); /* a tombstone counts */
    uint32_t events = 0;
    for (uint64_t end = s->now_ms + 60500; swim_deadline_ms(s) < end;) {
        swim_tick(s, swim_deadline_ms(s), &out); /* nobody answers: suspicions by and by */
        events += out->event_count;
        swim_check(s);
    }
    assert_true(events > 0);
    assert_int_equal(swim_count(s), DUN_PEERS_MAX - 1);
    assert_int_equal(one_tell(s, SWIM_GOSSIP, &n, true)->events[0].type, SWIM_EV_JOINED);
    assert_int_equal(swim_count(s), DUN_PEERS_MAX);
    swim_destroy(s);
}

static bool names(const struct swim_packet *p, const char *name)
{
    struct dun_slice rest = p->entries;
    for (uint32_t i = 0; i < p->entry_count; i++)
        if (dun_slice_is(swim_wire_next_entry(&rest).name, name)) return true;
    return false;
}

/* How many packets of a table answer @who, who has (@joined) or has not yet joined, and how
 * many members they name, @who apart if @known. */
static uint32_t table_packets(struct swim *s, const char *who, bool known, bool joined,
                              uint32_t *named)
{
    struct dun_buf b = {0};
    const struct swim_out *out;
    uint32_t packets = 0;
    *named = 0;
    struct swim_packet ask = {
        .type = SWIM_PUSH_PULL, .from_addr = dun_slice_str("p:1"), .seq = 1, .joined = joined};
    swim_wire_write(&b, &ask);
    assert_int_equal(swim_recv(s, s->now_ms, who, 1, dun_buf_view(&b), &out), DUN_OK);
    for (bool more = true; more; swim_tick(s, s->now_ms, &out)) {
        for (uint32_t i = 0; i < out->packet_count; i++) {
            struct swim_packet p;
            assert_int_equal(swim_wire_read(out->packets[i].bytes, &p), DUN_OK);
            if (p.type != SWIM_PUSH_PULL_REPLY) continue;
            packets++;
            assert_true(names(&p, "me") && names(&p, who) == known);
            *named += p.entry_count - 1 - known; /* each part names these too */
        }
        more = s->packets != NULL;
    }
    dun_buf_deinit(&b);
    return packets;
}

/* Else it would be ignorant of some for minutes. */
static void a_newcomer_gets_the_whole_of_a_large_table(void **state)
{
    (void)state;
    struct swim *s = one_create();
    uint32_t named;
    for (int i = 1; i < DUN_PEERS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%04d", i);
        struct swim_node n = one_node(name, 1, 0, SWIM_ALIVE);
        n.meta_len = 120;
        one_tell(s, SWIM_GOSSIP, &n, true);
    }
    assert_true(table_packets(s, "p", false, false, &named) > 1);
    assert_int_equal(named, DUN_PEERS_MAX - 1);
    assert_int_equal(table_packets(s, "p", false, true, &named), 1);
    assert_true(named < DUN_PEERS_MAX - 1);
    /* Whichever part comes first shows whether the name is in use. */
    assert_true(table_packets(s, "n0500", true, false, &named) > 1);
    assert_int_equal(named, DUN_PEERS_MAX - 2);
    for (uint32_t i = 0; i < 10; i++) /* and what is thought of a member is in any */
        assert_int_equal(table_packets(s, "n0500", true, true, &named), 1);
    swim_destroy(s);
}

static void many_results_are_handed_out_in_order_over_several_ticks(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    struct swim *s = one_create();
    static struct swim_node nodes[COUNT];
    for (int i = 0; i < COUNT; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%d", i);
        nodes[i] = one_node(name, 5, 1, SWIM_ALIVE);
    }
    struct dun_buf b = {0};
    const struct swim_out *out;
    one_packet(&b, SWIM_PUSH_PULL_REPLY, "p:1", nodes, COUNT, true);
    uint64_t now = s->now_ms;
    assert_int_equal(swim_recv(s, now, "p", 1, dun_buf_view(&b), &out), DUN_OK);
    uint32_t seen = 0;
    for (;;) {
        for (uint32_t i = 0; i < out->event_count; i++, seen++) {
            assert_int_equal(out->events[i].type, SWIM_EV_JOINED);
            assert_string_equal(out->events[i].member.name, nodes[seen].name);
        }
        if (seen == COUNT) break;
        assert_int_equal(out->event_count, SWIM_OUT_EVENTS_MAX);
        assert_int_equal(swim_deadline_ms(s), now);
        swim_tick(s, now, &out);
    }
    uint32_t told = 0;
    swim_leave(s, now, &out);
    for (;; swim_tick(s, now, &out)) {
        for (uint32_t i = 0; i < out->packet_count; i++) {
            struct swim_packet p;
            assert_int_equal(swim_wire_read(out->packets[i].bytes, &p), DUN_OK);
            struct dun_slice rest = p.entries;
            if (p.type != SWIM_GOSSIP) continue;
            for (uint32_t k = 0; k < p.entry_count; k++) {
                struct swim_entry e = swim_wire_next_entry(&rest);
                told += dun_slice_is(e.name, "me") && e.claim.state == SWIM_LEFT;
            }
        }
        if (out->packet_count < SWIM_OUT_PACKETS_MAX) break;
    }
    assert_int_equal(told, COUNT); /* each of them, not only the first 64 */
    assert_true(swim_deadline_ms(s) > now);
    dun_buf_deinit(&b);
    swim_destroy(s);
}

static void a_caller_that_never_ticks_is_refused_before_events_pile_up(void **state)
{
    (void)state;
    struct swim *s = one_create();
    static struct swim_node nodes[512];
    dun_err e = DUN_OK;
    uint32_t most = 0;
    for (uint32_t round = 1; round < 200 && e == DUN_OK; round++) {
        for (uint32_t i = 0; i < DUN_COUNT(nodes); i++) {
            char name[16];
            snprintf(name, sizeof name, "x%u", i);
            nodes[i] = one_node(name, round, 1, SWIM_ALIVE);
        }
        struct dun_buf b = {0};
        const struct swim_out *out;
        one_packet(&b, SWIM_PUSH_PULL_REPLY, "p:1", nodes, DUN_COUNT(nodes), true);
        e = swim_recv(s, s->now_ms, "p", 1, dun_buf_view(&b), &out);
        if (s->events_queued > most) most = s->events_queued;
        dun_buf_deinit(&b);
    }
    assert_int_equal(e, DUN_E_FULL);
    assert_true(most <= SWIM_EVENTS_QUEUED_MAX + 2 * DUN_PEERS_MAX);
    swim_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newer_boot_then_incarnation_then_worse_state_wins),
        cmocka_unit_test(a_claim_about_a_known_member_causes_the_right_events),
        cmocka_unit_test(the_dead_are_not_learned_from_hearsay),
        cmocka_unit_test(a_short_claim_about_an_unknown_life_is_ignored),
        cmocka_unit_test(a_change_of_address_or_metadata_is_an_update),
        cmocka_unit_test(only_we_raise_our_incarnation_and_only_to_refute),
        cmocka_unit_test(a_full_table_refuses_and_frees_up_by_reclaim),
        cmocka_unit_test(a_newcomer_gets_the_whole_of_a_large_table),
        cmocka_unit_test(many_results_are_handed_out_in_order_over_several_ticks),
        cmocka_unit_test(a_caller_that_never_ticks_is_refused_before_events_pile_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
