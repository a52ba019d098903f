/* tests/unit/cluster/test_swim.c: membership stories between several peers. */
#include "swim_net.h"

#include "base/assert.h"

static struct net *cluster(uint32_t count, uint32_t seeds, uint64_t seed)
{
    struct net *n = net_create(seed);
    for (uint32_t i = 0; i < count; i++)
        net_start_default(n, i, seeds, 100 + i);
    assert_true(net_until(n, net_all_alive, NULL, 10000));
    return n;
}

static void peers_that_start_together_find_each_other(void **state)
{
    (void)state;
    static const struct {
        uint32_t count, seeds;
        uint64_t within_ms;
    } t[] = {{3, 3, 2000}, {7, 3, 3000}, {7, 7, 3000}, {16, 2, 4000}, {2, 2, 1500}};
    for (uint64_t seed = 1; seed <= 20; seed++) {
        for (size_t i = 0; i < DUN_COUNT(t); i++) {
            struct net *n = net_create(seed);
            for (uint32_t k = 0; k < t[i].count; k++)
                net_start_default(n, k, t[i].seeds, 100 + k);
            assert_true(net_until(n, net_all_alive, NULL, t[i].within_ms));
            net_run(n, 20000);
            for (uint32_t k = 0; k < t[i].count; k++) {
                assert_int_equal(net_count(n, k, SWIM_EV_JOINED, NULL), t[i].count - 1);
                assert_int_equal(n->peers[k].event_count, t[i].count - 1);
                assert_int_equal(swim_count(n->peers[k].swim), t[i].count);
                assert_int_equal(swim_health(n->peers[k].swim), 0);
            }
            net_destroy(n);
        }
    }
}

static void a_peer_without_other_seeds_is_a_cluster_of_one(void **state)
{
    (void)state;
    struct net *n = net_create(1);
    net_start_default(n, 0, 1, 5);
    net_run(n, 3000);
    assert_int_equal(swim_count(n->peers[0].swim), 1);
    assert_int_equal(n->peers[0].event_count, 0);
    net_start_default(n, 1, 1, 6);
    assert_true(net_until(n, net_all_alive, NULL, 500)); /* an established peer answers at once */
    net_destroy(n);
}

static void seeds_are_retried_until_one_answers(void **state)
{
    (void)state;
    struct net *n = net_create(2);
    net_start_default(n, 1, 1, 5); /* knows h0 only, which is down */
    net_run(n, 60000);
    assert_int_equal(swim_count(n->peers[1].swim), 1);
    net_start_default(n, 0, 1, 6);
    assert_true(net_until(n, net_all_alive, NULL, 8000));
    net_destroy(n);
}

static bool n2_dead_everywhere(struct net *n, void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < n->peer_count; i++)
        if (n->peers[i].swim != NULL && i != 2 && !net_sees(n, i, "n2", SWIM_DEAD)) return false;
    return true;
}

static void a_silent_peer_is_suspected_then_dead_then_forgotten(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint32_t count = seed % 2 == 0 ? 3 : 7;
        struct net *n = cluster(count, 3, seed);
        net_kill(n, 2);
        assert_true(net_until(n, n2_dead_everywhere, NULL, 8000));
        net_run(n, 2000);
        for (uint32_t i = 0; i < count; i++) {
            if (i == 2) continue;
            assert_int_equal(net_count(n, i, SWIM_EV_SUSPECT, "n2"), 1);
            assert_int_equal(net_count(n, i, SWIM_EV_DEAD, "n2"), 1);
            assert_int_equal(net_count(n, i, SWIM_EV_DEAD, NULL), 1);
        }
        assert_int_equal(swim_count(n->peers[0].swim), count);
        net_run(n, 65000);
        for (uint32_t i = 0; i < count; i++)
            if (i != 2) assert_int_equal(swim_count(n->peers[i].swim), count - 1);
        net_destroy(n);
    }
}

static bool n2_suspect_at_0_and_1(struct net *n, void *arg)
{
    (void)arg;
    return net_sees(n, 0, "n2", SWIM_SUSPECT) && net_sees(n, 1, "n2", SWIM_SUSPECT);
}

static void link_lost(struct net *n, uint32_t i, const char *addr)
{
    const struct swim_out *out;
    swim_link_lost(n->peers[i].swim, n->now_ms, addr, &out);
    net_do(n, &n->peers[i], out);
}

static void a_lost_link_to_a_dead_peer_makes_it_suspect_in_two_timeouts(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct net *n = cluster(3, 3, seed);
        net_run(n, 3000 + seed * 17);
        net_kill(n, 2);
        link_lost(n, 0, "h2:1");
        link_lost(n, 1, "h2:1");
        link_lost(n, 1, "h9:9");                                     /* unknown: ignored */
        assert_true(net_until(n, n2_suspect_at_0_and_1, NULL, 115)); /* the nacks say so */
        assert_int_equal(net_count(n, 0, SWIM_EV_DEAD, NULL), 0);
        assert_true(net_until(n, n2_dead_everywhere, NULL, 2500));
        net_destroy(n);
    }
    struct net *n = cluster(2, 2, 7); /* no third peer to ask */
    net_run(n, 3000);
    net_kill(n, 1);
    link_lost(n, 0, "h1:1");
    net_run(n, 205);
    assert_true(net_sees(n, 0, "n1", SWIM_SUSPECT));
    net_destroy(n);
}

static void count_pings(struct net *n, struct net_peer *from, const char *to,
                        struct dun_slice bytes)
{
    struct swim_packet p;
    assert_int_equal(swim_wire_read(bytes, &p), DUN_OK);
    if (from == &n->peers[0] && p.type == SWIM_PING && strcmp(to, "n2") == 0)
        ++*(uint32_t *)n->spy_ctx;
}

static void a_lost_link_to_a_living_peer_changes_nothing_however_often(void **state)
{
    (void)state;
    uint32_t pings = 0;
    struct net *n = cluster(3, 3, 3);
    n->spy = count_pings;
    n->spy_ctx = &pings;
    net_kill(n, 2);
    for (int i = 0; i < 1000; i++)
        link_lost(n, 0, "h2:1");
    assert_int_equal(pings, 1); /* one fast probe at a time */
    net_destroy(n);

    n = cluster(3, 3, 4);
    for (int i = 0; i < 50; i++) {
        link_lost(n, 0, "h2:1");
        link_lost(n, 0, "h2:1");
        net_run(n, 37);
    }
    assert_int_equal(net_count(n, 0, SWIM_EV_SUSPECT, NULL), 0);
    net_destroy(n);
}

static void a_peer_that_was_paused_refutes_and_blames_nobody(void **state)
{
    (void)state;
    static const uint32_t pauses_ms[] = {800, 1200, 10000, 40000};
    for (size_t i = 0; i < DUN_COUNT(pauses_ms); i++) {
        struct net *n = cluster(5, 3, 11 + i);
        net_run(n, 5000);
        n->peers[2].paused = true;
        net_run(n, pauses_ms[i]);
        n->peers[2].paused = false;
        assert_true(net_until(n, net_all_alive, NULL, 5000));
        net_run(n, 10000);
        assert_true(net_all_alive(n, NULL));
        assert_int_equal(net_count(n, 2, SWIM_EV_DEAD, NULL), 0);
        for (uint32_t k = 0; k < 5; k++) {
            if (k == 2) continue;
            uint32_t back =
                net_count(n, k, SWIM_EV_ALIVE, "n2") + net_count(n, k, SWIM_EV_JOINED, "n2") - 1;
            assert_int_equal(back, net_count(n, k, SWIM_EV_SUSPECT, "n2") > 0 ? 1 : 0);
            assert_int_equal(net_count(n, k, SWIM_EV_DEAD, NULL),
                             net_count(n, k, SWIM_EV_DEAD, "n2"));
        }
        net_destroy(n);
    }
}

static bool sides_are_apart(struct net *n, void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < n->peer_count; i++)
        for (uint32_t k = 0; k < n->peer_count; k++)
            if (n->peers[i].side != n->peers[k].side &&
                !net_sees(n, i, n->peers[k].name, SWIM_DEAD))
                return false;
    return true;
}

static void a_healed_partition_merges_by_itself(void **state)
{
    (void)state;
    static const struct {
        uint32_t count, seeds, cut; /* peers below @cut stay on side 0 */
        uint32_t apart_ms;
    } t[] = {{3, 3, 2, 10000}, {7, 3, 4, 20000}, {7, 1, 3, 20000}, {7, 7, 3, 200000}};
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        struct net *n = cluster(t[i].count, t[i].seeds, 21 + i);
        for (uint32_t k = t[i].cut; k < t[i].count; k++)
            n->peers[k].side = 1;
        assert_true(net_until(n, sides_are_apart, NULL, 15000));
        net_run(n, t[i].apart_ms); /* the last row: tombstones are gone, only seeds are left */
        uint32_t before[NET_PEERS_MAX];
        for (uint32_t k = 0; k < t[i].count; k++) {
            before[k] = net_count(n, k, SWIM_EV_DEAD, NULL);
            n->peers[k].side = 0;
        }
        assert_true(net_until(n, net_all_alive, NULL, 15000));
        net_run(n, 20000);
        assert_true(net_all_alive(n, NULL));
        for (uint32_t k = 0; k < t[i].count; k++) /* merging kills nobody */
            assert_int_equal(net_count(n, k, SWIM_EV_DEAD, NULL), before[k]);
        net_destroy(n);
    }
}

static void a_healed_partition_merges_when_the_seeds_are_gone(void **state)
{
    (void)state;
    struct net *n = cluster(7, 1, 24);
    net_kill(n, 0); /* the only seed */
    net_run(n, 10000);
    for (uint32_t k = 4; k < 7; k++)
        n->peers[k].side = 1;
    net_run(n, 20000);
    assert_true(net_sees(n, 1, "n6", SWIM_DEAD) && net_sees(n, 6, "n1", SWIM_DEAD));
    for (uint32_t k = 4; k < 7; k++)
        n->peers[k].side = 0;
    assert_true(net_until(n, net_all_alive, NULL, 20000));
    net_destroy(n);
}

static void halves_that_started_apart_merge(void **state)
{
    (void)state;
    struct net *n = net_create(31);
    for (uint32_t i = 0; i < 6; i++) {
        net_start_default(n, i, 6, 100 + i);
        n->peers[i].side = i < 3 ? 0 : 1;
    }
    net_run(n, 90000);
    assert_int_equal(swim_count(n->peers[0].swim), 3);
    assert_int_equal(swim_count(n->peers[5].swim), 3);
    for (uint32_t i = 0; i < 6; i++)
        n->peers[i].side = 0;
    assert_true(net_until(n, net_all_alive, NULL, 10000));
    net_destroy(n);
}

static void a_new_life_of_a_peer_is_a_join_with_the_new_boot(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct net *n = cluster(3, 3, seed);
        net_run(n, 2000);
        net_kill(n, 2);
        net_run(n, 50 * seed); /* never declared dead */
        net_start_default(n, 2, 3, 9000);
        net_run(n, 3000);
        assert_true(net_all_alive(n, NULL));
        for (uint32_t i = 0; i < 2; i++) {
            assert_int_equal(net_count(n, i, SWIM_EV_JOINED, "n2"), 2);
            assert_int_equal(net_last(n, i, SWIM_EV_JOINED, "n2")->boot, 9000);
            assert_int_equal(net_count(n, i, SWIM_EV_DEAD, NULL), 0);
        }
        assert_int_equal(net_count(n, 2, SWIM_EV_CONFLICT, NULL), 0);
        net_destroy(n);
    }
}

static void a_new_life_at_another_address_waits_for_the_old_one_then_joins(void **state)
{
    (void)state;
    struct net *n = cluster(3, 3, 5);
    net_run(n, 2000);
    net_kill(n, 2);
    struct swim_config c = {.name = "n2",
                            .addr = "moved:1",
                            .seeds = {"h0:1", "h1:1"},
                            .seed_count = 2,
                            .boot = 9000,
                            .prng_seed = 3};
    net_start(n, 2, &c);
    net_run(n, 1400);
    assert_int_equal(net_count(n, 0, SWIM_EV_JOINED, "n2"), 1); /* still asking */
    net_run(n, 2000);
    assert_true(net_all_alive(n, NULL));
    assert_string_equal(net_last(n, 0, SWIM_EV_JOINED, "n2")->addr, "moved:1");
    assert_int_equal(net_last(n, 1, SWIM_EV_JOINED, "n2")->boot, 9000);
    assert_int_equal(net_count(n, 2, SWIM_EV_CONFLICT, NULL), 0);
    net_destroy(n);
}

static void a_peer_with_a_name_in_use_is_told_and_harms_nobody(void **state)
{
    (void)state;
    static const uint64_t boots[] = {1, 9000}; /* older and newer than the established one's */
    for (size_t i = 0; i < DUN_COUNT(boots); i++) {
        for (uint32_t seed = 0; seed < 3; seed++) { /* seed 2 is the bearer itself */
            static const char *const addrs[] = {"h0:1", "h1:1", "h2:1"};
            struct net *n = cluster(3, 3, 6);
            struct swim_config c = {.name = "n2",
                                    .addr = "thief:1",
                                    .seeds = {addrs[seed]},
                                    .seed_count = 1,
                                    .boot = boots[i],
                                    .prng_seed = 3};
            net_start(n, 3, &c);
            net_run(n, 5000);
            assert_int_equal(net_count(n, 3, SWIM_EV_CONFLICT, "n2"), 1);
            assert_string_equal(net_last(n, 3, SWIM_EV_CONFLICT, "n2")->addr, "h2:1");
            assert_int_equal(net_last(n, 3, SWIM_EV_CONFLICT, "n2")->boot, 102);
            for (uint32_t k = 0; k < 3; k++) {
                assert_int_equal(net_count(n, k, SWIM_EV_CONFLICT, NULL), 0);
                assert_int_equal(net_count(n, k, SWIM_EV_OUTLIVED, NULL), 0);
                assert_int_equal(net_count(n, k, SWIM_EV_SUSPECT, NULL), 0);
                assert_int_equal(net_count(n, k, SWIM_EV_JOINED, NULL), 2);
            }
            net_destroy(n);
        }
    }
}

static void a_peer_with_too_old_a_boot_learns_the_known_one(void **state)
{
    (void)state;
    for (uint64_t boot = 50; boot <= 102; boot += 52) { /* below, and the very same */
        struct net *n = cluster(3, 3, 8);
        net_run(n, 1000);
        net_kill(n, 2);
        net_run(n, 100);
        net_start_default(n, 2, 3, boot);
        net_run(n, 20000);
        assert_int_equal(net_count(n, 2, SWIM_EV_OUTLIVED, "n2"), 1);
        assert_int_equal(net_last(n, 2, SWIM_EV_OUTLIVED, "n2")->boot, 102);
        assert_int_equal(net_count(n, 0, SWIM_EV_JOINED, "n2"), 1);
        net_kill(n, 2);
        net_start_default(n, 2, 3, 103);
        assert_true(net_until(n, net_all_alive, NULL, 3000));
        net_destroy(n);
    }
}

static void an_old_life_that_wakes_up_learns_that_it_is_outlived(void **state)
{
    (void)state;
    struct net *n = cluster(3, 3, 9);
    net_run(n, 1000);
    n->peers[2].side = 1;
    net_run(n, 8000);
    struct swim_config c = {.name = "n2",
                            .addr = "moved:1",
                            .seeds = {"h0:1", "h1:1"},
                            .seed_count = 2,
                            .boot = 9000,
                            .prng_seed = 3};
    net_start(n, 3, &c);
    net_run(n, 5000);
    assert_true(net_sees(n, 0, "n2", SWIM_ALIVE));
    n->peers[2].side = 0;
    net_run(n, 20000);
    assert_int_equal(net_count(n, 2, SWIM_EV_OUTLIVED, "n2"), 1);
    assert_int_equal(net_last(n, 2, SWIM_EV_OUTLIVED, "n2")->boot, 9000);
    struct swim_member m;
    assert_true(swim_find(n->peers[1].swim, "n2", &m));
    assert_int_equal(m.boot, 9000);
    assert_int_equal(m.state, SWIM_ALIVE);
    net_destroy(n);
}

static void who_leaves_is_left_at_once_and_answers_on(void **state)
{
    (void)state;
    struct net *n = cluster(5, 3, 10);
    const struct swim_out *out;
    net_run(n, 2000);
    swim_leave(n->peers[4].swim, n->now_ms, &out);
    net_do(n, &n->peers[4], out);
    net_run(n, 20);
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(net_sees(n, i, "n4", SWIM_LEFT));
        assert_int_equal(net_count(n, i, SWIM_EV_LEFT, "n4"), 1);
    }
    uint32_t events = n->peers[4].event_count;
    net_run(n, 80000);
    assert_int_equal(n->peers[4].event_count, events);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(net_count(n, i, SWIM_EV_SUSPECT, NULL), 0);
        assert_int_equal(swim_count(n->peers[i].swim), 4); /* reclaimed */
    }
    net_kill(n, 4);
    net_start_default(n, 4, 3, 9000);
    assert_true(net_until(n, net_all_alive, NULL, 3000));
    net_destroy(n);
}

static void lost_packets_cause_no_false_death(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        uint32_t count = seed % 3 == 0 ? 3 : seed % 3 == 1 ? 5 : 7;
        struct net *n = net_create(seed);
        n->loss_per_million = 100000;
        for (uint32_t i = 0; i < count; i++)
            net_start_default(n, i, 3, 100 + i);
        assert_true(net_until(n, net_all_alive, NULL, 15000));
        net_run(n, 300000);
        for (uint32_t i = 0; i < count; i++)
            assert_int_equal(net_count(n, i, SWIM_EV_DEAD, NULL), 0);
        n->loss_per_million = 0;
        assert_true(net_until(n, net_all_alive, NULL, 5000));
        net_destroy(n);
    }
}

struct told {
    uint32_t about_n3[NET_PEERS_MAX]; /* times peer i told that n3 is dead */
};

static void count_news(struct net *n, struct net_peer *from, const char *to, struct dun_slice bytes)
{
    struct told *told = n->spy_ctx;
    struct swim_packet p;
    assert_int_equal(swim_wire_read(bytes, &p), DUN_OK);
    if (p.type == SWIM_PUSH_PULL || p.type == SWIM_PUSH_PULL_REPLY) return;
    assert_true(bytes.len <= SWIM_PACKET_MAX);
    struct dun_slice rest = p.entries;
    for (uint32_t i = 0; i < p.entry_count; i++) {
        struct swim_entry e = swim_wire_next_entry(&rest);
        if (dun_slice_is(e.name, "n3") && e.claim.state == SWIM_DEAD && strcmp(to, "n3") != 0)
            told->about_n3[from - n->peers]++;
    }
}

static void news_is_told_a_bounded_number_of_times(void **state)
{
    (void)state;
    struct told told = {{0}};
    struct net *n = cluster(7, 3, 12);
    n->spy = count_news;
    n->spy_ctx = &told;
    net_kill(n, 3);
    net_run(n, 30000);
    uint32_t limit = swim_gossip_limit(7, 4), sum = 0;
    assert_int_equal(limit, 12); /* 4 * ceil(log2(8)) */
    for (uint32_t i = 0; i < 7; i++) {
        assert_true(told.about_n3[i] <= limit);
        sum += told.about_n3[i];
    }
    assert_true(sum > 0);
    net_destroy(n);
}

static void count_hearsay(struct net *n, struct net_peer *from, const char *to,
                          struct dun_slice bytes)
{
    struct swim_packet p;
    (void)to;
    assert_int_equal(swim_wire_read(bytes, &p), DUN_OK);
    if (from != &n->peers[8] || p.type == SWIM_PUSH_PULL || p.type == SWIM_PUSH_PULL_REPLY) return;
    struct dun_slice rest = p.entries;
    for (uint32_t i = 0; i < p.entry_count; i++) {
        struct swim_entry e = swim_wire_next_entry(&rest);
        ++((uint32_t *)n->spy_ctx)[dun_slice_is(e.name, "n8") ? 0 : 1];
    }
}

/* In a large cluster it would speak of nothing else for minutes. */
static void a_newcomer_tells_of_itself_and_not_what_it_was_told(void **state)
{
    (void)state;
    uint32_t told[2] = {0, 0}; /* of itself, of others */
    struct net *n = cluster(8, 3, 29);
    net_run(n, 30000);
    n->spy = count_hearsay;
    n->spy_ctx = told;
    net_start_default(n, 8, 3, 1);
    assert_true(net_until(n, net_all_alive, NULL, 5000));
    net_run(n, 20000);
    assert_true(told[0] > 0);
    assert_int_equal(told[1], 0);
    net_destroy(n);
}

static void new_metadata_reaches_all(void **state)
{
    (void)state;
    struct net *n = cluster(5, 3, 13);
    const struct swim_out *out;
    uint8_t meta[DUN_META_MAX];
    memset(meta, 7, sizeof meta);
    swim_set_meta(n->peers[1].swim, n->now_ms, dun_slice(meta, sizeof meta), &out);
    net_do(n, &n->peers[1], out);
    net_run(n, 1500);
    for (uint32_t i = 0; i < 5; i++) {
        struct swim_member m;
        assert_true(swim_find(n->peers[i].swim, "n1", &m));
        assert_true(dun_slice_eq(m.meta, dun_slice(meta, sizeof meta)));
        assert_int_equal(net_count(n, i, SWIM_EV_UPDATED, "n1"), i == 1 ? 0 : 1);
    }
    net_destroy(n);
}

static void a_newcomers_word_counts_only_when_no_better_one_comes(void **state)
{
    (void)state;
    struct swim_config c = {
        .name = "n0", .addr = "h0:1", .seeds = {"h1:1", "h2:1"}, .seed_count = 2, .boot = 7};
    struct swim_packet p = {
        .type = SWIM_PUSH_PULL_REPLY, .from_addr = dun_slice_str("h1:1"), .seq = 1};
    struct dun_buf newcomer = {0}, joined = {0};
    swim_wire_write(&newcomer, &p);
    p.joined = true;
    swim_wire_write(&joined, &p);
    for (int better = 0; better < 2; better++) {
        struct swim *s;
        const struct swim_out *out;
        assert_int_equal(swim_create(&s, &c), DUN_OK);
        swim_tick(s, 10, &out);
        assert_int_equal(swim_recv(s, 11, "n1", 5, dun_buf_view(&newcomer), &out), DUN_OK);
        assert_int_equal(s->join, SWIM_JOIN_SEEKING);
        if (better) {
            assert_int_equal(swim_recv(s, 12, "n1", 5, dun_buf_view(&joined), &out), DUN_OK);
            assert_int_equal(s->join, SWIM_JOIN_DONE);
        }
        while (s->join != SWIM_JOIN_DONE)
            swim_tick(s, swim_deadline_ms(s), &out);
        assert_int_equal(s->now_ms, better ? 12 : 10 + SWIM_JOIN_GRACE_MS);
        swim_destroy(s);
    }
    dun_buf_deinit(&newcomer);
    dun_buf_deinit(&joined);
}

static void a_seed_that_is_ourselves_under_another_address_is_recognised(void **state)
{
    (void)state;
    struct swim_config c = {
        .name = "n0", .addr = "h0:1", .seeds = {"alias:1"}, .seed_count = 1, .boot = 7};
    struct swim *s;
    const struct swim_out *out;
    assert_int_equal(swim_create(&s, &c), DUN_OK);
    swim_tick(s, 10, &out);
    assert_int_equal(out->packet_count, 1);
    struct dun_buf copy = {0};
    dun_buf_slice(&copy, out->packets[0].bytes);
    assert_int_equal(swim_recv(s, 11, "n0", 7, dun_buf_view(&copy), &out), DUN_OK);
    swim_tick(s, swim_deadline_ms(s), &out);
    assert_int_equal(s->join, SWIM_JOIN_DONE);
    dun_buf_deinit(&copy);
    swim_destroy(s);
}

static void the_same_seed_tells_the_same_story(void **state)
{
    (void)state;
    uint32_t events[2];
    uint64_t last_ms[2];
    for (int run = 0; run < 2; run++) {
        struct net *n = net_create(99);
        n->loss_per_million = 200000;
        for (uint32_t i = 0; i < 7; i++)
            net_start_default(n, i, 3, 100 + i);
        net_run(n, 60000);
        events[run] = 0;
        last_ms[run] = 0;
        for (uint32_t i = 0; i < 7; i++) {
            const struct net_peer *p = &n->peers[i];
            events[run] += p->event_count;
            last_ms[run] = last_ms[run] * 31 + p->events[p->event_count - 1].at_ms;
        }
        net_destroy(n);
    }
    assert_int_equal(events[0], events[1]);
    assert_int_equal(last_ms[0], last_ms[1]);
    assert_true(events[0] > 42); /* there was something to tell */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peers_that_start_together_find_each_other),
        cmocka_unit_test(a_peer_without_other_seeds_is_a_cluster_of_one),
        cmocka_unit_test(seeds_are_retried_until_one_answers),
        cmocka_unit_test(a_silent_peer_is_suspected_then_dead_then_forgotten),
        cmocka_unit_test(a_lost_link_to_a_dead_peer_makes_it_suspect_in_two_timeouts),
        cmocka_unit_test(a_lost_link_to_a_living_peer_changes_nothing_however_often),
        cmocka_unit_test(a_peer_that_was_paused_refutes_and_blames_nobody),
        cmocka_unit_test(a_healed_partition_merges_by_itself),
        cmocka_unit_test(a_healed_partition_merges_when_the_seeds_are_gone),
        cmocka_unit_test(halves_that_started_apart_merge),
        cmocka_unit_test(a_new_life_of_a_peer_is_a_join_with_the_new_boot),
        cmocka_unit_test(a_new_life_at_another_address_waits_for_the_old_one_then_joins),
        cmocka_unit_test(a_peer_with_a_name_in_use_is_told_and_harms_nobody),
        cmocka_unit_test(a_peer_with_too_old_a_boot_learns_the_known_one),
        cmocka_unit_test(an_old_life_that_wakes_up_learns_that_it_is_outlived),
        cmocka_unit_test(who_leaves_is_left_at_once_and_answers_on),
        cmocka_unit_test(lost_packets_cause_no_false_death),
        cmocka_unit_test(news_is_told_a_bounded_number_of_times),
        cmocka_unit_test(a_newcomer_tells_of_itself_and_not_what_it_was_told),
        cmocka_unit_test(new_metadata_reaches_all),
        cmocka_unit_test(a_newcomers_word_counts_only_when_no_better_one_comes),
        cmocka_unit_test(a_seed_that_is_ourselves_under_another_address_is_recognised),
        cmocka_unit_test(the_same_seed_tells_the_same_story),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
