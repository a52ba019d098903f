/* tests/unit/cluster/test_node.c: stories of whole nodes on a perfect network. */
#include "base/prng.h"
#include "tests/unit/cluster/cluster_net.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct net *formed(uint32_t count, uint32_t groups)
{
    struct net *t = net_create(count, groups, 60000);
    for (uint32_t i = 0; i < count; i++)
        net_up(t, i);
    assert_true(net_until_ready(t, 10000));
    return t;
}

static void one_three_and_five_voters_form(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 2, 3, 5};
    for (size_t k = 0; k < DUN_COUNT(counts); k++) {
        struct net *t = formed(counts[k], 8);
        for (uint32_t g = 0; g < 8; g++)
            assert_true(net_primary(t, g) < counts[k]);
        uint32_t led = 0;
        for (uint32_t i = 0; i < counts[k]; i++) {
            struct node_status s;
            node_status(t->node[i], &s);
            led += s.groups_primary;
            assert_int_equal(s.reforms, 0);
        }
        assert_int_equal(led, 8);
        net_destroy(t);
    }
}

static void a_publish_through_any_peer_is_applied_on_all(void **state)
{
    (void)state;
    struct net *t = formed(3, 8);
    for (uint32_t i = 0; i < 30; i++) {
        assert_int_equal(net_publish(t, i % 3, i, "c", "", "{\"a\":1}"), DUN_OK);
        assert_true(net_until_reply(t, i, 1000));
        assert_int_equal(t->replies[i].err, DUN_OK);
        assert_int_equal(t->replies[i].seq, i + 1);
    }
    net_run(t, 300);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(net_position(t, i, "c").seq, 30);
    net_destroy(t);
}

static void a_key_publishes_once_through_any_peer(void **state)
{
    (void)state;
    struct net *t = formed(3, 4);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(net_publish(t, i, i, "c", "same", "1"), DUN_OK);
        assert_true(net_until_reply(t, i, 1000));
        assert_int_equal(t->replies[i].seq, 1);
        assert_int_equal(t->replies[i].duplicate, i != 0);
    }
    net_destroy(t);
}

static void killing_any_primary_loses_nothing_and_is_short(void **state)
{
    (void)state;
    struct net *t = formed(3, 4);
    uint32_t cookie = 0;
    for (uint32_t round = 0; round < 6; round++) {
        uint32_t group = store_group_of(dun_slice_str("c"), 4);
        uint32_t victim = net_primary(t, group), other = (victim + 1) % 3;
        for (uint32_t k = 0; k < 10; k++)
            assert_int_equal(net_publish(t, other, cookie++, "c", "", "1"), DUN_OK);
        net_down(t, victim);
        for (uint32_t i = 0; i < 3; i++) {
            if (i == victim) continue;
            struct node_event ev = {.type = NODE_EV_LINK_LOST};
            char addr[32];
            snprintf(addr, sizeof addr, "10.0.0.%u:2", victim);
            ev.link.plane = NODE_REPLICATION;
            ev.link.addr = addr;
            assert_int_equal(net_event(t, i, ev), DUN_OK);
        }
        for (uint32_t k = 0; k < 10; k++) {
            assert_true(net_until_reply(t, cookie - 10 + k, 500));
            assert_int_equal(t->replies[cookie - 10 + k].err, DUN_OK);
        }
        net_run(t, 500);
        net_up(t, victim);
        assert_true(net_until_ready(t, 5000));
        for (uint32_t i = 0; i < 3; i++) {
            assert_int_equal(net_position(t, i, "c").seq, cookie);
            struct node_status s;
            node_status(t->node[i], &s);
            assert_int_equal(s.reforms, 0);
        }
    }
    net_destroy(t);
}

static void a_paused_primary_is_replaced_and_catches_up(void **state)
{
    (void)state;
    struct net *t = formed(3, 2);
    uint32_t group = store_group_of(dun_slice_str("c"), 2), victim = net_primary(t, group);
    for (uint32_t i = 0; i < 3; i++)
        t->cut[i][victim] = t->cut[victim][i] = true;
    uint32_t other = (victim + 1) % 3;
    assert_int_equal(net_publish(t, other, 1, "c", "", "1"), DUN_OK);
    assert_true(net_until_reply(t, 1, 3000));
    assert_int_equal(t->replies[1].err, DUN_OK);
    net_run(t, 2000);
    struct node_status s;
    node_status(t->node[victim], &s);
    assert_false(s.ready);
    assert_int_equal(net_publish(t, victim, 2, "c", "", "1"), DUN_E_UNREADY);
    memset(t->cut, 0, sizeof t->cut);
    assert_true(net_until_ready(t, 8000));
    assert_int_equal(net_position(t, victim, "c").seq, 1);
    net_destroy(t);
}

static void a_peer_far_behind_gets_a_snapshot(void **state)
{
    (void)state;
    struct net *t = formed(3, 1);
    net_down(t, 2);
    uint32_t cookie = 0;
    net_run(t, 3000);
    char channel[32];
    for (uint32_t k = 0; k < 6000; k++) {
        snprintf(channel, sizeof channel, "c%u", k % 7);
        assert_int_equal(net_publish(t, k % 2, cookie++, channel, "", "{\"some\":\"text\"}"),
                         DUN_OK);
        if (k % 200 == 199) net_run(t, 5);
    }
    net_run(t, 300);
    net_up(t, 2);
    assert_true(net_until_ready(t, 8000));
    struct node_status s;
    node_status(t->node[2], &s);
    assert_true(s.snapshots_in >= 1);
    assert_int_equal(store_digest(t->store[2], 0), store_digest(t->store[0], 0));
    net_destroy(t);
}

static void a_total_restart_starts_empty_under_a_new_epoch(void **state)
{
    (void)state;
    struct net *t = formed(3, 1);
    assert_int_equal(net_publish(t, 0, 1, "c", "", "1"), DUN_OK);
    assert_true(net_until_reply(t, 1, 1000));
    uint64_t epoch = net_position(t, 0, "c").epoch;
    for (uint32_t i = 0; i < 3; i++)
        net_down(t, i);
    net_run(t, 1000);
    for (uint32_t i = 0; i < 3; i++)
        net_up(t, i);
    assert_true(net_until_ready(t, 10000));
    assert_int_equal(net_position(t, 0, "c").seq, 0);
    assert_true(net_position(t, 0, "c").epoch > epoch);
    net_destroy(t);
}

static void majority_loss_reforms_from_the_survivor_under_a_new_epoch(void **state)
{
    (void)state;
    struct net *t = formed(3, 1);
    assert_int_equal(net_publish(t, 0, 1, "c", "", "1"), DUN_OK);
    assert_true(net_until_reply(t, 1, 1000));
    net_run(t, 100);
    uint64_t epoch = net_position(t, 0, "c").epoch;
    net_down(t, 1);
    net_down(t, 2);
    net_run(t, 1000);
    net_up(t, 1);
    net_up(t, 2);
    assert_true(net_until_ready(t, 10000));
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(net_position(t, i, "c").seq, 1);
        assert_true(net_position(t, i, "c").epoch > epoch);
    }
    net_destroy(t);
}

static void a_missing_voter_is_waited_for_before_forming(void **state)
{
    (void)state;
    struct net *t = net_create(3, 1, 5000);
    net_up(t, 0);
    net_up(t, 1);
    assert_false(net_until_ready(t, 4500));
    assert_true(net_until_ready(t, 3000));
    net_destroy(t);
}

static void draining_hands_all_groups_over(void **state)
{
    (void)state;
    struct net *t = formed(3, 16);
    assert_int_equal(net_event(t, 1, (struct node_event){.type = NODE_EV_DRAIN}), DUN_OK);
    struct node_status s;
    for (uint32_t k = 0; k < 300; k++) {
        net_run(t, 10);
        node_status(t->node[1], &s);
        if (s.drained) break;
    }
    assert_true(s.drained);
    net_destroy(t);
}

static void primaries_return_to_their_preferred_peer(void **state)
{
    (void)state;
    struct net *t = formed(3, 16);
    uint32_t before[16];
    net_run(t, 8000);
    for (uint32_t g = 0; g < 16; g++)
        before[g] = net_primary(t, g);
    net_down(t, 0);
    net_run(t, 3000);
    for (uint32_t g = 0; g < 16; g++)
        assert_true(net_primary(t, g) != 0);
    net_up(t, 0);
    net_run(t, 15000);
    for (uint32_t g = 0; g < 16; g++)
        assert_int_equal(net_primary(t, g), before[g]);
    net_destroy(t);
}

static void garbage_packets_are_refused_and_harm_nothing(void **state)
{
    (void)state;
    struct net *t = formed(3, 2);
    struct dun_prng r;
    dun_prng_seed(&r, 7);
    for (uint32_t k = 0; k < 20000; k++) {
        uint8_t bytes[64];
        for (size_t b = 0; b < sizeof bytes; b++)
            bytes[b] = (uint8_t)dun_prng_next(&r);
        struct node_event ev = {.type = NODE_EV_PACKET};
        ev.packet.plane = k % 2 == 0 ? NODE_REPLICATION : NODE_GOSSIP;
        ev.packet.from_name = "n2";
        ev.packet.from_boot = t->boot[1];
        ev.packet.bytes = dun_slice(bytes, k % sizeof bytes);
        assert_int_not_equal(net_event(t, 0, ev), DUN_OK);
    }
    assert_int_equal(net_publish(t, 0, 1, "c", "", "1"), DUN_OK);
    assert_true(net_until_reply(t, 1, 1000));
    net_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_three_and_five_voters_form),
        cmocka_unit_test(a_publish_through_any_peer_is_applied_on_all),
        cmocka_unit_test(a_key_publishes_once_through_any_peer),
        cmocka_unit_test(killing_any_primary_loses_nothing_and_is_short),
        cmocka_unit_test(a_paused_primary_is_replaced_and_catches_up),
        cmocka_unit_test(a_peer_far_behind_gets_a_snapshot),
        cmocka_unit_test(a_total_restart_starts_empty_under_a_new_epoch),
        cmocka_unit_test(majority_loss_reforms_from_the_survivor_under_a_new_epoch),
        cmocka_unit_test(a_missing_voter_is_waited_for_before_forming),
        cmocka_unit_test(draining_hands_all_groups_over),
        cmocka_unit_test(primaries_return_to_their_preferred_peer),
        cmocka_unit_test(garbage_packets_are_refused_and_harm_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
