/* tests/unit/cluster/test_node_edges.c: what a node refuses at its edges: configurations,
 * submits and packets, and peers that are not of its cluster. */
#include "cluster/placement.h"
#include "cluster/wire.h"
#include "tests/unit/cluster/cluster_net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void count_mismatches(void *ctx, enum dun_log_level level, const char *line)
{
    uint32_t *count = ctx;
    if (level == DUN_LOG_ERROR && strstr(line, "cluster_mismatch") != NULL) (*count)++;
}

static struct net *formed(uint32_t peers, uint32_t voters, uint32_t groups)
{
    struct net *t = net_create(peers, groups, 60000);
    t->voters = voters;
    for (uint32_t i = 0; i < peers; i++)
        net_up(t, i);
    assert_true(net_until_ready(t, 10000));
    return t;
}

static void a_bad_configuration_is_refused_with_the_reason(void **state)
{
    (void)state;
    char long_name[DUN_NAME_MAX + 2] = {0};
    memset(long_name, 'n', sizeof long_name - 1);
    const struct node_config good = {.name = "n1",
                                     .voters = {"n1", "n2", "n3"},
                                     .voter_count = 3,
                                     .gossip_addr = "h:1",
                                     .replication_addr = "h:2",
                                     .client_addr = "h:3",
                                     .version = "test",
                                     .boot = 1,
                                     .group_count = 1};
    struct node_config c[12];
    const char *whys[DUN_COUNT(c)];
    uint32_t n = 0;
    for (size_t i = 0; i < DUN_COUNT(c); i++)
        c[i] = good;
    c[n].name = NULL, whys[n++] = "name";
    c[n].name = "", whys[n++] = "name";
    c[n].name = long_name, whys[n++] = "name";
    c[n].voter_count = 0, whys[n++] = "voters: must name";
    c[n].voter_count = DUN_VOTERS_MAX + 1, whys[n++] = "voters: must name";
    c[n].voters[1] = "", whys[n++] = "voters: a name";
    c[n].voters[2] = long_name, whys[n++] = "voters: a name";
    c[n].voters[2] = "n1", whys[n++] = "n1 is listed twice";
    c[n].group_count = 0, whys[n++] = "groups";
    c[n].group_count = DUN_GROUPS_MAX + 1, whys[n++] = "groups";
    c[n].boot = 0, whys[n++] = "boot";
    c[n].gossip_addr = "h 1", whys[n++] = "gossip";
    assert_int_equal(n, DUN_COUNT(c));
    for (uint32_t i = 0; i < n; i++) {
        char why[256] = "";
        struct node *node;
        assert_int_equal(node_create(&node, &c[i], why, sizeof why), DUN_E_CONFIG);
        assert_non_null(strstr(why, whys[i]));
    }
    node_destroy(NULL);
}

static void seven_voters_go_on_without_three_and_not_without_four(void **state)
{
    (void)state;
    struct net *t = formed(7, 7, 8);
    for (uint32_t i = 0; i < 3; i++)
        net_down(t, i);
    assert_true(net_until_ready(t, 10000));
    net_run(t, 5000);
    assert_int_equal(net_publish(t, 3, 1, "c", "", "1"), DUN_OK);
    assert_true(net_until_reply(t, 1, 2000));
    assert_int_equal(t->replies[1].err, DUN_OK);
    net_down(t, 3);
    net_run(t, 3000);
    struct node_status s;
    node_status(t->node[4], &s);
    assert_false(s.ready);
    assert_non_null(strstr(s.reason, "no majority: 3 of 7"));
    assert_int_equal(net_publish(t, 4, 2, "c", "", "1"), DUN_E_UNREADY);
    net_destroy(t);
}

static void the_longest_names_of_all_voters_fit_the_metadata(void **state)
{
    (void)state;
    char names[DUN_VOTERS_MAX][DUN_NAME_MAX + 1], addr[DUN_ADDR_MAX + 1] = "", why[256] = "";
    char version[DUN_NAME_MAX + 1] = "";
    memset(addr, 'h', sizeof addr - 1);
    memset(version, '1', sizeof version - 1);
    struct net *t = net_create(1, 1, 0);
    net_up(t, 0); /* lends its store */
    struct node_config c = {.voter_count = DUN_VOTERS_MAX,
                            .gossip_addr = addr,
                            .replication_addr = addr,
                            .client_addr = addr,
                            .version = version,
                            .boot = 1,
                            .group_count = 1,
                            .store = t->store[0]};
    for (uint32_t i = 0; i < DUN_VOTERS_MAX; i++) {
        memset(names[i], 'a' + (int)i, DUN_NAME_MAX);
        names[i][DUN_NAME_MAX] = '\0';
        c.voters[i] = names[i];
    }
    c.name = names[0];
    struct node *n;
    assert_int_equal(node_create(&n, &c, why, sizeof why), DUN_OK);
    struct swim_member m;
    assert_true(swim_find(node_swim(n), c.name, &m));
    assert_true(m.meta.len <= DUN_META_MAX);
    assert_true(dun_slice_is(node_meta_client_addr(m.meta), addr));
    assert_int_equal(node_meta_client_addr(dun_slice(m.meta.data, m.meta.len - 1)).len, 0);
    assert_int_equal(node_meta_client_addr(dun_slice("\x02", 1)).len, 0); /* another version */
    node_destroy(n);
    net_destroy(t);
}

static struct node_event submit(size_t channel, size_t key, size_t data, size_t tags, size_t info)
{
    static char text[DUN_PAYLOAD_MAX + 1];
    memset(text, '1', sizeof text);
    struct node_event ev = {.type = NODE_EV_SUBMIT};
    ev.submit.channel = dun_slice(text, channel);
    ev.submit.key = dun_slice(text, key);
    ev.submit.data = dun_slice(text, data);
    ev.submit.tags = dun_slice(text, tags);
    ev.submit.info = dun_slice(text, info);
    return ev;
}

static void a_submit_beyond_a_limit_is_refused(void **state)
{
    (void)state;
    struct net *t = formed(1, 1, 1);
    enum { C = DUN_CHANNEL_MAX, K = DUN_KEY_MAX, D = DUN_PAYLOAD_MAX, I = DUN_INFO_MAX };
    assert_int_equal(net_event(t, 0, submit(0, 0, 1, 0, 0)), DUN_E_MALFORMED);
    assert_int_equal(net_event(t, 0, submit(C + 1, 0, 1, 0, 0)), DUN_E_TOO_BIG);
    assert_int_equal(net_event(t, 0, submit(1, K + 1, 1, 0, 0)), DUN_E_TOO_BIG);
    assert_int_equal(net_event(t, 0, submit(1, 0, D + 1, 0, 0)), DUN_E_TOO_BIG);
    assert_int_equal(net_event(t, 0, submit(1, 0, 1, DUN_TAGS_MAX + 1, 0)), DUN_E_TOO_BIG);
    assert_int_equal(net_event(t, 0, submit(1, 0, 1, 0, I + 1)), DUN_E_TOO_BIG);
    assert_int_equal(net_event(t, 0, submit(C, K, D, DUN_TAGS_MAX, I)), DUN_OK); /* all at once */
    assert_true(net_until_reply(t, 0, 100));
    assert_int_equal(t->replies[0].err, DUN_OK);
    net_destroy(t);
}

static void submits_waiting_at_a_peer_are_bounded_over_all_groups(void **state)
{
    (void)state;
    struct net *t = formed(3, 3, 128);
    for (uint32_t i = 1; i < 3; i++)
        t->cut[0][i] = t->cut[i][0] = true; /* nothing is answered */
    dun_err e = DUN_OK;
    uint32_t taken = 0;
    for (char channel[16]; e == DUN_OK && taken <= DUN_PENDING_MAX; taken += e == DUN_OK) {
        snprintf(channel, sizeof channel, "c%u", taken);
        e = net_publish(t, 0, 0, channel, "", "1");
    }
    assert_int_equal(e, DUN_E_OVERLOADED);
    assert_int_equal(taken, DUN_PENDING_MAX);
    struct node_status s;
    node_status(t->node[0], &s);
    assert_int_equal(s.pending, DUN_PENDING_MAX);
    net_destroy(t);
}

static dun_err packet(struct net *t, uint32_t to, const char *from, uint64_t from_boot,
                      const struct dun_buf *b)
{
    struct node_event ev = {.type = NODE_EV_PACKET};
    ev.packet.plane = NODE_REPLICATION;
    ev.packet.from_name = from;
    ev.packet.from_boot = from_boot;
    ev.packet.bytes = dun_buf_view(b);
    return net_event(t, to, ev);
}

/* A header as peer n2 writes it to n1. */
static struct wire_header header(const struct net *t)
{
    struct wire_header h = {.cluster = placement_cluster_hash(net_names, t->voters, t->groups),
                            .to_boot = t->boot[0]};
    memcpy(h.boots, t->boot, t->voters * sizeof h.boots[0]);
    return h;
}

static void a_packet_counts_only_from_another_voter_of_this_cluster(void **state)
{
    (void)state;
    uint32_t mismatches = 0;
    const struct dun_log log = {.write = count_mismatches, .ctx = &mismatches};
    struct net *t = net_create(3, 2, 60000);
    t->log = &log;
    for (uint32_t i = 0; i < 3; i++)
        net_up(t, i);
    assert_true(net_until_ready(t, 10000));
    struct wire_header h = header(t);
    struct dun_buf b = {0};
    wire_write_header(&b, &h, 3);
    assert_int_equal(packet(t, 0, "n2", t->boot[1], &b), DUN_OK);
    assert_int_equal(packet(t, 0, "n1", t->boot[0], &b), DUN_E_DENIED); /* its own name */
    assert_int_equal(packet(t, 0, "n9", t->boot[1], &b), DUN_E_DENIED);
    assert_int_equal(packet(t, 0, "n2", t->boot[1] - 1, &b), DUN_E_MALFORMED); /* not its boot */
    assert_int_equal(mismatches, 0);
    h.cluster++;
    b.len = 0;
    wire_write_header(&b, &h, 3);
    static const uint64_t waits_ms[] = {0, 1, 6000}; /* said once in a while */
    static const uint32_t said[] = {1, 1, 2};
    for (size_t k = 0; k < DUN_COUNT(waits_ms); k++) {
        net_run(t, waits_ms[k]);
        assert_int_equal(packet(t, 0, "n2", t->boot[1], &b), DUN_E_CONFLICT);
        assert_int_equal(mismatches, said[k]);
    }
    dun_buf_deinit(&b);
    net_destroy(t);
}

static void a_frame_of_an_unknown_group_is_malformed(void **state)
{
    (void)state;
    struct net *t = formed(3, 3, 2);
    struct wire_header h = header(t);
    struct wire_frame *f = calloc(1, sizeof *f);
    struct dun_buf b = {0};
    f->group = 2;
    wire_write_header(&b, &h, 3);
    wire_write_state(&b, f);
    assert_int_equal(packet(t, 0, "n2", t->boot[1], &b), DUN_E_MALFORMED);
    free(f);
    dun_buf_deinit(&b);
    net_destroy(t);
}

static void a_forward_that_no_peer_should_send_is_not_taken(void **state)
{
    (void)state;
    struct net *t = formed(3, 3, 2);
    uint32_t group = store_group_of(dun_slice_str("c"), 2), leader = net_primary(t, group);
    uint32_t sender = (leader + 1) % 3;
    struct wire_header h = header(t);
    h.to_boot = t->boot[leader];
    struct wire_frame *f = calloc(1, sizeof *f);
    for (uint32_t k = 0; k < 5; k++) {
        struct store_op op = {.type = STORE_OP_PUBLISH, .origin = sender, .request = 1000};
        op.publish.channel = dun_slice_str("c");
        op.publish.data = dun_slice_str("1");
        if (k == 1) op.origin = leader;
        if (k == 2) op = (struct store_op){.type = STORE_OP_EPOCH, .origin = sender};
        struct dun_buf bytes = {0}, b = {0};
        store_op_encode(&op, &bytes);
        f->group = k == 3 ? 1 - group : group;
        f->bytes = dun_slice(bytes.data, bytes.len - (k == 4));
        wire_write_header(&b, &h, 3);
        wire_write_forward(&b, f);
        assert_int_equal(packet(t, leader, net_names[sender], t->boot[sender], &b), DUN_OK);
        net_run(t, 100);
        assert_int_equal(net_position(t, leader, "c").seq, 1); /* only the first one */
        dun_buf_deinit(&bytes);
        dun_buf_deinit(&b);
    }
    struct dun_buf b = {0};
    f->group = group;
    f->request = 77; /* none that waits */
    wire_write_header(&b, &h, 3);
    wire_write_refuse(&b, f);
    assert_int_equal(packet(t, leader, net_names[sender], t->boot[sender], &b), DUN_OK);
    dun_buf_deinit(&b);
    free(f);
    net_destroy(t);
}

static void a_cast_is_bounded_and_a_large_one_goes_out_at_once(void **state)
{
    (void)state;
    struct net *t = formed(3, 3, 1);
    static uint8_t bytes[DUN_PACKET_SOFT_MAX + 1];
    struct node_event ev = {.type = NODE_EV_CAST};
    ev.cast.bytes = dun_slice(bytes, sizeof bytes);
    assert_int_equal(net_event(t, 0, ev), DUN_E_TOO_BIG);
    assert_int_equal(node_out(t->node[0])->packet_count, 0);
    ev.cast.bytes.len--;
    ev.cast.to_name = "n3";
    assert_int_equal(net_event(t, 0, ev), DUN_OK);
    assert_int_equal(node_out(t->node[0])->packet_count, 1);
    assert_string_equal(node_out(t->node[0])->packets[0].to_name, "n3");
    net_perform(t, 0);
    t->now_ms++;
    net_deliver(t);
    assert_int_equal(node_out(t->node[2])->aux_count, 1);
    assert_string_equal(node_out(t->node[2])->auxes[0].from_name, "n1");
    assert_int_equal(node_out(t->node[2])->auxes[0].bytes.len, DUN_PACKET_SOFT_MAX);
    net_destroy(t);
}

static void a_guest_is_known_to_all_and_takes_part_in_nothing(void **state)
{
    (void)state;
    struct net *t = formed(4, 3, 4);
    struct node_status s;
    struct swim_member m;
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(swim_count(node_swim(t->node[i])), 4);
        assert_true(swim_find(node_swim(t->node[i]), "n4", &m));
        assert_true(dun_slice_is(node_meta_client_addr(m.meta), "10.0.0.9:8000"));
    }
    node_status(t->node[3], &s);
    assert_false(s.ready || s.voter || s.contact);
    assert_int_equal(s.voters_heard, 0);
    assert_non_null(strstr(s.reason, "n4 is not in voters"));
    assert_int_equal(net_publish(t, 3, 1, "c", "", "1"), DUN_E_UNREADY);

    struct wire_header h = header(t);
    struct dun_buf b = {0};
    wire_write_header(&b, &h, 3);
    assert_int_equal(packet(t, 0, "n4", t->boot[3], &b), DUN_E_DENIED);
    assert_int_equal(packet(t, 3, "n1", t->boot[0], &b), DUN_E_DENIED);
    dun_buf_deinit(&b);

    struct node_event cast = {.type = NODE_EV_CAST}, lost = {.type = NODE_EV_LINK_LOST};
    cast.cast.bytes = dun_slice_str("hello");
    lost.link.plane = NODE_REPLICATION;
    lost.link.addr = "10.0.0.0:2";
    assert_int_equal(net_event(t, 3, cast), DUN_OK);
    assert_int_equal(net_event(t, 3, lost), DUN_OK);
    assert_int_equal(node_out(t->node[3])->packet_count, 0);

    net_down(t, 3); /* and nobody misses it */
    net_run(t, 10000);
    node_status(t->node[0], &s);
    assert_true(s.ready);
    net_up(t, 3);
    net_down(t, 0);
    net_run(t, 10000);
    assert_false(swim_find(node_swim(t->node[3]), "n1", &m) && m.state == SWIM_ALIVE);
    assert_int_equal(net_event(t, 3, (struct node_event){.type = NODE_EV_LEAVE}), DUN_OK);
    net_run(t, 1000);
    assert_true(swim_find(node_swim(t->node[1]), "n4", &m));
    assert_int_equal(m.state, SWIM_LEFT);
    net_destroy(t);
}

static void peers_with_other_groups_say_so_and_do_not_form_together(void **state)
{
    (void)state;
    uint32_t mismatches = 0;
    const struct dun_log log = {.write = count_mismatches, .ctx = &mismatches};
    struct net *t = net_create(2, 8, 60000);
    t->log = &log;
    t->refusal = DUN_E_CONFLICT;
    net_up(t, 0);
    t->groups = 4;
    net_up(t, 1);
    net_run(t, 5000);
    assert_true(mismatches >= 2); /* both of them */
    for (uint32_t i = 0; i < 2; i++) {
        struct node_status s;
        node_status(t->node[i], &s);
        assert_false(s.ready);
        assert_int_equal(s.groups_normal, 0);
    }
    net_destroy(t);
}

/* Gossip between the node of @t and @s at "odd:1", named "n2", for @ms. */
static void gossip(struct net *t, struct swim *s, uint64_t ms)
{
    const struct swim_out *so;
    for (uint64_t end = t->now_ms + ms; t->now_ms < end; t->now_ms++) {
        swim_tick(s, t->now_ms, &so);
        for (uint32_t k = 0; k < so->packet_count; k++) {
            struct node_event ev = {.type = NODE_EV_PACKET};
            ev.packet.plane = NODE_GOSSIP;
            ev.packet.from_name = "n2";
            ev.packet.from_boot = 77;
            ev.packet.bytes = so->packets[k].bytes;
            assert_int_equal(net_event(t, 0, ev), DUN_OK);
        }
        assert_int_equal(net_event(t, 0, (struct node_event){.type = NODE_EV_TICK}), DUN_OK);
        const struct node_out *o = node_out(t->node[0]);
        for (uint32_t k = 0; k < o->packet_count; k++) {
            assert_int_equal(o->packets[k].plane, NODE_GOSSIP);     /* it has no other address */
            if (strcmp(o->packets[k].addr, "odd:1") != 0) continue; /* a seed that is not up */
            assert_int_equal(swim_recv(s, t->now_ms, "n1", t->boot[0], o->packets[k].bytes, &so),
                             DUN_OK);
        }
        node_out_clear(t->node[0]);
    }
}

static void a_voter_whose_metadata_nobody_can_read_is_a_member_without_address(void **state)
{
    (void)state;
    static const char *const metas[] = {"", "junk", "\x02"}; /* the last: of another version */
    for (size_t i = 0; i < DUN_COUNT(metas); i++) {
        struct net *t = net_create(2, 1, 60000);
        net_up(t, 0);
        struct swim_config c = {.name = "n2",
                                .addr = "odd:1",
                                .seeds = {"10.0.0.0:1"},
                                .seed_count = 1,
                                .meta = dun_slice_str(metas[i]),
                                .boot = 77,
                                .prng_seed = 3};
        struct swim *s;
        assert_int_equal(swim_create(&s, &c), DUN_OK);
        gossip(t, s, 3000);
        struct swim_member m;
        assert_true(swim_find(node_swim(t->node[0]), "n2", &m));
        assert_int_equal(m.state, SWIM_ALIVE);
        assert_int_equal(node_meta_client_addr(m.meta).len, 0);
        swim_destroy(s);
        net_destroy(t);
    }
}

static void a_twin_is_told_that_its_name_is_taken(void **state)
{
    (void)state;
    struct net *t = net_create(4, 2, 60000);
    t->voters = 3;
    t->names[3] = "n2";
    for (uint32_t i = 0; i < 3; i++)
        net_up(t, i);
    assert_true(net_until_ready(t, 10000));
    t->refusal = DUN_E_MALFORMED;
    net_up(t, 3);
    net_run(t, 5000);
    assert_non_null(strstr(node_out(t->node[3])->conflict, "the name n2 is taken"));
    assert_non_null(strstr(node_out(t->node[3])->conflict, "10.0.0.1:1"));
    for (uint32_t i = 0; i < 3; i++) {
        assert_string_equal(node_out(t->node[i])->conflict, "");
        assert_true(net_ready(t, i));
    }
    net_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bad_configuration_is_refused_with_the_reason),
        cmocka_unit_test(seven_voters_go_on_without_three_and_not_without_four),
        cmocka_unit_test(the_longest_names_of_all_voters_fit_the_metadata),
        cmocka_unit_test(a_submit_beyond_a_limit_is_refused),
        cmocka_unit_test(submits_waiting_at_a_peer_are_bounded_over_all_groups),
        cmocka_unit_test(a_packet_counts_only_from_another_voter_of_this_cluster),
        cmocka_unit_test(a_frame_of_an_unknown_group_is_malformed),
        cmocka_unit_test(a_forward_that_no_peer_should_send_is_not_taken),
        cmocka_unit_test(a_cast_is_bounded_and_a_large_one_goes_out_at_once),
        cmocka_unit_test(a_guest_is_known_to_all_and_takes_part_in_nothing),
        cmocka_unit_test(peers_with_other_groups_say_so_and_do_not_form_together),
        cmocka_unit_test(a_voter_whose_metadata_nobody_can_read_is_a_member_without_address),
        cmocka_unit_test(a_twin_is_told_that_its_name_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
